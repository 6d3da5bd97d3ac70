"""Relative numbers: from which SYN they count, and windows in bytes."""

from synfin.engine import segment as why
from synfin.engine.segment import ACK, Outgoing
from synfin.trace.numbers import Numbers
from synfin.wire.packet import build_packet
from tests.trace.hand import Hand, X, Y, ack, data, handshake, request, syn, syn_ack


def pairs(hand: Hand) -> list[tuple[int, int] | None]:
    numbers = Numbers(hand.trace.events)
    return [numbers.pair(packet) for packet in range(1, hand.packets + 1)]


def test_each_direction_counts_from_its_own_syn() -> None:
    hand = Hand()
    handshake(hand)
    request(hand)
    assert pairs(hand) == [(0, 0), (0, 1), (1, 1), (1, 1), (1, 6)]


def test_numbers_go_on_past_the_wrap() -> None:
    hand = Hand()
    top = 0xFFFF_FFFF
    hand.send(0, "client", syn(top))
    hand.send(1, "server", syn_ack(Y, 0))
    hand.send(2, "client", data(0, Y + 1, b"x" * 10))
    hand.send(3, "server", ack(Y + 1, 10))
    assert pairs(hand) == [(0, 0), (0, 1), (1, 1), (1, 11)]


def test_a_number_from_before_the_connection_is_negative() -> None:
    hand = Hand()
    hand.send(0, "client", syn())
    hand.trace.sent(1, "client", "server", 2, build_packet(hand.key("client"), syn(X - 10), identification=1), None)
    hand.packets = 2
    hand.send(2, "server", syn_ack(Y, X - 9))
    assert pairs(hand) == [(0, 0), (-10, 0), (0, -9)]


def test_a_new_connection_of_the_same_ports_counts_anew() -> None:
    hand = Hand()
    handshake(hand)
    hand.send(500, "client", syn(X + 70_000))
    hand.send(501, "server", syn_ack(Y + 90_000, X + 70_001))
    assert pairs(hand)[3:] == [(0, 0), (0, 1)]


def test_without_a_syn_numbers_stay_as_they_are() -> None:
    hand = Hand()
    hand.send(0, "client", data(5000, 7000, b"x"))
    assert pairs(hand) == [(5000, 7000)]


def test_a_window_is_scaled_when_both_syns_offered_it_but_never_on_a_syn() -> None:
    hand = Hand()
    handshake(hand)
    numbers = Numbers(hand.trace.events)
    windows = [numbers.of(packet).window for packet in (1, 2, 3)]  # type: ignore[union-attr]
    assert windows == [65_535, 65_535, 16_384 << 2]


def test_a_window_is_not_scaled_when_one_side_did_not_offer_it() -> None:
    hand = Hand()
    hand.send(0, "client", syn())
    plain = syn_ack()
    plain.wscale = -1
    hand.send(1, "server", plain)
    packet = hand.send(2, "client", Outgoing(X + 1, Y + 1, ACK, 100, why.ACK_OF_SYN_ACK))
    numbered = Numbers(hand.trace.events).of(packet)
    assert numbered is not None
    assert numbered.window == 100


def test_a_copy_has_the_numbers_of_its_original() -> None:
    hand = Hand()
    handshake(hand)
    sent = hand.trace.packets()[3]
    hand.trace.duplicated(20, "client", "server", 3, sent.data, 99)
    assert Numbers(hand.trace.events).pair(99) == (1, 1)


def test_what_was_never_sent_has_no_numbers() -> None:
    assert Numbers([]).pair(4) is None
