"""Forms of the two dialects' grammars: each is read, whether it is played or not."""

import pytest

from synfin.engine.segment import ACK, ECE, PSH, SYN
from synfin.packetdrill.parser import parse_script
from synfin.packetdrill.run import play_text
from synfin.packetdrill.syntax import Beyond, Call, IcmpPacket, IpInfo, Number, Struct, TcpOption, TcpPacket, Text, Word
from tests.packetdrill.playing import OPEN, opened, play, wish

SOCKET = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"


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


# --- the frame


@pytest.mark.parametrize("text", ["--mtu=1400", "--mtu = 1400", "--mtu=\n1400", '--mtu="1400"', "--mtu= 1400 // why"])
def test_an_option_and_its_value_may_stand_apart(text: str) -> None:
    assert [(name, value) for _, name, value in parse_script(f"{text}\n{SOCKET}").options] == [("mtu", "1400")]


def test_a_word_may_be_defined_as_a_command() -> None:
    script = parse_script("--define=RUN=`first\nsecond` --define=N=3\n0 RUN\n+0 close(N) = 0")
    assert [event.text for event in script.events] == ["0 `first second`", "+0 close(3) = 0"]


def test_a_command_may_have_an_escaped_backquote() -> None:
    assert parse_script("0 `a \\` b`\n+0 close(3) = 0").events[0].text == "0 `a \\` b`"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff0 close(3) = 0",
        "0 close(3) = 0\r\n\r\n",
        "0 close(3) = 0 // é 中文",
        "0\n close(3)\n = \n0",
        "0 close(/* a\nb */3)=0//",
    ],
)
def test_odd_bytes_blanks_and_comments_change_nothing(text: str) -> None:
    assert call(text) == call("0 close(3) = 0")


def test_a_string_may_reach_over_lines_and_have_escapes() -> None:
    assert call('0 f("a\nb\\x41\\"", "c"...) = 0').arguments == (Text('a\nbA"'), Text("c", True))


def test_absolute_times_that_go_back_are_refused_and_others_are_seen_when_they_are_played() -> None:
    assert play("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+1 close(3) = 0\n0.5 close(3) = 0").why == ("time",)
    assert play("1 `true`\n0.5 `true`").verdict == "ERROR"
    assert play("1 `true`\n+0 `true`\n0.5 `true`").why == ("time",)
    within = "0 `true`\n+.003 `true`\n0 `true`"
    assert play(within).verdict == "PASS"
    assert play(within.replace("003", "005")).why == ("time",)


# --- expressions


@pytest.mark.parametrize(("text", "value"), [("10UL", 10), ("0xffU", 255), ("7ll", 7), ("-3", -3), ("~0", -1)])
def test_a_number_may_be_negative_inverted_and_have_the_suffixes_of_c(text: str, value: int) -> None:
    found = call(f"0 f({text}) = 0").arguments[0]
    assert isinstance(found, Number)
    assert found.value == value


def test_a_symbol_may_be_given_a_value_anywhere() -> None:
    assert call("0 f(a = 1) = 0").arguments == (Struct((), (("a", Number(1, "1")),)),)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{flags [none], sum 0, off 0, key 0, seq 0}", "gre"),
        ("{Flags 0x2000 sum 0 off 0 key = 0x1 seq 0}", "gre"),
        ("{(label 3, tc 0, [S], ttl 62)}", "mpls"),
    ],
)
def test_the_header_of_another_protocol_is_a_word_that_nobody_plays(text: str, word: str) -> None:
    assert call(f"0 f(3, {text}) = 0").arguments[1] == Word(word)
    assert play(f"{SOCKET}+0 setsockopt(3, SOL_IP, 4, {text}, 4) = 0").detail == word


@pytest.mark.parametrize(
    "text",
    [
        '{sa_family = AF_INET6, sin_port = htons(80), sin_addr = inet_addr("::1")}',
        "{msg_name(...)=..., msg_iov(1)=[{..., 10}], msg_flags=0, "
        "msg_control=[{cmsg_level=SOL_TCP, cmsg_type=TCP_INQ, cmsg_data=5}]}",
        "{msg_name(...)=..., msg_iov(1)=[{iov_base=..., iov_len=10}], msg_control(0)=[], msg_flags=0}",
        "{cmsg_len=8, cmsg_level=SOL_SOCKET, cmsg_type=SCM_TIMESTAMPING, cmsg_data={scm_sec=0,scm_nsec=1000}}",
        "{ee_errno=0, ee_origin=4, ee_type=0, ee_code=0, ee_info=0, ee_data=1}",
        '{function_set_name="rack", pcbcnt=...}',
        '{af_name="dataready"}',
        "{sf_hdtr_headers(1)=[{..., 10}], sf_hdtr_trailers(0)=[]}",
        "{fd=3, events=POLLIN, revents=POLLIN|POLLOUT}",
        "{events=EPOLLIN, u64=3}",
        "[[1, 2], [3]]",
        "{}",
        "NULL",
        "{sinit_num_ostreams=10, sinit_max_instreams=...}",
        "{srs_flags=A|B, srs_stream_list=[]}",
        'inet6_addr("::1")',
        "htonl(0xff)",
    ],
)
def test_structures_of_either_dialect_are_read(text: str) -> None:
    assert len(call(f"0 f(3, {text}) = -1 EINVAL (Invalid argument)").arguments) == 2


def test_any_word_with_a_note_behind_it_is_the_errno() -> None:
    found = call("0 f() = -1 ENOTHING_KNOWN (no such name)")
    assert (found.result, found.error) == (Number(-1, "-1"), "ENOTHING_KNOWN")


# --- packets


@pytest.mark.parametrize(
    ("letters", "flags"),
    [("SS", SYN), ("S .", SYN | ACK), ("P .", PSH | ACK), ("E.", ECE | ACK), (".0", ACK), ("1.", ACK | ECE)],
)
def test_flags_may_be_written_twice_and_apart_from_their_dot(letters: str, flags: int) -> None:
    assert packet(f"0 > {letters} 1:1(0) ack 1").flags == flags
    assert packet(f"0 > {letters} ...(0) ack 1").flags == flags


def test_an_inbound_packet_may_leave_numbers_open() -> None:
    assert packet("0 < . ...(10) ack 1 win 5").seq == 0
    assert packet("0 < . 1:1(0) ack 1 win 5 <nop,nop,TS val ... ecr 1>").options == (
        TcpOption("nop"), TcpOption("nop"), TcpOption("TS", (None, 1)),
    )  # fmt: skip


def test_options_of_either_dialect() -> None:
    assert packet("0 > S 0:0(0) <wscale *,nop>").options == (TcpOption("wscale", (None,)), TcpOption("nop"))
    assert packet("0 > S 0:0(0) <EXP-FO 0011,nop,nop>").options == packet("0 > S 0:0(0) <FOEXP 0011,nop,nop>").options
    assert packet("0 < . 1:1(0) win 1 <nop,nop,TS val 3 ecr 4!>").options == (
        TcpOption("nop"), TcpOption("nop"), TcpOption("TS", (3, 4), absolute=True),
    )  # fmt: skip


@pytest.mark.parametrize(
    "option",
    [
        "AccECN0 EE0B 1 ECEB 1 EE1B 1",
        "md5 000102",
        "mp_capable v1 flags[flag_h] nokey",
        "mp_join_syn address_id=0 token=sha1_32(a,b)",
        "add_address address_id=1 addr[addr0] hmac=auto,nop",
        "dss dack4=1 dsn8=trunc_r64_hmac(x,y) ssn=1 dll=0 nocs",
    ],
)
def test_an_option_that_nobody_has_here_ends_with_its_list(option: str) -> None:
    events = parse_script(f"0 < S 0:0(0) win 1 <mss 1460,{option},nop>\n+1 close(3) = 0").events
    assert events[0].action == Beyond(f"option {option.split(maxsplit=1)[0]}")
    assert isinstance(events[1].action, Call)


def test_what_follows_something_that_nobody_plays_need_not_be_understood() -> None:
    text = "0 < sctp: INIT[flgs=0, tag=1,\n 1, 2]\n+0 > sctp: ?\n"
    outcome = play(text)
    assert (outcome.verdict, outcome.detail) == ("SKIP", "sctp")
    assert play("0 ?\n" + text).verdict == "ERROR"


@pytest.mark.parametrize(
    ("line", "kind", "code", "echoed", "identifier", "raw"),
    [
        ("< [5:1465(1460)] icmp unreachable frag_needed mtu 1200", "unreachable", "frag_needed", (5, 1460), None, None),
        ("< icmp type_3 code_1 [5:6(1)]", "type_3", "code_1", (5, 1), None, None),
        ("< icmp echo_request id 7 [raw(64)]", "echo_request", "", None, 7, 64),
    ],
)
def test_an_icmp_message_in_the_ways_of_both_dialects(
    line: str, kind: str, code: str, echoed: tuple[int, int] | None, identifier: int | None, raw: int | None
) -> None:
    mtu = 1200 if "mtu" in line else None
    assert action(f"0 {line}") == IcmpPacket(True, IpInfo(), kind, code, mtu, echoed, identifier, raw)


@pytest.mark.parametrize(
    "line", ["[udp (5)] icmp unreachable", "[sctp(7)] icmp unreachable", "icmp unreachable [udplite (5, 8)]"]
)
def test_an_icmp_message_about_another_protocol_is_not_played(line: str) -> None:
    assert action(f"0 < {line}\n") == Beyond("an ICMP message about another protocol")


# --- options


@pytest.mark.parametrize(
    "option", ["no_cleanup", "tcp_ts_ecr_scaled", "so_flags=x", "local_linklocal_ip=fe80::1", "gateway_linklocal_ip=fe80::2"]
)
def test_options_that_say_how_the_tool_runs_mean_nothing(option: str) -> None:
    assert play(f"--{option}\n{SOCKET}").verdict == "PASS"


def test_the_secret_of_md5_is_a_feature() -> None:
    assert play(f"--tcp_md5_secret=abc\n{SOCKET}").detail == "--tcp_md5_secret"


def test_the_mapped_family_has_two_spellings() -> None:
    for spelling in ("ipv4-mapped-ipv6", "ipv4_mapped_ipv6"):
        text = f"--ip_version={spelling}\n0 socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n"
        assert play_text(text, "a.pkt", wish()).verdict == "PASS"
        assert play_text(text, "a.pkt", wish()).family == "ipv4-mapped-ipv6"


def test_a_remote_address_may_be_a_network() -> None:
    where = 'getpeername(4, {sa_family = AF_INET, sin_port = htons(40000), sin_addr = inet_addr("198.51.100.9")}, ...) = 0'
    assert opened(f"+0 {where}").why == ("what it tells",)
    text = "--remote_ip=198.51.100.9/24" + OPEN + f"+0 {where}"
    assert play(text).verdict == "PASS"


def test_scripts_to_begin_with_are_shell_lines() -> None:
    assert play(f"--init_scripts=./defaults.sh\n{SOCKET}").verdict == "PASS"
    outcome = play(f"--init_scripts=./defaults.sh,./my.sh\n{SOCKET}")
    assert (outcome.verdict, outcome.kind, outcome.detail) == ("SKIP", "unmapped", "./my.sh")


def test_mss_says_how_the_tools_device_cuts_and_not_what_the_stack_offers() -> None:
    text = OPEN.replace("ack 1 <...>", "ack 1 <mss 1460>")
    assert play("--mss=1000" + text).verdict == "PASS"
    assert play("--mss=70000" + text).verdict == "ERROR"
