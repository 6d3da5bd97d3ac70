"""Questions and answers in asyncio: one after the other, or many on their way at once. The bytes are exchange.py's.

    channel = await connect("server", 7000, LengthHeader(4))
    print(await channel.ask(b"1+1?", timeout=5))           # synchronous: send, wait, at most so long
    first = await channel.submit(b"2+2?")                  # asynchronous: send again without waiting
    second = await channel.submit(b"3+3?")
    print(await second, await first)                       # in any order
    await channel.close()

Owns the futures of the calls and the tasks of the handlers. `submit` waits while `limit` requests are without an answer, first
come first served: that is the backpressure, and what bounds the memory of both sides to `limit` messages. A peer that asks on
and reads no answers makes this side keep `limit` answers, beyond what the transport and one flush hold. Times are seconds.
"""

import asyncio
from collections.abc import Callable, MutableSequence
from typing import Any

from synfin.channels.aio import MessageProtocol, MessageServer, serving
from synfin.channels.asyncparts import Closing, connected
from synfin.channels.errors import ChannelError
from synfin.channels.exchange import LIMIT, REQUEST, check_framing
from synfin.channels.exchangecalls import Calls, Handler
from synfin.channels.framing import Framing


class ExchangeChannel(Calls, MessageProtocol, Closing):
    """One side of an exchange; made by `connect` and `serve`. `handler` answers the peer's requests; without one they fail.

    A handler returns its answer, or an awaitable of it, which runs in a task of its own; it raises RequestFailed to say why
    there is none. Any task may ask."""

    def __init__(
        self, framing: Framing, handler: Handler | None = None, *, limit: int = LIMIT,
        made: "Callable[[ExchangeChannel], None] | None" = None,
    ) -> None:  # fmt: skip
        self._begin_calls(framing, handler, limit)
        super().__init__(framing)
        self._made = made

    def _put(self, message: bytes) -> None:
        if self._unable is None:
            self.send(message)
            if self._paused and message[0] != REQUEST:
                self.exchange.keep(self._written)  # up to FLUSH too early: what is queued still goes behind it

    async def _ready(self) -> None:
        if self._paused:
            await self.drain()

    def _refuse(self, error: ChannelError) -> None:
        MessageProtocol._refuse(self, error)

    def _why_not(self) -> ChannelError | None:
        return self._unable or self._ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        super().connection_made(transport)
        if self._made is not None:
            self._made(self)

    def messages_received(self, messages: MutableSequence[bytes]) -> None:
        """See MessageProtocol."""
        self._alone = len(messages) == 1
        if self._paused:
            self.exchange.gone(self._written - self.transport.get_write_buffer_size())
        self._take(messages)

    def resume_writing(self) -> None:
        """See asyncio."""
        super().resume_writing()
        self.exchange.gone(self._written)

    def stream_ended(self, error: ChannelError) -> None:
        """See MessageProtocol: no answer comes any more."""
        self._stop(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        super().connection_lost(exc)
        self._cancel_handlers()


async def connect(
    host: str, port: int, framing: Framing, handler: Handler | None = None, *, limit: int = LIMIT,
    timeout: float | None = None, **options: Any,
) -> ExchangeChannel:  # fmt: skip
    """An exchange with `host`, within `timeout` seconds. `options` are those of loop.create_connection.

    Raises ChannelTimeout, and the OSErrors of connecting.
    """
    return await connected(lambda: ExchangeChannel(framing, handler, limit=limit), host, port, timeout, **options)


async def serve(
    handler: Handler, host: str | None, port: int, framing: Framing, *, limit: int = LIMIT, **options: Any
) -> MessageServer:
    """Listen, and answer each connection's requests by `handler(request)`. See aio.serve and ExchangeChannel."""
    check_framing(framing)
    return await serving(
        lambda made: ExchangeChannel(framing, handler, limit=limit, made=made),
        ExchangeChannel.wait_ended,
        host,
        port,
        **options,
    )
