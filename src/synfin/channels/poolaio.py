"""A pool of long connections in asyncio. The books are pool.py's; this owns making, checking and closing.

    pool = Pool(lambda: connect("server", 7000, LengthHeader(4)), size=8)
    async with pool.use(timeout=1) as channel:
        await channel.send(b"1+1?")
        print(await channel.receive(timeout=1))
    await pool.close()

Times are seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

from synfin.channels.aio import CLOSE_TIMEOUT
from synfin.channels.errors import ChannelError, ChannelTimeout, PoolClosed
from synfin.channels.heartbeat import NEVER, SECOND
from synfin.channels.long import LongChannel
from synfin.channels.pool import CHECK, IDLE_LIMIT, Ledger, PoolMetrics, Ticket


class Pool:
    """At most `size` connections made by `make`.

    idle_limit: a connection that nobody needed for so long is closed; None: never.
    check: a connection that was idle for so long is asked by a PING before it is given, and has as long to answer; None: what
        its heartbeat knows is enough. A connection that fails is replaced.
    """

    def __init__(
        self, make: Callable[[], Awaitable[LongChannel]], size: int, *, idle_limit: float | None = IDLE_LIMIT,
        check: float | None = CHECK,
    ) -> None:  # fmt: skip
        self._make = make
        self._check = check
        self._ledger: Ledger[LongChannel] = Ledger(size, idle_limit, check)
        self._loop = asyncio.get_running_loop()
        self._waiters: dict[Ticket, asyncio.Future[None]] = {}
        self._closing: dict[asyncio.Task[None], None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._returned = asyncio.Event()

    @property
    def metrics(self) -> PoolMetrics:
        """The figures now."""
        return self._ledger.metrics()

    @asynccontextmanager
    async def use(self, timeout: float | None = None) -> AsyncIterator[LongChannel]:
        """A connection for the block. One that the block leaves by an exception is closed, for an answer may still be on its
        way. Raises as `acquire`."""
        channel = await self.acquire(timeout)
        try:
            yield channel
        except BaseException:
            self.release(channel, broken=True)
            raise
        self.release(channel)

    async def acquire(self, timeout: float | None = None) -> LongChannel:
        """A connection, to be given back by `release`. Who asks first is served first.

        Raises ChannelTimeout when that took longer than `timeout` seconds, PoolClosed, and what `make` raises.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._slot()
                try:
                    return await self._connection()
                except BaseException:
                    self._free()
                    raise
        except TimeoutError as error:
            if error.errno is not None or isinstance(error, ChannelTimeout):
                raise
            raise ChannelTimeout(f"no connection of the pool within {timeout} s") from None

    async def _slot(self) -> None:
        ticket = self._ledger.ask(self._now())
        if ticket.granted:
            return
        waiter = self._waiters[ticket] = self._loop.create_future()
        try:
            await waiter
        except BaseException:
            self._wake(self._ledger.withdraw(ticket, self._now()))
            raise
        finally:
            del self._waiters[ticket]

    async def _connection(self) -> LongChannel:
        while (found := self._ledger.take_idle()) is not None:
            channel, since = found
            if await self._fit(channel, since):
                self._ledger.give(channel)
                return channel
        channel = await self._make()
        self._ledger.give(channel, made=True)
        return channel

    async def _fit(self, channel: LongChannel, since: int) -> bool:
        fit = channel.alive
        try:
            if fit and self._check is not None and self._ledger.check_due(since, self._now()):
                await channel.ping(self._check)
        except ChannelError:
            fit = False
        except BaseException:
            channel.abort()
            self._ledger.count_closed()
            raise
        if not fit:
            channel.abort()
            self._ledger.count_closed(broken=True)
        return fit

    def release(self, channel: LongChannel, *, broken: bool = False) -> None:
        """Give `channel` back; `broken` for one that is not to be used again. Raises KeyError for one that was not acquired."""
        fit = not broken and channel.alive and not channel.life.inbox
        if self._ledger.take_back(channel, self._now(), fit=fit):
            self._arm()
        elif fit:
            self._retire(channel)
        else:
            channel.abort()
        self._free()

    def _free(self) -> None:
        self._wake(self._ledger.free(self._now()))
        self._returned.set()

    def _wake(self, ticket: Ticket | None) -> None:
        waiter = None if ticket is None else self._waiters.get(ticket)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _retire(self, channel: LongChannel) -> None:
        """Close gracefully, beside what else goes on."""
        task = self._loop.create_task(self._close_one(channel))
        self._closing[task] = None
        task.add_done_callback(self._closing.pop)

    @staticmethod
    async def _close_one(channel: LongChannel, timeout: float = CLOSE_TIMEOUT) -> None:
        try:
            await channel.close(timeout)
        except ChannelError:
            pass  # whoever used it had it acknowledged, or did not mind
        finally:
            await channel.wait_lost()

    def _arm(self) -> None:
        deadline = self._ledger.next_deadline()
        if self._timer is None and deadline != NEVER:
            self._timer = self._loop.call_at(deadline / SECOND, self._tick)

    def _tick(self) -> None:
        self._timer = None
        for channel in self._ledger.expired(self._now()):
            self._retire(channel)
        self._arm()

    def _now(self) -> int:
        return round(self._loop.time() * SECOND)

    async def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Give no more connections, wait until those in use are back, close all; what is not closed within `timeout` seconds is
        closed at once, under its user. Who waits gets PoolClosed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in self._waiters.values():
            if not waiter.done():
                waiter.set_exception(PoolClosed("the pool is closed"))
        for channel in self._ledger.close():
            self._retire(channel)
        try:
            async with asyncio.timeout(timeout):
                while self._ledger.in_use:
                    self._returned.clear()
                    await self._returned.wait()
                if self._closing:
                    await asyncio.wait(self._closing)
        except TimeoutError:
            for channel in list(self._ledger.used):
                channel.abort()
                await channel.wait_lost()
            for task in self._closing:
                task.cancel()  # it aborts
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()
