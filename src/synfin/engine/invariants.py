"""What is always true of a connection between two calls: asserted by tests and fuzzing, never on the way of a segment.

Owns no rule of the protocol; each line restates one that another module keeps. Reads a Connection, changes nothing.
"""

from typing import TYPE_CHECKING, Final

from synfin.engine.config import NEVER
from synfin.engine.segment import Buffer
from synfin.engine.seq import HALF, MASK
from synfin.engine.state import State

if TYPE_CHECKING:
    from synfin.engine.connection import Connection

OPENING: Final = (State.SYN_SENT, State.SYN_RECEIVED)
OVER: Final = (State.CLOSED, State.TIME_WAIT)


def check(c: "Connection") -> None:
    """Raises AssertionError where sequence space, buffers and timers contradict each other."""
    if c.state not in OVER and c.state not in OPENING:
        _check_sender(c)
    _check_receiver(c)
    _check_timers(c)


def _check_sender(c: "Connection") -> None:
    sender = c.sender
    outstanding = sender.outstanding
    assert outstanding < HALF, "SND.UNA =< SND.NXT"
    assert outstanding <= max(sender.max_snd_wnd, 1), "SND.NXT =< SND.UNA + the largest window, or one probe beyond it"
    assert 0 <= sender.snd_wnd <= sender.max_snd_wnd, "no window is larger than the largest"
    fin = 1 if sender.fin_sent and outstanding else 0
    assert 0 <= outstanding - fin <= sender.buffer.size, "what is in flight is in the buffer"
    assert not sender.fin_sent or outstanding - fin == sender.buffer.size, "nothing is sent after the FIN"
    assert sender.fin_queued or not sender.fin_sent, "no FIN without a CLOSE"
    if sender.resend >= 0:
        done = (sender.resend - sender.snd_una) & MASK
        end = (sender.resend_end - sender.snd_una) & MASK
        assert done < end <= outstanding, "SND.UNA =< resend < resend_end =< SND.NXT"
    if sender.recovering:
        assert (sender.recover - sender.snd_una - 1) & MASK < HALF, "recovery ends when `recover` is acknowledged"
    assert not (sender.recovering and sender.probing), "a closed window ends recovery"
    assert not (sender.fast_due and not outstanding), "a fast retransmit has something to send"
    if sender.karn:
        assert (sender.snd_nxt - sender.no_sample_before) & MASK < HALF, "what gives no sample has been sent"
    assert bool(sender.marks) == bool(outstanding), "what is in flight has a time"
    assert sender.congestion.cwnd >= sender.congestion.mss, "cwnd is at least a segment"
    assert sender.congestion.ssthresh >= 2 * sender.congestion.mss, "ssthresh is at least two"


def _check_receiver(c: "Connection") -> None:
    receiver = c.receiver
    window = receiver.rcv_wnd
    assert window < HALF, "RCV.NXT =< right edge"
    assert receiver.size == receiver.counted(), "bytes counted are bytes kept"
    assert receiver.fin_seq < 0 or not receiver.fin_received or receiver.rcv_nxt == (receiver.fin_seq + 1) & MASK
    assert receiver.mark <= receiver.size, "the mark lies in what waits"
    if receiver.reassembly is None:
        return
    at = 0
    assert receiver.reassembly.runs, "no empty reassembly is kept"
    for run in receiver.reassembly.runs:
        start = (run.seq - receiver.rcv_nxt) & MASK
        assert start > at or not at, "runs are sorted, with a hole between any two"
        assert start > 0 or c.state is State.SYN_RECEIVED, "what is next is delivered"
        assert run.size == sum(_length(data) for data in run.chunks), "bytes counted are bytes kept"
        at = start + run.size
    assert at <= window, "nothing is kept beyond the right edge"
    assert len(receiver.reassembly.runs) <= c.config.reassembly_segments


def _length(data: Buffer) -> int:
    assert len(data), "no empty range is kept"
    return len(data)


def _check_timers(c: "Connection") -> None:
    sender, timers = c.sender, c.timers
    if c.state in OVER:
        assert timers.earliest() == NEVER, f"{c.state} has no timer"
        return
    if c.state in OPENING:
        return
    armed = timers.retransmission != NEVER or timers.persist != NEVER
    assert armed or c.send_due or not sender.outstanding, "what is in flight has a timer"
    assert timers.retransmission == NEVER or sender.outstanding, "no retransmission timer without anything in flight"
    assert timers.fin_wait_2 == NEVER or (c.state is State.FIN_WAIT_2 and c.orphaned)
    if sender.probing and c.state is not State.FIN_WAIT_2:
        assert timers.persist != NEVER or c.send_due, "a closed window is probed"
    if sender.unsent and not sender.outstanding and c.state is not State.FIN_WAIT_2:
        assert armed or c.send_due, "what waits to be sent has a timer or goes now"
