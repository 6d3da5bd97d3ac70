"""Recordings of what two Linux kernels said to each other, captured on both ends of a wire between network namespaces.

Nothing of it is synfin's: super-segments, scaled windows that grow, ACKs at once or put off, checksums left to the card.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from synfin.capture.reader import Capture
from synfin.cli.main import run
from synfin.engine.segment import FIN, RST
from synfin.packetdrill.record_capture import connections
from tests.interop.namespace import ip

CLIENT, SERVER = "10.78.0.1", "10.78.0.2"
PORT = 8080
PATIENCE = 20.0  # s
SETTINGS = ("tcp_sack=0", "tcp_ecn=0", "tcp_rmem=4096 131072 6291456", "tcp_wmem=4096 16384 4194304", "tcp_timestamps=1")

# What the programs do with `s`, the socket of the connection, after it was opened.
READ = """
def read(count):
    while count:
        count -= len(s.recv(count))
"""
PROGRAMS = {
    "one question": ("s.sendall(bytes(100)); read(300); s.close()", "read(100); s.sendall(bytes(300)); s.recv(1)"),
    "three questions, with pauses": (
        "for _ in range(3): s.sendall(bytes(100)); read(300); time.sleep(0.1)",
        "for _ in range(3): read(100); time.sleep(0.1); s.sendall(bytes(300))\ns.recv(1)",
    ),
    "the server ends it": ("s.sendall(bytes(10)); s.recv(1)", "read(10); s.close()"),
    "an abort": (
        "s.sendall(bytes(10))\ntry: s.recv(1)\nexcept OSError: pass",
        "read(10); s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0))); s.close()",
    ),
    "20,000 bytes up": ("s.sendall(bytes(20000))", "while s.recv(65536): pass"),
    "20,000 bytes down": ("s.sendall(bytes(100))\nwhile s.recv(65536): pass", "read(100); s.sendall(bytes(20000))"),
}
OPENED = {
    "client": f"s = socket.create_connection(({SERVER!r}, {PORT}))\n",
    "server": f"l = socket.create_server(({SERVER!r}, {PORT})); print('listening', flush=True); s, _ = l.accept()\n",
}
# What a kernel may do otherwise: a window that grows and sticks to no edge, a clock that ticks between a packet and its answer.
LEFT_OPEN = "(the windows that its packets tell)?(, )?(the values of its timestamps)?"


class Wire:
    """Two namespaces, by side, with one wire between them."""

    def __init__(self, names: dict[str, str], interface: str, folder: Path) -> None:
        self.names = names
        self.interface = interface
        self.folder = folder

    def start(self, side: str, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["ip", "netns", "exec", self.names[side], *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    @contextmanager
    def listening(self, side: str) -> Iterator[Path]:
        """The capture of what passes `side`; it is whole when both sides have ended the connection."""
        path = self.folder / f"{side}.pcap"
        path.unlink(missing_ok=True)
        words = ("tcpdump", "-i", self.interface, "--immediate-mode", "-U", "-Z", "root", "-w", str(path), "tcp")
        tcpdump = self.start(side, *words)
        try:
            assert tcpdump.stderr is not None
            while "listening on" not in (line := tcpdump.stderr.readline()):
                assert line, "tcpdump ended"
            yield path
            until = time.monotonic() + PATIENCE
            while not ended(path):
                assert time.monotonic() < until, "the connection does not end"
                time.sleep(0.05)
        finally:
            tcpdump.terminate()
            tcpdump.communicate(timeout=PATIENCE)

    def capture(self, programs: tuple[str, str]) -> dict[str, Path]:
        """The captures of one connection, by side; `programs` are the client's and the server's."""
        with ExitStack() as stack:
            found = {side: stack.enter_context(self.listening(side)) for side in self.names}
            texts = {
                side: f"import socket, time\n{OPENED[side]}{READ}\n{text}"
                for side, text in zip(("client", "server"), programs, strict=True)
            }
            running = [self.start("server", sys.executable, "-c", texts["server"])]
            assert running[0].stdout is not None and running[0].stdout.readline() == "listening\n"
            running.append(self.start("client", sys.executable, "-c", texts["client"]))
            for each in running:
                assert (each.communicate(timeout=PATIENCE)[1], each.returncode) == ("", 0)
        return found


def ended(path: Path) -> bool:
    """Whether both sides have sent their FIN and heard of it, or one an RST."""
    with path.open("rb") as file:
        found = connections(file)
    for packets in found.values():
        segments = [seen.view.segment for seen in packets]
        fins = [at for at, segment in enumerate(segments) if segment.flags & FIN]
        if any(segment.flags & RST for segment in segments) or (len(fins) == 2 and len(segments) > fins[1] + 1):
            return True
    return False


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed")
    names = {side: f"synfin-record-{side}-{os.getpid()}" for side in ("client", "server")}
    interface = "wire0"
    with ExitStack() as stack:
        for name in names.values():
            try:
                ip("netns", "add", name)
            except (subprocess.CalledProcessError, FileNotFoundError) as error:
                pytest.skip(f"netns: {getattr(error, 'stderr', error)}")
            stack.callback(ip, "netns", "delete", name)
        ip("link", "add", interface, "netns", names["client"], "type", "veth", "peer", interface, "netns", names["server"])
        for side, address in (("client", CLIENT), ("server", SERVER)):
            ip("-n", names[side], "address", "add", f"{address}/24", "dev", interface)
            ip("-n", names[side], "link", "set", interface, "up")
            for setting in SETTINGS:
                ip("netns", "exec", names[side], "sysctl", "-q", "-w", f"net.ipv4.{setting}")
        yield Wire(names, interface, tmp_path_factory.mktemp("captures"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_connection_of_two_kernels_is_recorded(name: str, wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    captures = wire.capture(PROGRAMS[name])
    for side, path in captures.items():
        target = path.with_suffix(".pkt")
        status = run(["packetdrill", "--record", str(path), "--side", side, "--profile", "linux", "-o", str(target)])
        told = capsys.readouterr().err
        assert status == 0, f"{side}: {told}\n{target.read_text()}"
        assert re.fullmatch(rf"{re.escape(str(target))}: it passes(; left open: {LEFT_OPEN})?\n", told), f"{side}: {told}"
        assert run(["packetdrill", "--strict", "--profile", "linux", "-q", str(target)]) == 0
        capsys.readouterr()


def test_a_stack_that_is_set_otherwise_fails_and_the_difference_is_told(wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    path = wire.capture(PROGRAMS["one question"])["client"]
    assert run(["packetdrill", "--record", str(path), "--profile", "freebsd"]) == 1
    output, told = capsys.readouterr()
    assert output.startswith("// Recorded of the client in client.pcap: ")
    assert "expected  > S 0:0(0) win 64240 <mss 1460,nop,nop,TS val 1000 ecr 0,nop,wscale 7>\n" in told
    assert "differs   which options, or their order\n" in told


def test_a_super_segment_is_one_packet_of_the_script(wire: Wire) -> None:
    path = wire.capture(PROGRAMS["20,000 bytes up"])["server"]
    with path.open("rb") as file:
        longest = max(len(record.data) for record in Capture(file))
    assert longest > 3000
