"""Connecting anew, in asyncio and with threads: what was unacknowledged is told once, and never sent a second time.

How long the waits are, and hosts that vanish, need virtual time; what needs neither runs on all grounds.
"""

import asyncio
import random
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin.channels import long, longblocking
from synfin.channels.backoff import Backoff
from synfin.channels.errors import ChannelClosed, ChannelTimeout, PeerDead, PeerLost, ProtocolError
from synfin.channels.framing import LengthHeader
from synfin.channels.heartbeat import MILLISECOND, SECOND
from synfin.channels.life import Life, LifeSettings
from synfin.channels.long import LongChannel, Reconnecting
from synfin.channels.longblocking import LongSocket
from synfin.channels.reconnect import Keeper
from synfin.channels.reconnectblocking import BlockingReconnecting
from synfin.engine.errors import UsageError
from tests.channels.grounds import Ground, SimGround
from tests.channels.test_long_faults import in_a_world

PORT = 7000
FRAMING = LengthHeader(4)
QUICK = LifeSettings(interval=10 * SECOND, timeout=2 * SECOND, misses=3)  # dead after 16 s
BOUND = QUICK.detection / SECOND


def quick(seed: int = 1) -> Backoff:
    return Backoff(random.Random(seed), MILLISECOND, MILLISECOND)


# The pure part


class Made:
    """A connection that only has a life."""

    def __init__(self) -> None:
        self.life = Life(LifeSettings(), 0)
        self.told = False
        self.aborted = 0

    @property
    def alive(self) -> bool:
        return self.life.error is None and not self.life.peer_goodbye

    def abort(self) -> None:
        self.aborted += 1
        self.life.give_up("this side has given up")


def kept(attempts: int | None = None) -> tuple[Keeper[Made], Made]:
    keeper: Keeper[Made] = Keeper(quick(), attempts)
    assert keeper.present() is None
    assert keeper.leaving() is None
    made = keeper.came(Made())
    assert keeper.present() is made
    return keeper, made


def test_what_broke_is_told_once_and_then_there_is_none() -> None:
    keeper, made = kept()
    made.life.send(b"a")
    made.life.ended(PeerLost("reset"))
    assert keeper.present() is None
    with pytest.raises(PeerLost, match="reset; 1 message not acknowledged") as caught:
        keeper.leaving()
    assert caught.value.unacknowledged == (b"a",)
    assert (made.aborted, made.told) == (1, True)
    assert (keeper.present(), keeper.leaving(), keeper.made) == (None, None, 1)


def test_what_was_told_before_or_is_acknowledged_is_not_told_again() -> None:
    keeper, made = kept()
    made.life.send(b"a")
    made.life.ended(PeerLost("reset"))
    made.told = True
    assert (keeper.leaving(), made.aborted) == (None, 1)
    keeper, made = kept()
    made.life.ended(PeerLost("reset"))
    assert (keeper.leaving(), made.aborted) == (None, 1)


def test_an_end_by_another_error_tells_the_unacknowledged_too() -> None:
    keeper, made = kept()
    made.life.send(b"a")
    error = ProtocolError("nonsense", offset=3)
    made.life.ended(error)
    with pytest.raises(PeerLost, match=r"the connection ended: nonsense \(message 3 of the stream\); 1 message") as caught:
        keeper.leaving()
    assert caught.value.__cause__ is error


def test_what_the_peer_said_goodbye_to_is_left_to_be_closed_in_order() -> None:
    keeper, made = kept()
    made.life.send(b"a")
    made.life.received(b"\5" + bytes(8))
    assert keeper.present() is None
    assert keeper.leaving() is made
    assert (made.aborted, keeper.leaving()) == (0, None)


def test_attempts_in_a_row_are_counted_from_anew_after_each_success_and_each_time_they_are_used_up() -> None:
    keeper, _ = kept(attempts=3)
    failure = ConnectionRefusedError("refused")
    for _ in range(2):
        assert [0 <= keeper.failed(failure) <= MILLISECOND for _ in range(2)] == [True, True]
        with pytest.raises(PeerLost, match="no connection in 3 attempts: refused") as caught:
            keeper.failed(failure)
        assert caught.value.__cause__ is failure
    for _ in range(2):
        keeper.failed(failure)
    keeper.came(Made())
    for _ in range(2):
        keeper.failed(failure)
    assert keeper.made == 2


def test_without_a_number_of_attempts_they_go_on() -> None:
    keeper, _ = kept()
    assert max(keeper.failed(ChannelTimeout("no answer")) for _ in range(100)) <= MILLISECOND


def test_after_the_end_there_is_none() -> None:
    keeper, made = kept()
    assert keeper.end() is made
    assert keeper.end() is None
    assert keeper.ending
    with pytest.raises(ChannelClosed, match="this side has closed"):
        keeper.present()


@pytest.mark.parametrize("attempts", [0, -1])
def test_fewer_attempts_than_one_are_refused(attempts: int) -> None:
    with pytest.raises(UsageError, match=f"attempts are 1 or more, not {attempts}"):
        Keeper(quick(), attempts)


# Threads


class Server:
    """Answers each connection by what `serve` does with it, one after the other, in a thread."""

    def __init__(self, ground: Ground, serve: Callable[[LongSocket], None]) -> None:
        self._serve = serve
        with ground.server:
            self.listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
            self.thread = threading.Thread(target=self._run)
            self.thread.start()
        self.address = self.listener.getsockname()

    def _run(self) -> None:
        while True:
            accepted, _ = self.listener.accept()
            channel = LongSocket(accepted, FRAMING, QUICK)
            try:
                self._serve(channel)
                channel.close()
            except PeerLost:
                channel.abort()
            except StopIteration:
                channel.close()
                return

    def close(self) -> None:
        self.thread.join()
        self.listener.close()


def taking(into: list[bytes]) -> Callable[[LongSocket], None]:
    """Takes messages up to `end`."""

    def take(channel: LongSocket) -> None:
        for message in channel:
            if message == b"end":
                raise StopIteration
            into.append(message)

    return take


def keeper_of(
    ground: Ground, address: Any, backoff: Backoff | None = None, attempts: int | None = None
) -> BlockingReconnecting:
    def dial() -> LongSocket:
        with ground.client:
            return longblocking.connect(address, FRAMING, QUICK, timeout=1)

    return BlockingReconnecting(dial, backoff or quick(), attempts=attempts)


def test_threads_connect_anew_after_a_death_and_are_told_what_was_lost() -> None:
    ground = SimGround()
    taken: list[bytes] = []

    def program() -> Any:
        server = Server(ground, taking(taken))
        keeper = keeper_of(ground, server.address, Backoff(random.Random(3), 100 * MILLISECOND, 5 * SECOND))
        channel = keeper.channel()
        assert keeper.channel() is channel
        channel.send(b"1")
        channel.flush()
        ground.host.silence()
        channel.send(b"2")
        ground.host.speak(at=ground.world.now + 60)
        time.sleep(BOUND + 1)
        with pytest.raises(PeerDead) as caught:
            keeper.channel()  # nobody was told yet
        again = keeper.channel()
        back = ground.world.now
        again.send(b"3")
        again.send(b"end")
        keeper.close()
        with pytest.raises(ChannelClosed):
            keeper.channel()
        server.close()
        return caught.value.unacknowledged, back, keeper.made

    unacknowledged, back, made = in_a_world(ground, program)
    assert (unacknowledged, made) == ((b"2",), 2)
    assert 60 < back < 60.1 + 5 + 1 + 0.1  # within one backoff and one attempt after the host is back
    assert taken == [b"1", b"3"]  # what was told is not sent again


@pytest.mark.parametrize("fault", ["cut", "abort", "goodbye", "crash"])
@pytest.mark.parametrize("seed", range(1, 6))
def test_threads_lose_no_message_silently_and_none_is_taken_twice(fault: str, seed: int) -> None:
    """Each message was taken, or told to be unacknowledged; those told may have been taken, once. Every 50 messages a fault."""
    ground = SimGround(seed)
    taken: list[bytes] = []
    short = LifeSettings(interval=SECOND, timeout=SECOND, misses=1)

    def take(channel: LongSocket) -> None:
        for number, message in enumerate(channel):
            if message == b"end":
                raise StopIteration
            taken.append(message)
            if number == 40:
                if fault == "abort":
                    channel.abort()
                elif fault == "goodbye":
                    return

    def program() -> Any:
        told: list[bytes] = []
        servers = [Server(ground, take)]
        server = servers[0]
        keeper = BlockingReconnecting(lambda: longblocking.connect(server.address, FRAMING, short, timeout=1), quick(seed))
        sent = []
        with ground.client:
            for number in range(200):
                message = b"%d" % number
                sent.append(message)
                while True:
                    try:
                        keeper.channel().send(message)
                        break
                    except PeerLost as error:
                        told += error.unacknowledged
                    except ChannelClosed:
                        pass  # the peer has said goodbye in between
                if number % 50 == 30 and fault == "cut":
                    ground.wire.cut()
                    ground.wire.heal(at=ground.world.now + 5)
                elif number % 50 == 30 and fault == "crash":
                    ground.host.crash()
                    ground.host.restart()
                    servers.append(Server(ground, take))
                if number % 7 == seed:
                    time.sleep(0.01)
            time.sleep(10)  # the wire is whole again, and the heartbeats have found out what is dead
            while b"end" not in sent:
                try:
                    keeper.channel().flush()
                    keeper.channel().send(b"end")
                    sent.append(b"end")
                except PeerLost as error:
                    told += error.unacknowledged
            keeper.close()
        for each in servers:
            each.close()  # its thread has ended, by `end` or by the crash
        return sent, told, keeper.made

    sent, told, made = ground.run_blocking(program)
    assert set(sent) <= {*taken, *told, b"end"}
    assert len(taken) == len(set(taken))
    assert told == sorted(set(told), key=int)
    assert made > 1 or fault == "cut"


def test_a_slow_reader_is_no_reason_to_connect_anew() -> None:
    ground = SimGround()
    small = LifeSettings(interval=SECOND, timeout=SECOND, misses=1, window=2, queue=2)

    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))

        def dial() -> LongSocket:
            with ground.client:
                return longblocking.connect((ground.address, PORT), FRAMING, small, timeout=1)

        keeper = BlockingReconnecting(dial, quick())
        channel = keeper.channel()
        other = LongSocket(listener.accept()[0], FRAMING, small)
        for _ in range(2):
            channel.send(b"not taken")
        with pytest.raises(ChannelTimeout, match="no room to send within 30 s"):
            keeper.channel().send(b"no room", timeout=30)
        same = keeper.channel() is channel
        with pytest.raises(PeerLost, match="not all was acknowledged within 3 s of closing; 2 messages") as caught:
            keeper.close(timeout=3)
        other.close()
        listener.close()
        return same, keeper.made, caught.value.unacknowledged

    assert in_a_world(ground, program) == (True, 1, (b"not taken", b"not taken"))


def test_threads_give_up_after_their_attempts(ground: Ground) -> None:
    def program() -> Any:
        with keeper_of(ground, (ground.address, nobody(ground)), attempts=3) as keeper:
            for _ in range(2):
                with pytest.raises(PeerLost, match="no connection in 3 attempts") as caught:
                    keeper.channel()
        return type(caught.value.__cause__), keeper.made

    assert ground.run_blocking(program) == (ConnectionRefusedError, 0)


def test_a_thread_waits_for_a_connection_no_longer_than_it_said_and_one_dial() -> None:
    ground = SimGround()

    def program() -> Any:
        keeper = keeper_of(ground, (ground.address, PORT), Backoff(random.Random(1), 100 * SECOND, 100 * SECOND))
        ground.host.silence()
        times = []
        for timeout in (0, 2.5, 4):
            began = time.monotonic()
            with pytest.raises(ChannelTimeout, match=f"no connection within {timeout} s"):
                keeper.channel(timeout)
            times.append(time.monotonic() - began)
        keeper.close()
        return times

    assert in_a_world(ground, program) == [pytest.approx(1.0), pytest.approx(2.5), pytest.approx(4.0)]


def test_a_thread_that_waits_behind_another_gives_up_in_its_own_time_and_close_ends_both() -> None:
    ground = SimGround()

    def program() -> Any:
        keeper = keeper_of(ground, (ground.address, PORT), Backoff(random.Random(1), 100 * SECOND, 100 * SECOND))
        told: list[Any] = []

        def ask() -> None:
            with pytest.raises(ChannelClosed, match="this side has closed"):
                keeper.channel()
            told.append(time.monotonic() - began)

        first = threading.Thread(target=ask)
        first.start()
        time.sleep(0.5)
        began = time.monotonic()
        with pytest.raises(ChannelTimeout, match="no connection within 2 s"):
            keeper.channel(2)
        waited = time.monotonic() - began
        keeper.close()
        first.join()
        return waited, told[0] < 2.1, keeper.made

    assert in_a_world(ground, program) == (pytest.approx(2.0), True, 0)


def test_threads_that_ask_at_once_have_the_same_connection(ground: Ground) -> None:
    def program() -> Any:
        taken: list[bytes] = []
        server = Server(ground, taking(taken))
        keeper = keeper_of(ground, server.address)
        found: list[LongSocket] = []
        asking = [threading.Thread(target=lambda: found.append(keeper.channel(5))) for _ in range(5)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        found[0].send(b"end")
        keeper.close()
        server.close()
        return len(set(map(id, found))), len(found), keeper.made

    assert ground.run_blocking(program) == (1, 5, 1)


def test_a_goodbye_of_the_servers_is_answered_in_order_and_the_next_connection_made(ground: Ground) -> None:
    """What the server still has to say can be received, and no reset meets it."""
    errors: list[Any] = []

    def bye(channel: LongSocket) -> None:
        for message in channel:
            channel.send(message)
            if message == b"end":
                raise StopIteration
            break
        try:
            channel.close()
        finally:
            errors.append(channel.life.error)

    def program() -> Any:
        server = Server(ground, bye)
        keeper = keeper_of(ground, server.address)
        channel = keeper.channel()
        channel.send(b"1")
        while not channel.life.peer_goodbye:
            time.sleep(0.01)
        assert channel.receive() == b"1"
        again = keeper.channel()
        assert again is not channel
        again.send(b"end")
        assert again.receive(5) == b"end"
        keeper.close()
        server.close()
        return keeper.made, [type(each) for each in errors]

    assert ground.run_blocking(program) == (2, [ChannelClosed])


# asyncio


def test_reconnecting_waits_with_full_jitter_and_tells_what_was_lost() -> None:
    ground = SimGround()
    taken: list[bytes] = []

    async def take(channel: LongChannel) -> None:
        async for message in channel:
            taken.append(message)

    async def program() -> Any:
        with ground.server:
            server = await long.serve(take, ground.address, PORT, FRAMING, QUICK)

        def dial() -> Awaitable[LongChannel]:
            return long.connect(ground.address, PORT, FRAMING, QUICK, timeout=1)

        with ground.client:
            keeper = Reconnecting(dial, Backoff(random.Random(3), 100 * MILLISECOND, 5 * SECOND))
            channel = await keeper.channel()
            await channel.send(b"1")
            await channel.flush()
            ground.host.silence()
            await channel.send(b"2")
            ground.host.speak(at=ground.world.now + 60)
            await asyncio.sleep(BOUND + 1)
            with pytest.raises(PeerDead) as caught:
                await keeper.channel()  # nobody was told yet
            again = await keeper.channel()
            back = ground.world.now
            await again.send(b"3")
            await keeper.close()
            with pytest.raises(ChannelClosed):
                await keeper.channel()
        await server.close()
        return caught.value.unacknowledged, back, keeper.made

    unacknowledged, back, made = ground.run(program)
    assert (unacknowledged, made) == ((b"2",), 2)
    assert 60 < back < 60.1 + 5 + 1 + 0.1  # within one backoff and one attempt after the host is back
    assert taken == [b"1", b"3"]  # what was told is not sent again


def test_tasks_give_up_after_their_attempts(ground: Ground) -> None:
    async def program() -> Any:
        with ground.client:
            keeper = Reconnecting(lambda: long.connect(ground.address, nobody(ground), FRAMING), quick(), attempts=3)
            for _ in range(2):
                with pytest.raises(PeerLost, match="no connection in 3 attempts") as caught:
                    await keeper.channel()
            await keeper.close()
        return type(caught.value.__cause__), keeper.made

    assert ground.run(program) == (ConnectionRefusedError, 0)


def nobody(ground: Ground) -> int:
    """A port at which nobody listens."""
    with ground.server, socket.socket() as sock:
        sock.bind((ground.address, 0))
        return int(sock.getsockname()[1])


def test_the_waits_between_attempts_are_the_backoffs_in_asyncio_and_with_threads() -> None:
    expected = Backoff(random.Random(5), SECOND, 100 * SECOND)
    total = sum(expected.next() for _ in range(6)) / SECOND

    async def tasks() -> float:
        dials = iter(range(6))

        async def dial() -> NoReturn:
            if next(dials, None) is None:
                raise KeyError
            raise ConnectionRefusedError

        with pytest.raises(KeyError):
            await Reconnecting(dial, Backoff(random.Random(5), SECOND, 100 * SECOND)).channel()
        return float(ground.world.now)

    def threads() -> float:
        dials = iter(range(6))

        def dial() -> NoReturn:
            if next(dials, None) is None:
                raise KeyError
            raise ConnectionRefusedError

        with pytest.raises(KeyError):
            BlockingReconnecting(dial, Backoff(random.Random(5), SECOND, 100 * SECOND)).channel()
        return float(ground.world.now)

    ground = SimGround()
    assert ground.run(tasks) == pytest.approx(total)
    assert ground.run_blocking(threads) == pytest.approx(total)
    assert total > 1


def test_a_connection_that_came_about_lets_the_next_backoff_begin_anew(ground: Ground) -> None:
    backoff = quick()
    fails = iter([True, True, True, False])

    async def hold(channel: LongChannel) -> None:
        async for _ in channel:
            pass

    async def program() -> int:
        with ground.server:
            server = await long.serve(hold, ground.address, PORT if ground.virtual else 0, FRAMING, QUICK)

        async def dial() -> LongChannel:
            if next(fails):
                raise ConnectionRefusedError
            return await long.connect(ground.address, server.port, FRAMING, QUICK)

        with ground.client:
            keeper = Reconnecting(dial, backoff)
            await keeper.channel()
        await keeper.close()
        await server.close()
        return backoff.failures

    assert ground.run(program) == 0


def test_closing_ends_the_wait_of_a_task_that_asks_for_a_connection() -> None:
    ground = SimGround()

    async def program() -> Any:
        with ground.client:
            keeper = Reconnecting(
                lambda: long.connect(ground.address, PORT, FRAMING), Backoff(random.Random(1), 99 * SECOND, 99 * SECOND)
            )
            asking = asyncio.create_task(keeper.channel())
            await asyncio.sleep(1)
            await keeper.close()
            with pytest.raises(ChannelClosed, match="this side has closed"):
                await asking
        return ground.world.now

    assert ground.run(program) == pytest.approx(1.0)


def test_a_goodbye_of_the_servers_is_answered_in_order_in_asyncio_too(ground: Ground) -> None:
    async def program() -> Any:
        async def bye(channel: LongChannel) -> None:
            await channel.send(await channel.receive())

        with ground.server:
            server = await long.serve(bye, ground.address, PORT if ground.virtual else 0, FRAMING, QUICK)
        with ground.client:
            keeper = Reconnecting(lambda: long.connect(ground.address, server.port, FRAMING, QUICK), quick())
            channel = await keeper.channel()
            await channel.send(b"1")
            while not channel.life.peer_goodbye:
                await asyncio.sleep(0.01)
            assert await channel.receive() == b"1"
            again = await keeper.channel()
            await again.send(b"2")
            assert await again.receive(5) == b"2"
        await keeper.close()
        while server.connections:
            await asyncio.sleep(0.01)
        await server.close()
        return keeper.made, dict(server.errors), type(channel.life.error)

    assert ground.run(program) == (2, {}, ChannelClosed)


# Nothing lost silently, nothing taken twice: tasks, and a host that crashes


class Ledger:
    """What one run of a sender and of servers that fail says: each message was taken, or told to be unacknowledged."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.taken: list[bytes] = []
        self.told: list[bytes] = []
        self.made = 0

    def check(self) -> None:
        """Those told may have been taken, once."""
        assert len(self.sent) == 200
        assert set(self.sent) <= {*self.taken, *self.told}
        assert len(self.taken) == len(set(self.taken))
        assert self.taken == sorted(self.taken, key=int)
        assert self.told == sorted(set(self.told), key=int)


SHORT = LifeSettings(interval=SECOND, timeout=SECOND, misses=1)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1 << 16), st.sampled_from(["cut", "abort", "goodbye", "crash"]), st.sampled_from([0.0, 0.05]),
    st.lists(st.integers(0, 199), min_size=1, max_size=4, unique=True),
)  # fmt: skip
def test_tasks_lose_no_message_silently_and_none_is_taken_twice(seed: int, fault: str, loss: float, faults: list[int]) -> None:
    ground, ledger = SimGround(seed, loss=loss), Ledger()

    async def take(channel: LongChannel) -> None:
        count = 0
        async for message in channel:
            ledger.taken.append(message)
            count += 1
            if count == 40 and fault == "abort":
                channel.abort()
            elif count == 40 and fault == "goodbye":
                return

    async def listen() -> Any:
        with ground.server:
            return await long.serve(take, ground.address, PORT, FRAMING, SHORT)

    async def dial() -> LongChannel:
        with ground.client:
            return await long.connect(ground.address, PORT, FRAMING, SHORT, timeout=1)

    async def program() -> None:
        servers = [await listen()]
        keeper = Reconnecting(dial, quick(seed))
        for number in range(200):
            ledger.sent.append(b"%d" % number)
            while True:
                try:
                    await (await keeper.channel()).send(ledger.sent[-1])
                    break
                except PeerLost as error:
                    ledger.told += error.unacknowledged
                except ChannelClosed:
                    pass  # the peer has said goodbye in between
            if number in faults and fault == "cut":
                ground.wire.cut()
                ground.wire.heal(at=ground.world.now + 5)
            elif number in faults and fault == "crash":
                ground.host.crash()
                ground.host.restart()
                servers.append(await listen())
            if number % 7 == seed % 7:
                await asyncio.sleep(0.01)
        await asyncio.sleep(10)  # the wire is whole again, and the heartbeats have found out what is dead
        while True:
            try:
                await (await keeper.channel()).flush(60)
                await keeper.close()
                break
            except PeerLost as error:
                ledger.told += error.unacknowledged
        ledger.made = keeper.made
        for server in servers:
            await server.close()

    ground.run(program)
    ledger.check()
    assert ledger.made > 1 or fault == "cut"
