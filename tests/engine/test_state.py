"""The names of states in every spelling in use, and the table's own rules."""

import pytest

from synfin.engine.errors import UsageError
from synfin.engine.state import TRANSITIONS, State, Trigger, next_state, parse_state


@pytest.mark.parametrize(
    ("spelling", "state"),
    [
        ("SYN_SENT", State.SYN_SENT), ("SYN_SEND", State.SYN_SENT), ("syn-sent", State.SYN_SENT),
        ("SYN_RCVD", State.SYN_RECEIVED), ("SYN_RECV", State.SYN_RECEIVED), ("SYN-RECV", State.SYN_RECEIVED),
        ("SYN-RECEIVED", State.SYN_RECEIVED), ("FIN_WAIT_1", State.FIN_WAIT_1), ("FIN_WAIT1", State.FIN_WAIT_1),
        ("finwait2", State.FIN_WAIT_2), ("ESTAB", State.ESTABLISHED), ("est", State.ESTABLISHED),
        ("LISTENING", State.LISTEN), ("closing", State.CLOSING), ("close", State.CLOSED), ("time wait", State.TIME_WAIT),
    ],
)  # fmt: skip
def test_every_spelling_in_use_is_understood(spelling: str, state: State) -> None:
    assert parse_state(spelling) is state


def test_a_name_that_no_state_has_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"^no state 'ESTABLISHD'; nearest: ESTABLISHED$"):
        parse_state("ESTABLISHD")


def test_no_name_at_all_is_told_as_such() -> None:
    with pytest.raises(UsageError, match=r"^a state's name is wanted, not ' '$"):
        parse_state(" ")


def test_every_state_is_left_and_reached() -> None:
    assert {old for old, _ in TRANSITIONS} == set(State)
    assert set(TRANSITIONS.values()) == set(State)


def test_a_move_that_the_table_lacks_is_a_bug() -> None:
    with pytest.raises(AssertionError, match=r"^no transition from CLOSED on rcv FIN$"):
        next_state(State.CLOSED, Trigger.FIN)
