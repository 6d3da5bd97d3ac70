"""Same seed, same bytes: in one process, under other hash seeds, with tracing off, and on every supported Python."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from synfin.engine.errors import UsageError
from synfin.engine.segment import ACK, Outgoing
from synfin.sim.replay import ReplayHash, split
from synfin.sim.world import World
from synfin.wire.packet import build_packet
from tests.sim.replay_program import run

ROOT = Path(__file__).resolve().parents[2]
SUPPORTED = ("3.11", "3.12", "3.13")


def hashes(python: str, hash_seed: str, *arguments: str) -> str:
    """What replay_program prints under that interpreter."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    command = [python, "-m", "tests.sim.replay_program", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def interpreter(version: str) -> str:
    """An interpreter of that version that runs; "" where there is none."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    candidates = [shutil.which(f"python{version}"), *(str(path) for path in pyenv)]
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "-c", ""], check=False, capture_output=True).returncode == 0:
            return candidate
    return ""


@pytest.fixture(scope="module")
def here() -> str:
    world = run(1, trace=False)
    return f"{world.replay_hash} {world.payload_hash}"


def test_the_same_seed_gives_the_same_hashes_twice(here: str) -> None:
    world = run(1, trace=False)
    assert f"{world.replay_hash} {world.payload_hash}" == here


def test_another_seed_gives_other_hashes(here: str) -> None:
    assert run(2, trace=False).replay_hash != here.split(maxsplit=1)[0]


def test_tracing_and_checksums_change_nothing(here: str) -> None:
    world = run(1, trace=True)
    assert f"{world.replay_hash} {world.payload_hash}" == here


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_the_hash_seed_changes_nothing(here: str, hash_seed: str) -> None:
    assert hashes(sys.executable, hash_seed, "1") == here


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_supported_python_gives_the_same_hashes(here: str, version: str) -> None:
    python = interpreter(version)
    if not python:
        pytest.skip(f"python{version} is not installed")
    assert hashes(python, "7", "1", "trace") == here


def test_the_payload_is_in_the_second_hash_alone() -> None:
    def world_sending(data: bytes) -> World:
        world = World(trace=False, replay=True)
        host = world.host("a")
        world.host("b")
        world.link("a", "b")
        host.inject("b", source_port=1, destination_port=2, flags="ACK", payload=data)
        return world

    one, other, longer = world_sending(b"one"), world_sending(b"two"), world_sending(b"three")
    assert one.replay_hash == other.replay_hash
    assert one.payload_hash != other.payload_hash
    assert one.replay_hash != longer.replay_hash


@pytest.mark.parametrize("size", [4, 16])
def test_checksum_fields_are_left_out(size: int) -> None:
    key = bytes(range(1, size + 1)) + bytes(range(2, size + 2)) + bytes([0, 80, 0, 81])
    out = Outgoing(1, 2, ACK, 3, 0, b"data")
    with_it, without = (build_packet(key, out, identification=5, checksum=wanted) for wanted in (True, False))
    assert with_it != without
    assert split(with_it) == split(without)
    assert split(with_it)[1] == b"data"


def test_what_is_not_tcp_is_all_header() -> None:
    assert split(b"\x45" + bytes(40)) == (b"\x45" + bytes(40), b"")
    assert split(b"\x60" + bytes(60)) == (b"\x60" + bytes(60), b"")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("lost", 1, "a", "b", 1, b"", "loss"), ("lost", 2, "a", "b", 1, b"", "loss")),
        (("lost", 1, "a", "b", 1, b"", "loss"), ("lost", 1, "a", "b", 1, b"", "burst")),
        (("lost", 1, "a", "b", 1, b"", "loss"), ("delivered", 1, "a", "b", 1, b"")),
        (("delivered", 1, "a", "b", 1, b""), ("delivered", 1, "a", "b", 2, b"")),
        (("duplicated", 1, "a", "b", 1, b"", 2), ("duplicated", 1, "a", "b", 1, b"", 3)),
        (("corrupted", 1, "a", "b", 1, b"", (2, 3)), ("corrupted", 1, "a", "b", 1, b"", (2, 4))),
        (("fault", 1, "link cut", "a b"), ("fault", 1, "link healed", "a b")),
    ],
)
def test_whatever_differs_shows_in_the_hash(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    digests = []
    for call in (one, other):
        replay = ReplayHash()
        getattr(replay, str(call[0]))(*call[1:])
        digests.append(replay.headers)
    assert digests[0] != digests[1]


def test_a_world_that_keeps_no_hash_says_so() -> None:
    with pytest.raises(UsageError, match="make it with replay=True"):
        _ = World(trace=False).replay_hash
