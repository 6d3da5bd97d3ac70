"""Columns: what a terminal shows of English and Chinese."""

import pytest

from synfin.trace.cells import centre, cut, left, paint, right, width, wrap


@pytest.mark.parametrize(
    ("text", "cells"), [("", 0), ("SYN", 3), ("序号", 4), ("序号 seq", 8), ("（半关闭）", 10), ("e\u0301", 1)]
)
def test_a_chinese_character_takes_two_cells(text: str, cells: int) -> None:
    assert width(text) == cells


def test_padding_counts_cells_not_characters() -> None:
    assert left("序号", 6) == "序号  "
    assert right("序号", 6) == "  序号"
    assert centre("序号", 6) == " 序号 "


def test_what_is_too_long_is_cut_and_says_so() -> None:
    assert cut("SYN-RECEIVED", 8) == "SYN-RE.."
    assert cut("序号序号序号", 7) == "序号.."
    assert left("序号序号序号", 7) == "序号.. "


def test_english_is_broken_at_spaces() -> None:
    assert wrap("the third segment is lost", 12) == ["the third", "segment is", "lost"]


def test_chinese_is_broken_anywhere_but_before_its_punctuation() -> None:
    assert wrap("三次握手，四次挥手。", 8) == ["三次握", "手，四次", "挥手。"]


def test_chinese_with_english_words_in_it_keeps_the_words_whole() -> None:
    assert wrap("client 发出 SYN，序号 0。", 12) == ["client 发出", "SYN，序号", "0。"]


def test_an_opening_bracket_does_not_end_a_line() -> None:
    assert wrap("状态改变（收到）", 10) == ["状态改变", "（收到）"]


def test_a_word_longer_than_the_line_is_cut_into_pieces() -> None:
    assert wrap("a 0123456789abc", 6) == ["a", "012345", "6789ab", "c"]


def test_an_empty_text_is_one_empty_line() -> None:
    assert wrap("", 10) == [""]


def test_no_line_is_wider_than_asked_for() -> None:
    text = "server：SYN-RECEIVED -> ESTABLISHED（收到对 SYN 的确认）：它能听到 client，也知道 client 能听到它。" * 3
    for size in (12, 20, 37, 80):
        assert all(width(line) <= size for line in wrap(text, size))


def test_colours_come_only_when_asked_for() -> None:
    assert paint("SYN", "red", False) == "SYN"
    assert paint("SYN", "red", True) == "\x1b[31mSYN\x1b[0m"
    assert paint("   ", "red", True) == "   "
