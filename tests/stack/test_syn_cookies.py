"""SYN cookies and half-open entries through a stack: from packet to packet."""

import random
from collections.abc import Iterator

import pytest

from synfin.device.base import Device
from synfin.engine.config import TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.cookies import STEP, Cookies
from synfin.engine.errors import DropReason
from synfin.engine.listener import Listener
from synfin.engine.segment import ACK, RST, SYN, SYN_ACK, SYN_ACK_COOKIE, Outgoing
from synfin.engine.state import State
from synfin.stack.addresses import make_key
from synfin.stack.stack import Stack
from synfin.wire.icmp import UNREACHABLE4
from synfin.wire.packet import build_packet
from tests.stack.harness import A4, A6, B4, B6, MS, SECOND, Net, packet
from tests.stack.test_icmp import message
from tests.stack.test_time_wait import waiting_at_b

ALWAYS = TcpConfig(syn_cookies="always")
SECRET = bytes(16)


class Bin(Device):
    """Keeps the last segment that was sent, and how many were."""

    __slots__ = ("last", "sent")

    def __init__(self) -> None:
        super().__init__(1500, gso=False, checksum=False)
        self.sent = 0
        self.last: Outgoing | None = None

    def send(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        self.sent += 1
        self.last = out


class Alone:
    """A stack at B4 and B6 that listens on port 80, and what comes back to whoever writes to it."""

    def __init__(self, config: TcpConfig = ALWAYS, backlog: int = 128, width: int = 28) -> None:
        self.device = Bin()
        self.stack = Stack(
            addresses=[B4, B6], config=config, device=self.device, clock=lambda: 0, secret=SECRET, random=random.Random(1)
        )
        self.listener: Listener = self.stack.listen((None, 80), backlog, 0)
        self.listener.cookies = Cookies(SECRET, width)
        self.now = 0

    def take(self, source: bytes, port: int, out: Outgoing) -> Outgoing | None:
        target = B4 if len(source) == 4 else B6
        self.device.last = None
        packet = build_packet(make_key(target, 80, source, port), out, identification=0)
        self.stack.receive_packet(packet, self.now, verify=False)
        self.stack.transmit(self.now)
        return self.device.last

    def accepted(self) -> Iterator[Connection]:
        while (connection := self.listener.accept(self.now)) is not None:
            yield connection


def syn(seq: int = 100) -> Outgoing:
    out = Outgoing(seq, 0, SYN, 64_240, 0)
    out.mss, out.wscale, out.sack_permitted, out.has_timestamps, out.tsval = 1460, 7, True, True, 5000
    return out


def final(answer: Outgoing) -> Outgoing:
    out = Outgoing(answer.ack, (answer.seq + 1) & 0xFFFF_FFFF, ACK, 500, 0)
    out.has_timestamps, out.tsval, out.tsecr = True, answer.tsecr, answer.tsval
    return out


# --- a connection


@pytest.mark.parametrize("remote", [B4, B6])
@pytest.mark.parametrize("config", [ALWAYS, ALWAYS.replace(timestamps=False)])
def test_two_stacks_open_by_a_cookie_talk_and_close(remote: bytes, config: TcpConfig) -> None:
    net = Net(config, isns=(100, None))
    listener = net.listen()
    net.pass_time(777 * MS)
    ours, theirs = net.open(listener, remote)
    assert net.b.listener_counts().as_dict() | {"syns": 1, "cookies_sent": 1, "cookies_accepted": 1, "completed": 1} == (
        net.b.listener_counts().as_dict()
    )
    for connection in (ours, theirs):
        assert (connection.agreed_timestamps, connection.scaling) == (config.timestamps, config.timestamps)
    for number in range(20):
        net.send(net.a, ours, bytes(1000 + number))
        net.send(net.b, theirs, bytes(2000 + number))
        net.pass_time(300 * MS)
        assert len(net.read(net.b, theirs)) == 1000 + number
        assert len(net.read(net.a, ours)) == 2000 + number
    net.close(net.a, ours)
    net.run()
    net.close(net.b, theirs)
    net.until_quiet()
    assert theirs.state is State.CLOSED
    assert list(net.a.sockets()) == []
    assert net.a.counters.drops == net.b.counters.drops == {}, "no timestamp went back, no segment was out of place"
    assert net.b.counters.passive_opens == 1


def test_when_the_last_ack_of_the_handshake_is_lost_data_brings_the_cookie() -> None:
    net = Net(ALWAYS, isns=(100, None))
    listener = net.listen()
    net.lose = lambda who, sent: who == "A" and sent.out.flags == ACK and net.now == 0
    ours = net.a.connect((None, 0), (B4, 80), 0)
    net.run()
    assert (ours.state, listener.readable()) == (State.ESTABLISHED, 0)
    net.send(net.a, ours, b"data")
    net.pass_time(SECOND)
    theirs = listener.accept(net.now)
    assert theirs is not None
    assert net.read(net.b, theirs) == b"data"


def test_counts_of_a_stack_outlive_its_listeners() -> None:
    alone = Alone()
    alone.take(A4, 5000, syn())
    other = alone.stack.listen((None, 81), 1, 0)
    other.counts.syns = 4
    assert alone.stack.listener_counts().syns == 5
    alone.listener.close(0)
    alone.stack.attend(alone.listener, 0)
    assert alone.stack.listener_counts().syns == 5
    assert alone.stack.listener_counts().cookies_sent == 1


# --- TIME-WAIT (RFC 6191)


@pytest.mark.parametrize("mode", ["always", "pressure", "off"])
def test_a_connection_in_time_wait_is_reopened_by_a_number_above_the_old_one_under_any_pressure(mode: str) -> None:
    net = Net(TcpConfig(syn_cookies=mode, syn_backlog=1, timestamps=False), isns=(100, None))
    listener = net.listen()
    entry = waiting_at_b(net, listener)
    net.b.receive_packet(packet(bytes((10, 9, 9, 9)), 1, B4, 80, SYN, 1), net.now)  # the queue is full
    net.b.transmit(net.now)
    net.device_b.outbox.clear()
    net.b.receive_packet(packet(A4, 5000, B4, 80, SYN, 1_000_000), net.now)
    net.b.transmit(net.now)
    (sent,) = net.device_b.outbox
    assert sent.out.reason == SYN_ACK
    assert 0 < (sent.out.seq - entry.snd_nxt) & 0xFFFF_FFFF < 1 << 31
    assert entry.state is State.CLOSED
    net.device_b.outbox.clear()
    net.b.receive_packet(packet(A4, 5000, B4, 80, ACK, 1_000_001, sent.out.seq + 1), net.now)
    reopened = listener.accept(net.now)
    assert reopened is not None
    assert reopened.state is State.ESTABLISHED


def test_an_old_ack_with_a_cookie_means_nothing_to_a_connection_in_time_wait() -> None:
    net = Net(ALWAYS.replace(timestamps=False), isns=(100, None))
    listener = net.listen()
    entry = waiting_at_b(net, listener)
    iss = entry.snd_nxt - 2
    net.b.receive_packet(packet(A4, 5000, B4, 80, ACK, 101, iss + 1), net.now)
    net.b.transmit(net.now)
    assert (entry.state, listener.readable()) == (State.TIME_WAIT, 0)
    assert net.b.listener_counts().cookies_accepted == 1


# --- guesses


def guess(alone: Alone, count: int, seed: int) -> int:
    """How many of `count` guessed cookies open a connection."""
    draw = random.Random(seed)
    hits = 0
    for number in range(count):
        source = b"\x0b" + draw.randbytes(3)
        out = Outgoing(draw.getrandbits(32), draw.getrandbits(32), ACK, 1000, 0)
        if number & 1:
            out.has_timestamps, out.tsval, out.tsecr = True, draw.getrandbits(32), draw.getrandbits(32)
        answer = alone.take(source, draw.randrange(1, 65_536), out)
        if answer is None:
            hits += 1
        else:
            assert answer.flags == RST
        for connection in alone.accepted():
            connection.abort(alone.now)
            alone.stack.attend(connection, alone.now)
    return hits


@pytest.mark.parametrize(("width", "count", "seed"), [(16, 100_000, 1), (16, 100_000, 2), (8, 10_000, 3)])
def test_cookies_of_a_short_hash_are_guessed_as_often_as_chance_has_it(width: int, count: int, seed: int) -> None:
    alone = Alone(width=width)
    alone.now = 5 * STEP
    alone.take(A4, 1, syn())
    hits = guess(alone, count, seed)
    expected = count / (1 << width)
    assert abs(hits - expected) <= 5 * expected**0.5
    counts = alone.listener.counts
    assert (counts.cookies_accepted, counts.cookies_refused, counts.completed) == (hits, count - hits, hits)


def test_none_of_200_000_guesses_opens_a_connection_at_full_width() -> None:
    alone = Alone()
    alone.now = 5 * STEP
    alone.take(A4, 1, syn())
    assert guess(alone, 200_000, 4) == 0
    assert alone.listener.counts.cookies_refused == 200_000


def test_a_cookie_counts_for_its_own_address_port_and_time_only() -> None:
    alone = Alone()
    answer = alone.take(A4, 5000, syn())
    assert answer is not None
    assert answer.reason == SYN_ACK_COOKIE
    for source, port in ((A4[:3] + b"\x63", 5000), (A4, 5001), (A6, 5000)):
        refused = alone.take(source, port, final(answer))
        assert refused is not None
        assert (refused.flags, refused.seq) == (RST, answer.seq + 1)
    alone.now = 2 * STEP - 1
    alone.take(A6, 1, syn())  # the listener still expects cookies
    alone.now += 1
    late = alone.take(A4, 5000, final(answer))
    assert late is not None
    assert late.flags == RST
    alone.now -= 1
    alone.take(A4, 5000, final(answer))
    assert [connection.state for connection in alone.accepted()] == [State.ESTABLISHED]
    assert alone.stack.counters.dropped(DropReason.COOKIE_REFUSED) == 4


# --- ICMP about a half-open entry


@pytest.mark.parametrize(("code", "ends"), [(3, True), (2, True), (1, False), (0, False)])
def test_a_hard_icmp_error_ends_a_half_open_entry_when_it_quotes_our_syn_ack(code: int, ends: bool) -> None:
    net = Net()
    listener = net.listen()
    net.b.receive_packet(packet(A4, 5000, B4, 80, SYN, 1), 0)
    net.b.transmit(0)
    (sent,) = net.device_b.outbox
    forged = bytearray(sent.packet)
    forged[27] ^= 1  # another SEG.SEQ
    for quoted, believed in ((bytes(forged), False), (sent.packet, ends)):
        (error,) = message(A4, B4, UNREACHABLE4, code, 0, quoted[:28])
        net.b.receive_packet(error, 0)
        net.b.transmit(0)
        assert listener.half_open == (0 if believed else 1)
    assert net.b.counters.dropped(DropReason.ICMP_UNPROVEN) == 1


def test_an_icmp_error_about_a_cookie_is_about_nothing_that_is_kept() -> None:
    alone = Alone()
    sent = Outgoing(1, 101, SYN | ACK, 1, 0)
    quoted = build_packet(make_key(A4, 5000, B4, 80), sent, identification=0)[:28]
    (error,) = message(A4, B4, UNREACHABLE4, 3, 0, quoted)
    alone.stack.receive_packet(error, 0)
    assert alone.stack.counters.drops == {DropReason.ICMP_UNPROVEN: 1}
