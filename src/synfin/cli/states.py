"""`synfin states`: the eleven states as text, drawn and explained from TRANSITIONS and statewords.

Owns the layout in 80 columns. Knows no move of its own: every arrow is a row of engine.state.
"""

import sys
from pathlib import Path

from synfin.cli.output import WIDTH, in_reach, write_file
from synfin.cli.statesvg import svg as diagram
from synfin.cli.statewords import (
    BEYOND,
    DIAGRAM,
    JOIN,
    LASTS,
    LEADS_IN,
    LEADS_OUT,
    LEGEND,
    MEANING,
    PILE,
    SEEN_IN,
    SPELLED,
    TITLE,
    WORDS,
)
from synfin.engine.state import BEYOND_FIGURE_5, FIGURE_5, State, Trigger, parse_state
from synfin.trace.cells import left, width, wrap
from synfin.trace.phrases import TRIGGERS

Moves = dict[tuple[State, Trigger], State]

def _joined(triggers: list[Trigger], lang: str) -> str:
    return JOIN.say(lang).join(TRIGGERS[trigger].say(lang) for trigger in triggers)


def _grouped(moves: Moves, state: State, lang: str) -> list[tuple[str, State]]:
    """The moves out of `state`, those with the same end in one."""
    ends: dict[State, list[Trigger]] = {}
    for (start, trigger), end in moves.items():
        if start is state:
            ends.setdefault(end, []).append(trigger)
    return [(_joined(triggers, lang), end) for end, triggers in ends.items()]


def _arrow(label: str, mark: str, end: State) -> str:
    shaft = "─" * max(2, 50 - width(label))
    return f"  {label} {mark}{shaft}▶ {end}"


def draw(lang: str) -> str:
    """All states, each with the moves that leave it: figure 5 first, what it omits marked with a star."""
    lines = [TITLE.say(lang), ""]
    for state in State:
        lines.append(str(state))
        lines += [_arrow(label, "─", end) for label, end in _grouped(FIGURE_5, state, lang)]
        lines += [_arrow(label, "*", end) for label, end in _grouped(BEYOND_FIGURE_5, state, lang)]
    return "\n".join([*lines, "", *wrap(LEGEND.say(lang), WIDTH)])


def _inward(moves: Moves, state: State, lang: str) -> list[str]:
    """The moves into `state`, those by the same trigger in one."""
    starts: dict[Trigger, list[str]] = {}
    for (start, trigger), end in moves.items():
        if end is state:
            starts.setdefault(trigger, []).append(str(start))
    return [f"{', '.join(names)} ── {TRIGGERS[trigger].say(lang)}" for trigger, names in starts.items()]


def _outward(moves: Moves, state: State, lang: str) -> list[str]:
    return [f"{label} ─▶ {end}" for label, end in _grouped(moves, state, lang)]


def _moves(figure: list[str], beyond: list[str], room: int) -> list[str]:
    """Both lists in lines, what is beyond figure 5 with a star; what continues a line is indented."""
    lines = []
    for move in [*figure, *(f"{move} *" for move in beyond)]:
        first, *rest = wrap(move, room - 2)
        lines += [first, *(f"  {line}" for line in rest)]
    return lines or ["-"]


def _field(name: str, lines: list[str], label_width: int) -> list[str]:
    labels = [name, *[""] * (len(lines) - 1)]
    return [f"  {left(label, label_width)}  {line}".rstrip() for label, line in zip(labels, lines, strict=True)]


def explain(state: State, lang: str) -> str:
    """What a person wants to know of `state`, in 80 columns."""
    words = WORDS[state]
    labels = [text.say(lang) for text in (MEANING, LEADS_IN, LEADS_OUT, LASTS, PILE, SPELLED, SEEN_IN)]
    label_width = max(width(label) for label in labels)
    room = WIDTH - label_width - 4
    spellings = ", ".join(spelling for spelling in words.spellings if spelling != str(state)) or "-"
    contents = [
        wrap(words.meaning.say(lang), room),
        _moves(_inward(FIGURE_5, state, lang), _inward(BEYOND_FIGURE_5, state, lang), room),
        _moves(_outward(FIGURE_5, state, lang), _outward(BEYOND_FIGURE_5, state, lang), room),
        wrap(words.lasts.say(lang), room),
        wrap(words.pile.say(lang), room),
        wrap(spellings, room),
        [f"synfin demo {words.scenario}"],
    ]
    lines = [str(state), ""]
    for label, content in zip(labels, contents, strict=True):
        lines += _field(label, content, label_width)
    return "\n".join([*lines, "", f"* {BEYOND.say(lang)}"])


def show(name: str | None, svg: Path | None, lang: str) -> None:
    """The command: writes `svg` when given, prints the state called `name` or all of them.

    Raises UsageError, with the nearest spelling, for a name that no state has.
    """
    state = parse_state(name) if name is not None else None
    if svg is not None:
        write_file(svg, diagram(lang).encode())
        print(f"{DIAGRAM.say(lang)}: {svg}")
        if state is None:
            return
    print(in_reach(draw(lang) if state is None else explain(state, lang), sys.stdout.encoding))
