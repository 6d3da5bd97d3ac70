"""The machine's curl in a namespace, and servers on synfin that it visits."""

import asyncio
import hashlib
import os
import random
import subprocess
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from synfin.aio.realtime import RealHost, run
from synfin.device.base import DescriptorDevice
from synfin.engine.config import TcpConfig
from synfin.engine.state import State
from tests.interop.file_server import FileServer
from tests.interop.namespace import OURS, Namespace

PORT = 80
SIZES = {"one-byte": 1, "64-KB": 65_536, "1-MB": 1_000_000, "200-MB": 200_000_000}
URLS = {"IPv4": f"http://{OURS[0]}:{PORT}", "IPv6": f"http://[{OURS[1]}]:{PORT}"}
PATIENCE = 90  # seconds

Start = Callable[[Path], Awaitable[object]]


def make_files(directory: Path, names: Iterable[str]) -> Path:
    """Files of SIZES in `directory`, the same bytes each time; returns it."""
    for name in names:
        (directory / name).write_bytes(random.Random(name).randbytes(SIZES[name]))
    return directory


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def curl(wire: Namespace, *words: str) -> str:
    """Run curl in the namespace; returns what it printed. Its environment has no proxy in it."""
    command = wire.command("curl", "--silent", "--show-error", "--fail", "--globoff", "--max-time", str(PATIENCE), *words)
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE + 10, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def start_streams(directory: Path) -> object:
    return await FileServer(directory).start(list(OURS), PORT)


async def start_aiohttp(directory: Path) -> object:
    from aiohttp import web  # noqa: PLC0415  the other tests go without it

    application = web.Application(client_max_size=1 << 30)
    application.router.add_static("/", directory)
    runner = web.AppRunner(application)
    await runner.setup()
    for address in OURS:
        await web.TCPSite(runner, address, PORT).start()
    return runner


SERVERS = {"streams": start_streams, "aiohttp": start_aiohttp}


def served(
    device: DescriptorDevice, directory: Path, visit: Callable[[], object], start: Start = start_streams, *,
    config: TcpConfig | None = None,
) -> RealHost:  # fmt: skip
    """Serve `directory` on synfin at both addresses while `visit` runs in a thread; returns the host, everything closed."""
    host = RealHost("server", OURS, device, config=config)

    async def program() -> None:
        server = await start(directory)
        async with asyncio.timeout(PATIENCE + 20):
            await asyncio.get_running_loop().run_in_executor(None, visit)
        assert server is not None

    run(program(), host)
    # Either side may have closed first; nothing of ours is unacknowledged.
    assert {entry.state for entry in host.stack.sockets()} <= {State.TIME_WAIT, State.FIN_WAIT_2}
    return host
