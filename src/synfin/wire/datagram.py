"""IP datagrams that carry something else than TCP: built, and cut into fragments where the link is too small.

Owns the fragments' headers on the way out (RFC 791 3.2, RFC 8200 4.5); the way back together is stack.fragments'. TCP does not
come here: its segments are made to fit.
"""

from struct import Struct
from typing import Final

from synfin.engine.segment import Buffer
from synfin.wire import ip4, ip6

_FRAGMENT6: Final = Struct("!BBHI")


def build_datagram(
    source: bytes, destination: bytes, protocol: int, payload: Buffer, *, mtu: int, identification: int, ttl: int = 64
) -> list[bytes]:
    """The packets that carry `payload`, none longer than `mtu` bytes: one, or fragments in order.

    `identification` is of 32 bits; IPv4 takes the lower 16 of it. Don't Fragment is not set.
    """
    size = len(payload)
    if len(source) == 4:
        if size + ip4.MIN_HEADER <= mtu:
            return [_packet4(source, destination, protocol, payload, identification, ttl, 0)]
        step = (mtu - ip4.MIN_HEADER) & ~7
        return [
            _packet4(source, destination, protocol, payload[at : at + step], identification, ttl, _word4(at, step, size))
            for at in range(0, size, step)
        ]
    if size + ip6.HEADER <= mtu:
        return [ip6.build_ip6(source, destination, size, protocol=protocol, ttl=ttl) + payload]
    step = (mtu - ip6.HEADER - _FRAGMENT6.size) & ~7
    packets = []
    for at in range(0, size, step):
        more = int(at + step < size)
        part = _FRAGMENT6.pack(protocol, 0, at | more, identification) + payload[at : at + step]
        packets.append(ip6.build_ip6(source, destination, len(part), protocol=ip6.FRAGMENT, ttl=ttl) + part)
    return packets


def _word4(at: int, step: int, size: int) -> int:
    """Flags and offset of the fragment that begins at byte `at`."""
    return (ip4.MORE_FRAGMENTS if at + step < size else 0) | at >> 3


def _packet4(
    source: bytes, destination: bytes, protocol: int, payload: Buffer, identification: int, ttl: int, flags: int
) -> bytes:
    header = ip4.build_ip4(
        source, destination, len(payload), protocol=protocol, identification=identification & 0xFFFF, ttl=ttl, flags=flags
    )
    return header + payload
