"""Long against short connections: the same exchanges over one connection, and over one connection each.

Owns the runs, their figures, and the advice for a workload that follows from them. Both forms are the shipped ones:
`exchange_once`, and `long.connect` with its acknowledgments.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from synfin.channels import aio, long
from synfin.channels.heartbeat import NEVER, SECOND
from synfin.channels.life import LifeSettings
from synfin.engine.config import TcpConfig
from synfin.lab.ground import FRAMING, PORT, REQUEST, Pair, between, echo_server, long_echo_server, now
from synfin.lab.memory import open_connections
from synfin.lab.parts import Cell, Column, Lab, Table, filled, shown
from synfin.scenarios.study import Curve, Part, Said, Shown, said, words
from synfin.stack.ports import EPHEMERAL
from synfin.trace.plots import Axis, Plot, Series
from synfin.words import Text

RTTS: Final = (0.001, 0.020, 0.100, 0.200)  # seconds
COUNTS: Final = (1, 10, 100, 1000)
PATIENCE: Final = 60.0
AFTERWARDS: Final = 1.0  # seconds after the last exchange at which is counted
IDLE_BEATS: Final = 10
SPARSE: Final = 10
PAUSE: Final = 1.0  # seconds between exchanges that stand apart
CLIENTS: Final = 10_000
PORTS: Final = EPHEMERAL[1] - EPHEMERAL[0] + 1
TWO_MSL: Final = 2 * TcpConfig().msl / SECOND
INTERVAL: Final = long.DEFAULT.interval / SECOND
MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run of exchanges came to: seconds, segments of both sides, handshakes, and connections left in TIME-WAIT."""

    time: float
    segments: int
    handshakes: int
    time_waits: int


async def _short(count: int, pair: Pair) -> Figures:
    server = await echo_server(pair)
    with pair.client:
        began = now()
        for _ in range(count):
            await aio.exchange_once("server", PORT, FRAMING, REQUEST, timeout=PATIENCE)
        return await _count(pair, now() - began, server)


async def _long(count: int, pair: Pair) -> Figures:
    server = await long_echo_server(pair)
    with pair.client:
        began = now()
        channel = await long.connect("server", PORT, FRAMING)
        for _ in range(count):
            await channel.send(REQUEST)
            await channel.receive()
        took = now() - began
        await channel.close()
        return await _count(pair, took, server)


async def _count(pair: Pair, took: float, server: aio.MessageServer) -> Figures:
    await asyncio.sleep(AFTERWARDS)
    found = Figures(took, pair.segments(), pair.client.stack.counters.active_opens, pair.time_waits())
    await server.close()
    return found


async def _beats(pair: Pair) -> float:
    """Segments for each PING of a connection on which nothing else happens."""
    server = await long_echo_server(pair, LifeSettings(interval=NEVER))
    with pair.client:
        channel = await long.connect("server", PORT, FRAMING)
        await asyncio.sleep(INTERVAL / 2)
        before = pair.segments()
        await asyncio.sleep(INTERVAL * IDLE_BEATS)
        found = (pair.segments() - before) / IDLE_BEATS
        await channel.close()
    await server.close()
    return found


async def _sparse(pair: Pair) -> float:
    """Segments for each exchange of a long connection when nothing follows soon on which an acknowledgment could ride."""
    server = await long_echo_server(pair)
    with pair.client:
        channel = await long.connect("server", PORT, FRAMING)
        before = pair.segments()
        for _ in range(SPARSE):
            await channel.send(REQUEST)
            await channel.receive()
            await asyncio.sleep(PAUSE)
        found = (pair.segments() - before) / SPARSE
        await channel.close()
    await server.close()
    return found


FORMS: Final[dict[str, Callable[[int, Pair], Awaitable[Figures]]]] = {"short": _short, "long": _long}


def exchanges(form: str, count: int, rtt: float, seed: int = 1) -> Figures:
    """`count` exchanges, one after the other, over connections that are "short" or over one that is "long"."""
    return between(partial(FORMS[form], count), seed=seed, rtt=rtt)


def segments_of_a_beat(rtt: float, seed: int = 1) -> float:
    """How many segments a PING and its answer take."""
    return between(_beats, seed=seed, rtt=rtt)


def segments_apart(rtt: float, seed: int = 1) -> float:
    """How many segments an exchange takes on a long connection that is silent before and after."""
    return between(_sparse, seed=seed, rtt=rtt)


# Advice


@dataclass(frozen=True, slots=True)
class Workload:
    """`clients` on hosts of their own, each with an exchange every `gap` seconds, `rtt` seconds away."""

    name: str
    title: Text
    clients: int
    gap: float
    rtt: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What the runs have measured, in segments: an exchange on a short connection, on a long one amid others (`dense`) and
    alone (`apart`), and a PING with its answer; `connection` is the bytes of an open connection."""

    short: float
    dense: float
    apart: float
    beat: float
    connection: int

    def of_long(self, gap: float) -> float:
        """Segments of an exchange every `gap` seconds on a long connection, the PINGs of the silence among them."""
        return self.dense if gap < PAUSE else self.apart + gap // INTERVAL * self.beat

    @property
    def even(self) -> float:
        """Seconds between exchanges from which on the PINGs in between cost more than a handshake and a close."""
        return INTERVAL * ((self.short - self.apart) // self.beat + 1)


@dataclass(frozen=True, slots=True)
class Advice:
    """Which form suits a workload, and why, with the figures behind it: segments an exchange, seconds an exchange, ports that
    one client holds in TIME-WAIT, connections open at the server and their bytes; short ones first where there are two."""

    workload: Workload
    form: Text
    why: Said
    segments: tuple[float, float]
    times: tuple[float, float]
    held_ports: float
    open: tuple[float, float]
    bytes: tuple[float, float]


SHORT: Final = Text("short", "短连接")
LONG: Final = Text("long", "长连接")
WORKLOADS: Final = (
    Workload("bank", Text("rare, single", "偶尔一次"), clients=1, gap=600.0, rtt=0.020),
    Workload("database", Text("frequent, few peers", "频繁，对端少"), clients=4, gap=0.002, rtt=0.001),
    Workload("web", Text("10,000 clients, each rare", "一万个客户端，各自很少"), clients=CLIENTS, gap=120.0, rtt=0.050),
)
NO_PORTS: Final = Text(
    "{name}: long. One exchange every {gap:g} s on connections of its own would keep {held:,.0f} ports of each client in"
    " TIME-WAIT; there are {ports:,}, used up after {second:.0f} s.",
    "{name}：用长连接。每 {gap:g} 秒一次交换、每次新建连接，会让每个客户端有 {held:,.0f} 个端口处于 TIME-WAIT；"
    "总共只有 {ports:,} 个，{second:.0f} 秒就用完。",
)
PINGS_COST: Final = Text(
    "{name}: short. {gap:g} s pass between two exchanges of a client, and from {even:.0f} s on PINGs cost more than a"
    " handshake and a close.{holds}",
    "{name}：用短连接。同一客户端两次交换相隔 {gap:g} 秒，而从 {even:.0f} 秒起，心跳的开销就大于一次握手加一次关闭。{holds}",
)
HOLDS: Final = Text(
    " The server has {short:.1f} connections open instead of {long:,}.",
    "服务器上打开的连接是 {short:.1f} 个，而不是 {long:,} 个。",
)
NOTHING_MORE: Final = ""
STAYS: Final = Text(
    "{name}: long. {gap:g} s pass between two exchanges of a client; only from {even:.0f} s on do PINGs cost more than a"
    " handshake and a close.",
    "{name}：用长连接。同一客户端两次交换相隔 {gap:g} 秒；从 {even:.0f} 秒起，心跳的开销才大于一次握手加一次关闭。",
)


def advise(workload: Workload, costs: Costs) -> Advice:
    """The advice for `workload`: long where its ports would not suffice otherwise, else the form that sends fewer segments."""
    gap, clients = workload.gap, workload.clients
    held = TWO_MSL / gap
    segments = costs.short, costs.of_long(gap)
    opened = clients * 2 * workload.rtt / max(gap, 2 * workload.rtt), float(clients)
    if held > PORTS:
        form, why = LONG, said(NO_PORTS, name=workload.name, gap=gap, held=held, ports=PORTS, second=PORTS * gap)
    elif segments[1] > segments[0]:
        form = SHORT
        holds = filled(HOLDS, short=opened[0], long=clients) if clients > 1 else NOTHING_MORE
        why = said(PINGS_COST, name=workload.name, gap=gap, even=costs.even, holds=holds)
    else:
        form, why = LONG, said(STAYS, name=workload.name, gap=gap, even=costs.even)
    held_bytes = opened[0] * costs.connection, opened[1] * costs.connection
    return Advice(workload, form, why, segments, (2 * workload.rtt, workload.rtt), held, opened, held_bytes)


# What is shown

INTRODUCTION: Final = Text(
    "A client asks and a server answers, one exchange after the other: each on a connection of its own (short), or all on one"
    " (long). Segments are those of both sides, the close included.",
    "客户端提问，服务器回答，一次接一次：每次交换新建一个连接（短连接），或者全部共用一个连接（长连接）。报文段为双方之和，含"
    "关闭。",
)
TABLE: Final = Text("Exchanges one after the other", "依次进行的交换")
RTT: Final = Column("rtt_ms", Text("RTT|ms", "RTT|毫秒"))
COUNT: Final = Column("exchanges", Text("exchanges", "交换|次数"))
BOTH: Final = (
    Column("short_s", Text("short:|time s", "短连接：|时间 秒"), ",.3f"),
    Column("short_segments", Text("seg-|ments", "报文段")),
    Column("short_handshakes", Text("hand-|shakes", "握手")),
    Column("short_time_wait", Text("TIME-|WAIT", "TIME-|WAIT 数")),
    Column("long_s", Text("long:|time s", "长连接：|时间 秒"), ",.3f"),
    Column("long_segments", Text("seg-|ments", "报文段")),
    Column("long_handshakes", Text("hand-|shakes", "握手")),
    Column("long_time_wait", Text("TIME-|WAIT", "TIME-|WAIT 数")),
)
EXPIRED: Final = Text(
    "TIME-WAIT lasts {lasts:.0f} s: where the exchanges took longer, the first ones' is over when the last has ended.",
    "TIME-WAIT 持续 {lasts:.0f} 秒：交换总时长超过它时，最后一次结束之前，最早的那些已经到期。",
)
MEMORY: Final = Text(
    "{clients:,} open and idle long connections hold {total:.0f} MB on the server, {each:,} bytes each (TCP, asyncio's"
    " transport and the channel; measured by tracemalloc over all {clients:,}). Of a short connection the server keeps nothing"
    " once it is closed: TIME-WAIT is on the side that closed first, the client's.",
    "{clients:,} 个打开而空闲的长连接在服务器上占 {total:.0f} MB，每个 {each:,} 字节（TCP、asyncio 的传输对象和通道；"
    "用 tracemalloc 对全部 {clients:,} 个连接实测）。短连接关闭之后服务器什么都不留：TIME-WAIT 在先关闭的一方，即客户端。",
)
BREAK_EVEN: Final = Text(
    "An exchange takes {short:g} segments on a short connection; on a long one {dense:g} amid others, {apart:g} alone; a PING"
    " with its answer {beat:g}, every {interval:.0f} s of silence. So a long connection sends more when exchanges are"
    " {even:.0f} s or more apart.",
    "一次交换在短连接上要 {short:g} 个报文段；在长连接上，前后还有别的交换时要 {dense:g} 个，单独时要 {apart:g} 个；"
    "每静默 {interval:.0f} 秒一次心跳，一问一答要 {beat:g} 个。所以交换相隔 {even:.0f} 秒或更久时，长连接发送得更多。",
)
RIDES: Final = Text(
    "From an RTT of 100 ms on an exchange of a long connection takes four segments: the acknowledgments, TCP's and the"
    " channel's, do not wait so long for the next message to ride on.",
    "RTT 达到 100 毫秒时，长连接上一次交换要四个报文段：TCP 和通道的确认都等不了那么久，不再搭下一条消息的便车。",
)
ADVICE_TABLE: Final = Text("Three workloads", "三种负载")
NAME: Final = Column("workload", Text("workload", "负载"))
ADVICE_COLUMNS: Final = (
    NAME,
    Column("clients", Text("cli-|ents", "客户端")),
    Column("gap_s", Text("gap|s", "间隔|秒"), "g"),
    Column("short_segments", Text("seg.:|short", "报文段：|短"), "g"),
    Column("long_segments", Text("|long", "|长"), "g"),
    Column("short_ms", Text("ms:|short", "毫秒：|短"), "g"),
    Column("long_ms", Text("|long", "|长"), "g"),
    Column("time_wait_ports", Text("TIME-|WAIT", "占用|端口"), ",.0f"),
    Column("short_mb", Text("MB:|short", "MB：|短"), ",.2f"),
    Column("long_mb", Text("|long", "|长"), ",.2f"),
    Column("advice", Text("advice", "建议")),
)
NOTES: Final = Text(
    "Segments and ms of one exchange; TIME-WAIT: ports that one client would hold with short connections; MB: open"
    " connections on the server.",
    "报文段与毫秒按每次交换计；占用端口：用短连接时每个客户端处于 TIME-WAIT 的端口数；MB：服务器上打开的连接所占内存。",
)
PLOT: Final = Text("Time for {count:,} exchanges", "{count:,} 次交换所用时间")
PLOT_SEGMENTS: Final = Text("Segments for so many exchanges (RTT {rtt:.0f} ms)", "若干次交换所用的报文段（RTT {rtt:.0f} 毫秒）")
X_RTT: Final = Text("RTT, ms", "RTT，毫秒")
X_COUNT: Final = Text("exchanges", "交换次数")
SECONDS: Final = Text("seconds", "秒")
SEGMENTS: Final = Text("segments", "报文段")

Runs = dict[tuple[str, float, int], Figures]


def measure(seed: int, counts: tuple[int, ...] = COUNTS, rtts: tuple[float, ...] = RTTS) -> Runs:
    """Every run, by form, RTT in seconds and number of exchanges."""
    return {(form, rtt, n): exchanges(form, n, rtt, seed) for form in FORMS for rtt in rtts for n in counts}


def costs_of(runs: Runs, seed: int) -> Costs:
    """What an exchange costs: a short one all of its connection, a long one what each adds to the one connection."""
    rtt, low, high = RTTS[1], COUNTS[1], COUNTS[-1]
    few, many = runs["long", rtt, low], runs["long", rtt, high]
    added = (many.segments - few.segments) / (high - low)
    beat, apart = segments_of_a_beat(rtt, seed), segments_apart(rtt, seed)
    return Costs(runs["short", rtt, 1].segments, round(added, 2), apart, beat, open_connections(CLIENTS) // CLIENTS)


def _rows(runs: Runs) -> tuple[tuple[Cell, ...], ...]:
    rows: list[tuple[Cell, ...]] = []
    for rtt in RTTS:
        for n in COUNTS:
            cells: list[Cell] = [rtt * 1000, n]
            for form in FORMS:
                run = runs[form, rtt, n]
                cells += [run.time, run.segments, run.handshakes, run.time_waits]
            rows.append(tuple(cells))
    return tuple(rows)


def _advice_row(advice: Advice) -> tuple[Cell, ...]:
    w = advice.workload
    megabytes = [each / MEGABYTE for each in advice.bytes]
    milliseconds = [each * 1000 for each in advice.times]
    return w.name, w.clients, w.gap, *advice.segments, *milliseconds, advice.held_ports, *megabytes, advice.form


def _plots(runs: Runs) -> tuple[Plot, Plot]:
    most, rtt = COUNTS[-1], RTTS[1]
    named = {"short": SHORT, "long": LONG}
    times = tuple(Series(named[form], tuple((each * 1000, runs[form, each, most].time) for each in RTTS)) for form in FORMS)
    counts = tuple(Series(named[form], tuple((n, runs[form, rtt, n].segments) for n in COUNTS)) for form in FORMS)
    return (
        Plot(filled(PLOT, count=most), Axis(X_RTT, low=0.0), Axis(SECONDS), times),
        Plot(filled(PLOT_SEGMENTS, rtt=rtt * 1000), Axis(X_COUNT, log=True), Axis(SEGMENTS, log=True), counts),
    )


def long_or_short(seed: int) -> Shown:
    """Play all runs and weigh the three workloads."""
    runs = measure(seed)
    costs = costs_of(runs, seed)
    total = costs.connection * CLIENTS / MEGABYTE
    advice = [advise(workload, costs) for workload in WORKLOADS]
    parts: list[Part] = [
        words(said(INTRODUCTION)),
        Table(TABLE, (RTT, COUNT, *BOTH), _rows(runs)),
        words(
            said(EXPIRED, lasts=TWO_MSL),
            said(MEMORY, each=costs.connection, clients=CLIENTS, total=total),
        ),
        *(Curve(plot) for plot in _plots(runs)),
        words(
            said(RIDES),
            said(
                BREAK_EVEN, short=costs.short, dense=costs.dense, apart=costs.apart, beat=costs.beat, interval=INTERVAL,
                even=costs.even,
            ),
        ),
        Table(ADVICE_TABLE, ADVICE_COLUMNS, tuple(map(_advice_row, advice))),
        words(said(NOTES), *(each.why for each in advice)),
    ]  # fmt: skip
    return shown(*parts)


LONG_OR_SHORT: Final = Lab(
    "long-or-short",
    Text("Long against short connections, and advice for three workloads", "长连接与短连接的比较，以及三种负载各选哪种"),
    long_or_short,
)
