"""How engine, stack and sockets tell what they did: Observer, a base class whose methods do nothing.

A stack has one observer or None; whoever calls tests `is not None` first, so that unwatched code pays one test.
`key` names the connection as its bytes in a received packet: remote address, local address, remote port, local port
(12 bytes for IPv4, 36 for IPv6); for a listener the remote part is zero.
"""

from synfin.engine.errors import DropReason
from synfin.engine.segment import Outgoing, Segment
from synfin.engine.state import State, Trigger


class Observer:
    """Receives what happens, in order. Every time `now` is in nanoseconds."""

    def state_changed(self, now: int, key: bytes, old: State, trigger: Trigger, new: State) -> None:
        """The connection `key` moved from `old` to `new`."""

    def segment_sent(self, now: int, key: bytes, segment: Outgoing) -> None:
        """The stack handed `segment` to its device; called just before the device's `send`."""

    def segment_received(self, now: int, key: bytes, segment: Segment) -> None:
        """The stack parsed `segment` without error and is about to process it."""

    def dropped(self, now: int, key: bytes, reason: DropReason, segment: Segment | None) -> None:
        """A packet, or what remained of it, was not taken; `key` is empty when it could not be read that far."""

    def timer_started(self, now: int, key: bytes, timer: str, deadline: int) -> None:
        """A timer that a person would ask about began: `2MSL`, `persist`, `FIN-WAIT-2`."""

    def timer_fired(self, now: int, key: bytes, timer: str, detail: str) -> None:
        """A timer acted: `retransmission`, `handshake`, `persist`, `delayed ACK`, `2MSL`, `user timeout`, `FIN-WAIT-2`."""

    def congestion(self, now: int, key: bytes, cause: str, cwnd: int, ssthresh: int) -> None:
        """Congestion control changed its mind: `slow start`, `fast recovery`, `timeout`, ... ; both in bytes."""

    def called(
        self, now: int, key: bytes, call: str, arguments: str, started: int, result: str, error: int
    ) -> None:
        """An application's call returned at `now`, having begun at `started`; `error` is an errno, 0 for success."""


class Watcher:
    """Who wants to know that the readiness of an entry may have changed: a socket."""

    def changed(self) -> None:
        """Levels may have changed. Must not call back into the stack: note it and wake whoever waits."""
