"""The interval of a heartbeat against the time in which a vanished peer is found, and against the traffic of a quiet hour.

Owns the runs and their figures. The peer's host falls silent without a FIN at moments spread over one interval.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

from synfin.channels import long
from synfin.channels.errors import PeerDead
from synfin.channels.heartbeat import NEVER, SECOND
from synfin.channels.life import LifeSettings
from synfin.lab.ground import FRAMING, PORT, REQUEST, Pair, between, long_echo_server, now
from synfin.lab.parts import Column, Lab, Table, filled, shown
from synfin.scenarios.study import Curve, Shown, said, words
from synfin.trace.plots import Axis, Plot, Series
from synfin.words import Text

INTERVALS: Final = (1, 2, 5, 10, 15, 30, 60)  # seconds
TIMEOUT: Final = 1  # seconds for the answer to a PING
MISSES: Final = 3
PHASES: Final = 5  # moments of an interval at which the peer vanishes
RTT: Final = 0.020
HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Beat:
    """What an interval in seconds came to: PINGs and segments of a quiet hour, and the seconds until a lost peer was found."""

    interval: int
    pings: int
    segments: int
    found: tuple[float, ...]

    @property
    def bound(self) -> int:
        """The longest time from the last byte of the peer to its being taken for dead, as promised."""
        return self.interval + MISSES * TIMEOUT


def settings(interval: int) -> LifeSettings:
    """The client's; the server watches nothing."""
    return LifeSettings(interval=interval * SECOND, timeout=TIMEOUT * SECOND, misses=MISSES)


async def _quiet_hour(interval: int, pair: Pair) -> tuple[int, int]:
    server = await long_echo_server(pair, LifeSettings(interval=NEVER))
    with pair.client:
        channel = await long.connect("server", PORT, FRAMING, settings(interval))
        await asyncio.sleep(interval / 2)
        before, asked = pair.segments(), channel.life.answered
        await asyncio.sleep(HOUR)
        found = channel.life.answered - asked, pair.segments() - before
        await channel.close()
    await server.close()
    return found


async def _vanish(interval: int, after: float, pair: Pair) -> float:
    """Seconds from the peer's vanishing, `after` seconds after an exchange, to PeerDead."""
    server = await long_echo_server(pair, LifeSettings(interval=NEVER))
    with pair.client:
        channel = await long.connect("server", PORT, FRAMING, settings(interval))
        await channel.send(REQUEST)
        await channel.receive()
        await asyncio.sleep(after)
        pair.server.silence()
        gone = now()
        try:
            await channel.receive()
        except PeerDead:
            return now() - gone
        finally:
            channel.abort()
            await server.close()
    raise AssertionError("nothing comes but the end")


def beat(interval: int, seed: int = 1) -> Beat:
    """All runs with one interval, in whole seconds."""
    pings, segments = between(partial(_quiet_hour, interval), seed=seed, rtt=RTT)
    phases = [interval * (each + 0.5) / PHASES for each in range(PHASES)]
    found = tuple(between(partial(_vanish, interval, after), seed=seed, rtt=RTT) for after in phases)
    return Beat(interval, pings, segments, found)


INTRODUCTION: Final = Text(
    "A long connection on which nothing is said. The client sends a PING after each interval of silence, waits {timeout} s"
    " for the answer, and takes the peer for dead after {misses} that were missed. Then the peer's host vanishes without a"
    " FIN, at {phases} moments of an interval.",
    "一个没有数据往来的长连接。客户端每静默一个间隔就发一次心跳，等回答 {timeout} 秒，连续错过 {misses} 次就认定对端已死。"
    "然后对端主机不发 FIN 就消失，消失的时刻取一个间隔内的 {phases} 个点。",
)
TABLE: Final = Text("Heartbeat interval, traffic and detection", "心跳间隔、流量与发现时间")
COLUMNS: Final = (
    Column("interval_s", Text("interval|s", "间隔|秒")),
    Column("pings_an_hour", Text("PINGs|an hour", "每小时|心跳")),
    Column("segments_an_hour", Text("segments|an hour", "每小时|报文段")),
    Column("found_first_s", Text("found after:|earliest s", "发现时间：|最早 秒"), ".2f"),
    Column("found_mean_s", Text("|mean s", "|平均 秒"), ".2f"),
    Column("found_last_s", Text("|latest s", "|最晚 秒"), ".2f"),
    Column("bound_s", Text("bound|s", "上限|秒")),
)
BOUND: Final = Text(
    "The bound is interval + {misses} x {timeout} s after the last byte that was heard. A PING takes three segments: itself,"
    " its answer, and the ACK of that. As the interval grows the traffic falls in proportion, and the wait grows by as much"
    " as the interval.",
    "上限是听到最后一个字节之后 间隔 + {misses} × {timeout} 秒。一次心跳要三个报文段：提问、回答，以及对回答的 ACK。"
    "间隔加大，流量按比例下降，而等待时间也随间隔增加同样多。",
)
FOUND_PLOT: Final = Text("Time until a vanished peer is found", "发现对端消失所需的时间")
TRAFFIC_PLOT: Final = Text("Traffic of a quiet hour", "一小时静默期的流量")
INTERVAL: Final = Text("heartbeat interval, s", "心跳间隔，秒")
SECONDS: Final = Text("seconds", "秒")
SEGMENTS: Final = Text("segments", "报文段")
LATEST: Final = Text("latest of {phases}", "{phases} 次中最晚")
MEAN: Final = Text("mean", "平均")
PROMISED: Final = Text("bound", "上限")
BOTH_SIDES: Final = Text("both sides", "双方合计")


def _row(each: Beat) -> tuple[int | float, ...]:
    mean = sum(each.found) / len(each.found)
    return each.interval, each.pings, each.segments, min(each.found), mean, max(each.found), each.bound


def heartbeat(seed: int) -> Shown:
    """Play all intervals."""
    beats = [beat(interval, seed) for interval in INTERVALS]

    def line(name: Text, of: str) -> Series:
        values = {"latest": lambda b: max(b.found), "mean": lambda b: sum(b.found) / PHASES, "bound": lambda b: b.bound}
        return Series(name, tuple((each.interval, values[of](each)) for each in beats))

    found = Plot(
        FOUND_PLOT, Axis(INTERVAL, low=0.0), Axis(SECONDS),
        (line(filled(LATEST, phases=PHASES), "latest"), line(MEAN, "mean"), line(PROMISED, "bound")),
    )  # fmt: skip
    traffic = Plot(
        TRAFFIC_PLOT, Axis(INTERVAL, low=0.0), Axis(SEGMENTS, log=True),
        (Series(BOTH_SIDES, tuple((each.interval, each.segments) for each in beats)),),
    )  # fmt: skip
    return shown(
        words(said(INTRODUCTION, timeout=TIMEOUT, misses=MISSES, phases=PHASES)),
        Table(TABLE, COLUMNS, tuple(map(_row, beats))),
        Curve(found),
        Curve(traffic),
        words(said(BOUND, misses=MISSES, timeout=TIMEOUT)),
    )


HEARTBEAT: Final = Lab(
    "heartbeat",
    Text("Heartbeat interval against detection time and traffic", "心跳间隔与发现时间、流量的关系"),
    heartbeat,
)
