"""Every option of a socket acts, and is seen to act in the packets on the wire."""

import errno
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.segment import ACK, KEEPALIVE_PROBE, PSH, RST, SYN
from synfin.sim.host import SimHost
from synfin.sim.world import World
from synfin.sockets.descriptors import Descriptors
from synfin.sockets.driver import ThreadDriver
from synfin.sockets.face import Socket
from synfin.trace.events import SegmentSent
from tests.sockets.realtime import connected, two_hosts
from tests.sockets.sides import outcome

SOL, TCP = socket.SOL_SOCKET, socket.IPPROTO_TCP
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Wire:
    """A client and a server, 10 ms apart, and what goes between them."""

    def __init__(self, config: TcpConfig | None = None) -> None:
        self.world = World(1, config=config)
        self.client: SimHost = self.world.host("client")
        self.server: SimHost = self.world.host("server")
        self.link = self.world.link(self.client, self.server, delay=0.01)
        self.listener = self.socket(self.server)
        self.listener.bind(("", 80))
        self.listener.listen()

    def socket(self, host: SimHost) -> Socket:
        sock = Socket(host=host)
        sock.setblocking(False)
        return sock

    def fresh(self) -> Socket:
        return self.socket(self.client)

    def connect(self, sock: Socket) -> None:
        assert sock.connect_ex(("server", 80)) == errno.EINPROGRESS
        self.world.run_for(1.0)

    def pair(self) -> tuple[Socket, Socket]:
        client = self.fresh()
        self.connect(client)
        accepted, _ = self.listener.accept()
        accepted.setblocking(False)
        return client, accepted

    def sent(self, host: str, since: float = 0.0) -> list[SegmentSent]:
        """The packets that `host` has sent from `since` seconds on."""
        assert self.world.trace is not None
        return [
            event for event in self.world.trace
            if isinstance(event, SegmentSent) and event.host == host and event.time >= since * 1e9
        ]  # fmt: skip

    def shown(self, host: str, since: float = 0.0) -> list[tuple[float, int, int]]:
        """As `sent`: the second, the flags, the bytes."""
        return [(event.time / 1e9, event.flags, event.length) for event in self.sent(host, since)]


@pytest.fixture
def wire() -> Iterator[Wire]:
    descriptors = Descriptors()
    token = descriptors.use()
    yield Wire()
    descriptors.leave(token)


def keep(sock: Socket, idle: int, interval: int, count: int) -> None:
    sock.setsockopt(SOL, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(TCP, socket.TCP_KEEPIDLE, idle)
    sock.setsockopt(TCP, socket.TCP_KEEPINTVL, interval)
    sock.setsockopt(TCP, socket.TCP_KEEPCNT, count)


def test_keepalive_probes_an_idle_peer_and_is_answered(wire: Wire) -> None:
    client, accepted = wire.pair()
    keep(client, 10, 2, 3)
    wire.world.run_for(25.0)
    probes = [(round(event.time / 1e9, 2), event.reason, event.length) for event in wire.sent("client", 5.0)]
    assert probes == [(11.0, KEEPALIVE_PROBE, 0), (21.02, KEEPALIVE_PROBE, 0)]
    assert [round(at, 2) for at, _, _ in wire.shown("server", 5.0)] == [11.01, 21.03]
    client.send(b"still here")
    wire.world.run_for(0.1)
    assert accepted.recv(100) == b"still here"


def test_keepalive_from_both_ends_goes_both_ways(wire: Wire) -> None:
    for sock in wire.pair():
        keep(sock, 10, 2, 3)
    wire.world.run_for(60.0)
    for host in ("client", "server"):
        assert KEEPALIVE_PROBE in [event.reason for event in wire.sent(host)]


def test_keepalive_finds_a_dead_peer_and_tells_etimedout(wire: Wire) -> None:
    client, accepted = wire.pair()
    keep(accepted, 10, 2, 3)
    wire.client.silence()
    wire.world.run_for(60.0)
    assert [(round(at), flags) for at, flags, _ in wire.shown("server", 5.0)] == [
        (11, ACK), (13, ACK), (15, ACK), (17, RST | ACK),
    ]  # fmt: skip
    with pytest.raises(TimeoutError) as caught:
        accepted.recv(100)
    assert caught.value.errno == errno.ETIMEDOUT
    assert client.getsockopt(SOL, socket.SO_KEEPALIVE) == 0


def test_keepalive_is_inherited_from_the_listener_even_when_it_is_set_after_listen(wire: Wire) -> None:
    keep(wire.listener, 10, 2, 3)
    _, accepted = wire.pair()
    assert [accepted.getsockopt(SOL, socket.SO_KEEPALIVE)] + [
        accepted.getsockopt(TCP, name) for name in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    ] == [1, 10, 2, 3]
    wire.world.run_for(11.0)
    assert [event.reason for event in wire.sent("server", 5.0)] == [KEEPALIVE_PROBE]


KEEPALIVE = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)


@pytest.mark.parametrize("name", KEEPALIVE)
@pytest.mark.parametrize("value", [0, -1, 1, 127, 128, 32_767, 32_768])
def test_keepalives_numbers_have_linuxs_bounds(wire: Wire, name: int, value: int) -> None:
    with socket.socket() as kernels, wire.fresh() as ours:
        assert outcome(ours.setsockopt, TCP, name, value) == outcome(kernels.setsockopt, TCP, name, value)
        assert ours.getsockopt(TCP, name) == kernels.getsockopt(TCP, name)


def test_keepalives_numbers_are_linuxs_by_default(wire: Wire) -> None:
    assert [wire.fresh().getsockopt(TCP, name) for name in KEEPALIVE] == [7200, 75, 9]


def test_a_linger_of_0_closes_by_a_reset_and_loses_what_waits(wire: Wire) -> None:
    client, accepted = wire.pair()
    client.setsockopt(SOL, socket.SO_LINGER, RESET_ON_CLOSE)
    client.send(b"lost")
    client.close()
    wire.world.run_for(1.0)
    assert [flags for _, flags, _ in wire.shown("client", 0.9)] == [PSH | ACK, RST | ACK]
    with pytest.raises(ConnectionResetError):
        for _ in range(2):
            accepted.recv(10)


def test_the_user_timeout_ends_unanswered_data_in_etimedout_at_its_time(wire: Wire) -> None:
    client, _ = wire.pair()
    client.setsockopt(TCP, socket.TCP_USER_TIMEOUT, 7_000)
    wire.server.silence()
    began = wire.world.now
    client.send(b"anyone?")
    wire.world.run_for(6.9)
    assert client.getsockopt(SOL, socket.SO_ERROR) == 0
    wire.world.run_for(0.2)
    assert client.getsockopt(SOL, socket.SO_ERROR) == errno.ETIMEDOUT
    wire.world.run_for(100.0)
    assert max(at for at, _, _ in wire.shown("client")) <= began + 7.0


def test_the_user_timeout_ends_a_connect_too(wire: Wire) -> None:
    wire.server.silence()
    client = wire.fresh()
    client.setsockopt(TCP, socket.TCP_USER_TIMEOUT, 5_000)
    client.connect_ex(("server", 80))
    wire.world.run_for(4.9)
    assert client.getsockopt(SOL, socket.SO_ERROR) == 0
    wire.world.run_for(0.2)
    assert client.getsockopt(SOL, socket.SO_ERROR) == errno.ETIMEDOUT
    assert [(round(at), flags) for at, flags, _ in wire.shown("client")] == [(0, SYN), (1, SYN), (3, SYN)]


def test_the_user_timeout_ends_keepalive_too(wire: Wire) -> None:
    client, _ = wire.pair()
    keep(client, 10, 2, 100)
    client.setsockopt(TCP, socket.TCP_USER_TIMEOUT, 15_000)
    wire.server.silence()
    wire.world.run_for(60.0)
    assert [(round(at), flags) for at, flags, _ in wire.shown("client", 5.0)] == [
        (11, ACK), (13, ACK), (15, ACK), (17, RST | ACK),
    ]  # fmt: skip
    assert client.getsockopt(SOL, socket.SO_ERROR) == errno.ETIMEDOUT


def test_maxseg_stands_on_the_syn_and_bounds_both_directions(wire: Wire) -> None:
    client = wire.fresh()
    client.setsockopt(TCP, socket.TCP_MAXSEG, 700)
    wire.connect(client)
    accepted, _ = wire.listener.accept()
    assert wire.sent("client")[0].segment.mss == 700
    client.send(bytes(5000))
    accepted.send(bytes(5000))
    wire.world.run_for(2.0)
    for host in ("client", "server"):
        assert max(length for _, _, length in wire.shown(host)) == 688  # 12 bytes are the timestamp's


def test_nodelay_lets_small_segments_go_at_once(wire: Wire) -> None:
    lengths = []
    for nodelay in (0, 1):
        client, _ = wire.pair()
        client.setsockopt(TCP, socket.TCP_NODELAY, nodelay)
        began = wire.world.now
        for _ in range(3):
            client.send(b"x")
        wire.world.run_for(1.0)
        lengths.append([length for _, _, length in wire.shown("client", began) if length])
    assert lengths == [[1, 2], [1, 1, 1]]


def test_a_send_buffer_holds_what_it_says(wire: Wire) -> None:
    client, _ = wire.pair()
    client.setsockopt(SOL, socket.SO_SNDBUF, 5000)
    assert client.send(bytes(100_000)) == 5000


def test_a_receive_buffer_is_the_window_on_the_wire(wire: Wire) -> None:
    client = wire.fresh()
    client.setsockopt(SOL, socket.SO_RCVBUF, 4000)
    wire.connect(client)
    accepted, _ = wire.listener.accept()
    assert wire.sent("client")[0].segment.window == 4000
    accepted.send(bytes(50_000))
    wire.world.run_for(1.0)
    assert len(client.recv(1 << 20)) == 4000


def test_buffers_set_on_a_listener_after_listen_are_those_of_later_connections(wire: Wire) -> None:
    wire.listener.setsockopt(SOL, socket.SO_RCVBUF, 4000)
    wire.listener.setsockopt(SOL, socket.SO_SNDBUF, 5000)
    client, accepted = wire.pair()
    assert wire.sent("server")[0].segment.window == 4000, "the SYN,ACK"
    assert [accepted.getsockopt(SOL, option) for option in (socket.SO_RCVBUF, socket.SO_SNDBUF)] == [8000, 10_000]
    assert accepted.send(bytes(50_000)) == 5000
    client.send(bytes(50_000))
    wire.world.run_for(1.0)
    assert len(accepted.recv(1 << 20)) == 4000


def test_a_listeners_buffer_may_change_between_syn_and_ack(wire: Wire) -> None:
    """Window and scale stay as the SYN,ACK has told them; the connection accepted has the new buffer all the same."""
    client = wire.fresh()
    assert client.connect_ex(("server", 80)) == errno.EINPROGRESS
    wire.world.run_for(0.015)
    wire.listener.setsockopt(SOL, socket.SO_RCVBUF, 4_000_000)
    wire.world.run_for(1.0)
    accepted, _ = wire.listener.accept()
    assert accepted.endpoint.connection is not None
    receiver = accepted.endpoint.connection.receiver
    assert (receiver.capacity, receiver.shift) == (4_000_000, 3)
    client.setsockopt(SOL, socket.SO_SNDBUF, 4_000_000)
    client.send(bytes(1_000_000))
    wire.world.run_for(3.0)
    assert accepted.endpoint.connection.readable() == 1_000_000
    assert max(event.segment.window for event in wire.sent("server")) == 65_535, "what the field can say, times 8"


def test_maxseg_on_a_connected_socket_bounds_what_it_sends_from_then_on(wire: Wire) -> None:
    client, accepted = wire.pair()
    client.setsockopt(TCP, socket.TCP_MAXSEG, 700)
    began = wire.world.now
    client.send(bytes(2000))
    accepted.send(bytes(2000))
    wire.world.run_for(1.0)
    assert [event.length for event in wire.sent("client", began) if event.length] == [688, 688, 624]
    assert max(event.length for event in wire.sent("server", began)) == 1448, "the peer was told in the SYN"
    assert client.getsockopt(TCP, socket.TCP_MAXSEG) == 688
    client.setsockopt(TCP, socket.TCP_MAXSEG, 1400)
    assert client.getsockopt(TCP, socket.TCP_MAXSEG) == 688, "it can become less only"


def test_maxseg_on_a_listener_is_that_of_later_connections(wire: Wire) -> None:
    wire.listener.setsockopt(TCP, socket.TCP_MAXSEG, 700)
    _, accepted = wire.pair()
    assert wire.sent("server")[0].segment.mss == 700
    assert accepted.getsockopt(TCP, socket.TCP_MAXSEG) == 688


def test_a_maxseg_of_0_takes_it_back(wire: Wire) -> None:
    client = wire.fresh()
    client.setsockopt(TCP, socket.TCP_MAXSEG, 700)
    client.setsockopt(TCP, socket.TCP_MAXSEG, 0)
    wire.connect(client)
    assert wire.sent("client")[0].segment.mss == 1460


@pytest.mark.parametrize(("level", "option"), [
    (socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IP, socket.IP_TOS), (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS),
])  # fmt: skip
def test_an_option_that_does_not_act_is_not_there(wire: Wire, level: int, option: int) -> None:
    for sock in (*wire.pair(), wire.listener, wire.fresh()):
        assert outcome(sock.setsockopt, level, option, 5) == "ENOPROTOOPT"
        assert outcome(sock.getsockopt, level, option) == "ENOPROTOOPT"


def test_reuseaddr_takes_a_port_whose_connections_are_in_time_wait(wire: Wire) -> None:
    client, accepted = wire.pair()
    accepted.close()
    wire.world.run_for(1.0)
    client.close()
    wire.world.run_for(1.0)
    wire.listener.close()
    again = wire.socket(wire.server)
    with pytest.raises(OSError, match="Address already in use"):
        again.bind(("", 80))
    again.setsockopt(SOL, socket.SO_REUSEADDR, 1)
    again.bind(("", 80))
    again.listen()
    wire.connect(wire.fresh())
    assert again.accept()


def test_so_error_tells_once_what_befell_a_connection(wire: Wire) -> None:
    client, accepted = wire.pair()
    accepted.setsockopt(SOL, socket.SO_LINGER, RESET_ON_CLOSE)
    accepted.close()
    wire.world.run_for(1.0)
    assert client.getsockopt(SOL, socket.SO_ERROR) == errno.ECONNRESET
    assert client.getsockopt(SOL, socket.SO_ERROR) == 0


def test_tcp_info_follows_the_connection(wire: Wire) -> None:
    client, _ = wire.pair()
    client.send(bytes(20_000))
    (*head,) = struct.unpack("8B24I", client.getsockopt(TCP, socket.TCP_INFO, 104))
    assert head[0] == 1
    assert head[6] == 3 | 3 << 4  # window scales: 262,144 bytes
    assert head[12] == 10  # tcpi_unacked: the initial window
    assert head[21] == 1500  # tcpi_pmtu
    assert head[26] == 10  # tcpi_snd_cwnd


def test_tcp_info_counts_bytes_and_segments_where_linux_has_them(wire: Wire) -> None:
    """At the offsets of struct tcp_info, linux/tcp.h."""
    client, accepted = wire.pair()
    client.send(bytes(20_000))
    accepted.send(bytes(100))
    wire.world.run_for(1.0)
    assert len(accepted.recv(1 << 20)) == 20_000
    here, there = (sock.getsockopt(TCP, socket.TCP_INFO, 512) for sock in (client, accepted))
    assert len(here) == 240
    pieces = -(-20_000 // 1448)
    acked, received = struct.unpack_from("=2Q", here, 120)
    assert (acked, received) == (20_001, 100)
    assert struct.unpack_from("=2Q", there, 120) == (100, 20_000)
    assert struct.unpack_from("=2I", here, 152) == (1, pieces), "data segments in and out"
    assert struct.unpack_from("=2I", there, 152) == (pieces, 1)
    assert struct.unpack_from("=2Q", here, 200) == (20_000, 0), "bytes sent and retransmitted"
    (sent_here, heard_here), (sent_there, heard_there) = (struct.unpack_from("=2I", info, 136) for info in (here, there))
    assert sent_here == len(wire.sent("client")) == heard_there
    assert sent_there == len(wire.sent("server")) - 1 == heard_here - 1, "the SYN,ACK is the listener's"
    last = max(event.time for event in wire.sent("client") if event.length)
    since = wire.server.now() - last
    assert struct.unpack_from("=I", here, 44) == (since // 1_000_000,), "ms since data was sent"
    assert struct.unpack_from("=I", there, 52) == (since // 1_000_000 - 10,), "ms since data came"


# --- SO_LINGER with a time, in blocking mode


def test_a_socket_that_does_not_block_lingers_too() -> None:
    """As on Linux: inet_release looks at SO_LINGER, not at O_NONBLOCK."""
    with two_hosts() as hosts, ThreadDriver(*hosts):
        mine, theirs = connected(*hosts)
        mine.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 5))
        mine.setblocking(False)
        assert mine.send(bytes(100_000)) == 100_000
        connection = mine.endpoint.connection
        assert connection is not None
        mine.close()
        assert connection.sender.fin_acked
        theirs.close()


def test_a_linger_of_some_seconds_makes_close_wait_for_the_last_ack() -> None:
    with two_hosts() as hosts, ThreadDriver(*hosts):
        mine, theirs = connected(*hosts)
        mine.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 5))
        assert struct.unpack("ii", mine.getsockopt(SOL, socket.SO_LINGER, 8)) == (1, 5)
        mine.sendall(bytes(100_000))
        connection = mine.endpoint.connection
        assert connection is not None
        mine.close()
        assert connection.unacked() == 0
        assert connection.sender.fin_acked
        theirs.close()


def test_a_linger_ends_when_its_time_is_over_though_the_peer_takes_nothing() -> None:
    with two_hosts() as hosts, ThreadDriver(*hosts, linger=0.1):
        mine, theirs = connected(*hosts)
        mine.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 1))
        mine.setblocking(False)
        while True:  # more than the peer has room for
            try:
                mine.send(bytes(100_000))
            except BlockingIOError:
                break
            time.sleep(0.05)
        before = time.monotonic()
        mine.close()
        assert 0.9 <= time.monotonic() - before < 3.0
        theirs.close()
