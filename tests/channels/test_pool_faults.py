"""Pools with threads over bad networks: partition, reset, silent peers, slow readers; all in virtual time."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from synfin.channels import long, longblocking
from synfin.channels.errors import ChannelClosed, ChannelError, ChannelTimeout, PeerDead, PeerLost, PoolClosed
from synfin.channels.framing import LengthHeader
from synfin.channels.heartbeat import SECOND
from synfin.channels.life import LifeSettings
from synfin.channels.longblocking import LongSocket
from synfin.channels.poolaio import Pool
from synfin.channels.poolblocking import BlockingPool
from tests.channels.exchange_threads import TidySim

PORT = 7000
FRAMING = LengthHeader(4)
SETTINGS = LifeSettings(interval=100 * SECOND, timeout=10 * SECOND, misses=2)  # dead after 120 s: the pool's check is quicker
BOUND = SETTINGS.detection / SECOND

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")


def serve(listener: socket.socket) -> None:
    """Accept and echo until the listener closes, each connection in a thread of its own."""
    threads = []
    with contextlib.suppress(OSError):
        while True:
            accepted, _ = listener.accept()
            threads.append(threading.Thread(target=echo, args=(accepted,)))
            threads[-1].start()
    for thread in threads:
        thread.join()


def echo(accepted: socket.socket) -> None:
    channel = LongSocket(accepted, FRAMING, SETTINGS)
    try:
        for message in channel:
            channel.send(message)
        channel.close()
    except ChannelError:
        channel.abort()


def run(program: Callable[[TidySim, BlockingPool], Any], size: int = 2, *, crashes: bool = False, **options: Any) -> Any:
    """Run `program` with a pool of connections to an echo service, which are closed afterwards. `crashes`: to a listener that
    nobody serves, on a host that `program` lets crash and serves anew by `restart`."""
    ground = TidySim()

    def whole() -> Any:
        services: list[tuple[socket.socket, threading.Thread]] = []

        def start() -> None:
            with ground.server:
                listener = socket.create_server((ground.address, PORT))
                thread = threading.Thread(target=serve, args=(listener,))
                thread.start()
            services.append((listener, thread))

        def restart() -> None:
            ground.host.crash()
            ground.host.restart()
            start()

        def make() -> LongSocket:
            with ground.client:
                return longblocking.connect((ground.address, PORT), FRAMING, SETTINGS, timeout=5)

        ground.restart = restart  # type: ignore[attr-defined]
        if crashes:
            with ground.server:
                unserved = socket.create_server((ground.address, PORT))
        else:
            start()
        pool = BlockingPool(make, size, **options)
        result = program(ground, pool)
        pool.close()
        ground.wire.heal()
        for listener, thread in services:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join()
        if crashes:
            unserved.close()
        return result

    return ground.run_blocking(whole)


def ask(pool: BlockingPool, said: bytes, timeout: float = 20.0) -> bytes:
    with pool.use(timeout) as channel:
        channel.send(said, timeout)
        return channel.receive(timeout)


def fill(pool: BlockingPool, count: int) -> None:
    """`count` idle connections."""
    held = [pool.acquire(5) for _ in range(count)]
    for channel in held:
        pool.release(channel)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What `call` returns, or the kind of ChannelError that it raises; and the seconds that it took."""
    began = time.monotonic()
    try:
        found = call()
    except ChannelError as error:
        found = type(error)
    return found, round(time.monotonic() - began, 3)


def test_what_a_crash_left_behind_is_found_before_use_and_replaced() -> None:
    def program(ground: TidySim, pool: BlockingPool) -> Any:
        fill(pool, 2)
        ground.restart()  # type: ignore[attr-defined]
        time.sleep(2)
        answer, took = timed(lambda: ask(pool, b"1+1?"))
        figures = pool.metrics
        return answer, took < 0.2, figures.broken, figures.made, figures.in_use, figures.idle

    assert run(program, crashes=True, check=1.0) == (b"1+1?", True, 2, 3, 0, 1)


def test_each_connection_to_a_silent_peer_costs_one_check_and_acquiring_no_more_than_its_time() -> None:
    def program(ground: TidySim, pool: BlockingPool) -> Any:
        fill(pool, 4)
        time.sleep(2)
        ground.wire.cut()
        short = timed(lambda: pool.acquire(2.5))  # two checks, and half of a third
        between = pool.metrics
        whole = timed(lambda: pool.acquire(60))  # the last check, then 5 s of connecting in vain
        return short, between.broken, between.idle, between.in_use, whole, pool.metrics.broken, pool.metrics.in_use

    found = run(program, 4, check=1.0)
    assert found == ((ChannelTimeout, 2.5), 3, 1, 0, (ChannelTimeout, 6.0), 4, 0)


def test_a_partition_that_heals_costs_only_the_connections_that_were_checked_in_it() -> None:
    def program(ground: TidySim, pool: BlockingPool) -> Any:
        fill(pool, 2)
        time.sleep(2)
        ground.wire.cut()
        ground.wire.heal(at=ground.world.now + 1.5)
        answer, took = timed(lambda: ask(pool, b"1+1?"))
        figures = pool.metrics
        return answer, took, figures.broken, figures.made

    answer, took, broken, made = run(program, check=1.0)
    assert (answer, broken, made) == (b"1+1?", 1, 2)
    assert 1.0 < took < 2.0


def test_a_late_answer_is_not_the_next_users() -> None:
    def program(ground: TidySim, pool: BlockingPool) -> Any:
        ask(pool, b"there")
        ground.wire.cut()
        late = timed(lambda: ask(pool, b"late", 1.0))
        ground.wire.heal()
        answer = ask(pool, b"next", 30)
        with pool.use() as channel:  # whoever leaves an answer unread leaves it to nobody
            channel.send(b"unread")
            time.sleep(1)
        return late, answer, ask(pool, b"last"), pool.metrics.broken

    assert run(program, 1, check=None) == ((ChannelTimeout, 1.0), b"next", b"last", 2)


def test_a_reset_under_a_user_is_told_to_that_user_and_costs_no_slot() -> None:
    def program(ground: TidySim, pool: BlockingPool) -> Any:
        with pytest.raises(PeerLost, match="reset by peer"), pool.use(5) as channel:
            ground.restart()  # type: ignore[attr-defined]
            channel.send(b"?")
            channel.receive(5)
        figures = pool.metrics
        return ask(pool, b"again"), figures.in_use, figures.broken

    assert run(program, 1, crashes=True) == (b"again", 0, 1)


def test_a_connection_that_its_user_saw_break_is_not_kept() -> None:
    def program(ground: TidySim, pool: BlockingPool) -> Any:
        with pool.use(5) as channel:
            ground.restart()  # type: ignore[attr-defined]
            channel.send(b"?")
            with pytest.raises(PeerLost):
                channel.receive(5)
        figures = pool.metrics
        return figures.idle, figures.broken, figures.closed, figures.in_use

    assert run(program, 1, crashes=True) == (0, 1, 1, 0)


def test_who_waits_for_a_slot_is_served_in_turn_and_gives_up_in_time_while_the_user_is_stuck_with_a_silent_peer() -> None:
    def program(ground: TidySim, pool: BlockingPool) -> Any:
        ask(pool, b"there")
        ground.wire.cut()
        stuck: list[Any] = []
        using = threading.Thread(target=lambda: stuck.append(timed(lambda: use_until_dead(pool))))
        using.start()
        time.sleep(0.5)
        found: dict[int, Any] = {}
        order: list[int] = []

        def wait(number: int, timeout: float | None) -> None:
            found[number] = timed(lambda: held(pool, timeout, order, number))

        threads = [threading.Thread(target=wait, args=each) for each in ((1, 3.0), (2, None), (3, 5.0), (4, None))]
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        time.sleep(10)
        ground.wire.heal()
        for thread in [*threads, using]:
            thread.join()
        return stuck[0][0], found[1], found[3], order

    stuck, first, third, order = run(program, 1)
    assert stuck is None
    assert (first, third) == ((ChannelTimeout, 3.0), (ChannelTimeout, 5.0))
    assert order == [2, 4]


def use_until_dead(pool: BlockingPool) -> None:
    with pool.use() as channel:
        channel.send(b"?")
        channel.receive()


def held(pool: BlockingPool, timeout: float | None, order: list[int], number: int) -> None:
    with pool.use(timeout):
        order.append(number)
        time.sleep(1)


def test_a_user_whose_peer_vanished_is_told_within_the_heartbeats_bound() -> None:
    def program(ground: TidySim, pool: BlockingPool) -> Any:
        ask(pool, b"there")
        ground.wire.cut()
        return timed(lambda: use_until_dead(pool)), pool.metrics.broken

    (kind, took), broken = run(program, 1)
    assert (kind, broken) == (PeerDead, 1)
    assert BOUND - 0.1 < took <= BOUND


def test_a_slow_reader_holds_up_its_user_in_time_and_nobody_else() -> None:
    def program(ground: TidySim, pool: BlockingPool) -> Any:
        stop = threading.Event()

        def slow() -> None:
            accepted, _ = listener.accept()
            channel = LongSocket(accepted, FRAMING, SETTINGS)
            stop.wait()
            channel.abort()

        with ground.server:
            listener = socket.create_server((ground.address, PORT + 1))
            thread = threading.Thread(target=slow)
            thread.start()

        def make() -> LongSocket:
            with ground.client:
                return longblocking.connect((ground.address, PORT + 1), FRAMING, SETTINGS, timeout=5)

        other = BlockingPool(make, 1)
        sent = 0
        began = time.monotonic()
        with pytest.raises(ChannelTimeout, match="no room to send within 2 s"), other.use() as channel:
            while True:
                channel.send(bytes(1000), 2)
                sent += 1
        took = time.monotonic() - began
        beside = ask(pool, b"beside")
        broken = other.metrics.broken
        other.close()
        stop.set()
        thread.join()
        listener.close()
        return sent, took, beside, broken

    assert run(program) == (SETTINGS.queue, pytest.approx(2.0, abs=0.05), b"beside", 1)


@pytest.mark.parametrize(("idle", "used"), [(4, 0), (0, 1), (3, 1)])
def test_closing_a_pool_whose_peer_is_silent_is_over_in_time(idle: int, used: int) -> None:
    def program(ground: TidySim, pool: BlockingPool) -> Any:
        held = [pool.acquire(5) for _ in range(used + idle)]
        for channel in held[used:]:
            pool.release(channel)
        waiting: list[Any] = []
        threads = []
        if not idle:
            threads = [threading.Thread(target=lambda: waiting.append(timed(pool.acquire))) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        ground.wire.cut()
        _, took = timed(lambda: pool.close(3))
        with pytest.raises(PoolClosed):
            pool.acquire()
        for thread in threads:
            thread.join()
        for channel in held[:used]:
            with pytest.raises(ChannelClosed):
                channel.receive(1)
            pool.release(channel)
        figures = pool.metrics
        return took, waiting, figures.made - figures.closed, figures.idle, figures.in_use

    took, waiting, *left = run(program, max(1, idle + used))
    assert took == pytest.approx(3.0, abs=0.01)
    assert [kind for kind, _ in waiting] == [PoolClosed] * (0 if idle else 2)
    assert left == [0, 0, 0]


def test_acquiring_is_not_held_up_by_old_connections_to_a_silent_peer() -> None:
    def program(ground: TidySim, pool: BlockingPool) -> Any:
        fill(pool, 3)
        ground.wire.cut()
        time.sleep(20)
        acquired = timed(lambda: pool.acquire(2.0))  # 2 s for the old ones, 5 s of connecting in vain
        return acquired, pool.metrics.expired, pool.metrics.in_use

    assert run(program, 3, idle_limit=10) == ((ChannelTimeout, 7.0), 3, 0)


def test_an_asyncio_pool_whose_peer_is_silent_closes_in_time_too() -> None:
    ground = TidySim()

    async def reply(channel: long.LongChannel) -> None:
        async for message in channel:
            await channel.send(message)

    async def program() -> Any:
        with ground.server:
            server = await long.serve(reply, ground.address, PORT, FRAMING, SETTINGS)

        async def make() -> long.LongChannel:
            with ground.client:
                return await long.connect(ground.address, PORT, FRAMING, SETTINGS, timeout=5)

        pool = Pool(make, 4)
        held = [await pool.acquire() for _ in range(4)]
        for channel in held[:3]:
            pool.release(channel)
        ground.wire.cut()
        began = ground.world.now
        await pool.close(3)
        took = ground.world.now - began
        assert all(channel.wire._lost.done() for channel in held)
        pool.release(held[3])
        figures = pool.metrics
        await server.close()
        return took, figures.made - figures.closed, figures.idle, figures.in_use

    assert ground.run(program) == (pytest.approx(3.0), 0, 0, 0)
