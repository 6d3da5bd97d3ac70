"""The TCP header of a captured packet, even of one that was cut: who, to whom, which flags and numbers.

Owns the padding of packets that were not kept whole, and the count of what is no TCP. The parsing is wire's.
"""

from struct import Struct
from typing import Final, NamedTuple

from synfin.capture.links import NO_IP, ip_at
from synfin.capture.reader import Record
from synfin.engine.errors import DropReason
from synfin.wire.errors import ParseError
from synfin.wire.packet import parse_packet
from synfin.wire.tcp import MIN_HEADER

OFFSET_AT: Final = 12  # of the data offset in a TCP header
ENOUGH: Final = 14  # bytes of a TCP header, its flags the last
# first byte, total length, fragment, protocol, key, seq, ack, offset, flags: IPv4 without options
_USUAL: Final = Struct("!BxH2xHxB2x12sIIBB").unpack_from
_USUAL_LENGTH: Final = 34
_PORTS: Final = Struct("!HH")


class Header(NamedTuple):
    """`key` is source address, destination address, source port, destination port as they lie in the packet; flags as in
    engine.segment."""

    key: bytes
    seq: int
    ack: int
    flags: int


class Tally:
    """What was in a capture: all packets, those with a TCP header, those that carry no IP or no TCP, parts of datagrams, and
    those whose header is damaged or was cut off."""

    __slots__ = ("damaged", "fragments", "no_ip", "no_tcp", "packets", "tcp")

    def __init__(self) -> None:
        self.packets = 0
        self.tcp = 0
        self.no_ip = 0
        self.no_tcp = 0
        self.fragments = 0
        self.damaged = 0


def tcp_header(record: Record, tally: Tally) -> Header | None:
    """The header that `record` holds; None, and one more in `tally`, when it has none.

    Checksums are not looked at: a capture on the sending host has them before the card fills them in. Raises CaptureError
    for a link type that is not read.
    """
    tally.packets += 1
    data = record.data
    at = ip_at(record.link, data)
    if at == NO_IP:
        tally.no_ip += 1
        return None
    if len(data) - at >= _USUAL_LENGTH:
        first, total, fragment, protocol, key, seq, ack, offset, flags = _USUAL(data, at)
        whole = first == 0x45 and not fragment & 0x3FFF and total >= 40
        if whole and protocol == 6 and 0x50 <= offset & 0xF0 <= total - 20 << 2:
            tally.tcp += 1
            return Header(key, seq, ack, flags)
    try:
        key, segment = parse_packet(_whole(data[at:]), verify=False)
    except ParseError as error:
        if error.reason is DropReason.NOT_TCP:
            tally.no_tcp += 1
        elif error.reason is DropReason.IP_FRAGMENT:
            tally.fragments += 1
        else:
            tally.damaged += 1
        return None
    tally.tcp += 1
    return Header(key, segment.seq, segment.ack, segment.flags)


def _whole(packet: bytes) -> bytes:
    """`packet` with zeros for the bytes that were not kept; of a TCP header whose flags were not, no header is left."""
    if len(packet) < 20:
        return packet
    version = packet[0] >> 4
    if version == 4:
        total, start = packet[2] << 8 | packet[3], (packet[0] & 15) * 4
    elif version == 6:
        total, start = 40 + (packet[4] << 8 | packet[5]), 40
    else:
        return packet
    if len(packet) >= total or len(packet) < start:
        return packet
    if len(packet) < start + ENOUGH:
        packet = packet[: start + OFFSET_AT]  # so that no flags are read that were not kept
    elif len(packet) < start + (packet[start + OFFSET_AT] >> 4) * 4:
        packet = packet[: start + MIN_HEADER]  # an option may be cut: none is left
    return packet + bytes(total - len(packet))


def turned(key: bytes) -> bytes:
    """The key of a packet in the other direction."""
    if len(key) == 12:
        return key[4:8] + key[:4] + key[10:12] + key[8:10]
    return key[16:32] + key[:16] + key[34:36] + key[32:34]


def listener_of(key: bytes) -> bytes:
    """Destination address and port of a packet: where a SYN wants to."""
    return key[4:8] + key[10:12] if len(key) == 12 else key[16:32] + key[34:36]


def client_of(key: bytes) -> tuple[bytes, int]:
    """Source address and port of a packet."""
    size = (len(key) - 4) // 2
    return key[:size], _PORTS.unpack_from(key, 2 * size)[0]
