"""`synfin states`: every state, every move, both languages, any spelling, 80 columns."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from synfin.cli.main import run
from synfin.cli.output import in_reach
from synfin.cli.states import draw, explain
from synfin.cli.statesvg import BENDS, PLACES, drawn, svg
from synfin.cli.statewords import WORDS
from synfin.engine.state import FIGURE_5, TRANSITIONS, State, parse_state
from synfin.trace.cells import width
from synfin.trace.phrases import TRIGGERS

LANGUAGES = ("en", "zh")
TEXT = "{http://www.w3.org/2000/svg}text"


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("state", State, ids=str)
def test_every_state_is_explained_in_80_columns(state: State, lang: str) -> None:
    lines = explain(state, lang).splitlines()
    assert lines[0] == str(state)
    assert [line for line in lines if width(line) > 80] == []


@pytest.mark.parametrize("state", State, ids=str)
def test_an_explanation_has_every_move_in_and_out(state: State) -> None:
    text = " ".join(explain(state, "en").split())
    for (start, trigger), end in TRANSITIONS.items():
        if end is state:
            assert f"── {trigger}" in text
        if start is state:
            assert str(trigger) in text


def test_the_moves_of_syn_received_are_told_exactly() -> None:
    lines = explain(State.SYN_RECEIVED, "en").splitlines()
    assert [line[17:] for line in lines[5:12]] == [
        "LISTEN, SYN-SENT ── rcv SYN",
        "rcv ACK of SYN ─▶ ESTABLISHED",
        "CLOSE ─▶ FIN-WAIT-1",
        "rcv RST after a passive OPEN ─▶ LISTEN",
        "rcv FIN ─▶ CLOSE-WAIT *",
        "rcv RST, ABORT, user timeout, SYN-ACK retries used up ─▶",
        "  CLOSED *",
    ]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_drawing_has_every_state_once_as_a_heading_and_fits(lang: str) -> None:
    lines = draw(lang).splitlines()
    assert [line for line in lines if line in [str(state) for state in State]] == [str(state) for state in State]
    assert [line for line in lines if width(line) > 80] == []


@pytest.mark.parametrize("state", State, ids=str)
def test_every_spelling_that_is_told_is_understood(state: State) -> None:
    assert [parse_state(spelling) for spelling in WORDS[state].spellings] == [state] * len(WORDS[state].spellings)


def test_chinese_and_english_explain_the_same_states_in_their_own_words() -> None:
    for state, words in WORDS.items():
        for text in (words.meaning, words.lasts, words.pile):
            assert text.en.isascii(), state
            assert any("\u4e00" <= character <= "\u9fff" for character in text.zh), state
    assert list(WORDS) == list(State)


def test_the_diagram_has_an_arrow_for_every_row_of_figure_5_and_a_place_for_every_state() -> None:
    assert set(FIGURE_5) <= set(drawn())
    assert set(BENDS) == set(drawn())
    assert set(PLACES) == set(State)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_diagram_is_one_self_contained_svg(lang: str) -> None:
    root = ElementTree.fromstring(svg(lang))
    texts = [element.text for element in root.iter(TEXT)]
    assert {str(state) for state in State} <= set(texts)
    for _, trigger in drawn():
        assert TRIGGERS[trigger].say(lang) in texts
    assert "href" not in svg(lang)


@pytest.mark.parametrize("name", ["SYN_RECV", "syn-rcvd", "SynReceived"])
def test_a_state_may_be_typed_in_any_spelling(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["states", name, "--lang", "en"]) == 0
    assert capsys.readouterr().out == explain(State.SYN_RECEIVED, "en") + "\n"


def test_an_unknown_state_is_answered_with_the_nearest_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["states", "CLOSE_WIAT"]) == 2
    assert capsys.readouterr() == ("", "synfin: no state 'CLOSE_WIAT'; nearest: CLOSE-WAIT\n")


def test_the_svg_is_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "states.svg"
    assert run(["states", "--svg", str(path), "--lang", "en"]) == 0
    assert path.read_text(encoding="utf-8") == svg("en")
    assert capsys.readouterr().out == f"diagram: {path}\n"


def test_arrows_are_ascii_where_nothing_else_can_be_written() -> None:
    for state in State:
        assert in_reach(explain(state, "en"), "ascii").isascii()
    assert "  rcv SYN --------------------------------------------> SYN-RECEIVED\n" in in_reach(draw("en"), "ascii")
    assert in_reach(draw("en"), "utf-8") == draw("en")
    assert in_reach(draw("zh"), None) == draw("zh")
