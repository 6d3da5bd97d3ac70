"""What a stack counts (RFC 4022's counters among it), and Tally, the observer through which the engine's share comes in."""

from typing import Final

from synfin.engine.errors import DropReason
from synfin.engine.observe import Observer
from synfin.engine.segment import Outgoing, Segment
from synfin.engine.state import State, Trigger

OPENING: Final = (State.SYN_SENT, State.SYN_RECEIVED)
OPEN: Final = (State.ESTABLISHED, State.CLOSE_WAIT)


class Counters:
    """Counts since the stack was made; `drops` holds a reason from its first drop on."""

    __slots__ = (
        "active_opens", "drops", "established_resets", "failed_attempts", "passive_opens", "resets_in", "resets_out",
        "retransmitted", "segments_in", "segments_out", "time_wait_overflow",
    )  # fmt: skip

    def __init__(self) -> None:
        self.segments_in: int = 0  # parsed without error
        self.segments_out: int = 0  # as handed to the device
        self.retransmitted: int = 0
        self.resets_out: int = 0
        self.resets_in: int = 0  # that ended a connection or its opening
        self.active_opens: int = 0  # CLOSED to SYN-SENT
        self.passive_opens: int = 0  # LISTEN to SYN-RECEIVED
        self.failed_attempts: int = 0  # SYN-SENT or SYN-RECEIVED to CLOSED, SYN-RECEIVED to LISTEN
        self.established_resets: int = 0  # ESTABLISHED or CLOSE-WAIT to CLOSED
        self.time_wait_overflow: int = 0  # TIME-WAIT ended before 2MSL because there were too many
        self.drops: dict[DropReason, int] = {}

    def dropped(self, reason: DropReason) -> int:
        """How often something was dropped for `reason`."""
        return self.drops.get(reason, 0)


class Tally(Observer):
    """Counts what the entries of a stack tell and passes it on to the stack's observer, if there is one."""

    __slots__ = ("counters", "observer")

    def __init__(self, counters: Counters, observer: Observer | None) -> None:
        self.counters: Counters = counters
        self.observer: Observer | None = observer

    def state_changed(self, now: int, key: bytes, old: State, trigger: Trigger, new: State) -> None:
        counters = self.counters
        if trigger is Trigger.ACTIVE_OPEN:
            counters.active_opens += 1
        elif old is State.LISTEN and new is State.SYN_RECEIVED:
            counters.passive_opens += 1
        elif old in OPENING and new in (State.CLOSED, State.LISTEN):
            counters.failed_attempts += 1
        elif old in OPEN and new is State.CLOSED:
            counters.established_resets += 1
        if trigger is Trigger.RESET or trigger is Trigger.RESET_TO_LISTEN:
            counters.resets_in += 1
        if self.observer is not None:
            self.observer.state_changed(now, key, old, trigger, new)

    def dropped(self, now: int, key: bytes, reason: DropReason, segment: Segment | None) -> None:
        drops = self.counters.drops
        drops[reason] = drops.get(reason, 0) + 1
        if self.observer is not None:
            self.observer.dropped(now, key, reason, segment)

    def segment_sent(self, now: int, key: bytes, segment: Outgoing) -> None:
        if self.observer is not None:
            self.observer.segment_sent(now, key, segment)

    def segment_received(self, now: int, key: bytes, segment: Segment) -> None:
        if self.observer is not None:
            self.observer.segment_received(now, key, segment)

    def timer_started(self, now: int, key: bytes, timer: str, deadline: int) -> None:
        if self.observer is not None:
            self.observer.timer_started(now, key, timer, deadline)

    def timer_fired(self, now: int, key: bytes, timer: str, detail: str) -> None:
        if self.observer is not None:
            self.observer.timer_fired(now, key, timer, detail)

    def congestion(self, now: int, key: bytes, cause: str, cwnd: int, ssthresh: int) -> None:
        if self.observer is not None:
            self.observer.congestion(now, key, cause, cwnd, ssthresh)

    def called(
        self, now: int, key: bytes, call: str, arguments: str, started: int, result: str, error: int
    ) -> None:
        if self.observer is not None:
            self.observer.called(now, key, call, arguments, started, result, error)
