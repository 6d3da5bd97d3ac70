"""Each fault: what it does to the packets it meets, drawn from a seed or scripted."""

import pytest

from synfin.engine.errors import UsageError
from synfin.engine.segment import ACK, FIN, SYN
from synfin.sim.faults import PASS, BurstLoss, Deliver, Drop, Loss, flip, tcp_offset
from synfin.sim.line import Packet, bytes_of
from synfin.wire.packet import verify_checksums
from tests.sim.lines import Pair, number_of, packet

MS = 1_000_000


def survivors(pair: Pair, count: int = 1000) -> list[int]:
    for n in range(count):
        pair.send_at(n, packet(n, 40))
    pair.run()
    return pair.b.numbers


def runs(lost: list[int]) -> list[int]:
    """The lengths of the runs of consecutive numbers in `lost`."""
    lengths: list[int] = []
    for before, number in zip([-2, *lost], lost, strict=False):
        if number == before + 1:
            lengths[-1] += 1
        else:
            lengths.append(1)
    return lengths


def test_loss_takes_its_rate() -> None:
    left = survivors(Pair(loss=0.2), 5000)
    assert 0.78 < len(left) / 5000 < 0.82
    assert left == sorted(left)


def test_loss_is_decided_by_the_seed() -> None:
    assert survivors(Pair(3, loss=0.2)) == survivors(Pair(3, loss=0.2))
    assert survivors(Pair(3, loss=0.2)) != survivors(Pair(4, loss=0.2))


def test_another_fault_does_not_move_what_is_lost() -> None:
    # Loss is asked first; the others draw from streams of their own.
    others = {"duplicate": 0.3, "reorder": 0.5, "jitter": 1e-6}
    assert set(survivors(Pair(3, loss=0.2, **others))) == set(survivors(Pair(3, loss=0.2)))


def test_each_direction_draws_for_itself() -> None:
    pair = Pair(loss=0.5)
    for n in range(200):
        pair.send_at(n, packet(n))
        pair.send_at(n, packet(n), back=True)
    pair.run()
    assert pair.a.numbers != pair.b.numbers


def test_lost_packets_are_counted_by_cause() -> None:
    pair = Pair(loss=1.0)
    pair.send(packet(), packet())
    pair.run()
    assert pair.ledger.lost == {"loss": 2}


def test_burst_loss_has_its_rate_and_its_mean_length() -> None:
    left = survivors(Pair(burst=(0.1, 5)), 20_000)
    gone = sorted(set(range(20_000)) - set(left))
    assert 0.08 < len(gone) / 20_000 < 0.12
    lengths = runs(gone)
    assert 4.3 < sum(lengths) / len(lengths) < 5.7


def test_gilberts_and_elliotts_four_numbers_may_be_given() -> None:
    # In the good state nothing is lost and it is never left: nothing is lost.
    assert len(survivors(Pair(burst=BurstLoss.between(0.0, 1.0)))) == 1000
    # Bad from the first packet on, losing everything.
    assert survivors(Pair(burst=BurstLoss.between(1.0, 0.0))) == []


def test_reordering_lets_those_behind_overtake() -> None:
    pair = Pair(delay=0.010, reorder=0.1, reorder_by=0.005)
    for n in range(100):
        pair.send_at(n * MS, packet(n))
    pair.run()
    late = [(n, when - n * MS) for when, n in zip(pair.b.times, pair.b.numbers, strict=True) if when - n * MS != 10 * MS]
    assert {by for _, by in late} == {15 * MS}
    assert 3 < len(late) < 25
    assert pair.b.numbers != sorted(pair.b.numbers)
    assert sorted(pair.b.numbers) == list(range(100))


def test_duplication_delivers_a_copy() -> None:
    pair = Pair(delay=0.010, duplicate=1.0, duplicate_after=0.001)
    pair.send(packet(1), packet(2))
    pair.run()
    assert list(zip(pair.b.times, pair.b.numbers, strict=True)) == [
        (10 * MS, 1), (10 * MS, 2), (11 * MS, 1), (11 * MS, 2),
    ]  # fmt: skip


@pytest.mark.parametrize("bits", [1, "burst"])
@pytest.mark.parametrize("size", [40, 41, 1000])
def test_corruption_is_always_found_by_the_checksum(bits: object, size: int) -> None:
    pair = Pair(corrupt=1.0, corrupt_bits=bits)
    sent = [packet(n, size) for n in range(300)]
    pair.send(*sent)
    pair.run()
    assert len(pair.b.got) == 300
    for _, item in pair.b.got:
        assert isinstance(item, Packet)
        assert item.damaged
        assert not verify_checksums(item.data)


def turned(before: bytes, after: bytes) -> list[int]:
    difference = int.from_bytes(before, "big") ^ int.from_bytes(after, "big")
    width = len(before) * 8
    return [bit for bit in range(width) if difference >> (width - 1 - bit) & 1]


def test_a_burst_is_2_to_15_bits_long_and_lies_within_the_tcp_segment() -> None:
    pair = Pair(corrupt=1.0)
    sent = packet(7, 60, checksum=True)
    pair.send(*[sent] * 500)
    pair.run()
    spans = []
    for _, item in pair.b.got:
        bits = turned(sent, bytes_of(item))
        spans.append(bits[-1] - bits[0] + 1)
        assert bits[0] >= 160
    assert (min(spans), max(spans)) == (2, 15)


def test_one_bit_is_one_bit() -> None:
    pair = Pair(corrupt=1.0, corrupt_bits=1)
    sent = packet(7, 60, checksum=True)
    pair.send(*[sent] * 50)
    pair.run()
    assert {len(turned(sent, bytes_of(item))) for _, item in pair.b.got} == {1}


def test_left_out_checksums_are_completed_before_a_packet_is_damaged() -> None:
    pair = Pair()
    pair.link.corrupt(1)
    pair.send(packet(7, 60, checksum=False))
    pair.run()
    assert len(turned(packet(7, 60, checksum=True), bytes_of(pair.b.got[0][1]))) == 1


def test_random_corruption_may_turn_bits_anywhere() -> None:
    pair = Pair(corrupt=1.0, corrupt_bits="random")
    sent = packet(7, 60, checksum=True)
    pair.send(*[sent] * 200)
    pair.run()
    counts = [turned(sent, bytes_of(item)) for _, item in pair.b.got]
    assert min(bits[0] for bits in counts) < 160
    assert min(len(bits) for bits in counts) >= 2
    assert max(len(bits) for bits in counts) > 15


def test_bits_are_counted_from_the_first_of_the_packet() -> None:
    assert flip(b"\x00\x00", (0, 7, 8, 15)) == b"\x81\x81"


def test_the_tcp_segment_begins_behind_the_ip_header() -> None:
    assert (tcp_offset(b"\x45"), tcp_offset(b"\x46"), tcp_offset(b"\x60")) == (20, 24, 40)


# Scripted


def test_the_nth_packet_is_lost() -> None:
    pair = Pair()
    pair.link.drop(2)
    pair.send(*(packet(n) for n in (1, 2, 3)))
    pair.run()
    assert (pair.b.numbers, pair.ledger.lost) == ([1, 3], {"n-th": 1})


def test_several_numbers_may_be_named() -> None:
    pair = Pair()
    pair.link.drop((1, 3))
    pair.send(*(packet(n) for n in (1, 2, 3, 4)))
    pair.run()
    assert pair.b.numbers == [2, 4]


def test_the_nth_is_counted_over_what_the_predicate_picks() -> None:
    pair = Pair()
    pair.link.drop(2, where=lambda seen: seen.syn)
    pair.send(packet(1, flags=SYN), packet(2), packet(3, flags=SYN | ACK), packet(4, flags=SYN))
    pair.run()
    assert pair.b.numbers == [1, 2, 4]


def test_without_a_number_every_packet_that_is_picked_is_lost() -> None:
    pair = Pair()
    pair.link.drop(where=lambda seen: seen.fin)
    pair.send(packet(1), packet(2, flags=FIN | ACK), packet(3, flags=FIN | ACK))
    pair.run()
    assert (pair.b.numbers, pair.ledger.lost) == ([1], {"predicate": 2})


def test_a_predicate_sees_flags_numbers_ports_and_payload() -> None:
    seen = []
    pair = Pair()
    pair.link.drop(where=lambda packet: bool(seen.append(packet)))
    pair.send(packet(99, 45, flags=SYN | ACK))
    pair.run()
    assert pair.b.numbers == [99]
    one = seen[0]
    assert (one.syn, one.ack_set, one.fin, one.rst, one.psh, one.urg) == (True, True, False, False, False, False)
    assert (one.seq, one.ack, one.length, bytes(one.payload)) == (99, 0, 5, bytes(5))
    assert (one.source, one.source_port) == (bytes([10, 0, 0, 1]), 49152)
    assert (one.destination, one.destination_port) == (bytes([10, 0, 0, 2]), 80)


def test_a_predicate_sees_no_flags_in_what_is_not_tcp() -> None:
    pair = Pair()
    pair.link.drop(where=lambda seen: seen.flags != 0 or seen.length > 0)
    pair.send(b"\x45not a packet at all")
    pair.run()
    assert len(pair.b.got) == 1


def test_a_rule_for_one_direction_leaves_the_other_alone() -> None:
    pair = Pair()
    pair.link.drop(direction="a->b")
    pair.send(packet(1))
    pair.send(packet(2), back=True)
    pair.run()
    assert (pair.b.numbers, pair.a.numbers) == ([], [2])


def test_a_scripted_rule_for_both_directions_counts_them_together() -> None:
    pair = Pair()
    pair.link.drop(2)
    pair.send_at(1, packet(1))
    pair.send_at(2, packet(2), back=True)
    pair.send_at(3, packet(3))
    pair.run()
    assert (pair.b.numbers, pair.a.numbers) == ([1, 3], [])


def test_a_chosen_packet_may_come_late() -> None:
    pair = Pair(delay=0.010)
    pair.link.delay(0.5, 1)
    pair.send(packet(1), packet(2))
    pair.run()
    assert list(zip(pair.b.times, pair.b.numbers, strict=True)) == [(10 * MS, 2), (510 * MS, 1)]


def test_an_old_duplicate_may_turn_up_much_later() -> None:
    pair = Pair(delay=0.010)
    pair.link.duplicate(1, after=60, where=lambda seen: seen.syn)
    pair.send(packet(1, flags=SYN), packet(2))
    pair.run()
    assert list(zip(pair.b.times, pair.b.numbers, strict=True)) == [(10 * MS, 1), (10 * MS, 2), (60_010 * MS, 1)]


def test_held_packets_arrive_when_they_are_released() -> None:
    pair = Pair(delay=0.010)
    held = pair.link.hold((1, 2))
    pair.send(packet(1), packet(2), packet(3))
    pair.clock.schedule(70 * MS, held.release)
    pair.run(50 * MS)
    assert [number_of(data) for data in held.packets] == [1, 2]
    pair.run()
    assert list(zip(pair.b.times, pair.b.numbers, strict=True)) == [(10 * MS, 3), (70 * MS, 1), (70 * MS, 2)]
    assert held.packets == []


def test_the_first_verdict_decides() -> None:
    pair = Pair()
    pair.link.add(lambda seen: Deliver() if seen.seq == 1 else PASS)
    pair.link.add(lambda seen: Drop("mine"))
    pair.send(packet(1), packet(2))
    pair.run()
    assert (pair.b.numbers, pair.ledger.lost) == ([1], {"mine": 1})


def test_scripted_rules_are_asked_before_drawn_ones() -> None:
    pair = Pair(loss=1.0)
    pair.link.add(lambda seen: Deliver() if seen.seq == 1 else PASS)
    pair.send(packet(1), packet(2))
    pair.run()
    assert pair.b.numbers == [1]


def test_a_drawn_rule_may_be_added_to_a_direction_that_has_one_of_its_kind() -> None:
    pair = Pair(loss=0.5)
    pair.link.add(Loss(1.0), direction="a->b")
    pair.send(packet(1), packet(2))
    pair.send(*(packet(n) for n in range(40)), back=True)
    pair.run()
    assert pair.b.numbers == []
    assert 5 < len(pair.a.numbers) < 35


def test_a_changed_rate_keeps_added_rules() -> None:
    pair = Pair()
    pair.link.add(Loss(1.0), direction="a->b")
    pair.link.set(loss=0.0, delay=1)
    pair.send(packet(1))
    pair.run()
    assert pair.b.numbers == []


@pytest.mark.parametrize("nth", [0, -1, (), (1, 0)])
def test_packets_are_counted_from_one(nth: object) -> None:
    with pytest.raises(UsageError, match="nth counts packets from 1"):
        Pair().link.drop(nth)  # type: ignore[arg-type]


# Partition


def test_a_cut_link_loses_everything_and_what_is_on_its_way() -> None:
    pair = Pair(delay=0.010)
    pair.send_at(0, packet(1))
    pair.send_at(5 * MS, packet(2))
    pair.link.cut(at=0.012)
    pair.send_at(20 * MS, packet(3))
    pair.link.heal(at=0.030)
    pair.send_at(30 * MS, packet(4))
    pair.run()
    assert list(zip(pair.b.times, pair.b.numbers, strict=True)) == [(10 * MS, 1), (40 * MS, 4)]
    assert pair.ledger.lost == {"partition": 2}


def test_a_packet_does_not_survive_a_cut_that_was_healed_before_it_would_have_arrived() -> None:
    pair = Pair(delay=0.010)
    pair.send_at(0, packet(1))
    pair.link.cut(at=0.001)
    pair.link.heal(at=0.002)
    pair.run()
    assert pair.b.numbers == []


def test_one_direction_may_be_cut_alone() -> None:
    pair = Pair()
    pair.link.cut(direction="b->a")
    pair.send(packet(1))
    pair.send(packet(2), back=True)
    pair.run()
    assert (pair.b.numbers, pair.a.numbers) == ([1], [])


def test_a_cut_in_the_past_is_refused() -> None:
    pair = Pair()
    pair.run(10 * MS)
    pair.clock.advance(max(pair.clock.now, 10 * MS))
    with pytest.raises(UsageError, match="have passed already"):
        pair.link.cut(at=0.001)
