"""TcpConfig.ack_rule = "adaptive": when an ACK goes at once, how long it waits, what the application's reading changes.

Times and windows are those that a Linux 6.18 kernel shows under the same segments and calls.
"""

from typing import Any

import pytest

from synfin.packetdrill.profiles import load_profile
from synfin.packetdrill.run import FAIL, PASS, Outcome
from tests.packetdrill.playing import play, told

GOOD = (PASS, "", ())
LINUX = load_profile("linux")
EXACT = "--tolerance_usecs=500\n--tolerance_percent=0\n--strict_segments\n"
QUICK = 16


def opening(trip: str = ".01", win: int = 20_000) -> str:
    return (
        "0 `sysctl -q net.ipv4.tcp_timestamps=0`\n+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n"
        f"+0 listen(3, 5) = 0\n+0 < S 0:0(0) win {win} <mss 1000>\n+0 > S. 0:0(0) ack 1 <...>\n"
        f"+{trip} < . 1:1(0) ack 1 win {win}\n+0 accept(3, ..., ...) = 4\n"
    )


class Talk:
    """Writes a script: the peer's text and what answers it. `next` is the peer's next sequence number."""

    def __init__(self, **form: Any) -> None:
        self.text = EXACT + opening(**form)
        self.next = 1

    def hear(self, size: int, after: str = "0", flags: str = "P.", ack: int = 1) -> "Talk":
        self.text += f"+{after} < {flags} {self.next}:{self.next + size}({size}) ack {ack} win 20000\n"
        self.next += size
        return self

    def ack(self, after: str = "0", seq: int = 1, win: int = 0) -> "Talk":
        self.text += f"+{after} > . {seq}:{seq}(0) ack {self.next}{f' win {win}' if win else ''}\n"
        return self

    def say(self, line: str) -> "Talk":
        self.text += line + "\n"
        return self

    def use_up(self, size: int = 100) -> "Talk":
        """The quick ACKs of a new connection."""
        for _ in range(QUICK):
            self.hear(size, after=".05").ack()
        return self

    def play(self, **changes: Any) -> Outcome:
        return play(self.text + "+2 %{ assert True }%\n", profile=LINUX, changes=changes)


def test_a_new_connection_acknowledges_sixteen_times_at_once_and_then_after_forty_milliseconds() -> None:
    for fast in (True, False):
        talk = Talk().use_up().hear(100, after=".05").ack(".04").hear(100, after=".05").ack(".04")
        assert told(talk.play(fast_path=fast)) == GOOD
    assert Talk().use_up().hear(100, after=".05").ack().play().verdict == FAIL


@pytest.mark.parametrize(("window", "quick"), [(9000, 8), (4000, 3), (1200, 1), (150, 2)])
def test_a_small_window_has_fewer_quick_acks(window: int, quick: int) -> None:
    """One for every second segment that the window holds, 536 bytes each until there was a larger one; 88 at least, and two
    ACKs where it holds none."""
    talk = Talk()
    for _ in range(quick):
        talk.hear(30, after=".05").ack()
    talk.hear(30, after=".05").ack(".04")
    assert told(talk.play(receive_buffer=window, window_rule="edge", syn_window_whole=False)) == GOOD


def test_quick_acks_come_back_after_a_pause_that_is_longer_than_the_rto() -> None:
    used = Talk().use_up().hear(100, after=".05").ack(".04")
    assert told(used.hear(100, after="1").ack().hear(100, after=".05").ack().play()) == GOOD
    used = Talk().use_up().hear(100, after=".05").ack(".04")
    assert told(used.hear(100, after=".15").ack(".04").play()) == GOOD, "0.19 s are less than the RTO of 0.2 s"


def test_quick_acks_come_back_when_text_comes_again() -> None:
    talk = Talk().use_up().say("+.1 < P. 1501:1601(100) ack 1 win 20000").ack()
    for _ in range(QUICK - 1):
        talk.hear(100, after=".05").ack()
    assert told(talk.hear(100, after=".05").ack(".04").play()) == GOOD, "the ACK for what came again was one of them"
    talk = Talk().use_up().say("+.1 < P. 1:101(100) ack 1 win 20000").ack()
    for _ in range(QUICK):
        talk.hear(100, after=".05").ack()
    assert told(talk.hear(100, after=".05").ack(".04").play()) == GOOD, "older text, acknowledged twice already, costs none"


def test_who_answers_is_not_interrupted_by_acks_until_an_answer_fails_to_come() -> None:
    talk = Talk().hear(100).ack().say("+.01 read(4, ..., 1000) = 100\n+0 write(4, ..., 50) = 50\n+0 > P. 1:51(50) ack 101")
    talk.hear(100, after=".02", ack=51).say(
        "+.01 read(4, ..., 1000) = 100\n+0 write(4, ..., 50) = 50\n+0 > P. 51:101(50) ack 201"
    )
    talk.hear(100, after=".02", ack=101).ack(".04", seq=101)  # nobody answers
    assert told(talk.hear(100, after=".05", ack=101).ack(seq=101).play()) == GOOD


def test_text_that_comes_again_ends_a_conversation() -> None:
    talk = Talk().hear(100).ack().say("+.01 write(4, ..., 50) = 50\n+0 > P. 1:51(50) ack 101")
    talk.say("+.01 < P. 1:101(100) ack 51 win 20000\n+0 > . 51:51(0) ack 101")
    assert told(talk.hear(100, after=".1", ack=51).ack(seq=51).play()) == GOOD


def test_an_answer_that_comes_late_is_no_conversation() -> None:
    """The write comes 50 ms after the text, more than an ACK would have waited."""
    talk = Talk().hear(100).ack().say("+.05 write(4, ..., 50) = 50\n+0 > P. 1:51(50) ack 101")
    assert told(talk.hear(100, after=".02", ack=51).ack(seq=51).play()) == GOOD


def test_an_ack_that_waited_in_vain_waits_longer_next_time_up_to_the_round_trip() -> None:
    talk = Talk(trip=".1").use_up().hear(100, after=".05").ack(".04")
    talk.hear(100, after=".15").ack(".08").hear(100, after=".15").ack(".1").hear(100, after=".15").ack(".1")
    assert told(talk.play()) == GOOD


def test_no_ack_waits_longer_than_the_longest_time_that_is_set() -> None:
    talk = Talk(trip=".3").use_up().hear(100, after=".05").ack(".04").hear(100, after=".15").ack(".08")
    talk.hear(100, after=".15").ack(".16").hear(100, after=".15").ack(".2").hear(100, after=".15").ack(".2")
    assert told(talk.play()) == GOOD
    assert talk.play(delayed_ack_max=190_000_000).verdict == FAIL


def test_text_that_comes_fast_makes_the_wait_shorter_again() -> None:
    """160 ms it is after a wait of 80; then a gap of 90 makes it 80 + 90, gaps of 10 make it half and 20 more: 105, 72.5."""
    talk = Talk(trip=".1").use_up().hear(100, after=".05").ack(".04").hear(100, after=".15").ack(".08")
    talk.hear(100, after=".01").hear(100, after=".01").hear(100, after=".01").ack(".0725")
    assert told(talk.play()) == GOOD, "the first of the three would have had it after 0.1 s, the round trip"


def test_a_timer_that_is_about_to_fire_is_not_waited_for() -> None:
    """In the last quarter of the time the next text is acknowledged at once, and all before it."""
    talk = Talk().use_up().hear(100, after=".05").hear(100, after=".033").ack()
    assert told(talk.play()) == GOOD
    talk = Talk().use_up().hear(100, after=".05").hear(100, after=".025").ack(".015")
    assert told(talk.play()) == GOOD


def test_reading_all_there_is_sends_the_ack() -> None:
    talk = Talk().use_up().hear(100, after=".05").say("+.01 read(4, ..., 5000) = 1700").ack()
    assert told(talk.play()) == GOOD
    talk = Talk().use_up().hear(100, after=".05").say("+.01 read(4, ..., 1000) = 1000").ack(".03")
    assert told(talk.play()) == GOOD, "some is left to read"


def test_reading_more_than_a_full_segment_sends_the_ack() -> None:
    """Unread text keeps the window where it is, so the ACK of every second segment waits for the reader."""
    talk = Talk().use_up(1000).hear(1000, after=".05").hear(1000).hear(1000, after=".01")
    assert told(talk.say("+.01 read(4, ..., 1000) = 1000").ack().play()) == GOOD
    talk = Talk().use_up(1000).hear(1000, after=".05").say("+.01 read(4, ..., 1000) = 1000").ack(".03")
    assert told(talk.play()) == GOOD


def test_every_second_full_segment_is_acknowledged_where_the_window_moves() -> None:
    """What counts as full is the peer's own size, not our MSS of 1460."""
    wide = {"receive_buffer": 200_000, "window_rule": "edge", "syn_window_whole": False}
    talk = Talk().use_up(600).hear(600, after=".05").hear(600).ack().hear(600, after=".05").hear(500).ack()
    assert told(talk.play(**wide)) == GOOD
    talk = Talk().use_up(600).hear(300, after=".05").hear(300).ack(".04")
    assert told(talk.play(**wide)) == GOOD, "together they are one full segment"


def test_a_fin_before_any_text_is_acknowledged_a_tick_later_and_after_text_with_our_own() -> None:
    """Linux 6.18, loopback, 250 ticks a second: after 1 to 7 ms, or with a FIN that goes before that."""
    assert told(Talk().say("+.1 < F. 1:1(0) ack 1 win 20000\n+.004 > . 1:1(0) ack 2").play()) == GOOD
    joined = Talk().say("+.1 < F. 1:1(0) ack 1 win 20000\n+.0039 close(4) = 0\n+0 > F. 1:1(0) ack 2\n+0 < . 2:2(0) ack 2 win 0")
    assert told(joined.play()) == GOOD
    talk = Talk().hear(100).ack().say("+.1 < F. 101:101(0) ack 1 win 20000\n+.04 > . 1:1(0) ack 102")
    assert told(talk.play()) == GOOD
    talk = Talk().say("+.1 < FP. 1:101(100) ack 1 win 20000\n+.04 > . 1:1(0) ack 102")
    assert told(talk.play()) == GOOD
    talk = Talk().hear(100).ack().say("+.1 < F. 101:101(0) ack 1 win 20000\n+.01 read(4, ..., 200) = 100")
    assert told(talk.say("+0 close(4) = 0\n+0 > F. 1:1(0) ack 102\n+0 < R 102:102(0) win 0").play()) == GOOD


def test_a_gap_that_is_filled_is_acknowledged_at_once() -> None:
    talk = Talk().use_up().say("+.05 < P. 1701:1801(100) ack 1 win 20000\n+0 > . 1:1(0) ack 1601")
    talk.say("+.01 < P. 1601:1701(100) ack 1 win 20000\n+0 > . 1:1(0) ack 1801")
    assert told(talk.play()) == GOOD


@pytest.mark.parametrize(("read", "after"), [(True, "0"), (False, ".03")])
def test_tcp_quickack_acknowledges_at_once_what_was_read(read: bool, after: str) -> None:
    option = "setsockopt(4, IPPROTO_TCP, TCP_QUICKACK, [{}], 4) = 0"
    talk = Talk().say("+0 " + option.format(0)).hear(100)
    if read:
        talk.say("+0 read(4, ..., 1000) = 100")
    talk.say("+.01 " + option.format(1)).ack(after).hear(100, after=".1").ack()
    assert told(talk.play()) == GOOD


def test_tcp_quickack_tells_whether_no_conversation_goes_on() -> None:
    option = "+0 getsockopt(4, IPPROTO_TCP, TCP_QUICKACK, [{}], [4]) = 0"
    talk = Talk().say(option.format(1)).use_up().hear(100, after=".05").ack(".04").say(option.format(1))
    talk.hear(100, after="0").say("+.01 write(4, ..., 50) = 50\n+0 > P. 1:51(50) ack 1801").say(option.format(0))
    talk.say("+.01 < . 1801:1801(0) ack 51 win 20000")
    talk.say("+0 setsockopt(4, IPPROTO_TCP, TCP_QUICKACK, [1], 4) = 0").say(option.format(1))
    assert told(talk.say("+0 setsockopt(4, IPPROTO_TCP, TCP_QUICKACK, [0], 4) = 0").say(option.format(0)).play()) == GOOD


OPTION = "+{} setsockopt(4, IPPROTO_TCP, TCP_QUICKACK, [{}], 4) = 0"


def test_tcp_quickack_acknowledges_a_full_segment_that_was_read_and_only_then() -> None:
    """It has no PSH, so reading it alone sends nothing."""
    talk = Talk().use_up(1000).hear(1000, after=".05", flags=".").say("+.01 read(4, ..., 20000) = 17000")
    assert told(talk.say(OPTION.format(".01", 1)).ack().play()) == GOOD
    talk = Talk().use_up(1000).say("+0 read(4, ..., 20000) = 16000").say(OPTION.format(0, 1))
    talk.hear(1000, after=".05", flags=".").say("+.01 read(4, ..., 20000) = 1000")
    assert told(talk.ack(".03").play()) == GOOD, "nothing was owed when it was set"
    talk = Talk().use_up(1000).hear(1000, after=".05").hear(1000).say(OPTION.format(".01", 0))
    assert told(talk.ack(".03").play()) == GOOD, "off, it acknowledges nothing"


def rcv_mss(*heard: tuple[int, str, int], changes: dict[str, Any] | None = None, mss: int = 1000) -> Outcome:
    """Segments of so many bytes with these flags, and what is taken for full after each."""
    talk = Talk()
    talk.text = talk.text.replace("<mss 1000>", f"<mss {mss}>")
    for size, flags, full in heard:
        talk.hear(size, after=".05", flags=flags).ack().say(f"+0 %{{ assert tcpi_rcv_mss == {full}, tcpi_rcv_mss }}%")
    return talk.play(**changes or {})


@pytest.mark.parametrize(
    ("changes", "mss", "full"),
    [
        ({}, 1000, 536),
        ({}, 400, 400),
        ({"advertised_mss": 300}, 1000, 300),
        ({"receive_buffer": 600, "window_rule": "edge"}, 1000, 300),
        ({"receive_buffer": 170, "window_rule": "edge"}, 1000, 88),
    ],
)
def test_the_first_guess_of_a_full_segment_is_the_least_of_what_bounds_it(changes: dict[str, Any], mss: int, full: int) -> None:
    assert told(rcv_mss((30, "P.", full), changes=changes, mss=mss)) == GOOD


def test_a_full_segment_is_as_large_as_the_largest_or_as_two_equal_ones_that_may_be_full() -> None:
    assert told(rcv_mss((1000, "P.", 1000), (600, "P.", 1000), (600, "P.", 600), (900, ".", 900))) == GOOD
    assert told(rcv_mss((1000, ".", 1000), (600, "P.", 1000), (700, "P.", 1000), (600, "P.", 1000))) == GOOD, "not in a row"
    assert told(rcv_mss((1000, ".", 1000), (536, "P.", 1000), (536, "P.", 536))) == GOOD
    assert told(rcv_mss((1000, ".", 1000), (535, "P.", 1000), (535, "P.", 1000))) == GOOD, "pushed, it may end something"
    assert told(rcv_mss((1000, ".", 1000), (88, ".", 1000), (88, ".", 88))) == GOOD
    assert told(rcv_mss((1000, ".", 1000), (87, ".", 1000), (87, ".", 1000))) == GOOD
    assert told(rcv_mss((1400, ".", 1300), changes={"advertised_mss": 1300})) == GOOD, "never more than was told"


def test_a_full_segment_without_psh_is_not_acknowledged_by_reading_alone() -> None:
    start = Talk().use_up(1000).hear(700, after=".05").ack(".04").say("+0 read(4, ..., 20000) = 16700")
    assert told(start.hear(1000, after=".05", flags=".").say("+.01 read(4, ..., 20000) = 1000").ack(".03").play()) == GOOD
    start = Talk().use_up(1000).hear(700, after=".05").ack(".04").say("+0 read(4, ..., 20000) = 16700")
    assert told(start.hear(1000, after=".05").say("+.01 read(4, ..., 20000) = 1000").ack().play()) == GOOD


def test_in_a_conversation_reading_acknowledges_the_second_short_segment() -> None:
    """The first may be answered, two make it unlikely."""
    begin = Talk().hear(100).ack().say("+.01 write(4, ..., 50) = 50\n+0 > P. 1:51(50) ack 101")
    begin.hear(100, after=".01", ack=51).say("+.01 read(4, ..., 1000) = 200")
    assert told(begin.ack(".03", seq=51).play()) == GOOD
    begin = Talk().hear(100).ack().say("+.01 write(4, ..., 50) = 50\n+0 > P. 1:51(50) ack 101")
    begin.hear(100, after=".01", ack=51).hear(100, ack=51).say("+.01 read(4, ..., 1000) = 300")
    assert told(begin.ack(seq=51).play()) == GOOD


def test_text_that_comes_before_there_was_any_brings_quick_acks() -> None:
    """A keep-alive probe's byte before the first: its ACK is one of sixteen."""
    talk = Talk().say("+.05 < . 0:1(1) ack 1 win 20000").ack()
    for _ in range(QUICK - 1):
        talk.hear(100, after=".05").ack()
    assert told(talk.hear(100, after=".05").ack(".04").play()) == GOOD


def test_the_ack_for_old_text_that_takes_a_waiting_one_along_is_one_of_the_quick_ones() -> None:
    talk = Talk().use_up().hear(100, after=".05").say("+.01 < P. 1:101(100) ack 1 win 20000").ack()
    for _ in range(QUICK - 1):
        talk.hear(100, after=".05").ack()
    assert told(talk.hear(100, after=".05").ack(".04").play()) == GOOD


def test_text_that_comes_again_makes_the_wait_short_again() -> None:
    """Half a second later an answer after 50 ms is a late one; 160 ms it would have waited before."""
    talk = Talk(trip=".1").use_up().hear(100, after=".05").ack(".04").hear(100, after=".15").ack(".08")
    talk.say("+.1 < P. 1:101(100) ack 1 win 20000").ack().hear(100, after="1").ack()
    talk.say("+.05 write(4, ..., 50) = 50\n+0 > P. 1:51(50) ack 1901")
    assert told(talk.hear(100, after=".02", ack=51).ack(seq=51).play()) == GOOD


@pytest.mark.parametrize(("after", "ack"), [(".04", "0"), (".039999", ".04")])
def test_an_answer_as_late_as_an_ack_is_no_conversation(after: str, ack: str) -> None:
    talk = Talk().hear(100).ack().say(f"+{after} write(4, ..., 50) = 50\n+0 > P. 1:51(50) ack 101")
    assert told(talk.hear(100, after=".1", ack=51).ack(ack, seq=51).play()) == GOOD


def test_who_stops_to_answer_waits_the_least_time_again() -> None:
    """A gap of 30 ms has made it 20 + 30; the answer that fails to come makes it 40."""
    talk = Talk(trip=".1").use_up().hear(100, after=".05").say("+.01 write(4, ..., 50) = 50\n+0 > P. 1:51(50) ack 1701")
    talk.hear(100, after=".02", ack=51).ack(".05", seq=51).hear(100, after=".12", ack=51).ack(".04", seq=51)
    assert told(talk.play()) == GOOD


def test_full_segments_wait_no_longer_than_the_longest_time_either() -> None:
    talk = Talk(trip=".3").use_up(1000).hear(1000, after=".05", flags=".").ack(".04")
    for wait in (".08", ".16", ".2", ".2"):
        talk.hear(1000, after=".15", flags=".").ack(wait)
    assert told(talk.play()) == GOOD


def test_quick_acks_that_are_left_do_not_become_fewer_by_a_pause() -> None:
    """Eight for a window of 9,000 bytes and a guess of 536; for segments of 1,400 it would be three."""
    talk = Talk().hear(30).ack().hear(1400, after="1").ack()
    for _ in range(6):
        talk.hear(30, after=".05").ack()
    talk.hear(30, after=".05").ack(".04")
    assert told(talk.play(receive_buffer=9000, window_rule="edge", syn_window_whole=False)) == GOOD


def test_what_is_learnt_is_told_as_tcp_info_tells_it() -> None:
    talk = Talk().say("+0 %{ assert tcpi_ato == 0; assert tcpi_rcv_mss == 1460 }%").hear(700).ack()
    talk.say("+0 %{ assert tcpi_ato == 40000; assert tcpi_rcv_mss == 700 }%").hear(1000).ack()
    assert told(talk.say("+0 %{ assert tcpi_rcv_mss == 1000 }%").play()) == GOOD
