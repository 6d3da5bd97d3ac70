"""Long connections for programs with threads. The bytes are life.py's, the calls are those of long.py without await.

Owns one thread a connection, which reads, answers PINGs and watches the peer while the program does other things. A program's
thread writes for itself what the socket takes at once, and wakes that thread for the rest and for what falls due later. Nobody
holds the lock while waiting for the socket, so a peer that does not read holds up neither reading nor the heartbeat. Times are
seconds; those in LifeSettings nanoseconds.
"""

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Self

from synfin.channels import blocking
from synfin.channels.aio import RESET_ON_CLOSE
from synfin.channels.blocking import CHUNK, CLOSE_TIMEOUT
from synfin.channels.errors import ChannelClosed, ChannelError, ChannelTimeout, FramingError, PeerLost
from synfin.channels.framing import Buffer, Framing
from synfin.channels.heartbeat import NEVER, SECOND
from synfin.channels.life import Life, LifeSettings
from synfin.channels.long import DEFAULT, check_framing, check_size
from synfin.channels.threadparts import deadline, left, until_closed, wait_for
from synfin.channels.waiting import READ, WRITE, waiting


class LongSocket:
    """A long connection over `sock`, a connected stream socket, which belongs to this object from now on.

    Any number of threads may call. `close` it, or its thread goes on until something ends the connection. Either way the thread
    lets go of the socket, by RST where the end is no orderly one.
    """

    def __init__(self, sock: socket.socket, framing: Framing, settings: LifeSettings = DEFAULT) -> None:
        check_framing(framing)
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.framing = framing
        self.life = self._make_life(settings, time.monotonic_ns())
        self.told = False  # somebody has been given the PeerLost that says what is unacknowledged
        self._decoder = framing.decoder()
        self._out = bytearray()  # bytes that the socket has not taken yet
        self._changed = threading.Condition()
        self._receivers: deque[None] = deque()  # one for each thread in `receive`: counted without the lock
        self._receiving = 0  # a subclass that takes all that comes has 1
        self._peer_finished = False  # its FIN has come
        self._waiting = waiting(sock)  # the thread's
        self._interest = READ  # what it waits for
        self._due = 0  # until when
        self._thread = threading.Thread(target=self._run, name="synfin long connection", daemon=True)
        self._thread.start()

    def _make_life(self, settings: LifeSettings, now: int) -> Life:
        """What keeps this side's state; a subclass may have more of it."""
        return Life(settings, now)

    # Calls of the program

    def send(self, message: Buffer, timeout: float | None = None) -> int:
        """Queue `message` and return its number; waits while the queue is full, at most `timeout` seconds.

        Raises MessageRefused; ChannelTimeout (the message was not taken); ChannelClosed; PeerLost, PeerDead, ProtocolError,
        FramingError when that has ended the connection.
        """
        check_size(message, self.framing)
        life = self.life
        with self._changed:
            self._until(lambda: bool(life.room) or life.error is not None, timeout, "no room to send")
            number = int(self._telling(lambda: life.send(message)))
            self._go()
        return number

    def receive(self, timeout: float | None = None) -> bytes:
        """The next message, within `timeout` seconds (None: for ever); taking it is what acknowledges it to the peer.

        Raises ChannelTimeout (nothing is lost); once all that came has been received, ChannelClosed after the peer's goodbye,
        and PeerLost, PeerDead, ProtocolError, FramingError when that has ended the connection.
        """
        life = self.life
        self._receivers.append(None)
        try:
            with self._changed:
                self._until(lambda: bool(life.inbox) or life.error is not None or life.peer_goodbye, timeout, "no message")
                message = self._telling(lambda: life.take(time.monotonic_ns()))
                self._go()
        finally:
            self._receivers.pop()
        return bytes(message)

    def ping(self, timeout: float) -> float:
        """Ask the peer whether it is there, idle or not; returns the seconds until its answer. Raises as `receive`."""
        life, began = self.life, time.monotonic()
        with self._changed:
            number = life.ping()
            self._go()
            self._until(lambda: life.answered >= number or life.error is not None, timeout, "no answer to a PING")
            if life.error is not None:
                self._tell(life.error)
        return time.monotonic() - began

    def flush(self, timeout: float | None = None) -> None:
        """Wait until the peer has acknowledged all that was sent. Raises as `receive`."""
        life = self.life
        with self._changed:
            self._until(lambda: not life.unacknowledged or life.error is not None, timeout, "not all was acknowledged")
            if life.error is not None and life.unacknowledged:
                self._tell(life.error)

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Send what is queued, say goodbye, wait until the peer has taken it all and closed too; within `timeout` seconds.

        Raises PeerLost with what is not acknowledged, unless an earlier call raised it already. Either way the connection is
        closed and its thread has ended. What the peer has sent and nobody receives here stays unacknowledged, and the peer is
        told so.
        """
        life = self.life
        with self._changed:
            life.close(taking=self._taking())
            self._go()
            with contextlib.suppress(ChannelTimeout):
                self._leave(timeout)
            life.give_up(f"not all was acknowledged within {timeout} s of closing")
        self._end()
        lost = life.loss()
        if lost is not None and not self.told:
            self._tell(lost)

    def _taking(self) -> bool:
        return bool(self._receivers or self._receiving)

    def _leave(self, timeout: float) -> None:
        """When all is said and acknowledged our FIN, then all that the peer says up to its own. Raises ChannelTimeout."""
        life, until = self.life, deadline(timeout)
        self._until(lambda: life.error is not None or (not self._out and life.leaves(self._taking())), timeout, "no end")
        if life.error is None:
            life.leave()
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
            self._until(lambda: life.error is not None, left(until), "no FIN of the peer's")

    def abort(self) -> None:
        """Close at once. What is unacknowledged stays in `unacknowledged`."""
        with self._changed:
            self.life.give_up("this side has given up")
        self._end()

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
        return until_closed(self.receive)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    # Waiting and writing

    def _tell(self, error: ChannelError) -> NoReturn:
        self.told = self.told or isinstance(error, PeerLost)
        raise error

    def _telling(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except PeerLost:
            self.told = True
            raise

    def _until(self, condition: Callable[[], bool], timeout: float | None, what: str) -> None:
        """Wait, with the lock held, until `condition` holds. Raises ChannelTimeout, which says `what` is missing."""
        wait_for(self._changed, condition, deadline(timeout), f"{what} within {timeout} s")

    def _go(self) -> None:
        """Write what the socket takes now; the rest, and what falls due, is the thread's. The lock is held."""
        self._write()
        if self.life.next_deadline(blocked=bool(self._out)) < self._due or (self._out and not self._interest & WRITE):
            self._wake()

    def _wake(self) -> None:
        self._interest, self._due = READ | WRITE, 0  # it looks at both anew: once is enough
        self._waiting.wake()

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
        self._wake()

    # The thread

    def _run(self) -> None:
        while True:
            with self._changed:
                if self.life.error is not None:
                    self._let_go()
                    return
                self._due = due = self.life.next_deadline(blocked=bool(self._out))
                self._interest = interest = READ | (WRITE if self._out else 0)
            seconds = None if due == NEVER else max(0.0, (due - time.monotonic_ns()) / SECOND)
            ready = self._waiting.wait(interest, seconds)
            with self._changed:
                if ready & READ and self.life.error is None:
                    self._read()
                self.life.handle_timers(time.monotonic_ns())
                self._write()
                self._changed.notify_all()

    def _let_go(self) -> None:
        """Close: by FIN where all has gone out that had to, or the peer's FIN has come; the lock is held."""
        if self._out or not (self.life.left or self._peer_finished):
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.sock.close()
        self._waiting.close()
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
                self._peer_finished = True
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

    def _end(self) -> None:
        """The life has ended: let the thread end too."""
        with self._changed:
            self._changed.notify_all()
            self._wake()
        if self._thread is not threading.current_thread():
            self._thread.join()


def connect(address: Any, framing: Framing, settings: LifeSettings = DEFAULT, *, timeout: float | None = None) -> LongSocket:
    """A long connection to `address`, (host, port), made within `timeout` seconds. Raises as blocking.connect."""
    check_framing(framing)
    return LongSocket(blocking.connect(address, framing, timeout=timeout).sock, framing, settings)
