"""The SYN queue: packed records in the order of their timers, and what each of them takes."""

import gc
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from synfin.engine.config import NEVER
from synfin.engine.segment import SYN, Segment
from synfin.engine.synqueue import HalfOpen, Line, SynQueue

SECOND = 1_000_000_000
WAITS = [SECOND * (2**n - 1) for n in range(1, 7)]  # 1, 3, 7, 15, 31, 63
PORT = b"\0\x50"


def key4(number: int) -> bytes:
    return number.to_bytes(4, "big") + bytes((10, 0, 0, 2, 0xC0, 0)) + PORT


def key6(number: int) -> bytes:
    return number.to_bytes(16, "big") + b"\xfd" + bytes(14) + bytes((1 + number % 3,)) + b"\xc0\0" + PORT


def record(seq: int, now: int) -> HalfOpen:
    syn = Segment(seq, 0, SYN, 64_240)
    syn.mss, syn.wscale, syn.sack_permitted, syn.has_timestamps, syn.tsval = 1460, 7, True, True, 0xFFFF_FFF0
    return HalfOpen.of(syn, seq + 1, now)


def test_a_record_comes_back_as_it_was_kept() -> None:
    queue = SynQueue(WAITS, PORT)
    queue.add(key6(5), record(7, 9))
    found = queue.get(key6(5))
    assert found is not None
    assert (found.irs, found.iss, found.since, found.level, found.syn_acks) == (7, 8, 9, 0, 1)
    syn = found.syn()
    assert (syn.seq, syn.flags, syn.window, syn.mss, syn.wscale) == (7, SYN, 64_240, 1460, 7)
    assert (syn.sack_permitted, syn.has_timestamps, syn.tsval) == (True, True, 0xFFFF_FFF0)
    assert list(queue) == [(key6(5), 9, 1)]
    assert queue.get(key6(8)) is None, "another remote"
    assert queue.get(key6(5)[:31] + b"\x09" + key6(5)[32:]) is None, "another local address"


@pytest.mark.parametrize(("told", "kept"), [(-1, -1), (0, 0), (14, 14), (15, 14), (255, 14)])
def test_a_scale_above_14_is_14(told: int, kept: int) -> None:
    syn = Segment(1, 0, SYN, 1)
    syn.wscale = told
    assert HalfOpen.of(syn, 0, 0).syn().wscale == kept


# --- against a model


class Model(RuleBasedStateMachine):
    """A SynQueue beside a plain dict of [since, level, times answered]."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = SynQueue(WAITS, PORT)
        self.model: dict[bytes, list[int]] = {}
        self.now = 0

    @rule(number=st.integers(0, 60), six=st.booleans())
    def add(self, number: int, six: bool) -> None:
        key = key6(number) if six else key4(number)
        if key not in self.model:
            self.queue.add(key, record(number, self.now))
            self.model[key] = [self.now, 0]

    @rule(data=st.data(), count=st.integers(1, 30))
    def remove(self, data: st.DataObject, count: int) -> None:
        for _ in range(min(count, len(self.model))):
            key = data.draw(st.sampled_from(sorted(self.model)))
            found = self.queue.get(key)
            assert found is not None
            self.queue.remove(found)
            del self.model[key]

    @rule(pause=st.integers(1, 5 * SECOND))
    def wait(self, pause: int) -> None:
        self.now += pause

    @rule(most=st.integers(1, 100))
    def timers(self, most: int) -> None:
        for _ in range(most):
            found = self.queue.due(self.now)
            late = [key for key, (since, level) in self.model.items() if since + WAITS[level] <= self.now]
            assert (found is None) == (not late)
            if found is None:
                return
            key = found[0]
            assert key in late
            expected = self.model[key]
            assert expected[1] == max(self.model[other][1] for other in late), "the oldest first"
            expected[1] = next((n for n, wait in enumerate(WAITS) if expected[0] + wait > self.now), len(WAITS))
            if not self.queue.advance(found[1], self.now):
                assert expected[1] == len(WAITS)
                del self.model[key]

    @rule()
    def evict(self) -> None:
        found = self.queue.oldest()
        if found is None:
            assert not self.model
            return
        assert self.model[found[0]][0] == min(since for since, _ in self.model.values())
        self.queue.remove(found[1])
        del self.model[found[0]]

    @invariant()
    def agrees(self) -> None:
        assert len(self.queue) == len(self.model)
        listed = {key: (since, syn_acks - 1) for key, since, syn_acks in self.queue}
        assert listed == {key: (since, level) for key, (since, level) in self.model.items()}
        first = min((since + WAITS[level] for since, level in self.model.values()), default=NEVER)
        assert self.queue.deadline() == first


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_holes_in_a_line_stay_few_beside_those_that_wait() -> None:
    queue = SynQueue(WAITS, PORT)
    queue.add(key4(0), record(0, 0))
    for number in range(1, 10_000):  # a peer that opens and resets, over and over
        made = record(number, number)
        queue.add(key4(number), made)
        queue.remove(made)
        (line, *_) = queue._lines
        assert len(line.keys) - line.head <= 64 + 2 * 1 + 1
    found = queue.due(SECOND)
    assert found is not None
    assert (found[0], len(queue)) == (key4(0), 1)


def test_places_wrap_around_32_bits() -> None:
    line = Line()
    line.base = 0xFFFF_FFFF
    places = [line.append(b"a"), line.append(b"b"), line.append(b"c")]
    assert places == [0xFFFF_FFFF, 0, 1]
    line.remove(0)
    assert line.first() == b"a"
    line.remove(0xFFFF_FFFF)
    assert line.first() == b"c"
    line.remove(1)
    assert (line.first(), line.base, line.keys) == (None, 2, [])


# --- what an entry takes

LIMIT = 200  # bytes


def traced(run: Iterator[SynQueue]) -> Iterator[float]:
    """Bytes for each record after each step of `run`."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for queue in run:
            yield (tracemalloc.get_traced_memory()[0] - before) / len(queue)
    finally:
        tracemalloc.stop()


def filled(count: int, six: bool) -> Iterator[SynQueue]:
    """A queue of `count`, then after its timers, then after a third of it has been replaced."""
    make = key6 if six else key4
    queue = SynQueue(WAITS, PORT)
    for number in range(count):
        queue.add(make(number), record(number, number))
    yield queue
    now = count + SECOND
    while (found := queue.due(now)) is not None:
        queue.advance(found[1], now)
    yield queue
    for number in range(count, count + count // 3):
        oldest = queue.oldest()
        assert oldest is not None
        queue.remove(oldest[1])
        queue.add(make(number), record(number, now + number))
        if number == count + count // 8:
            yield queue
    yield queue


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_a_hundred_thousand_entries_take_200_bytes_each_or_less_with_their_places_in_the_table(six: bool) -> None:
    each = list(traced(filled(100_000, six)))
    assert len(each) == 4
    assert max(each) <= LIMIT, each


@pytest.mark.parametrize("count", [5500, 11_000, 22_000, 30_000, 43_800])  # some just after the table has grown
def test_it_is_so_for_other_numbers_of_entries(count: int) -> None:
    each = list(traced(filled(count, six=True)))
    assert max(each) <= LIMIT, each
