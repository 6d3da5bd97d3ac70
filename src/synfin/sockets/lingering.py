"""SO_LINGER with a time: a close that waits until the peer has acknowledged all that was sent, and the FIN.

Owns that wait. When the time is over close returns all the same and the stack goes on by itself, as Linux's does (tcp_close,
sk_stream_wait_close). As there, a socket that does not block waits here too, and an event loop with it. Knows a connection by
its state only; how somebody waits is the driver's.
"""

from typing import Final

from synfin.engine.connection import Connection
from synfin.engine.observe import Watcher
from synfin.engine.state import State
from synfin.sockets.blocking import Bell, Waits
from synfin.sockets.descriptors import Descriptors
from synfin.sockets.endpoint import Endpoint

UNFINISHED: Final = (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)  # sk_stream_closing


class _End(Watcher):
    """Rings when nothing of ours is unacknowledged any more."""

    __slots__ = ("_bell", "_connection")

    def __init__(self, connection: Connection, bell: Bell) -> None:
        self._connection = connection
        self._bell = bell

    def changed(self) -> None:
        """See Watcher."""
        if self._connection.state not in UNFINISHED:
            self._bell.ring()


def close(endpoint: Endpoint, descriptors: Descriptors, fd: int) -> None:
    """Close a descriptor of `endpoint`; where it was the last, and a time to linger was set, wait at most so long."""
    with endpoint.host.lock:
        connection = endpoint.connection
        descriptors.close(fd)
        settings, waits = endpoint.settings, endpoint.host.waits
        if not endpoint.closed or connection is None or not settings.linger_on or connection.state not in UNFINISHED:
            return
        if waits is not None:
            _wait(waits, connection, settings.linger_seconds)
        elif endpoint.host.hold is not None:
            endpoint.host.hold(lambda: connection.state not in UNFINISHED, settings.linger_seconds)


def _wait(waits: Waits, connection: Connection, seconds: int) -> None:
    bell = waits.bell("close")
    connection.watcher = _End(connection, bell)
    try:
        bell.wait(waits.now() + seconds)
    finally:
        connection.watcher = None
