"""ICMP at a stack: what is answered (RFC 1122 3.2.2, RFC 4443), and what is believed (RFC 5927, RFC 1191, RFC 8201)."""

import random

import pytest

from synfin.device.memory import MemoryDevice, Sent
from synfin.engine.config import SECOND, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.errors import CloseReason, DropReason
from synfin.engine.path import PathError
from synfin.engine.segment import ACK, RETRANSMISSIONS, RETRANSMIT_SMALLER
from synfin.engine.state import State
from synfin.stack.internet import ERRORS_A_SECOND, Echo
from synfin.stack.routes import MOST_PATHS, PATH_LIFETIME, Paths
from synfin.stack.stack import Stack
from synfin.wire.datagram import build_datagram
from synfin.wire.icmp import ECHO4, ECHO6, ECHO_REPLY4, ECHO_REPLY6, ICMP4, ICMP6, Icmp, build_icmp, parse_icmp
from synfin.wire.packet import parse_ip
from tests.stack.harness import A4, A6, B4, B6, PLAIN, Net, make_stack

C4 = bytes((10, 0, 0, 9))  # a router
C6 = A6[:15] + b"\x09"
BOTH = pytest.mark.parametrize("ends", [(A4, B4), (A6, B6)], ids=["IPv4", "IPv6"])
Ends = tuple[bytes, bytes]


def message(source: bytes, destination: bytes, kind: int, code: int, rest: int, body: bytes, mtu: int = 65_535) -> list[bytes]:
    """An ICMP message as packets."""
    protocol = ICMP4 if len(source) == 4 else ICMP6
    payload = build_icmp(source, destination, kind, code, rest, body)
    return build_datagram(source, destination, protocol, payload, mtu=mtu, identification=77)


def lone(mtu: int = 1500) -> tuple[Stack, MemoryDevice]:
    device = MemoryDevice(mtu)
    return make_stack((B4, B6), device), device


def answers(stack: Stack, device: MemoryDevice, packets: list[bytes], now: int = 0) -> list[bytes]:
    """What the stack sends when these arrive."""
    for packet in packets:
        stack.receive_packet(packet, now)
    stack.transmit(now)
    sent = [each.packet for each in device.outbox]
    device.outbox.clear()
    return sent


def read(packet: bytes) -> tuple[bytes, bytes, Icmp]:
    header = parse_ip(packet)
    assert header.protocol in (ICMP4, ICMP6)
    return header.source, header.destination, parse_icmp(packet[header.header_length :], header.source, header.destination)


# --- echo


@BOTH
@pytest.mark.parametrize("size", [0, 1, 56, 1400])
def test_an_echo_is_answered_with_its_own_data(ends: Ends, size: int) -> None:
    us, them = ends[1], ends[0]
    stack, device = lone()
    ask, reply = (ECHO4, ECHO_REPLY4) if len(us) == 4 else (ECHO6, ECHO_REPLY6)
    (answer,) = answers(stack, device, message(them, us, ask, 0, 7 << 16 | 3, bytes(size)))
    source, destination, found = read(answer)
    assert (source, destination) == (us, them)
    assert (found.kind, found.code, found.rest, found.body) == (reply, 0, 7 << 16 | 3, bytes(size))
    assert stack.internet.echoes == 1


@BOTH
def test_a_large_echo_comes_and_goes_in_fragments(ends: Ends) -> None:
    them, us = ends
    stack, device = lone()
    body = bytes(range(256)) * 20
    ask = ECHO4 if len(us) == 4 else ECHO6
    out = answers(stack, device, message(them, us, ask, 0, 1, body, mtu=600))
    assert [len(packet) <= 1500 for packet in out] == [True] * 4
    other = make_stack((them,), MemoryDevice())
    came: list[Echo] = []
    other.internet.on_echo = lambda echo, now: came.append(echo)
    for packet in out:
        other.receive_packet(packet, 0)
    assert came == [Echo(us, 0, 1, body, 64)]


@BOTH
def test_a_ping_of_our_own_is_answered_by_the_other_stack(ends: Ends) -> None:
    net = Net()
    came: list[Echo] = []
    net.a.internet.on_echo = lambda echo, now: came.append(echo)
    net.a.internet.ping(ends[0], ends[1], 5, 9, b"data", ttl=12)
    net.run()
    assert came == [Echo(ends[1], 5, 9, b"data", 64)]


@BOTH
def test_segments_leave_with_the_ttl_of_their_stack(ends: Ends) -> None:
    for ttl in (64, 3):
        device = MemoryDevice()
        stack = Stack(
            addresses=ends, config=PLAIN, device=device, clock=lambda: 0, secret=bytes(16), random=random.Random(1), ttl=ttl
        )
        stack.connect((None, 0), (C4 if len(ends[0]) == 4 else C6, 80), 0)
        stack.transmit(0)
        assert [parse_ip(sent.packet).ttl for sent in device.outbox] == [ttl]


def test_the_hop_limit_of_a_ping_is_what_was_asked() -> None:
    stack, device = lone()
    stack.internet.ping(B4, A4, 5, 9, b"", ttl=12)
    stack.internet.ping(B6, A6, 5, 9, b"", ttl=13)
    assert [parse_ip(packet).ttl for packet in answers(stack, device, [])] == [12, 13]


@pytest.mark.parametrize(
    ("source", "destination", "reason"),
    [
        (A4, C4, DropReason.NOT_OURS),
        (A4, b"\xff\xff\xff\xff", DropReason.NOT_OURS),
        (b"\xff\xff\xff\xff", B4, DropReason.SOURCE_ADDRESS),
        (bytes((224, 0, 0, 1)), B4, DropReason.SOURCE_ADDRESS),
        (bytes(4), B4, DropReason.SOURCE_ADDRESS),
        (B4, B4, DropReason.SOURCE_ADDRESS),
        (bytes(16), B6, DropReason.SOURCE_ADDRESS),
        (b"\xff\x02" + bytes(13) + b"\1", B6, DropReason.SOURCE_ADDRESS),
        (A6, b"\xff\x02" + bytes(13) + b"\1", DropReason.NOT_OURS),
    ],
)
def test_no_bogus_address_is_answered(source: bytes, destination: bytes, reason: DropReason) -> None:
    stack, device = lone()
    ask = ECHO4 if len(source) == 4 else ECHO6
    assert answers(stack, device, message(source, destination, ask, 0, 1, b"")) == []
    assert stack.counters.drops == {reason: 1}


@BOTH
def test_a_damaged_message_is_dropped_and_counted(ends: Ends) -> None:
    stack, device = lone()
    (packet,) = message(ends[0], ends[1], ECHO4 if len(ends[0]) == 4 else ECHO6, 0, 1, b"data")
    assert answers(stack, device, [packet[:-1] + b"?"]) == []
    assert stack.counters.drops == {DropReason.ICMP_CHECKSUM: 1}


def test_a_message_of_an_unknown_type_is_dropped_and_counted() -> None:
    stack, device = lone()
    assert answers(stack, device, message(A4, B4, 13, 0, 1, bytes(12)) + message(A6, B6, 133, 0, 0, b"")) == []
    assert stack.counters.drops == {DropReason.ICMP_UNKNOWN: 2}


# --- what is refused


@pytest.mark.parametrize(
    ("ends", "protocol", "kind", "code", "rest"),
    [
        ((A4, B4), 17, 3, 3, 0),  # port unreachable
        ((A4, B4), 132, 3, 2, 0),  # protocol unreachable
        ((A6, B6), 17, 1, 4, 0),
        ((A6, B6), 132, 4, 1, 6),  # parameter problem, which points at the next header field
    ],
)
def test_what_nobody_here_speaks_is_refused(ends: Ends, protocol: int, kind: int, code: int, rest: int) -> None:
    stack, device = lone()
    (asked,) = build_datagram(*ends, protocol, b"12345678 and more", mtu=1500, identification=1)
    (answer,) = answers(stack, device, [asked])
    source, destination, found = read(answer)
    assert (source, destination) == (ends[1], ends[0])
    assert (found.kind, found.code, found.rest, found.body) == (kind, code, rest, asked)
    assert stack.counters.drops == {DropReason.NOT_TCP: 1}


@BOTH
def test_an_error_message_keeps_to_its_size(ends: Ends) -> None:
    stack, device = lone(9000)
    (answer,) = answers(stack, device, build_datagram(*ends, 17, bytes(5000), mtu=9000, identification=1))
    assert len(answer) == (576 if len(ends[0]) == 4 else 1280)


def test_errors_are_not_sent_without_bound() -> None:
    stack, device = lone()
    many = build_datagram(A4, B4, 17, bytes(20), mtu=1500, identification=1) * 50
    assert len(answers(stack, device, many)) == ERRORS_A_SECOND
    assert len(answers(stack, device, many, SECOND - 1)) == 0
    assert len(answers(stack, device, many, SECOND)) == ERRORS_A_SECOND


def test_an_error_is_never_answered_by_an_error() -> None:
    stack, device = lone()
    (asked,) = build_datagram(B4, A4, 17, bytes(20), mtu=1500, identification=1)
    assert answers(stack, device, message(A4, B4, 3, 3, 0, asked)) == []
    assert stack.counters.drops == {DropReason.ICMP_UNPROVEN: 1}


# --- what ICMP says of connections


class Path:
    """A connection between two stacks; `speak` lets a router complain of the segment that A sent last."""

    def __init__(self, remote: bytes = B4, config: TcpConfig = PLAIN) -> None:
        self.net = Net(config)
        self.connection, self.peer = self.net.open(self.net.listen(), remote)
        self.remote = remote
        self.last = b""
        self.lost = True
        self.reasons: list[int] = []
        self.six = len(remote) == 16
        self.net.lose = self._look

    def _look(self, who: str, sent: Sent) -> bool:
        if who == "A":
            self.last = sent.packet
            self.reasons.append(sent.out.reason)
        return who == "A" and self.lost

    def send(self, data: bytes) -> list[str]:
        self.net.send(self.net.a, self.connection, data)
        return self.net.run()

    def speak(self, kind: int, code: int, rest: int = 0, quoted: bytes | None = None) -> None:
        router, own = (C6, A6) if self.six else (C4, A4)
        body = self.last[:80] if quoted is None else quoted
        for packet in message(router, own, kind, code, rest, body):
            self.net.a.receive_packet(packet, self.net.now)

    def too_big(self, mtu: int, quoted: bytes | None = None) -> None:
        if self.six:
            self.speak(2, 0, mtu, quoted)
        else:
            self.speak(3, 4, mtu, quoted)

    def drops(self) -> int:
        return self.net.a.counters.dropped(DropReason.ICMP_UNPROVEN)


@pytest.mark.parametrize(("remote", "mtu", "mss"), [(B4, 1300, 1260), (B6, 1300, 1240)], ids=["IPv4", "IPv6"])
def test_packet_too_big_makes_segments_smaller_and_sends_again_what_was_in_flight(remote: bytes, mtu: int, mss: int) -> None:
    path = Path(remote)
    full = 1500 - (60 if path.six else 40)
    path.send(bytes(2 * full))
    path.lost = False
    cwnd = path.connection.sender.congestion.cwnd
    path.too_big(mtu)
    lengths = [int(line.rpartition("len=")[2]) for line in path.net.run() if line.startswith("A") and "len=" in line]
    assert lengths == [mss, mss, 2 * full - 2 * mss]
    assert path.connection.sender.congestion.cwnd >= cwnd, "no sign of congestion (RFC 1191 6.5)"
    assert path.peer.readable() == 2 * full
    assert path.connection.info(0)["tcpi_pmtu"] == mtu
    assert path.net.a.counters.retransmitted == 3
    assert [reason for reason in path.reasons if reason in RETRANSMISSIONS] == [RETRANSMIT_SMALLER] * 3


def test_the_next_connection_knows_the_path_and_offers_its_own_links_mss() -> None:
    path = Path()
    path.send(bytes(1460))
    path.lost = False
    path.too_big(1300)
    path.net.run()
    other, theirs = path.net.open(path.net.listen(81))
    assert (other.sender.mss, other.receiver.mss, theirs.sender.mss) == (1260, 1460, 1460)


def test_what_was_learned_of_a_path_is_forgotten() -> None:
    paths = Paths()
    paths.learn(B4, 1300, 0)
    assert (paths.mtu(B4, 0, 1500), paths.mtu(B4, 0, 1200), paths.mtu(A4, 0, 1500)) == (1300, 1200, 1500)
    assert paths.mtu(B4, PATH_LIFETIME, 1500) == 1500
    for number in range(MOST_PATHS + 10):
        paths.learn(number.to_bytes(4, "big"), 1300, 0)
    assert len(paths) == MOST_PATHS


@pytest.mark.parametrize(
    ("told", "taken"),
    [(0, 1492), (1, 296), (68, 296), (295, 296), (296, 296), (1499, 1499), (1500, 1500), (9000, 1500)],
)
def test_what_a_router_says_has_bounds_over_ip4(told: int, taken: int) -> None:
    """RFC 1191 7.1 for a router that tells no MTU; what is not smaller than the packet is no reason to complain."""
    path = Path()
    path.send(bytes(1460))
    path.too_big(told)
    assert path.connection.mtu == taken
    assert path.drops() == (taken == 1500)


@pytest.mark.parametrize(("told", "taken"), [(0, 1500), (68, 1500), (1279, 1500), (1280, 1280), (1500, 1500)])
def test_what_a_router_says_has_bounds_over_ip6(told: int, taken: int) -> None:
    """RFC 8201 4: never below 1280."""
    path = Path(B6)
    path.send(bytes(1440))
    path.too_big(told)
    assert path.connection.mtu == taken


@pytest.mark.parametrize("change", ["seq behind", "seq ahead", "port", "address", "short", "not TCP"])
def test_packet_too_big_is_believed_only_of_a_segment_in_flight(change: str) -> None:
    """RFC 5927 4.1."""
    path = Path()
    path.send(bytes(1460))
    quoted = bytearray(path.last[:60])
    seq = int.from_bytes(quoted[24:28], "big")
    if change.startswith("seq"):
        quoted[24:28] = (seq - 1 if change == "seq behind" else seq + 1460).to_bytes(4, "big")
    elif change == "port":
        quoted[21] ^= 1
    elif change == "address":
        quoted[19] ^= 1
    elif change == "not TCP":
        quoted[9] = 17
    path.too_big(1300, bytes(quoted[:27] if change == "short" else quoted))
    assert (path.connection.mtu, path.drops()) == (1500, 1)
    assert len(path.net.a.paths) == 0


def test_nothing_is_believed_of_an_idle_connection() -> None:
    path = Path()
    path.lost = False
    path.send(bytes(1460))
    path.net.pass_time(SECOND)
    path.too_big(1300)
    assert (path.connection.mtu, path.drops()) == (1500, 1)


@pytest.mark.parametrize(("kind", "code", "error"), [
    (3, 0, PathError.NETWORK_UNREACHABLE), (3, 1, PathError.HOST_UNREACHABLE), (3, 2, PathError.PROTOCOL_UNREACHABLE),
    (3, 3, PathError.PORT_UNREACHABLE), (3, 5, PathError.HOST_UNREACHABLE), (3, 13, PathError.PROHIBITED),
    (11, 0, PathError.TIME_EXCEEDED), (11, 1, PathError.TIME_EXCEEDED), (12, 0, PathError.PARAMETER_PROBLEM),
])  # fmt: skip
def test_no_error_ends_an_established_connection(kind: int, code: int, error: PathError) -> None:
    """RFC 5927 5.2, RFC 9293 3.9.2.2 (MUST-56); it is remembered (SHLD-25)."""
    path = Path()
    path.send(b"abc")
    path.speak(kind, code)
    assert (path.connection.state, path.connection.soft_error) == (State.ESTABLISHED, error)
    path.lost = False
    path.net.pass_time(5 * SECOND)
    assert path.peer.readable() == 3
    assert path.connection.soft_error is None, "the path carries packets again"


def test_source_quench_is_ignored() -> None:
    """RFC 9293 3.9.2.2 (MUST-55)."""
    path = Path()
    path.send(b"abc")
    path.speak(4, 0)
    assert path.connection.soft_error is None
    assert path.net.a.counters.dropped(DropReason.ICMP_UNKNOWN) == 1


def opening(kind: int, code: int, config: TcpConfig = PLAIN) -> tuple[Connection, Net]:
    net = Net(config)
    packets: list[bytes] = []

    def swallow(who: str, sent: Sent) -> bool:
        packets.append(sent.packet)
        return True

    net.lose = swallow
    connection = net.a.connect((None, 0), (B4, 80), net.now)
    net.run()
    for packet in message(C4, A4, kind, code, 0, packets[0][:28]):
        net.a.receive_packet(packet, net.now)
    net.a.transmit(net.now)
    return connection, net


@pytest.mark.parametrize("code", [2, 3, 9, 10, 13])
def test_a_hard_error_ends_an_opening(code: int) -> None:
    connection, net = opening(3, code)
    assert (connection.state, connection.close_reason) == (State.CLOSED, CloseReason.UNREACHABLE)
    assert not list(net.a.sockets())


@pytest.mark.parametrize("code", [0, 1, 5])
def test_a_soft_error_ends_no_opening_unless_it_is_wanted_as_on_linux(code: int) -> None:
    assert opening(3, code)[0].state is State.SYN_SENT
    linux = PLAIN.replace(unreachable_ends_opening=True)
    assert opening(3, code, linux)[0].close_reason is CloseReason.UNREACHABLE


def test_a_device_learns_that_no_segment_is_in_the_packet() -> None:
    stack, device = lone()
    stack.receive_packet(message(A4, B4, ECHO4, 0, 1, b"")[0], 0)
    assert stack.next_deadline() == 0
    stack.transmit(0)
    assert (device.outbox[0].key, device.outbox[0].out.flags & ACK) == (A4 + B4 + bytes(4), 0)
