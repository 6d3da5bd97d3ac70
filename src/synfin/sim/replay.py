"""The replay hash: two runs with the same hash did the same at the same times.

Owns what is hashed. The first hash covers every packet's time, addresses, headers and length, its fate, and every fault;
checksum fields are left out, because links leave checksums out where nobody looks. A second hash covers the payloads: it may
differ between runs that agree in the first, under TLS for one. It is a tap of the network (line.Tap) and keeps no events, so
it works with tracing off. Knows nothing of a world.
"""

import hashlib
from collections.abc import Sequence
from struct import Struct
from typing import Final

from synfin.engine.segment import Outgoing

RECORD: Final = Struct("!BqI")  # kind, time, packet
SENT: Final = 0
DELIVERED: Final = 1
LOST: Final = 2
DUPLICATED: Final = 3
CORRUPTED: Final = 4
FAULT: Final = 5
TCP: Final = 6


def split(data: bytes) -> tuple[bytes, bytes]:
    """A packet's headers with their checksum fields zeroed, and its payload; what is not TCP is all header."""
    start = (data[0] & 15) * 4 if data[0] >> 4 == 4 else 40
    protocol = data[9] if data[0] >> 4 == 4 else data[6]
    if protocol != TCP or len(data) < start + 20:
        return data, b""
    end = start + (data[start + 12] >> 4) * 4
    header = bytearray(data[:end])
    header[start + 16 : start + 18] = b"\0\0"
    if data[0] >> 4 == 4:
        header[10:12] = b"\0\0"
    return bytes(header), data[end:]


class ReplayHash:
    """Hashes a run as it happens."""

    def __init__(self) -> None:
        self._headers = hashlib.sha256()
        self._payload = hashlib.sha256()

    @property
    def headers(self) -> str:
        """The hash of times, headers and lengths so far, in hexadecimal."""
        return self._headers.hexdigest()

    @property
    def payload(self) -> str:
        """The hash of the payloads so far, in hexadecimal."""
        return self._payload.hexdigest()

    def _add(self, kind: int, now: int, packet: int, text: str, more: bytes = b"") -> None:
        words = text.encode()
        self._headers.update(RECORD.pack(kind, now, packet))
        self._headers.update(b"%d %d " % (len(words), len(more)))  # lengths first: no two records read alike
        self._headers.update(words)
        self._headers.update(more)

    def sent(self, now: int, host: str, peer: str, packet: int, data: bytes, out: Outgoing | None) -> None:
        """See line.Tap."""
        header, payload = split(data) if len(data) >= 20 else (data, b"")
        self._add(SENT, now, packet, host, len(data).to_bytes(4, "big") + header)
        self._payload.update(payload)

    def delivered(self, now: int, host: str, peer: str, packet: int, data: bytes) -> None:
        """See line.Tap."""
        self._add(DELIVERED, now, packet, host)

    def lost(self, now: int, host: str, peer: str, packet: int, data: bytes, cause: str) -> None:
        """See line.Tap."""
        self._add(LOST, now, packet, cause)

    def duplicated(self, now: int, host: str, peer: str, packet: int, data: bytes, copy: int) -> None:
        """See line.Tap."""
        self._add(DUPLICATED, now, packet, str(copy))

    def corrupted(self, now: int, host: str, peer: str, packet: int, data: bytes, bits: Sequence[int]) -> None:
        """See line.Tap."""
        self._add(CORRUPTED, now, packet, " ".join(str(bit) for bit in bits))

    def fault(self, now: int, what: str, subject: str) -> None:
        """See line.Tap."""
        self._add(FAULT, now, 0, f"{what} {subject}")
