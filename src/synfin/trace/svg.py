"""The little of SVG that the pictures need: elements, escaping, the look they share, and how wide a text will be.

Owns fonts and colours. A picture is one file without fonts, scripts or references to anything outside. Knows nothing of TCP
but the states' colours.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from synfin.engine.state import State
from synfin.trace.cells import wrap_by

SANS: Final = (
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', 'PingFang SC', 'Microsoft YaHei',"
    " 'Noto Sans CJK SC', 'Source Han Sans SC', 'WenQuanYi Zen Hei', sans-serif"
)
MONO: Final = (
    "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'PingFang SC', 'Microsoft YaHei',"
    " 'Noto Sans CJK SC', 'WenQuanYi Zen Hei', monospace"
)
INK: Final = "#1f2933"
GREY: Final = "#667685"
PALE: Final = "#cbd2d9"
PAPER: Final = "#ffffff"
STACK_GAP: Final = 18.0  # pixels between pictures that stand one under the other
TITLE_TOP: Final = 38.0  # the baseline of the title over such a pile, pixels
TITLE_LEFT: Final = 24.0
TITLE_SIZE: Final = 18.0
TITLE_LINE: Final = 24.0
RED: Final = "#c62828"
ORANGE: Final = "#b45309"
BLUE: Final = "#1d4ed8"
TEAL: Final = "#0f766e"

# The bar along a lifeline, and the state's name beside it (dark enough to read on white).
STATE_COLORS: Final[dict[State, tuple[str, str]]] = {
    State.CLOSED: ("#d5dbe1", "#667685"),
    State.LISTEN: ("#93b4e8", "#2f5fa8"),
    State.SYN_SENT: ("#f5c542", "#8a6100"),
    State.SYN_RECEIVED: ("#f39c3d", "#a4550a"),
    State.ESTABLISHED: ("#3fae6a", "#1c7a41"),
    State.FIN_WAIT_1: ("#d79be8", "#8e3aa6"),
    State.FIN_WAIT_2: ("#b06fd1", "#7a35a0"),
    State.CLOSE_WAIT: ("#5bb8d4", "#176c88"),
    State.CLOSING: ("#e58aa9", "#a8325c"),
    State.LAST_ACK: ("#2f8fb3", "#17607c"),
    State.TIME_WAIT: ("#8d7fd6", "#5546a8"),
}

_NARROW: Final = "iljtfrI.,:;'|!()[]- "


def text_width(text: str, size: float, *, mono: bool = False) -> float:
    """About how many pixels `text` takes in a font of `size` pixels; rather too many than too few."""
    total = 0.0
    for character in text:
        if ord(character) > 0x2E7F:
            total += 1.0
        elif mono:
            total += 0.61
        elif character in _NARROW:
            total += 0.40
        elif character.isupper() or character in "mw%@":
            total += 0.74
        else:
            total += 0.62
    return total * size


def wrap_pixels(text: str, size: float, room: float) -> list[str]:
    """`text` in lines of at most `room` pixels, in the sans font of `size` pixels."""
    return wrap_by(text, room, lambda part: text_width(part, size))


def tag(name: str, content: str | None = None, /, **attributes: object) -> str:
    """One element; `font_size=12` becomes `font-size="12"`, numbers are rounded to tenths, None is left out."""
    parts = [name]
    for key, value in attributes.items():
        if value is None:
            continue
        said = f"{value:.1f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
        parts.append(f"{key.rstrip('_').replace('_', '-')}={quoteattr(said)}")
    head = " ".join(parts)
    return f"<{head}/>" if content is None else f"<{head}>{content}</{name}>"


def words(x: float, y: float, text: str, size: float = 12, **attributes: object) -> str:
    """A line of text with its baseline at `y`; `anchor` is start, middle or end."""
    anchor = attributes.pop("anchor", None)
    return tag("text", escape(text), x=float(x), y=float(y), font_size=size, text_anchor=anchor, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> str:
    """A straight line."""
    return tag("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), **attributes)


def rect(x: float, y: float, width: float, height: float, **attributes: object) -> str:
    """A rectangle."""
    return tag("rect", x=float(x), y=float(y), width=float(width), height=float(height), **attributes)


def document(width: float, height: float, title: str, description: str, body: Iterable[str]) -> str:
    """A whole SVG file on a white ground; `title` and `description` are read out by screen readers."""
    head = [
        tag("title", escape(title), id="title"),
        tag("desc", escape(description), id="desc"),
        rect(0, 0, width, height, fill=PAPER, rx=10),
    ]
    content = "\n".join(("", *head, *body, ""))
    svg = tag(
        "svg", content, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width:.0f} {height:.0f}", width=f"{width:.0f}",
        height=f"{height:.0f}", role="img", aria_labelledby="title desc", font_family=SANS, fill=INK,
    )  # fmt: skip
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + svg + "\n"


def inside(picture: str, number: int) -> tuple[str, float, float]:
    """A whole file made by `document` as an element of another one, with its width and height in pixels.

    `number` tells it from the other pictures inside: it is added to every id, which must be unique in a file.
    """
    element = picture.partition("?>\n")[2].strip()
    element = re.sub(r'id="([\w-]+)"', rf'id="\1-{number}"', element)
    element = element.replace('aria-labelledby="title desc"', f'aria-labelledby="title-{number} desc-{number}"')
    size = re.search(r'width="(\d+)" height="(\d+)"', element)
    if size is None:
        raise ValueError("no picture made by svg.document")
    return element, float(size[1]), float(size[2])


def stack(pictures: Sequence[str], title: str, description: str) -> str:
    """Several whole files made by `document`, one under the other below the title, as one."""
    body: list[str] = []
    inner = [inside(picture, number) for number, picture in enumerate(pictures, 1)]
    width, height = max((wide for _, wide, _ in inner), default=0.0), TITLE_TOP
    for text in wrap_pixels(title, TITLE_SIZE * 1.13, width - 2 * TITLE_LEFT):  # bold takes more
        body.append(words(TITLE_LEFT, height, text, TITLE_SIZE, font_weight=600))
        height += TITLE_LINE
    height -= TITLE_LINE - STACK_GAP
    for element, _, high in inner:
        body.append(tag("g", element, transform=f"translate(0 {height:.0f})"))
        height += high + STACK_GAP
    return document(width, height, title, description, body)
