"""What goes wrong around a run, in the world or by the user's own mistake, and what is said of it."""

import asyncio
import gc
import logging
import socket
import ssl
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synfin import sim
from synfin.sim.world import World
from tests.aio.conftest import on_two_hosts


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Keeps the connection open."""
    await reader.read()


async def refuse_to_end() -> None:
    """Waits for ever, cancelled or not."""
    try:
        await asyncio.sleep(1000)
    finally:
        await asyncio.Event().wait()


# --- a host that crashes


def test_a_crash_tells_the_protocols_of_the_host_so_that_nobody_waits_for_them() -> None:
    told = []

    class Told(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            told.append(repr(exc))

    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        loop = asyncio.get_running_loop()
        with server:
            service = await loop.create_server(Told, port=80)
        with client:
            reader, writer = await asyncio.open_connection("server", 80)
        await asyncio.sleep(1)
        server.crash()
        await asyncio.sleep(1)
        service.close()
        await asyncio.wait_for(service.wait_closed(), 1)
        return told, reader.at_eof(), writer.is_closing()

    assert on_two_hosts(program) == (["ConnectionAbortedError(103, 'server has crashed')"], False, False)


def test_a_service_ended_by_a_crash_ends_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        async def serve() -> None:
            async with await asyncio.start_server(hold, "0.0.0.0", 80) as service:
                await service.serve_forever()

        first = server.create_task(serve())
        await asyncio.sleep(1)
        with client:
            reader, writer = await asyncio.open_connection("server", 80)
            server.crash()
            await asyncio.sleep(1)
            ended = first.cancelled()
            server.restart()
            server.create_task(serve())
            writer.write(b"?")  # the new server knows nothing of this connection
            with pytest.raises(ConnectionResetError):
                await reader.read()
            await asyncio.open_connection("server", 80)
        return ended

    with caplog.at_level(logging.WARNING):
        assert on_two_hosts(program) is True
    assert caplog.messages == []


def test_a_crash_is_no_matter_of_an_earlier_run_in_the_same_world() -> None:
    world = World(1)
    server, client = world.host("server"), world.host("client")
    world.link(server, client)
    kept = []

    async def first(world: World) -> None:
        with server:
            await asyncio.start_server(hold, port=80)
        with client:
            kept.append(await asyncio.open_connection("server", 80))

    async def second(world: World) -> str:
        server.crash()
        client.crash()
        await asyncio.sleep(1)
        return server.state

    sim.run(first, world=world)
    assert sim.run(second, world=world) == "down"


def test_a_crash_ends_tasks_that_a_factory_of_the_programs_own_made() -> None:
    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=loop, **options)

    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        asyncio.get_running_loop().set_task_factory(factory)
        tasks = [host.create_task(asyncio.sleep(1000)) for host in (server, client)]
        await asyncio.sleep(1)
        server.crash()
        await asyncio.sleep(1)
        return [task.cancelled() for task in tasks]

    assert on_two_hosts(program) == [True, False]


# --- what is left at the end


def test_a_task_that_will_not_end_is_named() -> None:
    async def main() -> None:
        stubborn = asyncio.create_task(refuse_to_end(), name="stubborn")
        await asyncio.sleep(1)
        assert not stubborn.done()

    with pytest.raises(sim.Deadlock, match=r"cancelled at the end .* 'stubborn' at .*test_mishaps.py:\d+ in refuse_to_end"):
        sim.run(main())


def test_a_task_that_will_not_end_does_not_hide_what_failed() -> None:
    async def main() -> None:
        stubborn = asyncio.create_task(refuse_to_end(), name="stubborn")
        await asyncio.sleep(1)
        assert not stubborn.done()
        raise ValueError("the failure itself")

    with pytest.raises(ValueError, match="the failure itself") as failure:
        sim.run(main())
    assert "cancelled at the end of the run, these tasks wait on" in failure.value.__notes__[0]


@pytest.mark.filterwarnings("error")
def test_connections_left_at_the_end_are_no_leak(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    kept = []

    async def program(world: World, server: sim.Host, client: sim.Host) -> int:
        for port, ours, theirs in ((80, None, None), (443, server_tls, client_tls)):
            with server:
                await asyncio.start_server(hold, port=port, ssl=ours)
            with client:
                kept.append(await asyncio.open_connection("server", port, ssl=theirs))
        return len(world.hosts)

    assert on_two_hosts(program) == 2
    kept.clear()
    gc.collect()


def test_a_deadlock_says_which_threads_were_waited_for() -> None:
    release = threading.Event()

    async def main() -> None:
        done = asyncio.get_running_loop().create_future()
        threading.Thread(target=release.wait, name="worker").start()
        await done

    try:
        with pytest.raises(sim.Deadlock, match="does not wait for what lives in another time: the thread 'worker'"):
            sim.run(main())
    finally:
        release.set()


# --- mistakes in the program


def test_a_program_that_takes_no_world_is_to_be_called() -> None:
    async def main() -> None:
        """Takes nothing."""

    with pytest.raises(sim.UsageError, match=r"main\(\) does not take.* sim.run\(main\(\)\)"):
        sim.run(main)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda link: link.drop(where=lambda packet: packet.no_such_thing), AttributeError),
        (lambda link: link.add(lambda packet: 1 // 0), ZeroDivisionError),
        (lambda link: link.add(lambda packet: True), sim.UsageError),
    ],
)
def test_a_rule_that_fails_fails_the_run_and_not_the_connection(
    spoil: Callable[[sim.Link], object], error: type[Exception]
) -> None:
    async def main(world: World) -> None:
        server, client = world.host("server"), world.host("client")
        spoil(world.link(server, client))
        with server:
            await asyncio.start_server(hold, "0.0.0.0", 80)
        with client:
            await asyncio.open_connection("server", 80, happy_eyeballs_delay=0.25)

    with pytest.raises(error):
        sim.run(main)


def test_a_host_to_which_no_link_leads_is_unreachable_at_once() -> None:
    async def main(world: World) -> float:
        _, client = world.host("server"), world.host("client")
        with client, pytest.raises(OSError, match="Network is unreachable: no link leads from client to server"):
            await asyncio.open_connection("server", 80)
        return world.now

    assert sim.run(main) == 0


def test_an_unknown_name_fails_as_in_dns_and_a_note_says_which_names_there_are() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> list[str]:
        notes = []
        with client:
            for name in ("servr", "example.org"):
                with pytest.raises(socket.gaierror, match="Name or service not known") as failure:
                    await asyncio.open_connection(name, 80)
                notes += failure.value.__notes__
        return notes

    assert on_two_hosts(program) == [
        "synfin: no host 'servr'; nearest: 'server'",
        "synfin: no host 'example.org'; hosts are server, client",
    ]


def test_a_socket_for_datagrams_is_refused_with_the_reason() -> None:
    async def main() -> None:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    with pytest.raises(OSError, match="Protocol not supported") as failure:
        sim.run(main())
    assert failure.value.__notes__[0] == "synfin is a TCP: a simulated socket is SOCK_STREAM"


# --- what a host says to itself


def test_every_host_has_a_loopback_of_its_own() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        with server:
            await asyncio.start_server(hold, "127.0.0.1", 80)
            found = []
            for name in ("127.0.0.1", "localhost"):
                _, writer = await asyncio.open_connection(name, 80)
                found.append(writer.get_extra_info("peername"))
        with client:
            for name in ("127.0.0.1", "localhost", "server"):
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection(name, 80, family=socket.AF_INET)
            found.append(socket.gethostbyaddr("127.0.0.1"))
        return found

    assert on_two_hosts(program) == [("127.0.0.1", 80), ("127.0.0.1", 80), ("localhost", [], ["127.0.0.1"])]


def test_a_run_that_fails_after_a_word_to_itself_draws_what_was_on_the_network(tmp_path: Path) -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> None:
        with server:
            await asyncio.start_server(hold, "0.0.0.0", 80)
        with client:
            await asyncio.open_connection("server", 80)
        with server:
            await asyncio.open_connection("localhost", 80)
        raise ValueError("on purpose")

    async def main(world: World) -> None:
        server, client = world.host("server"), world.host("client")
        world.link(server, client)
        await program(world, server, client)

    with pytest.raises(ValueError, match="on purpose"):
        sim.run(main, failures=tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".pcapng", ".svg"]


def test_pytest_knows_the_plugin_by_the_name_of_its_module() -> None:
    """Or `-p synfin.testing` and `pytest_plugins` would load it a second time, which pytest refuses."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["pytest11"] == {"synfin.testing": "synfin.testing"}
