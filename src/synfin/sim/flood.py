"""A SYN flood, in simulation only: SYNs at a rate, from addresses that their sender does not have.

Owns who the forged SYNs claim to come from, when they go, and the few hosts behind those addresses that exist and answer a
SYN,ACK which they never asked for with RST (RFC 9293 3.5.1). Stands in the network as one node, the way to every address that
no host has. Knows nothing of what its target does with the SYNs.
"""

import ipaddress
from collections.abc import Callable
from random import Random
from typing import Final

from synfin.engine.config import SECOND
from synfin.engine.errors import UsageError
from synfin.engine.segment import RST, SYN, Outgoing
from synfin.sim.clock import nanoseconds
from synfin.sim.faults import SeenPacket, rate
from synfin.sim.line import Item, Node, bytes_of
from synfin.sim.network import Network
from synfin.stack.addresses import is_host
from synfin.wire.packet import build_packet

FIRST_PORT: Final = 1024
FASTEST: Final = 10_000_000.0  # SYNs a second
WINDOW: Final = 65_535
MSS: Final = 1460

Addresses = ipaddress.IPv4Network | ipaddress.IPv6Network


def _prefix(sources: str, version: int) -> Addresses:
    """The addresses meant by "random", a prefix or one address; raises UsageError."""
    if sources == "random":
        return ipaddress.ip_network("0.0.0.0/0" if version == 4 else "2000::/3")
    try:
        found = ipaddress.ip_network(sources, strict=False)
    except ValueError:
        raise UsageError(f'sources is "random", a prefix (198.51.100.0/24) or one address, not {sources!r}') from None
    if found.version != version:
        raise UsageError(f"sources {sources} is not of the target's IP version, {version}")
    return found


class Flood(Node):
    """SYNs to `target` (a packed address) and `port`; World.flood makes it. `sent` counts SYNs, `resets` the RSTs of hosts
    that exist, `heard` the packets that came back.

    `real(address)` tells which addresses a host of the run has: they are never forged.
    """

    def __init__(
        self, name: str, network: Network, stream: Random, real: Callable[[bytes], bool], *,
        target: bytes, port: int, sources: str, rate_: float, answering: float, options: bool,
    ) -> None:  # fmt: skip
        super().__init__(name)
        if not 0 < rate_ <= FASTEST:
            raise UsageError(f"rate is above 0 and at most {FASTEST:,.0f} SYNs a second, not {rate_!r}")
        if not 0 < port <= 65_535:
            raise UsageError(f"no port {port}")
        self.sent = 0
        self.resets = 0
        self.heard = 0
        self._network = network
        self._stream = stream
        self._real = real
        self._target = target
        self._port = port.to_bytes(2, "big")
        self._prefix = _prefix(sources, 4 if len(target) == 4 else 6)
        self._answering = rate(answering, "answering")
        self._options = options
        self._rate = rate_
        self._begins = self._ends = 0
        self._number = 0

    def run(self, at: int, duration: int) -> None:
        """Send from `at` on for `duration`, both ns of the world's clock."""
        self._begins, self._ends = at, at + duration
        self._network.clock.schedule(at, self._send, (0,))

    def take(self, items: list[Item]) -> None:
        """What comes back to forged addresses: few of them have a host, and that one resets."""
        for item in items:
            self.heard += 1
            self._network.ledger.delivered(self.name, item)
            packet = SeenPacket(bytes_of(item))
            if packet.ack_set and not packet.rst and self._exists(packet.destination):
                self.resets += 1
                key = self._key(packet.destination, packet.destination_port)
                self._put(build_packet(key, Outgoing(packet.ack, 0, RST, 0, 0), identification=0))

    def _exists(self, address: bytes) -> bool:
        """Whether a host answers there; the same for one address each time."""
        if self._answering in (0.0, 1.0):
            return self._answering == 1.0
        share = int.from_bytes(address, "big") * 2654435761 % (1 << 32) / (1 << 32)  # Knuth's multiplicative hash
        return share < self._answering

    def _send(self, count: int) -> None:
        stream = self._stream
        out = Outgoing(stream.getrandbits(32), 0, SYN, WINDOW, 0)
        out.mss = MSS
        if self._options:
            out.wscale, out.sack_permitted, out.has_timestamps = 7, True, True
            out.tsval = stream.getrandbits(32)
        key = self._key(self._source(), stream.randrange(FIRST_PORT, 65_536))
        self.sent += 1
        self._put(build_packet(key, out, identification=0))
        following = self._begins + int((count + 1) * SECOND / self._rate)
        if following < self._ends:
            self._network.clock.schedule(following, self._send, (count + 1,))

    def _source(self) -> bytes:
        prefix = self._prefix
        size = len(self._target)
        while True:
            offset = self._stream.getrandbits(size * 8 - prefix.prefixlen) if prefix.num_addresses > 1 else 0
            address = (int(prefix.network_address) + offset).to_bytes(size, "big")
            if prefix.num_addresses == 1 or (is_host(address) and address[0] != 127 and not self._real(address)):
                return address

    def _key(self, source: bytes, port: int) -> bytes:
        return self._target + source + self._port + port.to_bytes(2, "big")

    def _put(self, packet: bytes) -> None:
        """On the way to the target, watched as any other packet."""
        network = self._network
        way = network.route(self, self._target)
        item = network.ledger.sent(self.name, network.addresses[self._target].name, packet, None)
        if way is None:
            network.ledger.lose(item, "no route")
        else:
            way.carry(item)


def flood_times(at: float | None, duration: float, now: int) -> tuple[int, int]:
    """Beginning and duration in ns from seconds; raises UsageError for times that are past or none."""
    begins = now if at is None else nanoseconds(at, "at")
    if begins < now:
        raise UsageError(f"{at} s have passed already")
    if not duration > 0:
        raise UsageError(f"duration is above 0 seconds, not {duration!r}")
    return begins, nanoseconds(duration, "duration")
