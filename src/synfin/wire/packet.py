"""Whole packets: IP and TCP headers read and written at once, checksums, and super-segments cut for the wire.

Owns the hot path. What nearly every packet looks like (no IP options, no TCP options or timestamps alone) is read with one
unpack and written with one pack; all else takes the way through ip4, ip6 and tcp, with the same result. Knows no connection:
a key is bytes.
"""

import struct
from struct import Struct
from typing import Final

from synfin.engine.errors import DropReason, UsageError
from synfin.engine.segment import CWR, FIN, PSH, Buffer, Outgoing, Segment
from synfin.wire import ip4, ip6, tcp
from synfin.wire.checksum import TCP_PROTOCOL, ones_complement_sum, pseudo_header_sum
from synfin.wire.checksum import checksum as complement
from synfin.wire.errors import ParseError
from synfin.wire.ip4 import Ip4Header
from synfin.wire.ip6 import Ip6Header
from synfin.wire.tcpoptions import TIMESTAMPS_HEAD, Option, parse_options

COPY_BELOW: Final = 4096  # bytes: cutting them out of a bytes object is faster than two memoryviews

# total length, fragment, protocol | seq, ack, offset and flags, window, urgent | option head, tsval, tsecr
_READ4: Final = Struct("!xxHxxHxB14xIIHHxxHIII").unpack_from
# payload length, next header | as above
_READ6: Final = Struct("!4xHBx36xIIHHxxHIII").unpack_from
_USUAL4: Final = 52
_USUAL6: Final = 72

_KEY4: Final = Struct("!IIHH").unpack
_PORTS: Final = Struct("!HH")
# version, total, id, flags, ttl and protocol, checksum, addresses, ports, seq, ack, offset and flags, window, checksum, urgent
_WRITE4: Final = Struct("!HHHHHHIIHHIIHHHH").pack
_WRITE4_TIMESTAMPS: Final = Struct("!HHHHHHIIHHIIHHHHIII").pack
_VERSION4: Final = 0x4500
_VERSION6: Final = 6 << 28
# version, length, next header, hop limit, addresses, ports, seq, ack, offset and flags, window, checksum, urgent
_WRITE6: Final = Struct("!IHBB16s16sHHIIHHHH").pack
_WRITE6_TIMESTAMPS: Final = Struct("!IHBB16s16sHHIIHHHHIII").pack


def parse_packet(packet: Buffer, *, verify: bool) -> tuple[bytes, Segment]:
    """The key of the connection that an IP packet belongs to, and its segment.

    The key is remote address, local address, remote port, local port as they lie in the packet: 12 or 36 bytes. The
    segment's payload is a view into `packet` (a copy when `packet` is bytes and small). With `verify` the IPv4 header's
    checksum and TCP's must be right, without neither is looked at. Bytes beyond the IP length are padding.

    Raises ParseError, nothing else, whatever the bytes: TRUNCATED, IP_VERSION, IP_HEADER, IP_CHECKSUM, IP_FRAGMENT,
    NOT_TCP, TCP_HEADER, TCP_OPTION, TCP_CHECKSUM.
    """
    length = len(packet)
    if length < _USUAL4 or packet[0] != 0x45:
        if length >= _USUAL6 and packet[0] >> 4 == 6:
            return _parse6(packet, length, verify)
        return _parse_any(packet, verify)
    total, fragment, protocol, seq, ack, bits, window, urgent, head, tsval, tsecr = _READ4(packet)
    if total != length or protocol != TCP_PROTOCOL or fragment & 0xBFFF:
        return _parse_any(packet, verify)
    offset = bits >> 12
    if offset == 8 and head == TIMESTAMPS_HEAD:
        text = _USUAL4
        segment = Segment(seq, ack, bits & 0x1FF, window)
        segment.has_timestamps = True
        segment.tsval = tsval
        segment.tsecr = tsecr
    elif offset == 5:
        text = 40
        segment = Segment(seq, ack, bits & 0x1FF, window)
    else:
        return _parse_any(packet, verify)
    if verify:
        if ones_complement_sum(packet[:20]) != 0xFFFF:
            raise ParseError(DropReason.IP_CHECKSUM, "wrong sum of the IPv4 header")
        if ones_complement_sum(packet[12:], TCP_PROTOCOL + length - 20) != 0xFFFF:
            raise ParseError(DropReason.TCP_CHECKSUM, "wrong sum of the TCP segment")
    if urgent:
        segment.urgent = urgent
    if type(packet) is bytes:
        if length > text:
            segment.payload = packet[text:] if length < COPY_BELOW else memoryview(packet)[text:]
        return packet[12:24], segment
    segment.payload = memoryview(packet)[text:]
    return bytes(packet[12:24]), segment


def _parse6(packet: Buffer, length: int, verify: bool) -> tuple[bytes, Segment]:
    """As parse_packet, for IPv6 of at least 72 bytes."""
    size, protocol, seq, ack, bits, window, urgent, head, tsval, tsecr = _READ6(packet)
    if size != length - 40 or protocol != TCP_PROTOCOL:
        return _parse_any(packet, verify)
    offset = bits >> 12
    if offset == 8 and head == TIMESTAMPS_HEAD:
        text = _USUAL6
        segment = Segment(seq, ack, bits & 0x1FF, window)
        segment.has_timestamps = True
        segment.tsval = tsval
        segment.tsecr = tsecr
    elif offset == 5:
        text = 60
        segment = Segment(seq, ack, bits & 0x1FF, window)
    else:
        return _parse_any(packet, verify)
    if verify and ones_complement_sum(packet[8:], TCP_PROTOCOL + size) != 0xFFFF:
        raise ParseError(DropReason.TCP_CHECKSUM, "wrong sum of the TCP segment")
    if urgent:
        segment.urgent = urgent
    if type(packet) is bytes:
        if length > text:
            segment.payload = packet[text:] if length < COPY_BELOW else memoryview(packet)[text:]
        return packet[8:44], segment
    segment.payload = memoryview(packet)[text:]
    return bytes(packet[8:44]), segment


def _parse_any(packet: Buffer, verify: bool) -> tuple[bytes, Segment]:
    """As parse_packet, for whatever comes."""
    header = parse_ip(packet)
    start = _tcp_start(header)
    if verify:
        _verify(packet, header)
    segment = tcp.parse_tcp(packet, start, header.end)
    return header.source + header.destination + bytes(packet[start : start + 4]), segment


def parse_ip(packet: Buffer) -> Ip4Header | Ip6Header:
    """The IP header of `packet`, whichever version it says. Raises ParseError: TRUNCATED, IP_VERSION, IP_HEADER."""
    if not packet:
        raise ParseError(DropReason.TRUNCATED, "no bytes")
    version = packet[0] >> 4
    if version == 4:
        return ip4.parse_ip4(packet)
    if version == 6:
        return ip6.parse_ip6(packet)
    raise ParseError(DropReason.IP_VERSION, f"version {version}")


def _tcp_start(header: Ip4Header | Ip6Header) -> int:
    """Where TCP begins. Raises ParseError when a whole TCP segment does not follow."""
    if header.fragment:
        raise ParseError(DropReason.IP_FRAGMENT, "part of a datagram")
    if header.protocol != TCP_PROTOCOL:
        raise ParseError(DropReason.NOT_TCP, f"protocol {header.protocol}")
    return header.header_length


def _verify(packet: Buffer, header: Ip4Header | Ip6Header) -> None:
    start, end = header.header_length, header.end
    if header.version == 4 and ones_complement_sum(packet[:start]) != 0xFFFF:
        raise ParseError(DropReason.IP_CHECKSUM, "wrong sum of the IPv4 header")
    tcp.header_length(packet, start, end)  # what has no header has no checksum to be wrong
    pseudo = pseudo_header_sum(header.source, header.destination, end - start)
    if ones_complement_sum(packet[start:end], pseudo) != 0xFFFF:
        raise ParseError(DropReason.TCP_CHECKSUM, "wrong sum of the TCP segment")


def build_packet(key: bytes, out: Outgoing, *, identification: int, ttl: int = 64, checksum: bool = True) -> bytes:
    """The IP packet that carries `out` from the local side of `key` (remote address, local address, remote port, local port)
    to its remote side, with Don't Fragment set.

    `identification` (0..65535) is IPv4's field and unused in IPv6; `ttl` is IPv6's hop limit too. Without `checksum` the
    checksum fields stay 0. Raises UsageError when a number does not fit its field or the packet is longer than 65,535 bytes.
    """
    try:
        if out.mss >= 0 or out.wscale >= 0 or out.sack_permitted or out.sacks:
            return _build_any(key, out, identification, ttl, checksum)
        if len(key) != 12:
            return _build6(key, out, ttl, checksum)
        return _build4(key, out, identification, ttl, checksum)
    except struct.error as error:
        raise UsageError(f"a number does not fit its field in the header: {error}") from None


def _build4(key: bytes, out: Outgoing, identification: int, ttl: int, checksum: bool) -> bytes:
    """As build_packet, for IPv4 and no option but timestamps."""
    destination, source, destination_port, source_port = _KEY4(key)
    payload = out.payload
    flags, seq, ack, window, urgent = out.flags, out.seq, out.ack, out.window, out.urgent
    ip_sum = tcp_sum = 0
    if out.has_timestamps:
        tsval, tsecr = out.tsval, out.tsecr
        total = _USUAL4 + len(payload)
        if checksum:
            # Words of 32 bits add up to the same sum as their halves, modulo 65535.
            ip_sum = -(_VERSION4 + total + identification + 0x4000 + (ttl << 8 | 6) + source + destination) % 0xFFFF
            tcp_sum = source + destination + total - 14 + source_port + destination_port + seq + ack + window + urgent
            tcp_sum += (0x8000 | flags) + TIMESTAMPS_HEAD + tsval + tsecr
            tcp_sum = complement(payload, tcp_sum)
        header = _WRITE4_TIMESTAMPS(
            _VERSION4, total, identification, 0x4000, ttl << 8 | 6, ip_sum, source, destination, source_port,
            destination_port, seq, ack, 0x8000 | flags, window, tcp_sum, urgent, TIMESTAMPS_HEAD, tsval, tsecr,
        )  # fmt: skip
        return header + payload
    total = 40 + len(payload)
    if checksum:
        ip_sum = -(_VERSION4 + total + identification + 0x4000 + (ttl << 8 | 6) + source + destination) % 0xFFFF
        tcp_sum = source + destination + total - 14 + source_port + destination_port + seq + ack + window + urgent
        tcp_sum = complement(payload, tcp_sum + (0x5000 | flags))
    header = _WRITE4(
        _VERSION4, total, identification, 0x4000, ttl << 8 | 6, ip_sum, source, destination, source_port,
        destination_port, seq, ack, 0x5000 | flags, window, tcp_sum, urgent,
    )  # fmt: skip
    return header + payload


def _build6(key: bytes, out: Outgoing, ttl: int, checksum: bool) -> bytes:
    """As build_packet, for IPv6 and no option but timestamps."""
    destination, source = key[:16], key[16:32]
    destination_port, source_port = _PORTS.unpack_from(key, 32)
    payload = out.payload
    flags, seq, ack, window, urgent = out.flags, out.seq, out.ack, out.window, out.urgent
    tsval, tsecr = out.tsval, out.tsecr
    tcp_sum = 0
    length = (32 if out.has_timestamps else 20) + len(payload)
    if checksum:
        tcp_sum = pseudo_header_sum(source, destination, length)
        tcp_sum += source_port + destination_port + seq + ack + window + urgent
        tcp_sum += (0x8000 | flags) + TIMESTAMPS_HEAD + tsval + tsecr if out.has_timestamps else 0x5000 | flags
        tcp_sum = complement(payload, tcp_sum)
    if out.has_timestamps:
        header = _WRITE6_TIMESTAMPS(
            _VERSION6, length, TCP_PROTOCOL, ttl, source, destination, source_port, destination_port, seq, ack,
            0x8000 | flags, window, tcp_sum, urgent, TIMESTAMPS_HEAD, tsval, tsecr,
        )  # fmt: skip
        return header + payload
    header = _WRITE6(
        _VERSION6, length, TCP_PROTOCOL, ttl, source, destination, source_port, destination_port, seq, ack,
        0x5000 | flags, window, tcp_sum, urgent,
    )  # fmt: skip
    return header + payload


def _build_any(key: bytes, out: Outgoing, identification: int, ttl: int, checksum: bool) -> bytes:
    """As build_packet, for any options."""
    size = (len(key) - 4) // 2
    destination, source = key[:size], key[size : 2 * size]
    destination_port, source_port = _PORTS.unpack_from(key, 2 * size)
    segment = tcp.build_tcp_header(out, source_port, destination_port) + out.payload
    if checksum:
        pseudo = pseudo_header_sum(source, destination, len(segment))
        segment = _with_tcp_checksum(segment, 0, complement(segment, pseudo))
    if size == 16:
        return ip6.build_ip6(source, destination, len(segment), ttl=ttl) + segment
    header = ip4.build_ip4(
        source, destination, len(segment), identification=identification, ttl=ttl, with_checksum=checksum
    )
    return header + segment


def _with_tcp_checksum(data: bytes, start: int, value: int) -> bytes:
    at = start + tcp.CHECKSUM_AT
    return data[:at] + value.to_bytes(2, "big") + data[at + 2 :]


def complete_checksums(packet: bytes) -> bytes:
    """`packet` with the checksums that were left out (those that are 0) filled in; those that are there stay, even wrong ones.

    So a packet that was damaged on its way is not repaired. What is no whole TCP packet comes back as it is.
    """
    try:
        header = parse_ip(packet)
        start, end = _tcp_start(header), header.end
        tcp.header_length(packet, start, end)
    except ParseError:
        return packet
    if isinstance(header, Ip4Header) and header.checksum == 0:
        at = ip4.CHECKSUM_AT
        packet = packet[:at] + complement(packet[:start]).to_bytes(2, "big") + packet[at + 2 :]
    at = start + tcp.CHECKSUM_AT
    if packet[at] == packet[at + 1] == 0:
        pseudo = pseudo_header_sum(header.source, header.destination, end - start)
        packet = _with_tcp_checksum(packet, start, complement(packet[start:end], pseudo))
    return packet


def verify_checksums(packet: Buffer) -> bool:
    """Whether `packet` is a whole TCP packet whose checksums, the IPv4 header's and TCP's, are right."""
    try:
        header = parse_ip(packet)
        _tcp_start(header)
        _verify(packet, header)
    except ParseError:
        return False
    return True


def cut(out: Outgoing) -> list[Outgoing]:
    """`out` as segments of at most `gso_size` bytes; itself alone when it is no longer than that or has no `gso_size`.

    PSH and FIN go on the last, CWR on the first only (RFC 3168 6.1.2). The payloads are views into that of `out`.
    """
    size, payload = out.gso_size, out.payload
    total = len(payload)
    if size <= 0 or total <= size:
        return [out]
    view = memoryview(payload)
    middle = out.flags & ~(PSH | FIN | CWR)
    pieces = []
    for at in range(0, total, size):
        flags = middle
        if at == 0:
            flags |= out.flags & CWR
        if at + size >= total:
            flags |= out.flags & (PSH | FIN)
        piece = Outgoing((out.seq + at) & 0xFFFFFFFF, out.ack, flags, out.window, out.reason, view[at : at + size])
        piece.has_timestamps = out.has_timestamps
        piece.tsval = out.tsval
        piece.tsecr = out.tsecr
        piece.sacks = out.sacks
        pieces.append(piece)
    return pieces


class PacketView:
    """A packet for those who look at it: pictures, captures, predicates.

    `version` is 4 or 6; `source` and `destination` are packed addresses; `ip_header` (with its options or extension
    headers) and `tcp_header` (with its options) are the bytes as they lie there; `checksum` is TCP's field; `ttl` is the
    hop limit in IPv6.
    """

    __slots__ = (
        "checksum", "destination", "destination_port", "ip_header", "segment", "source", "source_port", "tcp_header",
        "ttl", "version",
    )  # fmt: skip

    def __init__(self, packet: Buffer, header: Ip4Header | Ip6Header, segment: Segment) -> None:
        start = header.header_length
        self.version: int = header.version
        self.source: bytes = header.source
        self.destination: bytes = header.destination
        self.ttl: int = header.ttl
        self.segment: Segment = segment
        self.ip_header: bytes = bytes(packet[:start])
        self.tcp_header: bytes = bytes(packet[start : start + tcp.header_length(packet, start, header.end)])
        self.source_port, self.destination_port = _PORTS.unpack_from(self.tcp_header)
        self.checksum: int = int.from_bytes(self.tcp_header[tcp.CHECKSUM_AT : tcp.CHECKSUM_AT + 2], "big")

    @property
    def options(self) -> list[Option]:
        """Every TCP option in its order, NOPs too; what follows the end of the options is left out."""
        return parse_options(self.tcp_header, tcp.MIN_HEADER, len(self.tcp_header))


def describe(packet: Buffer) -> PacketView:
    """`packet` laid open; its checksums are not looked at. Raises ParseError as parse_packet does."""
    header = parse_ip(packet)
    return PacketView(packet, header, tcp.parse_tcp(packet, _tcp_start(header), header.end))
