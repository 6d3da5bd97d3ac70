"""Simplex and half duplex over bad networks, with slow readers and peers that vanish; in asyncio and with threads."""

import asyncio
import contextlib
import socket
import threading
import time
from typing import Any
from unittest.mock import MagicMock

import pytest

from synfin.channels import aio, blocking, directionaio
from synfin.channels.direction import ASK, DATA, FREE, GIVE, HEAD, InboxFull, TurnLost
from synfin.channels.directionaio import HalfDuplexChannel, Receiver, Sender
from synfin.channels.directionblocking import BlockingHalfDuplex, BlockingReceiver, BlockingSender
from synfin.channels.errors import ChannelClosed, ChannelTimeout, MessageRefused, PeerLost, ProtocolError
from synfin.channels.framing import Delimiter, LengthHeader
from synfin.engine.errors import UsageError
from tests.channels.grounds import Ground, SimGround

PORT = 7000
FRAMING = LengthHeader(4)
BAD = {"loss": 0.05, "jitter": 0.03, "reorder": 0.2}


def port(ground: Ground) -> int:
    return PORT if ground.virtual else 0


@pytest.mark.parametrize("seed", range(1, 6))
def test_over_loss_and_reordering_a_dialogue_is_what_was_said(seed: int) -> None:
    ground = SimGround(seed, **BAD)
    heard: list[bytes] = []

    async def answer(channel: HalfDuplexChannel) -> None:
        for _ in range(20):
            said = [await channel.receive(60) for _ in range(3)]
            heard.extend(said)
            await channel.turn(60)
            channel.say(b"".join(said))
            channel.over()

    async def program() -> list[bytes]:
        with ground.server:
            server = await directionaio.serve(answer, ground.address, PORT, FRAMING, turn_timeout=100)
        with ground.client:
            channel = await directionaio.connect(ground.address, PORT, FRAMING, turn_timeout=100)
        found = []
        for number in range(20):
            await channel.turn(60)
            for part in range(3):
                channel.say(b"%d.%d " % (number, part) * 50)
            channel.over()
            found.append(await channel.receive(60))
        await channel.close(60)
        await server.close()
        assert channel.turns.recovered == 0
        return found

    parts = [b"%d.%d " % (number, part) * 50 for number in range(20) for part in range(3)]
    assert ground.run(program) == [b"".join(parts[at : at + 3]) for at in range(0, 60, 3)]
    assert heard == parts


@pytest.mark.parametrize("seed", range(1, 6))
def test_over_loss_and_reordering_a_simplex_channel_carries_all_in_order(seed: int) -> None:
    ground = SimGround(seed, **BAD)
    heard: list[bytes] = []

    async def listen(stream: aio.MessageStream) -> None:
        heard.extend([message async for message in Receiver(stream)])

    async def program() -> None:
        with ground.server:
            server = await aio.serve(listen, ground.address, PORT, FRAMING)
        with ground.client:
            sender = Sender(await aio.connect(ground.address, PORT, FRAMING))
        for number in range(300):
            await sender.send(b"%d" % number)
        await sender.close(120)
        await asyncio.sleep(60)
        await server.close()

    ground.run(program)
    assert heard == [b"%d" % number for number in range(300)]


def test_a_slow_reader_of_a_simplex_channel_holds_up_the_sender_and_nothing_is_lost(carrier: Ground) -> None:
    message = bytes(100_000)
    go = asyncio.Event()
    heard: list[int] = []

    async def listen(stream: aio.MessageStream) -> None:
        receiver = Receiver(stream)
        await go.wait()
        heard.extend([len(each) async for each in receiver])

    async def program() -> Any:
        with carrier.server:
            server = await aio.serve(listen, carrier.address, port(carrier), FRAMING)
        with carrier.client:
            sender = Sender(await aio.connect(carrier.address, server.port, FRAMING))
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 1000:
                async with asyncio.timeout(1):
                    await sender.send(message)
                sent += 1
        held = sender.stream.unsent
        go.set()
        await sender.close(20)
        while server.connections:
            await asyncio.sleep(0.01)
        await server.close()
        return sent, held

    sent, held = carrier.run(program)
    assert sent < 1000
    assert held <= 300_000  # the transport's high-water mark and two messages
    assert set(heard) == {len(message)}
    assert len(heard) - sent in (0, 1)  # the last one's send was given up after it had been queued


def test_closing_on_a_receiver_that_vanished_is_over_in_time_and_tells_that_not_all_went() -> None:
    ground = SimGround()

    async def listen(stream: aio.MessageStream) -> None:
        async for _ in Receiver(stream):
            pass

    async def program() -> float:
        with ground.server:
            server = await aio.serve(listen, ground.address, PORT, FRAMING)
        with ground.client:
            sender = Sender(await aio.connect(ground.address, PORT, FRAMING))
        await sender.send(b"heard")
        await asyncio.sleep(1)
        ground.wire.cut()
        sender.stream.send(bytes(1_000_000))
        began = ground.world.now
        with pytest.raises(ChannelTimeout, match="bytes could not be sent within 3 s of closing"):
            await sender.close(3)
        took = ground.world.now - began
        await sender.stream.wait_lost()
        await server.close()
        return took

    assert ground.run(program) == pytest.approx(3.0)


def test_a_slow_reader_in_half_duplex_holds_up_the_one_who_speaks_and_hears_it_all(carrier: Ground) -> None:
    message = bytes(50_000)
    kept: list[int] = []

    async def listen(channel: HalfDuplexChannel) -> None:
        await asyncio.sleep(0.3)
        kept.append(sum(map(len, channel.turns.inbox)))
        for _ in range(60):
            assert await channel.receive(20) == message
        await channel.turn(20)
        channel.say(b"60")
        channel.over()

    async def program() -> bytes:
        with carrier.server:
            server = await directionaio.serve(listen, carrier.address, port(carrier), FRAMING, turn_timeout=25)
        with carrier.client:
            channel = await directionaio.connect(carrier.address, server.port, FRAMING, turn_timeout=25)
        await channel.turn(5)
        for _ in range(60):
            channel.say(message)
            await channel.drain()
        channel.over()
        found = await channel.receive(20)
        await channel.close()
        while server.connections:
            await asyncio.sleep(0.01)
        await server.close()
        return bytes(found)

    assert carrier.run(program) == b"60"
    assert kept[0] <= 600_000  # QUEUE and one read of 256 KB


# A peer that floods


def test_who_asks_while_the_peer_floods_is_told_that_its_inbox_is_full_and_gets_the_turn_behind_it(carrier: Ground) -> None:
    message = bytes(1000)
    told: list[InboxFull] = []
    heard: list[int] = []
    kept: list[int] = []

    async def listen(channel: HalfDuplexChannel) -> None:
        with pytest.raises(InboxFull) as caught:
            await channel.turn(20)
        told.append(caught.value)
        with pytest.raises(InboxFull):
            await channel.turn(20)
        while not channel.turns.mine:
            if len(heard) % 20 == 0:
                await asyncio.sleep(0.005)  # what is to be read is read
            kept.append(channel.turns.waiting)
            heard.append(len(await channel.receive(20)))
            if not channel.turns.full:
                with contextlib.suppress(InboxFull):
                    await channel.turn(20)
        heard.extend([len(await channel.receive(1)) for _ in range(len(channel.turns.inbox))])
        channel.say(b"at last")
        channel.over()

    async def program() -> bytes:
        with carrier.server:
            server = await directionaio.serve(listen, carrier.address, port(carrier), FRAMING, turn_timeout=25, queue=100_000)
        with carrier.client:
            channel = await directionaio.connect(carrier.address, server.port, FRAMING, turn_timeout=25)
        for _ in range(2000):
            channel.say(message)
            await channel.drain()
        channel.over()
        found = await channel.receive(20)
        await channel.close()
        while server.connections:
            await asyncio.sleep(0.01)
        await server.close()
        return found

    assert carrier.run(program) == b"at last"
    assert heard == [1000] * 2000
    assert told[0].waiting > 100_000
    assert max(kept) <= 100_000 + 262_144 + 1001  # the queue, one read and the message that it completed
    assert told[0].limit == 100_000


def test_a_thread_that_asks_while_the_peer_floods_is_told_that_its_inbox_is_full_and_gets_the_turn_behind_it(
    carrier: Ground,
) -> None:
    message = bytes(1000)
    told: list[InboxFull] = []
    heard: list[int] = []

    def listen(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        with BlockingHalfDuplex(blocking.MessageSocket(accepted, FRAMING), caller=False, timeout=25, queue=100_000) as channel:
            while not channel.turns.mine:
                try:
                    channel.turn(20)
                except InboxFull as error:
                    told.append(error)
                    heard.append(len(channel.receive(20)))
            heard.extend([len(channel.receive(1)) for _ in range(len(channel.turns.inbox))])
            channel.say(b"at last", 20)
            channel.over(timeout=20)
            with pytest.raises(ChannelClosed):
                channel.receive(20)

    def program() -> bytes:
        with carrier.server:
            listener = socket.create_server((carrier.address, port(carrier)))
            thread = threading.Thread(target=listen, args=(listener,))
            thread.start()
        with carrier.client:
            messages = blocking.connect(listener.getsockname(), FRAMING, timeout=5)
        with BlockingHalfDuplex(messages, caller=True, timeout=25) as channel:
            for _ in range(2000):
                channel.say(message, 20)
            channel.over(timeout=20)
            found = channel.receive(20)
        thread.join()
        listener.close()
        return found

    assert carrier.run_blocking(program) == b"at last"
    assert heard == [1000] * 2000
    assert max(each.waiting for each in told) in range(100_001, 101_002)  # no more than the message that filled it


def test_a_peer_that_makes_us_answer_and_reads_nothing_is_refused_before_the_answers_heap_up() -> None:
    ground = SimGround()  # virtual time: the buffers below are small and known
    most: list[int] = []

    async def wait(channel: HalfDuplexChannel) -> None:
        try:
            await channel.receive()
        finally:
            most.append(channel.turns.turn)

    async def program() -> Any:
        with ground.server:
            server = await directionaio.serve(wait, ground.address, PORT, FRAMING)
        with ground.client:
            stream = await aio.connect(ground.address, PORT, FRAMING, queue=1)
        for turn in range(1, 200_000, 2):  # let go, and ask at once; the answer is never waited for
            stream.send(HEAD.pack(FREE, turn))
            stream.send(HEAD.pack(ASK, turn))
            if turn % 1000 == 1:
                try:
                    async with asyncio.timeout(60):
                        await stream.drain()
                except (TimeoutError, PeerLost):
                    break
        await asyncio.sleep(60)
        stream.abort()
        await stream.wait_lost()
        errors = dict(server.errors)
        await server.close()
        return errors

    assert ground.run(program) == {"ProtocolError": 1}
    answers = most[0] // 2 * len(FRAMING.encode(HEAD.pack(GIVE, 0)))
    assert answers < 1_000_000  # bytes: what both sockets' buffers hold


def test_the_answers_that_were_not_read_are_counted_from_the_moment_at_which_there_is_no_room() -> None:
    async def program() -> HalfDuplexChannel:
        channel = HalfDuplexChannel(FRAMING, caller=False)
        channel.transport = MagicMock(spec=asyncio.Transport)
        turns = iter(range(1, 10_000, 2))

        def ask(times: int) -> None:
            for _ in range(times):
                turn = next(turns)
                channel.messages_received([HEAD.pack(FREE, turn), HEAD.pack(ASK, turn)])

        ask(200)
        channel.pause_writing()
        ask(64)
        channel.resume_writing()
        channel.pause_writing()
        ask(64)
        assert channel._ended is None
        ask(1)
        return channel

    channel = asyncio.run(program())
    error = channel._ended
    assert isinstance(error, ProtocolError)
    assert "65 answers to the peer's messages have not been read" in error.what
    assert (error.offset, error.limit) == (658, 64)


# Threads, in virtual time


def test_a_thread_whose_peer_vanished_waits_no_longer_than_it_said() -> None:
    ground = SimGround()

    def program() -> list[float]:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))
        with ground.client:
            channel = BlockingHalfDuplex(blocking.connect((ground.address, PORT), FRAMING, timeout=5), caller=True, timeout=50)
        accepted, _ = listener.accept()
        channel.over(timeout=1)
        ground.wire.cut()
        times = []
        for call in (channel.turn, channel.receive):
            began = ground.world.now
            with pytest.raises(ChannelTimeout):
                call(2)
            times.append(ground.world.now - began)
        channel.close()
        accepted.close()
        listener.close()
        return times

    assert ground.run_blocking(program) == [pytest.approx(2.0, abs=0.002)] * 2


def test_a_reset_ends_a_thread_that_waits_for_its_turn_and_one_that_receives() -> None:
    ground = SimGround()
    told: list[str] = []

    def wait(channel: BlockingHalfDuplex) -> None:
        with pytest.raises(PeerLost) as lost:
            channel.turn(60)
        told.append(lost.value.what)

    def program() -> float:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))
        with ground.client:
            channel = BlockingHalfDuplex(blocking.connect((ground.address, PORT), FRAMING, timeout=5), caller=True, timeout=100)
        accepted, _ = listener.accept()
        channel.over(timeout=1)
        thread = threading.Thread(target=wait, args=(channel,))
        thread.start()
        began = ground.world.now
        blocking.MessageSocket(accepted, FRAMING).abort()
        thread.join()
        took = ground.world.now - began
        channel.close()
        listener.close()
        return took

    assert ground.run_blocking(program) < 0.1
    assert "reset" in told[0]


def test_threads_over_loss_and_reordering_hear_all_of_a_simplex_channel_in_order() -> None:
    ground = SimGround(3, **BAD)
    heard: list[bytes] = []

    def listen(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        receiver = BlockingReceiver(blocking.MessageSocket(accepted, FRAMING))
        heard.extend(receiver)
        receiver.close()

    def program() -> None:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))
            thread = threading.Thread(target=listen, args=(listener,))
            thread.start()
        with ground.client:
            sender = BlockingSender(blocking.connect((ground.address, PORT), FRAMING, timeout=60))
        for number in range(100):
            sender.send(b"%d" % number, 60)
        sender.close(60)
        thread.join()
        listener.close()

    ground.run_blocking(program)
    assert heard == [b"%d" % number for number in range(100)]


def test_a_thread_whose_turn_was_taken_is_told_what_went_unheard() -> None:
    ground = SimGround()

    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))
        with ground.client:
            channel = BlockingHalfDuplex(blocking.connect((ground.address, PORT), FRAMING, timeout=5), caller=True)
        accepted, _ = listener.accept()
        other = BlockingHalfDuplex(blocking.MessageSocket(accepted, FRAMING), caller=False, timeout=4)
        ground.wire.cut()
        channel.say(b"into the cut wire", 1)
        other.turn()
        ground.wire.heal()
        with pytest.raises(ChannelTimeout):
            channel.receive(60)
        with pytest.raises(TurnLost) as lost:
            channel.say(b"?", 5)
        channel.close()
        other.close()
        listener.close()
        return lost.value.unheard

    assert ground.run_blocking(program) == 1


# Simplex: reset, partition, slow readers and silence for both forms


def test_a_sender_whose_receiver_gave_up_is_told_that_the_peer_is_lost(carrier: Ground) -> None:
    async def give_up(stream: aio.MessageStream) -> None:
        await Receiver(stream).receive(5)
        stream.abort()

    async def program() -> None:
        with carrier.server:
            server = await aio.serve(give_up, carrier.address, port(carrier), FRAMING)
        with carrier.client:
            sender = Sender(await aio.connect(carrier.address, server.port, FRAMING))
        with pytest.raises(PeerLost, match=r"reset by peer|Broken pipe"):
            for _ in range(1000):
                await sender.send(b"1")
                await asyncio.sleep(0.01)
        with pytest.raises(PeerLost):
            await sender.close(5)
        await sender.stream.wait_lost()
        await server.close()

    carrier.run(program)


def test_a_sender_that_only_closes_after_its_receiver_gave_up_is_told_so_too(carrier: Ground) -> None:
    async def give_up(stream: aio.MessageStream) -> None:
        await Receiver(stream).receive(5)
        stream.abort()

    async def program() -> None:
        with carrier.server:
            server = await aio.serve(give_up, carrier.address, port(carrier), FRAMING)
        with carrier.client:
            sender = Sender(await aio.connect(carrier.address, server.port, FRAMING))
        await sender.send(b"1")
        await asyncio.sleep(0.3)
        with pytest.raises(PeerLost):
            await sender.close(5)
        await sender.stream.wait_lost()
        await server.close()

    carrier.run(program)


def test_a_thread_that_only_closes_after_its_receiver_gave_up_is_told_so_too(carrier: Ground) -> None:
    def program() -> None:
        with carrier.server:
            listener = socket.create_server((carrier.address, port(carrier)))
        with carrier.client:
            sender = BlockingSender(blocking.connect(listener.getsockname(), FRAMING, timeout=5))
        accepted, _ = listener.accept()
        receiver = BlockingReceiver(blocking.MessageSocket(accepted, FRAMING))
        sender.send(b"1", 5)
        assert receiver.receive(5) == b"1"
        receiver.messages.abort()
        time.sleep(0.3)
        with pytest.raises(PeerLost):
            sender.close(5)
        listener.close()

    carrier.run_blocking(program)


def test_a_receiver_of_a_silent_sender_waits_as_long_as_it_said_and_hears_what_comes_then(carrier: Ground) -> None:
    async def speak(stream: aio.MessageStream) -> None:
        sender = Sender(stream)
        await asyncio.sleep(0.3)
        await sender.send(b"late")
        await sender.close(5)

    async def program() -> Any:
        with carrier.server:
            server = await aio.serve(speak, carrier.address, port(carrier), FRAMING)
        with carrier.client:
            receiver = Receiver(await aio.connect(carrier.address, server.port, FRAMING))
        began = asyncio.get_running_loop().time()
        with pytest.raises(ChannelTimeout, match=r"no message within 0\.1 s"):
            await receiver.receive(0.1)
        took = asyncio.get_running_loop().time() - began
        heard = await receiver.receive(5)
        await receiver.close(5)
        await server.close()
        return heard, took

    heard, took = carrier.run(program)
    assert heard == b"late"
    assert took == pytest.approx(0.1, abs=1e-6 if carrier.virtual else 0.1)


class Simplex:
    """A BlockingSender at the client, in virtual time, and the socket that the server has accepted."""

    def __init__(self) -> None:
        self.ground = SimGround()
        self.sender: BlockingSender
        self.accepted: socket.socket

    def run(self, program: Any) -> Any:
        def opened() -> Any:
            with self.ground.server:
                listener = socket.create_server((self.ground.address, PORT))
            with self.ground.client:
                self.sender = BlockingSender(blocking.connect((self.ground.address, PORT), FRAMING, timeout=5))
            self.accepted, _ = listener.accept()
            try:
                return program()
            finally:
                self.sender.messages.close()
                self.accepted.close()
                listener.close()

        return self.ground.run_blocking(opened)

    def took(self, call: Any, error: type[Exception]) -> float:
        """Virtual seconds until `call()` raised `error`."""
        began = self.ground.world.now
        with pytest.raises(error):
            call()
        return self.ground.world.now - began


def test_a_thread_that_sends_to_a_slow_reader_waits_no_longer_than_it_said() -> None:
    simplex = Simplex()

    def program() -> float:
        def fill() -> None:
            for _ in range(1000):
                simplex.sender.send(bytes(100_000), 3.0)

        return simplex.took(fill, ChannelTimeout)

    assert 3.0 <= simplex.run(program) < 4.0


def test_a_thread_that_closes_on_a_cut_wire_is_back_in_time() -> None:
    simplex = Simplex()

    def program() -> float:
        simplex.ground.wire.cut()
        simplex.sender.send(b"into the cut wire", 1)
        return simplex.took(lambda: simplex.sender.close(3), ChannelTimeout)

    assert simplex.run(program) == pytest.approx(3.0, abs=0.002)


def test_a_thread_whose_receiver_resets_is_told_so_when_it_closes_and_when_it_sends() -> None:
    simplex = Simplex()

    def program() -> list[float]:
        blocking.MessageSocket(simplex.accepted, FRAMING).abort()
        time.sleep(0.1)
        took = simplex.took(lambda: simplex.sender.send(b"1", 5), PeerLost)
        return [took, simplex.took(lambda: simplex.sender.close(5), PeerLost)]

    assert simplex.run(program) == [0.0, 0.0]


def test_a_thread_whose_receiver_speaks_is_told_of_a_protocol_error_when_it_closes() -> None:
    simplex = Simplex()

    def program() -> Any:
        simplex.accepted.sendall(FRAMING.encode(b"hello"))
        with pytest.raises(ProtocolError, match="said 5 bytes") as caught:
            simplex.sender.close(5)
        return caught.value.offset, caught.value.limit

    assert simplex.run(program) == (0, 0)


def test_a_half_duplex_channel_refuses_what_does_not_fit_and_framings_that_cannot_carry_it() -> None:
    simplex = Simplex()  # for its sockets

    def program() -> None:
        narrow = LengthHeader(1, limit=20)
        messages = blocking.MessageSocket(simplex.accepted, narrow)
        channel = BlockingHalfDuplex(messages, caller=True)
        with pytest.raises(MessageRefused):
            channel.say(bytes(12))
        channel.say(bytes(11), 1)  # it goes at once
        time.sleep(0.1)
        assert simplex.sender.messages.sock.recv(100, socket.MSG_PEEK) == narrow.encode(HEAD.pack(DATA, 0) + bytes(11))
        assert simplex.sender.messages.sock.fileno() >= 0
        with pytest.raises(UsageError, match="a framing with a length header"):
            BlockingHalfDuplex(blocking.MessageSocket(simplex.accepted, Delimiter(b"\n")), caller=True)

    simplex.run(program)

    async def refused() -> None:
        with pytest.raises(UsageError, match="a framing with a length header"):
            HalfDuplexChannel(Delimiter(b"\n"), caller=True)

    asyncio.run(refused())
