"""Protection against wrapped sequence numbers: RFC 7323 4 and 5."""

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.errors import DropReason
from synfin.engine.segment import ACK, FIN, RST, SYN
from synfin.engine.state import State
from tests.engine.harness import MILLISECOND, SECOND, End
from tests.rfc.build import CLOCK, FULL, IRS, ISS, STATES, established, full, hear, last, peer, say, watch

PATHS = pytest.mark.parametrize("config", [FULL, FULL.replace(fast_path=False)], ids=["fast", "slow"])
DAY = 24 * 3600 * SECOND


@PATHS
def test_a_segment_with_an_older_timestamp_is_dropped_and_acknowledged(config: TcpConfig) -> None:
    """5.3 R1: SEG.TSval < TS.Recent: not acceptable, an ACK is sent."""
    one = established(config)
    assert say(one, ACK, payload=b"old", tsval=CLOCK - 1) == ["ACK seq=101 ack=301"]
    assert watch(one).drops == [DropReason.PAWS]
    assert one.connection.readable() == 0


@PATHS
def test_an_equal_timestamp_is_good(config: TcpConfig) -> None:
    """5.3 R1: strictly less is old."""
    one = established(config)
    assert say(one, ACK, payload=b"new", tsval=CLOCK) == []
    assert one.connection.readable() == 3


@PATHS
def test_timestamps_wrap_as_sequence_numbers_do(config: TcpConfig) -> None:
    """5.2: compared in the circular 32-bit space."""
    one = established(config)
    say(one, ACK, tsval=CLOCK + (1 << 31) - 1, payload=b"a")
    one.sends()
    say(one, ACK, IRS + 2, tsval=CLOCK - 10, payload=b"b")
    assert one.connection.readable() == 2
    say(one, ACK, IRS + 3, tsval=CLOCK + (1 << 31) - 2, payload=b"c")
    assert one.connection.readable() == 2


@PATHS
def test_a_reset_is_not_subject_to_paws(config: TcpConfig) -> None:
    """5.3: an RST with an old timestamp is still judged by its sequence number."""
    one = established(config)
    say(one, RST, tsval=CLOCK - 1000)
    assert one.connection.state is State.CLOSED


@PATHS
def test_a_reset_without_timestamps_is_taken(config: TcpConfig) -> None:
    """3.2: only a non-RST segment must carry the option."""
    one = established(config)
    segment = peer(one, RST)
    segment.has_timestamps = False
    one.take(segment)
    assert one.connection.state is State.CLOSED


@PATHS
def test_a_segment_without_the_agreed_option_is_dropped_in_silence(config: TcpConfig) -> None:
    """3.2: "a TCP SHOULD silently drop the segment"."""
    one = established(config)
    segment = peer(one, ACK, payload=b"x")
    segment.has_timestamps = False
    assert one.take(segment) == []
    assert one.connection.readable() == 0
    assert watch(one).drops == [DropReason.PAWS]


@PATHS
def test_after_24_days_of_silence_any_timestamp_is_taken(config: TcpConfig) -> None:
    """5.5: TS.Recent is invalid when its age exceeds 24 days."""
    one = established(config)
    one.now = 24 * DAY - 1
    assert say(one, ACK, payload=b"x", tsval=CLOCK - 1) == ["ACK seq=101 ack=301"]
    one.now = 24 * DAY
    say(one, ACK, payload=b"x", tsval=CLOCK - 1)
    assert one.connection.readable() == 1
    assert one.connection.ts_recent == CLOCK - 1


@PATHS
def test_ts_recent_follows_only_segments_that_begin_at_or_before_the_last_ack_sent(config: TcpConfig) -> None:
    """4.3 (2): SEG.TSval >= TS.Recent and SEG.SEQ =< Last.ACK.sent."""
    one = established(config)
    say(one, ACK, payload=b"a", tsval=CLOCK + 1)  # its ACK is delayed
    assert one.connection.ts_recent == CLOCK + 1
    assert say(one, ACK, IRS + 2, payload=b"b", tsval=CLOCK + 2) == ["ACK seq=101 ack=303"]
    assert one.connection.ts_recent == CLOCK + 1


@PATHS
def test_a_delayed_ack_echoes_the_timestamp_of_the_earliest_segment(config: TcpConfig) -> None:
    """4.3: so that the round trip measured contains the delay."""
    one = established(config)
    hear(one, ACK, payload=b"a", tsval=CLOCK + 10)
    hear(one, ACK, IRS + 2, payload=b"b", tsval=CLOCK + 20)
    assert last(one).tsecr == CLOCK + 10


@PATHS
def test_a_gap_is_acknowledged_with_the_timestamp_of_the_last_segment_in_order(config: TcpConfig) -> None:
    """4.3: an out-of-order segment does not change TS.Recent; the one that fills the gap does."""
    one = established(config)
    hear(one, ACK, payload=b"a", tsval=CLOCK + 1)
    one.now = 100 * MILLISECOND
    one.connection.handle_timers(one.now)
    assert last(one).tsecr == CLOCK + 1
    hear(one, ACK, IRS + 3, payload=b"c", tsval=CLOCK + 3)
    assert last(one).tsecr == CLOCK + 1
    hear(one, ACK, IRS + 2, payload=b"b", tsval=CLOCK + 5)
    assert last(one).tsecr == CLOCK + 5


@PATHS
def test_a_segment_outside_the_window_leaves_ts_recent_alone(config: TcpConfig) -> None:
    """5.3 R3 records the timestamp of an acceptable segment only."""
    one = established(config)
    say(one, ACK, IRS - 500, payload=b"x", tsval=CLOCK + 100)
    assert one.connection.ts_recent == CLOCK


def test_the_timestamp_of_a_probe_at_a_closed_window_is_echoed() -> None:
    """4.3 with RFC 9293 MUST-66: it lies at RCV.NXT and its ACK is taken, so its timestamp is too."""
    one = full(FULL)
    hear(one, ACK, IRS + 101, payload=b"p", tsval=CLOCK + 77)
    assert last(one).tsecr == CLOCK + 77


def test_an_old_timestamp_on_a_mere_ack_draws_on_the_challenge_budget() -> None:
    """RFC 5961 7: ACKs that answer ACKs must end."""
    one = established(FULL)
    answers = [say(one, ACK, tsval=CLOCK - 1) for _ in range(15)]
    assert answers == [["ACK seq=101 ack=301"]] * 10 + [[]] * 5


@pytest.mark.parametrize("build", [build for build, state in STATES.items() if state not in (State.CLOSED, State.SYN_SENT)])
def test_paws_stands_before_every_other_check_in_every_state(build: object) -> None:
    """5.3 R1 comes before RFC 9293 3.10.7.4, first check."""
    assert callable(build)
    one: End = build(FULL)
    if one.connection.state is State.TIME_WAIT:
        return  # `timewait` has its own test
    state = one.connection.state
    one.sends()
    before = (one.connection.receiver.rcv_nxt, one.connection.sender.snd_una, one.connection.sender.snd_wnd)
    for flags in (ACK, FIN | ACK, SYN | ACK, ACK | 0x20):
        say(one, flags, one.connection.receiver.rcv_nxt, one.connection.sender.snd_nxt, 17, b"abc", tsval=CLOCK - 1)
    after = (one.connection.receiver.rcv_nxt, one.connection.sender.snd_una, one.connection.sender.snd_wnd)
    assert after == before
    assert one.connection.state is state


@PATHS
def test_an_echo_from_the_future_or_of_nothing_gives_no_round_trip(config: TcpConfig) -> None:
    """4.1: a TSecr that we have not sent is worthless."""
    one = established(config)
    one.now = SECOND
    one.connection.write(b"x", one.now)
    one.out()
    one.at(one.connection.next_deadline())
    rto = one.connection.sender.rtt.rto
    segment = peer(one, ACK, ack=ISS + 2)
    segment.tsecr = one.connection.timestamp(one.now) + 5
    one.take(segment)
    assert one.connection.sender.rtt.rto == rto
