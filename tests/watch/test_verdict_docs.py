"""docs/syn-flood.md keeps its word: its program runs, and its thresholds are those in force."""

import re
from pathlib import Path

from synfin.watch.settings import Settings
from tests.watch import rates, streams
from tests.watch.test_verdict import kernel

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "syn-flood.md").read_text(encoding="utf-8")


def test_its_program_calls_a_flood_a_flood() -> None:
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(program, names)
    look = names["look"]
    assert callable(look)
    said = [look(sample) for sample in kernel(5_000, 8)]
    assert said[0] == ("none", [])
    assert said[-1] == ("flood", ["SYN flood from random sources against 0.0.0.0:80"])


def test_its_thresholds_are_the_defaults() -> None:
    now = Settings()
    for sentence in (
        f"`flood` is {now.flood} or more, `suspected` {now.suspected} or more",
        f"when {now.unfinished} or more failed at {now.unfinished_rate:.0f} a second",
        f"{now.concentrated_weight} ({now.concentrated_old_weight} for old entries) for one host",
        f"{now.unknown_weight} where no",
        f"waited {now.old // 1_000_000_000} s or more",
    ):
        assert sentence in " ".join(PAGE.split()), sentence


def test_its_tables_have_every_case_at_full_length() -> None:
    for case in streams.INNOCENT:
        assert f"| {case} | {rates.SEEDS['held_out']['minutes']} |" in PAGE
    for case in (*streams.FLOODS, "slow flood"):
        assert f"| {case} |" in PAGE
