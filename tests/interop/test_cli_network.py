"""The commands on a real network, as a person runs them: namespace, TUN and control socket come and go with them."""

import hashlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synfin.control.client import running
from tests.interop.programs import PATIENCE, Programs, ended, programs

pytestmark = [pytest.mark.needs("netns", "curl", "ss", "ping"), pytest.mark.xdist_group("netns")]

DATA = random.Random(4).randbytes(1_000_000)


@pytest.fixture
def synfin(tmp_path: Path) -> Iterator[Programs]:
    with programs(tmp_path) as made:
        yield made


@pytest.fixture
def www(tmp_path: Path) -> Path:
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "hello.txt").write_text("hello\n")
    (folder / "large").write_bytes(DATA)
    (folder / "sub").mkdir()
    (tmp_path / "secret").write_text("not served\n")
    return folder


def statuses(synfin: Programs) -> list[dict[str, Any]]:
    """What those that run say of themselves."""
    return [answer for _, answer in running({"XDG_RUNTIME_DIR": str(synfin.folder.parent)})]


def holder(synfin: Programs) -> int:
    """The process that holds the namespace, as the control socket tells it."""
    (status,) = statuses(synfin)
    return int(status["holder"])


def curl(synfin: Programs, *words: str) -> "subprocess.CompletedProcess[str]":
    return synfin.run("exec", "--", "curl", "-sS", "--globoff", "--max-time", "20", *words)


@pytest.mark.parametrize("options", [[], ["--no-offload"]], ids=["offload", "no-offload"])
@pytest.mark.parametrize("address", ["10.77.0.2", "[fd77::2]"])
def test_what_serve_prints_first_can_be_pasted_and_curl_gets_the_file(
    synfin: Programs, www: Path, tmp_path: Path, address: str, options: list[str]
) -> None:
    server = synfin.start("serve", "http", str(www), *options)
    assert server.stdout is not None
    assert server.stdout.readline() == "In another terminal: synfin exec -- curl http://10.77.0.2:8000/\n"
    assert server.stdout.readline() == "Serving http at 10.77.0.2 port 8000; Ctrl-C ends it.\n"
    page = curl(synfin, f"http://{address}:8000/")
    assert '<a href="hello.txt">hello.txt</a>' in page.stdout and '<a href="sub/">sub/</a>' in page.stdout
    fetched = tmp_path / "fetched"
    done = curl(synfin, "--output", str(fetched), f"http://{address}:8000/large")
    assert (done.returncode, done.stderr) == (0, "")
    assert hashlib.sha256(fetched.read_bytes()).digest() == hashlib.sha256(DATA).digest()


def test_http_serves_what_is_in_the_folder_and_nothing_else(synfin: Programs, www: Path) -> None:
    (www / "out").symlink_to(www.parent / "secret")
    synfin.serve("serve", "http", str(www))
    statuses = {}
    for path in ("/hello.txt", "/sub", "/no", "/../secret", "/%2e%2e/secret", "/out", "/%00"):
        done = curl(synfin, "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", f"http://10.77.0.2:8000{path}")
        statuses[path] = done.stdout
    assert statuses == {
        "/hello.txt": "200", "/sub": "301", "/no": "404", "/../secret": "404", "/%2e%2e/secret": "404", "/out": "404",
        "/%00": "404",
    }  # fmt: skip
    assert "405" in curl(synfin, "-X", "DELETE", "-w", "%{http_code}", "http://10.77.0.2:8000/hello.txt").stdout


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_nothing_is_left_behind_however_it_ends(
    synfin: Programs, www: Path, number: signal.Signals, status: int
) -> None:
    server = synfin.serve("serve", "http", str(www))
    namespace = holder(synfin)
    server.send_signal(number)
    assert server.wait(PATIENCE) == status
    until = time.monotonic() + 5
    while not ended(namespace) and time.monotonic() < until:
        time.sleep(0.02)
    assert ended(namespace)
    stale = [] if number != signal.SIGKILL else [f"synfin.{server.pid}"]
    assert [path.name for path in synfin.folder.iterdir()] == stale
    assert synfin.run("ss").stderr == "synfin: no synfin is running; start one with: synfin up\n"
    assert list(synfin.folder.iterdir()) == []  # a stale socket is cleared by whoever finds it


def test_without_a_running_synfin_there_is_one_clear_line_and_status_2(synfin: Programs) -> None:
    line = "synfin: no synfin is running; start one with: synfin up\n"
    for words in (["ss"], ["exec", "--", "true"]):
        done = synfin.run(*words)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", line)
    done = synfin.run("ss", "--name", "other")
    assert (done.returncode, done.stderr) == (2, "synfin: no synfin called 'other' is running; start one with: synfin up\n")


def test_the_folder_of_the_control_sockets_is_the_owner_s_alone(synfin: Programs, www: Path) -> None:
    synfin.serve("serve", "http", str(www))
    (place,) = synfin.folder.iterdir()
    assert (synfin.folder.stat().st_mode & 0o777, place.stat().st_mode & 0o777) == (0o700, 0o600)


def test_exec_has_the_command_s_status_and_no_proxy(synfin: Programs) -> None:
    synfin.serve("up")
    synfin.environment["http_proxy"] = "http://192.0.2.1:3128"
    assert synfin.run("exec", "--", "sh", "-c", "exit 7").returncode == 7
    assert synfin.run("exec", "--", "sh", "-c", 'echo "<$http_proxy>"').stdout == "<>\n"
    missing = synfin.run("exec", "--", "no-such-program")
    assert (missing.returncode, missing.stderr) == (127, "synfin exec: no-such-program: command not found\n")


def test_up_lends_its_addresses_and_takes_them_back(synfin: Programs) -> None:
    synfin.serve("up")
    ping = ("exec", "--", "ping", "-c1", "-W2", "10.77.0.2")
    assert synfin.run(*ping).returncode == 0
    server = synfin.serve("serve", "echo", "--port", "7")
    assert synfin.run("connect", "10.77.0.2", "7", given="to and fro\n").stdout == "to and fro\n"
    server.terminate()
    server.wait(PATIENCE)
    assert synfin.run(*ping).returncode == 0
    done = synfin.run("connect", "10.77.0.1", "7", given="")
    assert (done.returncode, done.stderr) == (2, "synfin: 10.77.0.1 port 7: Connection refused\n")


def test_connect_talks_with_a_server_of_the_kernel_and_closes_by_halves(synfin: Programs) -> None:
    synfin.serve("up")
    script = (
        "import socket; s = socket.create_server(('10.77.0.1', 9000)); print('ready', flush=True); c = s.accept()[0]\n"
        "got = b''\nwhile data := c.recv(65536): got += data\nc.sendall(got[::-1])"
    )
    server = synfin.start("exec", "--", "/usr/bin/env", "python3", "-c", script)
    assert server.stdout is not None and server.stdout.readline() == "ready\n"
    done = synfin.run("connect", "kernel", "9000", given="abc" * 100_000)
    assert (done.returncode, done.stdout, done.stderr) == (0, "cba" * 100_000, "")


def test_connect_to_a_name_in_a_network_of_its_own_waits_for_somebody_to_listen(synfin: Programs) -> None:
    client = synfin.start("connect", "kernel", "9000", stdin=subprocess.PIPE)
    assert client.stderr is not None
    assert client.stderr.readline() == "In another terminal: synfin exec -- python3 -m http.server 9000\n"
    assert client.stderr.readline() == "Nothing listens at kernel port 9000 yet; waiting for it.\n"
    script = "import socket; c = socket.create_server(('10.77.0.1', 9000)).accept()[0]; c.sendall(c.recv(9)[::-1])"
    synfin.start("exec", "--", "/usr/bin/env", "python3", "-c", script)
    out, err = client.communicate("abc", timeout=PATIENCE)
    assert (client.returncode, out, err) == (0, "cba", "")


def test_connect_to_a_name_that_there_is_not_says_so(synfin: Programs) -> None:
    done = synfin.run("connect", "nowhere", "9000", given="")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "synfin: nowhere port 9000: Name or service not known\n"


def test_discard_takes_everything_and_chargen_gives_without_end(synfin: Programs) -> None:
    synfin.serve("up")
    synfin.serve("serve", "discard", "--port", "9")
    assert synfin.run("connect", "10.77.0.2", "9", given="x" * 300_000).stdout == ""
    synfin.serve("serve", "chargen", "--port", "19")  # the first TUN is lent: this one has the second
    lines = synfin.run("exec", "--", "sh", "-c", "curl -s telnet://10.77.1.2:19 </dev/zero | head -2").stdout
    assert lines.splitlines() == [
        " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg",
        "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefgh",
    ]


def test_ping_counts_what_the_kernel_answers(synfin: Programs) -> None:
    done = synfin.run("ping", "--count", "1")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[0] == "PING 10.77.0.1 (10.77.0.1) 56 bytes of data."
    assert lines[1].startswith("64 bytes from 10.77.0.1: icmp_seq=1 ttl=64 time=")
    assert lines[4] == "1 packets transmitted, 1 received, 0% packet loss"
    assert synfin.run("ping", "--count", "1", "fd77::1").returncode == 0
    assert synfin.run("ping", "--count", "1", "10.77.0.99").returncode == 1


def test_ping_that_is_interrupted_says_how_many_were_answered(synfin: Programs) -> None:
    pinging = synfin.serve("ping", "--count", "100")
    pinging.send_signal(signal.SIGINT)
    out, err = pinging.communicate(timeout=PATIENCE)
    assert (pinging.returncode, err) == (130, "")
    assert out.splitlines()[1:3] == ["--- 10.77.0.1 ping statistics ---", "1 packets transmitted, 1 received, 0% packet loss"]


def test_ss_shows_what_the_kernel_shows_from_the_other_side(synfin: Programs) -> None:
    synfin.serve("serve", "echo", "--port", "7")
    peer = synfin.start("exec", "--", "curl", "-sN", "telnet://10.77.0.2:7", stdin=subprocess.PIPE)
    assert peer.stdin is not None and peer.stdout is not None
    peer.stdin.write("there\n")
    peer.stdin.flush()
    assert peer.stdout.readline() == "there\n"
    rows = [json.loads(line) for line in synfin.run("ss", "--json").stdout.splitlines()]
    (ours,) = [row for row in rows if row["state"] == "ESTABLISHED"]
    theirs = synfin.run("exec", "--", "ss", "-Htn", "state", "established").stdout.split()
    assert theirs[2:4] == [f"{ours['remote'][0]}:{ours['remote'][1]}", "10.77.0.2:7"]
    assert sorted(row["local"] for row in rows if row["state"] == "LISTEN") == [["10.77.0.2", 7], ["fd77::2", 7]]
    shown = synfin.run("ss").stdout.splitlines()
    assert shown[0].startswith("# synfin, process ") and shown[0].endswith(": serve echo, 10.77.0.2, fd77::2")
    assert shown[1].split() == ["State", "Recv-Q", "Send-Q", "Local", "Address:Port", "Peer", "Address:Port"]
    assert shown[4].split()[:4] == ["ESTABLISHED", "0", "0", "10.77.0.2:7"]
    assert shown[5].startswith("\t ts wscale:") and " rtt:" in shown[5] and " cwnd:" in shown[5]


def test_a_second_name_is_a_second_network(synfin: Programs, www: Path) -> None:
    synfin.serve("serve", "http", str(www))
    other = synfin.start("serve", "http", str(www), "--name", "other")
    assert other.stdout is not None
    assert other.stdout.readline() == "In another terminal: synfin exec --name other -- curl http://10.77.0.2:8000/\n"
    other.stdout.readline()
    ambiguous = synfin.run("exec", "--", "true")
    assert ambiguous.returncode == 2 and ambiguous.stderr.startswith("synfin: several synfins run, choose one of them")
    got = synfin.run("exec", "--name", "other", "--", "curl", "-s", "http://10.77.0.2:8000/hello.txt")
    assert got.stdout == "hello\n"
    assert synfin.run("exec", "--pid", str(other.pid), "--", "true").returncode == 0


@pytest.mark.parametrize("again", range(4))
def test_of_two_that_are_started_at_once_the_second_joins_the_first(synfin: Programs, again: int) -> None:
    both = [synfin.start("serve", "echo", "--port", port) for port in ("7", "8")]
    for each in both:
        assert each.stdout is not None and each.stdout.readline() and each.stdout.readline()
    assert len({answer["holder"] for answer in statuses(synfin)}) == 1
    both[again % 2].terminate()
    both[again % 2].wait(PATIENCE)
    assert synfin.run("exec", "--", "true").returncode == 0  # the namespace lives on with whoever is left


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("options", [[], ["--no-offload"]], ids=["offload", "no-offload"])
def test_pcap_has_every_packet_with_its_checksum_and_ladder_draws_them(
    synfin: Programs, www: Path, tmp_path: Path, options: list[str]
) -> None:
    capture = tmp_path / "c.pcapng"
    server = synfin.serve("serve", "http", str(www), "--pcap", str(capture), "--ladder", *options)
    curl(synfin, "-o", "/dev/null", "http://10.77.0.2:8000/hello.txt")
    curl(synfin, "-o", "/dev/null", "http://10.77.0.2:8000/large")
    server.terminate()
    out, _ = server.communicate(timeout=PATIENCE)
    assert "what passed the TUN, synfin and kernel" in out and "SYN-SENT |-- SYN seq=0 " in out
    assert "TIME-WAIT" in out  # the kernel's end, as its segments show it
    command = ["tshark", "-r", str(capture), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-Y", "tcp"]
    fields = ["-T", "fields", "-e", "tcp.checksum.status", "-e", "ip.checksum.status"]
    told = subprocess.run([*command, *fields], check=True, capture_output=True, text=True, env=os.environ).stdout.split("\n")
    assert set(told) == {"1\t1", ""} and len(told) > 20


def test_a_wrong_choice_is_told_in_one_line(synfin: Programs, tmp_path: Path) -> None:
    for words, line in (
        (["serve", "http", "/no/such"], "synfin: serve http: there is no directory /no/such\n"),
        (["serve", "echo", "here"], "synfin: serve echo takes no directory\n"),
        (["up", "--name", "a/b"], "synfin: a name is 1 to 40 letters, digits, - and _: 'a/b'\n"),
    ):
        done = synfin.run(*words)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", line)
