"""The options of a TCP header: MSS (RFC 9293 3.7.1), window scale and timestamps (RFC 7323 2, 3), SACK (RFC 2018).

Owns their bytes. Gives the values as they stand on the wire: that MSS counts only on a SYN, and that a scale above 14 means
14, is the engine's to know.
"""

from struct import Struct
from types import MappingProxyType
from typing import Final

from synfin.engine.errors import DropReason, UsageError
from synfin.engine.segment import Buffer, Outgoing, OutgoingSyn, Segment
from synfin.wire.errors import ParseError

END: Final = 0
NOP: Final = 1
MSS: Final = 2
WINDOW_SCALE: Final = 3
SACK_PERMITTED: Final = 4
SACK: Final = 5
TIMESTAMPS: Final = 8

OPTION_NAMES: Final[dict[int, str]] = {
    END: "end of options",
    NOP: "no-operation",
    MSS: "maximum segment size",
    WINDOW_SCALE: "window scale",
    SACK_PERMITTED: "SACK permitted",
    SACK: "SACK",
    TIMESTAMPS: "timestamps",
}

MAX_OPTIONS: Final = 40  # a data offset of 15 words, less the 20 bytes that every header has

# NOP NOP before the timestamps put their numbers on a word's border (RFC 7323 appendix A): the usual 12 bytes.
TIMESTAMPS_HEAD: Final = NOP << 24 | NOP << 16 | TIMESTAMPS << 8 | 10

_HALF: Final = Struct("!H")
_PAIR: Final = Struct("!II")
_ALIGNED_TIMESTAMPS: Final = Struct("!III")
_MSS: Final = Struct("!BBH")
_BYTES: Final = Struct("!BBBB")
_TIMESTAMPS: Final = Struct("!BBII")
# Where the numbers of an option lie on their border: it begins so many bytes after one of so many.
_BORDERS: Final = MappingProxyType({"mss": (0, 4), "wscale": (1, 2), "sackOK": (0, 2), "TS": (2, 4)})


class Option:
    """One option as it stands in a header; `data` is what follows its kind and length."""

    __slots__ = ("data", "kind")

    def __init__(self, kind: int, data: bytes) -> None:
        self.kind: int = kind
        self.data: bytes = data

    @property
    def name(self) -> str:
        """Its name in words, `option 30` for one that this package does not know."""
        return OPTION_NAMES.get(self.kind, f"option {self.kind}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Option) and (self.kind, self.data) == (other.kind, other.data)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Option({self.kind}, {self.data!r})"


def parse_options(data: Buffer, start: int, end: int) -> list[Option]:
    """Every option in `data[start:end]` in its order, NOPs too, up to the end of the options.

    Raises ParseError TCP_OPTION for a length that is missing, below 2, or leads past `end` (RFC 9293 MUST-7).
    """
    options = []
    at = start
    while at < end:
        kind = data[at]
        if kind == END:
            break
        if kind == NOP:
            options.append(Option(NOP, b""))
            at += 1
            continue
        size = _size(data, at, end)
        options.append(Option(kind, bytes(data[at + 2 : at + size])))
        at += size
    return options


def _size(data: Buffer, at: int, end: int) -> int:
    """The length of the option at `at`, kind and length included."""
    if at + 1 >= end:
        raise ParseError(DropReason.TCP_OPTION, f"option {data[at]} has no length")
    size = data[at + 1]
    if size < 2 or at + size > end:
        raise ParseError(DropReason.TCP_OPTION, f"option {data[at]} has length {size}, {end - at} bytes there")
    return size


def read_options(data: Buffer, start: int, end: int, segment: Segment) -> None:
    """Set what the options in `data[start:end]` say on `segment`.

    Unknown kinds, and known ones of a length that is not theirs, are skipped. Of two alike the last counts. Raises
    ParseError as parse_options does.
    """
    at = start
    while at < end:
        kind = data[at]
        if kind == END:
            return
        if kind == NOP:
            at += 1
            continue
        size = _size(data, at, end)
        if kind == TIMESTAMPS and size == 10:
            segment.has_timestamps = True
            segment.tsval, segment.tsecr = _PAIR.unpack_from(data, at + 2)
        elif kind == MSS and size == 4:
            (segment.mss,) = _HALF.unpack_from(data, at + 2)
        elif kind == WINDOW_SCALE and size == 3:
            segment.wscale = data[at + 2]
        elif kind == SACK_PERMITTED and size == 2:
            segment.sack_permitted = True
        elif kind == SACK and size >= 10 and size % 8 == 2:
            segment.sacks = tuple([_PAIR.unpack_from(data, left) for left in range(at + 2, at + size, 8)])
        at += size


def build_options(out: Outgoing) -> bytes:
    """The options of `out`, padded to whole words: of an OutgoingSyn in its order, else MSS, SACK permitted, timestamps, window
    scale, SACK.

    Raises UsageError when they take more than 40 bytes, struct.error when a number does not fit its field.
    """
    if isinstance(out, OutgoingSyn):
        return _build_ordered(out)
    parts = []
    if out.mss >= 0:
        parts.append(_MSS.pack(MSS, 4, out.mss))
    if out.has_timestamps:
        # SACK permitted takes the place of the two NOPs.
        head = (SACK_PERMITTED << 24 | 2 << 16 | TIMESTAMPS << 8 | 10) if out.sack_permitted else TIMESTAMPS_HEAD
        parts.append(_ALIGNED_TIMESTAMPS.pack(head, out.tsval, out.tsecr))
    elif out.sack_permitted:
        parts.append(bytes((NOP, NOP, SACK_PERMITTED, 2)))
    if out.wscale >= 0:
        parts.append(_BYTES.pack(NOP, WINDOW_SCALE, 3, out.wscale))
    if out.sacks:
        parts.append(_BYTES.pack(NOP, NOP, SACK, 2 + 8 * len(out.sacks)))
        parts += [_PAIR.pack(left, right) for left, right in out.sacks]
    options = b"".join(parts)
    if len(options) > MAX_OPTIONS:
        raise UsageError(f"{len(options)} bytes of options, a header has room for {MAX_OPTIONS}")
    return options


def _build_ordered(out: OutgoingSyn) -> bytes:
    """The options of a SYN, whose order and padding are its own."""
    pieces: dict[str, bytes] = {}
    if out.mss >= 0:
        pieces["mss"] = _MSS.pack(MSS, 4, out.mss)
    if out.sack_permitted:
        pieces["sackOK"] = bytes((SACK_PERMITTED, 2))
    if out.has_timestamps:
        pieces["TS"] = _TIMESTAMPS.pack(TIMESTAMPS, 10, out.tsval, out.tsecr)
    if out.wscale >= 0:
        pieces["wscale"] = bytes((WINDOW_SCALE, 3, out.wscale))
    names = [name for name in out.order.split() if name in pieces]
    options = b""
    for index, name in enumerate(names):
        if out.padding == "after":
            begin, border = _BORDERS[name]
            gap = (begin - len(options)) % border
        elif name == "sackOK" and names[index + 1 : index + 2] == ["TS"]:
            gap = 0  # the two fill whole words together
        else:
            gap = -(len(options) + len(pieces[name])) % 4
        options += bytes((NOP,)) * gap + pieces[name]
    return options + bytes((END,)) * (-len(options) % 4)
