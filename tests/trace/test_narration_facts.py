"""Every sentence's facts against the events, over 50 seeds with 20 % loss: who, what, which number, which state, why.

What a sentence ought to say is worked out here a second time, from the packets' bytes and the order of the events alone.
"""

import contextlib
import re
import struct
from collections.abc import Callable, Iterable

import pytest

from synfin.engine import segment as why
from synfin.engine.config import SECOND
from synfin.engine.state import State
from synfin.sim.host import SimHost
from synfin.sim.world import World
from synfin.trace.context import Context
from synfin.trace.events import (
    Called,
    CongestionChanged,
    Dropped,
    PacketEvent,
    SegmentDelivered,
    SegmentLost,
    SegmentSent,
    StateChanged,
    TimerFired,
    TimerStarted,
    TraceEvent,
)
from synfin.trace.narrate import Fact, Sentence, narrate, say_fact
from synfin.trace.phrases import CAUSES, CONGESTION_CAUSES, DROPS, TIMERS, TRIGGERS, Duration
from synfin.words import Text

LOSS = 0.2
NAMES = (("FIN", 1), ("SYN", 2), ("RST", 4), ("PSH", 8), ("ACK", 16), ("URG", 32))


async def client(host: SimHost) -> None:
    with contextlib.suppress(OSError):
        s = host.socket()
        await s.connect(("server", 80))
        await s.send(b"?" * 6_000)
        s.shutdown("write")
        await s.recv_all()
        s.close()


async def server(host: SimHost) -> None:
    listener = host.socket()
    listener.bind(80)
    listener.listen()
    with contextlib.suppress(OSError):
        s = await listener.accept()
        await s.recv_all()
        await s.send(b"!" * 9_000)
        s.close()


def events_of(seed: int) -> list[TraceEvent]:
    world = World(seed)
    one, two = world.host("client"), world.host("server")
    world.link(one, two, delay=0.01, loss=LOSS)
    with world:
        world.spawn(server(two), background=True)
        world.spawn(client(one))
        world.run(400)
    assert world.trace is not None
    return world.trace.events


class Known:
    """What the events so far tell, without the help of what is tested."""

    def __init__(self) -> None:
        self.first: dict[bytes, int] = {}  # source and destination, address and port -> initial sequence number
        self.attempts: dict[tuple[str, int], int] = {}
        self.sent: dict[int, SegmentSent] = {}
        self.order: dict[str, list[int]] = {"client": [], "server": []}
        self.arrived: list[int] = []
        self.scale = {"client": 0, "server": 0}
        self.states = {"client": State.CLOSED, "server": State.CLOSED}
        self.heard = {"client": 0, "server": 0}  # segments with data that have come since the last ACK

    def fields(self, event: PacketEvent) -> dict[str, object]:
        """Flags and numbers from the bytes: IPv4 without options."""
        ports, seq, acknowledged, offset, flags = struct.unpack_from("!4sIIBB", event.data, 20)
        there = event.data[12:16] + ports[:2] + event.data[16:20] + ports[2:]
        back = there[6:] + there[:6]
        if flags & 2:
            self.first[there] = seq
        out: dict[str, object] = {
            "flags": ",".join(name for name, bit in sorted(NAMES, key=lambda n: ORDER.index(n[0])) if flags & bit),
            "seq": seq - self.first[there],
            "length": len(event.data) - 20 - (offset >> 4) * 4,
        }
        if flags & 16:
            out["ack"] = acknowledged - self.first[back]
        return out

    def take(self, event: TraceEvent) -> None:
        if isinstance(event, SegmentSent):
            self.sent[event.packet] = event
            self.order[event.host].append(event.packet)
            fields = self.fields(event)
            self.heard[event.host] = 0 if "ack" in fields else self.heard[event.host]
            if fields["length"] or "SYN" in str(fields["flags"]) or "FIN" in str(fields["flags"]):
                key = (event.host, event.seq)
                self.attempts[key] = self.attempts.get(key, 0) + 1
            if "SYN" in str(fields["flags"]):
                self.scale[event.host] = event.data[event.data.index(b"\x03\x03", 40) + 2]
        elif isinstance(event, SegmentDelivered):
            self.arrived.append(event.packet)
            self.heard[event.host] += self.fields(event)["length"] != 0
        elif isinstance(event, StateChanged):
            self.states[event.host] = event.new


ORDER = ("SYN", "FIN", "RST", "PSH", "ACK", "URG")


def expected(event: TraceEvent, known: Known) -> dict[str, object]:
    """All facts that a sentence on `event` may state."""
    facts: dict[str, object] = {"who": event.host, "peer": {"client": "server", "server": "client"}[event.host]}
    match event:
        case SegmentSent():
            facts |= known.fields(event)
            seq = facts["seq"]
            assert isinstance(seq, int)
            taken = facts["length"] if isinstance(facts["length"], int) else 0
            flags = str(facts["flags"]).split(",")
            facts["next"] = seq + taken + ("SYN" in flags) + ("FIN" in flags)
            facts["attempt"] = known.attempts.get((event.host, event.seq), 0) + 1
            facts["count"] = known.heard[event.host]
            facts["window"] = event.window << known.scale[event.host] if "SYN" not in flags else event.window
        case SegmentLost():
            facts |= known.fields(event)
            facts["cause"] = CAUSES[event.cause]
            facts["state"] = str(known.states[event.peer])
        case SegmentDelivered():
            sent = known.sent[event.packet]
            facts = {"who": sent.host, "peer": event.host, **known.fields(sent)}
            later = known.order[sent.host][known.order[sent.host].index(sent.packet) + 1 :]
            facts["overtaken"] = sum(1 for packet in known.arrived if packet in later)
            facts["delay"] = Duration(event.time - sent.time)
        case StateChanged():
            facts |= {"old": str(event.old), "new": str(event.new), "trigger": TRIGGERS[event.trigger]}
        case TimerStarted():
            facts |= {"duration": Duration(event.deadline - event.time), "timer": TIMERS[event.timer]}
        case TimerFired():
            facts |= {"timer": TIMERS[event.timer]}
            if event.detail:
                facts["wait"] = Duration(int(event.detail))
        case Dropped():
            facts |= {"reason": DROPS[event.reason], **known.fields(known.sent[event.packet])}
        case Called():
            data, dots, count = event.arguments.partition("... ")
            said = Text(event.arguments, f"{data}... 共 {count.removesuffix(' bytes')} 字节") if dots else event.arguments
            facts |= {"call": event.call, "arguments": said, "result": event.result}
            facts |= {"blocked": Duration(event.time - event.started), "error": ERRORS.get(event.error)}
        case CongestionChanged():
            facts |= {"cause": CONGESTION_CAUSES[event.cause], "cwnd": event.cwnd, "ssthresh": event.ssthresh}
    return facts


ERRORS = {104: "ECONNRESET", 110: "ETIMEDOUT", 32: "EPIPE", 103: "ECONNABORTED", 111: "ECONNREFUSED"}


def check(sentence: Sentence, known: Known) -> None:
    right = expected(sentence.event, known)
    for name, fact in sentence.facts.items():
        assert fact == right[name], f"{name}: {sentence.say('en')}"
    for lang in ("en", "zh"):
        said = sentence.say(lang)
        assert "{" not in said.replace(str(right.get("arguments", "")), "")
        for name, fact in sentence.facts.items():
            assert appears(fact, said, lang), f"{name} = {say_fact(fact, lang)!r} is not in {said!r}"


def appears(fact: Fact, said: str, lang: str) -> bool:
    """Whether the fact stands in the sentence, a number as a whole number."""
    text = say_fact(fact, lang)
    if isinstance(fact, int):
        return re.search(rf"(?<![\d-]){re.escape(text)}(?!\d)", said) is not None
    return text in said


# The sentences of the most frequent kinds, read as a person would read them.
SENT = re.compile(
    r"(?P<who>\w+) sends (?P<flags>[A-Z,]+)(?: again)?, seq (?P<seq>-?\d+)"
    r"(?:, ack (?P<ack>-?\d+))?(?:, (?P<length>\d+) bytes?)?: .+\."
)
MOVED = re.compile(r"(?P<who>\w+): (?P<old>[A-Z0-9-]+) -> (?P<new>[A-Z0-9-]+) \((?P<trigger>[^)]+)\): .+\.")
LOST = re.compile(
    r"The (?P<flags>[A-Z,]+) of (?P<who>\w+) \(seq (?P<seq>-?\d+)\) never arrives \((?P<cause>[^)]+)\);"
    r" (?P<peer>\w+) stays in (?P<state>[A-Z0-9-]+).*\."
)
READ: dict[type[TraceEvent], re.Pattern[str]] = {SegmentSent: SENT, StateChanged: MOVED, SegmentLost: LOST}


def check_by_reading(sentence: Sentence, known: Known) -> None:
    pattern = READ.get(type(sentence.event))
    if pattern is None:
        return
    match = pattern.fullmatch(sentence.say("en"))
    assert match is not None, sentence.say("en")
    right = expected(sentence.event, known)
    for name, said in match.groupdict().items():
        fact = right.get(name)
        if said is None:
            assert fact in (None, 0), f"{name} is not told: {sentence.say('en')}"
        else:
            assert said == (fact.en if isinstance(fact, Text) else str(fact)), name


def told(events: list[TraceEvent], *checks: Callable[[Sentence, Known], None]) -> Iterable[Sentence]:
    context = Context(events)
    known = Known()
    for event in events:
        sentence = narrate(event, context)
        if sentence is not None:
            for one in checks:
                one(sentence, known)
            yield sentence
        context.advance(event)
        known.take(event)


@pytest.mark.parametrize("seed", range(50))
def test_every_sentence_states_what_the_event_states(seed: int) -> None:
    events = events_of(seed)
    kinds = {type(sentence.event) for sentence in told(events, check, check_by_reading)}
    assert {SegmentSent, StateChanged, Called} <= kinds


def test_no_send_no_loss_and_no_move_goes_untold() -> None:
    for seed in range(5):
        events = events_of(seed)
        assert any(isinstance(event, SegmentLost) for event in events)
        told_of = [sentence.event for sentence in told(events)]
        silent = [
            event
            for event in events
            if isinstance(event, SegmentSent | SegmentLost | StateChanged | Called | Dropped) and event not in told_of
        ]
        assert silent == []


def test_a_retransmission_is_always_told_as_one() -> None:
    again = 0
    for seed in range(5):
        for sentence in told(events_of(seed)):
            event = sentence.event
            if isinstance(event, SegmentSent):
                assert (" again, " in sentence.say("en")) == (event.reason in why.RETRANSMISSIONS)
                assert ("重发" in sentence.say("zh").partition("：")[0]) == (event.reason in why.RETRANSMISSIONS)
                again += event.reason in why.RETRANSMISSIONS
    assert again > 10


def test_the_waits_that_are_told_double() -> None:
    waits: dict[tuple[int, str], list[int]] = {}
    for seed in range(10):
        for sentence in told(events_of(seed)):
            wait = sentence.facts.get("wait")
            if isinstance(wait, Duration) and sentence.facts["timer"] == TIMERS["handshake"]:
                waits.setdefault((seed, sentence.event.host), []).append(wait.nanoseconds)
    assert waits
    assert all(seconds == [2 * SECOND << n for n in range(len(seconds))] for seconds in waits.values())
