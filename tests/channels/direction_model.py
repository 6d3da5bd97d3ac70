"""Every course of two sides that take turns, explored with the shipped class over two streams that keep their order.

Either side may ask, speak, hand over or let go whenever it may, and be out of patience whenever it asks; its messages arrive
after any delay. In every state: a message is heard only from a side that nobody has taken the turn from, turns never go back,
and two that both hold one hold turns of different numbers, or the news that settles it is on its way. And from every state,
once nobody does anything any more but what is on its way arrives and those who ask wait, whoever asks gets the turn. And
whenever all has arrived, each message that a side has said was heard, or is among those of which it was told that they were
not."""

from collections import deque
from typing import Final, NamedTuple

from synfin.channels.direction import CALLER, DATA, FREE, HEAD, NOBODY, HalfDuplex, TurnLost
from synfin.channels.errors import ChannelError

SIDES: Final = (0, 1)
Stream = tuple[bytes, ...]


class State(NamedTuple):
    """Both sides, and what is on its way to each."""

    sides: tuple[HalfDuplex, HalfDuplex]
    coming: tuple[Stream, Stream]
    owed: tuple[int, int] = (0, 0)  # messages of each that were neither heard nor told to be unheard

    def key(self) -> object:
        """What decides the future."""
        return tuple(key_of(side) for side in self.sides), self.coming, self.owed


def key_of(side: HalfDuplex) -> object:
    """All of it but the figures for people; of the time only whether it asks."""
    return side.turn, side.holder, side.asking, side.peer_asks, tuple(side._said.items()), side._heard


def copied(side: HalfDuplex) -> HalfDuplex:
    twin = HalfDuplex(side.side == CALLER, side.timeout)
    twin.turn, twin.holder, twin.peer_asks = side.turn, side.holder, side.peer_asks
    twin._asked_at, twin._said, twin._heard = side._asked_at, dict(side._said), side._heard
    return twin


def moves(state: State, turns: int) -> list[tuple[int, str]]:
    """What may happen next."""
    found = []
    for index in SIDES:
        side = state.sides[index]
        if state.coming[index]:
            found.append((index, "come"))
        if side.turn >= turns:
            continue
        if side.mine:
            found += [(index, "give"), (index, "free")]
            if not side._said.get(side.turn):
                found.append((index, "say"))
        elif not side.asking:
            found.append((index, "ask"))
        else:
            found.append((index, "time"))
    return found


def make(state: State, index: int, move: str) -> State:
    """The state after `move` of the side `index`."""
    sides = [copied(side) for side in state.sides]
    coming, owed = list(state.coming), list(state.owed)
    side, before = sides[index], sides[index].turn
    if move == "come":
        message, coming[index] = coming[index][0], coming[index][1:]
        side.received(message, 0)
        kind, turn = HEAD.unpack_from(message)
        if side.inbox:
            assert kind == DATA and turn == side.turn and side.holder == side._peer, "a stale message was heard"
            owed[1 - index] -= 1
    elif move == "say":
        side.send(b"")
        owed[index] += 1
    elif move == "time":
        side.handle_timers(side.next_deadline())
    elif move == "ask":
        side.ask(0)
    else:
        side.over(give=move == "give")
    assert before <= side.turn <= before + 1, "turns go on one by one"
    try:
        side.check()
    except TurnLost as lost:
        owed[index] -= lost.unheard
    coming[1 - index] = (*coming[1 - index], *side.out)
    side.out, side.inbox = [], deque()
    return State((sides[0], sides[1]), (coming[0], coming[1]), (owed[0], owed[1]))


def check(state: State) -> None:
    """What must hold in every state."""
    one, other = state.sides
    if one.mine and other.mine:
        assert any(state.coming), "both hold the turn, and nothing on its way tells them"
    if not any(state.coming):
        assert state.owed == (0, 0), f"messages were not heard, and nobody was told: {state.owed}"
        assert (one.turn, one.holder) == (other.turn, other.holder), "all has arrived, and they know different turns"
        assert not (one.asking and other.asking), "both ask, and nobody gets the turn"
        assert not (one.holder == NOBODY and (one.asking or other.asking)), "one asks for a free turn in vain"


def settle(state: State) -> None:
    """Everything arrives; who then still asks gets the turn when its holder lets it go, or by its patience."""
    state = arrived(state)
    for index in SIDES:
        if state.sides[index].asking:
            assert arrived(make(state, 1 - index, "free")).sides[index].mine, "asked, and did not get the turn that was let go"
            taken = arrived(make(state, index, "time"))
            assert taken.sides[index].mine and not taken.sides[1 - index].mine, "a lost turn was not recovered"


def arrived(state: State) -> State:
    """The state when all that is on its way has come, the caller's first."""
    for _ in range(100):
        waiting = [index for index in SIDES if state.coming[index]]
        if not waiting:
            return state
        state = make(state, waiting[0], "come")
    raise AssertionError("messages without end")


def explore(turns: int, make_side: type[HalfDuplex] = HalfDuplex) -> int:
    """Visit every course of so many turns; returns the number of states. AssertionError where a rule is broken."""
    first = State((make_side(True), make_side(False)), ((), ()))
    first.sides[0].over(give=False)
    first = State(first.sides, ((), (HEAD.pack(FREE, 1),)))
    first.sides[0].out.clear()
    seen: dict[object, tuple[object, str]] = {first.key(): (None, "")}
    waiting = deque([first])
    while waiting:
        state = waiting.popleft()
        for index, move in moves(state, turns):
            told = f"{'CA'[index]} {move}"
            try:
                following = make(state, index, move)
                check(following)
                settle(following)
            except (AssertionError, ChannelError) as error:
                raise AssertionError(f"{error}: {story(seen, state.key())}{told}") from error
            key = following.key()
            if key not in seen:
                seen[key] = (state.key(), told)
                waiting.append(following)
    return len(seen)


def story(seen: dict[object, tuple[object, str]], key: object) -> str:
    """The moves that led to a state: of C, the caller, and A, the answerer."""
    told = []
    while key is not None:
        key, move = seen[key]
        told.append(move)
    return "; ".join(reversed(told)) + "; "
