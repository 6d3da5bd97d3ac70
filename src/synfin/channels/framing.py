"""Messages in a byte stream: where each begins and ends. Pure: bytes in, messages out; no I/O, no clock.

    LengthHeader(4)      | length, 4 bytes, big-endian | message |
    VarintHeader()       | length, LEB128, 1 to 9 bytes | message |
    Delimiter(b"\\r\\n")   | message | \\r\\n |
    FixedSize(16)        | message, 16 bytes |

With `checksum=True` a CRC-32 (zlib's) of header and message follows the message: 4 bytes big-endian, and with a delimiter 8
lowercase hexadecimal digits before it, because 4 raw bytes might contain it. `limit` is the longest message in bytes, without
header, checksum and delimiter.

A framing holds no state: one serves any number of connections. `decoder()` makes what a connection needs to read.
"""

from collections.abc import MutableSequence
from functools import partial
from struct import Struct
from typing import Any, Final
from zlib import crc32

from synfin.channels import varint
from synfin.channels.errors import (
    BadLength,
    ChecksumWrong,
    FramingError,
    MessageRefused,
    MessageTooLong,
    TruncatedMessage,
)
from synfin.engine.errors import UsageError

Buffer = bytes | bytearray | memoryview
Messages = MutableSequence[bytes]  # a list, a deque

LIMIT: Final = 1 << 20  # bytes
HEADERS: Final = {
    (1, "big"): Struct(">B"), (2, "big"): Struct(">H"), (4, "big"): Struct(">I"), (8, "big"): Struct(">Q"),
    (1, "little"): Struct("<B"), (2, "little"): Struct("<H"), (4, "little"): Struct("<I"), (8, "little"): Struct("<Q"),
}  # fmt: skip
CHECKSUM: Final = Struct(">I")
HEX_CHECKSUM: Final = 8  # digits
HEX_DIGITS: Final = b"0123456789abcdef"


class Framing:
    """Base class: how messages are told apart. `limit` is the longest message in bytes, `checksum` whether a CRC-32 follows."""

    __slots__ = ("checksum", "limit")

    def __init__(self, limit: int, checksum: bool) -> None:
        if limit < 0:
            raise UsageError(f"the limit is 0 bytes or more, not {limit}")
        self.limit = limit
        self.checksum = checksum

    def parts(self, message: Buffer) -> tuple[Buffer, ...]:
        """The pieces that make up `message` on the wire, in order. Raises MessageRefused."""
        raise NotImplementedError

    def encode(self, message: Buffer) -> bytes:
        """`message` as it goes over the wire. Raises MessageRefused when it is too long, or not to be said in this framing."""
        return b"".join(self.parts(message))

    def decoder(self) -> "Decoder":
        """What reads one stream, from its first byte on."""
        raise NotImplementedError

    def _check_length(self, message: Buffer) -> None:
        if len(message) > self.limit:
            raise MessageRefused(f"a message of {len(message)} bytes is longer than the limit of {self.limit}")


class LengthHeader(Framing):
    """The length before the message, as a number of `width` bytes (1, 2, 4, 8), `order` "big" or "little".

    `limit` is at most what the width can say; by default 1 MiB, or less where the width says less. Raises UsageError.
    """

    __slots__ = ("order", "pack", "struct", "width")

    def __init__(self, width: int = 4, order: str = "big", *, limit: int | None = None, checksum: bool = False) -> None:
        if (width, order) not in HEADERS:
            raise UsageError(f'a length header has 1, 2, 4 or 8 bytes, "big" or "little", not {width!r}, {order!r}')
        most = (1 << 8 * width) - 1
        if limit is not None and limit > most:
            raise UsageError(f"{width} bytes of header can say {most}, not the limit of {limit}")
        super().__init__(min(LIMIT, most) if limit is None else limit, checksum)
        self.width = width
        self.order = order
        self.struct = HEADERS[width, order]
        self.pack = self.struct.pack

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy: a Struct is not to be pickled."""
        return partial(LengthHeader, self.width, self.order, limit=self.limit, checksum=self.checksum), ()

    def parts(self, message: Buffer) -> tuple[Buffer, ...]:
        """See Framing."""
        length = len(message)
        if length > self.limit:
            self._check_length(message)
        header = self.pack(length)
        if self.checksum:
            return header, message, CHECKSUM.pack(crc32(message, crc32(header)))
        return header, message

    def decoder(self) -> "Decoder":
        """See Framing."""
        return LengthDecoder(self)


class VarintHeader(Framing):
    """The length before the message as an unsigned LEB128 number, in its shortest form."""

    __slots__ = ("width",)

    def __init__(self, *, limit: int = LIMIT, checksum: bool = False) -> None:
        if limit > varint.LARGEST:
            raise UsageError(f"a varint can say 2^63 - 1, not the limit of {limit}")
        super().__init__(limit, checksum)
        self.width = varint.width(limit)

    def parts(self, message: Buffer) -> tuple[Buffer, ...]:
        """See Framing."""
        self._check_length(message)
        header = varint.encode(len(message))
        if self.checksum:
            return header, message, CHECKSUM.pack(crc32(message, crc32(header)))
        return header, message

    def decoder(self) -> "Decoder":
        """See Framing."""
        return VarintDecoder(self)


class FixedSize(Framing):
    """Every message has `size` bytes, 1 or more."""

    __slots__ = ("size",)

    def __init__(self, size: int, *, checksum: bool = False) -> None:
        if size < 1:
            raise UsageError(f"messages of a fixed size have 1 byte or more, not {size}")
        super().__init__(size, checksum)
        self.size = size

    def parts(self, message: Buffer) -> tuple[Buffer, ...]:
        """See Framing."""
        if len(message) != self.size:
            raise MessageRefused(f"a message has {self.size} bytes here, not {len(message)}")
        return (message, CHECKSUM.pack(crc32(message))) if self.checksum else (message,)

    def decoder(self) -> "Decoder":
        """See Framing."""
        return FixedDecoder(self)


class Delimiter(Framing):
    """`delimiter` after each message, which must not contain it.

    With a checksum the delimiter has no hexadecimal digit in it, or the two could not be told apart. Raises UsageError.
    """

    __slots__ = ("delimiter",)

    def __init__(self, delimiter: bytes = b"\n", *, limit: int = LIMIT, checksum: bool = False) -> None:
        if not delimiter:
            raise UsageError("a delimiter has at least one byte")
        if checksum and any(byte in HEX_DIGITS for byte in delimiter):
            raise UsageError(f"the delimiter {delimiter!r} could be a part of the checksum's hexadecimal digits")
        super().__init__(limit, checksum)
        self.delimiter = bytes(delimiter)

    def parts(self, message: Buffer) -> tuple[Buffer, ...]:
        """See Framing."""
        self._check_length(message)
        body = bytes(message)
        if self.checksum:
            body += b"%08x" % crc32(body)
        # The message's end and the delimiter's beginning may form a delimiter that is found too early: a|aa.
        if (body + self.delimiter).find(self.delimiter) != len(body):
            raise MessageRefused(f"the message contains the delimiter {self.delimiter!r}, or forms one together with it")
        return body, self.delimiter

    def decoder(self) -> "Decoder":
        """See Framing."""
        return DelimiterDecoder(self)


class Decoder:
    """Reads one stream. Any split of the bytes gives the same messages, and the same error at the same offset.

    `position` is the offset of the message that is being read. What is kept between calls is the beginning of one message: at
    most `limit` bytes, its header, checksum and delimiter. An announced length costs no memory before its bytes come.
    """

    __slots__ = ("_pending", "_refused", "framing", "position")

    def __init__(self, framing: Framing) -> None:
        self.framing = framing
        self.position = 0
        self._pending = bytearray()
        self._refused: FramingError | None = None

    @property
    def pending(self) -> int:
        """How many bytes of an unfinished message are kept."""
        return len(self._pending)

    def feed(self, data: Buffer, into: Messages | None = None) -> Messages:
        """Take the next bytes of the stream; returns the messages that are whole now, appended to `into` where it is given.

        Raises FramingError at the first bytes that are not allowed; what was whole before them is in `into`, so give one where
        that matters. From then on the stream has no meaning: every further call raises the same error.
        """
        messages: Messages = [] if into is None else into
        if self._refused is not None:
            raise self._refused
        try:
            self._read(data if isinstance(data, bytes) else bytes(data), messages)
        except FramingError as error:
            self._refused = error
            self._pending = bytearray()
            raise
        return messages

    def end(self) -> None:
        """The stream has ended. Raises TruncatedMessage when that was inside a message, or the error that `feed` raised."""
        if self._refused is not None:
            raise self._refused
        if self._pending:
            missing, at_least = self._missing()
            self._refused = TruncatedMessage(
                offset=self.position, limit=self.framing.limit, got=len(self._pending), missing=missing, at_least=at_least
            )
            raise self._refused

    def _read(self, data: bytes, messages: Messages) -> None:
        raise NotImplementedError

    def _missing(self) -> tuple[int, bool]:
        raise NotImplementedError


class SizedDecoder(Decoder):
    """Of frames that say, or have, a size."""

    __slots__ = ("_body", "_size", "_trailer")

    def __init__(self, framing: Framing) -> None:
        super().__init__(framing)
        self._trailer = CHECKSUM.size if framing.checksum else 0
        self._body = 0  # bytes of header, of the frame measured last
        self._size = 0  # bytes of the frame in _pending, 0 while its header is not whole

    def _measure(self, data: bytes | bytearray, at: int, end: int) -> int:
        """Bytes of the whole frame that begins at `at`, 0 while that is not known. Sets `_body`. Raises FramingError."""
        raise NotImplementedError

    def _header(self) -> int:
        """The least number of bytes that a header has."""
        raise NotImplementedError

    def _missing(self) -> tuple[int, bool]:
        if self._size:
            return self._size - len(self._pending), False
        return max(1, self._header() - len(self._pending)), True

    def _read(self, data: bytes, messages: Messages) -> None:
        at = self._finish_pending(data, messages) if self._pending else 0
        end = len(data)
        first, began = at, self.position
        measure, trailer = self._measure, self._trailer
        append = messages.append
        while at < end:
            size = measure(data, at, end)
            stop = at + size
            if not size or stop > end:
                self._size = size
                self._pending += memoryview(data)[at:]
                break
            if trailer:
                self._verify(data, at, stop)
            append(data[at + self._body : stop - trailer])
            at = stop
            self.position = began + at - first

    def _finish_pending(self, data: bytes, messages: Messages) -> int:
        """Complete what is kept; returns how many bytes of `data` that took."""
        pending, end, at = self._pending, len(data), 0
        while not self._size and at < end:  # its header byte by byte: it is not known which is the last
            pending.append(data[at])
            at += 1
            self._size = self._measure(pending, 0, len(pending))
        take = min(self._size - len(pending), end - at) if self._size else 0
        if take:
            pending += memoryview(data)[at : at + take]
        if not self._size or len(pending) < self._size:
            return at + take
        if self._trailer:
            self._verify(pending, 0, self._size)
        with memoryview(pending) as view:
            messages.append(bytes(view[self._body : self._size - self._trailer]))
        self.position += self._size
        self._size = 0
        self._pending = bytearray()
        return at + take

    def _verify(self, data: bytes | bytearray, at: int, stop: int) -> None:
        (came,) = CHECKSUM.unpack_from(data, stop - CHECKSUM.size)
        with memoryview(data) as view:
            found = crc32(view[at : stop - CHECKSUM.size])
        if came != found:
            raise self._wrong_checksum(came, found)

    def _wrong_checksum(self, came: int, found: int) -> ChecksumWrong:
        return ChecksumWrong(
            f"the checksum is {came:08x}, the message's own is {found:08x}", offset=self.position, limit=self.framing.limit
        )

    def _too_long(self, length: int) -> MessageTooLong:
        return MessageTooLong(
            f"a message of {length} bytes is announced", offset=self.position, limit=self.framing.limit, length=length
        )


class LengthDecoder(SizedDecoder):
    """See LengthHeader."""

    __slots__ = ("_beside", "_limit", "_unpack")

    def __init__(self, framing: LengthHeader) -> None:
        super().__init__(framing)
        self._unpack = framing.struct.unpack_from
        self._limit = framing.limit
        self._body = framing.width
        self._beside = framing.width + self._trailer

    def _header(self) -> int:
        return self._body

    def _measure(self, data: bytes | bytearray, at: int, end: int) -> int:
        if end - at < self._body:
            return 0
        length: int = self._unpack(data, at)[0]
        if length > self._limit:
            raise self._too_long(length)
        return length + self._beside


class VarintDecoder(SizedDecoder):
    """See VarintHeader."""

    __slots__ = ("_width",)

    def __init__(self, framing: VarintHeader) -> None:
        super().__init__(framing)
        self._width = framing.width

    def _header(self) -> int:
        return 1

    def _measure(self, data: bytes | bytearray, at: int, end: int) -> int:
        try:
            length, width = varint.decode(data, at, end, self._width)
        except ValueError as error:
            raise BadLength(str(error), offset=self.position, limit=self.framing.limit) from None
        if not width:
            return 0
        if length > self.framing.limit:
            raise self._too_long(length)
        self._body = width
        return width + length + self._trailer


class FixedDecoder(SizedDecoder):
    """See FixedSize."""

    __slots__ = ("_whole",)

    def __init__(self, framing: FixedSize) -> None:
        super().__init__(framing)
        self._whole = framing.size + self._trailer

    def _header(self) -> int:
        return self._whole

    def _measure(self, data: bytes | bytearray, at: int, end: int) -> int:
        return self._whole


class DelimiterDecoder(Decoder):
    """See Delimiter."""

    __slots__ = ("_delimiter", "_longest", "_trailer")

    def __init__(self, framing: Delimiter) -> None:
        super().__init__(framing)
        self._delimiter = framing.delimiter
        self._trailer = HEX_CHECKSUM if framing.checksum else 0
        self._longest = framing.limit + self._trailer  # bytes before the delimiter

    def _missing(self) -> tuple[int, bool]:
        held = self._delimiter
        begun = next((size for size in range(len(held) - 1, 0, -1) if self._pending.endswith(held[:size])), 0)
        return len(held) - begun, True

    def _read(self, data: bytes, messages: Messages) -> None:
        at = self._finish_pending(data, messages) if self._pending else 0
        delimiter, end, longest = self._delimiter, len(data), self._longest
        width = len(delimiter)
        while at < end:
            stop = data.find(delimiter, at, at + longest + width)
            if stop < 0:
                self._check_room(end - at)
                self._pending += memoryview(data)[at:]
                return
            self._give(data[at:stop], messages)
            at = stop + width

    def _check_room(self, held: int) -> None:
        """So many bytes without a delimiter must still be the beginning of a message that is allowed."""
        if held >= self._longest + len(self._delimiter):
            raise MessageTooLong(
                f"no delimiter {self._delimiter!r} within the limit", offset=self.position, limit=self.framing.limit
            )

    def _finish_pending(self, data: bytes, messages: Messages) -> int:
        pending, width = self._pending, len(self._delimiter)
        before = len(pending)
        pending += memoryview(data)[: self._longest + width - before]
        stop = pending.find(self._delimiter, max(0, before - width + 1))
        if stop < 0:
            self._check_room(len(pending))
            return len(data)
        self._pending = bytearray()
        self._give(bytes(pending[:stop]), messages)
        return stop + width - before

    def _give(self, body: bytes, messages: Messages) -> None:
        if self._trailer:
            body, came = body[: -self._trailer], body[-self._trailer :]
            found = b"%08x" % crc32(body)
            if came != found:
                raise ChecksumWrong(
                    f"the checksum is {came!r}, the message's own is {found!r}", offset=self.position, limit=self.framing.limit
                )
        messages.append(body)
        self.position += len(body) + self._trailer + len(self._delimiter)
