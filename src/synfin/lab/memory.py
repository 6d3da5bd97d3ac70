"""What an open connection costs a server in memory: measured by tracemalloc, while the client is played by hand and keeps
nothing.

Owns that measurement. Only what the server holds is counted: its TCP, and above it asyncio's transport and the program's
channel.
"""

import asyncio
import gc
import tracemalloc
from functools import partial
from typing import Final

from synfin.lab.ground import PORT, Pair, between, long_echo_server
from synfin.scenarios.stage import syn_ack
from synfin.sim.faults import SeenPacket

FIRST_PORT: Final = 1024
APART: Final = 0.001  # seconds between two SYNs: the accept queue is short
SETTLED: Final = 2.0  # seconds after which every handshake is over


def open_connections(count: int) -> int:
    """Bytes that a server holds for `count` long connections that are open and idle."""
    running = tracemalloc.is_tracing()
    if not running:
        tracemalloc.start()
    try:
        return between(partial(_held, count), seed=0, rtt=0.0)
    finally:
        if not running:
            tracemalloc.stop()


async def _held(count: int, pair: Pair) -> int:
    server = await long_echo_server(pair)
    pair.client.divert(lambda packet: _finish_handshake(pair, SeenPacket(packet)))
    before = _traced()
    for number in range(count):
        pair.client.inject("server", source_port=FIRST_PORT + number, destination_port=PORT, flags="SYN", mss=1460)
        await asyncio.sleep(APART)
    await asyncio.sleep(SETTLED)
    held = _traced() - before
    assert server.connections == count, "every connection is open while it is measured"
    await server.close()
    return held


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _finish_handshake(pair: Pair, packet: SeenPacket) -> None:
    """The third segment, made from the second alone."""
    if syn_ack(packet):
        pair.client.inject(
            "server", source_port=packet.destination_port, destination_port=PORT, flags="ACK", seq=packet.ack,
            ack=packet.seq + 1 & 0xFFFFFFFF,
        )  # fmt: skip
