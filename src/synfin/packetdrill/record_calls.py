"""The program that may have been behind what one side of a connection sent and got: what a capture does not say.

Owns how calls are inferred: when the program opened, wrote, read and closed. A segment with PSH ends a write; a window that
moves on tells that something was read; what is left is read before the end. Where a program did otherwise the script shows
it: it does not pass. Knows no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from synfin.engine.segment import ACK, FIN, PSH, RST, SYN, URG
from synfin.engine.seq import HALF, MASK
from synfin.packetdrill.record import Made, Moment, Moved, RecordError

FIRST: Final = 3  # descriptor: 0 to 2 are the standard ones
AT_ONCE: Final = 10_000_000  # ns: an ACK that was put off waits longer (Linux: 40 ms, or a tick of 4 ms more)
MORE: Final = 1  # bytes that wait behind a segment without PSH that is the last of all
LEAST_MSS: Final = 536  # RFC 9293 3.7.1
STAMPS: Final = 12  # bytes that timestamps take from it
EVERY: Final = 2  # full-sized segments are acknowledged at once (RFC 9293 3.8.6.3, SHLD-18)
DONTWAIT: Final = "F_SETFL, O_RDWR|O_NONBLOCK"


class Descriptors:
    """The descriptors of a program that makes one connection after the other."""

    def __init__(self) -> None:
        self._open: set[int] = set()
        self.listener = -1

    def new(self) -> int:
        """The lowest number that is free, as POSIX has it."""
        number = next(number for number in range(FIRST, FIRST + len(self._open) + 1) if number not in self._open)
        self._open.add(number)
        return number

    def close(self, number: int) -> None:
        """`number` is free."""
        self._open.discard(number)


@dataclass(slots=True)
class _Calls:
    """What is called around one packet."""

    before: list[Made] = field(default_factory=list)
    after: list[Made] = field(default_factory=list)


class Program:
    """The program that may have been behind what one side of a connection sent and got, and that has `descriptors`."""

    def __init__(self, moved: Sequence[Moved], descriptors: Descriptors, *, acks: bool = False) -> None:
        self._moved = moved
        self._descriptors = descriptors
        self._tells_acks = acks  # which went at once, by TCP_QUICKACK
        first = next((each.view.segment for each in moved if not each.inbound), None)
        self._active = first is not None and first.flags & (SYN | ACK) == SYN
        self._number = -1
        self._calls = [_Calls() for _ in moved]
        self._syns = {each.inbound: each.view.segment for each in reversed(moved) if each.view.segment.flags & SYN}
        self._ended = False  # by a FIN, or by an RST of ours
        self._closed = len(moved)  # the packet from which on nobody has the socket

    def moments(self) -> list[Moment]:
        """Packets and calls in their order."""
        if not self._moved:
            raise RecordError("no packet of the connection is there")
        if False not in self._syns:  # nobody was there who opened anything
            return list(self._moved)
        begin = self._moved[0].time
        opening = self._connect(begin) if self._active else self._listen(begin)
        opened = self._opened()
        if opened >= 0:
            if not self._active:
                self._number = self._descriptors.new()
                call = f"accept({self._descriptors.listener}, ..., ...) = {self._number}"
                self._calls[opened].after.append(Made(self._moved[opened].time, call))
            self._reads(opened)
            self._writes()
            if self._tells_acks:
                self._acks(opened)
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

    def _listen(self, begin: int) -> list[Made]:
        if self._descriptors.listener >= 0:
            return []
        number = self._descriptors.listener = self._descriptors.new()
        calls = ("socket(..., SOCK_STREAM, IPPROTO_TCP) = {}", "bind({}, ..., ...) = 0", "listen({}, 128) = 0")
        return [Made(begin, call.format(number)) for call in calls]

    def _connect(self, begin: int) -> list[Made]:
        number = self._number = self._descriptors.new()
        made = [Made(begin, f"socket(..., SOCK_STREAM, IPPROTO_TCP) = {number}")]
        call = f"connect({number}, ..., ...)"
        opened = self._opened()
        if opened >= 0:
            return [*made, Made(begin, f"{call} = 0", self._moved[opened].time, opens=True)]
        refused = next((each for each in self._moved if each.inbound and each.view.segment.flags & RST), None)
        if refused is not None:
            return [*made, Made(begin, f"{call} = -1 ECONNREFUSED", refused.time, opens=True)]
        waiting = Made(begin, f"{call} = -1 EINPROGRESS", opens=True)
        return [*made, Made(begin, f"fcntl({number}, {DONTWAIT}) = 0"), waiting]

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
            elif done < (needed := min(edge - capacity, got)) and (needed - done >= 1 << shift or needed == got):
                answers = ack > acked or self._repeats(index - 1, irs, ack)
                self._read(index, self._place(index, arrived, needed, whole) if answers else -1, needed - done)
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

    def _repeats(self, index: int, irs: int, ack: int) -> bool:
        """Whether packet `index` came with what had come before, which is answered at once (RFC 9293 3.10.7.4)."""
        segment = self._moved[index].view.segment
        behind = (segment.seq - irs - ack) & MASK
        return self._moved[index].inbound and not segment.flags & (SYN | RST) and behind >= HALF

    def _place(self, index: int, arrived: int, needed: int, whole: Sequence[int]) -> int:
        """Behind which packet something was read, where packet `index` answers what came: it went for that, so reading came
        earlier. Packet `arrived` was the latest that brought some."""
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
        self._calls[index].after += [*made, Made(time, f"recv({self._number}, ..., 1, MSG_OOB) = 1", read=1)]

    def _reading(self, time: int, count: int) -> Made:
        return Made(time, f"read({self._number}, ..., {count}) = {count}", read=count)

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
        if self._listens(fin):
            return Made(self._moved[at].time, f"shutdown({self._number}, SHUT_WR) = 0")
        self._descriptors.close(self._number)
        self._closed = at
        return Made(self._moved[at].time, f"close({self._number}) = 0")

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
        self._descriptors.close(self._number)
        self._closed = index

    # --- acknowledging

    def _acks(self, opened: int) -> None:
        """TCP_QUICKACK where an ACK went at once though it could have waited, off where one waited."""
        irs = (self._syns[True].seq + 1) & MASK if True in self._syns else 0
        mss = max(self._syns[False].mss, LEAST_MSS) if False in self._syns else LEAST_MSS
        got = full = 0  # how far the stream came, and the full-sized segments since the latest ACK
        quick: bool | None = None  # as set last; None: as the stack is set
        for index, moved in enumerate(self._moved[: self._closed]):
            segment = moved.view.segment
            if not moved.inbound:
                full = 0
                if segment.payload:
                    quick = None
                continue
            begin, count = (segment.seq - irs) & MASK, len(segment.payload) + bool(segment.flags & FIN)
            if not count or begin > got or begin + count <= got:
                continue
            got = begin + count
            full += count >= mss - STAMPS
            if index < opened:  # there is no socket yet
                continue
            if self._at_once(index, got + irs & MASK):
                if full < EVERY and (not quick or segment.flags & FIN):  # on, it sends the ACK that waits
                    self._calls[index + 1].before.insert(0, self._quick(self._moved[index + 1].time, 1))
                    quick = True
            elif quick is not False and index > opened:
                self._calls[index].before.append(self._quick(moved.time, 0))
                quick = False

    def _at_once(self, index: int, ack: int) -> bool:
        """Whether packet `index`, which brought the stream up to `ack`, was answered at once by an ACK alone."""
        if index + 1 >= len(self._moved):
            return False
        answer = self._moved[index + 1]
        segment = answer.view.segment
        alone = not answer.inbound and not segment.payload and segment.flags & (SYN | FIN | RST | ACK) == ACK
        return alone and segment.ack == ack and answer.time - self._moved[index].time <= AT_ONCE

    def _quick(self, time: int, value: int) -> Made:
        return Made(time, f"setsockopt({self._number}, IPPROTO_TCP, TCP_QUICKACK, [{value}], 4) = 0")


def _reach(pieces: list[tuple[int, int]], got: int) -> int:
    """How far the stream is whole, with `pieces` that came behind `got`; those that are of no more use leave the list."""
    pieces.sort()
    while pieces and pieces[0][0] <= got:
        got = max(got, pieces.pop(0)[1])
    return got
