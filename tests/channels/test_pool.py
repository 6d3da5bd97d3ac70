"""Pools of long connections: their size, the queue, idleness, checks, replacement, closing; in asyncio and with threads.

What is about faults or exact times runs in virtual time only: those tests make a SimGround themselves."""

import asyncio
import errno
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synfin.channels import long, longblocking
from synfin.channels.errors import ChannelTimeout, PeerLost, PoolClosed
from synfin.channels.heartbeat import NEVER, SECOND
from synfin.channels.life import LifeSettings
from synfin.channels.long import LongChannel
from synfin.channels.pool import Ledger, PoolMetrics
from synfin.channels.poolaio import Pool
from synfin.channels.poolblocking import BlockingPool
from synfin.engine.errors import UsageError
from tests.channels.grounds import Ground, SimGround
from tests.channels.test_long import FRAMING, PORT, QUICK, echo, serving


async def running(ground: Ground, size: int, **options: Any) -> tuple[Any, Pool]:
    with ground.server:
        server = await long.serve(echo, ground.address, PORT if ground.virtual else 0, FRAMING, QUICK)

    port = server.port

    async def make() -> LongChannel:
        with ground.client:
            return await long.connect(ground.address, port, FRAMING, QUICK, timeout=5)

    return server, Pool(make, size, **options)


async def ask(pool: Pool, number: int) -> bytes:
    async with pool.use(timeout=20) as channel:
        await channel.send(b"%d" % number)
        return await channel.receive(timeout=20)


def test_many_users_share_few_connections(ground: Ground) -> None:
    async def program() -> Any:
        server, pool = await running(ground, 3)
        found = await asyncio.gather(*(ask(pool, number) for number in range(50)))
        figures = pool.metrics
        await pool.close()
        await server.close()
        return found, figures.made, figures.in_use, figures.waiting, figures.idle, figures.served, pool.metrics.closed

    assert ground.run(program) == ([b"%d" % number for number in range(50)], 3, 0, 0, 3, 50, 3)


def test_who_asks_first_is_served_first_and_the_waits_are_counted() -> None:
    ground = SimGround()
    order: list[int] = []

    async def program() -> Any:
        server, pool = await running(ground, 1)

        async def hold(number: int) -> None:
            async with pool.use():
                order.append(number)
                await asyncio.sleep(1)

        await asyncio.gather(*(hold(number) for number in range(5)))
        figures = pool.metrics
        await pool.close()
        await server.close()
        return figures.longest_wait / SECOND, figures.waited / SECOND

    longest, waited = ground.run(program)
    assert order == [0, 1, 2, 3, 4]
    assert longest == pytest.approx(4.02)  # four users of 1 s each, and the handshake
    assert waited == pytest.approx(1.02 + 2.02 + 3.02 + 4.02)


def test_a_waiter_gives_up_after_its_time_and_nobody_loses_a_slot() -> None:
    ground = SimGround()

    async def program() -> Any:
        server, pool = await running(ground, 1)
        held = await pool.acquire()
        began = ground.world.now
        with pytest.raises(ChannelTimeout, match="no connection of the pool within 2 s"):
            await pool.acquire(timeout=2)
        took = ground.world.now - began
        waiting = asyncio.create_task(pool.acquire())
        cancelled = asyncio.create_task(pool.acquire())
        await asyncio.sleep(1)
        pool.release(held)
        cancelled.cancel()
        again = await waiting
        pool.release(again)
        await asyncio.gather(cancelled, return_exceptions=True)
        figures = pool.metrics
        await pool.close()
        await server.close()
        return took, again is held, figures.timeouts, figures.in_use, figures.idle

    assert ground.run(program) == (pytest.approx(2.0), True, 2, 0, 1)


def test_a_waiter_that_is_cancelled_with_the_slot_in_its_hand_passes_it_on(ground: Ground) -> None:
    async def program() -> bool:
        server, pool = await running(ground, 1)
        held = await pool.acquire()
        first, second = asyncio.create_task(pool.acquire()), asyncio.create_task(pool.acquire())
        await asyncio.sleep(0.1)
        pool.release(held)
        first.cancel()
        again = await asyncio.wait_for(second, 5)
        pool.release(again)
        await pool.close()
        await server.close()
        return first.cancelled() and again is held

    assert ground.run(program)


def test_what_nobody_needs_is_closed_after_the_idle_limit_and_what_is_used_is_kept() -> None:
    ground = SimGround()

    async def program() -> Any:
        server, pool = await running(ground, 4, idle_limit=30)
        await asyncio.gather(*(ask(pool, number) for number in range(4)))
        for _ in range(10):
            await asyncio.sleep(10)
            await ask(pool, 1)
        figures, open_ = pool.metrics, server.connections
        await asyncio.sleep(31)
        later = server.connections
        await pool.close()
        await server.close()
        return figures.made, figures.expired, figures.idle, open_, later, server.errors

    assert ground.run(program) == (4, 3, 1, 1, 0, {})


@pytest.mark.parametrize("fault", ["crash", "silence"])
def test_a_broken_connection_is_found_before_use_and_replaced(fault: str) -> None:
    ground = SimGround()

    async def program() -> Any:
        server, pool = await running(ground, 2, check=1)
        await asyncio.gather(ask(pool, 1), ask(pool, 2))
        if fault == "crash":
            ground.host.crash()
            ground.host.restart()
            with ground.server:
                again = await long.serve(echo, ground.address, PORT, FRAMING, QUICK)
        else:
            ground.host.silence()
            ground.host.speak(at=ground.world.now + 4)
            again = server
        await asyncio.sleep(2)
        answer = await ask(pool, 3)
        figures = pool.metrics
        await pool.close()
        await again.close()
        if again is not server:
            await server.close()
        return answer, figures.broken, figures.made

    assert ground.run(program) == (b"3", 2, 3)


def test_a_connection_left_by_an_exception_or_with_an_answer_unread_is_not_given_again(ground: Ground) -> None:
    async def program() -> Any:
        server, pool = await running(ground, 1)
        with pytest.raises(LookupError):
            async with pool.use() as channel:
                await channel.send(b"the answer is still to come")
                raise LookupError
        async with pool.use() as channel:
            await channel.send(b"nobody reads the answer")
            await asyncio.sleep(0.2)
        answer = await ask(pool, 7)
        figures = pool.metrics
        await pool.close()
        await server.close()
        return answer, figures.made, figures.broken

    assert ground.run(program) == (b"7", 3, 2)


def test_a_pool_without_an_idle_limit_keeps_its_connections_and_needs_no_timer() -> None:
    ground = SimGround()

    async def program() -> Any:
        server, pool = await running(ground, 2, idle_limit=None, check=None)
        await asyncio.gather(ask(pool, 1), ask(pool, 2))
        timer = pool._timer
        await asyncio.sleep(1_000)
        answer, figures = await ask(pool, 3), pool.metrics
        await pool.close()
        await server.close()
        return timer, answer, figures.made, figures.idle

    assert ground.run(program) == (None, b"3", 2, 2)


def test_a_connection_that_its_user_saw_break_is_not_kept(ground: Ground) -> None:
    async def program() -> Any:
        server, pool = await running(ground, 1)
        await ask(pool, 1)
        async with pool.use() as channel:
            await server.close()
            with pytest.raises(PeerLost):
                await channel.receive(timeout=20)
        figures = pool.metrics
        await pool.close()
        return figures.idle, figures.broken, figures.closed, figures.in_use

    assert ground.run(program) == (0, 1, 1, 0)


def test_a_connection_that_cannot_be_made_costs_no_slot(ground: Ground) -> None:
    async def program() -> Any:
        async def make() -> LongChannel:
            return await long.connect(ground.address, 1, FRAMING)

        pool = Pool(make, 1)
        with ground.client:
            for _ in range(3):
                with pytest.raises(ConnectionRefusedError):
                    await pool.acquire(timeout=1)
        figures = pool.metrics
        await pool.close()
        return figures.in_use, figures.made

    assert ground.run(program) == (0, 0)


@pytest.mark.parametrize(
    "error", [TimeoutError(errno.ETIMEDOUT, "timed out"), ChannelTimeout("port 7000 did not answer within 5 s")]
)
def test_why_no_connection_could_be_made_is_told_as_it_is(error: Exception) -> None:
    async def make() -> LongChannel:
        raise error

    def make_too() -> longblocking.LongSocket:
        raise error

    async def program() -> Any:
        pool = Pool(make, 1)
        with pytest.raises(TimeoutError) as caught:
            await pool.acquire(timeout=60)
        await pool.close()
        return caught.value

    assert asyncio.run(program()) is error
    with BlockingPool(make_too, 1) as pool, pytest.raises(TimeoutError) as caught:
        pool.acquire(timeout=60)
    assert caught.value is error


def test_closing_drains_the_users_and_ends_those_that_stay_too_long() -> None:
    ground = SimGround()

    async def program() -> Any:
        server, pool = await running(ground, 2)
        ended: list[str] = []

        async def work(seconds: float) -> None:
            try:
                async with pool.use() as channel:
                    await asyncio.sleep(seconds)
                    await channel.send(b"still there?")
                ended.append("well")
            except Exception as error:
                ended.append(type(error).__name__)

        tasks = [asyncio.create_task(work(seconds)) for seconds in (2, 50, 1)]
        await asyncio.sleep(1)
        began = ground.world.now
        await pool.close(timeout=5)
        took = ground.world.now - began
        with pytest.raises(PoolClosed):
            await pool.acquire()
        await asyncio.gather(*tasks)
        figures = pool.metrics
        await server.close()
        return took, ended, figures.in_use, figures.idle, figures.made - figures.closed

    took, ended, *figures = ground.run(program)
    assert took == pytest.approx(5.0, abs=0.01)
    assert ended == ["PoolClosed", "well", "ChannelClosed"]
    assert figures == [0, 0, 0]


@given(st.integers(1, 4), st.lists(st.sampled_from(["ask", "free", "withdraw"]), max_size=60))
def test_the_books_never_give_more_slots_than_there_are_and_keep_the_order(size: int, calls: list[str]) -> None:
    ledger: Ledger[int] = Ledger(size)
    tickets: list[Any] = []  # all that live, in the order in which they asked
    for now, call in enumerate(calls):
        held = [ticket for ticket in tickets if ticket.granted]
        if call == "ask":
            tickets.append(ledger.ask(now))
        elif call == "free" and held:
            tickets.remove(held[0])
            ledger.free(now)
        elif call == "withdraw" and tickets:
            ledger.withdraw(tickets.pop(now % len(tickets)), now)
        granted = [ticket.granted for ticket in tickets]
        assert granted == sorted(granted, reverse=True)  # nobody is served before one who asked earlier
        assert sum(granted) == min(size, len(tickets)) == ledger.in_use
        assert ledger.metrics().waiting == len(tickets) - sum(granted)


def test_the_books_count_each_slot_and_each_connection() -> None:
    ledger: Ledger[str] = Ledger(2, idle_limit=10, check=3)
    second = SECOND
    for name in ("a", "b"):
        assert ledger.ask(0).granted
        ledger.give(name, made=True)
    waiting, late = ledger.ask(0), ledger.ask(1 * second)
    assert ledger.metrics() == PoolMetrics(in_use=2, waiting=2, made=2, served=2)
    assert ledger.withdraw(late, 2 * second) is None
    assert ledger.take_back("a", 4 * second, fit=True)
    assert ledger.free(4 * second) is waiting
    assert ledger.metrics() == PoolMetrics(
        in_use=2, idle=1, made=2, served=3, timeouts=1, waited=4 * second, longest_wait=4 * second
    )
    assert ledger.take_idle() == ("a", 4 * second)
    assert [ledger.check_due(4 * second, at * second) for at in (6, 7, 8)] == [False, True, True]
    ledger.give("a")
    assert list(ledger.used) == ["b", "a"]
    with pytest.raises(KeyError):
        ledger.take_back("c", 5 * second, fit=True)
    assert not ledger.take_back("b", 5 * second, fit=False)
    assert ledger.take_back("a", 6 * second, fit=True)
    assert (ledger.free(6 * second), ledger.free(6 * second), ledger.in_use) == (None, None, 0)
    assert ledger.next_deadline() == 16 * second
    assert ledger.expired(16 * second - 1) == []
    assert ledger.expired(16 * second) == ["a"]
    assert ledger.next_deadline() == NEVER
    assert ledger.metrics() == PoolMetrics(
        made=2, closed=2, broken=1, expired=1, served=3, timeouts=1, waited=4 * second, longest_wait=4 * second
    )


def test_the_books_of_a_closed_pool_give_nothing_and_keep_nothing() -> None:
    ledger: Ledger[str] = Ledger(3)
    for name in ("a", "b", "c"):
        ledger.ask(0)
        ledger.give(name, made=True)
    for name in ("a", "b"):
        assert ledger.take_back(name, 1, fit=True)
        ledger.free(1)
    taken = ledger.take_idle()
    assert taken == ("b", 1) and ledger.put_back(*taken)
    assert ledger.take_idle() == ("b", 1)
    assert not ledger.check_due(1, NEVER - 1)
    assert ledger.close() == ["a"]
    assert not ledger.put_back("b", 1)
    assert not ledger.take_back("c", 2, fit=True)
    assert ledger.take_idle() is None
    with pytest.raises(PoolClosed):
        ledger.ask(3)
    assert (ledger.metrics().closed, ledger.metrics().broken, ledger.metrics().idle) == (3, 0, 0)


@pytest.mark.parametrize(("size", "idle", "check"), [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, None, None), (1, -1, None)])
def test_a_pool_that_cannot_be_is_refused(size: int, idle: float | None, check: float | None) -> None:
    with pytest.raises(UsageError, match=f"a pool has 1 connection or more and positive times, not {size}, {idle}, {check}"):
        Ledger(size, idle, check)


# --- with threads


def serve_many(ground: Ground, count: int) -> tuple[Any, list[threading.Thread]]:
    import socket  # noqa: PLC0415  as the ground has it

    with ground.server:
        listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
        threads = [threading.Thread(target=serving, args=(listener, QUICK, 10_000)) for _ in range(count)]
        for thread in threads:
            thread.start()
    return listener, threads


def test_threads_share_few_connections(ground: Ground) -> None:
    def program() -> Any:
        listener, servers = serve_many(ground, 2)
        address, found = listener.getsockname(), []

        def make() -> longblocking.LongSocket:
            with ground.client:
                return longblocking.connect(address, FRAMING, QUICK, timeout=5)

        pool = BlockingPool(make, 2)

        def work(number: int) -> None:
            for _ in range(5):
                with pool.use(timeout=10) as channel:
                    channel.send(b"%d" % number)
                    found.append(channel.receive(timeout=10) == b"%d" % number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        figures = pool.metrics
        pool.close()
        for server in servers:
            server.join()
        listener.close()
        with pytest.raises(PoolClosed):
            pool.acquire()
        return found, figures.made, figures.served, figures.in_use, pool.metrics.closed

    assert ground.run_blocking(program) == ([True] * 30, 2, 30, 0, 2)


def test_a_thread_gives_up_waiting_and_idle_connections_are_closed_by_reaping() -> None:
    ground = SimGround()

    def program() -> Any:
        listener, servers = serve_many(ground, 1)
        with ground.client:
            pool = BlockingPool(
                lambda: longblocking.connect((ground.address, PORT), FRAMING, LifeSettings(interval=SECOND)), 1, idle_limit=20
            )
            held = pool.acquire()
        began = time.monotonic()
        with pytest.raises(ChannelTimeout, match="no connection of the pool within 3 s"):
            pool.acquire(timeout=3)
        took = time.monotonic() - began
        pool.release(held)
        time.sleep(15)
        with pool.use() as channel:
            kept = channel is held
        time.sleep(21)
        pool.reap()
        figures = pool.metrics
        pool.close()
        servers[0].join()
        listener.close()
        return took, kept, figures.idle, figures.expired

    assert ground.run_blocking(program) == (pytest.approx(3.0), True, 0, 1)


def test_a_connection_that_a_thread_left_by_an_exception_or_with_an_answer_unread_is_not_given_again(ground: Ground) -> None:
    def program() -> Any:
        listener, servers = serve_many(ground, 3)
        address = listener.getsockname()

        def make() -> longblocking.LongSocket:
            with ground.client:
                return longblocking.connect(address, FRAMING, QUICK, timeout=5)

        with BlockingPool(make, 1) as pool:
            with pytest.raises(LookupError), pool.use(5) as channel:
                channel.send(b"the answer is still to come")
                raise LookupError
            with pool.use(5) as channel:
                channel.send(b"nobody reads the answer")
                while not channel.life.inbox:
                    time.sleep(0.01)
            with pool.use(5) as channel:
                channel.send(b"7")
                answer = channel.receive(timeout=10)
            figures = pool.metrics
            with pytest.raises(KeyError):
                pool.release(channel)
        for server in servers:
            server.join()
        listener.close()
        return answer, figures.made, figures.broken, figures.idle, figures.in_use

    assert ground.run_blocking(program) == (b"7", 3, 2, 1, 0)


def test_with_threads_too_a_connection_that_cannot_be_made_costs_no_slot(ground: Ground) -> None:
    def program() -> Any:
        def make() -> longblocking.LongSocket:
            return longblocking.connect((ground.address, 1), FRAMING, QUICK, timeout=5)

        pool = BlockingPool(make, 1)
        with ground.client:
            for _ in range(3):
                with pytest.raises(ConnectionRefusedError):
                    pool.acquire(timeout=1)
        figures = pool.metrics
        pool.close()
        return figures.in_use, figures.made, figures.served

    assert ground.run_blocking(program) == (0, 0, 3)
