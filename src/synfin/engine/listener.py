"""A passive open: LISTEN, its half-open records and its accept queue (RFC 9293 3.10.7.2, and 3.10.7.4 for SYN-RECEIVED).

Owns what is answered to whom, and the limits of the two queues; the records themselves are synqueue's, cookies are cookies'. A
half-open connection is a packed record, not an object: a flood of SYNs costs a few bytes each, and with a cookie nothing. The
segment that completes the handshake builds a Connection in SYN-RECEIVED and is handed to it, so that data or FIN on it need
no second path. Must not know ports, addresses or who sends what it answers: replies are kept as (key, segment) for the stack.

Deviation, as in Linux: only the SYN of a segment is acknowledged in LISTEN; data or FIN on them are dropped and counted, the
peer sends them again (RFC 9293 3.10.7.2 would queue them).
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from synfin.engine.config import MILLISECOND, NEVER, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.cookies import (
    LIFETIME,
    NO_SCALING,
    NO_TIMESTAMPS,
    OPTION_MASK,
    SACK_BIT,
    Cookies,
    timestamp,
)  # fmt: skip
from synfin.engine.counts import ListenerCounts
from synfin.engine.entry import Entry
from synfin.engine.errors import DropReason, UsageError
from synfin.engine.handshake import MAX_SHIFT, Offer, default_mss
from synfin.engine.observe import Observer
from synfin.engine.path import HARD, PathError
from synfin.engine.rtt import RttEstimator
from synfin.engine.segment import (
    ACK,
    ACK_CHALLENGE,
    ACK_DUPLICATE,
    FIN,
    RESET_ACCEPT_QUEUE,
    RESET_BAD_ACK,
    RETRANSMIT_HANDSHAKE,
    RST,
    SYN,
    SYN_ACK,
    SYN_ACK_COOKIE,
    Outgoing,
    Segment,
)  # fmt: skip
from synfin.engine.seq import HALF, MASK, gt
from synfin.engine.state import State, Trigger, next_state
from synfin.engine.synqueue import ACKNOWLEDGED, MAX_TALLY, NO_SHIFT, HalfOpen, SynQueue, deferrals, waits

REOPEN_STEP: Final = 128_000  # what is added to the old SND.NXT when the generated ISN is not above it
AT_ONCE: Final = 1024  # timers handled in one call: a crowd must not hold the driver up


class Listener(Entry):
    """One passive open.

    `config` is what accepted connections get. `backlog` half-open records are kept at most; the accept queue is full when
    it holds more than `accept_limit` connections, as listen(2) has it on Linux. `mtu` is in bytes; `isn(key, now)` gives an
    initial sequence number (RFC 6528), `ts_offset(key)` what a connection adds to its timestamps (RFC 7323 7.1). Without
    `cookies` none are sent, whatever `config` says.
    """

    __slots__ = (
        "_accept_queue", "_cookies_until", "_deadline", "_isn", "_offer", "_queue", "_ts_offset", "abandoned", "accept_limit",
        "backlog", "config", "cookies", "counts", "mtu", "replies",
    )  # fmt: skip

    def __init__(
        self, key: bytes, config: TcpConfig, *, backlog: int, accept_limit: int, mtu: int,
        isn: Callable[[bytes, int], int], ts_offset: Callable[[bytes], int], cookies: Cookies | None = None,
        observer: Observer | None = None,
    ) -> None:  # fmt: skip
        super().__init__(key, observer)
        self.config: TcpConfig = config
        self.backlog: int = backlog
        self.accept_limit: int = accept_limit
        self.mtu: int = mtu
        self.cookies: Cookies | None = cookies
        self.counts: ListenerCounts = ListenerCounts()
        self.replies: list[tuple[bytes, Outgoing]] = []
        self.abandoned: list[Connection] = []  # reset by `close`: the stack has their RSTs to send
        self._isn: Callable[[bytes, int], int] = isn
        self._ts_offset: Callable[[bytes], int] = ts_offset
        self._accept_queue: deque[Connection] = deque()
        self._offer: Offer = Offer(config, mtu)
        self._queue: SynQueue = SynQueue(waits(config), key[-2:])
        self._deadline: int = NEVER  # at or before the first timer of a record
        self._cookies_until: int = -1  # when the last cookie that was sent is too old

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
        for key, _, _ in self._queue:
            self._tell(key, State.SYN_RECEIVED, Trigger.ABORT, now)
        self._queue.clear()
        self._deadline = NEVER
        while self._accept_queue:
            connection = self._accept_queue.popleft()
            connection.abort(now)
            self.abandoned.append(connection)
        self._move(Trigger.CLOSE, now)

    @property
    def half_open(self) -> int:
        """Records kept."""
        return len(self._queue)

    def half_open_entries(self, now: int) -> Iterator[tuple[bytes, int, int]]:
        """The half-open records: key, age in ns, SYN,ACKs sent, the first included."""
        for key, since, syn_acks in self._queue:
            yield key, now - since, syn_acks

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
        if segment.flags & (SYN | ACK | RST) == SYN:
            self.counts.syns += 1
        record = self._queue.get(key)
        if record is not None:
            return self._in_syn_received(key, record, segment, now)
        return self._in_listen(key, segment, now, above)

    def _in_listen(self, key: bytes, seg: Segment, now: int, above: int) -> Connection | None:
        """3.10.7.2."""
        flags = seg.flags
        if flags & RST:
            self._drop(DropReason.RST_IGNORED, key, seg, now)
            return None
        if flags & ACK:
            if now < self._cookies_until and not flags & SYN:
                return self._by_cookie(key, seg, now)
            self._refuse(DropReason.ACK_UNACCEPTABLE, key, seg, now)
            return None
        if not flags & SYN:
            self._drop(DropReason.NO_FLAGS, key, seg, now)
            return None
        if self._accept_queue_full():
            self.counts.accept_queue_drops += 1
            self._drop(DropReason.ACCEPT_QUEUE_FULL, key, seg, now)
            return None
        # What follows TIME-WAIT needs an ISN of its own, and is as bounded as TIME-WAIT is: it always gets a record.
        by_cookie = above < 0 and self._answers_by_cookie()
        if above < 0 and not by_cookie and not self._room(key, seg, now):
            return None
        if seg.payload or flags & FIN:
            self._drop(DropReason.DATA_ON_SYN, key, seg, now)
        if by_cookie:
            self._send_cookie(key, seg, now)
            return None
        iss = self._isn(key, now)
        if above >= 0 and not gt(iss, above):
            iss = (above + REOPEN_STEP) & MASK
        record = HalfOpen.of(seg, iss, now)
        self._queue.add(key, record)
        self._deadline = min(self._deadline, self._queue.due_at(record))
        self._tell(key, State.LISTEN, Trigger.SYN, now)
        self.replies.append((key, self._syn_ack(key, record, SYN_ACK, now)))
        return None

    def _room(self, key: bytes, seg: Segment, now: int) -> bool:
        """Whether one more record may be kept; by config.syn_queue_policy the oldest makes room."""
        if len(self._queue) < self.backlog:
            return True
        oldest = self._queue.oldest() if self.config.syn_queue_policy == "oldest" else None
        if oldest is None:
            self.counts.syn_queue_drops += 1
            self._drop(DropReason.SYN_QUEUE_FULL, key, seg, now)
            return False
        self.counts.evicted += 1
        self._remove(*oldest, Trigger.ABORT, now)
        return True

    def _in_syn_received(self, key: bytes, record: HalfOpen, seg: Segment, now: int) -> Connection | None:
        """3.10.7.4 for a record, in its order: sequence, RST, SYN, ACK; a repeated SYN and PAWS (RFC 7323 5.3) before."""
        flags = seg.flags
        if flags & (SYN | ACK | RST) == SYN and seg.seq == record.irs:
            self._repeated_syn(key, record, seg, now)
            return None
        if not self._passes_paws(key, record, seg, now):
            return None
        if not self._in_window(key, record, seg):
            if flags & RST:
                self._drop(DropReason.RST_OUT_OF_WINDOW, key, seg, now)
            else:
                self._drop(DropReason.OUT_OF_WINDOW, key, seg, now)
                self._answer(key, record, ACK_DUPLICATE, now)
            return None
        if flags & RST:
            if seg.seq == (record.irs + 1) & MASK:
                self.counts.resets += 1
                self._remove(key, record, Trigger.RESET_TO_LISTEN, now)
            else:  # RFC 5961 3.2
                self._drop(DropReason.RST_NOT_EXACT, key, seg, now)
                self._answer(key, record, ACK_CHALLENGE, now)
            return None
        if flags & SYN:  # fourth check: after a passive OPEN, back to LISTEN
            self._drop(DropReason.SYN_IN_WINDOW, key, seg, now)
            self._remove(key, record, Trigger.RESET_TO_LISTEN, now)
            return None
        if not flags & ACK:
            self._drop(DropReason.ACK_MISSING, key, seg, now)
            return None
        if seg.ack != (record.iss + 1) & MASK:  # 3.5.2: SYN-RECEIVED is not synchronized
            if now < self._cookies_until:  # its SYN may have been answered by a cookie before a record had room
                return self._by_cookie(key, seg, now, record)
            self._refuse(DropReason.ACK_UNACCEPTABLE, key, seg, now)
            return None
        if self.config.defer_accept and not seg.length and record.level < deferrals(self.config):
            record.marks |= ACKNOWLEDGED
            self._queue.update(key, record)
            return None
        if self._accept_queue_full():
            if self._overflow(key, seg, now):
                self._remove(key, record, Trigger.ABORT, now)
            return None
        return self._complete(key, record, seg, now)

    def _repeated_syn(self, key: bytes, record: HalfOpen, seg: Segment, now: int) -> None:
        """The same SYN again: the SYN,ACK again, echoing the newer timestamp (RFC 7323 4.3)."""
        self._drop(DropReason.DUPLICATE, key, seg, now)
        if record.has_timestamps and seg.has_timestamps and (seg.tsval - record.ts_recent) & MASK < HALF:
            record.ts_recent = seg.tsval
        record.again = min(record.again + 1, MAX_TALLY)
        self._queue.update(key, record)
        self.counts.syn_ack_repeats += 1
        self.replies.append((key, self._syn_ack(key, record, RETRANSMIT_HANDSHAKE, now)))

    def _passes_paws(self, key: bytes, record: HalfOpen, seg: Segment, now: int) -> bool:
        if not self._stamped(record) or seg.flags & RST:
            return True
        if not seg.has_timestamps:  # RFC 7323 3.2
            self._drop(DropReason.PAWS, key, seg, now)
            return False
        if (seg.tsval - record.ts_recent) & MASK >= HALF:  # seq inline
            self._drop(DropReason.PAWS, key, seg, now)
            self._answer(key, record, ACK_DUPLICATE, now)
            return False
        return True

    def _in_window(self, key: bytes, record: HalfOpen, seg: Segment) -> bool:
        """First check: RCV.NXT is IRS + 1, RCV.WND what the SYN,ACK said, which is never 0."""
        window = self._offered().window(key, self._stamped(record))
        length = seg.length
        ahead = (seg.seq - record.irs - 1) & MASK
        return ahead < window or (length > 0 and (ahead + length - 1) & MASK < window)

    def _complete(self, key: bytes, record: HalfOpen, seg: Segment, now: int) -> Connection | None:
        """The acceptable ACK: a Connection takes over, beginning with this very segment."""
        sent_once = not record.level and not record.again
        connection = Connection.from_request(
            key, self.config, record.iss, self._ts_offset(key), self.mtu, record.syn(), now,
            record.since if sent_once else -1, self.observer,
        )  # fmt: skip
        connection.receive(seg, now)
        if connection.state is State.SYN_RECEIVED:  # it did not like the segment, and has said so: the record stays
            return None
        self._queue.remove(record)
        self._done(connection)
        return connection

    def _done(self, connection: Connection) -> None:
        self.counts.completed += 1
        self._accept_queue.append(connection)

    def _refuse(self, reason: DropReason, key: bytes, seg: Segment, now: int) -> None:
        """<SEQ=SEG.ACK><CTL=RST>."""
        self._drop(reason, key, seg, now)
        self.replies.append((key, Outgoing(seg.ack, 0, RST, 0, RESET_BAD_ACK)))

    def _overflow(self, key: bytes, seg: Segment, now: int) -> bool:
        """The final ACK finds the accept queue full. Returns whether it was answered by RST (config.accept_overflow)."""
        self.counts.accept_queue_drops += 1
        self._drop(DropReason.ACCEPT_QUEUE_FULL, key, seg, now)
        if self.config.accept_overflow != "reset":
            return False
        self.replies.append((key, Outgoing(seg.ack, 0, RST, 0, RESET_ACCEPT_QUEUE)))
        return True

    def path_error(self, key: bytes, kind: PathError, seq: int, now: int) -> bool:
        """ICMP says `kind` of a packet of ours with SEG.SEQ `seq` to the peer in `key`. A hard error ends a record, any does
        where config says so (RFC 9293 3.9.2.2, RFC 1122 4.2.3.9). Returns whether it was believed: it names our SYN,ACK
        (RFC 5927 4.1)."""
        record = self._queue.get(key)
        if record is None or record.iss != seq or kind is PathError.TOO_BIG:
            return False
        if kind in HARD or self.config.unreachable_ends_opening:
            self._remove(key, record, Trigger.ABORT, now)
        return True

    # --- cookies: RFC 4987 3.6

    def _answers_by_cookie(self) -> bool:
        mode = self.config.syn_cookies
        if mode == "off" or self.cookies is None:
            return False
        return mode == "always" or len(self._queue) >= self.backlog

    def _send_cookie(self, key: bytes, seg: Segment, now: int) -> None:
        """Answer a SYN and keep nothing of it. Without timestamps there is no place for window scale and SACK."""
        assert self.cookies is not None, "asked before"
        config, offer = self.config, self._offered()
        options, shift, stamped = NO_TIMESTAMPS, 0, seg.has_timestamps and config.timestamps
        if stamped:
            options = SACK_BIT | NO_SCALING if seg.sack_permitted else NO_SCALING
            if seg.wscale >= 0 and config.window_scaling:
                options += min(seg.wscale, MAX_SHIFT) - NO_SCALING
                shift = offer.shift
        mss = seg.mss if seg.mss > 0 else default_mss(key)
        iss = self.cookies.make(key, seg.seq, mss, options, shift, now)
        sack = options != NO_TIMESTAMPS and options & SACK_BIT != 0
        out = offer.syn_ack(key, iss, seg.seq, options & NO_SCALING != NO_SCALING, sack, stamped, SYN_ACK_COOKIE)
        if stamped:
            out.has_timestamps = True
            out.tsval = timestamp(self._clock(key, now), options)
            out.tsecr = seg.tsval
        self.counts.cookies_sent += 1
        self._cookies_until = now + LIFETIME
        self.replies.append((key, out))

    def _by_cookie(self, key: bytes, seg: Segment, now: int, record: HalfOpen | None = None) -> Connection | None:
        """An ACK that may bring a cookie back: build what the SYN,ACK agreed on. `record` is what a later SYN has left."""
        assert self.cookies is not None, "only who has sent one looks for them"
        irs, iss = (seg.seq - 1) & MASK, (seg.ack - 1) & MASK
        stamped = seg.has_timestamps and self.config.timestamps
        options = seg.tsecr & OPTION_MASK if stamped else NO_TIMESTAMPS
        scaling = options & NO_SCALING != NO_SCALING
        mss = self.cookies.check(key, irs, iss, options, self._offered().shift if scaling else 0, now)
        if not mss:
            self.counts.cookies_refused += 1
            self._refuse(DropReason.COOKIE_REFUSED, key, seg, now)
            return None
        if self._accept_queue_full():
            self._overflow(key, seg, now)
            return None
        syn = Segment(irs, 0, SYN, seg.window)
        syn.mss = mss
        if stamped:
            syn.has_timestamps, syn.tsval = True, seg.tsval
            syn.wscale = options & NO_SCALING if scaling else -1
            syn.sack_permitted = bool(options & SACK_BIT)
        if record is None:
            self._tell(key, State.LISTEN, Trigger.SYN, now)
        else:
            self._queue.remove(record)
        self.counts.cookies_accepted += 1
        connection = self._from_cookie(key, iss, syn, seg, now)
        self._done(connection)
        return connection

    def _from_cookie(self, key: bytes, iss: int, syn: Segment, seg: Segment, now: int) -> Connection:
        """The echoed timestamp tells the round trip, up to 63 ms too long; an old one tells only that something was lost on
        the way or found the accept queue full, and without one nothing is known: no sample, and no loss assumed."""
        offset = self._ts_offset(key)
        ago = ((now // MILLISECOND + offset - seg.tsecr) & MASK) * MILLISECOND if syn.has_timestamps else NEVER
        fresh = ago <= self.config.rto_initial
        connection = Connection.from_request(
            key, self.config, iss, offset, self.mtu, syn, now, now - ago if fresh else -1, self.observer
        )
        connection.handshake_lost = False
        if not fresh:
            connection.sender.marks = None
        connection.receive(seg, now)
        if not fresh:
            connection.sender.rtt = RttEstimator(self.config)
        return connection

    # --- segments out

    def transmit(self, now: int, out: list[Outgoing], room: int) -> None:
        """Not for a listener: its segments go to many peers; see `replies`."""
        raise UsageError("a listener's segments are in replies")

    def next_deadline(self) -> int:
        """When to call `handle_timers`, in ns, or a little earlier; 0 while there are replies, NEVER for nothing."""
        return 0 if self.replies else self._deadline

    def handle_timers(self, now: int) -> None:
        """Repeat the SYN,ACKs that were not answered (RFC 6298 5.4, 5.5); give up after `config.syn_ack_retries`. Of a crowd
        some at a time: `next_deadline` tells that more are due."""
        if now < self._deadline:
            return
        for _ in range(AT_ONCE):
            found = self._queue.due(now)
            if found is None:
                break
            self._timeout(*found, now)
        self._deadline = self._queue.deadline()

    def _timeout(self, key: bytes, record: HalfOpen, now: int) -> None:
        if not self._queue.advance(record, now):
            self.counts.expired += 1
            self._tell(key, State.SYN_RECEIVED, Trigger.GIVE_UP, now)
            return
        if record.acknowledged and record.level < deferrals(self.config):
            return  # the peer has all it needs; what is waited for is its data
        if self.observer is not None:
            self.observer.timer_fired(now, key, "handshake", str(self._queue.due_at(record) - now))
        self.counts.syn_ack_repeats += 1
        self.replies.append((key, self._syn_ack(key, record, RETRANSMIT_HANDSHAKE, now)))

    def _offered(self) -> Offer:
        """What our SYN,ACKs tell; a socket option may have replaced `config`."""
        if self._offer.config is not self.config:
            self._offer = Offer(self.config, self.mtu)
        return self._offer

    def _scaling(self, record: HalfOpen) -> bool:
        return self.config.window_scaling and record.marks & NO_SHIFT != NO_SHIFT

    def _stamped(self, record: HalfOpen) -> bool:
        return self.config.timestamps and record.has_timestamps

    def _syn_ack(self, key: bytes, record: HalfOpen, reason: int, now: int) -> Outgoing:
        segment = self._offered().syn_ack(
            key, record.iss, record.irs, self._scaling(record), record.sack_permitted, self._stamped(record), reason
        )
        self._stamp(key, segment, record, now)
        return segment

    def _answer(self, key: bytes, record: HalfOpen, reason: int, now: int) -> None:
        """<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>; so many between two timers that two ends cannot answer each other for ever."""
        if record.answers >= min(self.config.challenge_acks, MAX_TALLY):
            return
        record.answers += 1
        self._queue.update(key, record)
        offer = self._offered()
        window = offer.window(key, self._stamped(record))
        if self._scaling(record):
            window >>= offer.shift
        segment = Outgoing((record.iss + 1) & MASK, (record.irs + 1) & MASK, ACK, window, reason)
        self._stamp(key, segment, record, now)
        self.replies.append((key, segment))

    def _stamp(self, key: bytes, segment: Outgoing, record: HalfOpen, now: int) -> None:
        if self._stamped(record):
            segment.has_timestamps = True
            segment.tsval = self._clock(key, now)
            segment.tsecr = record.ts_recent

    def _clock(self, key: bytes, now: int) -> int:
        """TSval of the connection in `key` at `now` (RFC 7323 4.1, 7.1)."""
        return (now // MILLISECOND + self._ts_offset(key)) & MASK

    # --- bookkeeping

    def _accept_queue_full(self) -> bool:
        return len(self._accept_queue) > self.accept_limit

    def _remove(self, key: bytes, record: HalfOpen, trigger: Trigger, now: int) -> None:
        self._queue.remove(record)
        self._tell(key, State.SYN_RECEIVED, trigger, now)

    def _tell(self, key: bytes, old: State, trigger: Trigger, now: int) -> None:
        """A record has no state to assign; its moves are looked up and reported all the same."""
        new = next_state(old, trigger)
        if self.observer is not None:
            self.observer.state_changed(now, key, old, trigger, new)

    def _drop(self, reason: DropReason, key: bytes, segment: Segment, now: int) -> None:
        if self.observer is not None:
            self.observer.dropped(now, key, reason, segment)
