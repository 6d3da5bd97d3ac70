"""The IPv4 header (RFC 791 3.1): parse and build. Options are stepped over, fragments recognized, not put together.

Knows nothing of what the packet carries.
"""

from struct import Struct
from typing import Final

from synfin.engine.errors import DropReason
from synfin.engine.segment import Buffer
from synfin.wire.checksum import checksum
from synfin.wire.errors import ParseError

MIN_HEADER: Final = 20
DONT_FRAGMENT: Final = 0x4000
MORE_FRAGMENTS: Final = 0x2000
OFFSET: Final = 0x1FFF  # in units of 8 bytes
CHECKSUM_AT: Final = 10

_HEADER: Final = Struct("!BBHHHBBH4s4s")


class Ip4Header:
    """A parsed header. `header_length` counts its options, `end` is where the packet ends in the buffer (its total length).

    `fragment` is true of any part of a datagram that is not whole; `offset` is in bytes.
    """

    __slots__ = (
        "checksum", "destination", "end", "flags", "fragment", "header_length", "identification", "offset", "protocol",
        "source", "tos", "ttl",
    )  # fmt: skip

    version: Final = 4

    def __init__(self, packet: Buffer) -> None:
        first, tos, total, identification, fragment, ttl, protocol, check, source, destination = _HEADER.unpack_from(packet)
        self.source: bytes = source
        self.destination: bytes = destination
        self.protocol: int = protocol
        self.ttl: int = ttl
        self.tos: int = tos
        self.identification: int = identification
        self.flags: int = fragment & ~OFFSET
        self.offset: int = (fragment & OFFSET) * 8
        self.fragment: bool = bool(fragment & (MORE_FRAGMENTS | OFFSET))
        self.checksum: int = check
        self.header_length: int = (first & 15) * 4
        self.end: int = total


def parse_ip4(packet: Buffer) -> Ip4Header:
    """The header at the start of `packet`, whose bytes beyond the total length are padding of the link.

    Raises ParseError: TRUNCATED, IP_VERSION or IP_HEADER. The checksum is not looked at.
    """
    if len(packet) < MIN_HEADER:
        raise ParseError(DropReason.TRUNCATED, f"{len(packet)} bytes are no IPv4 header")
    if packet[0] >> 4 != 4:
        raise ParseError(DropReason.IP_VERSION, f"version {packet[0] >> 4} where 4 belongs")
    header = Ip4Header(packet)
    if header.header_length < MIN_HEADER or header.end < header.header_length:
        raise ParseError(DropReason.IP_HEADER, f"header of {header.header_length}, packet of {header.end} bytes")
    if header.end > len(packet):
        raise ParseError(DropReason.TRUNCATED, f"total length {header.end}, {len(packet)} bytes there")
    return header


def build_ip4(
    source: bytes,
    destination: bytes,
    length: int,
    *,
    protocol: int = 6,
    identification: int = 0,
    ttl: int = 64,
    tos: int = 0,
    flags: int = DONT_FRAGMENT,
    with_checksum: bool = True,
) -> bytes:
    """A header of 20 bytes before a payload of `length` bytes; addresses are packed.

    Without `with_checksum` its field stays 0. Raises struct.error when a number does not fit its field.
    """
    fields = (0x45, tos, MIN_HEADER + length, identification, flags, ttl, protocol)
    header = _HEADER.pack(*fields, 0, source, destination)
    return _HEADER.pack(*fields, checksum(header), source, destination) if with_checksum else header
