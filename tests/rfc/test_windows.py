"""Windows: RFC 9293 3.8.6 (managing), 3.8.6.1 (zero-window probes), 3.8.6.2 (silly windows, both sides); RFC 7323 2.4."""

import random

import pytest

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.errors import CloseReason
from synfin.engine.segment import (
    ACK,
    ACK_DUPLICATE,
    ACK_WINDOW_UPDATE,
    PSH,
    RETRANSMIT_OPENED,
    SYN,
    WINDOW_PROBE,
    Outgoing,
)
from synfin.engine.state import State
from tests.engine.harness import MILLISECOND, PLAIN, SECOND, End, Pair
from tests.rfc.build import FULL, IRS, ISS, established, full, hear, in_flight, last, say, syn_sent, until, watch

MSS = 1460
FULL_MSS = MSS - 12  # beside timestamps


def opened(window: int, config: TcpConfig = PLAIN) -> End:
    """ESTABLISHED with a peer that offers `window` from the start."""
    one = syn_sent(config)
    say(one, SYN | ACK, IRS, ISS + 1, window=window)
    return one


def edge(out: Outgoing, shift: int) -> int:
    """The right edge that a segment announces."""
    return out.ack + (out.window << shift)


# --- what we offer


def test_the_window_is_an_unsigned_number_of_16_bits() -> None:
    """3.1 (MUST-1, REC-1): 65535 is no negative number, and 32 bits are kept of it."""
    one = opened(65_535)
    assert one.connection.sender.snd_wnd == 65_535
    scaled = established(FULL)
    say(scaled, ACK, window=65_535)
    assert scaled.connection.sender.snd_wnd == 65_535 << 2


def test_the_window_shrinks_by_what_is_unread_and_its_right_edge_stands() -> None:
    """3.8.6 (SHLD-14): RCV.NXT + RCV.WND is not reduced."""
    one = established()
    edges = []
    for number in range(10):
        hear(one, ACK, IRS + 1 + number * 2000, payload=bytes(1000))
        hear(one, ACK, IRS + 1001 + number * 2000, payload=bytes(1000))
        edges.append(edge(last(one), 0))
    assert edges == [IRS + 1 + 65_535] * 10


@pytest.mark.parametrize("seed", range(20))
def test_what_was_ever_offered_is_taken_and_the_announced_edge_falls_back_by_less_than_the_scale(seed: int) -> None:
    """RFC 7323 2.4: honour any segment that would have been in window for any ACK sent; RFC 9293 3.8.6 (SHLD-14)."""
    rng = random.Random(seed)
    one = established(TcpConfig(receive_buffer=rng.choice((70_000, 262_144, 3_000_000)), delayed_ack=0, timestamps=False))
    receiver = one.connection.receiver
    shift = receiver.shift
    assert shift > 0
    seq = IRS + 1
    furthest = 0
    for _ in range(300):
        size = min(rng.randrange(1, 3000), receiver.rcv_wnd)
        if size:
            hear(one, ACK, seq, payload=bytes(size))
            seq += size
        if rng.random() < 0.5:
            one.connection.read(rng.randrange(1, 5000), 0)
        for out in one.out():
            assert edge(out, shift) > furthest - (1 << shift)
            furthest = max(furthest, edge(out, shift))
            assert receiver.rcv_edge == furthest
    free = receiver.rcv_wnd
    hear(one, ACK, seq, payload=bytes(free))
    assert receiver.rcv_nxt == furthest


def test_small_reads_do_not_let_rounding_open_the_window_for_ever() -> None:
    """RFC 7323 2.4: rounding up each announcement would give more than the buffer has."""
    one = established(TcpConfig(receive_buffer=1 << 20, delayed_ack=0, timestamps=False))
    receiver = one.connection.receiver
    seq = IRS + 1
    while receiver.rcv_wnd and receiver.size < 3 << 20:
        size = min(7, receiver.rcv_wnd) if receiver.rcv_wnd < 200 else receiver.rcv_wnd - 100
        hear(one, ACK, seq, payload=bytes(size))
        seq += size
        one.out()
    assert receiver.size < (1 << 20) + (1 << receiver.shift)


def test_a_smaller_buffer_never_takes_back_what_was_offered() -> None:
    """3.8.6 (SHLD-14): TCP peers will not shrink the window themselves."""
    one = established()
    one.connection.set_option("receive_buffer", 1000, 0)
    for number in range(5):
        hear(one, ACK, IRS + 1 + number * 1000, payload=bytes(1000))
        hear(one, ACK, IRS + 1 + number * 1000, payload=bytes(1000))
        assert edge(one.out()[-1], 0) == IRS + 1 + 65_535
    assert one.connection.readable() == 5000


def test_a_full_buffer_closes_the_window_and_it_may_stay_closed() -> None:
    """3.8.6.1 (MAY-8)."""
    one = full()
    assert one.connection.receiver.rcv_wnd == 0
    hear(one, ACK, IRS + 101, payload=b"p")
    assert last(one).window == 0


def test_a_buffer_is_at_least_one_byte_and_at_most_what_sequence_numbers_can_tell_apart() -> None:
    """RFC 7323 2.3: windows of at most 2^30."""
    one = established(FULL)
    for name in ("send_buffer", "receive_buffer"):
        one.connection.set_option(name, 0, 0)
    assert (one.connection.sender.capacity, one.connection.receiver.capacity) == (1, 1)
    for name in ("send_buffer", "receive_buffer"):
        one.connection.set_option(name, 1 << 40, 0)
    assert (one.connection.sender.capacity, one.connection.receiver.capacity) == (1 << 30, 1 << 30)


# --- receiver's silly-window avoidance


def test_the_edge_moves_only_by_a_full_segment_or_half_of_the_buffer() -> None:
    """3.8.6.2.2 (MUST-39): until RCV.BUFF - RCV.USER - RCV.WND >= min(Fr * RCV.BUFF, Eff.snd.MSS), Fr = 1/2."""
    one = established(PLAIN.replace(receive_buffer=10_000))
    for number in range(10):
        hear(one, ACK, IRS + 1 + number * 1000, payload=bytes(1000))
    assert last(one).window == 0
    one.connection.read(MSS - 1, 0)
    hear(one, ACK, IRS + 10_001, payload=b"?")
    assert last(one).window == 0
    one.connection.read(1, 0)
    hear(one, ACK, IRS + 10_001, payload=b"?")
    assert last(one).window == MSS


def test_with_a_small_buffer_half_of_it_is_enough() -> None:
    """3.8.6.2.2: Fr * RCV.BUFF where that is less than a segment."""
    one = full()
    one.connection.read(49, 0)
    assert one.sends() == []
    one.connection.read(1, 0)
    out = last(one)
    assert (out.window, out.reason) == (50, ACK_WINDOW_UPDATE)


def test_reading_tells_the_peer_when_the_window_opens_by_two_segments_from_nearly_closed() -> None:
    """3.8.6.2.2: a window update leaves without waiting for data."""
    one = established(PLAIN.replace(receive_buffer=20_000))
    for number in range(20):
        hear(one, ACK, IRS + 1 + number * 1000, payload=bytes(1000))
    assert last(one).window == 0
    one.connection.read(2 * MSS - 1, 0)
    assert one.sends() == []
    one.connection.read(1, 0)
    assert last(one).window == 2 * MSS


def test_reading_tells_nothing_while_the_peer_still_has_room() -> None:
    """3.8.6.2.2: the edge may advance, but a segment of its own is needed only where the peer may run dry."""
    one = established()
    for number in range(4):
        hear(one, ACK, IRS + 1 + number * 10_000, payload=bytes(10_000))
    one.out()
    one.connection.read(40_000, 0)
    assert one.sends() == []
    hear(one, ACK, IRS + 40_001, payload=bytes(20_000))
    one.connection.read(20_000, 0)
    assert last(one).window == 65_535


def test_a_larger_buffer_opens_a_closed_window_at_once() -> None:
    """3.8.6.2.2: the reduction grew."""
    one = full()
    one.connection.set_option("receive_buffer", 10_000, 0)
    assert last(one).window == 9_900


def test_a_reader_of_single_bytes_does_not_make_a_silly_window() -> None:
    """3.8.6.2.2 (MUST-39): the peer never sees an offer of less than half the buffer or a segment."""
    one = full()
    windows = []
    for _ in range(100):
        one.connection.read(1, 0)
        windows += [out.window for out in one.out()]
    assert windows == [50, 100]


# --- what we use


def test_data_beyond_the_window_waits() -> None:
    """3.8.6: the range of new sequence numbers lies between SND.NXT and SND.UNA + SND.WND - 1."""
    one = opened(2000)
    one.connection.write(bytes(5000), 0)
    assert sum(len(out.payload) for out in one.out()) == MSS
    assert until(one, 100 * MILLISECOND) == []
    assert say(one, ACK, ack=ISS + 1 + MSS, window=2919) == [f"ACK seq={ISS + 1 + MSS} ack=301 len=1460"]


def test_a_window_that_shrinks_below_what_is_in_flight_stops_new_data() -> None:
    """3.8.6 (MUST-34, SHLD-15): the usable window is negative."""
    one = established()
    one.connection.write(bytes(5 * MSS), 0)
    one.connection.set_option("nodelay", 1, 0)
    assert len(one.out()) == 5
    one.connection.write(b"more", 0)
    one.connection.sender.congestion.cwnd = 1 << 20
    assert say(one, ACK, ack=ISS + 1 + MSS, window=MSS) == []
    assert one.connection.sender.snd_nxt == ISS + 1 + 5 * MSS
    assert one.connection.state is State.ESTABLISHED


def test_of_a_shrunken_window_the_old_data_inside_is_retransmitted() -> None:
    """3.8.6 (SHLD-16)."""
    one = established()
    one.connection.write(bytes(5 * MSS), 0)
    one.out()
    say(one, ACK, ack=ISS + 1 + MSS, window=1000)
    assert one.at(one.connection.next_deadline()) == [f"ACK seq={ISS + 1 + MSS} ack=301 len=1000"]


def test_a_window_that_shrinks_to_zero_is_probed() -> None:
    """3.8.6 (MUST-35)."""
    one = established()
    one.connection.write(bytes(5 * MSS), 0)
    one.out()
    say(one, ACK, ack=ISS + 1 + MSS, window=0)
    assert until(one, 700 * MILLISECOND) == [
        f"200 ACK seq={ISS + 1 + MSS} ack=301 len=1",
        f"600 ACK seq={ISS + 1 + MSS} ack=301 len=1",
    ]


def test_data_beyond_a_shrunken_edge_does_not_time_the_connection_out() -> None:
    """3.8.6 (SHLD-17): as long as the peer answers."""
    one = established()
    one.connection.write(bytes(2 * MSS), 0)
    one.out()
    say(one, ACK, window=0)
    for _ in range(40):
        one.now = one.connection.next_deadline()
        one.connection.handle_timers(one.now)
        if one.sends():
            say(one, ACK, window=0)
    assert one.now > 1000 * SECOND
    assert one.connection.state is State.ESTABLISHED


def test_a_window_that_fell_back_by_less_than_the_scale_does_not_cut_a_retransmission_short() -> None:
    """RFC 7323 2.4 (4): out of window by less than 2^Rcv.Wind.Shift: retransmit normally."""
    one = established(TcpConfig(timestamps=False))
    say(one, ACK, window=MSS // 4)
    one.connection.write(bytes(MSS), 0)
    assert len(last(one).payload) == MSS
    say(one, ACK, ack=ISS + 2, window=MSS // 4 - 1)  # the edge: 1457, three short of what it was
    assert one.at(one.connection.next_deadline()) == ["PSH,ACK seq=102 ack=301 len=1459"]
    assert one.connection.sender.resend == -1


# --- zero-window probes


def test_the_first_probe_goes_after_one_rto_and_the_next_ones_at_doubled_intervals() -> None:
    """3.8.6.1 (MUST-36, SHLD-29, SHLD-30)."""
    one = opened(0)
    one.connection.write(b"abc", 0)
    log = until(one, 130 * SECOND)
    assert log == [f"{at} ACK seq=101 ack=301 len=1" for at in (200, 600, 1400, 3000, 6200, 12_600, 25_400, 51_000, 102_200)]


def test_the_interval_of_probes_has_a_limit() -> None:
    """3.8.6.1: exponential, as the RTO itself at most 60 s or more."""
    one = opened(0, PLAIN.replace(user_timeout=NEVER))
    one.connection.write(b"abc", 0)
    times = [int(line.split()[0]) for line in until(one, 600 * SECOND)]
    assert {later - earlier for earlier, later in zip(times[-4:], times[-3:], strict=False)} == {60_000}


def test_a_probe_is_one_byte_of_new_data_beyond_the_window_and_says_so() -> None:
    """3.8.6.1: "at least one octet of new data (if available)"."""
    one = opened(0)
    one.connection.write(b"abc", 0)
    one.out()
    one.now = one.connection.next_deadline()
    one.connection.handle_timers(one.now)
    out = last(one)
    assert (out.seq, bytes(out.payload), out.reason) == (ISS + 1, b"a", WINDOW_PROBE)


def test_an_answered_zero_window_stays_open_for_ever() -> None:
    """3.8.6.1 (MUST-37)."""
    one = opened(0)
    one.connection.write(b"abc", 0)
    one.out()
    while one.now < 3 * 3600 * SECOND:
        one.now = one.connection.next_deadline()
        one.connection.handle_timers(one.now)
        one.out()
        one.now += 10 * MILLISECOND
        assert say(one, ACK, window=0) == []
    assert one.connection.state is State.ESTABLISHED


def test_unanswered_probes_end_by_the_user_timeout_counted_from_the_first_of_them() -> None:
    """3.8.6.1, 3.9.1.1: the window may have been closed for long; what counts is the oldest probe without answer."""
    one = opened(0)
    one.connection.write(b"abc", 0)
    one.out()
    for _ in range(8):
        one.now = one.connection.next_deadline()
        one.connection.handle_timers(one.now)
        one.out()
        say(one, ACK, window=0)
    first = one.connection.next_deadline()
    until(one, 1000 * SECOND)
    assert one.connection.state is State.CLOSED
    assert one.connection.close_reason is CloseReason.TIMED_OUT
    assert watch(one).timers[-1] == "user timeout"
    assert one.now == 1000 * SECOND
    assert first + 300 * SECOND < one.now


def test_a_probe_that_the_peer_takes_is_followed_by_the_next_byte() -> None:
    """3.8.6.1: the peer accepted it and its window is closed still."""
    one = opened(0)
    one.connection.write(b"abc", 0)
    one.out()
    one.at(one.connection.next_deadline())
    assert say(one, ACK, ack=ISS + 2, window=0) == []
    assert until(one, 900 * MILLISECOND) == ["600 ACK seq=102 ack=301 len=1"]


def test_when_the_window_opens_all_that_waits_goes_at_once_the_probes_byte_included() -> None:
    """3.8.6.1: no silly segment of one byte is left over from probing."""
    one = opened(0)
    one.connection.write(b"abc", 0)
    one.out()
    one.at(one.connection.next_deadline())
    hear(one, ACK, window=1000)
    out = last(one)
    assert (out.flags, out.seq, bytes(out.payload), out.reason) == (ACK | PSH, ISS + 1, b"abc", RETRANSMIT_OPENED)
    assert say(one, ACK, ack=ISS + 4) == []
    assert one.connection.unacked() == 0


def test_when_the_window_opens_by_the_probes_answer_the_rest_goes_at_once() -> None:
    """3.8.6.1."""
    one = opened(0)
    one.connection.write(b"abc", 0)
    one.out()
    one.at(one.connection.next_deadline())
    assert say(one, ACK, ack=ISS + 2, window=1000) == ["PSH,ACK seq=102 ack=301 len=2"]


def test_what_was_in_flight_when_the_window_closed_goes_again_when_it_opens() -> None:
    """3.8.6.1, MAY-7: nothing is taken for granted that the peer has not acknowledged."""
    one = established()
    one.connection.write(bytes(3 * MSS), 0)
    one.out()
    say(one, ACK, window=0)
    assert say(one, ACK, window=60_000) == [
        "ACK seq=101 ack=301 len=1460",
        "ACK seq=1561 ack=301 len=1460",
        "PSH,ACK seq=3021 ack=301 len=1460",
    ]


def test_the_interval_starts_anew_each_time_the_window_closes() -> None:
    """3.8.6.1 (SHLD-29)."""
    one = opened(0)
    one.connection.write(bytes(30), 0)
    until(one, 10 * SECOND)
    say(one, ACK, ack=ISS + 2, window=10)
    one.out()
    one.now += MILLISECOND
    say(one, ACK, ack=ISS + 12, window=0)
    assert until(one, 11 * SECOND)[0].split()[0] == "10201"


def test_a_recovery_that_meets_a_closed_window_ends_there() -> None:
    """3.8.6.1: retransmission stops, probing begins; RFC 5681 3.2 (6): cwnd is ssthresh."""
    one = established()
    one.connection.write(bytes(8 * MSS), 0)
    one.out()
    for _ in range(3):
        hear(one, ACK)
    hear(one, ACK, ack=ISS + 1 + MSS, window=0)
    assert one.sends() == []
    assert not one.connection.sender.recovering
    assert one.connection.sender.congestion.cwnd == 4 * MSS


def test_duplicates_from_before_the_window_closed_do_not_count_after_it_opens() -> None:
    """RFC 5681 2: three of them in a row."""
    one = established()
    one.connection.write(bytes(6 * MSS), 0)
    one.out()
    for _ in range(2):
        hear(one, ACK)
    hear(one, ACK, window=0)
    hear(one, ACK)
    assert len(one.out()) == 6
    hear(one, ACK)
    assert not one.connection.sender.recovering


def test_duplicates_while_all_goes_again_anyway_bring_no_fast_retransmit() -> None:
    """RFC 5681 3.2: what is missing is on its way."""
    one = established()
    one.connection.write(bytes(6 * MSS), 0)
    one.out()
    say(one, ACK, window=0)
    one.connection.sender.congestion.cwnd = 2 * MSS
    assert len(say(one, ACK)) == 2
    for _ in range(4):
        assert say(one, ACK) == []
    assert not one.connection.sender.recovering


def test_after_a_long_closed_window_the_user_timeout_counts_from_its_opening() -> None:
    """3.8.6.1, 3.9.1.1: what was in flight when the window closed is sent anew, and may take its time anew."""
    one = established()
    one.connection.write(bytes(3 * MSS), 0)
    one.out()
    say(one, ACK, window=0)
    while one.now < 1000 * SECOND:
        one.now = one.connection.next_deadline()
        one.connection.handle_timers(one.now)
        one.out()
        say(one, ACK, window=0)
    opened_at = one.now
    assert len(say(one, ACK)) == 3
    until(one, opened_at + 300 * SECOND - 1)
    assert one.connection.state is State.ESTABLISHED
    until(one, opened_at + 300 * SECOND)
    assert str(one.connection.state) == "CLOSED"


def test_a_probe_that_was_due_before_the_window_opened_is_not_sent_when_it_closes_again() -> None:
    """3.8.6.1 (SHLD-29): the new closing waits a retransmission timeout of its own."""
    one = opened(0)
    one.connection.write(bytes(30), 0)
    one.out()
    one.now = one.connection.next_deadline()
    one.connection.handle_timers(one.now)
    hear(one, ACK, window=10)
    hear(one, ACK, window=0)
    assert one.sends() == []


def test_a_retransmission_into_a_window_that_the_data_fills_takes_no_fin_along() -> None:
    """3.4: the FIN counts in the window."""
    one = opened(10)
    one.connection.write(b"hello", 0)
    one.out()
    one.connection.write(b"world", 0)
    one.connection.shutdown_send(0)
    assert one.sends() == ["PSH,ACK seq=106 ack=301 len=5"]
    assert one.at(one.connection.next_deadline()) == ["PSH,ACK seq=101 ack=301 len=10"]


def test_acks_of_probes_are_no_duplicate_acks() -> None:
    """RFC 5681 2: they report no loss."""
    one = established()
    one.connection.write(bytes(3 * MSS), 0)
    one.out()
    for _ in range(6):
        assert say(one, ACK, window=0) == []
    assert not one.connection.sender.recovering
    assert one.connection.sender.congestion.cwnd == 10 * MSS


# --- sender's silly-window avoidance


def test_a_full_segment_goes_whatever_is_in_flight() -> None:
    """3.8.6.2.1 (1): min(D, U) >= Eff.snd.MSS."""
    one = opened(60_000)
    one.connection.write(bytes(MSS), 0)
    assert len(one.out()) == 1
    one.connection.write(bytes(MSS), 0)
    assert len(one.out()) == 1


def test_less_than_half_of_the_largest_window_waits_for_the_override() -> None:
    """3.8.6.2.1 (3), (4) (MUST-38): Fs = 1/2, override timeout 0.1 to 1 s."""
    one = opened(1000)
    one.connection.write(bytes(5000), 0)
    assert [len(out.payload) for out in one.out()] == [1000]
    assert say(one, ACK, ack=ISS + 1001, window=499) == []
    assert until(one, SECOND)[0] == "200 ACK seq=1101 ack=301 len=499"


def test_half_of_the_largest_window_is_enough() -> None:
    """3.8.6.2.1 (3): min(D, U) >= Fs * Max(SND.WND)."""
    one = opened(1000)
    one.connection.write(bytes(5000), 0)
    one.out()
    assert say(one, ACK, ack=ISS + 1001, window=500) == ["ACK seq=1101 ack=301 len=500"]


def test_all_that_is_queued_goes_when_nothing_is_in_flight() -> None:
    """3.8.6.2.1 (2): SND.NXT = SND.UNA, pushed, D =< U."""
    one = opened(60_000)
    one.connection.write(b"x", 0)
    assert one.sends() == ["PSH,ACK seq=101 ack=301 len=1"]


def test_a_silly_window_with_something_in_flight_waits_for_its_ack_not_for_a_timer() -> None:
    """3.8.6.2.1: the ACK that must come will tell the window again."""
    one = opened(2000)
    one.connection.write(bytes(5000), 0)
    assert [len(out.payload) for out in one.out()] == [MSS]
    assert one.connection.timers.persist == NEVER


def test_two_engines_with_tiny_buffers_never_fall_into_silly_windows() -> None:
    """3.8.6.2 (MUST-38, MUST-39): a slow reader of 1 byte at a time gets segments of half its buffer."""
    pair = Pair(PLAIN.replace(receive_buffer=3000)).open()
    pair.a.connection.write(bytes(20_000), 0)
    total = 0
    while total < 20_000:
        pair.run()
        chunk = pair.b.connection.read(100, pair.now)
        total += len(chunk)
        if not chunk:
            pair.until_quiet(SECOND)
    sizes = [int(line.split("len=")[1]) for line in pair.log if line.startswith("A") and "len=" in line]
    assert min(sizes[:-1]) >= MSS
    assert sum(sizes) == 20_000


def test_a_window_update_is_no_duplicate_ack() -> None:
    """RFC 5681 2 (e): the window differs."""
    one = in_flight()
    for window in (60_100, 60_200, 60_300, 60_400):
        say(one, ACK, IRS + 2001, window=window)
    assert not one.connection.sender.recovering
    assert one.connection.sender.duplicate_acks == 0


def test_a_larger_window_lets_waiting_data_go() -> None:
    """3.8.6."""
    one = opened(100)
    one.connection.write(bytes(1000), 0)
    assert [len(out.payload) for out in one.out()] == [100]
    one.connection.set_option("nodelay", 1, 0)
    assert say(one, ACK, window=1000) == ["PSH,ACK seq=201 ack=301 len=900"]


# --- where a segment without text stands, while SND.NXT lies beyond the peer's window


def probed() -> End:
    """The peer's window is closed, and a probe of one byte waits for its answer."""
    one = opened(0)
    one.connection.write(b"abc", 0)
    one.out()
    assert one.at(one.connection.next_deadline()) == [f"ACK seq={ISS + 1} ack=301 len=1"]
    return one


def test_an_ack_behind_an_unanswered_probe_stands_where_the_peer_takes_it() -> None:
    """3.10.7.4: with RCV.WND = 0 the peer takes what has SEG.SEQ = RCV.NXT alone; the probe's byte it has not taken."""
    one = probed()
    hear(one, ACK, IRS + 1, window=0, payload=bytes(MSS))
    answer = say(one, ACK, IRS + 1 + MSS, window=0, payload=bytes(MSS))
    assert answer == [f"ACK seq={ISS + 1} ack={IRS + 1 + 2 * MSS}"]


def test_an_abort_behind_an_unanswered_probe_stands_where_the_peer_believes_it() -> None:
    """RFC 5961 3.2: an RST counts at RCV.NXT alone."""
    one = probed()
    one.connection.abort(one.now)
    assert one.sends() == [f"RST,ACK seq={ISS + 1} ack=301"]


@pytest.mark.parametrize(("window", "offset"), [(3 * MSS, 3 * MSS), (3 * MSS - 1, 3 * MSS - 2), (1000, 999), (1, 0), (0, 0)])
def test_an_ack_stands_inside_of_a_window_that_shrank_below_what_is_in_flight(window: int, offset: int) -> None:
    """3.10.7.4: RCV.NXT =< SEG.SEQ < RCV.NXT + RCV.WND."""
    one = established()
    one.connection.write(bytes(4 * MSS), 0)
    one.out()
    hear(one, ACK, IRS + 1, ack=ISS + 1 + MSS, window=window, payload=bytes(MSS))
    answer = say(one, ACK, IRS + 1 + MSS, ack=ISS + 1 + MSS, window=window, payload=bytes(MSS))
    assert answer == [f"ACK seq={ISS + 1 + MSS + offset} ack={IRS + 1 + 2 * MSS}"]


def test_an_ack_stays_behind_what_a_window_fell_back_by_in_being_scaled() -> None:
    """RFC 7323 2.4: up to 2^shift - 1 bytes more than what is announced were offered before, and are taken."""
    one = established(FULL)
    one.connection.write(bytes(2 * FULL_MSS), 0)
    one.out()
    for short, offset in ((3, 2 * FULL_MSS), (4, 2 * FULL_MSS - 5)):  # what is announced ends so many bytes before SND.NXT
        one.connection.sender.snd_wnd = 2 * FULL_MSS - short
        one.connection.ack_now = ACK_DUPLICATE
        assert last(one).seq == ISS + 1 + offset
