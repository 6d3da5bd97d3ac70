"""The liveness check as `synfin demo liveness` draws it: which message teaches whom what, and what follows without it."""

import xml.etree.ElementTree as ET

import pytest

from synfin.channels.liveness import Outcome
from synfin.scenarios import STUDIES
from synfin.scenarios.checking import Check, Run, Step, Verdict, play, runs
from synfin.scenarios.study import Shown, as_json, as_svg, as_text
from synfin.trace.cells import width
from synfin.words import Text

NOTHING, HEARS, BOTH = (False, False), (True, False), (True, True)
MILLISECOND = 1_000_000
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def played() -> list[Run]:
    return runs(1)


@pytest.fixture(scope="module")
def shown() -> Shown:
    return STUDIES["liveness"].make(1)


def course(run: Run) -> list[tuple[object, ...]]:
    """Each message as sender, words, arrival in ms, what client and server know; each conclusion as its time, who and what."""
    found: list[tuple[object, ...]] = []
    for step in run.steps:
        if isinstance(step, Verdict):
            found.append((step.at // MILLISECOND, step.who, step.outcome, step.rests_until // MILLISECOND))
        else:
            arrives = None if step.arrives is None else step.arrives // MILLISECOND
            found.append((step.sender, step.says.en, arrives, *((side.hears, side.heard) for side in step.known)))
    return found


QUESTION = ("client", "1+1?", 10, NOTHING, HEARS)
ANSWER = ("server", "2, and 2+2?", 20, BOTH, HEARS)


def test_three_messages_and_both_know_both_directions(played: list[Run]) -> None:
    assert course(played[0]) == [QUESTION, ANSWER, ("client", "4", 30, BOTH, BOTH)]


def test_without_the_question_the_asker_rests_sixty_seconds_and_asks_again(played: list[Run]) -> None:
    assert course(played[1]) == [
        ("client", "1+1?", None, NOTHING, NOTHING),
        (5000, "client", Outcome.DOWN, 65_000),
        ("client", "1+1?", 65_010, NOTHING, HEARS),
        ("server", "2, and 2+2?", 65_020, BOTH, HEARS),
        ("client", "4", 65_030, BOTH, BOTH),
    ]


def test_without_the_answer_one_takes_the_path_to_be_down_and_the_other_has_it_not_confirmed(played: list[Run]) -> None:
    assert course(played[2]) == [
        QUESTION,
        ("server", "2, and 2+2?", None, NOTHING, HEARS),
        (5000, "client", Outcome.DOWN, 65_000),
        (5010, "server", Outcome.UNCONFIRMED, 65_010),
    ]


def test_without_the_third_message_the_answerer_alone_is_not_sure(played: list[Run]) -> None:
    assert course(played[3]) == [
        QUESTION,
        ANSWER,
        ("client", "4", None, BOTH, HEARS),
        (5010, "server", Outcome.UNCONFIRMED, 65_010),
    ]


def test_when_both_ask_at_once_four_messages_are_enough(played: list[Run]) -> None:
    assert course(played[4]) == [
        ("client", "1+1?", 10, NOTHING, HEARS),
        ("server", "1+1?", 10, HEARS, HEARS),
        ("client", "2, and 1+1?", 20, HEARS, BOTH),
        ("server", "2, and 1+1?", 20, BOTH, BOTH),
    ]


def test_a_sender_is_drawn_with_what_it_knew_when_it_sent(played: list[Run]) -> None:
    second = played[4].steps[1]
    assert isinstance(second, Step)
    assert (second.sent, second.before.who, second.before.hears) == (0, "server", False)


@pytest.mark.parametrize("seed", [0, 1, 99])
def test_the_numbers_drawn_change_nothing(seed: int, played: list[Run]) -> None:
    assert [course(run) for run in runs(seed)] == [course(run) for run in played]


def test_the_drawing_has_a_row_for_each_message_and_a_cross_where_it_is_lost(played: list[Run]) -> None:
    lines = Check(played[3]).text("en").splitlines()
    assert [line for line in lines if "|" in line] == [
        "     0.000    |---------- 1+1? ----------->|   0.010",
        "     0.020    |<------- 2, and 2+2? -------|   0.010",
        "     0.020    |----------- 4 -----------X  |",
    ]
    assert lines[-2:] == [
        "  At 5.010 s server has had no third message for 5 s: not confirmed that it is",
        "  heard, which proves nothing; it rests until 65.010 s.",
    ]


def test_messages_that_cross_are_drawn_so_and_time_never_runs_backwards(played: list[Run]) -> None:
    text = Check(played[4]).text("en")
    assert [line for line in text.splitlines() if "|" in line] == [
        "     0.000    |-- 1+1? ...                 |",
        "              |                 ... 1+1? --|   0.000",
        "     0.010    |<- ...                ... ->|   0.010",
        "     0.010    |-- 2, and 1+1? ...          |",
        "              |          ... 2, and 1+1? --|   0.010",
        "     0.020    |<- ...                ... ->|   0.020",
    ]
    assert " ".join(text.split()).count(
        "After messages 1 (client: 1+1?) and 2 (server: 1+1?), which cross: client hears server and does not know whether"
        " server hears it; server hears client and does not know whether client hears it."
    ) == 1
    chinese = Check(played[4]).text("zh").replace("\n  ", "")
    assert "第 3 条（client：2，那 1+1 呢？）与第 4 条消息（server：2，那 1+1 呢？）交错，之后" in chinese


def test_of_messages_that_cross_the_lost_one_ends_in_a_cross_without_a_time() -> None:
    run = Run(Text("", ""), askers=("client", "server"), lost=2)
    play(run, 1)
    lines = [line for line in Check(run).text("en").splitlines() if "|" in line]
    assert lines[2] == "              |X- ...                ... ->|   0.010"
    assert Check(run).svg("en").count("<polygon") == sum(isinstance(s, Step) and s.arrives is not None for s in run.steps)


def arrows(picture: str) -> list[tuple[float, float, float, float]]:
    """From where to where the messages' lines go."""
    lines = [each for each in ET.fromstring(picture).iter() if each.tag.endswith("}line") and each.get("stroke-width") == "1.8"]
    return [tuple(float(each.attrib[name]) for name in ("x1", "y1", "x2", "y2")) for each in lines]  # type: ignore[misc]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_picture_lets_messages_cross_that_were_sent_at_once(played: list[Run], lang: str) -> None:
    first, second, third, fourth = arrows(Check(played[4]).svg(lang))
    for one, other in ((first, second), (third, fourth)):
        assert (one[1], one[3], one[0], one[2]) == (other[1], other[3], other[2], other[0])
    assert first[3] < third[1]
    assert [one[1] < one[3] for one in (first, third)] == [True, True]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_text_keeps_to_80_columns_and_the_picture_is_sound_and_has_no_text_outside(shown: Shown, lang: str) -> None:
    assert [line for line in as_text(shown, lang).splitlines() if width(line) > 80] == []
    picture = as_svg(shown, "title", lang)
    root = ET.fromstring(picture)
    assert len([each for each in root if each.tag.endswith("}g")]) == len(shown.parts)
    assert picture.count("<polygon") == 3 + 3 + 1 + 2 + 4  # an arrow for each message that arrives


def test_json_has_every_message_and_conclusion(shown: Shown) -> None:
    kinds = [each["kind"] for each in as_json(shown, "en")]
    assert (kinds.count("message"), kinds.count("conclusion")) == (3 + 4 + 2 + 3 + 4, 1 + 2 + 1)
