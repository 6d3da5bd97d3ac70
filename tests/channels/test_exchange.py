"""Questions and answers matched by number: the pure part, and its front in asyncio on every ground.

What is about faults or exact times runs in virtual time only: those tests make a SimGround themselves."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin.channels import aio, exchangeaio
from synfin.channels.errors import ChannelClosed, ChannelTimeout, MessageRefused, PeerLost, ProtocolError
from synfin.channels.exchange import ANSWER, FAILED, HEAD, KINDS, REQUEST, Exchange, RequestFailed, check_framing
from synfin.channels.exchangeaio import ExchangeChannel
from synfin.channels.framing import Delimiter, LengthHeader
from synfin.engine.errors import UsageError
from tests.channels.grounds import Ground, SimGround

PORT = 7000
FRAMING = LengthHeader(4)


def port(ground: Ground) -> int:
    return PORT if ground.virtual else 0


# The pure part


MOVES = st.lists(st.sampled_from(["ask", "answer", "give up"]), max_size=60)


@given(MOVES, st.randoms(use_true_random=False), st.integers(1, 5))
def test_every_answer_reaches_its_own_request_and_no_other(moves: list[str], draw: Any, limit: int) -> None:
    asker, answerer = Exchange(limit), Exchange(limit)
    waiting: dict[int, bytes] = {}
    unanswered: list[tuple[int, bytes]] = []
    late = 0
    for move in moves:
        if move == "ask" and asker.room:
            number, message = asker.ask(b"%d?" % draw.randrange(9))
            waiting[number] = message[HEAD.size :]
            assert answerer.received(message) == (REQUEST, number, message[HEAD.size :])
            unanswered.append((number, message[HEAD.size :]))
        elif move == "answer" and unanswered:
            number, request = unanswered.pop(draw.randrange(len(unanswered)))
            came = asker.received(answerer.answer(number, b"to " + request))
            if number in waiting:
                assert came == (ANSWER, number, b"to " + waiting.pop(number))
            else:
                assert came is None
                late += 1
        elif move == "give up" and waiting:
            number = draw.choice(sorted(waiting))
            asker.give_up(number)
            del waiting[number]
        assert asker.in_flight == answerer.unanswered == len(unanswered) <= limit
        assert asker.late == late


@given(st.lists(st.one_of(st.binary(max_size=12), st.builds(HEAD.pack, st.integers(0, 5), st.integers(0, 4))), max_size=12))
def test_whatever_comes_is_taken_or_a_protocol_error_and_little_is_kept(messages: list[bytes]) -> None:
    exchange = Exchange(limit=2)
    exchange.ask(b"")
    for offset, message in enumerate(messages):
        try:
            exchange.received(message)
        except ProtocolError as error:
            assert error.offset == offset
            return
        assert exchange.unanswered <= 2


@pytest.mark.parametrize(
    ("message", "what", "limit"),
    [
        (b"\1\0\0\0", "a message of 4 bytes has no kind and number (message 1 of the stream, limit 9)", 9),
        (HEAD.pack(7, 1), "there is no kind 7 (message 1 of the stream)", None),
        (HEAD.pack(REQUEST, 3), "REQUEST 3 where 2 was due (message 1 of the stream)", None),
        (HEAD.pack(REQUEST, 2), "REQUEST 2 while 1 are without an answer (message 1 of the stream, limit 1)", 1),
        (HEAD.pack(ANSWER, 2), "ANSWER 2 to a request that was never made (message 1 of the stream, limit 1)", 1),
        (HEAD.pack(FAILED, 0), "FAILED 0 to a request that is answered already (message 1 of the stream, limit 1)", 1),
    ],
)
def test_what_the_protocol_does_not_allow_is_told_with_offset_and_limit(message: bytes, what: str, limit: int | None) -> None:
    exchange = Exchange(limit=1)
    exchange.ask(b"")
    exchange.received(HEAD.pack(REQUEST, 1))
    with pytest.raises(ProtocolError) as caught:
        exchange.received(message)
    assert (str(caught.value), caught.value.offset, caught.value.limit) == (what, 1, limit)


def test_a_request_is_answered_once() -> None:
    exchange, peer = Exchange(), Exchange()
    exchange.received(HEAD.pack(REQUEST, 1) + b"?")
    number, message = peer.ask(b"?")
    answer = exchange.answer(number, b"!")
    assert (message, answer) == (HEAD.pack(REQUEST, 1) + b"?", HEAD.pack(ANSWER, 1) + b"!")
    with pytest.raises(UsageError, match="request 1 is not waiting"):
        exchange.fail(1, "again")
    peer.received(answer)
    with pytest.raises(ProtocolError, match="ANSWER 1 to a request that is answered already"):
        peer.received(answer)


def test_answers_that_have_not_left_this_side_count_as_none_yet() -> None:
    exchange = Exchange(3)
    for number, end in ((1, 100), (2, 150), (3, 150)):
        exchange.received(HEAD.pack(REQUEST, number))
        exchange.answer(number, b"")
        exchange.keep(end)
    exchange.gone(99)
    with pytest.raises(ProtocolError, match="REQUEST 4 while 3 are without an answer, 3 of them given and unread"):
        exchange.received(HEAD.pack(REQUEST, 4))
    exchange.gone(100)
    assert exchange.received(HEAD.pack(REQUEST, 4)) == (REQUEST, 4, b"")
    with pytest.raises(ProtocolError, match="REQUEST 5 while 3 are without an answer, 2 of them given and unread"):
        exchange.received(HEAD.pack(REQUEST, 5))
    exchange.gone(1000)
    for number in (5, 6):
        exchange.received(HEAD.pack(REQUEST, number))
    with pytest.raises(ProtocolError, match=r"REQUEST 7 while 3 are without an answer \(message 6 of the stream, limit 3\)"):
        exchange.received(HEAD.pack(REQUEST, 7))


def test_more_than_the_limit_is_the_callers_mistake() -> None:
    exchange = Exchange(limit=1)
    exchange.ask(b"")
    with pytest.raises(UsageError, match="1 requests are without an answer already, the limit is 1"):
        exchange.ask(b"")
    for wrong in (lambda: Exchange(limit=0), lambda: check_framing(Delimiter())):
        with pytest.raises(UsageError):
            wrong()


# asyncio


class Held:
    """A handler that answers when it is told to, in the order in which it is told."""

    def __init__(self) -> None:
        self.asked: dict[bytes, asyncio.Future[bytes]] = {}

    def __call__(self, request: bytes) -> "asyncio.Future[bytes]":
        self.asked[request] = asyncio.get_running_loop().create_future()
        return self.asked[request]

    async def has(self, *requests: bytes) -> None:
        while not set(requests) <= set(self.asked):
            await asyncio.sleep(0.01)

    def answer(self, request: bytes) -> None:
        self.asked[request].set_result(b"to " + request)


def test_answers_come_in_any_order_to_those_who_asked(ground: Ground) -> None:
    held = Held()

    async def program() -> list[bytes]:
        with ground.server:
            server = await exchangeaio.serve(held, ground.address, port(ground), FRAMING)
        async with server:
            with ground.client:
                channel = await exchangeaio.connect(ground.address, server.port, FRAMING, timeout=5)
            async with channel:
                calls = [await channel.submit(request) for request in (b"a", b"b", b"c")]
                await held.has(b"a", b"b", b"c")
                found = []
                for request, call in ((b"c", calls[2]), (b"a", calls[0]), (b"b", calls[1])):
                    assert not call.done()
                    held.answer(request)
                    found.append(await call)
                assert channel.in_flight == 0
                return found

    assert ground.run(program) == [b"to c", b"to a", b"to b"]


def test_a_late_answer_is_never_taken_for_the_next_calls(ground: Ground) -> None:
    held = Held()

    async def program() -> Any:
        with ground.server:
            server = await exchangeaio.serve(held, ground.address, port(ground), FRAMING)
        async with server:
            with ground.client:
                channel = await exchangeaio.connect(ground.address, server.port, FRAMING)
            async with channel:
                with pytest.raises(ChannelTimeout, match=r"no answer within 0.05 s"):
                    await channel.ask(b"first", timeout=0.05)
                in_flight = channel.in_flight
                second = asyncio.create_task(channel.ask(b"second", timeout=5))
                await held.has(b"first", b"second")
                held.answer(b"first")
                held.answer(b"second")
                return await second, in_flight, channel.in_flight, channel.exchange.late

    assert ground.run(program) == (b"to second", 1, 0, 1)


def test_many_requests_are_on_their_way_and_no_more_than_the_limit(ground: Ground) -> None:
    most = 0

    async def program() -> list[bytes]:
        def answer(request: bytes) -> bytes:
            nonlocal most
            most = max(most, channel.in_flight)
            return request

        with ground.server:
            server = await exchangeaio.serve(answer, ground.address, port(ground), FRAMING, limit=10)
        async with server:
            with ground.client:
                channel = await exchangeaio.connect(ground.address, server.port, FRAMING, limit=10)
            async with channel:
                return await asyncio.gather(*(channel.ask(b"%d" % number) for number in range(200)))

    assert ground.run(program) == [b"%d" % number for number in range(200)]
    assert most == 10


def test_who_waits_for_room_is_served_in_turn_and_may_give_up() -> None:
    ground, held = SimGround(), Held()

    async def program() -> Any:
        with ground.server:
            server = await exchangeaio.serve(held, ground.address, PORT, FRAMING, limit=1)
        with ground.client:
            channel = await exchangeaio.connect(ground.address, PORT, FRAMING, limit=1)
        first = await channel.submit(b"first")
        began = ground.world.now
        waiting = [asyncio.create_task(channel.submit(name)) for name in (b"second", b"third")]
        with pytest.raises(ChannelTimeout, match="no answer within 2 s"):
            await channel.ask(b"never", timeout=2)
        waited = ground.world.now - began
        await held.has(b"first")
        held.answer(b"first")
        await first
        waiting[0].cancel()  # it was let in at this moment: the third takes its place
        third = await waiting[1]
        await held.has(b"third")
        held.answer(b"third")
        said = await third
        await channel.close()
        await server.close()
        return waited, said, sorted(held.asked)

    waited, said, asked = ground.run(program)
    assert (waited, said) == (2.0, b"to third")
    assert b"never" not in asked


def test_both_sides_may_ask_on_one_connection(ground: Ground) -> None:
    asked: list[bytes] = []

    async def program() -> Any:
        servers: list[ExchangeChannel] = []

        def answer(request: bytes) -> bytes:
            asked.append(request)
            return b"server"

        with ground.server:
            server = await asyncio.get_running_loop().create_server(
                lambda: ExchangeChannel(FRAMING, answer, made=servers.append), ground.address, port(ground)
            )
        with ground.client:
            channel = await exchangeaio.connect(
                ground.address, server.sockets[0].getsockname()[1], FRAMING, lambda _: b"client"
            )
        first = await channel.ask(b"to the server", timeout=5)
        second = await servers[0].ask(b"to the client", timeout=5)
        await channel.close()
        await servers[0].wait_ended()
        await servers[0].close()
        server.close()
        await server.wait_closed()
        return first, second

    assert ground.run(program) == (b"server", b"client")
    assert asked == [b"to the server"]


def test_a_handler_says_why_there_is_no_answer_and_keeps_its_own_errors_to_itself(ground: Ground) -> None:
    told: list[Any] = []

    async def later(error: Exception) -> bytes:
        await asyncio.sleep(0)
        raise error

    def answer(request: bytes) -> Any:
        if request == b"refuse":
            raise RequestFailed("not today")
        if request == b"huge":
            return bytes(2000)
        return later(RequestFailed("not now") if request == b"later" else LookupError("secret"))

    async def program() -> list[str]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        framing = LengthHeader(4, limit=1000)
        with ground.server:
            server = await exchangeaio.serve(answer, ground.address, port(ground), framing)
        found = []
        async with server:
            with ground.client:
                channel = await exchangeaio.connect(ground.address, server.port, framing)
            async with channel:
                for request in (b"refuse", b"later", b"break", b"huge"):
                    with pytest.raises(RequestFailed) as caught:
                        await channel.ask(request, timeout=5)
                    found.append(str(caught.value))
                with pytest.raises(MessageRefused, match="992 bytes is longer than 991"):
                    await channel.ask(bytes(992))
        return found

    failed = "the request could not be answered"
    assert ground.run(program) == ["not today", "not now", failed, failed]
    assert [type(error) for error in told] == [LookupError, MessageRefused]


@pytest.mark.parametrize(("says", "what"), [
    (b"\0\0\0\x09" + HEAD.pack(ANSWER, 5), "ANSWER 5 to a request that was never made"),
    (b"\0\0\0\x09" + HEAD.pack(9, 5), "there is no kind 9"),
    (b"\0\0\0\2hi", "has no kind and number"),
])  # fmt: skip
def test_garbage_ends_the_exchange_and_tells_those_who_wait(ground: Ground, says: bytes, what: str) -> None:
    async def program() -> None:
        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(says)
            await reader.read()
            writer.close()

        with ground.server:
            server = await asyncio.start_server(speak, ground.address, port(ground))
        with ground.client:
            channel = await exchangeaio.connect(ground.address, server.sockets[0].getsockname()[1], FRAMING)
        waiting = await channel.submit(b"other")
        with pytest.raises(ProtocolError, match=what):
            await channel.ask(b"?", timeout=5)
        with pytest.raises(ProtocolError, match=what):
            await waiting
        with pytest.raises(ProtocolError, match=what):
            await channel.ask(b"?")
        channel.abort()
        await channel.wait_lost()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.1)

    ground.run(program)


def test_the_server_counts_what_clients_do_wrong_and_goes_on(ground: Ground) -> None:
    async def program() -> Any:
        with ground.server:
            server = await exchangeaio.serve(lambda request: request, ground.address, port(ground), FRAMING)
        async with server:
            with ground.client:
                stream = await aio.connect(ground.address, server.port, FRAMING)
                channel = await exchangeaio.connect(ground.address, server.port, FRAMING)
            stream.send(HEAD.pack(REQUEST, 2))
            with pytest.raises((PeerLost, ChannelClosed)):
                await stream.receive()
            stream.abort()
            await stream.wait_lost()
            async with channel:
                return await channel.ask(b"still here", timeout=5), dict(server.errors)

    assert ground.run(program) == (b"still here", {"ProtocolError": 1})


def test_a_silent_server_costs_exactly_the_timeout() -> None:
    ground = SimGround()

    async def program() -> Any:
        with ground.server:
            server = await exchangeaio.serve(lambda request: request, ground.address, PORT, FRAMING)
        with ground.client:
            channel = await exchangeaio.connect(ground.address, PORT, FRAMING)
        assert await channel.ask(b"there") == b"there"
        ground.host.silence()
        began, took = ground.world.now, []
        for _ in range(3):
            with pytest.raises(ChannelTimeout, match=r"no answer within 2.5 s"):
                await channel.ask(b"?", timeout=2.5)
            took.append(ground.world.now - began)
        channel.abort()
        await channel.wait_lost()
        await server.close()
        return took

    assert ground.run(program) == [2.5, 5.0, 7.5]


def test_a_reset_ends_every_call_that_waits() -> None:
    ground = SimGround()

    async def program() -> Any:
        with ground.server:
            server = await asyncio.start_server(lambda _, writer: None, ground.address, PORT)
        with ground.client:
            channel = await exchangeaio.connect(ground.address, PORT, FRAMING, limit=1)
        call = await channel.submit(b"1")
        waiting = asyncio.create_task(channel.submit(b"2"))
        await asyncio.sleep(1)
        ground.host.crash()
        ground.host.restart()
        channel.send(HEAD.pack(FAILED, 1))  # anything: the new server answers with RST
        for each in (call, waiting):
            with pytest.raises(PeerLost, match="reset by peer"):
                await each
        at = ground.world.now
        await channel.wait_lost()
        server.close()
        return at

    assert ground.run(program) == pytest.approx(1.04, abs=0.05)


def test_the_peers_end_ends_the_calls_that_wait(ground: Ground) -> None:
    async def program() -> None:
        async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            await asyncio.sleep(0.05)
            await reader.read(1000)
            writer.close()

        with ground.server:
            server = await asyncio.start_server(leave, ground.address, port(ground))
        with ground.client:
            channel = await exchangeaio.connect(ground.address, server.sockets[0].getsockname()[1], FRAMING)
        with pytest.raises(ChannelClosed, match="the peer has finished"):
            await channel.ask(b"?", timeout=5)
        await channel.close()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.1)

    ground.run(program)


def test_who_has_finished_still_gets_the_answers_to_what_it_asked(ground: Ground) -> None:
    held = Held()

    async def program() -> Any:
        with ground.server:
            server = await exchangeaio.serve(held, ground.address, port(ground), FRAMING)
        async with server:
            with ground.client:
                channel = await exchangeaio.connect(ground.address, server.port, FRAMING)
            async with channel:
                call = await channel.submit(b"a")
                channel.finish()
                await held.has(b"a")
                await asyncio.sleep(0.1)  # the FIN has come
                held.answer(b"a")
                return await call

    assert ground.run(program) == b"to a"


def test_a_client_that_never_reads_its_answers_costs_the_server_no_more_than_the_limit() -> None:
    ground, size = SimGround(), 10_000

    async def program() -> Any:
        made: list[ExchangeChannel] = []
        with ground.server:
            server = await asyncio.get_running_loop().create_server(
                lambda: ExchangeChannel(FRAMING, lambda request: request, limit=50, made=made.append), ground.address, PORT
            )
        with ground.client:
            channel = await exchangeaio.connect(ground.address, PORT, FRAMING, limit=50)
        channel.transport.pause_reading()
        for _ in range(50):
            await channel.submit(bytes(size))
        with pytest.raises(ChannelTimeout):
            await channel.ask(bytes(size), timeout=60)
        kept = made[0].unsent
        channel.abort()
        await channel.wait_lost()
        await made[0].wait_lost()
        server.close()
        await server.wait_closed()
        return kept <= 50 * (size + 20)

    assert ground.run(program) is True


def test_who_asks_on_and_reads_no_answer_is_refused_and_only_the_limit_is_kept(ground: Ground) -> None:
    limit, size = 8, 1 << 20
    framing = LengthHeader(4, limit=size + HEAD.size)
    kept: list[int] = []

    async def program() -> Any:
        made: list[ExchangeChannel] = []

        def handler(request: bytes) -> bytes:
            kept.append(made[0].unsent)
            return bytes(size)

        def accept() -> ExchangeChannel:
            return ExchangeChannel(framing, handler, limit=limit, made=made.append)

        with ground.server:
            server = await asyncio.get_running_loop().create_server(accept, ground.address, port(ground))
        with ground.client:
            _, writer = await asyncio.open_connection(
                ground.address, server.sockets[0].getsockname()[1], limit=4096
            )  # its transport stops reading after two of them
        for number in range(1, 1001):
            writer.write(framing.encode(HEAD.pack(REQUEST, number) + b"?"))
        while not made:
            await asyncio.sleep(0.01)
        with pytest.raises(ProtocolError) as caught:
            await made[0].wait_ended()
        await made[0].wait_lost()
        writer.transport.abort()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.1)
        return str(caught.value), caught.value.limit, caught.value.offset

    said, told, offset = ground.run(program)
    why = f"REQUEST {offset + 1} while 8 are without an answer, 8 of them given and unread"
    assert said == f"{why} (message {offset} of the stream, limit 8)"
    assert told == limit
    assert limit <= offset < 2 * limit + 30  # what TCP holds, and the kernel may hold much
    assert max(kept) <= limit * (size + 100)


def test_who_keeps_to_the_limit_may_read_as_slowly_as_it_likes() -> None:
    """One answer read, one request made, for ever: the answering side's transport is full all the time."""
    ground, limit, size = SimGround(), 4, 1 << 22
    framing = LengthHeader(4, limit=size + HEAD.size)

    async def program() -> Any:
        made: list[ExchangeChannel] = []
        with ground.server:
            server = await asyncio.get_running_loop().create_server(
                lambda: ExchangeChannel(framing, lambda request: request * size, limit=limit, made=made.append),
                ground.address, PORT,
            )  # fmt: skip
        with ground.client:
            reader, writer = await asyncio.open_connection(ground.address, PORT, limit=4096)

        async def ask(number: int) -> None:
            writer.write(framing.encode(HEAD.pack(REQUEST, number) + b"%d" % (number % 10)))
            await asyncio.sleep(1)

        for number in range(1, limit + 1):
            await ask(number)
        said = []
        for number in range(1, 11):
            answer = await reader.readexactly(4 + HEAD.size + size)
            said.append((HEAD.unpack_from(answer, 4), answer[4 + HEAD.size :] == b"%d" % (number % 10) * size))
            await ask(limit + number)
            assert made[0].unsent > 65_536
        alive = made[0].broken is None and not made[0]._lost.done()
        await ask(limit + 11)  # one more than the limit, with nothing read
        with pytest.raises(ProtocolError, match="REQUEST 15 while 4 are without an answer, 4 of them given and unread"):
            await made[0].wait_ended()
        writer.transport.abort()
        await made[0].wait_lost()
        server.close()
        await server.wait_closed()
        return said, alive

    said, alive = ground.run(program)
    assert said == [((ANSWER, number), True) for number in range(1, 11)]
    assert alive


def test_a_request_of_ours_that_the_peer_is_slow_to_read_is_no_answer_that_it_did_not_read() -> None:
    ground, size = SimGround(), 1 << 22
    framing = LengthHeader(4, limit=size + HEAD.size)

    async def program() -> bytes:
        made: list[ExchangeChannel] = []
        with ground.server:
            server = await asyncio.get_running_loop().create_server(
                lambda: ExchangeChannel(framing, lambda request: b"2", limit=1, made=made.append), ground.address, PORT
            )
        with ground.client:
            reader, writer = await asyncio.open_connection(ground.address, PORT, limit=4096)
        await asyncio.sleep(0.1)
        await made[0].submit(bytes(size))
        assert made[0]._paused
        writer.write(framing.encode(HEAD.pack(REQUEST, 1) + b"1+1?"))
        await asyncio.sleep(0.1)
        await reader.readexactly(4 + HEAD.size + size)
        answer = await reader.readexactly(4 + HEAD.size + 1)
        writer.transport.abort()
        made[0].abort()
        await made[0].wait_lost()
        server.close()
        await server.wait_closed()
        return answer[4:]

    assert ground.run(program) == HEAD.pack(ANSWER, 1) + b"2"


@pytest.mark.parametrize("limit", [1, 12])
def test_two_that_ask_each_other_for_big_answers_and_read_slowly_are_not_refused(limit: int) -> None:
    """Requests and answers share each stream, answers leave in any order, both transports fill up again and again."""
    ground = SimGround(seed=3, bandwidth=20_000_000)

    async def answer(request: bytes) -> bytes:
        await asyncio.sleep(len(request) % 11 / 1000)
        return request[:1] * (100_000 * (len(request) % 5))

    async def program() -> Any:
        made: list[ExchangeChannel] = []
        with ground.server:
            server = await asyncio.get_running_loop().create_server(
                lambda: ExchangeChannel(FRAMING, answer, limit=limit, made=made.append), ground.address, PORT
            )
        with ground.client:
            channel = await exchangeaio.connect(ground.address, PORT, FRAMING, answer, limit=limit)
        await asyncio.sleep(0.1)
        sides = [channel, made[0]]
        paused = []

        async def dawdle(side: ExchangeChannel) -> None:
            while True:
                await asyncio.sleep(0.05)
                paused.append(side._paused)
                side.transport.pause_reading()
                await asyncio.sleep(0.2)
                side.transport.resume_reading()

        dawdlers = [asyncio.create_task(dawdle(side)) for side in sides]
        calls = [side.ask(bytes([number]) * (number * 9973 % 100_000 + 1)) for number in range(60) for side in sides]
        answers = await asyncio.gather(*calls)
        for task in dawdlers:
            task.cancel()
        await sides[0].close()
        await sides[1].close()
        server.close()
        await server.wait_closed()
        return [len(each) for each in answers], paused.count(True)

    lengths, paused = ground.run(program)
    assert lengths == [100_000 * ((number * 9973 % 100_000 + 1) % 5) for number in range(60) for _ in range(2)]
    assert paused > 10


def test_who_asks_a_peer_that_reads_nothing_waits_when_the_transport_is_full() -> None:
    ground, size = SimGround(), 100_000

    async def program() -> Any:
        made: list[asyncio.StreamWriter] = []

        def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            made.append(writer)

        with ground.server:
            server = await asyncio.start_server(accept, ground.address, PORT)
        with ground.client:
            channel = await exchangeaio.connect(ground.address, PORT, FRAMING)
        sent = 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                while sent < 64:
                    await channel.submit(bytes(size))
                    sent += 1
                    await asyncio.sleep(0.1)
        held = channel.unsent
        channel.abort()
        await channel.wait_lost()
        made[0].transport.abort()
        server.close()
        await server.wait_closed()
        return sent, held

    sent, held = ground.run(program)
    assert sent < 30
    assert held <= 65_536 + size + 100  # the transport's high-water mark, and a request


def test_after_a_partition_the_answers_that_were_late_are_dropped_and_the_next_call_gets_its_own() -> None:
    ground = SimGround()

    async def program() -> Any:
        with ground.server:
            server = await exchangeaio.serve(lambda request: b"to " + request, ground.address, PORT, FRAMING)
        with ground.client:
            channel = await exchangeaio.connect(ground.address, PORT, FRAMING)
        await channel.ask(b"there")
        ground.wire.cut()
        for number in range(3):
            with pytest.raises(ChannelTimeout):
                await channel.ask(b"%d" % number, timeout=1)
        ground.wire.heal()
        answer = await channel.ask(b"next", timeout=60)
        await channel.close()
        await server.close()
        return answer, channel.exchange.late, channel.in_flight

    assert ground.run(program) == (b"to next", 3, 0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1 << 20), st.lists(st.integers(0, 5000), min_size=1, max_size=30), st.sampled_from([0.0, 0.05, 0.2]))
def test_over_loss_and_reordering_every_call_gets_its_own_answer(seed: int, sizes: list[int], loss: float) -> None:
    ground = SimGround(seed, loss=loss, reorder=0.1, duplicate=0.05)

    async def later(request: bytes) -> bytes:
        await asyncio.sleep(len(request) % 7 / 100)
        return request[::-1]

    async def program() -> list[bytes]:
        with ground.server:
            server = await exchangeaio.serve(later, ground.address, PORT, FRAMING, limit=4)
        with ground.client:
            channel = await exchangeaio.connect(ground.address, PORT, FRAMING, limit=4)
        answers = await asyncio.gather(*(channel.ask(bytes([number]) * size + b"!") for number, size in enumerate(sizes)))
        channel.abort()
        await channel.wait_lost()
        await asyncio.sleep(200)
        await server.close()
        return answers

    assert ground.run(program) == [b"!" + bytes([number]) * size for number, size in enumerate(sizes)]


def test_the_bytes_of_the_documentation_are_the_bytes_on_the_wire() -> None:
    page = (Path(__file__).resolve().parent.parent.parent / "docs" / "channels.md").read_text(encoding="utf-8")
    section = page.partition("## Exchange")[2].partition("## Direction")[0]
    kinds = {int(kind): name for kind, name in re.findall(r"^\| (\d) \| (\w+) \|", section, re.MULTILINE)}
    asker, answerer = Exchange(), Exchange()
    _, asked = asker.ask(b"1+1?")
    answerer.received(asked)
    said = [FRAMING.encode(message).hex() for message in (asked, answerer.answer(1, b"2"))]
    shown = re.findall(r"^    (?:asker|answerer) +([0-9a-f ]+?)   ", section, re.MULTILINE)
    assert ([line.replace(" ", "") for line in shown], kinds) == (said, KINDS)
