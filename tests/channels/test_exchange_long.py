"""Exchange on a long connection: pipelined, watched by a heartbeat, drained by a goodbye.

What is about faults or exact times runs in virtual time only: those tests make a SimGround themselves."""

import asyncio
from typing import Any

import pytest

from synfin.channels import aio, exchangelong, long
from synfin.channels.errors import ChannelClosed, ChannelTimeout, MessageRefused, PeerDead, PeerLost, ProtocolError
from synfin.channels.exchange import HEAD, REQUEST, RequestFailed
from synfin.channels.exchangelong import LongExchange
from synfin.channels.framing import LengthHeader
from synfin.channels.heartbeat import SECOND
from synfin.channels.life import DATA, LifeSettings
from synfin.channels.life import HEAD as LIFE_HEAD
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
        with pytest.raises(UsageError, match="a queue of 143 does not hold 64 requests, as many answers"):
            LongExchange(FRAMING, LifeSettings(queue=143))
        return dict(server.errors)

    assert ground.run(program) == {ProtocolError.__name__: 1}


def test_after_a_partition_late_answers_are_dropped_and_the_next_call_gets_its_own() -> None:
    ground = SimGround()

    async def program() -> Any:
        server, channel = await pair(ground, lambda request: b"to " + request)
        await channel.ask(b"there")
        ground.wire.cut()
        began, times = ground.world.now, []
        for number in range(3):
            with pytest.raises(ChannelTimeout):
                await channel.ask(b"%d" % number, timeout=1)
            times.append(ground.world.now - began)
        ground.wire.heal()
        answer = await channel.ask(b"next", timeout=60)
        await channel.close()
        await server.close()
        return times, answer, channel.exchange.late, channel.in_flight

    assert ground.run(program) == ([1.0, 2.0, 3.0], b"to next", 3, 0)


def test_a_peer_that_reads_nothing_costs_each_call_its_timeout_and_is_dead_within_the_bound() -> None:
    ground = SimGround()

    async def program() -> Any:
        made: list[asyncio.StreamWriter] = []

        def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            made.append(writer)

        with ground.server:
            server = await asyncio.start_server(accept, ground.address, PORT)
        with ground.client:
            channel = await exchangelong.connect(ground.address, PORT, FRAMING, QUICK, limit=8)
        began = ground.world.now
        calls = [await channel.submit(bytes(100_000)) for _ in range(8)]
        with pytest.raises(ChannelTimeout, match="no answer within 2 s"):
            await channel.ask(b"no room", timeout=2)
        gave_up, kept = ground.world.now - began, len(channel.unacknowledged)
        found = await asyncio.gather(*calls, return_exceptions=True)
        ended = ground.world.now - began
        await channel.close()
        made[0].transport.abort()
        server.close()
        await server.wait_closed()
        return gave_up, kept, {type(each) for each in found}, ended

    gave_up, kept, kinds, ended = ground.run(program)
    assert (gave_up, kept, kinds) == (2.0, 8, {PeerDead})
    assert ended <= QUICK.detection / SECOND


@pytest.mark.parametrize("asks_back", [False, True])
def test_a_peer_that_acknowledges_nothing_is_refused_when_the_queue_is_full(asks_back: bool) -> None:
    ground, settings = SimGround(), LifeSettings(window=4, queue=9)

    async def program() -> Any:
        made: list[LongExchange] = []

        async def later(request: bytes) -> bytes:
            await asyncio.sleep(0.01)
            return request

        handler = later if asks_back else (lambda request: request)
        with ground.server:
            server = await asyncio.get_running_loop().create_server(
                lambda: LongExchange(FRAMING, settings, handler, limit=4, made=made.append).wire, ground.address, PORT
            )
        with ground.client:
            stream = await aio.connect(ground.address, PORT, FRAMING)
        await asyncio.sleep(0.1)
        asked = [asyncio.create_task(made[0].ask(b"?")) for _ in range(2 if asks_back else 0)]
        sent = 0
        with pytest.raises(PeerLost):
            for number in range(1, 101):
                stream.send(LIFE_HEAD.pack(DATA, number) + HEAD.pack(REQUEST, number))
                await asyncio.sleep(0.1)
                sent = number
        with pytest.raises(ProtocolError) as caught:
            await made[0].wait_ended()
        told = await asyncio.gather(*asked, return_exceptions=True)
        stream.abort()
        await made[0].wait_lost()
        server.close()
        await server.wait_closed()
        return sent, str(caught.value), len(made[0].unacknowledged), [type(error) for error in told]

    sent, said, kept, told = ground.run(program)
    count = 8 if asks_back else 10
    assert (sent, kept) == (count, 9)
    assert said == f"9 messages are not acknowledged (message {count} of the stream, limit 9)"
    assert told == [ProtocolError] * (2 if asks_back else 0)


def test_who_asks_while_the_peer_has_acknowledged_nothing_is_told_why_it_ends() -> None:
    ground, settings = SimGround(), LifeSettings(window=4, queue=9)

    async def program() -> str:
        made: list[LongExchange] = []
        with ground.server:
            server = await asyncio.get_running_loop().create_server(
                lambda: LongExchange(FRAMING, settings, bytes, limit=4, made=made.append).wire, ground.address, PORT
            )
        with ground.client:
            stream = await aio.connect(ground.address, PORT, FRAMING)
        for number in range(1, 10):
            stream.send(LIFE_HEAD.pack(DATA, number) + HEAD.pack(REQUEST, number))
            await asyncio.sleep(0.1)
        with pytest.raises(ProtocolError) as caught:
            await made[0].ask(b"?", timeout=5)
        stream.abort()
        await made[0].wait_lost()
        server.close()
        await server.wait_closed()
        return caught.value.what

    assert ground.run(program) == "9 messages are not acknowledged"


@pytest.mark.parametrize(("window", "limit"), [(64, 64), (64, 16), (16, 64), (1, 1), (5, 3)])
def test_the_smallest_queue_is_enough_for_two_that_ask_each_other_all_the_time(window: int, limit: int) -> None:
    ground = SimGround(5)
    settings = LifeSettings(window=window, queue=max(window, 2 * limit + window // 4))

    async def program() -> int:
        made: list[LongExchange] = []
        with ground.server:
            server = await asyncio.get_running_loop().create_server(
                lambda: LongExchange(FRAMING, settings, bytes, limit=limit, made=made.append).wire, ground.address, PORT
            )
        with ground.client:
            channel = await exchangelong.connect(ground.address, PORT, FRAMING, settings, bytes, limit=limit)
        await asyncio.sleep(0.1)
        calls = [side.ask(b"%d" % number) for number in range(1000) for side in (channel, made[0])]
        answers = await asyncio.gather(*calls)
        channel.abort()
        await made[0].wait_lost()
        await channel.wait_lost()
        server.close()
        await server.wait_closed()
        assert answers == [b"%d" % number for number in range(1000) for _ in range(2)]
        return channel.life.error is not None

    assert ground.run(program)


@pytest.mark.parametrize("seed", range(1, 4))
def test_over_loss_and_reordering_every_call_gets_its_own_answer(seed: int) -> None:
    ground = SimGround(seed, loss=0.1, reorder=0.1, duplicate=0.05)

    async def later(request: bytes) -> bytes:
        await asyncio.sleep(len(request) % 7 / 100)
        return request[::-1]

    async def program() -> list[bytes]:
        server, channel = await pair(ground, later, limit=4)
        answers = await asyncio.gather(*(channel.ask(b"%d " % number * 300) for number in range(40)))
        await channel.close(300)
        await asyncio.sleep(300)
        await server.close()
        return answers

    assert ground.run(program) == [(b"%d " % number * 300)[::-1] for number in range(40)]


@pytest.mark.parametrize("after", [0.0, 0.015, 0.03, 0.045, 0.055, 0.06, 0.065, 0.07, 0.1])
def test_closing_while_answers_are_on_their_way_is_an_orderly_end_for_both(after: float) -> None:
    ground = SimGround()

    async def slow(request: bytes) -> bytes:
        await asyncio.sleep(0.04 + request[0] / 500)
        return request

    async def program() -> Any:
        server, channel = await pair(ground, slow)
        calls = [await channel.submit(bytes([number])) for number in range(10)]
        await asyncio.sleep(after)
        await channel.close()
        await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.sleep(1)
        left, errors = server.connections, dict(server.errors)
        await server.close()
        return left, errors, ground.peer.stack.counters.resets_out, ground.host.stack.counters.resets_out

    assert ground.run(program) == (0, {}, 0, 0)
