"""Simulated bulk transfer: how many segments a second of real time, data and ACKs counted, both hosts in one process.

The link has 1 Gbit/s and 5 ms. Tracing off and protocols; then tracing on (with checksums) and streams.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

from benchmarks.report import MORE, Row, repeat
from benchmarks.world import BANDWIDTH, PORT, connect, in_world, segments, serve
from synfin.sim import World

TOTAL = 24_000_000  # bytes, over all flows
CHUNK = bytes(65_536)
BUDGET = 40_000.0


class Sink(asyncio.Protocol):
    """Counts what comes; `done` is set when the last of its kind has seen the end of its stream."""

    def __init__(self, count: list[int], done: "asyncio.Future[None]") -> None:
        self._count = count
        self._done = done

    def data_received(self, data: bytes) -> None:
        """Count it and forget it."""
        self._count[0] += len(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """One flow less."""
        self._count[1] -= 1
        if not self._count[1]:
            self._done.set_result(None)


class Source(asyncio.Protocol):
    """Writes `chunks` times CHUNK as fast as it is let, then closes."""

    def __init__(self, chunks: int) -> None:
        self._left = chunks
        self._transport: asyncio.Transport | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._write()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """And has room again."""
        self._paused = False
        self._write()

    def _write(self) -> None:
        assert self._transport is not None
        while self._left and not self._paused:
            self._left -= 1
            self._transport.write(CHUNK)
        if not self._left and not self._transport.is_closing():
            self._transport.close()  # what is buffered still goes


async def with_protocols(world: World, flows: int) -> None:
    """The transfer by protocols."""
    count = [0, flows]
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    server = await serve(world, lambda: Sink(count, done))
    chunks = TOTAL // flows // len(CHUNK)
    for _ in range(flows):
        await connect(world, lambda: Source(chunks))
    await done
    server.close()
    assert count[0] == chunks * flows * len(CHUNK), "every byte arrives"


async def with_streams(world: World, flows: int) -> None:
    """The transfer by streams."""
    chunks = TOTAL // flows // len(CHUNK)
    got: asyncio.Queue[int] = asyncio.Queue()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        total = 0
        while data := await reader.read(len(CHUNK)):
            total += len(data)
        writer.close()
        got.put_nowait(total)

    async def write() -> None:
        _, writer = await asyncio.open_connection("server", PORT)
        for _ in range(chunks):
            writer.write(CHUNK)
            await writer.drain()
        writer.close()

    with world.hosts["server"]:
        server = await asyncio.start_server(read, "0.0.0.0", PORT)
    with world.hosts["client"]:
        await asyncio.gather(*(write() for _ in range(flows)))
    for _ in range(flows):
        assert await got.get() == chunks * len(CHUNK), "every byte arrives"
    server.close()


Transfer = Callable[[World, int], Awaitable[None]]


def _rate(transfer: Transfer, flows: int, trace: bool, loss: float) -> float:
    started = time.perf_counter()
    world = in_world(lambda world: transfer(world, flows), trace=trace, loss=loss, bandwidth=BANDWIDTH)
    return segments(world) / (time.perf_counter() - started)


def rows() -> Iterator[Row]:
    """Clean, with loss and with many flows; each once as fast as can be and once as it is mostly used."""
    for trace in (False, True):
        for name, flows, loss in (("bulk", 1, 0.0), ("bulk, 1 % loss", 1, 0.01), ("bulk, 32 flows", 32, 0.0)):
            transfer = with_streams if trace else with_protocols
            value, best = repeat(partial(_rate, transfer, flows, trace, loss), 3 if trace else 5, MORE)
            suffix, budget = (", traced", None) if trace else ("", BUDGET)
            yield Row(name=name + suffix, value=value, best=best, unit="segments/s", bound=MORE, budget=budget)
