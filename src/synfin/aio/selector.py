"""A selector over virtual and real descriptors, for the standard library's own selector event loop.

Owns which descriptors are watched and which of them may be ready. Readiness of a virtual one is a level, asked of its
Endpoint; an endpoint whose level has risen says so (`Endpoint.on_change`), so that a thousand idle sockets cost a select
nothing. Real descriptors are a selectors.DefaultSelector's. How to wait is a subclass's: in virtual time the network is let
go on, in real time somebody sleeps.
"""

import selectors
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from synfin.engine.errors import UsageError
from synfin.sockets.descriptors import FIRST, Descriptors
from synfin.sockets.endpoint import Endpoint

BOTH: Final = selectors.EVENT_READ | selectors.EVENT_WRITE

Ready = list[tuple[selectors.SelectorKey, int]]
FileObject = Any  # an int, or what has a fileno()


def descriptor_of(fileobj: FileObject) -> int:
    """The descriptor of a file object; raises ValueError as selectors do."""
    if type(fileobj) is int:
        fd = fileobj
    else:
        try:
            fd = int(fileobj if isinstance(fileobj, int) else fileobj.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"Invalid file object: {fileobj!r}") from None
    if fd < 0:
        raise ValueError(f"Invalid file descriptor: {fd}")
    return fd


class Watch:
    """One virtual descriptor under watch. `marked` holds those that may be ready, in the order in which they became so."""

    __slots__ = ("_marked", "_wake", "endpoint", "events", "fd", "key")

    def __init__(
        self, key: selectors.SelectorKey, endpoint: Endpoint, marked: "dict[int, Watch]", wake: Callable[[], None]
    ) -> None:
        self.fd: int = key.fd
        self.key = key
        self.events: int = key.events
        self.endpoint = endpoint
        self._marked = marked
        self._wake = wake

    def changed(self) -> None:
        """The endpoint's on_change."""
        if self.fd not in self._marked and self.endpoint.ready(self.events):
            self._marked[self.fd] = self
            self._wake()


class KeyMap(Mapping[FileObject, selectors.SelectorKey]):
    """What get_map returns: file objects and descriptors to keys, a live view."""

    def __init__(self, keys: dict[int, selectors.SelectorKey]) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[int]:
        return iter(self._keys)

    def get(self, fileobj: FileObject, default: Any = None) -> Any:
        """The key, or `default`."""
        if type(fileobj) is int:
            return self._keys.get(fileobj, default)
        return self._keys.get(descriptor_of(fileobj), default)

    def __getitem__(self, fileobj: FileObject) -> selectors.SelectorKey:
        key = self._keys.get(descriptor_of(fileobj))
        if key is None:
            raise KeyError(f"{fileobj!r} is not registered")
        return key


class VirtualSelector(selectors.BaseSelector):
    """Watches `descriptors`' virtual descriptors, and real ones. A subclass implements `wait`."""

    def __init__(self, descriptors: Descriptors) -> None:
        self._descriptors = descriptors
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._watches: dict[int, Watch] = {}
        self._marked: dict[int, Watch] = {}
        self._map = KeyMap(self._keys)
        self._real: selectors.DefaultSelector | None = None

    # --- registering

    def register(self, fileobj: FileObject, events: int, data: Any = None) -> selectors.SelectorKey:
        """See selectors. Raises UsageError when another selector watches this simulated socket."""
        fd = descriptor_of(fileobj)
        if not events or events & ~BOTH:
            raise ValueError(f"Invalid events: {events!r}")
        if fd in self._keys:
            raise KeyError(f"{fileobj!r} (FD {fd}) is already registered")
        key = selectors.SelectorKey(fileobj, fd, events, data)
        if fd >= FIRST:
            endpoint = self._descriptors.endpoint(fd)
            if endpoint.on_change is not None:
                raise UsageError("a simulated socket is watched by one selector at a time")
            watch = self._watches[fd] = self._marked[fd] = Watch(key, endpoint, self._marked, self.wake)
            endpoint.on_change = watch.changed
        else:
            self.real.register(fd, events)
        self._keys[fd] = key
        return key

    def unregister(self, fileobj: FileObject) -> selectors.SelectorKey:
        """See selectors."""
        fd = self._registered(fileobj)
        key = self._keys.pop(fd)
        watch = self._watches.pop(fd, None)
        if watch is None:
            self.real.unregister(fd)
        else:
            self._marked.pop(fd, None)
            watch.endpoint.on_change = None
        return key

    def modify(self, fileobj: FileObject, events: int, data: Any = None) -> selectors.SelectorKey:
        """See selectors."""
        if not events or events & ~BOTH:
            raise ValueError(f"Invalid events: {events!r}")
        fd = self._registered(fileobj)
        key = self._keys[fd] = selectors.SelectorKey(fileobj, fd, events, data)
        watch = self._watches.get(fd)
        if watch is None:
            self.real.modify(fd, events)
        else:
            watch.key = key
            watch.events = events
            self._marked[fd] = watch
        return key

    def _registered(self, fileobj: FileObject) -> int:
        fd = -1
        try:
            fd = descriptor_of(fileobj)
        except ValueError:  # closed meanwhile: find it by itself, as selectors do
            for key in self._keys.values():
                if key.fileobj is fileobj:
                    fd = key.fd
        if fd not in self._keys:
            raise KeyError(f"{fileobj!r} is not registered")
        return fd

    def get_key(self, fileobj: FileObject) -> selectors.SelectorKey:
        """See selectors."""
        return self._map[fileobj]

    def get_map(self) -> Mapping[FileObject, selectors.SelectorKey]:
        """See selectors."""
        return self._map

    def close(self) -> None:
        """See selectors."""
        for watch in self._watches.values():
            watch.endpoint.on_change = None
        self._watches.clear()
        self._marked.clear()
        self._keys.clear()
        if self._real is not None:
            self._real.close()
            self._real = None

    # --- selecting

    @property
    def real(self) -> selectors.DefaultSelector:
        """The selector of real descriptors, made when first needed."""
        if self._real is None:
            self._real = selectors.DefaultSelector()
        return self._real

    @property
    def has_real(self) -> bool:
        """Whether any real descriptor is registered."""
        return self._real is not None and bool(self._real.get_map())

    def ready(self) -> Ready:
        """The virtual descriptors that are ready now."""
        marked = self._marked
        found: Ready = []
        if marked:
            for watch in list(marked.values()):
                mask = watch.endpoint.ready(watch.events)
                if mask:
                    found.append((watch.key, mask))
                else:
                    del marked[watch.fd]
        return found

    def ready_real(self, timeout: float | None = 0) -> Ready:
        """The real descriptors that are ready, waiting at most `timeout` seconds of real time for one."""
        if self._real is None:
            return []
        keys = self._keys
        return [(keys[key.fd], mask) for key, mask in self._real.select(timeout) if key.fd in keys]

    def select(self, timeout: float | None = None) -> Ready:
        """See selectors: what is ready, waiting at most `timeout` seconds for the first (None: without limit)."""
        found = self.ready()
        if self._real is not None:
            found += self.ready_real()
        if found or (timeout is not None and timeout <= 0):
            return found
        return self.wait(timeout)

    def wake(self) -> None:
        """A virtual descriptor has become ready; called from inside a stack. For a subclass whose `wait` has to end."""

    def wait(self, timeout: float | None) -> Ready:
        """Wait until something is ready, at most `timeout` seconds, and return it."""
        raise NotImplementedError
