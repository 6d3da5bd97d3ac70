"""Messages over the kernel's loopback: synfin.channels beside plain asyncio streams with a hand-written length header.

Both sides of a connection run in one loop in one process, a run of the one directly after a run of the other, so that what
the machine does besides falls on both. Both write each message, drain, and read in another task, as fast as TCP takes it; or
one at a time, so that neither can put several messages into one write. A rate of 0.85 of the plain one is an overhead of 15 %.
Then exchange.py's rows.
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
IN_TURN: Final = 6  # so many times fewer messages where each waits for the one before
TIMES: Final = 5
LEAST: Final = 0.85  # of the plain streams' rate
HEADER: Final = 4

Measure = Callable[[int, int], Awaitable[float]]  # size, count -> messages a second


async def one(reader: asyncio.StreamReader) -> bytes:
    """A message by hand: four bytes of length, then so many."""
    return await reader.readexactly(int.from_bytes(await reader.readexactly(HEADER), "big"))


async def write(writer: asyncio.StreamWriter, message: bytes) -> None:
    """The other way."""
    writer.write(len(message).to_bytes(HEADER, "big") + message)
    await writer.drain()


async def echo_plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes."""
    try:
        while True:
            await write(writer, await one(reader))
    except asyncio.IncompleteReadError:
        writer.close()


async def plain(size: int, count: int, in_turn: bool = False) -> float:
    """Echo through StreamReader and StreamWriter; `in_turn`: the next goes when the last has come back."""
    server = await asyncio.start_server(echo_plain, HOST, 0)
    reader, writer = await asyncio.open_connection(HOST, server.sockets[0].getsockname()[1])
    message = bytes(size)

    async def send() -> None:
        for _ in range(count):
            await write(writer, message)

    began = time.perf_counter()
    sending = None if in_turn else asyncio.create_task(send())
    for _ in range(count):
        if in_turn:
            await write(writer, message)
        assert len(await one(reader)) == size
    took = time.perf_counter() - began
    if sending is not None:
        await sending
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.01)
    return count / took


async def framed(size: int, count: int, in_turn: bool = False) -> float:
    """The same through MessageStream."""

    async def echo(stream: aio.MessageStream) -> None:
        async for message in stream:
            stream.send(message)
            await stream.drain()

    async with await aio.serve(echo, HOST, 0, FRAMING) as server:
        stream = await aio.connect(HOST, server.port, FRAMING)
        message = bytes(size)

        async def send() -> None:
            for _ in range(count):
                stream.send(message)
                await stream.drain()

        began = time.perf_counter()
        sending = None if in_turn else asyncio.create_task(send())
        for _ in range(count):
            if in_turn:
                stream.send(message)
                await stream.drain()
            assert len(await stream.receive()) == size
        took = time.perf_counter() - began
        if sending is not None:
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


async def plain_in_turn(size: int, count: int) -> float:
    """See plain."""
    return await plain(size, count, True)


async def framed_in_turn(size: int, count: int) -> float:
    """See framed."""
    return await framed(size, count, True)


def measured(measures: tuple[Measure, ...], size: int, count: int) -> list[list[float]]:
    """The rates of each, taken in turns."""
    rates: list[list[float]] = [[] for _ in measures]
    for _ in range(TIMES):
        for found, measure in zip(rates, measures, strict=True):
            gc.collect()
            found.append(asyncio.run(measure(size, count)))  # type: ignore[arg-type]
    return rates


def _row(name: str, rates: list[float], unit: str = "/s", budget: float | None = None) -> Row:
    return Row(name=name, value=statistics.median(rates), best=max(rates), unit=unit, bound=MORE, budget=budget)


def _compared(what: str, bare: list[float], ours: list[float]) -> Iterator[Row]:
    yield _row(f"{what}, plain streams", bare)
    yield _row(f"{what}, framed", ours)
    shares = [one / other for one, other in zip(ours, bare, strict=True)]
    yield _row(f"{what}, framed : plain", shares, "ratio", LEAST)


def rows() -> Iterator[Row]:
    """See the module."""
    for size, count in SIZES:
        what = f"{size} bytes" if size < 1024 else f"{size >> 10} KB"
        bare, ours, kept = measured((plain, framed, lived), size, count)
        yield from _compared(f"echo {what}", bare, ours)
        yield _row(f"echo {what}, long connection", kept)
        yield from _compared(f"echo {what} one at a time", *measured((plain_in_turn, framed_in_turn), size, count // IN_TURN))
    yield from exchange.rows()
