"""Many scripts: which files, in which families and ways, over how many cores, and the list of those that are known to fail.

Owns the order (that of the files' names, whatever finishes first) and what XFAIL means. Knows no words for people.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple

from synfin.engine.errors import UsageError
from synfin.packetdrill.plan import Wish
from synfin.packetdrill.run import FAIL, PASS, UNEXPECTED, XFAIL, Outcome, play_both_ways, play_text

SUFFIX: Final = ".pkt"
CHUNK: Final = 8  # scripts that a process takes at once
ENTRY: Final = re.compile(r"(\S+)(?:\s+\[(\w[\w-]*)\])?\s*:\s*(\S.*)")


class Known(NamedTuple):
    """One line of a list: scripts whose path ends like `pattern`, in `family` ("": any), fail for `reason`."""

    pattern: str
    family: str
    reason: str

    def fits(self, outcome: Outcome) -> bool:
        """Whether this line is about `outcome`."""
        if self.family not in ("", outcome.family):
            return False
        return fnmatchcase(outcome.file, self.pattern) or fnmatchcase(outcome.file, f"*/{self.pattern}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One script to be played. `both_ways`: with the fast path and without it; `lang` is that of its ladder."""

    path: str
    wish: Wish
    both_ways: bool
    lang: str


def find_scripts(paths: Sequence[Path]) -> list[Path]:
    """The files among `paths`, and all scripts in its folders, sorted. Raises UsageError for what is neither."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(path.rglob(f"*{SUFFIX}"))
        elif path.is_file():
            found.append(path)
        else:
            raise UsageError(f"{path} is not a regular file" if path.exists() else f"there is no file {path}")
    if not found:
        raise UsageError(f"no scripts (*{SUFFIX}) in {', '.join(map(str, paths))}")
    return list(dict.fromkeys(found))


def read_known(text: str, name: str) -> list[Known]:
    """The list in `text`: lines of `PATTERN [FAMILY]: REASON`, `#` begins a comment. Raises UsageError for another line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        entry = ENTRY.fullmatch(line)
        if entry is None:
            raise UsageError(f"{name}:{number}: a line is PATTERN: REASON or PATTERN [ipv6]: REASON")
        found.append(Known(entry.group(1), entry.group(2) or "", entry.group(3)))
    return found


def play_job(job: Job) -> Outcome:
    """Play one script; its history is dropped, so that a result is small."""
    try:
        text = Path(job.path).read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UsageError(f"cannot read {job.path}: {error.strerror}") from None
    play = play_both_ways if job.both_ways else play_text
    wish = replace(job.wish, folder=Path(job.path).parent)
    return replace(play(text, job.path, wish, job.lang), history=())


def play_all(
    paths: Sequence[Path], wishes: Sequence[Wish], *, both_ways: bool = False, jobs: int = 1, known: Iterable[Known] = (),
    lang: str = "en",
) -> Iterator[Outcome]:  # fmt: skip
    """Play each of `paths` as each of `wishes` says, over `jobs` processes; the outcomes come in that order."""
    listed = list(known)
    work = [Job(path=str(path), wish=wish, both_ways=both_ways, lang=lang) for path in paths for wish in wishes]
    if jobs <= 1 or len(work) <= CHUNK:
        for job in work:
            yield _judged(play_job(job), listed)
        return
    with ProcessPoolExecutor(min(jobs, -(-len(work) // CHUNK))) as pool:
        for outcome in pool.map(play_job, work, chunksize=CHUNK):
            yield _judged(outcome, listed)


def _judged(outcome: Outcome, known: Sequence[Known]) -> Outcome:
    """`outcome` in the light of the list."""
    if outcome.verdict not in (PASS, FAIL):
        return outcome
    for each in known:
        if each.fits(outcome):
            if outcome.verdict == PASS:
                return replace(outcome, verdict=FAIL, kind=UNEXPECTED, detail=each.reason)
            return replace(outcome, verdict=XFAIL, detail=each.reason, ladder="")
    return outcome
