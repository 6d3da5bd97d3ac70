"""The send sequence space: SND.*, what may go now, what goes again.

Owns RFC 9293 3.8.6.2.1 (Nagle and silly-window avoidance), 3.8.6.1 (zero-window probes), RFC 6298 5 (retransmission),
RFC 5681 3.2 and RFC 6582 (fast retransmit and NewReno's recovery). Knows nothing of states, of options or of the receiver.

      acknowledged     in flight        may go        must wait
    --------------|===============|..............|..............|
               SND.UNA         SND.NXT    SND.UNA+SND.WND    end of queue (FIN)

SND.NXT never goes back: a retransmission after a timeout runs on its own pointer, `resend`, up to `resend_end`.
"""

from collections import deque
from typing import Final

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.congestion import Congestion, make
from synfin.engine.plan import Plan
from synfin.engine.rtt import RttEstimator
from synfin.engine.segment import FAST_RETRANSMIT, NEW_DATA, RETRANSMIT_OPENED, RETRANSMIT_TIMEOUT, WINDOW_PROBE
from synfin.engine.sendbuffer import SendBuffer, buffer_for
from synfin.engine.seq import HALF, MASK
from synfin.engine.timers import Timers

DUPLICATE_THRESHOLD: Final = 3  # RFC 5681 3.2
MORE_TIMEOUT: Final = 200_000_000  # ns that a partial segment waits for the rest announced by WRITE_MORE or CORK
CORK: Final = 1  # in `more`: full segments only (TCP_CORK)


class Sender:
    """One direction of a connection: what goes out."""

    __slots__ = (
        "buffer", "bytes_again", "capacity", "congestion", "duplicate_acks", "fast_due", "fin_queued", "fin_sent", "forced",
        "gso_max", "iss", "karn", "last_sent", "marks", "max_snd_wnd", "more", "mss", "no_sample_before", "nodelay",
        "partial", "probe_due", "probe_since", "probes", "probing", "progress", "recover", "recover_set", "recovering",
        "resend", "resend_end", "resend_reason", "rtt", "segments_again", "shift", "snd_nxt", "snd_una", "snd_up", "snd_wl1",
        "snd_wl2", "snd_wnd", "sws_override", "timed_out", "timeouts", "urgent_due", "urgent_mode",
    )  # fmt: skip

    def __init__(self, config: TcpConfig, iss: int, mss: int) -> None:
        self.buffer: SendBuffer = buffer_for(config.push, config.push_half_window)
        self.capacity: int = config.send_buffer
        self.rtt: RttEstimator = RttEstimator(config)
        self.congestion: Congestion = make(config, mss)
        self.mss: int = mss
        self.gso_max: int = 0  # bytes of the largest super-segment; 0: the device cuts nothing
        self.nodelay: bool = not config.nagle
        self.sws_override: int = config.sws_override
        self.iss: int = iss
        self.snd_una: int = iss
        self.snd_nxt: int = iss
        self.shift: int = 0  # Snd.Wind.Shift, RFC 7323 2.2
        self.snd_wnd: int = 0
        self.snd_wl1: int = 0
        self.snd_wl2: int = 0
        self.max_snd_wnd: int = 0
        self.snd_up: int = iss
        self.urgent_due: bool = False  # the peer has not been told of the urgent data
        self.urgent_mode: bool = False  # SND.UP lies ahead of SND.UNA
        self.more: int = 0  # CORK; WRITE_MORE: the last write said that more follows
        self.forced: bool = False  # the override timer fired: send what fits
        self.fin_queued: bool = False
        self.fin_sent: bool = False
        self.last_sent: int = -1  # -1: nothing yet
        # When what was sent first went out: (sequence number after it, time). One entry a moment, for RTT and user timeout.
        self.marks: deque[tuple[int, int]] | None = None
        self.karn: bool = False  # an ACK up to `no_sample_before` may answer a retransmission
        self.no_sample_before: int = iss
        self.progress: int = 0  # when SND.UNA moved last and left something in flight
        self.timeouts: int = 0  # of the retransmission timer since then
        self.segments_again: int = 0  # retransmitted, SYN and FIN too
        self.bytes_again: int = 0  # sent, and not for the first time
        self.duplicate_acks: int = 0
        self.recovering: bool = False
        self.recover_set: bool = False  # `recover` lies ahead of SND.UNA
        self.recover: int = iss
        self.partial: bool = False  # a partial ACK has come in this recovery
        self.timed_out: bool = False  # what lies before `recover` goes again by the timer
        self.fast_due: bool = False
        self.resend: int = -1
        self.resend_end: int = 0
        self.resend_reason: int = RETRANSMIT_TIMEOUT
        self.probing: bool = False  # the window is closed (or too small, with nothing in flight)
        self.probe_due: bool = False
        self.probe_since: int = NEVER  # time of the oldest unanswered probe
        self.probes: int = 0

    def agree(self, config: TcpConfig, mss: int, shift: int) -> None:
        """The peer's SYN has told its MSS and window scale: `mss` bytes net of options."""
        self.mss = mss
        self.shift = shift
        self.congestion = make(config, mss)

    def first_window(self, window: int, seq: int, ack: int) -> None:
        """The window on the peer's SYN, in bytes."""
        self.snd_wnd = self.max_snd_wnd = window
        self.snd_wl1 = seq
        self.snd_wl2 = ack

    def syn_sent(self, now: int, timers: Timers, again: bool = False) -> None:
        """Our SYN or SYN,ACK has gone, perhaps `again`: a SYN,ACK after our own SYN has the same number (Karn)."""
        if self.snd_nxt == self.iss:
            self.snd_nxt = (self.iss + 1) & MASK
            self.marks = deque(((self.snd_nxt, now),))
        else:
            self.karn = True
        if again:
            self.segments_again += 1
        timers.retransmission = now + self.rtt.rto

    def syn_acked(self, now: int, ts_rtt: int, lost: bool, timers: Timers) -> None:
        """Our SYN is acknowledged; `lost` when the timer had to repeat it (RFC 6298 5.7, RFC 5681 3.1)."""
        if self.marks and not lost and not self.karn:
            self.rtt.sample(now - self.marks[0][1])
        elif ts_rtt >= 0:
            self.rtt.sample(ts_rtt)
        if lost:
            self.rtt.handshake_lost()
            self.congestion.handshake_lost()
        self.marks = None
        self.karn = False
        self.timeouts = 0
        self.snd_una = self.snd_nxt
        timers.retransmission = NEVER

    def discard(self) -> None:
        """The connection is over: nothing will be sent."""
        self.buffer = SendBuffer(self.buffer.base)
        self.marks = None
        self.resend = -1
        self.fast_due = self.probing = self.probe_due = self.urgent_due = False

    # --- levels

    @property
    def outstanding(self) -> int:
        """SND.NXT - SND.UNA."""
        return (self.snd_nxt - self.snd_una) & MASK

    @property
    def unsent(self) -> int:
        """Bytes written and never sent, without the FIN."""
        sent = (self.snd_nxt - self.snd_una) & MASK
        if self.fin_sent and sent:
            sent -= 1
        return self.buffer.size - sent

    @property
    def fin_acked(self) -> bool:
        """Whether the peer has acknowledged our FIN."""
        return self.fin_sent and self.snd_una == self.snd_nxt

    def acks_syn(self, ack: int) -> bool:
        """Whether `ack` acknowledges our SYN: ISS < SEG.ACK =< SND.NXT, and a SYN of ours carries nothing else."""
        return ack == self.snd_nxt and ack != self.iss

    def plain(self) -> bool:
        """Nothing unusual is going on: an ACK needs no more than the fast path knows."""
        return not (self.recovering or self.duplicate_acks or self.probing or self.resend >= 0 or self.fin_queued)

    # --- what the peer says

    def acked(self, ack: int, now: int, ts_rtt: int, timers: Timers) -> None:
        """SND.UNA < `ack` =< SND.NXT: what lies before it has arrived. `ts_rtt` is the round trip that the timestamp
        option tells, in ns, or -1."""
        before = self.snd_una
        count = (ack - before) & MASK
        flight = (self.snd_nxt - before) & MASK
        self.snd_una = ack
        if self.urgent_mode and (ack - self.snd_up) & MASK < HALF:  # seq inline
            self.urgent_mode = self.urgent_due = False
        self.probe_since = NEVER
        self.probes = 0
        fin = 1 if self.fin_sent and ack == self.snd_nxt else 0
        if count > fin:
            self.buffer.drop(count - fin)
        self._measure(ack, now, ts_rtt)
        if self.resend >= 0 and (ack - self.resend) & MASK < HALF:  # seq inline: SND.UNA passed the pointer
            self.resend = ack if ack != self.resend_end and (self.resend_end - ack) & MASK < HALF else -1
        restart = True
        if self.recovering:
            restart = self._acked_in_recovery(ack, count)
        else:
            self.duplicate_acks = 0
            if self.recover_set and (ack - self.recover - 1) & MASK < HALF:  # seq inline: ack > recover
                self.recover_set = False
            if 2 * flight >= self.congestion.cwnd:  # only a window that is used may grow (RFC 7661 4.1)
                self.congestion.on_ack(count)
        if self.timed_out and (ack - self.recover) & MASK < HALF:  # seq inline
            self.timed_out = False
        if count != flight:
            self.progress = now
        if count == flight or self.probing:
            timers.retransmission = NEVER
        elif restart:
            timers.retransmission = now + self.rtt.rto

    def _measure(self, ack: int, now: int, ts_rtt: int) -> None:
        marks = self.marks
        sent_at = -1
        if marks:
            while marks and (ack - marks[0][0]) & MASK < HALF:  # seq inline
                sent_at = marks.popleft()[1]
            if not marks:
                self.marks = None
        if self.karn:  # it may answer a retransmission: only a timestamp can tell (RFC 7323 4.1)
            self.timeouts = 0
            if (ack - self.no_sample_before) & MASK < HALF:  # seq inline: all that follows was sent once
                self.karn = False
            if ts_rtt >= 0:
                self.rtt.sample(ts_rtt)
        elif sent_at >= 0:
            self.rtt.sample(now - sent_at)

    def _acked_in_recovery(self, ack: int, count: int) -> bool:
        """Returns whether the timer starts anew: of partial ACKs only the first does that (RFC 6582 3.2 step 3)."""
        if (ack - self.recover) & MASK < HALF:  # seq inline: a full ACK
            self.recovering = self.fast_due = False
            self.recover_set = ack == self.recover  # else it covers more than `recover`
            self.duplicate_acks = 0
            self.congestion.on_recovered((self.snd_nxt - ack) & MASK)
            return True
        first = not self.partial
        self.partial = True
        self.congestion.on_partial_ack(count)
        self.fast_due = True
        return first

    def duplicate_ack(self) -> bool:
        """One more duplicate ACK (RFC 5681 2). Returns whether it starts fast retransmit."""
        if self.recovering:
            self.congestion.on_duplicate_ack()
            return False
        self.duplicate_acks += 1
        if self.duplicate_acks != DUPLICATE_THRESHOLD or self.resend >= 0:
            return False
        if self.recover_set:  # RFC 6582 3.2 step 2: not again for the same window of data
            return False
        self.recovering = True
        self.partial = False
        self._remember_retransmission()
        # What goes beyond cwnd is limited transmit's, which does not count (RFC 5681 3.2 step 2).
        self.congestion.on_fast_retransmit(min((self.snd_nxt - self.snd_una) & MASK, self.congestion.cwnd))
        self.fast_due = True
        return True

    def set_window(self, window: int, seq: int, ack: int, now: int, timers: Timers) -> None:
        """SND.WND := `window` bytes, from a segment with SEG.SEQ `seq` and SEG.ACK `ack`."""
        self.snd_wnd = window
        self.snd_wl1 = seq
        self.snd_wl2 = ack
        if window > self.max_snd_wnd:
            self.max_snd_wnd = window
        if window == 0:
            if self.snd_una != self.snd_nxt or self.buffer.size or (self.fin_queued and not self.fin_sent):
                self._close_window(now, timers)
        elif self.probing:
            self._open_window(now, timers)

    def _close_window(self, now: int, timers: Timers) -> None:
        """The peer takes nothing: probe instead of retransmitting (3.8.6.1)."""
        if self.probing:
            return
        if self.recovering:
            self.recovering = self.fast_due = False
            self.congestion.on_recovered((self.snd_nxt - self.snd_una) & MASK)
        self.duplicate_acks = 0
        self.probing = True
        self.probe_due = False
        self.probes = 0
        self.resend = -1
        timers.retransmission = NEVER
        timers.persist = now + self.rtt.rto

    def _open_window(self, now: int, timers: Timers) -> None:
        """The window opens: what was sent into the closed one goes again."""
        self.probing = False
        self.probe_since = NEVER
        self.probes = 0
        timers.persist = NEVER
        if self.snd_una != self.snd_nxt:
            self.resend = self.snd_una
            self.resend_end = self.snd_nxt
            self.resend_reason = RETRANSMIT_OPENED
            self._start_karn()
            self.marks = deque(((self.snd_nxt, now),))

    def answered(self) -> None:
        """Any acceptable ACK: the peer lives, so an unanswered probe is answered (MUST-37)."""
        self.probe_since = NEVER

    # --- timers

    def retransmission_timeout(self) -> None:
        """RFC 6298 5.4 to 5.6: everything outstanding is taken to be lost."""
        flight = (self.snd_nxt - self.snd_una) & MASK
        self.congestion.on_timeout(flight, not self.timed_out)
        self.timed_out = True
        self.timeouts += 1
        self.rtt.back_off()
        self.recovering = False
        self.duplicate_acks = 0
        self.fast_due = False
        self._remember_retransmission()
        self.resend = self.snd_una
        self.resend_end = self.snd_nxt
        self.resend_reason = RETRANSMIT_TIMEOUT

    def _remember_retransmission(self) -> None:
        """What is outstanding now is one window of data for RFC 6582 (`recover`) and gives no RTT sample (Karn)."""
        self.recover = self.snd_nxt
        self.recover_set = True
        self._start_karn()

    def _start_karn(self) -> None:
        self.karn = True
        self.no_sample_before = self.snd_nxt

    def persist_timeout(self) -> None:
        """The persist timer: probe a closed window, or send what fits into a silly one (3.8.6.2.1, override)."""
        if self.snd_wnd == 0:
            self.probe_due = True
        else:
            self.forced = True
            self.more &= CORK

    def user_deadline(self, user_timeout: int) -> int:
        """When the oldest unanswered transmission or probe will have waited for `user_timeout` ns; an ACK of some of what is in
        flight is an answer: on a slow link the rest waits anew (RFC 1122 4.2.3.5 counts retransmissions; so does Linux)."""
        if self.probing:
            return self.probe_since + user_timeout if self.probe_since != NEVER else NEVER
        if self.marks:
            return max(self.marks[0][1], self.progress) + user_timeout
        return NEVER

    # --- what goes

    def next_plan(self, now: int, timers: Timers, max_interval: int) -> Plan | None:
        """The next segment that may go now, None when there is none. The caller sends it, then calls `sent`."""
        if self.fast_due:
            self.fast_due = False
            return self._resend_plan(self.snd_una, self.snd_nxt, FAST_RETRANSMIT)
        if self.probing:
            return self._probe(now, timers, max_interval)
        if self.resend >= 0:
            return self._resume()
        return self._new_plan(now, timers)

    def _resume(self) -> Plan | None:
        """What goes again from `resend` on, as far as cwnd and the window let it.

        A peer that scales its window announces an edge up to 2^shift - 1 bytes short of what it offered before; what was
        sent there goes again all the same (RFC 7323 2.4), what was never sent does not.
        """
        window = max(self.snd_wnd, 1)
        ahead = (self.resend - self.snd_una) & MASK
        room = min(self.congestion.cwnd, window + (1 << self.shift) - 1) - ahead
        plan = self._resend_plan(self.resend, self.resend_end, self.resend_reason)
        if room <= 0 or (ahead and plan.count > room):  # a whole one, once the ACK of what goes before lets it (3.8.6.2.1)
            return None
        if plan.count > room:
            plan.count = room
            plan.fin = False
        elif plan.count < self.mss and not self.fin_sent:
            self._fill_up(plan, min(self.congestion.cwnd, window) - ahead)
        return plan

    def _resend_plan(self, seq: int, end: int, reason: int) -> Plan:
        """At most one full segment at `seq`; sequence numbers up to `end` have been sent before."""
        left = (end - seq) & MASK
        fin = self.fin_sent and end == self.snd_nxt
        data = left - 1 if fin else left
        count = min(data, self.mss)
        return Plan(seq, count, fin and count == data, reason)

    def _fill_up(self, plan: Plan, room: int) -> None:
        """A short last segment that goes again takes along what was never sent: one segment, and no wait for Nagle."""
        unsent = self.buffer.size - ((plan.seq - self.snd_una) & MASK) - plan.count
        extra = min(self.mss - plan.count, unsent, room - plan.count)
        if extra >= 0:
            plan.count += extra
            plan.fin = self.fin_queued and extra == unsent and room > plan.count

    def _probe(self, now: int, timers: Timers, max_interval: int) -> Plan | None:
        """A byte beyond the closed window, at growing intervals; the FIN where no data is left."""
        if not self.probe_due:
            return None
        self.probe_due = False
        if not self.buffer.size and (not self.fin_queued or self.fin_acked):
            self.probing = False  # nothing is left to ask for
            return None
        self.probes += 1
        if self.probe_since == NEVER:
            self.probe_since = now
        interval = self.rtt.rto << min(self.probes, 16)
        timers.persist = now + min(interval, max_interval)
        if self.buffer.size:
            return Plan(self.snd_una, 1, False, WINDOW_PROBE)
        return Plan(self.snd_una, 0, True, WINDOW_PROBE)

    def _new_plan(self, now: int, timers: Timers) -> Plan | None:
        outstanding = (self.snd_nxt - self.snd_una) & MASK
        if self.fin_sent:
            return None
        data = self.buffer.size - outstanding
        if data <= 0 and not self.fin_queued:
            return None
        window = self.snd_wnd - outstanding
        allowed = self.congestion.cwnd - outstanding
        if 0 < self.duplicate_acks < DUPLICATE_THRESHOLD and not self.recovering:
            allowed += self.duplicate_acks * self.mss  # limited transmit, RFC 3042
        if self.fin_queued and data == 0:
            return self._lone_fin(window, outstanding, now, timers)
        mss = self.mss
        usable = window if window < allowed else allowed
        count = data if data < usable else usable
        if count >= mss:
            return self._full_plan(count, data, window)
        if count <= 0:
            if window <= 0 and not outstanding:
                self._wait_for_window(now, timers)
            return None
        if self._small_may_go(count, data, outstanding):
            self.forced = False
            return Plan(self.snd_nxt, count, self.fin_queued and count == data and window > count, NEW_DATA)
        if not outstanding and timers.persist == NEVER:  # 3.8.6.2.1 condition 4
            timers.persist = now + (MORE_TIMEOUT if count == data else self.sws_override)
        return None

    def _full_plan(self, count: int, data: int, window: int) -> Plan:
        mss = self.mss
        if self.gso_max > mss and not self.urgent_mode:  # one urgent pointer cannot serve every piece
            count = min(count, self.gso_max)
            tail = count % mss
            if tail and not (count == data and self._small_may_go(tail, tail, 1)):
                count -= tail
        else:
            count = mss
        self.forced = False
        return Plan(self.snd_nxt, count, self.fin_queued and count == data and window > count, NEW_DATA)

    def _lone_fin(self, window: int, outstanding: int, now: int, timers: Timers) -> Plan | None:
        """The FIN without data. It occupies sequence space, so a closed window holds it back (probes carry it then)."""
        if window > 0:
            return Plan(self.snd_nxt, 0, True, NEW_DATA)
        if not outstanding:
            self._wait_for_window(now, timers)
        return None

    def _small_may_go(self, count: int, data: int, outstanding: int) -> bool:
        """3.8.6.2.1 conditions 2 to 4, with Nagle's in brackets (3.7.4)."""
        if self.forced:
            return True
        quiet = outstanding == 0 or self.nodelay
        if count == data:
            if self.fin_queued or self.urgent_mode:
                return True
            return quiet and not self.more
        return quiet and 2 * count >= self.max_snd_wnd

    def has_work(self) -> bool:
        """Whether there is anything that could go, were there room and a window."""
        return self.fast_due or self.probe_due or self.resend >= 0 or self.unsent > 0 or self.fin_queued > self.fin_sent

    def _wait_for_window(self, now: int, timers: Timers) -> None:
        if self.snd_wnd == 0:
            self._close_window(now, timers)

    def sent(self, plan: Plan, now: int, timers: Timers) -> None:
        """`plan` has gone."""
        length = plan.count + (1 if plan.fin else 0)
        end = (plan.seq + length) & MASK
        if self.resend == plan.seq and plan.reason == self.resend_reason:
            self.resend = end if (end - self.resend_end) & MASK >= HALF else -1  # seq inline: end < resend_end
        fresh = (end - self.snd_nxt) & MASK
        if fresh >= HALF:  # seq inline: end < SND.NXT
            fresh = 0
        if fresh:
            self.snd_nxt = end
            if plan.fin:
                self.fin_sent = True
            marks = self.marks
            if marks is None:
                self.marks = deque(((end, now),))
            elif marks[-1][1] == now:
                marks[-1] = (end, now)
            else:
                marks.append((end, now))
        elif plan.reason == WINDOW_PROBE:
            self._start_karn()
        if fresh < length:
            self.bytes_again += min(length - fresh, plan.count)
            self.segments_again += plan.reason != WINDOW_PROBE
        self.last_sent = now
        if self.probing:
            return
        timers.persist = NEVER
        if timers.retransmission == NEVER or (plan.reason == FAST_RETRANSMIT and not self.partial):
            timers.retransmission = now + self.rtt.rto
