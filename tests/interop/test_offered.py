"""A program started with synfin.run can be looked into, unless it says no."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import synfin
from tests.interop.namespace import Namespace, namespace
from tests.interop.programs import SYNFIN

pytestmark = [pytest.mark.needs("netns"), pytest.mark.xdist_group("netns")]


@pytest.fixture(scope="module")
def wire() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


async def listening() -> tuple[int, str, str]:
    """What `synfin ss --json` says while this program listens."""
    await asyncio.start_server(lambda reader, writer: None, "10.77.0.2", 8080)
    process = await asyncio.create_subprocess_exec(
        *SYNFIN, "ss", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def test_ss_shows_the_sockets_of_a_program_started_with_run(
    wire: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    status, out, err = synfin.run(listening(), device=wire.device, offer="mine", linger=0)
    assert (status, err) == (0, "")
    row = json.loads(out)
    assert (row["name"], row["pid"], row["state"], row["local"]) == ("mine", os.getpid(), "LISTEN", ["10.77.0.2", 8080])
    assert list((tmp_path / "synfin").iterdir()) == []


def test_a_program_that_says_no_is_not_found(
    wire: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    status, out, err = synfin.run(listening(), device=wire.device, offer=None, linger=0)
    assert (status, out, err) == (2, "", "synfin: no synfin is running; start one with: synfin up\n")


def test_a_place_that_cannot_be_had_is_told_and_the_program_runs(
    wire: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))
    assert synfin.run(asyncio.sleep(0, "done"), device=wire.device, linger=0) == "done"
    assert capsys.readouterr().err.startswith("synfin: no control socket: cannot make ")
    assert sys.exc_info() == (None, None, None)
