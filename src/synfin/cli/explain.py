"""`synfin explain CAPTURE --syn-flood`: the verdict over a capture, in windows of time.

Owns the layout. What the packets say comes from capture/ and watch/captured.py, what it means from watch/verdict.py.
"""

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from synfin.capture.headers import Tally
from synfin.capture.reader import Capture, CaptureError
from synfin.cli.output import json_lines
from synfin.engine.errors import UsageError
from synfin.watch.asjson import as_object
from synfin.watch.captured import samples
from synfin.watch.findings import Finding, Level
from synfin.watch.observed import Observed
from synfin.watch.rates import Changes
from synfin.watch.sample import Sample
from synfin.watch.verdict import Watcher, worst
from synfin.watch.verdict_words import LEVELS
from synfin.words import Text

SECOND: Final = 1_000_000_000  # ns
STEP: Final = SECOND  # between samples
SHOWN: Final = 5  # listeners named in one run of windows

HEAD: Final = Text(
    "{path}: {packets} packets in {seconds:.1f} s from {begin} on, {tcp} of them TCP",
    "{path}：从 {begin} 起 {seconds:.1f} 秒内共 {packets} 个报文，其中 TCP {tcp} 个",
)  # fmt: skip
LIMITS: Final = Text(
    "A capture shows neither SYN cookies nor queues: what the server kept of a handshake cannot be seen.",
    "抓包看不到 SYN cookie，也看不到队列：无法得知服务器为握手保存了什么。",
)  # fmt: skip
CUT: Final = Text(
    "The file ends inside a packet that begins at byte {offset}; what comes before it was read.",
    "文件在从第 {offset} 字节开始的报文中间结束；此前的内容已读取。",
)  # fmt: skip
DAMAGED: Final = Text(
    "{count} packets have no readable TCP header: damaged, or cut off too early.",
    "{count} 个报文的 TCP 头无法读取：已损坏或被截得过短。",
)  # fmt: skip
SPAN: Final = Text("{begin:8.1f} s to {end:8.1f} s", "{begin:8.1f} 秒至 {end:8.1f} 秒")
SCORE: Final = Text("{title} (score {score:.2f})", "{title}（得分 {score:.2f}）")
MORE: Final = Text("and {count} listeners more", "另有 {count} 个监听端口")


class Window(NamedTuple):
    """A window of time, nanoseconds since 1970, and what is to be said of it, worst first."""

    begin: int
    end: int
    findings: tuple[Finding, ...]

    @property
    def key(self) -> tuple[tuple[Level, object], ...]:
        """What makes two windows one run."""
        return tuple(sorted({(each.level, each.listener or (b"", 0)) for each in self.findings}))


def show(path: Path, *, syn_flood: bool, window: float, as_json: bool, lang: str) -> None:
    """Print what the capture at `path` says; `window` in seconds.

    Raises UsageError: no --syn-flood, a file that is no capture, is empty or has no TCP in it. OSError when it cannot be read.
    """
    if not syn_flood:
        raise UsageError("explain needs to be told what to look for: --syn-flood")
    tally = Tally()
    with path.open("rb") as file:
        try:
            capture = Capture(file)
            length = int(window * SECOND)
            found = judged(samples(capture, min(length, STEP), tally), length)
            if as_json:
                _print_json(found)
                _check(path, tally)
            else:
                windows = [each for each, _ in found]
                _check(path, tally)
                print("\n".join(report(path, windows, tally, lang)))
        except CaptureError as error:
            raise UsageError(f"{path}: {error}") from None
    if capture.cut_at is not None:
        print(CUT.say(lang, offset=capture.cut_at), file=sys.stderr)


def _check(path: Path, tally: Tally) -> None:
    if not tally.packets:
        raise UsageError(f"{path}: the capture has no packets")
    if not tally.tcp:
        raise UsageError(f"{path}: none of its {tally.packets} packets is TCP")


def judged(taken: Iterable[Sample], length: int) -> Iterator[tuple[Window, Observed]]:
    """Each window of `length` nanoseconds with the worst that was said in it, and as `synfin watch --json` tells it.

    `taken` are samples STEP apart or, where windows are shorter, as far as those are: a verdict wants several of a window.
    """
    watcher = Watcher()
    changes = Changes()
    begin = due = 0
    last: Sample | None = None
    found: list[Finding] = []

    def told(sample: Sample) -> tuple[Window, Observed]:
        findings = tuple(best(found))
        seen = Observed(name="capture", pid=None, change=changes.add(sample), findings=findings)
        return Window(begin, sample.at, findings), seen

    for sample in taken:
        if last is None:
            begin, due = sample.at, sample.at + length
            changes.add(sample)
        elif last.at >= due:
            yield told(last)
            begin, due, found = last.at, max(due + length, last.at + 1), []
        found += watcher.add(sample)
        last = sample
    if last is not None:
        yield told(last)


def best(findings: Iterable[Finding]) -> list[Finding]:
    """Of each listener the worst that is said, worst first."""
    kept: dict[tuple[bytes, int] | None, Finding] = {}
    for each in findings:
        same = kept.get(each.listener)
        if same is None or (each.level, each.score) >= (same.level, same.score):
            kept[each.listener] = each
    return sorted(kept.values(), key=lambda each: (-each.level, -each.score))


def _print_json(found: Iterable[tuple[Window, Observed]]) -> None:
    for each in json_lines(as_object(seen, window.end) for window, seen in found):
        print(each)


def runs(windows: Iterable[Window]) -> list[Window]:
    """Windows that say the same one after the other as one, with the finding of the highest score for each listener."""
    merged: list[Window] = []
    for window in windows:
        last = merged[-1] if merged else None
        if last is None or last.key != window.key or last.end != window.begin:
            merged.append(window)
            continue
        merged[-1] = Window(last.begin, window.end, tuple(best((*last.findings, *window.findings))))
    return merged


def report(path: Path, windows: list[Window], tally: Tally, lang: str) -> Iterator[str]:
    """The lines for a person."""
    start, end = (windows[0].begin, windows[-1].end) if windows else (0, 0)
    seconds = (end - start) / SECOND
    yield HEAD.say(lang, path=path, packets=tally.packets, tcp=tally.tcp, seconds=seconds, begin=_date(start))
    yield LIMITS.say(lang)
    if tally.damaged:
        yield DAMAGED.say(lang, count=tally.damaged)
    for run in runs(windows):
        yield ""
        span = SPAN.say(lang, begin=(run.begin - start) / SECOND, end=(run.end - start) / SECOND)
        yield f"{span}  {LEVELS[worst(run.findings)].say(lang)}"
        for finding in run.findings[:SHOWN]:
            yield "    " + SCORE.say(lang, title=finding.title.say(lang), score=finding.score)
            yield from (f"      {reason.say(lang)}" for reason in finding.reasons)
        if len(run.findings) > SHOWN:
            yield "    " + MORE.say(lang, count=len(run.findings) - SHOWN)


def _date(time: int) -> str:
    """A time of a capture, in nanoseconds since 1970; a date that no calendar has as seconds."""
    try:
        return datetime.fromtimestamp(time // SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{time // SECOND} s"
