"""Names and addresses as socket calls take and give them: tuples of text and port, getaddrinfo, getnameinfo.

Owns the translation between them and packed addresses. A name means what the speaking host says it means (Host.resolve); no
file and no server of the machine is asked, so that equal runs resolve equally.
"""

import difflib
import socket
from typing import Any, Final

from synfin.sockets.calls import Address
from synfin.sockets.host import Host

AF_INET: Final = int(socket.AF_INET)
AF_INET6: Final = int(socket.AF_INET6)
SIZE: Final = {AF_INET: 4, AF_INET6: 16}

# getaddrinfo's types and their protocols, in the order in which glibc lists them.
KINDS: Final = (
    (socket.SOCK_STREAM, int(socket.IPPROTO_TCP)),
    (socket.SOCK_DGRAM, int(socket.IPPROTO_UDP)),
    (socket.SOCK_RAW, 0),
)

# RFC 6335's names of the services that programs ask for; /etc/services would differ from machine to machine.
SERVICES: Final = {
    "echo": 7, "discard": 9, "daytime": 13, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "http": 80,
    "pop3": 110, "imap": 143, "https": 443, "imaps": 993, "postgresql": 5432, "redis": 6379, "http-alt": 8080,
}  # fmt: skip

Name = str | bytes | bytearray | None
Info = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]


def resolution_failure(number: int, text: str) -> socket.gaierror:
    """The error of getaddrinfo."""
    return socket.gaierror(number, text)


def unknown_name(host: Host | None = None, name: str = "") -> socket.gaierror:
    """What an unknown name gives; with `host` a note says which names it knows."""
    error = resolution_failure(socket.EAI_NONAME, "Name or service not known")
    known = host.names() if host is not None and name else []
    if known:
        near = difflib.get_close_matches(name, known, n=1)
        error.add_note(f"synfin: no host {name!r}; " + (f"nearest: {near[0]!r}" if near else f"hosts are {', '.join(known)}"))
    return error


def numeric(text: str) -> bytes:
    """The packed form of an address in text, with a scope or without; b"" when it is a name."""
    for family, plain in ((socket.AF_INET, text), (socket.AF_INET6, text.partition("%")[0])):
        try:
            return socket.inet_pton(family, plain)
        except OSError:
            continue
    return b""


def text_of(name: Name) -> str:
    """A host's name as text; raises gaierror for one that cannot be encoded, TypeError for another type."""
    if isinstance(name, bytes | bytearray):
        return bytes(name).decode("ascii", "surrogateescape")
    if not isinstance(name, str):
        raise TypeError("getaddrinfo() argument 1 must be string or None")
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        raise unknown_name() from None


def sockaddr(address: Address, family: int) -> tuple[Any, ...]:
    """The tuple that Python gives for an address of `family`."""
    if family == AF_INET:
        return (socket.inet_ntop(AF_INET, address[0]), address[1])
    return (socket.inet_ntop(AF_INET6, address[0]), address[1], 0, 0)


def packed_address(host: Host, given: Any, family: int, call: str) -> Address:
    """The packed address in the tuple `given` to the socket call `call`; names are resolved.

    Raises TypeError and OverflowError as Python's sockets do, gaierror for unknown names.
    """
    if family == AF_INET and type(given) is tuple and len(given) == 2 and type(given[1]) is int and given[1] >> 16 == 0:
        try:
            return socket.inet_pton(AF_INET, given[0]), given[1]  # what it mostly is
        except (OSError, TypeError):
            pass
    label = "AF_INET6" if family == AF_INET6 else "AF_INET"
    if not isinstance(given, tuple):
        raise TypeError(f"{call}(): {label} address must be tuple, not {type(given).__name__}")
    if not (2 <= len(given) <= (2 if family == AF_INET else 4)):
        shape = "a pair (host, port)" if family == AF_INET else "a tuple (host, port[, flowinfo[, scopeid]])"
        raise TypeError(f"{call}(): {label} address must be {shape}")
    name, port = given[0], given[1]
    if not isinstance(port, int):
        raise TypeError(f"'{type(port).__name__}' object cannot be interpreted as an integer")
    if not 0 <= port <= 65_535:
        raise OverflowError(f"{call}(): port must be 0-65535.")
    if isinstance(name, str) and not name.isascii():
        name = text_of(name)
    if not isinstance(name, str | bytes | bytearray):
        raise TypeError(f"{call}(): host name must be str, bytes or bytearray, not {type(name).__name__}")
    return _host_part(host, text_of(name), family), port


def _host_part(host: Host, name: str, family: int) -> bytes:
    size = SIZE[family]
    if not name:
        return bytes(size)
    if name == "<broadcast>" and family == AF_INET:
        return b"\xff" * 4
    found = numeric(name)
    if found:
        if len(found) != size:
            raise resolution_failure(socket.EAI_ADDRFAMILY, "Address family for hostname not supported")
        return found
    for packed in host.resolve(name):
        if len(packed) == size:
            return packed
    raise unknown_name(host, name)


def getaddrinfo(
    host: Host, name: Name, port: Any, family: int = 0, kind: int = 0, protocol: int = 0, flags: int = 0
) -> list[Info]:
    """socket.getaddrinfo as `host` would answer it (RFC 3493 6.1); raises gaierror."""
    if family not in (0, AF_INET, AF_INET6):
        raise resolution_failure(socket.EAI_FAMILY, "ai_family not supported")
    number = _port(port, flags)
    if name is None and port is None:
        raise unknown_name()
    kinds = [(k, p) for k, p in KINDS if kind in (0, k) and (protocol in (0, p) or k is socket.SOCK_RAW)]
    if not kinds:
        raise resolution_failure(socket.EAI_SOCKTYPE, "ai_socktype not supported")
    text = None if name is None else text_of(name)
    canonical = (text or "") if flags & socket.AI_CANONNAME else ""
    found: list[Info] = []
    for packed in _addresses(host, text, family, flags):
        family_of = AF_INET if len(packed) == 4 else AF_INET6
        for k, p in kinds:
            place = sockaddr((packed, number), family_of)
            entry = (socket.AddressFamily(family_of), socket.SocketKind(k), protocol or p, canonical, place)
            found.append(entry)
            canonical = ""
    return found


def _addresses(host: Host, name: str | None, family: int, flags: int) -> list[bytes]:
    if name is None:
        every = [bytes(4), bytes(16)] if flags & socket.AI_PASSIVE else host.resolve("localhost")
        return [packed for packed in every if family in (0, AF_INET if len(packed) == 4 else AF_INET6)]
    literal = numeric(name)
    if not literal and flags & socket.AI_NUMERICHOST:
        raise unknown_name()
    known = [literal] if literal else host.resolve(name) if name else []
    if not known:
        raise unknown_name(host, name)
    wanted = [packed for packed in known if family in (0, AF_INET if len(packed) == 4 else AF_INET6)]
    if not wanted:
        raise resolution_failure(socket.EAI_ADDRFAMILY, "Address family for hostname not supported")
    return wanted


def _port(port: Any, flags: int) -> int:
    if port is None:
        return 0
    if isinstance(port, int):
        return port & 0xFFFF
    if isinstance(port, str | bytes):
        text = port if isinstance(port, str) else port.decode("ascii", "surrogateescape")
        if text.isascii() and text.isdigit():
            return int(text) & 0xFFFF
        if not text:
            return 0
        if flags & socket.AI_NUMERICSERV:
            raise unknown_name()
        if text.lower() in SERVICES:
            return SERVICES[text.lower()]
        raise resolution_failure(socket.EAI_SERVICE, "Servname not supported for ai_socktype")
    raise OSError("Int or String expected")


def getnameinfo(host: Host, address: tuple[Any, ...], flags: int) -> tuple[str, str]:
    """socket.getnameinfo as `host` would answer it (RFC 3493 6.2): a name where one leads to the address, else numbers."""
    if not isinstance(address, tuple) or len(address) < 2:
        raise TypeError("getnameinfo() argument 1 must be a tuple")
    packed = numeric(str(address[0]))
    if not packed:
        raise unknown_name()
    service = str(address[1])
    if not flags & socket.NI_NUMERICSERV:
        service = next((name for name, port in SERVICES.items() if port == address[1]), service)
    name = "" if flags & socket.NI_NUMERICHOST else host.name_of(packed)
    if not name and flags & socket.NI_NAMEREQD:
        raise unknown_name()
    return name or str(address[0]), service
