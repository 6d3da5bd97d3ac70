"""Shell lines in forms that nobody plays: unmapped, never passed over."""

import pytest

from tests.packetdrill.playing import play

SOCKET = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"


@pytest.mark.parametrize(
    "line",
    [
        "true | false", "true || false", "true && false", "sysctl -q net.ipv4.tcp_sack=0 | grep 7",
        "ethtool -K tun0 tso off | cat", "echo 0 | tee /proc/sys/net/ipv4/tcp_sack",
        "sh defaults.sh | cat", "tcpdrop -a | false", "! true", "$(false)",
        "ip route change 192.0.2.1 mtu 1200 advmss 900", "ip route change 192.0.2.1 mtu 1200 initrwnd 3",
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
