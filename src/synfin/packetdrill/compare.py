"""An expected packet and what has left: the differences, and the packet in the script's own words.

Owns what is compared, and what `--strict` and the relaxations change in that. Knows no time but the timestamps' tick.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from synfin.engine.segment import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG
from synfin.packetdrill.flow import ECN_BITS, Flow
from synfin.packetdrill.syntax import IpInfo, TcpOption, TcpPacket
from synfin.stack.addresses import local_port_of, remote_port_of
from synfin.wire import tcpoptions
from synfin.wire.packet import PacketView, describe, parse_ip, verify_checksums
from synfin.wire.tcp import MIN_HEADER

LETTERS: Final = ((FIN, "F"), (SYN, "S"), (RST, "R"), (PSH, "P"), (URG, "U"), (ECE, "E"), (CWR, "W"), (AE, "A"), (ACK, "."))
NAMES: Final = {
    tcpoptions.MSS: ("mss", 4), tcpoptions.WINDOW_SCALE: ("wscale", 3), tcpoptions.SACK_PERMITTED: ("sackOK", 2),
    tcpoptions.TIMESTAMPS: ("TS", 10),
}  # fmt: skip
ECN_NAMES: Final = {bits: name for name, bits in ECN_BITS.items()}
SIX: Final = 36  # bytes of a key of IPv6: two addresses and two ports
LOOSE: Final = ("push", "window", "options", "ecn", "urgent")  # what a relaxation leaves uncompared


class Sent(NamedTuple):
    """A packet that has left: when (ns), its bytes, and for which connection."""

    at: int
    packet: bytes
    key: bytes


class Rules(NamedTuple):
    """What is compared. `loose` are of LOOSE; `tick` is --tcp_ts_tick_usecs, 0 for none; `tolerance` in microseconds, of a
    timestamp: it grows with the time since the start."""

    strict: bool = False
    loose: frozenset[str] = frozenset()
    tick: int = 0
    tolerance: int = 4000


class Joined:
    """One packet, or several that together are what the script expects as one: SEG.SEQ and CWR are the first's, all else the
    last's (a segment cut on its way out)."""

    __slots__ = ("flags", "options", "packets", "payload", "seq", "view")

    def __init__(self, packets: Sequence[Sent]) -> None:
        views = [describe(sent.packet) for sent in packets]
        self.packets = packets
        self.view: PacketView = views[-1]
        self.options: tuple[TcpOption, ...] = read_options(self.view)
        self.seq: int = views[0].segment.seq
        self.flags: int = (views[-1].segment.flags & ~CWR) | (views[0].segment.flags & CWR)
        self.payload: bytes = b"".join(bytes(view.segment.payload) for view in views)

    def goes_on(self, sent: Sent, wanted: int) -> bool:
        """Whether `sent` is the next piece of what is to be `wanted` bytes: cut by a device, all pieces have the same header
        but for PSH, FIN, CWR and the length of the last."""
        last, following = self.packets[-1], Joined([sent])
        if sent.key != last.key or following.seq != self.end or not following.payload or following.flags & (SYN | RST):
            return False
        ours, next_one = Joined([last]), following
        if len(self.payload) + len(next_one.payload) < wanted and len(next_one.payload) != len(ours.payload):
            return False
        one, other = ours.view.segment, next_one.view.segment
        if (ours.flags ^ next_one.flags) & (ACK | URG | ECE | AE) or one.ack != other.ack or one.window != other.window:
            return False
        return one.urgent == other.urgent and len(ours.view.tcp_header) == len(next_one.view.tcp_header)

    @property
    def end(self) -> int:
        """The sequence number behind the payload."""
        return (self.seq + len(self.payload)) & 0xFFFFFFFF


def read_options(view: PacketView) -> tuple[TcpOption, ...]:
    """The options of a packet as the language has them, padding included."""
    header = view.tcp_header
    at, end = MIN_HEADER, len(header)
    found = []
    while at < end:
        kind = header[at]
        if kind in (tcpoptions.END, tcpoptions.NOP):
            found.append(TcpOption("eol" if kind == tcpoptions.END else "nop"))
            at += 1
            continue
        size = max(header[at + 1], 2) if at + 1 < end else 2
        data = header[at + 2 : at + size]
        at += size
        name, length = NAMES.get(kind, ("", 0))
        if name and length == size:
            if name == "TS":
                numbers: tuple[int, ...] = (int.from_bytes(data[:4], "big"), int.from_bytes(data[4:], "big"))
            else:
                numbers = (int.from_bytes(data, "big"),) if data else ()
            found.append(TcpOption(name, numbers))
        elif kind == tcpoptions.SACK and size % 8 == 2:
            found.append(TcpOption("sack", tuple(int.from_bytes(data[i : i + 4], "big") for i in range(0, len(data), 4))))
        else:
            found.append(TcpOption("FO" if kind == 34 else "unknown", data=data, kind=kind))
    return tuple(found)


# --- words of the language


def flags_text(flags: int) -> str:
    """`P.`; `-` for none."""
    return "".join(letter for bit, letter in LETTERS if flags & bit) or "-"


def option_text(option: TcpOption) -> str:
    """`mss 1460`."""
    numbers = ["..." if number is None else str(number) for number in option.numbers]
    if option.name == "TS":
        return f"TS val {numbers[0]} ecr {numbers[1]}"
    if option.name == "sack":
        return "sack " + " ".join(f"{left}:{right}" for left, right in zip(numbers[::2], numbers[1::2], strict=True))
    name = f"unknown {option.kind}" if option.name == "unknown" else option.name
    return " ".join([name, *numbers, *([option.data.hex()] if option.data else [])])


def ip_text(ip: IpInfo) -> str:
    """`[ect0]`, with a blank behind; "" where nothing is said."""
    parts = [ip.ecn] if ip.ecn else []
    parts += [f"{name} {value}" for name, value in (("ttl", ip.ttl),) if value is not None]
    if ip.tos is not None:
        parts.append(f"tos {ip.tos:#04x}")
    if ip.flow_label is not None:
        parts.append(f"flowlabel {ip.flow_label:#x}")
    return f"[{', '.join(parts)}] " if parts else ""


def packet_text(packet: TcpPacket) -> str:
    """The packet as a script has it, without its time."""
    seq = "..." if packet.seq is None else f"{packet.seq}:{(packet.seq + packet.length) & 0xFFFFFFFF}"
    text = f"{'<' if packet.inbound else '>'} {ip_text(packet.ip)}"
    if packet.ports:
        text += f"{packet.ports[0]} > {packet.ports[1]} "
    text += f"{flags_text(packet.flags)} {seq}({packet.length}){'!' if packet.absolute else ''}"
    for name, value in (("ack", packet.ack), ("win", packet.window), ("urg", packet.urgent)):
        if value is not None:
            text += f" {name} {value}"
    if packet.options is None:
        return text + " <...>"
    return text + (f" <{','.join(map(option_text, packet.options))}>" if packet.options else "")


def as_script(joined: Joined, flow: Flow, like: TcpPacket | None) -> TcpPacket:
    """What has left, as the script would write it; as much of the IP header as `like` has."""
    segment = joined.view.segment
    flags = joined.flags
    syn = bool(flags & SYN)
    absolute = like is not None and like.absolute
    seq = joined.seq
    if syn and flow.local_live == seq:
        seq = flow.local_isn
    elif not absolute:
        seq = flow.relative(seq)
    options = tuple(_translated(option, flow) for option in joined.options)
    ack = flow.relative_ack(segment.ack, syn=syn) if flags & ACK else segment.ack or None
    if like is not None and like.ack_absolute:
        ack = segment.ack
    ports = None
    if like is not None and like.ports:
        ports = flow.ports and (flow.ports[1], flow.ports[0])
        ports = ports or (local_port_of(flow.key), remote_port_of(flow.key))
    return TcpPacket(
        False, _ip_info(joined, like), ports, flags, seq, len(joined.payload), absolute, ack, segment.window,
        segment.urgent if flags & URG else None, options,
    )  # fmt: skip


def _ip_info(joined: Joined, like: TcpPacket | None) -> IpInfo:
    if like is None:
        return IpInfo()
    header = parse_ip(joined.packets[-1].packet)
    wanted = like.ip
    return IpInfo(
        ECN_NAMES[header.tos & 3] if wanted.ecn else None, header.tos if wanted.tos is not None else None,
        header.ttl if wanted.ttl is not None else None,
        getattr(header, "flow_label", 0) if wanted.flow_label is not None else None,
    )  # fmt: skip


def _translated(option: TcpOption, flow: Flow) -> TcpOption:
    """Numbers of ours as the script has them; the edges of SACK are the remote side's."""
    if option.name == "sack":
        return TcpOption("sack", tuple(flow.relative_ack(edge or 0) for edge in option.numbers))
    if option.name == "TS" and flow.local_ts is not None:
        first, live = flow.local_ts
        return TcpOption("TS", (((option.numbers[0] or 0) - live + first) & 0xFFFFFFFF, option.numbers[1]))
    return option


# --- the comparison


def differences(expected: TcpPacket, joined: Joined, flow: Flow, rules: Rules, written: bytes) -> list[str]:
    """In which fields what has left is not what is expected: their names. `written` is what the program wrote so far.

    Learns from the packet what the script calls our timestamps; our initial sequence number was learned before (`Flow.learn`).
    """
    segment = joined.view.segment
    actual = as_script(joined, flow, expected)
    found = [
        name
        for name, same in (
            ("flags", _same_flags(expected.flags, joined.flags, rules)),
            ("sequence number", expected.seq in (None, actual.seq)),
            ("length", expected.length == len(joined.payload)),
            ("ack", expected.ack in (None, actual.ack or 0)),
            ("window", "window" in rules.loose or expected.window in (None, segment.window)),
            ("urgent pointer", _same_urgent(expected, segment.urgent, rules)),
            ("IP header", _same_ip(expected.ip, actual.ip, rules) and _same_label(expected.ip, actual.ip, flow)),
            ("ports", expected.ports in (None, actual.ports)),
        )
        if not same
    ]
    if expected.options is not None and "options" not in rules.loose:
        found += _option_differences(expected.options, joined, flow, rules)
    if rules.strict:
        found += _strict_differences(joined, flow, written)
    return found


def _same_flags(expected: int, actual: int, rules: Rules) -> bool:
    left_out = (PSH if "push" in rules.loose else 0) | ((ECE | CWR | AE) if "ecn" in rules.loose else 0)
    return not (expected ^ actual) & ~left_out


def _same_urgent(expected: TcpPacket, urgent: int, rules: Rules) -> bool:
    return "urgent" in rules.loose or (expected.urgent or 0) == urgent


def _same_ip(expected: IpInfo, actual: IpInfo, rules: Rules) -> bool:
    if expected.ecn == "ect01" and actual.ecn in ("ect0", "ect1"):
        expected = replace(expected, ecn=actual.ecn)
    expected = replace(expected, flow_label=actual.flow_label)
    if "ecn" in rules.loose:  # of the traffic class only the two ECN bits are relaxed
        ours, live = (replace(each, ecn=None, tos=None if each.tos is None else each.tos & ~3) for each in (expected, actual))
        return ours == live
    return expected == actual


def _same_label(expected: IpInfo, actual: IpInfo, flow: Flow) -> bool:
    """A label of IPv6 is a name that the script gives; IPv4 has none."""
    if not expected.flow_label or len(flow.key) < SIX:
        return True
    return flow.same_label(expected.flow_label, actual.flow_label or 0)


def _option_differences(options: tuple[TcpOption, ...], joined: Joined, flow: Flow, rules: Rules) -> list[str]:
    live = joined.options
    if [(each.name, each.kind if each.name == "unknown" else 0) for each in options] != [
        (each.name, each.kind if each.name == "unknown" else 0) for each in live
    ]:
        return ["options"]
    found = []
    for wanted, each in zip(options, live, strict=True):
        if wanted.name == "TS":
            found += _stamp_differences(wanted, each, flow, rules)
            continue
        numbers = _translated(each, flow).numbers
        pairs = zip(wanted.numbers, numbers, strict=False)
        same = len(wanted.numbers) == len(numbers) and all(one in (None, other) for one, other in pairs)
        if not same or wanted.data != each.data:
            found.append(wanted.name)
    return found


def _stamp_differences(wanted: TcpOption, live: TcpOption, flow: Flow, rules: Rules) -> list[str]:
    """TS val is compared by its distance from the first: exactly when strict, within the tolerance where a tick is known."""
    found = []
    value, echo = wanted.numbers
    actual = live.numbers[0] or 0
    if value is not None:
        first = flow.local_ts
        flow.learn_stamp(value, actual)
        if first is not None:
            drift = abs((value - first[0]) - (((actual - first[1] + 0x80000000) & 0xFFFFFFFF) - 0x80000000))
            if (rules.strict and drift) or (rules.tick and drift * rules.tick > rules.tolerance):
                found.append("TS val")
    if rules.strict and echo is not None and echo != live.numbers[1]:
        found.append("TS ecr")
    return found


def _strict_differences(joined: Joined, flow: Flow, written: bytes) -> list[str]:
    found = []
    if not all(verify_checksums(sent.packet) for sent in joined.packets):
        found.append("checksum")
    start = flow.relative(joined.seq) - 1
    payload = joined.payload
    if joined.flags & SYN:
        start += 1
    if payload and start >= 0 and written[start : start + len(payload)] != payload:
        found.append("payload")
    return found
