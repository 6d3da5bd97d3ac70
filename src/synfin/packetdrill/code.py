"""The `%{ }%` blocks of a script: Python with the tcpi_ values of the moment.

All blocks of a script share one set of names. Only harmless builtins are there, so that a script has no reason to do anything
but look, and a block takes a bounded number of steps, so that one that never ends is told of. What a single step takes has no
bound, and none of this is a security boundary: play only scripts that you would run. Knows no connection.
"""

import ast
import builtins
import re
import sys
import textwrap
import warnings
from collections.abc import Mapping
from itertools import islice
from types import CodeType, FrameType, TracebackType
from typing import Any, Final

from synfin.packetdrill.files import Skip
from synfin.packetdrill.symbols import SYMBOLS

HARMLESS: Final = (
    "abs", "all", "any", "bool", "dict", "divmod", "enumerate", "filter", "float", "hex", "int", "isinstance", "len", "list",
    "map", "max", "min", "pow", "repr", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "zip",
    "AssertionError", "Exception", "ValueError", "KeyError", "TypeError", "True", "False", "None",
)  # fmt: skip
USED: Final = re.compile(r"\btcpi_\w+")
PREFIXES: Final = ("TCPI_", "TCP_", "SO_")
MOST_STEPS: Final = 1_000_000  # instructions of the interpreter in one block
MOST_PRINTED: Final = 1000  # lines that are kept
LONGEST: Final = 500  # characters that are told of one


class CodeError(Exception):
    """A block that is no Python, or fails for another reason than an assertion."""


class _TooLong(BaseException):
    """A block has taken all its steps; no `except Exception` of its own keeps it from being told."""


class _Steps:
    """Counts the steps of a block, as a trace function does (sys.settrace); a loop may have one line only."""

    def __init__(self) -> None:
        self.left = MOST_STEPS

    def __call__(self, frame: FrameType, event: str, argument: Any) -> "_Steps":
        frame.f_trace_opcodes = True
        self.left -= 1
        if self.left < 0:
            raise _TooLong
        return self


def _range(*bounds: int) -> range:
    """range, for as many numbers as a block has steps: what adds them up takes no steps of its own."""
    found = range(*bounds)
    if found[MOST_STEPS:]:
        raise ValueError(f"a range of more than {MOST_STEPS}")
    return found


class _Narrowed(ast.NodeTransformer):
    """Makes `except:` an `except Exception:`, which does not catch that a block has taken all its steps."""

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        """See ast.NodeTransformer."""
        self.generic_visit(node)
        if node.type is None:
            node.type = ast.copy_location(ast.Name("Exception", ast.Load()), node)
        return node


def compiled(text: str, where: str) -> CodeType:
    """The block in `text`; raises CodeError when it is no Python."""
    try:
        return compile(_Narrowed().visit(_tree(text, where)), where, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CodeError(str(error)) from None


def _tree(text: str, where: str) -> ast.AST:
    """The same, read; raises CodeError."""
    lines = text.strip("\n")
    first, _, rest = lines.partition("\n")
    body = first.strip() + ("\n" + textwrap.dedent(rest) if rest.strip() else "")
    for attempt in (textwrap.dedent(lines).strip(), body):
        try:
            with warnings.catch_warnings(action="ignore"):
                return compile(attempt, where, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            problem = error
    raise CodeError(str(problem))


class Program:
    """The blocks of one script, run one after the other; what they print is kept in `printed`."""

    def __init__(self) -> None:
        self.printed: list[str] = []
        allowed = {name: getattr(builtins, name) for name in HARMLESS if hasattr(builtins, name)}
        allowed |= {"print": self._print, "range": _range}
        self._names: dict[str, Any] = {
            name: value for name, value in SYMBOLS.items() if name.startswith(PREFIXES)
        }
        self._names["__builtins__"] = allowed

    def _print(self, *values: object, **_: object) -> None:
        if len(self.printed) < MOST_PRINTED:
            self.printed.append(" ".join(map(str, values))[:LONGEST])

    def run(self, text: str, values: Mapping[str, int], where: str) -> None:
        """Run a block with `values` as its tcpi_ names. Raises AssertionError where one does not hold, Skip for a tcpi_ name
        that synfin does not have, CodeError."""
        names = self._names
        for name in [name for name in names if name.startswith("tcpi_")]:
            del names[name]
        names.update(values)
        code = compiled(text, where)
        tracing = sys.gettrace()
        try:
            sys.settrace(_Steps())
            try:
                exec(code, names)
            finally:
                sys.settrace(tracing)
        except AssertionError as error:
            test = _asserted(_tree(text, where), error.__traceback__, code)
            told = str(error)[:LONGEST] or _values(test or text, values)
            raise AssertionError(f"{test}: {told}" if test and told else told or test) from None
        except NameError as error:
            if (error.name or "").startswith(("tcpi_", *PREFIXES)):
                raise Skip(str(error.name)) from None
            raise CodeError(str(error)) from None
        except _TooLong:
            raise CodeError(f"the block takes more than {MOST_STEPS} steps") from None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise CodeError(f"{type(error).__name__}: {error}"[:LONGEST]) from None


def _asserted(tree: ast.AST, traceback: TracebackType | None, code: CodeType) -> str:
    """What the assertion says that ended the block; "" where none did (one that was raised by hand)."""
    found = ""
    while traceback is not None:
        frame, at = traceback.tb_frame, traceback.tb_lasti // 2
        line, _, column, _ = next(islice(frame.f_code.co_positions(), at, None), (None, None, None, None))
        if frame.f_code.co_filename == code.co_filename and line is not None and column is not None:
            inside = [
                each.test for each in ast.walk(tree) if isinstance(each, ast.Assert)
                and (each.lineno, each.col_offset) <= (line, column) < (each.end_lineno, each.end_col_offset)
            ]  # fmt: skip
            found = ast.unparse(inside[-1])[:LONGEST] if inside else ""
        traceback = traceback.tb_next
    return found


def _values(text: str, values: Mapping[str, int]) -> str:
    """What the tcpi_ names in `text` are; "" where there are none."""
    used = [name for name in dict.fromkeys(USED.findall(text)) if name in values]
    return ", ".join(f"{name} = {values[name]}" for name in used)
