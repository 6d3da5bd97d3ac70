"""Real programs over a bad network: the simulator's faults around a TUN, both ways, and every byte arrives.

curl in the namespace on the kernel's TCP, an asyncio server on synfin's. What is lost, late, doubled or damaged costs time.
"""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from synfin.aio.realtime import RealHost, run
from synfin.engine.config import SECOND, TcpConfig
from synfin.engine.errors import DropReason, UsageError
from synfin.sim.impaired import ImpairedDevice
from tests.interop.curl import URLS, curl, digest, make_files, served
from tests.interop.daemons import nginx
from tests.interop.namespace import KERNEL, OURS, Namespace, namespace

pytestmark = [pytest.mark.needs("netns", "curl"), pytest.mark.xdist_group("netns")]

SMALL = ("one-byte", "64-KB")
FAULTS = {
    "loss-1": {"loss": 0.01},
    "loss-5": {"loss": 0.05},
    "loss-10": {"loss": 0.1},
    "reorder": {"delay": 0.0005, "reorder": 0.1, "reorder_by": 0.002},
    "corrupt": {"corrupt": 0.02},
    "duplicate": {"duplicate": 0.1},
}


@pytest.fixture(scope="module")
def wire() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_files(tmp_path_factory.mktemp("files"), ("one-byte", "64-KB", "1-MB"))


def over(
    wire: Namespace, faults: dict[str, float], files: Path, tmp_path: Path, family: str, names: tuple[str, ...]
) -> RealHost:
    """Fetch and store each of `names` through a device with `faults`; returns the host."""
    (tmp_path / "served").mkdir()
    for name in names:
        (tmp_path / "served" / name).symlink_to(files / name)

    def visit() -> None:
        for name in names:
            curl(wire, "--output", str(tmp_path / name), f"{URLS[family]}/{name}")
            curl(wire, "--upload-file", str(files / name), f"{URLS[family]}/stored-{name}")

    device = ImpairedDevice(wire.device, seed=1, **faults)
    host = served(device, tmp_path / "served", visit, config=TcpConfig.linux())
    for name in names:
        assert digest(tmp_path / name) == digest(files / name)
        assert digest(tmp_path / "served" / f"stored-{name}") == digest(files / name)
    return host


@pytest.mark.parametrize("family", URLS)
@pytest.mark.parametrize("name", FAULTS)
def test_small_files_cross_a_bad_network_whole(
    wire: Namespace, files: Path, tmp_path: Path, name: str, family: str
) -> None:
    over(wire, FAULTS[name], files, tmp_path, family, SMALL)


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "loss-10"])
def test_a_megabyte_crosses_a_bad_network_whole(wire: Namespace, files: Path, tmp_path: Path, name: str) -> None:
    host = over(wire, FAULTS[name], files, tmp_path, "IPv4", ("1-MB",))
    device = host.device
    assert isinstance(device, ImpairedDevice)
    if "loss" in FAULTS[name]:
        assert device.ledger.lost["loss"] > 5
        assert host.stack.counters.retransmitted > 0
    if name == "corrupt":
        drops = host.stack.counters.drops
        assert drops.get(DropReason.TCP_CHECKSUM, 0) > 5  # each damaged packet was found out


def test_a_megabyte_crosses_ten_percent_of_loss_whole(wire: Namespace, files: Path, tmp_path: Path) -> None:
    host = over(wire, FAULTS["loss-10"], files, tmp_path, "IPv6", ("1-MB",))
    assert host.stack.counters.retransmitted > 20


def test_packets_wait_on_the_line_for_as_long_as_it_says(wire: Namespace) -> None:
    host = RealHost("client", OURS, ImpairedDevice(wire.device, delay=0.03))

    async def program() -> float:
        began = host.now()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(KERNEL[0], 9)
        return (host.now() - began) / SECOND

    assert 0.06 <= run(program(), host) < 0.2


def test_a_link_that_is_cut_loses_everything_until_it_is_healed(wire: Namespace) -> None:
    device = ImpairedDevice(wire.device)
    host = RealHost("client", OURS, device, config=TcpConfig(rto_initial=SECOND // 20))

    async def program() -> None:
        device.link.cut()
        opening = asyncio.ensure_future(asyncio.open_connection(KERNEL[0], 9))
        await asyncio.sleep(0.08)
        assert not opening.done()
        device.link.heal()
        with pytest.raises(ConnectionRefusedError):
            await opening

    run(program(), host)
    assert device.ledger.lost == {"partition": 2}  # the SYN, and the SYN again after 50 ms


def test_a_setting_that_there_is_none_of_is_refused(wire: Namespace) -> None:
    with pytest.raises(UsageError, match="a link has no parameter 'lost'"):
        ImpairedDevice(wire.device, lost=0.1)


@pytest.mark.needs("nginx", "ss")
@pytest.mark.parametrize("name", FAULTS)
def test_files_of_nginx_cross_a_bad_network_whole(wire: Namespace, files: Path, tmp_path: Path, name: str) -> None:
    device = ImpairedDevice(wire.device, seed=2, **FAULTS[name])
    host = RealHost("client", OURS, device, config=TcpConfig.linux())
    names = SMALL if name == "loss-10" else (*SMALL, "1-MB")

    async def program() -> dict[str, str]:
        found = {}
        for wanted in names:
            reader, writer = await asyncio.open_connection(KERNEL[0], 8080)
            writer.write(f"GET /{wanted} HTTP/1.0\r\n\r\n".encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            found[wanted] = hashlib.sha256(await reader.read()).hexdigest()
            writer.close()
        return found

    with nginx(wire, tmp_path, files, 8080):
        assert run(program(), host) == {wanted: digest(files / wanted) for wanted in names}
