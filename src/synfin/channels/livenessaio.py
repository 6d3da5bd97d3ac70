"""The liveness check in asyncio: over a TCP channel, over UDP, and on long connections. The messages are liveness.py's.

    peer = await connect_udp("server", 7007)
    print((await peer.check()).outcome)         # Outcome.BOTH, Outcome.DOWN or Outcome.UNCONFIRMED

Owns the clock, the timer and the carrier. What carries the messages:

- UDP: each is one datagram. A datagram from another address than the connected one is counted, by the kernel or here.
- TCP: each is one message of LengthHeader(1).
- A long connection (LivelyChannel): as livenesslife.py says.

Times are seconds here, nanoseconds in Learned.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, MutableSequence
from typing import Any, Final, cast

from synfin.channels.aio import MessageProtocol, MessageServer, serving
from synfin.channels.asyncparts import connected
from synfin.channels.errors import ChannelError
from synfin.channels.framing import Framing, LengthHeader
from synfin.channels.life import LifeSettings
from synfin.channels.liveness import NEVER, SECOND, TWO, Learned, Liveness, Resting
from synfin.channels.livenesslife import LivelyLife, Told, doubt
from synfin.channels.long import DEFAULT, LongChannel, check_framing

PATIENCE: Final = 5.0
REST: Final = 60.0
PEERS: Final = 64  # addresses that a UDP listener keeps
FRAMING: Final = LengthHeader(1, limit=TWO.size)


def fresh() -> int:
    """A number of 64 bits that nobody guesses."""
    return secrets.randbits(64)


class Checker:
    """Drives one side: `send` takes what is to go, `told` hears what was learnt, at once. `close` it, or its timer goes on.

    Messages for which the carrier has no room, because the peer asks on and on and takes nothing off it, are dropped: they are
    as good as lost, for which a check is made."""

    def __init__(
        self, send: Callable[[bytes], None], told: Told | None = None, *, patience: float = PATIENCE, rest: float = REST
    ) -> None:
        self.liveness = Liveness(fresh, patience=round(patience * SECOND), rest=round(rest * SECOND))
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._told = told
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: list[asyncio.Future[Learned]] = []

    def now(self) -> int:
        """The loop's time, ns."""
        return round(self._loop.time() * SECOND)

    def ask(self) -> bool:
        """Begin a check; False where one goes on, or the rest does."""
        asked = self.liveness.ask(self.now())
        self._act()
        return asked

    async def check(self) -> Learned:
        """Begin a check, or join the one that goes on, and wait for its end: `patience` at most, twice that where the peer has
        asked meanwhile. Raises Resting; what ended the connection."""
        self.liveness.begin(self.now())
        self._act()
        waiter: asyncio.Future[Learned] = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        finally:
            self._waiters.remove(waiter)

    def received(self, data: bytes) -> None:
        """A message has come; anything may be in it."""
        self.liveness.received(data, self.now())
        self._act()

    def close(self, error: ChannelError | None = None) -> None:
        """Stop the timer; who waits is told `error`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(error or Resting("the check was ended on this side"))

    def _act(self) -> None:
        liveness = self.liveness
        out, liveness.out = liveness.out, []
        learned, liveness.learned = liveness.learned, []
        for data in out:
            self._send(data)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if liveness.next_deadline() != NEVER:
            self._timer = self._loop.call_at(liveness.next_deadline() / SECOND, self._tick)
        for one in learned:
            self._tell(one)

    def _tell(self, learned: Learned) -> None:
        if learned.outcome is not None:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(learned)
        if self._told is not None:
            self._told(learned)

    def _tick(self) -> None:
        self._timer = None
        self.liveness.handle_timers(self.now())
        self._act()


# UDP


class UdpPeers(asyncio.DatagramProtocol):
    """Answers whoever asks, one check an address; `told` hears the address and what was learnt. Keeps `PEERS` addresses, and
    forgets the one that was silent for the longest time. `forgotten` counts them, `errors` what the network reported, `dropped`
    the messages for which the socket had no room."""

    def __init__(self, told: Callable[[Any, Learned], None] | None = None, **times: float) -> None:
        self.transport: asyncio.DatagramTransport
        self.peers: dict[Any, Checker] = {}
        self.forgotten = 0
        self.errors = 0
        self.dropped = 0
        self._paused = False
        self._told = told
        self._times = times

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self.transport = cast("asyncio.DatagramTransport", transport)  # asyncio's own is no subclass of it before 3.12

    def peer(self, address: Any) -> Checker:
        """The check with the peer at `address`, made where there is none."""
        checker = self.peers.pop(address, None)
        if checker is None:
            while len(self.peers) >= PEERS:
                self.peers.pop(next(iter(self.peers))).close()
                self.forgotten += 1
            checker = Checker(lambda data: self.send(data, address), lambda learned: self.told(address, learned), **self._times)
        self.peers[address] = checker  # the last one heard is the last one forgotten
        return checker

    def send(self, data: bytes, address: Any) -> None:
        """Send one datagram, or drop it."""
        if self._paused:
            self.dropped += 1
        elif not self.transport.is_closing():
            self.transport.sendto(data, address)

    def pause_writing(self) -> None:
        """See asyncio."""
        self._paused = True

    def resume_writing(self) -> None:
        """See asyncio."""
        self._paused = False

    def told(self, address: Any, learned: Learned) -> None:
        """Pass on what was learnt."""
        if self._told is not None:
            self._told(address, learned)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """See asyncio."""
        self.peer(addr).received(data)

    def error_received(self, exc: Exception) -> None:
        """See asyncio: that nobody listens is no proof of anything; patience decides."""
        self.errors += 1

    def close(self) -> None:
        """End all checks and close the socket."""
        for checker in self.peers.values():
            checker.close()
        self.peers.clear()
        self.transport.close()


class UdpPeer(UdpPeers):
    """The same, connected to one peer: what comes from elsewhere the kernel drops."""

    def peer(self, address: Any = None) -> Checker:
        """The check with the peer."""
        return super().peer(None)

    def ask(self) -> bool:
        """See Checker."""
        return self.peer().ask()

    async def check(self) -> Learned:
        """See Checker."""
        return await self.peer().check()


async def listen_udp(
    host: str, port: int, told: Callable[[Any, Learned], None] | None = None, *, patience: float = PATIENCE, rest: float = REST
) -> UdpPeers:
    """Answer the checks of others on UDP. Raises OSError."""
    loop = asyncio.get_running_loop()
    _, made = await loop.create_datagram_endpoint(lambda: UdpPeers(told, patience=patience, rest=rest), local_addr=(host, port))
    return made


async def connect_udp(
    host: str, port: int, told: Callable[[Any, Learned], None] | None = None, *, patience: float = PATIENCE, rest: float = REST
) -> UdpPeer:
    """Check the path to `host` over UDP. Raises OSError."""
    loop = asyncio.get_running_loop()
    _, made = await loop.create_datagram_endpoint(lambda: UdpPeer(told, patience=patience, rest=rest), remote_addr=(host, port))
    return made


# TCP


class TcpPeer(MessageProtocol):
    """The check over a TCP connection of its own. `dropped` counts the messages for which there was no room."""

    def __init__(
        self, told: Callable[["TcpPeer", Learned], None] | None = None, made: Callable[["TcpPeer"], None] | None = None,
        **times: float,
    ) -> None:  # fmt: skip
        super().__init__(FRAMING)
        self.checker = Checker(self._say, None if told is None else lambda learned: told(self, learned), **times)
        self._made = made
        self._over = self._loop.create_future()
        self.dropped = 0

    def _say(self, data: bytes) -> None:
        if self._paused:
            self.dropped += 1
        elif self._unable is None:
            self.send(data)

    def ask(self) -> bool:
        """See Checker."""
        return self.checker.ask()

    async def check(self) -> Learned:
        """See Checker; raises what ended the connection too."""
        if self._ended is not None:
            raise self._ended
        return await self.checker.check()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        super().connection_made(transport)
        if self._made is not None:
            self._made(self)

    def messages_received(self, messages: MutableSequence[bytes]) -> None:
        """See MessageProtocol."""
        for message in messages:
            self.checker.received(message)

    def stream_ended(self, error: ChannelError) -> None:
        """See MessageProtocol."""
        self.checker.close(error)
        if not self._over.done():
            self._over.set_result(None)

    async def wait_ended(self) -> None:
        """Wait until the peer has closed."""
        await asyncio.shield(self._over)


async def connect_tcp(
    host: str, port: int, told: Callable[[TcpPeer, Learned], None] | None = None, *, patience: float = PATIENCE,
    rest: float = REST, timeout: float | None = None,
) -> TcpPeer:  # fmt: skip
    """Check the path to `host` over TCP, connected within `timeout` seconds. Raises ChannelTimeout and the OSErrors of
    connecting."""
    return await connected(lambda: TcpPeer(told, patience=patience, rest=rest), host, port, timeout)


async def listen_tcp(
    host: str | None, port: int, told: Callable[[TcpPeer, Learned], None] | None = None, *, patience: float = PATIENCE,
    rest: float = REST, handler: Callable[[TcpPeer], Awaitable[None]] = TcpPeer.wait_ended,
) -> MessageServer:  # fmt: skip
    """Answer the checks of others on TCP, as long as `handler(peer)` runs: until the peer has closed, unless another is given,
    which may ask too. Raises OSError."""
    return await serving(lambda made: TcpPeer(told, made, patience=patience, rest=rest), handler, host, port)


# Long connections


class LivelyChannel(LongChannel):
    """A long connection that checks both directions: when told to, and by itself after a silence of `doubt_after` seconds
    (None: never). Both sides must be of this kind; how a check ends is told to `told`, and does not end the connection."""

    life: LivelyLife

    def __init__(
        self, framing: Framing, settings: LifeSettings = DEFAULT, made: "Callable[[Any], None] | None" = None, *,
        told: Told | None = None, doubt_after: float | None = None, patience: float = PATIENCE, rest: float = REST,
    ) -> None:  # fmt: skip
        self._doubt_after = doubt(doubt_after, framing)
        self._liveness = Liveness(fresh, patience=round(patience * SECOND), rest=round(rest * SECOND))
        self._hears = told
        self._ends: list[asyncio.Future[Learned]] = []  # of who waits for the end of a check
        super().__init__(framing, settings, made)

    def _make_life(self, settings: LifeSettings, now: int) -> LivelyLife:
        return LivelyLife(settings, now, self._liveness, self._doubt_after, self._learned)

    def _learned(self, learned: Learned) -> None:
        if learned.outcome is not None:
            for end in self._ends:
                if not end.done():
                    end.set_result(learned)
        if self._hears is not None:
            self._hears(learned)

    @property
    def dropped(self) -> int:
        """How many messages of the check found no room."""
        return self.life.dropped

    async def check(self) -> Learned:
        """See Checker; raises what ended the connection too."""
        if self.life.error is not None:
            raise self.life.error
        self.life.liveness.begin(self._now())
        self._soon()
        end: asyncio.Future[Learned] = self._loop.create_future()
        self._ends.append(end)
        try:
            return await end
        finally:
            self._ends.remove(end)

    def _changed(self) -> None:
        super()._changed()
        if self.life.error is not None:
            for end in self._ends:
                if not end.done():
                    end.set_exception(self.life.error)


async def connect_lively(
    host: str, port: int, framing: Framing, settings: LifeSettings = DEFAULT, *, timeout: float | None = None, **lively: Any
) -> LivelyChannel:
    """A long connection with liveness checks to `host`, made within `timeout` seconds; `lively` are LivelyChannel's keywords.

    Raises ChannelTimeout, and the OSErrors of connecting.
    """
    channel = LivelyChannel(framing, settings, **lively)
    await connected(lambda: channel.wire, host, port, timeout)
    return channel


async def serve_lively(
    handler: Callable[[LivelyChannel], Any], host: str | None, port: int, framing: Framing, settings: LifeSettings = DEFAULT,
    **lively: Any,
) -> MessageServer:  # fmt: skip
    """Listen, and run `handler(channel)` for each connection. See long.serve."""
    check_framing(framing)
    return await serving(lambda made: LivelyChannel(framing, settings, made, **lively).wire, handler, host, port)
