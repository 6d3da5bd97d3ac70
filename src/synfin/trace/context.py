"""What a reader who has followed a trace so far knows: states, who has finished, how often something was sent, what came late.

Owns Context, the little that narration must remember to choose its words. Knows no words.
"""

from collections.abc import Iterable

from synfin.engine import segment as why
from synfin.engine.segment import ACK, FIN, SYN, Segment
from synfin.engine.seq import MASK, geq
from synfin.engine.state import State
from synfin.trace.events import (
    INJECTED,
    Called,
    Dropped,
    Fault,
    PacketEvent,
    SegmentDelivered,
    SegmentDuplicated,
    SegmentSent,
    StateChanged,
    TimerFired,
    TraceEvent,
)
from synfin.trace.numbers import Numbers


class Half:
    """What one end has done in a connection so far."""

    __slots__ = (
        "active", "answered", "arrived", "attempts", "peer_fin", "peer_fin_acked", "peer_isn", "read", "refused", "timed_out",
        "unacked",
    )  # fmt: skip

    def __init__(self) -> None:
        self.active = False  # it sent a SYN of its own accord
        self.answered = False  # it has sent a segment after its SYN
        self.attempts: dict[int, int] = {}  # raw sequence number -> how often something that takes numbers began there
        self.peer_fin = -1  # the raw number after the peer's FIN, -1 while none has come
        self.peer_fin_acked = False
        self.peer_isn = -1  # the raw number of the peer's SYN, -1 while none has come
        self.read = -1  # bytes that the application has taken, -1 while no call of it has been told
        self.arrived: Segment | None = None  # the latest
        self.refused = False  # it was not taken
        self.timed_out = False  # a timer has run out since it last sent
        self.unacked = 0  # segments with data that have come since its last ACK


class Way:
    """The packets of one connection in one direction, in the order of sending."""

    __slots__ = ("arrived", "isn", "latest", "order")

    def __init__(self) -> None:
        self.isn = -1  # the raw number of the latest SYN, -1 while none was sent
        self.order: dict[int, int] = {}  # packet -> place
        self.arrived: list[int] = []  # places, in the order of arrival
        self.latest = -1  # the last place among them


class Context:
    """What a reader who has followed the trace so far knows. Made from all events, then fed with `advance`.

    `absolute`: sequence numbers as on the wire, else counted from the initial ones.
    """

    def __init__(self, events: Iterable[TraceEvent], *, absolute: bool = False) -> None:
        events = list(events)
        self.numbers = Numbers(events)
        self.absolute = absolute
        self.states: dict[tuple[str, str], State] = {}
        self.packets: dict[int, SegmentSent] = {}
        self._halves: dict[tuple[str, str], Half] = {}
        self._ways: dict[tuple[str, str], Way] = {}
        self._peers: dict[tuple[str, str], str] = {}
        for event in events:
            if isinstance(event, PacketEvent):
                self._peers.setdefault((event.host, event.connection), event.peer)
                self._peers.setdefault((event.peer, event.connection), event.host)

    def state(self, host: str, connection: str, port: int = -1) -> State:
        """The state that `host` is in; where the connection is unknown there, LISTEN if `port` is listened on."""
        state = self.states.get((host, connection))
        if state is not None and state is not State.CLOSED:
            return state
        for (owner, name), listening in self.states.items():
            if owner == host and " " not in name and name.endswith(f":{port}") and listening is State.LISTEN:
                return State.LISTEN
        return State.CLOSED

    def peer(self, host: str, connection: str) -> str:
        """The host at the other end, or the connection's name when no packet has shown it."""
        return self._peers.get((host, connection), connection or "?")

    def half(self, host: str, connection: str) -> Half:
        """What `host` has done in `connection`."""
        half = self._halves.get((host, connection))
        if half is None:
            half = self._halves[host, connection] = Half()
        return half

    def way(self, host: str, connection: str) -> Way:
        """The packets that `host` sent in `connection`."""
        way = self._ways.get((host, connection))
        if way is None:
            way = self._ways[host, connection] = Way()
        return way

    def seq(self, event: PacketEvent) -> int:
        """The sequence number of a packet as the reader wants it."""
        numbered = None if self.absolute else self.numbers.of(event.packet)
        return event.seq if numbered is None else numbered.seq

    def ack(self, event: PacketEvent) -> int:
        """The acknowledgment number of a packet as the reader wants it."""
        numbered = None if self.absolute else self.numbers.of(event.packet)
        return event.ack if numbered is None else numbered.ack

    def sacks(self, event: PacketEvent) -> tuple[tuple[int, int], ...]:
        """The SACK blocks of a packet as the reader wants them: left and right edges."""
        numbered = None if self.absolute else self.numbers.of(event.packet)
        return event.segment.sacks if numbered is None else numbered.sacks

    def next(self, event: PacketEvent) -> int:
        """The number that acknowledges the whole of a packet."""
        after = self.seq(event) + event.segment.length
        return after & MASK if self.absolute else after

    def window(self, event: PacketEvent) -> int:
        """The window of a packet in bytes."""
        numbered = self.numbers.of(event.packet)
        return event.window if numbered is None else numbered.window

    def advance(self, event: TraceEvent) -> None:
        """Take `event` in, after it has been narrated."""
        if isinstance(event, SegmentSent):
            self.packets[event.packet] = event
            if readable(event):
                self._sent(event)
        elif isinstance(event, SegmentDelivered):
            self._delivered(event)
        elif isinstance(event, SegmentDuplicated):
            if event.packet in self.packets:
                self.packets[event.copy] = self.packets[event.packet]
        elif isinstance(event, Dropped):
            self.half(event.host, event.connection).refused = True
        elif isinstance(event, TimerFired):
            self.half(event.host, event.connection).timed_out = True
        elif isinstance(event, Called):
            half = self.half(event.host, event.connection)
            half.read = max(half.read, 0) + _bytes_read(event)
        elif isinstance(event, StateChanged):
            self.states[event.host, event.connection] = event.new
            if event.old is State.CLOSED or event.new is State.LISTEN:
                self._halves.pop((event.host, event.connection), None)
        elif isinstance(event, Fault) and event.what == "host crashed":
            for key in [key for key in self.states if key[0] == event.subject]:
                del self.states[key]
                self._halves.pop(key, None)

    def _sent(self, event: SegmentSent) -> None:
        way = self.way(event.host, event.connection)
        way.order[event.packet] = len(way.order)
        if event.reason == INJECTED:
            return
        half = self.half(event.host, event.connection)
        half.timed_out = False
        segment = event.segment
        if segment.flags & ACK:
            half.unacked = 0
        if segment.flags & SYN:
            way.isn = segment.seq
        if segment.length:
            half.attempts[segment.seq] = half.attempts.get(segment.seq, 0) + 1
        if event.reason == why.SYN_OPEN:
            half.active = True
        elif not segment.flags & SYN:
            half.answered = True
        if half.peer_fin >= 0 and segment.flags & ACK and geq(segment.ack, half.peer_fin):
            half.peer_fin_acked = True

    def _delivered(self, event: SegmentDelivered) -> None:
        sent = self.packets.get(event.packet)
        if sent is None or not readable(sent):
            return
        way = self.way(sent.host, sent.connection)
        place = way.order.get(sent.packet, 0)
        way.arrived.append(place)
        way.latest = max(way.latest, place)
        segment = sent.segment
        half = self.half(event.host, event.connection)
        half.arrived, half.refused = segment, False
        half.unacked += bool(segment.payload)
        if segment.flags & SYN:
            half.peer_isn = segment.seq
        if segment.flags & FIN:
            half.peer_fin = (segment.seq + segment.length) & MASK


def _bytes_read(event: Called) -> int:
    taken = event.call.startswith("recv") and event.result.isdigit() and "MSG_PEEK" not in event.arguments
    return int(event.result) if taken else 0


def readable(event: PacketEvent) -> bool:
    try:
        return event.view is not None
    except ValueError:  # ParseError
        return False
