"""Closing: RFC 9293 3.6, 3.9.1.4, 3.10.4, 3.10.5; RFC 2525 2.17; orphans."""

from collections.abc import Callable

import pytest

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.errors import CloseReason, DropReason, UsageError
from synfin.engine.events import Closed, Connected, Event, PeerClosed
from synfin.engine.segment import (
    ACK,
    ACK_OF_FIN,
    FIN,
    FIN_SENT,
    RESET_ABORT,
    RESET_AFTER_CLOSE,
    RETRANSMIT_FIN,
    RST,
    SYN,
    Outgoing,
)
from synfin.engine.state import State, Trigger
from tests.engine.harness import PLAIN, SECOND, End, Pair
from tests.rfc.build import (
    IRS,
    ISS,
    STATES,
    accepted,
    close_wait,
    close_wait_with_data,
    closing,
    established,
    fin_wait_1,
    fin_wait_1_with_data,
    fin_wait_2,
    hear,
    in_flight,
    last,
    last_ack,
    orphan,
    probing,
    say,
    syn_received,
    syn_sent,
    time_wait,
    until,
    watch,
)

Build = Callable[[TcpConfig], End]


def events(one: End) -> list[Event]:
    """What it told."""
    told = []
    while (event := one.connection.next_event()) is not None:
        told.append(event)
    return told


# --- CLOSE


def test_close_sends_the_fin_after_all_that_was_written() -> None:
    """3.10.4 ESTABLISHED: "Queue this until all preceding SENDs have been segmentized, then form a FIN"."""
    one = established()
    one.connection.write(bytes(2000), 0)
    one.connection.shutdown_send(0)
    assert one.connection.state is State.FIN_WAIT_1
    assert one.sends() == ["ACK seq=101 ack=301 len=1460", "FIN,PSH,ACK seq=1561 ack=301 len=540"]


def test_a_fin_alone_has_the_next_number_and_takes_it() -> None:
    """3.4, 3.6 figure 12."""
    one = established()
    one.connection.shutdown_send(0)
    out = last(one)
    assert (out.flags, out.seq, out.ack, out.reason) == (FIN | ACK, ISS + 1, IRS + 1, FIN_SENT)
    assert one.connection.sender.snd_nxt == ISS + 2


def test_close_in_close_wait_leads_to_last_ack_and_its_ack_to_closed() -> None:
    """3.10.4 CLOSE-WAIT, 3.10.7.4 fifth LAST-ACK."""
    one = close_wait()
    one.connection.write(b"last words", 0)
    one.connection.shutdown_send(0)
    assert one.connection.state is State.LAST_ACK
    assert one.sends() == ["FIN,PSH,ACK seq=101 ack=302 len=10"]
    assert say(one, ACK, IRS + 2, ISS + 12) == []
    assert one.connection.state is State.CLOSED
    assert one.connection.close_reason is CloseReason.FINISHED


def test_close_in_syn_sent_deletes_the_connection_without_a_word() -> None:
    """3.10.4 SYN-SENT."""
    one = syn_sent()
    one.connection.write(b"queued", 0)
    one.connection.close(0)
    assert one.connection.state is State.CLOSED
    assert one.sends() == []


def test_close_in_syn_received_waits_for_established() -> None:
    """3.10.4 SYN-RECEIVED: "queue for processing after entering ESTABLISHED state"; here with and without data."""
    for text in (b"", b"data"):
        one = syn_received()
        if text:
            one.connection.write(text, 0)
        one.connection.shutdown_send(0)
        assert one.connection.state is State.SYN_RECEIVED
        flags = "FIN,PSH,ACK" if text else "FIN,ACK"
        length = f" len={len(text)}" if text else ""
        assert say(one, ACK) == [f"{flags} seq=101 ack=301{length}"]
        assert one.connection.state is State.FIN_WAIT_1


@pytest.mark.parametrize("build", [fin_wait_1, fin_wait_2, closing, last_ack, time_wait])
def test_a_second_close_emits_no_second_fin(build: Build) -> None:
    """3.10.4 FIN-WAIT-1 and later: "ok" is acceptable "as long as a second FIN is not emitted"."""
    one = build(PLAIN)
    state = one.connection.state
    one.connection.shutdown_send(0)
    one.connection.close(0)
    one.connection.close(0)
    assert one.sends() == []
    assert one.connection.state is state


@pytest.mark.parametrize("build", [fin_wait_1, fin_wait_2, closing, last_ack, time_wait])
def test_send_after_close_is_an_error(build: Build) -> None:
    """3.10.2 FIN-WAIT-1 and later: "error: connection closing"."""
    with pytest.raises(UsageError, match="closed"):
        build(PLAIN).connection.write(b"x", 0)


def test_send_without_a_connection_is_an_error() -> None:
    """3.10.2 CLOSED: "error: connection does not exist"."""
    for build in (STATES.__iter__().__next__(), orphan):
        with pytest.raises(UsageError):
            build(PLAIN).connection.write(b"x", 0)


def test_half_closed_we_still_receive_for_as_long_as_the_peer_sends() -> None:
    """3.6 case 1 (MAY-1 is for who does not): CLOSE means "I have no more to send"."""
    one = fin_wait_2()
    assert until(one, 3600 * SECOND) == []
    assert one.connection.state is State.FIN_WAIT_2
    say(one, ACK, IRS + 1, ISS + 2, payload=b"late")
    assert one.connection.read(10, 0) == b"late"
    assert say(one, FIN | ACK, IRS + 5, ISS + 2) == ["ACK seq=102 ack=306"]
    assert one.connection.state is State.TIME_WAIT


def test_the_peers_close_leaves_us_sending() -> None:
    """3.6 case 2."""
    one = close_wait()
    one.connection.write(b"still here", 0)
    assert one.sends() == ["PSH,ACK seq=101 ack=302 len=10"]


def test_a_fin_with_the_ack_of_ours_leads_straight_to_time_wait() -> None:
    """3.10.7.4 fifth before eighth: FIN-WAIT-1 to TIME-WAIT, shown as one move."""
    one = fin_wait_1()
    assert say(one, FIN | ACK, ack=ISS + 2) == ["ACK seq=102 ack=302"]
    assert watch(one).moves[-1] == (State.FIN_WAIT_1, Trigger.FIN_AND_ACK_OF_FIN, State.TIME_WAIT)


def test_a_fin_without_the_ack_of_ours_leads_to_closing() -> None:
    """3.6 figure 13."""
    one = fin_wait_1()
    assert say(one, FIN | ACK) == ["ACK seq=102 ack=302"]
    assert one.connection.state is State.CLOSING
    assert say(one, ACK, IRS + 2, ISS + 2) == []
    assert one.connection.state is State.TIME_WAIT


def test_in_time_wait_nothing_but_the_last_ack_is_left_to_do() -> None:
    """3.10.7.4 eighth: "turn off the other timers"; the 2MSL timer is the stack's entry's."""
    one = fin_wait_2()
    hear(one, FIN | ACK, ack=ISS + 2)
    out = last(one)
    assert (out.reason, out.ack) == (ACK_OF_FIN, IRS + 2)
    assert one.connection.next_deadline() == NEVER


def test_a_lost_fin_is_repeated_as_data_is() -> None:
    """3.4, 3.8.1: the FIN is retransmitted until it is acknowledged."""
    one = fin_wait_1()
    one.now = one.connection.next_deadline()
    one.connection.handle_timers(one.now)
    out = last(one)
    assert (out.flags, out.seq, out.reason) == (FIN | ACK, ISS + 1, RETRANSMIT_FIN)


def test_a_fin_repeated_with_data_keeps_both_in_one_segment() -> None:
    """3.8.1."""
    one = established()
    one.connection.write(b"end", 0)
    one.connection.shutdown_send(0)
    one.sends()
    assert one.at(one.connection.next_deadline()) == ["FIN,PSH,ACK seq=101 ack=301 len=3"]


def test_a_partly_acknowledged_close_repeats_only_what_is_missing() -> None:
    """3.8.1: SND.UNA moves over acknowledged data; the FIN is still outstanding."""
    one = established()
    one.connection.write(b"abcdef", 0)
    one.connection.shutdown_send(0)
    one.sends()
    say(one, ACK, ack=ISS + 5)
    assert one.connection.state is State.FIN_WAIT_1
    assert one.at(one.connection.next_deadline()) == ["FIN,PSH,ACK seq=105 ack=301 len=2"]
    say(one, ACK, ack=ISS + 7)
    assert one.at(one.connection.next_deadline()) == ["FIN,ACK seq=107 ack=301"]


def test_the_fin_waits_at_a_closed_window_and_probes_it_then() -> None:
    """3.8.6.1: the FIN takes sequence space; with no data left the probe is the FIN."""
    one = established()
    say(one, ACK, window=0)
    one.connection.shutdown_send(0)
    assert one.sends() == []
    assert one.connection.state is State.FIN_WAIT_1
    assert until(one, SECOND) == ["200 FIN,ACK seq=101 ack=301", "600 FIN,ACK seq=101 ack=301"]
    say(one, ACK, ack=ISS + 2, window=0)
    assert one.connection.state is State.FIN_WAIT_2
    assert until(one, 100 * SECOND) == []


def test_the_fin_goes_as_soon_as_the_window_opens() -> None:
    """3.8.6.1."""
    one = established()
    say(one, ACK, window=0)
    one.connection.shutdown_send(0)
    one.sends()
    assert say(one, ACK, window=1) == ["FIN,ACK seq=101 ack=301"]


def test_a_window_that_the_data_fills_holds_the_fin_back() -> None:
    """3.4: the FIN counts in the window."""
    one = fin_wait_1_with_data()
    assert one.connection.sender.snd_nxt == ISS + 101
    assert say(one, ACK, ack=ISS + 101, window=400) == ["PSH,ACK seq=201 ack=301 len=400"]
    assert say(one, ACK, ack=ISS + 501, window=1) == ["FIN,ACK seq=601 ack=301"]


@pytest.mark.parametrize("gso", [0, 65_000])
def test_a_window_that_full_segments_fill_holds_the_fin_back_too(gso: int) -> None:
    """3.4: the FIN counts in the window."""
    one = syn_sent()
    say(one, SYN | ACK, IRS, ISS + 1, window=2920)
    one.connection.sender.gso_max = gso
    one.connection.write(bytes(2920), 0)
    one.connection.shutdown_send(0)
    assert {out.flags & FIN for out in one.out()} == {0}
    assert one.connection.sender.snd_nxt == ISS + 2921
    assert say(one, ACK, ack=ISS + 1461, window=1461) == ["FIN,ACK seq=3021 ack=301"]


def test_write_then_close_then_silence_of_the_peer_ends_by_the_user_timeout() -> None:
    """3.9.1.4: "CLOSE turns into ABORT, and the closing TCP peer gives up"."""
    one = in_flight()
    one.connection.shutdown_send(0)
    until(one, 400 * SECOND)
    assert one.connection.state is State.CLOSED
    assert one.connection.close_reason is CloseReason.TIMED_OUT


# --- RST for data lost


def test_close_with_data_unread_sends_a_reset() -> None:
    """3.6.1 (SHLD-3), RFC 2525 2.17."""
    one = in_flight()
    one.connection.close(0)
    out = last(one)
    assert (out.flags, out.seq, out.reason) == (RST | ACK, ISS + 2921, RESET_ABORT)
    assert one.connection.state is State.CLOSED
    assert one.connection.close_reason is CloseReason.ABORTED


def test_close_in_close_wait_with_data_unread_sends_a_reset_too() -> None:
    """RFC 2525 2.17."""
    one = established()
    say(one, FIN | ACK, payload=b"unread")
    one.connection.close(0)
    assert one.sends() == ["RST,ACK seq=101 ack=308"]


def test_new_data_after_close_is_answered_by_a_reset() -> None:
    """3.6.1 (SHLD-3): "if new data is received after CLOSE is called"."""
    for build in (orphan, fin_wait_1):
        one = build(PLAIN)
        one.connection.close(0)
        nxt = one.connection.sender.snd_nxt
        hear(one, ACK, ack=nxt, payload=b"x")
        out = last(one)
        assert (out.flags, out.seq, out.ack, out.reason) == (RST | ACK, nxt, IRS + 1, RESET_AFTER_CLOSE)
        assert one.connection.state is State.CLOSED
        assert watch(one).drops == [DropReason.AFTER_CLOSE]


def test_after_close_old_data_repeated_is_no_new_data() -> None:
    """3.6.1 speaks of new data: a repeated segment gets its ACK."""
    one = established()
    say(one, ACK, payload=b"seen")
    one.connection.read(10, 0)
    one.connection.close(0)
    one.sends()
    assert say(one, ACK, payload=b"seen") == ["ACK seq=102 ack=305"]
    assert one.connection.state is State.FIN_WAIT_1


def test_after_close_a_fin_alone_is_taken_and_a_fin_with_new_data_is_not() -> None:
    """3.6.1."""
    one = orphan()
    assert say(one, FIN | ACK, ack=ISS + 2) == ["ACK seq=102 ack=302"]
    assert one.connection.state is State.TIME_WAIT
    one = orphan()
    assert say(one, FIN | ACK, ack=ISS + 2, payload=b"x") == ["RST,ACK seq=102 ack=301"]


def test_shutdown_of_receiving_discards_what_waits_and_what_comes_and_still_acknowledges_it() -> None:
    """3.6.1 (MAY-1) offers a reset; shutdown is no CLOSE, so the peer may finish."""
    one = in_flight()
    one.connection.shutdown_receive(0)
    assert one.connection.readable() == 0
    one.sends()
    assert say(one, ACK, IRS + 2001, payload=bytes(1460)) == []
    assert say(one, ACK, IRS + 3461, payload=bytes(1460)) == ["ACK seq=3021 ack=5221"]
    assert one.connection.readable() == 0
    one.connection.close(0)
    assert one.sends() == ["FIN,PSH,ACK seq=3021 ack=5221 len=1080"]


def test_shutdown_of_receiving_opens_a_closed_window() -> None:
    """3.8.6.2.2: what was discarded no longer takes room, and the peer is told."""
    one = established(PLAIN.replace(receive_buffer=100))
    say(one, ACK, payload=bytes(100))
    one.sends()
    assert one.connection.receiver.rcv_wnd == 0
    one.connection.shutdown_receive(0)
    assert last(one).window == 100


# --- ABORT


@pytest.mark.parametrize(
    "build", [syn_received, established, accepted, in_flight, fin_wait_1, fin_wait_2, close_wait, close_wait_with_data, probing]
)
def test_abort_sends_a_reset_and_drops_everything(build: Build) -> None:
    """3.10.5: <SEQ=SND.NXT><CTL=RST>, here with <ACK=RCV.NXT> (a declared deviation)."""
    one = build(PLAIN)
    one.out()
    nxt, rcv = one.connection.sender.snd_nxt, one.connection.receiver.rcv_nxt
    if build is probing:
        nxt = one.connection.sender.snd_una  # the peer's window is closed (deviation D13)
    one.connection.abort(0)
    assert one.sends() == [f"RST,ACK seq={nxt} ack={rcv}"]
    assert one.connection.state is State.CLOSED
    assert one.connection.unacked() == 0
    assert one.connection.next_deadline() == NEVER


@pytest.mark.parametrize("build", [syn_sent, closing, last_ack])
def test_abort_before_the_peer_knows_us_or_after_both_fins_is_silent(build: Build) -> None:
    """3.10.5 SYN-SENT: delete the TCB; CLOSING, LAST-ACK: "Respond with "ok" and delete the TCB"."""
    one = build(PLAIN)
    one.connection.abort(0)
    assert one.sends() == []
    assert one.connection.state is State.CLOSED


def test_abort_in_last_ack_with_the_fin_not_yet_sent_still_resets() -> None:
    """3.10.5: the queue that is flushed has data that the peer will miss."""
    one = close_wait()
    say(one, ACK, IRS + 2, window=0)
    one.connection.write(b"never sent", 0)
    one.connection.shutdown_send(0)
    assert one.connection.state is State.LAST_ACK
    one.connection.abort(0)
    assert one.sends() == ["RST,ACK seq=101 ack=302"]


def test_abort_twice_or_after_the_end_does_nothing() -> None:
    """3.10.5 CLOSED."""
    one = established()
    one.connection.abort(0)
    one.sends()
    one.connection.abort(0)
    one.connection.close(0)
    one.connection.shutdown_send(0)
    one.connection.shutdown_receive(0)
    assert one.sends() == []


# --- what the user is told


def test_the_user_hears_of_the_opening_the_peers_close_and_the_end_in_order() -> None:
    """3.10.7.4, 3.9.1.7; MUST-12."""
    one = established()
    say(one, FIN | ACK)
    one.connection.close(0)
    one.sends()
    say(one, ACK, IRS + 2, ISS + 2)
    told = events(one)
    assert [type(event) for event in told] == [Connected, PeerClosed, Closed]
    assert isinstance(told[-1], Closed) and told[-1].reason is CloseReason.FINISHED


def test_time_wait_is_the_end_for_the_user() -> None:
    """3.6: the application has gone, the entry stays."""
    one = time_wait()
    told = events(one)
    assert [type(event) for event in told] == [Connected, PeerClosed, Closed]


# --- orphans


def test_an_orphan_in_fin_wait_2_ends_after_its_timeout() -> None:
    """Deviation (Linux: tcp_fin_timeout): 60 s; a silent peer would hold it for ever."""
    one = orphan()
    until(one, 59 * SECOND)
    assert one.connection.state is State.FIN_WAIT_2
    assert until(one, 61 * SECOND) == []
    assert one.connection.state is State.CLOSED
    assert one.connection.close_reason is CloseReason.ORPHANED


def test_an_orphan_stays_for_ever_in_the_rfc_profile() -> None:
    """3.6: the RFC knows no such timeout."""
    one = orphan(PLAIN.replace(fin_wait_2_timeout=0))
    assert one.connection.next_deadline() == NEVER


def test_a_close_in_fin_wait_2_starts_the_orphans_timeout_from_there() -> None:
    """As in Linux: it counts while nobody holds the socket."""
    one = fin_wait_2()
    one.now = 1000 * SECOND
    one.connection.close(one.now)
    assert one.connection.next_deadline() == 1060 * SECOND


def test_the_orphans_timeout_ends_with_its_state() -> None:
    """3.10.7.4 eighth: "turn off the other timers"."""
    one = orphan()
    say(one, FIN | ACK, ack=ISS + 2)
    assert one.connection.next_deadline() == NEVER


def test_both_sides_close_at_once_and_both_fins_are_lost_once() -> None:
    """3.6 figure 13 over a bad line."""
    pair = Pair().open()
    seen: list[str] = []

    def lose(out: Outgoing) -> bool:
        if out.flags & FIN and len(seen) < 2:
            seen.append("lost")
            return True
        return False

    pair.lose = lose
    pair.a.connection.close(0)
    pair.b.connection.close(0)
    pair.until_quiet(30 * SECOND)
    states = {pair.a.connection.state, pair.b.connection.state}
    assert states <= {State.TIME_WAIT, State.CLOSED}
