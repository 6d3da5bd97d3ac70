"""Every scenario under every condition that the command line can ask for: it ends, it repeats itself, its packets are sound."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from synfin.engine.errors import UsageError
from synfin.scenarios import DEFAULT, SCENARIOS
from synfin.sim.world import World
from synfin.trace.cells import width
from synfin.trace.events import SegmentLost, SegmentSent
from synfin.trace.ladder import build_ladder
from synfin.trace.ladder_text import ladder_text
from synfin.trace.pcapng import pcapng_blocks

NAMES = list(SCENARIOS)
ASKED_FOR = [
    "whole-life", "three-way-handshake", "why-three", "why-three-stopped-after-two", "why-three-in-four-segments",
    "wrong-ack-syn-ack", "wrong-ack-third", "data-on-third", "lost-syn", "lost-syn-ack", "lost-third-ack",
    "old-duplicate-syn", "simultaneous-open", "refused", "urgent", "zero-window", "close-client-first",
    "close-server-first", "why-four", "why-four-none-left", "half-close", "three-segment-close", "simultaneous-close",
    "last-ack-lost", "short-time-wait", "fin-wait-2-held", "close-unread", "half-open", "half-open-syn", "peer-vanishes",
    "short-connection", "long-connection", "sync-timeout", "pipelined", "duplex", "half-duplex",
    "simplex",
]  # fmt: skip


def hashes(world: World) -> tuple[str, str]:
    return world.replay_hash, world.payload_hash


def test_the_register_has_every_story_and_begins_with_the_default() -> None:
    assert list(SCENARIOS) == ASKED_FOR
    assert ASKED_FOR[0] == DEFAULT


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_lower_case_with_hyphens_and_a_title_is_in_both_languages(name: str) -> None:
    scenario = SCENARIOS[name]
    assert scenario.name == name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    longest = max(len(each) for each in NAMES)
    assert all(longest + 2 + width(title) <= 80 for title in scenario.title)  # `synfin demo --list`
    assert scenario.title.en.isascii() and not scenario.title.en.endswith(".")
    assert re.search(r"[\u4e00-\u9fff]", scenario.title.zh) and not scenario.title.zh.endswith("。")


@pytest.mark.parametrize("name", NAMES)
def test_it_ends_whatever_is_lost_and_its_ladder_can_be_drawn(name: str) -> None:
    lost = 0
    for seed in range(20):
        trace = SCENARIOS[name].play(seed=seed, loss=0.2).trace
        assert trace is not None
        lost += sum(isinstance(event, SegmentLost) and event.cause == "loss" for event in trace)
        ladder = build_ladder(trace)
        for lang in ("en", "zh"):
            assert ladder_text(ladder, lang=lang)
    assert lost > 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("delay", [0.0, 0.000_001, 0.3, 3.0])
def test_it_ends_however_long_the_link_is(name: str, delay: float) -> None:
    trace = SCENARIOS[name].play(delay=delay).trace
    assert trace is not None
    assert any(isinstance(event, SegmentSent) for event in trace)


def test_nothing_arrives_and_every_story_still_ends() -> None:
    for scenario in SCENARIOS.values():
        trace = scenario.play(loss=1.0).trace
        assert trace is not None and len(trace) > 0


def test_a_loss_beyond_all_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(UsageError, match="rate"):
        SCENARIOS[DEFAULT].play(loss=20)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_plays_the_same_packets_at_the_same_times(name: str) -> None:
    scenario = SCENARIOS[name]
    assert hashes(scenario.play(seed=3)) == hashes(scenario.play(seed=3))
    assert hashes(scenario.play(seed=3, loss=0.2)) == hashes(scenario.play(seed=3, loss=0.2))
    assert hashes(scenario.play(seed=3)) != hashes(scenario.play(seed=4))


def test_the_order_of_hashing_decides_nothing() -> None:
    program = "\n".join((
        "from synfin.scenarios import SCENARIOS",
        "for each in SCENARIOS.values():",
        "    print(each.name, each.play(loss=0.2).replay_hash)",
    ))  # fmt: skip
    answers = [
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert answers[0] == answers[1]
    assert len(answers[0].splitlines()) == len(SCENARIOS)


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("name", NAMES)
def test_tshark_finds_every_segment_and_nothing_wrong_with_any(name: str, tmp_path: Path) -> None:
    trace = SCENARIOS[name].play().trace
    assert trace is not None
    file = tmp_path / f"{name}.pcapng"
    file.write_bytes(b"".join(pcapng_blocks(trace)))
    options = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    bad = "_ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0 || !tcp"

    def frames(shown: str) -> list[str]:
        command = ["tshark", "-n", "-r", str(file), *options, "-Y", shown]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    assert frames(bad) == []
    sound = frames("tcp.checksum.status == 1 && ip.checksum.status == 1")
    assert len(sound) >= sum(isinstance(event, SegmentSent) for event in trace)
