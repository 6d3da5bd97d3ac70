"""How long to wait before the next attempt to connect: exponential, with full jitter. Pure: it waits for nothing itself.

The wait before attempt n (n = 0 for the first repeat) is drawn evenly from 0 to min(cap, base * 2^n). Full jitter spreads the
clients of a server that has come back over the whole time, instead of letting them come at once.
"""

from random import Random

from synfin.engine.errors import UsageError


class Backoff:
    """Waits in nanoseconds, drawn from `random`. `base` is the longest first wait, `cap` the longest of all."""

    __slots__ = ("base", "cap", "failures", "random")

    def __init__(self, random: Random, base: int, cap: int) -> None:
        if not 0 < base <= cap:
            raise UsageError(f"a backoff begins above 0 and at most at its cap, not at {base} ns with a cap of {cap} ns")
        self.random = random
        self.base = base
        self.cap = cap
        self.failures = 0

    def longest(self) -> int:
        """The longest that the next wait may be."""
        return min(self.cap, self.base << min(self.failures, 62))

    def next(self) -> int:
        """The wait after one more failure."""
        wait = self.random.randint(0, self.longest())
        self.failures += 1
        return wait

    def reset(self) -> None:
        """A connection has come about: the next failure begins anew."""
        self.failures = 0
