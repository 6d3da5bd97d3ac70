"""Where a packet goes, what is answered where nothing waits for it (RFC 9293 3.10.7.1), and what is dropped and counted."""

import pytest

from synfin.device.memory import MemoryDevice
from synfin.engine.config import NEVER
from synfin.engine.errors import DropReason
from synfin.engine.segment import ACK, FIN, RESET_NO_SOCKET, RST, SYN, Outgoing
from synfin.engine.state import State
from synfin.stack.stack import Stack
from synfin.wire.packet import build_packet, parse_packet
from tests.stack.harness import A4, A6, B4, B6, PLAIN, Net, Notes, make_stack, packet, shown

C4 = bytes((10, 0, 0, 3))


class Lone:
    """One stack with addresses of both families and nobody at the other end."""

    def __init__(self) -> None:
        self.notes = Notes()
        self.device = MemoryDevice(checksum=True)
        self.stack: Stack = make_stack((B4, B6), self.device, isn=300, observer=self.notes)

    def take(self, data: bytes) -> list[str]:
        self.stack.receive_packet(data, 0)
        assert not self.device.outbox, "receive_packet sends nothing"
        self.stack.transmit(0)
        sent, self.device.outbox = list(self.device.outbox), type(self.device.outbox)()
        for each in sent:
            assert parse_packet(each.packet, verify=True)[1].seq == each.out.seq  # checksums and all
        return [shown(each.out) for each in sent]


# --- no socket


def test_a_syn_to_a_closed_port_is_answered_by_rst_ack_of_it() -> None:
    lone = Lone()
    assert lone.take(packet(A4, 5000, B4, 80, SYN, 100)) == ["RST,ACK seq=0 ack=101"]
    assert lone.stack.counters.dropped(DropReason.NO_SOCKET) == 1
    assert lone.stack.counters.resets_out == 1


@pytest.mark.parametrize(
    ("flags", "seq", "payload", "answer"),
    [
        (ACK, 100, b"", ["RST seq=777"]),
        (ACK | FIN, 100, b"abc", ["RST seq=777"]),
        (SYN | ACK, 100, b"", ["RST seq=777"]),
        (0, 100, b"abc", ["RST,ACK seq=0 ack=103"]),
        (FIN, 100, b"abc", ["RST,ACK seq=0 ack=104"]),
        (SYN | FIN, 0xFFFF_FFFF, b"abc", ["RST,ACK seq=0 ack=4"]),
        (0, 100, b"", ["RST,ACK seq=0 ack=100"]),
        (RST, 100, b"", []),
        (RST | ACK, 100, b"", []),
    ],
)
def test_the_reset_is_one_that_the_sender_will_take_as_meant_for_it(
    flags: int, seq: int, payload: bytes, answer: list[str]
) -> None:
    lone = Lone()
    assert lone.take(packet(A4, 5000, B4, 80, flags, seq, 777, payload)) == answer
    assert lone.take(packet(A6, 5000, B6, 80, flags, seq, 777, payload)) == answer


def test_a_reset_goes_back_to_where_the_segment_came_from() -> None:
    lone = Lone()
    lone.stack.receive_packet(packet(A4, 5000, B4, 80, SYN, 100), 0)
    assert lone.stack.next_deadline() == 0
    lone.stack.transmit(0)
    (sent,) = lone.device.outbox
    key, segment = parse_packet(sent.packet, verify=True)
    assert key == B4 + A4 + b"\x00\x50\x13\x88"
    assert (segment.flags, segment.window, sent.out.reason) == (RST | ACK, 0, RESET_NO_SOCKET)
    assert lone.stack.next_deadline() == NEVER


# --- addresses


@pytest.mark.parametrize(
    "source",
    [
        bytes(4), bytes((0, 1, 2, 3)), b"\xff" * 4, bytes((224, 0, 0, 1)), bytes((239, 9, 9, 9)), bytes((240, 0, 0, 1)), B4,
    ],
)  # fmt: skip
def test_what_comes_from_an_address_that_no_host_has_is_dropped(source: bytes) -> None:
    lone = Lone()
    lone.stack.listen((None, 80), 8, 0)
    assert lone.take(packet(source, 5000, B4, 80, SYN, 100)) == []
    assert lone.take(packet(source, 5000, B4, 81, ACK, 100)) == []
    assert lone.stack.counters.dropped(DropReason.SOURCE_ADDRESS) == 2


@pytest.mark.parametrize("source", [bytes(16), b"\xff\x02" + bytes(13) + b"\1", bytes(10) + b"\xff\xff" + A4, B6])
def test_what_comes_from_an_ipv6_address_that_no_host_has_is_dropped(source: bytes) -> None:
    lone = Lone()
    assert lone.take(packet(source, 5000, B6, 80, SYN, 100)) == []
    assert lone.stack.counters.dropped(DropReason.SOURCE_ADDRESS) == 1


def test_what_goes_to_another_host_is_dropped_without_an_answer() -> None:
    lone = Lone()
    for target in (C4, b"\xff" * 4, bytes((224, 0, 0, 1))):
        assert lone.take(packet(A4, 5000, target, 80, SYN, 100)) == []
    assert lone.take(packet(A6, 5000, A6, 80, SYN, 100)) == []
    assert lone.stack.counters.dropped(DropReason.NOT_OURS) == 4
    assert lone.notes.received == []


@pytest.mark.parametrize(("source_port", "target_port"), [(0, 80), (5000, 0), (0, 0)])
def test_port_0_is_nobodys(source_port: int, target_port: int) -> None:
    lone = Lone()
    lone.stack.listen((None, 80), 8, 0)
    assert lone.take(packet(A4, source_port, B4, target_port, SYN, 100)) == []
    assert lone.stack.counters.dropped(DropReason.PORT_ZERO) == 1


def test_the_key_of_a_listener_opens_nothing() -> None:
    lone = Lone()
    listener = lone.stack.listen((B4, 80), 8, 0)
    assert lone.take(packet(bytes(4), 0, B4, 80, SYN, 100)) == []
    assert lone.stack.counters.drops == {DropReason.SOURCE_ADDRESS: 1}
    assert listener.half_open == 0


# --- bad packets


def good() -> bytes:
    return packet(A4, 5000, B4, 80, SYN, 100)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", DropReason.TRUNCATED),
        (b"\x45", DropReason.TRUNCATED),
        (good()[:39], DropReason.TRUNCATED),
        (b"\x55" + good()[1:], DropReason.IP_VERSION),
        (good()[:8] + b"\0" + good()[9:], DropReason.IP_CHECKSUM),
        (good()[:-5] + b"x" + good()[-4:], DropReason.TCP_CHECKSUM),
    ],
)
def test_a_malformed_packet_is_dropped_and_counted_by_its_reason(data: bytes, reason: DropReason) -> None:
    lone = Lone()
    assert lone.take(data) == []
    assert lone.stack.counters.drops == {reason: 1}
    assert lone.notes.drops == [reason]
    assert lone.stack.counters.segments_in == 0


def test_a_checksum_that_nobody_looks_at_may_be_wrong() -> None:
    lone = Lone()
    bare = build_packet(B4 + A4 + b"\0\x50\x13\x88", Outgoing(1, 0, SYN, 1000, 0), identification=0, checksum=False)
    lone.stack.receive_packet(bare, 0)
    assert lone.stack.counters.drops == {DropReason.IP_CHECKSUM: 1}
    lone.stack.receive_packet(bare, 0, verify=False)
    assert lone.stack.counters.dropped(DropReason.NO_SOCKET) == 1


def test_a_packet_may_lie_in_any_kind_of_buffer() -> None:
    for kind in (bytes, bytearray, memoryview):
        lone = Lone()
        assert lone.take(kind(good())) == ["RST,ACK seq=0 ack=101"]  # type: ignore[arg-type]


# --- which listener


def test_a_listener_at_one_address_hears_that_address_only() -> None:
    net = Net(addresses=((A4,), (B4, C4)))
    listener = net.b.listen((B4, 80), 8, 0)
    net.a.connect((None, 0), (B4, 80), 0)
    net.run()
    assert listener.readable() == 1
    refused = net.a.connect((None, 0), (C4, 80), 0)
    assert net.run()[-1] == "B RST,ACK seq=0 ack=101"
    assert refused.state is State.CLOSED


def test_a_listener_at_every_address_hears_both_families() -> None:
    net = Net()
    listener = net.listen()
    four, _ = net.open(listener)
    six, theirs = net.open(listener, B6)
    assert (len(four.key), len(six.key), len(theirs.key)) == (12, 36, 36)
    assert net.send(net.a, six, b"x" * 3000) == 3000
    net.run()
    assert net.read(net.b, theirs) == b"x" * 3000


def test_listeners_at_every_address_of_one_family_share_a_port() -> None:
    net = Net()
    four = net.b.listen((bytes(4), 80), 8, 0)
    six = net.b.listen((bytes(16), 80), 8, 0)
    net.a.connect((None, 0), (B4, 80), 0)
    net.a.connect((None, 0), (B6, 80), 0)
    net.a.connect((None, 0), (B6, 80), 0)
    net.run()
    assert (four.readable(), six.readable()) == (1, 2)


def test_two_connections_to_one_port_are_kept_apart() -> None:
    net = Net()
    listener = net.listen()
    a1, b1 = net.open(listener)
    a2, b2 = net.open(listener)
    net.send(net.a, a1, b"one")
    net.send(net.a, a2, b"two")
    net.run()
    assert (net.read(net.b, b1), net.read(net.b, b2)) == (b"one", b"two")
    assert a1.key != a2.key


def test_stacks_in_one_process_share_nothing() -> None:
    one, two = Net(PLAIN), Net(PLAIN)
    one.open(one.listen())
    assert list(two.a.sockets()) == list(two.b.sockets()) == []
    assert two.a.counters.segments_out == 0
