"""The streams of randomness: independent of each other, and the same everywhere."""

import pytest

from synfin.engine.errors import UsageError
from synfin.sim.randoms import Streams

STREAM_1 = 918_209_238  # seed 1, loss:client->server


def test_a_further_draw_in_one_stream_moves_nothing_in_another() -> None:
    one, other = Streams(7), Streams(7)
    for _ in range(100):
        one("loss:a->b").random()
    assert [one("jitter:a->b").random() for _ in range(5)] == [other("jitter:a->b").random() for _ in range(5)]


def test_a_stream_depends_on_seed_and_purpose_alone() -> None:
    # The very numbers: a change of derivation would change every recorded seed.
    assert Streams(1)("loss:client->server").randrange(10**9) == STREAM_1
    assert Streams(2)("loss:client->server").randrange(10**9) != STREAM_1
    assert Streams(1)("loss:server->client").randrange(10**9) != STREAM_1


def test_the_same_purpose_is_the_same_stream() -> None:
    streams = Streams(0)
    assert streams("x") is streams("x")


def test_derived_secrets_have_32_bytes_and_differ_by_purpose() -> None:
    streams = Streams(0)
    assert len(streams.derive("a")) == 32
    assert streams.derive("a") != streams.derive("b")


@pytest.mark.parametrize("wrong", ["1", 1.5, None, True])
def test_a_seed_is_an_integer(wrong: object) -> None:
    with pytest.raises(UsageError, match="the seed is an integer"):
        Streams(wrong)  # type: ignore[arg-type]
