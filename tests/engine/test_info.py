"""info(): the RFC's names, and Linux's for the fields of struct tcp_info that exist here."""

import random

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.info import STATE_NUMBER
from synfin.engine.segment import ACK, FIN, SYN
from synfin.engine.seq import MASK
from synfin.engine.state import State
from tests.engine.harness import MILLISECOND, PLAIN, SECOND, End, Pair
from tests.rfc.build import (
    FULL,
    IRS,
    ISS,
    STATES,
    accepted,
    established,
    fin_wait_1,
    peer,
    probing,
    recovering,
    say,
    syn_sent,
    timed_out,
)  # fmt: skip


def test_every_state_has_linuxs_number() -> None:
    assert sorted(STATE_NUMBER.values()) == list(range(1, 12))
    assert set(STATE_NUMBER) == set(State)


@pytest.mark.parametrize("build", STATES, ids=lambda build: build.__name__)
def test_every_state_can_be_told(build: object) -> None:
    for config in (TcpConfig(), FULL):
        one = build(config)  # type: ignore[operator]
        info = one.connection.info(SECOND)
        assert info["tcpi_state"] == STATE_NUMBER[one.connection.state]
        assert all(value >= 0 for name, value in info.items() if name.startswith("tcpi_")), info


def test_sizes_are_in_bytes_segments_and_microseconds_as_linux_has_them() -> None:
    one = established(FULL)
    one.connection.write(bytes(40_000), 0)
    one.out()
    info = one.connection.info(250 * MILLISECOND)
    assert {name: info[name] for name in (
        "tcpi_snd_mss", "tcpi_rcv_mss", "tcpi_advmss", "tcpi_pmtu", "tcpi_unacked", "tcpi_snd_cwnd", "tcpi_notsent_bytes",
        "tcpi_last_data_sent", "tcpi_options", "tcpi_snd_wscale", "tcpi_rcv_wscale", "tcpi_rto", "tcpi_ca_state",
    )} == {
        "tcpi_snd_mss": 1448, "tcpi_rcv_mss": 1448, "tcpi_advmss": 1448, "tcpi_pmtu": 1500, "tcpi_unacked": 10,
        "tcpi_snd_cwnd": 10, "tcpi_notsent_bytes": 40_000 - 14_480, "tcpi_last_data_sent": 250, "tcpi_options": 5,
        "tcpi_snd_wscale": 2, "tcpi_rcv_wscale": 3, "tcpi_rto": 200_000, "tcpi_ca_state": 0,
    }  # fmt: skip
    assert info["snd_una"] == ISS + 1


@pytest.mark.parametrize(
    "build", [build for build in STATES if build not in (recovering, timed_out)], ids=lambda build: build.__name__
)
def test_before_a_loss_the_threshold_is_linuxs_infinity(build: object) -> None:
    info = build(TcpConfig()).connection.info(SECOND)  # type: ignore[operator]
    assert info["tcpi_snd_ssthresh"] == 0x7FFFFFFF


def test_congestion_states_and_probes_have_linuxs_numbers() -> None:
    assert recovering().connection.info(0)["tcpi_ca_state"] == 3
    assert timed_out().connection.info(0)["tcpi_ca_state"] == 4
    assert timed_out().connection.info(0)["tcpi_backoff"] == 1
    assert probing().connection.info(0)["tcpi_probes"] == 1
    one = established()
    one.connection.write(bytes(4000), 0)
    one.out()
    say(one, ACK)
    assert one.connection.info(0)["tcpi_ca_state"] == 1


def test_unanswered_keepalive_probes_are_told() -> None:
    one = established(FULL.replace(keepalive=True, keepalive_idle=SECOND))
    one.at(SECOND)
    assert one.connection.info(one.now)["tcpi_probes"] == 1


# --- counters, with Linux's meanings

COUNTERS = (
    "tcpi_segs_out", "tcpi_segs_in", "tcpi_data_segs_out", "tcpi_data_segs_in", "tcpi_bytes_sent", "tcpi_bytes_acked",
    "tcpi_bytes_received", "tcpi_bytes_retrans", "tcpi_total_retrans",
)  # fmt: skip


def counted(one: End) -> tuple[int, ...]:
    """COUNTERS in their order."""
    info = one.connection.info(one.now)
    return tuple(info[name] for name in COUNTERS)


def test_an_active_open_counts_its_three_segments_and_its_syn_as_acknowledged() -> None:
    """As Linux: SYN and ACK went, SYN,ACK came."""
    assert counted(syn_sent()) == (1, 0, 0, 0, 0, 0, 0, 0, 0)
    assert counted(established()) == (2, 1, 0, 0, 0, 1, 0, 0, 0)


def test_a_passive_open_counts_what_came_and_not_its_listeners_syn_ack() -> None:
    """As Linux: SYN and ACK came."""
    assert counted(accepted()) == (0, 2, 0, 0, 0, 0, 0, 0, 0)


def test_data_both_ways_is_counted_in_bytes_and_segments() -> None:
    one = accepted()
    one.connection.write(bytes(2920), 0)
    assert len(one.out()) == 2
    say(one, ACK, ack=ISS + 1 + 1460, payload=bytes(700))
    say(one, ACK, IRS + 701, ack=ISS + 1 + 2920, payload=bytes(300))
    assert counted(one) == (3, 4, 2, 2, 2920, 2920, 1000, 0, 0)
    assert one.connection.info(0)["tcpi_retrans"] == 0


def test_a_fin_counts_among_the_bytes_acknowledged_and_received_but_not_sent() -> None:
    """As Linux: tcp_snd_una_update and tcp_rcv_nxt_update count sequence numbers."""
    one = accepted()
    one.connection.write(bytes(100), 0)
    one.connection.shutdown_send(0)
    one.out()
    say(one, FIN | ACK, ack=ISS + 1 + 101)
    assert one.connection.state is State.TIME_WAIT
    assert counted(one) == (2, 3, 1, 0, 100, 101, 1, 0, 0)


def test_a_super_segment_counts_as_its_pieces_in_both_directions() -> None:
    one = accepted()
    one.connection.sender.gso_max = 65_000
    one.connection.write(bytes(5 * 1460 + 10), 0)
    assert [len(out.payload) for out in one.out()] == [5 * 1460]
    segment = peer(one, ACK, ack=ISS + 1 + 5 * 1460, payload=bytes(4000))
    segment.segments = 3
    one.take(segment)
    assert counted(one)[:4] == (6, 5, 6, 3)


def test_what_goes_again_is_counted_until_and_after_it_is_acknowledged() -> None:
    one = accepted()
    one.connection.write(bytes(2920), 0)
    one.out()
    one.at(one.connection.next_deadline())
    one.at(one.connection.next_deadline())
    info = one.connection.info(one.now)
    assert (info["tcpi_retransmits"], info["tcpi_retrans"], info["tcpi_backoff"]) == (2, 1, 2)
    assert counted(one) == (4, 2, 4, 0, 5840, 0, 0, 2920, 2)
    say(one, ACK, ack=ISS + 1461)
    info = one.connection.info(one.now)
    assert (info["tcpi_retransmits"], info["tcpi_retrans"]) == (0, 1)
    assert counted(one) == (5, 3, 5, 0, 7300, 1460, 0, 4380, 3)
    say(one, ACK, ack=ISS + 2921)
    assert one.connection.info(one.now)["tcpi_retrans"] == 0
    assert counted(one) == (5, 4, 5, 0, 7300, 2920, 0, 4380, 3)


def test_timeouts_are_counted_beyond_the_largest_interval() -> None:
    one = accepted(PLAIN.replace(rto_max=SECOND, user_timeout=3600 * SECOND))
    one.connection.write(b"x", 0)
    one.out()
    for _ in range(20):
        one.at(one.connection.next_deadline())
    info = one.connection.info(one.now)
    assert (info["tcpi_retransmits"], info["tcpi_backoff"]) == (20, 3)


def test_fast_retransmit_has_one_segment_twice_in_flight() -> None:
    one = recovering()
    assert one.connection.info(0)["tcpi_retrans"] == 1
    assert counted(one)[7:] == (1460, 1)


def test_a_syn_and_a_fin_that_go_again_are_retransmissions_without_bytes() -> None:
    one = syn_sent()
    one.at(one.connection.next_deadline())
    assert counted(one) == (2, 0, 0, 0, 0, 0, 0, 0, 1)
    assert one.connection.info(one.now)["tcpi_retransmits"] == 1
    say(one, SYN | ACK, IRS, ISS + 1)
    assert one.connection.info(one.now)["tcpi_retransmits"] == 0
    one = fin_wait_1()
    one.at(one.connection.next_deadline())
    assert counted(one) == (4, 1, 0, 0, 0, 1, 0, 0, 1)


def test_the_byte_of_a_probe_is_sent_and_no_retransmission() -> None:
    one = established()
    say(one, ACK, window=0)
    one.connection.write(b"ab", 0)
    one.out()
    for _ in range(3):
        one.at(one.connection.next_deadline())
    assert one.connection.info(one.now)["tcpi_probes"] == 3
    assert counted(one)[4:] == (3, 1, 0, 2, 0)


def test_bytes_are_counted_beyond_four_gigabytes() -> None:
    """Sequence numbers wrap, the counts do not."""
    one = accepted()
    step = 34 * 1460
    one.connection.sender.buffer.base = sent = 1 << 33
    one.connection.receiver.wraps = 2
    one.connection.receiver.rcv_nxt = one.connection.receiver.rcv_edge = (1 << 32) - 20_000
    one.connection.receiver._goal = one.connection.receiver.rcv_edge
    one.connection.receiver.advance_edge()
    one.connection.receiver.window_field()
    one.connection.sender.congestion.cwnd = 1 << 20
    before = one.connection.info(0)["tcpi_bytes_received"]
    assert before == (3 << 32) - 20_000 - IRS - 1
    one.connection.write(bytes(step), 0)
    one.out()
    say(one, ACK, (1 << 32) - 20_000, ISS + 1 + step, payload=bytes(30_000))
    info = one.connection.info(0)
    assert (info["tcpi_bytes_acked"], info["tcpi_bytes_sent"]) == (sent + step, sent + step)
    assert info["tcpi_bytes_received"] == before + 30_000


@pytest.mark.parametrize("irs", [MASK, MASK - 1, MASK - 1000, 0])
def test_bytes_received_are_counted_from_any_initial_sequence_number(irs: int) -> None:
    one = syn_sent()
    say(one, SYN | ACK, irs, ISS + 1)
    seq = irs + 1
    for count in (1, 999, 5000):
        say(one, ACK, seq, payload=bytes(count))
        seq += count
    assert one.connection.info(0)["tcpi_bytes_received"] == 6000
    say(one, FIN | ACK, seq)
    assert one.connection.info(0)["tcpi_bytes_received"] == 6001


def test_a_fin_at_the_end_of_sequence_space_wraps_the_count_too() -> None:
    one = syn_sent()
    say(one, SYN | ACK, MASK - 10, ISS + 1)
    say(one, ACK, MASK - 9, payload=bytes(9))
    say(one, FIN | ACK, MASK)
    assert one.connection.receiver.rcv_nxt == 0
    assert one.connection.info(0)["tcpi_bytes_received"] == 10


def test_the_time_since_data_came_is_told_in_milliseconds() -> None:
    one = established()
    one.now = 5 * SECOND
    assert one.connection.info(one.now)["tcpi_last_data_recv"] == 5000, "since the handshake"
    say(one, ACK, payload=b"x")
    one.now = 7 * SECOND
    say(one, ACK, IRS + 2)
    assert one.connection.info(one.now)["tcpi_last_data_recv"] == 2000


def test_the_counts_outlive_the_connection() -> None:
    one = accepted()
    one.connection.write(bytes(3000), 0)
    one.out()
    say(one, ACK, ack=ISS + 1461)
    one.connection.abort(0)
    assert one.sends() == ["RST,ACK seq=3021 ack=301"]
    assert counted(one) == (3, 3, 2, 0, 2920, 1460, 0, 0, 0)


def test_both_ends_count_the_same() -> None:
    """With losses, both ways: what one has sent first is what the other has received."""
    chance = random.Random(5)
    pair = Pair()
    pair.open()
    pair.lose = lambda out: chance.random() < 0.1
    a, b = pair.a.connection, pair.b.connection
    for _ in range(20):
        a.write(bytes(30_000), pair.now)
        b.write(bytes(7000), pair.now)
        pair.until_quiet()
        a.read(1 << 20, pair.now)
        b.read(1 << 20, pair.now)
    for here, there, syn in ((a.info(pair.now), b.info(pair.now), 1), (b.info(pair.now), a.info(pair.now), 0)):
        assert here["tcpi_bytes_acked"] - syn == there["tcpi_bytes_received"] > 100_000
        assert here["tcpi_bytes_sent"] - here["tcpi_bytes_retrans"] == there["tcpi_bytes_received"]
        assert here["tcpi_bytes_retrans"] > 0 < here["tcpi_total_retrans"]
        assert here["tcpi_segs_out"] > there["tcpi_segs_in"], "losses"
