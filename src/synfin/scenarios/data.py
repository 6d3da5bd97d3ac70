"""Scenarios about data: the whole life of a connection, data that is urgent, a window that closes.

Owns what happens on the stage; the words about it are the trace's narration.
"""

from typing import Final

from synfin.engine.config import TcpConfig
from synfin.scenarios.stage import Scenario, Stage, call, serve
from synfin.sim.host import SimHost
from synfin.words import Text

SEGMENT: Final = 1460  # bytes that fit a segment on a link with an MTU of 1500
REQUEST: Final = b"1 + 1?"
ANSWER: Final = b"2, and 2 + 2?"
LAST: Final = b"It is 4."


async def _client(host: SimHost) -> None:
    s = await call(host)
    await s.send(REQUEST)
    await s.recv()
    await host.sleep(0.1)
    s.shutdown("write")
    await s.recv_all()
    s.close()


async def _server(host: SimHost) -> None:
    s = await serve(host)
    await s.recv()
    await s.send(ANSWER)
    await s.recv()
    await host.sleep(0.03)
    await s.send(LAST)
    s.close()


def whole_life(stage: Stage) -> None:
    """Handshake, a request and its answer, half-close, last data, four-way close, TIME-WAIT."""
    stage.start(_server(stage.server))
    stage.start(_client(stage.client))


async def _send_much(host: SimHost) -> None:
    s = await call(host)
    await s.send(b"z" * 4 * SEGMENT)


async def _read_late(host: SimHost, wait: float) -> None:
    s = await serve(host)
    await host.sleep(wait)
    await s.recv_exactly(4 * SEGMENT)


def zero_window(stage: Stage) -> None:
    """The server reads nothing for a second, and its buffer holds three segments."""
    stage.start(_read_late(stage.server, 1.0))
    stage.start(_send_much(stage.client))


async def _send_urgent(host: SimHost) -> None:
    s = await call(host)
    await s.send(b"one, two, three")
    await host.sleep(0.1)
    await s.send_oob(b"stop!")
    await host.sleep(0.1)
    await s.send(b"four")


async def _read_urgent(host: SimHost) -> None:
    s = await serve(host)
    await s.recv()
    await s.until(lambda it: it.connection is not None and it.connection.has_urgent, "urgent data")
    await s.recv_oob()
    await s.recv()
    await s.recv()


def urgent(stage: Stage) -> None:
    """A word whose last byte is urgent, between words that are not."""
    stage.start(_read_urgent(stage.server))
    stage.start(_send_urgent(stage.client))


LIFE: Final = (
    Scenario(
        name="whole-life",
        title=Text("The whole life of a connection", "一个连接的一生"),
        build=whole_life,
        config=TcpConfig(receive_buffer=65_535),  # a buffer that a window shows without being scaled
    ),
)

DATA: Final = (
    Scenario(
        name="urgent",
        title=Text("Urgent data: URG and its pointer", "紧急数据：URG 和紧急指针"),
        build=urgent,
    ),
    Scenario(
        name="zero-window",
        title=Text("The window closes, is probed, and opens again", "零窗口：窗口关闭、探测、重新打开"),
        build=zero_window,
        changes={"server": {"receive_buffer": 3 * SEGMENT}},
    ),
)
