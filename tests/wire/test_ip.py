"""IPv4 and IPv6 headers: exact bytes, every field, every way to be wrong."""

import pytest

from synfin.engine.errors import DropReason
from synfin.wire.errors import ParseError
from synfin.wire.ip4 import build_ip4, parse_ip4
from synfin.wire.ip6 import Ip6Header, build_ip6, parse_ip6
from tests.wire.vectors import LINUX_SOLICITATION, LINUX_SYN4, LINUX_SYN6, slow_sum

A4, B4 = bytes((10, 77, 0, 1)), bytes((10, 77, 0, 2))
A6, B6 = LINUX_SYN6[8:24], LINUX_SYN6[24:40]


def reason4(packet: bytes) -> DropReason:
    with pytest.raises(ParseError) as caught:
        parse_ip4(packet)
    return caught.value.reason


def reason6(packet: bytes) -> DropReason:
    with pytest.raises(ParseError) as caught:
        parse_ip6(packet)
    return caught.value.reason


def with_bytes(packet: bytes, at: int, new: str) -> bytes:
    data = bytes.fromhex(new)
    return packet[:at] + data + packet[at + len(data) :]


def test_the_header_that_linux_made_is_read_field_by_field() -> None:
    header = parse_ip4(LINUX_SYN4)
    assert (header.version, header.source, header.destination) == (4, A4, B4)
    assert (header.protocol, header.ttl, header.tos, header.identification) == (6, 64, 0, 0x5922)
    assert (header.flags, header.offset, header.fragment) == (0x4000, 0, False)
    assert (header.header_length, header.end, header.checksum) == (20, 60, 0xCCFD)


def test_the_header_that_linux_made_is_built_byte_by_byte() -> None:
    assert build_ip4(A4, B4, 40, identification=0x5922) == LINUX_SYN4[:20]
    assert build_ip4(A4, B4, 40, identification=0x5922, with_checksum=False) == with_bytes(LINUX_SYN4[:20], 10, "0000")


def test_every_field_of_an_ipv4_header_survives_the_round_trip() -> None:
    data = build_ip4(B4, A4, 7, protocol=17, identification=65535, ttl=1, tos=0xB9, flags=0x2000)
    header = parse_ip4(data + bytes(7))
    assert (header.source, header.destination, header.protocol, header.ttl, header.tos) == (B4, A4, 17, 1, 0xB9)
    assert (header.identification, header.flags, header.fragment, header.end) == (65535, 0x2000, True, 27)
    assert slow_sum(data) == 0xFFFF


def test_options_count_as_header_and_padding_lies_beyond_the_end() -> None:
    packet = with_bytes(LINUX_SYN4, 0, "46 00 0040")[:20] + bytes(4) + LINUX_SYN4[20:] + b"padding"
    header = parse_ip4(packet)
    assert (header.header_length, header.end, len(packet)) == (24, 64, 71)


@pytest.mark.parametrize(
    ("word", "offset", "fragment"),
    [("4000", 0, False), ("8000", 0, False), ("2000", 0, True), ("0001", 8, True), ("3fff", 65528, True)],
)
def test_a_fragment_is_one_with_an_offset_or_more_to_come(word: str, offset: int, fragment: bool) -> None:
    header = parse_ip4(with_bytes(LINUX_SYN4, 6, word))
    assert (header.offset, header.fragment) == (offset, fragment)


def test_a_wrong_ipv4_header_says_what_is_wrong() -> None:
    assert reason4(LINUX_SYN6) == DropReason.IP_VERSION
    assert reason4(with_bytes(LINUX_SYN4, 0, "44")) == DropReason.IP_HEADER  # a header of 16 bytes
    assert reason4(with_bytes(LINUX_SYN4, 2, "0013")) == DropReason.IP_HEADER  # shorter than its header
    assert reason4(with_bytes(LINUX_SYN4, 2, "003d")) == DropReason.TRUNCATED  # one byte more than there is
    assert {reason4(LINUX_SYN4[:size]) for size in range(len(LINUX_SYN4))} == {DropReason.TRUNCATED}


def test_the_ipv6_header_that_linux_made_is_read_field_by_field() -> None:
    header = parse_ip6(LINUX_SYN6)
    assert (header.version, header.source, header.destination) == (6, A6, B6)
    assert (header.protocol, header.ttl, header.tos, header.flow_label) == (6, 64, 0, 0x3CFEE)
    assert (header.header_length, header.end, header.fragment) == (40, 80, False)
    assert parse_ip6(LINUX_SOLICITATION).protocol == 58


def test_the_ipv6_header_that_linux_made_is_built_byte_by_byte() -> None:
    assert build_ip6(A6, B6, 40, flow_label=0x3CFEE) == LINUX_SYN6[:40]
    header = parse_ip6(build_ip6(B6, A6, 0, protocol=59, ttl=255, tos=0xFF, flow_label=0xFFFFF))
    assert (header.protocol, header.ttl, header.tos, header.flow_label, header.end) == (59, 255, 255, 0xFFFFF, 40)


def extended(first: int, *headers: str) -> bytes:
    """Linux's SYN with extension headers before TCP; the kind of the first is `first`."""
    between = b"".join(bytes.fromhex(header) for header in headers)
    length = (40 + len(between)).to_bytes(2, "big")
    return LINUX_SYN6[:4] + length + bytes((first, 64)) + LINUX_SYN6[8:40] + between + LINUX_SYN6[40:]


def shape(header: Ip6Header) -> tuple[int, int, bool]:
    return header.protocol, header.header_length, header.fragment


def test_extension_headers_before_tcp_are_stepped_over() -> None:
    hop, route, options = "2b00 010400000000", "3c00 0400 00000000", "0601 0104000000000000000000000000"
    assert shape(parse_ip6(extended(0, hop, route, options))) == (6, 40 + 8 + 8 + 16, False)


def test_an_atomic_fragment_is_whole_and_any_other_is_not() -> None:
    assert shape(parse_ip6(extended(44, "0600 0000 00000007"))) == (6, 48, False)
    assert shape(parse_ip6(extended(44, "0600 0006 00000007"))) == (6, 48, False)  # reserved bits
    assert shape(parse_ip6(extended(44, "0600 0001 00000007"))) == (6, 48, True)
    assert shape(parse_ip6(extended(44, "0600 0008 00000007"))) == (6, 48, True)


def test_what_follows_the_header_of_a_fragment_is_not_read() -> None:
    assert shape(parse_ip6(extended(44, "3c00 0ff9 00000007", "06ff"))) == (60, 48, True)


def test_a_wrong_ipv6_header_says_what_is_wrong() -> None:
    assert reason6(LINUX_SYN4) == DropReason.IP_VERSION
    assert reason6(extended(60, "0000 010400000000", "0600 010400000000")) == DropReason.IP_HEADER  # hop-by-hop second
    assert reason6(extended(43, "0600 0401 00000000")) == DropReason.IP_HEADER  # a segment left
    assert reason6(extended(60, "06ff 010400000000")) == DropReason.TRUNCATED
    assert reason6(with_bytes(LINUX_SYN6, 4, "0000 00")) == DropReason.TRUNCATED  # hop-by-hop options in no bytes
    assert reason6(with_bytes(LINUX_SYN6, 4, "0029")) == DropReason.TRUNCATED
    assert {reason6(LINUX_SYN6[:size]) for size in range(len(LINUX_SYN6))} == {DropReason.TRUNCATED}
