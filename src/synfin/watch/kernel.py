"""The kernel as a source of samples: its table of TCP sockets, its counters and the owners of its listeners, at one moment.

Owns which half-open entry belongs to which listener. The kernel counts for the whole namespace only, so a sample has totals
and no counts of a listener but its drops. Judges nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, Self

from synfin.engine.state import State
from synfin.watch import procfs
from synfin.watch.netlink import LISTEN, NUMBERS, STATES, SYN_RECV, Diag, SocketRow, within
from synfin.watch.owners import CLOSE_WAIT_PILE, NOBODY, Owners, Pile, owners, piles
from synfin.watch.procfs import Limits
from synfin.watch.sample import NOTHING, Counts, HalfOpenEntry, ListenerSample, Sample

MILLISECOND: Final = 1_000_000  # ns
SECOND: Final = 1_000_000_000
FIRST_TIMEOUT: Final = SECOND  # of a SYN,ACK (RFC 6298 2.1), doubled each time (5.5)
LONGEST_TIMEOUT: Final = 120 * SECOND  # TCP_RTO_MAX
LOOK_AGAIN: Final = 10 * SECOND  # a socket may have passed to another process
ANY6: Final = bytes(16)
UNKNOWN: Final = Limits()
CLOSE_WAITING: Final = NUMBERS[State.CLOSE_WAIT]

Ends = tuple[bool, bytes, int]  # of an IPv6 socket, local address, local port


class KernelSource:
    """Samples of the network namespace of process `pid`; None: of this thread.

    `hidden` says after a sample that the owner of some listener could not be seen; `interrupted` that the table of sockets
    changed so while it was read that rows may lack or stand twice; `rows` is that table. Raises OSError when the kernel does
    not list its sockets or the namespace may not be looked into.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._where = procfs.network(pid)
        self._diag = Diag(pid)
        self._owned = Owners({}, False)
        self._asked: set[int] = set()
        self._looked = 0
        self.limits = procfs.limits() if pid is None else within(pid, procfs.limits)
        self.rows: list[SocketRow] = []
        self.hidden = False
        self.interrupted = False

    def sample(self, now: int) -> Sample:
        """What is there; `now` in nanoseconds, of any clock that does not go back. Raises OSError."""
        self.rows, self.interrupted = self._diag.dump(memory=True)
        numbers = procfs.read(self._where)
        self._look(now)
        made = from_rows(self.rows, now, totals=procfs.counts(numbers), owned=self._owned, limits=self.limits)
        self.hidden = self._owned.hidden and any(listener.owner == NOBODY for listener in made.listeners)
        return made

    def piles(self) -> list[Pile]:
        """What piles up in CLOSE-WAIT and TIME-WAIT at the last sample."""
        return piles(self.rows, self._owned, self.limits.ports)

    def _look(self, now: int) -> None:
        """See who owns the sockets, when one is new whose owner matters, and from time to time."""
        waiting = [row.inode for row in self.rows if row.state == CLOSE_WAITING]
        wanted = {row.inode for row in self.rows if row.state == LISTEN}
        if len(waiting) >= CLOSE_WAIT_PILE:
            wanted.update(waiting)
        if wanted - self._asked or (wanted and now - self._looked >= LOOK_AGAIN):
            self._owned = owners()
            self._looked = now
        self._asked = wanted

    def close(self) -> None:
        """Give the netlink socket back; repeating it does nothing."""
        self._diag.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def from_rows(
    rows: Iterable[SocketRow], now: int, *, totals: Counts, owned: Owners, limits: Limits = UNKNOWN, source: str = "kernel"
) -> Sample:
    """The sample that a table of sockets makes, `limits` those of its namespace.

    Listeners that share address and port (SO_REUSEPORT) are one, with the sum of their queues: nothing tells whose an entry
    is. An entry whose listener is not in the table stands under its local address and port.
    """
    listening: dict[Ends, list[SocketRow]] = {}
    waiting: dict[Ends, list[SocketRow]] = {}
    states: Counter[int] = Counter()
    for row in rows:
        states[row.state] += 1
        if row.state == LISTEN:
            listening.setdefault((row.v6, row.local, row.local_port), []).append(row)
    for row in rows:
        if row.state == SYN_RECV:
            waiting.setdefault(_listener_of(row, listening), []).append(row)
    made: dict[tuple[bytes, int], ListenerSample] = {}
    for ends in (*listening, *(ends for ends in waiting if ends not in listening)):
        each = _listener(ends, listening.get(ends, ()), waiting.get(ends, ()), owned, limits)
        same = made.get(each.name)
        made[each.name] = each if same is None else _together(same, each)
    named = {STATES[number].value: count for number, count in sorted(states.items()) if number in STATES}
    return Sample(at=now, source=source, listeners=tuple(made.values()), totals=totals, states=named)


def from_table(rows: Iterable[SocketRow], now: int) -> Sample:
    """The sample of a table alone, as netstat shows one: no counters, no limits, no owners."""
    bare = [row._replace(drops=None, send_queue=0) if row.state == LISTEN else row for row in rows]
    return from_rows(bare, now, totals=NOTHING, owned=Owners({}, False), source="table")


def _listener_of(row: SocketRow, listening: Mapping[Ends, object]) -> Ends:
    """The listener that a half-open entry came to. The kernel gives an entry the family of its listener, so an IPv4 address
    in an IPv6 entry came to a dual-stack listener."""
    for address in (row.local, bytes(len(row.local)), ANY6):
        ends = (row.v6, address, row.local_port)
        if ends in listening:
            return ends
    return row.v6, row.local, row.local_port


def _listener(
    ends: Ends, listening: Iterable[SocketRow], waiting: Iterable[SocketRow], owned: Owners, limits: Limits
) -> ListenerSample:
    sockets = list(listening)
    owner = _owner(sockets, owned)
    entries = tuple(_entry(row, owner) for row in waiting)
    known = [row.drops for row in sockets if row.drops is not None]
    return ListenerSample(
        address=ends[1], port=ends[2], half_open=len(entries),
        half_open_limit=sum(half_open_limit(row.send_queue, limits) for row in sockets) or None,
        accept_queue=sum(row.receive_queue for row in sockets),
        accept_limit=sum(row.send_queue for row in sockets) or None,
        drops=sum(known) if known else None, entries=entries, owner=owner,
    )  # fmt: skip


def half_open_limit(backlog: int, limits: Limits) -> int:
    """How many half-open entries a listener takes from peers that the kernel does not know yet.

    The kernel has no queue of its own for them: it compares their number with the limit of the accept queue, which some
    versions let it pass by one. Without SYN cookies the last quarter of tcp_max_syn_backlog is kept for peers that it knows.
    """
    if limits.syncookies == 0 and limits.max_syn_backlog:
        return min(backlog, limits.max_syn_backlog - limits.max_syn_backlog // 4)
    return backlog


def _owner(sockets: list[SocketRow], owned: Owners) -> str:
    """Whose the sockets are: program/pid, of several the first and how many more."""
    names = list(dict.fromkeys(owned.of(row.inode) for row in sockets)) or [NOBODY]
    return names[0] if len(names) == 1 else f"{names[0]} +{len(names) - 1}"


def _together(one: ListenerSample, other: ListenerSample) -> ListenerSample:
    """An IPv4 and an IPv6 socket that hold the same IPv4 address and port."""
    drops = None if one.drops is None and other.drops is None else (one.drops or 0) + (other.drops or 0)
    return ListenerSample(
        address=one.address, port=one.port, half_open=one.half_open + other.half_open,
        half_open_limit=(one.half_open_limit or 0) + (other.half_open_limit or 0) or None,
        accept_queue=one.accept_queue + other.accept_queue,
        accept_limit=(one.accept_limit or 0) + (other.accept_limit or 0) or None,
        drops=drops, entries=one.entries + other.entries, owner=one.owner if one.owner != NOBODY else other.owner,
    )  # fmt: skip


def _entry(row: SocketRow, owner: str) -> HalfOpenEntry:
    return HalfOpenEntry(
        row.local, row.local_port, row.remote, row.remote_port, estimated_age(row), row.retransmissions + 1, owner
    )


def estimated_age(row: SocketRow) -> int | None:
    """How long ago the SYN of a half-open entry came, in nanoseconds, to a clock tick or two; None where no timer tells.

    The kernel does not say: it follows from the number of SYN,ACKs repeated and from when the next is due, as long as all of
    them were sent when their time was up. A peer that repeats its SYN gets a SYN,ACK out of turn and looks older.
    """
    if row.timer != 1 or row.inode:
        return None
    due = sum(min(FIRST_TIMEOUT << times, LONGEST_TIMEOUT) for times in range(row.retransmissions + 1))
    return max(due - row.expires * MILLISECOND, 0)
