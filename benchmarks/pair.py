"""Two stacks joined in memory, driven by hand: what the benchmarks of engine and stack stand on."""

import random
from functools import partial

from synfin.device.base import Device
from synfin.device.memory import memory_link
from synfin.engine.config import MICROSECOND, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.listener import Listener
from synfin.engine.segment import Outgoing
from synfin.stack.stack import Stack

PORT = 80


class Nowhere(Device):
    """Takes packets and forgets them."""

    __slots__ = ("sent",)

    def __init__(self, mtu: int = 1500) -> None:
        super().__init__(mtu, gso=True, checksum=False)
        self.sent = 0

    def send(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        self.sent += 1


class Pair:
    """A client with many addresses and a server at one; `now` in ns moves by a microsecond each time packets cross."""

    def __init__(self, config: TcpConfig | None = None, clients: int = 1) -> None:
        self.now = 0
        self.config = config or TcpConfig()
        self.addresses = [(0x0A010000 + n).to_bytes(4, "big") for n in range(1, clients + 1)]
        self.server_address = bytes((10, 0, 0, 1))
        self.ends = memory_link()
        self.client = self._stack(self.addresses, self.ends[0])
        self.server = self._stack([self.server_address], self.ends[1])
        for device, stack in zip(self.ends, (self.client, self.server), strict=True):
            device.receiver = partial(stack.receive_packet, verify=False)
        self.listener: Listener = self.server.listen((None, PORT), 4096, self.now)

    def _stack(self, addresses: list[bytes], device: Device) -> Stack:
        return Stack(
            addresses=addresses, config=self.config, device=device, clock=lambda: self.now, secret=bytes(16),
            random=random.Random(1), time_wait_limit=1 << 20,
        )  # fmt: skip

    def settle(self) -> None:
        """Carry packets to and fro until there are none."""
        while True:
            self.client.transmit(self.now)
            self.server.transmit(self.now)
            if not self.ends[0].outbox and not self.ends[1].outbox:
                return
            self.now += MICROSECOND
            self.ends[0].deliver(self.now)
            self.ends[1].deliver(self.now)

    def connect(self, client: int = 0) -> tuple[Connection, Connection]:
        """An established connection from the client's address number `client`: its two sides."""
        here = self.client.connect((self.addresses[client], 0), (self.server_address, PORT), self.now)
        self.settle()
        there = self.listener.accept(self.now)
        assert there is not None
        return here, there
