"""What speaks for a flood, each piece with how many handshakes it rests on.

Owns the estimates: a share of handshakes that fail, with a lower bound that small numbers pull down, and how much failed. Names
nothing and decides nothing. Pure.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from synfin.watch.sample import ListenerSample
from synfin.watch.settings import Settings
from synfin.watch.window import SECOND, Interval

FULL: Final = 0.9  # of the SYN queue
GONE: Final = ("CLOSED", "LISTEN", "SYN-RECEIVED", "SYN-SENT")


@dataclass(frozen=True, slots=True)
class Evidence:
    """`failed` of `total` handshakes; `share` is the lower bound of their share, `volume` (0 to 1) whether that is many."""

    code: str
    failed: int
    total: int
    share: float
    volume: float
    seconds: float = 0.0  # how old an entry has to be, where `failed` are old ones

    @property
    def score(self) -> float:
        """0 to 1."""
        return self.share * self.volume


def lower_bound(failed: int, total: int, deviations: float) -> float:
    """Wilson's lower bound of a share, so many standard deviations down; 0 for no trials (Wilson 1927)."""
    if total <= 0:
        return 0.0
    share, square = failed / total, deviations * deviations
    middle = share + square / (2 * total)
    spread = deviations * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    return max((middle - spread) / (1 + square / total), 0.0)


def pressed(listener: ListenerSample, settings: Settings) -> float:
    """How full the SYN queue is against what counts as pressure, 0 to 1; 0 where the limit is unknown or tiny."""
    if not listener.half_open_limit or listener.half_open < settings.pressed:
        return 0.0
    return min(listener.half_open / (settings.pressure * listener.half_open_limit), 1.0)


def many(failed: int, seconds: float, pressure: float, settings: Settings) -> float:
    """0 to 1: enough failed, and fast enough or with the queue under pressure."""
    fast = min(failed / max(seconds, 1.0) / settings.unfinished_rate, 1.0)
    return min(failed / settings.unfinished, 1.0) * max(fast, pressure)


def handshakes(
    begun: Sequence[int], completed: Sequence[int], seconds: Sequence[float], resets: Sequence[int], pressure: float,
    settings: Settings, code: str,
) -> Evidence:  # fmt: skip
    """Handshakes that had at least one interval to complete and did not, over several spans; the one that says most.

    The newest interval's handshakes are not asked for; its completions are all credited to the older ones. A flood that has
    ended says nothing any more: of the two intervals asked for last, too, many have to have failed.
    """
    best = Evidence(code, 0, 0, 0.0, 0.0)
    last = sum(begun[-3:-1])
    if last - sum(completed[-3:]) < settings.suspected * last:
        return best
    for span in settings.spans:
        if span >= len(begun):
            break
        total = sum(begun[-span - 1 : -1])
        failed = max(total - sum(completed[-span - 1 :]), 0)
        share = lower_bound(failed, total, settings.confidence)
        light = min(sum(resets[-span - 1 : -1]), failed)
        lasting = failed - round(light * (1 - settings.reset_part))
        found = Evidence(code, failed, total, share, many(lasting, sum(seconds[-span - 1 : -1]), pressure, settings))
        if found.score > best.score or best.total == 0:
            best = found
    return best


def by_counts(intervals: Sequence[Interval], pressure: float, settings: Settings) -> Evidence | None:
    """Handshakes begun and completed, where the source counts them."""
    known = _newest(intervals, "taken", "completed")
    if len(known) < 2:
        return None
    return handshakes(
        [each.taken or 0 for each in known], [each.completed or 0 for each in known], [each.seconds for each in known],
        [each.resets for each in known], pressure, settings, "handshakes",
    )  # fmt: skip


def by_cookies(intervals: Sequence[Interval], settings: Settings, needed: int = 0) -> Evidence | None:
    """SYN cookies sent and accepted; that they were sent at all is pressure. `needed`: so many unanswered, at least."""
    known = _newest(intervals, "by_cookie", "completed_by_cookie")
    if len(known) < 2:
        return None
    found = handshakes(
        [each.by_cookie or 0 for each in known], [each.completed_by_cookie or 0 for each in known],
        [each.seconds for each in known], [0] * len(known), 0.0, settings, "cookies",
    )  # fmt: skip
    return found if found.failed >= needed else None


def by_waiting(intervals: Sequence[Interval], pressure: float, settings: Settings) -> Evidence | None:
    """New half-open entries that were still there a sample later: of a healthy client they stay for a round trip."""
    best: Evidence | None = None
    for span in settings.spans:
        some = list(intervals)[-span:]
        cohort, left = sum(each.cohort for each in some), sum(each.left for each in some)
        if not cohort:
            continue
        share = lower_bound(left, cohort, settings.confidence)
        found = Evidence("waiting", left, cohort, share, many(left, sum(i.seconds for i in some), pressure, settings))
        if best is None or found.score > best.score:
            best = found
    return best


def by_age(
    listener: ListenerSample, pressure: float, settings: Settings, intervals: Sequence[Interval] | None = None
) -> Evidence | None:
    """Entries that several SYN,ACKs have not completed; None where the source tells neither ages nor SYN,ACKs.

    Without `intervals`, of one table alone, a lower age will do. With them, entries that only wait for their end after a
    flood count half.
    """
    single = intervals is None
    age, repeats = (settings.aged, settings.aged_syn_acks) if single else (settings.old, settings.old_syn_acks)
    known = old = waiting = 0
    for entry in listener.entries:
        if entry.age is not None:
            known += 1
            old += entry.age >= age
            waiting += entry.age >= SECOND
        elif entry.syn_acks is not None:
            known += 1
            old += entry.syn_acks >= repeats
            waiting += entry.syn_acks > 1
    if not known:
        return None
    volume = max(pressure, min(old / settings.table_entries, 1.0))
    if intervals is not None and waiting - old < settings.still and not pressing(listener, intervals, settings):
        volume /= 2
    return Evidence("old", old, known, lower_bound(old, known, settings.confidence), volume, age / SECOND)


def pressing(listener: ListenerSample, intervals: Sequence[Interval], settings: Settings) -> bool:
    """Whether SYNs still come that find no room, as far as can be told: turned away, or answered by cookies in vain."""
    newest = intervals[-2:]
    seconds = max(sum(each.seconds for each in newest), 1.0)
    if sum(each.queue_drops or 0 for each in newest) >= settings.unfinished_rate * seconds:
        return True
    sent = sum(each.by_cookie or 0 for each in newest)
    unanswered = sent - sum(each.completed_by_cookie or 0 for each in newest)
    if unanswered >= settings.suspected * sent > 0:
        return True
    blind = any(each.queue_drops is None or each.by_cookie is None for each in newest)
    limit = listener.half_open_limit
    return blind and limit is not None and listener.half_open >= FULL * limit


def alone(listener: ListenerSample, states: Mapping[str, int], pressure: float, settings: Settings) -> Evidence:
    """A single table: by age where it tells ages, and else half-open entries against the connections in it.

    Where all entries are young, their number against the connections' counts half: a flood may just have begun. That is
    said of a table that tells other states too, and of no other.
    """
    aged = by_age(listener, pressure, settings)
    half = max(listener.half_open, len(listener.entries))
    total = half + sum(number for state, number in states.items() if state not in GONE)
    volume = max(min(half / settings.table_entries, 1.0), pressure)
    share = lower_bound(half, total, settings.confidence)
    if aged is None:
        return Evidence("table", half, total, share, volume)
    young = Evidence("table", half, total, share, volume / 2 if states else 0.0)
    return max(aged, young, key=lambda each: each.score)


def _newest(intervals: Sequence[Interval], *fields: str) -> list[Interval]:
    """The newest intervals in which `fields` are known, without a hole."""
    known: list[Interval] = []
    for each in reversed(intervals):
        if any(getattr(each, field) is None for field in fields):
            break
        known.append(each)
    known.reverse()
    return known
