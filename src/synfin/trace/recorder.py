"""Collects the events of a run: the network's taps and each host's Observer write into one Trace, in order.

Owns the order of events and the numbers of connections and packets seen. It copies no packet and parses none while the
run lasts; who reads the trace pays for parsing (events.PacketEvent.view).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from synfin.engine.errors import DropReason
from synfin.engine.observe import Observer
from synfin.engine.segment import Outgoing, Segment
from synfin.engine.state import State, Trigger
from synfin.trace.events import (
    INJECTED,
    Called,
    CongestionChanged,
    Dropped,
    Fault,
    PacketEvent,
    SegmentCorrupted,
    SegmentDelivered,
    SegmentDuplicated,
    SegmentLost,
    SegmentSent,
    StateChanged,
    TimerFired,
    TimerStarted,
    TraceEvent,
    connection_name,
    event_to_json,
)
from synfin.wire.packet import describe


class Trace:
    """The events of one run, in the order in which they happened.

    `events` may be read at any time. `hosts` lists the hosts in the order of their first `observer` call; `addresses`
    has the packed addresses that were given with it.
    """

    def __init__(self) -> None:
        self.events: list[TraceEvent] = []
        self.addresses: dict[str, tuple[bytes, ...]] = {}
        self._names: dict[bytes, str] = {}  # key -> connection_name(key): asked for with each packet
        self._arrived: dict[str, tuple[int, int, str]] = {}  # host -> (time, packet, connection) of the latest arrival
        self._sent_as: dict[int, str] = {}  # packet -> connection, which corruption may hide
        self._begun = 0  # calls that have said that they begin

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[TraceEvent]:
        return iter(self.events)

    @property
    def hosts(self) -> list[str]:
        """The hosts that are watched, in the order of their making."""
        return list(self.addresses)

    def connections(self) -> list[str]:
        """The names of the connections seen (listeners left out), in the order of their first event."""
        return list(dict.fromkeys(event.connection for event in self.events if " " in event.connection))

    def of(self, connection: str) -> list[TraceEvent]:
        """The events of one connection."""
        return [event for event in self.events if event.connection == connection]

    def packets(self) -> dict[int, SegmentSent]:
        """Each packet's sending, by its number."""
        return {event.packet: event for event in self.events if isinstance(event, SegmentSent)}

    def to_json(self) -> Iterator[dict[str, Any]]:
        """Each event as a dict (events.event_to_json), packets with their relative numbers."""
        from synfin.trace.numbers import Numbers  # noqa: PLC0415  reading pays for it, recording does not

        numbers = Numbers(self.events)
        for event in self.events:
            relative = numbers.pair(event.packet) if isinstance(event, PacketEvent) else None
            yield event_to_json(event, relative)

    # The hosts

    def observer(self, host: str, addresses: Sequence[bytes] = ()) -> "HostRecorder":
        """The Observer for the stack of `host`; `addresses` are its packed addresses, for headings."""
        self.addresses[host] = tuple(addresses)
        return HostRecorder(self, host)

    def connection_of(self, packet: bytes) -> str:
        """The name of the connection that a packet belongs to; "" when it cannot be read that far."""
        version = packet[0] >> 4 if packet else 0
        if version == 4 and packet[0] == 0x45 and len(packet) >= 24 and packet[9] == 6:
            return self.name(packet[12:24])
        if version == 6 and len(packet) >= 44 and packet[6] == 6:
            return self.name(packet[8:44])
        try:
            view = describe(packet)
        except ValueError:
            return ""
        ports = view.source_port.to_bytes(2, "big") + view.destination_port.to_bytes(2, "big")
        return self.name(bytes(view.source) + bytes(view.destination) + ports)

    def name(self, key: bytes) -> str:
        """connection_name(key), remembered."""
        name = self._names.get(key)
        if name is None:
            key = bytes(key)
            name = self._names[key] = connection_name(key)
        return name

    def being_processed(self, host: str, now: int) -> tuple[int, str]:
        """The packet that `host` received at this very time, and its connection; (-1, "") when there is none."""
        time, packet, connection = self._arrived.get(host, (-1, -1, ""))
        return (packet, connection) if time == now else (-1, "")

    # The network's taps. Times in nanoseconds; `packet` is a number unique in the run, `data` the bytes on the wire.

    def sent(self, now: int, host: str, peer: str, packet: int, data: bytes, out: Outgoing | None) -> None:
        """`host` put a packet on its way to `peer`; `out` is what the engine meant by it, None for a packet that no
        stack of this run built (an old duplicate that turns up in the network)."""
        connection = self._sent_as[packet] = self.connection_of(data)
        reason = INJECTED if out is None else out.reason
        self._arrived.pop(host, None)
        self.events.append(SegmentSent(now, host, connection, peer, packet, data, reason))

    def delivered(self, now: int, host: str, peer: str, packet: int, data: bytes) -> None:
        """A packet from `peer` reached `host`, which has not looked at it yet."""
        connection = self._sent_as.get(packet) or self.connection_of(data)
        self._arrived[host] = (now, packet, connection)
        self.events.append(SegmentDelivered(now, host, connection, peer, packet, data))

    def lost(self, now: int, host: str, peer: str, packet: int, data: bytes, cause: str) -> None:
        """A packet of `host` will not reach `peer`; `cause` in a word or two."""
        self.events.append(SegmentLost(now, host, self._sent_as.get(packet, ""), peer, packet, data, cause))

    def duplicated(self, now: int, host: str, peer: str, packet: int, data: bytes, copy: int) -> None:
        """The network made a copy, with the number `copy`, of a packet of `host`."""
        connection = self._sent_as[copy] = self._sent_as.get(packet, "")
        self.events.append(SegmentDuplicated(now, host, connection, peer, packet, data, copy))

    def corrupted(self, now: int, host: str, peer: str, packet: int, data: bytes, bits: Sequence[int]) -> None:
        """The network turned `bits` of a packet of `host`; `data` is what it became."""
        connection = self._sent_as.get(packet, "")
        self.events.append(SegmentCorrupted(now, host, connection, peer, packet, data, tuple(bits)))

    def fault(self, now: int, what: str, subject: str, host: str = "") -> None:
        """Something was done to a link or a host (events.Fault); `host` is the subject itself where it is one."""
        if not host and what.startswith("host "):
            host = subject
        self.events.append(Fault(now, host, "", what, subject))


class HostRecorder(Observer):
    """What one host's stack and sockets tell, written into a Trace. Segments are left to the network's taps."""

    def __init__(self, trace: Trace, host: str) -> None:
        self._trace = trace
        self._host = host
        self._append = trace.events.append
        self._made: list[Called] = []  # `socket` calls of which it is not known yet what became of them

    def _claim(self, connection: str) -> None:
        """The oldest socket without a name turns out to be the one of `connection`."""
        if self._made:
            self._made.pop(0).connection = connection

    def state_changed(self, now: int, key: bytes, old: State, trigger: Trigger, new: State) -> None:
        trace = self._trace
        packet = -1
        if trigger.value.startswith("rcv"):
            packet, _ = trace.being_processed(self._host, now)
        elif trigger is Trigger.ACTIVE_OPEN:
            self._claim(trace.name(key))
        self._append(StateChanged(now, self._host, trace.name(key), old, trigger, new, packet))

    def dropped(self, now: int, key: bytes, reason: DropReason, segment: Segment | None) -> None:
        packet, connection = self._trace.being_processed(self._host, now)
        self._append(Dropped(now, self._host, connection or self._trace.name(key), reason, packet))

    def timer_started(self, now: int, key: bytes, timer: str, deadline: int) -> None:
        self._append(TimerStarted(now, self._host, self._trace.name(key), timer, deadline))

    def timer_fired(self, now: int, key: bytes, timer: str, detail: str) -> None:
        self._append(TimerFired(now, self._host, self._trace.name(key), timer, detail))

    def congestion(self, now: int, key: bytes, cause: str, cwnd: int, ssthresh: int) -> None:
        self._append(CongestionChanged(now, self._host, self._trace.name(key), cause, cwnd, ssthresh))

    def called(
        self, now: int, key: bytes, call: str, arguments: str, started: int, result: str, error: int
    ) -> None:
        self.returned(now, key, call, arguments, started, result, error, None)

    def begins(self) -> tuple[int, int]:
        """A call of a program begins: where, for `returned`. Of two calls at one time the first to ask is shown first."""
        trace = self._trace
        trace._begun += 1
        return len(trace.events), trace._begun

    def returned(
        self, now: int, key: bytes, call: str, arguments: str, started: int, result: str, error: int,
        begun: tuple[int, int] | None,
    ) -> None:  # fmt: skip
        """As `called` (engine.observe), with what `begins` gave as the call began."""
        event = Called(now, self._host, self._trace.name(key), call, arguments, started, result, error, begun)
        if call == "socket":
            self._made.append(event)
        elif call == "bind" or (call == "close" and not key):
            self._claim(event.connection)
        self._append(event)
