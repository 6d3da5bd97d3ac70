"""Fragments put together again, within bounds of memory and time (RFC 791 3.2, RFC 815, RFC 8200 4.5).

Owns what has come of datagrams that are not whole. A datagram lives for TIMEOUT from its first fragment on, whatever follows;
when all of them together hold more than `limit` bytes the oldest goes. Fragments that overlap end their datagram: nobody who
means well sends them (RFC 5722). A repeated fragment is ignored. Knows nothing of what the datagrams carry.
"""

from bisect import bisect_left
from typing import Final

from synfin.engine.config import NEVER, SECOND
from synfin.engine.errors import DropReason
from synfin.engine.segment import Buffer
from synfin.wire import ip4, ip6
from synfin.wire.checksum import checksum
from synfin.wire.errors import ParseError
from synfin.wire.ip4 import Ip4Header
from synfin.wire.ip6 import Ip6Header
from synfin.wire.packet import parse_ip

TIMEOUT: Final = 60 * SECOND  # RFC 1122 3.3.2: 60 to 120 s; RFC 8200 4.5: 60 s
LIMIT: Final = 1 << 20  # bytes of all datagrams
OVERHEAD: Final = 128  # bytes that a fragment costs beside its own
LARGEST: Final = 65_535  # bytes of a whole packet


class _Datagram:
    """What has come of one: `parts` are disjoint and in order, each (offset, bytes)."""

    __slots__ = ("expires", "first", "parts", "received", "size", "total")

    def __init__(self, expires: int) -> None:
        self.expires: int = expires
        self.first: bytes = b""  # the headers of the fragment with offset 0
        self.parts: list[tuple[int, bytes]] = []
        self.received: int = 0  # bytes of payload
        self.size: int = 0  # bytes counted against the limit
        self.total: int = -1  # of payload; known from the last fragment on


class Fragments:
    """The datagrams of one stack that are not whole; at most `limit` bytes of them."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit: int = limit
        self.held: int = 0  # bytes, what each fragment costs beside its own included
        self._datagrams: dict[bytes, _Datagram] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._datagrams)

    def take(self, packet: Buffer, now: int) -> bytes | None:
        """Keep the fragment in `packet`; returns the whole packet when it was the last that was missing.

        Raises ParseError: IP_HEADER for a length or an offset that cannot be, FRAGMENT_OVERLAP, FRAGMENT_LIMIT.
        """
        header = parse_ip(packet)
        name, offset, more = _place(packet, header)
        payload = bytes(packet[header.header_length : header.end])
        if not payload or (more and len(payload) & 7) or offset + len(payload) + header.header_length > LARGEST:
            raise ParseError(DropReason.IP_HEADER, f"fragment of {len(payload)} bytes at byte {offset}")
        datagram = self._datagrams.get(name)
        if datagram is None:
            datagram = self._datagrams[name] = _Datagram(now + TIMEOUT)
        try:
            self._insert(datagram, offset, payload, more)
        except ParseError:
            self._forget(name)
            raise
        if not offset:
            datagram.first = bytes(packet[: header.header_length])
        if datagram.received == datagram.total:
            self._forget(name)
            return _whole(datagram)
        self._make_room(name)
        return None

    def _insert(self, datagram: _Datagram, offset: int, payload: bytes, more: bool) -> None:
        end = offset + len(payload)
        parts = datagram.parts
        at = bisect_left(parts, (offset, b""))
        if at < len(parts) and parts[at][0] == offset and len(parts[at][1]) == len(payload):
            return  # the network has made a copy
        before = at > 0 and parts[at - 1][0] + len(parts[at - 1][1]) > offset
        behind = at < len(parts) and parts[at][0] < end
        beyond = 0 <= datagram.total < end or (not more and bool(parts) and parts[-1][0] + len(parts[-1][1]) > end)
        twice = not more and datagram.total >= 0
        if before or behind or beyond or twice:
            raise ParseError(DropReason.FRAGMENT_OVERLAP, f"bytes {offset} to {end} contradict what has come")
        parts.insert(at, (offset, payload))
        if not more:
            datagram.total = end
        datagram.received += len(payload)
        datagram.size += len(payload) + OVERHEAD
        self.held += len(payload) + OVERHEAD

    def _forget(self, name: bytes) -> None:
        self.held -= self._datagrams.pop(name).size

    def _make_room(self, newest: bytes) -> None:
        """Raises ParseError when the oldest datagrams had to go."""
        went = 0
        while self.held > self.limit:
            name = next(iter(self._datagrams))
            self._forget(name)
            went += 1
        if went:
            raise ParseError(DropReason.FRAGMENT_LIMIT, f"{went} datagrams had to go, {self.held} bytes are left")

    def next_deadline(self) -> int:
        """When the oldest datagram expires, in ns; NEVER without one."""
        for datagram in self._datagrams.values():
            return datagram.expires
        return NEVER

    def expire(self, now: int) -> list[bytes]:
        """Give up datagrams whose time is over; of each its first headers and payload, b'' where these have not come."""
        over: list[bytes] = []
        for name in list(self._datagrams):
            datagram = self._datagrams[name]
            if datagram.expires > now:
                break
            self._forget(name)
            over.append(datagram.first + datagram.parts[0][1] if datagram.first else b"")
        return over


def _place(packet: Buffer, header: Ip4Header | Ip6Header) -> tuple[bytes, int, bool]:
    """The datagram's name, the fragment's offset in bytes, and whether more follow."""
    if isinstance(header, Ip4Header):
        name = header.source + header.destination + bytes((header.protocol,)) + header.identification.to_bytes(2, "big")
        return name, header.offset, bool(header.flags & ip4.MORE_FRAGMENTS)
    at = header.header_length - 8
    word = packet[at + 2] << 8 | packet[at + 3]
    return header.source + header.destination + bytes(packet[at + 4 : at + 8]), word & 0xFFF8, bool(word & 1)


def _whole(datagram: _Datagram) -> bytes:
    """The packet that was cut, with the headers of its first fragment."""
    payload = b"".join(part for _, part in datagram.parts)
    first = datagram.first
    if first[0] >> 4 == 4:
        total = len(first) + len(payload)
        head = first[:2] + total.to_bytes(2, "big") + first[4:6] + bytes(2) + first[8:10] + bytes(2) + first[12:]
        at = ip4.CHECKSUM_AT
        return head[:at] + checksum(head).to_bytes(2, "big") + head[at + 2 :] + payload
    field, at = 6, ip6.HEADER  # where the next header is named, where it begins
    while first[field] != ip6.FRAGMENT:
        field, at = at, at + 8 + first[at + 1] * 8
    head = first[:field] + first[at : at + 1] + first[field + 1 : at]
    return head[:4] + (len(head) - ip6.HEADER + len(payload)).to_bytes(2, "big") + head[6:] + payload
