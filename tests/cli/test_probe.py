"""`synfin probe`, two processes over loopback: what each says, and how each ends."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from synfin.channels.liveness import EVERYTHING, HEARS, NOTHING, Learned, Outcome
from synfin.cli import probe

PATIENCE = 20  # seconds: no process is waited for so long


def run(*arguments: str, lang: str = "en") -> tuple[int, str, str]:
    script = "import sys; from synfin.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "probe", *arguments, *(() if lang == "en" else ("--lang", lang))],
        check=False, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@contextmanager
def listener(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that listens, and its port."""
    script = "import sys; from synfin.cli.main import main; main()"
    started = subprocess.Popen(
        [sys.executable, "-c", script, "probe", "listen", "--address", "127.0.0.1", "--port", "0", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert started.stderr is not None
        said = started.stderr.readline()
        found = re.search(r"port (\d+)|端口 (\d+)", said)
        assert found is not None, said
        yield started, int(found[1] or found[2])
    finally:
        started.kill()
        started.communicate(timeout=PATIENCE)


def sentences(output: str) -> list[str]:
    """Without times and addresses."""
    return [re.sub(r"^ +\d+\.\d{3} s  127\.0\.0\.1:\d+  ", "", line) for line in output.splitlines()]


@pytest.mark.parametrize("carrier", ["--udp", "--tcp"])
def test_each_side_tells_what_it_knows_after_each_message(carrier: str) -> None:
    with listener(carrier, "--count", "1") as (listening, port):
        status, output, errors = run("127.0.0.1", str(port), carrier)
        heard, _ = listening.communicate(timeout=PATIENCE)
        assert (status, errors, listening.returncode) == (0, "", 0)
    assert sentences(output) == [
        "we ask: 1+1?  Nothing is known yet.",
        'the answer has come, we say "4".  We hear them, and they hear us.',
    ]
    assert sentences(heard) == [
        'they ask, we answer "2, and 2+2?"  We hear them; whether they hear us is not known yet.',
        "our question has been answered.  We hear them, and they hear us.",
    ]


def test_in_chinese_too_and_again_and_again() -> None:
    with listener("--lang", "zh", "--count", "2") as (listening, port):
        status, output, _ = run("127.0.0.1", str(port), "--every", "0.05", "--count", "2", lang="zh")
        heard, _ = listening.communicate(timeout=PATIENCE)
    assert status == 0
    assert sentences(output) == [probe.ASKED.zh, probe.ANSWERED.zh] * 2
    assert sentences(heard) == [probe.HEARS.zh, probe.CONFIRMED.zh] * 2


def test_as_json_a_step_a_line() -> None:
    with listener("--json", "--count", "1") as (listening, port):
        _, output, _ = run("127.0.0.1", str(port), "--json")
        heard, _ = listening.communicate(timeout=PATIENCE)
    keys = ("step", "hears", "heard", "rests")
    assert [[json.loads(line)[key] for key in keys] for line in output.splitlines()] == [
        ["asked", False, False, 0.0], ["both directions", True, True, 0.0],
    ]  # fmt: skip
    assert [[json.loads(line)[key] for key in keys] for line in heard.splitlines()] == [
        ["heard the question", True, False, 0.0], ["both directions", True, True, 0.0],
    ]  # fmt: skip


def test_a_silent_address_is_a_path_that_is_down_and_the_status_1() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        status, output, _ = run("127.0.0.1", str(silent.getsockname()[1]), "--patience", "0.1", "--rest", "7")
    assert (status, sentences(output)) == (1, [probe.ASKED.en, "no answer within 0.1 s: the path is taken to be down."])


def test_only_a_check_that_another_follows_is_followed_by_a_rest() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = str(silent.getsockname()[1])
        _, output, _ = run("127.0.0.1", port, "--patience", "0.1", "--rest", "0.2", "--every", "0.1", "--count", "2")
    first, second = sentences(output)[1::2]
    down = "no answer within 0.1 s: the path is taken to be down"
    assert re.fullmatch(re.escape(down) + r"; resting until \d\d:\d\d:\d\d \(0\.2 s\)\.", first)
    assert second == f"{down}."


def test_an_ipv6_address_may_be_written_as_it_is_shown() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as silent:
        silent.bind(("::1", 0))
        port = silent.getsockname()[1]
        status, output, errors = run("[::1]", str(port), "--patience", "0.1")
    assert (status, errors) == (1, "")
    assert f" s  [::1]:{port}  {probe.ASKED.en}\n" in output


@pytest.mark.parametrize("carrier", ["--udp", "--tcp"])
def test_what_is_no_part_of_a_check_is_told_at_the_end(carrier: str) -> None:
    with listener(carrier) as (listening, port):
        kind = socket.SOCK_DGRAM if carrier == "--udp" else socket.SOCK_STREAM
        frame = b"" if carrier == "--udp" else b"\5"
        with socket.socket(socket.AF_INET, kind) as stranger:
            stranger.connect(("127.0.0.1", port))
            stranger.send(frame + b"hello")
        assert run("127.0.0.1", str(port), carrier)[0] == 0
        assert listening.stdout is not None
        assert [listening.stdout.readline() != "" for _ in range(2)] == [True, True]
        listening.send_signal(signal.SIGINT)
        told = listening.communicate(timeout=PATIENCE)[1]
    assert told == "passed over as no part of a check: unreadable 1, with a wrong number 0, too late 0.\n"


def test_an_answerer_whose_last_message_never_comes_says_that_it_is_not_confirmed() -> None:
    with listener("--patience", "0.1", "--count", "1") as (listening, port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.sendto(b"1+1?\1" + bytes(8), ("127.0.0.1", port))
            heard, _ = listening.communicate(timeout=PATIENCE)
        assert listening.returncode == 1
    assert sentences(heard)[1].startswith("nothing more within 0.1 s: we hear them; not confirmed that they hear us, which")


def test_where_nobody_listens_on_tcp_the_check_cannot_begin() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        status, output, errors = run("127.0.0.1", str(taken.getsockname()[1]), "--tcp")
    assert (status, errors) == (1, "")
    assert sentences(output) == ["no TCP connection: Connection refused.  The check could not begin."]


@pytest.mark.parametrize("carrier", ["--udp", "--tcp"])
def test_ctrl_c_ends_either_side_cleanly(carrier: str) -> None:
    script = "import sys; from synfin.cli.main import main; main()"
    with listener(carrier) as (listening, port):
        asking = subprocess.Popen(
            [sys.executable, "-c", script, "probe", "127.0.0.1", str(port), carrier, "--every", "60"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert asking.stdout is not None
        asking.stdout.readline()
        asking.stdout.readline()
        assert listening.stdout is not None
        listening.stdout.readline()
        listening.stdout.readline()
        for process in (asking, listening):
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=PATIENCE)[1] == ""
            assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["localhost"], "which PORT of HOST?"), (["listen", "7"], "probe listen answers others"),
        (["listen", "--every", "1"], "probe listen answers others"), (["localhost", "7", "--port", "7"], "say where to listen"),
        (["localhost", "7", "--patience", "0"], "patience"),
        (["localhost", "7", "--patience", "nan"], "'nan' is not a number of seconds, more than 0 and at most 1,000,000"),
        (["localhost", "7", "--every", "nan"], "'nan' is not a number of seconds, more than 0 and at most 1,000,000"),
        (["localhost", "7", "--every", "soon"], "'soon' is not a number of seconds, more than 0 and at most 1,000,000"),
        (["localhost", "7", "--rest", "inf"], "'inf' is not a number of seconds, from 0 to 1,000,000"),
        (["listen", "--rest", "-1"], "'-1' is not a number of seconds, from 0 to 1,000,000"),
        (["localhost", "70000"], "70000"),
        (["localhost", "7", "--lang", "fr"], "no language 'fr'"),
        (["no.such.host.invalid", "7"], "synfin: no.such.host.invalid:7: "),
        (["no.such.host.invalid", "7", "--tcp"], "synfin: no.such.host.invalid:7: "),
        (["..", "7"], "synfin: '..' is no name of a host"),
        (["255.255.255.255", "7"], "synfin: 255.255.255.255:7: Permission denied"),
        (["listen", "--address", "9.9.9.9"], "cannot listen on UDP 9.9.9.9 port 7007: Cannot assign requested address"),
        (["listen", "--address", "9.9.9.9", "--tcp"], "cannot listen on TCP 9.9.9.9 port 7007: "),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_one_line_with_status_2(arguments: list[str], told: str) -> None:
    status, output, errors = run(*arguments)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert told in errors


@pytest.mark.parametrize("carrier", ["--udp", "--tcp"])
def test_a_port_that_is_taken_is_named(carrier: str) -> None:
    with listener(carrier) as (_, port):
        status, output, errors = run("listen", "--address", "127.0.0.1", "--port", str(port), carrier)
    told = f"synfin: cannot listen on {carrier[2:].upper()} 127.0.0.1 port {port}: Address already in use\n"
    assert (status, output, errors) == (2, "", told)


@pytest.mark.parametrize(
    ("learned", "text"),
    [
        (Learned(0, HEARS, None, False), probe.HEARS), (Learned(0, EVERYTHING, Outcome.BOTH, True), probe.ANSWERED),
        (Learned(0, EVERYTHING, Outcome.BOTH, False), probe.CONFIRMED), (Learned(0, NOTHING, Outcome.DOWN, True), probe.DOWN),
        (Learned(0, HEARS, Outcome.UNCONFIRMED, False), probe.UNCONFIRMED),
    ],
)  # fmt: skip
def test_every_step_has_its_sentence_in_both_languages(learned: Learned, text: tuple[str, str]) -> None:
    assert probe.text_of(learned) is text
    assert all(text) and text[0] != text[1]
