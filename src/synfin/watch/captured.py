"""A capture as a source of samples: one at the end of each window of time.

Owns the windows. A capture shows neither SYN cookies nor queues: what it cannot tell is None. Judges nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from synfin.capture.handshakes import COUNTS, Handshakes, Port
from synfin.capture.headers import Tally, tcp_header
from synfin.capture.reader import Record
from synfin.watch.sample import Counts, HalfOpenEntry, ListenerSample, Sample

MILLISECOND: Final = 1_000_000  # ns
SILENCE: Final = 180_000_000_000  # ns: of a longer pause only the first part is told, in which all expires
LATEST: Final = 0xFFFF_FFFF  # ms after the first packet: 49 days
MOST_LISTENERS: Final = 1000  # in one sample, those with most half-open entries


def samples(records: Iterable[Record], window: int, tally: Tally) -> Iterator[Sample]:
    """The samples of a capture, `window` nanoseconds apart: the first at its first packet, the last at its last.

    `tally` counts what was read. Packets whose time goes back count at the latest time before, packets without a time too.
    Raises CaptureError as the records do.
    """
    handshakes = Handshakes()
    first: int | None = None
    now = due = told = 0
    for record in records:
        header = tcp_header(record, tally)
        if record.time is not None:
            if first is None:
                first = now = record.time
                told, due = first, first + window
                yield _sample(handshakes, first, first)
            now = max(now, record.time)
        elif first is None:
            first, due = 0, window
            yield _sample(handshakes, 0, 0)
        for told in _ends(due, now, window):
            yield _sample(handshakes, told, first)
            due = told + window
        if header is not None:
            handshakes.add(header, _milliseconds(now, first))
    if first is not None:
        yield _sample(handshakes, max(now, told + 1), first)


def _ends(due: int, now: int, window: int) -> Iterator[int]:
    """The ends of windows from `due` to `now`; of a pause beyond SILENCE the middle is left out."""
    until = due + SILENCE
    while due <= now:
        yield due
        due += window
        if until < due <= now:
            due += (now - due) // window * window


def _milliseconds(now: int, first: int) -> int:
    return min((now - first) // MILLISECOND, LATEST)


def _sample(handshakes: Handshakes, at: int, first: int) -> Sample:
    now = _milliseconds(at, first)
    handshakes.expire(now)
    ports = [port for port in handshakes.ports.values() if port.listens]
    if len(ports) > MOST_LISTENERS:
        ports = sorted(ports, key=lambda port: -port.half_open)[:MOST_LISTENERS]
    told: dict[Port, list[HalfOpenEntry]] = {port: [] for port in ports}
    for each in handshakes.entries():
        if each.port in told:
            age = max(now - each.began, 0) * MILLISECOND
            port = each.port
            entry = HalfOpenEntry(port.address, port.port, each.remote, each.remote_port, age, each.syn_acks)
            told[port].append(entry)
    listeners = tuple(_listener(port, entries) for port, entries in told.items())
    return Sample(at=at, source="capture", listeners=listeners, totals=_counts(handshakes.totals()))


def _listener(port: Port, entries: list[HalfOpenEntry]) -> ListenerSample:
    counts = _counts({name: getattr(port, name) for name in COUNTS})
    return ListenerSample(
        address=port.address, port=port.port, half_open=port.half_open, counts=counts, entries=tuple(entries)
    )


def _counts(numbers: Mapping[str, int]) -> Counts:
    return Counts(
        syns=numbers["syns"], syn_ack_repeats=numbers["repeats"], completed=numbers["completed"],
        expired=numbers["expired"], resets=numbers["resets"],
    )  # fmt: skip
