"""System calls in forms that make no sense, or that nobody plays here: told, never passed over."""

import pytest

from synfin.packetdrill.calls import TABLE
from synfin.packetdrill.counts import COUNTS
from tests.packetdrill.playing import opened, play


@pytest.mark.parametrize(
    ("call", "count"),
    [
        ("close(4, 5, 6) = 0", 3), ("close() = 0", 0), ("shutdown(4, SHUT_WR, 0) = 0", 3), ("write(4, ..., 10, 0) = 10", 4),
        ("accept(3, ...) = 5", 2), ("getsockopt(4, SOL_SOCKET, SO_ERROR, [0]) = 0", 4), ("poll([{fd=4}], 1) = 0", 2),
    ],
)  # fmt: skip
def test_a_call_with_another_number_of_arguments_is_skipped_before_anything_is_played(call: str, count: int) -> None:
    outcome = opened(f"+0 close(9) = 0\n+0 {call}")
    name = call.partition("(")[0]
    assert (outcome.verdict, outcome.kind, outcome.detail) == ("SKIP", "feature", f"{name}() with {count} arguments")


def test_every_call_that_is_played_has_its_numbers_of_arguments() -> None:
    assert COUNTS.keys() == TABLE.keys()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ("AF_INET, 2, 17", "socket() type 2"), ("AF_INET, 0, 6", "socket() type 0"),
        ("AF_INET, SOCK_STREAM, 17", "socket() protocol 17"),
        ("..., 3, IPPROTO_TCP", "socket() type 3"), ("AF_INET, 0x801001, 0", "socket() type 8392705"),
        ("AF_INET, SOCK_DGRAM, IPPROTO_UDP", "SOCK_DGRAM"),
    ],
)  # fmt: skip
def test_a_socket_of_another_kind_by_number_is_a_missing_feature(arguments: str, what: str) -> None:
    outcome = play(f"0 socket({arguments}) = 3")
    assert (outcome.verdict, outcome.kind, outcome.detail) == ("SKIP", "feature", what)


def test_a_stream_socket_by_numbers_is_played() -> None:
    assert play("0 socket(2, 1, 6) = 3\n+0 socket(AF_INET, 0x801, 0) = 4\n+0 fcntl(4, F_GETFL) = 0x802").verdict == "PASS"


@pytest.mark.parametrize(
    "call", ["send(4, ..., 10, 0x10000000)", "recv(4, ..., 10, 0x2000)", "sendmsg(4, {msg_iov(1)=[{..., 9}]}, 8)"]
)
def test_a_flag_by_number_that_is_not_played_is_a_missing_feature(call: str) -> None:
    outcome = opened(f"+0 {call} = 10")
    assert (outcome.verdict, outcome.kind) == ("SKIP", "feature")
    assert outcome.detail.startswith(f"{call.partition('(')[0]}() flags 0x")


def test_flags_by_number_that_are_played_are_played() -> None:
    assert opened("+0 send(4, ..., 10, 0x4000) = 10\n+0 > P. 1:11(10) ack 1").verdict == "PASS"


@pytest.mark.parametrize("count", ["9999999999999", "-1"])
@pytest.mark.parametrize(
    "form", ["write(4, ..., {})", "send(4, ..., {}, 0)", "writev(4, [{{..., {}}}], 1)", "read(4, ..., {})"]
)
def test_a_count_that_no_call_can_have_is_refused_at_its_place(form: str, count: str) -> None:
    outcome = opened(f"+0 {form.format(count)} = 0")
    assert (outcome.verdict, outcome.kind, outcome.place) == ("ERROR", "parse", "test.pkt:10:1")
    assert outcome.detail == f"a count of {count} bytes"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("SOL_SOCKET, SO_ERROR, [0], [8]", "0 length [4]"),
        ("SOL_SOCKET, SO_LINGER, {onoff=0, linger=0}, [12]", "0 length [8]"),
        ('SOL_TCP, TCP_CONGESTION, "reno", [20]', "0 length [16]"), ("SOL_SOCKET, SO_ERROR, [0], [-1]", "-1 EINVAL"),
    ],
)  # fmt: skip
def test_the_length_that_getsockopt_gives_back_is_compared(call: str, told: str) -> None:
    outcome = opened(f"+0 getsockopt(4, {call}) = 0")
    result = outcome.actual.partition(" = ")[2]
    assert (outcome.verdict, f"{result} {outcome.tells}".strip()) == ("FAIL", told)


@pytest.mark.parametrize(
    "call", ["SOL_SOCKET, SO_ERROR, [0], [4]", "SOL_SOCKET, SO_ERROR, [0], ...", "SOL_TCP, TCP_INFO, {tcpi_state=1}, [104]"]
)
def test_a_length_that_getsockopt_gives_back_passes(call: str) -> None:
    assert opened(f"+0 getsockopt(4, {call}) = 0").verdict == "PASS"


@pytest.mark.parametrize(
    "call",
    [
        "SOL_SOCKET, SO_ERROR, [0], [2]", "SOL_TCP, TCP_INFO, {tcpi_state=1}, [999]", "SOL_TCP, TCP_INFO, {tcpi_state=1}, [8]",
    ],
)  # fmt: skip
def test_a_length_whose_value_is_not_played_is_skipped(call: str) -> None:
    outcome = opened(f"+0 getsockopt(4, {call}) = 0")
    assert (outcome.verdict, outcome.kind) == ("SKIP", "feature")


@pytest.mark.parametrize(
    "call",
    [
        "SOL_SOCKET, SO_KEEPALIVE, [1], 2", "SOL_TCP, TCP_NODELAY, [1], 0", "SOL_TCP, TCP_NODELAY, [1], -4",
        "SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 4", 'SOL_TCP, TCP_CONGESTION, "reno", 0',
    ],
)  # fmt: skip
def test_setsockopt_with_too_short_a_length_is_invalid(call: str) -> None:
    assert opened(f"+0 setsockopt(4, {call}) = -1 EINVAL").verdict == "PASS"
    assert opened(f"+0 setsockopt(4, {call}) = 0").verdict == "FAIL"


SAME_PORTS = """+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, {sa_family=AF_INET, sin_port=htons(5000), sin_addr=inet_addr("192.168.0.1")}, ...) = 0
+0 fcntl(3, F_SETFL, O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS
+0 > S 0:0(0) <...>
+.01 < S. 0:0(0) ack 1 win 20000 <mss 1000>
+0 > . 1:1(0) ack 1
+0 write(3, ..., 10) = 10
+0 > P. 1:11(10) ack 1
+.01 < R. 1:1(0) ack 11 win 20000
+0 close(3) = 0
"""


def test_a_second_connect_between_the_same_ports_begins_its_stream_anew() -> None:
    assert play("0 `sysctl -q net.ipv4.tcp_timestamps=0`\n" + SAME_PORTS * 2).verdict == "PASS"


def test_dup2_onto_itself_changes_nothing() -> None:
    text = "+0 dup2(4, 4) = 4\n+0 write(4, ..., 9) = 9\n+0 > P. 1:10(9) ack 1\n+0 < . 1:1(0) ack 10 win 9\n+0 close(4) = 0\n"
    text += "+0 > F. 10:10(0) ack 1\n+0 close(4) = -1 EBADF (Bad file descriptor)"
    assert opened(text).verdict == "PASS"


def test_dup2_onto_another_socket_closes_that_one() -> None:
    text = "+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 5\n+0 dup2(5, 4) = 4\n+0 > F. 1:1(0) ack 1\n"
    text += "+0 shutdown(4, SHUT_WR) = -1 ENOTCONN"
    assert opened(text).verdict == "PASS"
    assert opened(text.replace("dup2(5, 4) = 4\n", "dup(4) = 6\n+0 dup2(5, 4) = 4\n")).why == ("nothing leaves",)


@pytest.mark.parametrize(
    ("port", "host", "passes"),
    [
        ("htons(8080)", 'inet_addr("192.168.0.1")', True), ("...", 'inet_addr("192.168.0.1")', True),
        ("htons(8080)", "...", True), ("...", "...", True), ("8081", "...", False), ("...", 'inet_addr("192.168.0.2")', False),
        ("htons(8081)", 'inet_addr("192.168.0.1")', False),
    ],
)  # fmt: skip
def test_what_a_name_leaves_open_is_not_compared(port: str, host: str, passes: bool) -> None:
    outcome = opened(f"+0 getsockname(4, {{sa_family=AF_INET, sin_port={port}, sin_addr={host}}}, [16]) = 0")
    assert outcome.why == (() if passes else ("what it tells",))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("...", ("192.168.0.1", 8080)), ("{sa_family=AF_INET, sin_port=htons(9), sin_addr=...}", ("192.168.0.1", 9)),
        ('{sa_family=AF_INET, sin_port=..., sin_addr=inet_addr("0.0.0.0")}', ("0.0.0.0", 8080)),
        ('{sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("0.0.0.0")}', ("0.0.0.0", 9)),
        ("{sa_family=AF_INET}", ("192.168.0.1", 8080)),
    ],
)  # fmt: skip
def test_what_an_address_leaves_open_is_the_scripts_own_place(address: str, name: tuple[str, int]) -> None:
    told = f'{{sa_family=AF_INET, sin_port=htons({name[1]}), sin_addr=inet_addr("{name[0]}")}}'
    text = f"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, {address}, ...) = 0\n+0 getsockname(3, {told}, ...) = 0"
    assert play(text).verdict == "PASS"


@pytest.mark.parametrize(
    ("call", "said", "there"),
    [
        ("writev(4, [{..., 10}, {..., 20}], 1) = 30", 1, 2), ("readv(4, [{..., 10}], 2) = 30", 2, 1),
        ("poll([{fd=3, events=POLLIN}, {fd=4, events=POLLOUT}], 1, 0) = 1", 1, 2), ("poll([{fd=3}], 0, 0) = 0", 0, 1),
    ],
)  # fmt: skip
def test_an_array_with_another_count_makes_no_sense(call: str, said: int, there: int) -> None:
    outcome = opened(f"+0 close(9) = 0\n+0 {call}")
    assert (outcome.verdict, outcome.detail) == ("ERROR", f"an array of {there} with a count of {said}")


@pytest.mark.parametrize(
    "call",
    ["writev(4, [{..., 5}, {..., 5}], 2) = 10", "writev(4, [{..., 5}, {..., 5}], ...) = 10", "writev(4, ..., 2) = 0",
     "poll([{fd=4, events=POLLOUT, revents=POLLOUT}], 1, 0) = 1", "poll({fd=4, events=POLLOUT, revents=POLLOUT}, 1, 0) = 1",
     "poll(..., 7, 0) = 0"],
)  # fmt: skip
def test_an_array_with_its_count_or_none_is_played(call: str) -> None:
    assert opened(f"+0 {call}", strict=False).verdict == "PASS"


def test_a_port_to_connect_to_that_is_left_open_is_that_of_the_option() -> None:
    text = "--connect_port=9090\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 fcntl(3, F_SETFL, O_NONBLOCK) = 0\n"
    text += "+0 connect(3, {sa_family=AF_INET, sin_port=..., sin_addr=...}, ...) = -1 EINPROGRESS\n"
    text += "+0 > 7 > 9090 S 0:0(0) <...>\n"
    assert play(text).verdict == "PASS"
    assert play(text.replace("7 > 9090", "7 > 8080")).why == ("ports",)
