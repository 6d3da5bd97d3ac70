"""Out-of-order ranges that wait for what is missing before them (RFC 9293 3.10.7.4, seventh check).

Owns the ranges: sorted, not overlapping, the bytes that came first win. Knows RCV.NXT only as an argument.
"""

from synfin.engine.segment import Buffer
from synfin.engine.seq import HALF, MASK


def kept(payload: Buffer) -> bytes | memoryview:
    """`payload` in a form that may be kept: a view that pins a mostly unused or a reusable buffer is copied."""
    if type(payload) is bytes:
        return payload
    if type(payload) is memoryview:
        whole = payload.obj
        if type(whole) is bytes and 2 * len(payload) >= len(whole):
            return payload
    return bytes(payload)


class Reassembly:
    """Ranges of sequence numbers with their bytes, at most `limit` of them."""

    __slots__ = ("limit", "ranges")

    def __init__(self, limit: int) -> None:
        self.limit: int = limit
        self.ranges: list[tuple[int, bytes | memoryview]] = []

    def insert(self, seq: int, payload: Buffer, rcv_nxt: int) -> int:
        """Keep what is new of `payload`, which starts at `seq` after `rcv_nxt`. Returns the bytes taken; -1 when full."""
        begin = (seq - rcv_nxt) & MASK
        end = begin + len(payload)
        if self.ranges:
            start, have = self.ranges[-1]
            beyond = (start - rcv_nxt) & MASK <= begin - len(have)
        else:
            beyond = True
        if beyond:  # the usual case after a loss: behind all that is kept
            if len(self.ranges) >= self.limit:
                return -1
            self.ranges.append((seq, kept(payload)))
            return len(payload)
        data = memoryview(payload)
        fresh: list[tuple[int, bytes | memoryview]] = []
        at = begin
        for start, have in self.ranges:
            left = (start - rcv_nxt) & MASK
            right = left + len(have)
            if right <= at:
                continue
            if left >= end:
                break
            if left > at:
                fresh.append(((rcv_nxt + at) & MASK, kept(data[at - begin : left - begin])))
            at = right
        if at < end:
            fresh.append(((rcv_nxt + at) & MASK, kept(data[at - begin :])))
        if not fresh:
            return 0
        if len(self.ranges) + len(fresh) > self.limit:
            return -1
        self.ranges.extend(fresh)
        self.ranges.sort(key=lambda entry: (entry[0] - rcv_nxt) & MASK)
        return sum(len(part) for _, part in fresh)

    def take(self, rcv_nxt: int) -> bytes | memoryview | None:
        """The bytes that continue at `rcv_nxt`, removed from here; None when the next number is still missing."""
        while self.ranges:
            seq, data = self.ranges[0]
            ahead = (seq - rcv_nxt) & MASK
            if ahead and ahead < HALF:  # seq inline: the range lies ahead of a hole
                return None
            del self.ranges[0]
            behind = (rcv_nxt - seq) & MASK
            if behind < len(data):
                return data[behind:] if behind else data
        return None
