"""What is compared and how: numbers in the script's own terms, times, pieces that are joined, labels, ICMP."""

import pytest

from synfin.packetdrill.compare import Joined, Sent, packet_text
from synfin.packetdrill.flow import Flow, icmp_numbers
from synfin.packetdrill.icmps import icmp_text, same_icmp
from synfin.packetdrill.run import FAIL, PASS
from synfin.packetdrill.syntax import IcmpPacket, IpInfo
from synfin.stack.addresses import make_key
from synfin.wire.icmp import ICMP4, build_icmp
from synfin.wire.ip4 import build_ip4
from tests.packetdrill.playing import OPEN, opened, play, told
from tests.packetdrill.test_grammar import packet

LOCAL, REMOTE = bytes((192, 168, 0, 1)), bytes((192, 0, 2, 1))
LOCAL6, REMOTE6 = b"\xfd" + bytes(15), b"\x20" + bytes(15)

LISTEN = OPEN[: OPEN.index("+0 < S")]
CONNECT = """
0 `sysctl -q net.ipv4.tcp_timestamps=0`
+0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0 > S 50:50(0) <...>
"""


# --- numbers


def test_the_acknowledgment_of_a_syn_ack_is_the_number_itself() -> None:
    text = LISTEN + "+0 < S 100:100(0) win 20000 <mss 1000>\n+0 > S. 7:7(0) ack {} <...>\n+0 < . 1:1(0) ack 1 win 500\n"
    text += "+0 accept(3, ..., ...) = 4\n"
    assert play(text.format(101)).verdict == PASS
    assert told(play(text.format(1)))[1:] == ("> S. 7:7(0) ack 101 win 65535 <mss 1460>", ("ack",))


def test_a_syn_ack_that_arrives_acknowledges_the_scripts_own_number() -> None:
    text = CONNECT + "+.1 < S. 900:900(0) ack {} win 1000 <mss 1000>\n+0 > . 1:1(0) ack 1\n"
    assert play(text.format(51)).verdict == PASS
    assert play(text.format(1)).why == ("flags", "sequence number", "ack")


def test_the_acknowledgment_field_without_its_flag_is_compared_where_the_script_says_one() -> None:
    text = CONNECT + "+.1 < . 1:1(0) ack 5 win 1000\n+0 > R 5:5(0) ack {}\n"
    assert play(text.format(0)).verdict == PASS
    assert play(text.format(3)).why == ("ack",)


def test_an_echo_of_a_timestamp_named_twice_is_the_latest() -> None:
    flow = Flow(make_key(REMOTE, 4000, LOCAL, 80))
    flow.learn_stamp(100, 5_000)
    flow.learn_stamp(100, 6_000)
    assert flow.live_stamp(100) == 6_000
    assert flow.live_stamp(101) == 5_001  # what never went out keeps its distance from the first


def test_an_absolute_echo_stands_on_the_wire_as_it_is() -> None:
    flow = Flow(make_key(REMOTE, 4000, LOCAL, 80))
    flow.learn_stamp(100, 5_000)
    text = "0 < . 1:1(0) ack 1 win 5 <nop,nop,TS val 1 ecr 100{}>"
    assert flow.build(packet(text.format("")))[-4:] == (5_000).to_bytes(4, "big")
    assert flow.build(packet(text.format("!")))[-4:] == (100).to_bytes(4, "big")


def test_a_window_scale_may_be_left_open() -> None:
    text = LISTEN + "+0 < S 0:0(0) win 20000 <mss 1000,nop,wscale 3>\n+0 > S. 0:0(0) ack 1 <mss 1460,nop,wscale {}>\n"
    assert play(text.format("*")).verdict == PASS
    assert play(text.format("3")).verdict == PASS
    assert play(text.format("4")).why == ("wscale",)


# --- times


def test_what_the_script_does_itself_may_not_be_late() -> None:
    """The packet leaves 200 ms on, within its range; 190 ms, when the script goes on, are over."""
    text = "+0 < P. 1:11(10) ack 1 win 20000\n+0~+.3 > . 1:1(0) ack 11\n{} < . 11:11(0) ack 1 win 20000\n"
    assert opened(text.format(".210")).verdict == PASS
    assert opened(text.format(".206")).verdict == PASS  # within 4 ms
    late = opened(text.format(".205"))
    assert (late.why, late.at, late.due) == (("time",), 210_000_000, (201_000_000, 209_000_000))


# --- pieces


NODELAY = "+0 setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0\n"


def test_pieces_are_joined_when_their_headers_are_the_same() -> None:
    text = NODELAY + "+0 write(4, ..., 2500) = 2500\n+0 > P. 1:2501(2500) ack 1\n"
    assert opened(text).verdict == PASS


def test_pieces_with_different_acknowledgments_are_not_joined() -> None:
    text = NODELAY + "+0 write(4, ..., 1000) = 1000\n+.1 < . 1:501(500) ack 1 win 20000\n+0 write(4, ..., 1000) = 1000\n"
    assert opened(text + "* > P. 1:2001(2000) ack 501\n").why == ("length", "ack")
    assert opened(text + "* > P. 1:1001(1000) ack 1\n* > P. 1001:2001(1000) ack 501\n").verdict == PASS


def test_pieces_before_the_last_have_one_length() -> None:
    text = NODELAY + "+0 write(4, ..., {}) = {}\n+0 write(4, ..., {}) = {}\n"
    assert opened(text.format(500, 500, 600, 600) + "* > P. 1:1101(1100) ack 1\n").verdict == PASS
    assert opened(text.format(500, 500, 600, 600) + "+0 write(4, ..., 9) = 9\n* > P. 1:1110(1109) ack 1\n").why == ("length",)


@pytest.mark.parametrize(
    ("field", "value", "same"),
    [
        ("flags", 0x18, True),
        ("flags", 0x11, True),
        ("flags", 0x90, True),
        ("flags", 0x30, False),
        ("flags", 0x50, False),
        ("flags", 0x14, False),
        ("window", 9, False),
        ("urgent", 3, False),
        ("seq", 1001, False),
        ("ack", 8, False),
        ("words", 6, False),
        ("payload", b"", False),
        ("payload", b"x", False),
        ("port", 81, False),
    ],
)
def test_a_piece_goes_on_only_with_the_header_of_the_one_before(field: str, value: object, same: bool) -> None:
    parts: dict[str, object] = {
        "port": 80, "seq": 1011, "ack": 7, "words": 5, "flags": 0x10, "window": 5, "urgent": 0, "payload": b"0123456789",
    }  # fmt: skip

    def sent(parts: dict[str, object]) -> Sent:
        port, seq, ack, words, flags, window, urgent, payload = parts.values()
        assert isinstance(payload, bytes) and isinstance(words, int) and isinstance(flags, int) and isinstance(port, int)
        header = b"".join(
            int(str(number)).to_bytes(size, "big")
            for number, size in (
                (port, 2),
                (4000, 2),
                (seq, 4),
                (ack, 4),
                (words << 12 | flags, 2),
                (window, 2),
                (0, 2),
                (urgent, 2),
            )
        )
        segment = header.ljust(words * 4, b"\1") + payload
        return Sent(0, build_ip4(LOCAL, REMOTE, len(segment), protocol=6) + segment, make_key(REMOTE, 4000, LOCAL, port))

    first = Joined([sent({**parts, "seq": 1001})])
    assert first.goes_on(sent({**parts, field: value}), 30) is same
    assert first.goes_on(sent({**parts, "payload": b"last"}), 14)


# --- the IP header


def test_a_flow_label_is_a_name_that_the_script_gives() -> None:
    flow = Flow(make_key(REMOTE6, 4000, LOCAL6, 80))
    assert flow.same_label(1, 0x777)
    assert flow.same_label(1, 0x777)
    assert not flow.same_label(1, 0x778)
    assert flow.same_label(2, 0x779)
    assert not flow.same_label(3, 0x779)
    assert not flow.same_label(4, 0)


def test_a_flow_label_is_looked_at_in_ipv6_only() -> None:
    text = "+0 write(4, ..., 10) = 10\n+0 > [flowlabel {}] P. 1:11(10) ack 1"
    assert opened(text.format("0x5")).verdict == PASS
    assert opened(text.format("0x5"), family="ipv6").why == ("IP header",)  # none is set
    assert opened(text.format("0x0"), family="ipv6").verdict == PASS


# --- ICMP


@pytest.mark.parametrize(
    ("kind", "code", "four", "six"),
    [
        ("unreachable", "", (3, 0), (1, 0)),
        ("unreachable", "frag_needed", (3, 4), (2, 0)),
        ("packet_too_big", "", (3, 4), (2, 0)),
        ("unreachable", "code_13", (3, 13), (1, 13)),
        ("type_3", "code_4", (3, 4), (3, 4)),
        ("type_3", "", (3, 0), (3, 0)),
        ("unreachable", "precedence_cutoff", (3, 15), None),
        ("unreachable", "not_neighbour", None, (1, 2)),
        ("time_exceeded", "exceeded_frag_time", (11, 1), (3, 1)),
        ("parameter_problem", "unknown_option", (12, 2), (4, 2)),
        ("echo_request", "", (8, 0), (128, 0)),
        ("redirect", "", (5, 0), None),
        ("type_256", "", None, None),
        ("type_3", "nobody", None, None),
    ],
)
def test_types_and_codes_of_icmp_have_names_and_numbers(
    kind: str, code: str, four: tuple[int, int] | None, six: tuple[int, int] | None
) -> None:
    assert (icmp_numbers(kind, code, six=False), icmp_numbers(kind, code, six=True)) == (four, six)


def test_a_message_by_its_numbers_does_what_its_name_does() -> None:
    text = CONNECT + "+.1 < icmp {} [0:0(0)]\n+0 %{{ assert tcpi_state == TCP_CLOSE }}%\n"
    for message in ("unreachable port_unreachable", "type_3 code_3", "unreachable code_3"):
        assert play(text.format(message), changes={"unreachable_ends_opening": True}).verdict == PASS
    assert play(text.format("type_3 code_1"), changes={"unreachable_ends_opening": True}).verdict == PASS
    assert play(text.format("type_99")).verdict == FAIL
    assert play(text.format("type_256")).detail == "icmp type_256"


def test_what_is_echoed_may_stand_before_the_message() -> None:
    text = "+0 write(4, ..., 1000) = 1000\n+0 > P. 1:1001(1000) ack 1\n"
    text += "+.01 < [1:1001(1000)] icmp unreachable frag_needed mtu 600\n"
    assert opened(text + "+0 > . 1:561(560) ack 1\n+0 > P. 561:1001(440) ack 1\n").verdict == PASS


def test_an_expected_message_without_a_code_has_the_code_0() -> None:
    def message(kind: int, code: int) -> bytes:
        body = build_icmp(LOCAL, REMOTE, kind, code, 0, bytes(28))
        return build_ip4(LOCAL, REMOTE, len(body), protocol=ICMP4) + body

    wanted = IcmpPacket(False, IpInfo(), "unreachable", "", None, None)
    assert same_icmp(wanted, message(3, 0))
    assert not same_icmp(wanted, message(3, 3))
    assert same_icmp(IcmpPacket(False, IpInfo(), "type_3", "code_3", None, None), message(3, 3))
    assert icmp_text(message(3, 3)) == "> icmp unreachable port_unreachable"
    assert icmp_text(message(77, 2)) == "> icmp type_77 code_2"


@pytest.mark.parametrize("raw", [64, 8, 3])
def test_a_raw_message_quotes_nothing_and_has_its_identifier(raw: int) -> None:
    flow = Flow(make_key(REMOTE, 4000, LOCAL, 80))
    built = flow.build_icmp(IcmpPacket(True, IpInfo(), "echo_request", "", None, None, 7, raw))
    assert built is not None
    assert built[20:22] + built[24:28] == bytes((8, 0, 0, 7, 0, 0))
    assert built[28:] == bytes(max(raw - 8, 0))


def test_the_line_of_a_segment_without_ack_shows_a_field_that_is_set() -> None:
    assert packet_text(packet("0 > R 5:5(0) ack 3")) == "> R 5:5(0) ack 3"
