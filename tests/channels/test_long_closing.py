"""Both sides of a long connection close at once, or nearly: orderly on both, by FIN, whatever was queued, however bad the wire.

Virtual time, because the moments of closing are set to the tenth of a millisecond and the wire loses on purpose; and without
moments on all grounds. asyncio beside threads that block runs in a world and over the kernel; on TUNs a run has one of the two.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from synfin.channels import long, longblocking
from synfin.channels.errors import ChannelClosed, PeerLost
from synfin.channels.framing import LengthHeader
from synfin.channels.heartbeat import SECOND
from synfin.channels.life import LifeSettings
from synfin.channels.long import LongChannel
from synfin.channels.longblocking import LongSocket
from synfin.sim import world_threads
from tests.channels.grounds import Ground, KernelGround, SimGround

PORT = 7000
FRAMING = LengthHeader(4)
PATIENT = LifeSettings(interval=100 * SECOND, timeout=100 * SECOND)
MESSAGES = [b"%d" % number * 50 for number in range(30)]
ENOUGH = 200.0  # seconds for closing over a wire that loses

LAGS = [0.0, 0.0001, 0.005, 0.01, 0.0101, 0.02, 0.0201, 0.03]  # of the second close behind the first; the wire takes 0.01
WIRES = [{}, {"delay": 0.1}, {"delay": 0.0005}, {"loss": 0.1}, {"loss": 0.25, "jitter": 0.02}]


def resets(ground: SimGround) -> tuple[int, int]:
    return ground.host.stack.counters.resets_out, ground.peer.stack.counters.resets_out


async def take_all(channel: LongChannel, into: list[bytes]) -> None:
    with contextlib.suppress(ChannelClosed):
        async for message in channel:
            into.append(message)


def socket_take_all(channel: LongSocket, into: list[bytes]) -> None:
    with contextlib.suppress(ChannelClosed):
        into.extend(channel)


def ends(*lives: Any) -> list[Any]:
    """How each side sees the end."""
    return [(type(life.error), life.unacknowledged) for life in lives]


ORDERLY = (ChannelClosed, ())


async def both_in_asyncio(ground: SimGround, messages: list[bytes], lag: float) -> list[Any]:
    accepted: asyncio.Future[LongChannel] = asyncio.get_running_loop().create_future()

    async def hold(channel: LongChannel) -> None:
        accepted.set_result(channel)
        await asyncio.sleep(10_000)

    with ground.server:
        server = await long.serve(hold, ground.address, PORT, FRAMING, PATIENT)
    with ground.client:
        channel = await long.connect(ground.address, PORT, FRAMING, PATIENT)
    sides = [channel, await accepted]
    took: list[list[bytes]] = [[], []]
    readers = [asyncio.create_task(take_all(*each)) for each in zip(sides, took, strict=True) if messages]

    async def leave(side: LongChannel, after: float) -> float:
        for message in messages:
            await side.send(message)
        await asyncio.sleep(after)
        began = ground.world.now
        await side.close(ENOUGH)
        return float(ground.world.now - began)

    closing = await asyncio.gather(leave(sides[0], 0), leave(sides[1], lag))
    await asyncio.gather(*readers)
    await server.close()
    return [ends(*(side.life for side in sides)), took, closing]


def in_threads(ground: SimGround, messages: list[bytes], lag: float) -> list[Any]:
    with ground.server:
        listener = socket.create_server((ground.address, PORT))
    with ground.client:
        sides = [longblocking.connect((ground.address, PORT), FRAMING, PATIENT)]
    sides.append(LongSocket(listener.accept()[0], FRAMING, PATIENT))
    took: list[list[bytes]] = [[], []]
    readers = [threading.Thread(target=socket_take_all, args=each) for each in zip(sides, took, strict=True) if messages]
    closing = [0.0, 0.0]

    def leave(place: int, after: float) -> None:
        for message in messages:
            sides[place].send(message)
        time.sleep(after)
        began = ground.world.now
        sides[place].close(ENOUGH)
        closing[place] = float(ground.world.now - began)

    leaving = [threading.Thread(target=leave, args=each) for each in enumerate((0, lag))]
    for thread in readers + leaving:
        thread.start()
    for thread in readers + leaving:
        thread.join()
    listener.close()
    return [ends(*(side.life for side in sides)), took, closing]


@pytest.mark.parametrize("wire", WIRES, ids=str)
@pytest.mark.parametrize("form", ["asyncio", "threads"])
@pytest.mark.parametrize("queued", [False, True], ids=["nothing queued", "queued"])
def test_both_sides_that_close_at_once_end_orderly_and_without_a_reset(wire: dict[str, float], form: str, queued: bool) -> None:
    messages = MESSAGES if queued else []
    for seed, lag in enumerate(LAGS):
        ground = SimGround(seed, **wire)
        if form == "asyncio":
            how, took, closing = ground.run(partial(both_in_asyncio, ground, messages, lag))
        else:
            how, took, closing = ground.run_blocking(partial(in_threads, ground, messages, lag))
        assert how == [ORDERLY, ORDERLY], (seed, lag)
        assert took == [messages, messages], (seed, lag)
        assert resets(ground) == (0, 0), (seed, lag)
        if not wire.get("loss"):
            delay = wire.get("delay", 0.01)
            assert max(closing) <= 6 * delay + 0.001, (seed, lag)  # three round trips: the last ACK, PING and PONG, both FINs


def mixed_thread(address: tuple[str, int], messages: list[bytes], lag: float, took: list[bytes], lives: list[Any]) -> None:
    channel = longblocking.connect(address, FRAMING, PATIENT, timeout=ENOUGH)
    lives.append(channel.life)
    reader = threading.Thread(target=socket_take_all, args=(channel, took))
    reader.start()
    for message in messages:
        channel.send(message)
    time.sleep(0.2 + lag)
    channel.close(ENOUGH)
    reader.join()


async def mixed(ground: Ground, messages: list[bytes], lag: float, call: Callable[..., Awaitable[None]]) -> Any:
    """`call` runs a function in a thread. The asyncio side closes `lag` later than the thread's, or sooner where it is < 0."""
    took: list[list[bytes]] = [[], []]
    lives: list[Any] = []

    async def leave(channel: LongChannel) -> None:
        lives.append(channel.life)
        reader = asyncio.create_task(take_all(channel, took[1]))
        for message in messages:
            await channel.send(message)
        await asyncio.sleep(0.2 + max(0, lag))
        await channel.close(ENOUGH)
        await reader

    with ground.server:
        server = await long.serve(leave, ground.address, PORT if ground.virtual else 0, FRAMING, PATIENT)
    with ground.client:
        await call(mixed_thread, (ground.address, server.port), messages, max(0, -lag), took[0], lives)
    while server.connections:
        await asyncio.sleep(0.01)
    await server.close()
    return ends(*lives), took, dict(server.errors)


@pytest.mark.parametrize("queued", [False, True], ids=["nothing queued", "queued"])
@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_asyncio_and_threads_close_towards_each_other_in_a_world(wire: dict[str, float], queued: bool) -> None:
    messages = MESSAGES if queued else []
    for seed, lag in enumerate([*LAGS, *[-each for each in LAGS]]):
        ground = SimGround(seed, **wire)

        async def program(ground: SimGround = ground, lag: float = lag) -> Any:
            with world_threads(ground.world) as threads:
                return await mixed(ground, messages, lag, threads.call)

        assert ground.run(program) == ([ORDERLY, ORDERLY], [messages, messages], {}), (seed, lag)
        assert resets(ground) == (0, 0), (seed, lag)


@pytest.mark.parametrize("queued", [False, True], ids=["nothing queued", "queued"])
@pytest.mark.parametrize("lag", [-0.005, 0, 0.005])
def test_asyncio_and_threads_close_towards_each_other_over_the_kernel(lag: float, queued: bool) -> None:
    messages = MESSAGES if queued else []

    async def program() -> Any:
        found = await mixed(KernelGround(), messages, lag, asyncio.to_thread)
        await asyncio.get_running_loop().shutdown_default_executor()
        return found

    assert KernelGround().run(program) == ([ORDERLY, ORDERLY], [messages, messages], {})


def test_both_sides_may_close_at_once(ground: Ground) -> None:
    async def program() -> Any:
        ready = asyncio.Event()
        lives = []

        async def leave(channel: LongChannel) -> None:
            lives.append(channel.life)
            await ready.wait()

        with ground.server:
            server = await long.serve(leave, ground.address, PORT if ground.virtual else 0, FRAMING)
        with ground.client:
            channel = await long.connect(ground.address, server.port, FRAMING, timeout=10)
        while not lives:
            await asyncio.sleep(0.01)
        ready.set()
        began = asyncio.get_running_loop().time()
        await channel.close()
        took = asyncio.get_running_loop().time() - began
        while server.connections:
            await asyncio.sleep(0.01)
        await server.close()
        return dict(server.errors), ends(channel.life, *lives), took < 2

    assert ground.run(program) == ({}, [ORDERLY, ORDERLY], True)


def test_both_sides_of_threads_may_close_at_once(ground: Ground) -> None:
    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
        with ground.client:
            channel = longblocking.connect(listener.getsockname(), FRAMING, timeout=5)
        other = LongSocket(listener.accept()[0], FRAMING)
        thread = threading.Thread(target=other.close)
        thread.start()
        began = time.monotonic()
        channel.close()
        thread.join()
        took = time.monotonic() - began
        listener.close()
        return ends(channel.life, other.life), took < 2

    assert ground.run_blocking(program) == ([ORDERLY, ORDERLY], True)


@pytest.mark.parametrize("form", ["asyncio", "threads"])
def test_what_nobody_takes_when_both_close_is_told_on_both_sides_at_the_end_of_their_time(form: str) -> None:
    ground = SimGround()  # the bound is exact in virtual time

    async def program() -> Any:
        other: list[LongChannel] = []

        async def hold(channel: LongChannel) -> None:
            other.append(channel)
            await asyncio.sleep(1000)

        with ground.server:
            server = await long.serve(hold, ground.address, PORT, FRAMING)
        with ground.client:
            channel = await long.connect(ground.address, PORT, FRAMING)
        await asyncio.sleep(1)
        sides = [channel, *other]
        for side in sides:
            await side.send(b"for nobody")
        found = await asyncio.gather(*(side.close(3) for side in sides), return_exceptions=True)
        at = ground.world.now
        await server.close()
        return [(type(each), each.unacknowledged) for each in found if isinstance(each, PeerLost)], at

    def threads() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))
        with ground.client:
            sides = [longblocking.connect((ground.address, PORT), FRAMING)]
        sides.append(LongSocket(listener.accept()[0], FRAMING))
        time.sleep(1 - ground.world.now)
        found: list[Any] = []

        def close(side: LongSocket) -> None:
            try:
                side.close(3)
            except PeerLost as error:
                found.append((type(error), error.unacknowledged))

        for side in sides:
            side.send(b"for nobody")
        closing = [threading.Thread(target=close, args=(side,)) for side in sides]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
        listener.close()
        return found, ground.world.now

    found, at = ground.run(program) if form == "asyncio" else ground.run_blocking(threads)
    assert found == [(PeerLost, (b"for nobody",))] * 2
    assert at == pytest.approx(4.02, abs=0.05)


def test_a_peer_that_never_closes_costs_the_timeout_and_no_error(ground: Ground) -> None:
    async def program() -> Any:
        told: list[Any] = []

        async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            told.append(await reader.read(100))
            told.append(await reader.read(100))
            await asyncio.sleep(0.5)
            writer.close()

        with ground.server:
            server = await asyncio.start_server(deaf, ground.address, PORT if ground.virtual else 0)
        with ground.client:
            channel = await long.connect(ground.address, server.sockets[0].getsockname()[1], FRAMING)
        began = asyncio.get_running_loop().time()
        await channel.close(timeout=0.3)
        took = asyncio.get_running_loop().time() - began
        await asyncio.sleep(0.4)
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.1)
        return told, 0.3 <= took < 0.5

    goodbye = FRAMING.encode(b"\5" + bytes(8))
    assert ground.run(program) == ([goodbye, b""], True)  # a FIN, no reset


def test_closing_without_time_lets_go_at_once_and_in_order_where_all_is_acknowledged(ground: Ground) -> None:
    async def tasks() -> Any:
        told: list[bytes] = []

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            told.append(await reader.read())
            writer.close()

        with ground.server:
            server = await asyncio.start_server(listen, ground.address, PORT if ground.virtual else 0)
        with ground.client:
            channel = await long.connect(ground.address, server.sockets[0].getsockname()[1], FRAMING)
        await channel.close(timeout=0)
        while not told:
            await asyncio.sleep(0.01)
        server.close()
        await asyncio.sleep(0.1)
        return told[0]

    def threads() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
        with ground.client:
            channel = longblocking.connect(listener.getsockname(), FRAMING)
        channel.close(timeout=0)
        with listener, listener.accept()[0] as accepted:
            accepted.settimeout(10)
            return accepted.recv(100) + accepted.recv(100)

    for run, program in ((ground.run, tasks), (ground.run_blocking, threads)):
        assert run(program) == FRAMING.encode(b"\5" + bytes(8))
        if isinstance(ground, SimGround):
            assert resets(ground) == (0, 0)


@pytest.mark.parametrize("form", ["asyncio", "threads"])
def test_a_peer_whose_program_is_busy_elsewhere_answers_the_fin_all_the_same(form: str) -> None:
    ground = SimGround()

    async def tasks() -> Any:
        lives: list[Any] = []

        async def busy(channel: LongChannel) -> None:
            lives.append(channel.life)
            await asyncio.sleep(1000)

        with ground.server:
            server = await long.serve(busy, ground.address, PORT, FRAMING)
        with ground.client:
            channel = await long.connect(ground.address, PORT, FRAMING)
        await asyncio.sleep(1)
        await channel.close()
        at = ground.world.now
        await server.close()
        return at, ends(channel.life, *lives)

    def threads() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))
        with ground.client:
            channel = longblocking.connect((ground.address, PORT), FRAMING)
        other = LongSocket(listener.accept()[0], FRAMING)
        time.sleep(1 - ground.world.now + 0.02)
        channel.close()
        at = ground.world.now
        other.close()
        listener.close()
        return at, ends(channel.life, other.life)

    found = ground.run(tasks) if form == "asyncio" else ground.run_blocking(threads)
    assert found == (pytest.approx(1.04, abs=0.001), [ORDERLY, ORDERLY])
    assert resets(ground) == (0, 0)


def test_what_the_peer_said_before_it_knew_of_the_goodbye_is_taken_and_acknowledged_in_asyncio() -> None:
    """Its messages are on their way when this side, which reads, has nothing left to say and closes."""
    ground = SimGround(delay=0.1)
    took: list[bytes] = []
    ends_of: list[Any] = []

    async def talk(channel: LongChannel) -> None:
        for message in MESSAGES:
            await channel.send(message)
        await channel.close()
        ends_of.append((type(channel.life.error), channel.unacknowledged))

    async def program() -> Any:
        with ground.server:
            server = await long.serve(talk, ground.address, PORT, FRAMING, PATIENT)
        with ground.client:
            channel = await long.connect(ground.address, PORT, FRAMING, PATIENT)
        reader = asyncio.create_task(take_all(channel, took))
        await asyncio.sleep(0.15)  # the server has sent, and nothing has come
        assert took == []
        await channel.close()
        await reader
        while server.connections:
            await asyncio.sleep(0.01)
        await server.close()
        return dict(server.errors), resets(ground)

    assert ground.run(program) == ({}, (0, 0))
    assert (took, ends_of) == (MESSAGES, [ORDERLY])


def test_after_our_fin_the_wire_drops_what_is_still_said() -> None:
    ground = SimGround()

    async def program() -> Any:
        heard: list[bytes] = []

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.read())
            await asyncio.sleep(1)
            writer.close()

        with ground.server:
            server = await asyncio.start_server(listen, ground.address, PORT)
        with ground.client:
            channel = await long.connect(ground.address, PORT, FRAMING)
        closing = asyncio.create_task(channel.close())
        await asyncio.sleep(0.1)
        assert channel.life.left
        channel.wire.say([b"as a liveness check would"])
        await closing
        server.close()
        await asyncio.sleep(1)
        return heard

    assert ground.run(program) == [FRAMING.encode(b"\5" + bytes(8))]


def test_what_the_peer_said_before_it_knew_of_the_goodbye_is_taken_and_acknowledged_in_threads() -> None:
    for seed in range(8):  # who of the reader and the closer runs first, when both are woken
        ground = SimGround(seed, delay=0.1)
        took: list[bytes] = []

        def program(ground: SimGround = ground, took: list[bytes] = took) -> Any:
            with ground.server:
                listener = socket.create_server((ground.address, PORT))
            with ground.client:
                channel = longblocking.connect((ground.address, PORT), FRAMING, PATIENT)
            other = LongSocket(listener.accept()[0], FRAMING, PATIENT)
            reader = threading.Thread(target=socket_take_all, args=(channel, took))
            reader.start()
            time.sleep(0.05)
            for message in MESSAGES:
                other.send(message)
            leaving = threading.Thread(target=other.close)
            leaving.start()
            channel.close()
            reader.join()
            leaving.join()
            listener.close()
            return ends(channel.life, other.life), resets(ground)

        assert ground.run_blocking(program) == ([ORDERLY, ORDERLY], (0, 0)), seed
        assert took == MESSAGES


@pytest.mark.parametrize("form", ["asyncio", "threads"])
def test_who_has_stopped_reading_waits_for_nobody_to_read_when_it_closes(form: str) -> None:
    """One of two messages was received; the other is told to the peer as not acknowledged, at once."""
    ground = SimGround()

    async def tasks() -> Any:
        async def talk(channel: LongChannel) -> None:
            for message in (b"1", b"2"):
                await channel.send(message)
            await channel.close()

        with ground.server:
            server = await long.serve(talk, ground.address, PORT, FRAMING)
        with ground.client:
            channel = await long.connect(ground.address, PORT, FRAMING)
        assert await channel.receive() == b"1"
        await asyncio.sleep(1)
        began = ground.world.now
        await channel.close()
        took = ground.world.now - began
        while server.connections:
            await asyncio.sleep(0.01)
        await server.close()
        return took, dict(server.errors)

    def threads() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))
        with ground.client:
            channel = longblocking.connect((ground.address, PORT), FRAMING)
        other = LongSocket(listener.accept()[0], FRAMING)
        for message in (b"1", b"2"):
            other.send(message)
        told: list[Any] = []

        def leave() -> None:
            try:
                other.close()
            except PeerLost as error:
                told.append(error.unacknowledged)

        leaving = threading.Thread(target=leave)
        leaving.start()
        assert channel.receive() == b"1"
        time.sleep(1)
        began = ground.world.now
        channel.close()
        took = ground.world.now - began
        leaving.join()
        listener.close()
        return took, {"PeerLost": len(told)} if told == [(b"2",)] else told

    took, errors = ground.run(tasks) if form == "asyncio" else ground.run_blocking(threads)
    assert took == pytest.approx(0.02, abs=0.001)  # a round trip: our FIN, the peer's
    assert errors == {"PeerLost": 1}
