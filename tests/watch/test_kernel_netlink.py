"""The messages of sock_diag: what is asked, what is read, and that no bytes can do worse than one documented error."""

import errno
import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synfin.engine.state import State
from synfin.watch import netlink
from synfin.watch.netlink import Diag, Dump, NetlinkError, SocketRow, parse, request

SOCK_DIAG, ERROR, DONE = 20, 2, 3
HERE, PEER = bytes((10, 0, 0, 1)), bytes((198, 51, 100, 1))
HERE6, PEER6 = bytes((0xFD, *bytes(14), 1)), bytes((0x20, 1, 0xD, 0xB8, *bytes(12)))
MAPPED = bytes(10) + b"\xff\xff"


def message(kind: int, body: bytes, *, sequence: int = 1, flags: int = 2) -> bytes:
    made = struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 99) + body
    return made + bytes(-len(made) % 4)


def listed(
    state: int, local: bytes, remote: bytes, *, family: int = socket.AF_INET, more: bytes = b"",
    queues: tuple[int, int] = (0, 0),
) -> bytes:  # fmt: skip
    numbers = struct.pack("=BBBB", family, state, 1, 3) + struct.pack("!HH", 80, 50_000)
    ends = local.ljust(16, b"\0") + remote.ljust(16, b"\0") + struct.pack("=III", 4, 0xFFFF_FFFF, 0xFFFF_FFFF)
    return numbers + ends + struct.pack("=IIIII", 700, *queues, 1000, 4321) + more


def attribute(kind: int, value: bytes) -> bytes:
    made = struct.pack("=HH", 4 + len(value), kind) + value
    return made + bytes(-len(made) % 4)


def read(data: bytes) -> list[SocketRow]:
    rows: list[SocketRow] = []
    parse(data, rows)
    return rows


def test_a_request_is_inet_diag_req_v2_with_a_bit_for_each_state() -> None:
    made = request(socket.AF_INET6, (State.LISTEN, State.SYN_RECEIVED), memory=True, sequence=7)
    wanted = struct.pack("=BBBBI", 10, 6, 0x40, 0, 1 << 10 | 1 << 3)
    assert made == struct.pack("=IHHII", 72, 20, 0x301, 7, 0) + wanted + bytes(48)


def test_a_request_for_all_asks_for_the_eleven_states() -> None:
    assert request(socket.AF_INET, netlink.ALL)[20:24] == struct.pack("=I", 0b1111_1111_1110)


def test_every_field_of_a_socket_is_read() -> None:
    data = message(SOCK_DIAG, listed(3, HERE, PEER))
    assert read(data) == [SocketRow(False, 3, 1, 3, HERE, 80, PEER, 50_000, 4, 700, 0, 0, 1000, 4321, None, False)]


def test_an_ipv6_socket_has_addresses_of_sixteen_bytes() -> None:
    (row,) = read(message(SOCK_DIAG, listed(1, HERE6, PEER6, family=socket.AF_INET6)))
    assert (row.v6, row.local, row.remote) == (True, HERE6, PEER6)


def test_mapped_addresses_come_out_as_ipv4_and_the_socket_stays_ipv6() -> None:
    (row,) = read(message(SOCK_DIAG, listed(3, MAPPED + HERE, MAPPED + PEER, family=socket.AF_INET6)))
    assert (row.v6, row.local, row.remote) == (True, HERE, PEER)


def test_a_listener_on_a_mapped_address_has_no_peer_of_either_family() -> None:
    (row,) = read(message(SOCK_DIAG, listed(10, MAPPED + HERE, bytes(16), family=socket.AF_INET6)))
    assert (row.local, row.remote) == (HERE, bytes(4))


def test_any_address_of_an_ipv6_listener_stays_sixteen_zeros() -> None:
    (row,) = read(message(SOCK_DIAG, listed(10, bytes(16), bytes(16), family=socket.AF_INET6)))
    assert (row.local, row.remote) == (bytes(16), bytes(16))


def test_a_listener_has_its_queue_its_limit_its_drops_and_v6only() -> None:
    memory = struct.pack("=9I", *range(100, 109))
    more = attribute(8, b"\x03") + attribute(7, memory) + attribute(11, b"\x01")
    (row,) = read(message(SOCK_DIAG, listed(10, HERE6, bytes(16), family=socket.AF_INET6, more=more, queues=(5, 128))))
    assert (row.receive_queue, row.send_queue, row.drops, row.only6) == (5, 128, 108, True)


def test_an_older_kernel_tells_no_drops() -> None:
    more = attribute(7, struct.pack("=8I", *range(8)))
    (row,) = read(message(SOCK_DIAG, listed(10, HERE, bytes(4), more=more)))
    assert row.drops is None


def test_several_messages_lie_one_after_the_other_until_the_last_says_done() -> None:
    data = message(SOCK_DIAG, listed(1, HERE, PEER)) * 3 + message(DONE, struct.pack("=i", 0))
    rows: list[SocketRow] = []
    assert parse(data, rows) == (True, False)
    assert len(rows) == 3
    assert parse(data[:-20], rows) == (False, False)


def test_an_interrupted_dump_is_told() -> None:
    rows: list[SocketRow] = []
    assert parse(message(SOCK_DIAG, listed(1, HERE, PEER), flags=2 | 0x10), rows) == (False, True)


def test_the_answer_to_another_request_is_stepped_over() -> None:
    rows: list[SocketRow] = []
    late = message(SOCK_DIAG, listed(1, HERE, PEER), sequence=6) + message(DONE, struct.pack("=i", 0), sequence=6)
    assert parse(late, rows) == (False, False)
    assert rows == []


@pytest.mark.parametrize(
    ("data", "number", "words"),
    [
        (message(ERROR, struct.pack("=i", -errno.EPERM)), errno.EPERM, "Operation not permitted"),
        (message(DONE, struct.pack("=i", -errno.ENOMEM)), errno.ENOMEM, "Cannot allocate memory"),
        (message(ERROR, struct.pack("=i", 0)), errno.EPROTO, "answered without a table"),
        (message(ERROR, b"\1"), errno.EPROTO, "without its number"),
        (message(4, b""), errno.EPROTO, "lost a part of the table"),
        (b"\1\2\3", errno.EPROTO, "3 bytes are no netlink message"),
        (message(SOCK_DIAG, listed(1, HERE, PEER))[:-8], errno.EPROTO, "a netlink message of 88 bytes where 80 are"),
        (struct.pack("=IHHII", 8, SOCK_DIAG, 2, 1, 0), errno.EPROTO, "a netlink message of 8 bytes where 16 are"),
        (message(SOCK_DIAG, listed(1, HERE, PEER)[:-4]), errno.EPROTO, "68 bytes are no inet_diag_msg"),
        (message(SOCK_DIAG, listed(10, HERE, PEER, more=b"\x09\0\7\0")), errno.EPROTO, "an attribute of 9 bytes where 4 are"),
        (message(SOCK_DIAG, listed(10, HERE, PEER, more=b"\x03\0\7\0")), errno.EPROTO, "an attribute of 3 bytes where 4 are"),
    ],
)
def test_what_is_wrong_is_said_in_one_error(data: bytes, number: int, words: str) -> None:
    with pytest.raises(NetlinkError, match=words) as caught:
        read(data)
    assert caught.value.errno == number


MESSAGES = st.builds(
    message,
    st.sampled_from((SOCK_DIAG, ERROR, DONE, 4, 77)),
    st.one_of(
        st.binary(max_size=120),
        st.builds(
            listed, st.integers(0, 255), st.just(HERE), st.just(PEER), family=st.integers(0, 255), more=st.binary(max_size=60)
        ),
    ),
    sequence=st.sampled_from((1, 1, 1, 2)),
    flags=st.integers(0, 65_535),
)


@given(st.lists(MESSAGES, max_size=4).map(b"".join), st.integers(0, 400), st.binary(max_size=8))
def test_any_bytes_are_rows_or_that_error(whole: bytes, at: int, put: bytes) -> None:
    data = whole[:at] + put + whole[at + len(put) :]
    rows: list[SocketRow] = []
    try:
        parse(memoryview(data), rows)
    except NetlinkError as error:
        assert error.strerror
    assert all(len(row) == 16 for row in rows)


def test_every_length_of_a_dump_that_was_cut_is_rows_or_that_error() -> None:
    whole = message(SOCK_DIAG, listed(10, HERE, PEER, more=attribute(7, bytes(36)))) + message(DONE, struct.pack("=i", 0))
    ends = []
    for length in range(len(whole) + 1):
        rows: list[SocketRow] = []
        try:
            parse(whole[:length], rows)
            ends.append((length, len(rows)))
        except NetlinkError:
            pass
    assert ends == [(0, 0), (128, 1), (148, 1)]


class Scripted(Diag):
    """Answers from a list instead of a kernel."""

    def __init__(self, answers: list[Dump]) -> None:
        self.answers = answers
        self.asked: list[int] = []

    def _ask(self, family: int, states: tuple[State, ...], memory: bool) -> Dump:
        self.asked.append(family)
        return self.answers.pop(0)


ROW = SocketRow(False, 1, 0, 0, HERE, 1, PEER, 2, 0, 0, 0, 0, 0, 0, None, False)


def test_an_interrupted_dump_is_asked_for_again() -> None:
    scripted = Scripted([Dump([ROW], True), Dump([ROW, ROW], False), Dump([], False)])
    assert scripted.dump() == Dump([ROW, ROW], False)
    assert scripted.asked == [socket.AF_INET, socket.AF_INET, socket.AF_INET6]


def test_a_dump_that_is_interrupted_each_time_is_taken_and_said_to_be_so() -> None:
    scripted = Scripted([Dump([], True), Dump([], True), Dump([ROW], True), Dump([ROW], False)])
    assert scripted.dump() == Dump([ROW, ROW], True)


def test_the_kernel_lists_a_listener_and_both_ends_of_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=3) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, Diag() as diag:
            mine = client.getsockname()[1]
            rows = [row for row in diag.dump(memory=True).rows if port in (row.local_port, row.remote_port)]
            shown = sorted((row.state, row.local_port, row.remote_port, row.receive_queue, row.send_queue) for row in rows)
            assert shown == sorted([(1, port, mine, 0, 0), (1, mine, port, 0, 0), (10, port, 0, 1, 3)])
            (listener,) = [row for row in rows if row.state == 10]
            assert (listener.inode, listener.uid, listener.drops) == (os.fstat(server.fileno()).st_ino, os.getuid(), 0)


def test_only_the_states_asked_for_are_listed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Diag() as diag:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            assert {row.state for row in diag.dump((State.LISTEN,)).rows} == {10}
            assert 10 not in {row.state for row in diag.dump((State.ESTABLISHED,)).rows}


def test_a_process_that_is_not_there_has_no_namespace() -> None:
    with pytest.raises(FileNotFoundError):
        Diag(2**22 + 1)
