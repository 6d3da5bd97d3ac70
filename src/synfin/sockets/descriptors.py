"""Virtual descriptors: the integers by which selectors know sockets that the kernel does not.

Owns the numbers and what each stands for. They count from 2^20, above what the kernel gives out, and each run counts for
itself, so that equal runs have equal numbers.
"""

import errno
import os
from collections.abc import Iterator
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Final

from synfin.engine.errors import UsageError

if TYPE_CHECKING:
    from synfin.sockets.endpoint import Endpoint

FIRST: Final = 1 << 20

_CURRENT: Final[ContextVar["Descriptors | None"]] = ContextVar("synfin_descriptors", default=None)


class Descriptors:
    """The open virtual descriptors of one run or one driver. A number is never used twice."""

    def __init__(self) -> None:
        self._numbers = count(FIRST)  # atomic: threads open descriptors at once
        self._open: dict[int, Endpoint] = {}

    def open(self, endpoint: "Endpoint") -> int:
        """A new descriptor for `endpoint`."""
        fd = next(self._numbers)
        self._open[fd] = endpoint
        endpoint.references += 1
        return fd

    def close(self, fd: int) -> None:
        """Forget `fd` and close what no other descriptor stands for; does nothing when it is not open."""
        endpoint = self._open.pop(fd, None)
        if endpoint is not None:
            endpoint.references -= 1
            if not endpoint.references:
                endpoint.close()

    def get(self, fd: int) -> "Endpoint | None":
        """What `fd` stands for, None when it is not open."""
        return self._open.get(fd)

    def endpoint(self, fd: int) -> "Endpoint":
        """What `fd` stands for; raises OSError (EBADF) when it is not open."""
        found = self._open.get(fd)
        if found is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return found

    def __iter__(self) -> "Iterator[tuple[int, Endpoint]]":
        """The open descriptors and what they stand for, oldest first."""
        return iter(list(self._open.items()))

    def __len__(self) -> int:
        return len(self._open)

    def use(self) -> object:
        """Make these the descriptors of sockets opened in this context; returns the token for `leave`."""
        return _CURRENT.set(self)

    @staticmethod
    def leave(token: object) -> None:
        """Undo `use`."""
        _CURRENT.reset(token)  # type: ignore[arg-type]


def current_descriptors() -> Descriptors:
    """The descriptors in use in this context. Raises UsageError outside of a run."""
    descriptors = _CURRENT.get()
    if descriptors is None:
        raise UsageError("no driver runs here: sockets are made inside synfin.sim.run or a real-time driver")
    return descriptors
