"""SYN floods by hping3 against synfin and nginx on the kernel's TCP, while curl connects; and what the verdict says of them.

Owns what is measured. `python -m benchmarks.flood` prints it as the tables of docs/syn-flood.md.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.flooded import (
    SERVED,
    SYNCOOKIES,
    Field,
    Server,
    Visits,
    field,
    hping3,
    nginx,
    ours,
    seen,
    visit,
    watching,
)
from benchmarks.report import LESS, MORE, Row

RATES: Final = (5000, 20_000, None)  # SYNs a second; None: as fast as hping3 can
BATCHES: Final = 10
BATCH: Final = 20  # connections at once
PAUSE: Final = 0.3  # seconds between batches
SETTLED: Final = 1.5  # seconds from a flood's start until the queue is full
LONGEST: Final = 60.0  # seconds of one flood
QUIET: Final = 60.0  # seconds before a flood, and after it, in which none is to be called
FLOOD: Final = 10.0
INTERVAL: Final = 0.5  # seconds between samples of the watch
MEGABYTE: Final = 1e6


@dataclass(frozen=True, slots=True)
class Result:
    """One flood: `rate` asked for, `arrived` SYNs a second as counted or estimated by the watch; `grown` in bytes."""

    server: str
    cookies: str
    rate: int | None
    arrived: float
    visits: Visits
    grown: int

    @property
    def name(self) -> str:
        """For a row."""
        return f"{self.server}, cookies {self.cookies}, {pace(self.rate)}"


def pace(rate: int | None) -> str:
    """The rate as it is asked for."""
    return "--flood" if rate is None else f"{rate:,}/s"


def flood(made: Field, name: str, cookies: str, rate: int | None) -> Result:
    """Flood one server, and visit it meanwhile."""
    log = made.folder / "log"
    with SERVED[name](made, cookies) as server:
        visit(made, server, BATCH)  # so that what is loaded once is loaded
        before = server.resident()
        with watching(made, server, log, INTERVAL), hping3(made, server, rate=rate, seconds=LONGEST):
            time.sleep(SETTLED)
            times: list[float] = []
            for _ in range(BATCHES):
                times += visit(made, server, BATCH, BATCH).times
                time.sleep(PAUSE)
            arrived = _middle([each["syns_at_least"] for each in seen(log)[2:]])
        grown = server.resident() - before
    return Result(name, cookies, rate, arrived, Visits(BATCHES * BATCH, tuple(times)), grown)


def _middle(numbers: Sequence[float]) -> float:
    return sorted(numbers)[len(numbers) // 2] if numbers else float("nan")


def results() -> Iterator[Result]:
    """Every server, with every kind of cookies, at every rate."""
    with tempfile.TemporaryDirectory() as folder, field(Path(folder)) as made:
        for rate in RATES:
            for cookies in SYNCOOKIES:
                for name in SERVED:
                    yield flood(made, name, cookies, rate)


@dataclass(frozen=True, slots=True)
class Vigil:
    """What the watch said of one server around one flood, times in seconds.

    `after`: from its start until it was called (nan: never). `before`: samples before it that were called anything. `flood` and
    `suspected`: for how long after its end the verdict still was that, at most.
    """

    server: str
    after: float
    before: int
    flood: float
    suspected: float


def vigil(made: Field, name: str, rate: int, quiet: float, lasting: float) -> Vigil:
    """Quiet with a few visits, a flood, quiet again."""
    log = made.folder / f"vigil-{name}"
    with (ours if name == "synfin" else nginx)(made, "pressure") as server, watching(made, server, log, INTERVAL):
        _rest(made, server, quiet)
        began = time.time()
        with hping3(made, server, rate=rate, seconds=lasting):
            _rest(made, server, lasting)
        ended = time.time()
        _rest(made, server, quiet)
    return judge(name, seen(log), began, ended)


def judge(name: str, said: Sequence[dict[str, Any]], began: float, ended: float) -> Vigil:
    """The samples in `said` against a flood from `began` to `ended`, in seconds since the epoch."""
    called = [(each["time"] / 1e9, each["verdict"]) for each in said]
    first = next((at for at, verdict in called if at >= began and verdict == "flood"), float("nan"))
    before = [at for at, verdict in called if at < began and verdict != "none"]
    floods, suspected = (
        max((at for at, verdict in called if at > ended and verdict == word), default=ended) for word in ("flood", "suspected")
    )
    return Vigil(name, first - began, len(before), floods - ended, suspected - ended)


def _rest(made: Field, server: Server, seconds: float) -> None:
    """Ordinary life: a few connections a second."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        visit(made, server, 4)
        time.sleep(min(1.0, max(until - time.monotonic(), 0)))


def vigils() -> Iterator[Vigil]:
    """Both servers, one after the other."""
    with tempfile.TemporaryDirectory() as folder, field(Path(folder)) as made:
        for name in SERVED:
            yield vigil(made, name, 20_000, QUIET, FLOOD)


def rows() -> Iterator[Row]:
    """Everything, or a line that says why not."""
    try:
        for result in results():
            yield from _rows(result)
        for each in vigils():
            yield Row(name=f"{each.server}, flood called after", value=each.after, best=each.after, unit="s", budget=2)
            yield Row(name=f"{each.server}, called before it", value=each.before, best=each.before, unit="samples", budget=0)
            yield Row(name=f"{each.server}, called after its end", value=each.flood, best=each.flood, unit="s")
            yield Row(name=f"{each.server}, suspected after its end", value=each.suspected, best=each.suspected, unit="s")
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"flood: left out, no namespaces with hping3 and nginx here: {error}", file=sys.stderr)


def _rows(result: Result) -> Iterator[Row]:
    share, bound = result.visits.share * 100, result.cookies != "off" and result.rate is not None
    yield Row(name=result.name, value=share, best=share, unit="% ok", bound=MORE, budget=99 if bound else None)
    middle, slow = (result.visits.quantile(each) * 1000 for each in (0.5, 0.95))
    yield Row(name=f"{result.name}: 50 %", value=middle, best=middle, unit="ms")
    yield Row(name=f"{result.name}: 95 %", value=slow, best=slow, unit="ms")
    yield Row(name=f"{result.name}: arrived", value=result.arrived, best=result.arrived, unit="SYN/s", bound=MORE)
    if result.server == "synfin":
        grown = result.grown / MEGABYTE
        yield Row(name=f"{result.name}: memory", value=grown, best=grown, unit="MB", bound=LESS, budget=10)


def main() -> int:
    """The tables."""
    print("| server | cookies | asked | arrived, SYN/s | served | connect, median | 95 % | memory |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for each in results():
        visits = each.visits
        grown = f"+{each.grown / MEGABYTE:.1f} MB" if each.server == "synfin" else "-"
        print(
            f"| {each.server} | {each.cookies} | {pace(each.rate)} | {each.arrived:,.0f} | {visits.share:.1%} "
            f"| {_time(visits.quantile(0.5))} | {_time(visits.quantile(0.95))} | {grown} |",
            flush=True,
        )
    print("\n| server | flood called after | called before | still called after its end | still suspected |")
    print("|---|---|---|---|---|", flush=True)
    for one in vigils():
        print(f"| {one.server} | {one.after:.1f} s | {one.before} | {one.flood:.1f} s | {one.suspected:.1f} s |", flush=True)
    return 0


def _time(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{seconds * 1000:.1f} ms"


if __name__ == "__main__":
    sys.exit(main())
