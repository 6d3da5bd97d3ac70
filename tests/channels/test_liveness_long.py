"""The liveness check on long connections: its pure part, and threads on every ground, with each other and with event loops."""

import asyncio
import socket
import threading
import time
from typing import Any

import pytest

from synfin.channels import blocking, livenessaio, livenesslongblocking
from synfin.channels.errors import ChannelClosed, PeerLost, ProtocolError
from synfin.channels.framing import LengthHeader
from synfin.channels.heartbeat import NEVER
from synfin.channels.life import HEAD, LifeSettings
from synfin.channels.liveness import ANSWER, LAST, QUESTION, SECOND, Learned, Liveness, Message, Outcome, Resting
from synfin.channels.livenessaio import LivelyChannel
from synfin.channels.livenesslife import LIVENESS, LivelyLife
from synfin.channels.livenesslongblocking import LivelySocket
from synfin.engine.errors import UsageError
from tests.channels.grounds import Ground, SimGround
from tests.channels.test_liveness import counting

PORT = 7007
LONG = LengthHeader(4)
QUIET = LifeSettings(interval=NEVER)


def port(ground: Ground) -> int:
    return PORT if ground.virtual else 0


# The pure part


def life(doubt_after: int = NEVER) -> tuple[LivelyLife, list[Learned]]:
    told: list[Learned] = []
    return LivelyLife(QUIET, 0, Liveness(counting(100)), doubt_after, told.append), told


def carried(message: Message) -> bytes:
    return HEAD.pack(LIVENESS, 0) + message.pack()


def test_a_check_goes_beside_what_the_life_says_and_before_it() -> None:
    side, told = life()
    side.send(b"hi")
    assert side.liveness.ask(0)
    assert side.next_deadline() == 0
    assert side.next_deadline(blocked=True) == 5 * SECOND
    assert side.outgoing(0) == [carried(Message(QUESTION, None, 100)), HEAD.pack(1, 1) + b"hi"]
    assert side.next_deadline() == 5 * SECOND
    side.heard(SECOND)
    side.received(carried(Message(ANSWER, 100, 7)))
    assert [(one.at, one.outcome) for one in told] == [(SECOND, Outcome.BOTH)]
    assert (side.outgoing(SECOND), side.next_deadline()) == ([carried(Message(LAST, 7, None))], NEVER)


def test_what_finds_no_room_makes_way_for_what_is_newer() -> None:
    side, _ = life()
    for number in range(20):
        side.received(carried(Message(QUESTION, None, 1000 + number)))
    assert side.dropped == 12
    asked = [Message.unpack(message[HEAD.size :]) for message in side.outgoing(0)]
    assert [each.answers for each in asked if each] == list(range(1012, 1020))


def test_doubt_begins_a_check_after_the_silence_again_after_the_rest_and_never_while_closing() -> None:
    side, told = life(10 * SECOND)
    side.heard(SECOND)
    assert side.next_deadline() == 11 * SECOND
    side.handle_timers(11 * SECOND - 1)
    assert not side.liveness.busy
    side.handle_timers(11 * SECOND)
    assert side.liveness.busy
    side.outgoing(11 * SECOND)
    assert side.next_deadline() == 16 * SECOND
    side.handle_timers(16 * SECOND)
    assert [(one.at, one.outcome) for one in told] == [(16 * SECOND, Outcome.DOWN)]
    assert side.next_deadline() == 76 * SECOND
    side.close()
    side.outgoing(16 * SECOND)
    assert side.next_deadline() == NEVER


def test_a_message_of_the_check_counts_among_those_of_the_stream_and_one_cut_short_is_an_error() -> None:
    side, told = life()
    side.received(carried(Message(QUESTION, None, 1)))
    with pytest.raises(ProtocolError, match=r"\(message 1 of the stream"):
        side.received(b"\6short")
    side.received(carried(Message(QUESTION, None, 2)))
    assert (side.liveness.counts.answered, side.outgoing(0), side.next_deadline()) == (1, [], NEVER)
    side.handle_timers(100 * SECOND)
    assert [one.outcome for one in told] == [None]  # nothing is learnt of a connection that has ended


# Threads


def serve(listener: socket.socket, doubt_after: float | None = None) -> Any:
    """A thread that accepts one, echoes until the goodbye, and what it was told."""
    told: list[Outcome | None] = []

    def run() -> None:
        accepted, _ = listener.accept()
        with LivelySocket(accepted, LONG, QUIET, told=lambda one: told.append(one.outcome), doubt_after=doubt_after) as channel:
            for message in channel:
                channel.send(message, 5)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, told


def test_threads_check_both_directions_on_a_long_connection(ground: Ground) -> None:
    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, port(ground)))
            thread, told = serve(listener)
        with ground.client:
            channel = livenesslongblocking.connect(listener.getsockname(), LONG, QUIET, timeout=5)
        with channel:
            for _ in range(10):
                channel.send(b"not received yet", 5)
            found = [channel.check().outcome, channel.check().outcome]
            heard = {channel.receive(5) for _ in range(10)}
        with pytest.raises(ChannelClosed):
            channel.check()
        thread.join()
        listener.close()
        return found, heard, told

    both = Outcome.BOTH
    assert ground.run_blocking(program) == ([both, both], {b"not received yet"}, [None, both, None, both])


def test_several_threads_join_one_check_and_all_hear_its_end(ground: Ground) -> None:
    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, port(ground)))
            accepting, told = serve(listener)
        with ground.client:
            channel = livenesslongblocking.connect(listener.getsockname(), LONG, QUIET, timeout=5)
        found: list[Outcome | None] = []
        with channel:
            threads = [threading.Thread(target=lambda: found.append(channel.check().outcome)) for _ in range(4)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            assert channel._ends == []
        accepting.join()
        listener.close()
        return found, set(told)

    assert ground.run_blocking(program) == ([Outcome.BOTH] * 4, {None, Outcome.BOTH})


def test_a_thread_doubts_by_itself_after_a_silence(ground: Ground) -> None:
    told: list[Outcome | None] = []

    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, port(ground)))
            thread, _ = serve(listener)
        with ground.client:
            channel = livenesslongblocking.connect(
                listener.getsockname(), LONG, QUIET, timeout=5, doubt_after=0.2, told=lambda one: told.append(one.outcome)
            )
        began = time.monotonic()
        with channel:
            while len(told) < 2:
                time.sleep(0.01)
        took = time.monotonic() - began
        thread.join()
        listener.close()
        return took

    assert ground.run_blocking(program) == pytest.approx(0.45, abs=0.05 if ground.virtual else 0.4)
    assert set(told) == {Outcome.BOTH}


@pytest.mark.parametrize("fault", ["cut wire", "silent host"])
def test_a_thread_finds_a_path_down_after_its_patience_in_virtual_time_and_rests(fault: str) -> None:
    ground = SimGround()

    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))
        with ground.client:
            channel = livenesslongblocking.connect((ground.address, PORT), LONG, QUIET, timeout=5)
        accepted, _ = listener.accept()
        if fault == "cut wire":
            ground.wire.cut()
        else:
            ground.host.silence()
        began = ground.world.now
        outcome = channel.check().outcome
        took = ground.world.now - began
        with pytest.raises(Resting, match=r"resting for 60\.0 s more"):
            channel.check()
        channel.abort()
        accepted.close()
        listener.close()
        return outcome, took

    assert ground.run_blocking(program) == (Outcome.DOWN, pytest.approx(5.0, abs=0.002))


def test_a_check_that_a_reset_cuts_short_raises_what_ended_the_connection() -> None:
    ground = SimGround()  # virtual time: at the moment of the reset

    def program() -> float:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))
        with ground.client:
            channel = livenesslongblocking.connect((ground.address, PORT), LONG, QUIET, timeout=5)
        accepted, _ = listener.accept()

        def reset() -> None:
            time.sleep(1)
            blocking.MessageSocket(accepted, LONG).abort()

        thread = threading.Thread(target=reset)
        thread.start()
        began = ground.world.now
        with pytest.raises(PeerLost, match="reset"):
            channel.check()
        took = ground.world.now - began
        assert not channel.alive
        thread.join()
        channel.abort()
        listener.close()
        return took

    assert ground.run_blocking(program) == pytest.approx(1.01, abs=0.01)


def test_a_thread_and_an_event_loop_check_each_other() -> None:
    """Over the kernel: one process, an event loop and a thread."""

    async def hold(channel: LivelyChannel) -> None:
        async for _ in channel:
            pass

    async def program() -> Any:
        async with await livenessaio.serve_lively(hold, "127.0.0.1", 0, LONG) as server:

            def ask() -> Outcome | None:
                with livenesslongblocking.connect(("127.0.0.1", server.port), LONG, timeout=5) as channel:
                    return channel.check().outcome

            return await asyncio.to_thread(ask)

    assert asyncio.run(program()) is Outcome.BOTH


def test_times_and_framings_that_cannot_be_are_refused_before_the_connection_is_touched() -> None:
    with socket.socket() as sock:
        with pytest.raises(UsageError, match="more than 0 seconds"):
            LivelySocket(sock, LONG, doubt_after=0)
        with pytest.raises(UsageError, match="room for 30 bytes"):
            LivelySocket(sock, LengthHeader(1, limit=29))
