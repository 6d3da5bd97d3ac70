"""TIME-WAIT: RFC 9293 3.6.1, 3.10.7.4; RFC 5961; RFC 6191; RFC 7323 5."""

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.errors import DropReason
from synfin.engine.observe import Observer
from synfin.engine.segment import (
    ACK,
    ACK_CHALLENGE,
    ACK_DUPLICATE,
    ACK_TIME_WAIT,
    FIN,
    PSH,
    RST,
    SYN,
    Outgoing,
    Segment,
)  # fmt: skip
from synfin.engine.state import State, Trigger
from synfin.engine.timewait import TimeWait
from tests.engine.harness import PLAIN, SECOND, Pair, shown

MS = 1_000_000


class Notes(Observer):
    def __init__(self) -> None:
        self.moves: list[tuple[State, Trigger, State]] = []
        self.drops: list[DropReason] = []
        self.timers: list[tuple[str, str, int]] = []

    def state_changed(self, now: int, key: bytes, old: State, trigger: Trigger, new: State) -> None:
        self.moves.append((old, trigger, new))

    def dropped(self, now: int, key: bytes, reason: DropReason, segment: Segment | None) -> None:
        self.drops.append(reason)

    def timer_started(self, now: int, key: bytes, timer: str, deadline: int) -> None:
        self.timers.append(("started", timer, deadline))

    def timer_fired(self, now: int, key: bytes, timer: str, detail: str) -> None:
        self.timers.append(("fired", timer, now))


def closed_first(config: TcpConfig, orphaned: bool) -> Connection:
    """A's connection (ISS 100, IRS 300) after it closed first and was answered by a FIN: SND.NXT 102, RCV.NXT 302."""
    pair = Pair(config).open()
    a = pair.a.connection
    if orphaned:
        a.close(0)
    else:
        a.shutdown_send(0)
    pair.run()
    pair.b.connection.close(0)
    pair.run()
    assert a.state is State.TIME_WAIT
    return a


class Late:
    """A TIME-WAIT entry that began at 0: SND.NXT 102, RCV.NXT 302."""

    def __init__(self, config: TcpConfig = PLAIN, orphaned: bool = True) -> None:
        self.notes = Notes()
        self.connection = closed_first(config, orphaned)
        self.connection.observer = self.notes
        self.entry = TimeWait(self.connection, 0)
        self.now = 0

    def out(self) -> list[Outgoing]:
        segments: list[Outgoing] = []
        self.entry.transmit(self.now, segments, 1 << 20)
        return segments

    def take(self, segment: Segment) -> list[str]:
        self.entry.receive(segment, self.now)
        return [shown(out) for out in self.out()]


def test_a_time_wait_knows_the_numbers_of_its_connection_and_starts_2msl() -> None:
    late = Late()
    assert (late.entry.snd_nxt, late.entry.rcv_nxt, late.entry.window) == (102, 302, 65_534)
    assert late.entry.state is State.TIME_WAIT
    assert late.notes.timers == [("started", "2MSL", 120 * SECOND)]
    assert late.entry.next_deadline() == 120 * SECOND
    assert late.notes.moves == []


def test_after_2msl_it_is_closed() -> None:
    late = Late()
    late.entry.handle_timers(120 * SECOND - 1)
    assert late.entry.state is State.TIME_WAIT
    late.entry.handle_timers(120 * SECOND)
    assert late.entry.state is State.CLOSED
    assert late.notes.moves == [(State.TIME_WAIT, Trigger.TWO_MSL, State.CLOSED)]
    assert late.notes.timers[1:] == [("fired", "2MSL", 120 * SECOND)]


def test_a_connection_that_its_user_still_holds_is_closed_with_it() -> None:
    late = Late(orphaned=False)
    assert late.entry.connection is late.connection
    assert late.connection.state is State.TIME_WAIT
    late.entry.handle_timers(120 * SECOND)
    assert late.connection.state is State.CLOSED
    assert late.entry.connection is None
    assert len(late.notes.moves) == 1


def test_an_orphans_connection_is_not_held() -> None:
    assert Late(orphaned=True).entry.connection is None


# --- a repeated FIN


@pytest.mark.parametrize(("seq", "payload"), [(301, b""), (298, b"abc")])
def test_a_repeated_fin_is_acknowledged_and_starts_2msl_anew(seq: int, payload: bytes) -> None:
    late = Late()
    late.now = 7 * SECOND
    late.entry.receive(Segment(seq, 102, FIN | ACK, 100, payload), late.now)
    (out,) = late.out()
    assert (shown(out), out.reason, out.window) == ("ACK seq=102 ack=302", ACK_TIME_WAIT, 65_534)
    assert late.entry.expires == 127 * SECOND
    assert late.notes.timers[1:] == [("started", "2MSL", 127 * SECOND)]
    late.entry.handle_timers(120 * SECOND)
    assert late.entry.state is State.TIME_WAIT


def test_every_repeated_fin_is_acknowledged() -> None:
    late = Late()
    for _ in range(5):
        assert late.take(Segment(301, 102, FIN | ACK, 100)) == ["ACK seq=102 ack=302"]


def test_an_unacceptable_segment_whose_fin_ends_elsewhere_is_answered_without_a_restart() -> None:
    late = Late()
    late.now = SECOND
    assert late.take(Segment(300, 102, FIN | ACK, 100)) == ["ACK seq=102 ack=302"]
    assert late.entry.expires == 120 * SECOND
    assert late.notes.drops == [DropReason.OUT_OF_WINDOW]


# --- the checks in their order


def test_a_pure_ack_is_taken_in_silence() -> None:
    late = Late()
    assert late.take(Segment(302, 102, ACK, 100)) == []
    assert late.take(Segment(302, 90, ACK, 100)) == []
    assert late.notes.drops == []


def test_old_data_is_acknowledged_at_most_twice_a_second() -> None:
    late = Late()
    answers = []
    for i in range(20):
        late.now = i * 100 * MS
        answers.append(len(late.take(Segment(291, 102, ACK | PSH, 100, b"0123456789"))))
    assert answers == [1, 0, 0, 0, 0] * 4
    assert late.notes.drops == [DropReason.OUT_OF_WINDOW] * 20


def test_an_exact_reset_closes() -> None:
    late = Late(orphaned=False)
    assert late.take(Segment(302, 0, RST, 0)) == []
    assert late.entry.state is State.CLOSED
    assert late.connection.state is State.CLOSED
    assert late.notes.moves == [(State.TIME_WAIT, Trigger.RESET, State.CLOSED)]


def test_an_inexact_reset_is_challenged_and_one_outside_the_window_dropped() -> None:
    late = Late()
    late.entry.receive(Segment(303, 0, RST, 0), 0)
    (out,) = late.out()
    assert (shown(out), out.reason) == ("ACK seq=102 ack=302", ACK_CHALLENGE)
    assert late.take(Segment(301, 0, RST, 0)) == []
    assert late.notes.drops == [DropReason.RST_NOT_EXACT, DropReason.RST_OUT_OF_WINDOW]
    assert late.entry.state is State.TIME_WAIT


def test_a_syn_is_challenged_wherever_it_stands() -> None:
    late = Late()
    late.entry.receive(Segment(400, 0, SYN, 0), 0)
    (out,) = late.out()
    assert (shown(out), out.reason) == ("ACK seq=102 ack=302", ACK_CHALLENGE)
    late.now = SECOND
    late.entry.receive(Segment(200, 0, SYN, 0), late.now)
    (out,) = late.out()
    assert (shown(out), out.reason) == ("ACK seq=102 ack=302", ACK_DUPLICATE)
    assert late.notes.drops == [DropReason.SYN_IN_WINDOW, DropReason.OUT_OF_WINDOW]


def test_a_segment_without_ack_and_one_that_acknowledges_too_much_are_dropped() -> None:
    late = Late()
    assert late.take(Segment(302, 0, 0, 0)) == []
    assert late.take(Segment(302, 103, ACK, 0)) == ["ACK seq=102 ack=302"]
    assert late.notes.drops == [DropReason.ACK_MISSING, DropReason.ACK_TOO_NEW]


def test_data_after_the_peers_fin_is_never_answered_by_a_reset() -> None:
    late = Late()
    assert late.take(Segment(302, 102, ACK, 0, b"more")) == ["ACK seq=102 ack=302"]
    assert late.notes.drops == [DropReason.AFTER_CLOSE]
    assert late.entry.state is State.TIME_WAIT


def test_paws_holds_in_time_wait() -> None:
    late = Late(TcpConfig())
    late.entry.ts_recent = 9000
    fin = Segment(301, 102, FIN | ACK, 100)
    fin.has_timestamps, fin.tsval = True, 8999
    late.now = SECOND
    late.entry.receive(fin, late.now)
    (out,) = late.out()
    assert (out.reason, out.tsval, out.tsecr) == (ACK_DUPLICATE, 1000, 9000)
    assert late.entry.expires == 120 * SECOND
    assert late.take(Segment(301, 102, FIN | ACK, 100)) == []  # agreed and missing
    assert late.notes.drops == [DropReason.PAWS, DropReason.PAWS]
    fin.tsval = 9500
    late.entry.receive(fin, late.now)
    (out,) = late.out()
    assert (out.reason, out.tsecr) == (ACK_TIME_WAIT, 9500)


def test_a_closed_entry_takes_nothing() -> None:
    late = Late()
    late.entry.end(Trigger.TWO_MSL, 0)
    assert late.take(Segment(301, 102, FIN | ACK, 100)) == []


# --- reuse, RFC 6191 2


def opening(seq: int, tsval: int = -1, flags: int = SYN) -> Segment:
    segment = Segment(seq, 0, flags, 100)
    if tsval >= 0:
        segment.has_timestamps, segment.tsval = True, tsval
    return segment


@pytest.mark.parametrize(
    ("stamps", "syn", "may"),
    [
        (True, opening(200, 9001), True),
        (True, opening(200, 9000), False),
        (True, opening(302, 9000), False),
        (True, opening(303, 9000), True),
        (True, opening(400, 8999), False),
        (True, opening(400), True),
        (True, opening(302), False),
        (False, opening(200, 1), True),
        (False, opening(303), True),
        (False, opening(302), False),
        (False, opening(301), False),
        (False, opening(400, flags=SYN | ACK), False),
        (False, opening(400, flags=SYN | RST), False),
        (False, opening(400, flags=ACK), False),
    ],
)
def test_a_syn_may_reopen_when_its_timestamp_or_its_number_is_newer(stamps: bool, syn: Segment, may: bool) -> None:
    late = Late(TcpConfig() if stamps else PLAIN)
    late.entry.ts_recent = 9000
    assert late.entry.may_reopen(syn) is may


def test_reuse_is_a_move_of_its_own() -> None:
    late = Late()
    late.entry.end(Trigger.REUSE, 5)
    assert late.notes.moves == [(State.TIME_WAIT, Trigger.REUSE, State.CLOSED)]
