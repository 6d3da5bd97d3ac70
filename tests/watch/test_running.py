"""A running synfin as a source: what a stack says of its listeners becomes the same sample, over a real control socket."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from synfin.control.client import Gone
from synfin.control.places import Place
from synfin.control.rows import listeners
from synfin.engine.errors import UsageError
from synfin.engine.segment import SYN
from synfin.watch.running import RunningSource, from_answer
from synfin.watch.sample import COUNTS, Counts, HalfOpenEntry
from tests.stack.harness import A4, A6, B4, B6, SECOND, Net, packet

ZERO = dict.fromkeys(COUNTS, 0)
ANSWER: dict[str, Any] = {
    "at": 5,
    "listeners": [
        {
            "local": ["::", 80], "half_open": 2, "half_open_limit": 64, "accept_queue": 1, "accept_limit": 128,
            "counts": {**ZERO, "syns": 9, "cookies_sent": 4},
            "entries": [["198.51.100.1", 5000, 1500, 2, "10.0.0.1", 80], ["2001:db8::1", 5001, 7, 1, "fd00::1", 80]],
        }
    ],
    "states": {"LISTEN": 1, "SYN-RECEIVED": 2},
    "totals": {**ZERO, "syns": 10},
}  # fmt: skip


def test_an_answer_becomes_a_sample_with_every_count() -> None:
    sample = from_answer(ANSWER, 77, "synfin/12")
    assert (sample.at, sample.source, sample.states) == (77, "synfin", {"LISTEN": 1, "SYN-RECEIVED": 2})
    assert sample.totals == Counts(**{**ZERO, "syns": 10})
    (listener,) = sample.listeners
    assert (listener.name, listener.owner, listener.drops) == ((bytes(16), 80), "synfin/12", None)
    assert (listener.half_open, listener.half_open_limit, listener.accept_queue, listener.accept_limit) == (2, 64, 1, 128)
    assert listener.counts == Counts(**{**ZERO, "syns": 9, "cookies_sent": 4})
    local6, remote6 = bytes.fromhex("fd00" + "0" * 27 + "1"), bytes.fromhex("20010db8" + "0" * 23 + "1")
    assert listener.entries == (
        HalfOpenEntry(bytes((10, 0, 0, 1)), 80, bytes((198, 51, 100, 1)), 5000, 1500, 2, "synfin/12"),
        HalfOpenEntry(local6, 80, remote6, 5001, 7, 1, "synfin/12"),
    )


def test_what_a_stack_tells_is_what_a_sample_has() -> None:
    net = Net()
    net.b.listen((B4, 80), 16, 0)
    net.b.listen((B6, 80), 16, 0)
    for number in range(3):
        net.b.receive_packet(packet(A4, 5000 + number, B4, 80, SYN, 9), 0, verify=True)
    net.b.receive_packet(packet(A6, 5000, B6, 80, SYN, 9), 0, verify=True)
    answer = json.loads(json.dumps(listeners(net.b, SECOND // 2)))
    sample = from_answer(answer, 1, "synfin/12")
    found = {listener.name: listener for listener in sample.listeners}
    assert {name: (each.half_open, each.counts.syns) for name, each in found.items()} == {(B4, 80): (3, 3), (B6, 80): (1, 1)}
    assert sorted((entry.remote, entry.remote_port, entry.age) for entry in found[B4, 80].entries) == [
        (A4, 5000, SECOND // 2), (A4, 5001, SECOND // 2), (A4, 5002, SECOND // 2),
    ]  # fmt: skip
    assert (sample.totals.syns, sample.states) == (4, {"LISTEN": 2, "SYN-RECEIVED": 4})


@contextmanager
def answering(path: Path, line: bytes) -> Iterator[list[bytes]]:
    """A control socket at `path` that says `line` to whoever asks; yields what was asked."""
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            with server.accept()[0] as client:
                asked.append(client.recv(1000))
                client.sendall(line)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            thread.join(5)


def place(folder: Path) -> Place:
    return Place("web", 12, folder / "web.12")


def test_a_source_asks_over_the_control_socket(tmp_path: Path) -> None:
    where = place(tmp_path)
    with answering(where.path, json.dumps(ANSWER).encode() + b"\n") as asked:
        sample = RunningSource(where).sample(77)
    assert asked == [b'{"ask": "listeners"}\n']
    assert sample == from_answer(ANSWER, 77, "web/12")


@pytest.mark.parametrize(
    "change",
    [
        {"listeners": None}, {"listeners": [{}]}, {"totals": 5}, {"states": []},
        {"listeners": [{**ANSWER["listeners"][0], "entries": [[1]]}]},
        {"listeners": [{**ANSWER["listeners"][0], "local": ["somewhere", 80]}]},
    ],
)  # fmt: skip
def test_an_answer_of_another_shape_is_one_line(tmp_path: Path, change: dict[str, Any]) -> None:
    where = place(tmp_path)
    line = json.dumps({**ANSWER, **change}).encode() + b"\n"
    words = "synfin of process 12 answers with listeners of another shape"
    with answering(where.path, line), pytest.raises(UsageError, match=words):
        RunningSource(where).sample(0)


def test_a_synfin_that_refuses_says_why(tmp_path: Path) -> None:
    where = place(tmp_path)
    line = b'{"error": "unknown request listeners"}\n'
    with answering(where.path, line), pytest.raises(UsageError, match="unknown request listeners"):
        RunningSource(where).sample(0)


def test_a_synfin_that_has_ended_is_gone(tmp_path: Path) -> None:
    with pytest.raises(Gone):
        RunningSource(place(tmp_path)).sample(0)
