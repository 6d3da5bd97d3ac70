"""`synfin connect HOST PORT`: standard input and output over one connection of synfin's, like netcat.

Owns the copying. The end of the input is a FIN, the end of the output is the peer's; neither waits for the other.
"""

import asyncio
import os
import select
import socket
import stat
import sys
import time
from typing import Final

from synfin.cli.output import in_words
from synfin.cli.progress import Count, end, show
from synfin.cli.session import Network, Session, session
from synfin.engine.errors import UsageError
from synfin.words import Text

CHUNK: Final = 262_144  # bytes
RETRY: Final = 0.2  # seconds
STDIN: Final = 0
STDOUT: Final = 1

TRY = Text("In another terminal: {command}", "在另一个终端里运行：{command}")
WAITING = Text("Nothing listens at {host} port {port} yet; waiting for it.", "{host} 端口 {port} 尚无程序监听；正在等待。")


def connect(host: str, port: int, network: Network) -> int:
    """Copy until both directions have ended; returns the exit status. Raises UsageError when there is no connection."""
    with session(network, f"connect {host} {port}") as made:
        return made.run(lambda: _connect(host, port, made))


async def _connect(host: str, port: int, made: Session) -> int:
    reader, writer = await _open(host, port, made)
    count = Count(time.monotonic())
    upstream = asyncio.create_task(_send_input(writer, count))
    showing = asyncio.create_task(show([count], made.network.lang, sys.stderr)) if _terminal_is_free() else None
    try:
        await _write_output(reader, count, showing)
        if not sys.stdin.isatty():  # the peer's FIN ends its direction only
            await upstream
        writer.close()
        await writer.wait_closed()
    except OSError as error:
        if isinstance(error, BrokenPipeError) and not writer.is_closing():
            writer.transport.abort()
            raise
        raise UsageError(f"{host} port {port}: {in_words(error)}") from None
    finally:
        upstream.cancel()
        if showing is not None:
            await end(showing)
    return 0


async def _open(host: str, port: int, made: Session) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The connection. In a namespace that we have just made nothing can listen yet: then it is waited for."""
    lang, told = made.network.lang, False
    while True:
        try:
            return await _open_any(host, port)
        except ConnectionRefusedError as error:
            if not made.alone:
                raise UsageError(f"{host} port {port}: {in_words(error)}") from None
        except OSError as error:
            raise UsageError(f"{host} port {port}: {in_words(error)}") from None
        if not told:
            told = True
            print(TRY.say(lang, command=f"{made.exec}python3 -m http.server {port}"), file=sys.stderr)
            print(WAITING.say(lang, host=host, port=port), file=sys.stderr, flush=True)
        await asyncio.sleep(RETRY)


async def _open_any(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the first address of `host` that takes one. Raises what the first said: asyncio would say all at once."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    first: OSError | None = None
    for _, _, _, _, address in found:
        try:
            return await asyncio.open_connection(str(address[0]), port, limit=CHUNK)
        except OSError as error:
            first = first or error
    assert first is not None  # an unknown name has raised
    raise first


async def _send_input(writer: asyncio.StreamWriter, count: Count) -> None:
    ready_made = stat.S_ISREG(os.fstat(STDIN).st_mode)
    try:
        while data := await _read(ready_made):
            writer.write(data)
            await writer.drain()
            count.sent += len(data)
        writer.write_eof()
    except ConnectionError:
        return  # who reads is told


async def _read(ready_made: bool) -> bytes:
    """What standard input has; a file is always ready, and no selector takes it."""
    if ready_made:
        await asyncio.sleep(0)
        return os.read(STDIN, CHUNK)
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(STDIN, ready.set)
    except PermissionError:  # /dev/null and the like
        return os.read(STDIN, CHUNK)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(STDIN)
    return os.read(STDIN, CHUNK)


async def _write_output(reader: asyncio.StreamReader, count: Count, showing: "asyncio.Task[None] | None") -> None:
    """Never blocks for long: what waits for a pipe waits here, and the connection's timers go on. Where the output goes to the
    terminal it takes the place of the progress there."""
    waits = not stat.S_ISREG(os.fstat(STDOUT).st_mode)
    while data := await reader.read(CHUNK):
        if showing is not None and sys.stdout.isatty():
            await end(showing)
        count.received += len(data)
        view = memoryview(data)
        while view:
            if waits:
                await _until_writable()
            view = view[os.write(STDOUT, view[: select.PIPE_BUF] if waits else view) :]


async def _until_writable() -> None:
    """Until standard output takes select.PIPE_BUF bytes at once."""
    if select.select([], [STDOUT], [], 0)[1]:
        return
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(STDOUT, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(STDOUT)


def _terminal_is_free() -> bool:
    """Whether standard error is a terminal on which nobody talks with the peer: progress would go in between."""
    return sys.stderr.isatty() and not (sys.stdin.isatty() and sys.stdout.isatty())
