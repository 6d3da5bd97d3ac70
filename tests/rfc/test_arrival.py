"""SEGMENT ARRIVES in the later states, checks one to five: RFC 9293 3.5.2, 3.5.3, 3.10.7.4; RFC 5961 3 to 5 and 7."""

from collections.abc import Callable

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.errors import CloseReason, DropReason
from synfin.engine.events import Closed
from synfin.engine.segment import ACK, ACK_CHALLENGE, ACK_DUPLICATE, FIN, RST, SYN, URG
from synfin.engine.state import State
from tests.engine.harness import PLAIN, SECOND, End
from tests.rfc.build import (
    IRS,
    ISS,
    STATES,
    close_wait,
    closing,
    established,
    fin_wait_1,
    fin_wait_2,
    full,
    gap,
    hear,
    in_flight,
    last_ack,
    peer,
    probing,
    say,
    watch,
)

Build = Callable[[TcpConfig], End]
SYNCHRONIZED = [
    build for build, state in STATES.items() if state not in (State.CLOSED, State.SYN_SENT, State.SYN_RECEIVED, State.TIME_WAIT)
]
everywhere = pytest.mark.parametrize("build", SYNCHRONIZED, ids=lambda build: build.__name__)


def numbers(one: End) -> tuple[int, int]:
    """SND.NXT and RCV.NXT."""
    return one.connection.sender.snd_nxt, one.connection.receiver.rcv_nxt


def bare(one: End) -> int:
    """Where what carries no text stands: at SND.NXT, at SND.UNA while the peer's window is closed (deviation D13)."""
    sender = one.connection.sender
    return sender.snd_nxt if sender.snd_wnd else sender.snd_una


# --- first: sequence number


WINDOW = 65_535


@pytest.mark.parametrize(
    ("offset", "length", "good"),
    [
        (0, 0, True), (-1, 0, False), (WINDOW - 1, 0, True), (WINDOW, 0, False),
        (0, 1, True), (-1, 1, False), (-1, 2, True), (-10, 10, False), (-10, 11, True),
        (WINDOW - 1, 1, True), (WINDOW, 1, False), (WINDOW - 1, 10, True), (1 << 31, 1, False), (-(1 << 30), 5, False),
    ],
)  # fmt: skip
def test_a_segment_is_acceptable_when_its_first_or_last_number_lies_in_the_window(
    offset: int, length: int, good: bool
) -> None:
    """3.4, 3.10.7.4 first, table 6, RCV.WND > 0."""
    one = established()
    say(one, ACK, IRS + 1 + offset, payload=bytes(length))
    refused = [drop for drop in watch(one).drops if drop in (DropReason.OUT_OF_WINDOW, DropReason.DUPLICATE)]
    assert (refused == []) is good


@pytest.mark.parametrize(
    ("offset", "length", "good"), [(0, 0, True), (1, 0, False), (-1, 0, False), (0, 1, False), (5, 1, False)]
)
def test_with_a_closed_window_only_an_empty_segment_at_rcv_nxt_is_acceptable(offset: int, length: int, good: bool) -> None:
    """3.10.7.4 first, table 6, RCV.WND = 0."""
    one = full()
    say(one, ACK, IRS + 101 + offset, payload=bytes(length))
    assert (watch(one).drops == []) is good
    assert one.connection.readable() == 100


@everywhere
def test_a_segment_with_text_outside_the_window_gets_an_ack_of_its_own_and_nothing_else(build: Build) -> None:
    """3.10.7.4 first: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>; 3.5.2 group 3."""
    one = build(PLAIN)
    one.out()
    state = one.connection.state
    nxt, rcv = numbers(one)
    for seq in (rcv - 2000, rcv + 70_000):
        hear(one, ACK, seq, nxt, payload=b"x")
        (out,) = one.out()
        assert (out.flags & ~URG, out.seq, out.ack, out.reason, len(out.payload)) == (ACK, bare(one), rcv, ACK_DUPLICATE, 0)
    assert one.connection.state is state


@everywhere
def test_an_unacceptable_reset_gets_no_answer(build: Build) -> None:
    """3.10.7.4 first and second: dropped in silence; RFC 5961 3.2 (1)."""
    one = build(PLAIN)
    one.out()
    state = one.connection.state
    rcv = one.connection.receiver.rcv_nxt
    for seq in (rcv - 1, rcv + 70_000, rcv - (1 << 31)):
        assert say(one, RST, seq, 0) == []
        assert say(one, RST | ACK, seq, one.connection.sender.snd_nxt) == []
    assert one.connection.state is state


def test_with_a_closed_window_ack_and_urg_of_a_segment_at_rcv_nxt_are_still_processed() -> None:
    """3.10.7.4 first, 3.8.6 (MUST-66): special allowance for valid ACKs, URGs and RSTs."""
    one = full()
    one.connection.write(bytes(10), 0)
    one.out()
    segment = peer(one, ACK | URG, IRS + 101, ISS + 11, payload=b"x")
    segment.urgent = 1
    assert one.take(segment) == ["ACK seq=111 ack=401"]
    assert one.connection.sender.snd_una == ISS + 11
    assert one.connection.receiver.urgent_pending
    assert one.connection.readable() == 100


def test_with_a_closed_window_a_reset_at_rcv_nxt_closes_with_data_or_without() -> None:
    """3.10.7.4 second (MUST-66); 3.5.3 (SHLD-2): a reset may contain data, its sequence number alone counts."""
    for payload in (b"", b"port closed by administrator"):
        one = full()
        assert say(one, RST, IRS + 101, 0, payload=payload) == []
        assert one.connection.state is State.CLOSED


def test_both_windows_closed_and_both_sides_probing_still_acknowledge_each_other() -> None:
    """RFC 9293 A.2: the ACK field of a probe at a closed window counts."""
    one = full()
    one.connection.write(b"abcd", 0)
    one.out()
    assert say(one, ACK, IRS + 101, ISS + 5, window=0, payload=b"p") == ["ACK seq=105 ack=401"]
    assert one.connection.unacked() == 0


def test_a_straddling_segment_gives_only_what_is_new_of_it() -> None:
    """3.10.7.4: "only the new parts are processed"."""
    one = established()
    say(one, ACK, payload=b"abc")
    assert say(one, ACK, IRS - 1 + 1, payload=b"?abcdef") == ["ACK seq=101 ack=307"]
    assert one.connection.read(100, 0) == b"abcdef"


# --- second: RST


@everywhere
def test_a_reset_exactly_at_rcv_nxt_closes(build: Build) -> None:
    """3.10.7.4 second, 3.5.3 (MUST-12); RFC 5961 3.2 (2)."""
    one = build(PLAIN)
    one.out()
    assert say(one, RST, one.connection.receiver.rcv_nxt, 0) == []
    assert one.connection.state is State.CLOSED
    assert one.connection.close_reason is CloseReason.RESET
    events = []
    while (event := one.connection.next_event()) is not None:
        events.append(event)
    assert isinstance(events[-1], Closed) and events[-1].reason is CloseReason.RESET


@everywhere
def test_a_reset_elsewhere_in_the_window_is_challenged(build: Build) -> None:
    """RFC 5961 3.2 (3), RFC 9293 3.10.7.4 second: MUST send a challenge ACK and drop."""
    one = build(PLAIN)
    one.out()
    rcv = one.connection.receiver.rcv_nxt
    if not one.connection.receiver.rcv_wnd:
        return
    state = one.connection.state
    hear(one, RST, rcv + 1, 0)
    (out,) = one.out()
    assert (out.flags & ~URG, out.seq, out.ack, out.reason) == (ACK, bare(one), rcv, ACK_CHALLENGE)
    assert one.connection.state is state


def test_a_reset_that_straddles_rcv_nxt_with_its_data_is_judged_by_its_number() -> None:
    """RFC 5961 3.2 (1): "If the RST bit is set and the sequence number is outside the current receive window"."""
    one = established()
    assert say(one, RST, IRS, 0, payload=bytes(10)) == []
    assert watch(one).drops == [DropReason.RST_OUT_OF_WINDOW]
    assert one.connection.state is State.ESTABLISHED


def test_data_that_had_arrived_can_be_read_after_a_reset() -> None:
    """3.10.7.4 second flushes queues; what was acknowledged to the peer is still the user's here."""
    one = in_flight()
    say(one, RST, IRS + 2001, 0)
    assert len(one.connection.read(5000, 0)) == 2000
    assert one.connection.unacked() == 0
    assert one.connection.next_deadline() == (1 << 63) - 1


# --- fourth: SYN


@everywhere
def test_a_syn_is_challenged_wherever_it_stands(build: Build) -> None:
    """RFC 5961 4.2: irrespective of the sequence number; RFC 9293 3.10.7.4 fourth."""
    one = build(PLAIN)
    one.out()
    state = one.connection.state
    nxt, rcv = numbers(one)
    for seq in (rcv - 1000, rcv - 1, rcv, rcv + 10, rcv + 100_000):
        for flags in (SYN, SYN | ACK, SYN | FIN | ACK):
            hear(one, flags, seq, nxt)
            (out,) = one.out()
            assert (out.flags & ~URG, out.seq, out.ack, out.reason) == (ACK, bare(one), rcv, ACK_CHALLENGE)
            one.now += 10 * SECOND // 10
    assert one.connection.state is state


def test_a_syn_with_rst_is_an_rst() -> None:
    """3.10.7.4: the second check comes before the fourth."""
    one = established()
    assert say(one, SYN | RST, IRS + 1, 0) == []
    assert one.connection.state is State.CLOSED


# --- fifth: ACK


@everywhere
def test_a_segment_without_ack_is_dropped(build: Build) -> None:
    """3.10.7.4 fifth: "if the ACK bit is off, drop the segment and return"."""
    one = build(PLAIN)
    one.out()
    before = one.connection.readable(), one.connection.state, one.connection.receiver.rcv_nxt
    if one.connection.receiver.rcv_wnd:
        assert say(one, FIN, one.connection.receiver.rcv_nxt, 0, payload=b"x") == []
    assert (one.connection.readable(), one.connection.state, one.connection.receiver.rcv_nxt) == before


@everywhere
def test_an_ack_of_what_was_never_sent_is_answered_by_an_ack_and_its_text_dropped(build: Build) -> None:
    """3.10.7.4 fifth: SEG.ACK > SND.NXT: send an ACK, drop the segment, return."""
    one = build(PLAIN)
    one.out()
    nxt, rcv = numbers(one)
    una = one.connection.sender.snd_una
    readable = one.connection.readable()
    hear(one, ACK | FIN, rcv, nxt + 1, payload=b"")
    (out, *_) = one.out()
    assert (out.flags & ~URG, out.seq, out.ack) == (ACK, bare(one), rcv)
    assert (one.connection.sender.snd_una, one.connection.readable()) == (una, readable)


def test_an_ack_older_than_the_largest_window_is_answered_by_an_ack_and_its_text_dropped() -> None:
    """RFC 5961 5.2: SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT."""
    one = established()
    largest = one.connection.sender.max_snd_wnd
    assert largest == 60_000
    assert say(one, ACK, ack=ISS + 1 - largest, payload=b"good") == []
    assert one.connection.readable() == 4
    assert say(one, ACK, IRS + 5, ack=ISS - largest, payload=b"bad") == ["ACK seq=101 ack=305"]
    assert one.connection.readable() == 4
    assert watch(one).drops == [DropReason.ACK_TOO_OLD]


def test_the_largest_window_is_remembered_in_bytes_not_as_the_field() -> None:
    """RFC 5961 5.2: MAX.SND.WND after scaling."""
    one = established(TcpConfig())
    say(one, ACK, window=50_000)
    assert one.connection.sender.max_snd_wnd == 200_000
    say(one, ACK, window=10)
    assert one.connection.sender.max_snd_wnd == 200_000


def test_an_old_ack_within_the_window_carries_its_text_but_no_news() -> None:
    """3.10.7.4 fifth: "If the ACK is a duplicate (SEG.ACK =< SND.UNA), it can be ignored"."""
    one = in_flight()
    say(one, ACK, IRS + 2001, ISS + 1001)
    sender = one.connection.sender
    before = sender.snd_una, sender.snd_wnd
    say(one, ACK, IRS + 2001, ISS + 501, window=5, payload=b"text")
    assert (sender.snd_una, sender.snd_wnd) == before
    assert one.connection.readable() == 2004


def test_an_old_segment_does_not_change_the_window() -> None:
    """3.10.7.4 fifth: SND.WL1 < SEG.SEQ, or SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK."""
    one = established()
    one.connection.write(bytes(100), 0)
    one.out()
    say(one, ACK, IRS + 11, window=400)  # the latest: its number lies 10 ahead
    say(one, ACK, IRS + 1, window=900)
    assert one.connection.sender.snd_wnd == 400
    say(one, ACK, IRS + 1, ISS + 51, window=900)  # new data acknowledged, still an older segment
    assert (one.connection.sender.snd_una, one.connection.sender.snd_wnd) == (ISS + 51, 400)
    say(one, ACK, IRS + 11, ISS + 51, window=800)
    assert one.connection.sender.snd_wnd == 800
    say(one, ACK, IRS + 12, ISS + 51, window=700)
    assert one.connection.sender.snd_wnd == 700


@pytest.mark.parametrize("build", [fin_wait_1, closing, last_ack])
def test_an_ack_of_the_fin_makes_its_move(build: Build) -> None:
    """3.10.7.4 fifth: FIN-WAIT-1 to FIN-WAIT-2, CLOSING to TIME-WAIT, LAST-ACK to CLOSED."""
    one = build(PLAIN)
    after = {State.FIN_WAIT_1: State.FIN_WAIT_2, State.CLOSING: State.TIME_WAIT, State.LAST_ACK: State.CLOSED}
    state = one.connection.state
    say(one, ACK, one.connection.receiver.rcv_nxt, ISS + 1)
    assert one.connection.state is state
    say(one, ACK, one.connection.receiver.rcv_nxt, ISS + 2)
    assert one.connection.state is after[state]


# --- limits on what is answered


def test_challenge_acks_are_at_most_ten_in_five_seconds() -> None:
    """RFC 5961 7: ACK throttling, here a connection's own budget."""
    one = established()
    assert [len(say(one, SYN, 77, 0)) for _ in range(12)] == [1] * 10 + [0] * 2
    one.now = 5 * SECOND - 1
    assert say(one, RST, IRS + 500, 0) == []
    one.now = 5 * SECOND
    assert say(one, RST, IRS + 500, 0) == ["ACK seq=101 ack=301"]


def test_two_ends_that_disagree_do_not_answer_each_others_acks_for_ever() -> None:
    """RFC 5961 7; RFC 9293 3.10.7.4 by its letter would go on for ever."""
    a, b = established(), established()
    wrong = peer(a, ACK, IRS + 100_000, ISS + 1)
    a.connection.receive(wrong, 0)
    exchanged = 0
    for _ in range(1000):
        moved = False
        for one, other in ((a, b), (b, a)):
            for out in one.out():
                moved = True
                exchanged += 1
                other.connection.receive(peer(other, ACK, out.seq + 500_000, out.ack), 0)
        if not moved:
            break
    assert not moved
    assert exchanged == 20


def test_each_repeated_segment_with_text_gets_its_own_ack() -> None:
    """3.10.7.4 first: none merges with another, or a peer without SACK would count too few duplicates."""
    one = established()
    say(one, ACK, payload=bytes(100))
    for _ in range(5):
        hear(one, ACK, payload=bytes(100))
    assert one.sends() == ["ACK seq=101 ack=401"] * 5


def test_what_exceeds_64_answers_between_two_transmissions_is_answered_by_one_of_them() -> None:
    """Memory is bounded: the list of replies is."""
    one = established()
    for _ in range(100):
        hear(one, ACK, IRS - 50, payload=bytes(10))
    assert one.sends() == ["ACK seq=101 ack=301"] * 64


def test_nothing_is_answered_after_the_connection_is_closed() -> None:
    """3.10.7.1 is the stack's: a closed connection is in no table."""
    one = established()
    hear(one, SYN, IRS, 0)
    hear(one, RST, IRS + 1, 0)
    hear(one, ACK, payload=b"x")
    assert one.sends() == []


@pytest.mark.parametrize("build", [close_wait, fin_wait_2, gap], ids=lambda build: build.__name__)
def test_a_keep_alive_of_the_peer_is_answered(build: Build) -> None:
    """3.8.4: a probe at RCV.NXT - 1, with one garbage octet or none, elicits an ACK."""
    one = build(PLAIN)
    nxt, rcv = numbers(one)
    for payload in (b"", b"?"):
        assert say(one, ACK, rcv - 1, nxt, payload=payload) == [f"ACK seq={nxt} ack={rcv}"]


def test_the_connection_survives_its_peers_zero_window_probes() -> None:
    """3.8.6.1: a receiver with a zero window must still answer with its RCV.NXT and window."""
    one = full()
    for _ in range(50):
        assert say(one, ACK, IRS + 101, payload=b"p") == ["ACK seq=101 ack=401"]
    assert probing().connection.state is State.ESTABLISHED
