"""Stand-ins for the clock and the randomness of the standard library, in force inside of a run.

Owns what they answer. Each looks in its context whether a run is going on: other threads, and modules that were imported
during a run and kept one, get the real thing. Which names they stand in for is patches.py's.

Time begins at EPOCH by the clock on the wall and at 0 by the others.
"""

import os
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from random import Random
from typing import Any, Final

from synfin.engine.config import SECOND
from synfin.sim.clock import nanoseconds
from synfin.sim.world import World

EPOCH: Final = 1_767_225_600 * SECOND  # 2026-01-01 00:00:00 UTC

WORLD: Final[ContextVar[World | None]] = ContextVar("synfin_world", default=None)

_REAL_TIME: Final = {name: getattr(time, name) for name in dir(time) if callable(getattr(time, name))}
_REAL_URANDOM: Final = os.urandom
_REAL_GETRANDOM: Final = os.getrandom
_REAL_SEED: Final = Random.seed
_REAL_UUID1: Final = uuid.uuid1


def world() -> World | None:
    """The world of the run that goes on in this context, None outside of one."""
    return WORLD.get()


def _clock(name: str, offset: int, whole: bool) -> Callable[[], float]:
    """The stand-in for a clock of the module time: nanoseconds when `whole`, else seconds."""
    real: Callable[[], float] = _REAL_TIME[name]
    get = WORLD.get

    def now() -> float:
        present = get()
        if present is None:
            return real()
        elapsed = present.clock.now + offset
        return elapsed if whole else elapsed / SECOND

    now.__name__ = now.__qualname__ = name
    return now


def sleep(seconds: float, /) -> None:
    """time.sleep: the caller stands still while the world goes on."""
    present = WORLD.get()
    if present is None:
        _REAL_TIME["sleep"](seconds)
        return
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    clock = present.clock
    until = clock.now + nanoseconds(float(seconds), "sleep")
    while clock.now < until:
        clock.run(until)


def clock_gettime(clock: int, /) -> float:
    """time.clock_gettime: CLOCK_REALTIME and its like from EPOCH on, the others from 0; CPU clocks are the real ones."""
    return clock_gettime_ns(clock) / SECOND if WORLD.get() is not None else float(_REAL_TIME["clock_gettime"](clock))


def clock_gettime_ns(clock: int, /) -> int:
    """time.clock_gettime_ns."""
    present = WORLD.get()
    if present is None or clock in (time.CLOCK_PROCESS_CPUTIME_ID, time.CLOCK_THREAD_CPUTIME_ID):
        return int(_REAL_TIME["clock_gettime_ns"](clock))
    return present.clock.now + (EPOCH if clock in (time.CLOCK_REALTIME, time.CLOCK_TAI) else 0)


def _calendar(name: str, position: int) -> Callable[..., Any]:
    """The stand-in for a function of the module time whose argument at `position` is the present where it is not given."""
    real = _REAL_TIME[name]

    def at_present(*args: Any) -> Any:
        present = WORLD.get()
        missing = len(args) == position or (len(args) == position + 1 and args[position] is None)
        if present is None or not missing:
            return real(*args)
        seconds = (present.clock.now + EPOCH) / SECOND
        if name in ("asctime", "strftime"):
            return real(*args[:position], _REAL_TIME["localtime"](seconds))
        return real(seconds)

    at_present.__name__ = at_present.__qualname__ = name
    return at_present


TIME: Final[dict[str, Callable[..., Any]]] = {
    "time": _clock("time", EPOCH, False),
    "time_ns": _clock("time_ns", EPOCH, True),
    "monotonic": _clock("monotonic", 0, False),
    "monotonic_ns": _clock("monotonic_ns", 0, True),
    "perf_counter": _clock("perf_counter", 0, False),
    "perf_counter_ns": _clock("perf_counter_ns", 0, True),
    "sleep": sleep,
    "clock_gettime": clock_gettime,
    "clock_gettime_ns": clock_gettime_ns,
    "gmtime": _calendar("gmtime", 0),
    "localtime": _calendar("localtime", 0),
    "ctime": _calendar("ctime", 0),
    "asctime": _calendar("asctime", 0),
    "strftime": _calendar("strftime", 1),
}


def urandom(size: int, /) -> bytes:
    """os.urandom, from the world's stream `urandom`."""
    present = WORLD.get()
    if present is None:
        return _REAL_URANDOM(size)
    if size < 0:
        raise ValueError("negative argument not allowed")
    return present.stream("urandom").randbytes(size)


def getrandom(size: int, flags: int = 0) -> bytes:
    """os.getrandom, as `urandom`."""
    return _REAL_GETRANDOM(size, flags) if WORLD.get() is None else urandom(size)


def seed(self: Random, a: Any = None, version: int = 2) -> None:
    """random.Random.seed: a generator that is given no seed gets one of the world's."""
    present = WORLD.get()
    if a is None and present is not None:
        a = present.stream("random seeds").getrandbits(256)
    _REAL_SEED(self, a, version)


def uuid1(node: int | None = None, clock_seq: int | None = None) -> uuid.UUID:
    """uuid.uuid1 from the world's clock and randomness."""
    present = WORLD.get()
    if present is None:
        return _REAL_UUID1(node, clock_seq)
    draw = present.stream("uuid1")
    ticks = (EPOCH + present.clock.now) // 100 + 0x01B21DD213814000
    sequence = draw.getrandbits(14) if clock_seq is None else clock_seq
    fields = (ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF, sequence >> 8 & 0x3F, sequence & 0xFF)
    return uuid.UUID(fields=(*fields, draw.getrandbits(48) | 1 << 40 if node is None else node), version=1)
