"""The life of a long connection: numbered messages, acknowledgments, heartbeat, goodbye. Pure: messages in, messages out, `now`
in nanoseconds; no I/O, no clock.

Every message of the framing below begins with one byte that says its kind, and a number of 8 bytes, big-endian:

    1 DATA     number of this message, from 1 on, one more each; then the program's bytes
    2 ACK      all DATA up to this number have been taken by the program
    3 PING     a number, one more each
    4 PONG     the number of the PING that it answers; only the newest of several waiting PINGs is answered
    5 GOODBYE  number of the last DATA (0: there was none); none follows

Rules. At most `window` DATA may be unacknowledged; both sides know the window, as they know the framing, so a receiver keeps at
most `window` messages and never has to stop reading: PINGs are answered however slow the program is. A message is acknowledged
when the program takes it, after `ack_delay` at most, at once when a quarter of the window waits for it or the peer has said
goodbye. Whoever closes sends what is queued, then GOODBYE, waits for the last ACK, sends its FIN, and reads to the peer's FIN:
what is on its way would meet a closed socket, which answers by RST. Who had the peer's GOODBYE first sends its FIN after the
peer's, and no GOODBYE where nothing is left to send: TIME-WAIT is left on one side. Where two GOODBYEs crossed neither waits
for the other's FIN. Whoever still takes messages when it closes sends a PING behind its GOODBYE: what the peer said before it
knew has come before the PONG, and is acknowledged before the FIN.

When the connection breaks, `unacknowledged` are the messages that may or may not have arrived. They are never sent again here.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final

from synfin.channels.errors import ChannelClosed, ChannelError, PeerDead, PeerLost, ProtocolError
from synfin.channels.framing import Buffer
from synfin.channels.heartbeat import MILLISECOND, NEVER, SECOND, Heartbeat, bound, check_times
from synfin.engine.errors import UsageError

DATA: Final = 1
ACK: Final = 2
PING: Final = 3
PONG: Final = 4
GOODBYE: Final = 5
KINDS: Final = {DATA: "DATA", ACK: "ACK", PING: "PING", PONG: "PONG", GOODBYE: "GOODBYE"}
HEAD: Final = Struct(">BQ")


@dataclass(slots=True, frozen=True, kw_only=True)
class LifeSettings:
    """What one side may choose, times in nanoseconds. `window` is the same on both sides. Raises UsageError."""

    interval: int = 15 * SECOND  # of silence before the first PING; NEVER: this side watches nothing
    timeout: int = 5 * SECOND  # for each PING's answer
    misses: int = 3  # unanswered PINGs that mean death
    window: int = 64  # messages in flight
    queue: int = 1024  # messages that `send` takes before the oldest is acknowledged, the window's among them
    ack_delay: int = 20 * MILLISECOND

    def __post_init__(self) -> None:
        check_times(self.interval, self.timeout, self.misses)
        if self.window < 1 or self.queue < self.window or self.ack_delay < 0:
            raise UsageError("a window has 1 message or more, a queue not less than the window, an ack_delay is not negative")

    @property
    def detection(self) -> int:
        """Nanoseconds after the peer's last byte at which it is taken for dead, at the latest."""
        return bound(self.interval, self.timeout, self.misses)


class Life:
    """One side of a long connection. The caller passes in what came, asks for what is to go and when to come back.

    `error` is None while the connection lives, then why it ended. `peer_goodbye`: the peer sends no more DATA.
    """

    __slots__ = (
        "_ack_at",
        "_acked",
        "_answered",
        "_closing",
        "_confirmed",
        "_count",
        "_fence",
        "_first",
        "_goodbye_sent",
        "_inbox",
        "_ping",
        "_pings",
        "_pong",
        "_queue",
        "_received",
        "_sent",
        "_taken",
        "_taken_at_close",
        "_to_take",
        "error",
        "heartbeat",
        "left",
        "peer_goodbye",
        "settings",
    )  # fmt: skip

    def __init__(self, settings: LifeSettings, now: int) -> None:
        self.settings = settings
        self.heartbeat = Heartbeat(settings.interval, settings.timeout, settings.misses, now)
        self.error: ChannelError | None = None
        self.peer_goodbye = False
        self._queue: list[bytes] = []  # not acknowledged; the first _sent - _acked of them have been sent
        self._acked = 0  # our DATA that the peer has taken
        self._sent = 0  # our DATA that went out
        self._inbox: list[bytes] = []  # at most `window`
        self._received = 0  # the peer's DATA that came
        self._taken = 0  # ... that the program took
        self._confirmed = 0  # ... that we have acknowledged
        self._ack_at = NEVER
        self._count = 0  # messages that came, of all kinds
        self._ping = False  # one is to be sent
        self._pings = 0  # the number of the last PING
        self._answered = 0  # the highest number that was answered
        self._pong = -1  # the number to answer, -1 for none
        self._closing = False
        self._goodbye_sent = False
        self._first = False  # our goodbye was said before the peer's came
        self._taken_at_close = 0
        self._fence = 0  # the number of the PING behind our goodbye, 0 for none
        self._to_take = 0  # the peer's DATA that came before it knew of our goodbye, or before its own
        self.left = False  # `leave` has been called

    # Calls of the program

    @property
    def room(self) -> int:
        """How many more messages `send` takes now."""
        return self.settings.queue - len(self._queue)

    @property
    def inbox(self) -> int:
        """How many messages wait to be taken."""
        return len(self._inbox)

    @property
    def in_flight(self) -> int:
        """How many messages have gone out and are not acknowledged."""
        return self._sent - self._acked

    @property
    def unacknowledged(self) -> tuple[bytes, ...]:
        """What the peer has not confirmed, oldest first, what has not gone out yet included."""
        return tuple(self._queue)

    @property
    def finished(self) -> bool:
        """After `close`: all has gone out, GOODBYE too where the peer has not said it, and the peer has acknowledged it."""
        return self._goodbye_sent and not self._queue

    @property
    def closing(self) -> bool:
        """`close` has been called: nothing more can be sent."""
        return self._closing

    @property
    def second(self) -> bool:
        """The peer said goodbye before us, and all on both sides is acknowledged: its FIN is due, and goes before ours."""
        return self.peer_goodbye and not self._first and not self._queue and self._confirmed == self._received

    def leaves(self, taking: bool) -> bool:
        """After `close`: whether our FIN is due. `taking`: somebody waits for the peer's messages; as long as they are taken,
        those that the peer sent before it knew of our goodbye, or before its own, are acknowledged first."""
        if not self.finished or self.second or self._confirmed < self._taken or self._answered < self._fence:
            return False
        return self._confirmed >= self._to_take or not (taking or self._taken > self._taken_at_close)

    @property
    def answered(self) -> int:
        """The highest number of a PING that the peer has answered."""
        return self._answered

    def send(self, message: Buffer) -> int:
        """Queue `message`; returns its number. Raises the error that ended the connection, ChannelClosed after `close`, and
        UsageError where there is no room."""
        if self.error is not None:
            raise self.error
        if self._closing:
            raise ChannelClosed("this side has said goodbye")
        if not self.room:
            raise UsageError(f"{len(self._queue)} messages wait for their acknowledgment already")
        self._queue.append(bytes(message))
        return self._acked + len(self._queue)

    def say(self, message: Buffer) -> None:
        """Queue `message` of a conversation in which a peer that keeps the rules has always acknowledged enough. One that does
        not ends the life by the ProtocolError that this raises; otherwise as `send`."""
        if self.error is None and not self.room:
            self.error = self._wrong(f"{len(self._queue)} messages are not acknowledged", self.settings.queue)
        self.send(message)

    def take(self, now: int) -> bytes | None:
        """The next message for the program, None when there is none yet. Raises the error that ended the connection, and
        ChannelClosed when the peer has said goodbye; both only once all has been taken."""
        if self._inbox:
            self._taken += 1
            owed = self._taken - self._confirmed
            if self.peer_goodbye or self._goodbye_sent or 4 * owed >= self.settings.window:
                self._ack_at = 0
            elif owed == 1:
                self._ack_at = now + self.settings.ack_delay
            return self._inbox.pop(0)
        if self.error is not None:
            raise self.error
        if self.peer_goodbye:
            raise ChannelClosed("the peer has said goodbye")
        return None

    def ping(self) -> int:
        """Send a PING now, idle or not; returns its number, for comparing with `answered`."""
        self._ping = True
        return self._pings + 1

    def close(self, taking: bool = False) -> None:
        """Say goodbye once all that is queued has gone out; `taking` as for `leaves`."""
        if not self._closing:
            self._closing = True
            self._taken_at_close = self._taken
            self._fence = -int(taking)  # its number is given when it goes out

    def leave(self) -> None:
        """Our FIN goes out: nothing more is sent, and nothing is watched."""
        self.left = True

    # What came

    def heard(self, now: int) -> None:
        """Bytes of the peer's have come, whole messages or not."""
        self.heartbeat.heard(now)

    def received(self, message: bytes) -> None:
        """Take one message of the framing. Raises ProtocolError, which also ends the connection."""
        if self.error is not None:
            return
        try:
            self._receive(message)
        except ProtocolError as error:
            self.error = error
            raise
        self._count += 1

    def _receive(self, message: bytes) -> None:
        if len(message) < HEAD.size:
            raise self._wrong(f"a message of {len(message)} bytes has no kind and number")
        kind, number = HEAD.unpack_from(message)
        if kind == DATA:
            self._receive_data(number, message)
            return
        if kind not in KINDS:
            raise self._wrong(f"there is no kind {kind}")
        if len(message) > HEAD.size:
            raise self._wrong(f"{KINDS[kind]} of {len(message)} bytes", HEAD.size)
        if kind == ACK:
            self._receive_ack(number)
        elif kind == PING:
            self._pong = number
        elif kind == PONG:
            if number > self._pings:
                raise self._wrong(f"PONG {number} answers a PING that was never sent", self._pings)
            self._answered = max(self._answered, number)
            if self._fence > 0 and number >= self._fence and not self._to_take:
                self._to_take = self._received
        else:
            self._receive_goodbye(number)

    def _receive_data(self, number: int, message: bytes) -> None:
        if self.peer_goodbye:
            raise self._wrong(f"DATA {number} after GOODBYE")
        if number != self._received + 1:
            raise self._wrong(f"DATA {number} where {self._received + 1} was due")
        if number - self._confirmed > self.settings.window:
            raise self._wrong(f"DATA {number} while {self._confirmed} is acknowledged", self.settings.window)
        self._received = number
        self._inbox.append(message[HEAD.size :])

    def _receive_ack(self, number: int) -> None:
        if not self._acked <= number <= self._sent:
            raise self._wrong(f"ACK {number} is not between {self._acked} and {self._sent}", self._sent)
        del self._queue[: number - self._acked]
        self._acked = number

    def _receive_goodbye(self, number: int) -> None:
        if self.peer_goodbye:
            raise self._wrong("a second GOODBYE")
        if number != self._received:
            raise self._wrong(f"GOODBYE after {number} DATA, {self._received} have come", self._received)
        self.peer_goodbye = True
        self._to_take = self._received
        if self._taken > self._confirmed:
            self._ack_at = 0

    def _wrong(self, what: str, limit: int | None = None) -> ProtocolError:
        return ProtocolError(what, offset=self._count, limit=limit)

    def ended(self, error: ChannelError) -> None:
        """The stream below has ended: ChannelClosed for an orderly FIN. That, or an RST after goodbye, is an orderly end only
        when the peer has said goodbye and nothing of ours is unconfirmed."""
        if self.error is not None:
            return
        settled = not self._queue and (self.peer_goodbye or self._goodbye_sent)
        if settled and isinstance(error, ChannelClosed | PeerLost):
            self.error = ChannelClosed("the peer has said goodbye" if self.peer_goodbye else "this side has said goodbye")
        elif isinstance(error, ChannelClosed):
            closed = "the peer closed the connection"
            self.error = PeerLost(closed if self.peer_goodbye else f"{closed} without a goodbye", self.unacknowledged)
        elif isinstance(error, PeerLost):
            self.error = PeerLost(error.what, self.unacknowledged)
            self.error.__cause__ = error.__cause__
        else:
            self.error = error

    def loss(self) -> PeerLost | None:
        """What tells, after the end, what is unacknowledged: `error`, or one more where that is of another kind; None where all
        is acknowledged."""
        if not self._queue:
            return None
        if isinstance(self.error, PeerLost):
            return self.error
        lost = PeerLost(f"the connection ended: {self.error}", self.unacknowledged)
        lost.__cause__ = self.error
        return lost

    def give_up(self, what: str) -> None:
        """End the connection from this side, with `what` as the reason: PeerLost where something is unconfirmed."""
        if self.error is None:
            self.error = PeerLost(what, self.unacknowledged) if self._queue else ChannelClosed(what)

    # Time, and what is to go

    def next_deadline(self, blocked: bool = False) -> int:
        """When to call `handle_timers` next; 0: there is something to send at once; NEVER. `blocked`: nothing can be sent now,
        so what is to be sent is not counted."""
        if self.error is not None or self.left:
            return NEVER
        return self.heartbeat.next_deadline() if blocked else min(self.heartbeat.next_deadline(), self._ack_at)

    def handle_timers(self, now: int) -> None:
        """Ask a silent peer, or take it for dead: then `error` is PeerDead."""
        if self.error is not None or self.left:
            return
        if self.heartbeat.dead(now):
            silence = (now - self.heartbeat.last_heard) / SECOND
            what = f"nothing was heard for {silence:.3f} s and {self.heartbeat.sent} PINGs"
            self.error = PeerDead(what, self.unacknowledged)
        elif self.heartbeat.ask(now):
            self._ping = True

    def outgoing(self, now: int) -> list[bytes]:
        """The messages of the framing that are to go now, in order; call it when there is room to send them."""
        if self.error is not None or self.left:
            return []
        out: list[bytes] = []
        if self._pong >= 0:
            out.append(HEAD.pack(PONG, self._pong))
            self._pong = -1
        if self._ping:
            self._ping = False
            self._pings += 1
            out.append(HEAD.pack(PING, self._pings))
        if self._ack_at <= now:
            self._ack_at = NEVER
            self._confirmed = self._taken
            out.append(HEAD.pack(ACK, self._taken))
        if len(self._queue) > self._sent - self._acked:
            self._outgoing_data(out)
        if self._closing and not self._goodbye_sent and self._sent - self._acked == len(self._queue):
            self._outgoing_goodbye(out)
        return out

    def _outgoing_goodbye(self, out: list[bytes]) -> None:
        self._goodbye_sent = True
        self._first = not self.peer_goodbye
        if self._taken > self._confirmed:
            self._confirmed, self._ack_at = self._taken, NEVER
            out.append(HEAD.pack(ACK, self._taken))
        if self._queue or not self.peer_goodbye:
            out.append(HEAD.pack(GOODBYE, self._sent))
        if self._fence and self._first:
            self._pings += 1
            self._fence = self._pings
            out.append(HEAD.pack(PING, self._pings))

    def _outgoing_data(self, out: list[bytes]) -> None:
        flying = self._sent - self._acked
        for place in range(flying, min(len(self._queue), self.settings.window)):
            self._sent += 1
            out.append(HEAD.pack(DATA, self._sent) + self._queue[place])
