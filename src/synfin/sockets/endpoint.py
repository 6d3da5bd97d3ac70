"""A non-blocking TCP socket on a stack, with the semantics and the errnos of Linux, and no socket.socket about it.

Owns readiness as levels, the data calls, and the end. How a socket comes to be connected is opening.py's, options are
options.py's. Must not know descriptors, selectors or who waits. Where a rule is Linux's rather than POSIX's, its function in
the kernel is named.
"""

import errno
import socket
from collections.abc import Callable
from typing import Any, Final, TypeVar

from synfin.engine.connection import WRITE_MORE, WRITE_URGENT, Connection
from synfin.engine.errors import UsageError
from synfin.engine.segment import Buffer
from synfin.sockets.calls import Address, excerpt, failure
from synfin.sockets.opening import CLOSED, CONNECTED, CONNECTING, FAILED, LISTENING, SHUT, Opening

T = TypeVar("T")

READ: Final = 1  # as selectors.EVENT_READ
WRITE: Final = 2  # as selectors.EVENT_WRITE

PEEK: Final = int(socket.MSG_PEEK)
OOB: Final = int(socket.MSG_OOB)
MORE: Final = int(socket.MSG_MORE)
IGNORED: Final = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL | socket.MSG_WAITALL | socket.MSG_EOR)
TRUNC: Final = int(socket.MSG_TRUNC)
RECV_FLAGS: Final = IGNORED | PEEK | OOB | TRUNC
SEND_FLAGS: Final = IGNORED | OOB | MORE | TRUNC

HOW: Final = {socket.SHUT_RD: "SHUT_RD", socket.SHUT_WR: "SHUT_WR", socket.SHUT_RDWR: "SHUT_RDWR"}


class Endpoint(Opening):
    """One socket of `host`; `family` is AF_INET or AF_INET6. Addresses are (packed, port).

    Every call raises OSError as Linux does; one that would block raises BlockingIOError (EAGAIN, EINPROGRESS) at once.
    `on_change()` is called when readiness may have changed, from inside the stack: it notes that and returns.
    """

    __slots__ = ()

    # --- readiness

    def changed(self) -> None:
        """See Watcher."""
        if self._phase == CONNECTING:
            self._look_at_opening()
        if self.on_change is not None:
            self.on_change()

    def ready(self, interest: int = READ | WRITE) -> int:
        """Which of `interest` (READ, WRITE) would not block now, errors and the end included (tcp_poll)."""
        connection = self._connection
        if connection is None:
            if self._listener is not None:
                return interest & READ if self._listener.readable() else 0
            return 0 if self._phase == CLOSED else interest
        if connection.close_reason is not None or self._error:
            return interest
        if self._phase == CONNECTING:
            return 0
        found = 0
        if interest & READ and (self._enough(connection) or connection.peer_closed or self._shut_read):
            found = READ
        if interest & WRITE and (self._shut_write or 2 * connection.writable() >= connection.unacked()):
            low = self.settings.unsent_low
            if low <= 0 or self._shut_write or 2 * connection.unsent() < low:  # tcp_stream_memory_free
                found |= WRITE  # a third of the buffer is free (sk_stream_is_writeable)
        return found

    def _enough(self, connection: Connection) -> bool:
        """Whether so much waits to be read that a reader is woken; a buffer that is full is enough (tcp_epollin_ready)."""
        low = self.settings.receive_low
        return connection.readable() >= low or (low > 1 and not connection.receiver.rcv_wnd)

    def too_few(self, limit: int) -> bool:
        """Whether a call in blocking mode that reads `limit` bytes waits for more than there is (SO_RCVLOWAT)."""
        connection = self._connection
        low = min(self.settings.receive_low, limit)
        if connection is None or low <= 1 or connection.close_reason is not None or connection.peer_closed or self._shut_read:
            return False
        return connection.readable() < low and not self._enough(connection)

    def patient(self, call: Callable[..., T]) -> Callable[..., T]:
        """`call`, which reads, as it is in blocking mode: where there is too little, it would block."""

        def patient(*arguments: Any) -> T:
            if arguments and self.too_few(arguments[0] if isinstance(arguments[0], int) else len(arguments[0])):
                raise failure(errno.EAGAIN)
            return call(*arguments)

        return patient

    def wake(self) -> None:
        """What it takes to be ready has changed: who waits looks again."""
        if self.on_change is not None:
            self.on_change()

    @property
    def pending_error(self) -> int:
        """The errno that SO_ERROR would tell; it stays."""
        if self._connection is not None:
            self._note_end(self._connection)
        return self._error

    @property
    def hung_up(self) -> bool:
        """Whether both directions are over."""
        connection = self._connection
        if connection is None or connection.close_reason is not None:
            return True
        return self._shut_write and (self._shut_read or connection.peer_closed)

    def readable(self) -> bool:
        """Whether recv or accept would not block."""
        return bool(self.ready(READ))

    def writable(self) -> bool:
        """Whether send would not block, or connect has come to its end."""
        return bool(self.ready(WRITE))

    # --- recv

    def recv(self, limit: int, flags: int = 0) -> bytes:
        """At most `limit` bytes; b'' at the end. Flags: MSG_PEEK, MSG_OOB, MSG_TRUNC (as many zeros: only their number counts);
        those about blocking mean nothing here."""
        connection = self._connection
        if connection is None or flags or self._phase != CONNECTED:
            return self._recv_specially(limit, flags)
        now = self.host.now()
        data = connection.read(limit, now)
        if not data:
            self._nothing_to_read(connection, limit)
        elif connection.next_deadline() == 0:
            self._stack.attend(connection, now)  # the window has opened
        if self._observer is not None:
            self._told("recv", str(limit), str(len(data)))
        return data

    def recv_into(self, buffer: Buffer, flags: int = 0) -> int:
        """Like `recv`, into a writable buffer; returns the bytes copied."""
        connection = self._connection
        limit = len(buffer)
        if connection is None or flags or self._phase != CONNECTED:
            data = self._recv_specially(limit, flags)
            memoryview(buffer)[: len(data)] = data
            return len(data)
        now = self.host.now()
        count = connection.read_into(buffer, now)
        if not count:
            self._nothing_to_read(connection, limit)
        elif connection.next_deadline() == 0:
            self._stack.attend(connection, now)
        if self._observer is not None:
            self._told("recv", str(limit), str(count))
        return count

    def _recv_specially(self, limit: int, flags: int) -> bytes:
        """With flags, or where there is no connection (tcp_recvmsg)."""
        self._check_open()
        if flags & ~RECV_FLAGS:
            raise failure(errno.EOPNOTSUPP)
        if flags & TRUNC:
            return bytes(len(self.recv(limit, flags & ~TRUNC)))
        if self._phase == CONNECTING:
            raise self._would_block("recv")
        connection = self._connection
        if connection is None:
            self._fail("recv", str(limit), errno.ENOTCONN)
        if flags & OOB:
            return self._recv_urgent(connection, bool(flags & PEEK))
        if flags & PEEK:
            data = connection.peek(limit)
            if not data:
                self._nothing_to_read(connection, limit)
            self._told("recv", f"{limit}, MSG_PEEK", str(len(data)))
            return data
        if self._phase == CONNECTED:
            return self.recv(limit)
        self._nothing_to_read(connection, limit)  # a connect that failed
        return b""

    def rest(self) -> int:
        """What TCP_INQ tells: bytes that wait to be read, and one for the end of the stream (tcp_inq_hint)."""
        connection = self._connection
        return 0 if connection is None else connection.readable() + connection.peer_closed

    def _recv_urgent(self, connection: Connection, peek: bool) -> bytes:
        """MSG_OOB (tcp_recv_urg)."""
        if self.settings.oob_inline or not connection.has_urgent:
            self._fail("recv", "MSG_OOB", errno.EINVAL)
        byte = connection.read_urgent(peek)
        self._told("recv", "MSG_OOB", str(len(byte)))
        return byte

    def _nothing_to_read(self, connection: Connection, limit: int) -> None:
        """Returns at the end of the stream; raises the error that waits, or EAGAIN."""
        if not limit or self._shut_read or connection.peer_closed:
            return
        number = self.take_error()
        if number:
            self._fail("recv", str(limit), number)
        if connection.close_reason is not None:
            return
        raise self._would_block("recv")

    # --- send

    def send(self, data: Buffer, flags: int = 0) -> int:
        """Take bytes to send; returns how many. Flags: MSG_OOB, MSG_MORE; those about blocking mean nothing here.

        EAGAIN when the buffer is full, EPIPE after shutdown or the end.
        """
        connection = self._connection
        if connection is None or flags or self._phase != CONNECTED:
            return self._send_specially(data, flags)
        return self._write(connection, data, 0)

    def _write(self, connection: Connection, data: Buffer, flags: int) -> int:
        now = self.host.now()
        if self.settings.unsent_low > 0:
            count = self._room(connection)
            if 0 <= count < len(data):
                data, flags = memoryview(data)[:count], flags & ~WRITE_URGENT  # the urgent byte is the last of all
                if not count:
                    raise self._would_block("send")
        try:
            count = connection.write(data, now, flags)
        except UsageError:  # shut down or over
            self._fail("send", excerpt(data), self.take_error() or errno.EPIPE)
        if count:
            self._stack.attend(connection, now)
        elif len(data):
            raise self._would_block("send")
        if self._observer is not None:
            self._told("send", excerpt(data), str(count))
        return count

    def _room(self, connection: Connection) -> int:
        """Bytes that TCP_NOTSENT_LOWAT leaves room for: to the byte, where Linux takes whole buffers of its own; -1 where a
        write fails anyway."""
        if self._shut_write or connection.close_reason is not None:
            return -1
        return max(self.settings.unsent_low - connection.unsent(), 0)

    def _send_specially(self, data: Buffer, flags: int) -> int:
        """With flags, or where there is no connection (tcp_sendmsg)."""
        self._check_open()
        if flags & ~SEND_FLAGS:
            raise failure(errno.EOPNOTSUPP)
        if self._phase == CONNECTING:
            raise self._would_block("send")
        connection = self._connection
        if connection is None or self._phase != CONNECTED:
            self._fail("send", excerpt(data), self.take_error() or errno.EPIPE)
        return self._write(connection, data, WRITE_URGENT * bool(flags & OOB) | WRITE_MORE * bool(flags & MORE))

    # --- the end

    def shutdown(self, how: int) -> None:
        """Close one direction or both: SHUT_RD, SHUT_WR, SHUT_RDWR (inet_shutdown)."""
        self._check_open()
        if how not in HOW:
            raise failure(errno.EINVAL)
        number = self._shutdown(how)
        if number:
            self._fail("shutdown", HOW[how], number)
        self._told("shutdown", HOW[how])
        if self.on_change is not None:
            self.on_change()

    def _shutdown(self, how: int) -> int:
        now = self.host.now()
        connection = self._connection
        if self._phase == LISTENING:
            if how != socket.SHUT_WR:
                self._stop_listening(now)
                self._phase = SHUT
            return 0
        if connection is None or connection.close_reason is not None:
            return errno.ENOTCONN
        if self._phase == CONNECTING:  # tcp_disconnect
            connection.abort(now)
            self._stack.attend(connection, now)
            self._phase, self._ended, self._error = FAILED, True, errno.ECONNRESET
            return 0
        if how != socket.SHUT_WR:
            self._shut_read = True
            connection.shutdown_receive(now)
        if how != socket.SHUT_RD:
            self._shut_write = True
            connection.shutdown_send(now)
        self._stack.attend(connection, now)
        return 0

    def _stop_listening(self, now: int) -> None:
        listener = self._listener
        assert listener is not None
        listener.watcher = None
        listener.close(now)
        self._stack.attend(listener, now)
        self._listener = self._binding = None

    def close(self) -> None:
        """Close both directions and let the stack finish; with unread data, or SO_LINGER of 0, by RST. Repeating it does
        nothing."""
        if self._phase != CLOSED:
            self._close("close", "linger 0" if self.settings.linger_reset else "")

    def abort(self) -> None:
        """Close by RST, whatever is unread or unsent. Repeating it does nothing."""
        if self._phase != CLOSED:
            self.settings.linger_reset = True
            self._close("abort", "")

    def _close(self, call: str, arguments: str) -> None:
        now = self.host.now()
        connection = self._connection
        key = b"" if self._observer is None else self._key()
        if self._listener is not None:
            self._stop_listening(now)
        if connection is not None:
            connection.watcher = None
            if self.settings.linger_reset:
                connection.abort(now)
            else:
                connection.close(now)
            self._stack.attend(connection, now)
        if self._binding is not None:
            self._stack.unbind(self._binding)
        if self._observer is not None:
            self._told(call, arguments, key=key)
        self.vanish()

    def vanish(self) -> None:
        """End without a word to the stack, which is gone or has been told: the host has crashed, or `close` calls this."""
        self._phase = CLOSED
        self._connection = self._listener = self._binding = None
        told, self.on_change = self.on_change, None
        if told is not None:
            told()  # who waits in another thread learns of it

    def apply(self, name: str, value: int) -> None:
        """Change an option of the connection (Connection.set_option), if there is one."""
        connection = self._connection
        if connection is None or connection.close_reason is not None:
            return
        now = self.host.now()
        connection.set_option(name, value, now)
        self._stack.attend(connection, now)  # it may let go what waits, or have started a timer


__all__ = ["READ", "WRITE", "Address", "Endpoint"]
