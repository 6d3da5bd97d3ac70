"""Where experiments are played: a client and a server in virtual time, and asyncio programs on them.

Owns the making of that world and what is counted in it. Knows no experiment.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from synfin.channels import aio, long
from synfin.channels.framing import Framing, LengthHeader
from synfin.channels.life import LifeSettings
from synfin.channels.long import DEFAULT, LongChannel
from synfin.engine.config import TcpConfig
from synfin.engine.state import State
from synfin.sim.host import SimHost
from synfin.sim.link import Link
from synfin.sim.runner import run
from synfin.sim.world import World

T = TypeVar("T")

PORT: Final = 7000
FRAMING: Final[Framing] = LengthHeader(4)
REQUEST: Final = b"1+1?"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two hosts and the link between them."""

    world: World
    client: SimHost
    server: SimHost
    link: Link

    def segments(self) -> int:
        """TCP segments that both have sent so far."""
        return self.client.stack.counters.segments_out + self.server.stack.counters.segments_out

    def time_waits(self) -> int:
        """Connections of both that are in TIME-WAIT now."""
        held = (*self.client.stack.sockets(), *self.server.stack.sockets())
        return sum(each.state is State.TIME_WAIT for each in held)


def between(
    program: Callable[[Pair], Awaitable[T]], *, seed: int, rtt: float, config: TcpConfig | None = None, **link: Any
) -> T:
    """Play `program` on a client and a server, `rtt` seconds there and back, and return its result; `link` as World.link."""

    async def main(world: World) -> T:
        server, client = world.host("server"), world.host("client")
        return await program(Pair(world, client, server, world.link(client, server, delay=rtt / 2, **link)))

    return run(main, world=World(seed, config=config, trace=False))


def now() -> float:
    """The running loop's time, seconds."""
    return asyncio.get_running_loop().time()


async def echo_server(pair: Pair) -> aio.MessageServer:
    """A server that sends each message back, for short connections."""

    async def echo(stream: aio.MessageStream) -> None:
        async for message in stream:
            stream.send(message)

    with pair.server:
        return await aio.serve(echo, None, PORT, FRAMING)


async def long_echo_server(
    pair: Pair, settings: LifeSettings = DEFAULT, work: Callable[[], Awaitable[None]] | None = None
) -> aio.MessageServer:
    """A server that sends each message back, after `work`, on long connections."""

    async def echo(channel: LongChannel) -> None:
        async for message in channel:
            if work is not None:
                await work()
            await channel.send(message)

    with pair.server:
        return await long.serve(echo, None, PORT, FRAMING, settings)
