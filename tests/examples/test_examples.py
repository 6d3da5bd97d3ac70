"""Each program in examples/ does what its first lines say: started as processes of their own, over the kernel's loopback."""

import ast
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py"))
PATIENCE = 60.0  # seconds: nothing takes so long


class Started:
    """The programs of one test; what still runs at its end is ended."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, name: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def listen(self, name: str, *arguments: object) -> tuple[subprocess.Popen[str], int]:
        """Start a program that listens; and its port."""
        process = self.start(name, *arguments)
        assert process.stdout is not None
        found = re.fullmatch(r"listening on port (\d+)\n", process.stdout.readline())
        assert found is not None
        return process, int(found[1])

    def run(self, name: str, *arguments: object) -> str:
        """Start a program that succeeds; what it prints."""
        out, err = self.start(name, *arguments).communicate(timeout=PATIENCE)
        assert (self.processes[-1].returncode, err) == (0, "")
        return out


@pytest.fixture
def started() -> Iterator[Started]:
    made = Started()
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


def output(process: subprocess.Popen[Any]) -> str:
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    return str(out)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_says_how_to_run_it(name: str) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert f"python examples/{name}" in (ast.get_docstring(ast.parse(text)) or "")


def test_every_way_of_talking_has_its_example() -> None:
    assert NAMES == [
        "duplex_processes.py", "long_heartbeat.py", "pipelined.py", "short.py", "simplex_receiver.py", "simplex_sender.py",
        "sync_timeout.py",
    ]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in NAMES if name != "simplex_receiver.py"])
def test_without_arguments_an_example_says_how_to_run_it(name: str, started: Started) -> None:
    process = started.start(name)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (1, "")
    assert f"python examples/{name}" in err


WRONG_PORTS = {
    "short.py": ("ask", "PORT", "hello"), "long_heartbeat.py": ("talk", "PORT"), "sync_timeout.py": ("ask", "PORT"),
    "pipelined.py": ("ask", "PORT"), "duplex_processes.py": ("call", "PORT", "5"), "simplex_sender.py": ("PORT", "hello"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_PORTS)
@pytest.mark.parametrize("port", ["seven", "70000"])
def test_a_port_that_is_none_gets_the_same_help(name: str, port: str, started: Started) -> None:
    process = started.start(name, *(port if each == "PORT" else each for each in WRONG_PORTS[name]))
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (1, "")
    assert f"python examples/{name}" in err and "Traceback" not in err


LISTENING = {
    "short.py": ("serve",), "long_heartbeat.py": ("serve",), "sync_timeout.py": ("serve",), "pipelined.py": ("serve",),
    "duplex_processes.py": ("listen", "9"), "simplex_receiver.py": (),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTENING)
def test_ctrl_c_ends_what_listens_without_a_word_as_its_first_lines_say(name: str, started: Started) -> None:
    process, _ = started.listen(name, *LISTENING[name])
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE) == ("", "")
    assert "Ctrl-C ends it" in (EXAMPLES / name).read_text(encoding="utf-8")


def test_short_connections_one_for_each_word(started: Started) -> None:
    _, port = started.listen("short.py", "serve")
    assert started.run("short.py", "ask", port, "hello") == "hello -> HELLO\n"
    assert started.run("short.py", "ask", port, "again") == "again -> AGAIN\n"


def test_a_long_connection_lives_through_a_silence_by_its_heartbeat(started: Started) -> None:
    _, port = started.listen("long_heartbeat.py", "serve")
    lines = started.run("long_heartbeat.py", "talk", port).splitlines()
    assert lines[0] == "HELLO"
    assert re.fullmatch(r"STILL THERE\? after ([2-9]|[1-9]\d+) heartbeats", lines[1])
    assert len(lines) == 2


def test_a_server_that_is_stopped_is_taken_for_dead(started: Started) -> None:
    server, port = started.listen("long_heartbeat.py", "serve")
    client = started.start("long_heartbeat.py", "talk", port, 100_000)
    assert client.stdout is not None
    assert client.stdout.readline() == "HELLO\n"
    server.send_signal(signal.SIGSTOP)
    out, err = client.communicate(timeout=PATIENCE)
    assert (client.returncode, out) == (1, "")
    # Whether HELLO was acknowledged before the server stopped is its affair.
    dead = r"the peer is dead: nothing was heard for \d+\.\d{3} s and 3 PINGs(; 1 message not acknowledged)?\n"
    assert re.fullmatch(dead, err)


def test_a_call_times_out_and_its_late_answer_is_dropped(started: Started) -> None:
    _, port = started.listen("sync_timeout.py", "serve")
    assert started.run("sync_timeout.py", "ask", port).splitlines() == [
        "slow: no answer within 0.2 s",
        "quick: the answer to quick",
        "late answers dropped: 1",
    ]


def test_answers_that_come_backwards_find_their_questions(started: Started) -> None:
    _, port = started.listen("pipelined.py", "serve")
    assert started.run("pipelined.py", "ask", port).splitlines() == [
        "5 * 5 = 25", "4 * 4 = 16", "3 * 3 = 9", "2 * 2 = 4", "1 * 1 = 1",
    ]  # fmt: skip


def test_two_child_processes_share_a_connection_on_either_side(started: Started) -> None:
    listener, port = started.listen("duplex_processes.py", "listen", 1000)
    assert started.run("duplex_processes.py", "call", port, 2000) == "1000 messages, from 'listener 0' to 'listener 999'\n"
    assert output(listener) == "2000 messages, from 'caller 0' to 'caller 1999'\n"


def test_a_sender_only_sends_and_a_receiver_only_receives(started: Started) -> None:
    receiver, port = started.listen("simplex_receiver.py")
    assert started.run("simplex_sender.py", port, "one", "two", "three").splitlines() == [
        "this end of a simplex channel only sends",
        "3 messages sent",
    ]
    assert output(receiver).splitlines() == [
        "this end of a simplex channel only receives: 6 bytes cannot be sent",
        "one", "two", "three", "the sender has finished",
    ]  # fmt: skip
