"""docs/testing.md keeps its word: its programs are written out as the files that they name, and pytest runs them."""

import subprocess
import sys
from pathlib import Path

import pytest

from synfin import sim
from tests.test_readme import blocks

PAGE = Path(__file__).resolve().parent.parent / "docs" / "testing.md"


def files() -> dict[str, str]:
    """The Python blocks of the page by the file name in their first line."""
    found = [block.text for block in blocks(PAGE.read_text(encoding="utf-8")) if block.language == "python"]
    return {text.partition("\n")[0].removeprefix("# "): text for text in found}


def test_every_recipe_of_the_page_about_testing_passes(tmp_path: Path, shell_environment: dict[str, str]) -> None:
    written = files()
    assert next(iter(written)) == "service.py"
    for name, text in written.items():
        assert name.endswith(".py")
        (tmp_path / name).write_text(text, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "."],
        cwd=tmp_path, env=shell_environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:]
    assert " skipped" not in run.stdout


def test_what_the_page_shows_of_a_failure_is_what_a_failure_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def main(world: sim.World) -> None:
        raise ValueError("on purpose")

    monkeypatch.delenv("SYNFIN_SEED", raising=False)
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "tests/test_loss.py::test_ten_clients[7] (call)")
    with pytest.raises(ValueError, match="on purpose") as failure:
        sim.run(main, seed=7, failures=tmp_path)
    shown = next(block for block in blocks(PAGE.read_text(encoding="utf-8")) if block.language == "text").text
    assert f"E   {failure.value.__notes__[1]}\n" in shown
