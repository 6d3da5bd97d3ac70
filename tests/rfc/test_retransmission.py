"""Retransmission: RFC 6298; RFC 9293 3.8.1, 3.8.3; Karn's algorithm; RFC 7323 4.1; the user timeout."""

from collections.abc import Callable

import pytest

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.errors import CloseReason, UsageError
from synfin.engine.rtt import RttEstimator
from synfin.engine.segment import ACK, RETRANSMIT_HANDSHAKE, RETRANSMIT_TIMEOUT, SYN, SYN_ACK
from synfin.engine.state import State
from tests.engine.harness import A_KEY, MILLISECOND, PLAIN, SECOND, End
from tests.rfc.build import (
    CLOCK,
    FULL,
    IRS,
    ISS,
    close_wait_with_data,
    end,
    fin_wait_1,
    hear,
    in_flight,
    last,
    last_ack,
    peer,
    say,
    syn_sent,
    until,
    watch,
)

MSS = 1460
MS = MILLISECOND
RFC = TcpConfig.rfc()
BOTH = pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])


def opened(config: TcpConfig = PLAIN, rtt: int = 100 * MS) -> End:
    """ESTABLISHED at `rtt` ns, that being the first sample."""
    one = syn_sent(config)
    one.now = rtt
    say(one, SYN | ACK, IRS, ISS + 1)
    return one


# --- the estimator


def test_before_any_sample_the_rto_is_one_second() -> None:
    """RFC 6298 2.1."""
    assert RttEstimator(PLAIN).rto == SECOND


def test_the_first_sample_sets_srtt_rttvar_and_rto() -> None:
    """RFC 6298 2.2: SRTT = R, RTTVAR = R/2, RTO = SRTT + max(G, 4 * RTTVAR)."""
    rtt = RttEstimator(PLAIN)
    rtt.sample(500 * MS)
    assert (rtt.srtt, rtt.rttvar, rtt.rto) == (500 * MS, 250 * MS, 1500 * MS)


def test_later_samples_move_them_by_an_eighth_and_a_quarter_rttvar_first() -> None:
    """RFC 6298 2.3: alpha = 1/8, beta = 1/4; RTTVAR is computed with the old SRTT."""
    rtt = RttEstimator(PLAIN)
    rtt.sample(800 * MS)
    rtt.sample(400 * MS)
    assert (rtt.srtt, rtt.rttvar) == (750 * MS, 400 * MS)
    assert rtt.rto == 750 * MS + 4 * 400 * MS


def test_a_steady_round_trip_leaves_the_clock_granularity_as_margin() -> None:
    """RFC 6298 2.3: max(G, K * RTTVAR)."""
    rtt = RttEstimator(PLAIN)
    for _ in range(200):
        rtt.sample(800 * MS)
    assert rtt.rttvar < MS // 4
    assert rtt.rto == 800 * MS + PLAIN.clock_granularity


def test_the_rto_is_at_least_its_minimum_200_ms_here_and_one_second_in_the_rfc_profile() -> None:
    """RFC 6298 2.4 (SHOULD be 1 second): a declared deviation."""
    for config, minimum in ((PLAIN, 200 * MS), (RFC, SECOND)):
        rtt = RttEstimator(config)
        rtt.sample(1)
        assert rtt.rto == minimum


def test_the_rto_is_at_most_its_maximum_of_120_seconds() -> None:
    """RFC 6298 2.5: a maximum may be placed, at least 60 seconds."""
    rtt = RttEstimator(PLAIN)
    rtt.sample(100 * SECOND)
    assert rtt.rto == 120 * SECOND
    for _ in range(10):
        rtt.back_off()
    assert rtt.rto == 120 * SECOND


# --- the timer


def test_a_lost_segment_goes_again_after_the_rto_and_then_at_doubled_intervals() -> None:
    """RFC 6298 5.4, 5.5, 5.6 (MUST-19); 3.10.8."""
    one = opened()
    one.connection.write(b"x", one.now)
    assert until(one, 10 * SECOND) == [f"{at} PSH,ACK seq=101 ack=301 len=1" for at in (100, 400, 1000, 2200, 4600, 9400)]


def test_the_timer_starts_with_the_first_segment_and_not_anew_with_each() -> None:
    """RFC 6298 5.1: "if the timer is not running, start it"."""
    one = opened()
    one.connection.set_option("nodelay", 1, one.now)
    one.connection.write(b"a", one.now)
    one.sends()
    one.now += 200 * MS
    one.connection.write(b"b", one.now)
    one.sends()
    assert one.connection.timers.retransmission == 400 * MS


def test_an_ack_of_everything_stops_the_timer() -> None:
    """RFC 6298 5.2."""
    one = opened()
    one.connection.write(b"a", one.now)
    one.sends()
    say(one, ACK, ack=ISS + 2)
    assert one.connection.next_deadline() == NEVER


def test_an_ack_of_new_data_starts_the_timer_anew() -> None:
    """RFC 6298 5.3."""
    one = opened()
    one.connection.write(bytes(2 * MSS), one.now)
    one.sends()
    one.now += 50 * MS
    say(one, ACK, ack=ISS + 1 + MSS)
    assert one.connection.timers.retransmission == one.now + one.connection.sender.rtt.rto


def test_a_duplicate_or_old_ack_does_not_start_it_anew() -> None:
    """RFC 6298 5.3 speaks of new data."""
    one = opened()
    one.connection.write(bytes(2 * MSS), one.now)
    one.sends()
    before = one.connection.timers.retransmission
    one.now += 50 * MS
    say(one, ACK)
    assert one.connection.timers.retransmission == before


def test_after_a_timeout_one_segment_goes_then_as_many_as_acks_allow() -> None:
    """RFC 6298 5.4: the earliest segment; RFC 5681 3.1: the loss window is one segment."""
    one = opened()
    one.connection.write(bytes(4 * MSS), one.now)
    assert len(one.out()) == 4
    one.now = one.connection.next_deadline()
    one.connection.handle_timers(one.now)
    out = last(one)
    assert (out.seq, len(out.payload), out.reason) == (ISS + 1, MSS, RETRANSMIT_TIMEOUT)
    assert say(one, ACK, ack=ISS + 1 + MSS) == ["ACK seq=1561 ack=301 len=1460", "ACK seq=3021 ack=301 len=1460"]
    assert say(one, ACK, ack=ISS + 1 + 4 * MSS) == []


def test_after_a_timeout_an_ack_beyond_what_was_repeated_skips_what_arrived() -> None:
    """3.8.1: only what is not acknowledged goes again."""
    one = opened()
    one.connection.write(bytes(4 * MSS), one.now)
    one.sends()
    one.at(one.connection.next_deadline())
    assert say(one, ACK, ack=ISS + 1 + 3 * MSS) == [f"PSH,ACK seq={ISS + 1 + 3 * MSS} ack=301 len=1460"]


def test_new_data_waits_until_what_was_lost_has_gone_again() -> None:
    """RFC 5681 3.1: one segment after the timeout, whatever was written meanwhile."""
    one = opened()
    one.connection.write(bytes(2 * MSS), one.now)
    one.sends()
    one.now = one.connection.next_deadline()
    one.connection.write(b"new", one.now)
    assert one.at(one.now) == ["ACK seq=101 ack=301 len=1460"]
    assert say(one, ACK, ack=ISS + 1 + MSS) == [f"ACK seq={ISS + 1 + MSS} ack=301 len=1460"]
    assert say(one, ACK, ack=ISS + 1 + 2 * MSS) == [f"PSH,ACK seq={ISS + 1 + 2 * MSS} ack=301 len=3"]


# --- Karn


@BOTH
def test_an_ack_of_what_went_twice_gives_no_sample_and_leaves_the_backoff(fast: bool) -> None:
    """RFC 6298 3 (MUST-18): Karn's algorithm; 5.5: the backed-off RTO stays."""
    one = opened(PLAIN.replace(fast_path=fast))
    one.connection.write(b"x", one.now)
    one.sends()
    one.at(one.connection.next_deadline())
    before = one.connection.sender.rtt.srtt
    one.now += 5 * MS
    say(one, ACK, ack=ISS + 2)
    assert one.connection.sender.rtt.srtt == before
    assert one.connection.sender.rtt.rto == 600 * MS


@BOTH
def test_the_next_segment_sent_once_gives_a_sample_and_ends_the_backoff(fast: bool) -> None:
    """RFC 6298 3 and 5, Karn: "until a valid sample"."""
    one = opened(PLAIN.replace(fast_path=fast))
    one.connection.write(b"x", one.now)
    one.sends()
    one.at(one.connection.next_deadline())
    say(one, ACK, ack=ISS + 2)
    one.connection.write(b"y", one.now)
    one.sends()
    one.now += 100 * MS
    say(one, ACK, ack=ISS + 3)
    rtt = one.connection.sender.rtt
    assert (rtt.backoff, rtt.srtt, rtt.rttvar) == (0, 100 * MS, 37_500_000)


@BOTH
def test_no_ack_up_to_the_last_repeated_byte_gives_a_sample(fast: bool) -> None:
    """RFC 6298 3 (MUST-18): all that was outstanding at the timeout may have gone twice."""
    one = opened(PLAIN.replace(fast_path=fast))
    one.connection.write(bytes(4 * MSS), one.now)
    one.sends()
    one.at(one.connection.next_deadline())
    before = one.connection.sender.rtt.srtt
    for number in range(1, 5):
        one.now += 7 * MS
        say(one, ACK, ack=ISS + 1 + number * MSS)
        assert one.connection.sender.rtt.srtt == before
    one.connection.write(bytes(MSS), one.now)
    one.sends()
    one.now += 60 * MS
    say(one, ACK, ack=ISS + 1 + 5 * MSS)
    assert one.connection.sender.rtt.srtt == 100 * MS + (60 - 100) * MS // 8


@BOTH
def test_an_ack_that_covers_old_and_new_gives_no_sample(fast: bool) -> None:
    """RFC 6298 3: it may have been caused by either transmission."""
    one = opened(PLAIN.replace(fast_path=fast, nagle=False))
    one.connection.write(b"x", one.now)
    one.sends()
    one.at(one.connection.next_deadline())
    one.connection.write(b"y", one.now)
    one.sends()
    before = one.connection.sender.rtt.srtt
    one.now += 7 * MS
    say(one, ACK, ack=ISS + 3)
    assert one.connection.sender.rtt.srtt == before


@BOTH
def test_a_timestamp_tells_the_round_trip_even_of_what_went_twice(fast: bool) -> None:
    """RFC 7323 4.1: RTTM resolves the ambiguity."""
    one = opened(FULL.replace(fast_path=fast))
    one.connection.write(b"x", one.now)
    one.sends()
    one.at(one.connection.next_deadline())
    answer = peer(one, ACK, ack=ISS + 2)  # it echoes this moment
    one.now += 20 * MS
    one.take(answer)
    assert one.connection.sender.rtt.backoff == 0
    assert one.connection.sender.rtt.srtt == 100 * MS + (20 - 100) * MS // 8


def test_the_round_trip_of_an_ack_is_that_of_the_latest_segment_it_covers() -> None:
    """RFC 6298 3: at least one sample a round trip; the delayed ACK's wait is in the earlier one."""
    one = opened(PLAIN.replace(nagle=False))
    for _ in range(2):
        one.connection.write(b"x", one.now)
        one.sends()
        one.now += 30 * MS
    say(one, ACK, ack=ISS + 3)
    assert one.connection.sender.rtt.srtt == 100 * MS + (30 - 100) * MS // 8


@BOTH
@pytest.mark.parametrize("config", [PLAIN, FULL], ids=["plain", "options"])
def test_an_ack_of_a_part_of_what_went_at_one_moment_gives_no_sample_on_either_path(fast: bool, config: TcpConfig) -> None:
    """Both paths measure alike: by the moment of the last segment that is acknowledged whole."""
    one = opened(config.replace(fast_path=fast))
    one.connection.write(bytes(2 * MSS), one.now)
    one.sends()
    one.now += 10 * MS
    before = one.connection.sender.rtt.srtt
    say(one, ACK, ack=ISS + 1 + 1000)
    assert one.connection.sender.rtt.srtt == before


# --- the handshake


def test_a_syn_that_went_once_gives_the_first_sample() -> None:
    """RFC 6298 2.2."""
    assert opened(rtt=80 * MS).connection.sender.rtt.srtt == 80 * MS


def test_a_syn_that_was_lost_gives_none_and_data_starts_with_three_seconds() -> None:
    """RFC 6298 5.7."""
    one = syn_sent()
    one.at(SECOND)
    one.now = SECOND + 100 * MS
    say(one, SYN | ACK, IRS, ISS + 1)
    rtt = one.connection.sender.rtt
    assert (rtt.srtt, rtt.rto) == (-1, 3 * SECOND)


def test_a_timestamp_tells_the_round_trip_of_a_repeated_syn() -> None:
    """RFC 7323 4.1; 5.7 of RFC 6298 is for who has no sample."""
    one = syn_sent(FULL)
    one.at(SECOND)
    answer = peer(one, SYN | ACK, IRS, ISS + 1)  # it echoes this moment
    one.now = SECOND + 100 * MS
    one.take(answer)
    assert one.connection.sender.rtt.srtt == 100 * MS


def test_a_repeated_syn_is_named_so_and_the_first_syn_ack_of_a_simultaneous_open_is_not() -> None:
    """The reason is decided where the segment is made."""
    one = syn_sent()
    one.now = SECOND
    one.connection.handle_timers(SECOND)
    assert last(one).reason == RETRANSMIT_HANDSHAKE
    hear(one, SYN, IRS, 0)
    assert last(one).reason == SYN_ACK
    one.now = one.connection.next_deadline()
    one.connection.handle_timers(one.now)
    assert last(one).reason == RETRANSMIT_HANDSHAKE


def test_the_ack_of_a_simultaneous_open_may_answer_the_syn_or_the_syn_ack_and_gives_no_sample() -> None:
    """RFC 6298 3 (MUST-18): both have the number ISS."""
    one = syn_sent()
    one.now = 900 * MS
    say(one, SYN, IRS, 0)
    one.now = 910 * MS
    say(one, ACK)
    assert one.connection.sender.rtt.srtt == -1


def test_after_a_lost_syn_a_simultaneous_open_starts_data_with_three_seconds_and_one_segment() -> None:
    """RFC 6298 5.7; RFC 5681 3.1: "If the SYN or SYN/ACK is lost, the initial window ... one segment"."""
    one = syn_sent()
    one.at(SECOND)
    say(one, SYN, IRS, 0)
    say(one, ACK)
    assert one.connection.sender.rtt.rto == 3 * SECOND
    assert one.connection.sender.congestion.cwnd == MSS


def test_a_passive_open_whose_syn_ack_went_twice_takes_no_sample() -> None:
    """RFC 6298 3, 5.7, through the listener's record."""
    request = peer(end(), SYN, IRS, 0)
    connection = Connection.from_request(A_KEY, PLAIN, ISS, 0, 1500, request, 5 * SECOND, -1)
    connection.receive(peer(end(), ACK), 5 * SECOND)
    assert connection.state is State.ESTABLISHED
    assert connection.sender.rtt.srtt == -1
    assert connection.sender.rtt.rto == 3 * SECOND


# --- giving up


def test_the_user_timeout_counts_from_the_oldest_transmission_without_an_answer() -> None:
    """3.8.3 (MUST-20, SHLD-11: R2 at least 100 s), 3.9.1.1: five minutes."""
    one = opened()
    one.connection.write(b"x", one.now)
    until(one, 1000 * SECOND)
    assert one.connection.state is State.CLOSED
    assert one.connection.close_reason is CloseReason.TIMED_OUT
    assert watch(one).timers[-1] == "user timeout"
    assert one.sends() == []


def test_the_user_timeout_comes_at_its_moment_even_between_two_retransmissions() -> None:
    """3.10.8 USER TIMEOUT."""
    one = opened()
    one.connection.write(b"x", one.now)
    one.sends()
    seen = [0]
    while one.connection.state is State.ESTABLISHED:
        seen.append(one.connection.next_deadline())
        one.at(seen[-1])
    assert seen[-1] == 100 * MS + 300 * SECOND
    assert seen == sorted(seen)


def test_an_answer_moves_the_user_timeout_to_what_is_still_unanswered() -> None:
    """3.9.1.1: counted from the oldest unanswered transmission."""
    one = opened(PLAIN.replace(nagle=False))
    one.connection.write(b"a", one.now)
    one.sends()
    one.now += 50 * MS
    one.connection.write(b"b", one.now)
    one.sends()
    one.now += 10 * MS
    say(one, ACK, ack=ISS + 2)
    answered = one.now
    until(one, answered + 300 * SECOND - 1)
    assert one.connection.state is State.ESTABLISHED
    until(one, answered + 300 * SECOND)
    assert str(one.connection.state) == "CLOSED"


def test_an_idle_connection_has_no_timeout() -> None:
    """3.8.3: nothing is retransmitted, nothing times out."""
    assert opened().connection.next_deadline() == NEVER


def test_the_application_sets_the_user_timeout_and_may_have_none() -> None:
    """3.8.3 (MUST-21): R2 of each connection; "infinity" leaves it to the application."""
    one = opened()
    one.connection.set_option("user_timeout", 10 * SECOND, one.now)
    one.connection.write(b"x", one.now)
    until(one, 11 * SECOND)
    assert one.connection.state is State.CLOSED
    one = opened(PLAIN.replace(user_timeout=NEVER))
    one.connection.write(b"x", one.now)
    until(one, 7200 * SECOND)
    assert one.connection.state is State.ESTABLISHED
    with pytest.raises(UsageError):
        one.connection.set_option("user_timeout", -1, one.now)


@pytest.mark.parametrize("build", [in_flight, close_wait_with_data, fin_wait_1, last_ack])
def test_every_state_that_waits_for_an_ack_gives_up_in_the_end(build: Callable[[TcpConfig], End]) -> None:
    """3.8.3 (MUST-20), 3.10.8: "For any state if the user timeout expires"."""
    one = build(PLAIN)
    until(one, 1000 * SECOND)
    assert one.connection.state is State.CLOSED
    assert one.connection.close_reason is CloseReason.TIMED_OUT


def test_the_delivery_problem_can_be_seen_before_it_is_given_up() -> None:
    """3.8.3 (SHLD-9): `info` tells the backoff, the observer each timeout; no event of its own yet."""
    one = opened()
    one.connection.write(b"x", one.now)
    until(one, 3 * SECOND)
    assert one.connection.info(one.now)["backoff"] == 3
    assert watch(one).timers == ["retransmission"] * 3


def test_the_peers_timestamp_of_the_handshake_is_what_a_retransmission_echoes() -> None:
    """RFC 7323 4.3: TSecr is TS.Recent whatever is sent."""
    one = opened(FULL)
    one.connection.write(b"x", one.now)
    one.sends()
    one.now = one.connection.next_deadline()
    one.connection.handle_timers(one.now)
    out = last(one)
    assert (out.tsecr, out.tsval) == (CLOCK + 100, one.now // MS)
