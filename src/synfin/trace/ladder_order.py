"""The order of a ladder's rows: two sides, each with an order of its own, become one sequence.

Owns that order, and where among the events a call is shown. Knows nothing of what a row says.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from synfin.trace.events import Called, PacketEvent, SegmentDelivered, StateChanged, TraceEvent
from synfin.trace.ladder_model import LEFT, RIGHT, Arrow, Mark, MarkKind, Part, Row


@dataclass(slots=True)
class Item:
    """A row in the making, as one side sees it: `place` is its place among the events, `events` what is told with it."""

    place: tuple[int, int]
    time: int
    mark: Mark | None = None
    arrow: Arrow | None = None
    part: Part = Part.WHOLE
    events: list[int] = field(default_factory=list)


def call_places(events: Sequence[TraceEvent]) -> dict[int, list[tuple[int, Called]]]:
    """Where each call began: before which event; as (index, call) pairs by that event's index."""
    places: dict[int, list[tuple[int, Called]]] = {}
    previous: dict[str, int] = {}  # host -> the place just after its latest returned call
    times = [event.time for event in events]
    for index, event in enumerate(events):
        if not isinstance(event, Called):
            continue
        place = index
        if event.begun is not None:
            place = event.begun[0]
        elif event.blocked:
            place = bisect_left(times, event.started)
            before = previous.get(event.host, 0)
            if before and times[before - 1] <= event.started:
                place = max(place, before)
        else:
            while place and _follows_from(events[place - 1], event):
                place -= 1
        places.setdefault(place, []).append((index, event))
        previous[event.host] = index + 1
    for calls in places.values():
        calls.sort(key=_beginning)
    return places


def _beginning(numbered: tuple[int, Called]) -> tuple[bool, int, int]:
    """The order of calls at one place: those that said so as they began, then the others, which were told after that."""
    index, event = numbered
    return event.begun is None, 0 if event.begun is None else event.begun[1], index


def _follows_from(event: TraceEvent, call: Called) -> bool:
    """Whether `event`, told just before a call returned at once, is what the call did."""
    if event.host != call.host or event.time != call.time:
        return False
    if isinstance(event, StateChanged):
        return event.packet < 0
    return isinstance(event, PacketEvent) and not isinstance(event, SegmentDelivered)


def weave(sides: tuple[list[Item], list[Item]]) -> tuple[list[Row], list[list[int]]]:
    """One order of rows out of two, each kept; arrows that cross become two rows. Also the events told with each row."""
    rows: list[Row] = []
    told: list[list[int]] = []
    at = [0, 0]
    split: set[int] = set()  # packets; only membership is asked
    while at[0] < len(sides[0]) or at[1] < len(sides[1]):
        heads = [sides[s][at[s]] if at[s] < len(sides[s]) else None for s in (LEFT, RIGHT)]
        free = [s for s in (LEFT, RIGHT) if (head := heads[s]) is not None and _free(head, split)]
        if free:
            side = min(free, key=lambda s: _when(heads[s]))
            head = heads[side]
            assert head is not None
            at[side] += 1
            _add(rows, told, head, head.part if head.arrow is None or head.arrow.packet in split else Part.WHOLE)
            continue
        first, second = heads
        if first is not None and second is not None and first.arrow is second.arrow:
            departure, arrival = (first, second) if first.part is Part.DEPARTURE else (second, first)
            _add(rows, told, departure, Part.WHOLE)
            told[-1].extend(arrival.events)
            at = [at[0] + 1, at[1] + 1]
            continue
        cut = min((h for h in heads if h is not None and h.part is Part.DEPARTURE), key=_when)
        assert cut.arrow is not None
        split.add(cut.arrow.packet)
    return rows, told


def _free(item: Item, split: set[int]) -> bool:
    """Whether the row depends on its own side alone."""
    arrow = item.arrow
    return arrow is None or arrow.arrives is None or arrow.packet in split


def _when(item: Item | None) -> tuple[int, tuple[int, int]]:
    assert item is not None
    return item.time, item.place


def _add(rows: list[Row], told: list[list[int]], item: Item, part: Part) -> None:
    mark = item.mark
    if mark is not None and rows and _belongs(rows[-1], mark):
        rows[-1].marks.append(mark)
        told[-1].extend(item.events)
        return
    row = Row(item.time, item.arrow, part)
    if mark is not None:
        row.marks.append(mark)
    rows.append(row)
    told.append(list(item.events))


def _belongs(row: Row, mark: Mark) -> bool:
    """Whether a mark joins the row before it: the same side, the same time, one call after the other."""
    if row.arrow is not None or row.time != mark.time or not row.marks:
        return False
    last = row.marks[-1]
    together = (MarkKind.CALL, MarkKind.RETURN, MarkKind.STATE)
    return last.side == mark.side and last.kind in together and mark.kind in together
