"""setsockopt and getsockopt of scripts.

Owns how a script writes the values of options. Which options there are is synfin.sockets': one that it has not makes a script
SKIP, whatever the script expects.
"""

import errno
import socket
import struct
from typing import Final

from synfin.engine.info import STATE_NUMBER
from synfin.engine.state import State
from synfin.packetdrill.files import Answer, Attempt, Skip
from synfin.packetdrill.symbols import SYMBOLS, value_of
from synfin.packetdrill.syntax import Ellipsis_, Expression, Items, Struct, Text, Word
from synfin.sockets.endpoint import Endpoint
from synfin.sockets.options import GET, SET, TCP_CONGESTION, TCP_INFO, TIMEOUTS, TIMEVAL, get_option, set_option
from synfin.sockets.options import INFO as INFO_STRUCT

LINGER: Final = (int(socket.SOL_SOCKET), int(socket.SO_LINGER))
CONGESTION: Final = (int(socket.IPPROTO_TCP), TCP_CONGESTION)
INFO: Final = (int(socket.IPPROTO_TCP), TCP_INFO)
SIZE: Final = 4  # bytes of an int
STATE_NAMES: Final = (
    "TCP_ESTABLISHED", "TCP_SYN_SENT", "TCP_SYN_RECV", "TCP_FIN_WAIT1", "TCP_FIN_WAIT2", "TCP_TIME_WAIT", "TCP_CLOSE",
    "TCP_CLOSE_WAIT", "TCP_LAST_ACK", "TCP_LISTEN", "TCP_CLOSING",
)  # fmt: skip
CA_NAMES: Final = ("TCP_CA_Open", "TCP_CA_Disorder", "TCP_CA_CWR", "TCP_CA_Recovery", "TCP_CA_Loss")
LINGER_SIZE: Final = 8
NAME_SIZE: Final = 16  # TCP_CA_NAME_MAX
INFO_SIZES: Final = (104, INFO_STRUCT.size)  # the least that has all that scripts ask for, and all of it
NAMED: Final[dict[str, dict[int, str]]] = {  # values of tcp_info that scripts call by a name
    "tcpi_state": {SYMBOLS[name]: name for name in STATE_NAMES}, "tcpi_ca_state": {SYMBOLS[name]: name for name in CA_NAMES},
}  # fmt: skip
INVALID: Final = Answer(-1, "EINVAL")
RENO: Final = ("reno", "newreno")


def _name(expression: Expression) -> str:
    return expression.name if isinstance(expression, Word) else str(value_of(expression))


def _value(expression: Expression) -> Expression:
    return expression.items[0] if isinstance(expression, Items) and len(expression.items) == 1 else expression


def _option(arguments: tuple[Expression, ...]) -> tuple[int, int]:
    return value_of(arguments[1]) or 0, value_of(arguments[2]) or 0


def setting(endpoint: Endpoint, arguments: tuple[Expression, ...]) -> Attempt:
    """setsockopt(2). Raises Skip for an option that synfin's sockets do not have."""
    option = _option(arguments)
    value = _value(arguments[3])
    length = value_of(_value(arguments[4]))
    least = 1 if option == CONGESTION else _sizes(option)[1]
    if length is not None and length < least and (option in SET or option in TIMEOUTS or option in (LINGER, CONGESTION)):
        if option[0] == socket.IPPROTO_IP and length > 0:  # it takes a char, too
            raise Skip(f"{_name(arguments[2])} of {length} bytes")
        return lambda: INVALID
    if option == CONGESTION:
        if isinstance(value, Text) and value.value in RENO and endpoint.host.stack.config.congestion == "newreno":
            return lambda: Answer(0)
        raise Skip(f"TCP_CONGESTION {value.value if isinstance(value, Text) else ''}".strip())
    data: int | bytes
    if option == LINGER:
        if not isinstance(value, Struct) or value.items:
            raise Skip("SO_LINGER without the fields of struct linger")
        data = struct.pack("ii", _field(value, "onoff", "l_onoff"), _field(value, "linger", "l_linger"))
    elif option in TIMEOUTS:
        data = _timeval(value, _name(arguments[2]))
    elif option not in SET:
        raise Skip(_name(arguments[2]))
    else:
        found = value_of(value)
        if found is None:
            raise Skip(f"{_name(arguments[2])} without a number")
        data = found

    def attempt() -> Answer:
        set_option(endpoint, *option, data)
        return Answer(0)

    return attempt


def _timeval(value: Expression, name: str) -> bytes:
    """`{tv_sec=1, tv_usec=0}` or `{1, 0}`."""
    if not isinstance(value, Struct) or (value.items and len(value.items) != 2):
        raise Skip(f"{name} without the fields of struct timeval")
    if value.items:
        return TIMEVAL.pack(*(value_of(each) or 0 for each in value.items))
    return TIMEVAL.pack(_field(value, "tv_sec"), _field(value, "tv_usec"))


def _field(value: Struct, *names: str) -> int:
    for name in names:
        found = value.get(name)
        if found is not None:
            return value_of(found) or 0
    return 0


def asking(endpoint: Endpoint, arguments: tuple[Expression, ...]) -> Attempt:
    """getsockopt(2). Raises Skip for an option that synfin's sockets do not have."""
    option = _option(arguments)
    value = _value(arguments[3])
    if option not in GET:
        raise Skip(_name(arguments[2]))
    if not _fits(option, value):
        raise Skip(f"{_name(arguments[2])} with a value of another kind")
    length = value_of(_value(arguments[4]))
    if length is not None and length < 0:
        return lambda: INVALID
    least, most = _sizes(option)
    if length is not None and (length < least or (option == INFO and length > most)):
        raise Skip(f"{_name(arguments[2])} of {length} bytes")
    longer = "" if length is None or length <= most else f"length [{most}]"

    def attempt() -> Answer:
        answer = ask()
        return answer if answer.wrong or answer.result else answer._replace(wrong=longer)

    def ask() -> Answer:
        if option == INFO:
            return Answer(0, wrong=_info(endpoint, value))
        if option == LINGER:
            return Answer(0, wrong=_linger(endpoint, value))
        if option in TIMEOUTS:
            data = get_option(endpoint, *option, TIMEVAL.size)
            assert isinstance(data, bytes)
            same = not isinstance(value, Struct) or data == _timeval(value, "")
            return Answer(0, wrong="" if same else "{{tv_sec={}, tv_usec={}}}".format(*TIMEVAL.unpack(data)))
        if option == CONGESTION:
            name = endpoint.host.stack.config.congestion
            same = not isinstance(value, Text) or value.value in (name, "reno" if name == "newreno" else name)
            return Answer(0, wrong="" if same else repr(name))
        found = get_option(endpoint, *option)
        assert isinstance(found, int)
        wanted = value_of(value)
        return Answer(0, wrong="" if wanted in (None, found) else f"[{found}]{_error_name(option, found)}")

    return attempt


def _sizes(option: tuple[int, int]) -> tuple[int, int]:
    """The fewest bytes that hold what a script compares, and how many there are."""
    if option == INFO:
        return INFO_SIZES
    if option == CONGESTION:
        return 1, NAME_SIZE
    if option in TIMEOUTS:
        return TIMEVAL.size, TIMEVAL.size
    return (LINGER_SIZE, LINGER_SIZE) if option == LINGER else (SIZE, SIZE)


def _fits(option: tuple[int, int], value: Expression) -> bool:
    """Whether `value` is written as what the option gives: a struct with named fields, a string, or a number."""
    if isinstance(value, Ellipsis_):
        return True
    if option in (LINGER, INFO):
        return isinstance(value, Struct) and not value.items
    if option in TIMEOUTS:
        return isinstance(value, Struct)
    return isinstance(value, Text) if option == CONGESTION else value_of(value) is not None


def _error_name(option: tuple[int, int], found: int) -> str:
    if option != (int(socket.SOL_SOCKET), int(socket.SO_ERROR)) or not found:
        return ""
    return f" {errno.errorcode.get(found, '')}"


def _linger(endpoint: Endpoint, value: Expression) -> str:
    settings = endpoint.settings
    actual = (int(settings.linger_on), settings.linger_seconds)
    if not isinstance(value, Struct) or actual == (_field(value, "onoff", "l_onoff"), _field(value, "linger", "l_linger")):
        return ""
    return f"{{onoff={actual[0]}, linger={actual[1]}}}"


def information(endpoint: Endpoint) -> dict[str, int]:
    """The tcpi_ values of an endpoint at this moment."""
    connection = endpoint.connection
    if connection is None:
        return {"tcpi_state": STATE_NUMBER[State.LISTEN if endpoint.listening else State.CLOSED]}
    told = connection.info(endpoint.host.now())
    return {name: value for name, value in told.items() if name.startswith("tcpi_")}


def _info(endpoint: Endpoint, value: Expression) -> str:
    if not isinstance(value, Struct):
        return ""
    actual = information(endpoint)
    wrong = []
    for name, wanted in value.fields:
        if name not in actual:
            raise Skip(name)
        if value_of(wanted) not in (None, actual[name]):
            wrong.append(f"{name}={NAMED.get(name, {}).get(actual[name], actual[name])}")
    return f"{{{', '.join(wrong)}}}" if wrong else ""
