"""poll and epoll of scripts, level-triggered and edge-triggered.

Owns when an edge is there, and how a script writes descriptors and events. Which events an endpoint has is
synfin.sockets.readiness'.
"""

import errno
import os
import select
from collections.abc import Callable
from typing import Final

from synfin.packetdrill.files import Answer, Attempt, File, Files, Skip
from synfin.packetdrill.symbols import value_of, words_of
from synfin.packetdrill.syntax import Expression, Items, Struct
from synfin.sockets.readiness import UNASKED, events_of

ONESHOT: Final = int(select.EPOLLONESHOT)
EDGE: Final = int(select.EPOLLET) & 0xFFFFFFFF
EXCLUSIVE: Final = int(select.EPOLLEXCLUSIVE)
MODES: Final = ONESHOT | EDGE | EXCLUSIVE
READING: Final = int(select.EPOLLIN | select.EPOLLRDNORM)
BESIDE_EXCLUSIVE: Final = int(select.EPOLLIN | select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP) | EDGE | EXCLUSIVE
PLAYED: Final = frozenset((
    "EPOLLIN", "EPOLLOUT", "EPOLLERR", "EPOLLHUP", "EPOLLRDHUP", "EPOLLPRI", "EPOLLRDNORM", "EPOLLWRNORM", "EPOLLONESHOT",
    "EPOLLET", "EPOLLEXCLUSIVE",
))  # fmt: skip
ADD: Final = 1
DELETE: Final = 2
MODIFY: Final = 3
DATA: Final = ("fd", "ptr", "u32", "u64")  # names of one number: epoll_data is a union
MILLISECOND: Final = 1_000_000
NAMES: Final = (
    (1, "POLLIN"), (2, "POLLPRI"), (4, "POLLOUT"), (8, "POLLERR"), (16, "POLLHUP"), (32, "POLLNVAL"), (0x2000, "POLLRDHUP"),
    (64, "POLLRDNORM"), (256, "POLLWRNORM"),
)  # fmt: skip


def deadline(now: int, timeout: int) -> int | None:
    """When a wait of `timeout` ms that begins `now` (ns) is over; None for never."""
    return None if timeout < 0 else now + timeout * MILLISECOND


class Watch:
    """A descriptor in an epoll set: the file that it stood for, and what is asked.

    Edge-triggered, it is told of once after each thing that happens: new bytes or connections where reading is asked for, an
    event that was not there before (ep_poll_callback). That takes somebody who calls `notice` whenever something may have.
    """

    __slots__ = ("_backlog", "_events", "_received", "file", "fresh", "mask")

    def __init__(self, file: File, mask: int) -> None:
        self.file = file
        self.mask = mask
        self.fresh = True  # whether something has happened since it was told of
        self._events = self._received = self._backlog = 0
        self.notice()

    def ask(self, mask: int) -> None:
        """Ask for other events; those that are there now are told of."""
        self.mask, self.fresh = mask, True

    def notice(self) -> None:
        """Look whether something has happened."""
        endpoint = self.file.endpoint
        if endpoint is None or not self.mask & EDGE:
            return
        events = events_of(endpoint)
        connection, listener = endpoint.connection, endpoint.listener
        received = 0 if connection is None else connection.receiver.rcv_nxt
        backlog = 0 if listener is None else listener.readable()
        grown = received != self._received or backlog > self._backlog
        if events & ~self._events & (self.mask | UNASKED) or (grown and self.mask & READING):
            self.fresh = True
        self._events, self._received, self._backlog = events, received, backlog

    def events(self) -> int:
        """Those that are to be told now."""
        asked = self.mask & ~MODES
        if self.file.endpoint is None or not asked or (self.mask & EDGE and not self.fresh):
            return 0
        self.fresh = False
        return events_of(self.file.endpoint) & (asked | UNASKED)

    def told(self) -> None:
        """They have been told."""
        if self.mask & ONESHOT:
            self.mask &= MODES


def _events(files: Files, number: int) -> int:
    if not files.holds(number):
        return int(select.POLLNVAL)
    endpoint = files.get(number).endpoint
    return 0 if endpoint is None else events_of(endpoint)


def _entries(expression: Expression) -> list[Struct]:
    if isinstance(expression, Struct) and (expression.fields or not expression.items):
        return [expression]
    items = expression.items if isinstance(expression, Items | Struct) else ()
    for each in items:
        if not isinstance(each, Struct) or each.items:
            raise Skip("events without the names of their fields")
    return [each for each in items if isinstance(each, Struct)]


def _field(entry: Struct, name: str) -> int | None:
    found = entry.get(name)
    return None if found is None else value_of(found)


def _names(mask: int) -> str:
    return "|".join(name for bit, name in NAMES if mask & bit) or "0"


def poll(files: Files, where: Expression, until: int | None, now: Callable[[], int]) -> Attempt:
    """poll(2) that gives up at `until` (ns)."""
    entries = _entries(where)

    def attempt() -> Answer:
        ready, wrong = 0, []
        for entry in entries:
            number = _field(entry, "fd") or 0
            asked = _field(entry, "events") or 0
            found = 0 if number < 0 else _events(files, number) & (asked | UNASKED)
            ready += bool(found)
            wanted = _field(entry, "revents")
            if wanted is None and entry.get("revents") is None:
                wanted = 0
            if wanted not in (None, found):
                wrong.append(f"{{fd={number}, revents={_names(found)}}}")
        if not ready and (until is None or now() < until):
            raise BlockingIOError(errno.EAGAIN, "nothing is ready")
        return Answer(ready, wrong=f"[{', '.join(wrong)}]" if wrong else "")

    return attempt


def control(files: Files, numbers: list[int], event: Expression) -> Attempt:
    """epoll_ctl(2); `numbers` are the set, what is done, and the descriptor."""
    where, action, number = numbers
    mask = 0
    for entry in _entries(event):
        wanted = entry.get("events")
        if _data(entry) not in (None, number):
            raise Skip("epoll_data that is not the descriptor")
        if wanted is not None:
            strange = words_of(wanted) - PLAYED
            if strange:
                raise Skip(min(strange))
            mask = value_of(wanted) or 0

    def attempt() -> Answer:
        watched = files.get(where).watched
        file = files.get(number)
        if watched is None or file.watched is watched or action not in (ADD, DELETE, MODIFY):
            raise OSError(errno.EINVAL, "")
        watch = watched.get(number)
        if watch is not None and watch.file is not file:  # it was closed, and another took its number
            del watched[number]
            watch = None
        if (watch is not None) == (action == ADD):
            raise OSError(errno.EEXIST if action == ADD else errno.ENOENT, "")
        if action != DELETE and mask & EXCLUSIVE and (action == MODIFY or mask & ~BESIDE_EXCLUSIVE):
            raise OSError(errno.EINVAL, "")
        if watch is None:
            watched[number] = Watch(file, mask)
        elif action == DELETE:
            del watched[number]
        elif watch.mask & EXCLUSIVE:
            raise OSError(errno.EINVAL, "")
        else:
            watch.ask(mask)
        return Answer(0)

    return attempt


def _data(entry: Struct) -> int | None:
    """What stands in epoll_data, by whichever of its names; None where nothing is said."""
    return next((found for name in DATA if (found := _field(entry, name)) is not None), None)


def wait(
    files: Files, where: int, event: Expression, most: int, until: int | None, now: Callable[[], int]
) -> Attempt:
    """epoll_wait(2) for at most `most` events, which gives up at `until` (ns)."""
    expected = [(_data(entry), _field(entry, "events")) for entry in _entries(event)]

    def attempt() -> Answer:
        watched = files.get(where).watched
        if watched is None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        found: list[tuple[int, int]] = []
        for number, watch in watched.items():
            if len(found) == most or not files.holds(number) or files.get(number) is not watch.file:
                continue
            events = watch.events()
            if events:
                found.append((number, events))
                watch.told()
        if not found and (until is None or now() < until):
            raise BlockingIOError(errno.EAGAIN, "nothing is ready")
        same = all(
            number in (None, actual[0]) and events in (None, actual[1])
            for (number, events), actual in zip(expected, found, strict=False)
        )
        told = ", ".join(f"{{events={_names(events).replace('POLL', 'EPOLL')}, fd={number}}}" for number, events in found)
        return Answer(len(found), wrong="" if same else told)

    return attempt
