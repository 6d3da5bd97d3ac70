"""How a script fails: the event, when, and what was there in its place.

Owns the words of the actual side; report.py shows them.
"""

import re
from typing import Final

from synfin.packetdrill.syntax import Event

RESULT: Final = re.compile(r"^(.*\)\s*=\s*)[^=]*$", re.DOTALL)


class Failed(Exception):
    """The stack does not do what `event` says (None: the script is over). At `at` (ns) there was `actual`, in the language's
    words, "" for nothing; `tells` is what a call gave beside its result, `why` names the fields that differ; `due` are the
    times (ns) between which it should have been."""

    def __init__(
        self, event: Event | None, at: int, actual: str, why: tuple[str, ...], due: tuple[int, int] | None = None,
        tells: str = "",
    ) -> None:  # fmt: skip
        super().__init__(", ".join(why))
        self.event = event
        self.at = at
        self.actual = actual
        self.why = why
        self.due = due
        self.tells = tells


def without_time(text: str) -> str:
    """The line of an event without its time."""
    return re.sub(r"^(\*|\+?\s*[\d.]+(?:\s*~\s*\+?\s*[\d.]+)?)\s*", "", text) if text[:1] in "*+.0123456789" else text


def call_text(event: Event, result: str) -> str:
    """The line of a call with what it came to in the place of its result."""
    text = without_time(event.text)
    found = RESULT.match(text)
    head, _, _ = text.partition(") = ") if ") = " in text else ("", "", "")
    if head:
        return f"{head}) = {result}"
    return f"{found.group(1)}{result}" if found else f"{text}: {result}"
