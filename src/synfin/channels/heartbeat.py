"""When to ask a silent peer whether it is there, and when to take it for dead. Pure: `now` in nanoseconds is an argument.

    last byte heard --- interval --- PING -- timeout -- PING -- timeout -- PING -- timeout -- dead
                                      1                  2                  3      (misses = 3)

The bound: a peer of which nothing more is heard is taken for dead `interval + misses * timeout` after its last byte, whether it
ended with a FIN, an RST or without a word. Any byte counts as a sign of life, so a busy connection carries no PING at all. A
process that was itself held up (suspended, overloaded) asks again before it judges: only a PING that had its whole `timeout`
counts as missed.
"""

from typing import Final

from synfin.engine.errors import UsageError

SECOND: Final = 1_000_000_000
MILLISECOND: Final = 1_000_000
NEVER: Final = (1 << 63) - 1


class Heartbeat:
    """One side's own watch over its peer. Times are nanoseconds; an `interval` of NEVER watches nothing.

    Raises UsageError for times that are not positive and for `misses` below 1.
    """

    __slots__ = ("_next", "interval", "last_heard", "misses", "sent", "timeout")

    def __init__(self, interval: int, timeout: int, misses: int, now: int) -> None:
        check_times(interval, timeout, misses)
        self.interval = interval
        self.timeout = timeout
        self.misses = misses
        self.last_heard = now
        self.sent = 0  # PINGs since the last sign of life
        self._next = later(now, interval)

    def heard(self, now: int) -> None:
        """A byte of the peer's has come."""
        self.last_heard = now
        self.sent = 0
        self._next = later(now, self.interval)

    def next_deadline(self) -> int:
        """When to call `ask` again; NEVER for never."""
        return self._next

    def ask(self, now: int) -> bool:
        """Whether a PING is due now; it counts as sent."""
        if now < self._next or self.dead(now):
            return False
        self.sent += 1
        self._next = now + self.timeout
        return True

    def dead(self, now: int) -> bool:
        """Whether the peer has missed all that it was allowed to."""
        return self.sent >= self.misses and now >= self._next


def bound(interval: int, timeout: int, misses: int) -> int:
    """The longest time, in nanoseconds, between the last byte of a peer and its being taken for dead."""
    return later(interval, misses * timeout)


def later(at: int, by: int) -> int:
    """`at + by`, NEVER where one of them is NEVER."""
    return NEVER if NEVER in (at, by) else at + by


def check_times(interval: int, timeout: int, misses: int) -> None:
    """Raises UsageError for what is no heartbeat."""
    if interval <= 0 or timeout <= 0:
        raise UsageError(f"a heartbeat's interval and timeout are positive nanoseconds, not {interval} and {timeout}")
    if misses < 1:
        raise UsageError(f"a heartbeat allows 1 miss or more, not {misses}")
