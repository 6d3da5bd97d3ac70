"""hping3 floods synfin's HTTP server and nginx from random addresses, in namespaces: who is served, and what is said of it.

Short floods, bounded in number and time; `python -m benchmarks flood` measures long ones.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.flooded import SERVED, Field, Server, field, hping3, seen, visit, watching

pytestmark = [pytest.mark.needs("netns", "hping3", "curl", "nginx", "ss", "netstat"), pytest.mark.xdist_group("netns")]

RATE = 5000  # a second
VISITS = 40
LONGEST = 20.0  # seconds of one flood
STEP = 0.05
WATCH = (sys.executable, "-m", "benchmarks.flooded", "watch")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Field]:
    with field(tmp_path) as found:
        yield found


def wait_for(log: Path, count: str, least: int) -> None:
    """Until the watch has counted so many more than at first."""
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        found = seen(log)
        if found and (found[-1]["totals"][count] or 0) - (found[0]["totals"][count] or 0) >= least:
            return
        time.sleep(STEP)
    raise AssertionError(f"fewer than {least} {count} within {LONGEST} s")


@pytest.mark.parametrize("cookies", ["pressure", "always"])
@pytest.mark.parametrize("name", list(SERVED))
def test_with_cookies_everybody_is_served_during_a_flood_and_memory_stays(made: Field, name: str, cookies: str) -> None:
    log = made.folder / "log"
    with SERVED[name](made, cookies) as server:
        assert visit(made, server, VISITS).share == 1
        before = server.resident()
        with watching(made, server, log, 0.2), hping3(made, server, rate=RATE, seconds=LONGEST):
            wait_for(log, "cookies_sent", 1)
            during = visit(made, server, VISITS)
            wait_for(log, "cookies_accepted", VISITS)
        grown = server.resident() - before
    assert during.share >= 0.99
    assert grown < 10_000_000


@pytest.mark.parametrize("name", list(SERVED))
def test_without_cookies_a_full_queue_turns_clients_away(made: Field, name: str) -> None:
    log = made.folder / "log"
    with SERVED[name](made, "off") as server, watching(made, server, log, 0.2):
        assert visit(made, server, VISITS).share == 1
        with hping3(made, server, rate=RATE, seconds=LONGEST):
            wait_for(log, "syn_queue_drops", 100)
            during = visit(made, server, VISITS, VISITS)
    assert during.share < 0.5


def called(said: list[dict[str, Any]], since: float, until: float = float("inf")) -> list[str]:
    return [each["verdict"] for each in said if since < each["time"] / 1e9 < until]


@pytest.mark.parametrize("name", list(SERVED))
def test_a_flood_is_called_one_while_it_lasts_and_nothing_is_before(made: Field, name: str) -> None:
    log = made.folder / "log"
    with SERVED[name](made, "pressure") as server, watching(made, server, log, 0.25):
        for _ in range(4):
            visit(made, server, 8)
            time.sleep(0.5)
        began = time.time()
        with hping3(made, server, rate=RATE, seconds=LONGEST):
            until = time.monotonic() + LONGEST
            while "flood" not in called(seen(log), began) and time.monotonic() < until:
                time.sleep(STEP)
            once = subprocess.run(
                ["ip", "netns", "exec", server.namespace, *WATCH, *server.watched, "--once", "--interval", "0.5", "--json"],
                check=False, capture_output=True, text=True, env=made.environment, timeout=60,
            )  # fmt: skip
        said = seen(log)
    assert set(called(said, 0, began)) == {"none"}
    assert "flood" in called(said, began)
    (finding,) = next(each["findings"] for each in said if each["verdict"] == "flood")
    assert (finding["kind"], finding["listener"]) == ("random sources", [server.address, 80])
    assert (once.returncode, once.stderr) == (3, "")


def remotes(made: Field, server: Server, *words: str, column: int = 4) -> set[str]:
    """The remote ends in what a tool prints, a row each."""
    printed = made.run(server.namespace, *words)
    return {line.split()[column] for line in printed.splitlines() if "SYN-RECV" in line or "SYN_RECV" in line}


def test_the_kernels_half_open_connections_are_those_of_ss_and_netstat(made: Field) -> None:
    with SERVED["nginx"](made, "pressure") as server:
        with hping3(made, server, rate=RATE, seconds=1):
            time.sleep(0.5)
        for _ in range(20):  # entries end meanwhile: compare where they stayed the same all along
            before = remotes(made, server, "ss", "-tan")
            ours = remotes(made, server, *WATCH, "--kernel", "--half-open", column=2)
            netstat = remotes(made, server, "netstat", "-nap")
            report = seen_once(made, server)
            if before == remotes(made, server, "ss", "-tan"):
                break
        else:
            pytest.fail("the table never stayed the same")
    assert len(before) > 100
    assert before == netstat
    assert ours == before
    assert report["listeners"][0]["half_open"] == len(before) == report["states"]["SYN-RECEIVED"]


def seen_once(made: Field, server: Server) -> dict[str, Any]:
    log = made.folder / "once"
    log.write_text(made.run(server.namespace, *WATCH, *server.watched, "--once", "--interval", "0.1", "--json"))
    (only,) = seen(log)
    return only
