"""asyncio echo of 64 bytes over the simulated network: round trips a second of real time."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.report import MORE, Row, repeat
from benchmarks.world import PORT, connect, in_world, serve
from synfin.sim import World

MESSAGE = bytes(64)
TRIPS = 8_000
BUDGET = 10_000.0


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)


class Asker(Echo):
    """Sends MESSAGE again whenever it has come back, `trips` times."""

    def __init__(self, trips: int, done: "asyncio.Future[None]") -> None:
        self._left = trips
        self._done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        super().connection_made(transport)
        self.transport.write(MESSAGE)

    def data_received(self, data: bytes) -> None:
        """The answer: small messages arrive whole."""
        assert len(data) == len(MESSAGE)
        self._left -= 1
        if self._left:
            self.transport.write(data)
        else:
            self.transport.close()
            self._done.set_result(None)


async def with_protocols(world: World) -> None:
    """TRIPS round trips on one connection."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    server = await serve(world, Echo)
    await connect(world, lambda: Asker(TRIPS, done))
    await done
    server.close()


async def with_streams(world: World) -> None:
    """The same by streams."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            writer.write(data)
            await writer.drain()
        writer.close()

    with world.hosts["server"]:
        server = await asyncio.start_server(echo, "0.0.0.0", PORT)
    with world.hosts["client"]:
        reader, writer = await asyncio.open_connection("server", PORT)
    for _ in range(TRIPS):
        writer.write(MESSAGE)
        assert len(await reader.readexactly(len(MESSAGE))) == len(MESSAGE)
    writer.close()
    server.close()


def _rate(trace: bool) -> float:
    started = time.perf_counter()
    in_world(with_streams if trace else with_protocols, trace=trace)
    return TRIPS / (time.perf_counter() - started)


def rows() -> Iterator[Row]:
    """Protocols without a trace, streams with one."""
    value, best = repeat(partial(_rate, False), 5, MORE)
    yield Row(name="echo of 64 bytes", value=value, best=best, unit="round trips/s", bound=MORE, budget=BUDGET)
    value, best = repeat(partial(_rate, True), 3, MORE)
    yield Row(name="echo of 64 bytes, traced", value=value, best=best, unit="round trips/s", bound=MORE)
