"""What the documentation says of scenarios and states can be typed."""

import re
from pathlib import Path

from synfin.engine.state import parse_state
from synfin.scenarios import SCENARIOS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_command_in_the_page_about_states_names_something_that_exists() -> None:
    text = (DOCS / "states.md").read_text(encoding="utf-8")
    scenarios = re.findall(r"synfin demo ([a-z][a-z0-9-]*)", text)
    assert scenarios
    assert [name for name in scenarios if name not in SCENARIOS] == []
    for state in re.findall(r"synfin states ([A-Z0-9-]+)", text):
        assert str(parse_state(state)) == state


def test_every_scenario_has_its_line_in_the_page_about_them() -> None:
    text = (DOCS / "scenarios.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", text, re.MULTILINE)
    assert listed == list(SCENARIOS)
