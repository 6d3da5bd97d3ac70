"""Text in order and out of order, and when it is acknowledged: RFC 9293 3.10.7.4 seventh, 3.8.6.3; RFC 5681 4.2."""

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.errors import DropReason, UsageError
from synfin.engine.segment import ACK, ACK_DELAYED, ACK_DUPLICATE, ACK_SECOND, FIN, PSH
from synfin.engine.state import State
from tests.engine.harness import MILLISECOND, PLAIN, SECOND
from tests.rfc.build import (
    IRS,
    ISS,
    close_wait,
    established,
    fin_wait_1,
    fin_wait_2,
    gap,
    hear,
    last,
    peer,
    say,
    until,
    watch,
)

MSS = 1460


def test_text_in_order_is_readable_at_once_with_psh_or_without() -> None:
    """3.10.7.4 seventh; 3.9.1.3 (MAY-17): a read is never kept waiting for a PSH."""
    one = established()
    say(one, ACK, payload=b"with")
    say(one, ACK | PSH, IRS + 5, payload=b"out")
    assert one.connection.read(3, 0) == b"wit"
    assert one.connection.read(100, 0) == b"hout"
    assert one.connection.read(100, 0) == b""


@pytest.mark.parametrize("build", [fin_wait_1, fin_wait_2])
def test_text_is_taken_after_our_own_close_as_before(build: object) -> None:
    """3.10.7.4 seventh: ESTABLISHED, FIN-WAIT-1 and FIN-WAIT-2 alike, out of order too."""
    assert callable(build)
    one = build(PLAIN)
    nxt = one.connection.sender.snd_nxt
    say(one, ACK, IRS + 6, nxt, payload=b"world")
    say(one, ACK, IRS + 1, nxt, payload=b"hello")
    assert one.connection.read(100, 0) == b"helloworld"


def test_text_after_the_peers_fin_is_ignored() -> None:
    """3.10.7.4 seventh, CLOSE-WAIT: "Ignore the segment text"."""
    one = close_wait()
    say(one, ACK, IRS + 2, payload=b"more")
    assert one.connection.readable() == 0
    assert one.connection.receiver.rcv_nxt == IRS + 2


def test_a_segment_out_of_order_is_kept_and_delivered_when_the_gap_fills() -> None:
    """3.10.7.4 first (SHLD-31)."""
    one = established()
    for start, payload in ((11, b"ccccc"), (16, b"ddddd"), (6, b"bbbbb")):
        say(one, ACK, IRS + start, payload=payload)
    assert one.connection.readable() == 0
    say(one, ACK, payload=b"aaaaa")
    assert one.connection.read(100, 0) == b"aaaaabbbbbcccccddddd"


def test_overlapping_segments_give_each_byte_once() -> None:
    """3.10.7.4 first: "we reconstruct the segment to contain just the new data" (3.10)."""
    data = bytes(range(60))
    one = established()
    for start, size in ((10, 10), (15, 10), (5, 30), (40, 10), (33, 20), (0, 7), (3, 50), (52, 8)):
        say(one, ACK, IRS + 1 + start, payload=data[start : start + size])
    assert one.connection.read(100, 0) == data
    assert one.connection.receiver.reassembly is None


def test_text_beyond_the_window_is_cut_off() -> None:
    """3.10.7.4 first: trimmed to the window."""
    one = established(PLAIN.replace(receive_buffer=100))
    say(one, ACK, payload=bytes(150))
    assert (one.connection.readable(), one.connection.receiver.rcv_wnd) == (100, 0)


def test_text_out_of_order_beyond_the_window_is_cut_off() -> None:
    """3.10.7.4 first: trimmed to the window."""
    one = established(PLAIN.replace(receive_buffer=100))
    say(one, ACK, IRS + 51, payload=bytes(100))
    say(one, ACK, payload=bytes(50))
    assert (one.connection.readable(), one.connection.receiver.rcv_wnd) == (100, 0)


def test_each_segment_out_of_order_is_acknowledged_at_once() -> None:
    """RFC 5681 4.2; RFC 9293 3.10.7.4 (MAY-13): <ACK=RCV.NXT>, one each."""
    one = established()
    for number in range(3):
        hear(one, ACK, IRS + 11 + 10 * number, payload=bytes(10))
    out = one.out()
    assert [(ack.ack, ack.reason) for ack in out] == [(IRS + 1, ACK_DUPLICATE)] * 3


def test_a_segment_that_fills_a_gap_or_part_of_it_is_acknowledged_at_once() -> None:
    """RFC 5681 4.2."""
    one = established()
    say(one, ACK, IRS + 21, payload=bytes(10))
    assert say(one, ACK, payload=bytes(5)) == ["ACK seq=101 ack=306"]
    assert say(one, ACK, IRS + 6, payload=bytes(15)) == ["ACK seq=101 ack=331"]


def test_the_first_segment_waits_for_the_delayed_ack_and_the_second_does_not() -> None:
    """3.8.6.3 (SHLD-18, SHLD-19)."""
    one = established()
    hear(one, ACK, payload=bytes(MSS))
    assert one.out() == []
    hear(one, ACK, IRS + 1 + MSS, payload=bytes(MSS))
    out = last(one)
    assert (out.ack, out.reason) == (IRS + 1 + 2 * MSS, ACK_SECOND)


def test_a_single_segment_is_acknowledged_after_less_than_half_a_second() -> None:
    """3.8.6.3 (MUST-40)."""
    one = established()
    hear(one, ACK, payload=b"x")
    assert until(one, SECOND) == ["40 ACK seq=101 ack=302"]
    assert watch(one).timers == ["delayed ACK"]
    with pytest.raises(UsageError, match="MUST-40"):
        TcpConfig(delayed_ack=SECOND // 2)


def test_the_delay_counts_from_the_first_segment_not_acknowledged() -> None:
    """3.8.6.3: a later segment does not prolong it."""
    one = established(PLAIN.replace(ack_every=5))
    hear(one, ACK, payload=b"x")
    assert until(one, 30 * MILLISECOND) == []
    hear(one, ACK, IRS + 2, payload=b"y")
    assert until(one, SECOND) == ["40 ACK seq=101 ack=303"]


def test_a_delayed_ack_rides_on_data_that_goes_out() -> None:
    """3.10.7.4 seventh: "piggybacked on a segment being transmitted if possible without incurring undue delay"."""
    one = established()
    hear(one, ACK, payload=b"ask")
    assert one.out() == []
    one.connection.write(b"answer", 0)
    assert one.sends() == ["PSH,ACK seq=101 ack=304 len=6"]
    assert one.connection.timers.delayed_ack == (1 << 63) - 1


def test_many_segments_received_before_one_transmission_are_acknowledged_together() -> None:
    """3.10.7.4 first (MUST-58, MUST-59): process all that is queued before sending any ACK."""
    one = established()
    for number in range(10):
        hear(one, ACK, IRS + 1 + number * MSS, payload=bytes(MSS))
    assert one.sends() == [f"ACK seq=101 ack={IRS + 1 + 10 * MSS}"]


def test_a_merged_segment_counts_as_the_wire_segments_it_was_made_of() -> None:
    """3.8.6.3 (SHLD-19): a super-segment of two or more is acknowledged at once."""
    one = established()
    segment = peer(one, ACK, payload=bytes(2 * MSS))
    segment.segments = 2
    assert one.take(segment) == [f"ACK seq=101 ack={IRS + 1 + 2 * MSS}"]


def test_delayed_ack_zero_acknowledges_every_segment() -> None:
    """3.8.6.3: delaying is a choice."""
    one = established(PLAIN.replace(delayed_ack=0))
    assert say(one, ACK, payload=b"x") == ["ACK seq=101 ack=302"]


def test_the_reason_of_a_delayed_ack_is_the_timer() -> None:
    """What a trace says is decided where the segment is made."""
    one = established()
    hear(one, ACK, payload=b"x")
    one.now = 40 * MILLISECOND
    one.connection.handle_timers(one.now)
    assert last(one).reason == ACK_DELAYED


# --- FIN


def test_a_fin_is_acknowledged_and_takes_one_sequence_number() -> None:
    """3.4, 3.10.7.4 eighth."""
    one = established()
    assert say(one, FIN | ACK, payload=b"bye") == ["ACK seq=101 ack=305"]
    assert one.connection.state is State.CLOSE_WAIT
    assert one.connection.peer_closed
    assert one.connection.read(10, 0) == b"bye"


def test_a_fin_out_of_order_waits_for_what_is_before_it() -> None:
    """3.10.7.4 eighth: RCV.NXT advances over the FIN, so all before it must have come."""
    one = gap()
    assert one.connection.state is State.ESTABLISHED
    say(one, ACK, payload=bytes(20))
    say(one, ACK, IRS + 41, payload=bytes(10))
    assert one.connection.state is State.CLOSE_WAIT
    assert one.connection.readable() == 60
    assert one.connection.receiver.rcv_nxt == IRS + 62


def test_a_lone_fin_out_of_order_is_acknowledged_as_a_gap_and_remembered() -> None:
    """3.10.7.4 first, eighth."""
    one = established()
    assert say(one, FIN | ACK, IRS + 4) == ["ACK seq=101 ack=301"]
    assert say(one, ACK, payload=b"abc") == ["ACK seq=101 ack=305"]
    assert one.connection.state is State.CLOSE_WAIT


def test_a_repeated_fin_is_acknowledged_again() -> None:
    """3.10.7.4 first: unacceptable, with a length."""
    one = close_wait()
    assert say(one, FIN | ACK) == ["ACK seq=101 ack=302"]
    assert one.connection.state is State.CLOSE_WAIT


def test_a_fin_behind_text_that_has_come_before_is_new() -> None:
    """3.10.7.4 first: "only the new parts are processed", and the FIN is one of them."""
    one = established()
    say(one, ACK, payload=b"abc")
    assert say(one, FIN | ACK, payload=b"abc") == ["ACK seq=101 ack=305"]
    assert one.connection.state is State.CLOSE_WAIT
    assert one.connection.read(10, 0) == b"abc"


def test_a_fin_behind_text_that_fills_the_window_is_taken_with_it() -> None:
    """3.4: a FIN takes a number but no room in the buffer."""
    one = established(PLAIN.replace(receive_buffer=100))
    assert say(one, FIN | ACK, payload=bytes(100)) == ["ACK seq=101 ack=402"]
    assert one.connection.state is State.CLOSE_WAIT


def test_a_fin_beyond_the_window_is_not_taken() -> None:
    """3.10.7.4 first: "trimming off any portions that lie outside the window (including SYN and FIN)"."""
    one = established(PLAIN.replace(receive_buffer=100))
    say(one, FIN | ACK, payload=bytes(101))
    one.connection.read(100, 0)
    one.sends()
    say(one, ACK, IRS + 101, payload=b"x")
    assert one.connection.state is State.ESTABLISHED


def test_a_fin_that_contradicts_the_text_received_is_forgotten() -> None:
    """3.10.7.4 eighth: a peer that sends text past its own FIN must not close the stream 2^32 bytes later."""
    one = established()
    say(one, FIN | ACK, IRS + 4)
    say(one, ACK, payload=b"abcdef")
    assert one.connection.state is State.ESTABLISHED
    assert one.connection.receiver.fin_seq == -1
    assert one.connection.read(10, 0) == b"abcdef"


def test_what_was_kept_beyond_the_fin_is_given_up_with_it() -> None:
    """3.10.7.4 seventh: nothing follows a FIN; memory is freed."""
    one = established()
    say(one, ACK, IRS + 21, payload=bytes(10))
    say(one, FIN | ACK, payload=b"end")
    assert one.connection.state is State.CLOSE_WAIT
    assert one.connection.receiver.reassembly is None


def test_the_ack_of_a_fin_may_wait_where_it_is_configured_so() -> None:
    """3.10.7.4 eighth asks for an ACK; 3.8.6.3 lets any wait: so a FIN of ours can join it."""
    one = established(PLAIN.replace(ack_fin_at_once=False))
    assert say(one, FIN | ACK) == []
    assert until(one, SECOND) == ["40 ACK seq=101 ack=302"]
    one = established(PLAIN.replace(ack_fin_at_once=False))
    hear(one, FIN | ACK)
    one.connection.shutdown_send(0)
    assert one.sends() == ["FIN,ACK seq=101 ack=302"]


# --- limits


@pytest.mark.parametrize("order", [range(6), range(5, -1, -1)], ids=["forwards", "backwards"])
def test_out_of_order_pieces_are_bounded_in_number(order: range) -> None:
    """RFC 9293 SHLD-31 says "held"; a bound keeps a hostile peer from filling memory with pieces."""
    one = established(PLAIN.replace(reassembly_segments=4))
    for number in order:
        assert say(one, ACK, IRS + 11 + 10 * number, payload=b"x") == ["ACK seq=101 ack=301"]
    assert watch(one).drops == [DropReason.REASSEMBLY_FULL] * 2
    reassembly = one.connection.receiver.reassembly
    assert reassembly is not None and len(reassembly.runs) == 4


def test_the_acks_number_is_that_of_the_moment_it_leaves() -> None:
    """3.10.7.4 seventh: <ACK=RCV.NXT>."""
    one = established()
    hear(one, ACK, IRS + 11, payload=bytes(10))
    hear(one, ACK, payload=bytes(10))
    assert [out.ack for out in one.out()] == [IRS + 21]
    assert one.connection.sender.snd_nxt == ISS + 1
