"""What `synfin` does with mistakes, interrupts and readers that go: one line, a status, no traceback."""

import builtins
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from synfin.cli import commands, output
from synfin.cli.main import run

SYNFIN = Path(sys.executable).parent / "synfin"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("demo --loss 200", "synfin demo: Invalid value for '--loss': '200' is not a percentage from 0 to 100"),
        ("demo --loss nan", "synfin demo: Invalid value for '--loss': 'nan' is not a percentage from 0 to 100"),
        ("demo --seed one", "synfin demo: Invalid value for '--seed': 'one' is not a whole number from 0 on"),
        ("demo --seed -1", "synfin demo: Invalid value for '--seed': '-1' is not a whole number from 0 on"),
        ("demo --segment 0", "synfin demo: Invalid value for '--segment': '0' is not a whole number from 1 on"),
        ("demo --delay -1", "synfin demo: Invalid value for '--delay': '-1' is not a time from 0 to 3,600,000 ms"),
        ("demo --delay soon", "synfin demo: Invalid value for '--delay': 'soon' is not a time from 0 to 3,600,000 ms"),
        (
            "demo --isn abc",
            "synfin demo: Invalid value for '--isn': 'abc' is not two numbers from 0 to 2^32 - 1"
            " with a comma between: 1234567,7654321",
        ),
        (
            "demo --isn 1,4294967296",
            "synfin demo: Invalid value for '--isn': '1,4294967296' is not two numbers from 0 to 2^32 - 1"
            " with a comma between: 1234567,7654321",
        ),
        ("demo --svg /no/such/place.svg", "synfin demo: Invalid value for '--svg': there is no directory /no/such"),
        ("demo --pcap /", "synfin demo: Invalid value for '--pcap': / is a directory"),
        (
            "hold syn-recv --seconds inf",
            "synfin hold: Invalid value for '--seconds': 'inf' is not a number of seconds, from 0 to 1,000,000",
        ),
        (
            "hold syn-recv --seconds nan",
            "synfin hold: Invalid value for '--seconds': 'nan' is not a number of seconds, from 0 to 1,000,000",
        ),
        (
            "probe h 7 --patience 1e300",
            "synfin probe: Invalid value for '--patience': '1e300' is not a number of seconds,"
            " more than 0 and at most 1,000,000",
        ),
        ("states --lang fr", "synfin states: Invalid value for '--lang': no language 'fr'; there are: en, zh"),
    ],
)
def test_a_wrong_argument_gets_one_clear_line_and_status_2(
    arguments: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments.split()) == 2
    assert capsys.readouterr() == ("", line + "\n")


@pytest.mark.parametrize(
    "arguments", ["demo --seed x", "demo --segment 0", "demo --seed -3", "stats", "demo --bogus", "demo a b"]
)
def test_every_other_wrong_argument_gets_one_line_and_status_2(
    arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("synfin") and err.count("\n") == 1


def test_numbers_may_carry_their_units() -> None:
    assert (commands.percentage("5%"), commands.milliseconds("20ms")) == (5.0, 20.0)
    assert commands.sequence_numbers("0xfffffffe,7") == (0xFFFFFFFE, 7)


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert capsys.readouterr().out.startswith("Usage: synfin ")


def raising(error: BaseException) -> Any:
    def show(*arguments: object) -> None:
        raise error

    return show


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (KeyboardInterrupt(), 130, ""),
        (PermissionError(13, "Permission denied", "x.svg"), 2, "synfin: x.svg: Permission denied\n"),
        (ValueError("a\nb"), 1, "synfin: unexpected ValueError: a b (a bug; with SYNFIN_DEBUG=1 it shows where)\n"),
    ],
)
def test_what_is_raised_becomes_a_status_and_one_line(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synfin.cli.states.show", raising(error))
    assert run(["states"]) == status
    assert capsys.readouterr() == ("", line)


def test_without_the_extra_one_line_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "click":
            raise ModuleNotFoundError("No module named 'click'", name="click")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert run(["demo"]) == 2
    assert capsys.readouterr() == ("", "synfin: the command line needs click: pip install 'synfin[cli]'\n")


def test_a_reader_that_goes_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        process = subprocess.run([SYNFIN, "states"], stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (process.returncode, process.stderr) == (141, b"")


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_standard_stream_that_is_closed_is_no_error(closed: int) -> None:
    shell = f'exec "$0" states {closed}{"<" if closed == 0 else ">"}&-'
    process = subprocess.run(["sh", "-c", shell, SYNFIN], capture_output=True, check=False)
    assert (process.returncode, process.stderr) == (0, b"")
    assert (process.stdout == b"") == (closed == 1)


class Terminal:
    def isatty(self) -> bool:
        return True


class Pipe:
    def isatty(self) -> bool:
        return False


def test_colour_is_for_terminals_that_want_it() -> None:
    terminal: Any = Terminal()
    pipe: Any = Pipe()
    assert output.wants_colour(terminal, {})
    assert output.wants_colour(terminal, {"NO_COLOR": "", "TERM": "xterm"})
    assert not output.wants_colour(terminal, {"NO_COLOR": "1"})
    assert not output.wants_colour(terminal, {"TERM": "dumb"})
    assert not output.wants_colour(pipe, {})
