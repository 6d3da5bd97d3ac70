"""Listeners of the kernel in a namespace of a test's own, and half-open entries in them: what the tests of watch look at.

SYNs are written into the TUN of the namespace; what answers them goes into it and is read by nobody.
"""

import ipaddress
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from synfin.engine.segment import SYN, Outgoing
from tests.interop.namespace import Namespace, ip, namespace

ANSWER = 20  # seconds

LISTENERS = """
import socket, sys
held = []
for words in sys.argv[1:]:
    address, port, backlog = words.split(",")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    held.append(socket.create_server((address, int(port)), family=family, backlog=int(backlog),
                                     dualstack_ipv6=address == "::"))
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def wired() -> Iterator[Namespace]:
    """A namespace whose default routes lead into its TUN, so that it answers any address."""
    with namespace() as made:
        ip("-n", made.name, "link", "set", "lo", "up")
        ip("-n", made.name, "route", "add", "default", "dev", made.device.name)
        ip("-n", made.name, "-6", "route", "add", "default", "dev", made.device.name)
        yield made


@contextmanager
def program(command: Sequence[str], *, ready: str = "ready") -> Iterator["subprocess.Popen[str]"]:
    """A program that says `ready` and ends when its standard input does."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip() == ready
            yield process
        finally:
            process.stdin.close()
            process.wait(ANSWER)


@contextmanager
def listening(where: Namespace, *listeners: str, user: Sequence[str] = ()) -> Iterator[int]:
    """Kernel listeners `address,port,backlog` in one process, whose number is given."""
    with program(where.command(*user, sys.executable, "-c", LISTENERS, *listeners)) as process:
        yield process.pid


def knock(where: Namespace, remotes: Sequence[str], local: str, port: int, *, first_port: int = 40000) -> None:
    """One SYN from each of `remotes`, their ports counting up."""
    target = ipaddress.ip_address(local).packed
    for number, remote in enumerate(remotes):
        source = ipaddress.ip_address(remote).packed
        # The key is the receiver's: its remote end is where the packet goes.
        ends = (port).to_bytes(2, "big") + (first_port + number).to_bytes(2, "big")
        where.device.transmit(target + source + ends, Outgoing(1000 + number, 0, SYN, 65_535, 0), number + 1)


def output(where: Namespace, *words: str) -> str:
    """What a program in the namespace prints."""
    return subprocess.run(where.command(*words), check=True, capture_output=True, text=True, timeout=ANSWER).stdout
