"""Two engines back to back, without stack, wire or clock: send, expect exactly these segments, then nothing more."""

from collections.abc import Callable

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.observe import Observer
from synfin.engine.segment import SYN, Outgoing, Segment, flag_names

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
A_KEY = bytes((10, 0, 0, 2, 10, 0, 0, 1, 0, 80, 0xC0, 0))
B_KEY = bytes((10, 0, 0, 1, 10, 0, 0, 2, 0xC0, 0, 0, 80))
PLAIN = TcpConfig(timestamps=False, window_scaling=False, receive_buffer=65_535)


def incoming(out: Outgoing) -> Segment:
    """What the peer sees of `out`."""
    segment = Segment(out.seq, out.ack, out.flags, out.window, out.payload)
    segment.urgent = out.urgent
    segment.mss, segment.wscale, segment.sack_permitted = out.mss, out.wscale, out.sack_permitted
    segment.has_timestamps, segment.tsval, segment.tsecr = out.has_timestamps, out.tsval, out.tsecr
    return segment


def shown(out: Outgoing) -> str:
    """`FLAGS seq=... ack=... len=...`, the form in which tests state expectations."""
    text = f"{flag_names(out.flags)} seq={out.seq}"
    if out.flags & 0x10:
        text += f" ack={out.ack}"
    return text + (f" len={len(out.payload)}" if len(out.payload) else "")


class End:
    """One connection and what a test does with it; `iss` is 100 for A and 300 for B unless told."""

    def __init__(self, key: bytes, iss: int, config: TcpConfig, observer: Observer | None = None) -> None:
        self.connection = Connection(key, config, iss, 0, 1500, observer)
        self.now = 0

    def out(self, room: int = 1 << 30) -> list[Outgoing]:
        """What it sends now."""
        segments: list[Outgoing] = []
        self.connection.transmit(self.now, segments, room)
        self.connection.check_invariants()
        return segments

    def sends(self) -> list[str]:
        """What it sends now, in words."""
        return [shown(segment) for segment in self.out()]

    def take(self, segment: Segment) -> list[str]:
        """What it answers to `segment`."""
        self.connection.receive(segment, self.now)
        self.connection.check_invariants()
        return self.sends()

    def at(self, now: int) -> list[str]:
        """What it sends when its timers are handled at `now`."""
        self.now = now
        self.connection.handle_timers(now)
        return self.sends()


class Pair:
    """A and B with a wire of no delay between them; `lose` decides about each segment."""

    def __init__(self, config: TcpConfig = PLAIN, iss: tuple[int, int] = (100, 300)) -> None:
        self.a = End(A_KEY, iss[0], config)
        self.b = End(B_KEY, iss[1], config)
        self.config = config
        self.now = 0
        self.lose: Callable[[Outgoing], bool] = lambda out: False
        self.log: list[str] = []

    def open(self) -> "Pair":
        """Through the handshake; B's half is what a listener would make of A's SYN."""
        self.a.connection.connect(self.now)
        (syn,) = self.a.out()
        request = incoming(syn)
        b = self.b.connection
        self.b.connection = Connection.from_request(
            B_KEY, self.config, b.sender.iss, 0, 1500, request, self.now, self.now
        )
        syn_ack = Outgoing(b.sender.iss, (syn.seq + 1) & 0xFFFFFFFF, SYN | 0x10, min(self.config.receive_buffer, 65_535), 1)
        syn_ack.mss = 1460
        if self.b.connection.scaling:
            syn_ack.wscale = self.b.connection.receiver.shift
        syn_ack.has_timestamps = self.b.connection.agreed_timestamps
        syn_ack.tsecr = syn.tsval
        self.a.connection.receive(incoming(syn_ack), self.now)
        self.run()
        self.log.clear()
        return self

    def run(self) -> None:
        """Exchange segments until both are quiet."""
        for _ in range(100_000):
            moved = False
            for name, end, peer in (("A", self.a, self.b), ("B", self.b, self.a)):
                end.now = peer.now = self.now
                for out in end.out():
                    moved = True
                    lost = self.lose(out)
                    self.log.append(f"{name} {shown(out)}" + (" lost" if lost else ""))
                    if not lost:
                        peer.connection.receive(incoming(out), self.now)
                        peer.connection.check_invariants()
            if not moved:
                return
        raise AssertionError("the two never fall silent")

    def until_quiet(self, limit: int = 3600 * SECOND) -> None:
        """Let time pass from timer to timer until none is left or `limit` ns have gone."""
        self.run()
        end = self.now + limit
        while True:
            first = min(self.a.connection.next_deadline(), self.b.connection.next_deadline())
            if first == NEVER or first > end:
                return
            self.now = max(self.now, first)
            for side in (self.a, self.b):
                side.now = self.now
                side.connection.handle_timers(self.now)
            self.run()
