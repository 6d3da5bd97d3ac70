"""Random and mutated segments into a connection in every state, and two engines under every misfortune of a network.

Nothing may raise, every invariant of `engine/invariants.py` holds after each step, and in the second part the bytes read are
always the bytes written.
"""

import pickle
import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from synfin.engine import keepalive
from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.path import PathError
from synfin.engine.segment import ACK, FIN, PSH, RST, SYN, URG, Outgoing, Segment
from synfin.engine.state import State
from synfin.engine.timewait import TimeWait
from tests.engine.harness import A_KEY, B_KEY, MILLISECOND, SECOND, End, incoming
from tests.rfc.build import FULL, PLAIN, STATES, Watch

Build = Callable[[TcpConfig], End]
ROUNDS = 45  # connections a state and configuration
SEGMENTS = 32  # segments into each of them: 25 x 2 x 45 x 32 = 72,000
ODD = (0, 1, 2, 7, 1459, 1460, 1461, 65_535, 65_536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)


def near(rng: random.Random, *numbers: int) -> int:
    """One of `numbers`, or close to it, or anywhere."""
    kind = rng.randrange(10)
    if kind < 5:
        return rng.choice(numbers) & 0xFFFFFFFF
    if kind < 8:
        return (rng.choice(numbers) + rng.choice((-1, 1)) * rng.choice(ODD)) & 0xFFFFFFFF
    if kind < 9:
        return (rng.choice(numbers) + rng.randrange(-3000, 3000)) & 0xFFFFFFFF
    return rng.getrandbits(32)


def any_segment(rng: random.Random, one: End) -> Segment:
    """A segment that is wrong in a way a peer, an attacker or a wire may find."""
    c = one.connection
    receiver, sender = c.receiver, c.sender
    edge = receiver.rcv_edge
    flags = rng.choice((ACK, ACK, ACK, ACK | PSH, ACK | FIN, SYN, SYN | ACK, RST, RST | ACK, ACK | URG, rng.randrange(512)))
    seq = near(rng, receiver.rcv_nxt, receiver.rcv_nxt, edge, receiver.irs)
    ack = near(rng, sender.snd_una, sender.snd_nxt, sender.snd_nxt, sender.iss)
    payload = bytes(rng.choice((0, 0, 0, 1, 2, 10, 100, 1460, 5000, 65_000)))
    if rng.random() < 0.3:
        payload = memoryview(bytearray(len(payload) + 7))[3 : 3 + len(payload)].tobytes()
    segment = Segment(seq, ack, flags, rng.choice((0, 1, 10, 1000, 65_535, rng.getrandbits(16))), payload)
    segment.urgent = rng.choice((0, 1, 5, 1000, 65_535, rng.getrandbits(16)))
    segment.mss = rng.choice((-1, 0, 1, 536, 1460, 65_535))
    segment.wscale = rng.choice((-1, 0, 2, 14, 255))
    segment.segments = rng.choice((1, 1, 1, 2, 44))
    segment.sack_permitted = rng.random() < 0.5
    if rng.random() < (0.9 if c.agreed_timestamps else 0.3):
        segment.has_timestamps = True
        segment.tsval = near(rng, c.ts_recent, c.ts_recent + one.now // MILLISECOND)
        segment.tsecr = near(rng, c.timestamp(one.now))
    return segment


def any_call(rng: random.Random, one: End) -> None:
    """A call that the application might make now."""
    c = one.connection
    kind = rng.randrange(14)
    if kind < 4 and not c.sender.fin_queued and c.state.value in {"ESTABLISHED", "CLOSE-WAIT", "SYN-SENT", "SYN-RECEIVED"}:
        c.write(bytes(rng.choice((0, 1, 100, 5000))), one.now, rng.randrange(4))
    elif kind < 7:
        c.read(rng.choice((1, 100, 1 << 20)), one.now)
    elif kind == 7:
        c.set_option(rng.choice(("receive_buffer", "send_buffer")), rng.choice((1, 100, 1 << 20)), one.now)
    elif kind == 8:
        c.set_option(rng.choice(("nodelay", "oob_inline")), rng.randrange(2), one.now)
    elif kind == 9 and rng.random() < 0.3:
        c.shutdown_send(one.now)
    elif kind == 10 and rng.random() < 0.2:
        rng.choice((c.shutdown_receive, c.close, c.abort))(one.now)
    elif kind == 11:
        c.read_urgent()
    elif kind == 12:
        seq = near(rng, c.sender.snd_una, c.sender.snd_nxt)
        c.path_error(rng.choice(tuple(PathError)), seq, rng.choice((0, 68, 296, 600, 1400, 9000)), 1500, one.now)
    elif kind == 13:
        c.set_option(rng.choice(keepalive.OPTIONS), rng.choice((1, SECOND, 30 * SECOND)), one.now)


def checked(one: End, outs: list[Outgoing]) -> None:
    """What a device may rely on."""
    for out in outs:
        assert 0 <= out.window <= 65_535
        assert 0 <= out.urgent <= 65_535
        assert 0 <= out.seq < 1 << 32 and 0 <= out.ack < 1 << 32
        assert len(out.payload) <= max(out.gso_size, 65_535)
        assert not (out.flags & RST and out.payload)
        assert not (out.flags & SYN and out.payload)
        assert bool(out.flags & ACK) or out.flags & (SYN | RST)
        assert one.connection.sender.gso_max or len(out.payload) <= one.connection.sender.mss


@pytest.mark.parametrize("config", [PLAIN, FULL], ids=["plain", "options"])
@pytest.mark.parametrize("build", STATES, ids=lambda build: build.__name__)
def test_random_segments_calls_and_times_in_every_state_break_nothing(build: Build, config: TcpConfig) -> None:
    rng = random.Random(f"{build.__name__} {config.timestamps}")
    for turn in range(ROUNDS):
        one = build(config.replace(fast_path=turn % 3 > 0, receive_buffer=rng.choice((1, 100, 5000, 70_000, 262_144))))
        if turn % 4 == 0:
            one.connection.sender.gso_max = 65_000
        for _ in range(SEGMENTS):
            one.connection.receive(any_segment(rng, one), one.now)
            one.connection.check_invariants()
            if rng.random() < 0.2:
                any_call(rng, one)
                one.connection.check_invariants()
            if rng.random() < 0.7:
                checked(one, one.out(rng.choice((0, 1, 3000, 1 << 30))))
            if rng.random() < 0.2:
                deadline = one.connection.next_deadline()
                to_timer = deadline != NEVER and rng.random() < 0.7
                one.now = max(one.now, deadline) if to_timer else one.now + rng.randrange(SECOND)
                one.connection.handle_timers(one.now)
                one.connection.check_invariants()


def mutated(rng: random.Random, segment: Segment) -> Segment:
    """`segment` with one field changed."""
    kind = rng.randrange(9)
    if kind == 0:
        segment.flags ^= 1 << rng.randrange(9)
    elif kind == 1:
        segment.seq = (segment.seq + rng.choice((-1, 1)) * rng.choice(ODD)) & 0xFFFFFFFF
    elif kind == 2:
        segment.ack = (segment.ack + rng.choice((-1, 1)) * rng.choice(ODD)) & 0xFFFFFFFF
    elif kind == 3:
        segment.window = rng.getrandbits(16)
    elif kind == 4:
        segment.payload = bytes(segment.payload)[: rng.randrange(len(segment.payload) + 1)]
    elif kind == 5:
        segment.payload = bytes(segment.payload) + bytes(rng.randrange(20))
    elif kind == 6:
        segment.has_timestamps = not segment.has_timestamps
    elif kind == 7:
        segment.tsval = rng.getrandbits(32)
    else:
        segment.urgent, segment.flags = rng.getrandbits(16), segment.flags | URG
    return segment


@pytest.mark.parametrize("seed", range(60))
def test_two_engines_whose_segments_are_mutated_on_the_way_break_nothing(seed: int) -> None:
    rng = random.Random(seed)
    config = rng.choice((PLAIN, FULL)).replace(fast_path=bool(seed & 1), receive_buffer=rng.choice((200, 5000, 262_144)))
    ends = (End(A_KEY, rng.getrandbits(32), config), End(B_KEY, rng.getrandbits(32), config))
    for end in ends:
        end.connection.connect(0)
    now = 0
    for _ in range(400):
        for end, other in (ends, ends[::-1]):
            end.now = other.now = now
            for out in end.out():
                segment = incoming(out)
                if rng.random() < 0.1:
                    segment = mutated(rng, segment)
                if rng.random() < 0.9:
                    other.connection.receive(segment, now)
                    other.connection.check_invariants()
            any_call(rng, end)
            end.connection.check_invariants()
            end.connection.handle_timers(now)
        now += rng.choice((0, MILLISECOND, 50 * MILLISECOND, SECOND))


# --- two engines and a hostile network


class Network(RuleBasedStateMachine):
    """Two connected engines; each rule is something an application, a clock or a network may do."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.ends: list[End] = []
        self.written = [bytearray(), bytearray()]
        self.read = [bytearray(), bytearray()]
        self.wire: list[list[bytes]] = [[], []]  # pickled: a segment may be delivered twice
        self.observers = [Watch(), Watch()]
        self.tails: list[TimeWait | None] = [None, None]  # what a stack keeps of a connection in TIME-WAIT

    @initialize(
        fast=st.booleans(), options=st.booleans(), nagle=st.booleans(),
        buffers=st.sampled_from([(1, 50), (300, 300), (5000, 2000), (70_000, 70_000), (262_144, 262_144)]),
        near_wrap=st.booleans(), gso=st.booleans(), opened=st.sampled_from([True, True, True, False]),
    )  # fmt: skip
    def open(
        self, fast: bool, options: bool, nagle: bool, buffers: tuple[int, int], near_wrap: bool, gso: bool, opened: bool
    ) -> None:
        receive, send = buffers
        config = (FULL if options else PLAIN).replace(
            fast_path=fast, nagle=nagle, receive_buffer=receive, send_buffer=send, user_timeout=NEVER, syn_timeout=NEVER
        )
        first = 0xFFFFFFFF - 700 if near_wrap else 5
        for number, key in enumerate((A_KEY, B_KEY)):
            end = End(key, (first + 300 * number) & 0xFFFFFFFF, config, self.observers[number])
            end.connection.connect(0)
            if gso:
                end.connection.sender.gso_max = 20_000
            self.ends.append(end)
        for _ in range(3 if opened else 0):  # a simultaneous open, undisturbed
            for side in (0, 1):
                self.send(side, 1 << 30)
            for side in (0, 1):
                self.deliver(side, 10)

    @rule(side=st.integers(0, 1), size=st.sampled_from([1, 10, 100, 1459, 3000, 20_000]), more=st.booleans())
    def write(self, side: int, size: int, more: bool) -> None:
        c = self.ends[side].connection
        if c.sender.fin_queued or c.state not in (State.SYN_SENT, State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSE_WAIT):
            return
        at = len(self.written[side])
        data = bytes((at + index * 7) % 251 for index in range(size))
        self.written[side] += data[: c.write(data, self.now, 2 if more else 0)]

    @rule(side=st.integers(0, 1), size=st.sampled_from([1, 50, 1000, 1 << 20]))
    def take(self, side: int, size: int) -> None:
        self.read[1 - side] += self.ends[side].connection.read(size, self.now)

    @rule(side=st.integers(0, 1))
    def shut(self, side: int) -> None:
        c = self.ends[side].connection
        if c.established:
            c.shutdown_send(self.now)

    @rule(side=st.integers(0, 1), room=st.sampled_from([0, 1, 2000, 1 << 30]))
    def send(self, side: int, room: int) -> None:
        end = self.ends[side]
        end.now = self.now
        outs = end.out(room)
        tail = self.tails[side]
        if tail is not None:
            tail.transmit(self.now, outs, room)
        elif end.connection.state is State.TIME_WAIT:
            self.tails[side] = TimeWait(end.connection, self.now)
        for out in outs:
            out.payload = bytes(out.payload)
            self.wire[side].append(pickle.dumps(incoming(out)))

    def _arrive(self, side: int, index: int, keep: bool) -> None:
        queue = self.wire[side]
        if not queue:
            return
        data = queue[index % len(queue)] if keep else queue.pop(index % len(queue))
        if self.ends[1 - side].connection.state is State.TIME_WAIT and self.tails[1 - side] is None:
            self.send(1 - side, 1 << 30)
        receiver = self.tails[1 - side] or self.ends[1 - side].connection
        receiver.receive(pickle.loads(data), self.now)

    @rule(side=st.integers(0, 1), count=st.integers(1, 20))
    def deliver(self, side: int, count: int) -> None:
        for _ in range(count):
            self._arrive(side, 0, keep=False)

    @rule(side=st.integers(0, 1), index=st.integers(0, 50))
    def reorder(self, side: int, index: int) -> None:
        self._arrive(side, index, keep=False)

    @rule(side=st.integers(0, 1), index=st.integers(0, 50))
    def duplicate(self, side: int, index: int) -> None:
        self._arrive(side, index, keep=True)

    @rule(side=st.integers(0, 1), index=st.integers(0, 50))
    def drop(self, side: int, index: int) -> None:
        if self.wire[side]:
            del self.wire[side][index % len(self.wire[side])]

    @rule(milliseconds=st.sampled_from([0, 1, 40, 200, 1000, 60_000]))
    def wait(self, milliseconds: int) -> None:
        self.now += milliseconds * MILLISECOND
        for end in self.ends:
            end.now = self.now
            end.connection.handle_timers(self.now)

    @precondition(lambda self: bool(self.ends))
    @invariant()
    def holds(self) -> None:
        for side, end in enumerate(self.ends):
            end.connection.check_invariants()
            waiting = end.connection.peek(1 << 30)
            arrived = bytes(self.read[1 - side]) + waiting
            assert self.written[1 - side].startswith(arrived), "what is read is what was written, in order"
            assert not end.connection.peer_closed or arrived == self.written[1 - side], "the FIN comes after everything"
            assert end.connection.state is not State.CLOSED or end.connection.sender.fin_sent, "nobody gives up"

    def teardown(self) -> None:
        """Whatever happened: on a good network everything arrives and both sides end."""
        if not self.ends:
            return
        for end in self.ends:
            if end.connection.established:
                end.connection.shutdown_send(self.now)
        for _ in range(3000):
            for side in (0, 1):
                self.send(side, 1 << 30)
                self.deliver(side, len(self.wire[side]))
                self.take(side, 1 << 20)
                self.take(1 - side, 1 << 20)
                if self.ends[side].connection.established:
                    self.ends[side].connection.shutdown_send(self.now)
            self.holds()
            if all(end.connection.state in (State.CLOSED, State.TIME_WAIT) for end in self.ends):
                break
            due = min(end.connection.next_deadline() for end in self.ends)
            self.wait(max(0, -(-(due - self.now) // MILLISECOND)) if due != NEVER else 0)
        assert self.read == self.written
        assert all(end.connection.state in (State.CLOSED, State.TIME_WAIT) for end in self.ends)
        assert all(end.connection.timers.earliest() == NEVER for end in self.ends)


Network.TestCase.settings = settings(
    max_examples=400, stateful_step_count=60, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)  # fmt: skip
TestNetwork = Network.TestCase
