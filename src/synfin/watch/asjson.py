"""What `synfin watch --json` prints: one object for a source at a moment, with the same keys always (docs/watch.md).

Owns the shape. Keys are never taken away and never change their meaning; new ones may come. What is not known is null.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

from synfin.watch.findings import Finding
from synfin.watch.observed import Observed
from synfin.watch.rates import ListenerChange, Rates
from synfin.watch.sample import COUNTS, Counts, HalfOpenEntry

Object = dict[str, Any]


def as_object(seen: Observed, time: int) -> Object:
    """`seen` as plain data; `time` in nanoseconds since the epoch."""
    change = seen.change
    return {
        "time": time,
        "source": seen.name if seen.pid is None else "synfin",
        "name": None if seen.pid is None else seen.name,
        "pid": seen.pid,
        "seconds": round(change.seconds, 6),
        "verdict": seen.level.word,
        "score": round(seen.score, 4),
        "findings": [_finding(each) for each in seen.findings],
        "listeners": [_listener(each) for each in change.listeners],
        "totals": _counts(change.sample.totals),
        "rates": _rates(change.total),
        "syns_at_least": _rounded(change.syns_at_least),
        "syns_counted": change.total.counts["syns"] is not None,
        "states": dict(change.sample.states),
        "warnings": [
            {"state": str(pile.state), "owner": pile.owner, "count": pile.count, "text": pile.say("en")} for pile in seen.piles
        ],
        "owners_hidden": seen.hidden,
    }


def entry_as_object(seen: Observed, entry: HalfOpenEntry) -> Object:
    """One half-open connection as plain data; `age` in nanoseconds."""
    return {
        "source": seen.name if seen.pid is None else "synfin",
        "name": None if seen.pid is None else seen.name,
        "pid": seen.pid,
        "local": [_address(entry.local), entry.local_port],
        "remote": [_address(entry.remote), entry.remote_port],
        "age": entry.age,
        "syn_acks": entry.syn_acks,
        "owner": entry.owner,
    }


def _address(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))


def _finding(finding: Finding) -> Object:
    return {
        "verdict": finding.level.word,
        "score": round(finding.score, 4),
        "kind": str(finding.kind),
        "listener": None if finding.listener is None else [_address(finding.listener[0]), finding.listener[1]],
        "owner": finding.owner,
        "network": None if finding.network is None else f"{_address(finding.network[0])}/{finding.network[1]}",
        "text": finding.title.say("en"),
        "reasons": [{"code": reason.code, "text": reason.say("en")} for reason in finding.reasons],
    }


def _listener(each: ListenerChange) -> Object:
    listener = each.listener
    return {
        "local": [_address(listener.address), listener.port],
        "half_open": listener.half_open,
        "half_open_limit": listener.half_open_limit,
        "accept_queue": listener.accept_queue,
        "accept_limit": listener.accept_limit,
        "drops": listener.drops,
        "counts": _counts(listener.counts),
        "rates": _rates(each.rates),
        "prefixes": each.prefixes,
        "new_prefixes": _rounded(each.new_prefixes),
        "top_prefixes": [[f"{_address(prefix.network)}/{prefix.bits}", prefix.entries] for prefix in each.top],
        "owner": listener.owner,
    }


def _counts(counts: Counts) -> Mapping[str, int | None]:
    return {name: getattr(counts, name) for name in COUNTS}


def _rates(rates: Rates) -> Object:
    return {
        **{name: _rounded(rates.counts[name]) for name in COUNTS},
        "drops": _rounded(rates.drops),
        "new_half_open": _rounded(rates.new_half_open),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
