"""Where everything of a ladder stands in the picture: heights by time, compressed where nothing happens.

Owns the vertical. A row's ends get heights in the order of time: what happens at one time begins at one height, on each
side the entries of that time stand below each other, and the step from one time to the next is in proportion to the
flight time of a segment, but never longer than GAP. Knows nothing of SVG.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from synfin.engine.state import State
from synfin.trace.ladder_model import LEFT, RIGHT, Arrow, Ladder, Mark, MarkKind, Part, Row

FLIGHT: Final = 54.0  # how far an arrow of the usual flight time falls, pixels
GAP: Final = 66.0  # a wait, however long
LINE: Final = 15.0  # a line of text beside a lifeline
PARALLEL: Final = 40.0  # between arrows in the same direction
TURN: Final = 24.0  # between an arrival and the departure that it causes
QUIET: Final = 4.0  # flight times without an event: drawn as a gap


@dataclass(slots=True)
class Place:
    """One end of an arrow, or a mark: its height, and the row it belongs to."""

    row: Row
    side: int
    time: int
    y: float
    arrow: Arrow | None = None
    mark: Mark | None = None
    lines: int = 1


@dataclass(slots=True)
class Shaft:
    """An arrow's two heights; `end` is where a lost one would have arrived. `crossed`: another cuts it; `overtaken`:
    one that was sent later arrives before it."""

    arrow: Arrow
    step: int
    start: float
    end: float
    crossed: bool = False
    overtaken: bool = False

    def at(self, side: int) -> float:
        """The height at one of the lifelines."""
        return self.start if side == self.arrow.sender else self.end


@dataclass(slots=True)
class Span:
    """A stretch of one lifeline: a state (`state`), or a wait or a blocked call (`mark`)."""

    side: int
    top: float
    bottom: float
    state: State | None = None
    mark: Mark | None = None


@dataclass(slots=True)
class Layout:
    """All heights, in pixels below the top of the lifelines."""

    shafts: list[Shaft] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    states: list[Span] = field(default_factory=list)
    waits: list[Span] = field(default_factory=list)
    calls: list[Span] = field(default_factory=list)
    gaps: list[tuple[float, float, int]] = field(default_factory=list)  # top, bottom, nanoseconds
    down: list[Span] = field(default_factory=list)
    bottom: float = 0.0


@dataclass(slots=True)
class _End:
    time: int
    order: int
    side: int
    row: Row
    arrow: Arrow | None
    mark: Mark | None
    departure: bool = False


def lay_out(ladder: Ladder, lines_of: Callable[[Mark], int]) -> Layout:
    """The layout of `ladder`; `lines_of` tells how many lines of text a mark needs."""
    layout = Layout()
    ends = _ends(ladder)
    flight = _usual_flight(ladder)
    free = [0.0, 0.0]  # where the next entry of each side may stand
    last: list[_End | None] = [None, None]
    starts: dict[int, float] = {}
    base, lowest, time = 0.0, 0.0, ends[0].time if ends else 0
    for end in ends:
        if end.time != time:
            base = _next_base(layout, lowest, end.time - time, flight, time)
            time = end.time
        y = max(base, free[end.side] + _distance(last[end.side], end))
        if end.mark is not None and end.mark.side is None:
            y = max(base, free[LEFT] + LINE, free[RIGHT] + LINE)
        if end.arrow is not None and not end.departure:
            y = max(y, starts[end.arrow.packet] + FLIGHT / 3)
        if end.arrow is not None and end.departure:
            starts[end.arrow.packet] = y
        count = lines_of(end.mark) if end.mark is not None else 1
        layout.places.append(Place(end.row, end.side, end.time, y, end.arrow, end.mark, count))
        free[end.side] = y + (count - 1) * LINE
        if end.mark is not None and end.mark.side is None:
            free = [y, y]
        last[end.side] = end
        lowest = max(lowest, free[end.side])
    _shafts(layout)
    layout.bottom = max([lowest, *(shaft.end for shaft in layout.shafts)]) + 2 * LINE
    _spans(ladder, layout)
    return layout


def _ends(ladder: Ladder) -> list[_End]:
    """Every end of an arrow and every mark, by time; at one time in the ladder's order."""
    ends = []
    for order, row in enumerate(ladder.rows):
        for mark in row.marks:
            ends.append(_End(mark.time, order, LEFT if mark.side is None else mark.side, row, None, mark))
        arrow = row.arrow
        if arrow is None:
            continue
        if row.part is not Part.ARRIVAL:
            ends.append(_End(arrow.departs, order, arrow.sender, row, arrow, None, departure=True))
        if row.part is not Part.DEPARTURE and arrow.arrives is not None:
            ends.append(_End(arrow.arrives, order, 1 - arrow.sender, row, arrow, None))
    ends.sort(key=lambda end: (end.time, end.order))
    return ends


def _usual_flight(ladder: Ladder) -> int:
    """The median flight time, nanoseconds; at least 1."""
    flights = sorted(a.arrives - a.departs for a in ladder.arrows if a.arrives is not None)
    return max(1, flights[len(flights) // 2]) if flights else 1_000_000


def _next_base(layout: Layout, lowest: float, passed: int, flight: int, since: int) -> float:
    """The height of the next time, `passed` nanoseconds after the last one; a long wait is noted as a gap."""
    if passed > QUIET * flight:
        layout.gaps.append((lowest + 12, lowest + GAP - 12, passed))
        return lowest + GAP
    return lowest + min(GAP, FLIGHT * passed / flight)


def _distance(before: _End | None, end: _End) -> float:
    """How far below the entry before it on the same side an entry must stand."""
    if before is None:
        return 0.0
    if before.arrow is None or end.arrow is None:
        return LINE + (4 if before.arrow is not end.arrow else 0)
    return PARALLEL if before.departure == end.departure else TURN


def _shafts(layout: Layout) -> None:
    starts: dict[int, Place] = {}
    ends: dict[int, Place] = {}
    for place in layout.places:
        if place.arrow is not None:
            (starts if place.side == place.arrow.sender else ends)[place.arrow.packet] = place
    for packet, place in starts.items():
        assert place.arrow is not None
        end = ends[packet].y if packet in ends else place.y + FLIGHT
        layout.shafts.append(Shaft(place.arrow, place.row.step, place.y, end))
    _cross(sorted(layout.shafts, key=lambda shaft: shaft.start))


def _cross(shafts: list[Shaft]) -> None:
    """Note which shafts cut each other."""
    for index, one in enumerate(shafts):
        for other in shafts[index + 1 :]:
            if other.start > one.end:
                break
            if (one.at(LEFT) - other.at(LEFT)) * (one.at(RIGHT) - other.at(RIGHT)) < 0:
                one.crossed = other.crossed = True
                one.overtaken |= one.arrow.sender == other.arrow.sender


def _spans(ladder: Ladder, layout: Layout) -> None:
    for side in (LEFT, RIGHT):
        own = [place for place in layout.places if place.side == side or (place.mark and place.mark.side is None)]
        _state_spans(ladder, layout, side, own)
        _waits(layout, side, own)
        _calls(layout, [place for place in own if place.mark is not None and place.mark.side == side])


def _state_spans(ladder: Ladder, layout: Layout, side: int, own: list[Place]) -> None:
    state, top, down = ladder.lanes[side].begins, 0.0, -1.0
    for place in own:
        mark = place.mark
        if mark is not None and mark.down == side:
            down = place.y
        elif mark is not None and mark.up == side and down >= 0:
            layout.down.append(Span(side, down, place.y))
            down = -1.0
        new = _state_at(place, side)
        if new is not None and new is not state:
            layout.states.append(Span(side, top, place.y, state=state))
            state, top = new, place.y
    layout.states.append(Span(side, top, layout.bottom, state=state))
    if down >= 0:
        layout.down.append(Span(side, down, layout.bottom))


def _state_at(place: Place, side: int) -> State | None:
    """The state that a side is in from this entry on; None when the entry does not tell."""
    mark, arrow = place.mark, place.arrow
    if mark is not None and (side in (mark.down, mark.up)):
        return State.CLOSED
    if mark is not None:
        return mark.state if mark.kind is MarkKind.STATE else None
    assert arrow is not None
    return arrow.before if arrow.sender == side else arrow.after


def _waits(layout: Layout, side: int, own: list[Place]) -> None:
    """The waits: each until its time, the next wait or another state of its side, whichever comes first."""
    for index, place in enumerate(own):
        mark = place.mark
        if mark is None or mark.kind is not MarkKind.WAIT or mark.until is None:
            continue
        bottom = layout.bottom
        for later in own[index + 1 :]:
            state = _state_at(later, side)
            again = later.mark is not None and later.mark.kind is MarkKind.WAIT
            if again or later.time >= mark.until or (state is not None and state is not mark.state):
                bottom = later.y
                break
        layout.waits.append(Span(side, place.y, bottom, mark=mark))


def _calls(layout: Layout, marks: list[Place]) -> None:
    """The calls that block."""
    for index, place in enumerate(marks):
        mark = place.mark
        assert mark is not None
        if mark.kind is MarkKind.CALL and mark.until is not None and mark.until > mark.time:
            bottom = next((p.y for p in marks[index + 1 :] if p.mark is not None and _returns(mark, p.mark)), 0.0)
            layout.calls.append(Span(place.side, place.y, bottom or layout.bottom, mark=mark))


def _returns(call: Mark, mark: Mark) -> bool:
    name = call.text.en.partition("(")[0]
    return mark.kind is MarkKind.RETURN and mark.time == call.until and mark.text.en.startswith(f"{name} ")
