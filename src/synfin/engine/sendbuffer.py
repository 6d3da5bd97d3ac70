"""Bytes that were written and are not yet acknowledged, addressed by their distance from the first of them.

Owns the bytes only; which sequence number the first one has is the sender's affair. `bytes` are kept by reference, any
other buffer is copied when written. Small writes are joined, so that a thousand of one byte do not cost a thousand chunks.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from typing import Final

from synfin.engine.segment import Buffer

JOIN: Final = 4096  # bytes: chunks up to this size are joined
VIEW: Final = 8192  # bytes: from this size on a view is cheaper than a copy
COMPACT: Final = 64  # chunks that may be spent before the lists are cut
LARGEST_PIECE: Final = 65_215  # bytes: what Linux hands to a device at once, besides headers
TINY_WINDOW: Final = 536  # bytes: half of such a window would be too little (tcp_bound_to_half_wnd)


class SendBuffer:
    """A queue of chunks; `size` bytes in all, after `base` that were dropped. The lists exist only while there is something in
    them."""

    __slots__ = ("_chunks", "_head", "_starts", "base", "size")

    def __init__(self, base: int = 0) -> None:
        self.size: int = 0
        self.base: int = base  # position of the first byte, which so many went before; positions only grow
        self._head: int = 0  # index of the chunk that holds it
        self._chunks: list[bytes] | None = None
        self._starts: list[int] | None = None

    def append(self, data: Buffer, more: bool = False) -> None:
        """Take `data` at the end; `more`: what the same application writes next belongs to it."""
        chunk = data if type(data) is bytes else bytes(data)
        chunks, starts = self._chunks, self._starts
        if chunks is None or starts is None:
            self._chunks = [chunk]
            self._starts = [self.base]
            self._head = 0
        elif len(chunk) < JOIN and len(chunks[-1]) + len(chunk) <= JOIN:
            chunks[-1] += chunk
        else:
            chunks.append(chunk)
            starts.append(self.base + self.size)
        self.size += len(chunk)

    def drop(self, count: int) -> None:
        """Forget the first `count` bytes: they are acknowledged."""
        self.base += count
        self.size -= count
        if not self.size:
            self._chunks = self._starts = None
            return
        assert self._starts is not None and self._chunks is not None
        head = self._head
        starts = self._starts
        last = len(starts) - 1
        while head < last and starts[head + 1] <= self.base:
            self._chunks[head] = b""
            head += 1
        if head >= COMPACT:
            del self._chunks[:head], starts[:head]
            head = 0
        self._head = head

    def expect(self, unsent: int, mss: int, window: int, reach: int) -> None:
        """More is about to be appended: see HalvedBuffer."""

    def ends_write(self, offset: int) -> bool:
        """Whether what was written at once ended `offset` bytes from the first byte."""
        return offset == self.size

    def view(self, offset: int, count: int) -> Buffer:
        """`count` bytes from `offset` on; a view where they lie in one large chunk."""
        chunks, starts = self._chunks, self._starts
        if not count or chunks is None or starts is None:
            return b""
        position = self.base + offset
        index = self._head
        if index + 1 < len(starts) and starts[index + 1] <= position:
            index = bisect_right(starts, position, index) - 1
        chunk = chunks[index]
        begin = position - starts[index]
        if begin + count <= len(chunk):
            if count >= VIEW:
                return memoryview(chunk)[begin : begin + count]
            return chunk[begin : begin + count]
        parts = [memoryview(chunk)[begin:]]
        missing = count - len(parts[0])
        while missing > 0:
            index += 1
            part = memoryview(chunks[index])[:missing]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


class MarkedBuffer(SendBuffer):
    """A SendBuffer that remembers where each write ended, for TcpConfig.push = "write"."""

    __slots__ = ("_ends",)

    def __init__(self, base: int = 0) -> None:
        super().__init__(base)
        self._ends: deque[int] = deque()  # positions

    def append(self, data: Buffer, more: bool = False) -> None:
        """See SendBuffer."""
        super().append(data, more)
        if not more:
            self._ends.append(self.base + self.size)

    def drop(self, count: int) -> None:
        """See SendBuffer."""
        super().drop(count)
        while self._ends and self._ends[0] <= self.base:
            self._ends.popleft()

    def ends_write(self, offset: int) -> bool:
        """See SendBuffer."""
        position = self.base + offset
        at = bisect_left(self._ends, position)
        return at < len(self._ends) and self._ends[at] == position


class HalvedBuffer(MarkedBuffer):
    """A MarkedBuffer for TcpConfig.push_half_window: a write that is longer than half of the peer's largest window is pushed
    after such halves too, as Linux has it (tcp_sendmsg_locked, forced_push).

    What is written fills pieces of whole segments, at most half of that window each (tcp_xmit_size_goal). A piece that is full
    goes as far as it may; what is written next joins the rest of it, and a push moves to the end of what has joined.
    """

    __slots__ = ("_half", "_mss", "_piece", "_pushed", "_reach", "_start")

    def __init__(self, base: int = 0) -> None:
        super().__init__(base)
        self._half: int = 0
        self._mss: int = 1
        self._piece: int = LARGEST_PIECE
        self._pushed: int = base  # position of the last push
        self._start: int = base  # where the last piece begins, as far as it has not gone
        self._reach: int = base  # what lies before may go

    def expect(self, unsent: int, mss: int, window: int, reach: int) -> None:
        """What is appended next meets a peer whose largest window was `window` bytes; `unsent` bytes have never gone, `reach`
        may be in flight, segments hold `mss`."""
        self._half = window >> 1
        largest = min(LARGEST_PIECE, self._half if window > TINY_WINDOW else window)
        if window > TINY_WINDOW:
            mss = min(mss, self._half)
        self._piece = max(largest - largest % mss, mss)
        self._mss = mss
        self._start = max(self._start, self.base + self.size - unsent)
        self._reach = self.base + reach

    def append(self, data: Buffer, more: bool = False) -> None:
        """See SendBuffer."""
        begin = self.base + self.size
        SendBuffer.append(self, data)
        end = self.base + self.size
        if self._ends and self._ends[-1] == begin and self._start < begin < self._start + self._piece:
            self._ends.pop()  # it joins what has not gone
        pushed = False
        while (full := self._start + self._piece) < end:
            if full - self._pushed > self._half:
                pushed, self._pushed = True, full
            gone = min(full, self._reach)
            gone -= (gone - self._start) % self._mss
            if self._start < gone < full:
                self._start = gone
                continue
            if pushed:
                self._ends.append(full)
            pushed, self._start = False, full
        if not more or end - self._pushed > self._half:
            pushed, self._pushed = True, end
        if pushed:
            self._ends.append(end)


def buffer_for(push: str, halves: bool) -> SendBuffer:
    """The buffer that TcpConfig.push and push_half_window ask for."""
    if push != "write":
        return SendBuffer()
    return HalvedBuffer() if halves else MarkedBuffer()
