"""Slow start, congestion avoidance, fast recovery: RFC 5681 with NewReno's partial ACKs (RFC 6582)."""

from synfin.engine.congestion.base import Congestion


class NewReno(Congestion):
    """The congestion control of RFC 5681 and RFC 6582."""

    __slots__ = ("bytes_acked",)

    name = "newreno"

    def __init__(self, mss: int, segments: int) -> None:
        super().__init__(mss, segments)
        self.bytes_acked: int = 0

    def on_ack(self, acked: int) -> None:
        mss = self.mss
        if self.cwnd < self.ssthresh:
            self.cwnd += acked if acked < mss else mss  # equation 2
            return
        self.bytes_acked += acked  # one segment a round trip, counted in bytes (3.1, RFC 3465)
        if self.bytes_acked >= self.cwnd:
            self.bytes_acked -= self.cwnd
            self.cwnd += mss

    def on_fast_retransmit(self, flight: int) -> None:
        self.ssthresh = max(flight // 2, 2 * self.mss)  # equation 4
        self.cwnd = self.ssthresh + 3 * self.mss

    def on_duplicate_ack(self) -> None:
        self.cwnd += self.mss

    def on_partial_ack(self, acked: int) -> None:
        self.cwnd = max(self.cwnd - acked, 0)
        if acked >= self.mss:
            self.cwnd += self.mss
        self.cwnd = max(self.cwnd, self.mss)

    def on_recovered(self, flight: int) -> None:
        self.cwnd = min(self.ssthresh, max(flight, self.mss) + self.mss)
        self.bytes_acked = 0

    def on_timeout(self, flight: int, first: bool) -> None:
        if first:
            self.ssthresh = max(flight // 2, 2 * self.mss)
        self.cwnd = self.mss
        self.bytes_acked = 0


class CountingNewReno(NewReno):
    """NewReno whose slow start counts what an ACK acknowledges, up to `limit` segments, 0 for all of it (RFC 3465 2.2):
    TcpConfig.slow_start_segments. RFC 5681 3.1 has one segment."""

    __slots__ = ("limit",)

    def __init__(self, mss: int, segments: int, limit: int) -> None:
        super().__init__(mss, segments)
        self.limit: int = limit

    def on_ack(self, acked: int) -> None:
        if self.cwnd >= self.ssthresh:
            super().on_ack(acked)
        elif self.limit:
            self.cwnd += min(acked, self.limit * self.mss)
        else:  # what goes beyond ssthresh counts there (tcp_slow_start)
            grown = min(acked, self.ssthresh - self.cwnd)
            self.cwnd += grown
            super().on_ack(acked - grown)
