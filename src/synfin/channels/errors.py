"""What can go wrong on a channel, one class a cause. Knows no socket and no clock.

    ChannelError
    +- MessageRefused      (UsageError) the caller's message breaks the framing's rules; nothing was sent
    +- FramingError        the peer's bytes break them: `offset`, `limit`
    |  +- MessageTooLong   a length over the limit, or no delimiter within it
    |  +- BadLength        a varint that is not the shortest, or never ends
    |  +- ChecksumWrong
    |  +- TruncatedMessage (EOFError) the stream ended inside a message: `missing`
    +- ProtocolError       a whole message that the conversation does not allow here: `offset`, `limit`
    +- ChannelClosed       the orderly end: nothing more comes, or nothing more may be sent
    +- PeerLost            the connection broke: what is not known to have arrived is in `unacknowledged`
    |  +- PeerDead         ... because nothing was heard for the time that the heartbeat allows
    +- ChannelTimeout      (TimeoutError) the call took longer than the caller allowed
    +- PoolClosed
"""

from collections.abc import Sequence

from synfin.engine.errors import UsageError


class ChannelError(Exception):
    """Base of all errors of synfin.channels."""


class MessageRefused(ChannelError, UsageError):
    """The message cannot be sent in this framing; nothing of it was."""


class FramingError(ChannelError):
    """The peer's bytes are not what the framing says.

    `offset` is where in the stream, counted from 0, the offending message begins; `limit` is the longest message allowed, in
    bytes. The messages before it are good and have been given.
    """

    def __init__(self, what: str, *, offset: int, limit: int) -> None:
        super().__init__(f"{what} (at offset {offset} of the stream, limit {limit} bytes)")
        self.what = what
        self.offset = offset
        self.limit = limit


class MessageTooLong(FramingError):
    """A message of more than `limit` bytes was announced, or went on without a delimiter. `length` where it was announced."""

    def __init__(self, what: str, *, offset: int, limit: int, length: int | None = None) -> None:
        super().__init__(what, offset=offset, limit=limit)
        self.length = length


class BadLength(FramingError):
    """A varint that is longer than its value needs, or that has not ended where it must."""


class ChecksumWrong(FramingError):
    """The CRC-32 that came is not that of the message."""


class TruncatedMessage(FramingError, EOFError):
    """The stream ended inside a message: `missing` bytes did not come, or more where `at_least` holds (the header or the
    delimiter was among them)."""

    def __init__(self, *, offset: int, limit: int, got: int, missing: int, at_least: bool) -> None:
        least = "at least " if at_least else ""
        super().__init__(
            f"the stream ended inside a message: {got} bytes of it came, {least}{missing} are missing",
            offset=offset, limit=limit,
        )  # fmt: skip
        self.got = got
        self.missing = missing
        self.at_least = at_least


class ProtocolError(ChannelError):
    """A message that is whole, and wrong here: an unknown kind, a number out of order, more than was allowed.

    `offset` counts the messages of the stream from 0; `limit` is the number or the size that was broken, None where none was.
    """

    def __init__(self, what: str, *, offset: int, limit: int | None = None) -> None:
        bound = "" if limit is None else f", limit {limit}"
        super().__init__(f"{what} (message {offset} of the stream{bound})")
        self.what = what
        self.offset = offset
        self.limit = limit


class ChannelClosed(ChannelError):
    """The orderly end: the peer has said all it had to say, or this side has closed."""


class PeerLost(ChannelError):
    """The connection is gone without an orderly end.

    `unacknowledged` are the messages, oldest first, that the peer has not confirmed. Each of them arrived once or not at all;
    the channel itself never sends one again.
    """

    def __init__(self, what: str, unacknowledged: Sequence[bytes] = ()) -> None:
        count = len(unacknowledged)
        super().__init__(f"{what}; {count} message{'' if count == 1 else 's'} not acknowledged" if count else what)
        self.what = what
        self.unacknowledged = tuple(unacknowledged)


class PeerDead(PeerLost):
    """Nothing was heard of the peer within the time that the heartbeat allows."""


class ChannelTimeout(ChannelError, TimeoutError):
    """The call took longer than its caller allowed."""


class PoolClosed(ChannelError):
    """The pool gives no more connections."""
