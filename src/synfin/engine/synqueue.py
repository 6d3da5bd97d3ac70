"""The SYN queue: half-open records, packed, in the order in which their timers come.

Owns the records' bytes, their places and their times; at most 200 bytes each with its place in the table (tested over IPv4
and IPv6). A record's times count from its SYN: a SYN,ACK that a busy driver repeats late does not lengthen its life. Must not
know what a segment means nor what is answered: that is the listener's.
"""

import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.segment import SYN, Segment
from synfin.engine.seq import MASK

# irs, iss, TS.Recent, MSS, window, marks, level, tally, since, place: with CPython's header of a bytes object 64 bytes
RECORD: Final = struct.Struct("=IIIHHBBBqI")
TIMES: Final = struct.Struct("=BBqI")  # the end of it: level, tally, since, place
TIMES_AT: Final = RECORD.size - TIMES.size
PLACE: Final = struct.Struct("=I")
PLACE_AT: Final = RECORD.size - PLACE.size
NO_SHIFT: Final = 15
HAS_TIMESTAMPS: Final = 0x10  # in marks, above the window scale
SACK_PERMITTED: Final = 0x20
ACKNOWLEDGED: Final = 0x40  # the peer has sent its final ACK, and the connection waits for data
MAX_SHIFT: Final = 14  # RFC 7323 2.3: what is more means 14
MAX_TALLY: Final = 15
IP6_KEY: Final = 36  # bytes
PER_RECORD: Final = 64  # bytes that a place in the table may take
SPARE: Final = 4096  # bytes that any table may take


class HalfOpen:
    """One record, unpacked while a segment or a timer looks at it; times in ns."""

    __slots__ = (
        "again", "answers", "irs", "iss", "level", "marks", "mss", "place", "since", "ts_recent", "window",
    )  # fmt: skip

    def __init__(
        self, irs: int, iss: int, ts_recent: int, mss: int, window: int, marks: int, level: int, tally: int, since: int,
        place: int,
    ) -> None:  # fmt: skip
        self.irs: int = irs
        self.iss: int = iss
        self.ts_recent: int = ts_recent
        self.mss: int = mss  # 0: the SYN had none
        self.window: int = window
        self.marks: int = marks
        self.level: int = level  # how often the timer has come
        self.answers: int = tally & 15  # ACKs sent since the timer came last
        self.again: int = tally >> 4  # SYN,ACKs that answered a repeated SYN, 15 and more as 15
        self.since: int = since  # when its SYN came
        self.place: int = place

    @classmethod
    def of(cls, syn: Segment, iss: int, now: int) -> "HalfOpen":
        """The record of a SYN just arrived."""
        shift = min(syn.wscale, MAX_SHIFT) if syn.wscale >= 0 else NO_SHIFT
        marks = shift | (HAS_TIMESTAMPS if syn.has_timestamps else 0) | (SACK_PERMITTED if syn.sack_permitted else 0)
        return cls(syn.seq, iss, syn.tsval, max(syn.mss, 0), syn.window, marks, 0, 0, now, 0)

    def pack(self) -> bytes:
        """The record as it is kept."""
        return RECORD.pack(
            self.irs, self.iss, self.ts_recent, self.mss, self.window, self.marks, self.level,
            self.answers | self.again << 4, self.since, self.place,
        )  # fmt: skip

    @property
    def has_timestamps(self) -> bool:
        """Whether the SYN had the option."""
        return bool(self.marks & HAS_TIMESTAMPS)

    @property
    def sack_permitted(self) -> bool:
        """Whether the SYN had the option."""
        return bool(self.marks & SACK_PERMITTED)

    @property
    def acknowledged(self) -> bool:
        """Whether the final ACK has come and only data is waited for."""
        return bool(self.marks & ACKNOWLEDGED)

    @property
    def syn_acks(self) -> int:
        """SYN,ACKs sent, the first included. Answers to repeated SYNs beyond the fifteenth are left out, those that a late
        driver merged into one count each."""
        return self.level + self.again + 1

    def syn(self) -> Segment:
        """The peer's SYN again, as far as it was kept."""
        syn = Segment(self.irs, 0, SYN, self.window)
        shift = self.marks & 15
        syn.mss = self.mss or -1
        syn.wscale = shift if shift != NO_SHIFT else -1
        syn.sack_permitted = self.sack_permitted
        syn.has_timestamps = self.has_timestamps
        syn.tsval = self.ts_recent
        return syn


class Line:
    """Keys in the order in which they came. Any may leave: it leaves a hole, and holes are few beside those that wait."""

    __slots__ = ("base", "head", "keys", "waiting")

    def __init__(self) -> None:
        self.keys: list[bytes | None] = []
        self.head: int = 0  # the first index that may hold a key
        self.base: int = 0  # the place of index 0
        self.waiting: int = 0

    def append(self, key: bytes) -> int:
        """Add `key` at the end; returns its place."""
        self.keys.append(key)
        self.waiting += 1
        return (self.base + len(self.keys) - 1) & MASK

    def remove(self, place: int) -> bytes:
        """The key at `place` leaves; returns it."""
        index = (place - self.base) & MASK
        key = self.keys[index]
        assert key is not None, "it is there until it leaves"
        self.keys[index] = None
        self.waiting -= 1
        if not self.waiting:
            self.base = (self.base + len(self.keys)) & MASK
            self.keys.clear()
            self.head = 0
        return key

    def first(self) -> bytes | None:
        """The key that has waited longest."""
        if not self.waiting:
            return None
        keys, head = self.keys, self.head
        while (key := keys[head]) is None:
            head += 1
        if head > 64 and head > len(keys) >> 3:
            del keys[:head]
            self.base = (self.base + head) & MASK
            head = 0
        self.head = head
        return key


class SynQueue:
    """Half-open records by key. `waits` are the times in ns from a SYN on at which its timer comes; the last ends it.

    Over IPv6 a key is kept as its remote side and the number of its local address, for the port is always `port` (2 bytes).
    """

    __slots__ = ("_addresses", "_lines", "_locals", "_port", "_table", "_waits")

    def __init__(self, waits: Sequence[int], port: bytes) -> None:
        self._waits: tuple[int, ...] = tuple(waits)
        self._port: bytes = port
        self._table: dict[bytes, bytes] = {}
        # One line for each number of repeats: all in it have waited for the same time, so its order is that of its timers.
        self._lines: list[Line] = [Line() for _ in self._waits]
        self._locals: dict[bytes, bytes] = {}  # IPv6 addresses, each with its number: those of one host
        self._addresses: list[bytes] = []

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[tuple[bytes, int, int]]:
        """Each record's key, when its SYN came (ns), and the SYN,ACKs sent; those with the most repeats first."""
        table, full, unpack = self._table, self._full, TIMES.unpack_from
        for line in reversed(self._lines):
            for short in line.keys[line.head :]:
                if short is not None:
                    level, tally, since, _ = unpack(table[short], TIMES_AT)
                    yield full(short), since, level + (tally >> 4) + 1

    # --- keys

    def _short(self, key: bytes) -> bytes:
        """`key` as it is kept."""
        if len(key) != IP6_KEY:
            return key
        local = key[16:32]
        number = self._locals.get(local)
        if number is None:
            if len(self._addresses) > 0xFFFF:
                return key  # as it is: two bytes count no more
            number = self._locals[local] = len(self._addresses).to_bytes(2, "big")
            self._addresses.append(local)
        return key[:16] + key[32:34] + number

    def _full(self, short: bytes) -> bytes:
        if len(short) != 20:
            return short
        return short[:16] + self._addresses[short[18] << 8 | short[19]] + short[16:18] + self._port

    # --- records

    def get(self, key: bytes) -> HalfOpen | None:
        """The record of `key`."""
        if not self._table:
            return None
        data = self._table.get(self._short(key))
        return HalfOpen(*RECORD.unpack(data)) if data is not None else None

    def add(self, key: bytes, record: HalfOpen) -> None:
        """Keep the new `record` of `key`."""
        short = self._short(key)
        record.place = self._lines[record.level].append(short)
        table = self._table
        table[short] = record.pack()
        if table.__sizeof__() > PER_RECORD * len(table) + SPARE:  # what left has made it larger than need be
            self._table = dict(table)

    def update(self, key: bytes, record: HalfOpen) -> None:
        """Keep what has changed in `record`; its level is changed by `advance` only."""
        self._table[self._short(key)] = record.pack()

    def remove(self, record: HalfOpen) -> None:
        """`record` is no longer wanted."""
        del self._table[self._leave(record)]

    def _leave(self, record: HalfOpen) -> bytes:
        line = self._lines[record.level]
        short = line.remove(record.place)
        if len(line.keys) - line.head > 64 + 2 * line.waiting:
            self._tighten(line)
        return short

    def _tighten(self, line: Line) -> None:
        """Close the holes in `line`."""
        waiting = [key for key in line.keys if key is not None]
        for index, key in enumerate(waiting):
            place = (line.base + index) & MASK
            self._table[key] = self._table[key][:PLACE_AT] + PLACE.pack(place)
        line.keys, line.head = list(waiting), 0

    def clear(self) -> None:
        """Forget all."""
        self._table = {}
        self._lines = [Line() for _ in self._waits]

    # --- time

    def oldest(self) -> tuple[bytes, HalfOpen] | None:
        """The record whose SYN came first."""
        for line in reversed(self._lines):
            found = self._front(line)
            if found is not None:
                return found
        return None

    def _front(self, line: Line) -> tuple[bytes, HalfOpen] | None:
        short = line.first()
        return (self._full(short), HalfOpen(*RECORD.unpack(self._table[short]))) if short is not None else None

    def due(self, now: int) -> tuple[bytes, HalfOpen] | None:
        """A record whose timer has come, the oldest first."""
        for level in range(len(self._lines) - 1, -1, -1):
            line = self._lines[level]
            if line.waiting and self._first_deadline(line, level) <= now:
                return self._front(line)
        return None

    def advance(self, record: HalfOpen, now: int) -> bool:
        """The timer of `record` has come: it waits for the next. Returns False for one whose last it was: it is removed."""
        last = len(self._waits) - 1
        level = record.level + 1
        while level <= last and record.since + self._waits[level] <= now:
            level += 1
        if level > last:
            self.remove(record)
            return False
        short = self._leave(record)  # the same object: a second would cost as much as the first
        record.level, record.answers = level, 0
        record.place = self._lines[level].append(short)
        self._table[short] = record.pack()
        return True

    def due_at(self, record: HalfOpen) -> int:
        """When the timer of `record` comes next, in ns."""
        return record.since + self._waits[record.level]

    def deadline(self) -> int:
        """When the next timer comes, in ns; NEVER without records."""
        first = NEVER
        for level, line in enumerate(self._lines):
            if line.waiting:
                first = min(first, self._first_deadline(line, level))
        return first

    def _first_deadline(self, line: Line, level: int) -> int:
        short = line.first()
        assert short is not None, "somebody waits in the line"
        since: int = TIMES.unpack_from(self._table[short], TIMES_AT)[2]
        return since + self._waits[level]


def waits(config: TcpConfig) -> list[int]:
    """When a record's timer comes, in ns from its SYN on: for each repeat of the SYN,ACK, and for its end (RFC 6298 5.5)."""
    waits, total = [], 0
    for repeats in range(config.syn_ack_retries + 1):
        total += min((config.rto_initial << repeats) + (config.rto_slop if repeats else 0), config.rto_max)
        waits.append(total)
    return waits


def deferrals(config: TcpConfig) -> int:
    """The first timers of a record that bring nothing while config.defer_accept lasts: as many as it takes to last so long
    (secs_to_retrans)."""
    return bisect_left(_ends(config), config.defer_accept)


def deferral(config: TcpConfig) -> int:
    """How long config.defer_accept comes to be, in ns: to the end of the last of those timers (retrans_to_secs)."""
    return _ends(config)[deferrals(config)]


def _ends(config: TcpConfig) -> list[int]:
    """0, and when each timer has come, as far as defer_accept reaches."""
    ends, wait = [0], config.rto_initial
    while ends[-1] < config.defer_accept:
        ends.append(ends[-1] + wait)
        wait = min(2 * wait, config.rto_max)
    return ends
