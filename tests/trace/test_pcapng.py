"""The pcapng file: its blocks read back byte by byte, and what tshark makes of it."""

import struct
import subprocess
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pytest

from synfin.engine import segment as why
from synfin.trace.pcapng import pcapng_blocks, write_pcapng
from synfin.wire.packet import build_packet, verify_checksums
from tests.trace.hand import MS, Hand, X, Y, data, four_way_close, handshake, request, syn

Options = list[tuple[int, bytes]]


class Packet(NamedTuple):
    interface: int
    time: int
    data: bytes
    comments: list[str]
    direction: int
    number: int


class Capture(NamedTuple):
    header: bytes
    interfaces: list[Options]
    names: list[tuple[int, bytes]]
    packets: list[Packet]


def options(body: bytes) -> Options:
    found = []
    while body:
        code, length = struct.unpack_from("<HH", body)
        if code == 0:
            assert body == bytes(4)
            break
        found.append((code, body[4 : 4 + length]))
        body = body[4 + length + -length % 4 :]
    return found


def packet(body: bytes) -> Packet:
    interface, high, low, kept, length = struct.unpack_from("<IIIII", body)
    assert kept == length
    own = dict(options(body[20 + kept + -kept % 4 :]))
    comments = [value.decode() for code, value in options(body[20 + kept + -kept % 4 :]) if code == 1]
    number = int.from_bytes(own[5], "little")
    return Packet(interface, high << 32 | low, body[20 : 20 + kept], comments, own[2][0], number)


def read(raw: bytes) -> Capture:
    """A capture taken apart as the specification says."""
    capture = Capture(b"", [], [], [])
    while raw:
        kind, length = struct.unpack_from("<II", raw)
        assert length % 4 == 0
        assert raw[length - 4 : length] == raw[4:8]
        body, raw = raw[8 : length - 4], raw[length:]
        if kind == 0x0A0D0D0A:
            capture = capture._replace(header=body)
        elif kind == 1:
            assert struct.unpack_from("<HHI", body) == (101, 0, 0)
            capture.interfaces.append(options(body[8:]))
        elif kind == 4:
            capture.names.extend(options(body[:-4] + bytes(4)))
        else:
            assert kind == 6
            capture.packets.append(packet(body))
    return capture


def captured(hand: Hand) -> Capture:
    return read(b"".join(pcapng_blocks(hand.trace)))


def test_the_section_header_has_its_byte_order_and_version() -> None:
    header = captured(Hand()).header
    assert struct.unpack_from("<IHHq", header) == (0x1A2B3C4D, 1, 0, -1)


def test_there_is_one_interface_a_host_with_its_name_and_nanoseconds() -> None:
    hand = Hand()
    handshake(hand)
    assert captured(hand).interfaces == [[(2, b"client"), (9, b"\x09")], [(2, b"server"), (9, b"\x09")]]


def test_the_hosts_names_stand_beside_their_addresses() -> None:
    assert captured(Hand()).names == [(1, b"\x0a\0\0\1client\0"), (1, b"\x0a\0\0\2server\0")]


def test_a_packet_stands_on_both_interfaces_at_sending_and_at_arrival() -> None:
    hand = Hand()
    handshake(hand)
    packets = captured(hand).packets
    assert [(p.interface, p.time, p.direction, p.number) for p in packets] == [
        (0, 0, 2, 1),
        (1, 10 * MS, 1, 1),
        (1, 10 * MS, 2, 2),
        (0, 20 * MS, 1, 2),
        (0, 20 * MS, 2, 3),
        (1, 30 * MS, 1, 3),
    ]
    assert packets[0].data == packets[1].data == hand.trace.packets()[1].data


def test_times_above_32_bits_of_nanoseconds_keep_every_digit() -> None:
    hand = Hand()
    hand.arrive(120_000.000_001, "server", hand.send(120_000, "client", syn()))
    assert [p.time for p in captured(hand).packets] == [120_000_000_000, 120_000_000_001]


def test_a_lost_segment_stands_on_its_senders_interface_with_a_comment() -> None:
    hand = Hand()
    hand.lose(5, hand.send(0, "client", syn()), "queue full")
    assert [(p.interface, p.comments) for p in captured(hand).packets] == [(0, ["lost: queue full"])]


def test_a_retransmission_says_why() -> None:
    hand = Hand()
    hand.send(0, "client", syn(reason=why.RETRANSMIT_HANDSHAKE))
    assert captured(hand).packets[0].comments == ["sent again: handshake retransmission"]


def test_checksums_that_were_left_out_are_completed() -> None:
    hand = Hand()
    bare = build_packet(hand.key("client"), data(X, Y, b"hello"), identification=1, checksum=False)
    hand.trace.sent(0, "client", "server", 1, bare, data(X, Y, b"hello"))
    hand.trace.delivered(10, "server", "client", 1, bare)
    assert not verify_checksums(bare)
    assert [verify_checksums(p.data) for p in captured(hand).packets] == [True, True]


def test_a_corrupted_packet_arrives_with_the_bits_it_was_given() -> None:
    hand = Hand()
    number = hand.send(0, "client", data(X, Y, b"hello"))
    good = hand.trace.packets()[number].data
    bad = good[:-1] + bytes((good[-1] ^ 1,))
    hand.trace.corrupted(0, "client", "server", number, bad, (359,))
    hand.trace.delivered(10, "server", "client", number, bad)
    packets = captured(hand).packets
    assert [p.data for p in packets] == [good, bad]
    assert packets[1].comments == ["corrupted on the way: bit 359"]


def test_a_copy_says_of_what() -> None:
    hand = Hand()
    number = hand.send(0, "client", syn())
    sent = hand.trace.packets()[number]
    hand.trace.duplicated(0, "client", "server", number, sent.data, 50)
    hand.trace.delivered(10, "server", "client", 50, sent.data)
    assert [p.comments for p in captured(hand).packets] == [[], ["a copy of packet 1 that the network made"]]


def test_it_is_written_to_a_path_or_into_an_open_file(tmp_path: Path) -> None:
    hand = Hand()
    handshake(hand)
    target = BytesIO()
    write_pcapng(hand.trace, target)
    write_pcapng(hand.trace, tmp_path / "x.pcapng")
    assert target.getvalue() == (tmp_path / "x.pcapng").read_bytes() == b"".join(pcapng_blocks(hand.trace))


@pytest.mark.needs("tshark")
def test_tshark_opens_it_and_finds_nothing_malformed_and_no_bad_checksum(tmp_path: Path) -> None:
    hand = Hand()
    handshake(hand)
    request(hand)
    hand.lose(50, hand.send(45, "server", data(Y + 1, X + 6, b"gone")), "burst")
    four_way_close(hand)
    write_pcapng(hand.trace, tmp_path / "life.pcapng")
    fields = (
        "frame.interface_name", "frame.time_relative", "tcp.flags.str", "tcp.checksum.status", "ip.checksum.status",
        "_ws.malformed", "frame.comment",
    )  # fmt: skip
    command = ["tshark", "-r", str(tmp_path / "life.pcapng"), "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]
    command += ["-T", "fields", "-E", "separator=|"]
    for field in fields:
        command += ["-e", field]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = [line.split("|") for line in run.stdout.splitlines()]
    assert len(rows) == len(captured(hand).packets) == 19
    assert {(row[3], row[4], row[5]) for row in rows} == {("1", "1", "")}
    assert rows[1][:2] == ["server", "0.010000000"]
    assert [row[6] for row in rows if row[6]] == ["lost: burst"]
