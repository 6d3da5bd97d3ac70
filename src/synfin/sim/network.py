"""The network between the hosts: nodes, addresses, links, and which way a packet takes.

Owns the fabric. Hosts know no routing, the fabric routes: by the fewest links, the ways of equal length in the order in which
the links were made. Routes do not change when a link is cut: what takes a cut link is lost. Knows hosts as nodes with
addresses; knows nothing of TCP.
"""

import difflib
import ipaddress
from collections import deque
from collections.abc import Iterable
from typing import Any

from synfin.engine.errors import UsageError
from synfin.sim.clock import Clock
from synfin.sim.line import Direction, Item, Ledger, Node, StreamOf, bytes_of
from synfin.sim.link import Link


def packed(address: str | bytes) -> bytes:
    """The 4 or 16 bytes of an address; raises UsageError for what is none."""
    if isinstance(address, bytes) and len(address) in (4, 16):
        return address
    try:
        return ipaddress.ip_address(address).packed
    except ValueError:
        raise UsageError(f"{address!r} is not an IPv4 or IPv6 address") from None


def destination_of(item: Item) -> bytes:
    """The address a packet is for; empty when it is too short to tell."""
    data = bytes_of(item)
    if not data:
        return b""
    return data[16:20] if data[0] >> 4 == 4 else data[24:40]


class Switch(Node):
    """A node that only passes packets on, as they are."""

    def __init__(self, name: str, network: "Network") -> None:
        super().__init__(name)
        self._network = network

    def take(self, items: list[Item]) -> None:
        for item in items:
            self._network.forward(self, item)


class Network:
    """The fabric of one world. `lost` counts packets by the cause of their loss."""

    def __init__(self, clock: Clock, stream: StreamOf) -> None:
        self.clock = clock
        self.ledger = Ledger(clock)
        self.nodes: dict[str, Node] = {}
        self.links: list[Link] = []
        self.addresses: dict[bytes, Node] = {}
        self.elsewhere: Node | None = None  # who is reached by every address that no node has
        self._stream = stream
        self._ways: dict[str, list[Direction]] = {}  # node -> what leads away from it
        self._routes: dict[str, dict[bytes, Direction | None]] = {}

    @property
    def lost(self) -> dict[str, int]:
        """How many packets were lost, by cause."""
        return self.ledger.lost

    def add(self, node: Node, addresses: Iterable[bytes] = ()) -> None:
        """Take in a node; raises UsageError when its name or an address is taken."""
        if node.name in self.nodes:
            raise UsageError(f"there is a node {node.name!r} already")
        for address in addresses:
            if address in self.addresses:
                raise UsageError(f"{ipaddress.ip_address(address)} belongs to {self.addresses[address].name!r}")
            self.addresses[address] = node
        self.nodes[node.name] = node
        self._ways[node.name] = []
        self._routes[node.name] = {}

    def node(self, node: str | Node) -> Node:
        """The node of that name; raises UsageError, which names the nearest, when there is none."""
        name = node if isinstance(node, str) else node.name
        found = self.nodes.get(name)
        if found is not None:
            return found
        near = difflib.get_close_matches(name, list(self.nodes), n=1, cutoff=0)
        raise UsageError(f"no host {name!r}" + (f"; nearest: {near[0]!r}" if near else "; make it with world.host"))

    def link(self, first: str | Node, second: str | Node, **parameters: Any) -> Link:
        """Join two nodes; for the parameters see World.link."""
        a, b = self.node(first), self.node(second)
        if a is b:
            raise UsageError(f"a link joins two different nodes, not {a.name!r} with itself")
        ordinal = 1 + sum({link.first, link.second} == {a, b} for link in self.links)
        link = Link(a, b, self.ledger, self._stream, ordinal=ordinal, **parameters)
        self.links.append(link)
        self._ways[a.name].append(link.forward)
        self._ways[b.name].append(link.backward)
        for routes in self._routes.values():
            routes.clear()
        return link

    def degree(self, node: Node) -> int:
        """How many links end at `node`."""
        return len(self._ways[node.name])

    def mtu(self, node: Node) -> int:
        """The largest packet that every link of `node` takes, bytes; 65,535 where there is none."""
        return min((way.mtu for way in self._ways[node.name]), default=65_535)

    def route(self, node: Node, address: bytes) -> Direction | None:
        """The direction by which a packet for `address` leaves `node`; None when nothing leads there.

        Nothing leads from a host to itself either: a stack keeps what it sends to itself.
        """
        routes = self._routes[node.name]
        if address not in self.addresses:  # there may be many: a flood makes them up
            address = b""
        if address in routes:
            return routes[address]
        goal = self.addresses.get(address, self.elsewhere)
        way = routes[address] = None if goal is None or goal is node else self._search(node, goal)
        return way

    def _search(self, start: Node, goal: Node) -> Direction | None:
        """The first step of a shortest way. Against a simplex link only where nothing else leads, to be lost there."""
        return self._breadth_first(start, goal, False) or self._breadth_first(start, goal, True)

    def _breadth_first(self, start: Node, goal: Node, against_simplex: bool) -> Direction | None:
        seen = {start.name}
        queue: deque[tuple[Node, Direction | None]] = deque([(start, None)])
        while queue:
            node, first = queue.popleft()
            for way in self._ways[node.name]:
                if way.end.name in seen or (way.closed == "simplex" and not against_simplex):
                    continue
                if way.end is goal:
                    return first or way
                seen.add(way.end.name)
                queue.append((way.end, first or way))
        return None

    def routes(self, node: Node) -> dict[bytes, Direction | None]:
        """The routes of `node` found so far, by address; a live view, for who looks one up with each packet."""
        return self._routes[node.name]

    def forward(self, node: Node, item: Item) -> None:
        """Send `item` on from `node`, towards the address it is for."""
        way = self.route(node, destination_of(item))
        if way is None:
            self.ledger.lose(item, "no route")
        else:
            way.carry(item)
