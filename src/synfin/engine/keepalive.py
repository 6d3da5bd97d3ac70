"""Keep-alive: does an idle peer still live? (RFC 9293 3.8.4, RFC 1122 4.2.3.6; Linux's three numbers.)

Owns when a probe goes and when the peer is taken for dead. A probe is an ACK with SEQ = SND.NXT - 1 and no text, which every
TCP answers; it goes only when nothing of ours is outstanding. The timer is left to come early and find that the peer was heard
meanwhile, so that a busy connection pays one assignment a segment.
"""

from typing import TYPE_CHECKING, Final

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.errors import CloseReason
from synfin.engine.segment import ACK, KEEPALIVE_PROBE, RESET_KEEPALIVE, Segment
from synfin.engine.seq import MASK
from synfin.engine.state import State, Trigger

if TYPE_CHECKING:
    from synfin.engine.connection import Connection

RUNS: Final = (
    State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK,
)  # fmt: skip
OPTIONS: Final = ("keepalive", "keepalive_idle", "keepalive_interval", "keepalive_count", "keepalive_limit")


class Keepalive:
    """Of one connection; times in ns. `heard` is when the peer last sent what it alone can know, `probes` how many probes have
    gone since."""

    __slots__ = ("count", "heard", "idle", "interval", "limit", "on", "probes")

    def __init__(self, config: TcpConfig) -> None:
        self.on: bool = config.keepalive
        self.idle: int = config.keepalive_idle
        self.interval: int = config.keepalive_interval
        self.count: int = config.keepalive_count
        self.limit: int = config.keepalive_limit
        self.heard: int = 0
        self.probes: int = 0


def set_option(c: "Connection", name: str, value: int, now: int) -> None:
    """Change one of OPTIONS. Idle time counts from when the peer was heard last, or from when probing was switched on."""
    keepalive = c.keepalive
    if keepalive is None:
        keepalive = c.keepalive = Keepalive(c.config)
        keepalive.heard = now
    if name == "keepalive":
        if value and not keepalive.on:
            keepalive.heard = now
            keepalive.probes = 0
        keepalive.on = bool(value)
    elif name == "keepalive_idle":
        keepalive.idle = value
    elif name == "keepalive_interval":
        keepalive.interval = value
    elif name == "keepalive_count":
        keepalive.count = value
    else:
        keepalive.limit = value
    start(c, now)


def opened(c: "Connection", now: int) -> None:
    """The connection is established."""
    if c.keepalive is not None:
        c.keepalive.heard = now
        start(c, now)


def start(c: "Connection", now: int) -> None:
    """See when the next probe is due: the connection is established, or an option has changed."""
    keepalive = c.keepalive
    if keepalive is None or not keepalive.on or c.state not in RUNS:
        c.timers.keepalive = NEVER
        return
    if not keepalive.probes:
        c.timers.keepalive = max(keepalive.heard + keepalive.idle, now)


def hear(c: "Connection", seg: Segment, now: int) -> None:
    """A segment has come. It counts when it lies in the window and acknowledges what it may: a forger's does not.

    The path carries packets again, so what ICMP said of it is past.
    """
    sender, keepalive = c.sender, c.keepalive
    seq_fits = c.receiver.acceptable(seg.seq, seg.length)
    if not seq_fits or (seg.ack - sender.snd_una) & MASK > (sender.snd_nxt - sender.snd_una) & MASK:
        return
    c.soft_error = None
    if keepalive is None or c.state not in RUNS:
        return
    keepalive.heard = now
    if keepalive.probes:
        keepalive.probes = 0
        c.timers.keepalive = now + keepalive.idle


def handle_timer(c: "Connection", now: int) -> None:
    """The timer has come: too early, for a probe, or for the end."""
    keepalive = c.keepalive
    c.timers.keepalive = NEVER
    if keepalive is None or not keepalive.on or c.state not in RUNS:
        return
    if c.sender.buffer.size or c.sender.snd_una != c.sender.snd_nxt:  # retransmission or probes of the window find out
        keepalive.probes = 0
        c.timers.keepalive = now + keepalive.idle
        return
    due = keepalive.heard + keepalive.idle
    if not keepalive.probes and now < due:
        c.timers.keepalive = due
        return
    if _dead(c, keepalive, now):
        c.tell_timer("keepalive", "", now)
        c.reset(RESET_KEEPALIVE, Trigger.ABORT, CloseReason.TIMED_OUT, now)
        return
    keepalive.probes += 1
    c.tell_timer("keepalive", str(keepalive.interval), now)
    c.timers.keepalive = now + keepalive.interval
    c.reply(KEEPALIVE_PROBE, ACK, (c.sender.snd_nxt - 1) & MASK)


def _dead(c: "Connection", keepalive: Keepalive, now: int) -> bool:
    """Enough probes were not answered; a user timeout that was set takes the place of their number (tcp_keepalive_timer)."""
    if keepalive.limit:
        return keepalive.probes > 0 and now - keepalive.heard >= keepalive.limit
    return keepalive.probes >= keepalive.count
