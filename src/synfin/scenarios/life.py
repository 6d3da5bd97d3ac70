"""The whole life of a connection: what `synfin demo` plays when no scenario is named.

Owns what happens on the stage; the words about it are the trace's narration.
"""

from typing import Final

from synfin.engine.config import TcpConfig
from synfin.scenarios.stage import Scenario, Stage, call, serve
from synfin.sim.host import SimHost
from synfin.words import Text

REQUEST: Final = b"How much is 1 + 1?"
ANSWER: Final = b"It is 2. And 2 + 2?"
LAST: Final = b"Then I keep the answer: 4."


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


LIFE: Final = (
    Scenario(
        name="whole-life",
        title=Text(
            "The whole life of a connection, from the first SYN to the last FIN",
            "一个连接的一生：从第一个 SYN 到最后一个 FIN",
        ),
        build=whole_life,
        config=TcpConfig(receive_buffer=65_535),  # a buffer that a window shows without being scaled
    ),
)
