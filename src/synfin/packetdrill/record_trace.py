"""From a trace to a script: one side of one connection, with the calls that its program made.

Owns which calls a script can tell and where they stand among the packets. Knows no file.
"""

import errno
from collections.abc import Collection, Sequence
from typing import Final

from synfin.engine.config import TcpConfig
from synfin.engine.segment import RST, SYN, URG
from synfin.engine.seq import MASK
from synfin.packetdrill.record import MICROSECONDS, Made, Moment, Moved, RecordError, script_of
from synfin.trace.events import (
    INJECTED,
    Called,
    Fault,
    PacketEvent,
    SegmentCorrupted,
    SegmentDelivered,
    SegmentSent,
)  # fmt: skip
from synfin.trace.recorder import Trace
from synfin.wire.errors import ParseError
from synfin.wire.packet import verify_checksums

BOUND: Final = ("socket", "bind", "listen", "close")  # calls told of a socket without a connection
ABOVE: Final = ("ask",)  # what a program tells of itself, which is no call of a socket


def chosen(names: Sequence[str], number: int | None) -> str:
    """The connection `number` (from 1) of those that are there; without a number there must be only one. Raises RecordError."""
    if not names:
        raise RecordError("there is no TCP connection in it")
    if number is None:
        if len(names) > 1:
            listed = "; ".join(f"{place}: {name}" for place, name in enumerate(names, 1))
            raise RecordError(f"there are {len(names)} connections, choose one by its number ({listed})")
        return names[0]
    if not 1 <= number <= len(names):
        raise RecordError(f"there is no connection {number}, there are {len(names)}")
    return names[number - 1]


def record_trace(
    trace: Trace, host: str, *, connection: int | None = None, digits: int = MICROSECONDS, config: TcpConfig | None = None,
    left_open: Collection[str] = (),
) -> str:  # fmt: skip
    """The script of what `host` saw and did in a connection of `trace`; `connection` is its number, from 1, where there are
    several. `digits`, `config` and `left_open` are as in script_of. Of a host that crashed the script has what came
    afterwards, when its stack had forgotten everything, or else what was before.

    Raises RecordError for what makes no script: a call that the language does not have, a connection that is not there.
    """
    if host not in trace.hosts:
        raise RecordError(f"there is no host {host!r}: there are {', '.join(trace.hosts)}")
    name = chosen(trace.connections(), connection)
    moments: list[Moment] = []
    before: list[Moment] = []  # the latest crash after which something moved
    teller = _Teller(trace, host, name)
    corrupted = {event.packet for event in trace if isinstance(event, SegmentCorrupted)}
    crash = ""
    for event in trace.events:
        if event.host != host:
            continue
        if isinstance(event, Fault) and event.what == "host crashed":
            before = moments if _packets(moments) else before
            moments, crash = [], ", since its crash"
            teller.forget()
        if isinstance(event, SegmentSent | SegmentDelivered) and event.connection == name:
            moved = _moved(event)
            if moved is not None and (event.packet not in corrupted or verify_checksums(event.data)):
                moments.append(moved)
        elif isinstance(event, Called) and teller.concerns(event):
            _insert(moments, event, teller)
    if crash and not _packets(moments):
        moments, crash = before, ", up to its crash"
    elif not before:
        crash = ""
    _check_data(moments)
    return script_of(
        moments, origin=f"Recorded of {host}{crash}: {name}", digits=digits, config=config, left_open=left_open
    )


def _packets(moments: Sequence[Moment]) -> bool:
    return any(isinstance(moment, Moved) for moment in moments)


def _check_data(moments: Sequence[Moment]) -> None:
    """Raises RecordError where more was sent than the calls wrote: a connect that brought data along."""
    first: int | None = None  # of our stream, behind the latest SYN
    most = written = 0
    for moment in (*moments, None):
        if moment is None or (isinstance(moment, Made) and moment.opens):  # the connection is over
            if most > written:
                text = "bytes were sent that no call wrote: a script's connect brings no data along"
                raise RecordError(f"{most - written} {text}")
            most = written = 0
        elif isinstance(moment, Made):
            written += moment.written
        elif not moment.inbound and not moment.view.segment.flags & RST:
            segment = moment.view.segment
            if segment.flags & SYN:
                first = (segment.seq + 1) & MASK
            elif first is not None and segment.payload:
                most = max(most, (segment.seq + len(segment.payload) - first) & MASK)


def _moved(event: PacketEvent) -> Moved | None:
    """The packet of an event; None for one that the host's own stack did not send, or that nobody can read."""
    inbound = isinstance(event, SegmentDelivered)
    if isinstance(event, SegmentSent) and event.reason == INJECTED:
        return None
    try:
        return Moved(event.time, inbound, event.view)
    except ParseError:
        return None


def _insert(moments: list[Moment], event: Called, teller: "_Teller") -> None:
    """A call stands before what it sent at the same time; one that opens, before its SYN, waiting from there on."""
    at = len(moments)
    if event.call == "connect":
        at = next((place for place, each in enumerate(moments) if each.time >= event.started and _is_syn(each)), at)
        moments[at:at] = teller.made(event, ())
        return
    while at and isinstance(moment := moments[at - 1], Moved) and not moment.inbound and moment.time == event.time:
        at -= 1
    sent = [moment for moment in moments[at:] if isinstance(moment, Moved)]
    moments[at:at] = teller.made(event, sent)


def _ends_urgently(sent: Sequence[Moved]) -> bool:
    """Whether urgent data ends where the last of `sent` does."""
    segments = [moved.view.segment for moved in sent if moved.view.segment.payload]
    ends = {(segment.seq + segment.urgent) & MASK for segment in segments if segment.flags & URG}
    return bool(segments) and (segments[-1].seq + len(segments[-1].payload)) & MASK in ends


def _is_syn(moment: Moment) -> bool:
    return isinstance(moment, Moved) and not moment.inbound and bool(moment.view.segment.flags & SYN)


class _Teller:
    """The calls of one host in one connection as a script writes them, with the descriptors that they use."""

    def __init__(self, trace: Trace, host: str, name: str) -> None:
        self._name = name
        packets = (event for event in trace.of(name) if isinstance(event, PacketEvent) and event.host == host)
        ports = {
            event.view.destination_port if isinstance(event, SegmentDelivered) else event.view.source_port
            for event in packets if isinstance(event, SegmentDelivered | SegmentSent) and _moved(event) is not None
        }  # fmt: skip
        self._port = f":{min(ports, default=0)}"
        self._first = -1  # the socket that was made first
        self._current = -1  # the one of the connection
        self._open: set[int] = set()

    def forget(self) -> None:
        """The host has crashed: no socket is left."""
        self._first = self._current = -1
        self._open.clear()

    def concerns(self, event: Called) -> bool:
        """Whether `event` is about the connection, or about the socket that has its port: a listener, one that was bound."""
        bound = " " not in event.connection and event.connection.endswith(self._port)
        return (event.connection == self._name or (bound and event.call in BOUND)) and event.call not in ABOVE

    def _new(self) -> int:
        """The lowest number that is free, as POSIX has it."""
        number = 3
        while number in self._open:
            number += 1
        self._open.add(number)
        return number

    def made(self, event: Called, sent: Sequence[Moved]) -> list[Made]:
        """The call, or two that do what it did; `sent` are the packets that left with it.

        Raises RecordError for one that scripts do not have.
        """
        if event.call == "socket":
            self._first = self._current = self._new()
            return [Made(event.time, f"socket(..., SOCK_STREAM, IPPROTO_TCP) = {self._first}")]
        if event.call == "accept" and not event.error:
            self._current = self._new()
            return [Made(event.time, f"accept({self._first}, ..., ...) = {self._current}")]
        number = self._current if " " in event.connection else self._first
        if event.call in ("close", "abort"):
            self._open.discard(number)
            hard = f"setsockopt({number}, SOL_SOCKET, SO_LINGER, {{onoff=1, linger=0}}, 8) = 0"
            return [Made(event.time, text) for text in ([hard] if event.call == "abort" else []) + [f"close({number}) = 0"]]
        answer = f"-1 {errno.errorcode.get(event.error, 'EINVAL')}" if event.error else event.result or "0"
        if event.call == "connect":
            return [Made(event.started, f"connect({number}, ..., ...) = {answer}", event.time, opens=True)]
        return [self._told(event, sent, number, answer)]

    def _told(self, event: Called, sent: Sequence[Moved], number: int, answer: str) -> Made:
        name, arguments = event.call, event.arguments
        count = 0 if event.error or name not in ("send", "recv") else int(answer)
        if name in ("bind", "accept"):
            call = f"{name}({number}, ..., ...)"
        elif name in ("listen", "shutdown"):
            call = f"{name}({number}, {arguments})"
        elif name == "send" and _ends_urgently(sent):
            call = f"send({number}, ..., {count or 1}, MSG_OOB)"
        elif name == "send":
            call = f"write({number}, ..., {1 if event.error else count})"
        elif name == "recv" and arguments == "MSG_OOB":
            call = f"recv({number}, ..., 1, MSG_OOB)"
        elif name == "recv":
            limit, _, flag = arguments.partition(", ")
            call = f"recv({number}, ..., {limit}, {flag})" if flag else f"read({number}, ..., {limit})"
        else:
            raise RecordError(f"a script has no call for {name}({arguments})")
        text = f"{call} = {answer}"
        return Made(event.time, text, read=count * (name == "recv"), written=count * (name == "send"))
