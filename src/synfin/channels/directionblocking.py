"""Who may speak, for programs with threads: simplex, half duplex. Full duplex is blocking.MessageSocket as it is: one thread
may receive while another sends. The bytes are direction.py's; a channel is used by one thread at a time. Times are seconds."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Self

from synfin.channels.blocking import MessageSocket
from synfin.channels.direction import NEVER, QUEUE, SECOND, HalfDuplex, InboxFull
from synfin.channels.directionaio import DEFAULT_TIMEOUT
from synfin.channels.errors import ChannelClosed, ChannelTimeout, PeerLost, ProtocolError
from synfin.channels.exchange import check_framing, check_size
from synfin.channels.framing import Buffer
from synfin.channels.threadparts import deadline, left, over
from synfin.engine.errors import UsageError


class BlockingSender:
    """The end of a simplex channel that only sends, over `messages`, which belong to it from now on."""

    def __init__(self, messages: MessageSocket) -> None:
        self.messages = messages

    def send(self, message: Buffer, timeout: float | None = None) -> None:
        """See MessageSocket.send."""
        self.messages.send(message, timeout)

    def receive(self, timeout: float | None = None) -> bytes:
        """Raises UsageError: nothing comes this way."""
        raise UsageError("this end of a simplex channel only sends")

    def close(self, timeout: float) -> None:
        """FIN after what was sent; wait, at most `timeout` seconds, until the peer has closed too. Raises as Sender.close."""
        error = self.messages.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self.messages.finish()
        try:
            if error:  # a reset after the peer's FIN: to receive would tell of the FIN alone
                raise PeerLost(f"the connection broke: {os.strerror(error)}")
            said = self.messages.receive(timeout)
        except ChannelClosed:
            return
        finally:
            self.messages.close()
        raise ProtocolError(f"the receiving end of a simplex channel said {len(said)} bytes", offset=0, limit=0)


class BlockingReceiver:
    """The end of a simplex channel that only receives: its own half is shut down at once."""

    def __init__(self, messages: MessageSocket) -> None:
        self.messages = messages
        messages.finish()

    def send(self, message: Buffer, timeout: float | None = None) -> None:
        """Raises UsageError: this half is shut down."""
        raise UsageError(f"this end of a simplex channel only receives: {len(message)} bytes cannot be sent")

    def receive(self, timeout: float | None = None) -> bytes:
        """See MessageSocket.receive."""
        return self.messages.receive(timeout)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.messages)

    def close(self) -> None:
        """Close."""
        self.messages.close()


class BlockingHalfDuplex:
    """One side of a half-duplex channel over `messages`, which belong to it from now on; `caller` for who connected. `timeout`
    and `queue` as those of HalfDuplexChannel."""

    def __init__(self, messages: MessageSocket, *, caller: bool, timeout: float = DEFAULT_TIMEOUT, queue: int = QUEUE) -> None:
        check_framing(messages.framing)
        self.messages = messages
        self.turns = HalfDuplex(caller, round(timeout * SECOND), queue)

    def say(self, message: Buffer, timeout: float | None = None) -> None:
        """Send `message`. Raises NotYourTurn, TurnLost, MessageRefused, ChannelTimeout, ChannelClosed, PeerLost."""
        check_size(message, self.messages.framing)
        self.turns.send(message)
        self._write(deadline(timeout))

    def over(self, *, give: bool = True, timeout: float | None = None) -> None:
        """End the turn: over to the peer, or with `give` False to nobody unless the peer has asked. Raises as `say`."""
        self.turns.over(give=give)
        self._write(deadline(timeout))

    def turn(self, timeout: float | None = None) -> None:
        """Ask for the turn, and wait for it; what the peer says meanwhile is kept for `receive`. Raises ChannelTimeout;
        InboxFull where more than `queue` bytes of it wait: the turn is behind them; what ended the connection; TurnLost once.
        """
        turns = self.turns
        turns.check()
        turns.ask(time.monotonic_ns())
        self._until(lambda: turns.mine or turns.full, timeout, "no turn")
        if not turns.mine:
            raise InboxFull(turns.waiting, turns.queue)

    def receive(self, timeout: float | None = None) -> bytes:
        """The next message, within `timeout` seconds. Raises ChannelTimeout; what ended the connection."""
        self._until(lambda: bool(self.turns.inbox), timeout, "no message")
        return self.turns.take(time.monotonic_ns())

    def _until(self, condition: Callable[[], bool], timeout: float | None, what: str) -> None:
        until = deadline(timeout)
        self._write(until)
        while not condition():
            if over(until):
                raise ChannelTimeout(f"{what} within {timeout} s")
            due = self.turns.next_deadline()
            rests = [left(until), None if due == NEVER else max(0.0, (due - time.monotonic_ns()) / SECOND)]
            try:
                message = self.messages.receive(min((rest for rest in rests if rest is not None), default=None))
            except ChannelTimeout:
                self.turns.handle_timers(time.monotonic_ns())
            else:
                self._take(message)
            self._write(until)

    def _take(self, message: bytes) -> None:
        try:
            self.turns.received(message, time.monotonic_ns())
        except ProtocolError:
            self.messages.abort()
            raise

    def _write(self, until: float | None) -> None:
        out, self.turns.out = self.turns.out, []
        for message in out:
            self.messages.send(message, left(until))

    def close(self) -> None:
        """Close."""
        self.messages.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
