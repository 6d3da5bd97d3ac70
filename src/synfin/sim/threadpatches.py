"""What stands for threading's names while threads of a world run: locks, starting and joining, sleep, select and its like.

Owns the list, and the lock. Everything else of threading and queue is made of these in Python, and so waits in virtual time
too. In contexts without a world all of them are the real ones. What is not reached: locks made before the run, and programs
that use _thread itself.
"""

import contextlib
import importlib
import queue
import ssl
import sys
import threading
import time
from _thread import allocate_lock, get_ident
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from synfin.engine.errors import UsageError
from synfin.sim import timing
from synfin.sim.runner import Program, run
from synfin.sim.threads import REAL_JOIN, REAL_START, ThreadEnded, Threads, WorldThread
from synfin.sim.world import World
from synfin.sockets import tls
from synfin.sockets.blocking import Bell
from synfin.sockets.descriptors import current_descriptors
from synfin.sockets.patching import replaced, selecting
from synfin.sockets.readiness import Polling

_IMPORTING: Final = vars(importlib._bootstrap)
_REAL_RLOCK: Final = threading.RLock
_REAL_IS_ALIVE: Final = threading.Thread.is_alive
_REAL_SLEEP: Final = time.sleep


class WorldLock:
    """threading.Lock among threads of a world; among others, after the run for example, a lock like any other.

    A thread that is ending cannot wait for one that another holds: it gets ThreadEnded, and may release it all the same, as
    Condition.wait's callers do, which changes nothing. `turns`: whoever takes it lets others go first where the seed says so.
    """

    __slots__ = ("__weakref__", "_lock", "_missed", "_threads", "_turns", "_waiting")

    def __init__(self, threads: Threads, *, turns: bool = True) -> None:
        self._threads = threads
        self._turns = turns
        self._lock = allocate_lock()
        self._waiting: deque[Bell] = deque()
        self._missed: list[WorldThread | None] = []  # who was to have it and was ending

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """See threading.Lock."""
        if not blocking and timeout != -1:
            raise ValueError("can't specify a timeout for a non-blocking call")
        if timeout < 0 and timeout != -1:
            raise ValueError("timeout value must be a non-negative number")
        try:
            if blocking and self._turns and timing.world() is self._threads.world:
                self._threads.turn("a lock")
            return self._attempt() or (blocking and self._wait(timeout))
        except ThreadEnded:
            self._missed.append(self._threads.present)
            raise

    def _attempt(self) -> bool:
        taken = self._lock.acquire(False)
        if taken and self._missed:
            self.was_missed()  # it is not any more
        return taken

    def _wait(self, timeout: float) -> bool:
        threads = self._threads
        if timing.world() is not threads.world:
            return self._lock.acquire(True, timeout)
        until = None if timeout == -1 else threads.now() + timeout
        while True:
            bell = threads.bell("a lock")
            self._waiting.append(bell)
            try:
                in_time = bell.wait(until)
            finally:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(bell)
            if self._attempt():
                return True
            if not in_time:
                return False

    def release(self) -> None:
        """See threading.Lock."""
        if self._missed and self.was_missed():
            return
        self._lock.release()
        if self._waiting:
            self._waiting.popleft().ring()

    def was_missed(self) -> bool:
        """Whether the calling thread was to have it and could not, being about to end; told once."""
        thread = self._threads.present
        if thread not in self._missed:
            return False
        self._missed.remove(thread)
        return True

    def locked(self) -> bool:
        """See threading.Lock."""
        return self._lock.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _at_fork_reinit(self) -> None:
        self._lock = allocate_lock()
        self._waiting.clear()


class WorldRLock(threading._PyRLock):  # type: ignore[misc,name-defined]
    """threading.RLock over a WorldLock."""

    def release(self) -> None:
        """See threading.RLock."""
        if self._owner == get_ident() or not self._block.was_missed():
            super().release()


def _replacements(threads: Threads) -> list[tuple[Any, str, Any]]:
    """(module or class, name, stand-in)."""

    def here() -> bool:
        return timing.world() is threads.world

    def lock() -> Any:
        if not here():
            return allocate_lock()
        # What one run imports the next one finds imported: an import has no say in who goes next.
        return WorldLock(threads, turns=sys._getframe(1).f_globals is not _IMPORTING)

    def rlock(*arguments: Any) -> Any:
        return WorldRLock(*arguments) if here() else _REAL_RLOCK(*arguments)

    def start(thread: threading.Thread) -> None:
        (threads.start if here() else REAL_START)(thread)

    def join(thread: threading.Thread, timeout: float | None = None) -> None:
        if here() and hasattr(thread, "synfin_record"):
            threads.join(thread, timeout)
        else:
            REAL_JOIN(thread, timeout)

    def is_alive(thread: threading.Thread) -> bool:
        record = getattr(thread, "synfin_record", None)
        if record is not None and record.done:
            REAL_JOIN(thread)  # it may not have left the machine yet
        return _REAL_IS_ALIVE(thread)

    def sleep(seconds: float, /) -> None:
        if threads.present is not None and here():
            threads.sleep(seconds)
        else:
            timing.sleep(seconds)

    polling = Polling(current_descriptors, lambda: threads)
    return [
        (threading, "Lock", lock),
        (threading, "_allocate_lock", lock),
        (threading, "RLock", rlock),
        (threading, "_time", timing.TIME["monotonic"]),
        (threading.Thread, "start", start),
        (threading.Thread, "join", join),
        (threading.Thread, "is_alive", is_alive),
        (queue, "time", timing.TIME["monotonic"]),
        (queue, "SimpleQueue", queue._PySimpleQueue),  # type: ignore[attr-defined]
        (time, "sleep", sleep),
        (ssl.SSLContext, "wrap_socket", tls.wrap_socket),
        *selecting(polling),
    ]


@contextmanager
def world_threads(world: World) -> Iterator[Threads]:
    """Threads begun in the block are the world's, and blocking calls on simulated sockets work in them. For a coroutine that
    runs inside of `synfin.sim.run`: `await threads.call(function)` runs one. At the end those that are left are ended.

    Raises UsageError outside of a run of this world, or inside of another such block.
    """
    if timing.world() is not world or world.threads is not None:
        raise UsageError("threads of a world begin inside of its run, once")
    threads = Threads(world)
    with replaced(_replacements(threads)):
        world.threads = threads
        try:
            yield threads
        finally:
            threads.close()
            world.threads = None


def run_blocking(main: Callable[[World], Any], **options: Any) -> Any:
    """Run a program with blocking sockets and threads in virtual time and return its result.

    main: a function that takes the World, makes hosts and links in it, and starts threads (`with host:` says who speaks in
        them); it is the first thread. The run ends when it returns; threads that are left are ended where they wait.
    options: as synfin.sim.run's.

    In the threads sockets, time.sleep, locks, queues, joins and select wait in virtual time; one runs at a time, and who is
    next is drawn from the seed. Raises what `main` raises, Deadlock when all threads wait and nothing is left to happen.
    """

    async def program(world: World) -> Any:
        with world_threads(world) as threads:
            return await threads.call(main, world)

    chosen: Program[Any] = program
    return run(chosen, **options)
