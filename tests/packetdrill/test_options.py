"""Socket options of scripts act on the wire: each expectation here fails when its option is left out."""

import pytest

from synfin.packetdrill.run import FAIL, PASS
from tests.packetdrill.playing import OPEN, opened, play, told

GOOD = (PASS, "", ())
MSS = "--tolerance_percent=0\n" + OPEN


def option(name: str, value: int, fd: int = 4) -> str:
    level = "SOL_SOCKET" if name.startswith("SO_") else "IPPROTO_TCP"
    return f"+0 setsockopt({fd}, {level}, {name}, [{value}], 4) = 0\n"


def acts(line: str, text: str, **wanted: object) -> None:
    """With `line` the script passes, without it not."""
    assert told(opened(text.format(line), **wanted)) == GOOD
    assert opened(text.format(""), **wanted).verdict == FAIL


# --- TCP_QUICKACK


def test_quickack_acknowledges_at_once_until_data_is_sent() -> None:
    acts(
        option("TCP_QUICKACK", 1),
        "{}+0 < . 1:101(100) ack 1 win 20000\n+0 > . 1:1(0) ack 101\n+.01 < . 101:201(100) ack 1 win 20000\n"
        "+0 > . 1:1(0) ack 201\n+0 getsockopt(4, IPPROTO_TCP, TCP_QUICKACK, [1], [4]) = 0\n"
        "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 201\n"
        "+.01 < . 201:301(100) ack 11 win 20000\n+.2 > . 11:11(0) ack 301\n",
    )


def test_quickack_sends_the_ack_that_waits() -> None:
    acts(option("TCP_QUICKACK", 1), "+0 < . 1:101(100) ack 1 win 20000\n{}+0 > . 1:1(0) ack 101\n")


def test_quickack_off_lets_the_first_acks_wait() -> None:
    acts(
        option("TCP_QUICKACK", 0),
        "{}+0 < . 1:101(100) ack 1 win 20000\n+.2 > . 1:1(0) ack 101\n",
        changes={"quick_acks": 16},
    )


# --- TCP_CORK

CORKED = "{}+0 write(4, ..., 600) = 600\n"


def test_cork_holds_a_partial_segment_until_it_is_full() -> None:
    acts(
        option("TCP_CORK", 1),
        CORKED + "+.05 write(4, ..., 600) = 600\n+0 > . 1:1001(1000) ack 1\n+.01 < . 1:1(0) ack 1001 win 20000\n"
        + option("TCP_CORK", 0) + "+0 > P. 1001:1201(200) ack 1\n",
    )  # fmt: skip


def test_cork_is_stronger_than_nodelay_and_taking_it_off_sends_what_waits() -> None:
    acts(
        option("TCP_NODELAY", 1) + option("TCP_CORK", 1),
        CORKED + "+.1 getsockopt(4, IPPROTO_TCP, TCP_CORK, ..., [4]) = 0\n" + option("TCP_CORK", 0)
        + "+0 > P. 1:601(600) ack 1\n",
    )


def test_cork_holds_no_longer_than_200_milliseconds_and_then_again_as_long() -> None:
    acts(
        option("TCP_CORK", 1),
        CORKED + "+.2 > . 1:601(600) ack 1\n+.01 < . 1:1(0) ack 601 win 20000\n"
        "+.1 write(4, ..., 10) = 10\n+.2 > . 601:611(10) ack 1\n",
    )


def test_cork_lets_the_fin_take_along_what_waits() -> None:
    acts(option("TCP_CORK", 1), CORKED + "+.1 shutdown(4, SHUT_WR) = 0\n+0 > FP. 1:601(600) ack 1\n")


def test_an_accepted_socket_has_its_listeners_cork() -> None:
    text = OPEN.replace("+0 listen", option("TCP_CORK", 1, fd=3) + "+0 listen")
    text += "+0 write(4, ..., 600) = 600\n+.2 > . 1:601(600) ack 1\n"
    assert told(play(text)) == GOOD
    assert play(text.replace("TCP_CORK, [1]", "TCP_CORK, [0]")).verdict == FAIL


# --- TCP_NOTSENT_LOWAT

FULL = "+0 poll([{{fd=4, events=POLLOUT, revents=0}}], 1, 0) = 0\n"
ROOM = "+0 poll([{{fd=4, events=POLLOUT, revents=POLLOUT}}], 1, 0) = 1\n"
CLOSED_WINDOW = "+0 < . 1:1(0) ack 1 win 0\n+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n"


def test_notsent_lowat_bounds_what_waits_and_says_when_there_is_room() -> None:
    text = (
        CLOSED_WINDOW + "{}+0 write(4, ..., 6000) = 4000\n+0 write(4, ..., 10) = -1 EAGAIN\n" + FULL
        + "+0 ioctl(4, SIOCOUTQNSD, [4000]) = 0\n+.01 < . 1:1(0) ack 1 win 2000\n+0 > . 1:2001(2000) ack 1\n" + FULL
        + "+.01 < . 1:1(0) ack 2001 win 1000\n+0 > . 2001:3001(1000) ack 1\n" + ROOM + "+0 write(4, ..., 6000) = 3000\n"
    )  # fmt: skip
    acts(option("TCP_NOTSENT_LOWAT", 4000), text)


def test_a_write_that_waits_goes_on_when_less_than_the_lowat_is_unsent() -> None:
    text = (
        "+0 < . 1:1(0) ack 1 win 0\n{}+0...0.05 write(4, ..., 5000) = 5000\n+.05 < . 1:1(0) ack 1 win 3000\n"
        "+0 > . 1:3001(3000) ack 1\n"
    )
    acts(option("TCP_NOTSENT_LOWAT", 4000), text)


@pytest.mark.parametrize("value", [0, -1])
def test_notsent_lowat_of_0_and_below_is_no_limit(value: int) -> None:
    text = CLOSED_WINDOW.format() + "+0 getsockopt(4, IPPROTO_TCP, TCP_NOTSENT_LOWAT, [0], [4]) = 0\n"
    assert told(opened(text + option("TCP_NOTSENT_LOWAT", value) + "+0 write(4, ..., 9000) = 9000\n" + ROOM.format())) == GOOD


def test_a_write_after_shutdown_fails_whatever_the_lowat_says() -> None:
    text = CLOSED_WINDOW.format() + option("TCP_NOTSENT_LOWAT", 10) + "+0 write(4, ..., 100) = 10\n"
    assert told(opened(text + "+0 shutdown(4, SHUT_WR) = 0\n+0 write(4, ..., 10) = -1 EPIPE\n" + ROOM.format())) == GOOD


# --- TCP_DEFER_ACCEPT

DEFER = """
0 `sysctl -q net.ipv4.tcp_timestamps=0`
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
{}+0 listen(3, 5) = 0
+0 < S 0:0(0) win 20000 <mss 1000>
+0 > S. 0:0(0) ack 1 <...>
+.01 < . 1:1(0) ack 1 win 20000
+0 accept(3, ..., ...) = -1 EAGAIN
"""


def deferred(text: str, value: int = 5) -> None:
    line = option("TCP_DEFER_ACCEPT", value, fd=3)
    assert told(play("--tolerance_percent=0\n" + DEFER.format(line) + text)) == GOOD
    assert play("--tolerance_percent=0\n" + DEFER.format("") + text).verdict == FAIL


def test_a_connection_is_accepted_when_data_comes() -> None:
    deferred(
        "+.5 < P. 1:11(10) ack 1 win 20000\n+0 accept(3, ..., ...) = 4\n+0 read(4, ..., 100) = 10\n+.2 > . 1:1(0) ack 11\n"
    )


def test_a_connection_is_accepted_when_a_fin_comes() -> None:
    deferred("+.5 < F. 1:1(0) ack 1 win 20000\n+0 > . 1:1(0) ack 2\n+0 accept(3, ..., ...) = 4\n+0 read(4, ..., 100) = 0\n")


def test_after_the_time_the_syn_ack_goes_again_and_a_bare_ack_will_do() -> None:
    """5 s are 7: the timers come 1, 3 and 7 s after the SYN, and the first two are silent."""
    deferred(
        "+0 getsockopt(3, IPPROTO_TCP, TCP_DEFER_ACCEPT, [7], [4]) = 0\n+6.99 > S. 0:0(0) ack 1 <...>\n"
        "+.01 < . 1:1(0) ack 1 win 20000\n+0 accept(3, ..., ...) = 4\n"
    )


def test_without_its_ack_the_syn_ack_is_repeated_all_the_same() -> None:
    text = DEFER.format(option("TCP_DEFER_ACCEPT", 5, fd=3)).replace("+.01 < . 1:1(0) ack 1 win 20000\n", "")
    assert told(play(text + "+1 > S. 0:0(0) ack 1 <...>\n+2 > S. 0:0(0) ack 1 <...>\n")) == GOOD


# --- TCP_SYNCNT

CONNECT = """
--tolerance_percent=0
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
{}+0 connect(3, ..., ...) = -1 EINPROGRESS
+0 > S 0:0(0) <...>
+1 > S 0:0(0) <...>
+2 > S 0:0(0) <...>
+4 getsockopt(3, SOL_SOCKET, SO_ERROR, [ETIMEDOUT], [4]) = 0
"""


def test_syncnt_bounds_the_repeats_of_a_syn() -> None:
    line = option("TCP_SYNCNT", 2, fd=3) + "+0 getsockopt(3, IPPROTO_TCP, TCP_SYNCNT, [2], [4]) = 0\n"
    assert told(play(CONNECT.format(line).lstrip())) == GOOD
    assert play(CONNECT.format("").lstrip()).verdict == FAIL


@pytest.mark.parametrize("value", [0, 128, -1])
def test_a_syncnt_out_of_range_is_refused(value: int) -> None:
    assert told(opened(f"+0 setsockopt(4, IPPROTO_TCP, TCP_SYNCNT, [{value}], 4) = -1 EINVAL\n")) == GOOD


# --- SO_RCVLOWAT


def test_rcvlowat_says_when_a_reader_is_woken() -> None:
    acts(
        option("SO_RCVLOWAT", 100),
        "{}+0 < . 1:91(90) ack 1 win 20000\n+0 poll([{{fd=4, events=POLLIN, revents=0}}], 1, 0) = 0\n"
        "+0 < . 91:101(10) ack 1 win 20000\n+0 > . 1:1(0) ack 101\n"
        "+0 poll([{{fd=4, events=POLLIN, revents=POLLIN}}], 1, 0) = 1\n"
        "+0 getsockopt(4, SOL_SOCKET, SO_RCVLOWAT, [100], [4]) = 0\n",
    )


def test_rcvlowat_lets_a_blocking_read_wait_for_more_and_the_end_does_not() -> None:
    acts(
        option("SO_RCVLOWAT", 100),
        "{}+0...0.04 read(4, ..., 1000) = 110\n+.01 < . 1:91(90) ack 1 win 20000\n+.03 < . 91:111(20) ack 1 win 20000\n"
        "+0 > . 1:1(0) ack 111\n+0...0.1 read(4, ..., 1000) = 5\n+.1 < F. 111:116(5) ack 1 win 20000\n+0 > . 1:1(0) ack 117\n",
    )


def test_a_read_of_less_than_rcvlowat_waits_only_for_what_it_asks_for_and_a_non_blocking_one_for_nothing() -> None:
    text = option("SO_RCVLOWAT", 100) + "+0 < . 1:91(90) ack 1 win 20000\n"
    assert told(opened(text + "+0 read(4, ..., 50) = 50\n+0 recv(4, ..., 100, MSG_DONTWAIT) = 40\n")) == GOOD
