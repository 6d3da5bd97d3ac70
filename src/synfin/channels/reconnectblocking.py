"""A long connection that is made anew when it breaks, for programs with threads. The decisions are reconnect.py's.

Owns the waits: for another thread's attempt, and between attempts. It has no thread of its own: connections are made by who
asks for one. Times are seconds.

    keeper = BlockingReconnecting(lambda: connect(address, framing, timeout=5), Backoff(random.Random(), base, cap))
    keeper.channel().send(b"1+1?")     # raises what the connection before left behind, before there is a new one
"""

import threading
from collections.abc import Callable

from synfin.channels.backoff import Backoff
from synfin.channels.blocking import CLOSE_TIMEOUT
from synfin.channels.errors import ChannelClosed, ChannelTimeout
from synfin.channels.heartbeat import SECOND
from synfin.channels.longblocking import LongSocket
from synfin.channels.reconnect import Keeper
from synfin.channels.threadparts import Closing, deadline, left, over


class BlockingReconnecting(Closing):
    """Keeps one long connection: `dial()` makes it, after a failure with `backoff` between the attempts.

    `attempts` is how many fail in a row before `channel` gives up, None for never. Raises UsageError. Close it at the end.
    """

    def __init__(self, dial: Callable[[], LongSocket], backoff: Backoff, *, attempts: int | None = None) -> None:
        self._keeper: Keeper[LongSocket] = Keeper(backoff, attempts)
        self._dial = dial
        self._making = threading.Lock()
        self._ending = threading.Event()

    @property
    def made(self) -> int:
        """How many connections have come about."""
        return self._keeper.made

    def channel(self, timeout: float | None = None) -> LongSocket:
        """The connection that lives, made first where none does; any number of threads may ask at once.

        When the one before broke and nobody was told what it had left unacknowledged, this raises its PeerLost, once. Raises
        ChannelTimeout when there is none after `timeout` seconds (None: for ever), or after as much more as a `dial` takes that
        has begun by then; PeerLost with the last OSError or ChannelTimeout as its cause when `attempts` in a row have failed;
        ChannelClosed after `close`.
        """
        until = deadline(timeout)
        if not self._making.acquire(timeout=-1 if timeout is None else timeout):
            raise ChannelTimeout(f"no connection within {timeout} s")
        try:
            return self._present() or self._connect(until, timeout)
        finally:
            self._making.release()

    def _present(self) -> LongSocket | None:
        found = self._keeper.present()
        if found is None:
            leaving = self._keeper.leaving()
            if leaving is not None:
                leaving.close()
        return found

    def _connect(self, until: float | None, timeout: float | None) -> LongSocket:
        while not self._ending.is_set():
            try:
                return self._keeper.came(self._dial())
            except (OSError, ChannelTimeout) as error:
                wait = self._keeper.failed(error) / SECOND
            rest = left(until)
            self._ending.wait(wait if rest is None else min(wait, rest))
            if over(until) and not self._ending.is_set():
                raise ChannelTimeout(f"no connection within {timeout} s")
        raise ChannelClosed("this side has closed")

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Close the connection gracefully, see LongSocket.close; no new one is made. A `dial` that goes on is waited for."""
        self._ending.set()
        with self._making:
            channel = self._keeper.end()
        if channel is not None:
            channel.close(timeout)
