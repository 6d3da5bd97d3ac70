"""A program at the kernel's end of the wire, told what to do with the kernel's TCP: what `synfin hold` moves its peer by.

    python -P -m synfin.host.inside HOLDER

Enters the namespace that process HOLDER holds and then answers requests, one line of JSON each, on standard input and output:

    ["listen", address]            -> the port        ["connect", address, port]  -> null, at once
    ["accept"]                     -> null            ["finish"]                  -> null: shutdown(SHUT_WR)
    ["rows", program, words...]    -> what the program printed, null when there is none
"""

import json
import shutil
import socket
import subprocess
import sys
from typing import Any

from synfin.host.entering import enter


class Inside:
    """The sockets of this end: one that listens, one connection."""

    def __init__(self) -> None:
        self.listener: socket.socket | None = None
        self.connection: socket.socket | None = None

    def listen(self, address: str) -> int:
        """Listen at a port of the kernel's choice; returns it."""
        self.listener = socket.create_server((address, 0))
        return int(self.listener.getsockname()[1])

    def connect(self, address: str, port: int) -> None:
        """Send a SYN and wait for nothing."""
        self.connection = socket.socket()
        self.connection.setblocking(False)
        self.connection.connect_ex((address, port))

    def accept(self) -> None:
        """Take the connection that has come."""
        assert self.listener is not None
        self.connection, _ = self.listener.accept()

    def finish(self) -> None:
        """Send a FIN."""
        assert self.connection is not None
        self.connection.shutdown(socket.SHUT_WR)

    def rows(self, program: str, *words: str) -> str | None:
        """What a program in here prints."""
        if shutil.which(program) is None:
            return None
        return subprocess.run([program, *words], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def main() -> None:
    """Serve standard input until it ends."""
    enter(int(sys.argv[1]))
    inside = Inside()
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        answer: Any = getattr(inside, verb)(*arguments)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
