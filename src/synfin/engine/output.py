"""The only place where a connection's segments are built.

Owns the order in which things go: replies, then a SYN, then retransmissions and data, then an ACK that found nothing to
ride on. Knows a Connection and its parts; changes no state but what sending itself changes.
"""

from typing import TYPE_CHECKING, Final

from synfin.engine import path, sack
from synfin.engine.config import NEVER, SECOND
from synfin.engine.handshake import SACK, SCALING, first_window, syn_wait
from synfin.engine.plan import Plan
from synfin.engine.sack import NO_BLOCKS
from synfin.engine.segment import (
    ACK,
    FIN,
    FIN_SENT,
    NEW_DATA,
    PSH,
    RETRANSMISSIONS,
    RETRANSMIT_FIN,
    RETRANSMIT_HANDSHAKE,
    RST,
    SYN,
    SYN_ACK,
    SYN_OPEN,
    URG,
    URGENT_NOTICE,
    Buffer,
    Outgoing,
    OutgoingSyn,
)  # fmt: skip
from synfin.engine.sendbuffer import LARGEST_PIECE
from synfin.engine.seq import HALF, MASK
from synfin.engine.state import State

if TYPE_CHECKING:
    from synfin.engine.connection import Connection
    from synfin.engine.sender import Sender

NO_ACK: Final = -1  # in `ack_now`: none is owed
CURRENT: Final = -1  # in a reply: SND.NXT (`bare_seq`) and RCV.NXT of the moment it is built
SENDING: Final = (
    State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK,
)  # fmt: skip


def transmit(c: "Connection", now: int, out: list[Outgoing], room: int) -> None:
    """Append to `out` all that may go at `now` (ns), at most about `room` bytes of payload: the method Connection.transmit."""
    c.send_due = False
    if c.replies is not None:
        replies, c.replies = c.replies, None
        for reason, flags, seq, ack, about in replies:
            out.append(_reply(c, now, reason, flags, seq, ack, about))
    if c.syn_due:
        c.syn_due = False
        out.append(_syn(c, now))
        return
    sender = c.sender
    found = NO_BLOCKS if c.receiver.reassembly is None else sack.blocks(c)
    if c.state in SENDING:
        if c.narrow is not None:
            path.widen(c, now)
        persist = c.timers.persist
        if sender.last_sent >= 0 and sender.snd_una == sender.snd_nxt and now - sender.last_sent > sender.rtt.rto:
            sender.congestion.on_idle()
        carried = found
        if found:  # the option takes its place from the data
            carried = sack.beside_data(found, sender.mss)
            taken = sack.space(carried)
            sender.mss -= taken
        while True:
            if room <= 0:
                c.send_due = sender.has_work()
                break
            plan = sender.next_plan(now, c.timers, c.config.persist_max)
            if plan is None:
                break
            out.append(_data(c, plan, now, carried))
            room -= plan.count + 1
        if c.config.push_burst:
            _push_bursts(c, out)
        if found:
            sender.mss += taken
        if c.timers.persist != persist:
            c.tell_persist(persist, now)
        if sender.urgent_due and c.ack_now == NO_ACK and sender.buffer.size:
            c.ack_now = URGENT_NOTICE
    if c.ack_now != NO_ACK:
        c.bare_segs_out += 1
        seq = sender.snd_nxt
        if (seq - sender.snd_una) & MASK > sender.snd_wnd:
            seq = bare_seq(sender)
        out.append(_segment(c, now, seq, ACK, c.ack_now, b"", found))


def bare_seq(sender: "Sender") -> int:
    """SEG.SEQ of what carries no text: SND.NXT, or what the peer takes now where SND.NXT lies beyond its window.

    It has a probe's byte, or what went before the window shrank, outside of its window, and would drop whatever begins
    behind that, with the ACK or RST that it is (3.10.7.4, first check). What a window fell back by in being scaled was
    offered before (RFC 7323 2.4). Linux: tcp_acceptable_seq.
    """
    snd_una, snd_nxt, snd_wnd = sender.snd_una, sender.snd_nxt, sender.snd_wnd
    beyond = ((snd_nxt - snd_una) & MASK) - snd_wnd
    if beyond <= 0 or snd_una == sender.iss:  # a SYN needs no window
        return snd_nxt
    if not snd_wnd:
        return snd_una
    return snd_nxt if beyond < 1 << sender.shift else (snd_una + snd_wnd - 1) & MASK


def _segment(c: "Connection", now: int, seq: int, flags: int, reason: int, payload: Buffer, sacks: sack.Blocks) -> Outgoing:
    """A segment of a synchronized connection; whatever it is, it acknowledges all that has come."""
    receiver = c.receiver
    sender = c.sender
    rcv_nxt = receiver.rcv_nxt
    segment = Outgoing(seq, rcv_nxt, flags, receiver.window_field(), reason, payload)
    if c.agreed_timestamps:
        segment.has_timestamps = True
        segment.tsval = c.timestamp(now)
        segment.tsecr = c.ts_recent
    if sacks:
        segment.sacks = sacks
    if sender.urgent_mode:
        ahead = (sender.snd_up - seq) & MASK
        if 0 < ahead < HALF:  # seq inline: urgent data ends after this segment begins (3.8.5)
            segment.flags |= URG
            segment.urgent = min(ahead, 0xFFFF)
            sender.urgent_due = False
    receiver.last_ack_sent = rcv_nxt
    receiver.unacked = 0
    c.ack_now = NO_ACK
    c.timers.delayed_ack = NEVER
    return segment


def _data(c: "Connection", plan: Plan, now: int, sacks: sack.Blocks) -> Outgoing:
    sender = c.sender
    buffer = sender.buffer
    count = plan.count
    offset = (plan.seq - sender.snd_una) & MASK
    payload = buffer.view(offset, count) if count else b""
    flags = ACK
    if count:
        rule = c.config.push
        if rule == "empty":
            if offset + count == buffer.size and not sender.more:
                flags |= PSH  # the segment that empties the send queue (3.9.1.2)
        elif rule == "write" and buffer.ends_write(offset + count):
            flags |= PSH
    reason = plan.reason
    if plan.fin:
        flags |= FIN
        if reason == NEW_DATA:
            reason = FIN_SENT
        elif not count and reason in RETRANSMISSIONS:
            reason = RETRANSMIT_FIN
    segment = _segment(c, now, plan.seq, flags, reason, payload, sacks)
    mss = sender.mss
    if count > mss:
        segment.gso_size = mss
        c.data_segs_out += -(-count // mss)
    elif count:
        c.data_segs_out += 1
    else:
        c.bare_segs_out += 1
    sender.sent(plan, now, c.timers)
    if c.rhythm is not None and count:
        c.rhythm.sent(c, now)
    return segment


def _push_bursts(c: "Connection", out: list[Outgoing]) -> None:
    """TcpConfig.push_burst: PSH on the last segment of each burst in `out`, where only replies stand before what goes now. A
    burst has as many segments as a millisecond's share of what a round trip carries (tcp_update_pacing_rate, tcp_tso_autosize),
    at least as configured."""
    sender = c.sender
    congestion, srtt = sender.congestion, sender.rtt.srtt
    size = c.config.push_burst
    if srtt > 0:
        tenths = 20 if 2 * congestion.cwnd < congestion.ssthresh else 12
        share = congestion.cwnd * tenths * SECOND // (10 * 1024 * srtt)
        size = max(size, min(share, LARGEST_PIECE) // sender.mss)
    else:
        size = LARGEST_PIECE // sender.mss
    burst = 0
    for at, segment in enumerate(out):
        if segment.reason != NEW_DATA or not segment.payload:
            burst = 0
            continue
        burst += -(-len(segment.payload) // sender.mss)
        last = at + 1 == len(out) or out[at + 1].reason not in (NEW_DATA, FIN_SENT)
        if burst > 1 and (burst >= size or last):
            segment.flags |= PSH
        if segment.flags & PSH or burst >= size:
            burst = 0


def _reply(c: "Connection", now: int, reason: int, flags: int, seq: int, ack: int, about: sack.Edges) -> Outgoing:
    c.bare_segs_out += 1
    if flags & RST:
        segment = Outgoing(
            bare_seq(c.sender) if seq == CURRENT else seq, c.receiver.rcv_nxt if ack == CURRENT else ack, flags, 0, reason
        )
        if c.config.reset_window and flags & ACK:
            segment.window = c.receiver.window_field()
        if c.agreed_timestamps and flags & ACK:
            segment.has_timestamps = True
            segment.tsval = c.timestamp(now)
            segment.tsecr = c.ts_recent
        return segment
    return _segment(c, now, bare_seq(c.sender) if seq == CURRENT else seq, flags, reason, b"", sack.blocks(c, about))


def _syn(c: "Connection", now: int) -> Outgoing:
    """Our SYN, or in SYN-RECEIVED after a simultaneous open our SYN,ACK; no data rides on either."""
    both = c.state is State.SYN_RECEIVED
    if 0 < c.config.syn_bare_after <= c.sender.timeouts and not both:  # perhaps it is the options that somebody cannot bear
        c.config = c.config.replace(timestamps=False, window_scaling=False, sack=False, syn_bare_after=0)
    config = c.config
    reason = RETRANSMIT_HANDSHAKE if c.syn_again else (SYN_ACK if both else SYN_OPEN)
    stamped = c.agreed_timestamps if both else config.timestamps
    window = c.receiver.syn_window(first_window(config, c.receiver.capacity, c.receiver.mss, both and stamped))
    segment = OutgoingSyn(
        c.sender.iss, c.receiver.rcv_nxt if both else 0, SYN | ACK if both else SYN, window, reason, config.syn_options,
        config.syn_padding,
    )  # fmt: skip
    segment.mss = c.receiver.mss
    segment.sack_permitted = c.agreed & SACK > 0 if both else config.sack
    if stamped:
        segment.has_timestamps = True
        segment.tsval = c.timestamp(now)
        segment.tsecr = c.ts_recent
    if c.agreed & SCALING if both else config.window_scaling:
        segment.wscale = c.receiver.shift
    c.sender.syn_sent(now, c.timers, c.syn_again)
    c.timers.retransmission = now + syn_wait(config, c.sender.rtt.rto, c.sender.timeouts)
    c.bare_segs_out += 1
    c.receiver.last_ack_sent = c.receiver.rcv_nxt
    return segment
