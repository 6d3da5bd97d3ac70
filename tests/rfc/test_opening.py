"""Opening: RFC 9293 3.4.1, 3.5, 3.10.1, 3.10.7.3, 3.10.7.4 for SYN-RECEIVED; RFC 6528."""

import pytest

from synfin.engine.errors import CloseReason, DropReason, UsageError
from synfin.engine.handshake import initial_sequence_number
from synfin.engine.segment import ACK, FIN, RST, SYN, SYN_ACK, SYN_OPEN, URG, Segment
from synfin.engine.state import State, Trigger
from tests.engine.harness import A_KEY, B_KEY, PLAIN, SECOND, End, incoming
from tests.rfc.build import (
    FULL,
    IRS,
    ISS,
    accepted,
    end,
    established,
    hear,
    passive_syn_received,
    peer,
    say,
    syn_received,
    syn_received_unanswered,
    syn_sent,
    syn_unsent,
    until,
    watch,
)

SECRET = bytes(range(32))


def test_the_isn_advances_by_one_every_four_microseconds() -> None:
    """RFC 9293 3.4.1 (MUST-8): a clock of about 4 microseconds drives it, round the whole space in 4.77 hours."""
    first = initial_sequence_number(SECRET, A_KEY, 1_000_000)
    assert initial_sequence_number(SECRET, A_KEY, 1_004_000) == (first + 1) % 2**32
    assert initial_sequence_number(SECRET, A_KEY, 1_000_000 + SECOND) == (first + 250_000) % 2**32
    assert initial_sequence_number(SECRET, A_KEY, 1_000_000 + 2**32 * 4000) == first


def test_the_isn_of_another_connection_or_another_secret_tells_nothing() -> None:
    """RFC 9293 3.4.1 (SHLD-1, MUST-9), RFC 6528 3: ISN = M + F(connection, secret), F not computable from outside."""
    offsets = {
        initial_sequence_number(SECRET, A_KEY, 0),
        initial_sequence_number(SECRET, B_KEY, 0),
        initial_sequence_number(SECRET[::-1], A_KEY, 0),
        initial_sequence_number(SECRET, A_KEY[:-1] + b"\1", 0),
    }
    assert len(offsets) == 4


def test_an_active_open_sends_a_syn_alone_and_enters_syn_sent() -> None:
    """3.10.1: <SEQ=ISS><CTL=SYN>, SND.UNA = ISS, SND.NXT = ISS+1."""
    one = end()
    one.connection.connect(0)
    (syn,) = one.out()
    assert (syn.flags, syn.seq, syn.ack, syn.payload, syn.reason) == (SYN, ISS, 0, b"", SYN_OPEN)
    assert one.connection.state is State.SYN_SENT
    assert (one.connection.sender.snd_una, one.connection.sender.snd_nxt) == (ISS, ISS + 1)
    assert one.out() == []


def test_open_on_a_used_connection_is_an_error() -> None:
    """3.10.1, every state but CLOSED: "error: connection already exists"."""
    for build in (syn_sent, syn_received, established):
        with pytest.raises(UsageError, match=r"3\.10\.1"):
            build().connection.connect(0)


def test_a_syn_ack_establishes_and_is_acknowledged() -> None:
    """3.5 figure 6, 3.10.7.3 fourth: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>."""
    one = syn_sent()
    assert say(one, SYN | ACK, IRS, ISS + 1) == ["ACK seq=101 ack=301"]
    assert one.connection.state is State.ESTABLISHED


def test_data_written_before_the_syn_ack_rides_on_the_third_segment() -> None:
    """3.10.7.3 fourth: data queued for transmission may be included."""
    one = end()
    one.connection.connect(0, b"first ")
    one.connection.write(b"words", 0)
    assert one.sends() == ["SYN seq=100"]
    assert say(one, SYN | ACK, IRS, ISS + 1) == ["PSH,ACK seq=101 ack=301 len=11"]
    assert one.sends() == []


def test_a_lost_third_segment_with_data_is_repeated_with_its_data() -> None:
    """3.8.1: the data is retransmitted as any other; its ACK field repeats the handshake's third segment."""
    one = end()
    one.connection.connect(0, b"hello")
    one.out()
    one.now = 100_000_000
    assert say(one, SYN | ACK, IRS, ISS + 1) == ["PSH,ACK seq=101 ack=301 len=5"]
    assert until(one, SECOND // 2) == ["400 PSH,ACK seq=101 ack=301 len=5"]


def test_an_ack_of_what_was_not_sent_in_syn_sent_is_answered_by_a_reset() -> None:
    """3.10.7.3 first: SEG.ACK =< ISS or SEG.ACK > SND.NXT: <SEQ=SEG.ACK><CTL=RST>; the connection stays."""
    for wrong in (ISS, ISS + 2, ISS - 1, ISS + (1 << 31)):
        one = syn_sent()
        assert say(one, SYN | ACK, IRS, wrong) == [f"RST seq={wrong}"]
        assert say(one, ACK, IRS, wrong) == [f"RST seq={wrong}"]
        assert say(one, RST | ACK, IRS, wrong) == []
        assert one.connection.state is State.SYN_SENT


def test_before_the_syn_has_gone_no_ack_is_acceptable() -> None:
    """3.10.7.3 first: SEG.ACK > SND.NXT, and SND.NXT is ISS as long as the SYN waits to be built."""
    one = syn_unsent()
    hear(one, SYN | ACK, IRS, ISS + 1)
    assert one.connection.state is State.SYN_SENT
    assert one.sends() == ["RST seq=101", "SYN seq=100"]
    hear(one, SYN | ACK, IRS, ISS + 1)
    assert one.connection.state is State.ESTABLISHED


def test_a_reset_refuses_the_open_only_with_an_ack_of_the_syn() -> None:
    """3.10.7.3 second; RFC 5961 3.2: in SYN-SENT an RST counts when its ACK field acknowledges the SYN."""
    one = syn_sent()
    assert say(one, RST, 0, 0) == []
    assert watch(one).drops == [DropReason.RST_IGNORED]
    assert one.connection.state is State.SYN_SENT
    assert say(one, RST | ACK, 0, ISS + 1) == []
    assert one.connection.state is State.CLOSED
    assert one.connection.close_reason is CloseReason.REFUSED


def test_a_segment_without_syn_or_rst_is_dropped_in_syn_sent() -> None:
    """3.10.7.3 fifth."""
    one = syn_sent()
    for flags in (ACK, FIN, FIN | ACK, 0):
        assert say(one, flags, IRS, ISS + 1, payload=b"x") == []
    assert one.connection.state is State.SYN_SENT
    assert one.connection.readable() == 0


def test_a_syn_alone_in_syn_sent_is_answered_by_a_syn_ack_with_the_same_number() -> None:
    """3.5 figure 7 (MUST-10), 3.10.7.3 fourth: <SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK>."""
    one = syn_sent()
    hear(one, SYN, IRS, 0)
    (out,) = one.out()
    assert (out.flags, out.seq, out.ack, out.reason) == (SYN | ACK, ISS, IRS + 1, SYN_ACK)
    assert one.connection.state is State.SYN_RECEIVED


def test_in_syn_received_after_an_active_open_a_syn_ack_at_irs_completes_the_handshake() -> None:
    """3.5 figure 7; 3.10.7.4 first check would refuse it by its letter."""
    one = syn_received()
    assert say(one, SYN | ACK, IRS, ISS + 1) == []
    assert one.connection.state is State.ESTABLISHED


def test_the_window_of_the_syn_ack_that_completes_a_simultaneous_open_is_not_scaled() -> None:
    """RFC 7323 2.2: the window field of a segment with SYN is never scaled."""
    one = syn_received(FULL)
    say(one, SYN | ACK, IRS, ISS + 1, window=1000)
    assert one.connection.sender.shift == 2
    assert one.connection.sender.snd_wnd == 1000
    say(one, ACK, window=1000)
    assert one.connection.sender.snd_wnd == 4000


def test_a_plain_ack_completes_a_simultaneous_open_too() -> None:
    """3.10.7.4 fifth, SYN-RECEIVED: SND.UNA < SEG.ACK =< SND.NXT."""
    one = syn_received()
    assert say(one, ACK) == []
    assert one.connection.state is State.ESTABLISHED


def test_a_simultaneous_open_needs_no_ack_of_a_syn_that_is_not_yet_answered() -> None:
    """3.5: the ACK of our SYN may come before our SYN,ACK has gone; then an ACK does, and no second SYN."""
    one = syn_received_unanswered()
    hear(one, SYN | ACK, IRS, ISS + 1)
    assert one.connection.state is State.ESTABLISHED
    assert one.sends() == ["ACK seq=101 ack=301"]
    assert until(one, 10 * SECOND) == []


def test_a_syn_ack_that_arrives_with_the_handshake_timer_ends_the_retransmission() -> None:
    """3.10.7.3: an established connection sends no SYN, although one was due."""
    one = syn_sent()
    one.now = SECOND
    one.connection.handle_timers(SECOND)
    hear(one, SYN | ACK, IRS, ISS + 1)
    assert one.sends() == ["ACK seq=101 ack=301"]


def test_a_lost_syn_ack_of_a_simultaneous_open_is_repeated_and_a_repeated_one_answered() -> None:
    """3.5, 3.10.7.4 fourth: who is ESTABLISHED answers the repeated SYN,ACK with an ACK, which completes the other."""
    a, b = End(A_KEY, 100, PLAIN), End(B_KEY, 300, PLAIN)
    a.connection.connect(0)
    b.connection.connect(0)
    (syn_a,), (syn_b,) = a.out(), b.out()
    a.connection.receive(incoming(syn_b), 0)
    b.connection.receive(incoming(syn_a), 0)
    (answer_a,), _lost = a.out(), b.out()
    b.take(incoming(answer_a))
    assert (a.connection.state, b.connection.state) == (State.SYN_RECEIVED, State.ESTABLISHED)
    assert until(a, SECOND) == ["1000 SYN,ACK seq=100 ack=301"]
    assert b.take(incoming(answer_a)) == ["ACK seq=301 ack=101"]
    a.take(Segment(301, 101, ACK, 1000))
    assert a.connection.state is State.ESTABLISHED


def test_data_queued_in_a_simultaneous_open_goes_when_it_is_established() -> None:
    """3.10.2, SYN-SENT and SYN-RECEIVED: queue the data for transmission after entering ESTABLISHED."""
    one = syn_sent()
    one.connection.write(b"early ", 0)
    assert one.sends() == []
    say(one, SYN, IRS, 0)
    one.connection.write(b"words", 0)
    assert one.sends() == []
    assert say(one, ACK) == ["PSH,ACK seq=101 ack=301 len=11"]


def test_data_on_the_peers_syn_is_kept_until_established() -> None:
    """3.10.7.3 fourth: "queue them for processing after the ESTABLISHED state has been reached"."""
    one = syn_sent()
    assert say(one, SYN, IRS, 0, payload=b"early") == ["SYN,ACK seq=100 ack=301"]
    assert one.connection.readable() == 0
    assert say(one, ACK, IRS + 6, payload=b" bird") == ["ACK seq=101 ack=311"]
    assert one.connection.read(100, 0) == b"early bird"


def test_a_fin_on_the_peers_syn_closes_once_established() -> None:
    """3.10.7.3 fourth, 3.10.7.4 eighth."""
    one = syn_sent()
    say(one, SYN | FIN, IRS, 0, payload=b"all")
    assert not one.connection.peer_closed
    assert say(one, ACK, IRS + 5) == ["ACK seq=101 ack=305"]
    assert one.connection.state is State.CLOSE_WAIT
    assert one.connection.read(100, 0) == b"all"


def test_of_data_on_the_peers_syn_only_what_fits_the_window_is_kept() -> None:
    """3.8.6: the window that our SYN offered bounds it; what lies beyond is sent again by the peer."""
    one = syn_sent(PLAIN.replace(receive_buffer=100))
    say(one, SYN | FIN, IRS, 0, payload=bytes(500))
    assert say(one, ACK) == ["ACK seq=101 ack=401"]
    assert one.connection.readable() == 100
    assert one.connection.receiver.rcv_wnd == 0
    assert not one.connection.peer_closed


def test_data_and_fin_on_the_syn_ack_are_delivered_and_acknowledged_at_once() -> None:
    """3.10.7.3 fourth: processing continues at the sixth check."""
    one = syn_sent()
    assert say(one, SYN | ACK | FIN, IRS, ISS + 1, payload=b"hello") == ["ACK seq=101 ack=307"]
    assert one.connection.state is State.CLOSE_WAIT
    assert one.connection.read(100, 0) == b"hello"


def test_of_data_on_the_syn_ack_what_exceeds_the_window_is_not_taken_and_neither_is_the_fin_behind_it() -> None:
    """3.10.7.4 first: trimmed to the window."""
    one = syn_sent(PLAIN.replace(receive_buffer=100))
    assert say(one, SYN | ACK | FIN, IRS, ISS + 1, payload=bytes(101)) == ["ACK seq=101 ack=401"]
    assert one.connection.state is State.ESTABLISHED
    one.connection.read(100, 0)
    one.sends()
    assert say(one, FIN | ACK, IRS + 101, payload=b"x") == ["ACK seq=101 ack=403"]


def test_an_urgent_pointer_on_the_syn_ack_counts_from_its_own_number() -> None:
    """3.10.7.3 fourth continues at the sixth check; 3.8.5: the pointer is added to the segment's sequence number."""
    one = syn_sent()
    segment = peer(one, SYN | ACK | URG, IRS, ISS + 1, payload=b"ab!")
    segment.urgent = 4
    one.take(segment)
    assert one.connection.read_urgent() == b"!"
    assert one.connection.read(10, 0) == b"ab"


def test_a_wrong_ack_in_syn_received_is_answered_by_a_reset_with_its_number() -> None:
    """3.5.2 group 2, 3.10.7.4 fifth: <SEQ=SEG.ACK><CTL=RST>; SYN-RECEIVED is not a synchronized state."""
    for build in (syn_received, passive_syn_received):
        for wrong in (ISS, ISS + 2, ISS - 70_000):
            one = build()
            assert say(one, ACK, ack=wrong)[-1] == f"RST seq={wrong % 2**32}"
            assert say(one, ACK, IRS - 5, ack=wrong)[-1] == f"RST seq={wrong % 2**32}"
            assert one.connection.state is State.SYN_RECEIVED


def test_before_the_syn_ack_has_gone_its_own_number_is_no_ack() -> None:
    """3.10.7.4 fifth: SND.UNA < SEG.ACK, and SND.UNA is ISS."""
    one = syn_unsent()
    hear(one, SYN, IRS, 0)
    hear(one, ACK, ack=ISS)
    assert one.connection.state is State.SYN_RECEIVED
    assert one.sends() == ["RST seq=100", "SYN,ACK seq=100 ack=301"]


def test_a_reset_in_syn_received_refuses_an_active_open() -> None:
    """3.10.7.4 second, SYN-RECEIVED (MUST-11): an active OPEN was refused."""
    one = syn_received()
    assert say(one, RST, IRS + 1, 0) == []
    assert one.connection.state is State.CLOSED
    assert one.connection.close_reason is CloseReason.REFUSED


def test_a_syn_in_the_window_of_syn_received_after_an_active_open_is_challenged() -> None:
    """3.10.7.4 fourth: handled as in the synchronized states, RFC 5961 4.2."""
    one = syn_received()
    assert say(one, SYN, IRS + 5, 0) == ["ACK seq=101 ack=301"]
    assert one.connection.state is State.SYN_RECEIVED


def test_the_final_ack_sets_the_send_window_and_its_data_is_delivered() -> None:
    """3.10.7.4 fifth, SYN-RECEIVED: SND.WND, SND.WL1, SND.WL2 from the segment; processing goes on."""
    one = passive_syn_received()
    assert say(one, ACK, window=1234, payload=b"request") == []
    sender = one.connection.sender
    assert (sender.snd_wnd, sender.snd_wl1, sender.snd_wl2) == (1234, IRS + 1, ISS + 1)
    assert one.connection.read(100, 0) == b"request"


def test_a_fin_on_the_final_ack_leads_to_close_wait_through_established() -> None:
    """3.10.7.4 eighth."""
    one = passive_syn_received()
    assert say(one, FIN | ACK) == ["ACK seq=101 ack=302"]
    assert watch(one).moves[-2:] == [
        (State.SYN_RECEIVED, Trigger.ACK_OF_SYN, State.ESTABLISHED),
        (State.ESTABLISHED, Trigger.FIN, State.CLOSE_WAIT),
    ]


def test_a_repeated_syn_ack_is_acknowledged_again() -> None:
    """3.5: the third segment was lost; 3.10.7.4 first and fourth."""
    one = established()
    assert say(one, SYN | ACK, IRS, ISS + 1) == ["ACK seq=101 ack=301"]
    assert one.connection.state is State.ESTABLISHED


def test_an_old_duplicate_syn_is_undone_by_a_reset_of_the_active_side() -> None:
    """3.5 figure 8: A gets a SYN,ACK for a SYN it never sent, resets it, and still opens by its own."""
    one = syn_sent()
    assert say(one, SYN | ACK, 400, 91) == ["RST seq=91"]
    assert one.connection.state is State.SYN_SENT
    assert say(one, SYN | ACK, IRS, ISS + 1) == ["ACK seq=101 ack=301"]


def test_a_half_open_connection_is_discovered_by_the_side_that_opens_anew() -> None:
    """3.5 figure 9: the ACK that the forgotten connection answers is met with a reset, which ends it there."""
    survivor = established()
    crashed = End(B_KEY, 400, PLAIN)
    crashed.connection.connect(0)
    (syn,) = crashed.out()
    survivor.connection.receive(incoming(syn), 0)
    (challenge,) = survivor.out()
    assert (challenge.flags, challenge.seq, challenge.ack) == (ACK, ISS + 1, IRS + 1)
    crashed.connection.receive(incoming(challenge), 0)
    (answer,) = crashed.out()
    assert (answer.flags, answer.seq) == (RST, IRS + 1)
    survivor.take(incoming(answer))
    assert survivor.connection.state is State.CLOSED
    assert crashed.connection.state is State.SYN_SENT


def test_a_syn_is_tried_for_three_minutes_before_the_open_is_given_up() -> None:
    """3.8.3 (MUST-22, MUST-23): R2 for a SYN is at least 3 minutes; the application is told."""
    one = syn_sent()
    log = until(one, 400 * SECOND)
    assert log == [f"{at}000 SYN seq=100" for at in (1, 3, 7, 15, 31, 63, 127)]
    assert one.connection.state is State.CLOSED
    assert one.connection.close_reason is CloseReason.TIMED_OUT
    assert watch(one).moves[-1] == (State.SYN_SENT, Trigger.USER_TIMEOUT, State.CLOSED)


def test_in_syn_received_the_syn_ack_is_repeated_until_the_same_timeout() -> None:
    """3.8.3 (MUST-22): one timeout for the whole opening, counted from OPEN."""
    one = syn_received()
    log = until(one, 400 * SECOND)
    assert log == [f"{at}000 SYN,ACK seq=100 ack=301" for at in (1, 3, 7, 15, 31, 63, 127)]
    assert one.connection.close_reason is CloseReason.TIMED_OUT


def test_a_passive_connection_remembers_that_it_was_passive() -> None:
    """3.5 (MUST-11): SYN-RECEIVED knows whether it came from LISTEN or from SYN-SENT."""
    assert passive_syn_received().connection.passive
    assert accepted().connection.passive
    assert not syn_received().connection.passive
