"""Questions and their answers on one connection, matched by number. Pure: messages in, messages out; no I/O, no clock.

Every message of the framing below begins with one byte that says its kind, and a number of 8 bytes, big-endian:

    1 REQUEST  number of this request, from 1 on, one more each; then the request
    2 ANSWER   the number of the request; then the answer
    3 FAILED   the number of the request; then why there is no answer, in UTF-8

Either side may ask, each counts its own requests. Answers come in any order, each request gets one ANSWER or FAILED. At most
`limit` requests of a side may be without an answer; both sides know the limit, as they know the framing, so nobody keeps more
than that. A request that its caller has given up stays among them until its answer has come: a late answer is dropped and
counted, and never taken for another call's. Anything else is a ProtocolError, which ends the exchange.

Who keeps that limit has read all but `limit` of the answers to what it has asked. So an answer that has not even left this
side counts as none yet: a peer that asks on and reads nothing is refused, and makes this side keep `limit` answers."""

from bisect import bisect_right
from struct import Struct
from typing import Final

from synfin.channels.errors import ChannelError, MessageRefused, ProtocolError
from synfin.channels.framing import Buffer, Framing, LengthHeader, VarintHeader
from synfin.engine.errors import UsageError

REQUEST: Final = 1
ANSWER: Final = 2
FAILED: Final = 3
KINDS: Final = {REQUEST: "REQUEST", ANSWER: "ANSWER", FAILED: "FAILED"}
HEAD: Final = Struct(">BQ")
LIMIT: Final = 64  # requests without an answer


class RequestFailed(ChannelError):
    """The peer has answered that it has no answer; the text says why."""


class Exchange:
    """One side. `late` counts the answers that came after their call was given up. Raises UsageError for a limit below 1."""

    __slots__ = ("_asked", "_came", "_count", "_given_up", "_kept", "_limit", "_open", "_waiting", "late")

    def __init__(self, limit: int = LIMIT) -> None:
        if limit < 1:
            raise UsageError(f"1 request or more may be without an answer, not {limit}")
        self.late = 0
        self._limit = limit
        self._asked = 0  # our requests
        self._waiting: set[int] = set()  # ... that somebody waits for
        self._given_up: set[int] = set()  # ... that nobody waits for any more, and that are not answered
        self._came = 0  # the peer's requests
        self._open: set[int] = set()  # ... that we have not answered
        self._kept: list[int] = []  # where in our stream the answers end that have not left us
        self._count = 0  # messages that came

    @property
    def in_flight(self) -> int:
        """How many of our requests are without an answer, given up or not."""
        return len(self._waiting) + len(self._given_up)

    @property
    def room(self) -> int:
        """How many more requests `ask` takes now."""
        return self._limit - len(self._waiting) - len(self._given_up)

    @property
    def unanswered(self) -> int:
        """How many of the peer's requests wait for our answer."""
        return len(self._open)

    # What this side says

    def ask(self, request: Buffer) -> tuple[int, bytes]:
        """The number of a new request, and its message. Raises UsageError where there is no room."""
        if self.room <= 0:
            raise UsageError(f"{self.in_flight} requests are without an answer already, the limit is {self._limit}")
        number = self._asked + 1
        message = HEAD.pack(REQUEST, number) + request
        self._asked = number
        self._waiting.add(number)
        return number, message

    def give_up(self, number: int) -> None:
        """Nobody waits for the answer to `number` any more. Does nothing when it has come."""
        if number in self._waiting:
            self._waiting.remove(number)
            self._given_up.add(number)

    def answer(self, number: int, answer: Buffer) -> bytes:
        """The message that answers the peer's request `number`. Raises UsageError for one that is not open."""
        self._close(number)
        return HEAD.pack(ANSWER, number) + answer

    def fail(self, number: int, reason: str) -> bytes:
        """The message that says why there is no answer to the peer's request `number`. Raises as `answer`."""
        self._close(number)
        return HEAD.pack(FAILED, number) + reason.encode()

    def keep(self, end: int) -> None:
        """The last answer ends at `end` of our stream, in bytes, or behind it, and is still on this side."""
        self._kept.append(end)

    def gone(self, offset: int) -> None:
        """Our stream up to `offset` has left this side."""
        if self._kept:
            del self._kept[: bisect_right(self._kept, offset)]

    def _close(self, number: int) -> None:
        if number not in self._open:
            raise UsageError(f"request {number} is not waiting for an answer")
        self._open.remove(number)

    # What came

    def received(self, message: bytes) -> tuple[int, int, bytes] | None:
        """Take one message of the framing: its kind, its number and what it says; None for an answer that came too late.

        Raises ProtocolError.
        """
        if len(message) < HEAD.size:
            raise self._wrong(f"a message of {len(message)} bytes has no kind and number", HEAD.size)
        kind, number = HEAD.unpack_from(message)
        if kind == REQUEST:
            self._receive_request(number)
        elif kind not in KINDS:
            raise self._wrong(f"there is no kind {kind}")
        elif number in self._waiting:
            self._waiting.remove(number)
        elif number in self._given_up:
            self._given_up.remove(number)
            self.late += 1
            self._count += 1
            return None
        elif number > self._asked:
            raise self._wrong(f"{KINDS[kind]} {number} to a request that was never made", self._asked)
        else:
            raise self._wrong(f"{KINDS[kind]} {number} to a request that is answered already", self._asked)
        self._count += 1
        return kind, number, message[HEAD.size :]

    def _receive_request(self, number: int) -> None:
        if number != self._came + 1:
            raise self._wrong(f"REQUEST {number} where {self._came + 1} was due")
        without = len(self._open) + len(self._kept)
        if without >= self._limit:
            unread = f", {len(self._kept)} of them given and unread" if self._kept else ""
            raise self._wrong(f"REQUEST {number} while {without} are without an answer{unread}", self._limit)
        self._came = number
        self._open.add(number)

    def _wrong(self, what: str, limit: int | None = None) -> ProtocolError:
        return ProtocolError(what, offset=self._count, limit=limit)


def check_framing(framing: Framing) -> None:
    """Raises UsageError for a framing that cannot carry these messages: they have many sizes, and any byte."""
    if not isinstance(framing, LengthHeader | VarintHeader) or framing.limit < HEAD.size:
        raise UsageError(f"an exchange needs a framing with a length header and a limit of {HEAD.size} bytes or more")


def check_size(message: Buffer, framing: Framing) -> None:
    """Raises MessageRefused for a request or an answer that does not fit beside the kind and the number."""
    if len(message) > framing.limit - HEAD.size:
        raise MessageRefused(f"a message of {len(message)} bytes is longer than {framing.limit - HEAD.size}")
