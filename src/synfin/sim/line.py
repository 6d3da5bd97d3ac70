"""One direction of a link: when a packet put on it now arrives at the other end, if it does.

Owns delay, jitter, bandwidth, the queue before the line, and the carrying out of the verdicts that faults.py's rules give.
Knows the node at its end only as something that takes packets; knows nothing of TCP, routes or hosts.

A packet is plain bytes where nobody looks, and a Packet, with a number and the names of both ends, where somebody does or
where it was damaged on its way.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final, NoReturn, Protocol

from synfin.engine.config import SECOND
from synfin.engine.segment import Outgoing
from synfin.sim.clock import Clock
from synfin.sim.faults import Corrupt, Delay, Drop, Duplicate, Hold, Rule, Verdict, flip
from synfin.wire.packet import complete_checksums

BITS_BY_SECOND: Final = 8 * SECOND  # bits of a byte times nanoseconds of a second


class Packet:
    """A packet that is watched (`number` is unique in the run) or was damaged, or both. `sender` and `receiver` are hosts."""

    __slots__ = ("damaged", "data", "number", "receiver", "sender")

    def __init__(self, number: int, data: bytes, sender: str, receiver: str, damaged: bool = False) -> None:
        self.number = number
        self.data = data
        self.sender = sender
        self.receiver = receiver
        self.damaged = damaged


Item = bytes | Packet


def bytes_of(item: Item) -> bytes:
    """The packet's bytes, from the IP header on."""
    return item if isinstance(item, bytes) else item.data


class Tap(Protocol):
    """Who is told of every packet. Times in nanoseconds, `packet` a number unique in the run, `data` the bytes."""

    def sent(self, now: int, host: str, peer: str, packet: int, data: bytes, out: Outgoing | None) -> None:
        """`host` put a packet on its way to `peer`; `out` is None when no stack of this run built it."""

    def delivered(self, now: int, host: str, peer: str, packet: int, data: bytes) -> None:
        """A packet from `peer` reached `host`, which has not looked at it yet."""

    def lost(self, now: int, host: str, peer: str, packet: int, data: bytes, cause: str) -> None:
        """A packet of `host` will not reach `peer`."""

    def duplicated(self, now: int, host: str, peer: str, packet: int, data: bytes, copy: int) -> None:
        """The network made a copy, with the number `copy`, of a packet of `host`."""

    def corrupted(self, now: int, host: str, peer: str, packet: int, data: bytes, bits: Sequence[int]) -> None:
        """The network turned `bits` of a packet of `host`; `data` is what it became."""

    def fault(self, now: int, what: str, subject: str) -> None:
        """Something was done to a link or a host."""


class Ledger:
    """What a whole network shares: its clock, who watches, the numbers of packets, and the count of those lost by cause."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.taps: list[Tap] = []
        self.lost: dict[str, int] = {}
        self._numbers = 0

    def number(self) -> int:
        """The next packet's number, from 1."""
        self._numbers += 1
        return self._numbers

    def sent(self, host: str, peer: str, packet: bytes, out: Outgoing | None) -> Item:
        """`host` puts `packet` on its way to `peer` (Tap.sent); returns it as the network carries it."""
        if not self.taps:
            return packet
        item = Packet(self.number(), packet, host, peer)
        for tap in self.taps:
            tap.sent(self.clock.now, host, peer, item.number, packet, out)
        return item

    def delivered(self, host: str, item: Item) -> None:
        """The packet has reached `host`."""
        if isinstance(item, Packet):
            for tap in self.taps:
                tap.delivered(self.clock.now, host, item.sender, item.number, item.data)

    def lose(self, item: Item, cause: str) -> None:
        """The packet is gone."""
        self.lost[cause] = self.lost.get(cause, 0) + 1
        if isinstance(item, Packet):
            for tap in self.taps:
                tap.lost(self.clock.now, item.sender, item.receiver, item.number, item.data, cause)

    def copy(self, item: Item) -> Item:
        """A second packet like `item`, with a number of its own."""
        if isinstance(item, bytes):
            return item
        twin = Packet(self.number(), item.data, item.sender, item.receiver, item.damaged)
        for tap in self.taps:
            tap.duplicated(self.clock.now, item.sender, item.receiver, item.number, item.data, twin.number)
        return twin

    def damage(self, item: Item, bits: Sequence[int]) -> Packet:
        """`item` with `bits` turned, its checksums completed before, so that the receiver can find it out."""
        data = flip(complete_checksums(bytes_of(item)), bits)
        if isinstance(item, bytes):
            return Packet(0, data, "", "", True)
        for tap in self.taps:
            tap.corrupted(self.clock.now, item.sender, item.receiver, item.number, data, bits)
        return Packet(item.number, data, item.sender, item.receiver, True)

    def fault(self, what: str, subject: str) -> None:
        """Tell who watches that something was done to a link or a host."""
        for tap in self.taps:
            tap.fault(self.clock.now, what, subject)


class Node:
    """What stands at the end of a line."""

    def __init__(self, name: str) -> None:
        self.name = name

    def take(self, items: list[Item]) -> None:
        """Packets that arrive at this very moment, in their order."""
        raise NotImplementedError


class Medium:
    """What both directions of a half-duplex link share: one of them at a time, and `turnaround` nanoseconds in between.

    A direction holds the medium until its last packet has arrived at the other end.
    """

    __slots__ = ("clear_at", "free_at", "owner", "turnaround")

    def __init__(self, turnaround: int) -> None:
        self.turnaround = turnaround
        self.owner: Direction | None = None
        self.free_at = 0  # the owner may begin its next packet
        self.clear_at = 0  # all of the owner's packets have arrived

    def begin(self, direction: "Direction", now: int) -> int:
        """When `direction`, asking now, may begin to send: those who ask first are served first."""
        if self.owner is None or self.owner is direction:
            return max(now, self.free_at)
        return max(now, self.clear_at + self.turnaround)

    def hold(self, direction: "Direction", leaves: int, arrives: int) -> None:
        """`direction` sends until `leaves`, and is heard until `arrives`."""
        self.owner = direction
        self.free_at = leaves
        self.clear_at = max(self.clear_at, arrives)


def _fail(error: Exception) -> NoReturn:
    """End the run with what a user's rule has raised: the socket call that sent the packet is not to blame, and asyncio's
    transports would take it for a fault of the connection."""
    raise error


class Direction:
    """One way of a link. Fields are in nanoseconds, bytes, packets and bits a second; call `refresh` after changing one.

    `packets` counts what was put on it, `queue` and `queue_bytes` limit what waits behind the packet on the line (None: no
    limit), `closed` is the cause for which everything is lost ("" when open).
    """

    def __init__(self, name: str, end: Node, ledger: Ledger, jitter_stream: Random) -> None:
        self.name = name
        self.end = end
        self.delay = 0
        self.jitter = 0
        self.bandwidth = 0  # 0: without limit
        self.queue: int | None = None
        self.queue_bytes: int | None = None
        self.mtu = 1500
        self.medium: Medium | None = None
        self.scripted: list[Rule] = []
        self.drawn: dict[str, Rule] = {}  # by stream, in the order in which they are asked
        self.closed = ""
        self.packets = 0
        self._ledger = ledger
        self._clock = ledger.clock
        self._jitter_stream = jitter_stream
        self._free_at = 0  # the line itself
        self._last_arrival = 0
        self._waiting: deque[tuple[int, int]] = deque()  # (when it begins, bytes)
        self._batch: list[Item] = []  # what arrives at _batch_when
        self._batch_when = -1
        self._generation = 0  # counts cuts: what was on its way when the link was cut is lost
        self._rules: list[Rule] = []
        self._plain = True

    def refresh(self) -> None:
        """Take notice of changed fields and rules."""
        self._rules = [*self.scripted, *self.drawn.values()]
        limited = self.queue is not None or self.queue_bytes is not None
        self._plain = not (self.closed or self.jitter or limited or self.medium is not None or self._rules)

    def cut(self, cause: str) -> None:
        """Lose what is on its way and everything from now on, until `heal`."""
        self.closed = cause
        self._generation += 1
        self._batch_when = -1
        self.refresh()

    def heal(self) -> None:
        """Carry packets again."""
        self.closed = ""
        self.refresh()

    def carry(self, item: Item) -> None:
        """Put a packet on the line now."""
        if self._plain:
            size = len(item if type(item) is bytes else item.data)  # type: ignore[union-attr]
            if size <= self.mtu:
                self.packets += 1
                when = self._clock.now
                if self.bandwidth:
                    if self._free_at > when:
                        when = self._free_at
                    when -= -size * BITS_BY_SECOND // self.bandwidth  # minus the floor of minus: rounded up
                    self._free_at = when
                when += self.delay
                if when == self._batch_when:
                    self._batch.append(item)
                else:
                    self._batch_when = when
                    self._batch = batch = [item]
                    self._clock.schedule(when, self._arrive, (batch, self._generation))
                return
        self._carry_with_care(item)

    def deliver(self, item: Item, when: int) -> None:
        """Let `item` arrive at `when`, together with what arrives then already."""
        if when == self._batch_when:
            self._batch.append(item)
            return
        self._batch_when = when
        self._batch = [item]
        self._clock.schedule(when, self._arrive, (self._batch, self._generation))

    def _arrive(self, batch: list[Item], generation: int) -> None:
        if batch is self._batch:
            self._batch_when = -1  # what is sent from here on, without delay, comes after these
        if generation == self._generation:
            self.end.take(batch)
            return
        for item in batch:
            self._ledger.lose(item, self.closed or "partition")

    def _carry_with_care(self, item: Item) -> None:
        now = self._clock.now
        data = bytes_of(item)
        self.packets += 1
        if self.closed:
            self._ledger.lose(item, self.closed)
            return
        if len(data) > self.mtu:
            self._ledger.lose(item, "larger than the MTU")
            return
        leaves = self._leave(len(data), now)
        if leaves < 0:
            self._ledger.lose(item, "queue full")
            return
        arrival = leaves + self.delay
        if self.jitter:
            # Jitter is a wait like in somebody's queue: nobody overtakes. Reordering is a rule of its own.
            arrival = max(arrival + self._jitter_stream.randrange(self.jitter + 1), self._last_arrival)
        self._last_arrival = arrival
        if self.medium is not None:
            self.medium.hold(self, leaves, arrival)
        for rule in self._rules:
            try:
                verdict = rule.decide(now, data)
            except Exception as error:
                self._rules = [other for other in self._rules if other is not rule]  # said once
                self._clock.schedule(now, _fail, (error,))
                continue
            if verdict is not None:
                self._carry_out(verdict, item, arrival)
                return
        self.deliver(item, arrival)

    def _leave(self, size: int, now: int) -> int:
        """When the last bit of a packet of `size` bytes will be on the line; -1 when the queue before it is full."""
        begins = max(now, self._free_at) if self.medium is None else self.medium.begin(self, now)
        if self.queue is not None or self.queue_bytes is not None:
            waiting = self._waiting
            while waiting and waiting[0][0] <= now:
                waiting.popleft()
            if begins > now:
                if self.queue is not None and len(waiting) >= self.queue:
                    return -1
                if self.queue_bytes is not None and sum(n for _, n in waiting) + size > self.queue_bytes:
                    return -1
                waiting.append((begins, size))
        self._free_at = begins - (-size * BITS_BY_SECOND // self.bandwidth if self.bandwidth else 0)
        return self._free_at

    def _carry_out(self, verdict: Verdict, item: Item, arrival: int) -> None:
        if isinstance(verdict, Drop):
            self._ledger.lose(item, verdict.cause)
        elif isinstance(verdict, Delay):
            self.deliver(item, arrival + verdict.by)
        elif isinstance(verdict, Duplicate):
            self.deliver(item, arrival)
            self.deliver(self._ledger.copy(item), arrival + verdict.after)
        elif isinstance(verdict, Corrupt):
            self.deliver(self._ledger.damage(item, verdict.bits), arrival)
        elif isinstance(verdict, Hold):
            verdict.held.keep(bytes_of(item), partial(self._release, item))
        else:
            self.deliver(item, arrival)

    def _release(self, item: Item) -> None:
        self.deliver(item, self._clock.now)


StreamOf = Callable[[str], Random]
