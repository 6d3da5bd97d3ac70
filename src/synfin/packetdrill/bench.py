"""What a script is played on: one stack on a device that keeps what leaves, and a virtual clock.

Owns the time: it moves from one deadline of the stack to the next, and `step` is called after each, so that calls that wait
may try again. Equal scripts give equal bytes: nothing here is random. Knows no script.
"""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from random import Random
from typing import Final

from synfin.device.base import Device
from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.segment import (
    ACK,
    ACK_DELAYED,
    FIN,
    FIN_SENT,
    NEW_DATA,
    NOT_TCP,
    RESET_ABORT,
    RST,
    SYN,
    SYN_ACK,
    SYN_OPEN,
    Outgoing,
)  # fmt: skip
from synfin.packetdrill.compare import Sent
from synfin.sockets.blocking import Waits
from synfin.sockets.host import Host
from synfin.stack.stack import Stack
from synfin.trace.recorder import Trace
from synfin.wire.errors import ParseError
from synfin.wire.packet import parse_packet

SECRET: Final = b"packetdrill: the same every time"
MOST_PACKETS: Final = 100_000  # that leave in one script
MOST_BYTES: Final = 256 << 20  # of them
MOST_STEPS: Final = 10_000  # at one moment
NAME: Final = "synfin"
PEER: Final = "script"


def meant(packet: bytes) -> Outgoing:
    """What a ladder calls the script's `packet`: only the reason is looked at."""
    try:
        segment = parse_packet(packet, verify=False)[1]
    except ParseError:
        return Outgoing(0, 0, 0, 0, NOT_TCP)
    flags, reason = segment.flags, ACK_DELAYED
    if flags & RST:
        reason = RESET_ABORT
    elif flags & SYN:
        reason = SYN_ACK if flags & ACK else SYN_OPEN
    elif flags & FIN:
        reason = FIN_SENT
    elif len(segment.payload):
        reason = NEW_DATA
    return Outgoing(0, 0, 0, 0, reason)


class Runaway(Exception):
    """The stack does not come to rest."""


class Keeper(Device):
    """Keeps what leaves, with its time."""

    __slots__ = ("bench", "sent")

    def __init__(self, mtu: int, bench: "Bench") -> None:
        super().__init__(mtu, checksum=True)
        self.bench = bench
        self.sent: deque[Sent] = deque()

    def send(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        """See Device."""
        self.bench.left(packet, key, out)


class Retries(Waits):
    """Says that calls may wait: the player lets them, by trying again."""

    def __init__(self) -> None:
        self.lock = nullcontext()


class Bench(Host):
    """A host with `addresses` and a clock that starts at 0 ns; `trace` is told everything."""

    def __init__(
        self, addresses: Sequence[bytes], config: TcpConfig, *, mtu: int, ttl: int = 64, trace: Trace | None = None,
        time_wait_limit: int = 16_384,
    ) -> None:  # fmt: skip
        self.name = NAME
        self.clock = 0
        self.device = Keeper(mtu, self)
        self.sent: deque[Sent] = self.device.sent
        self.history: list[tuple[int, bytes]] = []
        self.step: Callable[[], None] | None = None
        self._trace = trace
        self._packets = 0
        self._bytes_left = MOST_BYTES
        observer = None
        if trace is not None:
            observer = trace.observer(NAME, addresses)
            trace.addresses[PEER] = ()
        self.stack = Stack(
            addresses=addresses, config=config, device=self.device, clock=self.now, secret=SECRET, random=Random(1),
            observer=observer, ttl=ttl, time_wait_limit=time_wait_limit,
        )  # fmt: skip
        self.waits = Retries()

    def now(self) -> int:
        """See Host."""
        return self.clock

    def resolve(self, name: str) -> list[bytes]:
        """See Host; there are no names."""
        return []

    # --- packets

    def left(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        """The stack sends `packet`. Raises Runaway when there are too many."""
        if len(self.history) >= MOST_PACKETS:
            raise Runaway(f"more than {MOST_PACKETS} packets")
        self._bytes_left -= len(packet)
        if self._bytes_left < 0:
            raise Runaway(f"more than {MOST_BYTES >> 20} MB")
        self.sent.append(Sent(self.clock, packet, key))
        self.history.append((self.clock, packet))
        if self._trace is not None:
            self._packets += 1
            self._trace.sent(self.clock, NAME, PEER, self._packets, packet, out)
            self._trace.delivered(self.clock, PEER, NAME, self._packets, packet)

    def arrive(self, packet: bytes) -> None:
        """The script's packet reaches the stack."""
        if self._trace is not None:
            self._packets += 1
            self._trace.sent(self.clock, PEER, NAME, self._packets, packet, meant(packet))
            self._trace.delivered(self.clock, NAME, PEER, self._packets, packet)
        self.stack.receive_packet(packet, self.clock)
        self.settle()

    def settle(self) -> None:
        """Let the stack send what is due now, and those who wait try again."""
        self.stack.transmit(self.clock)
        if self.step is not None:
            self.step()
            self.stack.transmit(self.clock)

    # --- time

    def run_until(self, when: int, stop: Callable[[], bool] | None = None) -> bool:
        """Let time pass up to `when` (ns), timers at that very time included; ends early when `stop()` holds.

        Returns whether it did. Raises Runaway when the stack does not come to rest.
        """
        if stop is not None and stop():
            return True
        stack = self.stack
        idle = 0
        while True:
            deadline = stack.next_deadline()
            if deadline > when or deadline == NEVER:
                break
            idle = 0 if deadline > self.clock else idle + 1
            if idle > MOST_STEPS:
                raise Runaway(f"{MOST_STEPS} steps without time passing")
            self.clock = max(self.clock, deadline)
            stack.handle_timers(self.clock)
            self.settle()
            if stop is not None and stop():
                return True
        self.clock = max(self.clock, when)
        return False
