"""A host as sockets and programs see it: a stack, a name, a clock, and names that can be resolved.

Owns the context variable that says which host is speaking: a task, a callback or a thread inherits it from whoever started it.
Must not know what carries the packets: the simulation and the real-time driver subclass Host.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from synfin.engine.errors import UsageError
from synfin.stack.stack import Stack

if TYPE_CHECKING:
    from synfin.sockets.blocking import Waits
    from synfin.sockets.descriptors import Descriptors

T = TypeVar("T")


class Speaker:
    """One entry of the chain of hosts entered with `with`; the chain is what the context variable holds."""

    __slots__ = ("before", "host")

    def __init__(self, host: "Host", before: "Speaker | None") -> None:
        self.host = host
        self.before = before


_SPEAKING: Final[ContextVar[Speaker | None]] = ContextVar("synfin_host", default=None)


class Host:
    """Base class. A subclass has `name` and `stack` and implements `now` and `resolve`.

    `with host:` makes it the one that speaks: sockets made in the block, and in every task and callback started from it, are
    this host's. Blocks nest, and a coroutine may keep one open across awaits.
    """

    name: str
    stack: Stack
    descriptors: "Descriptors | None" = None  # those of its sockets, where a driver with threads has its own

    # Serves the stack from inside a call until `done()` holds, at most so many seconds: hold(done, seconds). There where the
    # stack is served by the thread that calls, and can be.
    hold: "Callable[[Callable[[], bool], float], None] | None" = None

    _waits: "Waits | None" = None
    lock: AbstractContextManager[Any] = nullcontext()  # the stack's; nobody else is there where there are no threads

    @property
    def waits(self) -> "Waits | None":
        """How calls on its sockets wait, None where no driver lets them."""
        return self._waits

    @waits.setter
    def waits(self, waits: "Waits | None") -> None:
        self._waits = waits
        self.lock = nullcontext() if waits is None else waits.lock

    def now(self) -> int:
        """The time in nanoseconds, as the stack counts it."""
        raise NotImplementedError

    def resolve(self, name: str) -> list[bytes]:
        """The packed addresses that `name` stands for, in order of preference; [] for an unknown name."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """The names that are known, for a message; [] where nobody can tell."""
        return []

    def reaches(self, address: bytes) -> bool:
        """False when it is certain that nothing leads to this packed address."""
        return True

    def name_of(self, address: bytes) -> str:
        """The name of the host that has this packed address, "" where it is not known."""
        return self.name if address in self.stack.addresses else ""

    def __enter__(self) -> Self:
        _SPEAKING.set(Speaker(self, _SPEAKING.get()))
        return self

    def __exit__(self, *_: object) -> None:
        speaker = _SPEAKING.get()
        if speaker is None or speaker.host is not self:
            raise UsageError(f"'with {self.name}' ends in another task than it began in, or out of order")
        _SPEAKING.set(speaker.before)

    async def run(self, program: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine `program` as this host and return its result; asyncio."""
        return await self.create_task(program)

    def create_task(self, program: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """Start the coroutine `program` as this host: asyncio.create_task in a context where this host speaks.

        The task is named after the host unless `name` is given.
        """
        context = contextvars.copy_context()
        context.run(_SPEAKING.set, Speaker(self, None))
        label = name or f"{self.name}: {getattr(program, '__name__', 'task')}"
        return asyncio.get_running_loop().create_task(program, name=label, context=context)


def speaking() -> Host | None:
    """The host that speaks in this context, None where none does."""
    speaker = _SPEAKING.get()
    return None if speaker is None else speaker.host


def current_host() -> Host:
    """The host that speaks in this context. Raises UsageError where none does."""
    host = speaking()
    if host is None:
        raise UsageError("no host speaks here: open the socket inside `with host:`, host.run(...) or host.create_task(...)")
    return host


@contextmanager
def kernel_sockets() -> Iterator[None]:
    """No host speaks in the block, nor in the tasks and callbacks started from it: sockets made there are the machine's own."""
    token = _SPEAKING.set(None)
    try:
        yield
    finally:
        _SPEAKING.reset(token)
