"""Text measured in terminal cells, where a Chinese character takes two: width, padding, cutting, wrapping, colours.

Owns the arithmetic of columns. Knows nothing of what is written.
"""

import unicodedata
from collections.abc import Callable
from typing import Final

# What may not begin a line in Chinese typesetting, and what may not end one.
_NOT_FIRST: Final = "，。：；！？、）」』》,.:;!?)"
_NOT_LAST: Final = "（「『《("

STYLES: Final[dict[str, str]] = {
    "": "",
    "dim": "2",
    "bold": "1",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "bold red": "1;31",
    "bold green": "1;32",
    "bold yellow": "1;33",
    "bold blue": "1;34",
    "bold magenta": "1;35",
    "bold cyan": "1;36",
}


def width(text: str) -> int:
    """How many cells `text` takes: two for wide and full-width characters, none for combining ones (UAX 11)."""
    if text.isascii():
        return len(text)
    return sum(_cell(character) for character in text)


def _cell(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def left(text: str, size: int) -> str:
    """`text` with spaces behind it, `size` cells in all; cut when it is longer."""
    text = cut(text, size)
    return text + " " * (size - width(text))


def right(text: str, size: int) -> str:
    """`text` with spaces before it, `size` cells in all; cut when it is longer."""
    text = cut(text, size)
    return " " * (size - width(text)) + text


def centre(text: str, size: int) -> str:
    """`text` in the middle of `size` cells; cut when it is longer."""
    text = cut(text, size)
    room = size - width(text)
    return " " * (room // 2) + text + " " * (room - room // 2)


def cut(text: str, size: int) -> str:
    """As much of `text` as fits into `size` cells, with `..` at the end when something is missing."""
    if width(text) <= size:
        return text
    dots = ".." if size > 4 else ""
    taken, used = [], len(dots)
    for character in text:
        used += _cell(character)
        if used > size:
            break
        taken.append(character)
    return "".join(taken) + dots


def _words(text: str) -> list[str]:
    """The pieces that a line may be broken between; a piece keeps the spaces before it."""
    pieces: list[str] = []
    for character in text:
        last = pieces[-1][-1:] if pieces else ""
        if last and _joins(last, character):
            pieces[-1] += character
        else:
            pieces.append(character)
    return pieces


def _joins(last: str, character: str) -> bool:
    """Whether a line may not be broken between these two."""
    if character == " ":
        return last == " "
    if last == " " or character in _NOT_FIRST or last in _NOT_LAST:
        return True
    return _cell(last) < 2 and _cell(character) < 2


def wrap(text: str, size: int) -> list[str]:
    """`text` in lines of at most `size` cells: broken at spaces, and between Chinese characters but not before their
    punctuation. A word longer than a line is cut into pieces. Always at least one line."""
    return wrap_by(text, size, width)


def wrap_by(text: str, size: float, measure: Callable[[str], float]) -> list[str]:
    """As `wrap`, with a measure of one's own."""
    lines = [""]
    for piece in _words(text):
        if measure(lines[-1] + piece.rstrip(" ")) <= size:
            lines[-1] += piece
            continue
        if lines[-1].strip():
            lines.append("")
        piece = piece.lstrip(" ")
        while measure(piece.rstrip(" ")) > size:
            lines[-1] = _head(piece, size, measure)
            piece = piece[len(lines[-1]) :]
            lines.append("")
        lines[-1] = piece
    return [line.rstrip(" ") for line in lines]


def _head(text: str, size: float, measure: Callable[[str], float]) -> str:
    """As many characters of `text` as fit, at least one."""
    for index in range(2, len(text) + 1):
        if measure(text[:index]) > size:
            return text[: index - 1]
    return text


def paint(text: str, style: str, color: bool) -> str:
    """`text` in one of STYLES when `color`, as it is otherwise."""
    code = STYLES[style]
    return f"\x1b[{code}m{text}\x1b[0m" if color and code and text.strip() else text
