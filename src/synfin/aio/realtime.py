"""asyncio with the real clock: the standard library's event loop and transports, over a stack on a TUN device.

Owns how a stack is served by a loop (packets in, timers, what is to be sent) and how real descriptors and synfin's sockets wait
together. Everything in one thread: that of the loop. Knows no simulation.
"""

import asyncio
import contextvars
import gc
import os
import random
import select
import socket
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeVar

from synfin.aio.selector import Ready, VirtualSelector
from synfin.device.base import DescriptorDevice
from synfin.engine.config import NEVER, SECOND, TcpConfig
from synfin.engine.errors import UsageError
from synfin.engine.observe import Observer
from synfin.engine.state import State
from synfin.sockets import names
from synfin.sockets.descriptors import FIRST, Descriptors
from synfin.sockets.face import REAL, Socket
from synfin.sockets.host import Host, speaking
from synfin.sockets.standin import stand_in
from synfin.stack.stack import Stack

T = TypeVar("T")

BATCH: Final = 64  # packets taken from the device before the loop's other callbacks have their turn
SUPER_BATCH: Final = 8  # super-segments among them that are acknowledged at once
ADDRESSES: Final = ("10.77.0.2", "fd77::2")  # synfin's in a namespace of `synfin up`
COLLECT: Final = (50_000, 20, 50)  # the garbage collector's thresholds
LINGER: Final = 5.0  # seconds
POLL: Final = 0.01  # seconds
FINISHING: Final = (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)  # something of ours is not acknowledged


class RealHost(Host):
    """A host on a device, a TUN as a rule, in real time.

    `addresses` are its own, as text; the first of a family is the source of its connections. `hosts` are the names that it can
    resolve besides its own and `localhost`. Times are time.monotonic's. Raises ValueError for what is no address,
    InvalidAddress for one that no host has.
    """

    def __init__(
        self, name: str, addresses: Sequence[str], device: DescriptorDevice, *, config: TcpConfig | None = None,
        hosts: Mapping[str, Sequence[str]] | None = None, observer: Observer | None = None,
    ) -> None:  # fmt: skip
        own = [_packed(address) for address in addresses]
        self.name = name
        self.device = device
        self._names = {"localhost": own, name: own}
        for other, found in (hosts or {}).items():
            self._names[other] = [_packed(address) for address in found]
        self.stack = Stack(
            addresses=own, config=config or TcpConfig(), device=device, clock=time.monotonic_ns, secret=os.urandom(32),
            random=random.SystemRandom(), observer=observer, wake=self._arm,
        )  # fmt: skip
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed: int = NEVER

    def now(self) -> int:
        """See Host."""
        return time.monotonic_ns()

    def resolve(self, name: str) -> list[bytes]:
        """See Host."""
        return list(self._names.get(name.rstrip(".").lower(), self._names.get(name, ())))

    def serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let `loop` drive the stack from now on. Raises UsageError when a loop does."""
        if self._loop is not None:
            raise UsageError(f"{self.name} is served by a loop already")
        self._loop = loop
        if isinstance(loop, RealTimeLoop):
            loop.served.append(self)
            self.hold = loop.hold
        loop.add_reader(self.device.fileno(), self._arrived)
        self.device.wake = self._arm
        self._arm()

    def leave(self) -> None:
        """Undo `serve`; what comes stays in the device."""
        loop, self._loop = self._loop, None
        self.hold = None
        if isinstance(loop, RealTimeLoop):
            loop.served.remove(self)
        if loop is not None and self.device.fileno() >= 0:
            loop.remove_reader(self.device.fileno())
        self._disarm()

    async def finish(self, linger: float = LINGER) -> None:
        """Wait until the peers have acknowledged all that was sent, the FINs too, at most `linger` seconds."""
        until = time.monotonic() + linger
        while time.monotonic() < until and any(entry.state in FINISHING for entry in self.stack.sockets()):
            await asyncio.sleep(POLL)

    def _arrived(self) -> None:
        stack, device, now = self.stack, self.device, time.monotonic_ns()
        merged = 0
        try:
            for _ in range(BATCH):
                packet = device.receive()
                if packet is None:
                    break
                stack.receive_packet(packet, now, verify=not device.verified, gso_size=device.gso_size)
                if not device.gso_size:
                    continue
                merged += 1
                if not merged % SUPER_BATCH:  # so that the sender goes on while we read
                    stack.transmit(now)
        except OSError as error:
            self._lost(error)
        stack.transmit(now)
        self._arm()

    def look(self) -> None:
        """Take what has come and do what is due, also while a callback of the loop keeps it from doing so."""
        self._arrived()
        self.stack.handle_timers(time.monotonic_ns())
        self.stack.transmit(time.monotonic_ns())

    def next_deadline(self) -> int:
        """When something is due, in ns."""
        return min(self.stack.next_deadline(), self.device.next_deadline())

    def _lost(self, error: OSError) -> None:
        """The interface was taken away. The connections time out, as with a cable that is pulled."""
        loop = self._loop
        if loop is not None:
            loop.remove_reader(self.device.fileno())
            loop.call_exception_handler({"message": f"{self.name}: {self.device.name} is gone", "exception": error})

    def _tick(self) -> None:
        self._timer, self._armed = None, NEVER
        now = time.monotonic_ns()
        if self.device.next_deadline() <= now:
            self.device.advance(now)
            self._arrived()
        self.stack.handle_timers(now)
        self.stack.transmit(now)
        self._arm()

    def _arm(self) -> None:
        """See to it that `_tick` comes in time; one that would come early is left to."""
        deadline = self.next_deadline()
        if deadline >= self._armed or self._loop is None:
            return
        self._disarm()
        self._armed = deadline
        self._timer = self._loop.call_at(deadline / SECOND, self._tick)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._armed = None, NEVER


def _packed(address: str) -> bytes:
    found = names.numeric(address)
    if not found:
        raise ValueError(f"{address!r} is no IP address")
    return found


class RealTimeSelector(VirtualSelector):
    """Waits in the kernel; what happens to a virtual descriptor happens in callbacks of the same thread, never meanwhile."""

    def __init__(self, descriptors: Descriptors) -> None:
        super().__init__(descriptors)
        self._looked = False  # the last `select` asked the kernel

    def select(self, timeout: float | None = None) -> Ready:
        """See VirtualSelector. Asking the kernel takes microseconds: while virtual descriptors are ready every second time."""
        found = self.ready()
        if not found:
            self._looked = True
            return self.ready_real(timeout)
        self._looked = not self._looked
        return found + self.ready_real() if self._looked else found

    def wait(self, timeout: float | None) -> Ready:
        """See VirtualSelector."""
        return self.ready_real(timeout)


class RealTimeLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, which knows synfin's sockets besides the kernel's."""

    def __init__(self) -> None:
        self.descriptors = Descriptors()
        self.served: list[RealHost] = []
        super().__init__(RealTimeSelector(self.descriptors))

    def hold(self, done: Callable[[], bool], seconds: float) -> None:
        """See Host.hold: a callback waits, and nothing goes on meanwhile but the stacks."""
        until = time.monotonic() + seconds
        poll = select.poll()
        for host in self.served:
            if host.device.fileno() >= 0:
                poll.register(host.device.fileno(), select.POLLIN)
        while not done():
            now = time.monotonic()
            if now >= until:
                return
            due = min(host.next_deadline() for host in self.served) / SECOND
            poll.poll(max(min(due, until) - now, 0) * 1000)
            for host in self.served:
                host.look()

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        """As the speaking host answers it; where none speaks, as the machine does."""
        speaker = speaking()
        if speaker is not None:
            return names.getaddrinfo(speaker, host, port, family, type, proto, flags)
        return await super().getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """As `getaddrinfo`."""
        speaker = speaking()
        if speaker is not None:
            return names.getnameinfo(speaker, sockaddr, flags)
        return await super().getnameinfo(sockaddr, flags)

    async def _sock_sendfile_native(self, sock: socket.socket, file: Any, offset: int, count: int | None) -> int:
        if isinstance(sock, Socket):
            raise asyncio.SendfileNotAvailableError("os.sendfile knows no socket of synfin's")
        return int(await super()._sock_sendfile_native(sock, file, offset, count))  # type: ignore[misc]


def _socket(family: int, type: int, proto: int, fileno: int | None) -> Any:
    """What socket.socket(...) is while `run` runs. Other threads, and contexts in which no host speaks, get the kernel's."""
    ours = family in (-1, socket.AF_INET, socket.AF_INET6) if fileno is None else fileno >= FIRST
    if speaking() is None or not ours:
        return REAL(family, type, proto, fileno)
    return Socket(family, type, proto, fileno)


STAND_IN: Final[Any] = stand_in(_socket)


@contextmanager
def _standing_in() -> Iterator[None]:
    before = socket.socket
    socket.socket = STAND_IN  # type: ignore[misc]
    try:
        yield
    finally:
        socket.socket = before  # type: ignore[misc]


def run(
    main: Coroutine[Any, Any, T], *hosts: RealHost, device: DescriptorDevice | None = None,
    addresses: Sequence[str] = ADDRESSES, config: TcpConfig | None = None,
    names: Mapping[str, Sequence[str]] | None = None, debug: bool | None = None, linger: float = LINGER,
) -> T:  # fmt: skip
    """Run an asyncio program on synfin's TCP, in real time, and return its result; asyncio.run in all else.

    Either `hosts`, each with a device of its own, of which the first speaks (`with host:` or `host.create_task` for another),
    or a `device`, on which a host `synfin` is made with `addresses`, `config` and the `names` that it can resolve.

    Internet sockets that the program makes are the speaking host's, so none but TCP's are to be had; those of other families,
    those that threads make and those made in `with kernel_sockets():` are the kernel's. When `main` is done the tasks and
    sockets that are left are closed, and the peers have `linger` seconds to acknowledge what was sent. The devices stay open.
    Raises what `main` raises, UsageError for neither or both, and when a loop serves a host already.
    """
    if (device is None) == (not hosts):
        main.close()
        raise UsageError("run needs hosts, or a device to make one on")
    if device is not None:
        hosts = (RealHost("synfin", addresses, device, config=config, hosts=names),)
    with _standing_in(), _seldom_collecting(), asyncio.Runner(loop_factory=RealTimeLoop, debug=debug) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, RealTimeLoop)
        context = contextvars.copy_context()
        context.run(loop.descriptors.use)
        context.run(hosts[0].__enter__)
        try:
            served = _serve(loop, hosts)
        except BaseException:
            main.close()
            raise
        with served:
            try:
                return runner.run(main, context=context)
            finally:
                runner.run(_end(loop, hosts, linger))


def _serve(loop: RealTimeLoop, hosts: Sequence[RealHost]) -> ExitStack:
    """Let `loop` drive all of `hosts`, or none when one raises; closing what is returned undoes it."""
    with ExitStack() as served:
        for host in hosts:
            host.serve(loop)
            served.callback(host.leave)
        return served.pop_all()


@contextmanager
def _seldom_collecting() -> Iterator[None]:
    """What is there at the start is not looked through again, and what comes only now and then."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*COLLECT)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def _end(loop: RealTimeLoop, hosts: Sequence[RealHost], linger: float) -> None:
    """What the kernel does for a process that has ended."""
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for fd, _ in loop.descriptors:
        loop.descriptors.close(fd)
    until = time.monotonic() + linger
    for host in hosts:
        await host.finish(until - time.monotonic())
