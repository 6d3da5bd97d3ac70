"""What is said about an event: the reason, as exactly as what went before allows."""

import pytest

from synfin.engine import segment as why
from synfin.engine.errors import DropReason
from synfin.engine.segment import ACK, FIN, PSH, REASON_NAMES, RST, SYN, Outgoing
from synfin.engine.state import TRANSITIONS, State, Trigger
from synfin.trace import phrases
from synfin.trace.events import CongestionChanged, StateChanged, TraceEvent
from synfin.trace.narrate import Sentence, narrate_all, say_fact
from synfin.trace.phrases import Duration
from synfin.wire.packet import build_packet
from tests.trace.hand import (
    CONNECTION,
    MS,
    SECOND,
    Hand,
    X,
    Y,
    ack,
    data,
    fin,
    four_way_close,
    handshake,
    request,
    syn,
    syn_ack,
)


def last(hand: Hand, lang: str = "en", *, absolute: bool = False) -> str:
    """The latest sentence."""
    said = [sentence for sentence in narrate_all(hand.trace.events, absolute=absolute) if sentence is not None]
    return said[-1].say(lang)


def opened() -> Hand:
    hand = Hand()
    handshake(hand)
    return hand


def closing() -> Hand:
    """The client has sent its FIN, the server has it."""
    hand = opened()
    hand.move(100, "client", Trigger.CLOSE)
    hand.arrive(110, "server", hand.send(100, "client", fin(X + 1, Y + 1)))
    hand.move(110, "server", Trigger.FIN)
    return hand


def of_data(hand: Hand, count: int) -> Hand:
    """The client sends `count` times five bytes, and the server says with the reason of every second ACK that it has them."""
    for number in range(count):
        hand.arrive(110, "server", hand.send(100, "client", data(X + 1 + 5 * number, Y + 1, b"small")))
    hand.send(110, "server", ack(Y + 1, X + 1 + 5 * count, why.ACK_SECOND))
    return hand


def test_an_ack_at_once_says_how_many_segments_it_is_for_and_nothing_of_their_size() -> None:
    said = "2 segments with data have come since its last ACK, and it acknowledges them at once."
    assert last(of_data(opened(), 2)).endswith(f": {said}")
    assert last(of_data(opened(), 2), "zh").endswith("：自上次确认以来已收到 2 个带数据的报文段，于是立即确认。")
    assert last(of_data(of_data(opened(), 1), 3)).endswith(f": {said.replace('2', '3')}")


def test_an_ack_at_once_of_a_single_segment_speaks_of_no_other() -> None:
    said = "it acknowledges what came at once, and does not wait for data that the ACK could ride on."
    assert last(of_data(opened(), 1)).endswith(f": {said}")


def test_a_syn_asks_to_open_and_takes_a_number() -> None:
    hand = Hand()
    hand.send(0, "client", syn())
    assert last(hand) == (
        "client sends SYN, seq 0: it asks server to open and says where its numbers begin; a SYN takes one sequence number."
    )
    assert last(hand, "zh") == "client 发出 SYN，序号 0：请求 server 建立连接，并告知自己的初始序号；SYN 占用一个序号。"


def test_absolute_numbers_are_said_when_asked_for() -> None:
    hand = opened()
    hand.send(40, "client", data(X + 1, Y + 1, b"hello"))
    assert last(hand, absolute=True) == (
        "client sends PSH,ACK, seq 1234568, ack 7654322, 5 bytes: new data; the ACK of all of it will be 1234573."
    )


def test_absolute_numbers_wrap() -> None:
    hand = Hand()
    hand.send(0, "client", data(0xFFFF_FFFE, 5, b"hello"))
    assert last(hand, absolute=True).endswith("will be 3.")


def test_one_byte_is_not_bytes() -> None:
    hand = opened()
    hand.send(40, "client", data(X + 1, Y + 1, b"!"))
    assert last(hand) == "client sends PSH,ACK, seq 1, ack 1, 1 byte: new data; the ACK of all of it will be 2."


def test_a_retransmission_counts_its_attempts() -> None:
    hand = opened()
    hand.send(40, "client", data(X + 1, Y + 1, b"hello"))
    hand.send(240, "client", data(X + 1, Y + 1, b"hello", why.RETRANSMIT_TIMEOUT))
    hand.send(640, "client", data(X + 1, Y + 1, b"hello", why.RETRANSMIT_TIMEOUT))
    assert last(hand) == (
        "client sends PSH,ACK again, seq 1, ack 1, 5 bytes: no ACK came before the retransmission timer ran out; attempt 3."
    )


def test_data_on_the_third_segment_is_told_as_that() -> None:
    hand = Hand()
    hand.send(0, "client", syn())
    hand.send(10, "server", syn_ack())
    hand.send(20, "client", data(X + 1, Y + 1, b"hello"))
    assert "the third segment, which already carries data" in last(hand)
    hand.send(21, "client", data(X + 6, Y + 1, b"hello"))
    assert "third" not in last(hand)


def test_a_simultaneous_open_answers_with_its_own_syn_again() -> None:
    hand = Hand()
    hand.send(0, "client", syn())
    hand.send(10, "client", syn_ack(X, Y + 1))
    assert "both opened at once" in last(hand)


def test_the_ack_of_a_fin_says_what_stays_open() -> None:
    hand = closing()
    hand.send(110, "server", ack(Y + 1, X + 2, why.ACK_OF_FIN))
    assert last(hand) == (
        "server sends ACK, seq 1, ack 2: it acknowledges the FIN of client, which ends only that direction;"
        " its own stays open."
    )


def test_a_fin_that_also_acknowledges_the_first_one_makes_three_segments() -> None:
    hand = closing()
    hand.send(110, "server", fin(Y + 1, X + 2))
    assert "in the same segment the ACK of the FIN of client" in last(hand)


def test_a_fin_after_the_ack_finishes_the_other_direction() -> None:
    hand = closing()
    hand.send(110, "server", ack(Y + 1, X + 2, why.ACK_OF_FIN))
    hand.send(150, "server", fin(Y + 1, X + 2))
    assert "finishes the other direction" in last(hand)


def test_data_after_the_peers_fin_is_half_closed() -> None:
    hand = closing()
    hand.send(110, "server", ack(Y + 1, X + 2, why.ACK_OF_FIN))
    hand.send(150, "server", data(Y + 1, X + 2, b"late"))
    assert "new data although client has finished; half-closed" in last(hand)


def test_the_last_ack_is_called_that_in_time_wait_only() -> None:
    hand = opened()
    request(hand)
    four_way_close(hand)
    told = [s.say("en") for s in narrate_all(hand.trace.events) if s is not None]
    assert len([text for text in told if "the last ACK, for the FIN of server took one sequence number" in text]) == 1


@pytest.mark.parametrize(
    ("out", "meaning"),
    [
        (syn(), "server stays in LISTEN and knows nothing of it."),
        (ack(X + 1, Y + 1, why.ACK_OF_SYN_ACK), "server stays in SYN-RECEIVED and does not know yet that it is heard."),
        (data(X + 1, Y + 1, b"x"), "client keeps the bytes until they are acknowledged."),
        (fin(X + 1, Y + 1), "does not know that client has finished."),
        (ack(X + 1, Y + 1), "a later ACK can say as much."),
        (Outgoing(X + 1, 0, RST, 0, why.RESET_ABORT), "still believes in the connection."),
    ],
)
def test_a_loss_says_what_the_peer_does_not_know(out: Outgoing, meaning: str) -> None:
    hand = Hand()
    hand.move(0, "server", Trigger.PASSIVE_OPEN, listener=True)
    first = hand.send(0, "client", syn())
    if out.reason == why.SYN_OPEN:
        hand.lose(0, first)
    else:
        hand.arrive(10, "server", first)
        hand.move(10, "server", Trigger.SYN)
        if out.reason != why.ACK_OF_SYN_ACK:
            hand.move(30, "server", Trigger.ACK_OF_SYN)
        hand.lose(45, hand.send(40, "client", out))
    assert last(hand).endswith(meaning)
    assert "(random loss)" in last(hand)
    assert "（随机丢失）" in last(hand, "zh")


def test_the_loss_of_what_has_come_before_is_told_as_harmless() -> None:
    hand = opened()
    hand.lose(41, hand.send(40, "server", syn_ack(reason=why.RETRANSMIT_HANDSHAKE)))
    assert last(hand).endswith("client stays in ESTABLISHED and misses nothing, for it has had this before.")
    hand = closing()
    hand.lose(141, hand.send(140, "client", fin(X + 1, Y + 1, why.RETRANSMIT_FIN)))
    assert last(hand).endswith("server stays in CLOSE-WAIT and misses nothing, for it has had this before.")


def test_a_lost_reset_leaves_a_connection_only_where_there_is_one() -> None:
    hand = opened()
    reset = Outgoing(X + 1, 0, RST, 0, why.RESET_NO_SOCKET)
    hand.lose(41, hand.send(40, "client", reset))
    assert last(hand).endswith("server stays in ESTABLISHED and still believes in the connection.")
    hand.move(50, "server", Trigger.ABORT)
    hand.lose(61, hand.send(60, "client", reset))
    assert last(hand).endswith("server stays in LISTEN and has no connection that it could have ended.")


def test_a_lost_ack_of_the_first_fin_may_be_made_good_by_a_later_one() -> None:
    hand = closing()
    hand.lose(111, hand.send(110, "server", ack(Y + 1, X + 2, why.ACK_OF_FIN)))
    assert last(hand).endswith("client stays in FIN-WAIT-1 and repeats its FIN unless a later ACK comes in time.")


def test_an_unknown_cause_is_said_as_it_is() -> None:
    hand = opened()
    hand.lose(45, hand.send(40, "client", fin(X + 1, Y + 1)), "eaten by a dog")
    assert "(eaten by a dog)" in last(hand)
    assert "（eaten by a dog）" in last(hand, "zh")


def test_an_injected_packet_is_not_put_into_its_senders_mouth() -> None:
    hand = Hand()
    hand.trace.sent(0, "client", "server", 1, build_packet(hand.key("client"), syn(X - 10), identification=1), None)
    assert last(hand) == (
        f"A segment with the address of client turns up in the network, SYN, seq {X - 10}:"
        " it is old or forged, client did not send it now."
    )


def test_a_late_arrival_says_how_late_and_how_many_overtook_it() -> None:
    hand = opened()
    slow = hand.send(40, "client", data(X + 1, Y + 1, b"one"))
    for at in (41, 42):
        hand.arrive(at + 10, "server", hand.send(at, "client", data(X + 4, Y + 1, b"two")))
    hand.arrive(60, "server", slow)
    assert last(hand) == "The PSH,ACK of client, seq 1, reaches server only now, after 20 ms, overtaken by 2 sent later."


def test_a_copy_that_is_late_is_told_as_a_copy() -> None:
    hand = opened()
    number = hand.send(40, "client", data(X + 1, Y + 1, b"one"))
    sent = hand.trace.packets()[number].data
    hand.trace.duplicated(40 * MS, "client", "server", number, sent, 77)
    hand.arrive(50, "server", number)
    hand.packets = 77
    hand.arrive(60, "server", hand.send(50, "client", data(X + 4, Y + 1, b"two")))
    hand.trace.delivered(70 * MS, "server", "client", 77, sent)
    assert last(hand) == (
        "The copy of the PSH,ACK of client, seq 1, reaches server only now, after 30 ms, overtaken by 1 sent later."
    )


@pytest.mark.parametrize(("absolute", "seq", "here"), [(False, "1", "-499"), (True, str(X + 1), str(X + 1))])
def test_a_segment_of_an_earlier_connection_is_told_as_one_with_its_number_in_this_one(
    absolute: bool, seq: str, here: str
) -> None:
    hand = opened()
    slow = hand.send(40, "client", data(X + 1, Y + 1, b"one"))
    for host in ("client", "server"):
        hand.move(41, host, Trigger.RESET)
    hand.move(42, "client", Trigger.ACTIVE_OPEN)
    hand.arrive(52, "server", hand.send(42, "client", syn(X + 500)))
    hand.arrive(60, "server", slow)
    assert last(hand, absolute=absolute) == (
        f"The PSH,ACK of client, seq {seq}, reaches server only now, after 20 ms, overtaken by 1 sent later;"
        f" it belongs to an earlier connection, and in this one its number means {here}."
    )


@pytest.mark.parametrize(
    ("fired", "reason"),
    [
        (False, "client asked once more, so the answer was lost or is late"),
        (True, "no answer came before the timer ran out"),
    ],
)
def test_a_syn_ack_goes_again_for_a_repeated_syn_or_for_the_timer(fired: bool, reason: str) -> None:
    hand = Hand()
    hand.arrive(10, "server", hand.send(0, "client", syn()))
    hand.lose(11, hand.send(10, "server", syn_ack()))
    hand.arrive(1010, "server", hand.send(1000, "client", syn(reason=why.RETRANSMIT_HANDSHAKE)))
    if fired:
        hand.watch["server"].timer_fired(1020 * MS, hand.key("server"), "handshake", str(2 * SECOND))
    hand.send(1020, "server", syn_ack(reason=why.RETRANSMIT_HANDSHAKE))
    assert last(hand) == f"server sends SYN,ACK again, seq 0, ack 1: {reason}; attempt 2."


def test_an_ack_of_what_fills_a_gap_does_not_say_that_something_else_came() -> None:
    hand = opened()
    hand.lose(41, hand.send(40, "client", data(X + 1, Y + 1, b"one")))
    hand.arrive(51, "server", hand.send(41, "client", data(X + 4, Y + 1, b"two")))
    hand.send(51, "server", ack(Y + 1, X + 1, why.ACK_DUPLICATE))
    assert "what came was not what it expects next, so it says again that it waits for 1." in last(hand)
    hand.arrive(60, "server", hand.send(50, "client", data(X + 1, Y + 1, b"one", why.RETRANSMIT_TIMEOUT)))
    hand.send(60, "server", ack(Y + 1, X + 7, why.ACK_DUPLICATE))
    assert last(hand) == (
        "server sends ACK, seq 1, ack 7: what came fills a gap, so it says at once that it has everything before 7."
    )
    hand.arrive(70, "server", hand.send(60, "client", data(X + 1, Y + 1, b"one", why.RETRANSMIT_TIMEOUT)))
    hand.watch["server"].dropped(70 * MS, hand.key("server"), DropReason.DUPLICATE, None)
    hand.send(70, "server", ack(Y + 1, X + 7, why.ACK_DUPLICATE))
    assert "what came was not what it expects next" in last(hand)


def test_an_ack_of_a_probe_that_finds_the_window_closed_says_so() -> None:
    hand = opened()
    hand.arrive(50, "server", hand.send(40, "client", data(X + 1, Y + 1, b"?", why.WINDOW_PROBE)))
    hand.watch["server"].dropped(50 * MS, hand.key("server"), DropReason.OUT_OF_WINDOW, None)
    hand.send(50, "server", Outgoing(Y + 1, X + 1, ACK, 0, why.ACK_DUPLICATE))
    assert last(hand) == (
        "server sends ACK, seq 1, ack 1: its window is closed, so it takes nothing and says again that it waits for 1."
    )


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (2, " with 3 bytes unread; client must learn that they are lost (RFC 2525 2.17)"),
        (5, "; what is still under way is thrown away"),
    ],
)
def test_a_reset_of_a_connection_with_unread_bytes_counts_them(read: int, said: str) -> None:
    hand = opened()
    hand.arrive(50, "server", hand.send(40, "client", data(X + 1, Y + 1, b"hello")))
    hand.call(50, "server", "recv", str(read), str(read))
    hand.move(60, "server", Trigger.ABORT)
    hand.send(60, "server", Outgoing(Y + 1, X + 6, RST | ACK, 0, why.RESET_ABORT))
    assert last(hand) == f"server sends RST,ACK, seq 1, ack 6: a reset, for it gives the connection up{said}."


def test_what_arrives_in_order_needs_no_words_of_its_own() -> None:
    hand = Hand()
    hand.arrive(10, "server", hand.send(0, "client", syn()))
    assert [sentence is None for sentence in narrate_all(hand.trace.events)] == [False, True]


def test_copies_and_damage_are_told() -> None:
    hand = opened()
    number = hand.send(40, "client", data(X + 1, Y + 1, b"one"))
    sent = hand.trace.packets()[number].data
    hand.trace.duplicated(40 * MS, "client", "server", number, sent, 77)
    assert last(hand) == "The network makes a second copy of the PSH,ACK of client, seq 1."
    hand.trace.corrupted(40 * MS, "client", "server", number, b"\xff" + sent[1:], (0, 3))
    assert last(hand) == "The network turns 2 bit(s) in the PSH,ACK of client, seq 1: bit 0, 3."


def test_a_drop_says_what_was_dropped_and_why() -> None:
    hand = opened()
    hand.arrive(50, "server", hand.send(40, "client", data(X - 9, Y + 1, b"old")))
    hand.watch["server"].dropped(50 * MS, hand.key("server"), DropReason.DUPLICATE, None)
    assert last(hand) == "server does not take the PSH,ACK with seq -9 (duplicate)."
    hand.watch["server"].dropped(70 * MS, b"", DropReason.TRUNCATED, None)
    assert last(hand) == "server drops a packet (truncated)."
    assert last(hand, "zh") == "server 丢弃一个分组（被截短）。"


@pytest.mark.parametrize(
    ("call", "arguments", "result", "began", "error", "said"),
    [
        ("listen", "16", "", 60, 0, "listen(16)."),
        ("send", "b'x'", "1", 60, 0, "send(b'x'), which returns 1."),
        ("connect", "10.0.0.2:80", "", 40, 0, "connect(10.0.0.2:80), which blocks for 20 ms and succeeds."),
        ("recv", "10", "", 10, 104, "recv(10), which blocks for 50 ms and fails with ECONNRESET."),
        ("recv", "10", "0", 60, 0, "recv(10), which returns 0: the stream has ended, the peer sends nothing more."),
        ("send", "{}", "2", 60, 0, "send({}), which returns 2."),
    ],
)
def test_a_call_is_told_with_its_wait_and_result(
    call: str, arguments: str, result: str, began: float, error: int, said: str
) -> None:
    hand = Hand()
    hand.call(60, "server", call, arguments, result, began, error)
    assert last(hand) == f"server's application calls {said}"


@pytest.mark.parametrize(
    ("timer", "detail", "said"),
    [
        ("retransmission", str(400 * MS), "The timer of client runs out: retransmission; the next wait is 400 ms."),
        ("persist", "", "The timer of client runs out: persist."),
        ("user timeout", "enough", "The timer of client runs out: user timeout (enough)."),
    ],
)
def test_a_timer_that_acts_says_which_and_what_comes_next(timer: str, detail: str, said: str) -> None:
    hand = opened()
    hand.watch["client"].timer_fired(50 * MS, hand.key("client"), timer, detail)
    assert last(hand) == said


@pytest.mark.parametrize("timer", ["delayed ACK", "2MSL"])
def test_a_timer_whose_effect_is_told_anyway_is_left_out(timer: str) -> None:
    hand = Hand()
    hand.watch["client"].timer_fired(50 * MS, hand.key("client"), timer, "")
    assert narrate_all(hand.trace.events) == [None]


def test_a_timer_that_begins_says_how_long() -> None:
    hand = opened()
    for timer, said in (
        ("2MSL", "client starts its 2MSL timer: 120 s in TIME-WAIT."),
        ("persist", "client starts its persist timer: server has no room, so it will ask in 120 s."),
        ("egg", "client starts a timer (egg): 120 s."),
    ):
        hand.watch["client"].timer_started(MS, hand.key("client"), timer, MS + 120 * SECOND)
        assert last(hand) == said


def test_faults_are_told() -> None:
    hand = Hand()
    for what, said in (
        ("link cut", "The link client-server is cut."),
        ("host crashed", "client-server crashes and forgets everything, without a word to anybody."),
        ("host painted", "host painted: client-server."),
    ):
        hand.trace.fault(0, what, "client-server")
        assert last(hand) == said


def test_after_a_crash_the_peer_is_in_closed() -> None:
    hand = opened()
    hand.trace.fault(100 * MS, "host crashed", "server")
    hand.lose(110, hand.send(100, "client", data(X + 1, Y + 1, b"x")), "host down")
    assert "server stays in CLOSED" in last(hand)


def test_congestion_control_says_its_windows_and_no_threshold_that_was_never_set() -> None:
    def said(ssthresh: int) -> str:
        sentence = narrate_all([CongestionChanged(0, "client", CONNECTION, "timeout", 1460, ssthresh)])[0]
        assert sentence is not None
        return sentence.say("en")

    assert said(2920) == "Congestion control of client: timeout; cwnd 1460 bytes, ssthresh 2920 bytes."
    assert said((1 << 31) - 1) == "Congestion control of client: timeout; cwnd 1460 bytes."


def sentences_of_every_move() -> list[Sentence]:
    events: list[TraceEvent] = [
        StateChanged(0, "client", CONNECTION, old, trigger, new) for (old, trigger), new in TRANSITIONS.items()
    ]
    return [sentence for sentence in narrate_all(events) if sentence is not None]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_move_of_the_table_is_told_with_both_states_and_its_trigger(lang: str) -> None:
    sentences = sentences_of_every_move()
    assert len(sentences) == len(TRANSITIONS)
    for sentence, ((old, trigger), new) in zip(sentences, TRANSITIONS.items(), strict=True):
        said = sentence.say(lang)
        assert f"{old} -> {new}" in said
        assert phrases.TRIGGERS[trigger].say(lang) in said


def test_every_reason_state_trigger_and_drop_has_its_phrase() -> None:
    assert sorted(phrases.REASONS) == list(range(len(REASON_NAMES)))
    assert list(phrases.TRIGGERS) == list(Trigger)
    assert list(phrases.DROPS) == list(DropReason)
    assert sorted(state.name for state in phrases.ENTERED) == sorted(state.name for state in State)


def test_the_english_words_for_triggers_and_drops_are_the_engines_own() -> None:
    assert [text.en for text in phrases.TRIGGERS.values()] == [str(trigger) for trigger in Trigger]
    assert [text.en for text in phrases.DROPS.values()] == [str(reason) for reason in DropReason]


@pytest.mark.parametrize("reason", range(len(REASON_NAMES)))
def test_every_reason_is_told_in_both_languages_without_a_gap(reason: int) -> None:
    hand = opened()
    hand.send(40, "client", Outgoing(X + 1, Y + 1, ACK | PSH | FIN | SYN, 5, reason, b"xy"))
    for lang in ("en", "zh"):
        said = last(hand, lang)
        assert "{" not in said
        assert "client" in said


@pytest.mark.parametrize(
    ("nanoseconds", "said"),
    [
        (0, "0 ms"),
        (1, "1 ns"),
        (250_000, "250 us"),
        (20_000_000, "20 ms"),
        (1_030_000_000, "1.03 s"),
        (120_000_000_000, "120 s"),
        (999_999_999, "999.999999 ms"),
        (1_000_000_001, "1.000000001 s"),
    ],
)
def test_a_duration_keeps_every_digit(nanoseconds: int, said: str) -> None:
    assert say_fact(Duration(nanoseconds), "en") == said


def test_a_packet_that_nobody_can_read_is_passed_over() -> None:
    hand = Hand()
    hand.trace.sent(0, "client", "server", 1, b"nonsense", None)
    hand.trace.delivered(1, "server", "client", 1, b"nonsense")
    hand.trace.lost(1, "client", "server", 1, b"nonsense", "loss")
    assert narrate_all(hand.trace.events) == [None, None, None]
