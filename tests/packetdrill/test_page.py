"""docs/packetdrill.md keeps its word: its script passes, its failure is what a failure says, its Python runs."""

import tomllib
from pathlib import Path

from synfin.cli.scripts import packetdrill
from synfin.packetdrill import report
from synfin.packetdrill.calls import TABLE
from synfin.packetdrill.profiles import read_profile
from synfin.packetdrill.run import PASS, play_text
from tests.packetdrill.playing import wish

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "packetdrill.md").read_text(encoding="utf-8")
BLOCKS = [block.partition("\n")[::2] for block in PAGE.split("```")[1::2]]


def test_its_script_passes_and_its_failure_is_what_is_printed() -> None:
    script = BLOCKS[0][1]
    assert play_text(script, "handshake.pkt", wish()).verdict == PASS
    failed = play_text(script.replace("(100) ack 1", "(100) ack 2"), "handshake.pkt", wish())
    assert report.failure(failed) == next(text for _, text in BLOCKS if text.startswith("FAIL"))


def test_its_python_runs() -> None:
    names: dict[str, object] = {}
    exec(next(text for language, text in BLOCKS if language == "python"), names)


def test_its_profile_is_read() -> None:
    text = next(text for language, text in BLOCKS if language == "toml")
    assert read_profile(text, "mine").config.rto_min == 500_000_000
    assert tomllib.loads(text)["system"] == "mine"


def test_it_names_every_call_and_every_option_of_the_command() -> None:
    assert [name for name in TABLE if name not in PAGE and not name.startswith("epoll")] == []
    options = [option for parameter in packetdrill.params for option in parameter.opts if option.startswith("--")]
    assert [option for option in options if option not in PAGE and option not in ("--define",)] == []
