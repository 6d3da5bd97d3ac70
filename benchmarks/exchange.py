"""Questions and answers over the kernel's loopback, client and server as two processes: pipelined, and one after the other."""

import asyncio
import gc
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from multiprocessing.connection import Connection
from typing import Final

from benchmarks.report import MORE, Row
from synfin.channels import exchangeaio
from synfin.channels.exchangeaio import ExchangeChannel
from synfin.channels.framing import LengthHeader

HOST: Final = "127.0.0.1"
FRAMING: Final = LengthHeader(4)
LIMIT: Final = 256  # in flight
SIZE: Final = 64  # bytes of a request and of its answer
PIPELINED: Final = 60_000
SYNCHRONOUS: Final = 5_000
TIMES: Final = 3
LEAST: Final = 20_000  # exchanges a second


def serve(tell: Connection) -> None:
    """The server's process: answers every request with itself, until it is ended."""

    async def main() -> None:
        server = await exchangeaio.serve(lambda request: request, HOST, 0, FRAMING, limit=LIMIT)
        tell.send(server.port)
        await asyncio.Event().wait()

    gc.freeze()
    asyncio.run(main())


async def pipelined(channel: ExchangeChannel) -> float:
    """Send without waiting; answers are matched by number."""
    request = bytes(SIZE)
    began = time.perf_counter()
    calls = [await channel.submit(request) for _ in range(PIPELINED)]
    for call in calls:
        assert len(await call) == SIZE
    return PIPELINED / (time.perf_counter() - began)


async def synchronous(channel: ExchangeChannel) -> float:
    """Wait for each answer, with a timeout."""
    request = bytes(SIZE)
    began = time.perf_counter()
    for _ in range(SYNCHRONOUS):
        assert len(await channel.ask(request, timeout=5)) == SIZE
    return SYNCHRONOUS / (time.perf_counter() - began)


async def measured(port: int, measure: Callable[[ExchangeChannel], Awaitable[float]]) -> list[float]:
    """The rates of several runs over one connection."""
    async with await exchangeaio.connect(HOST, port, FRAMING, limit=LIMIT) as channel:
        return [await measure(channel) for _ in range(TIMES)]


def rows() -> Iterator[Row]:
    """See the module."""
    hear, tell = multiprocessing.Pipe(False)
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(tell,))
    server.start()
    try:
        port = hear.recv()
        for name, measure, budget in (("pipelined", pipelined, LEAST), ("one after the other", synchronous, None)):
            rates = asyncio.run(measured(port, measure))
            yield Row(
                name=f"exchange {SIZE} bytes, {name}", value=statistics.median(rates), best=max(rates), unit="/s", bound=MORE,
                budget=budget,
            )  # fmt: skip
    finally:
        server.terminate()
        server.join()
        hear.close()
        tell.close()
