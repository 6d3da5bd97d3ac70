"""Selective acknowledgment, what the receiver tells: RFC 2018 2 to 8."""

import pytest

from synfin.engine.config import SECOND, TcpConfig
from synfin.engine.segment import ACK, SYN, Segment
from synfin.engine.state import State
from synfin.wire.tcpoptions import build_options
from tests.engine.harness import A_KEY, PLAIN, End
from tests.rfc.build import FULL, IRS, ISS, Watch, accepted, end, established, hear, last, peer, say, syn_sent
from tests.rfc.sacking import CONFIGS, SACKING, STAMPED, Stream, text


def first_syn(config: TcpConfig) -> bool:
    """Whether our SYN has SACK permitted."""
    one = end(config)
    one.connection.connect(0)
    return last(one).sack_permitted


# --- 2: SACK permitted


@pytest.mark.parametrize("config", [PLAIN, FULL])
def test_sack_permitted_is_offered_where_the_configuration_has_it(config: TcpConfig) -> None:
    """2: on our SYN."""
    assert first_syn(config.replace(sack=True))
    assert not first_syn(config)


@pytest.mark.parametrize(("ours", "theirs"), [(True, False), (False, True), (False, False)])
def test_no_block_is_sent_unless_both_syns_had_sack_permitted(ours: bool, theirs: bool) -> None:
    """3: "if SACKs are sent" without it the peer would not understand them; 2."""
    one = syn_sent(SACKING.replace(sack=ours))
    answer = peer(one, SYN | ACK, IRS, ISS + 1)
    answer.sack_permitted = theirs
    one.take(answer)
    stream = Stream(one=one)
    assert stream.gets(10, 20) == "0"
    assert stream.gets(10, 20) == "0"
    one.connection.write(b"data has none either", 0)
    assert stream.says() == "0"
    assert one.connection.info(0)["tcpi_options"] & 2 == 0


def test_both_sides_of_a_connection_send_blocks() -> None:
    """2, 3: the side that opened and the side that was opened."""
    for one in (established(SACKING), accepted(SACKING)):
        assert Stream(one=one).gets(10, 20) == "0 [10-20]"
        assert one.connection.info(0)["tcpi_options"] & 2 == 2


@pytest.mark.parametrize("theirs", [True, False])
def test_a_simultaneous_open_agrees_on_sack(theirs: bool) -> None:
    """2: the SYN,ACK of a simultaneous open permits it when the peer's SYN did."""
    one = syn_sent(SACKING)
    syn = peer(one, SYN, IRS, 0)
    syn.sack_permitted = theirs
    one.connection.receive(syn, 0)
    assert last(one).sack_permitted is theirs
    say(one, SYN | ACK, IRS, ISS + 1)
    assert one.connection.state is State.ESTABLISHED
    assert Stream(one=one).gets(10, 20) == ("0 [10-20]" if theirs else "0")


def test_no_block_is_sent_before_the_connection_is_established() -> None:
    """3: "over an established TCP connection"; text that came with the peer's SYN waits and lies behind no hole."""
    one = syn_sent(SACKING)
    hear(one, SYN, IRS, 0, payload=b"hello")
    assert not last(one).sacks
    hear(one, ACK, IRS + 100_000, ISS + 1, payload=b"far")  # outside of the window: answered by an ACK
    out = last(one)
    assert (out.flags, out.ack, out.sacks) == (ACK, IRS + 1, ())


def test_a_syn_without_options_agrees_on_nothing() -> None:
    """2: the SYN that goes without options after several losses permits nothing, whatever the answer has."""
    one = end(SACKING.replace(syn_bare_after=1))
    one.connection.connect(0)
    one.out()
    one.now = one.connection.next_deadline()
    one.connection.handle_timers(one.now)
    assert not last(one).sack_permitted
    answer = peer(one, SYN | ACK, IRS, ISS + 1)
    answer.sack_permitted = True
    one.take(answer)
    assert Stream(one=one).gets(10, 20) == "0"


# --- 3: the option


def test_an_edge_is_the_first_number_and_the_one_behind_the_last() -> None:
    """3: the left edge is the first sequence number of the block, the right edge the one that follows it."""
    one = established(SACKING)
    hear(one, ACK, IRS + 1 + 7, payload=b"x")
    out = last(one)
    assert out.sacks == ((IRS + 8, IRS + 9),)
    assert build_options(out) == bytes((1, 1, 5, 10)) + (IRS + 8).to_bytes(4, "big") + (IRS + 9).to_bytes(4, "big")


@pytest.mark.parametrize(("config", "most"), [(SACKING, 4), (STAMPED, 3)])
def test_as_many_blocks_as_the_header_has_room_for(config: TcpConfig, most: int) -> None:
    """3: four, three with timestamps; never more than 40 bytes of options."""
    stream = Stream(config)
    for place in range(100, 1000, 100):
        stream.hears(place, place + 10)
        out = last(stream.one)
        assert len(out.sacks) == min(place // 100, most)
        assert len(build_options(out)) == (12 if config.timestamps else 0) + 4 + 8 * len(out.sacks) <= 40


def test_blocks_wrap_around_with_sequence_numbers() -> None:
    """3: edges are 32-bit numbers; the highest number is one like any other, not the mark of none."""
    for offset in range(1, 60, 7):
        one = End(A_KEY, ISS, SACKING, Watch())
        one.connection.connect(0)
        one.out()
        irs = (0 - offset) & 0xFFFFFFFF
        answer = peer(one, SYN | ACK, irs, ISS + 1)
        one.take(answer)
        stream = Stream(one=one)
        assert stream.gets(10, 20) == "0 [10-20]"
        assert stream.gets(30, 40) == "0 [30-40] [10-20]"
        assert stream.gets(50, 60) == "0 [50-60] [30-40] [10-20]"
        one.connection.write(b"x", 0)
        assert stream.says() == "0 [50-60] [30-40] [10-20]"
        assert stream.gets(32, 33) == "0 [32-33] [30-40] [50-60] [10-20]"
        assert stream.gets(0, 30) == "40 [10-20] [50-60]"


# --- 4: which blocks, in which order


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_first_block_has_the_segment_that_caused_the_ack(config: TcpConfig) -> None:
    """4: MUST; wherever in the order of sequence numbers it lies."""
    stream = Stream(config)
    assert stream.gets(100, 110) == "0 [100-110]"
    assert stream.gets(300, 310) == "0 [300-310] [100-110]"
    assert stream.gets(200, 210) == "0 [200-210] [300-310] [100-110]"


def test_the_whole_block_is_told_of_which_the_segment_is_a_part() -> None:
    """4: the contiguous block that contains the segment: before, behind and between what is held."""
    stream = Stream()
    stream.gets(100, 110)
    stream.gets(200, 210)
    assert stream.gets(210, 220) == "0 [200-220] [100-110]"
    assert stream.gets(90, 100) == "0 [90-110] [200-220]"
    assert stream.gets(110, 200) == "0 [90-220]"


def test_the_others_follow_in_the_order_in_which_they_were_reported() -> None:
    """4: the most recently reported first, whatever the order of their numbers."""
    stream = Stream()
    for place in (500, 300, 400, 200):
        stream.gets(place, place + 10)
    assert stream.gets(310, 320) == "0 [300-320] [200-210] [400-410] [500-510]"
    assert stream.gets(510, 520) == "0 [500-520] [300-320] [200-210] [400-410]"
    assert stream.gets(600, 610) == "0 [600-610] [500-520] [300-320] [200-210]"


def test_a_block_that_had_no_room_returns_when_there_is_some() -> None:
    """4: as many distinct blocks as possible; the order is remembered of all of them."""
    stream = Stream()
    for place in (100, 200, 300, 400, 500, 600):
        stream.gets(place, place + 10)
    assert stream.gets(0, 100) == "110 [600-610] [500-510] [400-410] [300-310]"
    assert stream.gets(500, 510) == "110 [500-510] [500-510] [600-610] [400-410]"
    assert stream.gets(110, 200) == "210 [500-510] [600-610] [400-410] [300-310]"
    assert stream.gets(210, 300) == "310 [500-510] [600-610] [400-410]"


def test_a_segment_that_advances_the_ack_field_is_in_no_block() -> None:
    """4: "unless that segment advanced the Acknowledgment Number field": then the most recent ones."""
    stream = Stream()
    stream.gets(100, 110)
    stream.gets(200, 210)
    assert stream.gets(0, 50) == "50 [200-210] [100-110]"
    assert stream.gets(50, 100) == "110 [200-210]"
    assert stream.gets(110, 200) == "210"
    assert stream.gets(210, 220) == "220"


def test_every_ack_has_blocks_while_something_is_held() -> None:
    """4: all ACKs that do not acknowledge the highest number that is held: window updates, answers to what is not taken, probes
    of an idle connection."""
    stream = Stream(SACKING.replace(receive_buffer=4000, keepalive=True, keepalive_idle=10 * SECOND))
    one = stream.one
    stream.gets(0, 2000)
    assert stream.gets(2100, 2200) == "2000 [2100-2200]"
    assert stream.read() == text(0, 2000)
    assert stream.says() == "2000 [2100-2200]"  # the window opens
    hear(one, ACK, IRS + 1 + 50_000, payload=b"x")
    assert stream.says() == "2000 [2100-2200]"  # outside of the window
    hear(one, SYN, IRS + 2100)
    assert stream.says() == "2000 [2100-2200]"  # a challenge ACK
    one.now = one.connection.next_deadline()
    one.connection.handle_timers(one.now)
    assert stream.says() == "2000 [2100-2200]"  # a keep-alive probe


def test_a_delayed_ack_has_none_when_nothing_is_held() -> None:
    """4: after the hole is filled the blocks are gone."""
    stream = Stream(SACKING.replace(delayed_ack=SECOND // 10))
    assert stream.gets(10, 20) == "0 [10-20]"
    assert stream.gets(0, 10) == "20"
    assert stream.gets(20, 30) == ""
    stream.one.now = stream.one.connection.next_deadline()
    stream.one.connection.handle_timers(stream.one.now)
    assert stream.says() == "30"


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_segment_with_data_has_the_blocks_too_and_makes_room_for_them(config: TcpConfig) -> None:
    """4: a segment with data acknowledges as well; RFC 6691: the data is shortened by the options that travel with it."""
    stream = Stream(config)
    one = stream.one
    mss = one.connection.sender.mss
    one.connection.set_option("nodelay", 1, 0)
    stream.gets(100, 110)
    stream.gets(200, 210)
    one.connection.write(bytes(3 * mss), one.now)
    sent = one.out()
    assert [stream.shown(out) for out in sent] == ["0 [200-210] [100-110]"] * 4
    assert [len(out.payload) for out in sent] == [mss - 20] * 3 + [60]
    assert all(len(build_options(out)) + len(out.payload) <= 1460 for out in sent)
    assert one.connection.sender.mss == mss
    stream.ack = ISS + 1 + 3 * mss
    stream.gets(0, 100)
    stream.gets(110, 200)
    one.connection.write(bytes(mss), one.now)
    assert [len(out.payload) for out in one.out()] == [mss]


def test_a_super_segment_has_the_blocks_on_every_piece() -> None:
    """4, RFC 6691: pieces of the size that leaves room for them."""
    stream = Stream(STAMPED)
    one = stream.one
    one.connection.sender.gso_max = 60_000
    one.connection.set_option("nodelay", 1, 0)
    stream.gets(100, 110)
    one.connection.write(bytes(5000), 0)
    out = last(one)
    assert (len(out.payload), out.gso_size, stream.shown(out)) == (5000, 1460 - 12 - 12, "0 [100-110]")
    assert one.connection.data_segs_out == 4


def test_where_segments_are_small_half_of_each_is_left_to_the_data() -> None:
    """RFC 2018 4 is a SHOULD; blocks that would leave less than half of the segment stay with the ACKs that have no data."""
    for mss, blocks in ((88, 4), (72, 4), (71, 3), (40, 2), (39, 1), (24, 1), (23, 0), (10, 0), (7, 0)):
        stream = Stream()
        one = stream.one
        one.connection.set_option("mss", mss, 0)
        for place in (100, 200, 300, 400):
            assert stream.gets(place, place + 10).count("[") == place // 100
        one.connection.write(bytes(mss), 0)
        out = one.out()[0]
        assert (len(out.sacks), len(out.payload)) == (blocks, mss - (4 + 8 * blocks if blocks else 0)), mss


def test_what_is_told_is_never_taken_back() -> None:
    """8: we do not renege: a full buffer, a closed window, more holes than are kept change nothing of what was told."""
    stream = Stream(SACKING.replace(receive_buffer=1000, reassembly_segments=2))
    assert stream.gets(990, 1000) == "0 [990-1000]"
    assert stream.gets(100, 110) == "0 [100-110] [990-1000]"
    assert stream.gets(300, 310) == "0 [100-110] [990-1000]"  # a third hole is not kept, and not told of
    stream.one.connection.set_option("receive_buffer", 10, 0)
    assert stream.gets(995, 1010) == "0 [995-1000] [990-1000] [100-110]"
    assert stream.gets(0, 100) == "110 [990-1000]"
    assert stream.gets(110, 990) == "1000"
    assert stream.read() == text(0, 1000)


def test_only_what_fits_the_window_is_held_and_told() -> None:
    """4: a block says what is in the queue: what was cut off is not."""
    stream = Stream(SACKING.replace(receive_buffer=1000))
    assert stream.gets(900, 1100) == "0 [900-1000]"


def test_answers_that_wait_name_each_its_own_segment_first() -> None:
    """4: a driver may hand over several segments before it transmits; each ACK still names first what caused it."""
    stream = Stream()
    for place in (100, 300, 200):
        stream.hears(place, place + 10)
    assert stream.says() == (
        "0 [100-110] [200-210] [300-310]; 0 [300-310] [100-110] [200-210]; 0 [200-210] [300-310] [100-110]"
    )
    stream.hears(110, 120)
    stream.hears(0, 100)
    assert stream.says() == "120 [200-210] [300-310]"  # the hole was filled before the first could leave


# --- FIN


def test_a_fin_behind_what_is_held_counts_as_held() -> None:
    """3: edges are sequence numbers, and a FIN has one (RFC 9293 3.4); it is kept with the run before it."""
    stream = Stream()
    assert stream.fin(100, 110) == "0 [100-111]"
    assert stream.gets(50, 60) == "0 [50-60] [100-111]"
    assert stream.gets(60, 100) == "0 [50-111]"
    assert stream.gets(0, 50) == "111"
    assert stream.one.connection.state is State.CLOSE_WAIT


def test_a_fin_alone_is_told_by_the_ack_that_it_causes() -> None:
    """4: first the segment that caused the ACK, a FIN too; later ACKs tell of it once a run reaches it."""
    stream = Stream()
    assert stream.fin(100, 100) == "0 [100-101]"
    assert stream.gets(50, 60) == "0 [50-60]"
    assert stream.gets(90, 100) == "0 [90-101] [50-60]"
    assert stream.gets(55, 56) == "0 [55-56] [50-60] [90-101]"
    assert stream.fin(100, 100) == "0 [90-101] [50-60]"
    assert stream.gets(0, 50) == "60 [90-101]"
    assert stream.gets(60, 90) == "101"


def test_a_fin_that_ends_the_hole_ends_the_blocks() -> None:
    """4: after the peer's FIN nothing is held."""
    stream = Stream()
    stream.fin(10, 20)
    assert stream.gets(0, 10) == "21"
    stream.one.connection.write(b"x", 0)
    assert stream.says() == "21"


# --- 7: the examples


def test_example_case_1_the_last_four_of_eight_are_lost() -> None:
    """7, case 1: nothing is held, so no option."""
    stream = Stream(first=5000)
    assert [stream.gets(place, place + 500) for place in range(5000, 7000, 500)] == ["5500", "6000", "6500", "7000"]


def test_example_case_2_the_first_of_eight_is_lost() -> None:
    """7, case 2."""
    stream = Stream(first=5000)
    assert [stream.gets(place, place + 500) for place in range(5500, 9000, 500)] == [
        "5000 [5500-6000]", "5000 [5500-6500]", "5000 [5500-7000]", "5000 [5500-7500]", "5000 [5500-8000]",
        "5000 [5500-8500]", "5000 [5500-9000]",
    ]  # fmt: skip


def test_example_case_3_every_second_is_lost_and_two_come_late() -> None:
    """7, case 3, with the fourth segment and then the second, which arrive out of order."""
    stream = Stream(first=5000)
    assert stream.gets(5000, 5500) == "5500"
    assert stream.gets(6000, 6500) == "5500 [6000-6500]"
    assert stream.gets(7000, 7500) == "5500 [7000-7500] [6000-6500]"
    assert stream.gets(8000, 8500) == "5500 [8000-8500] [7000-7500] [6000-6500]"
    assert stream.gets(6500, 7000) == "5500 [6000-7500] [8000-8500]"
    assert stream.gets(5500, 6000) == "7500 [8000-8500]"


# --- what the peer tells


def test_the_peers_blocks_are_read_and_not_used() -> None:
    """5: the sender's half is not built: an ACK with blocks does what it does without."""
    logs = []
    for sacks in ((), ((ISS + 1461, ISS + 2921),)):
        one = established(SACKING)
        one.connection.write(bytes(6000), 0)
        one.out()
        log = []
        for _ in range(4):
            segment = Segment(IRS + 1, ISS + 1, ACK, 60_000)
            segment.sacks = sacks
            log.append(one.take(segment))
        logs.append(log)
    assert logs[0] == logs[1]


@pytest.mark.parametrize("config", [SACKING, STAMPED])
def test_an_idle_connection_keeps_nothing_for_sack(config: TcpConfig) -> None:
    """4: the order of the blocks is kept with the runs, and nothing before the first hole and after the last."""
    one = established(config)
    assert one.connection.receiver.reassembly is None
    stream = Stream(one=one)
    stream.gets(10, 20)
    stream.gets(0, 10)
    assert one.connection.receiver.reassembly is None
    assert one.connection.replies is None


def test_a_reset_has_no_blocks() -> None:
    """3: they belong to an acknowledgment of an established connection."""
    stream = Stream()
    stream.gets(10, 20)
    stream.one.connection.abort(0)
    assert last(stream.one).sacks == ()
