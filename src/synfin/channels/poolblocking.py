"""A pool of long connections for threads. The books are pool.py's; this owns making, checking and closing. Times are seconds.

It has no thread of its own: connections that nobody needed for too long are closed when the pool is next used, or by `reap`.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from synfin.channels.blocking import CLOSE_TIMEOUT, deadline, left, over
from synfin.channels.errors import ChannelError, ChannelTimeout, PoolClosed
from synfin.channels.heartbeat import NEVER, SECOND
from synfin.channels.longblocking import LongSocket
from synfin.channels.pool import Ledger, PoolMetrics
from synfin.channels.poolaio import CHECK, IDLE_LIMIT


class BlockingPool:
    """See poolaio.Pool."""

    def __init__(
        self, make: Callable[[], LongSocket], size: int, *, idle_limit: float | None = IDLE_LIMIT, check: float | None = CHECK
    ) -> None:
        self._make = make
        self._check = check
        self._ledger: Ledger[LongSocket] = Ledger(size, NEVER if idle_limit is None else round(idle_limit * SECOND))
        self._changed = threading.Condition()
        self._used: dict[LongSocket, None] = {}
        self._closed = False

    @property
    def metrics(self) -> PoolMetrics:
        """The figures now."""
        with self._changed:
            return self._ledger.metrics()

    @contextmanager
    def use(self, timeout: float | None = None) -> Iterator[LongSocket]:
        """A connection for the block; see poolaio.Pool.use."""
        channel = self.acquire(timeout)
        try:
            yield channel
        except BaseException:
            self.release(channel, broken=True)
            raise
        self.release(channel)

    def acquire(self, timeout: float | None = None) -> LongSocket:
        """A connection, to be given back by `release`. Who asks first is served first.

        Raises ChannelTimeout when no slot came free within `timeout` seconds (making a connection has a timeout of its own),
        PoolClosed, and what `make` raises.
        """
        self.reap()
        self._slot(timeout)
        try:
            return self._connection()
        except BaseException:
            self._free()
            raise

    def _slot(self, timeout: float | None) -> None:
        until = deadline(timeout)
        with self._changed:
            if self._closed:
                raise PoolClosed("the pool is closed")
            ticket = self._ledger.ask(time.monotonic_ns())
            try:
                self._changed.wait_for(lambda: ticket.granted or self._closed, left(until))
                if not ticket.granted:
                    raise PoolClosed("the pool is closed") if self._closed else ChannelTimeout(
                        f"no connection of the pool within {timeout} s"
                    )
            except BaseException:
                self._ledger.withdraw(ticket, time.monotonic_ns())
                self._changed.notify_all()
                raise

    def _connection(self) -> LongSocket:
        while True:
            with self._changed:
                found = self._ledger.take_idle()
            if found is None:
                break
            if self._fit(*found):
                with self._changed:
                    self._used[found[0]] = None
                return found[0]
        channel = self._make()
        with self._changed:
            self._ledger.count_made()
            self._used[channel] = None
        return channel

    def _fit(self, channel: LongSocket, since: int) -> bool:
        try:
            if channel.alive:
                if self._check is not None and time.monotonic_ns() - since >= self._check * SECOND:
                    channel.ping(self._check)
                return True
        except ChannelError:
            pass
        channel.abort()
        with self._changed:
            self._ledger.count_closed(broken=True)
        return False

    def release(self, channel: LongSocket, *, broken: bool = False) -> None:
        """Give `channel` back; `broken` for one that is not to be used again. Raises KeyError for one that was not acquired."""
        with self._changed:
            del self._used[channel]
            unfit = broken or not channel.alive or bool(channel.life.inbox)
            kept = not unfit and not self._closed
            if kept:
                self._ledger.put_idle(channel, time.monotonic_ns())
            else:
                self._ledger.count_closed(broken=unfit)
        if not kept:
            self._close_one(channel, unfit)
        self._free()

    def _free(self) -> None:
        with self._changed:
            self._ledger.free(time.monotonic_ns())
            self._changed.notify_all()

    @staticmethod
    def _close_one(channel: LongSocket, unfit: bool) -> None:
        if not unfit:
            try:
                channel.close()
                return
            except ChannelError:
                pass  # whoever used it had it acknowledged, or did not mind
        channel.abort()

    def reap(self) -> None:
        """Close the connections that have been idle for too long."""
        with self._changed:
            gone = self._ledger.expired(time.monotonic_ns())
        for channel in gone:
            self._close_one(channel, not channel.alive)

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Give no more connections, wait until those in use are back, close all; what is not back within `timeout` seconds is
        closed at once, under its user. Who waits gets PoolClosed."""
        until = deadline(timeout)
        idle: list[LongSocket] = []
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            while (found := self._ledger.take_idle()) is not None:
                self._ledger.count_closed()
                idle.append(found[0])
        for channel in idle:
            self._close_one(channel, not channel.alive)
        with self._changed:
            while self._ledger.in_use and not over(until):
                self._changed.wait(left(until))
            used = list(self._used)
        for channel in used:
            channel.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
