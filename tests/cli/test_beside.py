"""A second synfin of one name has addresses of its own: whoever looks for those of the first is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.programs import PATIENCE, Programs, programs

pytestmark = [pytest.mark.needs("netns"), pytest.mark.xdist_group("netns")]

TOLD = {
    "en": "A synfin named synfin runs, and this one joins its network: 10.77.1.2 is ours, 10.77.1.1 the kernel's end;"
    " all reach each other.\n",
    "zh": "已有名为 synfin 的 synfin 在运行，本进程加入它的网络：10.77.1.2 属于本进程，10.77.1.1 属于内核；彼此都能互通。\n",
}


@pytest.fixture
def synfin(tmp_path: Path) -> Iterator[Programs]:
    with programs(tmp_path) as made:
        yield made


@pytest.mark.parametrize("lang", TOLD)
def test_a_second_synfin_says_which_addresses_are_its_own_where_they_are_not_chosen(synfin: Programs, lang: str) -> None:
    first = synfin.serve("serve", "echo")
    plain = synfin.run("ping", "--count", "1", "--lang", lang)
    assert (plain.returncode, plain.stderr) == (0, TOLD[lang])
    told = synfin.run("ping", "--count", "1", "10.77.0.2")  # the first's: what is said is true
    assert (told.returncode, told.stderr) == (0, "")
    second = synfin.start("serve", "echo", "--lang", lang)
    assert second.stderr is not None and second.stderr.readline() == TOLD[lang]
    for process in (second, first):
        process.terminate()
    assert first.communicate(timeout=PATIENCE)[1] == ""
