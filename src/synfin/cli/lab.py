"""`synfin lab`: plays an experiment in virtual time and shows its words, tables and plots.

Owns the order of things: find it, play it, write the picture, then print. Knows nothing of what is measured.
"""

import sys
from pathlib import Path
from typing import Final

from synfin.cli.choosing import find, print_list
from synfin.cli.output import ARROWS, colour, in_reach, json_lines, write_file
from synfin.lab import LABS
from synfin.scenarios.study import as_json as parts_as_json
from synfin.scenarios.study import as_svg, as_text
from synfin.words import Text

PICTURE_AT: Final = Text("Tables and plots as a picture: {path}", "表格与曲线（SVG）：{path}")


def list_labs(lang: str, as_json: bool) -> None:
    """All experiments, one a line, name first."""
    print_list(LABS, lang, as_json)


def play(name: str, *, seed: int, svg: Path | None, as_json: bool, lang: str) -> None:
    """Play an experiment and show it. Raises UsageError for an unknown name."""
    found = find(name, LABS, kind="an experiment", command="synfin lab")
    shown = found.make(seed)
    title = f"{found.name}: {found.title.say(lang)}"
    if svg is not None:
        write_file(svg, as_svg(shown, title, lang).encode())
    if as_json:
        sys.stdout.writelines(f"{line}\n" for line in json_lines(parts_as_json(shown, lang)))
    else:
        ascii_only = in_reach(ARROWS, sys.stdout.encoding) != ARROWS
        sys.stdout.write(f"{title}\n\n{as_text(shown, lang, color=colour(), ascii_only=ascii_only)}")
    if svg is not None:
        notice = PICTURE_AT.say(lang, path=svg)
        print(f"\n{notice}", file=sys.stderr if as_json else sys.stdout)  # a program reads the JSON lines
