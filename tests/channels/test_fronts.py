"""Messages over connections: the same programs over the kernel's loopback, over synfin in simulation and on TUN.

A test without `ground` needs a host that crashes or falls silent.
"""

import asyncio
import random
import socket
import threading
import time
from typing import Any

import pytest

from synfin.channels import aio, blocking, long, longblocking
from synfin.channels.errors import (
    ChannelClosed,
    ChannelTimeout,
    MessageRefused,
    MessageTooLong,
    PeerLost,
    TruncatedMessage,
)
from synfin.channels.framing import Delimiter, FixedSize, Framing, LengthHeader, VarintHeader
from synfin.engine.errors import UsageError
from tests.channels.grounds import Ground, SimGround

PORT = 7000
FRAMINGS = [
    LengthHeader(1, limit=200), LengthHeader(2, "little", limit=40_000, checksum=True), LengthHeader(4),
    VarintHeader(checksum=True), Delimiter(b"\r\n", limit=70_000), FixedSize(8, checksum=True),
]  # fmt: skip


def sample(framing: Framing) -> list[bytes]:
    """Messages of all sizes that this framing may carry."""
    if isinstance(framing, FixedSize):
        return [bytes([number]) * framing.size for number in range(50)]
    draw = random.Random(7)
    sizes = [0, 1, 2, framing.limit, 100, 0, 65_536, 1, 1448, 1449]
    letters = bytes(range(128, 256)) * 1000
    return [letters[: draw.randrange(3) + min(size, framing.limit - 3)] for size in sizes]


async def echo(stream: aio.MessageStream) -> None:
    async for message in stream:
        stream.send(message)
        await stream.drain()


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: type(framing).__name__)
def test_messages_come_back_as_they_went_through_asyncio(ground: Ground, framing: Framing) -> None:
    async def program() -> list[bytes]:
        with ground.server:
            server = await aio.serve(echo, ground.address, PORT if ground.virtual else 0, framing)
        async with server:
            with ground.client:
                stream = await aio.connect(ground.address, server.port, framing)
            async with stream:
                for message in sample(framing):
                    stream.send(message)
                stream.finish()
                return [message async for message in stream]

    assert ground.run(program) == sample(framing)


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: type(framing).__name__)
def test_messages_come_back_as_they_went_through_blocking_sockets(ground: Ground, framing: Framing) -> None:
    def answer(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        with blocking.MessageSocket(accepted, framing) as messages:
            for message in messages:
                messages.send(message, 5)

    def program() -> list[bytes]:
        with ground.server:
            listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
            thread = threading.Thread(target=answer, args=(listener,))
            thread.start()
        with ground.client, blocking.connect(listener.getsockname(), framing, timeout=5) as messages:
            found = []
            for message in sample(framing):
                messages.send(message, 5)
                found.append(messages.receive(5))
            messages.finish()
            with pytest.raises(ChannelClosed, match="the peer has finished"):
                messages.receive(5)
        thread.join()
        listener.close()
        return found

    assert ground.run_blocking(program) == sample(framing)


def test_a_short_connection_asks_and_is_answered(ground: Ground) -> None:
    framing = LengthHeader(2)

    async def once(stream: aio.MessageStream) -> None:
        stream.send(b"2, and " + await stream.receive())

    async def program() -> bytes:
        with ground.server:
            server = await aio.serve(once, ground.address, PORT if ground.virtual else 0, framing)
        async with server:
            with ground.client:
                return await aio.exchange_once(ground.address, server.port, framing, b"1+1?", timeout=5)

    assert ground.run(program) == b"2, and 1+1?"


async def raw_peer(ground: Ground, framing: Framing, say: bytes, *, reset: bool = False) -> Any:
    """What a MessageStream receives of a server that says `say` and ends: the messages, and the error at the end."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(say)
        await reader.read(1)
        if reset:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, aio.RESET_ON_CLOSE)
        writer.close()

    with ground.server:
        server = await asyncio.start_server(speak, ground.address, PORT if ground.virtual else 0)
    with ground.client:
        stream = await aio.connect(ground.address, server.sockets[0].getsockname()[1], framing)
    messages = []
    try:
        while True:
            messages.append(await stream.receive())
            stream.transport.write(b"go on")
    except Exception as error:
        return messages, error
    finally:
        stream.abort()
        server.close()
        await stream.wait_lost()
        await asyncio.sleep(0.1)


def test_a_stream_that_ends_inside_a_message_says_what_is_missing(ground: Ground) -> None:
    messages, error = ground.run(lambda: raw_peer(ground, LengthHeader(4), b"\0\0\0\2ab\0\0\0\5abc"))
    assert messages == [b"ab"]
    assert isinstance(error, TruncatedMessage)
    assert (error.offset, error.got, error.missing, error.at_least, error.limit) == (6, 7, 2, False, 1 << 20)


def test_a_huge_length_ends_the_connection_with_its_offset_and_the_limit(ground: Ground) -> None:
    messages, error = ground.run(lambda: raw_peer(ground, LengthHeader(4, limit=1000), b"\0\0\0\2ab\xff\xff\xff\xffabc"))
    assert messages == [b"ab"]
    assert isinstance(error, MessageTooLong)
    assert (error.offset, error.limit, error.length) == (6, 1000, 0xFFFFFFFF)


def test_garbage_is_refused_at_its_offset(ground: Ground) -> None:
    garbage = random.Random(1).randbytes(100_000)
    messages, error = ground.run(lambda: raw_peer(ground, Delimiter(b"\r\n\r\n", limit=500), b"good\r\n\r\n" + garbage))
    assert messages == [b"good"]
    assert isinstance(error, MessageTooLong)
    assert (error.offset, error.limit) == (8, 500)


def test_a_reset_is_the_loss_of_the_peer(ground: Ground) -> None:
    messages, error = ground.run(lambda: raw_peer(ground, LengthHeader(1), b"\1a", reset=True))
    assert messages == [b"a"]
    assert isinstance(error, PeerLost)
    assert isinstance(error.__cause__, ConnectionResetError)


def test_a_host_that_crashed_and_is_back_resets_and_is_lost() -> None:
    ground = SimGround()

    async def reset() -> Any:
        with ground.server:
            server = await asyncio.start_server(lambda _, writer: writer.write(b"\1a"), ground.address, PORT)
        with ground.client:
            stream = await aio.connect(ground.address, PORT, LengthHeader(1))
        assert await stream.receive() == b"a"
        ground.host.crash()
        ground.host.restart()
        stream.send(b"?")  # the new server answers with RST
        with pytest.raises(PeerLost, match="Connection reset by peer") as caught:
            await stream.receive()
        with pytest.raises(PeerLost):
            stream.send(b"?")
        await stream.wait_lost()
        server.close()
        return type(caught.value.__cause__), ground.world.now

    assert ground.run(reset) == (ConnectionResetError, pytest.approx(0.06))


def test_receiving_gives_up_after_its_time_and_the_message_is_there_later(ground: Ground) -> None:
    async def late(stream: aio.MessageStream) -> None:
        await stream.receive()
        stream.send(b"late")
        await stream.receive()

    async def program() -> Any:
        with ground.server:
            server = await aio.serve(late, ground.address, PORT if ground.virtual else 0, LengthHeader(1))
        with ground.client:
            stream = await aio.connect(ground.address, server.port, LengthHeader(1))
        began = asyncio.get_running_loop().time()
        with pytest.raises(ChannelTimeout, match=r"no message within 0\.2 s"):
            await stream.receive(timeout=0.2)
        waited = asyncio.get_running_loop().time() - began
        stream.send(b"now")
        message = await stream.receive(timeout=5)
        await stream.close()
        await server.close()
        return waited, message

    assert ground.run(program) == (pytest.approx(0.2, abs=1e-9 if ground.virtual else 0.5), b"late")


def test_connecting_to_a_silent_host_gives_up_after_its_time() -> None:
    ground = SimGround()

    async def program() -> float:
        ground.host.silence()
        with ground.client, pytest.raises(ChannelTimeout, match=r"10\.0\.0\.1 port 7000 did not answer within 4 s"):
            await aio.connect(ground.address, PORT, LengthHeader(1), timeout=4)
        return ground.world.now

    assert ground.run(program) == 4.0


def test_a_short_exchange_with_a_host_that_falls_silent_gives_up_after_its_time() -> None:
    ground = SimGround()

    async def never(stream: aio.MessageStream) -> None:
        await stream.receive()
        ground.host.silence()
        await asyncio.sleep(100)

    async def program() -> float:
        with ground.server:
            server = await aio.serve(never, ground.address, PORT, LengthHeader(1))
        with ground.client, pytest.raises(ChannelTimeout, match=r"no answer from 10\.0\.0\.1 port 7000 within 3 s"):
            await aio.exchange_once(ground.address, PORT, LengthHeader(1), b"?", timeout=3)
        at = ground.world.now
        await server.close()
        return at

    assert ground.run(program) == 3.0


def test_a_short_exchange_that_is_not_answered_gives_up_after_its_time(ground: Ground) -> None:
    async def never(stream: aio.MessageStream) -> None:
        with pytest.raises(PeerLost):
            while True:
                await stream.receive()

    async def program() -> float:
        with ground.server:
            server = await aio.serve(never, ground.address, PORT if ground.virtual else 0, LengthHeader(1))
        began = asyncio.get_running_loop().time()
        with ground.client, pytest.raises(ChannelTimeout, match=r"no answer from .* port \d+ within 0\.2 s"):
            await aio.exchange_once(ground.address, server.port, LengthHeader(1), b"?", timeout=0.2)
        took = asyncio.get_running_loop().time() - began
        while server.connections:
            await asyncio.sleep(0.01)
        await server.close()
        return took

    assert ground.run(program) == pytest.approx(0.2, abs=1e-9 if ground.virtual else 0.5)


def test_closing_gives_up_on_a_peer_that_reads_nothing_and_says_how_much_is_lost(ground: Ground) -> None:
    async def deaf(stream: aio.MessageStream) -> None:
        stream.transport.pause_reading()
        await asyncio.sleep(1000)

    async def program() -> float:
        with ground.server:
            server = await aio.serve(deaf, ground.address, PORT if ground.virtual else 0, LengthHeader(4))
        with ground.client:
            stream = await aio.connect(ground.address, server.port, LengthHeader(4))
        for _ in range(400):
            stream.send(bytes(65_536))
        began = asyncio.get_running_loop().time()
        with pytest.raises(ChannelTimeout, match=r"\d{6,} bytes could not be sent within 0\.3 s of closing"):
            await stream.close(timeout=0.3)
        took = asyncio.get_running_loop().time() - began
        await server.close()
        return took

    assert ground.run(program) == pytest.approx(0.3, abs=1e-9 if ground.virtual else 0.5)


def test_a_slow_reader_holds_up_the_writer_and_its_memory_stays_bounded(ground: Ground) -> None:
    pause = 0.1 if ground.virtual else 0.002
    kept: list[int] = []

    async def slow(stream: aio.MessageStream) -> None:
        for _ in range(200):
            await stream.receive()
            kept.append(stream._waiting)
            await asyncio.sleep(pause)

    async def program() -> tuple[bool, bool]:
        with ground.server:
            server = await aio.serve(slow, ground.address, PORT if ground.virtual else 0, LengthHeader(4), queue=100_000)
        with ground.client:
            stream = await aio.connect(ground.address, server.port, LengthHeader(4))
        began = asyncio.get_running_loop().time()
        unsent = []
        for _ in range(200):
            stream.send(bytes(50_000))
            await stream.drain()
            unsent.append(stream.unsent)
        took = asyncio.get_running_loop().time() - began
        await stream.close(timeout=20)
        while server.connections:
            await asyncio.sleep(0.01)
        await server.close()
        return took > 5 or not ground.virtual, max(unsent) < 200_000

    assert ground.run(program) == (True, True)
    assert len(kept) == 200
    assert max(kept) <= 100_000 + 262_144  # the queue and one read


def test_a_blocking_sender_gives_up_on_a_peer_that_reads_nothing(ground: Ground) -> None:
    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
        with ground.client:
            messages = blocking.connect(listener.getsockname(), LengthHeader(4), timeout=5)
        sent, began = 0, time.monotonic()
        with pytest.raises(ChannelTimeout, match=r"\d+ of 100004 bytes could not be sent within 0\.3 s"):
            while sent < 1000:
                began = time.monotonic()
                messages.send(bytes(100_000), timeout=0.3)
                sent += 1
        took = time.monotonic() - began
        messages.close()
        listener.close()
        return 1 < sent < 1000, took

    assert ground.run_blocking(program) == (True, pytest.approx(0.3, abs=0.001 if ground.virtual else 0.5))


@pytest.mark.parametrize("kind", ["messages", "long"])
def test_closing_ends_the_wait_of_another_thread(ground: Ground, kind: str) -> None:
    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
        with ground.client:
            make: Any = blocking.connect if kind == "messages" else longblocking.connect
            messages = make(listener.getsockname(), LengthHeader(4), timeout=5)
        told: list[Any] = []

        def wait() -> None:
            try:
                messages.receive(timeout=20)
            except Exception as error:
                told.append(type(error))

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)  # real on two of the grounds: the thread is to be in its wait
        messages.close(*[0.2] * (kind == "long"))  # a long connection waits for the peer's FIN
        thread.join()
        listener.close()
        for call in (messages.receive, lambda: messages.send(b"?")):
            with pytest.raises(ChannelClosed):
                call()
        return told

    assert ground.run_blocking(program) == [ChannelClosed]


@pytest.mark.parametrize("kind", ["messages", "long"])
def test_a_thread_that_aborts_resets_the_connection(ground: Ground, kind: str) -> None:
    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
        with ground.client:
            make: Any = blocking.connect if kind == "messages" else longblocking.connect
            messages = make(listener.getsockname(), LengthHeader(4), timeout=5)
        accepted, _ = listener.accept()
        accepted.settimeout(5)
        messages.abort()
        with pytest.raises(ConnectionResetError):
            accepted.recv(100)
        accepted.close()
        listener.close()

    ground.run_blocking(program)


def test_an_abort_in_asyncio_resets_the_connection(ground: Ground) -> None:
    async def program() -> Any:
        told: list[Any] = []

        async def take(stream: aio.MessageStream) -> None:
            try:
                await stream.receive()
            except PeerLost as error:
                told.append(type(error.__cause__))

        with ground.server:
            server = await aio.serve(take, ground.address, PORT if ground.virtual else 0, LengthHeader(4))
        async with server:
            with ground.client:
                stream = await aio.connect(ground.address, server.port, LengthHeader(4))
            while not server.connections:
                await asyncio.sleep(0.01)
            stream.abort()
            await stream.wait_lost()
            while not told:
                await asyncio.sleep(0.01)
        return told

    assert ground.run(program) == [ConnectionResetError]


def test_two_tasks_may_not_receive_from_one_stream(ground: Ground) -> None:
    async def program() -> None:
        with ground.server:
            server = await aio.serve(echo, ground.address, PORT if ground.virtual else 0, LengthHeader(4))
        with ground.client:
            stream = await aio.connect(ground.address, server.port, LengthHeader(4))
        first = asyncio.create_task(stream.receive())
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="another task is receiving"):
            await stream.receive()
        await stream.close()
        with pytest.raises(ChannelClosed, match="this side has closed"):
            await first
        with pytest.raises(ChannelClosed, match="this side has closed"):
            stream.send(b"")
        await server.close()

    ground.run(program)


def test_a_message_that_is_refused_leaves_the_stream_as_it_was(ground: Ground) -> None:
    framing = Delimiter(b"\n", limit=10)

    async def program() -> bytes:
        with ground.server:
            server = await aio.serve(echo, ground.address, PORT if ground.virtual else 0, framing)
        async with server:
            with ground.client:
                stream = await aio.connect(ground.address, server.port, framing)
            async with stream:
                for bad in (b"a\nb", bytes(11)):
                    with pytest.raises(MessageRefused):
                        stream.send(bad)
                stream.send(b"good")
                return await stream.receive()

    assert ground.run(program) == b"good"


def test_a_handler_that_fails_is_counted_or_told(ground: Ground) -> None:
    told: list[Any] = []

    async def program() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

        async def fail(stream: aio.MessageStream) -> None:
            if await stream.receive() == b"mine":
                raise LookupError("mine")

        with ground.server:
            server = await aio.serve(fail, ground.address, PORT if ground.virtual else 0, LengthHeader(1, limit=9))
        async with server:
            for first in (b"mine", b"longer than nine"):
                with ground.client:
                    stream = await aio.connect(ground.address, server.port, LengthHeader(1))
                stream.send(first)
                with pytest.raises((PeerLost, ChannelClosed)):
                    await stream.receive()
                stream.abort()
                await stream.wait_lost()
            return server.errors

    assert ground.run(program) == {"MessageTooLong": 1}
    assert [type(error) for error in told] == [LookupError]


def test_aborting_wakes_a_thread_that_waits_in_receive(ground: Ground) -> None:
    told: list[str] = []

    def wait(messages: blocking.MessageSocket) -> None:
        with pytest.raises(ChannelClosed) as caught:
            messages.receive(20)
        told.append(str(caught.value))

    def program() -> str:
        with ground.server:
            listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
        with ground.client:
            messages = blocking.connect(listener.getsockname(), LengthHeader(4), timeout=5)
        accepted, _ = listener.accept()
        thread = threading.Thread(target=wait, args=(messages,))
        thread.start()
        time.sleep(0.05)
        messages.abort()
        thread.join()
        with blocking.MessageSocket(accepted, LengthHeader(4)) as peer, pytest.raises(PeerLost) as lost:
            peer.receive(5)
        listener.close()
        return lost.value.what

    assert "reset" in ground.run_blocking(program)
    assert "this side has closed" in told[0]


def test_a_reset_that_only_the_shutdown_finds_is_told_in_plain_words(ground: Ground) -> None:
    async def program() -> Any:
        told: asyncio.Future[aio.MessageStream] = asyncio.get_running_loop().create_future()

        async def half_heard(stream: aio.MessageStream) -> None:
            with pytest.raises(ChannelClosed, match="the peer has finished"):
                await stream.receive(5)
            await asyncio.sleep(0.3)  # the RST has come, and nobody reads or writes
            stream.finish()
            told.set_result(stream)

        with ground.server:
            server = await aio.serve(half_heard, ground.address, PORT if ground.virtual else 0, LengthHeader(4))
        async with server:
            with ground.client:
                stream = await aio.connect(ground.address, server.port, LengthHeader(4))
            stream.finish()
            await asyncio.sleep(0.1)
            stream.abort()
            await stream.wait_lost()
            ended = await told
            with pytest.raises(PeerLost) as caught:
                ended.send(b"?")
            assert caught.value is ended.broken
            return str(caught.value), isinstance(caught.value.__cause__, OSError)

    assert ground.run(program) == ("the connection broke: Connection reset by peer", True)


def test_what_answers_a_message_that_came_alone_goes_at_once_and_the_rest_together() -> None:
    ground = SimGround()

    async def program() -> Any:
        writes: list[int] = []

        class Watched(aio.MessageStream):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                put = self.transport.write

                def write(data: Any) -> None:
                    writes.append(len(data))
                    put(data)

                self.transport.write = write  # type: ignore[method-assign]

        framing, loop = LengthHeader(4), asyncio.get_running_loop()
        made: list[aio.MessageStream] = []
        with ground.server:
            server = await loop.create_server(lambda: Watched(framing, made=made.append), ground.address, PORT)
        with ground.client:
            client = await aio.connect(ground.address, PORT, framing)
        client.send(b"1")
        await asyncio.sleep(0.1)
        answering = made[0]
        answering.send(b"a" * 10)  # before it was received
        assert writes == [14]
        answering.send(b"b" * 20)
        answering.send(b"c" * 30)
        assert writes == [14]
        await asyncio.sleep(0.1)
        assert writes == [14, 58]
        writes.clear()
        client.send(b"2")
        client.send(b"3")  # the client's own turn, in which nothing has come alone
        await asyncio.sleep(0.1)
        answering.send(b"d")
        assert writes == []  # two came, more may be sent
        await asyncio.sleep(0.1)
        assert writes == [5]
        client.abort()
        await answering.wait_lost()
        await client.wait_lost()
        server.close()
        await server.wait_closed()

    ground.run(program)


@pytest.mark.parametrize("turns", range(4))
def test_a_connection_that_comes_while_its_server_closes_is_reset_at_once(ground: Ground, turns: int) -> None:
    """asyncio makes it over several turns of the loop, some of them after the server's close."""

    async def program() -> tuple[float, bool]:
        loop = asyncio.get_running_loop()
        with ground.server:
            server = await long.serve(beaten, ground.address, PORT if ground.virtual else 0, LengthHeader(4))
        with ground.client:
            sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, (ground.address, server.port))
        await asyncio.sleep(0.01 if ground.virtual else 0)  # the third segment comes now
        for _ in range(turns):
            await asyncio.sleep(0)
        began = loop.time()
        await server.close()
        took = loop.time() - began
        try:
            async with asyncio.timeout(5):
                answered = await loop.sock_recv(sock, 1) == b""
        except ConnectionError:
            answered = True
        except TimeoutError:
            answered = False
        sock.close()
        await asyncio.sleep(0.1)
        return took, answered

    took, answered = ground.run(program)
    assert took < 1
    assert answered


async def beaten(channel: long.LongChannel) -> None:
    async for message in channel:
        await channel.send(message)
