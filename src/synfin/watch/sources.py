"""What `synfin watch` looks at: the kernel of this network namespace, and every synfin of this user that runs.

Owns which sources there are at a moment, and what is remembered of each from one sample to the next. Shows nothing.
"""

import os
import time
from dataclasses import dataclass
from typing import Final, Self

from synfin.control.client import Gone, find
from synfin.control.places import Place, folder, places
from synfin.engine.errors import UsageError
from synfin.watch.findings import Finding
from synfin.watch.kernel import KernelSource
from synfin.watch.observed import Observed
from synfin.watch.rates import Change, Changes
from synfin.watch.running import RunningSource
from synfin.watch.sample import Sample
from synfin.watch.verdict import Watcher

KERNEL: Final = "kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """What the command line chooses; nothing chosen: the kernel and all that run."""

    kernel: bool = False
    name: str | None = None
    pid: int | None = None

    @property
    def running(self) -> bool:
        """Whether synfins are looked at."""
        return not self.kernel or self.named

    @property
    def named(self) -> bool:
        """Whether one was asked for."""
        return self.name is not None or self.pid is not None


class _Memory:
    """What is kept of one source."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.watcher = Watcher()
        self.findings: tuple[Finding, ...] = ()

    def take(self, sample: Sample, between: bool) -> Change:
        """What changed; of a sample `between` two others only the verdict learns."""
        self.findings = tuple(self.watcher.add(sample))
        return Changes().add(sample) if between else self.changes.add(sample)


class Sources:
    """`observe` them as often as wanted; `silent` are those, as name/pid, that did not answer the last time.

    Raises UsageError when what was asked for does not run, OSError for the kernel.
    """

    def __init__(self, which: Which) -> None:
        self._which = which
        if which.named:
            find(os.environ, name=which.name, pid=which.pid)
        self._kernel = KernelSource() if which.kernel or not which.named else None
        self._memories: dict[Place | None, _Memory] = {}
        self.silent: tuple[str, ...] = ()

    def observe(self, *, between: bool = False) -> list[Observed]:
        """All sources as they are now, the kernel first. Raises UsageError when none is left.

        A sample `between` two others serves the verdict alone: the rates of the next are those since the one before it.
        """
        seen = []
        kept: dict[Place | None, _Memory] = {}
        if self._kernel is not None:
            memory = kept[None] = self._memories.get(None) or _Memory()
            seen.append(_of_kernel(self._kernel, memory, between))
        if self._which.running:
            seen += self._running(kept, between)
        self._memories = kept
        if not seen and not self.silent:
            raise UsageError("what was watched has ended")
        return seen

    def _running(self, kept: dict[Place | None, _Memory], between: bool) -> list[Observed]:
        """Every synfin that answers. One that does not, since it is stopped or too busy, may answer again."""
        seen, silent = [], []
        for place in places(folder(os.environ)):
            if self._which.name not in (None, place.name) or self._which.pid not in (None, place.pid):
                continue
            memory = self._memories.get(place) or _Memory()
            try:
                seen.append(_of_running(place, memory, between))
            except Gone:
                continue
            except UsageError:
                silent.append(f"{place.name}/{place.pid}")
            kept[place] = memory
        self.silent = tuple(silent)
        return seen

    def close(self) -> None:
        """Give back what is open; repeating it does nothing."""
        if self._kernel is not None:
            self._kernel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _of_kernel(source: KernelSource, memory: _Memory, between: bool) -> Observed:
    change = memory.take(source.sample(time.monotonic_ns()), between)
    return Observed(
        name=KERNEL, pid=None, change=change, findings=memory.findings, piles=tuple(source.piles()), hidden=source.hidden,
    )  # fmt: skip


def _of_running(place: Place, memory: _Memory, between: bool) -> Observed:
    change = memory.take(RunningSource(place).sample(time.monotonic_ns()), between)
    return Observed(name=place.name, pid=place.pid, change=change, findings=memory.findings)
