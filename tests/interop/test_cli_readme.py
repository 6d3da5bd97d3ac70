"""The two terminals of the README, as they stand there."""

import re
import sys
from pathlib import Path

import pytest

from tests.interop.programs import programs

ROOT = Path(__file__).resolve().parent.parent.parent
SYNFIN = Path(sys.executable).parent / "synfin"

pytestmark = [pytest.mark.needs("netns", "curl"), pytest.mark.xdist_group("netns")]


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_two_terminals_of_the_readme_work(name: str, tmp_path: Path) -> None:
    first, second = re.findall(r"```console\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)[:2]
    command, *shown = first.splitlines()
    with programs(tmp_path, synfin=(str(SYNFIN),)) as synfin:
        server = synfin.start(*command.removeprefix("$ .venv/bin/synfin ").split())
        assert server.stdout is not None
        printed = [server.stdout.readline().rstrip().replace(str(SYNFIN), ".venv/bin/synfin") for _ in shown]
        assert printed == shown
        assert f"$ {shown[0].removeprefix('In another terminal: ')}\n" == second
        done = synfin.run(*second.removeprefix("$ .venv/bin/synfin ").split())
        assert done.returncode == 0 and "<h1>/</h1>" in done.stdout
