"""Events and the trace that collects them: names, order, filters, JSON."""

import json

from synfin.engine import segment as why
from synfin.engine.errors import DropReason
from synfin.engine.segment import Outgoing
from synfin.engine.state import State, Trigger
from synfin.trace.events import (
    INJECTED,
    Called,
    Dropped,
    Fault,
    SegmentDelivered,
    StateChanged,
    connection_name,
    event_to_json,
)
from synfin.wire.packet import build_packet
from tests.trace.hand import CLIENT, CONNECTION, MS, SERVER, SERVER_PORT, Hand, X, Y, ack, data, handshake, request, syn

SIX = bytes.fromhex("fd000000000000000000000000000001"), bytes.fromhex("fd000000000000000000000000000002")


def test_both_ends_give_a_connection_the_same_name() -> None:
    hand = Hand()
    assert connection_name(hand.key("client")) == connection_name(hand.key("server")) == CONNECTION


def test_a_name_is_ordered_by_address_and_then_by_port_as_a_number() -> None:
    key = CLIENT + CLIENT + (80).to_bytes(2, "big") + (9).to_bytes(2, "big")
    assert connection_name(key) == "10.0.0.1:9 10.0.0.1:80"


def test_an_ipv6_address_stands_in_brackets() -> None:
    key = SIX[0] + SIX[1] + (5000).to_bytes(2, "big") + (80).to_bytes(2, "big")
    assert connection_name(key) == "[fd00::1]:5000 [fd00::2]:80"


def test_a_listener_is_named_by_its_own_end_alone() -> None:
    assert connection_name(bytes(4) + SERVER + bytes(2) + SERVER_PORT) == "10.0.0.2:80"
    assert connection_name(b"") == ""


def test_a_trace_keeps_the_order_and_tells_which_connections_it_has_seen() -> None:
    hand = Hand()
    handshake(hand)
    trace = hand.trace
    assert [event.time for event in trace] == sorted(event.time for event in trace)
    assert trace.hosts == ["client", "server"]
    assert trace.connections() == [CONNECTION]
    assert len(trace) == len(list(trace)) == len(trace.events)
    assert [type(event).__name__ for event in trace.of("10.0.0.2:80")] == ["StateChanged"]
    assert all(event.connection == CONNECTION for event in trace.of(CONNECTION))


def test_a_sent_segment_tells_what_is_in_it_and_why() -> None:
    hand = Hand()
    packet = hand.send(0, "client", data(X, Y, b"hello", why.RETRANSMIT_TIMEOUT))
    event = hand.trace.packets()[packet]
    assert (event.seq, event.ack, event.flags, event.window, event.length) == (X, Y, why.ACK | why.PSH, 16_384, 5)
    assert event.retransmission
    assert event.reason_name == "retransmission timeout"
    assert (event.host, event.peer, event.connection) == ("client", "server", CONNECTION)


def test_what_no_stack_built_is_injected() -> None:
    hand = Hand()
    hand.trace.sent(0, "client", "server", 7, build_packet(hand.key("client"), syn(), identification=1), None)
    event = hand.trace.packets()[7]
    assert event.reason == INJECTED
    assert event.reason_name == "injected"
    assert not event.retransmission


def test_a_move_names_the_packet_that_caused_it_and_a_call_or_timer_none() -> None:
    hand = Hand()
    handshake(hand)
    moves = [(e.host, e.new, e.packet) for e in hand.trace if isinstance(e, StateChanged)]
    assert moves == [
        ("server", State.LISTEN, -1),
        ("client", State.SYN_SENT, -1),
        ("server", State.SYN_RECEIVED, 1),
        ("client", State.ESTABLISHED, 2),
        ("server", State.ESTABLISHED, 3),
    ]


def test_a_drop_names_the_packet_even_when_the_stack_could_not_read_it() -> None:
    hand = Hand()
    packet = hand.send(0, "client", syn())
    hand.arrive(10, "server", packet)
    hand.watch["server"].dropped(10 * MS, b"", DropReason.TCP_CHECKSUM, None)
    event = hand.trace.events[-1]
    assert isinstance(event, Dropped)
    assert (event.packet, event.connection) == (packet, CONNECTION)


def test_a_drop_at_another_time_names_no_packet() -> None:
    hand = Hand()
    hand.arrive(10, "server", hand.send(0, "client", syn()))
    hand.watch["server"].dropped(11 * MS, b"", DropReason.NOT_TCP, None)
    event = hand.trace.events[-1]
    assert isinstance(event, Dropped)
    assert (event.packet, event.connection) == (-1, "")


def test_a_call_tells_how_long_it_blocked() -> None:
    hand = Hand()
    handshake(hand)
    calls = {e.call: e for e in hand.trace if isinstance(e, Called)}
    assert calls["connect"].blocked == 20 * MS
    assert calls["listen"].blocked == 0


def test_a_fault_of_a_host_has_that_host() -> None:
    hand = Hand()
    hand.trace.fault(5, "host crashed", "server")
    hand.trace.fault(6, "link cut", "client-server")
    assert [(e.host, e.subject) for e in hand.trace if isinstance(e, Fault)] == [("server", "server"), ("", "client-server")]


def test_every_event_goes_through_json_with_time_host_and_connection() -> None:
    hand = Hand()
    handshake(hand)
    request(hand)
    lines = [json.loads(json.dumps(line)) for line in hand.trace.to_json()]
    assert len(lines) == len(hand.trace)
    assert all({"event", "time", "host", "connection"} <= set(line) for line in lines)


def test_a_segment_in_json_has_raw_and_relative_numbers_and_its_options() -> None:
    hand = Hand()
    handshake(hand)
    sent = [line for line in hand.trace.to_json() if line["event"] == "segment sent"]
    assert sent[1] == {
        "event": "segment sent",
        "time": 10 * MS,
        "host": "server",
        "connection": CONNECTION,
        "packet": 2,
        "peer": "client",
        "source": "10.0.0.2:80",
        "destination": "10.0.0.1:49152",
        "flags": "SYN,ACK",
        "seq": Y,
        "ack": X + 1,
        "window": 65_535,
        "length": 0,
        "relative_seq": 0,
        "relative_ack": 1,
        "mss": 1460,
        "wscale": 2,
        "reason": "SYN-ACK",
        "retransmission": False,
    }


def test_states_in_json_are_written_as_the_rfc_writes_them() -> None:
    event = StateChanged(5, "server", CONNECTION, State.LISTEN, Trigger.SYN, State.SYN_RECEIVED, 1)
    assert event_to_json(event) == {
        "event": "state changed",
        "time": 5,
        "host": "server",
        "connection": CONNECTION,
        "old": "LISTEN",
        "new": "SYN-RECEIVED",
        "trigger": "rcv SYN",
        "packet": 1,
    }


def test_a_packet_that_is_not_tcp_is_told_with_its_bytes() -> None:
    event = SegmentDelivered(5, "server", "", "client", 9, b"\x60nonsense")
    told = event_to_json(event)
    assert told["bytes"] == b"\x60nonsense".hex()
    assert "unreadable" in told
    json.dumps(told)


def test_a_sack_block_is_told_as_its_edges() -> None:
    out: Outgoing = ack(Y, X)
    out.sacks = ((X + 10, X + 20),)
    hand = Hand()
    packet = hand.send(0, "server", out)
    event = hand.trace.packets()[packet]
    assert event_to_json(event)["sacks"] == [[X + 10, X + 20]]
