"""Scripts written oddly: played right, skipped with a true word, or refused at their place; never passed over."""

from pathlib import Path

import pytest

from synfin.packetdrill.suite import Job, play_job
from tests.packetdrill.playing import opened, play, wish

SOCKET = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"


@pytest.mark.parametrize("value", ["nan", "inf", "-5", "1e3", "5%"])
def test_a_tolerance_that_is_no_percentage_is_refused_at_its_place(value: str) -> None:
    outcome = play(f"--mss=1000\n  --tolerance_percent={value}\n{SOCKET}")
    assert (outcome.verdict, outcome.place) == ("ERROR", "test.pkt:2:3")


@pytest.mark.parametrize("option", ["--mtu=abc", "--ip_version=ipv5", "--local_ip=1.2.3", "--tolerance_usecs=-1"])
def test_an_option_that_makes_no_sense_is_refused_where_it_stands(option: str) -> None:
    assert play(f"--mss=1000\n{option}\n{SOCKET}").place == "test.pkt:2:1"


def test_a_time_before_the_one_above_it_is_refused() -> None:
    outcome = play(SOCKET + "1 close(3) = 0\n0.5 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3")
    assert (outcome.verdict, outcome.place, outcome.detail) == ("ERROR", "test.pkt:3:1", "the time goes backwards")


def test_a_number_beyond_64_bits_is_refused() -> None:
    assert play(SOCKET + "+0 listen(3, 99999999999999999999) = 0").place == "test.pkt:2:14"


@pytest.mark.parametrize("field", ["ttl 3", "tos 0xb8"])
def test_loose_ecn_leaves_the_rest_of_the_ip_header_compared(field: str) -> None:
    text = f"+0 write(4, ..., 10) = 10\n+0 > [{field}] P. 1:11(10) ack 1"
    assert opened(text, loose=frozenset(["ecn"])).why == ("IP header",)


def test_loose_ecn_relaxes_the_two_bits_in_tos() -> None:
    text = "+0 write(4, ..., 10) = 10\n+0 > [tos 0x03] P. 1:11(10) ack 1"
    assert opened(text, loose=frozenset(["ecn"])).verdict == "PASS"
    assert opened(text).why == ("IP header",)


def test_code_that_is_no_python_is_told_by_its_place_before_anything_is_played() -> None:
    outcome = play("0 close(9) = 0\n+0 %{ print tcpi_state }%")
    assert (outcome.verdict, outcome.kind, outcome.place) == ("ERROR", "parse", "test.pkt:2:1")


def test_code_that_breaks_is_told_by_its_place() -> None:
    outcome = play(SOCKET + "+0 %{ x = 1 / 0 }%")
    assert (outcome.verdict, outcome.place, outcome.detail) == ("ERROR", "test.pkt:2:1", "ZeroDivisionError: division by zero")


def test_a_constant_of_tcp_info_that_nobody_has_here_is_a_missing_feature() -> None:
    outcome = play(SOCKET + "+0 %{ assert tcpi_state & TCPI_OPT_NOBODY }%")
    assert (outcome.verdict, outcome.kind, outcome.detail) == ("SKIP", "feature", "TCPI_OPT_NOBODY")


def test_a_byte_order_mark_at_the_beginning_of_a_file_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "marked.pkt"
    path.write_bytes(b"\xef\xbb\xbf" + SOCKET.encode())
    assert play_job(Job(path=str(path), wish=wish(), both_ways=False, lang="en")).verdict == "PASS"
