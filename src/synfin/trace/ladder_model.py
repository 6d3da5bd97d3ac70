"""What a ladder is made of: lanes, rows, arrows, marks and steps.

Owns the shapes only: ladder.py fills them, ladder_text and ladder_svg draw them. Times are in nanoseconds of the run.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from synfin.engine.state import State
from synfin.trace.narrate import Sentence
from synfin.words import Text

LEFT: Final = 0
RIGHT: Final = 1



class Part(Enum):
    """Which part of its arrow a row shows."""

    WHOLE = "whole"
    DEPARTURE = "departure"
    ARRIVAL = "arrival"


class MarkKind(Enum):
    """What a mark on one lifeline is."""

    CALL = "call"
    RETURN = "return"
    STATE = "state"
    TIMER = "timer"
    WAIT = "wait"  # a span that begins here: TIME-WAIT's 2MSL, a persist interval
    DROP = "drop"
    FAULT = "fault"


@dataclass(slots=True)
class Arrow:
    """One packet on its way. `sender` is LEFT or RIGHT; `arrives` is None for a lost one; times in nanoseconds.

    `seq` and `ack` (None without ACK flag) are as the ladder was asked for them, `window` in bytes. `before` is the
    sender's state as the arrow departs, `after` the receiver's when it has processed it.
    """

    sender: int
    packet: int
    departs: int
    arrives: int | None
    flags: str
    seq: int
    ack: int | None
    window: int
    length: int
    options: tuple[str, ...]
    retransmission: bool
    injected: bool
    copy: bool = False
    corrupted: bool = False
    lost: Text | None = None
    dropped: Text | None = None
    before: State = State.CLOSED
    after: State = State.CLOSED


@dataclass(slots=True)
class Mark:
    """Something on one lifeline, or across both when `side` is None. `until` ends a span (WAIT) or a call; `state` is
    the side's from here on; `down` the side whose host crashes here, `up` the one whose host starts again. A line break
    in `text` is a good place to break it."""

    kind: MarkKind
    side: int | None
    time: int
    text: Text
    state: State = State.CLOSED
    until: int | None = None
    failed: bool = False
    down: int | None = None
    up: int | None = None


@dataclass(slots=True)
class Row:
    """One line of the ladder: an arrow, or part of it, or marks that belong together. `step` 0: none of its own."""

    time: int
    arrow: Arrow | None = None
    part: Part = Part.WHOLE
    marks: list[Mark] = field(default_factory=list)
    step: int = 0


@dataclass(slots=True)
class Step:
    """What is said about one row."""

    number: int
    time: int
    sentences: list[Sentence]

    def say(self, lang: str) -> str:
        """The step's sentences in `lang`, one after the other."""
        return ("" if lang == "zh" else " ").join(sentence.say(lang) for sentence in self.sentences)


@dataclass(slots=True)
class Lane:
    """One lifeline: its host, its end of the connection, the state it begins in and every later one with its time."""

    host: str
    end: str
    begins: State
    states: list[tuple[int, State]] = field(default_factory=list)


@dataclass(slots=True)
class Ladder:
    """The whole picture; times in nanoseconds."""

    lanes: tuple[Lane, Lane]
    rows: list[Row]
    steps: list[Step]
    absolute: bool

    @property
    def arrows(self) -> list[Arrow]:
        """Each arrow once, in the order of the rows."""
        return [row.arrow for row in self.rows if row.arrow is not None and row.part is not Part.ARRIVAL]
