"""Sockets for programs on the simulator's own API: every call that may block is awaited, in virtual time, without asyncio.

    async def client(host):
        s = host.socket()
        await s.connect(("server", 80))
        await s.send(b"1+1?")
        print(await s.recv(100))
        s.close()

    async def server(host):
        listener = host.socket()
        listener.bind(80)
        listener.listen()
        s = await listener.accept()

Owns the waiting: a call is a non-blocking attempt on an Endpoint, and while it would block, a wait for the endpoint to change.
Errors are the OSErrors that Linux gives, running out of time is TimeoutError. Knows nothing of segments.
"""

import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from synfin.engine.config import NEVER
from synfin.engine.connection import Connection
from synfin.engine.errors import UsageError
from synfin.engine.listener import Listener
from synfin.engine.segment import Buffer
from synfin.engine.state import State
from synfin.sim.clock import nanoseconds
from synfin.sim.tasks import HostCrashed, Wait, wake_all
from synfin.sockets.calls import failure, name_of
from synfin.sockets.endpoint import READ, WRITE, Endpoint

if TYPE_CHECKING:
    from synfin.sim.host import SimHost

HOW: Final = {"read": socket.SHUT_RD, "write": socket.SHUT_WR, "both": socket.SHUT_RDWR}
FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
CHUNK: Final = 65_536  # bytes that recv asks for unless told otherwise


class Socket:
    """A TCP socket of one host, made by `SimHost.socket`; `version` is the IP version, 4 or 6."""

    def __init__(self, host: "SimHost", version: int = 4, endpoint: Endpoint | None = None) -> None:
        if version not in FAMILIES:
            raise UsageError(f"the IP version is 4 or 6, not {version!r}")
        self.host = host
        self.version = version
        if endpoint is None:
            endpoint = Endpoint(host, FAMILIES[version])
            endpoint.made()
        self._endpoint = endpoint
        self._endpoint.on_change = self._wake
        self._boot = host.boots
        self._entry: Connection | Listener | None = None
        self._timeout: int | None = None
        self._waiters: dict[Wait, None] = {}
        host.sockets[self] = None

    # Waiting

    def settimeout(self, seconds: float | None) -> None:
        """How long each call may wait before it raises TimeoutError; None, as at first: for ever."""
        self._timeout = None if seconds is None else nanoseconds(seconds, "timeout")

    def _wake(self) -> None:
        if self._waiters:
            wake_all(self._waiters)

    def crashed(self) -> None:
        """The host has crashed: nobody who waits here will be served."""
        self._endpoint.vanish()
        wake_all(self._waiters, HostCrashed(f"{self.host.name} has crashed"))

    def _until(self) -> int:
        return NEVER if self._timeout is None else self.host.now() + self._timeout

    async def _change(self, what: str, until: int) -> None:
        """Wait until something about the socket has changed."""
        if until <= self.host.now():
            raise TimeoutError("timed out")
        await Wait(self._waiters, f"{what} at {self.host.name}", until)

    def _alive(self) -> Endpoint:
        if self._boot != self.host.boots or self.host.down:
            raise HostCrashed(f"{self.host.name} has crashed")
        return self._endpoint

    async def until(self, condition: "Callable[[Socket], bool]", what: str = "a condition") -> None:
        """Wait until `condition(self)` holds; it is looked at whenever something about the socket has changed.

        `await s.until(lambda s: s.state is State.CLOSE_WAIT)`.
        """
        until = self._until()
        while not condition(self):
            self._alive()
            await self._change(what, until)

    # Opening

    def bind(self, address: int | tuple[str, int]) -> None:
        """Take a local port, at every address of the host unless one is named; port 0 lets the stack choose."""
        name, port = ("", address) if isinstance(address, int) else address
        packed = self._resolve(name) if name else bytes(4 if self.version == 4 else 16)
        self._alive().bind((packed, port))

    def listen(self, backlog: int = 128) -> None:
        """Passive open."""
        endpoint = self._alive()
        endpoint.listen(backlog)
        self._entry = endpoint.listener

    async def connect(self, address: tuple[str, int], data: Buffer = b"") -> None:
        """Active open to a host's name, or an address, and a port; raises ConnectionRefusedError, TimeoutError ...

        `data` waits for the SYN,ACK and goes with the third segment (RFC 9293 3.10.1); no call of Linux does quite that.
        """
        name, port = address
        endpoint = self._alive()
        until = self._until()
        remote = (self._resolve(name), port)
        try:
            endpoint.connect(remote, data)
        except BlockingIOError:
            pass
        else:
            return
        finally:
            self._entry = endpoint.connection
        while not self._alive().ready(WRITE):
            await self._change(f"connect to {name_of(remote)}", until)
        number = endpoint.take_error()
        if number:
            raise failure(number)

    async def accept(self) -> "Socket":
        """The next connection."""
        until = self._until()
        while True:
            try:
                endpoint, _ = self._alive().accept()
            except BlockingIOError:
                await self._change("accept", until)
                continue
            accepted = Socket(self.host, self.version, endpoint)
            accepted._entry = endpoint.connection
            return accepted

    def _resolve(self, name: str) -> bytes:
        size = 4 if self.version == 4 else 16
        for packed in self.host.resolve(name):
            if len(packed) == size:
                return packed
        raise socket.gaierror(socket.EAI_NONAME, f"{name!r} is no host or address of IPv{self.version}")

    # Data

    async def send(self, data: Buffer, *, more: bool = False) -> None:
        """Send all of `data`: returns when the last byte is in the send buffer. `more` says that more follows at once."""
        await self._send_all(data, int(socket.MSG_MORE) if more else 0)

    async def send_oob(self, data: Buffer) -> None:
        """Send `data`, its last byte urgent (RFC 6093)."""
        await self._send_all(data, int(socket.MSG_OOB))

    async def _send_all(self, data: Buffer, flags: int) -> None:
        until = self._until()
        rest: Buffer = data if isinstance(data, bytes) else bytes(data)  # the caller may reuse a bytearray while we wait
        while rest:
            try:
                count = self._alive().send(rest, flags)
            except BlockingIOError:
                await self._change("send", until)
                continue
            rest = memoryview(rest)[count:]

    async def recv(self, limit: int = CHUNK) -> bytes:
        """At least one byte and at most `limit`; b"" at the end of the stream."""
        until = self._until()
        while True:
            try:
                return self._alive().recv(limit)
            except BlockingIOError:
                await self._change("recv", until)

    async def recv_exactly(self, count: int) -> bytes:
        """`count` bytes; fewer only when the stream ends before."""
        parts: list[bytes] = []
        while count and (part := await self.recv(count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    async def recv_all(self) -> bytes:
        """Everything up to the end of the stream."""
        parts: list[bytes] = []
        while part := await self.recv():
            parts.append(part)
        return b"".join(parts)

    async def recv_oob(self) -> bytes:
        """The urgent byte, once there is one."""
        until = self._until()
        while True:
            try:
                return self._alive().recv(1, int(socket.MSG_OOB))
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EAGAIN) or self._over():
                    raise
                await self._change("recv_oob", until)

    def _over(self) -> bool:
        connection = self._endpoint.connection
        return connection is None or connection.peer_closed or connection.close_reason is not None

    # Closing

    def shutdown(self, how: str = "write") -> None:
        """Close one direction, "read" or "write" (a FIN after what is queued), or "both"."""
        if how not in HOW:
            raise UsageError(f'shutdown is for "read", "write" or "both", not {how!r}')
        self._alive().shutdown(HOW[how])

    def close(self) -> None:
        """Close both directions and let the stack finish; with unread data the peer gets an RST. Repeating it does nothing."""
        self._close(Endpoint.close)

    def _close(self, how: Callable[[Endpoint], None]) -> None:
        self.host.sockets.pop(self, None)
        if self._boot == self.host.boots and not self.host.down:
            how(self._endpoint)
        wake_all(self._waiters)  # who waits here gets EBADF

    def abort(self) -> None:
        """Close by RST (ABORT, RFC 9293 3.10.5)."""
        self._alive()
        self._close(Endpoint.abort)

    # What it is

    @property
    def connection(self) -> Connection | None:
        """The engine's connection, kept after `close`; None before connect and for a listener."""
        return self._entry if isinstance(self._entry, Connection) else None

    @property
    def state(self) -> State:
        """The state of the connection or listener; CLOSED before there is one and when all is over."""
        entry = self._entry
        if entry is None or self._boot != self.host.boots or self.host.down:
            return State.CLOSED
        if entry.state is State.TIME_WAIT and not any(held.key == entry.key for held in self.host.stack.sockets()):
            return State.CLOSED  # 2MSL have passed; what was left of the connection did not know of it
        return entry.state

    @property
    def readable(self) -> bool:
        """Whether recv or accept would not wait."""
        return bool(self._alive().ready(READ))

    @property
    def local_address(self) -> tuple[bytes, int]:
        """(packed address, port)."""
        return self._alive().getsockname()

    @property
    def peer_address(self) -> tuple[bytes, int]:
        """(packed address, port); raises OSError (ENOTCONN) without a connection."""
        return self._alive().getpeername()

    def set_option(self, name: str, value: int) -> None:
        """Set an option of the connection (Connection.set_option): nodelay, send_buffer, receive_buffer, oob_inline ..."""
        self._alive().apply(name, value)

    def info(self) -> dict[str, Any]:
        """What the engine can tell of the connection (Connection.info)."""
        connection = self.connection
        return {} if connection is None else connection.info(self.host.now())


class Raw:
    """All packets that arrive at one host, past its stack; made by `SimHost.raw`. For a peer that is played by hand."""

    def __init__(self, host: "SimHost") -> None:
        self._host = host
        self._waiters: dict[Wait, None] = {}
        self._packets: list[bytes] = []
        self._timeout: int | None = None
        host.divert(self._take)

    def _take(self, packet: bytes) -> None:
        self._packets.append(packet)
        wake_all(self._waiters)

    def settimeout(self, seconds: float | None) -> None:
        """How long `recv` may wait before it raises TimeoutError; None: for ever."""
        self._timeout = None if seconds is None else nanoseconds(seconds, "timeout")

    async def recv(self) -> bytes:
        """The next packet, from its IP header on."""
        until = NEVER if self._timeout is None else self._host.now() + self._timeout
        while not self._packets:
            await Wait(self._waiters, f"a packet at {self._host.name}", until)
        return self._packets.pop(0)

    def close(self) -> None:
        """Give the packets to the stack again."""
        self._host.divert(None)
