"""`synfin.sim.run`: an asyncio program in a simulated world, from its first line to its result.

Owns the order of things around a run: world, patches, loop, the program, the end of its tasks; and what is said when it fails:
the seed, the command that replays it, and where its ladder and its pcapng lie.
"""

import asyncio
import contextvars
import gc
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from synfin.engine.config import SECOND, TcpConfig
from synfin.engine.errors import UsageError
from synfin.sim.failure import RUNS, chosen_seed, explain, is_failure
from synfin.sim.loop import SimLoop
from synfin.sim.patches import Patches
from synfin.sim.tasks import Deadlock
from synfin.sim.world import World

T = TypeVar("T")

LOCAL: Final = "localhost"

Program = Coroutine[Any, Any, T] | Callable[[World], Coroutine[Any, Any, T]]


def run(
    main: Program[T],
    *,
    seed: int | None = None,
    world: World | None = None,
    config: TcpConfig | None = None,
    trace: bool = True,
    debug: bool = False,
    failures: str | Path | None = None,
) -> T:
    """Run an asyncio program in virtual time and return its result.

    main: an async function that takes the World and makes hosts and links in it, or a coroutine. A coroutine runs on a host
        `localhost` with the addresses 127.0.0.1 and ::1; a function says who speaks: `with host:`, `await host.run(...)`,
        `host.create_task(...)`.
    seed: decides every draw; 0 by default. The environment's SYNFIN_SEED overrides it.
    world: a World made before, instead of `seed`, `config` and `trace`.
    trace: False records nothing and is faster; a failure then has no ladder and no pcapng.
    debug: asyncio's debug mode.
    failures: the directory for the files of a run that fails; by default the environment's SYNFIN_FAILURES, or
        `synfin-failures`.

    Inside, the clocks (time.time, monotonic, perf_counter, sleep), the randomness (random, os.urandom, secrets, uuid) and the
    sockets are the world's. The run ends when `main` does; tasks that are left are cancelled in the order of their making.

    Raises what `main` raises, with a note on how to replay it; Deadlock when tasks wait and nothing is left to happen;
    UsageError inside of another run or of a running event loop.
    """
    if asyncio._get_running_loop() is not None:
        _discard(main)
        raise UsageError("synfin.sim.run begins an event loop of its own: call it where none is running")
    if world is not None and (seed is not None or config is not None):
        _discard(main)
        raise UsageError("seed and config are the world's where a world is given")
    try:
        made = world or World(chosen_seed(seed), config=config, trace=trace)
    except UsageError:
        _discard(main)
        raise
    runs = RUNS.get()
    if runs is not None:
        runs[:] = [(made, world is not None)]
    try:
        return contextvars.copy_context().run(_run, main, made, debug)
    except BaseException as error:
        if is_failure(error):
            explain(error, made, world is not None, failures)
        raise


def _discard(main: Any) -> None:
    """A coroutine that will never run is not worth a second warning."""
    if inspect.iscoroutine(main):
        main.close()


def _run(main: Program[T], world: World, debug: bool) -> T:
    try:
        with Patches(world), _steady_collector():
            return _run_loop(main, world, debug)
    finally:
        _discard(main)


def _run_loop(main: Program[T], world: World, debug: bool) -> T:
    loop = SimLoop(world)
    loop.set_debug(debug)
    token = loop.descriptors.use()
    threads = threading.enumerate()
    failed: BaseException | None = None
    try:
        asyncio.set_event_loop(loop)
        result: T = loop.run_until_complete(loop.create_task(_begin(main, world), name="main"))
        return result
    except Deadlock:
        failed = Deadlock(
            f"at {world.clock.now / SECOND:.9f} s nothing is left to happen, and these tasks wait: {loop.who_waits()}"
            + _who_else(loop, threads)
        )
        raise failed from None
    except BaseException as error:
        failed = error
        raise
    finally:
        try:
            _end(loop, failed)
        finally:
            asyncio.set_event_loop(None)
            loop.close()
            loop.drop_sockets()
            loop.descriptors.leave(token)


def _who_else(loop: SimLoop, before: list[threading.Thread]) -> str:
    """What may have been waited for and has no part in virtual time; "" where there is none."""
    started = [repr(thread.name) for thread in threading.enumerate() if thread not in before]
    others = [f"the thread {name}" for name in started] + ["real descriptors"] * loop.watches_real
    return f". A run does not wait for what lives in another time: {', '.join(others)}" if others else ""


async def _begin(main: Program[T], world: World) -> T:
    if callable(main):
        _check_arguments(main, world)
        program = main(world)
        if not inspect.isawaitable(program):
            raise UsageError(f"main is an async function of the world, or a coroutine, not {main!r}")
        return await program
    if not inspect.isawaitable(main):
        raise UsageError(f"main is an async function of the world, or a coroutine, not {main!r}")
    with world.hosts.get(LOCAL) or world.host(LOCAL, "127.0.0.1", "::1"):
        return await main


def _check_arguments(main: Callable[..., Any], world: World) -> None:
    try:
        takes = inspect.signature(main).replace(return_annotation=inspect.Signature.empty)
    except ValueError:  # a callable that does not say
        return
    try:
        takes.bind(world)
    except TypeError:
        name = getattr(main, "__name__", "main")
        raise UsageError(
            f"sim.run calls {name} with the World as its one argument, which {name}{takes} does not take; "
            f"one that wants no world is given as a coroutine: sim.run({name}())"
        ) from None


def _end(loop: SimLoop, failed: BaseException | None) -> None:
    """Cancel what is left, as asyncio.run does, but in the order of making. `failed` is what the run has raised."""
    loop.end()
    try:
        _cancel_tasks(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
    except Deadlock:
        for task in loop.tasks():
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is said here
        stuck = f"cancelled at the end of the run, these tasks wait on, and nothing is left to happen: {loop.who_waits()}"
        if failed is None:
            raise Deadlock(stuck) from None
        failed.add_note(f"synfin: {stuck}")


def _cancel_tasks(loop: SimLoop) -> None:
    left = loop.tasks()
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    for task in left:
        if not task.cancelled() and task.exception() is not None and task.get_name() != "main":
            loop.call_exception_handler(
                {"message": "unhandled exception at the end of a run", "exception": task.exception(), "task": task}
            )


@contextmanager
def _steady_collector() -> Iterator[None]:
    """No automatic garbage collection: its moments depend on what the process did before, and what it collects may close
    sockets (asyncio's transports do in __del__). SimSelector collects at moments of its own."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
