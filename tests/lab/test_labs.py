"""What the experiments claim is what their runs did: exact where the simulation is exact, within a stated bound elsewhere."""

import errno
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from synfin.lab import LABS, duplex, heartbeat, longshort, pipelining, pool, ports
from synfin.lab.longshort import LONG, SHORT, WORKLOADS, Costs, advise, exchanges
from synfin.lab.memory import open_connections
from synfin.lab.parts import Column, Table, filled
from synfin.scenarios.study import Shown, as_json, as_svg, as_text
from synfin.trace.cells import width
from synfin.words import Text

DOCS = Path(__file__).resolve().parents[2] / "docs"
ASKED_FOR = ["long-or-short", "heartbeat", "pipelining", "pool", "ports", "duplex"]


@pytest.fixture(scope="module", params=ASKED_FOR)
def played(request: pytest.FixtureRequest) -> Shown:
    return LABS[request.param].make(1)


def test_the_register_has_every_experiment() -> None:
    assert list(LABS) == ASKED_FOR
    assert [lab.name for lab in LABS.values()] == ASKED_FOR


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_an_experiment_fits_80_columns_and_its_picture_is_sound(played: Shown, lang: str) -> None:
    assert [line for line in as_text(played, lang).splitlines() if width(line) > 80] == []
    root = ET.fromstring(as_svg(played, "title", lang))
    assert len([each for each in root if each.tag.endswith("}g")]) == len(played.parts)


def test_an_experiment_is_words_a_table_and_a_plot_in_json_too(played: Shown) -> None:
    english, chinese = (list(as_json(played, lang)) for lang in ("en", "zh"))
    assert {each["kind"] for each in english} == {"words", "row", "plot"}
    assert [each["kind"] for each in english] == [each["kind"] for each in chinese]
    rows = [each for each in english if each["kind"] == "row"]
    again = json.loads(json.dumps(rows))
    assert again == rows
    titles = [(a["table"], b["table"]) for a, b in zip(rows, (c for c in chinese if c["kind"] == "row"), strict=True)]
    assert all(a != b for a, b in titles)


def test_the_page_shows_every_experiment_with_its_picture() -> None:
    page = (DOCS / "channels.md").read_text(encoding="utf-8")
    assert [name for name in LABS if f"synfin lab {name}" not in page] == []
    assert [name for name in LABS if f"(lab/{name}.svg)" not in page or not (DOCS / "lab" / f"{name}.svg").is_file()] == []


# Long or short


@pytest.mark.parametrize("rtt", longshort.RTTS)
@pytest.mark.parametrize("count", [1, 10, 100])
def test_a_short_exchange_takes_two_round_trips_nine_segments_and_a_handshake(rtt: float, count: int) -> None:
    found = exchanges("short", count, rtt)
    assert found.time == pytest.approx(2 * rtt * count, abs=1e-9)
    assert (found.segments, found.handshakes, found.time_waits) == (9 * count, count, count)


@pytest.mark.parametrize("rtt", longshort.RTTS)
@pytest.mark.parametrize("count", [1, 10, 100])
def test_long_exchanges_take_one_round_trip_each_after_one_handshake(rtt: float, count: int) -> None:
    found = exchanges("long", count, rtt)
    assert found.time == pytest.approx(rtt + rtt * count, abs=1e-9)
    assert found.handshakes == 1
    assert found.time_waits == 1


def test_amid_others_a_long_exchange_adds_two_segments_and_over_100_ms_four() -> None:
    added = {rtt: exchanges("long", 60, rtt).segments - exchanges("long", 10, rtt).segments for rtt in longshort.RTTS}
    assert added == {0.001: 100, 0.020: 100, 0.100: 200, 0.200: 200}


def test_time_wait_is_over_for_the_first_where_the_exchanges_last_longer_than_2msl() -> None:
    found = exchanges("short", 400, 0.2)
    since = longshort.TWO_MSL - longshort.AFTERWARDS  # of the last end, in which what has ended is still in TIME-WAIT
    assert found.time == pytest.approx(160.0)
    assert found.time_waits == pytest.approx(since / 0.4, abs=1)


def test_a_ping_takes_three_segments_and_an_exchange_alone_six() -> None:
    assert longshort.segments_of_a_beat(0.02) == 3
    assert longshort.segments_apart(0.02) == 6


def test_an_open_connection_is_measured_and_costs_some_kilobytes() -> None:
    assert 2_000 < open_connections(200) / 200 < 40_000


COSTS = Costs(short=9, dense=2, apart=6, beat=3, connection=10_000)


def test_the_advice_is_short_for_bank_and_web_and_long_for_a_database() -> None:
    advice = {workload.name: advise(workload, COSTS) for workload in WORKLOADS}
    assert {name: each.form for name, each in advice.items()} == {"bank": SHORT, "database": LONG, "web": SHORT}
    assert advice["database"].held_ports == 60_000 > longshort.PORTS
    assert advice["web"].bytes[1] == 10_000 * 10_000
    assert advice["web"].open == (pytest.approx(10_000 * 0.1 / 120), 10_000)
    assert advice["bank"].segments == (9, 6 + 600 // 15 * 3)


def test_the_advice_turns_where_the_pings_outweigh_the_handshake() -> None:
    base = WORKLOADS[2]
    assert COSTS.even == 30.0
    below, above = (
        advise(longshort.Workload(base.name, base.title, base.clients, gap, base.rtt), COSTS)
        for gap in (COSTS.even - 0.1, COSTS.even)
    )
    assert (below.form, above.form) == (LONG, SHORT)
    assert below.segments[1] <= below.segments[0]
    assert above.segments[1] > above.segments[0]


# Heartbeat


@pytest.mark.parametrize("interval", heartbeat.INTERVALS)
def test_a_vanished_peer_is_found_within_the_bound_and_the_traffic_is_three_segments_a_ping(interval: int) -> None:
    found = heartbeat.beat(interval)
    assert found.segments == 3 * found.pings
    assert found.pings == pytest.approx(heartbeat.HOUR / (interval + heartbeat.RTT), abs=1)
    silent = heartbeat.MISSES * heartbeat.TIMEOUT
    assert all(silent < each <= found.bound for each in found.found)
    # The client's last byte came one RTT after its question; the phases are those of the interval.
    assert sorted(found.found) == pytest.approx(
        [interval * (each + 0.5) / heartbeat.PHASES + silent + 0.02 for each in range(heartbeat.PHASES)], abs=0.021
    )


# Pipelining


@pytest.mark.parametrize("rtt", pipelining.RTTS)
@pytest.mark.parametrize("limit", pipelining.LIMITS)
def test_so_many_questions_at_once_take_so_many_times_less(rtt: float, limit: int) -> None:
    found = pipelining.questions(limit, rtt)
    rounds = pipelining.COUNT // limit
    assert found.time == pytest.approx(rounds * rtt, abs=1e-9)
    assert found.segments == 2 * rounds


# Pool


def test_a_pool_too_small_does_what_its_connections_can_and_one_large_enough_waits_for_nobody() -> None:
    one, six, many = (pool.load(size) for size in (1, 6, 32))
    assert one.rate == pytest.approx(1 / pool.HELD, rel=0.02)
    assert (one.made, six.made) == (1, 6)
    assert many.waited == 0.0
    assert many.share(50) == pytest.approx(pool.HELD)
    assert many.times[-1] == pytest.approx(pool.HELD + pool.RTT)  # it made its connection first
    assert one.share(50) > six.share(50) > many.share(50)


def test_every_size_has_the_same_calls_and_more_connections_never_make_them_slower() -> None:
    loads = [pool.load(size, seed=3) for size in pool.SIZES]
    assert {len(each.times) for each in loads} == {pool.CALLS}
    slowest = [each.waited for each in loads]
    assert slowest == sorted(slowest, reverse=True)


# Ports


@pytest.mark.parametrize("rate", ports.RATES)
def test_the_ports_run_out_in_the_second_that_was_predicted(rate: float) -> None:
    found = ports.short(rate)
    expected = ports.predicted(rate)
    if expected is None:
        assert found.refused is None
        assert found.answered == round((ports.TWO_MSL + ports.LONGER) * rate)
    else:
        assert found.refused == pytest.approx(expected, abs=1e-6)
        assert found.answered == ports.PORTS


def test_the_prediction_is_none_where_ports_come_back_in_time() -> None:
    assert ports.predicted(2.5) is None
    assert ports.predicted(2.6) == pytest.approx(300 / 2.6)
    assert ports.predicted(1000.0, 28_232, 60.0) == pytest.approx(28.232)


def test_one_long_connection_goes_on_at_a_rate_that_short_ones_cannot_keep() -> None:
    found = ports.single(10.0)
    assert (found.refused, found.answered) == (None, 1300)


# Duplex


def test_each_turn_of_a_half_duplex_line_costs_its_turnaround() -> None:
    full = duplex.transfer("full")
    halves = {turnaround: duplex.transfer("half", turnaround) for turnaround in duplex.TURNAROUNDS}
    assert full.time is not None
    at_least = duplex.SIZE * 8 / duplex.BANDWIDTH
    assert at_least < full.time
    times = [half.time or 0.0 for half in halves.values()]
    assert times == sorted(times)
    assert times[0] > full.time
    for turnaround, half in halves.items():
        assert half.turns is not None and half.turns > 2
        assert half.idle == pytest.approx(half.turns * turnaround / 1000)


def test_over_a_simplex_line_connect_ends_in_etimedout_when_the_syn_timeout_is_over() -> None:
    found = duplex.transfer("simplex")
    assert (found.time, found.error) == (None, errno.ETIMEDOUT)
    assert found.error_after == pytest.approx(180.0)


# Tables


def test_a_table_keeps_its_columns_in_both_languages() -> None:
    table = Table(
        Text("title", "标题"),
        (Column("a", Text("words", "词语")), Column("b", Text("upper|number", "上面|数"), ",.1f")),
        ((Text("one", "一"), 1234.5), (Text("three", "三个"), None)),
    )
    assert table.text("en").splitlines() == [
        "title", "         upper", "words   number", "--------------", "one    1,234.5", "three        -",
    ]  # fmt: skip
    assert {width(line) for line in table.text("zh").splitlines()[4:]} == {13}
    assert list(table.to_json("zh")) == [
        {"kind": "row", "table": "标题", "a": "一", "b": 1234.5}, {"kind": "row", "table": "标题", "a": "三个", "b": None},
    ]  # fmt: skip


def test_words_filled_with_words_are_filled_in_their_language() -> None:
    assert filled(Text("{who} asks", "{who} 提问"), who=Text("client", "客户端")) == Text("client asks", "客户端 提问")
