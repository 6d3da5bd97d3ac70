"""The ladder's model: which rows there are, in which order, and where calls and states stand."""

import pytest

from synfin.engine import segment as why
from synfin.engine.state import State, Trigger
from synfin.trace.ladder import build_ladder
from synfin.trace.ladder_model import LEFT, RIGHT, Ladder, MarkKind, Part
from synfin.trace.ladder_text import ladder_text
from synfin.trace.recorder import Trace
from tests.trace.hand import CONNECTION, MS, SECOND, Hand, X, Y, ack, data, four_way_close, handshake, request, syn


def whole() -> Hand:
    hand = Hand()
    handshake(hand)
    request(hand)
    four_way_close(hand)
    return hand


def marks(ladder: Ladder, kind: MarkKind) -> list[tuple[int | None, int, str]]:
    return [(m.side, m.time, m.text.en) for row in ladder.rows for m in row.marks if m.kind is kind]


def test_who_speaks_first_is_on_the_left() -> None:
    hand = Hand()
    hand.send(0, "server", data(Y, X, b"x"))
    lanes = build_ladder(hand.trace).lanes
    assert [(lane.host, lane.end) for lane in lanes] == [("server", "10.0.0.2:80"), ("client", "10.0.0.1:49152")]


def test_each_lifeline_has_every_state_with_its_time() -> None:
    left, right = build_ladder(whole().trace).lanes
    assert left.begins is State.CLOSED
    assert left.states == [
        (0, State.SYN_SENT),
        (20 * MS, State.ESTABLISHED),
        (100 * MS, State.FIN_WAIT_1),
        (120 * MS, State.FIN_WAIT_2),
        (160 * MS, State.TIME_WAIT),
        (120_160 * MS, State.CLOSED),
    ]
    assert right.begins is State.CLOSED
    assert right.states == [
        (0, State.LISTEN),
        (10 * MS, State.SYN_RECEIVED),
        (30 * MS, State.ESTABLISHED),
        (110 * MS, State.CLOSE_WAIT),
        (150 * MS, State.LAST_ACK),
        (170 * MS, State.CLOSED),
    ]


def test_every_arrow_has_both_sides_states() -> None:
    states = [(a.flags, str(a.before), str(a.after)) for a in build_ladder(whole().trace).arrows]
    assert states == [
        ("SYN", "SYN-SENT", "SYN-RECEIVED"),
        ("SYN,ACK", "SYN-RECEIVED", "ESTABLISHED"),
        ("ACK", "ESTABLISHED", "ESTABLISHED"),
        ("PSH,ACK", "ESTABLISHED", "ESTABLISHED"),
        ("ACK", "ESTABLISHED", "ESTABLISHED"),
        ("FIN,ACK", "FIN-WAIT-1", "CLOSE-WAIT"),
        ("ACK", "CLOSE-WAIT", "FIN-WAIT-2"),
        ("FIN,ACK", "LAST-ACK", "TIME-WAIT"),
        ("ACK", "TIME-WAIT", "CLOSED"),
    ]


def test_a_lifeline_begins_in_the_state_that_the_first_move_leaves() -> None:
    hand = Hand()
    hand.states["server"] = State.LISTEN
    hand.arrive(10, "server", hand.send(0, "client", syn()))
    hand.move(10, "server", Trigger.SYN)
    assert build_ladder(hand.trace).lanes[RIGHT].begins is State.LISTEN


def test_a_call_stands_where_it_began_and_its_return_where_it_ended() -> None:
    ladder = build_ladder(whole().trace)
    assert (LEFT, 0, "connect(10.0.0.2:80)") in marks(ladder, MarkKind.CALL)
    assert (LEFT, 20 * MS, "connect = ok\n(20 ms)") in marks(ladder, MarkKind.RETURN)
    assert (RIGHT, 30 * MS, "accept = 10.0.0.1:49152\n(30 ms)") in marks(ladder, MarkKind.RETURN)
    order = [row.arrow.flags if row.arrow else row.marks[0].text.en for row in ladder.rows]
    assert order.index("connect(10.0.0.2:80)") < order.index("SYN")


def test_a_call_that_returns_at_once_stands_before_what_it_caused() -> None:
    hand = Hand()
    handshake(hand)
    hand.send(40, "client", data(X + 1, Y + 1, b"a"))
    hand.send(40, "client", data(X + 2, Y + 1, b"b"))
    hand.call(40, "client", "send", "b'ab'", "2")
    rows = build_ladder(hand.trace).rows[-3:]
    assert [row.marks[0].text.en if row.marks else row.arrow and row.arrow.seq for row in rows] == ["send(b'ab') = 2", 1, 2]


def test_a_long_excerpt_of_data_is_left_to_the_sentence() -> None:
    hand = Hand()
    handshake(hand)
    hand.call(40, "client", "send", "b'How much is 1 + 1?'", "18")
    ladder = build_ladder(hand.trace)
    assert marks(ladder, MarkKind.CALL)[-1] == (LEFT, 40 * MS, "send(..) = 18")
    assert "b'How much is 1 + 1?'" in ladder.steps[-1].say("en")


def test_time_wait_is_a_wait_until_its_deadline() -> None:
    ladder = build_ladder(whole().trace)
    wait = next(m for row in ladder.rows for m in row.marks if m.kind is MarkKind.WAIT)
    assert (wait.side, wait.time, wait.until, wait.state) == (LEFT, 160 * MS, 160 * MS + 120 * SECOND, State.TIME_WAIT)


def test_every_sentence_stands_in_one_step_and_steps_are_numbered_as_the_rows() -> None:
    ladder = build_ladder(whole().trace)
    assert [step.number for step in ladder.steps] == list(range(1, len(ladder.steps) + 1))
    assert [row.step for row in ladder.rows if row.step] == [step.number for step in ladder.steps]
    events = [sentence.event for step in ladder.steps for sentence in step.sentences]
    assert len(events) == len({id(event) for event in events})


def test_each_sides_rows_keep_the_order_of_time() -> None:
    hand = whole()
    for side in (LEFT, RIGHT):
        times = []
        for row in build_ladder(hand.trace).rows:
            times += [mark.time for mark in row.marks if mark.side == side]
            arrow = row.arrow
            if arrow is not None and row.part is not Part.ARRIVAL and arrow.sender == side:
                times.append(arrow.departs)
            if arrow is not None and row.part is not Part.DEPARTURE and arrow.sender != side:
                times.append(arrow.arrives or 0)
        assert times == sorted(times)


def test_a_copy_made_by_the_network_is_an_arrow_of_its_own() -> None:
    hand = Hand()
    handshake(hand)
    number = hand.send(40, "client", data(X + 1, Y + 1, b"hello"))
    sent = hand.trace.packets()[number].data
    hand.trace.duplicated(40 * MS, "client", "server", number, sent, 50)
    hand.arrive(50, "server", number)
    hand.trace.delivered(60 * MS, "server", "client", 50, sent)
    copies = [(a.copy, a.departs, a.arrives, a.seq) for a in build_ladder(hand.trace).arrows[-2:]]
    assert copies == [(False, 40 * MS, 50 * MS, 1), (True, 40 * MS, 60 * MS, 1)]


def test_damage_is_marked_on_the_arrow() -> None:
    hand = Hand()
    handshake(hand)
    number = hand.send(40, "client", data(X + 1, Y + 1, b"hello"))
    hand.trace.corrupted(40 * MS, "client", "server", number, b"", (9,))
    assert build_ladder(hand.trace).arrows[-1].corrupted


def test_what_is_still_on_its_way_at_the_end_is_a_departure() -> None:
    hand = Hand()
    hand.send(0, "client", syn())
    arrow = build_ladder(hand.trace).arrows[0]
    assert arrow.arrives is None
    assert arrow.lost is None


def test_a_connection_is_chosen_by_its_name() -> None:
    hand = whole()
    assert len(build_ladder(hand.trace, [CONNECTION]).arrows) == 9
    with pytest.raises(ValueError, match="no segment of 1:5 6:10 in this trace"):
        build_ladder(hand.trace, ["1:5 6:10"])


def test_an_empty_trace_has_no_ladder() -> None:
    with pytest.raises(ValueError, match="no segment of any connection in this trace"):
        build_ladder(Trace())


def test_windows_are_in_bytes_and_numbers_relative_unless_absolute() -> None:
    hand = Hand()
    handshake(hand)
    hand.send(40, "server", ack(Y + 1, X + 1, why.ACK_WINDOW_UPDATE))
    relative, absolute = (build_ladder(hand.trace, absolute=a).arrows[-1] for a in (False, True))
    assert (relative.seq, relative.ack, relative.window) == (1, 1, 65_536)
    assert (absolute.seq, absolute.ack, absolute.window) == (Y + 1, X + 1, 65_536)


def test_braces_in_what_a_program_sends_stand_in_both_drawings() -> None:
    """Programs send JSON, and it is no template."""
    hand = Hand()
    handshake(hand)
    hand.call(100, "client", "send", "b'{\"a\":1}'", "7")
    ladder = build_ladder(hand.trace)
    assert [mark.text.say("zh") for row in ladder.rows for mark in row.marks][-1] == "send(b'{\"a\":1}') = 7"
    assert "client's application calls send(b'{\"a\":1}'), which returns 7." in ladder_text(ladder)
