"""What the programs of the scenarios about channels were told, beyond the segments that the listings state."""

import pytest

from synfin.scenarios import SCENARIOS
from synfin.trace.events import Called, SegmentSent
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
    assert [row.partition(" = 17")[0].partition("..")[0] for row in rows[:9]] == [
        "connect = ok (20 ms)",
        "ask(1+1?, 0.1 s)", "send(", "PSH,ACK 17", "ask = ETIMEDOUT (100 ms)",
        "ask(2+2?, 30 s)", "send(", "PSH,ACK 17", "ask = 4 (170 ms)",
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


@pytest.mark.parametrize(("name", "sender", "silent"), [("simplex", "client", "server")])
def test_in_simplex_one_side_says_nothing(name: str, sender: str, silent: str) -> None:
    assert [payload[4:] for payload in payloads(name, sender)] == [b"1", b"2", b"3"]
    assert payloads(name, silent) == []
