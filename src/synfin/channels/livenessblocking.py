"""The liveness check for programs with threads, over whatever carries messages. The messages are liveness.py's.

    peer = over_udp(sock)                     # a connected UDP socket; over_messages(MessageSocket) for TCP
    print(peer.check().outcome)

Owns the loop that waits for the next message or deadline. One thread uses it at a time. Times are seconds, nanoseconds in
Learned."""

import socket
import time
from collections.abc import Callable, Iterator

from synfin.channels.blocking import MessageSocket
from synfin.channels.errors import ChannelTimeout
from synfin.channels.liveness import NEVER, SECOND, Learned, Liveness
from synfin.channels.livenessaio import PATIENCE, REST, fresh
from synfin.channels.threadparts import deadline, left, over
from synfin.channels.waiting import READ, wait


class BlockingLiveness:
    """One side. `send` takes a message, `receive` waits for one, each so many seconds at most (None: for ever), and raises
    ChannelTimeout. `dropped` counts the messages that found no room in time: they are as good as lost."""

    def __init__(
        self, send: Callable[[bytes, float | None], None], receive: Callable[[float | None], bytes], *,
        patience: float = PATIENCE, rest: float = REST,
    ) -> None:  # fmt: skip
        self.liveness = Liveness(fresh, patience=round(patience * SECOND), rest=round(rest * SECOND))
        self._send = send
        self._receive = receive
        self.dropped = 0

    def check(self) -> Learned:
        """Ask, and wait for the end of the check: `patience` at most, twice that where the peer has asked meanwhile. Raises
        Resting, and what the carrier raises."""
        self.liveness.begin(time.monotonic_ns())
        while True:
            for learned in self._step(None):
                if learned.outcome is not None:
                    return learned

    def listen(self, seconds: float) -> Iterator[Learned]:
        """Answer for so long; gives what is learnt, as it is learnt. Raises what the carrier raises."""
        until = deadline(seconds)
        while not over(until):
            yield from self._step(left(until))

    def _step(self, longest: float | None) -> list[Learned]:
        """Send what is to go; wait for a message, the check's deadline or `longest`."""
        liveness, until = self.liveness, deadline(longest)
        self._flush(until)
        try:
            liveness.received(self._receive(self._left(until)), time.monotonic_ns())
        except ChannelTimeout:
            liveness.handle_timers(time.monotonic_ns())
        self._flush(until)
        learned, liveness.learned = liveness.learned, []
        return learned

    def _left(self, until: float | None) -> float | None:
        """Seconds until then, or until patience is over."""
        due = self.liveness.next_deadline()
        patience = None if due == NEVER else max(0.0, (due - time.monotonic_ns()) / SECOND)
        return min((rest for rest in (left(until), patience) if rest is not None), default=None)

    def _flush(self, until: float | None) -> None:
        out, self.liveness.out = self.liveness.out, []
        for data in out:
            rest, patience = self._left(until), self.liveness.patience / SECOND
            try:
                self._send(data, patience if rest is None else min(rest, patience))
            except ChannelTimeout:
                self.dropped += 1


def over_messages(messages: MessageSocket, *, patience: float = PATIENCE, rest: float = REST) -> BlockingLiveness:
    """The check over `messages`, framed by livenessaio.FRAMING."""
    return BlockingLiveness(messages.send, messages.receive, patience=patience, rest=rest)


def over_udp(sock: socket.socket, *, patience: float = PATIENCE, rest: float = REST) -> BlockingLiveness:
    """The check over `sock`, a connected UDP socket. That nobody listens there proves nothing: patience decides."""

    def send(data: bytes, timeout: float | None) -> None:
        try:
            sock.send(data)
        except ConnectionRefusedError:
            return
        except BlockingIOError:
            raise ChannelTimeout("the socket has no room for a datagram") from None

    def receive(timeout: float | None) -> bytes:
        until = deadline(timeout)
        while wait(sock, READ, left(until)):
            try:
                return sock.recv(64)
            except (ConnectionRefusedError, BlockingIOError):
                continue
        raise ChannelTimeout(f"no datagram within {timeout} s")

    return BlockingLiveness(send, receive, patience=patience, rest=rest)
