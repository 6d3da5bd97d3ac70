"""The ladder as a model: two lifelines, arrows between them, marks on them, and the sentences, step by step.

Owns what stands in a ladder and in which order; ladder_text and ladder_svg only draw it. Each side's own order of events
is kept exactly. An arrow is one row where that order allows it, with its departure on one side and its arrival on the
other; where segments cross or overtake each other it is two rows, one a side.
"""

import errno
from collections.abc import Sequence
from typing import Final

from synfin.engine.sack import tells_duplicate
from synfin.engine.segment import ACK, SYN, URG, flag_names
from synfin.engine.state import State
from synfin.trace.context import Context, readable
from synfin.trace.events import (
    INJECTED,
    Called,
    Dropped,
    Fault,
    PacketEvent,
    SegmentCorrupted,
    SegmentDelivered,
    SegmentDuplicated,
    SegmentLost,
    SegmentSent,
    StateChanged,
    TimerFired,
    TimerStarted,
    TraceEvent,
    endpoint_name,
)
from synfin.trace.ladder_model import LEFT, RIGHT, Arrow, Ladder, Lane, Mark, MarkKind, Part, Row, Step
from synfin.trace.ladder_order import Item, call_places, weave
from synfin.trace.narrate import SILENT_TIMERS, Sentence, known, narrate
from synfin.trace.phrases import CAUSES, DROPS, FAULTS_SHORT, TIMERS, TIMERS_SHORT, Duration
from synfin.trace.recorder import Trace
from synfin.words import Text, literal

LONGEST_ARGUMENT: Final = 28  # an IPv6 address and port, as a call's narrow column shows it
LONGEST_DATA: Final = 10


def build_ladder(trace: Trace, connections: Sequence[str] | None = None, *, absolute: bool = False) -> Ladder:
    """The ladder of `connections` (names of events.connection_name; all between the first two hosts when None).

    `absolute`: sequence numbers as on the wire. Raises ValueError when no connection of that name was seen.
    """
    return _Builder(trace, connections, absolute).build()


class _Builder:
    def __init__(self, trace: Trace, connections: Sequence[str] | None, absolute: bool) -> None:
        self.trace = trace
        self.absolute = absolute
        self.hosts, self.ends, self.names = _lifelines(trace, connections)
        self.context = Context(trace.events, absolute=absolute)
        self.sides: tuple[list[Item], list[Item]] = ([], [])
        self.departures: dict[int, Item] = {}
        self.arrivals: dict[int, Item] = {}
        self.copies: dict[int, int] = {}
        self.said: dict[int, Sentence] = {}
        self.ports = [self._ports(host) for host in self.hosts]
        self.lanes = (self._lane(LEFT), self._lane(RIGHT))
        self.current = [lane.begins for lane in self.lanes]
        self.waiting: list[list[int]] = [[], []]  # state changes that no row shows yet
        self.calls: dict[int, list[tuple[int, Called]]] = {}

    def build(self) -> Ladder:
        events = self.trace.events
        self.calls = call_places(events)
        for index, event in enumerate(events):
            sentence = narrate(event, self.context)
            if sentence is not None:
                self.said[index] = sentence
            self._take(index, event)
            self.context.advance(event)
        self._take_calls(len(events))
        for side in (LEFT, RIGHT):
            self._show_waiting(side)
            self.sides[side].sort(key=lambda item: item.place)
        rows, told = weave(self.sides)
        return Ladder(self.lanes, rows, self._steps(rows, told), self.absolute)

    def _lane(self, side: int) -> Lane:
        """A lifeline; its first change of state tells what the state was before."""
        host = self.hosts[side]
        more = [*self.ports[side][1:2], *[".."][: len(self.ports[side]) - 2]]
        end = ",".join([self.ends[side], *more])
        for event in self.trace:
            if isinstance(event, StateChanged) and event.host == host and self._ours(event):
                return Lane(host, end, event.old)
        return Lane(host, end, State.CLOSED)

    def _ports(self, host: str) -> list[str]:
        """The ports that `host` sends from in this ladder, in the order of use; what it did not send itself is left out."""
        found: dict[str, None] = {}
        for event in self.trace:
            if isinstance(event, SegmentSent) and event.host == host and event.connection in self.names:
                if event.reason != INJECTED and readable(event):
                    found[str(event.view.source_port)] = None
        return list(found)

    def _side(self, host: str) -> int | None:
        return self.hosts.index(host) if host in self.hosts else None

    def _ours(self, event: TraceEvent) -> bool:
        """Whether the event belongs in this ladder: to one of its connections, or to a listener behind one."""
        if event.connection in self.names:
            return True
        if " " in event.connection or event.host not in self.hosts:
            return False
        end = self.ends[self.hosts.index(event.host)]
        return not event.connection or event.connection.rpartition(":")[2] == end.rpartition(":")[2]

    def _take(self, index: int, event: TraceEvent) -> None:
        """Put `event` where it belongs. Congestion control is left to the trace: too much for a ladder."""
        self._take_calls(index)
        if isinstance(event, Fault):
            self._take_fault(index, event)
            return
        if not self._ours(event):
            return
        if isinstance(event, PacketEvent):
            self._take_packet(index, event)
        elif isinstance(event, StateChanged):
            self._take_state(index, event)
        elif isinstance(event, TimerStarted | TimerFired):
            self._take_timer(index, event)
        elif isinstance(event, Dropped):
            self._take_drop(index, event)

    # Packets

    def _take_packet(self, index: int, event: PacketEvent) -> None:
        match event:
            case SegmentSent():
                self._take_sent(index, event)
            case SegmentDelivered():
                self._take_delivered(index, event)
            case SegmentLost():
                item = self.departures.get(event.packet)
                if item is not None and item.arrow is not None:
                    item.arrow.lost = known(CAUSES, event.cause)
                    item.events.append(index)
            case SegmentDuplicated():
                self.copies[event.copy] = event.packet
                self._tell_with(event.packet, index)
            case SegmentCorrupted():
                item = self.departures.get(event.packet)
                if item is not None and item.arrow is not None:
                    item.arrow.corrupted = True
                    item.events.append(index)

    def _tell_with(self, packet: int, index: int) -> None:
        item = self.departures.get(packet)
        if item is not None:
            item.events.append(index)

    def _take_sent(self, index: int, event: SegmentSent) -> None:
        side = self._side(event.host)
        if side is None:
            return
        try:
            arrow = self._arrow(event, side)
        except ValueError:  # ParseError: nothing that a ladder could show
            return
        item = Item((index, 0), event.time, arrow=arrow, part=Part.DEPARTURE, events=[index])
        if event.reason != INJECTED:
            shown = [i for i in self.waiting[side] if self.trace.events[i].time == event.time]
            self.waiting[side] = [i for i in self.waiting[side] if i not in shown]
            self._show_waiting(side)
            item.events = [*shown, index]
        self.departures[event.packet] = item
        self.sides[side].append(item)

    def _arrow(self, event: SegmentSent, side: int) -> Arrow:
        segment = event.segment
        options = []
        if segment.mss >= 0:
            options.append(f"mss={segment.mss}")
        if segment.wscale >= 0:
            options.append(f"ws={segment.wscale}")
        if segment.flags & SYN and segment.sack_permitted:
            options.append("sack")
        if segment.flags & SYN and segment.has_timestamps:
            options.append("ts")
        if segment.flags & SYN and len(self.ports[side]) > 1:
            options.append(f"port={event.view.source_port}")
        if segment.flags & URG:
            options.append(f"urg={self.context.seq(event) + segment.urgent}")
        for place, (left, right) in enumerate(self.context.sacks(event)):
            again = not place and tells_duplicate(segment.sacks, segment.ack)
            options.append(f"{'dsack' if again else 'sack'}={left}:{right}")
        if event.carries:
            options.append(" + ".join(carried.name for carried in event.carries))
        return Arrow(
            sender=side,
            packet=event.packet,
            departs=event.time,
            arrives=None,
            flags=flag_names(segment.flags),
            seq=self.context.seq(event),
            ack=self.context.ack(event) if segment.flags & ACK else None,
            window=self.context.window(event),
            length=event.length,
            options=tuple(options),
            retransmission=event.retransmission,
            injected=event.reason == INJECTED,
            before=self.current[side],
            after=self.current[1 - side],
        )

    def _take_delivered(self, index: int, event: SegmentDelivered) -> None:
        side = self._side(event.host)
        item = self.departures.get(event.packet)
        if item is None and event.packet in self.copies:
            item = self._copy(event)
        if side is None or item is None or item.arrow is None:
            return
        self._show_waiting(side)
        arrow = item.arrow
        arrow.arrives = event.time
        arrow.after = self.current[side]
        arrival = Item((index, 0), event.time, arrow=arrow, part=Part.ARRIVAL, events=[index])
        self.arrivals[event.packet] = arrival
        self.sides[side].append(arrival)

    def _copy(self, event: SegmentDelivered) -> Item | None:
        """The network's copy of a packet: an arrow of its own, from the same departure."""
        original = self.departures.get(self.copies[event.packet])
        if original is None or original.arrow is None:
            return None
        a = original.arrow
        arrow = Arrow(
            a.sender, event.packet, a.departs, None, a.flags, a.seq, a.ack, a.window, a.length, a.options,
            a.retransmission, a.injected, copy=True, before=a.before,
        )  # fmt: skip
        place = (original.place[0], original.place[1] + 1 + len(self.copies))
        item = Item(place, original.time, arrow=arrow, part=Part.DEPARTURE)
        self.departures[event.packet] = item
        self.sides[a.sender].append(item)
        return item

    # What happens on one side

    def _take_state(self, index: int, event: StateChanged) -> None:
        side = self._side(event.host)
        if side is None:
            return
        if " " not in event.connection and self.current[side] not in (State.CLOSED, State.LISTEN):
            return  # the listener changed while a connection of it is shown
        self.current[side] = event.new
        self.lanes[side].states.append((event.time, event.new))
        arrival = self.arrivals.get(event.packet)
        if arrival is not None and arrival.arrow is not None:
            arrival.arrow.after = event.new
            arrival.events.append(index)
        else:
            self.waiting[side].append(index)

    def _show_waiting(self, side: int) -> None:
        """Give each state change that no arrow shows a row of its own."""
        for index in self.waiting[side]:
            event = self.trace.events[index]
            assert isinstance(event, StateChanged)
            name = str(event.new)
            mark = Mark(MarkKind.STATE, side, event.time, Text(name, name), state=event.new)
            self.sides[side].append(Item((index, 0), event.time, mark=mark, events=[index]))
        self.waiting[side] = []

    def _take_timer(self, index: int, event: TimerStarted | TimerFired) -> None:
        side = self._side(event.host)
        if side is None or (isinstance(event, TimerFired) and event.timer in SILENT_TIMERS):
            return
        name = known(TIMERS, event.timer)
        if isinstance(event, TimerStarted):
            length = Duration(event.deadline - event.time)
            text = Text(f"{name.en} {length.say('en')}", f"{name.zh} {length.say('zh')}")
            state = State.TIME_WAIT if event.timer == "2MSL" else self.current[side]
            mark = Mark(MarkKind.WAIT, side, event.time, text, state, until=event.deadline)
        else:
            text = TIMERS_SHORT.get(event.timer, name)
            mark = Mark(MarkKind.TIMER, side, event.time, text, state=self.current[side])
        self._show_waiting_unless_next(side, event.time)
        self.sides[side].append(Item((index, 0), event.time, mark=mark, events=[index]))

    def _show_waiting_unless_next(self, side: int, time: int) -> None:
        late = [i for i in self.waiting[side] if self.trace.events[i].time != time]
        keep = [i for i in self.waiting[side] if self.trace.events[i].time == time]
        self.waiting[side] = late
        self._show_waiting(side)
        self.waiting[side] = keep

    def _take_drop(self, index: int, event: Dropped) -> None:
        side = self._side(event.host)
        text = DROPS.get(event.reason, Text(str(event.reason), str(event.reason)))
        arrival = self.arrivals.get(event.packet)
        if arrival is not None and arrival.arrow is not None:
            arrival.arrow.dropped = text
            arrival.events.append(index)
        elif side is not None:
            mark = Mark(MarkKind.DROP, side, event.time, text, state=self.current[side])
            self.sides[side].append(Item((index, 0), event.time, mark=mark, events=[index]))

    def _take_fault(self, index: int, event: Fault) -> None:
        side = self._side(event.host or event.subject)
        words = FAULTS_SHORT.get(event.what, Text(f"{event.what}: {{subject}}", f"{event.what}：{{subject}}"))
        text = literal(words.say("en", subject=event.subject), words.say("zh", subject=event.subject))
        if event.what == "host crashed" and side is not None:
            self._show_waiting(side)
            self.current[side] = State.CLOSED
            self.lanes[side].states.append((event.time, State.CLOSED))
        mark = Mark(MarkKind.FAULT, None, event.time, text)
        mark.down = side if event.what == "host crashed" else None
        mark.up = side if event.what == "host restarted" else None
        for lane in (LEFT, RIGHT):
            self._show_waiting(lane)
        self.sides[LEFT if side is None else side].append(Item((index, 0), event.time, mark=mark, events=[index]))

    def _take_calls(self, index: int) -> None:
        """The calls that began just before the event numbered `index`."""
        for order, (number, event) in enumerate(self.calls.get(index, ())):
            side = self._side(event.host)
            if side is None or not self._ours(event):
                continue
            call, result = _short_call(event)
            failed = event.error != 0
            begun = Mark(
                MarkKind.CALL, side, event.started, literal(call, call), self.current[side],
                until=event.time, failed=failed and not event.blocked,
            )  # fmt: skip
            place = (index, -len(self.calls[index]) + order)
            self._show_waiting_unless_next(side, event.started)
            self.sides[side].append(Item(place, event.started, mark=begun, events=[number]))
            if event.blocked:
                waited = Duration(event.blocked)
                text = literal(
                    f"{event.call} = {result}\n({waited.say('en')})",
                    f"{event.call} = {result}\n({waited.say('zh')})",
                )
                mark = Mark(MarkKind.RETURN, side, event.time, text, self.current[side], failed=failed)
                self.sides[side].append(Item((number, 0), event.time, mark=mark))

    # Steps

    def _steps(self, rows: list[Row], told: list[list[int]]) -> list[Step]:
        steps: list[Step] = []
        for row, indexes in zip(rows, told, strict=True):
            sentences = [self.said[index] for index in indexes if index in self.said]
            if sentences:
                row.step = len(steps) + 1
                steps.append(Step(row.step, row.time, sentences))
        return steps


def _short_call(event: Called) -> tuple[str, str]:
    """A call and its result as the narrow columns have them: what is sent is told in the sentences."""
    result = errno.errorcode.get(event.error, str(event.error)) if event.error else event.result
    arguments = ", ".join(carried.name for carried in event.carries) or event.arguments
    if len(arguments) > (LONGEST_DATA if arguments.startswith(("b'", 'b"')) else LONGEST_ARGUMENT):
        arguments = ".."
    call = f"{event.call}({arguments})"
    if not event.blocked and result:
        call = f"{call} = {result}"
    return call, result or "ok"


def _lifelines(
    trace: Trace, connections: Sequence[str] | None
) -> tuple[tuple[str, str], tuple[str, str], tuple[str, ...]]:
    """The two hosts (who speaks first is on the left), their ends, and the connections between them."""
    wanted = tuple(connections) if connections is not None else tuple(trace.connections())
    for event in trace:
        if not isinstance(event, SegmentSent) or event.connection not in wanted:
            continue
        view = event.view
        ends = (
            endpoint_name(view.source, view.source_port),
            endpoint_name(view.destination, view.destination_port),
        )
        pair = (event.host, event.peer)
        if connections is None:
            wanted = _between(trace, pair)
        return pair, ends, wanted
    raise ValueError(f"no segment of {', '.join(wanted) if wanted else 'any connection'} in this trace")


def _between(trace: Trace, pair: tuple[str, str]) -> tuple[str, ...]:
    names = [
        event.connection
        for event in trace
        if isinstance(event, SegmentSent) and event.connection and {event.host, event.peer} == set(pair)
    ]
    return tuple(dict.fromkeys(names))
