"""Two devices joined by a socket pair of the machine: packets cross at once, whoever reads the descriptor gets them.

For stacks in real time without a TUN and without rights: two hosts in one process, or in a parent and its child. Owns the
descriptors. What the other end has no room for is lost, as on any link.
"""

import socket
from typing import Final, Self

from synfin.device.base import DescriptorDevice
from synfin.engine.segment import Outgoing

LARGEST_PACKET: Final = 65_575  # an IPv6 header and 65,535 bytes
ROOM: Final = 1 << 22  # bytes on their way


class PairDevice(DescriptorDevice):
    """One end; made by `device_pair`."""

    __slots__ = ("_socket", "gso_size", "name", "refused", "verified")

    def __init__(self, end: socket.socket, name: str, mtu: int) -> None:
        super().__init__(mtu, checksum=False)
        self._socket = end
        self.name: str = name
        self.refused: int = 0  # packets that the other end had no room for
        self.verified: bool = True  # nothing is damaged inside the machine
        self.gso_size: int = 0  # of the packet that `receive` gave last: none is a super-segment

    def fileno(self) -> int:
        """The descriptor, readable when a packet waits; -1 once closed."""
        return self._socket.fileno()

    def send(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        """See Device."""
        try:
            self._socket.send(packet)
        except OSError:
            self.refused += 1

    def receive(self) -> bytes | None:
        """The next packet, None when none waits. Raises OSError when the other end is gone."""
        try:
            data = self._socket.recv(LARGEST_PACKET)
        except BlockingIOError:
            return None
        if not data:
            raise ConnectionResetError("the other end is gone")
        return data

    def close(self) -> None:
        """Close this end. Repeating it does nothing."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def device_pair(mtu: int = 1500) -> tuple[PairDevice, PairDevice]:
    """Two joined ends; `mtu` in bytes."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
    return PairDevice(ends[0], "pair0", mtu), PairDevice(ends[1], "pair1", mtu)
