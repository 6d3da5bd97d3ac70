"""One source at one moment with all that is said of it: what changed, the verdict, the warnings.

Owns how these are brought together, and the order of listeners on a screen. Reads no source, draws nothing.
"""

from dataclasses import dataclass

from synfin.watch.findings import Finding, Level
from synfin.watch.owners import Pile
from synfin.watch.rates import Change, ListenerChange
from synfin.watch.verdict import worst


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """`name` is "kernel" or that of a running synfin, whose process is `pid`; `hidden`: some owners could not be seen."""

    name: str
    pid: int | None
    change: Change
    findings: tuple[Finding, ...]
    piles: tuple[Pile, ...] = ()
    hidden: bool = False

    @property
    def label(self) -> str:
        """What tells it from other sources: `kernel` or name/pid."""
        return self.name if self.pid is None else f"{self.name}/{self.pid}"

    @property
    def level(self) -> Level:
        """The worst of the findings."""
        return worst(self.findings)

    @property
    def score(self) -> float:
        """The highest score among the worst of the findings; 0 without any."""
        return max((each.score for each in self.findings if each.level == self.level), default=0.0)


def ranked(seen: Observed) -> list[ListenerChange]:
    """The listeners: those that something is said about first, then those that most happens at."""
    named = {finding.listener for finding in seen.findings}

    def rank(each: ListenerChange) -> tuple[float, ...]:
        listener = each.listener
        busy = (listener.half_open, listener.accept_queue, each.rates.new_half_open, each.rates.drops or 0)
        return listener.name not in named, *(-number for number in busy)

    return sorted(seen.change.listeners, key=lambda each: (*rank(each), each.listener.port, each.listener.address))
