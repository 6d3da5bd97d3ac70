"""Who holds which local port, and which port an active open gets (RFC 6056).

Owns the bindings and the ephemeral range. Knows nothing of connections: whether one stands in the way is asked of the
stack through a callable.

Two bindings conflict when they have the port and an address in common (an unspecified address has all of its family in
common, None all of both), unless both allow reuse and neither listens: bind(2) and SO_REUSEADDR as on Linux.
"""

from collections.abc import Callable
from typing import Final, Protocol

from synfin.engine.handshake import keyed_number
from synfin.stack.addresses import text
from synfin.stack.errors import AddressInUse, AddressNotAvailable, InvalidAddress

EPHEMERAL: Final = (49_152, 65_535)  # RFC 6335 6; both ends included


class Random(Protocol):
    """What is used of a random.Random."""

    def randrange(self, stop: int, /) -> int:
        """A number from 0 to `stop` - 1."""


class Binding:
    """A socket's hold on `port` at `address` (None: every address of both families)."""

    __slots__ = ("address", "listening", "port", "reuse_address")

    def __init__(self, address: bytes | None, port: int, reuse_address: bool) -> None:
        self.address: bytes | None = address
        self.port: int = port
        self.reuse_address: bool = reuse_address
        self.listening: bool = False


def overlap(a: bytes | None, b: bytes | None) -> bool:
    """Whether two local addresses, None or unspecified ones among them, have an address in common."""
    if a is None or b is None:
        return True
    return len(a) == len(b) and (a == b or not any(a) or not any(b))


class Ports:
    """The local ports of one stack. `secret` keys RFC 6056's hash, `random` gives its starting point."""

    __slots__ = ("_bindings", "_next", "_secret", "first", "last")

    def __init__(self, secret: bytes, random: Random, first: int = EPHEMERAL[0], last: int = EPHEMERAL[1]) -> None:
        if not 1 <= first <= last <= 65_535:
            raise InvalidAddress("the ephemeral ports are a range within 1..65535")
        self.first: int = first
        self.last: int = last
        self._secret: bytes = secret
        self._next: int = random.randrange(65_536)
        self._bindings: dict[int, list[Binding]] = {}

    def bind(
        self, address: bytes | None, port: int, reuse_address: bool, taken: Callable[[int], bool]
    ) -> Binding:
        """Hold `port`, or an ephemeral one for 0. `taken(port)` tells whether a connection stands in the way.

        Raises AddressInUse, for port 0 only when every ephemeral port is held.
        """
        if not port:
            port = self._search(
                keyed_number(self._secret, b"bind", address or b""),
                lambda candidate: not self.held(address, candidate) and not taken(candidate),
            )
            if not port:
                raise AddressInUse("every ephemeral port is held")
        elif self._conflict(address, port, reuse_address) or taken(port):
            raise AddressInUse(f"port {port} at {text(address) if address else 'any address'} is in use")
        binding = Binding(address, port, reuse_address)
        self._bindings.setdefault(port, []).append(binding)
        return binding

    def unbind(self, binding: Binding) -> None:
        """Give the port back; repeating it does nothing."""
        holders = [held for held in self._bindings.get(binding.port, ()) if held is not binding]
        if holders:
            self._bindings[binding.port] = holders
        else:
            self._bindings.pop(binding.port, None)

    def listen(self, binding: Binding) -> None:
        """`binding` begins to listen. Raises AddressInUse when another binding that overlaps listens already."""
        for held in self._bindings.get(binding.port, ()):
            if held is not binding and held.listening and overlap(held.address, binding.address):
                raise AddressInUse(f"another socket listens on port {binding.port}")
        binding.listening = True

    def held(self, address: bytes | None, port: int) -> bool:
        """Whether any binding has `port` at `address`."""
        return any(overlap(held.address, address) for held in self._bindings.get(port, ()))

    def _conflict(self, address: bytes | None, port: int, reuse_address: bool) -> bool:
        return any(
            overlap(held.address, address) and not (reuse_address and held.reuse_address and not held.listening)
            for held in self._bindings.get(port, ())
        )

    def ephemeral(self, local: bytes, remote: bytes, remote_port: int, free: Callable[[int], bool]) -> int:
        """A port for a connection from `local` to `remote`; `free(port)` tells whether the connection is new.

        RFC 6056 3.3.3, algorithm 3: each destination has a sequence of its own, which others cannot predict and in which a
        port comes back as late as can be. Raises AddressNotAvailable when none is free.
        """
        offset = keyed_number(self._secret, b"port", local + remote + remote_port.to_bytes(2, "big"))
        port = self._search(offset, lambda candidate: free(candidate) and not self.held(local, candidate))
        if not port:
            raise AddressNotAvailable(f"no ephemeral port is left towards {text(remote)} port {remote_port}")
        return port

    def _search(self, offset: int, free: Callable[[int], bool]) -> int:
        count = self.last - self.first + 1
        for _ in range(count):
            port = self.first + (self._next + offset) % count
            self._next = (self._next + 1) % count
            if free(port):
                return port
        return 0
