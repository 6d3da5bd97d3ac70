"""`synfin lab`: plays an experiment in virtual time and shows its words, tables and plots.

Owns the order of things: find it, play it, write the picture, then print. Knows nothing of what is measured.
"""

import difflib
import sys
from pathlib import Path
from typing import Final

from synfin.cli.output import ARROWS, colour, in_reach, json_lines, write_file
from synfin.engine.errors import UsageError
from synfin.lab import LABS
from synfin.lab.parts import Lab
from synfin.scenarios.study import as_json as parts_as_json
from synfin.scenarios.study import as_svg, as_text
from synfin.words import Text

PICTURE_AT: Final = Text("Tables and plots as a picture: {path}", "表格与曲线（SVG）：{path}")


def find(name: str) -> Lab:
    """The experiment called `name`; raises UsageError, which names the nearest, when there is none."""
    folded = name.lower().replace("_", "-")
    if folded in LABS:
        return LABS[folded]
    if not folded.strip():
        raise UsageError("an experiment's name is empty (synfin lab --list shows all)")
    near = difflib.get_close_matches(folded, LABS, n=1, cutoff=0)
    raise UsageError(f"no experiment {name!r}; nearest: {near[0]} (synfin lab --list shows all)")


def list_labs(lang: str, as_json: bool) -> None:
    """All experiments, one a line, name first."""
    if as_json:
        print("\n".join(json_lines({"name": each.name, "title": each.title.say(lang)} for each in LABS.values())))
        return
    longest = max(map(len, LABS))
    for each in LABS.values():
        print(f"{each.name:<{longest}}  {each.title.say(lang)}")


def play(name: str, *, seed: int, svg: Path | None, as_json: bool, lang: str) -> None:
    """Play an experiment and show it. Raises UsageError for an unknown name."""
    found = find(name)
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
