"""Delayed ACKs that follow the peer, as Linux has them (TcpConfig.ack_rule = "adaptive"; RFC 9293 3.8.6.3 leaves the choice).

Owns when an ACK of text waits and how long: the time follows the gaps between what arrives (`wait`), some ACKs go at once
after a pause, a repeated segment or on a new connection (`Receiver.quick`, Linux: quick ACKs), none do while the application
answers what it hears (`interactive`, Linux: pingpong), and what the application has read is acknowledged as it reads.
Knows a Connection's receiver and timers; builds no segment. A Connection without a Rhythm counts segments (arrives.py).
"""

from typing import TYPE_CHECKING, Final

from synfin.engine.config import MILLISECOND, NEVER, SECOND, TcpConfig
from synfin.engine.handshake import TIMESTAMP_SPACE
from synfin.engine.segment import ACK_DELAYED, ACK_SECOND, FIN, PSH, URG, Segment
from synfin.engine.seq import HALF, MASK

if TYPE_CHECKING:
    from synfin.engine.connection import Connection

LEAST_SEGMENT: Final = 88  # bytes: what is smaller is never taken for a full segment (TCP_MIN_MSS)
SURE_SEGMENT: Final = 536  # bytes: what is larger may be one, pushed or not (TCP_MSS_DEFAULT)
LONGEST: Final = SECOND // 2  # ns, where nothing says less (RFC 9293 MUST-40)
TICK: Final = 4 * MILLISECOND  # of a kernel with 250 a second
ENDS: Final = FIN | URG | PSH  # a short segment with one of these ends something, and so tells nothing of the peer's MSS


class Rhythm:
    """What a connection has learnt of its peer's rhythm. Times are in ns, sizes in bytes.

    `wait` is how long an ACK may wait (icsk_ack.ato), 0 before the first text; `full` is what counts as a full segment
    (rcv_mss), `last` the size of the segment before, where that may have been one; `heard_at` is when text came last;
    `owed`: it is not acknowledged; `pushed`: a short or pushed segment is among it, 2 for a second one.
    """

    __slots__ = ("full", "heard_at", "interactive", "last", "owed", "pushed", "wait")

    def __init__(self) -> None:
        self.wait: int = 0
        self.full: int = 0
        self.last: int = 0
        self.heard_at: int = 0
        self.owed: bool = False
        self.pushed: int = 0
        self.interactive: bool = False

    def heard(self, c: "Connection", count: int, seg: Segment, now: int) -> None:
        """`count` bytes of `seg` have been delivered in order: measure the peer, then acknowledge at once or later."""
        receiver = c.receiver
        self._settle(c, (receiver.rcv_nxt - count) & MASK)
        if not self.wait:
            self._expect(c)
        self._measure(count, seg, c)
        least = c.config.delayed_ack
        if not self.wait:
            self._hurry(c)
            self.wait = least
        else:
            gap = now - self.heard_at
            if gap <= least // 2:
                self.wait = (self.wait + least) // 2
            elif gap < self.wait:
                self.wait = min(self.wait // 2 + gap, c.sender.rtt.rto)
            elif gap > c.sender.rtt.rto:  # the peer has paused: its window starts anew
                self._hurry(c)
        self.heard_at = now
        self.owed = True
        if receiver.fin_seq != receiver.rcv_nxt:  # else `ended` decides
            self._decide(c, now)

    def repeated(self, c: "Connection", ends: int) -> None:
        """What we have came again, up to `ends`: our ACK may be lost; ACKs go at once for a while, this one too."""
        self._settle(c, c.receiver.rcv_nxt)
        if not self.wait:
            self._expect(c)
        self._hurry(c)
        self.owed = self.owed or (ends - c.receiver.last_ack_sent) & MASK < HALF  # seq inline
        self.interactive = False
        self.wait = c.config.delayed_ack

    def sent(self, c: "Connection", now: int) -> None:
        """A segment with text has gone: an answer, when it comes soon after what was heard."""
        if now - self.heard_at < self.wait:
            self.interactive = True

    def read(self, c: "Connection") -> None:
        """The application has read: more than a full segment, or all there was, is acknowledged now."""
        receiver = c.receiver
        self._settle(c, receiver.rcv_nxt)
        if not self.owed:
            return
        drained = not receiver.size and self.pushed > self.interactive
        if drained or (receiver.rcv_nxt - receiver.last_ack_sent) & MASK > self.full:
            c.owe_ack(ACK_DELAYED)

    def ended(self, c: "Connection", now: int) -> None:
        """The peer's FIN has come in ESTABLISHED: its ACK waits for ours, which often follows at once."""
        if not self.wait:
            self._expect(c)
        self.owed = self.interactive = True
        self._decide(c, now)

    def timed_out(self, c: "Connection") -> None:
        """The ACK has waited in vain: next time it may wait longer, or, of who used to answer, the least time again."""
        if self.interactive:
            self.interactive = False
            self.wait = c.config.delayed_ack
        else:
            self.wait = min(2 * self.wait, c.sender.rtt.rto)

    def quick_acks(self, c: "Connection", on: bool) -> None:
        """TCP_QUICKACK: the session is taken for one that answers, or not; on, what was read is acknowledged now."""
        self.interactive = not on
        if on and self.owed:
            self.pushed = max(self.pushed, 1)
            self.read(c)

    # --- parts

    def _settle(self, c: "Connection", reached: int) -> None:
        """Whether an ACK has gone since: RCV.NXT was `reached` then. ACKs of text use up the quick ones."""
        receiver = c.receiver
        if not self.owed or receiver.last_ack_sent != reached:
            return
        self.owed = False
        self.pushed = 0
        if receiver.quick:
            receiver.quick -= 1
            if not receiver.quick:
                self.wait = c.config.delayed_ack

    def _expect(self, c: "Connection") -> None:
        """The first guess of a full segment: rather too small, for ACKs would be too few (tcp_initialize_rcv_mss)."""
        guess = min(c.receiver.mss, c.sender.mss, _offered(c) // 2, SURE_SEGMENT)
        self.full = max(guess, LEAST_SEGMENT)

    def _measure(self, count: int, seg: Segment, c: "Connection") -> None:
        """What the peer's full segments hold (tcp_measure_rcv_mss)."""
        size = -(-count // seg.segments)
        before, self.last = self.last, 0
        pushed = seg.flags & ENDS
        if size >= self.full:
            self.full = min(size, c.receiver.mss)
            if pushed & PSH and not self.pushed:
                self.pushed = 1
            return
        header = TIMESTAMP_SPACE if seg.has_timestamps else 0
        if size + header >= SURE_SEGMENT or (size + header >= LEAST_SEGMENT and not pushed):
            self.last = size
            if size == before:
                self.full = size
                return
        self.pushed = 2 if self.pushed else 1

    def _hurry(self, c: "Connection") -> None:
        """Some ACKs at once: one for every second full segment that our window holds; two where it holds not even that."""
        receiver = c.receiver
        receiver.quick = max(receiver.quick, min(_offered(c) // (2 * self.full) or 2, c.config.quick_acks))

    def _decide(self, c: "Connection", now: int) -> None:
        receiver = c.receiver
        waiting = (receiver.rcv_nxt - receiver.last_ack_sent) & MASK
        if waiting > self.full and receiver.room() >= _offered(c):
            c.owe_ack(ACK_SECOND)  # the window moves; where it does not, reading sends the ACK
        elif receiver.quick and not self.interactive:
            c.owe_ack(ACK_SECOND)
        else:
            self._delay(c, now)

    def _delay(self, c: "Connection", now: int) -> None:
        """tcp_send_delayed_ack: no longer than the round trip, nor than a timer that runs; before any text, a tick."""
        least, most = c.config.delayed_ack, c.config.delayed_ack_max
        wait = self.wait
        if wait > least:
            bound = most if self.interactive or self.pushed else LONGEST
            if c.sender.rtt.srtt >= 0:
                bound = min(bound, max(c.sender.rtt.srtt, least))
            wait = min(wait, bound)
        wait = min(wait, most) or min(TICK, least)
        due = c.timers.delayed_ack
        if not wait or (due != NEVER and due <= now + wait // 4):
            c.owe_ack(ACK_DELAYED)
        else:
            c.timers.delayed_ack = min(due, now + wait)


def _offered(c: "Connection") -> int:
    """The window that our latest ACK has told, in bytes."""
    return (c.receiver.rcv_edge - c.receiver.last_ack_sent) & MASK


def rhythm_for(config: TcpConfig) -> Rhythm | None:
    """A Rhythm where `config` asks for one."""
    return Rhythm() if config.ack_rule == "adaptive" else None
