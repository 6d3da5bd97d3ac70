"""Things that are called by name on the command line: found, or refused with the nearest name; and listed.

Owns the words of the refusal and the shape of a list. Knows not what the things are.
"""

import difflib
from collections.abc import Mapping
from typing import Final, Protocol, TypeVar

from synfin.cli.output import json_lines
from synfin.engine.errors import UsageError
from synfin.words import Text

PART: Final = 3  # characters of a name's part that tell what was meant


class Titled(Protocol):
    """What has a name and a title."""

    @property
    def name(self) -> str:
        """What is typed."""

    @property
    def title(self) -> Text:
        """One line for people."""


Named = TypeVar("Named", bound=Titled)


def find(name: str, known: Mapping[str, Named], *, kind: str, command: str) -> Named:
    """The one called `name`, however its words are joined; raises UsageError when there is none, with the nearest if
    one is near.

    `kind` is what it would be, with its article ("a scenario"), `command` what lists them with --list.
    """
    folded = name.lower().replace("_", "-")
    if folded in known:
        return known[folded]
    if not folded.strip():
        raise UsageError(f"{kind}'s name is empty ({command} --list shows all)")
    near = difflib.get_close_matches(folded, known, n=1) or [each for each in known if len(folded) >= PART and folded in each]
    nearest = f"; nearest: {near[0]}" if near else ""
    raise UsageError(f"no {kind.split()[1]} {name!r}{nearest} ({command} --list shows all)")


def print_list(known: Mapping[str, Named], lang: str, as_json: bool) -> None:
    """All of them, one a line, name first."""
    if as_json:
        print("\n".join(json_lines({"name": each.name, "title": each.title.say(lang)} for each in known.values())))
        return
    longest = max(map(len, known))
    for each in known.values():
        print(f"{each.name:<{longest}}  {each.title.say(lang)}")
