"""A connection's whole life between two stacks: flags, SEQ, ACK, states at both ends, what is left in the table."""

import pytest

from synfin.device.memory import Sent
from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.errors import CloseReason
from synfin.engine.listener import Listener
from synfin.engine.observe import Watcher
from synfin.engine.segment import ACK
from synfin.engine.state import State
from synfin.engine.timewait import TimeWait
from tests.stack.harness import A4, B4, B6, PLAIN, SECOND, Net, shown


def kinds(net: Net) -> tuple[list[type], list[type]]:
    return [type(entry) for entry in net.a.sockets()], [type(entry) for entry in net.b.sockets()]


def test_three_segments_open() -> None:
    net = Net()
    listener = net.listen()
    connection = net.a.connect((None, 0), (B4, 80), 0)
    assert [shown(sent.out) for sent in net.device_a.outbox] == ["SYN seq=100"]  # at once, without `transmit`
    assert net.run() == ["A SYN seq=100", "B SYN,ACK seq=300 ack=101", "A ACK seq=101 ack=301"]
    assert connection.state is State.ESTABLISHED
    accepted = listener.accept(0)
    assert accepted is not None
    assert accepted.state is State.ESTABLISHED
    assert accepted.key == A4 + B4 + connection.key[-2:] + connection.key[-4:-2]
    assert net.b.counters.passive_opens == net.a.counters.active_opens == 1


def test_data_both_ways_and_four_segments_close() -> None:
    net = Net()
    ours, theirs = net.open(net.listen())
    net.send(net.a, ours, b"question")
    assert net.run() == ["A PSH,ACK seq=101 ack=301 len=8"]
    assert net.read(net.b, theirs) == b"question"
    net.send(net.b, theirs, b"answer")
    assert net.run() == ["B PSH,ACK seq=301 ack=109 len=6"]
    assert net.read(net.a, ours) == b"answer"
    ours.shutdown_send(0)
    net.a.attend(ours, 0)
    assert net.run()[0] == "A FIN,ACK seq=109 ack=307"
    assert (ours.state, theirs.state) == (State.FIN_WAIT_2, State.CLOSE_WAIT)
    net.send(net.b, theirs, b"more")
    net.run()
    assert net.read(net.a, ours) == b"more"
    net.close(net.b, theirs)
    log = net.run()
    assert log[0] == "B FIN,ACK seq=311 ack=110"
    assert log[-1] == "A ACK seq=110 ack=312"
    assert (ours.state, theirs.state) == (State.TIME_WAIT, State.CLOSED)
    assert kinds(net) == ([TimeWait], [Listener])
    net.until_quiet()
    assert ours.state is State.CLOSED
    assert kinds(net) == ([], [Listener])
    assert net.now == 120 * SECOND


def test_nothing_is_left_behind() -> None:
    net = Net()
    listener = net.listen()
    for _ in range(5):
        ours, theirs = net.open(listener)
        net.send(net.a, ours, b"x" * 20_000)
        net.run()
        net.read(net.b, theirs)
        net.close(net.b, theirs)
        net.run()
        net.close(net.a, ours)
        net.run()
    listener.close(net.now)
    net.b.attend(listener, net.now)
    net.until_quiet()
    assert kinds(net) == ([], [])
    assert net.a.next_deadline() == net.b.next_deadline() == NEVER
    assert net.a._schedule.earliest() == net.b._waits.earliest() == NEVER
    assert len(net.a._schedule) == len(net.b._schedule) == 0
    assert net.b._listening._listeners == {}


def test_a_connection_is_refused_by_a_reset() -> None:
    net = Net()
    connection = net.a.connect((None, 0), (B4, 81), 0)
    assert net.run() == ["A SYN seq=100", "B RST,ACK seq=0 ack=101"]
    assert connection.state is State.CLOSED
    assert connection.close_reason is CloseReason.REFUSED
    assert kinds(net) == ([], [])
    assert net.a.counters.failed_attempts == net.a.counters.resets_in == 1


def test_a_lost_syn_is_sent_again() -> None:
    net = Net()
    net.listen()
    net.lose = lambda who, sent: net.now == 0
    connection = net.a.connect((None, 0), (B4, 80), 0)
    assert net.run() == ["A SYN seq=100 lost"]
    assert net.a.next_deadline() == SECOND
    assert net.pass_time(SECOND) == ["A SYN seq=100", "B SYN,ACK seq=300 ack=101", "A ACK seq=101 ack=301"]
    assert connection.state is State.ESTABLISHED
    assert net.a.counters.retransmitted == 1


def test_a_lost_syn_ack_is_repeated_by_the_listener_and_by_the_syn() -> None:
    net = Net()
    listener = net.listen()
    net.lose = lambda who, sent: who == "B" and net.now == 0
    connection = net.a.connect((None, 0), (B4, 80), 0)
    net.run()
    assert list(listener.half_open_entries(7)) == [(A4 + B4 + connection.key[-2:] + b"\0\x50", 7, 1)]
    log = net.pass_time(SECOND)
    assert log[0] == "A SYN seq=100"
    assert set(log[1:-1]) == {"B SYN,ACK seq=300 ack=101", "A ACK seq=101 ack=301"}
    assert connection.state is State.ESTABLISHED
    assert listener.readable() == 1


def test_after_a_lost_third_segment_data_completes_the_handshake() -> None:
    net = Net()
    listener = net.listen()
    net.lose = lambda who, sent: sent.out.flags == ACK and not sent.out.payload and net.now == 0
    ours = net.a.connect((None, 0), (B4, 80), 0)
    net.run()
    assert listener.readable() == 0
    net.send(net.a, ours, b"data")
    net.run()
    theirs = listener.accept(0)
    assert theirs is not None
    assert theirs.read(10, 0) == b"data"


def test_data_given_to_connect_rides_on_the_third_segment() -> None:
    net = Net()
    listener = net.listen()
    net.a.connect((None, 0), (B4, 80), 0, data=b"hello")
    assert net.run()[2] == "A PSH,ACK seq=101 ack=301 len=5"
    theirs = listener.accept(0)
    assert theirs is not None
    assert theirs.read(10, 0) == b"hello"


def test_closing_a_listener_resets_what_waits_and_refuses_what_comes() -> None:
    net = Net()
    listener = net.listen()
    waiting = net.a.connect((None, 0), (B4, 80), 0)
    net.run()
    ours, theirs = net.open(listener)  # accepts the first; the second waits
    net.lose = lambda who, sent: sent.out.flags == ACK
    half_open = net.a.connect((None, 0), (B4, 80), 0)
    net.run()
    net.lose = lambda who, sent: False
    listener.close(0)
    net.b.attend(listener, 0)
    log = net.run()
    assert "B RST,ACK seq=301 ack=101" in log
    assert theirs.state is State.ESTABLISHED
    assert [waiting.state, ours.state].count(State.CLOSED) == 1
    net.send(net.a, half_open, b"anyone?")
    net.run()
    assert half_open.close_reason is CloseReason.RESET
    assert kinds(net)[1] == [Connection]
    with pytest.raises(AssertionError):
        net.open(listener)


def test_abort_sends_a_reset_and_both_tables_are_empty() -> None:
    net = Net()
    ours, theirs = net.open(net.listen())
    ours.abort(0)
    net.a.attend(ours, 0)
    assert net.run() == ["A RST,ACK seq=101 ack=301"]
    assert (ours.close_reason, theirs.close_reason) == (CloseReason.ABORTED, CloseReason.RESET)
    assert kinds(net) == ([], [Listener])
    assert net.b.counters.established_resets == net.b.counters.resets_in == 1


def test_a_half_open_connection_is_discovered() -> None:
    net = Net()
    listener = net.listen()
    ours, theirs = net.open(listener)
    net.b._table.pop(theirs.key)  # B has crashed and forgotten
    net.send(net.a, ours, b"hello?")
    assert net.run() == ["A PSH,ACK seq=101 ack=301 len=6", "B RST seq=301"]
    assert ours.close_reason is CloseReason.RESET


def test_simultaneous_open_between_bound_ports() -> None:
    net = Net()
    a = net.a.connect((None, 5000), (B4, 6000), 0)
    b = net.b.connect((None, 6000), (A4, 5000), 0)
    log = net.run()
    assert log[:2] == ["A SYN seq=100", "B SYN seq=300"]
    assert sorted(log[2:4]) == ["A SYN,ACK seq=100 ack=301", "B SYN,ACK seq=300 ack=101"]
    assert (a.state, b.state) == (State.ESTABLISHED, State.ESTABLISHED)


@pytest.mark.parametrize("remote", [B4, B6])
def test_a_megabyte_arrives_whole_over_a_lossy_link(remote: bytes) -> None:
    net = Net(TcpConfig(), checksum=True, isns=(None, None))
    ours, theirs = net.open(net.listen(), remote)
    data = bytes(i * i % 251 for i in range(250_000)) * 4
    count = 0

    def lose(who: str, sent: Sent) -> bool:
        nonlocal count
        count += 1
        return count % 19 == 0

    net.lose = lose
    sent, got = 0, bytearray()
    while len(got) < len(data):
        sent += net.send(net.a, ours, data[sent : sent + 70_000])
        net.pass_time(50_000_000)
        got += net.read(net.b, theirs)
    assert bytes(got) == data
    assert net.a.counters.retransmitted > 0


@pytest.mark.parametrize("gso", [False, True])
def test_super_segments_reach_only_a_device_that_cuts_them(gso: bool) -> None:
    net = Net(gso=gso)
    ours, theirs = net.open(net.listen())
    ours.sender.gso_max = 65_535
    net.send(net.a, ours, b"z" * 14_000)
    sizes = [len(sent.out.payload) for sent in net.device_a.outbox]
    if gso:
        assert max(sizes) > 1460
        assert [sent.out.gso_size for sent in net.device_a.outbox if len(sent.out.payload) > 1460] == [1460] * sum(
            size > 1460 for size in sizes
        )
    else:
        assert max(sizes) == 1460
        assert all(sent.out.payload or sent.out.flags for sent in net.device_a.outbox)
    net.run()
    while net.b.next_deadline() < SECOND or net.a.next_deadline() < SECOND:
        net.pass_time(SECOND // 10)
    assert net.read(net.b, theirs) == b"z" * 14_000


def test_identifications_count_and_fragments_are_forbidden() -> None:
    net = Net()
    net.listen()
    net.a.connect((None, 0), (B4, 80), 0)
    net.a.connect((None, 0), (B4, 80), 0)
    packets = [sent.packet for sent in net.device_a.outbox]
    assert [packet[4] << 8 | packet[5] for packet in packets] == [1, 2]
    assert all(packet[6] & 0x40 for packet in packets)


def test_the_observer_hears_of_every_segment_both_ways() -> None:
    net = Net()
    net.open(net.listen())
    assert net.notes_a.sent == net.notes_b.received == ["SYN seq=100", "ACK seq=101 ack=301"]
    assert net.notes_b.sent == net.notes_a.received == ["SYN,ACK seq=300 ack=101"]


def test_watchers_are_told_after_the_segments_have_gone() -> None:
    net = Net()
    listener = net.listen()
    told: list[str] = []

    class Bell(Watcher):
        def __init__(self, name: str) -> None:
            self.name = name

        def changed(self) -> None:
            told.append(f"{self.name} after {len(net.device_b.outbox)}")

    listener.watcher = Bell("listener")
    ours, theirs = net.open(listener)
    theirs.watcher = Bell("connection")
    told.clear()
    net.send(net.a, ours, b"x" * 2920)
    net.device_a.deliver(0)
    assert told == []
    net.b.transmit(0)
    assert told == ["connection after 1"]  # its ACK had gone
    net.run()
    net.a.connect((None, 0), (B4, 80), 0)
    told.clear()
    net.run()
    assert told == ["listener after 1", "listener after 0"]


def test_a_syn_that_is_never_followed_makes_no_object() -> None:
    net = Net(PLAIN)
    listener = net.listen()
    net.lose = lambda who, sent: who == "B"
    for _ in range(8):
        net.a.connect((None, 0), (B4, 80), 0)
    net.run()
    assert kinds(net)[1] == [Listener]
    assert listener.half_open == 8
