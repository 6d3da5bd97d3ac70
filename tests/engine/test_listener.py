"""LISTEN, half-open records and the accept queue: RFC 9293 3.10.7.2, 3.10.7.4 (SYN-RECEIVED), 3.10.4; RFC 5961; RFC 7323 5."""

import pytest

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.counts import COUNTS, ListenerCounts
from synfin.engine.errors import DropReason, UsageError
from synfin.engine.listener import Listener
from synfin.engine.observe import Observer
from synfin.engine.path import PathError
from synfin.engine.segment import (
    ACK,
    ACK_CHALLENGE,
    ACK_DUPLICATE,
    FIN,
    RESET_ACCEPT_QUEUE,
    RESET_BAD_ACK,
    RETRANSMIT_HANDSHAKE,
    RST,
    SYN,
    SYN_ACK,
    Outgoing,
    Segment,
)  # fmt: skip
from synfin.engine.seq import MASK
from synfin.engine.state import State, Trigger
from synfin.watch.sample import COUNTS as SAMPLE_COUNTS
from tests.engine.harness import B_KEY, PLAIN, SECOND, shown

KEY = bytes(4) + bytes((10, 0, 0, 2)) + bytes(2) + b"\0\x50"
MS = 1_000_000


class Notes(Observer):
    """What the listener and its connections told."""

    def __init__(self) -> None:
        self.moves: list[tuple[bytes, State, Trigger, State]] = []
        self.drops: list[DropReason] = []

    def state_changed(self, now: int, key: bytes, old: State, trigger: Trigger, new: State) -> None:
        self.moves.append((key, old, trigger, new))

    def dropped(self, now: int, key: bytes, reason: DropReason, segment: Segment | None) -> None:
        self.drops.append(reason)


class Desk:
    """A listener whose ISN is 300 and whose timestamp offset is 5,000."""

    def __init__(self, config: TcpConfig = PLAIN, backlog: int = 8, accept_limit: int = 8, isn: int = 300) -> None:
        self.notes = Notes()
        self.listener = Listener(
            KEY, config, backlog=backlog, accept_limit=accept_limit, mtu=1500, isn=lambda key, now: isn,
            ts_offset=lambda key: 5000, observer=self.notes,
        )  # fmt: skip
        self.listener.listen(0)
        self.now = 0
        self.born: Connection | None = None

    def out(self) -> list[Outgoing]:
        replies, self.listener.replies = self.listener.replies, []
        return [out for _, out in replies]

    def take(self, segment: Segment, key: bytes = B_KEY, above: int = -1) -> list[str]:
        """What the listener answers to `segment`; `born` is the connection made of it."""
        self.born = self.listener.receive_from(key, segment, self.now, above)
        return [shown(out) for out in self.out()]

    def at(self, now: int) -> list[str]:
        self.now = now
        self.listener.handle_timers(now)
        return [shown(out) for out in self.out()]

    def half_open(self) -> list[tuple[bytes, int]]:
        """Key, and how often the SYN,ACK was repeated."""
        return [(key, syn_acks - 1) for key, _, syn_acks in self.listener.half_open_entries(self.now)]


def syn(seq: int = 100, **options: int) -> Segment:
    segment = Segment(seq, 0, SYN, 2000)
    segment.mss = options.get("mss", 1460)
    segment.wscale = options.get("wscale", -1)
    if "tsval" in options:
        segment.has_timestamps, segment.tsval = True, options["tsval"]
    return segment


def stamped(segment: Segment, tsval: int, tsecr: int = 0) -> Segment:
    segment.has_timestamps, segment.tsval, segment.tsecr = True, tsval, tsecr
    return segment


# --- LISTEN


def test_a_passive_open_moves_from_closed_to_listen() -> None:
    desk = Desk()
    assert desk.notes.moves == [(KEY, State.CLOSED, Trigger.PASSIVE_OPEN, State.LISTEN)]
    with pytest.raises(UsageError, match="new listener"):
        desk.listener.listen(0)


def test_in_listen_a_reset_is_ignored() -> None:
    desk = Desk()
    assert desk.take(Segment(100, 0, RST, 0)) == []
    assert desk.take(Segment(100, 7, RST | ACK, 0)) == []
    assert desk.notes.drops == [DropReason.RST_IGNORED, DropReason.RST_IGNORED]


@pytest.mark.parametrize("flags", [ACK, SYN | ACK, FIN | ACK])
def test_in_listen_an_ack_is_answered_by_a_reset_with_its_number(flags: int) -> None:
    desk = Desk()
    desk.listener.receive_from(B_KEY, Segment(100, 777, flags, 0), 0)
    (reset,) = desk.out()
    assert (reset.flags, reset.seq, reset.reason) == (RST, 777, RESET_BAD_ACK)
    assert desk.half_open() == []


@pytest.mark.parametrize("flags", [0, FIN])
def test_in_listen_a_segment_with_none_of_rst_ack_syn_is_dropped(flags: int) -> None:
    desk = Desk()
    assert desk.take(Segment(100, 0, flags, 0, b"x")) == []
    assert desk.notes.drops == [DropReason.NO_FLAGS]


def test_a_syn_makes_a_record_and_is_answered_by_a_syn_ack() -> None:
    desk = Desk()
    assert desk.take(syn()) == ["SYN,ACK seq=300 ack=101"]
    assert desk.half_open() == [(B_KEY, 0)]
    assert desk.notes.moves[1:] == [(B_KEY, State.LISTEN, Trigger.SYN, State.SYN_RECEIVED)]
    assert desk.listener.state is State.LISTEN
    assert desk.listener.readable() == 0


def test_data_and_fin_on_a_syn_are_dropped_and_counted_and_only_the_syn_is_acknowledged() -> None:
    desk = Desk()
    segment = syn()
    segment.payload, segment.flags = b"early", SYN | FIN
    assert desk.take(segment) == ["SYN,ACK seq=300 ack=101"]
    assert desk.notes.drops == [DropReason.DATA_ON_SYN]


# --- the SYN,ACK's options and window


def test_the_syn_ack_has_options_only_where_the_syn_offered_them() -> None:
    desk = Desk(TcpConfig())
    desk.listener.receive_from(B_KEY, syn(), 7 * MS)
    (out,) = desk.out()
    assert (out.mss, out.wscale, out.has_timestamps, out.sack_permitted) == (1460, -1, False, False)
    assert (out.window, out.reason) == (65_535, SYN_ACK)
    other = B_KEY[:8] + b"\xc0\x01" + B_KEY[10:]
    offer = syn(wscale=7, tsval=9000)
    offer.sack_permitted = True
    desk.listener.receive_from(other, offer, 7 * MS)
    (out,) = desk.out()
    assert (out.mss, out.wscale, out.has_timestamps, out.sack_permitted) == (1460, 3, True, False)
    assert (out.tsval, out.tsecr, out.window) == (5007, 9000, 65_535)


def test_a_configuration_without_options_agrees_to_none() -> None:
    desk = Desk(PLAIN)
    desk.listener.receive_from(B_KEY, syn(wscale=7, tsval=9000), 0)
    (out,) = desk.out()
    assert (out.wscale, out.has_timestamps) == (-1, False)


def test_the_window_of_a_syn_ack_is_a_small_buffer_unscaled() -> None:
    desk = Desk(TcpConfig(receive_buffer=3000))
    desk.listener.receive_from(B_KEY, syn(wscale=7), 0)
    (out,) = desk.out()
    assert (out.window, out.wscale) == (3000, 0)


def test_over_ipv6_the_mss_is_20_bytes_less() -> None:
    desk = Desk()
    key = bytes(15) + b"\2" + bytes(15) + b"\1" + b"\xc0\0\0\x50"
    desk.listener.receive_from(key, syn(), 0)
    (out,) = desk.out()
    assert out.mss == 1440


# --- the ACK


def test_the_final_ack_makes_an_established_connection_that_accept_returns() -> None:
    desk = Desk()
    desk.take(syn())
    assert desk.take(Segment(101, 301, ACK, 4000)) == []
    connection = desk.born
    assert connection is not None
    assert connection.state is State.ESTABLISHED
    assert connection.passive
    assert (connection.sender.snd_una, connection.sender.snd_nxt, connection.receiver.rcv_nxt) == (301, 301, 101)
    assert connection.sender.snd_wnd == 4000
    assert desk.half_open() == []
    assert desk.listener.half_open == 0
    assert desk.notes.moves[2:] == [(B_KEY, State.SYN_RECEIVED, Trigger.ACK_OF_SYN, State.ESTABLISHED)]
    assert desk.listener.readable() == 1
    assert desk.listener.accept(0) is connection
    assert desk.listener.accept(0) is None


def test_data_and_fin_on_the_third_segment_are_taken() -> None:
    desk = Desk()
    desk.take(syn())
    desk.take(Segment(101, 301, ACK | FIN, 4000, b"hello"))
    connection = desk.born
    assert connection is not None
    assert connection.read(100, 0) == b"hello"
    assert connection.peer_closed
    assert connection.state is State.CLOSE_WAIT
    out: list[Outgoing] = []
    connection.transmit(0, out, 1 << 20)
    assert [shown(segment) for segment in out] == ["ACK seq=301 ack=107"]


def test_options_of_the_syn_reach_the_connection() -> None:
    desk = Desk(TcpConfig())
    desk.take(syn(mss=1000, wscale=5, tsval=9000))
    desk.take(stamped(Segment(101, 301, ACK, 100), 9001, 5000))
    connection = desk.born
    assert connection is not None
    assert connection.sender.mss == 988  # 1000 less the timestamp option
    assert connection.sender.snd_wnd == 100 << 5
    assert connection.agreed_timestamps
    assert connection.ts_recent == 9001
    assert connection.timestamp(0) == 5000


def test_the_round_trip_of_a_syn_ack_sent_once_is_the_first_sample() -> None:
    desk = Desk()
    desk.now = 10 * MS
    desk.take(syn())
    desk.now = 60 * MS
    desk.take(Segment(101, 301, ACK, 4000))
    assert desk.born is not None
    assert desk.born.sender.rtt.srtt == 50 * MS


@pytest.mark.parametrize("by", ["timer", "duplicate SYN"])
def test_the_ack_of_a_repeated_syn_ack_gives_no_sample(by: str) -> None:
    desk = Desk()
    desk.take(syn())
    if by == "timer":
        desk.at(SECOND)
    else:
        desk.take(syn())
    desk.take(Segment(101, 301, ACK, 4000))
    assert desk.born is not None
    assert desk.born.handshake_lost
    assert desk.born.sender.rtt.srtt == -1


@pytest.mark.parametrize("ack", [300, 302, 0])
def test_an_unacceptable_ack_in_syn_received_is_answered_by_a_reset_and_the_record_stays(ack: int) -> None:
    desk = Desk()
    desk.take(syn())
    desk.listener.receive_from(B_KEY, Segment(101, ack, ACK, 4000), 0)
    (reset,) = desk.out()
    assert (reset.flags, reset.seq, reset.reason) == (RST, ack, RESET_BAD_ACK)
    assert desk.half_open() == [(B_KEY, 0)]
    desk.take(Segment(101, 301, ACK, 4000))
    assert desk.born is not None


def test_a_segment_without_ack_in_syn_received_is_dropped() -> None:
    desk = Desk()
    desk.take(syn())
    assert desk.take(Segment(101, 301, 0, 4000, b"x")) == []
    assert desk.notes.drops == [DropReason.ACK_MISSING]


# --- the record's other checks


def test_the_same_syn_again_is_answered_by_the_same_syn_ack() -> None:
    desk = Desk()
    desk.take(syn())
    desk.listener.receive_from(B_KEY, syn(), 0)
    (again,) = desk.out()
    assert (shown(again), again.reason) == ("SYN,ACK seq=300 ack=101", RETRANSMIT_HANDSHAKE)
    assert desk.half_open() == [(B_KEY, 1)]


def test_a_repeated_syn_is_echoed_with_its_newer_timestamp() -> None:
    desk = Desk(TcpConfig())
    desk.take(syn(tsval=9000))
    desk.listener.receive_from(B_KEY, syn(tsval=10_000), 0)
    (again,) = desk.out()
    assert again.tsecr == 10_000


@pytest.mark.parametrize(
    ("seq", "payload"), [(100, b""), (101 + 65_535, b""), (101 - 10, b"0123456789"), (99, b""), (0xFFFF_0000, b"")]
)
def test_what_is_outside_the_window_of_a_record_is_answered_by_an_ack(seq: int, payload: bytes) -> None:
    desk = Desk()
    desk.take(syn())
    desk.listener.receive_from(B_KEY, Segment(seq, 301, ACK, 0, payload), 0)
    (out,) = desk.out()
    assert (shown(out), out.reason, out.window) == ("ACK seq=301 ack=101", ACK_DUPLICATE, 65_535)
    assert desk.notes.drops == [DropReason.OUT_OF_WINDOW]


@pytest.mark.parametrize(("seq", "payload"), [(101 + 65_534, b""), (101 - 9, b"0123456789"), (101 - 10, b"0123456789A")])
def test_what_is_partly_inside_the_window_of_a_record_is_taken(seq: int, payload: bytes) -> None:
    desk = Desk()
    desk.take(syn())
    desk.take(Segment(seq, 301, ACK, 0, payload))
    assert desk.born is not None


def test_the_ack_of_a_record_has_a_scaled_window_and_timestamps() -> None:
    desk = Desk(TcpConfig())
    desk.take(syn(wscale=2, tsval=9000))
    desk.listener.receive_from(B_KEY, stamped(Segment(99, 301, ACK, 0), 9000), 3 * MS)
    (out,) = desk.out()
    assert (out.window, out.tsval, out.tsecr) == (65_535 >> 3, 5003, 9000)


def test_a_record_does_not_answer_for_ever() -> None:
    desk = Desk()
    desk.take(syn())
    answers = [desk.take(Segment(99, 301, ACK, 0)) for _ in range(30)]
    assert answers == [["ACK seq=301 ack=101"]] * 10 + [[]] * 20
    desk.at(SECOND)
    assert desk.take(Segment(99, 301, ACK, 0)) == ["ACK seq=301 ack=101"]


def test_an_exact_reset_returns_a_record_to_listen() -> None:
    desk = Desk()
    desk.take(syn())
    assert desk.take(Segment(101, 0, RST, 0)) == []
    assert desk.half_open() == []
    assert desk.notes.moves[2:] == [(B_KEY, State.SYN_RECEIVED, Trigger.RESET_TO_LISTEN, State.LISTEN)]
    assert desk.listener.state is State.LISTEN
    assert desk.take(syn(500)) == ["SYN,ACK seq=300 ack=501"]


def test_an_inexact_reset_in_the_window_is_challenged_and_one_outside_is_dropped() -> None:
    desk = Desk()
    desk.take(syn())
    desk.listener.receive_from(B_KEY, Segment(102, 0, RST, 0), 0)
    (out,) = desk.out()
    assert (shown(out), out.reason) == ("ACK seq=301 ack=101", ACK_CHALLENGE)
    assert desk.take(Segment(100, 0, RST, 0)) == []
    assert desk.take(Segment(101 + 65_535, 0, RST, 0)) == []
    assert desk.notes.drops == [DropReason.RST_NOT_EXACT, DropReason.RST_OUT_OF_WINDOW, DropReason.RST_OUT_OF_WINDOW]
    assert desk.half_open() == [(B_KEY, 0)]


def test_another_syn_in_the_window_returns_a_record_to_listen() -> None:
    desk = Desk()
    desk.take(syn(100))
    assert desk.take(syn(150)) == []
    assert desk.half_open() == []
    assert desk.take(syn(150)) == ["SYN,ACK seq=300 ack=151"]


def test_another_syn_outside_the_window_is_answered_by_an_ack() -> None:
    desk = Desk()
    desk.take(syn(100))
    assert desk.take(syn(90)) == ["ACK seq=301 ack=101"]
    assert desk.half_open() == [(B_KEY, 0)]


def test_paws_stands_before_the_sequence_check_of_a_record() -> None:
    desk = Desk(TcpConfig())
    desk.take(syn(tsval=9000))
    assert desk.take(stamped(Segment(101, 301, ACK, 100), 8999)) == ["ACK seq=301 ack=101"]
    assert desk.take(Segment(101, 301, ACK, 100)) == []  # agreed and missing: RFC 7323 3.2
    assert desk.notes.drops == [DropReason.PAWS, DropReason.PAWS]
    assert desk.born is None
    desk.take(Segment(101, 0, RST, 0))  # a reset needs none
    assert desk.half_open() == []


def test_sequence_numbers_of_a_record_wrap() -> None:
    desk = Desk(isn=MASK)
    assert desk.take(syn(MASK)) == [f"SYN,ACK seq={MASK} ack=0"]
    desk.take(Segment(0, 0, ACK, 4000, b"abc"))
    assert desk.born is not None
    assert desk.born.read(10, 0) == b"abc"


# --- timers


def test_a_syn_ack_is_repeated_at_1_3_7_15_and_31_s_and_the_record_dies_at_63_s() -> None:
    desk = Desk()
    desk.take(syn())
    heard = []
    while (deadline := desk.listener.next_deadline()) != NEVER:
        for text in desk.at(deadline):
            heard.append((deadline // SECOND, text))
    assert heard == [(when, "SYN,ACK seq=300 ack=101") for when in (1, 3, 7, 15, 31)]
    assert desk.now == 63 * SECOND
    assert desk.notes.moves[2:] == [(B_KEY, State.SYN_RECEIVED, Trigger.GIVE_UP, State.CLOSED)]
    assert desk.half_open() == []
    assert desk.listener.half_open == 0


def test_each_record_has_its_own_time() -> None:
    desk = Desk(backlog=100)
    for i in range(50):
        desk.now = i * 100 * MS
        desk.listener.handle_timers(desk.now)
        desk.take(syn(), B_KEY[:8] + bytes((0xC0, i)) + B_KEY[10:])
    assert len(desk.half_open()) == 50
    repeats = dict(desk.half_open())
    now = desk.now
    for i in range(50):
        age = now - i * 100 * MS
        expected = 0 if age < SECOND else 1 if age < 3 * SECOND else 2
        assert repeats[B_KEY[:8] + bytes((0xC0, i)) + B_KEY[10:]] == expected
    while (deadline := desk.listener.next_deadline()) != NEVER:
        desk.at(deadline)
    assert desk.now == 49 * 100 * MS + 63 * SECOND


def test_the_repeated_syn_ack_has_the_clock_of_its_own_moment() -> None:
    desk = Desk(TcpConfig())
    desk.take(syn(tsval=9000))
    desk.listener.handle_timers(SECOND)
    (out,) = desk.out()
    assert (out.tsval, out.tsecr, out.reason) == (6000, 9000, RETRANSMIT_HANDSHAKE)


def test_a_listener_without_records_has_no_deadline() -> None:
    desk = Desk()
    assert desk.listener.next_deadline() == NEVER
    desk.listener.receive_from(B_KEY, syn(), 0)
    assert desk.listener.next_deadline() == 0  # a reply waits
    desk.out()
    assert desk.listener.next_deadline() == SECOND
    desk.take(Segment(101, 301, ACK, 0))
    desk.at(SECOND)
    assert desk.listener.next_deadline() == NEVER


# --- limits


def keys(count: int) -> list[bytes]:
    return [B_KEY[:8] + (0xC000 + i).to_bytes(2, "big") + B_KEY[10:] for i in range(count)]


def test_a_full_syn_queue_drops_a_syn_silently() -> None:
    desk = Desk(backlog=2)
    a, b, c = keys(3)
    assert len(desk.take(syn(), a)) == len(desk.take(syn(), b)) == 1
    assert desk.take(syn(), c) == []
    assert desk.notes.drops == [DropReason.SYN_QUEUE_FULL]
    assert desk.take(syn(), a) == ["SYN,ACK seq=300 ack=101"]  # those that are in stay in
    desk.take(Segment(101, 301, ACK, 0), a)
    assert desk.take(syn(), c) == ["SYN,ACK seq=300 ack=101"]


def test_an_accept_queue_is_full_when_it_holds_more_than_its_limit() -> None:
    desk = Desk(accept_limit=1)
    made = []
    for key in keys(4):
        desk.take(syn(), key)
    for key in keys(4):
        assert desk.take(Segment(101, 301, ACK, 0), key) == []
        made.append(desk.born)
    assert [connection is not None for connection in made] == [True, True, False, False]
    assert desk.notes.drops == [DropReason.ACCEPT_QUEUE_FULL] * 2
    assert desk.half_open() == [(keys(4)[2], 0), (keys(4)[3], 0)]
    desk.take(syn(), keys(5)[4])  # nor is a new SYN taken meanwhile
    assert desk.notes.drops == [DropReason.ACCEPT_QUEUE_FULL] * 3
    assert desk.listener.accept(0) is made[0]
    desk.at(SECOND)  # the SYN,ACK again, and so the peer's ACK again
    desk.take(Segment(101, 301, ACK, 0), keys(4)[2])
    assert desk.born is not None


def test_the_oldest_entry_makes_room_where_configured() -> None:
    desk = Desk(PLAIN.replace(syn_queue_policy="oldest"), backlog=2)
    a, b, c = keys(3)
    desk.take(syn(), a)
    desk.at(SECOND)  # a's SYN,ACK is repeated: its timer is now later than that of b
    desk.take(syn(), b)
    assert desk.take(syn(), c) == ["SYN,ACK seq=300 ack=101"]
    assert desk.notes.moves[-2:] == [
        (a, State.SYN_RECEIVED, Trigger.ABORT, State.CLOSED),
        (c, State.LISTEN, Trigger.SYN, State.SYN_RECEIVED),
    ]
    assert desk.half_open() == [(b, 0), (c, 0)]
    assert desk.take(Segment(101, 301, ACK, 0), a) == ["RST seq=301"]
    assert desk.notes.drops == [DropReason.ACK_UNACCEPTABLE]
    assert counted(desk) == {"syns": 3, "syn_ack_repeats": 1, "evicted": 1}


def test_a_queue_for_nobody_has_no_oldest_entry() -> None:
    desk = Desk(PLAIN.replace(syn_queue_policy="oldest"), backlog=0)
    assert desk.take(syn()) == []
    assert counted(desk) == {"syns": 1, "syn_queue_drops": 1}


def test_a_final_ack_that_finds_the_accept_queue_full_is_reset_where_configured() -> None:
    desk = Desk(PLAIN.replace(accept_overflow="reset"), accept_limit=0)
    a, b = keys(2)
    for key in (a, b):
        desk.take(syn(), key)
    desk.take(Segment(101, 301, ACK, 0), a)
    desk.listener.receive_from(b, Segment(101, 301, ACK, 0), 0)
    (reset,) = desk.out()
    assert (shown(reset), reset.reason) == ("RST seq=301", RESET_ACCEPT_QUEUE)
    assert desk.notes.moves[-1] == (b, State.SYN_RECEIVED, Trigger.ABORT, State.CLOSED)
    assert (desk.half_open(), desk.notes.drops) == ([], [DropReason.ACCEPT_QUEUE_FULL])


# --- counts


def counted(desk: Desk) -> dict[str, int]:
    return {name: count for name, count in desk.listener.counts.as_dict().items() if count}


def test_every_end_of_a_half_open_entry_is_counted() -> None:
    desk = Desk()
    a, b, c = keys(3)
    for key in (a, b, c):
        desk.take(syn(), key)
    desk.take(syn(), c)
    desk.take(Segment(101, 301, ACK, 0), a)
    desk.take(Segment(101, 0, RST, 0), b)
    assert counted(desk) == {"syns": 4, "syn_ack_repeats": 1, "completed": 1, "resets": 1}
    while (deadline := desk.listener.next_deadline()) != NEVER:
        desk.at(deadline)
    assert counted(desk) == {"syns": 4, "syn_ack_repeats": 6, "completed": 1, "resets": 1, "expired": 1}


def test_a_syn_with_ack_or_rst_is_no_syn_to_count() -> None:
    desk = Desk()
    for flags in (SYN | ACK, SYN | RST, ACK, 0):
        desk.take(Segment(100, 0, flags, 0))
    assert counted(desk) == {}


def test_counts_add_up() -> None:
    one, other = ListenerCounts(), ListenerCounts()
    for number, name in enumerate(COUNTS):
        setattr(one, name, number)
        setattr(other, name, 100)
    one.add(other)
    assert one.as_dict() == {name: 100 + number for number, name in enumerate(COUNTS)}
    assert set(other.as_dict().values()) == {100}


def test_the_names_of_the_counts_are_those_of_a_sample() -> None:
    assert COUNTS == SAMPLE_COUNTS


# --- a late driver, and a crowd


def test_a_late_driver_lengthens_no_life_and_repeats_once_for_what_it_missed() -> None:
    desk = Desk()
    desk.take(syn())
    assert desk.at(8 * SECOND) == ["SYN,ACK seq=300 ack=101"]  # for 1, 3 and 7 s
    assert desk.listener.next_deadline() == 15 * SECOND
    assert desk.at(63 * SECOND - 1) == ["SYN,ACK seq=300 ack=101"]
    assert desk.at(63 * SECOND) == []
    assert counted(desk) == {"syns": 1, "syn_ack_repeats": 2, "expired": 1}


def test_of_a_crowd_some_are_served_at_a_time() -> None:
    desk = Desk(backlog=3000)
    for number in range(3000):
        desk.take(syn(), B_KEY[:8] + number.to_bytes(2, "big") + B_KEY[10:])
    waves = []
    while desk.listener.next_deadline() <= SECOND:
        waves.append(len(desk.at(SECOND)))
    assert waves == [1024, 1024, 952]
    assert {syn_acks for _, _, syn_acks in desk.listener.half_open_entries(SECOND)} == {2}


# --- ICMP about a record (RFC 9293 3.9.2.2, RFC 5927 4.1)


@pytest.mark.parametrize("kind", list(PathError))
def test_a_hard_error_that_names_our_syn_ack_ends_a_record_and_a_soft_one_does_not(kind: PathError) -> None:
    desk = Desk()
    desk.take(syn())
    hard = kind in (PathError.PORT_UNREACHABLE, PathError.PROTOCOL_UNREACHABLE, PathError.PROHIBITED)
    for key, seq in ((B_KEY, 299), (B_KEY, 301), (keys(2)[1], 300)):
        assert not desk.listener.path_error(key, kind, seq, 0), "names nothing of ours in flight"
    assert desk.half_open() == [(B_KEY, 0)]
    assert desk.listener.path_error(B_KEY, kind, 300, 0) is (kind is not PathError.TOO_BIG)
    assert desk.half_open() == ([] if hard else [(B_KEY, 0)])
    assert (desk.notes.moves[-1] == (B_KEY, State.SYN_RECEIVED, Trigger.ABORT, State.CLOSED)) is hard


def test_a_soft_error_ends_a_record_where_configured() -> None:
    desk = Desk(PLAIN.replace(unreachable_ends_opening=True))
    desk.take(syn())
    assert desk.listener.path_error(B_KEY, PathError.HOST_UNREACHABLE, 300, 0)
    assert desk.half_open() == []


# --- close


def test_close_forgets_records_and_resets_what_nobody_accepted() -> None:
    desk = Desk()
    a, b, c = keys(3)
    for key in (a, b, c):
        desk.take(syn(), key)
    for key in (a, b):
        desk.take(Segment(101, 301, ACK, 0), key)
    accepted = desk.listener.accept(0)
    desk.notes.moves.clear()
    desk.listener.close(0)
    assert desk.listener.state is State.CLOSED
    assert desk.notes.moves == [
        (c, State.SYN_RECEIVED, Trigger.ABORT, State.CLOSED),
        (b, State.ESTABLISHED, Trigger.ABORT, State.CLOSED),
        (KEY, State.LISTEN, Trigger.CLOSE, State.CLOSED),
    ]
    assert accepted is not None
    assert accepted.state is State.ESTABLISHED
    (abandoned,) = desk.listener.abandoned
    out: list[Outgoing] = []
    abandoned.transmit(0, out, 1 << 20)
    assert [shown(segment) for segment in out] == ["RST,ACK seq=301 ack=101"]
    assert desk.listener.next_deadline() == NEVER
    assert desk.take(syn(), a) == []
    desk.listener.close(0)


def test_a_connection_that_was_reset_before_accept_is_still_returned() -> None:
    desk = Desk()
    desk.take(syn())
    desk.take(Segment(101, 301, ACK, 0))
    connection = desk.born
    assert connection is not None
    connection.receive(Segment(101, 0, RST, 0), 0)
    assert desk.listener.accept(0) is connection


# --- reuse and size


@pytest.mark.parametrize(
    ("isn", "above", "iss"),
    [(5000, 4999, 5000), (5000, 5000, 133_000), (5000, 9000, 137_000), (10, MASK, 10), (MASK, 5, 128_005)],
)
def test_a_syn_that_reopens_gets_a_number_above_the_old_connections(isn: int, above: int, iss: int) -> None:
    desk = Desk(isn=isn)
    assert desk.take(syn(), above=above) == [f"SYN,ACK seq={iss} ack=101"]


def test_a_segment_that_comes_from_nowhere_is_dropped() -> None:
    desk = Desk()
    desk.listener.receive(Segment(0, 0, SYN, 0), 0)
    assert (desk.notes.drops, desk.out()) == ([DropReason.SOURCE_ADDRESS], [])


def test_segments_of_a_listener_leave_by_its_replies() -> None:
    with pytest.raises(UsageError, match="replies"):
        Desk().listener.transmit(0, [], 0)
