"""Options and kinds of argument that several commands of `synfin` share. A mistake in one is told in one line."""

import os
from pathlib import Path

import click

from synfin.words import pick_language


def output_file(text: str) -> Path:
    """A file to be written; its folder has to be there."""
    path = Path(text)
    if path.is_dir():
        raise click.BadParameter(f"{path} is a directory")
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no directory {path.parent}")
    return path


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
