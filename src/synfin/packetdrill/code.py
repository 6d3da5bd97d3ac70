"""The `%{ }%` blocks of a script: Python with the tcpi_ values of the moment.

All blocks of a script share one set of names. Only harmless builtins are there, so that a script has no reason to do anything
but look; that is no security boundary: play only scripts that you would run. Knows no connection.
"""

import builtins
import re
import textwrap
import warnings
from collections.abc import Mapping
from types import CodeType
from typing import Any, Final

from synfin.packetdrill.files import Skip
from synfin.packetdrill.symbols import SYMBOLS

HARMLESS: Final = (
    "abs", "all", "any", "bool", "dict", "divmod", "enumerate", "filter", "float", "hex", "int", "isinstance", "len", "list",
    "map", "max", "min", "pow", "range", "repr", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "zip",
    "AssertionError", "Exception", "ValueError", "KeyError", "TypeError", "True", "False", "None",
)  # fmt: skip
USED: Final = re.compile(r"\btcpi_\w+")
PREFIXES: Final = ("TCPI_", "TCP_", "SO_")


class CodeError(Exception):
    """A block that is no Python, or fails for another reason than an assertion."""


def compiled(text: str, where: str) -> CodeType:
    """The block in `text`; raises CodeError when it is no Python."""
    lines = text.strip("\n")
    first, _, rest = lines.partition("\n")
    body = first.strip() + ("\n" + textwrap.dedent(rest) if rest.strip() else "")
    for attempt in (textwrap.dedent(lines).strip(), body):
        try:
            with warnings.catch_warnings(action="ignore"):
                return compile(attempt, where, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            problem = error
    raise CodeError(str(problem))


class Program:
    """The blocks of one script, run one after the other; what they print is kept in `printed`."""

    def __init__(self) -> None:
        self.printed: list[str] = []
        allowed = {name: getattr(builtins, name) for name in HARMLESS if hasattr(builtins, name)}
        allowed["print"] = self._print
        self._names: dict[str, Any] = {
            name: value for name, value in SYMBOLS.items() if name.startswith(PREFIXES)
        }
        self._names["__builtins__"] = allowed

    def _print(self, *values: object, **_: object) -> None:
        self.printed.append(" ".join(map(str, values)))

    def run(self, text: str, values: Mapping[str, int], where: str) -> None:
        """Run a block with `values` as its tcpi_ names. Raises AssertionError where one does not hold, Skip for a tcpi_ name
        that synfin does not have, CodeError."""
        names = self._names
        for name in [name for name in names if name.startswith("tcpi_")]:
            del names[name]
        names.update(values)
        code = compiled(text, where)
        try:
            exec(code, names)
        except AssertionError as error:
            raise AssertionError(str(error) or _values(text, values)) from None
        except NameError as error:
            if (error.name or "").startswith(("tcpi_", *PREFIXES)):
                raise Skip(str(error.name)) from None
            raise CodeError(str(error)) from None
        except Exception as error:
            raise CodeError(f"{type(error).__name__}: {error}") from None


def _values(text: str, values: Mapping[str, int]) -> str:
    """What the tcpi_ names in `text` are; the text itself where there are none."""
    used = [name for name in dict.fromkeys(USED.findall(text)) if name in values]
    return ", ".join(f"{name} = {values[name]}" for name in used) or " ".join(text.split())
