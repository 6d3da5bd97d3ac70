"""What a script's descriptors stand for, and what a call in progress is.

Owns the table by the script's own numbers. Knows no call.
"""

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from synfin.packetdrill.symbols import SYMBOLS
from synfin.sockets.endpoint import Endpoint

if TYPE_CHECKING:
    from synfin.packetdrill.polling import Watch

NONBLOCK: Final = SYMBOLS["O_NONBLOCK"]
RDWR: Final = SYMBOLS["O_RDWR"]


class Answer(NamedTuple):
    """What a call came to: its result, the name of an errno, and what else is not as the script has it ("" for nothing)."""

    result: int
    error: str = ""
    wrong: str = ""


Attempt = Callable[[], Answer]  # raises BlockingIOError while there is nothing to answer


class Skip(Exception):
    """The script needs what synfin does not have; the message names it. `unmapped`: a command of the shell."""

    def __init__(self, what: str, *, unmapped: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.unmapped = unmapped


class File:
    """What a descriptor stands for: an endpoint, an epoll set (`watched`, by descriptor) or neither: a file of zeros."""

    __slots__ = ("endpoint", "flags", "references", "watched")

    def __init__(self, endpoint: Endpoint | None = None, flags: int = 0, watched: "dict[int, Watch] | None" = None) -> None:
        self.endpoint = endpoint
        self.flags = flags
        self.watched = watched
        self.references = 0

    @property
    def blocking(self) -> bool:
        """Whether calls on it wait."""
        return not self.flags & NONBLOCK


class Files:
    """The open descriptors of a script."""

    def __init__(self) -> None:
        self._open: dict[int, File] = {}
        self._sets = 0  # so many epoll sets were made

    def add(self, number: int, file: File) -> None:
        """The script calls `file` by `number` from now on."""
        self._open[number] = file
        file.references += 1
        self._sets += file.watched is not None

    def notice(self) -> None:
        """Something may have happened: who is told of edges looks."""
        if not self._sets:
            return
        for file in self._open.values():
            for watch in (file.watched or {}).values():
                watch.notice()

    def get(self, number: int) -> File:
        """What `number` stands for; raises OSError (EBADF)."""
        found = self._open.get(number)
        if found is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return found

    def endpoint(self, number: int) -> Endpoint:
        """The socket `number`; raises OSError (EBADF, ENOTSOCK)."""
        found = self.get(number).endpoint
        if found is None:
            raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))
        return found

    def remove(self, number: int) -> File:
        """Forget `number`; raises OSError (EBADF)."""
        file = self.get(number)
        del self._open[number]
        file.references -= 1
        return file

    def free(self) -> int:
        """The smallest number that is not in use, from 3 on."""
        number = 3
        while number in self._open:
            number += 1
        return number

    def holds(self, number: int) -> bool:
        """Whether `number` is open."""
        return number in self._open

    def under_test(self, key: bytes | None) -> Endpoint | None:
        """The socket whose connection has `key`; where none has, the newest."""
        newest = None
        for file in self._open.values():
            endpoint = file.endpoint
            if endpoint is None:
                continue
            newest = endpoint
            if endpoint.connection is not None and endpoint.connection.key == key:
                return endpoint
        return newest
