"""asyncio in virtual time: the standard library's own selector event loop and transports, over simulated sockets.

Owns what a loop in virtual time has to do differently: waiting lets the world go on to the next thing that happens; names are
the speaking host's; executors run inline, or time would outrun them; tasks are numbered, so that sets of them have the same
order in equal runs. Everything else, the transports above all, is asyncio's.
"""

import asyncio
import errno
import gc
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Final, NoReturn
from weakref import WeakKeyDictionary
from zlib import crc32

from synfin.aio.selector import Ready, VirtualSelector
from synfin.engine.config import NEVER, SECOND
from synfin.engine.errors import UsageError
from synfin.sim.clock import Clock
from synfin.sim.host import SimHost
from synfin.sim.tasks import Deadlock
from synfin.sim.threads import Threads
from synfin.sim.world import World
from synfin.sockets import names
from synfin.sockets.descriptors import Descriptors
from synfin.sockets.endpoint import Endpoint
from synfin.sockets.host import Host, current_host, speaking

NOT_OURS: Final = (str(Path(asyncio.__file__).parent), str(Path(__file__).parent.parent))
RESOLUTION: Final = 1e-9  # seconds: the clock counts nanoseconds
COLLECT: Final = 4096  # turns of the loop between two collections of young garbage
COLLECT_ALL: Final = 64  # of these until a collection of all garbage
GLANCE: Final = 16  # turns of the loop without waiting until what is due now happens
PATIENCE: Final = 1024  # turns of the loop without waiting until the world goes on all the same


class SimSelector(VirtualSelector):
    """Waits by letting the world's clock go on."""

    def __init__(self, clock: Clock, descriptors: Descriptors) -> None:
        super().__init__(descriptors)
        self._clock = clock
        self._waiting = False
        self._interrupted = False
        self._turns = 0  # since the last wait
        self._selects = 0

    def wake(self) -> None:
        """See VirtualSelector."""
        if self._waiting:
            self._clock.stop()

    def interrupt(self) -> None:
        """End the wait: callbacks were added."""
        self._interrupted = self._waiting
        self.wake()

    def select(self, timeout: float | None = None) -> Ready:
        """See VirtualSelector; raises Deadlock when nothing is left to happen."""
        self._selects += 1
        if not self._selects % COLLECT:
            # The collector's own moments depend on what the process did before; what it collects may close sockets.
            gc.collect(1 if self._selects % (COLLECT * COLLECT_ALL) else 2)
        if timeout is None or timeout > 0:
            if not self._marked and self._real is None:
                return self.wait(timeout)
        else:
            self._turns += 1
            if not self._turns % GLANCE:
                self._do_not_stand_still()
        return super().select(timeout)

    def wait(self, timeout: float | None) -> Ready:
        """Until something is ready, at most `timeout` seconds of virtual time."""
        clock = self._clock
        until = NEVER if timeout is None else clock.now + (round(timeout * SECOND) or 1)
        self._turns = 0
        while True:
            self._waiting = True
            try:
                clock.run(until)
            finally:
                self._waiting = False
            found = self.ready()
            if self._real is not None:
                found += self.ready_real()
            if found or self._interrupted or clock.now >= until:
                self._interrupted = False
                return found
            if until == NEVER and clock.next_when() == NEVER:
                raise Deadlock("nothing is left to happen")

    def _do_not_stand_still(self) -> None:
        """Let happen what is due now; a loop that never waits (`while not done: await sleep(0)`) must not stop the world."""
        clock = self._clock
        next_when = clock.next_when()
        if next_when <= clock.now:
            clock.run(clock.now)
        elif self._turns >= PATIENCE and next_when != NEVER:
            self._turns = 0
            clock.run(next_when)


class SimTask(asyncio.Task[Any]):
    """A task whose hash is its number, so that sets of tasks are ordered alike in equal runs."""

    number: int
    host: Host | None  # who spoke where the task was made

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class Place(tuple[Any, ...]):
    """An entry of getaddrinfo whose hash is the same in every process: create_server puts them in a set."""

    __slots__ = ()

    def __hash__(self) -> int:
        return crc32(repr(tuple(self)).encode())


class SimDescriptors(Descriptors):
    """The descriptors of one run; `meet` is called with the host of each new socket."""

    def __init__(self, meet: Callable[[Host], None]) -> None:
        super().__init__()
        self._meet = meet

    def open(self, endpoint: Endpoint) -> int:
        """See Descriptors."""
        self._meet(endpoint.host)
        return super().open(endpoint)


class SimLoop(asyncio.SelectorEventLoop):
    """An event loop in the virtual time of `world`.

    When a host crashes, its sockets vanish, the tasks that were made while it spoke are cancelled, and its protocols are told
    by `connection_lost`: the objects live on, and whoever waits for the end of a connection would wait for ever.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._sim_clock = world.clock
        self._descriptors = SimDescriptors(self._meet)
        self._task_number = 0
        self._hosts: dict[str, Host] = {}  # who has sockets or tasks
        self._made_by_factory: WeakKeyDictionary[asyncio.Task[Any], Host] = WeakKeyDictionary()
        self._signals: dict[int, Callable[..., object]] = {}
        self._ending = False
        self._crashed = False  # any host, at any time
        super().__init__(SimSelector(world.clock, self._descriptors))
        self._clock_resolution = RESOLUTION

    @property
    def world(self) -> World:
        """The world whose time this loop keeps."""
        return self._world

    @property
    def descriptors(self) -> Descriptors:
        """The virtual descriptors of this run."""
        return self._descriptors

    def time(self) -> float:
        """The world's time in seconds."""
        return self._sim_clock.now / SECOND

    # --- no self-pipe: nobody else can wake a loop that never sleeps

    def _make_self_pipe(self) -> None:
        self._ssock = self._csock = None
        self._internal_fds = 0

    def _close_self_pipe(self) -> None:
        return

    def _write_to_self(self) -> None:
        return

    # --- tasks

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:  # type: ignore[override]
        """See asyncio. Tasks are named after their number in the run unless they are given a name."""
        context = options.get("context")
        host = speaking() if context is None else context.run(speaking)
        if host is not None:
            self._meet(host)
        if self.get_task_factory() is not None:
            made = super().create_task(coro, **options)
            if host is not None:
                self._made_by_factory[made] = host
            return made
        self._check_closed()  # type: ignore[attr-defined]
        self._task_number = number = self._task_number + 1
        task = SimTask.__new__(SimTask)  # its number first: asyncio hashes it while it is made
        task.number = number
        task.host = host
        name = options.pop("name", None)
        task.__init__(coro, loop=self, name=f"Task-{number}" if name is None else name, **options)  # type: ignore[misc]
        return task

    def tasks(self) -> list[asyncio.Task[Any]]:
        """The tasks that are not done, in the order of their making; then, by name, those that a factory of the program's
        own made."""
        return sorted(asyncio.all_tasks(self), key=_order)

    def who_waits(self) -> str:
        """The tasks that are not done and where each of them stands, and the threads."""
        waiting = [f"{task.get_name()!r} {_where(task)}" for task in self.tasks()]
        if isinstance(self._world.threads, Threads):
            waiting.append(self._world.threads.who_waits())
        return "; ".join(waiting)

    def interrupt(self) -> None:
        """Callbacks were added from a thread of the world, or from the network."""
        self._selector.interrupt()  # type: ignore[attr-defined]

    @property
    def watches_real(self) -> bool:
        """Whether a descriptor of the kernel is watched."""
        return self._selector.has_real  # type: ignore[attr-defined, no-any-return]

    # --- hosts

    def _meet(self, host: Host) -> None:
        if host.name not in self._hosts and isinstance(host, SimHost):
            self._hosts[host.name] = host
            host.on_crash.append(partial(self._crash, host))

    def _crash(self, host: Host) -> None:
        if self.is_closed():  # the world is in another run by now
            return
        self._crashed = True
        gone = [fd for fd, endpoint in self._descriptors if endpoint.host is host]
        self._vanish(gone)
        for task in self.tasks():
            if (task.host if isinstance(task, SimTask) else self._made_by_factory.get(task)) is host:
                task.cancel(f"{host.name} has crashed")
        for transport in self._on(gone):
            transport._force_close(ConnectionAbortedError(errno.ECONNABORTED, f"{host.name} has crashed"))

    def drop_sockets(self) -> None:
        """The run is over: sockets end without a packet, or the garbage collector would close them in a world whose time is
        over; the transports on them do not complain of not having been closed, and nobody is told."""
        left = [fd for fd, _ in self._descriptors]
        self._vanish(left)
        for transport in self._on(left):
            transport._closing, transport._sock = True, None
            above = getattr(transport.get_protocol(), "_app_transport", None)  # of TLS
            if above is not None:
                above._closed = True

    def _vanish(self, descriptors: list[int]) -> None:
        for fd in descriptors:
            self._descriptors.endpoint(fd).vanish()

    def _on(self, descriptors: list[int]) -> list[Any]:
        """asyncio's transports on these."""
        transports = self._transports  # type: ignore[attr-defined]
        return [transport for transport in map(transports.get, descriptors) if transport is not None]

    async def getaddrinfo(  # type: ignore[override]
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[names.Info]:
        """socket.getaddrinfo as the speaking host answers it, at once."""
        return names.getaddrinfo(current_host(), host, port, family, type, proto, flags)

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """socket.getnameinfo as the speaking host answers it, at once."""
        return names.getnameinfo(current_host(), sockaddr, flags)

    async def _create_server_getaddrinfo(self, *where: Any, **how: Any) -> list[Place]:
        infos = await super()._create_server_getaddrinfo(*where, **how)  # type: ignore[misc]
        return [Place(info) for info in infos]

    # --- what virtual time changes

    def end(self) -> None:
        """The run is over, and what is left is cancelled: that is no error of anybody's."""
        self._ending = True

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """See asyncio."""
        dropped = self._ending or self._crashed
        if not (dropped and isinstance(context.get("exception"), asyncio.CancelledError)):
            super().call_exception_handler(context)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call `func` here and now: a thread would be outrun by virtual time. The future is done when it returns.

        Where threads of the world run, `func` gets one, and may block.
        """
        self._check_closed()  # type: ignore[attr-defined]
        if isinstance(self._world.threads, Threads):
            return self.create_task(self._world.threads.call(func, *args, name="executor"))
        future = self.create_future()
        try:
            result = func(*args)
        except StopIteration as error:  # a future cannot carry it
            future.set_exception(RuntimeError(f"{func!r} raised {error!r}"))
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        return future

    async def _sock_sendfile_native(self, *_: Any) -> NoReturn:
        raise asyncio.SendfileNotAvailableError("os.sendfile knows no simulated socket")

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        """Remember it and do nothing: a simulated run gets no signals."""
        self._check_signal(sig)  # type: ignore[attr-defined]
        self._signals[sig] = callback

    def remove_signal_handler(self, sig: int) -> bool:
        """Whether there was one."""
        return self._signals.pop(sig, None) is not None

    async def create_datagram_endpoint(self, *_: Any, **__: Any) -> NoReturn:
        """Raises UsageError."""
        raise UsageError("synfin is a TCP: a simulated run has no datagrams")

    async def subprocess_exec(self, *_: Any, **__: Any) -> NoReturn:
        """Raises UsageError."""
        raise UsageError("a simulated run starts no processes: they would live in another time")

    async def subprocess_shell(self, *_: Any, **__: Any) -> NoReturn:
        """Raises UsageError."""
        await self.subprocess_exec()


def _order(task: asyncio.Task[Any]) -> tuple[float, str]:
    return (task.number, "") if isinstance(task, SimTask) else (inf, task.get_name())


def _where(task: asyncio.Task[Any]) -> str:
    """Where a suspended task stands: the innermost line that is not the standard library's or synfin's own."""
    found = ""
    inner: Any = task.get_coro()
    while inner is not None:
        frame = getattr(inner, "cr_frame", None)
        if frame is not None and (not found or not frame.f_code.co_filename.startswith(NOT_OURS)):
            found = f"at {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        inner = getattr(inner, "cr_await", None)
    return found or "not begun"
