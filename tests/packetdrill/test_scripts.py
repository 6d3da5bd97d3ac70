"""The project's own scripts: all strict, in both families, with the fast path and without it, the same bytes leaving."""

import re
from pathlib import Path
from typing import Final

import pytest

from synfin.packetdrill.parser import parse_script
from synfin.packetdrill.run import PASS, play_both_ways, play_text
from synfin.packetdrill.syntax import ANY, TcpPacket
from tests.packetdrill.playing import wish

FOLDER = Path(__file__).resolve().parent.parent / "scripts"
SCRIPTS = sorted(FOLDER.rglob("*.pkt"))
INDEX = FOLDER / "README.md"
FAMILIES = ("ipv4", "ipv6")
SUBJECTS: Final = (
    "challenge", "closing", "cookies", "data", "delayed-ack", "icmp", "keepalive", "linger", "nagle", "opening", "paws",
    "persist", "reassembly", "reset", "retransmit", "sack", "sockets", "syn-queue", "time-wait", "urgent", "user-timeout",
    "window",
)  # fmt: skip
# Scripts that show parts of the language that leave something open.
OPEN: Final = ("retransmit/backoff", "icmp/path-mtu", "data/write-read")


def name_of(path: Path) -> str:
    """`opening/active`."""
    return str(path.relative_to(FOLDER).with_suffix(""))


def read(path: Path) -> str:
    """What a script says."""
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_it_passes(path: Path, family: str) -> None:
    outcome = play_both_ways(read(path), str(path), wish(family=family))
    assert (outcome.verdict, outcome.expected, outcome.actual, outcome.why, outcome.detail) == (PASS, "", "", (), "")


@pytest.mark.parametrize("family", FAMILIES)
def test_what_leaves_does_not_depend_on_the_fast_path(family: str) -> None:
    """Byte for byte and moment for moment, over all scripts; and there is something that leaves."""
    sent = 0
    for path in SCRIPTS:
        with_it, without = (play_text(read(path), str(path), wish(family=family, fast_path=way)) for way in (True, False))
        assert with_it.history == without.history, name_of(path)
        sent += len(with_it.history)
    assert sent > 4 * len(SCRIPTS)


def test_there_are_more_than_a_hundred_and_every_subject_has_some() -> None:
    assert len(SCRIPTS) >= 100
    assert tuple(sorted({path.parent.name for path in SCRIPTS})) == SUBJECTS
    assert {subject: count for subject in SUBJECTS if (count := len(list((FOLDER / subject).glob("*.pkt")))) < 5} == {}


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_it_cites_its_clause(path: Path) -> None:
    """In a comment on the first line, before what it proves: an RFC's section, or the manual page of a call."""
    first = read(path).split("\n", 1)[0]
    assert re.match(r"// (RFC \d+( \d[\d.]*)?|\w+\([27]\))(?=\W).*: \S.*\.$", first), first
    assert len(first) <= 160


@pytest.mark.parametrize("path", [path for path in SCRIPTS if name_of(path) not in OPEN], ids=name_of)
def test_its_expectations_are_complete(path: Path) -> None:
    """Of each packet that is expected the time, the numbers, the window and all options are said."""
    systems = [frozenset(("rfc", family)) for family in FAMILIES]
    for event in (event for each in systems for event in parse_script(read(path), str(path), {}, each).events):
        packet = event.action
        if isinstance(packet, TcpPacket) and not packet.inbound:
            assert event.when.kind != ANY and event.when.end is None, event.text
            assert None not in (packet.seq, packet.window, packet.options), event.text


def test_the_index_has_every_script_with_what_it_proves() -> None:
    """`python -m tests.packetdrill.test_scripts` writes it."""
    assert INDEX.read_text(encoding="utf-8") == index()


def index() -> str:
    """The text of tests/scripts/README.md."""
    lines = [
        "# Scripts", "",
        "What synfin's TCP does, in the packetdrill language ([docs/packetdrill.md](../../docs/packetdrill.md)): one rule a",
        "script, its clause first. All of them pass strictly over IPv4 and IPv6, with the engine's fast path and without it,",
        "and send the same bytes both ways:",
        "", "```", "synfin packetdrill tests/scripts --strict --family both --fast-path both", "```", "",
        "A new script goes into its subject's folder; `python -m tests.packetdrill.test_scripts` writes this list anew.",
    ]  # fmt: skip
    for subject in SUBJECTS:
        lines += ["", f"## {subject}", "", "| script | what it proves |", "| --- | --- |"]
        for path in (path for path in SCRIPTS if path.parent.name == subject):
            told = read(path).split("\n", 1)[0].removeprefix("// ").replace("|", "\\|")
            lines.append(f"| [{path.stem}]({subject}/{path.name}) | {told} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    INDEX.write_text(index(), encoding="utf-8")
