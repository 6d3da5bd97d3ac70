"""The state diagram as one self-contained SVG, laid out as RFC 9293 figure 5.

Owns where each box stands and how each arrow bends. The arrows themselves are the rows of FIGURE_5, and those beyond it
that do not lead to CLOSED (dashed); the many that do are listed under the diagram.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from synfin.cli.statewords import BEYOND, TITLE, TO_CLOSED
from synfin.engine.state import BEYOND_FIGURE_5, FIGURE_5, TRANSITIONS, State, Trigger
from synfin.trace.phrases import TRIGGERS

S = State
T = Trigger

WIDTH: Final = 960
HEIGHT: Final = 900
BOX: Final = (150, 40)  # width, height

# The middle of each box. CLOSED stands at the top; LAST-ACK and TIME-WAIT lead to its second box at the bottom.
PLACES: Final[dict[State, tuple[int, int]]] = {
    S.CLOSED: (480, 90),
    S.LISTEN: (480, 200),
    S.SYN_RECEIVED: (190, 310),
    S.SYN_SENT: (770, 310),
    S.ESTABLISHED: (480, 420),
    S.FIN_WAIT_1: (190, 530),
    S.CLOSE_WAIT: (770, 530),
    S.FIN_WAIT_2: (190, 690),
    S.CLOSING: (480, 610),
    S.LAST_ACK: (770, 690),
    S.TIME_WAIT: (480, 740),
}
CLOSED_AGAIN: Final = (770, 800)
SYNCHRONIZED_FILL: Final = "#e8f3ec"
OPENING_FILL: Final = "#eef2fb"
CLOSED_FILL: Final = "#f3f3f3"


class Bend(NamedTuple):
    """How one arrow runs: from a side of its box to a side of the other (x and y in half boxes from the middle), through
    `via`, with the label's middle `label` pixels off the arrow's."""

    start: tuple[float, float]
    end: tuple[float, float]
    via: tuple[int, int] | None = None
    label: tuple[int, int] = (0, 0)


BENDS: Final[dict[tuple[State, Trigger], Bend]] = {
    (S.CLOSED, T.PASSIVE_OPEN): Bend((-0.4, 1), (-0.4, -1), label=(-52, 0)),
    (S.CLOSED, T.ACTIVE_OPEN): Bend((1, 0), (0.2, -1), (785, 90), (-62, 6)),
    (S.LISTEN, T.CLOSE): Bend((0.4, -1), (0.4, 1), label=(30, 0)),
    (S.LISTEN, T.SYN): Bend((-1, 0.3), (0.3, -1), label=(-26, -10)),
    (S.LISTEN, T.SEND): Bend((1, 0.3), (-0.3, -1), label=(24, -12)),
    (S.SYN_RECEIVED, T.RESET_TO_LISTEN): Bend((-0.3, -1), (-1, -0.5), (145, 190), (-40, -26)),
    (S.SYN_SENT, T.SYN): Bend((-1, 0), (1, 0), label=(0, -9)),
    (S.SYN_SENT, T.SYN_ACK): Bend((-0.3, 1), (1, -0.3), label=(44, 16)),
    (S.SYN_SENT, T.CLOSE): Bend((0.8, -1), (1, -0.6), (860, 60), (48, 10)),
    (S.SYN_RECEIVED, T.ACK_OF_SYN): Bend((0.3, 1), (-1, -0.3), label=(-62, 18)),
    (S.SYN_RECEIVED, T.CLOSE): Bend((0, 1), (0, -1), label=(-30, 0)),
    (S.SYN_RECEIVED, T.FIN): Bend((0.7, 1), (-1, -0.4), (400, 490), (84, 50)),
    (S.ESTABLISHED, T.CLOSE): Bend((-1, 0.3), (0.3, -1), label=(2, -18)),
    (S.ESTABLISHED, T.FIN): Bend((1, 0.3), (-0.3, -1), label=(26, -12)),
    (S.FIN_WAIT_1, T.FIN): Bend((1, 0), (-1, -0.3), label=(20, -14)),
    (S.FIN_WAIT_1, T.ACK_OF_FIN): Bend((0, 1), (0, -1), label=(-62, 0)),
    (S.FIN_WAIT_1, T.FIN_AND_ACK_OF_FIN): Bend((0.7, 1), (-0.8, -1), label=(-64, 4)),
    (S.FIN_WAIT_2, T.FIN): Bend((1, 0.4), (-1, 0), label=(-4, 16)),
    (S.CLOSING, T.ACK_OF_FIN): Bend((0.2, 1), (0.2, -1), label=(58, 0)),
    (S.CLOSE_WAIT, T.CLOSE): Bend((0, 1), (0, -1), label=(30, 0)),
    (S.LAST_ACK, T.ACK_OF_FIN): Bend((0, 1), (0, -1), label=(58, 0)),
    (S.TIME_WAIT, T.TWO_MSL): Bend((1, 0.2), (-1, 0.2), label=(-10, 22)),
}

STYLE: Final = """
text{font:13px ui-sans-serif,system-ui,"Noto Sans CJK SC","Microsoft YaHei",sans-serif;fill:#1d2430}
.state{font-weight:600;text-anchor:middle}.label{text-anchor:middle;font-size:12px;paint-order:stroke;stroke:#fff;
stroke-width:4px}.title{font-size:18px;font-weight:600}.small{font-size:12px;fill:#4b5563}
path{fill:none;stroke:#3a4657;stroke-width:1.4}path.beyond{stroke-dasharray:5 4}rect{stroke:#3a4657;stroke-width:1.2}
"""


def _middle(state: State, start: State | None = None) -> tuple[int, int]:
    """Where `state` stands; CLOSED at the bottom for what comes from `start` at the end of a connection."""
    if state is S.CLOSED and start in (S.LAST_ACK, S.TIME_WAIT):
        return CLOSED_AGAIN
    return PLACES[state]


def _box(name: str, middle: tuple[int, int], fill: str) -> str:
    x, y = middle
    width, height = BOX
    return (
        f'<rect x="{x - width // 2}" y="{y - height // 2}" width="{width}" height="{height}" rx="7" fill="{fill}"/>'
        f'<text class="state" x="{x}" y="{y + 5}">{escape(name)}</text>'
    )


def _fill(state: State) -> str:
    if state in (S.CLOSED, S.LISTEN):
        return CLOSED_FILL
    return OPENING_FILL if state in (S.SYN_SENT, S.SYN_RECEIVED) else SYNCHRONIZED_FILL


def _at(middle: tuple[int, int], side: tuple[float, float]) -> tuple[float, float]:
    return middle[0] + side[0] * BOX[0] / 2, middle[1] + side[1] * BOX[1] / 2


def _arrow(start: State, trigger: Trigger, end: State, lang: str) -> str:
    bend = BENDS[start, trigger]
    (x1, y1), (x2, y2) = _at(_middle(start), bend.start), _at(_middle(end, start), bend.end)
    via = bend.via or (round((x1 + x2) / 2), round((y1 + y2) / 2))
    # The middle of a quadratic curve is a quarter of each end and half of its control point.
    x, y = (x1 + 2 * via[0] + x2) / 4 + bend.label[0], (y1 + 2 * via[1] + y2) / 4 + bend.label[1]
    kind = "" if (start, trigger) in FIGURE_5 else ' class="beyond"'
    return (
        f'<path{kind} marker-end="url(#tip)" d="M{x1:g} {y1:g} Q{via[0]} {via[1]} {x2:g} {y2:g}"/>'
        f'<text class="label" x="{x:g}" y="{y + 4:g}">{escape(TRIGGERS[trigger].say(lang))}</text>'
    )


def drawn() -> dict[tuple[State, Trigger], State]:
    """The moves that have an arrow: figure 5, and those beyond it that do not end in CLOSED."""
    return {move: end for move, end in TRANSITIONS.items() if move in FIGURE_5 or end is not S.CLOSED}


def _listed(lang: str) -> Iterator[str]:
    """What leads to CLOSED beyond figure 5, by trigger."""
    starts: dict[Trigger, list[str]] = {}
    for (start, trigger), end in BEYOND_FIGURE_5.items():
        if end is S.CLOSED:
            starts.setdefault(trigger, []).append(str(start))
    yield f"- - -  {BEYOND.say(lang)}"
    yield TO_CLOSED.say(lang)
    for trigger, names in starts.items():
        yield f"{TRIGGERS[trigger].say(lang)}: {', '.join(names)}"


def svg(lang: str) -> str:
    """The diagram, in `lang` ("en" or "zh"), as the text of an SVG file."""
    listed = list(_listed(lang))
    height = HEIGHT + 18 * len(listed) - 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        f' role="img" aria-label="{escape(TITLE.say(lang))}"><style>{STYLE}</style>',
        '<defs><marker id="tip" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">'
        '<polygon points="0 0,9 4,0 8" fill="#3a4657"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff" style="stroke:none"/>',
        f'<text class="title" x="28" y="40">{escape(TITLE.say(lang))}</text>',
        *(_arrow(start, trigger, end, lang) for (start, trigger), end in drawn().items()),
        *(_box(str(state), middle, _fill(state)) for state, middle in PLACES.items()),
        _box(str(S.CLOSED), CLOSED_AGAIN, CLOSED_FILL),
        *(f'<text class="small" x="28" y="{HEIGHT - 30 + 18 * n}">{escape(line)}</text>' for n, line in enumerate(listed)),
        "</svg>\n",
    ]
    return "\n".join(parts)
