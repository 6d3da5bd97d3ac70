"""asyncio in real time over a TUN: programs on synfin as clients of the kernel, and the driver's own promises."""

import asyncio
import hashlib
import random
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from synfin.aio.realtime import RealHost, run
from synfin.device.tun import TunDevice
from synfin.engine.config import SECOND, TcpConfig
from synfin.engine.errors import UsageError
from synfin.engine.segment import SYN, Outgoing
from synfin.sockets.face import Socket
from synfin.wire.packet import build_packet, describe
from tests.interop.namespace import KERNEL, OURS, Namespace, ip, namespace

pytestmark = [pytest.mark.needs("netns"), pytest.mark.xdist_group("netns")]

PATIENCE = 30  # seconds
DATA = random.Random(7).randbytes(300_000)

# A kernel's end: says that it listens, takes one connection, then does `{work}` with its socket c.
PEER = """
import hashlib, socket, sys
s = socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print(s.getsockname()[1], flush=True)
c = s.accept()[0]
{work}
"""
DIGEST = """
h = hashlib.sha256()
while data := c.recv(65536): h.update(data)
print(h.hexdigest(), flush=True)
c.close()
"""
ECHO = """
while data := c.recv(65536): c.sendall(data)
c.close()
"""


@pytest.fixture(scope="module")
def wire() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


class Peer:
    """A program of the kernel's in the namespace."""

    def __init__(self, wire: Namespace, address: str, work: str) -> None:
        command = wire.command(sys.executable, "-c", PEER.format(work=work), address)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def said(self) -> str:
        return self.process.communicate(timeout=PATIENCE)[0].strip()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def client(wire: Namespace, **options: Any) -> RealHost:
    names = {"kernel4": [KERNEL[0]], "kernel6": [KERNEL[1]]}
    return RealHost("client", OURS, wire.device, hosts=names, **options)


async def within(program: Any) -> Any:
    async with asyncio.timeout(PATIENCE):
        return await program


@pytest.mark.parametrize(("name", "address"), [("kernel4", KERNEL[0]), ("kernel6", KERNEL[1])])
def test_a_client_on_synfin_talks_with_a_server_of_the_kernel(wire: Namespace, name: str, address: str) -> None:
    async def program(port: int) -> bytes:
        reader, writer = await asyncio.open_connection(name, port)
        writer.write(DATA)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    with Peer(wire, address, ECHO) as peer:
        assert run(within(program(peer.port)), client(wire)) == DATA


def test_what_a_program_wrote_arrives_although_it_ends_at_once(wire: Namespace) -> None:
    async def program(port: int) -> None:
        _, writer = await asyncio.open_connection("kernel4", port)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        writer.write(DATA)
        assert writer.transport.get_write_buffer_size() == 0  # all of it is the stack's now
        writer.close()

    with Peer(wire, KERNEL[0], DIGEST) as peer:
        run(within(program(peer.port)), client(wire))
        assert peer.said() == hashlib.sha256(DATA).hexdigest()


def test_what_a_program_left_open_is_closed_for_it(wire: Namespace) -> None:
    kept: list[object] = []

    async def program(port: int) -> None:
        kept.extend(await asyncio.open_connection("kernel6", port))

    with Peer(wire, KERNEL[1], DIGEST) as peer:
        run(within(program(peer.port)), client(wire))
        assert peer.said() == hashlib.sha256().hexdigest()


def test_a_port_without_a_server_refuses(wire: Namespace) -> None:
    async def program() -> None:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(KERNEL[0], 9)

    run(within(program()), client(wire))


def test_timers_keep_the_time_of_the_clock(wire: Namespace) -> None:
    nobody = "10.77.0.9"  # on the wire, and never there: the SYNs come to us and are not ours

    async def program() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.open_connection(nobody, 80)

    host = client(wire, config=TcpConfig(rto_initial=SECOND // 20, rto_min=SECOND // 20, syn_timeout=SECOND // 2))
    before = host.now()
    run(within(program()), host)
    assert 0.5 <= (host.now() - before) / SECOND < 2
    assert host.stack.counters.retransmitted == 3  # after 50, 150 and 350 ms


def test_the_speaking_hosts_internet_sockets_are_synfins_and_all_others_the_kernels(wire: Namespace) -> None:
    async def program() -> None:
        with socket.socket() as ours, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others:
            assert (type(ours), type(others)) == (Socket, real)
            assert isinstance(ours, socket.socket)
            assert isinstance(others, socket.socket)
        with pytest.raises(OSError, match="Protocol not supported"):  # not past synfin onto the machine's network
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one, other = socket.socketpair()
        with one, other:
            reader, _ = await asyncio.open_connection(sock=one)
            other.send(b"through the kernel")
            assert await reader.read(100) == b"through the kernel"
        with await asyncio.get_running_loop().run_in_executor(None, socket.socket) as a_threads:
            assert type(a_threads) is real

    real = socket.socket
    run(within(program()), client(wire))
    assert socket.socket is real


def test_the_machines_own_network_is_not_asked_for_names(wire: Namespace) -> None:
    async def program() -> list[Any]:
        loop = asyncio.get_running_loop()
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("elsewhere", 80)
        assert (await loop.getnameinfo((OURS[0], 80)))[0] == "client"
        return [entry[4][0] for entry in await loop.getaddrinfo("Kernel4", 80, type=socket.SOCK_STREAM)]

    assert run(within(program()), client(wire)) == [KERNEL[0]]


def test_a_host_is_served_by_one_loop_at_a_time(wire: Namespace) -> None:
    host = client(wire)

    async def program() -> None:
        with pytest.raises(UsageError, match="served by a loop already"):
            host.serve(asyncio.get_running_loop())

    run(within(program()), host)
    run(asyncio.sleep(0), host)  # one after the other is one at a time


def test_an_exception_of_the_program_comes_out_and_everything_is_put_back(wire: Namespace) -> None:
    async def program() -> None:
        raise LookupError("mine")

    real = socket.socket
    with pytest.raises(LookupError, match="mine"):
        run(program(), client(wire))
    assert socket.socket is real


def test_what_is_no_address_is_refused_at_once(wire: Namespace) -> None:
    with pytest.raises(ValueError, match=r"'10\.0\.0' is no IP address"):
        RealHost("host", ["10.0.0"], wire.device)


def packet(source: str, destination: str) -> bytes:
    key = socket.inet_aton(destination) + socket.inet_aton(source) + bytes((0, 9, 0xC0, 0))
    return build_packet(key, Outgoing(1, 0, SYN, 1000, 0), identification=0)


def arriving(device: TunDevice) -> Iterator[bytes]:
    """What comes out of `device`, until nothing has come for a while."""
    while select.select([device], [], [], PATIENCE)[0]:
        data = device.receive()
        if data is not None:
            yield data


def test_a_device_carries_packets_until_its_interface_is_down() -> None:
    with namespace() as own:
        device = own.device
        device.send(packet(OURS[0], KERNEL[0]), b"", Outgoing(0, 0, 0, 0, 0))
        answer = describe(next(data for data in arriving(device) if data[0] == 0x45))  # IPv6 has words of its own
        assert (answer.segment.flags, answer.segment.ack, answer.destination_port) == (0x14, 2, 0xC000)
        ip("-n", own.name, "link", "set", device.name, "down")
        device.send(packet(OURS[0], KERNEL[0]), b"", Outgoing(0, 0, 0, 0, 0))
        assert device.refused == 1


def test_an_interface_that_is_taken_away_is_told_and_its_connections_time_out() -> None:
    told: list[str] = []

    async def program(own: Namespace) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["message"]))
        ip("-n", own.name, "link", "delete", own.device.name)
        with pytest.raises(TimeoutError):
            await asyncio.open_connection(KERNEL[0], 80)

    with namespace() as own:
        config = TcpConfig(rto_initial=SECOND // 20, rto_min=SECOND // 20, syn_timeout=SECOND // 5)
        run(within(program(own)), RealHost("host", OURS, own.device, config=config))
        assert told == [f"host: {own.device.name} is gone"]


def test_a_device_says_why_it_cannot_be() -> None:
    with pytest.raises(ValueError, match="at most 15 bytes"):
        TunDevice("a-name-that-is-too-long")
    with TunDevice("synfin%d") as device, pytest.raises(OSError, match="busy"):
        TunDevice(device.name)


def test_closing_a_device_twice_is_closing_it_once() -> None:
    device = TunDevice()
    assert device.fileno() >= 0
    device.close()
    device.close()
    assert device.fileno() == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        device.receive()
