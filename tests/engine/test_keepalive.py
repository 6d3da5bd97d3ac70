"""Keep-alive: RFC 9293 3.8.4, RFC 1122 4.2.3.6. Times in the logs are milliseconds since the connection began."""

from collections.abc import Callable

import pytest

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.errors import CloseReason, UsageError
from synfin.engine.segment import ACK, FIN, KEEPALIVE_PROBE, RESET_KEEPALIVE, RST
from synfin.engine.state import State
from tests.engine.harness import PLAIN, SECOND, End
from tests.rfc.build import (
    FULL,
    IRS,
    ISS,
    close_wait,
    established,
    fin_wait_2,
    hear,
    last,
    passive_syn_received,
    say,
    syn_sent,
    until,
    watch,
)

KEPT = PLAIN.replace(
    keepalive=True, keepalive_idle=10 * SECOND, keepalive_interval=2 * SECOND, keepalive_count=3, delayed_ack=0
)
PROBE = f"ACK seq={ISS} ack={IRS + 1}"
DEATH = f"RST,ACK seq={ISS + 1} ack={IRS + 1}"


def test_nothing_is_probed_unless_asked_for() -> None:
    """MUST-25."""
    assert established(PLAIN).connection.next_deadline() == NEVER


def test_the_default_waits_two_hours() -> None:
    """MUST-28."""
    one = established(PLAIN.replace(keepalive=True))
    assert one.connection.next_deadline() == 7200 * SECOND


def test_an_idle_peer_is_probed_with_an_old_number_and_no_text() -> None:
    one = established(KEPT)
    one.now = 10 * SECOND
    one.connection.handle_timers(one.now)
    probe = last(one)
    assert (probe.seq, probe.ack, probe.flags, bytes(probe.payload), probe.reason) == (
        ISS, IRS + 1, ACK, b"", KEEPALIVE_PROBE,
    )  # fmt: skip


def test_every_tcp_answers_a_probe() -> None:
    one = established(PLAIN)
    assert say(one, ACK, seq=IRS) == [f"ACK seq={ISS + 1} ack={IRS + 1}"]


def test_a_peer_that_never_answers_is_dead_after_the_count_of_probes() -> None:
    one = established(KEPT)
    assert until(one, 60 * SECOND) == [f"10000 {PROBE}", f"12000 {PROBE}", f"14000 {PROBE}", f"16000 {DEATH}"]
    assert one.connection.state is State.CLOSED
    assert one.connection.close_reason is CloseReason.TIMED_OUT
    assert watch(one).timers == ["keepalive"] * 4


def test_the_reset_says_why_it_is_sent() -> None:
    one = established(KEPT.replace(keepalive_count=1))
    until(one, 11 * SECOND)
    one.now = 12 * SECOND
    one.connection.handle_timers(one.now)
    death = last(one)
    assert (death.flags, death.reason) == (RST | ACK, RESET_KEEPALIVE)


def test_an_answer_ends_the_probing_until_the_next_idle_time() -> None:
    one = established(KEPT)
    assert until(one, 13 * SECOND) == [f"10000 {PROBE}", f"12000 {PROBE}"]
    assert say(one, ACK) == []
    assert until(one, 24 * SECOND) == [f"23000 {PROBE}"]
    assert one.connection.state is State.ESTABLISHED


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
def test_what_the_peer_sends_puts_the_probe_off(fast: bool) -> None:
    one = established(KEPT.replace(fast_path=fast))
    until(one, 8 * SECOND)
    assert say(one, ACK, payload=b"abc") == [f"ACK seq={ISS + 1} ack={IRS + 4}"]
    assert until(one, 19 * SECOND) == [f"18000 ACK seq={ISS} ack={IRS + 4}"]


@pytest.mark.parametrize(
    ("seq", "ack"),
    [(IRS + 200_000, ISS + 1), (IRS + 1, ISS + 50), (IRS + 1, ISS - 5)],
    ids=["outside the window", "of what was never sent", "old"],
)
def test_what_a_stranger_could_have_sent_is_no_sign_of_life(seq: int, ack: int) -> None:
    one = established(KEPT)
    until(one, 8 * SECOND)
    say(one, ACK, seq=seq, ack=ack)
    assert until(one, 10 * SECOND)[-1] == f"10000 {PROBE}"


def test_a_probe_of_the_peers_is_no_answer_so_both_ends_probe() -> None:
    one = established(KEPT)
    until(one, 8 * SECOND)
    assert say(one, ACK, seq=IRS) == [f"ACK seq={ISS + 1} ack={IRS + 1}"]
    assert until(one, 10 * SECOND) == [f"10000 {PROBE}"]


def test_nothing_is_probed_while_data_is_outstanding() -> None:
    """MUST-26: retransmission finds out."""
    one = established(KEPT)
    one.now = 9 * SECOND
    one.connection.write(b"abc", one.now)
    data = f"PSH,ACK seq={ISS + 1} ack={IRS + 1} len=3"
    assert until(one, 10 * SECOND) == [f"{at} {data}" for at in (9000, 9200, 9600)]
    hear(one, ACK, ack=ISS + 4)
    assert until(one, 20 * SECOND) == [f"20000 ACK seq={ISS + 3} ack={IRS + 1}"]


def test_it_can_be_switched_on_in_the_middle() -> None:
    one = established(PLAIN)
    one.now = 60 * SECOND
    connection = one.connection
    connection.set_option("keepalive_idle", 3 * SECOND, one.now)
    assert connection.next_deadline() == NEVER
    connection.set_option("keepalive", 1, one.now)
    assert connection.next_deadline() == 63 * SECOND
    connection.set_option("keepalive", 0, one.now)
    assert connection.next_deadline() == NEVER


def test_a_shorter_idle_time_counts_from_the_last_word() -> None:
    one = established(KEPT)
    one.now = 8 * SECOND
    one.connection.set_option("keepalive_idle", 5 * SECOND, one.now)
    assert until(one, 9 * SECOND) == [f"8000 {PROBE}"]


def test_an_option_of_another_name_is_refused() -> None:
    with pytest.raises(UsageError):
        established(PLAIN).connection.set_option("keepalive_colour", 1, 0)


def test_a_user_timeout_takes_the_place_of_the_count() -> None:
    """tcp_keepalive_timer: at least one probe, and so long without a word."""
    one = established(KEPT.replace(keepalive_limit=17 * SECOND))
    log = until(one, 60 * SECOND)
    assert log == [*(f"{at}000 {PROBE}" for at in (10, 12, 14, 16)), f"18000 {DEATH}"]


def test_it_begins_when_the_handshake_ends() -> None:
    one = syn_sent(KEPT)
    one.now = SECOND
    hear(one, 0x12, IRS, ISS + 1)
    one.sends()
    assert one.connection.next_deadline() == 11 * SECOND
    other = passive_syn_received(KEPT)
    other.now = 2 * SECOND
    hear(other, ACK)
    other.sends()
    assert other.connection.next_deadline() == 12 * SECOND


@pytest.mark.parametrize("build", [fin_wait_2, close_wait])
def test_a_half_closed_connection_is_probed_too(build: Callable[[TcpConfig], End]) -> None:
    one = build(KEPT)
    log = until(one, 60 * SECOND)
    assert [line.split()[0] for line in log] == ["10000", "12000", "14000", "16000"]
    assert one.connection.state is State.CLOSED
    assert one.connection.close_reason is CloseReason.TIMED_OUT


def test_time_wait_probes_nobody() -> None:
    one = fin_wait_2(KEPT)
    say(one, FIN | ACK, ack=ISS + 2)
    assert one.connection.state is State.TIME_WAIT
    assert one.connection.next_deadline() == NEVER


def test_a_probe_carries_a_timestamp_where_they_were_agreed() -> None:
    one = established(FULL.replace(keepalive=True))
    one.now = 7200 * SECOND
    one.connection.handle_timers(one.now)
    assert last(one).has_timestamps
