"""What changed between two samples of one source: rates, source prefixes, and how many SYNs that takes at the least.

Owns the arithmetic of the view. No clock, no words, no verdict. Rates are a second; None where the source keeps no count.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from synfin.watch.entropy import NETWORK_BITS, prefix, unmapped
from synfin.watch.sample import COUNTS, NOTHING, Counts, HalfOpenEntry, ListenerSample, Sample

SECOND: Final = 1_000_000_000  # ns
TOP: Final = 3
REMEMBERED: Final = 10  # samples in which a prefix has to be absent to be new

Ends = tuple[bytes, int, bytes, int]  # local, port, remote, port


class Prefix(NamedTuple):
    """`entries` half-open entries come from `network`/`bits`."""

    network: bytes
    bits: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """One listener or all of them, between two samples; each a second. `counts` is by the names of sample.COUNTS."""

    counts: Mapping[str, float | None]
    drops: float | None
    new_half_open: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerChange:
    """A listener as it is now, and what changed: `prefixes` distinct source prefixes, `new_prefixes` a second among them."""

    listener: ListenerSample
    rates: Rates
    top: tuple[Prefix, ...]
    prefixes: int
    new_prefixes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The newer of two samples, and what changed in `seconds`; 0 seconds for the first sample, which has no rates.

    `syns_at_least` (a second) is the rate of SYNs where the source counts them, else what the visible changes need at least.
    """

    sample: Sample
    seconds: float
    listeners: tuple[ListenerChange, ...]
    total: Rates
    syns_at_least: float


def prefix_of(address: bytes) -> tuple[bytes, int]:
    """The network of `address`, a /24 or a site's /48 (RFC 6177): zeros behind, and its bits."""
    address = unmapped(address)
    bits = NETWORK_BITS[len(address)]
    return prefix(address, bits), bits


class Changes:
    """Follows one source: `add` each sample in turn."""

    def __init__(self) -> None:
        self._before: Sample | None = None
        self._recent: dict[tuple[bytes, int], deque[frozenset[tuple[bytes, int]]]] = {}

    def add(self, sample: Sample) -> Change:
        """What changed since the sample before it."""
        before, self._before = self._before, sample
        old = {each.name: each for each in before.listeners} if before is not None else {}
        seconds = max(sample.at - before.at, 1) / SECOND if before is not None else 0.0
        listeners = tuple(self._listener(old.get(each.name), each, seconds) for each in sample.listeners)
        names = {each.name for each in sample.listeners}
        self._recent = {name: kept for name, kept in self._recent.items() if name in names}
        total = _total(before, sample, seconds)
        return Change(
            sample=sample, seconds=seconds, listeners=listeners, total=total,
            syns_at_least=_syns(before, sample, total, seconds),
        )  # fmt: skip

    def _listener(self, old: ListenerSample | None, new: ListenerSample, seconds: float) -> ListenerChange:
        found = Counter(prefix_of(entry.remote) for entry in new.entries)
        recent = self._recent.setdefault(new.name, deque(maxlen=REMEMBERED))
        fresh = sum(1 for network in found if not any(network in known for known in recent)) if old is not None else 0
        recent.append(frozenset(found))
        ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:TOP]
        if old is None:
            rates = _rates(NOTHING, NOTHING, None, 0, 0.0)
        else:
            rates = _rates(old.counts, new.counts, _drops(old, new), _arrived(old, new), seconds)
        top = tuple(Prefix(network, bits, count) for (network, bits), count in ranked)
        return ListenerChange(
            listener=new, rates=rates, top=top, prefixes=len(found), new_prefixes=fresh / seconds if seconds else 0.0
        )


def _total(before: Sample | None, after: Sample, seconds: float) -> Rates:
    """All listeners together: their counts added up, or the totals of a source that keeps only those."""
    if before is None:
        return _rates(NOTHING, NOTHING, None, 0, 0.0)
    known = {each.name: each for each in before.listeners}
    pairs = [(known[new.name], new) for new in after.listeners if new.name in known]
    arrived = sum(_arrived(old, new) for old, new in pairs)
    drops = [grown for old, new in pairs if (grown := _drops(old, new)) is not None]
    old_counts = _sum(before.totals, [old.counts for old, _ in pairs])
    new_counts = _sum(after.totals, [new.counts for _, new in pairs])
    return _rates(old_counts, new_counts, sum(drops) if drops else None, arrived, seconds)


def least_syns(before: Sample, after: Sample) -> int:
    """At least so many SYNs arrived between two samples of a source that does not count them (the kernel).

    Every new half-open entry came with one, a cookie answered one, a SYN queue without room turned one away; and what
    completed by queue came in between, unless an entry of the earlier sample may account for it. Not in it: SYNs repeated for
    an entry that exists, entries that came and went unseen, and drops at a full accept queue, of which some are final ACKs.
    """
    old, new = _all_entries(before), _all_entries(after)

    def grown(name: str) -> int:
        first, last = getattr(before.totals, name), getattr(after.totals, name)
        return 0 if first is None or last is None else _grown(first, last)

    by_queue = grown("completed") - grown("cookies_accepted") - len(old - new)
    return len(new - old) + grown("cookies_sent") + grown("syn_queue_drops") + max(by_queue, 0)


def _all_entries(sample: Sample) -> set[Ends]:
    return {_ends(entry) for listener in sample.listeners for entry in listener.entries}


def _syns(before: Sample | None, after: Sample, total: Rates, seconds: float) -> float:
    counted = total.counts["syns"]
    if before is None or counted is not None:
        return counted or 0.0
    return least_syns(before, after) / seconds


def _sum(totals: Counts, parts: Sequence[Counts]) -> Counts:
    """`totals`, and what it lacks as the sum of `parts` where all of them have it."""
    added: dict[str, int | None] = {}
    for name in COUNTS:
        total: int | None = getattr(totals, name)
        kept = [getattr(each, name) for each in parts]
        added[name] = sum(kept) if total is None and kept and None not in kept else total
    return Counts(**added)


def _ends(entry: HalfOpenEntry) -> Ends:
    return entry.local, entry.local_port, entry.remote, entry.remote_port


def _arrived(old: ListenerSample, new: ListenerSample) -> int:
    """How many half-open entries are new; where no list of them is had, what the two numbers need at the least."""
    if not old.entries and not new.entries:
        return max(new.half_open - old.half_open, 0)
    return len({_ends(entry) for entry in new.entries} - {_ends(entry) for entry in old.entries})


def _drops(old: ListenerSample, new: ListenerSample) -> int | None:
    return None if old.drops is None or new.drops is None else _grown(old.drops, new.drops)


def _grown(old: int, new: int) -> int:
    return max(new - old, 0)  # a count that fell began anew


def _rates(old: Counts, new: Counts, drops: int | None, arrived: int, seconds: float) -> Rates:
    grown: dict[str, int | None] = {}
    for name in COUNTS:
        first, last = getattr(old, name), getattr(new, name)
        grown[name] = None if first is None or last is None else _grown(first, last)
    each = 1 / seconds if seconds else 0.0
    return Rates(
        counts={name: None if value is None else value * each for name, value in grown.items()},
        drops=None if drops is None else drops * each,
        new_half_open=arrived * each,
    )
