"""Fragments come together in any order, and what is wrong with them does no harm (RFC 791 3.2, RFC 8200 4.5, RFC 5722)."""

import itertools

import pytest

from synfin.device.memory import MemoryDevice
from synfin.engine.config import NEVER
from synfin.engine.errors import DropReason
from synfin.engine.segment import ACK, SYN
from synfin.engine.state import State
from synfin.stack.fragments import OVERHEAD, TIMEOUT, Fragments
from synfin.stack.stack import Stack
from synfin.wire.datagram import build_datagram
from synfin.wire.errors import ParseError
from synfin.wire.icmp import parse_icmp
from synfin.wire.packet import parse_ip
from tests.stack.harness import A4, A6, B4, B6, Net, make_stack, packet

BOTH = pytest.mark.parametrize("ends", [(A4, B4), (A6, B6)], ids=["IPv4", "IPv6"])
Ends = tuple[bytes, bytes]
BODY = bytes(range(250)) * 12  # 3000 bytes


def fragments(ends: Ends, body: bytes = BODY, mtu: int = 1280, identification: int = 1, protocol: int = 200) -> list[bytes]:
    return build_datagram(*ends, protocol, body, mtu=mtu, identification=identification)


def body_of(whole: bytes | None) -> bytes:
    assert whole is not None
    header = parse_ip(whole)
    assert (header.fragment, header.end, header.protocol) == (False, len(whole), 200)
    return whole[header.header_length :]


@BOTH
def test_fragments_come_together_in_any_order(ends: Ends) -> None:
    parts = fragments(ends)
    assert len(parts) == 3
    for order in itertools.permutations(parts):
        store = Fragments()
        found = [store.take(part, 0) for part in order]
        assert found[:2] == [None, None]
        assert body_of(found[2]) == BODY
        assert (len(store), store.held, store.next_deadline()) == (0, 0, NEVER)


@BOTH
def test_the_whole_is_as_if_it_had_never_been_cut(ends: Ends) -> None:
    (whole,) = build_datagram(*ends, 200, BODY, mtu=9000, identification=1)
    store = Fragments()
    assert [store.take(part, 0) for part in fragments(ends)][-1] == whole


def test_extension_headers_before_the_fragment_stay_and_only_the_fragment_header_goes() -> None:
    plain = fragments((A6, B6))
    options = bytes((44, 0, 1, 4, 0, 0, 0, 0))  # hop-by-hop, then the fragment header

    def extended(part: bytes) -> bytes:
        length = int.from_bytes(part[4:6], "big") + 8
        return part[:4] + length.to_bytes(2, "big") + b"\0" + part[7:40] + options + part[40:]

    store = Fragments()
    whole = [store.take(extended(part), 0) for part in plain][-1]
    assert whole is not None
    assert whole[6] == 0
    assert whole[40:48] == bytes((200,)) + options[1:]
    assert whole[48:] == BODY


@BOTH
def test_a_fragment_that_comes_twice_changes_nothing(ends: Ends) -> None:
    one, two, three = fragments(ends)
    store = Fragments()
    assert [store.take(part, 0) for part in (one, one, three, three)] == [None] * 4
    assert body_of(store.take(two, 0)) == BODY


@BOTH
def test_datagrams_do_not_mix(ends: Ends) -> None:
    mine, yours = fragments(ends, identification=1), fragments(ends, bytes(3000), identification=2)
    store = Fragments()
    found = [store.take(part, 0) for pair in zip(mine, yours, strict=True) for part in pair]
    assert body_of(found[-2]) == BODY
    assert body_of(found[-1]) == bytes(3000)


@BOTH
@pytest.mark.parametrize("shift", [-8, 8])
def test_overlapping_fragments_end_their_datagram(ends: Ends, shift: int) -> None:
    """RFC 5722."""
    one, two, three = fragments(ends)
    moved = bytearray(two)
    if len(ends[0]) == 4:
        word = int.from_bytes(two[6:8], "big") + shift // 8
        moved[6:8] = word.to_bytes(2, "big")
    else:
        word = int.from_bytes(two[42:44], "big") + shift
        moved[42:44] = word.to_bytes(2, "big")
    store = Fragments()
    store.take(one, 0)
    store.take(three, 0)
    with pytest.raises(ParseError) as caught:
        store.take(bytes(moved), 0)
    assert caught.value.reason is DropReason.FRAGMENT_OVERLAP
    assert (len(store), store.held) == (0, 0)


@BOTH
def test_two_ends_contradict_each_other(ends: Ends) -> None:
    store = Fragments()
    store.take(fragments(ends)[-1], 0)
    with pytest.raises(ParseError) as caught:
        store.take(fragments(ends, bytes(2600))[-1], 0)
    assert caught.value.reason is DropReason.FRAGMENT_OVERLAP


@BOTH
def test_a_fragment_in_the_middle_has_a_multiple_of_8_bytes(ends: Ends) -> None:
    part = fragments(ends)[0][:-1]
    at = 2 if len(ends[0]) == 4 else 4
    part = part[:at] + (int.from_bytes(part[at : at + 2], "big") - 1).to_bytes(2, "big") + part[at + 2 :]
    with pytest.raises(ParseError) as caught:
        Fragments().take(part, 0)
    assert caught.value.reason is DropReason.IP_HEADER


@BOTH
def test_no_datagram_is_longer_than_a_packet_can_be(ends: Ends) -> None:
    part = bytearray(fragments(ends)[-1])
    at = 6 if len(ends[0]) == 4 else 42
    part[at : at + 2] = (0x1FFF if at == 6 else 0xFFF8).to_bytes(2, "big")
    with pytest.raises(ParseError) as caught:
        Fragments().take(bytes(part), 0)
    assert caught.value.reason is DropReason.IP_HEADER


@BOTH
def test_memory_is_bounded_and_the_oldest_goes(ends: Ends) -> None:
    store = Fragments(limit=10_000)
    reasons = []
    for number in range(1000):
        try:
            assert store.take(fragments(ends, identification=number)[0], number) is None
        except ParseError as error:
            reasons.append(error.reason)
        assert store.held <= 10_000
    assert len(store) == 10_000 // (store.held // len(store))
    assert reasons == [DropReason.FRAGMENT_LIMIT] * (1000 - len(store))
    assert store.next_deadline() == 1000 - len(store) + TIMEOUT


def test_small_fragments_cost_more_than_their_bytes() -> None:
    store = Fragments()
    store.take(fragments((A4, B4), bytes(64), mtu=28)[0], 0)
    assert store.held == 8 + OVERHEAD


@BOTH
def test_time_is_bounded_from_the_first_fragment_on(ends: Ends) -> None:
    one, two, three = fragments(ends)
    store = Fragments()
    store.take(two, 5)
    store.take(one, TIMEOUT)
    assert store.next_deadline() == 5 + TIMEOUT
    assert store.expire(4 + TIMEOUT) == []
    assert store.expire(5 + TIMEOUT) == [one]
    assert (len(store), store.held) == (0, 0)
    assert store.take(three, 5 + TIMEOUT) is None
    assert store.expire(5 + 2 * TIMEOUT) == [b""]


# --- at a stack


@BOTH
def test_a_stack_tells_the_sender_that_a_datagram_was_not_whole_in_time(ends: Ends) -> None:
    device = MemoryDevice()
    stack: Stack = make_stack((B4, B6), device)
    stack.receive_packet(fragments(ends)[0], 0)
    assert stack.next_deadline() == TIMEOUT
    stack.handle_timers(TIMEOUT)
    stack.transmit(TIMEOUT)
    (sent,) = device.outbox
    header = parse_ip(sent.packet)
    message = parse_icmp(sent.packet[header.header_length :], header.source, header.destination)
    assert (message.kind, message.code) == ((11 if len(ends[0]) == 4 else 3), 1)
    assert stack.counters.drops == {DropReason.FRAGMENT_TIMEOUT: 1}
    assert stack.next_deadline() == NEVER


@BOTH
def test_a_stack_says_nothing_when_the_first_fragment_never_came(ends: Ends) -> None:
    device = MemoryDevice()
    stack = make_stack((B4, B6), device)
    stack.receive_packet(fragments(ends)[1], 0)
    stack.handle_timers(TIMEOUT)
    stack.transmit(TIMEOUT)
    assert not device.outbox


@BOTH
def test_a_segment_in_fragments_is_taken_like_any_other(ends: Ends) -> None:
    net = Net()
    ours, theirs = net.open(net.listen(), ends[1])
    whole = packet(
        ends[0], int.from_bytes(ours.key[-2:], "big"), ends[1], 80, ACK, 101, 301, BODY[:1200],
    )  # fmt: skip
    header = parse_ip(whole)
    for part in build_datagram(*ends, 6, whole[header.header_length :], mtu=600, identification=9):
        net.b.receive_packet(part, net.now)
    net.run()
    assert (theirs.state, theirs.read(5000, net.now)) == (State.ESTABLISHED, BODY[:1200])


def test_a_damaged_segment_in_fragments_is_found_by_its_checksum() -> None:
    stack = make_stack((B4,), MemoryDevice())
    whole = packet(A4, 5000, B4, 80, SYN, 100, 0, bytes(100))
    *_, last = parts = build_datagram(A4, B4, 6, whole[20:], mtu=60, identification=9)
    for part in (*parts[:-1], last[:-1] + b"?"):
        stack.receive_packet(part, 0)
    assert stack.counters.drops == {DropReason.TCP_CHECKSUM: 1}


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        ((A4, A4), DropReason.NOT_OURS), ((B4, B4), DropReason.SOURCE_ADDRESS), ((bytes(4), B4), DropReason.SOURCE_ADDRESS),
        ((A6, A6), DropReason.NOT_OURS), ((bytes(16), B6), DropReason.SOURCE_ADDRESS),
    ],
)  # fmt: skip
def test_no_fragment_is_kept_that_is_not_for_us_or_from_no_host(ends: Ends, reason: DropReason) -> None:
    stack = make_stack((B4, B6), MemoryDevice())
    stack.receive_packet(fragments(ends)[0], 0)
    assert stack.counters.drops == {reason: 1}
    assert len(stack.internet.fragments) == 0
