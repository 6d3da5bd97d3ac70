"""Whatever the text, the parser returns a script or raises ScriptError."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin.packetdrill.parser import parse_script
from synfin.packetdrill.syntax import Script, ScriptError

SCRIPTS = sorted((Path(__file__).resolve().parent.parent / "scripts").rglob("*.pkt"))
PIECES = (
    "0 ", "+.1 ", "* ", "1~2 ", "+0...1 ", "< ", "> ", "S. ", "P. ", "0:0(0) ", "1:11(10) ", "ack 1 ", "win 5 ", "urg 1 ",
    "<mss 5>", "<nop,nop,TS val 1 ecr 2>", "<sack 1:2 3:4>", "close", "(", ")", "[", "]", "{", "}", "=", "|", ",", "...", "-1",
    "0x1", '"x"', "`", "%{", "}%", "/*", "*/", "//", "\n", "#ifdef X\n", "#endif\n", "--mtu=5 ", "icmp unreachable ", "udp ",
    "E", "!", "/", "A", "²", "\0",
)  # fmt: skip


def read(text: str) -> None:
    """Read `text`; anything but a script or a ScriptError is a failure."""
    try:
        assert isinstance(parse_script(text, "f", {"A": "1", "close": "<"}), Script)
    except ScriptError as error:
        assert error.place.line >= 1
        assert error.place.column >= 1


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    read(text)


@settings(max_examples=800, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_any_words_of_the_language_are_read_or_refused(text: str) -> None:
    read(text)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read(data.decode("utf-8", errors="replace"))
    read(data.decode("latin-1"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_damaged_script_is_read_or_refused(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    chance = random.Random(path.stem)
    for _ in range(60):
        damaged = list(text)
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(damaged))
            damaged[at : at + chance.randrange(3)] = chance.choice(["", " ", "(", "9", "<", "`", "x", "\n"])
        read("".join(damaged))
        read(text[: chance.randrange(len(text))])
