"""A network namespace of a test's own, with one TUN interface in it whose descriptor this process holds.

Nothing else is in the namespace: what its programs send comes out of the descriptor, what is written to it they receive. The
machine's own network has no part in it.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from synfin.device.tun import TunDevice

KERNEL = ("10.77.0.1", "fd77::1")  # the namespace's own addresses
OURS = ("10.77.0.2", "fd77::2")  # synfin's, at the other end of the wire


class Namespace:
    """`name` as `ip netns` knows it; `device` is the end that synfin holds of the interface in it."""

    def __init__(self, name: str, device: TunDevice) -> None:
        self.name = name
        self.device = device

    def command(self, *words: str) -> list[str]:
        """What runs the program `words` in the namespace."""
        return ["ip", "netns", "exec", self.name, *words]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=30)


@contextmanager
def namespace(
    *, offload: bool = True, mtu: int = 1500, make: Callable[..., TunDevice] = TunDevice
) -> Iterator[Namespace]:
    """Makes it, and takes it away in any case. Skips where the machine does not allow one."""
    try:
        device = make(mtu=mtu, offload=offload)
    except OSError as error:
        pytest.skip(f"netns: no TUN device: {error}")
    with device:
        name = f"synfin-test-{os.getpid()}-{device.fileno()}"
        try:
            ip("netns", "add", name)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"netns: {error.stderr.strip()}")
        try:
            ip("link", "set", device.name, "netns", name)
            ip("-n", name, "address", "add", f"{KERNEL[0]}/24", "dev", device.name)
            ip("-n", name, "address", "add", f"{KERNEL[1]}/64", "dev", device.name, "nodad")
            ip("-n", name, "link", "set", device.name, "up")
            yield Namespace(name, device)
        finally:
            device.close()  # and with it the interface
            ip("netns", "delete", name)
