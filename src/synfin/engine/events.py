"""Changes of state that a connection tells its owner, drained with `next_event`. Readiness is a level, not an event."""

from typing import Final

from synfin.engine.errors import CloseReason


class Connected:
    """The connection is ESTABLISHED (or has passed it)."""

    __slots__ = ()


class PeerClosed:
    """The peer's FIN has arrived in order: nothing more will come."""

    __slots__ = ()


class Closed:
    """The connection is over for its user: finished (also TIME-WAIT), reset, refused, timed out or aborted."""

    __slots__ = ("reason",)

    def __init__(self, reason: CloseReason) -> None:
        self.reason: CloseReason = reason


Event = Connected | PeerClosed | Closed
CONNECTED: Final = Connected()
PEER_CLOSED: Final = PeerClosed()
