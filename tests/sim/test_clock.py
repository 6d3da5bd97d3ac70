"""The clock: what happens when, in which order, and what can be taken back."""

import pytest

from synfin.engine.config import NEVER
from synfin.engine.errors import UsageError
from synfin.sim.clock import Clock, nanoseconds


def test_events_happen_in_the_order_of_their_times_and_then_of_their_asking() -> None:
    clock, seen = Clock(), []
    for when, name in ((30, "c"), (10, "a1"), (20, "b"), (10, "a2")):
        clock.schedule(when, lambda name=name: seen.append((clock.now, name)))
    clock.run()
    assert seen == [(10, "a1"), (10, "a2"), (20, "b"), (30, "c")]
    assert clock.now == 30


def test_an_event_may_ask_for_another_at_the_same_time() -> None:
    clock, seen = Clock(), []
    clock.schedule(5, lambda: clock.schedule(5, seen.append, ("second",)))
    clock.schedule(5, seen.append, ("first",))
    clock.run()
    assert seen == ["first", "second"]


def test_running_to_a_time_includes_it_and_leaves_the_clock_there() -> None:
    clock, seen = Clock(), []
    for when in (1, 10, 11):
        clock.schedule(when, seen.append, (when,))
    clock.run(10)
    assert (seen, clock.now, clock.next_when()) == ([1, 10], 10, 11)
    clock.run(10_000)
    assert (seen, clock.now, clock.next_when()) == ([1, 10, 11], 10_000, NEVER)


def test_a_cancelled_call_neither_happens_nor_moves_the_clock() -> None:
    clock, seen = Clock(), []
    timer = clock.call_at(100, seen.append, "late")
    clock.call_at(10, seen.append, "early")
    timer.cancel()
    clock.run()
    assert (seen, clock.now) == (["early"], 10)
    assert not timer.pending


def test_a_call_that_has_happened_is_no_longer_pending_and_cancelling_it_does_nothing() -> None:
    clock, seen = Clock(), []
    timer = clock.call_at(1, seen.append, "once")
    assert timer.pending
    clock.run()
    timer.cancel()
    assert (timer.pending, seen) == (False, ["once"])


def test_a_call_for_the_past_happens_now() -> None:
    clock = Clock(50)
    assert clock.call_at(20, lambda: None).when == 50


def test_stop_ends_the_run_after_the_event_that_is_happening() -> None:
    clock, seen = Clock(), []
    clock.schedule(1, clock.stop)
    clock.schedule(1, seen.append, ("left",))
    clock.run()
    assert seen == []
    clock.run()
    assert seen == ["left"]


def test_one_step_at_a_time() -> None:
    clock, seen = Clock(), []
    clock.call_at(1, seen.append, "cancelled").cancel()
    clock.call_at(2, seen.append, "a")
    clock.schedule(3, seen.append, ("b",))
    assert clock.next_when() == 2
    assert [clock.run_next(), clock.run_next(), clock.run_next()] == [True, True, False]
    assert (seen, clock.now) == (["a", "b"], 3)


def test_the_clock_may_be_moved_to_where_nothing_is_skipped() -> None:
    clock = Clock(5)
    clock.schedule(20, lambda: None)
    clock.advance(20)
    assert clock.now == 20
    for when in (19, 21):
        with pytest.raises(UsageError, match="forward only"):
            clock.advance(when)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, 0), (1, 1_000_000_000), (0.02, 20_000_000), (0.000_000_001, 1), (3600, 3_600_000_000_000)],
)
def test_seconds_become_whole_nanoseconds(seconds: float, expected: int) -> None:
    assert nanoseconds(seconds, "delay") == expected


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), "1", None, True])
def test_what_is_no_time_is_refused_by_name(wrong: object) -> None:
    with pytest.raises(UsageError, match="delay is a number of seconds, 0 or more"):
        nanoseconds(wrong, "delay")  # type: ignore[arg-type]
