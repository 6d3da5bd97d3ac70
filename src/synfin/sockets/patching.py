"""`synfin.sockets.patched`: programs with blocking sockets and threads, unmodified, on stacks in real time.

Owns which addresses are whose, what is put in the place of the standard library's, and putting everything back. The sockets
themselves are face.py's, waiting is driver.py's and readiness.py's.
"""

import contextvars
import ipaddress
import select
import selectors
import socket
import ssl
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from synfin.engine.errors import UsageError
from synfin.sockets import names, tls
from synfin.sockets.descriptors import FIRST, Descriptors
from synfin.sockets.driver import LINGER, ThreadDriver
from synfin.sockets.face import REAL, Socket
from synfin.sockets.host import Host, speaking
from synfin.sockets.readiness import Polling
from synfin.sockets.standin import stand_in
from synfin.sockets.undecided import Undecided

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: Final = "localhost"  # the machine's, not a host's
OWN_LINK: Final = {4: 24, 16: 64}  # bits of the network around a host's address that is taken for its link
# Modules whose copies of a function stay as they are.
UNTOUCHED: Final = ("_pytest", "pytest", "xdist", "execnet", "synfin", "socket", "select", "selectors", "ssl", "asyncio")

_RESOLVERS: Final = {name: getattr(socket, name) for name in (
    "getaddrinfo", "getnameinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr",
)}  # fmt: skip
_START: Final = threading.Thread.start


class Addresses:
    """Which addresses are whose: those of the hosts, and `networks`, to which the first host of their family leads."""

    def __init__(self, hosts: Sequence[Host], networks: Sequence[str] | None, descriptors: Descriptors) -> None:
        self.hosts = hosts
        self.descriptors = descriptors
        self._networks = None if networks is None else [ipaddress.ip_network(text) for text in networks]

    def socket(self, family: int, type: int, proto: int, fileno: int | None) -> Any:
        """What socket.socket(...) is."""
        if fileno is not None:
            if fileno >= FIRST:
                return Socket(fileno=fileno, descriptors=self.descriptors)
            return REAL(family, type, proto, fileno)
        internet = family in (-1, socket.AF_INET, socket.AF_INET6)
        if internet and speaking() in self.hosts:
            return Socket(family, type, proto)
        stream = type == -1 or int(type) & 0xF == socket.SOCK_STREAM
        if not internet or not stream or proto not in (-1, 0, socket.IPPROTO_TCP):
            return REAL(family, type, proto)
        return Undecided(self, family, type, proto)

    def of_local(self, family: int, address: Any) -> Host | None:
        """See Choice: a host's own addresses are its."""
        for packed in self._packed(family, address):
            for host in self.hosts:
                if packed in host.stack.addresses:
                    return host
        return None

    def of_remote(self, family: int, address: Any) -> Host | None:
        """See Choice."""
        for packed in self._packed(family, address):
            host = self.leading_to(packed)
            if host is not None:
                return host
        return None

    def leading_to(self, packed: bytes) -> Host | None:
        """The host through which this address is reached: one on its network, rather another than the address's own."""
        on_it = [host for host in self.hosts if self._reaches(host, packed)]
        return next((host for host in on_it if packed not in host.stack.addresses), on_it[0] if on_it else None)

    def _reaches(self, host: Host, packed: bytes) -> bool:
        own = [address for address in host.stack.addresses if len(address) == len(packed)]
        if self._networks is None:
            return any(ipaddress.ip_address(packed) in _link_of(address) for address in own)
        return packed in own or (bool(own) and any(ipaddress.ip_address(packed) in network for network in self._networks))

    def _packed(self, family: int, address: Any) -> list[bytes]:
        """The addresses meant, of the family (0: any); none for what is for the kernel to judge."""
        if not isinstance(address, tuple) or not address or not isinstance(address[0], str | bytes | bytearray):
            return []
        try:
            name = names.text_of(address[0])
        except (OSError, UnicodeError):
            return []
        size = names.SIZE.get(family, 0)
        found = [names.numeric(name)] if names.numeric(name) else self.known(name)
        return [packed for packed in found if len(packed) == size or not family]

    def host_knowing(self, name: Any) -> Host | None:
        """The host that speaks, or the first that can resolve `name`."""
        speaker = speaking()
        if speaker in self.hosts:
            return speaker
        if not isinstance(name, str | bytes | bytearray) or not name:
            return None
        text = names.text_of(name)
        if text.lower() == LOOPBACK or names.numeric(text):
            return None
        return next((host for host in self.hosts if host.resolve(text)), None)

    def known(self, name: str) -> list[bytes]:
        """What a host resolves `name` to."""
        host = self.host_knowing(name)
        return [] if host is None else host.resolve(name)

    # --- names: those that the hosts know; the machine is asked for all others

    def getaddrinfo(self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
        """See socket."""
        knowing = self.host_knowing(host)
        if knowing is None:
            return _RESOLVERS["getaddrinfo"](host, port, family, type, proto, flags)
        return names.getaddrinfo(knowing, host, port, family, type, proto, flags)

    def getnameinfo(self, sockaddr: Any, flags: int, /) -> Any:
        """See socket."""
        host = self._beyond(sockaddr[0]) if isinstance(sockaddr, tuple) and sockaddr else None
        if host is None:
            return _RESOLVERS["getnameinfo"](sockaddr, flags)
        return names.getnameinfo(self.of_local(0, sockaddr) or host, sockaddr, flags)

    def gethostbyname_ex(self, name: str, /) -> Any:
        """See socket."""
        found = [socket.inet_ntoa(packed) for packed in self.known(name) if len(packed) == 4]
        return (name, [], found) if found else _RESOLVERS["gethostbyname_ex"](name)

    def gethostbyname(self, name: str, /) -> Any:
        """See socket."""
        found = [socket.inet_ntoa(packed) for packed in self.known(name) if len(packed) == 4]
        return found[0] if found else _RESOLVERS["gethostbyname"](name)

    def gethostbyaddr(self, address: str, /) -> Any:
        """See socket; nobody outside is asked about the addresses of a host's link."""
        host = self._beyond(address)
        if host is None:
            return _RESOLVERS["gethostbyaddr"](address)
        packed = names.numeric(address) or next(iter(host.resolve(address)))
        name = next((found for one in self.hosts if (found := one.name_of(packed))), "")
        if not name:
            raise socket.herror(1, "Unknown host")
        return name, [], [str(ipaddress.ip_address(packed))]

    def _beyond(self, address: Any) -> Host | None:
        packed = names.numeric(str(address))
        return self.leading_to(packed) if packed else self.host_knowing(address)


def _link_of(address: bytes) -> Network:
    return ipaddress.ip_network((address, OWN_LINK[len(address)]), strict=False)


def _start_in_context(thread: threading.Thread) -> None:
    """threading.Thread.start: the new thread knows which host speaks."""
    if speaking() is not None:
        thread.run = partial(contextvars.copy_context().run, thread.run)  # type: ignore[method-assign]
    _START(thread)


def replacements(addresses: Addresses, polling: Polling) -> list[tuple[Any, str, Any]]:
    """(module or class, name, stand-in). The selectors took theirs from `select` at import."""
    return [
        (socket, "socket", stand_in(addresses.socket)),
        *((socket, name, getattr(addresses, name)) for name in _RESOLVERS),
        *selecting(polling),
        (ssl.SSLContext, "wrap_socket", tls.wrap_socket),
        (threading.Thread, "start", _start_in_context),
    ]


def selecting(polling: Polling) -> list[tuple[Any, str, Any]]:
    """As `replacements`, for select, poll, epoll and who uses them."""
    return [
        (select, "select", polling.select),
        (select, "poll", polling.poll),
        (select, "epoll", polling.epoll),
        (selectors.SelectSelector, "_select", staticmethod(polling.select)),
        (selectors.PollSelector, "_selector_cls", staticmethod(polling.poll)),
        (selectors.EpollSelector, "_selector_cls", staticmethod(polling.epoll)),
    ]


@contextmanager
def replaced(listed: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """The stand-ins in place, also in modules that took the original by name; the originals again at the end."""
    undo: list[tuple[Any, str, Any]] = []
    try:
        copies = {id(vars(owner)[name]): value for owner, name, value in listed if not isinstance(owner, type)}
        for entry in listed:
            _put(*entry, undo)
        for entry in list(_taken_by_name(copies)):
            _put(*entry, undo)
        yield
    finally:
        for owner, name, original in reversed(undo):
            setattr(owner, name, original)


def _put(owner: Any, name: str, value: Any, undo: list[tuple[Any, str, Any]]) -> None:
    undo.append((owner, name, vars(owner)[name]))
    setattr(owner, name, value)


def _taken_by_name(copies: dict[int, Any]) -> Iterator[tuple[Any, str, Any]]:
    """As `replacements`: modules that took something by name whose stand-in is in `copies` under its id."""
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] in UNTOUCHED or not hasattr(module, "__dict__"):
            continue
        for name, value in list(vars(module).items()):
            if id(value) in copies:
                yield module, name, copies[id(value)]


@contextmanager
def patched(*hosts: Host, networks: Sequence[str] | None = None, linger: float = LINGER) -> Iterator[ThreadDriver]:
    """Put synfin's sockets in the place of the standard ones for the addresses of `hosts`, for all threads, and serve the
    hosts in a thread.

    hosts: real-time hosts (aio.realtime.RealHost) that no loop serves.
    networks: what is reached through the hosts, as text ("10.77.0.0/24", "0.0.0.0/0"); by default the /24 of each IPv4
        address and the /64 of each IPv6 address.
    linger: seconds that the peers have at the end to acknowledge what was sent.

    A TCP socket becomes a host's when it is bound to the host's address or connected to one of the networks, all others stay
    the kernel's; unspecified addresses are the kernel's. In a block `with host:` all sockets are that host's. Sockets of hosts
    that are open at the end are closed. Raises UsageError where sockets are replaced already, or a host is served.
    """
    if socket.socket is not REAL:
        raise UsageError("sockets are replaced already: give all hosts to one patched(...)")
    with ThreadDriver(*hosts, linger=linger) as driver:
        polling = Polling(lambda: driver.descriptors, lambda: driver)
        with replaced(replacements(Addresses(hosts, networks, driver.descriptors), polling)):
            yield driver
