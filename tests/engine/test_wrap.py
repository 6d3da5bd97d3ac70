"""Long lives: after more than 2^31 and more than 2^32 bytes nothing that was remembered from before means anything.

Sequence numbers are compared modulo 2^32, so a number that is kept without being moved on looks like the future after 2 GB
and like the present after 4 GB. Every such number is planted first; then the bytes flow.
"""

import pytest

from synfin.engine import seq
from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.connection import WRITE_URGENT
from synfin.engine.segment import ACK, FAST_RETRANSMIT, FIN, URG, Segment
from synfin.engine.state import State
from tests.engine.harness import MILLISECOND, PLAIN, End, Pair
from tests.rfc.build import IRS, ISS, established, hear, last, peer, say

MSS = 1460
SCALED = TcpConfig(timestamps=False)
PIECE = bytes(60_000)
DISTANCES = [(1 << 31) - 60_000, (1 << 31) + 5, (1 << 32) - 60_000, (1 << 32) + 5]


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [(5, 3, 2), (3, 5, -2), (0, seq.MASK, 1), (seq.MASK, 0, -1), (1 << 31, 0, -seq.HALF), (9, (1 << 31) + 10, seq.HALF - 1)],
)
def test_numbers_are_compared_round_the_circle(a: int, b: int, distance: int) -> None:
    assert seq.diff(a, b) == distance
    assert (seq.lt(a, b), seq.gt(a, b)) == (distance < 0, distance > 0) or distance == -(1 << 31)
    assert seq.add(b, distance) == a
    assert seq.leq(a, a) and seq.geq(a, a) and not seq.lt(a, a) and not seq.gt(a, a)
    assert seq.within(a, a, 1) and not seq.within(a, a, 0) and not seq.within(a, seq.add(a, 1), 1 << 31)


def send_on(one: End, total: int) -> None:
    """Write, send and have acknowledged `total` bytes."""
    c = one.connection
    c.sender.gso_max = len(PIECE)
    c.sender.congestion.cwnd = 1 << 20
    while total or c.unacked():
        total -= c.write(PIECE[: min(total, len(PIECE))], one.now)
        c.transmit(one.now, [], 1 << 30)
        c.receive(Segment(c.receiver.rcv_nxt, c.sender.snd_nxt, ACK, 65_535), one.now)
    c.sender.gso_max = 0
    one.out()


def receive_on(one: End, total: int) -> None:
    """Receive, read and acknowledge `total` bytes."""
    c = one.connection
    while total:
        piece = PIECE[: min(total, len(PIECE))]
        total -= len(piece)
        c.receive(Segment(c.receiver.rcv_nxt, c.sender.snd_nxt, ACK, 65_535, piece), one.now)
        c.transmit(one.now, [], 1 << 30)
        assert c.read(1 << 20, one.now) == piece


def plant_in_sender(one: End) -> None:
    """Leave a trace in everything that the sender remembers: urgent point, recovery, timeout, Karn, window update."""
    c = one.connection
    c.write(b"!", one.now, WRITE_URGENT)
    one.out()
    hear(one, ACK, ack=c.sender.snd_nxt)
    c.write(bytes(10 * MSS), one.now)
    one.out()
    for _ in range(3):
        hear(one, ACK, ack=c.sender.snd_una)
    while c.unacked():
        one.out()
        hear(one, ACK, ack=c.sender.snd_nxt)
    c.sender.congestion.cwnd = 10 * MSS
    c.write(bytes(3 * MSS), one.now)
    one.out()
    one.at(one.connection.next_deadline())
    hear(one, ACK, ack=c.sender.snd_nxt)
    one.out()
    assert c.sender.recover_set and c.unacked() == 0
    c.sender.rtt.backoff = 0


def test_a_sender_forgets_its_past_in_time() -> None:
    one = established(SCALED)
    plant_in_sender(one)
    done = 0
    for distance in DISTANCES:
        send_on(one, distance - done)
        done = distance
        sender = one.connection.sender
        one.connection.write(bytes(10 * MSS), one.now)
        outs = one.out()
        assert [out.flags & URG for out in outs] == [0] * 10
        before, one.now = sender.rtt.srtt, one.now + 50 * MILLISECOND
        hear(one, ACK, ack=sender.snd_nxt)
        assert sender.rtt.srtt != before, "an ACK of what was sent once gives a sample"
        one.connection.write(bytes(10 * MSS), one.now)
        assert len(one.out()) == 10
        for _ in range(3):
            hear(one, ACK, ack=sender.snd_una)
        assert sender.recovering, "three duplicates start a recovery"
        assert one.out()[-1].reason == FAST_RETRANSMIT
        hear(one, ACK, ack=sender.snd_nxt, window=333)
        assert (sender.recovering, sender.snd_wnd) == (False, 333 << 2)
        hear(one, ACK, ack=sender.snd_nxt)
        one.out()
        done += 20 * MSS


def test_a_receiver_forgets_its_past_in_time() -> None:
    one = established(SCALED)
    c = one.connection
    segment = peer(one, ACK | URG, payload=b"a!b")
    segment.urgent = 2
    one.take(segment)
    hear(one, FIN | ACK, IRS + 6)  # contradicted by what follows
    hear(one, ACK, IRS + 4, payload=b"cdef")
    one.out()
    assert (c.read(1, 0), c.read_urgent(), c.read(10, 0)) == (b"a", b"!", b"bcdef")
    done = 7
    for distance in DISTANCES:
        receive_on(one, distance - done)
        done = distance
        receiver = c.receiver
        rcv_nxt = receiver.rcv_nxt
        assert c.state is State.ESTABLISHED
        hear(one, ACK, rcv_nxt, c.sender.snd_nxt, window=77)
        assert c.sender.snd_wnd == 77 << 2, "the latest window counts"
        hear(one, ACK, rcv_nxt, c.sender.snd_nxt)
        segment = peer(one, ACK | URG, rcv_nxt, c.sender.snd_nxt, payload=b"x?")
        segment.urgent = 2
        one.take(segment)
        assert c.read_urgent() == b"?", "a new urgent point is news"
        assert c.read(10, 0) == b"x"
        hear(one, ACK, rcv_nxt + 12, c.sender.snd_nxt, payload=b"later")
        hear(one, ACK, rcv_nxt + 2, c.sender.snd_nxt, payload=bytes(10))
        assert last(one).ack == (rcv_nxt + 17) & seq.MASK, "a gap fills"
        assert len(c.read(100, 0)) == 15
        done += 17
    assert say(one, FIN | ACK, c.receiver.rcv_nxt, c.sender.snd_nxt)
    assert c.state is State.CLOSE_WAIT


@pytest.mark.parametrize("first", [0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFF00, 0x7FFFFFFF, 0x80000000, 0])
@pytest.mark.parametrize("fast", [True, False])
def test_a_whole_life_across_the_wrap_reads_as_any_other(first: int, fast: bool) -> None:
    relative = []
    for iss in (first, 5000):
        pair = Pair(PLAIN.replace(fast_path=fast), iss=(iss, (iss + 77) & seq.MASK)).open()
        pair.lose = lossy()
        pair.a.connection.write(bytes(30_000), 0)
        pair.b.connection.write(bytes(20_000), 0)
        pair.until_quiet(5_000 * MILLISECOND)
        pair.a.connection.read(1 << 20, 0)
        pair.b.connection.read(1 << 20, 0)
        pair.a.connection.shutdown_send(0)
        pair.b.connection.shutdown_send(0)
        pair.until_quiet(5_000 * MILLISECOND)
        relative.append([numbers_from(line, iss) for line in pair.log])
        assert pair.a.connection.next_deadline() == NEVER
    assert relative[0] == relative[1]


def lossy() -> object:
    """Loses every seventh segment."""
    seen: list[int] = []

    def lose(out: object) -> bool:
        seen.append(1)
        return len(seen) % 7 == 0

    return lose


def numbers_from(line: str, iss: int) -> str:
    """`line` with its sequence numbers counted from `iss`."""
    words = []
    for word in line.split():
        name, _, value = word.partition("=")
        words.append(f"{name}={(int(value) - iss) & seq.MASK}" if name in ("seq", "ack") else word)
    return " ".join(words)


def test_a_duplicate_from_4_gigabytes_ago_is_caught_by_its_timestamp() -> None:
    """RFC 7323 5: the reason for PAWS."""
    one = established(TcpConfig())
    one.now = 1000 * MILLISECOND
    hear(one, ACK, payload=b"new", tsval=9000)
    one.out()
    assert say(one, ACK, IRS + 4, payload=b"old", tsval=8999) == ["ACK seq=101 ack=304"]
    assert one.connection.readable() == 3
    assert one.connection.sender.iss == ISS
