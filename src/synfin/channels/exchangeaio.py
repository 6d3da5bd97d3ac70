"""Questions and answers in asyncio: one after the other, or many on their way at once. The bytes are exchange.py's.

    channel = await connect("server", 7000, LengthHeader(4))
    print(await channel.ask(b"1+1?", timeout=5))           # synchronous: send, wait, at most so long
    first = await channel.submit(b"2+2?")                  # asynchronous: send again without waiting
    second = await channel.submit(b"3+3?")
    print(await second, await first)                       # in any order
    await channel.close()

Owns the futures of the calls and the tasks of the handlers. `submit` waits while `limit` requests are without an answer, first
come first served: that is the backpressure, and what bounds the memory of both sides to `limit` messages. Times are seconds.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableSequence
from typing import Any

from synfin.channels.aio import MessageProtocol, MessageServer
from synfin.channels.errors import ChannelClosed, ChannelError, ChannelTimeout, MessageRefused, ProtocolError
from synfin.channels.exchange import ANSWER, HEAD, LIMIT, REQUEST, Exchange, RequestFailed, check_framing, check_size
from synfin.channels.framing import Buffer, Framing

Handler = Callable[[bytes], bytes | Awaitable[bytes]]


class ExchangeChannel(MessageProtocol):
    """One side of an exchange; made by `connect` and `serve`. `handler` answers the peer's requests; without one they fail.

    A handler returns its answer, or an awaitable of it, which runs in a task of its own; it raises RequestFailed to say why
    there is none. Any task may ask."""

    def __init__(
        self, framing: Framing, handler: Handler | None = None, *, limit: int = LIMIT,
        made: "Callable[[ExchangeChannel], None] | None" = None,
    ) -> None:  # fmt: skip
        check_framing(framing)
        super().__init__(framing)
        self.exchange = Exchange(limit)
        self._handler = handler
        self._made = made
        self._calls: dict[int, asyncio.Future[bytes]] = {}
        self._for_room: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()  # only to hold on to them, and to end all
        self._over = self._loop.create_future()  # nothing more comes

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
        check_size(request, self.framing)
        if self._paused:
            await self.drain()
        if self._for_room or self.exchange.room <= 0:
            await self._wait_for_room()
        if self._ended is not None or self._unable is not None:
            raise self._unable or self._ended  # type: ignore[misc]
        number, message = self.exchange.ask(request)
        self.send(message)
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._calls[number] = future
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
        room = self.exchange.room if self._ended is None else len(self._for_room)
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

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        super().connection_made(transport)
        if self._made is not None:
            self._made(self)

    def messages_received(self, messages: MutableSequence[bytes]) -> None:
        """See MessageProtocol."""
        received = self.exchange.received
        try:
            for message in messages:
                if self._ended is not None:
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

    def stream_ended(self, error: ChannelError) -> None:
        """See MessageProtocol: no answer comes any more."""
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.done():
                call.set_exception(error)
                call.exception()  # who never looks was told all the same, by the connection's end
        self._let_in()
        if not self._over.done():
            self._over.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio: nobody is there to take an answer."""
        super().connection_lost(exc)
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
            check_size(answer, self.framing)
        except MessageRefused as error:
            self._fail(number, error)
            return
        message = self.exchange.answer(number, answer)
        if self._unable is None:
            self.send(message)

    def _fail(self, number: int, error: Exception) -> None:
        """Say so; what was not meant for the peer goes to the loop's handler and stays here."""
        reason = str(error) if isinstance(error, RequestFailed) else "the request could not be answered"
        if not isinstance(error, RequestFailed):
            context = {"message": "unhandled exception in a handler of requests", "exception": error, "protocol": self}
            self._loop.call_exception_handler(context)
        message = self.exchange.fail(number, reason[: (self.framing.limit - HEAD.size) // 4])
        if self._unable is None:
            self.send(message)

    # Ending

    async def wait_ended(self) -> None:
        """Wait until the peer asks no more, and what it has asked is answered. Raises what ended the connection, other than an
        orderly end."""
        await asyncio.shield(self._over)
        while self._tasks:
            await asyncio.wait(self._tasks)
        assert self._ended is not None
        if not isinstance(self._ended, ChannelClosed):
            raise self._ended

    async def __aenter__(self) -> "ExchangeChannel":
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is None:
            await self.close()
        else:
            self.abort()
            await self.wait_lost()


async def connect(
    host: str, port: int, framing: Framing, handler: Handler | None = None, *, limit: int = LIMIT,
    timeout: float | None = None, **options: Any,
) -> ExchangeChannel:  # fmt: skip
    """An exchange with `host`, within `timeout` seconds. `options` are those of loop.create_connection.

    Raises ChannelTimeout, and the OSErrors of connecting.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            _, channel = await loop.create_connection(
                lambda: ExchangeChannel(framing, handler, limit=limit), host, port, **options
            )
    except TimeoutError as error:
        if timeout is None or error.errno is not None:  # the kernel's ETIMEDOUT
            raise
        raise ChannelTimeout(f"{host} port {port} did not answer within {timeout} s") from None
    return channel


async def serve(
    handler: Handler, host: str | None, port: int, framing: Framing, *, limit: int = LIMIT, **options: Any
) -> MessageServer:
    """Listen, and answer each connection's requests by `handler(request)`. See aio.serve and ExchangeChannel."""
    check_framing(framing)
    made = MessageServer()

    def protocol() -> ExchangeChannel:
        return ExchangeChannel(
            framing, handler, limit=limit, made=lambda channel: made.begin(ExchangeChannel.wait_ended, channel)
        )

    made.server = await asyncio.get_running_loop().create_server(protocol, host, port, **options)
    return made
