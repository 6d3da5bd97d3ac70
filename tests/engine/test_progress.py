"""What a connection does when its path is slow, lossy, closed or narrow: bounds and timers that must let it go on."""

import random

import pytest

from synfin.engine import path
from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.errors import CloseReason, DropReason
from synfin.engine.observe import Observer
from synfin.engine.path import LIFETIME, PathError
from synfin.engine.reassembly import Reassembly
from synfin.engine.segment import ACK, NEW_DATA, RETRANSMIT_SMALLER, RETRANSMIT_TIMEOUT, Buffer
from synfin.engine.seq import MASK
from synfin.engine.state import State
from tests.engine.harness import MILLISECOND, PLAIN, SECOND, End
from tests.rfc.build import FULL, IRS, ISS, end, established, hear, peer, say, until, watch

TOO_BIG = PathError.TOO_BIG


# --- the user timeout


def test_a_slow_link_that_makes_progress_is_not_ended_by_the_user_timeout() -> None:
    """RFC 9293 3.8.3, RFC 5482: one burst of ten segments, of which one is acknowledged every four seconds."""
    one = established(PLAIN.replace(user_timeout=5 * SECOND, rto_min=10 * SECOND))
    one.connection.write(bytes(14_600), one.now)
    assert len(one.sends()) == 10
    for number in range(1, 10):
        one.now += 4 * SECOND
        one.connection.handle_timers(one.now)
        say(one, ACK, ack=ISS + 1 + 1460 * number)
        assert one.connection.state is State.ESTABLISHED, f"after {4 * number} s"
    until(one, one.now + 5 * SECOND - 1)
    assert one.connection.state is State.ESTABLISHED
    until(one, one.now + 1)
    assert str(one.connection.state) == "CLOSED"
    assert one.connection.close_reason is CloseReason.TIMED_OUT


# --- out of order


def kept_after_one_loss(buffer: int, size: int) -> End:
    """`buffer` bytes came in pieces of `size`, all but the first piece."""
    one = established(PLAIN.replace(receive_buffer=buffer, window_scaling=True))
    connection = one.connection
    for at in range(size, buffer - size, size):
        connection.receive(peer(one, ACK, IRS + 1 + at, payload=bytes(size)), 0)
        one.out()
    return one


def test_one_loss_in_a_large_window_loses_nothing_else() -> None:
    """8 MB in segments of 1460 bytes: some 5,700 wait behind the one that is missing."""
    one = kept_after_one_loss(8 << 20, 1460)
    assert watch(one).drops == []
    reassembly = one.connection.receiver.reassembly
    assert reassembly is not None and len(reassembly.runs) == 1
    whole = reassembly.runs[0].size
    hear(one, ACK, payload=bytes(1460))
    assert one.connection.readable() == whole + 1460
    assert one.connection.receiver.reassembly is None


@pytest.mark.parametrize("order", ["upwards", "downwards", "odd first"])
def test_bytes_that_come_one_by_one_do_not_cost_an_object_each(order: str) -> None:
    numbers = list(range(2, 6002))
    if order == "downwards":
        numbers.reverse()
    elif order == "odd first":
        numbers.sort(key=lambda number: number % 2 == 0)
    kept = Reassembly(4000)
    assert all(kept.insert(100 + number, b"x", 100) == 1 for number in numbers)
    (run,) = kept.runs
    assert run.size == 6000
    assert len(run.chunks) <= 2 * 6000 // 1024 + 1


def test_a_hole_for_each_byte_is_bounded_however_large_the_window() -> None:
    one = established(PLAIN.replace(receive_buffer=8 << 20, window_scaling=True, reassembly_segments=64))
    for number in range(100):
        hear(one, ACK, IRS + 3 + 2 * number, payload=b"x")
    assert watch(one).drops == [DropReason.REASSEMBLY_FULL] * 36
    hear(one, ACK, IRS + 4, payload=b"yyy")  # it fills holes: two runs fewer
    assert watch(one).drops == [DropReason.REASSEMBLY_FULL] * 36
    reassembly = one.connection.receiver.reassembly
    assert reassembly is not None and len(reassembly.runs) == 62


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("start", [1000, MASK - 700], ids=["", "wrap"])
def test_what_was_kept_is_what_came_first_in_any_order(seed: int, start: int) -> None:
    """Against a table of bytes: random pieces that overlap, each of one value."""
    chance = random.Random(seed)
    size = chance.choice([40, 400, 6000])
    model: list[int | None] = [None] * size
    kept = Reassembly(size)
    for value in range(1, 120):
        begin = chance.randrange(1, size)
        count = chance.randrange(1, min(size - begin, chance.choice([3, 60, 2500])) + 1)
        fresh = [at for at in range(begin, begin + count) if model[at] is None]
        payload: Buffer = bytes([value]) * count
        payload = payload if chance.random() < 0.5 else memoryview(payload)
        assert kept.insert((start + begin) & MASK, payload, start) == len(fresh)
        for at in fresh:
            model[at] = value
    assert model[0] is None and kept.take(start) is None
    runs = b"".join(bytes(chunk) for run in kept.runs for chunk in run.chunks)
    assert runs == bytes(value for value in model if value is not None)
    at = 1
    while kept.runs:
        while model[at] is None:
            assert kept.take((start + at) & MASK) is None
            at += 1
        data = kept.take((start + at) & MASK)
        assert data is not None
        assert bytes(data) == bytes(value or 0 for value in model[at : at + len(data)])
        at += len(data)
    assert not any(model[at:])


# --- the persist timer


class Started(Observer):
    """Timers that were told to begin."""

    def __init__(self) -> None:
        self.timers: list[tuple[str, int, int]] = []

    def timer_started(self, now: int, key: bytes, timer: str, deadline: int) -> None:
        self.timers.append((timer, now // MILLISECOND, deadline // MILLISECOND))


def observed() -> tuple[End, Started]:
    one, started = established(), Started()
    one.connection.observer = started
    return one, started


def test_the_persist_timer_is_told_when_the_window_closes_and_after_each_probe() -> None:
    one, started = observed()
    one.connection.write(bytes(100), 0)
    one.out()
    say(one, ACK, ack=ISS + 51, window=0)
    assert started.timers == [("persist", 0, 200)]
    until(one, 1400 * MILLISECOND)
    assert started.timers == [("persist", 0, 200), ("persist", 200, 600), ("persist", 600, 1400), ("persist", 1400, 3000)]
    say(one, ACK, ack=ISS + 51, window=1000)
    assert len(started.timers) == 4, "a timer that ends is none that begins"


def test_the_persist_timer_is_told_when_something_is_written_into_a_closed_window() -> None:
    one, started = observed()
    say(one, ACK, window=0)
    assert started.timers == []
    one.connection.write(b"x", 0)
    assert one.sends() == []
    assert [timer for timer, _, _ in started.timers] == ["persist"]


def test_the_override_of_a_silly_window_is_no_closed_window() -> None:
    """3.8.6.2.1: the same timer, but there is room."""
    one, started = observed()
    one.connection.write(bytes(4380), 0)
    one.out()
    say(one, ACK, ack=ISS + 1 + 4380, window=100)
    one.connection.write(bytes(500), 0)
    assert one.sends() == []
    assert one.connection.timers.persist == 200 * MILLISECOND
    assert started.timers == []


# --- the path


def narrowed(config: TcpConfig = PLAIN, mtu: int = 1300) -> End:
    """A router took segments of 1460 bytes for too big; what was in flight has gone again, and has arrived."""
    one = established(config.replace(send_buffer=1 << 20))
    sent = one.connection.write(bytes(2920), one.now)
    one.out()
    assert one.connection.path_error(TOO_BIG, ISS + 1, mtu, 1500, one.now)
    one.out()
    say(one, ACK, ack=ISS + 1 + sent)
    assert one.connection.info(one.now)["tcpi_pmtu"] == mtu
    return one


def lengths(one: End) -> list[int]:
    """Of what it sends now."""
    return [len(out.payload) for out in one.out()]


def pump(one: End) -> list[int]:
    """Write 10,000 bytes and let the peer acknowledge them; the lengths of the segments."""
    connection = one.connection
    connection.write(bytes(10_000), one.now)
    seen: list[int] = []
    while connection.unacked():
        found = lengths(one)
        assert found, "it goes on"
        seen += found
        hear(one, ACK, ack=connection.sender.snd_nxt)
    return seen


def test_a_smaller_path_ends_recovery_and_takes_back_what_it_inflated() -> None:
    one = established()
    one.connection.write(bytes(8 * 1460), 0)
    one.out()
    for _ in range(9):
        say(one, ACK)
    congestion = one.connection.sender.congestion
    assert (congestion.ssthresh, congestion.cwnd) == (4 * 1460, (4 + 3 + 6) * 1460)
    assert one.connection.path_error(TOO_BIG, ISS + 1, 1300, 1500, 0)
    assert not one.connection.sender.recovering
    assert congestion.cwnd == congestion.ssthresh == 4 * 1460, "fast recovery is over (RFC 6582 3.2 step 3)"
    assert watch(one).causes == ["fast retransmit", "recovered"]
    assert [(out.reason, len(out.payload)) for out in one.out()] == [(RETRANSMIT_SMALLER, 1260)] * 4, "800 bytes more would fit"
    say(one, ACK)
    assert one.connection.sender.duplicate_acks == 1, "counted anew"


def test_a_path_that_has_become_wide_is_used_again_after_ten_minutes() -> None:
    """RFC 1191 6.3, RFC 8201 4."""
    one = narrowed()
    one.now = LIFETIME - 1
    assert set(pump(one)) <= {1260, 10_000 % 1260}
    one.now = LIFETIME
    assert pump(one)[0] == 1460
    assert one.connection.info(one.now)["tcpi_pmtu"] == 1500
    assert one.connection.narrow is None, "what was large has arrived"
    assert one.connection.sender.mss == one.connection.sender.congestion.mss == 1460


def test_with_timestamps_the_larger_segment_fits_the_link_too() -> None:
    one = narrowed(FULL)
    one.now = LIFETIME
    assert pump(one)[0] == 1448


def test_a_path_that_is_still_narrow_says_so_and_is_believed_for_ten_minutes_more() -> None:
    one = narrowed()
    one.now = LIFETIME
    one.connection.write(bytes(1460), one.now)
    assert lengths(one) == [1460]
    sender = one.connection.sender
    assert one.connection.path_error(TOO_BIG, sender.snd_una, 1300, 1500, one.now)
    assert lengths(one) == [1260, 200]
    say(one, ACK, ack=sender.snd_nxt)
    one.now = 2 * LIFETIME - 1
    assert set(pump(one)) <= {1260, 10_000 % 1260}
    one.now = 2 * LIFETIME
    assert pump(one)[0] == 1460


def test_a_path_that_swallows_what_is_too_big_costs_one_timeout() -> None:
    """No ICMP comes this time: nothing large was seen to arrive, so the timeout takes the trial back."""
    one = narrowed()
    one.now = LIFETIME
    one.connection.write(bytes(1460), one.now)
    assert lengths(one) == [1460]
    one.now = one.connection.next_deadline()
    one.connection.handle_timers(one.now)
    (again,) = one.out()
    assert (again.reason, len(again.payload)) == (RETRANSMIT_TIMEOUT, 1260)
    assert one.connection.info(one.now)["tcpi_pmtu"] == 1300
    say(one, ACK, ack=ISS + 1 + 2920 + 1260)
    say(one, ACK, ack=one.connection.sender.snd_nxt)
    assert set(pump(one)) <= {1260, 10_000 % 1260}


def test_a_connection_opened_over_a_path_known_as_narrow_tries_the_link_later() -> None:
    one = end(FULL.replace(send_buffer=1 << 20))
    path.limit(one.connection, 1300)
    one.connection.connect(0)
    one.out()
    say(one, 0x12, IRS, ISS + 1)
    assert one.connection.sender.mss == 1248
    assert pump(one)[0] == 1248
    one.now = LIFETIME
    assert pump(one)[0] == 1448


def test_only_a_full_segment_tries_the_path() -> None:
    one = narrowed()
    one.now = LIFETIME
    one.connection.write(bytes(100), one.now)
    (small,) = one.out()
    assert (small.reason, len(small.payload)) == (NEW_DATA, 100)
    assert one.connection.info(one.now)["tcpi_pmtu"] == 1300


def test_the_mss_can_be_made_smaller_while_the_connection_lives_and_stays_so() -> None:
    one = established(FULL.replace(send_buffer=1 << 20))
    one.connection.set_option("mss", 512, 0)
    assert pump(one)[0] == 500, "the timestamps take 12 of them"
    one.connection.set_option("mss", 1000, 0)
    assert pump(one)[0] == 500
    assert one.sends() == []
    assert one.connection.next_deadline() == NEVER
