"""TIME-WAIT in a stack: the swap, late segments, reuse by RFC 6191, limits and memory."""

import tracemalloc

import pytest

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.errors import DropReason
from synfin.engine.listener import Listener
from synfin.engine.segment import ACK, FIN, RST, SYN
from synfin.engine.state import State, Trigger
from synfin.engine.timewait import TimeWait
from synfin.stack.schedule import TimeWaits
from tests.stack.harness import A4, B4, PLAIN, SECOND, Net, packet


def waiting_at_b(net: Net, listener: Listener, port: int = 5000) -> TimeWait:
    """A connection from A's `port` to B's port 80, closed first by B."""
    ours, theirs = net.open(listener, port=port)
    net.close(net.b, theirs)
    net.run()
    net.close(net.a, ours)
    net.run()
    entry = net.b._table[theirs.key]
    assert isinstance(entry, TimeWait)
    assert list(net.a.sockets()) == []
    return entry


def test_a_lost_last_ack_is_repeated_for_the_repeated_fin_and_2msl_start_anew() -> None:
    net = Net()
    ours, theirs = net.open(net.listen())
    net.close(net.b, theirs)
    net.run()
    net.lose = lambda who, sent: who == "B"
    net.close(net.a, ours)
    assert net.run() == ["A FIN,ACK seq=101 ack=302", "B ACK seq=302 ack=102 lost"]
    assert ours.state is State.LAST_ACK
    net.lose = lambda who, sent: False
    began = net.now
    log = net.pass_time(2 * SECOND)
    assert log == ["A FIN,ACK seq=101 ack=302", "B ACK seq=302 ack=102"]
    assert ours.state is State.CLOSED
    net.until_quiet()
    assert net.now > began + 120 * SECOND
    assert [type(entry) for entry in net.b.sockets()] == [Listener]


def test_a_connection_still_held_by_its_user_can_be_read_in_time_wait() -> None:
    net = Net()
    ours, theirs = net.open(net.listen())
    theirs.shutdown_send(0)
    net.b.attend(theirs, 0)
    net.send(net.a, ours, b"last words")
    net.close(net.a, ours)
    net.run()
    entry = net.b._table[theirs.key]
    assert isinstance(entry, TimeWait)
    assert entry.connection is theirs
    assert net.read(net.b, theirs) == b"last words"
    net.close(net.b, theirs)
    assert entry.connection is None


def test_2msl_end_the_connection_too() -> None:
    net = Net()
    ours, theirs = net.open(net.listen())
    theirs.shutdown_send(0)
    net.b.attend(theirs, 0)
    net.run()
    net.close(net.a, ours)
    net.run()
    assert theirs.state is State.TIME_WAIT
    net.until_quiet()
    assert theirs.state is State.CLOSED
    assert net.notes_b.moves[-1] == (State.TIME_WAIT, Trigger.TWO_MSL, State.CLOSED)


# --- reuse


@pytest.mark.parametrize("stamps", [False, True])
def test_a_new_syn_reopens_and_gets_a_larger_number(stamps: bool) -> None:
    net = Net(TcpConfig() if stamps else PLAIN)
    listener = net.listen()
    entry = waiting_at_b(net, listener)
    assert entry.snd_nxt == 302
    net.now += 1_000_000_000
    if not stamps:
        net.a._isn = lambda key, now: 10_000
    ours = net.a.connect((None, 5000), (B4, 80), net.now)
    log = net.run()
    assert log[1].startswith("B SYN,ACK seq=128302")  # 300 again would not be above 302
    assert ours.state is State.ESTABLISHED
    assert net.notes_b.moves[-3:] == [
        (State.TIME_WAIT, Trigger.REUSE, State.CLOSED),
        (State.LISTEN, Trigger.SYN, State.SYN_RECEIVED),
        (State.SYN_RECEIVED, Trigger.ACK_OF_SYN, State.ESTABLISHED),
    ]
    assert net.b._waits.count == 0
    assert net.b._waits.earliest() == NEVER


def test_an_old_syn_is_challenged_and_the_reset_that_follows_frees_the_port() -> None:
    net = Net()
    listener = net.listen()
    waiting_at_b(net, listener)
    net.a._isn = lambda key, now: 50
    ours = net.a.connect((None, 5000), (B4, 80), net.now)
    assert net.run() == ["A SYN seq=50", "B ACK seq=302 ack=102", "A RST seq=102"]
    assert net.notes_b.moves[-1] == (State.TIME_WAIT, Trigger.RESET, State.CLOSED)
    assert net.pass_time(SECOND)[0] == "A SYN seq=50"
    assert ours.state is State.ESTABLISHED


def test_without_a_listener_nothing_reopens() -> None:
    net = Net()
    listener = net.listen()
    entry = waiting_at_b(net, listener)
    listener.close(0)
    net.b.attend(listener, 0)
    net.b.receive_packet(packet(A4, 5000, B4, 80, SYN, 10_000), 0)
    net.b.transmit(0)
    assert net.run() == ["B ACK seq=302 ack=102", "A RST seq=102"]
    assert entry.state is State.CLOSED


def test_reuse_can_be_forbidden() -> None:
    net = Net(PLAIN.replace(time_wait_reuse=False))
    entry = waiting_at_b(net, net.listen())
    net.b.receive_packet(packet(A4, 5000, B4, 80, SYN, 10_000), 0)
    net.b.transmit(0)
    assert entry.state is State.TIME_WAIT
    assert net.b.counters.dropped(DropReason.SYN_IN_WINDOW) == 1


def test_a_full_accept_queue_does_not_keep_a_time_wait_alive() -> None:
    net = Net()
    listener = net.b.listen((None, 80), 0, 0)
    entry = waiting_at_b(net, listener)
    net.a.connect((None, 0), (B4, 80), 0)
    net.run()
    net.b.receive_packet(packet(A4, 5000, B4, 80, SYN, 10_000), 0)
    net.b.transmit(0)
    assert entry.state is State.CLOSED
    assert net.b.counters.dropped(DropReason.ACCEPT_QUEUE_FULL) == 1


# --- limits


def test_the_oldest_goes_when_there_are_too_many() -> None:
    net = Net(time_wait_limit=3)
    listener = net.listen()
    entries = []
    for i in range(5):
        net.now = i
        entries.append(waiting_at_b(net, listener, 5000 + i))
        assert net.b._waits.count == min(i + 1, 3)
    assert [entry.state for entry in entries] == [State.CLOSED] * 2 + [State.TIME_WAIT] * 3
    assert net.b.counters.time_wait_overflow == 2
    assert len(list(net.b.sockets())) == 4


def test_a_restarted_entry_is_no_longer_the_oldest() -> None:
    net = Net(time_wait_limit=2)
    listener = net.listen()
    first = waiting_at_b(net, listener, 5000)
    second = waiting_at_b(net, listener, 5001)
    net.now = 10
    net.b.receive_packet(packet(A4, 5000, B4, 80, FIN | ACK, 101, 302), 10)
    net.b.transmit(10)
    net.device_b.outbox.clear()
    waiting_at_b(net, listener, 5002)
    assert (first.state, second.state) == (State.TIME_WAIT, State.CLOSED)


def test_a_flood_of_fins_takes_no_memory() -> None:
    net = Net()
    listener = net.listen()
    for i in range(2):
        waiting_at_b(net, listener, 5000 + i)
    for i in range(1000):
        net.now += 1
        net.b.receive_packet(packet(A4, 5000 + i % 2, B4, 80, FIN | ACK, 101, 302), net.now)
        net.b.transmit(net.now)
    assert sum(len(queue) for queue in net.b._waits._queues.values()) <= 70
    net.device_b.outbox.clear()
    assert net.b._waits.earliest() == net.now - 1 + 120 * SECOND
    net.until_quiet()
    assert net.now == 1000 + 120 * SECOND
    assert net.b._waits.count == 0


def test_each_length_of_2msl_has_its_own_queue() -> None:
    net = Net()
    listener = net.listen()
    a = waiting_at_b(net, listener, 5000)
    listener.config = PLAIN.replace(msl=SECOND)
    net.now = 5
    b = waiting_at_b(net, listener, 5001)
    assert net.b._waits.earliest() == 5 + 2 * SECOND
    assert net.b._waits.oldest() is a
    net.pass_time(2 * SECOND)
    assert (a.state, b.state) == (State.TIME_WAIT, State.CLOSED)
    assert net.b.next_deadline() == 120 * SECOND
    assert list(net.b._waits._queues) == [120 * SECOND]


def test_an_msl_of_zero_ends_at_once() -> None:
    net = Net(PLAIN.replace(msl=0))
    ours, theirs = net.open(net.listen())
    net.close(net.b, theirs)
    net.run()
    net.close(net.a, ours)
    net.until_quiet()
    assert [type(entry) for entry in net.b.sockets()] == [Listener]


def test_a_reset_in_time_wait_frees_the_place() -> None:
    net = Net()
    entry = waiting_at_b(net, net.listen())
    net.b.receive_packet(packet(A4, 5000, B4, 80, RST, 102), 0)
    net.b.transmit(0)
    assert entry.state is State.CLOSED
    assert net.b._waits.count == 0
    assert net.b._waits.oldest() is None


def test_an_empty_queue_has_no_deadline() -> None:
    waits = TimeWaits(5)
    assert (waits.earliest(), waits.oldest(), waits.due(5)) == (NEVER, None, None)


# --- memory


def test_a_connection_in_time_wait_takes_600_bytes_or_less_with_its_place_in_table_and_queue() -> None:
    count = 5000
    net = Net(TcpConfig(), isns=(None, None))
    net.b.observer = net.b._tally.observer = None
    net.a.observer = net.a._tally.observer = None
    listener = net.listen()

    def one(port: int) -> None:
        ours, theirs = net.open(listener, port=port)
        net.now += 1_000_003
        net.close(net.b, theirs)
        net.run()
        net.close(net.a, ours)
        net.run()

    for port in range(1000, 1100):
        one(port)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for port in range(2000, 2000 + count):
        one(port)
    net.pass_time(5 * SECOND)  # deadlines of connections that are gone come up and go
    each = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    assert sum(isinstance(entry, TimeWait) for entry in net.b.sockets()) == count + 100
    assert not any(isinstance(entry, Connection) for entry in net.b.sockets())
    assert each <= 600, each
