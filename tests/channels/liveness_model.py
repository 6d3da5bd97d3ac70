"""Every course that two sides of the liveness check can take, explored with the shipped class itself.

Run `python -m tests.channels.liveness_model [MESSAGES]` for the number of states. Two explorations, each complete for all
courses in which at most so many messages are sent:

- The faulty network keeps every message and may deliver it at any time, any number of times or never: that is every order,
  delay, loss and duplication at once. Either side may ask whenever it has no check under way, or be out of patience whenever it
  has one: each has its own clock, and how fast the one goes beside the other does not matter.
- The exact network delivers each message once, in every order, before anybody runs out of patience. There every check, and
  every tie, must end with both sides knowing all, in three and in four messages.

What really happened is kept beside the two sides: which of a side's numbers the other has read, and whether something has come
since its check began. A claim that this does not bear out is a Violation, which tells the shortest course that leads there.

What makes it small enough to be complete. The sides share nothing but messages, so what one does on an input is taken from the
class once for each (state, input) and remembered. Both are of one class: a course and its mirror image are one. Numbers are
counted from 1 on each side. Of a side's clock only two things matter, whether it is out of patience and whether it rests; a
rest ends, as far as anybody can see, when the side asks again. The order in which questions were seen matters only when more
than are remembered have come, which so few messages do not allow."""

import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from synfin.channels.liveness import (
    ANSWER,
    EVERYTHING,
    LAST,
    QUESTION,
    REMEMBERED,
    Counts,
    Learned,
    Liveness,
    Message,
    Outcome,
)

PATIENCE: Final = 1
REST: Final = 1000  # longer than all the patience of one course
OWN: Final = 1 << 32  # a side's numbers, as it sees them itself
THEIRS: Final = 2 << 32
ORDERLESS: Final = ("_old", "_seen")
IGNORED: Final = ("counts", "learned", "out")  # figures for people; and what the caller takes at once
SIDES: Final = (0, 1)

Make = Callable[[Callable[[], int]], Liveness]
Wire = tuple[int, int, int]  # kind, number answered, number asked; 0: none


class Violation(AssertionError):
    """A side has claimed what it cannot know, or broken a rule; the message has the course that led there."""


class Numbers:
    """Fresh numbers of one side: its own, never used twice."""

    __slots__ = ("made",)

    def __init__(self, made: int = 0) -> None:
        self.made = made

    def __call__(self) -> int:
        self.made += 1
        return OWN | self.made


class Done(NamedTuple):
    """What a side does on one input."""

    state: int
    accepted: bool  # of asking
    sent: tuple[Wire, ...]
    learned: tuple[Learned, ...]


class Behaviour:
    """What the class does in each of its states on each input, asked of it once. A state's clock stands at 0."""

    def __init__(self, make: Make) -> None:
        self._known: dict[object, int] = {}
        self._sides: list[Liveness] = []
        self._done: dict[tuple[int, object], Done] = {}
        self.first = self._enter(make(Numbers()), 0)

    def made(self, state: int) -> int:
        """How many numbers a side has made that is in `state`."""
        numbers = self._sides[state]._fresh
        assert isinstance(numbers, Numbers)
        return numbers.made

    def busy(self, state: int) -> bool:
        """Whether a check is under way."""
        return self._sides[state].busy

    def knows_all(self, state: int) -> bool:
        """Whether it knows that both directions work."""
        return self._sides[state].knowledge == EVERYTHING

    def on(self, state: int, move: str | Wire) -> Done:
        """`move`: "ask" at once, "rested": ask when the rest must be over, "time": out of patience; or a message that comes."""
        found = self._done.get((state, move))
        if found is None:
            found = self._done[state, move] = self._drive(state, move)
        return found

    def _drive(self, state: int, move: str | Wire) -> Done:
        side, now, accepted = _copied(self._sides[state]), 0, True
        if move == "ask":
            accepted = side.ask(now)
        elif move == "rested":
            now = REST
            accepted = side.ask(now)
        elif move == "time":
            now = side.next_deadline()
            side.handle_timers(now)
        else:
            assert not isinstance(move, str)
            kind, answers, asks = move
            numbers = (OWN | answers if answers else None, THEIRS | asks if asks else None)
            side.received(Message(kind, *numbers).pack(), now)
        sent = tuple(_wire(data) for data in side.out)
        return Done(self._enter(side, now), accepted, sent, tuple(side.learned))

    def _enter(self, side: Liveness, now: int) -> int:
        side._begun = side._begun - now if side.busy else 0
        side._rests_until = REST if side._rests_until > now else 0
        for name in ORDERLESS:
            setattr(side, name, sorted(getattr(side, name)))
        side = _copied(side)
        key = tuple(_plain(getattr(side, name)) for name in _slots(type(side)))
        if key not in self._known:
            self._known[key] = len(self._sides)
            self._sides.append(side)
        return self._known[key]


def _slots(kind: type) -> list[str]:
    return [name for base in kind.__mro__ for name in getattr(base, "__slots__", ()) if name not in IGNORED]


def _plain(value: Any) -> object:
    if isinstance(value, Numbers):
        return value.made
    return tuple(value) if isinstance(value, list) else value


def _copied(side: Liveness) -> Liveness:
    """A side with the same future."""
    twin = object.__new__(type(side))
    for name in _slots(type(side)):
        value = getattr(side, name)
        setattr(twin, name, list(value) if isinstance(value, list) else value)
    assert isinstance(side._fresh, Numbers)
    twin._fresh = Numbers(side._fresh.made)
    twin.out, twin.learned, twin.counts = [], [], Counts()
    return twin


def _wire(data: bytes) -> Wire:
    message = Message.unpack(data)
    assert message is not None
    return message.kind, (message.answers or 0) & (OWN - 1), (message.asks or 0) & (OWN - 1)


class Side(NamedTuple):
    """One side within a course: its state, what is on its way to it, and what really happened."""

    state: int
    coming: tuple[Wire, ...] = ()
    read: int = 0  # bit n: the other side has read our number n
    heard: bool = False  # a message has come since our present check began
    news: bool = False  # ... that was no copy and answered no older question
    rests: bool = False
    asked: int = 0  # how often; counted in the exact network only
    blind: bool = False  # ... the first time before anything had come


Course = tuple[Side, Side]


class Step(NamedTuple):
    """One move of a course: where it leads, and what was wrong with it."""

    course: Course
    side: int
    move: str | Wire
    wrong: str  # empty: nothing


class Exploration:
    """All courses of one kind of network. `messages` is the most that may be sent."""

    def __init__(self, behaviour: Behaviour, messages: int, *, exact: bool) -> None:
        assert messages <= REMEMBERED
        self.behaviour = behaviour
        self.messages = messages
        self.exact = exact

    def visit(self) -> int:
        """Returns the number of states. Raises Violation."""
        first = (Side(self.behaviour.first), Side(self.behaviour.first))
        # Course and messages sent -> the course before it, the move, and whether the sides changed places after it.
        seen: dict[object, Any] = {(first, 0): None}
        waiting = deque([(first, 0)])
        while waiting:
            here = waiting.popleft()
            for step, sent in self.following(*here):
                if sent > self.messages:
                    continue
                (one, other), mirrored = step.course, step.course[0] > step.course[1]
                found = ((other, one) if mirrored else step.course, sent)
                if step.wrong:
                    raise Violation(_story(seen, here, step))
                if found not in seen:
                    seen[found] = (here, step.side, step.move, mirrored)
                    waiting.append(found)
        return len(seen)

    def following(self, course: Course, sent: int) -> Iterator[tuple[Step, int]]:
        """Every course that is one step longer, and how many messages that makes."""
        for index in SIDES:
            mine = course[index]
            if not self.behaviour.busy(mine.state):
                if sent < self.messages and not (self.exact and mine.rests):
                    yield self._ask(course, index, sent)
            elif not self.exact:
                yield self._move(course, index, "time", mine, sent)
            for message in mine.coming:
                yield self._deliver(course, index, message, sent)

    def _ask(self, course: Course, index: int, sent: int) -> tuple[Step, int]:
        mine = course[index]
        if mine.rests and self.behaviour.on(mine.state, "ask").accepted:
            return Step(course, index, "ask", "asked again before its rest was over"), sent
        move = "rested" if mine.rests else "ask"
        if not self.behaviour.on(mine.state, move).accepted:
            return Step(course, index, move, "did not ask although it might"), sent
        if self.exact:
            mine = mine._replace(asked=mine.asked + 1, blind=mine.blind or not (mine.heard or mine.asked))
        return self._move(course, index, move, mine._replace(heard=False, news=False, rests=False), sent)

    def _deliver(self, course: Course, index: int, message: Wire, sent: int) -> tuple[Step, int]:
        mine, other = course[index], course[1 - index]
        kind, answers, asks = message
        if kind == QUESTION:
            news = not other.read >> asks & 1
        else:
            news = answers == self.behaviour.made(mine.state)
        if asks:
            other = other._replace(read=other.read | 1 << asks)
        coming = tuple(each for each in mine.coming if each != message) if self.exact else mine.coming
        mine = mine._replace(coming=coming, heard=True, news=mine.news or news)
        if kind != QUESTION and not news:
            done = self.behaviour.on(mine.state, message)
            if done.state != mine.state or done.sent or done.learned:
                return Step(course, index, message, "is changed by an answer to an older question"), sent
        return self._move((mine, other) if index == 0 else (other, mine), index, message, mine, sent)

    def _move(self, course: Course, index: int, move: str | Wire, mine: Side, sent: int) -> tuple[Step, int]:
        """Let the side do what it does, and hold what it claims against what happened."""
        done, other = self.behaviour.on(mine.state, move), course[1 - index]
        wrong = self._wrong(done, mine)
        if move == "time":
            mine = mine._replace(rests=True)
            if self.behaviour.busy(done.state):
                wrong = wrong or "still waits after its patience"
        mine = mine._replace(state=done.state)
        sent += len(done.sent)
        if done.sent:
            other = other._replace(coming=tuple(sorted({*other.coming, *done.sent})))
        following = (mine, other) if index == 0 else (other, mine)
        return Step(following, index, move, wrong or self._badly_ended(following, sent)), sent

    def _wrong(self, done: Done, mine: Side) -> str:
        for learned in done.learned:
            knowledge, outcome = learned.knowledge, learned.outcome
            if knowledge.hears and not mine.heard:
                return "claims to hear, and nothing has come"
            if knowledge.heard and not mine.read >> self.behaviour.made(done.state) & 1:
                return "claims to be heard, and nobody has read the number of this check"
            if outcome is Outcome.DOWN and mine.news:
                return "calls the path down and hears"
            if (outcome is Outcome.BOTH) != (knowledge.hears and knowledge.heard):
                return f"says {outcome} and knows {knowledge}"
        return ""

    def _badly_ended(self, course: Course, sent: int) -> str:
        """Where nothing was lost or late: one check, and two begun at once, end with both knowing all, in three and four."""
        if not self.exact or any(side.coming for side in course) or max(side.asked for side in course) > 1:
            return ""
        asked = sum(side.asked for side in course)
        if any(self.behaviour.busy(side.state) or not self.behaviour.knows_all(side.state) for side in course):
            return f"is left not knowing all, after {sent} messages and {asked} questions"
        due = 4 if all(side.blind for side in course) else 3 * asked  # a tie, or one check after the other
        return f"took {sent} messages where {due} are enough" if sent != due else ""


def _story(seen: dict[object, Any], here: object, step: Step) -> str:
    """What went wrong, and the course that led there; A is who moved first in it."""
    moves = [(step.side, step.move)]
    changes = [False]
    while (before := seen[here]) is not None:
        here, side, move, mirrored = before
        moves.append((side, move))
        changes.append(mirrored)
    told, swapped = [], False
    for (side, move), mirrored in zip(reversed(moves), reversed(changes), strict=True):
        name = "AB"[side ^ swapped]
        told.append(f"{name} {_told(move)}")
        swapped ^= mirrored
    return f"{name} {step.wrong}: " + "; ".join(told)


def _told(move: str | Wire) -> str:
    if isinstance(move, str):
        return {"ask": "asks", "rested": "asks after its rest", "time": "is out of patience"}[move]
    kind, answers, asks = move
    return {QUESTION: f"gets QUESTION {asks}", ANSWER: f"gets ANSWER {answers}, {asks}", LAST: f"gets LAST {answers}"}[kind]


def explore(make: Make, messages: int) -> tuple[int, int]:
    """Visit every course with at most `messages` messages; returns the number of states in the faulty and in the exact network.

    Raises Violation.
    """
    behaviour = Behaviour(make)
    exact = Exploration(behaviour, messages, exact=True).visit()
    return Exploration(behaviour, messages, exact=False).visit(), exact


def shipped(fresh: Callable[[], int]) -> Liveness:
    """The class as it is."""
    return Liveness(fresh, patience=PATIENCE, rest=REST)


if __name__ == "__main__":
    bound = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    faulty, exactly = explore(shipped, bound)
    print(f"at most {bound} messages: {faulty:,} states over a network that loses, delays, repeats and reorders,")
    print(f"{exactly:,} over one that does not; no side ever claims what it cannot know")
