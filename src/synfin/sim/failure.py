"""What is said of a run that fails: its seed, the command that replays it, and where its ladder and its pcapng lie.

Owns the environment variables SYNFIN_SEED and SYNFIN_FAILURES and the names of the files. Knows pytest only by the variable
in which it tells the test that runs.
"""

import os
import re
import shlex
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from synfin.engine.config import SECOND
from synfin.engine.errors import UsageError
from synfin.sim.world import World
from synfin.trace.events import SegmentSent
from synfin.trace.recorder import Trace

SEED: Final = "SYNFIN_SEED"
DIRECTORY: Final = "SYNFIN_FAILURES"
DEFAULT_DIRECTORY: Final = "synfin-failures"
LONGEST_LADDER: Final = 4000  # events of one connection: a longer ladder helps nobody
LONGEST_NAME: Final = 80

# The run that was last, and whether its world was made by the program, for who wants to know: a pytest plugin sets a list.
RUNS: Final[ContextVar[list[tuple[World, bool]] | None]] = ContextVar("synfin_runs", default=None)


def chosen_seed(seed: int | None) -> int:
    """The seed of a run: SYNFIN_SEED where it is set, else `seed`, else 0. Raises UsageError when it is no integer."""
    text = os.environ.get(SEED, "")
    if not text:
        return 0 if seed is None else seed
    try:
        return int(text, 0)
    except ValueError:
        raise UsageError(f"{SEED} is an integer, not {text!r}") from None


def _test() -> str:
    """The node of the pytest test that runs, "" outside of one: `tests/test_x.py::test_y[1]`."""
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]


def replay_command(seed: int) -> str:
    """What to type to see the same run again."""
    test = _test()
    if test:
        return f"{SEED}={seed} python -m pytest {shlex.quote(test)}"
    if sys.argv and sys.argv[0] not in ("", "-c"):
        return f"{SEED}={seed} python {shlex.join(sys.argv)}"
    return f"{SEED}={seed} before the same command"


def _file_name(seed: int) -> str:
    name = _test().rpartition("/")[2] or Path(sys.argv[0] if sys.argv else "").stem or "run"
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')[-LONGEST_NAME:]}-seed-{seed}"


def is_failure(error: BaseException) -> bool:
    """Whether `error` says that a run has failed; an interrupt, a skip and hypothesis's own signals do not."""
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit | UsageError):
        return False
    kind = type(error)
    return kind.__name__ != "Skipped" and not kind.__module__.startswith("hypothesis")


def explain(error: BaseException, world: World, made: bool, directory: str | Path | None = None) -> None:
    """Add to `error` the notes that its title promises, and write the files into `directory`. Repeating it does nothing.

    `made` says that the program made the world itself, whose seed the environment does not change then.
    """
    first = f"synfin: the run with seed {world.seed} failed at {world.clock.now / SECOND:.9f} s of virtual time"
    if any(note.startswith("synfin: the run") for note in getattr(error, "__notes__", ())):
        return
    error.add_note(first)
    if not made:
        error.add_note(f"synfin: replay it:  {replay_command(world.seed)}")
    if world.trace is None or not len(world.trace):
        return
    folder = Path(directory or os.environ.get(DIRECTORY) or DEFAULT_DIRECTORY)
    base = folder / _file_name(world.seed)
    for what, write in (("ladder", _draw), ("packets", _capture)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            said = write(world.trace, base)
        except Exception as trouble:  # the failure itself is what matters
            said = f"could not be written: {type(trouble).__name__}: {trouble}"
        error.add_note(f"synfin: its {what}: {said}")


def _draw(trace: Trace, base: Path) -> str:
    """The ladder of the connection that last sent a packet (what a host says to itself is on no network)."""
    from synfin.trace.ladder import build_ladder  # noqa: PLC0415  only a failure pays for it
    from synfin.trace.ladder_svg import ladder_svg  # noqa: PLC0415

    sent = (event.connection for event in reversed(trace.events) if isinstance(event, SegmentSent))
    last = next((connection for connection in sent if " " in connection), "")
    if not last:
        return "none, no connection sent a packet"
    if len(trace.of(last)) > LONGEST_LADDER:
        return f"not drawn, {last} has more than {LONGEST_LADDER} events"
    path = base.with_suffix(".svg")
    path.write_text(ladder_svg(build_ladder(trace, [last])), encoding="utf-8")
    return str(path)


def _capture(trace: Trace, base: Path) -> str:
    from synfin.trace.pcapng import write_pcapng  # noqa: PLC0415  only a failure pays for it

    path = base.with_suffix(".pcapng")
    write_pcapng(trace, path)
    return str(path)
