"""What each side of a handshake knows after each segment: do I hear, am I heard.

Owns that derivation, from trace events alone, and its words; the scenarios about "why three" ask for it. A side hears its
peer once a segment of it has come, and knows that it is heard once one has come that acknowledges its SYN. A segment that
TCP did not take teaches nothing.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from synfin.engine.segment import ACK, RST, SYN, flag_names
from synfin.engine.seq import geq
from synfin.trace.events import INJECTED, Dropped, SegmentDelivered, SegmentLost, SegmentSent, TraceEvent
from synfin.words import Text

NOTHING: Final = Text("{who} knows nothing", "{who} 什么都不知道")
HEARS: Final = Text(
    "{who} hears {peer} and does not know whether {peer} hears it",
    "{who} 能听到 {peer}，不知道 {peer} 能否听到自己",
)
BOTH: Final = Text(
    "{who} hears {peer} and knows that {peer} hears it",
    "{who} 能听到 {peer}，也知道 {peer} 能听到自己",
)
AFTER: Final = Text("After segment {number} ({flags} of {sender})", "第 {number} 个报文段（{sender} 的 {flags}）之后")
AFTER_LOST: Final = Text(
    "After segment {number} ({flags} of {sender}), which is lost",
    "第 {number} 个报文段（{sender} 的 {flags}，丢失）之后",
)
LINE: Final = Text("{after}: {first}; {second}.", "{after}：{first}；{second}。")


class Side(NamedTuple):
    """What `who` knows of its peer."""

    who: str
    peer: str
    hears: bool
    heard: bool

    def say(self, lang: str) -> str:
        """In words, in `lang` ("en" or "zh")."""
        text = BOTH if self.heard else HEARS if self.hears else NOTHING
        return text.say(lang, who=self.who, peer=self.peer)


class Known(NamedTuple):
    """What both sides know once the fate of segment `number` (counted from 1, as sent) is decided, at `time` (ns)."""

    time: int
    packet: int
    number: int
    sender: str
    flags: str
    lost: bool
    sides: tuple[Side, Side]

    def say(self, lang: str) -> str:
        """In words, in `lang` ("en" or "zh")."""
        text = AFTER_LOST if self.lost else AFTER
        after = text.say(lang, number=self.number, flags=self.flags, sender=self.sender)
        return LINE.say(lang, after=after, first=self.sides[0].say(lang), second=self.sides[1].say(lang))


class _Mind:
    """One host: its SYN's number once sent, and what it has learnt."""

    __slots__ = ("heard", "hears", "iss")

    def __init__(self) -> None:
        self.iss: int | None = None
        self.hears = False
        self.heard = False

    def learn(self, event: SegmentDelivered) -> None:
        """A segment that was taken."""
        segment = event.segment
        if segment.flags & RST:
            return
        self.hears = True
        if segment.flags & ACK and self.iss is not None and geq(segment.ack, self.iss + 1 & 0xFFFFFFFF):
            self.heard = True


def knowledge(events: Iterable[TraceEvent]) -> list[Known]:
    """What both sides know after each segment of the first connection among `events`, until both know everything.

    The side that sends first stands first.
    """
    events = list(events)
    dropped = [event.packet for event in events if isinstance(event, Dropped)]
    first = next((event for event in events if isinstance(event, SegmentSent)), None)
    if first is None:
        return []
    minds = {first.host: _Mind(), first.peer: _Mind()}
    sent: dict[int, tuple[int, SegmentSent]] = {}
    found: list[Known] = []
    for event in events:
        if event.connection != first.connection:
            continue
        if isinstance(event, SegmentSent):
            sent[event.packet] = (1 + len(sent), event)
            if event.flags & SYN and event.reason != INJECTED and event.host in minds:
                minds[event.host].iss = event.seq
        elif isinstance(event, SegmentDelivered | SegmentLost) and event.packet in sent:
            lost = isinstance(event, SegmentLost)
            if isinstance(event, SegmentDelivered) and event.packet not in dropped and event.host in minds:
                minds[event.host].learn(event)
            found.append(_known(event, lost, *sent[event.packet], minds))
            if all(mind.heard for mind in minds.values()):
                break
    return found


def _known(
    event: SegmentDelivered | SegmentLost, lost: bool, number: int, sent: SegmentSent, minds: dict[str, _Mind]
) -> Known:
    a, b = minds
    sides = (Side(a, b, minds[a].hears, minds[a].heard), Side(b, a, minds[b].hears, minds[b].heard))
    return Known(event.time, event.packet, number, sent.host, flag_names(sent.flags), lost, sides)
