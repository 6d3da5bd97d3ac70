"""A pool's books: who may have a connection, who waits, which ones are idle, and the figures. Pure: `now` in nanoseconds.

There are `size` slots. Whoever holds one may take an idle connection or make a new one, so there are never more connections
than slots. Who finds no slot free waits in a queue, first come, first served: a slot that is given back goes to the first of
the queue, never to one who comes by later. Of the idle connections the one used last is given first, so that what the load
does not need becomes old, and is closed after `idle_limit`.

Knows no connection: those are whatever the fronts (poolaio, poolblocking) put in.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from synfin.channels.errors import PoolClosed
from synfin.channels.heartbeat import NEVER, SECOND, later
from synfin.engine.errors import UsageError

C = TypeVar("C")

IDLE_LIMIT: Final = 60.0  # seconds
CHECK: Final = 1.0  # seconds


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
    """See the module. Both times are seconds; None: connections never become too old, are never to be checked.

    `used` are the connections that are out. Raises UsageError.
    """

    def __init__(self, size: int, idle_limit: float | None = None, check: float | None = None) -> None:
        if size < 1 or (idle_limit is not None and idle_limit <= 0) or (check is not None and check <= 0):
            raise UsageError(f"a pool has 1 connection or more and positive times, not {size}, {idle_limit}, {check}")
        self.size = size
        self.idle_limit = NEVER if idle_limit is None else round(idle_limit * SECOND)
        self.check = NEVER if check is None else round(check * SECOND)
        self.used: dict[C, None] = {}
        self.closed = False
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
        """Ask for a slot: `granted` at once, or when those before have had theirs. Raises PoolClosed."""
        self.check_open()
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

    def put_back(self, connection: C, since: int) -> bool:
        """What `take_idle` gave is not used after all: whether it is kept; after `close` it is the caller's to close."""
        if self.closed:
            self.count_closed()
        else:
            self._idle.append((connection, since))
        return not self.closed

    def check_due(self, since: int, now: int) -> bool:
        """Whether a connection that has been idle since then is to be asked before it is used."""
        return later(since, self.check) <= now

    def give(self, connection: C, *, made: bool = False) -> None:
        """`connection` goes to who holds a slot; `made`: it is a new one."""
        self.used[connection] = None
        self._figures.made += made

    def take_back(self, connection: C, now: int, *, fit: bool) -> bool:
        """A connection came back: whether it is kept for the next; otherwise it is the caller's to close. Raises KeyError for
        one that is not out."""
        del self.used[connection]
        if fit and not self.closed:
            self._idle.append((connection, now))
            return True
        self.count_closed(broken=not fit)
        return False

    def close(self) -> list[C]:
        """From now on nothing is given any more. Returns the idle connections, which are the caller's to close."""
        self.closed = True
        idle = [connection for connection, _ in self._idle]
        self._idle.clear()
        self._figures.closed += len(idle)
        return idle

    def check_open(self) -> None:
        """Raises PoolClosed after `close`."""
        if self.closed:
            raise PoolClosed("the pool is closed")

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
