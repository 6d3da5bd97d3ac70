"""`synfin serve`: echo, discard, chargen or a folder over HTTP, as plain asyncio programs on synfin's TCP.

Owns the four services (RFC 862, 863, 864; HTTP is files.py's) and the words around them.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from synfin.cli.files import FileServer
from synfin.cli.output import in_words
from synfin.cli.progress import Count, end, show
from synfin.cli.session import Network, Session, session
from synfin.engine.errors import UsageError
from synfin.words import Text

CHUNK: Final = 262_144  # bytes
LINE: Final = 72  # characters of a chargen line

TRY = Text("In another terminal: {command}", "在另一个终端里运行：{command}")
SERVING = Text(
    "Serving {what} at {address} port {port}; Ctrl-C ends it.", "正在 {address} 端口 {port} 提供 {what}；按 Ctrl-C 结束。"
)

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def serve(service: str, directory: Path | None, port: int, network: Network) -> int:
    """Serve until interrupted; returns the exit status. Raises UsageError for a service that lacks its folder."""
    if service == "http":
        if directory is None:
            directory = Path(".")
        if not directory.is_dir():
            raise UsageError(f"serve http: there is no directory {directory}")
        handle: Handle = FileServer(directory).serve
    elif directory is not None:
        raise UsageError(f"serve {service} takes no directory")
    else:
        handle = SERVICES[service]
    with session(network, f"serve {service}") as made:
        return made.run(lambda: _serve(service, handle, port, made))


async def _serve(service: str, handle: Handle, port: int, made: Session) -> int:
    addresses, counts = list(made.plan.ours), list[Count]()
    try:
        server = await _start(_guarded(handle, counts), addresses, port)
    except OSError as error:
        raise UsageError(f"cannot serve at port {port}: {in_words(error)}") from None
    _announce(service, port, made)
    showing = asyncio.create_task(show(counts, made.network.lang, sys.stderr)) if sys.stderr.isatty() else None
    try:
        async with server:
            await server.serve_forever()
    finally:
        if showing is not None:
            await end(showing)
    return 0


class CountedReader(asyncio.StreamReader):
    """A StreamReader that counts what comes."""

    def __init__(self) -> None:
        super().__init__(limit=CHUNK, loop=asyncio.get_running_loop())
        self.count = Count(time.monotonic())

    def feed_data(self, data: Any) -> None:
        """See StreamReader."""
        self.count.received += len(data)
        super().feed_data(data)


class CountedWriter(asyncio.StreamWriter):
    """A StreamWriter beside `writer`, on the same transport, that counts what goes."""

    def __init__(self, writer: asyncio.StreamWriter, reader: CountedReader) -> None:
        super().__init__(writer.transport, writer.transport.get_protocol(), reader, asyncio.get_running_loop())
        self._count = reader.count

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See StreamWriter."""
        self._count.sent += len(data)
        super().write(data)


async def _start(handle: Handle, addresses: list[str], port: int) -> asyncio.Server:
    """As asyncio.start_server, with readers that count."""
    return await asyncio.get_running_loop().create_server(
        lambda: asyncio.StreamReaderProtocol(CountedReader(), handle), addresses, port
    )


def _announce(service: str, port: int, made: Session) -> None:
    """First of all what is to be pasted next."""
    made.tell_where()
    lang, address = made.network.lang, made.plan.ours[0]
    if service == "http":
        command = f"{made.exec}curl http://{address}:{port}/"
    else:
        command = f"{made.exec}curl telnet://{address}:{port}"
    print(TRY.say(lang, command=command))
    print(SERVING.say(lang, what=service, address=address, port=port))
    sys.stdout.flush()


def _guarded(handle: Handle, counts: list[Count]) -> Handle:
    """A peer that resets, or is silent for too long, ends its own connection and nothing else. `counts` has what goes on."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(reader, CountedReader)
        counted = CountedWriter(writer, reader)
        counts.append(reader.count)
        try:
            await handle(reader, counted)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()  # the service ends; 3.11's streams would report a task that was cancelled as an error
        finally:
            counts.remove(reader.count)
            writer.close()

    return guarded


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RFC 862: what comes goes back, until the peer's FIN."""
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()


async def discard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RFC 863: what comes is thrown away."""
    while await reader.read(CHUNK):
        pass


async def chargen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RFC 864: characters without end, until the peer closes."""
    shown = bytes(range(32, 127))
    lines = [(shown + shown)[n : n + LINE] + b"\r\n" for n in range(len(shown))]
    pattern = b"".join(lines)
    ending = asyncio.ensure_future(reader.read())
    try:
        while not ending.done():
            writer.write(pattern)
            await writer.drain()
    finally:
        ending.cancel()


SERVICES: Final[dict[str, Handle]] = {"echo": echo, "discard": discard, "chargen": chargen}
