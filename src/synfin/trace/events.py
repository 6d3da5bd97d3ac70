"""The typed events of a run: what a trace is made of, and each of them as JSON.

Owns the shape of an event. Every one has a time in nanoseconds, a host and a connection; nothing here collects, orders
or explains them (recorder, numbers, narrate). Events are plain dataclasses with slots, made twice for each packet: treat
them as frozen, a frozen dataclass costs four times as much to make.
"""

import ipaddress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NamedTuple

from synfin.engine.errors import DropReason
from synfin.engine.segment import REASON_NAMES, RETRANSMISSIONS, SYN, Segment, flag_names
from synfin.engine.state import State, Trigger
from synfin.wire.packet import PacketView, describe
from synfin.words import Text

INJECTED: Final = -1  # the `reason` of a packet that no stack of this run built: it turned up in the network


def address_name(address: bytes) -> str:
    """An address of 4 or 16 bytes as people write it."""
    return str(ipaddress.ip_address(address))


def endpoint_name(address: bytes, port: int) -> str:
    """`10.0.0.1:80`, or `[fd00::1]:80` (RFC 5952 6)."""
    return f"[{address_name(address)}]:{port}" if len(address) == 16 else f"{address_name(address)}:{port}"


def connection_name(key: bytes) -> str:
    """The name of a connection, the same seen from both ends: `10.0.0.1:49152 10.0.0.2:80`.

    `key` is the 12 or 36 bytes of engine.observe (remote, local, remote port, local port). The ends stand in the order
    of (address, port); a listener, whose remote part is zero, is named by its local end alone; an empty key gives "".
    """
    if not key:
        return ""
    size = 16 if len(key) == 36 else 4
    remote = (key[:size], int.from_bytes(key[2 * size : 2 * size + 2], "big"))
    local = (key[size : 2 * size], int.from_bytes(key[2 * size + 2 : 2 * size + 4], "big"))
    if remote[1] == 0 and not any(remote[0]):
        return endpoint_name(*local)
    first, second = sorted((remote, local))
    return f"{endpoint_name(*first)} {endpoint_name(*second)}"


class Carried(NamedTuple):
    """A message of the programs' own protocol: its name there (`ASK 2`), and what its sender says by it (messages.py)."""

    name: str
    means: Text


@dataclass(slots=True)
class TraceEvent:
    """What every event has: `time` in nanoseconds of the run, the `host` it happened at, and the name of the
    `connection` ("" where it belongs to none, see connection_name)."""

    kind: ClassVar[str] = ""

    time: int
    host: str
    connection: str


@dataclass(slots=True)
class PacketEvent(TraceEvent):
    """Something happened to one packet, `data` being its bytes from the IP header on (checksums may be left out).

    `packet` is a number unique in the run; a duplicate made by the network gets a number of its own. `peer` is the host
    at the other end of its way.
    """

    peer: str
    packet: int
    data: bytes = field(repr=False)
    _view: PacketView | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def view(self) -> PacketView:
        """The packet parsed, on first use; raises wire.errors.ParseError when it is not a TCP packet."""
        view = self._view
        if view is None:
            view = self._view = describe(self.data)
        return view

    @property
    def segment(self) -> Segment:
        """The segment in it; raises wire.errors.ParseError when it is not a TCP packet."""
        return self.view.segment

    @property
    def seq(self) -> int:
        """SEG.SEQ as on the wire."""
        return self.view.segment.seq

    @property
    def ack(self) -> int:
        """SEG.ACK as on the wire."""
        return self.view.segment.ack

    @property
    def flags(self) -> int:
        """The control bits, engine.segment's constants."""
        return self.view.segment.flags

    @property
    def window(self) -> int:
        """The window field as on the wire, not scaled."""
        return self.view.segment.window

    @property
    def length(self) -> int:
        """Bytes of payload."""
        return len(self.view.segment.payload)


@dataclass(slots=True)
class SegmentSent(PacketEvent):
    """`host` put a packet on the network. `reason` is why (engine.segment), or INJECTED; `carries` are the messages that begin
    in it, where they have names (messages.py)."""

    kind: ClassVar[str] = "segment sent"
    reason: int = INJECTED
    carries: tuple[Carried, ...] = ()

    @property
    def retransmission(self) -> bool:
        """Whether the sender had sent this before, by its own account."""
        return self.reason in RETRANSMISSIONS

    @property
    def reason_name(self) -> str:
        """`reason` in words."""
        return "injected" if self.reason == INJECTED else REASON_NAMES[self.reason]


@dataclass(slots=True)
class SegmentDelivered(PacketEvent):
    """A packet reached `host`."""

    kind: ClassVar[str] = "segment delivered"


@dataclass(slots=True)
class SegmentLost(PacketEvent):
    """The network lost a packet that `host` sent; `cause` says how: `loss`, `burst`, `partition`, `queue full` ..."""

    kind: ClassVar[str] = "segment lost"
    cause: str = ""


@dataclass(slots=True)
class SegmentDuplicated(PacketEvent):
    """The network made a second packet, number `copy`, of one that `host` sent."""

    kind: ClassVar[str] = "segment duplicated"
    copy: int = 0


@dataclass(slots=True)
class SegmentCorrupted(PacketEvent):
    """The network turned the bits numbered in `bits` (from the packet's first bit, 0) of one that `host` sent; `data` is
    what became of it."""

    kind: ClassVar[str] = "segment corrupted"
    bits: tuple[int, ...] = ()


@dataclass(slots=True)
class StateChanged(TraceEvent):
    """The connection at `host` moved. `packet` is the one being processed, -1 when a call or a timer moved it."""

    kind: ClassVar[str] = "state changed"
    old: State
    trigger: Trigger
    new: State
    packet: int = -1


@dataclass(slots=True)
class TimerStarted(TraceEvent):
    """A timer that a person would ask about began; it will act at `deadline`."""

    kind: ClassVar[str] = "timer started"
    timer: str
    deadline: int


@dataclass(slots=True)
class TimerFired(TraceEvent):
    """A timer acted."""

    kind: ClassVar[str] = "timer fired"
    timer: str
    detail: str


@dataclass(slots=True)
class Dropped(TraceEvent):
    """`host` did not take a packet, or a part of it. `packet` is its number, -1 where it is not known."""

    kind: ClassVar[str] = "dropped"
    reason: DropReason
    packet: int = -1


@dataclass(slots=True)
class CongestionChanged(TraceEvent):
    """Congestion control changed its mind; `cwnd` and `ssthresh` in bytes."""

    kind: ClassVar[str] = "congestion changed"
    cause: str
    cwnd: int
    ssthresh: int


@dataclass(slots=True)
class Called(TraceEvent):
    """An application's call returned at `time`, having begun at `started`; `error` is an errno, 0 for success.

    `begun` tells exactly where it began, where its program said so as it did (recorder.HostRecorder.begins): how many events
    were told before it, and how many calls had begun so before. None where only the time is known. `carries` are the messages
    that begin in what it sent, where they have names (messages.py).
    """

    kind: ClassVar[str] = "called"
    call: str
    arguments: str
    started: int
    result: str
    error: int
    begun: tuple[int, int] | None = None
    carries: tuple[Carried, ...] = ()

    @property
    def blocked(self) -> int:
        """How long the caller waited, nanoseconds."""
        return self.time - self.started


@dataclass(slots=True)
class Fault(TraceEvent):
    """Something was done to the network or a host: `what` is `link cut`, `link healed`, `host crashed`, `host restarted`,
    `host silent` or `host speaks`; `subject` is the link (`client server`) or the host; connection is ""."""

    kind: ClassVar[str] = "fault"
    what: str
    subject: str


def _packet_json(event: PacketEvent, relative: tuple[int, int] | None) -> dict[str, Any]:
    view = event.view
    segment = view.segment
    out: dict[str, Any] = {
        "packet": event.packet,
        "peer": event.peer,
        "source": endpoint_name(view.source, view.source_port),
        "destination": endpoint_name(view.destination, view.destination_port),
        "flags": flag_names(segment.flags),
        "seq": segment.seq,
        "ack": segment.ack,
        "window": segment.window,
        "length": len(segment.payload),
    }
    if relative is not None:
        out["relative_seq"], out["relative_ack"] = relative
    if segment.urgent:
        out["urgent"] = segment.urgent
    if segment.mss >= 0:
        out["mss"] = segment.mss
    if segment.wscale >= 0:
        out["wscale"] = segment.wscale
    if segment.flags & SYN and segment.sack_permitted:
        out["sack_permitted"] = True
    if segment.sacks:
        out["sacks"] = [list(block) for block in segment.sacks]
    if segment.has_timestamps:
        out["tsval"], out["tsecr"] = segment.tsval, segment.tsecr
    return out


def _own_json(event: TraceEvent) -> dict[str, Any]:
    """What only this kind of event has."""
    match event:
        case SegmentSent():
            return {"reason": event.reason_name, "retransmission": event.retransmission}
        case SegmentLost():
            return {"cause": event.cause}
        case SegmentDuplicated():
            return {"copy": event.copy}
        case SegmentCorrupted():
            return {"bits": list(event.bits)}
        case StateChanged():
            return {"old": str(event.old), "new": str(event.new), "trigger": str(event.trigger), "packet": event.packet}
        case TimerStarted():
            return {"timer": event.timer, "deadline": event.deadline}
        case TimerFired():
            return {"timer": event.timer, "detail": event.detail}
        case Dropped():
            return {"reason": str(event.reason), "packet": event.packet}
        case CongestionChanged():
            return {"cause": event.cause, "cwnd": event.cwnd, "ssthresh": event.ssthresh}
        case Called():
            return {
                "call": event.call,
                "arguments": event.arguments,
                "started": event.started,
                "blocked": event.blocked,
                "result": event.result,
                "error": event.error,
            }
        case Fault():
            return {"what": event.what, "subject": event.subject}
    return {}


def event_to_json(event: TraceEvent, relative: tuple[int, int] | None = None) -> dict[str, Any]:
    """The event as a dict that json.dumps takes: times in nanoseconds, states as RFC 9293 writes them (SYN-RECEIVED).

    `relative` is the packet's sequence and acknowledgment number counted from the initial ones (numbers.Numbers).
    """
    out: dict[str, Any] = {
        "event": event.kind,
        "time": event.time,
        "host": event.host,
        "connection": event.connection,
    }
    if isinstance(event, PacketEvent):
        try:
            out.update(_packet_json(event, relative))
        except ValueError as error:  # ParseError: the network may have carried anything
            out.update(packet=event.packet, peer=event.peer, unreadable=str(error), bytes=event.data.hex())
    out.update(_own_json(event))
    if isinstance(event, SegmentSent | Called) and event.carries:
        out["messages"] = [carried.name for carried in event.carries]
    return out
