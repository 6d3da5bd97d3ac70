"""What a script needs and nobody here has, found before it is played: whatever it expects, it is SKIP(feature).

A count of bytes that nobody could hold is an error of the script. Owns no list: what there is, the tables of calls, options and
symbols say.
"""

import socket
from collections.abc import Iterator
from typing import Final

from synfin.packetdrill import polling, sockopts
from synfin.packetdrill.arguments import PLAYED_FLAGS
from synfin.packetdrill.calls import FLAGS_AT, TABLE
from synfin.packetdrill.counts import COUNTS
from synfin.packetdrill.files import Skip
from synfin.packetdrill.symbols import SYMBOLS, UnknownSymbol, value_of, words_of
from synfin.packetdrill.syntax import (
    Applied,
    Beyond,
    Call,
    Event,
    Expression,
    Items,
    Number,
    Or,
    Script,
    ScriptError,
    Struct,
    Word,
)  # fmt: skip
from synfin.sockets.options import GET, SET, TIMEOUTS

OPTION_CALLS: Final = ("setsockopt", "getsockopt")
STREAM_KINDS: Final = int(socket.SOCK_STREAM) | int(socket.SOCK_NONBLOCK) | int(socket.SOCK_CLOEXEC)
ACCEPT_FLAGS: Final = int(socket.SOCK_NONBLOCK) | int(socket.SOCK_CLOEXEC)
MESSAGE_FLAGS: Final = sum(SYMBOLS[name] for name in PLAYED_FLAGS)
COUNT_AT: Final = {  # where a call says how many bytes, alone or in iovecs
    "write": 2, "send": 2, "sendto": 2, "sendfile": 3, "writev": 1, "sendmsg": 1,
    "read": 2, "recv": 2, "recvfrom": 2, "readv": 1, "recvmsg": 1,
}  # fmt: skip
ARRAY_AT: Final = {"writev": 1, "readv": 1, "poll": 0}  # the array whose count is the argument behind it
WRITING: Final = ("write", "send", "sendto", "sendfile", "writev", "sendmsg")
MOST_WRITTEN: Final = 1 << 26  # bytes of one call, which are made before any is sent
MOST_READ: Final = 0x7FFFFFFF
COUNTED: Final = ("msg_iov", "iov_len")
TCP: Final = int(socket.IPPROTO_TCP)
# Calls of the language, in Google's form or in that with SCTP, which are not played here. What is in neither is a slip.
UNPLAYED: Final = {
    "cap_set", "pipe", "splice", "sctp_bindx", "sctp_connectx", "sctp_freeladdrs", "sctp_freepaddrs", "sctp_getladdrs",
    "sctp_getpaddrs", "sctp_opt_info", "sctp_peeloff", "sctp_recvmsg", "sctp_recvv", "sctp_send", "sctp_sendmsg",
    "sctp_sendmsgx", "sctp_sendv", "sctp_sendx",
}  # fmt: skip
STREAM_WORDS: Final = {"SOCK_STREAM", "SOCK_NONBLOCK", "SOCK_CLOEXEC"}


def look_over(script: Script) -> None:
    """Raises Skip for the first event that cannot be played, ScriptError for one that nobody could play."""
    for event in script.events:
        if isinstance(event.action, Call) and event.action.name not in TABLE and event.action.name not in UNPLAYED:
            raise ScriptError(event.place, f"there is no call {event.action.name}()")
    for event in script.events:
        action = event.action
        if isinstance(action, Beyond):
            raise Skip(action.feature)
        if isinstance(action, Call):
            _look_at(action)
            _look_at_count(event, action)


def _look_at(call: Call) -> None:
    if call.name not in TABLE:
        raise Skip(f"{call.name}()")
    for name in (*(word for each in call.arguments for word in words(each)), *words(call.result)):
        strange = name not in SYMBOLS
        strange |= name.startswith("MSG_") and name not in PLAYED_FLAGS
        strange |= name.startswith("EPOLL") and name not in polling.PLAYED and not name.startswith("EPOLL_C")
        if strange:
            raise Skip(name)
    if len(call.arguments) not in COUNTS[call.name]:
        raise Skip(f"{call.name}() with {len(call.arguments)} arguments")
    if call.name in OPTION_CALLS:
        _look_at_option(call)
    _look_at_numbers(call)


def _look_at_numbers(call: Call) -> None:
    """Kinds of sockets and flags that are said by a number, or by a name that is not looked at elsewhere."""
    if call.name == "socket" and not words_of(call.arguments[1]) - STREAM_WORDS:
        kind, protocol = value_of(call.arguments[1]), value_of(call.arguments[2]) or TCP
        if kind is not None and (kind & ~STREAM_KINDS or not kind & int(socket.SOCK_STREAM)):
            raise Skip(f"socket() type {kind}")
        if protocol != TCP and not words_of(call.arguments[2]):
            raise Skip(f"socket() protocol {protocol}")
    at, known = (3, ACCEPT_FLAGS) if call.name == "accept4" else (FLAGS_AT.get(call.name, -1), MESSAGE_FLAGS)
    flags = value_of(call.arguments[at]) or 0 if at >= 0 else 0
    if flags & ~known:
        raise Skip(f"{call.name}() flags {flags:#x}")


def _look_at_count(event: Event, call: Call) -> None:
    most = MOST_WRITTEN if call.name in WRITING else MOST_READ
    if call.name in COUNT_AT:
        for count in _counts(call.arguments[COUNT_AT[call.name]]):
            if not 0 <= count <= most:
                raise ScriptError(event.place, f"a count of {count} bytes")
    if call.name in ARRAY_AT:
        at = ARRAY_AT[call.name]
        array, said = call.arguments[at], value_of(call.arguments[at + 1])
        if isinstance(array, Items) and said not in (None, len(array.items)):
            raise ScriptError(event.place, f"an array of {len(array.items)} with a count of {said}")


def _counts(expression: Expression) -> Iterator[int]:
    """Every number in a count, an array of iovec or a msghdr."""
    if isinstance(expression, Number):
        yield expression.value
    elif isinstance(expression, Items):
        for each in expression.items:
            yield from _counts(each)
    elif isinstance(expression, Struct):
        for each in (*expression.items, *(value for name, value in expression.fields if name in COUNTED)):
            yield from _counts(each)


def _look_at_option(call: Call) -> None:
    known = SET if call.name == "setsockopt" else GET
    try:
        option = (value_of(call.arguments[1]) or 0, value_of(call.arguments[2]) or 0)
    except UnknownSymbol as error:
        raise Skip(str(error)) from None
    if option not in known and option not in TIMEOUTS and option not in (sockopts.LINGER, sockopts.CONGESTION):
        name = call.arguments[2]
        raise Skip(name.name if isinstance(name, Word) else f"{call.name}() option {option}")


def words(expression: Expression) -> Iterator[str]:
    """Every symbol in an expression."""
    if isinstance(expression, Word):
        yield expression.name
    elif isinstance(expression, Or):
        for each in expression.parts:
            yield from words(each)
    elif isinstance(expression, Items):
        for each in expression.items:
            yield from words(each)
    elif isinstance(expression, Applied):
        for each in expression.arguments:
            yield from words(each)
    elif isinstance(expression, Struct):
        for each in (*expression.items, *(value for _, value in expression.fields)):
            yield from words(each)
