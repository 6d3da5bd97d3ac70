"""Prints the replay hash and the payload hash of a run: `python replayed.py streams|aiohttp|httpx SEED`.

Begins, ends and gathers in ways whose order hangs on the hashes of strings and of tasks, unless somebody sees to it.
"""

import asyncio
import random
import sys
import uuid
from typing import Any

import aiohttp
import httpx
from aiohttp import web

from synfin import sim
from synfin.sim.world import World


async def streams(server: sim.Host, client: sim.Host) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)

    with server:
        ports = [(await asyncio.start_server(echo, "server", 0)).sockets[0].getsockname()[1] for _ in range(3)]

    async def talk(number: int) -> None:
        reader, writer = await asyncio.open_connection("server", ports[number % 3])
        for _ in range(10):
            await asyncio.sleep(random.random())
            writer.write(b"%s\n" % uuid.uuid4().hex.encode())
            await reader.readline()
        if number % 2:
            writer.close()

    with client:
        tasks = {asyncio.create_task(talk(number)) for number in range(20)}
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            await task
        for done in asyncio.as_completed([talk(number) for number in range(20)]):
            await done


async def web_server(server: sim.Host) -> Any:
    async def hello(request: web.Request) -> web.Response:
        return web.json_response(dict(request.query.items()))

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    with server:
        await runner.setup()
        await web.TCPSite(runner, port=80).start()
    return runner


async def by_aiohttp(server: sim.Host, client: sim.Host) -> None:
    await web_server(server)
    with client:
        async with aiohttp.ClientSession() as session:

            async def ask(number: int) -> str:
                async with session.get("http://server/", params={"a": str(number), "b": uuid.uuid4().hex}) as response:
                    return await response.text()

            await asyncio.gather(*(ask(number) for number in range(30)))


async def by_httpx(server: sim.Host, client: sim.Host) -> None:
    await web_server(server)
    with client:
        async with httpx.AsyncClient() as session:
            await asyncio.gather(*(session.get("http://server/", params={"a": str(n)}) for n in range(30)))


async def main(world: World) -> None:
    server, client = world.host("server"), world.host("client")
    world.link(server, client, delay=0.02, jitter=0.005, loss=0.05)
    await {"streams": streams, "aiohttp": by_aiohttp, "httpx": by_httpx}[sys.argv[1]](server, client)


if __name__ == "__main__":
    made = World(int(sys.argv[2]))
    sim.run(main, world=made)
    print(made.replay_hash, made.payload_hash)
