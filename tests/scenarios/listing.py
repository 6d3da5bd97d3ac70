"""A trace as lines that a test can state: every segment with its numbers and both sides' states, every other change of state.

    0.000 client SYN-SENT | SYN seq=0 win=65535 | 0.010 server LISTEN -> SYN-RECEIVED

is one segment: when and in which state it was sent, what it says, when it arrived and what it did there. `lost (cause)` and
`kept back` stand where it never arrives. Read from the events and the packets' bytes alone, not through the ladder.
"""

from collections.abc import Iterable

from synfin.engine.segment import ACK, SYN, URG, flag_names
from synfin.engine.state import State
from synfin.trace.events import (
    INJECTED,
    Dropped,
    Fault,
    SegmentDelivered,
    SegmentDuplicated,
    SegmentLost,
    SegmentSent,
    StateChanged,
    TraceEvent,
)

SECOND = 1_000_000_000


def at(time: int) -> str:
    """Seconds with as many decimals as are needed, at least three."""
    text = f"{time / SECOND:.9f}".rstrip("0")
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals:0<3}"


class Listing:
    """Makes the lines. `absolute`: numbers as on the wire, else counted from the sender's latest SYN."""

    def __init__(self, events: Iterable[TraceEvent], *, absolute: bool = False) -> None:
        self.events = list(events)
        self.absolute = absolute
        self.states: dict[tuple[str, str], State] = {}  # (host, connection)
        self.listening: dict[str, bool] = {}
        self.bases: dict[tuple[bytes, int, bytes, int], int] = {}  # (from, to) -> sequence number of the latest SYN
        self.effects: dict[int, list[str]] = {}  # packet -> what it did where it arrived
        self.drops: dict[int, str] = {}
        self.lines: list[str] = []
        self.open: dict[int, int] = {}  # packet -> index of its line

    def state(self, host: str, connection: str) -> str:
        known = self.states.get((host, connection), State.CLOSED)
        if known is State.CLOSED and self.listening.get(host):
            return "LISTEN"
        return str(known)

    def make(self) -> list[str]:
        """The lines."""
        for index, event in enumerate(self.events):
            if isinstance(event, SegmentSent):
                self.sent(event)
            elif isinstance(event, SegmentDuplicated):
                self.lines.append(f"{at(event.time)} {event.host}'s {self.text(event)} is doubled")
                self.open[event.copy] = len(self.lines)
                self.lines.append(f"{at(event.time)} copy of {event.host}'s {self.text(event)} |")
            elif isinstance(event, SegmentLost):
                self.lines[self.open.pop(event.packet)] += f" lost ({event.cause})"
            elif isinstance(event, SegmentDelivered):
                self.delivered(index, event)
            elif isinstance(event, StateChanged):
                self.moved(event)
            elif isinstance(event, Fault):
                self.lines.append(f"{at(event.time)} {event.what}: {event.subject}")
                if event.what == "host crashed":
                    self.listening[event.subject] = False
                    for key in [key for key in self.states if key[0] == event.subject]:
                        del self.states[key]
        for index in self.open.values():
            self.lines[index] += " never arrives"
        return [" ".join(line.split()) for line in self.lines]

    def sent(self, event: SegmentSent) -> None:
        view = event.view
        way = (bytes(view.source), view.source_port, bytes(view.destination), view.destination_port)
        if event.flags & SYN and event.reason != INJECTED:
            self.bases[way] = event.seq
        sender = "(old)" if event.reason == INJECTED else self.state(event.host, event.connection)
        self.open[event.packet] = len(self.lines)
        self.lines.append(f"{at(event.time)} {event.host} {sender} | {self.text(event)} |")

    def text(self, event: SegmentSent | SegmentDuplicated) -> str:
        view = event.view
        segment = view.segment
        way = (bytes(view.source), view.source_port, bytes(view.destination), view.destination_port)
        seq = self.number(segment.seq, way)
        text = f"{flag_names(segment.flags)} seq={seq}"
        if segment.flags & ACK:
            text += f" ack={self.number(segment.ack, way[2:] + way[:2])}"
        text += f" win={segment.window}"
        if event.length:
            text += f" len={event.length}"
        if segment.flags & URG:
            text += f" urg={segment.urgent}"
        return text

    def number(self, raw: int, way: tuple[bytes, int, bytes, int]) -> int:
        if self.absolute or way not in self.bases:
            return raw
        return (raw - self.bases[way] + (1 << 31)) % (1 << 32) - (1 << 31)

    def delivered(self, index: int, event: SegmentDelivered) -> None:
        before = self.state(event.host, event.connection)
        after = before
        dropped = ""
        for later in self.events[index + 1 :]:
            if isinstance(later, StateChanged) and later.packet == event.packet and later.host == event.host:
                after = str(later.new)
            elif isinstance(later, Dropped) and later.packet == event.packet and later.host == event.host:
                dropped = f" ({later.reason})"
            if later.time != event.time:
                break
        change = before if before == after else f"{before} -> {after}"
        self.lines[self.open.pop(event.packet)] += f" {at(event.time)} {event.host} {change}{dropped}"

    def moved(self, event: StateChanged) -> None:
        if " " not in event.connection:
            self.listening[event.host] = event.new is State.LISTEN
        else:
            self.states[event.host, event.connection] = event.new if event.new is not State.LISTEN else State.CLOSED
        if event.packet < 0:
            self.lines.append(f"{at(event.time)} {event.host} {event.old} -> {event.new} ({event.trigger})")


def listing(events: Iterable[TraceEvent], *, absolute: bool = False) -> list[str]:
    """The lines of `events`."""
    return Listing(events, absolute=absolute).make()
