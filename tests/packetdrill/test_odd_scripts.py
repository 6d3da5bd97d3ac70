"""Scripts written oddly: played right, skipped with a true word, or refused at their place; never passed over."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from synfin.packetdrill.report import as_json, failure, junit
from synfin.packetdrill.run import play_text
from synfin.packetdrill.suite import Job, play_job
from tests.packetdrill.playing import opened, play, wish

MESSAGE = "recvmsg(4, {msg_iov=[{..., 20}], msg_control=[{cmsg_level=SOL_TCP, cmsg_type=TCP_INQ, cmsg_data=5}]}, 0) = 10"
TWO_MESSAGES = MESSAGE.replace("=5}", "=5}, {cmsg_level=SOL_TCP, cmsg_type=TCP_INQ}")
SOCKET = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"


@pytest.mark.parametrize("value", ["nan", "inf", "-5", "1e3", "5%"])
def test_a_tolerance_that_is_no_percentage_is_refused_at_its_place(value: str) -> None:
    outcome = play(f"--mss=1000\n  --tolerance_percent={value}\n{SOCKET}")
    assert (outcome.verdict, outcome.place) == ("ERROR", "test.pkt:2:3")


@pytest.mark.parametrize("option", ["--mtu=abc", "--ip_version=ipv5", "--local_ip=1.2.3", "--tolerance_usecs=-1"])
def test_an_option_that_makes_no_sense_is_refused_where_it_stands(option: str) -> None:
    assert play(f"--mss=1000\n{option}\n{SOCKET}").place == "test.pkt:2:1"


def test_a_time_before_the_one_above_it_is_refused() -> None:
    outcome = play(SOCKET + "1 close(3) = 0\n0.5 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3")
    assert (outcome.verdict, outcome.place, outcome.detail) == ("ERROR", "test.pkt:3:1", "the time goes backwards")


def test_a_number_beyond_64_bits_is_refused() -> None:
    assert play(SOCKET + "+0 listen(3, 99999999999999999999) = 0").place == "test.pkt:2:14"


@pytest.mark.parametrize("field", ["ttl 3", "tos 0xb8"])
def test_loose_ecn_leaves_the_rest_of_the_ip_header_compared(field: str) -> None:
    text = f"+0 write(4, ..., 10) = 10\n+0 > [{field}] P. 1:11(10) ack 1"
    assert opened(text, loose=frozenset(["ecn"])).why == ("IP header",)


def test_loose_ecn_relaxes_the_two_bits_in_tos() -> None:
    text = "+0 write(4, ..., 10) = 10\n+0 > [tos 0x03] P. 1:11(10) ack 1"
    assert opened(text, loose=frozenset(["ecn"])).verdict == "PASS"
    assert opened(text).why == ("IP header",)


def test_code_that_is_no_python_is_told_by_its_place_before_anything_is_played() -> None:
    outcome = play("0 close(9) = 0\n+0 %{ print tcpi_state }%")
    assert (outcome.verdict, outcome.kind, outcome.place) == ("ERROR", "parse", "test.pkt:2:1")


def test_code_that_breaks_is_told_by_its_place() -> None:
    outcome = play(SOCKET + "+0 %{ x = 1 / 0 }%")
    assert (outcome.verdict, outcome.place, outcome.detail) == ("ERROR", "test.pkt:2:1", "ZeroDivisionError: division by zero")


def test_a_constant_of_tcp_info_that_nobody_has_here_is_a_missing_feature() -> None:
    outcome = play(SOCKET + "+0 %{ assert tcpi_state & TCPI_OPT_NOBODY }%")
    assert (outcome.verdict, outcome.kind, outcome.detail) == ("SKIP", "feature", "TCPI_OPT_NOBODY")


def test_a_byte_order_mark_at_the_beginning_of_a_file_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "marked.pkt"
    path.write_bytes(b"\xef\xbb\xbf" + SOCKET.encode())
    assert play_job(Job(path=str(path), wish=wish(), both_ways=False, lang="en")).verdict == "PASS"


EPOLL = "+0 epoll_create(1) = 5\n+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLOUT, fd=4}) = 0\n"


@pytest.mark.parametrize("name", ["fd", "ptr", "u32", "u64"])
def test_epoll_data_is_compared_by_each_of_its_names(name: str) -> None:
    line = f"+0 epoll_wait(5, {{events=EPOLLOUT, {name}=%d}}, 1, 0) = 1"
    assert opened(EPOLL + line % 4).verdict == "PASS"
    assert opened(EPOLL + line % 5).why == ("what it tells",)


def test_epoll_wait_gives_no_more_events_than_there_is_room_for() -> None:
    second = "+0 dup(4) = 6\n+0 epoll_ctl(5, EPOLL_CTL_ADD, 6, {events=EPOLLOUT, fd=6}) = 0\n"
    assert opened(EPOLL + second + "+0 epoll_wait(5, ..., 1, 0) = 1\n+0 epoll_wait(5, ..., 2, 0) = 2").verdict == "PASS"


def test_the_flags_of_a_received_message_are_compared() -> None:
    text = "+0 < P. 1:11(10) ack 1 win 100\n+0 recvmsg(4, {msg_iov(1)=[{..., 100}], msg_flags=%s}, 0) = 10"
    assert opened(text % "0", strict=False).verdict == "PASS"
    assert opened(text % "MSG_OOB", strict=False).why == ("what it tells",)


def test_an_iovec_with_names_has_its_length() -> None:
    text = "+0 writev(4, [{iov_base=..., iov_len=10}, {..., 20}], 2) = 30\n+0 > P. 1:31(30) ack 1"
    assert opened(text).verdict == "PASS"


@pytest.mark.parametrize(
    "call",
    [
        "setsockopt(4, SOL_SOCKET, SO_LINGER, {1, 0}, 8)", "getsockopt(4, SOL_SOCKET, SO_LINGER, {1, 5}, [8])",
        "getsockopt(4, SOL_SOCKET, SO_LINGER, [7], [8])", "getsockopt(4, SOL_SOCKET, SO_ERROR, {a=1}, [4])",
        'getsockopt(4, SOL_SOCKET, SO_ERROR, "x", [4])', "getsockopt(4, SOL_TCP, TCP_INFO, [1], [104])",
        "getsockopt(4, SOL_TCP, TCP_CONGESTION, [1], [4])", "poll([{4, POLLOUT, POLLOUT}], 1, 0)",
        "sendmsg(4, {msg_iov(1)=[{..., 10}], msg_control={cmsg_level=SOL_TCP}}, 0)",
        "epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLOUT, ptr=77})",
    ],
)  # fmt: skip
def test_a_value_in_a_form_that_is_not_played_is_skipped_not_passed(call: str) -> None:
    outcome = opened(f"+0 epoll_create(1) = 5\n+0 {call} = 0")
    assert (outcome.verdict, outcome.kind) == ("SKIP", "feature")


@pytest.mark.parametrize(
    "line",
    [
        "sysctl -w net.ipv4.tcp_timestamps=abc", "sysctl -w net.ipv4.tcp_syn_retries=-3", "sysctl -w net.ipv4.tcp_rmem=-1",
        "sysctl -w net.inet.tcp.delayed_ack=abc", "sysctl -w net.ipv4.tcp_abort_on_overflow=x",
        "sysctl -w net.ipv4.tcp_fin_timeout=99999999999999", "tc qdisc add dev tun0 root netem delay 5ms pfifo",
        "ip route del 192.0.2.1 mtu 1200", "ip link set dev tun0 mtu 99999999", "ip link set dev tun0 mtu 10",
        "ip route change 192.0.2.1 initcwnd 0",
    ],
)  # fmt: skip
def test_a_command_that_asks_for_what_cannot_be_is_unmapped(line: str) -> None:
    outcome = play(f"0 `{line}`\n{SOCKET}")
    assert (outcome.verdict, outcome.kind) == ("SKIP", "unmapped")


@pytest.mark.parametrize(
    "line", ["sysctl -e -q -w net.ipv4.tcp_sack=0", "sysctl -eqw net.ipv4.tcp_sack=0", "sh defaults.sh", "bash ../defaults.sh"]
)
def test_a_command_in_another_spelling_is_played(line: str) -> None:
    assert play(f"0 `{line}`\n{SOCKET}").verdict == "PASS"


def test_junit_is_xml_whatever_the_files_are_called() -> None:
    outcome = play_text("0 close(9) = 0", "a\x02/odd\udcff\x01\uffff.pkt", wish())
    case = ElementTree.fromstring(junit([outcome])).find("testsuite/testcase")
    assert case is not None
    assert case.get("name") == "odd??\uffff.pkt [ipv4]".replace("\uffff", "?")


@pytest.mark.parametrize(("family", "most"), [("ipv4", 65_535), ("ipv6", 65_575)])
def test_the_largest_packet_is_what_the_header_can_say(family: str, most: int) -> None:
    """RFC 8200 3: the length of IPv6 leaves out its header."""
    mss = 65_535 - (40 if family == "ipv4" else 20)
    text = f"""--mtu={most}
0 `sysctl -q net.ipv4.tcp_timestamps=0 net.ipv4.tcp_wmem='1 200000 200000'`
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 5) = 0
+0 < S 0:0(0) win 65535 <mss 65535,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <mss {mss},nop,wscale 3>
+.01 < . 1:1(0) ack 1 win 20000
+0 accept(3, ..., ...) = 4
+0 write(4, ..., {mss}) = {mss}
+0 > P. 1:{mss + 1}({mss}) ack 1
"""
    assert play("--strict_segments\n" + text, family=family).verdict == "PASS"
    assert play(text.replace(f"--mtu={most}", f"--mtu={most + 1}"), family=family).verdict == "ERROR"


def test_what_a_call_tells_has_a_row_of_its_own_in_both_languages() -> None:
    outcome = opened("+0 poll([{fd=4, events=POLLOUT, revents=0}], 1, 0) = 1")
    assert failure(outcome).splitlines()[2:5] == [
        "    expected  poll([{fd=4, events=POLLOUT, revents=0}], 1, 0) = 1",
        "    actual    poll([{fd=4, events=POLLOUT, revents=0}], 1, 0) = 1",
        "    it tells  [{fd=4, revents=POLLOUT}]",
    ]
    assert as_json(outcome)["tells"] == "[{fd=4, revents=POLLOUT}]"
    outcome = opened("+0 getsockname(4, {sa_family=AF_INET, sin_port=htons(1), sin_addr=inet_addr(\"10.0.0.1\")}, [16]) = 0")
    assert "    给出      192.168.0.1 端口 8080" in failure(outcome, "zh").splitlines()


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("+0 getsockopt(4, SOL_TCP, TCP_KEEPCNT, [9], [5]) = 0", "长度 4 字节"),
        ('+0 < P. 1:4(3) ack 1 win 257\n+0 read(4, "abc", 3) = 3', "字节 b'"),
        (f"+0 {MESSAGE}", "没有控制消息"),
        (f"+0 setsockopt(4, SOL_TCP, TCP_INQ, [1], 4) = 0\n+0 {TWO_MESSAGES}", "一个控制消息"),
        ("+0 dup(4) = 3", "描述符 3 已打开"),
    ],
)  # fmt: skip
def test_the_words_of_what_a_call_tells_are_said_in_chinese_too(lines: str, told: str) -> None:
    outcome = opened("+0 < . 1:11(10) ack 1 win 257\n" + lines if "recvmsg" in lines else lines, strict=False)
    assert told in failure(outcome, "zh")
    assert told not in failure(outcome)
