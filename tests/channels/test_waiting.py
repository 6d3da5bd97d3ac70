"""Waiting for a socket in a thread, and cutting the wait short, over the kernel's sockets and synfin's."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from synfin.channels.waiting import READ, WRITE, KernelWaiting, StackWaiting, waiting
from synfin.engine.errors import UsageError
from tests.channels.grounds import Ground, SimGround

PORT = 7000
LONG = 20.0  # seconds: no test waits for so long


@contextmanager
def connected(ground: Ground) -> Iterator[tuple[socket.socket, socket.socket]]:
    with ground.server:
        listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
    with ground.client:
        one = socket.create_connection(listener.getsockname(), 5)
    other, _ = listener.accept()
    listener.close()
    with one, other:
        yield one, other


def later(seconds: float, call: Any) -> threading.Thread:
    def run() -> None:
        time.sleep(seconds)
        call()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_wait_ends_with_what_the_socket_is_ready_for_or_with_its_time(ground: Ground) -> None:
    def program() -> Any:
        with connected(ground) as (one, other):
            waits = waiting(one)
            idle = [waits.wait(READ, 0), waits.wait(READ | WRITE, LONG), waits.wait(WRITE, None)]
            began = time.monotonic()
            idle.append(waits.wait(READ, 0.1))
            took = time.monotonic() - began
            sending = later(0.05, lambda: other.sendall(b"x"))
            came = [waits.wait(READ, LONG), waits.wait(READ | WRITE, LONG), waits.wait(WRITE, LONG)]
            sending.join()
            waits.close()
        return idle, 0.1 <= took < 5, came

    assert ground.run_blocking(program) == ([0, WRITE, WRITE, 0], True, [READ, READ | WRITE, WRITE])


def test_a_wait_that_is_woken_ends_at_once_and_the_next_one_is_whole(ground: Ground) -> None:
    def program() -> Any:
        with connected(ground) as (one, _):
            waits = waiting(one)
            waking = later(0.05, waits.wake)
            began = time.monotonic()
            found = [waits.wait(READ, LONG)]
            woken = time.monotonic() - began
            waking.join()
            waits.wake()
            waits.wake()
            found.append(waits.wait(READ, LONG))  # it was before the wait; twice is once
            early = time.monotonic() - began
            found.append(waits.wait(READ, 0.2))
            whole = time.monotonic() - began - early
            waits.wake()
            found.append(waits.wait(READ | WRITE, LONG))
            found.append(waits.wait(READ, 0))
            waits.close()
        return found, 0.04 < woken < 5, early < 5, 0.2 <= whole < 5

    assert ground.run_blocking(program) == ([0, 0, 0, WRITE, 0], True, True, True)


def test_the_end_of_the_peer_is_something_to_read_and_a_reset_is_all(ground: Ground) -> None:
    def program() -> Any:
        found = []
        with connected(ground) as (one, other):
            waits = waiting(one)
            other.shutdown(socket.SHUT_WR)
            found.append(waits.wait(READ, LONG))
            waits.close()
        with connected(ground) as (one, other):
            waits = waiting(one)
            other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            other.close()
            found.append(waits.wait(READ, LONG))
            found.append(waits.wait(READ | WRITE, LONG))
            waits.close()
        return found

    assert ground.run_blocking(program) == [READ, READ, READ | WRITE]


def test_a_closed_socket_is_ready_for_everything(ground: Ground) -> None:
    def program() -> Any:
        with connected(ground) as (one, _):
            waits = waiting(one)
            one.close()
            found = waits.wait(READ | WRITE, LONG)
            waits.close()
            waits.close()
            waits.wake()  # nobody waits
        return found

    assert ground.run_blocking(program) == READ | WRITE


def test_which_way_is_chosen_follows_from_the_socket(ground: Ground) -> None:
    def program() -> Any:
        with connected(ground) as (one, _):
            waits = waiting(one)
            waits.close()
            return type(waits)

    assert ground.run_blocking(program) is (KernelWaiting if ground.name == "kernel" else StackWaiting)


def test_a_socket_that_no_driver_serves_threads_for_cannot_be_waited_for() -> None:
    ground = SimGround()  # in asyncio, so without threads

    async def program() -> None:
        with ground.client, socket.socket() as sock, pytest.raises(UsageError, match="no driver lets threads wait for this"):
            waiting(sock).wait(READ, 0)

    ground.run(program)
