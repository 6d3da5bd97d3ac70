"""What the tests of links share: two nodes that note what arrives when, and packets to send between them."""

from synfin.engine.segment import ACK, Outgoing
from synfin.sim.clock import Clock
from synfin.sim.line import Direction, Item, Ledger, Node, bytes_of
from synfin.sim.link import Link
from synfin.sim.randoms import Streams
from synfin.wire.packet import build_packet

KEY = bytes([10, 0, 0, 2, 10, 0, 0, 1]) + (80).to_bytes(2, "big") + (49152).to_bytes(2, "big")
HEADERS = 40


class Sink(Node):
    """Notes (time in ns, packet) of all that arrives."""

    def __init__(self, name: str, clock: Clock) -> None:
        super().__init__(name)
        self.clock = clock
        self.got: list[tuple[int, Item]] = []

    def take(self, items: list[Item]) -> None:
        self.got += [(self.clock.now, item) for item in items]

    @property
    def times(self) -> list[int]:
        return [when for when, _ in self.got]

    @property
    def numbers(self) -> list[int]:
        """The sequence numbers of what arrived."""
        return [number_of(bytes_of(item)) for _, item in self.got]


class Pair:
    """Two nodes and the link between them."""

    def __init__(self, seed: int = 0, **parameters: object) -> None:
        self.clock = Clock()
        self.streams = Streams(seed)
        self.ledger = Ledger(self.clock)
        self.a, self.b = Sink("a", self.clock), Sink("b", self.clock)
        self.link = Link(self.a, self.b, self.ledger, self.streams, **parameters)

    @property
    def forward(self) -> Direction:
        return self.link.forward

    def send(self, *packets: bytes, back: bool = False) -> None:
        for packet in packets:
            (self.link.backward if back else self.link.forward).carry(packet)

    def send_at(self, when: int, *packets: bytes, back: bool = False) -> None:
        for packet in packets:
            self.clock.schedule(when, (self.link.backward if back else self.link.forward).carry, (packet,))

    def run(self, until: int = 1 << 60) -> None:
        self.clock.run(until)


def packet(number: int = 0, size: int = 1000, flags: int = ACK, checksum: bool = False) -> bytes:
    """A packet of `size` bytes in all, told by its sequence number."""
    out = Outgoing(number, 0, flags, 1000, 0, bytes(size - HEADERS))
    return build_packet(KEY, out, identification=0, checksum=checksum)


def number_of(data: bytes) -> int:
    return int.from_bytes(data[24:28], "big")
