"""A router of the kernel's with a smaller link behind it: path MTU discovery as it happens (RFC 1191, RFC 8201)."""

import asyncio
import hashlib
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from synfin.aio.realtime import RealHost, run
from synfin.engine.config import TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.errors import DropReason
from tests.interop.namespace import OURS, Namespace, ip, namespace

pytestmark = [pytest.mark.needs("netns"), pytest.mark.xdist_group("netns")]

NEAR, FAR = ("10.78.0.1", "fd78::1"), ("10.78.0.2", "fd78::2")  # the router's and the far host's, on the small link
SMALL = 1300  # bytes
PATIENCE = 30  # seconds
DATA = random.Random(4).randbytes(300_000)

# Takes connections one by one, reads each to its end and answers with the digest.
SINK = """
import hashlib, socket, sys
s = socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print(s.getsockname()[1], flush=True)
while True:
    c = s.accept()[0]
    h = hashlib.sha256()
    while data := c.recv(65536): h.update(data)
    c.sendall(h.hexdigest().encode())
    c.close()
"""


@contextmanager
def far_host(router: Namespace) -> Iterator[str]:
    """Another namespace behind `router`; the router's link to it takes SMALL bytes, which the far host does not know."""
    far = f"{router.name}-far"
    ip("netns", "add", far)
    try:
        ip("link", "add", "small", "netns", router.name, "mtu", str(SMALL), "type", "veth", "peer", "wide", "netns", far)
        for name, link, addresses in ((router.name, "small", NEAR), (far, "wide", FAR)):
            ip("-n", name, "address", "add", f"{addresses[0]}/24", "dev", link)
            ip("-n", name, "address", "add", f"{addresses[1]}/64", "dev", link, "nodad")
            ip("-n", name, "link", "set", link, "up")
        ip("-n", far, "route", "add", "default", "via", NEAR[0])
        ip("-n", far, "-6", "route", "add", "default", "via", NEAR[1])
        for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            words = router.command("sh", "-c", f"echo 1 > /proc/sys/net/{setting}")
            subprocess.run(words, check=True, capture_output=True, timeout=30)
        yield far
    finally:
        ip("netns", "delete", far)


@contextmanager
def sink(far: str, address: str) -> Iterator[int]:
    command = ["ip", "netns", "exec", far, sys.executable, "-c", SINK, address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize("offload", [False, True], ids=["plain", "offload"])
@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
def test_a_path_with_a_smaller_link_in_it_is_found_and_remembered(family: int, offload: bool) -> None:
    async def upload(host: RealHost, port: int) -> tuple[str, int, int]:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(FAR[family], port)
            (connection,) = host.stack.sockets()
            assert isinstance(connection, Connection)
            before = connection.info(host.now())["tcpi_pmtu"]
            writer.write(DATA)
            writer.write_eof()
            answer = await reader.read()
            after = connection.info(host.now())["tcpi_pmtu"]
            writer.close()
            await writer.wait_closed()
            return answer.decode(), before, after

    async def both(host: RealHost, port: int) -> list[tuple[str, int, int]]:
        first = await upload(host, port)
        while list(host.stack.sockets()):
            await asyncio.sleep(0.01)
        return [first, await upload(host, port)]

    digest = hashlib.sha256(DATA).hexdigest()
    with namespace(offload=offload) as router, far_host(router) as far, sink(far, FAR[family]) as port:
        host = RealHost("client", OURS, router.device, config=TcpConfig(msl=0))
        assert run(both(host, port), host) == [(digest, 1500, SMALL), (digest, SMALL, SMALL)]
        assert host.stack.counters.dropped(DropReason.ICMP_UNPROVEN) == 0
