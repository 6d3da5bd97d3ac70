"""The TCP header and its options: exact bytes, every flag, every option, every way to be wrong."""

import struct

import pytest
from hypothesis import given

from synfin.engine.errors import DropReason, UsageError
from synfin.engine.segment import ACK, AE, FLAG_NAMES, PSH, SYN, Outgoing, Segment
from synfin.wire.errors import ParseError
from synfin.wire.tcp import build_tcp_header, parse_tcp
from synfin.wire.tcpoptions import Option, build_options, parse_options
from tests.wire.vectors import LINUX_SYN4, LINUX_SYN6, facts, outgoing, segment, with_timestamps

HEADER = bytes.fromhex("c000 0050 01020304 05060708 5010 1000 0000 0000")


def parse(data: bytes) -> Segment:
    return parse_tcp(data, 0, len(data))


def with_options(options: str, payload: bytes = b"") -> bytes:
    data = bytes.fromhex(options)
    return HEADER[:12] + bytes(((20 + len(data)) << 2,)) + HEADER[13:] + data + payload


def reason(data: bytes) -> DropReason:
    with pytest.raises(ParseError) as caught:
        parse(data)
    return caught.value.reason


def test_a_header_without_options_is_built_byte_by_byte() -> None:
    assert build_tcp_header(segment(), 49152, 80) == HEADER
    out = segment(PSH | ACK | AE, seq=0xFFFFFFFF, ack=0, window=0xFFFF)
    out.urgent = 0x1234
    assert build_tcp_header(out, 1, 65535) == bytes.fromhex("0001 ffff ffffffff 00000000 5118 ffff 0000 1234")


def linux_syn(seq: int, window: int, mss: int, tsval: int) -> Outgoing:
    out = with_timestamps(segment(SYN, seq=seq, ack=0, window=window), tsval, 0)
    out.mss, out.wscale, out.sack_permitted = mss, 10, True
    return out


def test_a_syn_has_the_bytes_that_linux_gives_it() -> None:
    out4 = linux_syn(0xF41E9EDF, 64240, 1460, 0x31F41CA9)
    out6 = linux_syn(0xDF840C01, 64800, 1440, 0x068C828F)
    for packet, start, out, port in ((LINUX_SYN4, 20, out4, 0xB3C2), (LINUX_SYN6, 40, out6, 0xAC40)):
        header = packet[start:]
        assert build_tcp_header(out, port, 80) == header[:16] + bytes(2) + header[18:]
        assert facts(parse_tcp(packet, start, len(packet))) == facts(out)


@pytest.mark.parametrize(("bit", "name"), FLAG_NAMES)
def test_each_of_the_nine_flags_has_its_bit(bit: int, name: str) -> None:
    data = build_tcp_header(segment(bit), 1, 2)
    assert data[12:14] == (0x5000 | bit).to_bytes(2, "big"), name
    assert parse(data).flags == bit


def test_reserved_bits_are_ignored() -> None:  # RFC 9293 3.1: must be ignored in received segments
    assert parse(HEADER[:12] + b"\x5e" + HEADER[13:]).flags == ACK


@pytest.mark.parametrize(
    ("change", "options"),
    [
        ({"mss": 1460}, "020405b4"),
        ({"wscale": 7}, "01030307"),
        ({"sack_permitted": True}, "01010402"),
        ({"sacks": ((1, 2),)}, "0101050a 00000001 00000002"),
        ({"sacks": ((1, 2), (3, 4), (5, 6), (7, 8))}, "01010522" + "".join(f"{n:08x}" for n in range(1, 9))),
        ({"has_timestamps": True, "tsval": 5, "tsecr": 6}, "0101080a 00000005 00000006"),
        ({"has_timestamps": True, "tsval": 5, "tsecr": 6, "sack_permitted": True}, "0402080a 00000005 00000006"),
        ({"has_timestamps": True, "sacks": ((9, 10),)}, "0101080a 00000000 00000000 0101050a 00000009 0000000a"),
        ({"mss": 536, "wscale": 0, "sack_permitted": True}, "02040218 01010402 01030300"),
    ],
)
def test_options_are_built_in_whole_words_and_read_back(change: dict[str, object], options: str) -> None:
    out = segment()
    for name, value in change.items():
        setattr(out, name, value)
    assert build_options(out) == bytes.fromhex(options)
    assert facts(parse(with_options(options))) == facts(out)


@given(outgoing())
def test_what_is_built_is_what_is_read(out: Outgoing) -> None:
    data = build_tcp_header(out, 1, 2) + out.payload
    assert facts(parse(data)) == facts(out)


def test_unknown_options_and_wrong_lengths_of_known_ones_are_skipped() -> None:
    plain = facts(parse(HEADER))
    for skipped in (
        "fe04f989", "1e020101",  # an experiment, MPTCP
        "02030501", "0205050505010101",  # MSS of 3 and 5 bytes
        "03020101", "0304070101010101", "04030001", "0802 0101", "080b0000000000000000000101010101"[:32],
        "05020101", "0506000000000101", "050c0000000000000000000001010101",
    ):  # fmt: skip
        assert facts(parse(with_options(skipped))) == plain, skipped
        assert parse(with_options(skipped + "020405b4")).mss == 1460, skipped


def test_nothing_after_the_end_of_options_is_read_and_of_two_alike_the_last_counts() -> None:
    assert parse(with_options("00 ff ff 08 020405b4")).mss == -1
    assert parse(with_options("020405b4 02040200")).mss == 0x200


def test_timestamps_are_read_wherever_they_stand() -> None:
    for options in ("080a0000000500000006 0101", "01 080a0000000500000006 00", "020405b4 0101 080a0000000500000006"):
        out = parse(with_options(options, b"text"))
        assert (out.has_timestamps, out.tsval, out.tsecr, bytes(out.payload)) == (True, 5, 6, b"text"), options


def test_a_window_scale_is_read_as_it_stands() -> None:
    assert parse(with_options("010303ff")).wscale == 255


@pytest.mark.parametrize(
    "options",
    ["02000101", "02010101", "01010102", "010102ff", "08ff0101", "fe050101", "0101fe03", "01010108"],
)
def test_an_option_of_impossible_length_is_an_error(options: str) -> None:
    assert reason(with_options(options, bytes(100))) == DropReason.TCP_OPTION
    data = bytes.fromhex(options)
    with pytest.raises(ParseError):
        parse_options(data, 0, len(data))


def test_the_options_are_listed_as_they_stand() -> None:
    assert parse_options(LINUX_SYN4, 40, 60) == [
        Option(2, bytes.fromhex("05b4")),
        Option(4, b""),
        Option(8, bytes.fromhex("31f41ca900000000")),
        Option(1, b""),
        Option(3, b"\x0a"),
    ]
    assert [option.name for option in parse_options(bytes.fromhex("1e04000000"), 0, 5)] == ["option 30"]


def test_a_data_offset_outside_of_the_segment_is_an_error() -> None:
    for words in range(16):
        data = HEADER[:12] + bytes((words << 4,)) + HEADER[13:]
        if words != 5:
            assert reason(data) == DropReason.TCP_HEADER
    assert {reason(HEADER[:size]) for size in range(20)} == {DropReason.TRUNCATED}
    assert reason(LINUX_SYN4[20:59]) == DropReason.TCP_HEADER


def test_the_segment_ends_where_it_is_told_to() -> None:
    data = b"xx" + HEADER + b"payload and what follows"
    parsed = parse_tcp(data, 2, 2 + 20 + 7)
    assert parsed.payload == b"payload"
    view = parse_tcp(memoryview(bytearray(data)), 2, 2 + 20 + 7).payload
    assert isinstance(view, memoryview)
    assert view == b"payload"


def test_what_does_not_fit_is_refused() -> None:
    crowded = with_timestamps(segment())
    crowded.sacks = ((1, 2),) * 4
    with pytest.raises(UsageError, match="48 bytes of options, a header has room for 40"):
        build_options(crowded)
    wide = segment()
    wide.wscale = 256
    with pytest.raises(struct.error):
        build_options(wide)
    with pytest.raises(struct.error):
        build_tcp_header(segment(), 65536, 80)
