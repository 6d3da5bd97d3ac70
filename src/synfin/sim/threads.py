"""Threads in virtual time: blocking programs in a simulated world, one thread at a time.

Owns the baton. A thread runs until it has to wait (for a socket, a sleep, a lock, another thread); then the world goes on, and
whoever may run next is drawn from the seed among all that may. The threads are the machine's, so that programs need not be
changed; that only one of them runs makes equal runs equal. What is put in the place of threading's is threadpatches.py's.
"""

import asyncio
import contextvars
import select
import threading
from _thread import allocate_lock, get_ident
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, TypeVar

from synfin.engine.config import SECOND
from synfin.engine.errors import UsageError
from synfin.sim.clock import nanoseconds
from synfin.sim.host import SimHost
from synfin.sim.world import World
from synfin.sockets.blocking import Bell, Real, Waits
from synfin.sockets.host import Host, speaking

T = TypeVar("T")

REAL_START: Final = threading.Thread.start
REAL_JOIN: Final = threading.Thread.join
STUBBORN: Final = 100  # waits that a thread may begin after its end was asked for


class ThreadEnded(BaseException):
    """Raised in a thread where it waits when the run is over, or its host has crashed. Not an Exception, so that handlers let
    it pass."""


class Begun:
    """What Thread.start waits for, outside of virtual time."""

    def __init__(self) -> None:
        self._set = False
        self._lock = allocate_lock()
        self._lock.acquire()

    def is_set(self) -> bool:
        """See threading.Event."""
        return self._set

    def set(self) -> None:
        """See threading.Event."""
        self._set = True
        self._lock.release()

    def wait(self) -> None:
        """See threading.Event."""
        self._lock.acquire()
        self._lock.release()

    def _at_fork_reinit(self) -> None:
        """See threading.Event."""


class WorldThread:
    """One thread of the world. `waits_for` says for people what it waits for."""

    def __init__(self, name: str, host: Host | None) -> None:
        self.name = name
        self.host = host
        self.ident = 0
        self.done = False
        self.ending = False
        self.waits_for = "its turn"
        self.at_end: list[Callable[[], object]] = []
        self.go = allocate_lock()
        self.go.acquire()


class WorldBell(Bell):
    """A wait of one thread of the world."""

    __slots__ = ("_rung", "_thread", "_threads", "_waiting", "_what")

    def __init__(self, threads: "Threads", thread: WorldThread, what: str) -> None:
        self._threads = threads
        self._thread = thread
        self._what = what
        self._rung = False
        self._waiting = False

    def ring(self) -> None:
        """See Bell."""
        if not self._rung:
            self._rung = True
            self._resume()

    def _resume(self) -> None:
        if self._waiting:
            self._waiting = False
            self._threads.ready(self._thread)

    def wait(self, until: float | None, real: Sequence[Real] = ()) -> bool:
        """See Bell. The kernel's descriptors are looked at once: they live in another time."""
        if self._rung or (real and _real_ready(real)):
            return True
        self._waiting = True
        clock = self._threads.world.clock
        timer = None if until is None else clock.call_at(round(until * SECOND), self._resume)
        try:
            self._threads.hand_over(self._thread, self._what)
        finally:
            self._waiting = False
            if timer is not None:
                timer.cancel()
        return self._rung


def _real_ready(real: Sequence[Real]) -> bool:
    poll = select.poll()
    for fd, events in real:
        poll.register(fd, events)
    return bool(poll.poll(0))


class Threads(Waits):
    """The threads of `world`. Everything else of the world runs in the thread that made this one, while it has the baton."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lock = nullcontext()
        self.present: WorldThread | None = None  # who has the baton, None: the world
        self._all: dict[WorldThread, threading.Thread] = {}
        self._ready: list[WorldThread] = []
        self._hosts: dict[str, Host] = {}
        self._draw = world.stream("threads")
        self._back = allocate_lock()
        self._back.acquire()

    # --- Waits

    def now(self) -> float:
        """See Waits."""
        return self.world.clock.now / SECOND

    def bell(self, what: str) -> Bell:
        """See Waits."""
        thread = self.present
        if thread is None or thread.ident != get_ident():
            raise UsageError(f"{what} would block the whole world here: blocking calls are for threads of the world")
        return WorldBell(self, thread, what)

    def turn(self, what: str) -> None:
        """See Waits: where others may run now, who does is drawn. One that is ending runs on to its end."""
        thread = self.present
        if self._ready and thread is not None and thread.ident == get_ident() and not thread.ending:
            self.ready(thread)
            self.hand_over(thread, what)

    def abandon(self, close: Callable[[], object]) -> None:
        """See Waits."""
        self.world.clock.schedule(self.world.clock.now, close)

    def sleep(self, seconds: float) -> None:
        """time.sleep; 0 lasts a nanosecond, so that a thread that never waits otherwise lets time go on."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        until = self.world.clock.now + max(nanoseconds(float(seconds), "sleep"), 1)
        self.bell("sleep").wait(until / SECOND)

    # --- the baton

    def ready(self, thread: WorldThread) -> None:
        """`thread` may run, from this very time on."""
        self._ready.append(thread)
        self.world.clock.schedule(self.world.clock.now, self._dispatch)

    def _dispatch(self) -> None:
        """Let one of those that may run do so; each `ready` has a turn of its own."""
        ready = self._ready
        if ready:
            self._switch(ready.pop(self._draw.randrange(len(ready)) if len(ready) > 1 else 0))

    def _switch(self, thread: WorldThread) -> None:
        if thread.done:
            return
        self.present = thread
        thread.go.release()
        self._back.acquire()
        self.present = None
        if thread.done:
            del self._all[thread]
            for told in thread.at_end:
                told()

    def hand_over(self, thread: WorldThread, what: str) -> None:
        """The calling thread waits until it is its turn again. Raises ThreadEnded when it is over."""
        if not thread.ending:
            thread.waits_for = what
            self._back.release()
            thread.go.acquire()
        if thread.ending:
            raise ThreadEnded

    # --- threads

    def start(self, thread: Any) -> None:
        """threading.Thread.start: the new thread knows who speaks, and waits for its turn."""
        if not thread._initialized:
            raise RuntimeError("thread.__init__() not called")
        if thread._started.is_set():
            raise RuntimeError("threads can only be started once")
        host = speaking()
        record = WorldThread(thread.name, host)
        thread._started = Begun()
        thread.run = partial(self._run, record, contextvars.copy_context(), thread, thread.run)
        thread.synfin_record = record
        self._meet(host)
        self._all[record] = thread
        REAL_START(thread)
        self.ready(record)

    def _run(self, record: WorldThread, context: contextvars.Context, thread: Any, run: Callable[[], None]) -> None:
        record.ident = get_ident()
        record.go.acquire()
        try:
            if not record.ending:
                context.run(run)
        except ThreadEnded:
            pass
        except BaseException:
            context.run(thread._invoke_excepthook, thread)
        finally:
            record.done = True
            thread.run = run
            self._back.release()

    def join(self, thread: Any, timeout: float | None = None) -> None:
        """threading.Thread.join."""
        record: WorldThread = thread.synfin_record
        if self.present is record:
            raise RuntimeError("cannot join current thread")
        if not record.done:
            bell = self.bell(f"the end of {record.name}")
            record.at_end.append(bell.ring)
            if not bell.wait(None if timeout is None else self.now() + max(timeout, 0)):
                return
        REAL_JOIN(thread)

    async def call(self, function: Callable[..., T], *arguments: Any, name: str = "main") -> T:
        """Call `function(*arguments)` in a thread of the world and return what it returns; raises what it raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        outcome: list[Callable[[], None]] = []

        def work() -> None:
            try:
                outcome.append(partial(future.set_result, function(*arguments)))
            except Exception as error:
                outcome.append(partial(future.set_exception, error))

        def tell() -> None:
            if not future.done():
                (outcome[0] if outcome else future.cancel)()
                loop.interrupt()  # type: ignore[attr-defined]

        thread = threading.Thread(target=work, name=name)
        thread.start()
        record: WorldThread = thread.synfin_record  # type: ignore[attr-defined]
        record.at_end.append(tell)
        return await future

    def who_waits(self) -> str:
        """The threads that are not done and what each of them waits for."""
        return "; ".join(f"thread {record.name!r} for {record.waits_for}" for record in self._all)

    # --- the end

    def _meet(self, host: Host | None) -> None:
        if isinstance(host, SimHost) and host.name not in self._hosts:
            self._hosts[host.name] = host
            host.on_crash.append(partial(self._crash, host))

    def _crash(self, host: Host) -> None:
        for record in list(self._all):
            if record.host is host:
                record.ending = True
                if record is not self.present and record not in self._ready:
                    self.ready(record)

    def close(self) -> None:
        """End every thread where it waits, oldest first."""
        self._ready.clear()
        while self._all:
            record, thread = next(iter(self._all.items()))
            record.ending = True
            for _ in range(STUBBORN):
                if not record.done:
                    self._switch(record)
            self._all.pop(record, None)
            if record.done:
                REAL_JOIN(thread)
