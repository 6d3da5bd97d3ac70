"""The line that says how far long transfers are."""

import io
import re

import pytest

from synfin.cli.progress import MANY, ONE, Count, Line, size


def test_a_transfer_of_more_than_a_second_is_shown_with_the_rate_of_the_last_moment() -> None:
    count, stream = Count(10.0), io.StringIO()
    line = Line([count], "en", stream, 10.0)
    count.sent = 1_000_000
    line.update(10.5)
    assert stream.getvalue() == ""  # it may be over soon
    count.sent, count.received = 3_000_000, 10
    line.update(11.0)
    assert stream.getvalue() == "\r3.0 MB sent, 10 B received, 4.0 MB/s\x1b[K"
    line.update(11.5)
    assert stream.getvalue().endswith("\r3.0 MB sent, 10 B received, 0 B/s\x1b[K")  # it stands still
    line.end()
    line.end()
    assert stream.getvalue().endswith("0 B/s\x1b[K\n") and stream.getvalue().count("\n") == 1


def test_several_at_once_are_one_line_which_stays_when_they_have_ended() -> None:
    counts, stream = [Count(0.0), Count(0.0), Count(1.9)], io.StringIO()
    line = Line(counts, "en", stream, 0.0)
    for count in counts:
        count.received = 500
    line.update(2.0)
    assert stream.getvalue() == "\r2 connections: 0 B sent, 1.0 kB received, 750 B/s\x1b[K"
    counts.clear()
    line.update(2.5)
    line.update(3.0)
    assert stream.getvalue().endswith("\x1b[K\n") and stream.getvalue().count("\n") == 1


def test_a_connection_that_nothing_crosses_shows_nothing() -> None:
    stream = io.StringIO()
    Line([Count(0.0)], "en", stream, 0.0).update(100.0)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("text", [ONE, MANY])
def test_the_line_says_the_same_in_chinese(text: tuple[str, str]) -> None:
    english, chinese = text
    assert sorted(re.findall(r"{(\w+)}", english)) == sorted(re.findall(r"{(\w+)}", chinese))
    assert re.search("[一-鿿]", chinese) and not re.search("[一-鿿]", english)


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (2 * 10**15, "2000.0 TB")],
)
def test_sizes_are_as_a_person_reads_them(number: int, words: str) -> None:
    assert size(number) == words
