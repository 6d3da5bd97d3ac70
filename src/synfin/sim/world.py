"""A world: one run of hosts, links and programs in virtual time, decided by its seed.

Owns the making of hosts and links, the running of the clock, and who watches. Everything that happens follows from the seed
and from what the programs do: the same seed gives the same packets at the same nanoseconds.
"""

import ipaddress
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Self

from synfin.engine.config import NEVER, SECOND, TcpConfig
from synfin.engine.errors import UsageError
from synfin.engine.handshake import initial_sequence_number
from synfin.engine.seq import MASK
from synfin.sim.clock import Clock, Timer, nanoseconds
from synfin.sim.flood import Flood, flood_times
from synfin.sim.host import SimHost
from synfin.sim.line import Tap
from synfin.sim.link import Link
from synfin.sim.network import Network, Switch, packed
from synfin.sim.randoms import Streams
from synfin.sim.replay import ReplayHash
from synfin.sim.tasks import Scheduler, Task
from synfin.sockets.blocking import Waits
from synfin.trace.recorder import Trace

IP4_BASE: Final = int(ipaddress.IPv4Address("10.0.0.0"))
IP6_BASE: Final = int(ipaddress.IPv6Address("fd00::"))

IsnChoice = int | Sequence[int] | Mapping[str, int | Sequence[int]] | None


class InitialNumbers:
    """Initial sequence numbers as the user wants them, RFC 6528's where nothing is said.

    An int stands for every connection's; a sequence for the first, second ... that is asked for in the whole world (of a
    first connection: the client's, then the server's); a mapping gives either for each host.
    """

    def __init__(self, choice: IsnChoice, streams: Streams) -> None:
        self._streams = streams
        self._given = dict(choice) if isinstance(choice, Mapping) else {"": choice}
        for numbers in self._given.values():
            for number in [numbers] if isinstance(numbers, int) else numbers or ():
                if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MASK:
                    raise UsageError(f"an initial sequence number is between 0 and 2^32 - 1, not {number!r}")
        self._asked: dict[str, int] = {}

    def __call__(self, host: SimHost, key: bytes, now: int) -> int:
        """The number for the connection `key` of `host`, opened at `now`."""
        name = host.name if host.name in self._given else ""
        numbers = self._given.get(name)
        if isinstance(numbers, int):
            return numbers
        index = self._asked.get(name, 0)
        if numbers is not None and index < len(numbers):
            self._asked[name] = index + 1
            return numbers[index]
        return initial_sequence_number(self._streams.derive(f"isn:{host.name}:{host.boots}"), key, now)


class World:
    """One simulated run.

    seed: any integer; decides every draw.
    config: the TcpConfig of hosts that are made without one.
    trace: True records every event in `trace`; False records nothing and is faster. A Trace of one's own may be given.
    checksums: whether packets carry checksums and hosts verify them; by default as `trace`. Where they are left out, they
        are completed before a packet is damaged.
    isn: initial sequence numbers (InitialNumbers): `isn=(1234567, 7654321)` for the first connection's client and server.
    replay: whether `replay_hash` is wanted; by default as `trace`.

    Raises UsageError for parameters that make no sense.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        config: TcpConfig | None = None,
        trace: bool | Trace = True,
        checksums: bool | None = None,
        isn: IsnChoice = None,
        replay: bool | None = None,
    ) -> None:
        self.seed = seed
        self.config = config or TcpConfig()
        self.clock = Clock()
        self.stream = Streams(seed)
        self.network = Network(self.clock, self.stream)
        self.hosts: dict[str, SimHost] = {}
        self.trace: Trace | None = (Trace() if trace else None) if isinstance(trace, bool) else trace
        self._checksums = self.trace is not None if checksums is None else checksums
        self._isn = InitialNumbers(isn, self.stream)
        self._scheduler = Scheduler(self.clock)
        self._replay = ReplayHash() if (self.trace is not None if replay is None else replay) else None
        if self.trace is not None:
            self.network.ledger.taps.append(self.trace)
        if self._replay is not None:
            self.network.ledger.taps.append(self._replay)

    # Making

    def host(self, name: str, *addresses: str | bytes, config: TcpConfig | None = None) -> SimHost:
        """A host. Without addresses it gets the next of 10.0.0.1, 10.0.0.2 ... and of fd00::1, fd00::2 ...

        Raises UsageError when the name or an address is taken, or an address is none.
        """
        if not name:
            raise UsageError("a host has a name")
        chosen = tuple(packed(address) for address in addresses) or self._next_addresses()
        observer = None if self.trace is None else self.trace.observer(name, chosen)
        host = SimHost(
            name,
            chosen,
            self.network,
            self.stream,
            config or self.config,
            checksums=self._checksums,
            observer=observer,
            isn=self._isn,
            scheduler=self._scheduler,
        )
        self.hosts[name] = host
        return host

    def _next_addresses(self) -> tuple[bytes, ...]:
        number = 1 + len(self.hosts)
        while True:
            pair = ((IP4_BASE + number).to_bytes(4, "big"), (IP6_BASE + number).to_bytes(16, "big"))
            if not any(address in self.network.addresses for address in pair):
                return pair
            number += 1

    def switch(self, name: str) -> Switch:
        """A node without a stack that joins links: a hub of several hosts, or the middle of a longer way."""
        switch = Switch(name, self.network)
        self.network.add(switch)
        return switch

    def link(self, first: str | SimHost | Switch, second: str | SimHost | Switch, **parameters: Any) -> Link:
        """Join two nodes. Returns the Link, with which it may be changed and broken while the run lasts.

        delay, jitter: seconds; jitter adds 0 to that much to each packet and keeps their order.
        bandwidth: bits a second, counted from the IP header on; None for no limit.
        queue, queue_bytes: what may wait for the line behind the packet on it; what finds it full is lost (tail drop).
        mtu: the largest packet in bytes; larger ones are lost.
        duplex: "full"; "half", one direction at a time with `turnaround` seconds in between; "simplex", nothing comes back.
        loss, corrupt, duplicate, reorder: the probability for each packet. burst: (loss, mean length in packets).
        corrupt_bits: "burst" (of at most 15 bits), 1 or "random" (beyond TCP's guarantee, see faults).
        duplicate_after, reorder_by: how late the copy, or the reordered packet, comes, in seconds (reorder_by: by default
            `delay`, at least 1 ms).

        Both directions get the same parameters; Link.set changes one. Raises UsageError.
        """
        link = self.network.link(first, second, **parameters)
        for host in self.hosts.values():
            host.refresh()
        return link

    def flood(
        self, target: str | SimHost, *, rate: float, duration: float, at: float | None = None, port: int = 80, version: int = 4,
        sources: str = "random", answering: float = 0.0, options: bool = True, delay: float = 0.01,
    ) -> Flood:  # fmt: skip
        """Flood `port` of the host `target` with `rate` SYNs a second for `duration` seconds, from `at` seconds on or now.

        sources: whom they claim to come from: "random" (any address), a prefix ("198.51.0.0/16"), or one address.
        answering: the share of these addresses behind which a host exists that answers a SYN,ACK with RST.
        version: 4 or 6, of IP. options: whether the SYNs offer what today's hosts do; False: nothing but the MSS.
        delay: seconds one way between the target and all those addresses.

        Raises UsageError for what makes no sense. A world has one flood at a time on its way to addresses that no host has.
        """
        host = self.network.node(target)
        if not isinstance(host, SimHost):
            raise UsageError(f"a flood's target is a host, and {host.name!r} is none")
        own = [address for address in host.addresses if len(address) == (4 if version == 4 else 16)]
        if not own:
            raise UsageError(f"{host.name!r} has no address of IP version {version!r}")
        begins, lasts = flood_times(at, duration, self.clock.now)
        number = 1 + sum(isinstance(node, Flood) for node in self.network.nodes.values())
        name = "attacker" if number == 1 else f"attacker{number}"
        flood = Flood(
            name, self.network, self.stream(f"flood:{name}"), self.network.addresses.__contains__, target=own[0], port=port,
            sources=sources, rate_=rate, answering=answering, options=options,
        )  # fmt: skip
        self.network.add(flood)
        self.network.link(flood, host, delay=delay)
        self.network.elsewhere = flood
        for each in self.hosts.values():
            each.refresh()
        flood.run(begins, lasts)
        return flood

    def tap(self, tap: Tap) -> None:
        """Tell `tap` of every packet from now on; to be called before the first packet is sent."""
        self.network.ledger.taps.append(tap)
        for host in self.hosts.values():
            host.refresh()

    # Running

    @property
    def now(self) -> float:
        """The time since the start, in seconds."""
        return self.clock.now / SECOND

    def spawn(self, program: Coroutine[Any, Any, Any], name: str = "", *, background: bool = False) -> Task:
        """Start a program, at this very time. One in the background (a server) is not waited for by `run`."""
        return self._scheduler.spawn(program, name, background)

    def call_at(self, at: float, callback: Callable[..., object], *arguments: Any) -> Timer:
        """Call `callback(*arguments)` at `at` seconds; returns what can be cancelled."""
        when = nanoseconds(at, "at")
        if when < self.clock.now:
            raise UsageError(f"{at} s have passed already")
        return self.clock.call_at(when, callback, *arguments)

    def run(self, until: float | None = None) -> None:
        """Run to the time `until` (seconds since the start), or until every program has ended.

        Raises what a program raised and nobody awaited, and Deadlock when programs wait and nothing is left to happen.
        """
        if until is None:
            self._scheduler.run_to_the_end()
        else:
            self._scheduler.run(nanoseconds(until, "until"))

    def run_for(self, duration: float) -> None:
        """Run for so many seconds."""
        self._scheduler.run(self.clock.now + nanoseconds(duration, "duration"))

    def run_until_idle(self) -> None:
        """Run until nothing is left to happen: every timer has run out, TIME-WAIT too."""
        self._scheduler.run(NEVER)

    def close(self) -> None:
        """End all programs where they stand."""
        self._scheduler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def threads(self) -> Waits | None:
        """How blocking calls wait, None where no threads of the world run."""
        return self._scheduler.threads

    @threads.setter
    def threads(self, threads: Waits | None) -> None:
        self._scheduler.threads = threads

    # What came of it

    @property
    def replay_hash(self) -> str:
        """The hash of all packets' times, headers and lengths so far; raises UsageError without `replay`."""
        return self._hash().headers

    @property
    def payload_hash(self) -> str:
        """The hash of all payloads so far; raises UsageError without `replay`."""
        return self._hash().payload

    def _hash(self) -> ReplayHash:
        if self._replay is None:
            raise UsageError("this world keeps no hash: make it with replay=True")
        return self._replay
