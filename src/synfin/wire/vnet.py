"""The virtio-net header that a TUN device with offloads puts before each packet (virtio 1.2, 5.1.6), and packets behind one.

Owns its ten bytes and the partial checksum: TCP's field has the pseudo-header's sum, and whoever puts the packet on a wire
adds the rest (`needs checksum`). The header is in the machine's byte order, as Linux's TUN has it by default. Knows no device.
"""

import struct
from struct import Struct
from typing import Final

from synfin.engine.errors import UsageError
from synfin.engine.segment import Buffer, Outgoing
from synfin.wire.checksum import TCP_PROTOCOL, pseudo_header_sum
from synfin.wire.ip4 import build_ip4
from synfin.wire.ip6 import build_ip6
from synfin.wire.tcp import CHECKSUM_AT, build_tcp_header
from synfin.wire.tcpoptions import TIMESTAMPS_HEAD

LENGTH: Final = 10  # bytes
NEEDS_CHECKSUM: Final = 1  # flag: TCP's checksum is partial
DATA_VALID: Final = 2  # flag: it was looked at and is right
NO_GSO: Final = 0
GSO_TCP4: Final = 1
GSO_TCP6: Final = 4
GSO_ECN: Final = 0x80  # with either: CWR on the first piece only

# flags, GSO type, header length, GSO size, where the checksummed part starts, the checksum's place in it
_HEADER: Final = Struct("=BBHHHH")
_READ: Final = Struct("=BBxxHxxxx").unpack_from
PLAIN: Final = bytes(LENGTH)  # a whole packet with a whole checksum

_KEY4: Final = Struct("!IIHH").unpack
_PORTS: Final = Struct("!HH")
_WRITE4: Final = Struct("!HHHHHHIIHHIIHHHH").pack
_WRITE4_TIMESTAMPS: Final = Struct("!HHHHHHIIHHIIHHHHIII").pack
_WRITE6: Final = Struct("!IHBB32sHHIIHHHH").pack
_WRITE6_TIMESTAMPS: Final = Struct("!IHBB32sHHIIHHHHIII").pack


# Before a packet that is not cut, by the length of its connection's key: IPv4, IPv6.
_PREFIXES: Final = {
    12: _HEADER.pack(NEEDS_CHECKSUM, NO_GSO, 0, 0, 20, CHECKSUM_AT),
    36: _HEADER.pack(NEEDS_CHECKSUM, NO_GSO, 0, 0, 40, CHECKSUM_AT),
}


def read_header(data: Buffer) -> tuple[bool, int]:
    """What the header at the start of `data` says: whether TCP's checksum needs no look, and the size in bytes of the wire
    segments that were merged into this packet, 0 for a segment that came alone. `data` has at least 10 bytes.
    """
    flags, kind, size = _READ(data)
    return flags != 0, size if kind else 0


def build_headers(key: bytes, out: Outgoing, *, identification: int, ttl: int = 64) -> bytes:
    """All that goes before the payload of `out`: the virtio-net header, IP's with its checksum, TCP's with a partial one.

    Where `out.gso_size` is above 0 and below the payload's length, the device cuts it into pieces of that size. For other
    arguments, and what is raised, see wire.packet.build_packet.
    """
    try:
        if out.mss >= 0 or out.wscale >= 0 or out.sack_permitted or out.sacks:
            return _headers_any(key, out, identification, ttl)
        return _headers4(key, out, identification, ttl) if len(key) == 12 else _headers6(key, out, ttl)
    except struct.error as error:
        raise UsageError(f"a number does not fit its field in the header: {error}") from None


def _prefix(key: bytes, out: Outgoing, header: int) -> bytes:
    size = out.gso_size
    if not size or len(out.payload) <= size:
        return _PREFIXES[len(key)]
    four = len(key) == 12
    return _HEADER.pack(NEEDS_CHECKSUM, GSO_TCP4 if four else GSO_TCP6, header, size, 20 if four else 40, CHECKSUM_AT)


def _headers4(key: bytes, out: Outgoing, identification: int, ttl: int) -> bytes:
    destination, source, destination_port, source_port = _KEY4(key)
    addresses = source + destination
    stamped = out.has_timestamps
    length = (32 if stamped else 20) + len(out.payload)
    total = length + 20
    ip_sum = -(0x4500 + total + identification + 0x4000 + (ttl << 8 | TCP_PROTOCOL) + addresses) % 0xFFFF
    tcp_sum = (addresses + TCP_PROTOCOL + length) % 0xFFFF
    if stamped:
        return _prefix(key, out, 52) + _WRITE4_TIMESTAMPS(
            0x4500, total, identification, 0x4000, ttl << 8 | TCP_PROTOCOL, ip_sum, source, destination, source_port,
            destination_port, out.seq, out.ack, 0x8000 | out.flags, out.window, tcp_sum, out.urgent, TIMESTAMPS_HEAD,
            out.tsval, out.tsecr,
        )  # fmt: skip
    return _prefix(key, out, 40) + _WRITE4(
        0x4500, total, identification, 0x4000, ttl << 8 | TCP_PROTOCOL, ip_sum, source, destination, source_port,
        destination_port, out.seq, out.ack, 0x5000 | out.flags, out.window, tcp_sum, out.urgent,
    )  # fmt: skip


def _headers6(key: bytes, out: Outgoing, ttl: int) -> bytes:
    destination, source = key[:16], key[16:32]
    destination_port, source_port = _PORTS.unpack_from(key, 32)
    stamped = out.has_timestamps
    length = (32 if stamped else 20) + len(out.payload)
    tcp_sum = pseudo_header_sum(source, destination, length) % 0xFFFF
    if stamped:
        return _prefix(key, out, 72) + _WRITE6_TIMESTAMPS(
            6 << 28, length, TCP_PROTOCOL, ttl, source + destination, source_port, destination_port, out.seq, out.ack,
            0x8000 | out.flags, out.window, tcp_sum, out.urgent, TIMESTAMPS_HEAD, out.tsval, out.tsecr,
        )  # fmt: skip
    return _prefix(key, out, 60) + _WRITE6(
        6 << 28, length, TCP_PROTOCOL, ttl, source + destination, source_port, destination_port, out.seq, out.ack,
        0x5000 | out.flags, out.window, tcp_sum, out.urgent,
    )  # fmt: skip


def _headers_any(key: bytes, out: Outgoing, identification: int, ttl: int) -> bytes:
    """As build_headers, for any options."""
    size = (len(key) - 4) // 2
    destination, source = key[:size], key[size : 2 * size]
    destination_port, source_port = _PORTS.unpack_from(key, 2 * size)
    header = build_tcp_header(out, source_port, destination_port)
    length = len(header) + len(out.payload)
    partial = pseudo_header_sum(source, destination, length) % 0xFFFF
    header = header[:CHECKSUM_AT] + partial.to_bytes(2, "big") + header[CHECKSUM_AT + 2 :]
    if size == 16:
        header = build_ip6(source, destination, length, ttl=ttl) + header
    else:
        header = build_ip4(source, destination, length, identification=identification, ttl=ttl) + header
    return _prefix(key, out, len(header)) + header
