"""The kernel's TCP sockets by sock_diag (man 7 sock_diag, linux/inet_diag.h): one dump a family, parsed by one unpack a socket.

Owns the messages and what may go wrong with them: an error of the kernel, a dump that changes interrupted, a message that
was cut short. Knows no listener and no verdict. Addresses are packed; one that an IPv6 socket holds in its IPv4-mapped form
comes out as IPv4, since that is what stood in the packets.
"""

import ctypes
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterable
from struct import Struct
from typing import Final, NamedTuple, Self, TypeVar

from synfin.engine.segment import Buffer
from synfin.engine.state import State

NETLINK_SOCK_DIAG: Final = 4
SOCK_DIAG_BY_FAMILY: Final = 20
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLMSG_OVERRUN: Final = 4
NLM_F_REQUEST: Final = 0x01
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_DUMP: Final = 0x300
CLONE_NEWNET: Final = 0x4000_0000

INET_DIAG_SKMEMINFO: Final = 7
INET_DIAG_SKV6ONLY: Final = 11
DROPS_AT: Final = 8 * 4  # SK_MEMINFO_DROPS, the ninth number of the attribute

# The kernel's numbers of the states (net/tcp_states.h). A request that no connection has been made of yet is listed as 3.
STATES: Final = {
    1: State.ESTABLISHED, 2: State.SYN_SENT, 3: State.SYN_RECEIVED, 4: State.FIN_WAIT_1, 5: State.FIN_WAIT_2,
    6: State.TIME_WAIT, 7: State.CLOSED, 8: State.CLOSE_WAIT, 9: State.LAST_ACK, 10: State.LISTEN, 11: State.CLOSING,
}  # fmt: skip
NUMBERS: Final = {state: number for number, state in STATES.items()}
ALL: Final = tuple(NUMBERS)

LISTEN: Final = 10
SYN_RECV: Final = 3

_MESSAGE: Final = Struct("=IHHII")  # length, type, flags, sequence, port: nlmsghdr
# nlmsghdr without its port, then inet_diag_msg: family, state, timer, retransmissions, both ports, both addresses, interface,
# cookie (stepped over), expires, both queues, uid, inode
_SOCKET: Final = Struct("=IHHI4xBBBB2s2s16s16sI8xIIIII")
_REQUEST: Final = Struct("=IHHII BBBBI 48x")
_PORT: Final = Struct("!HH").unpack
_NUMBER: Final = Struct("=i")
_ATTRIBUTE: Final = Struct("=HH")
_UNSIGNED: Final = Struct("=I")
HEADER: Final = _MESSAGE.size
MAPPED: Final = b"\0" * 10 + b"\xff\xff"
NO_ADDRESS: Final = bytes(16)

RECEIVE: Final = 1 << 20  # bytes; the kernel fills at most 32 KiB a message, several wait
ATTEMPTS: Final = 3  # an interrupted dump is asked for again this often
PATIENCE: Final = 5.0  # seconds

Result = TypeVar("Result")


class NetlinkError(OSError):
    """The kernel refused, or what it sent is no dump; `errno` is the kernel's, or EPROTO."""


class SocketRow(NamedTuple):
    """One socket as the kernel lists it. `state` is the kernel's number; `expires` in milliseconds, of `timer` (0: none).

    In LISTEN `receive_queue` is the accept queue and `send_queue` its limit. `v6` is true of an IPv6 socket, whichever
    addresses it holds; `drops` is None where the kernel did not tell.
    """

    v6: bool
    state: int
    timer: int
    retransmissions: int
    local: bytes
    local_port: int
    remote: bytes
    remote_port: int
    interface: int
    expires: int
    receive_queue: int
    send_queue: int
    uid: int
    inode: int
    drops: int | None
    only6: bool  # IPV6_V6ONLY


class Dump(NamedTuple):
    """The rows of one answer; `interrupted` says that the table changed so meanwhile that rows may lack or stand twice."""

    rows: list[SocketRow]
    interrupted: bool


def request(family: int, states: Iterable[State], *, memory: bool = False, sequence: int = 1) -> bytes:
    """The message that asks for all TCP sockets of `family` (socket.AF_INET or AF_INET6) in `states`.

    With `memory` the kernel adds SK_MEMINFO, whose drops a listener has.
    """
    mask = 0
    for state in states:
        mask |= 1 << NUMBERS[state]
    extension = 1 << (INET_DIAG_SKMEMINFO - 1) if memory else 0
    flags = NLM_F_REQUEST | NLM_F_DUMP
    return _REQUEST.pack(
        _REQUEST.size, SOCK_DIAG_BY_FAMILY, flags, sequence, 0, family, socket.IPPROTO_TCP, extension, 0, mask
    )


def parse(data: Buffer, rows: list[SocketRow], sequence: int = 1) -> tuple[bool, bool]:
    """Append the sockets in `data`, whole netlink messages one after the other, to `rows`.

    Returns whether the dump is at its end, and whether the kernel says that it was interrupted. Messages that answer another
    request are stepped over. Raises NetlinkError, nothing else, whatever the bytes.
    """
    at, end = 0, len(data)
    interrupted = False
    while at < end:
        if end - at < HEADER:
            raise NetlinkError(errno.EPROTO, f"{end - at} bytes are no netlink message")
        length, kind, flags, number, _ = _MESSAGE.unpack_from(data, at)
        if length < HEADER or length > end - at:
            raise NetlinkError(errno.EPROTO, f"a netlink message of {length} bytes where {end - at} are")
        if number == sequence:
            if flags & NLM_F_DUMP_INTR:
                interrupted = True
            if kind == SOCK_DIAG_BY_FAMILY:
                rows.append(_row(data, at, length))
            elif kind in (NLMSG_DONE, NLMSG_ERROR):
                _check(data, at, length, kind)
                return True, interrupted
            elif kind == NLMSG_OVERRUN:
                raise NetlinkError(errno.EPROTO, "the kernel lost a part of the table of sockets")
        at += length + 3 & ~3
    return False, interrupted


def _check(data: Buffer, at: int, length: int, kind: int) -> None:
    """Raise what a message that ends a dump says went wrong; both kinds begin with a negative errno or 0."""
    if length < HEADER + _NUMBER.size:
        if kind == NLMSG_DONE:
            return
        raise NetlinkError(errno.EPROTO, "a netlink error without its number")
    (code,) = _NUMBER.unpack_from(data, at + HEADER)
    if code < 0:
        try:
            words = os.strerror(-code)
        except OverflowError:  # -2^31
            words = "no error that there is"
        raise NetlinkError(-code, f"the kernel does not list its sockets: {words}")
    if kind == NLMSG_ERROR:
        raise NetlinkError(errno.EPROTO, "the kernel answered without a table of sockets")


def _row(data: Buffer, at: int, length: int) -> SocketRow:
    if length < _SOCKET.size:
        raise NetlinkError(errno.EPROTO, f"{length - HEADER} bytes are no inet_diag_msg")
    (
        _, _, _, _, family, state, timer, retransmissions, sport, dport, local, remote, interface,
        expires, receive_queue, send_queue, uid, inode,
    ) = _SOCKET.unpack_from(data, at)  # fmt: skip
    v6 = family == socket.AF_INET6
    if not v6:
        local, remote = local[:4], remote[:4]
    elif local[:12] == MAPPED or remote[:12] == MAPPED:
        local, remote = _unmapped(local), _unmapped(remote)
    local_port, remote_port = _PORT(sport + dport)
    drops, only6 = None, False
    if state == LISTEN and length > _SOCKET.size:
        drops, only6 = _attributes(data, at + _SOCKET.size, at + length)
    return SocketRow(
        v6, state, timer, retransmissions, local, local_port, remote, remote_port, interface, expires,
        receive_queue, send_queue, uid, inode, drops, only6,
    )  # fmt: skip


def _unmapped(address: bytes) -> bytes:
    if address[:12] == MAPPED:
        return address[12:]
    return bytes(4) if address == NO_ADDRESS else address


def _attributes(data: Buffer, at: int, end: int) -> tuple[int | None, bool]:
    """The drops and IPV6_V6ONLY of the attributes in `data[at:end]`."""
    drops, only6 = None, False
    while end - at >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or length > end - at:
            raise NetlinkError(errno.EPROTO, f"an attribute of {length} bytes where {end - at} are")
        if kind == INET_DIAG_SKMEMINFO and length >= 4 + DROPS_AT + 4:
            (drops,) = _UNSIGNED.unpack_from(data, at + 4 + DROPS_AT)
        elif kind == INET_DIAG_SKV6ONLY and length > 4:
            only6 = data[at + 4] != 0
        at += length + 3 & ~3
    return drops, only6


class Diag:
    """An open sock_diag socket of one network namespace: this thread's, or that of process `pid`.

    Raises NetlinkError where the kernel has none, OSError when the namespace of `pid` may not be looked into.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._sequence = 0
        self._buffer = bytearray(RECEIVE)
        self._socket = _open() if pid is None else within(pid, _open)
        self._socket.settimeout(PATIENCE)

    def dump(self, states: Iterable[State] = ALL, *, memory: bool = False) -> Dump:
        """The TCP sockets in `states`, IPv4 and IPv6; `memory` as in `request`.

        An interrupted dump is asked for again, and taken as it is in the end. Raises NetlinkError.
        """
        wanted = tuple(states)
        rows: list[SocketRow] = []
        interrupted = False
        for family in (socket.AF_INET, socket.AF_INET6):
            for _ in range(ATTEMPTS):
                found, broken = self._ask(family, wanted, memory)
                if not broken:
                    break
            rows += found
            interrupted |= broken
        return Dump(rows, interrupted)

    def _ask(self, family: int, states: tuple[State, ...], memory: bool) -> Dump:
        self._sequence += 1
        rows: list[SocketRow] = []
        interrupted = False
        try:
            self._socket.send(request(family, states, memory=memory, sequence=self._sequence))
            done = False
            while not done:
                count, _, flags, _ = self._socket.recvmsg_into([self._buffer])
                if flags & socket.MSG_TRUNC:
                    raise NetlinkError(errno.EPROTO, "a netlink message was cut short")
                done, broken = parse(memoryview(self._buffer)[:count], rows, self._sequence)
                interrupted |= broken
        except TimeoutError:
            raise NetlinkError(errno.ETIMEDOUT, "the kernel does not answer with its sockets") from None
        except OSError as error:
            if error.errno == errno.ENOENT and family == socket.AF_INET6:
                return Dump([], False)  # a kernel without IPv6
            if isinstance(error, NetlinkError):
                raise
            raise NetlinkError(error.errno, f"the kernel does not list its sockets: {error.strerror}") from None
        return Dump(rows, interrupted)

    def close(self) -> None:
        """Give the socket back; repeating it does nothing."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open() -> socket.socket:
    try:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
    except OSError as error:
        raise NetlinkError(error.errno, f"this kernel lists no sockets by sock_diag: {error.strerror}") from None


def within(pid: int, call: Callable[[], Result]) -> Result:
    """What `call` returns in the network namespace of process `pid`. Only a thread that ends at once enters it: the process
    stays where it is. Raises OSError when the namespace may not be entered, and what `call` raises of that."""
    found: list[Result] = []
    errors: list[OSError] = []
    path = f"/proc/{pid}/ns/net"

    def enter() -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number), path)
            finally:
                os.close(fd)
            found.append(call())
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=enter, name="synfin-watch-namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return found[0]
