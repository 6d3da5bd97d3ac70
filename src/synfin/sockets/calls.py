"""What every socket call shares: its errors, when it would have blocked, and how it is told to the observer.

Owns the OSError for an errno, the errno for the end of a connection, and the words in which a call's arguments are told.
Knows neither connections nor listeners.
"""

import errno
import ipaddress
import os
from collections.abc import Callable
from typing import Final, NoReturn

from synfin.engine.connection import Connection
from synfin.engine.errors import CloseReason
from synfin.engine.observe import Watcher
from synfin.engine.path import PathError
from synfin.engine.segment import Buffer
from synfin.sockets.host import Host
from synfin.stack.errors import StackError

Address = tuple[bytes, int]  # packed, 4 or 16 bytes; port

SHOWN: Final = 24  # bytes of data that are told of a send

ERRNO_OF_END: Final[dict[CloseReason, int]] = {
    CloseReason.FINISHED: 0,
    CloseReason.RESET: errno.ECONNRESET,
    CloseReason.REFUSED: errno.ECONNREFUSED,
    CloseReason.TIMED_OUT: errno.ETIMEDOUT,
    CloseReason.ABORTED: 0,
    CloseReason.UNREACHABLE: errno.EHOSTUNREACH,
    CloseReason.ORPHANED: 0,
}

# What icmp_err_convert and tcp_v6_err make of what ICMP says.
ERRNO_OF_PATH: Final[dict[PathError, int]] = {
    PathError.NETWORK_UNREACHABLE: errno.ENETUNREACH,
    PathError.HOST_UNREACHABLE: errno.EHOSTUNREACH,
    PathError.PROTOCOL_UNREACHABLE: errno.ENOPROTOOPT,
    PathError.PORT_UNREACHABLE: errno.ECONNREFUSED,
    PathError.PROHIBITED: errno.EHOSTUNREACH,
    PathError.TIME_EXCEEDED: errno.EHOSTUNREACH,
    PathError.PARAMETER_PROBLEM: errno.EPROTO,
    PathError.TOO_BIG: errno.EMSGSIZE,
}


def errno_of_end(connection: Connection) -> int:
    """What SO_ERROR tells of the end of `connection`; a soft error that ICMP told takes the place of ETIMEDOUT."""
    reason, told = connection.close_reason, connection.soft_error
    if told is not None and reason in (CloseReason.TIMED_OUT, CloseReason.UNREACHABLE):
        return ERRNO_OF_PATH[told]
    return 0 if reason is None else ERRNO_OF_END[reason]


def failure(number: int) -> OSError:
    """The OSError, of the right subclass, for an errno."""
    return OSError(number, os.strerror(number))


def refusal(error: StackError) -> OSError:
    """The OSError for what a stack refused."""
    return failure(int(getattr(errno, error.errno_name)))


def name_of(address: Address) -> str:
    """`10.0.0.1:80`, `[fd00::1]:80`."""
    text = str(ipaddress.ip_address(address[0]))
    return f"[{text}]:{address[1]}" if len(address[0]) == 16 else f"{text}:{address[1]}"


def excerpt(data: Buffer) -> str:
    """The first bytes of what is sent, as Python writes them, and how many there are."""
    count = len(data)
    return repr(bytes(data)) if count <= SHOWN else f"{bytes(data[:SHOWN])!r}... {count} bytes"


class Caller(Watcher):
    """A socket as the one whose calls are told to `observer`, if there is one.

    Who waits sets `on_change`; it is called when readiness may have changed, from inside the stack: it notes that and
    returns.
    """

    __slots__ = ("_observer", "_since", "host", "on_change")

    def __init__(self, host: Host) -> None:
        self.host: Host = host
        self.on_change: Callable[[], None] | None = None
        self._observer = host.stack.observer
        self._since: dict[str, int] | None = None  # when a call first would have blocked

    def _key(self) -> bytes:
        """The key under which calls are told; b"" before there is one."""
        raise NotImplementedError

    def _began(self, call: str, now: int) -> None:
        """`call` goes on from here without its caller."""
        if self._since is None:
            self._since = {}
        self._since.setdefault(call, now)

    def _would_block(self, call: str) -> OSError:
        """The error to raise; the call counts from now on, until another attempt ends it."""
        if self._observer is not None:
            self._began(call, self.host.now())
        return failure(errno.EAGAIN)

    def _told(self, call: str, arguments: str, result: str = "", *, error: int = 0, key: bytes | None = None) -> None:
        """A call has come to its end."""
        if self._observer is None:
            return
        now = self.host.now()
        started = now if self._since is None else self._since.pop(call, now)
        self._observer.called(now, self._key() if key is None else key, call, arguments, started, result, error)

    def _fail(self, call: str, arguments: str, number: int) -> NoReturn:
        """A call has come to its end, with the errno `number`."""
        self._told(call, arguments, error=number)
        raise failure(number)
