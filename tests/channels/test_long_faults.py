"""Long connections with threads over every fault: the documented error within its bound, and nothing left behind.

Vanished hosts, cut wires and crashes need the simulation, and bounds are exact in its time; what needs neither runs on all
grounds.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from synfin.channels import long, longblocking
from synfin.channels.errors import ChannelClosed, ChannelTimeout, FramingError, PeerDead, PeerLost, ProtocolError
from synfin.channels.framing import LengthHeader
from synfin.channels.heartbeat import MILLISECOND, NEVER, SECOND
from synfin.channels.life import LifeSettings
from synfin.channels.long import LongChannel
from synfin.channels.longblocking import LongSocket
from synfin.sockets.descriptors import current_descriptors
from tests.channels.grounds import Ground, SimGround

PORT = 7000
FRAMING = LengthHeader(4)
QUICK = LifeSettings(interval=10 * SECOND, timeout=2 * SECOND, misses=3)  # dead after 16 s
BOUND = QUICK.detection / SECOND
UNWATCHED = LifeSettings(interval=NEVER)


def two_sides(
    ground: Ground, settings: LifeSettings = QUICK, theirs: LifeSettings | None = None
) -> tuple[LongSocket, LongSocket]:
    """The client's and the server's."""
    with ground.server:
        listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
    with ground.client:
        channel = longblocking.connect(listener.getsockname(), FRAMING, settings, timeout=5)
    accepted = listener.accept()[0]
    listener.close()
    return channel, LongSocket(accepted, FRAMING, theirs or settings)


def in_a_world(ground: SimGround, program: Callable[[], Any]) -> Any:
    """Run `program` with threads; AssertionError where a thread or a socket is left when it is over."""

    def checked() -> Any:
        result = program()
        assert long_threads() == []
        assert len(current_descriptors()) == 0, "sockets are left open"
        return result

    return ground.run_blocking(checked)


def long_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.is_alive() and thread.name.startswith("synfin long")]


class Failing(threading.Thread):
    """Calls `call` in a thread and keeps what it raises, and when."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__()
        self._call = call
        self.error: BaseException | None = None
        self.at = 0.0
        self.start()

    def run(self) -> None:
        try:
            self._call()
        except Exception as error:
            self.error = error
        self.at = time.monotonic()


@pytest.mark.parametrize("fault", ["silence", "cut", "one way"])
def test_both_sides_find_out_within_the_bound_that_the_other_has_vanished(fault: str) -> None:
    ground = SimGround()

    def program() -> Any:
        channel, other = two_sides(ground)
        time.sleep(100)  # idle, kept by heartbeats
        assert channel.alive
        assert other.alive
        at = time.monotonic()
        match fault:
            case "silence":
                ground.host.silence()
            case "cut":
                ground.wire.cut()
            case "one way":
                ground.wire.cut(direction="server->client")
        channel.send(b"never taken")
        waiting = [Failing(channel.receive), Failing(other.receive)] if fault != "one way" else [Failing(channel.receive)]
        for each in waiting:
            each.join()
        time.sleep(1)
        assert long_threads() == []  # they ended by themselves
        assert len(current_descriptors()) == 0
        errors = [each.error for each in waiting]
        assert all(0 < each.at - at <= BOUND + 0.02 for each in waiting)
        return [(type(error), error.unacknowledged) for error in errors if isinstance(error, PeerLost)]

    found = in_a_world(ground, program)
    assert found == [(PeerDead, (b"never taken",)), (PeerDead, ())][: 1 if fault == "one way" else 2]


def test_who_waits_for_room_or_for_a_message_or_for_an_acknowledgment_learns_of_the_death_within_the_bound() -> None:
    ground = SimGround()
    small = LifeSettings(interval=10 * SECOND, timeout=2 * SECOND, misses=3, window=2, queue=4)

    def program() -> Any:
        channel, other = two_sides(ground, small)
        ground.host.silence()
        began = time.monotonic()
        for number in range(4):
            channel.send(b"%d" % number * 400_000)  # more than the socket takes
        waiting = [Failing(lambda: channel.send(b"more")), Failing(channel.receive), Failing(channel.flush)]
        waiting.append(Failing(lambda: channel.ping(60)))
        for each in waiting:
            each.join()
        channel.close()
        other.abort()
        return [(type(each.error), round(each.at - began, 3) <= BOUND) for each in waiting], len(channel.unacknowledged)

    assert in_a_world(ground, program) == ([(PeerDead, True)] * 4, 4)


def test_a_host_that_crashes_and_is_back_resets_and_what_is_unacknowledged_is_told_once() -> None:
    ground = SimGround()

    def program() -> Any:
        channel, _ = two_sides(ground)
        ground.host.crash()
        ground.host.restart()
        channel.send(b"2")
        channel.send(b"3")
        with pytest.raises(PeerLost) as caught:
            channel.receive(timeout=5)
        with pytest.raises(PeerLost):
            channel.send(b"4")
        channel.close()  # told already: no error
        return caught.value.unacknowledged, type(caught.value.__cause__)

    assert in_a_world(ground, program) == ((b"2", b"3"), ConnectionResetError)


def test_a_reset_ends_every_wait_of_the_other_side(ground: Ground) -> None:
    def program() -> Any:
        channel, other = two_sides(ground)
        waiting = [Failing(channel.receive), Failing(channel.flush)]
        channel.send(b"lost")
        other.abort()
        for each in waiting:
            each.join()
        channel.close()
        return [type(each.error) for each in waiting[:1]], channel.told, channel.unacknowledged, other.unacknowledged

    assert ground.run_blocking(program) == ([PeerLost], True, (b"lost",), ())


def test_a_slow_reader_is_alive_holds_up_the_sender_and_keeps_no_more_than_the_window() -> None:
    ground = SimGround()
    small = LifeSettings(interval=SECOND, timeout=SECOND, misses=1, window=4, queue=8)
    inboxes: list[int] = []

    def read(other: LongSocket) -> None:
        for _ in range(13):
            time.sleep(20)
            inboxes.append(other.life.inbox)
            other.receive()

    def program() -> Any:
        channel, other = two_sides(ground, small)
        reader = threading.Thread(target=read, args=(other,))
        reader.start()
        for _ in range(8):
            channel.send(bytes(300_000))
        began = time.monotonic()
        with pytest.raises(ChannelTimeout, match="no room to send within 5 s"):
            channel.send(b"too many", timeout=5)
        gave_up = time.monotonic() - began
        for _ in range(5):
            channel.send(bytes(300_000), timeout=30)
        later = time.monotonic() - began
        channel.close(timeout=300)
        reader.join()
        other.close()
        return gave_up, later, channel.unacknowledged

    gave_up, later, left = in_a_world(ground, program)
    assert gave_up == pytest.approx(5.0)
    assert later == pytest.approx(100.0, abs=0.5)  # when the fifth was taken
    assert left == ()
    assert max(inboxes) <= 4


def test_what_the_socket_did_not_take_goes_out_as_soon_as_it_does(ground: Ground) -> None:
    """Nothing but the wake-up of its thread can send it: neither side has a heartbeat."""

    def program() -> Any:
        channel, other = two_sides(ground, UNWATCHED)
        time.sleep(0.05)  # the threads are in their waits
        message = bytes(1_000_000)
        began = time.monotonic()
        for _ in range(20):
            channel.send(message, timeout=0)
        queued = time.monotonic() - began
        found = [len(other.receive(20)) for _ in range(20)]
        channel.flush(5)
        channel.close()
        other.close()
        return queued < 5, found == [len(message)] * 20

    assert ground.run_blocking(program) == (True, True)


def test_an_acknowledgment_goes_out_after_its_delay_and_not_before(ground: Ground) -> None:
    delay = 0.2
    settings = LifeSettings(interval=NEVER, ack_delay=round(delay * SECOND))

    def program() -> Any:
        channel, other = two_sides(ground, UNWATCHED, settings)
        time.sleep(0.05)
        channel.send(b"1")
        other.receive(5)
        began = time.monotonic()
        time.sleep(delay / 2)
        early = channel.unacknowledged
        channel.flush(5)
        took = time.monotonic() - began
        channel.close()
        other.close()
        return early, delay * 0.9 <= took < delay + 1

    assert ground.run_blocking(program) == ((b"1",), True)


@pytest.mark.parametrize(
    ("say", "error"),
    [
        (b"\0\0\0\x09\7" + bytes(8), ProtocolError),
        (b"\xff" * 8, FramingError),
        (b"\0\0\0\x09\2" + bytes(7) + b"\1", ProtocolError),
    ],
    ids=["no such kind", "too long", "an ACK of nothing"],
)
def test_bad_input_resets_the_connection_at_once(ground: Ground, say: bytes, error: type[Exception]) -> None:
    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
        with ground.client:
            channel = longblocking.connect(listener.getsockname(), FRAMING, QUICK, timeout=5)
        accepted = listener.accept()[0]
        accepted.settimeout(5)
        accepted.sendall(say)
        with pytest.raises(ConnectionResetError):
            accepted.recv(100)
        with pytest.raises(error):
            channel.receive(5)
        channel.close()
        accepted.close()
        listener.close()

    ground.run_blocking(program)


def test_messages_that_came_before_the_garbage_are_given_first(ground: Ground) -> None:
    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
        with ground.client:
            channel = longblocking.connect(listener.getsockname(), FRAMING, QUICK, timeout=5)
        accepted = listener.accept()[0]
        accepted.sendall(FRAMING.encode(b"\1" + bytes(7) + b"\1good") + b"\xff" * 8)
        found = channel.receive(5)
        with pytest.raises(FramingError, match="4294967295 bytes is announced"):
            channel.receive(5)
        channel.close()
        accepted.close()
        listener.close()
        return found

    assert ground.run_blocking(program) == b"good"


def test_a_fin_without_a_goodbye_is_a_loss_and_is_answered_by_fin(ground: Ground) -> None:
    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
        with ground.client:
            channel = longblocking.connect(listener.getsockname(), FRAMING, QUICK, timeout=5)
        accepted = listener.accept()[0]
        accepted.settimeout(5)
        channel.send(b"taken?")
        sent = len(accepted.recv(100))
        accepted.shutdown(socket.SHUT_WR)
        rest = accepted.recv(100)
        with pytest.raises(PeerLost, match="the peer closed the connection without a goodbye; 1 message not") as caught:
            channel.receive(5)
        channel.close()
        accepted.close()
        listener.close()
        return sent, rest, caught.value.unacknowledged

    assert ground.run_blocking(program) == (19, b"", (b"taken?",))


def test_a_fin_without_a_goodbye_is_answered_by_a_reset_where_a_message_would_be_cut_short(ground: Ground) -> None:
    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
        with ground.client:
            channel = longblocking.connect(listener.getsockname(), FRAMING, QUICK, timeout=5)
        accepted = listener.accept()[0]
        accepted.settimeout(5)
        for _ in range(30):
            channel.send(bytes(1_000_000))  # more than the sockets take
        accepted.shutdown(socket.SHUT_WR)
        with pytest.raises(PeerLost, match="without a goodbye; 30 messages not acknowledged"):
            channel.receive(5)
        channel.close()
        with pytest.raises(ConnectionResetError):
            while accepted.recv(1 << 20):
                pass
        accepted.close()
        listener.close()

    ground.run_blocking(program)


def test_an_orderly_end_of_the_peers_does_not_hide_what_it_did_not_acknowledge() -> None:
    """The receiver is told ChannelClosed when the goodbye comes, before the FIN shows that a message was never taken."""
    ground = SimGround()

    def program() -> Any:
        channel, other = two_sides(ground)
        other.send(b"for you")
        channel.send(b"for nobody")
        time.sleep(1)
        leaving = threading.Thread(target=other.close)  # it waits for the ACK of what it sent
        leaving.start()
        time.sleep(1)
        assert channel.life.peer_goodbye
        assert channel.receive() == b"for you"
        with pytest.raises(ChannelClosed):
            channel.receive()
        leaving.join()
        with pytest.raises(PeerLost, match="the peer closed the connection; 1 message not acknowledged") as caught:
            channel.close()
        return caught.value.unacknowledged

    assert in_a_world(ground, program) == (b"for nobody",)


def test_a_broken_protocol_does_not_hide_what_was_not_acknowledged_in_asyncio_either(ground: Ground) -> None:
    async def program() -> Any:
        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(FRAMING.encode(b"\7" + bytes(8)))
            await reader.read(100)
            writer.close()

        with ground.server:
            server = await asyncio.start_server(speak, ground.address, PORT if ground.virtual else 0)
        with ground.client:
            channel = await long.connect(ground.address, server.sockets[0].getsockname()[1], FRAMING, QUICK)
        await channel.send(b"taken?")
        with pytest.raises(ProtocolError, match="there is no kind 7"):
            await channel.receive(5)
        calls: list[Callable[[], Awaitable[Any]]] = [channel.flush, lambda: channel.ping(5), lambda: channel.send(b"?")]
        for call in calls:
            with pytest.raises(ProtocolError):
                await call()
        with pytest.raises(PeerLost, match=r"the connection ended: there is no kind 7.*; 1 message not") as caught:
            await channel.close()
        server.close()
        await asyncio.sleep(0.1)
        return caught.value.unacknowledged, type(caught.value.__cause__)

    assert ground.run(program) == ((b"taken?",), ProtocolError)


def test_a_broken_protocol_does_not_hide_what_was_not_acknowledged_from_threads(ground: Ground) -> None:
    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
        with ground.client:
            channel = longblocking.connect(listener.getsockname(), FRAMING, QUICK, timeout=5)
        accepted = listener.accept()[0]
        channel.send(b"taken?")
        accepted.sendall(FRAMING.encode(b"\7" + bytes(8)))
        for call in (channel.receive, channel.flush, lambda: channel.ping(5), lambda: channel.send(b"?")):
            with pytest.raises(ProtocolError, match="there is no kind 7"):
                call()
        with pytest.raises(PeerLost, match=r"the connection ended: there is no kind 7.*; 1 message not") as caught:
            channel.close()
        channel.close()  # once
        accepted.close()
        listener.close()
        return caught.value.unacknowledged

    assert ground.run_blocking(program) == (b"taken?",)


def test_a_channel_in_asyncio_that_owes_an_acknowledgment_and_cannot_write_still_finds_the_dead_within_the_bound() -> None:
    ground = SimGround()
    settings = LifeSettings(interval=10 * SECOND, timeout=2 * SECOND, misses=3, ack_delay=5 * MILLISECOND)

    async def program() -> Any:
        async def talk(channel: LongChannel) -> None:
            await channel.send(b"take this")
            await asyncio.sleep(1000)

        with ground.server:
            server = await long.serve(talk, ground.address, PORT, FRAMING, settings)
        with ground.client:
            channel = await long.connect(ground.address, PORT, FRAMING, settings)
        await asyncio.sleep(1)
        ground.wire.cut()
        began = ground.world.now
        for _ in range(10):
            await channel.send(bytes(200_000))
        await asyncio.sleep(0)
        assert channel.wire.paused
        assert await channel.receive() == b"take this"
        with pytest.raises(PeerDead):
            await channel.receive(timeout=10 * BOUND)
        took = ground.world.now - began
        await channel.wait_lost()
        await server.close()
        return took <= BOUND

    assert ground.run(program)
