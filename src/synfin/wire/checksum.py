"""The Internet checksum (RFC 1071) and the pseudo-headers of TCP over IPv4 and IPv6 (RFC 9293 3.1)."""

from typing import Final

from synfin.engine.segment import Buffer

TCP: Final = 6


def total(data: Buffer) -> int:
    """The 16-bit words of `data` summed in ones' complement arithmetic, as a number below 65,535 (odd length: padded by 0)."""
    value = int.from_bytes(data, "big")
    if len(data) & 1:
        value <<= 8
    return value % 65_535


def checksum(data: Buffer, initial: int = 0) -> int:
    """The 16-bit checksum of `data`, `initial` being a sum to begin with; over data that holds its right checksum it is 0."""
    value = (total(data) + initial) % 65_535
    return (65_535 - value) % 65_535


def pseudo_header(addresses: Buffer, length: int) -> int:
    """The sum of the pseudo-header: `addresses` is source and destination (8 or 32 bytes), `length` that of the segment."""
    return total(addresses) + TCP + (length >> 16) + (length & 0xFFFF)
