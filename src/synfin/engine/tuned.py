"""Other rules for the receive window than receiver.py's: what Linux and FreeBSD choose where RFC 9293 3.8.6.2.2 leaves it open.

Owns TcpConfig.window_rule and initial_receive_window. Both systems tell the reader's every byte in whatever segment leaves, as
long as there is room worth telling; they differ in when a segment leaves for it alone, and in what is not worth it. Only a
connection that was given another rule has such a receiver.
"""

from typing import Final

from synfin.engine.config import TcpConfig
from synfin.engine.receiver import Receiver
from synfin.engine.segment import Buffer
from synfin.engine.seq import HALF, MASK

SMALL: Final = 128  # bytes: what is shorter lets no window grow (tcp_event_data_recv)


class TunedReceiver(Receiver):
    """A Receiver with the window rules of `config`; `mss` in bytes, as Receiver has it. `allowed` is the largest window so far
    where it grows with what arrives, in bytes; -1: as large as the rule lets it."""

    __slots__ = ("allowed", "initial", "rule")

    def __init__(self, config: TcpConfig, mss: int) -> None:
        super().__init__(config, mss)
        self.rule: str = config.window_rule
        self.initial: int = config.initial_receive_window
        self.allowed: int = -1

    def start(self, irs: int, shift: int) -> None:
        """See Receiver."""
        super().start(irs, shift)
        if self.initial:
            self.allowed = self.rcv_wnd

    def deliver(self, payload: Buffer) -> None:
        """See Receiver. A window that began small grows by two segments for each that comes (tcp_grow_window)."""
        super().deliver(payload)
        if self.allowed >= 0 and len(payload) >= SMALL:
            self.allowed += 2 * max(self.mss, len(payload))
            if self.allowed >= self._largest():
                self.allowed = -1

    def room(self) -> int:
        """See Receiver."""
        free = min(max(self.capacity - self.size, 0), self._largest())
        if 0 <= self.allowed < free:
            free = self.allowed
        if self.rule == "reader":
            if 2 * free < self.capacity and (free < self.mss or 16 * free < self.capacity):
                return 0
            told = (self.rcv_edge - self.last_ack_sent) & MASK
            if not self.shift and told <= free < told + self.mss:  # unscaled, it moves by whole segments
                return told
            if not self.shift and free > self.mss:
                return free - free % self.mss
        elif self.rule == "quarter" and 4 * free < self.capacity and free < self.mss:
            return 0
        return (free + (1 << self.shift) - 1) >> self.shift << self.shift

    def advance_edge(self) -> None:
        """See Receiver."""
        if self.rule == "edge" and self.allowed < 0:
            super().advance_edge()
            return
        edge = (self.rcv_nxt + self.room()) & MASK
        gain = (edge - self._goal) & MASK
        if gain < HALF and (self.rule != "edge" or gain >= self.mss or 2 * gain >= self.capacity):
            self._goal = edge

    def update_due(self) -> bool:
        """See Receiver."""
        if self.rule == "edge" and self.allowed < 0:
            return super().update_due()
        offered = self.rcv_wnd
        room = self.room()
        if self.rule != "quarter":  # at least twice as much, and no more than half was offered (tcp_cleanup_rbuf)
            return room > 0 and 2 * offered <= min(room, self._largest())
        gain = room - offered
        if gain <= 0 or self.unacked:  # an ACK waits that will tell (tcp_output: TF_DELACK)
            return False
        size = self.capacity
        worth = gain >= 2 * self.mss and (4 * gain >= size or 8 * room <= size or size <= 8 * self.mss)
        return worth or 2 * gain >= size

    def _largest(self) -> int:
        """What the window may ever be, in bytes: Linux keeps a segment back (tcp_init_buffer_space)."""
        if self.rule != "reader" or self.capacity <= 2 * self.mss:
            return self.capacity
        return max(2 * self.mss, self.capacity - self.mss)


def receiver_for(config: TcpConfig, mss: int) -> Receiver:
    """The Receiver that `config` asks for."""
    if config.window_rule == "edge" and not config.initial_receive_window:
        return Receiver(config, mss)
    return TunedReceiver(config, mss)
