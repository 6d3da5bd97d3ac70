"""`synfin lab`: what it prints and writes, and how a mistake in it is told."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from synfin.cli.main import run
from synfin.lab import LABS
from synfin.trace.cells import width

SYNFIN = Path(sys.executable).parent / "synfin"

Captured = pytest.CaptureFixture[str]


def test_the_list_has_one_experiment_a_line_name_first(capsys: Captured) -> None:
    for lang, title in (("en", LABS["pool"].title.en), ("zh", LABS["pool"].title.zh)):
        assert run(["lab", "--list", "--lang", lang]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == list(LABS)
        assert f"pool           {title}" in lines
        assert all(width(line) <= 80 for line in lines)


def test_the_list_as_json_has_name_and_title(capsys: Captured) -> None:
    assert run(["lab", "--list", "--json", "--lang", "en"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [{"name": name, "title": each.title.en} for name, each in LABS.items()]


def test_an_experiment_prints_its_table_and_writes_its_picture(tmp_path: Path, capsys: Captured) -> None:
    picture = tmp_path / "duplex.svg"
    assert run(["lab", "duplex", "--svg", str(picture), "--lang", "en"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("duplex: One transfer over full-duplex, half-duplex and simplex lines\n\n")
    assert "ETIMEDOUT, 180 s" in out
    assert out.endswith(f"\nTables and plots as a picture: {picture}\n")
    text = "".join(ElementTree.fromstring(picture.read_text(encoding="utf-8")).itertext())
    assert "The same transfer over each kind of line" in text


def test_as_json_the_lines_are_objects_and_the_notice_goes_beside_them(tmp_path: Path, capsys: Captured) -> None:
    picture = tmp_path / "duplex.svg"
    assert run(["lab", "Duplex", "--json", "--svg", str(picture), "--lang", "zh"]) == 0
    out, err = capsys.readouterr()
    kinds = [json.loads(line)["kind"] for line in out.splitlines()]
    assert kinds == ["words", *["row"] * 7, *["plot"] * 3, "words"]
    assert err == f"\n表格与曲线（SVG）：{picture}\n"


def test_the_same_seed_gives_the_same_bytes_and_another_other_ones(capsys: Captured) -> None:
    outputs = []
    for seed in ("4", "4", "5"):
        assert run(["lab", "pool", "--json", "--seed", seed, "--lang", "en"]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lab"], "which experiment? synfin lab --list shows all"),
        (["lab", "port"], "no experiment 'port'; nearest: ports (synfin lab --list shows all)"),
        (["lab", ""], "an experiment's name is empty (synfin lab --list shows all)"),
        (["lab", "pool", "--list"], "--list shows all experiments: it takes no name"),
        (["lab", "pool", "--seed", "-1"], "Invalid value for '--seed': -1 is not in the range x>=0."),
        (["lab", "pool", "--svg", "/nowhere/at/all.svg"], "there is no directory /nowhere/at"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments: list[str], said: str, capsys: Captured) -> None:
    assert run([*arguments, "--lang", "en"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert said in err


def test_the_command_runs_as_a_program_of_its_own() -> None:
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "LANG": "C"}
    done = subprocess.run([SYNFIN, "lab", "duplex"], capture_output=True, timeout=60, env=environ, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"ETIMEDOUT" in done.stdout
