"""TLS on blocking sockets of synfin's: an ssl.SSLSocket whose records go through a MemoryBIO.

Owns the way of the records between OpenSSL and the Socket. OpenSSL itself would write to the C descriptor, and there is none.
The certificates, the errors and all that SSLSocket answers are the standard library's.
"""

import ssl
from _thread import allocate_lock
from collections.abc import Callable
from typing import Any, Final

from synfin.sockets.blocking import READ, WRITE, Blocking
from synfin.sockets.face import REAL, Socket, no_threads

CHUNK: Final = 1 << 16  # bytes taken from the socket at once
_WRAP: Final = ssl.SSLContext.wrap_socket


class Records:
    """What an SSLSocket has as its `_sslobj`: the C object over two MemoryBIOs, and the records carried to and from the
    endpoint. Threads may read and write at once, as on the kernel's: OpenSSL is entered by one at a time, and nobody waits
    inside."""

    def __init__(self, owner: "TlsSocket", context: ssl.SSLContext, server_side: bool, name: str | None, session: Any) -> None:
        self._owner = owner
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._left = b""  # records that the endpoint had no room for
        self._lock = allocate_lock()
        self._object: Any = context._wrap_bio(  # type: ignore[attr-defined]
            self._incoming, self._outgoing, server_side=server_side, server_hostname=name, owner=owner, session=session
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._object, name)

    @property
    def context(self) -> Any:
        """The C object's; may be set (SNI callbacks do)."""
        return self._object.context

    @context.setter
    def context(self, context: Any) -> None:
        self._object.context = context

    @property
    def session(self) -> Any:
        """The C object's; may be set before the handshake."""
        return self._object.session

    @session.setter
    def session(self, session: Any) -> None:
        self._object.session = session

    def do_handshake(self) -> None:
        """See ssl.SSLObject."""
        self._drive("The handshake operation timed out", self._object.do_handshake)

    def read(self, *arguments: Any) -> Any:
        """See ssl.SSLObject: (len) or (len, buffer)."""
        return self._drive("The read operation timed out", self._object.read, *arguments, reads=True)

    def write(self, data: Any) -> int:
        """See ssl.SSLObject."""
        return int(self._drive("The write operation timed out", self._object.write, data))

    def shutdown(self) -> "TlsSocket":
        """The closing alerts in both directions; returns the socket."""
        self._drive("The read operation timed out", self._object.shutdown)
        return self._owner

    def verify_client_post_handshake(self) -> Any:
        """See ssl.SSLSocket."""
        return self._drive("The write operation timed out", self._object.verify_client_post_handshake)

    def _drive(self, late: str, call: Callable[..., Any], *arguments: Any, reads: bool = False) -> Any:
        """Call until OpenSSL has what it needs and, unless it `reads`, what it has to say is on its way: a reader must not
        wait for room, or two ends that send at once would wait for each other. Raises TimeoutError(`late`)."""
        owner = self._owner
        endpoint = owner.endpoint
        waits = endpoint.host.waits
        if waits is None:
            raise no_threads("TLS on a blocking socket")
        blocking = Blocking(waits, endpoint, owner.gettimeout())
        done, result, interest = False, None, 0
        while not done or interest:
            with self._lock:
                interest = self._flush()
                if not done and (reads or not interest):
                    done, result, interest = self._enter(call, *arguments)
            if (done and reads) or (interest and not self._wait(blocking, interest, late, done)):
                break
        return result

    def _enter(self, call: Callable[..., Any], *arguments: Any) -> tuple[bool, Any, int]:
        """Call OpenSSL, with the lock held. Returns whether the call is done, its result, and what is to be waited for."""
        try:
            result = call(*arguments)
        except ssl.SSLWantReadError:
            return False, None, self._want()
        except ssl.SSLError:
            self._flush()  # the alert
            raise
        return True, result, self._flush()

    def _want(self) -> int:
        """OpenSSL wants to read: what to wait for, 0 when it has got something."""
        room = self._flush()
        return self._fill() and READ | room

    def _wait(self, blocking: Blocking, interest: int, late: str, done: bool) -> bool:
        """Returns False where the call is over all the same: a socket that must not block sends the rest with its next."""
        if self._owner.gettimeout() == 0.0:
            if done:
                return False
            if interest & READ:
                raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)")
            raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "The operation did not complete (write)")
        endpoint = self._owner.endpoint
        try:
            with blocking.waits.lock:
                if not endpoint.closed and not endpoint.ready(interest):
                    blocking.wait("TLS", interest)
        except TimeoutError:
            raise TimeoutError(late) from None
        return True

    def _flush(self) -> int:
        """Give the endpoint what OpenSSL has to send; WRITE when it takes no more, else 0."""
        if self._outgoing.pending:
            self._left += self._outgoing.read()
        while self._left:
            with self._owner.endpoint.host.lock:
                try:
                    count = self._owner.endpoint.send(self._left)
                except BlockingIOError:
                    return WRITE
            self._left = self._left[count:]
        return 0

    def _fill(self) -> int:
        """Give OpenSSL what the endpoint has; READ when there is nothing yet, else 0."""
        with self._owner.endpoint.host.lock:
            try:
                data = self._owner.endpoint.recv(CHUNK)
            except BlockingIOError:
                return READ
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return 0


class Wrapping:
    """A context as SSLSocket uses it when it has a socket to wrap."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context

    def _wrap_socket(self, sock: "TlsSocket", server_side: bool, name: str | None, *, owner: Any, session: Any) -> Records:
        return Records(sock, self.context, server_side, name, session)


class TlsSocket(ssl.SSLSocket, Socket):  # type: ignore[misc]  # as SSLSocket does to socket.socket
    """Made by `wrap`. Below SSLSocket stands Socket, where the kernel's socket stood."""

    # SSLSocket's own.
    _connected: bool
    _session: Any
    _sslobj: Any
    do_handshake_on_connect: bool
    suppress_ragged_eofs: bool

    @property
    def _context(self) -> Wrapping:
        return self._wrapping

    @_context.setter
    def _context(self, context: ssl.SSLContext) -> None:
        self._wrapping = Wrapping(context)

    @property
    def context(self) -> ssl.SSLContext:
        """See ssl.SSLSocket."""
        return self._wrapping.context

    @context.setter
    def context(self, context: ssl.SSLContext) -> None:
        self._context = context
        if self._sslobj is not None:
            self._sslobj.context = context

    def _real_connect(self, address: Any, connect_ex: bool) -> int | None:
        if self.server_side:
            raise ValueError("can't connect in server-side mode")
        if self._connected or self._sslobj is not None:
            raise ValueError("attempt to connect already-connected SSLSocket!")
        self._sslobj = self._context._wrap_socket(self, False, self.server_hostname, owner=self, session=self._session)
        try:
            number = None
            if connect_ex:
                number = Socket.connect_ex(self, address)
            else:
                Socket.connect(self, address)
            if not number:
                self._connected = True
                if self.do_handshake_on_connect:
                    self.do_handshake()
        except (OSError, ValueError):
            self._sslobj = None
            raise
        return number

    def accept(self) -> tuple["TlsSocket", Any]:
        """See ssl.SSLSocket."""
        made, peer = Socket.accept(self)
        return wrap(
            self.context, made, server_side=True, do_handshake_on_connect=self.do_handshake_on_connect,
            suppress_ragged_eofs=self.suppress_ragged_eofs,
        ), peer  # fmt: skip


def wrap(
    context: ssl.SSLContext, sock: Socket, server_side: bool = False, do_handshake_on_connect: bool = True,
    suppress_ragged_eofs: bool = True, server_hostname: str | None = None, session: Any = None,
) -> TlsSocket:  # fmt: skip
    """`context.wrap_socket(sock, ...)` for a socket of synfin's: same arguments, same errors; `sock` is detached."""
    token = sock.descriptors.use()  # SSLSocket takes the descriptor over by its number
    try:
        made: TlsSocket = TlsSocket._create(  # type: ignore[attr-defined]
            sock=sock, server_side=server_side, do_handshake_on_connect=do_handshake_on_connect,
            suppress_ragged_eofs=suppress_ragged_eofs, server_hostname=server_hostname, context=context, session=session,
        )  # fmt: skip
        return made
    finally:
        sock.descriptors.leave(token)


def wrap_socket(context: ssl.SSLContext, sock: Any, *arguments: Any, **options: Any) -> Any:
    """ssl.SSLContext.wrap_socket, for sockets of both kinds."""
    if isinstance(sock, Socket):
        return wrap(context, sock, *arguments, **options)
    return _WRAP(context, sock, *arguments, **options)


assert issubclass(TlsSocket, REAL)
