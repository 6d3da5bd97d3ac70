"""Messages over the kernel's loopback: synfin.channels beside plain asyncio streams with a hand-written length header.

Both sides of a connection run in one loop in one process, a run of the one directly after a run of the other, so that what
the machine does besides falls on both. A rate of 0.85 of the plain one is an overhead of 15 %. Then exchange.py's rows.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from benchmarks import exchange
from benchmarks.report import MORE, Row
from synfin.channels import aio, long
from synfin.channels.framing import LengthHeader

HOST: Final = "127.0.0.1"
FRAMING: Final = LengthHeader(4)
SIZES: Final = ((64, 30_000), (65_536, 3_000))  # bytes of a message, how many
TIMES: Final = 5
LEAST: Final = 0.85  # of the plain streams' rate
HEADER: Final = 4

Measure = Callable[[int, int], Awaitable[float]]  # size, count -> messages a second


async def plain(size: int, count: int) -> float:
    """Echo through StreamReader and StreamWriter."""

    async def one(reader: asyncio.StreamReader) -> bytes:
        return await reader.readexactly(int.from_bytes(await reader.readexactly(HEADER), "big"))

    async def write(writer: asyncio.StreamWriter, message: bytes) -> None:
        writer.write(len(message).to_bytes(HEADER, "big") + message)
        await writer.drain()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await write(writer, await one(reader))
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    reader, writer = await asyncio.open_connection(HOST, server.sockets[0].getsockname()[1])

    async def send() -> None:
        message = bytes(size)
        for _ in range(count):
            await write(writer, message)

    began = time.perf_counter()
    sending = asyncio.create_task(send())
    for _ in range(count):
        assert len(await one(reader)) == size
    took = time.perf_counter() - began
    await sending
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.01)
    return count / took


async def framed(size: int, count: int) -> float:
    """The same through MessageStream."""

    async def echo(stream: aio.MessageStream) -> None:
        async for message in stream:
            stream.send(message)
            await stream.drain()

    async with await aio.serve(echo, HOST, 0, FRAMING) as server:
        stream = await aio.connect(HOST, server.port, FRAMING)

        async def send() -> None:
            message = bytes(size)
            for _ in range(count):
                stream.send(message)
                await stream.drain()

        began = time.perf_counter()
        sending = asyncio.create_task(send())
        for _ in range(count):
            assert len(await stream.receive()) == size
        took = time.perf_counter() - began
        await sending
        await stream.close()
    return count / took


async def lived(size: int, count: int) -> float:
    """The same through LongChannel: numbered, acknowledged, watched by a heartbeat."""

    async def echo(channel: long.LongChannel) -> None:
        async for message in channel:
            await channel.send(message)

    async with await long.serve(echo, HOST, 0, FRAMING) as server:
        channel = await long.connect(HOST, server.port, FRAMING)

        async def send() -> None:
            message = bytes(size)
            for _ in range(count):
                await channel.send(message)

        began = time.perf_counter()
        sending = asyncio.create_task(send())
        for _ in range(count):
            assert len(await channel.receive()) == size
        took = time.perf_counter() - began
        await sending
        await channel.close()
    return count / took


def measured(measures: tuple[Measure, ...], size: int, count: int) -> list[list[float]]:
    """The rates of each, taken in turns."""
    rates: list[list[float]] = [[] for _ in measures]
    for _ in range(TIMES):
        for found, measure in zip(rates, measures, strict=True):
            gc.collect()
            found.append(asyncio.run(measure(size, count)))  # type: ignore[arg-type]
    return rates


def rows() -> Iterator[Row]:
    """See the module."""
    for size, count in SIZES:
        bare, ours, kept = measured((plain, framed, lived), size, count)
        what = f"{size} bytes" if size < 1024 else f"{size >> 10} KB"
        shares = [one / other for one, other in zip(ours, bare, strict=True)]
        yield Row(name=f"echo {what}, plain streams", value=statistics.median(bare), best=max(bare), unit="/s", bound=MORE)
        yield Row(name=f"echo {what}, framed", value=statistics.median(ours), best=max(ours), unit="/s", bound=MORE)
        yield Row(
            name=f"echo {what}, framed : plain", value=statistics.median(shares), best=max(shares), unit="ratio", bound=MORE,
            budget=LEAST,
        )  # fmt: skip
        yield Row(name=f"echo {what}, long connection", value=statistics.median(kept), best=max(kept), unit="/s", bound=MORE)
    yield from exchange.rows()
