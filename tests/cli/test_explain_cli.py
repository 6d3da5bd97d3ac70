"""`synfin explain` as a command: its options and its mistakes. What it says of captures is in tests/capture."""

from pathlib import Path

import pytest

from synfin.cli.main import run


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("", "synfin explain: Missing argument 'CAPTURE'."),
        ("x.pcap", "synfin: explain needs to be told what to look for: --syn-flood"),
        ("x.pcap --syn-flood", "synfin: x.pcap: No such file or directory"),
        (". --syn-flood", "synfin: .: Is a directory"),
        (
            "x.pcap --syn-flood --window 0",
            "synfin explain: Invalid value for '--window': '0' is not a time from 0.05 to 3,600 s",
        ),
        ("x.pcap --syn-flood --lang fr", "synfin explain: Invalid value for '--lang': no language 'fr'; there are: en, zh"),
    ],
)
def test_a_mistake_gets_one_line_and_status_2(
    arguments: str, line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["explain", *arguments.split()]) == 2
    assert capsys.readouterr() == ("", line + "\n")


@pytest.mark.parametrize("content", [b"", b"no capture at all", bytes(24)])
def test_a_file_that_is_no_capture_gets_one_line_and_status_2(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(content)
    assert run(["explain", "--syn-flood", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"synfin: {path}: ") and err.count("\n") == 1


def test_the_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "--help"]) == 0
    assert "synfin explain capture.pcapng --syn-flood\n" in capsys.readouterr().out
