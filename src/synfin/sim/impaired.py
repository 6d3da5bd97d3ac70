"""A bad network around a real device: the simulator's link, with all that may be done to it, in real time.

So real programs can be tried on loss, delay, reordering, duplication, corruption and partitions where the kernel has no netem.
Owns a link between two ends, `kernel` and `synfin`, whose clock follows the machine's. Knows nothing of stacks or loops.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from synfin.device.base import DescriptorDevice
from synfin.engine.segment import Buffer, Outgoing
from synfin.sim.clock import Clock
from synfin.sim.line import Item, Ledger, Node, bytes_of
from synfin.sim.link import Link
from synfin.sim.randoms import Streams
from synfin.wire.packet import complete_checksums

BATCH: Final = 64  # packets taken from the device at once


class End(Node):
    """Where packets come out of the link."""

    def __init__(self, name: str, take: Callable[[bytes], object]) -> None:
        super().__init__(name)
        self._take = take

    def take(self, items: list[Item]) -> None:
        """See Node."""
        for item in items:
            self._take(bytes_of(item))


class ImpairedDevice(DescriptorDevice):
    """`device` behind a bad link. The settings are World.link's: delay, jitter, bandwidth, queue, loss, burst, corrupt,
    duplicate, reorder and the rest; times in seconds.

    `link` is that link: `link.set(loss=0.1)`, `link.cut()`, `link.drop(3)`; its directions are `kernel->synfin` and
    `synfin->kernel`. The device's offload is turned off, so that each packet is one of the wire's, with its checksums. `seed`
    decides the faults (not the times); None: a different run each time. Closing it closes the device. Raises UsageError for a
    setting that there is none of.
    """

    __slots__ = ("_arrived", "_clock", "_inner", "ledger", "link")

    def __init__(self, device: DescriptorDevice, *, seed: int | None = None, **settings: Any) -> None:
        device.disable_offload("each packet is one of the impaired link's")
        super().__init__(device.mtu)
        self.name = device.name
        self._inner = device
        self._clock = Clock(time.monotonic_ns())
        self._arrived: deque[bytes] = deque()
        self.ledger = Ledger(self._clock)  # counts in `lost` what the link has lost, by cause
        kernel, synfin = End("kernel", self._leave), End("synfin", self._arrived.append)
        streams = Streams(random.SystemRandom().getrandbits(63) if seed is None else seed)
        self.link = Link(kernel, synfin, self.ledger, streams, **{"mtu": device.mtu, **settings})

    def _leave(self, packet: bytes) -> None:
        self._inner.send(packet, b"", Outgoing(0, 0, 0, 0, 0))

    def fileno(self) -> int:
        """The descriptor, readable when a packet waits before the link; -1 once closed."""
        return self._inner.fileno()

    def send(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        """See Device."""
        clock = self._clock
        clock.run(time.monotonic_ns())
        before = clock.next_when()
        self.link.backward.carry(packet)
        clock.run(clock.now)
        if self.wake is not None and clock.next_when() < before:
            self.wake()

    def receive(self) -> Buffer | None:
        """The next packet that has come through the link, None for none. Raises OSError when the interface is gone."""
        if not self._arrived:
            self._take_in()
        return self._arrived.popleft() if self._arrived else None

    def _take_in(self) -> None:
        """Put on the link what waits before it."""
        self._clock.run(time.monotonic_ns())
        for _ in range(BATCH):
            packet = self._inner.receive()
            if packet is None:
                break
            data = bytes(packet)
            self.link.forward.carry(complete_checksums(data) if self._inner.verified else data)
        self._clock.run(self._clock.now)

    def next_deadline(self) -> int:
        """See Device."""
        return 0 if self._arrived else self._clock.next_when()

    def advance(self, now: int) -> None:
        """See Device."""
        self._clock.run(now)

    def close(self) -> None:
        """Close the device within. Repeating it does nothing."""
        self._inner.close()
