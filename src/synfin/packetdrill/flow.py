"""One connection as the script numbers it and as the wire has it: initial sequence numbers, ports, timestamps.

Owns the translation between the two, and the bytes of inbound packets. What stands on the wire for the remote side is what the
script says; for the local side the stack chose it. Must not know what is expected when.
"""

import re
import struct
from collections.abc import Mapping
from typing import Final

from synfin.engine.segment import ACK, RST, SYN, URG
from synfin.packetdrill.payload import inbound
from synfin.packetdrill.syntax import IcmpPacket, IpInfo, TcpOption, TcpPacket
from synfin.stack.addresses import local_of, local_port_of, remote_of, remote_port_of
from synfin.wire import icmp
from synfin.wire.checksum import checksum, pseudo_header_sum
from synfin.wire.ip4 import DONT_FRAGMENT, build_ip4
from synfin.wire.ip6 import build_ip6
from synfin.wire.tcpoptions import END, MSS, NOP, SACK, SACK_PERMITTED, TIMESTAMPS, WINDOW_SCALE

MASK: Final = 0xFFFFFFFF
ECN_BITS: Final = {"noecn": 0, "ect1": 1, "ect0": 2, "ce": 3}
TCP: Final = struct.Struct("!HHIIHHHH")
TTL: Final = 255  # of a packet whose line does not say

UNREACHABLE4: Final = {
    "net_unreachable": 0, "host_unreachable": 1, "protocol_unreachable": 2, "port_unreachable": 3, "frag_needed": 4,
    "source_route_failed": 5, "net_unreachable_for_tos": 11, "host_unreachable_for_tos": 12, "admin_prohibited": 13,
    "host_prohibited": 10, "net_prohibited": 9, "packet_filtered": 13, "net_unknown": 6, "host_unknown": 7,
    "source_host_isolated": 8, "precedence_violation": 14, "precedence_cutoff": 15,
}  # fmt: skip
UNREACHABLE6: Final = {
    "no_route": 0, "net_unreachable": 0, "admin_prohibited": 1, "beyond_scope": 2, "not_neighbour": 2,
    "address_unreachable": 3, "host_unreachable": 3, "port_unreachable": 4,
}  # fmt: skip
KINDS4: Final = {
    "unreachable": 3, "source_quench": 4, "time_exceeded": 11, "parameter_problem": 12, "echo_reply": 0, "redirect": 5,
    "echo_request": 8, "timestamp_request": 13, "timestamp_reply": 14, "information_request": 15, "information_reply": 16,
    "address_mask_request": 17, "address_mask_reply": 18,
}  # fmt: skip
KINDS6: Final = {
    "unreachable": 1, "packet_too_big": 2, "time_exceeded": 3, "parameter_problem": 4, "echo_request": 128, "echo_reply": 129,
}  # fmt: skip
OTHER_CODES: Final = {
    "": 0, "exc_ttl": 0, "ttl_exceeded": 0, "hop_limit_exceeded": 0, "exceeded_hop_limit": 0, "exc_frag_time": 1,
    "frag_time_exceeded": 1, "exceeded_frag_time": 1, "header": 0, "header_field": 0, "unknown_next_header": 1,
    "unknown_option": 2,
}  # fmt: skip
NUMBERED: Final = re.compile(r"(?:type|code)_(\d{1,3})", re.ASCII)


def icmp_numbers(kind: str, code: str, *, six: bool) -> tuple[int, int] | None:
    """Type and code of an ICMP message as the script names them; what one family lacks is said in the other's way, a number
    (type_3) is what it is. None for what nobody knows."""
    if six and (kind, code) == ("unreachable", "frag_needed"):  # what IPv4 says by a code has a type of its own
        return KINDS6["packet_too_big"], 0
    if not six and kind == "packet_too_big":
        return KINDS4["unreachable"], UNREACHABLE4["frag_needed"]
    codes = OTHER_CODES if kind != "unreachable" else UNREACHABLE6 if six else UNREACHABLE4
    first = _numbered(kind, KINDS6 if six else KINDS4)
    second = _numbered(code, codes) if code else 0
    return None if first is None or second is None else (first, second)


def _numbered(name: str, table: Mapping[str, int]) -> int | None:
    found = NUMBERED.fullmatch(name)
    if found is None:
        return table.get(name)
    return int(found.group(1)) if int(found.group(1)) < 256 else None


class Flow:
    """A connection with the wire's `key` (as the stack has it: remote address first); `ports` are those that the script
    names for it, seen from the remote side, or None."""

    __slots__ = (
        "_active", "_identification", "_label", "_last_syn", "_local_known", "_settled", "key", "local_isn", "local_live",
        "local_ts", "ports", "remote_isn", "stamps", "urgent",
    )  # fmt: skip

    def __init__(self, key: bytes, ports: tuple[int, int] | None = None, *, active: bool = False) -> None:
        self.key = key
        self._active = active  # the stack chose its port, which the script calls as it likes
        self.ports = ports
        self.remote_isn = 0
        self.local_isn = 0  # as the script has it
        self.local_live = 0  # as the wire has it
        self.stamps: dict[int, int] = {}  # timestamps that went out: the script's value, the wire's
        self.local_ts: tuple[int, int] | None = None  # the first of them
        self.urgent: set[int] = set()  # offsets in the inbound stream of bytes sent as urgent
        self._identification = 0
        self._label: tuple[int, int] | None = None  # the latest flow label: the script's name, the wire's number
        self._last_syn = 0  # the number of the latest SYN that came in
        self._local_known = False
        self._settled = False  # the stack has acknowledged a SYN of the remote side: another SYN changes no numbers

    # --- out of the script, onto the wire

    def build(self, packet: TcpPacket) -> bytes:
        """The bytes of an inbound packet."""
        syn = packet.flags & SYN
        seq = packet.seq or 0
        if syn:
            self._last_syn = seq
            if not self._settled:
                self.remote_isn = seq
        offset = 0 if syn else seq - 1
        if not (syn or packet.absolute):
            seq += self.remote_isn
        ack = packet.ack or 0
        if packet.flags & ACK and not packet.ack_absolute:
            ack += self.local_live - (self.local_isn if syn else 0)  # in a SYN the script's own numbers stand
        if packet.flags & URG and packet.urgent and not syn:
            self.urgent.add(seq - self.remote_isn + packet.urgent - 2)
        options = b"".join(self._option(each) for each in packet.options or ())
        payload = inbound(offset, packet.length)
        words = (20 + len(options)) >> 2
        remote, local = remote_of(self.key), local_of(self.key)
        header = TCP.pack(
            remote_port_of(self.key), local_port_of(self.key), seq & MASK, ack & MASK, words << 12 | packet.flags,
            packet.window or 0, 0, packet.urgent or 0,
        )  # fmt: skip
        segment = header + options + payload
        total = checksum(segment, pseudo_header_sum(remote, local, len(segment)))
        return self._ip(packet.ip, 6, segment[:16] + total.to_bytes(2, "big") + segment[18:])

    def _ip(self, ip: IpInfo, protocol: int, body: bytes) -> bytes:
        remote, local = remote_of(self.key), local_of(self.key)
        tos = ip.tos if ip.tos is not None else ECN_BITS.get(ip.ecn or "", 0)
        ttl = TTL if ip.ttl is None else ip.ttl
        if len(remote) == 16:
            label = ip.flow_label or 0
            return build_ip6(remote, local, len(body), protocol=protocol, ttl=ttl, tos=tos, flow_label=label) + body
        self._identification = self._identification + 1 & 0xFFFF
        return build_ip4(
            remote, local, len(body), protocol=protocol, identification=self._identification, ttl=ttl, tos=tos,
            flags=DONT_FRAGMENT,
        ) + body  # fmt: skip

    def _option(self, option: TcpOption) -> bytes:
        name = option.name
        numbers = [number or 0 for number in option.numbers]
        if name == "TS":
            echo = numbers[1] if option.absolute else self.live_stamp(numbers[1])
            return struct.pack("!BBII", TIMESTAMPS, 10, numbers[0], echo)
        if name == "sack":
            edges = [(edge + self.local_live) & MASK for edge in numbers]
            return struct.pack(f"!BB{len(edges)}I", SACK, 2 + 4 * len(edges), *edges)
        if name == "mss":
            return struct.pack("!BBH", MSS, 4, numbers[0])
        if name == "wscale":
            return bytes((WINDOW_SCALE, 3, numbers[0]))
        if name == "sackOK":
            return bytes((SACK_PERMITTED, 2))
        if name in ("nop", "eol"):
            return bytes((NOP if name == "nop" else END,))
        return bytes((option.kind, 2 + len(option.data))) + option.data

    def live_stamp(self, script: int) -> int:
        """The wire's timestamp for one of ours that the script echoes."""
        if script in self.stamps:
            return self.stamps[script]
        if not script or self.local_ts is None:
            return script
        first, live = self.local_ts  # one that never went out keeps its distance from those that did
        return (live + script - first) & MASK

    def build_icmp(self, message: IcmpPacket) -> bytes | None:
        """The bytes of an inbound ICMP message about a packet of ours; None for a type or code that nobody knows."""
        six = len(remote_of(self.key)) == 16
        numbers = icmp_numbers(message.kind, message.code, six=six)
        if numbers is None:
            return None
        rest = message.mtu or (message.identifier or 0) << 16
        quoted = self._quote(message.echoed or (0, 0)) if message.raw is None else bytes(max(message.raw - 8, 0))
        body = icmp.build_icmp(remote_of(self.key), local_of(self.key), *numbers, rest, quoted)
        return self._ip(message.ip, icmp.ICMP6 if six else icmp.ICMP4, body)

    def _quote(self, echoed: tuple[int, int]) -> bytes:
        """The beginning of a packet of ours with this sequence number and length, as a router would quote it."""
        seq, length = echoed
        remote, local = remote_of(self.key), local_of(self.key)
        ports = (local_port_of(self.key), remote_port_of(self.key))
        header = TCP.pack(*ports, (seq + self.local_live) & MASK, 0, 5 << 12 | ACK, 0, 0, 0)
        if len(remote) == 16:
            return build_ip6(local, remote, len(header) + length) + header
        return build_ip4(local, remote, len(header) + length) + header

    # --- off the wire, into the script

    def learn(self, flags: int, live: int, ack: int, script: int | None) -> bool:
        """A packet of ours left with the numbers `live` and `ack`; `script` is what the script calls the number of a SYN.

        Returns whether a connection begins anew in the place of one that was.
        """
        if flags & (SYN | RST) and flags & ACK and ack == (self._last_syn + 1) & MASK:
            self.remote_isn = self._last_syn  # it answers that SYN, whatever came before
        if flags & RST:
            return False
        again = False
        if flags & SYN:
            if script is not None and (not self._local_known or live != self.local_live):
                again, self._local_known = self._local_known, True
                self.local_live, self.local_isn = live, script
        self._settled |= bool(flags & ACK)
        return again

    def learn_ports(self, named: tuple[int, int] | None) -> None:
        """The script says `named` (source, destination) of a packet of ours."""
        if self._active and self.ports is None and named is not None and named[1] == remote_port_of(self.key):
            self.ports = named[1], named[0]

    def relative(self, live: int) -> int:
        """A sequence number of ours as the script counts."""
        return (live - self.local_live) & MASK

    def relative_ack(self, live: int, *, syn: bool = False) -> int:
        """A sequence number of the remote side as the script counts; in a `syn` it is the number itself."""
        return live if syn else (live - self.remote_isn) & MASK

    def same_label(self, script: int, live: int) -> bool:
        """Whether a packet of ours has the flow label that the script calls `script`: the same as the one before of that
        name, another than the one before of another name, and some label at all."""
        known = self._label
        self._label = script, live
        return live != 0 and (known is None or (known[0] == script) == (known[1] == live))

    def learn_stamp(self, script: int, live: int) -> None:
        """A timestamp of ours left with the value `live`, which the script calls `script`."""
        if self.local_ts is None:
            self.local_ts = script, live
        self.stamps[script] = live  # an echo of it means the latest, as a peer would have it
