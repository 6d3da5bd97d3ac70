"""What `synfin packetdrill` does with a command line, a profile or a file that makes no sense: one line, status 2."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from synfin.cli.main import run
from synfin.packetdrill.profiles import load_profile
from synfin.scenarios import SCENARIOS
from synfin.trace.pcapng import write_pcapng

SCRIPT = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 close(3) = 0\n"


@pytest.fixture
def ok(tmp_path: Path) -> str:
    path = tmp_path / "ok.pkt"
    path.write_text(SCRIPT)
    return str(path)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('rto_min = "5 lightyears"', "rto_min is a whole number or a time such as 200 ms, not '5 lightyears'"),
        ("rto_min = true", "rto_min is a whole number or a time such as 200 ms, not True"),
        ("nagle = 1", "nagle is true or false, not 1"),
        ("msl = 1.5", "msl is a whole number or a time such as 200 ms, not 1.5"),
        ("push = 7", "push is a word, not 7"),
        ("syn_backoff = 1", "syn_backoff is a list, not 1"),
        ("lightyears = 5", "no setting 'lightyears' in TcpConfig"),
    ],
)
def test_a_profile_whose_value_is_of_another_kind_is_told_with_the_setting_s_name(
    line: str, told: str, ok: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text(f"[tcp]\n{line}\n")
    assert run(["packetdrill", "--profile", str(profile), ok]) == 2
    assert capsys.readouterr() == ("", f"synfin: profile {profile}: {told}\n")


def test_a_profile_whose_tables_are_none_is_told(ok: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text("tcp = 5\n")
    assert run(["packetdrill", "--profile", str(profile), ok]) == 2
    assert capsys.readouterr() == ("", f"synfin: profile {profile}: [tcp] and [missing] are tables\n")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("-o", "x"), "--output goes with --record alone."),
        (("--side", "client"), "--side goes with --record alone."),
        (("--connection", "2"), "--connection goes with --record alone."),
    ],
)
def test_what_only_a_recording_takes_is_refused_where_scripts_are_played(
    options: tuple[str, ...], told: str, ok: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(ok).parent)
    assert run(["packetdrill", *options, ok]) == 2
    assert capsys.readouterr() == ("", f"synfin packetdrill: {told}\n")
    assert not Path("x").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--strict",), "--strict"), (("--json",), "--json"), (("--junit", "x"), "--junit"), (("--xfail", "x"), "--xfail"),
        (("-j", "2"), "--jobs"), (("-D", "A=1"), "--define"), (("--no-ladder",), "--no-ladder"),
        (("--family", "both"), "--family both"), (("--fast-path", "both"), "--fast-path both"),
    ],
)  # fmt: skip
def test_what_a_recording_would_ignore_is_refused(
    options: tuple[str, ...], told: str, ok: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(ok).parent)
    assert run(["packetdrill", "--record", "trace.json", *options]) == 2
    assert capsys.readouterr() == ("", f"synfin packetdrill: {told} does not go with --record.\n")


@pytest.mark.parametrize(
    ("call", "status", "told"),
    [
        ("+0 clsoe(3) = 0", 1, "ok.pkt:2:1: there is no call clsoe()\n"),
        ("+0 sctp_bindx(3, ..., 1, 0) = 0\n+0 clsoe(3) = 0", 1, "ok.pkt:3:1: there is no call clsoe()\n"),
        ("+0 sctp_bindx(3, ..., 1, 0) = 0", 0, "SKIP(feature) ok.pkt [ipv4]: sctp_bindx()\n"),
        ("+0 splice(3, NULL, 4, NULL, 1, 0) = 0", 0, "SKIP(feature) ok.pkt [ipv4]: splice()\n"),
    ],
)
def test_a_call_that_the_language_has_not_is_an_error_at_its_place_and_no_skip(
    call: str, status: int, told: str, ok: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(ok).parent)
    Path("ok.pkt").write_text(f"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n{call}\n")
    assert run(["packetdrill", "ok.pkt"]) == status
    told = f"ERROR(parse) ok.pkt [ipv4]: {told}" if status else told
    assert capsys.readouterr().out.startswith(told)


def test_what_cannot_be_read_is_told_with_the_reason(
    ok: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(ok).parent)
    os.mkfifo("pipe")
    Path("junk").write_bytes(b"\xff\xfe")
    told = {
        ("pipe",): "pipe is not a regular file",
        ("/dev/null",): "/dev/null is not a regular file",
        ("nothing",): "there is no file nothing",
        ("ok.pkt", "--profile", "."): "profile .: Is a directory",
        ("ok.pkt", "--profile", "nothing"): "no profile 'nothing': it is rfc, linux, freebsd or a file",
        ("ok.pkt", "--xfail", "junk"): "cannot read junk: it is no text in UTF-8",
        ("ok.pkt", "--xfail", "nothing"): "cannot read nothing: No such file or directory",
        ("ok.pkt", "--xfail", "."): "cannot read .: Is a directory",
    }
    for arguments, line in told.items():
        assert run(["packetdrill", *arguments]) == 2
        assert capsys.readouterr() == ("", f"synfin: {line}\n")


@pytest.mark.parametrize(
    ("lang", "told"),
    [("en", "with --profile linux it passes"), ("zh", "用 --profile linux 则播放通过")],
)
def test_of_a_recording_that_fails_the_profile_that_it_is_like_is_told(
    lang: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = tmp_path / "linux.pcapng"
    life = SCENARIOS["whole-life"]
    write_pcapng(replace(life, config=load_profile("linux").config).play().trace, capture)
    assert run(["packetdrill", "--record", str(capture), "--profile", "freebsd", "--lang", lang]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == told
    assert run(["packetdrill", "--record", str(capture), "--profile", "linux"]) == 0
    assert capsys.readouterr().err == "it passes\n"


def test_a_profile_that_only_comes_further_is_told_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture = tmp_path / "slow.pcapng"
    slow = load_profile("linux").config.replace(rto_initial=1_500_000_000)
    write_pcapng(replace(SCENARIOS["lost-syn"], config=slow).play().trace, capture)
    assert run(["packetdrill", "--record", str(capture)]) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == "with --profile linux it does not pass either, but gets further"
