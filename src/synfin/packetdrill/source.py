"""The text of a script and a place in it: words substituted, parts for one operating system chosen, tokens read.

Owns comments, `-D` symbols, `#ifdef` and where in the file something stood. Knows no grammar.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

from synfin.packetdrill.syntax import Place, ScriptError

BLANK: Final = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/|#[^\n]*)+", re.DOTALL)
# Where no word is substituted, and words. What is opened and never closed reaches to the end, so that nobody looks twice.
PIECES: Final = re.compile(
    r"--define\s*=[^\n`]*(?:`[^`]*`)?|//[^\n]*|/\*(?:.*?\*/|.*)"
    r'|"(?:[^"\\]|\\.)*(?:"|$)|`(?:[^`\\]|\\.)*(?:`|$)|%\{(?:.*?\}%|.*)|[A-Za-z_]\w*|\d\w*',
    re.DOTALL,
)
IFDEF: Final = re.compile(r"[ \t]*#[ \t]*(ifdef|ifndef|endif|else)\b[ \t]*(\w*)")
WORD: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
HEX: Final = re.compile(r"0[xX][0-9a-fA-F]+")
DIGITS: Final = re.compile(r"\d+", re.ASCII)
TIME: Final = re.compile(r"\d+\.\d+|\d+\.(?![.\d])|\.\d+|\d+", re.ASCII)
STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
LONGEST: Final = 40  # of what is shown of the place at fault


class Source:
    """A cursor in the text of `file`. `defines` are substituted; `systems` are names that `#ifdef` finds beside them.

    Raises ScriptError for an `#ifdef` without its `#endif`.
    """

    def __init__(self, file: str, text: str, defines: Mapping[str, str], systems: frozenset[str]) -> None:
        self.file = file
        self.at = 0
        self._moved: list[tuple[int, int]] = []  # new offset, old offset: from here on
        self._original = text
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self.text = text
        text = self._choose(text, systems | frozenset(defines))
        if defines:
            text = self._substitute(text, defines)
        self.text = text
        self.size = len(text)
        self.blank()

    # --- before reading

    def _choose(self, text: str, known: frozenset[str]) -> str:
        """Blank out what `#ifdef` leaves out, and the lines of those directives."""
        if "#" not in text:
            return text
        lines = text.split("\n")
        begun = 0  # the line of an open #ifdef
        keep = True
        for number, line in enumerate(lines, 1):
            found = IFDEF.match(line)
            if found is None:
                if not keep:
                    lines[number - 1] = " " * len(line)
                continue
            word, name = found.groups()
            place = Place(self.file, number, 1)
            if word in ("ifdef", "ifndef"):
                if begun or not name:
                    raise ScriptError(place, "#ifdef inside an #ifdef" if begun else "#ifdef without a name")
                begun, keep = number, (name in known) == (word == "ifdef")
            elif not begun or word == "else":
                raise ScriptError(place, f"#{word} without an #ifdef" if not begun else "there is no #else")
            else:
                begun, keep = 0, True
            lines[number - 1] = " " * len(line)
        if begun:
            raise ScriptError(Place(self.file, begun, 1), "#ifdef without its #endif")
        return "\n".join(lines)

    def _substitute(self, text: str, defines: Mapping[str, str]) -> str:
        parts: list[str] = []
        at = new = 0
        for found in PIECES.finditer(text):
            value = defines.get(found.group())
            if value is None:
                continue
            start, end = found.span()
            parts += (text[at:start], value)
            new += start - at
            self._moved += ((new, start), (new + len(value), end))
            new += len(value)
            at = end
        return "".join((*parts, text[at:]))

    # --- places

    def place(self, at: int = -1) -> Place:
        """Where in the file the offset `at`, by default the cursor, lies."""
        offset = self.at if at < 0 else at
        index = bisect_right(self._moved, (offset, 1 << 60)) - 1
        if index >= 0:
            new, old = self._moved[index]
            offset = old + (0 if index % 2 == 0 else offset - new)
        line = bisect_right(self._lines, offset)
        return Place(self.file, line, offset - self._lines[line - 1] + 1)

    def error(self, wanted: str, at: int = -1) -> ScriptError:
        """What to raise where `wanted` should stand and does not."""
        where = self.at if at < 0 else at
        found = self.text[where : where + LONGEST].split("\n")[0]
        return ScriptError(self.place(where), f"{wanted} expected, found {found!r}" if found else f"{wanted} expected")

    def wrong(self, why: str, at: int = -1) -> ScriptError:
        """What to raise for something that can be read but makes no sense."""
        return ScriptError(self.place(at), why)

    # --- reading; each leaves the cursor behind blanks and comments

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self.at >= self.size

    def blank(self) -> None:
        """Step over blanks and comments. Raises ScriptError for a comment that does not end."""
        found = BLANK.match(self.text, self.at)
        if found:
            self.at = found.end()
        if self.text.startswith("/*", self.at):
            raise self.wrong("the comment does not end")

    def sees(self, text: str) -> bool:
        """Whether `text` is next."""
        return self.text.startswith(text, self.at)

    def take(self, text: str) -> bool:
        """Step over `text` if it is next."""
        if not self.text.startswith(text, self.at):
            return False
        self.at += len(text)
        self.blank()
        return True

    def need(self, text: str) -> None:
        """Step over `text`; raises ScriptError."""
        if not self.take(text):
            raise self.error(repr(text))

    def match(self, pattern: re.Pattern[str]) -> str | None:
        """What `pattern` matches here, stepped over."""
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        self.blank()
        return found.group()

    def peek(self, pattern: re.Pattern[str]) -> str | None:
        """What `pattern` matches here."""
        found = pattern.match(self.text, self.at)
        return None if found is None else found.group()

    def word(self, wanted: str = "a word") -> str:
        """A word; raises ScriptError."""
        found = self.match(WORD)
        if found is None:
            raise self.error(wanted)
        return found

    def take_word(self, word: str) -> bool:
        """Step over `word` if it is the next word."""
        if self.peek(WORD) != word:
            return False
        self.match(WORD)
        return True

    def integer(self, wanted: str, most: int) -> int:
        """A number from 0 to `most`, decimal or 0x; raises ScriptError."""
        start = self.at
        found = self.match(HEX) or self.match(DIGITS)
        if found is None:
            raise self.error(wanted)
        if len(found) > 20:
            raise self.wrong(f"{wanted} is at most {most}", start)
        value = int(found, 16) if found[:2] in ("0x", "0X") else int(found)
        if value > most:
            raise self.wrong(f"{wanted} is at most {most}, not {value}", start)
        return value

    def rest_of_line(self) -> str:
        """The text up to the end of the line, stepped over."""
        end = self.text.find("\n", self.at)
        end = self.size if end < 0 else end
        rest = self.text[self.at : end]
        self.at = end
        self.blank()
        return rest
