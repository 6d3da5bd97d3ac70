"""What a source of sockets knows at one moment, in one shape for all of them: a running synfin, the kernel, a capture.

Owns the shape. Counts are cumulative and None where the source does not keep them; nothing here judges or reads anything.
Addresses are packed (4 or 16 bytes), times integer nanoseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from synfin.engine.counts import COUNTS  # the names of the fields of Counts: one list for all sources

__all__ = ["COUNTS", "NOTHING", "Counts", "HalfOpenEntry", "ListenerSample", "Sample"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Cumulative since some moment in the past; None: this source does not keep it."""

    syns: int | None = None  # SYNs that arrived
    syn_ack_repeats: int | None = None  # SYN,ACKs sent again
    completed: int | None = None  # handshakes completed, by queue or by cookie
    cookies_sent: int | None = None
    cookies_accepted: int | None = None
    cookies_refused: int | None = None  # final ACKs whose cookie was wrong or too old
    syn_queue_drops: int | None = None  # SYNs not taken because the SYN queue was full
    evicted: int | None = None  # half-open entries that made room for newer ones
    accept_queue_drops: int | None = None  # SYNs and final ACKs not taken because the accept queue was full
    expired: int | None = None  # half-open entries given up after the last SYN,ACK
    resets: int | None = None  # half-open entries ended by RST
    # Of a capture alone, and not among COUNTS: SYNs that got no answer and whose sender asked again, as no forger does.
    turned_away: int | None = None


NOTHING: Final = Counts()


@dataclass(frozen=True, slots=True)
class HalfOpenEntry:
    """One embryonic connection: SYN arrived, SYN,ACK sent, no final ACK yet."""

    local: bytes
    local_port: int
    remote: bytes
    remote_port: int
    age: int | None = None  # ns since its SYN; None: the source cannot tell
    syn_acks: int | None = None  # SYN,ACKs sent, the first included
    owner: str = "-"  # program/pid of the listener


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSample:
    """One listening socket; `address` is all zeros for any address."""

    address: bytes
    port: int
    half_open: int
    half_open_limit: int | None = None  # None: unknown
    accept_queue: int = 0
    accept_limit: int | None = None
    drops: int | None = None  # of the socket itself (SK_MEMINFO_DROPS), cumulative
    counts: Counts = NOTHING
    entries: tuple[HalfOpenEntry, ...] = ()
    owner: str = "-"

    @property
    def name(self) -> tuple[bytes, int]:
        """What tells it from the others of one sample."""
        return self.address, self.port


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Everything at one moment. `totals` counts for all listeners together, where a source keeps only that (the kernel)."""

    at: int
    source: str  # "synfin", "kernel", "capture" or "table" (sockets alone, no counters)
    listeners: tuple[ListenerSample, ...]
    totals: Counts = NOTHING
    states: Mapping[str, int] = field(default_factory=dict)  # sockets in each state, by RFC 9293's names
