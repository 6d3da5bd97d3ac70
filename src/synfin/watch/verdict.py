"""Is this a SYN flood? One judgement for all sources: a running synfin, the kernel, a capture, a bare table of sockets.

Owns the decision: evidence in, findings out. Pure: no clock, no I/O, no randomness. How samples become evidence is
window.py's and evidence.py's, what the sources look like entropy.py's, the words verdict_words.py's.

The score is a product that can be followed by hand: the share of handshakes that are never completed (its lower bound), times
whether that is many (1 for enough of them, fast enough or filling the queue), times what the sources look like. The piece of
evidence with the highest score decides; Settings.flood and Settings.suspected make a level of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from synfin.stack.addresses import text
from synfin.watch import evidence
from synfin.watch.entropy import Sources, sources
from synfin.watch.evidence import Evidence
from synfin.watch.findings import Finding, Kind, Level, Reason
from synfin.watch.sample import NOTHING, ListenerSample, Sample
from synfin.watch.settings import INPUTS, Settings
from synfin.watch.verdict_words import REASONS, TITLES
from synfin.watch.window import Name, Track, grown, interval, reduced

__all__ = ["Finding", "Kind", "Level", "Reason", "Settings", "Watcher", "judge", "worst"]

DEFAULTS: Final = Settings()
NOWHERE: Final = ListenerSample(address=bytes(4), port=0, half_open=0)  # stands for the namespace


def judge(
    window: Sequence[Sample], settings: Settings = DEFAULTS, *, without: frozenset[str] = frozenset()
) -> list[Finding]:
    """What is to be said of the newest of `window` (oldest first), worst first; nothing of listeners that are well.

    Two samples will do, and for a bare table one. `without` takes inputs away: "cookies", "entropy", "repeats", "overflows",
    "counters"; raises ValueError for another.
    """
    watcher = Watcher(settings, without=without)
    found: list[Finding] = []
    for sample in window:
        found = watcher.add(sample)
    return found


def worst(findings: Sequence[Finding]) -> Level:
    """The highest level among them; NONE of nothing."""
    return max((finding.level for finding in findings), default=Level.NONE)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the SYNs come from: the kind that this makes of a flood, and what it counts in the score."""

    kind: Kind
    weight: float
    seen: Sources | None


class Watcher:
    """Follows one source: `add` each sample in turn; keeps no more than `settings.window`."""

    def __init__(self, settings: Settings = DEFAULTS, *, without: frozenset[str] = frozenset()) -> None:
        unknown = sorted(without - set(INPUTS))
        if unknown:
            raise ValueError(f"no input {unknown[0]!r}; there are: {', '.join(INPUTS)}")
        self.settings = settings
        self._without = without
        self._before: Sample | None = None
        self._tracks: dict[Name, Track] = {}
        self._whole: Track = Track(settings.intervals)

    def add(self, sample: Sample) -> list[Finding]:
        """What is to be said now, worst first."""
        sample = reduced(sample, self._without)
        before, self._before = self._before, sample
        if before is not None and sample.at <= before.at:  # another boot, or a clock set back: nothing can be compared
            self._tracks.clear()
            self._whole = Track(self.settings.intervals)
            before = None
        totals = grown(before.totals, sample.totals) if before is not None else None
        owner = whose(sample, before)
        tracks: dict[Name, Track] = {}
        for listener in sample.listeners:
            track = self._tracks.get(listener.name) or Track(self.settings.intervals)
            track.add(sample.at, listener, share_of(totals, owner == listener.name, len(sample.listeners) == 1))
            tracks[listener.name] = track
        self._tracks = tracks
        findings = [found for track in tracks.values() if (found := self._listener(track, sample, before is None)) is not None]
        if totals is not None and before is not None:
            seconds = (sample.at - before.at) / 1_000_000_000
            self._whole.intervals.append(interval(seconds, NOWHERE, NOWHERE, totals, 0, 0, 0))
            nowhere = self._nowhere(owner, findings)
            findings += [nowhere] if nowhere is not None else []
        return sorted(findings, key=lambda each: (-each.level, -each.score))

    def _listener(self, track: Track, sample: Sample, single: bool) -> Finding | None:
        """What is to be said of one listener; None for nothing."""
        listener, settings = track.newest, self.settings
        assert listener is not None
        track.trim(settings.window)
        pieces = self._pieces(track, listener, sample, single)
        best = max(pieces, key=lambda each: each.score, default=None)
        slow = slow_server(track, listener, best, settings)
        if best is None or best.score < settings.suspected:
            return self._slow(track, listener, Level.NONE, 0.0) if slow else None
        origin = self._origin(listener)
        score = best.score * origin.weight
        if slow:
            pressed = evidence.pressed(listener, settings) >= 1.0
            capped = min(score, (settings.flood + settings.suspected) / 2)
            return self._slow(track, listener, Level.SUSPECTED if pressed else Level.NONE, capped if pressed else 0.0)
        level = Level.FLOOD if score >= settings.flood else Level.SUSPECTED if score >= settings.suspected else Level.NONE
        if level is Level.NONE:
            return None
        network = origin.seen.network if origin.seen is not None and origin.kind in (Kind.HOST, Kind.PREFIX) else None
        return Finding(
            level=level, score=score, kind=origin.kind, listener=listener.name, owner=listener.owner,
            title=title(level, origin.kind, listener.name, network), network=network,
            reasons=(*map(self._piece, ranked(pieces, settings)), *self._source(origin), *circumstances(track, listener)),
        )  # fmt: skip

    def _pieces(self, track: Track, listener: ListenerSample, sample: Sample, single: bool) -> list[Evidence]:
        settings, pressure = self.settings, evidence.pressed(listener, self.settings)
        if single or not track.intervals:
            if not listener.half_open:
                return []
            if listener.counts != NOTHING or sample.totals != NOTHING:  # a second sample will tell more
                aged = evidence.by_age(listener, pressure, settings)
                return [aged] if aged is not None else []
            return [evidence.alone(listener, sample.states, pressure, settings)]
        intervals = list(track.intervals)
        newest = intervals[-1]
        found = [
            evidence.by_counts(intervals, pressure, settings),
            evidence.by_cookies(intervals, settings),
            evidence.by_age(listener, pressure, settings, intervals),
        ]
        # What a full queue still takes says nothing of those it does not take.
        healthy = newest.taken is not None and (newest.completed or 0) >= settings.healthy * newest.taken > 0
        if not healthy or pressure >= 1.0:
            found.append(evidence.by_waiting(intervals, pressure, settings))
        return [each for each in found if each is not None]

    def _origin(self, listener: ListenerSample) -> Origin:
        settings = self.settings
        seen = None
        if "entropy" not in self._without:
            seen = sources((entry.remote for entry in listener.entries), settings.concentrated)
        if seen is None or seen.count < settings.sources:
            return Origin(Kind.UNKNOWN, settings.unknown_weight, None)
        if seen.share >= settings.concentrated:
            host = seen.network[1] == 8 * len(seen.network[0])
            return Origin(Kind.HOST if host else Kind.PREFIX, settings.concentrated_weight, seen)
        if seen.randomness >= settings.randomness:
            return Origin(Kind.RANDOM, 1.0, seen)
        return Origin(Kind.UNKNOWN, settings.concentrated_weight, seen)

    def _nowhere(self, owner: Name | None, findings: Sequence[Finding]) -> Finding | None:
        """Cookies that no listener can be named for, unless some listener's own flood explains them."""
        if owner is not None or worst(findings) is Level.FLOOD:
            return None
        found = evidence.by_cookies(list(self._whole.intervals), self.settings, self.settings.unattributed)
        if found is None:
            return None
        score = found.score * self.settings.unknown_weight
        if score < self.settings.suspected:
            return None
        level = Level.FLOOD if score >= self.settings.flood else Level.SUSPECTED
        return Finding(
            level=level, score=score, kind=Kind.UNATTRIBUTABLE, listener=None,
            title=Reason("title", TITLES[level, Kind.UNATTRIBUTABLE]), reasons=(self._piece(found),),
        )  # fmt: skip

    def _slow(self, track: Track, listener: ListenerSample, level: Level, score: float) -> Finding:
        drops = sum(each.accept_drops for each in track.intervals)
        reasons = []
        if listener.accept_limit is not None and listener.accept_queue > listener.accept_limit:
            facts = {"length": listener.accept_queue, "limit": listener.accept_limit}
            reasons.append(Reason("accept queue", REASONS["accept queue"], facts))
        if drops:
            reasons.append(Reason("overflows", REASONS["overflows"], {"drops": drops}))
        return Finding(
            level=level, score=score, kind=Kind.SLOW_SERVER, listener=listener.name, owner=listener.owner,
            title=title(level, Kind.SLOW_SERVER, listener.name, None), reasons=tuple(reasons),
        )  # fmt: skip

    def _piece(self, found: Evidence) -> Reason:
        facts: dict[str, object] = {
            "failed": found.failed, "total": found.total, "share": found.failed / max(found.total, 1),
            "seconds": found.seconds,
        }  # fmt: skip
        return Reason(found.code, REASONS[found.code], facts)

    def _source(self, origin: Origin) -> list[Reason]:
        seen = origin.seen
        if seen is None:
            return []
        if origin.kind is Kind.RANDOM:
            return [Reason("random", REASONS["random"], {"distinct": seen.distinct, "randomness": seen.randomness})]
        if origin.kind is Kind.UNKNOWN:
            return []
        code = "host" if origin.kind is Kind.HOST else "prefix"
        return [Reason(code, REASONS[code], {"share": seen.share, "network": written(seen.network)})]


def whose(sample: Sample, before: Sample | None) -> Name | None:
    """Which listener the counts of the namespace belong to: the only one there is, or the only one whose queue is full."""
    if len(sample.listeners) == 1:
        return sample.listeners[0].name
    full = {
        each.name
        for moment in (sample, before)
        if moment is not None
        for each in moment.listeners
        if each.half_open_limit and each.half_open >= evidence.FULL * each.half_open_limit
    }
    return full.pop() if len(full) == 1 else None


def share_of(totals: Mapping[str, int | None] | None, owner: bool, only: bool) -> dict[str, int | None]:
    """What of the namespace's counts is a listener's: all if it is the `only` one, cookies if it is their `owner`."""
    if totals is None or not owner:
        return {}
    if only:
        return dict(totals)
    return {name: value for name, value in totals.items() if name in ("cookies_sent", "cookies_accepted", "syn_queue_drops")}


def slow_server(track: Track, listener: ListenerSample, best: Evidence | None, settings: Settings) -> bool:
    """Whether the accept queue overflowed of late, so much that it may explain what waits."""
    recent = list(track.intervals)[-settings.overflow_window :]
    if listener.accept_limit is not None and listener.accept_queue > listener.accept_limit:
        return True
    waits = best is not None and best.score >= settings.suspected
    if waits and any(each.accept_full for each in recent):
        return True
    drops = sum(each.accept_drops for each in recent)
    return drops > settings.explained * (best.failed if best is not None else 0)


def ranked(pieces: Sequence[Evidence], settings: Settings) -> list[Evidence]:
    """The pieces of evidence worth telling, the strongest first."""
    return sorted((each for each in pieces if each.score >= settings.suspected), key=lambda each: -each.score)


def title(level: Level, kind: Kind, listener: Name, network: tuple[bytes, int] | None) -> Reason:
    """The finding in one sentence."""
    facts = {"listener": place(listener), "network": written(network) if network is not None else ""}
    return Reason("title", TITLES[level, kind], facts)


def circumstances(track: Track, listener: ListenerSample) -> list[Reason]:
    """What else happened within the window, or stands in the sample."""
    intervals = track.intervals
    seconds = sum(each.seconds for each in intervals)
    found: list[Reason] = []

    def tell(code: str, facts: Mapping[str, object]) -> None:
        found.append(Reason(code, REASONS[code], facts))

    networks = sum(each.new_networks for each in intervals)
    if seconds and networks >= seconds:
        tell("prefixes", {"rate": networks / seconds})
    repeats = sum(each.repeats for each in intervals)
    if repeats:
        tell("repeats", {"repeats": repeats, "completed": sum(each.completed or 0 for each in intervals)})
    if listener.half_open_limit and listener.half_open >= listener.half_open_limit // 2:
        tell("pressure", {"half_open": listener.half_open, "limit": listener.half_open_limit})
    drops = sum(each.queue_drops or 0 for each in intervals)
    if drops:
        tell("refused", {"drops": drops})
    resets = sum(each.resets for each in intervals)
    if resets:
        tell("resets", {"resets": resets})
    evicted = sum(each.evicted for each in intervals)
    if evicted:
        tell("evicted", {"evicted": evicted})
    return found


def place(listener: Name) -> str:
    """Address and port as a person writes them."""
    address, port = listener
    return f"{text(address)}:{port}" if len(address) == 4 else f"[{text(address)}]:{port}"


def written(network: tuple[bytes, int]) -> str:
    """A network as a person writes it; a host without its length."""
    address, bits = network
    return text(address) if bits == 8 * len(address) else f"{text(address)}/{bits}"
