"""pcap and pcapng files, read record by record: both byte orders, every unit of time, and files that are not whole."""

import io
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synfin.capture.links import ip_at
from synfin.capture.reader import CHUNK, Capture, CaptureError, Record
from tests.capture.files import (
    RAW,
    block,
    enhanced,
    interface,
    option,
    pcap,
    pcap_header,
    pcap_record,
    section,
    tcp,
)

SECOND = 1_000_000_000
ORDERS = ("<", ">")


def read(data: bytes) -> list[Record]:
    return list(Capture(io.BytesIO(data)))


def cut(data: bytes) -> tuple[int, int | None]:
    """How many records are whole, and where the file is cut."""
    capture = Capture(io.BytesIO(data))
    return len(list(capture)), capture.cut_at


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("nano", "fraction"), [(False, 250_001), (True, 250_001_000)])
def test_pcap_in_either_order_and_either_unit(order: str, nano: bool, fraction: int) -> None:
    data = pcap_header(order, nano=nano, link=1) + pcap_record(7, fraction, b"abc", order, length=900)
    assert read(data) == [Record(7 * SECOND + 250_001_000, 1, b"abc", 900)]


def test_bits_above_the_link_type_tell_of_something_else() -> None:
    assert read(pcap_header(link=0x4400_0001) + pcap_record(0, 0, b"a"))[0].link == 1


@pytest.mark.parametrize("order", ORDERS)
def test_pcapng_in_either_order(order: str) -> None:
    data = section(order) + interface(order, link=1) + enhanced(7_250_001, b"abcde", order, length=900)
    assert read(data) == [Record(7_250_001_000, 1, b"abcde", 900)]


@pytest.mark.parametrize(
    ("resolution", "time", "nanoseconds"),
    [
        (6, 1_500_001, 1_500_001_000), (9, 1_500_000_001, 1_500_000_001), (3, 1500, 1_500_000_000), (0, 2, 2 * SECOND),
        (12, 1_500_000_000_999, 1_500_000_000), (0x80 | 1, 3, 1_500_000_000), (0x80 | 30, 3 << 29, 1_500_000_000),
    ],
)  # fmt: skip
def test_time_has_the_unit_of_its_interface(resolution: int, time: int, nanoseconds: int) -> None:
    options = option(2, b"eth0") + option(9, bytes((resolution,))) + option(0, b"")
    assert read(section() + interface(options=options) + enhanced(time, b"a"))[0].time == nanoseconds


def test_time_may_be_shifted_by_its_interface() -> None:
    options = option(14, struct.pack("<q", -3)) + option(0, b"")
    assert read(section() + interface(options=options) + enhanced(5_000_000, b"a"))[0].time == 2 * SECOND


def test_options_behind_the_end_of_the_options_are_not_read() -> None:
    options = option(0, b"") + option(9, b"\x09")
    assert read(section() + interface(options=options) + enhanced(5, b"a"))[0].time == 5000


def test_each_interface_has_its_own_link_type_and_unit() -> None:
    data = section() + interface(link=1) + interface(link=RAW, options=option(9, b"\x09"))
    data += enhanced(5, b"a", number=1) + enhanced(5, b"b", number=0)
    assert read(data) == [Record(5, RAW, b"a", 1), Record(5000, 1, b"b", 1)]


def test_a_section_has_its_own_order_and_interfaces() -> None:
    data = section("<") + interface("<", link=1) + enhanced(1, b"a", "<")
    data += section(">") + interface(">", link=RAW) + enhanced(2, b"b", ">")
    assert read(data) == [Record(1000, 1, b"a", 1), Record(2000, RAW, b"b", 1)]
    with pytest.raises(CaptureError, match="interface 1, which the file does not describe"):
        read(data + enhanced(3, b"c", ">", number=1))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("flags", "direction"), [(1, 1), (2, 2), (0, 0), (0x1D, 1), (0xFFFF_FFFE, 2)])
def test_a_packet_may_tell_its_direction(order: str, flags: int, direction: int) -> None:
    word = option(2, struct.pack(order + "I", flags), order)
    for before in (b"", option(1, b"a comment", order)):
        data = section(order) + interface(order) + enhanced(5, b"abcde", order, options=before + word)
        assert read(data) == [Record(5000, RAW, b"abcde", 5, direction)]


@pytest.mark.parametrize(
    "options", [option(0, b"") + option(2, bytes((1, 0, 0, 0))), option(2, b"\1\0"), option(3, bytes((1, 0, 0, 0)))]
)
def test_what_is_no_word_of_the_direction_is_none(options: bytes) -> None:
    data = section() + interface() + enhanced(5, b"a", options=options) + enhanced(6, b"b")
    assert [record.direction for record in read(data)] == [0, 0]


def test_a_simple_packet_has_no_time_and_what_the_interface_keeps() -> None:
    data = section() + interface(kept=5) + block(3, struct.pack("<I", 900) + b"abcde")  # and three bytes of padding
    data += block(3, struct.pack("<I", 3) + b"xyz")
    assert read(data) == [Record(None, RAW, b"abcde", 900), Record(None, RAW, b"xyz", 3)]


def test_an_old_packet_block_is_read_too() -> None:
    body = struct.pack("<HHIIII", 0, 3, 0, 5, 3, 70) + b"abc"
    assert read(section() + interface() + block(2, body)) == [Record(5000, RAW, b"abc", 70)]


def test_other_blocks_are_stepped_over_however_long() -> None:
    data = section() + block(4, bytes(40)) + block(0xBAD, bytes(2 * CHUNK + 4))
    data += interface() + enhanced(1, b"a") + block(5, b"")
    assert read(data) == [Record(1000, RAW, b"a", 1)]


def test_records_that_cross_the_pieces_a_file_is_read_in() -> None:
    packets = [pcap_record(number, 0, bytes(100_000)) for number in range(50)]
    assert [record.time for record in read(pcap_header() + b"".join(packets))] == [number * SECOND for number in range(50)]


class Trickle(io.BytesIO):
    """Gives a byte at a time, as a pipe may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(1)


def test_a_pipe_that_gives_little_at_a_time_will_do() -> None:
    data = section() + interface() + enhanced(1, b"abc") + enhanced(2, b"d")
    assert [record.data for record in Capture(Trickle(data))] == [b"abc", b"d"]
    assert [record.data for record in Capture(Trickle(pcap((0, b"abc"), (1, b"d"))))] == [b"abc", b"d"]


def test_a_pcap_cut_at_every_byte_gives_what_is_whole() -> None:
    whole = pcap((1, b"abcd"), (2, b"efg"))
    ends = (24, 24 + 20, 24 + 20 + 19)
    for length in range(24, len(whole) + 1):
        count = sum(1 for end in ends[1:] if end <= length)
        assert cut(whole[:length]) == (count, None if length in ends else ends[count])


def test_a_pcapng_cut_at_every_byte_gives_what_is_whole() -> None:
    parts = [section(), interface(), enhanced(1, b"abcd"), block(4, b"1234"), enhanced(2, b"efg")]
    ends = [sum(map(len, parts[: number + 1])) for number in range(len(parts))]
    whole = b"".join(parts)
    for length in range(24, len(whole) + 1):
        count = sum(1 for end in (ends[2], ends[4]) if end <= length)
        begun = max([0, *(end for end in ends if end <= length)])
        assert cut(whole[:length]) == (count, None if length == begun else begun)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"\xd4\xc3", "2 bytes are no capture"),
        (b"GET / HTTP/1.1\r\n", "neither pcap nor pcapng: it begins with 47 45 54 20$"),
        (b"\x1f\x8b\x08\x00" + bytes(30), "looks compressed"),
        (pcap_header()[:20], "ends inside its header, at byte 20"),
        (pcap_header() + struct.pack("<IIII", 0, 0, 1 << 24, 60), "the record at byte 24 claims 16777216 bytes"),
        (section()[:8] + b"\0" * 20, "the section at byte 0 has no byte order"),
        (section() + struct.pack("<II", 6, 13) + bytes(40), "the block at byte 28 claims 13 bytes"),
        (section() + struct.pack("<II", 6, 8) + bytes(40), "the block at byte 28 claims 8 bytes"),
        (section() + struct.pack("<II", 6, 1 << 24) + bytes(40), "the block at byte 28 claims 16777216 bytes"),
        (section() + interface()[:-4] + b"\1\0\0\0", "the block at byte 28 has 20 bytes at its begin, 1 at its end"),
        (section() + block(1, b"abcd"), "the interface at byte 28 has 4 bytes"),
        (section() + interface() + block(6, b"abcd"), "the packet at byte 48 has 4 bytes"),
        (section() + interface() + block(6, struct.pack("<IIIII", 0, 0, 0, 9, 9) + b"abcd"), "at byte 48 claims 9 bytes"),
        (section() + enhanced(1, b"a"), "the packet at byte 28 is of interface 0, which the file does not describe"),
    ],
)
def test_what_is_no_capture_or_contradicts_itself_is_one_error(data: bytes, words: str) -> None:
    with pytest.raises(CaptureError, match=words):
        read(data)


WHOLE = section() + interface(options=option(9, b"\x09")) + enhanced(1, b"abcde") + block(3, b"\2\0\0\0ab") + enhanced(2, b"f")


FILES = st.sampled_from([WHOLE, pcap((1, b"abc"), (2, b"d"))])


@given(FILES, st.integers(0, 160), st.binary(max_size=9), st.binary(max_size=20))
def test_any_bytes_are_records_or_that_error(whole: bytes, at: int, put: bytes, more: bytes) -> None:
    data = whole[:at] + put + whole[at + len(put) :] + more
    try:
        records = read(data)
    except CaptureError as error:
        assert str(error)
    else:
        assert all(len(record.data) <= len(data) for record in records)


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("kind", ["pcap", "nsecpcap", "pcapng"])
@pytest.mark.parametrize("link", ["ether", "rawip", "linux-sll", "linux-sll2", "null", "loop"])
def test_files_that_another_program_writes_are_read_alike(tmp_path: Path, kind: str, link: str) -> None:
    links = {"ether": 1, "rawip": 101, "linux-sll": 113, "linux-sll2": 276, "null": 0, "loop": 108}
    packets = [(1_700_000_000 + number + number / 8, tcp(2, number, payload=bytes(number))) for number in range(20)]
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(pcap(*packets, link=links[link]))
    program = shutil.which("editcap")
    assert program is not None
    subprocess.run([program, "-F", kind, str(one), str(other)], check=True, capture_output=True, timeout=60)
    assert read(other.read_bytes()) == read(one.read_bytes())
    assert [record.data for record in read(other.read_bytes())] == [data for _, data in packets]


PACKET4 = tcp(2)
PACKET6 = b"\x60" + bytes(59)
MACS = bytes(12)


@pytest.mark.parametrize(
    ("link", "before", "packet"),
    [
        (1, MACS + b"\x08\x00", PACKET4),
        (1, MACS + b"\x86\xdd", PACKET6),
        (1, MACS + b"\x81\x00\x00\x05\x08\x00", PACKET4),
        (1, MACS + b"\x88\xa8\x00\x05\x81\x00\x00\x06\x86\xdd", PACKET6),
        (101, b"", PACKET4), (12, b"", PACKET6), (14, b"", PACKET4), (228, b"", PACKET4), (229, b"", PACKET6),
        (113, bytes(14) + b"\x08\x00", PACKET4),
        (113, bytes(14) + b"\x81\x00\x00\x05\x86\xdd", PACKET6),
        (276, b"\x86\xdd" + bytes(18), PACKET6),
        (0, b"\x02\0\0\0", PACKET4), (0, b"\0\0\0\x02", PACKET4), (0, b"\x1e\0\0\0", PACKET6), (0, b"\0\0\0\x0a", PACKET6),
        (108, b"\0\0\0\x18", PACKET6),
    ],
)  # fmt: skip
def test_ip_begins_behind_the_header_of_its_link(link: int, before: bytes, packet: bytes) -> None:
    assert ip_at(link, before + packet) == len(before)


@pytest.mark.parametrize(
    ("link", "data"),
    [
        (1, MACS + b"\x08\x06" + bytes(28)), (1, MACS), (1, MACS + b"\x81\x00\x00"), (101, b""), (113, bytes(15)),
        (276, bytes(30)), (0, b"\x02\0"), (0, b"\x07\0\0\0" + PACKET4), (108, b"\x02\0\0\0" + PACKET4),
    ],
)  # fmt: skip
def test_what_carries_no_ip_has_no_place_where_it_begins(link: int, data: bytes) -> None:
    assert ip_at(link, data) == -1


def test_a_link_that_is_not_read_is_one_error() -> None:
    with pytest.raises(CaptureError, match=r"link type 127 are not read; those read are 0 \(BSD loopback\), 1 \(Ethernet\)"):
        ip_at(127, bytes(60))
