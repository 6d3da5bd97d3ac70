"""Every way to make one expectation of a script wrong, and the ways to move a time that must not matter.

Owns what is an expectation: what a script leaves open (`<...>`, no `win`, `*`) is none, and neither is a name that it gives:
the first number of a SYN of ours and the first timestamp. What was seen in a play that passed (Fact) makes each change wrong
by construction: a time is moved past what was measured, a dropped packet leaves its time behind. Works on the parsed script.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from synfin.engine.segment import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG
from synfin.packetdrill.symbols import UnknownSymbol, value_of
from synfin.packetdrill.syntax import (
    ABSOLUTE,
    ANY,
    RELATIVE,
    Action,
    Applied,
    Call,
    Code,
    Command,
    Event,
    Expression,
    IcmpPacket,
    IpInfo,
    Items,
    Number,
    Or,
    Script,
    Struct,
    TcpOption,
    TcpPacket,
    Text,
    When,
    Word,
)  # fmt: skip

MILLISECOND: Final = 1_000_000
WORD32: Final = 0xFFFFFFFF
FLAGS: Final = (
    (FIN, "FIN"), (SYN, "SYN"), (RST, "RST"), (PSH, "PSH"), (ACK, "ACK"), (URG, "URG"), (ECE, "ECE"), (CWR, "CWR"), (AE, "AE"),
)  # fmt: skip
NOP: Final = TcpOption("nop")
OTHER_ERRNO: Final = "EXDEV"
LAST_NUMBER: Final = re.compile(r"\d+(?=\D*$)")
POLLERR: Final = 8
# Flags that no stack sends together.
PHANTOM: Final = TcpPacket(False, IpInfo(), None, SYN | FIN | RST | URG, 4242, 7, False, None, None, None, None)


@dataclass(slots=True)
class Fact:
    """What a play that passed saw of one event; times in ns.

    before: when the event before was complete. first, last: when the packets left, or the call ended; -1: nothing of that kind.
    named, stamped: the script named a SYN's number, a timestamp.
    """

    before: int = 0
    first: int = -1
    last: int = -1
    named: bool = False
    stamped: bool = False


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change: of which event, by which name, and the events that it leaves. `passes`: it lies within the tolerance, so the
    script must still pass. extra: the stack sends its latest packet twice after that event."""

    index: int
    name: str
    events: tuple[Event, ...]
    passes: bool = False
    extra: bool = False


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Of the plan: ns, and a part of 1 of the time since the event before."""

    fixed: int
    part: float


def mutations(script: Script, facts: list[Fact], tolerance: Tolerance) -> Iterator[Mutation]:
    """All changes of `script`."""
    events = script.events
    for index, event in enumerate(events):
        fact = facts[index]
        for name, action in changed_actions(event.action, fact):
            yield Mutation(index, name, _with(events, index, replace(event, action=action)))
        for name, moved, passes in moved_times(event, fact, tolerance):
            yield Mutation(index, name, _with(events, index, moved), passes)
        if expected(event.action):
            yield from _of_a_packet(events, index, fact)
        phantom = replace(event, when=When(RELATIVE, 0), action=PHANTOM)
        yield Mutation(index, "phantom packet", (*events[: index + 1], phantom, *events[index + 1 :]))


def expected(action: Action) -> bool:
    """Whether `action` is a packet that should leave."""
    return isinstance(action, TcpPacket | IcmpPacket) and not action.inbound


def _with(events: tuple[Event, ...], index: int, event: Event) -> tuple[Event, ...]:
    return (*events[:index], event, *events[index + 1 :])


def _of_a_packet(events: tuple[Event, ...], index: int, fact: Fact) -> Iterator[Mutation]:
    """What concerns a whole packet: dropped, doubled, exchanged with the next."""
    event = events[index]
    passed = replace(event, when=When(ABSOLUTE, fact.last), action=Code("0"))  # its time goes by all the same
    yield Mutation(index, "packet dropped", _with(events, index, passed))
    again = replace(event, when=When(RELATIVE, 0))
    yield Mutation(index, "packet doubled", (*events[: index + 1], again, *events[index + 1 :]))
    yield Mutation(index, "packet sent twice", events, extra=True)
    following = next((at for at in range(index + 1, len(events)) if expected(events[at].action)), None)
    if following is not None and events[following].action != event.action:
        other = events[following]
        swapped = _with(events, index, replace(event, action=other.action))
        yield Mutation(index, "packets exchanged", _with(swapped, following, replace(other, action=event.action)))


# --- times


def moved_times(event: Event, fact: Fact, tolerance: Tolerance) -> Iterator[tuple[str, Event, bool]]:
    """`event` at times beyond the tolerance, both ways, and within it."""
    when, action = event.when, event.action
    if fact.first < 0 or when.kind == ANY:
        return
    blocks = isinstance(action, Call)
    base = fact.before if when.kind == RELATIVE else 0
    for name, at, passes in _times(fact, tolerance):
        if isinstance(action, Call):
            yield name, replace(event, action=replace(action, end=at - base)), passes
        else:
            width = 0 if when.end is None or blocks else when.end - when.start
            start = at - base - (width if name == "time too early" else width // 2 if passes else 0)
            yield name, replace(event, when=replace(when, start=start, end=start + width if width else when.end)), passes


def _times(fact: Fact, tolerance: Tolerance) -> Iterator[tuple[str, int, bool]]:
    """Middles of windows that end 1 ms before what was measured, begin 1 ms behind it, or hold it."""
    before, fixed, part = fact.before, tolerance.fixed, tolerance.part
    behind = fact.first + MILLISECOND
    yield "time too late", max(behind + fixed, before + int((behind - before) / (1 - part)) + 1), False
    ahead = fact.last - MILLISECOND
    yield "time too early", min(ahead - fixed, before + int((ahead - before) / (1 + part)) - 1), False
    spare = (fixed - (fact.last - fact.first)) // 2
    if spare > 0:
        yield "time a little later", fact.first + spare, True
        yield "time a little earlier", fact.last - spare, True


# --- actions


def changed_actions(action: Action, fact: Fact) -> Iterator[tuple[str, Action]]:
    """`action` with one expectation of it changed."""
    if isinstance(action, TcpPacket) and not action.inbound:
        yield from _packets(action, fact)
    elif isinstance(action, IcmpPacket) and not action.inbound:
        yield from _messages(action)
    elif isinstance(action, Call):
        yield from _calls(action)
    elif isinstance(action, Code):
        yield from _codes(action)
    elif isinstance(action, Command) and "grep" in action.text:
        yield "answer of the shell", Command(LAST_NUMBER.sub(lambda found: str(int(found.group()) + 7), action.text))


def _packets(packet: TcpPacket, fact: Fact) -> Iterator[tuple[str, Action]]:
    if packet.seq is not None and not fact.named:
        yield "sequence number", replace(packet, seq=packet.seq + 1 & WORD32)
    yield "length", replace(packet, length=packet.length + 1)
    if packet.length:
        yield "length, shorter", replace(packet, length=packet.length - 1)
    if packet.ack is not None and packet.flags & ACK:
        yield "acknowledgment", replace(packet, ack=packet.ack + 1 & WORD32)
    if packet.window is not None:
        yield "window", replace(packet, window=packet.window + 1)
        yield "window, smaller", replace(packet, window=packet.window - 1)
    yield "urgent pointer", replace(packet, urgent=(packet.urgent or 0) + 1)
    for bit, name in FLAGS:
        yield f"{name} {'cleared' if packet.flags & bit else 'set'}", replace(packet, flags=packet.flags ^ bit)
    if packet.ports is not None:
        source, destination = packet.ports
        yield "source port", replace(packet, ports=(source + 1, destination))
        yield "destination port", replace(packet, ports=(source, destination + 1))
    ip = packet.ip
    if ip.ecn is not None:
        yield "ECN", replace(packet, ip=replace(ip, ecn="ce"))
    for name, value in (("tos", ip.tos), ("ttl", ip.ttl), ("flow_label", ip.flow_label)):
        if value is not None:
            yield name, replace(packet, ip=replace(ip, **{name: value ^ 1}))
    if packet.options is not None:
        for name, options in _options(packet.options, fact):
            yield name, replace(packet, options=options)


def _options(options: tuple[TcpOption, ...], fact: Fact) -> Iterator[tuple[str, tuple[TcpOption, ...]]]:
    yield "option added", (*options, NOP)
    for at, option in enumerate(options):
        before, behind = options[:at], options[at + 1 :]
        yield f"{option.name} left out", (*before, *behind)
        if behind and behind[0] != option:
            yield f"{option.name} and {behind[0].name} exchanged", (*before, behind[0], option, *behind[1:])
        for place, number in enumerate(option.numbers):
            if number is None or (option.name == "TS" and not place and fact.stamped):
                continue
            numbers = (*option.numbers[:place], number + 1 & WORD32, *option.numbers[place + 1 :])
            yield f"{option.name} value {place + 1}", (*before, replace(option, numbers=numbers), *behind)
        for place in range(0, len(option.numbers) - 2, 2) if option.name == "sack" else ():
            pairs = list(option.numbers)
            pairs[place : place + 4] = [*pairs[place + 2 : place + 4], *pairs[place : place + 2]]
            yield "sack blocks exchanged", (*before, replace(option, numbers=tuple(pairs)), *behind)
        if option.data:
            data = bytes((option.data[0] ^ 1,)) + option.data[1:]
            yield f"{option.name} data", (*before, replace(option, data=data), *behind)


def _messages(message: IcmpPacket) -> Iterator[tuple[str, Action]]:
    yield "ICMP type", replace(message, kind="echo_reply" if message.kind != "echo_reply" else "unreachable")
    if message.code:
        yield "ICMP code", replace(message, code="admin_prohibited" if message.code != "admin_prohibited" else "")
    if message.mtu is not None:
        yield "ICMP MTU", replace(message, mtu=message.mtu + 1)


# --- calls


def number(expression: Expression) -> int | None:
    """The value of an expression, None where it has none."""
    try:
        return value_of(expression)
    except UnknownSymbol:
        return None


def _calls(call: Call) -> Iterator[tuple[str, Action]]:
    result = number(call.result)
    if result is not None:
        other = result + 1
        yield "result", replace(call, result=Number(other, str(other)))
    if call.error:
        yield "errno", replace(call, error=OTHER_ERRNO if call.error != OTHER_ERRNO else "EPERM")
    for at, told in _told(call):
        for variant in told:
            arguments = (*call.arguments[:at], variant, *call.arguments[at + 1 :])
            yield f"what {call.name} tells", replace(call, arguments=arguments)


def _told(call: Call) -> Iterator[tuple[int, Iterator[Expression]]]:
    """The arguments that a call writes to, each with its changed forms."""
    name, arguments = call.name, call.arguments
    result = number(call.result)
    if name == "getsockopt" and len(arguments) > 3 and result == 0:
        yield 3, numbers_changed(arguments[3])
    elif name == "ioctl" and len(arguments) > 2 and result == 0 and arguments[1] != Word("FIONBIO"):
        yield 2, numbers_changed(arguments[2])
    elif name in ("getsockname", "getpeername") and isinstance(arguments[1], Struct) and result == 0:
        yield 1, numbers_changed(arguments[1], skip=("sa_family", "sin_family", "sin6_family"))
    elif name == "poll":
        yield 0, _events_changed(arguments[0], ("revents",))
    elif name == "epoll_wait" and result:
        yield 1, _events_changed(arguments[1], ("events", "fd"))
    elif name == "recvmsg" and result is not None and result >= 0:
        yield 1, _fields_changed(arguments[1], ("msg_flags", "cmsg_data"))
    elif name in ("read", "recv", "recvfrom") and isinstance(arguments[1], Text) and result and result > 0:
        text = arguments[1]
        yield 1, iter((replace(text, value=chr(ord(text.value[0]) ^ 1) + text.value[1:]),))


def numbers_changed(expression: Expression, skip: tuple[str, ...] = ()) -> Iterator[Expression]:
    """`expression` with one number in it changed, each in turn; fields named in `skip` are left."""
    if isinstance(expression, Number | Word | Or):
        value = number(expression)
        if value is not None:
            yield Number(value + 1, str(value + 1))
    elif isinstance(expression, Text):
        yield replace(expression, value=f"{expression.value}x" if not expression.value[:1].isdigit() else "203.0.113.77")
    elif isinstance(expression, Items):
        for at, item in enumerate(expression.items):
            for each in numbers_changed(item, skip):
                yield Items((*expression.items[:at], each, *expression.items[at + 1 :]))
    elif isinstance(expression, Applied):
        for at, item in enumerate(expression.arguments):
            for each in numbers_changed(item, skip):
                yield replace(expression, arguments=(*expression.arguments[:at], each, *expression.arguments[at + 1 :]))
    elif isinstance(expression, Struct):
        for at, (name, item) in enumerate(expression.fields):
            for each in numbers_changed(item, skip) if name not in skip else ():
                yield replace(expression, fields=(*expression.fields[:at], (name, each), *expression.fields[at + 1 :]))


def _events_changed(expression: Expression, names: tuple[str, ...]) -> Iterator[Expression]:
    """Entries of poll or epoll_wait with an event more or less, or another descriptor."""
    if isinstance(expression, Items):
        for at, item in enumerate(expression.items):
            for each in _events_changed(item, names):
                yield Items((*expression.items[:at], each, *expression.items[at + 1 :]))
    elif isinstance(expression, Struct):
        for at, (name, item) in enumerate(expression.fields):
            value = number(item)
            if name in names and value is not None:
                other = value + 1 if name == "fd" else value ^ POLLERR
                field = (name, Number(other, str(other)))
                yield replace(expression, fields=(*expression.fields[:at], field, *expression.fields[at + 1 :]))


def _fields_changed(expression: Expression, names: tuple[str, ...]) -> Iterator[Expression]:
    """`expression` with one number in its fields `names` changed, however deep they lie."""
    if isinstance(expression, Items):
        for at, item in enumerate(expression.items):
            for each in _fields_changed(item, names):
                yield Items((*expression.items[:at], each, *expression.items[at + 1 :]))
    elif isinstance(expression, Struct):
        for at, (name, item) in enumerate(expression.fields):
            for each in numbers_changed(item) if name in names else _fields_changed(item, names):
                yield replace(expression, fields=(*expression.fields[:at], (name, each), *expression.fields[at + 1 :]))


# --- code


def _codes(code: Code) -> Iterator[tuple[str, Action]]:
    """Each assertion as its contrary, and each number that it compares with, one more."""
    tree = _tree(code.text)
    asserts = sum(isinstance(node, ast.Assert) for node in ast.walk(tree))
    for which in range(asserts):
        changed = _tree(code.text)
        node = [each for each in ast.walk(changed) if isinstance(each, ast.Assert)][which]
        node.test = ast.UnaryOp(ast.Not(), node.test)
        yield "assertion", Code(ast.unparse(ast.fix_missing_locations(changed)))
    equal = len(_equalities(tree))
    for which in range(equal):
        changed = _tree(code.text)
        constant = _equalities(changed)[which]
        constant.value += 1  # type: ignore[operator]
        yield "number in an assertion", Code(ast.unparse(changed))


def _equalities(tree: ast.AST) -> list[ast.Constant]:
    """The numbers that an assertion says something is equal to."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assert):
            continue
        for each in ast.walk(node):
            if isinstance(each, ast.Compare) and len(each.ops) == 1 and isinstance(each.ops[0], ast.Eq):
                found += [
                    side for side in (each.left, *each.comparators)
                    if isinstance(side, ast.Constant) and type(side.value) is int
                ]  # fmt: skip
    return found


def _tree(text: str) -> ast.Module:
    lines = text.strip("\n")
    first, _, rest = lines.partition("\n")
    try:
        return ast.parse(textwrap.dedent(lines).strip())
    except SyntaxError:
        return ast.parse(first.strip() + ("\n" + textwrap.dedent(rest) if rest.strip() else ""))
