"""The handshake and every way of closing, segment by segment: RFC 9293 3.5, 3.6, figures 6 to 13."""

from synfin.engine.segment import ACK, FIN, RST, SYN, Segment
from synfin.engine.state import State
from tests.engine.harness import A_KEY, B_KEY, PLAIN, SECOND, End, Pair, incoming


def test_an_active_open_sends_a_syn_and_answers_the_syn_ack_with_an_ack() -> None:
    a = End(A_KEY, 100, PLAIN)
    a.connection.connect(0)
    assert a.sends() == ["SYN seq=100"]
    assert a.connection.state is State.SYN_SENT
    assert a.take(Segment(300, 101, SYN | ACK, 1000)) == ["ACK seq=101 ack=301"]
    assert a.connection.state is State.ESTABLISHED


def test_simultaneous_open_ends_established_on_both_sides_by_figure_7() -> None:
    a, b = End(A_KEY, 100, PLAIN), End(B_KEY, 300, PLAIN)
    a.connection.connect(0)
    b.connection.connect(0)
    (syn_a,), (syn_b,) = a.out(), b.out()
    a.connection.receive(incoming(syn_b), 0)
    b.connection.receive(incoming(syn_a), 0)
    assert a.connection.state is State.SYN_RECEIVED
    (answer_a,), (answer_b,) = a.out(), b.out()
    assert (answer_a.flags, answer_a.seq, answer_a.ack) == (SYN | ACK, 100, 301)
    assert b.take(incoming(answer_a)) == []
    assert a.take(incoming(answer_b)) == []
    assert a.connection.state is State.ESTABLISHED
    assert b.connection.state is State.ESTABLISHED


def test_a_wrong_ack_in_syn_sent_is_answered_by_a_reset_with_its_number() -> None:
    a = End(A_KEY, 100, PLAIN)
    a.connection.connect(0)
    a.sends()
    assert a.take(Segment(300, 99, SYN | ACK, 1000)) == ["RST seq=99"]
    assert a.connection.state is State.SYN_SENT


def test_the_four_way_close_client_first() -> None:
    pair = Pair().open()
    pair.a.connection.close(0)
    pair.run()
    assert pair.log == ["A FIN,ACK seq=101 ack=301", "B ACK seq=301 ack=102"]
    assert pair.a.connection.state is State.FIN_WAIT_2
    assert pair.b.connection.state is State.CLOSE_WAIT
    pair.b.connection.close(0)
    pair.run()
    assert pair.log[2:] == ["B FIN,ACK seq=301 ack=102", "A ACK seq=102 ack=302"]
    assert pair.a.connection.state is State.TIME_WAIT
    assert pair.b.connection.state is State.CLOSED


def test_fin_answered_with_fin_and_ack_goes_straight_to_time_wait() -> None:
    pair = Pair().open()
    pair.a.connection.close(0)
    (fin,) = pair.a.out()
    pair.b.connection.receive(incoming(fin), 0)
    pair.b.connection.close(0)
    pair.run()
    assert pair.log == ["B FIN,ACK seq=301 ack=102", "A ACK seq=102 ack=302"]
    assert pair.a.connection.state is State.TIME_WAIT
    assert pair.b.connection.state is State.CLOSED


def test_simultaneous_close_passes_closing_on_both_sides() -> None:
    pair = Pair().open()
    pair.a.connection.close(0)
    pair.b.connection.close(0)
    (fin_a,), (fin_b,) = pair.a.out(), pair.b.out()
    pair.a.connection.receive(incoming(fin_b), 0)
    pair.b.connection.receive(incoming(fin_a), 0)
    assert pair.a.connection.state is State.CLOSING
    assert pair.b.connection.state is State.CLOSING
    pair.run()
    assert pair.log == ["A ACK seq=102 ack=302", "B ACK seq=302 ack=102"]
    assert pair.a.connection.state is State.TIME_WAIT
    assert pair.b.connection.state is State.TIME_WAIT


def test_half_close_leaves_the_other_direction_open_and_the_second_fin_is_numbered_after_its_data() -> None:
    pair = Pair().open()
    pair.a.connection.shutdown_send(0)
    pair.run()
    pair.b.connection.write(b"late data", 0)
    pair.b.connection.close(0)
    pair.run()
    assert pair.a.connection.read(100, 0) == b"late data"
    assert "B FIN,PSH,ACK seq=301 ack=102 len=9" in pair.log
    assert pair.a.connection.state is State.TIME_WAIT


def test_close_with_unread_data_sends_a_reset() -> None:
    pair = Pair().open()
    pair.a.connection.write(b"never read", 0)
    pair.run()
    pair.log.clear()
    pair.b.connection.close(0)
    pair.run()
    assert pair.log == ["B RST,ACK seq=301 ack=111"]
    assert pair.a.connection.state is State.CLOSED
    assert pair.b.connection.state is State.CLOSED


def test_data_after_a_full_close_is_answered_by_a_reset() -> None:
    pair = Pair().open()
    pair.a.connection.close(0)
    pair.run()
    pair.b.connection.write(b"x", 0)
    pair.run()
    assert pair.log[-1] == "A RST,ACK seq=102 ack=301"
    assert pair.b.connection.state is State.CLOSED


def test_an_exact_reset_closes_and_one_in_the_window_is_challenged() -> None:
    pair = Pair().open()
    assert pair.a.take(Segment(500, 0, RST, 0)) == ["ACK seq=101 ack=301"]
    assert pair.a.connection.state is State.ESTABLISHED
    assert pair.a.take(Segment(301, 0, RST, 0)) == []
    assert pair.a.connection.state is State.CLOSED


def test_a_lost_syn_is_repeated_with_doubled_waits_until_the_syn_timeout() -> None:
    a = End(A_KEY, 100, PLAIN)
    a.connection.connect(0)
    times = []
    while a.connection.state is State.SYN_SENT:
        deadline = a.connection.next_deadline()
        if deadline:
            a.now = deadline
            a.connection.handle_timers(deadline)
        if a.sends():
            times.append(a.now // SECOND)
    assert times == [0, 1, 3, 7, 15, 31, 63, 127]
    assert a.now == 180 * SECOND


def test_a_lost_fin_is_repeated() -> None:
    pair = Pair().open()
    dropped: list[int] = []

    def lose(out: object) -> bool:
        flags = getattr(out, "flags", 0)
        if flags & FIN and not dropped:
            dropped.append(1)
            return True
        return False

    pair.lose = lose
    pair.a.connection.close(0)
    pair.until_quiet(30 * SECOND)
    assert pair.log[:2] == ["A FIN,ACK seq=101 ack=301 lost", "A FIN,ACK seq=101 ack=301"]
    assert pair.b.connection.state is State.CLOSE_WAIT


def test_the_ack_of_a_fin_may_wait_for_our_own_fin_where_the_configuration_says_so() -> None:
    pair = Pair(PLAIN.replace(ack_fin_at_once=False)).open()
    pair.a.connection.close(0)
    pair.run()
    assert pair.b.connection.state is State.CLOSE_WAIT
    pair.b.connection.close(0)
    pair.run()
    assert pair.log == ["A FIN,ACK seq=101 ack=301", "B FIN,ACK seq=301 ack=102", "A ACK seq=102 ack=302"]
