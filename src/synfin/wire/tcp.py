"""The TCP header (RFC 9293 3.1): parse and build, without the packet around it.

Owns the fixed 20 bytes and the data offset; tcpoptions owns what follows them, packet the usual case at speed. Knows no
address, so it neither checks nor fills in the checksum.
"""

from struct import Struct
from typing import Final

from synfin.engine.errors import DropReason
from synfin.engine.segment import Buffer, Outgoing, Segment
from synfin.wire.errors import ParseError
from synfin.wire.tcpoptions import build_options, read_options

MIN_HEADER: Final = 20
FLAGS: Final = 0x1FF  # nine: AE is bit 7 of the header's word 3 (RFC 9768), the eight others its second byte
CHECKSUM_AT: Final = 16

_HEADER: Final = Struct("!HHIIHHHH")
_NUMBERS: Final = Struct("!IIHHxxH")


def header_length(data: Buffer, start: int, end: int) -> int:
    """The length in bytes of the header of the segment in `data[start:end]`, its options included.

    Raises ParseError: TRUNCATED or TCP_HEADER.
    """
    if end - start < MIN_HEADER:
        raise ParseError(DropReason.TRUNCATED, f"{end - start} bytes are no TCP header")
    length = data[start + 12] >> 4 << 2
    if length < MIN_HEADER or length > end - start:
        raise ParseError(DropReason.TCP_HEADER, f"data offset of {length} bytes in a segment of {end - start}")
    return length


def parse_tcp(data: Buffer, start: int, end: int) -> Segment:
    """The segment in `data[start:end]`; its payload is a view into `data` (a copy where `data` is bytes).

    Raises ParseError: TRUNCATED, TCP_HEADER or TCP_OPTION. Ports and checksum are not looked at.
    """
    text = start + header_length(data, start, end)
    seq, ack, bits, window, urgent = _NUMBERS.unpack_from(data, start + 4)
    segment = Segment(seq, ack, bits & FLAGS, window)
    segment.urgent = urgent
    if text > start + MIN_HEADER:
        read_options(data, start + MIN_HEADER, text, segment)
    if text < end:
        segment.payload = data[text:end] if isinstance(data, bytes) else memoryview(data)[text:end]
    return segment


def build_tcp_header(out: Outgoing, source_port: int, destination_port: int) -> bytes:
    """The header of `out` with its options; the checksum is 0.

    Raises UsageError when the options take more than 40 bytes, struct.error when a number does not fit its field.
    """
    options = build_options(out)
    bits = (MIN_HEADER + len(options)) >> 2 << 12 | out.flags
    return _HEADER.pack(source_port, destination_port, out.seq, out.ack, bits, out.window, 0, out.urgent) + options
