"""SEGMENT ARRIVES in CLOSED: RFC 9293 3.10.7.1. Knows no table: who calls has found no connection and no listener."""

from synfin.engine.segment import ACK, RESET_NO_SOCKET, RST, Outgoing, Segment
from synfin.engine.seq import MASK


def answer(segment: Segment) -> Outgoing | None:
    """The RST that the sender of `segment` will take as meant for it; None for an RST, which is never answered."""
    if segment.flags & RST:
        return None
    if segment.flags & ACK:
        return Outgoing(segment.ack, 0, RST, 0, RESET_NO_SOCKET)
    return Outgoing(0, (segment.seq + segment.length) & MASK, RST | ACK, 0, RESET_NO_SOCKET)
