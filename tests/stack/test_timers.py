"""When a stack wants to be called again, and whom it wakes."""

import tracemalloc

from synfin.device.memory import MemoryDevice
from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.entry import Entry
from synfin.engine.segment import ACK_DELAYED, Outgoing, Segment
from synfin.engine.state import State
from synfin.stack.schedule import Schedule
from tests.stack.harness import A4, B4, MS, PLAIN, SECOND, Net, make_stack


class Dummy(Entry):
    """An entry whose deadline a test sets."""

    __slots__ = ("deadline", "handled")

    def __init__(self, key: bytes) -> None:
        super().__init__(key, None)
        self.deadline = NEVER
        self.handled: list[int] = []

    def receive(self, segment: Segment, now: int) -> None: ...

    def transmit(self, now: int, out: list[Outgoing], room: int) -> None: ...

    def handle_timers(self, now: int) -> None:
        self.handled.append(now)

    def next_deadline(self) -> int:
        return self.deadline


def test_a_schedule_gives_back_entries_in_the_order_of_their_deadlines() -> None:
    table: dict[bytes, Entry] = {bytes((i,)): Dummy(bytes((i,))) for i in range(5)}
    schedule = Schedule(table)
    for i, when in enumerate((30, 10, 20, 10, 40)):
        schedule.arm(table[bytes((i,))], when)
    assert schedule.earliest() == 10
    order = []
    while (entry := schedule.due(30)) is not None:
        assert entry.scheduled == NEVER
        order.append(entry.key[0])
    assert order == [1, 3, 2, 0]
    assert schedule.earliest() == 40


def test_an_earlier_deadline_makes_the_later_item_stale() -> None:
    entry = Dummy(b"k")
    schedule = Schedule({b"k": entry})
    schedule.arm(entry, 50)
    schedule.arm(entry, 20)
    assert schedule.due(20) is entry
    assert schedule.due(60) is None
    assert schedule.earliest() == NEVER


def test_deadlines_of_entries_that_are_gone_are_forgotten() -> None:
    table: dict[bytes, Entry] = {}
    schedule = Schedule(table)
    for i in range(1000):
        entry = Dummy(i.to_bytes(2, "big"))
        table[entry.key] = entry
        schedule.arm(entry, 1000 + i)
        del table[entry.key]
    assert len(schedule) <= 65
    assert schedule.earliest() == NEVER
    assert len(schedule) == 0


def test_a_stack_with_nothing_to_do_never_wants_to_be_called() -> None:
    stack = make_stack((A4,), MemoryDevice())
    assert stack.next_deadline() == NEVER
    stack.handle_timers(SECOND)
    stack.transmit(SECOND)
    assert stack.next_deadline() == NEVER


def test_what_was_received_wants_a_transmit_at_once() -> None:
    net = Net()
    ours, _ = net.open(net.listen())
    net.send(net.a, ours, b"x")
    net.device_a.deliver(0)
    assert net.b.next_deadline() == 0
    net.b.transmit(0)
    assert net.b.next_deadline() == 40 * MS
    net.b.handle_timers(40 * MS)
    assert net.b.next_deadline() == 0
    net.b.transmit(40 * MS)
    (sent,) = net.device_b.outbox
    assert sent.out.reason == ACK_DELAYED


def test_timers_handled_too_early_or_too_late_do_no_harm() -> None:
    net = Net()
    ours, theirs = net.open(net.listen())
    net.send(net.a, ours, b"x")
    for now in (0, 1, 100 * MS):
        net.now = now
        net.a.handle_timers(now)
        net.b.handle_timers(now)
        net.run()
    assert net.read(net.b, theirs) == b"x"
    assert net.a.counters.retransmitted == 0


def test_an_idle_connection_has_no_deadline_once_the_last_has_come_early() -> None:
    net = Net()
    listener = net.listen()
    ours, theirs = net.open(listener)
    net.send(net.a, ours, b"x")
    net.until_quiet()
    assert (ours.state, theirs.state) == (State.ESTABLISHED, State.ESTABLISHED)
    assert net.next() == NEVER
    assert len(net.a._schedule) == len(net.b._schedule) == 0


def test_the_driver_is_woken_only_when_the_deadline_has_moved_forward() -> None:
    woken: list[int] = []
    device = MemoryDevice()
    stack = make_stack((A4,), device, PLAIN, isn=100, wake=lambda: woken.append(1))
    assert stack.next_deadline() == NEVER
    stack.connect((None, 0), (B4, 80), 0)
    assert len(woken) == 1  # the SYN's timer
    stack.connect((None, 0), (B4, 80), 0)
    assert len(woken) == 1  # not earlier than what was announced
    assert stack.next_deadline() == SECOND
    stack.connect((None, 0), (B4, 80), 10)
    assert len(woken) == 1
    stack.connect((None, 0), (A4, 80), 10)  # to itself: there is something to transmit
    assert len(woken) == 2


def test_an_established_idle_connection_takes_3_kb_or_less_without_its_socket() -> None:
    count = 2000
    net = Net(TcpConfig(), isns=(None, None))
    for stack in (net.a, net.b):
        stack.observer = stack._tally.observer = None
    listener = net.listen()
    keep: list[Connection] = []
    keep.extend(net.open(listener))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(count):
        ours, theirs = net.open(listener)
        net.send(net.a, ours, b"1")
        net.run()
        net.read(net.b, theirs)
        net.now += 1000
    net.until_quiet()
    each = (tracemalloc.get_traced_memory()[0] - before) / (2 * count)
    tracemalloc.stop()
    assert sum(isinstance(entry, Connection) for entry in net.b.sockets()) == count + 1
    assert each <= 3000, each
    assert keep
