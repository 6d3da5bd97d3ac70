"""What the tests of asyncio share: two hosts, and a certificate made once."""

import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trustme

from synfin import sim
from synfin.sim.world import World

Program = Callable[[World, sim.Host, sim.Host], Coroutine[Any, Any, Any]]


def on_two_hosts(program: Program, *, seed: int = 1, debug: bool = False, **link: Any) -> Any:
    """Run `program(world, server, client)` with a link between the two; by default 10 ms one way and nothing lost."""

    async def main(world: World) -> Any:
        server, client = world.host("server"), world.host("client")
        world.link(server, client, **{"delay": 0.01, **link})
        return await program(world, server, client)

    return sim.run(main, seed=seed, debug=debug)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Signs `server` with RSA: ECDSA signatures vary in length."""
    return trustme.CA(key_type=trustme.KeyType.RSA)


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("server", key_type=trustme.KeyType.RSA).configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
