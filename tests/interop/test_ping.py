"""ping and the kernel's own ICMP, over a TUN: echo, fragments, and what is refused."""

import asyncio
import ipaddress
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from synfin.aio.realtime import RealHost, run
from synfin.engine.errors import DropReason
from synfin.stack.internet import Echo
from tests.interop.namespace import KERNEL, OURS, Namespace, namespace

pytestmark = [pytest.mark.needs("netns"), pytest.mark.xdist_group("netns")]

PATIENCE = 30  # seconds
BOTH = pytest.mark.parametrize("address", OURS, ids=["IPv4", "IPv6"])

# Sends a datagram to a port where nobody listens and says what comes of it.
UDP = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect((sys.argv[1], 9))
s.send(b"anyone?")
try:
    s.recv(100)
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture(scope="module")
def wire() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


def served(wire: Namespace, work: Callable[[RealHost], Awaitable[Any]]) -> Any:
    """What `work` returns while synfin lives at the other end of the wire."""

    async def program() -> Any:
        async with asyncio.timeout(PATIENCE):
            return await work(host)

    host = RealHost("synfin", OURS, wire.device)
    return run(program(), host)


async def said(wire: Namespace, *words: str) -> str:
    """What a program in the namespace prints."""
    command = wire.command(*words)
    child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return output.decode()


@pytest.mark.needs("ping")
@BOTH
@pytest.mark.parametrize("size", [0, 56, 1472, 5000, 60_000])
def test_ping_is_answered_at_every_size(wire: Namespace, address: str, size: int) -> None:
    """Above 1472 bytes the kernel sends fragments, and so does synfin."""

    async def work(host: RealHost) -> str:
        return await said(wire, "ping", "-n", "-c", "3", "-i", "0.2", "-W", "5", "-s", str(size), address)

    output = served(wire, work)
    assert "3 packets transmitted, 3 received, 0% packet loss" in output, output


@BOTH
def test_a_datagram_to_nobody_is_refused(wire: Namespace, address: str) -> None:
    async def work(host: RealHost) -> tuple[str, int]:
        output = await said(wire, sys.executable, "-c", UDP, address)
        return output, host.stack.counters.dropped(DropReason.NOT_TCP)

    assert served(wire, work) == ("ConnectionRefusedError\n", 1)


@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
def test_the_kernel_answers_our_ping(wire: Namespace, family: int) -> None:
    async def work(host: RealHost) -> list[Echo]:
        found: list[Echo] = []
        come = asyncio.Event()

        def take(echo: Echo, now: int) -> None:
            found.append(echo)
            come.set()

        host.stack.internet.on_echo = take
        own = host.resolve("synfin")[family]
        host.stack.internet.ping(own, ipaddress.ip_address(KERNEL[family]).packed, 7, 1, b"x" * 3000)
        host.stack.transmit(host.now())
        await come.wait()
        return found

    assert served(wire, work) == [Echo(ipaddress.ip_address(KERNEL[family]).packed, 7, 1, b"x" * 3000, 64)]
