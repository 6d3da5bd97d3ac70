"""What the sources of `synfin watch` and `synfin explain` cost: a dump of the kernel's sockets, a packet of a capture.

Owns what is measured. The sockets are the kernel's, in a network namespace of their own.
"""

from __future__ import annotations

import io
import json
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from benchmarks.report import LESS, Row, repeat, seconds
from synfin.capture.headers import Tally, tcp_header
from synfin.capture.reader import Capture
from synfin.watch.captured import samples

CONNECTIONS: Final = 3350  # both ends are sockets: 6,701 with the listener
DUMP_BUDGET: Final = 37.0  # ms
REPEATS: Final = 15
PACKETS: Final = 100_000
SYN: Final = bytes.fromhex("450000280001000040060000000000000a000001138800500000000900000000500203e800000000")

SIDE: Final = """
import json, resource, socket, subprocess, sys, time
wanted, repeats = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (2 * wanted + 100, 2 * wanted + 100))
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = socket.create_server(("127.0.0.1", 80), backlog=64)
held = []
for _ in range(wanted):
    held.append(socket.create_connection(("127.0.0.1", 80)))
    held.append(server.accept()[0])
from synfin.watch.kernel import KernelSource
from synfin.watch.netlink import Diag
diag, source = Diag(), KernelSource()
def timed(call):
    found = []
    for number in range(repeats):
        started = time.perf_counter()
        call(number)
        found.append(time.perf_counter() - started)
    return found
print(json.dumps({
    "sockets": len(diag.dump(memory=True).rows),
    "dump": timed(lambda number: diag.dump(memory=True)),
    "sample": timed(lambda number: source.sample(number)),
}))
"""


def rows() -> Iterator[Row]:
    """The rows of the table."""
    words = ["unshare", "--net", sys.executable, "-c", SIDE, str(CONNECTIONS), str(REPEATS)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=120)
    told = json.loads(done.stdout)
    for name, budget in (("dump", DUMP_BUDGET), ("sample", None)):
        taken = sorted(1000 * each for each in told[name])
        middle = taken[len(taken) // 2]
        yield Row(
            name=f"{name} of {told['sockets']:,} kernel sockets", value=middle, best=taken[0], unit="ms", budget=budget
        )
    capture = flood()
    for name, run in (("read", read), ("header", headers), ("handshakes", handshakes)):
        middle, best = repeat(lambda run=run: seconds(lambda: run(capture)), 3, LESS)  # type: ignore[misc]
        yield Row(name=f"a SYN of a capture, {name}", value=middle / PACKETS * 1e6, best=best / PACKETS * 1e6, unit="us")


def flood() -> bytes:
    """A pcap of SYNs from random addresses, 10,000 a second."""
    draw = random.Random(1)
    made = bytearray(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101))
    for number in range(PACKETS):
        made += struct.pack("<IIII", number // 10_000, number % 10_000 * 100, len(SYN), len(SYN))
        made += SYN[:12] + draw.randbytes(4) + SYN[16:]
    return bytes(made)


def read(capture: bytes) -> None:
    """The records alone."""
    for _ in Capture(io.BytesIO(capture)):
        pass


def headers(capture: bytes) -> None:
    """Their TCP headers too."""
    tally = Tally()
    for record in Capture(io.BytesIO(capture)):
        tcp_header(record, tally)


def handshakes(capture: bytes) -> None:
    """Half-open entries and a sample a second."""
    for _ in samples(Capture(io.BytesIO(capture)), 1_000_000_000, Tally()):
        pass
