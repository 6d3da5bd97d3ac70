"""Threads in real time: one thread that serves the stacks, and the calls of all others that wait for it.

Owns that thread, its timers, the stacks' common lock and how a thread sleeps. To a host it is what an event loop is
(add_reader, call_at), so whoever can be served by a loop can be served by this. Knows no device and no patching.
"""

import heapq
import os
import select
import selectors
import threading
import time
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, Self

from synfin.engine.errors import UsageError
from synfin.engine.state import State
from synfin.sockets.blocking import Bell, Real, Waits
from synfin.sockets.descriptors import Descriptors
from synfin.sockets.host import Host

LINGER: Final = 5.0  # seconds
POLL: Final = 0.01  # seconds
FINISHING: Final = (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)  # something of ours is not acknowledged
FOREVER: Final = 3600.0  # seconds; a sleep that ends early does no harm


class Served(Protocol):
    """A host that a loop can serve: aio.realtime.RealHost."""

    def serve(self, loop: Any) -> None:
        """Let `loop` drive the stack from now on."""

    def leave(self) -> None:
        """Undo `serve`."""


class ThreadTimer:
    """What `call_at` returns."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when = when
        self.callback: Callable[[], object] | None = callback

    def __lt__(self, other: "ThreadTimer") -> bool:
        return self.when < other.when

    def cancel(self) -> None:
        """Take the call back."""
        self.callback = None


class ThreadBell(Bell):
    """A thread that sleeps: on a lock, or in the kernel where descriptors of the kernel's are waited for too."""

    __slots__ = ("_event", "_lock", "_rung", "_signal")

    def __init__(self, lock: Any) -> None:
        self._lock = lock  # a threading.RLock
        self._signal = allocate_lock()
        self._signal.acquire()
        self._rung = False
        self._event = -1

    def ring(self) -> None:
        """See Bell."""
        if self._rung:
            return
        self._rung = True
        self._signal.release()
        if self._event >= 0:
            os.eventfd_write(self._event, 1)

    def wait(self, until: float | None, real: Sequence[Real] = ()) -> bool:
        """See Bell."""
        left = None if until is None else max(until - time.monotonic(), 0.0)
        if real:
            return self._wait_in_kernel(left, real)
        self._lock.release()
        try:
            return self._signal.acquire(timeout=-1 if left is None else min(left, threading.TIMEOUT_MAX))
        finally:
            self._lock.acquire()

    def _wait_in_kernel(self, left: float | None, real: Sequence[Real]) -> bool:
        poll = select.poll()
        for fd, events in real:
            poll.register(fd, events)
        event = os.eventfd(int(self._rung), os.EFD_CLOEXEC)
        self._event = event
        poll.register(event, select.POLLIN)
        self._lock.release()
        try:
            return bool(poll.poll(None if left is None else left * 1000))
        finally:
            self._lock.acquire()
            self._event = -1
            os.close(event)


class ThreadDriver(Waits):
    """Serves hosts in a thread of its own, between `start` and `stop`, or as a context manager; `descriptors` are those of
    their sockets.

    hosts: each is served by nobody else meanwhile.
    linger: seconds that the peers have at the end to acknowledge what was sent.

    Raises UsageError when a host is served already. `failure` is the last exception of a callback, None where all went well.
    """

    def __init__(self, *hosts: Host, linger: float = LINGER) -> None:
        self.hosts = hosts
        self.lock = threading.RLock()
        self.descriptors = Descriptors()
        self.failure: BaseException | None = None
        self._linger = linger
        self._timers: list[ThreadTimer] = []
        self._abandoned: deque[Callable[[], object]] = deque()
        self._asleep_until = 0.0  # 0: awake
        self._stopped = True
        self._selector = selectors.DefaultSelector()
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector.register(self._event, selectors.EVENT_READ, self._woken)
        self._thread: threading.Thread | None = None

    # --- Waits

    def now(self) -> float:
        """See Waits."""
        return time.monotonic()

    def bell(self, what: str) -> Bell:
        """See Waits."""
        if threading.current_thread() is self._thread:
            raise UsageError(f"{what} would block the thread that serves the stack")
        return ThreadBell(self.lock)

    def abandon(self, close: Callable[[], object]) -> None:
        """See Waits."""
        if not self._stopped:
            self._abandoned.append(close)
            self._wake()

    # --- what a host asks of a loop

    def time(self) -> float:
        """See asyncio."""
        return time.monotonic()

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        """Call `callback` when `fd` is readable."""
        self._selector.register(fd, selectors.EVENT_READ, callback)
        self._wake()

    def remove_reader(self, fd: int) -> bool:
        """Undo `add_reader`; returns whether there was one."""
        if fd not in self._selector.get_map():
            return False
        self._selector.unregister(fd)
        return True

    def call_at(self, when: float, callback: Callable[[], object]) -> ThreadTimer:
        """Call `callback` at `when` (time.monotonic's)."""
        timer = ThreadTimer(when, callback)
        heapq.heappush(self._timers, timer)
        if when < self._asleep_until:
            self._wake()
        return timer

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Remember what went wrong; the stack goes on."""
        self.failure = context.get("exception")

    # --- the thread

    def start(self) -> Self:
        """Serve the hosts from now on."""
        served: list[Any] = []
        with self.lock:
            try:
                for host in self.hosts:
                    host.serve(self)  # type: ignore[attr-defined]
                    served.append(host)
            except BaseException:
                for host in served:
                    host.leave()
                self._close()
                raise
            for host in self.hosts:
                host.waits, host.descriptors = self, self.descriptors
            self._stopped = False
        name = "synfin: " + ", ".join(host.name for host in self.hosts)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the sockets that are left, let the peers acknowledge, leave the hosts and end the thread. Calls that wait
        raise OSError (EBADF). Repeating it does nothing."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            with self.lock:
                for fd, _ in self.descriptors:
                    self.descriptors.close(fd)
            self._finish()
        finally:
            with self.lock:
                self._stopped = True
                self._wake()
            thread.join()
            for host in self.hosts:
                host.leave()  # type: ignore[attr-defined]
                host.waits = host.descriptors = None
            self._close()

    def _close(self) -> None:
        self._selector.close()
        os.close(self._event)

    def _finish(self) -> None:
        until = time.monotonic() + self._linger
        while time.monotonic() < until:
            with self.lock:
                states = [entry.state for host in self.hosts for entry in host.stack.sockets()]
            if not any(state in FINISHING for state in states):
                return
            time.sleep(POLL)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        while True:
            with self.lock:
                self._asleep_until = 0.0
                if self._stopped:
                    return
                left = self._fire()
                self._asleep_until = time.monotonic() + left
            ready = self._selector.select(left)
            with self.lock:
                self._asleep_until = 0.0
                for key, _ in ready:
                    self._call(key.data)
                while self._abandoned:
                    self._call(self._abandoned.popleft())

    def _fire(self) -> float:
        """Call what is due; returns the seconds until the next."""
        timers = self._timers
        while timers:
            left = timers[0].when - time.monotonic()
            callback = timers[0].callback
            if callback is not None and left > 0:
                return min(left, FOREVER)
            heapq.heappop(timers)
            if callback is not None:
                self._call(callback)
        return FOREVER

    def _call(self, callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception as error:
            self.failure = error
            threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, self._thread)))

    def _wake(self) -> None:
        os.eventfd_write(self._event, 1)

    def _woken(self) -> None:
        os.eventfd_read(self._event)
