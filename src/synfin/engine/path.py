"""What the path says of a connection through ICMP: errors, and how large a packet may be.

Owns what is believed: an error counts only when it names a sequence number in flight (RFC 5927 4.1). Packet too big makes the
segments smaller and sends again what was in flight, which is no sign of congestion (RFC 1191 6.5, RFC 8201 5.4). A hard
error ends a connection that is being opened; in a synchronized one every error is soft (RFC 5927 5.2), and so are the others
(RFC 9293 3.9.2.2, MUST-56): they are remembered, and named when the connection times out.
Must not know ICMP's numbers: the stack translates them.
"""

from enum import Enum
from typing import TYPE_CHECKING, Final

from synfin.engine.errors import CloseReason
from synfin.engine.handshake import IP4_KEY, TIMESTAMP_SPACE, header_space
from synfin.engine.segment import RETRANSMIT_SMALLER
from synfin.engine.seq import MASK
from synfin.engine.state import State, Trigger

if TYPE_CHECKING:
    from synfin.engine.connection import Connection

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
        return _too_big(c, mtu, length)
    c.soft_error = kind
    if c.state in OPENING and (kind in HARD or c.config.unreachable_ends_opening):
        c.finish(Trigger.ABORT, CloseReason.UNREACHABLE, now)
    return True


def _too_big(c: "Connection", mtu: int, length: int) -> bool:
    """RFC 1191 6.3 to 6.5 and 7.1, RFC 8201 4."""
    if len(c.key) == IP4_KEY:
        if not mtu:  # a router from before RFC 1191
            mtu = next((plateau for plateau in PLATEAUS if plateau < length), LEAST_MTU4)
        mtu = max(mtu, LEAST_MTU4)
    elif mtu < LEAST_MTU6:
        return False
    if mtu >= length or c.state in OPENING:
        return False
    limit(c, mtu)  # which of a window of packets only the first needs
    return True


def limit(c: "Connection", mtu: int) -> None:
    """Make the segments of `c` fit packets of `mtu` bytes; what is in flight goes again."""
    if mtu >= c.mtu:
        return
    c.mtu = mtu
    sender = c.sender
    mss = mtu - header_space(c.key) - (TIMESTAMP_SPACE if c.agreed_timestamps else 0)
    if c.state in OPENING or mss >= sender.mss:  # the handshake will look at `mtu`
        return
    sender.mss = sender.congestion.mss = mss
    if sender.snd_una != sender.snd_nxt and not sender.probing:
        sender.recovering = sender.fast_due = False
        sender.resend, sender.resend_end, sender.resend_reason = sender.snd_una, sender.snd_nxt, RETRANSMIT_SMALLER
        sender.karn, sender.no_sample_before = True, sender.snd_nxt  # it goes twice: no round trip is measured on it
        c.send_due = True
