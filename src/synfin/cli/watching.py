"""What --pcap and --ladder look through: a TUN that shows every packet to a Watch, which writes them down as they pass.

Owns the file being written and the events being kept. A capture grows on disk only; a ladder keeps at most LADDER_PACKETS
packets, and says when there were more. Each packet stands once, at the time it crossed the TUN, checksums completed.
"""

import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import click

from synfin.cli.peerstates import Peer
from synfin.device.tun import TunDevice
from synfin.engine.errors import DropReason
from synfin.engine.observe import Observer
from synfin.engine.segment import (
    ACK,
    ACK_DELAYED,
    FIN,
    FIN_SENT,
    NEW_DATA,
    RESET_ABORT,
    RESET_NO_SOCKET,
    RST,
    SYN,
    SYN_ACK,
    SYN_OPEN,
    Buffer,
    Outgoing,
    Segment,
)  # fmt: skip
from synfin.engine.state import State, Trigger
from synfin.trace.events import Called, StateChanged, TimerStarted
from synfin.trace.ladder import build_ladder
from synfin.trace.ladder_text import ladder_text
from synfin.trace.pcapng import capture_header, captured_packet
from synfin.trace.recorder import HostRecorder, Trace
from synfin.wire import tcp
from synfin.wire.packet import build_packet, describe
from synfin.words import Text

US: Final = "synfin"
THEM: Final = "kernel"
LADDER_PACKETS: Final = 2_000
WITHHOLD_ALL: Final = -1
IP6_HEADER: Final = 40  # bytes

CUT = Text(
    "The ladder ends after {count} packets; --pcap writes them all.",
    "梯形图到第 {count} 个报文为止；--pcap 会写下全部报文。",
)
TITLE = Text("what passed the TUN, {us} and {them}", "经过 TUN 的报文：{us} 与 {them}")


class WatchedTun(TunDevice):
    """A TunDevice whose packets are shown to `watch`, where there is one. `withhold` keeps segments with one of its flags from
    the peer, `ignore` those from the peer; WITHHOLD_ALL keeps every one."""

    __slots__ = ("ignore", "watch", "withhold")
    watch: "Watch | None"
    withhold: int
    ignore: int

    def send(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        """See TunDevice."""
        if self._withheld(out):
            return
        if self.watch is not None:
            self.watch.sent(packet, out)
        super().send(packet, key, out)

    def transmit(self, key: bytes, out: Outgoing, identification: int, ttl: int = 64) -> None:
        """See TunDevice."""
        if self._withheld(out):
            return
        if self.watch is not None:
            self.watch.sent(build_packet(key, out, identification=identification, ttl=ttl), out)
        super().transmit(key, out, identification, ttl)

    def receive(self) -> Buffer | None:
        """See TunDevice."""
        packet = super().receive()
        while packet is not None and self.ignore and self._ignored(bytes(packet)):
            packet = super().receive()
        if packet is not None and self.watch is not None:
            self.watch.received(_without_partial_checksum(bytes(packet)) if self.verified else bytes(packet))
        return packet

    def _withheld(self, out: Outgoing) -> bool:
        return self.withhold == WITHHOLD_ALL or bool(self.withhold & out.flags)

    def _ignored(self, packet: bytes) -> bool:
        seen = _seen(packet)
        return seen is not None and bool(self.ignore & seen.flags)


def _without_partial_checksum(packet: bytes) -> bytes:
    """A packet whose TCP checksum the kernel left to the device: what stands in its place is that of the pseudo-header."""
    four = packet[0] >> 4 == 4
    if packet[9 if four else 6] != socket.IPPROTO_TCP:
        return packet
    at = ((packet[0] & 0x0F) * 4 if four else IP6_HEADER) + tcp.CHECKSUM_AT
    return packet[:at] + bytes(2) + packet[at + 2 :]


def _seen(packet: bytes) -> Outgoing | None:
    """What the kernel's segment says of itself; why the kernel sent it is what it seems. None when it is no TCP segment."""
    try:
        segment = describe(packet).segment
    except ValueError:  # ParseError
        return None
    if segment.flags & SYN:
        reason = SYN_ACK if segment.flags & ACK else SYN_OPEN
    elif segment.flags & RST:
        reason = RESET_ABORT if segment.flags & ACK else RESET_NO_SOCKET
    elif segment.flags & FIN:
        reason = FIN_SENT
    else:
        reason = NEW_DATA if segment.payload else ACK_DELAYED
    return Outgoing(segment.seq, segment.ack, segment.flags, segment.window, reason, segment.payload)


class _Recorder(HostRecorder):
    """The stack reads the clock once for many packets: what it tells happens no earlier than the packet it is about."""

    def __init__(self, watch: "Watch", trace: Trace) -> None:
        super().__init__(trace, US)
        self._watch = watch

    def state_changed(self, now: int, key: bytes, old: State, trigger: Trigger, new: State) -> None:
        """See HostRecorder."""
        super().state_changed(max(now, self._watch.latest), key, old, trigger, new)

    def dropped(self, now: int, key: bytes, reason: DropReason, segment: Segment | None) -> None:
        """See HostRecorder."""
        if key:  # what is not TCP is not in the ladder
            super().dropped(max(now, self._watch.latest), key, reason, segment)

    def timer_started(self, now: int, key: bytes, timer: str, deadline: int) -> None:
        """See HostRecorder."""
        moved = max(now, self._watch.latest)
        super().timer_started(moved, key, timer, deadline + moved - now)

    def segment_sent(self, now: int, key: bytes, segment: Outgoing) -> None:
        """See HostRecorder."""
        self._watch.latest = max(now, self._watch.latest)


class Watch:
    """Writes what passes to `pcap`, and keeps it for a ladder with `ladder`. Raises click.UsageError when it cannot write."""

    def __init__(self, pcap: Path | None, ladder: bool, addresses: tuple[list[bytes], list[bytes]]) -> None:
        self.trace: Trace | None = None
        self._observer: Observer | None = None
        self._file: BinaryIO | None = None
        self._pcap = pcap
        self._start = time.monotonic_ns()
        self._since_epoch = time.time_ns() - self._start
        self._packets = 0
        self._peers: dict[str, Peer] = {}
        self.latest = self._start  # when the last packet passed
        if pcap is not None:
            try:
                self._file = pcap.open("wb", buffering=1 << 16)
            except OSError as error:
                raise click.UsageError(f"cannot write {pcap}: {error.strerror}") from None
            self._file.write(capture_header(US))
        if ladder:
            self.trace = Trace()
            self.trace.observer(US, addresses[0])
            self.trace.addresses[THEM] = tuple(addresses[1])
            self._observer = _Recorder(self, self.trace)

    @property
    def observer(self) -> Observer | None:
        """For the stack; None when nothing is drawn."""
        return self._observer

    def sent(self, packet: bytes, out: Outgoing | None) -> None:
        """The stack sends `packet`."""
        self._note(packet, True)
        now = self.latest  # the stack's: what it decided to send, and that it has sent it, is one moment
        if self.trace is not None and self._packets <= LADDER_PACKETS:
            self.trace.sent(now, US, THEM, self._packets, packet, out)
            self.trace.delivered(now, THEM, US, self._packets, packet)
            self._guess(self.trace, packet, False)

    def received(self, packet: bytes) -> None:
        """`packet` has come."""
        now = self.latest = self._note(packet, False)
        if self.trace is not None and self._packets <= LADDER_PACKETS:
            self._guess(self.trace, packet, True)
            self.trace.sent(now, THEM, US, self._packets, packet, _seen(packet))
            self.trace.delivered(now, US, THEM, self._packets, packet)

    def _guess(self, trace: Trace, packet: bytes, theirs: bool) -> None:
        """Tell the trace in which state the packet leaves the kernel's end."""
        connection = trace.connection_of(packet)
        try:
            segment = describe(packet).segment
        except ValueError:  # ParseError
            return
        peer = self._peers.setdefault(connection, Peer())
        for old, trigger, new in peer.sent(segment) if theirs else peer.took(segment):
            cause = -1 if theirs else self._packets
            trace.events.append(StateChanged(self.latest, THEM, connection, old, trigger, new, cause))

    def _note(self, packet: bytes, outbound: bool) -> int:
        now = time.monotonic_ns()
        self._packets += 1
        if self._file is not None:
            try:
                self._file.write(captured_packet(now + self._since_epoch, packet, outbound=outbound))
            except OSError as error:
                self._give_up(error)
        return now

    def _give_up(self, error: OSError) -> None:
        """The disk is full, or the like: the capture ends here, the connections go on."""
        print(f"synfin: {self._pcap} ends before the packets do: {error.strerror}", file=sys.stderr)
        file, self._file = self._file, None
        with suppress(OSError):  # what it still holds cannot be written either
            if file is not None:
                file.close()

    def close(self) -> bool:
        """Finish the file; returns whether there is a whole one. Repeating it does nothing."""
        file = self._file
        try:
            if file is not None:
                file.close()
        except OSError as error:
            self._give_up(error)
        return self._file is not None

    def ladder(self, lang: str, color: bool) -> str:
        """What was kept, drawn; "" when nothing was to be drawn or nothing happened."""
        trace = self.trace
        if trace is None or not trace.connections():
            return ""
        for event in trace.events:  # counted from the start of the program, as in a simulation
            event.time -= self._start
            if isinstance(event, TimerStarted):
                event.deadline -= self._start
            elif isinstance(event, Called):
                event.started -= self._start
        self._start = 0
        title = TITLE.say(lang, us=US, them=THEM)
        drawn = ladder_text(build_ladder(trace), lang=lang, color=color, title=title)
        if self._packets > LADDER_PACKETS:
            drawn += "\n" + CUT.say(lang, count=LADDER_PACKETS) + "\n"
        return drawn
