"""Who listens where: listeners by local address and port, the local ports they and other sockets hold.

Owns the listeners' places and bindings, and the sum of what they have counted, those that are gone among them. Must not know
what a listener answers, nor the table of connections: who asks tells whether one of those stands in the way.
"""

from collections.abc import Callable, Sequence
from typing import Final

from synfin.engine.counts import ListenerCounts
from synfin.engine.listener import Listener
from synfin.stack.addresses import ANY4, ANY6, IP4_KEY, listener_key, text
from synfin.stack.errors import AddressNotAvailable, InvalidAddress
from synfin.stack.ports import Binding, Ports

MAX_BACKLOG: Final = 4096  # net.core.somaxconn
MIN_SYN_BACKLOG: Final = 8  # half-open records that even listen(0) may keep


class Listening:
    """The listeners of a stack with the addresses `own`, whose ports are `ports`."""

    __slots__ = ("_gone", "_held", "_listeners", "_own", "_ports")

    def __init__(self, own: Sequence[bytes], ports: Ports) -> None:
        self._own: tuple[bytes, ...] = tuple(own)
        self._ports: Ports = ports
        self._listeners: dict[bytes, Listener] = {}  # by local address and port
        self._held: dict[bytes, tuple[Listener, Binding]] = {}  # by key
        self._gone: ListenerCounts = ListenerCounts()

    def at(self, key: bytes) -> Listener | None:
        """The listener at the key's local address and port, or at every address."""
        listeners = self._listeners
        if not listeners:
            return None
        port = key[-2:]
        if len(key) == IP4_KEY:
            found = listeners.get(key[4:8] + port)
            return found if found is not None else listeners.get(ANY4 + port)
        found = listeners.get(key[16:32] + port)
        return found if found is not None else listeners.get(ANY6 + port)

    def counts(self) -> ListenerCounts:
        """What all listeners together have counted, those that are closed too."""
        total = ListenerCounts()
        total.add(self._gone)
        for listener, _ in self._held.values():
            total.add(listener.counts)
        return total

    def bind(self, local: tuple[bytes | None, int], reuse_address: bool, taken: Callable[[int], bool]) -> Binding:
        """Hold the address (None: any) and port of `local`, for port 0 one that is not `taken(port)`. Raises as Stack.bind."""
        address, port = local
        if not 0 <= port <= 65_535 or (address is not None and len(address) not in (4, 16)):
            raise InvalidAddress(f"no address or port: {local}")
        if address is not None and any(address) and address not in self._own:
            raise AddressNotAvailable(f"{text(address)} is not an address of this host")
        return self._ports.bind(address, port, reuse_address, taken)

    def begin(self, held: Binding) -> bytes:
        """A listener takes over `held`; returns its key. Raises AddressInUse where another listens."""
        self._ports.listen(held)
        only6 = held.address is None and not any(len(own) == 4 for own in self._own)
        return listener_key(ANY6 if only6 else self._places(held)[0], held.port)

    @staticmethod
    def _places(held: Binding) -> tuple[bytes, ...]:
        return (ANY4, ANY6) if held.address is None else (held.address,)

    def add(self, listener: Listener, held: Binding) -> None:
        """`listener` is what is found at `held`."""
        self._held[listener.key] = listener, held
        for address in self._places(held):
            self._listeners[address + held.port.to_bytes(2, "big")] = listener

    def remove(self, listener: Listener) -> None:
        """`listener` is closed: its port is free, its counts stay."""
        for local in [local for local, found in self._listeners.items() if found is listener]:
            del self._listeners[local]
        found = self._held.get(listener.key)
        if found is not None and found[0] is listener:
            del self._held[listener.key]
            self._gone.add(listener.counts)
            self._ports.unbind(found[1])


def limits(backlog: int) -> tuple[int, int]:
    """How many connections wait for accept, and how many half-open entries are kept, for listen's `backlog`."""
    limit = backlog if 0 <= backlog <= MAX_BACKLOG else MAX_BACKLOG
    return limit, max(limit, MIN_SYN_BACKLOG)

