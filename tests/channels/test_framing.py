"""Framing: any messages, any split of the bytes; what is refused, where, and before anything is stored."""

import pickle
from collections import deque
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin.channels import varint
from synfin.channels.errors import (
    BadLength,
    ChecksumWrong,
    FramingError,
    MessageRefused,
    MessageTooLong,
    TruncatedMessage,
)
from synfin.channels.framing import Decoder, Delimiter, FixedSize, Framing, LengthHeader, VarintHeader
from synfin.engine.errors import UsageError

LIMIT = 300
FRAMINGS = [
    *(LengthHeader(width, order, limit=min(LIMIT, 255) if width == 1 else LIMIT, checksum=checksum)
      for width in (1, 2, 4, 8) for order in ("big", "little") for checksum in (False, True)),
    *(VarintHeader(limit=LIMIT, checksum=checksum) for checksum in (False, True)),
    *(Delimiter(delimiter, limit=LIMIT) for delimiter in (b"\n", b"\r\n", b"aa", b"aba")),
    Delimiter(b"\r\n", limit=LIMIT, checksum=True),
    *(FixedSize(size, checksum=checksum) for size in (1, 7) for checksum in (False, True)),
]  # fmt: skip


def messages_of(draw: st.DrawFn, framing: Framing) -> list[bytes]:
    """Messages that `framing` takes."""
    if isinstance(framing, FixedSize):
        return draw(st.lists(st.binary(min_size=framing.size, max_size=framing.size), max_size=8))
    letters = st.sampled_from([97, 98, 10, 13, 48]) if isinstance(framing, Delimiter) else st.integers(0, 255)
    drawn = draw(st.lists(st.lists(letters, max_size=min(framing.limit, 300)).map(bytes), max_size=8))
    found = []
    for message in drawn:
        try:
            framing.encode(message)
        except MessageRefused:
            continue
        found.append(message)
    return found


def pieces(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data` cut anywhere, empty pieces too."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def read(decoder: Decoder, parts: list[bytes]) -> tuple[list[bytes], str]:
    """The messages, and in words the error that ended them."""
    found: list[bytes] = []
    try:
        for part in parts:
            decoder.feed(part, found)
        decoder.end()
    except FramingError as error:
        return found, f"{type(error).__name__}: {error}"
    return found, ""


@given(st.data())
def test_any_split_of_the_bytes_gives_the_same_messages(data: st.DataObject) -> None:
    framing = data.draw(st.sampled_from(FRAMINGS))

    @st.composite
    def case(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
        messages = messages_of(draw, framing)
        return messages, pieces(draw, b"".join(map(framing.encode, messages)))

    messages, parts = data.draw(case())
    decoder = framing.decoder()
    assert read(decoder, parts) == (messages, "")
    assert decoder.position == sum(map(len, parts))
    assert decoder.pending == 0


@given(st.data())
def test_any_split_of_any_bytes_gives_the_same_messages_and_the_same_error(data: st.DataObject) -> None:
    framing = data.draw(st.sampled_from(FRAMINGS))

    @st.composite
    def case(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
        stream = b"".join(map(framing.encode, messages_of(draw, framing))) + draw(st.binary(max_size=400))
        return stream, pieces(draw, stream)

    stream, parts = data.draw(case())
    whole = read(framing.decoder(), [stream])
    assert read(framing.decoder(), parts) == whole
    assert read(framing.decoder(), [bytes([byte]) for byte in stream]) == whole


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: f"{type(framing).__name__}")
@settings(max_examples=15)
@given(st.binary(min_size=2000, max_size=3000), st.integers(1, 100))
def test_what_is_kept_is_bounded_by_the_limit_whatever_comes(framing: Framing, data: bytes, step: int) -> None:
    decoder = framing.decoder()
    try:
        for at in range(0, len(data), step):
            decoder.feed(data[at : at + step])
            assert decoder.pending <= framing.limit + 8 + 10  # header or delimiter, and checksum
    except FramingError as error:
        assert error.limit == framing.limit
        assert 0 <= error.offset <= at + step
        assert decoder.pending == 0


def hex_sum(data: bytes) -> str:
    return f"{crc32(data):08x}"


@pytest.mark.parametrize(
    ("framing", "wire"),
    [
        (LengthHeader(1), "03 616263"), (LengthHeader(2), "0003 616263"), (LengthHeader(2, "little"), "0300 616263"),
        (LengthHeader(4), "00000003 616263"), (LengthHeader(4, "little"), "03000000 616263"),
        (LengthHeader(8), "0000000000000003 616263"), (LengthHeader(8, "little"), "0300000000000000 616263"),
        (LengthHeader(1, checksum=True), "03 616263" + hex_sum(b"\3abc")),
        (VarintHeader(), "03 616263"), (VarintHeader(checksum=True), "03 616263" + hex_sum(b"\3abc")),
        (Delimiter(b"\r\n"), "616263 0d0a"), (FixedSize(3), "616263"),
        (Delimiter(b"\n", checksum=True), "616263" + (b"%08x" % crc32(b"abc")).hex() + "0a"),
        (FixedSize(3, checksum=True), "616263" + hex_sum(b"abc")),
    ],
)  # fmt: skip
def test_the_bytes_on_the_wire(framing: Framing, wire: str) -> None:
    assert framing.encode(b"abc") == bytes.fromhex(wire)
    assert framing.decoder().feed(bytes.fromhex(wire)) == [b"abc"]


@given(st.integers(0, varint.LARGEST))
def test_a_varint_is_read_as_it_was_written_and_no_other_form_is(number: int) -> None:
    encoded = varint.encode(number)
    assert varint.decode(encoded, 0, len(encoded)) == (number, len(encoded)) and len(encoded) == varint.width(number)
    for end in range(len(encoded)):
        assert varint.decode(encoded, 0, end) == (0, 0)
    if len(encoded) < varint.LONGEST:
        longer = encoded[:-1] + bytes([encoded[-1] | 0x80, 0])
        with pytest.raises(ValueError, match="is not the shortest form"):
            varint.decode(longer, 0, len(longer))


@pytest.mark.parametrize("number", [-1, 1 << 63])
def test_a_number_that_no_varint_holds_is_refused(number: int) -> None:
    with pytest.raises(UsageError, match=f"0 to 2\\^63 - 1, not {number}"):
        varint.encode(number)


@pytest.mark.parametrize(
    ("number", "wire"),
    [
        (0, "00"), (1, "01"), (126, "7e"), (127, "7f"), (128, "8001"), (129, "8101"), (16_383, "ff7f"), (16_384, "808001"),
        ((1 << 56) - 1, "ff" * 7 + "7f"), (1 << 56, "80" * 8 + "01"), ((1 << 63) - 1, "ff" * 8 + "7f"),
    ],
)  # fmt: skip
def test_the_numbers_at_which_a_varint_grows(number: int, wire: str) -> None:
    encoded = bytes.fromhex(wire)
    assert varint.encode(number) == encoded
    assert varint.decode(b"?" + encoded + b"?", 1, len(encoded) + 2) == (number, len(encoded))
    assert varint.width(number) == len(encoded)


@pytest.mark.parametrize("longest", [1, 2, 9])
def test_a_varint_goes_on_for_no_more_than_its_longest_form(longest: int) -> None:
    held = b"\x80" * longest
    assert varint.decode(held, 0, longest - 1, longest) == (0, 0)
    with pytest.raises(ValueError, match=f"a varint goes on after {longest} bytes"):
        varint.decode(held, 0, longest, longest)
    if longest == 9:
        assert varint.decode(held, 0, 8) == (0, 0)
        with pytest.raises(ValueError, match="a varint goes on after 9 bytes"):
            varint.decode(held, 0, 9)


def test_300_is_two_bytes_as_the_format_says() -> None:
    assert varint.encode(300) == b"\xac\x02"


@pytest.mark.parametrize(
    ("framing", "data", "kind", "says"),
    [
        (LengthHeader(4, limit=10), "0000000b", MessageTooLong, "a message of 11 bytes is announced"),
        (LengthHeader(8, "little", limit=10), "ffffffffffffffff", MessageTooLong, "a message of 18446744073709551615 bytes"),
        (VarintHeader(limit=300), "ad02", MessageTooLong, "a message of 301 bytes is announced"),
        (VarintHeader(limit=300), "ffff", BadLength, "a varint goes on after 2 bytes"),
        (VarintHeader(limit=300), "8000", BadLength, "a varint of 2 bytes is not the shortest form of 0"),
        (Delimiter(b"\n", limit=3), "61616161", MessageTooLong, r"no delimiter b'\\n' within the limit"),
        (LengthHeader(1, checksum=True), "016100000000", ChecksumWrong, "the checksum is 00000000, the message's own is"),
        (FixedSize(1, checksum=True), "6100000000", ChecksumWrong, "the checksum is 00000000"),
        (Delimiter(b"\n", checksum=True), "61" + "30" * 8 + "0a", ChecksumWrong, "the checksum is b'00000000'"),
        (Delimiter(b"\n", checksum=True), "610a", ChecksumWrong, "the checksum is b'a'"),
    ],
)  # fmt: skip
def test_what_is_refused_is_refused_at_its_offset_with_nothing_kept(
    framing: Framing, data: str, kind: type[FramingError], says: str
) -> None:
    good = framing.encode(b"x")
    for parts in ([good + bytes.fromhex(data)], [bytes([byte]) for byte in good + bytes.fromhex(data)]):
        decoder, found = framing.decoder(), deque[bytes]()
        with pytest.raises(kind, match=says) as caught:
            for part in parts:
                decoder.feed(part, found)
        assert (list(found), caught.value.offset, caught.value.limit) == ([b"x"], len(good), framing.limit)
        assert f"at offset {len(good)} of the stream, limit {framing.limit} bytes" in str(caught.value)
        assert decoder.pending == 0
        for again in (lambda: decoder.feed(b"more"), decoder.end):  # noqa: B023
            with pytest.raises(kind) as same:
                again()
            assert same.value is caught.value


@pytest.mark.parametrize(
    ("framing", "data", "got", "missing", "at_least"),
    [
        (LengthHeader(4), "0000", 2, 2, True),
        (LengthHeader(4), "00000005 6162", 6, 3, False),
        (LengthHeader(2, checksum=True), "0002 6162 0000", 6, 2, False),
        (VarintHeader(), "80", 1, 1, True),
        (VarintHeader(), "05 61", 2, 4, False),
        (FixedSize(8), "616263", 3, 5, False),
        (Delimiter(b"\r\n"), "616263", 3, 2, True),
        (Delimiter(b"\r\n"), "6162630d", 4, 1, True),
    ],
)  # fmt: skip
def test_the_end_inside_a_message_says_how_much_is_missing(
    framing: Framing, data: str, got: int, missing: int, at_least: bool
) -> None:
    good = framing.encode(b"12345678")
    decoder = framing.decoder()
    assert decoder.feed(good + bytes.fromhex(data)) == [b"12345678"]
    with pytest.raises(TruncatedMessage) as caught:
        decoder.end()
    error = caught.value
    assert (error.offset, error.got, error.missing, error.at_least) == (len(good), got, missing, at_least)
    assert isinstance(error, EOFError)


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("kind", [LengthHeader, VarintHeader, Delimiter])
def test_a_message_of_the_limit_is_taken_and_one_byte_more_is_not_said_and_not_read(kind: Any, checksum: bool) -> None:
    framing, more = kind(limit=300, checksum=checksum), kind(limit=301, checksum=checksum)
    assert framing.decoder().feed(framing.encode(bytes(300))) == [bytes(300)]
    split = framing.decoder()
    assert [split.feed(bytes([byte])) for byte in framing.encode(bytes(300))][-1] == [bytes(300)]
    with pytest.raises(MessageRefused, match="301 bytes is longer than the limit of 300"):
        framing.encode(bytes(301))
    with pytest.raises(MessageTooLong) as caught:
        framing.decoder().feed(more.encode(bytes(301)))
    assert (caught.value.offset, caught.value.limit) == (0, 300)


class Counted(bytes):
    """Counts what is taken out of it byte by byte."""

    taken = 0

    def __getitem__(self, at: Any) -> Any:
        Counted.taken += isinstance(at, int)
        return super().__getitem__(at)


@pytest.mark.parametrize("framing", [LengthHeader(8), VarintHeader(), FixedSize(50_000)], ids=["length", "varint", "fixed"])
def test_of_a_message_that_comes_in_pieces_no_more_than_the_header_is_looked_at_byte_by_byte(framing: Framing) -> None:
    wire, decoder = framing.encode(bytes(50_000)), framing.decoder()
    Counted.taken = 0
    found = [*decoder.feed(wire[:1]), *decoder.feed(Counted(wire[1:])), *decoder.feed(Counted(wire))]
    assert found == [bytes(50_000)] * 2
    assert Counted.taken <= 11


def test_a_length_costs_no_memory_before_its_bytes_come() -> None:
    decoder = LengthHeader(4, limit=1 << 31).decoder()
    decoder.feed(b"\x7f\xff\xff\xff")
    assert decoder.pending == 4
    assert decoder._pending.__sizeof__() < 200


@pytest.mark.parametrize(
    ("framing", "message", "why"),
    [
        (LengthHeader(4, limit=3), b"four", "a message of 4 bytes is longer than the limit of 3"),
        (VarintHeader(limit=3), b"four", "a message of 4 bytes is longer than the limit of 3"),
        (Delimiter(b"\n", limit=3), b"four", "a message of 4 bytes is longer than the limit of 3"),
        (Delimiter(b"\n"), b"a\nb", r"contains the delimiter b'\\n'"),
        (Delimiter(b"aa"), b"ba", "forms one together with it"),
        (FixedSize(3), b"four", "a message has 3 bytes here, not 4"),
        (FixedSize(3), b"", "a message has 3 bytes here, not 0"),
    ],
)
def test_what_cannot_be_said_is_refused(framing: Framing, message: bytes, why: str) -> None:
    with pytest.raises(MessageRefused, match=why) as caught:
        framing.encode(message)
    assert isinstance(caught.value, UsageError)


def test_a_framing_that_cannot_be_is_refused() -> None:
    for make, why in (
        (lambda: LengthHeader(3), "1, 2, 4 or 8 bytes"),
        (lambda: LengthHeader(2, "middle"), '"big" or "little"'),
        (lambda: LengthHeader(1, limit=256), "1 bytes of header can say 255, not the limit of 256"),
        (lambda: LengthHeader(4, limit=-1), "the limit is 0 bytes or more, not -1"),
        (lambda: VarintHeader(limit=1 << 63), "a varint can say"),
        (lambda: Delimiter(b""), "a delimiter has at least one byte"),
        (lambda: Delimiter(b"e\n", checksum=True), "could be a part of the checksum's hexadecimal digits"),
        (lambda: FixedSize(0), "1 byte or more, not 0"),
    ):
        with pytest.raises(UsageError, match=why):
            make()


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_other_buffers_are_taken_and_may_be_used_again(kind: type) -> None:
    framing = LengthHeader(1)
    store = bytearray(b"\2ab\3c")
    decoder = framing.decoder()
    found = decoder.feed(kind(store))
    store[:] = bytes(len(store))
    assert [*found, *decoder.feed(b"de")] == [b"ab", b"cde"]
    assert framing.encode(kind(bytearray(b"xy"))) == b"\2xy"


@pytest.mark.parametrize(
    "framing",
    [LengthHeader(2, "little", limit=99, checksum=True), VarintHeader(limit=7), Delimiter(b"\r\n"), FixedSize(3)],
)
def test_a_framing_goes_to_another_process(framing: Framing) -> None:
    other = pickle.loads(pickle.dumps(framing))
    assert (other.limit, other.checksum, other.encode(b"abc")) == (framing.limit, framing.checksum, framing.encode(b"abc"))
