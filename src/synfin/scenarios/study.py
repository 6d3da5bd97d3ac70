"""A study: a demo that compares several runs, shown as words, chosen ladders and plots, one after the other.

Owns the parts a study is shown in. A part speaks both languages; a study asserts nothing, it plays and shows what happened.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from synfin.engine.config import SECOND
from synfin.trace import svg
from synfin.trace.cells import wrap
from synfin.trace.events import StateChanged, TraceEvent
from synfin.trace.ladder import build_ladder
from synfin.trace.ladder_svg import ladder_svg
from synfin.trace.ladder_text import ladder_text
from synfin.trace.plots import Plot, plot_svg, plot_text
from synfin.trace.recorder import Trace
from synfin.words import Text

WIDTH: Final = 80  # columns
PICTURE_WIDTH: Final = 760.0  # pixels
ROW: Final = 19.0


class Part:
    """Something that is shown."""

    def text(self, lang: str, *, color: bool = False, ascii_only: bool = False) -> str:
        """As lines of text, at most WIDTH columns wide."""
        raise NotImplementedError

    def svg(self, lang: str) -> str:
        """As a whole SVG file."""
        raise NotImplementedError

    def to_json(self, lang: str) -> Iterator[dict[str, Any]]:
        """As objects, one a line."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence with its facts; a fact that is a Text is said in the same language."""

    words: Text
    facts: tuple[tuple[str, object], ...] = ()

    def say(self, lang: str) -> str:
        """The sentence in `lang`."""
        facts = {name: fact.say(lang) if isinstance(fact, Text) else fact for name, fact in self.facts}
        return self.words.say(lang, **facts)


def said(words: Text, **facts: object) -> Said:
    """`words` with `facts` in the places of its placeholders."""
    return Said(words, tuple(facts.items()))


def _of_listener(event: TraceEvent) -> bool:
    """Whether a listener has changed its state: what the server's lifeline begins with."""
    return isinstance(event, StateChanged) and bool(event.connection) and " " not in event.connection


@dataclass(frozen=True, slots=True)
class Words(Part):
    """Sentences, each on a line of its own."""

    sentences: tuple[Said, ...]

    def text(self, lang: str, *, color: bool = False, ascii_only: bool = False) -> str:
        return "".join(f"{line}\n" for each in self.sentences for line in wrap(each.say(lang), WIDTH))

    def svg(self, lang: str) -> str:
        lines = [line for each in self.sentences for line in svg.wrap_pixels(each.say(lang), 13, PICTURE_WIDTH - 48)]
        body = [svg.words(24, 26 + index * ROW, line, 13) for index, line in enumerate(lines)]
        first = self.sentences[0].say(lang)
        return svg.document(PICTURE_WIDTH, 20 + len(lines) * ROW, first, " ".join(lines), body)

    def to_json(self, lang: str) -> Iterator[dict[str, Any]]:
        for each in self.sentences:
            yield {"kind": "words", "text": each.say(lang)}


@dataclass(frozen=True, slots=True)
class Rungs(Part):
    """The ladder of one connection of `trace`, by its name in the trace, for `lasts` seconds from its first event on."""

    title: Text
    trace: Trace
    connection: str
    lasts: float = math.inf

    def _trace(self) -> Trace:
        """The events of this connection alone: a ladder of one among thousands costs as much as that one."""
        ours = self.trace.of(self.connection)
        ends = ours[0].time + self.lasts * SECOND
        alone = Trace()
        alone.addresses = dict(self.trace.addresses)
        alone.events = [
            event for event in self.trace
            if event.time <= ends and (event.connection == self.connection or _of_listener(event))
        ]  # fmt: skip
        return alone

    def text(self, lang: str, *, color: bool = False, ascii_only: bool = False) -> str:
        ladder = build_ladder(self._trace(), [self.connection])
        return ladder_text(ladder, lang=lang, color=color, title=self.title.say(lang))

    def svg(self, lang: str) -> str:
        return ladder_svg(build_ladder(self._trace(), [self.connection]), lang=lang, title=self.title.say(lang))

    def to_json(self, lang: str) -> Iterator[dict[str, Any]]:
        for each in self._trace().to_json():
            yield {"about": self.title.say(lang), **each}


@dataclass(frozen=True, slots=True)
class Curve(Part):
    """A plot."""

    plot: Plot

    def text(self, lang: str, *, color: bool = False, ascii_only: bool = False) -> str:
        return plot_text(self.plot, lang=lang, width=WIDTH, ascii_only=ascii_only)

    def svg(self, lang: str) -> str:
        return plot_svg(self.plot, lang=lang)

    def to_json(self, lang: str) -> Iterator[dict[str, Any]]:
        for series in self.plot.series:
            yield {
                "kind": "plot", "title": self.plot.title.say(lang), "x": self.plot.x.label.say(lang),
                "y": self.plot.y.label.say(lang), "series": series.name.say(lang), "points": [list(p) for p in series.points],
            }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shown:
    """What a study came to: its parts in order, and the trace whose packets a capture file gets."""

    parts: tuple[Part, ...]
    packets: Trace


@dataclass(frozen=True, slots=True)
class Study:
    """One study. `name` is what is typed after `synfin demo`, `title` one line for people; `make(seed)` plays its runs."""

    name: str
    title: Text
    make: Callable[[int], Shown]


def as_text(shown: Shown, lang: str, *, color: bool = False, ascii_only: bool = False) -> str:
    """All parts as text, an empty line between them."""
    return "\n".join(part.text(lang, color=color, ascii_only=ascii_only) for part in shown.parts)


def as_svg(shown: Shown, title: str, lang: str) -> str:
    """All parts as one picture."""
    return svg.stack([part.svg(lang) for part in shown.parts], title, title)


def as_json(shown: Shown, lang: str) -> Iterator[dict[str, Any]]:
    """All parts as objects."""
    for part in shown.parts:
        yield from part.to_json(lang)


def words(*sentences: Said) -> Words:
    """The sentences as a part."""
    return Words(tuple(sentences))


