"""The mutual check: its rules one by one, and its fronts over UDP, TCP, long connections and a carrier with faults."""

import asyncio
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synfin.channels import aio, blocking, livenessaio, livenessblocking
from synfin.channels.errors import ChannelClosed, ProtocolError
from synfin.channels.framing import LengthHeader
from synfin.channels.life import LifeSettings
from synfin.channels.liveness import (
    ANSWER,
    EVERYTHING,
    HEARS,
    LAST,
    MAGIC,
    NEVER,
    NOTHING,
    QUESTION,
    SECOND,
    Learned,
    Liveness,
    Message,
    Outcome,
    Resting,
)
from synfin.channels.livenessaio import LivelyChannel
from synfin.engine.errors import UsageError
from tests.channels.grounds import Ground, SimGround

PORT = 7007


def counting(first: int) -> Callable[[], int]:
    numbers = iter(range(first, first + 1000))
    return lambda: next(numbers)


def pair() -> tuple[Liveness, Liveness]:
    return Liveness(counting(100)), Liveness(counting(200))


def say(one: Liveness, other: Liveness, now: int = 0) -> list[Message | None]:
    """All that `one` has to say arrives."""
    said, one.out = one.out, []
    for data in said:
        other.received(data, now)
    return [Message.unpack(data) for data in said]


def taken(side: Liveness) -> list[Learned]:
    learned, side.learned = side.learned, []
    return learned


# The rules


def test_three_messages_and_each_side_knows_what_it_may_when_it_may() -> None:
    asker, answerer = pair()
    assert asker.ask(0) is True
    assert (asker.knowledge, answerer.knowledge) == (NOTHING, NOTHING)
    assert say(asker, answerer, 1) == [Message(QUESTION, None, 100)]
    assert taken(answerer) == [Learned(1, HEARS, None, False)]
    assert say(answerer, asker, 2) == [Message(ANSWER, 100, 200)]
    assert taken(asker) == [Learned(2, EVERYTHING, Outcome.BOTH, True)]
    assert answerer.knowledge == HEARS
    assert say(asker, answerer, 3) == [Message(LAST, 200, None)]
    assert taken(answerer) == [Learned(3, EVERYTHING, Outcome.BOTH, False)]
    assert (asker.busy, answerer.busy, asker.next_deadline()) == (False, False, NEVER)
    assert asker.may_ask(3) and answerer.may_ask(3)


async def first_bytes(connect: Callable[..., Any], *framing: LengthHeader) -> str:
    """What a check sends first over a connection."""
    said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.set_result(await reader.read(100))
        writer.close()

    async with await asyncio.start_server(read, "127.0.0.1", 0) as server:
        channel = await connect(*server.sockets[0].getsockname(), *framing)
        checking = asyncio.ensure_future(channel.check())
        found = (await said).hex()
        channel.abort()
        await asyncio.gather(checking, return_exceptions=True)
        await channel.wait_lost()
    return found


def test_the_bytes_are_those_of_the_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livenessaio, "fresh", lambda: 0xAA)
    page = (Path(__file__).resolve().parent.parent.parent / "docs" / "channels.md").read_text(encoding="utf-8")
    section = page.partition("## Liveness")[2].partition("## Experiments")[0]
    said = [Message(QUESTION, None, 0xAA), Message(ANSWER, 0xAA, 0xBB), Message(LAST, 0xBB, None)]
    shown = [line.replace(" ", "") for line in re.findall(r"^    (?:asker|answerer) +([0-9a-f ]+?)   ", section, re.MULTILINE)]
    assert shown[:3] == [message.pack().hex() for message in said]
    assert shown[3:] == [
        asyncio.run(first_bytes(livenessaio.connect_lively, LengthHeader(4))),
        asyncio.run(first_bytes(livenessaio.connect_tcp)),
    ]
    sizes = [int(size) for size in re.findall(r"^\| \d \| \w+ \| .* \| (\d+) \|", section, re.MULTILINE)]
    assert sizes == [len(message.pack()) for message in said]


def test_no_answer_within_five_seconds_is_a_path_that_is_down_and_a_rest_of_sixty() -> None:
    asker, _ = pair()
    asker.ask(0)
    assert asker.next_deadline() == 5 * SECOND
    asker.handle_timers(5 * SECOND - 1)
    assert taken(asker) == []
    asker.handle_timers(5 * SECOND)
    assert taken(asker) == [Learned(5 * SECOND, NOTHING, Outcome.DOWN, True)]
    assert asker.rests_until() == 65 * SECOND
    assert asker.ask(65 * SECOND - 1) is False
    assert asker.ask(65 * SECOND) is True


def test_without_the_third_message_the_answerer_is_not_confirmed_and_rests_too() -> None:
    asker, answerer = pair()
    asker.ask(0)
    say(asker, answerer, SECOND)
    answerer.handle_timers(6 * SECOND)
    assert taken(answerer) == [Learned(SECOND, HEARS, None, False), Learned(6 * SECOND, HEARS, Outcome.UNCONFIRMED, False)]
    assert (answerer.ask(66 * SECOND - 1), answerer.ask(66 * SECOND)) == (False, True)


def test_a_rest_does_not_keep_a_side_from_answering() -> None:
    asker, answerer = pair()
    answerer.ask(0)
    answerer.handle_timers(5 * SECOND)
    answerer.out.clear()
    asker.ask(6 * SECOND)
    for one, other in ((asker, answerer), (answerer, asker), (asker, answerer)):
        say(one, other, 6 * SECOND)
    assert asker.knowledge == answerer.knowledge == EVERYTHING
    assert answerer.ask(64 * SECOND) is False


def test_when_both_ask_at_once_four_messages_end_both_checks() -> None:
    one, other = pair()
    one.ask(0)
    other.ask(0)
    first, second = one.out, other.out
    one.out, other.out = [], []
    one.received(second[0], 1)
    other.received(first[0], 1)
    answers = [*one.out, *other.out]
    one.received(other.out[0], 2)
    other.received(one.out[0], 2)
    one.out, other.out = one.out[1:], other.out[1:]
    assert [Message.unpack(data) for data in answers] == [Message(ANSWER, 200, 100), Message(ANSWER, 100, 200)]
    assert (one.out, other.out) == ([], [])
    assert one.knowledge == other.knowledge == EVERYTHING
    assert not one.busy and not other.busy


def test_an_asker_that_answers_has_its_patience_once_more() -> None:
    one, other = pair()
    one.ask(0)
    other.ask(4 * SECOND)
    other.out, lost = other.out[:], one.out
    say(other, one, 4 * SECOND)
    assert (lost != [], one.next_deadline()) == (True, 9 * SECOND)
    one.received(Message(QUESTION, None, 999).pack(), 8 * SECOND)  # only the first time
    assert one.next_deadline() == 9 * SECOND


@pytest.mark.parametrize(
    ("data", "counted"),
    [
        (b"", "garbage"), (MAGIC + b"\1" + bytes(7), "garbage"), (MAGIC + b"\4" + bytes(8), "garbage"),
        (b"2+2?" + b"\1" + bytes(8), "garbage"), (bytes(1000), "garbage"),
        (Message(ANSWER, 7, 8).pack(), "wrong"), (Message(LAST, 7, None).pack(), "wrong"),
        (Message(LAST, 101, None).pack(), "wrong"),  # our question came back without ever an answer to it
        (Message(ANSWER, 100, 8).pack(), "late"), (Message(LAST, 100, None).pack(), "late"),
    ],
)  # fmt: skip
def test_what_is_wrong_late_or_foreign_is_counted_and_changes_nothing(data: bytes, counted: str) -> None:
    side, _ = pair()
    side.ask(0)
    side.handle_timers(5 * SECOND)
    side.ask(65 * SECOND)
    side.out.clear()
    side.learned.clear()
    side.received(data, 66 * SECOND)
    assert (side.out, side.learned, side.knowledge, side.busy) == ([], [], NOTHING, True)
    names = ("garbage", "wrong", "late", "repeated")
    assert {name: getattr(side.counts, name) for name in names} == {name: int(name == counted) for name in names}


def test_a_question_that_comes_again_is_answered_once() -> None:
    side, _ = pair()
    for _ in range(3):
        side.received(Message(QUESTION, None, 5).pack(), 0)
    assert (len(side.out), side.counts.repeated) == (1, 2)


@given(st.lists(st.binary(max_size=30), max_size=40))
def test_garbage_never_raises_and_little_is_kept(datas: list[bytes]) -> None:
    side, _ = pair()
    for number, data in enumerate(datas):
        side.received(data, 0)
        side.received(Message(QUESTION, None, number).pack(), 0)
        side.out.clear()
        side.learned.clear()
    assert len(side._seen) <= 8 and len(side._old) <= 8


def test_times_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match="patience is above 0"):
        Liveness(counting(0), patience=0)
    with pytest.raises(UsageError, match="rest is not negative"):
        Liveness(counting(0), rest=-1)
    assert Liveness(counting(0), patience=1, rest=0).rest == 0


# TCP, on every ground


def test_over_tcp_both_sides_learn_both_directions(ground: Ground) -> None:
    learned: list[Learned] = []

    async def program() -> Learned:
        with ground.server:
            server = await livenessaio.listen_tcp(
                ground.address, PORT if ground.virtual else 0, lambda _, one: learned.append(one)
            )
        async with server:
            with ground.client:
                peer = await livenessaio.connect_tcp(ground.address, server.port, timeout=5)
            found = await peer.check()
            while len(learned) < 2:
                await asyncio.sleep(0.01)
            await peer.close()
            with pytest.raises(ChannelClosed):
                await peer.check()
            return found

    assert ground.run(program).outcome is Outcome.BOTH
    assert [(one.knowledge, one.outcome) for one in learned] == [(HEARS, None), (EVERYTHING, Outcome.BOTH)]


def test_over_tcp_a_silent_host_is_found_down_and_the_rest_is_kept() -> None:
    ground = SimGround()

    async def program() -> Any:
        with ground.server:
            server = await livenessaio.listen_tcp(ground.address, PORT)
        with ground.client:
            peer = await livenessaio.connect_tcp(ground.address, PORT)
        ground.host.silence()
        began = ground.world.now
        learned = await peer.check()
        took = ground.world.now - began
        with pytest.raises(Resting, match=r"resting for 60.0 s more"):
            await peer.check()
        peer.abort()
        await peer.wait_lost()
        await server.close()
        return learned.outcome, took

    assert ground.run(program) == (Outcome.DOWN, pytest.approx(5.0))


# Long connections


async def hold(channel: LivelyChannel) -> None:
    async for message in channel:
        await channel.send(message)


def test_on_a_long_connection_a_check_goes_beside_what_the_program_says(ground: Ground) -> None:
    framing = LengthHeader(4)

    async def program() -> Any:
        with ground.server:
            server = await livenessaio.serve_lively(hold, ground.address, PORT if ground.virtual else 0, framing)
        async with server:
            with ground.client:
                channel = await livenessaio.connect_lively(ground.address, server.port, framing, timeout=5)
            async with channel:
                for _ in range(10):
                    await channel.send(b"not received yet")
                learned = await channel.check()
                return learned.outcome, await channel.receive(5)

    assert ground.run(program) == (Outcome.BOTH, b"not received yet")


def test_a_silence_longer_than_doubt_after_begins_a_check_by_itself() -> None:
    ground, learned = SimGround(), list[Learned]()
    framing, settings = LengthHeader(4), LifeSettings(interval=1000 * SECOND)

    async def program() -> None:
        with ground.server:
            server = await livenessaio.serve_lively(hold, ground.address, PORT, framing, settings)
        with ground.client:
            channel = await livenessaio.connect_lively(
                ground.address, PORT, framing, settings, doubt_after=10, told=learned.append
            )
        await channel.send(b"1")
        await channel.receive()
        await asyncio.sleep(15)
        ground.host.silence()
        await asyncio.sleep(100)
        channel.abort()
        await channel.wait_lost()
        await server.close()

    ground.run(program)
    times = [(round(one.at / SECOND), one.outcome) for one in learned]
    assert times == [(10, Outcome.BOTH), (25, Outcome.DOWN), (90, Outcome.DOWN)]


def test_a_message_of_the_check_that_is_cut_short_ends_the_connection() -> None:
    ground, framing = SimGround(), LengthHeader(4)

    async def program() -> Any:
        with ground.server:
            server = await livenessaio.serve_lively(hold, ground.address, PORT, framing)
        with ground.client:
            stream = await aio.connect(ground.address, PORT, framing)
        stream.send(b"\6short")
        await asyncio.sleep(1)
        stream.abort()
        await stream.wait_lost()
        errors = dict(server.errors)
        await server.close()
        return errors

    assert ground.run(program) == {ProtocolError.__name__: 1}


def test_doubt_after_no_time_is_refused() -> None:
    async def program() -> None:
        with pytest.raises(UsageError, match="more than 0 seconds"):
            LivelyChannel(LengthHeader(4), doubt_after=0)
        with pytest.raises(UsageError, match="room for 30 bytes"):
            LivelyChannel(LengthHeader(1, limit=29))

    asyncio.run(program())


# Threads


def test_threads_check_each_other_over_tcp(ground: Ground) -> None:
    heard: list[Learned] = []

    def answer(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        with blocking.MessageSocket(accepted, livenessaio.FRAMING) as messages:
            peer = livenessblocking.over_messages(messages)
            with pytest.raises(ChannelClosed):
                heard.extend(peer.listen(20))

    def program() -> Learned:
        with ground.server:
            listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
            thread = threading.Thread(target=answer, args=(listener,))
            thread.start()
        with ground.client, blocking.connect(listener.getsockname(), livenessaio.FRAMING, timeout=5) as messages:
            found = livenessblocking.over_messages(messages).check()
        thread.join()
        listener.close()
        return found

    assert ground.run_blocking(program).outcome is Outcome.BOTH
    assert [one.knowledge for one in heard] == [HEARS, EVERYTHING]
