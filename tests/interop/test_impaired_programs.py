"""Debian's openssl, redis and iperf3 over a bad network: the simulator's faults both ways, and every byte arrives."""

import asyncio
import hashlib
import json
import ssl
import subprocess
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from synfin.aio.realtime import RealHost, run
from synfin.engine.config import TcpConfig
from synfin.engine.errors import DropReason
from synfin.sim.impaired import ImpairedDevice
from tests.interop.curl import PATIENCE, SIZES, digest, make_files
from tests.interop.daemons import daemon
from tests.interop.namespace import KERNEL, OURS, Namespace, namespace
from tests.interop.relay import Relay

pytestmark = [pytest.mark.needs("netns", "ss"), pytest.mark.xdist_group("netns")]

T = TypeVar("T")

FAULTS = {
    "loss-1": {"loss": 0.01},
    "loss-5": {"loss": 0.05},
    "reorder": {"delay": 0.0005, "reorder": 0.1, "reorder_by": 0.002},
    "corrupt": {"corrupt": 0.02},
}
NAMES = ("one-byte", "64-KB", "1-MB")


@pytest.fixture(scope="module")
def wire() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


@pytest.fixture(params=FAULTS)
def host(wire: Namespace, request: pytest.FixtureRequest) -> RealHost:
    """synfin behind the fault after which it is called."""
    device = ImpairedDevice(wire.device, seed=3, **FAULTS[request.param])
    return RealHost(request.param, OURS, device, config=TcpConfig.linux())


def within(host: RealHost, program: Coroutine[Any, Any, T]) -> T:
    """Run `program` on the host, then see that its network was a bad one."""

    async def limited() -> T:
        async with asyncio.timeout(PATIENCE):
            return await program

    result = run(limited(), host)
    device = host.device
    assert isinstance(device, ImpairedDevice)
    if host.name.startswith("loss"):
        assert device.ledger.lost["loss"] > 0  # whether one of ours was among them is chance: we send requests and ACKs
    elif host.name == "corrupt":
        assert host.stack.counters.drops[DropReason.TCP_CHECKSUM] > 0
    return result


@pytest.mark.needs("openssl")
def test_files_of_openssl_cross_a_bad_network_whole_through_tls(wire: Namespace, tmp_path: Path, host: RealHost) -> None:
    trustme = pytest.importorskip("trustme", reason="trustme is not installed")
    make_files(tmp_path, NAMES)
    authority = trustme.CA()
    certificate = authority.issue_cert(*KERNEL)
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)

    async def program() -> dict[str, str]:
        found = {}
        for name in NAMES:
            reader, writer = await asyncio.open_connection(KERNEL[0], 4433, ssl=context)
            writer.write(f"GET /{name} HTTP/1.0\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            found[name] = hashlib.sha256(await reader.read()).hexdigest()
            writer.close()
        return found

    words = ("openssl", "s_server", "-quiet", "-accept", f"{KERNEL[0]}:4433", "-cert", "cert.pem", "-WWW")
    with daemon(wire, 4433, tmp_path / "openssl.log", *words):
        assert within(host, program()) == {name: digest(tmp_path / name) for name in NAMES}


@pytest.mark.needs("redis-server")
def test_a_pipeline_of_redis_with_a_megabyte_in_it_crosses_a_bad_network_whole(
    wire: Namespace, tmp_path: Path, host: RealHost
) -> None:
    redis = pytest.importorskip("redis.asyncio", reason="redis-py is not installed")
    make_files(tmp_path, NAMES)
    values = [(tmp_path / name).read_bytes() for name in NAMES]

    async def program() -> list[Any]:
        async with redis.Redis(host=KERNEL[0], port=6379) as client:
            pipeline = client.pipeline(transaction=False)
            for _ in range(5_000):
                pipeline.incr("counter")
            for name, value in zip(NAMES, values, strict=True):
                pipeline.set(name, value)
                pipeline.get(name)
            return list(await pipeline.execute())

    words = ("redis-server", "--bind", KERNEL[0], "--port", "6379", "--save", "", "--protected-mode", "no")
    with daemon(wire, 6379, tmp_path / "redis.log", *words):
        answers = within(host, program())
    assert answers[:5_000] == list(range(1, 5_001))
    assert answers[5_000:] == [each for value in values for each in (True, value)]


@pytest.mark.needs("openssl")
def test_openssl_s_client_is_sent_a_megabyte_whole_over_a_bad_network(wire: Namespace, tmp_path: Path, host: RealHost) -> None:
    trustme = pytest.importorskip("trustme", reason="trustme is not installed")
    make_files(tmp_path, NAMES)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*OURS).configure_cert(context)
    command = wire.command(
        "openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", str(tmp_path / "ca.pem"), "-connect",
        f"{OURS[0]}:4433",
    )  # fmt: skip

    async def program() -> list[str]:
        digests: list[str] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            name = NAMES[len(digests)]
            writer.write((tmp_path / name).read_bytes())
            got = await reader.readexactly(SIZES[name])
            digests.append(hashlib.sha256(got).hexdigest())
            writer.close()

        def visit(name: str) -> None:
            with (tmp_path / name).open("rb") as given:
                done = subprocess.run(command, stdin=given, capture_output=True, check=False, timeout=PATIENCE)
            assert hashlib.sha256(done.stdout).hexdigest() == digest(tmp_path / name), done.stderr

        server = await asyncio.start_server(serve, OURS[0], 4433, ssl=context)
        for name in NAMES:
            await asyncio.get_running_loop().run_in_executor(None, visit, name)
        server.close()
        return digests

    assert within(host, program()) == [digest(tmp_path / name) for name in NAMES]


@pytest.mark.needs("iperf3")
@pytest.mark.parametrize("host", ["loss-5", "corrupt"], indirect=True)
@pytest.mark.parametrize("way", ["to-the-server", "from-the-server"])
def test_iperf3_carries_a_megabyte_through_a_relay_on_a_bad_network(
    wire: Namespace, tmp_path: Path, host: RealHost, way: str
) -> None:
    relay = Relay(KERNEL[0], 5201)
    reverse = ["-R"] if way == "from-the-server" else []
    words = wire.command("iperf3", "-c", OURS[0], "-p", "5202", "-n", "1M", "-J", *reverse)

    async def program() -> dict[str, Any]:
        server = await relay.start(OURS[0], 5202)

        def measure() -> str:
            return subprocess.run(words, check=False, capture_output=True, text=True, timeout=PATIENCE).stdout

        answer = await asyncio.get_running_loop().run_in_executor(None, measure)
        server.close()
        return dict(json.loads(answer))

    with daemon(wire, 5201, tmp_path / "iperf3.log", "iperf3", "-s", "-1"):
        report = within(host, program())
    assert "error" not in report
    assert relay.joined == 2
    received = report["end"]["sum_received"]["bytes"]  # when the sender was done: some may have been on its way
    assert relay.carried[1 if reverse else 0] >= received > 0
