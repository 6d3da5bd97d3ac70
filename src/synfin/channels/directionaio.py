"""Who may speak, in asyncio: simplex, half duplex. Full duplex is aio.MessageStream as it is: both sides speak when they like.

Simplex: Sender and Receiver make of a MessageStream one end whose other half is shut down. The receiver sends FIN at once;
a byte from it would be a ProtocolError. Half duplex: the bytes are direction.py's.

    channel = await connect("server", 7000, LengthHeader(4))     # the turn is the caller's at first
    channel.send(b"over?")
    channel.over()
    print(await channel.receive())

Times are seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableSequence
from typing import Any, Final

from synfin.channels.aio import MessageProtocol, MessageServer, MessageStream, serving
from synfin.channels.asyncparts import Closing, Waiters, connected, until
from synfin.channels.direction import QUEUE, SECOND, TIMEOUT, HalfDuplex, InboxFull
from synfin.channels.errors import ChannelClosed, ChannelError, ProtocolError
from synfin.channels.exchange import check_framing, check_size
from synfin.channels.framing import Buffer, Framing
from synfin.engine.errors import UsageError

DEFAULT_TIMEOUT: Final = TIMEOUT / SECOND
REPLIES: Final = 64  # messages that the peer may make us say while it takes none off us


class Sender:
    """The end of a simplex channel that only sends, over `stream`, which belongs to it from now on."""

    def __init__(self, stream: MessageStream) -> None:
        self.stream = stream

    async def send(self, message: Buffer) -> None:
        """Send `message`; waits while the receiver is slow. Raises as MessageStream.send."""
        self.stream.send(message)
        await self.stream.drain()

    async def receive(self) -> bytes:
        """Raises UsageError: nothing comes this way."""
        raise UsageError("this end of a simplex channel only sends")

    async def close(self, timeout: float) -> None:
        """FIN after what was sent, and wait, at most `timeout` seconds, until the socket has taken it all, which delivers it:
        a receiver acknowledges nothing, so what is on its way when the path breaks is lost without a word.

        Raises ProtocolError when the receiver has said something, ChannelTimeout, PeerLost, FramingError.
        """
        self.stream.finish()
        try:
            said = await self.stream.receive(timeout)
        except ChannelClosed:
            await self.stream.close(timeout)
            if self.stream.broken is not None:
                raise self.stream.broken from None
            return
        finally:
            self.stream.abort()
        raise ProtocolError(f"the receiving end of a simplex channel said {len(said)} bytes", offset=0, limit=0)


class Receiver:
    """The end of a simplex channel that only receives: its own half is shut down at once. Sending raises UsageError."""

    def __init__(self, stream: MessageStream) -> None:
        self.stream = stream
        stream.finish()

    async def send(self, message: Buffer) -> None:
        """Raises UsageError: this half is shut down."""
        raise UsageError(f"this end of a simplex channel only receives: {len(message)} bytes cannot be sent")

    async def receive(self, timeout: float | None = None) -> bytes:
        """The next message. Raises as MessageStream.receive."""
        return await self.stream.receive(timeout)

    def __aiter__(self) -> AsyncIterator[bytes]:
        """All messages up to the sender's end; other ends raise."""
        return self.stream.__aiter__()

    async def close(self, timeout: float) -> None:
        """Close. Raises ChannelTimeout."""
        await self.stream.close(timeout)


class HalfDuplexChannel(MessageProtocol, Closing):
    """One side of a half-duplex channel; made by `connect` and `serve`. `timeout`: after so long without a message from its
    holder a turn that was asked for is taken. Beyond `queue` bytes of messages that wait to be received reading pauses, and
    TCP's window closes."""

    def __init__(
        self, framing: Framing, *, caller: bool, timeout: float = DEFAULT_TIMEOUT, queue: int = QUEUE,
        made: "Callable[[HalfDuplexChannel], None] | None" = None,
    ) -> None:  # fmt: skip
        check_framing(framing)
        super().__init__(framing)
        self.turns = HalfDuplex(caller, round(timeout * SECOND), queue)
        self._made = made
        self._waiters = Waiters(self._loop)
        self._timer: asyncio.TimerHandle | None = None
        self._reading = True
        self._replies = 0  # since the transport has no room

    def say(self, message: Buffer) -> None:
        """Send `message`. Raises NotYourTurn, TurnLost once when the last turn was taken from us, MessageRefused, ChannelClosed
        and PeerLost."""
        check_size(message, self.framing)
        if self._unable is not None:
            raise self._unable
        self.turns.send(message)
        self._act()

    def over(self, *, give: bool = True) -> None:
        """End the turn: over to the peer, or with `give` False to nobody unless it has asked. Raises NotYourTurn, TurnLost."""
        self.turns.over(give=give)
        self._act()

    async def turn(self, timeout: float | None = None) -> None:
        """Ask for the turn, and wait for it at most `timeout` seconds. A holder that is silent loses it after the channel's own
        timeout. Raises ChannelTimeout; InboxFull where more than `queue` bytes wait to be received: the turn is behind them;
        what ended the connection; TurnLost once."""
        turns = self.turns
        turns.check()
        turns.ask(self._now())
        self._act()
        await self._until(lambda: turns.mine or turns.full, timeout, "no turn")
        if not turns.mine:
            raise InboxFull(turns.waiting, turns.queue)

    async def receive(self, timeout: float | None = None) -> bytes:
        """The next message, within `timeout` seconds. Raises ChannelTimeout; what ended the connection."""
        await self._until(lambda: bool(self.turns.inbox), timeout, "no message")
        message = self.turns.take(self._now())
        if not self._reading and not self.turns.full:
            self._reading = True
            if not self.transport.is_closing():
                self.transport.resume_reading()
            self._act()
        return message

    def _now(self) -> int:
        return round(self._loop.time() * SECOND)

    async def _until(self, condition: Callable[[], bool], timeout: float | None, what: str) -> None:
        await until(condition, self._change, timeout, what)

    async def _change(self) -> None:
        """Wait until something has changed. Raises what ended the connection."""
        if self._ended is not None:
            raise self._ended
        await self._waiters.wait()

    def _act(self) -> None:
        """Send what is to go, wake who waits, set the timer."""
        out, self.turns.out = self.turns.out, []
        if self._unable is None:
            for message in out:
                super().send(message)
        self._waiters.wake()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.turns.asking and self._ended is None:
            self._timer = self._loop.call_at(self.turns.next_deadline() / SECOND, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.turns.handle_timers(self._now())
        self._act()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        super().connection_made(transport)
        if self._made is not None:
            self._made(self)

    def messages_received(self, messages: MutableSequence[bytes]) -> None:
        """See MessageProtocol."""
        try:
            for message in messages:
                self.turns.received(message, self._now())
            self._check_replies()
        except ProtocolError as error:
            self._refuse(error)
        if self.turns.full and self._reading and self._ended is None:
            self._reading = False
            self.transport.pause_reading()
        self._act()

    def _check_replies(self) -> None:
        """What the peer makes us say must not heap up because it takes nothing off us. Raises ProtocolError."""
        if self._paused:
            self._replies += len(self.turns.out)
        if self._replies > REPLIES:
            what = f"{self._replies} answers to the peer's messages have not been read"
            raise ProtocolError(what, offset=self.turns.came, limit=REPLIES)

    def resume_writing(self) -> None:
        """See asyncio."""
        super().resume_writing()
        self._replies = 0

    def stream_ended(self, error: ChannelError) -> None:
        """See MessageProtocol."""
        self._act()


async def connect(
    host: str, port: int, framing: Framing, *, turn_timeout: float = DEFAULT_TIMEOUT, timeout: float | None = None,
    queue: int = QUEUE, **options: Any,
) -> HalfDuplexChannel:  # fmt: skip
    """A half-duplex channel to `host`, within `timeout` seconds; the first turn is ours. Raises ChannelTimeout and OSErrors."""
    return await connected(
        lambda: HalfDuplexChannel(framing, caller=True, timeout=turn_timeout, queue=queue), host, port, timeout, **options
    )


async def serve(
    handler: Callable[[HalfDuplexChannel], Awaitable[None]], host: str | None, port: int, framing: Framing, *,
    turn_timeout: float = DEFAULT_TIMEOUT, queue: int = QUEUE, **options: Any,
) -> MessageServer:  # fmt: skip
    """Listen, and run `handler(channel)` for each connection. See aio.serve."""
    check_framing(framing)
    return await serving(
        lambda made: HalfDuplexChannel(framing, caller=False, timeout=turn_timeout, queue=queue, made=made), handler, host,
        port, **options,
    )  # fmt: skip
