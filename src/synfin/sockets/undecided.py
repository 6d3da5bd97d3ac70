"""A TCP socket of which nobody can say yet whether it is the kernel's or synfin's: that follows from its first address.

Owns the change from one to the other. It is the kernel's until it is bound to an address of a host, or connected to one that
leads through a host; then it becomes a Socket there, and what was set on it before is set again.
"""

import _socket
import contextlib
import socket
from typing import Any, Protocol

from synfin.sockets.descriptors import Descriptors
from synfin.sockets.face import REAL, Socket
from synfin.sockets.host import Host


class Choice(Protocol):
    """Which addresses are whose."""

    descriptors: Descriptors

    def of_local(self, family: int, address: Any) -> Host | None:
        """The host to which a socket bound to `address` belongs, None for the kernel."""

    def of_remote(self, family: int, address: Any) -> Host | None:
        """The host whose connection one to `address` is, None for the kernel."""


class Undecided(REAL):  # type: ignore[misc, valid-type]
    """As the kernel's socket, until `bind` or `connect`. The slots are Socket's, because it may become one."""

    __slots__ = Socket.__slots__

    def __init__(self, choice: Choice, family: int, type: int, proto: int) -> None:
        super().__init__(family, type, proto)
        self._choice: Choice | None = choice
        self._wishes: list[tuple[Any, ...]] = []

    def setsockopt(self, *wish: Any) -> None:
        """See socket.socket."""
        super().setsockopt(*wish)
        if self._choice is not None:
            self._wishes.append(wish)

    def bind(self, address: Any, /) -> None:
        """See socket.socket."""
        self._decide("of_local", address)
        self.bind(address) if isinstance(self, Socket) else super().bind(address)

    def connect(self, address: Any, /) -> None:
        """See socket.socket."""
        self._decide("of_remote", address)
        self.connect(address) if isinstance(self, Socket) else super().connect(address)

    def connect_ex(self, address: Any, /) -> int:
        """See socket.socket."""
        self._decide("of_remote", address)
        return int(self.connect_ex(address) if isinstance(self, Socket) else super().connect_ex(address))

    def _decide(self, how: str, address: Any) -> None:
        choice = self._choice
        if choice is None:
            return
        host: Host | None = getattr(choice, how)(int(self.family), address)
        if host is None:
            if how == "of_remote" or not unspecified(address):
                self._choice = None  # the kernel's for good
            return
        family, proto, timeout, wishes = int(self.family), self.proto, self.gettimeout(), self._wishes
        inheritable = self.get_inheritable()
        made = Socket(family, socket.SOCK_STREAM, proto, host=host, descriptors=choice.descriptors)
        try:
            for wish in wishes:
                made.setsockopt(*wish)
        except BaseException:
            made.close()
            raise
        _socket.socket.close(self)
        self.__class__ = Socket  # type: ignore[assignment]
        for slot in Socket.__slots__:
            with contextlib.suppress(AttributeError):
                setattr(self, slot, getattr(made, slot))
        made.detach()
        self.settimeout(timeout)
        self.set_inheritable(inheritable)


def unspecified(address: Any) -> bool:
    """Whether `address` names all of a machine's addresses."""
    return isinstance(address, tuple) and bool(address) and address[0] in ("", "0.0.0.0", "::", b"")
