"""What a user may change on a connection that lives: Connection.set_option.

Owns the names and what each does at once. Reads and writes a Connection's parts, builds no segment.
"""

from typing import TYPE_CHECKING, Final

from synfin.engine import keepalive, path
from synfin.engine.config import NEVER
from synfin.engine.errors import UsageError
from synfin.engine.segment import ACK_DELAYED
from synfin.engine.sender import CORK

if TYPE_CHECKING:
    from synfin.engine.connection import Connection

MAX_BUFFER: Final = 1 << 30  # bytes: half of what sequence numbers can tell apart (RFC 7323 2.3)


def change(c: "Connection", name: str, value: int, now: int) -> None:
    """`nodelay`, `oob_inline`, `cork` (0 or 1); `quick_acks` (how many of the next ACKs go at once); `send_buffer`,
    `receive_buffer` (bytes); `user_timeout` (ns, 0 for the configured one); `mss` (bytes that later segments may have besides
    fixed headers: it can become less only); one of keepalive.OPTIONS.

    Raises UsageError for another name or a value below 0.
    """
    if value < 0:
        raise UsageError(f"{name} is not negative")
    sender = c.sender
    if name == "nodelay":
        sender.nodelay = bool(value)
        c.send_due = c.send_due or (bool(value) and c.established)
    elif name == "cork":
        sender.more = sender.more | CORK if value else 0
        c.send_due = c.send_due or (not value and c.established)
    elif name == "quick_acks":
        _quick_acks(c, value)
    elif name == "send_buffer":
        sender.capacity = min(max(value, 1), MAX_BUFFER)
    elif name == "receive_buffer":
        c.receiver.capacity = min(max(value, 1), MAX_BUFFER)
        c.window_may_open()
    elif name == "user_timeout":
        c.user_timeout = value or c.config.user_timeout
    elif name == "mss":
        path.clamp(c, value)
    elif name == "oob_inline":
        c.receiver.oob_inline = bool(value)
    elif name in keepalive.OPTIONS:
        keepalive.set_option(c, name, value, now)
    else:
        raise UsageError(f"no option {name!r}")


def _quick_acks(c: "Connection", count: int) -> None:
    """The next `count` ACKs go at once, until we send data; one that waits goes now."""
    if c.rhythm is not None:
        c.rhythm.quick_acks(c, count > 0)
        return
    c.receiver.quick = count
    c.receiver.quick_since = c.data_segs_out
    if count and c.timers.delayed_ack != NEVER:
        c.owe_ack(ACK_DELAYED)
