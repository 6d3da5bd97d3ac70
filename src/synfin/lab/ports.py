"""Short connections to one address until the ephemeral ports run out, against one long connection.

Owns the runs, on a host whose range of ports is narrowed, and the prediction: a port that has been used is in TIME-WAIT for
2MSL, so at `rate` calls a second all are used up after ports / rate seconds, unless that is longer than 2MSL.
"""

import asyncio
import errno
from dataclasses import dataclass
from functools import partial
from typing import Final

from synfin.channels import aio, long
from synfin.channels.heartbeat import SECOND
from synfin.engine.config import TcpConfig
from synfin.lab.ground import FRAMING, PORT, REQUEST, Pair, between, echo_server, long_echo_server, now
from synfin.lab.parts import Cell, Column, Lab, Table, filled, shown
from synfin.scenarios.study import Curve, Shown, said, words
from synfin.stack.ports import EPHEMERAL
from synfin.trace.plots import Axis, Plot, Series, Span
from synfin.words import Text

PORTS: Final = 300
RATES: Final = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)  # calls a second
RTT: Final = 0.010
TWO_MSL: Final = 2 * TcpConfig().msl / SECOND
ALL_PORTS: Final = EPHEMERAL[1] - EPHEMERAL[0] + 1
LINUX_PORTS: Final = 60_999 - 32_768 + 1  # net.ipv4.ip_local_port_range as Linux ships it
LINUX_TIME_WAIT: Final = 60.0  # seconds; TCP_TIMEWAIT_LEN
ADDRESS: Final = "10.0.0.1"  # one of the server's: its name stands for two, each with all ports of its own
PATIENCE: Final = 5.0
LONGER: Final = 10.0  # seconds beyond 2MSL for which a run goes on that finds a port each time


@dataclass(frozen=True, slots=True)
class Run:
    """What `rate` calls a second came to: calls answered, the second at which the first one got EADDRNOTAVAIL (None: none did),
    and the connections in TIME-WAIT at the end."""

    rate: float
    answered: int
    refused: float | None
    held: int


def predicted(rate: float, ports: int = PORTS, lasts: float = TWO_MSL) -> float | None:
    """The second at which no port is left when each is held for `lasts` seconds; None when they come back fast enough."""
    return ports / rate if ports / rate < lasts else None


async def _short(rate: float, pair: Pair) -> Run:
    """One call each 1 / rate seconds, on the beat: what one takes does not put off the next."""
    server = await echo_server(pair)
    book = pair.client.stack.ports
    book.last = book.first + PORTS - 1
    refused: list[float] = []
    answers: list[bytes] = []

    async def call() -> None:
        asked = now()
        try:
            answers.append(await aio.exchange_once(ADDRESS, PORT, FRAMING, REQUEST, timeout=PATIENCE))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            refused.append(asked - began)

    with pair.client:
        began, calls = now(), []
        while not refused and now() - began < TWO_MSL + LONGER:
            calls.append(asyncio.create_task(call()))
            await asyncio.sleep(began + len(calls) / rate - now())
        held = pair.time_waits()
        await asyncio.gather(*calls)
    await server.close()
    return Run(rate, len(answers), refused[0] if refused else None, held)


async def _long(rate: float, pair: Pair) -> Run:
    server = await long_echo_server(pair)
    answered = 0
    with pair.client:
        began = now()
        channel = await long.connect(ADDRESS, PORT, FRAMING)
        while now() - began < TWO_MSL + LONGER:
            await channel.send(REQUEST)
            await channel.receive()
            answered += 1
            await asyncio.sleep(max(0.0, began + answered / rate - now()))
        await channel.close()
    await server.close()
    return Run(rate, answered, None, 0)


def short(rate: float, seed: int = 1) -> Run:
    """Short connections, `rate` a second, until no port is left or 2MSL and a little more have passed."""
    return between(partial(_short, rate), seed=seed, rtt=RTT)


def single(rate: float, seed: int = 1) -> Run:
    """The same over one long connection."""
    return between(partial(_long, rate), seed=seed, rtt=RTT)


INTRODUCTION: Final = Text(
    "A client calls one server, each time on a connection of its own, at a fixed rate. The side that closes first keeps the"
    " port in TIME-WAIT for 2MSL, {lasts:.0f} s. The client's range is narrowed to {ports} ports here, so that a run is"
    " short; the sum is the same with more.",
    "客户端以固定速率呼叫同一个服务器，每次新建一个连接。先关闭的一方要让端口在 TIME-WAIT 停留 2MSL，即 {lasts:.0f} 秒。"
    "这里把客户端的端口范围缩小到 {ports} 个，好让运行时间短些；端口再多，算法也一样。",
)
TABLE: Final = Text("When the ports run out", "端口何时用完")
COLUMNS: Final = (
    Column("calls_a_second", Text("calls|a second", "每秒|呼叫"), "g"),
    Column("predicted_s", Text("EADDRNOTAVAIL|predicted s", "EADDRNOTAVAIL|预测 秒"), ",.2f"),
    Column("measured_s", Text("measured|s", "实测|秒"), ",.2f"),
    Column("answered", Text("answered|until then", "在此之前|完成")),
    Column("time_wait", Text("TIME-WAIT|then", "此时|TIME-WAIT")),
    Column("long_answered", Text("one long:|answered", "一个长连接：|完成")),
    Column("long_time_wait", Text("ports|used", "占用|端口")),
)
SUM: Final = Text(
    "Prediction: ports / rate, where that is less than 2MSL. So the rate that can go on for ever is ports / 2MSL = {ports} /"
    " {lasts:.0f} = {most:.2f} a second. With all {all_ports:,} ports of RFC 6335 it is {all_most:.0f} a second; with Linux's"
    " {linux_ports:,} and its TIME-WAIT of {linux_lasts:.0f} s {linux_most:.0f}, and at 1,000 a second the ports are used up"
    " after {linux_second:.1f} s.",
    "预测：端口数 / 速率，若它小于 2MSL。所以能一直维持的速率是 端口数 / 2MSL = {ports} / {lasts:.0f} = 每秒 {most:.2f} 次。"
    "用上 RFC 6335 的全部 {all_ports:,} 个端口时是每秒 {all_most:.0f} 次；Linux 有 {linux_ports:,} 个端口，TIME-WAIT 为"
    " {linux_lasts:.0f} 秒，即每秒 {linux_most:.0f} 次，而每秒 1,000 次时 {linux_second:.1f} 秒就用完。",
)
LONG_RUN: Final = Text(
    "One long connection uses one port at any rate. A run goes on for {until:.0f} s where nothing ends it.",
    "一个长连接不论速率多高都只占一个端口。没有出错时，每次运行持续 {until:.0f} 秒。",
)
PLOT: Final = Text("The second at which no port is left, {ports} ports", "端口用完的时刻，共 {ports} 个端口")
RATE: Final = Text("calls a second", "每秒呼叫")
SECOND_OF: Final = Text("second", "秒")
PREDICTED: Final = Text("predicted", "预测")
MEASURED: Final = Text("measured", "实测")
FOR_EVER: Final = Text("for ever", "可一直维持")
LONG_RATE: Final = 10.0  # the fastest that is played on the long connection: it has no limit to be found


def _row(run: Run, seed: int) -> tuple[Cell, ...]:
    long_one = single(run.rate, seed) if run.rate <= LONG_RATE else None
    beside: tuple[Cell, ...] = (None, None) if long_one is None else (long_one.answered, 1)
    return run.rate, predicted(run.rate), run.refused, run.answered, run.held, *beside


def ports(seed: int) -> Shown:
    """Play all rates."""
    runs = [short(rate, seed) for rate in RATES]
    sustained = PORTS / TWO_MSL
    plot = Plot(
        filled(PLOT, ports=PORTS), Axis(RATE, log=True), Axis(SECOND_OF, low=0.0),
        (
            Series(PREDICTED, tuple((rate, predicted(rate)) for rate in RATES)),
            Series(MEASURED, tuple((run.rate, run.refused) for run in runs)),
        ),
        (Span(FOR_EVER, 1.0, sustained),),
    )  # fmt: skip
    return shown(
        words(said(INTRODUCTION, lasts=TWO_MSL, ports=PORTS)),
        Table(TABLE, COLUMNS, tuple(_row(run, seed) for run in runs)),
        Curve(plot),
        words(
            said(
                SUM, ports=PORTS, lasts=TWO_MSL, most=sustained, all_ports=ALL_PORTS, all_most=ALL_PORTS / TWO_MSL,
                linux_ports=LINUX_PORTS, linux_lasts=LINUX_TIME_WAIT, linux_most=LINUX_PORTS / LINUX_TIME_WAIT,
                linux_second=predicted(1000.0, LINUX_PORTS, LINUX_TIME_WAIT),
            ),
            said(LONG_RUN, until=TWO_MSL + LONGER),
        ),
    )  # fmt: skip


PORTS_LAB: Final = Lab(
    "ports",
    Text("Short connections until the ports run out, against one long one", "短连接直到端口用完，对比一个长连接"),
    ports,
)
