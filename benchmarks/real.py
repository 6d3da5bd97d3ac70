"""synfin against the machine's own kernel over a TUN, MTU 1500, as ratios to a bare loop on the same device in the same run.

Bulk both ways through asyncio protocols with buffers of 4 MB, round trips of 64 bytes, connections a second, and ten thousand
connections at once. The kernel's side runs cubic, synfin NewReno. Needs root for the namespace.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from typing import Any, Final

from benchmarks.bare import Bare
from benchmarks.report import LESS, MORE, Row
from benchmarks.wire import KERNEL, OURS, PORT, Side, Wire, wire
from synfin.aio.realtime import RealHost, run
from synfin.engine.config import MILLISECOND, NEVER, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.entry import Watcher
from synfin.engine.listener import Listener

SECONDS: Final = 1.0  # of each bulk transfer
REPEATS: Final = 5
TRIPS: Final = 5_000
VISITS: Final = 3_000
OPEN: Final = 10_000
BUFFER: Final = 1 << 22
BULK: Final = TcpConfig(receive_buffer=BUFFER, send_buffer=BUFFER)
SHORT: Final = TcpConfig(msl=100 * MILLISECOND, ack_fin_at_once=False)
GIGABIT: Final = 1e9 / 8


class Sink(asyncio.BufferedProtocol):
    """Counts what comes; `done` gets the rate in bytes a second."""

    def __init__(self, done: asyncio.Future[float]) -> None:
        self.done = done
        self.room = memoryview(bytearray(1 << 19))
        self.count = 0
        self.began = time.perf_counter()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Always the same."""
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        """So many came."""
        self.count += nbytes

    def connection_lost(self, exc: Exception | None) -> None:
        """The kernel's side is done."""
        self.done.set_result(self.count / (time.perf_counter() - self.began))


class Source(asyncio.Protocol):
    """Writes for SECONDS; `done` gets the rate in bytes a second."""

    def __init__(self, done: asyncio.Future[float]) -> None:
        self.done = done
        self.block = bytes(1 << 18)
        self.count = 0
        self.began = time.perf_counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(1 << 20)
        self.resume_writing()

    def resume_writing(self) -> None:
        """There is room again."""
        transport = self.transport
        while transport.get_write_buffer_size() <= 1 << 20:
            spent = time.perf_counter() - self.began
            if spent > SECONDS:
                if not self.done.done():
                    self.done.set_result((self.count - transport.get_write_buffer_size()) / spent)
                return
            transport.write(self.block)
            self.count += len(self.block)


class Echo(asyncio.Protocol):
    """Answers with what it is asked."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(data)


def _on_synfin(made: Wire, program: Callable[[], Awaitable[Any]], config: TcpConfig) -> Any:
    async def main() -> Any:
        return await program()

    return run(main(), RealHost("synfin", [OURS], made.device, config=config), linger=0.1)


async def _aside(call: Callable[..., Any], *arguments: Any) -> Any:
    """What waits for the kernel's side must not stop the loop."""
    return await asyncio.get_running_loop().run_in_executor(None, call, *arguments)


class Cpu:
    """CPU seconds of ours and of the kernel's side, added up."""

    def __init__(self) -> None:
        self.ours = self.theirs = self.wall = 0.0

    def add(self, started: float, wall: float, side: dict[str, float]) -> None:
        """One transfer."""
        self.ours += time.process_time() - started
        self.wall += time.perf_counter() - wall
        self.theirs += side["cpu"]


def receive(made: Wire, cpu: Cpu) -> float:
    """Bulk from the kernel through asyncio; bytes a second."""

    async def program() -> float:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[float] = loop.create_future()
        server = await loop.create_server(lambda: Sink(done), OURS, PORT)
        with await _aside(made.side, "source", SECONDS) as side:
            started, wall = time.process_time(), time.perf_counter()
            rate = await done
            cpu.add(started, wall, await _aside(side.said))
        server.close()
        return rate

    return float(_on_synfin(made, program, BULK))


def send(made: Wire, cpu: Cpu) -> float:
    """Bulk to the kernel through asyncio; bytes a second."""

    async def program() -> float:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[float] = loop.create_future()
        with await _aside(made.side, "sink") as side:
            started, wall = time.process_time(), time.perf_counter()
            transport, _ = await loop.create_connection(lambda: Source(done), KERNEL, PORT)
            rate = await done
            transport.abort()
            cpu.add(started, wall, await _aside(side.said))
        return rate

    return float(_on_synfin(made, program, BULK))


def bare_receive(made: Wire) -> float:
    """Bulk from the kernel to the bare loop; bytes a second."""
    with made.side("source", SECONDS):
        return Bare(made.device).read(SECONDS)


def bare_send(made: Wire) -> float:
    """Bulk from the bare loop to the kernel; bytes a second."""
    with made.side("sink"):
        return Bare(made.device).write(SECONDS)


def _alone(measure: Callable[..., float], offload: bool, *arguments: Any) -> float:
    """One measurement in a namespace of its own: nothing of the last one is left."""
    gc.collect()
    with wire(offload=offload) as made:
        return measure(made, *arguments)


def _bulk(offload: bool) -> Iterator[Row]:
    label = "offload" if offload else "no offload"
    for way, bare, ours, budget in (
        ("from the kernel", bare_receive, receive, 0.4 if offload else 0.25),
        ("to the kernel", bare_send, send, 0.3 if offload else 0.25),
    ):
        cpu = Cpu()
        pairs = [(_alone(bare, offload), _alone(ours, offload, cpu)) for _ in range(REPEATS)]
        for name, rates in (("bare loop", [pair[0] for pair in pairs]), ("synfin", [pair[1] for pair in pairs])):
            yield Row(
                name=f"{way}, {label}, {name}", value=statistics.median(rates) / GIGABIT, best=max(rates) / GIGABIT,
                unit="Gbit/s", bound=MORE,
            )  # fmt: skip
        ratios = [mine / theirs for theirs, mine in pairs]
        middle = statistics.median(ratios)
        yield Row(name=f"{way}, {label}", value=middle, best=max(ratios), unit="of bare", bound=MORE, budget=budget)
        for name, spent in (("ours", cpu.ours), ("the kernel's side", cpu.theirs)):
            yield Row(name=f"{way}, {label}, {name}", value=spent / cpu.wall, best=spent / cpu.wall, unit="CPU")


# --- requests


def ask(made: Wire) -> float:
    """Median of TRIPS round trips of 64 bytes through asyncio, microseconds, as the kernel's side sees them."""
    return _answered(made, "ask", TRIPS)["median"]


def visit(made: Wire) -> float:
    """Accept, exchange and close, one after the other; a second."""
    return _answered(made, "visit", VISITS)["rate"]


def crowd(made: Wire) -> float:
    """The same, 32 at once."""
    return _answered(made, "crowd", VISITS)["rate"]


def _answered(made: Wire, work: str, amount: int) -> dict[str, float]:
    async def program() -> dict[str, float]:
        server = await asyncio.get_running_loop().create_server(Echo, OURS, PORT, backlog=1024)
        with await _aside(made.side, work, amount) as side:
            said: dict[str, float] = await _aside(side.said)
        server.close()
        return said

    return dict(_on_synfin(made, program, SHORT))


class Answers(Watcher):
    """A connection without a socket: what comes goes back, from the stack's own callback."""

    __slots__ = ("connection", "server")

    def __init__(self, server: Server, connection: Connection) -> None:
        self.server = server
        self.connection = connection
        connection.watcher = self
        self.changed()

    def changed(self) -> None:
        """See Watcher."""
        connection, now = self.connection, self.server.now
        data = connection.read(1 << 19, now)
        if data:
            if self.server.echo:
                connection.write(data, now)
            self.server.count += len(data)
            self.server.stack.attend(connection, now)
        elif connection.peer_closed and not connection.orphaned:
            connection.close(now)
            self.server.stack.attend(connection, now)


class Server(Watcher):
    """A stack and a loop of a few lines: no asyncio, no sockets."""

    __slots__ = ("answers", "count", "echo", "host", "listener", "now", "stack")

    def __init__(self, made: Wire, *, echo: bool, config: TcpConfig) -> None:
        self.host = RealHost("synfin", [OURS], made.device, config=config)
        self.stack = self.host.stack
        self.echo = echo
        self.count = 0
        self.answers: list[Answers] = []
        self.now = self.host.now()
        self.listener: Listener = self.stack.listen((None, PORT), 4096, self.now)
        self.listener.watcher = self

    def changed(self) -> None:
        """See Watcher."""
        while (connection := self.listener.accept(self.now)) is not None:
            self.answers.append(Answers(self, connection))

    def serve(self, ended: Callable[[], bool]) -> None:
        """Until `ended`, which is looked at whenever nothing comes."""
        device, stack = self.host.device, self.stack
        poll = select.poll()
        poll.register(device.fileno(), select.POLLIN)
        while True:
            deadline = stack.next_deadline()
            wait = 20 if deadline == NEVER else min(max((deadline - time.monotonic_ns()) // MILLISECOND, 0), 20)
            if not poll.poll(wait) and ended():
                return
            self.now = now = time.monotonic_ns()
            for _ in range(64):
                packet = device.receive()
                if packet is None:
                    break
                stack.receive_packet(packet, now, verify=not device.verified, gso_size=device.gso_size)
            stack.handle_timers(now)
            stack.transmit(now)


def ask_stack(made: Wire) -> float:
    """As `ask`, without asyncio."""
    server = Server(made, echo=True, config=SHORT)
    with made.side("ask", TRIPS) as side:
        server.serve(lambda: side.process.poll() is not None)
        return side.said()["median"]


def _busy(made: Wire, server: Server) -> float:
    """One connection's bulk to `server`; bytes a second of our CPU, which other work on the machine moves least."""
    before, began = server.count, time.process_time()
    with made.side("source", SECONDS) as side:
        server.serve(lambda: side.process.poll() is not None)
    return (server.count - before) / (time.process_time() - began)


def crowded(made: Wire) -> Iterator[Row]:
    """Memory a connection at OPEN of them, and one busy connection beside them and alone."""
    server = Server(made, echo=False, config=BULK)
    alone = statistics.median(_busy(made, server) for _ in range(3))
    gc.collect()
    before = _resident()
    with made.side("hold", OPEN) as side:
        server.serve(_reader(side))
        gc.collect()
        each = (_resident() - before) / OPEN
        beside = statistics.median(_busy(made, server) for _ in range(3))
    assert len(server.answers) >= OPEN
    yield Row(name=f"{OPEN} open, memory of each", value=each, best=each, unit="bytes", budget=3072)
    ratio = beside / alone
    yield Row(name=f"a busy one beside {OPEN}", value=ratio, best=ratio, unit="of alone", bound=MORE, budget=0.9)


def _reader(side: Side) -> Callable[[], bool]:
    """Whether `side` has said that it holds its connections."""
    assert side.process.stdout is not None
    poll = select.poll()
    poll.register(side.process.stdout.fileno(), select.POLLIN)
    return lambda: bool(poll.poll(0))


def _resident() -> int:
    """Bytes of memory that this process has in use."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def _requests() -> Iterator[Row]:
    for name, measure, unit, bound, budget in (
        ("round trip of 64 bytes, asyncio", ask, "us", LESS, 100.0),
        ("round trip of 64 bytes, callback", ask_stack, "us", LESS, 50.0),
        ("accept, exchange, close, one by one", visit, "a second", MORE, 3000.0),
        ("accept, exchange, close, 32 at once", crowd, "a second", MORE, 3000.0),
    ):
        results = [_alone(measure, True) for _ in range(3)]
        best = (min if bound == LESS else max)(results)
        yield Row(name=name, value=statistics.median(results), best=best, unit=unit, bound=bound, budget=budget)


def rows() -> Iterator[Row]:
    """Everything, or a line that says why not."""
    try:
        with wire(offload=True) as made:
            if made.device.without:
                print(f"real: {made.device.without}", file=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"real: left out, no namespace with a TUN here: {error}", file=sys.stderr)
        return
    yield from _bulk(True)
    yield from _bulk(False)
    yield from _requests()
    yield from _in_a_process_of_its_own()


def _in_a_process_of_its_own() -> Iterator[Row]:
    """`crowded`, where nothing that was measured before has left memory behind to be used again."""
    said = subprocess.run([sys.executable, "-m", "benchmarks.real"], stdout=subprocess.PIPE, check=True, text=True)
    yield from (Row(**fields) for fields in json.loads(said.stdout))


def _crowded_alone() -> None:
    with wire(offload=True) as made:
        json.dump([asdict(row) for row in crowded(made)], sys.stdout)


if __name__ == "__main__":
    _crowded_alone()
