"""What the tests of SACK share: bytes of the peer's stream by their place in it, and our ACKs as a few words.

Places count from `first`, the number that a test gives to the peer's first byte. An ACK reads `5500 [6000-6500] [7000-7500]`:
SEG.ACK and the blocks in their order, all as places.
"""

from synfin.engine.config import TcpConfig
from synfin.engine.segment import ACK, FIN, Outgoing
from tests.engine.harness import PLAIN, End
from tests.rfc.build import FULL, IRS, ISS, established, peer

SACKING = PLAIN.replace(sack=True, delayed_ack=0)
STAMPED = FULL.replace(sack=True, delayed_ack=0)  # timestamps leave room for three blocks
CONFIGS = {"plain": SACKING, "timestamps": STAMPED}


def text(start: int, end: int) -> bytes:
    """The bytes of the stream from place `start` up to `end`."""
    return bytes((place * 7 + (place >> 8)) & 0xFF for place in range(start, end))


class Stream:
    """A connection that receives, and the peer's stream, whose first byte has the place `first`."""

    def __init__(self, config: TcpConfig = SACKING, first: int = 0, one: End | None = None) -> None:
        self.one: End = established(config) if one is None else one
        self.first = first
        self.zero = self.one.connection.receiver.rcv_nxt - first  # the sequence number of place 0
        self.ack = ISS + 1  # what the peer acknowledges

    def place(self, number: int) -> int:
        """The place of a sequence number; those before the first byte are below it."""
        place = (number - self.zero) & 0xFFFFFFFF
        return place - (1 << 32) if place >= 1 << 31 else place

    def shown(self, out: Outgoing) -> str:
        """What `out` acknowledges, and its blocks."""
        assert out.flags & ACK
        blocks = [f"[{self.place(left)}-{self.place(right)}]" for left, right in out.sacks]
        return " ".join((str(self.place(out.ack)), *blocks))

    def hears(self, start: int, end: int, flags: int = ACK, tsval: int = -1) -> None:
        """The bytes from `start` up to `end` arrive; the answer comes later."""
        segment = peer(self.one, flags, self.zero + start, self.ack, payload=text(start, end), tsval=tsval)
        self.one.connection.receive(segment, self.one.now)
        self.one.connection.check_invariants()

    def gets(self, start: int, end: int, flags: int = ACK, tsval: int = -1) -> str:
        """The bytes from `start` up to `end` arrive; what is answered, `;` between several, '' for nothing."""
        self.hears(start, end, flags, tsval)
        return self.says()

    def fin(self, start: int, end: int) -> str:
        """As `gets`, with a FIN behind the bytes."""
        return self.gets(start, end, ACK | FIN)

    def says(self) -> str:
        """What is sent now."""
        return "; ".join(self.shown(out) for out in self.one.out())

    def read(self) -> bytes:
        """All that can be read."""
        return self.one.connection.read(1 << 20, self.one.now)


__all__ = ["CONFIGS", "IRS", "SACKING", "STAMPED", "Stream", "text"]
