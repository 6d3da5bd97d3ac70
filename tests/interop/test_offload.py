"""What crosses a TUN with offload and without, as the kernel takes it and tcpdump sees it; what is said when there is none."""

import asyncio
import errno
import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from synfin.aio.realtime import RealHost, run
from synfin.device import tun
from synfin.device.tun import TunDevice
from synfin.engine.segment import Buffer, Outgoing
from synfin.wire.checksum import ones_complement_sum
from synfin.wire.packet import parse_ip, verify_checksums
from tests.interop.curl import URLS, curl, digest, make_files, served
from tests.interop.namespace import KERNEL, OURS, Namespace, namespace

pytestmark = [pytest.mark.needs("netns"), pytest.mark.xdist_group("netns")]


class Seen(TunDevice):
    """Notes the sizes that cross."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.received: list[tuple[int, int]] = []  # bytes, gso_size
        self.sent: list[int] = []

    def receive(self) -> Buffer | None:
        packet = super().receive()
        if packet is not None:
            self.received.append((len(packet), self.gso_size))
        return packet

    def transmit(self, key: bytes, out: Outgoing, identification: int, ttl: int = 64) -> None:
        self.sent.append(len(out.payload))
        super().transmit(key, out, identification, ttl)

    def send(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        self.sent.append(len(out.payload))
        super().send(packet, key, out)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_files(tmp_path_factory.mktemp("files"), ("1-MB",))


def both_ways(wire: Namespace, files: Path, tmp_path: Path, family: str) -> RealHost:
    """A megabyte fetched and stored, compared."""
    (tmp_path / "1-MB").symlink_to(files / "1-MB")

    def visit() -> None:
        curl(wire, "--output", str(tmp_path / "fetched"), f"{URLS[family]}/1-MB")
        curl(wire, "--upload-file", str(files / "1-MB"), f"{URLS[family]}/stored")

    host = served(wire.device, tmp_path, visit)
    assert digest(tmp_path / "fetched") == digest(tmp_path / "stored") == digest(files / "1-MB")
    return host


@pytest.mark.needs("curl")
@pytest.mark.parametrize(("family", "mss"), [("IPv4", 1448), ("IPv6", 1428)])
def test_super_segments_cross_in_both_directions(files: Path, tmp_path: Path, family: str, mss: int) -> None:
    with namespace(make=Seen) as wire:
        both_ways(wire, files, tmp_path, family)
        device = wire.device
        assert isinstance(device, Seen)
        assert max(size for size, _ in device.received) > 30_000
        assert {gso_size for size, gso_size in device.received if size > 1500} == {mss}
        assert max(device.sent) > 30_000
        assert device.without == ""


@pytest.mark.needs("curl")
@pytest.mark.parametrize("family", URLS)
def test_without_offload_every_packet_is_one_of_the_wires(files: Path, tmp_path: Path, family: str) -> None:
    with namespace(make=Seen, offload=False) as wire:
        both_ways(wire, files, tmp_path, family)
        device = wire.device
        assert isinstance(device, Seen)
        assert max(size for size, _ in device.received) == 1500
        assert max(device.sent) == (1448 if family == "IPv4" else 1428)
        assert device.without == "offload is turned off"


@contextmanager
def tcpdump(wire: Namespace, into: Path) -> Iterator[None]:
    """Capture what crosses the interface meanwhile."""
    words = wire.command("tcpdump", "-i", wire.device.name, "-n", "-s", "0", "-B", "65536", "-U", "-Z", "root", "-w", str(into))
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        while "listening" not in (line := process.stderr.readline()):
            assert line, "tcpdump ended"
        yield
        time.sleep(0.2)  # the kernel's buffer is on its way to tcpdump
    finally:
        process.terminate()
        process.communicate(timeout=10)


def captured(path: Path) -> list[bytes]:
    """The TCP packets in a classic pcap file of raw IP."""
    data = path.read_bytes()
    packets, at = [], 24
    while at + 16 <= len(data):
        size = int.from_bytes(data[at + 8 : at + 12], "little")
        packet = data[at + 16 : at + 16 + size]
        if packet[0] >> 4 == 4 or packet[6] == 6:
            packets.append(packet)
        at += 16 + size
    return packets


def partial(packet: bytes) -> bool:
    """Whether TCP's checksum is the pseudo-header's sum alone."""
    header = parse_ip(packet)
    at = header.header_length + 16
    pseudo = header.source + header.destination + (6 + header.end - header.header_length).to_bytes(4, "big")
    return int.from_bytes(packet[at : at + 2], "big") % 0xFFFF == ones_complement_sum(pseudo) % 0xFFFF


def is_ours(packet: bytes) -> bool:
    return parse_ip(packet).source in {socket.inet_pton(socket.AF_INET, OURS[0]), socket.inet_pton(socket.AF_INET6, OURS[1])}


@pytest.mark.needs("curl", "tcpdump", "tshark")
@pytest.mark.parametrize("family", URLS)
def test_no_checksum_is_bad_without_offload(files: Path, tmp_path: Path, family: str) -> None:
    capture = tmp_path / "capture.pcap"
    with namespace(offload=False) as wire, tcpdump(wire, capture):
        both_ways(wire, files, tmp_path, family)
    packets = captured(capture)
    ours = [packet for packet in packets if is_ours(packet)]
    assert len(ours) > 500
    assert all(verify_checksums(packet) for packet in ours)
    words = (
        "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-T", "fields", "-e", "tcp.checksum.status",
        "-Y", f"tcp and (ip.src == {OURS[0]} or ipv6.src == {OURS[1]})",
    )  # fmt: skip
    done = subprocess.run(["tshark", "-r", str(capture), *words], check=True, capture_output=True, text=True, timeout=60)
    statuses = done.stdout.split()
    assert (len(statuses), set(statuses)) == (len(ours), {"1"})  # good


@pytest.mark.needs("curl", "tcpdump")
@pytest.mark.parametrize("family", URLS)
def test_with_offload_checksums_are_partial_as_the_kernels_are(files: Path, tmp_path: Path, family: str) -> None:
    capture = tmp_path / "capture.pcap"
    with namespace() as wire, tcpdump(wire, capture):
        both_ways(wire, files, tmp_path, family)
    packets = captured(capture)
    assert {is_ours(packet) for packet in packets} == {True, False}
    # The kernel completes the sum of a segment without a socket of its own (the RST or ACK of a half-closed one).
    data = [packet for packet in packets if len(packet) > 1000]
    assert all(partial(packet) for packet in data)
    assert all(partial(packet) for packet in packets if is_ours(packet))


# --- what is said when there is none


def refusing(monkeypatch: pytest.MonkeyPatch, request: int, number: int, when: Any = lambda argument: True) -> None:
    """Let the kernel answer `number` to the control `request`."""
    real = fcntl.ioctl

    def ioctl(fd: Any, asked: int, argument: Any = 0, *more: Any) -> Any:
        if asked == request and when(argument):
            raise OSError(number, os.strerror(number))
        return real(fd, asked, argument, *more)

    monkeypatch.setattr(tun.fcntl, "ioctl", ioctl)


def asks_for_vnet(argument: bytes) -> bool:
    return bool(int.from_bytes(argument[16:18], "little") & tun.IFF_VNET_HDR)


def refused_by_the_kernel(wire: Namespace) -> None:
    """A connection to a port where nobody listens comes to its end: packets cross both ways."""

    async def program() -> None:
        for address in KERNEL:
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(address, 9)

    run(program(), RealHost("host", OURS, wire.device))


def test_a_kernel_without_the_virtio_net_header_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, tun.TUNSETIFF, errno.EINVAL, asks_for_vnet)
    with namespace() as wire:
        assert wire.device.without == "this kernel's TUN has no virtio-net header (Invalid argument)"
        assert (wire.device.offload, wire.device.vnet) == (False, False)
        refused_by_the_kernel(wire)


def test_a_kernel_that_refuses_segmentation_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, tun.TUNSETOFFLOAD, errno.EINVAL)
    with namespace() as wire:
        assert wire.device.without == "the kernel refuses segmentation offload (Invalid argument)"
        assert (wire.device.offload, wire.device.vnet) == (False, True)
        refused_by_the_kernel(wire)


@pytest.mark.parametrize("offload", [True, False])
def test_a_descriptor_made_elsewhere_becomes_a_device(offload: bool) -> None:
    here, there = socket.socketpair()
    with here, there, namespace() as wire:
        socket.send_fds(here, [b"tun"], [wire.device.fileno()])
        _, fds, _, _ = socket.recv_fds(there, 3, 1)
        with TunDevice.from_fd(fds[0], offload=offload) as device:
            assert (device.name, device.offload) == (wire.device.name, offload)
            assert device.without == ("" if offload else "offload is turned off")
            refused_by_the_kernel(Namespace(wire.name, device))
        assert device.fileno() == -1


def test_a_descriptor_made_without_the_header_says_so() -> None:
    with namespace(offload=False) as wire, TunDevice.from_fd(os.dup(wire.device.fileno())) as device:
        assert device.without == "the TUN was made without IFF_VNET_HDR"
        refused_by_the_kernel(Namespace(wire.name, device))


def test_what_is_no_tun_descriptor_is_refused_and_stays_the_callers() -> None:
    read, write = os.pipe()
    try:
        with pytest.raises(OSError, match="ioctl"):
            TunDevice.from_fd(read)
        os.fstat(read)
    finally:
        os.close(read)
        os.close(write)


def test_the_interface_has_the_queue_and_the_mtu_that_were_asked_for() -> None:
    with TunDevice(mtu=9000) as device:
        interface = Path("/sys/class/net") / device.name
        assert (interface / "tx_queue_len").read_text() == "10000\n"
        assert (interface / "mtu").read_text() == "9000\n"
    assert not interface.exists()
