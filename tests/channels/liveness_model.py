"""Every course that two sides of the liveness check can take, explored with the shipped class itself.

Run `python -m tests.channels.liveness_model` for the number of states. The network keeps every message and may deliver it at any
time, any number of times or never: that is every order, delay, loss and duplication at once. Either side may ask at any time; time
passes in steps, of which two are the patience and three the rest. At most `messages` different messages are sent in one course. A
second, smaller exploration has each message come exactly once, in every order, before time passes: there every check, and every
tie, must end with both sides knowing all.

What really happened is kept beside the two sides: which of a side's numbers the other side has read, and since when. A claim that
this does not bear out is a Violation.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Final

from synfin.channels.liveness import EVERYTHING, NEVER, Counts, Liveness, Message, Outcome

PATIENCE: Final = 2  # steps of time: what matters is what comes before what
REST: Final = 3
SIDES: Final = (0, 1)

Make = Callable[[Callable[[], int]], Liveness]


class Violation(AssertionError):
    """A side has claimed what it cannot know, or broken a rule; the message has the course that led there."""


class Numbers:
    """Fresh numbers of one side: its own, never used twice."""

    __slots__ = ("made", "side")

    def __init__(self, side: int, made: int = 0) -> None:
        self.side = side
        self.made = made

    def __call__(self) -> int:
        self.made += 1
        return self.latest

    @property
    def latest(self) -> int:
        """The number made last."""
        return (self.side + 1) << 32 | self.made


class Course:
    """One state of the whole: both sides, what is under way, and what really happened."""

    __slots__ = (
        "asks", "exact", "failed_at", "heard_since", "moves", "news_since", "now", "read", "sent", "sides", "together", "under_way",
    )  # fmt: skip

    def __init__(self, make: Make, *, exact: bool = False) -> None:
        self.exact = exact
        self.now = 0
        self.sides = [make(Numbers(side)) for side in SIDES]
        self.under_way: list[tuple[int, bytes]] = []  # (to, message), sorted; `exact`: what has come is gone from here
        self.sent = 0
        self.asks = [0, 0]
        self.read: list[frozenset[int]] = [frozenset(), frozenset()]  # numbers of this side that the other has read
        self.heard_since = [False, False]  # a message has come since the present check of this side began
        self.news_since = [False, False]  # ... that was no copy and answered no older question
        self.failed_at = [-NEVER, -NEVER]
        self.together = False  # both asked before anything came
        self.moves: tuple[object, ...] = ()

    def copy(self) -> "Course":
        twin = object.__new__(Course)
        for name in Course.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.sides = [_copied(side) for side in self.sides]
        twin.under_way, twin.asks = list(self.under_way), list(self.asks)
        twin.read, twin.failed_at = list(self.read), list(self.failed_at)
        twin.heard_since, twin.news_since = list(self.heard_since), list(self.news_since)
        return twin

    def key(self) -> object:
        """Two courses with one key have one future: times count from now."""
        return (
            tuple(_key(side, self.now) for side in self.sides), tuple(self.under_way), tuple(self.read),
            tuple(self.heard_since), tuple(self.news_since), tuple(min(self.now - at, REST) for at in self.failed_at),
            self.exact and (tuple(self.asks), self.together),
        )  # fmt: skip

    # What may happen

    def following(self, messages: int) -> Iterator["Course"]:
        """Every course that is one step longer."""
        for side in SIDES:
            if self.sent < messages and not self.sides[side].busy:
                yield from self._ask(side)
        for index in range(len(self.under_way)):
            yield self._deliver(index)
        for until in self._times():
            yield self._wait(until)

    def _ask(self, side: int) -> Iterator["Course"]:
        """Try to ask, which is refused during a rest: then nothing may have changed."""
        twin = self.copy()
        asked = twin.sides[side].ask(twin.now)
        resting = twin.now < twin.failed_at[side] + REST
        twin._step("ask", side)
        if asked and resting:
            raise Violation(twin.story(f"{'AB'[side]} asked again before its rest was over"))
        if not asked:
            if not resting:
                raise Violation(twin.story(f"{'AB'[side]} did not ask although it might"))
            return
        twin.asks[side] += 1
        twin.heard_since[side] = twin.news_since[side] = False
        twin.together = twin.asks == [1, 1] and twin.sent == 1
        twin._after(side)
        yield twin

    def _deliver(self, index: int) -> "Course":
        twin = self.copy()
        to, data = twin.under_way[index]
        if self.exact:
            del twin.under_way[index]
        twin._step("come", to, data)
        message = Message.unpack(data)
        assert message is not None
        if message.answers is None:
            news = message.asks not in twin.read[1 - to]
        else:
            news = message.answers == twin._latest(to)
        if message.asks is not None:
            twin.read[1 - to] |= {message.asks}
        twin.heard_since[to] = True
        twin.news_since[to] = twin.news_since[to] or news
        twin.sides[to].received(data, twin.now)
        twin._after(to)
        return twin

    def _times(self) -> list[int]:
        """The next moment, as long as time still changes anything."""
        if self.exact:
            return []
        ends = [side.next_deadline() for side in self.sides] + [at + REST for at in self.failed_at]
        return [self.now + 1] if any(self.now < end < NEVER for end in ends) else []

    def _wait(self, until: int) -> "Course":
        twin = self.copy()
        twin.now = until
        twin._step("time", until)
        for side in SIDES:
            due = twin.sides[side].next_deadline() <= until
            twin.sides[side].handle_timers(until)
            if due:
                twin.failed_at[side] = until
                if twin.sides[side].busy:
                    raise Violation(twin.story(f"{'AB'[side]} still waits after its patience"))
            twin._after(side)
        return twin

    def _step(self, *move: object) -> None:
        self.moves = (self.moves, move)  # a chain: most courses are never told

    # What must hold

    def _after(self, side: int) -> None:
        """Take what `side` sends, and hold what it claims against what happened."""
        liveness, name = self.sides[side], "AB"[side]
        for data in liveness.out:
            self.under_way.append((1 - side, data))
            self.sent += 1
        liveness.out.clear()
        self.under_way.sort()
        for learned in liveness.learned:
            knowledge = learned.knowledge
            if knowledge.hears and not self.heard_since[side]:
                raise Violation(self.story(f"{name} claims to hear, and nothing has come"))
            if knowledge.heard and not self._was_heard(side):
                raise Violation(self.story(f"{name} claims to be heard, and nobody has read the number of this check"))
            if learned.outcome is Outcome.DOWN and self.news_since[side]:
                raise Violation(self.story(f"{name} calls the path down and hears"))
            if (learned.outcome is Outcome.BOTH) != (knowledge.hears and knowledge.heard):
                raise Violation(self.story(f"{name} says {learned.outcome} and knows {knowledge}"))
        liveness.learned.clear()
        self._well_ended()

    def _was_heard(self, side: int) -> bool:
        """Whether the other side has read the newest number of `side`, which the present check is about."""
        return self._latest(side) in self.read[side]

    def _latest(self, side: int) -> int:
        numbers = self.sides[side]._fresh
        assert isinstance(numbers, Numbers)
        return numbers.latest

    def _well_ended(self) -> None:
        """Where nothing was lost or late, one check, and two begun at once, end with both knowing all, in three and four."""
        if self.under_way or not self.exact:
            return
        if sum(self.asks) == 1 or self.together:
            if [side.knowledge for side in self.sides] != [EVERYTHING, EVERYTHING] or any(side.busy for side in self.sides):
                raise Violation(self.story("a tie is left unresolved" if self.together else "a check is left unresolved"))
            if self.sent > sum(self.asks) + 2:
                raise Violation(self.story(f"it took {self.sent} messages"))

    def story(self, what: str) -> str:
        """What went wrong, and how it came about."""
        told: list[str] = []
        chain: tuple[object, ...] = self.moves
        while chain:
            chain, move = chain  # type: ignore[assignment, misc]
            told.append(_told(move))  # type: ignore[arg-type]
        return f"{what}: " + "; ".join(reversed(told))


def _told(move: tuple[object, ...]) -> str:
    kind, about = move[0], move[1]
    assert isinstance(about, int)
    if kind == "time":
        return f"time {about}"
    who = "AB"[about]
    if kind == "ask":
        return f"{who} asks"
    message = Message.unpack(move[2])  # type: ignore[arg-type]
    assert message is not None
    said = f"{('', 'QUESTION', 'ANSWER', 'LAST')[message.kind]}(answers {message.answers}, asks {message.asks})"
    return f"{who} gets {said}"


SLOTS: Final = tuple(name for name in Liveness.__slots__ if name not in ("counts", "learned", "out"))
LISTS: Final = ("_old", "_seen")


def _copied(side: Liveness) -> Liveness:
    """A side with the same future; counts are its own affair."""
    twin = object.__new__(type(side))
    for name in SLOTS:
        setattr(twin, name, getattr(side, name))
    for name in LISTS:
        setattr(twin, name, list(getattr(side, name)))
    assert isinstance(side._fresh, Numbers)
    twin._fresh = Numbers(side._fresh.side, side._fresh.made)
    twin.out, twin.learned, twin.counts = [], [], Counts()
    return twin


def _key(side: Liveness, now: int) -> object:
    """What decides the future of a side."""
    assert isinstance(side._fresh, Numbers)
    waiting = now - side._begun if side.busy else -1
    rests = max(side.rests_until() - now, 0)
    return (
        side._wanted, side._asked, waiting, rests, side.knowledge, tuple(side._seen), side._fresh.made
    )


def explore(make: Make, messages: int) -> int:
    """Visit every course with at most `messages` messages; returns how many states there are. Raises Violation."""
    return _visit(Course(make), messages) + _visit(Course(make, exact=True), messages)


def _visit(first: Course, messages: int) -> int:
    seen = {first.key()}
    waiting = [first]
    while waiting:
        for following in waiting.pop().following(messages):
            if following.sent <= messages:
                key = following.key()
                if key not in seen:
                    seen.add(key)
                    waiting.append(following)
    return len(seen)


def shipped(fresh: Callable[[], int]) -> Liveness:
    """The class as it is."""
    return Liveness(fresh, patience=PATIENCE, rest=REST)


if __name__ == "__main__":
    bound = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    print(f"{explore(shipped, bound):,} states with at most {bound} messages; no side ever claims what it cannot know")
