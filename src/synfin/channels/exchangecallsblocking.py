"""The calls of an exchange with threads: who waits for which answer, who for room, and the thread that answers the peer.

Owns that bookkeeping, and the answering thread, which begins with the peer's first request: a handler that takes its time holds
up neither the answers to this side's calls nor what the connection below does, and may ask the peer itself. What carries the
messages, a socket or a long connection, is the subclass's. Times are seconds.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator

from synfin.channels.errors import ChannelClosed, ChannelError, ChannelTimeout
from synfin.channels.exchange import ANSWER, HEAD, REQUEST, Exchange, RequestFailed, check_framing, check_size
from synfin.channels.framing import Buffer, Framing
from synfin.channels.threadparts import deadline, left, wait_for

Handler = Callable[[bytes], bytes]


class Call:
    """A request that is on its way; made by `submit`."""

    __slots__ = ("_answer", "_error", "_exchange", "number")

    def __init__(self, exchange: "BlockingCalls", number: int) -> None:
        self.number = number
        self._exchange = exchange
        self._answer: bytes | None = None
        self._error: ChannelError | None = None

    def result(self, timeout: float | None = None) -> bytes:
        """The answer, within `timeout` seconds. Raises ChannelTimeout: from then on the call is given up, and an answer that
        comes later is dropped; otherwise as `ask`."""
        return self._exchange._result(self, timeout, timeout)

    @property
    def _told(self) -> bool:
        return self._answer is not None or self._error is not None


class BlockingCalls:
    """One side's calls. A subclass says how a message goes (`_put_request`, `_put_answer`) and why no call can be made
    (`_why_not`); it passes in what comes (`_took`) and why nothing more does (`_stop`), both with `_changed` held.

    `error` is what a handler raised, other than RequestFailed: the last one.
    """

    framing: Framing
    _changed: threading.Condition

    def _begin_calls(self, framing: Framing, handler: Handler | None, limit: int) -> None:
        """Instead of __init__, because the subclass's other half has one. Raises UsageError."""
        check_framing(framing)
        self.exchange = Exchange(limit)
        self.error: Exception | None = None
        self._handler = handler
        self._calls: dict[int, Call] = {}
        self._turns: deque[object] = deque()  # who wants to send a request, in the order in which they came
        self._requests: deque[tuple[int, bytes]] = deque()  # the peer's, for the answering thread
        self._answering: threading.Thread | None = None
        self._why_over: ChannelError | None = None

    # What a subclass has

    def _check_size(self, message: Buffer) -> None:
        """Raises MessageRefused for what does not fit."""
        check_size(message, self.framing)

    def _put_request(self, message: bytes, until: float | None, timeout: float | None) -> None:
        """Send `message` before `until`. Raises what ended the connection, and ChannelTimeout that tells of `timeout`."""
        raise NotImplementedError

    def _put_answer(self, message: bytes) -> None:
        """Send `message`, if that is still possible."""
        raise NotImplementedError

    def _why_not(self) -> ChannelError | None:
        """Why nothing can be asked any more."""
        return self._why_over

    # Asking

    def ask(self, request: Buffer, timeout: float | None = None) -> bytes:
        """The answer to `request`, within `timeout` seconds (None: for ever).

        Raises ChannelTimeout (an answer that comes later is dropped), RequestFailed with the peer's reason, MessageRefused,
        ChannelClosed when either side has closed, and PeerLost, ProtocolError, FramingError when that has ended the connection.
        """
        until = deadline(timeout)
        return self._result(self.submit(request, timeout), left(until), timeout)

    def submit(self, request: Buffer, timeout: float | None = None) -> Call:
        """Send `request` as soon as there is room, within `timeout` seconds; returns without waiting for the answer. Who comes
        first is let in first. Raises as `ask`."""
        self._check_size(request)
        until = deadline(timeout)
        with self._turn(until, timeout):
            call, message = self._begin(request, until, timeout)
            self._put_request(message, until, timeout)
        return call

    @property
    def in_flight(self) -> int:
        """How many requests are without an answer, given up or not."""
        return self.exchange.in_flight

    @contextlib.contextmanager
    def _turn(self, until: float | None, timeout: float | None) -> Iterator[None]:
        """One sends at a time, for requests go out in the order of their numbers."""
        turn, turns = object(), self._turns
        with self._changed:
            turns.append(turn)
        try:
            with self._changed:
                wait_for(self._changed, lambda: turns[0] is turn, until, f"another thread was sending for {timeout} s")
            yield
        finally:
            with self._changed:
                turns.remove(turn)
                self._changed.notify_all()

    def _begin(self, request: Buffer, until: float | None, timeout: float | None) -> tuple[Call, bytes]:
        with self._changed:
            what = f"{self.in_flight} requests were without an answer for {timeout} s"
            wait_for(self._changed, lambda: self.exchange.room > 0 or self._why_not() is not None, until, what)
            why_not = self._why_not()
            if why_not is not None:
                raise why_not
            number, message = self.exchange.ask(request)
            call = self._calls[number] = Call(self, number)
        return call, message

    def _result(self, call: Call, timeout: float | None, told: float | None) -> bytes:
        with self._changed:
            try:
                wait_for(self._changed, lambda: call._told, deadline(timeout), f"no answer within {told} s")
            except ChannelTimeout as error:
                self.exchange.give_up(call.number)
                self._calls.pop(call.number, None)
                call._error = error
                raise
        if call._error is not None:
            raise call._error
        assert call._answer is not None
        return call._answer

    # What came

    def _took(self, message: bytes) -> None:
        """Take one message of the exchange; `_changed` is held, and told afterwards. Raises ProtocolError."""
        came = self.exchange.received(message)
        if came is None:
            return
        kind, number, said = came
        if kind == REQUEST:
            self._requests.append((number, said))
            if self._answering is None:
                self._answering = threading.Thread(target=self._answer_all, name="synfin answers", daemon=True)
                self._answering.start()
        elif kind == ANSWER:
            self._calls.pop(number)._answer = said
        else:
            self._calls.pop(number)._error = RequestFailed(said.decode(errors="replace"))

    def _stop(self, error: ChannelError, *, answer: bool) -> bool:
        """Nothing comes any more, because of `error`: tells every call that waits, and returns whether one did; `answer` says
        whether what the peer has asked can still be answered. `_changed` is held."""
        if not answer:
            self._requests.clear()
        self._changed.notify_all()
        if self._why_over is not None:
            return False
        self._why_over = error
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call._error = error
        return bool(calls)

    # Answering

    def _answer_all(self) -> None:
        while True:
            with self._changed:
                wait_for(self._changed, lambda: bool(self._requests) or self._why_over is not None, None, "")
                if not self._requests:
                    return
                number, request = self._requests.popleft()
            self._put_answer(self._serve(number, request))

    def _serve(self, number: int, request: bytes) -> bytes:
        try:
            if self._handler is None:
                raise RequestFailed("this side answers no requests")
            answer = self._handler(request)
            self._check_size(answer)
        except Exception as error:
            told = isinstance(error, RequestFailed)
            if not told:
                self.error = error
            reason = str(error) if told else "the request could not be answered"
            with self._changed:
                return self.exchange.fail(number, reason[: (self.framing.limit - HEAD.size) // 4])
        with self._changed:
            return self.exchange.answer(number, answer)

    def _join_answering(self) -> None:
        """Wait until the answering thread has ended; a handler that runs ends first. Not for that thread itself."""
        if self._answering is not None and self._answering is not threading.current_thread():
            self._answering.join()

    # Ending

    def wait_ended(self) -> None:
        """Wait until the peer asks no more, and what it has asked is answered. Raises what ended the connection, other than an
        orderly end."""
        with self._changed:
            wait_for(self._changed, lambda: self._why_over is not None, None, "")
        self._join_answering()
        if self._why_over is not None and not isinstance(self._why_over, ChannelClosed):
            raise self._why_over
