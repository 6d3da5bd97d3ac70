"""What a stack sends through: Device, a base class. Knows packets and why they go, nothing of who receives them."""

from collections.abc import Callable
from typing import Self

from synfin.engine.config import NEVER
from synfin.engine.segment import Buffer, Outgoing


class Device:
    """A link's end.

    `mtu` is the largest IP packet in bytes that it takes. With `gso` it takes super-segments of up to 64 KB and cuts them
    itself; without, the stack does. `checksum` False means that nobody looks at the TCP checksum, or that the device
    completes it: the stack leaves it out. A device that `builds` makes
    the packet itself: `transmit` is called in place of `send`. `wake`
    is the driver's, and called when `next_deadline` has moved forward between the driver's looks at it.
    """

    __slots__ = ("builds", "checksum", "gso", "mtu", "wake")

    def __init__(self, mtu: int = 1500, *, gso: bool = False, checksum: bool = True) -> None:
        self.mtu: int = mtu
        self.gso: bool = gso
        self.checksum: bool = checksum
        self.builds: bool = False
        self.wake: Callable[[], None] | None = None

    def send(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        """Take `packet`, a whole IP packet built from `out` for the connection `key`; must not call back into the stack."""
        raise NotImplementedError

    def transmit(self, key: bytes, out: Outgoing, identification: int, ttl: int = 64) -> None:
        """Build the packet for `out` and send it; see wire.packet.build_packet for the arguments. As `send` otherwise."""
        raise NotImplementedError

    def next_deadline(self) -> int:
        """When to call `advance`, in ns; NEVER for a device that keeps nothing back."""
        return NEVER

    def advance(self, now: int) -> None:
        """Let happen what was to happen up to `now`; must not call back into the stack."""


class DescriptorDevice(Device):
    """A device that a driver in real time reads through a descriptor. `name` is the interface's.

    Of the packet that `receive` gave last, `verified` says that its checksum needs no look, and `gso_size` how many bytes the
    wire segments had that were merged into it (0: it came alone).
    """

    __slots__ = ("gso_size", "name", "verified")

    def __init__(self, mtu: int = 1500, *, gso: bool = False, checksum: bool = True) -> None:
        super().__init__(mtu, gso=gso, checksum=checksum)
        self.name: str = ""
        self.verified: bool = False
        self.gso_size: int = 0

    def fileno(self) -> int:
        """The descriptor, readable when a packet waits; -1 once closed."""
        raise NotImplementedError

    def receive(self) -> Buffer | None:
        """The next packet, None when none waits. Raises OSError when the interface is gone."""
        raise NotImplementedError

    def disable_offload(self, why: str) -> None:
        """Packets cross one by one and whole from now on; `why` is for people. For a device that has offloads."""

    def close(self) -> None:
        """Give everything back. Repeating it does nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
