"""aiohttp, httpx, uvicorn and websockets, unmodified, on synfin's TCP over a TUN; curl, nginx and Python on the kernel's."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synfin.aio.realtime import RealHost, run
from tests.interop.curl import URLS, curl, make_files
from tests.interop.daemons import nginx
from tests.interop.namespace import KERNEL, OURS, Namespace, namespace

pytestmark = [pytest.mark.needs("netns"), pytest.mark.xdist_group("netns")]

PATIENCE = 60  # seconds


@pytest.fixture(scope="module")
def wire() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


def on_synfin(wire: Namespace, program: Any) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(PATIENCE):
            return await program

    return run(within(), RealHost("synfin", OURS, wire.device))


async def aside(wire: Namespace, *words: str) -> str:
    """Run a program in the namespace while the loop goes on; returns what it printed."""

    def wait() -> str:
        done = subprocess.run(wire.command(*words), check=False, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return await asyncio.get_running_loop().run_in_executor(None, wait)


@pytest.mark.needs("nginx", "ss")
def test_httpx_asks_nginx_fifty_times_at_once(wire: Namespace, tmp_path: Path) -> None:
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    (tmp_path / "root").mkdir()
    root = make_files(tmp_path / "root", ["64-KB"])

    async def program() -> list[bytes]:
        async with httpx.AsyncClient(base_url=f"http://{KERNEL[0]}:8080", timeout=PATIENCE, trust_env=False) as session:
            answers = await asyncio.gather(*[session.get("/64-KB") for _ in range(50)])
            answers += [await session.get("/64-KB") for _ in range(10)]
        return [answer.content for answer in answers]

    with nginx(wire, tmp_path, root, 8080):
        answers = on_synfin(wire, program())
    assert len(answers) == 60
    assert set(answers) == {(root / "64-KB").read_bytes()}


@pytest.mark.needs("nginx", "ss")
def test_aiohttp_asks_nginx_over_ipv6(wire: Namespace, tmp_path: Path) -> None:
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    (tmp_path / "root").mkdir()
    root = make_files(tmp_path / "root", ["1-MB"])

    async def program() -> bytes:
        async with aiohttp.ClientSession() as session, session.get(f"http://[{KERNEL[1]}]:8080/1-MB") as response:
            assert response.status == 200
            return bytes(await response.read())

    with nginx(wire, tmp_path, root, 8080):
        assert on_synfin(wire, program()) == (root / "1-MB").read_bytes()


@pytest.mark.needs("curl")
def test_uvicorn_serves_curl(wire: Namespace) -> None:
    uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed")

    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        size = 0
        while True:
            message = await receive()
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = json.dumps({"path": scope["path"], "bytes": size, "client": scope["client"][0]}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def program() -> list[Any]:
        server = uvicorn.Server(uvicorn.Config(application, OURS[0], 80, lifespan="off", log_level="error", workers=1))
        serving = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        answers = []
        for n in range(3):
            words = ("--data-binary", "x" * 1000 * n, f"{URLS['IPv4']}/number/{n}")
            answers.append(json.loads(await asyncio.get_running_loop().run_in_executor(None, curl, wire, *words)))
        server.should_exit = True
        await serving
        return answers

    assert on_synfin(wire, program()) == [
        {"path": f"/number/{n}", "bytes": 1000 * n, "client": KERNEL[0]} for n in range(3)
    ]


WEBSOCKET_CLIENT = """
import sys
from websockets.sync.client import connect
with connect(sys.argv[1], proxy=None) as socket:
    for n in range(100):
        socket.send("message %d" % n)
        assert socket.recv() == "MESSAGE %d" % n
print("said")
"""


def test_websockets_serves_a_client_of_the_kernels(wire: Namespace) -> None:
    websockets = pytest.importorskip("websockets.asyncio.server", reason="websockets is not installed")

    async def answer(socket: Any) -> None:
        async for message in socket:
            await socket.send(message.upper())

    async def program() -> str:
        async with websockets.serve(answer, OURS[0], 8765):
            return await aside(wire, sys.executable, "-c", WEBSOCKET_CLIENT, f"ws://{OURS[0]}:8765/")

    assert on_synfin(wire, program()) == "said\n"
