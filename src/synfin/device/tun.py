"""A TUN device: whole IP packets to and from the Linux kernel through a file descriptor, with its offloads where it has them.

Owns the descriptor. Whoever opens it needs CAP_NET_ADMIN; addresses, routes and the namespace that the interface lives in are
given to it from outside (`ip`), the descriptor works on wherever the interface goes. The interface vanishes on close.

With offload (IFF_VNET_HDR, TUNSETOFFLOAD) up to 64 KB of one connection cross the descriptor at once, and TCP checksums that
no wire will see are not computed: one read or write does the work of 45.
"""

import errno
import fcntl
import os
import socket
from contextlib import suppress
from struct import Struct
from typing import Final, Self

from synfin.device.base import DescriptorDevice
from synfin.engine.segment import Buffer, Outgoing
from synfin.wire import vnet

CONTROL: Final = "/dev/net/tun"
# <linux/if_tun.h>
TUNSETIFF: Final = 0x400454CA
TUNGETIFF: Final = 0x800454D2
TUNSETOFFLOAD: Final = 0x400454D0
TUNSETVNETHDRSZ: Final = 0x400454D8
IFF_TUN: Final = 0x0001
IFF_NO_PI: Final = 0x1000  # no packet information before the IP header
IFF_VNET_HDR: Final = 0x4000  # a virtio-net header there
TUN_F_CSUM: Final = 0x01
TUN_F_TSO4: Final = 0x02
TUN_F_TSO6: Final = 0x04
ALL_OFFLOADS: Final = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6
# <linux/sockios.h>
SIOCGIFFLAGS: Final = 0x8913
SIOCGIFADDR: Final = 0x8915
SIOCGIFMTU: Final = 0x8921
SIOCSIFMTU: Final = 0x8922
SIOCSIFTXQLEN: Final = 0x8943
IFF_UP: Final = 0x0001  # <linux/if.h>

_IFREQ: Final = Struct("16sH22x")
_IFREQ_NUMBER: Final = Struct("16si20x")
_INT: Final = Struct("i")
LONGEST_NAME: Final = 15  # IFNAMSIZ less the closing zero
LARGEST_PACKET: Final = 65_535
LARGEST_READ: Final = LARGEST_PACKET + vnet.LENGTH
QUEUE: Final = 10_000  # packets that wait in the interface; Linux's 500 overflow within a millisecond at full rate
NO_SUCH_FLAG: Final = (errno.EINVAL, errno.EOPNOTSUPP)
COPY_BELOW: Final = 4096  # bytes: below, a copy costs less than a view or a second buffer


class TunDevice(DescriptorDevice):
    """Makes the interface `name` (at most 15 bytes; a `%d` in it is a number of the kernel's choice) and holds it.

    `mtu` is given to the interface as well, `queue` is how many packets may wait in it. With `offload` the device asks for
    super-segments and partial checksums; what the kernel refuses is left off, and `without` says in words what and why.
    Raises OSError when there is no TUN here, no right to it, or the interface is taken; ValueError for a name that is too
    long.
    """

    __slots__ = ("_fd", "refused", "vnet", "without")

    def __init__(self, name: str = "synfin%d", mtu: int = 1500, *, offload: bool = True, queue: int = QUEUE) -> None:
        self._attach(name, mtu, offload)
        self._configure(SIOCSIFTXQLEN, queue)
        self._configure(SIOCSIFMTU, mtu)

    @classmethod
    def existing(cls, name: str, *, offload: bool = True) -> Self:
        """A device on the TUN interface `name` that is there already, made and configured by somebody else, with its own MTU;
        it outlives the device if it was made persistent.

        Raises OSError as the class does, and when there is no such interface (ENODEV) or it is none of ours to attach to.
        """
        mtu = _IFREQ_NUMBER.unpack(_ask(SIOCGIFMTU, name))[1]
        device = cls.__new__(cls)
        device._attach(name, mtu, offload)
        return device

    def _attach(self, name: str, mtu: int, offload: bool) -> None:
        wanted = _wanted(name)
        fd = os.open(CONTROL, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        without = "" if offload else "offload is turned off"
        try:
            try:
                answer = fcntl.ioctl(fd, TUNSETIFF, _IFREQ.pack(wanted, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR * offload))
            except OSError as error:
                if not offload or error.errno not in NO_SUCH_FLAG:
                    raise
                without = f"this kernel's TUN has no virtio-net header ({error.strerror})"
                answer = fcntl.ioctl(fd, TUNSETIFF, _IFREQ.pack(wanted, IFF_TUN | IFF_NO_PI))
            self._start(fd, answer, mtu, without)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def from_fd(cls, fd: int, mtu: int = 1500, *, offload: bool = True) -> Self:
        """A device around `fd`, an open TUN descriptor with its interface attached (made elsewhere, with IFF_NO_PI, passed
        over a Unix socket for example). It is the device's from now on, set not to block and closed with it; after an
        exception it is still the caller's.

        Whether offload is possible depends on the IFF_VNET_HDR that it was made with. `mtu` is the interface's. Raises OSError
        when `fd` is no TUN descriptor, ValueError when its packets come with packet information.
        """
        answer = fcntl.ioctl(fd, TUNGETIFF, bytes(_IFREQ.size))
        flags = _IFREQ.unpack(answer)[1]
        if not flags & IFF_NO_PI:
            raise ValueError("the TUN was made without IFF_NO_PI")
        os.set_blocking(fd, False)
        device = cls.__new__(cls)
        without = ""
        if not offload:
            without = "offload is turned off"
        elif not flags & IFF_VNET_HDR:
            without = "the TUN was made without IFF_VNET_HDR"
        device._start(fd, answer, mtu, without)
        return device

    def _start(self, fd: int, answer: bytes, mtu: int, without: str) -> None:
        """`answer` is the interface request as the kernel filled it in."""
        name, flags = _IFREQ.unpack(answer)
        self.vnet: bool = bool(flags & IFF_VNET_HDR)  # ten bytes stand before each packet
        if self.vnet:
            fcntl.ioctl(fd, TUNSETVNETHDRSZ, _INT.pack(vnet.LENGTH))
            without = _set_offloads(fd, 0 if without else ALL_OFFLOADS) or without
        DescriptorDevice.__init__(self, mtu, gso=not without, checksum=bool(without))
        self.name = name.rstrip(b"\0").decode()
        self.builds = not without
        self.without: str = without
        self.refused: int = 0  # packets that the kernel did not take
        self._fd: int = fd

    def _configure(self, request: int, value: int) -> None:
        """Set a number of the interface's. One that has gone to another namespace is given it there, by whoever took it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel, suppress(OSError):
            fcntl.ioctl(channel, request, _IFREQ_NUMBER.pack(self.name.encode(), value))

    def is_up(self) -> bool:
        """Whether the interface, in this process's own network, is up."""
        return bool(_IFREQ.unpack(_ask(SIOCGIFFLAGS, self.name))[1] & IFF_UP)

    def has_address(self) -> bool:
        """Whether the interface, in this process's own network, has an IPv4 address."""
        try:
            _ask(SIOCGIFADDR, self.name)
        except OSError:
            return False
        return True

    def disable_offload(self, why: str) -> None:
        """See DescriptorDevice; `without` says `why`. Does nothing where it is off already."""
        if self.builds:
            _set_offloads(self._fd, 0)
            self.gso = self.builds = False
            self.checksum = True
            self.without = why

    @property
    def offload(self) -> bool:
        """Whether super-segments and partial checksums cross the descriptor."""
        return self.builds

    def fileno(self) -> int:
        """The descriptor, readable when a packet waits; -1 once closed."""
        return self._fd

    def send(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        """Give `packet` to the kernel. What it does not take (a full queue, an interface that is down) is lost and counted in
        `refused`, as on any link: TCP sends it again.
        """
        try:
            os.write(self._fd, vnet.PLAIN + packet if self.vnet else packet)
        except OSError:
            self.refused += 1

    def transmit(self, key: bytes, out: Outgoing, identification: int, ttl: int = 64) -> None:
        """See Device; with offload. The payload goes from where it lies, without a copy in between."""
        headers = vnet.build_headers(key, out, identification=identification, ttl=ttl)
        payload = out.payload
        try:
            if len(payload) < COPY_BELOW:
                os.write(self._fd, headers + payload if payload else headers)
            else:
                os.writev(self._fd, (headers, payload))
        except OSError:
            self.refused += 1

    def receive(self) -> Buffer | None:
        """The next packet from the kernel, None when none waits; `verified` and `gso_size` are about it. Raises OSError when
        the interface is gone.
        """
        try:
            data = os.read(self._fd, LARGEST_READ)
        except BlockingIOError:
            return None
        if not self.vnet:
            return data
        self.verified, self.gso_size = vnet.read_header(data)
        return data[vnet.LENGTH :] if len(data) < COPY_BELOW else memoryview(data)[vnet.LENGTH :]

    def close(self) -> None:
        """Give the interface back. Repeating it does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _wanted(name: str) -> bytes:
    wanted = name.encode()
    if len(wanted) > LONGEST_NAME:
        raise ValueError(f"an interface's name has at most {LONGEST_NAME} bytes: {name!r}")
    return wanted


def _ask(request: int, name: str) -> bytes:
    """What this process's network says of interface `name`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        return fcntl.ioctl(channel, request, _IFREQ_NUMBER.pack(_wanted(name), 0))


def _set_offloads(fd: int, wanted: int) -> str:
    """Ask for `wanted`; returns why not, "" when all of them are on. Then none is, but the header stays."""
    try:
        fcntl.ioctl(fd, TUNSETOFFLOAD, wanted)  # by value
    except OSError as error:
        return f"the kernel refuses segmentation offload ({error.strerror})"
    return ""
