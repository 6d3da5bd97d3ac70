"""Calls that block: a non-blocking attempt, a wait that the driver supplies, another attempt.

Owns the order of those, what a timeout means, and how several may wait for one endpoint. How somebody waits is a driver's:
a Waits for each way of running. Must not know threads, clocks or descriptors.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

from synfin.sockets.endpoint import READ, WRITE, Endpoint

T = TypeVar("T")

Real = tuple[int, int]  # a descriptor of the kernel's and the events that select.poll is asked for

TIMED_OUT: Final = "timed out"  # the words of socket.timeout


class Bell:
    """One wait. Made by Waits.bell, with the lock held."""

    def ring(self) -> None:
        """End the wait; called with the lock held. One that has not begun ends at once."""
        raise NotImplementedError

    def wait(self, until: float | None, real: Sequence[Real] = ()) -> bool:
        """Give up the lock, wait for `ring`, for one of `real` or for the time `until` (Waits.now's), take the lock again.

        Returns False when the time is over. Raises what may befall the waiter meanwhile (KeyboardInterrupt, Deadlock).
        """
        raise NotImplementedError


class Waits:
    """How calls on the sockets of a host wait. `lock` is the stack's, may be taken twice by one thread, and is held while
    anything below the sockets is touched."""

    lock: AbstractContextManager[Any]

    def now(self) -> float:
        """The time in seconds, as timeouts count it."""
        raise NotImplementedError

    def bell(self, what: str) -> Bell:
        """What ends one wait of the calling thread; `what` names the wait for people. Raises UsageError where the caller
        must not wait."""
        raise NotImplementedError

    def turn(self, what: str) -> None:
        """The calling thread begins a call that may block: a driver that decides who runs may let another thread run first."""

    def abandon(self, close: Callable[[], object]) -> None:
        """Call `close` soon: a socket was forgotten by its program, at a moment of the garbage collector's choice."""
        raise NotImplementedError

    def wait(self, watched: Sequence[tuple[Endpoint, int]], until: float | None, what: str, real: Sequence[Real] = ()) -> bool:
        """Wait until one of `watched` (an endpoint, READ or WRITE or both) or of `real` may be ready, with the lock held once.

        Returns False when the time `until` is over.
        """
        bell = self.bell(what)
        watches = [Watch(endpoint, interest, bell) for endpoint, interest in watched]
        for watch in watches:
            subscribe(watch.endpoint, watch.changed)
        try:
            return bell.wait(until, real)
        finally:
            for watch in watches:
                unsubscribe(watch.endpoint, watch.changed)


class Watch:
    """Rings a bell when an endpoint is ready, or closed."""

    __slots__ = ("_bell", "_interest", "endpoint")

    def __init__(self, endpoint: Endpoint, interest: int, bell: Bell) -> None:
        self.endpoint = endpoint
        self._interest = interest
        self._bell = bell

    def changed(self) -> None:
        """The endpoint's on_change."""
        if self.endpoint.closed or self.endpoint.ready(self._interest):
            self._bell.ring()


class Several:
    """The on_change of an endpoint for which more than one waits."""

    __slots__ = ("callbacks",)

    def __init__(self, callbacks: list[Callable[[], None]]) -> None:
        self.callbacks = callbacks

    def __call__(self) -> None:
        for callback in self.callbacks.copy():
            callback()


def subscribe(endpoint: Endpoint, callback: Callable[[], None]) -> None:
    """Call `callback` too when the readiness of `endpoint` may have changed."""
    present = endpoint.on_change
    if present is None:
        endpoint.on_change = callback
    elif isinstance(present, Several):
        present.callbacks.append(callback)
    else:
        endpoint.on_change = Several([present, callback])


def unsubscribe(endpoint: Endpoint, callback: Callable[[], None]) -> None:
    """Undo `subscribe`; does nothing when the endpoint has closed meanwhile."""
    present = endpoint.on_change
    if present == callback:
        endpoint.on_change = None
    elif isinstance(present, Several) and callback in present.callbacks:
        present.callbacks.remove(callback)
        if len(present.callbacks) == 1:
            endpoint.on_change = present.callbacks[0]


class Blocking:
    """One call of a socket in blocking mode, `timeout` seconds long at most (None: without limit; 0: an attempt)."""

    __slots__ = ("_endpoint", "_timeout", "_until", "waits")

    def __init__(self, waits: Waits, endpoint: Endpoint, timeout: float | None) -> None:
        self.waits = waits
        self._endpoint = endpoint
        self._timeout = timeout
        self._until: float | None = None

    def attempt(self, what: str, interest: int, call: Callable[..., T], *arguments: Any) -> T:
        """Call until it does not raise BlockingIOError. Raises TimeoutError when the time of the whole call is over, and the
        BlockingIOError when there was none."""
        if self._timeout != 0.0:
            self.waits.turn(what)
        with self.waits.lock:
            if self._timeout == 0.0:
                return call(*arguments)
            while True:
                try:
                    return call(*arguments)
                except BlockingIOError:
                    pass
                self.wait(what, interest)

    def wait(self, what: str, interest: int) -> None:
        """Wait until the endpoint may be ready, with the lock held. Raises TimeoutError."""
        if self._timeout is not None and self._until is None:
            self._until = self.waits.now() + self._timeout
        if not self.waits.wait([(self._endpoint, interest)], self._until, what):
            raise TimeoutError(TIMED_OUT)


__all__ = ["READ", "WRITE", "Bell", "Blocking", "Real", "Waits", "Watch", "subscribe", "unsubscribe"]
