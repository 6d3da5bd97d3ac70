"""A TUN device: whole IP packets to and from the Linux kernel through a file descriptor, without offloads.

Owns the descriptor. Whoever opens it needs CAP_NET_ADMIN; addresses, routes and the namespace that the interface lives in are
given to it from outside (`ip`), the descriptor works on wherever the interface goes. The interface vanishes on close.
"""

import fcntl
import os
from struct import Struct
from typing import Final, Self

from synfin.device.base import Device
from synfin.engine.segment import Outgoing

CONTROL: Final = "/dev/net/tun"
# <linux/if_tun.h>
TUNSETIFF: Final = 0x400454CA
IFF_TUN: Final = 0x0001
IFF_NO_PI: Final = 0x1000  # no packet information before the IP header

_IFREQ: Final = Struct("16sH22x")
LONGEST_NAME: Final = 15  # IFNAMSIZ less the closing zero
LARGEST_PACKET: Final = 65_535


class TunDevice(Device):
    """Makes the interface `name` (at most 15 bytes; a `%d` in it is a number of the kernel's choice) and holds it.

    `mtu` is what the stack is told; the interface's own is 1500 until `ip link set mtu` changes it. Raises OSError when there
    is no TUN here, no right to it, or the interface is taken; ValueError for a name that is too long.
    """

    __slots__ = ("_fd", "name", "refused")

    def __init__(self, name: str = "synfin%d", mtu: int = 1500) -> None:
        super().__init__(mtu)
        wanted = name.encode()
        if len(wanted) > LONGEST_NAME:
            raise ValueError(f"an interface's name has at most {LONGEST_NAME} bytes: {name!r}")
        self.refused: int = 0  # packets that the kernel did not take
        self._fd: int = os.open(CONTROL, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            answer = fcntl.ioctl(self._fd, TUNSETIFF, _IFREQ.pack(wanted, IFF_TUN | IFF_NO_PI))
        except BaseException:
            self.close()
            raise
        self.name: str = _IFREQ.unpack(answer)[0].rstrip(b"\0").decode()

    def fileno(self) -> int:
        """The descriptor, readable when a packet waits; -1 once closed."""
        return self._fd

    def send(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        """Give `packet` to the kernel. What it does not take (a full queue, an interface that is down) is lost and counted in
        `refused`, as on any link: TCP sends it again.
        """
        try:
            os.write(self._fd, packet)
        except OSError:
            self.refused += 1

    def receive(self) -> bytes | None:
        """The next packet from the kernel, None when none waits. Raises OSError when the interface is gone."""
        try:
            return os.read(self._fd, LARGEST_PACKET)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Give the interface back. Repeating it does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
