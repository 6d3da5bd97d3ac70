"""Verdicts, lists of known failures, reports, and the command."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from synfin.cli.main import run
from synfin.engine.errors import UsageError
from synfin.packetdrill import compare, player, report, suite
from synfin.packetdrill.player import Player
from synfin.packetdrill.run import ERROR, FAIL, FEATURE, PARSE, PASS, SKIP, UNMAPPED, VERDICTS, XFAIL, Outcome, play_both_ways
from synfin.packetdrill.suite import Known, find_scripts, play_all, read_known
from synfin.trace.cells import width
from tests.packetdrill.playing import OPEN, opened, play, wish

Captured = pytest.CaptureFixture[str]

GOOD = OPEN + "+0 close(4) = 0\n+0 > F. 1:1(0) ack 1\n"
BAD = OPEN + "+0 close(4) = 0\n+0 > P. 1:1(0) ack 1\n"
BEYOND = OPEN + "+0 splice(1) = 0\n"
UNKNOWN = OPEN + "+0 `reboot`\n"
BROKEN = OPEN + "+0 close(\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {"a/good": GOOD, "a/bad": BAD, "b/beyond": BEYOND, "b/unknown": UNKNOWN, "b/broken": BROKEN}.items():
        path = tmp_path / f"{name}.pkt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def verdicts(paths: list[Path], **options: object) -> dict[str, str]:
    outcomes = play_all(paths, [wish()], **options)  # type: ignore[arg-type]
    return {Path(outcome.file).stem: outcome.verdict for outcome in outcomes}


def test_there_is_a_verdict_for_each_end() -> None:
    assert (play(GOOD).verdict, play(BAD).verdict) == (PASS, FAIL)
    assert [(o.verdict, o.kind) for o in map(play, (BEYOND, UNKNOWN, BROKEN))] == [
        (SKIP, FEATURE), (SKIP, UNMAPPED), (ERROR, PARSE),
    ]  # fmt: skip
    assert play(BROKEN).place == "test.pkt:11:1"


@pytest.mark.parametrize(
    ("option", "detail"),
    [("--blue", "no option --blue"), ("--mtu=x", "--mtu=x is no number up to 65535"), ("--ip_version=5", "no IP version '5'")],
)
def test_an_option_that_makes_no_sense_is_an_error(option: str, detail: str) -> None:
    outcome = play(f"{option}\n{GOOD}")
    assert (outcome.verdict, outcome.kind, outcome.detail) == (ERROR, PARSE, detail)


def test_options_about_the_tool_itself_are_passed_over_and_those_of_the_wire_are_not_played() -> None:
    assert play("--speed=100 --send_omit_free\n--non_fatal=packet\n" + GOOD).verdict == PASS
    assert play("--wire_client\n" + GOOD).detail == "--wire_client"


def test_a_fault_of_synfins_own_is_a_failure_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Player) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(Player, "play", broken)
    assert (play(GOOD).verdict, play(GOOD).actual) == (FAIL, "ZeroDivisionError: oh")


def test_a_failure_has_its_ladder_up_to_there() -> None:
    outcome = play(BAD, ladder=True)
    assert "<- FIN,ACK seq=1 ack=1" in outcome.ladder
    assert max(width(line) for line in outcome.ladder.splitlines()) <= 80
    assert play("0 < S 7:7(0) win 1 <mss 9>\n+0 > S. 0:0(0)\n", ladder=True).ladder.count("RST,ACK") == 1
    assert play("0 close(3) = 0\n", ladder=True).ladder == ""


def test_both_lines_stand_side_by_side() -> None:
    text = report.failure(play(BAD, ladder=True))
    assert text.startswith(
        "FAIL test.pkt [ipv4]\n  test.pkt:11:1  at 0.010 s\n    expected  > P. 1:1(0) ack 1\n"
        "    actual    > F. 1:1(0) ack 1 win 65535\n    differs   flags\n\n      # seconds"
    )
    late = report.failure(opened("+0 < P. 1:11(10) ack 1 win 9\n+.1 > . 1:1(0) ack 11\n"))
    assert "expected  > . 1:1(0) ack 11   (0.0975 to 0.1225 s)\n" in late
    assert "    actual    > . 1:1(0) ack 11 win 65535\n    differs   time" in late
    assert "actual    (nothing leaves)" in report.failure(opened("+0 > P. 1:2(1) ack 1\n"))
    assert "expected  (the end of the script)" in report.failure(opened("+0 close(4) = 0\n"))


def test_a_failure_is_told_in_chinese_too() -> None:
    text = report.failure(play(BAD), "zh")
    assert "期望" in text
    assert "不同之处  标志" in text
    assert report.line(play(BEYOND), "zh") == "SKIP(功能) test.pkt [ipv4]: splice()"


@pytest.mark.parametrize(
    ("text", "en", "zh"),
    [
        ("+0 `sockstat -P tcp | grep -c CLOSED | grep 1`", "the command fails", "命令失败"),
        ("+0 read(4, ..., 5) = 5", "read(4, ..., 5) = ... (it waits)", "read(4, ..., 5) = ...（仍在等待）"),
        ("+0...1 read(4, ..., 5) = 5\n+2 dup(4) = 5", "read(4, ..., 5) = ... (it waits)", "read(4, ..., 5) = ...（仍在等待）"),
    ],
)
def test_what_was_there_instead_is_told_in_both_languages(text: str, en: str, zh: str) -> None:
    outcome = opened(text + "\n")
    assert f"    actual    {en}\n" in report.failure(outcome)
    assert f"    实际      {zh}\n" in report.failure(outcome, "zh")


@pytest.mark.parametrize(
    ("what", "en", "zh"),
    [
        ("more than 9 packets", "more than 9 packets", "超过 9 个报文"),
        ("the assertion does not hold", "the assertion does not hold", "断言不成立"),
        ("7 steps without time passing", "7 steps without time passing", "走了 7 步而时间没有前进"),
        ("ZeroDivisionError: oh", "ZeroDivisionError: oh", "ZeroDivisionError: oh"),
    ],
)
def test_a_play_that_breaks_off_expects_nothing(what: str, en: str, zh: str) -> None:
    broken = outcome("a.pkt", FAIL, actual=what)
    assert report.failure(broken) == f"FAIL a.pkt\n  a.pkt\n    actual    {en}\n"
    assert report.failure(broken, "zh") == f"FAIL a.pkt\n  a.pkt\n    实际      {zh}\n"


def test_every_reason_that_can_be_given_has_its_words() -> None:
    """The names in player and compare are the keys of the table, as far as they are not names of options."""
    text = Path(player.__file__).read_text() + Path(compare.__file__).read_text()
    assert [name for name in report.WHY if f'"{name}"' not in text and name not in ("mss", "wscale", "sack")] == []


def test_the_fast_path_changes_nothing_that_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    assert play_both_ways(GOOD, "a.pkt", wish()).verdict == PASS
    assert play_both_ways(BAD, "a.pkt", wish()).verdict == FAIL
    finish = Player._finish

    def other(self: Player) -> None:
        finish(self)
        if not self.plan.config.fast_path:
            self.bench.history[1] = (self.bench.history[1][0] + 1, self.bench.history[1][1])

    monkeypatch.setattr(Player, "_finish", other)
    outcome = play_both_ways(GOOD, "a.pkt", wish())
    assert (outcome.verdict, outcome.kind, outcome.detail) == (FAIL, "fast path", "2")
    assert "packet 2 differs" in report.failure(outcome)


# --- suites


def test_scripts_are_found_in_folders_in_the_order_of_their_names(folder: Path) -> None:
    assert [path.stem for path in find_scripts([folder])] == ["bad", "good", "beyond", "broken", "unknown"]
    assert [path.stem for path in find_scripts([folder / "b", folder / "a" / "good.pkt"])] == [
        "beyond", "broken", "unknown", "good",
    ]  # fmt: skip


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_script_is_judged_whatever_the_cores(folder: Path, jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "CHUNK", 1)
    expected = {"bad": FAIL, "good": PASS, "beyond": SKIP, "broken": ERROR, "unknown": SKIP}
    assert verdicts(find_scripts([folder]), jobs=jobs) == expected


def test_a_known_failure_is_an_xfail_and_one_that_passes_fails(folder: Path) -> None:
    known = [Known("bad.pkt", "", "a reason"), Known("good.pkt", "ipv4", "an old reason"), Known("beyond.pkt", "", "no")]
    outcomes = {Path(o.file).stem: o for o in play_all(find_scripts([folder]), [wish()], known=known)}
    assert (outcomes["bad"].verdict, outcomes["bad"].detail, outcomes["bad"].bad) == (XFAIL, "a reason", False)
    assert (outcomes["good"].verdict, outcomes["good"].kind, outcomes["good"].bad) == (FAIL, "passes", True)
    assert outcomes["beyond"].verdict == SKIP
    assert "an old reason" in report.failure(outcomes["good"])
    other = play_all(find_scripts([folder / "a"]), [wish(family="ipv6")], known=known)
    assert [outcome.verdict for outcome in other] == [XFAIL, PASS]


def test_a_list_has_patterns_families_and_reasons() -> None:
    text = "# all\n\na/b.pkt: one\n  c*.pkt [ipv6]: two: three  # four\n"
    assert read_known(text, "list") == [Known("a/b.pkt", "", "one"), Known("c*.pkt", "ipv6", "two: three")]
    with pytest.raises(UsageError, match="list:2: a line is"):
        read_known("a.pkt: b\nno reason\n", "list")


# --- reports


def outcome(file: str, verdict: str, **more: object) -> Outcome:
    return Outcome(file=file, verdict=verdict, **more)  # type: ignore[arg-type]


def test_the_table_counts_by_folder() -> None:
    outcomes = [outcome("a/1", PASS, loose=("push",)), outcome("a/2", FAIL), outcome("b/c/3", SKIP), outcome("4", PASS)]
    assert report.table(outcomes).splitlines() == [
        "folder    PASS    FAIL    SKIP   ERROR   XFAIL",
        "a            1       1       -       -       -",
        "b/c          -       -       1       -       -",
        ".            1       -       -       -       -",
        "total        2       1       1       -       -",
        "Relaxed: --loose-push: 1 of 4 plays",
    ]
    assert {len(line) for line in report.table(outcomes, "zh").splitlines()[:1]} != set()
    assert set(report.folders(outcomes)["a"]) == set(VERDICTS)


def test_junit_has_a_suite_a_folder() -> None:
    outcomes = [play(text) for text in (GOOD, BAD, BEYOND, BROKEN)] + [outcome("x/y.pkt", XFAIL, detail="\x00known")]
    root = ElementTree.fromstring(report.junit(outcomes))
    first, second = root
    assert root.attrib == {"name": "synfin packetdrill", "tests": "5", "failures": "1", "errors": "1"}
    assert first.attrib == {"name": ".", "tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    assert [[child.tag for child in case] for case in first] == [[], ["failure"], ["skipped"], ["error"]]
    assert "expected  > P. 1:1(0) ack 1" in (first[1][0].text or "")
    assert second[0][0].attrib["message"] == "XFAIL x/y.pkt: ?known"


# What CI servers take, after the schema of Jenkins' plugin: element, its attributes, those it must have, what may be in it.
JUNIT = {
    "testsuites": ({"name", "time", "tests", "failures", "disabled", "errors"}, set(), {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "time", "disabled", "skipped", "timestamp", "hostname", "id", "package"},
        {"name", "tests"}, {"properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": (
        {"name", "assertions", "time", "classname", "status"}, {"name"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "skipped": ({"message"}, set(), set()),
    "error": ({"message", "type"}, {"type"}, set()),
    "failure": ({"message", "type"}, {"type"}, set()),
}  # fmt: skip


def test_junit_is_what_ci_servers_take() -> None:
    outcomes = [play(text) for text in (GOOD, BAD, BEYOND, UNKNOWN, BROKEN)]
    outcomes += [outcome("x/y.pkt", XFAIL, detail="known"), outcome("x/z.pkt", FAIL, actual="ZeroDivisionError: oh")]
    root = ElementTree.fromstring(report.junit(outcomes))
    assert root.tag == "testsuites"
    seen = set()
    for element in root.iter():
        taken, needed, children = JUNIT[element.tag]
        assert needed <= set(element.attrib) <= taken
        assert {child.tag for child in element} <= children
        assert all(element.attrib.values())
        seen.add(element.tag)
    assert seen == set(JUNIT)
    for folder in root:
        counted = [len(folder.findall(f"testcase/{tag}")) for tag in ("failure", "error", "skipped")]
        assert [folder.attrib[name] for name in ("failures", "errors", "skipped")] == list(map(str, counted))


def test_json_says_what_a_program_wants_to_know() -> None:
    assert report.as_json(play(BAD)) == {
        "file": "test.pkt", "family": "ipv4", "fast_path": True, "verdict": "FAIL", "place": "test.pkt:11:1",
        "expected": "> P. 1:1(0) ack 1", "actual": "> F. 1:1(0) ack 1 win 65535", "at": 0.01, "why": ["flags"],
    }  # fmt: skip


# --- the command


@pytest.fixture
def command(capsys: Captured) -> Callable[[str], tuple[int, str, str]]:
    def execute(arguments: str) -> tuple[int, str, str]:
        status = run(["packetdrill", *arguments.split(), "--lang", "en"])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return execute


Command = Callable[[str], tuple[int, str, str]]


def test_the_command_says_pass_and_exits_0(command: Command, folder: Path) -> None:
    path = folder / "a" / "good.pkt"
    assert command(f"{path} --strict") == (
        0, f"PASS {path} [ipv4]\n{'folder':<{len(str(path.parent))}}    PASS    FAIL    SKIP   ERROR   XFAIL\n"
        f"{path.parent}       1       -       -       -       -\n", "",
    )  # fmt: skip


def test_a_failure_exits_1_and_an_xfail_0(command: Command, folder: Path) -> None:
    assert command(f"{folder} --jobs 1")[0] == 1
    assert command(f"{folder / 'b' / 'unknown.pkt'}")[0] == 0
    assert command(f"{folder / 'b' / 'broken.pkt'}")[0] == 1
    known = folder / "known.txt"
    known.write_text("bad.pkt: wrong on purpose\n")
    status, out, _ = command(f"{folder / 'a'} --xfail {known}")
    assert (status, "XFAIL" in out, "wrong on purpose" in out) == (0, True, True)
    known.write_text("*.pkt: wrong on purpose\n")
    assert command(f"{folder / 'a'} --xfail {known}")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "Missing argument"),
        ("/nowhere.pkt", "there is no file /nowhere.pkt"),
        ("FOLDER --profile blue", "no profile 'blue': it is rfc, linux, freebsd or a file"),
        ("FOLDER --family ipv5", "ipv5"),
        ("FOLDER --xfail /nowhere", "cannot read /nowhere"),
        ("FOLDER -D 1x=2", "'1x=2' is not SYMBOL=VALUE"),
        ("FOLDER --junit /no/where.xml", "there is no directory /no"),
    ],
)
def test_a_mistake_is_one_line_and_2(command: Command, folder: Path, arguments: str, message: str) -> None:
    status, out, err = command(arguments.replace("FOLDER", str(folder)))
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_an_empty_folder_is_a_mistake(command: Command, tmp_path: Path) -> None:
    assert command(str(tmp_path))[0] == 2


def test_families_fast_path_and_json(command: Command, folder: Path) -> None:
    status, out, _ = command(f"{folder / 'a'} --family both --fast-path both --json")
    plays = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert [(Path(each["file"]).stem, each["family"], each["verdict"]) for each in plays] == [
        ("bad", "ipv4", FAIL), ("bad", "ipv6", FAIL), ("good", "ipv4", PASS), ("good", "ipv6", PASS),
    ]  # fmt: skip


def test_relaxations_words_and_junit(command: Command, folder: Path) -> None:
    path = folder / "a" / "word.pkt"
    path.write_text(GOOD.replace("F. 1:1", "FLAGS 1:1"))
    assert command(f"{path} -D FLAGS=FP. --loose-push --junit {folder / 'r.xml'}")[0] == 0
    assert b"word.pkt" in (folder / "r.xml").read_bytes()
    assert "Relaxed: --loose-push: 1 of 1 plays" in command(f"{path} -D FLAGS=F. --loose-push")[1]
    assert command(f"{path} -D FLAGS=FP. --no-ladder -q")[0] == 1


def test_the_help_has_examples_and_says_that_code_runs(command: Command) -> None:
    status, out, _ = command("--help")
    assert (status, "synfin packetdrill handshake.pkt" in out) == (0, True)
    assert "run as Python" in " ".join(out.split())
