"""`synfin packetdrill --record`: writes a script from a capture or a trace, and plays it to see that it passes.

Owns the order of things: read, write the script, play it, tell. What a script says is packetdrill.record's.
"""

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from synfin.capture.reader import CaptureError
from synfin.cli.output import in_reach, write_file
from synfin.cli.packetdrill import Options, wishes
from synfin.engine.config import TcpConfig
from synfin.engine.errors import UsageError
from synfin.packetdrill import report
from synfin.packetdrill.plan import Wish
from synfin.packetdrill.profiles import NAMES
from synfin.packetdrill.record import MICROSECONDS, NANOSECONDS, TIMESTAMPS, WINDOWS, RecordError
from synfin.packetdrill.record_capture import SIDES, record_capture
from synfin.packetdrill.record_json import read_trace
from synfin.packetdrill.record_trace import record_trace
from synfin.packetdrill.run import FAIL, PASS, Outcome, play_text
from synfin.words import Text

Make = Callable[["Way", tuple[str, ...]], str]

MOST: Final = 1 << 28  # bytes of a capture or trace
PASSES: Final = Text("it passes", "播放通过")
PASSES_OPEN: Final = Text("it passes; left open: {what}", "播放通过；未比较：{what}")
LEFT_OPEN: Final[dict[str, Text]] = {
    WINDOWS: Text("the windows that its packets tell", "本方报文通告的窗口"),
    TIMESTAMPS: Text("the values of its timestamps", "本方报文的时间戳值"),
}
OPEN: Final = {"window": WINDOWS, "TS val": TIMESTAMPS}  # what differs, and what leaves it open
FAILS: Final = Text(
    "it does not pass on a stack that is set like the profile {profile}; --profile says how the recorded one was set",
    "在按 {profile} 配置的协议栈上播放不通过；用 --profile 说明录制时协议栈的配置",
)  # fmt: skip
PASSES_WITH: Final = Text("with --profile {profile} it passes", "用 --profile {profile} 则播放通过")
FURTHER_WITH: Final = Text(
    "with --profile {profile} it does not pass either, but gets further", "用 --profile {profile} 也不通过，但能播放得更远"
)


class Attempt(NamedTuple):
    """A script, what came of it, and what it leaves open."""

    text: str
    outcome: Outcome
    left_open: tuple[str, ...]

    @property
    def passes(self) -> bool:
        """Whether it passes."""
        return self.outcome.verdict == PASS

    @property
    def reach(self) -> int:
        """How far the play came, in ns of the script's time; -1: it did not begin."""
        return min(self.outcome.at, *(self.outcome.due or (self.outcome.at,)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What the command line says of a recording. `target`: None for stdout; `side` is client, server or a trace's host."""

    source: Path
    target: Path | None
    side: str
    connection: int | None


def record(recording: Recording, options: Options) -> int:
    """Write the script; returns the exit status, 1 when it does not pass. Raises UsageError for what makes no script."""
    make = _maker(recording)
    best = _best(make, recording, options)
    if recording.target is None:
        print(best.text, end="")
    else:
        write_file(recording.target, best.text.encode())
    _tell(best, recording, options)
    if not best.passes:
        _tell_nearer(best, make, recording, options)
    return int(not best.passes)


def _best(make: Make, recording: Recording, options: Options) -> Attempt:
    """The first that passes; where none does, that whose play comes furthest."""
    wish = replace(wishes(options)[0], strict=True)
    best: Attempt | None = None
    for attempt in _attempts(make, str(recording.target or "-"), wish, options.lang):
        if best is None or attempt.passes or attempt.reach > best.reach:
            best = attempt
        if attempt.passes:
            break
    assert best is not None, "played at least once"
    return best


def _tell_nearer(failed: Attempt, make: Make, recording: Recording, options: Options) -> None:
    """Which of our profiles the recorded stack is more like, if one is: in one line on stderr."""
    nearest, reach = "", failed.reach
    for profile in NAMES:
        found = _best(make, recording, replace(options, profile=profile)) if profile != options.profile else failed
        if found.passes:
            print(PASSES_WITH.say(options.lang, profile=profile), file=sys.stderr)
            return
        if found.reach > reach:
            nearest, reach = profile, found.reach
    if nearest:
        print(FURTHER_WITH.say(options.lang, profile=nearest), file=sys.stderr)


def _attempts(make: Make, name: str, wish: Wish, lang: str) -> Iterator["Attempt"]:
    """As short as will do: what the profile says, then synfin's own defaults written out; microseconds, then nanoseconds; then
    TCP_QUICKACK for each ACK that went at once. Then the same with what differs left open, if nothing but what may be left open
    does. Raises UsageError for what makes no script."""
    ways = [
        Way(digits, config, acks)
        for acks in (False, True) for config in (None, TcpConfig()) for digits in (MICROSECONDS, NANOSECONDS)
    ]  # fmt: skip
    played: dict[str, Outcome] = {}

    def attempt(way: Way, left_open: tuple[str, ...]) -> Attempt:
        text = make(way, left_open)
        if text not in played:
            played[text] = play_text(text, name, wish, lang)
        return Attempt(text, played[text], left_open)

    exact = []
    for way in ways:
        exact.append(attempt(way, ()))
        yield exact[-1]
    for way, found in zip(ways, exact, strict=True):
        while differs := {OPEN[each] for each in found.outcome.why if each in OPEN} - set(found.left_open):
            if not all(each in OPEN for each in found.outcome.why):
                break
            found = attempt(way, tuple(each for each in LEFT_OPEN if each in differs or each in found.left_open))
            yield found


class Way(NamedTuple):
    """How a script is written: digits of a second's fraction, settings written out, TCP_QUICKACK told."""

    digits: int
    config: TcpConfig | None
    acks: bool


def _maker(recording: Recording) -> Make:
    """What makes the script, with so many digits of a second and these settings.

    Raises UsageError for a file that cannot be read.
    """
    try:
        with recording.source.open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as error:
        raise UsageError(f"cannot read {recording.source}: {error.strerror}") from None
    if len(data) > MOST:
        raise UsageError(f"{recording.source} is larger than {MOST >> 20} MB: cut the connection out of it first")
    trace = None
    if data.lstrip()[:1] == b"{":
        try:
            trace = read_trace(data.decode("utf-8", "replace").splitlines())
        except RecordError as error:
            raise UsageError(f"{recording.source}: {error}") from None
    elif recording.side not in SIDES:
        raise UsageError(f"--side is client or server for a capture, not {recording.side!r}")

    def make(way: Way, left_open: tuple[str, ...]) -> str:
        side, number, digits, config = recording.side, recording.connection, way.digits, way.config
        try:
            if trace is not None:
                return record_trace(trace, side, connection=number, digits=digits, config=config, left_open=left_open)
            return record_capture(
                io.BytesIO(data), side, connection=number, digits=digits, config=config, left_open=left_open,
                acks=way.acks, name=recording.source.name,
            )  # fmt: skip
        except (RecordError, CaptureError) as error:
            raise UsageError(f"{recording.source}: {error}") from None

    return make


def _tell(best: Attempt, recording: Recording, options: Options) -> None:
    """One line for a script that passes; for another also where it fails. To stderr: stdout may be the script's."""
    name = f"{recording.target}: " if recording.target else ""
    outcome = best.outcome
    if best.passes:
        if not options.quiet:
            told = PASSES.say(options.lang)
            if best.left_open:
                what = report.AND.say(options.lang).join(LEFT_OPEN[each].say(options.lang) for each in best.left_open)
                told = PASSES_OPEN.say(options.lang, what=what)
            print(f"{name}{told}", file=sys.stderr)
        return
    print(f"{name}{FAILS.say(options.lang, profile=options.profile)}", file=sys.stderr)
    failed = outcome.verdict == FAIL
    text = report.failure(outcome, options.lang, ladder=False) if failed else report.line(outcome, options.lang)
    print(in_reach(text, sys.stderr.encoding), file=sys.stderr)
