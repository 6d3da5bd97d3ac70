"""`synfin exec -- COMMAND`: become that program, inside the namespace of a running synfin.

Owns the entering. This process has one thread and is about to be replaced, so it may enter; nothing is left of it to lose.
"""

import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from synfin.control.client import find
from synfin.engine.errors import UsageError
from synfin.host.entering import enter

# No proxy can be reached from in there.
PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy")
NOT_FOUND: Final = 127  # as a shell reports it
NOT_EXECUTABLE: Final = 126


def execute(command: Sequence[str], name: str | None, pid: int | None) -> NoReturn:
    """Replace this process by `command` in the namespace. Raises UsageError when there is none."""
    found = find(os.environ, name=name, pid=pid)
    holders = list(dict.fromkeys(answer.get("holder") for _, answer in found))
    if len(holders) > 1:
        which = ", ".join(f"{place.name} (--pid {place.pid})" for place, _ in found)
        raise UsageError(f"several synfins run, choose one of them with --name or --pid: {which}")
    enter(holders[0])
    environment = {key: value for key, value in os.environ.items() if key.lower() not in PROXIES}
    try:
        os.execvpe(command[0], list(command), environment)
    except FileNotFoundError:
        print(f"synfin exec: {command[0]}: command not found", file=sys.stderr)
        sys.exit(NOT_FOUND)
    except OSError as error:
        print(f"synfin exec: {command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(NOT_EXECUTABLE)
