"""Unmodified programs with blocking sockets, through `synfin.sockets.patched`: whose socket is whose, and the standard
library's servers and clients."""

import asyncio
import hashlib
import http.client
import http.server
import random
import select
import selectors
import socket
import socketserver
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import synfin.sockets
from synfin.engine.errors import UsageError
from synfin.sockets import face as sockets_module
from synfin.sockets import patched
from synfin.sockets.descriptors import FIRST
from synfin.sockets.face import Socket
from tests.sockets.realtime import CLIENT, SERVER, SERVER6, Beside, two_hosts

BODY = random.Random(5).randbytes(1_000_000)


class Pages(http.server.BaseHTTPRequestHandler):
    """GET /N gives N bytes; POST gives the digest of what came."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(BODY[: int(self.path[1:])])

    def do_POST(self) -> None:
        self.answer(hashlib.sha256(self.rfile.read(int(self.headers["Content-Length"]))).hexdigest().encode())

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    with server, Beside(server.serve_forever, 0.01):
        try:
            yield
        finally:
            server.shutdown()


@pytest.fixture
def both() -> Iterator[Any]:
    with two_hosts() as hosts, patched(*hosts) as driver:
        yield hosts
        assert driver.failure is None


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("name", ["server", SERVER, f"[{SERVER6}]"])
def test_http_server_and_http_client_of_the_standard_library(name: str) -> None:
    class Server6(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6

    kind, address = (Server6, SERVER6) if name.startswith("[") else (http.server.ThreadingHTTPServer, SERVER)
    with serving(kind((address, 8000), Pages)):
        connection = http.client.HTTPConnection(name.strip("[]"), 8000, timeout=10)
        for size in (1, 65_536, len(BODY)):  # over one connection
            connection.request("GET", f"/{size}")
            assert connection.getresponse().read() == BODY[:size]
        connection.request("POST", "/", body=BODY)
        assert connection.getresponse().read() == hashlib.sha256(BODY).hexdigest().encode()
        connection.close()
        with urllib.request.urlopen(f"http://{name}:8000/100", timeout=10) as answer:
            assert answer.read() == BODY[:100]


@pytest.mark.usefixtures("both")
def test_a_threading_tcp_server_serves_many_at_once() -> None:
    class Echo(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write(line)

    def talk(number: int) -> bytes:
        with socket.create_connection((SERVER, 7), timeout=10) as sock, sock.makefile("rwb") as file:
            meeting.wait(10)  # all are connected at once
            file.write(b"line %d\n" % number)
            file.flush()
            return file.readline()

    meeting = threading.Barrier(20)
    with serving(socketserver.ThreadingTCPServer((SERVER, 7), Echo)):
        clients = [Beside(talk, number).__enter__() for number in range(20)]
        for number, client in enumerate(clients):
            client.__exit__(None)
            assert client.result == b"line %d\n" % number


def test_a_socket_becomes_a_hosts_with_its_first_address(both: Any) -> None:
    with socket.socket() as bound, socket.socket() as connecting, socket.socket() as kernels:
        assert isinstance(bound, socket.socket)
        for sock in (bound, connecting, kernels):
            assert type(sock) is not Socket
            sock.settimeout(5)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((SERVER, 80))
        bound.listen()
        connecting.connect((SERVER, 80))
        kernels.bind(("127.0.0.1", 0))
        assert (type(bound), type(connecting)) == (Socket, Socket)
        assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
        assert (bound.gettimeout(), connecting.gettimeout(), kernels.gettimeout()) == (5, 5, 5)
        assert (connecting.getsockname()[0], connecting.fileno() >= FIRST) == (CLIENT, True)
        assert (kernels.getsockname()[0], kernels.fileno() < FIRST) == ("127.0.0.1", True)


@pytest.mark.usefixtures("both")
def test_all_others_are_left_alone() -> None:
    one, other = socket.socketpair()
    with one, other, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        one.sendall(b"through the kernel")
        assert other.recv(100) == b"through the kernel"
        assert type(datagrams) is sockets_module.REAL  # a name of this module would be replaced too
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        client.sendall(b"through the kernel")
        assert accepted.recv(100) == b"through the kernel"
        accepted.close()
    assert socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)[0][4] == ("127.0.0.1", 80)


def test_in_the_block_of_a_host_all_sockets_are_its_also_in_threads_begun_there(both: Any) -> None:
    with both[0]:
        with socket.socket() as mine, Beside(socket.socket) as beside:
            assert type(mine) is Socket
        assert type(beside.result) is Socket
        assert beside.result.endpoint.host is both[0]


def test_asyncio_works_in_a_thread_where_a_host_speaks(both: Any) -> None:
    async def talk() -> bytes:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(echo, SERVER, 7)
        async with server:
            with both[0]:
                reader, writer = await asyncio.open_connection("server", 7)
            writer.write(b"line\n")
            line = await reader.readline()
            writer.close()
            return line

    with both[1]:
        assert asyncio.run(talk()) == b"line\n"


@pytest.mark.usefixtures("both")
def test_names_that_hosts_know_are_theirs() -> None:
    assert socket.gethostbyname("server") == SERVER
    assert socket.gethostbyname_ex("server") == ("server", [], [SERVER])
    assert socket.getfqdn(SERVER) == "server"
    assert socket.getnameinfo((SERVER, 80), socket.NI_NUMERICSERV) == ("server", "80")
    assert [entry[4][0] for entry in socket.getaddrinfo("client", 80, socket.AF_INET, socket.SOCK_STREAM)] == [CLIENT]
    with pytest.raises(socket.herror):
        socket.gethostbyaddr("10.0.0.77")  # on the hosts' link: nobody outside is asked


def test_networks_say_what_leads_through_a_host() -> None:
    with two_hosts() as (client, server), patched(client, server, networks=["192.0.2.0/24"]), socket.socket() as sock:
        sock.settimeout(0.02)
        with pytest.raises(TimeoutError):
            sock.connect(("192.0.2.1", 80))
        assert type(sock) is Socket


def test_everything_is_put_back() -> None:
    def present() -> list[Any]:
        return [
            socket.socket, socket.getaddrinfo, select.select, select.poll, select.epoll, ssl.SSLContext.wrap_socket,
            threading.Thread.start, vars(selectors.PollSelector)["_selector_cls"],
        ]  # fmt: skip

    before, threads = present(), threading.active_count()
    with two_hosts() as hosts, pytest.raises(LookupError), patched(*hosts):
        assert present() != before
        raise LookupError
    assert (present(), threading.active_count()) == (before, threads)


def test_sockets_are_replaced_once_at_a_time(both: Any) -> None:
    with pytest.raises(UsageError, match="give all hosts to one patched"), patched(*both):
        pass
    assert synfin.sockets.Socket is Socket
    assert synfin.sockets.socket is Socket


# --- select, poll, epoll


def descriptors_of_both_kinds() -> tuple[Any, Any, Any, Any]:
    """A virtual socket and its peer, a real one and its peer."""
    with socket.create_server((SERVER, 0)) as listener:
        mine = socket.create_connection(listener.getsockname())
        theirs = listener.accept()[0]
    return mine, theirs, *socket.socketpair()


@pytest.mark.usefixtures("both")
def test_select_answers_for_both_kinds_and_waits_for_either() -> None:
    mine, theirs, real, peer = descriptors_of_both_kinds()
    with real, peer:
        assert select.select([mine, real], [], [], 0) == ([], [], [])
        assert select.select([mine, real], [mine, real], [], 5) == ([], [real, mine], [])
        with Beside(select.select, [mine, real], [], [], 10) as waiting:
            theirs.sendall(b"virtual")
        assert waiting.result == ([mine], [], [])
        mine.recv(100)
        with Beside(select.select, [mine, real], [], [], 10) as waiting:
            peer.sendall(b"real")
        assert waiting.result == ([real], [], [])
        with pytest.raises(OSError, match="Bad file descriptor"):
            select.select([FIRST + 1000], [], [], 0)


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("kind", ["poll", "epoll"])
def test_poll_and_epoll_answer_for_both_kinds_and_wait_for_either(kind: str) -> None:
    mine, theirs, real, peer = descriptors_of_both_kinds()
    polling: Any = getattr(select, kind)()
    second = 1000 if kind == "poll" else 1
    with real, peer:
        for sock in (mine, real):
            polling.register(sock, select.POLLIN)
        assert polling.poll(0) == []
        assert polling.poll(0.02 * second) == []
        with Beside(polling.poll, 10 * second) as waiting:
            theirs.sendall(b"virtual")
        assert waiting.result == [(mine.fileno(), select.POLLIN)]
        assert polling.poll(0) == [(mine.fileno(), select.POLLIN)]  # a level
        mine.recv(100)
        with Beside(polling.poll, 10 * second) as waiting:
            peer.sendall(b"real")
        assert waiting.result == [(real.fileno(), select.POLLIN)]
        polling.unregister(real)
        polling.modify(mine, select.POLLOUT)
        assert polling.poll(second) == [(mine.fileno(), select.POLLOUT)]
        theirs.close()
        polling.modify(mine, select.POLLIN | select.POLLRDHUP)
        assert polling.poll(second) == [(mine.fileno(), select.POLLIN | select.POLLRDHUP)]


@pytest.mark.usefixtures("both")
def test_epoll_tells_an_edge_once_and_a_one_shot_once_for_all() -> None:
    mine, theirs, *real = descriptors_of_both_kinds()
    with real[0], real[1], select.epoll() as edge, select.epoll() as once:
        edge.register(mine, select.EPOLLIN | select.EPOLLET)
        once.register(mine, select.EPOLLIN | select.EPOLLONESHOT)
        for _ in range(2):
            theirs.sendall(b"more")
            assert edge.poll(5) == [(mine.fileno(), select.EPOLLIN)]
            assert edge.poll(0) == []  # though nothing was read
        assert once.poll(5) == [(mine.fileno(), select.EPOLLIN)]
        assert once.poll(0) == []
        once.modify(mine, select.EPOLLIN | select.EPOLLONESHOT)
        assert once.poll(0) == [(mine.fileno(), select.EPOLLIN)]
        mine.close()
        assert edge.poll(0) == []  # forgotten
        with pytest.raises(FileNotFoundError):
            edge.unregister(mine.fileno() if mine.fileno() >= 0 else FIRST)


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("kind", ["SelectSelector", "PollSelector", "EpollSelector", "DefaultSelector"])
def test_selectors_answer_for_both_kinds(kind: str) -> None:
    mine, theirs, real, peer = descriptors_of_both_kinds()
    with real, peer, getattr(selectors, kind)() as selector:
        selector.register(mine, selectors.EVENT_READ, "virtual")
        selector.register(real, selectors.EVENT_READ, "real")
        assert selector.select(0.01) == []
        with Beside(selector.select, 10) as waiting:
            theirs.sendall(b"virtual")
        assert [(key.data, mask) for key, mask in waiting.result] == [("virtual", selectors.EVENT_READ)]
        peer.sendall(b"real")
        found = {key.data for key, _ in selector.select(10)}
        assert found == {"virtual", "real"}
