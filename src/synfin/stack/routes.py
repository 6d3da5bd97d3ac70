"""Between which addresses a connection runs, and how large a packet its path was found to take.

Owns the choice of source and destination, and what ICMP has told of paths: it is forgotten after PATH_LIFETIME, so
that a path that has become wider is noticed by the next connection; one that lives tries it then by itself (engine/path.py;
RFC 1191 6.3, RFC 8201 4). Knows no connection.
"""

from collections.abc import Sequence
from typing import Final

from synfin.engine.path import LIFETIME
from synfin.stack.addresses import is_host, text
from synfin.stack.errors import AddressNotAvailable, InvalidAddress, NetworkUnreachable

PATH_LIFETIME: Final = LIFETIME
MOST_PATHS: Final = 1024  # the one learned first is forgotten first


class Paths:
    """Destinations whose path takes less than our own link."""

    __slots__ = ("_learned",)

    def __init__(self) -> None:
        self._learned: dict[bytes, tuple[int, int]] = {}  # address: MTU in bytes, time in ns when it is forgotten

    def __len__(self) -> int:
        return len(self._learned)

    def learn(self, address: bytes, mtu: int, now: int) -> None:
        """Packets to `address` may have `mtu` bytes."""
        self._learned.pop(address, None)
        self._learned[address] = (mtu, now + PATH_LIFETIME)
        if len(self._learned) > MOST_PATHS:
            del self._learned[next(iter(self._learned))]

    def mtu(self, address: bytes, now: int, link: int) -> int:
        """The largest packet for `address` in bytes; `link` is what our own link takes."""
        if not self._learned:
            return link
        found = self._learned.get(address)
        if found is None:
            return link
        if now >= found[1]:
            del self._learned[address]
            return link
        return min(found[0], link)


def choose(own: Sequence[bytes], address: bytes | None, target: bytes) -> tuple[bytes, bytes]:
    """The source and the destination of a connection from `address` to `target`, with unspecified addresses filled in; a host
    with the addresses `own` speaks to itself when the target is unspecified. Raises InvalidAddress, NetworkUnreachable,
    AddressNotAvailable."""
    if len(target) not in (4, 16) or (address is not None and len(address) != len(target)):
        raise InvalidAddress("an address has 4 or 16 bytes, both ends the same")
    ours = [one for one in own if len(one) == len(target)]
    if not ours:
        raise NetworkUnreachable(f"no address of this host speaks the family of {text(target)}")
    if not any(target):
        target = address if address is not None and address in own else ours[0]
    if not is_host(target):
        raise NetworkUnreachable(f"{text(target)} is no host")
    if address is None or not any(address):
        return (target if target in own else ours[0]), target
    if address not in own:
        raise AddressNotAvailable(f"{text(address)} is not an address of this host")
    return address, target
