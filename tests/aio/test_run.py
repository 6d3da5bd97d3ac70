"""synfin.sim.run: what is the world's inside of a run, that it is given back, and what is said of a run that fails."""

import asyncio
import gc
import os
import random
import secrets
import select
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from time import monotonic as taken_by_name
from typing import Any

import pytest

from synfin import sim
from synfin.sim.world import World
from synfin.testing import seeds
from tests.aio.conftest import on_two_hosts

DATE = 1_767_225_600  # 2026-01-01 00:00:00 UTC


async def nothing() -> None:
    """Does nothing."""


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Keeps the connection open."""
    await asyncio.sleep(1000)


def test_a_coroutine_runs_on_localhost_and_its_result_comes_back() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async def main() -> Any:
        await asyncio.start_server(echo, "localhost", 7)
        for address in ("127.0.0.1", "::1", "localhost"):
            reader, writer = await asyncio.open_connection(address, 7)
            writer.write(b"hello\n")
            assert await reader.read() == b"hello\n"
            writer.close()
        return socket.gethostname()

    assert sim.run(main()) == "localhost"


def test_a_minute_of_virtual_time_takes_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    before = time.perf_counter()
    assert sim.run(main()) == 3600.0
    assert time.perf_counter() - before < 1


def test_every_clock_is_the_worlds() -> None:
    async def main() -> Any:
        first = (time.time(), time.time_ns(), time.monotonic(), time.perf_counter_ns(), taken_by_name())
        await asyncio.sleep(1.5)
        time.sleep(0.5)
        second = (time.time(), time.monotonic_ns(), time.perf_counter(), taken_by_name(), time.ctime())
        return first, second, time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()), time.clock_gettime(time.CLOCK_MONOTONIC)

    first, second, date, raw = sim.run(main())
    assert first == (DATE, DATE * 10**9, 0.0, 0, 0.0)
    assert second == (DATE + 2, 2 * 10**9, 2.0, 2.0, time.ctime(DATE + 2))
    assert (date, raw) == ("2026-01-01 00:00:02", 2.0)
    assert time.time() > DATE and taken_by_name() == pytest.approx(time.monotonic(), abs=1)


def test_sleeping_lets_the_network_go_on() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        with server:
            await asyncio.start_server(hold, port=7)
        with client:
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("server", 7))
            time.sleep(0.02)
            return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), sock.getpeername(), world.now

    assert on_two_hosts(program) == (0, ("10.0.0.1", 7), 0.02)


def draws() -> list[Any]:
    return [
        random.random(), random.Random().random(), random.SystemRandom().random(), os.urandom(8), secrets.token_hex(4),
        secrets.randbelow(10**9), uuid.uuid4(), uuid.uuid1(), random.sample(range(1000), 3),
    ]  # fmt: skip


def test_all_randomness_follows_from_the_seed() -> None:
    async def main() -> list[Any]:
        return draws()

    state = random.getstate()
    first, again, other = (sim.run(main(), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert all(ours != theirs for ours, theirs in zip(first, other, strict=True))
    assert random.getstate() == state
    assert draws()[3] != draws()[3]


NAMES = (
    (time, "time"), (time, "sleep"), (os, "urandom"), (random.Random, "seed"), (random, "seed"), (uuid, "uuid1"),
    (socket, "socket"), (socket, "getaddrinfo"), (select, "poll"), (select, "select"),
)  # fmt: skip


def test_everything_is_given_back_also_after_an_exception() -> None:
    before = [getattr(owner, name) for owner, name in NAMES]
    inside: list[Any] = []

    async def main() -> None:
        inside.extend(getattr(owner, name) for owner, name in NAMES)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sim.run(main(), trace=False)
    assert [getattr(owner, name) for owner, name in NAMES] == before
    assert all(was is not now for was, now in zip(before, inside, strict=True))
    assert gc.isenabled()
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_what_escapes_from_a_run_is_real_again() -> None:
    async def main() -> Any:
        return time.monotonic, socket.socket, os.urandom

    clock, make, draw = sim.run(main())
    assert clock() == pytest.approx(time.monotonic(), abs=1)
    assert draw(16) != draw(16)
    with make() as sock:
        assert 0 <= sock.fileno() < 1 << 20


def test_another_thread_keeps_the_real_clock() -> None:
    async def main() -> float:
        seen: list[float] = []
        thread = threading.Thread(target=lambda: seen.append(time.monotonic()))
        thread.start()
        thread.join()
        return seen[0]

    before = time.monotonic()
    assert sim.run(main()) >= before


def test_runs_do_not_nest() -> None:
    async def inner() -> None:
        raise AssertionError("never begun")

    async def main() -> None:
        with pytest.raises(sim.UsageError):
            sim.run(inner())

    sim.run(main())

    async def real() -> None:
        with pytest.raises(sim.UsageError):
            sim.run(inner())

    asyncio.run(real())


def test_isinstance_holds_for_simulated_and_for_real_sockets() -> None:
    real_class = socket.socket

    async def main() -> Any:
        simulated = socket.socket()
        one, two = socket.socketpair()
        found = [isinstance(sock, kind) for sock in (simulated, one) for kind in (socket.socket, real_class)]
        numbers = [sock.fileno() >= 1 << 20 for sock in (simulated, one)]
        one.close()
        two.close()
        return found, numbers, issubclass(type(simulated), socket.socket), isinstance(7, socket.socket)

    assert sim.run(main()) == ([True] * 4, [True, False], True, False)


def test_a_socket_that_is_no_tcp_is_refused_and_a_unix_one_is_real() -> None:
    async def main() -> Any:
        with pytest.raises(OSError, match="not supported"):
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with socket.socket(socket.AF_UNIX) as sock:
            return sock.fileno() < 1 << 20

    assert sim.run(main())


def test_real_descriptors_are_watched_beside_virtual_ones() -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        one, two = socket.socketpair()
        for sock in (one, two):
            sock.setblocking(False)
        receiving = asyncio.ensure_future(loop.sock_recv(two, 10))
        await asyncio.sleep(1)
        await loop.sock_sendall(one, b"local")
        data = await receiving
        one.close()
        two.close()
        return data

    assert sim.run(main()) == b"local"


def test_poll_and_select_know_virtual_descriptors() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        with server:
            await asyncio.start_server(hold, port=7)
        with client:
            sock = socket.socket()
            sock.setblocking(False)
            poll = select.poll()
            poll.register(sock, select.POLLIN | select.POLLOUT)
            sock.connect_ex(("server", 7))
            before = poll.poll(0), select.select([sock], [sock], [], 0)
            await asyncio.sleep(0.1)
            fd = sock.fileno()
            after = poll.poll(0) == [(fd, select.POLLOUT)], select.select([fd], [fd], [], 0) == ([], [fd], [])
            poll.modify(fd, select.POLLIN)
            with pytest.raises(sim.UsageError):
                poll.poll()
            with pytest.raises(sim.UsageError):
                select.select([fd], [], [])
            sock.close()
            gone = poll.poll(0) == [(fd, select.POLLNVAL)]
            poll.unregister(fd)
            return before, after, gone, poll.poll(0)

    assert on_two_hosts(program) == (([], ([], [], [])), (True, True), True, [])


def test_a_blocking_call_that_would_block_says_what_to_do() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        with client:
            sock = socket.socket()
            with pytest.raises(sim.UsageError, match="asyncio"):
                sock.connect(("server", 7))
            sock.bind(("", 0))
            sock.listen()
            with pytest.raises(sim.UsageError, match="accept would block"):
                sock.accept()

    on_two_hosts(program)


def test_a_socket_needs_a_host_that_speaks() -> None:
    async def main(world: World) -> None:
        with pytest.raises(sim.UsageError, match="with host"):
            socket.socket()
        with world.host("one"), pytest.raises(sim.UsageError, match="out of order"):
            world.hosts["one"].__exit__()
            world.hosts["one"].__exit__()
        world.hosts["one"].__enter__()  # for the block's own end

    with pytest.raises(sim.UsageError):
        sim.run(main)


def test_tasks_and_callbacks_inherit_the_host_that_speaks() -> None:
    async def main(world: World) -> Any:
        one, two = world.host("one"), world.host("two")
        seen: list[str] = []

        async def child() -> str:
            asyncio.get_running_loop().call_later(0.1, lambda: seen.append(socket.gethostname()))
            await asyncio.sleep(1)
            return socket.gethostname()

        with one:
            first = asyncio.create_task(child())
            with two:
                second = asyncio.create_task(child())
            inner = socket.gethostname()
        third = two.create_task(child())
        return [await first, await second, await third, await one.run(child())], inner, seen, third.get_name()

    assert sim.run(main) == (["one", "two", "two", "one"], "one", ["one", "two", "two", "one"], "two: child")


def test_a_run_in_which_nothing_can_happen_names_who_waits() -> None:
    async def listens(port: int) -> None:
        await asyncio.get_running_loop().create_future()

    async def main(world: World) -> None:
        host = world.host("server")
        host.create_task(listens(80), name="the web server")
        await asyncio.sleep(2)
        await asyncio.Event().wait()

    with pytest.raises(sim.Deadlock) as caught:
        sim.run(main, trace=False)
    text = str(caught.value)
    assert text.startswith("at 2.000000000 s nothing is left to happen")
    assert "'main' at " in text and " in main" in text
    assert "'the web server' at " in text and " in listens" in text


def test_a_loop_that_never_waits_does_not_stop_the_world() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> float:
        with client:
            connecting = asyncio.create_task(asyncio.open_connection("10.0.0.1", 1))
            while not connecting.done():
                await asyncio.sleep(0)
        assert isinstance(connecting.exception(), ConnectionRefusedError)
        return world.now

    assert on_two_hosts(program) == 0.02


def test_tasks_left_at_the_end_are_cancelled_in_the_order_of_their_making() -> None:
    ended: list[int] = []

    async def lasts(number: int) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append(number)

    async def main() -> None:
        tasks = [asyncio.create_task(lasts(number)) for number in range(20)]
        await asyncio.sleep(1)
        del tasks

    sim.run(main())
    assert ended == list(range(20))


def test_tasks_of_a_factory_of_the_programs_own_end_too() -> None:
    ended: list[str] = []

    async def lasts() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append("ended")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **more: asyncio.Task(coro, loop=loop, **more))
        task = asyncio.create_task(lasts(), name="plain")
        await asyncio.sleep(1)
        assert type(task) is asyncio.Task

    sim.run(main())
    assert ended == ["ended"]


def test_a_host_that_crashes_takes_its_tasks_and_sockets_along() -> None:
    async def main(world: World) -> Any:
        server, client = world.host("server"), world.host("client")
        world.link(server, client, delay=0.01)
        ended: list[str] = []

        async def serve() -> None:
            try:
                await (await asyncio.start_server(hold, port=80)).serve_forever()
            except asyncio.CancelledError as error:
                ended.append(str(error))
                raise

        first = server.create_task(serve())
        with client:
            reader, writer = await asyncio.open_connection("server", 80)
            server.crash()
            await asyncio.sleep(1)
            server.restart()
            writer.write(b"are you there?")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("10.0.0.1", 80)
            server.create_task(serve())
            await asyncio.sleep(0)
            await asyncio.open_connection("server", 80)
        return first.cancelled(), list(ended)

    assert sim.run(main) == (True, ["server has crashed"])


FAILING = """
import asyncio
from synfin import sim

async def main(world):
    server, client = world.host("server"), world.host("client")
    world.link(server, client, delay=0.01, loss=0.1)
    with server:
        await asyncio.start_server(lambda reader, writer: asyncio.sleep(0), port=80)
    with client:
        await asyncio.open_connection("server", 80)
    assert world.seed == 5, f"seed {world.seed}"

def test_it():
    sim.run(main, seed=4)

if __name__ == "__main__":
    sim.run(main, seed=4)
"""


def run_python(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "SYNFIN"))}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=directory, env=kept | environment, capture_output=True, text=True, check=False)


def test_a_run_that_fails_says_how_to_replay_it_and_where_its_files_lie(tmp_path: Path) -> None:
    (tmp_path / "test_failing.py").write_text(FAILING, encoding="utf-8")
    failed = run_python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_failing.py")
    assert failed.returncode == 1
    assert "synfin: the run with seed 4 failed at 0." in failed.stdout
    assert "synfin: replay it:  SYNFIN_SEED=4 python -m pytest test_failing.py::test_it\n" in failed.stdout
    for label, suffix in (("ladder", "svg"), ("packets", "pcapng")):
        file = Path("synfin-failures") / f"test-failing-py-test-it-seed-4.{suffix}"
        assert f"synfin: its {label}: {file}\n" in failed.stdout
        assert (tmp_path / file).stat().st_size > 500
    replayed = run_python(tmp_path, "-m", "pytest", "-q", "test_failing.py::test_it", SYNFIN_SEED="5")
    assert replayed.returncode == 0, replayed.stdout


def test_a_script_that_fails_says_how_to_replay_it(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING, encoding="utf-8")
    failed = run_python(tmp_path, "failing.py", "--some", "argument", SYNFIN_FAILURES="elsewhere")
    assert "synfin: replay it:  SYNFIN_SEED=4 python failing.py --some argument\n" in failed.stderr
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == [
        "failing-seed-4.pcapng",
        "failing-seed-4.svg",
    ]


def test_a_test_that_fails_after_its_run_is_explained_by_the_plugin(tmp_path: Path) -> None:
    late = FAILING.replace("sim.run(main, seed=4)\n\nif", "assert sim.run(main, seed=5) == 1\n\nif")
    (tmp_path / "test_late.py").write_text(late, encoding="utf-8")
    failed = run_python(tmp_path, "-m", "pytest", "-q", "-p", "synfin.testing", "test_late.py")
    assert "synfin: replay it:  SYNFIN_SEED=5 python -m pytest test_late.py::test_it\n" in failed.stdout


def test_a_world_of_the_programs_own_is_replayed_by_its_own_seed(tmp_path: Path) -> None:
    async def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        sim.run(main(), world=World(11), failures=tmp_path)
    assert caught.value.__notes__ == ["synfin: the run with seed 11 failed at 0.000000000 s of virtual time"]


def test_a_seed_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNFIN_SEED", "seven")
    with pytest.raises(sim.UsageError, match="SYNFIN_SEED is an integer"):
        sim.run(nothing())


@seeds(3, first=10)
def test_seeds_give_one_test_a_seed(seed: int) -> None:
    async def main(world: World) -> int:
        return world.seed

    assert sim.run(main, seed=seed) == seed
    assert seed in (10, 11, 12)


def test_what_is_no_program_is_refused() -> None:
    for wrong in (7, None, lambda world: 7):
        with pytest.raises(sim.UsageError, match="main is an async function"):
            sim.run(wrong)  # type: ignore[arg-type]
    with pytest.raises(sim.UsageError, match="world's"):
        sim.run(nothing(), seed=1, world=World(2))
