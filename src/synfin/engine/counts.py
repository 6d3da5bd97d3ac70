"""What a listener counts, for itself alone: what came to its door, and how each handshake ended.

Owns the names, which the control socket, `synfin watch` and the verdict on SYN floods use as they stand here. All are
cumulative, and the sums of a stack outlive its listeners.
"""

from typing import Final

COUNTS: Final = (
    "syns", "syn_ack_repeats", "completed", "cookies_sent", "cookies_accepted", "cookies_refused", "syn_queue_drops",
    "evicted", "accept_queue_drops", "expired", "resets",
)  # fmt: skip


class ListenerCounts:
    """Counts since the listener was made."""

    __slots__ = COUNTS

    def __init__(self) -> None:
        self.syns: int = 0  # that arrived, repeated ones among them
        self.syn_ack_repeats: int = 0  # SYN,ACKs sent again, by the timer or for a repeated SYN
        self.completed: int = 0  # handshakes, by queue or by cookie
        self.cookies_sent: int = 0
        self.cookies_accepted: int = 0
        self.cookies_refused: int = 0  # final ACKs whose cookie was wrong or too old
        self.syn_queue_drops: int = 0  # SYNs not taken because the SYN queue was full
        self.evicted: int = 0  # half-open entries that made room for newer ones
        self.accept_queue_drops: int = 0  # SYNs and final ACKs not taken because the accept queue was full
        self.expired: int = 0  # half-open entries given up after the last SYN,ACK
        self.resets: int = 0  # half-open entries ended by RST

    def add(self, other: "ListenerCounts") -> None:
        """Count what `other` has counted too."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_dict(self) -> dict[str, int]:
        """Each count by its name."""
        return {name: getattr(self, name) for name in COUNTS}
