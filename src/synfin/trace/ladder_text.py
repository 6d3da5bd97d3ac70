"""The ladder in a terminal: at most 80 columns, plain ASCII lines, aligned in Chinese too, colours only when asked.

Owns columns and strokes; what stands in the ladder is ladder.py's. Both sides have a column for the time and one for
states and calls, so that one line can have a departure on the left and an arrival on the right:

     #   seconds       client |                                 | server        seconds
     1     0.000     SYN-SENT |--- SYN seq=0 ------------------>| SYN-RECEIVED    0.010

Lines are ASCII because box-drawing characters are one cell wide in some terminals and two in others.
"""

import re
from typing import Final

from synfin.engine.state import State
from synfin.trace.cells import cut, left, paint, right, width, wrap
from synfin.trace.ladder_model import LEFT, RIGHT, Arrow, Ladder, Mark, MarkKind, Part, Row
from synfin.words import Text

WIDTH: Final = 80
_STEP: Final = 3
_TIME: Final = 7
_OUTSIDE: Final = 12
_AREA: Final = WIDTH - 2 * (_TIME + 1 + _OUTSIDE + 1 + 1) - _STEP - 1  # 32 cells between the lifelines
_SIDE: Final = _TIME + 1 + _OUTSIDE
_FIXED: Final = "\0"  # stands for a space at which no line is broken

SECONDS: Final = Text("seconds", "秒")
LOST: Final = Text("lost", "丢失")
LEGEND: Final[tuple[tuple[str, Text], ...]] = (
    ("retransmission", Text("=== sent again", "=== 重传")),
    ("lost", Text("---X lost", "---X 丢失")),
    ("flight", Text("... on its way, arrives further down", "... 仍在途中，下文到达")),
    ("dropped", Text("-->! not taken", "-->! 未被接受")),
    ("closed", Text(": CLOSED", ": CLOSED")),
    ("timewait", Text("# TIME-WAIT", "# TIME-WAIT")),
)
RELATIVE: Final = Text("Numbers count from each side's initial sequence number.", "序号从各自的初始序号算起。")
ABSOLUTE: Final = Text("Sequence numbers as on the wire.", "序号为线路上的实际值。")
NOT_TAKEN: Final = Text("! {reason}", "! {reason}")
COPY: Final = Text("copy", "副本")
CORRUPTED: Final = Text("corrupted", "已损坏")
STRAY: Final = Text("old or forged", "过时或伪造")

STATE_STYLE: Final[dict[State, str]] = {
    State.CLOSED: "dim",
    State.LISTEN: "blue",
    State.SYN_SENT: "yellow",
    State.SYN_RECEIVED: "yellow",
    State.ESTABLISHED: "bold green",
    State.FIN_WAIT_1: "magenta",
    State.FIN_WAIT_2: "magenta",
    State.CLOSE_WAIT: "cyan",
    State.CLOSING: "magenta",
    State.LAST_ACK: "cyan",
    State.TIME_WAIT: "bold magenta",
}


def ladder_text(ladder: Ladder, *, lang: str = "en", color: bool = False, title: str = "") -> str:
    """The ladder and its sentences as lines of at most 80 cells, each ended by a newline.

    `color`: with ANSI escape codes. The caller knows whether the output is a terminal and whether NO_COLOR is set.
    """
    page = _Page(ladder, lang, color)
    lines = [*wrap(title, WIDTH), ""] if title else []
    lines += page.ladder()
    lines += ["", *page.sentences()]
    return "".join(f"{line}\n" for line in lines)


class _Page:
    """The lines of one ladder; `before` holds both sides' states as the lines go on."""

    def __init__(self, ladder: Ladder, lang: str, color: bool) -> None:
        self.model = ladder
        self.lang = lang
        self.color = color
        self.states = [lane.begins for lane in ladder.lanes]
        self.crashed = [False, False]
        self.seen: set[str] = set()  # what the legend has to explain
        self.decimals = _decimals(ladder)

    def ladder(self) -> list[str]:
        """Heading, rows and legend."""
        lines = self._heading()
        for row in self.model.rows:
            lines += self._arrow_row(row, row.arrow) if row.arrow is not None else self._mark_row(row)
        for side in (LEFT, RIGHT):
            self._note_lifeline(side)
        legend = [text.say(self.lang).replace(" ", _FIXED) for name, text in LEGEND if name in self.seen]
        mode = (ABSOLUTE if self.model.absolute else RELATIVE).say(self.lang)
        return [*lines, "", *wrap(mode, WIDTH), *(line.replace(_FIXED, " ") for line in wrap("   ".join(legend), WIDTH))]

    def sentences(self) -> list[str]:
        """One paragraph a step."""
        lines = []
        for step in self.model.steps:
            body = wrap(step.say(self.lang), WIDTH - _STEP - 1)
            number = paint(right(str(step.number), _STEP), "bold", self.color)
            lines.append(f"{number} {body[0]}")
            lines += [" " * (_STEP + 1) + rest for rest in body[1:]]
        return lines

    # Lines

    def _heading(self) -> list[str]:
        one, two = self.model.lanes
        gap = " " * (_AREA + 4)
        ends = " " * (_STEP + 1) + right(one.end, _SIDE) + gap + left(two.end, _SIDE)
        seconds = SECONDS.say(self.lang)
        return [
            self._line("#", (seconds, seconds), (one.host, two.host), ("bold", "bold"), "", (" ", " ")),
            paint(ends.rstrip(), "dim", self.color),
            self._plain_line(one.begins, two.begins),
        ]

    def _plain_line(self, one: State, two: State) -> str:
        return self._line("", ("", ""), (str(one), str(two)), (STATE_STYLE[one], STATE_STYLE[two]), "", ("", ""))

    def _line(
        self,
        step: str,
        times: tuple[str, str],
        outside: tuple[str, str],
        styles: tuple[str, str],
        area: str,
        ends: tuple[str, str],
        area_style: str = "",
    ) -> str:
        """One line of the ladder; `ends` replace the lifelines' own strokes where not empty."""
        strokes = [ends[side] or self._stroke(side) for side in (LEFT, RIGHT)]
        parts = [
            (right(step, _STEP), "bold"),
            (" " + right(times[0], _TIME), "dim"),
            (" " + right(outside[0], _OUTSIDE), styles[0]),
            (" " + strokes[0], ""),
            (left(area, _AREA), area_style),
            (strokes[1] + " ", ""),
            (left(outside[1], _OUTSIDE), styles[1]),
            (" " + right(times[1], _TIME), "dim"),
        ]
        while parts and not parts[-1][0].strip():
            parts.pop()
        if parts:
            parts[-1] = (parts[-1][0].rstrip(), parts[-1][1])
        return "".join(paint(text, style, self.color) for text, style in parts)

    def _stroke(self, side: int) -> str:
        """A lifeline's stroke, which tells at a glance whether there is a connection."""
        self._note_lifeline(side)
        if self.crashed[side]:
            return " "
        return {State.CLOSED: ":", State.TIME_WAIT: "#"}.get(self.states[side], "|")

    def _note_lifeline(self, side: int) -> None:
        if self.crashed[side]:
            return
        if self.states[side] is State.TIME_WAIT:
            self.seen.add("timewait")
        elif self.states[side] is State.CLOSED:
            self.seen.add("closed")

    def _time(self, time: int | None) -> str:
        if time is None:
            return ""
        text = f"{time / 1e9:.{self.decimals}f}"
        return text if len(text) <= _TIME else f"{time / 1e9:.{max(0, _TIME - 1 - len(str(time // 10**9)))}f}"

    # Arrows

    def _arrow_row(self, row: Row, arrow: Arrow) -> list[str]:
        sender, receiver = arrow.sender, 1 - arrow.sender
        departs = row.part is not Part.ARRIVAL
        arrives = arrow.arrives is not None and row.part is not Part.DEPARTURE
        times = [""] * 2
        outside = [""] * 2
        styles = [""] * 2
        for side, shown, time, state in (
            (sender, departs, arrow.departs, arrow.before),
            (receiver, arrives, arrow.arrives, arrow.after),
        ):
            changed = shown and state is not self.states[side]
            if shown:
                self.states[side] = state
                times[side] = self._time(time)
            outside[side] = "" if self.crashed[side] else str(self.states[side])
            styles[side] = STATE_STYLE[self.states[side]] if changed else "dim"
        shafts = _Shaft(arrow, row.part, self.lang).lines()
        style = "red" if arrow.lost or arrow.dropped else "yellow" if arrow.retransmission else ""
        self._note_arrow(arrow, row.part)
        step = str(row.step) if row.step else ""
        pair = (outside[0], outside[1])
        lines = [self._line(step, (times[0], times[1]), pair, (styles[0], styles[1]), shafts[0], ("", ""), style)]
        lines += [self._line("", ("", ""), ("", ""), ("", ""), shaft, ("", ""), "") for shaft in shafts[1:]]
        return lines

    def _note_arrow(self, arrow: Arrow, part: Part) -> None:
        if arrow.retransmission:
            self.seen.add("retransmission")
        if arrow.lost is not None:
            self.seen.add("lost")
        elif part is not Part.WHOLE:
            self.seen.add("flight")
        if arrow.dropped is not None:
            self.seen.add("dropped")

    # Marks

    def _mark_row(self, row: Row) -> list[str]:
        lines: list[str] = []
        for mark in row.marks:
            if mark.side is None:
                lines += self._fault_lines(row, mark)
            else:
                lines += self._side_lines(row, mark, mark.side, first=not lines)
        return lines

    def _fault_lines(self, row: Row, mark: Mark) -> list[str]:
        text = f" {mark.text.say(self.lang)} "
        area = cut(text, _AREA)
        fill = _AREA - width(area)
        area = "~" * (fill // 2) + area + "~" * (fill - fill // 2)
        step = str(row.step) if row.step else ""
        if mark.down is not None:
            self.crashed[mark.down] = True
        if mark.up is not None:
            self.crashed[mark.up] = False
            self.states[mark.up] = State.CLOSED
        return [self._line(step, (self._time(mark.time), ""), ("", ""), ("", ""), area, ("", ""), "bold red")]

    def _side_lines(self, row: Row, mark: Mark, side: int, *, first: bool) -> list[str]:
        style = {
            MarkKind.CALL: "cyan",
            MarkKind.RETURN: "cyan",
            MarkKind.STATE: STATE_STYLE[mark.state],
            MarkKind.TIMER: "yellow",
            MarkKind.WAIT: "yellow",
            MarkKind.DROP: "red",
        }.get(mark.kind, "")
        if mark.failed:
            style = "red"
        if mark.kind is MarkKind.STATE:
            self.states[side] = mark.state
        lines = []
        for index, text in enumerate(_mark_lines(mark.text.say(self.lang))):
            outside, styles, times = ["", ""], ["", ""], ["", ""]
            outside[side], styles[side] = text, style
            if first and index == 0:
                times[side] = self._time(mark.time)
            step = str(row.step) if row.step and first and index == 0 else ""
            lines.append(
                self._line(
                    step, (times[0], times[1]), (outside[0], outside[1]), (styles[0], styles[1]), "", ("", "")
                )
            )
        return lines


_BREAKS: Final = re.compile(r"(?<=[(,， ])|(?=[:])")  # where a call's text may be broken


def _mark_lines(text: str) -> list[str]:
    """A mark's text in lines of the outside column; a call is best broken before its result, then before its arguments."""
    lines = []
    for part in text.split("\n"):
        if width(part) <= _OUTSIDE:
            lines.append(part)
            continue
        call, equals, result = part.partition(" = ")
        name, bracket, arguments = call.partition("(")
        if width(call) <= _OUTSIDE:
            lines += [call, *_pieces(f"= {result}")]
        elif bracket and width(arguments) <= _OUTSIDE:
            lines += [name + bracket, arguments, *([f"= {result}"] if equals else [])]
        else:
            lines += _pieces(part)
    return lines


def _pieces(text: str) -> list[str]:
    """`text` broken after spaces, brackets and commas and before colons."""
    lines = [""]
    for piece in _BREAKS.split(text):
        if width(lines[-1] + piece.rstrip()) <= _OUTSIDE:
            lines[-1] += piece
        else:
            lines += wrap(piece, _OUTSIDE) if width(piece) > _OUTSIDE else [piece]
    return [line.strip() for line in lines if line.strip()]


class _Shaft:
    """The strokes and words of one arrow between the lifelines."""

    def __init__(self, arrow: Arrow, part: Part, lang: str) -> None:
        self.arrow = arrow
        self.part = part
        self.lang = lang
        self.stroke = "=" if arrow.retransmission else "-"

    def lines(self) -> list[str]:
        """The shaft with as many words as fit, then lines with the others."""
        words = self._words()
        reserve = 6 if self.part is Part.WHOLE and self.arrow.lost is None else 8
        on_shaft: list[str] = []
        while words and len(" ".join([*on_shaft, words[0]])) <= _AREA - reserve:
            on_shaft.append(words.pop(0))
        shaft = self._shaft(" ".join(on_shaft))
        rest = []
        line = ""
        for word in [*words, *self._remarks()]:
            joined = f"{line} {word}" if line else f"   {word}"
            if width(joined) > _AREA - 1 and line:
                rest.append(line)
                joined = f"   {word}"
            if width(joined) > _AREA - 1:
                joined = cut(joined.removeprefix("  "), _AREA - 1)
            line = joined
        return [shaft, *rest, *([line] if line else [])]

    def _words(self) -> list[str]:
        arrow = self.arrow
        words = [arrow.flags, f"seq={arrow.seq}"]
        if arrow.ack is not None:
            words.append(f"ack={arrow.ack}")
        if self.part is Part.ARRIVAL:
            return words
        return [*words, f"win={arrow.window}", f"len={arrow.length}", *arrow.options]

    def _remarks(self) -> list[str]:
        arrow = self.arrow
        remarks = []
        if self.part is not Part.ARRIVAL:
            if arrow.lost is not None:
                remarks.append(f"{LOST.say(self.lang)}: {arrow.lost.say(self.lang)}")
            if arrow.corrupted:
                remarks.append(CORRUPTED.say(self.lang))
            if arrow.copy:
                remarks.append(COPY.say(self.lang))
            if arrow.injected:
                remarks.append(STRAY.say(self.lang))
        if arrow.dropped is not None and self.part is not Part.DEPARTURE:
            remarks.append(NOT_TAKEN.say(self.lang, reason=arrow.dropped.say(self.lang)))
        return remarks

    def _shaft(self, label: str) -> str:
        """The shaft from the sender to wherever it leads; drawn from left to right."""
        s, arrow = self.stroke, self.arrow
        rightwards = arrow.sender == LEFT
        head = "!" if arrow.dropped is not None else ">" if rightwards else "<"
        if arrow.lost is not None:
            inner = f"{s * 2} {label} "
            inner += s * max(1, _AREA * 3 // 4 - len(inner) - 1) + "X"
            return inner if rightwards else left_of(label, s, "X")
        if self.part is Part.DEPARTURE or arrow.arrives is None:
            return left(f"{s * 2} {label} ...", _AREA) if rightwards else right(f"... {label} {s * 2}", _AREA)
        if self.part is Part.ARRIVAL:
            return right(f"... {label} {s}{head}", _AREA) if rightwards else f"{head}{s} {label} ..."
        if rightwards:
            return f"{s * 2} {label} ".ljust(_AREA - 1, s) + head
        return f"{head}{s} {label} ".ljust(_AREA, s)


def left_of(label: str, stroke: str, end: str) -> str:
    """A broken arrow that comes from the right."""
    body = f" {label} {stroke * 2}"
    return right(end + body.rjust(_AREA * 3 // 4 - 1, stroke), _AREA)


def _decimals(ladder: Ladder) -> int:
    """Three digits after the point when every time is a whole millisecond, else as many as there is room for."""
    times = [row.time for row in ladder.rows]
    times += [arrow.arrives for arrow in ladder.arrows if arrow.arrives is not None]
    return 3 if all(time % 1_000_000 == 0 for time in times) else 5
