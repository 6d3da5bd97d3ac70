"""Scenarios about opening: three segments, why not two or four, what may go wrong with each, and other ways to open.

Owns what happens on the stage. Every word about it is the trace's narration; a title is all that a scenario says itself.
"""

from typing import Final

from synfin.engine.seq import MASK
from synfin.scenarios.peer import Peer
from synfin.scenarios.stage import (
    PORT,
    Scenario,
    Stage,
    bare_ack,
    call,
    first_syn,
    only_call,
    only_serve,
    serve,
    syn_ack,
)
from synfin.sim.faults import SeenPacket
from synfin.sim.host import SimHost
from synfin.words import Text

TO_SERVER: Final = "client->server"
TO_CLIENT: Final = "server->client"
OLDER: Final = 1000  # by how much the numbers of an old segment are too small


def handshake(stage: Stage) -> None:
    """SYN, SYN,ACK, ACK, and nothing else."""
    stage.start(only_serve(stage.server))
    stage.start(only_call(stage.client))


def stopped_after_two(stage: Stage) -> None:
    """What the client sends after its SYN never arrives: the server cannot know that it is heard."""
    stage.link.drop(where=lambda packet: packet.ack_set, direction=TO_SERVER)
    handshake(stage)


def in_four_segments(stage: Stage) -> None:
    """A server, played by hand, that sends its SYN and its ACK apart (RFC 9293 3.5: they may be joined)."""
    peer = Peer(stage.server, PORT, stage.number(stage.server), stage.server.config)
    stage.start(peer.answer_in_two_segments())
    stage.start(only_call(stage.client))


def wrong_ack_syn_ack(stage: Stage) -> None:
    """While the client waits, a SYN,ACK of some earlier connection turns up, with an ACK of other numbers."""

    def old_answer(syn: SeenPacket) -> None:
        stage.server.inject(
            "client", source_port=PORT, destination_port=syn.source_port, flags="SYN,ACK", seq=5000,
            ack=(syn.seq - OLDER) & MASK,
        )  # fmt: skip

    stage.when(first_syn, old_answer)
    handshake(stage)


def wrong_ack_third(stage: Stage) -> None:
    """While the server waits for the third segment, an old ACK turns up that acknowledges other numbers."""

    def old_ack(answer: SeenPacket) -> None:
        stage.client.inject(
            "server", source_port=answer.destination_port, destination_port=PORT, flags="ACK", seq=answer.ack,
            ack=(answer.seq - OLDER) & MASK,
        )  # fmt: skip

    stage.when(syn_ack, old_ack)
    handshake(stage)


async def _call_with_data(host: SimHost, data: bytes) -> None:
    s = host.socket()
    await s.connect(("server", PORT), data)
    await s.recv()


async def _greet(host: SimHost) -> None:
    s = await serve(host)
    await s.recv()
    await s.send(b"hello, client")


def data_on_third(stage: Stage) -> None:
    """What the client has to say already waits when the SYN,ACK comes, and goes with the third segment."""
    stage.start(_greet(stage.server))
    stage.start(_call_with_data(stage.client, b"hello, server"))


def lost_syn(stage: Stage) -> None:
    """The first SYN never arrives."""
    stage.link.drop(1, where=first_syn)
    handshake(stage)


def lost_syn_ack(stage: Stage) -> None:
    """The first SYN,ACK never arrives; the client is the first to lose patience."""
    stage.link.drop(1, where=syn_ack)
    handshake(stage)


def lost_third_ack(stage: Stage) -> None:
    """The third segment never arrives."""
    stage.link.drop(1, where=bare_ack, direction=TO_SERVER)
    handshake(stage)


def old_duplicate_syn(stage: Stage) -> None:
    """RFC 9293 figure 8: a SYN of an earlier connection overtakes the new one."""

    def old_syn(syn: SeenPacket) -> None:
        stage.client.inject(
            "server", source_port=syn.source_port, destination_port=PORT, flags="SYN", seq=(syn.seq - OLDER) & MASK,
            mss=1460,
        )  # fmt: skip

    stage.when(first_syn, old_syn)
    stage.link.delay(max(4 * stage.delay, 0.04), 1, where=first_syn)
    handshake(stage)


async def _call_from(host: SimHost, to: str, port: int, local_port: int) -> None:
    await call(host, to, port, local_port)


def simultaneous_open(stage: Stage) -> None:
    """RFC 9293 figure 7: both sides ask, nobody listens."""
    stage.start(_call_from(stage.client, "server", 6000, 5000))
    stage.start(_call_from(stage.server, "client", 5000, 6000))


def refused(stage: Stage) -> None:
    """Nobody listens."""
    stage.start(only_call(stage.client))


OPENING: Final = (
    Scenario(
        name="three-way-handshake",
        title=Text("Three segments open a connection", "三次握手：三个报文段建立连接"),
        build=handshake,
    ),
    Scenario(
        name="why-three",
        title=Text("Why three: who hears, and knows that it is heard", "为什么三次：谁能听到，谁知道自己被听到"),
        build=handshake,
        knowledge=True,
    ),
    Scenario(
        name="why-three-stopped-after-two",
        title=Text("Two are too few: the server cannot be sure", "两次不够：服务器不知道自己能否被听到"),
        build=stopped_after_two,
        changes={"server": {"syn_ack_retries": 2}},
        knowledge=True,
    ),
    Scenario(
        name="why-three-in-four-segments",
        title=Text("Four are not needed: nobody knows any more", "不需要四次：谁也不会知道得更多"),
        build=in_four_segments,
        knowledge=True,
    ),
    Scenario(
        name="wrong-ack-syn-ack",
        title=Text("A SYN,ACK with a wrong ack is answered by RST", "SYN,ACK 的确认号不对：回答 RST"),
        build=wrong_ack_syn_ack,
    ),
    Scenario(
        name="wrong-ack-third",
        title=Text("A third segment with a wrong ack gets an RST", "第三个报文段的确认号不对：回答 RST"),
        build=wrong_ack_third,
    ),
    Scenario(
        name="data-on-third",
        title=Text("The third segment carries data already", "第三个报文段已经携带数据"),
        build=data_on_third,
    ),
    Scenario(
        name="lost-syn",
        title=Text("The SYN is lost: the client asks again", "SYN 丢失：客户端重新请求"),
        build=lost_syn,
    ),
    Scenario(
        name="lost-syn-ack",
        title=Text("The SYN,ACK is lost: the client asks again", "SYN,ACK 丢失：客户端重新请求"),
        build=lost_syn_ack,
        changes={"server": {"rto_initial": 3_000_000_000}},  # or both would repeat theirs at the same nanosecond
    ),
    Scenario(
        name="lost-third-ack",
        title=Text("The third is lost: one side is not open yet", "第三个报文段丢失：只有一方已建立连接"),
        build=lost_third_ack,
    ),
    Scenario(
        name="old-duplicate-syn",
        title=Text("An old SYN arrives: the other reason for three", "旧的重复 SYN 到达：三次握手的另一个原因"),
        build=old_duplicate_syn,
    ),
    Scenario(
        name="simultaneous-open",
        title=Text("Both sides open at the same time", "双方同时打开"),
        build=simultaneous_open,
    ),
    Scenario(
        name="refused",
        title=Text("Nobody listens: the connection is refused", "无人监听：连接被拒绝"),
        build=refused,
    ),
)
