"""What the asyncio fronts share: connecting within a time, `async with`, all messages up to the orderly end, and waiting until
something has changed.

Owns nothing of a connection. Times are seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self, TypeVar

from synfin.channels.errors import ChannelClosed, ChannelTimeout

P = TypeVar("P", bound=asyncio.BaseProtocol)


async def connected(make: Callable[[], P], host: str, port: int, timeout: float | None, **options: Any) -> P:
    """The protocol that `make` gives, connected to `host` within `timeout` seconds (None: as long as TCP tries); `options` are
    those of loop.create_connection. Raises ChannelTimeout, and the OSErrors of connecting."""
    try:
        async with asyncio.timeout(timeout):
            _, made = await asyncio.get_running_loop().create_connection(make, host, port, **options)
    except TimeoutError as error:
        if timeout is None or error.errno is not None:  # the kernel's ETIMEDOUT
            raise
        raise ChannelTimeout(f"{host} port {port} did not answer within {timeout} s") from None
    return made


class Closing:
    """`async with`: a block that ends well closes in order; one that raises aborts, and waits until the socket is let go."""

    async def close(self) -> None:
        """Close in order."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close at once."""
        raise NotImplementedError

    async def wait_lost(self) -> None:
        """Wait until the transport has let go of the socket."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is None:
            await self.close()
        else:
            self.abort()
            await self.wait_lost()


async def until_closed(receive: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes]:
    """What `receive` gives, until it raises ChannelClosed; other ends raise."""
    while True:
        try:
            message = await receive()
        except ChannelClosed:
            return
        yield message


class Waiters:
    """Those who wait for a change, and are all woken by one."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Wait for the next `wake`."""
        waiter = self._loop.create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            self._waiting.remove(waiter)

    def wake(self) -> None:
        """Something has changed."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)


async def until(condition: Callable[[], bool], change: Callable[[], Awaitable[None]], timeout: float | None, what: str) -> None:
    """Await `change` until `condition` holds. Raises what `change` raises, and ChannelTimeout, which says `what` is missing,
    after `timeout` seconds (None: never)."""
    if timeout is None:  # most wait so, and each would keep a Timeout
        while not condition():
            await change()
        return
    try:
        async with asyncio.timeout(timeout):
            while not condition():
                await change()
    except TimeoutError:
        raise ChannelTimeout(f"{what} within {timeout} s") from None
