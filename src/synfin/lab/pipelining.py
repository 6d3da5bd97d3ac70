"""Synchronous against pipelined exchange: the same questions, one after the other or many on their way at once, over the RTT.

Owns the runs and their figures; the exchange is synfin.channels.exchangeaio's.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

from synfin.channels import exchangeaio
from synfin.lab.ground import FRAMING, PORT, REQUEST, Pair, between, now
from synfin.lab.parts import Column, Lab, Table, filled, shown
from synfin.scenarios.study import Curve, Shown, said, words
from synfin.trace.plots import Axis, Plot, Series
from synfin.words import Text

RTTS: Final = (0.001, 0.005, 0.020, 0.050, 0.100, 0.200)  # seconds
LIMITS: Final = (1, 8, 64)  # questions on their way at once; 1: synchronous
COUNT: Final = 512  # questions, a multiple of each limit


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What `limit` questions at once came to: seconds from the first question to the last answer, without the handshake, and
    segments of both sides."""

    limit: int
    rtt: float
    time: float
    segments: int


async def _play(limit: int, rtt: float, pair: Pair) -> Pipeline:
    with pair.server:
        server = await exchangeaio.serve(lambda question: question, None, PORT, FRAMING, limit=limit)
    with pair.client:
        channel = await exchangeaio.connect("server", PORT, FRAMING, limit=limit)
        began, before = now(), pair.segments()
        answers = [await channel.submit(REQUEST) for _ in range(COUNT)]
        await asyncio.gather(*answers)
        found = Pipeline(limit, rtt, now() - began, pair.segments() - before)
        await channel.close()
    await server.close()
    return found


def questions(limit: int, rtt: float, seed: int = 1) -> Pipeline:
    """COUNT questions, at most `limit` of them without an answer, over `rtt` seconds."""
    return between(partial(_play, limit, rtt), seed=seed, rtt=rtt)


INTRODUCTION: Final = Text(
    "A client puts {count} questions of a few bytes on one connection. Synchronously it waits for each answer before it asks"
    " again; pipelined it goes on asking while at most so many answers are due.",
    "客户端在一个连接上提 {count} 个很短的问题。同步：等到回答才提下一个；流水线：只要未答的不超过上限，就接着提。",
)
TABLE: Final = Text("{count} questions on one connection", "一个连接上的 {count} 个问题")
RTT: Final = Column("rtt_ms", Text("RTT|ms", "RTT|毫秒"))
SYNCHRONOUS: Final = Text("synchronous", "同步")
PIPELINED: Final = Text("{limit} at once", "同时 {limit} 个")
TIME: Final = Text("{name}:|s", "{name}：|秒")
SEGMENTS: Final = Text("segments", "报文段")
MORAL: Final = Text(
    "Synchronously an answer costs a whole RTT, so a connection does 1 / RTT exchanges a second however fast both programs"
    " are. With n at once the same RTT carries n, and several share a segment: {most} at once are {times:.0f} times as fast"
    " here, in {share:.0f} % of the segments.",
    "同步时每个回答都要花一个完整的 RTT，所以不管双方程序多快，一个连接每秒只能完成 1 / RTT 次交换。"
    "同时 n 个时，同一个 RTT 里走 n 个，而且几个合用一个报文段：这里同时 {most} 个快 {times:.0f} 倍，报文段只有 {share:.0f}%。",
)
PLOT: Final = Text("Exchanges a second on one connection", "一个连接上每秒的交换次数")
X_RTT: Final = Text("RTT, ms", "RTT，毫秒")
PER_SECOND: Final = Text("exchanges a second", "每秒交换次数")


def _name(limit: int) -> Text:
    return SYNCHRONOUS if limit == 1 else filled(PIPELINED, limit=limit)


def _columns() -> tuple[Column, ...]:
    found = [RTT]
    for limit in LIMITS:
        found += [
            Column(f"time_{limit}_s", filled(TIME, name=_name(limit)), ",.3f"),
            Column(f"segments_{limit}", SEGMENTS),
        ]
    return tuple(found)


def pipelining(seed: int) -> Shown:
    """Play all RTTs and limits."""
    runs = {(limit, rtt): questions(limit, rtt, seed) for limit in LIMITS for rtt in RTTS}
    rows = []
    for rtt in RTTS:
        row: list[float] = [rtt * 1000]
        for limit in LIMITS:
            run = runs[limit, rtt]
            row += [run.time, run.segments]
        rows.append(tuple(row))
    lines = tuple(Series(_name(limit), tuple((rtt * 1000, COUNT / runs[limit, rtt].time) for rtt in RTTS)) for limit in LIMITS)
    one, most = runs[LIMITS[0], RTTS[-1]], runs[LIMITS[-1], RTTS[-1]]
    facts = {"times": one.time / most.time, "share": 100 * most.segments / one.segments, "most": most.limit}
    return shown(
        words(said(INTRODUCTION, count=COUNT)),
        Table(filled(TABLE, count=COUNT), _columns(), tuple(rows)),
        Curve(Plot(PLOT, Axis(X_RTT, log=True), Axis(PER_SECOND, log=True), lines)),
        words(said(MORAL, **facts)),
    )


PIPELINING: Final = Lab(
    "pipelining",
    Text("Synchronous against pipelined exchange over the RTT", "同步与流水线交换，随 RTT 的变化"),
    pipelining,
)
