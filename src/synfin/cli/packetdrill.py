"""`synfin packetdrill`: plays scripts and shows what came of them.

Owns the order of things: find the files, play, write the report, print. What is said comes from packetdrill.report.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synfin.cli.output import in_reach, json_lines, write_file
from synfin.engine.errors import UsageError
from synfin.packetdrill import report
from synfin.packetdrill.plan import Wish
from synfin.packetdrill.profiles import load_profile
from synfin.packetdrill.run import FAIL, Outcome
from synfin.packetdrill.suite import Known, find_scripts, play_all, read_known


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    profile: str
    family: str | None
    fast_path: str
    strict: bool
    loose: frozenset[str]
    defines: tuple[tuple[str, str], ...]
    xfail: Path | None
    jobs: int
    as_json: bool
    junit: Path | None
    ladder: bool
    quiet: bool
    lang: str


def wishes(options: Options) -> list[Wish]:
    """One for each family that is asked for. Raises UsageError for a profile that is not there."""
    wish = Wish(
        profile=load_profile(options.profile), family=options.family or "", fast_path=options.fast_path != "off",
        strict=options.strict, loose=options.loose, defines=dict(options.defines), ladder=options.ladder,
    )  # fmt: skip
    if options.family != "both":
        return [wish]
    return [replace(wish, family=family) for family in ("ipv4", "ipv6")]


def play(paths: Sequence[Path], options: Options) -> int:
    """Play `paths`; returns the exit status. Raises UsageError for files that are not there and lists that make no sense."""
    scripts = find_scripts(paths)
    known = _known(options.xfail)
    jobs = options.jobs or os.cpu_count() or 1
    outcomes = []
    for outcome in play_all(
        scripts, wishes(options), both_ways=options.fast_path == "both", jobs=jobs, known=known, lang=options.lang
    ):
        outcomes.append(outcome)
        _show(outcome, options)
    if options.junit is not None:
        write_file(options.junit, report.junit(outcomes))
    if not options.as_json:
        print(("\n" if len(outcomes) > 1 or options.quiet else "") + report.table(outcomes, options.lang))
    return int(any(outcome.bad for outcome in outcomes))


def _known(path: Path | None) -> list[Known]:
    if path is None:
        return []
    try:
        return read_known(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"cannot read {path}: it is no text in UTF-8") from None


def _show(outcome: Outcome, options: Options) -> None:
    if options.as_json:
        print("\n".join(json_lines([report.as_json(outcome)])), flush=True)
    elif outcome.verdict == FAIL:
        text = report.failure(outcome, options.lang, ladder=options.ladder)
        print(in_reach(text, sys.stdout.encoding), flush=True)
    elif not options.quiet or outcome.bad:
        print(report.line(outcome, options.lang), flush=True)
