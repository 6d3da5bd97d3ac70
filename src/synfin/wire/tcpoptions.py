"""TCP options: MSS (RFC 9293 3.2), window scale and timestamps (RFC 7323), SACK permitted and SACK (RFC 2018).

Others are skipped by their length. A length that leads past the header makes the whole header wrong.
"""

import struct
from typing import Final

from synfin.engine.errors import DropReason
from synfin.engine.segment import SYN, Outgoing, Segment
from synfin.wire.errors import ParseError

END: Final = 0
NOP: Final = 1
MSS: Final = 2
WINDOW_SCALE: Final = 3
SACK_PERMITTED: Final = 4
SACK: Final = 5
TIMESTAMPS: Final = 8
LENGTHS: Final = {MSS: 4, WINDOW_SCALE: 3, SACK_PERMITTED: 2, TIMESTAMPS: 10}
_TWO: Final = struct.Struct("!II")


def split_options(options: memoryview) -> list[tuple[int, bytes]]:
    """(kind, value) of each option up to END, NOPs included; raises ParseError where a length is impossible."""
    found: list[tuple[int, bytes]] = []
    at, end = 0, len(options)
    while at < end:
        kind = options[at]
        if kind == END:
            break
        if kind == NOP:
            found.append((NOP, b""))
            at += 1
            continue
        if at + 1 >= end or not 2 <= options[at + 1] <= end - at:
            raise ParseError(DropReason.TCP_OPTION, f"TCP option {kind} at offset {20 + at} passes the header")
        length = options[at + 1]
        found.append((kind, bytes(options[at + 2 : at + length])))
        at += length
    return found


def parse_options(options: memoryview, segment: Segment) -> None:
    """Set the fields of `segment` that the options tell; an option of a wrong length is skipped."""
    for kind, value in split_options(options):
        if kind == NOP:
            continue
        if kind == SACK:
            if value and len(value) % 8 == 0:
                segment.sacks = tuple(_TWO.iter_unpack(value))
        elif LENGTHS.get(kind) != len(value) + 2:
            continue
        elif kind == MSS:
            segment.mss = int.from_bytes(value, "big")
        elif kind == WINDOW_SCALE:
            segment.wscale = value[0]
        elif kind == SACK_PERMITTED:
            segment.sack_permitted = True
        else:
            segment.has_timestamps = True
            segment.tsval, segment.tsecr = _TWO.unpack(value)


def build_options(out: Outgoing) -> bytes:
    """The options of `out`, padded to 32-bit words; on a SYN in the order MSS, SACK permitted, timestamps, NOP, window scale."""
    if not out.flags & SYN:
        options = b"\x01\x01\x08\x0a" + _TWO.pack(out.tsval, out.tsecr) if out.has_timestamps else b""
        if out.sacks:
            blocks = b"".join(_TWO.pack(left, right) for left, right in out.sacks)
            options += bytes((NOP, NOP, SACK, 2 + len(blocks))) + blocks
        return options
    options = b""
    if out.mss >= 0:
        options += struct.pack("!BBH", MSS, 4, out.mss)
    if out.sack_permitted:
        options += b"\x04\x02" if out.has_timestamps else b"\x01\x01\x04\x02"
    elif out.has_timestamps:
        options += b"\x01\x01"
    if out.has_timestamps:
        options += b"\x08\x0a" + _TWO.pack(out.tsval, out.tsecr)
    if out.wscale >= 0:
        options += bytes((NOP, WINDOW_SCALE, 3, out.wscale))
    return options
