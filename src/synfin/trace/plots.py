"""Plots of numbers over time, or over anything that is measured: lines on two axes, as SVG and as lines of text.

Owns axes, ticks, legends and how a value is written. Knows nothing of what the numbers mean: labels come as Text, in both
languages, with the data.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from synfin.trace import svg
from synfin.trace.cells import width as cells_of
from synfin.words import Text

WIDTH: Final = 760.0
HEIGHT: Final = 190.0  # of the area between the axes
LEFT: Final = 74.0
RIGHT: Final = 24.0
HEAD: Final = 34.0
FOOT: Final = 46.0
LEGEND: Final = 20.0
COLORS: Final = (svg.BLUE, svg.RED, svg.TEAL, svg.ORANGE, "#7a35a0", svg.GREY)
DASHES: Final = (None, "6 3", "2 3", "9 3 2 3", "1 2", "12 4")  # told apart without colour too
BLOCKS: Final = " ▁▂▃▄▅▆▇█"
BLOCKS_ASCII: Final = " .:-=+*#@"
DESCRIPTION: Final = Text("{title}: {what}", "{title}：{what}")
HEADING: Final = Text("{title} ({label})", "{title}（{label}）")
SERIES: Final = Text("{name}: {low} to {high}", "{name}：{low} 至 {high}")

Point = tuple[float, float | None]  # None: nothing was measured there


@dataclass(frozen=True, slots=True)
class Axis:
    """`label` says what is measured and in which unit; `log` for a scale of powers of ten (values above 0 only).

    `low` and `high` fix an end of the axis; None takes it from the points.
    """

    label: Text
    log: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One line. `steps` holds each value until the next point instead of joining the points."""

    name: Text
    points: tuple[Point, ...]
    steps: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasts from `begin` to `end` on the x axis."""

    name: Text
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture with its title; `spans` are shaded and named."""

    title: Text
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    spans: tuple[Span, ...] = field(default=())


def short(value: float, kilo: float = 1e4) -> str:
    """`value` in few characters: 0.25, 12, 3.4k, 12M; in thousands (`k`) from `kilo` on."""
    size = abs(value)
    for limit, factor, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (kilo, 1e3, "k")):
        if size >= limit:
            return f"{value / factor:.3g}{letter}"
    if size >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.3g}"


def tick_names(values: Sequence[float]) -> list[str]:
    """How the ticks of one axis are written: all thousands alike, so not 1000 beside 10k."""
    kilo = 1e3 if max(map(abs, values), default=0.0) >= 1e4 else 1e4
    return [short(value, kilo) for value in values]


def ticks(low: float, high: float, log: bool = False) -> list[float]:
    """Round numbers between `low` and `high`, about five; powers of ten on a log scale, and the scale's ends
    where it has fewer than two of these."""
    if log:
        first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
        powers = [10.0**power for power in range(first, last + 1)]
        return powers if len(powers) > 1 else sorted({low, *powers, high})
    step = 10 ** math.floor(math.log10((high - low) / 5))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= 6:
            step *= factor
            break
    first_tick = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first_tick, math.floor(high / step + 1e-9) + 1)]


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10 ... times a power of ten that is not less than `value`."""
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    return next((power * factor for factor in (1, 2, 5) if value <= power * factor * (1 + 1e-9)), power * 10)


class _Scale:
    """Where a value lies between `start` and `end` pixels."""

    def __init__(self, axis: Axis, values: Sequence[float], start: float, end: float, *, from_zero: bool) -> None:
        self.log = axis.log
        values = [value for value in values if value > 0] if axis.log else values
        low = min(values, default=1.0) if axis.low is None else axis.low
        high = max(values, default=low + 1) if axis.high is None else axis.high
        if axis.log:
            low, high = 1 / _round_up(1 / low), _round_up(high)
        elif from_zero and axis.low is None:
            low = min(0.0, low)
        if high <= low:
            high = low * 10 if axis.log else low + 1
        self.low, self.high, self.start, self.end = low, high, start, end

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high one; a value outside is drawn at its end."""
        if self.log:
            found = (math.log10(max(value, self.low)) - math.log10(self.low)) / math.log10(self.high / self.low)
        else:
            found = (value - self.low) / (self.high - self.low)
        return min(max(found, 0.0), 1.0)

    def at(self, value: float) -> float:
        """The pixel for `value`."""
        return self.start + self.share(value) * (self.end - self.start)


def _numbers(plot: Plot) -> tuple[list[float], list[float]]:
    xs = [x for series in plot.series for x, _ in series.points]
    ys = [y for series in plot.series for _, y in series.points if y is not None]
    xs += [end for span in plot.spans for end in (span.begin, span.end)]
    return xs, ys


def _legend_columns(plot: Plot) -> int:
    """Two names beside each other where the longest, in either language, has room for that."""
    longest = max((svg.text_width(name, 12) for series in plot.series for name in series.name), default=0.0)
    return 2 if longest + 60 < (WIDTH - LEFT - RIGHT) / 2 else 1


def plot_height(plot: Plot) -> float:
    """How many pixels high the picture of `plot` is."""
    return HEAD + HEIGHT + FOOT + LEGEND * (-(-len(plot.series) // _legend_columns(plot))) + 6


def plot_elements(plot: Plot, lang: str) -> list[str]:
    """The SVG elements of `plot`, WIDTH by plot_height(plot) pixels from 0, 0."""
    xs, ys = _numbers(plot)
    across = _Scale(plot.x, xs, LEFT, WIDTH - RIGHT, from_zero=False)
    up = _Scale(plot.y, ys, HEAD + HEIGHT, HEAD, from_zero=True)
    body = [svg.words(LEFT, HEAD - 14, plot.title.say(lang), 14, font_weight="bold")]
    for span in plot.spans:
        left, right = across.at(span.begin), across.at(span.end)
        body.append(svg.rect(left, HEAD, right - left, HEIGHT, fill="#fdecea"))
        body.append(svg.words((left + right) / 2, HEAD + 13, span.name.say(lang), 11, anchor="middle", fill=svg.RED))
    values = ticks(up.low, up.high, up.log)
    for value, name in zip(values, tick_names(values), strict=True):
        y = up.at(value)
        body.append(svg.line(LEFT, y, WIDTH - RIGHT, y, stroke=svg.PALE, stroke_width=0.7))
        body.append(svg.words(LEFT - 8, y + 4, name, 11, anchor="end", fill=svg.GREY))
    values = ticks(across.low, across.high, across.log)
    for value, name in zip(values, tick_names(values), strict=True):
        x = across.at(value)
        body.append(svg.line(x, HEAD + HEIGHT, x, HEAD + HEIGHT + 5, stroke=svg.GREY))
        body.append(svg.words(x, HEAD + HEIGHT + 18, name, 11, anchor="middle", fill=svg.GREY))
    body.append(svg.line(LEFT, HEAD + HEIGHT, WIDTH - RIGHT, HEAD + HEIGHT, stroke=svg.GREY))
    body.append(svg.words((LEFT + WIDTH - RIGHT) / 2, HEAD + HEIGHT + 35, plot.x.label.say(lang), 12, anchor="middle"))
    middle = HEAD + HEIGHT / 2
    body.append(
        svg.words(16, middle, plot.y.label.say(lang), 12, anchor="middle", transform=f"rotate(-90 16 {middle:.0f})")
    )
    for index, series in enumerate(plot.series):
        body += _line(series, across, up, index)
        body += _legend(series, index, _legend_columns(plot), lang)
    return body


def _line(series: Series, across: _Scale, up: _Scale, index: int) -> list[str]:
    """The line in pieces, broken where nothing was measured; a point that stands alone is a dot."""
    color, dash = COLORS[index % len(COLORS)], DASHES[index % len(DASHES)]
    found: list[str] = []
    for piece in _pieces(series.points):
        places = [(across.at(x), up.at(y)) for x, y in piece]
        if len(places) == 1:
            found.append(svg.tag("circle", cx=places[0][0], cy=places[0][1], r=3, fill=color))
            continue
        path = f"M{places[0][0]:.1f} {places[0][1]:.1f}"
        for x, y in places[1:]:
            path += f"H{x:.1f}V{y:.1f}" if series.steps else f"L{x:.1f} {y:.1f}"
        found.append(
            svg.tag("path", d=path, fill="none", stroke=color, stroke_width=1.8, stroke_dasharray=dash, stroke_linejoin="round")
        )
    return found


def _pieces(points: Iterable[Point]) -> list[list[tuple[float, float]]]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            pieces.append([])
        else:
            pieces[-1].append((x, y))
    return [piece for piece in pieces if piece]


def _legend(series: Series, index: int, columns: int, lang: str) -> list[str]:
    x = LEFT + (index % columns) * (WIDTH - LEFT - RIGHT) / columns
    y = HEAD + HEIGHT + FOOT + LEGEND * (index // columns) + 8
    color, dash = COLORS[index % len(COLORS)], DASHES[index % len(DASHES)]
    return [
        svg.line(x, y - 4, x + 26, y - 4, stroke=color, stroke_width=2.4, stroke_dasharray=dash),
        svg.words(x + 34, y, series.name.say(lang), 12),
    ]


def plot_svg(plot: Plot, *, lang: str = "en") -> str:
    """The plot as the text of an SVG file."""
    title = plot.title.say(lang)
    what = ", ".join(series.name.say(lang) for series in plot.series)
    said = DESCRIPTION.say(lang, title=title, what=what)
    return svg.document(WIDTH, plot_height(plot), title, said, plot_elements(plot, lang))


def plot_text(plot: Plot, *, lang: str = "en", width: int = 80, ascii_only: bool = False) -> str:
    """The plot as lines of text at most `width` columns wide: one row of bars a series, its range beside its name."""
    xs, ys = _numbers(plot)
    room = width - 4
    across = _Scale(plot.x, xs, 0, room - 1, from_zero=False)
    up = _Scale(plot.y, ys, 0, 8, from_zero=True)
    blocks = BLOCKS_ASCII if ascii_only else BLOCKS
    lines = [HEADING.say(lang, title=plot.title.say(lang), label=plot.y.label.say(lang))]
    for series in plot.series:
        seen = [y for _, y in series.points if y is not None]
        low, high = (short(min(seen)), short(max(seen))) if seen else ("-", "-")
        lines.append("  " + SERIES.say(lang, name=series.name.say(lang), low=low, high=high))
        lines.append("  |" + _bars(series, across, up, room, blocks) + "|")
    lines += _foot(plot, across, room, lang)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _bars(series: Series, across: _Scale, up: _Scale, room: int, blocks: str) -> str:
    """The largest value that falls into each column; an empty column keeps the one before where the series is of steps."""
    columns: list[float | None] = [None] * room
    for x, y in series.points:
        column = round(across.at(x))
        if y is not None and (columns[column] is None or y > (columns[column] or 0.0)):
            columns[column] = y
    bars = ""
    last: float | None = None
    for value in columns:
        value = last if value is None and series.steps else value
        last = value
        height = 0 if value is None else round(up.at(value))
        bars += blocks[max(height, 1) if value else height]
    return bars


def _foot(plot: Plot, across: _Scale, room: int, lang: str) -> list[str]:
    """The spans under the bars, and what the ends of the x axis are."""
    lines = []
    for span in plot.spans:
        left, right = round(across.at(span.begin)), round(across.at(span.end))
        name = span.name.say(lang)
        dashes = max(right - left + 1, 1)
        drawn = "^" * dashes + f" {name}"
        if left + cells_of(drawn) > room and left - cells_of(name) - 1 >= 0:
            drawn, left = f"{name} " + "^" * dashes, left - cells_of(name) - 1
        lines.append("   " + " " * left + drawn)
    low, high = short(across.low), f"{short(across.high)}  {plot.x.label.say(lang)}"
    gap = max(room - cells_of(low) - cells_of(high), 1)
    lines.append("   " + low + " " * gap + high)
    return lines
