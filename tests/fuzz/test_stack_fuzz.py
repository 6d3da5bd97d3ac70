"""Any bytes into a stack that has a connection in every state: never an exception, never a broken invariant.

80,000 packets and more: random bytes, packets near what each connection expects with fields, options and bits changed,
whole and cut off. After each the stack answers and every connection's and the stack's own invariants are looked at.
"""

import random
from collections.abc import Iterator

import pytest

from synfin.device.memory import MemoryDevice, Sent
from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.entry import Entry
from synfin.engine.listener import Listener
from synfin.engine.segment import ACK, FIN, NOT_TCP, PSH, RST, SYN, SYN_ACK_COOKIE, URG, Outgoing
from synfin.engine.seq import MASK
from synfin.engine.state import State
from synfin.engine.timewait import TimeWait
from synfin.stack.addresses import make_key
from synfin.stack.ports import Binding
from synfin.stack.stack import Stack
from synfin.wire.packet import build_packet, complete_checksums, parse_ip, parse_packet
from tests.stack.harness import A4, A6, B4, B6, SECOND, make_stack

SEEDS = range(8)
INPUTS = 10_000  # a seed
IRS, ISS = 1000, 0xFFFF_FF00  # our numbers wrap soon
PORT = 80
CONFIG = TcpConfig(receive_buffer=20_000, send_buffer=20_000)


class Target:
    """A stack at B with a connection in every state, over both families, with timestamps and without."""

    def __init__(self) -> None:
        self.now = SECOND
        self.device = MemoryDevice(checksum=True)
        self.stack: Stack = make_stack((B4, B6), self.device, CONFIG, isn=ISS)
        self.listener: Listener = self.stack.listen((None, PORT), 64, self.now)
        self.connections: list[Connection] = []
        self.peers: list[tuple[bytes, bytes, int, bool]] = []  # peer, our address, peer's port, timestamps
        port = 5000
        for peer, own in ((A4, B4), (A6, B6)):
            for stamps in (False, True):
                for make in STATES:
                    port += 1
                    self.peers.append((peer, own, port, stamps))
                    make(self, Peer(self, peer, own, port, stamps))
        self.settle()

    def settle(self) -> None:
        self.stack.transmit(self.now)
        self.device.outbox.clear()


class Peer:
    """The other end of one connection, by hand."""

    def __init__(self, target: Target, address: bytes, own: bytes, port: int, stamps: bool) -> None:
        self.target, self.address, self.own, self.port, self.stamps = target, address, own, port, stamps

    def send(self, flags: int, seq: int, ack: int = 0, payload: bytes = b"", window: int = 5000) -> None:
        out = Outgoing(seq & MASK, ack & MASK, flags, window, 0, payload)
        if self.stamps:
            out.has_timestamps, out.tsval, out.tsecr = True, 77, 0
        if flags & SYN:
            out.mss, out.wscale = 1000, 2
        key = make_key(self.own, PORT, self.address, self.port)
        data = build_packet(key, out, identification=0)
        self.target.stack.receive_packet(data, self.target.now)
        self.target.settle()

    def establish(self) -> Connection:
        self.send(SYN, IRS)
        self.send(ACK, IRS + 1, ISS + 1)
        connection = self.target.listener.accept(self.target.now)
        assert connection is not None
        self.target.connections.append(connection)
        return connection

    def active(self) -> Connection:
        stack, now = self.target.stack, self.target.now
        held = Binding(self.own, PORT, True)  # so that all connections have one local port
        connection = stack.connect((None, 0), (self.address, self.port), now, binding=held)
        self.target.connections.append(connection)
        return connection


def half_open(target: Target, peer: Peer) -> None:
    peer.send(SYN, IRS)


def syn_sent(target: Target, peer: Peer) -> None:
    assert peer.active().state is State.SYN_SENT


def syn_received(target: Target, peer: Peer) -> None:
    connection = peer.active()
    peer.send(SYN, IRS)
    assert connection.state is State.SYN_RECEIVED


def established(target: Target, peer: Peer) -> None:
    peer.establish()


def with_a_gap(target: Target, peer: Peer) -> None:
    connection = peer.establish()
    peer.send(ACK, IRS + 501, ISS + 1, b"g" * 300)
    peer.send(ACK, IRS + 1501, ISS + 1, b"g" * 300)
    assert connection.receiver.reassembly is not None


def with_data_in_flight(target: Target, peer: Peer) -> None:
    connection = peer.establish()
    connection.write(b"d" * 9000, target.now)
    target.stack.attend(connection, target.now)


def with_a_closed_window(target: Target, peer: Peer) -> None:
    connection = peer.establish()
    peer.send(ACK, IRS + 1, ISS + 1, b"", 0)
    connection.write(b"d" * 5000, target.now)
    target.stack.attend(connection, target.now)


def with_unread_data(target: Target, peer: Peer) -> None:
    connection = peer.establish()
    for at in range(0, 20_000, 1000):
        peer.send(ACK | PSH, IRS + 1 + at, ISS + 1, b"u" * 1000)
    assert connection.readable() == 20_000


def fin_wait_1(target: Target, peer: Peer) -> None:
    connection = peer.establish()
    connection.write(b"d" * 3000, target.now)
    connection.shutdown_send(target.now)
    target.stack.attend(connection, target.now)
    assert connection.state is State.FIN_WAIT_1


def fin_wait_2(target: Target, peer: Peer) -> None:
    connection = peer.establish()
    connection.shutdown_send(target.now)
    target.stack.attend(connection, target.now)
    peer.send(ACK, IRS + 1, ISS + 2)
    assert connection.state is State.FIN_WAIT_2


def fin_wait_2_of_an_orphan(target: Target, peer: Peer) -> None:
    connection = peer.establish()
    connection.close(target.now)
    target.stack.attend(connection, target.now)
    peer.send(ACK, IRS + 1, ISS + 2)
    assert connection.state is State.FIN_WAIT_2


def closing(target: Target, peer: Peer) -> None:
    connection = peer.establish()
    connection.close(target.now)
    target.stack.attend(connection, target.now)
    peer.send(FIN | ACK, IRS + 1, ISS + 1)
    assert connection.state is State.CLOSING


def time_wait(target: Target, peer: Peer) -> None:
    connection = peer.establish()
    connection.shutdown_send(target.now)
    target.stack.attend(connection, target.now)
    peer.send(FIN | ACK, IRS + 1, ISS + 2)
    assert connection.state is State.TIME_WAIT


def close_wait(target: Target, peer: Peer) -> None:
    connection = peer.establish()
    peer.send(FIN | ACK, IRS + 1, ISS + 1)
    assert connection.state is State.CLOSE_WAIT


def last_ack(target: Target, peer: Peer) -> None:
    connection = peer.establish()
    peer.send(FIN | ACK, IRS + 1, ISS + 1)
    connection.close(target.now)
    target.stack.attend(connection, target.now)
    assert connection.state is State.LAST_ACK


STATES = (
    half_open, syn_sent, syn_received, established, with_a_gap, with_data_in_flight, with_a_closed_window, with_unread_data,
    fin_wait_1, fin_wait_2, fin_wait_2_of_an_orphan, closing, time_wait, close_wait, last_ack,
)  # fmt: skip


# --- what is thrown at it


def near(rng: random.Random, number: int) -> int:
    """A sequence number at, around or far from `number`."""
    kind = rng.randrange(8)
    if kind < 4:
        return number
    if kind < 6:
        return (number + rng.randrange(-3, 4)) & MASK
    if kind < 7:
        return (number + rng.randrange(-30_000, 30_000)) & MASK
    return rng.getrandbits(32)


def numbers(entry: Entry | None) -> tuple[int, int, int]:
    """RCV.NXT, SND.NXT and TS.Recent as the peer would have them."""
    if isinstance(entry, Connection):
        return entry.receiver.rcv_nxt, entry.sender.snd_nxt, entry.ts_recent
    if isinstance(entry, TimeWait):
        return entry.rcv_nxt, entry.snd_nxt, entry.ts_recent
    return IRS + 1, (ISS + 1) & MASK, 77


FLAGS = (
    ACK, ACK, ACK | PSH, ACK | PSH, ACK | FIN, SYN, SYN | ACK, RST, RST | ACK, ACK | URG, FIN, 0, SYN | FIN, SYN | RST,
)  # fmt: skip


def segment_near(rng: random.Random, target: Target) -> bytes:
    """A whole packet with right checksums, close to what one of the connections might see."""
    peer, own, port, stamps = rng.choice(target.peers)
    if not rng.randrange(40):
        port = rng.randrange(65_536)
    entry = target.stack._table.get(make_key(peer, port, own, PORT))
    rcv_nxt, snd_nxt, ts_recent = numbers(entry)
    flags = rng.choice(FLAGS) if rng.randrange(6) else rng.getrandbits(9)
    payload = rng.randbytes(rng.choice((0, 0, 0, 1, 10, 536, 1000, 3000)))
    out = Outgoing(near(rng, rcv_nxt), near(rng, snd_nxt), flags, rng.choice((0, 1, 500, 5000, 65_535)), 0, payload)
    if stamps != (not rng.randrange(10)):
        out.has_timestamps, out.tsval, out.tsecr = True, near(rng, ts_recent), near(rng, 1000)
    if flags & SYN or not rng.randrange(20):
        out.mss, out.wscale = rng.choice((-1, 0, 1, 28, 536, 1460, 65_535)), rng.choice((-1, 0, 7, 14, 15, 255))
        out.sack_permitted = bool(rng.randrange(2))
    if flags & URG:
        out.urgent = rng.choice((0, 1, 5, 1000, 65_535))
    return build_packet(make_key(own, PORT, peer, port), out, identification=rng.getrandbits(16))


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Some bytes changed; half of the time with the checksums made right again."""
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        changed[rng.randrange(min(len(changed), 80))] = rng.getrandbits(8)
    return complete_without(changed) if rng.randrange(2) else bytes(changed)


def complete_without(data: bytearray) -> bytes:
    """`data` with its checksums taken out and computed anew, where it is still a packet."""
    if data[0] >> 4 == 4:
        start = (data[0] & 15) * 4
        data[10:12] = b"\0\0"
    else:
        start = 40
    if start + 18 <= len(data):
        data[start + 16 : start + 18] = b"\0\0"
    return complete_checksums(bytes(data))


def inputs(rng: random.Random, target: Target) -> Iterator[bytes]:
    while True:
        kind = rng.randrange(20)
        data = segment_near(rng, target)
        if kind < 12:
            yield data
        elif kind < 17:
            yield damaged(rng, data)
        elif kind < 19:
            yield data[: rng.randrange(len(data))]
        else:
            yield rng.randbytes(rng.randrange(200))


# --- what must hold


def check(target: Target) -> None:
    stack = target.stack
    for connection in target.connections:
        connection.check_invariants()
    waiting = 0
    for key, entry in stack._table.items():
        assert entry.key == key
        assert entry.state is not State.CLOSED
        assert not entry.touched
        if isinstance(entry, TimeWait):
            waiting += 1
            assert entry.replies is None
        else:
            assert entry.scheduled <= entry.next_deadline(), "nobody would come in time"
    assert stack._waits.count == waiting
    assert target.listener.half_open == sum(1 for _ in target.listener.half_open_entries(target.now))
    assert stack.next_deadline() >= target.now, "nothing is left to send"


def answers(target: Target, taken: bytes) -> list[Sent]:
    """What the stack sends is whole, has right checksums and never answers a reset by a reset. Returns what has cookies."""
    cookies = [sent for sent in target.device.outbox if sent.out.reason == SYN_ACK_COOKIE]
    for sent in target.device.outbox:
        if sent.out.reason == NOT_TCP:  # ICMP refuses what no longer is TCP
            assert parse_ip(sent.packet).end == len(sent.packet)
            continue
        key, segment = parse_packet(sent.packet, verify=True)
        assert len(segment.payload) == len(sent.out.payload)
        if segment.flags & RST:
            assert not parse_packet(taken, verify=True)[1].flags & RST
            assert key[-2:] != b"\0\0"
    target.device.outbox.clear()
    return cookies


def use(rng: random.Random, target: Target) -> None:
    """Time passes, and applications do something."""
    stack = target.stack
    target.now += rng.choice((1, 1_000_000, 50_000_000, SECOND))
    stack.handle_timers(target.now)
    target.settle()
    connection = rng.choice(target.connections)
    connection.read(rng.randrange(1, 5000), target.now)
    if connection.writable() and rng.randrange(2):
        connection.write(b"w" * rng.randrange(1, 3000), target.now)
    stack.attend(connection, target.now)
    while (accepted := target.listener.accept(target.now)) is not None:
        accepted.abort(target.now)
        stack.attend(accepted, target.now)
    target.settle()


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_comes_the_stack_keeps_its_invariants(seed: int) -> None:
    rng = random.Random(seed)
    target = Target()
    stream = inputs(rng, target)
    for count in range(INPUTS):
        if count % 100 == 99:  # resets and time end connections: begin again
            target = Target()
            stream = inputs(rng, target)
        data = next(stream)
        target.stack.receive_packet(data, target.now)
        target.stack.transmit(target.now)
        answers(target, data)
        check(target)
        if not rng.randrange(10):
            use(rng, target)
            check(target)


def cookie_back(rng: random.Random, sent: Sent) -> bytes:
    """The segment that brings a cookie back, sometimes nearly."""
    out = sent.out
    flags = rng.choice((ACK, ACK, ACK | PSH, ACK | FIN, ACK | FIN | URG, ACK | SYN, ACK | RST))
    seq = out.ack if rng.randrange(6) else near(rng, out.ack)
    ack = out.seq + 1 if rng.randrange(6) else near(rng, out.seq)
    made = Outgoing(seq, ack & MASK, flags, rng.choice((0, 500, 65_535)), 0, rng.randbytes(rng.choice((0, 0, 1, 1460))))
    if out.has_timestamps != (not rng.randrange(10)):
        made.has_timestamps, made.tsval, made.tsecr = True, out.tsecr, out.tsval
        if not rng.randrange(6):
            made.tsecr ^= rng.getrandbits(6)
    made.urgent = rng.choice((0, 1, 5000)) if flags & URG else 0
    size = (len(sent.key) - 4) // 2
    key = sent.key[size : 2 * size] + sent.key[:size] + sent.key[-2:] + sent.key[-4:-2]
    return build_packet(key, made, identification=0)


@pytest.mark.parametrize("seed", SEEDS[:4])
@pytest.mark.parametrize("mode", ["always", "pressure"])
def test_whatever_comes_a_listener_with_cookies_keeps_its_invariants(mode: str, seed: int) -> None:
    rng = random.Random(seed)
    born = 0
    for _ in range(INPUTS // 500):
        target = Target()
        target.listener.config = target.listener.config.replace(syn_cookies=mode)
        target.listener.backlog = 4
        stream = inputs(rng, target)
        out: list[Sent] = []
        for _ in range(100):
            if rng.randrange(4):
                data = cookie_back(rng, out.pop()) if out and rng.randrange(2) else next(stream)
            else:  # somebody new
                key = make_key(B4, PORT, rng.choice((A4, b"\x0b" + rng.randbytes(3))), rng.randrange(1, 65_536))
                syn = Outgoing(rng.getrandbits(32), 0, SYN, 1000, 0)
                syn.mss, syn.wscale, syn.has_timestamps = rng.choice((-1, 1, 1460)), rng.choice((-1, 7)), bool(rng.randrange(2))
                data = build_packet(key, syn, identification=0)
            target.stack.receive_packet(data, target.now)
            target.stack.transmit(target.now)
            out += answers(target, data)
            check(target)
            for entry in target.stack.sockets():
                if isinstance(entry, Connection):
                    entry.check_invariants()
            if not rng.randrange(10):
                use(rng, target)
                check(target)
        born += target.listener.counts.cookies_accepted
    assert born > 0, "cookies were sent, and came back"


def test_a_packet_cut_at_every_length_is_dropped() -> None:
    rng = random.Random(5)
    target = Target()
    for _ in range(40):
        data = segment_near(rng, target)
        for length in range(min(len(data), 200)):
            target.stack.receive_packet(data[:length], target.now)
    assert target.stack.next_deadline() != 0
    assert sum(target.stack.counters.drops.values()) >= 40 * 40
    check(target)


def test_several_packets_before_one_transmit_are_as_harmless() -> None:
    rng = random.Random(6)
    for _ in range(40):
        target = Target()
        stream = inputs(rng, target)
        for _ in range(20):
            for _ in range(rng.randrange(1, 8)):
                target.stack.receive_packet(next(stream), target.now)
            target.settle()
            check(target)


def test_when_the_flood_is_over_nothing_is_left_behind() -> None:
    rng = random.Random(7)
    target = Target()
    stream = inputs(rng, target)
    stack = target.stack
    for _ in range(500):
        stack.receive_packet(next(stream), target.now)
        target.settle()
    target.listener.close(target.now)
    stack.attend(target.listener, target.now)
    for connection in target.connections:
        connection.close(target.now)
        stack.attend(connection, target.now)
    target.settle()
    while (deadline := stack.next_deadline()) != NEVER:
        target.now = max(target.now, deadline)
        stack.handle_timers(target.now)
        target.settle()
    assert list(stack.sockets()) == []
    assert all(connection.state in (State.CLOSED, State.TIME_WAIT) for connection in target.connections)
