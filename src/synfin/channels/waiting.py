"""Waiting for a socket in a thread: the kernel's sockets by poll(2), synfin's by the driver that serves them.

Owns the choice between the two, and how another thread cuts a wait short. A socket is waited for as it is, so its own timeout
does not matter, and several threads may wait for the same one.
"""

import os
import select
import socket
from typing import Any, Final

from synfin.engine.errors import UsageError
from synfin.sockets.blocking import Bell, Waits, Watch, subscribe, unsubscribe
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
    found = poll.poll(_milliseconds(timeout))
    return _readiness(found[0][1] if found else 0, interest)


def _milliseconds(timeout: float | None) -> int | None:
    """poll counts in whole milliseconds: never less than what was asked for."""
    return None if timeout is None else max(0, -int(-timeout * 1000 // 1))


def _readiness(mask: int, interest: int) -> int:
    if mask & ERRORS:
        return interest
    return (READ if mask & select.POLLIN else 0) | (WRITE if mask & select.POLLOUT else 0)


def _poller(sock: socket.socket) -> Any:
    if not isinstance(sock, Socket):
        return select.poll()
    return Polling(lambda: sock.descriptors, lambda: _waits(sock)).poll()


def _waits(sock: Socket) -> Waits:
    found = sock.endpoint.host.waits
    if found is None:
        raise UsageError("no driver lets threads wait for this socket")
    return found


class Waiting:
    """The waits of one thread for one socket, which any other thread may cut short by `wake`. `close` it, when neither waits
    any more nor will wake."""

    def wait(self, interest: int, timeout: float | None) -> int:
        """As the function `wait`, but returns as soon as `wake` is called, or at once when that was since the last wait;
        whoever is woken learns what the socket is ready for all the same, 0 for nothing."""
        raise NotImplementedError

    def wake(self) -> None:
        """End the wait that goes on, or the next one."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what this holds of the system's; may be called again."""


class KernelWaiting(Waiting):
    """For a socket of the kernel's: poll(2) looks at an eventfd too."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def wait(self, interest: int, timeout: float | None) -> int:
        """See Waiting."""
        fd = self._sock.fileno()
        if fd < 0:
            return interest
        poll = select.poll()
        poll.register(fd, (select.POLLIN if interest & READ else 0) | (select.POLLOUT if interest & WRITE else 0))
        poll.register(self._event, select.POLLIN)
        found = dict(poll.poll(_milliseconds(timeout)))
        if found.pop(self._event, 0):
            os.eventfd_read(self._event)
        return _readiness(found.get(fd, 0), interest)

    def wake(self) -> None:
        """See Waiting."""
        if self._event >= 0:
            os.eventfd_write(self._event, 1)

    def close(self) -> None:
        """See Waiting."""
        event, self._event = self._event, -1
        if event >= 0:
            os.close(event)


class StackWaiting(Waiting):
    """For a socket of synfin's: `wake` rings the bell that its driver lets the thread wait for."""

    def __init__(self, sock: Socket) -> None:
        self._sock = sock
        self._bell: Bell | None = None
        self._woken = False

    def wait(self, interest: int, timeout: float | None) -> int:
        """See Waiting. Raises UsageError where no driver lets threads wait."""
        endpoint, waits = self._sock.endpoint, _waits(self._sock)
        with waits.lock:
            until = None if timeout is None else waits.now() + timeout
            if not self._woken and not self._ready(interest):
                self._bell = bell = waits.bell("a socket, or being woken")
                watch = Watch(endpoint, interest, bell)
                subscribe(endpoint, watch.changed)
                try:
                    bell.wait(until)
                finally:
                    unsubscribe(endpoint, watch.changed)
                    self._bell = None
            self._woken = False
            return self._ready(interest)

    def _ready(self, interest: int) -> int:
        endpoint = self._sock.endpoint
        return interest if endpoint.closed else endpoint.ready(interest)

    def wake(self) -> None:
        """See Waiting."""
        with self._sock.endpoint.host.lock:
            self._woken = True
            if self._bell is not None:
                self._bell.ring()


def waiting(sock: socket.socket) -> Waiting:
    """Waits for `sock` that another thread may cut short."""
    return StackWaiting(sock) if isinstance(sock, Socket) else KernelWaiting(sock)
