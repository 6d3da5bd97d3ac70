"""Socket: a subclass of socket.socket that stands on a stack of ours and has a virtual descriptor.

Owns the face that programs see, the standard library's asyncio transports above all: text addresses, timeouts, descriptors,
files made of sockets. What a call does is Endpoint's. The kernel knows nothing of it: the descriptor in the C object that it
inherits is always -1.

A call that would block waits as the host's driver lets it wait (Host.waits); where no driver serves threads it raises
UsageError.
"""

import _socket
import errno
import os
import socket
import sys
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, NoReturn, SupportsIndex, TypeVar

from synfin.engine.config import SECOND
from synfin.engine.errors import UsageError
from synfin.sockets import lingering
from synfin.sockets.blocking import READ, WRITE, Blocking
from synfin.sockets.calls import failure
from synfin.sockets.descriptors import Descriptors, current_descriptors
from synfin.sockets.endpoint import Endpoint
from synfin.sockets.host import Host, current_host
from synfin.sockets.names import packed_address, sockaddr
from synfin.sockets.options import TCP_INQ, get_option, set_option

T = TypeVar("T")

REAL: Final = socket.socket  # the class as it was before anybody replaced it
NONBLOCK: Final = int(socket.SOCK_NONBLOCK)
CLOEXEC: Final = int(socket.SOCK_CLOEXEC)
DONTWAIT: Final = int(socket.MSG_DONTWAIT)
WAITALL: Final = int(socket.MSG_WAITALL)
NOT_WAITALL: Final = int(socket.MSG_PEEK | socket.MSG_OOB)
FAMILIES: Final = {int(socket.AF_INET): socket.AF_INET, int(socket.AF_INET6): socket.AF_INET6}


def _first(*given: Descriptors | None) -> Descriptors:
    """The first of `given` that is there, else those in use in this context."""
    for found in given:
        if found is not None:
            return found
    return current_descriptors()


def no_threads(call: str) -> UsageError:
    """The error of a call that would block where no thread may."""
    return UsageError(
        f"{call} would block, and no driver lets it wait here: use threads (synfin.sockets.patched in real time, "
        "synfin.sim.run_blocking in the simulation), asyncio, or setblocking(False)"
    )


class Socket(socket.socket):
    """socket.socket(AF_INET or AF_INET6, SOCK_STREAM) on `host`, by default the one that speaks.

    With `fileno` it takes over a virtual descriptor, one of `descriptors` (by default those of the host, or in use here).
    Raises OSError for what is not TCP.
    """

    # _choice and _wishes are Undecided's.
    __slots__ = ("_choice", "_descriptors", "_endpoint", "_fd", "_inheritable", "_proto", "_timeout", "_wishes")

    def __new__(cls, *_: Any, **__: Any) -> "Socket":
        return REAL.__new__(cls)

    def __init__(
        self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None, *, host: Host | None = None,
        descriptors: Descriptors | None = None,
    ) -> None:  # fmt: skip
        # socket.socket.__init__ is not called: it would ask the kernel for a descriptor.
        self._io_refs = 0
        self._closed = False
        self._inheritable = False
        self._proto = 0 if proto == -1 else int(proto)
        default = socket.getdefaulttimeout()
        self._timeout: float | None = default
        if fileno is not None:
            self._descriptors = _first(descriptors)
            self._endpoint = self._descriptors.endpoint(fileno)
            self._fd = fileno
            return
        kind = int(socket.SOCK_STREAM) if type == -1 else int(type)
        if kind & NONBLOCK:
            self._timeout = 0.0
        if kind & ~(NONBLOCK | CLOEXEC) != socket.SOCK_STREAM or self._proto not in (0, socket.IPPROTO_TCP):
            error = failure(errno.EPROTONOSUPPORT)
            error.add_note("synfin is a TCP: a simulated socket is SOCK_STREAM")
            raise error
        host = host or current_host()
        self._descriptors = _first(descriptors, host.descriptors)
        self._take(Endpoint(host, int(socket.AF_INET) if family == -1 else int(family)))
        self._endpoint.made()

    @classmethod
    def around(cls, endpoint: Endpoint, descriptors: Descriptors, proto: int = 0) -> "Socket":
        """A Socket with a new descriptor for an endpoint that exists, in the default blocking mode."""
        made = cls.__new__(cls)
        made._io_refs = 0
        made._closed = False
        made._inheritable = False
        made._proto = proto
        made._descriptors = descriptors
        made._timeout = socket.getdefaulttimeout()
        made._take(endpoint)
        return made

    def _take(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._fd = self._descriptors.open(endpoint)

    @property
    def endpoint(self) -> Endpoint:
        """What the socket stands on."""
        return self._endpoint

    @property
    def descriptors(self) -> Descriptors:
        """Those among which its own is."""
        return self._descriptors

    def __repr__(self) -> str:
        words = [f"fd={self.fileno()}", f"family={FAMILIES[self._endpoint.family].name}", f"host={self._endpoint.host.name}"]
        if self._fd != -1:
            for label, ask in (("laddr", self.getsockname), ("raddr", self.getpeername)):
                try:
                    words.append(f"{label}={ask()}")
                except OSError:
                    continue
        return f"<synfin.Socket{' [closed]' if self._closed else ''} {', '.join(words)}>"

    # --- descriptor and mode

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6."""
        return FAMILIES[self._endpoint.family]

    @property
    def type(self) -> socket.SocketKind:
        """SOCK_STREAM."""
        return socket.SOCK_STREAM

    @property
    def proto(self) -> int:
        """As it was given: 0 or IPPROTO_TCP."""
        return self._proto

    @property
    def timeout(self) -> float | None:
        """None: blocking; 0.0: non-blocking."""
        return self._timeout

    def fileno(self) -> int:
        """The virtual descriptor; -1 once closed or detached."""
        return self._fd

    def setblocking(self, flag: bool) -> None:
        """See socket.socket."""
        self._timeout = None if flag else 0.0

    def getblocking(self) -> bool:
        """See socket.socket."""
        return self._timeout != 0.0

    def settimeout(self, value: float | None) -> None:
        """See socket.socket."""
        if value is not None and value < 0:
            raise ValueError("Timeout value out of range")
        self._timeout = None if value is None else float(value)

    def gettimeout(self) -> float | None:
        """See socket.socket."""
        return self._timeout

    def get_inheritable(self) -> bool:
        """What `set_inheritable` was told; no other process can inherit a virtual descriptor."""
        return self._inheritable

    def set_inheritable(self, inheritable: bool) -> None:
        """See `get_inheritable`."""
        self._inheritable = inheritable

    def detach(self) -> int:
        """Give up the descriptor, which stays open, and return it."""
        fd, self._fd = self._fd, -1
        self._closed = True
        return fd

    def dup(self) -> "Socket":
        """A second socket, with a descriptor of its own, on the same endpoint."""
        self._check_open()
        twin = Socket.around(self._endpoint, self._descriptors, self._proto)
        twin._timeout = self._timeout
        return twin

    def _real_close(self, _ss: Any = None) -> None:
        fd, self._fd = self._fd, -1
        if fd != -1:
            lingering.close(self._endpoint, self._descriptors, fd)

    def __del__(self) -> None:
        fd = getattr(self, "_fd", -1)
        waits = self._endpoint.host.waits if fd != -1 else None
        if waits is not None:  # the kernel's socket would be closed now
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            waits.abandon(partial(self._descriptors.close, fd))

    def _check_open(self) -> None:
        if self._fd == -1:
            raise failure(errno.EBADF)

    def _call(self, name: str, interest: int, flags: int, call: Callable[..., T], *arguments: Any) -> T:
        """A call that may block: in non-blocking mode an attempt, else until it succeeds or fails."""
        timeout = 0.0 if flags & DONTWAIT else self._timeout
        if timeout is None and self._limit(interest) >= 0:
            return self._call_within(name, interest, call, *arguments)
        if interest == READ and timeout != 0.0 and self._endpoint.settings.receive_low > 1:
            call = self._endpoint.patient(call)
        waits = self._endpoint.host.waits
        if waits is not None:
            return Blocking(waits, self._endpoint, timeout).attempt(name, interest, call, *arguments)
        try:
            return call(*arguments)
        except BlockingIOError:
            if timeout == 0.0:
                raise
        raise no_threads(name)

    def _limit(self, interest: int) -> int:
        """SO_RCVTIMEO or SO_SNDTIMEO, in ns; -1 for none. Only blocking mode looks at them."""
        settings = self._endpoint.settings
        return settings.receive_timeout if interest == READ else settings.send_timeout

    def _call_within(self, name: str, interest: int, call: Callable[..., T], *arguments: Any) -> T:
        """A call in blocking mode that SO_RCVTIMEO or SO_SNDTIMEO ends: EAGAIN, EINPROGRESS of a connect (socket(7))."""
        waits = self._endpoint.host.waits
        if waits is None:
            raise no_threads(name)
        if interest == READ and self._endpoint.settings.receive_low > 1:
            call = self._endpoint.patient(call)
        try:
            return Blocking(waits, self._endpoint, self._limit(interest) / SECOND).attempt(name, interest, call, *arguments)
        except TimeoutError:
            raise failure(errno.EINPROGRESS if name == "connect" else errno.EAGAIN) from None

    # --- names

    def getsockname(self) -> tuple[Any, ...]:
        """See socket.socket."""
        self._check_open()
        return sockaddr(self._endpoint.getsockname(), self._endpoint.family)

    def getpeername(self) -> tuple[Any, ...]:
        """See socket.socket."""
        self._check_open()
        return sockaddr(self._endpoint.getpeername(), self._endpoint.family)

    def bind(self, address: Any) -> None:
        """See socket.socket."""
        self._check_open()
        endpoint = self._endpoint
        packed = packed_address(endpoint.host, address, endpoint.family, "bind")
        with endpoint.host.lock:
            endpoint.bind(packed)

    # --- opening

    def listen(self, backlog: int = 128) -> None:
        """See socket.socket."""
        self._check_open()
        with self._endpoint.host.lock:
            self._endpoint.listen(backlog)

    def accept(self) -> tuple["Socket", tuple[Any, ...]]:
        """See socket.socket."""
        self._check_open()
        endpoint = self._endpoint
        accepted, peer = self._call("accept", READ, 0, endpoint.accept)
        made = Socket.around(accepted, self._descriptors, self._proto)
        if made._timeout is None and self._timeout:
            made.setblocking(True)
        return made, sockaddr(peer, endpoint.family)

    def _accept(self) -> tuple[int, tuple[Any, ...]]:
        made, peer = self.accept()
        return made.detach(), peer

    def connect(self, address: Any) -> None:
        """See socket.socket."""
        self._check_open()
        endpoint = self._endpoint
        packed = packed_address(endpoint.host, address, endpoint.family, "connect")
        if self._timeout != 0.0 and endpoint.host.waits is None:
            raise no_threads("connect")
        here = endpoint.host
        if not here.reaches(packed[0]):
            way = f"no link leads from {here.name} to {here.name_of(packed[0])}"
            raise OSError(errno.ENETUNREACH, f"{os.strerror(errno.ENETUNREACH)}: {way}")
        self._call("connect", WRITE, 0, endpoint.connect, packed)

    def connect_ex(self, address: Any) -> int:
        """See socket.socket."""
        try:
            self.connect(address)
        except socket.gaierror:
            raise
        except TimeoutError as error:
            return error.errno or errno.EAGAIN  # as the standard library's, when its own timeout is over
        except OSError as error:
            return error.errno or 0
        return 0

    # --- data

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """See socket.socket."""
        if bufsize <= 0:
            if bufsize < 0:
                raise ValueError("negative buffersize in recv")
            return b""
        if self._fd == -1:
            raise failure(errno.EBADF)
        data = self._call("recv", READ, flags, self._endpoint.recv, bufsize, flags)
        if flags & WAITALL and self._timeout is None and not flags & (DONTWAIT | NOT_WAITALL):
            more = data
            while more and len(data) < bufsize:
                try:
                    more = self._call("recv", READ, flags, self._endpoint.recv, bufsize - len(data), flags)
                except BlockingIOError:  # SO_RCVTIMEO: what there is counts
                    break
                data += more
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """See socket.socket."""
        self._check_open()
        view = memoryview(buffer).cast("B")
        if flags & WAITALL:
            data = self.recv(nbytes or len(view), flags)
            view[: len(data)] = data
            return len(data)
        if nbytes < 0 or nbytes > len(view):
            raise ValueError("negative buffersize in recv_into" if nbytes < 0 else "buffer too small for requested bytes")
        part = view[:nbytes] if nbytes else view
        return self._call("recv_into", READ, flags, self._endpoint.recv_into, part, flags)

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, Any]:
        """See socket.socket; a stream has no sender to tell."""
        return self.recv(bufsize, flags), None

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """See socket.socket."""
        return self.recv_into(buffer, nbytes, flags), None

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0) -> tuple[bytes, list[Any], int, Any]:
        """See socket.socket; ancillary data is what TCP_INQ asks for."""
        data = self.recv(bufsize, flags)
        return data, *self._rest(ancbufsize), None

    def recvmsg_into(
        self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0
    ) -> tuple[int, list[Any], int, Any]:
        """See socket.socket."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        data = self.recv(sum(len(view) for view in views), flags)
        at = 0
        for view in views:
            part = data[at : at + len(view)]
            view[: len(part)] = part
            at += len(part)
        return at, *self._rest(ancbufsize), None

    def _rest(self, room: int) -> tuple[list[Any], int]:
        """What TCP_INQ tells beside the data, and MSG_CTRUNC where there is no `room` for it."""
        endpoint = self._endpoint
        if not endpoint.settings.tells_rest:
            return [], 0
        if room < socket.CMSG_LEN(4):
            return [], int(socket.MSG_CTRUNC)
        with endpoint.host.lock:
            return [(socket.IPPROTO_TCP, TCP_INQ, endpoint.rest().to_bytes(4, sys.byteorder))], 0

    def send(self, data: Any, flags: int = 0) -> int:
        """See socket.socket."""
        if self._fd == -1:
            raise failure(errno.EBADF)
        if type(data) is not bytes and type(data) is not bytearray:
            data = memoryview(data).cast("B")
        if self._timeout is None and not flags & DONTWAIT and self._endpoint.host.waits is not None:
            return self._send_all(data, flags)  # a socket in blocking mode takes all of it (tcp_sendmsg)
        return self._call("send", WRITE, flags, self._endpoint.send, data, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """See socket.socket: what did not fit before the error is lost count of, as there."""
        self._check_open()
        data = data if type(data) is bytes else memoryview(data).cast("B")
        done = 0
        while done < len(data):  # SO_SNDTIMEO is for each call of send that makes it up
            done += self._send_all(memoryview(data)[done:] if done else data, flags)

    def _send_all(self, data: Any, flags: int) -> int:
        """All of `data`, within the time of one call; what SO_SNDTIMEO leaves time for. Returns its length."""
        endpoint = self._endpoint
        waits = endpoint.host.waits
        size = len(data)
        timeout = 0.0 if flags & DONTWAIT else self._timeout
        limited = timeout is None and self._limit(WRITE) >= 0
        if limited:
            timeout = self._limit(WRITE) / SECOND
        call = None if waits is None else Blocking(waits, endpoint, timeout)
        done = 0
        while done < size:
            rest = memoryview(data)[done:] if done else data
            try:
                if call is None:
                    done += self._call("sendall", WRITE, flags, endpoint.send, rest, flags)
                else:
                    done += call.attempt("sendall", WRITE, endpoint.send, rest, flags)
            except (TimeoutError, BlockingIOError):
                if not limited:
                    raise
                if not done:
                    raise failure(errno.EAGAIN) from None
                return done
        return done

    def sendto(self, data: Any, *where: Any) -> int:
        """See socket.socket; a stream does not look at the address (tcp_sendmsg)."""
        return self.send(data, where[0] if len(where) == 2 else 0)

    def sendmsg(self, buffers: Iterable[Any], ancdata: Iterable[Any] = (), flags: int = 0, address: Any = None) -> int:
        """See socket.socket; ancillary data is not there (EINVAL)."""
        if list(ancdata):
            raise failure(errno.EINVAL)
        return self.send(b"".join(buffers), flags)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """See socket.socket: for blocking mode only, by reading and sending."""
        if self._timeout == 0.0:
            raise ValueError("non-blocking sockets are not supported")
        self._check_sendfile_params(file, offset, count)  # type: ignore[attr-defined]
        return int(self._sendfile_use_send(file, offset, count))  # type: ignore[attr-defined]

    # --- the end

    def shutdown(self, how: SupportsIndex) -> None:
        """See socket.socket."""
        self._check_open()
        with self._endpoint.host.lock:
            self._endpoint.shutdown(how.__index__())

    # --- options

    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> Any:
        """See socket.socket and options.py."""
        self._check_open()
        with self._endpoint.host.lock:
            return get_option(self._endpoint, level, optname, buflen)

    def setsockopt(self, level: int, optname: int, value: Any, optlen: int | None = None) -> None:
        """See socket.socket and options.py."""
        self._check_open()
        if value is None:
            value = bytes(optlen or 0)
        with self._endpoint.host.lock:
            set_option(self._endpoint, level, optname, value)

    def ioctl(self, *_: Any) -> NoReturn:
        """Windows only."""
        raise failure(errno.ENOTTY)


assert issubclass(Socket, _socket.socket)
