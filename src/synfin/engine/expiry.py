"""What happens when the time of a connection's timer has come (RFC 9293 3.10.8).

Owns the order in which timers act, and how long a connection may wait for an answer (3.8.3). What each of them does to the send
sequence space is the sender's; builds no segment.
"""

from typing import TYPE_CHECKING, Final

from synfin.engine import keepalive, path
from synfin.engine.config import NEVER
from synfin.engine.errors import CloseReason
from synfin.engine.handshake import syn_wait
from synfin.engine.segment import ACK_DELAYED
from synfin.engine.state import State, Trigger

if TYPE_CHECKING:
    from synfin.engine.connection import Connection

OPENING: Final = (State.SYN_SENT, State.SYN_RECEIVED)


def give_up_at(c: "Connection") -> int:
    """When the user timeout of `c`, or R2 for its SYN, is reached (3.8.3), in ns."""
    if c.state in OPENING:
        return c.syn_since + c.config.syn_timeout
    return c.sender.user_deadline(c.user_timeout)


def act(c: "Connection", now: int) -> None:
    """Let every timer of `c` act whose time is `now` or earlier; not for a connection that is over."""
    timers = c.timers
    if timers.earliest() != NEVER and now >= give_up_at(c):
        c.tell_timer("user timeout", "", now)
        c.finish(Trigger.USER_TIMEOUT, CloseReason.TIMED_OUT, now)
        return
    if now >= timers.retransmission:
        _retransmission(c, now)
    if now >= timers.persist:
        timers.persist = NEVER
        c.tell_timer("persist", "", now)
        c.sender.persist_timeout()
        c.send_due = True
    if now >= timers.delayed_ack:
        timers.delayed_ack = NEVER
        c.tell_timer("delayed ACK", "", now)
        if c.rhythm is not None:
            c.rhythm.timed_out(c)
        c.owe_ack(ACK_DELAYED)
    if now >= timers.keepalive:
        keepalive.handle_timer(c, now)
    if now >= timers.fin_wait_2:
        c.tell_timer("FIN-WAIT-2", "", now)
        c.finish(Trigger.ORPHAN_TIMEOUT, CloseReason.ORPHANED, now)


def _retransmission(c: "Connection", now: int) -> None:
    sender = c.sender
    c.timers.retransmission = NEVER
    c.send_due = True
    if c.state in OPENING:
        c.handshake_lost = c.syn_again = c.syn_due = True
        sender.timeouts += 1
        sender.rtt.back_off()
        c.tell_timer("handshake", str(syn_wait(c.config, sender.rtt.rto, sender.timeouts)), now)
        return
    if c.narrow is not None:
        path.timed_out(c, now)
    sender.retransmission_timeout()
    c.tell_timer("retransmission", str(sender.rtt.rto), now)
    c.tell_congestion("timeout", now)
