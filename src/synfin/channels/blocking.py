"""Messages over a socket for programs with threads: the blocking front, over the kernel's sockets and synfin's alike.

Owns how bytes get from a socket into a decoder and messages into a socket. One thread may receive while another sends. Knows
framings; what messages mean it does not. Times are seconds.

    with connect(("server", 7000), LengthHeader(4), timeout=5) as messages:
        messages.send(b"1+1?", timeout=5)
        print(messages.receive(timeout=5))
"""

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from synfin.channels.aio import RESET_ON_CLOSE
from synfin.channels.errors import ChannelClosed, ChannelError, ChannelTimeout, FramingError, PeerLost
from synfin.channels.framing import Buffer, Framing
from synfin.channels.threadparts import Closing, deadline, left, over, until_closed
from synfin.channels.waiting import READ, WRITE, wait

CLOSE_TIMEOUT: Final = 5.0
CHUNK: Final = 262_144  # bytes asked for by one recv


class MessageSocket(Closing):
    """Messages over `sock`, a connected stream socket, which belongs to this object from now on and is made non-blocking."""

    def __init__(self, sock: socket.socket, framing: Framing) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # a Unix socket has no such option
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.framing = framing
        self._decoder = framing.decoder()
        self._messages: deque[bytes] = deque()
        self._ended: ChannelError | None = None
        self._unable: ChannelError | None = None
        self._sending = threading.Lock()
        self._receiving = threading.Lock()

    def send(self, message: Buffer, timeout: float | None = None) -> None:
        """Send `message`: returns when the socket has taken its last byte.

        Raises MessageRefused; ChannelTimeout when not all was taken within `timeout` seconds: a message cut short cannot be
        taken back, so the connection is then of no use and is reset (not so when nothing of it had gone); ChannelClosed;
        PeerLost.
        """
        data = self.framing.encode(message)
        until = deadline(timeout)
        if not self._sending.acquire(timeout=-1 if timeout is None else timeout):
            raise ChannelTimeout(f"another thread was sending for {timeout} s")
        try:
            self._send(memoryview(data), until, timeout)
        finally:
            self._sending.release()

    def _send(self, rest: memoryview, until: float | None, timeout: float | None) -> None:
        whole = len(rest)
        while rest:
            if self._unable is not None:
                raise self._unable
            try:
                rest = rest[self.sock.send(rest) :]
            except (BlockingIOError, InterruptedError):
                if wait(self.sock, WRITE, left(until)) or not over(until):
                    continue
                self._cut_short(len(rest), whole, timeout)
            except OSError as error:
                raise self._broken(error) from error

    def _cut_short(self, rest: int, whole: int, timeout: float | None) -> NoReturn:
        if rest < whole:
            self.abort()
        raise ChannelTimeout(f"{rest} of {whole} bytes could not be sent within {timeout} s") from None

    def receive(self, timeout: float | None = None) -> bytes:
        """The next message, within `timeout` seconds (None: for ever).

        Raises ChannelTimeout (nothing is lost, the message may be received later); once all that came has been received
        ChannelClosed at the orderly end, TruncatedMessage, another FramingError, or PeerLost.
        """
        until = deadline(timeout)
        if not self._receiving.acquire(timeout=-1 if timeout is None else timeout):
            raise ChannelTimeout(f"another thread was receiving for {timeout} s")
        try:
            while not self._messages:
                if self._ended is not None:
                    raise self._ended
                self._read(until, timeout)
            return self._messages.popleft()
        finally:
            self._receiving.release()

    def _read(self, until: float | None, timeout: float | None) -> None:
        try:
            data = self.sock.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            if not wait(self.sock, READ, left(until)) and over(until):
                raise ChannelTimeout(f"no message within {timeout} s") from None
            return
        except OSError as error:
            self._broken(error)
            return
        try:
            if data:
                self._decoder.feed(data, self._messages)
            else:
                self._decoder.end()
                self._ended = self._ended or ChannelClosed("the peer has finished")
        except FramingError as error:
            self._ended = self._ended or error

    def _broken(self, error: OSError) -> ChannelError:
        if self._ended is None or not isinstance(self._ended, ChannelClosed):
            lost = PeerLost(f"the connection broke: {error}")
            lost.__cause__ = error
            self._ended = self._ended or lost
            self._unable = self._unable or lost
        return self._unable or self._ended

    def __iter__(self) -> Iterator[bytes]:
        """All messages up to the orderly end; other ends raise."""
        return until_closed(self.receive)

    def finish(self) -> None:
        """Nothing more is sent: FIN. Receiving goes on."""
        if self._unable is None:
            self._unable = ChannelClosed("this side has finished sending")
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close. What `send` has returned for is in the socket, which delivers it. Waits in other threads end."""
        closed = ChannelClosed("this side has closed")
        self._ended = self._ended or closed
        self._unable = self._unable or closed
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)  # wakes who waits in poll
        self.sock.close()

    def abort(self) -> None:
        """Close by RST: what the socket has not sent yet is dropped."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        closed = ChannelClosed("this side has closed")
        self._ended = self._ended or closed
        self._unable = self._unable or closed
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RD)  # wakes who waits in poll, and sends nothing
        self.sock.close()


def connect(address: Any, framing: Framing, *, timeout: float | None = None) -> MessageSocket:
    """Messages to `address`, (host, port), within `timeout` seconds. Raises ChannelTimeout and the OSErrors of connecting."""
    try:
        sock = socket.create_connection(address, timeout)
    except TimeoutError as error:
        if timeout is None or error.errno is not None:  # the kernel's ETIMEDOUT
            raise
        raise ChannelTimeout(f"{address[0]} port {address[1]} did not answer within {timeout} s") from None
    return MessageSocket(sock, framing)


def exchange_once(address: Any, framing: Framing, request: Buffer, *, timeout: float) -> bytes:
    """A short connection: connect, send one message, receive one, close. All of it within `timeout` seconds.

    Raises ChannelTimeout, MessageRefused, FramingError, ChannelClosed when the peer closed without an answer, PeerLost, and
    the OSErrors of connecting.
    """
    until = deadline(timeout)
    with connect(address, framing, timeout=timeout) as messages:
        messages.send(request, left(until))
        return messages.receive(left(until))
