"""SYN cookies (RFC 4987 3.6): the answer to a SYN carries all that a listener would have to remember.

Owns the layout of a cookie, which is the initial sequence number of the SYN,ACK:

    bit 31       the parity of the 64-second step in which it was made
    bits 30..28  which entry of MSS_TABLE: the largest that the peer takes
    bits 27..0   a keyed hash of addresses, ports, the peer's ISN, the step, the entry and the options

and the low bits of the timestamp that goes along when the peer sends timestamps, which comes back in its TSecr:

    bit 5        ECN (0 until the engine has it)
    bit 4        SACK permitted
    bits 3..0    the peer's window scale, 15 for none

A cookie is taken in the step in which it was made and in the next: for 64 to 128 s. Options are part of the hash, so an
altered echo is refused; whoever guesses has one chance in 2^28. Must not know sockets, connections or queues.
"""

import hashlib
import struct
from bisect import bisect_right
from typing import Final

from synfin.engine.config import SECOND
from synfin.engine.seq import MASK

STEP: Final = 64 * SECOND
LIFETIME: Final = 2 * STEP  # the longest
# No peer is sent more than it takes: the least there is an entry for is the least that an IPv4 host may have (RFC 791).
MSS_TABLE: Final = (28, 256, 536, 1220, 1400, 1440, 1460, 8960)
WIDTH: Final = 28  # bits of hash
OPTION_BITS: Final = 6
OPTION_MASK: Final = (1 << OPTION_BITS) - 1
NO_SCALING: Final = 15
SACK_BIT: Final = 0x10
NO_TIMESTAMPS: Final = 0xFF  # in place of the option bits, where the peer sends none

_WHAT: Final = struct.Struct(">IQBBB")
_NUMBER: Final = struct.Struct(">I")


class Cookies:
    """Makes and checks cookies with `secret` (16 bytes or more; 32 count). `width` below 28 cuts the hash: for tests, which
    count how many guesses of a shorter one succeed."""

    __slots__ = ("_base", "_mask")

    def __init__(self, secret: bytes, width: int = WIDTH) -> None:
        self._base: hashlib.blake2s = hashlib.blake2s(digest_size=4, key=secret[:32], person=b"cookie")
        self._mask: int = (1 << width) - 1

    def _hash(self, key: bytes, irs: int, step: int, entry: int, options: int, shift: int) -> int:
        keyed = self._base.copy()
        keyed.update(key + _WHAT.pack(irs, step, entry, options, shift))
        number: int = _NUMBER.unpack(keyed.digest())[0]
        return number & self._mask

    def make(self, key: bytes, irs: int, mss: int, options: int, shift: int, now: int) -> int:
        """The ISN for the SYN with SEG.SEQ `irs` from the peer in `key`, who takes segments of `mss` bytes.

        `options` are option bits or NO_TIMESTAMPS, `shift` the window scale that the SYN,ACK tells; `now` in ns.
        """
        step = now // STEP
        entry = max(bisect_right(MSS_TABLE, mss) - 1, 0)
        return (step & 1) << 31 | entry << 28 | self._hash(key, irs, step, entry, options, shift)

    def check(self, key: bytes, irs: int, cookie: int, options: int, shift: int, now: int) -> int:
        """The MSS that `cookie` stands for, 0 when it is none of ours or too old; the other arguments as for `make`."""
        step = now // STEP
        if (step ^ cookie >> 31) & 1:
            step -= 1
            if step < 0:
                return 0
        entry = cookie >> 28 & 7
        if (cookie ^ self._hash(key, irs, step, entry, options, shift)) & self._mask:
            return 0
        return MSS_TABLE[entry]


def timestamp(clock: int, options: int) -> int:
    """The last timestamp at or before `clock` (the connection's, in ms) whose low bits are `options`: so none that follows
    on the connection is before it (RFC 7323 5.3)."""
    stamp = (clock & ~OPTION_MASK) | options
    if stamp > clock:
        stamp -= OPTION_MASK + 1
    return stamp & MASK
