"""How random source addresses are: entropy over their bits against what so many addresses allow.

Owns estimators; knows addresses (packed, 4 or 16 bytes), no samples and no thresholds but those it is given.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

MAPPED: Final = bytes(10) + b"\xff\xff"  # RFC 4291 2.5.5.2
# Prefixes looked at, in bits, longest first: host, subnet, network.
PREFIXES: Final = {4: (32, 24, 16), 16: (128, 64, 56, 48, 32)}
NETWORK_BITS: Final = {4: 24, 16: 48}


@dataclass(frozen=True, slots=True)
class Sources:
    """`count` addresses, `distinct` different ones; `randomness` 0 to 1; the `network` (address, bits) with `share` of all."""

    count: int
    distinct: int
    randomness: float
    network: tuple[bytes, int]
    share: float


def unmapped(address: bytes) -> bytes:
    """An IPv4 address that came as an IPv4-mapped IPv6 address, as IPv4; any other as it is."""
    return address[12:] if len(address) == 16 and address.startswith(MAPPED) else address


def prefix(address: bytes, bits: int) -> bytes:
    """`address` with all behind the first `bits` (a multiple of 8) zero."""
    return address[: bits // 8] + bytes(len(address) - bits // 8)


def network(address: bytes) -> bytes:
    """The /24 or /48 of `address`."""
    return address[: NETWORK_BITS[len(address)] // 8]


def entropy(counts: Collection[int]) -> float:
    """Shannon's entropy in bits of what was seen so many times each, with Miller's and Madow's correction.

    The plug-in estimate is too low by about (kinds - 1) / (2 n) nats, which matters most for few sources (Miller 1955).
    """
    total = sum(counts)
    if total == 0:
        return 0.0
    plain = math.log2(total) - sum(n * math.log2(n) for n in counts if n > 1) / total
    return plain + (len(counts) - 1) / (2 * total * math.log(2))


def randomness(addresses: Sequence[bytes]) -> float:
    """0 for one address, about 1 for addresses drawn evenly from all: entropy at several prefix lengths against its limit.

    At each length the entropy is divided by what so many addresses (and so many bits) allow, min(log2 n, bits), and the least
    of these quotients counts: addresses of one /16 are random in their last bits only. All of `addresses` are of one family.
    """
    if len(addresses) < 2:
        return 0.0
    bits = PREFIXES[len(addresses[0])]
    limit = math.log2(len(addresses))
    found = [
        entropy(Counter(address[: length // 8] for address in addresses).values()) / min(limit, length) for length in bits
    ]
    return max(0.0, min(1.0, *found))


def sources(addresses: Iterable[bytes], concentrated: float) -> Sources | None:
    """What the addresses of the more frequent family look like; None for no addresses.

    `network` is the longest prefix that holds at least the share `concentrated` of them, else the one that holds most.
    """
    families: dict[int, list[bytes]] = {4: [], 16: []}
    for each in addresses:
        address = unmapped(each)
        families[len(address)].append(address)
    chosen = max(families.values(), key=len)
    if not chosen:
        return None
    total = len(families[4]) + len(families[16])
    top, bits, count = chosen[0], 0, 0
    for length in PREFIXES[len(chosen[0])]:
        tally = Counter(address[: length // 8] for address in chosen)
        first, times = min(tally.items(), key=lambda item: (-item[1], item[0]))
        if times > count:
            top, bits, count = first, length, times
        if times >= concentrated * total:
            break
    padded = top[: bits // 8] + bytes(len(chosen[0]) - bits // 8)
    return Sources(total, len(set(chosen)), randomness(chosen), (padded, bits), count / total)
