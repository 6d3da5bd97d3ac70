"""Says what happened and why: one function, `narrate`, from an event and what went before to sentences.

Owns the choice of phrases (phrases.py has the words) and Context, the little that must be remembered to choose: states,
who has finished, how often something was sent. No scenario adds text of its own. Each sentence keeps its facts beside its
words, so that a test can compare them with the event's.
"""

import errno
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from synfin.engine import segment as why
from synfin.engine.segment import ACK, FIN, RST, SYN, URG, flag_names
from synfin.engine.seq import MASK, geq
from synfin.engine.state import State, Trigger
from synfin.trace import phrases as p
from synfin.trace.events import (
    INJECTED,
    Called,
    CongestionChanged,
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
)
from synfin.trace.numbers import Numbers
from synfin.trace.phrases import Duration
from synfin.words import Text

Fact = str | int | Text | Duration
SILENT_TIMERS: Final = ("delayed ACK", "2MSL")  # the ACK, or the change of state, that follows says it all


class Sentence(NamedTuple):
    """A sentence about `event`: its words with placeholders, and the facts that fill them."""

    event: TraceEvent
    text: Text
    facts: dict[str, Fact]

    def say(self, lang: str) -> str:
        """The sentence in `lang` ("en" or "zh")."""
        return self.text.say(lang, **{name: say_fact(fact, lang) for name, fact in self.facts.items()})


def say_fact(fact: Fact, lang: str) -> str:
    """A fact as the sentence has it."""
    return fact.say(lang) if isinstance(fact, Text | Duration) else str(fact)


def joined(*parts: Text) -> Text:
    """The parts one after the other, as one text."""
    return Text("".join(part.en for part in parts), "".join(part.zh for part in parts))


def known(table: dict[str, Text], name: str) -> Text:
    """The phrase for `name`, or the name itself in both languages where the table has none."""
    return table.get(name) or Text(name, name)


class _Half:
    """What one end has done in a connection so far."""

    __slots__ = ("active", "answered", "attempts", "peer_fin", "peer_fin_acked")

    def __init__(self) -> None:
        self.active = False  # it sent a SYN of its own accord
        self.answered = False  # it has sent a segment after its SYN
        self.attempts: dict[int, int] = {}  # raw sequence number -> how often something that takes numbers began there
        self.peer_fin = -1  # the raw number after the peer's FIN, -1 while none has come
        self.peer_fin_acked = False


class _Way:
    """The packets of one connection in one direction, in the order of sending."""

    __slots__ = ("arrived", "latest", "order")

    def __init__(self) -> None:
        self.order: dict[int, int] = {}  # packet -> place
        self.arrived: list[int] = []  # places, in the order of arrival
        self.latest = -1  # the last place among them


class Context:
    """What a reader who has followed the trace so far knows. Made from all events, then fed with `advance`.

    `absolute`: sequence numbers as on the wire, else counted from the initial ones.
    """

    def __init__(self, events: Iterable[TraceEvent], *, absolute: bool = False) -> None:
        events = list(events)
        self.numbers = Numbers(events)
        self.absolute = absolute
        self.states: dict[tuple[str, str], State] = {}
        self.packets: dict[int, SegmentSent] = {}
        self._halves: dict[tuple[str, str], _Half] = {}
        self._ways: dict[tuple[str, str], _Way] = {}
        self._peers: dict[tuple[str, str], str] = {}
        for event in events:
            if isinstance(event, PacketEvent):
                self._peers.setdefault((event.host, event.connection), event.peer)
                self._peers.setdefault((event.peer, event.connection), event.host)

    def state(self, host: str, connection: str, port: int = -1) -> State:
        """The state that `host` is in; where the connection is unknown there, LISTEN if `port` is listened on."""
        state = self.states.get((host, connection))
        if state is not None and state is not State.CLOSED:
            return state
        for (owner, name), listening in self.states.items():
            if owner == host and " " not in name and name.endswith(f":{port}") and listening is State.LISTEN:
                return State.LISTEN
        return State.CLOSED

    def peer(self, host: str, connection: str) -> str:
        """The host at the other end, or the connection's name when no packet has shown it."""
        return self._peers.get((host, connection), connection or "?")

    def half(self, host: str, connection: str) -> _Half:
        """What `host` has done in `connection`."""
        half = self._halves.get((host, connection))
        if half is None:
            half = self._halves[host, connection] = _Half()
        return half

    def way(self, host: str, connection: str) -> _Way:
        """The packets that `host` sent in `connection`."""
        way = self._ways.get((host, connection))
        if way is None:
            way = self._ways[host, connection] = _Way()
        return way

    def seq(self, event: PacketEvent) -> int:
        """The sequence number of a packet as the reader wants it."""
        numbered = None if self.absolute else self.numbers.of(event.packet)
        return event.seq if numbered is None else numbered.seq

    def ack(self, event: PacketEvent) -> int:
        """The acknowledgment number of a packet as the reader wants it."""
        numbered = None if self.absolute else self.numbers.of(event.packet)
        return event.ack if numbered is None else numbered.ack

    def next(self, event: PacketEvent) -> int:
        """The number that acknowledges the whole of a packet."""
        after = self.seq(event) + event.segment.length
        return after & MASK if self.absolute else after

    def window(self, event: PacketEvent) -> int:
        """The window of a packet in bytes."""
        numbered = self.numbers.of(event.packet)
        return event.window if numbered is None else numbered.window

    def advance(self, event: TraceEvent) -> None:
        """Take `event` in, after it has been narrated."""
        if isinstance(event, SegmentSent):
            self.packets[event.packet] = event
            if _readable(event):
                self._sent(event)
        elif isinstance(event, SegmentDelivered):
            self._delivered(event)
        elif isinstance(event, SegmentDuplicated):
            if event.packet in self.packets:
                self.packets[event.copy] = self.packets[event.packet]
        elif isinstance(event, StateChanged):
            self.states[event.host, event.connection] = event.new
            if event.old is State.CLOSED or event.new is State.LISTEN:
                self._halves.pop((event.host, event.connection), None)
        elif isinstance(event, Fault) and event.what == "host crashed":
            for key in [key for key in self.states if key[0] == event.subject]:
                del self.states[key]
                self._halves.pop(key, None)

    def _sent(self, event: SegmentSent) -> None:
        way = self.way(event.host, event.connection)
        way.order[event.packet] = len(way.order)
        if event.reason == INJECTED:
            return
        half = self.half(event.host, event.connection)
        segment = event.segment
        if segment.length:
            half.attempts[segment.seq] = half.attempts.get(segment.seq, 0) + 1
        if event.reason == why.SYN_OPEN:
            half.active = True
        elif not segment.flags & SYN:
            half.answered = True
        if half.peer_fin >= 0 and segment.flags & ACK and geq(segment.ack, half.peer_fin):
            half.peer_fin_acked = True

    def _delivered(self, event: SegmentDelivered) -> None:
        sent = self.packets.get(event.packet)
        if sent is None or not _readable(sent):
            return
        way = self.way(sent.host, sent.connection)
        place = way.order.get(sent.packet, 0)
        way.arrived.append(place)
        way.latest = max(way.latest, place)
        segment = sent.segment
        if segment.flags & FIN:
            self.half(event.host, event.connection).peer_fin = (segment.seq + segment.length) & MASK


def _readable(event: PacketEvent) -> bool:
    try:
        return event.view is not None
    except ValueError:  # ParseError
        return False


def narrate(event: TraceEvent, context: Context) -> Sentence | None:
    """The sentence for `event`, None where the events around it say it all. `context` has seen what went before."""
    if isinstance(event, PacketEvent) and not _readable(event) and event.packet not in context.packets:
        return None
    say = _BY_KIND.get(type(event))
    return None if say is None else say(event, context)


def narrate_all(events: Iterable[TraceEvent], *, absolute: bool = False) -> list[Sentence | None]:
    """A sentence, or None, for each of `events`."""
    events = list(events)
    context = Context(events, absolute=absolute)
    sentences = []
    for event in events:
        sentences.append(narrate(event, context))
        context.advance(event)
    return sentences


# One function a kind of event


def _sent(event: TraceEvent, context: Context) -> Sentence | None:
    assert isinstance(event, SegmentSent)
    if not _readable(event):
        return None
    segment = event.segment
    facts: dict[str, Fact] = {
        "who": event.host,
        "flags": flag_names(segment.flags),
        "seq": context.seq(event),
    }
    head = p.TURNS_UP if event.reason == INJECTED else p.SENDS_AGAIN if event.retransmission else p.SENDS
    parts = [head]
    if segment.flags & ACK:
        facts["ack"] = context.ack(event)
        parts.append(p.WITH_ACK)
    if segment.payload:
        facts["length"] = event.length
        parts.append(p.WITH_BYTE if event.length == 1 else p.WITH_BYTES)
    if segment.flags & URG:
        facts["urgent"] = facts["seq"] + segment.urgent if isinstance(facts["seq"], int) else 0
        parts.append(p.WITH_URGENT)
    reason = _reason(event, context)
    if event.reason == why.ACK_WINDOW_UPDATE:
        facts["window"] = context.window(event)
    if "{peer}" in reason.en:
        facts["peer"] = event.peer
    if "{next}" in reason.en:
        facts["next"] = context.next(event)
    if "{attempt}" in reason.en:
        facts["attempt"] = context.half(event.host, event.connection).attempts.get(segment.seq, 0) + 1
    return Sentence(event, joined(*parts, p.COLON, reason, p.STOP), facts)


def _reason(event: SegmentSent, context: Context) -> Text:
    """Why the segment was sent, as exactly as the trace so far allows."""
    half = context.half(event.host, event.connection)
    state = context.states.get((event.host, event.connection), State.CLOSED)
    match event.reason:
        case why.SYN_ACK if half.active:
            return p.SYN_ACK_SIMULTANEOUS
        case why.FIN_SENT if half.peer_fin >= 0:
            return p.FIN_SECOND if half.peer_fin_acked else p.FIN_WITH_ACK_OF_FIN
        case why.ACK_OF_FIN if state is State.TIME_WAIT:
            return p.LAST_ACK_SENT
        case why.ACK_OF_FIN if state is State.CLOSE_WAIT:
            return p.ACK_BEFORE_FIN
        case why.NEW_DATA | why.ACK_OF_SYN_ACK if half.active and not half.answered and event.length:
            return p.DATA_ON_THIRD
        case why.NEW_DATA if half.peer_fin >= 0:
            return p.DATA_AFTER_FIN
    return p.REASONS.get(event.reason, p.NOT_MEANT)


def _lost(event: TraceEvent, context: Context) -> Sentence | None:
    assert isinstance(event, SegmentLost)
    sent = context.packets.get(event.packet)
    if sent is None or not _readable(sent):
        return None
    facts: dict[str, Fact] = {
        "who": sent.host,
        "peer": sent.peer,
        "flags": flag_names(sent.flags),
        "seq": context.seq(sent),
        "cause": known(p.CAUSES, event.cause),
        "state": str(context.state(sent.peer, sent.connection, sent.view.destination_port)),
    }
    return Sentence(event, joined(p.LOST, _loss_means(sent, context), p.STOP), facts)


def _loss_means(sent: SegmentSent, context: Context) -> Text:
    """What the two ends now believe."""
    flags = sent.flags
    state = context.state(sent.peer, sent.connection, sent.view.destination_port)
    if flags & RST:
        return p.LOST_RESET
    if flags & SYN:
        return p.LOST_SYN_ACK if flags & ACK else p.LOST_SYN
    if flags & FIN:
        return p.LOST_FIN
    if state is State.SYN_RECEIVED:
        return p.LOST_THIRD
    if sent.length:
        return p.LOST_DATA
    if sent.reason in (why.ACK_OF_FIN, why.ACK_TIME_WAIT):
        return p.LOST_LAST_ACK
    return p.LOST_ACK


def _delivered(event: TraceEvent, context: Context) -> Sentence | None:
    """Only the late ones: of the others the arrow says when they arrive."""
    assert isinstance(event, SegmentDelivered)
    sent = context.packets.get(event.packet)
    if sent is None or not _readable(sent):
        return None
    way = context.way(sent.host, sent.connection)
    place = way.order.get(sent.packet, -1)
    if way.latest <= place or place in way.arrived:
        return None
    overtaken = sum(1 for other in way.arrived if other > place)
    facts: dict[str, Fact] = {
        "who": sent.host,
        "peer": event.host,
        "flags": flag_names(sent.flags),
        "seq": context.seq(sent),
        "delay": Duration(event.time - sent.time),
        "overtaken": overtaken,
    }
    return Sentence(event, p.LATE, facts)


def _copied(event: TraceEvent, context: Context) -> Sentence | None:
    assert isinstance(event, SegmentDuplicated)
    if not _readable(event):
        return None
    facts: dict[str, Fact] = {"who": event.host, "flags": flag_names(event.flags), "seq": context.seq(event)}
    return Sentence(event, p.DUPLICATED, facts)


def _corrupted(event: TraceEvent, context: Context) -> Sentence | None:
    assert isinstance(event, SegmentCorrupted)
    sent = context.packets.get(event.packet)
    if sent is None or not _readable(sent):
        return None
    facts: dict[str, Fact] = {
        "who": sent.host,
        "flags": flag_names(sent.flags),
        "seq": context.seq(sent),
        "count": len(event.bits),
        "bits": ", ".join(str(bit) for bit in event.bits),
    }
    return Sentence(event, p.CORRUPTED, facts)


def _moved(event: TraceEvent, context: Context) -> Sentence | None:
    assert isinstance(event, StateChanged)
    if event.new is State.CLOSED:
        meaning = p.CLOSED_BY.get(event.trigger, p.ENTERED[State.CLOSED])
    elif event.new is State.LISTEN and event.trigger is Trigger.RESET_TO_LISTEN:
        meaning = p.BACK_TO_LISTEN
    else:
        meaning = p.ENTERED[event.new]
    facts: dict[str, Fact] = {
        "who": event.host,
        "old": str(event.old),
        "new": str(event.new),
        "trigger": p.TRIGGERS[event.trigger],
    }
    if "{peer}" in meaning.en:
        facts["peer"] = context.peer(event.host, event.connection)
    return Sentence(event, joined(p.MOVES, p.COLON, meaning, p.STOP), facts)


def _timer_started(event: TraceEvent, context: Context) -> Sentence | None:
    assert isinstance(event, TimerStarted)
    text = p.TIMER_STARTED.get(event.timer, p.TIMER_STARTED_OTHER)
    facts: dict[str, Fact] = {"who": event.host, "duration": Duration(event.deadline - event.time)}
    if "{peer}" in text.en:
        facts["peer"] = context.peer(event.host, event.connection)
    if "{timer}" in text.en:
        facts["timer"] = known(p.TIMERS, event.timer)
    return Sentence(event, text, facts)


def _timer_fired(event: TraceEvent, context: Context) -> Sentence | None:
    assert isinstance(event, TimerFired)
    if event.timer in SILENT_TIMERS:
        return None
    facts: dict[str, Fact] = {"who": event.host, "timer": known(p.TIMERS, event.timer)}
    parts = [p.TIMER_FIRED]
    if event.detail.isdigit():  # the wait that follows, nanoseconds (RFC 6298 5.5)
        facts["wait"] = Duration(int(event.detail))
        parts.append(p.TIMER_NEXT)
    elif event.detail:
        facts["detail"] = event.detail
        parts.append(p.TIMER_DETAIL)
    return Sentence(event, joined(*parts, p.STOP), facts)


def _dropped(event: TraceEvent, context: Context) -> Sentence | None:
    assert isinstance(event, Dropped)
    facts: dict[str, Fact] = {"who": event.host, "reason": p.DROPS.get(event.reason, Text(*[str(event.reason)] * 2))}
    sent = context.packets.get(event.packet)
    if sent is None or not _readable(sent):
        return Sentence(event, joined(p.DROPPED_UNREAD, p.STOP), facts)
    facts["flags"], facts["seq"] = flag_names(sent.flags), context.seq(sent)
    return Sentence(event, joined(p.DROPPED, p.STOP), facts)


def _called(event: TraceEvent, context: Context) -> Sentence | None:
    assert isinstance(event, Called)
    facts: dict[str, Fact] = {"who": event.host, "call": event.call, "arguments": event.arguments}
    parts = [p.CALLS]
    if event.blocked:
        facts["blocked"] = Duration(event.blocked)
        parts.append(p.CALL_WAITED)
    if event.error:
        facts["error"] = errno.errorcode.get(event.error, str(event.error))
        parts.append(p.CALL_FAILED)
    elif event.result:
        facts["result"] = event.result
        parts.append(p.CALL_END if event.call == "recv" and event.result == "0" else p.CALL_RESULT)
    elif event.blocked:
        parts.append(p.CALL_SUCCEEDED)
    return Sentence(event, joined(*parts, p.STOP), facts)


def _fault(event: TraceEvent, context: Context) -> Sentence | None:
    assert isinstance(event, Fault)
    text = p.FAULTS.get(event.what)
    if text is None:
        return Sentence(event, p.FAULT_OTHER, {"what": event.what, "subject": event.subject})
    return Sentence(event, text, {"subject": event.subject})


def _congestion(event: TraceEvent, context: Context) -> Sentence | None:
    assert isinstance(event, CongestionChanged)
    facts: dict[str, Fact] = {"who": event.host, "cause": known(p.CONGESTION_CAUSES, event.cause), "cwnd": event.cwnd}
    if event.ssthresh >= 1 << 30:  # never set: as high as it goes (RFC 5681 3.1)
        return Sentence(event, p.CONGESTION_NO_LIMIT, facts)
    facts["ssthresh"] = event.ssthresh
    return Sentence(event, p.CONGESTION, facts)


_BY_KIND: Final[dict[type[TraceEvent], Callable[[TraceEvent, Context], Sentence | None]]] = {
    SegmentSent: _sent,
    SegmentLost: _lost,
    SegmentDelivered: _delivered,
    SegmentDuplicated: _copied,
    SegmentCorrupted: _corrupted,
    StateChanged: _moved,
    TimerStarted: _timer_started,
    TimerFired: _timer_fired,
    Dropped: _dropped,
    Called: _called,
    Fault: _fault,
    CongestionChanged: _congestion,
}
