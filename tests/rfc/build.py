"""A connection in every state, brought there by real segments: ours begin at 100, the peer's at 300.

`peer` makes what the peer sends, with timestamps where they were agreed; the peer's timestamp clock reads `CLOCK`
milliseconds, and what it echoes is always our latest timestamp.
"""

from collections.abc import Callable

from synfin.engine.config import MILLISECOND, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.errors import DropReason
from synfin.engine.observe import Observer
from synfin.engine.segment import ACK, FIN, SYN, Buffer, Outgoing, Segment
from synfin.engine.state import State, Trigger
from tests.engine.harness import A_KEY, B_KEY, PLAIN, End

ISS = 100
IRS = 300
CLOCK = 5000
FULL = TcpConfig()  # timestamps, window scaling
WINDOW = 60_000


class Watch(Observer):
    """What the engine told, in order."""

    def __init__(self) -> None:
        self.moves: list[tuple[State, Trigger, State]] = []
        self.drops: list[DropReason] = []
        self.timers: list[str] = []
        self.causes: list[str] = []

    def state_changed(self, now: int, key: bytes, old: State, trigger: Trigger, new: State) -> None:
        self.moves.append((old, trigger, new))

    def dropped(self, now: int, key: bytes, reason: DropReason, segment: Segment | None) -> None:
        self.drops.append(reason)

    def timer_fired(self, now: int, key: bytes, timer: str, detail: str) -> None:
        self.timers.append(timer)

    def congestion(self, now: int, key: bytes, cause: str, cwnd: int, ssthresh: int) -> None:
        self.causes.append(cause)


def end(config: TcpConfig = PLAIN, mtu: int = 1500) -> End:
    """A new connection with an observer."""
    one = End(A_KEY, ISS, config, Watch())
    one.connection.mtu = mtu
    return one


def watch(one: End) -> Watch:
    """The observer of `one`."""
    observer = one.connection.observer
    assert isinstance(observer, Watch)
    return observer


def stamp(one: End, segment: Segment, tsval: int) -> Segment:
    """Give `segment` a timestamp option."""
    segment.has_timestamps = True
    segment.tsval = tsval & 0xFFFFFFFF
    segment.tsecr = one.connection.timestamp(one.now)
    return segment


def peer(
    one: End, flags: int, seq: int = IRS + 1, ack: int = ISS + 1, window: int = WINDOW, payload: Buffer = b"",
    tsval: int = -1,
) -> Segment:  # fmt: skip
    """A segment of the peer's; on a SYN every option that our configuration knows."""
    segment = Segment(seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, flags, window, payload)
    config = one.connection.config
    if flags & SYN:
        segment.mss = 1460
        segment.wscale = 2 if config.window_scaling else -1
        segment.sack_permitted = config.sack
    if config.timestamps if flags & SYN else one.connection.agreed_timestamps:
        stamp(one, segment, CLOCK + one.now // MILLISECOND if tsval < 0 else tsval)
    return segment


def say(
    one: End, flags: int, seq: int = IRS + 1, ack: int = ISS + 1, window: int = WINDOW, payload: Buffer = b"",
    tsval: int = -1,
) -> list[str]:  # fmt: skip
    """Hand `one` such a segment; what it answers."""
    return one.take(peer(one, flags, seq, ack, window, payload, tsval))


def hear(
    one: End, flags: int, seq: int = IRS + 1, ack: int = ISS + 1, window: int = WINDOW, payload: Buffer = b"",
    tsval: int = -1,
) -> None:  # fmt: skip
    """Hand `one` such a segment and let it answer later."""
    one.connection.receive(peer(one, flags, seq, ack, window, payload, tsval), one.now)
    one.connection.check_invariants()


def until(one: End, when: int) -> list[str]:
    """Let time pass until `when` ns, timer by timer; what is sent, each with the millisecond it went."""
    log: list[str] = []
    while True:
        log += [f"{one.now // MILLISECOND} {line}" for line in one.sends()]
        deadline = one.connection.next_deadline()
        if deadline > when:
            one.now = max(one.now, when)
            return log
        assert deadline, "everything that was due has been sent"
        assert deadline >= one.now
        one.now = deadline
        one.connection.handle_timers(deadline)
        one.connection.check_invariants()


def last(one: End, room: int = 1 << 30) -> Outgoing:
    """The only segment that it sends now."""
    (out,) = one.out(room)
    return out


# --- the states


def closed(config: TcpConfig = PLAIN) -> End:
    return end(config)


def syn_unsent(config: TcpConfig = PLAIN) -> End:
    """SYN-SENT by the call, the SYN not yet built."""
    one = end(config)
    one.connection.connect(0)
    return one


def syn_sent(config: TcpConfig = PLAIN) -> End:
    one = syn_unsent(config)
    one.out()
    return one


def syn_received(config: TcpConfig = PLAIN) -> End:
    """By simultaneous open."""
    one = syn_sent(config)
    say(one, SYN, IRS, 0)
    return one


def syn_received_unanswered(config: TcpConfig = PLAIN) -> End:
    """By simultaneous open, the SYN,ACK not yet built."""
    one = syn_sent(config)
    hear(one, SYN, IRS, 0)
    return one


def passive_syn_received(config: TcpConfig = PLAIN) -> End:
    """What a listener makes of a record just before the last ACK."""
    one = End(B_KEY, ISS, config, Watch())
    syn = peer(one, SYN, IRS, 0)
    one.connection = Connection.from_request(B_KEY, config, ISS, 0, 1500, syn, 0, 0, one.connection.observer)
    return one


def established(config: TcpConfig = PLAIN) -> End:
    """By active open."""
    one = syn_sent(config)
    say(one, SYN | ACK, IRS, ISS + 1)
    return one


def accepted(config: TcpConfig = PLAIN) -> End:
    """By passive open."""
    one = passive_syn_received(config)
    say(one, ACK)
    return one


def in_flight(config: TcpConfig = PLAIN) -> End:
    """ESTABLISHED with 4000 bytes sent and 2000 bytes unread."""
    one = established(config)
    one.connection.write(bytes(4000), 0)
    one.out()
    say(one, ACK, payload=bytes(1000))
    say(one, ACK, IRS + 1001, payload=bytes(1000))
    return one


def gap(config: TcpConfig = PLAIN) -> End:
    """ESTABLISHED with bytes 21 to 40 of the peer kept out of order, and its FIN after 60 known."""
    one = established(config)
    say(one, ACK, IRS + 21, payload=bytes(20))
    say(one, FIN | ACK, IRS + 51, payload=bytes(10))
    return one


def hole(config: TcpConfig = PLAIN) -> End:
    """ESTABLISHED with the byte after next kept out of order; the ACK that came with it was old and told no window."""
    one = established(config)
    one.connection.write(bytes(10), 0)
    one.out()
    say(one, ACK, ack=ISS + 11)
    say(one, ACK, IRS + 2, payload=b"x")
    return one


def fin_ahead(config: TcpConfig = PLAIN) -> End:
    """ESTABLISHED with a FIN known that lies one byte ahead, told by a segment with an old ACK."""
    one = established(config)
    one.connection.write(bytes(10), 0)
    one.out()
    say(one, ACK, ack=ISS + 11)
    say(one, FIN | ACK, IRS + 2)
    return one


def told_ahead(config: TcpConfig = PLAIN) -> End:
    """ESTABLISHED; the last window came on an ACK whose number lies 10 ahead: what is before it is on its way."""
    one = in_flight(config)
    say(one, ACK, IRS + 2011, window=5000)
    return one


def recovering(config: TcpConfig = PLAIN) -> End:
    """ESTABLISHED in fast recovery."""
    one = established(config)
    one.connection.write(bytes(8 * 1460), 0)
    one.out()
    for _ in range(4):
        say(one, ACK)
    return one


def timed_out(config: TcpConfig = PLAIN) -> End:
    """ESTABLISHED after a retransmission timeout, more to be sent again."""
    one = established(config)
    one.connection.write(bytes(4000), 0)
    one.out()
    one.at(one.connection.next_deadline())
    return one


def probing(config: TcpConfig = PLAIN) -> End:
    """ESTABLISHED, the peer's window closed, one probe sent."""
    one = established(config)
    one.connection.write(bytes(100), 0)
    one.out()
    say(one, ACK, ack=ISS + 51, window=0)
    one.at(one.connection.next_deadline())
    return one


def full(config: TcpConfig = PLAIN) -> End:
    """ESTABLISHED, our own window closed: the buffer is full."""
    one = established(config.replace(receive_buffer=100))
    say(one, ACK, payload=bytes(60))
    say(one, ACK, IRS + 61, payload=bytes(40))
    return one


def urgent(config: TcpConfig = PLAIN) -> End:
    """ESTABLISHED with urgent data on its way in both directions."""
    one = established(config)
    one.connection.write(bytes(50), 0, 1)
    one.out()
    segment = peer(one, ACK | 0x20, payload=bytes(5))
    segment.urgent = 25
    one.take(segment)
    return one


def fin_wait_1(config: TcpConfig = PLAIN) -> End:
    one = established(config)
    one.connection.shutdown_send(0)
    one.out()
    return one


def fin_wait_1_with_data(config: TcpConfig = PLAIN) -> End:
    """The FIN waits behind data for which the peer has no window."""
    one = syn_sent(config)
    say(one, SYN | ACK, IRS, ISS + 1, window=100)
    one.connection.write(bytes(500), 0)
    one.connection.shutdown_send(0)
    one.out()
    return one


def fin_wait_2(config: TcpConfig = PLAIN) -> End:
    one = fin_wait_1(config)
    say(one, ACK, ack=ISS + 2)
    return one


def orphan(config: TcpConfig = PLAIN) -> End:
    """FIN-WAIT-2 without its user."""
    one = established(config)
    one.connection.close(0)
    one.out()
    say(one, ACK, ack=ISS + 2)
    return one


def close_wait(config: TcpConfig = PLAIN) -> End:
    one = established(config)
    say(one, FIN | ACK)
    return one


def close_wait_with_data(config: TcpConfig = PLAIN) -> End:
    """CLOSE-WAIT with 4000 bytes sent and not acknowledged."""
    one = close_wait(config)
    one.connection.write(bytes(4000), 0)
    one.out()
    return one


def closing(config: TcpConfig = PLAIN) -> End:
    one = fin_wait_1(config)
    say(one, FIN | ACK)
    return one


def last_ack(config: TcpConfig = PLAIN) -> End:
    one = close_wait(config)
    one.connection.shutdown_send(0)
    one.out()
    return one


def time_wait(config: TcpConfig = PLAIN) -> End:
    one = fin_wait_2(config)
    say(one, FIN | ACK, ack=ISS + 2)
    return one


def reset(config: TcpConfig = PLAIN) -> End:
    """CLOSED by a reset."""
    one = in_flight(config)
    say(one, 4, IRS + 2001)
    return one


STATES: dict[Callable[[TcpConfig], End], State] = {
    closed: State.CLOSED,
    syn_unsent: State.SYN_SENT,
    syn_sent: State.SYN_SENT,
    syn_received: State.SYN_RECEIVED,
    syn_received_unanswered: State.SYN_RECEIVED,
    passive_syn_received: State.SYN_RECEIVED,
    established: State.ESTABLISHED,
    accepted: State.ESTABLISHED,
    in_flight: State.ESTABLISHED,
    gap: State.ESTABLISHED,
    hole: State.ESTABLISHED,
    fin_ahead: State.ESTABLISHED,
    told_ahead: State.ESTABLISHED,
    recovering: State.ESTABLISHED,
    timed_out: State.ESTABLISHED,
    probing: State.ESTABLISHED,
    full: State.ESTABLISHED,
    urgent: State.ESTABLISHED,
    fin_wait_1: State.FIN_WAIT_1,
    fin_wait_1_with_data: State.FIN_WAIT_1,
    fin_wait_2: State.FIN_WAIT_2,
    orphan: State.FIN_WAIT_2,
    close_wait: State.CLOSE_WAIT,
    close_wait_with_data: State.CLOSE_WAIT,
    closing: State.CLOSING,
    last_ack: State.LAST_ACK,
    time_wait: State.TIME_WAIT,
    reset: State.CLOSED,
}
