"""`synfin ping`: ICMP echo from synfin's stack to the kernel's end, or to another synfin (RFC 792, RFC 4443 4).

Owns the counting and the lines, which are those of ping(8).
"""

import asyncio
import os
import sys
import time
from typing import Final

from synfin.cli.session import Network, Session, session
from synfin.engine.errors import UsageError
from synfin.sockets import names
from synfin.stack.addresses import text
from synfin.stack.internet import Echo

DATA: Final = bytes(range(8, 64))  # 56 bytes, as ping(8) sends
PATIENCE: Final = 1.0  # seconds for an answer, and between two pings
NO_ANSWER: Final = 1  # exit status


def ping(target: str | None, count: int, network: Network) -> int:
    """Send `count` pings to `target` (the kernel's end when None); the exit status is 1 when none was answered."""
    with session(network, f"ping {target or ''}".strip()) as made:
        if target is None:
            made.tell_where()
        return made.run(lambda: _ping(target or made.plan.kernel[0], count, made))


class Pinger:
    """One series of pings."""

    def __init__(self, made: Session, destination: bytes) -> None:
        self._stack = made.host.stack
        self._destination = destination
        self._source = next(own for own in self._stack.addresses if len(own) == len(destination))
        self._identifier = os.getpid() & 0xFFFF
        self._answers: dict[int, tuple[Echo, int]] = {}
        self._came = asyncio.Event()
        self._stack.internet.on_echo = self._take

    def _take(self, echo: Echo, now: int) -> None:
        if echo.identifier == self._identifier:
            self._answers[echo.sequence] = (echo, now)
            self._came.set()

    async def once(self, sequence: int) -> tuple[Echo, float] | None:
        """Send one; the answer and the milliseconds it took, None when it does not come in time."""
        start = time.monotonic_ns()
        self._came.clear()
        self._stack.internet.ping(self._source, self._destination, self._identifier, sequence, DATA)
        self._stack.transmit(start)
        try:
            async with asyncio.timeout(PATIENCE):
                while sequence not in self._answers:
                    await self._came.wait()
                    self._came.clear()
        except TimeoutError:
            return None
        echo, now = self._answers.pop(sequence)
        return echo, (now - start) / 1e6


async def _ping(target: str, count: int, made: Session) -> int:
    found = names.numeric(target)
    candidates = [found] if found else made.host.resolve(target)
    own = {len(address) for address in made.host.stack.addresses}
    destination = next((each for each in candidates if len(each) in own), None)
    if destination is None:
        raise UsageError(f"ping: no address for {target!r}")
    pinger = Pinger(made, destination)
    print(f"PING {target} ({text(destination)}) {len(DATA)} bytes of data.", flush=True)
    times: list[float] = []
    sent = 0
    try:
        for sequence in range(1, count + 1):
            sent = sequence
            await _ping_once(pinger, sequence, count, times)
    finally:  # on Ctrl-C as well
        _summarize(target, sent, times)
    return 0 if times else NO_ANSWER


async def _ping_once(pinger: Pinger, sequence: int, count: int, times: list[float]) -> None:
    """One ping and its line; waits for the next one's turn where there is one. Adds to `times`, in ms."""
    answer = await pinger.once(sequence)
    if answer is None:
        return
    echo, took = answer
    times.append(took)
    size = len(echo.data) + 8
    print(f"{size} bytes from {text(echo.source)}: icmp_seq={sequence} ttl={echo.ttl} time={took:.3f} ms", flush=True)
    if sequence < count:
        await asyncio.sleep(PATIENCE - took / 1000)


def _summarize(target: str, sent: int, times: list[float]) -> None:
    lost = 100 * (sent - len(times)) // sent
    print(f"\n--- {target} ping statistics ---")
    print(f"{sent} packets transmitted, {len(times)} received, {lost}% packet loss")
    if times:
        print(f"rtt min/avg/max = {min(times):.3f}/{sum(times) / len(times):.3f}/{max(times):.3f} ms")
    sys.stdout.flush()
