"""Asking a running synfin: find it, send one request, read one answer.

Owns the finding and the clearing away of sockets that nobody answers on. Blocking: for short-lived commands.
"""

import contextlib
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from synfin.control.places import Place, folder, places
from synfin.engine.errors import UsageError

PATIENCE: Final = 5.0  # seconds
CHUNK: Final = 65_536
MOST_DESCRIPTORS: Final = 4

Answer = dict[str, Any]


class Gone(Exception):
    """Nobody answers at that place any more."""


def ask(place: Place, request: Mapping[str, Any]) -> tuple[Answer, list[int], socket.socket]:
    """The answer to `request`, the descriptors that came with it, and the open socket (some answers hold while it is open).

    Raises Gone when nobody answers, UsageError for an answer that is none or a request that was refused.
    """
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.settimeout(PATIENCE)
        line.connect(str(place.path))
        line.sendall(json.dumps(request).encode() + b"\n")
        data, fds, _, _ = socket.recv_fds(line, CHUNK, MOST_DESCRIPTORS)
        while data and not data.endswith(b"\n"):
            more = line.recv(CHUNK)
            if not more:
                break
            data += more
    except (ConnectionError, FileNotFoundError):
        line.close()
        raise Gone from None
    except OSError as error:
        line.close()
        raise UsageError(f"synfin of process {place.pid} does not answer: {error}") from None
    if not data.endswith(b"\n"):
        line.close()
        raise Gone
    answer: Answer = json.loads(data)
    if "error" in answer:
        line.close()
        raise UsageError(answer["error"])
    return answer, fds, line


def running(environ: Mapping[str, str], *, name: str | None = None, pid: int | None = None) -> list[tuple[Place, Answer]]:
    """The synfins that run, with what they say of themselves (`status`); sockets nobody answers on are removed."""
    found = []
    for place in places(folder(environ)):
        if (name is not None and place.name != name) or (pid is not None and place.pid != pid):
            continue
        try:
            answer, _, line = ask(place, {"ask": "status"})
        except Gone:
            _clear(place.path)
            continue
        line.close()
        found.append((place, answer))
    return found


def _clear(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def find(environ: Mapping[str, str], *, name: str | None = None, pid: int | None = None) -> list[tuple[Place, Answer]]:
    """As `running`, but raises UsageError in one clear line when there is none."""
    found = running(environ, name=name, pid=pid)
    if found:
        return found
    if pid is not None:
        raise UsageError(f"process {pid} runs no synfin; synfin ss shows what runs")
    called = f" called {name!r}" if name is not None else ""
    raise UsageError(f"no synfin{called} is running; start one with: synfin up")
