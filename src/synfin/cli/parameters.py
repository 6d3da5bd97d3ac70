"""Options and kinds of argument that several commands of `synfin` share. A mistake in one is told in one line."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from synfin.words import pick_language

LONGEST: Final = 1_000_000.0  # seconds; eleven days, beyond which a number is a slip


def output_file(text: str) -> Path:
    """A file to be written; its folder has to be there."""
    path = Path(text)
    if path.is_dir():
        raise click.BadParameter(f"{path} is a directory")
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no directory {path.parent}")
    return path


def seconds(*, positive: bool) -> Callable[[str | float], float]:
    """What turns text into a time in seconds up to LONGEST, from 0 on, or `positive`. It raises click.BadParameter."""

    def time(text: str | float) -> float:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not 0 <= number <= LONGEST or (positive and not number):  # also not a number
            rule = f"more than 0 and at most {LONGEST:,.0f}" if positive else f"from 0 to {LONGEST:,.0f}"
            raise click.BadParameter(f"{str(text)!r} is not a number of seconds, {rule}")
        return number

    return time


def language(text: str) -> str:
    """`en` or `zh`; a tag such as zh-CN will do."""
    try:
        return pick_language(text, {})
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _default_language() -> str:
    return pick_language(None, os.environ)


lang_option = click.option(
    "--lang", type=language, default=_default_language, metavar="en|zh",
    help="Language of the sentences; otherwise LC_ALL, LC_MESSAGES or LANG decides.",
)  # fmt: skip
