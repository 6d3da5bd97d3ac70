"""One transfer over each duplex mode of a link: full, half with the time that a change of direction takes, simplex.

Owns the runs and what is counted on a half-duplex line: how often it changes its direction and how long nothing is on it.
"""

import asyncio
import errno
from dataclasses import dataclass
from functools import partial
from typing import Final

from synfin.engine.config import MILLISECOND, SECOND
from synfin.lab.ground import PORT, Pair, between, now
from synfin.lab.parts import Cell, Column, Lab, Table, filled, shown
from synfin.scenarios.study import Curve, Shown, said, words
from synfin.sim.line import Direction, Medium
from synfin.trace.plots import Axis, Plot, Series
from synfin.words import Text

SIZE: Final = 500_000  # bytes
RTT: Final = 0.010
BANDWIDTH: Final = 10_000_000  # bits a second
TURNAROUNDS: Final = (0, 1, 2, 5, 10)  # ms


class CountedMedium(Medium):
    """A half-duplex line that counts: `turns` from one direction to the other, and `idle` nanoseconds with nothing on it."""

    __slots__ = ("_start", "idle", "turns")

    def __init__(self, turnaround: int) -> None:
        super().__init__(turnaround)
        self.turns = 0
        self.idle = 0
        self._start = 0

    def begin(self, direction: Direction, now: int) -> int:
        """See Medium."""
        self._start = super().begin(direction, now)
        return self._start

    def hold(self, direction: Direction, leaves: int, arrives: int) -> None:
        """See Medium."""
        self.idle += max(0, self._start - self.clear_at)
        self.turns += self.owner is not None and self.owner is not direction
        super().hold(direction, leaves, arrives)


@dataclass(frozen=True, slots=True)
class Transfer:
    """What one mode came to: seconds until the server had read all (None: it never did), segments, turns of the line and the
    seconds with nothing on it, and the error that connect raised, by its number."""

    time: float | None
    segments: int
    turns: int | None = None
    idle: float | None = None
    error: int = 0
    error_after: float | None = None


async def _transfer(turnaround: int | None, pair: Pair) -> Transfer:
    medium = None if turnaround is None else CountedMedium(turnaround * MILLISECOND)
    if medium is not None:
        pair.link.forward.medium = pair.link.backward.medium = medium
    read: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        read.set_result(now())
        writer.close()

    with pair.server:
        server = await asyncio.start_server(take, None, PORT)
    with pair.client:
        began = now()
        try:
            reader, writer = await asyncio.open_connection("10.0.0.1", PORT)
        except OSError as error:
            server.close()
            return Transfer(None, pair.segments(), error=error.errno or 0, error_after=now() - began)
        writer.write(b"z" * SIZE)
        writer.write_eof()
        took = await read - began
        found = Transfer(took, pair.segments()) if medium is None else Transfer(
            took, pair.segments(), medium.turns, medium.idle / SECOND
        )  # fmt: skip
        await reader.read()
        writer.close()
        server.close()
    return found


def transfer(duplex: str, turnaround: int | None = None, seed: int = 1) -> Transfer:
    """One transfer over a link that is "full", "half" or "simplex"; `turnaround` in ms, of a half-duplex one."""
    return between(partial(_transfer, turnaround), seed=seed, rtt=RTT, duplex=duplex, bandwidth=BANDWIDTH)


INTRODUCTION: Final = Text(
    "A client sends {size:,} bytes to a server over a line of {rate:.0f} Mbit/s and {delay:.0f} ms one way. On a full-duplex"
    " line both directions go at once. On a half-duplex one either data or ACKs go, and a change of direction takes its time"
    " on top of the wait until the line is clear. On a simplex line nothing comes back.",
    "客户端通过带宽 {rate:.0f} Mbit/s、单向时延 {delay:.0f} 毫秒的线路向服务器发送 {size:,} 字节。全双工线路上两个方向同时传；"
    "半双工线路上要么传数据、要么传 ACK，换方向时除了等线路空出来，还要另花时间；单工线路上什么都回不来。",
)
TABLE: Final = Text("The same transfer over each kind of line", "同一次传输，各种线路")
COLUMNS: Final = (
    Column("line", Text("line", "线路")),
    Column("turnaround_ms", Text("turnaround|ms", "换向|毫秒")),
    Column("time_s", Text("time|s", "时间|秒"), ",.3f"),
    Column("segments", Text("segments", "报文段")),
    Column("turns", Text("turns", "换向次数")),
    Column("idle_s", Text("nothing on|the line, s", "线路空闲|秒"), ",.3f"),
    Column("outcome", Text("outcome", "结果")),
)
FULL: Final = Text("full duplex", "全双工")
HALF: Final = Text("half duplex", "半双工")
SIMPLEX: Final = Text("simplex", "单工")
READ: Final = Text("all read", "全部读完")
FAILED: Final = Text("{name}, {after:.0f} s", "{name}，{after:.0f} 秒")
MORAL: Final = Text(
    "TCP cannot do without the way back: over the simplex line each SYN arrives, no SYN,ACK returns, and connect ends in"
    " {name}. Over a half-duplex line it works, and the ACKs that cost nothing on a full-duplex one take turns with the data:"
    " {times:.1f} times the time with no turnaround at all, {most:.1f} times with {turnaround} ms.",
    "TCP 离不开回程：在单工线路上每个 SYN 都能到达，但没有 SYN,ACK 回来，connect 以 {name} 结束。半双工线路上可以工作，"
    "但在全双工线路上毫无代价的 ACK 要与数据轮流占用线路：换向不花时间时也要 {times:.1f} 倍的时间，换向 {turnaround} 毫秒时要"
    " {most:.1f} 倍。",
)
PLOT: Final = Text("Time of the transfer over a half-duplex line", "半双工线路上的传输时间")
TURNAROUND: Final = Text("turnaround, ms", "换向时间，毫秒")
SECONDS: Final = Text("seconds", "秒")
IDLE: Final = Text("of it nothing on the line", "其中线路空闲")
BESIDE: Final = Text("full duplex, for comparison", "全双工，作为比较")


def _row(line: Text, turnaround: int | None, each: Transfer) -> tuple[Cell, ...]:
    outcome = READ
    if each.time is None:
        outcome = filled(FAILED, name=errno.errorcode[each.error], after=each.error_after)
    return line, turnaround, each.time, each.segments, each.turns, each.idle, outcome


def duplex(seed: int) -> Shown:
    """Play all lines."""
    full, none = transfer("full", seed=seed), transfer("simplex", seed=seed)
    halves = {turnaround: transfer("half", turnaround, seed) for turnaround in TURNAROUNDS}
    rows = [
        _row(FULL, None, full),
        *(_row(HALF, turnaround, half) for turnaround, half in halves.items()),
        _row(SIMPLEX, None, none),
    ]
    plot = Plot(
        PLOT, Axis(TURNAROUND, low=0.0), Axis(SECONDS),
        (
            Series(HALF, tuple((turnaround, half.time) for turnaround, half in halves.items())),
            Series(IDLE, tuple((turnaround, half.idle) for turnaround, half in halves.items())),
            Series(BESIDE, tuple((turnaround, full.time) for turnaround in TURNAROUNDS)),
        ),
    )  # fmt: skip
    most = TURNAROUNDS[-1]
    taken = full.time or 1.0
    return shown(
        words(said(INTRODUCTION, size=SIZE, rate=BANDWIDTH / 1e6, delay=RTT * 500)),
        Table(TABLE, COLUMNS, tuple(rows)),
        Curve(plot),
        words(
            said(
                MORAL, name=errno.errorcode[none.error], times=(halves[0].time or 0.0) / taken,
                most=(halves[most].time or 0.0) / taken, turnaround=most,
            )
        ),
    )  # fmt: skip


DUPLEX: Final = Lab(
    "duplex",
    Text("One transfer over full-duplex, half-duplex and simplex lines", "同一次传输，分别走全双工、半双工和单工线路"),
    duplex,
)
