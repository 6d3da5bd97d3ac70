"""Plays one script once: what each event does, and whether what came of it is what the script says.

Owns the order of events and the times: an event's time counts from the completion of the one before it, an expected packet may
leave within the tolerance, a call with an end may wait that long. A call that waits is an attempt, made again after each step
of the stack. Nothing here knows the script's name. Raises Failed and Skip.
"""

import errno
from collections.abc import Callable
from typing import Final

from synfin.engine.config import NEVER
from synfin.engine.segment import SYN
from synfin.packetdrill.bench import Bench
from synfin.packetdrill.calls import Calls
from synfin.packetdrill.code import CodeError, Program, compiled
from synfin.packetdrill.compare import Joined, Rules, Sent, as_script, differences, packet_text
from synfin.packetdrill.failure import Failed, call_text, without_time
from synfin.packetdrill.features import look_over
from synfin.packetdrill.files import Answer, Attempt, Skip
from synfin.packetdrill.flow import Flow
from synfin.packetdrill.icmps import icmp_text, same_icmp
from synfin.packetdrill.plan import Plan
from synfin.packetdrill.shell import Shell
from synfin.packetdrill.sockopts import information
from synfin.packetdrill.symbols import UnknownSymbol, value_of
from synfin.packetdrill.syntax import (
    ANY,
    RELATIVE,
    Call,
    Code,
    Command,
    Event,
    IcmpPacket,
    Script,
    ScriptError,
    TcpPacket,
)  # fmt: skip
from synfin.stack.addresses import make_key
from synfin.trace.recorder import Trace
from synfin.wire.errors import ParseError

FIRST_PORT: Final = 40_000  # of the script's side, where it names none
LATER: Final = 64_000_000_000  # ns: how long a packet that is missing is looked for, to say when it came
FOREVER: Final = 86_400_000_000_000  # ns: the reach of `*`
MAKING: Final = ("socket", "accept", "accept4", "open", "dup", "dup2", "epoll_create", "epoll_create1")


class Pending:
    """A call that waits: it may end between `earliest` and `latest`; `until` is when it gives up by itself, or None."""

    __slots__ = ("attempt", "call", "earliest", "event", "latest", "until")

    def __init__(self, event: Event, call: Call, attempt: Attempt, earliest: int, latest: int, until: int | None) -> None:
        self.event = event
        self.call = call
        self.attempt = attempt
        self.earliest = earliest
        self.latest = latest
        self.until = until


class Player:
    """One play of `script` as `plan` says; `trace` records it."""

    def __init__(self, script: Script, plan: Plan, *, ttl: int = 64, trace: Trace | None = None) -> None:
        self.script = script
        self.plan = plan
        self.bench = Bench((plan.place.local,), plan.config, mtu=plan.mtu, ttl=ttl, trace=trace)
        self.bench.step = self._retry
        self.calls = Calls(
            self.bench, plan.place, strict=plan.rules.strict, listened=self._listened, opened=self._opened
        )
        self.program = Program()
        self.shell = Shell(self.bench, plan.changes, plan.folder)
        self.flows: dict[bytes, Flow] = {}
        self.current: Flow | None = None
        self.pending: list[Pending] = []
        self._listening = False
        self._listener_port = plan.place.bind_port  # where a packet without ports goes that begins a connection
        self._port = FIRST_PORT
        self._done = 0  # when the event before was complete
        self._trying = False

    # --- the order of things

    def play(self) -> None:
        """Play all events. Raises Failed where the stack does otherwise, Skip for what is not played here."""
        look_over(self.script)
        init = [*self.plan.init_scripts, *(command.text for command in self.script.init)]
        for text in (*init, *(command.text for command in self.script.cleanup)):
            self.shell.check(text)
        for event in self.script.events:
            if isinstance(event.action, Command):
                self.shell.check(event.action.text)
            elif isinstance(event.action, Code):
                self._check_code(event, event.action)
        for text in init:
            self.shell.run(text)
        for event in self.script.events:
            self._play(event)
            self._done = self.bench.clock
        self._finish()

    def _play(self, event: Event) -> None:
        action = event.action
        if isinstance(action, TcpPacket | IcmpPacket) and not action.inbound:
            self._expect(event, action)
            return
        self._begin(event)
        if isinstance(action, TcpPacket):
            self._arrive(action)
        elif isinstance(action, IcmpPacket):
            packet = self._flow(action).build_icmp(action)
            if packet is None:
                raise Skip(f"icmp {action.kind} {action.code}".strip())
            self.bench.arrive(packet)
        elif isinstance(action, Call):
            self._call(event, action)
        elif isinstance(action, Code):
            self._run_code(event, action)
        elif isinstance(action, Command) and not self.shell.run(action.text):
            raise Failed(event, self.bench.clock, "the command fails", ("command",))

    def _begin(self, event: Event) -> None:
        """Wait for the time of what the script does itself. It cannot be in the past, or only as far as the tolerance goes."""
        start = self._time(event, event.when.start)
        slack = self._slack(start)
        if start + slack < self.bench.clock:
            raise Failed(event, self.bench.clock, without_time(event.text), ("time",), (start - slack, start + slack))
        self._advance(max(start, self.bench.clock))

    def _slack(self, start: int) -> int:
        """By how much (ns) what is due at `start` may be early or late."""
        return max(self.plan.tolerance, int(self.plan.percent / 100 * max(start - self._done, 0)))

    def _finish(self) -> None:
        for waiting in list(self.pending):
            self._advance(waiting.latest, stop=lambda each=waiting: each not in self.pending)  # type: ignore[misc]
            if waiting in self.pending:
                raise self._late(waiting)
        if self.plan.rules.strict and self.bench.sent:
            sent = self.bench.sent[0]
            raise Failed(None, sent.at, self._sent_text(sent), ("a packet after the last that is expected",))

    def _time(self, event: Event, at: int) -> int:
        return at + self._done if event.when.kind == RELATIVE else at

    def _advance(self, when: int, stop: Callable[[], bool] | None = None) -> bool:
        """Let time pass up to `when`; ends early when `stop()` holds, and returns whether it did. Raises Failed for a call
        that should have ended."""
        while True:
            wake = min((each.until for each in self.pending if each.until is not None), default=NEVER)
            if wake > when:
                stopped = self.bench.run_until(when, stop)
                break
            if self.bench.run_until(wake, stop):
                return True
            for each in self.pending:
                if each.until is not None and each.until <= self.bench.clock:
                    each.until = None
            self.bench.settle()
        for each in self.pending:
            if each.latest < self.bench.clock:
                raise self._late(each)
        return stopped

    # --- packets

    def _listened(self, port: int) -> None:
        self._listening, self._listener_port = True, port

    def _opened(self, key: bytes) -> None:
        self.flows[key] = self.current = Flow(key, active=True)
        self._listening = False
        streams = self.calls.streams  # what an earlier connection between the same ports left
        streams.of(key).clear()
        streams.read[key] = 0
        streams.urgent[key] = self.current.urgent

    def _flow(self, packet: TcpPacket | IcmpPacket) -> Flow:
        """The connection that an inbound packet belongs to; a new one where the script begins one."""
        place = self.plan.place
        ports = packet.ports if isinstance(packet, TcpPacket) else None
        if ports is not None:
            key = make_key(place.remote, ports[0], place.local, ports[1])
            for flow in self.flows.values():
                if flow.ports == ports:
                    key = flow.key
        elif self._listening or self.current is None:
            key = make_key(place.remote, self._port, place.local, self._listener_port)
            self._port += 1
            self._listening = False
        else:
            return self.current
        found = self.flows.get(key)
        if found is None:
            found = self.flows[key] = Flow(key, ports)
            self.calls.streams.urgent[key] = found.urgent
        self.current = found
        return found

    def _arrive(self, packet: TcpPacket) -> None:
        self.bench.arrive(self._flow(packet).build(packet))

    def _window(self, event: Event) -> tuple[int, int]:
        """Between which times an expected packet may leave."""
        when = event.when
        if when.kind == ANY:
            return 0, self.bench.clock + FOREVER
        start = self._time(event, when.start)
        end = start if when.end is None else self._time(event, when.end)
        slack = self._slack(start)
        return start - slack, end + slack

    def _expect(self, event: Event, expected: TcpPacket | IcmpPacket) -> None:
        earliest, latest = self._window(event)
        first = self._next(event, expected, (earliest, latest))
        self._expect_in_time(event, first, (earliest, latest))
        if isinstance(expected, IcmpPacket):
            if not same_icmp(expected, first.packet):
                raise Failed(event, first.at, self._sent_text(first), ("ICMP message",))
            return
        packets = [first]
        try:
            joined = Joined(packets)
            while not self.plan.whole_segments and self._follows(joined, expected.length, latest):
                packets.append(self.bench.sent.popleft())
                joined = Joined(packets)
        except ParseError:
            raise Failed(event, first.at, self._sent_text(first), ("no TCP segment",)) from None
        flow = self._flow_of(first)
        flow.learn_ports(expected.ports)
        name = None if expected.absolute or not expected.flags & SYN else expected.seq
        if flow.learn(joined.flags, joined.seq, joined.view.segment.ack, name):
            self.calls.streams.of(flow.key).clear()
            self.calls.streams.read[flow.key] = 0
            flow.stamps.clear()
        written = bytes(self.calls.streams.of(flow.key)) if self.plan.rules.strict else b""
        wrong = differences(expected, joined, flow, self._rules(first.at), written)
        if wrong:
            raise Failed(event, first.at, packet_text(as_script(joined, flow, expected)), tuple(wrong))
        self._expect_in_time(event, packets[-1], (earliest, latest))

    def _rules(self, at: int) -> Rules:
        """What is compared in a packet that leaves `at` (ns)."""
        rules = self.plan.rules
        grown = int(self.plan.percent / 100 * at) // 1000
        return rules._replace(tolerance=max(rules.tolerance, grown)) if rules.tick else rules

    def _next(self, event: Event, expected: TcpPacket | IcmpPacket, due: tuple[int, int]) -> Sent:
        """The next packet that leaves; raises Failed when none does in time."""
        sent = self.bench.sent
        while True:
            if not self._advance(due[1], lambda: bool(sent)):
                break
            first = sent.popleft()
            if not self._ignored(first, expected):
                return first
        at = self.bench.clock
        if self.bench.run_until(at + LATER, lambda: bool(sent)):
            raise Failed(event, sent[0].at, self._sent_text(sent[0]), ("time",), due)
        raise Failed(event, at, "", ("nothing leaves",), due)

    def _ignored(self, sent: Sent, expected: TcpPacket | IcmpPacket) -> bool:
        """Whether a packet is none of the connection under test: nobody looks at it then, unless strict."""
        if self.plan.rules.strict or self.current is None or sent.key == self.current.key:
            return False
        if isinstance(expected, TcpPacket) and expected.ports is not None:
            return False
        return sent.key in self.flows

    def _follows(self, joined: Joined, wanted: int, latest: int) -> bool:
        """Whether `joined` has less than the `wanted` bytes, and the next packet continues it."""
        sent = self.bench.sent
        if not 0 < len(joined.payload) < wanted or not self._advance(latest, lambda: bool(sent)):
            return False
        try:
            return joined.goes_on(sent[0], wanted)
        except ParseError:
            return False

    def _expect_in_time(self, event: Event, sent: Sent, due: tuple[int, int]) -> None:
        if not due[0] <= sent.at <= due[1]:
            raise Failed(event, sent.at, self._sent_text(sent), ("time",), due)

    def _flow_of(self, sent: Sent) -> Flow:
        found = self.flows.get(sent.key)
        if found is None:
            found = self.flows[sent.key] = Flow(sent.key)
        return found

    def _sent_text(self, sent: Sent) -> str:
        try:
            return packet_text(as_script(Joined([sent]), self._flow_of(sent), None))
        except ParseError:
            return icmp_text(sent.packet)

    # --- calls

    def _call(self, event: Event, call: Call) -> None:
        attempt, waits = self.calls.prepare(call)
        clock = self.bench.clock
        earliest = latest = clock
        if call.end is not None:
            end = self._time(event, call.end)
            slack = self._slack(end)
            earliest, latest = end - slack, end + slack
        pending = Pending(event, call, attempt, earliest, latest, self.calls.until)
        try:
            answer = attempt()
        except BlockingIOError as error:
            if not waits:
                answer = Answer(-1, errno.errorcode.get(error.errno or 0, "EAGAIN"))
            elif call.end is None:
                raise Failed(event, clock, call_text(event, "... (it waits)"), ("time",)) from None
            else:
                self.pending.append(pending)
                self.bench.settle()
                return
        self._ended(pending, answer)
        self.bench.settle()

    def _retry(self) -> None:
        """Try again what waits."""
        self.calls.files.notice()
        if not self.pending or self._trying:
            return
        self._trying = True
        try:
            for each in list(self.pending):
                try:
                    answer = each.attempt()
                except BlockingIOError:
                    continue
                self.pending.remove(each)
                self._ended(each, answer)
        finally:
            self._trying = False

    def _late(self, waiting: Pending) -> Failed:
        text = call_text(waiting.event, "... (it waits)")
        return Failed(waiting.event, self.bench.clock, text, ("time",), (waiting.earliest, waiting.latest))

    def _ended(self, pending: Pending, answer: Answer) -> None:
        """A call has come to its end: as the script says, and when it says?"""
        call, event, now = pending.call, pending.event, self.bench.clock
        try:
            wanted = value_of(call.result)
        except UnknownSymbol as error:
            raise Skip(str(error)) from None
        wrong = []
        named = call.name in MAKING and not self.plan.rules.strict  # the numbers are the script's own; strict: POSIX's
        if wanted is not None and wanted != answer.result and not (named and min(wanted, answer.result) >= 0):
            wrong.append("result")
        elif call.error and _number_of(call.error) != _number_of(answer.error):
            wrong.append("errno")
        if answer.wrong:
            wrong.append("what it tells")
        if call.end is not None and not pending.earliest <= now <= pending.latest:
            wrong.append("time")
        if call.name in MAKING and answer.result >= 0 and not wrong:
            number = answer.result if wanted is None else wanted
            if self.calls.files.holds(number) and call.name != "dup2":
                wrong.append(f"descriptor {number} is open")
            self.calls.registers(call, number)
        if wrong:
            result = f"{answer.result} {answer.error}".strip()
            due = (pending.earliest, pending.latest) if "time" in wrong else None
            raise Failed(event, now, call_text(event, result), tuple(wrong), due, answer.wrong)

    # --- code

    def _check_code(self, event: Event, code: Code) -> None:
        """Raises ScriptError for a block that is no Python, before anything is played."""
        try:
            compiled(code.text, event.place.file)
        except CodeError as error:
            raise ScriptError(event.place, str(error)) from None

    def _run_code(self, event: Event, code: Code) -> None:
        try:
            self.program.run(code.text, self._information(), f"{event.place.file}:{event.place.line}")
        except AssertionError as error:
            raise Failed(event, self.bench.clock, str(error) or "the assertion does not hold", ("assertion",)) from None
        except CodeError as error:
            raise ScriptError(event.place, str(error)) from None

    def _information(self) -> dict[str, int]:
        """The tcpi_ values of the socket under test."""
        found = self.calls.files.under_test(None if self.current is None else self.current.key)
        return {} if found is None else information(found)


def _number_of(name: str) -> int:
    return int(getattr(errno, name, -1)) if name else 0
