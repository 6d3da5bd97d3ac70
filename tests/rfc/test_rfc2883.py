"""D-SACK, which duplicate an ACK answers: RFC 2883 4 and 5."""

import pytest

from synfin.engine.config import MILLISECOND, SECOND, TcpConfig
from synfin.engine.segment import ACK, FIN, SYN
from synfin.engine.state import State
from tests.engine.harness import End
from tests.rfc.build import (
    CLOCK,
    IRS,
    ISS,
    close_wait,
    established,
    fin_wait_2,
    hear,
    last,
    peer,
    say,
    syn_sent,
    time_wait,
)
from tests.rfc.sacking import CONFIGS, SACKING, STAMPED, Stream, text

ANY = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


# --- 4.1, 4.2: the examples, with their numbers


@ANY
def test_example_1_a_duplicate_segment(config: TcpConfig) -> None:
    """4.1.1: the ACKs were lost, the first segment comes again."""
    stream = Stream(config, first=3000)
    assert [stream.gets(3000, 3500), stream.gets(3500, 4000)] == ["3500", "4000"]
    assert stream.gets(3000, 3500) == "4000 [3000-3500]"


@ANY
def test_example_2_a_duplicate_while_another_segment_is_held(config: TcpConfig) -> None:
    """4.1.2: the duplicate first, then what is held out of order."""
    stream = Stream(config, first=3000)
    stream.gets(3000, 3500)
    stream.gets(3500, 4000)
    assert stream.gets(4500, 5000) == "4000 [4500-5000]"
    assert stream.gets(3000, 3500) == "4000 [3000-3500] [4500-5000]"


@ANY
def test_example_3_a_duplicate_of_a_segment_out_of_order(config: TcpConfig) -> None:
    """4.1.3: the second block is the larger one that has the duplicate in it."""
    stream = Stream(config, first=3500)
    stream.gets(3500, 4000)
    assert stream.gets(4500, 5000) == "4000 [4500-5000]"
    assert stream.gets(5000, 5500) == "4000 [4500-5500]"
    assert stream.gets(5000, 5500) == "4000 [5000-5500] [4500-5500]"


@ANY
def test_example_4_a_part_of_a_segment_is_a_duplicate(config: TcpConfig) -> None:
    """4.2.1: segments of 500 bytes became one of 1000; the part that had come is told of."""
    stream = Stream(config, first=500)
    assert stream.gets(500, 1000) == "1000"
    assert stream.gets(2000, 2500) == "1000 [2000-2500]"
    assert stream.gets(1000, 1500) == "1500 [2000-2500]"
    assert stream.gets(1000, 2000) == "2500 [1000-1500]"


@ANY
def test_example_5_two_duplicate_parts_that_the_ack_covers(config: TcpConfig) -> None:
    """4.2.2: of two parts the first is told of."""
    stream = Stream(config, first=500)
    stream.gets(500, 1000)
    assert stream.gets(3000, 3500) == "1000 [3000-3500]"
    assert stream.gets(1000, 1500) == "1500 [3000-3500]"
    assert stream.gets(2000, 2500) == "1500 [2000-2500] [3000-3500]"
    assert stream.gets(1000, 2500) == "2500 [1000-1500] [3000-3500]"


@ANY
def test_example_6_two_duplicate_parts_that_the_ack_does_not_cover(config: TcpConfig) -> None:
    """4.2.3: the first part, then the block that the whole segment has become a part of."""
    stream = Stream(config, first=500)
    stream.gets(500, 1000)
    assert stream.gets(3500, 4000) == "1000 [3500-4000]"
    assert stream.gets(1500, 2000) == "1000 [1500-2000] [3500-4000]"
    assert stream.gets(2500, 3000) == "1000 [2500-3000] [1500-2000] [3500-4000]"
    assert stream.gets(1500, 3000) == "1000 [1500-2000] [1500-3000] [3500-4000]"


# --- 5: what a sender can conclude, from what we tell


def test_a_segment_that_the_network_doubled() -> None:
    """5.1: replication: the second copy is answered by its own numbers."""
    stream = Stream(first=500)
    stream.gets(500, 1000)
    assert stream.gets(1000, 1500) == "1500"
    assert stream.gets(1000, 1500) == "1500 [1000-1500]"


def test_a_segment_that_was_late_and_sent_again() -> None:
    """5.2: false retransmission for reordering: the one that comes second is the duplicate."""
    stream = Stream(first=500)
    assert stream.gets(500, 1000) == "1000"
    assert [stream.gets(place, place + 500) for place in (1500, 2000, 2500)] == [
        "1000 [1500-2000]", "1000 [1500-2500]", "1000 [1500-3000]",
    ]  # fmt: skip
    assert stream.gets(1000, 1500) == "3000"
    assert stream.gets(1000, 1500) == "3000 [1000-1500]"


def test_a_timeout_because_every_ack_was_lost() -> None:
    """5.3: the first segment comes again after all have arrived."""
    stream = Stream(first=500)
    for place in range(500, 2500, 500):
        stream.gets(place, place + 500)
    assert stream.gets(500, 1000) == "2500 [500-1000]"


def test_a_timeout_that_came_too_early() -> None:
    """5.4: whole windows arrive twice: every copy is told of, each once."""
    stream = Stream(first=500)
    stream.gets(500, 1000)
    assert [stream.gets(place, place + 500) for place in (1000, 1500, 2000)] == ["1500", "2000", "2500"]
    again = [stream.gets(place, place + 500) for place in range(500, 2500, 500)]
    assert again == [f"2500 [{place}-{place + 500}]" for place in range(500, 2500, 500)]


# --- 4: the rules


def test_a_duplicate_is_told_of_once() -> None:
    """4, (1): a D-SACK block reports a duplicate of the most recent segment; the next ACK has it no more."""
    stream = Stream()
    stream.gets(0, 10)
    stream.gets(20, 30)
    assert stream.gets(0, 10) == "10 [0-10] [20-30]"
    stream.one.connection.write(b"x", 0)
    assert stream.says() == "10 [20-30]"
    assert stream.gets(40, 50) == "10 [40-50] [20-30]"


def test_two_duplicates_that_wait_are_answered_each_by_its_own_ack() -> None:
    """4, (1), RFC 9293 3.10.7.4: two identical D-SACK blocks for two duplicates, even in one transmission."""
    stream = Stream()
    stream.gets(0, 30)
    for place in (0, 10, 10):
        stream.hears(place, place + 10)
    assert stream.says() == "30 [0-10]; 30 [10-20]; 30 [10-20]"


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        (100, 110, "[100-110] [100-120]"),
        (105, 106, "[105-106] [100-120]"),
        (90, 105, "[100-105] [90-120]"),
        (115, 130, "[115-120] [100-130]"),
        (90, 130, "[100-120] [90-130]"),
        (100, 120, "[100-120] [100-120]"),
    ],
)
def test_a_duplicate_above_the_ack_is_followed_by_the_block_that_has_it(start: int, end: int, told: str) -> None:
    """4, (4): exactly the numbers that had come; then the whole block, whatever was reported since."""
    stream = Stream()
    stream.gets(100, 120)
    stream.gets(200, 210)
    assert stream.gets(start, end) == f"0 {told} [200-210]"


def test_a_duplicate_that_reaches_past_two_holes_tells_of_the_first_part() -> None:
    """4.2.2: in order, from before RCV.NXT to behind what was held."""
    stream = Stream()
    for start, end in ((0, 10), (20, 30), (40, 50), (60, 70)):
        stream.gets(start, end)
    assert stream.gets(5, 45) == "50 [5-10] [60-70]"
    assert stream.gets(50, 65) == "70 [60-65]"


def test_an_in_order_segment_over_what_is_held_tells_of_that_part() -> None:
    """4.2: the part that had come out of order is the duplicate, though the ACK covers it now."""
    stream = Stream()
    stream.gets(10, 20)
    stream.gets(40, 50)
    assert stream.gets(0, 12) == "20 [10-12] [40-50]"
    assert stream.gets(20, 60) == "60 [40-50]"
    assert stream.read() == text(0, 60)


def test_blocks_that_touch_are_no_duplicates() -> None:
    """4: an edge is the number behind the last: neighbours share none."""
    stream = Stream()
    stream.gets(10, 20)
    assert stream.gets(20, 30) == "0 [10-30]"
    assert stream.gets(5, 10) == "0 [5-30]"
    assert stream.gets(0, 5) == "30"
    stream.gets(40, 50)
    stream.gets(60, 70)
    assert stream.gets(50, 65) == "30 [60-65] [40-70]"


@pytest.mark.parametrize(("config", "most"), [(SACKING, 4), (STAMPED, 3)])
def test_a_dsack_block_takes_the_place_of_another(config: TcpConfig, most: int) -> None:
    """4, (5): what follows it is as RFC 2018 has it, as far as there is room."""
    stream = Stream(config)
    stream.gets(0, 10)
    for place in (100, 200, 300, 400, 500):
        stream.gets(place, place + 10)
    blocks = ["[500-510]", "[400-410]", "[300-310]", "[200-210]"]
    assert stream.gets(3, 7) == " ".join(["10 [3-7]", *blocks][:most])
    assert stream.gets(200, 210) == " ".join(["10 [200-210]", "[200-210]", "[500-510]", "[400-410]"][:most])


def test_a_segment_with_nothing_new_but_a_fin() -> None:
    """4.2: its bytes are the duplicate, its FIN is new."""
    stream = Stream()
    stream.gets(0, 10)
    assert stream.fin(4, 10) == "11 [4-10]"
    assert stream.one.connection.state is State.CLOSE_WAIT


def test_a_fin_again_is_a_duplicate_number() -> None:
    """4: edges are sequence numbers; the ACK of the FIN was lost, bytes and FIN come again (as on Linux)."""
    stream = Stream()
    assert stream.fin(0, 10) == "11"
    assert stream.fin(0, 10) == "11 [0-11]"
    assert stream.fin(10, 10) == "11 [10-11]"
    assert stream.gets(0, 10) == "11 [0-10]"


def test_a_fin_out_of_order_again() -> None:
    """4: bytes that are held are the duplicate; a FIN alone that waits has none."""
    stream = Stream()
    assert stream.fin(10, 20) == "0 [10-21]"
    assert stream.fin(10, 20) == "0 [10-20] [10-21]"
    assert stream.fin(20, 20) == "0 [10-21]"


def test_duplicates_are_told_of_in_every_state_that_answers() -> None:
    """4; RFC 9293 3.10.7.4 first: FIN-WAIT-2 and CLOSE-WAIT as ESTABLISHED, but not TIME-WAIT, which has no data to tell of."""
    one = fin_wait_2(SACKING)
    stream = Stream(one=one)
    stream.ack = ISS + 2
    stream.gets(0, 10)
    assert stream.gets(0, 10) == "10 [0-10]"
    one = established(SACKING)
    stream = Stream(one=one)
    stream.gets(0, 10)
    stream.fin(10, 10)
    assert stream.gets(5, 10) == "11 [5-10]"
    assert close_wait(SACKING).connection.state is State.CLOSE_WAIT
    assert time_wait(SACKING).connection.state is State.TIME_WAIT


# --- what is no duplicate


@pytest.mark.parametrize("byte", [b"", b"\0"])
def test_a_keepalive_probe_before_the_first_byte_is_no_duplicate(byte: bytes) -> None:
    """RFC 9293 3.8.4: its number is the SYN's, which no byte ever had."""
    one = established(SACKING)
    hear(one, ACK, IRS, payload=byte)
    assert last(one).sacks == ()


def test_a_keepalive_probe_with_a_byte_is_a_duplicate_later() -> None:
    """RFC 9293 3.8.4: its number was a byte's; without a byte there is nothing to tell of."""
    stream = Stream()
    stream.gets(0, 10)
    assert stream.gets(9, 10) == "10 [9-10]"
    assert stream.gets(9, 9) == "10"


def test_a_segment_from_before_the_first_byte_tells_only_of_bytes() -> None:
    """4: what is told was received: the numbers of an earlier connection were not."""
    stream = Stream()
    stream.gets(0, 10)
    assert stream.gets(-500, 4) == "10 [0-4]"
    assert stream.gets(-500, 20) == "20 [0-10]"
    assert stream.gets(-500, 0) == "20"
    assert stream.gets(-500, -400) == "20"
    assert stream.read() == text(0, 20)


def test_text_that_begins_before_the_first_byte_is_new_text() -> None:
    """4: nothing of it had come, so its ACK may ride on data of ours."""
    stream = Stream()
    stream.one.connection.write(b"hello", 0)
    stream.hears(-1, 10)
    assert [(stream.shown(out), len(out.payload)) for out in stream.one.out()] == [("10", 5)]


def test_after_two_gigabytes_what_lies_ahead_is_still_no_duplicate() -> None:
    """4, RFC 9293 3.4: numbers are compared within half of their space, however many have been received."""
    stream = Stream(SACKING.replace(receive_buffer=1000))
    stream.gets(0, 10)
    stream.one.connection.receiver.wraps += 1
    assert stream.gets(2000, 2010) == "10"
    assert stream.gets(-500, 4) == "10 [-500-4]"


def test_what_lies_outside_of_the_window_ahead_is_no_duplicate() -> None:
    """4: it was never taken."""
    stream = Stream(SACKING.replace(receive_buffer=1000))
    assert stream.gets(1000, 1010) == "0"
    assert stream.gets(990, 1010) == "0 [990-1000]"
    assert stream.gets(1000, 1010) == "0 [990-1000]"


def test_a_closed_window_tells_of_the_part_before_it_only() -> None:
    """4; RFC 9293 3.10.7.4 first: a probe of a closed window begins with what was taken, or it has nothing that was."""
    stream = Stream(SACKING.replace(receive_buffer=100))
    stream.gets(0, 100)
    assert stream.gets(100, 101) == "100"
    assert stream.gets(99, 101) == "100 [99-100]"


def test_a_syn_again_is_no_duplicate_of_bytes() -> None:
    """RFC 5961 4.2: it is challenged."""
    stream = Stream()
    stream.gets(0, 10)
    say_syn = peer(stream.one, SYN | ACK, IRS, ISS + 1)
    assert stream.one.take(say_syn) == [f"ACK seq={ISS + 1} ack={IRS + 11}"]
    hear(stream.one, SYN, IRS)
    assert last(stream.one).sacks == ()


def test_a_repeated_syn_with_an_old_timestamp_is_none_either() -> None:
    """4.3, RFC 7323 5.3: PAWS refuses it, and it has no bytes."""
    stream = Stream(STAMPED)
    stream.gets(0, 10)
    syn = peer(stream.one, SYN | ACK, IRS, ISS + 1, payload=b"hello")
    syn.tsval = CLOCK - 1
    stream.one.connection.receive(syn, 0)
    assert last(stream.one).sacks == ()


def test_a_syn_ack_with_text_before_the_connection_opens_is_none() -> None:
    """3 of RFC 2018: nothing is told before the connection is established; the text of a SYN,ACK is new."""
    one = syn_sent(SACKING)
    hear(one, SYN | ACK, IRS, ISS + 1, payload=b"hello")
    assert last(one).sacks == ()
    stream = Stream(first=5, one=one)
    stream.zero = IRS + 1
    assert stream.gets(0, 5) == "5 [0-5]"


# --- 4.3: PAWS


def test_a_duplicate_that_paws_refuses_is_told_of() -> None:
    """4.3: independently of what PAWS decides; so does Linux (tcp_send_dupack)."""
    stream = Stream(STAMPED)
    stream.gets(0, 10)
    stream.one.now = 10 * MILLISECOND
    stream.gets(10, 20)
    stream.gets(40, 50)
    assert stream.gets(0, 10, tsval=CLOCK - 100) == "20 [0-10] [40-50]"
    assert stream.gets(15, 30, tsval=CLOCK - 100) == "20 [15-20] [40-50]"
    assert stream.one.connection.receiver.rcv_nxt == IRS + 21


def test_what_paws_refuses_ahead_was_not_taken() -> None:
    """4.3: a segment at or behind RCV.NXT that PAWS refuses is neither held nor a duplicate."""
    stream = Stream(STAMPED)
    stream.gets(0, 10)
    assert stream.gets(10, 20, tsval=CLOCK - 100) == "10"
    assert stream.gets(30, 40, tsval=CLOCK - 100) == "10"


# --- off


@pytest.mark.parametrize("sack", [True, False])
def test_without_dsack_the_blocks_are_those_of_rfc_2018(sack: bool) -> None:
    """TcpConfig.dsack, and it means nothing where SACK was not agreed."""
    stream = Stream(SACKING.replace(sack=sack, dsack=not sack))
    stream.gets(0, 10)
    stream.gets(20, 30)
    held = " [20-30]" if sack else ""
    assert stream.gets(0, 10) == "10" + held
    assert stream.gets(22, 25) == "10" + held
    assert stream.gets(5, 25) == "30"
    assert stream.gets(5, 35) == "35"


def test_a_duplicate_is_answered_at_once_and_a_waiting_ack_with_it() -> None:
    """2: D-SACK changes what an ACK tells, not when it goes; 3.10.7.4: a duplicate is answered at once."""
    stream = Stream(SACKING.replace(delayed_ack=SECOND // 10))
    assert stream.gets(0, 10) == ""
    assert stream.gets(0, 10) == "10 [0-10]"
    assert stream.one.connection.next_deadline() > SECOND
    assert stream.gets(5, 20) == "20 [5-10]"
    assert stream.one.connection.next_deadline() > SECOND


@pytest.mark.parametrize("sack", [True, False])
def test_a_part_that_had_come_is_answered_at_once_though_it_is_not_told_of(sack: bool) -> None:
    """2: D-SACK changes what an ACK tells, not when it goes."""
    stream = Stream(SACKING.replace(sack=sack, dsack=False, delayed_ack=SECOND // 10))
    assert stream.gets(0, 10) == ""
    stream.one.now = stream.one.connection.next_deadline()
    stream.one.connection.handle_timers(stream.one.now)
    assert stream.says() == "10"
    assert stream.gets(5, 20) == "20"


def test_a_duplicate_is_answered_by_an_ack_without_data() -> None:
    """RFC 5681 2: so the peer can count it; data of ours follows and tells of what is held only."""
    stream = Stream()
    stream.gets(0, 10)
    stream.gets(20, 30)
    stream.one.connection.write(b"hello", 0)
    stream.hears(5, 15)
    sent = stream.one.out()
    assert [(stream.shown(out), len(out.payload)) for out in sent] == [("15 [5-10] [20-30]", 0), ("15 [20-30]", 5)]


def test_without_sack_what_is_new_in_a_segment_is_acknowledged_by_data_of_ours() -> None:
    """2: nothing is told, so nothing needs an ACK of its own."""
    stream = Stream(SACKING.replace(sack=False))
    stream.gets(0, 10)
    stream.one.connection.write(b"hello", 0)
    stream.hears(5, 15)
    assert [(stream.shown(out), len(out.payload)) for out in stream.one.out()] == [("15", 5)]


def test_reading_the_stream_gives_each_byte_once() -> None:
    """4: what is told as a duplicate is not delivered again."""
    stream = Stream()
    for start, end in ((10, 20), (0, 15), (5, 40), (0, 40), (30, 60)):
        stream.gets(start, end)
    assert stream.read() == text(0, 60)
    assert isinstance(stream.one, End)
    assert say(stream.one, ACK | FIN, IRS + 61) == [f"ACK seq={ISS + 1} ack={IRS + 62}"]
