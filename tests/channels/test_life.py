"""The pure parts of a long connection, in made-up time: heartbeat, backoff, acknowledgments; and streams over a bad network."""

import asyncio
import random
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin.channels import aio
from synfin.channels.backoff import Backoff
from synfin.channels.errors import ChannelClosed, ChannelError, PeerDead, PeerLost, ProtocolError
from synfin.channels.framing import Delimiter, FixedSize, Framing, LengthHeader, VarintHeader
from synfin.channels.heartbeat import MILLISECOND, NEVER, SECOND, Heartbeat
from synfin.channels.life import HEAD, Life, LifeSettings
from synfin.engine.errors import UsageError
from tests.channels.grounds import SimGround

PORT = 7000


def test_a_silent_peer_is_asked_after_the_interval_and_dead_after_the_bound() -> None:
    watch = Heartbeat(10, 2, 3, now=100)
    story = [(now, watch.ask(now), watch.dead(now)) for now in range(100, 117)]
    assert [now for now, asked, _ in story if asked] == [110, 112, 114]
    assert [now for now, _, dead in story if dead] == [116]


def test_any_sign_of_life_begins_anew() -> None:
    watch = Heartbeat(10, 2, 1, now=0)
    assert watch.ask(10)
    watch.heard(11)
    assert (watch.ask(20), watch.dead(20), watch.next_deadline()) == (False, False, 21)


def test_a_process_that_was_suspended_asks_before_it_judges() -> None:
    watch = Heartbeat(10, 2, 2, now=0)
    assert (watch.ask(1000), watch.dead(1001), watch.next_deadline()) == (True, False, 1002)
    assert (watch.ask(5000), watch.dead(5001), watch.ask(5001), watch.dead(5002)) == (True, False, False, True)


@pytest.mark.parametrize("times", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_heartbeat_that_cannot_be_is_refused(times: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError):
        Heartbeat(*times, now=0)


def test_who_watches_nothing_has_no_deadline_and_no_bound() -> None:
    watch = Heartbeat(NEVER, 2, 3, now=100)
    watch.heard(200)
    assert (watch.next_deadline(), watch.ask(NEVER - 1), LifeSettings(interval=NEVER).detection) == (NEVER, False, NEVER)
    assert LifeSettings(interval=10, timeout=2, misses=3).detection == 16


@given(st.integers(0, 1 << 30), st.integers(1, 1000), st.integers(0, 20))
def test_the_backoff_is_within_its_doubling_bounds_and_starts_anew(seed: int, base: int, more: int) -> None:
    cap = base + more * base
    backoff = Backoff(Random(seed), base, cap)
    for attempt in range(100):
        assert backoff.longest() == min(cap, base * 2**min(attempt, 62))
        assert 0 <= backoff.next() <= min(cap, base * 2**attempt)
    backoff.reset()
    assert backoff.longest() == base


def test_the_jitter_is_full() -> None:
    drawn = [Backoff(Random(seed), 1000, 1000).next() for seed in range(500)]
    assert min(drawn) < 50
    assert max(drawn) > 950
    assert 450 < sum(drawn) / 500 < 550


@pytest.mark.parametrize(("base", "cap"), [(0, 1), (2, 1)])
def test_a_backoff_that_cannot_be_is_refused(base: int, cap: int) -> None:
    with pytest.raises(UsageError, match="a backoff begins above 0 and at most at its cap"):
        Backoff(Random(1), base, cap)


def sides(**options: int) -> tuple[Life, Life]:
    chosen = LifeSettings(**options)
    return Life(chosen, 0), Life(chosen, 0)


def carry(one: Life, other: Life, now: int = 0) -> list[int]:
    """Everything that `one` has to say; returns the kinds."""
    messages = one.outgoing(now)
    for message in messages:
        other.received(message)
    return [message[0] for message in messages]


def test_an_acknowledgment_waits_for_its_delay_or_a_quarter_of_the_window() -> None:
    one, other = sides(window=8, ack_delay=5)
    for number in range(4):
        one.send(bytes([number]))
    assert carry(one, other) == [1, 1, 1, 1]
    assert other.take(100) == b"\0"
    assert (other.outgoing(104), other.next_deadline()) == ([], 105)
    assert carry(other, one, 105) == [2]
    assert one.unacknowledged == (b"\1", b"\2", b"\3")
    other.take(200)
    assert other.outgoing(200) == []
    other.take(200)
    assert carry(other, one, 200) == [2]  # two of eight
    assert one.unacknowledged == (b"\3",)


def test_the_delay_of_an_acknowledgment_counts_from_the_first_message_that_waits_for_it() -> None:
    one, other = sides(ack_delay=5)
    for message in (b"a", b"b", b"c"):
        one.send(message)
    carry(one, other)
    for now in (100, 103, 104):
        other.take(now)
        assert other.next_deadline() == 105
    assert (carry(other, one, 105), one.unacknowledged) == ([2], ())


def test_no_more_than_the_window_flies_and_no_more_than_the_queue_waits() -> None:
    one, other = sides(window=2, queue=3)
    assert [one.send(b"a"), one.send(b"b"), one.send(b"c")] == [1, 2, 3]
    with pytest.raises(UsageError, match="3 messages wait for their acknowledgment"):
        one.send(b"d")
    assert carry(one, other) == [1, 1]
    assert carry(one, other) == []
    other.take(0)
    assert carry(other, one) == [2]
    assert carry(one, other) == [1]


def test_goodbye_comes_after_the_last_data_and_is_finished_with_its_acknowledgment() -> None:
    one, other = sides(window=1)
    one.send(b"a")
    one.send(b"b")
    one.close()
    with pytest.raises(ChannelClosed, match="this side has said goodbye"):
        one.send(b"c")
    assert (carry(one, other), other.take(0)) == ([1], b"a")
    assert carry(other, one) == [2]
    assert carry(one, other) == [1, 5]
    assert not one.finished
    assert (other.take(0), carry(other, one), one.finished) == (b"b", [2], True)
    with pytest.raises(ChannelClosed, match="the peer has said goodbye"):
        other.take(0)
    one.ended(PeerLost("reset after all was said"))
    assert isinstance(one.error, ChannelClosed)


def test_a_goodbye_is_not_said_again_to_who_has_said_it_and_may_have_closed() -> None:
    one, other = sides()
    other.send(b"a")
    one.close()
    other.close()
    assert (carry(one, other), carry(other, one)) == ([5], [1, 5])  # something was left to say
    assert (one.take(0), carry(one, other), other.finished) == (b"a", [2], True)
    one, other = sides()
    one.send(b"a")
    one.close()
    assert carry(one, other) == [1, 5]
    other.close()
    assert not other.second
    assert (other.take(0), carry(other, one), one.finished, one.second) == (b"a", [2], True, False)
    assert (other.second, other.finished, other.outgoing(0)) == (True, True, [])
    one.ended(ChannelClosed("the peer has finished"))
    assert str(one.error) == str(ChannelClosed("this side has said goodbye"))


def test_a_flood_of_pings_is_answered_by_one_pong() -> None:
    one, other = sides()
    for _ in range(999):
        one.ping()
        carry(one, other)
    assert other.outgoing(0) == [b"\4" + (999).to_bytes(8, "big")]


def test_what_was_taken_may_be_received_after_the_loss_and_then_the_loss_is_told() -> None:
    one, other = sides()
    one.send(b"a")
    carry(one, other)
    other.send(b"mine")
    other.ended(ChannelClosed("the peer has finished"))
    assert other.take(0) == b"a"
    with pytest.raises(PeerLost, match="the peer closed the connection without a goodbye; 1 message not") as caught:
        other.take(0)
    assert caught.value.unacknowledged == (b"mine",)


def test_the_silence_of_the_dead_is_counted_from_their_last_byte() -> None:
    life = Life(LifeSettings(interval=3 * SECOND, timeout=SECOND, misses=2), 0)
    life.heard(1500 * MILLISECOND)
    for now in (4500, 5500, 6500):
        assert life.error is None
        life.handle_timers(now * MILLISECOND)
        life.outgoing(now * MILLISECOND)
    assert str(life.error) == "nothing was heard for 5.000 s and 2 PINGs"


@given(st.integers(1, 50), st.integers(1, 20), st.integers(1, 5), st.lists(st.integers(1, 60), max_size=10))
def test_death_is_found_exactly_at_the_bound_after_the_last_byte(
    interval: int, timeout: int, misses: int, gaps: list[int]
) -> None:
    life = Life(LifeSettings(interval=interval, timeout=timeout, misses=misses), 0)
    now = 0
    bound = interval + misses * timeout
    for gap in gaps:
        if gap >= bound:
            continue
        for now in range(now + 1, now + gap + 1):  # noqa: B020
            life.handle_timers(now)
        life.heard(now)
        assert life.error is None
    last = now
    while life.error is None:
        now = life.next_deadline()
        life.handle_timers(now)
    assert isinstance(life.error, PeerDead)
    assert now - last == bound == life.settings.detection
    assert life.next_deadline() == NEVER


FRAMINGS: list[Framing] = [LengthHeader(2, checksum=True), VarintHeader(), Delimiter(b"\0\xff\0"), FixedSize(1000)]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1 << 30), st.sampled_from(FRAMINGS), st.lists(st.integers(0, 60_000), min_size=1, max_size=12),
    st.sampled_from([0.0, 0.02, 0.15]), st.sampled_from([0.0, 0.3]), st.sampled_from([0.0, 0.02]),
)  # fmt: skip
def test_any_messages_over_a_bad_network_are_the_same_in_the_same_order(
    seed: int, framing: Framing, sizes: list[int], loss: float, reorder: float, corrupt: float
) -> None:
    ground = SimGround(seed, loss=loss, reorder=reorder, duplicate=0.05, corrupt=corrupt)
    draw = random.Random(seed)
    fixed = framing.size if isinstance(framing, FixedSize) else None
    sent = [bytes(draw.choices(range(1, 255), k=fixed or size)) for size in sizes]

    async def echo(stream: aio.MessageStream) -> None:
        async for message in stream:
            stream.send(message)
            await stream.drain()

    async def program() -> list[bytes]:
        with ground.server:
            server = await aio.serve(echo, ground.address, PORT, framing)
        with ground.client:
            stream = await aio.connect(ground.address, PORT, framing)
        for message in sent:
            stream.send(message)
            await stream.drain()
        stream.finish()
        found = [message async for message in stream]
        await stream.close(timeout=1000)
        await asyncio.sleep(100)
        await server.close()
        return found

    assert ground.run(program) == sent


def test_the_units_are_what_they_are_called() -> None:
    assert (MILLISECOND, SECOND) == (10**6, 10**9)


def test_what_the_peer_cannot_have_meant_is_refused_at_its_very_edge() -> None:
    one, other = sides()
    for message in (b"a", b"b"):
        one.send(message)
    carry(one, other)
    one.received(HEAD.pack(2, 2))
    with pytest.raises(ProtocolError, match="ACK 1 is not between 2 and 2"):
        one.received(HEAD.pack(2, 1))  # less than was acknowledged
    one, other = sides()
    one.ping()
    carry(one, other)
    with pytest.raises(ProtocolError, match="PONG 2 answers a PING that was never sent"):
        one.received(HEAD.pack(4, 2))


@pytest.mark.parametrize("end", [ChannelClosed("the peer has finished"), PeerLost("reset")])
def test_a_goodbye_makes_no_orderly_end_of_what_is_unconfirmed(end: ChannelError) -> None:
    one, other = sides()
    one.send(b"a")
    one.close()
    assert carry(one, other) == [1, 5]
    one.ended(end)
    assert isinstance(one.error, PeerLost)
    assert one.error.unacknowledged == (b"a",)


def test_our_fin_is_due_when_all_is_acknowledged_on_both_sides() -> None:
    one, other = sides()
    assert not one.leaves(taking=False)  # nobody closes
    one.send(b"a")
    other.send(b"b")
    assert (carry(one, other), carry(other, one)) == ([1], [1])
    assert one.take(0) == b"b"
    one.close()
    assert carry(one, other) == [2, 5]  # what was taken is acknowledged with the goodbye
    assert not one.leaves(taking=False)
    assert (other.take(0), carry(other, one)) == (b"a", [2])
    assert (one.finished, one.leaves(taking=False), one.leaves(taking=True)) == (True, True, True)


def test_who_closes_second_waits_for_the_others_fin_and_who_left_something_unread_does_not() -> None:
    one, other = sides()
    one.close()
    carry(one, other)
    other.close()
    assert (carry(other, one), other.finished, other.second) == ([], True, True)
    assert not other.leaves(taking=False)
    one, other = sides()
    one.send(b"a")
    one.close()
    carry(one, other)
    other.close()
    assert (carry(other, one), other.finished, other.second) == ([], True, False)
    assert other.leaves(taking=False)
    assert not other.leaves(taking=True)  # it is being read still


def test_goodbyes_that_cross_let_both_sides_leave() -> None:
    one, other = sides()
    one.close()
    other.close()
    mine, theirs = one.outgoing(0), other.outgoing(0)
    assert [message[0] for message in mine + theirs] == [5, 5]
    other.received(mine[0])
    one.received(theirs[0])
    for side in (one, other):
        assert (side.second, side.leaves(taking=False), side.leaves(taking=True)) == (False, True, True)


def test_who_still_takes_asks_behind_its_goodbye_and_leaves_when_all_before_the_answer_is_acknowledged() -> None:
    one, other = sides()
    one.close(taking=True)
    goodbye, ping = one.outgoing(0)
    assert (goodbye[0], ping) == (5, HEAD.pack(3, 1))
    for message in (b"a", b"b"):
        other.send(message)
    for message in other.outgoing(0):
        one.received(message)  # they crossed with the goodbye
    assert not one.leaves(taking=True)
    other.received(goodbye)
    other.received(ping)
    assert (carry(other, one), one.finished) == ([4], True)
    assert not one.leaves(taking=True)
    assert one.leaves(taking=False)  # nobody takes them after all
    assert one.take(0) == b"a"
    assert not one.leaves(taking=False)  # taken, and its ACK has not gone
    assert carry(one, other) == [2]  # at once, the goodbye being said
    assert not one.leaves(taking=False)  # one was taken since, so the other will be
    assert (one.take(0), carry(one, other)) == (b"b", [2])
    assert one.leaves(taking=True)


def test_what_was_taken_is_acknowledged_before_our_fin() -> None:
    one, other = sides()
    one.close()
    assert carry(one, other) == [5]
    other.send(b"a")
    assert carry(other, one) == [1]
    assert one.leaves(taking=False)  # nobody asked for it
    assert one.take(0) == b"a"
    assert not one.leaves(taking=False)
    assert carry(one, other) == [2]
    assert one.leaves(taking=False)


def test_what_comes_after_the_answer_is_not_waited_for() -> None:
    one, other = sides()
    one.close(taking=True)
    other.send(b"a")
    carry(other, one)
    carry(one, other)
    assert (one.take(0), carry(one, other), carry(other, one)) == (b"a", [2], [4])
    other.send(b"after the goodbye")
    assert carry(other, one) == [1]
    one.ping()
    assert (carry(one, other), carry(other, one)) == ([3], [4])  # a later answer moves nothing
    assert one.leaves(taking=True)


def test_who_has_heard_the_goodbye_asks_nothing() -> None:
    one, other = sides()
    one.close()
    carry(one, other)
    other.close(taking=True)
    assert carry(other, one) == []
    other.close(taking=True)
    assert carry(other, one) == []


def test_after_our_fin_nothing_goes_out_and_nothing_is_watched() -> None:
    life = Life(LifeSettings(interval=10, timeout=1, misses=1), 0)
    life.close()
    assert [message[0] for message in life.outgoing(0)] == [5]
    life.leave()
    life.received(HEAD.pack(3, 7))
    life.handle_timers(10)
    life.handle_timers(100)
    assert (life.outgoing(100), life.next_deadline(), life.error) == ([], NEVER, None)
    life.ended(ChannelClosed("the peer has finished"))
    assert isinstance(life.error, ChannelClosed)


def test_what_cannot_be_sent_now_makes_no_deadline() -> None:
    one, other = sides(interval=1000, ack_delay=5)
    one.send(b"a")
    carry(one, other)
    other.take(10)
    assert (other.next_deadline(), other.next_deadline(blocked=True)) == (15, 1000)


def test_what_an_end_left_unacknowledged_is_told_by_a_loss_whatever_ended_it() -> None:
    one, _ = sides()
    assert one.loss() is None
    one.ended(PeerLost("reset"))
    assert one.loss() is None
    one, _ = sides()
    one.send(b"a")
    one.ended(PeerLost("reset"))
    assert one.loss() is one.error
    one, _ = sides()
    one.send(b"a")
    error = ProtocolError("nonsense", offset=1)
    one.ended(error)
    lost = one.loss()
    assert isinstance(lost, PeerLost)
    assert (lost.what, lost.unacknowledged, lost.__cause__) == (f"the connection ended: {error}", (b"a",), error)


def test_the_window_is_the_peers_to_keep_to_the_message() -> None:
    one, other = sides(window=2)
    for number in (1, 2):
        other.received(HEAD.pack(1, number))
    with pytest.raises(ProtocolError, match=r"DATA 3 while 0 is acknowledged \(message 2 of the stream, limit 2\)"):
        other.received(HEAD.pack(1, 3))
    assert one.error is None


def test_giving_up_is_a_loss_where_something_is_unacknowledged_and_an_end_where_not() -> None:
    one, other = sides()
    one.send(b"a")
    for side in (one, other):
        side.give_up("enough")
    assert (type(one.error), type(other.error), str(other.error)) == (PeerLost, ChannelClosed, "enough")
    one.give_up("twice")
    assert "enough" in str(one.error)


def test_a_fin_that_no_goodbye_came_before_is_a_loss_even_of_nothing() -> None:
    one, _ = sides()
    one.ended(ChannelClosed("the peer has finished"))
    assert isinstance(one.error, PeerLost)
    assert str(one.error) == "the peer closed the connection without a goodbye"


def test_a_goodbye_makes_the_acknowledgment_of_what_was_taken_due_at_once() -> None:
    one, other = sides(ack_delay=5)
    one.send(b"a")
    carry(one, other)
    other.take(100)
    assert other.next_deadline() == 105
    one.close()
    assert carry(one, other) == [5]
    assert (other.next_deadline(), carry(other, one, 100)) == (0, [2])
