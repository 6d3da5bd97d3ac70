"""Writes a script: what one side of a connection heard, sent and was called to do, in the words of the language.

Owns the numbers (relative to the initial ones, timestamps to the first), the times (rounded), and what the side's packets tell
of how its stack was set. Knows neither traces nor captures: record_trace.py and record_capture.py tell it what happened. What
is recorded passes where the stack that plays it is set as the recorded one was; payload is a script's own pattern, only its
lengths are kept.
"""

import textwrap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from synfin.engine.config import TcpConfig
from synfin.engine.segment import ACK, FIN, RST, SYN, URG
from synfin.engine.seq import MASK
from synfin.packetdrill.compare import packet_text, read_options
from synfin.packetdrill.plan import LARGEST4, LARGEST6
from synfin.packetdrill.syntax import IpInfo, TcpOption, TcpPacket
from synfin.wire.packet import PacketView

MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000
FIRST_STAMP: Final = 1000  # what a script calls the first timestamp of a side: above 0, which means none
MTU: Final = {4: 1500, 6: 1520}  # of a script that says none
HEADERS: Final = {4: 40, 6: 60}
MOST_MTU: Final = {4: LARGEST4, 6: LARGEST6}  # that a script can say
MICROSECONDS: Final = 6
NANOSECONDS: Final = 9
DEFAULT_MSS: Final = 536  # RFC 9293 3.7.1
MOST_OPTIONS: Final = 40  # bytes of TCP options that a full segment may carry beside its text
STAMPS: Final = 12  # bytes of them that timestamps take
LONGEST: Final = 100  # characters of sysctls in one line
LEAST_BUFFER: Final = 4096  # what the first word of tcp_rmem says
MAX_WINDOW: Final = 0xFFFF
RMEM: Final = "net.ipv4.tcp_rmem"
WINDOWS: Final = "windows"  # what a script may leave open of our packets: the windows that they tell
TIMESTAMPS: Final = "timestamps"  # and the values of their timestamps behind the first


class RecordError(ValueError):
    """What was recorded makes no script; one line says why."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A packet that reached the side (`inbound`) or left it, at `time` in ns."""

    time: int
    inbound: bool
    view: PacketView


@dataclass(frozen=True, slots=True)
class Made:
    """A call of the side's program at `time` in ns, as a script writes it; one that waits until `end`. `opens`: it begins the
    connection anew. `read` and `written`: the bytes of the streams that it takes and gives."""

    time: int
    text: str
    end: int | None = None
    opens: bool = False
    read: int = 0
    written: int = 0


Moment = Moved | Made


class Numbers:
    """One connection's numbers as a script has them, kept as the player keeps them (flow.Flow)."""

    def __init__(self) -> None:
        self._remote_zero: int | None = None  # what the script calls 0 of the remote side's numbers
        self._remote = 0  # the remote side's initial number, counted from there
        self._last_syn = 0
        self._local = 0
        self._local_known = False
        self._settled = False
        self._stamps: dict[bool, int] = {}  # by direction: the first timestamp

    def translated(self, moved: Moved) -> TcpPacket:
        """The packet as a script has it. In order of time: what went before decides."""
        segment = moved.view.segment
        self._learn_stamp(moved)
        seq, absolute = self._inbound(segment.seq, segment.flags) if moved.inbound else self._outbound(moved)
        ack = None
        if segment.flags & ACK:
            remote = segment.ack - self._zero(segment.ack) - (0 if segment.flags & SYN else self._remote)
            ack = (segment.ack - self._local if moved.inbound else remote) & MASK
        options = tuple(self._option(option, moved.inbound) for option in read_options(moved.view))
        urgent = segment.urgent if segment.urgent else None
        return TcpPacket(
            moved.inbound, IpInfo(), None, segment.flags, seq, len(segment.payload), absolute, ack, segment.window, urgent,
            options,
        )  # fmt: skip

    def _zero(self, number: int) -> int:
        if self._remote_zero is None:
            self._remote_zero = number
        return self._remote_zero

    def _inbound(self, seq: int, flags: int) -> tuple[int, bool]:
        counted = (seq - self._zero(seq if flags & SYN else (seq - 1) & MASK)) & MASK
        if flags & SYN:
            self._last_syn = counted
            if not self._settled:
                self._remote = counted
            return counted, False
        return (counted - self._remote) & MASK, False

    def _outbound(self, moved: Moved) -> tuple[int, bool]:
        segment = moved.view.segment
        seq, flags = segment.seq, segment.flags
        if flags & RST:
            if not seq:  # 3.5.2: there was no number to take
                return 0, True
        else:
            if flags & SYN:
                if flags & ACK and (segment.ack - self._zero(segment.ack)) & MASK == (self._last_syn + 1) & MASK:
                    self._remote = self._last_syn
                if not self._local_known or seq != self._local:
                    self._local, self._local_known = seq, True
            self._settled |= bool(flags & ACK)
        return (seq - self._local) & MASK, False

    # --- timestamps

    def _learn_stamp(self, moved: Moved) -> None:
        segment = moved.view.segment
        if segment.has_timestamps:
            self._stamps.setdefault(moved.inbound, segment.tsval)

    def _option(self, option: TcpOption, inbound: bool) -> TcpOption:
        if option.name == "TS":
            value, echo = option.numbers
            return TcpOption("TS", (self._stamp(value or 0, inbound), self._stamp(echo or 0, not inbound)))
        if option.name == "sack":
            zero = self._local if inbound else (self._remote_zero or 0) + self._remote
            return TcpOption("sack", tuple((edge or 0) - zero & MASK for edge in option.numbers))
        return option

    def _stamp(self, value: int, inbound: bool) -> int:
        first = self._stamps.get(inbound)
        return 0 if first is None or not value else (value - first + FIRST_STAMP) & MASK


def _without_nagle(packets: Sequence[Moved]) -> bool:
    """Whether the side sent a small segment while data of its own was under way: what Nagle's algorithm holds back (3.7.4)."""
    una = edge = -1  # SND.UNA and SND.MAX; -1 before our SYN
    mss = DEFAULT_MSS
    for moved in packets:
        segment = moved.view.segment
        if moved.inbound:
            if segment.flags & SYN and segment.mss > 0:
                mss = segment.mss
            if segment.flags & ACK and edge >= 0 and (edge - segment.ack) & MASK <= (edge - una) & MASK:
                una = segment.ack
        elif segment.flags & SYN:
            una = edge = (segment.seq + 1) & MASK
        elif segment.payload and edge >= 0:
            length = len(segment.payload)
            rest = length % (mss - STAMPS * segment.has_timestamps) if length > mss else length
            small = 0 < rest < mss - MOST_OPTIONS and not segment.flags & (FIN | URG)
            if small and segment.seq == edge and (una != edge or length > mss):  # one that was cut on its way has a small end
                return True
            edge = max(edge - una & MASK, segment.seq + len(segment.payload) - una & MASK) + una & MASK
    return False


def _no_delay(moments: Sequence[Moment]) -> list[Moment]:
    """The same with TCP_NODELAY set where the side's socket begins: before connect, after accept."""
    found: list[Moment] = []
    for moment in moments:
        call, _, rest = moment.text.partition("(") if isinstance(moment, Made) else ("", "", "")
        number = rest.partition(",")[0] if call == "connect" else rest.rpartition("= ")[2]
        option = Made(moment.time, f"setsockopt({number}, IPPROTO_TCP, TCP_NODELAY, [1], 4) = 0")
        found += [option, moment] if call == "connect" else [moment, option] if call == "accept" else [moment]
    return found


def script_of(
    moments: Sequence[Moment], *, origin: str, digits: int = MICROSECONDS, config: TcpConfig | None = None,
    left_open: Collection[str] = (), absolute: bool = False,
) -> str:  # fmt: skip
    """The script of `moments`, which are in order; `origin` is what its first line says, `digits` those of a second's
    fraction, `config` how the stack was set where its SYN does not tell, `left_open` (of WINDOWS, TIMESTAMPS) what of our
    packets is not compared. `absolute`: times count from the start, so that what a stack took to answer, and the one that
    plays does not, adds up nowhere. Raises RecordError when no packet moved."""
    packets = [moment for moment in moments if isinstance(moment, Moved)]
    if not packets:
        raise RecordError("no packet of the connection is there")
    if _without_nagle(packets):
        moments = _no_delay(moments)
    version = 6 if len(packets[0].view.source) == 16 else 4
    capacity = _capacity(moments) if WINDOWS in left_open else 0
    lines = [f"// {origin}", *(f"// Left open: {name}" for name in left_open), *_options(packets, version)]
    settings = settings_of(config) if config is not None else {}
    told = _told(packets, capacity, alone=config is None)
    if RMEM in told:
        settings.pop("net.inet.tcp.recvspace", None)
    assignments = " ".join(f"{name}={value}" for name, value in (settings | told).items() if name != RMEM)
    lines += [f"0 `sysctl -q {part}`" for part in textwrap.wrap(assignments, LONGEST, break_on_hyphens=False)]
    lines += [f'0 `sysctl -q {RMEM}="{told[RMEM]}"`'] if RMEM in told else []
    if config is not None and config.initial_window_segments:
        lines.append(f"0 `ip route change default initcwnd {config.initial_window_segments}`")
    unit = 10 ** (NANOSECONDS - digits)
    zero = _zero(moments) if absolute else moments[0].time // MILLISECOND * MILLISECOND
    clock = 0
    numbers = Numbers()
    for moment in moments:
        if isinstance(moment, Made) and moment.opens:
            numbers = Numbers()
        at = (moment.time - zero) // unit * unit
        when = _seconds(max(at, clock), digits) if absolute else f"+{_seconds(max(at - clock, 0), digits)}"
        if isinstance(moment, Moved):
            lines.append(f"{when} {packet_text(_opened(numbers.translated(moment), left_open, capacity))}")
        elif moment.end is None:
            lines.append(f"{when} {moment.text}")
        else:
            end = (moment.end - zero) // unit * unit
            lines.append(f"{when}...{_seconds(max(end - (0 if absolute else clock), 0), digits)} {moment.text}")
        clock = max(at, clock)
    return "\n".join(lines) + "\n"


def _zero(moments: Sequence[Moment]) -> int:
    """What the script calls 0: where a millisecond ends by the clock of the side's timestamps, so that they tick at the same
    times. Where no clock of milliseconds gave them, or the packets' own, where one ends by the clock of the packets' times."""
    zero = moments[0].time // MILLISECOND * MILLISECOND
    ours = [
        (moment.time, moment.view.segment.tsval)
        for moment in moments if isinstance(moment, Moved) and not moment.inbound and moment.view.segment.has_timestamps
    ]  # fmt: skip
    if not ours:
        return zero
    late = [time - (value - ours[0][1] & MASK) * MILLISECOND for time, value in ours]  # behind the tick, and a constant
    spread = max(late) - min(late)
    if spread >= MILLISECOND or not (min(late) - zero) % MILLISECOND:
        return zero
    return min(late) - (MILLISECOND - spread) // 2  # as far from both ticks as can be: what a packet answers is older


def _opened(packet: TcpPacket, left_open: Collection[str], capacity: int) -> TcpPacket:
    """`packet` without what is left open of it, if it is ours. With a `capacity` that no SYN can say, the SYN's window too."""
    if packet.inbound:
        return packet
    syn = packet.flags & SYN
    if WINDOWS in left_open and (not syn or capacity):
        packet = replace(packet, window=None)
    if TIMESTAMPS in left_open and not syn and packet.options:
        options = tuple(
            TcpOption("TS", (None, option.numbers[1])) if option.name == "TS" else option for option in packet.options
        )
        packet = replace(packet, options=options)
    return packet


def _capacity(moments: Sequence[Moment]) -> int:
    """The largest receive buffer that the side's windows tell of, in bytes; 0 when no larger than its SYN's window says."""
    packets = [moment for moment in moments if isinstance(moment, Moved)]
    syn, asked = next(_syns(packets, False), None), next(_syns(packets, True), None)
    if syn is None or asked is None:
        return 0
    ours, theirs = syn.view.segment, asked.view.segment
    shift = ours.wscale if min(ours.wscale, theirs.wscale) >= 0 else 0
    done = most = 0
    for moment in moments:
        if isinstance(moment, Made):
            done += moment.read
        elif not moment.inbound and not moment.view.segment.flags & (SYN | RST):
            segment = moment.view.segment
            most = max(most, (segment.ack - theirs.seq - 1 & MASK) + (segment.window << shift) - done)
    return most if most >> shift > ours.window >> shift else 0


def _seconds(time: int, digits: int) -> str:
    return f"{time // SECOND}.{time % SECOND:09d}"[: digits - NANOSECONDS or None].rstrip("0").rstrip(".")


def _syns(packets: Sequence[Moved], inbound: bool) -> Iterator[Moved]:
    return (moved for moved in packets if moved.inbound == inbound and moved.view.segment.flags & SYN)


def _options(packets: Sequence[Moved], version: int) -> list[str]:
    """The script's options: IPv6, and the MTU that the MSS of our SYN tells."""
    lines = ["--ip_version=ipv6"] if version == 6 else []
    syn = next(_syns(packets, False), None)
    if syn is not None and syn.view.segment.mss > 0:
        mtu = min(syn.view.segment.mss + HEADERS[version], MOST_MTU[version])
        lines += [f"--mtu={mtu}"] if mtu != MTU[version] else []
    return lines


def _told(packets: Sequence[Moved], capacity: int, *, alone: bool) -> dict[str, int | str]:
    """What our SYN tells of how the stack is set: options that it leaves out though it might have them, the buffer's size and
    the window scale. `capacity` is the buffer's size where it is known to be another; `alone`: nothing else tells it."""
    syn, asked = next(_syns(packets, False), None), next(_syns(packets, True), None)
    if syn is None:
        return {}
    segment = syn.view.segment
    offered = asked.view.segment if asked is not None and segment.flags & ACK else None
    found: dict[str, int | str] = {}
    if not segment.has_timestamps and (offered is None or offered.has_timestamps):
        found["net.ipv4.tcp_timestamps"] = 0
    if segment.wscale < 0 and (offered is None or offered.wscale >= 0):
        found["net.ipv4.tcp_window_scaling"] = 0
    if not segment.sack_permitted and (offered is None or offered.sack_permitted):
        found["net.ipv4.tcp_sack"] = 0
    buffer = capacity or (segment.window if segment.window < MAX_WINDOW or segment.wscale == 0 else 0)
    if not buffer and alone and segment.wscale > 0:
        buffer = _first_window(packets) << segment.wscale
    if buffer and segment.wscale >= 0:
        found[RMEM] = f"{LEAST_BUFFER} {2 * buffer} {MAX_WINDOW << segment.wscale}"  # half of what is said is the window
    elif buffer:
        found["net.inet.tcp.recvspace"] = buffer
    return found


def _first_window(packets: Sequence[Moved]) -> int:
    """The window that the side tells before anything has come, as its first segment behind the SYN says it; 0: none does."""
    asked = next(_syns(packets, True), None)
    for moved in packets:
        segment = moved.view.segment
        if not moved.inbound and asked is not None and segment.flags & (SYN | RST | ACK) == ACK:
            return int(segment.window) if segment.ack == (asked.view.segment.seq + 1) & MASK else 0
    return 0


def settings_of(config: TcpConfig) -> dict[str, int]:
    """The sysctls that set a stack like `config`, as far as there are any."""
    return {
        "net.ipv4.tcp_timestamps": int(config.timestamps),
        "net.ipv4.tcp_window_scaling": int(config.window_scaling),
        "net.inet.tcp.recvspace": config.receive_buffer,
        "net.inet.tcp.sendspace": config.send_buffer,
        "net.inet.tcp.rexmit_initial": config.rto_initial // MILLISECOND,
        "net.inet.tcp.rexmit_min": config.rto_min // MILLISECOND,
        "net.inet.tcp.delacktime": config.delayed_ack // MILLISECOND,
        "net.inet.tcp.msl": config.msl // MILLISECOND,
        "net.ipv4.tcp_fin_timeout": config.fin_wait_2_timeout // SECOND,
        "net.ipv4.tcp_synack_retries": config.syn_ack_retries,
    }
