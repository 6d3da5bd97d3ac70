"""IP beside TCP: fragments come together, pings are answered, errors are read and told, what nobody takes is refused.

Owns ICMP's rules (RFC 1122 3.2.2, RFC 4443 2.4) and the packets that it owes. An error message goes out at most
ERRORS_A_SECOND times a second, never for another error, for a fragment that is not the first, or to an address that is no
host. Must not know connections: what an error says of a TCP packet is reported, the stack decides whether it is believed.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from synfin.device.base import Device
from synfin.engine.config import NEVER, SECOND
from synfin.engine.errors import DropReason
from synfin.engine.path import PathError
from synfin.engine.segment import Buffer
from synfin.stack.addresses import is_host, make_key
from synfin.stack.fragments import Fragments
from synfin.wire import icmp
from synfin.wire.checksum import ones_complement_sum
from synfin.wire.datagram import build_datagram
from synfin.wire.errors import ParseError
from synfin.wire.icmp import ICMP4, ICMP6, Icmp
from synfin.wire.ip4 import Ip4Header
from synfin.wire.ip6 import Ip6Header
from synfin.wire.packet import parse_ip

ERRORS_A_SECOND: Final = 10
UDP: Final = 17
NO_NEXT_HEADER: Final = 59

Header = Ip4Header | Ip6Header

E = PathError
# RFC 792 and RFC 1122 3.2.2.1, RFC 1812 5.2.7.1; the codes that are not here are soft and mean the host.
UNREACHABLE4: Final[dict[int, PathError]] = {
    0: E.NETWORK_UNREACHABLE, 1: E.HOST_UNREACHABLE, 2: E.PROTOCOL_UNREACHABLE, 3: E.PORT_UNREACHABLE, 4: E.TOO_BIG,
    6: E.NETWORK_UNREACHABLE, 9: E.PROHIBITED, 10: E.PROHIBITED, 11: E.NETWORK_UNREACHABLE, 13: E.PROHIBITED,
}  # fmt: skip
# RFC 4443 3.1
UNREACHABLE6: Final[dict[int, PathError]] = {
    0: E.NETWORK_UNREACHABLE, 1: E.PROHIBITED, 4: E.PORT_UNREACHABLE, 5: E.PROHIBITED, 6: E.NETWORK_UNREACHABLE,
}  # fmt: skip
KINDS4: Final[dict[int, PathError]] = {11: E.TIME_EXCEEDED, 12: E.PARAMETER_PROBLEM}
KINDS6: Final[dict[int, PathError]] = {2: E.TOO_BIG, 3: E.TIME_EXCEEDED, 4: E.PARAMETER_PROBLEM}


class PathReport(NamedTuple):
    """What an ICMP error says of a packet of ours: its connection's key, its SEG.SEQ and length, and the MTU where one is told
    (else 0)."""

    key: bytes
    kind: PathError
    seq: int
    mtu: int
    length: int


class Echo(NamedTuple):
    """An answer to a ping of ours: who sent it, to which identifier and number, with which data and remaining hops."""

    source: bytes
    identifier: int
    sequence: int
    data: bytes
    ttl: int


class Internet:
    """The rest of IP, for a stack with the addresses `own`, whose packets fit the MTU of `device`.

    `dropped` is told each reason. What is owed waits in `replies`, each packet with a key
    as a connection's, ports 0. `on_echo(echo, now)` takes the
    answers to pings that `ping` has sent.
    """

    def __init__(self, own: Sequence[bytes], device: Device, dropped: Callable[[int, DropReason], None]) -> None:
        self.fragments: Fragments = Fragments()
        self.replies: list[tuple[bytes, bytes]] = []
        self.on_echo: Callable[[Echo, int], None] | None = None
        self.echoes: int = 0  # pings answered
        self._device: Device = device
        self._own: tuple[bytes, ...] = tuple(own)
        self._dropped: Callable[[int, DropReason], None] = dropped
        self._identification: int = 0
        self._errors_left: int = ERRORS_A_SECOND
        self._errors_until: int = 0

    # --- in

    def take(self, packet: Buffer, reason: DropReason, now: int) -> bytes | PathReport | None:
        """A packet that is no TCP segment, for `reason`: returns the whole packet that its fragment completes, or what an
        error says of a packet of ours. Never raises for what stands in it; what is wrong is told to `dropped`."""
        try:
            if reason is DropReason.IP_FRAGMENT:
                return self._fragment(packet, now)
            if reason is DropReason.NOT_TCP:
                return self._message(packet, now)
        except ParseError as error:
            reason = error.reason
        self._dropped(now, reason)
        return None

    def _addressed(self, packet: Buffer) -> Header:
        """The header of a packet that is for us, from a host. Raises ParseError."""
        header = parse_ip(packet)
        if header.destination not in self._own:
            raise ParseError(DropReason.NOT_OURS, "for somebody else")
        if not is_host(header.source) or header.source in self._own:
            raise ParseError(DropReason.SOURCE_ADDRESS, "from no host, or from ourselves")
        if header.version == 4 and ones_complement_sum(packet[: header.header_length]) != 0xFFFF:
            raise ParseError(DropReason.IP_CHECKSUM, "wrong sum of the IPv4 header")
        return header

    def _fragment(self, packet: Buffer, now: int) -> bytes | None:
        self._addressed(packet)
        return self.fragments.take(packet, now)

    def _message(self, packet: Buffer, now: int) -> PathReport | None:
        header = self._addressed(packet)
        ours = ICMP4 if header.version == 4 else ICMP6
        if header.protocol != ours:
            self._refuse(packet, header, now)
            raise ParseError(DropReason.NOT_TCP, f"protocol {header.protocol}")
        message = icmp.parse_icmp(packet[header.header_length : header.end], header.source, header.destination)
        four = header.version == 4
        if message.kind == (icmp.ECHO4 if four else icmp.ECHO6):
            self.echoes += 1
            answer = icmp.ECHO_REPLY4 if four else icmp.ECHO_REPLY6
            self._send(header.destination, header.source, answer, 0, message.rest, message.body)
            return None
        if message.kind == (icmp.ECHO_REPLY4 if four else icmp.ECHO_REPLY6) and self.on_echo is not None:
            self.on_echo(
                Echo(header.source, message.rest >> 16, message.rest & 0xFFFF, message.body, header.ttl), now
            )
            return None
        return self._report(message, header)

    def _report(self, message: Icmp, header: Header) -> PathReport:
        """What the error `message` says. Raises ParseError when it is no error, or speaks of no TCP packet of ours."""
        kind: PathError | None
        if header.version == 4:
            kind = KINDS4.get(message.kind)
            if message.kind == icmp.UNREACHABLE4:
                kind = UNREACHABLE4.get(message.code, E.HOST_UNREACHABLE)
            mtu = message.rest & 0xFFFF
        else:
            kind = KINDS6.get(message.kind)
            if message.kind == icmp.UNREACHABLE6:
                kind = UNREACHABLE6.get(message.code, E.HOST_UNREACHABLE)
            mtu = message.rest
        if kind is None:
            raise ParseError(DropReason.ICMP_UNKNOWN, f"type {message.kind}")
        quote = icmp.parse_quote(message.body)
        if quote is None or len(quote.key) != 2 * len(header.source) + 4:
            raise ParseError(DropReason.ICMP_UNPROVEN, "quotes no TCP packet")
        return PathReport(quote.key, kind, quote.seq, mtu if kind is E.TOO_BIG else 0, quote.length)

    # --- out

    def ping(self, source: bytes, destination: bytes, identifier: int, sequence: int, data: bytes, ttl: int = 64) -> None:
        """Owe an echo request; its answer comes to `on_echo`. `identifier` and `sequence` are of 16 bits."""
        kind = icmp.ECHO4 if len(source) == 4 else icmp.ECHO6
        self._send(source, destination, kind, 0, (identifier & 0xFFFF) << 16 | sequence & 0xFFFF, data, ttl)

    def _refuse(self, packet: Buffer, header: Header, now: int) -> None:
        """Nobody here speaks that protocol, or for UDP: listens at that port (RFC 1122 3.2.2.1, RFC 4443 3.1, RFC 8200 4)."""
        if header.version == 4 and header.protocol != ICMP6:
            self._error(packet, header, icmp.UNREACHABLE4, 3 if header.protocol == UDP else 2, 0, now)
        elif header.protocol == UDP:
            self._error(packet, header, icmp.UNREACHABLE6, 4, 0, now)
        elif header.protocol not in (NO_NEXT_HEADER, ICMP4):
            self._error(packet, header, icmp.PARAMETER_PROBLEM6, 1, 6, now)  # the next header field of a plain packet

    def _error(self, packet: Buffer, header: Header, kind: int, code: int, rest: int, now: int) -> None:
        """Owe an error message about `packet`, unless there were too many."""
        if now >= self._errors_until:
            self._errors_until = now + SECOND
            self._errors_left = ERRORS_A_SECOND
        if not self._errors_left:
            return
        self._errors_left -= 1
        quoted = bytes(packet[: min(header.end, icmp.QUOTED4 if header.version == 4 else icmp.QUOTED6)])
        self._send(header.destination, header.source, kind, code, rest, quoted)

    def _send(
        self, source: bytes, destination: bytes, kind: int, code: int, rest: int, body: bytes, ttl: int = 64
    ) -> None:
        message = icmp.build_icmp(source, destination, kind, code, rest, body)
        protocol = ICMP4 if len(source) == 4 else ICMP6
        key = make_key(destination, 0, source, 0)
        self._identification = (self._identification + 1) & 0xFFFFFFFF
        for packet in build_datagram(
            source, destination, protocol, message, mtu=self._device.mtu, identification=self._identification, ttl=ttl
        ):
            self.replies.append((packet, key))

    # --- time

    def next_deadline(self) -> int:
        """When fragments have waited long enough, in ns; 0 while something is owed."""
        return 0 if self.replies else self.fragments.next_deadline() if len(self.fragments) else NEVER

    def handle_timers(self, now: int) -> None:
        """Give up datagrams that are not whole, and say so to those whose first fragment has come (RFC 792, RFC 4443 3.3)."""
        for first in self.fragments.expire(now):
            self._dropped(now, DropReason.FRAGMENT_TIMEOUT)
            if first:
                header = parse_ip(first)
                kind = icmp.TIME_EXCEEDED4 if header.version == 4 else icmp.TIME_EXCEEDED6
                self._error(first, header, kind, icmp.REASSEMBLY_TIMEOUT, 0, now)
