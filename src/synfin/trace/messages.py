"""Names the messages that programs put into their streams: on the call that sent a message, and on the segment where it begins.

Owns where in a stream a message begins. What a message is called and means is told by who knows the protocol (`Naming`), so
this knows no protocol but the header before each message: its length, four bytes, big-endian.
"""

from collections.abc import Callable
from typing import Final

from synfin.engine.segment import SYN
from synfin.engine.seq import MASK
from synfin.trace.context import readable
from synfin.trace.events import Called, Carried, SegmentSent
from synfin.trace.recorder import Trace

HEADER: Final = 4  # bytes

Naming = Callable[[bytes], Carried]


class _Stream:
    """What one end of a connection has sent: `data` by its place in the stream, `called` bytes of it by calls so far."""

    __slots__ = ("called", "data", "isn", "segments", "sends")

    def __init__(self) -> None:
        self.isn = 0
        self.data = bytearray()
        self.called = 0
        self.sends: list[tuple[int, int, Called]] = []  # first byte, the byte after the last, what sent them
        self.segments: list[tuple[int, int, SegmentSent]] = []

    def sent(self, event: SegmentSent) -> None:
        """A segment, sent for the first time or again."""
        segment = event.segment
        if segment.flags & SYN:
            self.isn = segment.seq
        first = (segment.seq - self.isn - 1) & MASK
        if not segment.payload or first > len(self.data):
            return  # a segment that does not belong to this stream
        last = first + len(segment.payload)
        self.data[first:last] = segment.payload
        self.segments.append((first, last, event))

    def call(self, event: Called) -> None:
        """A `send` that took `result` bytes."""
        taken = int(event.result)
        self.sends.append((self.called, self.called + taken, event))
        self.called += taken

    def name(self, naming: Naming) -> None:
        """Name the messages whose headers are whole and whose bytes have all been sent once."""
        place = 0
        while place + HEADER <= len(self.data):
            behind = place + HEADER + int.from_bytes(self.data[place : place + HEADER], "big")
            if behind > len(self.data):
                return
            carried = naming(bytes(self.data[place + HEADER : behind]))
            carriers: list[tuple[int, int, Called | SegmentSent]] = [*self.sends, *self.segments]
            for first, last, event in carriers:
                if first <= place < last:
                    event.carries = (*event.carries, carried)
            place = behind


def name_messages(trace: Trace, naming: Naming) -> None:
    """Name the messages of all connections of a finished run, each of which has the header in front. Once for a trace."""
    streams: dict[tuple[str, str], _Stream] = {}
    for event in trace:
        if isinstance(event, SegmentSent) and readable(event):
            streams.setdefault((event.host, event.connection), _Stream()).sent(event)
        elif isinstance(event, Called) and event.call == "send" and event.result.isdigit():
            streams.setdefault((event.host, event.connection), _Stream()).call(event)
    for stream in streams.values():
        stream.name(naming)
