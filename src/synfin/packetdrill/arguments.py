"""What the arguments of system calls mean: numbers, descriptors, addresses, arrays of iovec, data.

Owns where a script's sockets are, and what has gone through each connection. Knows no call.
"""

import errno
import ipaddress
import socket
from typing import Final, NamedTuple

from synfin.packetdrill import payload
from synfin.packetdrill.files import Answer, Files, Skip
from synfin.packetdrill.symbols import value_of, words_of
from synfin.packetdrill.syntax import Applied, Ellipsis_, Expression, Items, Struct, Text
from synfin.sockets.endpoint import Endpoint

PLAYED_FLAGS: Final = frozenset(
    ("MSG_PEEK", "MSG_OOB", "MSG_MORE", "MSG_DONTWAIT", "MSG_NOSIGNAL", "MSG_WAITALL", "MSG_EOR", "MSG_TRUNC")
)


class Place(NamedTuple):
    """Where a script's sockets are: packed addresses and ports. `mapped`: IPv4 inside AF_INET6."""

    local: bytes
    remote: bytes
    bind_port: int = 8080
    connect_port: int = 8080
    mapped: bool = False

    @property
    def family(self) -> int:
        """What `socket(...)` means."""
        return int(socket.AF_INET6 if self.mapped or len(self.local) == 16 else socket.AF_INET)

    def as_seen(self, address: bytes) -> bytes:
        """An address as a program of this family writes it."""
        return b"\0" * 10 + b"\xff\xff" + address if self.mapped and len(address) == 4 else address


class Streams:
    """What went through each connection, by its key: bytes written, bytes read, and where urgent bytes were."""

    def __init__(self) -> None:
        self.written: dict[bytes, bytearray] = {}
        self.read: dict[bytes, int] = {}
        self.urgent: dict[bytes, set[int]] = {}

    def of(self, key: bytes) -> bytearray:
        """What was written to the connection `key` so far."""
        found = self.written.get(key)
        if found is None:
            found = self.written[key] = bytearray()
        return found

    def expected(self, key: bytes, count: int, *, inline: bool) -> tuple[bytes, int]:
        """The next `count` bytes to be read, and where the reader stands behind them."""
        at = self.read.get(key, 0)
        holes = set() if inline else self.urgent.get(key, set())
        if not holes:
            return payload.inbound(at, count), at + count
        found = bytearray()
        while len(found) < count:
            if at not in holes:
                found += payload.inbound(at, 1)
            at += 1
        return bytes(found), at


class Arguments:
    """What arguments mean for a script whose sockets are at `place`."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.files = Files()
        self.streams = Streams()

    def number(self, expression: Expression) -> int:
        """An integer argument; 0 for `...`."""
        if isinstance(expression, Items) and len(expression.items) == 1:
            expression = expression.items[0]
        return value_of(expression) or 0

    def endpoint(self, expression: Expression) -> Endpoint:
        """A socket argument; raises OSError (EBADF, ENOTSOCK)."""
        return self.files.endpoint(self.number(expression))

    def address(self, expression: Expression, *, remote: bool) -> tuple[bytes, int]:
        """An address argument; `...`, or a part of it that is, is the script's own place. Raises Skip."""
        place = self.place
        own = place.remote if remote else place.local
        host, port = _parts(expression)
        packed = place.as_seen(own) if host is None else _packed(host)
        return packed, (place.connect_port if remote else place.bind_port) if port is None else self.number(port)

    def fits(self, expression: Expression, name: tuple[bytes, int]) -> bool:
        """Whether an address argument is `name` as far as it says one; a part that is `...` is open. Raises Skip."""
        host, port = _parts(expression)
        return (host is None or _packed(host) == name[0]) and (port is None or self.number(port) == name[1])

    def lengths(self, expression: Expression) -> list[int]:
        """The lengths of an array of iovec."""
        if not isinstance(expression, Items):
            return [self.number(expression)]
        found = []
        for each in expression.items:
            length = None if not isinstance(each, Struct) else each.get("iov_len") or (each.items[-1] if each.items else None)
            if length is None:
                raise Skip("an iovec without a length")
            found.append(self.number(length))
        return found

    def data(self, expression: Expression, count: int, endpoint: Endpoint) -> bytes:
        """The bytes of a write: those of a string, or for `...` what comes next in the pattern."""
        if isinstance(expression, Text):
            return expression.value.encode("latin-1", "replace").ljust(count, b"\0")[:count]
        key = b"" if endpoint.connection is None else endpoint.connection.key
        return payload.outbound(len(self.streams.of(key)), count)

    def flags(self, expression: Expression) -> int:
        """Flags of send and recv; raises Skip for one that is not played."""
        strange = {word for word in words_of(expression) if word.startswith("MSG_")} - PLAYED_FLAGS
        if strange:
            raise Skip(min(strange))
        return self.number(expression)


def _parts(expression: Expression) -> tuple[Expression | None, Expression | None]:
    """Address and port of a sockaddr; None for what it leaves open."""
    if not isinstance(expression, Struct):
        return None, None
    host = expression.get("sin_addr") or expression.get("sin6_addr")
    port = expression.get("sin_port") or expression.get("sin6_port")
    return None if isinstance(host, Ellipsis_) else host, None if isinstance(port, Ellipsis_) else port


def _packed(host: Expression) -> bytes:
    """The bytes of an address; raises Skip for what is none."""
    text = host.arguments[0] if isinstance(host, Applied) and host.arguments else host
    try:
        return ipaddress.ip_address(text.value if isinstance(text, Text) else "").packed
    except ValueError:
        raise Skip(f"address {text.value!r}" if isinstance(text, Text) else "an address that is no string") from None


def failed(error: OSError) -> Answer:
    """-1 and the name of the errno."""
    return Answer(-1, errno.errorcode.get(error.errno or 0, str(error.errno)))


def told(expected: Expression, actual: int) -> str:
    """What is wrong with a value that a call wrote to where the script has `expected`; "" when it is right."""
    if isinstance(expected, Items) and len(expected.items) == 1:
        expected = expected.items[0]
    wanted = value_of(expected)
    return "" if wanted is None or wanted == actual else f"[{actual}]"
