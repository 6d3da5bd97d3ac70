"""Round-trip time and retransmission timeout: RFC 6298. All times in nanoseconds; samples come from the sender."""

from synfin.engine.config import SECOND, TcpConfig


class RttEstimator:
    """SRTT, RTTVAR and the RTO that follows from them, with the exponential backoff of 5.5 kept apart."""

    __slots__ = ("backoff", "base", "granularity", "maximum", "minimum", "rttvar", "slop", "srtt")

    def __init__(self, config: TcpConfig) -> None:
        self.srtt: int = -1
        self.rttvar: int = 0
        self.base: int = config.rto_initial
        self.backoff: int = 0
        self.minimum: int = config.rto_min
        self.maximum: int = config.rto_max
        self.granularity: int = config.clock_granularity
        self.slop: int = config.rto_slop

    def sample(self, rtt: int) -> None:
        """Take one measured round trip (2.2, 2.3); ends a backoff, as Karn's algorithm has it."""
        srtt = self.srtt
        if srtt < 0:
            self.srtt = srtt = rtt
            self.rttvar = variance = rtt >> 1
        else:
            error = srtt - rtt
            if error < 0:
                error = -error
            variance = self.rttvar
            self.rttvar = variance = variance + ((error - variance) >> 2)
            self.srtt = srtt = srtt + ((rtt - srtt) >> 3)
        variance <<= 2
        if variance < self.granularity:
            variance = self.granularity
        rto = srtt + variance
        if rto < self.minimum:
            rto = self.minimum
        rto += self.slop
        self.base = rto if rto < self.maximum else self.maximum
        self.backoff = 0

    @property
    def rto(self) -> int:
        """The timeout to use now, at most the configured maximum (2.5)."""
        if not self.backoff:
            return self.base
        slop = self.slop
        measured = self.base - slop if self.srtt >= 0 else self.base  # the slop is not doubled
        return min((measured << self.backoff) + slop, self.maximum)

    def back_off(self) -> None:
        """Double the timeout after it fired (5.5)."""
        if self.rto < self.maximum:
            self.backoff += 1

    def handshake_lost(self) -> None:
        """5.7: the SYN's timer fired; data starts with an RTO of 3 s unless a sample has come."""
        self.backoff = 0
        if self.srtt < 0 and self.base < 3 * SECOND:
            self.base = min(3 * SECOND, self.maximum)
