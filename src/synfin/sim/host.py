"""A simulated host: one stack, its network card, and the one timer that wakes it.

Owns how a stack is served (receive, transmit, timers), what becomes of it in a crash, and packets that are put on the network
or taken from it by hand. Knows no routing: what leads where is the network's.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from synfin.device.base import Device
from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.errors import UsageError
from synfin.engine.observe import Observer
from synfin.engine.segment import FLAG_NAMES, Outgoing
from synfin.sim.clock import nanoseconds
from synfin.sim.line import Item, Node, Packet, bytes_of
from synfin.sim.network import Network, destination_of, packed
from synfin.sim.program import Raw, Socket
from synfin.sim.randoms import Streams
from synfin.sim.tasks import HostCrashed, Scheduler, Task, Wait, wake_all
from synfin.sockets.blocking import Waits
from synfin.sockets.host import Host
from synfin.stack.stack import Stack
from synfin.wire.packet import build_packet

UP: Final = "up"
DOWN: Final = "down"
LOOPBACK: Final = (bytes((127, 0, 0, 1)), bytes(15) + b"\1")  # every host's own, never on the network
SILENT: Final = "silent"

Isn = Callable[["SimHost", bytes, int], int]  # host, key, now -> initial sequence number


class Nic(Device):
    """The card of one boot of a host. A stack that did not survive a crash keeps a dead card."""

    def __init__(self, host: "SimHost", network: Network, checksum: bool) -> None:
        super().__init__(network.mtu(host), checksum=checksum)
        self.plain = False  # packets may take the short way: nobody looks and nothing is wrong
        self._host = host
        self._routes = network.routes(host)

    def send(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        """Put `packet` on the way to the remote address in `key`."""
        if self.plain:
            way = self._routes.get(key[:4] if len(key) == 12 else key[:16])
            if way is not None:
                way.carry(packet)
                return
        if self._host.nic is self:
            self._host.send(packet, out)


class SimHost(Node, Host):
    """A host of a world; made by World.host. Times are in seconds.

    `state` is "up", "down" or "silent". `stack` is the present one: a crash loses it and a restart makes a new one.
    """

    def __init__(
        self,
        name: str,
        addresses: tuple[bytes, ...],
        network: Network,
        streams: Streams,
        config: TcpConfig,
        *,
        checksums: bool,
        observer: Observer | None,
        isn: Isn,
        scheduler: Scheduler,
    ) -> None:
        Node.__init__(self, name)
        self.addresses = addresses
        families = {len(address) for address in addresses}
        self._loopback = tuple(own for own in LOOPBACK if len(own) in families and own not in addresses)
        self.config = config
        self.state = UP
        self.boots = 0
        self.plain = False  # as Nic.plain, for what arrives
        self.on_crash: list[Callable[[], None]] = []
        self._network = network
        self._clock = network.clock
        self._ledger = network.ledger
        self._streams = streams
        self._checksums = checksums
        self._observer = observer
        self._isn = isn
        self._scheduler = scheduler
        self.sockets: dict[Socket, None] = {}  # open ones, oldest first, of programs on the simulator's own API
        self._sleepers: dict[Wait, None] = {}
        self._programs: dict[Task, None] = {}
        self._diverted: Callable[[bytes], None] | None = None
        self._armed = NEVER  # when the host's timer will come
        network.add(self, addresses)
        self._boot()
        self.refresh()

    def _boot(self) -> None:
        self.boots += 1
        self.nic = Nic(self, self._network, self._checksums)
        self.stack = Stack(
            addresses=(*self.addresses, *self._loopback),
            config=self.config,
            device=self.nic,
            clock=self.now,
            secret=self._streams.derive(f"secret:{self.name}:{self.boots}"),
            random=self._streams(f"ports:{self.name}"),
            observer=self._observer,
            wake=self._arm,
            isn=lambda key, now: self._isn(self, key, now),
        )
        self._armed = NEVER

    def refresh(self) -> None:
        """Take notice of new links, taps and of what befell this host."""
        self.nic.mtu = self._network.mtu(self)
        busy = self._ledger.taps or self._diverted is not None or self._network.degree(self) > 1
        self.plain = self.nic.plain = self.state == UP and not busy

    @property
    def waits(self) -> Waits | None:
        """See Host."""
        return self._scheduler.threads

    @waits.setter
    def waits(self, waits: Waits | None) -> None:
        raise UsageError("a simulated host's calls wait as the world lets them")

    def now(self) -> int:
        """The world's time in nanoseconds."""
        return self._clock.now

    def resolve(self, name: str) -> list[bytes]:
        """The packed addresses of a host's name, of `localhost` (127.0.0.1 and ::1, which every host has for itself), or of an
        address in text; [] when there is no such name."""
        if name in ("localhost", ""):
            return [own for own in LOOPBACK if own in self.addresses or own in self._loopback]
        node = self._network.nodes.get(name)
        if isinstance(node, SimHost):
            return list(node.addresses)
        try:
            return [packed(name)]
        except UsageError:
            return []

    def names(self) -> list[str]:
        """See Host."""
        return [node.name for node in self._network.nodes.values() if isinstance(node, SimHost)]

    def reaches(self, address: bytes) -> bool:
        """See Host. An address that no host has is one that never answers; a host without a link was forgotten."""
        node = None if address in self._loopback else self._network.addresses.get(address)
        return node is None or node is self or self._network.route(self, address) is not None

    @property
    def down(self) -> bool:
        """Whether the host has crashed and was not restarted."""
        return self.state == DOWN

    # For programs on the simulator's own API

    def socket(self, version: int = 4) -> Socket:
        """A new TCP socket for IP version 4 or 6."""
        if self.down:
            raise HostCrashed(f"{self.name} has crashed")
        return Socket(self, version)

    def raw(self) -> Raw:
        """Take all packets that arrive from now on, past the stack, to answer them by `inject`."""
        return Raw(self)

    async def sleep(self, seconds: float) -> None:
        """Wait for so long."""
        until = self._clock.now + nanoseconds(seconds, "seconds")
        await Wait(self._sleepers, f"the end of a sleep at {self.name}", until, quiet=True)

    def spawn(self, program: Coroutine[Any, Any, Any], name: str = "", *, background: bool = False) -> Task:
        """As World.spawn, for a program that ends when this host crashes."""
        task = self._scheduler.spawn(program, name, background)
        task.among = self._programs
        self._programs[task] = None
        return task

    def name_of(self, address: bytes) -> str:
        """The name of the host that has this packed address, "" where none has it."""
        if address in self._loopback:
            return "localhost"
        node = self._network.addresses.get(address)
        return "" if node is None else node.name

    # Serving the stack

    def take(self, items: list[Item]) -> None:
        """Packets that arrive now. The stack transmits after each, as a host does whose packets come one by one."""
        if not self.plain:
            self._take_with_care(items)
            return
        now = self._clock.now
        stack = self.stack
        verify = self._checksums
        for item in items:
            if type(item) is bytes:
                stack.receive_packet(item, now, verify=verify)
            else:
                stack.receive_packet(bytes_of(item), now, verify=True)
            stack.transmit(now)
        self._arm()

    def _take_with_care(self, items: list[Item]) -> None:
        for item in items:
            if self.state != UP:
                self._ledger.lose(item, "silent" if self.state == SILENT else "host down")
            elif self._network.degree(self) > 1 and destination_of(item) not in self.addresses:
                self._network.forward(self, item)
            else:
                self._take_one(item)

    def _take_one(self, item: Item) -> None:
        now = self._clock.now
        data = bytes_of(item)
        damaged = isinstance(item, Packet) and item.damaged
        self._ledger.delivered(self.name, item)
        if self._diverted is not None:
            self._diverted(data)
            return
        self.stack.receive_packet(data, now, verify=self._checksums or damaged)
        self.stack.transmit(now)
        self._arm()

    def _arm(self) -> None:
        """See to it that the host's timer comes in time; one that comes too early finds nothing to do."""
        deadline = self.stack.next_deadline()
        if deadline < self._armed:
            self._armed = deadline = max(deadline, self._clock.now)
            self._clock.schedule(deadline, self._timer, (deadline, self.stack))

    def _timer(self, when: int, stack: Stack) -> None:
        if when != self._armed or stack is not self.stack:
            return  # an earlier one has taken its place, or the host has crashed
        self._armed = NEVER
        stack.handle_timers(when)
        stack.transmit(when)
        self._arm()

    # Sending

    def send(self, packet: bytes, out: Outgoing | None) -> None:
        """Put a packet on the network, watched; `out` is what the engine meant by it."""
        destination = destination_of(packet)
        way = self._network.route(self, destination)
        node = self._network.addresses.get(destination)
        item = self._ledger.sent(self.name, "" if node is None else node.name, packet, out)
        if self.state != UP:
            self._ledger.lose(item, "silent" if self.state == SILENT else "host down")
        elif way is None:
            self._ledger.lose(item, "no route")
        else:
            way.carry(item)

    def inject(
        self,
        to: "str | bytes | SimHost",
        *,
        source_port: int,
        destination_port: int,
        flags: int | str,
        seq: int = 0,
        ack: int = 0,
        window: int = 65_535,
        payload: bytes = b"",
        source: str | bytes | None = None,
        urgent: int = 0,
        mss: int = -1,
    ) -> bytes:
        """Put a segment of one's own making on the network from this host, past its stack; returns the packet.

        `flags` are engine.segment's bits or names (`"SYN,ACK"`); `source` may be any address, as a forger's is.
        """
        remote = self._address_of(to)
        local = self._own_address(len(remote)) if source is None else packed(source)
        if len(local) != len(remote):
            raise UsageError("source and destination are of one IP version")
        out = Outgoing(seq, ack, flags_of(flags), window, 0, payload)
        out.urgent, out.mss = urgent, mss
        ports = destination_port.to_bytes(2, "big") + source_port.to_bytes(2, "big")
        packet = build_packet(remote + local + ports, out, identification=0)
        self.send(packet, None)
        return packet

    def inject_packet(self, packet: bytes) -> None:
        """Put any bytes on the network from this host, towards the address that stands in them."""
        self.send(packet, None)

    def divert(self, taker: Callable[[bytes], None] | None) -> None:
        """Give every packet that arrives to `taker` instead of the stack; None gives them to the stack again."""
        self._diverted = taker
        self.refresh()

    def _address_of(self, to: "str | bytes | SimHost") -> bytes:
        if isinstance(to, SimHost):
            return to.addresses[0]
        if isinstance(to, bytes):
            return packed(to)
        found = self.resolve(to)
        if not found:
            raise UsageError(f"no host {to!r}")
        return found[0]

    def _own_address(self, size: int) -> bytes:
        for address in self.addresses:
            if len(address) == size:
                return address
        raise UsageError(f"{self.name} has no IPv{4 if size == 4 else 6} address")

    # What may befall a host

    def crash(self, *, at: float | None = None) -> None:
        """The stack is gone with all its connections, now or at `at` seconds; nobody is told, no FIN is sent."""
        self._when(at, self._crash)

    def restart(self, *, at: float | None = None) -> None:
        """After a crash: a new, empty stack with the same addresses."""
        self._when(at, self._restart)

    def silence(self, *, at: float | None = None) -> None:
        """Nothing is heard of the host and it hears nothing, though it lives and is not told."""
        self._when(at, self._silence)

    def speak(self, *, at: float | None = None) -> None:
        """End the silence."""
        self._when(at, self._speak)

    def _when(self, at: float | None, act: Callable[[], None]) -> None:
        if at is None:
            act()
            return
        when = nanoseconds(at, "at")
        if when < self._clock.now:
            raise UsageError(f"{at} s have passed already")
        self._clock.call_at(when, act)

    def _crash(self) -> None:
        if self.state == DOWN:
            raise UsageError(f"{self.name} is down already")
        self.nic.plain = False
        self.nic = Nic(self, self._network, self._checksums)  # the old stack's card is dead from here on
        self._become(DOWN, "host crashed")
        error = HostCrashed(f"{self.name} has crashed")
        for task in list(self._programs):
            task.cancel(error)
        for held in list(self.sockets):
            held.crashed()
        self.sockets.clear()
        wake_all(self._sleepers, error)
        for told in list(self.on_crash):
            told()

    def _restart(self) -> None:
        if self.state != DOWN:
            raise UsageError(f"{self.name} is not down")
        self._boot()
        self._become(UP, "host restarted")

    def _silence(self) -> None:
        if self.state != UP:
            raise UsageError(f"{self.name} is {self.state} already")
        self._become(SILENT, "host silent")

    def _speak(self) -> None:
        if self.state != SILENT:
            raise UsageError(f"{self.name} is not silent")
        self._become(UP, "host speaks")

    def _become(self, state: str, what: str) -> None:
        self.state = state
        self.refresh()
        self._ledger.fault(what, self.name)


def flags_of(flags: int | str) -> int:
    """The control bits meant by names with commas, or by the bits themselves; raises UsageError for an unknown name."""
    if isinstance(flags, int):
        return flags
    known = {name: bit for bit, name in FLAG_NAMES}
    bits = 0
    for name in flags.replace(" ", "").upper().split(","):
        if name not in known and name not in ("", "NONE"):
            raise UsageError(f"no flag {name!r}; flags are {', '.join(known)}")
        bits |= known.get(name, 0)
    return bits
