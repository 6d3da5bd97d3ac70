"""From a capture to a script: one side of one connection, with calls that would have made its program's stack do so.

Owns which packets the side saw, and where one connection ends and the next between the same ports begins. What its program did
is inferred by record_calls.py.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple

from synfin.capture.links import LINUX_COOKED, LINUX_COOKED2, NO_IP, ip_at
from synfin.capture.reader import INBOUND, OUTBOUND, Capture, Record
from synfin.engine.config import TcpConfig
from synfin.engine.segment import ACK, FIN, RST, SYN
from synfin.engine.seq import HALF, MASK
from synfin.packetdrill.record import MICROSECONDS, Moment, Moved, RecordError, script_of
from synfin.packetdrill.record_calls import Descriptors, Program
from synfin.packetdrill.record_trace import chosen
from synfin.trace.events import endpoint_name
from synfin.wire.checksum import ones_complement_sum, pseudo_header_sum
from synfin.wire.errors import ParseError
from synfin.wire.packet import PacketView, describe, verify_checksums

SIDES: Final = ("client", "server")
COOKED: Final = {LINUX_COOKED: (0, 2), LINUX_COOKED2: (10, 11)}  # where a cooked header says who the packet was for
SENT: Final = 4  # by this machine; 0: to it (tcpdump.org/linktypes.html)


class Seen(NamedTuple):
    """A packet of a capture: time in ns, its direction as the file says it (0: it does not), what it is, and whether its
    checksums are right."""

    time: int
    direction: int
    view: PacketView
    right: bool


def record_capture(
    file: BinaryIO, side: str, *, connection: int | None = None, digits: int = MICROSECONDS, config: TcpConfig | None = None,
    left_open: Collection[str] = (), acks: bool = False, name: str = "a capture",
) -> str:  # fmt: skip
    """The script of what `side`, "client" or "server", of a connection in `file` saw and, by what it sent, did.

    `file` is a pcap or pcapng, open for reading bytes, `name` what the script calls it; `connection` is a number, from 1,
    where there are several; `digits`, `config` and `left_open` are as in script_of; `acks` tells by TCP_QUICKACK which ACKs
    went at once. Raises RecordError, CaptureError, OSError.
    """
    found = connections(file)
    which = chosen(list(found), connection)
    packets = found[which]
    first = next((seen for seen in packets if seen.view.segment.flags & (SYN | ACK) == SYN), None)
    if first is None:
        raise RecordError(f"the capture does not have the first SYN of {which}")
    client = _end(first.view)
    moments: list[Moment] = []
    descriptors = Descriptors()
    since = ""
    for life in _lives(_of_side(packets, client, side == "client")):
        gone = _gone(life)
        if gone >= 0:
            moments, descriptors, since = [], Descriptors(), ", since it forgot the connection"
        moments += Program(_taken_up(life[max(gone, 0) :]), descriptors, acks=acks).moments()
    origin = f"Recorded of the {side} in {name}{since}: {which}"
    return script_of(moments, origin=origin, digits=digits, config=config, left_open=left_open, absolute=True)


def _taken_up(moved: Sequence[Moved]) -> list[Moved]:
    """The same in the order in which the stack took it up: what came while it was at work on something else stands behind the
    packets that do not know of it, by their ACK (it is RCV.NXT) and by the timestamp that they echo (RFC 7323 4.3)."""
    found: list[Moved] = []
    waiting: list[Moved] = []
    syns = {each.inbound: each.view.segment for each in reversed(moved) if each.view.segment.flags & SYN}
    shift = max(syns[False].wscale, 0) if len(syns) == 2 and syns[True].wscale >= 0 else 0
    known = Known()
    for each in moved:
        if each.inbound:
            waiting.append(each)
            continue
        segment = each.view.segment
        taken = len(waiting)
        if segment.flags & (RST | SYN | ACK) == ACK:
            states = [known]
            for one in waiting:
                states.append(states[-1].after(one))
            says = (segment.ack, segment.tsecr if segment.has_timestamps else None)
            taken = next((count for count in range(taken, -1, -1) if states[count].says(segment.has_timestamps) == says), taken)
            known = states[taken].told(segment.ack, segment.window << shift)
        else:
            for one in waiting:
                known = known.after(one)
            known = known.told(segment.ack, segment.window) if segment.flags & ACK else known
        found += [*waiting[:taken], each]
        waiting = waiting[taken:]
    return found + waiting


class Known(NamedTuple):
    """What a stack knows of what came: RCV.NXT, the edge of its window, TS.Recent, Last.ACK.sent; None: nothing yet."""

    nxt: int | None = None
    edge: int = 0
    recent: int | None = None
    last: int | None = None

    def after(self, moved: Moved) -> "Known":
        """What it knows when it has taken up `moved`. What comes out of order is not kept here: the gap may close late."""
        segment = moved.view.segment
        if segment.flags & RST or (segment.flags & SYN and self.last is not None):
            return self
        if segment.flags & SYN:
            return Known((segment.seq + 1) & MASK, self.edge, segment.tsval if segment.has_timestamps else None)
        nxt, recent = self.nxt, self.recent
        stamped = segment.has_timestamps and self.last is not None and (self.last - segment.seq) & MASK < HALF
        if stamped and (recent is None or (segment.tsval - recent) & MASK < HALF):
            recent = segment.tsval
        length = len(segment.payload) + bool(segment.flags & FIN)
        if nxt is not None and (nxt - segment.seq) & MASK <= length:
            nxt = (nxt + min((segment.seq + length - nxt) & MASK, (self.edge - nxt) & MASK)) & MASK
        return self._replace(nxt=nxt, recent=recent)

    def told(self, ack: int, window: int) -> "Known":
        """What it knows when it has sent `ack` and `window` (bytes)."""
        return Known(ack, (ack + window) & MASK, self.recent, ack)

    def says(self, stamped: bool) -> tuple[int | None, int | None]:
        """ACK and echo of what it sends."""
        return self.nxt, self.recent if stamped else None


def _gone(moved: Sequence[Moved]) -> int:
    """The first packet that met a stack which knew no more of the open connection, as after a crash: nobody had ended it, and
    it is answered by an RST that takes its ACK for a sequence number (RFC 9293 3.5.2). -1: there is none."""
    opened = False
    begin = -1  # SND.UNA while nothing is acknowledged
    for index, each in enumerate(moved):
        segment = each.view.segment
        if each.inbound:
            if segment.flags & RST:
                return -1
            opened |= bool(segment.flags & ACK) and segment.ack == begin
        elif segment.flags & SYN:
            begin = (segment.seq + 1) & MASK
        elif segment.flags & FIN or segment.flags & (RST | ACK) == RST | ACK:
            return -1
        elif segment.flags & RST and opened and index and moved[index - 1].inbound:
            asked = moved[index - 1].view.segment
            return index - 1 if asked.flags & (SYN | ACK) == ACK and asked.ack == segment.seq else -1
    return -1


def _lives(moved: Sequence[Moved]) -> Iterator[Sequence[Moved]]:
    """The packets of each connection, of those that followed each other between the same ports: each begins with the SYN that
    the side sent with a number of its own, or the peer's that it answered so."""
    begin = 0
    number: int | None = None
    for index, each in enumerate(moved):
        segment = each.view.segment
        if each.inbound or not segment.flags & SYN or segment.seq == number:
            continue
        if number is not None:
            start = index
            if segment.flags & ACK:
                asked = (at for at in range(index - 1, begin, -1) if _asks(moved[at], segment.ack))
                start = next(asked, index)
            yield moved[begin:start]
            begin = start
        number = segment.seq
    yield moved[begin:]


def _asks(moved: Moved, ack: int) -> bool:
    """Whether `moved` is the peer's SYN that `ack` acknowledges."""
    segment = moved.view.segment
    return moved.inbound and bool(segment.flags & SYN) and (segment.seq + 1) & MASK == ack


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
        found.setdefault(name, []).append(Seen(record.time, _direction(record), view, _right(packet, view)))
    return found


def _direction(record: Record) -> int:
    """INBOUND, OUTBOUND, or 0: the record does not say."""
    if record.link not in COOKED:
        return record.direction
    kind = int.from_bytes(record.data[slice(*COOKED[record.link])], "big")
    return OUTBOUND if kind == SENT else INBOUND if not kind else 0


def _right(packet: bytes, view: PacketView) -> bool:
    """Whether the checksums are right, or TCP's was left to a network card: it is the pseudo-header's sum then."""
    if verify_checksums(packet):
        return True
    length = len(view.tcp_header) + len(view.segment.payload)
    return view.checksum == ones_complement_sum(b"", pseudo_header_sum(view.source, view.destination, length))


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
