"""SEGMENT ARRIVES: RFC 9293 3.10.7.3 (SYN-SENT) and 3.10.7.4 (the other states), in the RFC's order.

Owns the checks and what each decides. LISTEN and half-open records are `listener`'s, TIME-WAIT is `timewait`'s; CLOSED is
the stack's (it answers with RST). No state has its own copy of a check.
"""

from typing import TYPE_CHECKING, Final

from synfin.engine import sack
from synfin.engine.config import MILLISECOND, NEVER, SECOND
from synfin.engine.errors import CloseReason, DropReason
from synfin.engine.events import PEER_CLOSED
from synfin.engine.segment import (
    ACK,
    ACK_DUPLICATE,
    ACK_OF_FIN,
    ACK_OF_SYN_ACK,
    ACK_SECOND,
    FIN,
    RESET_AFTER_CLOSE,
    RESET_BAD_ACK,
    RST,
    SYN,
    URG,
    Segment,
)  # fmt: skip
from synfin.engine.seq import HALF, MASK
from synfin.engine.state import State, Trigger

if TYPE_CHECKING:
    from synfin.engine.connection import Connection

PAWS_VALID: Final = 24 * 24 * 3600 * SECOND  # RFC 7323 5.5: 24 days
TAKES_TEXT: Final = (State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2)


def in_syn_sent(c: "Connection", seg: Segment, now: int) -> None:
    """3.10.7.3."""
    flags = seg.flags
    sender = c.sender
    # First, check the ACK bit: ISS < SEG.ACK =< SND.NXT.
    if flags & ACK and not sender.acks_syn(seg.ack):
        c.drop(DropReason.ACK_UNACCEPTABLE, seg, now)
        if not flags & RST:
            c.reply(RESET_BAD_ACK, RST, seg.ack, 0)
        return
    # Second, check the RST bit.
    if flags & RST:
        if flags & ACK:
            c.finish(Trigger.RESET, CloseReason.REFUSED, now)
        else:
            c.drop(DropReason.RST_IGNORED, seg, now)
        return
    # Fourth, check the SYN bit.
    if not flags & SYN:
        c.drop(DropReason.NO_FLAGS, seg, now)
        return
    c.take_syn(seg, now)
    if flags & ACK:
        _opened(c, seg, now)
        c.owe_ack(ACK_OF_SYN_ACK)
        _rest_of_syn(c, seg, now)
        return
    # A SYN alone: simultaneous open.
    c._move(Trigger.SYN, now)
    c.syn_again = False
    c.syn_due = c.send_due = True
    _rest_of_syn(c, seg, now)


def _opened(c: "Connection", seg: Segment, now: int) -> None:
    """Our SYN is acknowledged: ESTABLISHED."""
    c.sender.syn_acked(now, ts_rtt(c, seg, now), c.handshake_lost, c.timers)
    if c.syn_due:  # what was to go is known to the peer already; what it waits for is the ACK that was to go along
        c.syn_due = False
        c.owe_ack(ACK_OF_SYN_ACK)
    c._move(Trigger.SYN_ACK if c.state is State.SYN_SENT else Trigger.ACK_OF_SYN, now)


def _rest_of_syn(c: "Connection", seg: Segment, now: int) -> None:
    """Text, URG or FIN on the peer's SYN: kept; acknowledged and delivered once ESTABLISHED (3.10.7.3, fourth)."""
    receiver = c.receiver
    _take_off_syn(seg)
    if seg.flags & URG and seg.urgent:
        receiver.urgent((seg.seq + seg.urgent) & MASK)
    if c.state is not State.SYN_RECEIVED:
        if seg.payload or seg.flags & FIN:
            take_text(c, seg, now)
        check_fin(c, now)
        return
    text = memoryview(seg.payload)[: receiver.rcv_wnd]
    if text:
        receiver.store(seg.seq, text, c.config.reassembly_segments)
    if seg.flags & FIN and len(text) == len(seg.payload):
        receiver.fin_seq = (seg.seq + len(text)) & MASK


def _take_off_syn(seg: Segment) -> None:
    """Make of a segment with SYN the segment that begins behind it."""
    seg.seq = (seg.seq + 1) & MASK
    seg.flags &= ~SYN
    if seg.urgent:
        seg.urgent -= 1


def other_states(c: "Connection", seg: Segment, now: int) -> None:
    """3.10.7.4, for SYN-RECEIVED and every later state but TIME-WAIT."""
    window = seg.window << c.sender.shift
    if c.state is State.SYN_RECEIVED and _completes_simultaneous_open(c, seg):
        _take_off_syn(seg)
        window = seg.window  # never scaled on a SYN (RFC 7323 2.2)
    if not check_paws(c, seg, now):
        return
    if not check_sequence(c, seg, now):
        return
    if seg.flags & RST:
        check_rst(c, seg, now)
        return
    if seg.flags & SYN:
        check_syn(c, seg, now)
        return
    if not check_ack(c, seg, window, now):
        return
    if seg.flags & URG:
        take_urgent(c, seg)
    if seg.payload or seg.flags & FIN:
        take_text(c, seg, now)
    check_fin(c, now)


def _completes_simultaneous_open(c: "Connection", seg: Segment) -> bool:
    """Figure 7: a SYN,ACK with SEQ = IRS and ACK = SND.NXT, which the first check read to the letter would refuse."""
    return (
        not c.passive
        and seg.flags & (SYN | ACK | RST) == SYN | ACK
        and seg.seq == c.receiver.irs
        and c.sender.acks_syn(seg.ack)
    )


def check_paws(c: "Connection", seg: Segment, now: int) -> bool:
    """RFC 7323 5.3 R1 to R3, before the first check; an RST is exempt."""
    if not c.agreed_timestamps or seg.flags & RST:
        return True
    if not seg.has_timestamps:  # RFC 7323 3.2
        c.drop(DropReason.PAWS, seg, now)
        return False
    if (seg.tsval - c.ts_recent) & MASK >= HALF and now - c.ts_recent_age < PAWS_VALID:  # seq inline
        c.drop(DropReason.PAWS, seg, now)
        if seg.payload or seg.flags & (SYN | FIN):
            _answer_refused(c, seg)
        else:
            c.challenge(now, ACK_DUPLICATE)
        return False
    return True


def _answer_refused(c: "Connection", seg: Segment) -> None:
    """An ACK for `seg`, which is not taken; it tells what of it is a duplicate, unless it has a SYN."""
    length = len(seg.payload) + (seg.flags & FIN)
    c.reply(ACK_DUPLICATE, about=sack.NOTHING if seg.flags & SYN else sack.before(c, seg.seq, length))


def note_timestamp(c: "Connection", seg: Segment, now: int) -> None:
    """RFC 7323 4.3: SEG.TSval >= TS.Recent and SEG.SEQ =< Last.ACK.sent; the segment is acceptable."""
    if not c.agreed_timestamps or not seg.has_timestamps:
        return
    if (c.receiver.last_ack_sent - seg.seq) & MASK < HALF:  # seq inline
        c.ts_recent = seg.tsval
        c.ts_recent_age = now


def check_sequence(c: "Connection", seg: Segment, now: int) -> bool:
    """First: is any of the segment in the window? What is not gets an ACK, an RST nothing."""
    receiver = c.receiver
    if seg.flags & RST:  # its number alone counts, whatever it carries (RFC 5961 3.2, SHLD-2, MUST-66)
        if receiver.acceptable(seg.seq, 0):
            return True
        c.drop(DropReason.RST_OUT_OF_WINDOW, seg, now)
        return False
    length = len(seg.payload) + (seg.flags & FIN) + ((seg.flags & SYN) >> 1)
    if receiver.acceptable(seg.seq, length):
        note_timestamp(c, seg, now)
        return True
    if length and seg.seq == receiver.rcv_nxt and not seg.flags & SYN:
        # MUST-66: with a zero window the ACK and URG of a segment at RCV.NXT are still processed; its text is not.
        c.drop(DropReason.OUT_OF_WINDOW, seg, now)
        note_timestamp(c, seg, now)
        c.reply(ACK_DUPLICATE)
        seg.payload = b""
        seg.flags &= ~FIN
        return True
    ends = (seg.seq + length) & MASK
    old = (receiver.rcv_nxt - ends) & MASK < HALF
    if seg.flags & SYN:
        c.drop(DropReason.SYN_IN_WINDOW, seg, now)
        c.challenge(now)
        return False
    c.drop(DropReason.DUPLICATE if old and length else DropReason.OUT_OF_WINDOW, seg, now)
    if c.state is State.SYN_RECEIVED and seg.flags & ACK and not c.sender.acks_syn(seg.ack):
        c.reply(RESET_BAD_ACK, RST, seg.ack, 0)  # not a synchronized state (3.5.2, group 2)
    elif length:
        if c.rhythm is not None and old:
            c.rhythm.repeated(c, ends)
        _answer_refused(c, seg)
    else:
        c.challenge(now, ACK_DUPLICATE)
    return False


def check_rst(c: "Connection", seg: Segment, now: int) -> None:
    """Second: an RST counts only at RCV.NXT; elsewhere in the window it is challenged (RFC 5961 3.2)."""
    if seg.seq != c.receiver.rcv_nxt:
        c.drop(DropReason.RST_NOT_EXACT, seg, now)
        c.challenge(now)
        return
    reason = CloseReason.RESET
    if c.state is State.SYN_RECEIVED:
        reason = CloseReason.RESET if c.passive else CloseReason.REFUSED
    c.finish(Trigger.RESET, reason, now)


def check_syn(c: "Connection", seg: Segment, now: int) -> None:
    """Fourth: a SYN in the window is challenged, whatever its number (RFC 5961 4.2)."""
    c.drop(DropReason.SYN_IN_WINDOW, seg, now)
    c.challenge(now)


def check_ack(c: "Connection", seg: Segment, window: int, now: int) -> bool:
    """Fifth: the ACK field, and SEG.WND as `window` in bytes. False ends the processing of the segment."""
    sender = c.sender
    if not seg.flags & ACK:
        c.drop(DropReason.ACK_MISSING, seg, now)
        return False
    ack = seg.ack
    if c.state is State.SYN_RECEIVED:
        if not sender.acks_syn(ack):
            c.drop(DropReason.ACK_UNACCEPTABLE, seg, now)
            c.reply(RESET_BAD_ACK, RST, ack, 0)
            return False
        _opened(c, seg, now)
        sender.set_window(window, seg.seq, ack, now, c.timers)
        if c.receiver.reassembly is not None:  # text that came with the peer's SYN
            c.receiver.continue_from_store()
            c.owe_ack(ACK_SECOND)
        return True
    if (sender.snd_nxt - ack) & MASK >= HALF:  # seq inline: ack > SND.NXT
        c.drop(DropReason.ACK_TOO_NEW, seg, now)
        c.challenge(now)
        return False
    behind = (sender.snd_una - ack) & MASK
    if 0 < behind < HALF:  # seq inline: ack < SND.UNA
        if behind > sender.max_snd_wnd:  # RFC 5961 5.2
            c.drop(DropReason.ACK_TOO_OLD, seg, now)
            c.challenge(now)
            return False
        return True  # an old ACK: its text counts, its ACK does not
    _take_ack(c, seg, window, now)
    return c.state is not State.CLOSED and c.state is not State.TIME_WAIT


def _take_ack(c: "Connection", seg: Segment, window: int, now: int) -> None:
    """SND.UNA =< SEG.ACK =< SND.NXT."""
    sender = c.sender
    ack = seg.ack
    sender.answered()
    if ack != sender.snd_una:
        recovering = sender.recovering
        sender.acked(ack, now, ts_rtt(c, seg, now), c.timers)
        if recovering and not sender.recovering:
            c.tell_congestion("recovered", now)
        c.send_due = True
    elif _is_duplicate_ack(c, seg, window):
        c.send_due = True
        if sender.duplicate_ack():
            c.tell_congestion("fast retransmit", now)
    # SND.WL1 < SEG.SEQ, or SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK
    newer = (seg.seq - sender.snd_wl1) & MASK
    if 0 < newer < HALF or (newer == 0 and (ack - sender.snd_wl2) & MASK < HALF):  # seq inline
        if window != sender.snd_wnd:
            c.send_due = True
        sender.set_window(window, seg.seq, ack, now, c.timers)
    if sender.fin_acked:
        _our_fin_acked(c, now)


def _is_duplicate_ack(c: "Connection", seg: Segment, window: int) -> bool:
    """RFC 5681 2: (a) outstanding data, (b) no data, (c) no SYN or FIN, (d) ACK = SND.UNA, (e) the same window."""
    sender = c.sender
    return (
        sender.snd_una != sender.snd_nxt
        and not seg.payload
        and not seg.flags & FIN
        and window == sender.snd_wnd
        and not sender.probing
    )


def _our_fin_acked(c: "Connection", now: int) -> None:
    """The moves that the ACK of our FIN makes; FIN-WAIT-1 waits for `check_fin`, so that two moves show as one."""
    if c.state is State.CLOSING:
        c._move(Trigger.ACK_OF_FIN, now)
    elif c.state is State.LAST_ACK:
        c.finish(Trigger.ACK_OF_FIN, CloseReason.FINISHED, now)


def take_urgent(c: "Connection", seg: Segment) -> None:
    """Sixth: the URG bit; the pointer tells the number after the last urgent byte (3.8.5, RFC 6093)."""
    if c.state in TAKES_TEXT and not c.receiver.shut and seg.urgent:
        c.receiver.urgent((seg.seq + seg.urgent) & MASK)


def take_text(c: "Connection", seg: Segment, now: int) -> None:
    """Seventh: the segment's text, trimmed to the window, delivered in order or kept until what is missing comes."""
    receiver = c.receiver
    if c.state not in TAKES_TEXT:
        return  # the peer has sent its FIN: nothing can follow
    seq = seg.seq
    payload = seg.payload
    fin = bool(seg.flags & FIN)
    count = len(payload)
    again = sack.NOTHING
    behind = (receiver.rcv_nxt - seq) & MASK
    if 0 < behind < HALF:  # seq inline: begins with what we have
        if behind > count:
            return
        again = sack.before(c, seq, count)
        payload = memoryview(payload)[behind:]
        count -= behind
        seq = receiver.rcv_nxt
    room = (receiver.rcv_edge - seq) & MASK
    if count > room:
        payload = memoryview(payload)[:room]
        count = room
        fin = False
    if fin:
        receiver.fin_seq = (seq + count) & MASK
    if count and c.orphaned:
        c.drop(DropReason.AFTER_CLOSE, seg, now)
        c.reset(RESET_AFTER_CLOSE, Trigger.ABORT, CloseReason.ABORTED, now)
        return
    if seq != receiver.rcv_nxt:
        again = sack.kept(c, seq, count)
        if count and receiver.store(seq, payload, c.config.reassembly_segments) < 0:
            c.drop(DropReason.REASSEMBLY_FULL, seg, now)
        c.reply(ACK_DUPLICATE, about=(seq, seq) if again is sack.NOTHING else again)
        return
    filled = receiver.reassembly is not None
    gap = filled or 0 < behind < HALF
    if filled and again is sack.NOTHING:
        again = sack.kept(c, seq, count)
    if count:
        receiver.deliver(payload)
        if gap and c.rhythm is not None:
            c.rhythm.heard(c, count, seg, now)
        receiver.continue_from_store()
    if again is not sack.NOTHING:
        c.reply(ACK_DUPLICATE, about=again)
    elif count and gap:
        c.owe_ack(ACK_DUPLICATE)  # RFC 5681 4.2: at once while there is or was a gap
    elif count:
        schedule_ack(c, count, seg, now)


def schedule_ack(c: "Connection", count: int, seg: Segment, now: int) -> None:
    """`count` bytes of `seg` were delivered in order: ACK every second full segment, else soon (3.8.6.3)."""
    receiver = c.receiver
    receiver.unacked += seg.segments
    if c.rhythm is not None:
        c.rhythm.heard(c, count, seg, now)
    elif receiver.unacked >= c.config.ack_every or not c.config.delayed_ack:
        c.owe_ack(ACK_SECOND)
    elif c.timers.delayed_ack == NEVER:
        if receiver.quick and receiver.quick_since == c.data_segs_out:
            receiver.quick -= 1
            c.owe_ack(ACK_SECOND)
        else:
            c.timers.delayed_ack = now + c.config.delayed_ack


def check_fin(c: "Connection", now: int) -> None:
    """Eighth: the FIN, when all before it has come; with it the move that the ACK of our own FIN makes."""
    if c.state is State.CLOSED:
        return
    came = c.receiver.fin_seq >= 0 and c.state in TAKES_TEXT and c.receiver.take_fin()
    acked = c.state is State.FIN_WAIT_1 and c.sender.fin_acked
    if came:
        if c.state is not State.ESTABLISHED or c.config.ack_fin_at_once or not c.config.delayed_ack:
            c.owe_ack(ACK_OF_FIN)
        elif c.rhythm is not None:
            c.rhythm.ended(c, now)
        elif c.timers.delayed_ack == NEVER:
            c.timers.delayed_ack = now + c.config.delayed_ack
        c._emit(PEER_CLOSED)
    if came and acked:
        c._move(Trigger.FIN_AND_ACK_OF_FIN, now)
    elif came:
        c._move(Trigger.FIN, now)
    elif acked:
        c._move(Trigger.ACK_OF_FIN, now)


def ts_rtt(c: "Connection", seg: Segment, now: int) -> int:
    """The round trip that the timestamp echo tells, in ns (RFC 7323 4.1); -1 without one, or with one from the future."""
    if not seg.has_timestamps or not seg.tsecr or not c.agreed_timestamps:
        return -1
    elapsed = (c.timestamp(now) - seg.tsecr) & MASK
    return elapsed * MILLISECOND if elapsed < HALF else -1
