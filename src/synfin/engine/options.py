"""What a user may change on a connection that lives: Connection.set_option.

Owns the names and what each does at once. Reads and writes a Connection's parts, builds no segment.
"""

from typing import TYPE_CHECKING, Final

from synfin.engine import keepalive, path
from synfin.engine.errors import UsageError

if TYPE_CHECKING:
    from synfin.engine.connection import Connection

MAX_BUFFER: Final = 1 << 30  # bytes: half of what sequence numbers can tell apart (RFC 7323 2.3)


def change(c: "Connection", name: str, value: int, now: int) -> None:
    """`nodelay`, `oob_inline` (0 or 1); `send_buffer`, `receive_buffer` (bytes); `user_timeout` (ns, 0 for the configured one);
    `mss` (bytes that later segments may have besides fixed headers: it can become less only); one of keepalive.OPTIONS.

    Raises UsageError for another name or a value below 0.
    """
    if value < 0:
        raise UsageError(f"{name} is not negative")
    sender = c.sender
    if name == "nodelay":
        sender.nodelay = bool(value)
        c.send_due = c.send_due or (bool(value) and c.established)
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
