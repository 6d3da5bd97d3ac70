"""A segment's header as RFC 9293's figure 1."""

import pytest

from synfin.engine import segment as why
from synfin.engine.segment import ACK, FIN, PSH, URG, Outgoing
from synfin.trace.cells import centre, width
from synfin.trace.header import header_text
from synfin.wire.errors import ParseError
from synfin.wire.packet import build_packet
from tests.trace.hand import Hand, X, Y, data, syn

KEY = Hand().key("client")
FIGURE = """\
From 10.0.0.1:49152 to 10.0.0.2:80

 0                   1                   2                   3     hex
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|      Source Port = 49152      |     Destination Port = 80     |  c0 00 00 50
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|                   Sequence Number = 1234567                   |  00 12 d6 87
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|       Acknowledgment Number = 0 (not valid without ACK)       |  00 00 00 00
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
| Data  |Rsrvd|A|C|E|U|A|P|R|S|F|                               |
|Offset |     |E|W|C|R|C|S|S|Y|I|            Window             |
|       |     | |R|E|G|K|H|T|N|N|                               |
|  10   |  0  |0|0|0|0|0|0|0|1|0|             65535             |  a0 02 ff ff
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|       Checksum = 0xbad6       |  Urgent Pointer = 0 (no URG)  |  ba d6 00 00
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|  Kind=2 MSS   |  Length = 4   |          MSS = 1460           |  02 04 05 b4
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
| Kind=4 SACKp  |  Length = 2   |   Kind=8 TS   |  Length = 10  |  04 02 08 0a
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|                        TSval = 123456                         |  00 01 e2 40
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|                           TSecr = 0                           |  00 00 00 00
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|      NOP      |   Kind=3 WS   |  Length = 3   |   Shift = 2   |  01 03 03 02
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
no data

Flags that are set:
  SYN   synchronize sequence numbers: asks to open, takes one number
"""


def full_syn() -> Outgoing:
    out = syn()
    out.has_timestamps, out.tsval, out.sack_permitted = True, 123_456, True
    return out


def test_a_syn_is_drawn_with_every_field_option_and_byte() -> None:
    drawn = header_text(build_packet(KEY, full_syn(), identification=1, checksum=False))
    assert drawn.startswith(FIGURE)


def test_its_fields_are_explained_with_their_values() -> None:
    lines = header_text(build_packet(KEY, full_syn(), identification=1)).splitlines()
    assert "  Sequence Number        1234567       number of the first byte of data, or of" in lines
    assert "  Checksum               0xbad6 right  over header, data and both addresses" in lines
    assert lines[-5:] == [
        "  Maximum segment size 1460 bytes: send no larger payload",
        "  Selective acknowledgment permitted",
        "  Timestamps: mine 123456, yours echoed 0",
        "  No-operation: fills up to a boundary",
        "  Window scale 2: multiply windows by 4",
    ]


def test_a_wrong_checksum_is_called_wrong() -> None:
    packet = bytearray(build_packet(KEY, data(X, Y, b"abc"), identification=1))
    packet[-1] ^= 1
    assert "wrong  over header" in header_text(bytes(packet))


def test_data_is_shown_with_its_bytes() -> None:
    lines = header_text(build_packet(KEY, data(X + 1, Y + 1, b"GET / HTTP/1.1\r\n\r\n"), identification=1)).splitlines()
    assert "|" + centre("Data: 18 bytes", 63) + "|" in lines
    assert "|" + centre("TP/1", 63) + "|  54 50 2f 31" in lines
    assert "|" + centre("...", 63) + "|" in lines


def test_each_flag_that_is_set_has_its_meaning() -> None:
    out = Outgoing(X, Y, ACK | PSH | URG | FIN, 100, why.FIN_SENT, b"!")
    out.urgent = 1
    text = header_text(build_packet(KEY, out, identification=1))
    flags = text.partition("Flags that are set:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in flags] == ["URG", "ACK", "PSH", "FIN"]
    assert "Urgent Pointer = 1 " in text


def test_no_flag_is_told_too() -> None:
    assert "No flag is set." in header_text(build_packet(KEY, Outgoing(X, 0, 0, 0, why.NEW_DATA), identification=1))


def test_sack_edges_and_unknown_options_are_shown() -> None:
    out = data(X, Y, b"")
    out.has_timestamps, out.sacks = True, ((Y + 10, Y + 20),)
    assert f"Selective acknowledgment: {Y + 10} - {Y + 20}" in header_text(build_packet(KEY, out, identification=1))
    plain = bytearray(build_packet(KEY, syn(), identification=1, checksum=False))
    plain[40:44] = bytes((30, 4, 0xAB, 0xCD))
    text = header_text(bytes(plain))
    assert "Option 30, unknown here: skipped" in text
    assert "ab cd" in text


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("six", [False, True])
def test_no_line_is_wider_than_80_cells_and_the_boxes_are_closed(lang: str, six: bool) -> None:
    key = (bytes(15) + b"\1" + bytes(15) + b"\2" + b"\0\x50\xc0\0") if six else KEY
    lines = header_text(build_packet(key, full_syn(), identification=1), lang=lang).splitlines()
    assert max(width(line) for line in lines) <= 80
    boxes = [line for line in lines if line.startswith(("|", "+"))]
    assert all(width(line[: line.rindex("|") + 1]) == 65 for line in boxes if line.startswith("|"))


def test_colour_is_added_to_the_bytes_and_flags_only_when_asked_for() -> None:
    packet = build_packet(KEY, full_syn(), identification=1)
    assert "\x1b" not in header_text(packet)
    assert "\x1b[36mc0 00 00 50\x1b[0m" in header_text(packet, color=True)


def test_what_is_not_tcp_is_refused() -> None:
    with pytest.raises(ParseError):
        header_text(b"\x45" + bytes(30))
