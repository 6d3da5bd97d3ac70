"""What ICMP has said of a connection, as SO_ERROR tells it: Linux's errnos (icmp_err_convert)."""

import errno
import socket
from collections.abc import Iterator

import pytest

from synfin.engine.config import TcpConfig
from synfin.sim.host import SimHost
from synfin.sim.world import World
from synfin.sockets.descriptors import Descriptors
from synfin.sockets.face import Socket
from synfin.trace.events import SegmentSent
from synfin.wire.datagram import build_datagram
from synfin.wire.icmp import ICMP4, UNREACHABLE4, build_icmp

SOL, TCP = socket.SOL_SOCKET, socket.IPPROTO_TCP


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    made = Descriptors()
    token = made.use()
    yield
    made.leave(token)


class Path:
    """A client in SYN-SENT towards a host that says nothing; what is behind the router speaks by ICMP."""

    def __init__(self, config: TcpConfig | None = None) -> None:
        self.world = World(1, config=config)
        self.client: SimHost = self.world.host("client")
        self.router: SimHost = self.world.host("router")
        self.world.link(self.client, self.router, delay=0.01)
        self.router.divert(lambda packet: None)
        self.sock = Socket(host=self.client)
        self.sock.setblocking(False)

    def connect(self, user_timeout: int = 0) -> None:
        if user_timeout:
            self.sock.setsockopt(TCP, socket.TCP_USER_TIMEOUT, user_timeout)
        assert self.sock.connect_ex(("router", 80)) == errno.EINPROGRESS
        self.world.run_for(0.1)

    def unreachable(self, code: int) -> None:
        assert self.world.trace is not None
        sent = [event for event in self.world.trace if isinstance(event, SegmentSent) and event.host == "client"]
        source, destination = self.router.addresses[0], self.client.addresses[0]
        message = build_icmp(source, destination, UNREACHABLE4, code, 0, sent[-1].data[:28])
        for packet in build_datagram(source, destination, ICMP4, message, mtu=1500, identification=1):
            self.router.inject_packet(packet)
        self.world.run_for(0.1)

    def error(self) -> int:
        return self.sock.getsockopt(SOL, socket.SO_ERROR)


@pytest.mark.parametrize(("code", "error"), [
    (2, errno.ENOPROTOOPT), (3, errno.ECONNREFUSED), (9, errno.EHOSTUNREACH), (13, errno.EHOSTUNREACH),
])  # fmt: skip
def test_a_hard_error_fails_a_connect_at_once(code: int, error: int) -> None:
    path = Path()
    path.connect()
    path.unreachable(code)
    assert path.error() == error


@pytest.mark.parametrize(("code", "error"), [(0, errno.ENETUNREACH), (1, errno.EHOSTUNREACH)])
def test_a_soft_error_waits_until_the_time_is_over_and_then_says_why(code: int, error: int) -> None:
    path = Path()
    path.connect(user_timeout=5000)
    path.unreachable(code)
    assert path.error() == 0
    path.world.run_for(5.0)
    assert path.error() == error


@pytest.mark.parametrize(("code", "error"), [(0, errno.ENETUNREACH), (1, errno.EHOSTUNREACH)])
def test_a_soft_error_fails_a_connect_at_once_in_linuxs_profile(code: int, error: int) -> None:
    path = Path(TcpConfig.linux())
    path.connect()
    path.unreachable(code)
    assert path.error() == error


def test_without_icmp_the_time_is_over_with_etimedout() -> None:
    path = Path()
    path.connect(user_timeout=5000)
    path.world.run_for(5.0)
    assert path.error() == errno.ETIMEDOUT
