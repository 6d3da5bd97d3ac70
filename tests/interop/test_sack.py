"""The kernel's TCP believes our SACK blocks: it recovers by them, refuses none, and knows duplicates by them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from synfin.engine.config import TcpConfig
from synfin.sim.impaired import ImpairedDevice
from tests.interop.curl import URLS, curl, digest, make_files, served
from tests.interop.namespace import Namespace, namespace

pytestmark = [pytest.mark.needs("netns", "curl"), pytest.mark.xdist_group("netns")]

REFUSED = ("TCPSACKDiscard", "TCPSACKReneging", "TCPDSACKIgnoredDubious")  # blocks that cannot be, or were taken back


@pytest.fixture
def wire() -> Iterator[Namespace]:
    with namespace(offload=False) as made:
        yield made


def counters(wire: Namespace) -> dict[str, int]:
    """The kernel's TcpExt in the namespace."""
    text = subprocess.run(
        wire.command("cat", "/proc/net/netstat"), check=True, capture_output=True, text=True, timeout=30
    ).stdout
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("TcpExt:"))
    return dict(zip(names, map(int, values), strict=True))


def upload(wire: Namespace, tmp_path: Path, *, sack: bool, **faults: float) -> dict[str, int]:
    """The kernel sends a megabyte over a line with `faults`; what it counted."""
    (tmp_path / "files").mkdir()
    (tmp_path / "served").mkdir()
    files = make_files(tmp_path / "files", ("1-MB",))
    device = ImpairedDevice(wire.device, seed=1, **faults)
    served(
        device, tmp_path / "served", lambda: curl(wire, "--upload-file", str(files / "1-MB"), f"{URLS['IPv4']}/stored"),
        config=TcpConfig.linux().replace(sack=sack),
    )  # fmt: skip
    assert digest(tmp_path / "served" / "stored") == digest(files / "1-MB")
    return counters(wire)


def test_the_kernel_recovers_by_our_blocks_and_refuses_none(wire: Namespace, tmp_path: Path) -> None:
    counted = upload(wire, tmp_path, sack=True, loss=0.03, delay=0.002, reorder=0.05, reorder_by=0.004)
    assert counted["TCPSackRecovery"] > 0
    assert counted["TCPRenoRecovery"] == 0
    assert [counted.get(name, 0) for name in REFUSED] == [0, 0, 0]


def test_the_kernel_knows_by_our_blocks_what_came_twice(wire: Namespace, tmp_path: Path) -> None:
    """It sent nothing twice, so it finds them dubious, as they are, and counts some among what it discards; no other block."""
    counted = upload(wire, tmp_path, sack=True, duplicate=0.1, delay=0.002)
    assert counted["TCPDSACKRecv"] > 5
    assert counted["TCPDSACKIgnoredDubious"] > 5
    assert 0 <= counted["TCPSACKDiscard"] <= counted["TCPDSACKIgnoredDubious"]
    assert counted["TCPSACKReneging"] == 0


def test_without_sack_the_kernel_counts_no_block(wire: Namespace, tmp_path: Path) -> None:
    counted = upload(wire, tmp_path, sack=False, loss=0.03, duplicate=0.1, delay=0.002)
    assert (counted["TCPSackRecovery"], counted["TCPDSACKRecv"]) == (0, 0)
