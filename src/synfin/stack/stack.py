"""One TCP/IP end: many connections on a few addresses, over one device.

Owns the table of entries, what is sent and what is answered where no entry is (RFC 9293 3.10.7.1), the deadlines, the
limits that span connections. Any number of stacks live in one process and share nothing. Must not know what a connection
does with a segment, how time passes or who reads the data: `now` is an argument (ns), the driver calls, in this order,

    receive_packet, for each packet · handle_timers, when next_deadline has come · transmit, after either

and is woken through `wake` when an application's call has moved the next deadline forward.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from synfin.device.base import Device
from synfin.engine import closed, path
from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.cookies import Cookies
from synfin.engine.counts import ListenerCounts
from synfin.engine.entry import Entry
from synfin.engine.errors import DropReason
from synfin.engine.handshake import initial_sequence_number, timestamp_offset
from synfin.engine.listener import Listener
from synfin.engine.observe import Observer
from synfin.engine.segment import NOT_TCP, RETRANSMISSIONS, RST, SYN, Buffer, Outgoing, Segment
from synfin.engine.state import State, Trigger
from synfin.engine.timewait import TimeWait
from synfin.stack.addresses import (
    IP4_KEY,
    PORT_ZERO,
    is_host,
    local_of,
    local_port_of,
    make_key,
    remote_of,
    text,
)  # fmt: skip
from synfin.stack.counters import Counters, Tally
from synfin.stack.errors import AddressInUse, AddressNotAvailable, InvalidAddress
from synfin.stack.internet import Internet, PathReport
from synfin.stack.listening import Listening, limits
from synfin.stack.ports import EPHEMERAL, Binding, Ports, Random, overlap
from synfin.stack.routes import Paths, choose
from synfin.stack.schedule import Schedule, TimeWaits
from synfin.wire.errors import ParseError
from synfin.wire.packet import build_packet, cut, parse_packet

ESTABLISHED: Final = State.ESTABLISHED
TIME_WAIT: Final = State.TIME_WAIT
ROOM: Final = 1 << 40  # bytes a device takes at once: none of ours says no
MAX_SUPER_SEGMENT: Final = 65_435  # bytes of payload: with 100 of IPv6's and TCP's headers the length field still holds it


class Stack:
    """A TCP/IP end with `addresses` (packed, 4 or 16 bytes each) that sends through `device`.

    `config` is the default of its connections. `clock()` tells the time in ns to those who call from outside a driver.
    `secret` (16 bytes or more) keys initial sequence numbers, timestamps and ports; `random` starts the port sequence.
    `observer` is told everything; `wake()` is called when `next_deadline` has moved forward between the driver's looks at
    it. `isn(key, now)` replaces RFC 6528's numbers, for scenarios. At most `time_wait_limit` entries are in TIME-WAIT;
    packets leave with `ttl` as TTL or hop limit. Raises InvalidAddress for an address that no host has.
    """

    def __init__(
        self, *, addresses: Sequence[bytes], config: TcpConfig, device: Device, clock: Callable[[], int], secret: bytes,
        random: Random, observer: Observer | None = None, wake: Callable[[], None] | None = None,
        isn: Callable[[bytes, int], int] | None = None, time_wait_limit: int = 16_384,
        ephemeral_ports: tuple[int, int] = EPHEMERAL, ttl: int = 64,
    ) -> None:  # fmt: skip
        for address in addresses:
            if len(address) not in (4, 16) or not is_host(address):
                raise InvalidAddress(f"no host can have the address {address.hex(':')}")
        self.addresses: tuple[bytes, ...] = tuple(addresses)
        self.config: TcpConfig = config
        self.device: Device = device
        self.clock: Callable[[], int] = clock
        self.observer: Observer | None = observer
        self.counters: Counters = Counters()
        self.internet: Internet = Internet(addresses, device, self._dropped)
        self.paths: Paths = Paths()
        self.ports: Ports = Ports(secret, random, *ephemeral_ports)
        self._own: frozenset[bytes] = frozenset(addresses)
        self._isn: Callable[[bytes, int], int] = isn or partial(initial_sequence_number, secret)
        self._timestamp_offset: Callable[[bytes], int] = partial(timestamp_offset, secret)
        self._cookies: Cookies = Cookies(secret)
        self._wake: Callable[[], None] | None = wake
        self._tally: Tally = Tally(self.counters, observer)
        self._table: dict[bytes, Entry] = {}
        self._listening: Listening = Listening(addresses, self.ports)
        self._touched: list[Entry] = []
        self._replies: list[tuple[bytes, Outgoing]] = []  # to those who found no socket
        self._out: list[Outgoing] = []
        self._schedule: Schedule = Schedule(self._table)
        self._waits: TimeWaits = TimeWaits(time_wait_limit)
        self._announced: int = NEVER  # what the driver believes to be the next deadline
        self._identification: int = 0
        self._loopback: bool = False  # a connection to ourselves was opened
        self._to_self: deque[bytes] = deque()
        self._from_self: bool = False
        self._ttl: int = ttl

    def _dropped(self, now: int, reason: DropReason) -> None:
        self._tally.dropped(now, b"", reason, None)

    # --- packets in

    def receive_packet(self, buffer: Buffer, now: int, *, verify: bool = True, gso_size: int = 0) -> None:
        """Take one IP packet; changes state, sends nothing. `verify` checks the TCP checksum. With `gso_size` the device has
        merged segments of so many bytes into this one, the last may be shorter.

        Never raises for what stands in `buffer`: what is wrong is dropped and counted.
        """
        try:
            key, segment = parse_packet(buffer, verify=verify)
        except ParseError as error:
            self._receive_other(buffer, error.reason, now, verify)
            return
        if gso_size:
            segment.segments = -(-len(segment.payload) // gso_size)
        self.counters.segments_in += 1
        entry = self._table.get(key)
        if entry is None:
            self._receive_elsewhere(key, segment, now)
            return
        if self.observer is not None:
            self.observer.segment_received(now, key, segment)
        if entry.state is TIME_WAIT and isinstance(entry, TimeWait):
            self._receive_late(entry, segment, now)
            return
        entry.receive(segment, now)
        if not entry.touched:
            entry.touched = True
            self._touched.append(entry)

    def _receive_other(self, buffer: Buffer, reason: DropReason, now: int, verify: bool) -> None:
        """No TCP segment: a fragment, ICMP, another protocol, or rubbish."""
        found = self.internet.take(buffer, reason, now)
        if isinstance(found, bytes):
            self.receive_packet(found, now, verify=verify)
        elif found is not None:
            connection = self._table.get(found.key)
            if connection is None and self._half_open_error(found, now):
                return
            if not isinstance(connection, Connection) or not connection.path_error(*found[1:], now):
                self._tally.dropped(now, found.key, DropReason.ICMP_UNPROVEN, None)
                return
            if found.kind is path.PathError.TOO_BIG:
                self.paths.learn(remote_of(found.key), connection.mtu, now)
            self._touch(connection)

    def _half_open_error(self, report: PathReport, now: int) -> bool:
        """Whether an ICMP error speaks of a half-open entry and is believed."""
        listener = self._listening.at(report.key)
        return listener is not None and listener.path_error(report.key, report.kind, report.seq, now)

    def _receive_elsewhere(self, key: bytes, segment: Segment, now: int) -> None:
        """No connection has this key: perhaps a listener has."""
        remote, local = (key[:4], key[4:8]) if len(key) == IP4_KEY else (key[:16], key[16:32])
        if local not in self._own:
            self._tally.dropped(now, key, DropReason.NOT_OURS, segment)
            return
        if not is_host(remote) or (remote in self._own and not self._from_self):
            self._tally.dropped(now, key, DropReason.SOURCE_ADDRESS, segment)
            return
        if PORT_ZERO in (key[-4:-2], key[-2:]):
            self._tally.dropped(now, key, DropReason.PORT_ZERO, segment)
            return
        if self.observer is not None:
            self.observer.segment_received(now, key, segment)
        listener = self._listening.at(key)
        if listener is not None:
            self._receive_at(listener, key, segment, now, -1)
        else:
            self._no_socket(key, segment, now)

    def _receive_at(self, listener: Listener, key: bytes, segment: Segment, now: int, above: int) -> None:
        connection = listener.receive_from(key, segment, now, above)
        if connection is not None:
            path.limit(connection, self.paths.mtu(remote_of(key), now, self.device.mtu))
            self._adopt(connection)
            self._touch(connection)
        self._touch(listener)

    def _receive_late(self, entry: TimeWait, segment: Segment, now: int) -> None:
        """For TIME-WAIT. A SYN that may reopen goes to the listener (RFC 6191); without one it is challenged."""
        if segment.flags & SYN:
            listener = self._listening.at(entry.key)
            if listener is not None and listener.config.time_wait_reuse and entry.may_reopen(segment):
                entry.end(Trigger.REUSE, now)
                self._remove(entry)
                self._receive_at(listener, entry.key, segment, now, entry.snd_nxt)
                return
        entry.receive(segment, now)
        self._touch(entry)

    def _no_socket(self, key: bytes, segment: Segment, now: int) -> None:
        """3.10.7.1: everything but an RST is answered by an RST that the sender will take as meant for it."""
        self._tally.dropped(now, key, DropReason.NO_SOCKET, segment)
        reset = closed.answer(segment)
        if reset is not None:
            self._replies.append((key, reset))

    # --- packets out

    def transmit(self, now: int) -> None:
        """Send all that is due, then tell the watcher of each entry that something has happened to it."""
        while True:
            if self._touched:
                touched, self._touched = self._touched, []
                for entry in touched:
                    entry.touched = False
                    self._flush(entry, now)
                    if entry.watcher is not None:
                        entry.watcher.changed()
            elif self._replies:
                replies, self._replies = self._replies, []
                for key, reset in replies:
                    self._send(key, reset, now)
            elif self.internet.replies:
                owed, self.internet.replies = self.internet.replies, []
                for packet, key in owed:
                    self.device.send(packet, key, Outgoing(0, 0, 0, 0, NOT_TCP))
            elif self._to_self:
                self._from_self = True
                self.receive_packet(self._to_self.popleft(), now, verify=False)
                self._from_self = False
            else:
                return

    def _flush(self, entry: Entry, now: int) -> None:
        """Send what `entry` has to send, and see when it must be looked at again."""
        if entry.state is not ESTABLISHED and self._flush_special(entry, now):
            return
        out = self._out
        entry.transmit(now, out, ROOM)
        if out:
            key = entry.key
            for segment in out:
                self._send(key, segment, now)
            out.clear()
        if entry.state is not ESTABLISHED and self._settle(entry, now):
            return
        deadline = entry.next_deadline()
        if deadline < entry.scheduled:
            self._schedule.arm(entry, max(deadline, now))

    def _flush_special(self, entry: Entry, now: int) -> bool:
        """A listener's segments go to many peers. Returns whether `entry` is one."""
        if not isinstance(entry, Listener):
            return False
        replies, entry.replies = entry.replies, []
        if entry.state is State.CLOSED:
            self._remove_listener(entry)
            return True
        for key, segment in replies:
            self._send(key, segment, now)
        deadline = entry.next_deadline()
        if deadline < entry.scheduled:
            self._schedule.arm(entry, max(deadline, now))
        return True

    def _settle(self, entry: Entry, now: int) -> bool:
        """What follows from a state other than ESTABLISHED. Returns whether `entry` needs no deadline of its own."""
        state = entry.state
        if state is State.CLOSED:
            self._remove(entry)
            return True
        if state is not TIME_WAIT:
            return False
        if isinstance(entry, TimeWait):
            self._waits.restarted(entry)
        elif isinstance(entry, Connection):
            self._shrink(entry, now)
        return True

    def _shrink(self, connection: Connection, now: int) -> None:
        """A connection in TIME-WAIT leaves its place to what has to be kept of it."""
        present = self._table.get(connection.key)
        if isinstance(present, TimeWait) and present.connection is connection:
            if connection.orphaned:
                present.connection = None
            return
        if present is not connection:
            return
        oldest = self._waits.oldest() if self._waits.count >= self._waits.limit else None
        if oldest is not None:
            self.counters.time_wait_overflow += 1
            oldest.end(Trigger.TWO_MSL, now)
            self._remove(oldest)
        entry = TimeWait(connection, now)
        self._table[connection.key] = entry
        self._waits.add(entry)

    def _send(self, key: bytes, out: Outgoing, now: int) -> None:
        device = self.device
        if out.gso_size and not device.gso and len(out.payload) > out.gso_size:
            for piece in cut(out):
                self._send(key, piece, now)
            return
        counters = self.counters
        counters.segments_out += 1
        if out.reason in RETRANSMISSIONS:
            counters.retransmitted += 1
        if out.flags & RST:
            counters.resets_out += 1
        if self.observer is not None:
            self.observer.segment_sent(now, key, out)
        self._identification = identification = (self._identification + 1) & 0xFFFF
        if self._loopback and remote_of(key) in self._own:
            self._to_self.append(build_packet(key, out, identification=identification, checksum=False))
            return
        if device.builds:
            device.transmit(key, out, identification, self._ttl)
            return
        packet = build_packet(key, out, identification=identification, ttl=self._ttl, checksum=device.checksum)
        device.send(packet, key, out)

    # --- time

    def next_deadline(self) -> int:
        """When to call `handle_timers`, in ns, or a little earlier; 0 when `transmit` has work, NEVER for nothing."""
        first = self._first_deadline()
        self._announced = first
        return first

    def _first_deadline(self) -> int:
        if self._touched or self._replies or self._to_self:
            return 0
        first = min(self._schedule.earliest(), self.internet.next_deadline())
        if self._waits.count:
            first = min(first, self._waits.earliest())
        return first

    def handle_timers(self, now: int) -> None:
        """Act on every timer whose time has come; what there is to send waits for `transmit`."""
        while (entry := self._schedule.due(now)) is not None:
            entry.handle_timers(now)
            self._touch(entry)
        while (late := self._waits.due(now)) is not None:
            late.handle_timers(now)
            self._remove(late)
        if self.internet.next_deadline() <= now:
            self.internet.handle_timers(now)

    def attend(self, entry: Entry, now: int) -> None:
        """After an application's call on `entry`: send what is due now and see when to look again."""
        self._flush(entry, now)
        if self._wake is None:
            return
        if self._touched or self._replies or self._to_self or entry.scheduled < self._announced:
            first = self._first_deadline()
            if first < self._announced:
                self._announced = first
                self._wake()

    # --- the table

    def _touch(self, entry: Entry) -> None:
        if not entry.touched:
            entry.touched = True
            self._touched.append(entry)

    def _adopt(self, connection: Connection) -> None:
        if self.device.gso:
            connection.sender.gso_max = min(connection.config.gso_max, MAX_SUPER_SEGMENT)
        self._table[connection.key] = connection

    def _remove(self, entry: Entry) -> None:
        if self._table.get(entry.key) is entry:
            del self._table[entry.key]
            if isinstance(entry, TimeWait):
                self._waits.removed()

    def _remove_listener(self, listener: Listener) -> None:
        self._remove(listener)
        self._listening.remove(listener)
        abandoned, listener.abandoned = listener.abandoned, []
        for connection in abandoned:
            self._touch(connection)

    def listener_counts(self) -> ListenerCounts:
        """What all listeners have counted, those that are closed too."""
        return self._listening.counts()

    def sockets(self) -> Iterator[Entry]:
        """Every listener, connection and TIME-WAIT entry, oldest first; half-open ones are in Listener.half_open_entries."""
        yield from list(self._table.values())

    # --- opening

    def bind(self, local: tuple[bytes | None, int], *, reuse_address: bool = False) -> Binding:
        """Hold a local port: `local` is an address of ours, an unspecified one or None (any), and a port or 0.

        With `reuse_address` (SO_REUSEADDR) connections that a listener accepted, and those in TIME-WAIT, are not in the
        way. Raises AddressInUse, AddressNotAvailable, InvalidAddress.
        """
        address, port = local
        if not port:
            used = {local_port_of(key) for key in self._table}
            return self._listening.bind(local, reuse_address, lambda candidate: candidate in used)
        return self._listening.bind(local, reuse_address, lambda wanted: self._taken(address, wanted, reuse_address))

    def unbind(self, binding: Binding) -> None:
        """Give up a hold; its connections live on. Repeating it does nothing."""
        self.ports.unbind(binding)

    def _taken(self, address: bytes | None, port: int, reuse_address: bool) -> bool:
        """Whether a connection stands in the way of a binding; listeners have bindings themselves."""
        for key, entry in self._table.items():
            if local_port_of(key) != port or isinstance(entry, Listener) or not overlap(local_of(key), address):
                continue
            lenient = isinstance(entry, TimeWait) or (isinstance(entry, Connection) and entry.passive)
            if not (reuse_address and lenient):
                return True
        return False

    def listen(
        self, local: tuple[bytes | None, int], backlog: int, now: int, config: TcpConfig | None = None, *,
        binding: Binding | None = None, reuse_address: bool = False,
    ) -> Listener:  # fmt: skip
        """Passive OPEN at `local` (see `bind`), or at a `binding` made before, which the listener takes over.

        The accept queue is full when it holds more than `backlog` connections; `config.syn_backlog` half-open ones are kept,
        by default as many as `backlog` and at least 8. Raises AddressInUse, AddressNotAvailable, InvalidAddress.
        """
        made = binding is None
        held = binding or self.bind(local, reuse_address=reuse_address)
        try:
            key = self._listening.begin(held)
        except AddressInUse:
            if made:
                self.ports.unbind(held)
            raise
        config = config or self.config
        accept_limit, records = limits(backlog)
        listener = Listener(
            key, config, backlog=config.syn_backlog or records, accept_limit=accept_limit, mtu=self.device.mtu,
            isn=self._isn, ts_offset=self._timestamp_offset, cookies=self._cookies, observer=self._tally,
        )  # fmt: skip
        self._table[key] = listener
        self._listening.add(listener, held)
        listener.listen(now)
        return listener

    def connect(
        self, local: tuple[bytes | None, int], remote: tuple[bytes, int], now: int, config: TcpConfig | None = None, *,
        binding: Binding | None = None, data: Buffer = b"",
    ) -> Connection:  # fmt: skip
        """Active OPEN from `local` (None and 0: the stack chooses), or from a `binding`, to `remote`; the SYN goes at once.

        `data` rides on the handshake's third segment. An unspecified remote address means this host. Raises AddressInUse
        when another socket holds the local port, AddressNotAvailable when the connection exists already or no port is left,
        NetworkUnreachable, InvalidAddress.
        """
        if binding is not None:
            local = (binding.address, binding.port)
        address, port = local
        target, remote_port = remote
        source, target = choose(self.addresses, address, target)
        if not 0 <= port <= 65_535 or not 0 < remote_port <= 65_535:
            raise AddressNotAvailable(f"no connection from port {port} to port {remote_port}")
        if port and binding is None and self.ports.held(source, port):
            raise AddressInUse(f"another socket holds port {port}")
        if not port:
            port = self.ports.ephemeral(source, target, remote_port, lambda p: self._free(source, p, target, remote_port))
        key = make_key(target, remote_port, source, port)
        if key in self._table:
            raise AddressNotAvailable(f"a connection from port {port} to {text(target)} port {remote_port} exists")
        if target in self._own:
            self._loopback = True
        connection = Connection(
            key, config or self.config, self._isn(key, now), self._timestamp_offset(key), self.device.mtu, self._tally
        )
        path.limit(connection, self.paths.mtu(target, now, self.device.mtu))
        self._adopt(connection)
        connection.connect(now, data)
        self.attend(connection, now)
        return connection

    def _free(self, source: bytes, port: int, target: bytes, remote_port: int) -> bool:
        """Whether a connection between these is new, and not one of a port with itself."""
        if source == target and port == remote_port:
            return False
        return make_key(target, remote_port, source, port) not in self._table
