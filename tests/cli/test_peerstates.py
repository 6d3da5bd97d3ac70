"""What the peer's segments show of its state."""

import pytest

from synfin.cli.peerstates import Peer
from synfin.engine.segment import ACK, FIN, RST, SYN, Segment
from synfin.engine.state import State


def seen(*steps: tuple[str, int, int, int]) -> list[str]:
    """The states after each step: who sent it (us, them), its flags, SEQ and ACK."""
    peer, states = Peer(), []
    for sender, flags, seq, ack in steps:
        segment = Segment(seq, ack, flags, 1000)
        if sender == "them":
            peer.sent(segment)
        else:
            peer.took(segment)
        states.append(str(peer.state))
    return states


OPEN_THEM = [("them", SYN, 100, 0), ("us", SYN | ACK, 500, 101)]
OPEN_US = [("us", SYN, 500, 0), ("them", SYN | ACK, 100, 501), ("us", ACK, 501, 101)]


def test_a_peer_that_opens() -> None:
    assert seen(*OPEN_THEM) == ["SYN-SENT", "ESTABLISHED"]


def test_a_peer_that_was_listening() -> None:
    assert seen(*OPEN_US) == ["SYN-RECEIVED", "SYN-RECEIVED", "ESTABLISHED"]


@pytest.mark.parametrize(
    ("steps", "states"),
    [
        (
            [("them", FIN | ACK, 101, 501), ("us", ACK, 501, 102), ("us", FIN | ACK, 501, 102), ("them", ACK, 102, 502)],
            ["FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "TIME-WAIT"],
        ),
        (
            [("us", FIN | ACK, 501, 101), ("them", FIN | ACK, 101, 502), ("us", ACK, 502, 102)],
            ["CLOSE-WAIT", "LAST-ACK", "CLOSED"],
        ),
        (
            [("them", FIN | ACK, 101, 501), ("us", FIN | ACK, 501, 101), ("us", ACK, 502, 102)],
            ["FIN-WAIT-1", "CLOSING", "TIME-WAIT"],
        ),
        ([("them", FIN | ACK, 101, 501), ("us", FIN | ACK, 501, 102)], ["FIN-WAIT-1", "TIME-WAIT"]),
        ([("us", RST | ACK, 501, 101)], ["CLOSED"]),
        ([("them", RST, 101, 0)], ["CLOSED"]),
        ([("us", ACK, 501, 101), ("us", SYN, 500, 0)], ["ESTABLISHED", "ESTABLISHED"]),
    ],
)
def test_a_connection_that_ends(steps: list[tuple[str, int, int, int]], states: list[str]) -> None:
    assert seen(*OPEN_THEM, *steps)[2:] == states


def test_a_segment_out_of_nothing_moves_nothing() -> None:
    assert seen(("us", ACK, 1, 1), ("them", ACK, 1, 1), ("us", FIN | ACK, 1, 1)) == [str(State.CLOSED)] * 3
