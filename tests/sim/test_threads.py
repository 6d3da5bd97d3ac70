"""Blocking programs with threads in virtual time: unmodified, one thread at a time, and the same again for the same seed."""

import asyncio
import concurrent.futures
import http.client
import http.server
import importlib.abc
import importlib.machinery
import queue
import select
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from synfin import sim
from synfin.engine.errors import UsageError
from synfin.sim.world import World


class Pages(http.server.BaseHTTPRequestHandler):
    """GET /N takes half a second and gives N bytes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(0.5)
        body = bytes(int(self.path[1:]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Store(socketserver.StreamRequestHandler):
    """A server that speaks as much of redis' protocol as its client needs for SET, GET and INCRBY."""

    values: dict[bytes, bytes]

    def handle(self) -> None:
        while line := self.rfile.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(size + 2)[:-2])
            self.wfile.write(self.answer(*words))

    def answer(self, command: bytes, *words: bytes) -> bytes:
        match command.upper():
            case b"SET":
                self.values[words[0]] = words[1]
                return b"+OK\r\n"
            case b"GET":
                value = self.values.get(words[0])
                return b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)
            case b"INCRBY":
                self.values[words[0]] = b"%d" % (int(self.values.get(words[0], b"0")) + int(words[1]))
                return b":%s\r\n" % self.values[words[0]]
            case b"CLIENT" | b"SELECT":
                return b"+OK\r\n"
        return b"-ERR unknown command\r\n"


def two(world: World, **link: Any) -> tuple[Any, Any]:
    client, server = world.host("client"), world.host("server")
    world.link(client, server, **{"delay": 0.05, **link})
    return client, server


def serve(host: Any, kind: Any, port: int, handler: Any) -> Any:
    """A server in a thread of `host`."""
    with host:
        server = kind(("", port), handler)
        threading.Thread(target=server.serve_forever, name=f"server {port}").start()
    return server


def web(world: World) -> list[tuple[int, int, float]]:
    """Three clients at once fetch pages over a link that loses packets."""
    client, server = two(world, loss=0.02, jitter=0.01)
    serve(server, http.server.ThreadingHTTPServer, 80, Pages)
    found: queue.Queue[tuple[int, int, float]] = queue.Queue()

    def get(size: int) -> None:
        connection = http.client.HTTPConnection("server", 80, timeout=60)
        connection.request("GET", f"/{size}")
        found.put((size, len(connection.getresponse().read()), time.monotonic()))
        connection.close()

    with client:
        threads = [threading.Thread(target=get, args=(size,)) for size in (10, 1000, 100_000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not any(thread.is_alive() for thread in threads)
    return [found.get() for _ in threads]


def redis_counts(world: World) -> list[Any]:
    """redis-py's blocking client, unmodified: four threads share one pool."""
    redis = pytest.importorskip("redis")
    client, server = two(world, loss=0.01)

    class Kept(Store):
        values: dict[bytes, bytes] = {}  # noqa: RUF012  all handlers of this run share it

    serve(server, socketserver.ThreadingTCPServer, 6379, Kept)
    with client:
        store = redis.Redis("server", 6379, protocol=2)
        store.set("name", "synfin")
        threads = [threading.Thread(target=lambda: [store.incr("count") for _ in range(5)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pipe = store.pipeline(transaction=False)
        for number in range(100):
            pipe.set(f"key{number}", number)
        pipe.get("key99")
        return [store.get("name"), store.get("count"), pipe.execute()[-1], store.get("missing")]


def run_with_hash(program: Callable[[World], Any], seed: int) -> tuple[Any, str, str]:
    world = World(seed)
    result = sim.run_blocking(program, world=world)
    return result, world.replay_hash, world.payload_hash


def test_http_server_and_client_run_unmodified_in_virtual_time() -> None:
    before = time.monotonic()
    result, _, _ = run_with_hash(web, 1)
    assert sorted((size, count) for size, count, _ in result) == [(10, 10), (1000, 1000), (100_000, 100_000)]
    assert all(0.7 < at < 20 for _, _, at in result)
    assert time.monotonic() - before < 5


def test_a_threading_tcp_server_serves_redis_py() -> None:
    result, _, _ = run_with_hash(redis_counts, 1)
    assert result == [b"synfin", b"20", b"99", None]


@pytest.mark.parametrize("program", [web, redis_counts])
def test_the_same_seed_gives_the_same_hash_and_another_seed_another(program: Callable[[World], Any]) -> None:
    first, again, other = (run_with_hash(program, seed) for seed in (7, 7, 8))
    assert first == again
    assert first[1] != other[1]


def test_the_same_seed_gives_the_same_hash_in_another_process() -> None:
    code = "from tests.sim import test_threads as t; print(t.run_with_hash(t.web, 7)[1])"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    assert said.strip() == run_with_hash(web, 7)[1]


def order(world: World) -> list[int]:
    """Ten threads that may all run at the same time."""
    went: list[int] = []
    threads = [threading.Thread(target=went.append, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return went


def test_https_with_a_threaded_server_has_the_same_headers_for_the_same_seed() -> None:
    authority = trustme.CA(key_type=trustme.KeyType.RSA)  # signatures of one length
    inside, outside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("server", key_type=trustme.KeyType.RSA).configure_cert(inside)
    authority.configure_trust(outside)

    def main(world: World) -> bytes:
        client, server = two(world, loss=0.02)
        with server:
            served = http.server.ThreadingHTTPServer(("", 443), Pages)
            served.socket = inside.wrap_socket(served.socket, server_side=True)
            threading.Thread(target=served.serve_forever).start()
        with client:
            connection = http.client.HTTPSConnection("server", 443, context=outside, timeout=30)
            connection.request("GET", "/50000")
            body = connection.getresponse().read()
            connection.close()
        return body

    first, again = (run_with_hash(main, 3) for _ in range(2))
    assert first[0] == again[0] == bytes(50_000)
    assert first[1] == again[1]


def test_who_runs_next_is_drawn_from_the_seed() -> None:
    orders = [tuple(sim.run_blocking(order, seed=seed)) for seed in (1, 1, 2, 3)]
    assert orders[0] == orders[1]
    assert len({*orders}) == 3
    assert all(sorted(went) == list(range(10)) for went in orders)


def lost_updates(world: World) -> int:
    """Four threads count to 40 together, each with the lock held while it reads and while it writes, not in between."""
    count, lock = 0, threading.Lock()

    def add() -> None:
        nonlocal count
        for _ in range(10):
            with lock:
                seen = count
            with lock:
                count = seen + 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count


def test_a_race_between_threads_is_found_by_a_seed_and_happens_again_with_it() -> None:
    counts = [sim.run_blocking(lost_updates, seed=seed) for seed in range(5)]
    assert counts == [sim.run_blocking(lost_updates, seed=seed) for seed in range(5)]
    assert len({*counts}) > 1
    assert max(counts) < 40


def test_locks_conditions_events_queues_and_timers_wait_in_virtual_time() -> None:
    def main(world: World) -> list[Any]:
        noted: list[Any] = []
        lock, again, condition = threading.Lock(), threading.RLock(), threading.Condition()
        event, jobs, semaphore = threading.Event(), queue.Queue[int](), threading.Semaphore(0)

        def hold() -> None:
            with lock, again, again:
                time.sleep(1)
            with condition:
                condition.notify()
            event.set()
            jobs.put(5)
            semaphore.release()

        worker = threading.Thread(target=hold)
        with condition:
            worker.start()
            noted.append((condition.wait(0.25), time.monotonic()))
            noted.append((lock.acquire(timeout=0.25), lock.acquire(False), lock.locked(), time.monotonic()))
            noted.append((condition.wait(), time.monotonic()))
        with again, lock:
            noted.append((event.wait(), jobs.get(), semaphore.acquire(), time.monotonic()))
        with pytest.raises(queue.Empty):
            jobs.get(timeout=2)
        worker.join()
        noted.append((worker.is_alive(), time.monotonic()))
        threading.Timer(3, event.clear).start()
        while event.is_set():
            time.sleep(2)
        noted.append(time.monotonic())
        return noted

    assert sim.run_blocking(main) == [
        (False, 0.25), (False, False, True, 0.5), (True, 1.0), (True, 5, True, 1.0), (False, 3.0), 7.0,
    ]  # fmt: skip


def test_executors_work_in_threads_of_the_world() -> None:
    def main(world: World) -> tuple[list[float], float]:
        def slow(number: int) -> float:
            time.sleep(number)
            return time.monotonic()

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return list(pool.map(slow, [1, 2, 3])), time.monotonic()

    assert sim.run_blocking(main) == ([1.0, 2.0, 4.0], 4.0)


def test_join_gives_up_at_its_time() -> None:
    def main(world: World) -> tuple[bool, float]:
        sleeper = threading.Thread(target=time.sleep, args=(5,))
        sleeper.start()
        sleeper.join(2)
        return sleeper.is_alive(), time.monotonic()

    assert sim.run_blocking(main) == (True, 2.0)


def test_select_poll_and_timeouts_wait_in_virtual_time() -> None:
    def main(world: World) -> list[Any]:
        client, server = two(world)
        noted: list[Any] = []
        with server:
            listener = socket.create_server(("", 80))
        with client:
            mine = socket.create_connection(("server", 80))
            theirs, _ = listener.accept()
            noted.append((select.select([mine], [], [], 1), time.monotonic()))
            threading.Timer(1, theirs.sendall, (b"late",)).start()
            polling = select.poll()
            polling.register(mine, select.POLLIN)
            noted.append((polling.poll() == [(mine.fileno(), select.POLLIN)], time.monotonic(), mine.recv(10)))
            mine.settimeout(0.5)
            with pytest.raises(TimeoutError):
                mine.recv(1)
            noted.append(time.monotonic())
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("server", 81))
        return noted

    assert sim.run_blocking(main) == [(([], [], []), 1.15), (True, 2.2, b"late"), 2.7]


def test_when_all_threads_wait_and_nothing_is_left_to_happen_it_says_who_waits() -> None:
    def main(world: World) -> None:
        with two(world)[0]:
            threading.Thread(target=threading.Event().wait, name="one").start()
            socket.create_server(("", 80)).accept()

    with pytest.raises(sim.Deadlock, match=r"thread 'main' for accept; thread 'one' for a lock"):
        sim.run_blocking(main)


def test_an_exception_of_main_comes_out_and_no_thread_is_left() -> None:
    cleaned: list[str] = []

    def forever() -> None:
        try:
            threading.Event().wait()
        finally:
            cleaned.append("up")

    def main(world: World) -> None:
        threading.Thread(target=forever).start()
        time.sleep(1)
        raise LookupError("mine")

    before = threading.enumerate(), threading.Lock, threading.Thread.start, time.sleep, select.poll
    with pytest.raises(LookupError, match="mine"):
        sim.run_blocking(main)
    assert cleaned == ["up"]
    assert before == (threading.enumerate(), threading.Lock, threading.Thread.start, time.sleep, select.poll)


def test_a_thread_that_fails_is_told_to_the_excepthook_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(str(args.exc_value)))

    def fail() -> None:
        raise LookupError("its own")

    def main(world: World) -> str:
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        return "done"

    assert sim.run_blocking(main) == "done"
    assert told == ["its own"]


def test_a_crash_ends_the_threads_of_its_host() -> None:
    def main(world: World) -> list[Any]:
        client, server = two(world)
        noted: list[Any] = []

        def echo() -> None:
            connection, _ = socket.create_server(("", 80)).accept()
            try:
                while data := connection.recv(100):
                    connection.sendall(data)
            finally:
                noted.append("crashed")

        with server:
            threading.Thread(target=echo).start()
        time.sleep(1)
        with client, socket.create_connection(("server", 80), timeout=2) as sock:
            sock.sendall(b"before")
            noted.append(sock.recv(100))
            server.crash()
            with pytest.raises(TimeoutError):
                sock.recv(100)
        return noted

    assert sim.run_blocking(main) == [b"before", "crashed"]


def test_a_blocking_call_outside_of_a_thread_is_refused_by_name() -> None:
    async def main(world: World) -> None:
        client, server = two(world)
        with sim.world_threads(world) as threads, client:
            with pytest.raises(UsageError, match="connect would block the whole world here"):
                socket.create_connection(("10.0.0.2", 80))
            with pytest.raises(UsageError, match="select would block the whole world here"):
                select.select([socket.create_server(("", 80))], [], [])
            assert await threads.call(lambda: 1 + 1) == 2
        with pytest.raises(UsageError, match="connect would block, and no driver lets it wait here"), server:
            socket.create_connection(("10.0.0.1", 80))

    sim.run(main)


def test_threads_and_asyncio_work_in_one_world() -> None:
    async def main(world: World) -> tuple[bytes, float]:
        client, server = two(world)

        async def echo(reader: Any, writer: Any) -> None:
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        def talk() -> bytes:
            with socket.create_connection(("server", 80)) as sock, sock.makefile("rwb") as file:
                file.write(b"hello\n")
                file.flush()
                return file.readline()

        with server:
            await asyncio.start_server(echo, port=80)
        with sim.world_threads(world) as threads, client:
            return await threads.call(talk), time.monotonic()

    assert sim.run(main) == (b"hello\n", 0.2)


def test_functions_given_to_an_executor_may_block_where_threads_run() -> None:
    async def main(world: World) -> tuple[list[float], float]:
        def slow(number: int) -> float:
            time.sleep(number)
            return time.monotonic()

        with sim.world_threads(world):
            return await asyncio.gather(*(asyncio.to_thread(slow, number) for number in (3, 1))), time.monotonic()

    assert sim.run(main) == ([3.0, 1.0], 3.0)


def test_a_lock_made_in_a_run_is_a_lock_like_any_other_afterwards() -> None:
    lock = sim.run_blocking(lambda world: threading.Lock())
    with lock:
        waiting = threading.Thread(target=lock.acquire)
        waiting.start()
        waiting.join(0.02)
        assert waiting.is_alive()
    waiting.join(5)
    assert not waiting.is_alive()
    assert lock.locked()


def test_what_a_run_imports_for_the_first_time_changes_nothing_of_its_order() -> None:
    """The next run in the same process finds it imported, and has to go as the first one did."""

    def main(world: World) -> list[int]:
        went: list[int] = []

        def work(number: int) -> None:
            importlib.import_module("this_is_imported_in_a_run")
            with lock:
                went.append(number)

        lock = threading.Lock()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return went

    class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
        def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
            return importlib.machinery.ModuleSpec(name, self) if name == "this_is_imported_in_a_run" else None

        def exec_module(self, module: Any) -> None:
            pass

    finder = Finder()
    sys.meta_path.append(finder)
    try:
        orders = [run_with_hash(main, seed) for seed in (7, 7, 8)]
    finally:
        sys.meta_path.remove(finder)
        sys.modules.pop("this_is_imported_in_a_run", None)
    assert orders[0] == orders[1]
    assert orders[0][0] != orders[2][0]
