"""Long connections in asyncio: connect, exchange, keep with heartbeats, exchange ..., close. The bytes are life.py's.

Owns the event loop's part: when to send, whom to wake, one timer. No task of its own runs, so nothing is left when it ends.
Times are seconds; those in LifeSettings nanoseconds.

    channel = await connect("server", 7000, LengthHeader(4), LifeSettings(interval=10 * SECOND))
    await channel.send(b"1+1?")
    print(await channel.receive())
    await channel.close()          # what was queued has been taken by the peer, or PeerLost says what was not

`Reconnecting` keeps one such connection: it connects anew with a backoff, and tells what was unacknowledged when one breaks.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableSequence, Sequence
from typing import Any, Final

from synfin.channels.aio import CLOSE_TIMEOUT, MessageProtocol, MessageServer, serving
from synfin.channels.asyncparts import Closing, Waiters, connected, until, until_closed
from synfin.channels.backoff import Backoff
from synfin.channels.errors import ChannelClosed, ChannelError, ChannelTimeout, MessageRefused, PeerLost, ProtocolError
from synfin.channels.framing import Buffer, Framing, LengthHeader, VarintHeader
from synfin.channels.heartbeat import NEVER, SECOND
from synfin.channels.life import HEAD, Life, LifeSettings
from synfin.channels.reconnect import Keeper
from synfin.engine.errors import UsageError

DEFAULT: Final = LifeSettings()


def check_framing(framing: Framing) -> None:
    """Raises UsageError for a framing that cannot carry life.py's messages: those have many sizes, and any byte."""
    if not isinstance(framing, LengthHeader | VarintHeader) or framing.limit < HEAD.size:
        raise UsageError(f"a long connection needs a framing with a length header and a limit of {HEAD.size} bytes or more")


def check_size(message: Buffer, framing: Framing) -> None:
    """Raises MessageRefused for a message that does not fit beside the kind and the number."""
    if len(message) > framing.limit - HEAD.size:
        raise MessageRefused(f"a message of {len(message)} bytes is longer than {framing.limit - HEAD.size}")


class _Wire(MessageProtocol):
    """The connection below a LongChannel; tells it what happens."""

    def __init__(self, framing: Framing, channel: "LongChannel") -> None:
        super().__init__(framing)
        self.channel = channel

    @property
    def paused(self) -> bool:
        """Whether nothing can be sent now: the transport has enough to write."""
        return self._paused

    def refuse(self, error: ChannelError) -> None:
        """Reset the connection: the peer's messages mean nothing."""
        self._refuse(error)

    def say(self, messages: Sequence[bytes]) -> None:
        """Send `messages` now, as one write; after our FIN nothing goes and nothing is raised: the life tells why the
        connection ended."""
        if self._unable is None:
            for message in messages:
                self._out += self._parts(message)
            self.flush()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        super().connection_made(transport)
        self.channel._begin()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self.channel._heard()
        super().data_received(data)

    def eof_received(self) -> bool:
        """See asyncio."""
        super().eof_received()
        return False  # our FIN answers the peer's: what was not said before it cannot be said

    def messages_received(self, messages: MutableSequence[bytes]) -> None:
        """See MessageProtocol."""
        self.channel._received(messages)

    def stream_ended(self, error: ChannelError) -> None:
        """See MessageProtocol."""
        self.channel._ended(error)

    def resume_writing(self) -> None:
        """See asyncio."""
        super().resume_writing()
        self.channel._pump()


class LongChannel(Closing):
    """One side of a long connection; made by `connect` and `serve`."""

    def __init__(
        self, framing: Framing, settings: LifeSettings = DEFAULT, made: "Callable[[LongChannel], None] | None" = None
    ) -> None:
        check_framing(framing)
        self._loop = asyncio.get_running_loop()
        self._made = made
        self.life = self._make_life(settings, self._now())
        self.told = False  # somebody has been given the PeerLost that says what is unacknowledged
        self.wire = _Wire(framing, self)
        self._waiters = Waiters(self._loop)
        self._receiving = 0  # how many tasks wait in `receive`
        self._timer: asyncio.TimerHandle | None = None
        self._armed = NEVER
        self._due = False  # _pump comes at the end of this turn

    def _make_life(self, settings: LifeSettings, now: int) -> Life:
        """What keeps this side's state; a subclass may have more of it."""
        return Life(settings, now)

    @property
    def framing(self) -> Framing:
        """What the messages of the life are carried in."""
        return self.wire.framing

    # Calls of the program

    async def send(self, message: Buffer, timeout: float | None = None) -> int:
        """Queue `message` and return its number; waits while the queue is full, at most `timeout` seconds.

        Raises MessageRefused; ChannelTimeout (the message was not taken); ChannelClosed; PeerLost, PeerDead, ProtocolError,
        FramingError when that has ended the connection.
        """
        check_size(message, self.framing)
        life = self.life
        if not life.room and life.error is None:
            await self._until(lambda: bool(life.room) or life.error is not None, timeout, "no room to send")
        try:
            number = life.send(message)
        except PeerLost:
            self.told = True
            raise
        self._soon()
        return number

    async def receive(self, timeout: float | None = None) -> bytes:
        """The next message, within `timeout` seconds (None: for ever); taking it is what acknowledges it to the peer.

        Raises ChannelTimeout (nothing is lost); once all that came has been received, ChannelClosed after the peer's goodbye,
        and PeerLost, PeerDead, ProtocolError, FramingError when that has ended the connection.
        """
        life = self.life
        if not life.inbox and life.error is None and not life.peer_goodbye:
            self._receiving += 1
            try:
                await self._until(
                    lambda: bool(life.inbox) or life.error is not None or life.peer_goodbye, timeout, "no message"
                )
            finally:
                self._receiving -= 1
        try:
            message = life.take(self._now())
        except PeerLost:
            self.told = True
            raise
        assert message is not None
        if life.next_deadline() < self._armed:
            self._soon()
        return message

    async def ping(self, timeout: float) -> float:
        """Ask the peer whether it is there, idle or not; returns the seconds until its answer. Raises as `receive`."""
        life, began = self.life, self._loop.time()
        number = life.ping()
        self._soon()
        await self._until(lambda: life.answered >= number or life.error is not None, timeout, "no answer to a PING")
        if life.error is not None:
            raise self._telling(life.error)
        return self._loop.time() - began

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until the peer has acknowledged all that was sent. Raises as `receive`."""
        life = self.life
        await self._until(lambda: not life.unacknowledged or life.error is not None, timeout, "not all was acknowledged")
        if life.error is not None and life.unacknowledged:
            raise self._telling(life.error)

    async def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Send what is queued, say goodbye, wait until the peer has taken it all and closed too; within `timeout` seconds.

        Raises PeerLost with what is not acknowledged, unless an earlier call raised it already. Either way the connection is
        closed. What the peer has sent and nobody receives here stays unacknowledged, and the peer is told so.
        """
        life = self.life
        life.close(taking=self._receiving > 0)
        self._pump()
        try:
            async with asyncio.timeout(timeout):
                await self._until(lambda: life.error is not None or life.leaves(self._receiving > 0), None, "")
                if life.error is None:
                    await self._leave()
                await self.wire.close(timeout)
        except (TimeoutError, ChannelError):
            life.give_up(f"not all was acknowledged within {timeout} s of closing")
            if life.left and not self.wire.unsent:
                await self.wire.close()  # at once, and by FIN: only the peer's is missing
        finally:
            self.abort()
        await self.wire.wait_lost()
        lost = life.loss()
        if lost is not None and not self.told:
            raise self._telling(lost)

    def _telling(self, error: ChannelError) -> ChannelError:
        self.told = self.told or isinstance(error, PeerLost)
        return error

    async def _leave(self) -> None:
        """Our FIN, then all that the peer says up to its own."""
        self.life.leave()
        if self.wire.transport.can_write_eof():  # TLS has no half-close
            self.wire.finish()
            await self._until(lambda: self.life.error is not None, None, "")

    def abort(self) -> None:
        """Close at once. What is unacknowledged stays in `unacknowledged`."""
        self.life.give_up("this side has given up")
        self.wire.abort()
        self._changed()

    async def wait_lost(self) -> None:
        """Wait until the transport has let go of the socket."""
        await self.wire.wait_lost()

    @property
    def alive(self) -> bool:
        """Whether nothing has ended the connection, and neither side has said goodbye."""
        return self.life.error is None and not self.life.peer_goodbye

    @property
    def unacknowledged(self) -> tuple[bytes, ...]:
        """What the peer has not confirmed, oldest first."""
        return self.life.unacknowledged

    def __aiter__(self) -> AsyncIterator[bytes]:
        """All messages up to the peer's goodbye; other ends raise."""
        return until_closed(self.receive)

    # Waiting

    def _now(self) -> int:
        return round(self._loop.time() * SECOND)

    async def _until(self, condition: Callable[[], bool], timeout: float | None, what: str) -> None:
        await until(condition, self._waiters.wait, timeout, what)

    def _changed(self) -> None:
        self._waiters.wake()
        if self.life.error is not None and self._timer is not None:
            self._timer.cancel()
            self._timer, self._armed = None, NEVER

    # What the wire tells

    def _begin(self) -> None:
        self.life.heard(self._now())
        self._arm()
        if self._made is not None:
            self._made(self)

    def _heard(self) -> None:
        self.life.heard(self._now())

    def _received(self, messages: MutableSequence[bytes]) -> None:
        try:
            for message in messages:
                self.life.received(message)
        except ProtocolError as error:
            self.wire.refuse(error)
        self._changed()
        self._soon()

    def _ended(self, error: ChannelError) -> None:
        self.life.ended(error)
        self._changed()

    # Sending, and the timer

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._due = False
        life = self.life
        if life.error is None and not self.wire.paused:
            self.wire.say(life.outgoing(self._now()))
            if life.finished:
                self._changed()
        self._arm()

    def _arm(self) -> None:
        deadline = self.life.next_deadline(blocked=self.wire.paused)  # resume_writing comes back to what cannot go now
        if deadline >= self._armed:
            return  # one that comes early finds nothing to do
        if self._timer is not None:
            self._timer.cancel()
        self._armed = deadline
        self._timer = self._loop.call_at(deadline / SECOND, self._tick)

    def _tick(self) -> None:
        self._timer, self._armed = None, NEVER
        self.life.handle_timers(self._now())
        if self.life.error is not None:
            self.wire.abort()
            self._changed()
        else:
            self._soon()  # what comes at this very time may be answered by the same write


async def connect(
    host: str, port: int, framing: Framing, settings: LifeSettings = DEFAULT, *, timeout: float | None = None, **options: Any
) -> LongChannel:
    """A long connection to `host`, made within `timeout` seconds. `options` are those of loop.create_connection.

    Raises ChannelTimeout, and the OSErrors of connecting.
    """
    channel = LongChannel(framing, settings)
    await connect_as(channel, host, port, timeout, options)
    return channel


async def connect_as(channel: LongChannel, host: str, port: int, timeout: float | None, options: dict[str, Any]) -> None:
    """Connect `channel`, just made, or one of a subclass. See `connect`."""
    await connected(lambda: channel.wire, host, port, timeout, **options)


async def serve(
    handler: Callable[[LongChannel], Awaitable[None]], host: str | None, port: int, framing: Framing,
    settings: LifeSettings = DEFAULT, **options: Any,
) -> MessageServer:  # fmt: skip
    """Listen, and run `handler(channel)` for each connection; it is closed when the handler returns. See aio.serve."""
    check_framing(framing)
    return await serving(lambda made: LongChannel(framing, settings, made).wire, handler, host, port, **options)


class Reconnecting:
    """Keeps one long connection: `dial()` makes it, after a failure with `backoff` between the attempts.

    `attempts` is how many fail in a row before `channel` gives up, None for never. The decisions are reconnect.py's.
    """

    def __init__(self, dial: Callable[[], Awaitable[LongChannel]], backoff: Backoff, *, attempts: int | None = None) -> None:
        self._keeper: Keeper[LongChannel] = Keeper(backoff, attempts)
        self._dial = dial
        self._lock = asyncio.Lock()
        self._ending = asyncio.Event()

    @property
    def made(self) -> int:
        """How many connections have come about."""
        return self._keeper.made

    async def channel(self) -> LongChannel:
        """The connection that lives, made first where none does; any number of tasks may ask at once.

        When the one before broke and nobody was told what it had left unacknowledged, this raises its PeerLost, once. Raises
        PeerLost with the last OSError or ChannelTimeout as its cause when `attempts` in a row have failed; ChannelClosed after
        `close`.
        """
        async with self._lock:
            found = self._keeper.present()
            if found is not None:
                return found
            leaving = self._keeper.leaving()
            if leaving is not None:
                await leaving.close()
            return await self._connect()

    async def _connect(self) -> LongChannel:
        while not self._ending.is_set():
            try:
                return self._keeper.came(await self._dial())
            except (OSError, ChannelTimeout) as error:
                wait = self._keeper.failed(error) / SECOND
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._ending.wait()
        raise ChannelClosed("this side has closed")

    async def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Close the connection gracefully, see LongChannel.close; no new one is made. A `dial` that goes on is waited for."""
        self._ending.set()
        async with self._lock:
            channel = self._keeper.end()
        if channel is not None:
            await channel.close(timeout)
