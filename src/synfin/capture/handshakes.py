"""The handshakes among captured packets: which listeners there are, what is half-open, what became of the rest.

Owns what a SYN, a SYN,ACK, a final ACK and an RST do to a half-open entry seen from outside, and how much of that is kept:
memory is bounded whatever the capture holds. A capture cannot show a SYN cookie (its SYN,ACK looks like any other), nor a
queue. Times in milliseconds since the first packet.
"""

import zlib
from collections import deque
from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from synfin.capture.headers import Header, client_of, listener_of, turned
from synfin.engine.segment import ACK, RST, SYN

LIFE: Final = 63_000  # ms: SYN,ACKs at 0, 1, 3, 7, 15, 31 s, the last waited for 32 s more (5 retries, RFC 6298 5.5)
# One SYN or SYN,ACK that is captured on two interfaces looks sent twice; a true repeat comes after a second, and no
# retransmission timer is below 200 ms where it counts (Linux's TCP_RTO_MIN).
SAME: Final = 200  # ms
BATCH: Final = 1000  # ms of SYNs that expire together
MOST_ENTRIES: Final = 1 << 18  # half-open entries kept, some 50 MB; beyond that the oldest are forgotten
MOST_PORTS: Final = 1 << 16
MOST_DONE: Final = 1 << 15
LISTED: Final = 4096  # entries told one by one
COUNTS: Final = ("syns", "repeats", "completed", "expired", "resets")

# SYN, its last repeat, last SYN,ACK (ms); both initial sequence numbers; SYN,ACKs seen
_ENTRY: Final = Struct("=IIIIIB")


class Port:
    """What is known of one listener, by its address and port. Counts since the begin of the capture.

    `held` entries were answered by a SYN,ACK, `waiting` ones were not. `refused` SYNs got an RST: nobody
    listens. `turned_away` SYNs got no answer, and came again: whoever forges them does not wait for one.
    """

    __slots__ = (
        "address", "answered", "completed", "expired", "forgotten", "held", "port", "refused", "repeats", "resets", "syns",
        "turned_away", "waiting",
    )  # fmt: skip

    def __init__(self, address: bytes, port: int) -> None:
        self.address = address
        self.port = port
        self.answered = False  # by a SYN,ACK, ever
        self.syns = 0
        self.turned_away = 0
        self.repeats = 0
        self.completed = 0
        self.expired = 0
        self.resets = 0
        self.refused = 0
        self.forgotten = 0
        self.held = 0
        self.waiting = 0

    @property
    def listens(self) -> bool:
        """Whether this is a listener as far as can be seen: it answered, or nothing of its side was captured at all."""
        return self.answered or not self.refused

    @property
    def half_open(self) -> int:
        """Entries that wait for their final ACK; of a server whose answers were not captured, all that had a SYN."""
        return self.held if self.answered else self.waiting


class HalfOpen(NamedTuple):
    """One entry: `began` is the time of its SYN in milliseconds, `syn_acks` how many were seen."""

    port: Port
    remote: bytes
    remote_port: int
    began: int
    syn_acks: int


class Handshakes:
    """Takes headers in the order of the capture."""

    def __init__(self) -> None:
        self.ports: dict[bytes, Port] = {}
        self.gone = Port(b"", 0)  # what ports counted that are kept no more
        self.unlisted = 0  # SYNs to listeners beyond those kept
        self._entries: dict[bytes, bytes] = {}
        self._batches: deque[tuple[int, list[bytes]]] = deque()
        self._done: dict[bytes, int] = {}  # completed lately -> their last SYN,ACK
        self._done_before: dict[bytes, int] = {}

    def add(self, header: Header, now: int) -> None:
        """One more packet at `now`, which does not go back."""
        flags = header.flags & (SYN | ACK | RST)
        if flags == SYN:
            self._syn(header, now)
        elif flags == SYN | ACK:
            self._syn_ack(header, now)
        elif flags & RST:
            self._reset(header)
        elif flags == ACK and self._entries:
            self._ack(header)

    def expire(self, now: int) -> None:
        """Let go of entries whose time is up, and of ports where nobody ever answered."""
        while self._batches and self._batches[0][0] + BATCH + LIFE <= now:
            self._drop_batch(forget=False)
        silent = [
            name for name, port in self.ports.items() if not (port.answered or port.completed or port.waiting or port.held)
        ]
        for name in silent:
            port = self.ports.pop(name)
            for count in COUNTS:
                setattr(self.gone, count, getattr(self.gone, count) + getattr(port, count))

    def totals(self) -> dict[str, int]:
        """COUNTS of all ports together, those without a listener too."""
        kept = [self.gone, *self.ports.values()]
        return {count: sum(getattr(port, count) for port in kept) for count in COUNTS}

    def entries(self) -> Iterator[HalfOpen]:
        """The half-open entries; of more than LISTED a sample of about that many, in which an entry stays while it lives."""
        total = len(self._entries)
        mask = (1 << max(total // LISTED, 1).bit_length() - 1) - 1
        for key, packed in self._entries.items():
            if mask and zlib.crc32(key) & mask:
                continue
            port = self.ports[listener_of(key)]
            began, _, _, _, _, syn_acks = _ENTRY.unpack(packed)
            if port.listens and (syn_acks or not port.answered):
                yield HalfOpen(port, *client_of(key), began, syn_acks)

    def _syn(self, header: Header, now: int) -> None:
        key = header.key
        old = self._entries.get(key)
        if old is not None:
            if self._repeated(key, old, header.seq, now):
                return
            self._remove(key, old)
        port = self._port(key)
        if port is not None:
            self._begin(key, port, now, header.seq)

    def _repeated(self, key: bytes, entry: bytes, seq: int, now: int) -> bool:
        """Whether the SYN with `seq` is that of `entry` once more: counted then, unless it is the same packet seen twice."""
        began, last, answered, iss, irs, syn_acks = _ENTRY.unpack(entry)
        if iss != seq:
            return False
        if now - last >= SAME:
            port = self.ports[listener_of(key)]
            port.syns += 1
            if not syn_acks:
                port.turned_away += 2 if last == began else 1
            self._entries[key] = _ENTRY.pack(began, now, answered, iss, irs, syn_acks)
        return True

    def _port(self, key: bytes) -> Port | None:
        name = listener_of(key)
        port = self.ports.get(name)
        if port is None:
            if len(self.ports) >= MOST_PORTS:
                self.unlisted += 1
                return None
            port = self.ports[name] = Port(name[:-2], int.from_bytes(name[-2:], "big"))
        return port

    def _begin(self, key: bytes, port: Port, now: int, iss: int) -> None:
        port.syns += 1
        port.waiting += 1
        self._done.pop(key, None)
        self._done_before.pop(key, None)
        self._entries[key] = _ENTRY.pack(now, now, 0, iss, 0, 0)
        if not self._batches or now >= self._batches[-1][0] + BATCH:
            self._batches.append((now, []))
        self._batches[-1][1].append(key)
        while len(self._entries) > MOST_ENTRIES:
            self._drop_batch(forget=True)

    def _drop_batch(self, *, forget: bool) -> None:
        start, keys = self._batches.popleft()
        for key in keys:
            packed = self._entries.get(key)
            if packed is None or _ENTRY.unpack(packed)[0] >= start + BATCH:
                continue  # completed, or begun anew since
            port = self._remove(key, packed)
            if forget:
                port.forgotten += 1
            else:
                port.expired += 1

    def _remove(self, key: bytes, packed: bytes) -> Port:
        del self._entries[key]
        port = self.ports[listener_of(key)]
        if _ENTRY.unpack(packed)[5]:
            port.held -= 1
        else:
            port.waiting -= 1
        return port

    def _syn_ack(self, header: Header, now: int) -> None:
        key = turned(header.key)
        packed = self._entries.get(key)
        if packed is None:
            if self._repeated_after_the_end(key, now):
                return
            port = self._port(key)
            if port is None:
                return
            self._begin(key, port, now, (header.ack - 1) & 0xFFFFFFFF)  # its SYN was not captured
            packed = self._entries.get(key)
            if packed is None:
                return
        began, last, answered, iss, _, syn_acks = _ENTRY.unpack(packed)
        if header.ack != (iss + 1) & 0xFFFFFFFF:
            return
        port = self.ports[listener_of(key)]
        if not syn_acks:
            port.answered = True
            port.waiting -= 1
            port.held += 1
        elif now - answered >= SAME:
            port.repeats += 1
        else:
            return
        self._entries[key] = _ENTRY.pack(began, last, now, iss, header.seq, min(syn_acks + 1, 255))

    def _repeated_after_the_end(self, key: bytes, now: int) -> bool:
        """A SYN,ACK for a handshake whose final ACK was seen: the server did not take it."""
        for done in (self._done, self._done_before):
            last = done.get(key)
            if last is not None:
                if now - last >= SAME:
                    self.ports[listener_of(key)].repeats += 1
                    done[key] = now
                return True
        return False

    def _ack(self, header: Header) -> None:
        key = header.key
        packed = self._entries.get(key)
        if packed is not None:
            _, _, answered, iss, irs, syn_acks = _ENTRY.unpack(packed)
            right = header.ack == (irs + 1) & 0xFFFFFFFF if syn_acks else header.seq == (iss + 1) & 0xFFFFFFFF
            if right:
                self._complete(key, packed, answered)
            return
        key = turned(key)
        packed = self._entries.get(key)
        if packed is not None:
            # The server speaks: its final ACK was not captured. It follows its SYN,ACK, and acknowledges the SYN at least.
            _, _, answered, iss, irs, syn_acks = _ENTRY.unpack(packed)
            if syn_acks and header.seq == (irs + 1) & 0xFFFFFFFF and header.ack != iss:
                self._complete(key, packed, answered)

    def _complete(self, key: bytes, packed: bytes, answered: int) -> None:
        self._remove(key, packed).completed += 1
        if len(self._done) >= MOST_DONE:
            self._done_before, self._done = self._done, {}
        self._done[key] = answered

    def _reset(self, header: Header) -> None:
        packed = self._entries.get(header.key)
        if packed is not None:
            self._remove(header.key, packed).resets += 1
            return
        key = turned(header.key)
        packed = self._entries.get(key)
        if packed is not None:
            port = self._remove(key, packed)
            if _ENTRY.unpack(packed)[5]:
                port.resets += 1
            else:
                port.refused += 1
