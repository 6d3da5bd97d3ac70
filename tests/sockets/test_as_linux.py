"""Every script of calls gives on simulated sockets what it gives on Linux's: values, errnos and readiness.

The expectation is Linux itself, run beside; where a script's answers are worth knowing they stand in its comments.
"""

import socket
import struct
from collections.abc import Callable

import pytest

from tests.sockets.sides import RESET_ON_CLOSE, Side, kernel, outcome, simulated

SOL, TCP = socket.SOL_SOCKET, socket.IPPROTO_TCP
NOTSENT_LOWAT = 25
INQ = 36


def a_fresh_socket(side: Side) -> None:
    sock = side.client()
    side.note_levels(sock)  # both: there is nothing to wait for
    side.note(sock.send, b"x")  # EPIPE
    side.note(sock.recv, 10)  # ENOTCONN
    side.note(sock.getpeername)
    side.note(sock.getsockname)
    side.note(sock.shutdown, socket.SHUT_RDWR)
    side.note(sock.accept)
    side.note(sock.recv, 0)
    side.note(sock.getsockopt, SOL, socket.SO_ERROR)


def a_closed_socket(side: Side) -> None:
    sock = side.client()
    sock.close()
    sock.close()
    side.note(sock.fileno)
    for call in (sock.getsockname, sock.getpeername, sock.accept, sock.listen):
        side.note(call)
    side.note(sock.recv, 1)
    side.note(sock.send, b"x")
    side.note(sock.shutdown, socket.SHUT_WR)
    side.note(sock.getsockopt, SOL, socket.SO_ERROR)
    side.note(sock.setsockopt, SOL, socket.SO_REUSEADDR, 1)
    side.note(sock.connect, (side.server_address, 1))


def a_refused_connect(side: Side) -> None:
    sock = side.client()
    side.note(sock.connect, (side.server_address, side.free_port()))  # EINPROGRESS
    side.settle()
    side.note_levels(sock)
    side.note(sock.getsockopt, SOL, socket.SO_ERROR)  # ECONNREFUSED
    side.note(sock.getsockopt, SOL, socket.SO_ERROR)  # told once
    side.note(sock.getpeername)
    side.note(sock.send, b"x")
    side.note(sock.recv, 1)


def a_second_connect_after_a_refusal(side: Side) -> None:
    sock = side.client()
    address = (side.server_address, side.free_port())
    side.note(sock.connect, address)
    side.settle()
    side.note(sock.connect, address)  # ECONNREFUSED
    side.note(sock.connect, address)  # EINPROGRESS: begins anew
    side.settle()
    side.note(sock.getsockopt, SOL, socket.SO_ERROR)
    side.note(sock.connect, address)  # ECONNABORTED: the error is gone, the connect has not been told
    side.settle()
    side.note(sock.connect_ex, address)


def a_recv_after_a_refusal(side: Side) -> None:
    sock = side.client()
    side.note(sock.connect, (side.server_address, side.free_port()))
    side.settle()
    side.note(sock.recv, 1)  # ECONNREFUSED
    side.note(sock.recv, 1)  # then the end
    side.note(sock.send, b"x")


def a_connect(side: Side) -> None:
    listener, address = side.listener()
    sock = side.client()
    side.note_levels(listener)
    side.note(sock.connect, address)
    side.settle()
    side.note_levels(listener)
    side.note_levels(sock)
    side.note(sock.connect, address)  # returns
    side.note(sock.connect, address)  # EISCONN
    side.note(sock.connect_ex, address)
    side.note(sock.bind, ("", 0))
    side.note(sock.listen)
    side.note(sock.accept)
    accepted, peer = listener.accept()
    assert peer == sock.getsockname() and accepted.getpeername() == sock.getsockname()
    assert accepted.getsockname() == address == sock.getpeername()
    side.note(listener.accept)  # EAGAIN
    side.note(listener.connect, address)
    side.note(listener.send, b"x")
    side.note(listener.recv, 1)
    side.note(listener.getpeername)
    side.note_levels(listener)


def a_bind(side: Side) -> None:
    one, two, three = side.server(), side.server(), side.server()
    side.note(one.bind, ("203.0.113.9", 0))  # EADDRNOTAVAIL
    side.note(one.bind, (side.server_address, 0))
    side.note(one.bind, (side.server_address, 0))  # EINVAL
    side.note(two.bind, one.getsockname())  # EADDRINUSE
    side.note(two.bind, ("", one.getsockname()[1]))
    side.note(three.setsockopt, SOL, socket.SO_REUSEADDR, 1)
    side.note(three.bind, one.getsockname())  # both have to allow it
    one.close()
    side.note(two.bind, ("", 0))
    side.note(lambda: two.getsockname()[0])


def an_address_that_is_reused(side: Side) -> None:
    one, two, three = side.server(), side.server(), side.server()
    for sock in (one, two, three):
        sock.setsockopt(SOL, socket.SO_REUSEADDR, 1)
    side.note(one.bind, (side.server_address, 0))
    side.note(two.bind, one.getsockname())
    side.note(one.listen)
    side.note(two.listen)  # EADDRINUSE
    side.note(three.bind, one.getsockname())
    side.note(one.listen, 5)
    one.close()
    side.note(two.listen)


def a_port_in_time_wait(side: Side) -> None:
    listener, address = side.listener()
    client = side.client()
    outcome(client.connect, address)
    side.settle()
    accepted, _ = listener.accept()
    listener.close()
    accepted.close()  # the server's side goes to TIME-WAIT
    side.settle()
    client.close()
    side.settle()
    plain, reusing = side.server(), side.server()
    side.note(plain.bind, address)  # EADDRINUSE
    reusing.setsockopt(SOL, socket.SO_REUSEADDR, 1)
    side.note(reusing.bind, address)
    side.note(reusing.listen)


def data_both_ways(side: Side) -> None:
    one, two = side.pair()
    one.setsockopt(TCP, socket.TCP_NODELAY, 1)
    side.note_levels(one)  # write
    side.note(one.recv, 10)  # EAGAIN
    side.note(one.send, b"hello")
    side.note(two.sendall, b"and back")
    side.settle()
    side.note_levels(two)
    side.note(two.recv, 2, socket.MSG_PEEK)
    side.note(two.recv, 2)
    side.note(two.recv, 10, socket.MSG_DONTWAIT)
    side.note(two.recv, 10, socket.MSG_PEEK)
    side.note(two.recv, 0)
    buffer = bytearray(20)
    side.note(one.recv_into, buffer)
    side.note(one.recv_into, buffer)
    side.note(bytes, buffer)
    side.note(one.send, b"")
    side.note(one.sendmsg, [b"a", b"", b"bc"])
    side.note(one.send, b"d", socket.MSG_NOSIGNAL)
    side.settle()
    side.note(two.recvmsg, 3)
    side.note(two.recvfrom, 10)
    side.note(one.sendto, b"x", (side.server_address, 1))  # the address is not looked at


def an_orderly_end(side: Side) -> None:
    one, two = side.pair()
    side.note(two.send, b"bye")
    two.close()
    side.settle()
    side.note_levels(one)
    side.note(one.recv, 10)
    side.note(one.recv, 10)  # the end
    side.note(one.recv, 10)
    side.note_levels(one)
    side.note(one.send, b"anybody there?")  # answered by RST
    side.settle()
    side.note_levels(one)
    side.note(one.getsockopt, SOL, socket.SO_ERROR)  # EPIPE: the peer had closed before
    side.note(one.recv, 10)
    side.note(one.send, b"x")
    side.note(one.getpeername)


def a_reset_after_the_end(side: Side) -> None:
    one, two = side.pair()
    two.close()
    side.settle()
    side.note(one.send, b"anybody there?")
    side.settle()
    side.note(one.recv, 10)  # the end comes before the error
    side.note(one.recv, 10)
    side.note(one.send, b"x")
    side.note(one.getsockopt, SOL, socket.SO_ERROR)


def a_reset(side: Side) -> None:
    one, two = side.pair()
    side.note(two.setsockopt, SOL, socket.SO_LINGER, RESET_ON_CLOSE)
    side.note(two.getsockopt, SOL, socket.SO_LINGER, 8)
    two.close()
    side.settle()
    side.note_levels(one)
    side.note(one.recv, 10)  # ECONNRESET
    side.note(one.recv, 10)  # then the end
    side.note(one.send, b"x")  # EPIPE
    side.note(one.getpeername)
    side.note(one.shutdown, socket.SHUT_WR)
    side.note_levels(one)


def a_send_after_a_reset(side: Side) -> None:
    one, two = side.pair()
    two.setsockopt(SOL, socket.SO_LINGER, RESET_ON_CLOSE)
    two.close()
    side.settle()
    side.note(one.send, b"x")  # ECONNRESET
    side.note(one.send, b"x")  # EPIPE
    side.note(one.recv, 10)


def data_before_a_reset(side: Side) -> None:
    one, two = side.pair()
    two.send(b"last words")
    side.settle()
    two.setsockopt(SOL, socket.SO_LINGER, RESET_ON_CLOSE)
    two.close()
    side.settle()
    side.note_levels(one)
    side.note(one.recv, 4)
    side.note(one.recv, 20)
    side.note(one.recv, 20)
    side.note(one.recv, 20)


def a_close_with_data_unread(side: Side) -> None:
    one, two = side.pair()
    one.send(b"never read")
    side.settle()
    two.close()
    side.settle()
    side.note(one.getsockopt, SOL, socket.SO_ERROR)  # ECONNRESET
    side.note(one.recv, 1)
    side.note(one.send, b"x")


def a_half_close(side: Side) -> None:
    one, two = side.pair()
    side.note(one.shutdown, 7)  # EINVAL
    side.note(one.shutdown, socket.SHUT_WR)
    side.note(one.shutdown, socket.SHUT_WR)
    side.note(one.send, b"x")  # EPIPE
    side.note_levels(one)
    side.settle()
    side.note(two.recv, 1)
    side.note(two.send, b"still here")
    side.settle()
    side.note_levels(one)
    side.note(one.recv, 20)
    side.note(one.recv, 20)  # EAGAIN
    side.note(two.shutdown, socket.SHUT_WR)
    side.settle()
    side.note(one.recv, 20)
    side.note(two.shutdown, socket.SHUT_WR)  # ENOTCONN: all is over
    side.note(two.getpeername)


def a_shutdown_of_reading(side: Side) -> None:
    one, two = side.pair()
    side.note(one.shutdown, socket.SHUT_RD)
    side.note_levels(one)
    side.note(one.recv, 1)
    side.note(one.send, b"x")
    side.settle()
    side.note(two.recv, 1)


def a_listener_that_is_shut_down(side: Side) -> None:
    listener, address = side.listener()
    side.note(listener.shutdown, socket.SHUT_WR)
    side.note(listener.shutdown, socket.SHUT_RD)
    side.note(listener.accept)  # EINVAL
    sock = side.client()
    side.note(sock.connect, address)
    side.settle()
    side.note(sock.getsockopt, SOL, socket.SO_ERROR)
    side.note(listener.getsockopt, SOL, socket.SO_ACCEPTCONN)


def a_listener_closed_over_what_nobody_accepted(side: Side) -> None:
    listener, address = side.listener()
    sock = side.client()
    outcome(sock.connect, address)
    side.settle()
    listener.close()
    side.settle()
    side.note(sock.recv, 1)  # ECONNRESET


def urgent_data(side: Side) -> None:
    one, two = side.pair()
    side.note(two.recv, 1, socket.MSG_OOB)  # EINVAL
    side.note(one.send, b"ab!", socket.MSG_OOB)
    side.settle()
    side.note(two.recv, 1, socket.MSG_OOB | socket.MSG_PEEK)
    side.note(two.recv, 1, socket.MSG_OOB)
    side.note(two.recv, 1, socket.MSG_OOB)
    side.note(two.recv, 10)
    side.note(one.send, b"c?", socket.MSG_OOB)
    side.note(one.send, b"more")
    side.settle()
    side.note(two.recv, 10)  # up to the mark
    side.note(two.recv, 10)


def urgent_data_inline(side: Side) -> None:
    one, two = side.pair()
    side.note(two.setsockopt, SOL, socket.SO_OOBINLINE, 1)
    side.note(two.getsockopt, SOL, socket.SO_OOBINLINE)
    one.send(b"ab!", socket.MSG_OOB)
    side.settle()
    side.note(two.recv, 1, socket.MSG_OOB)
    side.note(two.recv, 10)
    side.note(two.recv, 10)


def a_full_buffer(side: Side) -> None:
    one, two = side.pair()
    chunk = bytes(100_000)
    while outcome(one.send, chunk) != "EAGAIN":
        side.settle()
    side.note_levels(one)
    side.note(one.send, b"x")
    while outcome(two.recv, 1 << 20) != "EAGAIN":
        side.settle()
    side.note_levels(one)


def wrong_addresses(side: Side) -> None:
    sock = side.client()
    side.note(sock.connect, ("224.0.0.1", 80))  # ENETUNREACH
    for call in (sock.connect, sock.bind):
        for address in ("10.0.0.1:80", ("10.0.0.1",), ("10.0.0.1", 80, 0), ("10.0.0.1", "80"), (7, 80)):
            with pytest.raises(TypeError):
                call(address)
        with pytest.raises(OverflowError):
            call(("10.0.0.1", 65_536))


def options(side: Side) -> None:
    sock = side.client()
    for level, name in (
        (SOL, socket.SO_TYPE), (SOL, socket.SO_DOMAIN), (SOL, socket.SO_PROTOCOL), (SOL, socket.SO_ACCEPTCONN),
        (SOL, socket.SO_ERROR), (SOL, socket.SO_REUSEADDR), (SOL, socket.SO_KEEPALIVE), (SOL, socket.SO_OOBINLINE),
        (SOL, socket.SO_RCVLOWAT), (TCP, socket.TCP_NODELAY), (TCP, socket.TCP_MAXSEG), (TCP, socket.TCP_USER_TIMEOUT),
        (TCP, socket.TCP_CORK), (TCP, socket.TCP_DEFER_ACCEPT), (TCP, NOTSENT_LOWAT),
    ):  # fmt: skip
        side.note(sock.getsockopt, level, name)
    for level, name, value in (
        (SOL, socket.SO_REUSEADDR, 1), (SOL, socket.SO_KEEPALIVE, 1), (TCP, socket.TCP_NODELAY, 1),
        (TCP, socket.TCP_USER_TIMEOUT, 5000), (TCP, socket.TCP_USER_TIMEOUT, 0), (SOL, socket.SO_OOBINLINE, 1),
        (SOL, socket.SO_RCVBUF, 8192), (SOL, socket.SO_SNDBUF, 8192), (TCP, socket.TCP_NODELAY, 0),
        (TCP, socket.TCP_KEEPIDLE, 30), (TCP, socket.TCP_KEEPINTVL, 5), (TCP, socket.TCP_KEEPCNT, 3),
        (TCP, socket.TCP_KEEPIDLE, 0), (TCP, socket.TCP_KEEPINTVL, 32_768), (TCP, socket.TCP_KEEPCNT, 128),
        (TCP, socket.TCP_CORK, 7), (TCP, socket.TCP_CORK, 0), (TCP, socket.TCP_QUICKACK, 0), (TCP, socket.TCP_QUICKACK, 5),
        (TCP, socket.TCP_DEFER_ACCEPT, 1), (TCP, socket.TCP_DEFER_ACCEPT, 2), (TCP, socket.TCP_DEFER_ACCEPT, 5),
        (TCP, socket.TCP_DEFER_ACCEPT, 8), (TCP, socket.TCP_DEFER_ACCEPT, 0), (TCP, socket.TCP_DEFER_ACCEPT, -1),
        (TCP, NOTSENT_LOWAT, 100), (TCP, NOTSENT_LOWAT, -1), (TCP, socket.TCP_SYNCNT, 1), (TCP, socket.TCP_SYNCNT, 6),
        (TCP, socket.TCP_SYNCNT, 0), (TCP, socket.TCP_SYNCNT, 128), (SOL, socket.SO_RCVLOWAT, 0),
    ):  # fmt: skip
        side.note(sock.setsockopt, level, name, value)
        side.note(sock.getsockopt, level, name)
        side.note(sock.getsockopt, level, name, 4)
    side.note(sock.setsockopt, TCP, socket.TCP_MAXSEG, 10)  # EINVAL
    side.note(sock.setsockopt, TCP, socket.TCP_MAXSEG, 1000)
    side.note(sock.setsockopt, SOL, socket.SO_REUSEADDR, b"\1\0")  # EINVAL
    side.note(sock.setsockopt, SOL, socket.SO_REUSEADDR, b"\1\0\0\0")
    side.note(sock.getsockopt, SOL, 200)  # ENOPROTOOPT
    side.note(sock.setsockopt, SOL, 200, 1)
    side.note(sock.setsockopt, SOL, socket.SO_LINGER, 1)
    side.note(sock.setsockopt, TCP, socket.TCP_USER_TIMEOUT, -1)


def options_of_a_listener_are_inherited(side: Side) -> None:
    listener, address = side.listener()
    listener.setsockopt(TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(SOL, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(TCP, socket.TCP_KEEPIDLE, 30)
    sock = side.client()
    outcome(sock.connect, address)
    side.settle()
    accepted, _ = listener.accept()
    for name in (socket.SO_KEEPALIVE, socket.SO_ACCEPTCONN, socket.SO_REUSEADDR):
        side.note(accepted.getsockopt, SOL, name)
    side.note(accepted.getsockopt, TCP, socket.TCP_NODELAY)
    side.note(accepted.getsockopt, TCP, socket.TCP_KEEPIDLE)
    side.note(listener.getsockopt, SOL, socket.SO_ACCEPTCONN)


def descriptors(side: Side) -> None:
    one, two = side.pair()
    twin = one.dup()
    twin.setblocking(False)
    one.close()
    side.note(twin.send, b"by the twin")
    side.settle()
    side.note(two.recv, 20)
    twin.close()
    side.settle()
    side.note(two.recv, 20)
    side.note(two.get_inheritable)
    side.note(two.set_inheritable, True)
    side.note(two.get_inheritable)


def modes(side: Side) -> None:
    sock = side.client()
    side.note(sock.gettimeout)
    side.note(sock.getblocking)
    sock.settimeout(2)
    side.note(sock.gettimeout)
    sock.setblocking(True)
    side.note(sock.gettimeout)
    side.note(lambda: (sock.family, sock.type, sock.proto, sock.timeout))
    with pytest.raises(ValueError, match="Timeout value out of range"):
        sock.settimeout(-1)
    sock.setblocking(False)
    with pytest.raises(ValueError, match="non-blocking"), open(__file__, "rb") as file:
        sock.sendfile(file)


def bytes_only_counted(side: Side) -> None:
    one, two = side.pair()
    side.note(one.send, b"0123456789")
    side.settle()
    side.note(lambda: len(two.recv(4, socket.MSG_TRUNC)))
    side.note(lambda: len(two.recv(4, socket.MSG_TRUNC | socket.MSG_PEEK)))
    side.note(two.recv, 10)  # 456789
    side.note(two.recv, 10, socket.MSG_TRUNC)  # EAGAIN


def what_is_left_to_read(side: Side) -> None:
    one, two = side.pair()
    side.note(two.getsockopt, TCP, INQ)
    for value in (2, -1, 1):
        side.note(two.setsockopt, TCP, INQ, value)  # EINVAL, EINVAL
    side.note(two.getsockopt, TCP, INQ)
    side.note(one.send, b"0123456789")
    side.settle()
    side.note(two.recvmsg, 4, 32)  # 6 are left
    side.note(two.recvmsg, 2, 0)  # no room for a message
    one.shutdown(socket.SHUT_WR)
    side.settle()
    side.note(two.recvmsg, 3, 32)  # 1 and the end
    side.note(two.recvmsg, 3, 32)  # the end
    side.note(two.recvmsg, 3, 32)
    side.note(two.recvmsg_into, [bytearray(2)], 32)
    two.setsockopt(TCP, INQ, 0)
    side.note(two.recvmsg, 3, 32)


def times_of_blocking_calls(side: Side) -> None:
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock = side.client()
        side.note(sock.getsockopt, SOL, option, 16)
        for seconds, microseconds in ((1, 500_000), (0, 8000), (0, 1_000_000), (0, -1), (-1, 0), (0, 0)):  # EDOM twice
            side.note(sock.setsockopt, SOL, option, struct.pack("qq", seconds, microseconds))
            side.note(sock.getsockopt, SOL, option, 16)
        side.note(sock.setsockopt, SOL, option, struct.pack("q", 1))  # EINVAL
        side.note(sock.setsockopt, SOL, option, 1)  # EINVAL


SCRIPTS = (
    a_fresh_socket, a_closed_socket, a_refused_connect, a_second_connect_after_a_refusal, a_recv_after_a_refusal, a_connect,
    a_bind, an_address_that_is_reused, a_port_in_time_wait, data_both_ways, an_orderly_end, a_reset_after_the_end, a_reset,
    a_send_after_a_reset, data_before_a_reset, a_close_with_data_unread, a_half_close, a_shutdown_of_reading,
    a_listener_that_is_shut_down, a_listener_closed_over_what_nobody_accepted, urgent_data, urgent_data_inline,
    a_full_buffer, wrong_addresses, options, options_of_a_listener_are_inherited, descriptors, modes, bytes_only_counted,
    what_is_left_to_read, times_of_blocking_calls,
)  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_a_simulated_socket_answers_as_linux_does(script: Callable[[Side], None]) -> None:
    with kernel() as ours:
        script(ours)
    with simulated() as theirs:
        script(theirs)
    assert theirs.notes == ours.notes
