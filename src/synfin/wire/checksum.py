"""The Internet checksum (RFC 1071) and the pseudo-headers that TCP puts before its own (RFC 9293 3.1).

Owns the arithmetic, knows no header. A big-endian number modulo 65535 is the one's complement sum of its 16-bit words,
because 2^16 = 1 (mod 65535): one conversion and one division do it without a loop. Where the program itself has imported
numpy, its sum takes over from 1 KB on; synfin never imports it, so that a seeded run is the same with and without it.
"""

import sys
from typing import Final

from synfin.engine.segment import Buffer

TCP_PROTOCOL: Final = 6
NUMPY_FROM: Final = 1024  # bytes; below, numpy's fixed cost of 1.5 us is the larger


def ones_complement_sum(buffer: Buffer, initial: int = 0) -> int:
    """The 16-bit one's complement sum of `buffer`, a last odd byte padded with zero on its right (RFC 1071 1).

    `initial` is any number of 16-bit words already added up. Returns 0 only when all that was added is 0, else 1..65535.
    """
    if len(buffer) >= NUMPY_FROM:
        numpy = sys.modules.get("numpy")
        if hasattr(numpy, "frombuffer"):
            return _sum_by_numpy(numpy, buffer, initial)
    total = int.from_bytes(buffer, "big")
    if len(buffer) & 1:
        total <<= 8
    total += initial
    return total % 0xFFFF or (0xFFFF if total else 0)


def _sum_by_numpy(numpy: object, buffer: Buffer, initial: int) -> int:
    whole = len(buffer) & ~3
    words = numpy.frombuffer(buffer, "<u4", whole >> 2)  # type: ignore[attr-defined]
    # Summed in the other byte order, the result is the sum with its two bytes swapped (RFC 1071 2 B).
    swapped = int(words.sum(dtype="u8")) % 0xFFFF
    rest = buffer[whole:]
    total = (swapped & 0xFF) << 8 | swapped >> 8
    total += (int.from_bytes(rest, "big") << (8 * (len(rest) & 1))) + initial
    # Whether all bytes are 0 cannot be told from the residue: look only where it matters.
    return total % 0xFFFF or (0xFFFF if total or any(buffer) else 0)


def checksum(buffer: Buffer, initial: int = 0) -> int:
    """What goes into a checksum field: the complement of ones_complement_sum. The field itself must be 0 in `buffer`."""
    return 0xFFFF - ones_complement_sum(buffer, initial)


def pseudo_header_sum(source: bytes, destination: bytes, length: int) -> int:
    """The pseudo-header of a TCP segment of `length` bytes, for `initial`; RFC 9293 3.1 for packed addresses of 4 bytes,
    RFC 8200 8.1 for those of 16: the words are the same, only the order in which they stand differs.
    """
    return int.from_bytes(source, "big") + int.from_bytes(destination, "big") + TCP_PROTOCOL + length
