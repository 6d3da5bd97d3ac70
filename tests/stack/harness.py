"""Two stacks joined by memory devices, in virtual time: packets move when a test says so, and can be lost on the way."""

import random
from collections.abc import Callable

from synfin.device.memory import MemoryDevice, Sent, memory_link
from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.errors import DropReason
from synfin.engine.listener import Listener
from synfin.engine.observe import Observer
from synfin.engine.segment import ACK, Outgoing, Segment, flag_names
from synfin.engine.state import State, Trigger
from synfin.stack.stack import Stack
from synfin.wire.packet import build_packet

MS = 1_000_000
SECOND = 1_000_000_000
A4, B4 = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
A6, B6 = b"\xfd" + bytes(14) + b"\1", b"\xfd" + bytes(14) + b"\2"
PLAIN = TcpConfig(timestamps=False, window_scaling=False, receive_buffer=65_535)
ISN_A, ISN_B = 100, 300


class Notes(Observer):
    """What a stack told, without times."""

    def __init__(self) -> None:
        self.moves: list[tuple[State, Trigger, State]] = []
        self.drops: list[DropReason] = []
        self.sent: list[str] = []
        self.received: list[str] = []

    def state_changed(self, now: int, key: bytes, old: State, trigger: Trigger, new: State) -> None:
        self.moves.append((old, trigger, new))

    def dropped(self, now: int, key: bytes, reason: DropReason, segment: Segment | None) -> None:
        self.drops.append(reason)

    def segment_sent(self, now: int, key: bytes, segment: Outgoing) -> None:
        self.sent.append(shown(segment))

    def segment_received(self, now: int, key: bytes, segment: Segment) -> None:
        self.received.append(shown(segment))


def shown(segment: Outgoing | Segment) -> str:
    """`FLAGS seq=... ack=... len=...`."""
    text = f"{flag_names(segment.flags)} seq={segment.seq}"
    if segment.flags & ACK:
        text += f" ack={segment.ack}"
    return text + (f" len={len(segment.payload)}" if len(segment.payload) else "")


def make_stack(
    addresses: tuple[bytes, ...], device: MemoryDevice, config: TcpConfig = PLAIN, *, isn: int | None = None,
    observer: Observer | None = None, wake: Callable[[], None] | None = None, time_wait_limit: int = 16_384,
    ephemeral_ports: tuple[int, int] = (49_152, 65_535), seed: int = 1,
) -> Stack:  # fmt: skip
    """A stack on `device`; `isn` fixes every initial sequence number."""
    stack = Stack(
        addresses=addresses, config=config, device=device, clock=lambda: 0, secret=b"a secret of 16 b", wake=wake,
        random=random.Random(seed), observer=observer, isn=None if isn is None else lambda key, now: isn,
        time_wait_limit=time_wait_limit, ephemeral_ports=ephemeral_ports,
    )  # fmt: skip
    device.receiver = lambda packet, now: stack.receive_packet(packet, now, verify=device.checksum)
    return stack


def packet(
    source: bytes, source_port: int, target: bytes, target_port: int, flags: int, seq: int = 0, ack: int = 0,
    payload: bytes = b"", window: int = 1000,
) -> bytes:  # fmt: skip
    """An IP packet with right checksums, as a stranger would send it."""
    key = target + source + target_port.to_bytes(2, "big") + source_port.to_bytes(2, "big")
    return build_packet(key, Outgoing(seq, ack, flags, window, 0, payload), identification=0)


class Net:
    """Stacks A and B. `log` has each segment as `A FLAGS seq= ack= len=`; `lose` decides which do not arrive."""

    def __init__(
        self, config: TcpConfig = PLAIN, *, addresses: tuple[tuple[bytes, ...], tuple[bytes, ...]] = ((A4, A6), (B4, B6)),
        mtu: int = 1500, gso: bool = False, checksum: bool = False, isns: tuple[int | None, int | None] = (ISN_A, ISN_B),
        time_wait_limit: int = 16_384,
    ) -> None:  # fmt: skip
        self.now = 0
        self.device_a, self.device_b = memory_link(mtu, gso=gso, checksum=checksum)
        self.notes_a, self.notes_b = Notes(), Notes()
        self.a = make_stack(
            addresses[0], self.device_a, config, isn=isns[0], observer=self.notes_a, time_wait_limit=time_wait_limit
        )
        self.b = make_stack(
            addresses[1], self.device_b, config, isn=isns[1], observer=self.notes_b, time_wait_limit=time_wait_limit
        )
        self.lose: Callable[[str, Sent], bool] = lambda who, sent: False
        self.log: list[str] = []

    # --- time and packets

    def run(self) -> list[str]:
        """Exchange packets until both are quiet; returns what went, and forgets it."""
        for _ in range(100_000):
            self.a.transmit(self.now)
            self.b.transmit(self.now)
            if not self.device_a.outbox and not self.device_b.outbox:
                log, self.log = self.log, []
                return log
            self._carry("A", self.device_a)
            self._carry("B", self.device_b)
        raise AssertionError("the two never fall silent")

    def _carry(self, who: str, device: MemoryDevice) -> None:
        while device.outbox:
            sent = device.outbox[0]
            lost = self.lose(who, sent)
            self.log.append(f"{who} {shown(sent.out)}" + (" lost" if lost else ""))
            if lost:
                device.drop()
            else:
                device.deliver(self.now, 1)

    def next(self) -> int:
        """The next deadline of either."""
        return min(self.a.next_deadline(), self.b.next_deadline())

    def pass_time(self, duration: int) -> list[str]:
        """Let `duration` ns pass from deadline to deadline; returns what went."""
        log = self.run()
        end = self.now + duration
        while (first := self.next()) <= end:
            self.now = max(self.now, first)
            self.a.handle_timers(self.now)
            self.b.handle_timers(self.now)
            log += self.run()
        self.now = end
        return log

    def until_quiet(self) -> list[str]:
        """Let time pass until no timer is left."""
        log = self.run()
        while (first := self.next()) != NEVER:
            log += self.pass_time(max(first - self.now, 0))
        return log

    # --- opening

    def listen(self, port: int = 80, backlog: int = 8, **options: bool) -> Listener:
        """B listens on every address."""
        return self.b.listen((None, port), backlog, self.now, **options)

    def open(
        self, listener: Listener, remote: bytes = B4, port: int = 0, config: TcpConfig | None = None
    ) -> tuple[Connection, Connection]:
        """A connects to B's listener; both ends, established."""
        target = int.from_bytes(listener.key[-2:], "big")
        ours = self.a.connect((None, port), (remote, target), self.now, config)
        self.run()
        theirs = listener.accept(self.now)
        assert theirs is not None
        assert (ours.state, theirs.state) == (State.ESTABLISHED, State.ESTABLISHED)
        return ours, theirs

    # --- calls, each followed by what a socket does

    def send(self, stack: Stack, connection: Connection, data: bytes) -> int:
        """Write; returns the bytes accepted."""
        count = connection.write(data, self.now)
        stack.attend(connection, self.now)
        return count

    def read(self, stack: Stack, connection: Connection, limit: int = 1 << 20) -> bytes:
        """Read."""
        data = connection.read(limit, self.now)
        stack.attend(connection, self.now)
        return data

    def close(self, stack: Stack, connection: Connection) -> None:
        """Close both halves."""
        connection.close(self.now)
        stack.attend(connection, self.now)
