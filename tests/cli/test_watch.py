"""`synfin watch` as a command: its options, its exit status, its manners on a terminal and off it."""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Self

import pytest

from synfin.cli import watch as command
from synfin.cli.main import run
from synfin.watch.findings import Finding, Kind, Level, Reason
from synfin.watch.observed import Observed
from synfin.watch.rates import Changes
from synfin.watch.sample import HalfOpenEntry, ListenerSample, Sample
from synfin.watch.verdict_words import TITLES
from tests.interop.programs import SYNFIN

LOCAL = bytes([10, 0, 0, 1])
FOUND = HalfOpenEntry(LOCAL, 80, bytes([198, 51, 100, 7]), 1234, 2_000_000_000, 2, "nginx/12")
PATIENCE = 30


class Canned:
    """Sources that always say `level` of one listener."""

    level = Level.NONE
    observed = 0

    def __init__(self, which: command.Which) -> None:
        self.which = which
        self.silent: tuple[str, ...] = ()

    def observe(self, *, between: bool = False) -> list[Observed]:
        type(self).observed += not between
        listener = ListenerSample(address=LOCAL, port=80, half_open=1, entries=(FOUND,), owner="nginx/12")
        change = Changes().add(Sample(at=0, source="kernel", listeners=(listener,)))
        title = Reason("title", TITLES[Level.FLOOD, Kind.UNKNOWN], {"listener": "10.0.0.1:80"})
        finding = Finding(level=self.level, score=0.5, kind=Kind.UNKNOWN, listener=listener.name, title=title)
        return [Observed(name="kernel", pid=None, change=change, findings=(finding,) if self.level else ())]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> type[Canned]:
    class Mine(Canned):
        pass

    monkeypatch.setattr(command, "Sources", Mine)
    return Mine


@pytest.mark.parametrize(("level", "status"), [(Level.NONE, 0), (Level.SUSPECTED, 4), (Level.FLOOD, 3)])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_once_takes_two_samples_and_ends_with_the_verdict(
    canned: type[Canned], level: Level, status: int, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    canned.level = level
    assert run(["watch", "--once", "--interval", "0.05", "--lang", "en", *options]) == status
    assert canned.observed == 2
    out, err = capsys.readouterr()
    assert err == ""
    if options:
        assert json.loads(out)["verdict"] == level.word
    else:
        assert out.startswith("synfin watch  ") and "10.0.0.1:80" in out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--interval 0", "Invalid value for '--interval': '0' is not a time from 0.05 to 3,600 s"),
        ("--interval soon", "Invalid value for '--interval': 'soon' is not a time from 0.05 to 3,600 s"),
        ("--interval nan", "Invalid value for '--interval': 'nan' is not a time from 0.05 to 3,600 s"),
        (
            "--prometheus x",
            "Invalid value for '--prometheus': 'x' is not PORT or HOST:PORT: 9100, 0.0.0.0:9100, [::1]:9100",
        ),
        (
            "--prometheus 70000",
            "Invalid value for '--prometheus': '70000' is not PORT or HOST:PORT: 9100, 0.0.0.0:9100, [::1]:9100",
        ),
        ("--half-open --once", "--half-open lists once: it does not go with --once or --prometheus"),
        ("--once --prometheus 1", "--once ends after one report: there is nothing to serve with --prometheus"),
        ("--lang fr", "Invalid value for '--lang': no language 'fr'; there are: en, zh"),
    ],
)
def test_a_wrong_option_gets_one_line_and_status_2(
    arguments: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["watch", *arguments.split()]) == 2
    assert capsys.readouterr() == ("", f"synfin watch: {line}\n")


def test_a_synfin_that_does_not_run_gets_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert run(["watch", "--once", "--name", "nobody"]) == 2
    assert run(["watch", "--once", "--pid", "1"]) == 2
    assert capsys.readouterr() == (
        "",
        "synfin: no synfin called 'nobody' is running; start one with: synfin up\n"
        "synfin: process 1 runs no synfin; synfin ss shows what runs\n",
    )


def test_metrics_without_their_library_get_one_line_and_status_2(
    canned: type[Canned], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "synfin.watch.prometheus", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert run(["watch", "--prometheus", "0"]) == 2
    assert capsys.readouterr() == ("", "synfin: --prometheus needs prometheus-client: pip install 'synfin[metrics]'\n")


def test_metrics_at_a_port_that_is_taken_get_one_line_and_status_2(
    canned: type[Canned], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["watch", "--prometheus", str(port)]) == 2
    line = f"synfin: cannot serve metrics at 127.0.0.1 port {port}: Address already in use\n"
    assert capsys.readouterr() == ("", line)


def test_half_open_entries_are_listed_as_a_table_or_as_json(
    canned: type[Canned], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["watch", "--half-open", "--lang", "en"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "# Kernel",
        "State     Local Address:Port  Peer Address:Port   Age  SYN-ACKs  Program",
        "SYN-RECV  10.0.0.1:80         198.51.100.7:1234  2.0s         2  nginx/12",
    ]
    assert run(["watch", "--half-open", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["remote"] == ["198.51.100.7", 1234]


def test_the_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["watch", "--help"]) == 0
    out = capsys.readouterr().out
    assert "synfin watch --once ||" in out and "synfin watch --prometheus 9100" in out


# As a process of its own


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "XDG_RUNTIME_DIR": str(tmp_path), "TERM": "xterm", **more}


def test_off_a_terminal_it_prints_plain_blocks_until_it_is_interrupted(tmp_path: Path) -> None:
    words = [*SYNFIN, "watch", "--kernel", "--interval", "0.05"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(tmp_path)
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        first, *_ = lines = [process.stdout.readline() for _ in range(30)]
        process.send_signal(signal.SIGINT)
        rest, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, error) == (130, "")
    assert first.startswith("synfin watch  20") and sum(line.startswith("Kernel  ") for line in lines) >= 2
    assert "\x1b" not in "".join(lines) + rest


def on_a_terminal(tmp_path: Path, number: int, **more: str) -> tuple[int, str]:
    """Run it on a pseudo-terminal until it has drawn, and end it by signal `number`; its status and all it wrote."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*SYNFIN, "watch", "--kernel", "--interval", "0.05"], stdin=theirs, stdout=theirs, stderr=theirs,
        env=environment(tmp_path, COLUMNS="100", LINES="30", **more), start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    written = b""
    signalled = False
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and select.select([ours], [], [], PATIENCE)[0]:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
        if written.count(b"Kernel") >= 2 and not signalled:
            process.send_signal(number)
            signalled = True
    os.close(ours)
    return process.wait(PATIENCE), written.decode()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_terminal_is_given_back_and_what_was_seen_last_stays(tmp_path: Path, number: int, status: int) -> None:
    ended, written = on_a_terminal(tmp_path, number)
    assert ended == status
    assert "Traceback" not in written
    screen, _, behind = written.partition("\x1b[?1049l")  # the other screen is left
    assert "\x1b[?1049h" in screen
    assert "\x1b[?25h" in written  # the cursor is seen again
    assert "Kernel" in behind


def test_a_dumb_terminal_gets_no_escape_codes(tmp_path: Path) -> None:
    ended, written = on_a_terminal(tmp_path, signal.SIGINT, TERM="dumb")
    assert ended == 130
    assert "\x1b" not in written and written.count("synfin watch  ") >= 2


def test_metrics_are_served_until_it_is_interrupted(tmp_path: Path) -> None:
    words = [*SYNFIN, "watch", "--kernel", "--interval", "0.05", "--prometheus", "0", "--lang", "en"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(tmp_path)
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        url = line.removeprefix("Metrics at ").partition(";")[0]
        assert url.startswith("http://127.0.0.1:") and url.endswith("/metrics")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        text = ""
        until = time.monotonic() + PATIENCE
        while 'source="kernel"' not in text and time.monotonic() < until:
            with opener.open(url, timeout=10) as answer:
                text = answer.read().decode()
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=PATIENCE)
    assert 'synfin_syn_flood_verdict{source="kernel"}' in text
    assert (process.returncode, out, error) == (130, "", "")


@pytest.mark.parametrize(
    ("height", "sources", "listeners", "reasons"), [(24, 1, 4, 6), (24, 2, 1, 1), (50, 2, 4, 6), (10, 3, 1, 1)]
)
def test_a_screen_has_room_for_so_many_listeners_and_reasons(height: int, sources: int, listeners: int, reasons: int) -> None:
    assert command._room(height, sources) == (listeners, reasons)


class Stopped:
    """A control socket at which no synfin of today answers."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / f"stopped.{os.getpid()}"))
        self.listener.listen(16)

    def refuse(self) -> None:
        """Answer as an older synfin would."""
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            with line:
                known = b'"status"' in line.recv(4096)
                line.sendall(b'{"pid": 1}\n' if known else b'{"error": "no such request"}\n')


def test_a_synfin_that_refuses_is_told_of_and_the_kernel_is_watched_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    stopped = Stopped(tmp_path / "synfin")
    thread = threading.Thread(target=stopped.refuse)
    thread.start()
    try:
        assert run(["watch", "--half-open", "--name", "stopped"]) == 2
        assert run(["watch", "--once", "--interval", "0.05", "--lang", "en"]) in (0, 3, 4)
    finally:
        stopped.listener.shutdown(socket.SHUT_RDWR)
        stopped.listener.close()
        thread.join()
    out, err = capsys.readouterr()
    assert err == f"synfin: synfin stopped/{os.getpid()} does not answer\n"
    assert out.splitlines()[1] == f"synfin stopped/{os.getpid()} does not answer"
    assert out.splitlines()[3].startswith("Kernel  ")
