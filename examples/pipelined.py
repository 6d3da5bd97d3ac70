"""Asynchronous exchange: ask again without waiting; answers come in any order and find the question they belong to.

    python examples/pipelined.py serve          prints the port that it listens on; Ctrl-C ends it
    python examples/pipelined.py ask PORT       asks for the squares of 1 to 5 at once

The server answers the last question first: it waits until all five have come.
"""

import asyncio
import sys
from contextlib import suppress

from synfin.channels.exchangeaio import connect, serve
from synfin.channels.framing import LengthHeader

FRAMING = LengthHeader(4)
PORTS = [str(number) for number in range(1, 65_536)]  # what PORT may be
NUMBERS = range(1, 6)


async def run_server() -> None:
    turns = {number: asyncio.Event() for number in NUMBERS}

    async def square(question: bytes) -> bytes:
        number = int(question)
        if number + 1 in turns:
            await turns[number + 1].wait()
        turns[number].set()
        return str(number * number).encode()

    async with await serve(square, "127.0.0.1", 0, FRAMING) as server:
        print(f"listening on port {server.port}", flush=True)
        await asyncio.Event().wait()


async def ask(port: int) -> None:
    async with await connect("127.0.0.1", port, FRAMING) as channel:
        calls = {await channel.submit(b"%d" % number): number for number in NUMBERS}
        for call, number in calls.items():
            call.add_done_callback(lambda done, number=number: print(f"{number} * {number} = {done.result().decode()}"))
        await asyncio.gather(*calls)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        with suppress(KeyboardInterrupt):
            asyncio.run(run_server())
    elif len(sys.argv) == 3 and sys.argv[1] == "ask" and sys.argv[2] in PORTS:
        asyncio.run(ask(int(sys.argv[2])))
    else:
        sys.exit(__doc__)
