"""Half duplex: one side speaks at a time. Pure: messages in, messages out, `now` in nanoseconds; no I/O, no clock.

What both sides keep is the number of the turn and whose it is: the caller's (who connected), the answerer's, or nobody's. Turn
0 is the caller's. Every message of the framing below begins with one byte that says its kind, and the turn's number, 8 bytes,
big-endian:

    1 DATA  turn n is the sender's; then the program's bytes
    2 GIVE  turn n is the receiver's: over to you
    3 FREE  turn n is nobody's: whoever wants it asks
    4 ASK   turn n is not the sender's, and it wants the next
    5 TAKE  turn n is the sender's; then, 8 bytes: how many DATA of the receiver's last turn it has taken

Each turn has the number after the one before it. Its holder ends it by GIVE or FREE. While the turn is nobody's, ASK is
answered by GIVE. When both ask at once each gets the other's ASK where it waits for a GIVE: the next turn is then the caller's
where its number is even, the answerer's where it is odd. Both know that, so within one way of the path, half a round trip, each
side knows who speaks.

A turn is lost when its holder falls silent without an end: who has asked and got no message for `timeout` takes it (TAKE).
Between that and its arrival both believe to hold a turn, and DATA of the older one is dropped: one side at a time is heard,
ever. The older holder is told, by TurnLost, how many of its messages were not, also when it had ended its turn meanwhile.

What the peer says waits in `inbox`. Beyond `queue` bytes of it `full` holds: no more should be read until half of it has been
taken, and the time in which nothing is read is no silence of the peer's.
"""

from collections import deque
from struct import Struct
from typing import Final

from synfin.channels.errors import ChannelError, ProtocolError
from synfin.channels.framing import Buffer
from synfin.engine.errors import UsageError

SECOND: Final = 1_000_000_000
NEVER: Final = (1 << 63) - 1
DATA: Final = 1
GIVE: Final = 2
FREE: Final = 3
ASK: Final = 4
TAKE: Final = 5
KINDS: Final = {DATA: "DATA", GIVE: "GIVE", FREE: "FREE", ASK: "ASK", TAKE: "TAKE"}
HEAD: Final = Struct(">BQ")
HEARD: Final = Struct(">Q")
CALLER: Final = 1
ANSWERER: Final = 2
NOBODY: Final = 0
TIMEOUT: Final = 10 * SECOND
QUEUE: Final = 262_144  # bytes of messages that wait to be taken
TURNS_KEPT: Final = 8  # of ours, of which the peer may still say what it heard: they end one by one, `timeout` apart


class NotYourTurn(ChannelError):
    """The peer speaks, or nobody: ask for the turn first."""


class TurnLost(ChannelError):
    """The peer has taken the turn after a silence; `unheard` messages of this side's last turn were dropped."""

    def __init__(self, unheard: int) -> None:
        super().__init__(f"the peer took the turn; {unheard} message{'' if unheard == 1 else 's'} of ours went unheard")
        self.unheard = unheard


class InboxFull(ChannelError):
    """The turn was asked for while the peer's messages fill the inbox: `waiting` bytes of them, more than `limit`. Take some
    and ask again; the question stays asked."""

    def __init__(self, waiting: int, limit: int) -> None:
        super().__init__(f"{waiting} bytes of the peer's messages wait to be received, limit {limit}: receive them first")
        self.waiting = waiting
        self.limit = limit


def winner(number: int) -> int:
    """Whose the turn with this number is where both have asked for it."""
    return CALLER if number % 2 == 0 else ANSWERER


class HalfDuplex:
    """One side; `caller` for the side that connected. `timeout` (ns) is how long a turn that was asked for may fail to come.

    `out` has the messages to send, in order, `inbox` the peer's: `take` them. `queue` is how many bytes of them may wait before
    `full` holds, each message counted as one byte more. `peer_asks`: the peer waits for our turn to end. Raises UsageError for
    a timeout or a queue that is not positive."""

    __slots__ = (
        "_asked_at", "_heard", "_lost", "_said", "came", "full", "holder", "inbox", "out", "peer_asks", "queue", "recovered",
        "side", "stale", "timeout", "turn", "waiting",
    )  # fmt: skip

    def __init__(self, caller: bool, timeout: int = TIMEOUT, queue: int = QUEUE) -> None:
        if timeout <= 0 or queue <= 0:
            raise UsageError(f"timeout (nanoseconds) and queue (bytes) are above 0, not {timeout} and {queue}")
        self.side = CALLER if caller else ANSWERER
        self.timeout = timeout
        self.queue = queue
        self.full = False
        self.waiting = 0  # bytes in the inbox, and one for each message
        self.turn = 0
        self.holder = CALLER
        self.peer_asks = False
        self.came = 0  # messages
        self.recovered = 0  # turns that we took after a silence
        self.stale = 0  # DATA dropped because a newer turn had begun
        self.out: list[bytes] = []
        self.inbox: deque[bytes] = deque()
        self._asked_at = NEVER
        self._said: dict[int, int] = {}  # turn of ours -> DATA that we sent in it and that the peer may not have heard
        self._heard = 0  # DATA that we took in the peer's last turn
        self._lost: TurnLost | None = None  # not told yet

    @property
    def mine(self) -> bool:
        """Whether this side may speak."""
        return self.holder == self.side

    @property
    def asking(self) -> bool:
        """Whether this side waits for the turn."""
        return self._asked_at != NEVER

    # Calls of the program

    def ask(self, now: int) -> bool:
        """Ask for the turn; returns whether it is ours already. Asking twice is asking once."""
        if self.mine:
            return True
        if not self.asking:
            self._asked_at = now
            self.out.append(HEAD.pack(ASK, self.turn))
        return False

    def send(self, message: Buffer) -> None:
        """Say something. Raises NotYourTurn, and TurnLost once when the last turn was taken from us."""
        self.check()
        if not self.mine:
            raise NotYourTurn("nobody has the turn" if self.holder == NOBODY else "the peer has the turn")
        self._said[self.turn] = self._said.get(self.turn, 0) + 1
        if len(self._said) > TURNS_KEPT:
            del self._said[next(iter(self._said))]
        self.out.append(HEAD.pack(DATA, self.turn) + message)

    def check(self) -> None:
        """Raises TurnLost, once, when a turn was taken from us, or one that we had ended before all of it was heard."""
        lost, self._lost = self._lost, None
        if lost is not None:
            raise lost

    def over(self, *, give: bool = True) -> None:
        """End the turn: hand it to the peer, or with `give` False to the peer if it has asked and to nobody otherwise.

        Raises NotYourTurn, TurnLost.
        """
        self.check()
        if not self.mine:
            raise NotYourTurn("there is no turn to end")
        self._hand_over(give or self.peer_asks)

    def take(self, now: int) -> bytes:
        """The peer's oldest message that waits. Raises IndexError where none does."""
        message = self.inbox.popleft()
        self.waiting -= len(message) + 1
        if self.full and self.waiting <= self.queue // 2:
            self.full = False
            if self.asking:
                self._asked_at = now  # we did not listen meanwhile
        return message

    def _hand_over(self, to_peer: bool) -> None:
        self._move(self.turn + 1, self._peer if to_peer else NOBODY)
        self.out.append(HEAD.pack(GIVE if to_peer else FREE, self.turn))

    @property
    def _peer(self) -> int:
        return CALLER + ANSWERER - self.side

    def _move(self, turn: int, holder: int) -> None:
        """The turn is another one."""
        self.turn, self.holder = turn, holder
        self.peer_asks = False
        if holder == self.side:
            self._asked_at = NEVER
        elif holder == self._peer:
            self._heard = 0

    # Time

    def next_deadline(self) -> int:
        """When to call `handle_timers`; NEVER while nothing was asked for, or nothing is to be read."""
        return self._asked_at + self.timeout if self.asking and not self.full else NEVER

    def handle_timers(self, now: int) -> None:
        """Take the turn when nothing has come for `timeout`."""
        if now < self.next_deadline():
            return
        heard = self._heard if self.holder == self._peer else 0
        self._move(self.turn + 1, self.side)
        self.recovered += 1
        self.out.append(HEAD.pack(TAKE, self.turn) + HEARD.pack(heard))

    # What came

    def received(self, message: bytes, now: int) -> None:
        """Take one message of the framing. Raises ProtocolError."""
        if len(message) < HEAD.size:
            raise self._wrong(f"a message of {len(message)} bytes has no kind and number", HEAD.size)
        kind, turn = HEAD.unpack_from(message)
        due = HEAD.size + (HEARD.size if kind == TAKE else 0)
        if kind not in KINDS:
            raise self._wrong(f"there is no kind {kind}")
        if kind != DATA and len(message) != due:
            raise self._wrong(f"{KINDS[kind]} of {len(message)} bytes", due)
        if turn > self.turn + 1:
            raise self._wrong(f"{KINDS[kind]} of turn {turn} where {self.turn} is known", self.turn + 1)
        if kind == DATA:
            self._receive_data(turn, message, now)
        elif kind == ASK:
            self._receive_ask(turn)
        else:
            self._receive_move(kind, turn, message, now)
        self.came += 1
        for ours in [ours for ours in self._said if ours < turn]:
            del self._said[ours]  # who is at this turn has heard all of those before that it did not take from us

    def _receive_data(self, turn: int, message: bytes, now: int) -> None:
        if turn == self.turn and self.mine and winner(turn) == self._peer:  # we took it when the rule had given it to the peer
            self._lose(self._said.pop(turn, 0))
            self._move(turn, self._peer)
        if turn == self.turn and self.holder == self._peer:
            self._heard += 1
            self._keep(message[HEAD.size :])
            if self.asking:
                self._asked_at = now  # it is not silent
        elif turn <= self.turn:
            self.stale += 1
        else:
            raise self._wrong(f"DATA of turn {turn}, which nobody has begun", self.turn)

    def _keep(self, message: bytes) -> None:
        self.inbox.append(message)
        self.waiting += len(message) + 1
        self.full = self.full or self.waiting > self.queue

    def _lose(self, unheard: int) -> None:
        """A turn of ours was taken. What was not told yet adds up."""
        self._lost = TurnLost(unheard + (self._lost.unheard if self._lost is not None else 0))

    def _receive_ask(self, turn: int) -> None:
        if turn > self.turn:
            raise self._wrong(f"ASK at turn {turn} where {self.turn} is known", self.turn)
        if turn < self.turn or self.holder == self._peer:
            return  # what ended that turn, or says whose this one is, is on its way to the peer
        if self.mine:
            self.peer_asks = True
        elif self.asking:  # both: the rule decides, and the peer decides the same on our ASK
            self._move(turn + 1, winner(turn + 1))
            self.peer_asks = self.mine  # who lost goes on asking
        else:
            self._hand_over(True)

    def _receive_move(self, kind: int, turn: int, message: bytes, now: int) -> None:
        holder = {GIVE: self.side, FREE: NOBODY, TAKE: self._peer}[kind]
        unheard = self._unheard(kind, turn, message)
        if turn < self.turn or (turn == self.turn and not self._yields(turn, holder)):
            if kind == TAKE and turn == self.turn and self.mine:  # ours by the rule, which we have not said yet
                self.out.append(HEAD.pack(TAKE, turn) + HEARD.pack(0))
            if unheard:
                self._lose(unheard)
            return  # what ended that turn is on its way to the peer
        if self.mine or unheard:
            self._lose(unheard)
        self._move(turn, holder)
        if holder == NOBODY and self.asking:  # our ASK was at the turn before
            self._asked_at = now
            self.out.append(HEAD.pack(ASK, turn))

    def _unheard(self, kind: int, turn: int, message: bytes) -> int:
        """How many of our DATA the peer dropped. It says that it had the turn before, and so heard nothing of ours there, or
        that it took this one, and what it had heard until then; where this one is its own by the rule, it drops ours there."""
        said = self._said.pop(turn - 1, 0)
        if kind != TAKE:
            return said
        (heard,) = HEARD.unpack_from(message, HEAD.size)
        if heard > said and turn >= self.turn:
            raise self._wrong(f"TAKE has heard {heard} of {said} messages", said)
        dropped: int = max(0, said - heard)
        return dropped + (self._said.pop(turn, 0) if winner(turn) == self._peer else 0)

    def _yields(self, turn: int, holder: int) -> bool:
        """Both have begun the turn `turn`, we by taking it: whether ours yields. The rule decides, and nobody comes last."""
        if holder == self.holder:
            return False
        return holder != NOBODY and (self.holder == NOBODY or holder == winner(turn))

    def _wrong(self, what: str, limit: int | None = None) -> ProtocolError:
        return ProtocolError(what, offset=self.came, limit=limit)
