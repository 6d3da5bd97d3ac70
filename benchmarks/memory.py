"""What a connection costs in memory, at a hundred thousand of them: idle and established, and in TIME-WAIT.

Measured as the growth of what Python's allocator has handed out (tracemalloc), engine and stack, without socket objects.
"""

import gc
import tracemalloc
from collections.abc import Iterator

from benchmarks.pair import Pair
from benchmarks.report import Row
from synfin.engine.config import SECOND
from synfin.engine.connection import Connection
from synfin.engine.timewait import TimeWait

CONNECTIONS = 100_000
CLIENTS = 40  # addresses, each with its own ports


def _in_use() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _rest(pair: Pair) -> None:
    """Time for late ACKs and for timers that nobody wants any more."""
    pair.now += 10 * SECOND
    for stack in (pair.client, pair.server):
        stack.handle_timers(pair.now)
    pair.settle()


def rows() -> Iterator[Row]:
    """Established and TIME-WAIT, bytes a side."""
    pair = Pair(clients=CLIENTS)
    pair.settle()
    tracemalloc.start()
    try:
        before = _in_use()
        sides: list[Connection] = []
        for number in range(CONNECTIONS):
            sides += pair.connect(number % CLIENTS)
        _rest(pair)
        lists = sides.__sizeof__()
        each = (_in_use() - before - lists) / (2 * CONNECTIONS)
        yield Row(name="idle established connection, a side", value=each, best=each, unit="bytes", budget=3072)

        # The client closes first and stays in TIME-WAIT; the server's side is gone, its share is 0.
        while sides:
            there, here = sides.pop(), sides.pop()
            here.close(pair.now)
            pair.client.attend(here, pair.now)
            pair.settle()
            there.close(pair.now)
            pair.server.attend(there, pair.now)
            pair.settle()
            del here, there
        _rest(pair)
        assert sum(isinstance(entry, TimeWait) for entry in pair.client.sockets()) == CONNECTIONS
        each = (_in_use() - before) / CONNECTIONS
        yield Row(name="TIME-WAIT", value=each, best=each, unit="bytes", budget=600)
    finally:
        tracemalloc.stop()
