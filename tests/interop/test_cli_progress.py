"""Long transfers on a terminal: `serve` and `connect` say how far they are, and nothing of it where nobody looks."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.programs import PATIENCE, Programs, programs

pytestmark = [pytest.mark.needs("netns"), pytest.mark.xdist_group("netns")]


@pytest.fixture
def synfin(tmp_path: Path) -> Iterator[Programs]:
    with programs(tmp_path) as made:
        yield made


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """What a person looks at, and what a program writes to."""
    ends = os.openpty()
    yield ends
    for end in ends:
        os.close(end)


def line_on(screen: int) -> str:
    """What is on the screen once a line of progress is."""
    shown = b""
    while not re.search(rb"/s\x1b\[K", shown):
        shown += os.read(screen, 4096)
    return shown.decode()


def test_serve_says_how_much_it_has_sent(synfin: Programs, terminal: tuple[int, int]) -> None:
    screen, tty = terminal
    server = synfin.start("serve", "chargen", "--port", "19", stderr=tty)
    assert server.stdout is not None
    server.stdout.readline(), server.stdout.readline()
    peer = synfin.start("exec", "--", "sh", "-c", READER, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert re.match(r"\r[\d.]+ [kMG]B sent, 0 B received, [\d.]+ [kMG]B/s", line_on(screen))
    peer.kill()
    server.terminate()
    assert server.wait(PATIENCE) == 143


def test_connect_says_how_much_it_has_received(synfin: Programs, terminal: tuple[int, int], tmp_path: Path) -> None:
    screen, tty = terminal
    synfin.serve("up")
    server = synfin.start("exec", "--", "sh", "-c", CHARACTERS, stdout=subprocess.PIPE)
    assert server.stdout is not None and server.stdout.readline() == "ready\n"
    client = synfin.start("connect", "kernel", "19", stdout=subprocess.DEVNULL, stderr=tty)
    assert re.match(r"\r0 B sent, [\d.]+ [kMG]B received, [\d.]+ [kMG]B/s", line_on(screen))
    client.kill()


def test_who_talks_with_the_peer_on_the_terminal_is_not_disturbed(synfin: Programs, terminal: tuple[int, int]) -> None:
    screen, tty = terminal
    synfin.serve("up")
    server = synfin.start("exec", "--", "sh", "-c", SLOWLY, stdout=subprocess.PIPE)
    assert server.stdout is not None and server.stdout.readline() == "ready\n"
    client = synfin.start("connect", "kernel", "19", stdin=tty, stdout=tty, stderr=tty)
    shown = b""
    while b"done" not in shown:
        shown += os.read(screen, 4096)
    assert shown == b"some\r\ndone"
    client.kill()


LISTEN = "import socket, time; s = socket.create_server(('10.77.0.1', 19)); print('ready', flush=True); c = s.accept()[0]"
READER = """exec /usr/bin/env python3 -c "
import socket
s = socket.create_connection(('10.77.0.2', 19))
while s.recv(100000): pass"
"""
CHARACTERS = f'exec /usr/bin/env python3 -c "{LISTEN}\nwhile True: c.sendall(bytes(100000))"'
TALK = "c.sendall(b'some\\n'); time.sleep(1.7); c.sendall(b'done'); c.recv(1)"
SLOWLY = f'exec /usr/bin/env python3 -c "{LISTEN}\n{TALK}"'
