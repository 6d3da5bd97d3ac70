"""Exchange on a long connection: pipelined, watched by a heartbeat, drained by a goodbye."""

import asyncio
from typing import Any

import pytest

from synfin.channels import aio, exchangelong, long
from synfin.channels.errors import ChannelClosed, ChannelTimeout, MessageRefused, PeerDead, PeerLost, ProtocolError
from synfin.channels.exchange import RequestFailed
from synfin.channels.exchangelong import LongExchange
from synfin.channels.framing import LengthHeader
from synfin.channels.heartbeat import SECOND
from synfin.channels.life import LifeSettings
from synfin.engine.errors import UsageError
from tests.channels.grounds import Ground, SimGround

PORT = 7000
FRAMING = LengthHeader(4)
QUICK = LifeSettings(interval=10 * SECOND, timeout=2 * SECOND, misses=3)  # dead after 16 s


async def pair(ground: Ground, handler: Any, **options: Any) -> tuple[aio.MessageServer, LongExchange]:
    with ground.server:
        server = await exchangelong.serve(handler, ground.address, PORT if ground.virtual else 0, FRAMING, QUICK, **options)
    with ground.client:
        return server, await exchangelong.connect(ground.address, server.port, FRAMING, QUICK, timeout=10, **options)


def test_many_at_once_each_get_their_own_answer_in_any_order(carrier: Ground) -> None:
    async def slow(request: bytes) -> bytes:
        await asyncio.sleep(0.001 * (7 - request[0] % 7))
        if not request[0] % 5:
            raise RequestFailed("no fives")
        return request * 2

    async def program() -> Any:
        server, channel = await pair(carrier, slow, limit=16)
        calls = [await channel.submit(bytes([number])) for number in range(100)]
        most = channel.in_flight
        found = await asyncio.gather(*calls, return_exceptions=True)
        await channel.close()
        await server.close()
        return most, found, dict(server.errors)

    most, found, errors = carrier.run(program)
    assert most <= 16
    assert [str(each) if isinstance(each, RequestFailed) else each for each in found] == [
        bytes([number]) * 2 if number % 5 else "no fives" for number in range(100)
    ]
    assert errors == {}


def test_an_answer_that_is_late_is_not_the_next_calls(carrier: Ground) -> None:
    async def slow(request: bytes) -> bytes:
        if request == b"slow":
            await asyncio.sleep(0.4)
        return request

    async def program() -> Any:
        server, channel = await pair(carrier, slow)
        with pytest.raises(ChannelTimeout, match=r"no answer within 0\.2 s"):
            await channel.ask(b"slow", timeout=0.2)
        found = await channel.ask(b"next", timeout=5)
        await asyncio.sleep(0.4)
        late = channel.exchange.late
        await channel.close()
        await server.close()
        return found, late

    assert carrier.run(program) == (b"next", 1)


def test_a_server_that_vanishes_ends_every_call_within_the_heartbeats_bound() -> None:
    ground = SimGround()

    async def program() -> Any:
        server, channel = await pair(ground, lambda request: request)
        assert await channel.ask(b"1+1?") == b"1+1?"
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        ground.wire.cut()
        calls = [await channel.submit(b"?") for _ in range(3)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        took = asyncio.get_running_loop().time() - began
        with pytest.raises(PeerDead):
            await channel.ask(b"again")
        await channel.close()
        await server.close()
        return [type(each) for each in found], took

    kinds, took = ground.run(program)
    assert kinds == [PeerDead] * 3
    assert took <= QUICK.detection / SECOND


def test_a_reset_ends_every_call_and_the_handler_of_the_other_side(ground: Ground) -> None:
    ends: list[str] = []

    async def never(request: bytes) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")
        return request

    async def program() -> Any:
        server, channel = await pair(ground, never)
        call = await channel.submit(b"?")
        await channel.flush(5)
        channel.abort()
        with pytest.raises(ChannelClosed, match="this side has given up"):
            await call
        await asyncio.sleep(0.1)
        await server.close()
        return dict(server.errors)

    assert ground.run(program) == {"PeerLost": 1}
    assert ends == ["cancelled"]


def test_after_the_goodbye_nothing_can_be_asked_and_calls_that_wait_are_told(carrier: Ground) -> None:
    async def never(request: bytes) -> bytes:
        await asyncio.Event().wait()
        return request

    async def program() -> Any:
        server, channel = await pair(carrier, never)
        call = await channel.submit(b"?")
        await channel.close()
        with pytest.raises(ChannelClosed):
            await call
        with pytest.raises(ChannelClosed, match="goodbye"):
            await channel.submit(b"?")
        await server.close()

    carrier.run(program)


def test_the_rules_are_kept_on_both_layers(ground: Ground) -> None:
    async def program() -> Any:
        server, channel = await pair(ground, lambda request: request)
        with pytest.raises(MessageRefused, match=f"longer than {FRAMING.limit - 18}"):
            await channel.submit(bytes(FRAMING.limit - 17))
        for call in (channel.send(b"?"), channel.receive()):
            with pytest.raises(UsageError, match="an exchange"):
                await call
        await channel.close()
        with ground.client:
            stranger = await long.connect(ground.address, server.port, FRAMING, QUICK)
        await stranger.send(b"garbage that is no request")
        with pytest.raises(PeerLost):
            await stranger.receive()
        await stranger.wait_lost()
        await server.close()
        with pytest.raises(UsageError, match="a queue of 64 does not hold 64 requests"):
            LongExchange(FRAMING, LifeSettings(queue=64))
        return dict(server.errors)

    assert ground.run(program) == {ProtocolError.__name__: 1}
