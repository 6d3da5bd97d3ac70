"""A long connection: exchange, keep it through a silence with heartbeats, exchange again, say goodbye.

    python examples/long_heartbeat.py serve              prints the port that it listens on; Ctrl-C ends it
    python examples/long_heartbeat.py talk PORT [BEATS]  asks, is silent for 2 heartbeats (or BEATS), asks again

Stop the server during the silence (kill -STOP): within 0.8 s the client says that its peer is dead.
"""

import asyncio
import sys
from contextlib import suppress

from synfin.channels.errors import PeerDead
from synfin.channels.framing import LengthHeader
from synfin.channels.life import LifeSettings
from synfin.channels.long import LongChannel, connect, serve

FRAMING = LengthHeader(4)
PORTS = [str(number) for number in range(1, 65_536)]  # what PORT may be
MILLISECOND = 1_000_000
WATCHED = LifeSettings(interval=200 * MILLISECOND, timeout=200 * MILLISECOND, misses=3)


async def shout(channel: LongChannel) -> None:
    """Answer each message in capitals, until the client says goodbye."""
    async for message in channel:
        await channel.send(message.upper())


async def run_server() -> None:
    async with await serve(shout, "127.0.0.1", 0, FRAMING) as server:
        print(f"listening on port {server.port}", flush=True)
        await asyncio.Event().wait()


async def talk(port: int, beats: int) -> None:
    try:
        async with await connect("127.0.0.1", port, FRAMING, WATCHED) as channel:
            await channel.send(b"hello")
            print((await channel.receive()).decode(), flush=True)
            while channel.alive and channel.life.answered < beats:
                await asyncio.sleep(0.02)
            await channel.send(b"still there?")
            print(f"{(await channel.receive()).decode()} after {channel.life.answered} heartbeats")
    except PeerDead as dead:
        sys.exit(f"the peer is dead: {dead}")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        with suppress(KeyboardInterrupt):
            asyncio.run(run_server())
    elif len(sys.argv) in (3, 4) and sys.argv[1] == "talk" and sys.argv[2] in PORTS and sys.argv[-1].isdecimal():
        asyncio.run(talk(int(sys.argv[2]), int([*sys.argv, "2"][3])))
    else:
        sys.exit(__doc__)
