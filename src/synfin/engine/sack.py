"""Selective acknowledgment, the receiver's half: what our ACKs tell besides SEG.ACK (RFC 2018 3 and 4, RFC 2883).

    first block    the duplicate that this ACK answers (D-SACK), where it answers one
    then           the run that holds the segment which this ACK answers, or the duplicate
    then           the runs that were reported last, the latest first, as many as the header has room for

Owns which blocks a segment carries and how much room they take of one with data. The runs and their order are `reassembly`'s;
whatever is in a block stays until it is delivered: we never renege (RFC 2018 8). Reads a Connection, changes nothing of it
but that order.

Every segment that acknowledges while something is held tells of it, data segments too: RFC 2018 4 speaks of all ACKs, and
Linux (tcp_established_options) and FreeBSD (tcp_output) take it so; both shorten the data by what the option needs. A FIN that
stands right behind a run is held with it, and its number counts (as on Linux). Nothing is told before the connection is
established.
"""

from typing import TYPE_CHECKING, Final

from synfin.engine.handshake import SACK, TIMESTAMP_SPACE
from synfin.engine.seq import HALF, MASK

if TYPE_CHECKING:
    from synfin.engine.connection import Connection

Edges = tuple[int, int]  # of numbers that lie together: the first of them, and the one behind the last
NONE: Final = -1  # no sequence number
NOTHING: Final[Edges] = (NONE, NONE)
OPTIONS: Final = 40  # bytes that a header has for options
HEAD: Final = 4  # of a SACK option: two NOPs before it, kind and length
BLOCK: Final = 8  # two sequence numbers

Blocks = tuple[Edges, ...]
NO_BLOCKS: Final[Blocks] = ()


def blocks(c: "Connection", about: Edges = NOTHING) -> Blocks:
    """The blocks for an ACK of `c` that leaves now.

    Where it answers one particular segment, `about` are the edges of what is a duplicate in it (D-SACK); where both are the
    same number nothing is, and the run that has this number comes first (RFC 2018 4, RFC 2883 4).
    """
    if not c.agreed & SACK or not c.established:
        return NO_BLOCKS
    receiver = c.receiver
    left, right = about
    room = (OPTIONS - HEAD - (TIMESTAMP_SPACE if c.agreed_timestamps else 0)) // BLOCK
    fin, held = receiver.fin_seq, receiver.reassembly
    number = left
    if left == right == fin:
        number = (fin - 1) & MASK if fin >= 0 else NONE  # a FIN alone: the run before it, if there is one, holds it
    found = [] if held is None else held.report(number, room, receiver.rcv_nxt)
    if fin >= 0:
        found = [(start, (end + (end == fin)) & MASK) for start, end in found]
    first = [(left, right)] if left != right else []
    if left == right == fin >= 0 and (not found or found[0][1] != (fin + 1) & MASK):
        first = [(fin, (fin + 1) & MASK)]  # nothing that is kept reaches up to it
    return (*first, *found[: room - len(first)])


def beside_data(found: Blocks, mss: int) -> Blocks:
    """Those of `found` that go onto segments with data: at least half of the `mss` bytes is left to the data."""
    return found[: max((mss // 2 - HEAD) // BLOCK, 0)]


def space(found: Blocks) -> int:
    """The bytes of header that `found` takes."""
    return HEAD + BLOCK * len(found) if found else 0


def tells_duplicate(found: Blocks, ack: int) -> bool:
    """Whether the first of `found`, on a segment with SEG.ACK `ack`, is a D-SACK block: it ends before SEG.ACK, or lies in the
    second (RFC 2883 4)."""
    if not found:
        return False
    left, right = found[0]
    if (ack - right) & MASK < HALF:  # seq inline: right =< SEG.ACK
        return True
    if len(found) == 1:
        return False
    size = (found[1][1] - found[1][0]) & MASK
    return (left - found[1][0]) & MASK < size and (right - found[1][0]) & MASK <= size


def before(c: "Connection", seq: int, length: int) -> Edges:
    """Which of the `length` numbers at `seq` lie before RCV.NXT and have been received: their edges, or NOTHING.

    For D-SACK (RFC 2883 4.1, 4.2), of a segment that PAWS refuses too (4.3; so does Linux). What lies before the peer's first
    byte, as the byte of a keep-alive probe may (RFC 9293 3.8.4), was never received.
    """
    receiver = c.receiver
    behind = (receiver.rcv_nxt - seq) & MASK
    if not _reports(c) or behind >= HALF:  # seq inline
        return NOTHING
    left, right = min(behind, receiver.received), max(behind - length, 0)  # bytes before RCV.NXT
    return ((receiver.rcv_nxt - left) & MASK, (receiver.rcv_nxt - right) & MASK) if left > right else NOTHING


def kept(c: "Connection", seq: int, length: int) -> Edges:
    """Which of the `length` bytes at `seq`, not before RCV.NXT, are held out of order already: the edges of the first that lie
    together (RFC 2883 4.2), or NOTHING."""
    held = c.receiver.reassembly
    if held is None or not _reports(c):
        return NOTHING
    return held.duplicate(seq, length, c.receiver.rcv_nxt) or NOTHING


def _reports(c: "Connection") -> bool:
    """Whether duplicates are told of."""
    return c.agreed & SACK > 0 and c.config.dsack
