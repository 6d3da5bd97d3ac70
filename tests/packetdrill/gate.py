"""The mutation gate: every expectation of every script is made wrong once, and the script must fail.

    python -m tests.packetdrill.gate             one family, fast path on, and the mutations of the stack
    python -m tests.packetdrill.gate --full      both families, fast path on and off

Owns how mutants are played and counted; what is changed lies in gate_mutations.py and stack_mutations.py. A script that does
not pass as it is, a mutant that survives and an entry of EQUIVALENT that does not survive each make the exit status 1.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

from synfin.packetdrill.bench import Keeper, Runaway
from synfin.packetdrill.code import CodeError
from synfin.packetdrill.compare import Sent
from synfin.packetdrill.failure import Failed
from synfin.packetdrill.files import Answer, Skip
from synfin.packetdrill.flow import Flow
from synfin.packetdrill.parser import parse_script
from synfin.packetdrill.plan import Plan, Wish, make_plan
from synfin.packetdrill.player import Pending, Player
from synfin.packetdrill.profiles import load_profile
from synfin.packetdrill.run import ERROR, FAIL, PASS, SKIP
from synfin.packetdrill.syntax import Event, Script, ScriptError
from tests.packetdrill.gate_mutations import Fact, Mutation, Tolerance, expected, mutations
from tests.packetdrill.stack_mutations import STACK_MUTATIONS, StackMutation

FOLDER: Final = Path(__file__).resolve().parent.parent / "scripts"
# Each profile's own scripts; whatever lies elsewhere is played under rfc.
FOLDERS: Final = {"rfc": FOLDER, **{name: FOLDER.with_name(f"scripts-{name}") for name in ("linux", "freebsd")}}

# Mutants that say the same as the script: (end of the path, line, mutation): why. Each must survive, or it has no place here.
EQUIVALENT: Final[dict[tuple[str, int, str], str]] = {}


class Watched(Player):
    """A player that keeps what it saw of each event, and sends the latest packet twice after event `extra_after`."""

    def __init__(self, script: Script, plan: Plan, extra_after: int = -1) -> None:
        super().__init__(script, plan)
        self.facts = [Fact() for _ in script.events]
        self._extra_after = extra_after
        self._index = -1
        self._places = {id(event): index for index, event in enumerate(script.events)}
        self._latest: Sent | None = None
        self._flow_before: tuple[Flow, int, object] | None = None

    def _play(self, event: Event) -> None:
        self._index += 1
        fact = self.facts[self._index]
        fact.before = self._done
        self._flow_before = None
        super()._play(event)
        if self._flow_before is not None:
            flow, live, stamp = self._flow_before
            fact.named = flow.local_live != live
            fact.stamped = flow.local_ts != stamp
        if self._index == self._extra_after and self._latest is not None:
            self.bench.sent.appendleft(self._latest._replace(at=self.bench.clock))

    def _flow_of(self, sent: Sent) -> Flow:
        flow = super()._flow_of(sent)
        if self._flow_before is None:
            self._flow_before = flow, flow.local_live, flow.local_ts
        return flow

    def _expect_in_time(self, event: Event, sent: Sent, due: tuple[int, int]) -> None:
        fact = self.facts[self._index]
        fact.first = sent.at if fact.first < 0 else fact.first
        fact.last = sent.at
        self._latest = sent
        super()._expect_in_time(event, sent, due)

    def _ended(self, pending: Pending, answer: Answer) -> None:
        if pending.call.end is not None:
            fact = self.facts[self._places[id(pending.event)]]
            fact.first = fact.last = self.bench.clock
        super()._ended(pending, answer)


class Survivor(NamedTuple):
    """A mutant that did not do what it must; `verdict` is what it did, FAIL for a change within the tolerance."""

    file: str
    line: int
    family: str
    fast_path: bool
    name: str
    verdict: str
    text: str

    def __str__(self) -> str:
        way = "" if self.fast_path else ", without the fast path"
        return f"{self.file}:{self.line}: {self.name}: {self.verdict} [{self.family}{way}]\n    {self.text}"


@dataclass(slots=True)
class Total:
    """What came of some scripts."""

    scripts: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    within: int = 0
    survivors: list[Survivor] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def add(self, other: "Total") -> None:
        """Take in what came of others."""
        self.scripts += other.scripts
        self.wrong += other.wrong
        self.within += other.within
        self.survivors += other.survivors
        self.broken += other.broken


def played(script: Script, plan: Plan, extra_after: int = -1) -> tuple[str, str, Watched]:
    """Verdict of one play, what was wrong, and its player."""
    player = Watched(script, plan, extra_after)
    try:
        player.play()
    except Failed as failed:
        return FAIL, str(failed), player
    except Skip as skip:
        return SKIP, skip.what, player
    except CodeError as error:
        return ERROR, str(error), player
    except Runaway as error:
        return FAIL, str(error), player
    return PASS, "", player


def profile_of(path: Path) -> str:
    """The name of the profile that the script in `path` is written for: its folder's."""
    return next((name for name, folder in FOLDERS.items() if path.is_relative_to(folder)), "rfc")


def read(path: Path, wish: Wish) -> tuple[Script, Plan]:
    """The script in `path` and how it is played. Raises ScriptError, Skip."""
    root = FOLDER if path.is_relative_to(FOLDER) else FOLDER.parent
    name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    script = parse_script(path.read_text(encoding="utf-8"), name, systems=frozenset((wish.profile.system, wish.family)))
    return script, make_plan(script, replace(wish, folder=path.parent))


def gate(script: Script, plan: Plan, wish: Wish) -> Total:
    """Play all mutants of one script."""
    total = Total(scripts=1)
    verdict, why, player = played(script, plan)
    if verdict != PASS:
        total.broken.append(f"{script.file} [{wish.family}]: {verdict} as it is: {why}")
        return total
    tolerance = Tolerance(plan.tolerance, plan.percent / 100)
    for mutation in mutations(script, player.facts, tolerance):
        _judge(script, plan, wish, mutation, total)
    return total


def _judge(script: Script, plan: Plan, wish: Wish, mutation: Mutation, total: Total) -> None:
    mutant = replace(script, events=mutation.events)
    verdict, _, _ = played(mutant, plan, mutation.index if mutation.extra else -1)
    if mutation.passes:
        total.within += 1
    else:
        total.wrong[mutation.name] += 1
    event = script.events[mutation.index]
    survives = verdict != (PASS if mutation.passes else FAIL)
    if survives != ((script.file, event.place.line, mutation.name) in EQUIVALENT):
        verdict = verdict if survives else "FAIL, and the list of equivalent mutants has it"
        total.survivors.append(
            Survivor(script.file, event.place.line, wish.family, wish.fast_path, mutation.name, verdict, event.text)
        )


# --- mutations of the stack


def caught(mutation: StackMutation, scripts: Iterable[tuple[Script, Plan]], enough: int = 1) -> list[str]:
    """The scripts that fail while `mutation` is in force and pass without it; no more than `enough` are looked for."""
    found: list[str] = []
    for script, plan in scripts:
        changed = plan
        if mutation.changes:
            changes = mutation.changes(plan.config)
            changed = replace(plan, config=plan.config.replace(**changes), changes={**plan.changes, **changes})
        with ExitStack() as stack:
            mutation.apply(stack)
            verdict = played(script, changed)[0]
        if verdict == FAIL and played(script, plan)[0] == PASS:
            found.append(script.file)
            if len(found) >= enough:
                break
    return found


def silent(scripts: Iterable[tuple[Script, Plan]]) -> list[str]:
    """The scripts that expect a packet and do not fail with a stack that sends none."""

    def nothing(*_: object) -> None:
        pass

    found = []
    send, Keeper.send = Keeper.send, nothing  # type: ignore[method-assign,assignment]
    try:
        for script, plan in scripts:
            if any(expected(event.action) for event in script.events) and played(script, plan)[0] != FAIL:
                found.append(script.file)
    finally:
        Keeper.send = send  # type: ignore[method-assign]
    return found


# --- many


class Job(NamedTuple):
    """One script in one family, with the fast path or without; or a mutation of the stack by its place in the table, over all
    scripts: -1 for none, len(STACK_MUTATIONS) for the stack that is silent."""

    paths: tuple[Path, ...]
    family: str
    fast_path: bool
    stack: int = -1


def wish_for(path: Path, family: str, fast_path: bool) -> Wish:
    """How the gate plays a script."""
    return Wish(profile=load_profile(profile_of(path)), family=family, fast_path=fast_path, strict=True, ladder=False)


def _readable(paths: Sequence[Path], family: str, fast_path: bool) -> Iterator[tuple[Script, Plan]]:
    for path in paths:
        try:
            yield read(path, wish_for(path, family, fast_path))
        except (ScriptError, Skip):
            continue  # told by the gate itself


def work(job: Job) -> tuple[Job, Total]:
    """Do one job."""
    total = Total()
    readable = _readable(job.paths, job.family, job.fast_path)
    if job.stack == len(STACK_MUTATIONS):
        found = silent(readable)
        total.broken = [f"{file} does not fail with a silent stack [{job.family}]" for file in found]
    elif job.stack >= 0:
        mutation = STACK_MUTATIONS[job.stack]
        if not caught(mutation, readable):
            total.broken = [f"no script sees the mutation of the stack: {mutation.name} [{job.family}]"]
    else:
        wish = wish_for(job.paths[0], job.family, job.fast_path)
        try:
            script, plan = read(job.paths[0], wish)
        except (ScriptError, Skip) as error:
            total.broken.append(f"{job.paths[0]}: {error}")
        else:
            total = gate(script, plan, wish)
    return job, total


def jobs_for(paths: Sequence[Path], *, full: bool) -> list[Job]:
    """All that is to be done, the longest first."""
    families = ("ipv4", "ipv6") if full else ("ipv4",)
    found = []
    for family in families:
        for fast_path in (True, False) if full else (True,):
            everything = tuple(paths)
            found += [Job(everything, family, fast_path, place) for place in range(len(STACK_MUTATIONS) + 1)]
            found += [Job((path,), family, fast_path) for path in sorted(paths, key=lambda path: -path.stat().st_size)]
    return found


def run(paths: Sequence[Path], *, full: bool, jobs: int, tell: Callable[[str], object] = print) -> Total:
    """Play everything over `jobs` processes."""
    begun = time.monotonic()
    total = Total()
    work_to_do = jobs_for(paths, full=full)
    with get_context("fork").Pool(jobs) as pool:
        for _, part in pool.imap_unordered(work, work_to_do):
            for survivor in part.survivors:
                tell(str(survivor))
            for line in part.broken:
                tell(line)
            total.add(part)
    for key, why in EQUIVALENT.items():
        tell(f"equivalent by the list: {key[0]}:{key[1]}: {key[2]}: {why}")
    spent = time.monotonic() - begun
    mutants = total.wrong.total()
    tell("")
    for name, count in sorted(total.wrong.items()):
        tell(f"{count:8,}  {name}")
    plays = mutants + total.within
    tell(
        f"{total.scripts} scripts played, {mutants:,} mutants of which {mutants - _wrong(total):,} fail, {total.within:,} "
        f"changes within the tolerance, {len(STACK_MUTATIONS)} mutations of the stack; {len(total.survivors)} survivors, "
        f"{len(total.broken)} other findings; {spent:.0f} s, {plays / spent / jobs:.0f} mutants a second and core"
    )
    return total


def _wrong(total: Total) -> int:
    return sum(survivor.verdict != FAIL for survivor in total.survivors)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="gate", description="The mutation gate over packetdrill scripts.")
    parser.add_argument("paths", nargs="*", type=Path, help="scripts and folders; all of our own without any")
    parser.add_argument("--full", action="store_true", help="both families, fast path on and off")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--stack", action="store_true", help="list which scripts see each mutation of the stack, no more")
    chosen = parser.parse_args(arguments)
    paths: list[Path] = []
    for path in chosen.paths or FOLDERS.values():
        paths += sorted(path.resolve().rglob("*.pkt")) if path.is_dir() else [path.resolve()]
    if chosen.stack:
        for mutation in STACK_MUTATIONS:
            found = caught(mutation, _readable(paths, "ipv4", True), len(paths))
            print(f"{len(found):4}  {mutation.name}: {', '.join(found[:6])}", flush=True)
        return 0
    total = run(paths, full=chosen.full, jobs=chosen.jobs, tell=lambda line: print(line, flush=True))
    return int(bool(total.survivors or total.broken or not total.scripts))


if __name__ == "__main__":
    sys.exit(main())
