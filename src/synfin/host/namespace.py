"""Namespace: our hold on the process that holds a network namespace (helper.py).

Owns that process where it started it, and one end of its socket. This process itself never changes namespace: its kernel
sockets stay on the machine's network.
"""

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
from typing import Any, Final, Self, TypeVar

from synfin.device.tun import TunDevice
from synfin.engine.errors import UsageError
from synfin.host.refusals import Refused

LONGEST: Final = 65_536
PATIENCE: Final = 20.0  # seconds for an answer
FAREWELL: Final = 1.0  # seconds for the holder to end; one that is still held lives on
HELPER: Final = "synfin.host.helper"


Tun = TypeVar("Tun", bound=TunDevice)


class Namespace:
    """A network namespace with TUNs of ours in it; `holder` is the process id of who holds it.

    `channel` is our end of its socket: the namespace lives while some process has a descriptor of it. `make` starts a holder,
    `share` takes part in one that another process of ours has started.
    """

    def __init__(self, channel: socket.socket, holder: int, process: "subprocess.Popen[bytes] | None" = None) -> None:
        self.channel = channel
        self.holder = holder
        self._process = process

    @classmethod
    def make(cls) -> Self:
        """A namespace of its own. Raises Refused where the machine does not allow one, UsageError without pyroute2."""
        if importlib.util.find_spec("pyroute2") is None:
            raise UsageError("a network namespace needs pyroute2: pip install 'synfin[net]'")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-P", "-m", HELPER, str(theirs.fileno())]
            process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                start_new_session=True,  # a terminal sends its Ctrl-C to all of its foreground group, from a process's start on
            )  # fmt: skip
        made = cls(ours, process.pid, process)
        try:
            made._ask({"make": {}})
        except BaseException:
            made.close()
            raise
        return made

    @classmethod
    def share(cls, channel: socket.socket, holder: int) -> Self:
        """Take part in the namespace whose holder's socket is `channel`."""
        return cls(channel, holder)

    def tun(self, kind: type[Tun], mtu: int = 1500, *, offload: bool = True) -> tuple[Tun, int]:
        """A new TUN in the namespace, up and with its addresses, as a device of class `kind`; and its number, of which the
        addresses follow (addresses.plan).

        `mtu` in bytes. Raises Refused.
        """
        answer, fds = self._ask({"tun": {"mtu": mtu, "offload": offload}})
        try:
            device = kind.from_fd(fds[0], mtu, offload=offload)
        except BaseException:
            os.close(fds[0])
            raise
        return device, int(answer["number"])

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        """One request and its answer, on a socket of its own: several processes may ask over one channel."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                try:
                    socket.send_fds(self.channel, [json.dumps(request).encode()], [theirs.fileno()])
                except OSError:
                    raise UsageError("the process that holds the namespace has ended") from None
            ours.settimeout(PATIENCE)
            try:
                message, fds, _, _ = socket.recv_fds(ours, LONGEST, 1)
            except TimeoutError:
                raise UsageError("the process that holds the namespace does not answer") from None
        if not message:
            raise UsageError("the process that holds the namespace has ended")
        answer = json.loads(message)
        if "refused" in answer:
            raise Refused(answer["refused"], answer["text"])
        return answer, fds

    def close(self) -> None:
        """Give up the hold; who started the holder sees to its end, unless others hold it too. Repeating it does nothing."""
        self.channel.close()
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(FAREWELL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
