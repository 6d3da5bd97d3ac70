"""Says what happened and why: one function, `narrate`, from an event and what went before to sentences.

Owns the choice of phrases: phrases.py has the words, context.py what must be remembered to choose. No scenario adds text
of its own. Each sentence keeps its facts beside its words, so that a test can compare them with the event's.
"""

import errno
import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from synfin.engine import segment as why
from synfin.engine.sack import tells_duplicate
from synfin.engine.segment import ACK, FIN, RST, SYN, URG, flag_names
from synfin.engine.seq import MASK, diff, geq
from synfin.engine.state import State, Trigger
from synfin.trace import phrases as p
from synfin.trace.context import Context, Half, readable
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
from synfin.trace.phrases import Duration
from synfin.words import Text, literal

Fact = str | int | Text | Duration
SILENT_TIMERS: Final = ("delayed ACK", "2MSL")  # the ACK, or the change of state, that follows says it all

LONG_DATA: Final = re.compile(r"(b['\"].*)\.\.\. (\d+) bytes")  # what a call sends, more than is shown
AWAIT_ACK_OF_FIN: Final = (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)


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


def narrate(event: TraceEvent, context: Context) -> Sentence | None:
    """The sentence for `event`, None where the events around it say it all. `context` has seen what went before."""
    if isinstance(event, PacketEvent) and not readable(event) and event.packet not in context.packets:
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
    if not readable(event):
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
    if event.carries:
        names = [carried.name for carried in event.carries]
        facts["messages"] = literal(", ".join(names), "、".join(names))
        parts.append(p.WITH_MESSAGES)
    if segment.flags & URG:
        facts["urgent"] = facts["seq"] + segment.urgent if isinstance(facts["seq"], int) else 0
        parts.append(p.WITH_URGENT)
    reason = _reason(event, context)
    if event.reason == why.ACK_WINDOW_UPDATE:
        facts["window"] = context.window(event)
    if "{peer}" in reason.en:
        facts["peer"] = event.peer
    if "{count}" in reason.en:
        facts["count"] = context.half(event.host, event.connection).unacked
    if "{next}" in reason.en:
        facts["next"] = context.next(event)
    if "{attempt}" in reason.en:
        facts["attempt"] = context.half(event.host, event.connection).attempts.get(segment.seq, 0) + 1
    if "{unread}" in reason.en:
        facts["unread"] = _unread(event, context.half(event.host, event.connection))
    return Sentence(event, joined(*parts, p.COLON, reason, *_told_by_sack(event, context, facts), p.STOP), facts)


def _told_by_sack(event: SegmentSent, context: Context, facts: dict[str, Fact]) -> list[Text]:
    """What the blocks of a SACK option say besides; their numbers go to `facts`."""
    parts = []
    blocks = [f"{left}:{right}" for left, right in context.sacks(event)]
    if tells_duplicate(event.segment.sacks, event.segment.ack):
        facts["again"] = blocks.pop(0)
        parts.append(p.CAME_TWICE)
    if blocks:
        facts["held"] = Text(", ".join(blocks), "、".join(blocks))
        parts.append(p.HOLDS)
    return parts


def _reason(event: SegmentSent, context: Context) -> Text:
    """Why the segment was sent, as exactly as the trace so far allows."""
    half = context.half(event.host, event.connection)
    state = context.states.get((event.host, event.connection), State.CLOSED)
    match event.reason:
        case why.ACK_DUPLICATE if not event.window:
            return p.ACK_WINDOW_CLOSED
        case why.ACK_DUPLICATE if _fills_gap(event, half):
            return p.ACK_FILLS_GAP
        case why.ACK_SECOND if half.unacked > 1:
            return p.ACK_OF_SEVERAL
        case why.RETRANSMIT_HANDSHAKE if event.flags & ACK and not half.timed_out:
            return p.SYN_ACK_ASKED_AGAIN
        case why.RESET_ABORT if _unread(event, half) > 0:
            return p.RESET_UNREAD
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


def _fills_gap(event: SegmentSent, half: Half) -> bool:
    """Whether what has just arrived was taken and lies before the number that is now acknowledged (RFC 5681 4.2)."""
    came = half.arrived
    return came is not None and not half.refused and came.length > 0 and not geq(came.seq, event.ack)


def _unread(event: SegmentSent, half: Half) -> int:
    """How many bytes had come in order by the acknowledgment number and were not read; 0 where the trace cannot tell."""
    if half.read < 0 or half.peer_isn < 0 or not event.flags & ACK:
        return 0
    ends = half.peer_fin >= 0 and geq(event.ack, half.peer_fin)
    return ((event.ack - half.peer_isn - 1 - ends) & MASK) - half.read


def _lost(event: TraceEvent, context: Context) -> Sentence | None:
    assert isinstance(event, SegmentLost)
    sent = context.packets.get(event.packet)
    if sent is None or not readable(sent):
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
        return p.LOST_RESET_IDLE if state in (State.CLOSED, State.LISTEN) else p.LOST_RESET
    if _known_already(sent, context):
        return p.LOST_KNOWN
    if flags & SYN:
        return p.LOST_SYN_ACK if flags & ACK else p.LOST_SYN
    if flags & FIN:
        return p.LOST_FIN
    if state is State.SYN_RECEIVED:
        return p.LOST_THIRD
    if sent.length:
        return p.LOST_DATA
    if sent.reason in (why.ACK_OF_FIN, why.ACK_TIME_WAIT) and state in AWAIT_ACK_OF_FIN:
        return p.LOST_LAST_ACK if state in (State.LAST_ACK, State.CLOSING) else p.LOST_ACK_OF_FIN
    return p.LOST_ACK


def _known_already(sent: SegmentSent, context: Context) -> bool:
    """Whether the SYN or the FIN of a lost segment had come before."""
    half, segment = context.half(sent.peer, sent.connection), sent.segment
    if segment.flags & FIN:
        return half.peer_fin == (segment.seq + segment.length) & MASK
    return bool(segment.flags & SYN) and half.peer_isn == segment.seq


def _delivered(event: TraceEvent, context: Context) -> Sentence | None:
    """Only the late ones: of the others the arrow says when they arrive."""
    assert isinstance(event, SegmentDelivered)
    sent = context.packets.get(event.packet)
    if sent is None or not readable(sent):
        return None
    way = context.way(sent.host, sent.connection)
    place = way.order.get(sent.packet, -1)
    copy = event.packet != sent.packet
    if way.latest <= place or (place in way.arrived and not copy):
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
    parts = [p.LATE_COPY if copy else p.LATE]
    numbered = context.numbers.of(sent.packet)
    if sent.reason != INJECTED and numbered is not None and way.isn not in (-1, numbered.first_of_direction):
        facts["here"] = sent.seq if context.absolute else diff(sent.seq, way.isn)
        parts.append(p.OF_EARLIER)
    return Sentence(event, joined(*parts, p.STOP), facts)


def _copied(event: TraceEvent, context: Context) -> Sentence | None:
    assert isinstance(event, SegmentDuplicated)
    if not readable(event):
        return None
    facts: dict[str, Fact] = {"who": event.host, "flags": flag_names(event.flags), "seq": context.seq(event)}
    return Sentence(event, p.DUPLICATED, facts)


def _corrupted(event: TraceEvent, context: Context) -> Sentence | None:
    assert isinstance(event, SegmentCorrupted)
    sent = context.packets.get(event.packet)
    if sent is None or not readable(sent):
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
    if sent is None or not readable(sent):
        return Sentence(event, joined(p.DROPPED_UNREAD, p.STOP), facts)
    facts["flags"], facts["seq"] = flag_names(sent.flags), context.seq(sent)
    return Sentence(event, joined(p.DROPPED, p.STOP), facts)


def _called(event: TraceEvent, context: Context) -> Sentence | None:
    assert isinstance(event, Called)
    facts: dict[str, Fact] = {"who": event.host, "call": event.call, "arguments": _arguments(event)}
    parts = [p.CALLS]
    if event.blocked:
        facts["blocked"] = Duration(event.blocked)
        parts.append(p.CALL_WAITED)
    elif event.error or event.result:
        parts.append(p.CALL_AT_ONCE)
    if event.error:
        facts["error"] = errno.errorcode.get(event.error, str(event.error))
        parts.append(p.CALL_FAILED)
    elif event.result:
        facts["result"] = event.result
        parts.append(p.CALL_END if event.call == "recv" and event.result == "0" else p.CALL_RESULT)
    elif event.blocked:
        parts.append(p.CALL_SUCCEEDED)
    if event.carries:
        means = [carried.means for carried in event.carries]
        facts["means"] = literal("; ".join(each.en for each in means), "；".join(each.zh for each in means))
        parts += [p.COLON, Text("{means}", "{means}")]
    return Sentence(event, joined(*parts, p.STOP), facts)


def _arguments(event: Called) -> Fact:
    """What a call is given: the names of the messages it sends where they have some; else as it was told, its words in both
    languages."""
    if event.carries:
        return ", ".join(carried.name for carried in event.carries)
    long = LONG_DATA.fullmatch(event.arguments)
    if long is None:
        return event.arguments
    return literal(*(p.CALL_BYTES.say(lang, data=long[1], count=long[2]) for lang in ("en", "zh")))


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
