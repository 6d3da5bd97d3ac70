"""How many arguments the system calls have, in their C form.

Owns the table and nothing else. Knows no call's meaning.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

COUNTS: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType({
    "socket": (3,), "bind": (3,), "listen": (2,), "accept": (3,), "accept4": (4,), "connect": (3,),
    "write": (3,), "send": (4,), "sendto": (6,), "writev": (3,), "sendmsg": (3,), "sendfile": (4,),
    "read": (3,), "recv": (4,), "recvfrom": (6,), "readv": (3,), "recvmsg": (3,),
    "shutdown": (2,), "close": (1,), "fcntl": (2, 3), "ioctl": (3,), "dup": (1,), "dup2": (2,),
    "getsockname": (3,), "getpeername": (3,), "open": (2, 3), "setsockopt": (5,), "getsockopt": (5,),
    "poll": (3,), "epoll_create": (1,), "epoll_create1": (1,), "epoll_ctl": (4,), "epoll_wait": (4,),
})  # fmt: skip
