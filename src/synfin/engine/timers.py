"""A connection's deadlines as plain integers, in nanoseconds; NEVER where none runs.

Setting one is an assignment: nothing is re-armed elsewhere, and a stack that comes too early finds nothing to do.
"""

from synfin.engine.config import NEVER


class Timers:
    """retransmission (RFC 6298), persist (3.8.6.1, also the SWS override), delayed ACK (3.8.6.3), FIN-WAIT-2 of an orphan,
    keep-alive (3.8.4)."""

    __slots__ = ("delayed_ack", "fin_wait_2", "keepalive", "persist", "retransmission")

    def __init__(self) -> None:
        self.retransmission: int = NEVER
        self.persist: int = NEVER
        self.delayed_ack: int = NEVER
        self.fin_wait_2: int = NEVER
        self.keepalive: int = NEVER

    def earliest(self) -> int:
        """The first of them."""
        first = self.retransmission
        if self.delayed_ack < first:
            first = self.delayed_ack
        if self.persist < first:
            first = self.persist
        if self.fin_wait_2 < first:
            first = self.fin_wait_2
        if self.keepalive < first:
            first = self.keepalive
        return first

    def stop(self) -> None:
        """Stop them all."""
        self.retransmission = self.persist = self.delayed_ack = self.fin_wait_2 = self.keepalive = NEVER
