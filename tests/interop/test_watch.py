"""`synfin watch` and `synfin ss state syn-recv` beside the tools of the machine, and as an ordinary user."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.flooded import NAME, OURS, SERVED, Field, Server, field

from synfin.watch.owners import HIDDEN
from tests.interop.test_cli_user import as_user, place  # noqa: F401  place is a fixture

pytestmark = [
    pytest.mark.needs("netns", "hping3", "nginx", "ss", "netstat", "setpriv"), pytest.mark.xdist_group("netns"),
]  # fmt: skip

SYNS = 40
SYNFIN = (sys.executable, "-P", "-c", "import sys; from synfin.cli.main import run; sys.exit(run(sys.argv[1:]))")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Field]:
    with field(tmp_path) as found:
        yield found


def knock(made: Field, server: Server) -> None:
    """So many SYNs, each from another port of a host that there is not: fewer than any queue holds."""
    words = ("hping3", "-q", "-n", "-S", "-a", "198.51.100.7", "-p", "80", "-i", "u1000", "-c", str(SYNS), server.address)
    made.run(made.clients, "timeout", "10", *words)


def entries(printed: str) -> list[list[str]]:
    return [line.split() for line in printed.splitlines() if "SYN-RECV" in line or "SYN_RECV" in line]


@pytest.mark.parametrize("command", [("ss", "state", "syn-recv"), ("watch", "--half-open", "--kernel")])
def test_every_half_open_connection_of_the_kernel_is_listed_as_ss_and_netstat_have_it(
    made: Field, command: tuple[str, ...]
) -> None:
    with SERVED["nginx"](made, "pressure") as server:
        knock(made, server)
        ours = entries(made.run(server.namespace, *SYNFIN, *command))
        theirs = made.run(server.namespace, "ss", "-Htan", "state", "syn-recv").splitlines()
        netstat = entries(made.run(server.namespace, "netstat", "-nap"))
        owner = f"nginx/{server.process.pid}"
    assert len(ours) == SYNS
    ends = sorted((row[1], row[2]) for row in ours)
    assert ends == sorted((row.split()[2], row.split()[3]) for row in theirs)
    assert ends == sorted((row[3], row[4]) for row in netstat)
    assert {row[-1] for row in ours} == {owner}
    assert all(0 <= float(row[3].removesuffix("s")) < 60 and int(row[4]) >= 1 for row in ours)


def test_every_half_open_connection_of_a_running_synfin_is_listed(made: Field) -> None:
    with SERVED["synfin"](made, "pressure") as server:
        knock(made, server)
        table = made.run(made.clients, *SYNFIN, "ss", "state", "SYN_RECV", "--name", NAME)
        lines = made.run(made.clients, *SYNFIN, "ss", "state", "syn-received", "--name", NAME, "--json").splitlines()
        every = made.run(made.clients, *SYNFIN, "ss").splitlines()
        report = json.loads(made.run(made.clients, *SYNFIN, "watch", "--name", NAME, "--once", "--interval", "0.1", "--json"))
    rows = [json.loads(line) for line in lines]
    assert table.startswith(f"# synfin {NAME}, process {server.process.pid}\n")
    assert len(entries(table)) == len(rows) == SYNS
    assert sorted(row[2] for row in entries(table)) == sorted(f"{row['remote'][0]}:{row['remote'][1]}" for row in rows)
    assert {(row["owner"], *row["local"]) for row in rows} == {(f"{NAME}/{server.process.pid}", OURS, 80)}
    assert all(row["age"] >= 0 and row["syn_acks"] >= 1 for row in rows)
    assert sum("SYN-RECEIVED" in line for line in every) == SYNS
    (listener,) = report["listeners"]
    assert (listener["local"], listener["half_open"], listener["counts"]["syns"]) == ([OURS, 80], SYNS, SYNS)
    assert report["states"] == {"LISTEN": 1, "SYN-RECEIVED": SYNS}


def test_the_kernel_and_every_running_synfin_are_watched_by_default(made: Field) -> None:
    words = ("watch", "--once", "--interval", "0.1", "--json")
    with SERVED["synfin"](made, "pressure") as server:
        both, kernel, ours = (
            [json.loads(line) for line in made.run(made.clients, *SYNFIN, *words, *more).splitlines()]
            for more in ((), ("--kernel",), ("--pid", str(server.process.pid)))
        )
    assert [(each["source"], each["name"], each["pid"]) for each in both] == [
        ("kernel", None, None), ("synfin", NAME, server.process.pid),
    ]  # fmt: skip
    assert [each["source"] for each in kernel] == ["kernel"]
    assert [each["name"] for each in ours] == [NAME]


def test_a_synfin_that_ends_while_it_is_watched_is_told_of_in_one_line(made: Field) -> None:
    with SERVED["synfin"](made, "pressure"):
        watcher = made.start(made.clients, [*SYNFIN, "watch", "--name", NAME, "--interval", "0.1"], stdout=-1, stderr=-1)
        assert watcher.stdout is not None
        assert watcher.stdout.readline().startswith("synfin watch  ")
    _, error = watcher.communicate(timeout=30)
    assert (watcher.returncode, error) == (2, "synfin: what was watched has ended\n")


def test_an_ordinary_user_sees_all_but_the_processes_of_others(made: Field, place: Path) -> None:  # noqa: F811
    for name in ("rich", "pygments", "markdown_it", "mdurl"):
        found = importlib.util.find_spec(name)
        if found is not None and found.origin is not None:
            source = Path(found.origin).parent
            shutil.copytree(source, place / "lib" / name, ignore=shutil.ignore_patterns("__pycache__"))
    user = as_user(place, 0o666)
    made.environment.update(user.environment)
    synfin = [*user.command, "watch", "--kernel"]
    with SERVED["nginx"](made, "pressure") as server:
        knock(made, server)
        report = made.run(server.namespace, *synfin, "--once", "--interval", "0.1")
        listed = made.run(server.namespace, *synfin, "--half-open")
        root = json.loads(made.run(server.namespace, *SYNFIN, "watch", "--kernel", "--once", "--interval", "0.1", "--json"))
    assert report.count(HIDDEN.en) == 1 and listed.count(HIDDEN.en) == 1
    (row,) = (line.split() for line in report.splitlines() if line.strip().startswith(f"{server.address}:80"))
    assert row[1].partition("/")[0] == str(SYNS) == str(root["listeners"][0]["half_open"])
    assert row[-1] == "-"
    assert root["listeners"][0]["owner"] == f"nginx/{server.process.pid}"
    assert f"SYN-RECEIVED {SYNS}" in report and "cookies sent" in report
    assert len(entries(listed)) == SYNS and {row[-1] for row in entries(listed)} == {"-"}
