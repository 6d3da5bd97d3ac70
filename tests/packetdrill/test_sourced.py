"""Shell scripts that a script names and that are there: their lines set the stack as the script's own do, and nothing runs."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from synfin.cli.main import run
from synfin.engine.config import TcpConfig
from synfin.packetdrill.parser import parse_script
from synfin.packetdrill.plan import make_plan
from synfin.packetdrill.player import Player
from synfin.packetdrill.profiles import load_profile
from synfin.packetdrill.report import failure, junit, line, table
from synfin.packetdrill.run import Outcome
from synfin.packetdrill.sourced import LARGEST, worked_out
from tests.packetdrill.playing import play, wish

SOCKET = "+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
FULL = """#!/bin/bash
# What all scripts of this folder start from.

ip tcp_metrics flush all > /dev/null 2>&1
sysctl -q net.ipv4.tcp_rmem="4096 540000 $((15*1024*1024))"
sysctl -q net.ipv4.tcp_wmem="4096 $((256 * 1024)) 4194304"  # bytes
sysctl -q net.ipv4.tcp_synack_retries=3 net.ipv4.tcp_frto=2 \\
    net.ipv4.tcp_slow_start_after_idle=0
sysctl -q net.ipv4.tcp_blue=7 > /dev/null 2>&1
tc qdisc add dev tun0 root pfifo
"""


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a file below a folder, which is returned."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return tmp_path

    return write


def player_after(line: str, folder: Path) -> Player:
    """The player of a script with one shell line, once it has played."""
    script = parse_script(f"0 `{line}`\n{SOCKET}")
    player = Player(script, make_plan(script, wish(folder=folder)))
    player.play()
    return player


def config_after(line: str, folder: Path) -> TcpConfig:
    return player_after(line, folder).bench.stack.config


def test_a_defaults_that_is_there_is_read_over_the_profile_linux(put: Callable[[str, str], Path]) -> None:
    folder = put("defaults.sh", FULL)
    linux = load_profile("linux").config
    assert config_after("./defaults.sh", folder) == linux.replace(
        receive_buffer=270_000, window_scale=8, send_buffer=262_144, syn_ack_retries=3
    )
    assert config_after("./defaults.sh", folder / "elsewhere") == linux


def test_what_the_stack_has_not_of_a_defaults_is_told_and_the_script_plays_on(put: Callable[[str, str], Path]) -> None:
    folder = put("defaults.sh", FULL)
    outcome = play(f"0 `./defaults.sh`\n{SOCKET}", folder=folder)
    assert outcome.verdict == "PASS"
    assert outcome.left_out == ("tcp_frto=2", "tcp_slow_start_after_idle=0", "tcp_blue=7")


def test_a_setting_left_out_that_the_script_sets_to_what_there_is_is_no_longer_told(put: Callable[[str, str], Path]) -> None:
    folder = put("defaults.sh", FULL)
    assert tuple(player_after("./defaults.sh; sysctl -q net.ipv4.tcp_frto=0", folder).shell.left_out) == (
        "net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_blue",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("reboot\ntrue", ("reboot",)), ("kldload tcp_rack && sysctl net.ipv4.tcp_frto=2", ("kldload tcp_rack", "tcp_frto=2")),
        ("if [ -f x ]; then\n reboot\n sysctl net.ipv4.tcp_synack_retries=1\nfi\nsysctl net.ipv4.tcp_frto=1",
         ("if [ -f x ]", "tcp_frto=1")),
        ("for x in 1 2; do\n if true; then reboot; fi\ndone\nhalt", ("for x in 1 2", "halt")),
        ("if true\nexit 0\necho '\nfi\nhalt", ("if true", "halt")), ("fi\nif true\nreboot\nfi", ("fi", "if true")),
        ("f() {\n reboot\n}\nhalt", ("f() {", "halt")),
        ("sysctl net.ipv4.tcp_frto='", ("sysctl net.ipv4.tcp_frto='",)), ("N=$(hostname)", ("N=$(hostname)",)),
        ("ip route change 192.0.2.0/24 advmss 3", ("ip route change 192.0.2.0/24 advmss 3",)),
        ("sysctl net.ipv4.tcp_synack_retries=0x1ffffffff", ("tcp_synack_retries=0x1ffffffff",)),
        ("./more.sh", ("./more.sh",)), ("sysctl net.inet.tcp.blue=1", ("net.inet.tcp.blue=1",)),
        ("echo ready; set -e; printf x", ()), ("exit 0\nreboot", ()),
        ("sysctl net.ipv4.tcp_frto=2\nsysctl net.ipv4.tcp_frto=0", ()),
    ],
)  # fmt: skip
def test_each_line_of_a_defaults_that_is_not_known_is_told(
    put: Callable[[str, str], Path], text: str, told: tuple[str, ...]
) -> None:
    outcome = play(f"0 `./defaults.sh`\n{SOCKET}", folder=put("defaults.sh", text))
    assert (outcome.verdict, outcome.left_out) == ("PASS", told)
    assert config_after("./defaults.sh", put("defaults.sh", text)).syn_ack_retries == 5


@pytest.mark.parametrize("line", ["./more.sh", "sh more.sh", ". ./more.sh", "source more.sh", "bash ./more.sh", "./sub/more"])
def test_another_shell_script_is_read_as_the_lines_themselves(put: Callable[[str, str], Path], line: str) -> None:
    text = "#!/bin/sh\nN=6\nsysctl net.ipv4.tcp_synack_retries=$N\n"
    put("sub/more", text)
    assert config_after(line, put("more.sh", text)).syn_ack_retries == 6
    put("sub/more", text + "reboot")
    outcome = play(f"0 `{line}`\n{SOCKET}", folder=put("more.sh", text + "reboot"))
    assert (outcome.verdict, outcome.kind, outcome.detail) == ("SKIP", "unmapped", "reboot")


def test_a_script_that_is_not_there_or_no_shell_script_stays_unmapped(put: Callable[[str, str], Path]) -> None:
    folder = put("tool.py", "#!/usr/bin/env python3\nprint()\n")
    put("reboot", "#!/bin/sh\ntrue")
    for name in ("./nowhere.sh", "./tool.py", "tool.py", "reboot", "./a\0b.sh"):
        outcome = play(f"0 `{name}`\n{SOCKET}", folder=folder)
        assert (outcome.verdict, outcome.kind, outcome.detail) == ("SKIP", "unmapped", name)


def test_variables_come_back_from_a_sourced_file_only(put: Callable[[str, str], Path]) -> None:
    folder = put("set.sh", "N=7")
    assert config_after(". ./set.sh; sysctl net.ipv4.tcp_synack_retries=$N", folder).syn_ack_retries == 7
    assert play(f"0 `N=1; . ./set.sh; sysctl net.ipv4.tcp_synack_retries=$N$N`\n{SOCKET}", folder=folder).verdict == "PASS"
    put("defaults.sh", "N=7")
    assert config_after(". ./defaults.sh; sysctl net.ipv4.tcp_synack_retries=$N", folder).syn_ack_retries == 7
    put("plain", "N=7; sysctl net.ipv4.tcp_synack_retries=4")
    assert config_after("sh plain", folder).syn_ack_retries == 4
    for name in ("./set.sh", "sh set.sh", "./defaults.sh", "sh plain"):
        assert play(f"0 `{name}; sysctl net.ipv4.tcp_synack_retries=$N`\n{SOCKET}", folder=folder).kind == "unmapped"


def test_a_file_that_a_defaults_names_is_part_of_it(put: Callable[[str, str], Path]) -> None:
    put("defaults.sh", "./more.sh; sysctl net.ipv4.tcp_synack_retries=4")
    outcome = play(f"0 `./defaults.sh`\n{SOCKET}", folder=put("more.sh", "halt\nsysctl net.ipv4.tcp_frto=2"))
    assert (outcome.verdict, outcome.left_out) == ("PASS", ("halt", "tcp_frto=2"))


def test_the_status_of_a_file_is_that_of_its_end(put: Callable[[str, str], Path]) -> None:
    put("no.sh", "true\nexit 1\ntrue")
    put("last.sh", "true\nfalse")
    folder = put("yes.sh", "false\nexit 0\nreboot")
    assert play(f"0 `./no.sh`\n{SOCKET}", folder=folder).why == ("command",)
    assert play(f"0 `./last.sh`\n{SOCKET}", folder=folder).why == ("command",)
    put("defaults.sh", "reboot\nfalse")
    assert play(f"0 `./defaults.sh`\n{SOCKET}", folder=folder).why == ("command",)
    assert play(f"0 `./yes.sh && ./yes.sh; ./no.sh || true`\n{SOCKET}", folder=folder).verdict == "PASS"


def test_a_route_stands_above_what_a_defaults_says(put: Callable[[str, str], Path]) -> None:
    folder = put("defaults.sh", "sysctl net.ipv4.tcp_rto_min_us=3000")
    assert config_after("./defaults.sh", folder).rto_min == 3_000_000
    assert config_after("ip route change 192.0.2.0/24 rto_min 5ms; ./defaults.sh", folder).rto_min == 5_000_000


def test_files_that_read_each_other_come_to_an_end(put: Callable[[str, str], Path]) -> None:
    put("a.sh", "./b.sh\n./b.sh\n./b.sh")
    folder = put("b.sh", "./a.sh\n./a.sh")
    assert play(f"0 `./a.sh`\n{SOCKET}", folder=folder).kind == "unmapped"
    put("deep0.sh", "true")
    for number in range(1, 9):
        put(f"deep{number}.sh", f"./deep{number - 1}.sh")
    assert play(f"0 `./deep7.sh`\n{SOCKET}", folder=folder).verdict == "PASS"
    assert play(f"0 `./deep8.sh`\n{SOCKET}", folder=folder).verdict == "SKIP"
    put("leaf.sh", "true")
    put("wide.sh", "./leaf.sh\n" * 99)
    assert play(f"0 `./wide.sh`\n+0 `./wide.sh`\n{SOCKET}", folder=folder).verdict == "PASS"
    put("wide.sh", "./leaf.sh\n" * 100)
    assert play(f"0 `./wide.sh`\n{SOCKET}", folder=folder).verdict == "SKIP"


def test_lines_may_end_as_on_windows(tmp_path: Path) -> None:
    (tmp_path / "more.sh").write_bytes(b"sysctl \\\r\n net.ipv4.tcp_synack_retries=6\r\n")
    assert config_after("./more.sh", tmp_path).syn_ack_retries == 6


def test_no_descriptor_is_left(put: Callable[[str, str], Path]) -> None:
    folder = put("more.sh", "true")
    numbers = []
    for _ in range(2):
        numbers.append(os.open(folder, os.O_RDONLY))
        os.close(numbers[-1])
        for name in ("more.sh", "nowhere.sh", "."):
            play(f"0 `sh {name}`\n{SOCKET}", folder=folder)
    assert numbers[0] == numbers[1]


def test_only_regular_files_up_to_a_megabyte_are_read(put: Callable[[str, str], Path]) -> None:
    folder = put("most.sh", "true\n".ljust(LARGEST, "#"))
    put("more.sh", "true\n".ljust(LARGEST + 1, "#"))
    os.mkfifo(folder / "pipe.sh")
    (folder / "folder.sh").mkdir()
    assert play(f"0 `./most.sh`\n{SOCKET}", folder=folder).verdict == "PASS"
    for name in ("more.sh", "pipe.sh", "folder.sh", "pipe.sh/x.sh"):
        assert play(f"0 `./{name}`\n{SOCKET}", folder=folder).detail == f"./{name}"
    os.mkfifo(folder / "defaults.sh")
    assert play(f"0 `./defaults.sh`\n{SOCKET}", folder=folder).verdict == "SKIP"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$((15*1024*1024))", "15728640"), ("$(( (1 + 2) * 3 ))", "9"), ("$((7/2)) $((7%4))", "3 3"),
        ("$((1<<10|5&4))", "1028"),
        ("$((0x10-20))", "-4"), ("$((N*2)) $(($N*2)) $((${N}*2))", "14 14 14"), ("'$((1+1))'", "'$((1+1))'"),
        ("$((1<<63))", "-9223372036854775808"), ("$((256>>2))", "64"), ("$((-3))", "-3"),
        ("$((M*2))", "$((M*2))"), ("$((1<<64))", "$((1<<64))"), ("$((1/0))", "$((1/0))"), ("$((-7/2))", "$((-7/2))"),
        ("$((2**3))", "$((2**3))"), ("$((1.5))", "$((1.5))"), ("$((010))", "$((010))"), ("$((a=1))", "$((a=1))"),
        ("$(())", "$(())"),
        ("$((1<<-1))", "$((1<<-1))"), ("$((T+1))", "$((T+1))"),
    ],
)  # fmt: skip
def test_arithmetic_is_worked_out_as_a_shell_does_or_left_alone(text: str, result: str) -> None:
    assert worked_out(text, {"N": "7", "T": "True"}) == result


def outcome_of(**wanted: object) -> Outcome:
    return Outcome(**{"verdict": "PASS", "file": "a/b.pkt", "family": "ipv4", "left_out": ("tcp_x=1", "tcp_y=2"), **wanted})  # type: ignore[arg-type]


def test_what_was_left_out_stands_in_the_report_in_both_languages() -> None:
    assert line(outcome_of()) == "PASS a/b.pkt [ipv4]  (settings of defaults.sh left out: 2)"
    assert line(outcome_of(), "zh") == "PASS a/b.pkt [ipv4]  (略去的 defaults.sh 设置：2 项)"
    both = [outcome_of(), outcome_of(left_out=("tcp_y=2", "tcp_z=3")), outcome_of(left_out=())]
    told = table(both).splitlines()[-1]
    assert told == "Settings of defaults.sh that the stack does not have: 3: tcp_x=1, tcp_y=2, tcp_z=3 (2 of 3 plays)"
    told = table(both, "zh").splitlines()[-1]
    assert told == "defaults.sh 中协议栈没有的设置 3 项：tcp_x=1、tcp_y=2、tcp_z=3 （共 3 次中的 2 次）"
    assert "defaults.sh" not in table(both[2:])
    failed = outcome_of(verdict="FAIL", why=("ack",), actual="> . 1:1(0)", expected="> . 1:1(0) ack 2")
    assert failure(failed).splitlines()[-1] == "    Settings of defaults.sh that the stack does not have: 2: tcp_x=1, tcp_y=2"


def test_what_was_left_out_stands_in_json_and_junit(
    put: Callable[[str, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    put("defaults.sh", "sysctl -q net.ipv4.tcp_frto=2")
    folder = put("one.pkt", f"0 `./defaults.sh`\n{SOCKET}")
    assert run(["packetdrill", str(folder / "one.pkt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == ["tcp_frto=2"]
    case = ElementTree.fromstring(junit([outcome_of(), outcome_of(left_out=())])).findall(".//testcase")
    told = [each.findtext("system-out") for each in case]
    assert told == ["Settings of defaults.sh that the stack does not have: 2: tcp_x=1, tcp_y=2", None]
