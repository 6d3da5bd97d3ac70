"""Two hosts in real time in one process, joined without a TUN, for tests of blocking sockets."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from synfin.aio.realtime import RealHost
from synfin.device.pair import device_pair
from synfin.engine.config import TcpConfig
from synfin.sockets.face import Socket

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
CLIENT6, SERVER6 = "fd00::1", "fd00::2"
PATIENCE = 20.0  # seconds


@contextlib.contextmanager
def two_hosts(config: TcpConfig | None = None) -> Iterator[tuple[RealHost, RealHost]]:
    """A client and a server; nobody serves them yet."""
    ends: Any = device_pair()
    with ends[0], ends[1]:
        names = {"server": [SERVER, SERVER6], "client": [CLIENT, CLIENT6]}
        yield (
            RealHost("client", [CLIENT, CLIENT6], ends[0], config=config, hosts=names),
            RealHost("server", [SERVER, SERVER6], ends[1], config=config, hosts=names),
        )


class Beside:
    """A function in a thread; leaving the block waits for it and raises what it raised."""

    def __init__(self, work: Callable[..., Any], *arguments: Any) -> None:
        self._work = work
        self._arguments = arguments
        self.result: Any = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.result = self._work(*self._arguments)
        except BaseException as error:
            self.error = error

    def __enter__(self) -> "Beside":
        self.thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive() or kind is not None
        if self.error is not None and kind is None:
            raise self.error


def connected(client: RealHost, server: RealHost) -> tuple[Socket, Socket]:
    """Two sockets in blocking mode, connected."""
    listener = Socket(host=server)
    listener.bind((SERVER, 0))
    listener.listen()
    mine = Socket(host=client)
    mine.connect(listener.getsockname())
    theirs, _ = listener.accept()
    listener.close()
    return mine, theirs
