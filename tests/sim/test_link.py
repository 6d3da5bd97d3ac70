"""When packets arrive: delay, bandwidth, queue, jitter, MTU and the duplex modes, to the nanosecond."""

import pytest

from synfin.engine.errors import UsageError
from tests.sim.lines import Pair, packet

MS = 1_000_000


def test_a_packet_arrives_after_the_delay() -> None:
    pair = Pair(delay=0.02)
    pair.send(packet(1))
    pair.run()
    assert (pair.b.times, pair.b.numbers) == ([20 * MS], [1])


def test_without_delay_it_arrives_at_the_same_time_but_not_within_the_call() -> None:
    pair = Pair()
    pair.send(packet(1))
    assert pair.b.got == []
    pair.run()
    assert pair.b.times == [0]


def test_packets_sent_together_arrive_together_in_their_order() -> None:
    pair = Pair(delay=0.001)
    pair.send(packet(1), packet(2), packet(3))
    pair.run()
    assert (pair.b.times, pair.b.numbers) == ([MS] * 3, [1, 2, 3])


def test_bandwidth_puts_them_one_behind_the_other() -> None:
    # 1,000 bytes at 8 Mbit/s take 1 ms.
    pair = Pair(delay=0.02, bandwidth=8_000_000)
    pair.send(packet(1), packet(2), packet(3, 500))
    pair.run()
    assert pair.b.times == [21 * MS, 22 * MS, 22 * MS + MS // 2]


def test_a_line_that_has_fallen_idle_starts_at_once() -> None:
    pair = Pair(bandwidth=8_000_000)
    pair.send_at(0, packet(1))
    pair.send_at(10 * MS, packet(2))
    pair.run()
    assert pair.b.times == [MS, 11 * MS]


def test_the_time_on_the_line_is_rounded_up_to_a_nanosecond() -> None:
    pair = Pair(bandwidth=3_000_000_000)
    pair.send(packet(1, 100), packet(2, 100))
    pair.run()
    assert pair.b.times == [267, 534]  # 266.67 ns each


def test_the_two_directions_of_a_full_duplex_link_do_not_meet() -> None:
    pair = Pair(bandwidth=8_000_000)
    pair.send(packet(1))
    pair.send(packet(2), back=True)
    pair.run()
    assert (pair.b.times, pair.a.times) == ([MS], [MS])


def test_a_full_queue_loses_its_tail() -> None:
    # One on the line, two waiting; the fourth and fifth find the queue full.
    pair = Pair(bandwidth=8_000_000, queue=2)
    pair.send(*(packet(n) for n in range(1, 6)))
    pair.run()
    assert (pair.b.numbers, pair.b.times) == ([1, 2, 3], [MS, 2 * MS, 3 * MS])
    assert pair.ledger.lost == {"queue full": 2}


def test_the_queue_drains_as_packets_begin() -> None:
    pair = Pair(bandwidth=8_000_000, queue=1)
    pair.send_at(0, packet(1), packet(2), packet(3))
    pair.send_at(MS, packet(4))  # at 1 ms the second begins, and the queue is empty
    pair.run()
    assert pair.b.numbers == [1, 2, 4]


def test_a_queue_of_none_takes_a_packet_only_when_the_line_is_idle() -> None:
    pair = Pair(bandwidth=8_000_000, queue=0)
    pair.send_at(0, packet(1), packet(2))
    pair.send_at(MS, packet(3))
    pair.run()
    assert pair.b.numbers == [1, 3]


def test_a_queue_may_be_counted_in_bytes() -> None:
    pair = Pair(bandwidth=8_000_000, queue_bytes=1_500)
    pair.send(packet(1), packet(2), packet(3, 501), packet(4, 500))
    pair.run()
    assert pair.b.numbers == [1, 2, 4]


def test_jitter_adds_at_most_itself_and_keeps_the_order() -> None:
    pair = Pair(delay=0.010, jitter=0.005)
    for n in range(200):
        pair.send_at(n * MS, packet(n))
    pair.run()
    assert pair.b.numbers == list(range(200))
    late = [when - n * MS for n, when in enumerate(pair.b.times)]
    assert min(late) >= 10 * MS
    assert max(late) <= 15 * MS
    assert len(set(late)) > 100


def test_jitter_has_its_own_stream_in_each_direction() -> None:
    one, other = Pair(jitter=0.005), Pair(jitter=0.005)
    for n in range(20):
        one.send_at(n * 100 * MS, packet(n))
        other.send_at(n * 100 * MS, packet(n))
        other.send_at(n * 100 * MS, packet(n), back=True)
    one.run()
    other.run()
    assert one.b.times == other.b.times
    assert other.a.times != other.b.times


def test_what_is_larger_than_the_mtu_is_lost() -> None:
    pair = Pair(mtu=1000)
    pair.send(packet(1, 1000), packet(2, 1001))
    pair.run()
    assert (pair.b.numbers, pair.ledger.lost) == ([1], {"larger than the MTU": 1})


def test_half_duplex_takes_turns_and_time_to_turn_around() -> None:
    # a's packet: 1 ms on the line, 10 ms of way, heard until 11 ms; then 2 ms to turn around, and b's has its way.
    pair = Pair(delay=0.010, bandwidth=8_000_000, duplex="half", turnaround=0.002)
    pair.send(packet(1))
    pair.send(packet(2), back=True)
    pair.run()
    assert (pair.b.times, pair.a.times) == ([11 * MS], [24 * MS])


def test_half_duplex_lets_one_side_send_on_without_turning() -> None:
    pair = Pair(delay=0.010, bandwidth=8_000_000, duplex="half", turnaround=0.002)
    pair.send(packet(1), packet(2), packet(3))
    pair.run()
    assert pair.b.times == [11 * MS, 12 * MS, 13 * MS]


def test_half_duplex_serves_in_the_order_of_asking() -> None:
    pair = Pair(bandwidth=8_000_000, duplex="half", turnaround=0.002)
    pair.send(packet(1))
    pair.send(packet(2), back=True)
    pair.send(packet(3))
    pair.run()
    assert (pair.b.times, pair.a.times) == ([MS, 7 * MS], [4 * MS])


def test_half_duplex_without_a_bandwidth_still_turns() -> None:
    pair = Pair(delay=0.010, duplex="half", turnaround=0.002)
    pair.send(packet(1))
    pair.send(packet(2), back=True)
    pair.run()
    assert (pair.b.times, pair.a.times) == ([10 * MS], [22 * MS])


def test_nothing_comes_back_over_a_simplex_link() -> None:
    pair = Pair(duplex="simplex")
    pair.send(packet(1))
    pair.send(packet(2), back=True)
    pair.run()
    assert (pair.b.numbers, pair.a.numbers, pair.ledger.lost) == ([1], [], {"simplex": 1})


def test_healing_a_simplex_link_does_not_open_its_way_back() -> None:
    pair = Pair(duplex="simplex")
    pair.link.cut()
    pair.link.heal()
    pair.send(packet(1))
    pair.send(packet(2), back=True)
    pair.run()
    assert (pair.b.numbers, pair.a.numbers) == ([1], [])


def test_a_changed_parameter_holds_from_the_next_packet_on_and_for_one_direction_if_wanted() -> None:
    pair = Pair(delay=0.010)
    pair.send(packet(1))
    pair.link.set(delay=0.030, direction="a->b")
    pair.send(packet(2))
    pair.send(packet(3), back=True)
    pair.run()
    assert (pair.b.times, pair.a.times) == ([10 * MS, 30 * MS], [10 * MS])


def test_a_direction_counts_what_was_put_on_it() -> None:
    pair = Pair(loss=1.0)
    pair.send(packet(1), packet(2))
    assert (pair.link.forward.packets, pair.link.backward.packets) == (2, 0)


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"delay": -1}, "delay is a number of seconds"),
        ({"jitter": "1"}, "jitter is a number of seconds"),
        ({"bandwidth": 0}, "bandwidth is between 1 and"),
        ({"bandwidth": "1M"}, "bandwidth is a number of bits a second"),
        ({"queue": 10}, "a queue needs a bandwidth"),
        ({"queue": -1, "bandwidth": 1000}, "queue is a whole number, 0 or more"),
        ({"queue_bytes": 1.5, "bandwidth": 1000}, "queue_bytes is a whole number, 0 or more"),
        ({"mtu": 67}, "mtu is a whole number, 68 or more"),
        ({"mtu": 65_536}, "mtu is at most 65,535"),
        ({"duplex": "both"}, "duplex is full, half or simplex"),
        ({"turnaround": 0.1}, "turnaround is for duplex='half' only"),
        ({"loss": 5}, r"loss is a rate between 0 and 1 \(5 % is 0.05\), not 5"),
        ({"corrupt": -0.1}, "corrupt is a rate"),
        ({"duplicate": 2}, "duplicate is a rate"),
        ({"reorder": "x"}, "reorder is a rate"),
        ({"burst": 0.1}, "burst is"),
        ({"burst": (0.1, 0.5)}, "mean length of 1 packet or more"),
        ({"corrupt": 0.1, "corrupt_bits": 16}, "bits to corrupt are"),
        ({"latency": 1}, "a link has no parameter 'latency'; it has delay"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_with_its_rule(parameters: dict[str, object], rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        Pair(**parameters)


def test_a_refused_change_changes_nothing() -> None:
    pair = Pair(delay=0.010)
    with pytest.raises(UsageError):
        pair.link.set(delay=0.020, loss=2)
    pair.send(packet(1))
    pair.run()
    assert pair.b.times == [10 * MS]


def test_a_direction_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="the directions of this link are a->b and b->a, not 'b->c'"):
        Pair().link.cut(at=5, direction="b->c")
