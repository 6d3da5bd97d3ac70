"""Data both ways: windows, delayed ACK, Nagle, persist, retransmission, recovery, urgent data."""

import random

import pytest

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.segment import Outgoing
from synfin.engine.state import State
from tests.engine.harness import MILLISECOND, PLAIN, SECOND, Pair, incoming


def test_one_write_goes_as_one_pushed_segment_and_its_ack_is_delayed() -> None:
    pair = Pair().open()
    pair.a.connection.write(b"hello", 0)
    pair.run()
    assert pair.log == ["A PSH,ACK seq=101 ack=301 len=5"]
    assert pair.b.connection.read(100, 0) == b"hello"
    pair.until_quiet(SECOND)
    assert pair.log[1:] == ["B ACK seq=301 ack=106"]
    assert pair.now == 40 * MILLISECOND


def test_every_second_full_segment_is_acknowledged_at_once() -> None:
    pair = Pair().open()
    pair.a.connection.write(bytes(2 * 1460), 0)
    pair.run()
    assert pair.log == [
        "A ACK seq=101 ack=301 len=1460",
        "A PSH,ACK seq=1561 ack=301 len=1460",
        "B ACK seq=301 ack=3021",
    ]


def test_nagle_holds_a_small_segment_while_one_is_in_flight() -> None:
    pair = Pair().open()
    a = pair.a
    a.connection.write(b"one", 0)
    assert a.sends() == ["PSH,ACK seq=101 ack=301 len=3"]
    a.connection.write(b"two", 0)
    assert a.sends() == []
    a.connection.set_option("nodelay", 1, 0)
    assert a.sends() == ["PSH,ACK seq=104 ack=301 len=3"]


def test_out_of_order_segments_are_kept_and_each_gets_a_duplicate_ack() -> None:
    pair = Pair(PLAIN.replace(nagle=False)).open()
    for part in (b"aa", b"bb", b"cc"):
        pair.a.connection.write(part, 0)
        if part == b"aa":
            (first,) = pair.a.out()
    rest = pair.a.out()
    assert len(rest) == 1 and bytes(rest[0].payload) == b"bbcc"
    assert pair.b.take(incoming(rest[0])) == ["ACK seq=301 ack=101"]
    assert pair.b.take(incoming(first)) == ["ACK seq=301 ack=107"]
    assert pair.b.connection.read(100, 0) == b"aabbcc"


def test_three_duplicate_acks_bring_a_fast_retransmit_without_waiting_for_the_timer() -> None:
    pair = Pair().open()
    lost: list[int] = []

    def lose(out: Outgoing) -> bool:
        if out.seq == 101 and len(out.payload) and not lost:
            lost.append(1)
            return True
        return False

    pair.lose = lose
    data = bytes(range(256)) * 40
    pair.a.connection.write(data, 0)
    pair.run()
    assert pair.b.connection.read(1 << 20, 0) == data
    assert pair.now == 0
    assert pair.log.count("A ACK seq=101 ack=301 len=1460") == 1


def test_a_lost_last_segment_is_repeated_by_the_timer() -> None:
    pair = Pair().open()
    lost: list[int] = []

    def lose(out: Outgoing) -> bool:
        if len(out.payload) and len(lost) < 2:
            lost.append(1)
            return True
        return False

    pair.lose = lose
    pair.a.connection.write(b"x", 0)
    pair.until_quiet(10 * SECOND)
    assert pair.b.connection.read(10, 0) == b"x"
    assert pair.log[:3] == [
        "A PSH,ACK seq=101 ack=301 len=1 lost",
        "A PSH,ACK seq=101 ack=301 len=1 lost",
        "A PSH,ACK seq=101 ack=301 len=1",
    ]
    assert pair.now == 3 * 200 * MILLISECOND + 40 * MILLISECOND


def test_a_closed_window_is_probed_and_opens_when_the_application_reads() -> None:
    config = PLAIN.replace(receive_buffer=2000)
    pair = Pair(config).open()
    pair.a.connection.write(bytes(3000), 0)
    pair.until_quiet(SECOND)
    assert pair.b.connection.readable() == 2000
    assert pair.a.connection.sender.snd_wnd == 0
    pair.until_quiet(600 * SECOND)
    assert pair.a.connection.state is State.ESTABLISHED
    assert pair.a.connection.next_deadline() != NEVER
    assert len(pair.b.connection.read(5000, pair.now)) == 2000
    pair.until_quiet(SECOND)
    assert pair.b.connection.readable() == 1000


def test_an_unanswered_transmission_ends_in_the_user_timeout_at_its_time() -> None:
    pair = Pair().open()
    pair.lose = lambda out: True
    pair.a.connection.write(b"x", 0)
    while pair.a.connection.state is State.ESTABLISHED:
        pair.until_quiet(SECOND)
        pair.now += SECOND if pair.a.connection.next_deadline() > pair.now + SECOND else 0
        if pair.now > 400 * SECOND:
            break
    assert pair.a.connection.state is State.CLOSED
    assert str(pair.a.connection.close_reason) == "timed out"


def test_urgent_data_is_marked_and_its_last_byte_read_out_of_band() -> None:
    pair = Pair().open()
    pair.a.connection.write(b"abc!", 0, 1)
    (out,) = pair.a.out()
    assert (out.flags & 0x20, out.urgent) == (0x20, 4)
    pair.b.connection.receive(incoming(out), 0)
    assert pair.b.connection.read_urgent() == b"!"
    assert pair.b.connection.read(10, 0) == b"abc"
    assert pair.b.connection.at_mark


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("seed", range(60))
def test_bytes_arrive_whole_and_in_order_through_loss_from_numbers_about_to_wrap(seed: int, fast: bool) -> None:
    rng = random.Random(seed)
    config = TcpConfig(user_timeout=NEVER, syn_timeout=NEVER, fast_path=fast, receive_buffer=rng.choice((500, 5000, 262_144)))
    pair = Pair(config, iss=(0xFFFFFFFF - rng.randrange(3000), 0xFFFFFF00)).open()
    rate = rng.choice((0, 0.05, 0.3))
    pair.lose = lambda out: rng.random() < rate
    a, b = pair.a.connection, pair.b.connection
    sent = {a: bytearray(), b: bytearray()}
    got = {a: bytearray(), b: bytearray()}
    for _ in range(40):
        for one, other in ((a, b), (b, a)):
            data = rng.randbytes(rng.randrange(1, 3000))
            taken = one.write(data, pair.now)
            sent[one] += data[:taken]
            got[other] += other.read(rng.randrange(1, 4000), pair.now)
        pair.until_quiet(rng.randrange(1, 300) * MILLISECOND)
    a.shutdown_send(pair.now)
    b.shutdown_send(pair.now)
    for _ in range(100_000):
        pair.until_quiet(SECOND)
        pair.now += SECOND
        for one in (a, b):
            got[one] += one.read(1 << 20, pair.now)
        if a.peer_closed and b.peer_closed and not a.readable() and not b.readable():
            break
    assert got[a] == sent[b]
    assert got[b] == sent[a]


def test_what_a_probe_carried_goes_again_together_with_what_was_never_sent() -> None:
    pair = Pair(PLAIN.replace(receive_buffer=2920)).open()
    pair.a.connection.write(bytes(4000), 0)
    pair.until_quiet(SECOND)
    assert pair.a.connection.sender.snd_wnd == 0
    pair.log.clear()
    pair.b.connection.read(5000, pair.now)
    pair.run()
    assert pair.log == ["B ACK seq=301 ack=3021", "A PSH,ACK seq=3021 ack=301 len=1080"]
