"""What the blocking fronts share: `with`, how long a call may still take, waiting for a change, all messages to the end.

Owns nothing of a connection. Times are seconds.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

from synfin.channels.errors import ChannelClosed, ChannelTimeout


class Closing:
    """`with`: the block's end closes, however it ends."""

    def close(self) -> None:
        """Close."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def deadline(timeout: float | None) -> float | None:
    """When a call that may take `timeout` seconds has to be back, as time.monotonic counts."""
    return None if timeout is None else time.monotonic() + timeout


def left(until: float | None) -> float | None:
    """Seconds until then, 0 when it has passed."""
    return None if until is None else max(0.0, until - time.monotonic())


def over(until: float | None) -> bool:
    """Whether that time has come."""
    return until is not None and time.monotonic() >= until


def wait_for(changed: threading.Condition, condition: Callable[[], bool], until: float | None, what: str) -> None:
    """Wait, with `changed` held, until `condition` holds. Raises ChannelTimeout(what) when the time has come before."""
    while not condition():
        if over(until):
            raise ChannelTimeout(what)
        changed.wait(left(until))


def until_closed(receive: Callable[[], bytes]) -> Iterator[bytes]:
    """What `receive` gives, until it raises ChannelClosed; other ends raise."""
    while True:
        try:
            message = receive()
        except ChannelClosed:
            return
        yield message
