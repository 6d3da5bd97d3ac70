"""The states of the end that is not ours, as its segments show them: for a ladder, which has both sides.

Owns one guess a connection. What a segment cannot show (a close before its FIN, 2MSL) is not guessed; a move that figure 5 does
not have is not made.
"""

from synfin.engine.segment import ACK, FIN, RST, SYN, Segment
from synfin.engine.seq import MASK, geq
from synfin.engine.state import TRANSITIONS, State, Trigger

Move = tuple[State, Trigger, State]


class Peer:
    """The peer of one connection."""

    def __init__(self) -> None:
        self.state = State.CLOSED
        self._after_fin = -1  # what acknowledges its FIN

    def _move(self, trigger: Trigger) -> list[Move]:
        old = self.state
        new = TRANSITIONS.get((old, trigger))
        if new is None:
            return []
        self.state = new
        return [(old, trigger, new)]

    def sent(self, segment: Segment) -> list[Move]:
        """The peer has sent this: the moves that it made."""
        if segment.flags & RST:
            return self._move(Trigger.ABORT)
        if segment.flags & SYN and not segment.flags & ACK:
            return self._move(Trigger.ACTIVE_OPEN)
        if segment.flags & FIN:
            self._after_fin = (segment.seq + segment.length) & MASK
            return self._move(Trigger.CLOSE)
        return []

    def took(self, segment: Segment) -> list[Move]:
        """The peer has received this: the moves that it makes. One that is CLOSED and gets a SYN was listening."""
        if segment.flags & RST:
            return self._move(Trigger.RESET)
        if segment.flags & SYN:
            if self.state is State.CLOSED and not segment.flags & ACK:
                self.state = State.LISTEN
            return self._move(Trigger.SYN_ACK if segment.flags & ACK else Trigger.SYN)
        moves = []
        if segment.flags & ACK:
            if self.state is State.SYN_RECEIVED:
                moves += self._move(Trigger.ACK_OF_SYN)
            elif self._after_fin >= 0 and geq(segment.ack, self._after_fin):
                moves += self._move(Trigger.ACK_OF_FIN)
        if segment.flags & FIN:
            moves += self._move(Trigger.FIN)
        return moves
