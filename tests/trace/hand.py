"""Traces made by hand: a few lines write down what a run would have recorded. Used by the tests of this directory."""

from synfin.engine import segment as why
from synfin.engine.segment import ACK, FIN, PSH, SYN, Outgoing
from synfin.engine.state import TRANSITIONS, State, Trigger
from synfin.trace.recorder import HostRecorder, Trace
from synfin.wire.packet import build_packet

MS = 1_000_000
SECOND = 1_000_000_000
CLIENT = bytes((10, 0, 0, 1))
SERVER = bytes((10, 0, 0, 2))
CLIENT_PORT = (49_152).to_bytes(2, "big")
SERVER_PORT = (80).to_bytes(2, "big")
CONNECTION = "10.0.0.1:49152 10.0.0.2:80"
X = 1_234_567
Y = 7_654_321


class Hand:
    """Two hosts, `client` and `server`; times in milliseconds. A segment's `after` tells of moves at its receiver."""

    def __init__(self, delay: float = 10) -> None:
        self.trace = Trace()
        self.delay = delay
        self.packets = 0
        self.late: list[tuple[int, int, object]] = []
        self.watch: dict[str, HostRecorder] = {
            "client": self.trace.observer("client", (CLIENT,)),
            "server": self.trace.observer("server", (SERVER,)),
        }
        self.states = {"client": State.CLOSED, "server": State.CLOSED}

    def key(self, host: str) -> bytes:
        """The connection's key as the stack of `host` has it."""
        if host == "client":
            return SERVER + CLIENT + SERVER_PORT + CLIENT_PORT
        return CLIENT + SERVER + CLIENT_PORT + SERVER_PORT

    def move(self, at: float, host: str, trigger: Trigger, *, listener: bool = False) -> None:
        """A change of state, looked up in TRANSITIONS."""
        old = self.states[host]
        new = TRANSITIONS[old, trigger]
        key = bytes(4) + SERVER + bytes(2) + SERVER_PORT if listener else self.key(host)
        self.watch[host].state_changed(round(at * MS), key, old, trigger, new)
        self.states[host] = new

    def call(
        self, at: float, host: str, call: str, arguments: str = "", result: str = "", began: float = -1, error: int = 0
    ) -> None:
        """A call that returned at `at` and began then, or at `began`."""
        started = at if began < 0 else began
        key = b"" if call == "socket" else self.key(host)
        self.watch[host].called(round(at * MS), key, call, arguments, round(started * MS), result, error)

    def send(self, at: float, host: str, out: Outgoing) -> int:
        """A segment leaves `host`; the number of its packet."""
        self.packets += 1
        data = build_packet(self.key(host), out, identification=self.packets)
        self.trace.sent(round(at * MS), host, other(host), self.packets, data, out)
        return self.packets

    def arrive(self, at: float, host: str, packet: int) -> None:
        """Packet number `packet` reaches `host`."""
        data = self.trace.packets()[packet].data
        self.trace.delivered(round(at * MS), host, other(host), packet, data)

    def lose(self, at: float, packet: int, cause: str = "loss") -> None:
        """The network loses a packet."""
        sent = self.trace.packets()[packet]
        self.trace.lost(round(at * MS), sent.host, sent.peer, packet, sent.data, cause)


def other(host: str) -> str:
    """The host at the other end."""
    return "server" if host == "client" else "client"


def syn(seq: int = X, reason: int = why.SYN_OPEN) -> Outgoing:
    """A SYN with the usual options."""
    out = Outgoing(seq, 0, SYN, 65_535, reason)
    out.mss, out.wscale = 1460, 2
    return out


def syn_ack(seq: int = Y, ack: int = X + 1, reason: int = why.SYN_ACK) -> Outgoing:
    """A SYN,ACK with the usual options."""
    out = Outgoing(seq, ack, SYN | ACK, 65_535, reason)
    out.mss, out.wscale = 1460, 2
    return out


def ack(seq: int, acknowledged: int, reason: int = why.ACK_DELAYED) -> Outgoing:
    """An ACK without data."""
    return Outgoing(seq, acknowledged, ACK, 16_384, reason)


def data(seq: int, acknowledged: int, payload: bytes, reason: int = why.NEW_DATA) -> Outgoing:
    """A segment with data, pushed."""
    return Outgoing(seq, acknowledged, ACK | PSH, 16_384, reason, payload)


def fin(seq: int, acknowledged: int, reason: int = why.FIN_SENT) -> Outgoing:
    """A FIN."""
    return Outgoing(seq, acknowledged, ACK | FIN, 16_384, reason)


def handshake(hand: Hand) -> None:
    """From nothing to ESTABLISHED at 30 ms, with the calls of both applications; the network takes 10 ms."""
    hand.call(0, "server", "socket")
    hand.call(0, "server", "bind", "10.0.0.2:80")
    hand.move(0, "server", Trigger.PASSIVE_OPEN, listener=True)
    hand.call(0, "server", "listen", "16")
    hand.call(0, "client", "socket")
    hand.move(0, "client", Trigger.ACTIVE_OPEN)
    first = hand.send(0, "client", syn())
    hand.arrive(10, "server", first)
    hand.move(10, "server", Trigger.SYN)
    second = hand.send(10, "server", syn_ack())
    hand.arrive(20, "client", second)
    hand.move(20, "client", Trigger.SYN_ACK)
    third = hand.send(20, "client", ack(X + 1, Y + 1, why.ACK_OF_SYN_ACK))
    hand.call(20, "client", "connect", "10.0.0.2:80", began=0)
    hand.arrive(30, "server", third)
    hand.move(30, "server", Trigger.ACK_OF_SYN)
    hand.call(30, "server", "accept", "", "10.0.0.1:49152", began=0)


def request(hand: Hand) -> None:
    """After `handshake`: five bytes, and their ACK."""
    packet = hand.send(20, "client", data(X + 1, Y + 1, b"hello"))
    hand.call(20, "client", "send", "5", "5")
    hand.arrive(30, "server", packet)
    hand.call(30, "server", "recv", "4096", "5")
    packet = hand.send(30, "server", ack(Y + 1, X + 6, why.ACK_DELAYED))
    hand.arrive(40, "client", packet)


def four_way_close(hand: Hand) -> None:
    """After `request`, at 100 ms: the client closes first, the server's last ACK of it at 110 ms."""
    hand.move(100, "client", Trigger.CLOSE)
    packet = hand.send(100, "client", fin(X + 6, Y + 1))
    hand.call(100, "client", "close")
    hand.arrive(110, "server", packet)
    hand.move(110, "server", Trigger.FIN)
    packet = hand.send(110, "server", ack(Y + 1, X + 7, why.ACK_OF_FIN))
    hand.arrive(120, "client", packet)
    hand.move(120, "client", Trigger.ACK_OF_FIN)
    hand.move(150, "server", Trigger.CLOSE)
    packet = hand.send(150, "server", fin(Y + 1, X + 7))
    hand.call(150, "server", "close")
    hand.arrive(160, "client", packet)
    hand.move(160, "client", Trigger.FIN)
    hand.watch["client"].timer_started(160 * MS, hand.key("client"), "2MSL", 160 * MS + 120 * SECOND)
    packet = hand.send(160, "client", ack(X + 7, Y + 2, why.ACK_OF_FIN))
    hand.arrive(170, "server", packet)
    hand.move(170, "server", Trigger.ACK_OF_FIN)
    hand.watch["client"].timer_fired(120_160 * MS, hand.key("client"), "2MSL", "")
    hand.move(120_160, "client", Trigger.TWO_MSL)
