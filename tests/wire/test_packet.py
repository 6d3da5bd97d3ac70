"""Whole packets: exact bytes, the usual way and the long way agree, checksums find what they must, cutting."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin.engine.errors import DropReason, UsageError
from synfin.engine.segment import ACK, CWR, ECE, FIN, PSH, SYN, Outgoing
from synfin.wire.errors import ParseError
from synfin.wire.ip4 import build_ip4
from synfin.wire.ip6 import build_ip6
from synfin.wire.packet import (
    build_packet,
    complete_checksums,
    cut,
    describe,
    parse_ip,
    parse_packet,
    verify_checksums,
)
from synfin.wire.tcp import build_tcp_header
from tests.wire.vectors import (
    KEY4,
    KEY6,
    LINUX_SOLICITATION,
    LINUX_SYN4,
    LINUX_SYN6,
    facts,
    keys,
    outgoing,
    pseudo_header,
    segment,
    slow_sum,
    turned,
    with_timestamps,
)


def reason(packet: bytes, *, verify: bool = False) -> DropReason:
    with pytest.raises(ParseError) as caught:
        parse_packet(packet, verify=verify)
    with pytest.raises(ParseError) as again:
        parse_packet(memoryview(bytearray(packet)), verify=verify)
    assert again.value.reason == caught.value.reason
    return caught.value.reason


def sums(packet: bytes) -> tuple[int, int]:
    """IPv4's header and TCP with its pseudo-header, added by the loop; both 0xFFFF when right (IPv6 has the second only)."""
    header = parse_ip(packet)
    start, end = header.header_length, header.end
    pseudo = pseudo_header(header.source, header.destination, end - start)
    return slow_sum(packet[:20]) if packet[0] >> 4 == 4 else 0xFFFF, slow_sum(pseudo + packet[start:end])


def flipped(packet: bytes, bit: int) -> bytes:
    number = int.from_bytes(packet, "big") ^ 1 << bit
    return number.to_bytes(len(packet), "big")


def test_the_syns_that_linux_sent_are_read_with_their_checksums() -> None:
    for packet, start in ((LINUX_SYN4, 12), (LINUX_SYN6, 8)):
        key, syn = parse_packet(packet, verify=True)
        assert key == packet[start : len(packet) - 36]
        assert (syn.flags, syn.wscale, syn.sack_permitted, syn.has_timestamps, syn.tsecr) == (SYN, 10, True, True, 0)
        assert verify_checksums(packet)


def test_a_packet_is_built_byte_by_byte() -> None:
    out = with_timestamps(segment(PSH | ACK, b"hello"))
    tcp = "c0000050 01020304 05060708 8018 1000 0000 0000 0101080a 11121314 21222324 68656c6c6f"
    ip4 = "45000039 00074000 40060000 0a000001 0a000002"
    ip6 = "60000000 00250640 fd770000000000000000000000000001 fd770000000000000000000000000002"
    assert build_packet(KEY4, out, identification=7, checksum=False) == bytes.fromhex(ip4 + tcp)
    assert build_packet(KEY6, out, identification=7, checksum=False) == bytes.fromhex(ip6 + tcp)
    # Both sums by hand: 0x4500 + 0x39 + 7 + 0x4000 + 0x4006 + 0xa00 + 1 + 0xa00 + 2 = 0xd949, complement 0x26b6.
    full = build_packet(KEY4, out, identification=7)
    assert full[10:12].hex() == "26b6"
    assert sums(full) == (0xFFFF, 0xFFFF)


@given(keys, outgoing(), st.integers(0, 0xFFFF), st.integers(0, 255))
def test_what_is_built_is_read_at_the_other_end(key: bytes, out: Outgoing, identification: int, ttl: int) -> None:
    for checksum in (True, False):
        packet = build_packet(key, out, identification=identification, ttl=ttl, checksum=checksum)
        there, arrived = parse_packet(packet, verify=checksum)
        assert (there, facts(arrived)) == (turned(key), facts(out))
    packet = build_packet(key, out, identification=identification, ttl=ttl)
    assert sums(packet) == (0xFFFF, 0xFFFF)


@given(keys, outgoing())
def test_the_usual_way_builds_what_the_long_way_builds(key: bytes, out: Outgoing) -> None:
    size = (len(key) - 4) // 2
    remote, local = key[:size], key[size : 2 * size]
    ports = int.from_bytes(key[-2:], "big"), int.from_bytes(key[-4:-2], "big")
    tcp = build_tcp_header(out, *ports) + bytes(out.payload)
    if size == 4:
        expected = build_ip4(local, remote, len(tcp), identification=9, with_checksum=False) + tcp
    else:
        expected = build_ip6(local, remote, len(tcp)) + tcp
    assert build_packet(key, out, identification=9, checksum=False) == expected
    assert complete_checksums(expected) == build_packet(key, out, identification=9)


@given(keys, outgoing(), st.binary(max_size=20))
def test_padding_is_left_out_and_any_buffer_reads_alike(key: bytes, out: Outgoing, padding: bytes) -> None:
    packet = build_packet(key, out, identification=1)
    expected = (turned(key), facts(out))
    for buffer in (packet + padding, bytearray(packet + padding), memoryview(packet + padding)):
        there, arrived = parse_packet(buffer, verify=True)
        assert (there, facts(arrived)) == expected
        assert type(there) is bytes


@pytest.mark.parametrize("payload", [b"", b"odd", bytes(1448), bytes(range(256)) * 250])
@pytest.mark.parametrize("key", [KEY4, KEY6])
def test_payloads_of_every_kind_and_size_go_through(key: bytes, payload: bytes) -> None:
    for kind in (bytes, bytearray, memoryview):
        for out in (segment(payload=kind(payload)), with_timestamps(segment(payload=kind(payload)))):
            packet = build_packet(key, out, identification=0)
            assert sums(packet) == (0xFFFF, 0xFFFF)
            assert parse_packet(packet, verify=True)[1].payload == payload


def test_the_payload_of_a_large_packet_is_a_view_into_it() -> None:
    packet = build_packet(KEY4, with_timestamps(segment(payload=bytes(60000))), identification=0, checksum=False)
    payload = parse_packet(packet, verify=False)[1].payload
    assert isinstance(payload, memoryview)
    assert payload.obj is packet


@pytest.mark.parametrize("packet", [LINUX_SYN4, LINUX_SYN6])
def test_every_flipped_bit_that_a_checksum_covers_is_found(packet: bytes) -> None:
    for bit in range(8 * len(packet)):
        damaged = flipped(packet, bit)
        byte = len(packet) - 1 - bit // 8
        uncovered = packet is LINUX_SYN6 and (byte < 4 or byte == 7)  # no sum over class, label and hop limit
        if uncovered and damaged[0] >> 4 == 6:
            parse_packet(damaged, verify=True)
        else:
            assert reason(damaged, verify=True) in set(DropReason)
            assert not verify_checksums(damaged)


def test_a_wrong_checksum_is_counted_as_what_it_is_and_only_on_demand() -> None:
    usual4 = build_packet(KEY4, with_timestamps(segment(payload=b"data")), identification=0)
    usual6 = build_packet(KEY6, with_timestamps(segment(payload=b"data")), identification=0)
    for packet in (usual4, usual6, LINUX_SYN4, LINUX_SYN6):
        damaged = packet[:-1] + bytes((packet[-1] ^ 1,))
        assert reason(damaged, verify=True) == DropReason.TCP_CHECKSUM
        parse_packet(damaged, verify=False)
    for packet in (usual4, LINUX_SYN4):
        damaged = packet[:8] + bytes((packet[8] ^ 1,)) + packet[9:]
        assert reason(damaged, verify=True) == DropReason.IP_CHECKSUM
        parse_packet(damaged, verify=False)


def test_checksums_left_out_are_completed_and_wrong_ones_kept() -> None:
    for key in (KEY4, KEY6):
        out = with_timestamps(segment(payload=b"odd"))
        bare = build_packet(key, out, identification=3, checksum=False)
        full = build_packet(key, out, identification=3)
        assert complete_checksums(bare) == full
        assert complete_checksums(full) == full
        assert complete_checksums(bare + b"padding") == full + b"padding"
        damaged = full[:-1] + b"!"
        assert complete_checksums(damaged) == damaged
    for other in (b"", b"\x45", LINUX_SOLICITATION, bytes(40), b"\x45" + bytes(80)):
        assert complete_checksums(other) == other
        assert not verify_checksums(other)


def test_what_is_no_whole_tcp_packet_says_why() -> None:
    for packet in (LINUX_SYN4, LINUX_SYN6):
        assert {reason(packet[:size]) for size in range(len(packet))} == {DropReason.TRUNCATED}
        assert reason(b"\x55" + packet[1:]) == DropReason.IP_VERSION
    assert reason(LINUX_SOLICITATION) == DropReason.NOT_TCP
    assert reason(LINUX_SYN4[:9] + b"\x11" + LINUX_SYN4[10:]) == DropReason.NOT_TCP
    assert reason(LINUX_SYN4[:6] + b"\x20\x00" + LINUX_SYN4[8:]) == DropReason.IP_FRAGMENT
    assert reason(LINUX_SYN4[:2] + (39).to_bytes(2, "big") + LINUX_SYN4[4:]) == DropReason.TRUNCATED  # half a TCP header
    assert reason(LINUX_SYN4[:32] + b"\xf0" + LINUX_SYN4[33:]) == DropReason.TCP_HEADER
    assert reason(LINUX_SYN4[:32] + b"\x40" + LINUX_SYN4[33:]) == DropReason.TCP_HEADER
    assert reason(LINUX_SYN4[:41] + b"\xff" + LINUX_SYN4[42:]) == DropReason.TCP_OPTION


def test_ip_options_and_extension_headers_give_the_same_key_and_segment() -> None:
    out = with_timestamps(segment(payload=b"data"))
    for key in (KEY4, KEY6):
        packet = build_packet(key, out, identification=0)
        if key is KEY4:
            longer = b"\x46\0" + (len(packet) + 4).to_bytes(2, "big") + packet[4:20] + b"\x01\x01\x01\x00" + packet[20:]
            longer = complete_checksums(longer[:10] + bytes(2) + longer[12:])
        else:
            size = (len(packet) - 32).to_bytes(2, "big")
            longer = packet[:4] + size + b"\0\x40" + packet[8:40] + bytes.fromhex("0600010400000000") + packet[40:]
        there, arrived = parse_packet(longer, verify=True)
        assert (there, facts(arrived)) == (turned(key), facts(out))


def test_numbers_that_do_not_fit_are_refused() -> None:
    for key in (KEY4, KEY6):
        for out in (segment(), with_timestamps(segment())):
            out.window = 65536
            with pytest.raises(UsageError, match="does not fit its field"):
                build_packet(key, out, identification=0)
        with pytest.raises(UsageError, match="does not fit its field"):
            build_packet(key, segment(payload=bytes(65536)), identification=0)
        wide = segment()
        wide.mss = 65536
        with pytest.raises(UsageError, match="does not fit its field"):
            build_packet(key, wide, identification=0)


def test_a_super_segment_is_cut_with_its_flags_where_they_belong() -> None:
    out = with_timestamps(segment(FIN | PSH | ACK | CWR | ECE, bytes(range(250)), seq=0xFFFFFFF0))
    out.gso_size = 100
    pieces = cut(out)
    assert [(p.seq, p.flags, len(p.payload), p.gso_size) for p in pieces] == [
        (0xFFFFFFF0, ACK | CWR | ECE, 100, 0),
        (0x54, ACK | ECE, 100, 0),
        (0xB8, FIN | PSH | ACK | ECE, 50, 0),
    ]
    assert b"".join(piece.payload for piece in pieces) == bytes(range(250))
    assert {(p.ack, p.window, p.reason, p.has_timestamps, p.tsval, p.tsecr) for p in pieces} == {
        (out.ack, out.window, out.reason, True, out.tsval, out.tsecr)
    }


@given(st.integers(0, 300), st.integers(0, 120), st.booleans())
def test_cutting_neither_loses_nor_repeats_a_byte(length: int, size: int, fin: bool) -> None:
    out = segment(ACK | (FIN if fin else 0), bytes(n & 0xFF for n in range(length)))
    out.gso_size = size
    pieces = cut(out)
    assert b"".join(bytes(piece.payload) for piece in pieces) == out.payload
    assert [piece.seq - out.seq for piece in pieces] == [sum(len(p.payload) for p in pieces[:n]) for n in range(len(pieces))]
    assert len(pieces) == (-(-length // size) if size and length > size else 1)
    assert [bool(piece.flags & FIN) for piece in pieces] == [False] * (len(pieces) - 1) + [fin]


def test_a_packet_is_laid_open_for_those_who_look_at_it() -> None:
    view = describe(LINUX_SYN4)
    assert (view.version, view.source, view.destination) == (4, LINUX_SYN4[12:16], LINUX_SYN4[16:20])
    assert (view.source_port, view.destination_port, view.ttl, view.checksum) == (46018, 80, 64, 0xA2C1)
    assert (view.ip_header, view.tcp_header) == (LINUX_SYN4[:20], LINUX_SYN4[20:])
    assert [option.kind for option in view.options] == [2, 4, 8, 1, 3]
    assert view.segment.mss == 1460
    assert describe(LINUX_SYN6).version == 6


@settings(max_examples=50)
@given(keys, outgoing())
def test_what_is_laid_open_is_what_is_parsed(key: bytes, out: Outgoing) -> None:
    packet = build_packet(key, out, identification=1, ttl=9)
    view = describe(packet)
    ports = view.source_port.to_bytes(2, "big") + view.destination_port.to_bytes(2, "big")
    assert view.source + view.destination + ports == turned(key)
    assert (facts(view.segment), view.ttl) == (facts(out), 9)
    assert packet.endswith(view.tcp_header + bytes(out.payload))
