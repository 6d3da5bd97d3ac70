"""A socket until it is connected: local and remote names, bind, listen, accept, connect, with the errnos of Linux.

Owns the phases of a socket. Where a rule is Linux's rather than POSIX's, its function in the kernel is named. Data and the
end are endpoint.py's; must not know descriptors, selectors or who waits.
"""

import errno
import socket
from typing import Final, Self

from synfin.engine.connection import Connection
from synfin.engine.errors import CloseReason
from synfin.engine.listener import Listener
from synfin.engine.segment import Buffer
from synfin.engine.state import State
from synfin.sockets.calls import Address, Caller, errno_of_end, excerpt, failure, name_of, refusal
from synfin.sockets.host import Host
from synfin.sockets.options import Settings, buffers_of
from synfin.stack.addresses import ANY4, ANY6, listener_key, local_of, local_port_of, remote_of, remote_port_of
from synfin.stack.errors import StackError
from synfin.stack.ports import Binding

FRESH: Final = 0  # may be bound
LISTENING: Final = 1
CONNECTING: Final = 2
CONNECTED: Final = 3  # was connected once; the connection may be over
FAILED: Final = 4  # a connect has failed, and no second one has been told of it
SHUT: Final = 5  # a listener that was shut down
CLOSED: Final = 6

AF_INET: Final = int(socket.AF_INET)
AF_INET6: Final = int(socket.AF_INET6)
MAPPED: Final = bytes(10) + b"\xff\xff"  # an IPv4 address inside IPv6, RFC 4291 2.5.5.2
WITHOUT_PEER: Final = (State.CLOSED, State.SYN_SENT, State.TIME_WAIT)


class Opening(Caller):
    """The first half of Endpoint."""

    __slots__ = (
        "_address", "_binding", "_connection", "_early", "_ended", "_error", "_listener", "_phase", "_remote", "_shut_read",
        "_shut_write", "_stack", "family", "references", "settings",
    )  # fmt: skip

    def __init__(self, host: Host, family: int = AF_INET, settings: Settings | None = None) -> None:
        if family not in (AF_INET, AF_INET6):
            raise failure(errno.EAFNOSUPPORT)
        super().__init__(host)
        self.family: int = int(family)
        self.settings: Settings = Settings() if settings is None else settings
        self.references: int = 0  # descriptors that stand for it
        self._stack = host.stack
        self._phase: int = FRESH
        self._binding: Binding | None = None
        self._address: Address | None = None  # what `bind` was given
        self._remote: Address | None = None  # whom `connect` was given, until its end has been told
        self._listener: Listener | None = None
        self._connection: Connection | None = None
        self._error: int = 0  # SO_ERROR
        self._ended: bool = False  # the connection's end has been turned into `_error`
        self._shut_read: bool = False
        self._shut_write: bool = False
        self._early: str = ""  # an excerpt of what connect was given to send

    def made(self) -> None:
        """Tell the observer of the application's call that made this socket; who makes one for an application calls it."""
        self._told("socket", "AF_INET" if self.family == AF_INET else "AF_INET6")

    @property
    def connection(self) -> Connection | None:
        """The engine's connection, None before connect and for a listener."""
        return self._connection

    @property
    def listener(self) -> Listener | None:
        """The engine's listener, None unless listening."""
        return self._listener

    @property
    def closed(self) -> bool:
        """Whether `close` was called, or the host has crashed."""
        return self._phase == CLOSED

    @property
    def bound(self) -> bool:
        """Whether the socket has a local port."""
        return self._binding is not None or self._connection is not None or self._listener is not None

    @property
    def listening(self) -> bool:
        """SO_ACCEPTCONN."""
        return self._phase == LISTENING

    def _check_open(self) -> None:
        if self._phase == CLOSED:
            raise failure(errno.EBADF)

    def _key(self) -> bytes:
        if self._connection is not None:
            return self._connection.key
        if self._listener is not None:
            return self._listener.key
        return listener_key(self._on_the_wire(self._address[0]), self._address[1]) if self._address else b""

    # --- names

    def _on_the_wire(self, address: bytes) -> bytes:
        """The address as packets carry it: an IPv4-mapped one is IPv4's, unless the socket is for IPv6 only."""
        if len(address) != (4 if self.family == AF_INET else 16):
            raise failure(errno.EAFNOSUPPORT)
        if self.family == AF_INET6 and address[:12] == MAPPED:
            if self.settings.v6only:
                raise failure(errno.ENETUNREACH)
            return address[12:]
        return address

    def _as_seen(self, address: bytes) -> bytes:
        return MAPPED + address if self.family == AF_INET6 and len(address) == 4 else address

    def getsockname(self) -> Address:
        """The local address and port; unspecified and 0 before they are known."""
        self._check_open()
        if self._connection is not None:
            key = self._connection.key
            return self._as_seen(local_of(key)), local_port_of(key)
        return self._address or (ANY4 if self.family == AF_INET else ANY6, 0)

    def getpeername(self) -> Address:
        """The remote address and port; ENOTCONN without a connection (inet_getname)."""
        self._check_open()
        connection = self._connection
        if connection is None or connection.state in WITHOUT_PEER:
            raise failure(errno.ENOTCONN)
        return self._as_seen(remote_of(connection.key)), remote_port_of(connection.key)

    # --- bind, listen, accept

    def bind(self, address: Address) -> None:
        """Take a local address (unspecified: all of them) and port (0: one of the stack's choice)."""
        self._check_open()
        told = name_of(address)
        if self.bound or self._phase != FRESH:
            self._fail("bind", told, errno.EINVAL)
        try:
            self._bind(address)
        except OSError as error:
            self._told("bind", told, error=error.errno or 0)
            raise
        self._told("bind", told)

    def _bind(self, address: Address) -> None:
        packed = self._on_the_wire(address[0])
        everywhere = self.family == AF_INET6 and packed == ANY6 and not self.settings.v6only
        local = (None if everywhere else packed, address[1])
        try:
            self._binding = self._stack.bind(local, reuse_address=self.settings.reuse_address)
        except StackError as error:
            raise refusal(error) from None
        self._address = (address[0], self._binding.port)

    def listen(self, backlog: int = 128) -> None:
        """Passive open; on a listening socket it changes nothing but the backlog (inet_listen)."""
        self._check_open()
        try:
            self._listen(backlog)
        except OSError as error:
            self._told("listen", str(backlog), error=error.errno or 0)
            raise
        self._told("listen", str(backlog))

    def _listen(self, backlog: int) -> None:
        if self._listener is not None:
            self._listener.accept_limit = max(backlog, 0)
            return
        if self._phase not in (FRESH, SHUT):
            raise failure(errno.EINVAL)
        if self._binding is None:
            self._bind(self._address or (ANY4 if self.family == AF_INET else ANY6, 0))
        assert self._binding is not None
        local = (self._binding.address, self._binding.port)
        config = self.settings.config(self._stack.config)
        try:
            listener = self._stack.listen(local, max(backlog, 0), self.host.now(), config, binding=self._binding)
        except StackError as error:
            raise refusal(error) from None
        listener.watcher = self
        self._listener = listener
        self._phase = LISTENING

    def accept(self) -> tuple[Self, Address]:
        """The next connection and its remote address; EAGAIN when there is none, EINVAL when not listening."""
        listener = self._listener
        if listener is None:
            self._check_open()
            self._fail("accept", "", errno.EINVAL)
        connection = listener.accept(self.host.now())
        if connection is None:
            raise self._would_block("accept")
        accepted = type(self)(self.host, self.family, self.settings.inherited())
        accepted._take_over(connection)
        peer = (self._as_seen(remote_of(connection.key)), remote_port_of(connection.key))
        if self._observer is not None:
            self._told("accept", "", name_of(peer), key=connection.key)
        return accepted, peer

    def _take_over(self, connection: Connection) -> None:
        self._connection = connection
        self._phase = CONNECTED
        connection.watcher = self
        while connection.next_event() is not None:  # what they say is read from the connection's levels
            pass
        now = self.host.now()
        for name, value in self.settings.options():
            connection.set_option(name, value, now)
        if connection.close_reason is None:
            for name, value in buffers_of(self.settings, connection):
                connection.set_option(name, value, now)
            if connection.next_deadline() == 0:
                self._stack.attend(connection, now)  # the window may have opened

    # --- connect

    def connect(self, address: Address, data: Buffer = b"") -> None:
        """Active open; `data` goes with the third segment. Raises EINPROGRESS when it has begun, EALREADY while it goes on;
        the call after its end returns or raises what came of it, and EISCONN from then on (inet_stream_connect)."""
        self._check_open()
        if self._phase == CONNECTING:
            raise failure(errno.EALREADY)
        if self._phase == FAILED:
            number = self.take_error() or errno.ECONNABORTED
            self._forget_connection()
            raise failure(number)
        if self._phase == CONNECTED and self._remote is not None:
            self._remote = None
            return
        if self._phase in (CONNECTED, LISTENING):
            self._fail("connect", name_of(address), errno.EISCONN)
        try:
            self._early = excerpt(data) if data else ""
            self._open(address, data)
        except OSError as error:
            self._told("connect", self._target(address), error=error.errno or 0)
            raise
        if self._phase == CONNECTING:
            raise failure(errno.EINPROGRESS)

    def _target(self, address: Address) -> str:
        """The arguments of connect, in words."""
        return f"{name_of(address)}, {self._early}" if self._early else name_of(address)

    def _open(self, address: Address, data: Buffer) -> None:
        remote = (self._on_the_wire(address[0]), address[1])
        if not remote[1]:
            raise failure(errno.ECONNREFUSED)  # nobody listens there
        now = self.host.now()
        config = self.settings.config(self._stack.config)
        try:
            connection = self._stack.connect((None, 0), remote, now, config, binding=self._binding, data=data)
        except StackError as error:
            raise refusal(error) from None
        self._connection = connection
        self._remote = address
        self._ended = False
        self._phase = CONNECTING
        connection.watcher = self
        if self._observer is not None:
            self._began("connect", now)
        for name, value in self.settings.options():
            connection.set_option(name, value, now)
        self._look_at_opening()

    def _look_at_opening(self) -> None:
        """Has the connect come to its end?"""
        connection = self._connection
        assert connection is not None
        if connection.established:
            self._phase = CONNECTED
            while connection.next_event() is not None:
                pass
        elif connection.close_reason is not None:
            self._phase = FAILED
            self._note_end(connection)
        else:
            return
        if self._observer is not None and self._remote is not None:
            self._told("connect", self._target(self._remote), error=self._error, key=connection.key)

    def _forget_connection(self) -> None:
        if self._connection is not None:
            self._connection.watcher = None
        self._connection = self._remote = None
        self._phase = FRESH
        self._ended = self._shut_read = self._shut_write = False

    # --- what went wrong

    def take_error(self) -> int:
        """SO_ERROR: the errno of what has happened and was not told; telling clears it."""
        if self._connection is not None:
            self._note_end(self._connection)
        number, self._error = self._error, 0
        return number

    def _note_end(self, connection: Connection) -> None:
        reason = connection.close_reason
        if self._ended or reason is None:
            return
        self._ended = True
        self._error = errno_of_end(connection)
        if reason is CloseReason.RESET and connection.peer_closed and not self._shut_write:
            self._error = errno.EPIPE  # in CLOSE-WAIT (tcp_reset)
