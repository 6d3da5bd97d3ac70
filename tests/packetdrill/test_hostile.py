"""Scripts that mean harm, or are garbage: a clear word, in bounded time, never a traceback."""

import sys
import time
import tracemalloc
from contextlib import suppress

import pytest

from synfin.packetdrill import bench, code
from synfin.packetdrill.code import LONGEST, MOST_PRINTED, MOST_STEPS, CodeError, Program
from synfin.packetdrill.parser import LARGEST, parse_script
from synfin.packetdrill.syntax import ScriptError
from tests.packetdrill.playing import opened, play

SOCKET = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
SIZE = 1 << 17
SECONDS = 20.0  # on any machine; each takes about one; what grows with the square of the size takes minutes


def fill(piece: str, begin: str = "", end: str = "") -> str:
    """128 KB of it."""
    return begin + piece * ((SIZE - len(begin) - len(end)) // len(piece)) + end


@pytest.mark.parametrize(
    "text",
    [
        fill("/*"),
        fill("/* ", "0 "),
        fill('"', "0 f("),
        fill('" ', "0 f("),
        fill("`a", "0 "),
        fill("%{", "0 "),
        fill("~", "0 f("),
        fill("-", "0 f("),
        fill("(", "0 f"),
        fill("[", "0 f("),
        fill("{a=", "0 f("),
        fill("a=", "0 f("),
        fill("f(", "0 "),
        fill("9", "0 f("),
        fill("0x", "0 f("),
        fill("A|", "0 f(", "A) = 0"),
        fill("#ifdef X\n"),
        fill("#endif\n"),
        fill("--define=A=`"),
        fill('--a="\n'),
        fill("\\", '0 f("'),
        fill("nop,", "0 > S 0:0(0) <"),
        fill("1:2 ", "0 > . 1:1(0) <sack "),
        fill("A ", "0 > S "),
        fill("\0"),
        fill("0 < udp\n"),
        fill("0 < sctp: {(label "),
        fill("{(label ", "0 f("),
        fill("1.", ""),
        fill("+", ""),
        fill("*", ""),
        fill("A", "0 "),
        fill(" ", "--define="),
        fill("A" * 1000 + " ", "0 "),
        fill("é", "0 close(3) = 0 //"),
        fill("\r", "0 close(3) = 0"),
    ],
    ids=lambda text: f"{text[:9]!r}...",
)
def test_much_of_it_is_read_or_refused_in_no_time(text: str) -> None:
    begun = time.monotonic()
    try:
        parse_script(text, "f", {"A": "B", "B": "A"})
    except ScriptError as error:
        assert len(error.why) < 200
    assert time.monotonic() - begun < SECONDS


def test_ten_megabytes_are_refused_by_their_size() -> None:
    outcome = play("0 close(3) = 0\n" * (10 * LARGEST // 15))
    assert (outcome.verdict, outcome.place, outcome.detail) == (
        "ERROR",
        "test.pkt:1:1",
        f"a script of more than {LARGEST} characters",
    )


def test_words_that_stand_for_each_other_are_put_in_once() -> None:
    script = parse_script("--define=A=B --define=B=A\n0 f(A, B) = 0")
    assert script.events[0].text == "0 f(B, A) = 0"


# --- code


@pytest.mark.parametrize(
    "block",
    [
        "while True: pass",
        "while True:\n    pass",
        "[x for x in endless()]",
        "while True:\n  try:\n    while True: pass\n  except Exception: pass",
        "while True:\n  try:\n    while True: pass\n  except: pass",
        "sum(1 for _ in range(1000000) for _ in range(1000000))",
    ],
)
def test_a_block_that_never_ends_is_told_of(block: str) -> None:
    loop = "def endless():\n  while True:\n    yield 1\n" + block
    outcome = play(f"{SOCKET}+0 %{{ {loop} }}%")
    assert (outcome.verdict, outcome.place, outcome.detail) == (
        "ERROR",
        "test.pkt:2:1",
        f"the block takes more than {MOST_STEPS} steps",
    )


def test_a_block_may_be_long(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program()
    program.run(f"total = 0\nfor each in range({MOST_STEPS // 20}):\n    total += each", {}, "here")
    monkeypatch.setattr(code, "MOST_STEPS", 200)
    program.run("total = 0\nfor each in range(10):\n    total += each\nassert total == 45", {}, "here")
    with pytest.raises(CodeError, match="more than 200 steps"):
        program.run("total = 0\nfor each in range(100):\n    total += each", {}, "here")
    program.run("assert total < 4950", {}, "here")  # each block has steps of its own


@pytest.mark.parametrize("bounds", ["10**9", "0, 10**9", "0, -10**9, -1", "0, 10**12, 1000", "1, 10**30"])
def test_a_range_has_no_more_numbers_than_a_block_has_steps(bounds: str) -> None:
    with pytest.raises(CodeError, match=f"ValueError: a range of more than {MOST_STEPS}"):
        Program().run(f"sum(range({bounds}))", {}, "here")
    Program().run(f"assert len(range({MOST_STEPS})) == {MOST_STEPS} and list(range(3, 9, 2)) == [3, 5, 7]", {}, "here")


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("raise AssertionError.__base__.__base__('out')", "BaseException: out"),
        ("1/0", "ZeroDivisionError: division by zero"),
        ("def f(): f()\nf()", "RecursionError"),
        ("import os", "ImportError"),
        ("open('/etc/passwd')", "name 'open' is not defined"),
        ("raise ValueError('x' * 10000)", "ValueError: " + "x" * (LONGEST - 12)),
    ],
)
def test_what_a_block_raises_is_told_in_a_line(block: str, why: str) -> None:
    with pytest.raises(CodeError) as caught:
        Program().run(block, {}, "here")
    assert str(caught.value).startswith(why)
    assert len(str(caught.value)) <= LONGEST


def test_the_words_of_an_assertion_are_cut() -> None:
    with pytest.raises(AssertionError) as caught:
        Program().run("assert False, 'x' * 10**6", {}, "here")
    assert str(caught.value) == "False: " + "x" * LONGEST
    with pytest.raises(AssertionError) as caught:
        Program().run(f"assert not {'1' * 1000}", {}, "here")
    assert str(caught.value) == ("not " + "1" * 1000)[:LONGEST]


def test_what_a_block_prints_is_kept_within_bounds() -> None:
    program = Program()
    program.run("for each in range(2000): print('x' * 1000, each)", {}, "here")
    assert program.printed == ["x" * LONGEST] * MOST_PRINTED


def test_a_block_leaves_the_tracing_of_others_alone() -> None:
    def tracer(*_: object) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        for block in ("x = 1", "1 / 0"):
            with suppress(CodeError):
                Program().run(block, {}, "here")
            assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


# --- calls


def test_a_large_write_into_a_small_buffer_makes_no_large_copies() -> None:
    text = "+0 setsockopt(4, SOL_SOCKET, SO_SNDBUF, [20000], 4) = 0\n+0 fcntl(4, F_SETFL, O_NONBLOCK) = 0\n"
    text += "+0 write(4, ..., 60000000) = 20000\n"
    opened(text, strict=False)
    tracemalloc.start()
    try:
        assert opened(text, strict=False).verdict == "PASS"
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_a_large_write_that_waits_takes_what_fits_each_time() -> None:
    text = "+0 setsockopt(4, SOL_SOCKET, SO_SNDBUF, [4000], 4) = 0\n+0...0.1 write(4, ..., 6000) = 6000\n"
    text += "* > P. 1:4001(4000) ack 1\n+.1 < . 1:1(0) ack 4001 win 20000\n* > P. 4001:6001(2000) ack 1\n"
    assert opened(text).verdict == "PASS"


def test_what_leaves_is_bounded_in_packets_and_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SYN,ACK of 44 bytes, then 4 segments of 1,000 bytes with 40 of headers."""
    text = "+0 write(4, ..., 4000) = 4000\n+0 > P. 1:4001(4000) ack 1\n"
    monkeypatch.setattr(bench, "MOST_BYTES", 44 + 4 * 1040)
    assert opened(text).verdict == "PASS"
    monkeypatch.setattr(bench, "MOST_BYTES", 44 + 4 * 1040 - 1)
    outcome = opened(text)
    assert (outcome.verdict, outcome.actual) == ("FAIL", "more than 0 MB")
    monkeypatch.setattr(bench, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(bench, "MOST_PACKETS", 4)
    assert opened(text).actual == "more than 4 packets"
