"""Unmodified asyncio programs on synfin's TCP; Debian's nginx, redis, openssl and iperf3 on the kernel's at the other end."""

import asyncio
import hashlib
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synfin.aio.realtime import RealHost, run
from synfin.engine.errors import DropReason
from tests.interop.curl import digest, make_files
from tests.interop.daemons import daemon, nginx
from tests.interop.namespace import KERNEL, OURS, Namespace, namespace
from tests.interop.relay import Relay

pytestmark = [pytest.mark.needs("netns"), pytest.mark.xdist_group("netns")]

PATIENCE = 90  # seconds
FAMILIES = {"IPv4": KERNEL[0], "IPv6": KERNEL[1]}
SIZES = ("one-byte", "64-KB", "1-MB", "200-MB")


@pytest.fixture(scope="module", params=["offload", "no-offload"])
def wire(request: pytest.FixtureRequest) -> Iterator[Namespace]:
    with namespace(offload=request.param == "offload") as made:
        yield made


def as_client(wire: Namespace, program: Any) -> Any:
    """Run the coroutine `program` on synfin and return its result; no packet may have been damaged."""
    host = RealHost("client", OURS, wire.device)

    async def within() -> Any:
        async with asyncio.timeout(PATIENCE):
            return await program

    result = run(within(), host)
    assert not {DropReason.IP_CHECKSUM, DropReason.TCP_CHECKSUM, DropReason.TCP_OPTION} & set(host.stack.counters.drops)
    return result


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> tuple[str, str]:
    """Send a request of HTTP/1.0; the status line, and the SHA-256 of the body."""
    writer.write(head.encode() + b"\r\n\r\n")
    answer = await reader.readuntil(b"\r\n\r\n")
    body = hashlib.sha256()
    while data := await reader.read(1 << 18):
        body.update(data)
    writer.close()
    await writer.wait_closed()
    return answer.decode().partition("\r\n")[0], body.hexdigest()


@pytest.mark.needs("nginx", "ss")
@pytest.mark.parametrize("family", FAMILIES)
def test_files_of_nginx_arrive_whole(wire: Namespace, tmp_path: Path, family: str) -> None:
    address = FAMILIES[family]
    (tmp_path / "root").mkdir()
    root = make_files(tmp_path / "root", SIZES)

    async def program() -> dict[str, tuple[str, str]]:
        found = {}
        for name in SIZES:
            reader, writer = await asyncio.open_connection(address, 8080)
            found[name] = await ask(reader, writer, f"GET /{name} HTTP/1.0")
        return found

    with nginx(wire, tmp_path, root, 8080):
        found = as_client(wire, program())
    assert found == {name: ("HTTP/1.1 200 OK", digest(root / name)) for name in SIZES}


@pytest.mark.needs("redis-server", "ss")
def test_a_hundred_thousand_commands_in_one_pipeline_of_redis(wire: Namespace, tmp_path: Path) -> None:
    redis = pytest.importorskip("redis.asyncio", reason="redis-py is not installed")
    count = 100_000

    async def program() -> list[int]:
        async with redis.Redis(host=KERNEL[0], port=6379) as client:
            pipeline = client.pipeline(transaction=False)
            for _ in range(count):
                pipeline.incr("counter")
            return list(await pipeline.execute())

    words = ("redis-server", "--bind", KERNEL[0], "--port", "6379", "--save", "", "--protected-mode", "no")
    with daemon(wire, 6379, tmp_path / "redis.log", *words):
        assert as_client(wire, program()) == list(range(1, count + 1))


@pytest.mark.needs("openssl", "ss")
@pytest.mark.parametrize("family", FAMILIES)
def test_files_of_openssl_arrive_whole_through_tls(wire: Namespace, tmp_path: Path, family: str) -> None:
    trustme = pytest.importorskip("trustme", reason="trustme is not installed")
    address = FAMILIES[family]
    names = ("one-byte", "64-KB", "1-MB")
    make_files(tmp_path, names)
    authority = trustme.CA()
    certificate = authority.issue_cert(*KERNEL)
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for n, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(tmp_path / "cert.pem", append=n > 0)
    context = ssl.create_default_context()
    authority.configure_trust(context)

    async def program() -> dict[str, tuple[str, str]]:
        found = {}
        for name in names:
            reader, writer = await asyncio.open_connection(address, 4433, ssl=context)
            found[name] = await ask(reader, writer, f"GET /{name} HTTP/1.0")
        return found

    at = address if family == "IPv4" else f"[{address}]"
    words = ("openssl", "s_server", "-quiet", "-accept", f"{at}:4433", "-cert", "cert.pem", "-key", "key.pem", "-WWW")
    with daemon(wire, 4433, tmp_path / "openssl.log", *words):
        found = as_client(wire, program())
    assert {name: body for name, (_, body) in found.items()} == {name: digest(tmp_path / name) for name in names}


@pytest.mark.needs("iperf3", "ss")
@pytest.mark.parametrize("streams", [1, 8])
@pytest.mark.parametrize("way", ["to-the-server", "from-the-server"])
def test_iperf3_measures_through_a_relay(wire: Namespace, tmp_path: Path, way: str, streams: int) -> None:
    relay = Relay(KERNEL[0], 5201)
    reverse = ["-R"] if way == "from-the-server" else []
    words = wire.command("iperf3", "-c", OURS[0], "-p", "5202", "-n", "40M", "-P", str(streams), "-J", *reverse)

    async def program() -> dict[str, Any]:
        server = await relay.start(OURS[0], 5202)

        def measure() -> str:
            done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=PATIENCE)
            return done.stdout

        answer = await asyncio.get_running_loop().run_in_executor(None, measure)
        server.close()
        return dict(json.loads(answer))

    with daemon(wire, 5201, tmp_path / "iperf3.log", "iperf3", "-s", "-1"):
        report = as_client(wire, program())
    assert "error" not in report
    assert relay.joined == 1 + streams  # the control connection, and one a stream
    received = report["end"]["sum_received"]["bytes"]  # when the sender was done: some may have been on its way
    assert relay.carried[1 if reverse else 0] >= received > 10_000_000
