"""Long connections for programs with threads. The bytes are life.py's, the calls are those of long.py without await.

Owns one thread a connection, which reads, answers PINGs and watches the peer while the program does other things. A program's
thread writes for itself: nobody holds the lock while waiting for the socket, so a peer that does not read holds up neither
reading nor the heartbeat. Times are seconds; those in LifeSettings nanoseconds.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Self

from synfin.channels import blocking
from synfin.channels.aio import RESET_ON_CLOSE
from synfin.channels.blocking import CHUNK, CLOSE_TIMEOUT, deadline, left, over
from synfin.channels.errors import ChannelClosed, ChannelError, ChannelTimeout, FramingError, PeerLost
from synfin.channels.framing import Buffer, Framing
from synfin.channels.heartbeat import NEVER, SECOND
from synfin.channels.life import Life, LifeSettings
from synfin.channels.long import DEFAULT, check_framing, check_size
from synfin.channels.waiting import READ, WRITE, wait


class LongSocket:
    """A long connection over `sock`, a connected stream socket, which belongs to this object from now on.

    Any number of threads may call. `close` it, or its thread goes on.
    """

    def __init__(self, sock: socket.socket, framing: Framing, settings: LifeSettings = DEFAULT) -> None:
        check_framing(framing)
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.framing = framing
        # The thread cannot be woken for an ACK that falls due: it goes out when the message is taken.
        self.life = Life(replace(settings, ack_delay=0), time.monotonic_ns())
        self.told = False  # somebody has been given the error that ended the connection
        self._decoder = framing.decoder()
        self._out = bytearray()  # bytes that the socket has not taken yet
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="synfin long connection", daemon=True)
        self._thread.start()

    # Calls of the program

    def send(self, message: Buffer, timeout: float | None = None) -> int:
        """Queue `message` and return its number; waits while the queue is full, at most `timeout` seconds.

        Raises MessageRefused; ChannelTimeout (the message was not taken); ChannelClosed; PeerLost, PeerDead, ProtocolError,
        FramingError when that has ended the connection.
        """
        check_size(message, self.framing)
        until, life = deadline(timeout), self.life
        with self._changed:
            self._until(lambda: bool(life.room) or life.error is not None, until, f"no room to send within {timeout} s")
            number = int(self._telling(lambda: life.send(message)))
        self._flush(until)
        return number

    def receive(self, timeout: float | None = None) -> bytes:
        """The next message, within `timeout` seconds (None: for ever); taking it is what acknowledges it to the peer.

        Raises ChannelTimeout (nothing is lost); once all that came has been received, ChannelClosed after the peer's goodbye,
        and PeerLost, PeerDead, ProtocolError, FramingError when that has ended the connection.
        """
        until, life = deadline(timeout), self.life
        with self._changed:
            self._until(
                lambda: bool(life.inbox) or life.error is not None or life.peer_goodbye, until, f"no message within {timeout} s"
            )
            message = self._telling(lambda: life.take(time.monotonic_ns()))
        self._flush(until)
        return bytes(message)

    def ping(self, timeout: float) -> float:
        """Ask the peer whether it is there, idle or not; returns the seconds until its answer. Raises as `receive`."""
        until, life, began = deadline(timeout), self.life, time.monotonic()
        with self._changed:
            number = life.ping()
        self._flush(until)
        with self._changed:
            self._until(
                lambda: life.answered >= number or life.error is not None, until, f"no answer to a PING within {timeout} s"
            )
            if life.error is not None:
                self.told = True
                raise life.error
        return time.monotonic() - began

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Send what is queued, say goodbye, wait until the peer has taken it all, close; within `timeout` seconds.

        Raises PeerLost with what is not acknowledged, unless an earlier call raised it already. Either way the connection is
        closed and its thread has ended.
        """
        until, life = deadline(timeout), self.life
        with self._changed:
            life.close()
        self._flush(until)
        with self._changed:
            with contextlib.suppress(ChannelTimeout):
                self._until(
                    lambda: (life.finished and not life.second and not self._out) or life.error is not None, until, ""
                )
            orderly = life.finished and not self._out
            if orderly:
                life.ended(ChannelClosed("this side has said goodbye"))
            life.give_up(f"not all was acknowledged within {timeout} s of closing")
        self._end(reset=not orderly)
        if isinstance(life.error, PeerLost) and life.error.unacknowledged and not self.told:
            self.told = True
            raise life.error

    def abort(self) -> None:
        """Close at once. What is unacknowledged stays in `unacknowledged`."""
        with self._changed:
            self.life.give_up("this side has given up")
            self._changed.notify_all()
        self._end(reset=True)

    @property
    def alive(self) -> bool:
        """Whether nothing has ended the connection, and neither side has said goodbye."""
        return self.life.error is None and not self.life.peer_goodbye

    @property
    def unacknowledged(self) -> tuple[bytes, ...]:
        """What the peer has not confirmed, oldest first."""
        return self.life.unacknowledged

    def __iter__(self) -> Iterator[bytes]:
        """All messages up to the peer's goodbye; other ends raise."""
        while True:
            try:
                message = self.receive()
            except ChannelClosed:
                return
            yield message

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    # Waiting and writing

    def _telling(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except ChannelError:
            self.told = True
            raise

    def _until(self, condition: Callable[[], bool], until: float | None, what: str) -> None:
        """Wait, with the lock held, until `condition` holds. Raises ChannelTimeout(what)."""
        while not condition():
            if over(until):
                raise ChannelTimeout(what)
            self._changed.wait(left(until))

    def _flush(self, until: float | None) -> None:
        """Write what is due; while the socket takes no more wait for it, without the lock."""
        while True:
            with self._changed:
                self._write()
                if not self._out or self.life.error is not None or over(until):
                    return
            wait(self.sock, WRITE, left(until))

    def _write(self) -> None:
        """Give the socket what it takes now; the lock is held."""
        life = self.life
        try:
            while life.error is None:
                if not self._out:
                    self._out += b"".join(map(self.framing.encode, life.outgoing(time.monotonic_ns())))
                if not self._out:
                    return
                del self._out[: self.sock.send(self._out)]
                if life.finished and not self._out:
                    self._changed.notify_all()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(error)

    def _lost(self, error: OSError) -> None:
        lost = PeerLost(f"the connection broke: {error}")
        lost.__cause__ = error
        self.life.ended(lost)
        self._changed.notify_all()

    # The thread

    def _run(self) -> None:
        while True:
            with self._changed:
                due = self.life.next_deadline()
                interest = READ | (WRITE if self._out else 0)
                if self.life.error is not None:
                    self._changed.notify_all()
                    return
            # No deadline comes nearer while we wait: sending and taking see to what they make due.
            seconds = None if due == NEVER else max(0.0, (due - time.monotonic_ns()) / SECOND)
            try:
                ready = wait(self.sock, interest, seconds)
            except (OSError, ValueError):  # closed meanwhile
                ready = READ
            with self._changed:
                if ready & READ and self.life.error is None:
                    self._read()
                self.life.handle_timers(time.monotonic_ns())
                self._write()
                self._changed.notify_all()

    def _read(self) -> None:
        life = self.life
        messages: list[bytes] = []
        try:
            data = self.sock.recv(CHUNK)
            if data:
                life.heard(time.monotonic_ns())
                self._decoder.feed(data, messages)
            else:
                self._decoder.end()
                life.ended(ChannelClosed("the peer has finished"))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(error)
        except FramingError as error:
            self._take(messages)
            life.ended(error)
        else:
            self._take(messages)

    def _take(self, messages: list[bytes]) -> None:
        with contextlib.suppress(ChannelError):  # it is kept in life.error
            for message in messages:
                self.life.received(message)

    def _end(self, *, reset: bool) -> None:
        if reset:
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        else:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RD)  # wakes the thread
        if self._thread is not threading.current_thread():
            self._thread.join()
        self.sock.close()


def connect(
    address: Any, framing: Framing, settings: LifeSettings = DEFAULT, *, timeout: float | None = None
) -> LongSocket:
    """A long connection to `address`, (host, port), made within `timeout` seconds. Raises as blocking.connect."""
    check_framing(framing)
    return LongSocket(blocking.connect(address, framing, timeout=timeout).sock, framing, settings)
