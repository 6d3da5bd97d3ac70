"""Order and distance of sequence numbers, modulo 2^32 (RFC 9293 3.4).

Owns every comparison of sequence numbers. `fastpath` and the hot loops of `sender` use the same arithmetic inline,
each place marked `# seq inline`. Knows nothing else of TCP.
"""

from typing import Final

MOD: Final = 1 << 32
MASK: Final = MOD - 1
HALF: Final = 1 << 31


def add(a: int, n: int) -> int:
    """The number `n` places after `a`; `n` may be negative."""
    return (a + n) & MASK


def diff(a: int, b: int) -> int:
    """The signed distance from `b` to `a`: positive when `a` comes after `b`; in -2^31 .. 2^31 - 1."""
    return ((a - b + HALF) & MASK) - HALF


def lt(a: int, b: int) -> bool:
    """Whether `a` comes before `b`."""
    return (a - b) & MASK >= HALF


def leq(a: int, b: int) -> bool:
    """Whether `a` is `b` or comes before it."""
    return (b - a) & MASK < HALF


def gt(a: int, b: int) -> bool:
    """Whether `a` comes after `b`."""
    return (b - a) & MASK >= HALF


def geq(a: int, b: int) -> bool:
    """Whether `a` is `b` or comes after it."""
    return (a - b) & MASK < HALF


def within(a: int, start: int, size: int) -> bool:
    """Whether `a` is one of the `size` numbers that begin at `start`."""
    return (a - start) & MASK < size
