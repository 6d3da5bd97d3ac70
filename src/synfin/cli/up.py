"""`synfin up`: a network that stays, for any number of programs; its stack answers pings until somebody else takes it over.

Owns the lending: `serve`, `connect` and `ping` of the same name get this TUN, with its addresses, while they run; a second one
at the same time gets a TUN of its own in the same namespace.
"""

import asyncio
import sys

from synfin.cli.session import Network, Session, invoked, session
from synfin.control.server import Reply, Request
from synfin.words import Text

NEXT = Text("In another terminal: {command}", "在另一个终端里运行：{command}")
IS_UP = Text(
    "{name} is up: {ours} is synfin's, {kernel} the kernel's; Ctrl-C ends it.",
    "{name} 已就绪：{ours} 属于 synfin，{kernel} 属于内核；按 Ctrl-C 结束。",
)


def up(network: Network) -> int:
    """Hold the network until interrupted; returns the exit status."""
    with session(network, "up") as made:
        lender = Lender(made)
        return made.run(lambda: _stay(made), {"hold": lender.hold})


async def _stay(made: Session) -> int:
    lang, plan = made.network.lang, made.plan
    called = "" if made.network.name == "synfin" else f" --name {made.network.name}"
    print(NEXT.say(lang, command=f"{invoked()} serve http .{called}"))
    print(IS_UP.say(lang, name=made.network.name, ours=plan.ours[0], kernel=plan.kernel[0]))
    sys.stdout.flush()
    await asyncio.Event().wait()
    return 0


class Lender:
    """Lends the device of `made` to one program at a time."""

    def __init__(self, made: Session) -> None:
        self._made = made
        self._lent = False

    def hold(self, request: Request) -> Reply:
        """A part in the namespace, and the device when it is free and as wanted; it is ours again when the line is closed."""
        answer, fds = self._made.share(request)
        network = self._made.network
        wanted = (request.asked.get("mtu"), request.asked.get("offload"))
        if not fds or self._lent or self._made.watch is not None or wanted != (network.mtu, network.offload):
            return answer, fds
        self._lent = True
        self._made.host.leave()
        request.at_end = self._back
        return {**answer, "number": self._made.number}, [*fds, self._made.device.fileno()]

    def _back(self) -> None:
        self._lent = False
        self._made.host.serve(asyncio.get_running_loop())
