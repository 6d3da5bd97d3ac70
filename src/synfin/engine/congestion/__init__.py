"""Congestion controllers behind one base class."""

from typing import Final

from synfin.engine.config import TcpConfig
from synfin.engine.congestion.base import Congestion
from synfin.engine.congestion.newreno import CountingNewReno, NewReno
from synfin.engine.errors import UsageError

CONTROLLERS: Final[dict[str, type[Congestion]]] = {"newreno": NewReno}


def make(config: TcpConfig, mss: int) -> Congestion:
    """The controller that `config.congestion` names, for segments of `mss` bytes; raises UsageError for an unknown name."""
    controller = CONTROLLERS.get(config.congestion)
    if controller is None:
        raise UsageError(f"no congestion control {config.congestion!r}; there is: {', '.join(CONTROLLERS)}")
    if config.slow_start_segments != 1 and controller is NewReno:
        return CountingNewReno(mss, config.initial_window_segments, config.slow_start_segments)
    return controller(mss, config.initial_window_segments)


__all__ = ["CONTROLLERS", "Congestion", "CountingNewReno", "NewReno", "make"]
