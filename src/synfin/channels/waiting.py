"""Waiting for a socket in a thread: the kernel's sockets by poll(2), synfin's by the driver that serves them.

Owns the choice between the two, nothing else. A socket is waited for as it is, so its own timeout does not matter, and several
threads may wait for the same one.
"""

import select
import socket
from typing import Any, Final

from synfin.engine.errors import UsageError
from synfin.sockets.blocking import Waits
from synfin.sockets.face import Socket
from synfin.sockets.readiness import Polling

READ: Final = 1
WRITE: Final = 2
ERRORS: Final = select.POLLERR | select.POLLHUP | select.POLLNVAL


def wait(sock: socket.socket, interest: int, timeout: float | None) -> int:
    """Wait until `sock` is ready for what is in `interest` (READ, WRITE or both), at most `timeout` seconds (None: for ever).

    Returns what it is ready for, 0 when the time is over; an error counts as ready for all, for the call will tell it.
    """
    if sock.fileno() < 0:
        return interest  # closed by another thread
    poll = _poller(sock)
    poll.register(sock, (select.POLLIN if interest & READ else 0) | (select.POLLOUT if interest & WRITE else 0))
    # poll counts in whole milliseconds: never less than what was asked for
    found = poll.poll(None if timeout is None else max(0, -int(-timeout * 1000 // 1)))
    mask = found[0][1] if found else 0
    if mask & ERRORS:
        return interest
    return (READ if mask & select.POLLIN else 0) | (WRITE if mask & select.POLLOUT else 0)


def _poller(sock: socket.socket) -> Any:
    if not isinstance(sock, Socket):
        return select.poll()
    endpoint_host = sock.endpoint.host

    def waits() -> Waits:
        found = endpoint_host.waits
        if found is None:
            raise UsageError("no driver lets threads wait for this socket")
        return found

    return Polling(lambda: sock.descriptors, waits).poll()
