"""Congestion control: RFC 5681, RFC 6582 (NewReno), RFC 3042 (limited transmit), RFC 6928 (initial window)."""

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.congestion import make
from synfin.engine.congestion.base import UNLIMITED, initial_window
from synfin.engine.congestion.newreno import NewReno
from synfin.engine.errors import UsageError
from synfin.engine.segment import ACK, FAST_RETRANSMIT, FIN, NEW_DATA, RETRANSMIT_TIMEOUT
from tests.engine.harness import MILLISECOND, PLAIN, SECOND, End
from tests.rfc.build import FULL, IRS, ISS, established, hear, last, say, watch

MSS = 1460
START = ISS + 1


def sending(segments: int, cwnd: int = 0, config: TcpConfig = PLAIN) -> End:
    """ESTABLISHED with `segments` full segments written; as many of them sent as `cwnd` bytes let go."""
    one = established(config)
    if cwnd:
        one.connection.sender.congestion.cwnd = cwnd
    one.connection.write(bytes(segments * MSS), one.now)
    one.out()
    return one


def cwnd(one: End) -> int:
    return one.connection.sender.congestion.cwnd


def ssthresh(one: End) -> int:
    return one.connection.sender.congestion.ssthresh


# --- windows to start with


@pytest.mark.parametrize(("mss", "window"), [(536, 4 * 536), (1095, 4 * 1095), (1096, 3288), (2190, 6570), (2191, 4382)])
def test_the_initial_window_of_the_rfc_profile_is_two_to_four_segments(mss: int, window: int) -> None:
    """RFC 5681 3.1."""
    assert initial_window(mss, 0) == window
    assert make(TcpConfig.rfc(), mss).cwnd == window


@pytest.mark.parametrize(("mss", "window"), [(1460, 14_600), (536, 5360), (8960, 17_920), (65_000, 130_000)])
def test_the_initial_window_is_ten_segments_or_14600_bytes(mss: int, window: int) -> None:
    """RFC 6928 2: min(10*MSS, max(2*MSS, 14600))."""
    assert initial_window(mss, 10) == window


def test_ssthresh_starts_arbitrarily_high() -> None:
    """RFC 5681 3.1."""
    assert make(PLAIN, MSS).ssthresh == UNLIMITED
    assert UNLIMITED > 1 << 30


def test_an_unknown_algorithm_is_an_error() -> None:
    """The name is configuration."""
    with pytest.raises(UsageError, match="vegas"):
        make(PLAIN.replace(congestion="vegas"), MSS)


def test_no_more_than_the_initial_window_goes_before_the_first_ack() -> None:
    """RFC 5681 3.1 (MUST-19)."""
    one = established()
    one.connection.write(bytes(100_000), 0)
    assert sum(len(out.payload) for out in one.out()) == 10 * MSS


# --- slow start and congestion avoidance


def test_slow_start_grows_by_what_is_acknowledged_at_most_a_segment_an_ack() -> None:
    """RFC 5681 3.1 equation 2: cwnd += min(N, SMSS)."""
    one = sending(40)
    say(one, ACK, ack=START + MSS)
    assert cwnd(one) == 11 * MSS
    say(one, ACK, ack=START + MSS + 100)
    assert cwnd(one) == 11 * MSS + 100
    say(one, ACK, ack=START + 5 * MSS)
    assert cwnd(one) == 12 * MSS + 100


def test_congestion_avoidance_grows_by_a_segment_a_round_trip_counted_in_bytes() -> None:
    """RFC 5681 3.1: at most SMSS a round trip, by the bytes acknowledged."""
    control = NewReno(MSS, 10)
    control.ssthresh = control.cwnd = 10 * MSS
    for _ in range(9):
        control.on_ack(MSS)
    assert control.cwnd == 10 * MSS
    control.on_ack(MSS)
    assert control.cwnd == 11 * MSS
    for _ in range(10):
        control.on_ack(MSS)
    assert control.cwnd == 11 * MSS
    control.on_ack(MSS)
    assert control.cwnd == 12 * MSS


def test_a_window_that_is_not_used_does_not_grow() -> None:
    """RFC 7661 4.1: cwnd is validated by use; here by half of it."""
    one = sending(2)
    say(one, ACK, ack=START + 2 * MSS)
    assert cwnd(one) == 10 * MSS


def test_the_smaller_of_cwnd_and_window_governs() -> None:
    """RFC 5681 3.1: "the minimum of cwnd and rwnd governs data transmission"."""
    one = sending(40, cwnd=3 * MSS)
    assert one.connection.sender.outstanding == 3 * MSS
    one = established()
    one.connection.write(bytes(100_000), 0)
    one.out()
    one.connection.sender.congestion.cwnd = 1 << 30
    say(one, ACK, window=20 * MSS)
    assert one.connection.sender.outstanding == 20 * MSS


# --- loss found by the timer


def test_a_timeout_sets_ssthresh_to_half_the_flight_and_cwnd_to_one_segment() -> None:
    """RFC 5681 3.1 equation 4 and "loss window"."""
    one = sending(10)
    one.at(one.connection.next_deadline())
    assert (cwnd(one), ssthresh(one)) == (MSS, 5 * MSS)
    assert watch(one).causes == ["timeout"]


def test_ssthresh_is_at_least_two_segments() -> None:
    """RFC 5681 3.1 equation 4."""
    one = sending(1)
    one.at(one.connection.next_deadline())
    assert ssthresh(one) == 2 * MSS


def test_a_second_timeout_of_the_same_segment_holds_ssthresh() -> None:
    """RFC 5681 3.1: "the value of ssthresh is held constant"."""
    one = sending(10)
    one.at(one.connection.next_deadline())
    one.connection.sender.congestion.ssthresh = 7 * MSS
    one.at(one.connection.next_deadline())
    assert (cwnd(one), ssthresh(one)) == (MSS, 7 * MSS)


def test_a_timeout_of_what_was_not_yet_repeated_by_the_timer_sets_ssthresh_anew_whatever_the_backoff() -> None:
    """RFC 5681 3.1: "the given segment has not yet been resent by way of the retransmission timer"."""
    one = sending(10)
    one.at(one.connection.next_deadline())
    say(one, ACK, ack=START + 10 * MSS)
    assert one.connection.sender.rtt.backoff == 1
    one.connection.sender.congestion.ssthresh = 40 * MSS
    one.connection.sender.congestion.cwnd = 8 * MSS
    one.connection.write(bytes(8 * MSS), one.now)
    one.out()
    one.at(one.connection.next_deadline())
    assert (cwnd(one), ssthresh(one)) == (MSS, 4 * MSS)


def test_after_a_timeout_slow_start_leads_to_ssthresh() -> None:
    """RFC 5681 3.1."""
    one = sending(10)
    one.at(one.connection.next_deadline())
    for number in range(1, 5):
        say(one, ACK, ack=START + number * MSS)
    assert cwnd(one) == 5 * MSS
    say(one, ACK, ack=START + 5 * MSS)
    assert cwnd(one) == 5 * MSS


# --- fast retransmit


def test_the_third_duplicate_ack_brings_the_missing_segment() -> None:
    """RFC 5681 3.2 (2), (3): ssthresh = FlightSize/2, cwnd = ssthresh + 3 segments."""
    one = sending(10)
    assert say(one, ACK) == []
    assert say(one, ACK) == []
    hear(one, ACK)
    out = one.out()
    assert [(sent.seq, len(sent.payload), sent.reason) for sent in out] == [(START, MSS, FAST_RETRANSMIT)]
    assert (cwnd(one), ssthresh(one)) == (8 * MSS, 5 * MSS)
    assert watch(one).causes == ["fast retransmit"]


def test_further_duplicate_acks_inflate_the_window_and_let_new_data_go() -> None:
    """RFC 5681 3.2 (4), (5)."""
    one = sending(20)
    for _ in range(3):
        say(one, ACK)
    before = cwnd(one)
    outstanding = one.connection.sender.outstanding
    while cwnd(one) < outstanding + MSS:
        say(one, ACK)
    assert cwnd(one) == before + 5 * MSS == 13 * MSS
    hear(one, ACK)
    assert last(one).reason == NEW_DATA


def test_limited_transmit_sends_a_new_segment_for_each_of_the_first_two_duplicate_acks() -> None:
    """RFC 3042 2; RFC 5681 3.2 (1): cwnd is not changed."""
    one = sending(20)
    assert say(one, ACK) == [f"ACK seq={START + 10 * MSS} ack=301 len=1460"]
    assert say(one, ACK) == [f"ACK seq={START + 11 * MSS} ack=301 len=1460"]
    assert cwnd(one) == 10 * MSS


def test_limited_transmit_respects_the_peers_window() -> None:
    """RFC 3042 2: "The receiver's advertised window allows the transmission"."""
    one = established()
    say(one, ACK, window=10 * MSS)
    one.connection.write(bytes(20 * MSS), 0)
    one.out()
    assert say(one, ACK, window=10 * MSS) == []


def test_what_limited_transmit_sent_does_not_count_in_the_flight() -> None:
    """RFC 5681 3.2 (2): "additional data sent in limited transmit MUST NOT be included in this calculation"."""
    one = sending(20)
    for _ in range(3):
        say(one, ACK)
    assert one.connection.sender.outstanding == 12 * MSS
    assert ssthresh(one) == 5 * MSS


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("other", ["data", "fin", "window", "nothing outstanding"])
def test_an_ack_is_no_duplicate_when(other: str, fast: bool) -> None:
    """RFC 5681 2: (a) outstanding data, (b) no data, (c) no SYN or FIN, (d) the greatest ACK, (e) the same window."""
    config = PLAIN.replace(fast_path=fast)
    one = sending(10, config=config) if other != "nothing outstanding" else established(config)
    for number in range(1, 5):
        if other == "data":
            hear(one, ACK, IRS + number, payload=b"x")
        elif other == "fin":
            hear(one, ACK | FIN, IRS + 100)
        elif other == "window":
            hear(one, ACK, window=50_000 + number)
        else:
            hear(one, ACK)
    assert one.connection.sender.duplicate_acks == 0
    assert cwnd(one) == 10 * MSS


def test_three_duplicates_with_new_data_acknowledged_between_bring_nothing() -> None:
    """RFC 5681 2 (d)."""
    one = sending(10)
    say(one, ACK)
    say(one, ACK)
    say(one, ACK, ack=START + MSS)
    assert say(one, ACK, ack=START + MSS) == []
    assert not one.connection.sender.recovering
    assert one.connection.sender.duplicate_acks == 1


def test_a_retransmission_asked_for_and_answered_before_it_left_is_not_sent() -> None:
    """A driver may take several segments before one transmission."""
    one = sending(10)
    for _ in range(3):
        hear(one, ACK)
    hear(one, ACK, ack=START + 10 * MSS)
    assert one.sends() == []
    assert not one.connection.sender.recovering


def test_the_same_with_a_fin_behind_the_data() -> None:
    """The FIN is acknowledged with it and is not repeated either."""
    one = sending(5)
    one.connection.shutdown_send(0)
    one.out()
    for _ in range(3):
        hear(one, ACK)
    hear(one, ACK, ack=START + 5 * MSS + 1)
    assert one.sends() == []
    one.connection.check_invariants()


def test_a_timeout_in_the_same_moment_takes_the_place_of_the_fast_retransmit() -> None:
    """RFC 6298 5.4: one segment goes."""
    one = sending(10)
    for _ in range(3):
        hear(one, ACK)
    one.now = one.connection.timers.retransmission
    one.connection.handle_timers(one.now)
    assert [(out.seq, out.reason) for out in one.out()] == [(START, RETRANSMIT_TIMEOUT)]


# --- NewReno


def in_recovery(segments: int = 10) -> End:
    """Fast recovery after three duplicate ACKs, `segments` outstanding."""
    one = sending(segments)
    for _ in range(3):
        say(one, ACK)
    return one


def test_a_partial_ack_repeats_the_next_segment_at_once_and_deflates_the_window() -> None:
    """RFC 6582 3.2 step 3: less what was acknowledged, plus one segment if that was a full one."""
    one = in_recovery()
    before = cwnd(one)
    hear(one, ACK, ack=START + 3 * MSS)
    out = last(one)
    assert (out.seq, out.reason) == (START + 3 * MSS, FAST_RETRANSMIT)
    assert cwnd(one) == before - 3 * MSS + MSS
    assert one.connection.sender.recovering


def test_a_full_ack_ends_recovery_with_at_most_ssthresh() -> None:
    """RFC 6582 3.2 step 3 (1): min(ssthresh, max(FlightSize, SMSS) + SMSS)."""
    one = in_recovery()
    say(one, ACK, ack=START + 10 * MSS)
    assert not one.connection.sender.recovering
    assert cwnd(one) == 2 * MSS
    assert watch(one).causes == ["fast retransmit", "recovered"]


def test_recovery_lasts_until_everything_sent_before_it_is_acknowledged() -> None:
    """RFC 6582 3.2 step 1: recover is the highest number sent when it began."""
    one = in_recovery(20)
    sender = one.connection.sender
    assert sender.recover == START + 12 * MSS
    say(one, ACK, ack=START + 12 * MSS - 1)
    assert sender.recovering
    say(one, ACK, ack=START + 12 * MSS)
    assert not sender.recovering


def test_the_timer_starts_anew_for_the_first_partial_ack_only() -> None:
    """RFC 6582 3.2 step 3: "For the first partial ACK that arrives during fast recovery, also reset the retransmit timer"."""
    one = in_recovery()
    one.now = 50 * MILLISECOND
    say(one, ACK, ack=START + MSS)
    first = one.connection.timers.retransmission
    assert first == one.now + one.connection.sender.rtt.rto
    for number in range(2, 6):
        one.now += 20 * MILLISECOND
        assert len(say(one, ACK, ack=START + number * MSS)) >= 1
    assert one.connection.timers.retransmission == first


def test_the_full_ack_starts_the_timer_anew() -> None:
    """RFC 6298 5.3."""
    one = in_recovery(20)
    one.now = 50 * MILLISECOND
    one.connection.write(bytes(20 * MSS), one.now)
    for _ in range(5):
        say(one, ACK)
    one.now = 60 * MILLISECOND
    say(one, ACK, ack=START + 12 * MSS)
    assert one.connection.sender.outstanding
    assert one.connection.timers.retransmission == one.now + one.connection.sender.rtt.rto


def test_duplicate_acks_of_the_same_window_of_data_start_no_second_recovery() -> None:
    """RFC 6582 3.2 step 2: the ACK must cover more than `recover`."""
    one = in_recovery()
    one.connection.write(bytes(10 * MSS), 0)
    say(one, ACK, ack=START + 10 * MSS)
    for _ in range(5):
        say(one, ACK, ack=START + 10 * MSS)
    assert not one.connection.sender.recovering


def test_an_ack_of_more_than_recover_allows_the_next_recovery() -> None:
    """RFC 6582 3.2 step 2."""
    one = in_recovery()
    one.connection.write(bytes(10 * MSS), 0)
    say(one, ACK, ack=START + 10 * MSS)
    say(one, ACK, ack=START + 11 * MSS)
    for _ in range(3):
        say(one, ACK, ack=START + 11 * MSS)
    assert one.connection.sender.recovering


def test_the_full_ack_itself_may_cover_more_than_recover() -> None:
    """RFC 6582 3.2 step 2: what counts is the acknowledgment field at the third duplicate."""
    one = in_recovery(30)
    for _ in range(8):
        say(one, ACK)  # new data goes in recovery
    assert one.connection.sender.snd_nxt - START > 14 * MSS
    say(one, ACK, ack=START + 13 * MSS)
    assert not one.connection.sender.recovering
    one.connection.write(bytes(5 * MSS), 0)
    one.out()
    for _ in range(3):
        say(one, ACK, ack=START + 13 * MSS)
    assert one.connection.sender.recovering


def test_after_a_timeout_duplicate_acks_of_what_was_outstanding_bring_no_fast_retransmit() -> None:
    """RFC 6582 3.2 step 4: recover is set at the timeout."""
    one = sending(10)
    one.at(one.connection.next_deadline())
    for _ in range(5):
        say(one, ACK)
    assert not one.connection.sender.recovering
    assert cwnd(one) == MSS


def test_a_timeout_in_recovery_ends_it() -> None:
    """RFC 6582 3.2 step 4: "exit the fast recovery procedure"."""
    one = in_recovery()
    one.at(one.connection.timers.retransmission)
    assert not one.connection.sender.recovering
    assert cwnd(one) == MSS
    assert one.connection.sender.resend == START + MSS


# --- idle


def test_after_an_idle_rto_the_window_starts_anew() -> None:
    """RFC 5681 4.1: no more than the restart window, min(IW, cwnd)."""
    one = sending(40)
    for number in range(1, 31):
        say(one, ACK, ack=START + number * MSS)
    say(one, ACK, ack=START + 40 * MSS)
    assert cwnd(one) > 30 * MSS
    one.now = 10 * SECOND
    one.connection.write(bytes(40 * MSS), one.now)
    assert sum(len(out.payload) for out in one.out()) == 10 * MSS


def test_a_pause_shorter_than_an_rto_keeps_the_window() -> None:
    """RFC 5681 4.1."""
    one = sending(40)
    for number in range(1, 31):
        say(one, ACK, ack=START + number * MSS)
    say(one, ACK, ack=START + 40 * MSS)
    before = cwnd(one)
    one.now += 100 * MILLISECOND
    one.connection.write(bytes(10 * MSS), one.now)
    one.out()
    assert cwnd(one) == before


def test_the_window_counts_payload_not_options() -> None:
    """RFC 5681 2: SMSS does not include headers and options."""
    assert established(FULL).connection.sender.congestion.mss == MSS - 12
