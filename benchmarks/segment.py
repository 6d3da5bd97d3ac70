"""What one in-order segment costs: parsed, demultiplexed, taken by the engine, read by the application, acknowledged."""

import random
import time
from collections.abc import Iterator

from benchmarks.pair import Nowhere, Pair
from benchmarks.report import Row, repeat
from synfin.engine.connection import Connection
from synfin.engine.segment import ACK, NEW_DATA, Outgoing
from synfin.engine.seq import MASK
from synfin.wire.packet import build_packet

SUPER = 45 * 1448  # what a device with offload hands over at MTU 1500: as many whole segments as fit into 64 KB
WHOLE = 1460 - 12  # with timestamps, in a packet of 1,500 bytes


class Stream:
    """One established connection at a server that sends nowhere, and the packets that its client would send on."""

    def __init__(self) -> None:
        pair = Pair()
        self.client, self.connection = pair.connect()
        self.stack = pair.server
        self.stack.device = Nowhere()
        self.now = pair.now
        self.seq = self.client.sender.snd_nxt
        self.buffer = bytearray(1 << 17)

    def packets(self, size: int, count: int) -> list[bytes]:
        """The next `count` packets of `size` bytes of payload each."""
        payload = random.Random(size).randbytes(size)
        made = []
        for _ in range(count):
            out = Outgoing(self.seq, self.connection.sender.snd_nxt, ACK, 1000, NEW_DATA, payload)
            out.has_timestamps = True
            out.tsval, out.tsecr = self.client.timestamp(self.now), self.connection.timestamp(self.now)
            made.append(build_packet(self.client.key, out, identification=0, checksum=False))
            self.seq = (self.seq + size) & MASK
        return made

    def take(self, packets: list[bytes]) -> None:
        """What a driver does with each packet, and an application with what is in it."""
        stack, connection, buffer, now = self.stack, self.connection, self.buffer, self.now
        for packet in packets:
            stack.receive_packet(packet, now, verify=False)
            connection.read_into(buffer, now)
            stack.transmit(now)


def _microseconds(size: int, count: int) -> float:
    stream = Stream()
    stream.take(stream.packets(size, 20))
    packets = stream.packets(size, count)
    started = time.perf_counter()
    stream.take(packets)
    spent = time.perf_counter() - started
    _check(stream.connection, stream.seq)
    return spent / count * 1e6


def _check(connection: Connection, seq: int) -> None:
    assert connection.receiver.rcv_nxt == seq, "every byte was taken"
    assert connection.readable() == 0, "and read"


def rows() -> Iterator[Row]:
    """The two rows."""
    for name, size, count, budget in (("64 KB super-segment", SUPER, 400, 20.0), ("1,460-byte segment", WHOLE, 8000, 12.0)):
        value, best = repeat(lambda size=size, count=count: _microseconds(size, count), 9, "<=")
        yield Row(name=name, value=value, best=best, unit="us", budget=budget)
