"""The simulation's clock: integer nanoseconds, and what is to happen when.

Owns virtual time and the order of events: by time, then by the order in which they were asked for. Knows nothing of
networks or hosts.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

from synfin.engine.config import NEVER, SECOND
from synfin.engine.errors import UsageError


class Timer:
    """A call that may still be taken back; made by Clock.call_at."""

    __slots__ = ("_arguments", "_callback", "when")

    def __init__(self, when: int, callback: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self.when: int = when
        self._callback: Callable[..., object] | None = callback
        self._arguments = arguments

    @property
    def pending(self) -> bool:
        """Whether the call is still to come."""
        return self._callback is not None

    def cancel(self) -> None:
        """Take the call back; does nothing when it has happened."""
        self._callback = None
        self._arguments = ()

    def take(self) -> tuple[Callable[..., object] | None, tuple[Any, ...]]:
        """The call, which counts as done from now on."""
        callback, arguments = self._callback, self._arguments
        self.cancel()
        return callback, arguments


class Clock:
    """Virtual time. `now` is in nanoseconds and moves only from one event to the next."""

    __slots__ = ("_heap", "_order", "_stopped", "now")

    def __init__(self, now: int = 0) -> None:
        self.now: int = now
        # (when, order, callback, arguments); a Timer stands as (when, order, timer, None).
        self._heap: list[tuple[int, int, Any, tuple[Any, ...] | None]] = []
        self._order: int = 0
        self._stopped: bool = False

    def schedule(self, when: int, callback: Callable[..., object], arguments: tuple[Any, ...] = ()) -> None:
        """Call `callback(*arguments)` at `when` nanoseconds, not before now; cannot be taken back, costs least."""
        self._order = order = self._order + 1
        heappush(self._heap, (when, order, callback, arguments))

    def call_at(self, when: int, callback: Callable[..., object], *arguments: Any) -> Timer:
        """As `schedule`, and can be cancelled. A time in the past means now."""
        timer = Timer(max(when, self.now), callback, arguments)
        self._order = order = self._order + 1
        heappush(self._heap, (timer.when, order, timer, None))
        return timer

    def next_when(self) -> int:
        """The time of the next event, nanoseconds; NEVER when there is none."""
        heap = self._heap
        while heap and heap[0][3] is None and not heap[0][2].pending:
            heappop(heap)
        return heap[0][0] if heap else NEVER

    def run_next(self) -> bool:
        """Move to the next event and let it happen; False when there is none."""
        when = self.next_when()
        if when == NEVER:
            return False
        self.now = when
        _, _, callback, arguments = heappop(self._heap)
        if arguments is None:
            callback, arguments = callback.take()
        callback(*arguments)
        return True

    def advance(self, when: int) -> None:
        """Move to `when` nanoseconds without an event; raises UsageError when one lies before it, or `when` has passed."""
        if not self.now <= when <= self.next_when():
            raise UsageError("the clock goes forward only, and no event may be skipped")
        self.now = when

    def stop(self) -> None:
        """Make `run` return after the event that is happening."""
        self._stopped = True

    def run(self, until: int = NEVER) -> None:
        """Let everything happen up to and including `until` nanoseconds, and leave the clock there.

        Without `until`, to the last event, and leave the clock at it. Ends early after `stop`.
        """
        heap = self._heap
        self._stopped = False
        while heap:
            entry = heappop(heap)
            when, _, callback, arguments = entry
            if when > until:
                heappush(heap, entry)
                break
            if arguments is None:
                callback, arguments = callback.take()
                if callback is None:
                    continue
            self.now = when
            callback(*arguments)
            if self._stopped:
                return
        if until != NEVER:
            self.now = max(self.now, until)


# A float has 15 digits: above this many seconds nanoseconds could not be told apart anyway.
LONGEST: Final = 1 << 40


def nanoseconds(seconds: float, what: str) -> int:
    """`seconds` as integer nanoseconds; raises UsageError, naming `what`, unless it is a number of 0 or more."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST:
        raise UsageError(f"{what} is a number of seconds, 0 or more, not {seconds!r}")
    return round(seconds * SECOND)
