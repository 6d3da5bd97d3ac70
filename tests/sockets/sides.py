"""Two worlds for one script of socket calls: Linux's own loopback, and two simulated hosts.

A script makes sockets with `client` and `server`, calls `settle` where the network has to do its part, and notes with `note`
what each call gave. Equal notes from both sides mean that the simulated socket answers as Linux does.
"""

import contextlib
import errno
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

from synfin.sim.world import World
from synfin.sockets.descriptors import Descriptors
from synfin.sockets.face import Socket

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def outcome(call: Callable[..., Any], *arguments: Any) -> Any:
    """What the call returned, or the name of the errno that it raised."""
    try:
        return call(*arguments)
    except socket.gaierror as error:
        return f"gaierror {error.errno}"
    except OSError as error:
        return errno.errorcode[error.errno or 0]


class Side:
    """What both have."""

    server_address = ""

    def __init__(self) -> None:
        self.notes: list[Any] = []

    def client(self) -> socket.socket:
        raise NotImplementedError

    def server(self) -> socket.socket:
        raise NotImplementedError

    def settle(self) -> None:
        raise NotImplementedError

    def levels(self, sock: socket.socket) -> int:
        """EVENT_READ and EVENT_WRITE, as a selector has them."""
        raise NotImplementedError

    def note(self, call: Callable[..., Any], *arguments: Any) -> Any:
        result = outcome(call, *arguments)
        self.notes.append(None if isinstance(result, socket.socket) else result)
        return result

    def note_levels(self, sock: socket.socket) -> None:
        self.notes.append(self.levels(sock))

    def listener(self) -> tuple[socket.socket, tuple[Any, ...]]:
        sock = self.server()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.server_address, 0))
        sock.listen()
        return sock, sock.getsockname()

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """A client's and a server's socket, connected."""
        listener, address = self.listener()
        client = self.client()
        outcome(client.connect, address)
        self.settle()
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        accepted, _ = listener.accept()
        accepted.setblocking(False)
        listener.close()
        return client, accepted

    def free_port(self) -> int:
        """A port at which nobody listens."""
        sock, (_, port) = self.listener()
        sock.close()
        return int(port)


class Kernel(Side):
    """Linux."""

    server_address = "127.0.0.1"

    def __init__(self) -> None:
        super().__init__()
        self._sockets: list[socket.socket] = []

    def client(self) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        self._sockets.append(sock)
        return sock

    server = client

    def settle(self) -> None:
        time.sleep(0.01)

    def levels(self, sock: socket.socket) -> int:
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            return sum(mask for _, mask in selector.select(0))

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


class Simulated(Side):
    """Two hosts of a World."""

    server_address = "10.0.0.2"

    def __init__(self) -> None:
        super().__init__()
        self.world = World(1)
        self.hosts = self.world.host("client"), self.world.host("server")
        self.world.link(*self.hosts, delay=0.001)

    def client(self) -> socket.socket:
        sock = Socket(host=self.hosts[0])
        sock.setblocking(False)
        return sock

    def server(self) -> socket.socket:
        sock = Socket(host=self.hosts[1])
        sock.setblocking(False)
        return sock

    def settle(self) -> None:
        self.world.run_for(0.1)

    def levels(self, sock: socket.socket) -> int:
        assert isinstance(sock, Socket)
        return sock.endpoint.ready()


@contextlib.contextmanager
def kernel() -> Iterator[Kernel]:
    side = Kernel()
    try:
        yield side
    finally:
        side.close()


@contextlib.contextmanager
def simulated() -> Iterator[Simulated]:
    descriptors = Descriptors()
    token = descriptors.use()
    try:
        yield Simulated()
    finally:
        descriptors.leave(token)
