"""poll and epoll of scripts, level-triggered.

Owns how a script writes descriptors and events. Which events an endpoint has is synfin.sockets.readiness'.
"""

import errno
import os
import select
from collections.abc import Callable
from typing import Final

from synfin.packetdrill.files import Answer, Attempt, Files, Skip
from synfin.packetdrill.symbols import value_of, words_of
from synfin.packetdrill.syntax import Expression, Items, Struct
from synfin.sockets.readiness import UNASKED, events_of

ONESHOT: Final = int(select.EPOLLONESHOT)
PLAYED: Final = frozenset(("EPOLLIN", "EPOLLOUT", "EPOLLERR", "EPOLLHUP", "EPOLLRDHUP", "EPOLLPRI", "EPOLLONESHOT"))
ADD: Final = 1
DELETE: Final = 2
DATA: Final = ("fd", "ptr", "u32", "u64")  # names of one number: epoll_data is a union
MILLISECOND: Final = 1_000_000
NAMES: Final = (
    (1, "POLLIN"), (2, "POLLPRI"), (4, "POLLOUT"), (8, "POLLERR"), (16, "POLLHUP"), (32, "POLLNVAL"), (0x2000, "POLLRDHUP"),
    (64, "POLLRDNORM"), (256, "POLLWRNORM"),
)  # fmt: skip


def deadline(now: int, timeout: int) -> int | None:
    """When a wait of `timeout` ms that begins `now` (ns) is over; None for never."""
    return None if timeout < 0 else now + timeout * MILLISECOND


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
        if watched is None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        files.get(number)
        if (number in watched) == (action == ADD):
            raise OSError(errno.EEXIST if action == ADD else errno.ENOENT, "")
        if action == DELETE:
            del watched[number]
        else:
            watched[number] = mask
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
        found = []
        for number, mask in list(watched.items()):
            events = _events(files, number) & (mask | UNASKED) if files.holds(number) and mask else 0
            if events:
                found.append((number, events))
        del found[most:]
        if not found and (until is None or now() < until):
            raise BlockingIOError(errno.EAGAIN, "nothing is ready")
        for number, _ in found:
            if watched[number] & ONESHOT:
                watched[number] = 0
        same = all(
            number in (None, actual[0]) and events in (None, actual[1])
            for (number, events), actual in zip(expected, found, strict=False)
        )
        told = ", ".join(f"{{events={_names(events).replace('POLL', 'EPOLL')}, fd={number}}}" for number, events in found)
        return Answer(len(found), wrong="" if same else told)

    return attempt
