"""docs/conformance.md is true to the tests: no label is missing, each test named exists, each status is one of three."""

import re

import pytest

from tests.rfc.conformance import HERE, ROOT, by_clause, functions, written

ROW = re.compile(r"^\| (?P<clause>[^|]+) \| (?P<rule>[^|]+) \| (?P<status>[^|]+) \| (?P<tests>[^|]*) \|$")
STATUS = re.compile(r"^(met|deviates \(D(\d+)\)|later \(L(\d+)\))$")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
LABELS = [f"MUST-{n}" for n in range(1, 70)] + [f"SHLD-{n}" for n in range(1, 32)]


def rows() -> list[re.Match[str]]:
    """The rows of the tables with a status."""
    matches = [ROW.match(line) for line in written()[0].splitlines()]
    return [match for match in matches if match and not set(match["clause"]) <= set("-: ") and match["status"] != "status"]


def test_every_row_has_one_of_the_three_statuses() -> None:
    wrong = [row["clause"] for row in rows() if not STATUS.match(row["status"])]
    assert wrong == []
    assert len(rows()) > 120


@pytest.mark.parametrize("label", LABELS)
def test_every_requirement_of_rfc_9293_has_a_row(label: str) -> None:
    assert any(label in row["clause"].split(", ") for row in rows())


def test_every_test_that_is_named_exists() -> None:
    known: dict[str, list[str]] = {}
    for row in rows():
        for path, name in NAMED.findall(row["tests"]):
            if path not in known:
                known[path] = [name for name, _ in functions(ROOT / path)] if (ROOT / path).exists() else []
            assert name in known[path], f"{row['clause']}: {path}::{name}"


def test_what_is_met_names_a_test_and_what_is_not_gives_a_reason() -> None:
    text = written()[0]
    reasons = dict.fromkeys(re.findall(r"^- \*\*([DL]\d+)\*\* ", text, re.MULTILINE))
    used = {}
    for row in rows():
        status = row["status"]
        if status == "met":
            assert NAMED.search(row["tests"]), row["clause"]
        else:
            used[status.split("(")[1].rstrip(")")] = None
    assert sorted(used) == sorted(reasons)


def test_every_test_in_tests_rfc_cites_its_clause() -> None:
    silent = [name for path in sorted(HERE.glob("test_*.py")) for name, docstring in functions(path) if not docstring]
    own = [name for name, _ in functions(HERE / "test_conformance.py")]
    assert [name for name in silent if name not in own] == []


def test_the_tests_by_clause_are_those_in_the_tree() -> None:
    assert written()[1] == by_clause(), "python -m tests.rfc.conformance writes them"
