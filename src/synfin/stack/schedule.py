"""When a stack has to look at an entry again: a heap with lazy items for most, queues for the many in TIME-WAIT.

Owns the order of deadlines. An item is never searched or moved: one that is no longer wanted comes up early, or for an entry
that is gone, and is thrown away. Knows entries only by `scheduled`, `state` and `expires`; calls nothing on them.
"""

import heapq
from collections import deque

from synfin.engine.config import NEVER
from synfin.engine.entry import Entry
from synfin.engine.state import State
from synfin.engine.timewait import TimeWait


class Schedule:
    """Deadlines of the entries in `table`. An item holds a key and not the entry, so that it keeps nothing alive."""

    __slots__ = ("_heap", "_order", "_table")

    def __init__(self, table: dict[bytes, Entry]) -> None:
        self._table: dict[bytes, Entry] = table
        self._heap: list[tuple[int, int, bytes]] = []
        self._order: int = 0  # items of one moment come up in the order in which they were made

    def __len__(self) -> int:
        return len(self._heap)

    def arm(self, entry: Entry, when: int) -> None:
        """Look at `entry` at `when` (ns); call it only with a `when` before `entry.scheduled`."""
        entry.scheduled = when
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, entry.key))
        if len(self._heap) > 64 + 2 * len(self._table):
            self._heap = [item for item in self._heap if self._live(item) is not None]
            heapq.heapify(self._heap)

    def _live(self, item: tuple[int, int, bytes]) -> Entry | None:
        entry = self._table.get(item[2])
        return entry if entry is not None and entry.scheduled == item[0] else None

    def earliest(self) -> int:
        """The first deadline of an entry that is still there, in ns; NEVER without one."""
        heap = self._heap
        while heap:
            if self._live(heap[0]) is not None:
                return heap[0][0]
            heapq.heappop(heap)
        return NEVER

    def due(self, now: int) -> Entry | None:
        """The next entry whose deadline has come, with `scheduled` set to NEVER; None when there is none."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            entry = self._live(heapq.heappop(heap))
            if entry is not None:
                entry.scheduled = NEVER
                return entry
        return None


class TimeWaits:
    """The entries in TIME-WAIT, in the order in which they expire; one queue for each length of 2MSL in use.

    A FIN that starts 2MSL anew gives its entry another place at the end; only the last of an entry's places counts.
    """

    __slots__ = ("_queues", "count", "limit")

    def __init__(self, limit: int) -> None:
        self._queues: dict[int, deque[TimeWait]] = {}
        self.count: int = 0  # entries, each once
        self.limit: int = limit

    def add(self, entry: TimeWait) -> None:
        """Take a new entry; the caller has made room (see `oldest`)."""
        self.count += 1
        self._append(entry)

    def restarted(self, entry: TimeWait) -> None:
        """`entry` may have started 2MSL anew."""
        if entry.expires != entry.scheduled:
            self._append(entry)

    def removed(self) -> None:
        """An entry has ended; its places are thrown away when they come up."""
        self.count -= 1

    def _append(self, entry: TimeWait) -> None:
        queue = self._queues.get(entry.duration)
        if queue is None:
            queue = self._queues[entry.duration] = deque()
        entry.places += 1
        entry.scheduled = entry.expires
        queue.append(entry)
        if len(queue) > 64 + 2 * self.count:
            self._compact(queue)

    @staticmethod
    def _stale(entry: TimeWait) -> bool:
        return entry.places > 1 or entry.state is State.CLOSED

    def _compact(self, queue: deque[TimeWait]) -> None:
        for _ in range(len(queue)):
            entry = queue.popleft()
            if self._stale(entry):
                entry.places -= 1
            else:
                queue.append(entry)

    def _front(self, queue: deque[TimeWait]) -> TimeWait | None:
        while queue:
            entry = queue[0]
            if not self._stale(entry):
                return entry
            entry.places -= 1
            queue.popleft()
        return None

    def oldest(self) -> TimeWait | None:
        """The entry whose 2MSL began first; None without entries."""
        found: TimeWait | None = None
        for queue in self._queues.values():
            entry = self._front(queue)
            if entry is not None:
                if found is None or entry.expires - entry.duration < found.expires - found.duration:
                    found = entry
        return found

    def earliest(self) -> int:
        """When the first entry expires, in ns; NEVER without entries."""
        first = NEVER
        for duration in list(self._queues):
            entry = self._front(self._queues[duration])
            if entry is None:
                del self._queues[duration]
            elif entry.expires < first:
                first = entry.expires
        return first

    def due(self, now: int) -> TimeWait | None:
        """An entry whose 2MSL are over; None when there is none. The caller ends it."""
        for queue in self._queues.values():
            entry = self._front(queue)
            if entry is not None and entry.expires <= now:
                return entry
        return None
