"""ICMP (RFC 792) and ICMPv6 (RFC 4443): messages read and written, and the packet that an error message quotes.

Owns the formats. Knows no connection and no limits: what is answered and what is believed is the stack's to say.
"""

from struct import Struct
from typing import Final

from synfin.engine.errors import DropReason
from synfin.engine.segment import Buffer
from synfin.wire.checksum import TCP_PROTOCOL, checksum, ones_complement_sum
from synfin.wire.errors import ParseError

ICMP4: Final = 1  # the protocol numbers
ICMP6: Final = 58

ECHO_REPLY4: Final = 0
UNREACHABLE4: Final = 3
ECHO4: Final = 8
TIME_EXCEEDED4: Final = 11
PARAMETER_PROBLEM4: Final = 12
UNREACHABLE6: Final = 1
TOO_BIG6: Final = 2
TIME_EXCEEDED6: Final = 3
PARAMETER_PROBLEM6: Final = 4
ECHO6: Final = 128
ECHO_REPLY6: Final = 129

FRAGMENTATION_NEEDED: Final = 4  # code of UNREACHABLE4
REASSEMBLY_TIMEOUT: Final = 1  # code of time exceeded
QUOTED4: Final = 548  # bytes of the packet at fault in an error message: 576 in all (RFC 1812 4.3.2.3)
QUOTED6: Final = 1232  # 1280 in all (RFC 4443 2.4 c)

_HEADER: Final = Struct("!BBHI")
HEADER: Final = 8


class Icmp:
    """A message. `rest` is the header's second word: identifier and sequence number of an echo, the MTU of packet too big;
    `body` what follows: an echo's data, the quoted packet of an error."""

    __slots__ = ("body", "code", "kind", "rest")

    def __init__(self, kind: int, code: int, rest: int, body: bytes) -> None:
        self.kind: int = kind
        self.code: int = code
        self.rest: int = rest
        self.body: bytes = body


def pseudo_sum(source: bytes, destination: bytes, length: int, protocol: int) -> int:
    """RFC 8200 8.1's pseudo-header, for any protocol, as the initial value of a sum."""
    return int.from_bytes(source, "big") + int.from_bytes(destination, "big") + length + protocol


def parse_icmp(data: Buffer, source: bytes, destination: bytes) -> Icmp:
    """The message in `data`, an IP packet's payload; the addresses tell the version.

    Raises ParseError: TRUNCATED, or ICMP_CHECKSUM when the sum is wrong.
    """
    if len(data) < HEADER:
        raise ParseError(DropReason.TRUNCATED, f"{len(data)} bytes are no ICMP message")
    initial = pseudo_sum(source, destination, len(data), ICMP6) if len(source) == 16 else 0
    if ones_complement_sum(data, initial) != 0xFFFF:
        raise ParseError(DropReason.ICMP_CHECKSUM, "wrong sum of the ICMP message")
    kind, code, _, rest = _HEADER.unpack_from(data)
    return Icmp(kind, code, rest, bytes(data[HEADER:]))


def build_icmp(source: bytes, destination: bytes, kind: int, code: int, rest: int, body: Buffer) -> bytes:
    """A message from `source` to `destination`, its checksum filled in; `rest` and `body` as in Icmp."""
    message = _HEADER.pack(kind, code, 0, rest) + body
    initial = pseudo_sum(source, destination, len(message), ICMP6) if len(source) == 16 else 0
    return message[:2] + checksum(message, initial).to_bytes(2, "big") + message[4:]


class Quote:
    """The beginning of a TCP packet of ours, as an error message quotes it.

    `key` names the connection as in a packet that we receive; `seq` is SEG.SEQ; `length` what the IP header says, in bytes.
    """

    __slots__ = ("key", "length", "seq")

    def __init__(self, key: bytes, seq: int, length: int) -> None:
        self.key: bytes = key
        self.seq: int = seq
        self.length: int = length


def parse_quote(body: Buffer) -> Quote | None:
    """What an error message quotes; None when that is not the first part of a TCP packet, with ports and SEG.SEQ.

    IPv6 extension headers do not come before TCP in what we send, so none is looked for.
    """
    if len(body) < 28:
        return None
    if body[0] >> 4 == 4:
        start = (body[0] & 15) * 4
        length = body[2] << 8 | body[3]
        ours = body[9] == TCP_PROTOCOL and not (body[6] & 0x1F or body[7])
        local, remote = bytes(body[12:16]), bytes(body[16:20])
    elif body[0] >> 4 == 6 and len(body) >= 48:
        start = 40
        length = 40 + (body[4] << 8 | body[5])
        ours = body[6] == TCP_PROTOCOL
        local, remote = bytes(body[8:24]), bytes(body[24:40])
    else:
        return None
    if not ours or start < 20 or len(body) < start + 8:
        return None
    ports = bytes(body[start + 2 : start + 4]) + bytes(body[start : start + 2])
    return Quote(remote + local + ports, int.from_bytes(body[start + 4 : start + 8], "big"), length)
