"""Reads a script: options, commands, events with their times. Recursive descent over a Source.

Owns the frame of the language; packets and calls have readers of their own. Raises ScriptError and nothing else, whatever the
text. Knows nothing of what can be played.
"""

import re
from collections.abc import Mapping
from typing import Final

from synfin.packetdrill.expressions import read_call
from synfin.packetdrill.packets import read_packet
from synfin.packetdrill.source import TIME, WORD, Source
from synfin.packetdrill.syntax import (
    ABSOLUTE,
    ANY,
    RELATIVE,
    Action,
    Beyond,
    Call,
    Code,
    Command,
    Event,
    IcmpPacket,
    Place,
    Script,
    ScriptError,
    TcpPacket,
    When,
)  # fmt: skip

LARGEST: Final = 1 << 20  # characters: no script is so long
OPTION: Final = re.compile(r"--([A-Za-z][\w-]*)")
VALUE: Final = re.compile(r'"((?:[^"\\\n]|\\.)*)"|(?:[^\s"`]|"[^"\n]*"|`[^`]*`)+')
DEFINE: Final = re.compile(
    r'(?:^|(?<=\s))--define\s*=\s*([A-Za-z_]\w*)\s*=\s*("(?:[^"\\\n]|\\.)*"|`[^`]*`|\S+)', re.MULTILINE
)
BACKQUOTED: Final = re.compile(r"`((?:[^`\\]|\\.)*)`", re.DOTALL)
CODE: Final = re.compile(r"%\{(.*?)\}%", re.DOTALL)
SECOND: Final = 1_000_000_000


def parse_script(
    text: str, file: str = "<script>", defines: Mapping[str, str] | None = None, systems: frozenset[str] = frozenset()
) -> Script:
    """The script in `text`. `defines` are the words of `-D`, `systems` further names that `#ifdef` finds.

    Raises ScriptError with the place of what cannot be read.
    """
    if len(text) > LARGEST:
        raise ScriptError(Place(file, 1, 1), f"a script of more than {LARGEST} characters")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    own: dict[str, str] = dict(DEFINE.findall(text))
    source = Source(file, text, own | dict(defines or {}), systems)
    options = []
    while source.sees("--"):
        options.append(_option(source))
    init = []
    while source.sees("`"):
        init.append(_command(source))
    events: list[Event] = []
    cleanup: list[Command] = []
    try:
        _events(source, events, cleanup)
    except ScriptError:
        if not any(isinstance(event.action, Beyond) for event in events):
            raise
        # It is not played anyway, and what stands around such an event may be of its kind.
    if not events:
        raise source.wrong("a script without events")
    return Script(file, tuple(options), tuple(init), tuple(events), tuple(cleanup))


def _events(source: Source, events: list[Event], cleanup: list[Command]) -> None:
    """Read to the end, into the two lists."""
    latest = 0  # the last time in a row of absolute ones
    while not source.ended:
        if source.sees("`"):
            cleanup.append(_command(source))
        elif cleanup:
            raise source.error("the end of the script after its cleanup command")
        else:
            events.append(_event(source))
            latest = _latest(latest, events[-1])


def _option(source: Source) -> tuple[Place, str, str]:
    place = source.place()
    found = OPTION.match(source.text, source.at)
    if found is None:
        raise source.error("an option")
    source.at = found.end()
    value = ""
    source.blank()
    if source.take("="):
        given = VALUE.match(source.text, source.at)
        if given is None:
            raise source.error("the option's value")
        value = given.group(1) if given.group(1) is not None else given.group()
        source.at = given.end()
    source.blank()
    return place, found.group(1), value


def _command(source: Source) -> Command:
    found = BACKQUOTED.match(source.text, source.at)
    if found is None:
        raise source.wrong("the command does not end")
    source.at = found.end()
    source.blank()
    return Command(found.group(1))


def _event(source: Source) -> Event:
    start = source.at
    place = source.place()
    when = _when(source)
    action = _action(source, when)
    if when.kind == ANY or (when.end is not None and not isinstance(action, Call)):
        if not isinstance(action, TcpPacket | IcmpPacket | Beyond) or (
            not isinstance(action, Beyond) and action.inbound
        ):
            raise ScriptError(place, "only a packet that is expected has a range of times, or any time")
    text = " ".join(source.text[start : source.at].split())
    return Event(place, when, action, _without_comments(text))


def _latest(latest: int, event: Event) -> int:
    """The time (ns) before which no absolute time may follow `event`, `latest` being that of the event before; raises
    ScriptError for one that goes back. What lies between relative times shows when it is played."""
    when = event.when
    if when.kind != ABSOLUTE:
        return 0
    if (when.start if when.end is None else when.end) < latest:
        raise ScriptError(event.place, "the time goes backwards")
    return when.start


def _without_comments(text: str) -> str:
    return text.partition(" //")[0].rstrip() if '"' not in text else text


def _seconds(source: Source) -> int:
    start = source.at
    found = source.match(TIME)
    if found is None:
        raise source.error("a time")
    whole, _, part = found.partition(".")
    if len(whole) > 12:
        raise source.wrong("a time beyond all clocks", start)
    return int(whole or 0) * SECOND + int((part[:9]).ljust(9, "0"))


def _when(source: Source) -> When:
    start = source.at
    if source.take("*"):
        return When(ANY)
    kind = RELATIVE if source.take("+") else ABSOLUTE
    at = _seconds(source)
    end = None
    if source.take("~"):
        if (kind == RELATIVE) != source.take("+"):
            raise source.wrong("a range is +a~+b or a~b", start)
        end = _seconds(source)
    if end is not None and end < at:
        raise source.wrong("the range of times is backwards", start)
    return When(kind, at, end)


def _action(source: Source, when: When) -> Action:
    if source.sees("<") or source.sees(">"):
        return read_packet(source)
    if source.sees("`"):
        return _command(source)
    if source.sees("%{"):
        found = CODE.match(source.text, source.at)
        if found is None:
            raise source.wrong("the block of code does not end")
        source.at = found.end()
        source.blank()
        return Code(found.group(1))
    end = None
    if source.sees("..."):
        start = source.at
        source.take("...")
        source.take("+")
        end = _seconds(source)
        if end < when.start:
            raise source.wrong("the call ends before it begins", start)
    if source.peek(WORD) is None:
        raise source.error("a packet, a call, a command or code")
    return read_call(source, end)
