"""One random transfer, both directions at once, over a random bad link: everything about it follows from one number."""

import random
from dataclasses import dataclass, field

from synfin.engine.config import NEVER, SECOND, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.errors import CloseReason
from synfin.engine.state import State
from synfin.sim.host import SimHost
from synfin.sim.program import Socket
from synfin.sim.world import World

LARGEST = 20_000  # bytes a direction

# Nobody gives up: R2 of SYN and data unlimited, and a listener that keeps its half-open entry.
PATIENT = TcpConfig(user_timeout=NEVER, syn_timeout=NEVER, syn_ack_retries=255)


@dataclass
class Side:
    """What one side sent, got, and how it ended: errors by name, in the order in which they came."""

    sent: bytes = b""
    got: bytearray = field(default_factory=bytearray)
    errors: list[str] = field(default_factory=list)
    ended: bool = False
    connection: Connection | None = None
    state: State | None = None


@dataclass
class Transfer:
    """A transfer made from `seed`; `run` plays it."""

    seed: int
    config: TcpConfig = PATIENT
    near_wrap: bool = False
    trace: bool = False

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.client, self.server = Side(), Side()
        rng = self.rng
        isn = tuple((1 << 32) - rng.randrange(1, LARGEST) for _ in range(2)) if self.near_wrap else None
        self.world = World(self.seed, trace=self.trace, isn=isn, config=self._tuned(), replay=False)
        self.hosts = [self.world.host(name, config=self._tuned()) for name in ("client", "server")]
        link = self.world.link("client", "server", **self._link())
        if rng.random() < 0.2:
            at = rng.uniform(0.0, 2.0)
            link.cut(at=at, direction=rng.choice((None, "client->server", "server->client")))
            link.heal(at=at + rng.uniform(0.0, 30.0))
        self.version = rng.choice((4, 6))
        for side in (self.client, self.server):
            side.sent = rng.randbytes(rng.choice((0, 1, rng.randrange(2_000), rng.randrange(LARGEST))))

    def _tuned(self) -> TcpConfig:
        rng = self.rng
        return self.config.replace(
            mss=rng.choice((0, 0, 536, rng.randrange(100, 1460))),
            timestamps=rng.random() < 0.7,
            window_scaling=rng.random() < 0.7,
            nagle=rng.random() < 0.7,
            send_buffer=rng.choice((262_144, rng.randrange(500, 20_000))),
            receive_buffer=rng.choice((262_144, rng.randrange(500, 20_000))),
            delayed_ack=rng.choice((0, 40_000_000)),
            fast_path=rng.random() < 0.7,
        )

    def _link(self) -> dict[str, object]:
        rng = self.rng
        bandwidth = rng.choice((None, rng.randrange(100_000, 100_000_000)))
        return {
            "delay": rng.choice((0.0, rng.uniform(0.0, 0.2))),
            "jitter": rng.choice((0.0, rng.uniform(0.0, 0.02))),
            "bandwidth": bandwidth,
            "queue": rng.choice((None, rng.randrange(2, 30))) if bandwidth else None,
            "loss": rng.choice((0.0, rng.uniform(0.0, 0.3))),
            "duplicate": rng.choice((0.0, rng.uniform(0.0, 0.2))),
            "duplicate_after": rng.choice((0.0, rng.uniform(0.0, 0.5))),
            "reorder": rng.choice((0.0, rng.uniform(0.0, 0.3))),
            "reorder_by": rng.choice((0.001, rng.uniform(0.0, 0.5))),
            "corrupt": rng.choice((0.0, rng.uniform(0.0, 0.1))),
        }

    def run(self) -> "Transfer":
        """Play it until nothing is left to happen."""
        client, server = self.hosts
        self.world.spawn(self._serve(server), background=True)
        self.world.spawn(self._connect(client), background=True)
        self.world.run_until_idle()
        return self

    async def _connect(self, host: SimHost) -> None:
        s = host.socket(self.version)
        try:
            await s.connect(("server", 80))
        except OSError as error:
            self.client.connection = s.connection
            self.client.errors.append(type(error).__name__)
            self.client.ended = True
            s.close()
            return
        await self._exchange(s, self.client)

    async def _serve(self, host: SimHost) -> None:
        listener = host.socket(self.version)
        listener.bind(80)
        listener.listen()
        s = await listener.accept()
        listener.close()
        await self._exchange(s, self.server)

    async def _exchange(self, s: Socket, side: Side) -> None:
        side.connection = s.connection
        rng = random.Random(self.rng.random())
        writer = self.world.spawn(self._write(s, side, rng), background=True)
        reader = self.world.spawn(self._read(s, side, rng), background=True)
        await writer
        await reader
        s.close()
        side.ended = True
        self.world.clock.call_at(self.world.clock.now + 10_000 * SECOND, self._look, s, side)

    def _look(self, s: Socket, side: Side) -> None:
        side.state = s.state

    async def _write(self, s: Socket, side: Side, rng: random.Random) -> None:
        largest = rng.choice((10, 1_000, 5_000)) if len(side.sent) < 2_000 else rng.choice((1_000, 5_000, LARGEST))
        at = 0
        try:
            while at < len(side.sent):
                size = rng.randrange(1, largest)
                await s.send(side.sent[at : at + size], more=rng.random() < 0.1)
                at += size
                if rng.random() < 0.1:
                    await s.host.sleep(rng.uniform(0, 0.5))
            s.shutdown()
        except OSError as error:
            side.errors.append(type(error).__name__)

    async def _read(self, s: Socket, side: Side, rng: random.Random) -> None:
        largest = rng.choice((10, 1_000, 5_000)) if len(side.sent) < 2_000 else rng.choice((1_000, 5_000, LARGEST))
        try:
            while data := await s.recv(rng.randrange(1, largest)):
                side.got += data
                if rng.random() < 0.1:
                    await s.host.sleep(rng.uniform(0, 0.5))
        except OSError as error:
            side.errors.append(type(error).__name__)

    def whole(self, side: Side) -> bool:
        """Whether `side` got all that the other sent."""
        other = self.server if side is self.client else self.client
        return bytes(side.got) == other.sent

    def faults(self) -> list[str]:
        """What must not be: bytes missing, an error told, a side that did not end in CLOSED, something left behind."""
        found = self.left_behind()
        for name, side in (("client", self.client), ("server", self.server)):
            if not self.whole(side):
                found.append(f"{name}: got {len(side.got)} bytes, not what was sent")
            found += [f"{name}: {error}" for error in side.errors]
            if not side.ended:
                found.append(f"{name}: has not ended")
            elif side.state is not State.CLOSED:
                found.append(f"{name}: {side.state} in the end")
        return found

    def third_outcomes(self) -> list[str]:
        """With limits: what is neither whole bytes nor a connection that timed out."""
        found = []
        for name, side, other in (("client", self.client, self.server), ("server", self.server, self.client)):
            mine, others = self.timed_out(side), self.timed_out(other)
            # The user of a connection that has timed out is told, unless it has closed and nobody is left to be told.
            allowed = ["TimeoutError"] * mine + ["ConnectionResetError", "BrokenPipeError"] * others
            found += [f"{name}: {error}" for error in side.errors if error not in allowed]
            if not self.whole(side) and not (mine or others):
                found.append(f"{name}: got {len(side.got)} bytes, not what was sent, and nobody timed out")
            if not other.sent.startswith(bytes(side.got)):
                found.append(f"{name}: got other bytes than were sent")
        return found

    def timed_out(self, side: Side) -> bool:
        """Whether the connection of `side` was given up."""
        return side.connection is not None and side.connection.close_reason is CloseReason.TIMED_OUT

    def left_behind(self) -> list[str]:
        """What should not be there when nothing is left to happen."""
        left = []
        for host in self.hosts:
            held = [entry.state for entry in host.stack.sockets() if entry.state is not State.LISTEN]
            left += [f"{host.name}: an entry in {state}" for state in held]
            if host.stack.next_deadline() != NEVER:
                left.append(f"{host.name}: a deadline")
        for side in (self.client, self.server):
            if side.connection is not None:
                side.connection.check_invariants()
                if side.connection.timers.earliest() != NEVER:
                    left.append("a timer")
        return left
