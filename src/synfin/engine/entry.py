"""What a demultiplexing table holds: the base class of Listener, Connection and TimeWait.

Owns the fields that a stack needs of every kind; the stack writes `scheduled`, `queued` and `touched`, nobody else.
"""

from synfin.engine.config import NEVER
from synfin.engine.observe import Observer, Watcher
from synfin.engine.segment import Outgoing, Segment
from synfin.engine.state import State, Trigger, next_state


class Entry:
    """One row of the table. `key` is as observe.py describes it; `scheduled` is its earliest time on the stack's heap."""

    __slots__ = ("key", "observer", "queued", "scheduled", "state", "touched", "watcher")

    def __init__(self, key: bytes, observer: Observer | None) -> None:
        self.key: bytes = key
        self.observer: Observer | None = observer
        self.watcher: Watcher | None = None
        self.state: State = State.CLOSED
        self.scheduled: int = NEVER
        self.queued: bool = False
        self.touched: bool = False

    def _move(self, trigger: Trigger, now: int) -> None:
        """The only place that assigns `state`; raises AssertionError where the table has no such move."""
        old = self.state
        self.state = next_state(old, trigger)
        if self.observer is not None:
            self.observer.state_changed(now, self.key, old, trigger, self.state)
        self._entered(self.state, now)

    def _entered(self, state: State, now: int) -> None:
        """What happens on entry to `state`."""

    def receive(self, segment: Segment, now: int) -> None:
        """Take a segment addressed to this entry; changes state, never emits."""
        raise NotImplementedError

    def transmit(self, now: int, out: list[Outgoing], room: int) -> None:
        """Append to `out` what may go now, at most `room` bytes of payload."""
        raise NotImplementedError

    def handle_timers(self, now: int) -> None:
        """Act on every timer whose time has come."""
        raise NotImplementedError

    def next_deadline(self) -> int:
        """When to call again: 0 for a transmit now, NEVER for nothing."""
        raise NotImplementedError
