"""Urgent data: RFC 9293 3.8.5, 3.10.2, 3.10.7.4 sixth; RFC 6093."""

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.connection import WRITE_URGENT
from synfin.engine.segment import ACK, FIN, SYN, URG, URGENT_NOTICE, Outgoing
from tests.engine.harness import PLAIN, End
from tests.rfc.build import IRS, ISS, close_wait, established, full, hear, last, peer, say, syn_sent

MSS = 1460
BOTH = pytest.mark.parametrize("config", [PLAIN, PLAIN.replace(fast_path=False)], ids=["fast", "slow"])


def tell(one: End, seq: int, payload: bytes, pointer: int) -> None:
    """Hand `one` a segment with URG."""
    segment = peer(one, ACK | URG, seq, payload=payload)
    segment.urgent = pointer
    one.connection.receive(segment, one.now)
    one.connection.check_invariants()


def pointer(out: Outgoing) -> int:
    """SEG.UP of `out`, 0 without URG."""
    return out.seq + out.urgent if out.flags & URG else 0


# --- sending


def test_the_pointer_tells_the_number_after_the_last_urgent_byte() -> None:
    """3.8.5 (MUST-30, MUST-62), RFC 6093 3.1."""
    one = established()
    one.connection.write(b"abc!", 0, WRITE_URGENT)
    out = last(one)
    assert (out.flags & URG, out.urgent, pointer(out)) == (URG, 4, ISS + 5)


def test_every_segment_that_begins_before_the_urgent_end_carries_it() -> None:
    """3.8.5: "carried in all segments"; once the urgent data is behind, URG is off."""
    one = established()
    one.connection.write(bytes(2 * MSS), 0, WRITE_URGENT)
    one.connection.write(bytes(2 * MSS), 0)
    assert [pointer(out) for out in one.out()] == [ISS + 1 + 2 * MSS] * 2 + [0, 0]


def test_a_pointer_farther_than_16_bits_is_approached_step_by_step() -> None:
    """3.8.5 (MUST-31): urgent data of any length."""
    one = established()
    one.connection.sender.congestion.cwnd = 1 << 20
    say(one, ACK, window=65_535)
    one.connection.write(bytes(100_000), 0, WRITE_URGENT)
    one.connection.sender.max_snd_wnd = one.connection.sender.snd_wnd = 1 << 20
    outs = one.out()
    ends = [pointer(out) for out in outs]
    assert ends[0] == ISS + 1 + 65_535
    assert ends == sorted(ends)
    assert ends[-1] == ISS + 1 + 100_000


def test_urgent_data_goes_at_once_past_nagle() -> None:
    """3.8.5: timely."""
    one = established()
    one.connection.write(b"a", 0)
    one.out()
    one.connection.write(b"!", 0, WRITE_URGENT)
    assert one.sends() == ["PSH,ACK,URG seq=102 ack=301 len=1"]


def test_urgent_data_goes_past_nagle_although_an_ack_has_told_of_it_before() -> None:
    """An ACK with URG may leave first in the same transmission."""
    one = established()
    one.connection.write(b"a", 0)
    one.out()
    one.connection.write(b"!", 0, WRITE_URGENT)
    hear(one, ACK, IRS + 11, payload=b"gap")
    assert one.sends() == ["ACK,URG seq=102 ack=301", "PSH,ACK,URG seq=102 ack=301 len=1"]


def test_behind_a_closed_window_the_peer_is_told_at_once_and_once() -> None:
    """3.8.5: the pointer may run ahead of the data (RFC 9293 3.10.2 URGENT)."""
    one = syn_sent()
    say(one, SYN | ACK, IRS, ISS + 1, window=0)
    one.connection.write(b"abc!", 0, WRITE_URGENT)
    out = last(one)
    assert (out.reason, out.flags & URG, pointer(out), len(out.payload)) == (URGENT_NOTICE, URG, ISS + 5, 0)
    assert one.sends() == []


def test_an_ack_that_leaves_anyway_tells_it_too() -> None:
    """No second segment for the same news."""
    one = syn_sent()
    say(one, SYN | ACK, IRS, ISS + 1, window=0)
    hear(one, FIN | ACK, IRS + 1, window=0)
    one.connection.write(b"!", 0, WRITE_URGENT)
    assert one.sends() == ["ACK,URG seq=101 ack=302"]
    assert one.sends() == []


def test_urgent_data_written_before_the_handshake_counts_from_behind_the_syn() -> None:
    """3.10.2 SYN-SENT: queued."""
    one = syn_sent()
    one.connection.write(b"ab", 0)
    one.connection.write(b"!", 0, WRITE_URGENT)
    hear(one, SYN | ACK, IRS, ISS + 1)
    assert pointer(last(one)) == ISS + 4


def test_a_later_urgent_write_moves_the_pointer_on() -> None:
    """3.8.5: it cannot recede."""
    one = established()
    one.connection.write(b"a", 0, WRITE_URGENT)
    one.connection.write(b"b", 0, WRITE_URGENT)
    assert pointer(last(one)) == ISS + 3


def test_a_write_taken_in_part_has_not_yet_its_urgent_end() -> None:
    """3.10.2: the urgent point is the end of the SEND; the rest of it is still to be written."""
    one = established(PLAIN.replace(send_buffer=3))
    assert one.connection.write(b"abc!", 0, WRITE_URGENT) == 3
    assert not last(one).flags & URG
    say(one, ACK, ack=ISS + 4)
    assert one.connection.write(b"!", 0, WRITE_URGENT) == 1
    assert pointer(last(one)) == ISS + 5


def test_once_acknowledged_urgent_data_is_forgotten() -> None:
    """3.8.5: "The absence of this flag indicates that there is no urgent data outstanding"."""
    one = established()
    one.connection.write(b"!", 0, WRITE_URGENT)
    one.out()
    say(one, ACK, ack=ISS + 2)
    one.connection.write(b"calm", 0)
    assert not last(one).flags & URG


# --- receiving


@BOTH
def test_the_last_urgent_byte_is_read_out_of_band_and_the_mark_stands_where_it_was(config: TcpConfig) -> None:
    """RFC 6093 3.4, sockets: MSG_OOB takes the byte before the pointer; reading stops at the mark."""
    one = established(config)
    tell(one, IRS + 1, b"ab!cd", 3)
    assert one.connection.has_urgent
    assert one.connection.read(100, 0) == b"ab"
    assert one.connection.at_mark
    assert one.connection.read_urgent(peek=True) == b"!"
    assert one.connection.read_urgent() == b"!"
    assert one.connection.read_urgent() == b""
    assert one.connection.read(100, 0) == b"cd"
    assert not one.connection.at_mark


@BOTH
def test_in_line_the_byte_stays_in_the_stream_and_a_read_still_stops_at_the_mark(config: TcpConfig) -> None:
    """RFC 6093 6: SO_OOBINLINE is what applications should use."""
    one = established(config)
    one.connection.set_option("oob_inline", 1, 0)
    tell(one, IRS + 1, b"ab!cd", 3)
    assert one.connection.read(100, 0) == b"ab"
    assert one.connection.at_mark
    assert one.connection.read_urgent() == b""
    assert one.connection.read(100, 0) == b"!cd"


@BOTH
def test_the_pointer_may_come_long_before_the_byte(config: TcpConfig) -> None:
    """3.8.5: urgent mode begins with the pointer (MUST-32) and ends when RCV.NXT reaches it."""
    one = established(config)
    tell(one, IRS + 1, b"", 5)
    assert one.connection.receiver.urgent_pending
    hear(one, ACK, payload=b"abc")
    assert one.connection.receiver.urgent_pending
    hear(one, ACK, IRS + 4, payload=b"d!e")
    assert not one.connection.receiver.urgent_pending
    assert one.connection.read(100, 0) == b"abcd"
    assert one.connection.read_urgent() == b"!"
    assert one.connection.read(100, 0) == b"e"


@BOTH
def test_an_urgent_byte_that_is_all_of_a_segment_leaves_nothing_to_read(config: TcpConfig) -> None:
    """RFC 6093 3.4."""
    one = established(config)
    tell(one, IRS + 1, b"!", 1)
    assert one.connection.readable() == 0
    assert one.connection.read(10, 0) == b""
    assert one.connection.read_urgent() == b"!"
    hear(one, ACK, IRS + 2, payload=b"next")
    assert one.connection.read(10, 0) == b"next"


def test_the_pointer_never_recedes() -> None:
    """3.10.7.4 sixth: RCV.UP <- max(RCV.UP, SEG.UP)."""
    one = established()
    tell(one, IRS + 1, b"", 9)
    tell(one, IRS + 1, b"", 4)
    assert one.connection.receiver.rcv_up == IRS + 10


def test_a_pointer_to_what_has_been_delivered_is_no_news() -> None:
    """3.10.7.4 sixth; 3.8.5: "robust to invalid urgent pointer values"."""
    one = established()
    hear(one, ACK, payload=b"abcdef")
    tell(one, IRS + 7, b"x", 0)
    tell(one, IRS + 2, b"bcdef", 3)
    assert not one.connection.receiver.urgent_pending
    assert one.connection.read(100, 0) == b"abcdefx"


def test_after_the_peers_fin_urg_is_ignored() -> None:
    """3.10.7.4 sixth, CLOSE-WAIT and later."""
    one = close_wait()
    tell(one, IRS + 2, b"", 5)
    assert not one.connection.receiver.urgent_pending


def test_a_new_urgent_point_replaces_one_that_was_not_read() -> None:
    """RFC 6093 3.4: one byte of room, as the sockets interface has it."""
    one = established()
    tell(one, IRS + 1, b"a!", 2)
    tell(one, IRS + 3, b"b?", 2)
    assert one.connection.read_urgent() == b"?"
    assert one.connection.read(100, 0) == b"ab"


def test_a_new_urgent_point_makes_the_old_byte_and_mark_past() -> None:
    """3.8.5: "If the urgent pointer is updated while the user is in urgent mode, the update will be invisible"."""
    one = established()
    tell(one, IRS + 1, b"!", 1)
    assert one.connection.has_urgent and one.connection.at_mark
    tell(one, IRS + 2, b"ab", 10)
    assert not one.connection.has_urgent
    assert not one.connection.at_mark
    assert one.connection.urgent_remains


def test_the_application_learns_how_much_lies_before_the_mark() -> None:
    """3.8.5 (MUST-33): at the mark or not, and reading stops there."""
    one = established()
    tell(one, IRS + 1, b"abcdef!", 7)
    seen = b""
    while not one.connection.at_mark:
        seen += one.connection.read(2, 0)
    assert seen == b"abcdef"


def test_urgent_data_remains_from_the_pointers_arrival_until_it_is_read() -> None:
    """3.8.5 (MUST-32, MUST-33): announced, partly read, at the mark, over."""
    for inline in (0, 1):
        one = established()
        one.connection.set_option("oob_inline", inline, 0)
        assert not one.connection.urgent_remains
        tell(one, IRS + 1, b"", 3)
        assert one.connection.urgent_remains
        hear(one, ACK, payload=b"ab!c")
        one.connection.read(2, 0)
        assert one.connection.urgent_remains
        assert (one.connection.read(1, 0) if inline else one.connection.read_urgent()) == b"!"
        assert not one.connection.urgent_remains


def test_who_receives_no_more_has_no_urgent_data_either() -> None:
    """3.8.5: nothing remains to be read."""
    one = established()
    tell(one, IRS + 1, b"a!", 2)
    tell(one, IRS + 3, b"", 9)
    one.connection.shutdown_receive(0)
    assert not one.connection.urgent_remains
    assert not one.connection.has_urgent


def test_with_a_closed_window_the_pointer_still_counts() -> None:
    """3.8.6 (MUST-66)."""
    one = full()
    tell(one, IRS + 101, b"x", 1)
    assert one.connection.receiver.urgent_pending
    one.connection.read(100, 0)
    one.out()
    hear(one, ACK, IRS + 101, payload=b"x")
    assert one.connection.read_urgent() == b"x"
