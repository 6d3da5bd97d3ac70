"""From consecutive samples of one source to what happened to each listener in the intervals between them.

Owns the arithmetic of one interval (Interval) and the sliding window of them (Track). Judges nothing, knows no threshold but
the ages it counts by. Pure.
"""

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from synfin.watch.entropy import network, unmapped
from synfin.watch.sample import COUNTS, NOTHING, Counts, ListenerSample, Sample

SECOND: Final = 1_000_000_000  # ns
COOKIES: Final = {"cookies_sent": None, "cookies_accepted": None, "cookies_refused": None}
OVERFLOWS: Final = {"syn_queue_drops": None, "accept_queue_drops": None}

Key = tuple[bytes, int]  # of an entry: remote address and port
Name = tuple[bytes, int]  # of a listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What happened to one listener between two samples; None for what its source does not tell.

    `cohort` entries were new in the sample before, `left` of them are still there: they have waited for an interval or more.
    """

    seconds: float
    taken: int | None = None  # handshakes begun: SYNs that were given an entry or a cookie
    by_cookie: int | None = None  # of these, by cookie
    completed: int | None = None
    completed_by_cookie: int | None = None
    queue_drops: int | None = None
    accept_drops: int = 0
    repeats: int = 0
    resets: int = 0
    evicted: int = 0
    cohort: int = 0
    left: int = 0
    new_networks: int = 0
    accept_full: bool = False


def grown(before: Counts, after: Counts) -> dict[str, int | None]:
    """By how much each count grew; one that fell began anew."""
    return {name: change(getattr(before, name), getattr(after, name)) for name in COUNTS}


def change(before: int | None, after: int | None) -> int | None:
    """By how much a count grew; None where one of the two is not known."""
    return None if before is None or after is None else max(after - before, 0)


def reduced(sample: Sample, without: frozenset[str]) -> Sample:
    """The sample as if its source did not tell some things."""
    if not without & {"cookies", "overflows", "repeats", "counters"}:
        return sample
    lost: dict[str, None] = {}
    if "cookies" in without:
        lost |= COOKIES
    if "overflows" in without:
        lost |= OVERFLOWS
    if "repeats" in without:
        lost["syn_ack_repeats"] = None
    counters = "counters" not in without

    def listener(each: ListenerSample) -> ListenerSample:
        entries = each.entries
        if "repeats" in without:
            entries = tuple(replace(entry, syn_acks=None) for entry in entries)
        drops = each.drops if counters and "overflows" not in without else None
        return replace(each, counts=replace(each.counts, **lost) if counters else NOTHING, drops=drops, entries=entries)

    totals = replace(sample.totals, **lost) if counters else NOTHING
    return replace(sample, listeners=tuple(map(listener, sample.listeners)), totals=totals)


class Track:
    """One listener over time: its newest sample and the intervals before it."""

    __slots__ = ("_fresh", "_known", "_limit", "_networks", "at", "intervals", "newest")

    def __init__(self, limit: int) -> None:
        self.newest: ListenerSample | None = None
        self.at: int = 0
        self.intervals: deque[Interval] = deque(maxlen=limit)
        self._known: set[Key] = set()  # entries of the newest sample
        self._fresh: set[Key] = set()  # of these, those that the sample before did not have
        self._networks: deque[set[bytes]] = deque(maxlen=limit)  # the networks of each sample

    def add(self, at: int, listener: ListenerSample, totals: dict[str, int | None]) -> None:
        """The next sample of it, at `at` ns. `totals` are counts of all listeners that are known to be this one's."""
        before = self.newest
        keys = {(entry.remote, entry.remote_port) for entry in listener.entries}
        networks = {network(unmapped(remote)) for remote, _ in keys}
        if before is None:
            self._fresh = set()
        else:
            counts = grown(before.counts, listener.counts)
            counts = {name: totals.get(name) if value is None else value for name, value in counts.items()}
            cohort, left = len(self._fresh), len(self._fresh & keys)
            self._fresh = keys - self._known
            seen = set().union(*self._networks)
            self.intervals.append(
                interval(
                    max(at - self.at, 1) / SECOND, before, listener, counts, cohort, left, len(networks - seen),
                )
            )  # fmt: skip
        self._networks.append(networks)
        self.newest, self.at, self._known = listener, at, keys

    def trim(self, window: int) -> None:
        """Forget intervals that lie wholly before the newest `window` ns; the newest two stay."""
        total = sum(each.seconds for each in self.intervals)
        while len(self.intervals) > 2 and total - self.intervals[0].seconds >= window / SECOND:
            total -= self.intervals.popleft().seconds


def interval(
    seconds: float, before: ListenerSample, after: ListenerSample, counts: dict[str, int | None], cohort: int, left: int,
    new_networks: int,
) -> Interval:  # fmt: skip
    """One interval from two samples and the `counts` that grew between them."""
    by_cookie, by_cookie_done = counts["cookies_sent"], counts["cookies_accepted"]
    completed = counts["completed"]
    return Interval(
        seconds=seconds,
        taken=taken(after.half_open - before.half_open, counts, left),
        by_cookie=by_cookie,
        completed=completed,
        completed_by_cookie=by_cookie_done,
        queue_drops=counts["syn_queue_drops"],
        accept_drops=counts["accept_queue_drops"] or 0,
        repeats=counts["syn_ack_repeats"] or 0,
        resets=counts["resets"] or 0,
        evicted=counts["evicted"] or 0,
        cohort=cohort,
        left=left,
        new_networks=new_networks,
        accept_full=after.accept_limit is not None and after.accept_queue >= max(after.accept_limit, 1),
    )


def taken(more: int, counts: dict[str, int | None], left: int) -> int | None:
    """Handshakes begun in an interval in which the number of half-open entries grew by `more`; None: cannot be told.

    By balance where every way out of the queue is counted: begun = grown by + completed + reset + expired + evicted, and
    cookies. Else by the SYNs that arrived and were not turned away, in which a client's repeated SYN counts again. Else (the
    kernel) completed ones, cookies that were not accepted, resets, and entries that stayed for an interval: those that came and went
    otherwise cannot be seen.
    """
    completed, sent, accepted = counts["completed"], counts["cookies_sent"], counts["cookies_accepted"]
    if completed is None:
        return None
    ways = (counts["resets"], counts["expired"], counts["evicted"])
    if sent is not None and accepted is not None and None not in ways:
        out = sum(way for way in ways if way is not None)
        return max(more + completed - accepted + out + sent, 0)
    syns = counts["syns"]
    if syns is not None:
        return max(syns - (counts["syn_queue_drops"] or 0) - (counts["accept_queue_drops"] or 0), 0)
    cookies = 0 if sent is None or accepted is None else sent - accepted
    return max(completed + left + cookies + (counts["resets"] or 0), 0)

