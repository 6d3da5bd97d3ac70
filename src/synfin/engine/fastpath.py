"""In-order data and plain ACKs in ESTABLISHED: the common case, decided with few tests.

Does nothing that `arrives` would not do; whatever is unusual is left to it, by returning False before anything changes.
"""

from typing import TYPE_CHECKING

from synfin.engine.arrives import schedule_ack, ts_rtt
from synfin.engine.segment import ACK, PSH, Segment
from synfin.engine.seq import HALF, MASK

if TYPE_CHECKING:
    from synfin.engine.connection import Connection


def take(c: "Connection", seg: Segment, now: int) -> bool:
    """Process `seg` if it is in order and ordinary. Returns whether it was."""
    sender = c.sender
    receiver = c.receiver
    if seg.flags | PSH != ACK | PSH or seg.seq != receiver.rcv_nxt or not c.config.fast_path:
        return False
    count = len(seg.payload)
    window = seg.window << sender.shift
    ack = seg.ack
    acked = (ack - sender.snd_una) & MASK
    if (
        not window
        or count > (receiver.rcv_edge - receiver.rcv_nxt) & MASK
        or acked > (sender.snd_nxt - sender.snd_una) & MASK
        or (seg.seq - sender.snd_wl1) & MASK >= HALF  # seq inline: the window was told by what lies ahead
        or receiver.reassembly is not None
        or receiver.fin_seq >= 0
        or c.orphaned
        or not sender.plain()
        or (not count and not acked)
    ):
        return False
    if c.agreed_timestamps:
        if not seg.has_timestamps or (seg.tsval - c.ts_recent) & MASK >= HALF:
            return False
        if receiver.last_ack_sent == receiver.rcv_nxt:  # RFC 7323 4.3; SEG.SEQ = RCV.NXT
            c.ts_recent = seg.tsval
            c.ts_recent_age = now
    sender.answered()
    if acked:
        sender.acked(ack, now, ts_rtt(c, seg, now) if sender.karn else -1, c.timers)
        c.send_due = True
    elif window != sender.snd_wnd:
        c.send_due = True
    # SND.WL1 =< SEG.SEQ and SND.WL2 =< SND.UNA =< SEG.ACK: not older than the last window update (3.10.7.4)
    sender.snd_wnd = window
    sender.snd_wl1 = seg.seq
    sender.snd_wl2 = ack
    if window > sender.max_snd_wnd:
        sender.max_snd_wnd = window
    if count:
        receiver.deliver(seg.payload)
        schedule_ack(c, count, seg, now)
    return True
