"""Studies: what `synfin demo syn-flood` claims is what its runs did."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from synfin.scenarios import SCENARIOS, STUDIES
from synfin.scenarios.flooding import BEGINS, LASTS, QUEUE, RATE, memory, play, syn_flood
from synfin.scenarios.study import Rungs, as_json, as_svg, as_text

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_without_cookies_the_queue_fills_and_clients_fail_long_after_the_flood() -> None:
    run = play(1, "off")
    assert run.flood.sent == RATE * LASTS
    assert run.most == QUEUE
    assert run.listener.counts.cookies_sent == 0
    failed = [began for began, through in run.calls.values() if not through]
    assert min(failed) < BEGINS + 5
    assert max(failed) > BEGINS + LASTS + 30
    assert run.listener.half_open == 0
    # What came in either found a place, was the same SYN again, or was dropped.
    counts = run.listener.counts
    assert counts.expired + counts.completed + counts.syn_queue_drops == counts.syns


@pytest.mark.parametrize(("cookies", "most"), [("pressure", QUEUE), ("always", 0)])
def test_with_cookies_no_client_fails(cookies: str, most: int) -> None:
    run = play(1, cookies)
    assert run.failed == 0
    assert len(run.calls) == 160
    assert run.most == most
    assert run.listener.counts.syn_queue_drops == 0
    assert run.listener.counts.cookies_refused == 0
    kept = {"pressure": RATE * LASTS - run.listener.counts.expired, "always": RATE * LASTS}[cookies]
    answered_by_cookie = run.listener.counts.cookies_sent - run.listener.counts.cookies_accepted
    assert answered_by_cookie == kept


def test_a_compact_entry_is_a_small_part_of_a_whole_connection() -> None:
    whole, compact = memory()
    assert compact <= 200
    assert whole > 8 * compact


def test_a_study_shows_the_same_things_as_text_picture_and_json() -> None:
    shown = syn_flood(3)
    text = as_text(shown, "en")
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("Numbers count from each side's initial sequence number.") == 4
    for lang in ("en", "zh"):
        root = ET.fromstring(as_svg(shown, "title", lang))
        assert len([each for each in root if each.tag.endswith("}g")]) == len(shown.parts)
    kinds = [each.get("kind") for each in as_json(shown, "zh")]
    assert kinds.count("plot") == 8
    assert kinds.count("words") == 9
    assert all(json.dumps(each) for each in as_json(shown, "en"))


def test_the_chosen_ladders_are_a_success_a_forgery_a_failure_and_a_success() -> None:
    ladders = [part for part in syn_flood(2).parts if isinstance(part, Rungs)]
    texts = [ladder.text("en") for ladder in ladders]
    assert ["connect = ok" in text for text in texts] == [True, False, False, True]
    assert texts[1].count("SYN-ACK retries used up") >= 1
    assert texts[2].count("! SYN queue full") >= 3


def test_the_same_seed_gives_the_same_handshakes() -> None:
    first, second = (syn_flood(5) for _ in range(2))
    ladders = [[part.text("en") for part in shown.parts if isinstance(part, Rungs)] for shown in (first, second)]
    assert ladders[0] == ladders[1]


def test_every_study_has_a_name_of_its_own_and_its_line_in_the_page() -> None:
    assert not set(STUDIES) & set(SCENARIOS)
    page = (DOCS / "scenarios.md").read_text(encoding="utf-8")
    assert [name for name in STUDIES if f"- `{name}`:" not in page] == []
