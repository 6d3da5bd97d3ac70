"""Who may speak: simplex and half duplex, the pure part explored, the fronts on every ground."""

import asyncio
import contextlib
import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from synfin.channels import aio, blocking, directionaio
from synfin.channels.direction import (
    ANSWERER,
    ASK,
    CALLER,
    DATA,
    FREE,
    GIVE,
    HEAD,
    KINDS,
    NEVER,
    SECOND,
    TAKE,
    HalfDuplex,
    NotYourTurn,
    TurnLost,
    winner,
)
from synfin.channels.directionaio import HalfDuplexChannel, Receiver, Sender
from synfin.channels.directionblocking import BlockingHalfDuplex, BlockingReceiver, BlockingSender
from synfin.channels.errors import ChannelClosed, ChannelTimeout, FramingError, PeerLost, ProtocolError
from synfin.channels.framing import LengthHeader
from synfin.engine.errors import UsageError
from tests.channels.direction_model import explore
from tests.channels.grounds import Ground, SimGround

PORT = 7000
FRAMING = LengthHeader(4)
STATES = 51_123  # of four turns


def port(ground: Ground) -> int:
    return PORT if ground.virtual else 0


# The pure part


def test_in_no_course_of_four_turns_are_both_heard_or_is_a_turn_gone_for_good() -> None:
    assert explore(4) == STATES


class BothWinATie(HalfDuplex):
    __slots__ = ()

    def _receive_ask(self, turn: int) -> None:
        if self.asking and turn == self.turn and not self.mine:
            self._move(turn + 1, self.side)
        else:
            super()._receive_ask(turn)


class NeitherWinsATie(HalfDuplex):
    __slots__ = ()

    def _receive_ask(self, turn: int) -> None:
        if not self.asking:
            super()._receive_ask(turn)


class NeverTakesALostTurn(HalfDuplex):
    __slots__ = ()

    def handle_timers(self, now: int) -> None:
        pass


class HearsOlderTurns(HalfDuplex):
    __slots__ = ()

    def _receive_data(self, turn: int, message: bytes, now: int) -> None:
        self.inbox.append(message)


class TellsOnlyWhoHoldsTheTurn(HalfDuplex):
    __slots__ = ()

    def _lose(self, unheard: int) -> None:
        if self.mine:
            super()._lose(unheard)


class ForgetsWhatItSaidWhenItsTurnIsOver(HalfDuplex):
    __slots__ = ()

    def _hand_over(self, to_peer: bool) -> None:
        self._said.clear()
        super()._hand_over(to_peer)


@pytest.mark.parametrize(
    "changed",
    [
        BothWinATie, NeitherWinsATie, NeverTakesALostTurn, HearsOlderTurns, TellsOnlyWhoHoldsTheTurn,
        ForgetsWhatItSaidWhenItsTurnIsOver,
    ],
)  # fmt: skip
def test_a_changed_rule_is_found_out(changed: type[HalfDuplex], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.channels.direction_model.HalfDuplex", changed)
    with pytest.raises(AssertionError):
        explore(4, changed)


def say(one: HalfDuplex, other: HalfDuplex, now: int = 0) -> list[bytes]:
    """Everything that `one` has to say arrives."""
    said, one.out = one.out, []
    for message in said:
        other.received(message, now)
    return said


def test_the_turn_goes_from_hand_to_hand_and_only_its_holder_speaks() -> None:
    caller, answerer = HalfDuplex(True), HalfDuplex(False)
    with pytest.raises(NotYourTurn, match="the peer has the turn"):
        answerer.send(b"no")
    with pytest.raises(NotYourTurn, match="there is no turn to end"):
        answerer.over()
    assert (caller.ask(0), caller.out, caller.next_deadline()) == (True, [], NEVER)  # it has it
    caller.send(b"over?")
    caller.over()
    assert say(caller, answerer) == [HEAD.pack(DATA, 0) + b"over?", HEAD.pack(GIVE, 1)]
    assert list(answerer.inbox) == [b"over?"]
    with pytest.raises(NotYourTurn):
        caller.send(b"no")
    answerer.over(give=False)
    assert say(answerer, caller) == [HEAD.pack(FREE, 2)]
    with pytest.raises(NotYourTurn, match="nobody has the turn"):
        caller.send(b"no")
    assert caller.ask(0) is False
    assert say(caller, answerer) == [HEAD.pack(ASK, 2)]
    assert say(answerer, caller) == [HEAD.pack(GIVE, 3)]
    assert (caller.mine, answerer.mine, caller.turn, answerer.turn) == (True, False, 3, 3)


@pytest.mark.parametrize("turn", [1, 2])
def test_when_both_ask_at_once_each_knows_who_has_it_when_the_others_question_comes(turn: int) -> None:
    caller, answerer = HalfDuplex(True), HalfDuplex(False)
    if turn == 2:
        caller.over()
        say(caller, answerer)
    (answerer if turn == 2 else caller).over(give=False)
    say(caller, answerer)
    say(answerer, caller)
    caller.ask(0)
    answerer.ask(0)
    first, second = caller.out, answerer.out
    caller.out, answerer.out = [], []
    for message in second:
        caller.received(message, 0)
    for message in first:
        answerer.received(message, 0)
    assert caller.mine is not answerer.mine
    assert caller.holder == answerer.holder == winner(turn + 1) == (CALLER if turn == 1 else ANSWERER)
    assert caller.out == answerer.out == []


def test_a_lost_turn_is_taken_after_the_timeout_and_its_holder_told_what_went_unheard() -> None:
    caller, answerer = HalfDuplex(True, 5 * SECOND), HalfDuplex(False, 5 * SECOND)
    caller.send(b"heard")
    say(caller, answerer)
    answerer.ask(SECOND)
    assert say(answerer, caller) == [HEAD.pack(ASK, 0)]
    assert caller.peer_asks
    caller.send(b"still on its way")
    assert answerer.next_deadline() == 6 * SECOND
    answerer.handle_timers(6 * SECOND - 1)
    assert not answerer.mine
    answerer.handle_timers(6 * SECOND)
    assert (answerer.mine, answerer.recovered) == (True, 1)
    say(caller, answerer)
    assert (list(answerer.inbox), answerer.stale) == ([b"heard"], 1)
    assert say(answerer, caller) == [HEAD.pack(TAKE, 1) + bytes(7) + b"\1"]
    with pytest.raises(TurnLost, match="1 message of ours went unheard") as caught:
        caller.send(b"more")
    assert caught.value.unheard == 1
    with pytest.raises(NotYourTurn):
        caller.send(b"more")


def test_who_had_ended_its_turn_before_it_was_taken_is_told_what_went_unheard_too() -> None:
    caller, answerer = HalfDuplex(True, 5 * SECOND), HalfDuplex(False, 5 * SECOND)
    caller.send(b"heard")
    say(caller, answerer)
    caller.send(b"on its way")
    caller.send(b"this too")
    caller.over()
    answerer.ask(0)
    answerer.handle_timers(5 * SECOND)
    say(answerer, caller)
    say(caller, answerer)
    assert (answerer.mine, caller.mine, answerer.stale) == (True, False, 2)
    with pytest.raises(TurnLost, match="2 messages of ours went unheard"):
        caller.check()
    caller.check()  # once


def test_what_went_unheard_in_several_turns_adds_up_until_it_is_told() -> None:
    caller, answerer = HalfDuplex(True, SECOND), HalfDuplex(False, SECOND)
    caller.send(b"in turn 0")
    caller.over()
    caller.ask(0)
    caller.handle_timers(SECOND)
    answerer.ask(0)
    answerer.handle_timers(SECOND)
    say(caller, answerer)  # turn 2 is the caller's
    caller.send(b"in turn 2")
    answerer.ask(SECOND)
    answerer.handle_timers(2 * SECOND)
    said = [HEAD.unpack_from(message) for message in say(answerer, caller)]
    assert said == [(ASK, 0), (TAKE, 1), (ASK, 2), (TAKE, 3)]
    with pytest.raises(TurnLost) as caught:
        caller.check()
    assert caught.value.unheard == 2


def test_turns_that_nobody_hears_are_not_kept_for_ever() -> None:
    caller = HalfDuplex(True, SECOND)
    for now in range(100):
        caller.ask(now * SECOND)
        caller.handle_timers((now + 1) * SECOND)
        caller.send(b"?")
        caller.over(give=False)
    assert len(caller._said) == 8


def test_a_holder_that_goes_on_speaking_does_not_lose_its_turn() -> None:
    caller, answerer = HalfDuplex(True, 5 * SECOND), HalfDuplex(False, 5 * SECOND)
    answerer.ask(0)
    for now in range(4, 40, 4):
        caller.send(b"and another thing")
        say(caller, answerer, now * SECOND)
        assert answerer.next_deadline() == (now + 5) * SECOND
    answerer.handle_timers(41 * SECOND - 1)
    assert not answerer.mine
    answerer.handle_timers(41 * SECOND)
    assert answerer.mine


def test_an_inbox_is_full_beyond_its_limit_until_half_of_it_is_taken_and_meanwhile_no_silence_counts() -> None:
    caller, answerer = HalfDuplex(True), HalfDuplex(False, 5 * SECOND, queue=20)
    answerer.ask(0)
    for size in (9, 9):
        caller.send(bytes(size))
    say(caller, answerer, SECOND)
    assert (answerer.waiting, answerer.full, answerer.next_deadline()) == (20, False, 6 * SECOND)
    caller.send(b"")
    say(caller, answerer, 2 * SECOND)
    assert (answerer.waiting, answerer.full, answerer.next_deadline()) == (21, True, NEVER)
    answerer.handle_timers(100 * SECOND)
    assert not answerer.mine
    assert answerer.take(100 * SECOND) == bytes(9)
    assert (answerer.waiting, answerer.full) == (11, True)
    assert answerer.take(101 * SECOND) == bytes(9)
    assert (answerer.waiting, answerer.full, answerer.next_deadline()) == (1, False, 106 * SECOND)


@pytest.mark.parametrize(
    ("message", "what", "limit"),
    [
        (b"\1", "a message of 1 bytes has no kind and number", 9),
        (HEAD.pack(9, 0), "there is no kind 9", None),
        (HEAD.pack(ASK, 0) + b"?", "ASK of 10 bytes", 9),
        (HEAD.pack(TAKE, 1), "TAKE of 9 bytes", 17),
        (HEAD.pack(GIVE, 2), "GIVE of turn 2 where 0 is known", 1),
        (HEAD.pack(DATA, 1), "DATA of turn 1, which nobody has begun", 0),
        (HEAD.pack(ASK, 1), "ASK at turn 1 where 0 is known", 0),
        (HEAD.pack(TAKE, 1) + bytes(7) + b"\5", "TAKE has heard 5 of 0 messages", 0),
    ],
)
def test_garbage_is_refused_with_its_offset_and_the_limit_that_it_broke(message: bytes, what: str, limit: int | None) -> None:
    caller = HalfDuplex(True)
    for _ in range(3):
        caller.received(HEAD.pack(ASK, 0), 0)
    with pytest.raises(ProtocolError, match=what) as caught:
        caller.received(message, 0)
    assert (caught.value.offset, caught.value.limit) == (3, limit)
    assert (caller.mine, caller.turn, list(caller.inbox)) == (True, 0, [])


@pytest.mark.parametrize(("timeout", "queue"), [(0, 1), (1, 0)])
def test_a_timeout_or_a_queue_of_nothing_is_refused(timeout: int, queue: int) -> None:
    with pytest.raises(UsageError, match="are above 0"):
        HalfDuplex(True, timeout, queue)


# asyncio


def test_over_to_you_and_back(ground: Ground) -> None:
    async def answer(channel: HalfDuplexChannel) -> None:
        for _ in range(3):
            said = await channel.receive(5)
            await channel.turn(5)
            channel.say(b"to " + said)
            channel.over()

    async def program() -> list[bytes]:
        with ground.server:
            server = await directionaio.serve(answer, ground.address, port(ground), FRAMING)
        found = []
        async with server:
            with ground.client:
                channel = await directionaio.connect(ground.address, server.port, FRAMING, timeout=5)
            async with channel:
                for number in range(3):
                    await channel.turn(5)
                    channel.say(b"%d" % number)
                    channel.over()
                    found.append(await channel.receive(5))
        return found

    assert ground.run(program) == [b"to 0", b"to 1", b"to 2"]


def test_two_that_ask_at_once_both_get_the_turn_one_after_the_other(ground: Ground) -> None:
    speaking: set[str] = set()
    order: list[str] = []

    async def ask(name: str, channel: HalfDuplexChannel) -> None:
        await asyncio.sleep(0.05)  # both have heard that the turn is nobody's
        await channel.turn(5)
        assert not speaking
        speaking.add(name)
        order.append(name)
        await asyncio.sleep(0.05)
        speaking.remove(name)
        channel.over(give=False)
        await asyncio.sleep(0.2)

    async def program() -> None:
        with ground.server:
            server = await directionaio.serve(lambda channel: ask("answerer", channel), ground.address, port(ground), FRAMING)
        with ground.client:
            channel = await directionaio.connect(ground.address, server.port, FRAMING)
        channel.over(give=False)
        await ask("caller", channel)
        await channel.close()
        while server.connections:
            await asyncio.sleep(0.01)
        await server.close()
        assert not server.errors

    ground.run(program)
    assert sorted(order) == ["answerer", "caller"]


def test_when_both_ask_at_once_one_gets_the_turn_within_one_round_trip() -> None:
    ground = SimGround()  # virtual time: to the millisecond
    got: list[tuple[str, Any]] = []

    async def program() -> None:
        async def ask(name: str, channel: HalfDuplexChannel) -> None:
            await asyncio.sleep(1 - (ground.world.now % 1))
            await channel.turn()
            got.append((name, ground.world.now))
            await asyncio.sleep(5)
            channel.over(give=False)

        with ground.server:
            server = await directionaio.serve(lambda channel: ask("answerer", channel), ground.address, PORT, FRAMING)
        with ground.client:
            channel = await directionaio.connect(ground.address, PORT, FRAMING)
        channel.over(give=False)
        await ask("caller", channel)
        await asyncio.sleep(1)
        await channel.close()
        await server.close()

    ground.run(program)
    assert got == [("caller", pytest.approx(1.01, abs=0.001)), ("answerer", pytest.approx(6.02, abs=0.01))]


def test_a_silent_holder_loses_the_turn_and_is_told_so(ground: Ground) -> None:
    async def program() -> list[int]:
        lost: list[TurnLost] = []

        async def hold(channel: HalfDuplexChannel) -> None:
            await channel.turn(5)
            while channel.turns.mine:
                await asyncio.sleep(0.01)
            with pytest.raises(TurnLost) as caught:
                channel.say(b"what I wanted to say")
            lost.append(caught.value)
            assert await channel.receive(5) == b"hello?"

        with ground.server:
            server = await directionaio.serve(hold, ground.address, port(ground), FRAMING)
        with ground.client:
            channel = await directionaio.connect(ground.address, server.port, FRAMING, turn_timeout=0.2)
        channel.over()
        await channel.turn(5)
        channel.say(b"hello?")
        assert channel.turns.recovered == 1
        while server.connections:
            await asyncio.sleep(0.01)
        await channel.close()
        await server.close()
        assert not server.errors
        return [error.unheard for error in lost]

    assert ground.run(program) == [0]


def test_bytes_that_mean_nothing_end_the_channel_and_their_place_and_the_limit_are_told(ground: Ground) -> None:
    framing = LengthHeader(4, limit=1000)
    told: list[tuple[str, int, int | None]] = []

    async def hear(channel: HalfDuplexChannel) -> None:
        assert await channel.receive(5) == b"good"
        try:
            await channel.receive(5)
        except (FramingError, ProtocolError) as error:
            told.append((type(error).__name__, error.offset, error.limit))
            raise

    async def program() -> Any:
        with ground.server:
            server = await directionaio.serve(hear, ground.address, port(ground), framing)
        huge = b"\xff" * 4
        for refused, bad in enumerate((huge, framing.encode(HEAD.pack(GIVE, 9)), framing.encode(b"garbage")), start=1):
            with ground.client:
                _, writer = await asyncio.open_connection(ground.address, server.port)
            writer.write(framing.encode(HEAD.pack(DATA, 0) + b"good") + bad)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            while sum(server.errors.values()) < refused:
                await asyncio.sleep(0.01)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        errors = dict(server.errors)
        await server.close()
        return errors

    assert ground.run(program) == {"MessageTooLong": 1, "ProtocolError": 2}
    assert told == [("MessageTooLong", 17, 1000), ("ProtocolError", 1, 1), ("ProtocolError", 1, 9)]


def test_the_turn_of_a_side_that_fell_silent_is_taken_after_the_timeout() -> None:
    ground = SimGround()  # virtual time: exactly then

    async def program() -> Any:
        lost: list[TurnLost] = []

        async def hold(channel: HalfDuplexChannel) -> None:
            await channel.turn()
            await asyncio.sleep(20)
            try:
                channel.say(b"what I wanted to say")
            except TurnLost as error:
                lost.append(error)

        with ground.server:
            server = await directionaio.serve(hold, ground.address, PORT, FRAMING)
        with ground.client:
            channel = await directionaio.connect(ground.address, PORT, FRAMING, turn_timeout=3)
        channel.over()
        await asyncio.sleep(1)
        began = ground.world.now
        with pytest.raises(ChannelTimeout, match="no turn within 1 s"):
            await channel.turn(timeout=1)
        await channel.turn()
        took = ground.world.now - began
        channel.say(b"hello?")
        await asyncio.sleep(30)
        await channel.close()
        await server.close()
        return took, [error.unheard for error in lost]

    assert ground.run(program) == (pytest.approx(3.0), [0])


def test_asking_for_a_turn_on_a_connection_that_ends_says_so(ground: Ground) -> None:
    async def leave(channel: HalfDuplexChannel) -> None:
        await asyncio.sleep(0.01)

    async def program() -> None:
        with ground.server:
            server = await directionaio.serve(leave, ground.address, port(ground), FRAMING)
        async with server:
            with ground.client:
                channel = await directionaio.connect(ground.address, server.port, FRAMING)
            channel.over()
            with pytest.raises(ChannelClosed):
                await channel.turn()
            await channel.close()

    ground.run(program)


def test_a_simplex_channel_carries_one_way_and_the_other_half_is_shut(ground: Ground) -> None:
    received: list[bytes] = []
    shut: list[str] = []

    async def take(stream: aio.MessageStream) -> None:
        receiver = Receiver(stream)
        with pytest.raises(UsageError, match="only receives"):
            await receiver.send(b"no")
        with pytest.raises(ChannelClosed, match="has finished sending") as caught:
            stream.send(b"no")
        shut.append(str(caught.value))
        async for message in stream:
            received.append(message)

    async def program() -> None:
        with ground.server:
            server = await aio.serve(take, ground.address, port(ground), FRAMING)
        async with server:
            with ground.client:
                sender = Sender(await aio.connect(ground.address, server.port, FRAMING))
            with pytest.raises(UsageError, match="only sends"):
                await sender.receive()
            for number in range(100):
                await sender.send(b"%d" % number)
            await sender.close(5)
            await sender.stream.wait_lost()

    ground.run(program)
    assert received == [b"%d" % number for number in range(100)]
    assert shut == ["this side has finished sending"]


def test_a_receiver_that_speaks_is_a_protocol_error(ground: Ground) -> None:
    async def speak(stream: aio.MessageStream) -> None:
        stream.send(b"hello")
        async for _ in stream:
            pass

    async def program() -> None:
        with ground.server:
            server = await aio.serve(speak, ground.address, port(ground), FRAMING)
        async with server:
            with ground.client:
                sender = Sender(await aio.connect(ground.address, server.port, FRAMING))
            await sender.send(b"1")
            with pytest.raises(ProtocolError, match="the receiving end of a simplex channel said 5 bytes"):
                await sender.close(5)
            await sender.stream.wait_lost()

    ground.run(program)


def test_a_peer_that_gives_up_ends_who_waits_for_the_turn(ground: Ground) -> None:
    async def give_up(channel: HalfDuplexChannel) -> None:
        await asyncio.sleep(0.1)
        channel.abort()

    async def program() -> None:
        with ground.server:
            server = await directionaio.serve(give_up, ground.address, port(ground), FRAMING)
        with ground.client:
            channel = await directionaio.connect(ground.address, server.port, FRAMING)
        channel.over()
        with pytest.raises(PeerLost, match="reset by peer"):
            await channel.turn(5)
        await channel.wait_lost()
        await server.close()

    ground.run(program)


def test_a_host_that_crashed_ends_who_waits_for_the_turn_when_it_answers_again() -> None:
    ground = SimGround()  # a crash of a whole host

    async def program() -> float:
        async def hold(channel: HalfDuplexChannel) -> None:
            await asyncio.sleep(1000)

        with ground.server:
            server = await directionaio.serve(hold, ground.address, PORT, FRAMING)
        with ground.client:
            channel = await directionaio.connect(ground.address, PORT, FRAMING)
        channel.over()
        waiting = asyncio.create_task(channel.turn())
        await asyncio.sleep(1)
        ground.host.crash()
        ground.host.restart()
        channel.flush()
        channel.send(b"")  # anything: the new server answers with RST
        with pytest.raises(PeerLost, match="reset by peer"):
            await waiting
        at = ground.world.now
        await channel.wait_lost()
        await server.close()
        return at

    assert ground.run(program) == pytest.approx(1.04, abs=0.05)


def test_after_a_partition_in_which_the_turn_was_taken_both_know_whose_it_is() -> None:
    ground = SimGround()

    async def program() -> Any:
        made: list[HalfDuplexChannel] = []

        async def hold(channel: HalfDuplexChannel) -> None:
            made.append(channel)
            await asyncio.sleep(200)

        with ground.server:
            server = await directionaio.serve(hold, ground.address, PORT, FRAMING, turn_timeout=5)
        with ground.client:
            channel = await directionaio.connect(ground.address, PORT, FRAMING, turn_timeout=5)
        await asyncio.sleep(1)
        ground.wire.cut()
        for _ in range(3):
            channel.say(b"into the cut wire")
        await made[0].turn()
        took = ground.world.now
        ground.wire.heal()
        await asyncio.sleep(60)
        with pytest.raises(TurnLost) as caught:
            channel.say(b"?")
        found = made[0].turns.mine, channel.turns.mine, made[0].turns.stale, caught.value.unheard, took
        await channel.close()
        await server.close()
        return found

    assert ground.run(program) == (True, False, 3, 3, pytest.approx(6.02))  # connected at 0.02


# Threads


def test_threads_take_turns_and_speak_one_way_too(ground: Ground) -> None:
    taken: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        with BlockingHalfDuplex(blocking.MessageSocket(accepted, FRAMING), caller=False) as channel:
            with pytest.raises(NotYourTurn):
                channel.say(b"no")
            said = channel.receive(5)
            channel.turn(5)
            channel.say(b"to " + said, 5)
            channel.over(timeout=5)
            with pytest.raises(ChannelClosed):
                channel.receive(5)
        accepted, _ = listener.accept()
        receiver = BlockingReceiver(blocking.MessageSocket(accepted, FRAMING))
        with pytest.raises(UsageError):
            receiver.send(b"no")
        taken.extend(receiver)
        receiver.close()

    def program() -> bytes:
        with ground.server:
            listener = socket.create_server((ground.address, port(ground)))
            thread = threading.Thread(target=serve, args=(listener,))
            thread.start()
        with ground.client:
            messages = blocking.connect(listener.getsockname(), FRAMING, timeout=5)
            with BlockingHalfDuplex(messages, caller=True) as channel:
                channel.turn(5)
                channel.say(b"over", 5)
                channel.over(timeout=5)
                found = channel.receive(5)
            sender = BlockingSender(blocking.connect(listener.getsockname(), FRAMING, timeout=5))
            with pytest.raises(UsageError):
                sender.receive()
            sender.send(b"one way", 5)
            sender.close(5)
        thread.join()
        listener.close()
        return found

    assert ground.run_blocking(program) == b"to over"
    assert taken == [b"one way"]


def test_a_thread_takes_a_lost_turn_after_the_timeout() -> None:
    ground = SimGround()

    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))
        with ground.client:
            channel = BlockingHalfDuplex(blocking.connect((ground.address, PORT), FRAMING, timeout=5), caller=True, timeout=4)
        channel.over()
        began = ground.world.now
        channel.turn()
        took = ground.world.now - began
        channel.close()
        listener.close()
        return took, channel.turns.recovered

    assert ground.run_blocking(program) == (pytest.approx(4.0, abs=0.002), 1)


def test_the_bytes_of_the_documentation_are_the_bytes_on_the_wire() -> None:
    page = (Path(__file__).resolve().parent.parent.parent / "docs" / "channels.md").read_text(encoding="utf-8")
    section = page.partition("## Direction")[2].partition("## Liveness")[0]
    kinds = {int(kind): name for kind, name in re.findall(r"^\| (\d) \| (\w+) \|", section, re.MULTILINE)}
    caller, answerer = HalfDuplex(True), HalfDuplex(False)
    caller.send(b"over")
    caller.over()
    said = say(caller, answerer)
    answerer.send(b"2")
    said += say(answerer, caller)
    shown = re.findall(r"^    (?:caller|answerer) +([0-9a-f ]+?)   ", section, re.MULTILINE)
    assert [line.replace(" ", "") for line in shown] == [FRAMING.encode(message).hex() for message in said]
    assert kinds == KINDS
    assert f"{STATES:,} states" in section
