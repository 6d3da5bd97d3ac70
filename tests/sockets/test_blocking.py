"""Blocking calls from threads in real time: what waits, what ends a wait, and that nothing is left behind."""

import errno
import hashlib
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from synfin.aio.realtime import RealHost
from synfin.engine.errors import UsageError
from synfin.sockets.driver import ThreadDriver
from synfin.sockets.face import Socket
from tests.sockets.realtime import SERVER, Beside, connected, two_hosts

DATA = random.Random(3).randbytes(3_000_000)


@pytest.fixture
def hosts() -> Iterator[tuple[RealHost, RealHost]]:
    with two_hosts() as (client, server), ThreadDriver(client, server) as driver:
        yield client, server
        assert driver.failure is None


Hosts = tuple[RealHost, RealHost]


def test_recv_waits_until_data_comes(hosts: Hosts) -> None:
    mine, theirs = connected(*hosts)
    with Beside(theirs.recv, 100) as reader:
        time.sleep(0.02)
        assert reader.result is None
        mine.send(b"at last")
    assert reader.result == b"at last"


def test_accept_waits_until_somebody_connects(hosts: Hosts) -> None:
    listener = Socket(host=hosts[1])
    listener.bind((SERVER, 80))
    listener.listen()
    with Beside(listener.accept) as acceptor, Socket(host=hosts[0]) as client:
        time.sleep(0.02)
        client.connect((SERVER, 80))
        name = client.getsockname()
        assert client.getpeername() == (SERVER, 80)
    assert acceptor.result[1] == name


def test_all_bytes_arrive_in_both_directions_at_once_from_four_threads(hosts: Hosts) -> None:
    def everything(sock: Socket) -> str:
        digest = hashlib.sha256()
        while data := sock.recv(1 << 16):
            digest.update(data)
        return digest.hexdigest()

    def give(sock: Socket) -> None:
        sock.sendall(DATA)
        sock.shutdown(socket.SHUT_WR)

    mine, theirs = connected(*hosts)
    with Beside(give, mine), Beside(give, theirs), Beside(everything, mine) as one, Beside(everything, theirs) as other:
        pass
    assert one.result == other.result == hashlib.sha256(DATA).hexdigest()


def test_send_in_blocking_mode_takes_everything(hosts: Hosts) -> None:
    mine, theirs = connected(*hosts)
    with Beside(theirs.recv, len(DATA), socket.MSG_WAITALL) as reader:
        assert mine.send(DATA) == len(DATA)
    assert reader.result == DATA


def test_a_timeout_ends_a_wait_at_its_time(hosts: Hosts) -> None:
    mine, _ = connected(*hosts)
    mine.settimeout(0.05)
    before = time.monotonic()
    with pytest.raises(TimeoutError, match=r"^timed out$"):
        mine.recv(1)
    assert 0.05 <= time.monotonic() - before < 0.5


def test_the_timeout_of_sendall_is_for_all_of_it(hosts: Hosts) -> None:
    mine, _ = connected(*hosts)
    mine.settimeout(0.05)
    before = time.monotonic()
    with pytest.raises(TimeoutError):
        mine.sendall(bytes(50_000_000))  # nobody reads
    assert 0.05 <= time.monotonic() - before < 1


def test_a_socket_that_must_not_block_answers_at_once(hosts: Hosts) -> None:
    mine, _ = connected(*hosts)
    mine.setblocking(False)
    with pytest.raises(BlockingIOError):
        mine.recv(1)
    with pytest.raises(BlockingIOError) as caught, Socket(host=hosts[0]) as other:
        other.setblocking(False)
        other.connect((SERVER, 80))
    assert caught.value.errno == errno.EINPROGRESS
    mine.setblocking(True)
    with pytest.raises(BlockingIOError):
        mine.recv(1, socket.MSG_DONTWAIT)


def test_a_port_without_a_server_refuses(hosts: Hosts) -> None:
    with Socket(host=hosts[0]) as sock, pytest.raises(ConnectionRefusedError):
        sock.connect((SERVER, 9))
    with Socket(host=hosts[0]) as sock:
        assert sock.connect_ex((SERVER, 9)) == errno.ECONNREFUSED


def test_connect_to_nobody_times_out(hosts: Hosts) -> None:
    with Socket(host=hosts[0]) as sock:
        sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            sock.connect(("10.0.0.9", 80))
    with Socket(host=hosts[0]) as sock:
        sock.settimeout(0.05)
        assert sock.connect_ex(("10.0.0.9", 80)) == errno.EAGAIN  # as the kernel's socket


def test_the_end_of_the_stream_is_read_as_nothing(hosts: Hosts) -> None:
    mine, theirs = connected(*hosts)
    with Beside(mine.recv, 1) as reader:
        time.sleep(0.02)
        theirs.shutdown(socket.SHUT_WR)
    assert reader.result == b""
    mine.sendall(b"half open")
    assert theirs.recv(100) == b"half open"


def test_a_reset_is_raised_in_the_thread_that_waits(hosts: Hosts) -> None:
    mine, theirs = connected(*hosts)
    mine.send(b"unread")
    while not theirs.endpoint.readable():
        time.sleep(0.001)
    with pytest.raises(ConnectionResetError), Beside(mine.recv, 1):
        time.sleep(0.02)
        theirs.close()


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_RDWR])
def test_shutdown_ends_the_wait_of_another_thread(hosts: Hosts, how: int) -> None:
    mine, theirs = connected(*hosts)
    with Beside(mine.recv, 1) as reader:
        time.sleep(0.02)
        mine.shutdown(how)
    assert reader.result == b""
    if how == socket.SHUT_RDWR:
        assert theirs.recv(1) == b""
        with pytest.raises(BrokenPipeError):
            mine.send(b"too late")


def test_shutdown_of_a_listener_ends_accept(hosts: Hosts) -> None:
    with Socket(host=hosts[1]) as listener:
        listener.bind((SERVER, 80))
        listener.listen()
        with pytest.raises(OSError, match="Invalid argument"), Beside(listener.accept):
            time.sleep(0.02)
            listener.shutdown(socket.SHUT_RDWR)
        listener.listen()
        listener.settimeout(0.02)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_closing_a_socket_ends_the_wait_of_another_thread(hosts: Hosts) -> None:
    mine, _ = connected(*hosts)
    with pytest.raises(OSError, match="Bad file descriptor"), Beside(mine.recv, 1):
        time.sleep(0.02)
        mine.close()


def test_two_threads_may_accept_at_one_listener(hosts: Hosts) -> None:
    listener = Socket(host=hosts[1])
    listener.bind((SERVER, 80))
    listener.listen()
    with Beside(listener.accept) as one, Beside(listener.accept) as other:
        time.sleep(0.02)
        clients = [Socket(host=hosts[0]) for _ in range(2)]
        for client in clients:
            client.connect((SERVER, 80))
    assert {one.result[1], other.result[1]} == {client.getsockname() for client in clients}


def test_files_made_of_a_socket_read_lines_and_write(hosts: Hosts) -> None:
    mine, theirs = connected(*hosts)
    with theirs.makefile("rb") as lines, mine.makefile("w", encoding="utf-8") as text:
        text.write("eins\nzwei\n")
        text.flush()
        assert [lines.readline(), lines.readline()] == [b"eins\n", b"zwei\n"]
    mine.settimeout(0.02)
    with mine.makefile("rb") as file, pytest.raises(TimeoutError):
        file.read(1)


def test_a_second_descriptor_keeps_the_connection(hosts: Hosts) -> None:
    mine, theirs = connected(*hosts)
    twin = mine.dup()
    mine.close()
    twin.sendall(b"still here")
    assert theirs.recv(100) == b"still here"


def test_files_are_sent_by_reading_them(hosts: Hosts, tmp_path: pytest.TempPathFactory) -> None:
    path = tmp_path / "file"  # type: ignore[operator]
    path.write_bytes(DATA)
    mine, theirs = connected(*hosts)
    with Beside(theirs.recv, len(DATA), socket.MSG_WAITALL) as reader, path.open("rb") as file:
        assert mine.sendfile(file) == len(DATA)
    assert reader.result == DATA


def test_a_socket_that_its_program_forgets_is_closed(hosts: Hosts) -> None:
    mine, theirs = connected(*hosts)
    with pytest.warns(ResourceWarning, match="unclosed <synfin.Socket"):
        del mine
    theirs.settimeout(10)
    assert theirs.recv(1) == b""


def test_ctrl_c_ends_a_wait_of_the_main_thread(hosts: Hosts) -> None:
    mine, theirs = connected(*hosts)
    interrupt = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        mine.recv(1)
    theirs.sendall(b"and the lock is free")
    assert mine.recv(100) == b"and the lock is free"


def test_where_no_driver_runs_a_call_that_would_block_says_what_is_missing() -> None:
    with two_hosts() as (client, server):
        with ThreadDriver(client, server) as driver:
            pass
        with pytest.raises(UsageError, match=r"connect would block, and no driver lets it wait here: use threads"):
            Socket(host=client, descriptors=driver.descriptors).connect((SERVER, 80))


def test_the_end_closes_what_was_left_open_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with two_hosts() as (client, server):
        with ThreadDriver(client, server):
            mine, theirs = connected(client, server)
            waiting = Beside(theirs.recv, 1)
            waiting.__enter__()
        with pytest.raises(OSError, match="Bad file descriptor"):
            waiting.__exit__(None)
        assert mine.endpoint.closed
        assert (client.waits, client.descriptors) == (None, None)
        with ThreadDriver(client, server):  # and they may be served again
            mine, theirs = connected(client, server)
            mine.sendall(b"again")
            assert theirs.recv(100) == b"again"
    assert threading.active_count() == before


def test_an_exception_leaves_nothing_behind_either() -> None:
    before = threading.active_count()
    with two_hosts() as (client, server), pytest.raises(LookupError), ThreadDriver(client, server):
        connected(client, server)
        raise LookupError
    assert threading.active_count() == before


def test_a_host_is_served_by_one_driver_at_a_time() -> None:
    with two_hosts() as (client, server), ThreadDriver(client):
        with pytest.raises(UsageError, match="served by a loop already"):
            ThreadDriver(server, client).start()
        with ThreadDriver(server):  # it was let go
            pass
