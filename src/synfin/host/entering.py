"""Entering a namespace that another process holds.

Only for a process of one thread that is about to become another program, or was started to be inside: what it had on the
machine's network it has no more.
"""

import os
from typing import Any

from synfin.engine.errors import UsageError
from synfin.host.syscalls import CLONE_NEWNET, CLONE_NEWUSER, setns


def enter(holder: Any) -> None:
    """Enter the namespaces of process `holder`; None: the machine's own network is meant, nothing is to be entered."""
    if holder is None:
        return
    opened = []
    try:
        for kind, flag in (("user", CLONE_NEWUSER), ("net", CLONE_NEWNET)):
            path = f"/proc/{holder}/ns/{kind}"
            if os.stat(path).st_ino != os.stat(f"/proc/self/ns/{kind}").st_ino:
                opened.append((os.open(path, os.O_RDONLY | os.O_CLOEXEC), flag))
        for fd, flag in opened:
            setns(fd, flag)
    except OSError as error:
        raise UsageError(f"cannot enter the namespace that process {holder} holds: {error.strerror}") from None
