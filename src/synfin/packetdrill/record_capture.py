"""From a capture to a script: one side of one connection, with calls that would have made its program's stack do so.

Owns what a capture does not say and how it is inferred: which packets the side saw, when its program opened, wrote, read and
closed. A segment with PSH ends a write; a window that moves on tells that something was read; what is left is read before the
end. Where a program did otherwise the script shows it: it does not pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final, NamedTuple

from synfin.capture.links import NO_IP, ip_at
from synfin.capture.reader import INBOUND, OUTBOUND, Capture
from synfin.engine.config import TcpConfig
from synfin.engine.segment import ACK, FIN, PSH, RST, SYN, URG
from synfin.engine.seq import HALF, MASK
from synfin.packetdrill.record import MICROSECONDS, Made, Moment, Moved, RecordError, script_of
from synfin.packetdrill.record_trace import chosen
from synfin.trace.events import endpoint_name
from synfin.wire.errors import ParseError
from synfin.wire.packet import PacketView, describe, verify_checksums

SIDES: Final = ("client", "server")
MORE: Final = 1  # bytes that wait behind a segment without PSH that is the last of all
DONTWAIT: Final = "F_SETFL, O_RDWR|O_NONBLOCK"


class Seen(NamedTuple):
    """A packet of a capture: time in ns, its direction as the file says it (0: it does not), what it is, and whether its
    checksums are right."""

    time: int
    direction: int
    view: PacketView
    right: bool


def record_capture(
    file: BinaryIO, side: str, *, connection: int | None = None, digits: int = MICROSECONDS, config: TcpConfig | None = None,
    name: str = "a capture",
) -> str:  # fmt: skip
    """The script of what `side`, "client" or "server", of a connection in `file` saw and, by what it sent, did.

    `file` is a pcap or pcapng, open for reading bytes, `name` what the script calls it; `connection` is a number, from 1,
    where there are several; `digits` and `config` are as in script_of. Raises RecordError, CaptureError, OSError.
    """
    found = connections(file)
    which = chosen(list(found), connection)
    packets = found[which]
    first = next((seen for seen in packets if seen.view.segment.flags & (SYN | ACK) == SYN), None)
    if first is None:
        raise RecordError(f"the capture does not have the first SYN of {which}")
    client = _end(first.view)
    moved = _of_side(packets, client, side == "client")
    numbers = {each.view.segment.seq for each in moved if not each.inbound and each.view.segment.flags & (SYN | ACK) == SYN}
    if len(numbers) > 1:
        raise RecordError(f"there are {len(numbers)} connections between the same ports, one after the other: {which}")
    moments = _Program(moved).moments()
    return script_of(moments, origin=f"Recorded of the {side} in {name}: {which}", digits=digits, config=config)


def connections(file: BinaryIO) -> dict[str, list[Seen]]:
    """The TCP connections of a capture by their names, in the order of their first packets.

    Raises RecordError, CaptureError.
    """
    found: dict[str, list[Seen]] = {}
    for record in Capture(file):
        at = ip_at(record.link, record.data)
        if at == NO_IP:
            continue
        packet = record.data[at:]
        try:
            view = describe(packet)
        except ParseError:
            if record.length > len(record.data):
                raise RecordError(
                    f"the capture has {len(record.data)} of the {record.length} bytes of a packet: record them whole"
                ) from None
            continue
        if record.time is None:
            raise RecordError("the capture does not tell times")
        ends = sorted((
            (bytes(view.source), view.source_port), (bytes(view.destination), view.destination_port),
        ))  # fmt: skip
        name = " ".join(endpoint_name(*end) for end in ends)
        found.setdefault(name, []).append(Seen(record.time, record.direction, view, verify_checksums(packet)))
    return found


def _end(view: PacketView) -> bytes:
    """Who sent it: address and port."""
    port: int = view.source_port
    return bytes(view.source) + port.to_bytes(2, "big")


def _of_side(packets: Sequence[Seen], client: bytes, active: bool) -> list[Moved]:
    """What one side sent and got: each packet once, though a file may have it where it left and where it arrived."""

    def ours(seen: Seen) -> bool:
        return (_end(seen.view) == client) == active

    told = [seen for seen in packets if seen.direction == (OUTBOUND if ours(seen) else INBOUND)]
    if not any(ours(seen) for seen in told):  # the file does not tell, or was written elsewhere
        told = list(packets)
    intact = any(seen.right for seen in told if not ours(seen))  # else checksums were left to a network card
    return [Moved(seen.time, not ours(seen), seen.view) for seen in told if ours(seen) or seen.right or not intact]


@dataclass(slots=True)
class _Calls:
    """What is called around one packet."""

    before: list[Made] = field(default_factory=list)
    after: list[Made] = field(default_factory=list)


class _Program:
    """The program that may have been behind what one side sent and got."""

    def __init__(self, moved: Sequence[Moved]) -> None:
        self._moved = moved
        first = next((each.view.segment for each in moved if not each.inbound), None)
        self._active = first is not None and first.flags & (SYN | ACK) == SYN
        self._number = 3 if self._active else 4
        self._calls = [_Calls() for _ in moved]
        self._syns = {each.inbound: each.view.segment for each in reversed(moved) if each.view.segment.flags & SYN}
        self._ended = False  # by a FIN, or by an RST of ours

    def moments(self) -> list[Moment]:
        """Packets and calls in their order."""
        if not self._moved:
            raise RecordError("no packet of the connection is there")
        if False not in self._syns:  # nobody was there who opened anything
            return list(self._moved)
        begin = self._moved[0].time
        opening = [Made(begin, "socket(..., SOCK_STREAM, IPPROTO_TCP) = 3")]
        if self._active:
            opening += self._connect(begin)
        else:
            opening += [Made(begin, "bind(3, ..., ...) = 0"), Made(begin, "listen(3, 128) = 0")]
        opened = self._opened()
        if opened >= 0:
            if not self._active:
                self._calls[opened].after.append(Made(self._moved[opened].time, "accept(3, ..., ...) = 4"))
            self._reads(opened)
            self._writes()
        found: list[Moment] = [*opening]
        for moved, calls in zip(self._moved, self._calls, strict=True):
            found += [*calls.before, moved, *calls.after]
        return found

    # --- opening

    def _opened(self) -> int:
        """The packet that acknowledges our SYN; -1 when none does."""
        syn = self._syns.get(False)
        for index, moved in enumerate(self._moved):
            segment = moved.view.segment
            if moved.inbound and syn is not None and segment.flags & (ACK | RST) == ACK and segment.ack == (syn.seq + 1) & MASK:
                return index
        return -1

    def _connect(self, begin: int) -> list[Made]:
        opened = self._opened()
        if opened >= 0:
            return [Made(begin, "connect(3, ..., ...) = 0", self._moved[opened].time, opens=True)]
        refused = next((each for each in self._moved if each.inbound and each.view.segment.flags & RST), None)
        if refused is not None:
            return [Made(begin, "connect(3, ..., ...) = -1 ECONNREFUSED", refused.time, opens=True)]
        waiting = Made(begin, "connect(3, ..., ...) = -1 EINPROGRESS", opens=True)
        return [Made(begin, f"fcntl(3, {DONTWAIT}) = 0"), waiting]

    # --- reading

    def _reads(self, opened: int) -> None:
        """What must have been read for the windows to be what they are; the rest before the end."""
        irs = (self._syns[True].seq + 1) & MASK if True in self._syns else 0
        ours, theirs = self._syns.get(False), self._syns.get(True)
        shift = ours.wscale if ours is not None and theirs is not None and min(ours.wscale, theirs.wscale) >= 0 else 0
        capacity, done, got, arrived, acked, urgent = 0, 0, 0, opened, 0, -1
        told = False  # a window that is scaled where the connection does
        pieces: list[tuple[int, int]] = []  # of the stream, as they came
        whole = [0] * len(self._moved)  # how much of it could be read behind each packet that came
        for index, moved in enumerate(self._moved):
            segment = moved.view.segment
            if moved.inbound:
                begin, count = (segment.seq - irs) & MASK, len(segment.payload)
                if segment.flags & URG and segment.urgent:
                    urgent = begin + segment.urgent - 1
                pieces.append((begin, begin + count))
                if (reach := _reach(pieces, got)) > got:
                    got, arrived = reach, index
                whole[index] = got
                if done <= urgent < got:
                    self._read_urgent(index, urgent - done)
                    done, urgent = urgent + 1, -1
                continue
            if segment.flags & RST or not segment.flags & ACK:
                continue
            ack = (segment.ack - irs) & MASK
            edge = ack + (segment.window << (0 if segment.flags & SYN else shift))
            scaled = not segment.flags & SYN
            if not got or (scaled and shift and not told):  # nothing was there to be read, or the first word of a large buffer
                capacity = max(capacity, edge)
            elif done < (needed := min(edge - capacity, got)) and needed - done >= 1 << shift:
                self._read(index, self._place(index, arrived, needed, whole) if ack > acked else -1, needed - done)
                done = needed
            told |= scaled
            acked = max(acked, ack) if ack < HALF else acked
            if segment.flags & FIN:
                if got > done:
                    self._calls[index].before.append(self._reading(moved.time, got - done))
                    done = got
                if not self._listens(index):
                    return
        if got > done:
            self._calls[arrived].after.append(self._reading(self._moved[arrived].time, got - done))

    def _place(self, index: int, arrived: int, needed: int, whole: Sequence[int]) -> int:
        """Behind which packet something was read, where packet `index` acknowledges more than those before: it went for that,
        so reading came earlier. Packet `arrived` was the latest that brought some."""
        if self._moved[arrived].time != self._moved[index].time:
            return arrived
        # What answers at once was not read in between.
        before = next((at for at in range(arrived - 1, -1, -1) if self._moved[at].inbound), arrived)
        return before if whole[before] >= needed else arrived

    def _read(self, index: int, behind: int, count: int) -> None:
        """`count` bytes were read behind packet `behind`, or where that is -1 before packet `index`, which tells of it."""
        calls = self._calls[index].before if behind < 0 else self._calls[behind].after
        calls.append(self._reading(self._moved[index if behind < 0 else behind].time, count))

    def _read_urgent(self, index: int, before: int) -> None:
        """What lies before the urgent byte is read, then the byte, as soon as packet `index` has brought it."""
        time = self._moved[index].time
        made = [self._reading(time, before)] if before else []
        self._calls[index].after += [*made, Made(time, f"recv({self._number}, ..., 1, MSG_OOB) = 1")]

    def _reading(self, time: int, count: int) -> Made:
        return Made(time, f"read({self._number}, ..., {count}) = {count}")

    # --- writing and closing

    def _writes(self) -> None:
        """One write for each run of new data up to a PSH, then the end."""
        start = (self._syns[False].seq + 1) & MASK
        where: list[Made] | None = None  # the calls among which the write of the run will stand
        begun = sent = size = 0
        mark = -1
        for index, moved in enumerate(self._moved):
            segment = moved.view.segment
            if moved.inbound or segment.flags & SYN:
                continue
            if segment.flags & RST:
                self._reset(index)
                continue
            count = len(segment.payload)
            new = ((segment.seq + count - start) & MASK) - sent
            if 0 < new <= count:
                if where is None:  # what a retransmission takes along waited already when it was due
                    begun = index if new == count else index - 1
                    where = self._calls[index].before if new == count else self._calls[index - 1].after
                mark = (segment.seq + segment.urgent - start) & MASK if segment.flags & URG else mark
                sent += new
                size += new
            fin = bool(segment.flags & FIN) and not self._ended
            if where is not None and (segment.flags & PSH or fin):
                flag = "MSG_OOB" if mark == sent else "MSG_MORE" if fin and begun == index else ""
                where.append(self._writing(begun, size, flag))
                if fin:
                    where.append(self._closing(begun, index))
                where, size = None, 0
            elif fin:
                self._calls[index].before.append(self._closing(index, index))
        if where is not None:
            where.append(self._writing(begun, size + MORE, "MSG_OOB" if mark == sent else ""))

    def _writing(self, index: int, size: int, flag: str) -> Made:
        """A write at the time of packet `index`; with MSG_MORE the FIN goes with it, so it waits for the close."""
        call = f"send({self._number}, ..., {size}, {flag})" if flag else f"write({self._number}, ..., {size})"
        return Made(self._moved[index].time, f"{call} = {size}")

    def _closing(self, at: int, fin: int) -> Made:
        """Our FIN is packet `fin`, called for at the time of packet `at`: a shutdown where data still came and was taken."""
        self._ended = True
        call = f"shutdown({self._number}, SHUT_WR) = 0" if self._listens(fin) else f"close({self._number}) = 0"
        return Made(self._moved[at].time, call)

    def _listens(self, fin: int) -> bool:
        """Whether data that came after our FIN, packet `fin`, was taken."""
        later = self._moved[fin + 1 :]
        refused = any(not each.inbound and each.view.segment.flags & RST for each in later)
        return not refused and any(each.inbound and len(each.view.segment.payload) for each in later)

    def _reset(self, index: int) -> None:
        """An RST,ACK while open (what a stack answers by itself is an RST alone): the program aborts, by SO_LINGER."""
        moved = self._moved[index]
        if self._ended or not moved.view.segment.flags & ACK:
            return
        self._ended = True
        hard = f"setsockopt({self._number}, SOL_SOCKET, SO_LINGER, {{onoff=1, linger=0}}, 8) = 0"
        self._calls[index].before += [Made(moved.time, hard), Made(moved.time, f"close({self._number}) = 0")]


def _reach(pieces: list[tuple[int, int]], got: int) -> int:
    """How far the stream is whole, with `pieces` that came behind `got`; those that are of no more use leave the list."""
    pieces.sort()
    while pieces and pieces[0][0] <= got:
        got = max(got, pieces.pop(0)[1])
    return got
