"""What `synfin watch` shows of hand-made samples: on a screen, as JSON, as metrics."""

import io
import json
import urllib.request
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from synfin.engine.state import State
from synfin.watch.asjson import as_object, entry_as_object
from synfin.watch.findings import Finding, Kind, Level, Reason
from synfin.watch.observed import Observed, ranked
from synfin.watch.owners import CLOSE_WAIT, Pile
from synfin.watch.prometheus import Metrics
from synfin.watch.rates import Changes
from synfin.watch.sample import Counts, HalfOpenEntry, ListenerSample, Sample
from synfin.watch.verdict_words import REASONS, TITLES
from synfin.watch.view import endpoint, entry_rows, heading, rate, screen

SECOND = 1_000_000_000
LOCAL = bytes([10, 0, 0, 1])
FINDING = Finding(
    level=Level.FLOOD, score=0.97, kind=Kind.RANDOM, listener=(LOCAL, 80), owner="nginx/12",
    title=Reason("title", TITLES[Level.FLOOD, Kind.RANDOM], {"listener": "10.0.0.1:80"}),
    reasons=(Reason("pressure", REASONS["pressure"], {"half_open": 3, "limit": 3}),),
)  # fmt: skip
PILE = Pile(State.CLOSE_WAIT, "java/77", 340, CLOSE_WAIT, {"owner": "java/77", "count": 340})


def entries(count: int) -> tuple[HalfOpenEntry, ...]:
    return tuple(HalfOpenEntry(LOCAL, 80, bytes([198, 51, n, 7]), 1000 + n, 1_500_000_000, 1, "nginx/12") for n in range(count))


def kernel(*, findings: tuple[Finding, ...] = (FINDING,), hidden: bool = False) -> Observed:
    """A kernel with a busy listener and three quiet ones, one second after another sample."""
    changes = Changes()
    for at in (0, 1):
        found = entries(4 if at else 0)
        busy = ListenerSample(
            address=LOCAL, port=80, half_open=len(found), half_open_limit=3, accept_queue=2, accept_limit=511, drops=5 * at,
            entries=found, owner="nginx/12",
        )  # fmt: skip
        quiet = [ListenerSample(address=bytes(16), port=port, half_open=0, accept_limit=128) for port in (22, 443, 8080)]
        totals = Counts(completed=at * 20, cookies_sent=at * 20_000, cookies_accepted=at * 20, accept_queue_drops=0)
        change = changes.add(
            Sample(
                at=at * SECOND, source="kernel", listeners=(*quiet, busy), totals=totals,
                states={"LISTEN": 4, "SYN-RECEIVED": len(found), "ESTABLISHED": 12},
            )
        )  # fmt: skip
    return Observed(name="kernel", pid=None, change=change, findings=findings, piles=(PILE,), hidden=hidden)


def synfin() -> Observed:
    """A synfin with two listeners."""
    changes = Changes()
    for at in (0, 2):
        listeners = [
            ListenerSample(
                address=LOCAL, port=port, half_open=0, half_open_limit=100, accept_limit=100, owner="web/9",
                counts=Counts(**dict.fromkeys(("syns", "completed", "cookies_sent"), at * port), evicted=0),
            )
            for port in (80, 81)
        ]  # fmt: skip
        change = changes.add(Sample(at=at * SECOND, source="synfin", listeners=tuple(listeners)))
    return Observed(name="web", pid=9, change=change, findings=())


def shown(*seen: Observed, lang: str = "en", width: int = 100, rows: int | None = None, crop: bool = False) -> list[str]:
    console = Console(width=width, file=io.StringIO(), highlight=False, markup=False, emoji=False)
    console.print(screen(seen, lang, rows=rows, crop=crop), crop=False)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_flood_is_shown_with_its_reasons_queues_sources_and_rates() -> None:
    assert shown(kernel()) == [
        "Kernel  SYN flood (0.97)  rates over 1 s",
        "  SYN flood from random sources against 10.0.0.1:80",
        "  - The SYN queue holds 3 of at most 3 entries",
        "  Listener     SYN_RECV  Accept  Drops/s  New/s  Nets  Nets/s  Program",
        "  10.0.0.1:80       4/3   2/511        5      4     4       4  nginx/12",
        "    from 198.51.0.0/24 (1), 198.51.1.0/24 (1), 198.51.2.0/24 (1), 1 more",
        "  [::]:22           0/?   0/128        -      0     0       0  -",
        "  [::]:443          0/?   0/128        -      0     0       0  -",
        "  [::]:8080         0/?   0/128        -      0     0       0  -",
        "  Together SYNs at least 20,004/s (estimated); completed 20/s; cookies sent 20,000/s;",
        "           cookies accepted 20/s; accept queue overflows 0/s",
        "  States LISTEN 4  SYN-SENT 0  SYN-RECEIVED 4  ESTABLISHED 12  FIN-WAIT-1 0  FIN-WAIT-2 0",
        "         CLOSE-WAIT 0  CLOSING 0  LAST-ACK 0  TIME-WAIT 0",
        "  ! java/77 holds 340 connections in CLOSE-WAIT: the peers have closed, the program has not called",
        "    close.",
    ]


def test_the_same_in_chinese() -> None:
    assert shown(kernel(), lang="zh")[:6] == [
        "内核  SYN 攻击 (0.97)  速率取自最近 1 秒",
        "  10.0.0.1:80 遭受来自随机源地址的 SYN 攻击",
        "  - SYN 队列中有 3 个半连接，上限为 3",
        "  监听地址     半连接  全连接  丢弃/秒  新增/秒  网段  网段/秒  程序",
        "  10.0.0.1:80     4/3   2/511        5        4     4        4  nginx/12",
        "    来自 198.51.0.0/24 (1), 198.51.1.0/24 (1), 198.51.2.0/24 (1), 其余 1 个网段",
    ]


def test_a_synfin_has_every_rate_of_every_listener() -> None:
    assert shown(synfin()) == [
        "synfin web, process 9  no flood  rates over 2 s",
        "  Listener     SYN_RECV  Accept  Drops/s  New/s  Nets  Nets/s  Program",
        "  10.0.0.1:80     0/100   0/100        -      0     0       0  web/9",
        "    SYNs 80/s; completed 80/s; cookies sent 80/s",
        "  10.0.0.1:81     0/100   0/100        -      0     0       0  web/9",
        "    SYNs 81/s; completed 81/s; cookies sent 81/s",
        "  Together SYNs 161/s; completed 161/s; cookies sent 161/s",
        "  States LISTEN 0  SYN-SENT 0  SYN-RECEIVED 0  ESTABLISHED 0  FIN-WAIT-1 0  FIN-WAIT-2 0",
        "         CLOSE-WAIT 0  CLOSING 0  LAST-ACK 0  TIME-WAIT 0",
    ]


def test_nothing_listens() -> None:
    nothing = Observed(name="kernel", pid=None, change=Changes().add(Sample(at=0, source="kernel", listeners=())), findings=())
    assert shown(nothing)[:2] == ["Kernel  no flood  first sample: rates follow", "  Nothing listens here."]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_screen(lang: str, width: int) -> None:
    lines = shown(kernel(hidden=True), synfin(), lang=lang, width=width, crop=True)
    assert max(map(cell_len, lines)) <= width


def test_of_many_listeners_those_that_something_is_said_about_are_kept() -> None:
    lines = shown(kernel(), rows=1)
    assert "10.0.0.1:80" in lines[4]
    assert lines[6] == "  and 3 listeners more, all of them quieter"


def test_a_listener_that_is_named_comes_before_a_busier_one() -> None:
    (named,) = [each.listener.name for each in kernel().change.listeners if each.listener.port == 443]
    finding = Finding(
        level=Level.NONE, score=0, kind=Kind.SLOW_SERVER, listener=named, title=FINDING.title,
    )  # fmt: skip
    assert [each.listener.port for each in ranked(kernel(findings=(finding,)))] == [443, 80, 22, 8080]


def test_processes_that_cannot_be_seen_are_told_of_in_one_line() -> None:
    hidden = [line for line in shown(kernel(hidden=True), width=200) if "Without root" in line]
    assert hidden == ["  Without root, or in a container, some processes stay hidden: their sockets show '-' as owner."]
    assert not any("Without root" in line for line in shown(kernel(), width=200))


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0, "0"), (0.25, "0.25"), (12.5, "12.5"), (99.96, "100"), (20_013.4, "20,013")]
)
def test_a_rate_has_three_digits_or_is_whole(value: float | None, text: str) -> None:
    assert rate(value) == text


def test_addresses_are_written_as_ss_has_them() -> None:
    assert endpoint(bytes(4), 80) == "0.0.0.0:80"
    assert endpoint(bytes(15) + b"\1", 0) == "[::1]:*"


def test_the_heading_tells_the_pace_on_a_screen_only() -> None:
    assert heading(0, 0.5, "en").plain.endswith("  every 0.5 s; Ctrl-C ends it")
    assert len(heading(0, None, "en").plain) == len("synfin watch  1970-01-01 00:00:00")


def test_half_open_entries_are_rows_as_of_ss() -> None:
    unknown = HalfOpenEntry(bytes(16), 80, bytes(15) + b"\1", 5)
    assert entry_rows([*entries(1), unknown], "en") == [
        "State     Local Address:Port  Peer Address:Port   Age  SYN-ACKs  Program",
        "SYN-RECV  10.0.0.1:80         198.51.0.7:1000    1.5s         1  nginx/12",
        "SYN-RECV  [::]:80             [::1]:5               -         -  -",
    ]
    assert entry_rows([], "en") == ["No half-open connection."]


COUNTS = (
    "syns", "syn_ack_repeats", "completed", "cookies_sent", "cookies_accepted", "cookies_refused", "syn_queue_drops",
    "evicted", "accept_queue_drops", "expired", "resets",
)  # fmt: skip


def test_the_json_of_a_kernel_has_its_documented_keys() -> None:
    made = json.loads(json.dumps(as_object(kernel(), 42)))
    assert tuple(made) == (
        "time", "source", "name", "pid", "seconds", "verdict", "score", "findings", "listeners", "totals", "rates",
        "syns_at_least", "syns_counted", "states", "warnings", "owners_hidden",
    )  # fmt: skip
    assert [made[key] for key in ("time", "source", "name", "pid", "verdict", "score")] == [
        42, "kernel", None, None, "flood", 0.97,
    ]  # fmt: skip
    assert made["findings"] == [
        {
            "verdict": "flood", "score": 0.97, "kind": "random sources", "listener": ["10.0.0.1", 80], "owner": "nginx/12",
            "network": None, "text": "SYN flood from random sources against 10.0.0.1:80",
            "reasons": [{"code": "pressure", "text": "The SYN queue holds 3 of at most 3 entries"}],
        }
    ]  # fmt: skip
    busy = made["listeners"][3]
    assert tuple(busy) == (
        "local", "half_open", "half_open_limit", "accept_queue", "accept_limit", "drops", "counts", "rates", "prefixes",
        "new_prefixes", "top_prefixes", "owner",
    )  # fmt: skip
    assert (busy["local"], busy["half_open"], busy["drops"], busy["prefixes"]) == (["10.0.0.1", 80], 4, 5, 4)
    assert busy["top_prefixes"][0] == ["198.51.0.0/24", 1]
    assert tuple(busy["counts"]) == tuple(made["totals"]) == COUNTS
    assert tuple(made["rates"]) == (*COUNTS, "drops", "new_half_open")
    assert (made["syns_at_least"], made["syns_counted"], made["rates"]["cookies_sent"]) == (20_004, False, 20_000)
    assert made["warnings"] == [{"state": "CLOSE-WAIT", "owner": "java/77", "count": 340, "text": PILE.say("en")}]


def test_the_json_of_a_synfin_has_the_same_keys() -> None:
    made = as_object(synfin(), 1)
    assert tuple(made) == tuple(as_object(kernel(), 1))
    assert [made[key] for key in ("source", "name", "pid", "syns_counted", "syns_at_least")] == ["synfin", "web", 9, True, 161]


def test_the_json_of_an_entry() -> None:
    assert entry_as_object(kernel(), entries(1)[0]) == {
        "source": "kernel", "name": None, "pid": None, "local": ["10.0.0.1", 80], "remote": ["198.51.0.7", 1000],
        "age": 1_500_000_000, "syn_acks": 1, "owner": "nginx/12",
    }  # fmt: skip


def fetched(*seen: Observed) -> dict[str, float]:
    """The metrics as a Prometheus server gets them, by name and labels."""
    with Metrics("127.0.0.1", 0) as metrics:
        metrics.observed = seen
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{metrics.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    samples = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in samples}


def test_metrics_of_all_sources_are_served() -> None:
    found = fetched(kernel(), synfin())
    assert found['synfin_syn_flood_verdict{source="kernel"}'] == 2
    assert found['synfin_syn_flood_verdict{source="web/9"}'] == 0
    assert found['synfin_syn_flood_score{source="kernel"}'] == 0.97
    assert found['synfin_syns_per_second_at_least{source="kernel"}'] == 20_004
    assert found['synfin_sockets{source="kernel",state="ESTABLISHED"}'] == 12
    assert found['synfin_half_open_connections{address="10.0.0.1",port="80",source="kernel"}'] == 4
    assert found['synfin_half_open_limit{address="10.0.0.1",port="80",source="kernel"}'] == 3
    assert found['synfin_listener_drops_total{address="10.0.0.1",port="80",source="kernel"}'] == 5
    assert found['synfin_cookies_sent_total{source="kernel"}'] == 20_000
    assert found['synfin_listener_syns_total{address="10.0.0.1",port="81",source="web/9"}'] == 162
    assert not any(name.startswith('synfin_half_open_limit{address="::"') for name in found)  # not known, so not said


def test_nothing_listens_at_the_port_of_the_metrics_once_the_block_is_over() -> None:
    with Metrics("127.0.0.1", 0) as metrics:
        port = metrics.port
    with Metrics("127.0.0.1", port) as again:
        assert again.port == port


PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "watch.md"


def test_the_page_about_watching_has_every_key_and_every_metric() -> None:
    page = PAGE.read_text(encoding="utf-8")
    made = as_object(kernel(), 1)
    keys = {*made, *made["findings"][0], *made["findings"][0]["reasons"][0], *made["listeners"][0], *made["warnings"][0]}
    keys |= {*COUNTS, "new_half_open", *entry_as_object(kernel(), entries(1)[0]), *(f'"{kind}"' for kind in Kind)}
    assert sorted(key for key in keys if f"`{key}`" not in page) == []
    metrics = {name.partition("{")[0] for name in fetched(kernel(), synfin())}
    counted = {f"synfin_{part}{name}_total" for part in ("", "listener_") for name in COUNTS}  # by their pattern
    assert sorted(name for name in metrics - counted if f"`{name}`" not in page) == []
