"""A pool of long connections for threads. The books are pool.py's; this owns making, checking and closing. Times are seconds.

It has no thread of its own: connections that nobody needed for too long are closed when the pool is next used, or by `reap`.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from synfin.channels.blocking import CLOSE_TIMEOUT
from synfin.channels.errors import ChannelError, ChannelTimeout
from synfin.channels.longblocking import LongSocket
from synfin.channels.pool import CHECK, IDLE_LIMIT, Ledger, PoolMetrics
from synfin.channels.threadparts import Closing, deadline, left, over, wait_for


class BlockingPool(Closing):
    """See poolaio.Pool."""

    def __init__(
        self, make: Callable[[], LongSocket], size: int, *, idle_limit: float | None = IDLE_LIMIT, check: float | None = CHECK
    ) -> None:
        self._make = make
        self._check = check
        self._ledger: Ledger[LongSocket] = Ledger(size, idle_limit, check)
        self._changed = threading.Condition()

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

        Raises ChannelTimeout when no slot came free, and no idle connection proved fit, within `timeout` seconds (making a new
        one has a timeout of its own), PoolClosed, and what `make` raises.
        """
        until = deadline(timeout)
        self._reap(until)
        self._slot(until, timeout)
        try:
            return self._connection(until, timeout)
        except BaseException:
            self._free()
            raise

    def _slot(self, until: float | None, timeout: float | None) -> None:
        with self._changed:
            ticket = self._ledger.ask(time.monotonic_ns())
            try:
                wait_for(self._changed, lambda: ticket.granted or self._ledger.closed, until, _none(timeout))
                self._ledger.check_open()
            except BaseException:
                self._ledger.withdraw(ticket, time.monotonic_ns())
                self._changed.notify_all()
                raise

    def _connection(self, until: float | None, timeout: float | None) -> LongSocket:
        while True:
            with self._changed:
                found = self._ledger.take_idle()
            if found is None:
                break
            channel, since = found
            if self._fit(channel, since, until, timeout):
                with self._changed:
                    self._ledger.give(channel)
                return channel
        channel = self._make()
        with self._changed:
            self._ledger.give(channel, made=True)
        return channel

    def _fit(self, channel: LongSocket, since: int, until: float | None, timeout: float | None) -> bool:
        fit = channel.alive
        if fit and self._check is not None and self._ledger.check_due(since, time.monotonic_ns()):
            if over(until):  # no time to ask it: it stays for the next
                with self._changed:
                    kept = self._ledger.put_back(channel, since)
                if not kept:
                    channel.abort()
                raise ChannelTimeout(_none(timeout))
            try:
                channel.ping(self._check if until is None else min(self._check, left(until) or 0.0))
            except ChannelError:
                fit = False
        if not fit:
            channel.abort()
            with self._changed:
                self._ledger.count_closed(broken=True)
        return fit

    def release(self, channel: LongSocket, *, broken: bool = False) -> None:
        """Give `channel` back; `broken` for one that is not to be used again. Raises KeyError for one that was not acquired.

        Where the pool has been closed meanwhile, this waits until the connection is closed in order, 5 s at most.
        """
        fit = not broken and channel.alive and not channel.life.inbox
        with self._changed:
            kept = self._ledger.take_back(channel, time.monotonic_ns(), fit=fit)
        if not kept:
            self._close_one(channel, CLOSE_TIMEOUT if fit else None)
        self._free()

    def _free(self) -> None:
        with self._changed:
            self._ledger.free(time.monotonic_ns())
            self._changed.notify_all()

    @staticmethod
    def _close_one(channel: LongSocket, timeout: float | None) -> None:
        """In order, within `timeout`; None: at once."""
        if timeout is not None and channel.alive:
            try:
                channel.close(timeout)
                return
            except ChannelError:
                pass  # whoever used it had it acknowledged, or did not mind
        channel.abort()

    def reap(self) -> None:
        """Close the connections that have been idle for too long."""
        self._reap(None)

    def _reap(self, until: float | None) -> None:
        with self._changed:
            gone = self._ledger.expired(time.monotonic_ns())
        for channel in gone:
            self._close_one(channel, CLOSE_TIMEOUT if until is None else min(CLOSE_TIMEOUT, left(until) or 0.0))

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Give no more connections, close those that are idle, wait until those in use are back; what is not closed within
        `timeout` seconds is closed at once, under its user. Who waits gets PoolClosed."""
        until = deadline(timeout)
        with self._changed:
            idle = self._ledger.close()
            self._changed.notify_all()
        for channel in idle:
            self._close_one(channel, left(until))
        with self._changed:
            with contextlib.suppress(ChannelTimeout):
                wait_for(self._changed, lambda: not self._ledger.in_use, until, "")
            used = list(self._ledger.used)
        for channel in used:
            channel.abort()


def _none(timeout: float | None) -> str:
    return f"no connection of the pool within {timeout} s"
