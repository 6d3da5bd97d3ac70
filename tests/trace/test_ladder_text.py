"""The ladder in a terminal, exactly."""

import re

import pytest

from synfin.engine import segment as why
from synfin.engine.errors import DropReason
from synfin.engine.segment import Outgoing
from synfin.engine.state import Trigger
from synfin.trace.cells import width
from synfin.trace.ladder import build_ladder
from synfin.trace.ladder_text import ladder_text
from tests.trace.hand import MS, Hand, X, Y, ack, data, four_way_close, handshake, request, syn


def drawn(hand: Hand, lang: str = "en", *, absolute: bool = False) -> list[str]:
    """The lines between heading and legend."""
    text = ladder_text(build_ladder(hand.trace, absolute=absolute), lang=lang)
    return text.split("\n\n")[0].splitlines()


HANDSHAKE = """\
  # seconds       client                                    server       seconds
          10.0.0.1:49152                                    10.0.0.2:80
                  CLOSED :                                : CLOSED
  1                      :                                : socket()       0.000
                         :                                : bind(
                         :                                : 10.0.0.2:80)
                         :                                : listen(16)
                         :                                | LISTEN
  2   0.000     socket() :                                |
  3                      :                                | accept()       0.000
  4   0.000     connect( :                                |
            10.0.0.2:80) :                                |
  5   0.000     SYN-SENT |-- SYN seq=0 win=65535 len=0 -->| SYN-RECEIVED   0.010
                         |   mss=1460 ws=2                |
  6   0.020  ESTABLISHED |<- SYN,ACK seq=0 ack=1 ---------| SYN-RECEIVED   0.010
                         |   win=65535 len=0 mss=1460     |
                         |   ws=2                         |
  7   0.020  ESTABLISHED |-- ACK seq=1 ack=1 win=65536 -->| ESTABLISHED    0.030
                         |   len=0                        |
      0.020 connect = ok |                                |
                 (20 ms) |                                |
                         |                                | accept         0.030
                         |                                | = 10.0.0.1
                         |                                | :49152
                         |                                | (30 ms)
"""
SENTENCES = """\
  1 server's application calls socket(). server's application calls
    bind(10.0.0.2:80). server's application calls listen(16). server: CLOSED ->
    LISTEN (passive OPEN): it waits for whoever wants to connect.
  2 client's application calls socket().
  3 server's application calls accept(), which blocks for 30 ms and returns
    10.0.0.1:49152.
  4 client's application calls connect(10.0.0.2:80), which blocks for 20 ms and
    succeeds.
  5 client: CLOSED -> SYN-SENT (active OPEN): its SYN is on its way, and it
    waits for the answer. client sends SYN, seq 0: it asks server to open and
    says where its numbers begin; a SYN takes one sequence number. server:
    LISTEN -> SYN-RECEIVED (rcv SYN): it hears client, and does not know yet
    whether client hears it.
  6 server sends SYN,ACK, seq 0, ack 1: it agrees, says where its own numbers
    begin and that it expects 1 next, since the SYN took one. client: SYN-SENT
    -> ESTABLISHED (rcv SYN,ACK): it hears server and knows that server hears
    it; data may flow both ways.
  7 client sends ACK, seq 1, ack 1: the third segment, which tells server that
    its SYN,ACK has arrived. server: SYN-RECEIVED -> ESTABLISHED (rcv ACK of
    SYN): it hears client and knows that client hears it; data may flow both
    ways.
"""


def test_a_handshake_is_drawn_with_states_calls_times_and_sentences() -> None:
    hand = Hand()
    handshake(hand)
    assert ladder_text(build_ladder(hand.trace)) == (
        f"{HANDSHAKE}\nNumbers count from each side's initial sequence number.\n: CLOSED\n\n{SENTENCES}"
    )


def test_absolute_numbers_are_those_on_the_wire() -> None:
    hand = Hand()
    handshake(hand)
    lines = drawn(hand, absolute=True)
    assert "  5   0.000     SYN-SENT |-- SYN seq=1234567 win=65535 -->| SYN-RECEIVED   0.010" in lines
    assert "  6   0.020  ESTABLISHED |<- SYN,ACK seq=7654321 ---------| SYN-RECEIVED   0.010" in lines
    assert "                         |   ack=1234568 win=65535 len=0  |" in lines


def test_time_wait_is_a_span_of_its_lifeline() -> None:
    hand = Hand()
    handshake(hand)
    request(hand)
    four_way_close(hand)
    assert drawn(hand)[-7:] == [
        " 15                      |                                | close()        0.150",
        " 16   0.160    TIME-WAIT #<- FIN,ACK seq=1 ack=7 ---------| LAST-ACK       0.150",
        "                         #   win=65536 len=0              |",
        " 17   0.160   2MSL 120 s #                                |",
        " 18   0.160    TIME-WAIT #-- ACK seq=7 ack=2 win=65536 -->: CLOSED         0.170",
        "                         #   len=0                        :",
        " 19 120.160       CLOSED :                                :",
    ]


def test_a_lost_segment_is_a_broken_arrow_and_a_retransmission_is_marked() -> None:
    hand = Hand()
    handshake(hand)
    hand.lose(45, hand.send(40, "client", data(X + 1, Y + 1, b"hello")))
    hand.watch["client"].timer_fired(240 * MS, hand.key("client"), "retransmission", str(400 * MS))
    hand.arrive(250, "server", hand.send(240, "client", data(X + 1, Y + 1, b"hello", why.RETRANSMIT_TIMEOUT)))
    hand.lose(260, hand.send(250, "server", ack(Y + 1, X + 6)), "queue full")
    assert drawn(hand)[-9:] == [
        "  8   0.040  ESTABLISHED |-- PSH,ACK seq=1 ack=1 -X       | ESTABLISHED",
        "                         |   win=65536 len=5              |",
        "                         |   lost: random loss            |",
        "  9   0.240 RTO runs out |                                |",
        " 10   0.240  ESTABLISHED |== PSH,ACK seq=1 ack=1 ========>| ESTABLISHED    0.250",
        "                         |   win=65536 len=5              |",
        " 11          ESTABLISHED |        X---- ACK seq=1 ack=6 --| ESTABLISHED    0.250",
        "                         |   win=65536 len=0              |",
        "                         |   lost: queue full             |",
    ]


def test_crossing_segments_are_two_rows_each_side_in_its_own_order() -> None:
    hand = Hand()
    hand.move(0, "client", Trigger.ACTIVE_OPEN)
    one = hand.send(0, "client", syn())
    hand.move(0, "server", Trigger.ACTIVE_OPEN)
    two = hand.send(0, "server", syn(Y))
    hand.arrive(10, "client", two)
    hand.move(10, "client", Trigger.SYN)
    hand.arrive(10, "server", one)
    hand.move(10, "server", Trigger.SYN)
    assert drawn(hand)[3:] == [
        "  1   0.000     SYN-SENT |-- SYN seq=0 win=65535 ...      : CLOSED",
        "                         |   len=0 mss=1460 ws=2          :",
        "  2   0.010 SYN-RECEIVED |<- SYN seq=0 win=65535 len=0 ---| SYN-SENT       0.000",
        "                         |   mss=1460 ws=2                |",
        "  3         SYN-RECEIVED |                ... SYN seq=0 ->| SYN-RECEIVED   0.010",
    ]


def test_a_segment_that_is_overtaken_arrives_further_down() -> None:
    hand = Hand()
    handshake(hand)
    slow = hand.send(40, "client", data(X + 1, Y + 1, b"one"))
    fast = hand.send(41, "client", data(X + 4, Y + 1, b"two"))
    hand.arrive(51, "server", fast)
    hand.arrive(60, "server", slow)
    assert drawn(hand)[-5:] == [
        "  8   0.040  ESTABLISHED |-- PSH,ACK seq=1 ack=1 ...      | ESTABLISHED",
        "                         |   win=65536 len=3              |",
        "  9   0.041  ESTABLISHED |-- PSH,ACK seq=4 ack=1 -------->| ESTABLISHED    0.051",
        "                         |   win=65536 len=3              |",
        " 10          ESTABLISHED |      ... PSH,ACK seq=1 ack=1 ->| ESTABLISHED    0.060",
    ]


def test_what_the_receiver_does_not_take_is_marked() -> None:
    hand = Hand()
    hand.move(0, "client", Trigger.ACTIVE_OPEN)
    hand.arrive(10, "server", hand.send(0, "client", syn()))
    hand.watch["server"].dropped(10 * MS, hand.key("server"), DropReason.NO_SOCKET, None)
    assert drawn(hand)[3:] == [
        "  1   0.000     SYN-SENT |-- SYN seq=0 win=65535 len=0 --!: CLOSED         0.010",
        "                         |   mss=1460 ws=2 ! no socket    :",
    ]


def test_a_crash_ends_a_lifeline_until_the_host_starts_again() -> None:
    hand = Hand()
    handshake(hand)
    hand.trace.fault(1000 * MS, "host crashed", "server")
    hand.trace.fault(2000 * MS, "host restarted", "server")
    hand.trace.fault(3000 * MS, "link cut", "client-server")
    assert drawn(hand)[-3:] == [
        "  8   1.000              |~~~~~~~~ server crashes ~~~~~~~~",
        "  9   2.000              |~~~~~ server starts again ~~~~~~:",
        " 10   3.000              |~~~~ link client-server cut ~~~~:",
    ]


def test_urgent_data_has_its_pointer_and_a_failed_call_its_errno() -> None:
    hand = Hand()
    handshake(hand)
    out = Outgoing(X + 1, Y + 1, why.ACK | why.PSH | why.URG, 16_384, why.NEW_DATA, b"!")
    out.urgent = 1
    hand.arrive(50, "server", hand.send(40, "client", out))
    hand.call(60, "client", "recv", "10", began=40, error=104)
    assert drawn(hand)[-6:] == [
        "  8   0.040     recv(10) |                                |",
        "  9   0.040  ESTABLISHED |-- PSH,ACK,URG seq=1 ack=1 ---->| ESTABLISHED    0.050",
        "                         |   win=65536 len=1 urg=2        |",
        "      0.060         recv |                                |",
        "            = ECONNRESET |                                |",
        "                 (20 ms) |                                |",
    ]


def test_times_finer_than_a_millisecond_get_more_digits() -> None:
    hand = Hand()
    hand.move(0, "client", Trigger.ACTIVE_OPEN)
    hand.arrive(10.0123, "server", hand.send(0, "client", syn()))
    assert "0.01001" in drawn(hand)[3]


def whole() -> Hand:
    hand = Hand()
    handshake(hand)
    request(hand)
    hand.lose(55, hand.send(50, "client", data(X + 6, Y + 1, b"x" * 1460)), "burst")
    four_way_close(hand)
    hand.trace.fault(130_000 * MS, "link cut", "client-server")
    return hand


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("absolute", [False, True])
def test_no_line_is_wider_than_80_cells(lang: str, absolute: bool) -> None:
    title = "一个连接的一生，从第一个 SYN 到最后一个 FIN" * 3
    text = ladder_text(build_ladder(whole().trace, absolute=absolute), lang=lang, title=title)
    assert [line for line in text.splitlines() if width(line) > 80] == []


def test_the_lifelines_stand_in_the_same_columns_in_both_languages() -> None:
    for lang in ("en", "zh"):
        for line in drawn(whole(), lang)[3:]:
            before = next(index for index in range(len(line) + 1) if width(line[:index]) == 25)
            assert line[before] in "|:#", line


def test_no_escape_code_appears_unless_asked_for() -> None:
    ladder = build_ladder(whole().trace)
    assert "\x1b" not in ladder_text(ladder)
    assert "\x1b[" in ladder_text(ladder, color=True)


def test_colours_change_nothing_but_colours() -> None:
    ladder = build_ladder(whole().trace)
    assert re.sub(r"\x1b\[[0-9;]*m", "", ladder_text(ladder, color=True)) == ladder_text(ladder)


def test_chinese_sentences_stand_below_the_same_ladder() -> None:
    hand = Hand()
    handshake(hand)
    text = ladder_text(build_ladder(hand.trace), lang="zh")
    assert "  7 client 发出 ACK，序号 1，确认号 1：第三个报文段，告诉 server，它的 SYN,ACK\n    已经收到。" in text
    assert "序号从各自的初始序号算起。" in text
