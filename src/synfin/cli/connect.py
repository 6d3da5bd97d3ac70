"""`synfin connect HOST PORT`: standard input and output over one connection of synfin's, like netcat.

Owns the copying. The end of the input is a FIN, the end of the output is the peer's; neither waits for the other.
"""

import asyncio
import os
import select
import stat
import sys
import time
from typing import Final

from synfin.cli.session import Network, Session, in_words, session
from synfin.engine.errors import UsageError
from synfin.words import Text

CHUNK: Final = 262_144  # bytes
RETRY: Final = 0.2  # seconds
SHOWN_AFTER: Final = 1.0  # seconds; a shorter transfer shows no progress
STDIN: Final = 0
STDOUT: Final = 1

TRY = Text("In another terminal: {command}", "在另一个终端里运行：{command}")
WAITING = Text("Nothing listens at {host} port {port} yet; waiting for it.", "{host} 端口 {port} 尚无程序监听；正在等待。")
PROGRESS = Text("{sent} sent, {received} received, {rate}/s", "已发送 {sent}，已接收 {received}，{rate}/秒")


class Count:
    """Bytes each way."""

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0


def connect(host: str, port: int, network: Network) -> int:
    """Copy until both directions have ended; returns the exit status. Raises UsageError when there is no connection."""
    with session(network, f"connect {host} {port}") as made:
        return made.run(lambda: _connect(host, port, made))


async def _connect(host: str, port: int, made: Session) -> int:
    reader, writer = await _open(host, port, made)
    count = Count()
    upstream = asyncio.create_task(_send_input(writer, count))
    showing = asyncio.create_task(_show(count, made.network.lang)) if sys.stderr.isatty() else None
    try:
        await _write_output(reader, count)
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
        for task in (upstream, showing):
            if task is not None:
                task.cancel()
    return 0


async def _open(host: str, port: int, made: Session) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The connection. In a namespace that we have just made nothing can listen yet: then it is waited for."""
    lang, told = made.network.lang, False
    while True:
        try:
            return await asyncio.open_connection(host, port, limit=CHUNK)
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


async def _write_output(reader: asyncio.StreamReader, count: Count) -> None:
    """Never blocks for long: what waits for a pipe waits here, and the connection's timers go on."""
    waits = not stat.S_ISREG(os.fstat(STDOUT).st_mode)
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    while data := await reader.read(CHUNK):
        count.received += len(data)
        view = memoryview(data)
        while view:
            if waits and not select.select([], [STDOUT], [], 0)[1]:
                ready.clear()
                loop.add_writer(STDOUT, ready.set)
                try:
                    await ready.wait()
                finally:
                    loop.remove_writer(STDOUT)
            view = view[os.write(STDOUT, view[: select.PIPE_BUF] if waits else view) :]


async def _show(count: Count, lang: str) -> None:
    """A line on the terminal that is written over, until cancelled."""
    start = time.monotonic()
    await asyncio.sleep(SHOWN_AFTER)
    try:
        while True:
            elapsed = time.monotonic() - start
            rate = (count.sent + count.received) / elapsed
            line = PROGRESS.say(lang, sent=size(count.sent), received=size(count.received), rate=size(int(rate)))
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(0.5)
    finally:
        print(file=sys.stderr)


def size(number: int) -> str:
    """Bytes as a person reads them: `512 B`, `1.5 MB`."""
    if number < 1000:
        return f"{number} B"
    value, units = number / 1000, ["kB", "MB", "GB", "TB"]
    while value >= 999.95 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.1f} {units[0]}"
