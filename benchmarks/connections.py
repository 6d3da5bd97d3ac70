"""Connect, exchange one byte, close: connections a second of real time, asyncio protocols over the simulated network.

32 clients at the same time, each with one connection after the other; 2MSL is set short, or connections in TIME-WAIT would
run the ports out.
"""

import asyncio
import time
from collections.abc import Iterator

from benchmarks.echo import Echo
from benchmarks.report import MORE, Row, repeat
from benchmarks.world import connect, in_world, serve
from synfin.engine.config import MILLISECOND, TcpConfig
from synfin.sim import World

CONNECTIONS = 3_200
CLIENTS = 32
BUDGET = 3_000.0


class Once(asyncio.Protocol):
    """Sends one byte, waits for one byte, closes."""

    def __init__(self, done: "asyncio.Future[None]") -> None:
        self._done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"?")

    def data_received(self, data: bytes) -> None:
        """The answer; it is enough."""
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The next one may begin."""
        self._done.set_result(None)


async def _client(world: World) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS // CLIENTS):
        done: asyncio.Future[None] = loop.create_future()
        await connect(world, lambda done=done: Once(done))  # type: ignore[misc]
        await done


async def _program(world: World) -> None:
    server = await serve(world, Echo)
    await asyncio.gather(*(_client(world) for _ in range(CLIENTS)))
    server.close()


def _rate() -> float:
    started = time.perf_counter()
    in_world(_program, TcpConfig(msl=50 * MILLISECOND))
    return CONNECTIONS / (time.perf_counter() - started)


def rows() -> Iterator[Row]:
    """The one row."""
    value, best = repeat(_rate, 5, MORE)
    yield Row(name="connect, one byte, close", value=value, best=best, unit="connections/s", bound=MORE, budget=BUDGET)
