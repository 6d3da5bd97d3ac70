"""Scenarios about closing: four segments, three, both at once, one direction only, and what TIME-WAIT is for.

Owns what happens on the stage; the words about it are the trace's narration.
"""

from typing import Final

from synfin.engine.config import MILLISECOND
from synfin.scenarios.stage import PORT, Scenario, Stage, bare_ack, call, serve
from synfin.sim.faults import SeenPacket
from synfin.sim.host import SimHost
from synfin.sim.program import Socket
from synfin.words import Text

PAUSE: Final = 0.1  # seconds between what should stand apart
LOCAL_PORT: Final = 5000


async def _close_first(host: SimHost, s: Socket) -> None:
    await host.sleep(PAUSE)
    s.close()


async def _close_second(host: SimHost, s: Socket, wait: float) -> None:
    """Close `wait` seconds after the peer."""
    await s.recv_all()
    await host.sleep(wait)
    s.close()


def close_client_first(stage: Stage) -> None:
    """The client closes, and a little later the server."""

    async def client() -> None:
        await _close_first(stage.client, await call(stage.client))

    async def server() -> None:
        await _close_second(stage.server, await serve(stage.server), 0.05)

    stage.start(server())
    stage.start(client())


def close_server_first(stage: Stage) -> None:
    """The server closes, and a little later the client."""

    async def client() -> None:
        await _close_second(stage.client, await call(stage.client), 0.05)

    async def server() -> None:
        await _close_first(stage.server, await serve(stage.server))

    stage.start(server())
    stage.start(client())


async def _ask_and_close(host: SimHost) -> None:
    s = await call(host)
    await s.send(b"What is the answer?")
    s.shutdown()
    await s.recv_all()
    s.close()


def why_four(stage: Stage) -> None:
    """When the client's FIN comes, the server still has its answer to send: its FIN cannot go with the ACK."""

    async def server() -> None:
        s = await serve(stage.server)
        await s.recv_all()
        await stage.server.sleep(0.05)
        await s.send(b"The answer is forty-two.")
        s.close()

    stage.start(server())
    stage.start(_ask_and_close(stage.client))


def why_four_none_left(stage: Stage) -> None:
    """When the client's FIN comes, the server has said everything: its FIN goes with the ACK."""

    async def client() -> None:
        s = await call(stage.client)
        await s.send(b"What is the answer?")
        await s.recv()
        await _close_first(stage.client, s)

    async def server() -> None:
        s = await serve(stage.server)
        await s.recv()
        await s.send(b"The answer is forty-two.")
        await _close_second(stage.server, s, 0)

    stage.start(server())
    stage.start(client())


def three_segment_close(stage: Stage) -> None:
    """The server closes in the very moment in which it reads the end, before the ACK of the FIN has gone."""

    async def client() -> None:
        await _close_first(stage.client, await call(stage.client))

    async def server() -> None:
        await _close_second(stage.server, await serve(stage.server), 0)

    stage.start(server())
    stage.start(client())


def half_close(stage: Stage) -> None:
    """The client has said everything and listens on: the server's direction is open and carries data."""

    async def client() -> None:
        s = await call(stage.client)
        await s.send(b"pear\napple\nfig\n")
        s.shutdown()
        await s.recv_all()
        s.close()

    async def server() -> None:
        s = await serve(stage.server)
        words = (await s.recv_all()).splitlines(keepends=True)
        for word in sorted(words):
            await stage.server.sleep(0.1)
            await s.send(word)
        await stage.server.sleep(0.1)
        s.close()

    stage.start(server())
    stage.start(client())


def simultaneous_close(stage: Stage) -> None:
    """Both close at the same time: the FINs cross."""

    async def close_at(host: SimHost, s: Socket) -> None:
        await host.sleep(max(1.0 - host.now() / 1e9, 0.0))
        s.close()

    async def client() -> None:
        await close_at(stage.client, await call(stage.client))

    async def server() -> None:
        await close_at(stage.server, await serve(stage.server))

    stage.start(server())
    stage.start(client())


def last_ack_lost(stage: Stage) -> None:
    """The ACK of the second FIN is lost."""
    stage.link.drop(2, where=bare_ack, direction="client->server")  # the first is the handshake's
    close_client_first(stage)


def short_time_wait(stage: Stage) -> None:
    """A copy of the old connection's last data is late, and a new connection on the same ports begins meanwhile.

    The old one used up its numbers faster than the clock of RFC 6528 goes (one in 4 microseconds): the late copy lies in the
    new one's window, and the server takes it for new. What it acknowledges then was never sent.
    """
    stage.link.duplicate(OLD_SEGMENTS, after=0.12, where=_is_long, direction="client->server")

    async def client() -> None:
        s = await call(stage.client, local_port=LOCAL_PORT)
        await s.send(b"o" * OLD_SEGMENTS * LONG)
        await stage.client.sleep(0.05)
        s.close()
        await stage.client.sleep(0.045)
        s = await call(stage.client, local_port=LOCAL_PORT)
        await stage.client.sleep(0.05)
        await s.send(b"n" * 8000)
        await stage.client.sleep(0.5)
        s.abort()

    async def server() -> None:
        listener = stage.server.socket()
        listener.bind(PORT)
        listener.listen()
        while True:
            s = await listener.accept()
            await s.recv_all()
            s.close()

    stage.start(server())
    stage.start(client())


def _is_long(packet: SeenPacket) -> bool:
    return packet.length == LONG


def fin_wait_2_held(stage: Stage) -> None:
    """The server's application does not close for a long time; when it does, nobody is there any more."""
    stage.start(_close_late(stage))

    async def client() -> None:
        await _close_first(stage.client, await call(stage.client))

    stage.start(client())


async def _close_late(stage: Stage) -> None:
    await _close_second(stage.server, await serve(stage.server), 90)


def close_unread(stage: Stage) -> None:
    """The client closes while data waits that it has not read."""

    async def client() -> None:
        await _close_first(stage.client, await call(stage.client))

    async def server() -> None:
        s = await serve(stage.server)
        await s.send(b"You should have read this.")
        await s.recv()

    stage.start(server())
    stage.start(client())


OLD_SEGMENTS: Final = 5
LONG: Final = 8960  # bytes that fit a segment on a link with an MTU of 9000
ACK_MAY_WAIT: Final = {"server": {"ack_fin_at_once": False}}  # as in Linux: the ACK of a FIN is delayed like any other

CLOSING: Final = (
    Scenario(
        name="close-client-first",
        title=Text("Four segments close; the client closes first", "四次挥手：客户端先关闭"),
        build=close_client_first,
    ),
    Scenario(
        name="close-server-first",
        title=Text("Four segments close; the server closes first", "四次挥手：服务器先关闭"),
        build=close_server_first,
    ),
    Scenario(
        name="why-four",
        title=Text("Why four: data is left between ACK and FIN", "为什么四次：ACK 和 FIN 之间还有数据要发"),
        build=why_four,
    ),
    Scenario(
        name="why-four-none-left",
        title=Text("With no data left, ACK and FIN go together", "没有数据要发时，ACK 和 FIN 一起发"),
        build=why_four_none_left,
        changes=ACK_MAY_WAIT,
    ),
    Scenario(
        name="half-close",
        title=Text("Half-close: the other direction goes on", "半关闭：另一个方向仍在传输数据"),
        build=half_close,
    ),
    Scenario(
        name="three-segment-close",
        title=Text("Three close: FIN-WAIT-1 straight to TIME-WAIT", "三次挥手：FIN-WAIT-1 直接到 TIME-WAIT"),
        build=three_segment_close,
        changes=ACK_MAY_WAIT,
    ),
    Scenario(
        name="simultaneous-close",
        title=Text("Both sides close at the same time", "双方同时关闭"),
        build=simultaneous_close,
    ),
    Scenario(
        name="last-ack-lost",
        title=Text("The last ACK is lost: TIME-WAIT answers again", "最后的 ACK 丢失：TIME-WAIT 再次回答"),
        build=last_ack_lost,
    ),
    Scenario(
        name="short-time-wait",
        title=Text("Too short a TIME-WAIT: an old segment comes late", "TIME-WAIT 太短：旧报文段闯入新连接"),
        build=short_time_wait,
        changes={  # few challenge ACKs: one exchange of them shows how the two misunderstand each other
            "client": {"msl": 10 * MILLISECOND, "challenge_acks": 1},
            "server": {"challenge_acks": 1, "ack_fin_at_once": False},
        },
        mtu=9000,
        numbers_apart=28_750,  # 115 ms of RFC 6528's clock
    ),
    Scenario(
        name="fin-wait-2-held",
        title=Text("The peer does not close: FIN-WAIT-2 goes on", "对方不关闭：停留在 FIN-WAIT-2"),
        build=fin_wait_2_held,
    ),
    Scenario(
        name="close-unread",
        title=Text("A close with data unread sends RST", "还有未读的数据就关闭：发送 RST"),
        build=close_unread,
    ),
)
