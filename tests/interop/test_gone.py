"""Clients of the kernel's that do not end as they should, and what a server on synfin is told: one resets, one disappears."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from synfin.aio.realtime import RealHost, run
from synfin.engine.config import SECOND, TcpConfig
from tests.interop.namespace import OURS, Namespace, ip, namespace

pytestmark = [pytest.mark.needs("netns"), pytest.mark.xdist_group("netns")]

PORT = 80
CLIENT = """
import socket, struct, sys, time
c = socket.create_connection((sys.argv[1], 80))
c.sendall(b"x")
assert len(c.recv(100000)) > 0
if sys.argv[2] == "reset":
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()
time.sleep(30)
"""


@pytest.fixture
def wire(request: pytest.FixtureRequest) -> Iterator[Namespace]:
    with namespace() as made:
        yield made


def told(wire: Namespace, address: str, way: str) -> tuple[type[BaseException], float]:
    """Serve one client, which ends as `way` says while it is sent more than it reads: the error, and how long it took."""
    host = RealHost("server", OURS, wire.device, config=TcpConfig(user_timeout=SECOND))
    ended: asyncio.Queue[tuple[type[BaseException], float]] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        began = time.monotonic()
        writer.write(bytes(65_536))
        try:
            await writer.drain()
            if way == "disappear":
                ip("-n", wire.name, "link", "set", wire.device.name, "down")
            while True:
                writer.write(bytes(65_536))
                await writer.drain()
                await asyncio.sleep(0)
        except OSError as error:
            ended.put_nowait((type(error), time.monotonic() - began))
        finally:
            writer.close()

    async def program() -> tuple[type[BaseException], float]:
        server = await asyncio.start_server(serve, address, PORT)
        process = subprocess.Popen(wire.command(sys.executable, "-c", CLIENT, address, way))
        try:
            async with asyncio.timeout(20):
                return await ended.get()
        finally:
            process.kill()
            process.wait()
            server.close()

    found = run(program(), host, linger=0.1)
    assert not [entry for entry in host.stack.sockets() if entry.state.name not in {"TIME_WAIT"}]
    return found


@pytest.mark.parametrize("address", OURS)
def test_a_client_that_resets_is_gone_at_once(wire: Namespace, address: str) -> None:
    error, took = told(wire, address, "reset")
    assert error in {ConnectionResetError, BrokenPipeError}
    assert took < 2


def test_a_client_that_disappears_is_given_up_after_the_user_timeout(wire: Namespace) -> None:
    error, took = told(wire, OURS[0], "disappear")
    assert error is TimeoutError
    assert 0.9 < took < 3
