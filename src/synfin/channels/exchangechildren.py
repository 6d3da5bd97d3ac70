"""Asynchronous duplex as two child processes that share one connection: one only sends, the other only receives.

Owns the two processes and the connection's way into them. The kernel lets processes share a descriptor; a socket of synfin's
lives in the process that owns the stack, so it is refused with UsageError.

    duplex = Duplex(sock, LengthHeader(4), sender=send_all, receiver=take_all)
    print(duplex.wait(60))             # the exit statuses of sender and receiver
"""

import contextlib
import multiprocessing
import socket
from collections.abc import Callable
from typing import Self

from synfin.channels.blocking import MessageSocket
from synfin.channels.directionblocking import BlockingSender
from synfin.channels.errors import ChannelTimeout
from synfin.channels.framing import Framing
from synfin.channels.threadparts import deadline, left
from synfin.engine.errors import UsageError
from synfin.sockets.face import Socket

Send = Callable[[BlockingSender], None]
Receive = Callable[[MessageSocket], None]


class Duplex:
    """`sock` is a connected stream socket of the kernel's, which belongs to the two children from now on: this process closes
    it.

    `sender(end)` runs in a child of its own, and when it returns FIN is sent; `receiver(messages)` in another; both are forked.
    Raises UsageError for a socket of synfin's.
    """

    def __init__(self, sock: socket.socket, framing: Framing, *, sender: Send, receiver: Receive) -> None:
        if isinstance(sock, Socket):
            raise UsageError("a socket of synfin's cannot go to a child process: its stack lives in this one; use two tasks")
        context = multiprocessing.get_context("fork")
        self.children = [
            context.Process(target=_send, args=(sock, framing, sender)),
            context.Process(target=_receive, args=(sock, framing, receiver)),
        ]
        for child in self.children:
            child.start()
        sock.close()

    def wait(self, timeout: float | None = None) -> tuple[int, int]:
        """Wait for both; their exit statuses, 0 for a program that returned. Raises ChannelTimeout: both are ended then."""
        until = deadline(timeout)
        for child in self.children:
            child.join(left(until))
        if any(child.is_alive() for child in self.children):
            self.end()
            raise ChannelTimeout(f"the sending and the receiving process did not both end within {timeout} s")
        first, second = (child.exitcode or 0 for child in self.children)
        return first, second

    def end(self) -> None:
        """End both children, whatever they do."""
        for child in self.children:
            child.kill()
            child.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def _send(sock: socket.socket, framing: Framing, program: Send) -> None:
    messages = MessageSocket(sock, framing)
    program(BlockingSender(messages))
    messages.finish()
    sock.close()


def _receive(sock: socket.socket, framing: Framing, program: Receive) -> None:
    with contextlib.closing(sock):
        program(MessageSocket(sock, framing))
