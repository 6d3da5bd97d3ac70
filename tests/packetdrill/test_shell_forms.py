"""Forms of shell lines: commands in a row and their statuses, variables, what is discarded; and forms that nobody plays."""

import pytest

from synfin.packetdrill.shell import ROUTED
from synfin.packetdrill.sysctls import FIELDS
from tests.packetdrill.playing import play
from tests.packetdrill.test_shell import config_after

SOCKET = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"


@pytest.mark.parametrize(
    "line",
    [
        "true | false", "reboot || true", "exit 0", "echo 1 > /tmp/x", "set foo",
        "true; reboot", "false || reboot", "true && reboot", "reboot\ntrue",
        "sysctl -q net.ipv4.tcp_sack=0 | grep 7", "sockstat | grep -c LISTEN | grep 1 || reboot",
        "sockstat | grep -c LISTEN | grep 1 && reboot", "true || true; reboot", "false && true || reboot",
        "sockstat | grep -c LISTEN | grep 1 && true || reboot",
        "sysctl net.ipv4.tcp_retries1=$N", "N=1; sysctl net.ipv4.tcp_retries1=${M}", "N=$(hostname)",
        "N=$(sysctl -n net.ipv4.tcp_blue)", "N=$(sysctl -n net.ipv4.tcp_retries1); sysctl net.ipv4.tcp_retries1=$N",
        "sysctl -n", "sysctl -a", "N=1 reboot", "(true)", "sysctl net.ipv4.tcp_retries1=1 > /etc/sysctl.conf", "export PATH",
        "ethtool -K tun0 tso off | cat", "echo 0 | tee /proc/sys/net/ipv4/tcp_sack",
        "sh defaults.sh | cat", "tcpdrop -a | false", "! true", "$(false)",
        "ip route change 192.0.2.1 mtu 1200 quickack 1", "ip route change 192.0.2.1 rto_min 5",
        "ip route change 192.0.2.1 mtu lock",
        "ip route change 192.0.2.1 initcwnd 0", "ip route change 192.0.2.1 initcwnd x",
        "ip route change 192.0.2.1 mtu 1200 | cat", "ip tcp_metrics flush | false", "sysctl_restore_1.sh | false",
    ],
)  # fmt: skip
def test_a_line_that_is_not_played_is_unmapped(line: str) -> None:
    outcome = play(f"{SOCKET}+0 `{line}`")
    assert (outcome.verdict, outcome.kind) == ("SKIP", "unmapped")


def test_a_sourced_defaults_keeps_what_was_wished_for() -> None:
    text = """
0 `sh defaults.sh`
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 5) = 0
+0 < S 0:0(0) win 20000 <mss 1000>
+0 > S. 0:0(0) ack 1 <mss 700>
"""
    assert play(text, changes={"mss": 700}).verdict == "PASS"


@pytest.mark.parametrize(
    ("line", "succeeds"),
    [
        ("true; false", False), ("false; true", True), ("false\ntrue", True), ("true\nfalse", False), ("true && false", False),
        ("false && true", False), ("false && reboot", False), ("true || reboot", True), ("false || true", True),
        ("false || false", False), ("false && true || true", True), ("true || false && false", False),
        ("true ||\n reboot", True),
        ("true &&\n false", False), ("true \\\n; false", False), ("false & true", True), ("true || reboot; false", False),
        ("sockstat | grep -c LISTEN | grep 0 || false", True),
        ("sockstat | grep -c LISTEN | grep 0 && true", True), ("sockstat | grep -c LISTEN | grep 1 || true", True),
        ("sockstat | grep -c LISTEN | grep 1 || sockstat | grep -c LISTEN | grep 2", False), ("# reboot", True), ("", True),
        ("sysctl -n net.ipv4.tcp_sack", True), ("/sbin/sysctl -n net/ipv4/tcp_sack net.inet.tcp.msl > /dev/null", True),
    ],
)  # fmt: skip
def test_the_status_is_that_of_the_last_command_that_runs(line: str, succeeds: bool) -> None:
    outcome = play(f"{SOCKET}+0 `{line}`")
    assert (outcome.verdict, outcome.why) == (("PASS", ()) if succeeds else ("FAIL", ("command",)))


@pytest.mark.parametrize(
    ("line", "retries"),
    [
        ("sysctl net.ipv4.tcp_synack_retries=3 || sysctl net.ipv4.tcp_synack_retries=4", 3),
        ("false && sysctl net.ipv4.tcp_synack_retries=3; true", 5),
        ("sysctl net/ipv4/tcp_synack_retries=3", 3),
        ("false || sysctl net.ipv4.tcp_synack_retries=3", 3),
        ("true && sysctl net.ipv4.tcp_synack_retries=3; false", None),
        ("sockstat | grep -c LISTEN | grep 7 && sysctl net.ipv4.tcp_synack_retries=3; true", 5),
        ("sockstat | grep -c LISTEN | grep 0 && sysctl net.ipv4.tcp_synack_retries=3; true", 3),
        ("sockstat | grep -c LISTEN | grep 0 || sysctl net.ipv4.tcp_synack_retries=3; true", 5),
        ("N=7; sysctl net.ipv4.tcp_synack_retries=$N", 7),
        ("export N=7 M=$N; true\nsysctl net.ipv4.tcp_synack_retries=${N}", None),
        ("N=7; M=1$N; sysctl net.ipv4.tcp_synack_retries=${M}", 17),
        ("OLD=$(sysctl -n net.ipv4.tcp_synack_retries); sysctl net.ipv4.tcp_synack_retries=2", 2),
        ("sysctl net.ipv4.tcp_synack_retries=4 &>/dev/null </dev/null", 4),
        ("sysctl net.ipv4.tcp_synack_retries=4 >& /dev/null", 4),
        ("sysctl net.ipv4.tcp_synack_retries=4 2>/dev/null 1>&2", 4),
        ("sysctl net.ipv4.tcp_synack_retries=4\n\nsysctl -q net.ipv4.tcp_synack_retries=6\n", 6),
    ],
)  # fmt: skip
def test_only_what_runs_sets_something(line: str, retries: int | None) -> None:
    if retries is None:
        assert play(f"{SOCKET}+0 `{line}`").verdict in ("FAIL", "SKIP")
    else:
        assert config_after(line).syn_ack_retries == retries


def test_a_variable_is_gone_with_its_line() -> None:
    outcome = play(f"0 `N=1`\n+0 `sysctl net.ipv4.tcp_synack_retries=$N`\n+{SOCKET}")
    assert (outcome.verdict, outcome.detail) == ("SKIP", "sysctl net.ipv4.tcp_synack_retries=$N")


@pytest.mark.parametrize(("word", "field"), ROUTED.items())
def test_what_a_route_says_outlasts_defaults(word: str, field: str) -> None:
    line = f"ip route change 192.0.2.0/24 via 192.168.0.2 {word} 300"
    if field not in FIELDS:  # an engine that cannot say it
        assert play(f"{SOCKET}+0 `{line}`").kind == "unmapped"
        return
    for lines in (line, f"{line}; ./defaults.sh", f"./defaults.sh; {line}", line.replace(word, f"{word} lock")):
        assert getattr(config_after(lines), field) == 300


def test_a_route_may_say_the_least_rto() -> None:
    assert config_after("ip route change 192.0.2.0/24 rto_min 5ms").rto_min == 5_000_000
    assert config_after("ip route change 192.0.2.0/24 rto_min lock 2s; ./defaults.sh").rto_min == 2_000_000_000
    assert config_after("sysctl net.ipv4.tcp_rto_min_us=3000; ./defaults.sh").rto_min == 200_000_000
