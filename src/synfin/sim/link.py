"""A link between two nodes, as the user of a simulation sets and breaks it: in seconds, rates and names.

Owns the parameters' rules, the two directions, and what one may do to them while the run lasts: cut, heal, set, drop, delay,
duplicate, corrupt, hold. How a packet fares on a direction is line.py's.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from synfin.engine.errors import UsageError
from synfin.sim.clock import nanoseconds
from synfin.sim.faults import (
    Asked,
    BurstLoss,
    Chosen,
    Corruption,
    Damage,
    Delay,
    Drop,
    Duplicate,
    Duplication,
    Held,
    Hold,
    Loss,
    Reorder,
    Rule,
    SeenPacket,
    Verdict,
    Where,
    rate,
)
from synfin.sim.line import Direction, Ledger, Medium, Node, StreamOf

DUPLEX: Final = ("full", "half", "simplex")
DRAWN: Final = ("loss", "burst", "corrupt", "duplicate", "reorder")  # in the order in which they are asked
DEFAULTS: Final[dict[str, Any]] = {
    "delay": 0.0,
    "jitter": 0.0,
    "bandwidth": None,
    "queue": None,
    "queue_bytes": None,
    "mtu": 1500,
    "loss": 0.0,
    "burst": None,
    "corrupt": 0.0,
    "corrupt_bits": "burst",
    "duplicate": 0.0,
    "duplicate_after": 0.0,
    "reorder": 0.0,
    "reorder_by": None,
}
SMALLEST_MTU: Final = 68  # RFC 791 3.2: what every IPv4 link must carry


def _count(value: object, what: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{what} is a whole number, {least} or more, not {value!r}")
    return value


def _burst_rule(value: object) -> BurstLoss:
    if isinstance(value, BurstLoss):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        return BurstLoss(*value)
    raise UsageError(f"burst is (loss, mean length in packets) or a BurstLoss, not {value!r}")


def _drawn_rule(kind: str, settings: dict[str, Any]) -> Rule | None:
    """The rule that these settings ask for; None when they ask for none."""
    if kind == "burst":
        return None if settings["burst"] is None else _burst_rule(settings["burst"])
    if rate(settings[kind], kind) == 0:
        return None
    if kind == "loss":
        return Loss(settings["loss"])
    if kind == "corrupt":
        return Corruption(settings["corrupt"], settings["corrupt_bits"])
    if kind == "duplicate":
        return Duplication(settings["duplicate"], nanoseconds(settings["duplicate_after"], "duplicate_after"))
    by = settings["reorder_by"]
    return Reorder(settings["reorder"], nanoseconds(max(settings["delay"], 0.001) if by is None else by, "reorder_by"))


class Link:
    """A link between two nodes; World.link makes one and explains its parameters.

    `forward` is the direction from the first node to the second, `backward` the other. Where a method takes `direction`,
    that is `"client->server"`, a Direction, or None for both.
    """

    def __init__(
        self,
        first: Node,
        second: Node,
        ledger: Ledger,
        stream: StreamOf,
        *,
        ordinal: int = 1,
        duplex: str = "full",
        turnaround: float = 0.0,
        **settings: Any,
    ) -> None:
        suffix = "" if ordinal == 1 else f"#{ordinal}"
        self.name = f"{first.name} {second.name}{suffix}"
        self.first = first
        self.second = second
        self._ledger = ledger
        self._stream = stream
        forward, backward = f"{first.name}->{second.name}{suffix}", f"{second.name}->{first.name}{suffix}"
        self.forward = Direction(forward, second, ledger, stream(f"jitter:{forward}"))
        self.backward = Direction(backward, first, ledger, stream(f"jitter:{backward}"))
        self._settings = {direction.name: dict(DEFAULTS) for direction in (self.forward, self.backward)}
        self._set_duplex(duplex, nanoseconds(turnaround, "turnaround"))
        self.set(**settings)

    def _set_duplex(self, duplex: str, turnaround: int) -> None:
        if duplex not in DUPLEX:
            raise UsageError(f"duplex is full, half or simplex, not {duplex!r}")
        if turnaround and duplex != "half":
            raise UsageError("turnaround is for duplex='half' only")
        self.duplex = duplex
        if duplex == "half":
            self.forward.medium = self.backward.medium = Medium(turnaround)
        elif duplex == "simplex":
            self.backward.closed = "simplex"

    def direction(self, direction: "str | Direction | None") -> list[Direction]:
        """The directions meant; raises UsageError when there is none of that name."""
        both = [self.forward, self.backward]
        if direction is None:
            return both
        found = [way for way in both if direction in (way, way.name)]
        if not found:
            raise UsageError(f"the directions of this link are {both[0].name} and {both[1].name}, not {direction!r}")
        return found

    def set(self, *, direction: "str | Direction | None" = None, **settings: Any) -> None:
        """Change any of the link's parameters but its duplex mode, from the next packet on; raises UsageError."""
        for name in settings:
            if name not in DEFAULTS:
                raise UsageError(f"a link has no parameter {name!r}; it has {', '.join(DEFAULTS)}, duplex, turnaround")
        for way in self.direction(direction):
            merged = {**self._settings[way.name], **settings}
            self._apply(way, merged)
            self._settings[way.name] = merged

    def _apply(self, way: Direction, settings: dict[str, Any]) -> None:
        delay, jitter = nanoseconds(settings["delay"], "delay"), nanoseconds(settings["jitter"], "jitter")
        bandwidth = settings["bandwidth"]
        if bandwidth is not None and (isinstance(bandwidth, bool) or not isinstance(bandwidth, int | float)):
            raise UsageError(f"bandwidth is a number of bits a second, or None for no limit, not {bandwidth!r}")
        if bandwidth is not None and not 1 <= bandwidth <= 1e15:
            raise UsageError(f"bandwidth is between 1 and 10^15 bits a second, or None for no limit, not {bandwidth!r}")
        queue, queue_bytes = settings["queue"], settings["queue_bytes"]
        if (queue, queue_bytes) != (None, None) and bandwidth is None and self.duplex != "half":
            raise UsageError("a queue needs a bandwidth: nothing ever waits for a line without limit")
        rules = {kind: _drawn_rule(kind, settings) for kind in DRAWN}
        if (mtu := _count(settings["mtu"], "mtu", SMALLEST_MTU)) > 65_535:
            raise UsageError("mtu is at most 65,535 bytes")
        way.queue = None if queue is None else _count(queue, "queue", 0)
        way.queue_bytes = None if queue_bytes is None else _count(queue_bytes, "queue_bytes", 0)
        way.delay, way.jitter, way.mtu = delay, jitter, mtu
        way.bandwidth = 0 if bandwidth is None else int(bandwidth)
        self._put(way, rules)
        way.refresh()

    def _put(self, way: Direction, rules: dict[str, Rule | None]) -> None:
        added = {name: rule for name, rule in way.drawn.items() if ":" in name}
        way.drawn.clear()
        for kind, rule in rules.items():
            if rule is not None:
                way.drawn[kind] = rule.bound(self._stream(f"{kind}:{way.name}"))
        way.drawn.update(added)

    # Faults that are scripted

    def add(
        self,
        rule: Rule | Callable[[SeenPacket], Verdict | None],
        direction: "str | Direction | None" = None,
    ) -> None:
        """Ask `rule`, or a function from a packet to a verdict or None, for each packet.

        Scripted rules are asked before drawn ones, in the order of their adding; the first verdict decides. A drawn rule
        put on both directions gets a stream for each; a scripted one counts both together.
        """
        asked = rule if isinstance(rule, Rule) else Asked(rule)
        for way in self.direction(direction):
            if asked.kind:
                name = f"{asked.kind}:{len(way.drawn) + 1}"
                way.drawn[name] = asked.bound(self._stream(f"{name}:{way.name}"))
            else:
                way.scripted.append(asked)
            way.refresh()

    def drop(
        self,
        nth: int | Iterable[int] | None = None,
        *,
        where: Where | None = None,
        direction: "str | Direction | None" = None,
    ) -> Chosen:
        """Lose the `nth` packet (from 1; several; None: each) of those that `where` picks.

        `link.drop(1, where=lambda packet: packet.syn and not packet.ack_set)` loses the first SYN.
        """
        cause = "n-th" if nth is not None else "predicate"
        return self._chosen(Drop(cause), nth, where, direction)

    def delay(
        self,
        by: float,
        nth: int | Iterable[int] | None = None,
        *,
        where: Where | None = None,
        direction: "str | Direction | None" = None,
    ) -> Chosen:
        """Let the chosen packets come `by` seconds later than they would; those behind overtake them."""
        return self._chosen(Delay(nanoseconds(by, "by")), nth, where, direction)

    def duplicate(
        self,
        nth: int | Iterable[int] | None = None,
        *,
        after: float = 0.0,
        where: Where | None = None,
        direction: "str | Direction | None" = None,
    ) -> Chosen:
        """Let a copy of each chosen packet come `after` seconds behind it."""
        return self._chosen(Duplicate(nanoseconds(after, "after")), nth, where, direction)

    def corrupt(
        self,
        nth: int | Iterable[int] | None = None,
        *,
        bits: int | str = 1,
        where: Where | None = None,
        direction: "str | Direction | None" = None,
    ) -> Chosen:
        """Damage the chosen packets: 1 bit, a "burst" of at most 15, or "random" bits (beyond TCP's guarantee)."""
        damage, stream = Damage(bits), self._stream(f"scripted corrupt:{self.name}")
        return self._chosen(lambda data: damage.draw(stream, data), nth, where, direction)

    def hold(
        self,
        nth: int | Iterable[int] | None = None,
        *,
        where: Where | None = None,
        direction: "str | Direction | None" = None,
    ) -> Held:
        """Keep the chosen packets back; they arrive when `release` of what is returned is called."""
        held = Held()
        self._chosen(Hold(held), nth, where, direction)
        return held

    def _chosen(
        self,
        verdict: Verdict | Callable[[bytes], Verdict],
        nth: int | Iterable[int] | None,
        where: Where | None,
        direction: "str | Direction | None",
    ) -> Chosen:
        rule = Chosen(verdict, nth, where)
        self.add(rule, direction)
        return rule

    # Partition

    def cut(self, *, at: float | None = None, direction: "str | Direction | None" = None) -> None:
        """Partition: from now, or from `at` seconds on, nothing arrives, nor does what is on its way then."""
        self._when(at, self._cut, direction)

    def heal(self, *, at: float | None = None, direction: "str | Direction | None" = None) -> None:
        """End the partition, now or at `at` seconds."""
        self._when(at, self._heal, direction)

    def _when(
        self, at: float | None, act: Callable[["str | Direction | None"], None], direction: "str | Direction | None"
    ) -> None:
        self.direction(direction)  # a mistake in the name shows now
        if at is None:
            act(direction)
            return
        when = nanoseconds(at, "at")
        if when < self._ledger.clock.now:
            raise UsageError(f"{at} s have passed already")
        self._ledger.clock.call_at(when, act, direction)

    def _cut(self, direction: "str | Direction | None") -> None:
        for way in self._two_way(direction):
            way.cut("partition")
        self._ledger.fault("link cut", self._subject(direction))

    def _heal(self, direction: "str | Direction | None") -> None:
        for way in self._two_way(direction):
            way.heal()
        self._ledger.fault("link healed", self._subject(direction))

    def _two_way(self, direction: "str | Direction | None") -> list[Direction]:
        """The directions meant, without the one that a simplex link does not have."""
        return [way for way in self.direction(direction) if way.closed != "simplex"]

    def _subject(self, direction: "str | Direction | None") -> str:
        return self.name if direction is None else self.direction(direction)[0].name
