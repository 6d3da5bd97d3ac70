"""SYN flooding and what stands against it: RFC 4987."""

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.cookies import LIFETIME, STEP
from synfin.engine.segment import ACK, RST, SYN_ACK, SYN_ACK_COOKIE
from synfin.engine.state import State
from tests.engine.harness import SECOND
from tests.engine.test_cookies import IRS, CookieDesk, answer_to, born, offer
from tests.engine.test_listener import keys

PRESSURE = TcpConfig()


def test_the_backlog_bounds_what_a_flood_can_hold() -> None:
    """2: each half-open connection costs memory, and their number is bounded."""
    desk = CookieDesk(TcpConfig(syn_cookies="off"), backlog=5)
    for key in keys(50):
        desk.take(offer(), key)
    assert desk.listener.half_open == 5


def test_a_larger_backlog_can_be_configured() -> None:
    """3.2: increasing the backlog."""
    assert TcpConfig(syn_backlog=100_000).syn_backlog == 100_000


def test_the_time_in_syn_received_can_be_made_shorter() -> None:
    """3.3: reducing the SYN-RECEIVED timer."""
    desk = CookieDesk(TcpConfig(syn_cookies="off", syn_ack_retries=1))
    desk.take(offer())
    desk.at(SECOND)
    assert desk.listener.half_open == 1
    desk.at(3 * SECOND)
    assert desk.listener.half_open == 0


def test_the_oldest_half_open_connection_can_be_recycled() -> None:
    """3.4: the oldest half-open entry is overwritten once the backlog is exhausted."""
    desk = CookieDesk(TcpConfig(syn_cookies="off", syn_queue_policy="oldest"), backlog=2)
    for key in keys(5):
        assert desk.ask(offer(), key).reason == SYN_ACK
    assert [key for key, _ in desk.half_open()] == keys(5)[3:]


def test_a_half_open_connection_is_a_minimal_record_until_it_completes() -> None:
    """3.5: a SYN cache keeps less than a whole TCB until the handshake has completed."""
    desk = CookieDesk(TcpConfig(syn_cookies="off"))
    answer = desk.ask(offer())
    assert [type(record) for record in desk.listener._queue._table.values()] == [bytes]
    desk.take(answer_to(answer))
    assert born(desk).state is State.ESTABLISHED


def test_with_a_cookie_no_state_is_kept_at_all() -> None:
    """3.6: the state is in the sequence number of the SYN,ACK."""
    desk = CookieDesk()
    desk.ask(offer())
    assert desk.listener.half_open == 0
    assert desk.listener.next_deadline() > 1 << 60


def test_cookies_are_for_a_backlog_that_is_full() -> None:
    """3.7: records while there is room, cookies once the backlog is exhausted."""
    desk = CookieDesk(PRESSURE, backlog=1)
    assert [desk.ask(offer(), key).reason for key in keys(3)] == [SYN_ACK, SYN_ACK_COOKIE, SYN_ACK_COOKIE]


def test_a_cookie_is_bound_to_a_time() -> None:
    """3.6: a counter in the cookie bounds how long it may be replayed."""
    desk = CookieDesk()
    answer = desk.ask(offer())
    desk.now = LIFETIME
    desk.ask(offer(), keys(2)[1])
    assert desk.ask(answer_to(answer)).flags == RST
    assert LIFETIME == 2 * STEP == 128 * SECOND


def test_a_cookie_is_bound_to_addresses_and_ports() -> None:
    """3.6: the hash covers the addresses and ports of both sides."""
    desk = CookieDesk()
    answer = desk.ask(offer())
    assert desk.ask(answer_to(answer), keys(2)[1]).flags == RST


@pytest.mark.parametrize(("mss", "kept"), [(536, 536), (1400, 1400), (1459, 1440), (1460, 1460)])
def test_the_mss_is_one_of_a_few(mss: int, kept: int) -> None:
    """3.6: some bits of the cookie choose among a few values of the MSS."""
    desk = CookieDesk()
    desk.take(answer_to(desk.ask(offer(mss=mss))))
    assert born(desk).sender.mss == kept - 12


def test_the_timestamp_option_has_room_for_the_other_options() -> None:
    """3.6: window scale and SACK are lost with a plain cookie; where there are timestamps their low bits keep them."""
    desk = CookieDesk()
    desk.take(answer_to(desk.ask(offer(wscale=9)), window=10))
    assert (born(desk).scaling, born(desk).sender.snd_wnd) == (True, 10 << 9)
    bare = offer(wscale=9)
    bare.has_timestamps = False
    answer = desk.ask(bare, keys(2)[1])
    assert (answer.wscale, answer.has_timestamps) == (-1, False)


def test_when_the_last_ack_is_lost_the_peers_data_completes_the_handshake() -> None:
    """3.6: nothing repeats a SYN,ACK with a cookie; the first segment that the peer has to send brings it back."""
    desk = CookieDesk()
    answer = desk.ask(offer())
    desk.now = 10 * SECOND
    desk.take(answer_to(answer, b"request", ACK))
    assert born(desk).read(100, desk.now) == b"request"
    assert born(desk).receiver.rcv_nxt == IRS + 8
