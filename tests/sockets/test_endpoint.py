"""Endpoints where Linux is no oracle: what the observer is told, IPv6 and IPv4 in one socket, options that are not there."""

import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.errors import UsageError
from synfin.sim.host import SimHost
from synfin.sim.world import World
from synfin.sockets.descriptors import FIRST, Descriptors, current_descriptors
from synfin.sockets.endpoint import READ, WRITE, Endpoint
from synfin.sockets.face import Socket
from synfin.sockets.host import current_host, speaking
from synfin.trace.events import Called

ANY4, ANY6 = bytes(4), bytes(16)


class Two:
    """A client and a server, 10 ms apart."""

    def __init__(self, config: TcpConfig | None = None) -> None:
        self.world = World(1, config=config)
        self.client: SimHost = self.world.host("client")
        self.server: SimHost = self.world.host("server")
        self.world.link(self.client, self.server, delay=0.01)

    def listen(self, family: int = socket.AF_INET, port: int = 80) -> Endpoint:
        listener = Endpoint(self.server, family)
        listener.bind((ANY4 if family == socket.AF_INET else ANY6, port))
        listener.listen()
        return listener

    def connect(self, address: bytes, port: int = 80) -> Endpoint:
        endpoint = Endpoint(self.client, socket.AF_INET if len(address) == 4 else socket.AF_INET6)
        with pytest.raises(BlockingIOError) as caught:
            endpoint.connect((address, port))
        assert caught.value.errno == errno.EINPROGRESS
        self.world.run_for(0.1)
        return endpoint

    def pair(self) -> tuple[Endpoint, Endpoint]:
        listener = self.listen()
        client = self.connect(self.server.addresses[0])
        return client, listener.accept()[0]

    def calls(self) -> list[Called]:
        assert self.world.trace is not None
        return [event for event in self.world.trace if isinstance(event, Called)]


@pytest.fixture
def two() -> Two:
    return Two()


def test_each_call_is_told_once_it_has_ended_with_how_long_it_took(two: Two) -> None:
    listener = two.listen()
    with pytest.raises(BlockingIOError):
        listener.accept()
    client = two.connect(two.server.addresses[0])
    server, _ = listener.accept()
    with pytest.raises(BlockingIOError):
        server.recv(10)
    client.send(b"hello, this is more than is told of")
    two.world.run_for(0.1)
    server.recv(10)
    client.shutdown(socket.SHUT_WR)
    server.close()
    told = [
        (event.host, event.call, event.arguments, event.result, event.error, event.blocked // 1_000_000)
        for event in two.calls()
    ]
    port = client.getsockname()[1]
    assert told == [
        ("server", "bind", "0.0.0.0:80", "", 0, 0),
        ("server", "listen", "128", "", 0, 0),
        ("client", "connect", "10.0.0.2:80", "", 0, 20),
        ("server", "accept", "", f"10.0.0.1:{port}", 0, 100),
        ("client", "send", "b'hello, this is more than'... 35 bytes", "35", 0, 0),
        ("server", "recv", "10", "10", 0, 100),
        ("client", "shutdown", "SHUT_WR", "", 0, 0),
        ("server", "close", "", "", 0, 0),
    ]


def test_calls_that_fail_are_told_with_their_errno(two: Two) -> None:
    client = two.connect(two.server.addresses[0], 81)
    with pytest.raises(ConnectionRefusedError):
        client.recv(1)
    fresh = Endpoint(two.client)
    fresh.made()
    with pytest.raises(BrokenPipeError):
        fresh.send(b"x")
    with pytest.raises(OSError, match="not connected"):
        fresh.shutdown(socket.SHUT_RD)
    told = [(event.call, event.error) for event in two.calls()]
    assert told == [
        ("connect", errno.ECONNREFUSED),
        ("recv", errno.ECONNREFUSED),
        ("socket", 0),
        ("send", errno.EPIPE),
        ("shutdown", errno.ENOTCONN),
    ]


def test_a_connect_goes_on_until_it_is_answered(two: Two) -> None:
    two.listen()
    client = Endpoint(two.client)
    for number in (errno.EINPROGRESS, errno.EALREADY):
        with pytest.raises(BlockingIOError) as caught:
            client.connect((two.server.addresses[0], 80))
        assert caught.value.errno == number
    for call in (lambda: client.recv(1), lambda: client.send(b"x")):
        with pytest.raises(BlockingIOError) as caught:
            call()
        assert caught.value.errno == errno.EAGAIN
    assert (client.ready(), client.readable(), client.writable()) == (0, False, False)
    with pytest.raises(OSError, match="not connected"):
        client.getpeername()
    two.world.run_for(0.1)
    assert client.ready() == WRITE
    assert client.getpeername() == (two.server.addresses[0], 80)


def test_a_connect_that_is_shut_down_fails(two: Two) -> None:
    two.listen()
    client = Endpoint(two.client)
    with pytest.raises(BlockingIOError):
        client.connect((two.server.addresses[0], 80))
    client.shutdown(socket.SHUT_RDWR)
    assert client.ready() == READ | WRITE
    with pytest.raises(ConnectionResetError):
        client.connect((two.server.addresses[0], 80))
    two.connect(two.server.addresses[0])


def test_a_silent_peer_ends_in_a_timeout() -> None:
    two = Two(TcpConfig(user_timeout=10_000_000_000))
    client, _ = two.pair()
    two.server.silence()
    client.send(b"hello?")
    two.world.run_for(9)
    assert client.ready() == WRITE
    two.world.run_for(2)
    assert client.ready() == READ | WRITE
    with pytest.raises(TimeoutError):
        client.recv(1)
    assert client.recv(1) == b""


def test_one_socket_listens_for_both_families(two: Two) -> None:
    listener = two.listen(socket.AF_INET6)
    two.connect(two.server.addresses[0])
    two.connect(two.server.addresses[1])
    (four, four_peer), (six, six_peer) = listener.accept(), listener.accept()
    mapped = bytes(10) + b"\xff\xff"
    assert four_peer[0] == mapped + two.client.addresses[0]
    assert four.getsockname() == (mapped + two.server.addresses[0], 80)
    assert six_peer[0] == two.client.addresses[1]
    assert six.getsockname() == (two.server.addresses[1], 80)


def test_an_ipv6_socket_connects_to_a_mapped_address_unless_it_is_for_ipv6_only(two: Two) -> None:
    two.listen()
    mapped = bytes(10) + b"\xff\xff" + two.server.addresses[0]
    client = two.connect(mapped)
    assert client.getpeername() == (mapped, 80)
    strict = Endpoint(two.client, socket.AF_INET6)
    strict.settings.v6only = True
    with pytest.raises(OSError, match="unreachable"):
        strict.connect((mapped, 80))
    with pytest.raises(OSError, match="not supported by protocol"):
        strict.connect((two.server.addresses[0], 80))


def test_a_socket_for_ipv6_only_leaves_ipv4_its_port(two: Two) -> None:
    listener = Endpoint(two.server, socket.AF_INET6)
    listener.settings.v6only = True
    listener.bind((ANY6, 80))
    listener.listen()
    two.listen(socket.AF_INET)
    with pytest.raises(OSError, match="in use"):
        two.listen(socket.AF_INET6)


def test_a_host_connects_to_itself(two: Two) -> None:
    listener = two.listen()
    client = Endpoint(two.server)
    with pytest.raises(BlockingIOError):
        client.connect((ANY4, 80))
    two.world.run_for(0.001)
    server, peer = listener.accept()
    assert peer == client.getsockname()
    client.send(b"me")
    two.world.run_for(0.001)
    assert server.recv(10) == b"me"


def test_port_0_is_refused_at_once(two: Two) -> None:
    with pytest.raises(ConnectionRefusedError):
        Endpoint(two.client).connect((two.server.addresses[0], 0))


def test_an_unknown_family_is_refused(two: Two) -> None:
    with pytest.raises(OSError, match="not supported by protocol"):
        Endpoint(two.client, socket.AF_UNIX)


def test_unknown_flags_are_refused(two: Two) -> None:
    client, _ = two.pair()
    for call in (lambda: client.recv(1, socket.MSG_ERRQUEUE), lambda: client.send(b"x", socket.MSG_CONFIRM)):
        with pytest.raises(OSError, match="not supported"):
            call()


def test_msg_more_holds_a_partial_segment_back(two: Two) -> None:
    client, server = two.pair()
    client.send(b"one ", socket.MSG_MORE)
    two.world.run_for(0.05)
    assert not server.readable()
    client.send(b"two")
    two.world.run_for(0.05)
    assert server.recv(100) == b"one two"


def test_a_closed_endpoint_knows_nothing_any_more(two: Two) -> None:
    client, server = two.pair()
    client.close()
    client.close()
    server.vanish()
    for endpoint in (client, server):
        assert (endpoint.closed, endpoint.ready(), endpoint.connection) == (True, 0, None)
        for call in (endpoint.getsockname, endpoint.accept, lambda e=endpoint: e.recv(1), lambda e=endpoint: e.send(b"")):
            with pytest.raises(OSError, match="Bad file descriptor"):
                call()


# --- options


@pytest.fixture
def client() -> Iterator[Socket]:
    two = Two()
    descriptors = Descriptors()
    token = descriptors.use()
    two.listen()
    sock = Socket(host=two.client)
    sock.setblocking(False)
    sock.connect_ex(("server", 80))
    two.world.run_for(0.1)
    yield sock
    descriptors.leave(token)


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (socket.SOL_SOCKET, socket.SO_REUSEPORT),
        (socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP),
        (socket.SOL_SOCKET, socket.SO_PRIORITY),
        (socket.SOL_SOCKET, socket.SO_SNDLOWAT),
    ],
)
def test_an_option_that_does_not_act_is_not_there(client: Socket, level: int, name: int) -> None:
    for call in (lambda: client.setsockopt(level, name, 1), lambda: client.getsockopt(level, name)):
        with pytest.raises(OSError, match="Protocol not available"):
            call()


def test_the_times_of_keep_alive_begin_as_on_linux(client: Socket) -> None:
    names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    assert [client.getsockopt(socket.IPPROTO_TCP, name) for name in names] == [7200, 75, 9]


def test_a_linger_of_some_seconds_is_not_there(client: Socket) -> None:
    with pytest.raises(OSError, match="Protocol not available"):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 5))


def test_buffer_sizes_reach_the_connection(client: Socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 5000)
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 10_000
    assert client.send(bytes(100_000)) == 5000
    with pytest.raises(BlockingIOError):
        client.send(b"x")


def test_tcp_info_is_linuxs_structure(client: Socket) -> None:
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    fields = struct.unpack("8B24I", info)
    assert len(info) == 104
    assert (fields[0], fields[5]) == (1, 5)  # ESTABLISHED; timestamps, window scale
    assert fields[8] >= 200_000  # rto, microseconds
    assert fields[10] == client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) == 1448
    assert fields[23] == 20_000  # smoothed round trip
    assert fields[26] == 10  # congestion window, segments
    assert client.getsockopt(socket.IPPROTO_TCP, 13, 16).rstrip(b"\0") == b"newreno"


# --- descriptors and hosts


def test_descriptors_count_from_two_to_the_twentieth_and_never_come_back() -> None:
    two = Two()
    descriptors = Descriptors()
    one, other = Endpoint(two.client), Endpoint(two.client)
    assert [descriptors.open(one), descriptors.open(other), descriptors.open(one)] == [FIRST, FIRST + 1, FIRST + 2]
    descriptors.close(FIRST)
    assert not one.closed
    descriptors.close(FIRST + 2)
    descriptors.close(FIRST + 2)
    assert one.closed and descriptors.get(FIRST) is None
    assert list(descriptors) == [(FIRST + 1, other)] and len(descriptors) == 1
    assert descriptors.open(one) == FIRST + 3
    with pytest.raises(OSError, match="Bad file descriptor"):
        descriptors.endpoint(FIRST)


def test_a_descriptor_outlives_its_socket_when_it_is_detached(client: Socket) -> None:
    peer = client.getpeername()
    fd = client.detach()
    assert client.fileno() == -1
    again = Socket(fileno=fd)
    assert (again.fileno(), again.getpeername(), again.family) == (fd, peer, socket.AF_INET)
    assert repr(again).startswith(f"<synfin.Socket fd={fd}, family=AF_INET, host=client, laddr=('10.0.0.1', ")
    again.close()
    assert repr(again) == "<synfin.Socket [closed] fd=-1, family=AF_INET, host=client>"


def test_a_file_made_of_a_socket_reads_and_writes(client: Socket) -> None:
    with client.makefile("rwb", buffering=0) as file:
        assert file.write(b"hello") == 5
        assert file.read(10) is None
        client.close()
        assert file.write(b"again") == 5
    with pytest.raises(OSError, match="Bad file descriptor"):
        client.send(b"x")


def test_nobody_speaks_outside_of_a_host() -> None:
    host = World().host("alone")
    assert speaking() is None
    with pytest.raises(UsageError, match="no host speaks"):
        current_host()
    with pytest.raises(UsageError, match="no driver runs"):
        current_descriptors()
    with host:
        assert speaking() is host
    assert speaking() is None
