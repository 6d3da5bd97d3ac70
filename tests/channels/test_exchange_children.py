"""Duplex as two child processes that share a connection of the kernel's; synfin's sockets say that they cannot."""

import asyncio
import socket
import sys
import threading

import pytest

from synfin.channels import aio, blocking
from synfin.channels.directionblocking import BlockingSender
from synfin.channels.errors import ChannelTimeout
from synfin.channels.exchangechildren import Duplex
from synfin.channels.framing import LengthHeader
from synfin.engine.errors import UsageError
from tests.channels.grounds import Ground, KernelGround, SimGround

FRAMING = LengthHeader(4)
COUNT = 200


def send_all(end: BlockingSender) -> None:
    """The sender's program; what it may not do it does not do."""
    try:
        end.receive()
    except UsageError:
        for number in range(COUNT):
            end.send(b"%d" % number, 10)


def take_all(messages: blocking.MessageSocket) -> None:
    """The receiver's program: ends well only when all has come in order."""
    if list(messages) != [b"to %d" % number for number in range(COUNT)]:
        sys.exit(1)


def never_end(_: blocking.MessageSocket) -> None:
    threading.Event().wait()


def test_one_child_sends_while_the_other_receives_on_the_same_connection() -> None:
    def answer(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        with blocking.MessageSocket(accepted, FRAMING) as messages:
            for message in messages:
                messages.send(b"to " + message, 10)

    def program() -> tuple[int, int]:
        listener = socket.create_server(("127.0.0.1", 0))
        sock = socket.create_connection(listener.getsockname(), 5)
        with Duplex(sock, FRAMING, sender=send_all, receiver=take_all) as duplex:
            thread = threading.Thread(target=answer, args=(listener,))
            thread.start()
            statuses = duplex.wait(30)
            thread.join()
        listener.close()
        for child in duplex.children:
            child.close()
        return statuses

    program()  # multiprocessing opens what it keeps
    assert KernelGround().run_blocking(program) == (0, 0)


def test_children_that_do_not_end_are_ended_in_time() -> None:
    ours, theirs = socket.socketpair()
    duplex = Duplex(ours, FRAMING, sender=lambda _: None, receiver=never_end)
    with pytest.raises(ChannelTimeout, match=r"did not both end within 0.3 s"):
        duplex.wait(0.3)
    assert [child.is_alive() for child in duplex.children] == [False, False]
    assert theirs.recv(1) == b""
    theirs.close()


def test_a_socket_of_synfins_is_refused_and_says_why() -> None:
    ground = SimGround()

    def program() -> None:
        with ground.server:
            listener = socket.create_server((ground.address, 7000))
        with ground.client:
            sock = socket.create_connection((ground.address, 7000), 5)
        with pytest.raises(UsageError, match="its stack lives in this one; use two tasks"):
            Duplex(sock, FRAMING, sender=send_all, receiver=take_all)
        sock.close()
        listener.close()

    ground.run_blocking(program)


def test_two_tasks_send_and_receive_independently(ground: Ground) -> None:
    async def other(stream: aio.MessageStream) -> None:
        async def send() -> None:
            for number in range(COUNT):
                stream.send(b"theirs %d" % number)
                await stream.drain()
            stream.finish()

        sending = asyncio.create_task(send())
        got = [message async for message in stream]
        await sending
        assert got == [b"ours %d" % number for number in range(COUNT)]

    async def program() -> list[bytes]:
        with ground.server:
            server = await aio.serve(other, ground.address, 7000 if ground.virtual else 0, FRAMING)
        async with server:
            with ground.client:
                stream = await aio.connect(ground.address, server.port, FRAMING)

            async def send() -> None:
                for number in range(COUNT):
                    stream.send(b"ours %d" % number)
                    await stream.drain()
                stream.finish()

            async with stream:
                sending = asyncio.create_task(send())
                got = [message async for message in stream]
                await sending
            return got

    assert ground.run(program) == [b"theirs %d" % number for number in range(COUNT)]
