"""Questions and answers for programs with threads. The bytes are exchange.py's, the calls those of exchangeaio.py without
await.

Owns one thread a connection, which reads, hands each answer to its call, and answers the peer's requests by the handler, one
after the other. Times are seconds.

    with connect(("server", 7000), LengthHeader(4), timeout=5) as exchange:
        print(exchange.ask(b"1+1?", timeout=5))
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any, Final, Self

from synfin.channels import blocking
from synfin.channels.blocking import MessageSocket, deadline, left, over
from synfin.channels.errors import ChannelClosed, ChannelError, ChannelTimeout, MessageRefused, ProtocolError
from synfin.channels.exchange import ANSWER, HEAD, LIMIT, REQUEST, Exchange, RequestFailed, check_framing, check_size
from synfin.channels.framing import Buffer, Framing

Handler = Callable[[bytes], bytes]

ANSWER_TIMEOUT: Final = 30.0  # for the peer to take an answer off us
RESET_ON_CLOSE: Final = b"\1\0\0\0\0\0\0\0"


class Call:
    """A request that is on its way; made by `submit`."""

    __slots__ = ("_answer", "_error", "_exchange", "number")

    def __init__(self, exchange: "BlockingExchange", number: int) -> None:
        self.number = number
        self._exchange = exchange
        self._answer: bytes | None = None
        self._error: ChannelError | None = None

    def result(self, timeout: float | None = None) -> bytes:
        """The answer, within `timeout` seconds. Raises ChannelTimeout: from then on the call is given up, and an answer that
        comes later is dropped; otherwise as BlockingExchange.ask."""
        return self._exchange._result(self, timeout, timeout)


class _Messages(MessageSocket):
    """Its end wakes the thread that waits to receive."""

    def abort(self) -> None:
        """See MessageSocket."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.sock.shutdown(socket.SHUT_RD)
        super().abort()


class BlockingExchange:
    """An exchange over `sock`, a connected stream socket, which belongs to this object from now on. `handler` answers the
    peer's requests, in the thread that reads; without one they fail. Any number of threads may ask. `close` it, or its thread
    goes on."""

    def __init__(self, sock: socket.socket, framing: Framing, handler: Handler | None = None, *, limit: int = LIMIT) -> None:
        check_framing(framing)
        self.messages = _Messages(sock, framing)
        self.exchange = Exchange(limit)
        self.error: Exception | None = None  # what a handler raised, other than RequestFailed: the last one
        self._handler = handler
        self._calls: dict[int, Call] = {}
        self._ended: ChannelError | None = None
        self._changed = threading.Condition()
        self._order = threading.Lock()  # requests go out in the order of their numbers
        self._thread = threading.Thread(target=self._run, name="synfin exchange", daemon=True)
        self._thread.start()

    # Asking

    def ask(self, request: Buffer, timeout: float | None = None) -> bytes:
        """The answer to `request`, within `timeout` seconds (None: for ever).

        Raises ChannelTimeout (an answer that comes later is dropped), RequestFailed with the peer's reason, MessageRefused,
        ChannelClosed when either side has closed, and PeerLost, ProtocolError, FramingError when that has ended the connection.
        """
        until = deadline(timeout)
        return self._result(self.submit(request, timeout), left(until), timeout)

    def submit(self, request: Buffer, timeout: float | None = None) -> Call:
        """Send `request` as soon as there is room, within `timeout` seconds; returns without waiting for the answer."""
        check_size(request, self.messages.framing)
        until = deadline(timeout)
        if not self._order.acquire(timeout=-1 if timeout is None else timeout):
            raise ChannelTimeout(f"another thread was sending for {timeout} s")
        try:
            call, message = self._begin(request, until, timeout)
            try:
                self.messages.send(message, left(until))
            except ChannelTimeout:
                self.messages.abort()  # the next request would have a number that is not due
                raise
        finally:
            self._order.release()
        return call

    def _begin(self, request: Buffer, until: float | None, timeout: float | None) -> tuple[Call, bytes]:
        with self._changed:
            while self.exchange.room <= 0 and self._ended is None:
                if over(until):
                    raise ChannelTimeout(f"{self.exchange.in_flight} requests were without an answer for {timeout} s")
                self._changed.wait(left(until))
            if self._ended is not None:
                raise self._ended
            number, message = self.exchange.ask(request)
            call = self._calls[number] = Call(self, number)
        return call, message

    def _result(self, call: Call, timeout: float | None, told: float | None) -> bytes:
        until = deadline(timeout)
        with self._changed:
            while call._answer is None and call._error is None:
                if over(until):
                    self.exchange.give_up(call.number)
                    self._calls.pop(call.number, None)
                    raise ChannelTimeout(f"no answer within {told} s")
                self._changed.wait(left(until))
        if call._error is not None:
            raise call._error
        assert call._answer is not None
        return call._answer

    # The thread

    def _run(self) -> None:
        try:
            while True:
                self._take(self.messages.receive())
        except ChannelError as error:
            if isinstance(error, ProtocolError):
                self.messages.abort()
            self._end(error)

    def _take(self, message: bytes) -> None:
        with self._changed:
            came = self.exchange.received(message)
            if came is not None and came[0] != REQUEST:
                self._answered(*came)
            self._changed.notify_all()
        if came is not None and came[0] == REQUEST:
            self.messages.send(self._serve(came[1], came[2]), ANSWER_TIMEOUT)

    def _answered(self, kind: int, number: int, said: bytes) -> None:
        call = self._calls.pop(number)
        if kind == ANSWER:
            call._answer = said
        else:
            call._error = RequestFailed(said.decode(errors="replace"))

    def _end(self, error: ChannelError) -> None:
        with self._changed:
            self._ended = self._ended or error
            for call in self._calls.values():
                call._error = self._ended
            self._calls.clear()
            self._changed.notify_all()

    def _serve(self, number: int, request: bytes) -> bytes:
        try:
            if self._handler is None:
                raise RequestFailed("this side answers no requests")
            answer = self._handler(request)
            check_size(answer, self.messages.framing)
        except Exception as error:
            told = isinstance(error, RequestFailed | MessageRefused)
            if not told:
                self.error = error
            reason = str(error) if told else "the request could not be answered"
            with self._changed:
                return self.exchange.fail(number, reason[: (self.messages.framing.limit - HEAD.size) // 4])
        with self._changed:
            return self.exchange.answer(number, answer)

    # Ending

    def wait_ended(self) -> None:
        """Wait until the peer asks no more. Raises what ended the connection, other than an orderly end."""
        self._thread.join()
        if self._ended is not None and not isinstance(self._ended, ChannelClosed):
            raise self._ended

    def close(self) -> None:
        """Close; calls that wait end in ChannelClosed."""
        self._end(ChannelClosed("this side has closed"))
        with contextlib.suppress(OSError):
            self.messages.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._thread.join()
        self.messages.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(
    address: Any, framing: Framing, handler: Handler | None = None, *, limit: int = LIMIT, timeout: float | None = None
) -> BlockingExchange:
    """An exchange with `address`, (host, port), within `timeout` seconds. Raises as blocking.connect."""
    check_framing(framing)
    return BlockingExchange(blocking.connect(address, framing, timeout=timeout).sock, framing, handler, limit=limit)
