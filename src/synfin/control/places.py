"""Where running synfins offer their sockets: one folder a user, 0700, one socket a process, `NAME.PID`.

Owns the folder and the names in it, and the right to be the first of a name. Knows nothing of what is said over a socket.
"""

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, Self

from synfin.engine.errors import UsageError

FOLDER: Final = "synfin"
LONGEST_NAME: Final = 40
LONGEST_PATH: Final = 107  # bytes of a Unix socket's path, sockaddr_un less the closing zero


class Place(NamedTuple):
    """One socket: the `name` of its synfin, its process, where it lies."""

    name: str
    pid: int
    path: Path


def folder(environ: Mapping[str, str]) -> Path:
    """$XDG_RUNTIME_DIR/synfin; without that, or with a relative path there (which the XDG Base Directory Specification has
    ignored), a folder of the user's in the directory for temporary files."""
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    return Path(runtime) / FOLDER if os.path.isabs(runtime) else Path(tempfile.gettempdir()) / f"{FOLDER}-{os.getuid()}"


def make_folder(path: Path) -> Path:
    """Make the folder, 0700. Raises UsageError when what lies there belongs to somebody else or is open to others."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise UsageError(f"cannot make {path} for the control socket: {error.strerror}; set XDG_RUNTIME_DIR") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UsageError(f"{path} is not a directory of yours: the control socket cannot lie there; set XDG_RUNTIME_DIR")
    if found.st_mode & 0o077:
        path.chmod(0o700)
    return path


class Turn:
    """The turn of those who would be first under `name`: while one has it, the others wait. Whoever comes second finds who was
    first, and joins it. Lasts until `release`, at the longest as long as the process.

    Raises UsageError for a name that no file can have.
    """

    def __init__(self, where: Path, name: str) -> None:
        check_name(name)
        self._path = where / f"{name}.lock"
        self._fd = -1

    def __enter__(self) -> Self:
        while self._fd < 0:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if self._lies_there(fd):
                    self._fd, fd = fd, -1
            finally:
                if fd >= 0:
                    os.close(fd)
        return self

    def _lies_there(self, fd: int) -> bool:
        """Whether `fd` is the file of that name still: who had the turn before us has taken its file away."""
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self._path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let the next have its turn; nothing is left in the folder. Repeating it does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(fd)

    def __exit__(self, *_: object) -> None:
        self.release()


def check_name(name: str) -> None:
    """Raises UsageError for a name that no file can have."""
    if not name or len(name) > LONGEST_NAME or not all(c.isalnum() or c in "-_" for c in name):
        raise UsageError(f"a name is 1 to {LONGEST_NAME} letters, digits, - and _: {name!r}")


def place(where: Path, name: str, pid: int) -> Place:
    """Where the socket of process `pid` lies. Raises UsageError for a name that no file can have, or a path no socket can."""
    check_name(name)
    path = where / f"{name}.{pid}"
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise UsageError(f"{path} is too long for a socket ({LONGEST_PATH} bytes): set XDG_RUNTIME_DIR to a shorter one")
    return Place(name, pid, path)


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
