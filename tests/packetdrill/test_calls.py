"""The system calls of scripts: what they do, what they answer, and that a wrong expectation of each fails."""

import pytest

from synfin.packetdrill.run import FAIL, PASS, SKIP
from tests.packetdrill.playing import OPEN, opened, play, told

TCP = "socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
DATA = "+0 < P. 1:11(10) ack 1 win 20000\n"
ACKED = "+.2 > . 1:1(0) ack 11\n"

HOLD = [  # a line on an open connection, descriptor 4, that holds
    "+0 fcntl(4, F_GETFL) = O_RDWR",
    "+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n+0 fcntl(4, F_GETFL) = O_RDWR|O_NONBLOCK",
    "+0 ioctl(4, FIONBIO, [1]) = 0\n+0 read(4, ..., 5) = -1 EAGAIN (x)",
    "+0 fcntl(4, F_GETFD) = 0",
    "+0 read(9, ..., 5) = -1 EBADF (Bad file descriptor)",
    "+0 close(9) = -1 EBADF (x)",
    "+0 listen(4, 1) = -1 EINVAL (x)",
    "+0 connect(4, ..., ...) = -1 EISCONN (x)",
    "+0 accept(4, ..., ...) = -1 EINVAL (x)",
    "+0 getsockname(4, ..., ...) = 0",
    "+0 getpeername(4, ..., ...) = 0",
    "+0 getpeername(3, ..., ...) = -1 ENOTCONN (x)",
    "+0 recv(4, ..., 5, MSG_DONTWAIT) = -1 EWOULDBLOCK (x)",
    "+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [0], [4]) = 0",
    "+0 getsockopt(4, SOL_TCP, TCP_MAXSEG, [1000], [4]) = 0",
    "+0 getsockopt(4, SOL_TCP, TCP_INFO, {tcpi_state=1, tcpi_snd_mss=1000, tcpi_unacked=0}, ...) = 0",
    "+0 getsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=0, linger=0}, [8]) = 0",
    '+0 getsockopt(4, SOL_TCP, TCP_CONGESTION, "reno", [4]) = 0',
    '+0 setsockopt(4, SOL_TCP, TCP_CONGESTION, "reno", 4) = 0',
    "+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=7}, 8) = 0\n"
    "+0 getsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=7}, ...) = 0",
    "+0 setsockopt(4, SOL_SOCKET, SO_SNDBUF, [5000], 4) = 0\n+0 getsockopt(4, SOL_SOCKET, SO_SNDBUF, [10000], [4]) = 0",
    "+0 setsockopt(4, SOL_TCP, TCP_KEEPIDLE, [0], 4) = -1 EINVAL (x)",
    "+0 ioctl(4, SIOCINQ, [0]) = 0\n+0 ioctl(4, SIOCOUTQ, [0]) = 0",
    "+0 ioctl(3, SIOCINQ, [0]) = -1 EINVAL (x)",
    "+0 poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLOUT}], 1, 0) = 1",
    "+0 poll([{fd=4, events=POLLIN, revents=0}], 1, 0) = 0",
    "+0 poll([{fd=9, events=POLLIN, revents=POLLNVAL}, {fd=3, events=POLLIN}], 2, 0) = 1",
    "+0...0.3 poll([{fd=4, events=POLLIN}], 1, 300) = 0",
    "+0 epoll_create(1) = 5\n+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLOUT, fd=4}) = 0\n"
    "+0 epoll_wait(5, {events=EPOLLOUT, fd=4}, 1, 0) = 1",
    "+0 epoll_create1(0) = 5\n+0 epoll_ctl(5, EPOLL_CTL_DEL, 4, ...) = -1 ENOENT (x)",
    "+0 epoll_create1(0) = 5\n+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLOUT|EPOLLONESHOT, ptr=4}) = 0\n"
    "+0 epoll_wait(5, {events=EPOLLOUT, fd=4}, 1, 0) = 1\n+0 epoll_wait(5, {events=EPOLLOUT, fd=4}, 1, 0) = 0",
    "+0 dup(4) = 5\n+0 close(4) = 0\n+0 write(5, ..., 5) = 5\n+0 > P. 1:6(5) ack 1",
    "+0 dup2(4, 9) = 9\n+0 fcntl(9, F_GETFL) = O_RDWR",
    "+0 shutdown(4, 7) = -1 EINVAL (x)",
    "+0 shutdown(4, SHUT_WR) = 0\n+0 > F. 1:1(0) ack 1\n+0 write(4, ..., 5) = -1 EPIPE (Broken pipe)",
    "+0 shutdown(4, SHUT_RD) = 0\n+0 read(4, ..., 5) = 0",
    "+0 close(4) = 0\n+0 > F. 1:1(0) ack 1\n+0 read(4, ..., 5) = -1 EBADF (x)",
    "+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0\n+0 close(4) = 0\n+0 > R. 1:1(0) ack 1 win 0",
    "+0 writev(4, [{..., 3}, {..., 4}], 2) = 7\n+0 > P. 1:8(7) ack 1",
    "+0 send(4, ..., 7, 0) = 7\n+0 > P. 1:8(7) ack 1",
    "+0 sendto(4, ..., 7, MSG_DONTWAIT|MSG_NOSIGNAL, ..., ...) = 7\n+0 > P. 1:8(7) ack 1",
    "+0 sendmsg(4, {msg_name(...)=..., msg_iov(2)=[{..., 3}, {..., 4}], msg_flags=0}, 0) = 7\n+0 > P. 1:8(7) ack 1",
    '+0 write(4, "abc", 3) = 3\n+0 > P. 1:4(3) ack 1',
    "+0 send(4, ..., 7, MSG_MORE) = 7\n+0 write(4, ..., 3) = 3\n+0 > P. 1:11(10) ack 1",
    "+0 send(4, ..., 1, MSG_OOB) = 1\n+0 > PU. 1:2(1) ack 1 urg 1",
    "+0 open(\"file\", O_RDONLY) = 5\n+0 sendfile(4, 5, [0], 7) = 7\n+0 > P. 1:8(7) ack 1\n+0 close(5) = 0",
    DATA + "+0 read(4, ..., 4) = 4\n+0 readv(4, [{..., 3}, {..., 30}], 2) = 6\n" + ACKED,
    DATA + "+0 recv(4, ..., 4, MSG_PEEK) = 4\n+0 recv(4, ..., 40, 0) = 10\n" + ACKED,
    DATA + "+0 recvfrom(4, ..., 40, 0, ..., ...) = 10\n" + ACKED,
    DATA + "+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 40}], msg_flags=0}, 0) = 10\n" + ACKED,
    DATA + "+0 poll([{fd=4, events=POLLIN, revents=POLLIN}], 1, 0) = 1\n" + ACKED,
    "+0...0.2 recv(4, ..., 20, MSG_WAITALL) = 20\n+.1 < P. 1:11(10) ack 1 win 20000\n"
    "+.1 < P. 11:21(10) ack 1 win 20000\n+0 > . 1:1(0) ack 21",
    "+0 < PU. 1:11(10) ack 1 win 20000 urg 4\n+0 recv(4, ..., 1, MSG_OOB) = 1\n+0 read(4, ..., 20) = 3\n"
    "+0 read(4, ..., 20) = 6\n" + ACKED,
]  # fmt: skip


@pytest.mark.parametrize("lines", HOLD)
def test_what_holds_passes(lines: str) -> None:
    assert told(opened(lines + "\n")) == (PASS, "", ())


@pytest.mark.parametrize("lines", [each for each in HOLD if "..." not in each.rpartition("= ")[2] and ") = " in each])
def test_with_another_result_it_fails(lines: str) -> None:
    """The last call's result is changed: by one, to an error, or from an error to another."""
    *before, last = [index for index in range(len(lines)) if lines.startswith(") = ", index)]
    head, result = lines[: last + 4], lines[last + 4 :]
    value, newline, rest = result.partition("\n")
    wrong = ["-1 ENOSYS (x)"]
    if value.startswith("-1"):
        wrong.append("0")
    else:
        wrong.append(str(int(value) + 1) if value.isdigit() else f"{value}|64")
    assert before or head
    for other in wrong:
        outcome = opened(head + other + newline + rest + "\n")
        assert (outcome.verdict, outcome.why) in ((FAIL, ("result",)), (FAIL, ("errno",))), other


@pytest.mark.parametrize(
    ("line", "tells"),
    [
        ("getsockopt(4, SOL_TCP, TCP_MAXSEG, [999], [4]) = 0", "[1000]"),
        ("getsockopt(4, SOL_TCP, TCP_INFO, {tcpi_state=2, tcpi_snd_mss=1000}, ...) = 0", "{tcpi_state=TCP_ESTABLISHED}"),
        ("getsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, [8]) = 0", "{onoff=0, linger=0}"),
        ('getsockopt(4, SOL_TCP, TCP_CONGESTION, "cubic", [4]) = 0', "'newreno'"),
        ("ioctl(4, SIOCOUTQ, [1]) = 0", "[0]"),
        ("poll([{fd=4, events=POLLOUT, revents=0}], 1, 0) = 1", "[{fd=4, revents=POLLOUT}]"),
    ],
)
def test_what_a_call_tells_is_compared(line: str, tells: str) -> None:
    outcome = opened(f"+0 {line}\n")
    assert told(outcome) == (FAIL, line, ("what it tells",))
    assert outcome.tells == tells


def test_an_epoll_that_tells_of_another_descriptor_fails() -> None:
    text = "+0 epoll_create(1) = 5\n+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLOUT, fd=4}) = 0\n"
    outcome = opened(text + "+0 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 0) = 1\n")
    assert outcome.why == ("what it tells",)
    assert outcome.tells == "{events=EPOLLOUT, fd=4}"


def test_so_error_is_told_by_name() -> None:
    text = "+0 < R. 1:1(0) ack 1 win 0\n+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [{}], [4]) = 0\n"
    assert opened(text.format("ECONNRESET")).verdict == PASS
    assert opened(text.format("0")).tells == "[104] ECONNRESET"


def test_descriptors_are_the_scripts_own() -> None:
    text = "0 " + TCP.replace("= 3", "= 77") + "+0 close(77) = 0\n"
    assert play(text, strict=False).verdict == PASS
    assert play(text).why == ("result",)  # POSIX gives the lowest that is free
    outcome = play("0 " + TCP + "+0 " + TCP, strict=False)
    assert (outcome.verdict, outcome.why) == (FAIL, ("descriptor 3 is open",))


def test_a_lingering_close_waits_for_the_last_acknowledgment() -> None:
    text = OPEN + "+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=2}, 8) = 0\n"
    answered = text + "+0...{end} close(4) = 0\n+0 > F. 1:1(0) ack 1\n+.3 < . 1:1(0) ack 2 win 20000\n"
    assert play(answered.replace("{end}", "0.3")).verdict == PASS
    assert play(answered.replace("{end}", "0.5")).why == ("time",)
    silent = text + "+0...2 close(4) = 0\n+0 > F. 1:1(0) ack 1\n+1 > F. 1:1(0) ack 1\n+.9 write(4, ..., 1) = -1 EBADF (x)\n"
    assert told(play(silent)) == (PASS, "", ())
    assert play(silent.replace("0...2", "0...1.5")).why == ("time",)


def test_a_write_that_finds_no_room_waits_for_it() -> None:
    text = "+0 setsockopt(4, SOL_SOCKET, SO_SNDBUF, [2000], 4) = 0\n+0...0.1 write(4, ..., 3000) = 3000\n"
    text += "+0 > P. 1:2001(2000) ack 1 <...>\n"
    text += "+.1 < . 1:1(0) ack 2001 win 20000\n+0 > P. 2001:3001(1000) ack 1\n"
    assert told(opened(text)) == (PASS, "", ())
    few = "+0 setsockopt(4, SOL_SOCKET, SO_SNDBUF, [2000], 4) = 0\n+0 fcntl(4, F_SETFL, O_NONBLOCK) = 0\n"
    few += "+0 write(4, ..., 3000) = 2000\n+0 write(4, ..., 5) = -1 EAGAIN (x)\n+0 > P. 1:2001(2000) ack 1\n"
    assert told(opened(few)) == (PASS, "", ())


@pytest.mark.parametrize(
    ("line", "feature"),
    [
        ("+0 splice(4, ..., 5, ..., 10, 0) = 10", "splice()"),
        ("+0 setsockopt(4, SOL_TCP, TCP_WINDOW_CLAMP, [1], 4) = 0", "TCP_WINDOW_CLAMP"),
        ("+0 setsockopt(4, SOL_TCP, TCP_WINDOW_CLAMP, [1], 4) = -1 ENOPROTOOPT (x)", "TCP_WINDOW_CLAMP"),
        ('+0 setsockopt(4, SOL_TCP, TCP_CONGESTION, "cubic", 5) = 0', "TCP_CONGESTION cubic"),
        ("+0 setsockopt(4, SOL_TCP, TCP_BLUE, [1], 4) = 0", "TCP_BLUE"),
        ("+0 send(4, ..., 5, MSG_ZEROCOPY) = 5", "MSG_ZEROCOPY"),
        ("+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLWAKEUP, fd=4}) = 0", "EPOLLWAKEUP"),
        ("+0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 5", "IPPROTO_UDP"),
        ("+0 getsockopt(4, SOL_TCP, TCP_INFO, {tcpi_blue=1}, ...) = 0", "tcpi_blue"),
        ("+0 < udp (1000)", "UDP"),
    ],
)
def test_what_synfin_has_not_makes_a_script_skip_whatever_it_expects(line: str, feature: str) -> None:
    outcome = opened(line + "\n")
    assert (outcome.verdict, outcome.kind) == (SKIP, "feature")
    assert feature in ("IPPROTO_UDP", outcome.detail)
