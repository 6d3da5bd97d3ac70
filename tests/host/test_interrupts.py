"""Ctrl-C at a terminal reaches every process of its foreground group: the programs that a command starts are not in it."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from synfin.host.namespace import Namespace
from tests.interop.programs import PATIENCE, Programs, programs

pytestmark = [pytest.mark.needs("netns", "ss"), pytest.mark.xdist_group("netns")]


@pytest.fixture
def synfin(tmp_path: Path) -> Iterator[Programs]:
    with programs(tmp_path) as made:
        yield made


@pytest.mark.parametrize("state", ["fin-wait-2", "last-ack"])
def test_ctrl_c_ends_hold_without_a_word_whatever_the_kernel_s_end_does(synfin: Programs, state: str) -> None:
    holding = subprocess.Popen(
        [*synfin.command, "hold", state, "--seconds", str(PATIENCE)], text=True, env=synfin.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    synfin.started.append(holding)
    assert holding.stdout is not None
    assert holding.stdout.readline().startswith("The kernel's end is in ")
    children = Path(f"/proc/{holding.pid}/task/{holding.pid}/children").read_text().split()
    assert len(children) == 2 and holding.pid not in map(os.getsid, map(int, children))
    os.killpg(holding.pid, signal.SIGINT)
    _, errors = holding.communicate(timeout=PATIENCE)
    assert (holding.returncode, errors) == (130, "")


def test_who_holds_a_namespace_is_out_of_the_terminal_s_reach_from_its_first_moment() -> None:
    with Namespace.make() as namespace:
        assert os.getsid(namespace.holder) == namespace.holder != os.getsid(0)
