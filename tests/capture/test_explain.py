"""`synfin explain CAPTURE --syn-flood`: what is said of a flood, of a busy server, of files that are none."""

import json
from pathlib import Path

import pytest

from synfin.cli import explain
from synfin.cli.explain import Window, best, runs
from synfin.cli.main import run
from synfin.engine.segment import ACK, SYN
from synfin.watch.findings import Finding, Kind, Level, Reason
from synfin.watch.verdict_words import LEVELS
from synfin.words import Text
from tests.capture.files import SERVER, pcap, tcp

BEGIN = 1_700_000_000  # 2023-11-14 22:13:20 UTC
X, Y = 1234567, 7654321


def opening(time: float, source: bytes, port: int, *, final: bool) -> list[tuple[float, bytes]]:
    packets = [
        (time, tcp(SYN, X, source=source, source_port=port)),
        (time + 0.001, tcp(SYN | ACK, Y, X + 1, source=SERVER, source_port=80, target=source, port=port)),
    ]
    return packets + [(time + 0.002, tcp(ACK, X + 1, Y + 1, source=source, source_port=port))] * final


def somebody(number: int) -> bytes:
    """An address that looks random: the numbers of a full period in another order."""
    mixed = number * 2654435761 % (1 << 32)
    return bytes((mixed >> 24) % 200 + 11 for _ in range(1)) + mixed.to_bytes(4, "big")[1:]


def healthy(seconds: int) -> list[tuple[float, bytes]]:
    """100 clients a second, all of them served."""
    packets = []
    for number in range(100 * seconds):
        packets += opening(BEGIN + number / 100, somebody(number), 1024 + number, final=True)
    return packets


def flooded() -> list[tuple[float, bytes]]:
    """Eight healthy seconds, and 1,000 spoofed SYNs a second from the fifth to the eighth: seen when a second sample of them
    shows that they stay."""
    packets = healthy(8)
    for number in range(3000):
        packets += opening(BEGIN + 5 + number / 1001, somebody(number + 5000), 1024 + number, final=False)
    return sorted(packets)


@pytest.fixture
def flood(tmp_path: Path) -> Path:
    path = tmp_path / "flood.pcap"
    path.write_bytes(pcap(*flooded()))
    return path


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    status = run(["explain", *arguments])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


def test_a_flood_is_shown_with_its_time_its_listener_and_its_reasons(flood: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines, err = explained(capsys, str(flood), "--syn-flood", "--window", "1", "--lang", "en")
    assert (status, err) == (0, "")
    assert lines[:5] == [
        f"{flood}: 8400 packets in 8.0 s from 2023-11-14 22:13:20 UTC on, 8400 of them TCP",
        "A capture shows neither SYN cookies nor queues: what the server kept of a handshake cannot be seen.",
        "",
        "     0.0 s to      6.0 s  no flood",
        "",
    ]
    assert lines[5] == "     6.0 s to      8.0 s  SYN flood"
    assert lines[6].startswith("    SYN flood from random sources against 10.0.0.1:80 (score ")
    reasons = lines[7:]
    assert reasons
    assert all(line.startswith("      ") for line in reasons)


def test_the_same_in_chinese(flood: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines, err = explained(capsys, str(flood), "--syn-flood", "--window", "1", "--lang", "zh")
    assert (status, err) == (0, "")
    assert lines[:2] == [
        f"{flood}：从 2023-11-14 22:13:20 UTC 起 8.0 秒内共 8400 个报文，其中 TCP 8400 个",
        "抓包看不到 SYN cookie，也看不到队列：无法得知服务器为握手保存了什么。",
    ]
    assert lines[3] == "     0.0 秒至      6.0 秒  " + LEVELS[Level.NONE].zh
    assert lines[5] == "     6.0 秒至      8.0 秒  " + LEVELS[Level.FLOOD].zh
    assert "10.0.0.1:80" in lines[6]


def test_a_window_shows_the_worst_that_happened_in_it(flood: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, lines, _ = explained(capsys, str(flood), "--syn-flood", "--window", "4", "--lang", "en")
    assert [line for line in lines if " s to " in line] == [
        "     0.0 s to      4.0 s  no flood", "     4.0 s to      8.0 s  SYN flood",
    ]  # fmt: skip


def test_a_program_gets_one_object_a_window(flood: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines, err = explained(capsys, str(flood), "--syn-flood", "--window", "1", "--json")
    found = [json.loads(line) for line in lines]
    assert (status, err) == (0, "")
    assert [each["time"] for each in found] == [(BEGIN + second) * 10**9 for second in range(1, 8)] + [found[-1]["time"]]
    assert [each["verdict"] for each in found] == ["none"] * 6 + ["flood"] * 2
    assert {each["source"] for each in found} == {"capture"}
    assert found[-1]["findings"][0]["listener"] == ["10.0.0.1", 80]
    assert found[-1]["totals"]["syns"] == 3800
    assert found[-1]["totals"]["completed"] == 800
    assert found[-1]["totals"]["cookies_sent"] is None


def test_a_busy_server_is_one_run_without_a_flood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "busy.pcap"
    path.write_bytes(pcap(*healthy(6)))
    status, lines, _ = explained(capsys, str(path), "--syn-flood", "--window", "1", "--lang", "en")
    assert status == 0
    assert lines[3:] == ["     0.0 s to      6.0 s  no flood"]


def test_a_file_that_ends_inside_a_packet_is_read_as_far_as_it_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut.pcap"
    path.write_bytes(pcap(*healthy(1))[:-3])
    status, lines, err = explained(capsys, str(path), "--syn-flood", "--lang", "en")
    assert status == 0
    assert lines[0].startswith(f"{path}: 299 packets in 1.0 s")
    begin = 24 + 299 * 56
    assert err == f"The file ends inside a packet that begins at byte {begin}; what comes before it was read.\n"


UDP = tcp(SYN)[:9] + b"\x11" + tcp(SYN)[10:]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"GET / HTTP/1.1\r\n", "neither pcap nor pcapng: it begins with 47 45 54 20"),
        (pcap(), "the capture has no packets"),
        (pcap((1, UDP), (2, UDP)), "none of its 2 packets is TCP"),
        (pcap((1, tcp(SYN)), link=127), "packets of link type 127 are not read; those read are 0 (BSD loopback), "),
    ],
)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_file_that_cannot_be_explained_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, words: str, options: tuple[str, ...]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    status, lines, err = explained(capsys, str(path), "--syn-flood", *options)
    assert status == 2
    assert err.startswith(f"synfin: {path}: {words}")
    assert err.count("\n") == 1
    assert [line for line in lines if "verdict" not in line] == []


def test_a_file_that_is_not_there_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(capsys, str(tmp_path / "none"), "--syn-flood") == (
        2, [], f"synfin: {tmp_path}/none: No such file or directory\n",
    )  # fmt: skip


def test_what_to_look_for_has_to_be_said(flood: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines, err = explained(capsys, str(flood))
    assert (status, lines) == (2, [])
    assert "--syn-flood" in err
    assert err.count("\n") == 1


def test_a_date_that_no_calendar_has_is_told_in_seconds() -> None:
    assert explain._date(1_700_000_000 * 10**9) == "2023-11-14 22:13:20 UTC"
    assert explain._date(10**40) == f"{10**31} s"


TITLE = Reason("title", Text("flood", "洪泛"))
ONE, OTHER = (SERVER, 80), (SERVER, 443)


def finding(level: Level, score: float, listener: tuple[bytes, int] = ONE) -> Finding:
    return Finding(level=level, score=score, kind=Kind.RANDOM, listener=listener, title=TITLE)


def test_windows_that_say_the_same_are_one_run_with_the_highest_score() -> None:
    high, low = finding(Level.FLOOD, 0.9), finding(Level.FLOOD, 0.7)
    other = finding(Level.FLOOD, 0.8, OTHER)
    assert runs([
        Window(0, 1, ()), Window(1, 2, ()), Window(2, 3, (low,)), Window(3, 4, (high,)), Window(4, 5, (low,)),
        Window(5, 6, (other, low)), Window(6, 7, ()),
    ]) == [Window(0, 2, ()), Window(2, 5, (high,)), Window(5, 6, (other, low)), Window(6, 7, ())]  # fmt: skip


def test_of_a_listener_the_worst_is_said_first() -> None:
    worst, same, mild = finding(Level.FLOOD, 0.7), finding(Level.SUSPECTED, 0.9), finding(Level.SUSPECTED, 0.5, OTHER)
    assert best([same, mild, worst]) == [worst, mild]


def test_more_listeners_than_one_can_read_are_counted(tmp_path: Path) -> None:
    many = tuple(finding(Level.FLOOD, 0.9, (SERVER, port)) for port in range(1, 9))
    lines = list(explain.report(tmp_path, [Window(0, 10**9, many)], explain.Tally(), "en"))
    assert lines[3:] == ["     0.0 s to      1.0 s  SYN flood", *["    flood (score 0.90)"] * 5, "    and 3 listeners more"]
