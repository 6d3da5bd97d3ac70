"""Synchronous exchange: ask, then wait for the answer, but not for ever. A late answer is never taken for the next one.

    python examples/sync_timeout.py serve         prints the port that it listens on; Ctrl-C ends it
    python examples/sync_timeout.py ask PORT      asks something slow with little patience, then something else

The server answers `slow` only once it has been asked `quick`: so the late answer always comes first.
"""

import asyncio
import sys
from contextlib import suppress

from synfin.channels.errors import ChannelTimeout
from synfin.channels.exchangeaio import connect, serve
from synfin.channels.framing import LengthHeader

FRAMING = LengthHeader(4)
PORTS = [str(number) for number in range(1, 65_536)]  # what PORT may be


async def run_server() -> None:
    hurry = asyncio.Event()

    async def answer(question: bytes) -> bytes:
        if question == b"slow":
            await hurry.wait()
            return b"the answer to slow"
        hurry.set()
        await asyncio.sleep(0.05)
        return b"the answer to quick"

    async with await serve(answer, "127.0.0.1", 0, FRAMING) as server:
        print(f"listening on port {server.port}", flush=True)
        await asyncio.Event().wait()


async def ask(port: int) -> None:
    async with await connect("127.0.0.1", port, FRAMING) as channel:
        try:
            print((await channel.ask(b"slow", timeout=0.2)).decode())
        except ChannelTimeout as error:
            print(f"slow: {error}")
        print(f"quick: {(await channel.ask(b'quick', timeout=5)).decode()}")
        print(f"late answers dropped: {channel.exchange.late}")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        with suppress(KeyboardInterrupt):
            asyncio.run(run_server())
    elif len(sys.argv) == 3 and sys.argv[1] == "ask" and sys.argv[2] in PORTS:
        asyncio.run(ask(int(sys.argv[2])))
    else:
        sys.exit(__doc__)
