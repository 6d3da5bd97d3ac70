"""`synfin hold STATE`: brings a connection of the kernel's into a state and keeps it there, by what synfin does not send.

Owns the way into each state and the printing of the rows that show it. The kernel's end is a program of its own,
host/inside.py.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from synfin.cli.session import Network, Session, session
from synfin.cli.watching import WITHHOLD_ALL
from synfin.engine.errors import UsageError
from synfin.engine.segment import ACK, FIN
from synfin.engine.state import State, parse_state
from synfin.words import Text

PORT: Final = 8000  # ours, where the kernel connects
PATIENCE: Final = 10.0  # seconds to get there
STEP: Final = 0.02

# As ss and netstat write them, where not as the RFC does.
SS: Final = {State.SYN_RECEIVED: "SYN-RECV", State.ESTABLISHED: "ESTAB"}
NETSTAT: Final = {
    State.SYN_RECEIVED: "SYN_RECV", State.FIN_WAIT_1: "FIN_WAIT1", State.FIN_WAIT_2: "FIN_WAIT2",
}  # fmt: skip

HELD: Final = Text(
    "The kernel's end is in {state}, for {seconds:g} s; in another terminal: {command}",
    "内核一端处于 {state}，保持 {seconds:g} 秒；在另一个终端里运行：{command}",
)


def hold(name: str, seconds: float, network: Network) -> int:
    """Get there, print, wait; returns the exit status. Raises UsageError for no state, one without a row, or failure."""
    state = parse_state(name)
    if state is State.CLOSED:
        raise UsageError("CLOSED is the absence of a connection: no tool has a row for it")
    if network.tun is not None:
        raise UsageError("hold needs a namespace of its own: it does not go with --tun")
    with session(network, f"hold {state}") as made:
        return made.run(lambda: _hold(state, seconds, made), linger=0)


class Kernel:
    """The program at the kernel's end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, *request: Any) -> Any:
        """Have something done; returns its answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise UsageError(f"the program at the kernel's end has failed at {request[0]}")
        return json.loads(line)

    async def rows(self, program: str, words: tuple[str, ...], state: str) -> list[str] | None:
        """The rows in `state` that `program` prints; None where there is no such program."""
        printed = await self.do("rows", program, *words)
        return None if printed is None else [line for line in printed.splitlines() if state in line.split()]


async def _hold(state: State, seconds: float, made: Session) -> int:
    assert made.namespace is not None
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "synfin.host.inside", str(made.namespace.holder),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,  # Ctrl-C is for us
    )  # fmt: skip
    kernel = Kernel(process)
    try:
        async with asyncio.timeout(PATIENCE):
            kept = await WAYS[state](kernel, made)
            rows = await _await_row(kernel, SS.get(state, str(state)))
        print(HELD.say(made.network.lang, state=state, seconds=seconds, command=f"{made.exec}ss -tan"))
        print("\n".join(["$ ss -tan", *rows]))
        shown = await kernel.rows("netstat", ("-nat",), NETSTAT.get(state, str(state).replace("-", "_")))
        if shown is not None:
            print("\n".join(["$ netstat -nat", *shown]))
        sys.stdout.flush()
        await asyncio.sleep(seconds)
        del kept
    except TimeoutError:
        raise UsageError(f"the kernel's end did not come to {state} within {PATIENCE:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return 0


async def _await_row(kernel: Kernel, state: str) -> list[str]:
    while True:
        rows = await kernel.rows("ss", ("-tan",), state)
        if rows is None:
            raise UsageError("hold shows what ss prints, and there is no ss here: install iproute2")
        if rows:
            return rows
        await asyncio.sleep(STEP)


# The ways. Each returns what must be kept.

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _listen(kernel: Kernel, made: Session) -> Any:
    return await kernel.do("listen", made.plan.kernel[0])


async def _syn_sent(kernel: Kernel, made: Session) -> Any:
    made.device.withhold = WITHHOLD_ALL  # our answer to its SYN, even a reset
    return await kernel.do("connect", made.plan.ours[0], PORT)


async def _syn_received(kernel: Kernel, made: Session) -> Any:
    port = await kernel.do("listen", made.plan.kernel[0])
    made.device.withhold = ACK  # our SYN has none, our third segment has
    return asyncio.ensure_future(asyncio.open_connection(made.plan.kernel[0], port))


async def _open(kernel: Kernel, made: Session) -> Ends:
    """ESTABLISHED: the kernel has connected to us."""
    came: asyncio.Future[Ends] = asyncio.get_running_loop().create_future()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set_result((reader, writer))

    await asyncio.start_server(accept, made.plan.ours[0], PORT)
    await kernel.do("connect", made.plan.ours[0], PORT)
    ends = await came
    await _await_row(kernel, "ESTAB")
    return ends


async def _fin_wait_1(kernel: Kernel, made: Session) -> Any:
    ends = await _open(kernel, made)
    made.device.withhold = WITHHOLD_ALL  # our ACK of its FIN
    await kernel.do("finish")
    return ends


async def _fin_wait_2(kernel: Kernel, made: Session) -> Any:
    ends = await _open(kernel, made)
    await kernel.do("finish")
    return ends


async def _close_wait(kernel: Kernel, made: Session) -> Any:
    ends = await _open(kernel, made)
    ends[1].write_eof()
    return ends


async def _closing(kernel: Kernel, made: Session) -> Any:
    ends = await _open(kernel, made)
    made.device.ignore = FIN  # so the FIN that we send does not acknowledge it: they cross
    await kernel.do("finish")
    await _await_row(kernel, "FIN-WAIT-1")
    ends[1].write_eof()
    return ends


async def _last_ack(kernel: Kernel, made: Session) -> Any:
    ends = await _close_wait(kernel, made)
    await _await_row(kernel, "CLOSE-WAIT")
    made.device.withhold = WITHHOLD_ALL  # our ACK of its FIN
    await kernel.do("finish")
    return ends


async def _time_wait(kernel: Kernel, made: Session) -> Any:
    ends = await _open(kernel, made)
    await kernel.do("finish")
    await ends[0].read()
    ends[1].close()
    return ends


WAYS: Final[dict[State, Callable[[Kernel, Session], Awaitable[Any]]]] = {
    State.LISTEN: _listen,
    State.SYN_SENT: _syn_sent,
    State.SYN_RECEIVED: _syn_received,
    State.ESTABLISHED: _open,
    State.FIN_WAIT_1: _fin_wait_1,
    State.FIN_WAIT_2: _fin_wait_2,
    State.CLOSE_WAIT: _close_wait,
    State.CLOSING: _closing,
    State.LAST_ACK: _last_ack,
    State.TIME_WAIT: _time_wait,
}
