"""What the path says of a connection through ICMP: errors, and how large a packet may be.

Owns what is believed: an error counts only when it names a sequence number in flight (RFC 5927 4.1). Packet too big makes the
segments smaller and sends again what was in flight, which is no sign of congestion (RFC 1191 6.5, RFC 8201 5.4). A hard
error ends a connection that is being opened; in a synchronized one every error is soft (RFC 5927 5.2), and so are the others
(RFC 9293 3.9.2.2, MUST-56): they are remembered, and named when the connection times out.
Must not know ICMP's numbers: the stack translates them.
"""

from enum import Enum
from typing import TYPE_CHECKING, Final

from synfin.engine.config import SECOND
from synfin.engine.errors import CloseReason
from synfin.engine.handshake import IP4_KEY, TIMESTAMP_SPACE, effective_mss, header_space
from synfin.engine.segment import RETRANSMIT_SMALLER
from synfin.engine.seq import HALF, MASK
from synfin.engine.state import State, Trigger

if TYPE_CHECKING:
    from synfin.engine.connection import Connection

LIFETIME: Final = 600 * SECOND  # how long what a router said is believed
LEAST_MTU4: Final = 296  # the smallest plateau that a link has (RFC 1191 7); less would let a forger strangle us
LEAST_MTU6: Final = 1280  # RFC 8200 5: no link takes less
PLATEAUS: Final = (32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296)  # RFC 1191 7.1


class PathError(Enum):
    """What a router or the other host says of a packet of ours."""

    NETWORK_UNREACHABLE = "network unreachable"
    HOST_UNREACHABLE = "host unreachable"
    PROTOCOL_UNREACHABLE = "protocol unreachable"
    PORT_UNREACHABLE = "port unreachable"
    PROHIBITED = "prohibited"
    TIME_EXCEEDED = "time exceeded"
    PARAMETER_PROBLEM = "parameter problem"
    TOO_BIG = "packet too big"

    __hash__ = object.__hash__  # as State's

    def __str__(self) -> str:
        return self.value


HARD: Final = (PathError.PROTOCOL_UNREACHABLE, PathError.PORT_UNREACHABLE, PathError.PROHIBITED)  # RFC 1122 4.2.3.9
OPENING: Final = (State.SYN_SENT, State.SYN_RECEIVED)


def take(c: "Connection", kind: PathError, seq: int, mtu: int, length: int, now: int) -> bool:
    """A packet of ours with SEG.SEQ `seq` and `length` bytes in all met with `kind`; `mtu` is what the router says, 0 where it
    says nothing. Returns whether it was believed."""
    sender = c.sender
    if (seq - sender.snd_una) & MASK >= (sender.snd_nxt - sender.snd_una) & MASK:
        return False
    if kind is PathError.TOO_BIG:
        return _too_big(c, mtu, length, now)
    c.soft_error = kind
    if c.state in OPENING and (kind in HARD or c.config.unreachable_ends_opening):
        c.finish(Trigger.ABORT, CloseReason.UNREACHABLE, now)
    return True


def _too_big(c: "Connection", mtu: int, length: int, now: int) -> bool:
    """RFC 1191 6.3 to 6.5 and 7.1, RFC 8201 4."""
    if len(c.key) == IP4_KEY:
        if not mtu:  # a router from before RFC 1191
            mtu = next((plateau for plateau in PLATEAUS if plateau < length), LEAST_MTU4)
        mtu = max(mtu, LEAST_MTU4)
    elif mtu < LEAST_MTU6:
        return False
    if mtu >= length or c.state in OPENING:
        return False
    limit(c, mtu, now)  # which of a window of packets only the first needs
    return True


class Narrow:
    """A path that takes less than our own link. `link` is the link's MTU and `mss` what a segment may carry over it, `mtu` the
    path's, all in bytes; `until` is when the path may be tried again, in ns, -1 before the first transmission. `tried` is the
    SND.NXT from which on segments are larger again, -1 while none is."""

    __slots__ = ("link", "mss", "mtu", "tried", "until")

    def __init__(self, link: int, mss: int) -> None:
        self.link: int = link
        self.mss: int = mss
        self.mtu: int = link
        self.tried: int = -1
        self.until: int = -1


def limit(c: "Connection", mtu: int, now: int = -1) -> None:
    """Make the segments of `c` fit packets of `mtu` bytes; what is in flight goes again. This holds for LIFETIME from `now`
    on, in ns, or from the first transmission."""
    if mtu >= c.mtu:
        return
    sender = c.sender
    if c.narrow is None:
        c.narrow = Narrow(c.mtu, sender.mss)
    c.narrow.mtu, c.narrow.until, c.narrow.tried = mtu, now + LIFETIME if now >= 0 else -1, -1
    if not _fit(c, mtu):
        return
    if sender.snd_una != sender.snd_nxt and not sender.probing:
        if sender.recovering:  # what it inflated cwnd by has left the network
            sender.recovering = sender.fast_due = False
            sender.congestion.on_recovered(sender.outstanding)
            c.tell_congestion("recovered", now)
        sender.duplicate_acks = 0
        sender.resend, sender.resend_end, sender.resend_reason = sender.snd_una, sender.snd_nxt, RETRANSMIT_SMALLER
        sender.karn, sender.no_sample_before = True, sender.snd_nxt  # it goes twice: no round trip is measured on it
        c.send_due = True


def agreed(c: "Connection", narrow: Narrow, peer_mss: int) -> None:
    """The peer's SYN has told that it takes segments of `peer_mss` bytes."""
    narrow.mss = effective_mss(peer_mss, narrow.link - header_space(c.key), c.agreed_timestamps)


def _fit(c: "Connection", mtu: int) -> bool:
    """Make what is sent from now on fit packets of `mtu` bytes. Returns whether segments become smaller."""
    c.mtu = mtu
    sender = c.sender
    mss = mtu - header_space(c.key) - (TIMESTAMP_SPACE if c.agreed_timestamps else 0)
    if c.state in OPENING or mss >= sender.mss:  # the handshake will look at `mtu`
        return False
    sender.mss = sender.congestion.mss = mss
    return True


def widen(c: "Connection", now: int) -> None:
    """Before `c`, whose path is narrow, sends: is it time to try segments as large as the link takes? (RFC 1191 6.3: ten
    minutes after the path was last found narrow, RFC 8201 4)

    Called for as long as `c.narrow` is there. A router that still cannot carry them says so again; where nobody says it, the
    first timeout takes the trial back (`timed_out`), for nothing larger was seen to arrive.
    """
    narrow, sender = c.narrow, c.sender
    if narrow is None:
        return
    if narrow.tried >= 0:
        if sender.snd_una != narrow.tried and (sender.snd_una - narrow.tried) & MASK < HALF:  # seq inline: it has arrived
            c.narrow = None
    elif narrow.until < 0:
        narrow.until = now + LIFETIME
    elif now >= narrow.until and sender.plain() and sender.unsent >= narrow.mss:
        narrow.tried = sender.snd_nxt
        c.mtu = narrow.link
        congestion = sender.congestion
        sender.mss = congestion.mss = mss = narrow.mss
        congestion.cwnd, congestion.ssthresh = max(congestion.cwnd, mss), max(congestion.ssthresh, 2 * mss)


def timed_out(c: "Connection", now: int) -> None:
    """The retransmission timer of `c`, whose path is or was narrow, has fired: larger segments have not arrived."""
    narrow = c.narrow
    if narrow is None or narrow.tried < 0:
        return
    narrow.tried, narrow.until = -1, now + LIFETIME
    _fit(c, narrow.mtu)


def clamp(c: "Connection", mss: int) -> None:
    """Later segments carry at most `mss` bytes besides fixed headers, as the MSS option counts: TCP_MAXSEG."""
    mss -= TIMESTAMP_SPACE if c.agreed_timestamps else 0
    if c.narrow is not None:
        c.narrow.mss = min(c.narrow.mss, mss)
    if mss < c.sender.mss:
        c.sender.mss = c.sender.congestion.mss = mss
