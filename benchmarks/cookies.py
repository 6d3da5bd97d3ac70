"""What a SYN costs a listener: answered by a cookie, answered from the queue, dropped; and how many guessed cookies are taken.

From packet in to packet out, through the stack, with every option that a usual SYN has. The guesses are for the check itself:
ten million random numbers at full width, of which none may be taken, and as many for a hash cut to 16 bits, of which chance has
one in 65,536 taken. They take about a quarter of a minute each.
"""

import random
import time
from collections.abc import Iterator

from benchmarks.pair import PORT, Nowhere
from benchmarks.report import Row, repeat
from synfin.engine.config import TcpConfig
from synfin.engine.cookies import NO_TIMESTAMPS, STEP, WIDTH, Cookies
from synfin.engine.segment import SYN, Outgoing
from synfin.stack.addresses import make_key
from synfin.stack.stack import Stack
from synfin.wire.packet import build_packet

SYNS = 10_000
GUESSES = 10_000_000
SHORT = 16  # bits
BUDGET = 15.0  # us
SERVER = bytes((192, 0, 2, 1))


def _packets(count: int) -> list[bytes]:
    draw = random.Random(1)
    made = []
    for _ in range(count):
        out = Outgoing(draw.getrandbits(32), 0, SYN, 64_240, 0)
        out.mss, out.wscale, out.sack_permitted = 1460, 7, True
        out.has_timestamps, out.tsval = True, draw.getrandbits(32)
        source = bytes((draw.randrange(1, 190),)) + draw.randbytes(3)
        key = make_key(SERVER, PORT, source, draw.randrange(1, 65_536))
        made.append(build_packet(key, out, identification=0, checksum=False))
    return made


def _microseconds(packets: list[bytes], config: TcpConfig, answered: int) -> float:
    device = Nowhere()
    stack = Stack(
        addresses=[SERVER], config=config, device=device, clock=lambda: 0, secret=bytes(16), random=random.Random(1)
    )
    stack.listen((None, PORT), 128, 0)
    started = time.perf_counter()
    for packet in packets:
        stack.receive_packet(packet, 0, verify=False)
        stack.transmit(0)
    spent = time.perf_counter() - started
    assert device.sent == answered, "each SYN was answered, or none"
    return spent / len(packets) * 1e6


def _hits(width: int) -> int:
    """How many of the guesses are taken for the cookie of one peer, whose address, port and number the guesser knows."""
    check = Cookies(bytes(16), width).check
    guess = random.Random(width).getrandbits
    key, now = make_key(bytes((10, 0, 0, 1)), 5000, SERVER, PORT), 5 * STEP
    return sum(check(key, 1, guess(32), NO_TIMESTAMPS, 0, now) > 0 for _ in range(GUESSES))


def rows() -> Iterator[Row]:
    """Three costs, two counts of guesses and what a guess costs."""
    packets = _packets(SYNS)
    config = TcpConfig(syn_backlog=2 * SYNS)
    for name, changed, answered, budget in (
        ("SYN answered by a cookie", config.replace(syn_cookies="always"), SYNS, BUDGET),
        ("SYN answered from the queue", config.replace(syn_cookies="off"), SYNS, None),
        ("SYN dropped, queue full", config.replace(syn_cookies="off", syn_backlog=1), 1, None),
    ):
        value, best = repeat(lambda changed=changed, answered=answered: _microseconds(packets, changed, answered), 9, "<=")
        yield Row(name=name, value=value, best=best, unit="us", budget=budget)
    started = time.perf_counter()
    hits = float(_hits(WIDTH))
    each = (time.perf_counter() - started) / GUESSES * 1e6
    yield Row(name="guessed cookies taken, of 10,000,000", value=hits, best=hits, unit="of 28 bits", budget=0.0)
    expected = GUESSES / (1 << SHORT)
    hits = float(_hits(SHORT))
    away = abs(hits - expected) / expected**0.5
    yield Row(name="the same, hash cut to 16 bits", value=hits, best=expected, unit="best: chance")
    yield Row(name="how far from chance", value=away, best=away, unit="sigma", budget=5.0)
    yield Row(name="a wrong cookie refused", value=each, best=each, unit="us")
