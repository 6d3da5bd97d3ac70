"""Two servers to flood and what floods them: synfin's and nginx, hping3 and curl, in two network namespaces of their own.

`clients` holds the kernel's end of synfin's TUN, and a veth to `servers`, where nginx listens. What answers random addresses
comes into `clients`, which has no route for them and forwards nothing: it ends there. Neither namespace has another interface.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

OURS: Final = "10.77.0.2"
KERNEL: Final = "10.77.0.1"  # in clients, at the other end of the TUN
CLIENTS: Final = "10.78.0.1"  # the two ends of the veth
SERVERS: Final = "10.78.0.2"
PORT: Final = 80
BACKLOG: Final = 511  # nginx's own default
NAME: Final = "flooded"
PATIENCE: Final = 20  # seconds
CONNECT_PATIENCE: Final = 3  # seconds that curl waits for a connection: the SYN and one repeat

NGINX: Final = """
daemon off; master_process off; error_log stderr; pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen {address}:{port} backlog={backlog}; root {folder}; }}
}}
"""
EACH: Final = 5000  # SYNs a second that one hping3 sends without trouble
LATE: Final = 1.6  # how much more it has to be told
SYNCOOKIES: Final = {"off": 0, "pressure": 1, "always": 2}  # net.ipv4.tcp_syncookies


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=PATIENCE)


class Field:
    """The namespaces `clients` and `servers`, and a folder for what runs in them."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.clients = f"{name}-clients"
        self.servers = f"{name}-servers"
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "XDG_RUNTIME_DIR": str(folder),
        }  # fmt: skip
        (folder / "index.html").write_text("hello\n")

    def start(self, namespace: str, words: Sequence[str], **pipes: Any) -> subprocess.Popen[str]:
        """Start the program `words` in a namespace."""
        command = ["ip", "netns", "exec", namespace, *words]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **pipes}
        return subprocess.Popen(command, text=True, env=self.environment, **pipes)

    def run(self, namespace: str, *words: str) -> str:
        """What the program `words` prints in a namespace, whatever its status."""
        command = ["ip", "netns", "exec", namespace, *words]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, env=self.environment, timeout=600, stdin=subprocess.DEVNULL
        ).stdout


@contextmanager
def field(folder: Path) -> Iterator[Field]:
    """Make the namespaces, and take them away in any case. Raises CalledProcessError where the machine allows none."""
    made = Field(folder, f"synfin-flood-{os.getpid()}")
    with ExitStack() as stack:
        for name in (made.clients, made.servers):
            ip("netns", "add", name)
            stack.callback(ip, "netns", "delete", name)
        ip("link", "add", "near", "netns", made.clients, "type", "veth", "peer", "name", "far", "netns", made.servers)
        for name, link, address in ((made.clients, "near", CLIENTS), (made.servers, "far", SERVERS)):
            made.run(name, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
            made.run(name, "sysctl", "-qw", "net.ipv4.ip_forward=0")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "address", "add", f"{address}/24", "dev", link)
            ip("-n", name, "link", "set", link, "up")
        ip("-n", made.servers, "route", "add", "default", "via", CLIENTS)
        yield made


@dataclass(frozen=True, slots=True)
class Server:
    """A server that can be flooded: `url` to fetch, its process, and what watches it."""

    address: str
    namespace: str  # where synfin watch runs
    watched: tuple[str, ...]
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """What curl fetches."""
        return f"http://{self.address}:{PORT}/index.html"

    def resident(self) -> int:
        """Bytes of memory that the server has in use."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGESIZE")


@contextmanager
def ours(made: Field, cookies: str) -> Iterator[Server]:
    """synfin's HTTP server; `cookies` is "off", "pressure" or "always"."""
    words = [sys.executable, "-m", "benchmarks.flooded", cookies, str(made.folder)]
    process = made.start(made.clients, words, stdout=subprocess.PIPE, stderr=None)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Server(OURS, made.clients, ("--name", NAME), process)
    finally:
        _end(process)


@contextmanager
def nginx(made: Field, cookies: str) -> Iterator[Server]:
    """nginx on the kernel's TCP, with the kernel's cookies."""
    made.run(made.servers, "sysctl", "-qw", f"net.ipv4.tcp_syncookies={SYNCOOKIES[cookies]}")
    configuration = made.folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=made.folder, address=SERVERS, port=PORT, backlog=BACKLOG))
    process = made.start(made.servers, ["nginx", "-c", str(configuration), "-e", "stderr"])
    try:
        until = time.monotonic() + PATIENCE
        while not made.run(made.servers, "ss", "-Hltn", f"sport = :{PORT}").strip():
            assert process.poll() is None and time.monotonic() < until, "nginx does not start"
            time.sleep(0.02)
        yield Server(SERVERS, made.servers, ("--kernel",), process)
    finally:
        _end(process)


SERVED: Final = {"synfin": ours, "nginx": nginx}


@contextmanager
def hping3(made: Field, server: Server, *, rate: int | None, seconds: float) -> Iterator[None]:
    """SYNs from random addresses while the block runs, `seconds` at most: about `rate` a second, None: all that it can.

    One hping3 sends fewer than it is told to, for its timer is late each time: several share the work, and are told more.
    """
    senders = 1 if rate is None else -(-rate // EACH)
    words = ["timeout", str(seconds), "hping3", "-q", "-n", "-S", "--rand-source", "-p", str(PORT)]
    if rate is None:
        words.append("--flood")
    else:
        words += ["-i", f"u{max(int(senders * 1e6 / rate / LATE), 1)}", "-c", str(int(rate * LATE * seconds / senders))]
    processes = [made.start(made.clients, [*words, server.address]) for _ in range(senders)]
    try:
        yield
    finally:
        for process in processes:
            _end(process)


@dataclass(frozen=True, slots=True)
class Visits:
    """What curl saw: of `asked` connections those that were served, and how long each of these took to connect, in seconds."""

    asked: int
    times: tuple[float, ...]

    @property
    def share(self) -> float:
        """Of one."""
        return len(self.times) / self.asked

    def quantile(self, share: float) -> float:
        """The time in which so many of the successful connected; not a number without any."""
        ordered = sorted(self.times)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


def visit(made: Field, server: Server, times: int, at_once: int = 4) -> Visits:
    """Fetch its page so often with curl, each over a connection of its own, `at_once` beside each other."""
    printed = made.run(
        made.clients, "curl", "--silent", "--globoff" if times == 1 else "--no-progress-meter", "--output", "/dev/null",
        "--parallel", "--parallel-immediate", "--parallel-max", str(at_once), "--header", "Connection: close",
        "--connect-timeout", str(CONNECT_PATIENCE), "--max-time", str(2 * CONNECT_PATIENCE),
        "--write-out", "%{http_code} %{time_connect}\n", f"{server.url}?[1-{times}]",
    )  # fmt: skip
    lines = [line.split() for line in printed.splitlines()]
    return Visits(times, tuple(float(line[1]) for line in lines if len(line) == 2 and line[0] == "200"))


@contextmanager
def watching(made: Field, server: Server, log: Path, interval: float = 0.5) -> Iterator[None]:
    """`synfin watch --json` of the server while the block runs; what it prints goes to `log`."""
    words = [sys.executable, "-m", "benchmarks.flooded", "watch", *server.watched, "--json", "--interval", str(interval)]
    with log.open("w") as file:
        process = made.start(server.namespace, words, stdout=file, stderr=subprocess.STDOUT)
        try:
            until = time.monotonic() + PATIENCE
            while not log.stat().st_size and process.poll() is None and time.monotonic() < until:
                time.sleep(0.02)
            yield
            assert process.poll() is None, log.read_text()[-1000:]
        finally:
            _end(process)


def seen(log: Path) -> list[dict[str, Any]]:
    """What `watching` has written so far."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}")]


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _serve(cookies: str, folder: Path) -> None:
    """synfin's HTTP server on a TUN of this namespace, until SIGTERM."""
    from synfin.aio.realtime import RealHost, run  # noqa: PLC0415  the rest of this module needs none of it
    from synfin.cli.files import FileServer  # noqa: PLC0415
    from synfin.control.server import Offer  # noqa: PLC0415
    from synfin.device.tun import TunDevice  # noqa: PLC0415
    from synfin.engine.config import TcpConfig  # noqa: PLC0415

    with TunDevice("flooded%d") as device:
        ip("address", "add", f"{KERNEL}/24", "dev", device.name)
        ip("link", "set", device.name, "up")
        host = RealHost(NAME, [OURS], device, config=TcpConfig(syn_cookies=cookies))

        files = FileServer(folder)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                await files.serve(reader, writer)
            writer.close()

        async def program() -> None:
            about = {"command": "flooded", "addresses": [OURS], "kernel": [KERNEL], "tun": device.name, "holder": None}
            async with Offer(host, NAME, about):
                await asyncio.start_server(answer, OURS, PORT, backlog=BACKLOG)
                print("ready", flush=True)
                await asyncio.Event().wait()

        run(program(), host)


def main() -> int:
    """`COOKIES FOLDER`: serve; `watch ...`: the command synfin watch."""
    if sys.argv[1] == "watch":
        from synfin.cli.main import run  # noqa: PLC0415

        return run(sys.argv[1:])
    _serve(sys.argv[1], Path(sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
