"""Is this a SYN flood? One judgement for all sources: a running synfin, the kernel, a capture, a bare table of sockets.

Owns the decision: evidence in, findings out. Pure: no clock, no I/O, no randomness. How samples become evidence is
evidence.py's, what the sources look like entropy.py's, the words verdict_words.py's.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from synfin.watch.findings import Finding, Kind, Level, Reason
from synfin.watch.sample import Sample
from synfin.watch.settings import INPUTS, Settings

__all__ = ["Finding", "Kind", "Level", "Reason", "Settings", "Watcher", "judge", "worst"]

DEFAULTS: Final = Settings()


def judge(
    window: Sequence[Sample], settings: Settings = DEFAULTS, *, without: frozenset[str] = frozenset()
) -> list[Finding]:
    """What is to be said of the newest of `window` (oldest first), worst first; nothing for listeners that are well.

    `without` takes inputs away: "cookies", "entropy", "repeats", "overflows", "counters". Raises ValueError for another.
    """
    watcher = Watcher(settings, without=without)
    found: list[Finding] = []
    for sample in window:
        found = watcher.add(sample)
    return found


class Watcher:
    """Follows one source: `add` each sample in turn; keeps no more than `settings.window`."""

    def __init__(self, settings: Settings = DEFAULTS, *, without: frozenset[str] = frozenset()) -> None:
        unknown = sorted(without - set(INPUTS))
        if unknown:
            raise ValueError(f"no input {unknown[0]!r}; there are: {', '.join(INPUTS)}")
        self.settings = settings
        self._without = without
        self._samples: deque[Sample] = deque()

    def add(self, sample: Sample) -> list[Finding]:
        """What is to be said now, worst first."""
        self._samples.append(sample)
        return []


def worst(findings: Sequence[Finding]) -> Level:
    """The highest level among them; NONE of nothing."""
    return max((finding.level for finding in findings), default=Level.NONE)
