"""select, poll and epoll for virtual descriptors, alone or mixed with the kernel's.

Owns what the three answer and how they wait. Readiness is a level, asked of an Endpoint; real descriptors are asked of the
kernel. Who may wait, and how, is the driver's (Waits). Must not know who puts these in the place of the standard library's.
"""

import errno
import select
from collections.abc import Callable, Iterable
from typing import Any, Final, Self, TypeVar

from synfin.sockets.blocking import READ, WRITE, Real, Waits, subscribe, unsubscribe
from synfin.sockets.calls import failure
from synfin.sockets.descriptors import FIRST, Descriptors
from synfin.sockets.endpoint import Endpoint

T = TypeVar("T")

REAL_SELECT: Final[Callable[..., tuple[list[Any], list[Any], list[Any]]]] = select.select
REAL_POLL: Final = select.poll
REAL_EPOLL: Final = select.epoll

READING: Final = select.POLLIN | select.POLLRDNORM
WRITING: Final = select.POLLOUT | select.POLLWRNORM
UNASKED: Final = select.POLLERR | select.POLLHUP | select.POLLNVAL  # told whether they were asked for or not
EDGE: Final = int(select.EPOLLET)
ONCE: Final = int(select.EPOLLONESHOT)
MODES: Final = EDGE | ONCE | int(select.EPOLLEXCLUSIVE)


def number_of(item: Any) -> int:
    """The descriptor of what is given to select or poll; raises TypeError and ValueError as they do."""
    if isinstance(item, int):
        number = int(item)
    else:
        fileno = getattr(item, "fileno", None)
        if fileno is None:
            raise TypeError("argument must be an int, or have a fileno() method.")
        number = fileno()
        if not isinstance(number, int):
            raise TypeError("fileno() returned a non-integer")
    if number < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({number})")
    return number


def events_of(endpoint: Endpoint) -> int:
    """All events of an endpoint, as poll(2) has them (tcp_poll)."""
    connection = endpoint.connection
    if connection is None and not endpoint.listening:
        return WRITING | select.POLLHUP  # never connected
    ready = endpoint.ready()
    events = (READING if ready & READ else 0) | (WRITING if ready & WRITE else 0)
    if connection is None:
        return events
    if endpoint.pending_error:
        events |= select.POLLERR
    if connection.peer_closed:
        events |= select.POLLRDHUP
    if connection.has_urgent:
        events |= select.POLLPRI
    if endpoint.hung_up:
        events |= select.POLLHUP | select.POLLRDHUP
    return events


class Polling:
    """The three for the virtual descriptors of one driver. `waits()` is asked at each call; `descriptors()` too."""

    def __init__(self, descriptors: Callable[[], Descriptors], waits: Callable[[], Waits]) -> None:
        self.descriptors = descriptors
        self.waits = waits

    def poll(self) -> "Poll":
        """See select.poll."""
        return Poll(self)

    def epoll(self, sizehint: int = -1, flags: int = 0) -> "Epoll":
        """See select.epoll."""
        return Epoll(self, sizehint, flags)

    def select(
        self, rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: float | None = None, /
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """See select.select; the kernel's descriptors come first in the answer."""
        lists = [list(rlist), list(wlist), list(xlist)]
        virtual = [[item for item in items if number_of(item) >= FIRST] for items in lists]
        if not any(virtual):
            return REAL_SELECT(*lists, timeout)
        if timeout is not None and timeout < 0:
            raise ValueError("timeout must be non-negative")
        waits, descriptors = self.waits(), self.descriptors()
        real = [[item for item in items if number_of(item) < FIRST] for items in lists]
        masks = (READING | select.POLLHUP | select.POLLERR, WRITING | select.POLLERR, select.POLLPRI)
        watched = [
            (descriptors.endpoint(number_of(item)), interest)
            for items, interest in zip(virtual, (READ, WRITE, READ), strict=True)
            for item in items
        ]
        asked = [
            (number_of(item), mask)
            for items, mask in zip(real, (READING, WRITING, select.POLLPRI), strict=True)
            for item in items
        ]

        def look() -> tuple[list[Any], list[Any], list[Any]]:
            found = REAL_SELECT(*real, 0) if asked else ([], [], [])
            for answer, items, mask in zip(found, virtual, masks, strict=True):
                answer += [item for item in items if events_of(descriptors.endpoint(number_of(item))) & mask]
            return found

        return wait_for(waits, look, any, lambda: watched, asked, timeout, "select")


def wait_for(
    waits: Waits, look: Callable[[], T], enough: Callable[[T], bool],
    watched: Callable[[], list[tuple[Endpoint, int]]], real: list[Real], timeout: float | None, what: str,
) -> T:  # fmt: skip
    """`look` until there is `enough`, at most `timeout` seconds; returns what was seen last."""
    with waits.lock:
        until = None if timeout is None else waits.now() + timeout
        while True:
            found = look()
            if enough(found) or timeout == 0:
                return found
            if not waits.wait(watched(), until, what, real):
                return look()


def interest_of(mask: int) -> int:
    """READ and WRITE for the events of poll."""
    return (0 if mask & ~WRITING == 0 else READ) | (WRITE if mask & WRITING else 0)


class Poll:
    """select.poll."""

    def __init__(self, polling: Polling) -> None:
        self._polling = polling
        self._real = REAL_POLL()
        self._asked: dict[int, int] = {}  # of the kernel's
        self._virtual: dict[int, int] = {}

    def register(self, fd: Any, eventmask: int = select.POLLIN | select.POLLPRI | select.POLLOUT, /) -> None:
        """See select.poll."""
        number = number_of(fd)
        if number >= FIRST:
            self._virtual[number] = eventmask
        else:
            self._real.register(number, eventmask)
            self._asked[number] = eventmask

    def modify(self, fd: Any, eventmask: int, /) -> None:
        """See select.poll."""
        number = number_of(fd)
        if number not in self._virtual and number not in self._asked:
            raise failure(errno.ENOENT)
        self.register(number, eventmask)

    def unregister(self, fd: Any, /) -> None:
        """See select.poll."""
        number = number_of(fd)
        if number >= FIRST:
            del self._virtual[number]
        else:
            self._real.unregister(number)
            del self._asked[number]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """See select.poll; `timeout` in milliseconds."""
        if not self._virtual:
            return self._real.poll(timeout)
        descriptors = self._polling.descriptors()

        def look() -> list[tuple[int, int]]:
            found = self._real.poll(0) if self._asked else []
            for fd, mask in self._virtual.items():
                endpoint = descriptors.get(fd)
                events = select.POLLNVAL if endpoint is None else events_of(endpoint) & (mask | UNASKED)
                if events:
                    found.append((fd, events))
            return found

        def watched() -> list[tuple[Endpoint, int]]:
            return [(descriptors.endpoint(fd), interest_of(mask)) for fd, mask in self._virtual.items()]

        seconds = None if timeout is None or timeout < 0 else timeout / 1000
        return list(wait_for(self._polling.waits(), look, bool, watched, list(self._asked.items()), seconds, "poll"))


class Watched:
    """A virtual descriptor in an epoll. `changed` is its endpoint's on_change."""

    __slots__ = ("_epoll", "endpoint", "fd", "mask")

    def __init__(self, epoll: "Epoll", fd: int, endpoint: Endpoint, mask: int) -> None:
        self._epoll = epoll
        self.fd = fd
        self.endpoint = endpoint
        self.mask = mask

    def changed(self) -> None:
        """Perhaps it is ready."""
        if self.endpoint.closed:
            self._epoll.gone(self)
        elif self.events():
            self._epoll.mark(self)

    def events(self) -> int:
        """Those that were asked for and have come; none once a one-shot was told."""
        asked = self.mask & ~MODES
        return events_of(self.endpoint) & (asked | UNASKED) if asked else 0


class Epoll:
    """select.epoll. Ready descriptors are marked by their endpoints, so that a thousand idle ones cost a poll nothing."""

    def __init__(self, polling: Polling, sizehint: int = -1, flags: int = 0) -> None:
        self._polling = polling
        self._real = REAL_EPOLL(sizehint, flags)
        self._real_count = 0
        self._watched: dict[int, Watched] = {}
        self._marked: dict[int, Watched] = {}
        self._bells: list[Any] = []

    @property
    def closed(self) -> bool:
        """See select.epoll."""
        return self._real.closed

    def fileno(self) -> int:
        """The kernel's descriptor of it, which knows nothing of the virtual ones."""
        return self._real.fileno()

    def close(self) -> None:
        """See select.epoll."""
        if self._watched:
            with self._polling.waits().lock:
                for watched in self._watched.values():
                    unsubscribe(watched.endpoint, watched.changed)
                self._watched.clear()
                self._marked.clear()
        self._real.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def register(self, fd: Any, eventmask: int = select.EPOLLIN | select.EPOLLPRI | select.EPOLLOUT) -> None:
        """See select.epoll."""
        number = number_of(fd)
        if number < FIRST:
            self._real.register(number, eventmask)
            self._real_count += 1
            return
        self._check_open()
        if number in self._watched:
            raise failure(errno.EEXIST)
        with self._polling.waits().lock:
            watched = Watched(self, number, self._polling.descriptors().endpoint(number), eventmask)
            self._watched[number] = watched
            subscribe(watched.endpoint, watched.changed)
            watched.changed()

    def modify(self, fd: Any, eventmask: int) -> None:
        """See select.epoll."""
        number = number_of(fd)
        if number < FIRST:
            self._real.modify(number, eventmask)
            return
        self._check_open()
        with self._polling.waits().lock:
            watched = self._find(number)
            watched.mask = eventmask
            watched.changed()

    def unregister(self, fd: Any) -> None:
        """See select.epoll."""
        number = number_of(fd)
        if number < FIRST:
            self._real.unregister(number)
            self._real_count -= 1
            return
        self._check_open()
        with self._polling.waits().lock:
            watched = self._find(number)
            unsubscribe(watched.endpoint, watched.changed)
            self.gone(watched)

    def _find(self, number: int) -> Watched:
        watched = self._watched.get(number)
        if watched is None:
            raise failure(errno.ENOENT)
        return watched

    def _check_open(self) -> None:
        if self._real.closed:
            raise ValueError("I/O operation on closed epoll object")

    def mark(self, watched: Watched) -> None:
        """`watched` may be ready."""
        self._marked[watched.fd] = watched
        for bell in self._bells:
            bell.ring()

    def gone(self, watched: Watched) -> None:
        """`watched` is closed: the kernel, too, forgets such (epoll(7))."""
        self._watched.pop(watched.fd, None)
        self._marked.pop(watched.fd, None)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """See select.epoll; `timeout` in seconds."""
        seconds = None if timeout is None or timeout < 0 else timeout
        if not self._watched:
            return self._real.poll(-1 if seconds is None else seconds, maxevents)
        self._check_open()
        if maxevents == 0 or maxevents < -1:
            raise ValueError(f"maxevents must be greater than 0, got {maxevents}")
        waits = self._polling.waits()
        with waits.lock:
            until = None if seconds is None else waits.now() + seconds
            while True:
                found = self._look(maxevents)
                if found or seconds == 0:
                    return found
                if not self._wait(waits, until):
                    return self._look(maxevents)

    def _wait(self, waits: Waits, until: float | None) -> bool:
        bell = waits.bell("epoll")
        self._bells.append(bell)
        try:
            return bell.wait(until, [(self._real.fileno(), select.POLLIN)] if self._real_count else [])
        finally:
            self._bells.remove(bell)

    def _look(self, maxevents: int) -> list[tuple[int, int]]:
        found = self._real.poll(0, maxevents) if self._real_count else []
        for watched in list(self._marked.values()):
            if len(found) == maxevents:
                break
            del self._marked[watched.fd]
            events = watched.events()
            if not events:
                continue
            found.append((watched.fd, events))
            if watched.mask & ONCE:
                watched.mask &= MODES
            elif not watched.mask & EDGE:
                self._marked[watched.fd] = watched  # at the end: those that were left out come first
        return found


__all__ = ["Epoll", "Poll", "Polling"]
