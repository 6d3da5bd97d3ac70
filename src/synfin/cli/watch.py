"""`synfin watch`: samples its sources again and again, and shows each time what they say.

Owns the order and the pace of things, the terminal, the exit status. What is seen comes from watch/observed.py, how it looks
from watch/view.py, watch/asjson.py and watch/prometheus.py.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text as Styled

from synfin.cli.output import colour, wants_colour
from synfin.engine.errors import UsageError
from synfin.watch.asjson import as_object, entry_as_object
from synfin.watch.findings import Level
from synfin.watch.observed import Observed
from synfin.watch.sources import Sources, Which
from synfin.watch.view import entry_rows, heading, notes, screen, title
from synfin.words import Text

if TYPE_CHECKING:
    from synfin.watch.prometheus import Metrics

__all__ = ["Wanted", "Which", "list_half_open", "once", "watch"]

STATUS: Final = {Level.NONE: 0, Level.SUSPECTED: 4, Level.FLOOD: 3}
PLAIN_WIDTH: Final = 120  # columns where there is no terminal
MOST_REASONS: Final = 6
LINES_OF_A_SOURCE: Final = 11  # on a screen of 80 columns: one listener and all around it, reasons apart
LINES_OF_A_LISTENER: Final = 2

SERVED: Final = Text(
    "Metrics at http://{host}:{port}/metrics; Ctrl-C ends it.", "指标位于 http://{host}:{port}/metrics；按 Ctrl-C 结束。"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line says of the manner; `interval` in seconds, `prometheus` host and port."""

    interval: float
    as_json: bool
    prometheus: tuple[str, int] | None
    lang: str


def once(which: Which, wanted: Wanted) -> int:
    """Two samples, one report of the second; returns the exit status. Raises UsageError when there is nothing to watch.

    A third one between them lets the verdict see whether handshakes begun before it are completed after it.
    """
    with Sources(which) as sources:
        sources.observe()
        time.sleep(wanted.interval / 2)
        sources.observe(between=True)
        time.sleep(wanted.interval / 2)
        seen = _some(sources)
    if wanted.as_json:
        _print_json(seen)
    else:
        _print_block(_console(), sources, seen, wanted)
    return STATUS[max(each.level for each in seen)]


def watch(which: Which, wanted: Wanted) -> int:
    """Until interrupted; returns the exit status when all that was watched has ended. Raises UsageError, OSError."""
    with _terminated(), Sources(which) as sources, ExitStack() as stack:
        moments = _moments(sources, wanted.interval)
        if wanted.prometheus is not None:
            metrics = stack.enter_context(_metrics(*wanted.prometheus))
            print(SERVED.say(wanted.lang, host=wanted.prometheus[0], port=metrics.port), file=sys.stderr, flush=True)
            moments = _published(moments, metrics)
        if wanted.as_json:
            for seen in moments:
                _print_json(seen)
        elif wanted.prometheus is not None:
            for _ in moments:
                pass
        elif wants_colour(sys.stdout, {**os.environ, "NO_COLOR": ""}):
            _live(sources, moments, wanted)
        else:
            _plain(sources, moments, wanted)
    return 0


def list_half_open(which: Which, as_json: bool, lang: str) -> None:
    """Print every half-open connection of what is watched. Raises UsageError when there is nothing to watch."""
    with Sources(which) as sources:
        seen = _some(sources)
    for index, each in enumerate(seen):
        entries = [entry for listener in each.change.sample.listeners for entry in listener.entries]
        if as_json:
            for entry in entries:
                print(json.dumps(entry_as_object(each, entry), ensure_ascii=False))
            continue
        if index:
            print()
        print(f"# {title(each, lang)}")
        print("\n".join([*entry_rows(entries, lang), *notes(each, lang)]))


def _some(sources: Sources) -> list[Observed]:
    """What is seen now. Raises UsageError when nothing that is watched answers."""
    seen = sources.observe()
    if not seen:
        raise UsageError(f"synfin {sources.silent[0]} does not answer")
    return seen


def _moments(sources: Sources, interval: float) -> Iterator[list[Observed]]:
    """What is seen, every `interval` seconds; a moment that is late moves none after it."""
    due = time.monotonic()
    while True:
        yield sources.observe()
        due = max(due + interval, time.monotonic())
        time.sleep(max(due - time.monotonic(), 0))


def _console() -> Console:
    """Plain where nobody looks; never narrower than the columns of the view."""
    shown = colour()
    width = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "") or PLAIN_WIDTH)
    return Console(highlight=False, markup=False, emoji=False, no_color=not shown, width=width)


def _print_json(seen: list[Observed]) -> None:
    for each in seen:
        print(json.dumps(as_object(each, time.time_ns()), ensure_ascii=False), flush=True)


def _print_block(console: Console, sources: Sources, seen: list[Observed], wanted: Wanted) -> None:
    with console.capture() as capture:
        console.print(heading(time.time(), None, wanted.lang))
        console.print(screen(seen, wanted.lang, silent=sources.silent), crop=False)
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _published(moments: Iterator[list[Observed]], metrics: "Metrics") -> Iterator[list[Observed]]:
    for seen in moments:
        metrics.observed = seen
        yield seen


def _plain(sources: Sources, moments: Iterator[list[Observed]], wanted: Wanted) -> None:
    console = _console()
    for seen in moments:
        _print_block(console, sources, seen, wanted)
        print(flush=True)


def _live(sources: Sources, moments: Iterator[list[Observed]], wanted: Wanted) -> None:
    """On a screen of its own; what was seen last stays behind on the terminal."""
    console = _console()
    last: list[Observed] = []
    try:
        with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            for seen in moments:
                last = seen
                head = heading(time.time(), wanted.interval, wanted.lang)
                rows, reasons = _room(console.height, max(len(seen), 1))
                body = screen(seen, wanted.lang, silent=sources.silent, rows=rows, reasons=reasons, crop=True)
                live.update(Group(head, Styled(""), body), refresh=True)
    finally:
        if last:
            _print_block(console, sources, last, wanted)


def _room(height: int, sources: int) -> tuple[int, int]:
    """How many listeners and how many reasons of each of `sources` a screen of `height` lines has room for."""
    spare = (height - 1) // sources - LINES_OF_A_SOURCE
    reasons = max(min(spare, MOST_REASONS), 1)
    return max((spare - reasons) // LINES_OF_A_LISTENER, 0) + 1, reasons


def _metrics(host: str, port: int) -> "Metrics":
    try:
        from synfin.watch.prometheus import Metrics  # noqa: PLC0415  an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "prometheus_client":
            raise
        raise UsageError("--prometheus needs prometheus-client: pip install 'synfin[metrics]'") from None
    try:
        return Metrics(host, port)
    except OSError as error:
        raise UsageError(f"cannot serve metrics at {host} port {port}: {error.strerror or error}") from None


@contextmanager
def _terminated() -> Iterator[None]:
    """SIGTERM and SIGHUP end it as an exit does, so that the terminal is given back."""

    def end(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
