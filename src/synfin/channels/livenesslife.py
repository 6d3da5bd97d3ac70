"""The liveness check on a long connection: life.py's state with one kind of message more. Pure, as both of them are.

    6 LIVENESS  the number is 0; then a message of liveness.py

It passes by what the program has not received yet, so a slow program is not taken for a dead path. A silence longer than
`doubt_after` begins a check by itself.
"""

from collections.abc import Callable
from typing import Final

from synfin.channels.framing import Framing
from synfin.channels.heartbeat import NEVER
from synfin.channels.life import HEAD, Life, LifeSettings
from synfin.channels.liveness import REMEMBERED, SECOND, TWO, Learned, Liveness
from synfin.engine.errors import UsageError

LIVENESS: Final = 6

Told = Callable[[Learned], None]


class LivelyLife(Life):
    """One side. `liveness` is its check, `doubt_after` (ns) the silence that begins one, NEVER for none; `told` hears at once
    what was learnt. `dropped` counts the messages of the check that found no room for so long that newer ones took theirs."""

    __slots__ = ("_told", "doubt_after", "dropped", "liveness")

    def __init__(self, settings: LifeSettings, now: int, liveness: Liveness, doubt_after: int, told: Told) -> None:
        super().__init__(settings, now)
        self.liveness = liveness
        self.doubt_after = doubt_after
        self.dropped = 0
        self._told = told

    def received(self, message: bytes) -> None:
        """See Life. What comes has come when the peer was heard last."""
        if len(message) < HEAD.size or message[0] != LIVENESS:
            super().received(message)
        elif self.error is None:
            self._count += 1
            self.liveness.received(message[HEAD.size :], self.heartbeat.last_heard)
            self._tell()

    def _tell(self) -> None:
        liveness = self.liveness
        over = max(0, len(liveness.out) - REMEMBERED)
        self.dropped += over
        del liveness.out[:over]
        learned, liveness.learned = liveness.learned, []
        for one in learned:
            self._told(one)

    def next_deadline(self, blocked: bool = False) -> int:
        """See Life."""
        if self.error is not None or self.left:
            return NEVER
        if self.liveness.out and not blocked:
            return 0
        return min(super().next_deadline(blocked), self.liveness.next_deadline(), self._doubt())

    def _doubt(self) -> int:
        """When the silence will have been too long; not within a check, and not before a rest is over."""
        if self.doubt_after == NEVER or self.liveness.busy or self.closing:
            return NEVER
        return max(self.heartbeat.last_heard + self.doubt_after, self.liveness.rests_until())

    def handle_timers(self, now: int) -> None:
        """See Life. Patience may be over, or doubt begin."""
        super().handle_timers(now)
        if self.error is None and not self.left:
            self.liveness.handle_timers(now)
            if now >= self._doubt():
                self.liveness.ask(now)
            self._tell()

    def outgoing(self, now: int) -> list[bytes]:
        """See Life."""
        said, self.liveness.out = self.liveness.out, []
        others = super().outgoing(now)
        if self.error is not None or self.left:
            return others
        return [HEAD.pack(LIVENESS, 0) + message for message in said] + others


def doubt(doubt_after: float | None, framing: Framing) -> int:
    """`doubt_after`, seconds, in ns; None is NEVER. Raises UsageError where it is not above 0, or the framing too narrow."""
    if doubt_after is not None and doubt_after <= 0:
        raise UsageError(f"doubt begins after more than 0 seconds, not {doubt_after}")
    if framing.limit < HEAD.size + TWO.size:
        raise UsageError(f"the framing's limit must leave room for {HEAD.size + TWO.size} bytes")
    return NEVER if doubt_after is None else round(doubt_after * SECOND)
