"""The project's own scripts: all strict, in both families, with the fast path and without it, the same bytes leaving."""

from pathlib import Path

import pytest

from synfin.packetdrill.run import PASS, play_both_ways
from tests.packetdrill.playing import wish

FOLDER = Path(__file__).resolve().parent.parent / "scripts"
SCRIPTS = sorted(FOLDER.rglob("*.pkt"))


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(FOLDER).with_suffix("")))
def test_it_passes(path: Path, family: str) -> None:
    outcome = play_both_ways(path.read_text(encoding="utf-8"), str(path), wish(family=family))
    assert (outcome.verdict, outcome.expected, outcome.actual, outcome.why, outcome.detail) == (PASS, "", "", (), "")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(FOLDER).with_suffix("")))
def test_it_cites_its_clause(path: Path) -> None:
    """In a comment on the first line: an RFC's section, or the manual page of a call."""
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    assert first.startswith("// ")
    assert "RFC " in first or "(2)" in first or "(7)" in first
