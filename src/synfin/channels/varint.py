"""Unsigned LEB128: seven bits a byte, the lowest first, the eighth bit says that more follow. Knows no message and no limit.

Only the shortest form of a number is valid here, so that one message has one encoding.
"""

from typing import Final

from synfin.engine.errors import UsageError

LONGEST: Final = 9  # bytes: numbers below 2^63
LARGEST: Final = (1 << 63) - 1


def encode(number: int) -> bytes:
    """The shortest form of `number`; raises UsageError for one below 0 or above 2^63 - 1."""
    if not 0 <= number <= LARGEST:
        raise UsageError(f"a varint holds 0 to 2^63 - 1, not {number}")
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def width(number: int) -> int:
    """How many bytes the shortest form of `number` has."""
    return max(1, (number.bit_length() + 6) // 7)


def decode(data: bytes | bytearray, at: int, end: int, longest: int = LONGEST) -> tuple[int, int]:
    """(number, its width in bytes) of the varint at `data[at]`; (0, 0) while its last byte has not come before `end`.

    Raises ValueError, with the reason in words, for one of more than `longest` bytes and for one that is not the shortest.
    """
    number = shift = 0
    for place in range(at, min(end, at + longest)):
        byte = data[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if not byte and shift:
                raise ValueError(f"a varint of {place + 1 - at} bytes is not the shortest form of {number}")
            return number, place + 1 - at
        shift += 7
    if end - at >= longest:
        raise ValueError(f"a varint goes on after {longest} bytes")
    return 0, 0
