"""Scenarios about failures: a side that forgets the connection, a side that vanishes.

Owns what happens on the stage; the words about it are the trace's narration.
"""

from typing import Final

from synfin.scenarios.stage import PORT, Scenario, Stage, call, only_serve
from synfin.sim.host import SimHost
from synfin.words import Text

LOCAL_PORT: Final = 5000


async def _call_and_send_later(host: SimHost, wait: float) -> None:
    s = await call(host)
    await host.sleep(wait)
    await s.send(b"Are you still there?")
    await s.recv()


def half_open(stage: Stage) -> None:
    """RFC 9293 figure 10: the server has forgotten the connection, and the client, which has not, sends."""
    stage.start(only_serve(stage.server))
    stage.start(_call_and_send_later(stage.client, 3.0))
    stage.server.crash(at=1.0)
    stage.server.restart(at=2.0)


def half_open_syn(stage: Stage) -> None:
    """RFC 9293 figure 9: the client has forgotten the connection, and opens it again."""

    async def server() -> None:
        listener = stage.server.socket()
        listener.bind(PORT)
        listener.listen()
        while True:
            await listener.accept()

    async def client() -> None:
        await call(stage.client, local_port=LOCAL_PORT)

    stage.start(server())
    stage.start(client())
    stage.client.crash(at=1.0)
    stage.client.restart(at=2.0)
    stage.at(3.0, lambda: stage.start(client()))


def peer_vanishes(stage: Stage) -> None:
    """The server falls silent, and the client has something to say."""
    stage.start(only_serve(stage.server))
    stage.start(_call_and_send_later(stage.client, 2.0))
    stage.server.silence(at=1.0)


FAILURES: Final = (
    Scenario(
        name="half-open",
        title=Text("Half-open: the server forgot, the client sends", "半开连接：服务器忘了，客户端发送数据"),
        build=half_open,
    ),
    Scenario(
        name="half-open-syn",
        title=Text("Half-open: the client forgot and opens anew", "半开连接：客户端忘了，重新打开"),
        build=half_open_syn,
    ),
    Scenario(
        name="peer-vanishes",
        title=Text("The peer vanishes: retransmission, then timeout", "对方消失：不断重传，直到用户超时"),
        build=peer_vanishes,
    ),
)
