"""The machine's curl, on the kernel's TCP, fetches files from unmodified asyncio servers on synfin's sockets, through a TUN.

What only ever talks to itself agrees with itself; this does not.
"""

import asyncio
import hashlib
import os
import random
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from synfin.aio.realtime import RealHost, run
from synfin.device.tun import TunDevice
from synfin.engine.errors import DropReason
from synfin.engine.segment import Outgoing
from synfin.engine.state import State
from tests.interop.file_server import FileServer
from tests.interop.namespace import OURS, Namespace, namespace

pytestmark = [pytest.mark.needs("netns", "curl"), pytest.mark.xdist_group("netns")]

PORT = 80
SIZES = {"one-byte": 1, "64-KB": 65_536, "1-MB": 1_000_000}
URLS = {"IPv4": f"http://{OURS[0]}:{PORT}", "IPv6": f"http://[{OURS[1]}]:{PORT}"}
PATIENCE = 60  # seconds


@pytest.fixture(scope="module")
def wire() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("files")
    for name, size in SIZES.items():
        (directory / name).write_bytes(random.Random(name).randbytes(size))
    return directory


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def curl(wire: Namespace, *words: str) -> str:
    """Run curl in the namespace; returns what it printed. Its environment has no proxy in it."""
    command = wire.command("curl", "--silent", "--show-error", "--fail", "--globoff", "--max-time", str(PATIENCE), *words)
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE + 10, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


Start = Callable[[Path], Awaitable[object]]


async def start_streams(directory: Path) -> object:
    return await FileServer(directory).start(list(OURS), PORT)


async def start_aiohttp(directory: Path) -> object:
    from aiohttp import web  # noqa: PLC0415  the other tests go without it

    application = web.Application()
    application.router.add_static("/", directory)
    runner = web.AppRunner(application)
    await runner.setup()
    for address in OURS:
        await web.TCPSite(runner, address, PORT).start()
    return runner


SERVERS = {"streams": start_streams, "aiohttp": start_aiohttp}


def served(
    device: TunDevice, directory: Path, visit: Callable[[], object], start: Start = start_streams
) -> RealHost:
    """Serve `directory` on synfin at both addresses while `visit` runs in a thread; returns the host, everything closed."""
    host = RealHost("server", OURS, device)

    async def program() -> None:
        server = await start(directory)
        async with asyncio.timeout(PATIENCE + 20):
            await asyncio.get_running_loop().run_in_executor(None, visit)
        assert server is not None

    run(program(), host)
    # Either side may have closed first; nothing of ours is unacknowledged.
    assert {entry.state for entry in host.stack.sockets()} <= {State.TIME_WAIT, State.FIN_WAIT_2}
    assert not {DropReason.IP_CHECKSUM, DropReason.TCP_CHECKSUM, DropReason.TCP_OPTION} & set(host.stack.counters.drops)
    return host


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("family", URLS)
@pytest.mark.parametrize("server", SERVERS)
def test_curl_fetches_a_file_whole(
    wire: Namespace, files: Path, tmp_path: Path, server: str, family: str, name: str
) -> None:
    fetched = tmp_path / name
    if server == "aiohttp":
        pytest.importorskip("aiohttp", reason="aiohttp is not installed")

    def visit() -> None:
        curl(wire, "--output", str(fetched), f"{URLS[family]}/{name}")

    served(wire.device, files, visit, SERVERS[server])
    assert digest(fetched) == digest(files / name)


@pytest.mark.parametrize("family", URLS)
def test_curl_fetches_many_files_over_one_connection_and_over_many(
    wire: Namespace, files: Path, tmp_path: Path, family: str
) -> None:
    def visit() -> None:
        together = [f"{URLS[family]}/{name}" for name in SIZES]
        curl(wire, "--output-dir", str(tmp_path), "--remote-name-all", *together)
        assert {name: digest(tmp_path / name) for name in SIZES} == {name: digest(files / name) for name in SIZES}
        for name in SIZES:
            (tmp_path / name).unlink()
        curl(wire, "--parallel", "--output-dir", str(tmp_path), "--remote-name-all", *together)

    served(wire.device, files, visit)
    assert {name: digest(tmp_path / name) for name in SIZES} == {name: digest(files / name) for name in SIZES}


@pytest.mark.parametrize("family", URLS)
def test_curl_stores_a_file_whole(wire: Namespace, files: Path, tmp_path: Path, family: str) -> None:
    served(wire.device, tmp_path, lambda: curl(wire, "--upload-file", str(files / "1-MB"), f"{URLS[family]}/stored"))
    assert digest(tmp_path / "stored") == digest(files / "1-MB")


class LossyTun(TunDevice):
    """Every n-th packet is lost, each way."""

    every, sent, received = 0, 0, 0

    def send(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        self.sent += 1
        if self.sent % self.every:
            super().send(packet, key, out)

    def receive(self) -> bytes | None:
        packet = super().receive()
        if packet is not None:
            self.received += 1
            if not self.received % self.every:
                return self.receive()
        return packet


@pytest.mark.parametrize("family", URLS)
def test_loss_on_the_way_costs_time_and_no_byte(wire: Namespace, files: Path, tmp_path: Path, family: str) -> None:
    def visit() -> None:
        curl(wire, "--output", str(tmp_path / "1-MB"), f"{URLS[family]}/1-MB")
        curl(wire, "--upload-file", str(tmp_path / "1-MB"), f"{URLS[family]}/stored")

    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "1-MB").symlink_to(files / "1-MB")
    with LossyTun.from_fd(os.dup(wire.device.fileno()), offload=False) as lossy:
        lossy.every = 29
        host = served(lossy, tmp_path / "served", visit)
    assert host.stack.counters.retransmitted > 10
    assert digest(tmp_path / "served" / "stored") == digest(files / "1-MB")
