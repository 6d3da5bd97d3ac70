"""SYN cookies, RFC 4987 3.6: what a cookie carries, how long it counts, and a listener that keeps nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synfin.engine.config import TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.cookies import LIFETIME, MSS_TABLE, NO_TIMESTAMPS, STEP, Cookies, timestamp
from synfin.engine.errors import DropReason
from synfin.engine.listener import Listener
from synfin.engine.segment import (
    ACK,
    FIN,
    PSH,
    RESET_ACCEPT_QUEUE,
    RESET_BAD_ACK,
    RST,
    SYN,
    SYN_ACK,
    SYN_ACK_COOKIE,
    Outgoing,
    Segment,
)  # fmt: skip
from synfin.engine.seq import HALF, MASK
from synfin.engine.state import State, Trigger
from tests.engine.harness import B_KEY, PLAIN, SECOND, shown
from tests.engine.test_listener import KEY, MS, Desk, keys, stamped, syn

SECRET = b"sixteen bytes..."
IRS = 100
B_KEY6 = bytes(15) + b"\2" + bytes(15) + b"\1" + b"\xc0\0\0\x50"
DEFAULT = TcpConfig(syn_cookies="always")

now_values = st.integers(0, 1 << 50)
key_values = st.one_of(st.binary(min_size=12, max_size=12), st.binary(min_size=36, max_size=36))


# --- the cookie itself


@given(key=key_values, irs=st.integers(0, MASK), mss=st.integers(28, 65_535), options=st.integers(0, 63), now=now_values,
       age=st.integers(0, STEP))  # fmt: skip
def test_a_cookie_gives_the_largest_mss_of_the_table_that_the_peer_takes(
    key: bytes, irs: int, mss: int, options: int, now: int, age: int
) -> None:
    cookies = Cookies(SECRET)
    cookie = cookies.make(key, irs, mss, options, 7, now)
    assert 0 <= cookie <= MASK
    found = cookies.check(key, irs, cookie, options, 7, now + age)
    assert found == max(size for size in MSS_TABLE if size <= mss)


def test_the_first_entry_is_the_least_that_a_host_may_take() -> None:
    cookies = Cookies(SECRET)
    for mss in (0, 1, 28, 255):
        assert cookies.check(B_KEY, 1, cookies.make(B_KEY, 1, mss, 0, 0, 0), 0, 0, 0) == 28
    assert MSS_TABLE[0] == 68 - 40, "RFC 791: every host takes 68 bytes"


@pytest.mark.parametrize("sent", [0, 1, STEP - 1, STEP, 5 * STEP + 7, 6 * STEP - 1])
def test_a_cookie_counts_in_its_step_and_in_the_next_and_no_longer(sent: int) -> None:
    cookies = Cookies(SECRET)
    cookie = cookies.make(B_KEY, IRS, 1460, NO_TIMESTAMPS, 0, sent)
    end = (sent // STEP + 2) * STEP
    assert STEP < end - sent <= LIFETIME
    for when in (sent, end - 1):
        assert cookies.check(B_KEY, IRS, cookie, NO_TIMESTAMPS, 0, when) == 1460
    for when in range(end, end + 300 * STEP, STEP):  # the parity of the step comes back, the hash does not
        assert cookies.check(B_KEY, IRS, cookie, NO_TIMESTAMPS, 0, when) == 0


def test_a_cookie_of_the_future_is_refused() -> None:
    cookies = Cookies(SECRET)
    cookie = cookies.make(B_KEY, IRS, 1460, 0, 0, STEP)
    assert cookies.check(B_KEY, IRS, cookie, 0, 0, STEP - 1) == 0


@pytest.mark.parametrize("bit", range(96))
def test_another_address_or_port_is_refused(bit: int) -> None:
    cookies = Cookies(SECRET)
    other = (int.from_bytes(B_KEY, "big") ^ 1 << bit).to_bytes(12, "big")
    for seq in range(20):
        cookie = cookies.make(B_KEY, IRS + seq, 1460, 0, 0, 0)
        assert cookies.check(other, IRS + seq, cookie, 0, 0, 0) == 0


@given(st.integers(0, 31))
def test_another_sequence_number_is_refused(bit: int) -> None:
    cookies = Cookies(SECRET)
    assert cookies.check(B_KEY, IRS ^ 1 << bit, cookies.make(B_KEY, IRS, 1460, 0, 0, 0), 0, 0, 0) == 0


@given(st.integers(0, 31))
def test_a_cookie_with_one_bit_changed_is_refused(bit: int) -> None:
    cookies = Cookies(SECRET)
    assert cookies.check(B_KEY, IRS, cookies.make(B_KEY, IRS, 1460, 0, 0, STEP) ^ 1 << bit, 0, 0, STEP) == 0


@given(st.integers(0, 127))
def test_a_cookie_of_another_secret_is_refused(bit: int) -> None:
    other = (int.from_bytes(SECRET, "big") ^ 1 << bit).to_bytes(16, "big")
    cookie = Cookies(other).make(B_KEY, IRS, 1460, 0, 0, 0)
    assert Cookies(SECRET).check(B_KEY, IRS, cookie, 0, 0, 0) == 0


def test_altered_options_and_another_scale_of_ours_are_refused() -> None:
    cookies = Cookies(SECRET)
    cookie = cookies.make(B_KEY, IRS, 1460, 0x17, 3, 0)
    found = [options for options in (*range(64), NO_TIMESTAMPS) if cookies.check(B_KEY, IRS, cookie, options, 3, 0)]
    assert found == [0x17]
    assert [shift for shift in range(15) if cookies.check(B_KEY, IRS, cookie, 0x17, shift, 0)] == [3]


def test_a_long_secret_may_be_given() -> None:
    assert Cookies(bytes(100)).make(B_KEY, 1, 1460, 0, 0, 0) == Cookies(bytes(32)).make(B_KEY, 1, 1460, 0, 0, 0)


@pytest.mark.parametrize(("width", "guesses"), [(4, 20_000), (8, 50_000), (12, 200_000)])
def test_a_shorter_hash_is_guessed_as_often_as_chance_has_it(width: int, guesses: int) -> None:
    cookies = Cookies(SECRET, width=width)
    step = 0x9E37_79B1  # odd: every number comes once
    hits = sum(cookies.check(B_KEY, IRS, n * step & MASK, 0, 0, STEP) > 0 for n in range(guesses))
    expected = guesses / (1 << width)
    assert abs(hits - expected) <= 5 * (expected * (1 - 1 / (1 << width))) ** 0.5


@given(clock=st.integers(0, MASK), options=st.integers(0, 63), later=st.integers(0, 1 << 30))
def test_a_timestamp_with_options_is_never_after_the_clock_and_never_goes_back(
    clock: int, options: int, later: int
) -> None:
    stamp = timestamp(clock, options)
    assert stamp & 63 == options
    assert (clock - stamp) & MASK <= 63
    if clock + later <= MASK:
        assert (timestamp(clock + later, options) - stamp) & MASK < HALF


# --- a listener with cookies


class CookieDesk(Desk):
    """A desk whose listener has a secret; `syn_ack` is what it answered last."""

    def __init__(self, config: TcpConfig = DEFAULT, backlog: int = 8, accept_limit: int = 8, width: int = 28) -> None:
        super().__init__(config, backlog, accept_limit)
        self.listener.cookies = Cookies(SECRET, width)

    def ask(self, segment: Segment, key: bytes = B_KEY) -> Outgoing:
        self.born = self.listener.receive_from(key, segment, self.now)
        (answer,) = self.out()
        return answer

    def counted(self) -> dict[str, int]:
        return {name: count for name, count in self.listener.counts.as_dict().items() if count}


def answer_to(syn_ack: Outgoing, payload: bytes = b"", flags: int = ACK, window: int = 4000, tsval: int = -1) -> Segment:
    """The final ACK of a peer that saw `syn_ack`."""
    segment = Segment(syn_ack.ack, (syn_ack.seq + 1) & MASK, flags, window, payload)
    return stamped(segment, tsval if tsval >= 0 else syn_ack.tsecr, syn_ack.tsval) if syn_ack.has_timestamps else segment


def offer(seq: int = IRS, mss: int = 1460, wscale: int = 7, tsval: int = 9000, sack: bool = True) -> Segment:
    segment = syn(seq, mss=mss, wscale=wscale, tsval=tsval)
    segment.sack_permitted = sack
    return segment


def born(desk: CookieDesk) -> Connection:
    assert desk.born is not None
    return desk.born


def test_always_answers_by_a_cookie_and_keeps_nothing() -> None:
    desk = CookieDesk()
    answer = desk.ask(offer())
    assert (answer.flags, answer.ack, answer.reason) == (SYN | ACK, IRS + 1, SYN_ACK_COOKIE)
    assert (answer.mss, answer.wscale, answer.window, answer.has_timestamps, answer.tsecr) == (1460, 3, 65_535, True, 9000)
    assert (desk.half_open(), desk.notes.moves[1:]) == ([], [])
    assert desk.listener.next_deadline() == (1 << 63) - 1
    assert desk.counted() == {"syns": 1, "cookies_sent": 1}


def test_off_sends_none_even_when_the_queue_is_full() -> None:
    desk = CookieDesk(TcpConfig(syn_cookies="off"), backlog=1)
    a, b = keys(2)
    assert desk.ask(offer(), a).reason == SYN_ACK
    assert desk.take(offer(), b) == []
    assert desk.notes.drops == [DropReason.SYN_QUEUE_FULL]
    assert desk.counted() == {"syns": 2, "syn_queue_drops": 1}


def test_pressure_begins_with_a_full_queue_and_ends_with_it() -> None:
    desk = CookieDesk(TcpConfig(), backlog=2)
    reasons = [desk.ask(offer(), key).reason for key in keys(4)]
    assert reasons == [SYN_ACK, SYN_ACK, SYN_ACK_COOKIE, SYN_ACK_COOKIE]
    desk.take(Segment(IRS + 1, 0, RST, 0), keys(1)[0])
    assert desk.ask(offer(), keys(5)[4]).reason == SYN_ACK
    assert desk.counted() == {"syns": 5, "cookies_sent": 2, "resets": 1}


def test_a_cookie_goes_before_the_oldest_entry() -> None:
    desk = CookieDesk(TcpConfig(syn_queue_policy="oldest"), backlog=1)
    a, b = keys(2)
    desk.ask(offer(), a)
    assert desk.ask(offer(), b).reason == SYN_ACK_COOKIE
    assert desk.half_open() == [(a, 0)]


def test_a_cookie_that_comes_back_makes_an_established_connection() -> None:
    desk = CookieDesk()
    answer = desk.ask(offer())
    desk.now = 40 * MS
    assert desk.take(answer_to(answer, window=4000)) == []
    connection = born(desk)
    assert (connection.state, connection.passive) == (State.ESTABLISHED, True)
    assert desk.listener.accept(desk.now) is connection
    sender, receiver = connection.sender, connection.receiver
    assert (sender.snd_una, sender.snd_nxt, receiver.rcv_nxt) == (answer.seq + 1, answer.seq + 1, IRS + 1)
    assert desk.notes.moves[1:] == [
        (B_KEY, State.LISTEN, Trigger.SYN, State.SYN_RECEIVED),
        (B_KEY, State.SYN_RECEIVED, Trigger.ACK_OF_SYN, State.ESTABLISHED),
    ]
    assert desk.counted() == {"syns": 1, "cookies_sent": 1, "cookies_accepted": 1, "completed": 1}


@pytest.mark.parametrize("wscale", [-1, 0, 7, 14, 200])
@pytest.mark.parametrize("tsval", [-1, 0, MASK])
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("key", [B_KEY, B_KEY6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("config", [DEFAULT, PLAIN.replace(syn_cookies="always")], ids=["default", "plain"])
def test_a_connection_has_exactly_the_options_that_the_syn_ack_agreed_to(
    wscale: int, tsval: int, sack: bool, key: bytes, config: TcpConfig
) -> None:
    desk = CookieDesk(config)
    segment = syn(IRS, mss=1300, wscale=wscale)
    segment.sack_permitted = sack
    if tsval >= 0:
        stamped(segment, tsval)
    answer = desk.ask(segment, key)
    stamps = tsval >= 0 and config.timestamps
    scaling = stamps and wscale >= 0 and config.window_scaling
    assert (answer.has_timestamps, answer.wscale) == (stamps, 3 if scaling else -1)
    desk.take(answer_to(answer, window=100), key)
    connection = born(desk)
    assert (connection.agreed_timestamps, connection.scaling) == (stamps, scaling)
    assert connection.receiver.shift == (3 if scaling else 0)
    assert connection.sender.snd_wnd == 100 << (min(wscale, 14) if scaling else 0)
    assert connection.sender.mss == 1220 - (12 if stamps else 0)  # what of 1,300 the table has
    connection.check_invariants()


def test_a_syn_without_an_mss_means_the_default() -> None:
    for key, mss in ((B_KEY, 536), (B_KEY6, 1220)):
        desk = CookieDesk(PLAIN.replace(syn_cookies="always"))
        desk.take(answer_to(desk.ask(syn(mss=-1), key)), key)
        assert born(desk).sender.mss == mss


@pytest.mark.parametrize("flags", [ACK, ACK | PSH, ACK | FIN])
def test_data_and_fin_on_the_ack_that_brings_a_cookie_back_are_taken(flags: int) -> None:
    desk = CookieDesk()
    desk.take(answer_to(desk.ask(offer()), b"hello", flags))
    connection = born(desk)
    assert connection.read(100, 0) == b"hello"
    assert connection.state is (State.CLOSE_WAIT if flags & FIN else State.ESTABLISHED)


def test_after_a_lost_ack_the_data_brings_the_cookie_back() -> None:
    desk = CookieDesk()
    answer = desk.ask(offer())
    desk.now = 30 * SECOND
    desk.take(answer_to(answer, b"again", ACK | PSH, tsval=39_000))
    assert born(desk).read(100, 0) == b"again"


# --- time


@pytest.mark.parametrize("start", [0, 17, 63, 64, 1000])
def test_no_later_timestamp_is_before_that_of_the_cookie(start: int) -> None:
    for shift in range(15):
        desk = CookieDesk()
        desk.now = start * MS
        answer = desk.ask(offer(wscale=shift))
        desk.take(answer_to(answer))
        connection = born(desk)
        connection.write(b"x", desk.now)
        out: list[Outgoing] = []
        connection.transmit(desk.now, out, 1 << 20)
        (data,) = out
        assert 0 <= (data.tsval - answer.tsval) & MASK <= 63
        assert data.tsecr == 9000


def test_paws_guards_a_connection_born_of_a_cookie() -> None:
    desk = CookieDesk()
    answer = desk.ask(offer())
    desk.take(answer_to(answer, tsval=9005))
    connection = born(desk)
    assert connection.ts_recent == 9005
    connection.receive(stamped(Segment(IRS + 1, answer.seq + 1, ACK, 100, b"old"), 9004, answer.tsval), desk.now)
    assert connection.readable() == 0
    connection.receive(stamped(Segment(IRS + 1, answer.seq + 1, ACK, 100, b"new"), 9006, answer.tsval), desk.now)
    assert connection.read(10, 0) == b"new"


def test_the_echoed_timestamp_gives_the_round_trip_never_too_short_and_by_63_ms_too_long_at_most() -> None:
    for start in range(0, 130, 7):
        desk = CookieDesk()
        desk.now = start * MS
        answer = desk.ask(offer())
        desk.now += 50 * MS
        desk.take(answer_to(answer))
        connection = born(desk)
        assert 50 * MS <= connection.sender.rtt.srtt <= 113 * MS
        assert not connection.handshake_lost


def test_an_old_echo_gives_no_round_trip_and_no_loss_is_assumed() -> None:
    desk = CookieDesk()
    answer = desk.ask(offer())
    desk.now = 60 * SECOND
    desk.take(answer_to(answer, b"x"))
    rtt = born(desk).sender.rtt
    assert (rtt.srtt, rtt.rto, born(desk).handshake_lost) == (-1, SECOND, False)
    fresh = CookieDesk()
    fresh.take(answer_to(fresh.ask(offer())))
    assert born(desk).sender.congestion.cwnd == born(fresh).sender.congestion.cwnd


def test_without_timestamps_there_is_no_round_trip() -> None:
    desk = CookieDesk(PLAIN.replace(syn_cookies="always"))
    answer = desk.ask(syn())
    desk.now = 40 * MS
    desk.take(answer_to(answer))
    rtt = born(desk).sender.rtt
    assert (rtt.srtt, rtt.rto) == (-1, SECOND)


def test_a_repeated_syn_gets_the_same_cookie_and_a_timestamp_that_does_not_go_back() -> None:
    desk = CookieDesk()
    first = desk.ask(offer())
    desk.now = SECOND
    second = desk.ask(offer(tsval=10_000))
    assert second.seq == first.seq
    assert (second.tsval - first.tsval) & MASK in range(1000 - 63, 1000 + 64)
    desk.take(answer_to(first))
    assert born(desk).state is State.ESTABLISHED


# --- what is refused


def refusal(desk: CookieDesk, segment: Segment, key: bytes = B_KEY) -> Outgoing:
    answer = desk.ask(segment, key)
    assert desk.born is None
    return answer


def test_a_wrong_cookie_is_answered_by_a_reset_and_counted() -> None:
    desk = CookieDesk()
    good = answer_to(desk.ask(offer()))
    good.ack = (good.ack + 1) & MASK
    reset = refusal(desk, good)
    assert (reset.flags, reset.seq, reset.reason) == (RST, good.ack, RESET_BAD_ACK)
    assert desk.notes.drops == [DropReason.COOKIE_REFUSED]
    assert desk.counted() == {"syns": 1, "cookies_sent": 1, "cookies_refused": 1}


def test_an_expired_cookie_is_refused_while_others_still_count() -> None:
    desk = CookieDesk()
    a, b = keys(2)
    old = desk.ask(offer(), a)
    desk.now = STEP + 1
    young = desk.ask(offer(), b)
    desk.now = 2 * STEP
    assert refusal(desk, answer_to(old), a).flags == RST
    desk.take(answer_to(young), b)
    assert born(desk).state is State.ESTABLISHED
    assert desk.counted() == {"syns": 2, "cookies_sent": 2, "cookies_refused": 1, "cookies_accepted": 1, "completed": 1}


def test_an_altered_option_in_the_echo_is_refused() -> None:
    desk = CookieDesk()
    answer = answer_to(desk.ask(offer()))
    answer.tsecr ^= 1
    assert refusal(desk, answer).flags == RST
    bare = answer_to(desk.ask(offer()))
    bare.has_timestamps = False
    assert refusal(desk, bare).flags == RST
    assert desk.counted()["cookies_refused"] == 2


class Counted(Cookies):
    """Counts its checks."""

    __slots__ = ("checks",)

    def __init__(self) -> None:
        super().__init__(SECRET)
        self.checks = 0

    def check(self, key: bytes, irs: int, cookie: int, options: int, shift: int, now: int) -> int:
        self.checks += 1
        return super().check(key, irs, cookie, options, shift, now)


def test_who_has_sent_no_cookie_lately_spends_no_hash_on_stray_acks_and_takes_none() -> None:
    desk = CookieDesk(TcpConfig(), backlog=1)
    desk.listener.cookies = cookies = Counted()
    forged = Segment(IRS + 1, (cookies.make(B_KEY, IRS, 1460, NO_TIMESTAMPS, 0, 0) + 1) & MASK, ACK, 0)
    assert refusal(desk, forged).reason == RESET_BAD_ACK
    assert (cookies.checks, desk.counted(), desk.notes.drops) == (0, {}, [DropReason.ACK_UNACCEPTABLE])
    for key in keys(2):
        answer = desk.ask(offer(), key)
    assert answer.reason == SYN_ACK_COOKIE
    refusal(desk, Segment(IRS + 1, 5, ACK, 0), keys(3)[2])
    assert cookies.checks == 1
    desk.now = LIFETIME
    refusal(desk, answer_to(answer), keys(2)[1])
    assert cookies.checks == 1
    assert desk.counted() == {"syns": 2, "cookies_sent": 1, "cookies_refused": 1}


@pytest.mark.parametrize("flags", [RST, RST | ACK, SYN | ACK, FIN, 0])
def test_only_an_ack_can_bring_a_cookie_back(flags: int) -> None:
    desk = CookieDesk()
    answer = desk.ask(offer())
    desk.take(answer_to(answer, flags=flags))
    assert desk.born is None
    desk.take(answer_to(answer))
    assert desk.born is not None


# --- a full accept queue


@pytest.mark.parametrize("overflow", ["ignore", "reset"])
def test_a_cookie_that_finds_the_accept_queue_full_waits_for_the_peers_data_or_is_reset(overflow: str) -> None:
    desk = CookieDesk(DEFAULT.replace(accept_overflow=overflow), accept_limit=0)
    answers = [desk.ask(offer(), key) for key in keys(2)]
    desk.take(answer_to(answers[0]), keys(1)[0])
    desk.listener.receive_from(keys(2)[1], answer_to(answers[1]), desk.now)
    out = desk.out()
    assert [(reset.flags, reset.seq, reset.reason) for reset in out] == (
        [(RST, answers[1].seq + 1, RESET_ACCEPT_QUEUE)] if overflow == "reset" else []
    )
    assert desk.notes.drops == [DropReason.ACCEPT_QUEUE_FULL]
    assert desk.take(offer(), keys(3)[2]) == [], "nor is a SYN taken"
    assert desk.counted() == {
        "syns": 3, "cookies_sent": 2, "cookies_accepted": 1, "completed": 1, "accept_queue_drops": 2
    }  # fmt: skip
    desk.listener.accept(0)
    desk.take(answer_to(answers[1], b"data", ACK | PSH), keys(2)[1])
    assert born(desk).read(10, 0) == b"data"


# --- cookies beside records, and TIME-WAIT


def test_a_record_made_of_a_later_syn_does_not_hide_the_cookie_of_the_first() -> None:
    desk = CookieDesk(TcpConfig(), backlog=1)
    a, b = keys(2)
    desk.ask(offer(), a)
    cookie = desk.ask(offer(), b)
    desk.take(Segment(IRS + 1, 0, RST, 0), a)
    assert desk.ask(offer(tsval=10_000), b).reason == SYN_ACK, "now there is room"
    desk.now = 20 * MS
    desk.take(answer_to(cookie, tsval=10_001), b)
    connection = born(desk)
    assert (connection.state, connection.sender.snd_una) == (State.ESTABLISHED, cookie.seq + 1)
    assert desk.half_open() == []
    assert [move for move in desk.notes.moves if move[0] == b] == [
        (b, State.LISTEN, Trigger.SYN, State.SYN_RECEIVED),
        (b, State.SYN_RECEIVED, Trigger.ACK_OF_SYN, State.ESTABLISHED),
    ]


def test_a_wrong_ack_for_a_record_is_refused_also_while_cookies_are_out() -> None:
    desk = CookieDesk(TcpConfig(), backlog=1)
    a, b = keys(2)
    desk.ask(offer(), a)
    desk.ask(offer(), b)
    assert refusal(desk, stamped(Segment(IRS + 1, 999, ACK, 0), 9000), a).flags == RST
    assert desk.half_open() == [(a, 0)]


@pytest.mark.parametrize("mode", ["always", "pressure", "off"])
def test_a_syn_that_reopens_a_connection_gets_a_record_with_a_number_above_it_whatever_the_pressure(mode: str) -> None:
    desk = CookieDesk(TcpConfig(syn_cookies=mode), backlog=0)
    desk.listener.receive_from(B_KEY, offer(), 0, 5000)
    (answer,) = desk.out()
    assert (answer.reason, answer.seq) == (SYN_ACK, 5000 + 128_000)
    assert desk.half_open() == [(B_KEY, 0)]


def test_a_listener_without_a_secret_sends_no_cookies() -> None:
    listener = Listener(KEY, DEFAULT, backlog=1, accept_limit=1, mtu=1500, isn=lambda key, now: 1, ts_offset=lambda key: 0)
    listener.listen(0)
    listener.receive_from(B_KEY, syn(), 0)
    assert [shown(out) for _, out in listener.replies] == ["SYN,ACK seq=1 ack=101"]
    assert listener.half_open == 1


def test_data_on_a_syn_is_dropped_also_when_a_cookie_answers() -> None:
    desk = CookieDesk()
    segment = offer()
    segment.payload, segment.flags = b"early", SYN | FIN
    assert desk.ask(segment).ack == IRS + 1
    assert desk.notes.drops == [DropReason.DATA_ON_SYN]


def test_a_receive_buffer_that_changes_in_between_changes_no_agreement() -> None:
    desk = CookieDesk()
    answer = desk.ask(offer())
    desk.listener.config = desk.listener.config.replace(receive_buffer=1 << 20)  # another scale than the SYN,ACK told
    assert refusal(desk, answer_to(answer)).flags == RST
    desk.take(answer_to(desk.ask(offer())))
    assert born(desk).receiver.shift == 5
