"""The grounds that a test of channels runs on: the kernel's loopback, synfin in simulation, synfin on TUN devices.

A test is a program, `async def program()`, or a function for `run_blocking`; it opens what serves in `with ground.server:` and
what connects in `with ground.client:`, and reaches the server at `ground.address`. When it is over nothing may be left: tasks,
timers and sockets are looked for, and found ones fail the test.

    def test_...(ground: Ground) -> None:
        async def program() -> bytes: ...
        assert ground.run(program) == b"..."
"""

import asyncio
import contextlib
import os
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from synfin import sim
from synfin.aio.realtime import RealHost, run
from synfin.device.tun import TunDevice
from synfin.sim.world import World
from synfin.sockets import patched
from synfin.sockets.descriptors import Descriptors
from tests.interop.namespace import OURS, ip, namespace

PATIENCE = 30.0  # seconds: no test waits for so long
BEYOND = ("10.78.0.1", "10.78.0.2")  # the namespace's and the server's address on the second TUN

Program = Callable[[], Awaitable[Any]]


async def left_over(before: frozenset[asyncio.Task[Any]]) -> list[str]:
    """The tasks and timers of the running loop that a program has left behind."""
    for _ in range(10):  # what is closed is closed by callbacks
        await asyncio.sleep(0)
    tasks = [f"task {task.get_name()}: {task.get_coro()}" for task in asyncio.all_tasks() - before]
    timers = [f"timer {handle!r}" for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
    return tasks + [timer for timer in timers if "RealHost" not in timer]


class Ground:
    """One of the grounds. `virtual` says that time is the world's, so that hours cost nothing and are exact."""

    name = ""
    address = ""
    virtual = False
    server: AbstractContextManager[Any] = nullcontext()
    client: AbstractContextManager[Any] = nullcontext()

    def run(self, program: Program) -> Any:
        """Run `program()` in asyncio and return its result; AssertionError where something is left behind."""
        raise NotImplementedError

    def run_blocking(self, program: Callable[[], Any]) -> Any:
        """Run `program()`, which uses blocking sockets and threads, and return its result."""
        raise NotImplementedError

    @staticmethod
    async def _within(program: Program, descriptors: Callable[[], int], patience: float | None = PATIENCE) -> Any:
        before, open_before = frozenset(asyncio.all_tasks()), descriptors()
        async with asyncio.timeout(patience):
            result = await program()
        assert await left_over(before) == []
        assert descriptors() == open_before, "sockets are left open"
        return result


def real_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


class KernelGround(Ground):
    """127.0.0.1."""

    name = "kernel"
    address = "127.0.0.1"

    def run(self, program: Program) -> Any:
        return asyncio.run(self._within(program, real_descriptors))

    def run_blocking(self, program: Callable[[], Any]) -> Any:
        before, threads = real_descriptors(), threading.active_count()
        result = program()
        assert (real_descriptors(), threading.active_count()) == (before, threads)
        return result


class SimGround(Ground):
    """Two hosts in virtual time. `link` is its options, 10 ms one way by default; `world`, `wire` and the hosts are there while
    a program runs, so that it may cut the wire or silence a host."""

    name = "sim"
    address = "10.0.0.1"
    virtual = True

    def __init__(self, seed: int = 1, **link: Any) -> None:
        self.seed = seed
        self.options = {"delay": 0.01, **link}
        self.world: World
        self.wire: Any
        self.host: Any  # the server's
        self.peer: Any  # the client's

    def _build(self, world: World) -> None:
        self.world = world
        self.server = self.host = world.host("server")
        self.client = self.peer = world.host("client")
        self.wire = world.link(self.host, self.peer, **self.options)

    def run(self, program: Program) -> Any:
        async def main(world: World) -> Any:
            self._build(world)
            descriptors: Descriptors = asyncio.get_running_loop().descriptors  # type: ignore[attr-defined]
            return await self._within(program, lambda: len(descriptors), None)

        return sim.run(main, seed=self.seed, trace=False)

    def run_blocking(self, program: Callable[[], Any]) -> Any:
        def main(world: World) -> Any:
            self._build(world)
            return program()

        return sim.run_blocking(main, seed=self.seed, trace=False)


class TunGround(Ground):
    """Two hosts of synfin's in real time, each on a TUN of its own; the kernel of a namespace routes between them."""

    name = "tun"
    address = BEYOND[1]

    def __init__(self, devices: tuple[TunDevice, TunDevice]) -> None:
        self.devices = devices

    def _hosts(self) -> tuple[RealHost, RealHost]:
        client = RealHost("client", [OURS[0]], self.devices[0])
        server = RealHost("server", [self.address], self.devices[1])
        self.client, self.server = client, server
        return client, server

    def run(self, program: Program) -> Any:
        async def main() -> Any:
            descriptors: Descriptors = asyncio.get_running_loop().descriptors  # type: ignore[attr-defined]
            return await self._within(program, lambda: len(descriptors))

        return run(main(), *self._hosts(), linger=1.0)

    def run_blocking(self, program: Callable[[], Any]) -> Any:
        networks = [f"{OURS[0].rpartition('.')[0]}.0/24", f"{self.address.rpartition('.')[0]}.0/24"]
        with patched(*self._hosts(), networks=networks, linger=1.0) as driver:
            before = threading.active_count()
            result = program()
            assert threading.active_count() == before
            assert len(driver.descriptors) == 0, "sockets are left open"
            return result


@contextlib.contextmanager
def tun_ground() -> Iterator[TunGround]:
    """Makes the namespace with both TUNs, and takes it away in any case."""
    with namespace() as wire, TunDevice("beyond%d") as second:
        ip("link", "set", second.name, "netns", wire.name)
        ip("-n", wire.name, "address", "add", f"{BEYOND[0]}/24", "dev", second.name)
        ip("-n", wire.name, "link", "set", second.name, "up")
        forward = Path("/proc/sys/net/ipv4/ip_forward")
        subprocess.run(wire.command("sh", "-c", f"echo 1 > {forward}"), check=True, capture_output=True, timeout=30)
        yield TunGround((wire.device, second))
