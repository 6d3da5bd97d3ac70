"""unshare and setns through ctypes (os has them from Python 3.12 only), and what this process may do.

Owns the two calls and the reading of /proc/self/status. Only a process with one thread may call them: the helper, and `exec`
just before it becomes another program.
"""

import ctypes
import os
from pathlib import Path
from typing import Final

# <linux/sched.h>
CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWNET: Final = 0x4000_0000

CAP_SYS_ADMIN: Final = 21  # <linux/capability.h>


def unshare(flags: int) -> None:
    """Move this process into new namespaces (unshare(2)). Raises OSError."""
    _call("unshare", ctypes.c_int(flags))


def setns(fd: int, kind: int) -> None:
    """Move this process into the namespace that `fd` stands for, which must be of `kind` (setns(2)). Raises OSError."""
    _call("setns", ctypes.c_int(fd), ctypes.c_int(kind))


def _call(name: str, *arguments: ctypes.c_int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def has_capability(number: int, status: Path = Path("/proc/self/status")) -> bool:
    """Whether the capability is among this process's effective ones."""
    for line in status.read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False
