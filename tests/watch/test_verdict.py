"""The verdict on streams written by hand, in the shapes that Linux, synfin and a bare table have."""

import random
import re

import pytest

from synfin.watch.findings import Kind, Level
from synfin.watch.sample import Counts, HalfOpenEntry, ListenerSample, Sample
from synfin.watch.settings import INPUTS
from synfin.watch.verdict import Settings, Watcher, judge, worst
from synfin.watch.verdict_words import REASONS, TITLES

SECOND = 1_000_000_000
ANY = bytes(4)
REPEATS = (1, 3, 7, 15, 31)
CHINESE = re.compile("[\u4e00-\u9fff]")


def row(remote: bytes, age: float, port: int = 4000, local_port: int = 80, told: bool = True) -> HalfOpenEntry:
    """A half-open entry `age` seconds old."""
    sent = 1 + sum(age >= after for after in REPEATS)
    return HalfOpenEntry(ANY, local_port, remote, port, int(age * SECOND) if told else None, sent if told else None)


def forged(count: int, how: str = "random", seed: int = 1) -> list[bytes]:
    """Source addresses of a flood."""
    draw = random.Random(seed)
    lead = {"random": b"", "prefix": b"\xc6\x33\x64", "wide": b"\xc6\x33", "host": b"\xc6\x33\x64\x07", "v6": b""}[how]
    return [lead + draw.randbytes((16 if how == "v6" else 4) - len(lead)) for _ in range(count)]


def table(rows: list[HalfOpenEntry], at: int = 0, limit: int | None = None, **states: int) -> Sample:
    """A table of sockets and nothing else."""
    listener = ListenerSample(address=ANY, port=80, half_open=len(rows), half_open_limit=limit, entries=tuple(rows))
    return Sample(at=at * SECOND, source="table", listeners=(listener,), states=states)


def kernel(
    rate: int, seconds: int, cookies: bool = True, backlog: int = 256, listeners: int = 1, clients: int = 20
) -> list[Sample]:
    """hping3 --rand-source against the kernel from second 3 on, as measured on Linux 6.18: the queue fills, then its length
    stays, cookies go out (or SYNs are dropped), ListenOverflows stays 0. Clients complete meanwhile, by cookie if need be."""
    sources = forged(backlog)
    made = []
    for second in range(seconds):
        age = second - 3
        rows = [row(remote, age + 0.5, 1024 + index) for index, remote in enumerate(sources)] if age >= 0 else []
        beyond = max(rate * (age + 1) - backlog, 0) if age >= 0 else 0
        answered = clients * (age + 1) if age >= 0 else 0
        first = ListenerSample(
            address=ANY, port=80, half_open=len(rows), half_open_limit=backlog, accept_limit=backlog, entries=tuple(rows),
        )  # fmt: skip
        others = tuple(
            ListenerSample(address=ANY, port=8000 + number, half_open=0, half_open_limit=128, accept_limit=128)
            for number in range(listeners - 1)
        )
        totals = Counts(
            completed=clients * (second + 1) if cookies or age < 0 else clients * 3,
            cookies_sent=beyond + answered if cookies else 0, cookies_accepted=answered if cookies else 0, cookies_refused=0,
            syn_queue_drops=0 if cookies else beyond + answered, accept_queue_drops=0, syn_ack_repeats=backlog * max(age, 0),
        )  # fmt: skip
        made.append(Sample(at=second * SECOND, source="kernel", listeners=(first, *others), totals=totals))
    return made


def synfin(rate: int, seconds: int, policy: str, limit: int = 256, clients: int = 20) -> list[Sample]:
    """The same against a synfin whose cookies are "off", at "pressure" or "always"."""
    sources = forged(limit)
    made = []
    for second in range(seconds):
        since = second - 3
        rows = []
        if since >= 0 and policy != "always":
            rows = [row(remote, since + 0.5, 1024 + index) for index, remote in enumerate(sources)]
        syns = max(since + 1, 0) * (rate + clients)
        beyond = syns if policy == "always" else max(syns - limit, 0)
        before = clients * min(second + 1, 3)
        by_cookie = clients * max(since + 1, 0) if policy != "off" else 0
        if policy == "always":
            beyond, by_cookie = beyond + before, by_cookie + before
        counts = Counts(
            syns=before + syns, syn_ack_repeats=limit * max(since, 0) if rows else 0,
            completed=by_cookie if policy == "always" else before + by_cookie,
            cookies_sent=beyond if policy != "off" else 0, cookies_accepted=by_cookie, cookies_refused=0,
            syn_queue_drops=beyond if policy == "off" else 0, evicted=0, accept_queue_drops=0, expired=0, resets=0,
        )  # fmt: skip
        listener = ListenerSample(
            address=ANY, port=80, half_open=len(rows), half_open_limit=limit, accept_limit=128, entries=tuple(rows),
            counts=counts,
        )  # fmt: skip
        made.append(Sample(at=second * SECOND, source="synfin", listeners=(listener,)))
    return made


HPING = {
    "kernel, cookies True": lambda rate: kernel(rate, 20, True),
    "kernel, cookies False": lambda rate: kernel(rate, 20, False),
    "synfin, cookies off": lambda rate: synfin(rate, 20, "off"),
    "synfin, cookies pressure": lambda rate: synfin(rate, 20, "pressure"),
    "synfin, cookies always": lambda rate: synfin(rate, 20, "always"),
}


@pytest.mark.parametrize("lost", ["nothing", "cookies", "entropy", "repeats", "overflows"])
@pytest.mark.parametrize("rate", [5_000, 20_000, 100_000])
@pytest.mark.parametrize("shape", HPING)
def test_a_flood_of_random_sources_is_called_one_with_any_one_input_taken_away(shape: str, rate: int, lost: str) -> None:
    watcher = Watcher(without=frozenset() if lost == "nothing" else frozenset({lost}))
    said = [worst(watcher.add(sample)) for sample in HPING[shape](rate)]
    # The flood begins within the second before the fourth sample.
    assert said[:4] == [Level.NONE] * 4
    assert said[4] is Level.FLOOD
    if not (lost in ("overflows", "cookies") and "kernel" in shape):
        assert set(said[4:]) == {Level.FLOOD}


@pytest.mark.parametrize("shape", [shape for shape in HPING if "always" not in shape])
def test_its_sources_are_said_to_be_random_and_its_listener_is_named(shape: str) -> None:
    [found] = judge(HPING[shape](20_000)[:8])
    assert (found.level, found.kind, found.listener, found.network) == (Level.FLOOD, Kind.RANDOM, (ANY, 80), None)
    assert found.title.say("en") == "SYN flood from random sources against 0.0.0.0:80"
    assert "random" in [reason.code for reason in found.reasons]
    assert 0.9 < found.score <= 1


def test_with_cookies_alone_no_source_is_seen_and_that_is_said() -> None:
    [found] = judge(HPING["synfin, cookies always"](20_000)[:8])
    assert (found.level, found.kind) == (Level.FLOOD, Kind.UNKNOWN)
    assert found.reasons[0].code in ("handshakes", "cookies")


def test_without_entropy_the_sources_are_not_spoken_of() -> None:
    [found] = judge(HPING["kernel, cookies True"](20_000)[:8], without=frozenset({"entropy"}))
    assert found.kind is Kind.UNKNOWN
    assert not {"random", "host", "prefix"} & {reason.code for reason in found.reasons}


def test_cookies_go_to_the_listener_whose_queue_is_full() -> None:
    findings = judge(kernel(5_000, 8, listeners=3))
    assert [(each.level, each.listener) for each in findings] == [(Level.FLOOD, (ANY, 80))]
    assert "cookies" in [reason.code for reason in findings[0].reasons]


def test_cookies_that_no_listener_can_be_named_for_are_unattributable() -> None:
    def seen(second: int) -> Sample:
        listeners = tuple(ListenerSample(address=ANY, port=port, half_open=0, half_open_limit=128) for port in (80, 81))
        totals = Counts(completed=10 * second, cookies_sent=5_000 * second, cookies_accepted=0)
        return Sample(at=second * SECOND, source="kernel", listeners=listeners, totals=totals)

    [found] = judge([seen(second) for second in range(5)])
    assert (found.level, found.kind, found.listener) == (Level.FLOOD, Kind.UNATTRIBUTABLE, None)


def test_two_samples_a_second_apart_are_enough() -> None:
    rows = [row(remote, 0.4) for remote in forged(200)]
    later = [row(remote, 1.4) for remote in forged(200)]
    assert worst(judge([table(rows, 0), table(later, 1)])) is Level.NONE  # nothing tells yet that the first were new
    assert worst(judge([table([], 0), table(rows, 1), table(later, 2)])) is Level.FLOOD
    old = [[row(remote, age) for remote, age in zip(forged(200), range(200), strict=True)] for _ in range(2)]
    assert worst(judge([table(old[0], 0), table(old[1], 1)])) is Level.FLOOD


@pytest.mark.parametrize(
    ("how", "kind", "network"),
    [
        ("random", Kind.RANDOM, None),
        ("v6", Kind.RANDOM, None),
        ("prefix", Kind.PREFIX, (b"\xc6\x33\x64\x00", 24)),
        ("wide", Kind.PREFIX, (b"\xc6\x33\x00\x00", 16)),
        ("host", Kind.HOST, (b"\xc6\x33\x64\x07", 32)),
    ],
)
@pytest.mark.parametrize("told", [True, False], ids=["ages", "no ages"])
def test_a_table_alone_shows_a_flood_and_where_it_comes_from(
    how: str, kind: Kind, network: tuple[bytes, int] | None, told: bool
) -> None:
    rows = [row(remote, 63 * index / 300, 1024 + index, told=told) for index, remote in enumerate(forged(300, how))]
    [found] = judge([table(rows, ESTABLISHED=5)])
    assert (found.level, found.kind, found.network) == (Level.FLOOD, kind, network)


def test_a_table_with_few_half_open_entries_among_many_connections_is_none() -> None:
    rows = [row(remote, 0.1, told=False) for remote in forged(40)]
    assert judge([table(rows, ESTABLISHED=2_000)]) == []


def test_three_stray_entries_are_none() -> None:
    rows = [row(remote, 20.0) for remote in forged(3)]
    assert judge([table(rows)]) == []
    assert judge([table(rows, second) for second in range(20)]) == []


def test_a_full_accept_queue_is_a_slow_server_and_no_flood() -> None:
    """As measured on Linux: no SYN_RECV, Recv-Q above Send-Q, ListenOverflows and ListenDrops rise."""

    def seen(second: int) -> Sample:
        listener = ListenerSample(
            address=ANY, port=80, half_open=0, half_open_limit=128, accept_queue=129, accept_limit=128, owner="nginx/7",
        )  # fmt: skip
        return Sample(
            at=second * SECOND, source="kernel", listeners=(listener,),
            totals=Counts(
                completed=130, cookies_sent=0, cookies_accepted=0, syn_queue_drops=0, accept_queue_drops=900 * second
            ),
        )  # fmt: skip

    [found] = judge([seen(second) for second in range(5)])
    assert (found.level, found.kind, found.score, found.owner) == (Level.NONE, Kind.SLOW_SERVER, 0.0, "nginx/7")
    assert found.title.say("en") == "The server at 0.0.0.0:80 is too slow to accept: no SYN flood"
    assert [reason.code for reason in found.reasons] == ["accept queue", "overflows"]


def test_what_a_flood_leaves_behind_is_no_flood() -> None:
    """The entries stay for a minute; nothing more comes."""
    watcher = Watcher()
    during = kernel(5_000, 20)
    for sample in during:
        watcher.add(sample)
    last = during[-1]
    said = []
    for second in range(1, 45):
        rows = tuple(row(entry.remote, 17 + second, entry.remote_port) for entry in last.listeners[0].entries)
        listener = ListenerSample(
            address=ANY, port=80, half_open=256, half_open_limit=256, accept_limit=256, entries=rows
        )
        more = {"completed": 20, "cookies_sent": 20, "cookies_accepted": 20}
        counts = {name: getattr(last.totals, name) + each * second for name, each in more.items()}
        totals = Counts(**counts, syn_queue_drops=0, accept_queue_drops=0)
        sample = Sample(at=last.at + second * SECOND, source="kernel", listeners=(listener,), totals=totals)
        said.append(worst(watcher.add(sample)))
    assert Level.FLOOD not in said[3:]


def test_a_clock_set_back_and_counts_begun_anew_start_over() -> None:
    watcher = Watcher()
    for sample in HPING["synfin, cookies always"](5_000):
        watcher.add(sample)
    assert watcher.add(HPING["synfin, cookies always"](5_000)[0]) == []


def test_a_listener_that_appears_later_is_judged_from_then_on() -> None:
    nobody = [Sample(at=second * SECOND - 60 * SECOND, source="synfin", listeners=()) for second in range(5)]
    assert worst(judge([*nobody, *synfin(5_000, 10, "always")])) is Level.FLOOD


def test_the_same_window_gets_the_same_answer() -> None:
    window = kernel(5_000, 12)
    assert judge(window) == judge(window)


def test_an_input_that_there_is_not_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no input 'ttl'; there are: cookies, entropy, repeats, overflows, counters"):
        judge([], without=frozenset({"ttl"}))
    assert judge([], without=frozenset(INPUTS)) == []


def test_the_counters_may_be_missing_altogether() -> None:
    found = judge(kernel(5_000, 6), without=frozenset({"counters"}))
    assert [each.level for each in found] == [Level.FLOOD]


def test_every_sentence_is_said_in_both_languages() -> None:
    windows = [window(20_000)[:8] for window in HPING.values()]
    windows.append([table([row(remote, 63 * index / 300) for index, remote in enumerate(forged(300, "prefix"))])])
    said = [reason for window in windows for found in judge(window) for reason in (found.title, *found.reasons)]
    assert len({reason.code for reason in said}) >= 8
    for reason in said:
        assert reason.say("en")
        assert CHINESE.search(reason.say("zh"))
    for text in (*TITLES.values(), *REASONS.values()):
        assert text.en
        assert CHINESE.search(text.zh)


def test_every_level_and_kind_that_can_be_has_a_title() -> None:
    kinds = set(Kind) - {Kind.SLOW_SERVER}
    wanted = {(level, kind) for level in (Level.FLOOD, Level.SUSPECTED) for kind in kinds}
    assert set(TITLES) == wanted | {(Level.NONE, Kind.SLOW_SERVER), (Level.SUSPECTED, Kind.SLOW_SERVER)}


def test_the_window_slides() -> None:
    watcher = Watcher(Settings(window=3 * SECOND))
    for sample in kernel(5_000, 20):
        found = watcher.add(sample)
    [counts] = [reason for reason in found[0].reasons if reason.code == "cookies"]
    assert counts.facts["total"] == 2 * 5_020  # three intervals, of which the newest is not asked for yet
