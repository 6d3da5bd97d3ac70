"""Scenarios about data: a window that closes, data that is urgent.

Owns what happens on the stage; the words about it are the trace's narration.
"""

from typing import Final

from synfin.scenarios.stage import Scenario, Stage, call, serve
from synfin.sim.host import SimHost
from synfin.words import Text

SEGMENT: Final = 1460  # bytes that fit a segment on a link with an MTU of 1500


async def _send_much(host: SimHost) -> None:
    s = await call(host)
    await s.send(bytes(4 * SEGMENT))


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


DATA: Final = (
    Scenario(
        name="urgent",
        title=Text("Urgent data: URG and its pointer", "紧急数据：URG 和紧急指针"),
        build=urgent,
    ),
    Scenario(
        name="zero-window",
        title=Text(
            "The window closes, is probed, and opens again",
            "零窗口、窗口探测和窗口更新",
        ),
        build=zero_window,
        changes={"server": {"receive_buffer": 3 * SEGMENT}},
    ),
)
