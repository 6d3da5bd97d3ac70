"""The liveness check over TCP and on long connections, on every ground: silent peers, floods, bytes that mean nothing."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from synfin.channels import aio, blocking, livenessaio, livenessblocking, long
from synfin.channels.errors import ChannelClosed, MessageTooLong, PeerLost
from synfin.channels.framing import LengthHeader
from synfin.channels.life import HEAD, LifeSettings
from synfin.channels.liveness import ANSWER, LAST, QUESTION, SECOND, Learned, Message, Outcome, Resting
from synfin.channels.livenessaio import FRAMING, LivelyChannel, TcpPeer
from synfin.channels.livenesslife import LIVENESS
from tests.channels.grounds import Ground, SimGround

PORT = 7007
LONG = LengthHeader(4)


def port(ground: Ground) -> int:
    return PORT if ground.virtual else 0


async def ended(server: aio.MessageServer) -> None:
    """Every connection's handler has returned."""
    while server.connections:
        await asyncio.sleep(0.01)


async def listening(ground: Ground, handler: Callable[[TcpPeer], Awaitable[None]]) -> aio.MessageServer:
    with ground.server:
        return await livenessaio.listen_tcp(ground.address, port(ground), handler=handler)


def test_the_side_that_listens_may_ask_first(ground: Ground) -> None:
    async def ask(peer: TcpPeer) -> None:
        found.append((await peer.check()).outcome)
        found.append((await peer.check()).outcome)
        await peer.wait_ended()

    found: list[Outcome | None] = []
    told: list[Outcome | None] = []

    async def program() -> None:
        server = await listening(ground, ask)
        with ground.client:
            peer = await livenessaio.connect_tcp(
                ground.address, server.port, lambda _, one: told.append(one.outcome), timeout=5
            )
        while told.count(Outcome.BOTH) < 2:
            await asyncio.sleep(0.01)
        await peer.close()
        await ended(server)
        await server.close()

    ground.run(program)
    assert found == [Outcome.BOTH] * 2
    assert told == [None, Outcome.BOTH] * 2


def test_both_that_ask_over_tcp_both_know_both_directions(ground: Ground) -> None:
    counts: list[Any] = []

    async def ask(peer: TcpPeer) -> None:
        assert (await peer.check()).outcome is Outcome.BOTH
        await peer.wait_ended()
        counts.append(peer.checker.liveness.counts)

    async def program() -> None:
        server = await listening(ground, ask)
        with ground.client:
            peer = await livenessaio.connect_tcp(ground.address, server.port, timeout=5)
        assert (await peer.check()).outcome is Outcome.BOTH
        await asyncio.sleep(0.1)
        await peer.close()
        await ended(server)
        await server.close()
        counts.append(peer.checker.liveness.counts)

    ground.run(program)
    for each in counts:
        assert (each.down, each.unconfirmed, each.wrong, each.late) == (0, 0, 0, 0)
        assert each.confirmed in (1, 2)  # two where the one's question came after its own check had ended


def test_a_peer_that_answers_nothing_is_a_path_that_is_down_then_the_rest_then_it_is_asked_again(ground: Ground) -> None:
    questions: list[Message | None] = []

    async def listen(stream: aio.MessageStream) -> None:
        questions.extend([Message.unpack(message) async for message in stream])

    async def program() -> Any:
        with ground.server:
            server = await aio.serve(listen, ground.address, port(ground), FRAMING)
        with ground.client:
            peer = await livenessaio.connect_tcp(ground.address, server.port, patience=0.2, rest=0.3, timeout=5)
        loop = asyncio.get_running_loop()
        began = loop.time()
        first = await peer.check()
        took = loop.time() - began
        with pytest.raises(Resting):
            await peer.check()
        assert peer.ask() is False
        await asyncio.sleep(0.3)
        second = await peer.check()
        await peer.close()
        await ended(server)
        await server.close()
        return took, first.outcome, second.outcome

    took, *outcomes = ground.run(program)
    assert outcomes == [Outcome.DOWN] * 2
    assert took == pytest.approx(0.2, abs=1e-6 if ground.virtual else 0.2)
    assert len({each.asks for each in questions if each and each.kind == QUESTION}) == len(questions) == 2  # fresh numbers


def test_an_asker_that_never_says_the_third_leaves_the_answerer_unconfirmed_and_resting(ground: Ground) -> None:
    learned: list[Learned] = []

    async def rest(peer: TcpPeer) -> None:
        while len(learned) < 2:
            await asyncio.sleep(0.01)
        with pytest.raises(Resting):
            await peer.check()
        await peer.wait_ended()

    async def program() -> None:
        with ground.server:
            server = await livenessaio.listen_tcp(
                ground.address, port(ground), lambda _, one: learned.append(one), patience=0.2, rest=60, handler=rest
            )
        with ground.client:
            stream = await aio.connect(ground.address, server.port, FRAMING)
        stream.send(Message(QUESTION, None, 7).pack())
        answer = Message.unpack(await stream.receive(5))
        assert answer is not None and (answer.kind, answer.answers) == (ANSWER, 7)
        await asyncio.sleep(0.5)
        stream.send(Message(LAST, answer.asks, None).pack())  # late, and changes nothing
        await asyncio.sleep(0.1)
        await stream.close()
        await ended(server)
        await server.close()
        assert not server.errors

    ground.run(program)
    assert [(one.knowledge.hears, one.knowledge.heard, one.outcome) for one in learned] == [
        (True, False, None), (True, False, Outcome.UNCONFIRMED),
    ]  # fmt: skip


def test_wrong_numbers_and_garbage_are_counted_and_a_length_that_is_too_long_ends_the_connection(ground: Ground) -> None:
    ends: list[Any] = []

    async def wait(peer: TcpPeer) -> None:
        await peer.wait_ended()
        counts = peer.checker.liveness.counts
        ends.append((counts.garbage, counts.wrong, counts.repeated))
        with pytest.raises(MessageTooLong) as caught:
            await peer.check()
        ends.append((caught.value.offset, caught.value.limit, caught.value.length))

    async def program() -> None:
        server = await listening(ground, wait)
        with ground.client:
            _, writer = await asyncio.open_connection(ground.address, server.port)
        question = Message(QUESTION, None, 1).pack()
        said = (question, b"2+2?", question, Message(LAST, 5, None).pack(), Message(ANSWER, 1, 5).pack(), b"")
        writer.write(b"".join(map(FRAMING.encode, said)) + b"\xff")
        while server.connections or not ends:
            await asyncio.sleep(0.01)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await server.close()

    ground.run(program)
    assert ends == [(2, 2, 1), (13 + 4 + 13 + 13 + 21 + 0 + 6, 21, 255)]


# Floods


def deaf(stream: aio.MessageStream) -> None:
    """It reads nothing, and its socket holds little."""
    stream.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    stream.transport.pause_reading()


def test_a_peer_that_asks_on_and_on_and_reads_nothing_costs_no_memory(ground: Ground) -> None:
    most: list[tuple[int, int]] = []
    asked: list[TcpPeer] = []

    async def measure(peer: TcpPeer) -> None:
        peer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        asked.append(peer)
        held = 0
        while not peer._over.done():
            held = max(held, peer.unsent)
            await asyncio.sleep(0.01)
        most.append((held, peer.dropped))

    async def program() -> None:
        server = await listening(ground, measure)
        with ground.client:
            stream = await aio.connect(ground.address, server.port, FRAMING, queue=1)
        deaf(stream)
        for number in range(20_000):
            stream.send(Message(QUESTION, None, number).pack())
            if number % 1000 == 0:
                await stream.drain()
        while not (asked and asked[0].dropped):
            await asyncio.sleep(0.01)
        stream.abort()
        await stream.wait_lost()
        await ended(server)
        await server.close()

    ground.run(program)
    ((held, dropped),) = most
    assert dropped > 0
    assert held <= 65_536 + 262_144  # the transport's high-water mark, and what one read made us say


def test_on_a_long_connection_such_a_flood_costs_no_memory_either(ground: Ground) -> None:
    most: list[tuple[int, int]] = []
    asked: list[LivelyChannel] = []

    async def measure(channel: LivelyChannel) -> None:
        channel.wire.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        asked.append(channel)
        held = 0
        while channel.life.error is None:
            held = max(held, channel.wire.unsent)
            await asyncio.sleep(0.01)
        most.append((held, channel.dropped))

    async def program() -> None:
        with ground.server:
            server = await livenessaio.serve_lively(measure, ground.address, port(ground), LONG)
        with ground.client:
            stream = await aio.connect(ground.address, server.port, LONG, queue=1)
        deaf(stream)
        for number in range(20_000):
            stream.send(HEAD.pack(LIVENESS, 0) + Message(QUESTION, None, number).pack())
            if number % 1000 == 0:
                await stream.drain()
        while not (asked and asked[0].dropped):
            await asyncio.sleep(0.01)
        stream.abort()
        await stream.wait_lost()
        await ended(server)
        await server.close()

    ground.run(program)
    ((held, dropped),) = most
    assert dropped > 0
    assert held <= 65_536 + 400_000  # ... each answer is 8 bytes longer than its question


def test_a_thread_that_listens_is_back_in_time_whatever_the_peer_does_not_read() -> None:
    ground = SimGround()  # virtual time: to the millisecond

    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))
        with ground.client:
            sock = socket.create_connection((ground.address, PORT))
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        peer = livenessblocking.over_messages(blocking.MessageSocket(accepted, FRAMING))

        def flood() -> None:
            with contextlib.suppress(OSError):
                sock.setblocking(True)
                for number in range(20_000):
                    sock.sendall(FRAMING.encode(Message(QUESTION, None, number).pack()))

        thread = threading.Thread(target=flood)
        thread.start()
        began = ground.world.now
        with contextlib.suppress(PeerLost, ChannelClosed):
            for _ in peer.listen(12):
                pass
        took = ground.world.now - began
        sock.close()
        accepted.close()
        thread.join()
        listener.close()
        return took, peer.dropped

    took, dropped = ground.run_blocking(program)
    assert took <= 12.01
    assert dropped >= 1


# Doubt


def test_a_silence_longer_than_doubt_after_is_doubted_on_every_ground(ground: Ground) -> None:
    learned: list[Learned] = []
    settings = LifeSettings(interval=1000 * SECOND)

    async def hold(channel: LivelyChannel) -> None:
        async for message in channel:
            await channel.send(message)

    async def program() -> float:
        with ground.server:
            server = await livenessaio.serve_lively(hold, ground.address, port(ground), LONG, settings)
        with ground.client:
            channel = await livenessaio.connect_lively(
                ground.address, server.port, LONG, settings, doubt_after=0.2, told=learned.append, timeout=5
            )
        await channel.send(b"1")
        await channel.receive(5)
        began = asyncio.get_running_loop().time()
        while len(learned) < 2:
            await asyncio.sleep(0.01)
        took = asyncio.get_running_loop().time() - began
        await channel.close()
        await ended(server)
        await server.close()
        return took

    took = ground.run(program)
    assert [one.outcome for one in learned] == [Outcome.BOTH] * 2
    assert took == pytest.approx(0.4, abs=0.3)


def test_a_peer_that_does_not_know_the_check_ends_the_connection_and_says_where(ground: Ground) -> None:
    async def plain(channel: long.LongChannel) -> None:
        await channel.receive()

    async def program() -> Any:
        with ground.server:
            server = await long.serve(plain, ground.address, port(ground), LONG)
        with ground.client:
            channel = await livenessaio.connect_lively(ground.address, server.port, LONG, timeout=5)
        with pytest.raises(PeerLost):
            await channel.check()
        channel.abort()
        await channel.wait_lost()
        await ended(server)
        errors = dict(server.errors)
        await server.close()
        return errors

    assert ground.run(program) == {"ProtocolError": 1}


# Threads, in virtual time: silence, partition and reset, each in its time


class Threads:
    """A thread's check over TCP at the client, and the socket that the server has accepted."""

    def __init__(self) -> None:
        self.ground = SimGround()
        self.peer: livenessblocking.BlockingLiveness
        self.accepted: socket.socket

    def run(self, program: Callable[[], Any]) -> Any:
        def opened() -> Any:
            with self.ground.server:
                listener = socket.create_server((self.ground.address, PORT))
            with self.ground.client:
                messages = blocking.connect((self.ground.address, PORT), FRAMING, timeout=5)
            self.accepted, _ = listener.accept()
            self.peer = livenessblocking.over_messages(messages)
            try:
                return program()
            finally:
                messages.close()
                self.accepted.close()
                listener.close()

        return self.ground.run_blocking(opened)


@pytest.mark.parametrize("fault", ["silent program", "cut wire", "silent host"])
def test_a_thread_finds_whatever_does_not_answer_down_after_its_patience_and_rests(fault: str) -> None:
    threads = Threads()

    def program() -> Any:
        if fault == "cut wire":
            threads.ground.wire.cut()
        elif fault == "silent host":
            threads.ground.host.silence()
        began = threads.ground.world.now
        outcome = threads.peer.check().outcome
        took = threads.ground.world.now - began
        with pytest.raises(Resting, match=r"resting for 60\.0 s more"):
            threads.peer.check()
        return outcome, took

    assert threads.run(program) == (Outcome.DOWN, pytest.approx(5.0, abs=0.002))


def test_a_thread_whose_peer_resets_is_told_so_at_once() -> None:
    threads = Threads()

    def reset() -> None:
        time.sleep(1)
        blocking.MessageSocket(threads.accepted, FRAMING).abort()

    def program() -> float:
        thread = threading.Thread(target=reset)
        thread.start()
        began = threads.ground.world.now
        with pytest.raises(PeerLost, match="reset"):
            threads.peer.check()
        thread.join()
        return threads.ground.world.now - began

    assert threads.run(program) == pytest.approx(1.01, abs=0.01)


def test_a_thread_hears_the_question_within_its_check_and_both_know_both_directions() -> None:
    threads = Threads()

    def program() -> Any:
        other = livenessblocking.over_messages(blocking.MessageSocket(threads.accepted, FRAMING))
        found: list[Outcome | None] = []
        thread = threading.Thread(target=lambda: found.append(other.check().outcome))
        thread.start()
        found.append(threads.peer.check().outcome)
        thread.join()
        return found, [each.liveness.counts.asked + each.liveness.counts.answered for each in (threads.peer, other)]

    assert threads.run(program) == ([Outcome.BOTH] * 2, [2, 2])


def test_a_thread_listens_as_long_as_it_said_when_nobody_asks() -> None:
    threads = Threads()

    def program() -> Any:
        began = threads.ground.world.now
        heard = list(threads.peer.listen(7))
        return heard, threads.ground.world.now - began

    assert threads.run(program) == ([], pytest.approx(7.0, abs=0.002))


def test_a_reset_ends_a_check_in_asyncio_and_leaves_no_timer(ground: Ground) -> None:
    async def give_up(peer: TcpPeer) -> None:
        await asyncio.sleep(0.1)
        peer.abort()

    async def program() -> None:
        server = await listening(ground, give_up)
        with ground.client:
            peer = await livenessaio.connect_tcp(ground.address, server.port, timeout=5)
        assert (await peer.check()).outcome is Outcome.BOTH
        await peer.wait_ended()
        with pytest.raises(PeerLost, match="reset by peer"):
            await peer.check()
        await peer.wait_lost()
        await ended(server)
        await server.close()

    ground.run(program)
