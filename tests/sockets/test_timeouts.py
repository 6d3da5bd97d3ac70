"""SO_RCVTIMEO and SO_SNDTIMEO in virtual time: how long a call in blocking mode waits, and what it comes to."""

import errno
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from synfin import sim
from synfin.sim.world import World

SOL = socket.SOL_SOCKET


def limited(sock: socket.socket, option: int, seconds: float) -> None:
    sock.setsockopt(SOL, option, struct.pack("qq", int(seconds), round(seconds % 1 * 1e6)))


def refused(call: Callable[..., Any], *arguments: Any) -> tuple[str, float]:
    """The errno of a call that fails, and how long it took."""
    begun = time.monotonic()
    with pytest.raises(BlockingIOError) as caught:
        call(*arguments)
    return errno.errorcode[caught.value.errno or 0], round(time.monotonic() - begun, 6)


def pair(world: World) -> tuple[socket.socket, socket.socket]:
    """A connection over a link of 1 ms; both hosts have small buffers."""
    client, server = world.host("client"), world.host("server")
    world.link(client, server, delay=0.001)
    with server:
        listener = socket.create_server(("0.0.0.0", 80))
        listener.setsockopt(SOL, socket.SO_RCVBUF, 4000)
    with client:
        one = socket.socket()
        one.setsockopt(SOL, socket.SO_SNDBUF, 4000)
        one.connect(("server", 80))
    with server:
        two, _ = listener.accept()
        listener.close()
    return one, two


def run(main: Callable[[World], Any]) -> Any:
    return sim.run_blocking(main, seed=1)


def test_a_read_gives_up_when_its_time_is_over() -> None:
    def main(world: World) -> list[Any]:
        one, two = pair(world)
        limited(two, socket.SO_RCVTIMEO, 1.5)
        notes: list[Any] = [refused(two.recv, 10), refused(two.recv_into, bytearray(3)), refused(two.recvmsg, 3)]
        one.send(b"late")
        notes += [two.recv(10), refused(two.recv, 10, socket.MSG_DONTWAIT)]
        two.settimeout(0.25)
        with pytest.raises(TimeoutError):
            two.recv(1)  # the standard library's own limit: the socket does not block, the option means nothing
        two.settimeout(None)
        limited(two, socket.SO_RCVTIMEO, -1)
        return [*notes, refused(two.recv, 10)]

    waited = ("EAGAIN", 1.5)
    assert run(main) == [waited, waited, waited, b"late", ("EAGAIN", 0.0), ("EAGAIN", 0.0)]


def test_what_a_read_for_all_has_when_its_time_is_over_counts() -> None:
    def main(world: World) -> bytes:
        one, two = pair(world)
        limited(two, socket.SO_RCVTIMEO, 1)
        one.send(b"half")
        return two.recv(8, socket.MSG_WAITALL)

    assert run(main) == b"half"


def test_a_write_gives_up_with_what_it_has_sent() -> None:
    def main(world: World) -> list[Any]:
        one, _ = pair(world)
        limited(one, socket.SO_SNDTIMEO, 0.5)
        begun = time.monotonic()
        sent = one.send(bytes(100_000))
        notes: list[Any] = [0 < sent < 100_000, round(time.monotonic() - begun, 6)]
        with pytest.raises(BlockingIOError):
            while True:
                one.send(b"x", socket.MSG_DONTWAIT)  # into what is not worth waking for
        notes += [refused(one.send, b"x"), refused(one.sendall, b"x")]
        limited(one, socket.SO_SNDTIMEO, -1)
        return [*notes, refused(one.send, b"x")]

    assert run(main) == [True, 0.5, ("EAGAIN", 0.5), ("EAGAIN", 0.5), ("EAGAIN", 0.0)]


def test_all_of_a_long_write_goes_when_each_part_is_in_time() -> None:
    def main(world: World) -> int:
        one, two = pair(world)
        limited(one, socket.SO_SNDTIMEO, 0.5)
        got = bytearray()

        def reader() -> None:
            while len(got) < 100_000:
                time.sleep(0.01)
                got.extend(two.recv(1000))

        thread = threading.Thread(target=reader)
        thread.start()
        one.sendall(bytes(100_000))  # takes a second
        thread.join()
        return len(got)

    assert run(main) == 100_000


def test_a_connect_and_an_accept_give_up_too() -> None:
    def main(world: World) -> list[Any]:
        client, server = world.host("client"), world.host("server")
        link = world.link(client, server, delay=0.001)
        link.cut()
        with client:
            sock = socket.socket()
            limited(sock, socket.SO_SNDTIMEO, 2)
            notes = [refused(sock.connect, ("server", 80))]
            sock.close()
        with server:
            listener = socket.create_server(("0.0.0.0", 80))
            limited(listener, socket.SO_RCVTIMEO, 3)
            notes.append(refused(listener.accept))
        return notes

    assert run(main) == [("EINPROGRESS", 2.0), ("EAGAIN", 3.0)]


def test_an_accepted_socket_inherits_them() -> None:
    def main(world: World) -> bytes:
        client, server = world.host("client"), world.host("server")
        world.link(client, server, delay=0.001)
        with server:
            listener = socket.create_server(("0.0.0.0", 80))
            limited(listener, socket.SO_RCVTIMEO, 3)
        with client:
            sock = socket.create_connection(("server", 80))
        with server:
            made, _ = listener.accept()
            assert sock.fileno() != made.fileno()
            return made.getsockopt(SOL, socket.SO_RCVTIMEO, 16)

    assert run(main) == struct.pack("qq", 3, 0)
