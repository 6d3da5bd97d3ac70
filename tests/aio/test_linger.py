"""SO_LINGER with a time in asyncio, in real time: close holds the loop, as it does on Linux."""

import asyncio
import socket
import struct
import time
from typing import Any

from synfin.aio import realtime
from synfin.sockets.face import Socket
from tests.sockets.realtime import SERVER, two_hosts

SOL = socket.SOL_SOCKET


async def _pair(client: Any, server: Any) -> tuple[Socket, Socket]:
    loop = asyncio.get_running_loop()
    with server:
        listener = socket.socket()
        listener.setblocking(False)
        listener.bind((SERVER, 0))
        listener.listen()
    with client:
        mine = socket.socket()
        mine.setblocking(False)
        await loop.sock_connect(mine, (SERVER, listener.getsockname()[1]))
    theirs, _ = await loop.sock_accept(listener)
    listener.close()
    assert isinstance(mine, Socket) and isinstance(theirs, Socket)
    return mine, theirs


def test_close_returns_when_the_peer_has_acknowledged_everything() -> None:
    async def main() -> Any:
        mine, theirs = await _pair(client, server)
        mine.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 20))
        assert struct.unpack("ii", mine.getsockopt(SOL, socket.SO_LINGER, 8)) == (1, 20)
        assert mine.send(bytes(100_000)) == 100_000
        connection = mine.endpoint.connection
        assert connection is not None and connection.unacked() > 0
        mine.close()
        assert connection.sender.fin_acked, "the loop had no turn in between"
        received = len(theirs.recv(1 << 20))
        theirs.close()
        return received

    with two_hosts() as (client, server):
        assert realtime.run(main(), client, server) == 100_000


def test_close_returns_after_its_time_though_the_peer_takes_nothing() -> None:
    async def main() -> Any:
        mine, theirs = await _pair(client, server)
        mine.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 1))
        connection = mine.endpoint.connection
        assert connection is not None
        while not connection.sender.probing:  # more than the peer has room for
            try:
                mine.send(bytes(100_000))
            except BlockingIOError:
                await asyncio.sleep(0)
        began = time.monotonic()
        mine.close()
        waited = time.monotonic() - began
        assert not connection.sender.fin_acked
        theirs.close()
        return waited

    with two_hosts() as (client, server):
        assert realtime.run(main(), client, server, linger=0.1) >= 1.0
