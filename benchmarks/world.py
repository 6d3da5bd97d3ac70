"""Two hosts and a link in virtual time, and the asyncio programs that the benchmarks of the simulation run on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from synfin.engine.config import TcpConfig
from synfin.sim import World, run

PORT = 80
DELAY = 0.005  # seconds, one way
BANDWIDTH = 1e9  # bits a second: each packet has a time of its own on the line


def in_world(program: Callable[[World], Any], config: TcpConfig | None = None, *, trace: bool = False, **link: Any) -> World:
    """Run `program(world)` on a `client` and a `server`, joined by a link; returns the world."""
    world = World(1, config=config, trace=trace)
    world.host("client")
    world.host("server")
    world.link("client", "server", **{"delay": DELAY, **link})

    async def main(world: World) -> None:
        await program(world)

    run(main, world=world)
    return world


def segments(world: World) -> int:
    """What both stacks have sent."""
    return sum(host.stack.counters.segments_out for host in world.hosts.values())


async def serve(world: World, protocol: Callable[[], asyncio.Protocol]) -> asyncio.Server:
    """A server of `protocol` on the host `server`."""
    with world.hosts["server"]:
        return await asyncio.get_running_loop().create_server(protocol, "0.0.0.0", PORT, backlog=4096)


async def connect(world: World, protocol: Callable[[], asyncio.Protocol]) -> Any:
    """A connection of `protocol` from the host `client`: (transport, protocol)."""
    with world.hosts["client"]:
        return await asyncio.get_running_loop().create_connection(protocol, "server", PORT)
