"""Shell lines: known ones act on the stack, unknown ones are never passed over."""

from pathlib import Path

import pytest

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.errors import UsageError
from synfin.packetdrill.files import Skip
from synfin.packetdrill.parser import parse_script
from synfin.packetdrill.plan import make_plan
from synfin.packetdrill.player import Player
from synfin.packetdrill.profiles import load_profile
from synfin.packetdrill.run import FAIL, PASS, SKIP
from tests.packetdrill.playing import OPEN, opened, play, wish

SECOND = 1_000_000_000
END = "+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"


def config_after(line: str, **wanted: object) -> TcpConfig:
    """The stack's configuration after a script with one shell line."""
    script = parse_script(f"0 `{line}`\n{END}")
    player = Player(script, make_plan(script, wish(**wanted)))
    player.play()
    return player.bench.stack.config


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("sysctl -q net.ipv4.tcp_timestamps=0", "timestamps", False),
        ("sysctl -w net.ipv4.tcp_window_scaling=0", "window_scaling", False),
        ("sysctl -q -w net.ipv4.tcp_synack_retries=2", "syn_ack_retries", 2),
        ("sysctl net.ipv4.tcp_syn_retries=3", "syn_timeout", 15 * SECOND),
        ('sysctl -q net.ipv4.tcp_rmem="4096 50000 100000"', "receive_buffer", 25_000),
        ("sysctl -q net.ipv4.tcp_rmem='4096 50000 6291456'", "window_scale", 7),
        ("sysctl -q net.ipv4.tcp_wmem='4096 50000 100000'", "send_buffer", 50_000),
        ("sysctl -q net.ipv4.tcp_syncookies=0", "syn_cookies", "off"),
        ("sysctl -q net.ipv4.tcp_syncookies=2", "syn_cookies", "always"),
        ("sysctl -q net.ipv4.tcp_abort_on_overflow=1", "accept_overflow", "reset"),
        ("sysctl net.inet.tcp.syncookies_only=1", "syn_cookies", "always"),
        ("sysctl -q net.ipv4.tcp_fin_timeout=5", "fin_wait_2_timeout", 5 * SECOND),
        ("sysctl -q net.ipv4.tcp_rto_min_us=5000", "rto_min", 5_000_000),
        ("sysctl -q net.ipv4.tcp_keepalive_time=9", "keepalive_idle", 9 * SECOND),
        ("sysctl -q net.ipv4.tcp_retries2=1", "user_timeout", 3 * SECOND),
        ("sysctl -q net.ipv4.tcp_rto_min_us=100000 net.ipv4.tcp_retries2=1", "user_timeout", 300_000_000),
        ("sysctl net.inet.tcp.rfc1323=2", "timestamps", False),
        ("sysctl net.inet.tcp.rexmit_min=30", "rto_min", 30_000_000),
        ("sysctl net.inet.tcp.keepinit=75000", "syn_timeout", 75 * SECOND),
        ("sysctl net.inet.tcp.delacktime=100", "delayed_ack", 100_000_000),
        ("sysctl net.inet.tcp.delayed_ack=0", "delayed_ack", 0),
        ("../common/set_sysctls.py /proc/sys/net/ipv4/tcp_timestamps=0", "timestamps", False),
        ("echo 0 > /proc/sys/net/ipv4/tcp_timestamps", "timestamps", False),
        ("sysctl net.ipv4.tcp_fin_timeout=6 > /dev/null 2>&1; true", "fin_wait_2_timeout", 6 * SECOND),
        ("ip route change 192.0.2.0/24 via 192.168.0.2 initcwnd 3", "initial_window_segments", 3),
        ("../common/defaults.sh\nsysctl -q net.ipv4.tcp_timestamps=0", "initial_window_segments", 10),
        (". ./defaults.sh", "delayed_ack", 40_000_000),
    ],
)  # fmt: skip
def test_a_known_line_sets_the_configuration(line: str, field: str, value: object) -> None:
    assert getattr(config_after(line), field) == value


@pytest.mark.parametrize(
    "line",
    [
        "ethtool -K tun0 tso off gso off", "tc qdisc replace dev tun0 root pfifo", "sysctl kern.ipc.maxsockbuf=5000000",
        "sysctl net.inet.tcp.hostcache.purgenow=1", "/tmp/sysctl_restore_${PPID}.sh", "true", "ip tcp_metrics flush",
        "sysctl -q net.ipv4.tcp_min_tso_segs=1", "sysctl net.ipv4.tcp_recovery=0",
    ],
)  # fmt: skip
def test_a_line_that_means_nothing_here_changes_nothing(line: str) -> None:
    assert config_after(line) == config_after("true")


@pytest.mark.parametrize(
    "line",
    [
        "rm -rf /",
        "sysctl -q net.ipv4.tcp_blue=1", "sysctl net.ipv4.tcp_slow_start_after_idle=0", "sysctl -n net.ipv4.tcp_blue",
        "sysctl net.ipv4.tcp_congestion_control=cubic", "ethtool -K tun0 tso on", "tc qdisc replace dev tun0 root fq",
        "nstat -n", "sysctl net.inet.tcp.blackhole=2", "sockstat | grep ESTABLISHED",
        "sysctl net.ipv4.tcp_rto_min_us=x", "echo 'unbalanced", "sysctl net.ipv4.tcp_timestamps=0 && reboot", "iptables -F",
        "sysctl net.ipv4.tcp_synack_retries=-1",
    ],
)  # fmt: skip
def test_any_other_line_makes_the_script_skip(line: str) -> None:
    for text in (f"0 `{line}`\n{END}", f"`{line}`\n0 {END[3:]}", f"0 {END[3:]}`{line}`"):
        outcome = play(text)
        if "=-1" in line and text.endswith("`"):
            continue  # a value out of range is seen when it is set, and a cleanup command sets nothing
        assert (outcome.verdict, outcome.kind) == (SKIP, "unmapped"), text


def test_a_line_in_the_middle_acts_from_then_on() -> None:
    """The listener of OPEN has no timestamps; after the line the next SYN gets them."""
    text = OPEN + "+0 close(4) = 0\n+0 > F. 1:1(0) ack 1\n+0 `sysctl net.ipv4.tcp_timestamps=1`\n"
    text += "+0 < 999 > 8080 S 0:0(0) win 500 <mss 1000,nop,nop,TS val 5 ecr 0>\n"
    assert play(text + "+0 > 8080 > 999 S. 0:0(0) ack 1 <mss 1460,nop,nop,TS val 1 ecr 5>\n").verdict == PASS
    assert play(text + "+0 > 8080 > 999 S. 0:0(0) ack 1 <mss 1460>\n").why == ("options",)


def test_the_mtu_of_a_route_bounds_the_mss() -> None:
    text = "0 `ip route change 192.0.2.0/24 mtu 1000`\n+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
    text += "+0 fcntl(3, F_SETFL, O_NONBLOCK) = 0\n+0 connect(3, ..., ...) = -1 EINPROGRESS (x)\n"
    text += "+0 > S 0:0(0) <mss {},nop,nop,TS val 0 ecr 0,nop,wscale 3>\n"
    assert play(text.format(960)).verdict == PASS
    assert play(text.format(1460)).why == ("mss",)


@pytest.mark.parametrize(
    ("state", "count", "verdict"),
    [("ESTABLISHED", 1, PASS), ("ESTABLISHED", 0, FAIL), ("LISTEN", 1, PASS), ("TIME_WAIT", 0, PASS), ("SYN_RCVD", 1, FAIL)],
)
def test_a_question_about_states_is_answered(state: str, count: int, verdict: str) -> None:
    outcome = opened(f"+0 `sockstat -f inet -P tcp -p 8080 -sq | grep -c {state} | grep {count}`\n")
    assert outcome.verdict == verdict
    assert outcome.why == (("command",) if verdict == FAIL else ())


def test_tcpdrop_resets_the_connection() -> None:
    text = "+0 `tcpdrop 192.168.0.1 8080 192.0.2.1 40000`\n+0 > {} 1:1(0) ack 1 win 0\n"
    assert opened(text.format("R.")).verdict == PASS
    assert opened(text.format("F.")).why[0] == "flags"


def test_what_a_person_asks_for_outlasts_the_scripts_sysctls() -> None:
    asked = config_after("../defaults.sh\nsysctl net.inet.tcp.delacktime=100", changes={"delayed_ack": 7})
    assert (asked.delayed_ack, asked.initial_window_segments) == (7, 10)


# --- profiles


@pytest.mark.parametrize("name", ["rfc", "linux", "freebsd"])
def test_a_profile_holds_what_tcpconfig_can_say_and_lists_the_rest(name: str) -> None:
    profile = load_profile(name)
    assert profile.system == name
    assert bool(profile.missing) == (name != "rfc")


def test_the_profile_rfc_is_what_tcpconfig_says_of_the_rfcs() -> None:
    assert load_profile("rfc").config == TcpConfig.rfc()


def test_profiles_differ_where_the_stacks_do() -> None:
    delays = {name: load_profile(name).config.rto_min // 1_000_000 for name in ("rfc", "linux", "freebsd")}
    assert delays == {"rfc": 1000, "linux": 200, "freebsd": 30}
    text = "#ifdef {}\n+0 read(9, ..., 5) = 5\n#endif\n+0 close(4) = 0\n"
    assert opened(text.replace("{}", "linux"), profile=load_profile("rfc"), strict=False).verdict == PASS
    assert opened(text.replace("{}", "linux"), profile=load_profile("linux"), strict=False).verdict == FAIL


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tcp]\nblue = 1", "no setting 'blue' in TcpConfig"),
        ("[quirks]\na = 1", "no entry 'quirks'"),
        ("[tcp]\nrto_min = '0s'", "rto_min is above 0"),
        ("ttl = 300", "ttl is between 1 and 255"),
        ("= x", "profile "),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_profile(str(path))


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('system = "own"\nttl = 99\n[tcp]\nrto_min = "1.5ms"\nuser_timeout = "never"\nnagle = false\n')
    profile = load_profile(str(path))
    assert (profile.name, profile.system, profile.ttl) == ("own", "own", 99)
    assert (profile.config.rto_min, profile.config.user_timeout, profile.config.nagle) == (1_500_000, NEVER, False)


def test_skip_says_whether_a_command_was_meant() -> None:
    assert Skip("x", unmapped=True).unmapped
    assert not Skip("x").unmapped
