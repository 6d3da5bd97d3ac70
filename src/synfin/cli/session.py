"""What every command on a real network shares: a namespace, a TUN in it, a host on that, the control socket, the end of it all.

Owns the order in which these are made and given back, whatever happens in between. What the host then does is the command's.
"""

import asyncio
import os
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from synfin.aio.realtime import RealHost, run
from synfin.cli.output import colour
from synfin.cli.watching import THEM, US, Watch, WatchedTun
from synfin.control.client import Gone, ask, running
from synfin.control.places import Turn, folder, make_folder
from synfin.control.server import Handler, Offer, Reply, Request
from synfin.engine.errors import UsageError
from synfin.host.addresses import plan
from synfin.host.namespace import Namespace
from synfin.host.refusals import existing_tun_refused
from synfin.sockets import names
from synfin.words import Text

BESIDE: Final = Text(
    "A synfin named {name} runs, and this one joins its network: {ours} is ours, {kernel} the kernel's end;"
    " all reach each other.",
    "已有名为 {name} 的 synfin 在运行，本进程加入它的网络：{ours} 属于本进程，{kernel} 属于内核；彼此都能互通。",
)
DEFAULT_NAME: Final = "synfin"
TERMINATED: Final = 143  # 128 + SIGTERM


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What the command line says of the network; `mtu` in bytes, `tun` an interface that is there already."""

    name: str
    mtu: int
    offload: bool
    tun: str | None
    pcap: Path | None
    ladder: bool
    lang: str


def invoked() -> str:
    """How a person here types `synfin`: by its path when it is not on PATH."""
    given, found = sys.argv[0], shutil.which("synfin")
    if os.path.basename(given) != "synfin" or (found is not None and os.path.samefile(found, given)):
        return "synfin"
    return shlex.quote(given)


class Session:
    """A host on a TUN, ready to run; `plan` has the addresses of both ends, `namespace` is None on an existing TUN.

    `alone` when nobody else has been in the namespace yet. `turn` is released as soon as others can find this one.
    """

    def __init__(
        self, network: Network, command: str, device: WatchedTun, number: int, namespace: Namespace | None, alone: bool,
        turn: Turn,
    ) -> None:  # fmt: skip
        self.network = network
        self._turn = turn
        self.number = number
        self.plan = addresses = plan(number)
        self.alone = alone
        self.namespace = namespace
        packed = [[names.numeric(each) or b"" for each in side] for side in (addresses.ours, addresses.kernel)]
        self.watch: Watch | None = None
        if network.pcap is not None or network.ladder:
            self.watch = Watch(network.pcap, network.ladder, (packed[0], packed[1]))
        self.device = device
        device.watch = self.watch
        self.host = RealHost(
            US, addresses.ours, device, hosts={THEM: addresses.kernel},
            observer=None if self.watch is None else self.watch.observer,
        )  # fmt: skip
        self._about = {
            "command": command, "addresses": addresses.ours, "kernel": addresses.kernel, "tun": device.name,
            "holder": None if namespace is None else namespace.holder,
        }  # fmt: skip

    @property
    def exec(self) -> str:
        """How a person runs a program at the other end: what is to be typed before it."""
        if self.namespace is None:
            return ""
        called = "" if self.network.name == DEFAULT_NAME else f"--name {self.network.name} "
        return f"{invoked()} exec {called}-- "

    def tell_where(self) -> None:
        """To stderr, where our addresses are not those that documents show: others of this name have them."""
        if self.number > 0:
            ours, kernel = self.plan.ours[0], self.plan.kernel[0]
            print(BESIDE.say(self.network.lang, name=self.network.name, ours=ours, kernel=kernel), file=sys.stderr, flush=True)

    def run(
        self, program: Callable[[], Awaitable[int]], handlers: Mapping[str, Handler] | None = None, linger: float = 5.0
    ) -> int:
        """Run `program` as the host, reachable for ss and exec; its result is the exit status. SIGTERM and SIGHUP end it."""
        status = TERMINATED
        with suppress(asyncio.CancelledError):
            status = run(self._main(program, {"hold": self.share, **(handlers or {})}), self.host, linger=linger)
        return status

    async def _main(self, program: Callable[[], Awaitable[int]], handlers: Mapping[str, Handler]) -> int:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
        try:
            async with Offer(self.host, self.network.name, self._about, handlers):
                self._turn.release()
                return await program()
        finally:
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def share(self, request: Request) -> Reply:
        """Another synfin takes part in the namespace: it gets our hold on it."""
        if self.namespace is None:
            return {"error": f"{self.network.name} stands on a TUN that was there before it: nobody else can use that"}, []
        return {"holder": self.namespace.holder}, [self.namespace.channel.fileno()]

    def finish(self) -> None:
        """Write what was watched."""
        if self.watch is None:
            return
        whole = self.watch.close()
        sys.stdout.write(self.watch.ladder(self.network.lang, colour()))
        if whole:
            print(f"synfin: {self.network.pcap}", file=sys.stderr)


@contextmanager
def session(network: Network, command: str) -> Iterator[Session]:
    """A Session for `command`, everything closed behind it. Raises Refused, UsageError, OSError."""
    with ExitStack() as stack:
        turn = stack.enter_context(Turn(make_folder(folder(os.environ)), network.name))
        namespace: Namespace | None = None
        if network.tun is None:
            namespace, device, number, alone = _join(network, stack)
        else:
            device, number, alone = _attach(network.tun, network.offload), 0, False
        device.watch, device.withhold, device.ignore = None, 0, 0
        stack.enter_context(device)
        if network.offload and device.without:
            print(f"synfin: without offload: {device.without}", file=sys.stderr)
        made = Session(network, command, device, number, namespace, alone, turn)
        try:
            yield made
        finally:
            made.finish()


def _attach(name: str, offload: bool) -> WatchedTun:
    """The TUN `name`, which is there already, with what it still lacks told. Raises Refused, UsageError."""
    try:
        device = WatchedTun.existing(name, offload=offload)
    except OSError as error:
        raise existing_tun_refused(error, name) from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    addresses = plan(0)
    for missing, remedy in (
        (not device.has_address(), f"ip address add {addresses.kernel[0]}/24 dev {name}"),
        (not device.is_up(), f"ip link set {name} up"),
    ):
        if missing:
            print(f"synfin: {name} is not ready, {addresses.ours[0]} is not to be reached yet: {remedy}", file=sys.stderr)
    return device


def _join(network: Network, stack: ExitStack) -> tuple[Namespace, WatchedTun, int, bool]:
    """A TUN, its number and its namespace: that of a running synfin of this name, else one of our own; and whether it is ours.

    `stack` closes all but the device.
    """
    offload, mtu = network.offload, network.mtu
    for place, _ in running(os.environ, name=network.name):
        try:
            answer, fds, line = ask(place, {"ask": "hold", "mtu": mtu, "offload": offload})
        except Gone:
            continue
        stack.enter_context(line)  # what is lent to us is lent while this is open
        namespace = stack.enter_context(Namespace.share(socket.socket(fileno=fds[0]), answer["holder"]))
        if len(fds) > 1:
            return namespace, WatchedTun.from_fd(fds[1], mtu, offload=offload), answer["number"], False
        device, number = namespace.tun(WatchedTun, mtu, offload=offload)
        return namespace, device, number, False
    namespace = stack.enter_context(Namespace.make())
    device, number = namespace.tun(WatchedTun, mtu, offload=offload)
    return namespace, device, number, True
