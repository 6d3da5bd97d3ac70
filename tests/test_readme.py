"""The READMEs keep their word: every command in them runs as it stands, and both languages say the same.

A command is a line of a block fenced as `sh`, run from the root of the checkout as right after `make demo`. `make test`
alone is not run here: it is what runs this.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from tools.pictures import draw

ROOT = Path(__file__).resolve().parent.parent
READMES = ("README.md", "README.zh-CN.md")

pytestmark = pytest.mark.usefixtures("checkout_to_itself")


class Block(NamedTuple):
    """One fenced block: its language, its text, the line it begins in."""

    language: str
    text: str
    line: int


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a Markdown text, in order."""
    found = []
    for match in re.finditer(r"^```(\S*)[^\n]*\n(.*?)^```[ \t]*$", text, re.MULTILINE | re.DOTALL):
        found.append(Block(match[1], match[2], text[: match.start()].count("\n") + 1))
    return found


def commands(text: str) -> list[str]:
    """The commands of all `sh` blocks, one a line; a backslash at the end joins lines, a comment is none."""
    scripts = (block.text.replace("\\\n", " ") for block in blocks(text) if block.language == "sh")
    lines = (line.strip() for script in scripts for line in script.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def without_comment(command: str) -> str:
    """A command without what explains it; that is said in the reader's language."""
    return re.sub(r"\s+#\s.*$", "", command)


def headings(text: str) -> list[int]:
    """The levels of the headings, in order."""
    prose = re.sub(r"^```.*?^```[ \t]*$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [len(match[1]) for match in re.finditer(r"^(#+) ", prose, re.MULTILINE)]


def links(text: str) -> list[str]:
    """Where the text's links and pictures point to inside the repository, anchors cut off."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href|srcset)="([^"]+)"', text)
    return [target.split("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]


def third_block(name: str) -> str:
    block = blocks(read(name))[2]
    assert block.language == "python", f"{name}:{block.line}: the third block is to be the pytest test"
    return block.text


@pytest.mark.parametrize("name", READMES)
def test_the_readme_opens_with_the_two_commands_and_what_make_demo_prints(name: str) -> None:
    first, second = blocks(read(name))[:2]
    assert [without_comment(line) for line in first.text.split("\n") if line] == ["make demo", "make test"]
    assert (first.language, second.language) == ("sh", "text")


def test_the_readme_shows_what_make_demo_prints(shell_environment: dict[str, str]) -> None:
    if not (ROOT / ".venv" / ".demo").exists():
        pytest.skip("make has not made .venv here (this run did not come from `make test`)")
    run = subprocess.run(["make", "demo"], cwd=ROOT, env=shell_environment, check=True, capture_output=True, text=True)
    printed = [line.rstrip() for line in run.stdout.strip().splitlines()]
    for name in READMES:
        shown = [line.rstrip() for line in blocks(read(name))[1].text.strip().splitlines()]
        pieces = "\n".join(shown).split("\n...\n")  # a line of three dots stands for lines left out
        rest = "\n".join(printed)
        for piece in pieces:
            assert piece in rest, f"{name} shows what `make demo` does not print"
            rest = rest.split(piece, 1)[1]


@pytest.mark.parametrize("name", READMES)
def test_every_command_in_the_readme_works_as_it_stands(
    name: str, shell_environment: dict[str, str]
) -> None:
    found = commands(read(name))
    assert found, f"{name} has no command"
    if not (ROOT / ".venv" / ".demo").exists():
        pytest.skip("make has not made .venv here (this run did not come from `make test`)")
    for command in found:
        if without_comment(command) == "make test":
            continue
        run = subprocess.run(
            ["sh", "-c", command], cwd=ROOT, env=shell_environment, check=False, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=240,
        )  # fmt: skip
        assert (run.returncode, "Traceback" in run.stderr) == (0, False), f"{name}: {command}\n{run.stderr[-2000:]}"


@pytest.mark.parametrize("name", READMES)
def test_the_test_in_the_readme_passes_and_has_at_most_20_lines(
    name: str, tmp_path: Path, shell_environment: dict[str, str]
) -> None:
    text = third_block(name)
    assert len(text.splitlines()) <= 20
    (tmp_path / "test_readme_block.py").write_text(text, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_readme_block.py"],
        cwd=tmp_path, env=shell_environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:]


@pytest.mark.parametrize("name", READMES)
def test_the_other_programs_in_the_readme_run_without_a_word_of_complaint(
    name: str, tmp_path: Path, shell_environment: dict[str, str]
) -> None:
    programs = [block for block in blocks(read(name)) if block.language == "python"][1:]
    assert len(programs) == 2
    for program in programs:
        run = subprocess.run(
            [sys.executable, "-c", program.text],
            cwd=tmp_path, env=shell_environment, check=False, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (run.returncode, run.stderr) == (0, ""), f"{name}:{program.line}"


@pytest.mark.parametrize("name", READMES)
def test_every_link_of_the_readme_leads_somewhere(name: str) -> None:
    assert [target for target in links(read(name)) if not (ROOT / target).exists()] == []


def test_the_pictures_are_drawn_from_runs_of_this_very_code(tmp_path: Path) -> None:
    for path in draw(tmp_path):
        drawn = (ROOT / "docs" / "pictures" / path.name).read_bytes()
        assert drawn == path.read_bytes(), f"docs/pictures/{path.name} is out of date: make pictures"


def test_both_readmes_say_the_same() -> None:
    english, chinese = (read(name) for name in READMES)
    assert headings(english) == headings(chinese)
    assert [block.language for block in blocks(english)] == [block.language for block in blocks(chinese)]
    assert [without_comment(c) for c in commands(english)] == [without_comment(c) for c in commands(chinese)]


def test_commands_are_read_as_a_shell_reads_them() -> None:
    text = "```sh\na one   # why\n# not this\nb \\\n  two\n```\n```text\nc\n```\n```sh\nd\n```\n"
    assert commands(text) == ["a one   # why", "b    two", "d"]
    assert [without_comment(command) for command in commands(text)] == ["a one", "b    two", "d"]
