"""A passive open: LISTEN, its half-open records and its accept queue (RFC 9293 3.10.7.2, and 3.10.7.4 for SYN-RECEIVED).

Owns the SYN queue and the accept queue with their limits. A half-open connection is a packed record, not an object: a flood
of SYNs costs a few bytes each. The segment that completes the handshake builds a Connection in SYN-RECEIVED and is handed
to it, so that data or FIN on it need no second path. Must not know ports, addresses or who sends what it answers: replies
are kept as (key, segment) for the stack.

Deviation, as in Linux: only the SYN of a segment is acknowledged in LISTEN; data or FIN on it are dropped and counted, the
peer sends them again (RFC 9293 3.10.7.2 would queue them).
"""

import struct
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from synfin.engine.config import MILLISECOND, NEVER, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.counts import ListenerCounts
from synfin.engine.entry import Entry
from synfin.engine.errors import DropReason, UsageError
from synfin.engine.handshake import MAX_WINDOW, Agreement, receive_mss
from synfin.engine.observe import Observer
from synfin.engine.segment import (
    ACK,
    ACK_CHALLENGE,
    ACK_DUPLICATE,
    FIN,
    RESET_BAD_ACK,
    RETRANSMIT_HANDSHAKE,
    RST,
    SYN,
    SYN_ACK,
    Outgoing,
    Segment,
)  # fmt: skip
from synfin.engine.seq import HALF, MASK, gt
from synfin.engine.state import State, Trigger, next_state

# irs, iss, TS.Recent, MSS, window, shift, marks, answers, due
RECORD: Final = struct.Struct("=IIIHHBBBq")
DUE: Final = struct.Struct("=q")
DUE_AT: Final = RECORD.size - DUE.size
NO_SHIFT: Final = 255
HAS_TIMESTAMPS: Final = 1
SACK_PERMITTED: Final = 2
REPEATED: Final = 4  # our SYN,ACK went out more than once
REOPEN_STEP: Final = 128_000  # what is added to the old SND.NXT when the generated ISN is not above it


class HalfOpen:
    """One half-open record, unpacked while a segment or a timer looks at it; times in ns."""

    __slots__ = ("answers", "due", "irs", "iss", "marks", "mss", "shift", "ts_recent", "window")

    def __init__(
        self, irs: int, iss: int, ts_recent: int, mss: int, window: int, shift: int, marks: int, answers: int, due: int
    ) -> None:
        self.irs: int = irs
        self.iss: int = iss
        self.ts_recent: int = ts_recent
        self.mss: int = mss
        self.window: int = window
        self.shift: int = shift
        self.marks: int = marks
        self.answers: int = answers  # ACKs sent since the last timer, bounded by config.challenge_acks
        self.due: int = due  # when the SYN,ACK is repeated

    @classmethod
    def from_syn(cls, syn: Segment, iss: int, due: int) -> "HalfOpen":
        """The record of a SYN just arrived."""
        marks = (HAS_TIMESTAMPS if syn.has_timestamps else 0) | (SACK_PERMITTED if syn.sack_permitted else 0)
        shift = syn.wscale if syn.wscale >= 0 else NO_SHIFT
        return cls(syn.seq, iss, syn.tsval, max(syn.mss, 0), syn.window, shift, marks, 0, due)

    @classmethod
    def unpack(cls, data: bytes) -> "HalfOpen":
        """The inverse of `pack`."""
        return cls(*RECORD.unpack(data))

    def pack(self) -> bytes:
        """The record as it is kept."""
        return RECORD.pack(
            self.irs, self.iss, self.ts_recent, self.mss, self.window, self.shift, self.marks, self.answers, self.due
        )

    def syn(self) -> Segment:
        """The peer's SYN again, as far as it was kept."""
        syn = Segment(self.irs, 0, SYN, self.window)
        syn.mss = self.mss or -1
        syn.wscale = self.shift if self.shift != NO_SHIFT else -1
        syn.sack_permitted = bool(self.marks & SACK_PERMITTED)
        syn.has_timestamps = bool(self.marks & HAS_TIMESTAMPS)
        syn.tsval = self.ts_recent
        return syn


class Listener(Entry):
    """One passive open.

    `config` is what accepted connections get. `backlog` half-open records are kept at most; the accept queue is full when
    it holds more than `accept_limit` connections, as listen(2) has it on Linux. `mtu` is in bytes; `isn(key, now)` gives an
    initial sequence number (RFC 6528), `ts_offset(key)` what a connection adds to its timestamps (RFC 7323 7.1).
    """

    __slots__ = (
        "_accept_queue", "_deadline", "_isn", "_levels", "_ts_offset", "abandoned", "accept_limit", "backlog", "config",
        "counts", "half_open", "mtu", "replies",
    )  # fmt: skip

    def __init__(
        self, key: bytes, config: TcpConfig, *, backlog: int, accept_limit: int, mtu: int,
        isn: Callable[[bytes, int], int], ts_offset: Callable[[bytes], int], observer: Observer | None = None,
    ) -> None:  # fmt: skip
        super().__init__(key, observer)
        self.config: TcpConfig = config
        self.backlog: int = backlog
        self.accept_limit: int = accept_limit
        self.mtu: int = mtu
        self.counts: ListenerCounts = ListenerCounts()
        self.half_open: int = 0  # records kept
        self.replies: list[tuple[bytes, Outgoing]] = []
        self.abandoned: list[Connection] = []  # reset by `close`: the stack has their RSTs to send
        self._isn: Callable[[bytes, int], int] = isn
        self._ts_offset: Callable[[bytes], int] = ts_offset
        self._accept_queue: deque[Connection] = deque()
        # One table for each number of repeats. All records in one wait equally long: its order is that of their timers.
        self._levels: list[dict[bytes, bytes]] = [{} for _ in range(config.syn_ack_retries + 1)]
        self._deadline: int = NEVER  # at or before the first timer of a record

    def listen(self, now: int) -> None:
        """Passive OPEN (3.10.1). Raises UsageError on a listener that was opened before."""
        if self.state is not State.CLOSED:
            raise UsageError("listen needs a new listener (RFC 9293 3.10.1)")
        self._move(Trigger.PASSIVE_OPEN, now)

    # --- the application's calls

    def readable(self) -> int:
        """Connections that `accept` can return."""
        return len(self._accept_queue)

    def accept(self, now: int) -> Connection | None:
        """The connection that has waited longest, or None; one that was reset meanwhile is returned too, as by accept(2)."""
        return self._accept_queue.popleft() if self._accept_queue else None

    def close(self, now: int) -> None:
        """CLOSE in LISTEN (3.10.4): half-open records vanish, connections that nobody accepted are reset."""
        if self.state is not State.LISTEN:
            return
        for level in self._levels:
            for key in level:
                self._tell(key, State.SYN_RECEIVED, Trigger.ABORT, now)
            level.clear()
        self.half_open = 0
        self._deadline = NEVER
        while self._accept_queue:
            connection = self._accept_queue.popleft()
            connection.abort(now)
            self.abandoned.append(connection)
        self._move(Trigger.CLOSE, now)

    def requests(self) -> Iterator[tuple[bytes, int]]:
        """The half-open records: key, and how many times the timer has repeated the SYN,ACK."""
        for repeats, level in enumerate(self._levels):
            for key in level:
                yield key, repeats

    def half_open_entries(self, now: int) -> Iterator[tuple[bytes, int, int]]:
        """The half-open records: key, age in ns, SYN,ACKs sent, the first included."""
        before = 0
        for repeats, level in enumerate(self._levels):
            before += self._interval(repeats)
            for key, data in level.items():
                yield key, max(now - (DUE.unpack_from(data, DUE_AT)[0] - before), 0), repeats + 1

    # --- segments in

    def receive(self, segment: Segment, now: int) -> None:
        """Only a segment from the unspecified address and port 0 has a listener's own key, and no host sends that.

        What peers send comes by `receive_from`.
        """
        self._drop(DropReason.SOURCE_ADDRESS, self.key, segment, now)

    def receive_from(self, key: bytes, segment: Segment, now: int, above: int = -1) -> Connection | None:
        """Take a segment of the peer in `key`. Returns the connection that it completes, already in the accept queue.

        `above` is the SND.NXT of a connection in TIME-WAIT that this SYN replaces (RFC 6191): the new initial sequence
        number will be larger (RFC 9293 3.6.1, MAY-2).
        """
        if self.state is not State.LISTEN:
            return None
        for repeats, level in enumerate(self._levels):
            data = level.get(key)
            if data is not None:
                return self._in_syn_received(key, HalfOpen.unpack(data), repeats, segment, now)
        self._in_listen(key, segment, now, above)
        return None

    def _in_listen(self, key: bytes, seg: Segment, now: int, above: int) -> None:
        """3.10.7.2."""
        flags = seg.flags
        if flags & RST:
            self._drop(DropReason.RST_IGNORED, key, seg, now)
            return
        if flags & ACK:
            self._drop(DropReason.ACK_UNACCEPTABLE, key, seg, now)
            self.replies.append((key, Outgoing(seg.ack, 0, RST, 0, RESET_BAD_ACK)))
            return
        if not flags & SYN:
            self._drop(DropReason.NO_FLAGS, key, seg, now)
            return
        if self._accept_queue_full():
            self._drop(DropReason.ACCEPT_QUEUE_FULL, key, seg, now)
            return
        if self.half_open >= self.backlog:
            self._drop(DropReason.SYN_QUEUE_FULL, key, seg, now)
            return
        if seg.payload or flags & FIN:
            self._drop(DropReason.DATA_ON_SYN, key, seg, now)
        iss = self._isn(key, now)
        if above >= 0 and not gt(iss, above):
            iss = (above + REOPEN_STEP) & MASK
        record = HalfOpen.from_syn(seg, iss, now + self._interval(0))
        self._levels[0][key] = record.pack()
        self.half_open += 1
        self._deadline = min(self._deadline, record.due)
        self._tell(key, State.LISTEN, Trigger.SYN, now)
        self.replies.append((key, self._syn_ack(key, record, SYN_ACK, now)))

    def _in_syn_received(
        self, key: bytes, record: HalfOpen, repeats: int, seg: Segment, now: int
    ) -> Connection | None:
        """3.10.7.4 for a record, in its order: sequence, RST, SYN, ACK; a repeated SYN and PAWS (RFC 7323 5.3) before."""
        flags = seg.flags
        if flags & (SYN | ACK | RST) == SYN and seg.seq == record.irs:
            self._repeated_syn(key, record, repeats, seg, now)
            return None
        if not self._passes_paws(key, record, repeats, seg, now):
            return None
        if not self._in_window(record, seg):
            if flags & RST:
                self._drop(DropReason.RST_OUT_OF_WINDOW, key, seg, now)
            else:
                self._drop(DropReason.OUT_OF_WINDOW, key, seg, now)
                self._answer(key, record, repeats, ACK_DUPLICATE, now)
            return None
        if flags & RST:
            if seg.seq == (record.irs + 1) & MASK:
                self._remove(key, repeats, Trigger.RESET_TO_LISTEN, now)
            else:  # RFC 5961 3.2
                self._drop(DropReason.RST_NOT_EXACT, key, seg, now)
                self._answer(key, record, repeats, ACK_CHALLENGE, now)
            return None
        if flags & SYN:  # fourth check: after a passive OPEN, back to LISTEN
            self._drop(DropReason.SYN_IN_WINDOW, key, seg, now)
            self._remove(key, repeats, Trigger.RESET_TO_LISTEN, now)
            return None
        if not flags & ACK:
            self._drop(DropReason.ACK_MISSING, key, seg, now)
            return None
        if seg.ack != (record.iss + 1) & MASK:  # 3.5.2: SYN-RECEIVED is not synchronized
            self._drop(DropReason.ACK_UNACCEPTABLE, key, seg, now)
            self.replies.append((key, Outgoing(seg.ack, 0, RST, 0, RESET_BAD_ACK)))
            return None
        if self._accept_queue_full():
            self._drop(DropReason.ACCEPT_QUEUE_FULL, key, seg, now)
            return None
        return self._complete(key, record, repeats, seg, now)

    def _repeated_syn(self, key: bytes, record: HalfOpen, repeats: int, seg: Segment, now: int) -> None:
        """The same SYN again: the SYN,ACK again, echoing the newer timestamp (RFC 7323 4.3)."""
        self._drop(DropReason.DUPLICATE, key, seg, now)
        if record.marks & HAS_TIMESTAMPS and seg.has_timestamps and (seg.tsval - record.ts_recent) & MASK < HALF:
            record.ts_recent = seg.tsval
        record.marks |= REPEATED
        self._levels[repeats][key] = record.pack()
        self.replies.append((key, self._syn_ack(key, record, RETRANSMIT_HANDSHAKE, now)))

    def _passes_paws(self, key: bytes, record: HalfOpen, repeats: int, seg: Segment, now: int) -> bool:
        if not self.config.timestamps or not record.marks & HAS_TIMESTAMPS or seg.flags & RST:
            return True
        if not seg.has_timestamps:  # RFC 7323 3.2
            self._drop(DropReason.PAWS, key, seg, now)
            return False
        if (seg.tsval - record.ts_recent) & MASK >= HALF:  # seq inline
            self._drop(DropReason.PAWS, key, seg, now)
            self._answer(key, record, repeats, ACK_DUPLICATE, now)
            return False
        return True

    def _in_window(self, record: HalfOpen, seg: Segment) -> bool:
        """First check: RCV.NXT is IRS + 1, RCV.WND what the SYN,ACK said, which is never 0."""
        window = self._window()
        length = seg.length
        ahead = (seg.seq - record.irs - 1) & MASK
        return ahead < window or (length > 0 and (ahead + length - 1) & MASK < window)

    def _complete(
        self, key: bytes, record: HalfOpen, repeats: int, seg: Segment, now: int
    ) -> Connection | None:
        """The acceptable ACK: a Connection takes over, beginning with this very segment."""
        sent_once = repeats == 0 and not record.marks & REPEATED
        connection = Connection.from_request(
            key, self.config, record.iss, self._ts_offset(key), self.mtu, record.syn(), now,
            record.due - self._interval(0) if sent_once else -1, self.observer,
        )  # fmt: skip
        connection.receive(seg, now)
        if connection.state is State.SYN_RECEIVED:  # it did not like the segment, and has said so: the record stays
            return None
        del self._levels[repeats][key]
        self.half_open -= 1
        self._accept_queue.append(connection)
        return connection

    # --- segments out

    def transmit(self, now: int, out: list[Outgoing], room: int) -> None:
        """Not for a listener: its segments go to many peers; see `replies`."""
        raise UsageError("a listener's segments are in replies")

    def next_deadline(self) -> int:
        """When to call `handle_timers`, in ns, or a little earlier; 0 while there are replies, NEVER for nothing."""
        return 0 if self.replies else self._deadline

    def handle_timers(self, now: int) -> None:
        """Repeat the SYN,ACKs that were not answered (RFC 6298 5.4, 5.5); give up after `config.syn_ack_retries`."""
        if now < self._deadline:
            return
        self._deadline = NEVER
        for repeats, level in enumerate(self._levels):
            due: list[tuple[bytes, bytes]] = []
            for key, data in level.items():
                when: int = DUE.unpack_from(data, DUE_AT)[0]
                if when > now:
                    self._deadline = min(self._deadline, when)
                    break
                due.append((key, data))
            for key, data in due:
                self._timeout(key, HalfOpen.unpack(data), repeats, now)

    def _timeout(self, key: bytes, record: HalfOpen, repeats: int, now: int) -> None:
        if repeats + 1 == len(self._levels):
            self._remove(key, repeats, Trigger.GIVE_UP, now)
            return
        del self._levels[repeats][key]
        record.due = now + self._interval(repeats + 1)
        record.answers = 0
        self._levels[repeats + 1][key] = record.pack()
        self._deadline = min(self._deadline, record.due)
        if self.observer is not None:
            self.observer.timer_fired(now, key, "handshake", str(record.due - now))
        self.replies.append((key, self._syn_ack(key, record, RETRANSMIT_HANDSHAKE, now)))

    def _interval(self, repeats: int) -> int:
        """How long a SYN,ACK repeated so often waits for its ACK, in ns."""
        return min(self.config.rto_initial << repeats, self.config.rto_max)

    def _window(self) -> int:
        """What the SYN,ACK offers, in bytes: never scaled (RFC 7323 2.2)."""
        return min(self.config.receive_buffer, MAX_WINDOW)

    def _syn_ack(self, key: bytes, record: HalfOpen, reason: int, now: int) -> Outgoing:
        """<SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK> with the options that the SYN offered; SACK is not offered."""
        agreement = Agreement(self.config, record.syn(), key, self.mtu)
        segment = Outgoing(record.iss, (record.irs + 1) & MASK, SYN | ACK, self._window(), reason)
        segment.mss = receive_mss(self.config, key, self.mtu)
        if agreement.scaling:
            segment.wscale = agreement.receive_shift
        self._stamp(key, segment, record, agreement.timestamps, now)
        return segment

    def _answer(self, key: bytes, record: HalfOpen, repeats: int, reason: int, now: int) -> None:
        """<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>; so many between two timers that two ends cannot answer each other for ever."""
        if record.answers >= min(self.config.challenge_acks, 255):
            return
        record.answers += 1
        self._levels[repeats][key] = record.pack()
        agreement = Agreement(self.config, record.syn(), key, self.mtu)
        window = self._window() >> agreement.receive_shift
        segment = Outgoing((record.iss + 1) & MASK, (record.irs + 1) & MASK, ACK, window, reason)
        self._stamp(key, segment, record, agreement.timestamps, now)
        self.replies.append((key, segment))

    def _stamp(self, key: bytes, segment: Outgoing, record: HalfOpen, agreed: bool, now: int) -> None:
        if agreed:
            segment.has_timestamps = True
            segment.tsval = (now // MILLISECOND + self._ts_offset(key)) & MASK
            segment.tsecr = record.ts_recent

    # --- bookkeeping

    def _accept_queue_full(self) -> bool:
        return len(self._accept_queue) > self.accept_limit

    def _remove(self, key: bytes, repeats: int, trigger: Trigger, now: int) -> None:
        del self._levels[repeats][key]
        self.half_open -= 1
        self._tell(key, State.SYN_RECEIVED, trigger, now)

    def _tell(self, key: bytes, old: State, trigger: Trigger, now: int) -> None:
        """A record has no state to assign; its moves are looked up and reported all the same."""
        new = next_state(old, trigger)
        if self.observer is not None:
            self.observer.state_changed(now, key, old, trigger, new)

    def _drop(self, reason: DropReason, key: bytes, segment: Segment, now: int) -> None:
        if self.observer is not None:
            self.observer.dropped(now, key, reason, segment)
