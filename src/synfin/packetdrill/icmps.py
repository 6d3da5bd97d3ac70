"""ICMP messages that a stack sends, in the words of scripts."""

from synfin.packetdrill.flow import KINDS4, KINDS6, UNREACHABLE4, UNREACHABLE6, icmp_numbers
from synfin.packetdrill.syntax import IcmpPacket
from synfin.wire.errors import ParseError
from synfin.wire.icmp import ICMP4, ICMP6, Icmp, parse_icmp
from synfin.wire.packet import parse_ip


def _message(packet: bytes) -> tuple[Icmp, bool] | None:
    """The message in `packet` and whether it is IPv6's; None when it is none."""
    try:
        header = parse_ip(packet)
        if header.protocol not in (ICMP4, ICMP6):
            return None
        body = packet[header.header_length : header.end]
        return parse_icmp(body, header.source, header.destination), header.version == 6
    except ParseError:
        return None


def icmp_text(packet: bytes) -> str:
    """`> icmp unreachable port_unreachable`; the bytes of what is no ICMP message."""
    found = _message(packet)
    if found is None:
        return f"> {packet[:40].hex()}"
    message, six = found
    kinds = {number: name for name, number in (KINDS6 if six else KINDS4).items()}
    kind = kinds.get(message.kind, f"type_{message.kind}")
    codes = {} if kind != "unreachable" else (UNREACHABLE6 if six else UNREACHABLE4)
    code = next((name for name, number in codes.items() if number == message.code), "")
    if not code and message.code:
        code = f"code_{message.code}"
    mtu = f" mtu {message.rest & 0xFFFF}" if code == "frag_needed" or kind == "packet_too_big" else ""
    return f"> icmp {kind} {code}".rstrip() + mtu


def same_icmp(expected: IcmpPacket, packet: bytes) -> bool:
    """Whether `packet` is the message that is expected: its type, its code (0 where none is named), its MTU where one is."""
    found = _message(packet)
    if found is None:
        return False
    message, six = found
    if (message.kind, message.code) != icmp_numbers(expected.kind, expected.code, six=six):
        return False
    return expected.mtu is None or message.rest & 0xFFFF == expected.mtu
