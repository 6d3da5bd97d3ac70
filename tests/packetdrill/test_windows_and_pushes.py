"""What stacks choose of windows, PSH and slow start: TcpConfig's fields, seen in the bytes that leave."""

from typing import Any

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.errors import UsageError
from synfin.packetdrill.profiles import load_profile
from synfin.packetdrill.run import PASS
from tests.packetdrill.playing import opened, play, told
from tests.packetdrill.test_choices import CONNECT, LISTEN
from tests.packetdrill.test_rhythm import opening

GOOD = (PASS, "", ())
LINUX = load_profile("linux")
FREEBSD = load_profile("freebsd")
STRICT = "--strict_segments\n"
PLAIN = {"timestamps": False, "window_scaling": False}
WHOLE = {"syn_window_whole": True, "receive_buffer": 65_536}


# --- the window of SYN and SYN,ACK

@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize(("timestamps", "syn_ack"), [(True, 65_160), (False, 64_240)])  # 45 * 1448, 44 * 1460
@pytest.mark.parametrize("cookies", ["off", "always"])
def test_a_syn_window_is_whole_segments(family: str, timestamps: bool, syn_ack: int, cookies: str) -> None:
    changes = {**WHOLE, "timestamps": timestamps, "syn_cookies": cookies}
    assert told(play(CONNECT + "+0 > S 0:0(0) win 64240 <...>\n", changes=changes, family=family)) == GOOD
    stamp = ",nop,nop,TS val 7 ecr 0" if timestamps else ""
    text = LISTEN + f"+.1 < S 0:0(0) win 1000 <mss 1000{stamp}>\n+0 > S. 0:0(0) ack 1 win {syn_ack} <...>\n"
    assert told(play(text, changes=changes, family=family)) == GOOD


def test_a_timestamp_that_only_the_peer_offers_takes_no_room_in_the_window() -> None:
    text = LISTEN + "+.1 < S 0:0(0) win 1000 <mss 1000,nop,nop,TS val 7 ecr 0>\n+0 > S. 0:0(0) ack 1 win 64240 <...>\n"
    assert told(play(text, changes={**WHOLE, "timestamps": False})) == GOOD


@pytest.mark.parametrize(("buffer", "window"), [(1000, 1000), (1460, 1460), (1461, 1460), (5000, 4380), (1 << 20, 65_535)])
def test_a_buffer_of_less_than_a_segment_is_offered_whole(buffer: int, window: int) -> None:
    changes = {**PLAIN, "syn_window_whole": True, "receive_buffer": buffer}
    assert told(play(CONNECT + f"+0 > S 0:0(0) win {window} <...>\n", changes=changes)) == GOOD


def test_a_half_open_entry_takes_a_segment_in_the_window_that_it_has_told() -> None:
    """The ACK at the edge is acceptable, the one behind it is answered (RFC 9293 3.10.7.4)."""
    changes = {**PLAIN, "syn_window_whole": True, "receive_buffer": 5000}
    text = LISTEN + "+0 < S 0:0(0) win 1000 <mss 1000>\n+0 > S. 0:0(0) ack 1 win 4380 <...>\n"
    answer = "+0 < . 4381:4381(0) ack 1 win 1000\n+0 > . 1:1(0) ack 1 win 4380\n"
    assert told(play(text + answer, changes=changes)) == GOOD
    inside = "+0 < . 4380:4380(0) ack 1 win 1000\n+0 accept(3, ..., ...) = 4\n"
    assert told(play(text + inside, changes=changes)) == GOOD


def test_the_first_window_is_as_many_segments_as_are_set_and_grows_by_two_for_each_that_comes() -> None:
    changes = {**PLAIN, "initial_receive_window": 4, "receive_buffer": 11_000, "delayed_ack": 0}
    text = opening().replace("ack 1 <...>", "ack 1 win 5840 <...>") + (
        "+0 < . 1:128(127) ack 1 win 20000\n+0 > . 1:1(0) ack 128 win 5713\n+0 read(4, ..., 2000) = 127\n"
        "+0 < . 128:256(128) ack 1 win 20000\n+0 > . 1:1(0) ack 256 win 8760\n+0 read(4, ..., 2000) = 128\n"
        "+0 < . 256:1256(1000) ack 1 win 20000\n+0 > . 1:1(0) ack 1256 win 10000\n"
    )
    assert told(play(text, changes=changes)) == GOOD
    assert told(play(CONNECT + "+0 > S 0:0(0) win 5840 <...>\n", changes=changes)) == GOOD
    assert told(play(CONNECT + "+0 > S 0:0(0) win 11000 <...>\n", changes={**changes, "initial_receive_window": 9})) == GOOD


def test_a_first_window_is_still_told_when_the_handshake_is_over() -> None:
    text = CONNECT + "+0 > S 0:0(0) win 5840 <...>\n+0 < S. 0:0(0) ack 1 win 9000 <mss 1000>\n+0 > . 1:1(0) ack 1 win 5840\n"
    assert told(play(text, changes={**PLAIN, "initial_receive_window": 4})) == GOOD


# --- the MSS that is told

@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_our_syn_tells_the_mss_that_is_set_and_we_send_what_the_peer_takes(family: str) -> None:
    changes = {**PLAIN, "advertised_mss": 900}
    text = STRICT + CONNECT + (
        "+0 > S 0:0(0) <mss 900>\n+0 < S. 0:0(0) ack 1 win 9000 <mss 1300>\n+0 > . 1:1(0) ack 1\n"
        "+0 write(3, ..., 1300) = 1300\n+0 > P. 1:1301(1300) ack 1\n"
    )
    assert told(play(text, changes=changes, family=family)) == GOOD
    listen = LISTEN + "+0 < S 0:0(0) win 1000 <mss 1000>\n+0 > S. 0:0(0) ack 1 <mss 900>\n"
    for cookies in ("off", "always"):
        assert told(play(listen, changes={**changes, "syn_cookies": cookies}, family=family)) == GOOD


def test_tcp_maxseg_still_bounds_the_mss_that_is_told() -> None:
    text = CONNECT.replace("+0 connect", "+0 setsockopt(3, IPPROTO_TCP, TCP_MAXSEG, [700], 4) = 0\n+0 connect")
    assert told(play(text + "+0 > S 0:0(0) <mss 700>\n", changes={**PLAIN, "advertised_mss": 900})) == GOOD
    text = text.replace("700", "1200")
    assert told(play(text + "+0 > S 0:0(0) <mss 900>\n", changes={**PLAIN, "advertised_mss": 900})) == GOOD


# --- how far the window opens, and when that is told

FILL = "".join(
    f"+0 < . {at}001:{at + 1}001(1000) ack 1 win 20000\n+0 > . 1:1(0) ack {at + 1}001 win {{{at}}}\n" for at in range(10)
).replace(" 0001:", " 1:")


def filled(*windows: int, rule: str, then: str) -> Any:
    changes = {"receive_buffer": 10_000, "window_rule": rule, "delayed_ack": 0}
    return told(opened(FILL.format(*windows) + then, changes=changes))


FULL = tuple(range(9000, -1, -1000))


def test_linux_tells_of_reading_when_it_has_doubled_what_was_offered() -> None:
    """A window of 0 opens with a sixteenth of the buffer and a segment, 1,460 bytes; 3,000 are twice 1,500; with more than half
    of what there may be the next ACK is soon enough."""
    then = (
        "+.1 read(4, ..., 1459) = 1459\n+.1 read(4, ..., 41) = 41\n+0 > . 1:1(0) ack 10001 win 1460\n"
        "+.1 read(4, ..., 1400) = 1400\n+.1 read(4, ..., 1100) = 1100\n+0 > . 1:1(0) ack 10001 win 2920\n"
        "+.1 read(4, ..., 2000) = 2000\n+0 > . 1:1(0) ack 10001 win 5840\n+.1 read(4, ..., 4000) = 4000\n"
        "+.1 %{ assert True }%\n"
    )
    assert filled(*FULL, rule="reader", then=then) == GOOD


def test_freebsd_tells_of_reading_when_two_segments_and_an_eighth_of_the_buffer_are_free() -> None:
    then = (
        "+.1 read(4, ..., 2919) = 2919\n+.1 read(4, ..., 1) = 1\n+0 > . 1:1(0) ack 10001 win 2920\n"
        "+.1 read(4, ..., 2900) = 2900\n+.1 read(4, ..., 30) = 30\n+0 > . 1:1(0) ack 10001 win 5850\n"
        "+.1 read(4, ..., 2900) = 2900\n+.1 %{ assert True }%\n"
    )
    assert filled(*FULL, rule="quarter", then=then) == GOOD


def test_a_large_buffer_of_freebsd_tells_of_a_quarter() -> None:
    """Two segments are too little where more than an eighth is free; an ACK that waits will tell."""
    changes = {"receive_buffer": 40_000, "window_rule": "quarter", "timestamps": False}
    burst = "".join(f"+0 < . {at}:{at + 2500}(2500) ack 1 win 20000\n+0 < . {at + 2500}:{at + 5000}(2500) ack 1 win 20000\n"
                    f"+0 > . 1:1(0) ack {at + 5000} win {40_001 - at - 5000}\n"
                    for at in range(1, 30_001, 5000))  # fmt: skip
    text = burst + "+0 read(4, ..., 9999) = 9999\n+.1 read(4, ..., 1) = 1\n+0 > . 1:1(0) ack 30001 win 20000\n"
    assert told(opened(text, changes=changes)) == GOOD
    text += "+0 < . 30001:30011(10) ack 1 win 20000\n+.01 read(4, ..., 20000) = 20000\n+.19 > . 1:1(0) ack 30011 win 39990\n"
    assert told(opened(text, changes=changes)) == GOOD


def test_whatever_leaves_tells_of_every_byte_that_was_read() -> None:
    text = "+0 < . 1:1001(1000) ack 1 win 20000\n+0 > . 1:1(0) ack 1001 win {}\n+0 read(4, ..., 300) = 300\n"
    text += "+0 < . 1001:1011(10) ack 1 win 20000\n+0 > . 1:1(0) ack 1011 win {}\n"
    changes = {"receive_buffer": 20_000, "delayed_ack": 0}
    assert told(opened(text.format(19_000, 18_990), changes=changes)) == GOOD
    assert told(opened(text.format(19_000, 19_290), changes={**changes, "window_rule": "quarter"})) == GOOD


def test_linux_keeps_a_segment_of_its_buffer_back() -> None:
    """Read at once, the window falls to the buffer without a segment; unscaled it moves by whole segments from there on."""
    text = opening().replace("ack 1 <...>", "ack 1 win 64240 <...>")
    at = 1
    for window in (64_140, 64_040, 64_040):
        text += f"+.01 < P. {at}:{at + 100}(100) ack 1 win 20000\n+0 > . 1:1(0) ack {at + 100} win {window}\n"
        text += "+0 read(4, ..., 1000) = 100\n"
        at += 100
    assert told(play(text, profile=LINUX)) == GOOD


# --- PSH

def pushed(win: int, nodelay: bool, *lines: str) -> Any:
    option = "+0 setsockopt(4, IPPROTO_TCP, TCP_NODELAY, [1], 4) = 0\n" if nodelay else ""
    text = STRICT + opening(win=win) + option + "".join(each + "\n" for each in lines)
    return told(play(text, profile=LINUX))


def sent(seq: int, count: int, push: bool = False) -> str:
    return f"+0 > {'P.' if push else '.'} {seq}:{seq + count}({count}) ack 1"


def test_linux_pushes_the_end_of_a_write_and_of_each_burst_of_two() -> None:
    """As Linux 6.18 did it, a round trip of 10 ms."""
    assert pushed(
        8000, True, "+0 write(4, ..., 1000) = 1000", sent(1, 1000, True), "+0 write(4, ..., 3500) = 3500", sent(1001, 1000),
        sent(2001, 1000, True), sent(3001, 1000), sent(4001, 500, True), "+0 write(4, ..., 500) = 500", sent(4501, 500, True),
        "+0 write(4, ..., 5000) = 5000", sent(5001, 1000), sent(6001, 1000, True), sent(7001, 1000),
        "+0 write(4, ..., 2500) = 2500", "+0 < . 1:1(0) ack 2001 win 8000", sent(8001, 1000), sent(9001, 1000, True),
        "+0 < . 1:1(0) ack 4001 win 8000", sent(10_001, 1000), sent(11_001, 1000, True),
        "+0 < . 1:1(0) ack 6001 win 8000", sent(12_001, 500, True),
    ) == GOOD  # fmt: skip


def test_linux_pushes_after_half_a_window_though_more_was_announced() -> None:
    more = "+0 send(4, ..., {0}, MSG_MORE) = {0}"
    assert pushed(
        6000, False, more.format(1000), sent(1, 1000), more.format(2500), sent(1001, 1000), sent(2001, 1000, True),
        more.format(500), sent(3001, 1000), more.format(5000), sent(4001, 1000), sent(5001, 1000, True),
        "+0 < . 1:1(0) ack 2001 win 6000", sent(6001, 1000), sent(7001, 1000, True),
        "+0 < . 1:1(0) ack 4001 win 6000", sent(8001, 1000, True),
    ) == GOOD  # fmt: skip


@pytest.mark.parametrize(
    ("window", "pushes"),
    [
        (20_000, {20, 30}),  # pieces of 10 segments; more than 10,000 bytes lie behind the second
        (6000, {6, 12, 18, 24, 30}),
        (500, {1, 2, 3}),
    ],
)
def test_a_long_write_into_a_closed_window_is_pushed_after_each_half_of_the_largest(window: int, pushes: set[int]) -> None:
    """A closed window when it was written: nothing goes meanwhile."""
    changes = {"push": "write", "push_half_window": True, "initial_window_segments": 40, "rto_min": 10**9}
    count = 30 if window > 1000 else 3
    text = STRICT + opening(win=window) + "+0 < . 1:1(0) ack 1 win 0\n" + f"+0 write(4, ..., {count * 1000}) = {count * 1000}\n"
    text += "+.01 < . 1:1(0) ack 1 win 40000\n"
    for at in range(count):
        text += sent(1 + 1000 * at, 1000, at + 1 in pushes) + "\n"
    assert told(play(text, changes=changes)) == GOOD


def test_a_push_moves_to_the_end_of_what_joins_it() -> None:
    changes = {"push": "write", "push_half_window": True}
    text = STRICT + opening() + "+0 < . 1:1(0) ack 1 win 0\n" + 2 * "+0 write(4, ..., 2000) = 2000\n"
    text += "+.01 < . 1:1(0) ack 1 win 9000\n" + "\n".join(sent(1 + 1000 * at, 1000, at == 3) for at in range(4)) + "\n"
    assert told(play(text, changes={**changes, "initial_window_segments": 10})) == GOOD


# --- segments in a small window

def halves(window: int, *lines: str, **changes: Any) -> Any:
    text = STRICT + opening(win=window) + "".join(each + "\n" for each in lines) + "+.1 %{ assert True }%\n"
    return told(play(text, changes={"half_window_segments": True, "rto_min": 10**9, **changes}))


@pytest.mark.parametrize(("window", "first"), [(1500, 750), (1501, 750), (1998, 999), (2000, 1000), (537, 268)])
def test_a_small_window_takes_two_segments(window: int, first: int) -> None:
    """As Linux 6.18 does on lo: 32,768 bytes first, of a window of 65,536 and an MSS of 65,483."""
    lines = ("+0 write(4, ..., 9000) = 9000", sent(1, first), sent(first + 1, first))
    assert halves(window, *lines) == GOOD
    without = ("+0 write(4, ..., 9000) = 9000", sent(1, min(window, 1000)))
    assert halves(min(window, 1500), *without, half_window_segments=False) == GOOD


def test_a_tiny_window_is_filled_by_one_segment() -> None:
    assert halves(536, "+0 write(4, ..., 9000) = 9000", sent(1, 536)) == GOOD


def test_segments_grow_with_the_largest_window_and_stay_when_it_shrinks() -> None:
    lines = ("+0 write(4, ..., 9000) = 9000", sent(1, 500), sent(501, 500), "+.01 < . 1:1(0) ack 1001 win 1600",
             sent(1001, 800), sent(1801, 800), "+.01 < . 1:1(0) ack 2601 win 1000", sent(2601, 800),
             "+.01 < . 1:1(0) ack 3401 win 2000", sent(3401, 1000), sent(4401, 1000))  # fmt: skip
    assert halves(1000, *lines) == GOOD


# --- slow start

@pytest.mark.parametrize(("limit", "grows"), [(1, 11), (2, 12), (3, 13), (0, 15)])
def test_an_ack_of_five_segments_lets_cwnd_grow_by_as_many_as_are_set(limit: int, grows: int) -> None:
    text = "+0 write(4, ..., 10000) = 10000\n" + "+0 > P. 1:10001(10000) ack 1\n"
    text += f"+.01 < . 1:1(0) ack 5001 win 30000\n+0 %{{ assert tcpi_snd_cwnd == {grows}, tcpi_snd_cwnd }}%\n"
    assert told(opened(text, changes={"slow_start_segments": limit, "initial_window_segments": 10})) == GOOD


def test_what_goes_beyond_the_threshold_of_slow_start_counts_as_congestion_avoidance() -> None:
    """A timeout leaves a threshold of 5 segments; an ACK of all ten makes cwnd 5, and the 6 that are left make it no larger."""
    text = "+0 write(4, ..., 10000) = 10000\n+0 > P. 1:10001(10000) ack 1\n+1 > . 1:1001(1000) ack 1\n"
    text += "+.01 < . 1:1(0) ack 10001 win 30000\n+0 %{ assert (tcpi_snd_cwnd, tcpi_snd_ssthresh) == (6, 5), tcpi_snd_cwnd }%\n"
    assert told(opened(text, changes={"slow_start_segments": 0, "initial_window_segments": 10})) == GOOD


# --- profiles, values

def test_freebsd_resets_without_a_window_and_offers_its_whole_buffer() -> None:
    text = opening().replace("ack 1 <...>", "ack 1 win 65535 <...>")
    text += "+0 < P. 1:11(10) ack 1 win 20000\n+0 close(4) = 0\n+0 > R. 1:1(0) ack 11 win 0\n"
    assert told(play(text, profile=FREEBSD)) == GOOD


@pytest.mark.parametrize("name", ["linux", "freebsd"])
def test_a_profile_offers_sack(name: str) -> None:
    assert load_profile(name).config.sack
    assert "sack" in dict(load_profile(name).missing)


def test_what_these_systems_choose_is_off_unless_it_is_asked_for() -> None:
    for config in (TcpConfig(), load_profile("rfc").config):
        chosen = (config.ack_rule, config.window_rule, config.push_half_window, config.push_burst, config.syn_window_whole)
        assert chosen == ("count", "edge", False, 0, False)
        assert (config.advertised_mss, config.initial_receive_window, config.slow_start_segments) == (0, 0, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("advertised_mss", 27),
        ("advertised_mss", 65_536),
        ("initial_receive_window", -1),
        ("window_rule", "half"),
        ("ack_rule", "segments"),
        ("delayed_ack_max", 10_000_000),
        ("delayed_ack_max", 500_000_000),
        ("push_burst", -1),
        ("push_burst", 65),
        ("slow_start_segments", -1),
    ],
)
def test_a_value_that_means_nothing_is_refused(field: str, value: object) -> None:
    with pytest.raises(UsageError, match=field):
        TcpConfig().replace(**{field: value})
