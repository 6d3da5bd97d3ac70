"""A network namespace with one TUN in it, and the kernel's side of a measurement in there.

The kernel's side is a small Python program of few calls a byte, so that it does not become the bottleneck; it says how many
CPU seconds it took. Its congestion control is cubic, its receive buffer large enough not to be the limit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from synfin.device.tun import TunDevice

KERNEL: Final = "10.78.0.1"
OURS: Final = "10.78.0.2"
PORT: Final = 8000
CONGESTION: Final = "cubic"
PATIENCE: Final = 60  # seconds

SIDE: Final = """
import os, resource, socket, sys, time
work, host, port, amount = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
TCP_CONGESTION, SO_RCVBUFFORCE = 13, 33
message = bytes(64)
def connect():
    c = socket.socket()
    c.connect((host, port))
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    c.setsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, b"cubic")
    return c
def sink():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 22)
    s.bind((host, port))
    s.listen()
    print("ready", flush=True)
    c, room = s.accept()[0], bytearray(1 << 20)
    try:
        while c.recv_into(room): pass
    except OSError: pass
def source():
    c, block, until = connect(), bytes(1 << 18), time.monotonic() + amount
    try:
        while time.monotonic() < until: c.send(block)
    except OSError: pass
def ask():
    c, times = connect(), []
    for _ in range(int(amount)):
        began = time.perf_counter_ns()
        c.send(message)
        c.recv(64)
        times.append(time.perf_counter_ns() - began)
    print("median", sorted(times)[len(times) // 2] / 1000)
def visit():
    began = time.perf_counter()
    for _ in range(int(amount)):
        c = socket.socket()
        c.connect((host, port))
        c.send(message)
        c.recv(64)
        c.close()
    print("rate", amount / (time.perf_counter() - began))
def crowd(many=32):
    began, done = time.perf_counter(), 0
    while done < amount:
        group = [socket.socket() for _ in range(many)]
        for c in group:
            c.setblocking(False)
            c.connect_ex((host, port))
        for c in group:
            c.setblocking(True)
            c.send(message)
        for c in group:
            c.recv(64)
            c.close()
        done += many
    print("rate", done / (time.perf_counter() - began))
def hold():
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(amount) + 100,) * 2)
    kept = [connect() for _ in range(int(amount))]
    print("held", len(kept), flush=True)
    sys.stdin.read()
if work != "sink": print("ready", flush=True)
globals()[work]()
print("cpu", time.process_time(), flush=True)
"""


class Side:
    """A program of the kernel's; `with` ends it."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def said(self) -> dict[str, float]:
        """What it printed, once it has ended."""
        lines = self.process.communicate(timeout=PATIENCE)[0].splitlines()
        return {name: float(value) for name, _, value in (line.partition(" ") for line in lines)}

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


class Wire:
    """The namespace `name`, with `device`'s interface in it."""

    def __init__(self, name: str, device: TunDevice) -> None:
        self.name = name
        self.device = device

    def side(self, work: str, amount: float = 0) -> Side:
        """Start the kernel's side: `sink` and `source` of bytes (for `amount` seconds), or what else SIDE can do."""
        host = KERNEL if work == "sink" else OURS
        command = [sys.executable, "-c", SIDE, work, host, str(PORT), str(amount)]
        return Side(["ip", "netns", "exec", self.name, *command])


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=PATIENCE)


@contextmanager
def wire(*, offload: bool) -> Iterator[Wire]:
    """Makes it, takes it away. Raises OSError or CalledProcessError where the machine does not allow it."""
    name = f"synfin-bench-{os.getpid()}"
    with TunDevice(offload=offload) as device:
        _ip("netns", "add", name)
        try:
            _ip("link", "set", device.name, "netns", name)
            _ip("-n", name, "address", "add", f"{KERNEL}/24", "dev", device.name)
            _ip("-n", name, "link", "set", device.name, "up")
            yield Wire(name, device)
        finally:
            device.close()
            _ip("netns", "delete", name)
