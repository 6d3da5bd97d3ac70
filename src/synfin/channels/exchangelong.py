"""Questions and answers by number on a long connection: pipelined, with heartbeat and goodbye, for asyncio.

Owns how exchange.py's messages are carried as life.py's DATA. A message of the exchange is acknowledged when it has come, for a
request or an answer is taken at once; what bounds both sides is the exchange's `limit`. Times are seconds.

    channel = await connect("server", 7000, LengthHeader(4), LifeSettings(interval=10 * SECOND))
    answers = [await channel.submit(b"1+1?") for _ in range(50)]
    print(await channel.ask(b"2+2?", timeout=5), await asyncio.gather(*answers))
    await channel.close()
"""

from collections.abc import Callable, MutableSequence
from typing import Any, Final

from synfin.channels.aio import MessageServer, serving
from synfin.channels.errors import ChannelClosed, ChannelError, MessageRefused, ProtocolError
from synfin.channels.exchange import HEAD as EXCHANGE_HEAD
from synfin.channels.exchange import LIMIT, check_framing
from synfin.channels.exchangecalls import Calls, Handler
from synfin.channels.framing import Buffer, Framing
from synfin.channels.life import HEAD, LifeSettings
from synfin.channels.long import DEFAULT, LongChannel, connect_as
from synfin.engine.errors import UsageError

HEADS: Final = HEAD.size + EXCHANGE_HEAD.size  # bytes of kind and number, on both layers


def check_settings(framing: Framing, settings: LifeSettings, limit: int) -> None:
    """Raises UsageError for what cannot carry `limit` requests of this side's and as many answers to the peer's."""
    check_framing(framing)
    if settings.queue < 2 * limit + settings.window // 4:  # the peer may owe us ACKs for so many
        raise UsageError(
            f"a queue of {settings.queue} does not hold {limit} requests, as many answers and a quarter of the window"
        )
    if framing.limit < HEADS:
        raise UsageError(f"the framing's limit must leave room for {HEADS} bytes")


def check_fit(message: Buffer, framing: Framing) -> None:
    """Raises MessageRefused for a request or an answer that does not fit beside the kinds and the numbers of both layers."""
    if len(message) > framing.limit - HEADS:
        raise MessageRefused(f"a message of {len(message)} bytes is longer than {framing.limit - HEADS}")


class LongExchange(Calls, LongChannel):
    """One side; made by `connect` and `serve`. Has ask, submit and in_flight of ExchangeChannel; ping, close, abort, alive and
    unacknowledged of LongChannel. Calls that wait when the connection ends raise what ended it.

    Raises UsageError where the settings' queue does not hold `limit` requests, as many answers and a quarter of the window.
    """

    def __init__(
        self, framing: Framing, settings: LifeSettings = DEFAULT, handler: Handler | None = None, *, limit: int = LIMIT,
        made: "Callable[[Any], None] | None" = None,
    ) -> None:  # fmt: skip
        self._begin_calls(framing, handler, limit)
        check_settings(framing, settings, limit)
        super().__init__(framing, settings, made)
        self._receiving = 1  # what comes is always taken

    async def send(self, message: Buffer, timeout: float | None = None) -> int:
        """Not here: raises UsageError."""
        raise UsageError("an exchange is asked: ask or submit")

    async def receive(self, timeout: float | None = None) -> bytes:
        """Not here: raises UsageError."""
        raise UsageError("an exchange gives its answers to who asked")

    def _check_size(self, message: Buffer) -> None:
        check_fit(message, self.framing)

    def _put(self, message: bytes) -> None:
        if self._can_say():
            try:
                self.life.say(message)
            except ProtocolError as error:
                self._refuse(error)
            self._soon()

    def _can_say(self) -> bool:
        life = self.life  # who has said goodbye waits for no answer
        return life.error is None and not life.closing and not life.peer_goodbye

    def _why_not(self) -> ChannelError | None:
        if self.life.error is None and self.life.closing:
            return ChannelClosed("this side has said goodbye")
        return self.life.error or self._why_over

    def _refuse(self, error: ChannelError) -> None:
        self.wire.refuse(error)

    def _received(self, messages: MutableSequence[bytes]) -> None:
        super()._received(messages)
        came = []
        while self.life.inbox:
            came.append(self.life.take(self._now()) or b"")
        self._take(came)
        self._changed()

    def _changed(self) -> None:
        super()._changed()
        error = self.life.error
        if error is not None:
            self.told = self._stop(error) or self.told
            self._cancel_handlers()
        elif self.life.peer_goodbye and not self.life.inbox:
            self._stop(ChannelClosed("the peer has said goodbye"))
            self._cancel_handlers()


async def connect(
    host: str, port: int, framing: Framing, settings: LifeSettings = DEFAULT, handler: Handler | None = None, *,
    limit: int = LIMIT, timeout: float | None = None, **options: Any,
) -> LongExchange:  # fmt: skip
    """An exchange on a long connection to `host`, made within `timeout` seconds. `options` are those of loop.create_connection.

    Raises ChannelTimeout, UsageError, and the OSErrors of connecting.
    """
    channel = LongExchange(framing, settings, handler, limit=limit)
    await connect_as(channel, host, port, timeout, options)
    return channel


async def serve(
    handler: Handler, host: str | None, port: int, framing: Framing, settings: LifeSettings = DEFAULT, *,
    limit: int = LIMIT, **options: Any,
) -> MessageServer:  # fmt: skip
    """Listen, and answer each connection's requests by `handler(request)`. See exchangeaio.serve."""
    check_framing(framing)
    return await serving(
        lambda made: LongExchange(framing, settings, handler, limit=limit, made=made).wire, LongExchange.wait_ended, host, port,
        **options,
    )  # fmt: skip
