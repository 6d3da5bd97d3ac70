"""Out-of-order bytes that wait for what is missing before them (RFC 9293 3.10.7.4, seventh check).

Owns the runs: sorted, with a hole between any two, the bytes that came first win; and the order in which they were reported,
which the blocks of a SACK option follow (RFC 2018 4). What is contiguous is one run, so that one
loss costs one of them however much follows it; the number of runs is bounded, and within a run small pieces are joined, so that
a peer that sends a byte at a time costs no more than what it sends. Knows RCV.NXT only as an argument.
"""

from bisect import bisect_left
from collections import deque
from typing import Final

from synfin.engine.segment import Buffer
from synfin.engine.seq import HALF, MASK

JOIN: Final = 1024  # bytes: of two neighbours that are both shorter one is made


def kept(payload: Buffer) -> bytes | memoryview:
    """`payload` in a form that may be kept: a view that pins a mostly unused or a reusable buffer is copied."""
    if type(payload) is bytes:
        return payload
    if type(payload) is memoryview:
        whole = payload.obj
        if type(whole) is bytes and 2 * len(payload) >= len(whole):
            return payload
    return bytes(payload)


class Run:
    """Bytes without a hole: the first has the number `seq`, `size` in all."""

    __slots__ = ("chunks", "seq", "size")

    def __init__(self, seq: int, payload: Buffer) -> None:
        self.seq: int = seq
        self.size: int = len(payload)
        self.chunks: deque[bytes | memoryview] = deque((kept(payload),))

    def append(self, payload: Buffer) -> None:
        """`payload` follows."""
        self.size += len(payload)
        chunks = self.chunks
        if len(payload) < JOIN and len(chunks[-1]) < JOIN:
            chunks[-1] = b"".join((chunks[-1], payload))
        else:
            chunks.append(kept(payload))

    def prepend(self, payload: Buffer) -> None:
        """`payload` comes before."""
        self.size += len(payload)
        self.seq = (self.seq - len(payload)) & MASK
        chunks = self.chunks
        if len(payload) < JOIN and len(chunks[0]) < JOIN:
            chunks[0] = b"".join((payload, chunks[0]))
        else:
            chunks.appendleft(kept(payload))

    def absorb(self, other: "Run") -> None:
        """`other` follows without a hole; of the two lists the shorter one is moved."""
        first = other.chunks.popleft()
        self.append(first)
        self.size += other.size - len(first)
        if len(other.chunks) > len(self.chunks):
            other.chunks.extendleft(reversed(self.chunks))
            self.chunks = other.chunks
        else:
            self.chunks.extend(other.chunks)


class Reassembly:
    """Runs of sequence numbers with their bytes, at most `limit` of them. `recent` has the same runs in the order in which they
    came up or were reported first, the latest at the end."""

    __slots__ = ("limit", "recent", "runs")

    def __init__(self, limit: int) -> None:
        self.limit: int = limit
        self.runs: list[Run] = []
        self.recent: list[Run] = []

    def insert(self, seq: int, payload: Buffer, rcv_nxt: int) -> int:
        """Keep what is new of `payload`, which starts at `seq` after `rcv_nxt`. Returns the bytes taken; -1 when full."""
        begin = (seq - rcv_nxt) & MASK
        runs = self.runs
        if runs and ((runs[-1].seq - rcv_nxt) & MASK) + runs[-1].size == begin:
            runs[-1].append(payload)  # the usual case after a loss: behind all that is kept
            return len(payload)
        # The runs that `payload` overlaps or touches.
        first = self._ends_from(begin, rcv_nxt)
        last = bisect_left(runs, begin + len(payload) + 1, first, key=lambda run: (run.seq - rcv_nxt) & MASK)
        if first < last:
            return self._join(first, last, begin, memoryview(payload), rcv_nxt)
        if len(runs) >= self.limit:
            return -1
        run = Run(seq, payload)
        runs.insert(first, run)
        self.recent.append(run)
        return len(payload)

    def _ends_from(self, ahead: int, rcv_nxt: int) -> int:
        """The place of the first run that ends at least `ahead` bytes after `rcv_nxt`."""
        return bisect_left(self.runs, ahead, key=lambda run: ((run.seq - rcv_nxt) & MASK) + run.size)

    def _join(self, first: int, last: int, begin: int, data: memoryview, rcv_nxt: int) -> int:
        """Make one run of those from `first` up to `last` and of what is new in `data`; returns the bytes taken."""
        run = self.runs[first]
        left = (run.seq - rcv_nxt) & MASK
        at = left + run.size  # everything before is there
        taken = max(left - begin, 0)
        if taken:
            run.prepend(data[:taken])
        for other in self.runs[first + 1 : last]:
            left = (other.seq - rcv_nxt) & MASK
            if left > at:
                run.append(data[at - begin : left - begin])
                taken += left - at
            at = left + other.size
            run.absorb(other)
            other.size = 0
        if at < begin + len(data):
            run.append(data[at - begin :])
            taken += begin + len(data) - at
        if last - first > 1:
            del self.runs[first + 1 : last]
            self.recent = [each for each in self.recent if each.size]
        return taken

    def duplicate(self, seq: int, size: int, rcv_nxt: int) -> tuple[int, int] | None:
        """The edges of those of the `size` bytes at `seq`, not before `rcv_nxt`, that are kept already; of several parts only
        the first's."""
        begin = (seq - rcv_nxt) & MASK
        at = self._ends_from(begin + 1, rcv_nxt)
        if at == len(self.runs):
            return None
        run = self.runs[at]
        start = (run.seq - rcv_nxt) & MASK
        left, right = max(start, begin), min(start + run.size, begin + size)
        return ((rcv_nxt + left) & MASK, (rcv_nxt + right) & MASK) if left < right else None

    def report(self, number: int, count: int, rcv_nxt: int) -> list[tuple[int, int]]:
        """The edges of at most `count` runs, those that were reported last first; before all others the one that has the
        sequence number `number`, where there is one (below 0: none is looked for)."""
        at = self._ends_from(((number - rcv_nxt) & MASK) + 1, rcv_nxt) if number >= 0 else len(self.runs)
        if at < len(self.runs) and (number - self.runs[at].seq) & MASK < self.runs[at].size:
            recent, run = self.recent, self.runs[at]
            if recent[-1] is not run:
                recent.remove(run)
                recent.append(run)
        return [(run.seq, (run.seq + run.size) & MASK) for run in self.recent[: -count - 1 : -1]]

    def take(self, rcv_nxt: int) -> bytes | memoryview | None:
        """Some of the bytes that continue at `rcv_nxt`, removed from here; None when the next number is missing."""
        while self.runs:
            run = self.runs[0]
            behind = (rcv_nxt - run.seq) & MASK
            if behind >= HALF:  # seq inline: the run lies ahead of a hole
                return None
            data = run.chunks.popleft()
            run.seq = (run.seq + len(data)) & MASK
            run.size -= len(data)
            if not run.chunks:
                del self.runs[0]
                self.recent.remove(run)
            if behind < len(data):
                return data[behind:] if behind else data
        return None
