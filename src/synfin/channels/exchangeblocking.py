"""Questions and answers for programs with threads. The bytes are exchange.py's, the calls those of exchangeaio.py without
await.

Owns one thread a connection, which reads and hands each answer to its call; the peer's requests are answered by the handler,
one after the other, in a second. Times are seconds.

    with connect(("server", 7000), LengthHeader(4), timeout=5) as exchange:
        print(exchange.ask(b"1+1?", timeout=5))
"""

import contextlib
import socket
import threading
from typing import Any, Final

from synfin.channels import blocking
from synfin.channels.blocking import MessageSocket
from synfin.channels.errors import ChannelClosed, ChannelError, ChannelTimeout, FramingError, PeerLost, ProtocolError
from synfin.channels.exchange import LIMIT, check_framing
from synfin.channels.exchangecallsblocking import BlockingCalls, Handler
from synfin.channels.framing import Framing
from synfin.channels.threadparts import Closing, left

ANSWER_TIMEOUT: Final = 30.0  # for the peer to take an answer off us


class BlockingExchange(BlockingCalls, Closing):
    """An exchange over `sock`, a connected stream socket, which belongs to this object from now on. `handler` answers the
    peer's requests; without one they fail. Any number of threads may ask. `close` it, or its threads go on.

    A request that cannot be sent in time resets the connection, for the next one's number would not be due; so does a peer that
    takes no answer for 30 s, which is PeerLost.
    """

    def __init__(self, sock: socket.socket, framing: Framing, handler: Handler | None = None, *, limit: int = LIMIT) -> None:
        self._begin_calls(framing, handler, limit)
        self.framing = framing
        self.messages = MessageSocket(sock, framing)
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="synfin exchange", daemon=True)
        self._thread.start()

    def _put_request(self, message: bytes, until: float | None, timeout: float | None) -> None:
        try:
            self.messages.send(message, left(until))
        except ChannelTimeout:
            self.messages.abort()
            raise ChannelTimeout(f"the request could not be sent within {timeout} s") from None

    def _put_answer(self, message: bytes) -> None:
        try:
            self.messages.send(message, ANSWER_TIMEOUT)
        except ChannelTimeout:
            lost = PeerLost(f"the peer took no answer within {ANSWER_TIMEOUT} s")
            with self._changed:
                self._stop(lost, answer=False)
                self._why_over = lost  # also where the reading thread has seen our own reset first
            self.messages.abort()
        except ChannelError:
            pass  # the reading thread is told too

    def _run(self) -> None:
        try:
            while True:
                message = self.messages.receive()
                with self._changed:
                    self._took(message)
                    self._changed.notify_all()
        except ChannelError as error:
            if isinstance(error, ProtocolError | FramingError):
                self.messages.abort()
            with self._changed:
                self._stop(error, answer=isinstance(error, ChannelClosed))

    def close(self) -> None:
        """Close; calls that wait end in ChannelClosed, requests without an answer get none. Waits for a handler that runs."""
        self._end()
        with contextlib.suppress(OSError):
            self.messages.sock.shutdown(socket.SHUT_RDWR)  # wakes both threads
        self._join()
        self.messages.close()

    def abort(self) -> None:
        """Close by RST, otherwise as `close`."""
        self._end()
        self.messages.abort()
        self._join()

    def _end(self) -> None:
        with self._changed:
            self._stop(ChannelClosed("this side has closed"), answer=False)

    def _join(self) -> None:
        self._thread.join()
        self._join_answering()


def connect(
    address: Any, framing: Framing, handler: Handler | None = None, *, limit: int = LIMIT, timeout: float | None = None
) -> BlockingExchange:
    """An exchange with `address`, (host, port), within `timeout` seconds. Raises as blocking.connect."""
    check_framing(framing)
    return BlockingExchange(blocking.connect(address, framing, timeout=timeout).sock, framing, handler, limit=limit)
