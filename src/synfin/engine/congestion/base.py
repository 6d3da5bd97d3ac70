"""The base class of congestion controllers: how many bytes may be in flight. Knows no segments, timers or sockets."""

from typing import Final

UNLIMITED: Final = 1 << 40  # ssthresh before the first loss: arbitrarily high (RFC 5681 3.1)


def initial_window(mss: int, segments: int) -> int:
    """IW in bytes: RFC 6928 2 for a number of segments, RFC 5681 3.1 for 0."""
    if segments:
        return min(segments * mss, max(2 * mss, segments * 1460))
    if mss > 2190:
        return 2 * mss
    return 3 * mss if mss > 1095 else 4 * mss


class Congestion:
    """cwnd and ssthresh in bytes, and what moves them. The sender tells what happened and reads `cwnd`."""

    __slots__ = ("cwnd", "initial", "mss", "ssthresh")

    name = "none"

    def __init__(self, mss: int, segments: int) -> None:
        self.mss: int = mss
        self.initial: int = initial_window(mss, segments)
        self.cwnd: int = self.initial
        self.ssthresh: int = UNLIMITED

    def handshake_lost(self) -> None:
        """A SYN or SYN,ACK was lost: one segment to start with (RFC 5681 3.1)."""
        self.cwnd = self.mss

    def on_ack(self, acked: int) -> None:
        """`acked` new bytes were acknowledged outside of recovery while cwnd was the limit."""
        raise NotImplementedError

    def on_fast_retransmit(self, flight: int) -> None:
        """The third duplicate ACK: RFC 5681 3.2 steps 2 and 3."""
        raise NotImplementedError

    def on_duplicate_ack(self) -> None:
        """One more duplicate ACK in recovery: a segment has left the network (step 4)."""
        raise NotImplementedError

    def on_partial_ack(self, acked: int) -> None:
        """An ACK in recovery that does not cover all that was sent before it (RFC 6582 3.2 step 3)."""
        raise NotImplementedError

    def on_recovered(self, flight: int) -> None:
        """A full ACK ends recovery (RFC 6582 3.2 step 3)."""
        raise NotImplementedError

    def on_timeout(self, flight: int, first: bool) -> None:
        """The retransmission timer fired, for this segment for the `first` time or again (RFC 5681 3.1, equation 4)."""
        raise NotImplementedError

    def on_idle(self) -> None:
        """Nothing was sent for longer than an RTO: restart window (RFC 5681 4.1)."""
        self.cwnd = min(self.initial, self.cwnd)
