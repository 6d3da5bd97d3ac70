"""`synfin ss`: what it makes of a row, and which state is asked for."""

from pathlib import Path
from typing import Any

import pytest

from synfin.cli import ss
from synfin.cli.main import run
from synfin.engine.errors import UsageError
from synfin.engine.state import State

INFO: dict[str, Any] = {
    "timestamps": True, "tcpi_snd_wscale": 7, "tcpi_rcv_wscale": 8, "tcpi_rto": 201_000, "tcpi_rtt": 1500, "tcpi_rttvar": 750,
    "tcpi_snd_mss": 1448, "tcpi_pmtu": 1500, "tcpi_snd_cwnd": 10, "tcpi_snd_ssthresh": 0x7FFF_FFFF, "tcpi_backoff": 0,
    "tcpi_unacked": 2, "tcpi_notsent_bytes": 0, "tcpi_snd_wnd": 65_536, "tcpi_rcv_wnd": 64_240,
}  # fmt: skip
COUNTED: dict[str, Any] = {
    "tcpi_bytes_sent": 5000, "tcpi_bytes_retrans": 1448, "tcpi_bytes_acked": 3000, "tcpi_bytes_received": 0,
    "tcpi_segs_out": 9, "tcpi_segs_in": 8, "tcpi_data_segs_out": 4, "tcpi_data_segs_in": 0, "tcpi_total_retrans": 1,
}  # fmt: skip
ROW: dict[str, Any] = {
    "state": "ESTABLISHED", "receive_queue": 0, "send_queue": 2896, "local": ["10.77.0.2", 80], "remote": ["10.77.0.1", 5000],
}  # fmt: skip


def details(info: dict[str, Any]) -> str:
    return ss.table([{**ROW, "info": info}])[2]


def test_the_counters_of_a_connection_are_shown_as_ss_shows_them() -> None:
    assert details({**INFO, **COUNTED}) == (
        "\t ts wscale:7,8 rto:201 rtt:1.5/0.75 mss:1448 pmtu:1500 cwnd:10 bytes_sent:5000 bytes_retrans:1448 bytes_acked:3000"
        " segs_out:9 segs_in:8 data_segs_out:4 retrans:0/1 unacked:2 snd_wnd:65536 rcv_wnd:64240"
    )


def test_an_older_synfin_that_counts_nothing_is_shown_without() -> None:
    assert details(INFO) == (
        "\t ts wscale:7,8 rto:201 rtt:1.5/0.75 mss:1448 pmtu:1500 cwnd:10 unacked:2 snd_wnd:65536 rcv_wnd:64240"
    )


def test_an_agreed_sack_is_shown_as_ss_shows_it() -> None:
    assert details({**INFO, "tcpi_options": 7}).startswith("\t ts sack wscale:7,8 rto:")
    assert details({**INFO, "tcpi_options": 5}).startswith("\t ts wscale:7,8 rto:")


@pytest.mark.parametrize("name", ["syn-recv", "SYN_RECV", "syn_rcvd", "SYN-RECEIVED", "synrecv"])
def test_a_state_is_understood_in_any_spelling(name: str) -> None:
    assert ss.wanted(["state", name]) is State.SYN_RECEIVED


def test_without_words_every_state_is_meant() -> None:
    assert ss.wanted([]) is None


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["sstate", "x"], "ss takes nothing or a state: synfin ss state syn-recv, not 'sstate x'"),
        (["state"], "ss takes nothing or a state: synfin ss state syn-recv, not 'state'"),
        (["state", "established", "now"], "ss takes nothing or a state: synfin ss state syn-recv, not 'state established now'"),
        (["state", "close"], "CLOSED is the absence of a connection: no tool has a row for it"),
    ],
)
def test_other_words_get_one_line_and_status_2(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ss", *words]) == 2
    assert capsys.readouterr() == ("", f"synfin: {line}\n")


def test_a_state_that_there_is_not_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="nearest: LISTEN"):
        ss.wanted(["state", "listne"])


def test_another_state_of_nobody_says_that_nothing_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert run(["ss", "state", "established"]) == 2
    assert capsys.readouterr() == ("", "synfin: no synfin is running; start one with: synfin up\n")
