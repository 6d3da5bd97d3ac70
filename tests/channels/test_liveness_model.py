"""No side of the liveness check ever claims what it cannot know: every course of eight messages, and lies are found out."""

from collections.abc import Callable

import pytest

from synfin.channels.liveness import EVERYTHING, HEARS, Liveness, Message, Outcome
from tests.channels.liveness_model import PATIENCE, REST, Violation, explore, shipped

MESSAGES = 8
STATES, EXACT_STATES = 231_806, 202
ENOUGH = 6  # messages in which each of the changed classes is found out


def test_in_no_course_of_eight_messages_does_a_side_claim_what_it_cannot_know(capsys: pytest.CaptureFixture[str]) -> None:
    faulty, exact = explore(shipped, MESSAGES)
    with capsys.disabled():
        print(f" {faulty:,} + {exact:,} states with at most {MESSAGES} messages", end="")
    assert (faulty, exact) == (STATES, EXACT_STATES)


class ClaimsAtTheFirstMessage(Liveness):
    """The answerer claims both directions at once."""

    __slots__ = ()

    def _receive_question(self, message: Message, now: int) -> None:
        super()._receive_question(message, now)
        if self.learned:
            self._learn(EVERYTHING, Outcome.BOTH, now)


class ClaimsWithoutAnAnswer(Liveness):
    """The asker does not wait."""

    __slots__ = ()

    def ask(self, now: int) -> bool:
        asked = super().ask(now)
        if asked:
            self._learn(EVERYTHING, Outcome.BOTH, now)
        return asked


class ClaimsToHearWithoutAnAnswer(Liveness):
    """The asker, out of patience, takes half of it for granted."""

    __slots__ = ()

    def handle_timers(self, now: int) -> None:
        super().handle_timers(now)
        self._learn(HEARS, Outcome.UNCONFIRMED, now)


class TakesOlderAnswers(Liveness):
    """What answers a question that is over counts too."""

    __slots__ = ()

    def received(self, data: bytes, now: int) -> None:
        message = Message.unpack(data)
        if message is not None and message.answers in self._old and self._wanted is not None:
            data = Message(message.kind, self._wanted, message.asks).pack()
        super().received(data, now)


class TakesAnyAnswer(Liveness):
    """Whatever answers anything ends the check."""

    __slots__ = ()

    def received(self, data: bytes, now: int) -> None:
        message = Message.unpack(data)
        if message is not None and message.answers is not None and self._wanted is not None:
            data = Message(message.kind, self._wanted, message.asks).pack()
        super().received(data, now)


class NeverRests(Liveness):
    """Asks again as soon as it can."""

    __slots__ = ()

    def handle_timers(self, now: int) -> None:
        super().handle_timers(now)
        self._rests_until = 0


class RestsOnlyAfterItsOwnQuestions(Liveness):
    """The answerer, not confirmed, does not rest."""

    __slots__ = ()

    def handle_timers(self, now: int) -> None:
        before = self._rests_until
        super().handle_timers(now)
        if not self._asked:
            self._rests_until = before


class LeavesATie(Liveness):
    """While its own question is under way it does not answer the peer's."""

    __slots__ = ()

    def _receive_question(self, message: Message, now: int) -> None:
        if not self.busy:
            super()._receive_question(message, now)


class BeginsAnewInATie(Liveness):
    """The peer's question puts an end to its own."""

    __slots__ = ()

    def _receive_question(self, message: Message, now: int) -> None:
        self._over()
        super()._receive_question(message, now)


class ProvesNotConfirmed(Liveness):
    """Out of patience as the answerer, it calls the path down."""

    __slots__ = ()

    def handle_timers(self, now: int) -> None:
        super().handle_timers(now)
        last = self.learned.pop()
        self._learn(last.knowledge, Outcome.DOWN, now)


class AnswersCopies(Liveness):
    """A third message for every answer, also in a tie."""

    __slots__ = ()

    def _receive_answer(self, message: Message, now: int) -> None:
        if message.asks in self._seen:
            self.out.append(Message(3, message.asks, None).pack())
        super()._receive_answer(message, now)


LIES = [
    (ClaimsAtTheFirstMessage, "claims to be heard, and nobody has read the number of this check"),
    (ClaimsWithoutAnAnswer, "claims to hear, and nothing has come"),
    (ClaimsToHearWithoutAnAnswer, "claims to hear, and nothing has come"),
    (TakesOlderAnswers, "is changed by an answer to an older question"),
    (TakesAnyAnswer, "is changed by an answer to an older question"),
    (NeverRests, "asked again before its rest was over"),
    (RestsOnlyAfterItsOwnQuestions, "asked again before its rest was over"),
    (LeavesATie, "is left not knowing all"),
    (BeginsAnewInATie, "is left not knowing all"),
    (ProvesNotConfirmed, "calls the path down and hears"),
    (AnswersCopies, "where 4 are enough"),
]


@pytest.mark.parametrize(("changed", "found"), LIES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_changed_class_is_found_out(changed: type[Liveness], found: str) -> None:
    def make(fresh: Callable[[], int]) -> Liveness:
        return changed(fresh, patience=PATIENCE, rest=REST)

    with pytest.raises(Violation, match=found):
        explore(make, ENOUGH)


def test_a_violation_tells_the_shortest_course_that_leads_there() -> None:
    with pytest.raises(Violation) as caught:
        explore(lambda fresh: ClaimsAtTheFirstMessage(fresh, patience=PATIENCE, rest=REST), ENOUGH)
    told = "B claims to be heard, and nobody has read the number of this check: A asks; B gets QUESTION 1"
    assert str(caught.value) == told
