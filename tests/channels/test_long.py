"""Long connections: acknowledgments, heartbeat, goodbye, and how each of them ends, in asyncio and with threads.

A test without `ground` has virtual time for its subject: moments to the millisecond, hours of silence, or a fault of the wire.
"""

import asyncio
import random
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin.channels import aio, long, longblocking
from synfin.channels.errors import (
    ChannelTimeout,
    FramingError,
    MessageRefused,
    PeerDead,
    PeerLost,
    ProtocolError,
)
from synfin.channels.framing import Delimiter, FixedSize, LengthHeader
from synfin.channels.heartbeat import NEVER, SECOND
from synfin.channels.life import LifeSettings
from synfin.channels.long import LongChannel
from synfin.engine.errors import UsageError
from synfin.engine.state import State
from tests.channels.grounds import Ground, SimGround

PORT = 7000
FRAMING = LengthHeader(4)
QUICK = LifeSettings(interval=10 * SECOND, timeout=2 * SECOND, misses=3)  # dead after 16 s
BOUND = QUICK.detection / SECOND


async def echo(channel: LongChannel) -> None:
    async for message in channel:
        await channel.send(message)


async def pair(
    ground: Ground, handler: Callable[[LongChannel], Awaitable[None]], settings: LifeSettings = QUICK,
    theirs: LifeSettings | None = None,
) -> tuple[aio.MessageServer, LongChannel]:  # fmt: skip
    with ground.server:
        server = await long.serve(handler, ground.address, PORT if ground.virtual else 0, FRAMING, theirs or settings)
    with ground.client:
        return server, await long.connect(ground.address, server.port, FRAMING, settings, timeout=10)


def test_messages_are_echoed_and_acknowledged_up_to_the_goodbye(ground: Ground) -> None:
    async def program() -> Any:
        server, channel = await pair(ground, echo)
        sent = [bytes([number]) * (number * 100) for number in range(200)]
        asking = asyncio.create_task(receive_all(channel, len(sent)))
        numbers = [await channel.send(message) for message in sent]
        found = await asking
        await channel.flush(timeout=5)
        left = channel.unacknowledged
        await channel.close()
        await server.close()
        return numbers == list(range(1, 201)), found == sent, left, server.errors

    assert ground.run(program) == (True, True, (), {})


async def receive_all(channel: LongChannel, count: int) -> list[bytes]:
    return [await channel.receive() for _ in range(count)]


@pytest.mark.parametrize("delay", [0.0005, 0.01, 0.05, 0.1, 1.0])
def test_a_graceful_close_ends_in_time_wait_at_who_began_it_and_in_no_reset(delay: float) -> None:
    ground = SimGround(delay=delay)

    async def program() -> Any:
        server, channel = await pair(ground, echo)
        await channel.send(b"1+1?")
        assert await channel.receive() == b"1+1?"
        await channel.close()
        await asyncio.sleep(6 * delay + 1)
        stacks = ground.peer.stack, ground.host.stack
        states = [[each.state for each in stack.sockets()] for stack in stacks]
        await server.close()
        return states, [stack.counters.resets_out for stack in stacks], dict(server.errors)

    assert ground.run(program) == ([[State.TIME_WAIT], [State.LISTEN]], [0, 0], {})


def test_closing_delivers_what_is_queued_though_the_reader_is_slow(ground: Ground) -> None:
    taken: list[bytes] = []

    async def slow(channel: LongChannel) -> None:
        async for message in channel:
            await asyncio.sleep(0.002)
            taken.append(message)

    async def program() -> None:
        server, channel = await pair(ground, slow)
        for number in range(300):
            await channel.send(b"%d" % number)
        await channel.close(timeout=20)
        assert channel.unacknowledged == ()
        await server.close()

    ground.run(program)
    assert len(taken) >= 299  # the last one is acknowledged when it is taken, before the reader's pause
    assert taken == [b"%d" % number for number in range(len(taken))]


def test_a_slow_reader_is_alive_and_holds_up_the_sender_at_queue_and_window() -> None:
    ground = SimGround()
    small = LifeSettings(interval=SECOND, timeout=SECOND, misses=1, window=4, queue=8)
    inboxes: list[int] = []

    async def slow(channel: LongChannel) -> None:
        for _ in range(10):
            await asyncio.sleep(20)
            inboxes.append(channel.life.inbox)
            await channel.receive()
        await asyncio.sleep(50)

    async def program() -> Any:
        server, channel = await pair(ground, slow, small)
        for number in range(8):
            await channel.send(b"%d" % number)
        await asyncio.sleep(0)
        assert channel.life.in_flight == 4
        began = ground.world.now
        with pytest.raises(ChannelTimeout, match="no room to send within 5 s"):
            await channel.send(b"too many", timeout=5)
        gave_up = ground.world.now - began
        await channel.send(b"8", timeout=30)
        later = ground.world.now - began
        channel.abort()
        await channel.wait_lost()
        await server.close()
        return gave_up, later

    gave_up, later = ground.run(program)
    assert gave_up == pytest.approx(5.0)
    assert later == pytest.approx(20.0, abs=0.1)  # when the first was taken
    assert max(inboxes) <= 4


@pytest.mark.parametrize("fault", ["silence", "cut", "one way"])
def test_a_peer_that_vanishes_without_a_fin_is_dead_within_the_bound_on_either_side(fault: str) -> None:
    ground = SimGround()
    found: dict[str, float] = {}
    why: list[str] = []

    async def wait(channel: LongChannel) -> None:
        assert await channel.receive() == b"hello"
        try:
            await receive_all(channel, 2)
        except PeerLost as error:
            found["server"] = ground.world.now
            why.append(error.what)

    async def program() -> tuple[bytes, ...]:
        server, channel = await pair(ground, wait)
        await channel.send(b"hello")
        await asyncio.sleep(100)  # idle, kept by heartbeats
        assert channel.alive
        at = ground.world.now
        match fault:
            case "silence":
                ground.host.silence()
            case "cut":
                ground.wire.cut()
            case "one way":
                ground.wire.cut(direction="server->client")
        await channel.send(b"never taken")
        with pytest.raises(PeerDead) as caught:
            await channel.receive()
        found["client"] = ground.world.now - at
        await asyncio.sleep(BOUND)
        found["server"] -= at
        await channel.wait_lost()
        await server.close()
        return caught.value.unacknowledged

    assert ground.run(program) == (b"never taken",)
    assert 0 < found["client"] <= BOUND
    assert 0 < found["server"] <= BOUND + 0.02  # the last byte was on its way
    # A client that hears nothing resets; where its RST gets through the server learns at once.
    assert ("Connection reset" if fault == "one way" else "and 3 PINGs") in why[0]


def test_heartbeats_are_sent_only_when_idle() -> None:
    ground = SimGround()

    async def program() -> tuple[int, int]:
        server, channel = await pair(ground, echo, theirs=LifeSettings(interval=NEVER))
        for _ in range(50):
            await channel.send(b"busy")
            await channel.receive()
            await asyncio.sleep(5)
        busy = channel.life._pings
        await asyncio.sleep(101)
        idle = channel.life._pings - busy
        await channel.close()
        await server.close()
        return busy, idle

    assert ground.run(program) == (0, 10)


def test_a_host_that_crashes_and_is_back_resets_and_the_unacknowledged_are_told_once() -> None:
    ground = SimGround()
    taken: list[bytes] = []

    async def take(channel: LongChannel) -> None:
        async for message in channel:
            taken.append(message)

    async def program() -> Any:
        server, channel = await pair(ground, take)
        await channel.send(b"1")
        await channel.flush(timeout=1)
        ground.host.crash()
        ground.host.restart()
        await channel.send(b"2")
        await channel.send(b"3")
        with pytest.raises(PeerLost) as caught:
            await channel.receive(timeout=5)
        with pytest.raises(PeerLost):
            await channel.send(b"4")
        await channel.close()  # told already: no error
        await server.close()
        return caught.value.unacknowledged, type(caught.value.__cause__)

    assert ground.run(program) == ((b"2", b"3"), ConnectionResetError)
    assert taken == [b"1"]


def test_closing_on_a_peer_that_takes_nothing_ends_in_time_and_says_what_is_left(ground: Ground) -> None:
    async def program() -> Any:
        server, channel = await pair(ground, lambda channel: asyncio.sleep(1000))
        for number in range(100):
            await channel.send(b"%d" % number)
        began = asyncio.get_running_loop().time()
        with pytest.raises(PeerLost, match=r"not all was acknowledged within 0\.3 s of closing; 100 messages") as caught:
            await channel.close(timeout=0.3)
        took = asyncio.get_running_loop().time() - began
        await server.close()
        return took, caught.value.unacknowledged == tuple(b"%d" % number for number in range(100))

    assert ground.run(program) == (pytest.approx(0.3, abs=1e-9 if ground.virtual else 0.5), True)


def test_a_ping_is_answered(ground: Ground) -> None:
    async def program() -> Any:
        server, channel = await pair(ground, echo)
        trips = [await channel.ping(timeout=5) for _ in range(3)]
        await channel.close()
        await server.close()
        return min(trips) > 0, channel.life.answered

    assert ground.run(program) == (True, 3)


def test_a_ping_measures_the_round_trip() -> None:
    ground = SimGround()

    async def program() -> Any:
        server, channel = await pair(ground, echo)
        trip = await channel.ping(timeout=1)
        ground.host.silence()
        with pytest.raises(ChannelTimeout, match="no answer to a PING within 1 s"):
            await channel.ping(timeout=1)
        channel.abort()
        await channel.wait_lost()
        await server.close()
        return trip

    assert ground.run(program) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("bytes_", "what"),
    [
        (FRAMING.encode(b"\1\0\0"), r"a message of 3 bytes has no kind and number \(message 0"),
        (FRAMING.encode(b"\7" + bytes(8)), r"there is no kind 7 \(message 0"),
        (FRAMING.encode(b"\1" + bytes(7) + b"\2x"), r"DATA 2 where 1 was due"),
        (FRAMING.encode(b"\2" + bytes(7) + b"\1"), r"ACK 1 is not between 0 and 0 \(message 0 of the stream, limit 0\)"),
        (FRAMING.encode(b"\4" + bytes(7) + b"\5"), r"PONG 5 answers a PING that was never sent"),
        (FRAMING.encode(b"\5" + bytes(7) + b"\1"), r"GOODBYE after 1 DATA, 0 have come"),
        (FRAMING.encode(b"\5" + bytes(8)) + FRAMING.encode(b"\1" + bytes(7) + b"\1"), r"DATA 1 after GOODBYE \(message 1"),
        (FRAMING.encode(b"\5" + bytes(8)) * 2, r"a second GOODBYE \(message 1"),
        (b"\xff" * 100, r"a message of 4294967295 bytes is announced \(at offset 0 of the stream, limit 1048576 bytes\)"),
    ],
)  # fmt: skip
def test_bad_input_ends_the_connection_with_its_place_and_the_limit(ground: Ground, bytes_: bytes, what: str) -> None:
    async def program() -> None:
        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(bytes_)
            await reader.read()
            writer.close()

        with ground.server:
            server = await asyncio.start_server(speak, ground.address, PORT if ground.virtual else 0)
        with ground.client:
            channel = await long.connect(ground.address, server.sockets[0].getsockname()[1], FRAMING, QUICK)
        with pytest.raises((ProtocolError, FramingError), match=what):
            while True:
                await channel.receive(timeout=5)
                assert len(channel.life._inbox) <= 64
        await channel.wait_lost()
        server.close()
        await asyncio.sleep(0.1)

    ground.run(program)


def test_more_than_the_window_is_refused_and_no_more_is_kept(ground: Ground) -> None:
    too_many = b"".join(FRAMING.encode(b"\1" + number.to_bytes(8, "big")) for number in range(1, 200))

    async def program() -> None:
        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(too_many)
            await reader.read()
            writer.close()

        with ground.server:
            server = await asyncio.start_server(speak, ground.address, PORT if ground.virtual else 0)
        with ground.client:
            channel = await long.connect(ground.address, server.sockets[0].getsockname()[1], FRAMING, QUICK)
        while channel.life.error is None:
            await asyncio.sleep(0.01)
        assert channel.life.inbox == 64
        await receive_all(channel, 64)
        with pytest.raises(ProtocolError, match=r"DATA 65 while 0 is acknowledged \(message 64 of the stream, limit 64\)"):
            await channel.receive()
        server.close()
        await asyncio.sleep(0.1)

    ground.run(program)


@pytest.mark.parametrize("framing", [Delimiter(b"\n"), FixedSize(20), LengthHeader(4, limit=8)])
def test_a_framing_that_cannot_carry_the_control_messages_is_refused(framing: Any) -> None:
    async def program() -> None:
        with pytest.raises(UsageError, match="a long connection needs a framing with a length header and a limit of 9"):
            LongChannel(framing)

    asyncio.run(program())


def test_a_message_too_long_for_the_limit_is_refused_at_once(ground: Ground) -> None:
    async def program() -> None:
        server, channel = await pair(ground, echo)
        with pytest.raises(MessageRefused, match="a message of 1048568 bytes is longer than 1048567"):
            await channel.send(bytes(1048568))
        await channel.send(bytes(1048567))
        assert len(await channel.receive()) == 1048567
        await channel.close()
        await server.close()

    ground.run(program)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.lists(st.integers(0, 40_000), min_size=1, max_size=20),
    st.sampled_from([0.0, 0.02, 0.15]), st.sampled_from([0.0, 0.3]), st.integers(1, 8),
)  # fmt: skip
def test_any_messages_over_loss_and_reordering_come_once_and_in_order(
    seed: int, sizes: list[int], loss: float, reorder: float, window: int
) -> None:
    ground = SimGround(seed, loss=loss, reorder=reorder, duplicate=0.05)
    draw = random.Random(seed)
    sent = [draw.randbytes(size) for size in sizes]
    patient = LifeSettings(interval=100 * SECOND, timeout=100 * SECOND, window=window, queue=window + 3)

    async def program() -> list[bytes]:
        server, channel = await pair(ground, echo, patient)
        receiving = asyncio.create_task(receive_all(channel, len(sent)))
        for message in sent:
            await channel.send(message)
        found = await receiving
        await channel.close(timeout=1000)
        await server.close()
        return found

    assert ground.run(program) == sent


# --- with threads


def serving(listener: socket.socket, settings: LifeSettings, count: int) -> None:
    accepted, _ = listener.accept()
    channel = longblocking.LongSocket(accepted, FRAMING, settings)
    try:
        for number, message in enumerate(channel):
            channel.send(message)
            if number == count:
                break
        channel.close()
    except PeerLost:
        channel.abort()


def blocking_pair(
    ground: Ground, settings: LifeSettings = QUICK
) -> tuple[threading.Thread, longblocking.LongSocket, socket.socket]:
    with ground.server:
        listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
        thread = threading.Thread(target=serving, args=(listener, settings, 10_000))
        thread.start()
    with ground.client:
        return thread, longblocking.connect(listener.getsockname(), FRAMING, settings, timeout=5), listener


def test_threads_exchange_over_a_long_connection_and_close_it(ground: Ground) -> None:
    def program() -> Any:
        thread, channel, listener = blocking_pair(ground)
        sent = [bytes([number]) * (1 + number * 300) for number in range(150)]
        found: list[bytes] = []
        receiver = threading.Thread(target=lambda: found.extend(channel.receive(10) for _ in sent))
        receiver.start()
        for message in sent:
            channel.send(message, 10)
        receiver.join()
        trip = channel.ping(5)
        channel.close()
        thread.join()
        listener.close()
        return found == sent, channel.unacknowledged, trip > 0

    assert ground.run_blocking(program) == (True, (), True)


def test_threads_learn_of_a_dead_peer_within_the_bound() -> None:
    ground = SimGround()

    def program() -> Any:
        thread, channel, listener = blocking_pair(ground)
        channel.send(b"a")
        assert channel.receive(5) == b"a"
        time.sleep(100)  # idle, kept by heartbeats
        assert channel.alive
        began = time.monotonic()
        ground.host.silence()
        channel.send(b"b")
        with pytest.raises(PeerDead) as caught:
            channel.receive()
        took = time.monotonic() - began
        channel.close()
        thread.join()
        listener.close()
        return caught.value.unacknowledged, 0 < took <= BOUND

    assert ground.run_blocking(program) == ((b"b",), True)


def test_a_thread_that_closes_on_a_silent_peer_is_back_in_time() -> None:
    ground = SimGround()

    def program() -> Any:
        thread, channel, listener = blocking_pair(ground)
        channel.send(b"heard")
        channel.receive(5)
        channel.flush(5)
        ground.host.silence()
        channel.send(b"never")
        began = time.monotonic()
        with pytest.raises(PeerLost, match="not all was acknowledged within 2 s of closing; 1 message not") as caught:
            channel.close(timeout=2)
        took = time.monotonic() - began
        thread.join()
        listener.close()
        return caught.value.unacknowledged, took

    assert ground.run_blocking(program) == ((b"never",), pytest.approx(2.0, abs=0.01))
