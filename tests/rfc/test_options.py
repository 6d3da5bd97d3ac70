"""Options on SYN segments: MSS (RFC 9293 3.7.1), window scale (RFC 7323 2), timestamps (RFC 7323 3), SACK permitted."""

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.handshake import effective_mss
from synfin.engine.segment import ACK, FIN, PSH, RST, SYN, Outgoing, Segment
from tests.engine.harness import A_KEY, MILLISECOND, PLAIN, SECOND, End
from tests.rfc.build import CLOCK, FULL, IRS, ISS, end, established, hear, last, peer, say, syn_received, syn_sent

V6_KEY = bytes(36)


def first_syn(config: TcpConfig, mtu: int = 1500) -> Outgoing:
    """The SYN of an active open."""
    one = End(A_KEY, ISS, config)
    one.connection = Connection(A_KEY, config, ISS, 0, mtu)
    one.connection.connect(0)
    return last(one)


def opened_with(config: TcpConfig = PLAIN, mss: int = 1460, wscale: int = -1, stamps: bool = False, mtu: int = 1500) -> End:
    """ESTABLISHED with a peer whose SYN,ACK has these options."""
    one = End(A_KEY, ISS, config)
    one.connection = Connection(A_KEY, config, ISS, 0, mtu)
    one.connection.connect(0)
    one.out()
    answer = Segment(IRS, ISS + 1, SYN | ACK, 60_000)
    answer.mss, answer.wscale = mss, wscale
    answer.has_timestamps, answer.tsval = stamps, CLOCK if stamps else 0
    one.take(answer)
    return one


# --- MSS


@pytest.mark.parametrize(("mtu", "option"), [(1500, 1460), (576, 536), (9000, 8960), (65_535, 65_495)])
def test_the_mss_option_is_sent_always_and_is_the_mtu_less_the_fixed_headers(mtu: int, option: int) -> None:
    """3.7.1 (MUST-14, SHLD-5, MAY-3, MUST-67): MMS_R less 20 bytes, not lowered by options (RFC 6691)."""
    assert first_syn(FULL, mtu).mss == option


def test_the_mss_option_stands_on_syn_segments_only() -> None:
    """3.7.1 (MUST-65)."""
    one = syn_sent()
    hear(one, SYN, IRS, 0)
    assert last(one).mss == 1460
    hear(one, ACK)
    one.connection.write(b"x", 0)
    out = one.out()
    assert [segment.mss for segment in out] == [-1]


def test_a_peer_without_mss_option_gets_536_bytes_over_ip4_and_1220_over_ip6() -> None:
    """3.7.1 (MUST-15)."""
    assert opened_with(mss=-1).connection.sender.mss == 536
    six = Connection(V6_KEY, PLAIN, ISS, 0, 1500)
    six.connect(0)
    six.transmit(0, [], 1 << 20)
    six.receive(Segment(IRS, ISS + 1, SYN | ACK, 60_000), 0)
    assert six.sender.mss == 1220


def test_a_segment_carries_at_most_the_peers_mss_and_what_the_path_takes_less_the_options() -> None:
    """3.7.1 (MUST-16): Eff.snd.MSS = min(SendMSS+20, MMS_S) - TCPhdrsize - IPoptionsize."""
    assert opened_with(mss=1000).connection.sender.mss == 1000
    assert opened_with(mss=1000, config=FULL, stamps=True).connection.sender.mss == 988
    assert opened_with(mss=9000).connection.sender.mss == 1460
    assert opened_with(mss=9000, mtu=600).connection.sender.mss == 560
    assert opened_with(mss=9000, config=FULL, stamps=True, mtu=600).connection.sender.mss == 548


def test_a_segment_never_exceeds_the_effective_mss() -> None:
    """3.7.1 (MUST-16), SHLD-28: the largest segment whenever possible."""
    one = opened_with(mss=1000)
    one.connection.write(bytes(3500), 0)
    one.connection.shutdown_send(0)
    assert [len(out.payload) for out in one.out()] == [1000, 1000, 1000, 500]


def test_an_mss_of_zero_is_as_none_and_a_tiny_one_still_leaves_room_for_data() -> None:
    """3.7.1: a peer's nonsense must not stop the stream."""
    assert opened_with(mss=0).connection.sender.mss == 536
    assert effective_mss(1, 1460, True) == 8


# --- window scale


@pytest.mark.parametrize(("buffer", "shift"), [(65_535, 0), (65_536, 1), (262_144, 3), (1 << 30, 14)])
def test_the_window_scale_is_the_smallest_that_can_say_the_buffer(buffer: int, shift: int) -> None:
    """RFC 7323 2.3: shift of at most 14."""
    assert first_syn(TcpConfig(receive_buffer=buffer)).wscale == shift
    assert first_syn(TcpConfig(receive_buffer=buffer)).window == 65_535


def test_without_the_peers_option_no_window_is_scaled() -> None:
    """RFC 7323 2.2: both sides must send the option on their SYN segments."""
    one = opened_with(FULL, wscale=-1)
    assert (one.connection.sender.shift, one.connection.receiver.shift) == (0, 0)
    assert one.connection.sender.snd_wnd == 60_000
    one.take(Segment(IRS + 1, ISS + 1, ACK, 50_000))
    assert one.connection.sender.snd_wnd == 50_000
    assert one.connection.receiver.rcv_wnd == 65_535


def test_a_syn_ack_of_ours_has_a_window_scale_only_when_the_syn_had_one() -> None:
    """RFC 7323 2.2: "a Window Scale option in a <SYN,ACK> only if the <SYN> had one"."""
    one = syn_sent(FULL)
    one.connection.receive(Segment(IRS, 0, SYN, 1000), 0)
    answer = last(one)
    assert (answer.flags, answer.wscale, answer.has_timestamps) == (SYN | ACK, -1, False)
    assert last(hearing(syn_sent(FULL))).wscale == 3


def hearing(one: End) -> End:
    """`one` after a SYN with all options."""
    hear(one, SYN, IRS, 0)
    return one


def test_the_window_on_a_syn_is_never_scaled_and_every_later_one_is() -> None:
    """RFC 7323 2.2, 2.3."""
    one = opened_with(FULL, wscale=7)
    assert one.connection.sender.snd_wnd == 60_000
    one.take(Segment(IRS + 1, ISS + 1, ACK, 1000))
    assert one.connection.sender.snd_wnd == 128_000
    assert one.connection.receiver.rcv_wnd == 262_144


def test_a_shift_above_14_is_taken_as_14() -> None:
    """RFC 7323 2.3."""
    assert opened_with(FULL, wscale=200).connection.sender.shift == 14


def test_the_shift_that_our_syn_told_is_the_one_that_we_use_whatever_the_buffer_became() -> None:
    """RFC 7323 2.2: the shift is fixed when the connection is opened."""
    one = end(FULL)
    one.connection.set_option("receive_buffer", 4_000_000, 0)
    one.connection.connect(0)
    syn = last(one)
    assert syn.wscale == 6
    one.connection.set_option("receive_buffer", 100_000, 0)
    hear(one, SYN | ACK, IRS, ISS + 1)
    ack = last(one)
    receiver = one.connection.receiver
    assert receiver.shift == 6
    assert receiver.rcv_wnd == ack.window << 6
    assert 65_535 <= receiver.rcv_wnd <= 100_000


def test_the_window_of_our_syn_binds_us_whatever_the_buffer_became() -> None:
    """3.8.6 (SHLD-14): the right edge does not move left."""
    one = end()
    one.connection.connect(0)
    assert last(one).window == 65_535
    one.connection.set_option("receive_buffer", 1000, 0)
    assert say(one, SYN | ACK, IRS, ISS + 1, payload=bytes(1400)) == ["ACK seq=101 ack=1701"]
    assert one.connection.readable() == 1400


def test_a_syn_ack_of_a_simultaneous_open_offers_no_more_than_is_accepted() -> None:
    """3.8.6: what a window offers must be taken."""
    one = end(PLAIN.replace(receive_buffer=1000))
    one.connection.connect(0)
    one.out()
    hear(one, SYN, IRS, 0)
    one.connection.set_option("receive_buffer", 50_000, 0)
    offered = last(one).window
    say(one, ACK, payload=bytes(offered))
    assert one.connection.readable() == offered


def test_the_window_of_a_syn_ack_stays_within_16_bits_although_an_ack_before_it_was_scaled() -> None:
    """RFC 7323 2.2."""
    one = syn_received(FULL)
    assert say(one, SYN, IRS + 5, 0) == ["ACK seq=101 ack=301"]
    assert one.connection.receiver.rcv_wnd == 262_144
    one.now = SECOND
    one.connection.handle_timers(SECOND)
    assert last(one).window == 65_535


# --- timestamps


def test_timestamps_are_used_when_both_syns_carry_them_and_then_on_every_segment() -> None:
    """RFC 7323 3.2: the option is sent in every non-RST segment once agreed, TSecr is TS.Recent."""
    one = end(FULL)
    one.now = 7 * MILLISECOND
    one.connection.connect(one.now)
    syn = last(one)
    assert (syn.has_timestamps, syn.tsval, syn.tsecr) == (True, 7, 0)
    one.now = 9 * MILLISECOND
    hear(one, SYN | ACK, IRS, ISS + 1, tsval=CLOCK)
    ack = last(one)
    assert (ack.has_timestamps, ack.tsval, ack.tsecr) == (True, 9, CLOCK)
    one.connection.write(b"x", one.now)
    assert last(one).has_timestamps
    one.connection.shutdown_send(one.now)
    assert last(one).has_timestamps


@pytest.mark.parametrize("ours", [True, False])
def test_timestamps_of_one_side_only_are_not_used(ours: bool) -> None:
    """RFC 7323 3.2."""
    one = opened_with(FULL if ours else PLAIN, stamps=not ours)
    one.connection.write(b"x", 0)
    assert not last(one).has_timestamps
    assert one.connection.sender.mss == 1460


@pytest.mark.parametrize("fast", [True, False])
def test_timestamps_that_were_not_agreed_give_no_round_trip(fast: bool) -> None:
    """RFC 7323 3.2: after the negotiation the option of a peer that did not agree to it means nothing."""
    one = opened_with(FULL.replace(fast_path=fast))
    one.connection.write(b"x", 0)
    one.out()
    one.at(one.connection.next_deadline())
    before = one.connection.sender.rtt.rto
    answer = Segment(IRS + 1, ISS + 2, ACK, 60_000)
    answer.has_timestamps, answer.tsval, answer.tsecr = True, 1, one.connection.timestamp(one.now)
    one.take(answer)
    assert one.connection.sender.rtt.rto == before


def test_our_timestamp_clock_counts_milliseconds_from_a_secret_number() -> None:
    """RFC 7323 5.4 (1 ms to 1 s a tick), 7.1."""
    connection = Connection(A_KEY, FULL, ISS, 0xFFFFFFFF, 1500)
    assert connection.timestamp(0) == 0xFFFFFFFF
    assert connection.timestamp(SECOND) == 999


def test_sack_permitted_is_understood_and_not_offered() -> None:
    """RFC 2018 2: offered only where the configuration has it; it is off by default until our sender uses what it is told."""
    assert not first_syn(FULL).sack_permitted
    one = syn_sent(FULL)
    syn = peer(one, SYN, IRS, 0)
    syn.sack_permitted = True
    one.connection.receive(syn, 0)
    assert not last(one).sack_permitted


def test_a_reset_with_ack_carries_the_timestamp_and_one_without_ack_does_not() -> None:
    """RFC 7323 3.2: RST segments may carry it; TSecr needs the ACK bit."""
    one = established(FULL)
    one.connection.abort(0)
    out = last(one)
    assert (out.flags, out.has_timestamps, out.tsecr) == (RST | ACK, True, CLOCK)
    one = syn_received(FULL)
    hear(one, ACK, ack=ISS + 7)
    out = last(one)
    assert (out.flags, out.has_timestamps) == (RST, False)


def test_psh_and_fin_do_not_change_the_options() -> None:
    """RFC 7323 3.2."""
    one = established(FULL)
    one.connection.write(b"x", 0)
    one.connection.shutdown_send(0)
    out = last(one)
    assert out.flags == FIN | PSH | ACK
    assert (out.has_timestamps, out.mss, out.wscale) == (True, -1, -1)
