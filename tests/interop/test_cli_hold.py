"""Each state that has a row, brought about with the kernel and shown by the kernel's own tools."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.programs import PATIENCE, Programs, programs

pytestmark = [pytest.mark.needs("netns", "ss", "netstat"), pytest.mark.xdist_group("netns")]

# state -> how ss and netstat write it, Recv-Q and Send-Q (a FIN counts as one: received unread, or sent unacknowledged)
ROWS = {
    "LISTEN": ("LISTEN", "LISTEN", None),
    "SYN-SENT": ("SYN-SENT", "SYN_SENT", ("0", "1")),
    "SYN-RECEIVED": ("SYN-RECV", "SYN_RECV", ("0", "0")),
    "ESTABLISHED": ("ESTAB", "ESTABLISHED", ("0", "0")),
    "FIN-WAIT-1": ("FIN-WAIT-1", "FIN_WAIT1", ("0", "1")),
    "FIN-WAIT-2": ("FIN-WAIT-2", "FIN_WAIT2", ("0", "0")),
    "CLOSE-WAIT": ("CLOSE-WAIT", "CLOSE_WAIT", ("1", "0")),
    "CLOSING": ("CLOSING", "CLOSING", ("1", "1")),
    "LAST-ACK": ("LAST-ACK", "LAST_ACK", ("1", "1")),
    "TIME-WAIT": ("TIME-WAIT", "TIME_WAIT", ("0", "0")),
}


@pytest.fixture
def synfin(tmp_path: Path) -> Iterator[Programs]:
    with programs(tmp_path) as made:
        yield made


@pytest.mark.parametrize("state", ROWS)
def test_the_kernel_itself_shows_the_state_and_stays_in_it(synfin: Programs, state: str) -> None:
    ss, netstat, queues = ROWS[state]
    holding = synfin.start("hold", state, "--seconds", str(PATIENCE))
    assert holding.stdout is not None and holding.stderr is not None
    lines = [holding.stdout.readline() for _ in range(5)]
    assert lines[0] == f"The kernel's end is in {state}, for 30 s; in another terminal: synfin exec -- ss -tan\n", (
        holding.stderr.read()
    )
    assert (lines[1], lines[3]) == ("$ ss -tan\n", "$ netstat -nat\n")
    row = lines[2].split()
    assert row[0] == ss and row[3].startswith("10.77.0.1:")
    if queues is not None:
        assert (row[1], row[2]) == queues and row[4].startswith("10.77.0.2:")
    shown = lines[4].split()
    assert (shown[0], shown[5], shown[3:5]) == ("tcp", netstat, [row[3], row[4]])
    time.sleep(1.2)  # longer than the retransmissions that would have ended it
    later = [line.split() for line in synfin.run("exec", "--", "ss", "-Htan").stdout.splitlines()]
    assert [each[0] for each in later if each[3] == row[3] and each[4] == row[4]] == [ss]


def test_closed_has_no_row_and_a_wrong_name_gets_the_nearest(synfin: Programs) -> None:
    closed = synfin.run("hold", "CLOSED")
    assert closed.stderr == "synfin: CLOSED is the absence of a connection: no tool has a row for it\n"
    wrong = synfin.run("hold", "FIN_WAIT_9")
    assert (closed.returncode, wrong.returncode) == (2, 2)
    assert wrong.stderr.startswith("synfin: no state 'FIN_WAIT_9'; nearest: FIN-WAIT-")
