"""The IPv6 header (RFC 8200 3) and the extension headers that may stand before TCP: parse and build.

Hop-by-hop options, destination options and a routing header without segments left are stepped over, their options not
read. Fragments are recognized, not put together. Knows nothing of what the packet carries.
"""

from struct import Struct
from typing import Final

from synfin.engine.errors import DropReason
from synfin.engine.segment import Buffer
from synfin.wire.errors import ParseError

HEADER: Final = 40
HOP_BY_HOP: Final = 0
ROUTING: Final = 43
FRAGMENT: Final = 44
DESTINATION_OPTIONS: Final = 60

_HEADER: Final = Struct("!IHBB16s16s")


class Ip6Header:
    """A parsed header. `protocol` is that of what follows the extension headers, which `header_length` counts.

    `end` is where the packet ends in the buffer. `fragment` is true of any part of a datagram that is not whole; an
    atomic fragment (RFC 6946) is whole.
    """

    __slots__ = (
        "destination", "end", "flow_label", "fragment", "header_length", "protocol", "source", "tos", "ttl",
    )  # fmt: skip

    version: Final = 6

    def __init__(self, packet: Buffer) -> None:
        first, length, protocol, ttl, source, destination = _HEADER.unpack_from(packet)
        self.source: bytes = source
        self.destination: bytes = destination
        self.protocol: int = protocol
        self.ttl: int = ttl
        self.tos: int = first >> 20 & 0xFF
        self.flow_label: int = first & 0xFFFFF
        self.fragment: bool = False
        self.header_length: int = HEADER
        self.end: int = HEADER + length


def parse_ip6(packet: Buffer) -> Ip6Header:
    """The headers at the start of `packet`, whose bytes beyond the payload length are padding of the link.

    Raises ParseError: TRUNCATED, IP_VERSION or IP_HEADER.
    """
    if len(packet) < HEADER:
        raise ParseError(DropReason.TRUNCATED, f"{len(packet)} bytes are no IPv6 header")
    if packet[0] >> 4 != 6:
        raise ParseError(DropReason.IP_VERSION, f"version {packet[0] >> 4} where 6 belongs")
    header = Ip6Header(packet)
    if header.end > len(packet):
        raise ParseError(DropReason.TRUNCATED, f"payload length {header.end - HEADER}, {len(packet) - HEADER} bytes there")
    while header.protocol in (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS) and not header.fragment:
        _step_over(packet, header)
    return header


def _step_over(packet: Buffer, header: Ip6Header) -> None:
    """Move `header` past the extension header at its end."""
    at, kind = header.header_length, header.protocol
    if at + 8 > header.end:  # every extension header has 8 bytes at least
        raise ParseError(DropReason.TRUNCATED, f"extension header {kind} at byte {at} of {header.end}")
    size = 8
    if kind == FRAGMENT:
        # The M flag and the offset, two reserved bits between them (4.5).
        header.fragment = bool((packet[at + 2] << 8 | packet[at + 3]) & 0xFFF9)
    else:
        size += packet[at + 1] * 8
        if kind == HOP_BY_HOP and at != HEADER:
            raise ParseError(DropReason.IP_HEADER, "hop-by-hop options not in the first place")  # 4.1
        if kind == ROUTING and packet[at + 3]:
            raise ParseError(DropReason.IP_HEADER, f"{packet[at + 3]} segments left in a routing header")  # 4.4
    if at + size > header.end:
        raise ParseError(DropReason.TRUNCATED, f"extension header {kind} ends at byte {at + size} of {header.end}")
    header.protocol = packet[at]
    header.header_length = at + size


def build_ip6(
    source: bytes, destination: bytes, length: int, *, protocol: int = 6, ttl: int = 64, tos: int = 0, flow_label: int = 0
) -> bytes:
    """A header of 40 bytes before a payload of `length` bytes; addresses are packed.

    Raises struct.error when a number does not fit its field.
    """
    return _HEADER.pack(6 << 28 | tos << 20 | flow_label, length, protocol, ttl, source, destination)
