"""The boundary of the engine: one connection, from OPEN to CLOSED (RFC 9293 3.9.1, 3.10).

Owns the state, the timers and the order of things: `receive` and the calls change state, `transmit` alone builds segments.
The sender, the receiver and congestion control do their own arithmetic and are told; they never look back up here.
Must not know: addresses, ports, checksums, sockets, clocks. `now` is an argument everywhere, in nanoseconds.
"""

from typing import Any, Final

from synfin.engine import arrives, expiry, fastpath, invariants, keepalive, options, output, path
from synfin.engine.bounded import sender_for
from synfin.engine.config import MILLISECOND, NEVER, TcpConfig
from synfin.engine.entry import Entry
from synfin.engine.errors import CloseReason, DropReason, UsageError
from synfin.engine.events import CONNECTED, Closed, Event
from synfin.engine.expiry import give_up_at
from synfin.engine.handshake import (
    SCALING,
    Agreement,
    effective_mss,
    first_window,
    header_space,
    offered_scale,
    receive_mss,
)
from synfin.engine.info import told
from synfin.engine.observe import Observer
from synfin.engine.output import CURRENT, NO_ACK
from synfin.engine.receiver import Receiver
from synfin.engine.rhythm import Rhythm, rhythm_for
from synfin.engine.sack import NOTHING, Edges
from synfin.engine.segment import (
    ACK,
    ACK_CHALLENGE,
    ACK_WINDOW_UPDATE,
    RESET_ABORT,
    RST,
    Buffer,
    Segment,
)
from synfin.engine.sender import CORK, Sender
from synfin.engine.seq import MASK
from synfin.engine.state import State, Trigger
from synfin.engine.timers import Timers
from synfin.engine.tuned import receiver_for

WRITE_URGENT: Final = 1  # the last byte of this write is urgent (MSG_OOB)
WRITE_MORE: Final = 2  # more follows at once: hold back a partial segment (MSG_MORE)
NO_CHALLENGES: Final = (0, 0)
MAX_REPLIES: Final = 64  # answers kept for one `transmit`; what exceeds them is answered by one of them

OPENING: Final = (State.SYN_SENT, State.SYN_RECEIVED)
BOTH_CLOSED: Final = (State.CLOSING, State.LAST_ACK)
OVER: Final = (State.CLOSED, State.TIME_WAIT)
CAN_SEND: Final = (State.SYN_SENT, State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSE_WAIT)


class Connection(Entry):
    """One TCP connection.

    `key` names it (observe.py), `iss` is its initial sequence number (RFC 6528), `ts_offset` what it adds to its timestamp
    clock in milliseconds (RFC 7323 7.1), `mtu` the largest packet in bytes that its path takes.
    """

    __slots__ = (
        "ack_now", "agreed", "agreed_timestamps", "bare_segs_in", "bare_segs_out", "challenges", "close_reason", "config",
        "data_segs_in", "data_segs_out", "established", "events", "handshake_lost", "keepalive", "last_data_recv", "mtu",
        "narrow", "orphaned", "passive", "receiver", "replies", "rhythm", "send_due", "sender",
        "soft_error", "syn_again", "syn_due", "syn_since", "timers", "ts_offset", "ts_recent", "ts_recent_age", "user_timeout",
    )  # fmt: skip

    def __init__(
        self, key: bytes, config: TcpConfig, iss: int, ts_offset: int, mtu: int, observer: Observer | None = None
    ) -> None:
        super().__init__(key, observer)
        self.config: TcpConfig = config
        self.mtu: int = mtu
        self.sender: Sender = sender_for(config, iss, effective_mss(65_535, mtu - header_space(key), config.timestamps))
        self.receiver: Receiver = receiver_for(config, receive_mss(config, key, mtu))
        self.rhythm: Rhythm | None = rhythm_for(config)  # None: ACKs are counted
        self.timers: Timers = Timers()
        self.passive: bool = False
        self.established: bool = False  # ESTABLISHED has been reached
        self.orphaned: bool = False  # the application has closed both halves
        self.close_reason: CloseReason | None = None
        self.events: list[Event] | None = None
        self.replies: list[tuple[int, int, int, int, Edges]] | None = None  # reason, flags, SEQ, ACK, what it is about
        self.ack_now: int = NO_ACK  # the reason for an ACK owed now
        self.send_due = self.syn_due = False
        self.agreed_timestamps: bool = False
        self.agreed: int = 0  # SCALING, SACK: what both SYNs had besides timestamps
        self.ts_offset: int = ts_offset
        self.ts_recent = self.ts_recent_age = 0
        self.syn_since: int = 0
        self.syn_again: bool = False  # the SYN or SYN,ACK that is due has gone before
        self.handshake_lost: bool = False  # the timer fired in the handshake (RFC 6298 5.7, RFC 5681 3.1)
        self.user_timeout: int = config.user_timeout
        self.keepalive: keepalive.Keepalive | None = keepalive.Keepalive(config) if config.keepalive else None
        self.soft_error: path.PathError | None = None  # what ICMP has said last
        self.narrow: path.Narrow | None = None  # the path takes less than our link, or did
        self.challenges: tuple[int, int] = NO_CHALLENGES  # how many may go, until when (RFC 5961 7)
        # Segments with and without text, as they are on the wire.
        self.data_segs_in = self.bare_segs_in = self.data_segs_out = self.bare_segs_out = 0
        self.last_data_recv: int = 0  # time in ns; of the handshake when nothing came since

    # --- opening

    def connect(self, now: int, data: Buffer = b"") -> None:
        """Active OPEN (3.10.1); `data` rides on the handshake's third segment. Raises UsageError on a used connection."""
        if self.state is not State.CLOSED or self.close_reason is not None:
            raise UsageError("connect needs a new connection (RFC 9293 3.10.1)")
        self.syn_since = now
        if self.config.window_scaling:
            self.receiver.shift = offered_scale(self.config, self.receiver.capacity)
        self._move(Trigger.ACTIVE_OPEN, now)
        self.syn_due = self.send_due = True
        if data:
            self.write(data, now)

    @classmethod
    def from_request(
        cls, key: bytes, config: TcpConfig, iss: int, ts_offset: int, mtu: int, syn: Segment, now: int,
        sent_at: int, observer: Observer | None = None,
    ) -> "Connection":  # fmt: skip
        """A passive open in SYN-RECEIVED whose SYN,ACK a listener sent: the next step is to `receive` the final ACK.

        `syn` carries the peer's sequence number and options as they were on its SYN; `sent_at` is when our SYN,ACK went out
        in nanoseconds, or -1 when it went more than once (Karn).
        """
        connection = cls(key, config, iss, ts_offset, mtu, observer)
        connection.passive = True
        connection.state = State.SYN_RECEIVED  # the listener reported the move when it made the record
        receiver, stamped = connection.receiver, syn.has_timestamps and config.timestamps
        receiver.syn_window(first_window(config, receiver.capacity, receiver.mss, stamped))  # its SYN,ACK has offered this
        connection.take_syn(syn, now)
        connection.bare_segs_in = 1
        connection.handshake_lost = sent_at < 0
        connection.syn_since = now
        connection.sender.syn_sent(max(sent_at, 0), connection.timers)
        connection.timers.retransmission = NEVER  # the listener repeats the SYN,ACK
        return connection

    def take_syn(self, syn: Segment, now: int) -> None:
        """The peer's SYN: its sequence number, its options, its window (never scaled on a SYN, RFC 7323 2.2)."""
        agreement = Agreement(self.config, syn, self.key, self.mtu)
        shift = agreement.receive_shift
        if agreement.scaling and not self.passive:
            shift = self.receiver.shift  # what our SYN told, whatever the buffer has become
        self.receiver.start(syn.seq, shift)
        self.sender.agree(self.config, agreement.send_mss, agreement.send_shift)
        self.agreed_timestamps = agreement.timestamps
        self.agreed = agreement.agreed
        self.last_data_recv = now
        if self.narrow is not None:
            path.agreed(self, self.narrow, agreement.peer_mss)
        if agreement.timestamps:
            self.ts_recent = syn.tsval
            self.ts_recent_age = now
        self.sender.first_window(syn.window, syn.seq, syn.ack)

    # --- segments in

    def receive(self, segment: Segment, now: int) -> None:
        """SEGMENT ARRIVES (3.10.7) in any state but CLOSED, LISTEN and TIME-WAIT; never raises for what a peer sends."""
        if segment.payload:
            self.data_segs_in += segment.segments
            self.last_data_recv = now
        else:
            self.bare_segs_in += 1
        if self.keepalive is not None or self.soft_error is not None:
            keepalive.hear(self, segment, now)
        if self.state is State.ESTABLISHED and fastpath.take(self, segment, now):
            return
        persist = self.timers.persist
        if self.state is State.SYN_SENT:
            arrives.in_syn_sent(self, segment, now)
        elif self.state is not State.CLOSED and self.state is not State.TIME_WAIT:
            arrives.other_states(self, segment, now)
        self.tell_persist(persist, now)

    def path_error(self, kind: path.PathError, seq: int, mtu: int, length: int, now: int) -> bool:
        """ICMP speaks of a packet of ours: see path.take."""
        return path.take(self, kind, seq, mtu, length, now)

    def owe_ack(self, reason: int) -> None:
        """An ACK is owed now; any segment that goes out pays it."""
        if self.ack_now == NO_ACK:
            self.ack_now = reason

    def reply(self, reason: int, flags: int = ACK, seq: int = CURRENT, ack: int = CURRENT, about: Edges = NOTHING) -> None:
        """A segment owed to one particular segment, `about` as sack.blocks has it; it never merges with another."""
        replies = self.replies = self.replies or []
        if len(replies) < MAX_REPLIES:
            replies.append((reason, flags, seq, ack, about))

    def challenge(self, now: int, reason: int = ACK_CHALLENGE) -> None:
        """A challenge ACK, at most `config.challenge_acks` in `config.challenge_ack_period` (RFC 5961 7).

        An ACK that answers a mere ACK draws on the same budget, so that two confused peers cannot answer each other for ever.
        """
        left, until = self.challenges
        if now >= until:
            left, until = self.config.challenge_acks, now + self.config.challenge_ack_period
        self.challenges = max(left - 1, 0), until
        if left > 0:
            self.reply(reason)

    def drop(self, reason: DropReason, segment: Segment, now: int) -> None:
        """Tell the observer that `segment`, or what remained of it, is not taken."""
        if self.observer is not None:
            self.observer.dropped(now, self.key, reason, segment)

    # --- segments out

    transmit = output.transmit  # the function itself: a call less for each segment

    def next_deadline(self) -> int:
        """When to call `handle_timers`, in ns: NEVER for nothing, 0 when `transmit` has something to send."""
        if self.send_due or self.ack_now != NO_ACK or self.replies is not None:
            return 0
        first = self.timers.earliest()
        if first == NEVER:
            return NEVER
        limit = give_up_at(self)
        return limit if limit < first else first

    # --- timers

    def handle_timers(self, now: int) -> None:
        """Act on every timer whose time has come (3.10.8)."""
        if self.state not in OVER:
            expiry.act(self, now)

    def tell_timer(self, timer: str, detail: str, now: int) -> None:
        """Tell the observer that a timer acted."""
        if self.observer is not None:
            self.observer.timer_fired(now, self.key, timer, detail)

    def tell_persist(self, before: int, now: int) -> None:
        """Tell the observer that a closed window is probed at the persist timer's deadline, which is no longer `before`."""
        deadline = self.timers.persist
        if deadline not in (before, NEVER) and self.sender.probing and self.observer is not None:
            self.observer.timer_started(now, self.key, "persist", deadline)

    def tell_congestion(self, cause: str, now: int) -> None:
        """Tell the observer of a change in congestion control."""
        if self.observer is not None:
            congestion = self.sender.congestion
            self.observer.congestion(now, self.key, cause, congestion.cwnd, congestion.ssthresh)

    # --- the application's calls

    def write(self, data: Buffer, now: int, flags: int = 0) -> int:
        """SEND (3.10.2): returns the bytes accepted, 0 when the send buffer is full. `flags`: WRITE_URGENT, WRITE_MORE.

        Raises UsageError after CLOSE and in states without a peer.
        """
        sender = self.sender
        if sender.fin_queued or self.state not in CAN_SEND:
            raise UsageError(f"write after the sending side was closed, or without a connection; state {self.state}")
        room = sender.capacity - sender.buffer.size
        if type(data) is memoryview and data.nbytes != len(data):
            data = data.cast("B")
        count = len(data)
        if count > room:
            count = max(room, 0)
            data = memoryview(data)[:count]
            flags &= ~WRITE_URGENT  # the urgent point is the end of the whole: it comes with the rest
        if not count:
            return 0
        more = flags & WRITE_MORE
        sender.more = sender.more & CORK | more
        if self.config.push_half_window:
            reach = min(sender.congestion.cwnd, sender.snd_wnd)
            sender.buffer.expect(self.unsent(), sender.mss, sender.max_snd_wnd, reach)
        sender.buffer.append(data, more > 0)
        if flags & WRITE_URGENT:
            base = sender.snd_una + (1 if self.state in OPENING else 0)  # the SYN comes before the bytes
            sender.snd_up = (base + sender.buffer.size) & MASK
            sender.urgent_due = sender.urgent_mode = True
        self.send_due = self.state not in OPENING or self.syn_due
        return count

    def read(self, limit: int, now: int) -> bytes:
        """RECEIVE (3.10.3): at most `limit` bytes in order; b'' when there are none (see `peer_closed`)."""
        data = self.receiver.read(limit, False)
        if data:
            self.window_may_open()
        return data

    def read_into(self, buffer: Buffer, now: int) -> int:
        """Like `read`, into `buffer`; returns the bytes copied."""
        count = self.receiver.read_into(memoryview(buffer).cast("B"))
        if count:
            self.window_may_open()
        return count

    def peek(self, limit: int) -> bytes:
        """What `read` would return, without taking it."""
        return self.receiver.read(limit, True)

    def window_may_open(self) -> None:
        """Something was read, or the buffer has grown: perhaps the peer is to be told."""
        if not self.receiver.fin_received and self.established and self.state not in OVER:
            if self.rhythm is not None:
                self.rhythm.read(self)
            if self.receiver.update_due():
                self.owe_ack(ACK_WINDOW_UPDATE)

    def shutdown_send(self, now: int) -> None:
        """CLOSE of our direction (3.10.4): FIN after what is queued; the peer's stays open. Repeating it does nothing."""
        if self.sender.fin_queued or self.state in OVER:
            return
        if self.state is State.SYN_SENT:
            self.finish(Trigger.CLOSE, CloseReason.ABORTED, now)
            return
        self.sender.fin_queued = True
        self.sender.more = 0
        self.send_due = True
        if self.state is not State.SYN_RECEIVED:  # there it waits for ESTABLISHED (3.10.4)
            self._move(Trigger.CLOSE, now)

    def shutdown_receive(self, now: int) -> None:
        """No more is read: what has come is discarded, what comes is acknowledged and discarded."""
        self.receiver.discard()
        self.window_may_open()

    def close(self, now: int) -> None:
        """CLOSE of both halves; the connection lives on without its user. RST when data is unread (RFC 2525 2.17)."""
        if self.orphaned:
            return
        self.orphaned = True
        if self.state in OVER:
            return
        if self.receiver.size:
            self.abort(now)
            return
        self.shutdown_send(now)
        if self.state is State.FIN_WAIT_2:
            self._start_fin_wait_2(now)

    def abort(self, now: int) -> None:
        """ABORT (3.10.5): RST to the peer where there is one, everything queued is lost."""
        self.orphaned = True
        if self.state in OVER:
            return
        self.reset(RESET_ABORT, Trigger.ABORT, CloseReason.ABORTED, now)

    def reset(self, reason: int, trigger: Trigger, close_reason: CloseReason, now: int) -> None:
        """End with <SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>; silent where the peer does not know us or has our FIN (3.10.5)."""
        silent = self.state is State.SYN_SENT or (self.state in BOTH_CLOSED and self.sender.fin_sent)
        self.finish(trigger, close_reason, now)
        if not silent:
            self.reply(reason, RST | ACK)

    # --- ends

    def finish(self, trigger: Trigger, reason: CloseReason, now: int) -> None:
        """To CLOSED by `trigger`: timers stop, what was to be sent is gone, what had arrived can still be read."""
        self.close_reason = reason
        self._move(trigger, now)
        self.timers.stop()
        self.replies = None
        self.ack_now = NO_ACK
        self.send_due = self.syn_due = False
        self.sender.discard()
        self.receiver.reassembly = None

    def two_msl_over(self, now: int) -> None:
        """The stack's TIME-WAIT entry has run out; it has told the observer."""
        self.state = State.CLOSED

    def _entered(self, state: State, now: int) -> None:
        if state is State.ESTABLISHED:
            self.established = True
            self._emit(CONNECTED)
            keepalive.opened(self, now)
            if self.sender.fin_queued:  # CLOSE was called in SYN-RECEIVED
                self._move(Trigger.CLOSE, now)
            self.send_due = True
        elif state is State.FIN_WAIT_2 and self.orphaned:
            self._start_fin_wait_2(now)
        elif state is State.TIME_WAIT:
            self.close_reason = CloseReason.FINISHED
            self.timers.stop()
            self._emit(Closed(CloseReason.FINISHED))
        elif state is State.CLOSED:
            self._emit(Closed(self.close_reason or CloseReason.FINISHED))

    def _start_fin_wait_2(self, now: int) -> None:
        if self.config.fin_wait_2_timeout:
            self.timers.fin_wait_2 = now + self.config.fin_wait_2_timeout
            if self.observer is not None:
                self.observer.timer_started(now, self.key, "FIN-WAIT-2", self.timers.fin_wait_2)

    def _emit(self, event: Event) -> None:
        if self.events is None:
            self.events = []
        self.events.append(event)

    # --- what a user may ask

    def next_event(self) -> Event | None:
        """The oldest change not yet told."""
        if not self.events:
            return None
        event = self.events.pop(0)
        self.events = self.events or None
        return event

    @property
    def peer_closed(self) -> bool:
        """Whether the peer's FIN has arrived in order; with nothing readable that is the end of the stream."""
        return self.receiver.fin_received

    def readable(self) -> int:
        """Bytes that can be read now."""
        return self.receiver.size

    def writable(self) -> int:
        """Bytes that `write` would accept now."""
        if self.sender.fin_queued or self.state not in CAN_SEND:
            return 0
        return max(self.sender.capacity - self.sender.buffer.size, 0)

    def unsent(self) -> int:
        """Bytes written and never sent."""
        return self.sender.unsent if self.state not in OPENING else self.sender.buffer.size

    def unacked(self) -> int:
        """Bytes written and not yet acknowledged, sent or not."""
        return self.sender.buffer.size

    @property
    def has_urgent(self) -> bool:
        """Whether an urgent byte waits to be read out of band."""
        return self.receiver.urgent_byte != b""

    def read_urgent(self, peek: bool = False) -> bytes:
        """The urgent byte (MSG_OOB), b'' when there is none."""
        byte = self.receiver.urgent_byte
        if not peek:
            self.receiver.urgent_byte = b""
        return byte

    @property
    def urgent_remains(self) -> bool:
        """Whether urgent data, come or announced, is still to be read (3.8.5, MUST-33)."""
        return self.receiver.urgent_remains()

    @property
    def at_mark(self) -> bool:
        """Whether the next byte to read stands at the urgent mark (SIOCATMARK, RFC 6093)."""
        return self.receiver.mark == 0

    def set_option(self, name: str, value: int, now: int) -> None:
        """Change an option: see options.change."""
        options.change(self, name, value, now)

    def info(self, now: int) -> dict[str, Any]:
        """What can be told of the connection: see info.told."""
        return told(self, now)

    @property
    def scaling(self) -> bool:
        """Whether both sides scale their windows (RFC 7323 2)."""
        return self.agreed & SCALING > 0

    def timestamp(self, now: int) -> int:
        """Our timestamp clock: milliseconds, offset by a secret of the connection (RFC 7323 5.4, 7.1)."""
        return (now // MILLISECOND + self.ts_offset) & MASK

    def check_invariants(self) -> None:
        """Raises AssertionError where sequence space, buffers and timers contradict each other."""
        invariants.check(self)
