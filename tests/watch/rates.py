"""Measures the verdict on generated streams, and prints the table of docs/syn-flood.md.

    python -m tests.watch.rates                    # held-out seeds, 3,000 minutes a case: about half an hour on two cores
    python -m tests.watch.rates --minutes 100 --floods 50 --tuning
"""

import argparse
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from synfin.watch.sample import Sample
from synfin.watch.verdict import Level, Watcher, worst
from tests.watch import streams

SEEDS: Final[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "seeds.toml").read_text(encoding="utf-8"))
SECOND: Final = 1_000_000_000
IN_TIME: Final = 3.0  # seconds from a flood's first SYN in which it has to be called one; samples are a second apart
LATE: Final = 70.0  # the same of a slow flood: its queue takes 50 s to fill
CHUNK: Final = 25
NAMES: Final = " | ".join(streams.SOURCES)
HEADINGS: Final = {
    "innocent": f"| innocent case | minutes | {NAMES} |\n|---|---|---|---|---|",
    "flood": f"| flood | {NAMES} |\n|---|---|---|---|",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The worst level in one minute, or how long after its begin a flood was called one (None: not in the stream)."""

    source: str
    worst: Level
    latency: float | None = None


def levels(window: Iterable[Sample], source: str, without: frozenset[str] = frozenset()) -> Iterator[tuple[float, Level]]:
    """The time of each sample in the stream's seconds, and the level said then."""
    watcher = Watcher(without=without)
    for sample in window:
        yield sample.at / SECOND - 100, worst(watcher.add(streams.seen_by(source, sample)))


def minute(case: str, seed: int) -> list[Outcome]:
    """One innocent minute, as each source sees it."""
    seen = streams.samples(streams.innocent(case, seed), seed)
    return [Outcome(source, max(level for _, level in levels(seen, source))) for source in streams.SOURCES]


def visible(case: str, scene: streams.Scene, source: str) -> bool:
    """Whether a table alone has anything of it: cookies leave no entry, entries that a reset ends are gone in a round trip."""
    return source != "table" or (case != "answered by reset" and all(where.cookies != "always" for where, _ in scene.servers))


def attack(case: str, seed: int) -> list[Outcome]:
    """One flood, as each source sees it that can see it."""
    scene = streams.slow_flood(seed) if case == "slow flood" else streams.flood(case, seed)
    seen = streams.samples(scene, seed)
    found = []
    assert scene.flood is not None
    for source in streams.SOURCES:
        if visible(case, scene, source):
            said = list(levels(seen, source))
            called = [at - scene.flood for at, level in said if level is Level.FLOOD]
            found.append(Outcome(source, max(level for _, level in said), called[0] if called else None))
    return found


def several(what: str, case: str, seeds: range) -> list[Outcome]:
    """Of many seeds; runs in a process of its own."""
    one = minute if what == "innocent" else attack
    return [outcome for seed in seeds for outcome in one(case, seed)]


def missed(case: str, outcome: Outcome) -> bool:
    """A flood not called one in time."""
    return outcome.latency is None or not 0 <= outcome.latency <= (LATE if case == "slow flood" else IN_TIME)


def innocent_row(case: str, outcomes: list[Outcome]) -> str:
    """One line of the table: false alarms and suspicions in all minutes, for each source."""
    cells = []
    for source in streams.SOURCES:
        found = [each for each in outcomes if each.source == source]
        alarms = sum(each.worst is Level.FLOOD for each in found)
        suspected = sum(each.worst is Level.SUSPECTED for each in found)
        cells.append(f"{alarms} / {suspected / max(len(found), 1):.1%}")
    return f"| {case} | {len(outcomes) // len(streams.SOURCES)} | " + " | ".join(cells) + " |"


def flood_row(case: str, outcomes: list[Outcome]) -> str:
    """One line of the table: floods missed, and the latency's median and 99th percentile, for each source."""
    cells = []
    for source in streams.SOURCES:
        found = [each for each in outcomes if each.source == source]
        if not found:
            cells.append("not to be seen")
            continue
        misses = sum(missed(case, each) for each in found)
        times = sorted(each.latency for each in found if each.latency is not None)
        cells.append(f"{misses} of {len(found)}; {at(times, 0.5):.1f} s, {at(times, 0.99):.1f} s")
    return f"| {case} | " + " | ".join(cells) + " |"


def at(ordered: list[float], share: float) -> float:
    """A quantile."""
    return ordered[round(share * (len(ordered) - 1))] if ordered else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tuning", action="store_true", help="the seeds that thresholds were chosen with")
    parser.add_argument("--minutes", type=int, help="innocent minutes a case")
    parser.add_argument("--floods", type=int, help="floods a case")
    parser.add_argument("--only", action="append", help="a case; may be given several times")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    seeds = SEEDS["tuning" if asked.tuning else "held_out"]
    jobs = [("innocent", case, seeds["minutes"] if asked.minutes is None else asked.minutes) for case in streams.INNOCENT]
    floods = seeds["floods"] if asked.floods is None else asked.floods
    jobs += [("flood", case, floods) for case in (*streams.FLOODS, "slow flood")]
    jobs = [job for job in jobs if not asked.only or job[1] in asked.only]
    with ProcessPoolExecutor(asked.workers) as pool:
        waiting = []
        for what, case, number in jobs:
            chunks = [range(first, min(first + CHUNK, number)) for first in range(0, number, CHUNK)]
            shifted = [range(seeds["first"] + each.start, seeds["first"] + each.stop) for each in chunks]
            waiting.append((what, case, [pool.submit(several, what, case, each) for each in shifted]))
        heading = ""
        for what, case, futures in waiting:  # in order: the table grows as it is measured
            if what != heading:
                heading = what
                print("\n" + HEADINGS[what])
            outcomes = [outcome for future in futures for outcome in future.result()]
            print(innocent_row(case, outcomes) if what == "innocent" else flood_row(case, outcomes), flush=True)


if __name__ == "__main__":
    main()
