"""Messages over an asyncio connection: the front for event loops, over the kernel's sockets and synfin's alike.

Owns how bytes get from a transport into a decoder and messages into a transport: many small messages become one write a turn of
the loop, what answers a single message goes at once, a reader that is slow pauses the transport, a writer waits in `drain`.
Knows framings; what messages mean it does not.

`MessageProtocol` is for protocols that want every message at once, by a callback; `MessageStream` gives them one by one:

    stream = await connect("server", 7000, LengthHeader(4))
    stream.send(b"1+1?")
    print(await stream.receive())
    await stream.close()

Times are seconds.
"""

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, MutableSequence
from typing import Any, Final, Self

from synfin.channels.asyncparts import Closing, Waiters, connected, until_closed
from synfin.channels.errors import ChannelClosed, ChannelError, ChannelTimeout, FramingError, PeerLost
from synfin.channels.framing import Buffer, Framing
from synfin.engine.errors import UsageError

CLOSE_TIMEOUT: Final = 5.0
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER for no time
RESET: Final = os.strerror(errno.ECONNRESET)
FLUSH: Final = 65_536  # bytes that are written at once, without waiting for the end of the loop's turn
RECEIVE_QUEUE: Final = 262_144  # bytes of messages that wait to be received before the transport is paused


class MessageProtocol(asyncio.Protocol):
    """An asyncio protocol that speaks in messages. A subclass has `messages_received` and may have `stream_ended`."""

    def __init__(self, framing: Framing) -> None:
        self.framing = framing
        self.transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._decoder = framing.decoder()
        self._parts = framing.parts
        self._out: list[Buffer] = []
        self._out_size = 0
        self._alone = False  # one message has come, and nothing was sent since: no more are likely to go with the next
        self._written = 0  # bytes that the transport was given
        self._paused = False
        self._can_write = Waiters(self._loop)
        self._ended: ChannelError | None = None  # why nothing more is received
        self._unable: ChannelError | None = None  # why nothing more can be sent
        self._lost: asyncio.Future[None] = self._loop.create_future()

    # What a subclass is told

    def messages_received(self, messages: MutableSequence[bytes]) -> None:
        """One or more messages have come, oldest first."""
        raise NotImplementedError

    def stream_ended(self, error: ChannelError) -> None:
        """No more messages will come, told once: ChannelClosed at the orderly end, FramingError for bytes that mean nothing,
        PeerLost with an OSError as its cause."""

    # Sending

    def send(self, message: Buffer) -> None:
        """Queue `message`; it goes out at the end of this turn of the loop, together with what else was queued. The first after
        a message that came alone goes at once.

        Raises MessageRefused (nothing is queued), ChannelClosed, PeerLost.
        """
        if self._unable is not None:
            raise self._unable
        self._out += self._parts(message)
        if self._alone:
            self._alone = False
            self.flush()
            return
        size = self._out_size
        if not size:
            self._loop.call_soon(self.flush)
        size += len(message) + 1
        self._out_size = size
        if size > FLUSH:
            self.flush()

    def flush(self) -> None:
        """Give what is queued to the transport now."""
        if self._out:
            out = b"".join(self._out)
            self._out, self._out_size = [], 0
            self._written += len(out)
            self.transport.write(out)

    async def drain(self) -> None:
        """Wait until there is room to send more. Raises as `send`."""
        while self._paused and self._unable is None:
            await self._can_write.wait()
        if self._unable is not None:
            raise self._unable

    @property
    def unsent(self) -> int:
        """Bytes that the transport has not taken off us yet, about."""
        return self._out_size + self.transport.get_write_buffer_size()

    def finish(self) -> None:
        """Nothing more is sent: FIN after what is queued. Receiving goes on."""
        if self._unable is None:
            self._unable = ChannelClosed("this side has finished sending")
            self.flush()
            if not self.transport.is_closing():
                try:
                    self.transport.write_eof()
                except OSError as error:  # the peer has reset, which nobody hears who has its FIN and writes nothing
                    self._unable = _lost(error)
                    self._end(self._unable)
                    self.transport.abort()

    @property
    def broken(self) -> PeerLost | None:
        """Why the connection broke, None where it did not, or has not been found to."""
        return self._unable if isinstance(self._unable, PeerLost) else None

    # Ending

    async def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Send what is queued, then close. Raises ChannelTimeout when that took longer than `timeout`: what was left is lost
        with the connection. Closing what is closed does nothing."""
        self._begin_close()
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(self._lost)
        except TimeoutError:
            unsent = self.unsent
            raise ChannelTimeout(f"{unsent} bytes could not be sent within {timeout} s of closing") from None
        finally:
            if not self._lost.done():
                self.abort()

    def _begin_close(self) -> None:
        closed = ChannelClosed("this side has closed")
        if self._unable is None:
            self.flush()
        self._unable = self._unable or closed
        self._end(closed)
        self.transport.close()

    def abort(self) -> None:
        """Close at once, by RST; what is queued, and what the socket has not sent yet, is dropped."""
        self._out, self._out_size = [], 0
        self._unable = self._unable or ChannelClosed("this side has closed")
        self._end(ChannelClosed("this side has closed"))
        self._reset()

    async def wait_lost(self) -> None:
        """Wait until the transport has let go of the socket."""
        await asyncio.shield(self._lost)

    def _end(self, error: ChannelError) -> None:
        if self._ended is None:
            self._ended = error
            self.stream_ended(error)

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._ended is not None:
            return  # nobody is there to take it
        messages: list[bytes] = []
        try:
            self._decoder.feed(data, messages)
        except FramingError as error:
            if messages:
                self.messages_received(messages)
            self._refuse(error)
        else:
            if messages:
                self.messages_received(messages)

    def _refuse(self, error: ChannelError) -> None:
        """The peer's bytes mean nothing: no more of them are read, and the connection is reset."""
        self._end(error)
        self._unable = self._unable or error
        self._reset()

    def _reset(self) -> None:
        if self._lost.done():
            return  # a transport that closed with bytes to send does not bear abort afterwards
        with contextlib.suppress(OSError):  # it is closed already
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.transport.abort()

    def eof_received(self) -> bool:
        """See asyncio: the peer has finished; this side may go on."""
        try:
            self._decoder.end()
        except FramingError as error:
            self._end(error)
        else:
            self._end(ChannelClosed("the peer has finished"))
        return True

    def pause_writing(self) -> None:
        """See asyncio."""
        self._paused = True

    def resume_writing(self) -> None:
        """See asyncio."""
        self._paused = False
        self._can_write.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        error: ChannelError = ChannelClosed("the connection is closed") if exc is None else _lost(exc)
        self._out, self._out_size = [], 0
        if self._unable is None or exc is not None:
            self._unable = error
        self._end(error)
        self._can_write.wake()
        if not self._lost.done():
            self._lost.set_result(None)


def _lost(error: Exception) -> PeerLost:
    reset = isinstance(error, OSError) and error.errno == errno.ENOTCONN  # found by shutdown, after the RST
    lost = PeerLost(f"the connection broke: {RESET if reset else error}")
    lost.__cause__ = error
    return lost


class MessageStream(MessageProtocol, Closing):
    """Messages one by one. `queue` bytes of them may wait to be received; then reading pauses, and TCP's window closes.

    One task receives at a time, any number may send.
    """

    def __init__(
        self, framing: Framing, *, queue: int = RECEIVE_QUEUE, made: "Callable[[MessageStream], None] | None" = None
    ) -> None:
        super().__init__(framing)
        self._made = made
        self._messages: deque[bytes] = deque()
        self._waiting = 0  # bytes in _messages, about
        self._most = queue
        self._reading = True
        self._receiver: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        super().connection_made(transport)
        if self._made is not None:
            self._made(self)

    async def receive(self, timeout: float | None = None) -> bytes:
        """The next message, within `timeout` seconds (None: for ever).

        Raises ChannelTimeout (nothing is lost, the message may be received later); once all that came has been received
        ChannelClosed at the orderly end, TruncatedMessage, another FramingError, or PeerLost.
        """
        if not self._messages:
            if timeout is None:
                await self._wait()
            else:
                await self._wait_for(timeout)
        message = self._messages.popleft()
        self._waiting -= len(message) + 1
        if not self._reading and self._waiting <= self._most // 2:
            self._reading = True
            if not self.transport.is_closing():
                self.transport.resume_reading()
        return message

    async def _wait_for(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._wait()
        except TimeoutError:
            raise ChannelTimeout(f"no message within {timeout} s") from None

    async def _wait(self) -> None:
        if self._receiver is not None:
            raise UsageError("another task is receiving from this stream")
        while not self._messages:
            if self._ended is not None:
                raise self._ended
            self._receiver = self._loop.create_future()
            try:
                await self._receiver
            finally:
                self._receiver = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        """All messages up to the orderly end; other ends raise."""
        return until_closed(self.receive)

    def messages_received(self, messages: MutableSequence[bytes]) -> None:
        """See MessageProtocol."""
        self._alone = len(messages) == 1
        self._messages += messages
        self._waiting += sum(map(len, messages)) + len(messages)
        if self._waiting > self._most and self._reading:
            self._reading = False
            self.transport.pause_reading()
        if self._receiver is not None:
            self._wake_receiver()

    def stream_ended(self, error: ChannelError) -> None:
        """See MessageProtocol."""
        self._wake_receiver()

    def _wake_receiver(self) -> None:
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)


async def connect(
    host: str, port: int, framing: Framing, *, timeout: float | None = None, queue: int = RECEIVE_QUEUE, **options: Any
) -> MessageStream:
    """A stream of messages to `host`, within `timeout` seconds. `options` are those of loop.create_connection.

    Raises ChannelTimeout, and the OSErrors of connecting.
    """
    return await connected(lambda: MessageStream(framing, queue=queue), host, port, timeout, **options)


class MessageServer:
    """What `serve` gives. `errors` counts by its class each ChannelError that ended a handler."""

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter()
        self.server: asyncio.Server
        self._tasks: dict[asyncio.Task[None], Any] = {}  # and its stream
        self._closing = False

    @property
    def port(self) -> int:
        """The port of the first socket."""
        return int(self.server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many are being handled."""
        return len(self._tasks)

    def begin(self, handler: Callable[[Any], Awaitable[None]], stream: Any) -> None:
        """Run `handler(stream)` in a task; `stream` has close, abort and wait_lost. One that comes after `close` is aborted."""
        if self._closing:
            stream.abort()
            return
        task = asyncio.get_running_loop().create_task(self._handle(handler, stream))
        self._tasks[task] = stream
        task.add_done_callback(self._tasks.pop)

    async def _handle(self, handler: Callable[[Any], Awaitable[None]], stream: Any) -> None:
        try:
            await handler(stream)
            await stream.close()
        except ChannelError as error:
            self.errors[type(error).__name__] += 1
        except Exception as error:
            context = {"message": "unhandled exception in a handler of messages", "exception": error, "protocol": stream}
            asyncio.get_running_loop().call_exception_handler(context)
        finally:
            stream.abort()

    async def close(self) -> None:
        """Stop listening, end the handlers and abort their connections."""
        self._closing = True
        for listening in self.server.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        await asyncio.sleep(0)  # asyncio forgets to close what it has accepted when the server closes before it is made
        self.server.close()
        tasks, streams = list(self._tasks), list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in streams:
            stream.abort()  # a task that had not begun has not done so
            await stream.wait_lost()
        await self.server.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def serving(
    make: Callable[[Callable[[Any], None]], asyncio.BaseProtocol], handler: Callable[[Any], Awaitable[None]], host: str | None,
    port: int, **options: Any,
) -> MessageServer:  # fmt: skip
    """Listen, and run `handler` for each connection. `make(made)` gives its protocol, which calls `made` with what the handler
    takes, once it is connected; `options` are those of loop.create_server. Raises OSError."""
    server = MessageServer()
    server.server = await asyncio.get_running_loop().create_server(
        lambda: make(lambda channel: server.begin(handler, channel)), host, port, **options
    )
    return server


Handler = Callable[[MessageStream], Awaitable[None]]


async def serve(
    handler: Handler, host: str | None, port: int, framing: Framing, *, queue: int = RECEIVE_QUEUE, **options: Any
) -> MessageServer:
    """Listen, and run `handler(stream)` for each connection; it is closed when the handler returns.

    A ChannelError that leaves the handler ends its connection and is counted; other exceptions go to the loop's handler.
    """
    return await serving(lambda made: MessageStream(framing, queue=queue, made=made), handler, host, port, **options)


async def exchange_once(host: str, port: int, framing: Framing, request: Buffer, *, timeout: float) -> bytes:
    """A short connection: connect, send one message, receive one, close. All of it within `timeout` seconds.

    Raises ChannelTimeout, MessageRefused, FramingError, ChannelClosed when the peer closed without an answer, PeerLost, and
    the OSErrors of connecting.
    """
    try:
        async with asyncio.timeout(timeout):
            stream = await connect(host, port, framing)
            try:
                stream.send(request)
                answer = await stream.receive()
                await stream.close()
            finally:
                stream.abort()
    except TimeoutError as error:
        if error.errno is not None or isinstance(error, ChannelTimeout):
            raise
        raise ChannelTimeout(f"no answer from {host} port {port} within {timeout} s") from None
    return answer
