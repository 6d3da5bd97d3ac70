"""What may happen to a packet on its way: rules that answer pass, delay, drop, duplicate, corrupt or hold.

Owns the rules and their verdicts; a link asks its rules in order and the first verdict decides. Scripted rules choose
packets by number or by sight, drawn rules by a stream of randomness of their own. Knows nothing of links or time.

What TCP can promise bounds what is offered by default: its checksum finds every error burst of at most 15 bits in the
segment (RFC 1071: the sum is taken modulo 65,535, and such a burst changes it by less), so `Corruption` turns one bit or
such a burst, and inside the TCP segment. `bits="random"` turns bits anywhere in the packet: about one such packet in
65,536 passes for a good one, and the bytes delivered may then be wrong; that is beyond TCP's guarantee.
"""

import copy
import random
from collections.abc import Callable, Iterable
from typing import Final, Self

from synfin.engine.errors import UsageError
from synfin.engine.segment import ACK, FIN, PSH, RST, SYN, URG, Buffer, Segment
from synfin.wire.errors import ParseError
from synfin.wire.packet import describe

LONGEST_BURST: Final = 15  # bits; the longest that the checksum always finds


class Verdict:
    """What a rule decided; one of the classes below."""

    __slots__ = ()


PASS: Final = None  # no verdict: the next rule is asked


class Deliver(Verdict):
    """Deliver it untouched, whatever later rules would say."""

    __slots__ = ()


class Drop(Verdict):
    """Lose it; `cause` is what traces and counters say."""

    __slots__ = ("cause",)

    def __init__(self, cause: str) -> None:
        self.cause = cause


class Delay(Verdict):
    """Deliver it `by` nanoseconds later than it would have come; packets behind overtake it."""

    __slots__ = ("by",)

    def __init__(self, by: int) -> None:
        self.by = by


class Duplicate(Verdict):
    """Deliver it, and a copy of it `after` nanoseconds later."""

    __slots__ = ("after",)

    def __init__(self, after: int = 0) -> None:
        self.after = after


class Corrupt(Verdict):
    """Turn these bits, counted from the packet's first, and deliver it."""

    __slots__ = ("bits",)

    def __init__(self, bits: tuple[int, ...]) -> None:
        self.bits = bits


class Held:
    """Packets that are kept back. `packets` has their bytes, in the order in which they came."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self._releases: list[Callable[[], None]] = []

    def keep(self, data: bytes, release: Callable[[], None]) -> None:
        """Take one packet; `release` lets it arrive."""
        self.packets.append(data)
        self._releases.append(release)

    def release(self) -> None:
        """Let all of them arrive now."""
        releases, self._releases = self._releases, []
        self.packets.clear()
        for release in releases:
            release()


class Hold(Verdict):
    """Keep it back until somebody releases it."""

    __slots__ = ("held",)

    def __init__(self, held: Held) -> None:
        self.held = held


class SeenPacket:
    """A packet as a predicate sees it: the flags as `syn`, `ack_set`, `fin`, `rst`, `psh`, `urg`; the numbers as on the wire.

    A packet that is not TCP, or too broken to read, has no flags, no ports and no payload.
    """

    __slots__ = ("data", "destination", "destination_port", "segment", "source", "source_port")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.source: bytes = b""
        self.destination: bytes = b""
        self.source_port: int = 0
        self.destination_port: int = 0
        self.segment: Segment = Segment(0, 0, 0, 0)
        try:
            view = describe(data)
        except ParseError:
            return
        self.segment = view.segment
        self.source, self.source_port = view.source, view.source_port
        self.destination, self.destination_port = view.destination, view.destination_port

    @property
    def version(self) -> int:
        """4 or 6; what stands there in a packet that is neither."""
        return self.data[0] >> 4 if self.data else 0

    @property
    def flags(self) -> int:
        """The control bits, engine.segment's constants."""
        return self.segment.flags

    @property
    def syn(self) -> bool:
        """Whether SYN is set; true of a SYN and of a SYN,ACK."""
        return bool(self.segment.flags & SYN)

    @property
    def ack_set(self) -> bool:
        """Whether the ACK flag is set."""
        return bool(self.segment.flags & ACK)

    @property
    def fin(self) -> bool:
        """Whether FIN is set."""
        return bool(self.segment.flags & FIN)

    @property
    def rst(self) -> bool:
        """Whether RST is set."""
        return bool(self.segment.flags & RST)

    @property
    def psh(self) -> bool:
        """Whether PSH is set."""
        return bool(self.segment.flags & PSH)

    @property
    def urg(self) -> bool:
        """Whether URG is set."""
        return bool(self.segment.flags & URG)

    @property
    def seq(self) -> int:
        """SEG.SEQ."""
        return self.segment.seq

    @property
    def ack(self) -> int:
        """SEG.ACK, which means something only where `ack_set`."""
        return self.segment.ack

    @property
    def payload(self) -> Buffer:
        """The bytes carried."""
        return self.segment.payload

    @property
    def length(self) -> int:
        """Bytes of payload."""
        return len(self.segment.payload)


Where = Callable[[SeenPacket], bool]


class Rule:
    """Base of all rules. `kind` names the stream of randomness that a drawn rule gets when it is put on a link."""

    kind: str = ""  # "" for a rule that draws nothing

    def decide(self, now: int, data: bytes) -> Verdict | None:
        """The verdict on the packet `data` at `now` nanoseconds, or PASS."""
        raise NotImplementedError

    def bound(self, stream: random.Random) -> Self:
        """This rule with nothing counted yet, drawing from `stream`."""
        rule = copy.copy(self)
        rule._bind(stream)
        return rule

    def _bind(self, stream: random.Random) -> None:
        """Take the stream; for rules that draw."""


def rate(value: float, what: str) -> float:
    """`value` when it is a rate; raises UsageError, naming `what`, unless it is a number between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UsageError(f"{what} is a rate between 0 and 1 (5 % is 0.05), not {value!r}")
    return float(value)


class Loss(Rule):
    """Each packet is lost with probability `loss`."""

    kind = "loss"
    _verdict: Final = Drop("loss")

    def __init__(self, loss: float) -> None:
        self._rate = rate(loss, "loss")

    def _bind(self, stream: random.Random) -> None:
        self._draw = stream.random

    def decide(self, now: int, data: bytes) -> Verdict | None:
        return self._verdict if self._draw() < self._rate else PASS


class BurstLoss(Rule):
    """Loss in bursts, as Gilbert and Elliott model it: a good and a bad state, each with its own rate of loss.

    BurstLoss(0.05, 4) loses 5 % in bursts of 4 packets on average. BurstLoss.between(...) takes the model's four numbers.
    """

    kind = "burst"
    _verdict: Final = Drop("burst")

    def __init__(self, loss: float, length: float) -> None:
        if rate(loss, "burst loss") >= 1 or length < 1:
            raise UsageError("burst loss is a rate below 1 and a mean length of 1 packet or more")
        self._set(loss / (1 - loss) / length, 1 / length, 0.0, 1.0)

    @classmethod
    def between(cls, to_bad: float, to_good: float, loss_good: float = 0.0, loss_bad: float = 1.0) -> Self:
        """From the probabilities of changing state before each packet, and the loss in each state."""
        rule = cls(0.0, 1.0)
        rule._set(
            rate(to_bad, "to_bad"), rate(to_good, "to_good"), rate(loss_good, "loss_good"), rate(loss_bad, "loss_bad")
        )
        return rule

    def _set(self, to_bad: float, to_good: float, loss_good: float, loss_bad: float) -> None:
        self._to_bad, self._to_good = min(to_bad, 1.0), to_good
        self._loss_good, self._loss_bad = loss_good, loss_bad
        self._bad = False

    def _bind(self, stream: random.Random) -> None:
        self._draw = stream.random
        self._bad = False

    def decide(self, now: int, data: bytes) -> Verdict | None:
        if self._draw() < (self._to_good if self._bad else self._to_bad):
            self._bad = not self._bad
        loss = self._loss_bad if self._bad else self._loss_good
        return self._verdict if loss and self._draw() < loss else PASS


class Reorder(Rule):
    """With probability `reorder` a packet comes `by` nanoseconds late, so that those behind overtake it."""

    kind = "reorder"

    def __init__(self, reorder: float, by: int) -> None:
        self._rate = rate(reorder, "reorder")
        self._verdict = Delay(by)

    def _bind(self, stream: random.Random) -> None:
        self._draw = stream.random

    def decide(self, now: int, data: bytes) -> Verdict | None:
        return self._verdict if self._draw() < self._rate else PASS


class Duplication(Rule):
    """With probability `duplicate` a packet comes twice, the copy `after` nanoseconds behind it."""

    kind = "duplicate"

    def __init__(self, duplicate: float, after: int = 0) -> None:
        self._rate = rate(duplicate, "duplicate")
        self._verdict = Duplicate(after)

    def _bind(self, stream: random.Random) -> None:
        self._draw = stream.random

    def decide(self, now: int, data: bytes) -> Verdict | None:
        return self._verdict if self._draw() < self._rate else PASS


def tcp_offset(data: bytes) -> int:
    """Where the TCP segment begins in a packet without IPv6 extension headers."""
    return (data[0] & 15) * 4 if data[0] >> 4 == 4 else 40


def flip(data: bytes, bits: Iterable[int]) -> bytes:
    """`data` with these bits turned, counted from its first."""
    changed = bytearray(data)
    for bit in bits:
        changed[bit >> 3] ^= 0x80 >> (bit & 7)
    return bytes(changed)


class Damage:
    """Which bits to turn in a packet: 1, "burst" (2 to 15 bits, the outer two turned for certain) or "random"."""

    def __init__(self, bits: int | str) -> None:
        if bits not in (1, "burst", "random"):
            raise UsageError(f'bits to corrupt are 1, "burst" (of at most 15) or "random", not {bits!r}')
        self._bits = bits

    def draw(self, stream: random.Random, data: bytes) -> Corrupt:
        """A choice for `data`."""
        end = len(data) * 8
        if self._bits == "random":
            return Corrupt(tuple(sorted(stream.sample(range(end), min(end, stream.randrange(2, 33))))))
        size = 1 if self._bits == 1 else stream.randrange(2, LONGEST_BURST + 1)
        first = stream.randrange(tcp_offset(data) * 8, end - size + 1)
        inner = [first + i for i in range(1, size - 1) if stream.random() < 0.5]
        return Corrupt((first, *inner, first + size - 1) if size > 1 else (first,))


class Corruption(Rule):
    """With probability `corrupt` bits of a packet turn (Damage). The link completes left-out checksums first."""

    kind = "corrupt"

    def __init__(self, corrupt: float, bits: int | str = "burst") -> None:
        self._rate = rate(corrupt, "corrupt")
        self._damage = Damage(bits)

    def _bind(self, stream: random.Random) -> None:
        self._stream = stream

    def decide(self, now: int, data: bytes) -> Verdict | None:
        return self._damage.draw(self._stream, data) if self._stream.random() < self._rate else PASS


class Chosen(Rule):
    """Scripted: one verdict for the `nth` packet (from 1; several numbers; None for each) among those that `where` picks.

    `verdict` may also be a function from the packet to a verdict.
    """

    def __init__(
        self,
        verdict: Verdict | Callable[[bytes], Verdict],
        nth: int | Iterable[int] | None = None,
        where: Where | None = None,
    ) -> None:
        numbers = None if nth is None else [nth] if isinstance(nth, int) else list(nth)
        if numbers is not None and (not numbers or any(number < 1 for number in numbers)):
            raise UsageError(f"nth counts packets from 1, not {nth!r}")
        self._verdict = verdict
        self._numbers = numbers
        self._where = where
        self.seen: int = 0  # packets that `where` has picked so far

    def decide(self, now: int, data: bytes) -> Verdict | None:
        if self._where is not None and not self._where(SeenPacket(data)):
            return PASS
        self.seen += 1
        if self._numbers is not None and self.seen not in self._numbers:
            return PASS
        return self._verdict(data) if callable(self._verdict) else self._verdict


class Asked(Rule):
    """Scripted: a function from the packet seen to a verdict or PASS."""

    def __init__(self, function: Callable[[SeenPacket], Verdict | None]) -> None:
        self._function = function

    def decide(self, now: int, data: bytes) -> Verdict | None:
        verdict = self._function(SeenPacket(data))
        if verdict is not None and not isinstance(verdict, Verdict):
            raise UsageError(f"a rule answers a Verdict (Drop, Delay ...) or None, not {verdict!r}")
        return verdict
