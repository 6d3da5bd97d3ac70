"""The pieces of evidence by themselves: which handshakes are asked for, what is many, and whose the namespace's counts are."""

import pytest

from synfin.watch import evidence
from synfin.watch.sample import HalfOpenEntry, ListenerSample, Sample
from synfin.watch.settings import Settings
from synfin.watch.verdict import share_of, whose
from synfin.watch.window import Interval

SETTINGS = Settings()
ANY = bytes(4)


def counted(*pairs: tuple[int, int], resets: int = 0) -> list[Interval]:
    """Intervals of one second, with handshakes begun and completed in each."""
    return [Interval(seconds=1.0, taken=begun, completed=completed, resets=resets) for begun, completed in pairs]


def listener(half_open: int, limit: int | None = 256, port: int = 80) -> ListenerSample:
    return ListenerSample(address=ANY, port=port, half_open=half_open, half_open_limit=limit)


def test_the_newest_handshakes_have_had_no_time_and_are_not_asked_for() -> None:
    """A crowd whose first SYNs came just now."""
    found = evidence.by_counts(counted((10, 10), (10, 10), (1000, 10)), 0.0, SETTINGS)
    assert found is not None
    assert (found.failed, found.score) == (0, 0.0)


def test_a_flood_that_has_ended_says_nothing() -> None:
    found = evidence.by_counts(counted((1000, 10), (1000, 10), (10, 10), (10, 10), (10, 10)), 0.0, SETTINGS)
    assert found is not None
    assert found.score == 0.0


@pytest.mark.parametrize(("resets", "volume"), [(0, 1.0), (100, 10 / 15 * 10 / 15)])
def test_what_a_reset_ended_counts_a_tenth(resets: int, volume: float) -> None:
    found = evidence.by_counts(counted((100, 0), (100, 0), resets=resets), 0.0, SETTINGS)
    assert found is not None
    assert found.failed == 100
    assert found.volume == pytest.approx(volume)


@pytest.mark.parametrize(("failed", "total", "bound"), [(3, 3, 0.43), (15, 15, 0.79), (1000, 1000, 0.996), (0, 10, 0.0)])
def test_few_handshakes_prove_little(failed: int, total: int, bound: float) -> None:
    """Wilson's bound, two standard deviations down: 1 / (1 + 4 / n) where all fail."""
    assert evidence.lower_bound(failed, total, SETTINGS.confidence) == pytest.approx(bound, abs=0.005)
    found = evidence.by_counts(counted((total, total - failed), (0, 0)), 0.0, SETTINGS)
    assert found is not None
    assert found.share == evidence.lower_bound(failed, total, SETTINGS.confidence)


@pytest.mark.parametrize(
    ("half_open", "limit", "pressure"),
    [(8, 8, 0.0), (19, 16, 0.0), (20, 16, 1.0), (96, 256, 0.5), (192, 256, 1.0), (300, None, 0.0)],
)
def test_the_full_queue_of_a_small_listener_is_no_pressure(half_open: int, limit: int | None, pressure: float) -> None:
    assert evidence.pressed(listener(half_open, limit), SETTINGS) == pressure


@pytest.mark.parametrize(("unanswered", "told"), [(99, False), (100, True)])
def test_cookies_of_no_listener_have_to_be_many(unanswered: int, told: bool) -> None:
    intervals = [Interval(seconds=1.0, by_cookie=count, completed_by_cookie=0) for count in (unanswered, 0)]
    found = evidence.by_cookies(intervals, SETTINGS, SETTINGS.unattributed)
    assert (found is not None) is told


def test_a_table_of_young_half_open_entries_alone_proves_nothing() -> None:
    rows = tuple(HalfOpenEntry(ANY, 80, bytes((192, 0, 2, number)), 1024, 400_000_000, 1) for number in range(150))
    full = ListenerSample(address=ANY, port=80, half_open=150, entries=rows)
    assert evidence.alone(full, {}, 0.0, SETTINGS).score == 0.0
    beside = evidence.alone(full, {"ESTABLISHED": 2}, 0.0, SETTINGS)
    assert SETTINGS.suspected <= beside.score < SETTINGS.flood


@pytest.mark.parametrize(
    ("drops", "sent", "accepted", "pressing"),
    [(0, 0, 0, False), (29, 0, 0, False), (30, 0, 0, True), (0, 100, 0, True), (0, 100, 65, True), (0, 100, 66, False)],
)
def test_syns_without_room_are_a_flood_that_goes_on(drops: int, sent: int, accepted: int, pressing: bool) -> None:
    newest = Interval(seconds=1.0, queue_drops=drops, by_cookie=sent, completed_by_cookie=accepted)
    quiet = Interval(seconds=1.0, queue_drops=0, by_cookie=0, completed_by_cookie=0)
    assert evidence.pressing(listener(256), [quiet, newest], SETTINGS) is pressing


def test_two_full_queues_are_nobodys() -> None:
    def seen(*lengths: int) -> Sample:
        listeners = tuple(listener(length, port=80 + number) for number, length in enumerate(lengths))
        return Sample(at=1, source="kernel", listeners=listeners)

    assert whose(seen(0), None) == (ANY, 80)
    assert whose(seen(256, 3), None) == (ANY, 80)
    assert whose(seen(256, 256), None) is None
    assert whose(seen(3, 3), seen(3, 256)) == (ANY, 81), "it was full a moment ago"
    assert whose(seen(3, 3), None) is None


def test_of_several_listeners_only_what_a_full_queue_causes_is_its_own() -> None:
    totals: dict[str, int | None] = {
        "completed": 7,
        "cookies_sent": 5,
        "cookies_accepted": 1,
        "syn_queue_drops": 2,
        "resets": 3,
    }
    assert share_of(totals, owner=True, only=True) == totals
    assert share_of(totals, owner=True, only=False) == {"cookies_sent": 5, "cookies_accepted": 1, "syn_queue_drops": 2}
    assert share_of(totals, owner=False, only=False) == {}
    assert share_of(None, owner=True, only=True) == {}
