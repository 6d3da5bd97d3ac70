"""TLS on blocking sockets: the standard library's HTTPS client and a threaded TLS server, and what SSLSocket promises."""

import hashlib
import http.client
import http.server
import random
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from synfin.sockets import patched
from synfin.sockets.tls import TlsSocket
from tests.sockets.realtime import SERVER, Beside, two_hosts
from tests.sockets.test_patching import BODY, Pages, serving

DATA = random.Random(9).randbytes(2_000_000)


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    client = ssl.create_default_context()
    authority.configure_trust(client)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("server").configure_cert(server)
    server.set_alpn_protocols(["synfin"])
    client.set_alpn_protocols(["synfin"])
    return client, server


@pytest.fixture
def both() -> Iterator[Any]:
    with two_hosts() as hosts, patched(*hosts) as driver:
        yield hosts
        assert driver.failure is None


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


def pair(contexts: Contexts, **options: Any) -> tuple[Any, Any]:
    """A client's and a server's TLS socket, connected."""
    with socket.create_server((SERVER, 0)) as listener:
        plain = socket.create_connection(listener.getsockname())
        accepted = listener.accept()[0]
    with Beside(lambda: contexts[1].wrap_socket(accepted, server_side=True, **options)) as server:
        client = contexts[0].wrap_socket(plain, server_hostname="server")
    return client, server.result


@pytest.mark.usefixtures("both")
def test_https_of_the_standard_library_with_a_threaded_server(contexts: Contexts) -> None:
    server = http.server.ThreadingHTTPServer((SERVER, 443), Pages)
    server.socket = contexts[1].wrap_socket(server.socket, server_side=True)
    with serving(server):
        connection = http.client.HTTPSConnection("server", 443, timeout=10, context=contexts[0])
        for size in (1, 65_536, len(BODY)):
            connection.request("GET", f"/{size}")
            assert connection.getresponse().read() == BODY[:size]
        connection.request("POST", "/", body=BODY)
        assert connection.getresponse().read() == hashlib.sha256(BODY).hexdigest().encode()
        connection.close()


@pytest.mark.usefixtures("both")
def test_a_wrapped_socket_is_an_ssl_socket_and_says_what_was_agreed(contexts: Contexts) -> None:
    client, server = pair(contexts)
    assert isinstance(client, ssl.SSLSocket)
    assert type(client) is TlsSocket
    assert (client.version(), client.cipher()) == (server.version(), server.cipher())
    assert (client.selected_alpn_protocol(), client.server_hostname) == ("synfin", "server")
    assert client.context is contexts[0]
    assert client.getpeercert()["subjectAltName"] == (("DNS", "server"),)
    assert client.getpeername() == server.getsockname()


@pytest.mark.usefixtures("both")
def test_two_threads_may_read_and_write_one_tls_socket_at_once(contexts: Contexts) -> None:
    def everything(sock: ssl.SSLSocket) -> bytes:
        found = bytearray()
        while len(found) < len(DATA):
            found += sock.recv(1 << 16)
        return bytes(found)

    client, server = pair(contexts)
    writers = Beside(client.sendall, DATA), Beside(server.sendall, DATA)
    with writers[0], writers[1], Beside(everything, client) as one, Beside(everything, server) as other:
        pass
    assert one.result == other.result == DATA


@pytest.mark.usefixtures("both")
def test_unwrap_says_goodbye_and_gives_the_plain_socket_back(contexts: Contexts) -> None:
    client, server = pair(contexts)
    with Beside(server.unwrap) as other:
        plain = client.unwrap()
    plain.sendall(b"in the clear")
    assert other.result.recv(100) == b"in the clear"


@pytest.mark.usefixtures("both")
def test_a_bare_end_is_the_end_of_the_stream_unless_it_must_not_be(contexts: Contexts) -> None:
    client, server = pair(contexts)
    server.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    strict, other = pair(contexts, suppress_ragged_eofs=False)
    strict.shutdown(socket.SHUT_WR)
    with pytest.raises(ssl.SSLEOFError):
        other.recv(1)


@pytest.mark.usefixtures("both")
def test_timeouts_say_what_was_late(contexts: Contexts) -> None:
    client, _ = pair(contexts)
    client.settimeout(0.05)
    before = time.monotonic()
    with pytest.raises(TimeoutError, match="The read operation timed out"):
        client.recv(1)
    assert 0.05 <= time.monotonic() - before < 1
    with pytest.raises(TimeoutError, match="The write operation timed out"):
        client.sendall(bytes(50_000_000))
    with socket.create_server((SERVER, 0)) as listener:
        silent = socket.create_connection(listener.getsockname(), timeout=0.05)
        with pytest.raises(TimeoutError, match="handshake operation timed out"):
            contexts[0].wrap_socket(silent, server_hostname="server")


@pytest.mark.usefixtures("both")
def test_a_socket_that_must_not_block_says_what_it_wants(contexts: Contexts) -> None:
    client, server = pair(contexts)
    client.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        client.recv(1)
    sent = 0
    with pytest.raises(ssl.SSLWantWriteError):
        while True:
            sent += client.send(bytes(16_384))
    assert sent > 0
    server.settimeout(10)
    with Beside(server.recv, 1 << 14):
        pass
    client.setblocking(True)
    with Beside(lambda: [server.recv(1 << 16) for _ in range(3)]):
        client.sendall(b"and goes on")


@pytest.mark.usefixtures("both")
def test_a_certificate_for_another_name_is_refused_and_the_server_learns_of_it(contexts: Contexts) -> None:
    with socket.create_server((SERVER, 0)) as listener:
        plain = socket.create_connection(listener.getsockname())
        accepted = listener.accept()[0]
    server = Beside(lambda: contexts[1].wrap_socket(accepted, server_side=True).recv(1))
    with pytest.raises(ssl.SSLError), server, pytest.raises(ssl.SSLCertVerificationError):
        contexts[0].wrap_socket(plain, server_hostname="somebody-else")


@pytest.mark.usefixtures("both")
def test_a_socket_may_be_wrapped_before_it_is_connected(contexts: Contexts) -> None:
    with socket.create_server((SERVER, 0)) as listener, contexts[1].wrap_socket(listener, server_side=True) as secure:
        with Beside(lambda: secure.accept()[0].recv(100)) as server:
            plain = socket.socket()
            plain.bind(("10.0.0.1", 0))  # now it is known whose it is
            client = contexts[0].wrap_socket(plain, server_hostname="server")
            client.connect(secure.getsockname())
            client.sendall(b"late")
        assert server.result == b"late"
