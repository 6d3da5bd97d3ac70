"""Reads capture files as a stream of records: pcap (microseconds and nanoseconds) and pcapng, in either byte order.

Owns the two formats (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng). One record is in memory at a time. A file that
ends inside a record gives what is whole and says where the rest is missing. Knows no protocol.
"""

from collections.abc import Iterator
from struct import Struct
from typing import BinaryIO, Final, NamedTuple

CHUNK: Final = 1 << 20  # bytes read at once
LONGEST: Final = 1 << 20  # bytes of a block that is held whole; programs that capture stop at 262,144 a packet
SECOND: Final = 1_000_000_000  # ns

PCAP_MAGICS: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000), b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1), b"\xa1\xb2\x3c\x4d": (">", 1),
}  # fmt: skip  magic: byte order, nanoseconds in a unit of the fraction
PCAP_HEADER: Final = 24
LINK_MASK: Final = 0x0FFF_FFFF  # the upper bits tell of a frame check sequence
PCAP_RECORD: Final = 16

SECTION: Final = b"\x0a\x0d\x0d\x0a"  # the same read from either end
BYTE_ORDER: Final = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
INTERFACE: Final = 1
OLD_PACKET: Final = 2
SIMPLE_PACKET: Final = 3
ENHANCED_PACKET: Final = 6
SECTION_NUMBER: Final = 0x0A0D0D0A
PACKETS: Final = (OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET)
IF_TSRESOL: Final = 9
IF_TSOFFSET: Final = 14
EPB_FLAGS: Final = 2
INBOUND: Final = 1  # of a record's direction
OUTBOUND: Final = 2
MICROSECONDS: Final = 6  # if_tsresol where there is none


class CaptureError(ValueError):
    """The file is no capture, or its bytes contradict themselves; the text names the offset."""


class Record(NamedTuple):
    """One packet: nanoseconds since 1970 (None: the file does not say), the link type, the bytes that were kept, how many
    there were, and its direction where the file says it: INBOUND, OUTBOUND or 0 (epb_flags, 4.3.1)."""

    time: int | None
    link: int
    data: bytes
    length: int
    direction: int = 0


class _Ended(Exception):
    """The file ends inside something."""


class Capture:
    """The records of `file`, an open binary file; iterate once.

    `cut_at` is the offset of a packet or block that the file ends inside of; the records before it have been given. Raises
    CaptureError, at once or while iterating, and OSError.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._data = b""
        self._at = 0
        self._base = 0  # offset in the file of the first byte of _data
        self._order = "<"
        self.cut_at: int | None = None
        self._begin = self._start()

    @property
    def offset(self) -> int:
        """How many bytes of the file have been taken."""
        return self._base + self._at

    def __iter__(self) -> Iterator[Record]:
        blocks = self._begin == SECTION
        try:
            yield from self._pcapng() if blocks else self._pcap(*PCAP_MAGICS[self._begin])
        except _Ended:
            self.cut_at = self._mark if blocks else self.offset

    def _start(self) -> bytes:
        """The first four bytes, not taken. Raises CaptureError for what is no capture."""
        self._mark = 0
        try:
            self._need(4)
        except _Ended:
            if not self._data:
                raise CaptureError("the file is empty") from None
            raise CaptureError(f"{len(self._data)} bytes are no capture") from None
        magic = self._data[:4]
        if magic != SECTION and magic not in PCAP_MAGICS:
            zipped = " (it looks compressed: gunzip it first)" if magic[:2] == b"\x1f\x8b" else ""
            raise CaptureError(f"neither pcap nor pcapng: it begins with {magic.hex(' ')}{zipped}")
        try:
            self._need(PCAP_HEADER)
        except _Ended:
            raise CaptureError(f"the file ends inside its header, at byte {len(self._data)}") from None
        return magic

    def _need(self, count: int) -> None:
        """Have at least `count` bytes from the current place on. Raises _Ended."""
        missing = count - (len(self._data) - self._at)
        if missing <= 0:
            return
        parts = [self._data[self._at :]]
        self._base += self._at
        self._at = 0
        while missing > 0:
            more = self._file.read(max(CHUNK, missing))
            if not more:
                self._data = b"".join(parts)
                raise _Ended
            parts.append(more)
            missing -= len(more)
        self._data = b"".join(parts)

    def _pcap(self, order: str, unit: int) -> Iterator[Record]:
        network = Struct(order + "I").unpack_from(self._data, 20)[0]
        link = network & LINK_MASK & 0xFFFF
        head = Struct(order + "IIII").unpack_from
        self._at = PCAP_HEADER
        while True:
            at = self._at
            if len(self._data) - at < PCAP_RECORD:
                if not self._more():
                    return
                self._need(PCAP_RECORD)
                at = self._at
            seconds, fraction, kept, length = head(self._data, at)
            if kept > LONGEST:
                raise CaptureError(f"the record at byte {self.offset} claims {kept} bytes: the file is damaged")
            end = at + PCAP_RECORD + kept
            if end > len(self._data):
                self._need(PCAP_RECORD + kept)
                at = self._at
                end = at + PCAP_RECORD + kept
            self._at = end
            yield Record(seconds * SECOND + fraction * unit, link, self._data[at + PCAP_RECORD : end], length)

    def _more(self) -> bool:
        """Whether the file goes on at all."""
        try:
            self._need(1)
        except _Ended:
            return False
        return True

    def _pcapng(self) -> Iterator[Record]:
        section = _Section("<")
        numbers = Struct("<II").unpack_from
        while self._more():
            self._mark = self.offset
            self._need(12)
            if self._data[self._at : self._at + 4] == SECTION:
                section = self._section()
                numbers = Struct(section.order + "II").unpack_from
            kind, length = numbers(self._data, self._at)
            if length < 12 or length % 4:
                raise CaptureError(f"the block at byte {self.offset} claims {length} bytes: the file is damaged")
            if kind in (SECTION_NUMBER, INTERFACE, *PACKETS):
                body = self._block(length, section.order)
                if kind == INTERFACE:
                    section.add_interface(body, self._mark)
                elif kind in PACKETS:
                    yield section.packet(kind, body, self._mark)
            else:
                self._skip(length)

    def _section(self) -> "_Section":
        order = BYTE_ORDER.get(self._data[self._at + 8 : self._at + 12])
        if order is None:
            raise CaptureError(f"the section at byte {self.offset} has no byte order that there is")
        return _Section(order)

    def _block(self, length: int, order: str) -> bytes:
        """The body of the block here, which is taken."""
        if length > LONGEST:
            raise CaptureError(f"the block at byte {self.offset} claims {length} bytes: the file is damaged")
        self._need(length)
        at, end = self._at, self._at + length
        (again,) = Struct(order + "I").unpack_from(self._data, end - 4)
        if again != length:
            raise CaptureError(f"the block at byte {self.offset} has {length} bytes at its begin, {again} at its end")
        self._at = end
        return self._data[at + 8 : end - 4]

    def _skip(self, length: int) -> None:
        """Step over a block of any length without holding it."""
        while length:
            part = min(length, CHUNK)
            self._need(part)
            self._at += part
            length -= part


class _Section:
    """A section of a pcapng file: its byte order and interfaces."""

    def __init__(self, order: str) -> None:
        self.order = order
        self.interfaces: list[tuple[int, int, int, int, int]] = []  # link, bytes kept, multiplier, divisor, offset in ns
        self._enhanced = Struct(order + "IIIII")
        self._old = Struct(order + "HHIIII")
        self._option = Struct(order + "HH")
        self._flags = Struct(order + "I")

    def add_interface(self, body: bytes, offset: int) -> None:
        """Read an Interface Description Block (4.2)."""
        if len(body) < 8:
            raise CaptureError(f"the interface at byte {offset} has {len(body)} bytes: the file is damaged")
        link, _, kept = Struct(self.order + "HHI").unpack_from(body)
        multiplier, divisor = _resolution(MICROSECONDS)
        shift = 0
        at = 8
        while len(body) - at >= 4:
            code, length = self._option.unpack_from(body, at)
            value = body[at + 4 : at + 4 + length]
            if code == 0 or len(value) < length:
                break
            if code == IF_TSRESOL and length == 1:
                multiplier, divisor = _resolution(value[0])
            elif code == IF_TSOFFSET and length == 8:
                shift = Struct(self.order + "q").unpack(value)[0] * SECOND
            at += 4 + (length + 3 & ~3)
        self.interfaces.append((link, kept, multiplier, divisor, shift))

    def packet(self, kind: int, body: bytes, offset: int) -> Record:
        """Read a block that has a packet (4.3, 4.4, appendix A)."""
        start = {ENHANCED_PACKET: 20, OLD_PACKET: 20, SIMPLE_PACKET: 4}[kind]
        if len(body) < start:
            raise CaptureError(f"the packet at byte {offset} has {len(body)} bytes: the file is damaged")
        high = low = None
        if kind == ENHANCED_PACKET:
            number, high, low, kept, length = self._enhanced.unpack_from(body)
        elif kind == OLD_PACKET:
            number, _, high, low, kept, length = self._old.unpack_from(body)
        else:
            number, (length,) = 0, Struct(self.order + "I").unpack_from(body)
            kept = min(length, len(body) - start)
        if number >= len(self.interfaces):
            raise CaptureError(f"the packet at byte {offset} is of interface {number}, which the file does not describe")
        link, most, multiplier, divisor, shift = self.interfaces[number]
        if kind == SIMPLE_PACKET and most:
            kept = min(kept, most)
        if kept > len(body) - start:
            raise CaptureError(f"the packet at byte {offset} claims {kept} bytes: the file is damaged")
        time = None if high is None else (high << 32 | low) * multiplier // divisor + shift
        end = start + (kept + 3 & ~3)
        direction = self._direction(body, end) if kind == ENHANCED_PACKET and len(body) > end else 0
        return Record(time, link, body[start : start + kept], length, direction)

    def _direction(self, body: bytes, at: int) -> int:
        """What the options of an Enhanced Packet Block, from `at` on, say of its direction."""
        while len(body) - at >= 8:
            code, length = self._option.unpack_from(body, at)
            if code == EPB_FLAGS and length == 4:
                (flags,) = self._flags.unpack_from(body, at + 4)
                return int(flags) & 3
            if not code:
                break
            at += 4 + (length + 3 & ~3)
        return 0


def _resolution(code: int) -> tuple[int, int]:
    """A unit of time in nanoseconds, as multiplier and divisor (if_tsresol: a power of 10, or of 2 with the top bit)."""
    power = code & 0x7F
    if code & 0x80:
        return SECOND, 1 << power
    return (10 ** (9 - power), 1) if power <= 9 else (1, 10 ** (power - 9))
