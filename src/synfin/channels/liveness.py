"""The mutual check in three messages by which two sides learn that each hears the other. Pure: `now` (ns) is an argument.

    asker    "1+1?"             QUESTION  n            whoever doubts may ask, at any time
    answerer "2, and 2+2?"      ANSWER    n, m         hears: the question came
    asker    "4"                LAST      m            hears and is heard: n came back
    answerer                                           is heard: m came back

It is the reason for three segments in TCP's handshake, told as a story. What a side may claim, and no more:

- The asker, on the answer to the number it has just made, hears and is heard. No answer within `patience`: it takes the path to
  be down and rests for `rest` before it asks again.
- The answerer, on the question, hears. On the third message it is heard. None within `patience`: not confirmed that it is
  heard, which proves nothing, and the rest applies to it too.
- When both ask at once, each answers with ANSWER and repeats its own question in it; an answer to the question that it has
  asked itself ends the check for it. Four messages, and both know both directions. An asker that answers has its `patience`
  once more, from then on, for what comes back on its own answer.

Numbers are fresh, 64 bits, and not to be guessed (`fresh`). A message with another number is counted and changes nothing: late
when it answers a question of ours that is over, wrong when it answers none, garbage when it cannot be read. Must not know what
carries the messages."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from synfin.channels.errors import ChannelError
from synfin.engine.errors import UsageError

SECOND: Final = 1_000_000_000
NEVER: Final = (1 << 63) - 1
MAGIC: Final = b"1+1?"
QUESTION: Final = 1
ANSWER: Final = 2
LAST: Final = 3
ONE: Final = struct.Struct(">4sBQ")  # QUESTION n, LAST m
TWO: Final = struct.Struct(">4sBQQ")  # ANSWER n m
REMEMBERED: Final = 8  # numbers of ours that are over, and questions of the peer's, that are still known when they come again


class Resting(ChannelError):
    """A check would begin before the rest after a failed one is over, or was ended on this side."""


class Outcome(Enum):
    """How a check ended for one side."""

    BOTH = "both directions"  # it hears and is heard
    DOWN = "path down"  # it asked, and nothing came
    UNCONFIRMED = "not confirmed"  # it hears, and nothing has shown that it is heard


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a side knows of the present check, or of the last one: it hears its peer; its peer hears it."""

    hears: bool
    heard: bool


NOTHING: Final = Knowledge(False, False)
HEARS: Final = Knowledge(True, False)
EVERYTHING: Final = Knowledge(True, True)


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its kind, the number that it answers (ANSWER, LAST) and the one that it asks (QUESTION, ANSWER)."""

    kind: int
    answers: int | None
    asks: int | None

    def pack(self) -> bytes:
        """As it goes over the wire; docs/channels.md has the bytes."""
        if self.kind == ANSWER:
            return TWO.pack(MAGIC, ANSWER, self.answers, self.asks)
        return ONE.pack(MAGIC, self.kind, self.asks if self.kind == QUESTION else self.answers)

    @classmethod
    def unpack(cls, data: bytes) -> "Message | None":
        """The message in `data`, None for bytes that are none."""
        if len(data) == TWO.size and data[:5] == MAGIC + bytes([ANSWER]):
            return cls(ANSWER, *TWO.unpack(data)[2:])
        if len(data) == ONE.size and data[:4] == MAGIC and data[4] in (QUESTION, LAST):
            number = ONE.unpack(data)[2]
            return cls(QUESTION, None, number) if data[4] == QUESTION else cls(LAST, number, None)
        return None


@dataclass(frozen=True, slots=True)
class Learned:
    """Something that a side has just learnt. `outcome` is None while the check goes on; `asked` whether it had asked."""

    at: int
    knowledge: Knowledge
    outcome: Outcome | None
    asked: bool


@dataclass(slots=True)
class Counts:
    """What came that changed nothing, and how checks ended, since the start."""

    garbage: int = 0
    wrong: int = 0
    late: int = 0
    repeated: int = 0
    asked: int = 0
    answered: int = 0
    confirmed: int = 0
    down: int = 0
    unconfirmed: int = 0


class Liveness:
    """One side. `fresh()` gives a new unguessable number of 64 bits; `patience` and `rest` are in ns.

    `out` holds the messages to send, in order, `learned` what was learnt, for the caller to take. Raises UsageError for times
    that are not positive."""

    __slots__ = (
        "_asked", "_begun", "_fresh", "_old", "_rests_until", "_seen", "_wanted", "counts", "knowledge", "learned", "out",
        "patience", "rest",
    )  # fmt: skip

    def __init__(self, fresh: Callable[[], int], *, patience: int = 5 * SECOND, rest: int = 60 * SECOND) -> None:
        if patience <= 0 or rest < 0:
            raise UsageError(f"patience is above 0 and rest is not negative, in nanoseconds: not {patience} and {rest}")
        self.patience = patience
        self.rest = rest
        self.out: list[bytes] = []
        self.learned: list[Learned] = []
        self.knowledge = NOTHING
        self.counts = Counts()
        self._fresh = fresh
        self._wanted: int | None = None  # our number that has to come back; None: no check is under way
        self._asked = False  # the check under way, or the last one, is our own
        self._begun = 0
        self._seen: list[int] = []  # the peer's questions that we have answered
        self._old: list[int] = []  # our numbers that are over
        self._rests_until = 0

    @property
    def busy(self) -> bool:
        """Whether a check is under way on this side."""
        return self._wanted is not None

    def may_ask(self, now: int) -> bool:
        """Whether `ask` would ask: no check is under way and the rest is over."""
        return self._wanted is None and now >= self._rests_until

    def rests_until(self) -> int:
        """Until when this side does not ask, ns; 0 when it never had to rest."""
        return self._rests_until

    def ask(self, now: int) -> bool:
        """Begin a check. Returns whether it began: not while one is under way, nor during the rest after one that failed."""
        if not self.may_ask(now):
            return False
        number = self._begin(now, asked=True)
        self.knowledge = NOTHING
        self.counts.asked += 1
        self.out.append(Message(QUESTION, None, number).pack())
        return True

    def begin(self, now: int) -> None:
        """Begin a check, or join the one that is under way. Raises Resting."""
        if not self.busy and not self.ask(now):
            raise Resting(f"resting for {(self._rests_until - now) / SECOND:.1f} s more after a check that failed")

    def received(self, data: bytes, now: int) -> None:
        """A message of the peer's has come; anything may be in it."""
        message = Message.unpack(data)
        if message is None:
            self.counts.garbage += 1
        elif message.kind == QUESTION:
            self._receive_question(message, now)
        elif message.answers != self._wanted or self._wanted is None or (message.kind == LAST and self._asked_alone()):
            self._count_stranger(message.answers)
        else:
            self._receive_answer(message, now)

    def _receive_question(self, message: Message, now: int) -> None:
        """We hear. While a number of ours is under way already, the answer carries that one: either message may bring it
        back."""
        if message.asks in self._seen:
            self.counts.repeated += 1
            return
        self._answered(message.asks)
        if self._wanted is not None and not self.knowledge.hears:
            self._begun = now  # the asker answers now: the third message has its whole patience too, once
        number = self._begin(now, asked=False) if self._wanted is None else self._wanted
        self._learn(HEARS, None, now)
        self.out.append(Message(ANSWER, message.asks, number).pack())

    def _receive_answer(self, message: Message, now: int) -> None:
        """Our number came back: we hear and are heard. A question in it that we have not answered gets the third message."""
        if message.kind == ANSWER and message.asks not in self._seen:
            self._answered(message.asks)
            self.out.append(Message(LAST, message.asks, None).pack())
        self._over()
        self.counts.confirmed += 1
        self._learn(EVERYTHING, Outcome.BOTH, now)

    def _answered(self, number: int | None) -> None:
        if number is not None:
            self.counts.answered += 1
            self._seen.append(number)
            del self._seen[:-REMEMBERED]

    def _asked_alone(self) -> bool:
        """Whether the third message cannot be meant for us: we asked, and have not answered anything since."""
        return self._asked and not self.knowledge.hears

    def _count_stranger(self, number: int | None) -> None:
        if number in self._old:
            self.counts.late += 1
        else:
            self.counts.wrong += 1

    def next_deadline(self) -> int:
        """When to call `handle_timers`, ns; NEVER while no check is under way."""
        return NEVER if self._wanted is None else self._begun + self.patience

    def handle_timers(self, now: int) -> None:
        """Patience may be over: nothing that is not known is claimed then, and the rest begins."""
        if now < self.next_deadline():
            return
        self._over()
        self._rests_until = now + self.rest
        if self._asked and not self.knowledge.hears:
            self.counts.down += 1
            self._learn(NOTHING, Outcome.DOWN, now)
        else:
            self.counts.unconfirmed += 1
            self._learn(self.knowledge, Outcome.UNCONFIRMED, now)

    def _begin(self, now: int, *, asked: bool) -> int:
        """A check begins, and with it a number of ours; one of ours that was under way is over."""
        self._over()
        number = self._fresh()
        self._wanted = number
        self._asked = asked
        self._begun = now
        return number

    def _over(self) -> None:
        if self._wanted is not None:
            self._old.append(self._wanted)
            del self._old[:-REMEMBERED]
            self._wanted = None

    def _learn(self, knowledge: Knowledge, outcome: Outcome | None, now: int) -> None:
        self.knowledge = knowledge
        self.learned.append(Learned(now, knowledge, outcome, self._asked))
