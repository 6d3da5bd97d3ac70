"""The system calls of scripts, on sockets of a bench.

Owns what each argument means and what a call answers. A call is an attempt that may raise BlockingIOError; who waits, and for
how long, is the player's. Options and polling have modules of their own.
"""

import errno
import ipaddress
import socket
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from synfin.engine.state import State
from synfin.packetdrill import messages, polling, sockopts
from synfin.packetdrill.arguments import Arguments, Place, failed, told
from synfin.packetdrill.bench import Bench
from synfin.packetdrill.files import NONBLOCK, RDWR, Answer, Attempt, File, Skip
from synfin.packetdrill.symbols import SYMBOLS, UnknownSymbol, value_of, words_of
from synfin.packetdrill.syntax import Call, Ellipsis_, Expression, Number, Struct, Text
from synfin.sockets.endpoint import Endpoint

PEEK: Final = int(socket.MSG_PEEK)
OOB: Final = int(socket.MSG_OOB)
DONTWAIT: Final = int(socket.MSG_DONTWAIT)
WAITALL: Final = int(socket.MSG_WAITALL)
TRUNC: Final = int(socket.MSG_TRUNC)
UNFINISHED: Final = (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)  # sk_stream_closing
DONE: Final = Answer(0)
AGAIN: Final = Answer(-1, "EAGAIN")


class Calls(Arguments):
    """The calls of one script on `bench`. `listened(port)` is told of a listen, `opened(key)` of each connect that began."""

    def __init__(
        self, bench: Bench, place: Place, *, strict: bool, listened: Callable[[int], None], opened: Callable[[bytes], None]
    ) -> None:
        super().__init__(place)
        self.bench = bench
        self.strict = strict
        self.until: int | None = None  # when the call just prepared gives up waiting by itself, in ns
        self._listened = listened
        self._opened = opened

    def prepare(self, call: Call) -> tuple[Attempt, bool]:
        """The attempt that `call` is, and whether it may wait. Raises Skip for what nobody has here."""
        self.until = None
        make = TABLE.get(call.name)
        if make is None:
            raise Skip(f"{call.name}()")
        try:
            return self._guarded(make(self, call.arguments, call)), self._waits(call)
        except UnknownSymbol as error:
            raise Skip(str(error)) from None
        except IndexError:
            raise Skip(f"{call.name}() with {len(call.arguments)} arguments") from None
        except OSError as error:
            answer = failed(error)
            return lambda: answer, False

    def _guarded(self, attempt: Attempt) -> Attempt:
        def guarded() -> Answer:
            try:
                return attempt()
            except BlockingIOError:
                raise
            except OSError as error:
                return failed(error)
            finally:
                self.bench.stack.transmit(self.bench.clock)

        return guarded

    def _waits(self, call: Call) -> bool:
        if call.name in ("poll", "epoll_wait"):
            return True
        first = call.arguments[0] if call.arguments else None
        number = first.value if isinstance(first, Number) else -1
        if call.name == "sendfile" or not self.files.holds(number):
            return self.files.holds(number) and self.files.get(number).blocking
        if call.name in FLAGS_AT and FLAGS_AT[call.name] < len(call.arguments):
            if (value_of(call.arguments[FLAGS_AT[call.name]]) or 0) & DONTWAIT:
                return False
        return self.files.get(number).blocking

    def _limited(self, attempt: Attempt, limit: int, given_up: Callable[[], Answer]) -> Attempt:
        """`attempt` of a call that waits for `limit` ns at most (-1: without end) and then answers what `given_up` says."""
        if limit < 0:
            return attempt
        until = self.until = self.bench.clock + limit

        def limited() -> Answer:
            try:
                return attempt()
            except BlockingIOError:
                if self.bench.clock < until:
                    raise
            return given_up()

        return limited

    def registers(self, call: Call, number: int) -> None:
        """The script calls what `call` has just made by `number`."""
        made, self._made = self._made, None
        if made is None or (self.files.holds(number) and self.files.get(number) is made):  # dup2 onto itself
            return
        if self.files.holds(number):  # dup2 onto another, which it closes
            self._let_go(self.files.remove(number))
        self.files.add(number, made)

    def _let_go(self, file: File) -> None:
        """Close what `file` stands for when no descriptor does any more."""
        if not file.references and file.endpoint is not None:
            file.endpoint.close()
            self.bench.stack.transmit(self.bench.clock)

    _made: File | None = None

    # --- opening

    def socket(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """socket(2)"""
        for each in arguments[1:3]:
            strange = words_of(each) - {"SOCK_STREAM", "SOCK_NONBLOCK", "SOCK_CLOEXEC", "IPPROTO_TCP", "IPPROTO_IP"}
            if strange:
                raise Skip(min(strange))
        kind = self.number(arguments[1])
        family = self.place.family if isinstance(arguments[0], Ellipsis_) else self.number(arguments[0])

        def attempt() -> Answer:
            endpoint = Endpoint(self.bench, family)
            endpoint.made()
            self._made = File(endpoint, NONBLOCK if kind & int(socket.SOCK_NONBLOCK) else 0)
            return Answer(self.files.free())

        return attempt

    def bind(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """bind(2)"""
        address = self.address(arguments[1], remote=False)

        def attempt() -> Answer:
            self.endpoint(arguments[0]).bind(address)
            return DONE

        return attempt

    def listen(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """listen(2)"""
        backlog = self.number(arguments[1])

        def attempt() -> Answer:
            endpoint = self.endpoint(arguments[0])
            endpoint.listen(backlog)
            self._listened(endpoint.getsockname()[1])
            return DONE

        return attempt

    def accept(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """accept(2), accept4(2)"""
        flags = self.number(arguments[3]) if call.name == "accept4" else 0
        limit = self.endpoint(arguments[0]).settings.receive_timeout

        def attempt() -> Answer:
            made, _ = self.endpoint(arguments[0]).accept()
            self._made = File(made, NONBLOCK if flags & int(socket.SOCK_NONBLOCK) else 0)
            return Answer(self.files.free())

        return self._limited(attempt, limit, lambda: AGAIN)

    def connect(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """connect(2)"""
        address = self.address(arguments[1], remote=True)
        file = self.files.get(self.number(arguments[0]))
        begun = False

        def attempt() -> Answer:
            nonlocal begun
            endpoint = self.endpoint(arguments[0])
            before = endpoint.connection
            try:
                endpoint.connect(address)
            except BlockingIOError as error:
                self._told_opened(endpoint, before)
                if begun or file.blocking:
                    begun = True
                    raise
                return failed(error)
            self._told_opened(endpoint, before)
            return DONE

        limit = self.endpoint(arguments[0]).settings.send_timeout if file.blocking else -1
        return self._limited(attempt, limit, lambda: Answer(-1, "EINPROGRESS"))

    def _told_opened(self, endpoint: Endpoint, before: object) -> None:
        connection = endpoint.connection
        if connection is not None and connection is not before:
            self._opened(connection.key)

    # --- data

    def write(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """write(2), send(2), sendto(2)"""
        flags = self.flags(arguments[3]) if call.name in ("send", "sendto") else 0
        return self._sending(arguments[0], arguments[1], self.number(arguments[2]), flags)

    def writev(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """writev(2)"""
        return self._sending(arguments[0], Ellipsis_(), sum(self.lengths(arguments[1])), 0)

    def sendmsg(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """sendmsg(2)"""
        size = sum(self.lengths(messages.vector(arguments[1], told=False)))
        return self._sending(arguments[0], Ellipsis_(), size, self.flags(arguments[2]))

    def sendfile(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """sendfile(2): the file holds what comes next in the pattern."""
        return self._sending(arguments[0], Ellipsis_(), self.number(arguments[3]), 0)

    def _sending(self, fd: Expression, what: Expression, count: int, flags: int) -> Attempt:
        file = self.files.get(self.number(fd))
        if file.endpoint is None:
            return lambda: Answer(count)
        endpoint = self.endpoint(fd)
        waits = file.blocking and not flags & DONTWAIT
        done = 0
        limit = endpoint.settings.send_timeout if waits else -1

        whole = self.data(what, count, endpoint) if isinstance(what, Text) or flags & OOB else None

        def attempt() -> Answer:
            nonlocal done
            while True:
                if whole is not None:
                    rest = whole[done:]
                else:  # no more is made than the buffer takes, and one byte that shows that there is more
                    connection = endpoint.connection
                    room = count if connection is None else connection.writable() + 1
                    rest = self.data(what, min(count - done, room), endpoint)
                try:
                    taken = endpoint.send(rest, flags)
                except BlockingIOError:
                    raise
                except OSError as error:  # what was taken before counts
                    return Answer(done) if done else failed(error)
                if endpoint.connection is not None:
                    self.streams.of(endpoint.connection.key).extend(rest[:taken])
                done += taken
                if done >= count or not waits:
                    return Answer(done)

        return self._limited(attempt, limit, lambda: Answer(done) if done else AGAIN)

    def read(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """read(2), recv(2), recvfrom(2)"""
        flags = self.flags(arguments[3]) if call.name in ("recv", "recvfrom") else 0
        wanted = arguments[1].value.encode("latin-1", "replace") if isinstance(arguments[1], Text) else None
        return self._receiving(arguments[0], self.number(arguments[2]), flags, wanted)

    def readv(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """readv(2)"""
        return self._receiving(arguments[0], sum(self.lengths(arguments[1])), 0, None)

    def recvmsg(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """recvmsg(2)"""
        flags = self.flags(arguments[2])
        size = sum(self.lengths(messages.vector(arguments[1], told=True)))
        attempt = self._receiving(arguments[0], size, flags, None)
        wanted = arguments[1].get("msg_flags") if isinstance(arguments[1], Struct) else None
        control = messages.control(arguments[1])
        endpoint = self.endpoint(arguments[0])

        def telling() -> Answer:
            answer = attempt()
            wrong = answer.wrong
            if wanted is not None and answer.result >= 0:
                wrong = wrong or told(wanted, flags & (OOB | TRUNC))
            if control and answer.result >= 0:
                wrong = wrong or messages.wrong_rest(endpoint, control)
            return answer._replace(wrong=wrong)

        return telling

    def _receiving(self, fd: Expression, count: int, flags: int, wanted: bytes | None) -> Attempt:
        endpoint = self.endpoint(fd)
        waits = self.files.get(self.number(fd)).blocking and not flags & DONTWAIT
        whole = waits and flags & WAITALL and not flags & (PEEK | OOB)
        got = bytearray()

        def attempt() -> Answer:
            if waits and not got and endpoint.too_few(count):
                raise BlockingIOError(errno.EAGAIN, "less than SO_RCVLOWAT")
            while True:
                data = endpoint.recv(count - len(got), flags)
                wrong = self._content(endpoint, data, flags, wanted)
                got.extend(data)
                if wrong or not data or not whole or len(got) >= count:
                    return Answer(len(got), wrong=wrong)

        limit = endpoint.settings.receive_timeout if waits else -1
        return self._limited(attempt, limit, lambda: Answer(len(got)) if got else AGAIN)

    def _content(self, endpoint: Endpoint, data: bytes, flags: int, wanted: bytes | None) -> str:
        """Whether what was read is what the script's packets carried; "" when it is, or when nobody asks."""
        connection = endpoint.connection
        if wanted is not None and not flags & TRUNC:
            return "" if data == wanted[: len(data)] else f"read {data[:20]!r}"
        if connection is None or not data or flags & OOB:
            return ""
        key = connection.key
        expected, behind = self.streams.expected(key, len(data), inline=endpoint.settings.oob_inline)
        if not flags & PEEK:
            self.streams.read[key] = behind
        looked = self.strict and not flags & TRUNC  # those are only counted
        return "read other bytes than were sent" if looked and data != expected else ""

    # --- the end

    def shutdown(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """shutdown(2)"""
        how = self.number(arguments[1])

        def attempt() -> Answer:
            self.endpoint(arguments[0]).shutdown(how)
            return DONE

        return attempt

    def close(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """close(2), with the wait that SO_LINGER asks for"""
        number = self.number(arguments[0])
        file = self.files.get(number)
        endpoint = file.endpoint
        settings = None if endpoint is None else endpoint.settings
        lingers = settings is not None and settings.linger_on and settings.linger_seconds > 0 and file.blocking
        until = self.bench.clock + (settings.linger_seconds if settings else 0) * 1_000_000_000
        if lingers:
            self.until = until
        connection = None if endpoint is None else endpoint.connection

        def attempt() -> Answer:
            if self.files.holds(number) and self.files.get(number) is file:
                self._let_go(self.files.remove(number))
            if lingers and connection is not None and connection.state in UNFINISHED and self.bench.clock < until:
                raise BlockingIOError(errno.EAGAIN, "lingers")
            return DONE

        return attempt

    # --- descriptors

    def fcntl(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """fcntl(2): F_GETFL, F_SETFL, F_GETFD, F_SETFD"""
        command = self.number(arguments[1])
        file = self.files.get(self.number(arguments[0]))
        if command == SYMBOLS["F_SETFL"]:
            flags = self.number(arguments[2])

            def attempt() -> Answer:
                file.flags = flags & NONBLOCK
                return DONE

            return attempt
        if command in (SYMBOLS["F_GETFD"], SYMBOLS["F_SETFD"]):
            return lambda: DONE
        if command != SYMBOLS["F_GETFL"]:
            raise Skip(f"fcntl() command {command}")
        return lambda: Answer(RDWR | file.flags)

    def ioctl(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """ioctl(2): SIOCINQ, SIOCOUTQ, SIOCOUTQNSD, FIONBIO"""
        request = self.number(arguments[1])
        file = self.files.get(self.number(arguments[0]))
        if request == SYMBOLS["FIONBIO"]:
            value = self.number(arguments[2])

            def switch() -> Answer:
                file.flags = NONBLOCK if value else 0
                return DONE

            return switch
        if request not in (SYMBOLS["SIOCINQ"], SYMBOLS["SIOCOUTQ"], SYMBOLS["SIOCOUTQNSD"]):
            raise Skip(f"ioctl() request {request}")
        endpoint = self.endpoint(arguments[0])

        def attempt() -> Answer:
            connection = endpoint.connection
            if endpoint.listening:
                return Answer(-1, "EINVAL")
            count = 0
            if connection is not None and request == SYMBOLS["SIOCINQ"]:
                count = connection.readable()
            elif connection is not None:
                count = connection.unacked() if request == SYMBOLS["SIOCOUTQ"] else connection.unsent()
            return Answer(0, wrong=told(arguments[2], count))

        return attempt

    def dup(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """dup(2), dup2(2)"""
        file = self.files.get(self.number(arguments[0]))
        wanted = self.number(arguments[1]) if call.name == "dup2" else -1

        def attempt() -> Answer:
            self._made = file
            return Answer(self.files.free() if wanted < 0 else wanted)

        return attempt

    def names(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """getsockname(2), getpeername(2)"""
        endpoint = self.endpoint(arguments[0])
        ask = endpoint.getsockname if call.name == "getsockname" else endpoint.getpeername

        def attempt() -> Answer:
            found = ask()
            if not self.fits(arguments[1], found):
                return Answer(0, wrong=f"{ipaddress.ip_address(found[0])} port {found[1]}")
            return DONE

        return attempt

    def open(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """open(2): a file whose bytes nobody asks for"""

        def attempt() -> Answer:
            self._made = File()
            return Answer(self.files.free())

        return attempt

    def setsockopt(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """setsockopt(2)"""
        return sockopts.setting(self.endpoint(arguments[0]), arguments)

    def getsockopt(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """getsockopt(2)"""
        return sockopts.asking(self.endpoint(arguments[0]), arguments)

    def poll(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """poll(2)"""
        self.until = polling.deadline(self.bench.clock, self.number(arguments[2]))
        return polling.poll(self.files, arguments[0], self.until, self.bench.now)

    def epoll_create(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """epoll_create(2), epoll_create1(2)"""

        def attempt() -> Answer:
            self._made = File(watched={})
            return Answer(self.files.free())

        return attempt

    def epoll_ctl(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """epoll_ctl(2)"""
        return polling.control(self.files, [self.number(each) for each in arguments[:3]], arguments[3])

    def epoll_wait(self, arguments: tuple[Expression, ...], call: Call) -> Attempt:
        """epoll_wait(2)"""
        self.until = polling.deadline(self.bench.clock, self.number(arguments[3]))
        most = max(self.number(arguments[2]), 1)
        return polling.wait(self.files, self.number(arguments[0]), arguments[1], most, self.until, self.bench.now)


FLAGS_AT: Final[Mapping[str, int]] = MappingProxyType(
    {"send": 3, "sendto": 3, "recv": 3, "recvfrom": 3, "sendmsg": 2, "recvmsg": 2}
)

Method = Callable[[Calls, tuple[Expression, ...], Call], Attempt]
TABLE: Final[Mapping[str, Method]] = MappingProxyType({
    "socket": Calls.socket, "bind": Calls.bind, "listen": Calls.listen, "accept": Calls.accept, "accept4": Calls.accept,
    "connect": Calls.connect, "write": Calls.write, "send": Calls.write, "sendto": Calls.write, "writev": Calls.writev,
    "sendmsg": Calls.sendmsg, "sendfile": Calls.sendfile, "read": Calls.read, "recv": Calls.read, "recvfrom": Calls.read,
    "readv": Calls.readv, "recvmsg": Calls.recvmsg, "shutdown": Calls.shutdown, "close": Calls.close, "fcntl": Calls.fcntl,
    "ioctl": Calls.ioctl, "dup": Calls.dup, "dup2": Calls.dup, "getsockname": Calls.names, "getpeername": Calls.names,
    "open": Calls.open, "setsockopt": Calls.setsockopt, "getsockopt": Calls.getsockopt, "poll": Calls.poll,
    "epoll_create": Calls.epoll_create, "epoll_create1": Calls.epoll_create, "epoll_ctl": Calls.epoll_ctl,
    "epoll_wait": Calls.epoll_wait,
})  # fmt: skip
