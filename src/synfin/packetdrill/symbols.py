"""The constants that scripts name, as Linux has them, and values of expressions.

Owns the table. A script compares names with names: where another system numbers a constant otherwise, it is the same here.
"""

import errno
import select
import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from synfin.packetdrill.syntax import Applied, Expression, Number, Or, Text, Word


class UnknownSymbol(Exception):
    """A word that stands for nothing here; its name is the argument."""


def _table() -> dict[str, int]:
    found = {
        name: int(value)
        for name, value in vars(socket).items()
        if name.startswith(("AF_", "SOCK_", "SOL_", "SO_", "IPPROTO_", "TCP_", "MSG_", "SHUT_", "IP_", "IPV6_"))
        and isinstance(value, int)
    }
    found |= {name: int(value) for name, value in vars(select).items() if name.startswith(("POLL", "EPOLL"))}
    found |= {name: number for number, name in errno.errorcode.items()}
    return found | {
        "PF_INET": int(socket.AF_INET), "PF_INET6": int(socket.AF_INET6), "SOL_TCP": 6, "SOL_IP": 0, "SOL_IPV6": 41,
        "O_RDONLY": 0, "O_WRONLY": 1, "O_RDWR": 2, "O_CREAT": 0o100, "O_NONBLOCK": 0o4000, "O_CLOEXEC": 0o2000000,
        "F_GETFD": 1, "F_SETFD": 2, "F_GETFL": 3, "F_SETFL": 4, "FD_CLOEXEC": 1,
        "SIOCINQ": 0x541B, "FIONREAD": 0x541B, "SIOCOUTQ": 0x5411, "FIONWRITE": 0x5411, "SIOCOUTQNSD": 0x894B,
        "FIONBIO": 0x5421, "SIOCATMARK": 0x8905,
        "TCP_CORK": 3, "TCP_SYNCNT": 7, "TCP_DEFER_ACCEPT": 9, "TCP_QUICKACK": 12, "TCP_NOTSENT_LOWAT": 25, "SO_RCVLOWAT": 18,
        "TCP_INQ": 36, "TCP_CM_INQ": 36, "TCP_USER_TIMEOUT": 18, "TCP_INFO": 11, "TCP_CONGESTION": 13, "IPV6_V6ONLY": 26,
        "TCP_ESTABLISHED": 1, "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3, "TCP_FIN_WAIT1": 4, "TCP_FIN_WAIT2": 5,
        "TCP_TIME_WAIT": 6, "TCP_CLOSE": 7, "TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9, "TCP_LISTEN": 10, "TCP_CLOSING": 11,
        "TCP_CA_Open": 0, "TCP_CA_Disorder": 1, "TCP_CA_CWR": 2, "TCP_CA_Recovery": 3, "TCP_CA_Loss": 4,
        "TCPI_OPT_TIMESTAMPS": 1, "TCPI_OPT_SACK": 2, "TCPI_OPT_WSCALE": 4, "TCPI_OPT_ECN": 8, "TCPI_OPT_ECN_SEEN": 16,
        "TCPI_OPT_SYN_DATA": 32, "TCP_INFINITE_SSTHRESH": 0x7FFFFFFF, "NULL": 0,
        "EPOLL_CTL_ADD": 1, "EPOLL_CTL_DEL": 2, "EPOLL_CTL_MOD": 3, "MSG_MORE": 0x8000, "MSG_EOR": 0x80,
    }  # fmt: skip


SYMBOLS: Final[Mapping[str, int]] = MappingProxyType(_table())


def value_of(expression: Expression) -> int | None:
    """The number that `expression` means; None for `...` and what is no number. Raises UnknownSymbol."""
    if isinstance(expression, Number):
        return expression.value
    if isinstance(expression, Word):
        found = SYMBOLS.get(expression.name)
        if found is None:
            raise UnknownSymbol(expression.name)
        return found
    if isinstance(expression, Or):
        total = 0
        for part in expression.parts:
            each = value_of(part)
            if each is None:
                return None
            total |= each
        return total
    if isinstance(expression, Applied) and expression.name in ("htons", "htonl", "ntohs", "ntohl") and expression.arguments:
        return value_of(expression.arguments[0])
    return None


def words_of(expression: Expression) -> set[str]:
    """The symbols in an expression of flags."""
    if isinstance(expression, Word):
        return {expression.name}
    if isinstance(expression, Or):
        return set().union(*map(words_of, expression.parts))
    return set()


def text_of(expression: Expression) -> str | None:
    """The string that `expression` is, None for anything else."""
    return expression.value if isinstance(expression, Text) else None
