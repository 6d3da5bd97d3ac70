"""What the programs of the scenarios about channels were told, beyond the segments that the listings state."""

import pytest

from synfin.scenarios import SCENARIOS
from synfin.scenarios.speaking import UNKNOWN, name_turns
from synfin.trace.events import Called, Carried, SegmentSent
from synfin.trace.ladder import build_ladder
from synfin.trace.ladder_model import LEFT, MarkKind

MILLISECOND = 1_000_000


def asked(name: str) -> list[tuple[str, int, int, str, str]]:
    """Each question's words, when it was asked and answered (ms), the answer, and the error's name or nothing."""
    trace = SCENARIOS[name].play().trace
    assert trace is not None
    return [
        (event.arguments, event.started // MILLISECOND, event.time // MILLISECOND, event.result, "failed" * bool(event.error))
        for event in trace
        if isinstance(event, Called) and event.call == "ask"
    ]


def payloads(name: str, host: str) -> list[bytes]:
    """What `host` sent, segment by segment."""
    trace = SCENARIOS[name].play().trace
    assert trace is not None
    return [
        bytes(event.view.segment.payload)
        for event in trace
        if isinstance(event, SegmentSent) and event.host == host and event.length
    ]


def test_a_call_that_gave_up_leaves_its_answer_to_nobody() -> None:
    assert asked("sync-timeout") == [("1+1?, 0.1 s", 20, 120, "", "failed"), ("2+2?, 30 s", 120, 290, "4", "")]
    # The first call's answer was on the wire while the second call waited.
    assert [payload[-1:] for payload in payloads("sync-timeout", "server")] == [b"2", b"4"]


def client_rows(name: str) -> list[str]:
    """The ladder's rows from the handshake's end on, as far as they are the client's: calls, returns, segments."""
    trace = SCENARIOS[name].play().trace
    assert trace is not None
    rows = []
    for row in build_ladder(trace).rows:
        if row.arrow is not None and row.arrow.sender == LEFT:
            rows.append(f"{row.arrow.flags} {row.arrow.length}")
        for mark in row.marks:
            if mark.side == LEFT and mark.kind in (MarkKind.CALL, MarkKind.RETURN):
                rows.append(mark.text.en.replace("\n", " "))
    return rows[rows.index("connect = ok (20 ms)") :]


def test_the_ladder_shows_pipelined_questions_in_the_order_in_which_they_were_asked_and_before_they_are_sent() -> None:
    rows = client_rows("pipelined")
    assert [row.partition("(")[0] for row in rows[:5]] == ["connect = ok ", "ask", "ask", "send", "PSH,ACK 34"]
    assert rows[1:3] == ["ask(1+1?, 30 s)", "ask(2+2?, 30 s)"]


def test_the_ladder_shows_each_synchronous_call_to_its_end_before_the_next_begins() -> None:
    rows = [row for row in client_rows("sync-timeout") if not row.startswith(("ACK", "recv"))]
    assert [row.partition(" = 17")[0] for row in rows[:9]] == [
        "connect = ok (20 ms)",
        "ask(1+1?, 0.1 s)", "send(REQUEST 1)", "PSH,ACK 17", "ask = ETIMEDOUT (100 ms)",
        "ask(2+2?, 30 s)", "send(REQUEST 2)", "PSH,ACK 17", "ask = 4 (170 ms)",
    ]  # fmt: skip


def test_pipelined_questions_go_together_and_the_second_is_answered_first() -> None:
    assert asked("pipelined") == [("2+2?, 30 s", 20, 40, "4", ""), ("1+1?, 30 s", 20, 190, "2", "")]
    assert [payload.count(b"?") for payload in payloads("pipelined", "client")] == [2]


def test_a_long_connection_asks_in_the_silence_and_says_goodbye() -> None:
    kinds = [payload[4] for payload in payloads("long-connection", "client")]
    assert kinds == [1, 2, 3, 3, 1, 2]  # DATA, ACK, PING, PING, DATA, ACK with GOODBYE behind it
    assert payloads("long-connection", "client")[-1][17] == 5


def test_in_half_duplex_a_tie_goes_to_the_server_whose_turn_is_odd() -> None:
    client, server = payloads("half-duplex", "client"), payloads("half-duplex", "server")
    assert [payload[4] for payload in client] == [1, 4, 1]  # DATA (and GIVE), ASK, DATA
    assert [payload[4] for payload in server] == [1, 4, 1]  # DATA (and FREE), ASK, DATA
    assert (b"2+2?" in server[2], client[2].endswith(b"4")) == (True, True)


def sent_by_calls(name: str) -> list[str]:
    """Whose call sent what, in order, by the names that the ladder shows."""
    trace = SCENARIOS[name].play().trace
    assert trace is not None
    return [
        f"{event.host}: {' + '.join(carried.name for carried in event.carries)}"
        for event in trace
        if isinstance(event, Called) and event.call == "send"
    ]


def test_each_message_of_the_channels_is_shown_by_its_name() -> None:
    assert sent_by_calls("half-duplex") == [
        "client: DATA 0 + GIVE 1", "server: DATA 1 + FREE 2", "server: ASK 2", "client: ASK 2",
        "server: DATA 3 + GIVE 4", "client: DATA 4",
    ]  # fmt: skip
    assert sent_by_calls("long-connection") == [
        "client: DATA 1", "server: DATA 1", "server: ACK 1", "client: ACK 1", "client: PING 1", "server: PONG 1",
        "client: PING 2", "server: PONG 2", "client: DATA 2", "server: DATA 2", "client: ACK 2 + GOODBYE 2", "server: ACK 2",
    ]  # fmt: skip
    assert sent_by_calls("pipelined") == ["client: REQUEST 1 + REQUEST 2", "server: ANSWER 2", "server: ANSWER 1"]


def test_the_sentences_say_whose_turn_it_is_in_both_languages() -> None:
    trace = SCENARIOS["half-duplex"].play().trace
    assert trace is not None
    for lang, free, over in (
        ("en", "turn 2 is nobody's, whoever wants it asks", "over, turn 4 is the peer's"),
        ("zh", "第 2 轮不归任何一方，谁要谁提出", "说完了，第 4 轮归对方"),
    ):
        told = [sentence.say(lang) for step in build_ladder(trace).steps for sentence in step.sentences]
        assert [sum(words in each for each in told) for words in (free, over)] == [1, 1]


@pytest.mark.parametrize("message", [b"", b"\x01\0\0", b"\x63" + bytes(8)])
def test_a_message_that_no_channel_speaks_is_called_unknown(message: bytes) -> None:
    assert name_turns(message) == Carried("?", UNKNOWN)


@pytest.mark.parametrize(("name", "sender", "silent"), [("simplex", "client", "server")])
def test_in_simplex_one_side_says_nothing(name: str, sender: str, silent: str) -> None:
    assert [payload[4:] for payload in payloads(name, sender)] == [b"1", b"2", b"3"]
    assert payloads(name, silent) == []


def test_two_connections_on_one_lifeline_are_told_apart_by_the_port_of_each() -> None:
    trace = SCENARIOS["short-connection"].play().trace
    assert trace is not None
    ladder = build_ladder(trace)
    first, second = (name.partition(" ")[0].rpartition(":")[2] for name in trace.connections())
    assert [lane.end for lane in ladder.lanes] == [f"10.0.0.1:{first},{second}", "10.0.0.2:80"]
    asking = [arrow.options[-1] for arrow in ladder.arrows if arrow.flags == "SYN"]
    assert asking == [f"port={first}", f"port={second}"]
    alone = build_ladder(trace, trace.connections()[1:])
    assert [lane.end for lane in alone.lanes] == [f"10.0.0.1:{second}", "10.0.0.2:80"]
    assert alone.arrows[0].options == ("mss=1460",)
