"""The eleven states and every move between them: RFC 9293 3.3.2, figure 5.

Owns TRANSITIONS, the only place that says which state follows which. `Connection._move`, `listener` and `timewait`
look moves up here; a missing pair is a bug and raises. The pictures in the docs and `synfin states` are drawn from this
table. Knows nothing of segments, timers or sockets.
"""

from enum import Enum
from typing import Final

from synfin.engine.errors import UsageError


class State(Enum):
    """A state of a connection, written as RFC 9293 3.3.2 writes it."""

    CLOSED = "CLOSED"
    LISTEN = "LISTEN"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"

    __hash__ = object.__hash__  # members are unique: Enum would hash their names in Python at each look-up

    def __str__(self) -> str:
        return self.value


class Trigger(Enum):
    """What moves a connection from one state to the next."""

    PASSIVE_OPEN = "passive OPEN"
    ACTIVE_OPEN = "active OPEN"
    SEND = "SEND"
    CLOSE = "CLOSE"
    SYN = "rcv SYN"
    SYN_ACK = "rcv SYN,ACK"
    ACK_OF_SYN = "rcv ACK of SYN"
    FIN = "rcv FIN"
    ACK_OF_FIN = "rcv ACK of FIN"
    FIN_AND_ACK_OF_FIN = "rcv FIN, ACK of FIN"
    RESET = "rcv RST"
    RESET_TO_LISTEN = "rcv RST after a passive OPEN"
    ABORT = "ABORT"
    USER_TIMEOUT = "user timeout"
    TWO_MSL = "2MSL timeout"
    GIVE_UP = "SYN-ACK retries used up"
    ORPHAN_TIMEOUT = "FIN-WAIT-2 timeout of an orphan"
    REUSE = "rcv SYN that reopens (RFC 6191)"

    __hash__ = object.__hash__  # members are unique: Enum would hash their names in Python at each look-up

    def __str__(self) -> str:
        return self.value


S = State
T = Trigger

# Figure 5, one line an edge.
FIGURE_5: Final[dict[tuple[State, Trigger], State]] = {
    (S.CLOSED, T.PASSIVE_OPEN): S.LISTEN,
    (S.CLOSED, T.ACTIVE_OPEN): S.SYN_SENT,
    (S.LISTEN, T.SYN): S.SYN_RECEIVED,
    (S.LISTEN, T.SEND): S.SYN_SENT,
    (S.LISTEN, T.CLOSE): S.CLOSED,
    (S.SYN_SENT, T.SYN): S.SYN_RECEIVED,
    (S.SYN_SENT, T.SYN_ACK): S.ESTABLISHED,
    (S.SYN_SENT, T.CLOSE): S.CLOSED,
    (S.SYN_RECEIVED, T.ACK_OF_SYN): S.ESTABLISHED,
    (S.SYN_RECEIVED, T.CLOSE): S.FIN_WAIT_1,
    (S.SYN_RECEIVED, T.RESET_TO_LISTEN): S.LISTEN,
    (S.ESTABLISHED, T.CLOSE): S.FIN_WAIT_1,
    (S.ESTABLISHED, T.FIN): S.CLOSE_WAIT,
    (S.FIN_WAIT_1, T.FIN): S.CLOSING,
    (S.FIN_WAIT_1, T.ACK_OF_FIN): S.FIN_WAIT_2,
    (S.FIN_WAIT_2, T.FIN): S.TIME_WAIT,
    (S.CLOSE_WAIT, T.CLOSE): S.LAST_ACK,
    (S.CLOSING, T.ACK_OF_FIN): S.TIME_WAIT,
    (S.LAST_ACK, T.ACK_OF_FIN): S.CLOSED,
    (S.TIME_WAIT, T.TWO_MSL): S.CLOSED,
}

# What the figure omits.
BEYOND_FIGURE_5: Final[dict[tuple[State, Trigger], State]] = {
    # FIN and the ACK of our FIN in one segment: 3.10.7.4, fifth check before the eighth.
    (S.FIN_WAIT_1, T.FIN_AND_ACK_OF_FIN): S.TIME_WAIT,
    # A FIN before the ACK of our SYN,ACK has been processed (3.10.7.4, eighth check).
    (S.SYN_RECEIVED, T.FIN): S.CLOSE_WAIT,
    # RST received: 3.10.7.3 and 3.10.7.4, second check.
    (S.SYN_SENT, T.RESET): S.CLOSED,
    (S.SYN_RECEIVED, T.RESET): S.CLOSED,
    (S.ESTABLISHED, T.RESET): S.CLOSED,
    (S.FIN_WAIT_1, T.RESET): S.CLOSED,
    (S.FIN_WAIT_2, T.RESET): S.CLOSED,
    (S.CLOSE_WAIT, T.RESET): S.CLOSED,
    (S.CLOSING, T.RESET): S.CLOSED,
    (S.LAST_ACK, T.RESET): S.CLOSED,
    (S.TIME_WAIT, T.RESET): S.CLOSED,
    # ABORT call: 3.10.5.
    (S.LISTEN, T.ABORT): S.CLOSED,
    (S.SYN_SENT, T.ABORT): S.CLOSED,
    (S.SYN_RECEIVED, T.ABORT): S.CLOSED,
    (S.ESTABLISHED, T.ABORT): S.CLOSED,
    (S.FIN_WAIT_1, T.ABORT): S.CLOSED,
    (S.FIN_WAIT_2, T.ABORT): S.CLOSED,
    (S.CLOSE_WAIT, T.ABORT): S.CLOSED,
    (S.CLOSING, T.ABORT): S.CLOSED,
    (S.LAST_ACK, T.ABORT): S.CLOSED,
    (S.TIME_WAIT, T.ABORT): S.CLOSED,
    # User timeout: 3.10.8.
    (S.SYN_SENT, T.USER_TIMEOUT): S.CLOSED,
    (S.SYN_RECEIVED, T.USER_TIMEOUT): S.CLOSED,
    (S.ESTABLISHED, T.USER_TIMEOUT): S.CLOSED,
    (S.FIN_WAIT_1, T.USER_TIMEOUT): S.CLOSED,
    (S.CLOSE_WAIT, T.USER_TIMEOUT): S.CLOSED,
    (S.CLOSING, T.USER_TIMEOUT): S.CLOSED,
    (S.LAST_ACK, T.USER_TIMEOUT): S.CLOSED,
    # A half-open entry whose SYN,ACK is never answered goes away; the listener stays.
    (S.SYN_RECEIVED, T.GIVE_UP): S.CLOSED,
    # FIN-WAIT-2 without a process and without an end (Linux: tcp_fin_timeout).
    (S.FIN_WAIT_2, T.ORPHAN_TIMEOUT): S.CLOSED,
    # A new SYN may end TIME-WAIT early: RFC 9293 3.6.1 (MAY-2), RFC 6191.
    (S.TIME_WAIT, T.REUSE): S.CLOSED,
}

TRANSITIONS: Final[dict[tuple[State, Trigger], State]] = {**FIGURE_5, **BEYOND_FIGURE_5}

# 3.5.2: SYN-RECEIVED is not among them.
SYNCHRONIZED: Final[frozenset[State]] = frozenset(
    (
        S.ESTABLISHED,
        S.FIN_WAIT_1,
        S.FIN_WAIT_2,
        S.CLOSE_WAIT,
        S.CLOSING,
        S.LAST_ACK,
        S.TIME_WAIT,
    )
)


def next_state(state: State, trigger: Trigger) -> State:
    """The state that `trigger` leads to from `state`; raises AssertionError where figure 5 and its supplement have none."""
    successor = TRANSITIONS.get((state, trigger))
    if successor is None:
        raise AssertionError(f"no transition from {state} on {trigger}")
    return successor


# Every spelling in use, folded by `_fold`: netstat, ss, textbooks.
_ALIASES: Final[dict[str, State]] = {
    "SYNSEND": S.SYN_SENT,
    "SYNRECV": S.SYN_RECEIVED,
    "SYNRCVD": S.SYN_RECEIVED,
    "SYNRECVD": S.SYN_RECEIVED,
    "SYNRECEIVE": S.SYN_RECEIVED,
    "ESTAB": S.ESTABLISHED,
    "ESTABLISH": S.ESTABLISHED,
    "CLOSE": S.CLOSED,
    "UNCONN": S.CLOSED,
    "LISTENING": S.LISTEN,
}


def _fold(name: str) -> str:
    return "".join(c for c in name.upper() if c.isalnum())


def parse_state(name: str) -> State:
    """The state meant by `name` in any spelling in use, or by enough of its beginning.

    SYN_SENT, SYN-RECV, syn_rcvd, FIN_WAIT1, finwait2, estab ...

    Raises UsageError, which names the nearest spelling, when no state is meant.
    """
    folded = _fold(name)
    for state in State:
        if _fold(state.value) == folded:
            return state
    if folded in _ALIASES:
        return _ALIASES[folded]
    if not folded:
        raise UsageError(f"a state's name is wanted, not {name!r}")
    begun = [state for state in State if _fold(state.value).startswith(folded)]
    if len(begun) == 1:
        return begun[0]
    import difflib  # noqa: PLC0415  only a mistake pays for it

    known = {_fold(state.value): state.value for state in State}
    near = difflib.get_close_matches(folded, known, n=1, cutoff=0)
    raise UsageError(f"no state {name!r}; nearest: {known[near[0]]}")
