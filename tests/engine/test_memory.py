"""What a connection keeps in memory: limits count what is really held, nothing small pins something large."""

import sys

import pytest

from synfin.engine.connection import Connection
from synfin.engine.observe import Observer
from synfin.engine.segment import ACK, Segment
from tests.engine.harness import PLAIN
from tests.rfc.build import IRS, ISS, established, hear, last, say

BIG = 60_000


def chunks(connection: Connection) -> list[bytes | memoryview]:
    """What waits to be read, as it lies there."""
    return list(connection.receiver._chunks or ())


def held(connection: Connection) -> int:
    """Bytes of memory behind what waits to be read."""
    return sum(
        sys.getsizeof(chunk.obj) + sys.getsizeof(chunk) if isinstance(chunk, memoryview) else sys.getsizeof(chunk)
        for chunk in chunks(connection)
    )


def test_a_payload_that_is_most_of_its_packet_is_kept_without_a_copy() -> None:
    packet = bytes(40) + bytes(1460)
    one = established()
    hear(one, ACK, payload=memoryview(packet)[40:])
    (chunk,) = chunks(one.connection)
    assert isinstance(chunk, memoryview) and chunk.obj is packet


@pytest.mark.parametrize("keep", [1, 100, BIG // 2 - 1])
def test_a_payload_that_is_less_than_half_of_its_packet_is_copied(keep: int) -> None:
    packet = bytes(BIG)
    one = established()
    hear(one, ACK, payload=memoryview(packet)[:keep])
    assert held(one.connection) < keep + 100


def test_a_payload_in_a_buffer_that_may_change_is_copied() -> None:
    buffer = bytearray(b"hello")
    one = established()
    hear(one, ACK, payload=memoryview(buffer))
    buffer[:] = b"xxxxx"
    assert one.connection.read(10, 0) == b"hello"


@pytest.mark.parametrize("way", ["read", "read_into", "join"])
def test_the_last_unread_byte_does_not_pin_the_whole_segment(way: str) -> None:
    one = established()
    if way == "join":
        hear(one, ACK, payload=bytes(2000))
        hear(one, ACK, IRS + 2001, payload=bytes(BIG))
        one.connection.read(2000 + BIG - 1, 0)
    else:
        hear(one, ACK, payload=bytes(BIG))
        if way == "read":
            one.connection.read(BIG - 1, 0)
        else:
            one.connection.read_into(bytearray(BIG - 1), 0)
    assert one.connection.readable() == 1
    assert held(one.connection) < 200
    assert one.connection.read(10, 0) == b"\0"


def test_reading_byte_by_byte_copies_no_more_than_twice_in_all() -> None:
    """The rest is copied each time it is less than half of what it pins: 1/2 + 1/4 + ..."""
    data = bytes(range(256)) * 64
    one = established()
    hear(one, ACK, payload=data)
    assert b"".join(one.connection.read(1, 0) for _ in range(len(data))) == data
    assert one.connection.receiver._chunks is None


def test_many_tiny_segments_do_not_cost_an_object_each() -> None:
    one = established()
    for number in range(20_000):
        one.connection.receive(seg(number, b"ab"), 0)
        one.out()
    assert one.connection.readable() == 40_000
    assert len(chunks(one.connection)) < 60
    assert held(one.connection) < 50_000
    assert one.connection.read(1 << 20, 0) == b"ab" * 20_000


def seg(number: int, payload: bytes) -> Segment:
    """The `number`-th tiny segment."""
    return Segment(IRS + 1 + len(payload) * number, ISS + 1, ACK, 60_000, payload)


def test_a_piece_out_of_order_is_kept_without_the_rest_of_its_packet() -> None:
    one = established()
    hear(one, ACK, IRS + 11, payload=bytes(10))
    hear(one, ACK, IRS + 1000, payload=bytes(40_000))
    hear(one, ACK, IRS + 21, payload=memoryview(bytes(BIG))[: IRS + 1000 - IRS - 21 + 5])
    reassembly = one.connection.receiver.reassembly
    assert reassembly is not None
    pieces = [data for run in reassembly.runs for data in run.chunks]
    total = sum(sys.getsizeof(data.obj if isinstance(data, memoryview) else data) for data in pieces)
    assert total < 43_000


def test_pieces_out_of_order_cost_no_more_than_the_window() -> None:
    """Each byte of the window is kept once, whatever comes how often."""
    one = established(PLAIN.replace(receive_buffer=5000))
    for start in (2, 500, 30, 2, 4000, 100):
        hear(one, ACK, IRS + start, payload=bytes(4500))
    reassembly = one.connection.receiver.reassembly
    assert reassembly is not None
    assert sum(run.size for run in reassembly.runs) == 4999


def test_acknowledged_writes_are_given_back_chunk_by_chunk() -> None:
    one = established()
    for _ in range(100):
        one.connection.write(bytes(8192), 0)
    written = one.connection.unacked()
    one.connection.sender.congestion.cwnd = 1 << 20
    one.out()
    hear(one, ACK, ack=ISS + 1 + 50_000)
    buffer = one.connection.sender.buffer
    kept = sum(len(chunk) for chunk in buffer._chunks or ())
    assert written - 50_000 <= kept < written - 50_000 + 8192
    hear(one, ACK, ack=ISS + 1 + 7 * 8192)
    assert sum(len(chunk) for chunk in buffer._chunks or ()) == written - 7 * 8192


def test_spent_chunks_leave_no_list_behind() -> None:
    one = established(PLAIN.replace(send_buffer=1 << 20))
    one.connection.sender.congestion.cwnd = 1 << 20
    acked = 0
    for _ in range(500):
        acked += one.connection.write(bytes(5000), 0)
        one.out()
        hear(one, ACK, ack=ISS + 1 + acked - 5000)
    assert len(one.connection.sender.buffer._chunks or ()) < 70


def test_a_thousand_writes_of_a_byte_make_few_chunks() -> None:
    one = established()
    for _ in range(10_000):
        one.connection.write(b"x", 0)
    assert len(one.connection.sender.buffer._chunks or ()) <= 4


def test_bytes_are_sent_as_views_of_what_was_written() -> None:
    data = bytes(30_000)
    one = established()
    one.connection.sender.gso_max = 65_000
    one.connection.sender.congestion.cwnd = 1 << 20
    one.connection.write(data, 0)
    payload = last(one).payload
    assert isinstance(payload, memoryview) and payload.obj is data


def test_an_idle_connection_holds_no_queue() -> None:
    one = established()
    one.connection.write(bytes(100), 0)
    one.out()
    say(one, ACK, ack=ISS + 101, payload=b"answer")
    one.connection.read(100, 0)
    one.out()
    while one.connection.next_event() is not None:
        pass
    c = one.connection
    assert (c.events, c.replies, c.receiver._chunks, c.receiver.reassembly, c.sender.marks) == (None,) * 5
    assert (c.sender.buffer._chunks, c.sender.buffer._starts) == (None, None)


def test_a_closed_connection_keeps_only_what_can_still_be_read() -> None:
    one = established()
    one.connection.write(bytes(5000), 0)
    hear(one, ACK, payload=b"keep")
    hear(one, ACK, IRS + 11, payload=bytes(3000))
    say(one, 4, IRS + 5)
    c = one.connection
    assert (c.receiver.reassembly, c.sender.buffer.size, c.sender.marks, c.replies) == (None, 0, None, None)
    assert c.read(10, 0) == b"keep"


def test_nothing_hot_has_a_dict() -> None:
    one = established()
    c = one.connection
    for thing in (c, c.sender, c.receiver, c.timers, c.sender.rtt, c.sender.congestion, c.sender.buffer, Observer()):
        assert isinstance(thing, Observer) or not hasattr(thing, "__dict__")
