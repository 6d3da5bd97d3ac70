"""Shell scripts that a script names: found, read, their arithmetic worked out; never run.

Owns which files may be read: regular ones of at most 1 MB that are shell scripts, relative to the folder in which the tool
would run. Knows no command.
"""

import ast
import operator
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

LARGEST: Final = 1 << 20  # bytes of one file
DEEPEST: Final = 8  # files that read each other
MOST: Final = 100  # files that one line of a script reads, each as often as it is named
SHEBANG: Final = re.compile(r"#!\s*\S*/(?:env\s+)?(?:ba|da|k|z)?sh\b")
ARITHMETIC: Final = re.compile(r"'[^']*'|\$\(\(((?:[^()\n]|\([^()\n]*\))*)\)\)")
NAME: Final = re.compile(r"(?<!\w)\$?\{?([A-Za-z_]\w*)\}?")
WORD: Final = 1 << 64
MOST_SHIFTED: Final = 63
OPERATORS: Final[dict[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod, ast.LShift: operator.lshift, ast.RShift: operator.rshift, ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
}  # fmt: skip


class Unreadable(Exception):
    """A file that is there and is not read."""


def read_sourced(folder: Path | None, name: str, *, named_as_shell: bool) -> str | None:
    """The text of the shell script `name`, seen from `folder`; None where there is none (or no folder is known).

    Raises Unreadable for what is no regular file, too long, or no shell script: one that is not `named_as_shell` needs a name
    with .sh at its end, or a first line that says so.
    """
    if folder is None or "\0" in name:
        return None
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(str(error.strerror)) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unreadable("no regular file")
        content = b""
        while len(content) <= LARGEST and (more := os.read(descriptor, LARGEST + 1)):
            content += more
    finally:
        os.close(descriptor)
    text = content.decode("utf-8", "replace")
    if len(content) > LARGEST or not (named_as_shell or name.endswith(".sh") or SHEBANG.match(text)):
        raise Unreadable("no shell script")
    return text.replace("\r\n", "\n")


def worked_out(line: str, variables: Mapping[str, str]) -> str:
    """`line` with each `$((15*1024))` as its number; one that cannot be worked out stays as it is."""

    def number(found: "re.Match[str]") -> str:
        if found.group(1) is None:  # between single quotes a shell works nothing out
            return found.group()
        try:
            inner = NAME.sub(lambda name: variables[name.group(1)], found.group(1).strip())
            return str(_value(ast.parse(inner.replace("/", "//"), mode="eval").body))
        except (KeyError, ValueError, SyntaxError, ArithmeticError, RecursionError, MemoryError):
            return found.group()

    return ARITHMETIC.sub(number, line)


def _value(node: ast.expr) -> int:
    """The number that `node` comes to, as signed 64 bits. Raises ValueError for what the arithmetic here has not."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if not isinstance(node, ast.BinOp) or type(node.op) not in OPERATORS:
        raise ValueError
    left, right = _value(node.left), _value(node.right)
    dividing, shifting = isinstance(node.op, ast.FloorDiv | ast.Mod), isinstance(node.op, ast.LShift | ast.RShift)
    if (dividing and min(left, right) < 0) or (shifting and right > MOST_SHIFTED):  # a shell's differ from Python's
        raise ValueError
    found = OPERATORS[type(node.op)](left, right)
    return (found + WORD // 2) % WORD - WORD // 2
