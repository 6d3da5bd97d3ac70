"""What the tests of exchanges with threads share: both fronts under one name, a server in a thread, and a tidy simulation."""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from synfin.channels import exchangeblocking, exchangelongblocking
from synfin.channels.errors import ChannelError
from synfin.channels.exchange import LIMIT
from synfin.channels.exchangecallsblocking import BlockingCalls
from synfin.channels.framing import Framing, LengthHeader
from synfin.channels.heartbeat import SECOND
from synfin.channels.life import LifeSettings
from synfin.sockets.descriptors import current_descriptors
from tests.channels.grounds import Ground, SimGround

PORT = 7000
FRAMING = LengthHeader(4)
QUICK = LifeSettings(interval=10 * SECOND, timeout=2 * SECOND, misses=3)  # dead after 16 s
PATIENCE = 20.0  # seconds that a call may take on the slowest machine


class Front:
    """An exchange on a connection of its own ("short"), or on a long one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.long = name == "long"

    def __repr__(self) -> str:
        return self.name

    def connect(self, address: Any, handler: Any = None, *, limit: int = LIMIT, framing: Framing = FRAMING) -> Any:
        """To `address`, as a client."""
        if self.long:
            return exchangelongblocking.connect(address, framing, QUICK, handler, limit=limit, timeout=5)
        return exchangeblocking.connect(address, framing, handler, limit=limit, timeout=5)

    def over(self, sock: socket.socket, handler: Any = None, *, limit: int = LIMIT, framing: Framing = FRAMING) -> Any:
        """Over an accepted socket."""
        if self.long:
            return exchangelongblocking.BlockingLongExchange(sock, framing, QUICK, handler, limit=limit)
        return exchangeblocking.BlockingExchange(sock, framing, handler, limit=limit)


FRONTS = [Front("short"), Front("long")]


@dataclass
class Served:
    """One connection that is answered in a thread until its peer has ended it. `error`: what wait_ended or close raised."""

    listener: socket.socket
    thread: threading.Thread | None = None
    exchange: Any = None
    error: ChannelError | None = None
    ready: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> Any:
        return self.listener.getsockname()

    def end(self) -> ChannelError | None:
        """Wait until it is over."""
        assert self.thread is not None
        self.thread.join()
        self.listener.close()
        return self.error


def serve(ground: Ground, front: Front, handler: Any = None, **options: Any) -> Served:
    """Listen at the ground's server, and answer the first connection."""
    with ground.server:
        served = Served(socket.create_server((ground.address, PORT if ground.virtual else 0)))

        def run() -> None:
            accepted, _ = served.listener.accept()
            served.exchange = front.over(accepted, handler, **options)
            served.ready.set()
            try:
                served.exchange.wait_ended()
                served.exchange.close()
            except ChannelError as error:
                served.error = error
                served.exchange.abort()

        served.thread = threading.Thread(target=run, daemon=True)
        served.thread.start()
    return served


def pair(ground: Ground, front: Front, handler: Any = None, asked: Any = None, **options: Any) -> tuple[Served, Any]:
    """A server with `handler`, and a client that answers by `asked`."""
    served = serve(ground, front, handler, **options)
    with ground.client:
        exchange = front.connect(served.address, asked, **options)
    assert isinstance(exchange, BlockingCalls)
    return served, exchange


class TidySim(SimGround):
    """The simulation, where a thread or a socket that is left fails the test."""

    def run_blocking(self, program: Callable[[], Any]) -> Any:
        def main() -> Any:
            before = threading.enumerate()
            result = program()
            assert [thread.name for thread in threading.enumerate() if thread not in before and thread.is_alive()] == []
            left = [fd for fd, endpoint in current_descriptors() if not endpoint.closed]  # a crash closes without a word
            assert left == [], "sockets are left open"
            return result

        return super().run_blocking(main)
