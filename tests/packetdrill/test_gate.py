"""The mutation gate: what it changes, what it lets pass, and that it finds what is weak."""

from collections import Counter
from dataclasses import replace

import pytest

from synfin.packetdrill.bench import Keeper
from synfin.packetdrill.compare import Rules
from synfin.packetdrill.parser import parse_script
from synfin.packetdrill.plan import Plan, make_plan
from synfin.packetdrill.run import FAIL, PASS
from synfin.packetdrill.syntax import Script
from tests.packetdrill import gate
from tests.packetdrill.gate_mutations import Tolerance, changed_actions, mutations, numbers_changed
from tests.packetdrill.playing import OPEN, wish
from tests.packetdrill.stack_mutations import STACK_MUTATIONS

SCRIPT = f"""{OPEN}
+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [0], [4]) = 0
+.1 < P. 1:101(100) ack 1 win 20000
+0 %{{ assert tcpi_state == 1 }}%
+.2 > . 1:1(0) ack 101 win 65535
+0 read(4, ..., 1000) = 100
+0 read(4, ..., 1000) = -1 EAGAIN (Resource temporarily unavailable)
+0 write(4, ..., 2500) = 2500
+0 > . 1:1001(1000) ack 101 win 65535
+0 > . 1001:2001(1000) ack 101 win 65535
+.1 < . 101:101(0) ack 2001 win 20000
+0 > P. 2001:2501(500) ack 101 win 65535
""".replace("accept(3, ..., ...) = 4", "accept4(3, ..., ..., SOCK_NONBLOCK) = 4")


def ready(text: str) -> tuple[Script, Plan]:
    script = parse_script(text, "test.pkt")
    return script, make_plan(script, wish())


def through(text: str, **rules: object) -> gate.Total:
    script, plan = ready(text)
    if rules:
        plan = replace(plan, rules=Rules(strict=True, **rules))  # type: ignore[arg-type]
    return gate.gate(script, plan, wish())


def changes_of(line: str) -> list[str]:
    script = parse_script(line, "test.pkt")
    return [name for name, _ in changed_actions(script.events[0].action, gate.Fact())]


def test_every_expectation_of_a_sound_script_is_changed_and_fails() -> None:
    total = through(SCRIPT)
    assert total.survivors == []
    assert total.broken == []
    assert {name: total.wrong[name] for name in ("errno", "assertion", "what getsockopt tells", "packet dropped")} == {
        "errno": 1, "assertion": 1, "what getsockopt tells": 1, "packet dropped": 5,
    }  # fmt: skip
    assert total.wrong["result"] == 8
    assert total.wrong["packets exchanged"] == 4
    assert total.wrong["sequence number"] == 4  # that of the SYN,ACK is a name
    assert total.within == 10  # five packets, a little earlier and a little later


@pytest.mark.parametrize(
    ("loose", "names"),
    [
        ("window", {"window", "window, smaller"}),
        ("push", {"PSH set", "PSH cleared"}),
        ("urgent", {"urgent pointer"}),
        ("ecn", {"ECE set", "CWR set", "AE set"}),
        ("options", {"option added"}),
    ],
)
def test_what_a_player_does_not_compare_survives(loose: str, names: set[str]) -> None:
    total = through(SCRIPT, loose=frozenset((loose,)))
    assert {survivor.name for survivor in total.survivors} == names
    assert {survivor.verdict for survivor in total.survivors} == {PASS}


def test_a_survivor_tells_its_place() -> None:
    total = through(SCRIPT, loose=frozenset(("window",)))
    first = total.survivors[0]
    assert str(first).split("\n")[0] == "test.pkt:14: window: PASS []"
    assert first.text == "+.2 > . 1:1(0) ack 101 win 65535"


def test_a_block_that_is_not_reached_survives() -> None:
    total = through(OPEN + "+0 %{\nif False:\n    assert tcpi_state == 1\n}%\n")
    assert sorted(survivor.name for survivor in total.survivors) == ["assertion", "number in an assertion"]


def test_a_player_without_tolerance_is_found_too() -> None:
    """A change within the tolerance must pass: here the plan that is played knows less of it than the gate."""
    script, plan = ready(SCRIPT)
    _, _, player = gate.played(script, plan)
    exact = replace(plan, tolerance=1_000_000, percent=0.0)
    told = Counter(
        (mutation.name, gate.played(replace(script, events=mutation.events), exact)[0])
        for mutation in mutations(script, player.facts, Tolerance(plan.tolerance, plan.percent / 100)) if mutation.passes
    )  # fmt: skip
    assert told == {("time a little later", FAIL): 5, ("time a little earlier", FAIL): 5}


def test_a_script_that_fails_as_it_is_is_told() -> None:
    total = through(OPEN + "+0 > . 1:1(0) ack 1\n")
    assert total.broken == ["test.pkt []: FAIL as it is: nothing leaves"]
    assert not total.wrong


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("0 > . 1:1(0) ack 1 <nop,nop,TS val 5 ecr 6>", {"TS value 1", "TS value 2", "nop and TS exchanged", "nop left out"}),
        ("0 > . 1:1(0) ack 1 <nop,nop,sack 1:2 5:6>", {"sack value 1", "sack value 4", "sack blocks exchanged"}),
        ("0 > [ect0, ttl 64, tos 0x02] . 1:1(0) ack 1", {"ECN", "ttl", "tos"}),
        ("0 > 80 > 90 R 1:1(0) win 0", {"source port", "destination port", "RST cleared", "FIN set"}),
        ("0 > icmp unreachable frag_needed mtu 1400 [1:1(0)]", {"ICMP type", "ICMP code", "ICMP MTU"}),
        ("0 `sockstat | grep -c LISTEN | grep 1`", {"answer of the shell"}),
        ("0 %{ assert tcpi_state == 1, tcpi_state }%", {"assertion", "number in an assertion"}),
        ("0 poll([{fd=3, events=POLLIN, revents=POLLIN}], 1, 0) = 1", {"result", "what poll tells"}),
        ("0 epoll_wait(4, {events=EPOLLIN, fd=3}, 1, 0) = 1", {"result", "what epoll_wait tells"}),
        ("0 ioctl(3, SIOCINQ, [7]) = 0", {"result", "what ioctl tells"}),
        ('0 read(3, "abc", 3) = 3', {"result", "what read tells"}),
        ("0...1 connect(3, ..., ...) = -1 ETIMEDOUT", {"result", "errno"}),
    ],
)
def test_expectations_are_found(line: str, names: set[str]) -> None:
    assert names <= set(changes_of(line))


def test_what_recvmsg_tells_is_changed_in_each_of_its_fields() -> None:
    control = "[{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=7}]"
    line = f"0 recvmsg(3, {{msg_iov=[{{..., 9}}], msg_flags=0, msg_control={control}}}, 0) = 9"
    actions = changed_actions(parse_script(line).events[0].action, gate.Fact())
    changed = [repr(action) for name, action in actions if "tells" in name]
    assert ["Number(value=1" in each for each in changed] == [True, False]
    assert ["Number(value=8" in each for each in changed] == [False, True]
    assert changes_of(line.replace("= 9", "= -1 EAGAIN")) == ["result", "errno"]


@pytest.mark.parametrize(
    "line", ["0 < . 1:1(0) ack 1 win 10", "0 write(3, ..., 5) = ...", "0 `sysctl -q a=1`", "0 %{ x = 1 }%"]
)
def test_what_is_no_expectation_is_left(line: str) -> None:
    assert changes_of(line) == []


def test_each_number_of_a_structure_is_changed_in_turn() -> None:
    address = '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("1.2.3.4")}'
    action = parse_script(f"0 getsockname(3, {address}, [16]) = 0").events[0].action
    assert len(list(numbers_changed(action.arguments[1], skip=("sa_family",)))) == 2  # type: ignore[union-attr]


# --- mutations of the stack


def test_a_silent_stack_fails_whoever_expects_a_packet() -> None:
    assert gate.silent([ready(SCRIPT), ready("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n")]) == []
    assert Keeper.send.__name__ == "send"  # the stack speaks again


def test_a_script_with_any_outcome_would_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "played", lambda *_: (PASS, "", None))
    assert gate.silent([ready(SCRIPT)]) == ["test.pkt"]


def mutation(name: str) -> gate.StackMutation:
    return next(each for each in STACK_MUTATIONS if each.name == name)


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("delayed ACK time doubled", True),
        ("no delayed ACK", True),
        ("window told one too small", True),
        ("Nagle off", True),
        ("no challenge ACK", False),
        ("cookie MSS table shifted", False),
    ],
)
def test_a_mutation_of_the_stack_is_seen_where_it_shows(name: str, seen: bool) -> None:
    assert gate.caught(mutation(name), [ready(SCRIPT)]) == (["test.pkt"] if seen else [])
    assert gate.caught(mutation(name), []) == []


def test_a_script_that_fails_anyway_sees_nothing() -> None:
    assert gate.caught(mutation("no delayed ACK"), [ready(OPEN + "+0 > . 1:1(0) ack 1\n")]) == []


@pytest.mark.parametrize("mutant", STACK_MUTATIONS, ids=lambda each: each.name)
def test_a_mutation_of_the_stack_ends_with_its_context(mutant: gate.StackMutation) -> None:
    gate.caught(mutant, [ready(SCRIPT)])
    script, plan = ready(SCRIPT)
    assert gate.played(script, plan)[:2] == (PASS, "")


def test_names_of_mutations_are_different() -> None:
    names = Counter(each.name for each in STACK_MUTATIONS)
    assert [name for name, count in names.items() if count > 1] == []


def test_the_full_product_plays_both_families_with_and_without_the_fast_path() -> None:
    path = gate.FOLDER / "opening" / "active.pkt"
    of_scripts = [job for job in gate.jobs_for([path], full=True) if job.stack < 0]
    assert [(job.family, job.fast_path) for job in of_scripts] == [
        ("ipv4", True), ("ipv4", False), ("ipv6", True), ("ipv6", False),
    ]  # fmt: skip
    assert [(job.family, job.fast_path) for job in gate.jobs_for([path], full=False) if job.stack < 0] == [("ipv4", True)]
