"""The receive sequence space: RCV.NXT, the window we offer, what waits to be read, what waits to be acknowledged.

Owns RCV.*; RFC 9293 3.8.6 (window, silly-window avoidance, delayed ACK), 3.8.5 and RFC 6093 (urgent data).
Knows nothing of the sender, of states or of options.

      read by the app      waiting        missing      out of order
    ------------------|-------------|...............|==========|.....|
                                    RCV.NXT                        rcv_edge
                                     <------- RCV.WND ------------->
"""

from collections import deque
from typing import Final

from synfin.engine.config import TcpConfig
from synfin.engine.reassembly import Reassembly, kept
from synfin.engine.segment import Buffer
from synfin.engine.seq import HALF, MASK

JOIN: Final = 1024  # bytes: shorter pieces that wait are joined, so that a thousand of one byte do not cost a thousand objects


class Receiver:
    """One direction of a connection: what comes in. `rcv_edge` is the right edge ever announced: it never moves left."""

    __slots__ = (
        "_chunks", "_goal", "capacity", "fin_received", "fin_seq", "irs", "last_ack_sent", "mark", "mss", "oob_inline",
        "quick", "quick_since", "rcv_edge", "rcv_nxt", "rcv_up", "reassembly", "shift", "shut", "size", "unacked",
        "urgent_byte", "urgent_pending", "wraps",
    )  # fmt: skip

    def __init__(self, config: TcpConfig, mss: int) -> None:
        self.capacity: int = config.receive_buffer
        self.mss: int = mss
        self.shift: int = 0
        self.irs: int = 0
        self.rcv_nxt: int = 0
        self.wraps: int = 0  # how often RCV.NXT has passed 0
        self.rcv_edge: int = 0
        self._goal: int = 0  # the edge before rounding up to the window scale
        self.last_ack_sent: int = 0
        # ACKs that go at once, as long as we have sent no more text than `quick_since` segments; a Rhythm finds its own.
        self.quick: int = config.quick_acks if config.ack_rule == "count" else 0
        self.quick_since: int = 0
        self.unacked: int = 0  # full-sized segments since the last ACK
        self.size: int = 0
        self._chunks: deque[bytes | memoryview] | None = None
        self.reassembly: Reassembly | None = None
        self.fin_seq: int = -1  # where the peer's FIN stands, once seen
        self.fin_received: bool = False
        self.shut: bool = False
        self.rcv_up: int = 0
        self.urgent_pending: bool = False
        self.urgent_byte: bytes = b""
        self.mark: int = -1  # bytes to read before the urgent mark; -1: no mark ahead
        self.oob_inline: bool = False

    def start(self, irs: int, shift: int) -> None:
        """The peer's SYN has arrived with sequence number `irs`; our windows will be scaled by `shift`.

        The window is what our own SYN or SYN,ACK has offered so far (`syn_window`).
        """
        offered = self.rcv_wnd
        self.irs = irs
        self.shift = shift
        self.rcv_nxt = self.last_ack_sent = self.rcv_up = (irs + 1) & MASK
        self.rcv_edge = self._goal = (self.rcv_nxt + offered) & MASK

    def syn_window(self, window: int) -> int:
        """The window field of a SYN or SYN,ACK that leaves now and is to say `window`: never less than before."""
        edge = (self.rcv_nxt + window) & MASK
        if (edge - self.rcv_edge) & MASK < HALF:
            self.rcv_edge = self._goal = edge
        return min((self.rcv_edge - self.rcv_nxt) & MASK, 0xFFFF)

    @property
    def rcv_wnd(self) -> int:
        """RCV.WND in bytes."""
        return (self.rcv_edge - self.rcv_nxt) & MASK

    @property
    def received(self) -> int:
        """Sequence numbers taken in order after the SYN's: bytes, and the FIN."""
        return (self.wraps << 32) + self.rcv_nxt - ((self.irs + 1) & MASK)

    # --- what arrives

    def acceptable(self, seq: int, length: int) -> bool:
        """The four cases of RFC 9293 3.10.7.4, first check (table 6)."""
        window = (self.rcv_edge - self.rcv_nxt) & MASK
        ahead = (seq - self.rcv_nxt) & MASK
        if length == 0:
            return ahead < window or ahead == 0
        if window == 0:
            return False
        return ahead < window or (ahead + length - 1) & MASK < window

    def deliver(self, payload: Buffer) -> None:
        """`payload` starts at RCV.NXT and lies in the window: the application may read it."""
        count = len(payload)
        self.rcv_nxt = rcv_nxt = (self.rcv_nxt + count) & MASK
        if rcv_nxt < count:
            self.wraps += 1
        if self.shut:
            return
        if self.urgent_pending:
            payload = self._split_urgent(payload)
            if not payload:
                return
        chunks = self._chunks
        if chunks is None:
            self._chunks = deque((kept(payload),))
        elif len(payload) < JOIN and len(chunks[-1]) < JOIN:
            chunks[-1] = b"".join((chunks[-1], payload))
        else:
            chunks.append(kept(payload))
        self.size += len(payload)

    def store(self, seq: int, payload: Buffer, limit: int) -> int:
        """Keep out-of-order bytes; returns how many were new, -1 when `limit` runs with holes between them are kept."""
        if self.reassembly is None:
            self.reassembly = Reassembly(limit)
        taken = self.reassembly.insert(seq, payload, self.rcv_nxt)
        if not self.reassembly.runs:
            self.reassembly = None
        return taken

    def continue_from_store(self) -> None:
        """Deliver what was kept and now follows RCV.NXT."""
        while self.reassembly is not None:
            data = self.reassembly.take(self.rcv_nxt)
            if not self.reassembly.runs:
                self.reassembly = None
            if data is None:
                return
            self.deliver(data)

    def discard(self) -> None:
        """SHUT_RD: what waits is thrown away, what comes is counted only."""
        self.shut = True
        self._chunks = None
        self.size = 0
        self.mark = -1
        self.urgent_pending = False
        self.urgent_byte = b""

    def counted(self) -> int:
        """The bytes that wait, counted anew; for invariants."""
        return sum(len(chunk) for chunk in self._chunks) if self._chunks else 0

    def take_fin(self) -> bool:
        """Whether the peer's FIN is next; if so it is consumed: it takes one sequence number (3.4)."""
        if self.fin_received:
            return False
        if self.fin_seq != self.rcv_nxt:
            if (self.fin_seq - self.rcv_nxt) & MASK >= HALF:  # seq inline: text came that goes past it
                self.fin_seq = -1
            return False
        self.fin_received = True
        self.reassembly = None
        self.rcv_nxt = (self.rcv_nxt + 1) & MASK
        if not self.rcv_nxt:
            self.wraps += 1
        if not (self.rcv_edge - self.rcv_nxt) & MASK < HALF:  # a FIN fits a closed window
            self.rcv_edge = self._goal = self.rcv_nxt
        return True

    # --- urgent data

    def urgent(self, up: int) -> bool:
        """URG: the urgent data ends before `up`. Returns whether that is news (RFC 9293 3.10.7.4, sixth check)."""
        if (up - self.rcv_nxt - 1) & MASK >= HALF:  # its last byte is delivered already
            return False
        if self.urgent_pending and (up - self.rcv_up - 1) & MASK >= HALF:
            return False
        self.rcv_up = up
        self.urgent_pending = True
        self.urgent_byte = b""
        self.mark = -1
        return True

    def _split_urgent(self, payload: Buffer) -> Buffer:
        """`payload` was just counted into RCV.NXT: find the urgent byte in it, take it out unless SO_OOBINLINE."""
        offset = (self.rcv_up - 1 - self.rcv_nxt + len(payload)) & MASK
        if offset >= len(payload):
            return payload
        self.urgent_pending = False
        self.mark = self.size + offset
        if self.oob_inline:
            return payload
        data = bytes(payload)
        self.urgent_byte = data[offset : offset + 1]
        return data[:offset] + data[offset + 1 :]

    def urgent_remains(self) -> bool:
        """Whether urgent data, come or announced, is still to be read."""
        if self.urgent_pending or self.mark > 0 or self.urgent_byte:
            return True
        return self.oob_inline and self.mark == 0

    # --- what the application takes

    def read(self, limit: int, peek: bool) -> bytes:
        """At most `limit` bytes in order, up to an urgent mark; b'' when there are none."""
        count = min(limit, self.size)
        if self.mark > 0:
            count = min(count, self.mark)
        chunks = self._chunks
        if count <= 0 or chunks is None:
            return b""
        if peek:
            return self._peek(chunks, count)
        first = chunks[0]
        if len(first) == count:
            del chunks[0]
            data = first if type(first) is bytes else bytes(first)
        elif len(first) > count:
            view = memoryview(first)
            data = bytes(view[:count])
            chunks[0] = kept(view[count:])
        else:
            data = self._join(chunks, count)
        self._consumed(count)
        return data

    def read_into(self, buffer: memoryview) -> int:
        """Fill `buffer` from the front; returns the bytes copied."""
        room = len(buffer)
        count = min(room, self.size)
        if self.mark > 0:
            count = min(count, self.mark)
        chunks = self._chunks
        if count <= 0 or chunks is None:
            return 0
        at = 0
        while at < count:
            chunk = chunks[0]
            part = min(len(chunk), count - at)
            if part == len(chunk):
                buffer[at : at + part] = chunk
                del chunks[0]
            else:
                view = memoryview(chunk)
                buffer[at : at + part] = view[:part]
                chunks[0] = kept(view[part:])
            at += part
        self._consumed(count)
        return count

    def _consumed(self, count: int) -> None:
        self.size -= count
        if self.mark >= 0:
            self.mark = self.mark - count if self.mark else -1
        if not self.size:
            self._chunks = None

    @staticmethod
    def _join(chunks: deque[bytes | memoryview], count: int) -> bytes:
        parts: list[bytes | memoryview] = []
        missing = count
        while missing:
            chunk = chunks.popleft()
            if len(chunk) > missing:
                view = memoryview(chunk)
                chunks.appendleft(kept(view[missing:]))
                chunk = view[:missing]
            parts.append(chunk)
            missing -= len(chunk)
        return b"".join(parts)

    @staticmethod
    def _peek(chunks: deque[bytes | memoryview], count: int) -> bytes:
        parts: list[memoryview] = []
        for chunk in chunks:
            part = memoryview(chunk)[:count]
            parts.append(part)
            count -= len(part)
            if not count:
                break
        return b"".join(parts)

    # --- the window we offer

    def room(self) -> int:
        """The window that the buffer has room for now, in bytes, as it is rounded up on the wire."""
        return (max(self.capacity - self.size, 0) + (1 << self.shift) - 1) >> self.shift << self.shift

    def advance_edge(self) -> None:
        """Move the right edge where silly-window avoidance allows it (3.8.6.2.2), never to the left."""
        free = self.capacity - self.size
        edge = (self.rcv_nxt + free) & MASK if free > 0 else self.rcv_nxt
        gain = (edge - self._goal) & MASK
        if gain >= HALF:  # seq inline: the goal is further already
            return
        if gain >= self.mss or 2 * gain >= self.capacity:
            floored = ((free >> self.shift) << self.shift) + self.rcv_nxt
            if (floored - self._goal) & MASK < HALF:
                self._goal = floored & MASK

    def window_field(self) -> int:
        """The 16-bit window for a segment that leaves now; announcing it moves `rcv_edge`."""
        self.advance_edge()
        window = (self._goal - self.rcv_nxt) & MASK
        shift = self.shift
        if window >= HALF:  # the peer used what rounding up had given
            window = 0
        field = (window + (1 << shift) - 1) >> shift
        if field > 0xFFFF:
            field = 0xFFFF
        edge = (self.rcv_nxt + (field << shift)) & MASK
        if (edge - self.rcv_edge) & MASK < HALF:
            self.rcv_edge = edge
        return field

    def update_due(self) -> bool:
        """Whether reading has opened the window so far that the peer should be told without waiting."""
        offered = (self.rcv_edge - self.rcv_nxt) & MASK
        gain = self.capacity - self.size - offered
        if gain < 2 * self.mss and 2 * gain < self.capacity:
            return False
        return offered < 2 * self.mss or 8 * offered <= self.capacity  # else the next ACK is soon enough
