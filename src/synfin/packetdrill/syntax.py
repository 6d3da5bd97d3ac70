"""What a script says, as objects: options, events with their times, packets, calls, code.

Owns no rule but what a number means. Knows neither text nor player. Times are in nanoseconds; sequence numbers stand as the
script has them.
"""

from dataclasses import dataclass, field
from typing import Final

ABSOLUTE: Final = "absolute"
RELATIVE: Final = "relative"
ANY: Final = "any"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class ScriptError(Exception):
    """A script that cannot be read; `place` says where, the message why."""

    def __init__(self, place: Place, why: str) -> None:
        super().__init__(f"{place}: {why}")
        self.place = place
        self.why = why


@dataclass(frozen=True, slots=True)
class When:
    """A time: `kind` is ABSOLUTE, RELATIVE or ANY; `end` is the far end of a range, or None."""

    kind: str
    start: int = 0
    end: int | None = None


# --- expressions


@dataclass(frozen=True, slots=True)
class Number:
    """`value`, and how it was written."""

    value: int
    text: str


@dataclass(frozen=True, slots=True)
class Word:
    """A symbol."""

    name: str


@dataclass(frozen=True, slots=True)
class Text:
    """A string; `open` when `...` follows it: only a beginning is meant."""

    value: str
    open: bool = False


@dataclass(frozen=True, slots=True)
class Ellipsis_:
    """`...`: whatever fits."""


@dataclass(frozen=True, slots=True)
class Or:
    """`A|B|C`."""

    parts: "tuple[Expression, ...]"


@dataclass(frozen=True, slots=True)
class Items:
    """`[a, b]`."""

    items: "tuple[Expression, ...]"


@dataclass(frozen=True, slots=True)
class Struct:
    """`{a, b}` or `{name=a, name(2)=b}`: `fields` has the named, `items` the rest."""

    items: "tuple[Expression, ...]"
    fields: "tuple[tuple[str, Expression], ...]"

    def get(self, name: str) -> "Expression | None":
        """The field `name`, None where there is none."""
        for each, value in self.fields:
            if each == name:
                return value
        return None


@dataclass(frozen=True, slots=True)
class Applied:
    """`htons(8080)`, `inet_addr("192.0.2.1")`."""

    name: str
    arguments: "tuple[Expression, ...]"


Expression = Number | Word | Text | Ellipsis_ | Or | Items | Struct | Applied

# --- packets


@dataclass(frozen=True, slots=True)
class IpInfo:
    """What stands in `[...]` before a packet; None is not said. `ecn` is noecn, ect0, ect1, ce or ect01."""

    ecn: str | None = None
    tos: int | None = None
    ttl: int | None = None
    flow_label: int | None = None


@dataclass(frozen=True, slots=True)
class TcpOption:
    """One option: `name` as in the language, `numbers` its values (None: not compared), `data` bytes of a cookie.

    `kind` is the number of one that has no name here. absolute: TS ecr stands on the wire as it is.
    """

    name: str
    numbers: tuple[int | None, ...] = ()
    data: bytes = b""
    kind: int = -1
    absolute: bool = False


@dataclass(frozen=True, slots=True)
class TcpPacket:
    """A segment. `flags` are engine.segment's bits.

    seq, length: of the payload; `seq` None is not compared. absolute: `seq` is the number itself, not one relative to the
    initial ones. ack, window, urgent: None where nothing is said. options: None leaves them unchecked. ports: source and
    destination, None where nothing is said.
    """

    inbound: bool
    ip: IpInfo
    ports: tuple[int, int] | None
    flags: int
    seq: int | None
    length: int
    absolute: bool
    ack: int | None
    window: int | None
    urgent: int | None
    options: tuple[TcpOption, ...] | None
    ack_absolute: bool = False


@dataclass(frozen=True, slots=True)
class IcmpPacket:
    """An ICMP message: `kind` and `code` by name (or type_N, code_N), `mtu` and what it echoes (seq, length).

    identifier: of an echo. raw: it quotes nothing and has so many bytes, its header included.
    """

    inbound: bool
    ip: IpInfo
    kind: str
    code: str
    mtu: int | None
    echoed: tuple[int, int] | None
    identifier: int | None = None
    raw: int | None = None


# --- actions


@dataclass(frozen=True, slots=True)
class Call:
    """A system call. `result` is what is expected, `error` the name of an errno or "". `end`: it may block until then, as a
    time of the event's own kind; None: it must not block."""

    name: str
    arguments: tuple[Expression, ...]
    result: Expression
    error: str
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """A `%{ }%` block."""

    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A shell command."""

    text: str


@dataclass(frozen=True, slots=True)
class Beyond:
    """An action of the language that nobody plays here; `feature` says what it is."""

    feature: str


Action = TcpPacket | IcmpPacket | Call | Code | Command | Beyond


@dataclass(frozen=True, slots=True)
class Event:
    """One event: where, when, what, and its line as it was written."""

    place: Place
    when: When
    action: Action
    text: str


@dataclass(frozen=True, slots=True)
class Script:
    """A whole script. `options` are (place, name, value) without the leading dashes."""

    file: str
    options: tuple[tuple[Place, str, str], ...]
    init: tuple[Command, ...]
    events: tuple[Event, ...]
    cleanup: tuple[Command, ...] = field(default=())
