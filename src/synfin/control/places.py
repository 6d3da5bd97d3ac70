"""Where running synfins offer their sockets: one folder a user, 0700, one socket a process, `NAME.PID`.

Owns the folder and the names in it. Knows nothing of what is said over a socket.
"""

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from synfin.engine.errors import UsageError

FOLDER: Final = "synfin"
LONGEST_NAME: Final = 40


class Place(NamedTuple):
    """One socket: the `name` of its synfin, its process, where it lies."""

    name: str
    pid: int
    path: Path


def folder(environ: Mapping[str, str]) -> Path:
    """$XDG_RUNTIME_DIR/synfin; without that, a folder of the user's in the directory for temporary files."""
    runtime = environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / FOLDER if runtime else Path(tempfile.gettempdir()) / f"{FOLDER}-{os.getuid()}"


def make_folder(path: Path) -> Path:
    """Make the folder, 0700. Raises UsageError when what lies there belongs to somebody else or is open to others."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise UsageError(f"cannot make {path} for the control socket: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UsageError(f"{path} is not a directory of yours: the control socket cannot lie there; set XDG_RUNTIME_DIR")
    if found.st_mode & 0o077:
        path.chmod(0o700)
    return path


def place(where: Path, name: str, pid: int) -> Place:
    """Where the socket of process `pid` lies. Raises UsageError for a name that no file can have."""
    if not name or len(name) > LONGEST_NAME or not all(c.isalnum() or c in "-_" for c in name):
        raise UsageError(f"a name is 1 to {LONGEST_NAME} letters, digits, - and _: {name!r}")
    return Place(name, pid, where / f"{name}.{pid}")


def places(where: Path) -> list[Place]:
    """All sockets that lie there, whether anybody answers or not, oldest process number first."""
    found = []
    try:
        entries = list(where.iterdir())
    except OSError:
        return []
    for path in entries:
        name, _, pid = path.name.rpartition(".")
        if name and pid.isdigit() and path.is_socket():
            found.append(Place(name, int(pid), path))
    return sorted(found, key=lambda each: (each.pid, each.name))
