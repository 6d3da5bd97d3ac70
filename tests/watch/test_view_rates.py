"""What changed between two samples: rates, prefixes, and how many SYNs there were at the least."""

from hypothesis import given
from hypothesis import strategies as st

from synfin.watch.rates import REMEMBERED, Changes, Prefix, least_syns, prefix_of
from synfin.watch.sample import Counts, HalfOpenEntry, ListenerSample, Sample

ANY = bytes(4)
LOCAL = bytes([10, 0, 0, 1])
SECOND = 1_000_000_000


def entry(remote: str, port: int = 40000) -> HalfOpenEntry:
    return HalfOpenEntry(LOCAL, 80, bytes(int(part) for part in remote.split(".")), port)


def listener(*remotes: str, port: int = 80, drops: int | None = None, counts: Counts = Counts()) -> ListenerSample:  # noqa: B008
    return ListenerSample(
        address=ANY, port=port, half_open=len(remotes), drops=drops, counts=counts, entries=tuple(map(entry, remotes))
    )


def sample(at: float, *listeners: ListenerSample, **totals: int) -> Sample:
    return Sample(at=int(at * SECOND), source="kernel", listeners=listeners, totals=Counts(**totals))


def test_the_first_sample_has_no_rates() -> None:
    change = Changes().add(sample(5, listener("1.2.3.4", drops=7), completed=10))
    (only,) = change.listeners
    assert (change.seconds, change.syns_at_least, change.total.counts["completed"]) == (0, 0, None)
    assert (only.rates.new_half_open, only.rates.drops, only.new_prefixes, only.prefixes) == (0, None, 0, 1)


def test_rates_are_a_second() -> None:
    changes = Changes()
    changes.add(sample(0, listener("1.2.3.4", drops=7), completed=10, cookies_sent=0))
    change = changes.add(sample(2, listener("1.2.3.4", "5.6.7.8", "5.6.7.9", drops=17), completed=30, cookies_sent=5))
    (only,) = change.listeners
    assert change.seconds == 2
    assert (only.rates.new_half_open, only.rates.drops, only.prefixes, only.new_prefixes) == (1, 5, 2, 0.5)
    assert (change.total.counts["completed"], change.total.counts["cookies_sent"], change.total.drops) == (10, 2.5, 5)
    assert change.total.counts["evicted"] is None


def test_a_counter_that_fell_began_anew() -> None:
    changes = Changes()
    changes.add(sample(0, listener(drops=100), completed=1000))
    change = changes.add(sample(1, listener(drops=3), completed=5))
    assert (change.total.counts["completed"], change.total.drops) == (0, 0)


def test_a_listener_that_came_meanwhile_has_no_rates_yet() -> None:
    changes = Changes()
    changes.add(sample(0, listener(port=80, drops=0)))
    change = changes.add(sample(1, listener(port=80, drops=1), listener("1.2.3.4", port=81, drops=9)))
    assert [(each.rates.drops, each.rates.new_half_open) for each in change.listeners] == [(1, 0), (None, 0)]
    assert change.total.drops == 1


def test_counts_of_listeners_are_added_up_where_the_source_has_no_totals() -> None:
    changes = Changes()
    for at, first, second in ((0, 10, 20), (1, 13, 24)):
        one, other = (listener(port=port, counts=Counts(syns=syns)) for port, syns in ((1, first), (2, second)))
        change = changes.add(sample(at, one, other))
    assert (change.total.counts["syns"], change.syns_at_least) == (7, 7)


def test_prefixes_are_counted_largest_first() -> None:
    change = Changes().add(sample(0, listener("1.2.3.4", "1.2.3.5", "9.9.9.9", "8.8.8.8", "7.7.7.7")))
    assert change.listeners[0].top == (
        Prefix(bytes([1, 2, 3, 0]), 24, 2), Prefix(bytes([7, 7, 7, 0]), 24, 1), Prefix(bytes([8, 8, 8, 0]), 24, 1),
    )  # fmt: skip
    assert change.listeners[0].prefixes == 4


def test_a_prefix_is_new_again_after_so_many_samples_without_it() -> None:
    changes = Changes()
    changes.add(sample(0, listener("1.2.3.4")))
    for at in range(1, REMEMBERED):
        changes.add(sample(at, listener()))
    assert changes.add(sample(REMEMBERED, listener("1.2.3.9"))).listeners[0].new_prefixes == 0
    for at in range(1, REMEMBERED + 1):
        changes.add(sample(REMEMBERED + at, listener()))
    assert changes.add(sample(2 * REMEMBERED + 1, listener("1.2.3.9"))).listeners[0].new_prefixes == 1


def test_a_mapped_address_is_counted_as_ipv4_and_an_ipv6_one_by_its_site() -> None:
    assert prefix_of(bytes(10) + b"\xff\xff" + bytes([1, 2, 3, 4])) == (bytes([1, 2, 3, 0]), 24)
    assert prefix_of(bytes(range(16))) == (bytes(range(6)) + bytes(10), 48)


def test_syns_are_new_entries_cookies_drops_and_what_completed_in_between() -> None:
    before = sample(0, listener("1.1.1.1", "2.2.2.2"), completed=0, cookies_sent=0, cookies_accepted=0, syn_queue_drops=0)
    after = sample(1, listener("2.2.2.2", "3.3.3.3"), completed=9, cookies_sent=100, cookies_accepted=3, syn_queue_drops=20)
    # 3.3.3.3; 100 cookies; 20 turned away; 9 completed, of which 3 by cookie, and 1.1.1.1 may be one of the others
    assert least_syns(before, after) == 1 + 100 + 20 + (9 - 3 - 1)


def test_drops_at_the_accept_queue_are_not_taken_for_syns() -> None:
    before = sample(0, listener(drops=0), accept_queue_drops=0)
    assert least_syns(before, sample(1, listener(drops=50), accept_queue_drops=50)) == 0


@given(st.data())
def test_the_estimate_is_never_above_the_truth(data: st.DataObject) -> None:
    """A queue without cookies: SYNs come, some complete, some are dropped; whatever the order, no more are claimed."""
    queue: list[str] = [f"9.9.9.{n}" for n in range(data.draw(st.integers(0, 3)))]
    before = sample(0, listener(*queue), completed=0, cookies_sent=0, cookies_accepted=0, syn_queue_drops=0)
    syns = completed = dropped = cookies = accepted = 0
    for step in range(data.draw(st.integers(0, 12))):
        what = data.draw(st.sampled_from(["syn", "complete", "drop", "cookie", "accept", "expire"]))
        if what == "syn":
            syns, _ = syns + 1, queue.append(f"1.1.{step}.1")
        elif what == "complete" and queue:
            queue.pop(data.draw(st.integers(0, len(queue) - 1)))
            completed += 1
        elif what == "expire" and queue:
            queue.pop(0)
        elif what == "drop":
            syns, dropped = syns + 1, dropped + 1
        elif what == "cookie":
            syns, cookies = syns + 1, cookies + 1
        elif what == "accept":  # of a cookie sent in this interval or before it
            completed, accepted = completed + 1, accepted + 1
    after = sample(
        1, listener(*queue), completed=completed, cookies_sent=cookies, cookies_accepted=accepted, syn_queue_drops=dropped
    )
    assert least_syns(before, after) <= syns
