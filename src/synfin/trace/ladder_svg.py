"""The ladder as one self-contained SVG: sloped arrows, state bars along the lifelines, and the sentences below.

Owns the horizontal and the strokes; heights are ladder_layout's, the content is ladder's. No font, script or picture is
referred to, so the file can be put anywhere.
"""

import math
from typing import Final
from xml.sax.saxutils import escape

from synfin.engine.state import State
from synfin.trace import svg
from synfin.trace.cells import width
from synfin.trace.ladder_layout import LINE, Layout, Place, Shaft, Span, lay_out
from synfin.trace.ladder_model import LEFT, RIGHT, Arrow, Ladder, Mark, MarkKind
from synfin.trace.phrases import Duration
from synfin.words import Text

WIDTH: Final = 1000.0
BAR: Final = 12.0  # the width of a lifeline
X: Final = (296.0, 704.0)  # the middles of the lifelines
INNER: Final = (X[0] + BAR / 2 + 2, X[1] - BAR / 2 - 2)  # where arrows begin and end
TEXT: Final = (X[0] - 26, X[1] + 26)  # states and calls stand outside of these
TIME: Final = (72.0, WIDTH - 72.0)
TEXT_ROOM: Final = TEXT[0] - TIME[0] - 10
MARGIN: Final = 28.0
RADIUS: Final = 9.0
REACH: Final = 0.82  # how far a lost segment comes
SMALL_CELL: Final = 6.41  # a character of the words below a shaft
SMALL_LINE: Final = 13.0  # from one line of them to the next
HALF: Final = 0.43  # of a shaft's length: the room from where its words begin to where another one cuts it

TITLE: Final = Text("Ladder of a TCP connection", "TCP 连接的梯形图")
DESCRIPTION: Final = Text(
    "{left} and {right} with their states and the segments between them, time running down",
    "{left} 与 {right} 的状态以及它们之间的报文段，时间向下流逝",
)
SEGMENT: Final = Text("segment", "报文段")
AGAIN: Final = Text("sent again", "重传")
LOST: Final = Text("lost: {cause}", "丢失：{cause}")
LOST_LEGEND: Final = Text("lost on the way", "途中丢失")
NOT_TAKEN: Final = Text("not taken: {reason}", "未被接受：{reason}")
NOT_TAKEN_LEGEND: Final = Text("arrived, not taken", "到达但未被接受")
COPY: Final = Text("copy made by the network", "网络产生的副本")
CORRUPTED: Final = Text("corrupted on the way", "途中损坏")
STRAY: Final = Text("old or forged", "过时或伪造")
PASSES: Final = Text("{time} pass", "经过 {time}")
BLOCKED: Final = Text("call that blocks", "阻塞的调用")
RELATIVE: Final = Text("Numbers count from each side's initial sequence number.", "序号从各自的初始序号算起。")
ABSOLUTE: Final = Text("Sequence numbers as on the wire.", "序号为线路上的实际值。")


def ladder_svg(ladder: Ladder, *, lang: str = "en", title: str = "") -> str:
    """The ladder as the text of an SVG file. `title` is its heading; without one it is named as what it is."""
    return _Picture(ladder, lang, title or TITLE.say(lang)).draw()


class _Picture:
    def __init__(self, ladder: Ladder, lang: str, title: str) -> None:
        self.ladder = ladder
        self.lang = lang
        self.title = title
        self.layout: Layout = lay_out(ladder, lambda mark: len(self._mark_lines(mark)))
        self.top = 0.0
        self.body: list[str] = []
        self.kinds: set[str] = set()  # what the legend explains

    def draw(self) -> str:
        self._heading()
        self._bars()
        self._gaps()
        self._waits()
        ends = [self._shaft(shaft) for shaft in self.layout.shafts]
        for shaft, points in zip(self.layout.shafts, ends, strict=True):
            self._labels(shaft, self._color(shaft.arrow), points)
        self._beside()
        y = self._legend(self.top + self.layout.bottom + 34)
        y = self._sentences(y + 16)
        one, two = self.ladder.lanes
        description = DESCRIPTION.say(self.lang, left=one.host, right=two.host)
        return svg.document(WIDTH, y + MARGIN, self.title, description, self.body)

    # Heading and lifelines

    def _heading(self) -> None:
        lines = svg.wrap_pixels(self.title, 22.5, WIDTH - 2 * MARGIN)  # set in 20, and bold takes more
        y = 40.0
        for text in lines:
            self.body.append(svg.words(MARGIN, y, text, 20, font_weight=600))
            y += 26
        y += 2
        for side, lane in enumerate(self.ladder.lanes):
            self.body.append(svg.rect(X[side] - 92, y, 184, 44, rx=8, fill="#f1f4f7", stroke=svg.PALE))
            self.body.append(svg.words(X[side], y + 19, lane.host, 14, anchor="middle", font_weight=600))
            self.body.append(svg.words(X[side], y + 35, lane.end, 11, anchor="middle", fill=svg.GREY))
        self.top = y + 44 + 30

    def _bars(self) -> None:
        for span in self.layout.states:
            assert span.state is not None
            fill = svg.STATE_COLORS[span.state][0]
            top = span.top if span.top > 0 else -30.0
            self.body.append(svg.rect(X[span.side] - BAR / 2, self.top + top, BAR, span.bottom - top, fill=fill))
        for span in self.layout.down:
            x, top = X[span.side] - BAR / 2 - 1, self.top + span.top
            self.body.append(svg.rect(x, top, BAR + 2, span.bottom - span.top, fill=svg.PAPER))
            middle = X[span.side]
            self.body.append(
                svg.line(middle, top, middle, self.top + span.bottom, stroke=svg.RED, stroke_dasharray="2 5")
            )

    def _gaps(self) -> None:
        """Where nothing happens for long, the lifelines are broken."""
        for top, bottom, passed in self.layout.gaps:
            y = self.top + (top + bottom) / 2
            for x in X:
                for shift in (-3, 3):
                    self.body.append(
                        svg.line(x - 12, y + shift + 4, x + 12, y + shift - 4, stroke=svg.PAPER, stroke_width=2.5)
                    )
            if self._in_flight(top, bottom):
                continue
            text = PASSES.say(self.lang, time=Duration(passed).say(self.lang))
            self.body.append(svg.words(WIDTH / 2, y + 4, text, 11, anchor="middle", fill=svg.GREY, font_style="italic"))
            half = svg.text_width(text, 11) / 2 + 12
            for x1, x2 in ((X[0] + 24, WIDTH / 2 - half), (WIDTH / 2 + half, X[1] - 24)):
                self.body.append(svg.line(x1, y, x2, y, stroke=svg.PALE, stroke_dasharray="1 5"))

    def _in_flight(self, top: float, bottom: float) -> bool:
        return any(shaft.start < bottom and shaft.end > top for shaft in self.layout.shafts)

    def _waits(self) -> None:
        """TIME-WAIT's 2MSL and other waits as brackets, blocked calls as thin lines, both outside the bars."""
        for span in self.layout.waits:
            self._bracket(span, 16, svg.STATE_COLORS[State.TIME_WAIT][1], 1.6)
        for span in self.layout.calls:
            self.kinds.add("blocked")
            self._bracket(span, 20, svg.TEAL, 1.2)

    def _bracket(self, span: Span, away: float, color: str, thick: float) -> None:
        out = -1 if span.side == LEFT else 1
        x, tip = X[span.side] + out * away, X[span.side] + out * (away - 5)
        top, bottom = self.top + span.top, self.top + span.bottom
        path = f"M{tip:.1f} {top:.1f}H{x:.1f}V{bottom:.1f}H{tip:.1f}"
        self.body.append(svg.tag("path", d=path, fill="none", stroke=color, stroke_width=thick))

    # Arrows

    def _shaft(self, shaft: Shaft) -> tuple[float, float, float, float]:
        """Draw the strokes of an arrow; from where to where they go."""
        arrow = shaft.arrow
        out = 1 if arrow.sender == LEFT else -1
        x1, x2 = INNER[arrow.sender], INNER[1 - arrow.sender]
        y1, y2 = self.top + shaft.start, self.top + shaft.end
        unfinished = arrow.arrives is None
        if unfinished:
            x2, y2 = x1 + (x2 - x1) * REACH, y1 + (y2 - y1) * REACH
        color = self._color(arrow)
        dashes = "2 4" if arrow.copy or arrow.injected else None
        self.body.append(svg.line(x1, y1, x2, y2, stroke=color, stroke_width=1.6, stroke_dasharray=dashes))
        if arrow.lost is not None:
            self._cross(x2, y2)
        elif unfinished:
            self.body.append(svg.words(x2 + out * 12, y2 + 4, "...", 14, anchor="middle", fill=color))
        else:
            self._head(x1, y1, x2, y2, color)
        return x1, y1, x2, y2

    def _color(self, arrow: Arrow) -> str:
        if arrow.lost is not None:
            self.kinds.add("lost")
            return svg.RED
        if arrow.dropped is not None:
            self.kinds.add("dropped")
            return svg.RED
        if arrow.retransmission:
            self.kinds.add("again")
            return svg.ORANGE
        self.kinds.add("segment")
        return svg.GREY if arrow.copy or arrow.injected else svg.BLUE

    def _cross(self, x: float, y: float) -> None:
        for sign in (1, -1):
            self.body.append(
                svg.line(x - 6, y - 6 * sign, x + 6, y + 6 * sign, stroke=svg.RED, stroke_width=2.4, stroke_linecap="round")
            )

    def _head(self, x1: float, y1: float, x2: float, y2: float, color: str) -> None:
        angle = math.atan2(y2 - y1, x2 - x1)
        points = [(x2, y2)]
        for turn in (2.75, -2.75):
            points.append((x2 + 10 * math.cos(angle + turn), y2 + 10 * math.sin(angle + turn)))
        said = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.body.append(svg.tag("polygon", points=said, fill=color))

    def _labels(self, shaft: Shaft, color: str, ends: tuple[float, float, float, float]) -> None:
        """Flags and numbers above the shaft, window, length and options below it, both along it.

        Where arrows cut each other the words keep to the end at which they lie apart, and are shared out more evenly.
        """
        arrow = shaft.arrow
        x1, y1, x2, y2 = ends
        near = shaft.crossed or arrow.arrives is None
        along = 0.5
        anchor = "middle"
        if near:
            along = 0.95 if shaft.overtaken else 0.06
            anchor = "end" if (arrow.sender == LEFT) == shaft.overtaken else "start"
        cx, cy = x1 + (x2 - x1) * along, y1 + (y2 - y1) * along
        tilt = math.degrees(math.atan2(y2 - y1, x2 - x1))
        tilt = tilt - 180 if tilt > 90 else tilt + 180 if tilt < -90 else tilt
        turn = f"rotate({tilt:.1f} {cx:.1f} {cy:.1f})"
        above = [f"seq={arrow.seq}"]
        below = [f"win={arrow.window}", f"len={arrow.length}", *arrow.options]
        length = math.hypot(x2 - x1, y2 - y1)
        room = HALF * length if shaft.crossed else length
        size = 11.0 if shaft.crossed else 12.5
        if arrow.ack is not None:
            whole = f"{arrow.flags}  seq={arrow.seq}  ack={arrow.ack}"
            crowded = near and (self.ladder.absolute or svg.text_width(whole, size, mono=True) > HALF * length)
            (below if crowded else above).insert(0 if crowded else 1, f"ack={arrow.ack}")
        if shaft.crossed:
            *under, last = _in_lines(below, room)
        else:
            under, last = [], _fitting(below, 0.94 * length)
        remarks = self._remarks(arrow)
        fits = width(f"{last}  {remarks}") * SMALL_CELL <= room
        # Else above, where there are fewer words; where arrows cross, in a line of its own, clear of the other's words.
        beside, over = (remarks if fits else ""), (remarks if not fits and not shaft.crossed else "")
        self.body.append(self._label(cx, cy - 6, arrow.flags, "  ".join(above), size, color, anchor, turn, (over, color)))
        for down, said in enumerate([*under, last]):
            row = cy + 14 + SMALL_LINE * down
            with_it = beside if down == len(under) else ""
            self.body.append(self._label(cx, row, "", said, 10.5, svg.GREY, anchor, turn, (with_it, color)))
        if remarks and not fits and shaft.crossed:
            row = cy + 14 + SMALL_LINE * (len(under) + 1)
            self.body.append(self._label(cx, row, "", "", 10.5, color, anchor, turn, (remarks, color)))

    def _label(
        self, x: float, y: float, flags: str, said: str, size: float, color: str, anchor: str, turn: str,
        remarks: tuple[str, str] = ("", ""),
    ) -> str:  # fmt: skip
        """A line of a shaft's words, with a white edge that keeps it readable on whatever lies below."""
        parts = svg.tag("tspan", flags, font_weight=700) + "\u00a0\u00a0" if flags else ""
        parts += svg.tag("tspan", escape(said.replace(" ", "\u00a0"))) if said else ""
        if remarks[0]:
            parts += "\u00a0\u00a0" if parts else ""
            parts += svg.tag("tspan", escape(remarks[0]), font_size=10.5, fill=remarks[1], font_weight=600)
        return svg.tag(
            "text", parts, x=float(x), y=float(y), font_size=size, text_anchor=anchor, fill=color, transform=turn,
            font_family=svg.MONO, stroke=svg.PAPER, stroke_width=3, stroke_linejoin="round", paint_order="stroke",
        )  # fmt: skip

    def _remarks(self, arrow: Arrow) -> str:
        remarks = []
        if arrow.injected:
            remarks.append(STRAY.say(self.lang))
        if arrow.copy:
            remarks.append(COPY.say(self.lang))
        if arrow.retransmission:
            remarks.append(AGAIN.say(self.lang))
        if arrow.corrupted:
            remarks.append(CORRUPTED.say(self.lang))
        if arrow.lost is not None:
            remarks.append(LOST.say(self.lang, cause=arrow.lost.say(self.lang)))
        if arrow.dropped is not None:
            remarks.append(NOT_TAKEN.say(self.lang, reason=arrow.dropped.say(self.lang)))
        return " · ".join(remarks)

    # Beside the lifelines

    def _beside(self) -> None:
        """States, calls and times outside the lifelines, and the steps' numbers on them."""
        begun: list[State] = [lane.begins for lane in self.ladder.lanes]
        for side in (LEFT, RIGHT):
            self._state_name(side, self.top - 14, begun[side])
        shown: dict[tuple[int, int], bool] = {}
        for place in self.layout.places:
            y = self.top + place.y
            if place.mark is not None and place.mark.side is None:
                self._fault(place, y)
                continue
            if not shown.get((place.side, place.time)):
                shown[place.side, place.time] = True
                anchor = "end" if place.side == LEFT else "start"
                text = _clock(place.time)
                self.body.append(svg.words(TIME[place.side], y + 4, text, 10.5, anchor=anchor, fill=svg.GREY))
            if place.mark is not None:
                self._mark(place, place.mark, y)
            elif place.arrow is not None:
                state = place.arrow.before if place.side == place.arrow.sender else place.arrow.after
                if state is not begun[place.side]:
                    self._state_name(place.side, y + 4, state)
                begun[place.side] = state
            if place.mark is not None and place.mark.kind is MarkKind.STATE:
                begun[place.side] = place.mark.state
            self._number(place, y)

    def _state_name(self, side: int, y: float, state: State) -> None:
        anchor = "end" if side == LEFT else "start"
        color = svg.STATE_COLORS[state][1]
        self.body.append(svg.words(TEXT[side], y, str(state), 12, anchor=anchor, fill=color, font_weight=700))

    def _mark(self, place: Place, mark: Mark, y: float) -> None:
        if mark.kind is MarkKind.STATE:
            self._state_name(place.side, y + 4, mark.state)
            return
        color = {
            MarkKind.CALL: svg.TEAL,
            MarkKind.RETURN: svg.TEAL,
            MarkKind.TIMER: svg.ORANGE,
            MarkKind.WAIT: svg.STATE_COLORS[State.TIME_WAIT][1],
            MarkKind.DROP: svg.RED,
        }.get(mark.kind, svg.INK)
        if mark.failed:
            color = svg.RED
        anchor = "end" if place.side == LEFT else "start"
        for index, text in enumerate(self._mark_lines(mark)):
            self.body.append(
                svg.words(TEXT[place.side], y + 4 + index * LINE, text, 11, anchor=anchor, fill=color, font_family=svg.MONO)
            )

    def _mark_lines(self, mark: Mark) -> list[str]:
        if mark.side is None:
            return [mark.text.say(self.lang)]
        lines: list[str] = []
        text = mark.text.say(self.lang)
        whole = text.replace("\n", " ")
        if svg.text_width(whole, 11, mono=True) <= TEXT_ROOM:
            return [whole]
        for part in text.split("\n"):
            lines += svg.wrap_pixels(part, 11, TEXT_ROOM)
        return lines

    def _number(self, place: Place, y: float) -> None:
        """The step's number on the lifeline; an arrow carries it where it departs."""
        arrow = place.arrow
        if not place.row.step or (arrow is not None and place.side != arrow.sender and place.row.arrow is arrow):
            if arrow is None or place.row.part.value != "arrival" or not place.row.step:
                return
        if place.mark is not None and place.mark is not place.row.marks[0]:
            return
        x = X[place.side]
        self.body.append(svg.tag("circle", cx=x, cy=float(y), r=RADIUS, fill=svg.INK))
        self.body.append(
            svg.words(x, y + 3.5, str(place.row.step), 10, anchor="middle", fill=svg.PAPER, font_weight=700)
        )

    def _fault(self, place: Place, y: float) -> None:
        assert place.mark is not None
        text = place.mark.text.say(self.lang)
        self.body.append(svg.line(X[0], y, X[1], y, stroke=svg.RED, stroke_width=1.4, stroke_dasharray="6 4"))
        half = svg.text_width(text, 12) / 2 + 8
        self.body.append(svg.rect(WIDTH / 2 - half, y - 11, 2 * half, 22, rx=11, fill="#fdecea", stroke=svg.RED))
        self.body.append(svg.words(WIDTH / 2, y + 4, text, 12, anchor="middle", fill=svg.RED, font_weight=600))
        self.body.append(svg.words(TIME[LEFT], y + 4, _clock(place.time), 10.5, anchor="end", fill=svg.GREY))
        self._number(place, y)

    # Below

    def _legend(self, y: float) -> float:
        entries = [
            (kind, text, color)
            for kind, text, color in (
                ("segment", SEGMENT, svg.BLUE),
                ("again", AGAIN, svg.ORANGE),
                ("lost", LOST_LEGEND, svg.RED),
                ("dropped", NOT_TAKEN_LEGEND, svg.RED),
                ("blocked", BLOCKED, svg.TEAL),
            )
            if kind in self.kinds
        ]
        x = MARGIN
        self.body.append(svg.line(MARGIN, y - 22, WIDTH - MARGIN, y - 22, stroke=svg.PALE))
        for kind, text, color in entries:
            self._sample(kind, x, y - 4, color)
            said = text.say(self.lang)
            self.body.append(svg.words(x + 42, y, said, 11, fill=svg.GREY))
            x += 42 + svg.text_width(said, 11) + 20
        mode = (ABSOLUTE if self.ladder.absolute else RELATIVE).say(self.lang)
        self.body.append(svg.words(WIDTH - MARGIN, y, mode, 11, anchor="end", fill=svg.GREY))
        return y

    def _sample(self, kind: str, x: float, y: float, color: str) -> None:
        if kind == "blocked":
            self.body.append(
                svg.tag("path", d=f"M{x + 30:.1f} {y - 7:.1f}h-6v14h6", fill="none", stroke=color, stroke_width=1.2)
            )
            return
        self.body.append(svg.line(x, y, x + 32, y, stroke=color, stroke_width=1.6))
        if kind == "lost":
            self._cross(x + 28, y)
        else:
            self._head(x, y, x + 34, y, color)

    def _sentences(self, y: float) -> float:
        for step in self.ladder.steps:
            y += 20
            self.body.append(svg.tag("circle", cx=MARGIN + 9, cy=y - 4.5, r=RADIUS, fill=svg.INK))
            self.body.append(
                svg.words(MARGIN + 9, y - 1, str(step.number), 10, anchor="middle", fill=svg.PAPER, font_weight=700)
            )
            for index, text in enumerate(svg.wrap_pixels(step.say(self.lang), 13, WIDTH - 2 * MARGIN - 30)):
                y += 18 if index else 0
                self.body.append(svg.words(MARGIN + 30, y, text, 13))
            y += 6
        return y


def _in_lines(words: list[str], room: float) -> list[str]:
    """The words in as few lines of `room` pixels as they need."""
    lines = [words[0]]
    for word in words[1:]:
        if width(f"{lines[-1]} {word}") * SMALL_CELL <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _fitting(words: list[str], room: float) -> str:
    """The words in one line; of SACK blocks at their end only those for which `room` pixels are enough, `…` for the others."""
    line, rest = " ".join(words), ""
    while width(line + rest) * SMALL_CELL > room and "sack=" in line:
        line, rest = line.rpartition(" ")[0], " …"
    return line + rest


def _clock(time: int) -> str:
    """A time as the margin has it: seconds to the microsecond at most, milliseconds below one."""
    if time < 1_000_000_000:
        return f"{round(time / 1e6, 3):g} ms"
    return f"{round(time / 1e9, 6):.6f}".rstrip("0").rstrip(".") + " s"


__all__ = ["RIGHT", "ladder_svg"]
