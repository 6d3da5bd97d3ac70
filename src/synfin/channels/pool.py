"""A pool's books: who may have a connection, who waits, which ones are idle, and the figures. Pure: `now` in nanoseconds.

There are `size` slots. Whoever holds one may take an idle connection or make a new one, so there are never more connections
than slots. Who finds no slot free waits in a queue, first come, first served: a slot that is given back goes to the first of
the queue, never to one who comes by later. Of the idle connections the one used last is given first, so that what the load
does not need becomes old, and is closed after `idle_limit`.

Knows no connection: those are whatever the fronts (poolaio, poolblocking) put in.
"""

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from synfin.channels.heartbeat import NEVER, later
from synfin.engine.errors import UsageError

C = TypeVar("C")


@dataclass(slots=True)
class PoolMetrics:
    """Figures of a pool at one moment. Times are nanoseconds; a wait is from asking to getting a slot."""

    in_use: int = 0  # slots that are held
    idle: int = 0
    waiting: int = 0
    made: int = 0  # connections, ever
    closed: int = 0  # ... for any reason
    broken: int = 0  # ... because they were found dead, or came back unusable
    expired: int = 0  # ... because nobody needed them for the idle limit
    served: int = 0  # slots given, ever
    timeouts: int = 0  # waits that were given up
    waited: int = 0  # ns, of all who were served
    longest_wait: int = 0  # ns


class Ticket:
    """A place in the queue."""

    __slots__ = ("asked", "granted")

    def __init__(self, now: int) -> None:
        self.asked = now
        self.granted = False


class Ledger(Generic[C]):
    """See the module. `idle_limit` in nanoseconds, NEVER for none. Raises UsageError."""

    def __init__(self, size: int, idle_limit: int = NEVER) -> None:
        if size < 1 or idle_limit <= 0:
            raise UsageError(f"a pool has 1 connection or more and a positive idle limit, not {size}, {idle_limit}")
        self.size = size
        self.idle_limit = idle_limit
        self._free = size
        self._queue: deque[Ticket] = deque()
        self._idle: deque[tuple[C, int]] = deque()  # oldest first
        self._figures = PoolMetrics()

    def metrics(self) -> PoolMetrics:
        """The figures now; a copy."""
        figures = PoolMetrics(**{name: getattr(self._figures, name) for name in PoolMetrics.__slots__})
        figures.in_use, figures.idle, figures.waiting = self.size - self._free, len(self._idle), len(self._queue)
        return figures

    @property
    def in_use(self) -> int:
        """Slots that are held."""
        return self.size - self._free

    def ask(self, now: int) -> Ticket:
        """Ask for a slot: `granted` at once, or when those before have had theirs."""
        ticket = Ticket(now)
        if self._free:
            self._free -= 1
            self._grant(ticket, now)
        else:
            self._queue.append(ticket)
        return ticket

    def withdraw(self, ticket: Ticket, now: int) -> Ticket | None:
        """Whoever asked has given up. Returns who has the slot instead, where it had been granted meanwhile."""
        self._figures.timeouts += 1
        if ticket.granted:
            return self.free(now)
        self._queue.remove(ticket)
        return None

    def free(self, now: int) -> Ticket | None:
        """Give a slot back. Returns the ticket that has got it, None when nobody waits."""
        if not self._queue:
            self._free += 1
            return None
        ticket = self._queue.popleft()
        self._grant(ticket, now)
        return ticket

    def _grant(self, ticket: Ticket, now: int) -> None:
        ticket.granted = True
        wait = now - ticket.asked
        figures = self._figures
        figures.served += 1
        figures.waited += wait
        figures.longest_wait = max(figures.longest_wait, wait)

    def take_idle(self) -> tuple[C, int] | None:
        """The connection that was used last, and since when it has been idle; None when there is none."""
        return self._idle.pop() if self._idle else None

    def put_idle(self, connection: C, now: int) -> None:
        """A connection came back, fit for use."""
        self._idle.append((connection, now))

    def count_made(self) -> None:
        """A connection was made."""
        self._figures.made += 1

    def count_closed(self, *, broken: bool = False) -> None:
        """A connection was closed."""
        self._figures.closed += 1
        self._figures.broken += broken

    def expired(self, now: int) -> list[C]:
        """The connections that have been idle for too long; they are the caller's to close."""
        gone: list[C] = []
        while self._idle and later(self._idle[0][1], self.idle_limit) <= now:
            gone.append(self._idle.popleft()[0])
        self._figures.expired += len(gone)
        self._figures.closed += len(gone)
        return gone

    def next_deadline(self) -> int:
        """When the oldest idle connection is too old; NEVER."""
        return later(self._idle[0][1], self.idle_limit) if self._idle else NEVER
