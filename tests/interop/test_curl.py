"""The machine's curl, on the kernel's TCP, fetches files from unmodified asyncio servers on synfin's sockets, through a TUN.

What only ever talks to itself agrees with itself; this does not.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from synfin.aio.realtime import RealHost
from synfin.engine.errors import DropReason
from tests.interop.curl import SERVERS, URLS, curl, digest, make_files, served
from tests.interop.namespace import Namespace, namespace

pytestmark = [pytest.mark.needs("netns", "curl"), pytest.mark.xdist_group("netns")]

SIZES = ("one-byte", "64-KB", "1-MB")


@pytest.fixture(scope="module", params=["offload", "no-offload"])
def wire(request: pytest.FixtureRequest) -> Iterator[Namespace]:
    with namespace(offload=request.param == "offload") as made:
        assert made.device.offload == (request.param == "offload")
        yield made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_files(tmp_path_factory.mktemp("files"), (*SIZES, "200-MB"))


def assert_clean(host: RealHost) -> None:
    assert not {DropReason.IP_CHECKSUM, DropReason.TCP_CHECKSUM, DropReason.TCP_OPTION} & set(host.stack.counters.drops)


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

    host = served(wire.device, files, visit, SERVERS[server])
    assert_clean(host)
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

    host = served(wire.device, files, visit)
    assert_clean(host)
    assert {name: digest(tmp_path / name) for name in SIZES} == {name: digest(files / name) for name in SIZES}


@pytest.mark.parametrize("family", URLS)
def test_curl_stores_files_whole(wire: Namespace, files: Path, tmp_path: Path, family: str) -> None:
    def visit() -> None:
        for name in SIZES:
            curl(wire, "--upload-file", str(files / name), f"{URLS[family]}/{name}")

    host = served(wire.device, tmp_path, visit)
    assert_clean(host)
    assert {name: digest(tmp_path / name) for name in SIZES} == {name: digest(files / name) for name in SIZES}


@pytest.mark.parametrize("family", URLS)
def test_200_megabytes_go_both_ways_whole(wire: Namespace, files: Path, tmp_path: Path, family: str) -> None:
    (tmp_path / "200-MB").symlink_to(files / "200-MB")

    def visit() -> None:
        curl(wire, "--output", str(tmp_path / "fetched"), f"{URLS[family]}/200-MB")
        curl(wire, "--upload-file", str(files / "200-MB"), f"{URLS[family]}/stored")

    host = served(wire.device, tmp_path, visit)
    assert_clean(host)
    assert digest(tmp_path / "fetched") == digest(files / "200-MB")
    assert digest(tmp_path / "stored") == digest(files / "200-MB")


def test_fifty_connections_at_once_are_served_whole(wire: Namespace, files: Path, tmp_path: Path) -> None:
    def visit() -> None:
        urls = [word for n in range(50) for word in ("--output", str(tmp_path / str(n)), f"{URLS['IPv4']}/64-KB")]
        curl(wire, "--parallel", "--parallel-immediate", "--parallel-max", "50", *urls)

    host = served(wire.device, files, visit)
    assert_clean(host)
    assert {digest(tmp_path / str(n)) for n in range(50)} == {digest(files / "64-KB")}
