"""From the text of a script to its verdict.

Owns the verdicts and what is told with each. A script is played again with a trace when it has failed and a ladder is wanted:
it fails in the same way, because nothing is random. Knows no file system and no terminal.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from synfin.packetdrill.bench import Runaway
from synfin.packetdrill.compare import LOOSE
from synfin.packetdrill.failure import Failed, without_time
from synfin.packetdrill.files import Skip
from synfin.packetdrill.parser import parse_script
from synfin.packetdrill.plan import IPV4, Plan, Wish, make_plan
from synfin.packetdrill.player import Player
from synfin.packetdrill.syntax import Script, ScriptError
from synfin.trace.ladder import build_ladder
from synfin.trace.ladder_text import ladder_text
from synfin.trace.recorder import Trace

PASS: Final = "PASS"
FAIL: Final = "FAIL"
SKIP: Final = "SKIP"
ERROR: Final = "ERROR"
XFAIL: Final = "XFAIL"
VERDICTS: Final = (PASS, FAIL, SKIP, ERROR, XFAIL)

IP_VERSION: Final = re.compile(r"^[ \t]*--ip_version=(\w+)", re.MULTILINE)

FEATURE: Final = "feature"
UNMAPPED: Final = "unmapped"
PARSE: Final = "parse"
UNEXPECTED: Final = "passes"  # though the list says that it fails
DIVERGES: Final = "fast path"  # what leaves depends on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one play.

    verdict: of VERDICTS. kind: what a SKIP, ERROR or FAIL is about, in one of this module's words, else "". detail: the
    feature, the command, the reason, or what cannot be read. place: of the event, `file:line:column`. at: ns since the start
    of the script, -1 for none. expected, actual: both lines of a FAIL; tells: what a call gave beside its result; why: the
    fields that differ; due: between which times (ns) it should have been. ladder: drawn up to the failure. history: what
    left, with times (ns). left_out: settings of a defaults.sh that the stack does not have.
    """

    verdict: str
    file: str
    family: str = ""
    fast_path: bool = True
    kind: str = ""
    detail: str = ""
    place: str = ""
    at: int = -1
    expected: str = ""
    actual: str = ""
    tells: str = ""
    why: tuple[str, ...] = ()
    due: tuple[int, int] | None = None
    ladder: str = ""
    loose: tuple[str, ...] = ()
    history: tuple[tuple[int, bytes], ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def bad(self) -> bool:
        """Whether it makes the run fail."""
        return self.verdict in (FAIL, ERROR)


def play_text(text: str, file: str, wish: Wish, lang: str = "en") -> Outcome:
    """Play the script in `text` once, as `wish` says; the ladder speaks `lang`. Raises nothing for what stands in it."""
    try:
        script = parse_script(text, file, wish.defines, frozenset((wish.profile.system, _family(text, wish))))
    except ScriptError as error:
        return _unread(file, wish, error)
    return play_script(script, wish, lang)


def _family(text: str, wish: Wish) -> str:
    """The family that the script will be played in, as `#ifdef` finds it."""
    own = IP_VERSION.search(text)
    return wish.family or (own.group(1) if own else IPV4)


def play_script(script: Script, wish: Wish, lang: str = "en") -> Outcome:
    """As play_text, for a script that was read."""
    file = script.file
    try:
        plan = make_plan(script, wish)
    except ScriptError as error:
        return _unread(file, wish, error)
    except Skip as skip:
        return _skipped(file, wish.family, wish, skip)
    player = Player(script, plan, ttl=wish.profile.ttl)
    bare = Outcome(
        verdict=PASS, file=file, family=plan.family, fast_path=wish.fast_path,
        loose=tuple(each for each in LOOSE if each in wish.loose),
    )  # fmt: skip
    try:
        player.play()
    except Skip as skip:
        return _skipped(file, plan.family, wish, skip)
    except ScriptError as error:
        return replace(_unread(file, wish, error), family=plan.family)
    except Failed as failed:
        outcome = _failed(bare, failed)
    except Runaway as error:
        outcome = replace(bare, verdict=FAIL, actual=str(error), at=player.bench.clock)
    except Exception as error:
        # A fault of synfin's own must not end the others' run; it is told by its name.
        outcome = replace(bare, verdict=FAIL, actual=f"{type(error).__name__}: {error}", at=player.bench.clock)
    else:
        outcome = bare
    outcome = replace(
        outcome, history=tuple(player.bench.history), left_out=tuple(player.shell.left_out.values())
    )
    if outcome.verdict == PASS:
        return outcome
    return replace(outcome, ladder=_ladder(script, plan, wish, lang)) if wish.ladder else outcome


def play_both_ways(text: str, file: str, wish: Wish, lang: str = "en") -> Outcome:
    """Play with the fast path and without it; what leaves, and when, must be the same to the byte."""
    with_it = play_text(text, file, replace(wish, fast_path=True), lang)
    without = play_text(text, file, replace(wish, fast_path=False), lang)
    if with_it.verdict != PASS or without.verdict != PASS:
        return without if with_it.verdict == PASS else with_it
    if with_it.history == without.history:
        return with_it
    pairs = zip(with_it.history, without.history, strict=False)
    first = next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(with_it.history), len(without.history)))
    return replace(with_it, verdict=FAIL, kind=DIVERGES, detail=str(first + 1))


def _unread(file: str, wish: Wish, error: ScriptError) -> Outcome:
    return Outcome(
        verdict=ERROR, file=file, family=wish.family, fast_path=wish.fast_path, kind=PARSE, detail=error.why,
        place=str(error.place),
    )  # fmt: skip


def _skipped(file: str, family: str, wish: Wish, skip: Skip) -> Outcome:
    kind = UNMAPPED if skip.unmapped else FEATURE
    return Outcome(verdict=SKIP, file=file, family=family, fast_path=wish.fast_path, kind=kind, detail=skip.what)


def _failed(bare: Outcome, failed: Failed) -> Outcome:
    event = failed.event
    place = str(event.place) if event is not None else ""
    expected = without_time(event.text) if event is not None else ""
    return replace(
        bare, verdict=FAIL, place=place, at=failed.at, expected=expected, actual=failed.actual, tells=failed.tells,
        why=failed.why, due=failed.due,
    )


def _ladder(script: Script, plan: Plan, wish: Wish, lang: str) -> str:
    """The ladder of a play that fails, up to the failure; "" when no packet moved."""
    trace = Trace()
    player = Player(script, plan, ttl=wish.profile.ttl, trace=trace)
    with suppress(Exception):  # it has been told
        player.play()
    try:
        drawn = ladder_text(build_ladder(trace), lang=lang)
    except ValueError:  # no packet moved
        return ""
    return "\n\n".join(drawn.split("\n\n")[:2]).rstrip() + "\n"  # the lines and the legend; what they say is known
