"""Sending: RFC 9293 3.7.4 (Nagle), 3.9.1.2 (SEND, PSH), 3.10.2; super-segments; what a write may be."""

import array

import pytest

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.connection import WRITE_MORE, WRITE_URGENT
from synfin.engine.errors import UsageError
from synfin.engine.segment import ACK, FIN, PSH, SYN, URG, Outgoing
from synfin.engine.state import State
from tests.engine.harness import MILLISECOND, PLAIN, SECOND, End
from tests.rfc.build import IRS, ISS, end, established, hear, last, say, syn_sent, until

MSS = 1460


# --- Nagle


def test_a_small_segment_waits_while_anything_is_in_flight() -> None:
    """3.7.4 (SHLD-7): until all outstanding data is acknowledged or a full segment can be sent."""
    one = established()
    one.connection.write(b"one", 0)
    assert one.sends() == ["PSH,ACK seq=101 ack=301 len=3"]
    one.connection.write(b"two", 0)
    one.connection.write(b"three", 0)
    assert one.sends() == []
    assert say(one, ACK, ack=ISS + 4) == ["PSH,ACK seq=104 ack=301 len=8"]


def test_an_ack_of_a_part_does_not_release_it() -> None:
    """3.7.4: all outstanding data."""
    one = established()
    one.connection.write(bytes(2 * MSS + 10), 0)
    assert len(one.out()) == 2
    assert say(one, ACK, ack=ISS + 1 + MSS) == []
    assert say(one, ACK, ack=ISS + 1 + 2 * MSS) == [f"PSH,ACK seq={ISS + 1 + 2 * MSS} ack=301 len=10"]


def test_a_segment_that_has_become_full_goes_at_once() -> None:
    """3.7.4."""
    one = established()
    one.connection.write(b"x", 0)
    one.out()
    one.connection.write(bytes(MSS - 1), 0)
    assert one.sends() == []
    one.connection.write(b"!", 0)
    assert one.sends() == ["PSH,ACK seq=102 ack=301 len=1460"]


def test_the_application_can_disable_it_and_what_waits_goes_at_once() -> None:
    """3.7.4 (MUST-17)."""
    one = established()
    one.connection.write(b"one", 0)
    one.out()
    one.connection.write(b"two", 0)
    one.connection.set_option("nodelay", 1, 0)
    assert one.sends() == ["PSH,ACK seq=104 ack=301 len=3"]
    one.connection.write(b"four", 0)
    assert one.sends() == ["PSH,ACK seq=107 ack=301 len=4"]
    one.connection.set_option("nodelay", 0, 0)
    one.connection.write(b"five", 0)
    assert one.sends() == []


def test_the_last_segment_goes_with_the_fin_whatever_is_in_flight() -> None:
    """3.7.4: nothing more can join it; a close does not wait a round trip."""
    one = established()
    one.connection.write(b"one", 0)
    one.out()
    one.connection.write(b"two", 0)
    one.connection.shutdown_send(0)
    assert one.sends() == ["FIN,PSH,ACK seq=104 ack=301 len=3"]


def test_nagle_holds_nothing_for_ever_when_the_peer_acknowledges_nothing() -> None:
    """3.9.1.2 (MUST-60): a retransmission takes the small rest along, up to a full segment."""
    one = established()
    one.connection.write(b"one", 0)
    one.out()
    one.connection.write(b"two", 0)
    assert until(one, 300 * MILLISECOND) == ["200 PSH,ACK seq=101 ack=301 len=6"]


# --- PSH


def test_psh_stands_on_the_segment_that_empties_the_queue_and_on_no_other() -> None:
    """3.9.1.2 (MUST-61, SHLD-27): successive PSH collapse into the last one."""
    one = established()
    for _ in range(3):
        one.connection.write(bytes(MSS), 0)
    assert [out.flags for out in one.out()] == [ACK, ACK, ACK | PSH]


def test_writes_are_joined_into_full_segments() -> None:
    """3.9.1.2 (MAY-16, SHLD-28): the largest segment whenever possible."""
    one = established()
    for _ in range(300):
        one.connection.write(bytes(10), 0)
    assert [len(out.payload) for out in one.out()] == [MSS, MSS]


# --- MSG_MORE


def test_more_to_come_holds_a_partial_segment_back_until_it_comes() -> None:
    """3.9.1.2: without PUSH data may be combined with that of later SENDs."""
    one = established()
    one.connection.write(b"head", 0, WRITE_MORE)
    assert one.sends() == []
    one.connection.write(b"body", 0)
    assert one.sends() == ["PSH,ACK seq=101 ack=301 len=8"]


def test_more_that_never_comes_is_not_waited_for_longer_than_200_ms() -> None:
    """3.9.1.2 (MUST-60): MUST NOT buffer data indefinitely."""
    one = established()
    one.connection.write(b"head", 0, WRITE_MORE)
    assert until(one, SECOND)[0] == "200 PSH,ACK seq=101 ack=301 len=4"


def test_more_does_not_hold_full_segments() -> None:
    """SHLD-28."""
    one = established()
    one.connection.write(bytes(2 * MSS + 5), 0, WRITE_MORE)
    assert [(len(out.payload), out.flags) for out in one.out()] == [(MSS, ACK), (MSS, ACK)]


def test_a_close_ends_the_wait_for_more() -> None:
    """3.10.4: preceding SENDs are segmentized."""
    one = established()
    one.connection.write(b"head", 0, WRITE_MORE)
    one.connection.shutdown_send(0)
    assert one.sends() == ["FIN,PSH,ACK seq=101 ack=301 len=4"]


# --- what a write takes


def test_a_write_takes_what_the_buffer_has_room_for_and_then_nothing() -> None:
    """3.10.2: "insufficient resources"."""
    one = established(PLAIN.replace(send_buffer=100))
    assert one.connection.write(bytes(70), 0) == 70
    assert one.connection.writable() == 30
    assert one.connection.write(bytes(70), 0) == 30
    assert one.connection.write(b"x", 0) == 0
    assert one.connection.write(b"", 0) == 0
    one.sends()
    say(one, ACK, ack=ISS + 101)
    assert one.connection.writable() == 100


def test_a_buffer_made_smaller_than_its_content_loses_nothing() -> None:
    """3.10.2."""
    one = established()
    one.connection.write(bytes(5000), 0)
    one.connection.set_option("send_buffer", 1000, 0)
    assert one.connection.writable() == 0
    assert one.connection.write(b"x", 0) == 0
    assert one.connection.unacked() == 5000


@pytest.mark.parametrize("make", [bytearray, memoryview, bytes], ids=["bytearray", "memoryview", "bytes"])
def test_a_write_takes_any_buffer_and_does_not_keep_one_that_may_change(make: object) -> None:
    """The caller may reuse what it has passed as soon as the call returns."""
    assert callable(make)
    one = established()
    data = bytearray(b"hello")
    given = make(data)
    assert one.connection.write(given, 0) == 5
    if make is not bytes:
        data[:] = b"xxxxx"
    assert bytes(last(one).payload) == b"hello"


def test_a_view_of_wider_items_is_counted_in_bytes() -> None:
    """`write` returns bytes."""
    one = established(PLAIN.replace(send_buffer=6))
    assert one.connection.write(memoryview(array.array("H", [1, 2, 3, 4])), 0) == 6
    assert len(last(one).payload) == 6


def test_reading_into_a_view_of_wider_items_fills_its_bytes() -> None:
    """`read_into` returns bytes."""
    one = established()
    say(one, ACK, payload=b"abcdef")
    target = array.array("H", [0, 0])
    assert one.connection.read_into(memoryview(target), 0) == 4
    assert target.tobytes() == b"abcd"


@pytest.mark.parametrize("size", [1, 3, 100, 4096, 4097, 9000])
def test_any_sizes_of_writes_and_acks_keep_the_bytes_in_order(size: int) -> None:
    """The send buffer joins, cuts and forgets chunks; what leaves is what was written."""
    data = bytes(index * 7 % 251 for index in range(40_000))
    one = established(PLAIN.replace(nagle=False))
    one.connection.sender.congestion.cwnd = 1 << 20
    for at in range(0, len(data), size):
        one.connection.write(data[at : at + size], 0)
    seen = bytearray()
    acked = 0
    while acked < len(data):
        for out in one.out():
            seen += out.payload
        acked += min(1000, len(seen) - acked)
        hear(one, ACK, ack=ISS + 1 + acked)
    assert seen == data


# --- room of the device


def test_a_transmission_stops_when_the_device_is_full_and_goes_on_later() -> None:
    """`room` bounds what one call builds; the connection asks to be called again."""
    one = established()
    one.connection.write(bytes(5 * MSS), 0)
    assert len(one.out(room=2000)) == 2
    assert one.connection.next_deadline() == 0
    assert len(one.out()) == 3
    assert one.connection.next_deadline() != 0


def test_a_full_device_does_not_make_a_connection_that_has_nothing_to_send_ask_again() -> None:
    """Or the driver would spin."""
    one = established()
    hear(one, ACK, payload=b"x")
    one.connection.send_due = True
    assert one.out(room=0) == []
    assert one.connection.next_deadline() != 0


# --- super-segments


def wide(config: TcpConfig = PLAIN, gso: int = 65_000) -> End:
    """ESTABLISHED over a device that cuts super-segments."""
    one = established(config)
    one.connection.sender.gso_max = gso
    one.connection.sender.congestion.cwnd = 1 << 20
    return one


def cut(outs: list[Outgoing]) -> list[int]:
    """The sizes on the wire."""
    sizes: list[int] = []
    for out in outs:
        size = out.gso_size or max(len(out.payload), 1)
        sizes += [min(size, len(out.payload) - at) for at in range(0, len(out.payload), size)]
    return sizes


@pytest.mark.parametrize("size", [100, MSS, MSS + 1, 2 * MSS, 10 * MSS - 1, 50_000])
@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("nodelay", [False, True])
def test_super_segments_put_the_same_segments_on_the_wire(size: int, close: bool, nodelay: bool) -> None:
    """3.7.4, 3.8.6: an offload changes how often a header is written, not what is sent."""
    outs = []
    for one in (wide(PLAIN.replace(nagle=not nodelay)), wide(PLAIN.replace(nagle=not nodelay), gso=0)):
        one.connection.write(bytes(size), 0)
        if close:
            one.connection.shutdown_send(0)
        outs.append(one.out())
        one.connection.check_invariants()
    assert cut(outs[0]) == cut(outs[1])
    assert [out.flags for out in outs[0]][-1] == [out.flags for out in outs[1]][-1]
    assert max(out.gso_size for out in outs[0]) == (MSS if size > MSS and len(outs[0]) < len(outs[1]) else 0)


def test_a_super_segment_is_a_whole_number_of_segments_unless_it_is_the_last() -> None:
    """Its pieces are full; only the end of the queue may be shorter."""
    one = wide(gso=10_000)
    one.connection.write(bytes(25_000), 0)
    one.connection.shutdown_send(0)
    assert [len(out.payload) for out in one.out()] == [8760, 8760, 7480]


def test_a_segment_with_urg_is_never_a_super_segment() -> None:
    """One urgent pointer cannot be right for every piece (3.8.5)."""
    one = wide()
    one.connection.write(bytes(4 * MSS), 0, WRITE_URGENT)
    outs = one.out()
    assert [len(out.payload) for out in outs] == [MSS] * 4
    assert [(out.flags & URG, out.urgent) for out in outs] == [(URG, 4 * MSS - at * MSS) for at in range(4)]
    one = wide()
    one.connection.write(bytes(4 * MSS), 0)
    assert len(one.out()) == 1


def test_a_retransmission_is_never_a_super_segment() -> None:
    """RFC 6298 5.4: the earliest segment."""
    one = wide()
    one.connection.write(bytes(20 * MSS), 0)
    one.out()
    one.at(one.connection.next_deadline())
    hear(one, ACK, ack=ISS + 1 + MSS)
    assert all(len(out.payload) <= MSS and not out.gso_size for out in one.out())


# --- before there is a peer


def test_a_write_before_established_is_kept_and_counts_as_unsent() -> None:
    """3.10.2 SYN-SENT, SYN-RECEIVED."""
    one = syn_sent()
    one.connection.write(b"abc", 0)
    assert (one.connection.unsent(), one.connection.unacked()) == (3, 3)
    say(one, SYN | ACK, IRS, ISS + 1)
    assert (one.connection.unsent(), one.connection.unacked()) == (0, 3)
    with pytest.raises(UsageError):
        end().connection.write(b"x", 0)


def test_the_send_queue_is_told_apart_in_sent_and_unsent() -> None:
    """3.9.1.6 STATUS."""
    one = established()
    one.connection.write(bytes(20 * MSS), 0)
    one.out()
    assert (one.connection.unsent(), one.connection.unacked()) == (10 * MSS, 20 * MSS)
    one.connection.shutdown_send(0)
    say(one, ACK, ack=ISS + 1 + 10 * MSS)
    say(one, ACK, ack=ISS + 1 + 20 * MSS)
    assert one.connection.unacked() == 0
    assert one.connection.sender.fin_sent
    assert one.connection.state is State.FIN_WAIT_1
    assert one.connection.unsent() == 0
    assert one.connection.next_deadline() != NEVER
    assert last_flags(one) == FIN | ACK


def last_flags(one: End) -> int:
    """The flags of what it repeats next."""
    one.now = one.connection.next_deadline()
    one.connection.handle_timers(one.now)
    return last(one).flags
