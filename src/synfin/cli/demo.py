"""`synfin demo`: plays a scenario in virtual time and shows it as a ladder, as JSON lines, or one segment's header; a study as
its words, ladders and plots.

Owns the order of things: find the scenario, play it in a world that the options shape, write the files, then print. Knows
nothing of what happens in a scenario; what is said about it comes from trace.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from synfin.cli.choosing import find, print_list
from synfin.cli.output import ARROWS, WIDTH, colour, in_reach, json_lines, write_file
from synfin.engine.errors import UsageError
from synfin.scenarios import DEFAULT, SCENARIOS, STUDIES
from synfin.scenarios.knowledge import knowledge
from synfin.scenarios.stage import Scenario
from synfin.scenarios.study import Study, as_json, as_svg, as_text
from synfin.trace.cells import wrap
from synfin.trace.events import SegmentSent
from synfin.trace.header import header_text
from synfin.trace.ladder import build_ladder
from synfin.trace.ladder_svg import ladder_svg
from synfin.trace.ladder_text import ladder_text
from synfin.trace.pcapng import pcapng_blocks
from synfin.trace.recorder import Trace
from synfin.words import Text

KNOWLEDGE = Text("What each side knows:", "双方各知道什么：")
LADDER_AT = Text("The ladder as a picture: {path}", "梯形图（SVG）：{path}")
PICTURE_AT = Text("Ladders and plots as a picture: {path}", "梯形图与曲线（SVG）：{path}")
PACKETS_AT = Text("The packets, for Wireshark: {path}", "报文（可用 Wireshark 打开）：{path}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says; `loss` in percent, `delay` in milliseconds, None where nothing is said."""

    seed: int
    loss: float | None
    delay: float | None
    svg: Path | None
    pcap: Path | None
    as_json: bool
    isn: tuple[int, int] | None
    absolute: bool
    segment: int | None
    lang: str


KNOWN: Final[Mapping[str, Scenario | Study]] = {**SCENARIOS, **STUDIES}


def list_scenarios(lang: str, as_json: bool) -> None:
    """All scenarios and studies, one a line, name first."""
    print_list(KNOWN, lang, as_json)


def play(name: str | None, options: Options) -> None:
    """Play a scenario and show it. Raises UsageError for an unknown name and for a segment that the run does not have."""
    if options.as_json and options.segment is not None:
        raise UsageError("--json shows all events, --segment one segment: choose one of them")
    scenario = find(DEFAULT if name is None else name, KNOWN, kind="a scenario", command="synfin demo")
    if isinstance(scenario, Study):
        _play_study(scenario, options)
        return
    trace = record(scenario, options)
    shown = _shown(scenario, trace, options)
    notices = _write_files(scenario, trace, options)
    sys.stdout.write(shown)
    if notices:
        # A program reads the JSON lines: what is for a person goes beside them.
        print("\n".join(("", *notices)), file=sys.stderr if options.as_json else sys.stdout)


def _play_study(study: Study, options: Options) -> None:
    """Play a study and show it. Raises UsageError for an option that only a single run can follow."""
    single = {
        "--loss": options.loss, "--delay": options.delay, "--isn": options.isn, "--segment": options.segment,
        "--absolute": options.absolute or None,
    }  # fmt: skip
    for option, value in single.items():
        if value is not None:
            raise UsageError(f"{study.name} compares several runs of its own making: it takes no {option}")
    shown = study.make(options.seed)
    lang, title = options.lang, _title(study, options)
    if options.as_json:
        text = "".join(f"{line}\n" for line in json_lines(as_json(shown, lang)))
    else:
        ascii_only = in_reach(ARROWS, sys.stdout.encoding) != ARROWS
        text = f"{title}\n\n{as_text(shown, lang, color=colour(), ascii_only=ascii_only)}"
    notices = []
    if options.svg is not None:
        write_file(options.svg, as_svg(shown, title, lang).encode())
        notices.append(PICTURE_AT.say(lang, path=options.svg))
    if options.pcap is not None:
        write_file(options.pcap, b"".join(pcapng_blocks(shown.packets)))
        notices.append(PACKETS_AT.say(lang, path=options.pcap))
    sys.stdout.write(text)
    if notices:
        print("\n".join(("", *notices)), file=sys.stderr if options.as_json else sys.stdout)


def record(scenario: Scenario, options: Options) -> Trace:
    """The trace of one run of `scenario`."""
    wanted: dict[str, Any] = {"seed": options.seed, "isn": options.isn}
    if options.loss is not None:
        wanted["loss"] = options.loss / 100
    if options.delay is not None:
        wanted["delay"] = options.delay / 1000
    trace = scenario.play(**wanted).trace
    assert trace is not None, "a scenario is played to be seen"
    return trace


def _shown(scenario: Scenario, trace: Trace, options: Options) -> str:
    if options.as_json:
        return "".join(f"{line}\n" for line in json_lines(trace.to_json()))
    if options.segment is not None:
        sent = [event for event in trace if isinstance(event, SegmentSent)]
        if options.segment > len(sent):
            raise UsageError(f"{scenario.name} has {len(sent)} segments, there is no segment {options.segment}")
        return header_text(sent[options.segment - 1].data, lang=options.lang, color=colour())
    ladder = build_ladder(trace, absolute=options.absolute)
    drawn = ladder_text(ladder, lang=options.lang, color=colour(), title=_title(scenario, options))
    return drawn + _knowledge(trace, options.lang) if scenario.knowledge else drawn


def _knowledge(trace: Trace, lang: str) -> str:
    """What each side knows after each segment, for the scenarios that are about it."""
    lines = ["", KNOWLEDGE.say(lang)]
    for known in knowledge(trace):
        lines += [f"  {line}" for line in wrap(known.say(lang), WIDTH - 2)]
    return "\n".join([*lines, ""])


def _title(scenario: Scenario | Study, options: Options) -> str:
    return f"{scenario.name}: {scenario.title.say(options.lang)}"


def _write_files(scenario: Scenario, trace: Trace, options: Options) -> list[str]:
    """Writes what was asked for; returns where it lies, in words."""
    notices = []
    if options.svg is not None:
        ladder = build_ladder(trace, absolute=options.absolute)
        picture = ladder_svg(ladder, lang=options.lang, title=_title(scenario, options))
        write_file(options.svg, picture.encode())
        notices.append(LADDER_AT.say(options.lang, path=options.svg))
    if options.pcap is not None:
        write_file(options.pcap, b"".join(pcapng_blocks(trace)))
        notices.append(PACKETS_AT.say(options.lang, path=options.pcap))
    return notices
