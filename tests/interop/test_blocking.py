"""Blocking programs over a TUN, with the kernel's programs at the other end: curl, openssl, and Python's own sockets."""

import hashlib
import http.client
import http.server
import random
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from synfin.aio.realtime import RealHost
from synfin.sockets import patched
from tests.interop.namespace import KERNEL, OURS, Namespace, namespace
from tests.sockets.test_patching import BODY, Pages, serving

pytestmark = [pytest.mark.needs("netns"), pytest.mark.xdist_group("netns")]

PATIENCE = 30  # seconds
DIGEST = hashlib.sha256(BODY).hexdigest()

SERVER = """
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer((sys.argv[1], 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def wire() -> Iterator[Namespace]:
    with namespace() as own, patched(RealHost("synfin", OURS, own.device)) as driver:
        yield own
        assert driver.failure is None


def curl(wire: Namespace, *words: str) -> bytes:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = wire.command("curl", "--silent", "--show-error", "--fail", "--max-time", str(PATIENCE), *words)
    return subprocess.run(command, check=True, capture_output=True, timeout=2 * PATIENCE).stdout


def test_curl_fetches_from_and_uploads_to_an_http_server_in_threads(wire: Namespace, tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(BODY)
    with serving(http.server.ThreadingHTTPServer((OURS[0], 8000), Pages)):
        for size in (1, 65_536, len(BODY)):
            assert curl(wire, f"http://{OURS[0]}:8000/{size}") == BODY[:size]
        assert curl(wire, "--data-binary", f"@{file}", f"http://{OURS[0]}:8000/").decode() == DIGEST
        sizes = range(65_530, 65_550)
        asked = [word for size in sizes for word in ("--output", str(tmp_path / str(size)), f"http://{OURS[0]}:8000/{size}")]
        curl(wire, "--parallel", "--parallel-immediate", *asked)
        assert [(tmp_path / str(size)).read_bytes() == BODY[:size] for size in sizes] == [True] * 20


def test_curl_speaks_tls_with_a_threaded_server(wire: Namespace, tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(OURS[0]).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = http.server.ThreadingHTTPServer((OURS[0], 8443), Pages)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        found = curl(wire, "--cacert", str(tmp_path / "ca.pem"), f"https://{OURS[0]}:8443/{len(BODY)}")
    assert hashlib.sha256(found).hexdigest() == DIGEST


@pytest.mark.parametrize("address", KERNEL)
def test_http_client_fetches_from_the_kernels_side(wire: Namespace, tmp_path: Path, address: str) -> None:
    (tmp_path / "body").write_bytes(BODY)
    family = "" if "." in address else "http.server.HTTPServer.address_family = 10\n"
    source = SERVER.replace("server =", family + "server =")
    command = wire.command(sys.executable, "-c", source, address)
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            connection = http.client.HTTPConnection(address, int(process.stdout.readline()), timeout=PATIENCE)
            for _ in range(3):
                connection.request("GET", "/body")
                assert hashlib.sha256(connection.getresponse().read()).hexdigest() == DIGEST
            connection.close()
        finally:
            process.terminate()


def test_https_client_fetches_from_openssl(wire: Namespace, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    authority, context = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(context)
    certificate = authority.issue_cert(KERNEL[0])
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "pem"))
    (tmp_path / "body").write_bytes(BODY)
    command = wire.command("openssl", "s_server", "-accept", f"{KERNEL[0]}:4433", "-cert", "pem", "-key", "pem", "-WWW")
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert any(line.startswith("ACCEPT") for line in process.stdout)
            connection = http.client.HTTPSConnection(KERNEL[0], 4433, timeout=PATIENCE, context=context)
            connection.request("GET", "/body")
            assert hashlib.sha256(connection.getresponse().read()).hexdigest() == DIGEST
            connection.close()
        finally:
            process.terminate()


def test_redis_py_blocking_over_a_pipeline(wire: Namespace) -> None:
    redis = pytest.importorskip("redis")
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    options = ("--bind", KERNEL[0], "--port", "6379", "--save", "", "--appendonly", "no", "--protected-mode", "no")
    with subprocess.Popen(wire.command("redis-server", *options), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert any("Ready to accept connections" in line for line in process.stdout)
            client: Any = redis.Redis(KERNEL[0], 6379)
            pipe = client.pipeline(transaction=False)
            for number in range(1000):
                pipe.set(f"key{number}", random.Random(number).randbytes(100))
            assert pipe.execute() == [True] * 1000
            assert client.get("key7") == random.Random(7).randbytes(100)
            client.close()
        finally:
            process.terminate()


def test_the_kernels_sockets_go_on_beside(wire: Namespace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        with accepted:
            accepted.sendall(b"through the kernel")
            assert client.recv(100) == b"through the kernel"
