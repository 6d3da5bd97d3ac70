"""Every state meets every call, every timer and a systematic set of segments: nothing raises, no pair is missing.

Each case runs on a copy of a connection built by real segments (`tests/rfc/build.py`). In ESTABLISHED it runs a second time
without the fast path, and everything that a connection holds or sends must be the same to the last field.
"""

import io
import pickle
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import pytest

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.errors import UsageError
from synfin.engine.path import PathError
from synfin.engine.segment import Outgoing
from synfin.engine.state import TRANSITIONS, State, Trigger
from tests.engine.harness import PLAIN, SECOND, End
from tests.rfc.build import FULL, STATES, WINDOW, peer, watch

CONFIGS = {"plain": PLAIN, "options": FULL}
TEXTS = ((0, WINDOW), (1, WINDOW), (10, 700), (10, 0))  # lengths, and the window that goes with each
Build = Callable[[TcpConfig], End]
Move = tuple[State, Trigger]


def name(build: Build) -> str:
    return build.__name__


def everything(thing: Any) -> Any:
    """`thing` as nested tuples, down to the last slot; the configuration left out."""
    if isinstance(thing, memoryview):
        return bytes(thing)
    if isinstance(thing, (int, str, bytes, bool, Enum, type(None))):
        return thing
    if isinstance(thing, (list, tuple)) or type(thing).__name__ == "deque":
        return tuple(everything(part) for part in thing)
    slots = [slot for kind in type(thing).__mro__ for slot in getattr(kind, "__slots__", ())]
    fields = sorted(vars(thing)) if hasattr(thing, "__dict__") else sorted(slots)
    return (
        type(thing).__name__,
        *((field, everything(getattr(thing, field))) for field in fields if field not in {"config", "watcher"}),
    )


def copies(one: End) -> Callable[[], End]:
    """Makes independent copies of `one`."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 5)
    pickler.dispatch_table = {memoryview: lambda view: (bytes, (bytes(view),))}
    pickler.dump(one)
    data = file.getvalue()
    return lambda: pickle.loads(data)  # type: ignore[no-any-return]


def flags_and_numbers(one: End) -> Iterator[tuple[int, int, int, int, int]]:
    """64 sets of flags x 5 sequence numbers x 5 acknowledgment numbers x 4 pairs of length and window."""
    receiver, sender = one.connection.receiver, one.connection.sender
    rcv_nxt, window = receiver.rcv_nxt, receiver.rcv_wnd
    for flags in range(64):
        for seq in (rcv_nxt - 1, rcv_nxt, rcv_nxt + max(window // 2, 1), rcv_nxt + window - 1, rcv_nxt + window + 5):
            for ack in (sender.snd_una - 1, sender.snd_una, sender.snd_nxt, sender.snd_nxt + 1, sender.snd_una + (1 << 30)):
                for length, window_field in TEXTS:
                    yield flags, seq, ack, length, window_field


def goes_on(one: End) -> list[Outgoing]:
    """Send what is due, let every timer come once, send again."""
    out = one.out()
    deadline = one.connection.next_deadline()
    if deadline != NEVER:
        one.now = max(one.now, deadline)
        one.connection.handle_timers(one.now)
        one.connection.check_invariants()
        out += one.out()
    return out


def with_the_slow_path(one: End) -> End:
    """The same connection, its fast path off."""
    one.connection.config = one.connection.config.replace(fast_path=False)
    return one


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("build", STATES, ids=name)
def test_the_constructor_of_each_state_leads_there(build: Build, config: TcpConfig) -> None:
    assert build(config).connection.state is STATES[build]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("build", STATES, ids=name)
def test_every_segment_in_every_state_is_taken_and_the_two_paths_agree(build: Build, config: TcpConfig) -> None:
    again = copies(build(config))
    both = STATES[build] is State.ESTABLISHED
    for number, (flags, seq, ack, length, offered) in enumerate(flags_and_numbers(again())):
        if number % 3 and config is FULL:  # every third: what timestamps change, test_paws.py looks at
            continue
        one = again()
        segment = pickle.dumps(peer(one, flags, seq, ack, offered, bytes(length)))
        one.connection.receive(pickle.loads(segment), one.now)
        one.connection.check_invariants()
        out = goes_on(one)
        assert not (flags & 4 and any(sent.flags & 4 for sent in out)), "no RST answers an RST (RFC 9293 4, RST)"
        if both:
            other = with_the_slow_path(again())
            other.connection.receive(pickle.loads(segment), other.now)
            assert everything(goes_on(other)) == everything(out), (flags, seq, ack, length)
            assert everything(other.connection) == everything(one.connection), (flags, seq, ack, length)


def calls() -> dict[str, Callable[[End], object]]:
    """Every call of the application, and what the path may say."""
    return {
        "connect": lambda one: one.connection.connect(one.now),
        "write": lambda one: one.connection.write(b"abc", one.now),
        "write more": lambda one: one.connection.write(b"abc", one.now, 2),
        "write urgent": lambda one: one.connection.write(b"abc", one.now, 1),
        "read": lambda one: one.connection.read(1 << 20, one.now),
        "shutdown send": lambda one: one.connection.shutdown_send(one.now),
        "shutdown receive": lambda one: one.connection.shutdown_receive(one.now),
        "close": lambda one: one.connection.close(one.now),
        "abort": lambda one: one.connection.abort(one.now),
        "too big": lambda one: error(one, PathError.TOO_BIG),
        "unreachable": lambda one: error(one, PathError.PORT_UNREACHABLE),
        "keep-alive": lambda one: one.connection.set_option("keepalive", 1, one.now),
    }


def error(one: End, kind: PathError) -> None:
    """ICMP speaks of the oldest segment in flight."""
    one.connection.path_error(kind, one.connection.sender.snd_una, 600, 1500, one.now)


WRITABLE = {State.SYN_SENT, State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSE_WAIT}


def refused(call: str, state: State, used: bool) -> bool:
    """Whether the rules of the API forbid `call` in `state`."""
    if call == "connect":
        return state is not State.CLOSED or used
    return call.startswith("write") and state not in WRITABLE


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("build", STATES, ids=name)
def test_every_two_calls_in_every_state_follow_the_table(build: Build, config: TcpConfig) -> None:
    again = copies(build(config))
    for first, call in calls().items():
        for second, then in calls().items():
            one = again()
            for label, do in ((first, call), (second, then)):
                connection = one.connection
                closed_for_writing = label.startswith("write") and connection.sender.fin_queued
                used = connection.close_reason is not None
                if closed_for_writing or refused(label, connection.state, used):
                    with pytest.raises(UsageError):
                        do(one)
                else:
                    do(one)
                connection.check_invariants()
            goes_on(one)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("build", STATES, ids=name)
def test_every_state_left_alone_comes_to_rest_within_its_timers(build: Build, config: TcpConfig) -> None:
    one = build(config)
    rounds = 0
    while (deadline := one.connection.next_deadline()) != NEVER:
        rounds += 1
        assert rounds < 100, "the timers end"
        one.now = max(one.now, deadline)
        one.connection.handle_timers(one.now)
        one.connection.check_invariants()
        one.out()
    assert one.now < 700 * SECOND
    quiet = {State.CLOSED, State.TIME_WAIT, State.ESTABLISHED, State.FIN_WAIT_2, State.CLOSE_WAIT, State.SYN_RECEIVED}
    assert one.connection.state in quiet


# What only a listener or a TIME-WAIT entry does, and what this engine never does.
NOT_OF_A_CONNECTION: set[Move] = {
    (State.CLOSED, Trigger.PASSIVE_OPEN),
    (State.LISTEN, Trigger.SYN),
    (State.LISTEN, Trigger.SEND),
    (State.LISTEN, Trigger.CLOSE),
    (State.LISTEN, Trigger.ABORT),
    (State.SYN_RECEIVED, Trigger.RESET_TO_LISTEN),
    (State.SYN_RECEIVED, Trigger.GIVE_UP),
    (State.TIME_WAIT, Trigger.TWO_MSL),
    (State.TIME_WAIT, Trigger.RESET),
    (State.TIME_WAIT, Trigger.ABORT),
    (State.TIME_WAIT, Trigger.REUSE),
    # CLOSE in SYN-RECEIVED waits for ESTABLISHED (3.10.4 allows that where data is queued); a FIN is looked at after the
    # ACK, which has left SYN-RECEIVED by then.
    (State.SYN_RECEIVED, Trigger.CLOSE),
    (State.SYN_RECEIVED, Trigger.FIN),
}


def moves_from(build: Build) -> set[Move]:
    """Every move that one segment, one call or the passing of time makes from a state."""
    again = copies(build(PLAIN))
    seen: set[Move] = set()

    def note(one: End, since: int) -> None:
        seen.update((old, trigger) for old, trigger, _ in watch(one).moves[since:])

    since = len(watch(again()).moves)
    for flags, seq, ack, length, offered in flags_and_numbers(again()):
        if length == 1 or not offered:
            continue
        one = again()
        one.connection.receive(peer(one, flags, seq, ack, offered, bytes(length)), one.now)
        note(one, since)
    for label, call in calls().items():
        one = again()
        if not refused(label, one.connection.state, one.connection.close_reason is not None) and not (
            label.startswith("write") and one.connection.sender.fin_queued
        ):
            call(one)
            note(one, since)
    one = again()
    for _ in range(100):
        deadline = one.connection.next_deadline()
        if deadline == NEVER:
            break
        one.now = max(one.now, deadline)
        one.connection.handle_timers(one.now)
        one.out()
    note(one, since)
    return seen


def test_segments_calls_and_timers_reach_exactly_the_moves_of_the_table() -> None:
    seen: set[Move] = set()
    for build in STATES:
        seen |= moves_from(build)
    assert seen == set(TRANSITIONS) - NOT_OF_A_CONNECTION
