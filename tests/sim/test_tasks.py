"""Programs without asyncio: who runs when, how waits end, and where errors come out."""

import pytest

from synfin.engine.config import NEVER
from synfin.engine.errors import UsageError
from synfin.sim.tasks import Deadlock, Ended, Task, Wait, wake_all
from synfin.sim.world import World


def test_programs_run_in_the_order_of_their_start_and_of_their_waking() -> None:
    world, seen = World(trace=False), []
    host = world.host("a")

    async def program(name: str, naps: int) -> None:
        for nap in range(naps):
            seen.append((world.now, name, nap))
            await host.sleep(1)

    world.spawn(program("x", 2))
    world.spawn(program("y", 2))
    world.run()
    assert seen == [(0.0, "x", 0), (0.0, "y", 0), (1.0, "x", 1), (1.0, "y", 1)]
    assert world.now == 2.0


def test_a_program_may_await_another_and_has_its_result() -> None:
    world = World(trace=False)
    host = world.host("a")

    async def answer() -> int:
        await host.sleep(3)
        return 42

    async def asker() -> tuple[float, int]:
        task = world.spawn(answer())
        return await task + 0, world.now

    task = world.spawn(asker())
    world.run()
    assert task.result() == (42, 3.0)


def test_an_error_nobody_awaits_comes_out_of_run_with_program_and_time() -> None:
    world = World(trace=False)
    host = world.host("a")

    async def failing() -> None:
        await host.sleep(1.5)
        raise ValueError("broken")

    world.spawn(failing(), "the failing one")
    with pytest.raises(ValueError, match="broken") as caught:
        world.run()
    assert caught.value.__notes__ == ["raised by the program 'the failing one' at 1.500000000 s of virtual time"]
    assert world.now == 1.5


def test_an_error_that_is_awaited_comes_out_there() -> None:
    world = World(trace=False)
    host = world.host("a")

    async def failing() -> None:
        await host.sleep(1)
        raise ValueError("broken")

    async def careful() -> str:
        try:
            await world.spawn(failing())
        except ValueError as error:
            return str(error)
        return "nothing"

    task = world.spawn(careful())
    world.run()
    assert task.result() == "broken"


def test_a_run_ends_when_the_last_program_in_the_foreground_does() -> None:
    world, ticks = World(trace=False), []
    host = world.host("a")

    async def server() -> None:
        while True:
            await host.sleep(1)
            ticks.append(world.now)

    async def client() -> None:
        await host.sleep(2.5)

    world.spawn(server(), background=True)
    world.spawn(client())
    world.run()
    assert (world.now, ticks) == (2.5, [1.0, 2.0])


def test_running_to_a_time_goes_on_after_programs_have_ended() -> None:
    world = World(trace=False)
    host = world.host("a")
    world.spawn(host.sleep(1))
    world.run(5)
    assert world.now == 5.0


def test_programs_that_wait_for_nothing_to_come_are_a_deadlock_that_names_them() -> None:
    world = World(trace=False)
    world.host("a")
    waiters: dict[Wait, None] = {}

    async def forever() -> None:
        await Wait(waiters, "a sign")

    world.spawn(forever(), "hopeful")
    with pytest.raises(Deadlock, match="'hopeful' for a sign"):
        world.run()


def test_a_wait_that_runs_out_of_time_raises_timeout_and_leaves_the_list() -> None:
    world = World(trace=False)
    waiters: dict[Wait, None] = {}

    async def impatient() -> float:
        with pytest.raises(TimeoutError, match="timed out"):
            await Wait(waiters, "a sign", until=5_000_000_000)
        return world.now

    task = world.spawn(impatient())
    world.run()
    assert (task.result(), waiters) == (5.0, {})


def test_a_wait_that_is_woken_leaves_no_timer_behind() -> None:
    world = World(trace=False)
    waiters: dict[Wait, None] = {}

    async def patient() -> None:
        await Wait(waiters, "a sign", until=100_000_000_000)

    world.spawn(patient())
    world.call_at(1, wake_all, waiters)
    world.run()
    assert (world.now, world.clock.next_when()) == (1.0, NEVER)


def test_a_cancelled_program_ends_quietly_with_its_finally() -> None:
    world, seen = World(trace=False), []
    host = world.host("a")

    async def program() -> None:
        try:
            await host.sleep(100)
        finally:
            seen.append(world.now)

    task = world.spawn(program(), "sleeper")
    world.call_at(1, task.cancel)
    world.run()
    assert (seen, task.done, world.clock.next_when()) == ([1.0], True, NEVER)
    with pytest.raises(Ended, match="'sleeper' was cancelled"):
        task.result()


def test_a_program_may_cancel_itself() -> None:
    world, seen = World(trace=False), []
    host = world.host("a")
    tasks: list[Task] = []

    async def program() -> None:
        tasks[0].cancel()
        seen.append("still here")
        await host.sleep(1)
        seen.append("never")

    tasks.append(world.spawn(program()))
    world.run()
    assert seen == ["still here"]


def test_the_result_of_a_running_program_is_refused() -> None:
    world = World(trace=False)
    host = world.host("a")
    task = world.spawn(host.sleep(1), "s")
    with pytest.raises(UsageError, match="'s' has not ended"):
        task.result()
    world.close()


def test_only_coroutines_are_spawned() -> None:
    world = World(trace=False)
    with pytest.raises(UsageError, match="call the async function"):
        world.spawn(World)  # type: ignore[arg-type]


def test_awaiting_something_foreign_is_refused() -> None:
    class Foreign:
        def __await__(self) -> object:
            yield "a future"

    async def program() -> None:
        await Foreign()  # type: ignore[misc]

    world = World(trace=False)
    world.spawn(program())
    with pytest.raises(UsageError, match="own calls can be awaited"):
        world.run()


def test_closing_a_world_ends_its_programs() -> None:
    with World(trace=False) as world:
        task = world.spawn(world.host("a").sleep(10))
        world.run(1)
    assert task.done
