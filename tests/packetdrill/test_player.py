"""What a script sees: times, packets, joining, calls that block. Each expectation is shown to fail when it is wrong."""

import re
from pathlib import Path

import pytest

from synfin.packetdrill.bench import Keeper
from synfin.packetdrill.run import FAIL, PASS, play_text
from synfin.stack.stack import Stack
from tests.packetdrill.playing import OPEN, opened, play, told, wish

NODELAY = "+0 setsockopt(4, IPPROTO_TCP, TCP_NODELAY, [1], 4) = 0\n"
SCRIPTS = sorted((Path(__file__).resolve().parent.parent / "scripts").rglob("*.pkt"))
EXPECTS = re.compile(r"^(?:\*|[+\d.~]+) > ", re.MULTILINE)
EXPECTING = [path for path in SCRIPTS if EXPECTS.search(path.read_text(encoding="utf-8"))]


def test_a_connection_opens_carries_data_and_answers() -> None:
    outcome = opened(
        NODELAY + "+0 write(4, ..., 1500) = 1500\n+0 > P. 1:1501(1500) ack 1 win 65535\n+.1 < P. 1:11(10) ack 1501 win 20000\n"
        "+.2 > . 1501:1501(0) ack 11\n+0 read(4, ..., 100) = 10\n"
    )
    assert told(outcome) == (PASS, "", ())


DATA = "+0 write(4, ..., 500) = 500\n+0 > {packet}\n"


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        ("P. 2:502(500) ack 1", ("sequence number",)),
        ("P. 1:500(499) ack 1", ("length",)),
        ("P. 1:501(500) ack 2", ("ack",)),
        ("P. 1:501(500) ack 1 win 65534", ("window",)),
        (". 1:501(500) ack 1", ("flags",)),
        ("PE. 1:501(500) ack 1", ("flags",)),
        ("P 1:501(500)", ("flags",)),
        ("P. 1:501(500) ack 1 urg 3", ("urgent pointer",)),
        ("P. 1:501(500) ack 1 <nop,nop,TS val 1 ecr 2>", ("options",)),
        ("[ttl 63] P. 1:501(500) ack 1", ("IP header",)),
        ("[ect0] P. 1:501(500) ack 1", ("IP header",)),
        ("8081 > 40000 P. 1:501(500) ack 1", ("ports",)),
    ],
)
def test_each_field_of_an_expected_packet_is_compared(packet: str, why: tuple[str, ...]) -> None:
    outcome = opened(DATA.format(packet=packet))
    assert (outcome.verdict, outcome.why) == (FAIL, why)
    assert outcome.expected == f"> {packet}"


@pytest.mark.parametrize(
    "packet", ["P. 1:501(500) ack 1", "[noecn, ttl 64] P. ...(500) ack ... win 65535", "8080 > 40000 P. 1:501(500) ack 1"]
)
def test_what_is_not_said_is_not_compared(packet: str) -> None:
    assert told(opened(DATA.format(packet=packet))) == (PASS, "", ())


def test_the_actual_line_is_in_the_words_of_the_script() -> None:
    outcome = opened(DATA.format(packet="F. 7:7(0) ack 1 <mss 5>"))
    assert outcome.actual == "> P. 1:501(500) ack 1 win 65535"
    assert (outcome.place, outcome.at) == ("test.pkt:11:1", 10_000_000)


def test_a_packet_that_does_not_leave_fails_and_one_that_comes_too_late_says_when() -> None:
    assert told(opened("+0 > P. 1:501(500) ack 1\n")) == (FAIL, "", ("nothing leaves",))
    outcome = opened("+0 < P. 1:11(10) ack 1 win 20000\n+.1 > . 1:1(0) ack 11\n")
    assert told(outcome) == (FAIL, "> . 1:1(0) ack 11 win 65535", ("time",))
    assert (outcome.at, outcome.due) == (210_000_000, (97_500_000, 122_500_000))


DELAYED = "+0 < P. 1:11(10) ack 1 win 20000\n{time} > . 1:1(0) ack 11\n"


@pytest.mark.parametrize(
    ("time", "verdict"),
    [
        ("+.2", PASS),
        ("+.178", PASS),  # 12.5 % of the gap
        ("+.177", FAIL),
        ("+.228", PASS),
        ("+.229", FAIL),
        ("0.21", PASS),
        ("0.25", FAIL),
        ("+.1~+.19", PASS),
        ("+.1~+.187", FAIL),
        ("+.205~+1", PASS),
        ("0~1", PASS),
        ("*", PASS),
    ],
)
def test_an_expected_packet_leaves_within_the_tolerance(time: str, verdict: str) -> None:
    assert opened(DELAYED.format(time=time)).verdict == verdict


def test_the_tolerance_is_the_larger_of_both() -> None:
    late = OPEN + DELAYED.format(time="+.16")
    assert play(late).verdict == FAIL
    assert play("--tolerance_usecs=39000\n" + late).verdict == FAIL
    assert play("--tolerance_usecs=40000\n" + late).verdict == PASS
    assert play("--tolerance_percent=25\n" + late).verdict == PASS
    assert play("--tolerance_percent=5\n" + OPEN + DELAYED.format(time="+.189")).verdict == FAIL


def test_a_time_counts_from_the_completion_of_the_event_before() -> None:
    early = DELAYED.format(time="+.19") + "+.1 < P. 11:21(10) ack 1 win 20000\n+.2 > . 1:1(0) ack 21\n"
    outcome = opened(early + "+0 > R. 1:1(0) ack 21\n")
    assert outcome.at == 210_000_000 + 100_000_000 + 200_000_000 + 4_000_000  # the first ACK left at .21 s


def test_packets_are_joined_up_to_the_expected_length() -> None:
    writes = NODELAY + "+0 write(4, ..., 2500) = 2500\n"
    assert opened(writes + "+0 > P. 1:2001(2000) ack 1\n", strict=False).why == ("flags",)
    # the initial window of RFC 5681 is four segments
    assert opened(writes + "+0 > P. 1:2501(2500) ack 1\n").verdict == PASS
    assert opened(writes + "+0 > . 1:1001(1000) ack 1\n+0 > P. 1001:2501(1500) ack 1\n").verdict == PASS
    assert opened(writes + "+0 > . 1:1501(1500) ack 1\n").why == ("length",)


def test_an_acknowledgment_without_data_is_joined_with_nothing() -> None:
    text = "+0 < P. 1:11(10) ack 1 win 20000\n+.3 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 11\n"
    assert told(opened(text)) == (FAIL, "> . 1:1(0) ack 11 win 65535", ("time",))
    assert opened(text.replace("+0 >", "* >")).why == ("flags", "length")


def test_strict_segments_joins_nothing() -> None:
    text = OPEN + NODELAY + "+0 write(4, ..., 1500) = 1500\n"
    whole, parts = "+0 > P. 1:1501(1500) ack 1\n", "+0 > . 1:1001(1000) ack 1\n+0 > P. 1001:1501(500) ack 1\n"
    assert play("--strict_segments\n" + text + whole).why == ("flags", "length")
    assert play("--strict_segments\n" + text + parts).verdict == PASS


def test_initial_sequence_numbers_are_the_scripts_own() -> None:
    outcome = play(
        "0 `sysctl net.ipv4.tcp_timestamps=0`\n+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n"
        "+0 listen(3, 5) = 0\n+0 < S 4294967290:4294967290(0) win 1000 <mss 1000>\n+0 > S. 55:55(0) ack 4294967291 <...>\n"
        "+0 < . 1:1(0) ack 1 win 1000\n+0 accept(3, ..., ...) = 4\n+0 < P. 1:1001(1000) ack 1 win 1000\n"
        "+0 < P. 1001:2001(1000) ack 1 win 1000\n+0 > . 1:1(0) ack 2001\n+0 read(4, ..., 3000) = 2000\n"
    )
    assert told(outcome) == (PASS, "", ())


LISTEN = "0 `sysctl net.ipv4.tcp_timestamps=0`\n+0 " + OPEN[OPEN.index("socket") : OPEN.index("+0 < S")]


def test_the_name_of_an_initial_sequence_number_stays() -> None:
    text = LISTEN + "+0 < S 0:0(0) win 500 <mss 1000>\n+0 > S. 7:7(0) ack 1 <...>\n+1 > S. {}:{}(0) ack 1 <...>\n"
    assert play(text.replace("{}", "7")).verdict == PASS
    assert play(text.replace("{}", "8")).why == ("sequence number",)


def test_a_syn_on_an_open_connection_changes_no_numbers() -> None:
    """RFC 5961 4: it is challenged; what follows counts as before."""
    text = "+0 < S 5000:5000(0) win 500 <mss 1000>\n+0 > . 1:1(0) ack 1\n+0 < P. 1:11(10) ack 1 win 500\n"
    text += "+.2 > . 1:1(0) ack 11\n"
    assert told(opened(text)) == (PASS, "", ())


def test_a_syn_after_a_reset_begins_anew() -> None:
    """RFC 9293 3.5, figure 9: the first SYN was an old duplicate."""
    text = LISTEN + "+0 < S 90:90(0) win 500 <mss 1000>\n+0 > S. 0:0(0) ack 91 <...>\n+.1 < R 1:1(0) win 0\n"
    text += "+.1 < S 100:100(0) win 500 <mss 1000>\n+0 > S. 0:0(0) ack 101 <...>\n+.1 < . 1:1(0) ack 1 win 500\n"
    text += "+0 accept(3, ..., ...) = 4\n+0 write(4, ..., 9) = 9\n+0 > P. 1:10(9) ack 1\n"
    assert told(play(text)) == (PASS, "", ())


def test_a_syn_that_is_refused_after_a_connection_has_the_numbers_of_its_own_answer() -> None:
    text = "+0 close(3) = 0\n+0 close(4) = 0\n+0 > F. 1:1(0) ack 1\n+0 < R 1:1(0) win 0\n+1 < S 90:90(0) win 500\n"
    assert told(opened(text + "+0 > R. 0:0(0)! ack 1 win 0\n")) == (PASS, "", ())
    assert opened(text + "+0 > R. 0:0(0)! ack 91 win 0\n").why == ("ack",)
    assert opened(text + "+0 > R. 0:0(0)! ack 91! win 0\n").verdict == PASS


STAMPED = """
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 5) = 0
+0 < S 0:0(0) win 20000 <mss 1000,nop,nop,TS val 900 ecr 0>
+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,TS val 100 ecr {first}>
+.01 < . 1:1(0) ack 1 win 20000 <nop,nop,TS val 901 ecr 100>
+0 accept(3, ..., ...) = 4
+.1 write(4, ..., 10) = 10
+0 > P. 1:11(10) ack 1 <nop,nop,TS val {value} ecr {echo}>
"""


def stamped(first: int = 900, value: str = "210", echo: str = "901") -> str:
    return STAMPED.format(first=first, value=value, echo=echo)


def test_timestamps_are_mapped_and_compared_when_strict() -> None:
    assert play(stamped()).verdict == PASS
    assert play(stamped(value="...", echo="...")).verdict == PASS
    assert play(stamped(first=899)).why == ("TS ecr",)
    assert play(stamped(echo="900")).why == ("TS ecr",)
    assert play(stamped(value="211")).why == ("TS val",)
    assert play(stamped(first=1, value="5", echo="7"), strict=False).verdict == PASS


def test_a_tick_makes_the_timestamp_value_part_of_the_time() -> None:
    tick = "--tcp_ts_tick_usecs=1000\n"
    assert play(tick + stamped(value="223"), strict=False).verdict == PASS  # 12.5 % of 110 ms
    assert play(tick + stamped(value="224"), strict=False).why == ("TS val",)
    assert play(tick + "--tolerance_percent=1\n" + stamped(value="214"), strict=False).verdict == PASS
    assert play(tick + "--tolerance_percent=1\n" + stamped(value="215"), strict=False).why == ("TS val",)
    assert play(stamped(value="300"), strict=False).verdict == PASS


def test_an_echo_reaches_the_stack_as_what_it_sent() -> None:
    """The round trip of 10 ms is measured from it: the retransmission timeout stands at its minimum."""
    text = stamped() + "+.05 < . 1:1(0) ack 11 win 20000 <nop,nop,TS val 1000 ecr 210>\n"
    text += "+0 %{ assert tcpi_rtt == 15000, tcpi_rtt }%\n"
    assert told(play(text)) == (PASS, "", ())


def test_strict_sees_a_packet_after_the_last_expected() -> None:
    text = "+0 write(4, ..., 10) = 10\n"
    outcome = opened(text)
    assert told(outcome) == (FAIL, "> P. 1:11(10) ack 1 win 65535", ("a packet after the last that is expected",))
    assert opened(text, strict=False).verdict == PASS


def test_strict_compares_what_is_sent_and_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    text = OPEN + "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n+0 < . 1:11(10) ack 11 win 20000\n"
    text += "+.2 > . 11:11(0) ack 11\n"
    text += "+0 read(4, ..., 100) = 10\n"
    assert play(text).verdict == PASS
    monkeypatch.setattr("synfin.packetdrill.payload.inbound", lambda offset, length: bytes(length))
    outcome = play(text)
    assert told(outcome) == (FAIL, "read(4, ..., 100) = 10", ("what it tells",))
    assert outcome.tells == "read other bytes than were sent"
    assert play(text, strict=False).verdict == PASS


def test_strict_sees_a_wrong_byte_and_a_wrong_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    send = Keeper.send

    def damaged(self: Keeper, packet: bytes, key: bytes, out: object) -> None:
        send(self, packet[:-1] + bytes((packet[-1] ^ 1,)) if len(packet) > 60 else packet, key, out)  # type: ignore[arg-type]

    monkeypatch.setattr(Keeper, "send", damaged)
    text = DATA.format(packet="P. 1:501(500) ack 1")
    assert opened(text).why == ("checksum", "payload")
    assert opened(text, strict=False).verdict == PASS


def test_relaxations_leave_a_field_out_and_are_told() -> None:
    push = DATA.format(packet=". 1:501(500) ack 1")
    outcome = opened(push, loose=frozenset(("push",)))
    assert (outcome.verdict, outcome.loose) == (PASS, ("push",))
    assert opened(DATA.format(packet="P. 1:501(500) ack 1 win 7"), loose=frozenset(("window",))).verdict == PASS
    assert opened(DATA.format(packet="P. 1:501(500) ack 1 <nop,nop,nop,nop>"), loose=frozenset(("options",))).verdict == PASS
    assert opened(DATA.format(packet="P. 1:501(500) ack 1 win 7"), loose=frozenset(("push",))).why == ("window",)


BLOCKS = "+0...{end} read(4, ..., 100) = {result}\n+.1 < P. 1:11(10) ack 1 win 20000\n+.2 > . 1:1(0) ack 11\n"


@pytest.mark.parametrize(
    ("end", "result", "why"),
    [
        ("0.1", "10", ()),
        ("0.112", "10", ()),
        ("0.13", "10", ("time",)),
        ("0.08", "10", ("time",)),
        ("0.1", "11", ("result",)),
        ("0.1", "-1 EAGAIN (x)", ("result",)),
    ],
)
def test_a_call_that_blocks_ends_when_and_as_the_script_says(end: str, result: str, why: tuple[str, ...]) -> None:
    assert opened(BLOCKS.format(end=end, result=result)).why == why


def test_a_call_that_never_ends_fails_at_its_end() -> None:
    outcome = opened("+0...0.5 read(4, ..., 100) = 10\n+1 close(3) = 0\n")
    assert (outcome.actual, outcome.why) == ("read(4, ..., 100) = ... (it waits)", ("time",))
    assert opened("+0...0.5 read(4, ..., 100) = 10\n").why == ("time",)


def test_a_call_without_an_end_must_not_wait() -> None:
    assert told(opened("+0 read(4, ..., 100) = 10\n")) == (FAIL, "read(4, ..., 100) = ... (it waits)", ("time",))


def test_a_blocking_connect_ends_with_the_handshake() -> None:
    text = "0 `sysctl net.ipv4.tcp_timestamps=0`\n+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
    text += "+0...{end} connect(3, ..., ...) = 0\n+0 > S 0:0(0) <...>\n"
    text += "+.2 < S. 0:0(0) ack 1 win 500 <mss 1000>\n+0 > . 1:1(0) ack 1\n"
    assert play(text.format(end=".2")).verdict == PASS
    assert play(text.format(end=".3")).why == ("time",)


def test_code_blocks_are_one_program_with_the_values_of_the_moment() -> None:
    text = "+0 %{\nfirst = tcpi_unacked\nassert tcpi_state == TCP_ESTABLISHED\n}%\n+0 write(4, ..., 10) = 10\n"
    text += "+0 > P. 1:11(10) ack 1\n+0 %{ assert (first, tcpi_unacked) == (0, {count}), tcpi_unacked }%\n"
    assert opened(text.replace("{count}", "1")).verdict == PASS
    outcome = opened(text.replace("{count}", "2"))
    assert told(outcome) == (FAIL, "(first, tcpi_unacked) == (0, 2): 1", ("assertion",))


def test_an_assertion_that_does_not_hold_tells_the_values() -> None:
    assert opened("+0 %{ assert tcpi_unacked == 5 and tcpi_state }%\n").actual == (
        "tcpi_unacked == 5 and tcpi_state: tcpi_unacked = 0, tcpi_state = 1"
    )
    assert opened("+0 %{ assert 1 ==  2 }%\n").actual == "1 == 2"


@pytest.mark.parametrize(
    ("code", "actual"),
    [
        ("\nassert tcpi_unacked == 0\nassert tcpi_state == 7\nassert tcpi_state == 9\n", "tcpi_state == 7: tcpi_state = 1"),
        ("assert tcpi_state == 1; assert tcpi_unacked == 3; assert 0", "tcpi_unacked == 3: tcpi_unacked = 0"),
        ("\nassert (tcpi_state ==\n  2), 'no'\n", "tcpi_state == 2: no"),
        ("\ndef look():\n  assert tcpi_state == 2\nlook()\n", "tcpi_state == 2: tcpi_state = 1"),
        ("\nif 1:\n  assert tcpi_state == 2, 3\n", "tcpi_state == 2: 3"),
        ("raise AssertionError('by hand')", "by hand"), ("raise AssertionError", "the assertion does not hold"),
        ("\ndef look():\n  raise AssertionError('by hand')\nassert look()\n", "by hand"),
    ],
)  # fmt: skip
def test_of_several_assertions_the_one_that_does_not_hold_is_told(code: str, actual: str) -> None:
    assert told(opened(f"+0 %{{ {code} }}%\n")) == (FAIL, actual, ("assertion",))


def test_an_assertion_in_a_function_of_an_earlier_block_tells_what_it_can() -> None:
    """Not what stands at the same place of the block that called it."""
    text = "+0 %{\nx = 1\ndef look():\n  assert tcpi_state == 2\n}%\n+0 %{\nlook()\nif 0:\n  assert 5\n}%\n"
    assert told(opened(text)) == (FAIL, "the assertion does not hold", ("assertion",))


def test_code_that_is_no_python_or_asks_for_what_is_not_there() -> None:
    broken = opened("+0 %{ x = = }%\n")
    assert (broken.verdict, broken.kind) == ("ERROR", "parse")
    assert opened("+0 %{ open('/etc/passwd') }%\n").detail == "name 'open' is not defined"
    missing = opened("+0 %{ assert tcpi_nothing == 0 }%\n")
    assert (missing.verdict, missing.kind, missing.detail) == ("SKIP", "feature", "tcpi_nothing")


def test_a_packet_to_a_closed_port_is_answered() -> None:
    assert play("0 < S 7:7(0) win 100 <mss 1000>\n+0 > R. 0:0(0)! ack 1\n").verdict == PASS
    assert play("0 < S 7:7(0) win 100 <mss 1000>\n+0 > R. 0:0(0)! ack 2\n").why == ("ack",)
    assert play("0 < . 7:7(0) ack 99 win 100\n+0 > R 99:99(0)!\n").verdict == PASS


def test_flows_with_ports_are_told_apart() -> None:
    text = "0 `sysctl net.ipv4.tcp_timestamps=0`\n+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n"
    text += "+0 listen(3, 5) = 0\n"
    for port in (1111, 2222):
        text += f"+0 < {port} > 8080 S 0:0(0) win 1000 <mss 1000>\n+0 > 8080 > {port} S. 0:0(0) ack 1 <...>\n"
    text += "+0 < 2222 > 8080 . 1:1(0) ack 1 win 1000\n+0 accept(3, ..., ...) = 4\n+0 write(4, ..., 5) = 5\n"
    assert play(text + "+0 > 8080 > 2222 P. 1:6(5) ack 1\n").verdict == PASS
    assert play(text + "+0 > 8080 > 1111 P. 1:6(5) ack 1\n").why == ("ports",)


def test_a_script_names_the_port_that_the_stack_chose() -> None:
    text = "0 `sysctl net.ipv4.tcp_timestamps=0`\n+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
    text += "+0...0.1 connect(3, ..., ...) = 0\n+0 > 1234 > 8080 S 0:0(0) <...>\n"
    text += "+.1 < 8080 > 1234 S. 0:0(0) ack 1 win 500 <mss 1000>\n"
    text += "+0 > {} . 1:1(0) ack 1\n"
    assert play(text.format("1234 > 8080")).verdict == PASS
    assert play(text.format("1235 > 8080")).why == ("ports",)
    assert play(text.replace("> 1234 > 8080 S", "> 1234 > 80 S").format("1234 > 80")).why == ("ports",)


@pytest.mark.parametrize("family", ["ipv4", "ipv6", "ipv4-mapped-ipv6"])
def test_a_script_plays_in_every_family(family: str) -> None:
    text = f"--ip_version={family}\n" + OPEN + DATA.format(packet="P. 1:501(500) ack 1")
    outcome = play(text)
    assert (outcome.verdict, outcome.family) == (PASS, family)
    assert outcome.history[0][1][0] >> 4 == (6 if family == "ipv6" else 4)


def test_lines_may_be_for_one_family() -> None:
    text = "#ifdef ipv4\n0 read(9, ..., 5) = -1 EBADF (x)\n#endif\n#ifdef ipv6\n0 read(9, ..., 5) = -1 EINTR (x)\n#endif\n"
    text += "+0 read(9, ..., 5) = -1 EBADF (x)\n"
    assert [play(text, family=family).verdict for family in ("ipv4", "ipv6", "")] == [PASS, FAIL, PASS]
    assert play("--ip_version=ipv6\n" + text).verdict == FAIL


def test_the_mss_is_the_same_in_both_families() -> None:
    text = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 fcntl(3, F_SETFL, O_NONBLOCK) = 0\n"
    text += "+0 connect(3, ..., ...) = -1 EINPROGRESS (x)\n+0 > S 0:0(0) <mss 1460,nop,nop,TS val 1 ecr 0,nop,wscale 3>\n"
    assert [play(text, family=family).verdict for family in ("ipv4", "ipv6")] == [PASS, PASS]
    assert play("--mtu=1400\n" + text).why == ("mss",)
    assert play("--mtu=1400\n" + text.replace("1460", "1360")).verdict == PASS


@pytest.mark.parametrize(("scale", "window"), [(-1, 32_768), (0, 65_535), (7, 2048), (14, 16)])
def test_the_window_scale_is_what_is_configured(scale: int, window: int) -> None:
    """RFC 7323 2.2: the window of a SYN is not scaled, all others are; 262,144 bytes of buffer."""
    passive = LISTEN + "+0 < S 0:0(0) win 500 <mss 1000,nop,wscale 0>\n"
    passive += "+0 > S. 0:0(0) ack 1 win 65535 <mss 1460,nop,wscale 3>\n"
    passive += "+.01 < . 1:1(0) ack 1 win 500\n+0 accept(3, ..., ...) = 4\n"
    active = "0 `sysctl net.ipv4.tcp_timestamps=0`\n+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
    active += "+0...0 connect(3, ..., ...) = 0\n"
    active += "+0 > S 0:0(0) win 65535 <mss 1460,nop,wscale 3>\n+0 < S. 0:0(0) ack 1 win 500 <mss 1000,nop,wscale 0>\n"
    active += "+0 > . 1:1(0) ack 1 <...>\n"
    for opening, number in ((passive, 4), (active, 3)):
        text = opening.replace("wscale 3", f"wscale {3 if scale < 0 else scale}") + f"+0 write({number}, ..., 5) = 5\n"
        text += f"+0 > P. 1:6(5) ack 1 win {window}\n"
        outcome = play(text, changes={"window_scale": scale})
        assert told(outcome) == (PASS, "", ())


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_icmp_reaches_the_connection_it_speaks_of(family: str) -> None:
    text = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0...0.1 connect(3, ..., ...) = -1 {errno} (x)\n+0 > S 0:0(0) <...>\n"
    text += "+.1 < icmp unreachable {code} [0:0(0)]\n"
    assert play(text.format(errno="ECONNREFUSED", code="port_unreachable"), family=family).verdict == PASS
    assert play(text.format(errno="EHOSTUNREACH", code="port_unreachable"), family=family).why == ("errno",)
    assert play(text.format(errno="EHOSTUNREACH", code="blue"), family=family).detail == "icmp unreachable blue"


@pytest.mark.parametrize("path", EXPECTING, ids=lambda path: path.stem)
def test_a_stack_that_never_sends_fails_every_script_that_expects_a_packet(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = path.read_text(encoding="utf-8")
    monkeypatch.setattr(Keeper, "send", lambda self, packet, key, out: None)
    for strict in (True, False):
        assert play_text(text, str(path), wish(strict=strict)).verdict == FAIL


def test_a_stack_that_does_not_come_to_rest_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "next_deadline", lambda self: 0)
    assert told(play(OPEN)) == (FAIL, "10000 steps without time passing", ())


def test_equal_plays_are_equal() -> None:
    text = OPEN + DATA.format(packet="P. 1:501(500) ack 1")
    assert play(text) == play(text)
    assert len(play(text).history) == 2


NAMED = """
0 `sysctl -q net.ipv4.tcp_timestamps=0`
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, {sa_family=AF_INET, sin_port=htons(%d), sin_addr=inet_addr("0.0.0.0")}, ...) = 0
+0 listen(3, 5) = 0
+0 < S 0:0(0) win 20000 <mss 1000>
+0 > 9000 > 40000 S. 0:0(0) ack 1 <...>
"""


def test_a_packet_goes_to_the_port_that_the_listener_was_bound_to() -> None:
    assert told(play(NAMED % 9000)) == (PASS, "", ())
    assert play(NAMED % 9001).why == ("ports",)


def test_of_two_listeners_the_latest_is_under_test() -> None:
    second = NAMED.split("\n", 2)[2].replace("(3,", "(4,").replace(") = 3", ") = 4").replace("9000 > 40000", "9001 > 40001")
    assert told(play(NAMED % 9000 + second % 9001)) == (PASS, "", ())
