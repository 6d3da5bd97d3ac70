"""What becomes of locks and conditions when the host of a thread crashes, and when a run ends around it."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from synfin import sim
from synfin.sim.world import World


@contextlib.contextmanager
def hooked(said: list[str]) -> Iterator[None]:
    """Threads that end by an exception say so in `said`."""
    present = threading.excepthook
    threading.excepthook = lambda args: said.append(f"{args.exc_type.__name__}: {args.exc_value}")
    try:
        yield
    finally:
        threading.excepthook = present


def test_threads_that_wait_for_a_condition_when_their_host_crashes_end_without_a_word() -> None:
    said: list[str] = []

    def main(world: World) -> Any:
        host = world.host("a")
        condition, ended = threading.Condition(), []

        def wait(number: int) -> None:
            try:
                with condition:
                    condition.wait()
            finally:
                ended.append(number)

        with host:
            threads = [threading.Thread(target=wait, args=(number,)) for number in range(5)]
            for thread in threads:
                thread.start()
        time.sleep(1)
        host.crash()
        for thread in threads:
            thread.join()
        free = condition.acquire(False)
        condition.release()
        return sorted(ended), free

    for seed in range(10):
        with hooked(said):
            assert sim.run_blocking(main, seed=seed, trace=False) == ([0, 1, 2, 3, 4], True)
    assert said == []


@pytest.mark.parametrize("lock", ["RLock", "Lock"])
def test_a_crash_takes_no_lock_from_who_holds_it_elsewhere(lock: str) -> None:
    said: list[str] = []

    def main(world: World) -> Any:
        host = world.host("a")
        condition = threading.Condition(getattr(threading, lock)())
        ended = []

        def wait() -> None:
            try:
                with condition:
                    condition.wait()
            finally:
                ended.append(world.clock.now)

        with host:
            thread = threading.Thread(target=wait)
            thread.start()
        time.sleep(1)
        with condition:
            host.crash()
            time.sleep(1)
            taken = []
            other = threading.Thread(target=lambda: taken.append(condition.acquire(False)))
            other.start()
            other.join()
        thread.join()
        free = condition.acquire(False)
        condition.release()
        return len(ended), taken, free

    with hooked(said):
        assert sim.run_blocking(main, trace=False) == (1, [False], True)
    assert said == []


def test_an_error_of_its_own_that_a_thread_meets_when_its_host_crashes_is_told() -> None:
    said: list[str] = []

    def main(world: World) -> None:
        host = world.host("a")

        def wait() -> None:
            try:
                time.sleep(100)
            finally:
                raise LookupError("of its own")

        with host:
            thread = threading.Thread(target=wait)
            thread.start()
        time.sleep(1)
        host.crash()
        thread.join()

    with hooked(said):
        sim.run_blocking(main, trace=False)
    assert said == ["LookupError: of its own"]


def test_the_end_of_a_run_around_threads_that_wait_for_a_condition_is_silent() -> None:
    said: list[str] = []

    def main(world: World) -> None:
        condition = threading.Condition()
        lock = threading.Lock()

        def wait() -> None:
            with condition:
                condition.wait()

        def hold() -> None:
            with condition, lock:
                time.sleep(1000)

        def want() -> None:
            with lock:
                time.sleep(1000)

        for work in (wait, wait, want, hold, want):
            threading.Thread(target=work).start()
            time.sleep(1)

    with hooked(said):
        for seed in range(5):
            sim.run_blocking(main, seed=seed, trace=False)
    assert said == []


def test_a_dying_thread_that_cannot_have_a_lock_at_its_turn_may_have_it_and_release_it_afterwards() -> None:
    said: list[str] = []

    def main(world: World) -> tuple[bool, list[bool]]:
        host = world.host("a")
        lock = threading.Lock()
        had: list[bool] = []

        def work() -> None:
            try:
                while True:  # each acquire gives the others a turn: the crash comes in one
                    with lock:
                        pass
                    time.sleep(0)
            finally:
                with lock:
                    had.append(True)

        with host:
            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
        time.sleep(0.000_000_1)
        host.crash()
        for thread in threads:
            thread.join()
        return lock.acquire(False), had

    with hooked(said):
        for seed in range(30):
            assert sim.run_blocking(main, seed=seed, trace=False) == (True, [True] * 3)
    assert said == []
