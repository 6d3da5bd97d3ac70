"""`synfin demo`: what it prints and writes, for people and for programs."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from synfin.cli.main import run
from synfin.cli.statewords import WORDS
from synfin.engine.state import State
from synfin.scenarios import SCENARIOS, STUDIES
from synfin.trace.cells import width
from synfin.trace.events import StateChanged

SYNFIN = Path(sys.executable).parent / "synfin"

Captured = pytest.CaptureFixture[str]


def printed(arguments: str, capsys: Captured) -> str:
    """What a run that succeeds prints; nothing goes to stderr."""
    assert run(arguments.split()) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_without_a_scenario_the_whole_life_is_drawn_in_80_columns(capsys: Captured) -> None:
    out = printed("demo --lang en", capsys)
    assert out.startswith("whole-life: The whole life of a connection")
    assert [line for line in out.splitlines() if width(line) > 80] == []
    assert [str(state) for state in State if str(state) not in out] == ["CLOSING"]
    assert "\x1b" not in out


def test_the_same_in_chinese_keeps_the_columns(capsys: Captured) -> None:
    out = printed("demo whole-life --lang zh", capsys)
    assert out.startswith("whole-life: 一个连接的一生")
    assert [line for line in out.splitlines() if width(line) > 80] == []


def test_the_list_has_one_scenario_a_line_name_first(capsys: Captured) -> None:
    lines = printed("demo --list --lang en", capsys).splitlines()
    assert [line.split()[0] for line in lines] == [*SCENARIOS, *STUDIES]
    assert lines[0].endswith("  The whole life of a connection")


def test_the_list_as_json_has_name_and_title(capsys: Captured) -> None:
    lines = printed("demo --list --json --lang en", capsys).splitlines()
    assert [json.loads(line) for line in lines] == [
        {"name": name, "title": each.title.en} for name, each in (*SCENARIOS.items(), *STUDIES.items())
    ]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_is_drawn(name: str, capsys: Captured) -> None:
    out = printed(f"demo {name} --lang en", capsys)
    assert out.startswith(f"{name}: ")
    assert [line for line in out.splitlines() if width(line) > 80] == []


def test_why_three_says_what_each_side_knows(capsys: Captured) -> None:
    out = printed("demo why-three-stopped-after-two --lang en", capsys)
    assert "What each side knows:\n  After segment 1 (SYN of client): client knows nothing; server hears client" in out


def test_chosen_initial_sequence_numbers_show_as_in_the_books(capsys: Captured) -> None:
    out = printed("demo three-way-handshake --isn 1234567,7654321 --absolute --lang en", capsys)
    for told in ("SYN, seq 1234567", "SYN,ACK, seq 7654321, ack 1234568", "ACK, seq 1234568, ack 7654322"):
        assert told in " ".join(out.split())


def test_an_unknown_scenario_is_answered_with_the_nearest(capsys: Captured) -> None:
    assert run(["demo", "tree-way-handshake"]) == 2
    assert capsys.readouterr() == (
        "",
        "synfin: no scenario 'tree-way-handshake'; nearest: three-way-handshake (synfin demo --list shows all)\n",
    )


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("nonsense", ""), ("retransmission", ""), ("pe", ""), ("vanishes", "; nearest: peer-vanishes"),
        ("timout", "; nearest: sync-timeout"),
    ],
)  # fmt: skip
def test_only_a_scenario_that_is_near_is_called_the_nearest(name: str, nearest: str, capsys: Captured) -> None:
    assert run(["demo", name]) == 2
    assert capsys.readouterr() == ("", f"synfin: no scenario {name!r}{nearest} (synfin demo --list shows all)\n")


def test_a_segment_is_drawn_field_by_field(capsys: Captured) -> None:
    out = printed("demo --isn 1234567,7654321 --segment 2 --lang en", capsys)
    for field in ("7654321", "1234568", "SYN", "ACK"):
        assert field in out


def test_a_segment_that_was_not_sent_is_told_with_the_number_that_were(capsys: Captured) -> None:
    assert run(["demo", "three-way-handshake", "--segment", "999"]) == 2
    assert capsys.readouterr() == ("", "synfin: three-way-handshake has 3 segments, there is no segment 999\n")


def test_json_and_segment_exclude_each_other(capsys: Captured) -> None:
    assert run(["demo", "--json", "--segment", "1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_events_are_json_one_a_line_with_states_in_full(capsys: Captured) -> None:
    events = [json.loads(line) for line in printed("demo three-way-handshake --json", capsys).splitlines()]
    moves = [(event["host"], event["new"]) for event in events if event["event"] == "state changed"]
    assert moves == [
        ("server", "LISTEN"),
        ("client", "SYN-SENT"),
        ("server", "SYN-RECEIVED"),
        ("client", "ESTABLISHED"),
        ("server", "ESTABLISHED"),
    ]
    assert all({"event", "time", "host", "connection"} <= event.keys() for event in events)


def test_the_files_are_written_and_named(tmp_path: Path, capsys: Captured) -> None:
    svg, pcap = tmp_path / "l.svg", tmp_path / "l.pcapng"
    out = printed(f"demo --svg {svg} --pcap {pcap} --lang en", capsys)
    assert out.endswith(f"\nThe ladder as a picture: {svg}\nThe packets, for Wireshark: {pcap}\n")
    assert ElementTree.parse(svg).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert pcap.read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"


def test_with_json_the_notice_of_a_file_goes_to_stderr(tmp_path: Path, capsys: Captured) -> None:
    assert run(["demo", "--json", "--svg", str(tmp_path / "l.svg"), "--lang", "en"]) == 0
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if not line.startswith("{")] == []
    assert err == f"\nThe ladder as a picture: {tmp_path / 'l.svg'}\n"


def test_a_file_that_cannot_be_written_gets_one_line_and_nothing_is_printed(capsys: Captured) -> None:
    assert run(["demo", "--svg", "/proc/ladder.svg"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("synfin demo: cannot write /proc/ladder.svg: ") and err.count("\n") == 1


@pytest.mark.parametrize("loss", [20, 60, 100])
def test_loss_and_delay_shape_every_scenario(loss: int, capsys: Captured) -> None:
    for seed in range(3):
        out = printed(f"demo --loss {loss} --delay 35 --seed {seed} --lang en", capsys)
        assert "client" in out


def test_the_same_seed_prints_the_same_whatever_the_hash_seed(tmp_path: Path) -> None:
    outputs = []
    for hash_seed in ("0", "7"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run_ = subprocess.run(
            [SYNFIN, "demo", "--loss", "20", "--seed", "3", "--json"], env=environment, check=True, capture_output=True
        )
        outputs.append(run_.stdout)
    assert outputs[0] == outputs[1] != b""


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_a_terminal_gets_colour_unless_it_is_not_wanted(environment: dict[str, str], coloured: bool) -> None:
    base = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    ours, theirs = pty.openpty()
    with subprocess.Popen([SYNFIN, "demo"], stdout=theirs, env={**base, "TERM": "xterm", **environment}) as process:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
    os.close(ours)
    assert process.returncode == 0
    assert (b"\x1b[" in shown) is coloured


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: the other end is closed
        return b""


@pytest.mark.parametrize("state", State, ids=str)
def test_the_scenario_that_a_state_names_shows_that_state(state: State) -> None:
    trace = SCENARIOS[WORDS[state].scenario].play().trace
    assert trace is not None
    shown = [state for event in trace if isinstance(event, StateChanged) for state in (event.old, event.new)]
    assert state in (*shown, State.CLOSED)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", ""], "synfin: a scenario's name is empty (synfin demo --list shows all)\n"),
        (["demo", "--list", "lost-syn"], "synfin demo: --list shows all scenarios: it takes no name\n"),
    ],
)
def test_a_name_that_is_empty_or_in_the_way_is_told_in_one_line(
    arguments: list[str], said: str, capsys: Captured
) -> None:
    assert run(arguments) == 2
    assert tuple(capsys.readouterr()) == ("", said)


def test_a_study_is_shown_as_text_picture_capture_and_json(tmp_path: Path, capsys: Captured) -> None:
    svg, pcap = tmp_path / "flood.svg", tmp_path / "flood.pcapng"
    out = printed(f"demo syn-flood --lang zh --svg {svg} --pcap {pcap}", capsys)
    assert out.startswith("syn-flood: SYN 攻击")
    assert [line for line in out.splitlines() if width(line) > 80 and str(tmp_path) not in line] == []
    assert svg.read_text(encoding="utf-8").startswith("<?xml")
    assert pcap.read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"
    lines = printed("demo syn-flood --json --lang en", capsys).splitlines()
    assert {"kind": "words", "text": "Before the flood: a client connects."} in [json.loads(line) for line in lines]


@pytest.mark.parametrize("option", ["--loss 5", "--delay 3", "--isn 1,2", "--segment 2", "--absolute"])
def test_a_study_refuses_what_only_one_run_can_follow(option: str, capsys: Captured) -> None:
    assert run(["demo", "syn-flood", *option.split()]) == 2
    said = capsys.readouterr().err
    assert said == f"synfin: syn-flood compares several runs of its own making: it takes no {option.split(maxsplit=1)[0]}\n"
