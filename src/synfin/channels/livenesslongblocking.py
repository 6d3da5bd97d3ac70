"""The liveness check on long connections for programs with threads. The messages are livenesslife.py's.

    with connect(("server", 7000), LengthHeader(4), timeout=5, doubt_after=10) as channel:
        print(channel.check().outcome)

Owns how a thread waits for the end of a check; the connection's own thread answers and asks. Times are seconds, nanoseconds in
Learned and LifeSettings.
"""

import socket
import time
from typing import Any

from synfin.channels import blocking
from synfin.channels.framing import Framing
from synfin.channels.life import LifeSettings
from synfin.channels.liveness import SECOND, Learned, Liveness
from synfin.channels.livenessaio import PATIENCE, REST, fresh
from synfin.channels.livenesslife import LivelyLife, Told, doubt
from synfin.channels.long import DEFAULT, check_framing
from synfin.channels.longblocking import LongSocket


class LivelySocket(LongSocket):
    """A LongSocket that checks both directions: when told to, and by itself after a silence of `doubt_after` seconds (None:
    never). Both sides must be of this kind, or LivelyChannels. How a check ends is told to `told`, in the connection's thread,
    where it must not wait; it ends no connection."""

    life: LivelyLife

    def __init__(
        self, sock: socket.socket, framing: Framing, settings: LifeSettings = DEFAULT, *, told: Told | None = None,
        doubt_after: float | None = None, patience: float = PATIENCE, rest: float = REST,
    ) -> None:  # fmt: skip
        self._doubt_after = doubt(doubt_after, framing)
        self._liveness = Liveness(fresh, patience=round(patience * SECOND), rest=round(rest * SECOND))
        self._hears = told
        self._ends: list[list[Learned]] = []  # of each thread that waits for the end of a check
        super().__init__(sock, framing, settings)

    def _make_life(self, settings: LifeSettings, now: int) -> LivelyLife:
        return LivelyLife(settings, now, self._liveness, self._doubt_after, self._learned)

    def _learned(self, learned: Learned) -> None:
        if learned.outcome is not None:
            for end in self._ends:
                end.append(learned)
        if self._hears is not None:
            self._hears(learned)

    @property
    def dropped(self) -> int:
        """How many messages of the check found no room."""
        return self.life.dropped

    def check(self) -> Learned:
        """Begin a check, or join the one that goes on, and wait for its end: `patience` at most, twice that where the peer has
        asked meanwhile. Raises Resting; what ended the connection."""
        life, end = self.life, list[Learned]()
        with self._changed:
            if life.error is None:
                life.liveness.begin(time.monotonic_ns())
                self._go()
            self._ends.append(end)
            try:
                self._until(lambda: bool(end) or life.error is not None, None, "")
            finally:
                self._ends.remove(end)
            if not end:
                assert life.error is not None  # or it would wait
                raise life.error
        return end[0]


def connect(
    address: Any, framing: Framing, settings: LifeSettings = DEFAULT, *, timeout: float | None = None, **lively: Any
) -> LivelySocket:
    """A long connection with liveness checks to `address`, (host, port), made within `timeout` seconds; `lively` are the
    keywords of LivelySocket. Raises as blocking.connect."""
    check_framing(framing)
    return LivelySocket(blocking.connect(address, framing, timeout=timeout).sock, framing, settings, **lively)
