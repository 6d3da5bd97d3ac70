"""What the commands share in printing: whether colour is wanted, files written whole or not at all, JSON lines.

Owns nothing that is said. Prints to stdout only what was asked for; notices go to stderr where stdout is for a program.
"""

import json
import os
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import click

WIDTH: Final = 80  # columns, whatever the terminal has: what the README shows is what is seen
ARROWS: Final = "─▶"


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether `stream` is a terminal that may be sent escape codes (no-color.org; TERM=dumb)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def colour() -> bool:
    """wants_colour for this process's stdout."""
    return wants_colour(sys.stdout, os.environ)


def in_reach(text: str, encoding: str | None) -> str:
    """`text` with its arrows in ASCII where `encoding` has none (LANG=C, PYTHONIOENCODING=ascii)."""
    try:
        ARROWS.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return text.translate(str.maketrans(ARROWS, "->"))
    return text


def in_words(error: OSError) -> str:
    """What the errno says; asyncio's own texts repeat the address."""
    if isinstance(error, socket.gaierror):  # whose numbers are no errno
        return error.strerror or str(error)
    return os.strerror(error.errno) if error.errno else str(error)


def write_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`; raises click.UsageError in one line when that cannot be done."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise click.UsageError(f"cannot write {path}: {error.strerror}") from None


def json_lines(objects: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """One object a line, its keys in the order given, so that equal runs give equal bytes."""
    for each in objects:
        yield json.dumps(each, ensure_ascii=False)
