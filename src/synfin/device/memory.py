"""Two devices joined in memory. Packets wait until somebody delivers them, so that a test can look at them, drop them or
change their order. Owns no clock: the time of arrival is whatever `deliver` is told.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from synfin.device.base import Device
from synfin.engine.segment import Outgoing


class Sent(NamedTuple):
    """One packet on its way: its bytes, the connection's key at the sender, and the segment it was built from."""

    packet: bytes
    key: bytes
    out: Outgoing


class MemoryDevice(Device):
    """One end. What it sends waits in `outbox`; what the other end delivers goes to `receiver(packet, now)`."""

    __slots__ = ("outbox", "peer", "receiver")

    def __init__(self, mtu: int = 1500, *, gso: bool = False, checksum: bool = False) -> None:
        super().__init__(mtu, gso=gso, checksum=checksum)
        self.outbox: deque[Sent] = deque()
        self.peer: MemoryDevice | None = None
        self.receiver: Callable[[bytes, int], None] | None = None

    def send(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        self.outbox.append(Sent(packet, key, out))

    def deliver(self, now: int, count: int = -1) -> int:
        """Hand up to `count` waiting packets (all of them by default) to the peer's receiver; returns how many went."""
        receiver = self.peer.receiver if self.peer is not None else None
        if receiver is None:
            return 0
        done = 0
        while self.outbox and done != count:
            receiver(self.outbox.popleft().packet, now)
            done += 1
        return done

    def drop(self, index: int = 0) -> Sent:
        """Take the waiting packet number `index` away; raises IndexError when there is none."""
        sent = self.outbox[index]
        del self.outbox[index]
        return sent


def memory_link(mtu: int = 1500, *, gso: bool = False, checksum: bool = False) -> tuple[MemoryDevice, MemoryDevice]:
    """Two joined ends; `mtu` in bytes."""
    a = MemoryDevice(mtu, gso=gso, checksum=checksum)
    b = MemoryDevice(mtu, gso=gso, checksum=checksum)
    a.peer, b.peer = b, a
    return a, b
