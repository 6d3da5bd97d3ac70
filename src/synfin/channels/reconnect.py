"""Which connection a program has that always wants one: what broke is told before the next is made, failures wait. Pure.

Owns the decisions that the fronts for asyncio (long.Reconnecting) and for threads (reconnectblocking) share. It makes no
connection, waits for nothing and knows no clock.

    present() --- one that lives ------------------------------------------------> have it
        |  raises ChannelClosed after `end`, and, once, the PeerLost that nobody was told
        v  none
      dial ------ it came: came() ------------------------------------------------> have it
        ^  |  it failed: failed() gives the wait, or raises PeerLost after `attempts` in a row
        |  v
        +- wait
"""

from typing import Generic, Protocol, TypeVar

from synfin.channels.backoff import Backoff
from synfin.channels.errors import ChannelClosed, ChannelTimeout, PeerLost
from synfin.channels.life import Life
from synfin.engine.errors import UsageError


class Link(Protocol):
    """What is asked of a long connection, of either front."""

    told: bool
    life: Life

    @property
    def alive(self) -> bool:
        """See LongChannel."""

    def abort(self) -> None:
        """See LongChannel."""


L = TypeVar("L", bound=Link)


class Keeper(Generic[L]):
    """Keeps one connection of the kind L. `made` counts those that came about, `ending` says that no more are to be made.

    `attempts` is how many may fail in a row, None for any number. Raises UsageError for fewer than one.
    """

    def __init__(self, backoff: Backoff, attempts: int | None) -> None:
        if attempts is not None and attempts < 1:
            raise UsageError(f"attempts are 1 or more, not {attempts}")
        self.made = 0
        self.ending = False
        self._backoff = backoff
        self._attempts = attempts
        self._failed = 0
        self._link: L | None = None

    def present(self) -> L | None:
        """The connection that lives; None: dial. Raises ChannelClosed after `end`."""
        if self.ending:
            raise ChannelClosed("this side has closed")
        return self._link if self._link is not None and self._link.alive else None

    def leaving(self) -> L | None:
        """The connection that the peer has said goodbye to and that is to be closed in order, None for none. What is broken is
        let go of instead: raises its PeerLost where something is unacknowledged and nobody was told so."""
        link, self._link = self._link, None
        if link is None or link.life.error is None:
            return link
        link.abort()
        lost = link.life.loss()
        if lost is not None and not link.told:
            link.told = True
            raise lost
        return None

    def came(self, link: L) -> L:
        """A connection has come about."""
        self._link = link
        self._failed = 0
        self._backoff.reset()
        self.made += 1
        return link

    def failed(self, error: OSError | ChannelTimeout) -> int:
        """An attempt has failed: how long to wait before the next, in nanoseconds. Raises PeerLost after the last."""
        self._failed += 1
        if self._failed == self._attempts:
            self._failed = 0
            raise PeerLost(f"no connection in {self._attempts} attempts: {error}") from error
        return self._backoff.next()

    def end(self) -> L | None:
        """Make no more; the connection that is to be closed, None for none."""
        self.ending = True
        link, self._link = self._link, None
        return link
