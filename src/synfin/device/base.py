"""What a stack sends through: Device, a base class. Knows packets and why they go, nothing of who receives them."""

from synfin.engine.segment import Outgoing


class Device:
    """A link's end.

    `mtu` is the largest IP packet in bytes that it takes. With `gso` it takes super-segments of up to 64 KB and cuts them
    itself; without, the stack does. `checksum` False means that nobody looks at the TCP checksum, or that the device
    completes it: the stack leaves it out. A device that `builds` makes
    the packet itself: `transmit` is called in place of `send`.
    """

    __slots__ = ("builds", "checksum", "gso", "mtu")

    def __init__(self, mtu: int = 1500, *, gso: bool = False, checksum: bool = True) -> None:
        self.mtu: int = mtu
        self.gso: bool = gso
        self.checksum: bool = checksum
        self.builds: bool = False

    def send(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        """Take `packet`, a whole IP packet built from `out` for the connection `key`; must not call back into the stack."""
        raise NotImplementedError

    def transmit(self, key: bytes, out: Outgoing, identification: int, ttl: int = 64) -> None:
        """Build the packet for `out` and send it; see wire.packet.build_packet for the arguments. As `send` otherwise."""
        raise NotImplementedError
