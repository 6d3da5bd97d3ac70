"""The calls of an exchange in asyncio: who waits for which answer, who for room, and the handlers that answer the peer.

Owns that bookkeeping. What carries the messages, a stream or a long connection, is the subclass's. Times are seconds.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from synfin.channels.errors import ChannelClosed, ChannelError, ChannelTimeout, MessageRefused, ProtocolError
from synfin.channels.exchange import ANSWER, HEAD, REQUEST, Exchange, RequestFailed, check_framing, check_size
from synfin.channels.framing import Buffer, Framing

Handler = Callable[[bytes], bytes | Awaitable[bytes]]


class Calls:
    """One side's calls. A subclass says how a message goes (`_put`), when there is room for it below (`_ready`), why no call
    can be made (`_why_not`), and what to do with a peer that breaks the rules (`_refuse`)."""

    framing: Framing
    _loop: asyncio.AbstractEventLoop

    def _begin_calls(self, framing: Framing, handler: Handler | None, limit: int) -> None:
        """Instead of __init__, because the subclass's other half has one. Raises UsageError."""
        check_framing(framing)
        self.exchange = Exchange(limit)
        self._handler = handler
        self._calls: dict[int, asyncio.Future[bytes]] = {}
        self._for_room: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()  # only to hold on to them, and to end all
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # nothing more comes
        self._why_over: ChannelError | None = None

    # What a subclass has

    def _check_size(self, message: Buffer) -> None:
        """Raises MessageRefused for what does not fit."""
        check_size(message, self.framing)

    def _put(self, message: bytes) -> None:
        """Send `message`, if that is still possible."""
        raise NotImplementedError

    async def _ready(self) -> None:
        """Wait until there is room below. Raises what ended the connection."""

    def _why_not(self) -> ChannelError | None:
        """Why nothing can be asked any more."""
        raise NotImplementedError

    def _refuse(self, error: ChannelError) -> None:
        """End the connection by RST."""
        raise NotImplementedError

    # Asking

    async def ask(self, request: Buffer, timeout: float | None = None) -> bytes:
        """The answer to `request`, within `timeout` seconds (None: for ever).

        Raises ChannelTimeout (an answer that comes later is dropped), RequestFailed with the peer's reason, MessageRefused,
        ChannelClosed when either side has closed, and PeerLost, ProtocolError, FramingError when that has ended the connection.
        """
        if timeout is None:
            return await (await self.submit(request))
        try:
            async with asyncio.timeout(timeout):
                return await (await self.submit(request))
        except TimeoutError:
            raise ChannelTimeout(f"no answer within {timeout} s") from None

    async def submit(self, request: Buffer) -> "asyncio.Future[bytes]":
        """Send `request` as soon as there is room; the future has the answer, or raises as `ask`. Cancel it to give it up."""
        self._check_size(request)
        await self._ready()
        if self._for_room or self.exchange.room <= 0:
            await self._wait_for_room()
        why_not = self._why_not()
        if why_not is not None:
            raise why_not
        number, message = self.exchange.ask(request)
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._calls[number] = future
        self._put(message)
        return future

    async def _wait_for_room(self) -> None:
        waiter = self._loop.create_future()
        self._for_room.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            self._for_room.remove(waiter)
            self._let_in()  # who was let in and gave up leaves room for the next
            raise
        self._for_room.remove(waiter)

    def _let_in(self) -> None:
        """Wake as many of those that wait for room as there is room for; one that is awake keeps its place until it asks."""
        room = self.exchange.room if self._why_over is None else len(self._for_room)
        for waiter in self._for_room:
            if room <= 0:
                return
            if not waiter.done():
                waiter.set_result(None)
            room -= 1

    @property
    def in_flight(self) -> int:
        """How many requests are without an answer, given up or not."""
        return self.exchange.in_flight

    # What came

    def _take(self, messages: Iterable[bytes]) -> None:
        """Requests and answers, oldest first."""
        received = self.exchange.received
        try:
            for message in messages:
                if self._why_over is not None:
                    break
                came = received(message)
                assert came is not None  # the exchange is told of nothing given up: see _answered
                if came[0] == REQUEST:
                    self._serve(came[1], came[2])
                else:
                    self._answered(*came)
        except ProtocolError as error:
            self._refuse(error)
        if self._for_room:
            self._let_in()

    def _answered(self, kind: int, number: int, said: bytes) -> None:
        call = self._calls.pop(number)
        if call.done():  # cancelled: its caller has given up
            self.exchange.late += 1
        elif kind == ANSWER:
            call.set_result(said)
        else:
            call.set_exception(RequestFailed(said.decode(errors="replace")))

    def _stop(self, error: ChannelError) -> bool:
        """Nothing comes any more, because of `error`: tells every call that waits, and returns whether one did."""
        if self._why_over is not None:
            return False
        self._why_over = error
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.done():
                call.set_exception(error)
                call.exception()  # who never looks was told all the same, by the connection's end
        self._let_in()
        self._over.set_result(None)
        return bool(calls)

    def _cancel_handlers(self) -> None:
        """Nobody is there to take an answer."""
        for task in self._tasks:
            task.cancel()

    # Answering

    def _serve(self, number: int, request: bytes) -> None:
        try:
            if self._handler is None:
                raise RequestFailed("this side answers no requests")
            answer = self._handler(request)
        except Exception as error:
            self._fail(number, error)
            return
        if isinstance(answer, bytes):
            self._answer(number, answer)
        else:
            task = self._loop.create_task(self._answer_later(number, answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer_later(self, number: int, answer: Awaitable[bytes]) -> None:
        try:
            said = await answer
        except Exception as error:
            self._fail(number, error)
        else:
            self._answer(number, said)

    def _answer(self, number: int, answer: bytes) -> None:
        try:
            self._check_size(answer)
        except MessageRefused as error:
            self._fail(number, error)
            return
        self._put(self.exchange.answer(number, answer))

    def _fail(self, number: int, error: Exception) -> None:
        """Say so; what was not meant for the peer goes to the loop's handler and stays here."""
        reason = str(error) if isinstance(error, RequestFailed) else "the request could not be answered"
        if not isinstance(error, RequestFailed):
            context = {"message": "unhandled exception in a handler of requests", "exception": error, "protocol": self}
            self._loop.call_exception_handler(context)
        self._put(self.exchange.fail(number, reason[: (self.framing.limit - HEAD.size) // 4]))

    # Ending

    async def wait_ended(self) -> None:
        """Wait until the peer asks no more, and what it has asked is answered. Raises what ended the connection, other than an
        orderly end."""
        await asyncio.shield(self._over)
        while self._tasks:
            await asyncio.wait(self._tasks)
        assert self._why_over is not None
        if not isinstance(self._why_over, ChannelClosed):
            raise self._why_over
