"""What a scenario plays on: two hosts, the link between them, and a world in virtual time.

Owns Scenario, which makes a world, lets the scenario set it up and runs it, and Stage, what a scenario is given. A scenario
never asserts anything: it is played with any seed, loss and delay, and what happens then is what the trace shows.
"""

import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from synfin.engine.config import TcpConfig
from synfin.engine.seq import MASK
from synfin.sim.clock import nanoseconds
from synfin.sim.faults import SeenPacket, Where
from synfin.sim.host import SimHost
from synfin.sim.link import Link
from synfin.sim.program import Socket
from synfin.sim.world import World
from synfin.trace.messages import Naming, name_messages
from synfin.words import Text

PORT: Final = 80
DELAY: Final = 0.010  # seconds, one way
LIMIT: Final = 1000.0  # seconds after which a play ends, whatever still goes on

# No options but the MSS, so that every window is the field of the header, as in books.
PLAIN: Final = TcpConfig(timestamps=False, window_scaling=False, receive_buffer=65_535)

Isn = tuple[int, int] | Mapping[str, tuple[int, ...]] | None


class Stage:
    """`client` and `server`, joined by `link`, whose one-way `delay` is in seconds."""

    def __init__(
        self, world: World, client: SimHost, server: SimHost, link: Link, delay: float, isn: Mapping[str, tuple[int, ...]]
    ) -> None:
        self._isn = isn
        self.world = world
        self.client = client
        self.server = server
        self.link = link
        self.delay = delay

    def start(self, program: Coroutine[Any, Any, None], name: str = "") -> None:
        """Start a program. A call of it that fails ends it and nothing else: the trace tells of the failure."""
        self.world.spawn(_until_failure(program), name or getattr(program, "__name__", ""), background=True)

    def number(self, host: SimHost) -> int:
        """The initial sequence number of `host`'s first connection, where it is played by hand."""
        given = self._isn.get(host.name)
        return given[0] if given else int.from_bytes(self.world.stream.derive(f"scripted:{host.name}")[:4], "big")

    def at(self, seconds: float, act: Callable[[], object]) -> None:
        """Call `act` at `seconds` since the start."""
        self.world.clock.call_at(nanoseconds(seconds, "at"), act)

    def when(self, where: Where, act: Callable[[SeenPacket], object]) -> None:
        """Call `act` once, at the time when the first packet that `where` picks is put on the link."""
        waiting = [act]

        def look(packet: SeenPacket) -> None:
            if waiting and where(packet):
                self.world.clock.call_at(self.world.clock.now, waiting.pop(), packet)

        self.link.add(look)


async def _until_failure(program: Awaitable[None]) -> None:
    with contextlib.suppress(OSError):
        await program


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One story. `name` is what is typed after `synfin demo`, `title` one line for people.

    `build` sets the stage: programs, faults. `config` is both hosts' TcpConfig, `changes` what is changed in it for one of
    them, by name. `mtu` is the link's, in bytes. `knowledge` asks for knowledge.py's lines after the ladder. `numbers_apart` is
    how far a second connection's numbers lie behind the first's where those are given; 0 leaves them to RFC 6528.
    `messages` names what the programs say to each other, where their messages have a header (trace.messages).
    """

    name: str
    title: Text
    build: Callable[[Stage], None]
    config: TcpConfig = PLAIN
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    mtu: int = 1500
    knowledge: bool = False
    numbers_apart: int = 0
    messages: Naming | None = None

    def play(self, *, seed: int = 1, loss: float = 0.0, delay: float = DELAY, isn: Isn = None) -> World:
        """Play it to its end and return the world, with its `trace` and `replay_hash`.

        `loss` is a rate from 0 to 1 in each direction, `delay` the one-way delay in seconds, `isn` the initial sequence
        numbers of the first connection's client and server, or of each host's first, second ... connection.
        Raises UsageError for values that make no sense.
        """
        numbers = {"client": self._numbers(isn[0]), "server": self._numbers(isn[1])} if isinstance(isn, tuple) else isn or {}
        world = World(seed, config=self.config, isn=numbers)
        hosts = [
            world.host(name, config=self.config.replace(**self.changes.get(name, {}))) for name in ("client", "server")
        ]
        link = world.link(*hosts, delay=delay, loss=loss, mtu=self.mtu)
        with world:
            self.build(Stage(world, hosts[0], hosts[1], link, delay, numbers))
            world.run(LIMIT)
        if self.messages is not None and world.trace is not None:
            name_messages(world.trace, self.messages)
        return world

    def _numbers(self, first: int) -> tuple[int, ...]:
        return (first, (first + self.numbers_apart) & MASK) if self.numbers_apart else (first,)


# What most scenarios begin with.


async def serve(host: SimHost, port: int = PORT) -> Socket:
    """Listen on `port` and return the first connection."""
    listener = host.socket()
    listener.bind(port)
    listener.listen()
    return await listener.accept()


async def call(host: SimHost, to: str = "server", port: int = PORT, local_port: int = 0) -> Socket:
    """Connect to `port` of the host `to`, from `local_port` or one of the stack's choice."""
    s = host.socket()
    if local_port:
        s.bind(local_port)
    await s.connect((to, port))
    return s


async def only_serve(host: SimHost) -> None:
    """A server that accepts one connection and leaves it at that."""
    await serve(host)


async def only_call(host: SimHost) -> None:
    """A client that connects and leaves it at that."""
    await call(host)


def first_syn(packet: SeenPacket) -> bool:
    """A SYN that asks: the first segment of a handshake."""
    return packet.syn and not packet.ack_set


def syn_ack(packet: SeenPacket) -> bool:
    """A SYN that answers: the second segment."""
    return packet.syn and packet.ack_set


def bare_ack(packet: SeenPacket) -> bool:
    """Nothing but an acknowledgment."""
    return packet.ack_set and not (packet.syn or packet.fin or packet.rst or packet.length)

