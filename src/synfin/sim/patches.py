"""What a run puts in the place of the standard library's clocks, randomness and sockets, and takes away again.

Owns the list of names, and putting everything back, also after an exception. The stand-ins look in their context whether a
run goes on (timing.py), so a name that escapes from a run does no harm.

Modules that took a function by name (`from time import monotonic`) are found and served too, but for the tools that run
tests and those of the standard library that wait for real threads. What no patch reaches: datetime.now and its like (C),
OpenSSL's randomness, functions kept in a default argument, a closure or an object before the run, numpy's randomness, and
threads that the program starts without sim.world_threads (threadpatches.py).
"""

import asyncio
import os
import random
import select
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final, Self

from synfin.engine.errors import UsageError
from synfin.sim import timing
from synfin.sim.world import World
from synfin.sockets import names
from synfin.sockets.descriptors import FIRST, current_descriptors
from synfin.sockets.endpoint import READ, WRITE
from synfin.sockets.face import REAL, Socket
from synfin.sockets.host import current_host
from synfin.sockets.standin import stand_in

# Modules whose copies of a function stay as they are: they measure or wait for real things.
UNTOUCHED: Final = (
    "_pytest", "pytest", "hypothesis", "xdist", "execnet", "pluggy", "synfin", "threading", "queue", "subprocess",
    "concurrent", "multiprocessing", "ssl", "socket", "time", "os", "random", "select", "uuid",
)  # fmt: skip

_REAL_AS_COMPLETED: Final = asyncio.as_completed
_REAL_SELECT: Final[Callable[..., tuple[list[Any], list[Any], list[Any]]]] = select.select
_REAL_POLL: Final = select.poll
_REAL_NAMES: Final = {name: getattr(socket, name) for name in (
    "getaddrinfo", "getnameinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "gethostname",
)}  # fmt: skip


def _socket(family: int, type: int, proto: int, fileno: int | None) -> Any:
    """What socket.socket(...) is: simulated inside of a run, where it is the internet's."""
    simulated = family in (-1, socket.AF_INET, socket.AF_INET6) if fileno is None else fileno >= FIRST
    if timing.world() is None or not simulated:
        return REAL(family, type, proto, fileno)
    return Socket(family, type, proto, fileno)


STAND_IN: Final[Any] = stand_in(_socket)


def _getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
    if timing.world() is None:
        return _REAL_NAMES["getaddrinfo"](host, port, family, type, proto, flags)
    return names.getaddrinfo(current_host(), host, port, family, type, proto, flags)


def _getnameinfo(sockaddr: Any, flags: int, /) -> Any:
    if timing.world() is None:
        return _REAL_NAMES["getnameinfo"](sockaddr, flags)
    return names.getnameinfo(current_host(), sockaddr, flags)


def _gethostbyname_ex(name: str, /) -> Any:
    if timing.world() is None:
        return _REAL_NAMES["gethostbyname_ex"](name)
    found = names.getaddrinfo(current_host(), name, None if name else 0, socket.AF_INET, socket.SOCK_STREAM)
    return name, [], [entry[4][0] for entry in found]


def _gethostbyname(name: str, /) -> Any:
    return _REAL_NAMES["gethostbyname"](name) if timing.world() is None else _gethostbyname_ex(name)[2][0]


def _gethostbyaddr(address: str, /) -> Any:
    if timing.world() is None:
        return _REAL_NAMES["gethostbyaddr"](address)
    place = names.getaddrinfo(current_host(), address, 0, 0, socket.SOCK_STREAM)[0][4]
    return names.getnameinfo(current_host(), place, socket.NI_NAMEREQD)[0], [], [place[0]]


def _gethostname() -> Any:
    return _REAL_NAMES["gethostname"]() if timing.world() is None else current_host().name


def _level(fd: int, interest: int) -> int:
    """What a virtual descriptor is ready for; 0 when it is not open."""
    endpoint = current_descriptors().get(fd)
    return 0 if endpoint is None else endpoint.ready(interest)


def _fd(item: Any) -> int:
    return int(item if isinstance(item, int) else item.fileno())


def _must_not_wait(call: str) -> UsageError:
    return UsageError(f"{call} would block, which only threads of the world may (sim.run_blocking): give it a timeout of 0")


def _select(
    rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: float | None = None, /
) -> tuple[list[Any], list[Any], list[Any]]:
    """select.select for virtual descriptors, alone or among real ones."""
    lists = [list(rlist), list(wlist), list(xlist)]
    virtual = [[item for item in items if _fd(item) >= FIRST] for items in lists]
    if timing.world() is None or not any(virtual):
        return _REAL_SELECT(*lists, timeout)
    real = [[item for item in items if _fd(item) < FIRST] for items in lists]
    found = _REAL_SELECT(*real, 0)
    found[0].extend(item for item in virtual[0] if _level(_fd(item), READ))
    found[1].extend(item for item in virtual[1] if _level(_fd(item), WRITE))
    if not any(found) and timeout != 0:
        raise _must_not_wait("select")
    return found


class Poll:
    """select.poll for virtual descriptors, alone or among real ones."""

    def __init__(self) -> None:
        self._real = _REAL_POLL()
        self._virtual: dict[int, int] = {}
        self._real_count = 0

    def register(self, fd: Any, eventmask: int = select.POLLIN | select.POLLPRI | select.POLLOUT, /) -> None:
        """See select.poll."""
        number = _fd(fd)
        if number >= FIRST:
            self._virtual[number] = eventmask
        else:
            self._real.register(number, eventmask)
            self._real_count += 1

    def modify(self, fd: Any, eventmask: int, /) -> None:
        """See select.poll."""
        number = _fd(fd)
        if number < FIRST:
            self._real.modify(number, eventmask)
        elif number not in self._virtual:
            raise FileNotFoundError(2, os.strerror(2))
        else:
            self._virtual[number] = eventmask

    def unregister(self, fd: Any, /) -> None:
        """See select.poll."""
        number = _fd(fd)
        if number < FIRST:
            self._real.unregister(number)
            self._real_count -= 1
        else:
            del self._virtual[number]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """See select.poll."""
        if not self._virtual:
            return self._real.poll(timeout)
        found = self._real.poll(0) if self._real_count else []
        for fd, mask in self._virtual.items():
            events = self._events(fd, mask)
            if events:
                found.append((fd, events))
        if not found and (timeout is None or timeout > 0):
            raise _must_not_wait("poll")
        return found

    @staticmethod
    def _events(fd: int, mask: int) -> int:
        if current_descriptors().get(fd) is None:
            return select.POLLNVAL
        events = select.POLLIN if mask & select.POLLIN and _level(fd, READ) else 0
        return events | (select.POLLOUT if mask & select.POLLOUT and _level(fd, WRITE) else 0)


def _poll() -> Any:
    return _REAL_POLL() if timing.world() is None else Poll()


async def _inline(cls: Any, func: Callable[..., Any], args: Any, *_: Any, **__: Any) -> Any:
    """anyio's run_sync_in_worker_thread: here and now, as SimLoop.run_in_executor."""
    return func(*args)


def _as_completed(fs: Any, **more: Any) -> Any:
    """asyncio.as_completed, which puts coroutines in a set, in memory's order, before it makes tasks of them: they are made
    in the order given."""
    if timing.world() is None or asyncio.isfuture(fs) or asyncio.iscoroutine(fs):
        return _REAL_AS_COMPLETED(fs, **more)
    return _REAL_AS_COMPLETED([asyncio.ensure_future(awaitable) for awaitable in dict.fromkeys(fs)], **more)


def _replacements() -> list[tuple[Any, str, Any]]:
    """(module or class, name, stand-in)."""
    listed: list[tuple[Any, str, Any]] = [(time, name, function) for name, function in timing.TIME.items()]
    listed += [
        (os, "urandom", timing.urandom),
        (os, "getrandom", timing.getrandom),
        (random, "_urandom", timing.urandom),
        (random.Random, "seed", timing.seed),
        (random, "seed", timing.seed.__get__(random._inst)),
        (uuid, "uuid1", timing.uuid1),
        (socket, "socket", STAND_IN),
        (socket, "getaddrinfo", _getaddrinfo),
        (socket, "getnameinfo", _getnameinfo),
        (socket, "gethostbyname", _gethostbyname),
        (socket, "gethostbyname_ex", _gethostbyname_ex),
        (socket, "gethostbyaddr", _gethostbyaddr),
        (socket, "gethostname", _gethostname),
        (asyncio, "as_completed", _as_completed),
        (select, "select", _select),
        (select, "poll", _poll),
    ]
    return [entry for entry in listed if hasattr(entry[0], entry[1])]


def _in_libraries() -> list[tuple[Any, str, Any]]:
    """The same, of libraries that would go past the loop: anyio to threads of its own, aiohttp to the machine's DNS where
    aiodns is installed."""
    listed: list[tuple[Any, str, Any]] = []
    backend = sys.modules.get("anyio._backends._asyncio")
    if backend is not None:
        listed.append((backend.AsyncIOBackend, "run_sync_in_worker_thread", classmethod(_inline)))
    connector, resolver = sys.modules.get("aiohttp.connector"), sys.modules.get("aiohttp.resolver")
    if connector is not None and resolver is not None:
        listed.append((connector, "DefaultResolver", resolver.ThreadedResolver))  # asks loop.getaddrinfo
    return [entry for entry in listed if hasattr(entry[0], entry[1])]


class Patches:
    """In force between `__enter__` and `__exit__`. Raises UsageError when a run is going on already."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._undo: list[tuple[Any, str, Any]] = []
        self._random_state: Any = None
        self._token: Any = None

    def __enter__(self) -> Self:
        if timing.world() is not None or socket.socket is STAND_IN:
            raise UsageError("one simulated run at a time: this one would run inside of another, or beside it")
        self._token = timing.WORLD.set(self._world)
        self._random_state = random.getstate()
        random.seed(int.from_bytes(self._world.stream.derive("random"), "big"))
        copies: dict[int, tuple[str, Any]] = {}
        for owner, name, instead in _replacements():
            original = vars(owner)[name]
            self._put(owner, name, instead)
            if callable(original) and owner is not random.Random:
                copies[id(original)] = (name, instead)
        self._serve_copies(copies)
        for owner, name, instead in _in_libraries():
            self._put(owner, name, instead)
        return self

    def _put(self, owner: Any, name: str, instead: Any) -> None:
        self._undo.append((owner, name, vars(owner)[name]))
        setattr(owner, name, instead)

    def _serve_copies(self, copies: dict[int, tuple[str, Any]]) -> None:
        """Modules that took a function by name."""
        for module_name, module in list(sys.modules.items()):
            if module_name.partition(".")[0] in UNTOUCHED or not hasattr(module, "__dict__"):
                continue
            for name, value in list(vars(module).items()):
                if id(value) in copies:
                    self._put(module, name, copies[id(value)][1])

    def __exit__(self, *_: object) -> None:
        for owner, name, original in reversed(self._undo):
            setattr(owner, name, original)
        self._undo.clear()
        random.setstate(self._random_state)
        timing.WORLD.reset(self._token)
