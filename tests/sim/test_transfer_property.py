"""Random transfers over random bad links: what TCP promises, however bad the link.

Each run follows from its seed alone; a failure names it, and `Transfer(seed).run().faults()` plays it again (with
`trace=True` to look at it).
"""

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.errors import DropReason
from tests.sim.transfers import PATIENT, Transfer

CHUNK = 100  # runs a test


def failures(seeds: range, config: TcpConfig, *, near_wrap: bool = False) -> dict[int, list[str]]:
    """The faults of each seed that has some."""
    found = {}
    for seed in seeds:
        try:
            faults = Transfer(seed, config, near_wrap).run().faults()
        except Exception as error:  # the seed belongs to it
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        if faults:
            found[seed] = faults
    return found


@pytest.mark.parametrize("first", range(0, 2500, CHUNK))
def test_bytes_arrive_whole_in_order_and_both_sides_end_in_closed_with_no_timer_left(first: int) -> None:
    assert failures(range(first, first + CHUNK), PATIENT) == {}


@pytest.mark.parametrize("first", range(100_000, 101_000, CHUNK))
def test_the_same_holds_where_sequence_numbers_wrap(first: int) -> None:
    assert failures(range(first, first + CHUNK), PATIENT, near_wrap=True) == {}


@pytest.mark.parametrize("first", range(200_000, 201_000, CHUNK))
def test_with_the_default_limits_bytes_are_whole_or_a_side_timed_out_and_nothing_else(first: int) -> None:
    found = {}
    for seed in range(first, first + CHUNK):
        thirds = Transfer(seed, TcpConfig()).run().third_outcomes()
        if thirds:
            found[seed] = thirds
    assert found == {}


def test_the_default_limits_are_reached_now_and_then_or_the_test_above_would_say_nothing() -> None:
    transfers = [Transfer(seed, TcpConfig()).run() for seed in range(200_000, 200_400)]
    assert any(transfer.timed_out(side) for transfer in transfers for side in (transfer.client, transfer.server))


def test_the_links_are_as_bad_as_they_should_be() -> None:
    lost: dict[str, int] = {}
    damaged = duplicates = 0
    for seed in range(100):
        transfer = Transfer(seed).run()
        for cause, count in transfer.world.network.lost.items():
            lost[cause] = lost.get(cause, 0) + count
        damaged += sum(host.stack.counters.dropped(DropReason.TCP_CHECKSUM) for host in transfer.hosts)
        duplicates += sum(host.stack.counters.dropped(DropReason.DUPLICATE) for host in transfer.hosts)
    assert lost["loss"] > 300
    assert lost["queue full"] > 30
    assert lost["partition"] > 10
    assert damaged > 30
    assert duplicates > 100
