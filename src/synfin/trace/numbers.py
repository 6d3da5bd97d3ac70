"""Sequence numbers counted from a connection's initial ones, in both directions, and windows in bytes.

Owns what "relative" means: the base of a direction is the sequence number of the latest SYN that a stack of this run sent
in it, at the time when the packet was sent. A number from before the connection (an old duplicate) is negative; one in a
direction that has shown no SYN yet stays as it is on the wire. A trace is read once; packets are looked up by number.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from synfin.engine.segment import ACK, SYN
from synfin.engine.seq import diff
from synfin.trace.events import INJECTED, SegmentDuplicated, SegmentSent, TraceEvent
from synfin.wire.packet import PacketView

End = tuple[bytes, int]


class Numbered(NamedTuple):
    """What a packet's numbers mean: `seq` and `ack` relative, `window` in bytes, `urgent` the number after the last
    urgent byte (relative; RFC 6093 would have it on the byte itself, RFC 9293 3.8.5 has it after), SACK edges relative."""

    seq: int
    ack: int
    window: int
    urgent: int
    sacks: tuple[tuple[int, int], ...]
    first_of_direction: int  # the raw number that `seq` counts from
    first_of_answers: int  # the raw number that `ack` counts from


class _Direction:
    """What one end has said of itself in its latest SYN."""

    __slots__ = ("isn", "wscale")

    def __init__(self, isn: int, wscale: int) -> None:
        self.isn = isn
        self.wscale = wscale


_UNKNOWN: Final = _Direction(0, -1)


class Numbers:
    """The numbers of every packet among `events`; packets that are not TCP are left out."""

    def __init__(self, events: Iterable[TraceEvent]) -> None:
        self._packets: dict[int, Numbered] = {}
        self._ends: dict[tuple[End, End], _Direction] = {}
        for event in events:
            if isinstance(event, SegmentSent):
                self._note(event)
            elif isinstance(event, SegmentDuplicated) and event.packet in self._packets:
                self._packets[event.copy] = self._packets[event.packet]

    def of(self, packet: int) -> Numbered | None:
        """The numbers of packet number `packet`; None when it was never sent or is not TCP."""
        return self._packets.get(packet)

    def pair(self, packet: int) -> tuple[int, int] | None:
        """Relative sequence and acknowledgment number, None as in `of`."""
        numbered = self._packets.get(packet)
        return None if numbered is None else (numbered.seq, numbered.ack)

    def _note(self, event: SegmentSent) -> None:
        try:
            view = event.view
        except ValueError:  # ParseError
            return
        there, back = _ends(view)
        segment = view.segment
        if segment.flags & SYN and event.reason != INJECTED:
            self._ends[there, back] = _Direction(segment.seq, segment.wscale)
        mine = self._ends.get((there, back), _UNKNOWN)
        theirs = self._ends.get((back, there), _UNKNOWN)
        scaled = not segment.flags & SYN and mine.wscale >= 0 and theirs.wscale >= 0
        seq = diff(segment.seq, mine.isn) if mine is not _UNKNOWN else segment.seq
        ack = 0
        if segment.flags & ACK:
            ack = diff(segment.ack, theirs.isn) if theirs is not _UNKNOWN else segment.ack
        self._packets[event.packet] = Numbered(
            seq=seq,
            ack=ack,
            window=segment.window << min(mine.wscale, 14) if scaled else segment.window,  # RFC 7323 2.3
            urgent=seq + segment.urgent,
            sacks=tuple((diff(left, theirs.isn), diff(right, theirs.isn)) for left, right in segment.sacks),
            first_of_direction=mine.isn,
            first_of_answers=theirs.isn,
        )


def _ends(view: PacketView) -> tuple[End, End]:
    source = (bytes(view.source), view.source_port)
    return source, (bytes(view.destination), view.destination_port)
