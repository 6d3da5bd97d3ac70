"""The language: what is read, and where what cannot be read is said to stand."""

import pytest

from synfin.engine.segment import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG
from synfin.packetdrill.parser import parse_script
from synfin.packetdrill.syntax import (
    ABSOLUTE,
    ANY,
    RELATIVE,
    Applied,
    Beyond,
    Call,
    Code,
    Command,
    Ellipsis_,
    IcmpPacket,
    IpInfo,
    Items,
    Number,
    Or,
    ScriptError,
    Struct,
    TcpOption,
    TcpPacket,
    Text,
    When,
    Word,
)


def action(line: str) -> object:
    """What the event `line` does."""
    return parse_script(line).events[0].action


def packet(line: str) -> TcpPacket:
    found = action(line)
    assert isinstance(found, TcpPacket)
    return found


def call(line: str) -> Call:
    found = action(line)
    assert isinstance(found, Call)
    return found


def error(text: str, **options: object) -> str:
    with pytest.raises(ScriptError) as caught:
        parse_script(text, "a.pkt", **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("0", When(ABSOLUTE, 0)),
        ("1.5", When(ABSOLUTE, 1_500_000_000)),
        ("+.1", When(RELATIVE, 100_000_000)),
        ("+0.000001", When(RELATIVE, 1000)),
        ("+2.", When(RELATIVE, 2_000_000_000)),
        ("1~2", When(ABSOLUTE, 1_000_000_000, 2_000_000_000)),
        ("+.1~+.25", When(RELATIVE, 100_000_000, 250_000_000)),
        ("*", When(ANY)),
    ],
)
def test_a_time_is_absolute_relative_a_range_or_any(text: str, when: When) -> None:
    assert parse_script(f"{text} > . 1:1(0) ack 1").events[0].when == when


def test_a_call_that_blocks_has_an_end() -> None:
    event = parse_script("+.1...0.35 accept(3, ..., ...) = 4").events[0]
    assert event.when == When(RELATIVE, 100_000_000)
    assert isinstance(event.action, Call)
    assert event.action.end == 350_000_000


@pytest.mark.parametrize(
    ("letters", "flags"),
    [
        (".", ACK), ("S", SYN), ("S.", SYN | ACK), ("F.", FIN | ACK), ("P.", PSH | ACK), ("R", RST),
        ("FPU.", FIN | PSH | URG | ACK),
        ("SEW", SYN | ECE | CWR), ("SEWA", SYN | ECE | CWR | AE), (".5", ACK | AE | ECE), ("P.2", PSH | ACK | CWR), ("-", 0),
    ],
)  # fmt: skip
def test_flags_are_letters_a_dot_and_the_accurate_ecn_counter(letters: str, flags: int) -> None:
    assert packet(f"0 < {letters} 1:1(0) win 5").flags == flags


def test_a_packet_with_all_its_parts() -> None:
    found = packet(
        "0 < [ect0, ttl 3, flowlabel 0x12] 1234 > 80 PU. 1:1001(1000) ack 7 win 257 urg 5 "
        "<mss 1460,sackOK,TS val 1 ecr 2,nop,wscale 7>"
    )
    assert found == TcpPacket(
        True, IpInfo("ect0", None, 3, 0x12), (1234, 80), PSH | URG | ACK, 1, 1000, False, 7, 257, 5,
        (TcpOption("mss", (1460,)), TcpOption("sackOK"), TcpOption("TS", (1, 2)), TcpOption("nop"), TcpOption("wscale", (7,))),
    )  # fmt: skip


def test_options_may_be_none_unchecked_or_listed() -> None:
    assert packet("0 > . 1:1(0) ack 1").options == ()
    assert packet("0 > . 1:1(0) ack 1 <...>").options is None
    assert packet("0 > . 1:1(0) ack 1 <nop,nop,sack 1:11 21:31>").options == (
        TcpOption("nop"), TcpOption("nop"), TcpOption("sack", (1, 11, 21, 31)),
    )  # fmt: skip


def test_cookies_and_unknown_options_are_bytes() -> None:
    assert packet("0 < S 0:0(0) win 1 <FO 0011aabb,nop,nop>").options == (
        TcpOption("FO", data=bytes.fromhex("0011aabb"), kind=34), TcpOption("nop"), TcpOption("nop"),
    )  # fmt: skip
    assert packet("0 < S 0:0(0) win 1 <FOEXP,nop*4>").options == (
        TcpOption("FOEXP", data=b"\xf9\x89", kind=254), *(4 * (TcpOption("nop"),)),
    )  # fmt: skip
    assert packet("0 < S 0:0(0) win 1 <200:0x0102>").options == (TcpOption("unknown", data=b"\1\2", kind=200),)


def test_the_extended_dialect_has_absolute_and_open_numbers() -> None:
    assert packet("0 > R 7:7(0)!").absolute
    found = packet("0 > . ...(10) ack 1")
    assert (found.seq, found.length) == (None, 10)
    stamp = packet("0 > . 1:1(0) ack 1 <nop,nop,TS val ... ecr 7>").options
    assert stamp is not None
    assert stamp[2] == TcpOption("TS", (None, 7))


@pytest.mark.parametrize(
    ("line", "feature"),
    [
        ("0 < udp (1000)", "UDP"),
        ("0 < sctp: INIT[flgs=0, tag=1]", "sctp"),
        ("0 > gre: ipv4 1.1.1.1 > 2.2.2.2: . 1:1(0) ack 1", "gre"),
        ("0 < ipv4 1.1.1.1 > 2.2.2.2: . 1:1(0) ack 1 win 5", "ipv4"),
        ("0 < mpls (label 0, tc 0, [S], ttl 0): . 1:1(0) ack 1 win 5", "mpls"),
        ("0 > S 0:0(0) <mss 1460> /udp(9899 > 9900)", "TCP over UDP"),
        ("0 < S 0:0(0) win 5 <md5 0011>", "option md5"),
        ("0 < icmp unreachable port_unreachable [udp (10)]", "an ICMP message about another protocol"),
    ],
)
def test_what_nobody_plays_is_read_to_its_end(line: str, feature: str) -> None:
    events = parse_script(f"{line}\n+1 close(3) = 0").events
    assert events[0].action == Beyond(feature)
    assert isinstance(events[1].action, Call)


def test_an_icmp_message_names_type_code_mtu_and_what_it_echoes() -> None:
    assert action("0 < icmp unreachable frag_needed mtu 1200 [1:1461(1460)]") == IcmpPacket(
        True, IpInfo(), "unreachable", "frag_needed", 1200, (1, 1460)
    )
    assert action("0 < icmp time_exceeded exc_ttl 1:11(10)") == IcmpPacket(
        True, IpInfo(), "time_exceeded", "exc_ttl", None, (1, 10)
    )


def test_the_arguments_of_calls() -> None:
    found = call('0 f(1, -1, 0x10, ..., A|B, "a\\n" "b", "c"..., [5], {..., 10}, {onoff=1, linger=2}) = -1 EAGAIN (try again)')
    assert found.arguments == (
        Number(1, "1"), Number(-1, "-1"), Number(16, "0x10"), Ellipsis_(), Or((Word("A"), Word("B"))), Text("a\nb"),
        Text("c", True), Items((Number(5, "5"),)), Struct((Ellipsis_(), Number(10, "10")), ()),
        Struct((), (("onoff", Number(1, "1")), ("linger", Number(2, "2")))),
    )  # fmt: skip
    assert (found.result, found.error) == (Number(-1, "-1"), "EAGAIN")


def test_addresses_and_messages_are_structures() -> None:
    found = call(
        '0 sendmsg(4, {msg_name(...)={sa_family = AF_INET, sin_port = htons(80), sin_addr = inet_addr("192.0.2.1")}, '
        "msg_iov(2)=[{..., 10}, {..., 20}], msg_flags=0}, 0) = 30"
    )
    message = found.arguments[1]
    assert isinstance(message, Struct)
    address = message.get("msg_name")
    assert isinstance(address, Struct)
    assert address.get("sin_port") == Applied("htons", (Number(80, "80"),))
    assert isinstance(message.get("msg_iov"), Items)
    assert message.get("msg_control") is None


def test_words_after_the_result_are_ignored() -> None:
    assert call("0 fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)").result == Number(2, "0x2")


def test_commands_and_code() -> None:
    script = parse_script("--ip_version=ipv4 --mtu=1400\n`first`\n0 `a\nb`\n+1 %{ x = 1\ny = 2 }%\n`last`")
    assert [(name, value) for _, name, value in script.options] == [("ip_version", "ipv4"), ("mtu", "1400")]
    assert (script.init, script.cleanup) == ((Command("first"),), (Command("last"),))
    assert [event.action for event in script.events] == [Command("a\nb"), Code(" x = 1\ny = 2 ")]


def test_comments_are_left_out() -> None:
    script = parse_script("// one\n/* two\nthree */ 0 close(3) = 0 // four\n+1 close(/* five */ 3) = 0")
    assert [event.text for event in script.events] == ["0 close(3) = 0", "+1 close(/* five */ 3) = 0"]


def test_words_are_substituted_and_places_stay_those_of_the_file() -> None:
    defines = {"SIZE": "1000", "LINE": "0 close(3)"}
    assert call("0 write(3, ..., SIZE) = SIZE").arguments[2] == Word("SIZE")
    found = parse_script("0 write(3, ..., SIZE) = SIZE", "a.pkt", defines).events[0].action
    assert isinstance(found, Call)
    assert found.result == Number(1000, "1000")
    assert error("LINE = 0\nLINE = ?", defines=defines).startswith("a.pkt:2:8: a value expected")


def test_a_script_may_define_words_itself() -> None:
    text = '--define=SIZE=10 --define=CC="reno" --define=N=7\n0 f(SIZE, "SIZE", CC, N) = 0'
    found = parse_script(text, "a.pkt", {"CC": '"cubic"'}).events[0].action
    assert isinstance(found, Call)
    assert found.arguments == (Number(10, "10"), Text("SIZE"), Text("cubic"), Number(7, "7"))


def test_a_word_inside_a_string_or_a_comment_is_no_symbol() -> None:
    found = parse_script('0 f("SIZE") = 0 // SIZE', "a.pkt", {"SIZE": "1"}).events[0].action
    assert isinstance(found, Call)
    assert found.arguments == (Text("SIZE"),)


def test_parts_are_for_one_system_or_symbol() -> None:
    text = "#ifdef linux\n0 close(1) = 0\n#endif\n#ifdef FreeBSD\n0 close(2) = 0\n#endif\n#ifdef X\n0 close(3) = 0\n#endif\n"
    script = parse_script(text, "a.pkt", {"X": "1"}, frozenset(("linux",)))
    assert [event.text for event in script.events] == ["0 close(1) = 0", "0 close(3) = 0"]
    assert [event.place.line for event in script.events] == [2, 8]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.pkt:1:1: a script without events"),
        ("0 < S 0:0(0) <mss 1000>", "a.pkt:1:14: the window of an inbound packet expected, found '<mss 1000>'"),
        ("0 > S 0:5(0)", "a.pkt:1:7: 0 and 0 bytes make 0, not 5"),
        ("0 > Q 0:0(0)", "a.pkt:1:5: flags expected, found 'Q 0:0(0)'"),
        ("0 > E5 0:0(0)", "a.pkt:1:5: the accurate-ECN counter beside its flags"),
        ("0 > 23 0:0(0)", "a.pkt:1:5: the accurate-ECN counter beside its flags"),
        ("0 > S 0:0(0) <mss 1000,nop>", "a.pkt:1:14: 5 bytes of options are no whole words: add nop or eol"),
        ("0 > S 0:0(0) <mss 100000>", "a.pkt:1:19: an MSS is at most 65535, not 100000"),
        ("0 < . 1:1(0) ack 1 win 5 <...>", "a.pkt:1:31: <...> is for packets that are expected"),
        ("\n  0 close(3 = 0", "a.pkt:2:13: ',' or ')' expected, found '= 0'"),
        ("* close(3) = 0", "a.pkt:1:1: only a packet that is expected has a range of times, or any time"),
        ("0~1 < . 1:1(0) ack 1 win 5", "a.pkt:1:1: only a packet that is expected has a range of times, or any time"),
        ("2~1 > . 1:1(0) ack 1", "a.pkt:1:1: the range of times is backwards"),
        ("+1~2 > . 1:1(0) ack 1", "a.pkt:1:1: a range is +a~+b or a~b"),
        ("1...0.5 close(3) = 0", "a.pkt:1:2: the call ends before it begins"),
        ("0 `sleep", "a.pkt:1:3: the command does not end"),
        ("0 %{ x", "a.pkt:1:3: the block of code does not end"),
        ("/* x", "a.pkt:1:1: the comment does not end"),
        ('0 f("x) = 0', "a.pkt:1:5: the string does not end"),
        ("#ifdef X\n0 close(3) = 0", "a.pkt:1:1: #ifdef without its #endif"),
        ("#endif\n0 close(3) = 0", "a.pkt:1:1: #endif without an #ifdef"),
        ("#ifdef X\n#ifdef Y\n#endif\n#endif", "a.pkt:2:1: #ifdef inside an #ifdef"),
        (
            "0 close(3) = 0\n`done`\n1 close(3) = 0",
            "a.pkt:3:1: the end of the script after its cleanup command expected, found '1 close(3) = 0'",
        ),
        ("0 f(" + 30 * "[" + "1" + 30 * "]" + ") = 0", "a.pkt:1:26: brackets lie too deep in each other"),
        ("0 < [ect01] . 1:1(0) ack 1 win 5", "a.pkt:1:13: [ect01] is for packets that are expected"),
        ("0 < [blue] . 1:1(0) ack 1 win 5", "a.pkt:1:6: no field 'blue' of the IP header"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_file_line_and_column(text: str, message: str) -> None:
    assert error(text) == message
