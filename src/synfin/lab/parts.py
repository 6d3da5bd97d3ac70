"""What an experiment is shown in beyond words and plots: a table; and how words with figures in them are made.

Owns how a table is laid out as text, as a picture and as JSON. Knows nothing of what is measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from synfin.scenarios.study import PICTURE_WIDTH, Part, Shown, Study
from synfin.trace import svg
from synfin.trace.cells import left, right
from synfin.trace.cells import width as cells_of
from synfin.trace.recorder import Trace
from synfin.words import Text

GAP: Final = 2  # columns of text between two cells
FONT: Final = 12.0
ROW: Final = 18.0
SPACE: Final = 22.0  # pixels between two columns
MARGIN: Final = 24.0

Cell = Text | str | int | float | None  # None: nothing was measured


@dataclass(frozen=True, slots=True)
class Column:
    """`key` names it in JSON; `label` heads it, a `|` in it begins a new line; `form` is how its numbers are written."""

    key: str
    label: Text
    form: str = ",.0f"


@dataclass(frozen=True, slots=True)
class Table(Part):
    """Rows under headings. Numbers stand to the right, words to the left."""

    title: Text
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def text(self, lang: str, *, color: bool = False, ascii_only: bool = False) -> str:
        heads, rows = self._said(lang)
        sizes = [max(map(cells_of, column), default=0) for column in zip(*heads, *rows, strict=True)]
        put = [right if self._numeric(index) else left for index in range(len(self.columns))]
        lines = [self.title.say(lang), *(self._line(line, sizes, put) for line in heads)]
        lines.append("-" * (sum(sizes) + GAP * (len(sizes) - 1)))
        lines += [self._line(line, sizes, put) for line in rows]
        return "".join(f"{line.rstrip()}\n" for line in lines)

    @staticmethod
    def _line(cells: list[str], sizes: list[int], put: list[Any]) -> str:
        return (" " * GAP).join(place(cell, size) for cell, size, place in zip(cells, sizes, put, strict=True))

    def _numeric(self, index: int) -> bool:
        return not any(isinstance(row[index], str | Text) for row in self.rows)

    def _said(self, lang: str) -> tuple[list[list[str]], list[list[str]]]:
        """The lines of the heading and those of the rows, cell by cell."""
        labels = [column.label.say(lang).split("|") for column in self.columns]
        height = max(map(len, labels))
        padded = [[""] * (height - len(label)) + label for label in labels]
        rows = [[say_cell(cell, column, lang) for cell, column in zip(row, self.columns, strict=True)] for row in self.rows]
        return [list(line) for line in zip(*padded, strict=True)], rows

    def svg(self, lang: str) -> str:
        heads, rows = self._said(lang)
        lines = [*heads, *rows]
        sizes = [max(svg.text_width(line[at], FONT) for line in lines) for at in range(len(self.columns))]
        title = self.title.say(lang)
        body = [svg.words(MARGIN, 24, title, 14, font_weight="bold")]
        y = 24.0
        for number, line in enumerate(lines):
            y += ROW
            x = MARGIN
            for at, (cell, size) in enumerate(zip(line, sizes, strict=True)):
                numeric = self._numeric(at)
                fill = svg.GREY if number < len(heads) else svg.INK
                place = x + size if numeric else x
                if cell:
                    body.append(svg.words(place, y, cell, FONT, anchor="end" if numeric else "start", fill=fill))
                x += size + SPACE
            if number == len(heads) - 1:
                y += 7
                body.append(svg.line(MARGIN, y, max(x - SPACE, MARGIN), y, stroke=svg.PALE))
        wide = max(PICTURE_WIDTH, MARGIN * 2 + sum(sizes) + SPACE * (len(sizes) - 1))
        return svg.document(wide, y + 16, title, "; ".join(", ".join(filter(None, line)) for line in rows), body)

    def to_json(self, lang: str) -> Iterator[dict[str, Any]]:
        title = self.title.say(lang)
        for row in self.rows:
            cells = {
                column.key: cell.say(lang) if isinstance(cell, Text) else cell
                for cell, column in zip(row, self.columns, strict=True)
            }
            yield {"kind": "row", "table": title, **cells}


def say_cell(cell: Cell, column: Column, lang: str) -> str:
    """What stands in the table."""
    if cell is None:
        return "-"
    if isinstance(cell, Text):
        return cell.say(lang)
    return cell if isinstance(cell, str) else format(cell, column.form)


def filled(words: Text, **facts: object) -> Text:
    """`words` with `facts` in the places of its placeholders; a fact that is a Text is said in the same language."""
    said = [
        words.say(lang, **{name: fact.say(lang) if isinstance(fact, Text) else fact for name, fact in facts.items()})
        for lang in ("en", "zh")
    ]
    return Text(*said)


def shown(*parts: Part) -> Shown:
    """What an experiment came to: it keeps no packets."""
    return Shown(parts, Trace())


Lab = Study  # an experiment has the same shape: a name, a title, and what plays its runs for a seed
