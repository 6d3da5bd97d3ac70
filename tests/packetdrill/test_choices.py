"""What stacks choose where the RFCs leave it open: each choice is a field of TcpConfig, and is seen in the bytes that leave."""

from typing import Any

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.errors import UsageError
from synfin.packetdrill.profiles import load_profile, read_profile
from synfin.packetdrill.run import FAIL, PASS
from synfin.packetdrill.sysctls import changes_for
from tests.packetdrill.playing import OPEN, opened, play, told
from tests.packetdrill.test_shell import config_after

MS = 1_000_000
GOOD = (PASS, "", ())
LINUX = load_profile("linux")
FREEBSD = load_profile("freebsd")
AFTER = {"syn_options": "mss wscale sackOK TS", "syn_padding": "after"}

CONNECT = """
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
"""
LISTEN = """
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 5) = 0
"""


# --- order and padding of the options of SYN and SYN,ACK

OFFERS = [
    ({}, "mss 1460,nop,nop,TS val 1 ecr 0,nop,wscale 3"),
    ({"timestamps": False}, "mss 1460,nop,wscale 3"),
    ({"window_scaling": False}, "mss 1460,nop,nop,TS val 1 ecr 0"),
    ({"sack": True}, "mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 3"),
    ({"sack": True, "timestamps": False}, "mss 1460,nop,nop,sackOK,nop,wscale 3"),
    (AFTER, "mss 1460,nop,wscale 3,nop,nop,TS val 1 ecr 0"),
    ({**AFTER, "timestamps": False}, "mss 1460,nop,wscale 3"),
    ({**AFTER, "window_scaling": False}, "mss 1460,nop,nop,TS val 1 ecr 0"),
    ({**AFTER, "sack": True}, "mss 1460,nop,wscale 3,sackOK,TS val 1 ecr 0"),
    ({**AFTER, "sack": True, "timestamps": False}, "mss 1460,nop,wscale 3,sackOK,eol,eol"),
    ({**AFTER, "sack": True, "timestamps": False, "window_scaling": False}, "mss 1460,sackOK,eol,eol"),
    ({"syn_options": "wscale mss TS sackOK"}, "nop,wscale 3,mss 1460,nop,nop,TS val 1 ecr 0"),
    ({"syn_options": "mss wscale TS sackOK", "syn_padding": "after", "sack": True},
     "mss 1460,nop,wscale 3,nop,nop,TS val 1 ecr 0,sackOK,eol,eol"),
]  # fmt: skip


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize(("changes", "options"), OFFERS)
def test_a_syn_has_its_options_in_the_order_and_with_the_padding_that_are_set(
    changes: dict[str, Any], options: str, family: str
) -> None:
    outcome = play(CONNECT + f"+0 > S 0:0(0) win 65535 <{options}>\n", changes=changes, family=family)
    assert told(outcome) == GOOD


@pytest.mark.parametrize("cookies", ["off", "always"])
@pytest.mark.parametrize(("changes", "options"), OFFERS)
def test_a_syn_ack_has_its_options_in_the_same_order(changes: dict[str, Any], options: str, cookies: str) -> None:
    if cookies == "always" and not changes.get("timestamps", True):
        options = "mss 1460"  # the rest would have no place to be remembered in
    text = LISTEN + (
        "+.1 < S 0:0(0) win 1000 <mss 1000,sackOK,TS val 7 ecr 0,nop,wscale 1>\n"
        f"+0 > S. 0:0(0) ack 1 win 65535 <{options.replace('ecr 0', 'ecr 7')}>\n"
    )
    assert told(play(text, changes={**changes, "syn_cookies": cookies})) == GOOD


@pytest.mark.parametrize("cookies", ["off", "always"])
def test_a_syn_ack_offers_only_what_the_syn_offered(cookies: str) -> None:
    text = LISTEN + "+.1 < S 0:0(0) win 1000 <mss 1000>\n+0 > S. 0:0(0) ack 1 win 65535 <mss 1460>\n"
    assert told(play(text, changes={**AFTER, "sack": True, "syn_cookies": cookies})) == GOOD


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("syn_options", "mss sackOK TS"),
        ("syn_options", "mss sackOK TS wscale mss"),
        ("syn_options", "mss sackOK TS scale"),
        ("syn_padding", "around"),
        ("rto_slop", -1),
        ("syn_backoff", (1, 0)),
        ("syn_backoff", (1, 1.5)),
        ("syn_bare_after", -1),
        ("quick_acks", 256),
        ("push", "always"),
    ],
)
def test_a_value_that_means_nothing_is_refused(field: str, value: object) -> None:
    with pytest.raises(UsageError, match=field):
        TcpConfig().replace(**{field: value})


# --- repeats of a SYN and of a SYN,ACK

def syns(*waits: str) -> str:
    return CONNECT + "+0 > S 0:0(0) <...>\n" + "".join(f"+{wait} > S 0:0(0) <...>\n" for wait in waits)


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        ({}, ("1", "2", "4", "8", "16", "32", "64")),
        ({"rto_slop": 200 * MS}, ("1", "2.2", "4.2", "8.2", "16.2")),
        ({"syn_backoff": (1, 1, 1, 2), "rto_slop": 200 * MS}, ("1", "1.2", "1.2", "2.2", "2.2", "2.2")),
        ({"syn_backoff": (1, 1, 1, 1, 1, 2, 4)}, ("1", "1", "1", "1", "1", "2", "4", "4")),
        ({"syn_backoff": (3,), "rto_max": 2_000 * MS}, ("2", "2", "2")),
    ],
)
def test_a_syn_is_repeated_when_it_is_set(changes: dict[str, Any], waits: tuple[str, ...]) -> None:
    assert told(play("--tolerance_percent=0\n" + syns(*waits), changes=changes)) == GOOD


def test_a_schedule_of_syns_says_nothing_of_the_data_that_follows() -> None:
    text = "--tolerance_percent=0\n" + CONNECT + (
        "+0 > S 0:0(0) <...>\n+1 > S 0:0(0) <...>\n+.05 < S. 0:0(0) ack 1 win 9000 <mss 1000>\n+0 > . 1:1(0) ack 1\n"
        "+0 write(3, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n+3 > P. 1:11(10) ack 1\n+6 > P. 1:11(10) ack 1\n"
    )  # RFC 6298 5.7: 3 s
    assert told(play(text, changes={"syn_backoff": (1, 1, 1), "timestamps": False})) == GOOD


def test_a_syn_leaves_its_options_out_after_some_repeats_and_what_the_peer_says_then_is_not_agreed() -> None:
    text = CONNECT + (
        "+0 > S 0:0(0) <mss 1460,nop,nop,TS val 1 ecr 0,nop,wscale 3>\n"
        "+1 > S 0:0(0) <mss 1460,nop,nop,TS val 1001 ecr 0,nop,wscale 3>\n"
        "+2 > S 0:0(0) <mss 1460>\n+4 > S 0:0(0) <mss 1460>\n"
        "+.1 < S. 0:0(0) ack 1 win 9000 <mss 1000,nop,nop,TS val 9 ecr 1,nop,wscale 2>\n+0 > . 1:1(0) ack 1 win 65535\n"
    )
    assert told(play(text, changes={"syn_bare_after": 2})) == GOOD


@pytest.mark.parametrize(("slop", "waits"), [(0, ("1", "2", "4")), (200 * MS, ("1", "2.2", "4.2"))])
def test_a_syn_ack_is_repeated_with_the_slop_too(slop: int, waits: tuple[str, ...]) -> None:
    text = "--tolerance_percent=0\n" + LISTEN + "+0 < S 0:0(0) win 1000 <mss 1000>\n+0 > S. 0:0(0) ack 1 <...>\n"
    text += "".join(f"+{wait} > S. 0:0(0) ack 1 <...>\n" for wait in waits)
    assert told(play(text, changes={"rto_slop": slop})) == GOOD


# --- the retransmission timeout

@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        ({"rto_min": 30 * MS}, (".03", ".06", ".12")),  # the round trip is 10 ms, its variance 5: below the least
        ({"rto_min": 30 * MS, "rto_slop": 200 * MS}, (".23", ".26", ".32", ".44")),  # the slop is not doubled
        ({"rto_min": 30 * MS, "rto_slop": 200 * MS, "rto_max": 300 * MS, "rto_initial": 300 * MS}, (".23", ".26", ".3", ".3")),
        ({"rto_min": 1000 * MS}, ("1", "2", "4")),
    ],
)
def test_a_retransmission_waits_as_long_as_it_is_set(changes: dict[str, Any], waits: tuple[str, ...]) -> None:
    text = "--tolerance_percent=0\n--tolerance_usecs=500\n" + OPEN + "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n"
    text += "".join(f"+{wait} > P. 1:11(10) ack 1\n" for wait in waits)
    assert told(play(text, changes=changes)) == GOOD


# --- acknowledgments

def test_the_first_acks_go_at_once_as_many_as_are_set() -> None:
    text = (
        "+0 < . 1:101(100) ack 1 win 20000\n+0 > . 1:1(0) ack 101\n"
        "+.01 < . 101:201(100) ack 1 win 20000\n+0 > . 1:1(0) ack 201\n"
        "+.01 < . 201:301(100) ack 1 win 20000\n+.2 > . 1:1(0) ack 301\n"
    )
    assert told(opened(text, changes={"quick_acks": 2})) == GOOD
    assert opened(text, changes={"quick_acks": 3}).verdict == FAIL
    assert opened(text, changes={"quick_acks": 1}).verdict == FAIL


def test_quick_acks_end_when_we_send_data() -> None:
    text = (
        "+0 < . 1:101(100) ack 1 win 20000\n+0 > . 1:1(0) ack 101\n+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 101\n"
        "+.01 < . 101:201(100) ack 11 win 20000\n+.2 > . 11:11(0) ack 201\n"
    )
    assert told(opened(text, changes={"quick_acks": 16})) == GOOD


# --- PSH

WRITES = "+0 setsockopt(4, IPPROTO_TCP, TCP_NODELAY, [1], 4) = 0\n+0 < . 1:1(0) ack 1 win {window}\n"


@pytest.mark.parametrize(
    ("push", "flags"),
    [("empty", (".", ".", ".", "P.")), ("write", (".", "P.", ".", "P.")), ("never", (".", ".", ".", "."))],
)
def test_psh_stands_where_it_is_set(push: str, flags: tuple[str, ...]) -> None:
    """Two writes of two segments each wait for the window, which opens for all."""
    text = WRITES.format(window=0) + 2 * "+0 write(4, ..., 2000) = 2000\n" + "+.01 < . 1:1(0) ack 1 win 9000\n"
    text += "".join(f"+0 > {flag} {1 + 1000 * at}:{1001 + 1000 * at}(1000) ack 1\n" for at, flag in enumerate(flags))
    for fast in (True, False):
        changes = {"push": push, "initial_window_segments": 10}
        assert told(play("--strict_segments\n" + OPEN + text, changes=changes, fast_path=fast)) == GOOD


def test_psh_at_the_end_of_a_write_waits_for_the_rest_that_was_announced() -> None:
    text = (
        "+0 write(4, ..., 1000) = 1000\n+0 > P. 1:1001(1000) ack 1\n+0 < . 1:1(0) ack 1001 win 20000\n"
        "+0 send(4, ..., 1000, MSG_MORE) = 1000\n+0 > . 1001:2001(1000) ack 1\n"
        "+0 < . 1:1(0) ack 2001 win 20000\n+0 write(4, ..., 10) = 10\n+0 > P. 2001:2011(10) ack 1\n"
        "+1 > P. 2001:2011(10) ack 1\n"
    )
    assert told(opened(text, changes={"push": "write"})) == GOOD


def test_writes_that_leave_in_one_segment_push_only_at_its_end() -> None:
    text = (
        "+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1\n+0 write(4, ..., 600) = 600\n+0 write(4, ..., 600) = 600\n"
        "+0 > . 101:1101(1000) ack 1\n+.01 < . 1:1(0) ack 1101 win 20000\n+0 > P. 1101:1301(200) ack 1\n"
    )
    assert told(opened(text, changes={"push": "write"})) == GOOD


# --- the end

@pytest.mark.parametrize(("told_in_reset", "window"), [(False, 0), (True, 19_990)])
def test_the_rst_of_an_abort_tells_the_window_that_is_set(told_in_reset: bool, window: int) -> None:
    text = "+0 < P. 1:11(10) ack 1 win 20000\n+0 close(4) = 0\n+0 > R. 1:1(0) ack 11 win {}\n"
    assert told(opened(text.format(window), changes={"reset_window": told_in_reset, "receive_buffer": 20_000})) == GOOD


def test_the_rst_that_answers_a_wrong_ack_has_no_window_whatever_is_set() -> None:
    text = CONNECT + "+0 > S 0:0(0) <...>\n+0 < S. 0:0(0) ack 7 win 1000 <mss 1000>\n+0 > R 7:7(0) win 0\n"
    assert told(play(text, changes={"reset_window": True})) == GOOD


CLOSED = (
    "+0 close(4) = 0\n+0 > F. 1:1(0) ack 1\n+0 < F. 1:1(0) ack 2 win 20000\n+0 > . 2:2(0) ack 2\n"
    "+0 < R 2:2(0) win 0\n+0 < F. 1:1(0) ack 2 win 20000\n"
)


def test_an_rst_in_time_wait_ends_it_or_is_ignored_as_it_is_set() -> None:
    assert told(opened(CLOSED + "+0 > R 2:2(0) win 0\n")) == GOOD
    assert told(opened(CLOSED + "+0 > . 2:2(0) ack 2\n", changes={"time_wait_ignores_reset": True})) == GOOD


# --- profiles


def test_a_profile_may_hold_a_list() -> None:
    assert read_profile("[tcp]\nsyn_backoff = [1, 1, 2]\n", "mine").config.syn_backoff == (1, 1, 2)
    with pytest.raises(UsageError, match="syn_backoff"):
        read_profile('[tcp]\nsyn_backoff = ["1s"]\n', "mine")


def test_freebsd_offers_and_retransmits_in_its_own_way() -> None:
    text = "--tolerance_percent=0\n--tolerance_usecs=500\n" + CONNECT + (
        "+0 > S 0:0(0) win 65535 <mss 1460,nop,wscale 6,sackOK,TS val 1 ecr 0>\n"
        "+1 > S 0:0(0) win 65535 <mss 1460,nop,wscale 6,sackOK,TS val 1001 ecr 0>\n"
        "+2.2 > S 0:0(0) win 65535 <mss 1460,nop,wscale 6,sackOK,TS val 3201 ecr 0>\n"
    )
    assert told(play(text, profile=FREEBSD)) == GOOD
    data = "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n+.23 > P. 1:11(10) ack 1\n+.26 > P. 1:11(10) ack 1\n"
    assert told(play("--tolerance_percent=0\n--tolerance_usecs=500\n" + OPEN + data, profile=FREEBSD)) == GOOD


def test_linux_repeats_its_first_syns_every_second_and_gives_up_after_131_seconds() -> None:
    waits = ("1", "1", "1", "1", "1", "2", "4", "8", "16", "32")
    text = "--tolerance_percent=0\n" + syns(*waits)
    text += "+64 getsockopt(3, SOL_SOCKET, SO_ERROR, [ETIMEDOUT], [4]) = 0\n"
    assert told(play(text, profile=LINUX)) == GOOD


@pytest.mark.parametrize(
    ("line", "waits", "over"),
    [
        ("sysctl net.ipv4.tcp_syn_linear_timeouts=0 net.ipv4.tcp_syn_retries=2", ("1", "2"), "4"),
        ("sysctl net.ipv4.tcp_syn_linear_timeouts=2", ("1", "1", "1", "2", "4", "8", "16", "32"), "64"),
        ("sysctl net.ipv4.tcp_syn_retries=1", ("1", "1", "1", "1", "1"), "2"),
        ("sysctl net.ipv4.tcp_syn_retries=1 net.ipv4.tcp_syn_linear_timeouts=1", ("1", "1"), "2"),
    ],
)
def test_sysctls_set_the_schedule_of_linux_syns(line: str, waits: tuple[str, ...], over: str) -> None:
    """A script's own lines are all read before any of them acts on the stack: they are two lines here."""
    script = "".join(f"0 `sysctl {each}`\n" for each in line.split()[1:]) + syns(*waits)
    script += f"+{over} getsockopt(3, SOL_SOCKET, SO_ERROR, [ETIMEDOUT], [4]) = 0\n"
    assert told(play(script, profile=LINUX)) == GOOD


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("net.inet.tcp.rexmit_slop=100", "rto_slop", 100 * MS),
        ("net.inet.tcp.rexmit_drop_options=1", "syn_bare_after", 3),
        ("net.inet.tcp.rexmit_drop_options=0", "syn_bare_after", 0),
        ("net.ipv4.tcp_rfc1337=1", "time_wait_ignores_reset", True),
        ("net.inet.tcp.abc_l_var=3", "slow_start_segments", 3),
        ("net.ipv4.tcp_sack=0", "sack", False),
        ("net.ipv4.tcp_sack=1", "sack", True),
        ("net.inet.tcp.sack.enable=1", "sack", True),
        ("net.ipv4.tcp_dsack=0", "dsack", False),
        ("net.ipv4.tcp_dsack=1", "dsack", True),
    ],
)
def test_sysctls_set_what_could_not_be_set_before(line: str, field: str, value: object) -> None:
    found = getattr(config_after(f"sysctl {line}"), field)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("value", "segments"), [("0", 1), ("1", 1), ("4", 4), ("200", 64)])
def test_a_sysctl_sets_how_many_segments_a_burst_has_at_least(value: str, segments: int) -> None:
    line = f"net.ipv4.tcp_min_tso_segs={value}"
    assert changes_for(*line.split("="), LINUX.config) == {"push_burst": segments}
    assert changes_for(*line.split("="), TcpConfig()) == {}, "where nothing is pushed for that it means nothing"


def test_a_slow_start_that_never_grows_cannot_be_had() -> None:
    outcome = play("0 `sysctl net.inet.tcp.abc_l_var=0`\n" + CONNECT)
    assert (outcome.verdict, outcome.kind) == ("SKIP", "unmapped")
