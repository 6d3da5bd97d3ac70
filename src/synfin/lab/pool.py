"""The size of a pool of long connections against the latency of calls that come at random.

Owns the load, the runs and their figures; the pool is synfin.channels.poolaio's.
"""

import asyncio
import random
from dataclasses import dataclass
from functools import partial
from typing import Final

from synfin.channels import long
from synfin.channels.heartbeat import SECOND
from synfin.channels.poolaio import Pool
from synfin.lab.ground import FRAMING, PORT, REQUEST, Pair, between, long_echo_server, now
from synfin.lab.parts import Column, Lab, Table, filled, shown
from synfin.scenarios.study import Curve, Shown, said, words
from synfin.trace.plots import Axis, Plot, Series
from synfin.words import Text

SIZES: Final = (1, 2, 4, 6, 7, 8, 10, 12, 16, 32)
RTT: Final = 0.010
WORK: Final = 0.020  # seconds that the server needs for an answer
HELD: Final = RTT + WORK  # seconds for which a call holds a connection
RATE: Final = 200.0  # calls a second
CALLS: Final = 600


@dataclass(frozen=True, slots=True)
class Load:
    """What a pool of `size` came to: the seconds of each call, shortest first, connections made, calls done a second, and the
    longest wait for a connection in seconds."""

    size: int
    times: tuple[float, ...]
    made: int
    rate: float
    waited: float

    def share(self, percent: float) -> float:
        """The time that so many percent of the calls did not exceed."""
        return self.times[max(0, -(-int(len(self.times) * percent) // 100) - 1)]


async def _work() -> None:
    await asyncio.sleep(WORK)


async def _play(size: int, seed: int, pair: Pair) -> Load:
    server = await long_echo_server(pair, work=_work)
    times: list[float] = []

    async def call(pool: Pool) -> None:
        began = now()
        async with pool.use() as channel:
            await channel.send(REQUEST)
            await channel.receive()
        times.append(now() - began)

    with pair.client:
        pool = Pool(lambda: long.connect("server", PORT, FRAMING), size)
        began = now()
        calls: list[asyncio.Task[None]] = []
        for after in arrivals(seed):
            await asyncio.sleep(began + after - now())
            calls.append(asyncio.create_task(call(pool)))
        await asyncio.gather(*calls)
        took = now() - began
        metrics = pool.metrics
        await pool.close()
    await server.close()
    return Load(size, tuple(sorted(times)), metrics.made, CALLS / took, metrics.longest_wait / SECOND)


def arrivals(seed: int) -> list[float]:
    """When the calls come, seconds from the start: the same for every size."""
    stream = random.Random(seed)
    at, found = 0.0, []
    for _ in range(CALLS):
        at += stream.expovariate(RATE)
        found.append(at)
    return found


def load(size: int, seed: int = 1) -> Load:
    """All calls through a pool of `size` connections."""
    return between(partial(_play, size, seed), seed=seed, rtt=RTT)


INTRODUCTION: Final = Text(
    "{calls} calls come at random, {rate:.0f} a second on average, and take turns on a pool's connections. Each holds one for"
    " {held:.0f} ms: {rtt:.0f} ms of RTT and {work:.0f} ms of work. So {busy:g} connections are busy on average.",
    "{calls} 次调用随机到来，平均每秒 {rate:.0f} 次，轮流使用连接池里的连接。每次占用一个连接 {held:.0f} 毫秒："
    "RTT {rtt:.0f} 毫秒，处理 {work:.0f} 毫秒。所以平均有 {busy:g} 个连接在忙。",
)
TABLE: Final = Text("Pool size and latency under the same load", "同样负载下，连接池大小与延迟")
COLUMNS: Final = (
    Column("size", Text("size", "大小")),
    Column("median_ms", Text("median|ms", "中位数|毫秒")),
    Column("p95_ms", Text("95 %|ms", "95%|毫秒")),
    Column("p99_ms", Text("99 %|ms", "99%|毫秒")),
    Column("longest_wait_ms", Text("longest wait|for a connection, ms", "等连接|最久 毫秒")),
    Column("calls_a_second", Text("calls|a second", "每秒|完成")),
    Column("made", Text("connections|made", "建立的|连接")),
)
MORAL: Final = Text(
    "A pool of fewer than {busy:g} cannot keep up: it does at most size / {held:.0f} ms calls a second, and whoever comes later"
    " waits longer. Here no call waits from {enough} on: chance needs more than the average.",
    "少于 {busy:g} 个连接就跟不上：每秒至多完成 大小 / {held:.0f} 毫秒 次，越晚来等得越久。"
    "这里从 {enough} 个起不再有调用等待：到来有疏有密，只按平均数准备是不够的。",
)
PLOT: Final = Text("Latency of a call, {rate:.0f} calls a second", "一次调用的延迟，每秒 {rate:.0f} 次")
SIZE: Final = Text("connections in the pool", "池中的连接数")
MILLISECONDS: Final = Text("ms", "毫秒")
MEDIAN: Final = Text("median", "中位数")
SLOWEST: Final = Text("99 % are faster", "99% 比这快")


def _row(each: Load) -> tuple[int | float, ...]:
    shares = [each.share(percent) * 1000 for percent in (50, 95, 99)]
    return each.size, *shares, each.waited * 1000, each.rate, each.made


def pool(seed: int) -> Shown:
    """Play all sizes."""
    loads = [load(size, seed) for size in SIZES]
    lines = tuple(
        Series(name, tuple((each.size, each.share(percent) * 1000) for each in loads))
        for name, percent in ((MEDIAN, 50), (SLOWEST, 99))
    )
    plot = Plot(filled(PLOT, rate=RATE), Axis(SIZE, low=0.0), Axis(MILLISECONDS, log=True), lines)
    enough = next((each.size for each in loads if not each.waited), SIZES[-1])
    facts = {"busy": RATE * HELD, "held": HELD * 1000}
    return shown(
        words(said(INTRODUCTION, calls=CALLS, rate=RATE, rtt=RTT * 1000, work=WORK * 1000, **facts)),
        Table(TABLE, COLUMNS, tuple(map(_row, loads))),
        Curve(plot),
        words(said(MORAL, enough=enough, **facts)),
    )


POOL: Final = Lab("pool", Text("Pool size against latency under load", "连接池大小与负载下的延迟"), pool)
