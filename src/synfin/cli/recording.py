"""`synfin packetdrill --record`: writes a script from a capture or a trace, and plays it to see that it passes.

Owns the order of things: read, write the script, play it, tell. What a script says is packetdrill.record's.
"""

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from synfin.capture.reader import CaptureError
from synfin.cli.output import in_reach, write_file
from synfin.cli.packetdrill import Options, wishes
from synfin.engine.config import TcpConfig
from synfin.engine.errors import UsageError
from synfin.packetdrill import report
from synfin.packetdrill.record import MICROSECONDS, NANOSECONDS, RecordError
from synfin.packetdrill.record_capture import SIDES, record_capture
from synfin.packetdrill.record_json import read_trace
from synfin.packetdrill.record_trace import record_trace
from synfin.packetdrill.run import FAIL, PASS, Outcome, play_text
from synfin.words import Text

Make = Callable[[int, TcpConfig | None], str]

MOST: Final = 1 << 28  # bytes of a capture or trace
PASSES: Final = Text("it passes", "播放通过")
FAILS: Final = Text(
    "it does not pass on a stack that is set like the profile {profile}; --profile says how the recorded one was set",
    "在按 {profile} 配置的协议栈上播放不通过；用 --profile 说明录制时协议栈的配置",
)  # fmt: skip


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
    wish = replace(wishes(options)[0], strict=True)
    name = str(recording.target or "-")
    text, outcome = "", None
    # As short as will do: what the profile says, then synfin's own defaults written out; microseconds, then nanoseconds.
    for config, digits in ((None, MICROSECONDS), (None, NANOSECONDS), (TcpConfig(), MICROSECONDS), (TcpConfig(), NANOSECONDS)):
        try:
            written = make(digits, config)
        except (RecordError, CaptureError) as error:
            raise UsageError(f"{recording.source}: {error}") from None
        played = play_text(written, name, wish, options.lang)
        if outcome is None or played.verdict == PASS:
            text, outcome = written, played
        if played.verdict == PASS:
            break
    assert outcome is not None, "played at least once"
    if recording.target is None:
        print(text, end="")
    else:
        write_file(recording.target, text.encode())
    _tell(outcome, recording, options)
    return int(outcome.verdict != PASS)


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
    if data.lstrip()[:1] == b"{":
        try:
            trace = read_trace(data.decode("utf-8", "replace").splitlines())
        except RecordError as error:
            raise UsageError(f"{recording.source}: {error}") from None
        return lambda digits, config: record_trace(
            trace, recording.side, connection=recording.connection, digits=digits, config=config
        )
    if recording.side not in SIDES:
        raise UsageError(f"--side is client or server for a capture, not {recording.side!r}")
    return lambda digits, config: record_capture(
        io.BytesIO(data), recording.side, connection=recording.connection, digits=digits, config=config,
        name=recording.source.name,
    )  # fmt: skip


def _tell(outcome: Outcome, recording: Recording, options: Options) -> None:
    """One line for a script that passes; for another also where it fails. To stderr: stdout may be the script's."""
    name = f"{recording.target}: " if recording.target else ""
    if outcome.verdict == PASS:
        if not options.quiet:
            print(f"{name}{PASSES.say(options.lang)}", file=sys.stderr)
        return
    print(f"{name}{FAILS.say(options.lang, profile=options.profile)}", file=sys.stderr)
    failed = outcome.verdict == FAIL
    text = report.failure(outcome, options.lang, ladder=False) if failed else report.line(outcome, options.lang)
    print(in_reach(text, sys.stderr.encoding), file=sys.stderr)
