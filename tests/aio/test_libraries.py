"""aiohttp and httpx, unmodified, over a network that loses 5 %; and the same run in every process."""

import asyncio
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import web

from synfin import sim
from synfin.sim.world import World
from tests.aio.conftest import on_two_hosts

KEEP = httpx.Limits(keepalive_expiry=None)
PROGRAM = Path(__file__).with_name("replayed.py")


async def add(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response({"n": int(request.query["n"]), "bytes": len(body)})


async def start(server: sim.Host) -> web.AppRunner:
    app = web.Application()
    app.router.add_post("/add", add)
    app.router.add_static("/files", Path(__file__).parent)
    runner = web.AppRunner(app)
    with server:
        await runner.setup()
        await web.TCPSite(runner, port=80).start()
    return runner


def test_aiohttp_serves_and_asks() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        runner = await start(server)
        answers = []
        with client:
            async with aiohttp.ClientSession() as session:
                for n in range(20):
                    async with session.post(f"http://server/add?n={n}", data=bytes(n * 1000)) as response:
                        answers.append(await response.json())
                async with session.get("http://server/files/test_libraries.py") as response:
                    text = await response.text()
        await runner.cleanup()
        return answers, text, dict(world.network.lost)

    answers, text, lost = on_two_hosts(program, loss=0.05)
    assert answers == [{"n": n, "bytes": n * 1000} for n in range(20)]
    assert text == Path(__file__).read_text(encoding="utf-8")
    assert lost["loss"] > 5


def test_aiohttp_asks_the_world_for_names_where_aiodns_would_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(aiohttp.abc.AbstractResolver):
        async def resolve(self, *_: Any, **__: Any) -> Any:
            raise OSError("the machine's DNS")

        async def close(self) -> None:
            """Nothing to close."""

    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        runner = await start(server)
        with client:
            async with aiohttp.ClientSession() as session, session.post("http://server/add?n=1") as response:
                answer = await response.json()
        await runner.cleanup()
        return answer

    monkeypatch.setattr("aiohttp.connector.DefaultResolver", Elsewhere)
    assert on_two_hosts(program) == {"n": 1, "bytes": 0}
    assert vars(aiohttp.connector)["DefaultResolver"] is Elsewhere


def test_aiohttp_survives_a_cut_and_its_dates_are_the_worlds() -> None:
    async def main(world: World) -> Any:
        server, client = world.host("server"), world.host("client")
        link = world.link(server, client, delay=0.02, loss=0.05)
        link.cut(at=3)
        link.heal(at=10)
        runner = await start(server)
        dates = []
        with client:
            async with aiohttp.ClientSession() as session:
                while world.now < 12:
                    async with session.post("http://server/add?n=1") as response:
                        dates.append(response.headers["Date"])
        await runner.cleanup()
        return dates

    dates = sim.run(main, seed=7)
    assert dates[0] == "Thu, 01 Jan 2026 00:00:00 GMT"
    seconds = [int(date[-6:-4]) for date in dates]
    assert seconds == sorted(seconds)
    assert max(after - before for before, after in pairwise(seconds)) >= 7


def test_aiohttp_speaks_websocket() -> None:
    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data.upper())
        return socket

    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        app = web.Application()
        app.router.add_get("/", talk)
        runner = web.AppRunner(app)
        with server:
            await runner.setup()
            await web.TCPSite(runner, port=80).start()
        with client:
            async with aiohttp.ClientSession() as session, session.ws_connect("http://server/") as socket:
                await socket.send_str("hello")
                first = await socket.receive_str()
                await asyncio.sleep(60)
                await socket.send_str("still there")
                return first, await socket.receive_str()

    assert on_two_hosts(program, loss=0.05) == ("HELLO", "STILL THERE")


def test_httpx_asks_fifty_times_at_once_and_keeps_its_connections() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        runner = await start(server)
        assert world.trace is not None
        with client:
            async with httpx.AsyncClient(base_url="http://10.0.0.1", timeout=60, limits=KEEP) as session:
                calls = [session.post("/add", params={"n": n}, content=bytes(n * 1000)) for n in range(50)]
                answers = [response.json() for response in await asyncio.gather(*calls)]
                before = len(world.trace.connections())
                for n in range(10):
                    answers.append((await session.post("/add", params={"n": n})).json())
                after = len(world.trace.connections())
        await runner.cleanup()
        return answers, before, after

    expected = [{"n": n, "bytes": n * 1000} for n in range(50)] + [{"n": n, "bytes": 0} for n in range(10)]
    assert on_two_hosts(program, loss=0.05) == (expected, 50, 50)


@pytest.mark.parametrize("what", ["streams", "aiohttp", "httpx"])
def test_one_seed_gives_one_run_in_every_process(what: str) -> None:
    def replay(hash_seed: str, seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        environment.pop("SYNFIN_SEED", None)
        command = [sys.executable, str(PROGRAM), what, seed]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    first = replay("1", "7")
    assert len(first.split()) == 2
    assert replay("2", "7") == first
    assert replay("1", "8") != first
