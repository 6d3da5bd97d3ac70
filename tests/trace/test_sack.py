"""SACK blocks in words and pictures: the ladder, its picture, the sentences in both languages."""

import re

import pytest

from synfin.engine import segment as why
from synfin.engine.sack import tells_duplicate
from synfin.engine.segment import ACK, Outgoing
from synfin.trace.ladder import build_ladder
from synfin.trace.ladder_svg import ladder_svg
from synfin.trace.ladder_text import ladder_text
from synfin.trace.narrate import narrate_all
from tests.trace.hand import Hand, X, Y, data, handshake

Blocks = tuple[tuple[int, int], ...]


def told(acknowledged: int, *blocks: tuple[int, int], reason: int = why.ACK_DUPLICATE) -> Hand:
    """A client's data arrives behind a gap; the server's ACK of `acknowledged` has `blocks`, in numbers that begin with 0."""
    hand = Hand()
    handshake(hand)
    packet = hand.send(60, "client", data(X + 1001, Y + 1, b"x" * 1000))
    hand.arrive(70, "server", packet)
    out = Outgoing(Y + 1, (X + acknowledged) & 0xFFFFFFFF, ACK, 1000, reason)
    out.sacks = tuple(((X + left) & 0xFFFFFFFF, (X + right) & 0xFFFFFFFF) for left, right in blocks)
    hand.arrive(80, "client", hand.send(70, "server", out))
    return hand


def said(hand: Hand, lang: str, *, absolute: bool = False) -> str:
    """The last sentence."""
    return [s.say(lang) for s in narrate_all(hand.trace.events, absolute=absolute) if s is not None][-1]


def options(hand: Hand, *, absolute: bool = False) -> tuple[str, ...]:
    """What the ladder shows of the last segment's options."""
    return [row.arrow for row in build_ladder(hand.trace, absolute=absolute).rows if row.arrow is not None][-1].options


def test_the_ladder_has_each_block_by_its_edges() -> None:
    assert options(told(1, (1001, 2001))) == ("sack=1001:2001",)
    assert options(told(1, (3001, 4001), (1001, 2001))) == ("sack=3001:4001", "sack=1001:2001")
    assert "sack=3001:4001" in ladder_text(build_ladder(told(1, (3001, 4001), (1001, 2001)).trace))


def test_the_ladder_tells_a_duplicate_apart() -> None:
    assert options(told(2001, (1001, 2001), (3001, 4001))) == ("dsack=1001:2001", "sack=3001:4001")
    assert options(told(1, (1001, 1501), (1001, 2001))) == ("dsack=1001:1501", "sack=1001:2001")


def test_numbers_stand_as_on_the_wire_where_those_are_asked_for() -> None:
    assert options(told(1, (1001, 2001)), absolute=True) == (f"sack={(X + 1001) & 0xFFFFFFFF}:{(X + 2001) & 0xFFFFFFFF}",)
    assert f"{(X + 1001) & 0xFFFFFFFF}:{(X + 2001) & 0xFFFFFFFF}." in said(told(1, (1001, 2001)), "en", absolute=True)


def test_a_sentence_says_what_is_held() -> None:
    hand = told(1, (3001, 4001), (1001, 2001))
    assert said(hand, "en") == (
        "server sends ACK, seq 1, ack 1: what came was not what it expects next, so it says again that it waits for 1; "
        "beyond what is missing it holds 3001:4001, 1001:2001."
    )
    assert said(hand, "zh").endswith("所以再次说明它在等 1；缺口之后它已持有 3001:4001、1001:2001。")


def test_a_sentence_says_what_came_twice() -> None:
    hand = told(2001, (1001, 2001), (3001, 4001))
    assert said(hand, "en").endswith("; 1001:2001 has come twice; beyond what is missing it holds 3001:4001.")
    assert said(hand, "zh").endswith("；1001:2001 收到了两次；缺口之后它已持有 3001:4001。")
    assert said(told(2001, (1001, 2001)), "en").endswith("; 1001:2001 has come twice.")


def test_a_sentence_about_an_ack_without_blocks_is_as_before() -> None:
    assert said(told(1), "en").endswith("so it says again that it waits for 1.")


@pytest.mark.parametrize(
    ("ack", "blocks", "duplicate"),
    [
        (100, (), False),
        (100, ((50, 100),), True),
        (100, ((50, 101),), False),
        (100, ((200, 300),), False),
        (100, ((200, 300), (200, 300)), True),
        (100, ((250, 300), (200, 300)), True),
        (100, ((200, 250), (200, 300)), True),
        (100, ((199, 300), (200, 300)), False),
        (100, ((200, 301), (200, 300)), False),
        (100, ((300, 310), (200, 300)), False),
        (10, ((0xFFFFFFF0, 5),), True),
        (0xFFFFFFF0, ((0xFFFFFFFA, 3), (0xFFFFFFF8, 5)), True),
        (0xFFFFFFF0, ((0xFFFFFFF6, 3), (0xFFFFFFF8, 5)), False),
    ],
)
def test_a_first_block_before_the_ack_or_in_the_second_is_a_duplicate(ack: int, blocks: Blocks, duplicate: bool) -> None:
    """RFC 2883 4."""
    assert tells_duplicate(blocks, ack) is duplicate


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_picture_shows_as_many_blocks_as_the_arrow_has_room_for(lang: str) -> None:
    many = tuple((place * 1_000_000, place * 1_000_000 + 100_000) for place in (7, 5, 3, 1))
    few = ((3001, 4001), (1001, 2001))
    shown = []
    for blocks in (many, few):
        picture = ladder_svg(build_ladder(told(1, *blocks).trace), lang=lang).replace("\u00a0", " ")
        shown += re.findall(r"len=0 (d?sack=[^<]*)</tspan>", picture)
    assert shown == ["sack=7000000:7100000 sack=5000000:5100000 …", "sack=3001:4001 sack=1001:2001"]
