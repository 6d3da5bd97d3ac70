"""Scenarios about how programs talk over a connection: short or long, waiting or not, one way or both.

Owns what the programs say, by synfin.channels in asyncio; the words about the segments are the trace's narration.
"""

import asyncio
import contextlib
import errno
from collections.abc import Awaitable, Callable
from typing import Final

from synfin.channels import aio, directionaio, exchangeaio, long
from synfin.channels.errors import ChannelError, ChannelTimeout
from synfin.channels.framing import Framing, LengthHeader
from synfin.channels.heartbeat import NEVER, SECOND
from synfin.channels.life import LifeSettings
from synfin.scenarios.speaking import name_calls, name_life, name_turns
from synfin.scenarios.stage import LIMIT, PORT, Scenario, Stage
from synfin.sim.runner import run
from synfin.sim.world import World
from synfin.stack.addresses import make_key
from synfin.trace.recorder import HostRecorder
from synfin.words import Text

FRAMING: Final[Framing] = LengthHeader(4)
ADDRESS: Final = "10.0.0.2"  # the server's
PATIENCE: Final = 30.0
PAUSE: Final = 0.1  # seconds between what should stand apart
QUESTION: Final = b"1+1?"
SECOND_QUESTION: Final = b"2+2?"
ANSWERS: Final = {QUESTION: b"2", SECOND_QUESTION: b"4"}
WATCHED: Final = LifeSettings(interval=SECOND)
UNWATCHED: Final = LifeSettings(interval=NEVER)
QUIET: Final = 2.3  # seconds without a message: two PINGs


def _play(stage: Stage, serve: Callable[[], Awaitable[aio.MessageServer]], client: Callable[[], Awaitable[None]]) -> None:
    """Run an asyncio server and client until both have ended. A call that fails ends its program and nothing else."""

    async def main(world: World) -> None:
        with stage.server:
            server = await serve()
        with stage.client, contextlib.suppress(OSError, ChannelError):
            async with asyncio.timeout(LIMIT):
                await client()
        while server.connections and world.now < LIMIT:
            await asyncio.sleep(PAUSE)

    run(main, world=stage.world)


def _talk(stage: Stage, served: aio.Handler, calls: aio.Handler) -> None:
    """One connection: `served` has the server's end of it, `calls` the client's."""

    async def client() -> None:
        async with await aio.connect(ADDRESS, PORT, FRAMING) as stream:
            await calls(stream)

    _play(stage, lambda: aio.serve(served, ADDRESS, PORT, FRAMING), client)


async def _echo(stream: aio.MessageStream) -> None:
    async for message in stream:
        stream.send(message)


def short_connection(stage: Stage) -> None:
    """Two exchanges, each on a connection of its own."""

    async def client() -> None:
        await aio.exchange_once(ADDRESS, PORT, FRAMING, QUESTION, timeout=PATIENCE)
        await asyncio.sleep(PAUSE)
        await aio.exchange_once(ADDRESS, PORT, FRAMING, SECOND_QUESTION, timeout=PATIENCE)

    _play(stage, lambda: aio.serve(_echo, ADDRESS, PORT, FRAMING), client)


async def _echo_long(channel: long.LongChannel) -> None:
    async for message in channel:
        await channel.send(message)


def long_connection(stage: Stage) -> None:
    """Two exchanges on one connection, PINGs in the silence between them, and a goodbye."""

    async def client() -> None:
        async with await long.connect(ADDRESS, PORT, FRAMING, WATCHED) as channel:
            await channel.send(QUESTION)
            await channel.receive()
            await asyncio.sleep(QUIET)
            await channel.send(SECOND_QUESTION)
            await channel.receive()

    _play(stage, lambda: long.serve(_echo_long, ADDRESS, PORT, FRAMING, UNWATCHED), client)


async def _answer_late(question: bytes) -> bytes:
    await asyncio.sleep(1.5 * PAUSE)
    return ANSWERS[question]


async def _answer_first_late(question: bytes) -> bytes:
    if question == QUESTION:
        await asyncio.sleep(1.5 * PAUSE)
    return ANSWERS[question]


async def _ask(stage: Stage, channel: exchangeaio.ExchangeChannel, question: bytes, timeout: float) -> None:
    """Ask, and let the trace tell what the caller was told: the client's program calls this and no socket."""
    host = stage.client
    name = channel.transport.get_extra_info("sockname")
    key = make_key(stage.server.addresses[0], PORT, host.addresses[0], name[1])
    observer = host.stack.observer
    assert isinstance(observer, HostRecorder), "a scenario is played to be seen"
    began, begun = host.now(), observer.begins()
    try:
        result, error = (await channel.ask(question, timeout)).decode(), 0
    except ChannelTimeout:
        result, error = "", errno.ETIMEDOUT
    observer.returned(host.now(), key, "ask", f"{question.decode()}, {timeout:g} s", began, result, error, begun)


def sync_timeout(stage: Stage) -> None:
    """A call waits so long and no longer. Its answer comes while the next call waits for another, and is not taken for it."""

    async def client() -> None:
        async with await exchangeaio.connect(ADDRESS, PORT, FRAMING) as channel:
            await _ask(stage, channel, QUESTION, PAUSE)
            await _ask(stage, channel, SECOND_QUESTION, PATIENCE)

    _play(stage, lambda: exchangeaio.serve(_answer_late, ADDRESS, PORT, FRAMING), client)


def pipelined(stage: Stage) -> None:
    """The second question goes before the first is answered; the answer to the second comes first."""

    async def client() -> None:
        async with await exchangeaio.connect(ADDRESS, PORT, FRAMING) as channel:
            await asyncio.gather(*(_ask(stage, channel, question, PATIENCE) for question in (QUESTION, SECOND_QUESTION)))

    _play(stage, lambda: exchangeaio.serve(_answer_first_late, ADDRESS, PORT, FRAMING), client)


async def _say(stream: aio.MessageStream, first: float) -> None:
    """Three messages, beginning after `first` seconds, without listening; then nothing more."""
    await asyncio.sleep(first)
    for number in (1, 2, 3):
        stream.send(b"%d" % number)
        await asyncio.sleep(PAUSE)
    stream.finish()


async def _hear(stream: aio.MessageStream) -> None:
    async for _ in stream:
        pass


def duplex(stage: Stage) -> None:
    """Both sides send and receive at the same time, each in two tasks that know nothing of each other."""

    async def client(stream: aio.MessageStream) -> None:
        await asyncio.gather(_say(stream, 0.0), _hear(stream))

    async def server(stream: aio.MessageStream) -> None:
        await asyncio.gather(_say(stream, PAUSE / 2), _hear(stream))

    _talk(stage, server, client)


def half_duplex(stage: Stage) -> None:
    """One speaks at a time. The turn goes over to the server, then to nobody; then both ask for it at once."""

    async def client() -> None:
        async with await directionaio.connect(ADDRESS, PORT, FRAMING) as channel:
            channel.say(QUESTION)
            channel.over()
            await channel.receive()
            await asyncio.sleep(PAUSE)
            await channel.turn(PATIENCE)
            channel.say(ANSWERS[await channel.receive()])

    async def server(channel: directionaio.HalfDuplexChannel) -> None:
        question = await channel.receive()
        await channel.turn(PATIENCE)
        channel.say(ANSWERS[question])
        channel.over(give=False)
        await asyncio.sleep(PAUSE + stage.delay)  # so that both ask at the same moment
        await channel.turn(PATIENCE)
        channel.say(SECOND_QUESTION)
        channel.over()
        await channel.receive()

    _play(stage, lambda: directionaio.serve(server, ADDRESS, PORT, FRAMING), client)


def simplex(stage: Stage) -> None:
    """The server closes its half at once and only listens; the client only sends."""

    async def server(stream: aio.MessageStream) -> None:
        await _hear(directionaio.Receiver(stream).stream)

    async def client(stream: aio.MessageStream) -> None:
        sender = directionaio.Sender(stream)
        for number in (1, 2, 3):
            await asyncio.sleep(PAUSE)
            await sender.send(b"%d" % number)
        await sender.close(PATIENCE)

    _talk(stage, server, client)


EXCHANGING: Final = (
    Scenario(
        name="short-connection",
        title=Text("Short connections: one for each exchange", "短连接：每次交换新建一个连接"),
        build=short_connection,
    ),
    Scenario(
        name="long-connection",
        title=Text("A long connection: heartbeat between two exchanges", "长连接：两次交换之间有心跳，最后告别"),
        build=long_connection,
        messages=name_life,
    ),
    Scenario(
        name="sync-timeout",
        title=Text("A call gives up; its late answer is no other's", "同步调用超时，迟到的回答不会错配给下一次"),
        build=sync_timeout,
        messages=name_calls,
    ),
    Scenario(
        name="pipelined",
        title=Text("Two questions at once, the second answered first", "两个问题同时在途，第二个先得到回答"),
        build=pipelined,
        messages=name_calls,
    ),
    Scenario(
        name="duplex",
        title=Text("Full duplex: both send, neither waits", "全双工：双方各发各的，互不等待"),
        build=duplex,
    ),
    Scenario(
        name="half-duplex",
        title=Text("Half duplex: one speaks at a time, and a tie", "半双工：轮流说话；同时要求时按规则定"),
        build=half_duplex,
        messages=name_turns,
    ),
    Scenario(
        name="simplex",
        title=Text("Simplex: one side only sends, the other listens", "单工：一方只发，另一方只听"),
        build=simplex,
    ),
)
