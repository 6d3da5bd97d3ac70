"""Whole packets: bytes to (key, Segment) and back, on the hot path of every stack.

Owns how IP and TCP headers lie behind each other. Knows no sockets and no state. A parser answers with a value or ParseError.
"""

import struct
from typing import Final

from synfin.engine.errors import DropReason
from synfin.engine.segment import CWR, FIN, PSH, SYN, Buffer, Outgoing, Segment
from synfin.engine.seq import MASK
from synfin.wire.checksum import checksum as internet_checksum
from synfin.wire.checksum import pseudo_header
from synfin.wire.errors import ParseError
from synfin.wire.tcpoptions import build_options, parse_options, split_options

TIMESTAMPS_ALONE: Final = 0x0101080A  # NOP, NOP, kind 8, length 10
IP4_BUILD: Final = struct.Struct("!BBHHHBBH4s4s")
TCP_FIXED: Final = struct.Struct("!HHIIHHHH")
HOT4: Final = struct.Struct("!BxHxxHxBxx12sIIHHxxHIII")  # IPv4 without options, TCP with timestamps alone
BUILD4: Final = struct.Struct("!BBHHHBBH8sHHIIHHHHIII")
VERSION_4: Final = 0x45
DONT_FRAGMENT: Final = 0x4000
TCP: Final = 6
EXTENSIONS: Final = (0, 43, 60)  # hop-by-hop, routing, destination options (RFC 8200 4)
FRAGMENT: Final = 44


def parse_packet(packet: Buffer, *, verify: bool = True) -> tuple[bytes, Segment]:
    """The key (observe.py) and the segment in `packet`; its payload is a view. Raises ParseError.

    `verify` checks the checksums of IP and TCP.
    """
    size = len(packet)
    if size >= 52 and not verify:
        (version, length, fragment, protocol, key, seq, ack, flags, window, urgent, options, tsval, tsecr) = HOT4.unpack_from(
            packet
        )
        if (
            version == VERSION_4 and protocol == TCP and options == TIMESTAMPS_ALONE and flags >> 12 == 8
            and 52 <= length <= size and not fragment & 0xBFFF
        ):  # fmt: skip
            segment = Segment(seq, ack, flags & 0x1FF, window, memoryview(packet)[52:length])
            segment.has_timestamps = True
            segment.tsval = tsval
            segment.tsecr = tsecr
            segment.urgent = urgent
            return key, segment
    view = memoryview(packet)
    addresses, start, end = _network(view, verify)
    segment = _transport(view, addresses, start, end, verify)
    return bytes(addresses) + bytes(view[start : start + 4]), segment


def _network(view: memoryview, verify: bool) -> tuple[memoryview, int, int]:
    """Addresses, where TCP begins and where it ends."""
    if len(view) < 20:
        raise ParseError(DropReason.TRUNCATED, f"{len(view)} bytes are no IP packet")
    version = view[0] >> 4
    if version == 4:
        return _network4(view, verify)
    if version == 6:
        return _network6(view)
    raise ParseError(DropReason.IP_VERSION, f"IP version {version}")


def _network4(view: memoryview, verify: bool) -> tuple[memoryview, int, int]:
    start = (view[0] & 15) * 4
    end = view[2] << 8 | view[3]
    if start < 20 or end < start:
        raise ParseError(DropReason.IP_HEADER, f"IPv4 header of {start} bytes in a packet of {end}")
    if end > len(view):
        raise ParseError(DropReason.TRUNCATED, f"IPv4 total length {end}, {len(view)} bytes received")
    if verify and internet_checksum(view[:start]):
        raise ParseError(DropReason.IP_CHECKSUM, "IPv4 header checksum is wrong")
    if (view[6] << 8 | view[7]) & 0x3FFF:
        raise ParseError(DropReason.IP_FRAGMENT, "IPv4 fragment")
    if view[9] != TCP:
        raise ParseError(DropReason.NOT_TCP, f"IPv4 protocol {view[9]}")
    return view[12:20], start, end


def _network6(view: memoryview) -> tuple[memoryview, int, int]:
    if len(view) < 40:
        raise ParseError(DropReason.TRUNCATED, f"{len(view)} bytes are no IPv6 header")
    end = 40 + (view[4] << 8 | view[5])
    if end > len(view):
        raise ParseError(DropReason.TRUNCATED, f"IPv6 payload length {end - 40}, {len(view) - 40} bytes received")
    kind, start = view[6], 40
    while kind in EXTENSIONS:
        if start + 8 > end:
            raise ParseError(DropReason.IP_HEADER, "IPv6 extension header passes the end")
        kind, start = view[start], start + 8 + 8 * view[start + 1]
    if kind == FRAGMENT:
        raise ParseError(DropReason.IP_FRAGMENT, "IPv6 fragment")
    if kind != TCP:
        raise ParseError(DropReason.NOT_TCP, f"IPv6 next header {kind}")
    if start > end:
        raise ParseError(DropReason.IP_HEADER, "IPv6 extension header passes the end")
    return view[8:40], start, end


def _transport(view: memoryview, addresses: memoryview, start: int, end: int, verify: bool) -> Segment:
    if end - start < 20:
        raise ParseError(DropReason.TRUNCATED, f"{end - start} bytes are no TCP header")
    _, _, seq, ack, flags, window, _, urgent = TCP_FIXED.unpack_from(view, start)
    offset = (flags >> 12) * 4
    if offset < 20 or offset > end - start:
        raise ParseError(DropReason.TCP_HEADER, f"TCP data offset {offset} in a segment of {end - start} bytes")
    if verify and internet_checksum(view[start:end], pseudo_header(addresses, end - start)):
        raise ParseError(DropReason.TCP_CHECKSUM, "TCP checksum is wrong")
    segment = Segment(seq, ack, flags & 0x1FF, window, view[start + offset : end])
    segment.urgent = urgent
    if offset > 20:
        parse_options(view[start + 20 : start + offset], segment)
    return segment


def build_packet(key: bytes, out: Outgoing, *, identification: int = 0, ttl: int = 64, checksum: bool = True) -> bytes:
    """The packet that carries `out` from the local to the remote end of `key`; with `checksum` False both sums stay 0."""
    payload = out.payload
    if len(key) == 12:
        addresses = key[4:8] + key[:4]
        if out.has_timestamps and not out.flags & SYN and not out.sacks:
            header = BUILD4.pack(
                VERSION_4, 0, 52 + len(payload), identification, DONT_FRAGMENT, ttl, TCP, 0, addresses,
                key[10] << 8 | key[11], key[8] << 8 | key[9], out.seq, out.ack, 0x8000 | out.flags, out.window, 0, out.urgent,
                TIMESTAMPS_ALONE, out.tsval, out.tsecr,
            )  # fmt: skip
        else:
            tcp = build_tcp_header(out, key[10] << 8 | key[11], key[8] << 8 | key[9])
            length = 20 + len(tcp) + len(payload)
            header = IP4_BUILD.pack(
                VERSION_4, 0, length, identification, DONT_FRAGMENT, ttl, TCP, 0, addresses[:4], addresses[4:]
            ) + tcp  # fmt: skip
    else:
        addresses = key[16:32] + key[:16]
        tcp = build_tcp_header(out, key[34] << 8 | key[35], key[32] << 8 | key[33])
        header = struct.pack("!IHBB", 0x60000000, len(tcp) + len(payload), TCP, ttl) + addresses + tcp
    packet = b"".join((header, payload))
    return complete_checksums(packet) if checksum else packet


def build_tcp_header(out: Outgoing, source_port: int, destination_port: int) -> bytes:
    """The TCP header of `out` with its options, checksum 0."""
    options = build_options(out)
    offset_flags = (5 + len(options) // 4) << 12 | out.flags
    return TCP_FIXED.pack(
        source_port, destination_port, out.seq, out.ack, offset_flags, out.window, 0, out.urgent
    ) + options  # fmt: skip


def _layout(packet: Buffer) -> tuple[memoryview, memoryview, int, int]:
    view = memoryview(packet)
    addresses, start, end = _network(view, False)
    if end - start < 20:
        raise ParseError(DropReason.TRUNCATED, f"{end - start} bytes are no TCP header")
    return view, addresses, start, end


def complete_checksums(packet: Buffer) -> bytes:
    """`packet` with its IP and TCP checksums as they must be. Raises ParseError when it holds no TCP segment."""
    view, addresses, start, end = _layout(packet)
    whole = bytearray(view)
    if whole[0] >> 4 == 4:
        whole[10:12] = b"\0\0"
        whole[10:12] = internet_checksum(whole[:start]).to_bytes(2, "big")
    whole[start + 16 : start + 18] = b"\0\0"
    value = internet_checksum(memoryview(whole)[start:end], pseudo_header(addresses, end - start))
    whole[start + 16 : start + 18] = value.to_bytes(2, "big")
    return bytes(whole)


def verify_checksums(packet: Buffer) -> bool:
    """Whether the IP and TCP checksums of `packet` are right. Raises ParseError when it holds no TCP segment."""
    view, addresses, start, end = _layout(packet)
    if view[0] >> 4 == 4 and internet_checksum(view[:start]):
        return False
    return internet_checksum(view[start:end], pseudo_header(addresses, end - start)) == 0


def cut(out: Outgoing) -> list[Outgoing]:
    """A super-segment as the wire segments a device would make of it: PSH and FIN on the last, CWR on the first."""
    size = out.gso_size
    whole = memoryview(out.payload)
    if not size or len(whole) <= size:
        return [out]
    pieces: list[Outgoing] = []
    for at in range(0, len(whole), size):
        flags = out.flags
        if at + size < len(whole):
            flags &= ~(PSH | FIN)
        if at:
            flags &= ~CWR
        piece = Outgoing((out.seq + at) & MASK, out.ack, flags, out.window, out.reason, whole[at : at + size])
        piece.has_timestamps, piece.tsval, piece.tsecr = out.has_timestamps, out.tsval, out.tsecr
        piece.urgent = max(out.urgent - at, 0)
        pieces.append(piece)
    return pieces


class PacketView:
    """All that a person may ask of a packet: the IP header's fields, the ports, the segment and its options."""

    __slots__ = (
        "destination", "destination_port", "header", "identification", "length", "options", "segment", "source",
        "source_port", "start", "tcp_length", "ttl", "version",
    )  # fmt: skip

    def __init__(self, packet: Buffer) -> None:
        view, addresses, start, end = _layout(packet)
        half = len(addresses) // 2
        self.version: int = view[0] >> 4
        self.source: bytes = bytes(addresses[:half])
        self.destination: bytes = bytes(addresses[half:])
        self.source_port: int = view[start] << 8 | view[start + 1]
        self.destination_port: int = view[start + 2] << 8 | view[start + 3]
        self.segment: Segment = _transport(view, addresses, start, end, False)
        self.ttl: int = view[8] if self.version == 4 else view[7]
        self.identification: int = view[4] << 8 | view[5] if self.version == 4 else 0
        self.length: int = end
        self.start: int = start
        self.tcp_length: int = (view[start + 12] >> 4) * 4
        self.header: bytes = bytes(view[start : start + self.tcp_length])
        self.options: list[tuple[int, bytes]] = split_options(view[start + 20 : start + self.tcp_length])


def describe(packet: Buffer) -> PacketView:
    """The packet taken apart; raises ParseError when it holds no TCP segment."""
    return PacketView(packet)
