"""epoll's edges, SO_RCVTIMEO and SO_SNDTIMEO, TCP_INQ and MSG_TRUNC in scripts: what is told wrong fails."""

import pytest

from synfin.packetdrill.run import FAIL, PASS, SKIP
from tests.packetdrill.playing import OPEN, opened, play

SET = "+0 epoll_create1(0) = 5\n"
EDGE = SET + "+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {{events={}|EPOLLET, fd=4}}) = 0\n"
NOTHING = "+0 epoll_wait(5, ..., 2, 0) = 0\n"
DATA = "+.1 < P. {}:{}(10) ack 1 win 20000\n"


def told(events: str, number: int = 4) -> str:
    return f"+0 epoll_wait(5, {{events={events}, fd={number}}}, 2, 0) = 1\n"


# --- edges


def test_an_edge_of_writing_is_there_again_when_the_buffer_has_emptied() -> None:
    fill = "+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n+0 setsockopt(4, SOL_SOCKET, SO_SNDBUF, [4000], 4) = 0\n"
    fill += "+0 write(4, ..., 9000) = 4000\n* > P. 1:4001(4000) ack 1\n"
    text = fill + EDGE.format("EPOLLOUT") + NOTHING + "+.1 < . 1:1(0) ack 4001 win 20000\n"
    assert opened(text + told("EPOLLOUT") + NOTHING).verdict == PASS


def test_an_acknowledgment_is_no_edge_of_reading() -> None:
    text = EDGE.format("EPOLLIN|EPOLLOUT") + DATA.format(1, 11) + told("EPOLLIN|EPOLLOUT") + "+0 write(4, ..., 10) = 10\n"
    text += "+0 > P. 1:11(10) ack 11\n+.01 < . 11:11(0) ack 11 win 20000\n"
    assert opened(text + NOTHING).verdict == PASS


def test_bytes_that_came_are_no_edge_of_writing() -> None:
    text = EDGE.format("EPOLLOUT") + told("EPOLLOUT") + DATA.format(1, 11) + "* > . 1:1(0) ack 11\n"
    assert opened(text + NOTHING).verdict == PASS


def test_each_connection_that_waits_for_accept_is_an_edge() -> None:
    def another(port: int) -> str:
        return (
            f"+.1 < {port} > 8080 S 0:0(0) win 20000 <mss 1000>\n+0 > 8080 > {port} S. 0:0(0) ack 1 <...>\n"
            f"+.01 < {port} > 8080 . 1:1(0) ack 1 win 20000\n"
        )

    text = SET + "+0 epoll_ctl(5, EPOLL_CTL_ADD, 3, {events=EPOLLIN|EPOLLET, fd=3}) = 0\n" + NOTHING
    text += another(7) + told("EPOLLIN", 3) + NOTHING + another(8) + told("EPOLLIN", 3) + NOTHING
    text += "+0 accept(3, ..., ...) = 6\n" + NOTHING + another(9) + told("EPOLLIN", 3)
    assert opened(text).verdict == PASS


def test_an_edge_while_somebody_waits_ends_the_wait() -> None:
    wait = "+0...{} epoll_wait(5, {{events=EPOLLIN, fd=4}}, 1, -1) = 1\n"
    text = EDGE.format("EPOLLIN") + DATA.format(1, 11) + told("EPOLLIN") + wait.format(".1") + DATA.format(11, 21)
    assert opened(text + "+0 > . 1:1(0) ack 21\n").verdict == PASS
    assert opened(text.replace("+0....1", "+0....05")).why == ("time",)


def test_a_descriptor_that_was_closed_is_forgotten_even_when_its_number_is_used_again() -> None:
    text = SET + "+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLOUT, fd=4}) = 0\n" + told("EPOLLOUT")
    text += "+0 close(4) = 0\n+0 > F. 1:1(0) ack 1\n" + NOTHING + "+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 4\n" + NOTHING
    text += "+0 epoll_ctl(5, EPOLL_CTL_MOD, 4, {events=EPOLLIN, fd=4}) = -1 ENOENT (x)\n"
    text += "+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = 0\n" + told("EPOLLHUP")
    assert opened(text).verdict == PASS


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLEXCLUSIVE, fd=4})", "0"),
        ("epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLET|EPOLLEXCLUSIVE, fd=4})", "0"),
        ("epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLONESHOT|EPOLLEXCLUSIVE, fd=4})", "-1 EINVAL (x)"),
        ("epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLRDHUP|EPOLLEXCLUSIVE, fd=4})", "-1 EINVAL (x)"),
        ("epoll_ctl(5, EPOLL_CTL_MOD, 3, {events=EPOLLIN|EPOLLEXCLUSIVE, fd=3})", "-1 EINVAL (x)"),
        ("epoll_ctl(5, EPOLL_CTL_ADD, 5, {events=EPOLLIN, fd=5})", "-1 EINVAL (x)"),
        ("epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, fd=3})", "-1 EINVAL (x)"),
        ("epoll_ctl(5, 4, 3, {events=EPOLLIN, fd=3})", "-1 EINVAL (x)"),
    ],
)
def test_what_epoll_ctl_does_not_take(call: str, result: str) -> None:
    text = SET + "+0 epoll_ctl(5, EPOLL_CTL_ADD, 3, {events=EPOLLIN, fd=3}) = 0\n"
    assert opened(f"{text}+0 {call} = {result}").verdict == PASS


def test_an_exclusive_watch_is_not_changed() -> None:
    text = SET + "+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLOUT|EPOLLEXCLUSIVE, fd=4}) = 0\n" + told("EPOLLOUT")
    assert opened(text + "+0 epoll_ctl(5, EPOLL_CTL_MOD, 4, {events=EPOLLIN, fd=4}) = -1 EINVAL (x)").verdict == PASS


# --- times


def test_a_call_that_does_not_block_does_not_look_at_the_times() -> None:
    text = "+0 setsockopt(4, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=1, tv_usec=0}, 16) = 0\n"
    text += "+0 recv(4, ..., 10, MSG_DONTWAIT) = -1 EAGAIN (x)\n+0 fcntl(4, F_SETFL, O_NONBLOCK) = 0\n"
    assert opened(text + "+0 read(4, ..., 10) = -1 EAGAIN (x)\n").verdict == PASS


def test_a_negative_time_does_not_wait_and_0_waits_without_end() -> None:
    text = "+0 setsockopt(4, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=%d, tv_usec=0}, 16) = 0\n"
    assert opened(text % -1 + "+0...0 read(4, ..., 10) = -1 EAGAIN (x)\n").verdict == PASS
    ended = "+0...9 read(4, ..., 10) = 0\n+9 < F. 1:1(0) ack 1 win 20000\n+0 > . 1:1(0) ack 2\n"
    assert opened(text % 0 + ended).verdict == PASS
    assert opened(text % 3 + ended).verdict == FAIL


def test_accept_gives_up_and_what_it_makes_inherits_the_time() -> None:
    text = OPEN.replace("+0 < S", "+0 setsockopt(3, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=2, tv_usec=0}, 16) = 0\n+0 < S", 1)
    assert play(text + "+0...2 accept(3, ..., ...) = -1 EAGAIN (x)\n").verdict == PASS
    assert play(text + "+0...2 read(4, ..., 1) = -1 EAGAIN (x)\n").verdict == PASS
    assert play(text + "+0...3 read(4, ..., 1) = -1 EAGAIN (x)\n").why == ("time",)


@pytest.mark.parametrize("value", ["[1]", "{1}", "{linger=1, 2}"])
def test_a_time_that_is_no_timeval_is_not_played(value: str) -> None:
    outcome = opened(f"+0 setsockopt(4, SOL_SOCKET, SO_RCVTIMEO, {value}, 16) = 0")
    assert (outcome.verdict, outcome.detail) == (SKIP, "SO_RCVTIMEO without the fields of struct timeval")


def test_a_time_that_is_told_otherwise_fails() -> None:
    text = "+0 setsockopt(4, SOL_SOCKET, SO_SNDTIMEO, {3, 4}, 16) = 0\n"
    text += "+0 getsockopt(4, SOL_SOCKET, SO_SNDTIMEO, {}, [16]) = 0\n"
    for value, wrong in (("{tv_sec=3, tv_usec=4}", False), ("{3, 5}", True), ("{tv_sec=2, tv_usec=4}", True)):
        outcome = opened(text.replace("{}", value))
        assert outcome.why == (("what it tells",) if wrong else ())
        assert outcome.tells == ("{tv_sec=3, tv_usec=4}" if wrong else "")


# --- what is left


MESSAGE = "{{msg_name(...)=..., msg_iov(1)=[{{..., 4}}], msg_flags=0, msg_control=[{}]}}"
REST = "{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=%s}"


@pytest.mark.parametrize(
    ("on", "control", "wrong"),
    [
        (1, REST % 6, ""), (1, "", ""), (0, "", ""), (1, REST % 7, "[6]"), (1, REST % "...", ""),
        (0, REST % 6, "no control message"), (1, f"{REST % 6}, {REST % 6}", "one control message"),
        (1, "{cmsg_len=20, cmsg_level=..., cmsg_type=TCP_INQ, cmsg_data=6}", ""),
    ],
)  # fmt: skip
def test_what_is_left_is_compared_where_the_script_says_it(on: int, control: str, wrong: str) -> None:
    text = f"+0 setsockopt(4, SOL_TCP, TCP_INQ, [{on}], 4) = 0\n+.1 < P. 1:11(10) ack 1 win 20000\n"
    outcome = opened(f"{text}+0 recvmsg(4, {MESSAGE.format(control)}, 0) = 4\n+.2 > . 1:1(0) ack 11\n")
    assert outcome.verdict == (FAIL if wrong else PASS)
    assert outcome.tells == wrong


@pytest.mark.parametrize(
    "call",
    [
        f"recvmsg(4, {MESSAGE.format('{cmsg_level=SOL_SOCKET, cmsg_type=TCP_CM_INQ, cmsg_data=6}')}, 0) = 4",
        f"recvmsg(4, {MESSAGE.format('{cmsg_level=SOL_TCP, cmsg_type=5, cmsg_data=6}')}, 0) = 4",
        f"recvmsg(4, {MESSAGE.format('7')}, 0) = 4",
        f"sendmsg(4, {MESSAGE.format(REST % 6)}, 0) = 4",
    ],
)
def test_other_control_messages_are_not_played(call: str) -> None:
    outcome = opened(f"+0 {call}")
    assert (outcome.verdict, outcome.detail) == (SKIP, "control messages")


def test_bytes_that_are_only_counted_are_not_compared_and_are_gone() -> None:
    text = '+.1 < P. 1:11(10) ack 1 win 20000\n+0 recv(4, "nothing like it", 4, MSG_TRUNC) = 4\n+0 read(4, ..., 10) = 6\n'
    assert opened(text + "+.2 > . 1:1(0) ack 11\n").verdict == PASS
    assert opened(text.replace("MSG_TRUNC", "0")).why == ("what it tells",)
    assert opened("+0 send(4, ..., 10, MSG_TRUNC) = 10\n+0 > P. 1:11(10) ack 1\n").verdict == PASS
