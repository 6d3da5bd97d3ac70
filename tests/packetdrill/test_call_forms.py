"""System calls in forms that make no sense, or that nobody plays here: told, never passed over."""

import pytest

from synfin.packetdrill.calls import TABLE
from synfin.packetdrill.counts import COUNTS
from tests.packetdrill.playing import opened, play

SOCKET = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"


@pytest.mark.parametrize(
    ("call", "count"),
    [
        ("close(4, 5, 6) = 0", 3), ("close() = 0", 0), ("shutdown(4, SHUT_WR, 0) = 0", 3), ("write(4, ..., 10, 0) = 10", 4),
        ("accept(3, ...) = 5", 2), ("getsockopt(4, SOL_SOCKET, SO_ERROR, [0]) = 0", 4), ("poll([{fd=4}], 1) = 0", 2),
    ],
)  # fmt: skip
def test_a_call_with_another_number_of_arguments_is_skipped_before_anything_is_played(call: str, count: int) -> None:
    outcome = opened(f"+0 close(9) = 0\n+0 {call}")
    name = call.partition("(")[0]
    assert (outcome.verdict, outcome.kind, outcome.detail) == ("SKIP", "feature", f"{name}() with {count} arguments")


def test_every_call_that_is_played_has_its_numbers_of_arguments() -> None:
    assert COUNTS.keys() == TABLE.keys()
