"""A running stack's side of the control socket: answers `status`, `sockets`, `listeners` and what else its program offers.

Owns the socket, and removes it. Runs in the loop that serves the stack. One request, one answer, both a line of JSON; a request
that cannot be met is answered with {"error": ..}.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from synfin.control.places import Place, folder, make_folder, place
from synfin.control.rows import listeners, rows
from synfin.sockets.face import REAL
from synfin.sockets.host import Host

LONGEST: Final = 4096  # bytes of a request
PATIENCE: Final = 5.0  # seconds in which a request has to come

Reply = tuple[dict[str, Any], list[int]]


class Request:
    """What was asked, and the line that it came over: an answer may hold for as long as that is open."""

    def __init__(self, asked: dict[str, Any], line: socket.socket) -> None:
        self.asked = asked
        self.line = line
        self.at_end: Callable[[], None] | None = None  # called when the line is closed


Handler = Callable[[Request], Reply]


class Offer:
    """Offers `host` under `name` while the `async with` block runs. `about` is added to what `status` says; `handlers` answer
    further requests with an object and descriptors to pass (which stay theirs to close).

    Raises UsageError for a name that cannot be, or a folder that is not ours.
    """

    def __init__(
        self, host: Host, name: str, about: Mapping[str, Any], handlers: Mapping[str, Handler] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        where = make_folder(folder(os.environ if environ is None else environ))
        self.place: Place = place(where, name, os.getpid())
        self._host = host
        self._about = dict(about)
        self._handlers: dict[str, Handler] = {
            "status": self._status, "sockets": self._sockets, "listeners": self._listeners, **(handlers or {})
        }  # fmt: skip
        self._listener: socket.socket | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        listener = REAL(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            with contextlib.suppress(FileNotFoundError):
                self.place.path.unlink()  # of a process that had our number
            listener.bind(str(self.place.path))
            self.place.path.chmod(0o600)
            listener.listen(16)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener.fileno(), self._accept)
        return self

    async def __aexit__(self, *_: object) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener.fileno())
            listener.close()
        with contextlib.suppress(OSError):
            self.place.path.unlink()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            line, _ = self._listener.accept()
        except OSError:
            return
        line.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._serve(line))
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    async def _serve(self, line: socket.socket) -> None:
        request = Request({}, line)
        with line:
            try:
                async with asyncio.timeout(PATIENCE):
                    data = await self._read(line)
                    answer, fds = self._answer(data, request)
                    await self._send(line, json.dumps(answer).encode() + b"\n", fds)
                await asyncio.get_running_loop().sock_recv(line, 1)  # until the other end has done with it
            except (OSError, TimeoutError):
                return
            finally:
                if request.at_end is not None:
                    request.at_end()

    @staticmethod
    async def _read(line: socket.socket) -> bytes:
        """A request: up to a newline, LONGEST bytes at most. Raises ConnectionError where the asker goes before that."""
        loop = asyncio.get_running_loop()
        data = b""
        while not data.endswith(b"\n") and len(data) < LONGEST:
            piece = await loop.sock_recv(line, LONGEST)
            if not piece:
                raise ConnectionError("the asker has gone")
            data += piece
        return data

    def _answer(self, data: bytes, request: Request) -> Reply:
        try:
            request.asked = json.loads(data)
            handler = self._handlers[request.asked["ask"]]
        except (ValueError, TypeError, KeyError):
            return {"error": f"no such request; there are: {', '.join(self._handlers)}"}, []
        return handler(request)

    async def _send(self, line: socket.socket, data: bytes, fds: list[int]) -> None:
        sent = socket.send_fds(line, [data], fds) if fds else 0
        await asyncio.get_running_loop().sock_sendall(line, data[sent:])

    def _status(self, request: Request) -> Reply:
        return {"pid": os.getpid(), "name": self.place.name, **self._about}, []

    def _sockets(self, request: Request) -> Reply:
        return {"sockets": rows(self._host.stack, self._host.now())}, []

    def _listeners(self, request: Request) -> Reply:
        return listeners(self._host.stack, self._host.now()), []
