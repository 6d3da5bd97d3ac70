"""A sender that keeps two segments in a small window: TcpConfig.half_window_segments, as Linux has it (tcp_bound_to_half_wnd).

Owns the rule and nothing else. RFC 9293 3.8.6.2.1 speaks of half of the largest window only as what is worth sending; a
segment of at most that keeps a peer whose window is smaller than two segments from waiting with its ACK for a second one.
"""

from synfin.engine.config import TcpConfig
from synfin.engine.plan import Plan
from synfin.engine.sendbuffer import TINY_WINDOW
from synfin.engine.sender import Sender
from synfin.engine.timers import Timers


class BoundedSender(Sender):
    """A Sender whose segments are no longer than half of the largest window that the peer has offered."""

    __slots__ = ()

    def next_plan(self, now: int, timers: Timers, max_interval: int) -> Plan | None:
        """See Sender. Where the bound holds there are no super-segments: the window holds two segments."""
        whole, largest, half = self.mss, self.gso_max, self.max_snd_wnd >> 1
        if half >= whole or self.max_snd_wnd <= TINY_WINDOW:
            return super().next_plan(now, timers, max_interval)
        self.mss, self.gso_max = half, 0
        try:
            return super().next_plan(now, timers, max_interval)
        finally:
            self.mss, self.gso_max = whole, largest


def sender_for(config: TcpConfig, iss: int, mss: int) -> Sender:
    """The Sender that `config` asks for."""
    return (BoundedSender if config.half_window_segments else Sender)(config, iss, mss)
