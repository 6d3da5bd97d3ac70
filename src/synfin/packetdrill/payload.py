"""What the bytes of a script's streams are: a pattern in which no two places within 64 KB look alike.

Owns the two patterns, one a direction, so that a byte out of its place is seen. Knows no packet.
"""

from random import Random
from typing import Final

PERIOD: Final = 65_521  # a prime: no segment size divides it
_INBOUND: Final = Random(793).randbytes(PERIOD)
_OUTBOUND: Final = Random(9293).randbytes(PERIOD)


def _piece(pattern: bytes, offset: int, length: int) -> bytes:
    offset %= PERIOD
    if offset + length <= PERIOD:
        return pattern[offset : offset + length]
    return (pattern * (2 + length // PERIOD))[offset : offset + length]


def inbound(offset: int, length: int) -> bytes:
    """What the script's packets carry from `offset` of the stream on."""
    return _piece(_INBOUND, offset, length)


def outbound(offset: int, length: int) -> bytes:
    """What a program that says `...` writes from `offset` of the stream on."""
    return _piece(_OUTBOUND, offset, length)
