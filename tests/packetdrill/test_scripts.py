"""The project's own scripts: all strict, in both families, with the fast path and without it, the same bytes leaving.

Those of tests/scripts are played under the profile rfc; what another profile chooses has a folder with its name.
"""

import re
from pathlib import Path
from typing import Any, Final

import pytest

from synfin.packetdrill.parser import parse_script
from synfin.packetdrill.plan import Wish
from synfin.packetdrill.profiles import load_profile
from synfin.packetdrill.run import FAIL, PASS, play_both_ways, play_text
from synfin.packetdrill.syntax import ANY, TcpPacket
from tests.packetdrill.gate import FOLDER, FOLDERS, profile_of
from tests.packetdrill.playing import wish

SCRIPTS = sorted(FOLDER.rglob("*.pkt"))
ALL = [path for folder in FOLDERS.values() for path in sorted(folder.rglob("*.pkt"))]
CHOSEN = {"linux": "Linux", "freebsd": "FreeBSD"}  # profile, what it is called
FAMILIES = ("ipv4", "ipv6")
SUBJECTS: Final = (
    "challenge", "closing", "cookies", "data", "delayed-ack", "icmp", "keepalive", "linger", "nagle", "opening", "paws",
    "persist", "reassembly", "reset", "retransmit", "sack", "sockets", "syn-queue", "time-wait", "urgent", "user-timeout",
    "window",
)  # fmt: skip
# Scripts that show parts of the language that leave something open.
OPEN: Final = ("retransmit/backoff", "icmp/path-mtu", "data/write-read")


def name_of(path: Path) -> str:
    """`opening/active`, `scripts-linux/rto`."""
    return str(path.relative_to(FOLDER if path.is_relative_to(FOLDER) else FOLDER.parent).with_suffix(""))


def wish_of(path: Path, **wanted: Any) -> Wish:
    """How a script is played: under the profile of its folder."""
    return wish(profile=load_profile(profile_of(path)), **wanted)


def read(path: Path) -> str:
    """What a script says."""
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_it_passes(path: Path, family: str) -> None:
    outcome = play_both_ways(read(path), str(path), wish_of(path, family=family))
    assert (outcome.verdict, outcome.expected, outcome.actual, outcome.why, outcome.detail) == (PASS, "", "", (), "")


@pytest.mark.parametrize("family", FAMILIES)
def test_what_leaves_does_not_depend_on_the_fast_path(family: str) -> None:
    """Byte for byte and moment for moment, over all scripts; and there is something that leaves."""
    sent = 0
    for path in ALL:
        wishes = (wish_of(path, family=family, fast_path=way) for way in (True, False))
        with_it, without = (play_text(read(path), str(path), each) for each in wishes)
        assert with_it.history == without.history, name_of(path)
        sent += len(with_it.history)
    assert sent > 4 * len(ALL)


def test_there_are_more_than_a_hundred_and_every_subject_has_some() -> None:
    assert len(SCRIPTS) >= 100
    assert tuple(sorted({path.parent.name for path in SCRIPTS})) == SUBJECTS
    assert {subject: count for subject in SUBJECTS if (count := len(list((FOLDER / subject).glob("*.pkt")))) < 5} == {}


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_it_cites_its_clause(path: Path) -> None:
    """In a comment on the first line, before what it proves: an RFC's section, or the manual page of a call."""
    first = read(path).split("\n", 1)[0]
    assert re.match(r"// (RFC \d+( \d[\d.]*)?|\w+\([27]\))(?=\W).*: \S.*\.$", first), first
    assert len(first) <= 160


@pytest.mark.parametrize("path", [path for path in ALL if name_of(path) not in OPEN], ids=name_of)
def test_its_expectations_are_complete(path: Path) -> None:
    """Of each packet that is expected the time, the numbers, the window and all options are said."""
    systems = [frozenset((load_profile(profile_of(path)).system, family)) for family in FAMILIES]
    for event in (event for each in systems for event in parse_script(read(path), str(path), {}, each).events):
        packet = event.action
        if isinstance(packet, TcpPacket) and not packet.inbound:
            assert event.when.kind != ANY and event.when.end is None, event.text
            assert None not in (packet.seq, packet.window, packet.options), event.text


@pytest.mark.parametrize("profile", CHOSEN)
def test_what_a_profile_chooses_has_ten_scripts_and_each_names_it(profile: str) -> None:
    scripts = sorted(FOLDERS[profile].rglob("*.pkt"))
    assert len(scripts) >= 10
    for path in scripts:
        assert f", {CHOSEN[profile]} " in read(path).split("\n", 1)[0], path.name


@pytest.mark.parametrize("profile", CHOSEN)
def test_a_script_of_a_profile_tells_it_from_the_others(profile: str) -> None:
    """It fails under one of them at least: what it shows is this system's choice."""
    for path in sorted(FOLDERS[profile].rglob("*.pkt")):
        others = [wish(profile=load_profile(name)) for name in FOLDERS if name != profile]
        assert FAIL in [play_text(read(path), str(path), each).verdict for each in others], path.name


def test_a_script_elsewhere_has_the_profile_rfc() -> None:
    assert profile_of(Path("/somewhere/mine.pkt")) == profile_of(SCRIPTS[0]) == "rfc"
    assert profile_of(FOLDERS["linux"] / "rto.pkt") == "linux"


@pytest.mark.parametrize("profile", FOLDERS)
def test_the_index_has_every_script_with_what_it_proves(profile: str) -> None:
    """`python -m tests.packetdrill.test_scripts` writes it."""
    text = index() if profile == "rfc" else chosen_index(profile)
    assert (FOLDERS[profile] / "README.md").read_text(encoding="utf-8") == text


def table(paths: list[Path], folder: str) -> list[str]:
    """Lines of an index."""
    lines = ["", "| script | what it proves |", "| --- | --- |"]
    for path in paths:
        told = read(path).split("\n", 1)[0].removeprefix("// ").replace("|", "\\|")
        lines.append(f"| [{path.stem}]({folder}{path.name}) | {told} |")
    return lines


def index() -> str:
    """The text of tests/scripts/README.md."""
    lines = [
        "# Scripts", "",
        "What synfin's TCP does, in the packetdrill language ([docs/packetdrill.md](../../docs/packetdrill.md)): one rule a",
        "script, its clause first. All of them pass strictly over IPv4 and IPv6, with the engine's fast path and without it,",
        "and send the same bytes both ways:",
        "", "```", "synfin packetdrill tests/scripts --strict --family both --fast-path both", "```", "",
        "A new script goes into its subject's folder; `python -m tests.packetdrill.test_scripts` writes this list anew. These",
        "scripts are for the profile `rfc`; what the profiles [linux](../scripts-linux/README.md) and",
        "[freebsd](../scripts-freebsd/README.md) choose has folders of its own.",
    ]  # fmt: skip
    for subject in SUBJECTS:
        lines += ["", f"## {subject}", *table([path for path in SCRIPTS if path.parent.name == subject], f"{subject}/")]
    return "\n".join(lines) + "\n"


def chosen_index(profile: str) -> str:
    """The text of tests/scripts-linux/README.md and its like."""
    name = CHOSEN[profile]
    lines = [
        f"# What {name} chooses", "",
        f"Where the RFCs leave it open, `--profile {profile}` does as {name} does: one choice a script, the clause that leaves",
        f"it open and the name that {name}'s source has for it first. Each of them fails under another profile.",
        "", "```",
        f"synfin packetdrill tests/scripts-{profile} --profile {profile} --strict --family both --fast-path both", "```",
    ]  # fmt: skip
    return "\n".join([*lines, *table(sorted(FOLDERS[profile].rglob("*.pkt")), "")]) + "\n"


if __name__ == "__main__":
    for each, folder in FOLDERS.items():
        (folder / "README.md").write_text(index() if each == "rfc" else chosen_index(each), encoding="utf-8")
