"""A short connection: connect, send one message, receive one, close.

    python examples/short.py serve            prints the port that it listens on; Ctrl-C ends it
    python examples/short.py ask PORT WORD    asks once, prints the answer
"""

import asyncio
import sys
from contextlib import suppress

from synfin.channels.aio import MessageStream, exchange_once, serve
from synfin.channels.framing import LengthHeader

FRAMING = LengthHeader(4)
PORTS = [str(number) for number in range(1, 65_536)]  # what PORT may be


async def shout(stream: MessageStream) -> None:
    """Answer each message in capitals, for as long as the client asks."""
    async for message in stream:
        stream.send(message.upper())


async def run_server() -> None:
    async with await serve(shout, "127.0.0.1", 0, FRAMING) as server:
        print(f"listening on port {server.port}", flush=True)
        await asyncio.Event().wait()


async def ask(port: int, word: str) -> None:
    answer = await exchange_once("127.0.0.1", port, FRAMING, word.encode(), timeout=5)
    print(f"{word} -> {answer.decode()}")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        with suppress(KeyboardInterrupt):
            asyncio.run(run_server())
    elif len(sys.argv) == 4 and sys.argv[1] == "ask" and sys.argv[2] in PORTS:
        asyncio.run(ask(int(sys.argv[2]), sys.argv[3]))
    else:
        sys.exit(__doc__)
