"""Plots: where a value lies, which ticks an axis has, and what the text form says."""

import xml.etree.ElementTree as ET

import pytest

from synfin.trace import svg
from synfin.trace.plots import Axis, Plot, Series, Span, plot_svg, plot_text, short, tick_names, ticks
from synfin.words import Text

NAME = Text("calls", "调用")
TIME = Text("seconds", "秒")


def plot(*points: tuple[float, float | None], log: bool = False, steps: bool = False) -> Plot:
    spans = () if log else (Span(Text("the cut", "中断"), 2, 4),)
    return Plot(Text("Calls", "调用数"), Axis(TIME), Axis(NAME, log=log), (Series(NAME, points, steps),), spans)


@pytest.mark.parametrize(
    ("low", "high", "log", "expected"),
    [
        (0, 10, False, [0, 2, 4, 6, 8, 10]),
        (0, 90, False, [0, 20, 40, 60, 80]),
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (3, 3000, True, [10, 100, 1000]),
        (1, 200, True, [1, 10, 100]),
        (2, 5, True, [2, 5]),
        (2, 50, True, [2, 10, 50]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, log: bool, expected: list[float]) -> None:
    assert ticks(low, high, log) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (0.25, "0.25"), (12, "12"), (123.4, "123"), (12_345, "12.3k"), (2_500_000, "2.5M"), (9_999, "9999")],
)
def test_values_are_written_in_few_characters(value: float, expected: str) -> None:
    assert short(value) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([100, 1000, 10_000], ["100", "1k", "10k"]),
        ([0, 500, 1000], ["0", "500", "1000"]),
        ([1000, 5000, 9999], ["1000", "5000", "9999"]),
        ([0, 5000, 10_000], ["0", "5k", "10k"]),
        ([], []),
    ],
)
def test_the_ticks_of_one_axis_are_written_alike(values: list[float], expected: list[str]) -> None:
    assert tick_names(values) == expected


@pytest.mark.parametrize(
    ("points", "text"), [((1, 200), "1 200"), ((3, 1200), "2 2000"), ((0.4, 6), "0.2 10"), ((10, 1000), "10 1000")]
)
def test_a_log_axis_ends_at_the_round_number_next_to_its_values(points: tuple[float, float], text: str) -> None:
    series = (Series(NAME, tuple((x, 1.0) for x in points)),)
    shown = plot_text(Plot(NAME, Axis(TIME, log=True), Axis(NAME), series))
    assert " ".join(shown.splitlines()[-1].split()[:2]) == text


def test_the_text_form_has_a_bar_a_column_the_range_and_the_span() -> None:
    shown = plot_text(plot((0, 0), (2, 4), (4, 8), (8, 8), steps=True), width=13)
    assert shown.splitlines() == [
        "Calls (calls)",
        "  calls: 0 to 8",
        "  |  ▄▄█████|",
        "     ^^^ the cut",
        "   0 8  seconds",
    ]


def test_the_text_form_can_do_with_ascii() -> None:
    shown = plot_text(plot((0, 0), (2, 4), (4, 8), (8, 8), steps=True), width=13, ascii_only=True, lang="zh")
    assert "  |  ==@@@@@|" in shown.splitlines()
    assert shown.splitlines()[0] == "调用数（调用）"


def test_a_small_value_is_still_seen() -> None:
    assert "|▁█ |" in plot_text(plot((0, 0.001), (2, 1), (4, 0)), width=7)


def test_the_picture_breaks_the_line_where_nothing_was_measured() -> None:
    drawn = ET.fromstring(plot_svg(plot((0, 1), (1, 2), (2, None), (3, 1), (4, 3))))
    paths = [each for each in drawn.iter() if each.tag.endswith("path")]
    assert len(paths) == 2


def test_a_log_axis_leaves_out_what_it_cannot_show() -> None:
    drawn = plot_svg(plot((1, 0), (2, 10), (3, 1000), log=True))
    assert ">10<" in drawn
    assert ">1000<" in drawn


def test_pictures_stand_one_under_the_other_with_ids_of_their_own() -> None:
    both = svg.stack([plot_svg(plot((0, 1), (1, 2)))] * 2, "two", "two plots")
    root = ET.fromstring(both)
    ids = [each.get("id") for each in root.iter() if each.get("id")]
    assert sorted(ids) == ["desc", "desc-1", "desc-2", "title", "title-1", "title-2"]
    single = ET.fromstring(plot_svg(plot((0, 1), (1, 2))))
    assert float(root.get("height", 0)) == 2 * float(single.get("height", 0)) + 3 * svg.STACK_GAP + svg.TITLE_TOP


def test_pictures_that_stand_one_under_the_other_have_their_title_above_them_in_as_many_lines_as_it_needs() -> None:
    for title in ("two", "a title that is longer than the picture is wide " * 3):
        root = ET.fromstring(svg.stack([plot_svg(plot((0, 1), (1, 2)))] * 2, title.strip(), "two plots"))
        lines = [each for each in root if each.tag.endswith("}text")]
        assert " ".join(each.text or "" for each in lines) == title.strip()
        first = next(each for each in root if each.tag.endswith("}g")).attrib["transform"]
        assert float(first.removeprefix("translate(0 ").removesuffix(")")) == float(lines[-1].attrib["y"]) + svg.STACK_GAP
        assert len(lines) == (1 if title == "two" else 3)
