"""What is left of a connection in TIME-WAIT: it answers what comes late, and ends after 2MSL (RFC 9293 3.6.1, 3.10.7.4).

Owns the checks of that state and the reuse by RFC 6191. A connection in TIME-WAIT is a few numbers: sender, buffers and
congestion control are gone. Must not know the table it stands in; the stack keeps its timer (`expires`).

An exact RST closes it, as RFC 9293 3.10.7.4 has it, unless config.time_wait_ignores_reset (RFC 1337 3). One that is in the
window but not exact is challenged (RFC 5961 3.2), so that a blind attacker has one chance in 2^32.
"""

from typing import Final

from synfin.engine.config import MILLISECOND
from synfin.engine.connection import Connection
from synfin.engine.entry import Entry
from synfin.engine.errors import DropReason
from synfin.engine.segment import (
    ACK,
    ACK_CHALLENGE,
    ACK_DUPLICATE,
    ACK_TIME_WAIT,
    FIN,
    RST,
    SYN,
    Outgoing,
    Segment,
)  # fmt: skip
from synfin.engine.seq import HALF, MASK, gt
from synfin.engine.state import State, Trigger

NO_TIMESTAMPS: Final = -1


class TimeWait(Entry):
    """One connection in TIME-WAIT, made from `connection` at `now`.

    `expires` is when 2MSL are over, in ns. `connection` is held while the application still has it. `places` is the
    stack's: how many places the entry has in its queue of expiries.
    """

    __slots__ = (
        "connection", "duration", "expires", "ignores_reset", "places", "quiet_until", "rcv_nxt", "replies", "shift",
        "snd_nxt", "ts_offset", "ts_recent", "window",
    )  # fmt: skip

    def __init__(self, connection: Connection, now: int) -> None:
        super().__init__(connection.key, connection.observer)
        receiver = connection.receiver
        self.state = State.TIME_WAIT  # the connection reported the move
        self.connection: Connection | None = None if connection.orphaned else connection
        self.snd_nxt: int = connection.sender.snd_nxt
        self.rcv_nxt: int = receiver.rcv_nxt
        self.window: int = receiver.window_field()
        self.shift: int = receiver.shift
        self.ts_offset: int = connection.ts_offset if connection.agreed_timestamps else NO_TIMESTAMPS
        self.ts_recent: int = connection.ts_recent
        self.duration: int = 2 * connection.config.msl
        self.ignores_reset: bool = connection.config.time_wait_ignores_reset
        self.expires: int = 0
        self.places: int = 0
        self.quiet_until: int = 0
        self.replies: list[Outgoing] | None = None
        self._start_2msl(now)

    def _start_2msl(self, now: int) -> None:
        self.expires = now + self.duration
        if self.observer is not None:
            self.observer.timer_started(now, self.key, "2MSL", self.expires)

    # --- segments in

    def may_reopen(self, syn: Segment) -> bool:
        """Whether `syn` may end this TIME-WAIT and open a new connection (RFC 6191 2; RFC 9293 3.6.1, MAY-2)."""
        if syn.flags & (SYN | ACK | RST) != SYN:
            return False
        if syn.has_timestamps:
            if self.ts_offset == NO_TIMESTAMPS:
                return True
            if gt(syn.tsval, self.ts_recent):
                return True
            if syn.tsval != self.ts_recent:
                return False
        return gt(syn.seq, self.rcv_nxt)

    def receive(self, segment: Segment, now: int) -> None:
        """3.10.7.4 for TIME-WAIT, in its order; a SYN that may reopen does not come here."""
        if self.state is not State.TIME_WAIT:
            return
        flags = segment.flags
        if not self._passes_paws(segment, now):
            return
        ends = (segment.seq + segment.length) & MASK
        if flags & (FIN | SYN | RST) == FIN and ends == self.rcv_nxt:
            # The first check alone would drop it: all of it has been received. But the peer waits for this ACK.
            self._repeated_fin(segment, now)
            return
        if not self._in_window(segment):
            if flags & RST:
                self._drop(DropReason.RST_OUT_OF_WINDOW, segment, now)
            else:
                self._drop(DropReason.OUT_OF_WINDOW, segment, now)
                self._answer(ACK_DUPLICATE, now)
            return
        if flags & RST:
            if self.ignores_reset:
                self._drop(DropReason.RST_IGNORED, segment, now)
            elif segment.seq == self.rcv_nxt:
                self.end(Trigger.RESET, now)
            else:
                self._drop(DropReason.RST_NOT_EXACT, segment, now)
                self._answer(ACK_CHALLENGE, now)
            return
        if flags & SYN:  # RFC 5961 4.2
            self._drop(DropReason.SYN_IN_WINDOW, segment, now)
            self._answer(ACK_CHALLENGE, now)
            return
        if not flags & ACK:
            self._drop(DropReason.ACK_MISSING, segment, now)
            return
        if gt(segment.ack, self.snd_nxt):
            self._drop(DropReason.ACK_TOO_NEW, segment, now)
            self._answer(ACK_CHALLENGE, now)
            return
        if segment.payload or flags & FIN:  # past the peer's own FIN: nothing that a TCP sends
            self._drop(DropReason.AFTER_CLOSE, segment, now)
            self._answer(ACK_DUPLICATE, now)

    def _passes_paws(self, seg: Segment, now: int) -> bool:
        if self.ts_offset == NO_TIMESTAMPS or seg.flags & RST:
            return True
        if not seg.has_timestamps:  # RFC 7323 3.2
            self._drop(DropReason.PAWS, seg, now)
            return False
        if (seg.tsval - self.ts_recent) & MASK >= HALF:  # seq inline
            self._drop(DropReason.PAWS, seg, now)
            self._answer(ACK_DUPLICATE, now)
            return False
        return True

    def _repeated_fin(self, seg: Segment, now: int) -> None:
        """The ACK of the peer's FIN was lost: again, and 2MSL start anew (eighth check)."""
        if self.ts_offset != NO_TIMESTAMPS:
            self.ts_recent = seg.tsval
        self._start_2msl(now)
        self._reply(ACK_TIME_WAIT, now)

    def _in_window(self, seg: Segment) -> bool:
        window = self.window << self.shift
        length = seg.length
        ahead = (seg.seq - self.rcv_nxt) & MASK
        if not window:
            return length == 0 and ahead == 0
        return ahead < window or (length > 0 and (ahead + length - 1) & MASK < window)

    def _answer(self, reason: int, now: int) -> None:
        """An ACK that two ends could throw at each other for ever: at most two in a second (RFC 5961 7)."""
        if now >= self.quiet_until:
            self.quiet_until = now + 500 * MILLISECOND
            self._reply(reason, now)

    def _reply(self, reason: int, now: int) -> None:
        """<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>."""
        segment = Outgoing(self.snd_nxt, self.rcv_nxt, ACK, self.window, reason)
        if self.ts_offset != NO_TIMESTAMPS:
            segment.has_timestamps = True
            segment.tsval = (now // MILLISECOND + self.ts_offset) & MASK
            segment.tsecr = self.ts_recent
        if self.replies is None:
            self.replies = []
        self.replies.append(segment)

    def _drop(self, reason: DropReason, segment: Segment, now: int) -> None:
        if self.observer is not None:
            self.observer.dropped(now, self.key, reason, segment)

    # --- segments out, timers, ends

    def transmit(self, now: int, out: list[Outgoing], room: int) -> None:
        """Append the answers that are due."""
        if self.replies is not None:
            out.extend(self.replies)
            self.replies = None

    def next_deadline(self) -> int:
        """When 2MSL are over, in ns; 0 while there are replies, even when the entry has just ended."""
        return 0 if self.replies is not None else self.expires

    def handle_timers(self, now: int) -> None:
        """End when 2MSL are over."""
        if self.state is State.TIME_WAIT and now >= self.expires:
            if self.observer is not None:
                self.observer.timer_fired(now, self.key, "2MSL", "")
            self.end(Trigger.TWO_MSL, now)

    def end(self, trigger: Trigger, now: int) -> None:
        """To CLOSED: 2MSL over, RST, or a SYN that reopens (REUSE)."""
        self._move(trigger, now)
        if self.connection is not None:
            self.connection.two_msl_over(now)
            self.connection = None
