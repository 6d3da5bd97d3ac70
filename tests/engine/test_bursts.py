"""TcpConfig.push_burst: which segments of those that leave together have PSH, as Linux's super-segments have it."""

import pytest

from synfin.engine.congestion.base import UNLIMITED
from synfin.engine.output import _push_bursts
from synfin.engine.segment import ACK, ACK_DELAYED, FIN_SENT, NEW_DATA, PSH, RETRANSMIT_TIMEOUT, Outgoing
from tests.engine.harness import PLAIN
from tests.rfc.build import established

KINDS = {"N": NEW_DATA, "P": NEW_DATA, "R": RETRANSMIT_TIMEOUT, "F": FIN_SENT, "A": ACK_DELAYED}
MS = 1_000_000


def pushed(kinds: str, *, srtt: int = -1, least: int = 2, ssthresh: int = UNLIMITED, count: int = 1000) -> list[int]:
    """Of segments of `count` bytes (N new, P new and pushed, R again, F with FIN, A without text) those that have PSH; the
    window is ten segments of 1,000 bytes."""
    connection = established(PLAIN.replace(push="write", push_burst=least)).connection
    sender = connection.sender
    sender.mss, sender.rtt.srtt, sender.congestion.cwnd, sender.congestion.ssthresh = 1000, srtt, 10_000, ssthresh
    out = [
        Outgoing(1, 1, ACK | (PSH if kind == "P" else 0), 100, KINDS[kind], b"" if kind == "A" else bytes(count))
        for kind in kinds
    ]
    _push_bursts(connection, out)
    return [at for at, segment in enumerate(out) if segment.flags & PSH]


@pytest.mark.parametrize("srtt", [-1, 0])
def test_without_a_round_trip_a_burst_is_as_large_as_it_can_be(srtt: int) -> None:
    assert pushed("N" * 10, srtt=srtt) == [9]
    assert pushed("N" * 70, srtt=srtt) == [64, 69]
    assert pushed("N" * 66, srtt=srtt) == [64], "what is left alone is no burst"


@pytest.mark.parametrize(
    ("srtt", "ssthresh", "size"),
    [
        (10 * MS, UNLIMITED, 2),  # 1,953 bytes are a millisecond's share: the least counts
        (MS, UNLIMITED, 19),  # twice cwnd a round trip, 1,024th of a second
        (MS, 20_001, 19),
        (MS, 20_000, 11),  # near ssthresh 1.2 times cwnd
        (MS // 10, UNLIMITED, 65),
    ],
)
def test_a_burst_is_a_millisecond_of_what_a_round_trip_carries(srtt: int, ssthresh: int, size: int) -> None:
    assert pushed("N" * (2 * size + 1), srtt=srtt, ssthresh=ssthresh) == [size - 1, 2 * size - 1]


def test_a_burst_of_one_segment_is_not_pushed() -> None:
    assert pushed("NNN", srtt=10 * MS, least=1) == []
    assert pushed("N") == []


def test_a_super_segment_is_a_burst() -> None:
    assert pushed("N", count=1001) == [0]
    assert pushed("NN", count=999) == [1]
    assert pushed("NNN", srtt=10 * MS, count=5000, least=10) == [1, 2], "two of five make ten, the last is alone and five"


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        ("ANN", [2]),
        ("RNN", [2]),
        ("NRN", []),
        ("NNR", [1]),
        ("NNRN", [1]),
        ("NNF", []),
        ("NPN", [1]),
        ("NPNN", [1, 3]),
    ],
)
def test_only_what_is_new_and_follows_itself_is_a_burst(kinds: str, found: list[int]) -> None:
    assert pushed(kinds) == found
