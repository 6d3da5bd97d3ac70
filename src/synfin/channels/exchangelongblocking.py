"""Questions and answers by number on a long connection, for programs with threads: pipelined, with heartbeat and goodbye.

Owns how exchange.py's messages are carried as life.py's DATA. A message of the exchange is acknowledged when it has come: the
connection's own thread takes it at once, hands an answer to its call and a request to the answering thread, so that a handler
that takes its time holds up no heartbeat. Times are seconds.

    with connect(("server", 7000), LengthHeader(4), LifeSettings(interval=10 * SECOND), timeout=5) as exchange:
        calls = [exchange.submit(b"1+1?") for _ in range(50)]
        print(exchange.ask(b"2+2?", timeout=5), [call.result(timeout=5) for call in calls])
"""

import contextlib
import socket
import time
from typing import Any

from synfin.channels import blocking
from synfin.channels.blocking import CLOSE_TIMEOUT
from synfin.channels.errors import ChannelClosed, ChannelError, ProtocolError
from synfin.channels.exchange import LIMIT
from synfin.channels.exchangecallsblocking import BlockingCalls, Handler
from synfin.channels.exchangelong import check_fit, check_settings
from synfin.channels.framing import Buffer, Framing
from synfin.channels.life import LifeSettings
from synfin.channels.long import DEFAULT
from synfin.channels.longblocking import LongSocket
from synfin.engine.errors import UsageError


class BlockingLongExchange(BlockingCalls, LongSocket):
    """One side, over `sock`, a connected stream socket, which belongs to this object from now on. Has ask, submit, in_flight
    and wait_ended of BlockingExchange; ping, close, abort, alive and unacknowledged of LongSocket. Calls that wait when the
    connection ends raise what ended it. `close` it, or its threads go on.

    A request that found room is on its way, whether the socket takes it now or later. Raises UsageError where the settings'
    queue does not hold `limit` requests, as many answers and a quarter of the window.
    """

    def __init__(
        self, sock: socket.socket, framing: Framing, settings: LifeSettings = DEFAULT, handler: Handler | None = None, *,
        limit: int = LIMIT,
    ) -> None:  # fmt: skip
        self._begin_calls(framing, handler, limit)
        check_settings(framing, settings, limit)
        super().__init__(sock, framing, settings)
        self._receiving = 1  # what comes is always taken

    def send(self, message: Buffer, timeout: float | None = None) -> int:
        """Not here: raises UsageError."""
        raise UsageError("an exchange is asked: ask or submit")

    def receive(self, timeout: float | None = None) -> bytes:
        """Not here: raises UsageError."""
        raise UsageError("an exchange gives its answers to who asked")

    def _check_size(self, message: Buffer) -> None:
        check_fit(message, self.framing)

    def _put_request(self, message: bytes, until: float | None, timeout: float | None) -> None:
        with self._changed:
            self._say(message)

    def _put_answer(self, message: bytes) -> None:
        life = self.life
        with self._changed:  # who has said goodbye waits for no answer
            if life.error is None and not life.closing and not life.peer_goodbye:
                with contextlib.suppress(ProtocolError):  # the thread lets go
                    self._say(message)

    def _say(self, message: bytes) -> None:
        try:
            self.life.say(message)
        except ProtocolError:
            self._wake()
            raise
        self._go()

    def _why_not(self) -> ChannelError | None:
        if self.life.error is None and self.life.closing:
            return ChannelClosed("this side has said goodbye")
        return self.life.error or self._why_over

    # The connection's thread

    def _take(self, messages: list[bytes]) -> None:
        super()._take(messages)
        life = self.life
        try:
            while life.inbox:
                self._took(life.take(time.monotonic_ns()) or b"")
        except ProtocolError as error:
            life.ended(error)
        if life.peer_goodbye and life.error is None:
            self._stop(ChannelClosed("the peer has said goodbye"), answer=False)

    def _run(self) -> None:
        super()._run()
        with self._changed:
            error = self.life.error
            assert error is not None  # or the thread would go on
            self.told = self._stop(error, answer=False) or self.told

    # Ending

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """See LongSocket. The peer's requests that are not answered get no answer; waits for a handler that runs."""
        try:
            super().close(timeout)
        finally:
            self._join_answering()

    def abort(self) -> None:
        """See LongSocket. Waits for a handler that runs."""
        super().abort()
        self._join_answering()


def connect(
    address: Any, framing: Framing, settings: LifeSettings = DEFAULT, handler: Handler | None = None, *,
    limit: int = LIMIT, timeout: float | None = None,
) -> BlockingLongExchange:  # fmt: skip
    """An exchange on a long connection to `address`, (host, port), made within `timeout` seconds. Raises as blocking.connect,
    and UsageError."""
    check_settings(framing, settings, limit)
    sock = blocking.connect(address, framing, timeout=timeout).sock
    return BlockingLongExchange(sock, framing, settings, handler, limit=limit)
