"""Keep-alive with the kernel at the other end: each answers the other's probes, each finds the other dead."""

import asyncio
import errno
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from synfin.aio.realtime import RealHost, run
from synfin.engine.observe import Observer
from synfin.engine.segment import KEEPALIVE_PROBE, RESET_KEEPALIVE, Outgoing, Segment
from tests.interop.namespace import KERNEL, OURS, Namespace, ip, namespace

pytestmark = [pytest.mark.needs("netns"), pytest.mark.xdist_group("netns")]

PATIENCE = 30  # seconds

# A client of the kernel's that probes every second, two unanswered probes are the end; it says how its recv ended.
KEPT = """
import errno, socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.settimeout(None)
s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
for name, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 2)):
    s.setsockopt(socket.IPPROTO_TCP, name, value)
try:
    print(s.recv(100))
except OSError as error:
    print(errno.errorcode[error.errno])
"""
# A listener of the kernel's that holds what it accepts.
IDLE = """
import socket, sys, time
s = socket.create_server((sys.argv[1], 0))
print(s.getsockname()[1], flush=True)
c = s.accept()[0]
print(c.recv(100))
time.sleep(60)
"""


class Watch(Observer):
    def __init__(self) -> None:
        self.reasons: list[int] = []
        self.probed = 0  # by the peer: text-free segments whose number we have acknowledged

    def segment_sent(self, now: int, key: bytes, segment: Outgoing) -> None:
        self.reasons.append(segment.reason)

    def segment_received(self, now: int, key: bytes, segment: Segment) -> None:
        self.probed += 1


@pytest.fixture(scope="module")
def wire() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


def test_the_kernel_finds_synfin_alive_and_then_gone(wire: Namespace) -> None:
    async def program() -> tuple[int, str]:
        accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        server = await asyncio.start_server(lambda reader, writer: accepted.put_nowait(writer), OURS[0], 8000)
        command = wire.command(sys.executable, "-c", KEPT, OURS[0], "8000")
        child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        try:
            writer = await accepted.get()
            await asyncio.sleep(3.5)
            came = watch.probed
            assert child.returncode is None, "it lives"
            host.leave()  # from now on nobody answers
            output, _ = await child.communicate()
            writer.close()
            server.close()
            return came, output.decode().strip()
        finally:
            if child.returncode is None:
                child.kill()

    watch = Watch()
    host = RealHost("server", OURS, wire.device, observer=watch)
    came, end = run(asyncio.wait_for(program(), PATIENCE), host, linger=0)
    assert came >= 2 + 3, "SYN and ACK, and a probe each second"
    assert end == "ETIMEDOUT"


def test_synfin_finds_the_kernel_alive_and_then_gone(wire: Namespace) -> None:
    async def program() -> int:
        command = wire.command(sys.executable, "-c", IDLE, KERNEL[0])
        child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        try:
            assert child.stdout is not None
            port = int(await child.stdout.readline())
            reader, writer = await asyncio.open_connection(KERNEL[0], port)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 2)):
                sock.setsockopt(socket.IPPROTO_TCP, name, value)
            await asyncio.sleep(3.5)
            assert watch.reasons.count(KEEPALIVE_PROBE) == 3
            assert not reader.at_eof()
            ip("-n", wire.name, "link", "set", wire.device.name, "down")
            try:
                await reader.read()
            except OSError as error:
                return error.errno or 0
            return 0
        finally:
            child.kill()
            await child.wait()

    watch = Watch()
    host = RealHost("client", OURS, wire.device, observer=watch)
    assert run(asyncio.wait_for(program(), PATIENCE), host, linger=0) == errno.ETIMEDOUT
    assert watch.reasons[-1] == RESET_KEEPALIVE
