"""Mutations of the stack, one table: what breaks a TCP, and what at least one script must see.

A line is a name and either fields of TcpConfig to change (`_config`) or a function of the engine to replace (`_patched`), for
as long as the mutation is in force. Whoever gives the engine something new adds its lines here.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final
from unittest import mock

from synfin.engine import arrives, closed, connection, cookies, handshake, keepalive, options, output, path, sack, sender
from synfin.engine.config import MILLISECOND, NEVER, SECOND, TcpConfig
from synfin.engine.congestion import base
from synfin.engine.congestion.newreno import NewReno
from synfin.engine.connection import Connection
from synfin.engine.listener import Listener
from synfin.engine.reassembly import Reassembly
from synfin.engine.receiver import Receiver
from synfin.engine.rtt import RttEstimator
from synfin.engine.segment import Segment
from synfin.engine.sender import Sender
from synfin.engine.seq import HALF, MASK
from synfin.engine.timers import Timers
from synfin.engine.timewait import TimeWait

Patches = Callable[[ExitStack], object]
Changes = Callable[[TcpConfig], Mapping[str, Any]]


def _no_patch(stack: ExitStack) -> None:
    pass


@dataclass(frozen=True, slots=True)
class StackMutation:
    """One mutation: `apply` patches the engine until the stack of contexts is closed; `changes` gives fields of TcpConfig."""

    name: str
    apply: Patches = field(default=_no_patch)
    changes: Changes | None = None


def _config(name: str, changes: Changes) -> StackMutation:
    return StackMutation(name, changes=changes)


def _patched(name: str, owner: object, attribute: str, change: Callable[[Any], Any]) -> StackMutation:
    """`attribute` of `owner` is what `change` makes of it."""

    def apply(stack: ExitStack) -> None:
        stack.enter_context(mock.patch.object(owner, attribute, change(getattr(owner, attribute))))

    return StackMutation(name, apply)


def _returns(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function whose result is changed."""
    return lambda original: lambda *arguments, **named: change(original(*arguments, **named))


def _instead(answer: object) -> Callable[[Any], Any]:
    """A function that does nothing but answer."""
    return lambda _: lambda *arguments, **named: answer


def _nothing(original: Any) -> Any:
    """A function that does nothing."""
    return lambda *arguments, **named: None


# --- single functions of the engine, broken


def _edge(by: int) -> Callable[[Any], Any]:
    """Receiver.acceptable with a right edge that lies `by` bytes further."""

    def change(original: Any) -> Any:
        def acceptable(receiver: Receiver, seq: int, length: int) -> bool:
            edge = receiver.rcv_edge
            receiver.rcv_edge = (edge + by) & MASK
            try:
                return bool(original(receiver, seq, length))
            finally:
                receiver.rcv_edge = edge

        return acceptable

    return change


def _no_probe_backoff(original: Any) -> Any:
    def probe(sender: Sender, now: int, timers: Timers, longest: int) -> Any:
        plan = original(sender, now, timers, longest)
        if plan is not None:
            timers.persist = now + sender.rtt.rto
        return plan

    return probe


def _no_probes(original: Any) -> Any:
    def close(sender: Sender, now: int, timers: Timers) -> None:
        original(sender, now, timers)
        timers.persist = NEVER

    return close


def _scaled_rto(original: Any) -> Any:
    return property(lambda estimator: original.fget(estimator) * 3 // 2)


def _longer_user_timeout(original: Any) -> Any:
    return lambda sender, timeout: original(sender, timeout * 3 // 2)


def _one_probe_more(original: Any) -> Any:
    def dead(c: Connection, state: keepalive.Keepalive, now: int) -> bool:
        state.probes -= 1
        try:
            return bool(original(c, state, now))
        finally:
            state.probes += 1

    return dead


def _slower_keepalive(name: str) -> Callable[[Any], Any]:
    def change(original: Any) -> Any:
        return lambda c, option, value, now: original(c, option, value * 3 // 2 if option == name else value, now)

    return change


def _any_reset(original: Any) -> Any:
    """RFC 793's rule: an RST counts anywhere in the window."""

    def check(c: Connection, seg: Segment, now: int) -> None:
        seg.seq = c.receiver.rcv_nxt
        original(c, seg, now)

    return check


def _silly_windows(original: Any) -> Any:
    def advance(receiver: Receiver) -> None:
        free = max(receiver.capacity - receiver.size, 0) >> receiver.shift << receiver.shift
        edge = (receiver.rcv_nxt + free) & MASK
        if (edge - receiver._goal) & MASK < HALF:
            receiver._goal = edge

    return advance


def _own_nagle(original: Any) -> Any:
    def small(sender: Sender, *arguments: int) -> Any:
        nodelay, sender.nodelay = sender.nodelay, False
        try:
            return original(sender, *arguments)
        finally:
            sender.nodelay = nodelay

    return small


def _no_partial_retransmission(original: Any) -> Any:
    def acked(sender: Sender, ack: int, count: int) -> Any:
        answer = original(sender, ack, count)
        if sender.recovering:
            sender.fast_due = False
        return answer

    return acked


def _stamps_of_any(original: Any) -> Any:
    """TS.Recent from whatever segment is acceptable, in order or not."""

    def note(c: Connection, seg: Segment, now: int) -> None:
        if c.agreed_timestamps and seg.has_timestamps:
            c.ts_recent, c.ts_recent_age = seg.tsval, now

    return note


def _twice(original: Any) -> Any:
    return lambda controller, acked: (original(controller, acked), original(controller, acked))[0]


def _no_2msl_again(original: Any) -> Any:
    def repeated(entry: TimeWait, seg: Segment, now: int) -> None:
        expires = entry.expires
        original(entry, seg, now)
        entry.expires = expires

    return repeated


def _edges(left: int, right: int) -> Callable[[Any], Any]:
    """SACK blocks whose edges lie elsewhere."""
    return _returns(lambda found: [((start + left) & MASK, (end + right) & MASK) for start, end in found])


def _as_they_came(original: Any) -> Any:
    """Blocks by the arrival of the first byte of each."""
    return lambda held, number, count, rcv_nxt: original(held, -1, count, rcv_nxt)


def _four_blocks(original: Any) -> Any:
    """As many blocks as there is room for without timestamps; so those go."""

    def segment(c: Connection, *arguments: Any) -> Any:
        out = original(c, *arguments)
        stamped, c.agreed_timestamps = c.agreed_timestamps, False
        found = sack.blocks(c)
        c.agreed_timestamps = stamped
        if len(found) > 3:
            out.has_timestamps, out.sacks = False, found
        return out

    return segment


def _without_fin(original: Any) -> Any:
    def blocks(c: Connection, *arguments: Any) -> Any:
        fin, c.receiver.fin_seq = c.receiver.fin_seq, -1
        try:
            return original(c, *arguments)
        finally:
            c.receiver.fin_seq = fin

    return blocks


def _without_option(ignored: str) -> Callable[[Any], Any]:
    def change(original: Any) -> Any:
        return lambda c, name, value, now: None if name == ignored else original(c, name, value, now)

    return change


def _unread_is_lost(original: Any) -> Any:
    def close(c: Connection, now: int) -> None:
        c.receiver.size, size = 0, c.receiver.size
        original(c, now)
        c.receiver.size = size

    return close


def _slower_acks(config: TcpConfig) -> dict[str, Any]:
    """Twice the delayed ACK's time, and the most of it where it follows the peer."""
    names = [name for name in ("delayed_ack", "delayed_ack_max") if hasattr(config, name)]
    return {name: min(2 * getattr(config, name), SECOND // 2 - 1) for name in names}


def _other(value: Any, one: Any, two: Any) -> Any:
    """`one`, or `two` where it is chosen already."""
    return two if value == one else one


STACK_MUTATIONS: Final[tuple[StackMutation, ...]] = (
    # acknowledgments
    _config("delayed ACK time doubled", _slower_acks),
    _config("no delayed ACK", lambda config: {"delayed_ack": 0}),
    _config("an ACK every third segment", lambda config: {"ack_every": config.ack_every + 1}),
    _config("the ACK of a FIN is delayed", lambda config: {"ack_fin_at_once": False}),
    _config("no challenge ACK", lambda config: {"challenge_acks": 0}),
    _config("one challenge ACK more", lambda config: {"challenge_acks": config.challenge_acks + 1}),
    _config("an ACK at once first", lambda config: {"quick_acks": 1}),
    _config("ACKs follow the peer, or do not", lambda config: {"ack_rule": _other(config.ack_rule, "count", "adaptive")}),
    _patched("TCP_QUICKACK ignored", options, "_quick_acks", _nothing),
    # windows
    _patched("window edge one byte too far", Receiver, "acceptable", _edge(1)),
    _patched("window edge one byte too near", Receiver, "acceptable", _edge(-1)),
    _patched("window told one too small", Receiver, "window_field", _returns(lambda field: max(field - 1, 0))),
    _patched("no receiver's silly window avoidance", Receiver, "advance_edge", _silly_windows),
    _patched("no word of a window that opens", Receiver, "update_due", _instead(False)),
    _patched("window scale one more", handshake, "window_scale_for", _returns(lambda shift: min(shift + 1, 14))),
    _config("the window follows the reader", lambda config: {"window_rule": _other(config.window_rule, "edge", "reader")}),
    _config("a SYN offers whole segments, or all", lambda config: {"syn_window_whole": not config.syn_window_whole}),
    _patched("no persist backoff", Sender, "_probe", _no_probe_backoff),
    _patched("no window probes", Sender, "_close_window", _no_probes),
    _config("the longest persist interval halved", lambda config: {"persist_max": config.persist_max // 2}),
    # sending
    _patched("initial window one segment more", base, "initial_window", lambda original: lambda mss, n: original(mss, n) + mss),
    _patched("initial window one segment less", base, "initial_window", lambda original: lambda mss, n: original(mss, n) - mss),
    _config("Nagle off", lambda config: {"nagle": False}),
    _patched("TCP_NODELAY ignored", Sender, "_small_may_go", _own_nagle),
    _patched("TCP_CORK ignored", options, "change", _without_option("cork")),
    _config("PSH never set", lambda config: {"push": "never"}),
    _config("PSH at the end of each write", lambda config: {"push": "write"}),
    _config("bursts are pushed, or not", lambda config: {"push": "write", "push_burst": _other(config.push_burst, 0, 2)}),
    _config("half a window is not pushed", lambda config: {"push_half_window": False}),
    _config("options of a SYN in another order", lambda config: {"syn_options": "mss wscale sackOK TS"}),
    _config("SACK permitted is offered", lambda config: {"sack": not config.sack}),
    _patched("our MSS one byte less", connection, "receive_mss", _returns(lambda mss: mss - 1)),
    _patched("segments leave no room for timestamps", handshake, "TIMESTAMP_SPACE", lambda _: 0),
    _patched("the default MSS one byte less", handshake, "default_mss", _returns(lambda mss: mss - 1)),
    # retransmission
    _patched("RTO x 1.5", RttEstimator, "rto", _scaled_rto),
    _config("RTO with a slop", lambda config: {"rto_slop": config.rto_slop + 200 * MILLISECOND}),
    _config("a SYN waits as long each time", lambda config: {"syn_backoff": (1,)}),
    _config("a repeated SYN is bare", lambda config: {"syn_bare_after": 1}),
    _patched("no backoff", RttEstimator, "back_off", _nothing),
    _patched("no round trip is measured", RttEstimator, "sample", _nothing),
    _patched("Karn's rule forgotten", Sender, "_start_karn", _nothing),
    _patched("after a lost SYN no RTO of 3 s", RttEstimator, "handshake_lost", _nothing),
    _patched("user timeout x 1.5", Sender, "user_deadline", _longer_user_timeout),
    _config("R2 of a SYN halved", lambda config: {"syn_timeout": config.syn_timeout // 2}),
    _patched("fast retransmit at the second", sender, "DUPLICATE_THRESHOLD", lambda _: 2),
    _patched("fast retransmit at the fourth", sender, "DUPLICATE_THRESHOLD", lambda _: 4),
    _patched("a partial ACK sends nothing again", Sender, "_acked_in_recovery", _no_partial_retransmission),
    # congestion
    _patched("slow start twice as fast", NewReno, "on_ack", _twice),
    _config("slow start counts otherwise", lambda config: {"slow_start_segments": _other(config.slow_start_segments, 0, 1)}),
    _patched("cwnd does not grow", NewReno, "on_ack", _nothing),
    _patched("a loss halves nothing", NewReno, "on_fast_retransmit", _nothing),
    _patched("a duplicate ACK inflates nothing", NewReno, "on_duplicate_ack", _nothing),
    _patched("a timeout leaves cwnd", NewReno, "on_timeout", _nothing),
    _patched("no restart after idling", base.Congestion, "on_idle", _nothing),
    # receiving
    _patched("no reassembly", Receiver, "store", _instead(0)),
    _config("one piece out of order is kept", lambda config: {"reassembly_segments": 1}),
    _patched("urgent data ignored", arrives, "take_urgent", _nothing),
    _patched("an RST counts anywhere in the window", arrives, "check_rst", _any_reset),
    _patched("an RST never counts", arrives, "check_rst", _nothing),
    _patched("PAWS off", arrives, "check_paws", _instead(True)),
    _patched("TS.Recent from any segment", arrives, "note_timestamp", _stamps_of_any),
    _patched("no simultaneous open", arrives, "_completes_simultaneous_open", _instead(False)),
    # selective acknowledgment
    _patched("no SACK is sent", sack, "blocks", _instead(())),
    _patched("SACK blocks by number, not by recency", Reassembly, "report", _returns(sorted)),
    _patched("SACK blocks in the order of their arrival", Reassembly, "report", _as_they_came),
    _patched("the segment's block is not the first", Reassembly, "report", _returns(lambda found: found[::-1])),
    _patched("left edge of a block one too low", Reassembly, "report", _edges(-1, 0)),
    _patched("right edge of a block one too high", Reassembly, "report", _edges(0, 1)),
    _patched("right edge of a block one too low", Reassembly, "report", _edges(0, -1)),
    _patched("one SACK block fewer than there is room for", sack, "OPTIONS", lambda room: room - 8),
    _patched("a fourth block instead of timestamps", output, "_segment", _four_blocks),
    _patched("no SACK block on segments with data", sack, "beside_data", _instead(())),
    _patched("data leaves no room for SACK blocks", sack, "space", _instead(0)),
    _patched("a FIN is not held", sack, "blocks", _without_fin),
    _config("no D-SACK", lambda config: {"dsack": not config.dsack}),
    _patched("no D-SACK of what is held", sack, "kept", _instead(sack.NOTHING)),
    _patched("no D-SACK below the ACK field", sack, "before", _instead(sack.NOTHING)),
    _patched("D-SACK of bytes that never were", Receiver, "received", lambda _: property(lambda receiver: HALF)),
    # closing
    _config("TIME-WAIT halved", lambda config: {"msl": config.msl // 2}),
    _patched("2MSL do not start anew", TimeWait, "_repeated_fin", _no_2msl_again),
    _config("TIME-WAIT is not reused", lambda config: {"time_wait_reuse": False}),
    _config("TIME-WAIT ignores an RST", lambda config: {"time_wait_ignores_reset": not config.time_wait_ignores_reset}),
    _config("an RST tells a window", lambda config: {"reset_window": not config.reset_window}),
    _patched("PAWS off in TIME-WAIT", TimeWait, "_passes_paws", _instead(True)),
    _config("FIN-WAIT-2 lasts for ever", lambda config: {"fin_wait_2_timeout": 0}),
    _patched("unread data is no reason for an RST", Connection, "close", _unread_is_lost),
    _patched("no RST from a closed port", closed, "answer", _instead(None)),
    # keep-alive
    _patched("one keep-alive probe more", keepalive, "_dead", _one_probe_more),
    _patched("keep-alive idle time x 1.5", keepalive, "set_option", _slower_keepalive("keepalive_idle")),
    _patched("keep-alive interval x 1.5", keepalive, "set_option", _slower_keepalive("keepalive_interval")),
    # listening
    _config("SYN,ACK retries one fewer", lambda config: {"syn_ack_retries": max(config.syn_ack_retries - 1, 0)}),
    _config("the oldest half-open entry makes room", lambda config: {"syn_queue_policy": "oldest"}),
    _config("a connection is accepted when data comes", lambda config: {"defer_accept": SECOND}),
    _patched("accept queue never full", Listener, "_accept_queue_full", _instead(False)),
    _config("a full accept queue is told by RST", lambda config: {"accept_overflow": "reset"}),
    _patched("PAWS off in SYN-RECEIVED", Listener, "_passes_paws", _instead(True)),
    _config("no SYN cookies", lambda config: {"syn_cookies": "off"}),
    _patched("cookie MSS table shifted", cookies, "MSS_TABLE", lambda table: (*table[1:], table[0])),
    _patched("cookies live one step less", cookies, "STEP", lambda step: step // 2),
    # ICMP
    _patched("ICMP ignored", path, "take", _instead(False)),
    _patched("soft errors end an opening", path, "HARD", lambda _: tuple(path.PathError)),
    _patched("hard errors do not end an opening", path, "HARD", lambda _: ()),
)
