"""A running synfin as a source of samples: it is asked over its control socket for its listeners.

Owns the reading of that answer, whose shape control/rows.py owns. A synfin keeps every count of every listener.
"""

from collections.abc import Mapping
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

from synfin.control.client import ask
from synfin.control.places import Place
from synfin.engine.errors import UsageError
from synfin.watch.sample import COUNTS, Counts, HalfOpenEntry, ListenerSample, Sample


class RunningSource:
    """Samples of the synfin at `place`; its owner is shown as name/pid."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.owner = f"{place.name}/{place.pid}"

    def sample(self, now: int) -> Sample:
        """What is there; `now` in nanoseconds. Raises control.client.Gone when it has ended, UsageError when it refuses."""
        answer, fds, line = ask(self.place, {"ask": "listeners"})
        line.close()
        assert not fds
        try:
            return from_answer(answer, now, self.owner)
        except (AttributeError, LookupError, OSError, TypeError, ValueError):
            raise UsageError(f"synfin of process {self.place.pid} answers with listeners of another shape") from None


def from_answer(answer: Mapping[str, Any], now: int, owner: str) -> Sample:
    """The sample in `answer`. Of another shape it raises AttributeError, LookupError, OSError, TypeError or ValueError."""
    return Sample(
        at=now,
        source="synfin",
        listeners=tuple(_listener(each, owner) for each in answer["listeners"]),
        totals=_counts(answer["totals"]),
        states={str(state): int(count) for state, count in answer["states"].items()},
    )


def _listener(each: Mapping[str, Any], owner: str) -> ListenerSample:
    address, port = each["local"]
    return ListenerSample(
        address=_packed(address),
        port=int(port),
        half_open=int(each["half_open"]),
        half_open_limit=int(each["half_open_limit"]),
        accept_queue=int(each["accept_queue"]),
        accept_limit=int(each["accept_limit"]),
        counts=_counts(each["counts"]),
        entries=tuple(
            HalfOpenEntry(_packed(local), int(local_port), _packed(remote), int(remote_port), int(age), int(syn_acks), owner)
            for remote, remote_port, age, syn_acks, local, local_port in each["entries"]
        ),
        owner=owner,
    )


def _packed(address: str) -> bytes:
    return inet_pton(AF_INET6 if ":" in address else AF_INET, address)


def _counts(numbers: Mapping[str, int]) -> Counts:
    return Counts(**{name: int(numbers[name]) for name in COUNTS if name in numbers})
