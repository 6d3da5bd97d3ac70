"""A SYN flood from spoofed addresses against a listener, in virtual time: memory is bounded, no half-open entry outlives its
time, and those who answer are served as the policy has it."""

import gc
import random
import sys
from collections.abc import Iterator

import pytest

from synfin.device.base import Device
from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.listener import Listener
from synfin.engine.segment import ACK, RST, SYN, Outgoing
from synfin.engine.state import State
from synfin.stack.addresses import make_key
from synfin.stack.stack import Stack
from synfin.wire.packet import build_packet

SECOND = 1_000_000_000
LIFE = 63 * SECOND  # of an entry whose SYN,ACK nobody answers
SERVER = bytes((192, 0, 2, 1))
CLIENT = bytes((198, 51, 100, 1))
PORT = 80
BACKLOG = 256
RTT = 20_000_000  # ns


class Answers(Device):
    """Keeps what goes to the client, counts the rest."""

    __slots__ = ("elsewhere", "to_client")

    def __init__(self) -> None:
        super().__init__(1500, gso=False, checksum=False)
        self.elsewhere = 0
        self.to_client: list[tuple[int, Outgoing]] = []

    def send(self, packet: bytes, key: bytes, out: Outgoing) -> None:
        if key[:4] == CLIENT:
            self.to_client.append((int.from_bytes(key[8:10], "big"), out))
        else:
            self.elsewhere += 1


def syn(seq: int) -> Outgoing:
    out = Outgoing(seq, 0, SYN, 64_240, 0)
    out.mss, out.wscale, out.sack_permitted, out.has_timestamps, out.tsval = 1460, 7, True, True, seq
    return out


class Target:
    """A server under a flood. Time passes by `wait`; a client at one address opens connections by `ask` and `answer`."""

    def __init__(self, config: TcpConfig) -> None:
        self.now = 0
        self.device = Answers()
        self.stack = Stack(
            addresses=[SERVER], config=config, device=self.device, clock=lambda: self.now, secret=bytes(16),
            random=random.Random(1),
        )  # fmt: skip
        self.listener: Listener = self.stack.listen((None, PORT), 128, 0)
        self.oldest = 0

    def take(self, source: bytes, port: int, out: Outgoing) -> None:
        key = make_key(SERVER, PORT, source, port)
        self.stack.receive_packet(build_packet(key, out, identification=0, checksum=False), self.now, verify=False)
        self.stack.transmit(self.now)

    def wait(self, until: int) -> None:
        while (deadline := self.stack.next_deadline()) <= until:
            self.now = max(self.now, deadline)
            self.stack.handle_timers(self.now)
            self.stack.transmit(self.now)
        self.now = until

    def look(self) -> None:
        """No entry is older than its life."""
        for _, age, _ in self.listener.half_open_entries(self.now):
            self.oldest = max(self.oldest, age)
        assert self.oldest < LIFE

    def ask(self, port: int) -> None:
        self.take(CLIENT, port, syn(port))

    def answer(self) -> None:
        """The client's ACK for each SYN,ACK that has come."""
        answers, self.device.to_client = self.device.to_client, []
        for port, out in answers:
            if out.flags == SYN | ACK:
                ack = Outgoing(out.ack, (out.seq + 1) & 0xFFFF_FFFF, ACK, 500, 0)
                ack.has_timestamps, ack.tsval, ack.tsecr = out.has_timestamps, out.tsecr, out.tsval
                self.take(CLIENT, port, ack)

    def served(self) -> int:
        """How many of the client's connections are there; they are ended."""
        count = 0
        while (connection := self.listener.accept(self.now)) is not None:
            count += connection.state is State.ESTABLISHED
            connection.abort(self.now)
            self.stack.attend(connection, self.now)
        return count


class Flood:
    """`count` SYNs, each from an address of its own drawn from the whole address space, `gap` ns apart."""

    def __init__(self, count: int, gap: int, seed: int = 1) -> None:
        self.count = count
        self.gap = gap
        self.seed = seed

    def packets(self) -> Iterator[bytes]:
        whole = build_packet(make_key(SERVER, PORT, CLIENT, 1), syn(1), identification=0, checksum=False)
        head, middle, tail = whole[:12], whole[16:20], whole[28:]
        draw = random.Random(self.seed)
        for _ in range(self.count):
            drawn = draw.randbytes(10)
            first = drawn[0] % 190 + 1  # no multicast, and neither the client's network nor ours
            port = bytes((drawn[4], drawn[5] | 1))  # not 0
            yield head + bytes((first,)) + drawn[1:4] + middle + port + b"\0\x50" + drawn[6:] + tail


def poured(target: Target, flood: Flood, asks: int, patience: int, reset: bool = False) -> int:
    """Pour `flood` over `target` while the client opens `asks` connections, each answered `patience` ns after it asked, before
    the next. Returns how many of them were served. With `reset` the hosts whose address was used answer by RST at once."""
    served, waiting = 0, -1
    every = flood.count // asks
    stack = target.stack
    for number, packet in enumerate(flood.packets()):
        target.now += flood.gap
        if stack.next_deadline() <= target.now:
            target.wait(target.now)
        stack.receive_packet(packet, target.now, verify=False)
        stack.transmit(target.now)
        if reset:
            seq = (int.from_bytes(packet[24:28], "big") + 1) & 0xFFFF_FFFF
            target.take(packet[12:16], int.from_bytes(packet[20:22], "big"), Outgoing(seq, 0, RST, 0, 0))
        if number % every == every // 2:
            assert waiting < 0, "the client has had its answer"
            target.look()
            target.ask(1024 + number // every)
            waiting = target.now + patience
        if 0 <= waiting <= target.now:
            waiting = -1
            target.answer()
            served += target.served()
    return served


def over(target: Target) -> None:
    """The flood is over: after the life of an entry nothing is left of it."""
    end = target.now + LIFE
    while target.now < end:
        target.wait(min(target.now + SECOND // 2, end))
        target.look()
    assert target.listener.half_open == 0
    assert target.stack.next_deadline() == NEVER
    kept = list(target.stack.sockets())
    assert kept == [target.listener]
    counts = target.listener.counts
    taken = counts.completed - counts.cookies_accepted + counts.resets + counts.expired + counts.evicted
    assert target.stack.counters.passive_opens == taken + counts.cookies_accepted, "each that came in has gone out"


class Kept:
    """Memory that the interpreter holds, in blocks: cheap to ask, and one that is kept for a SYN shows after a million."""

    def __init__(self) -> None:
        gc.collect()
        self.before = sys.getallocatedblocks()

    def grown(self) -> int:
        gc.collect()
        return sys.getallocatedblocks() - self.before


def test_a_million_spoofed_syns_take_no_memory_and_no_client_from_a_listener_with_cookies_at_pressure() -> None:
    target = Target(TcpConfig(syn_backlog=BACKLOG))
    poured(target, Flood(10_000, gap=50_000, seed=2), 10, RTT)
    kept = Kept()
    assert poured(target, Flood(1_000_000, gap=50_000), 200, RTT) == 200  # 20,000 a second, for 50 s
    assert kept.grown() < 1000
    assert target.listener.half_open <= BACKLOG
    counts = target.listener.counts
    assert counts.syns == 1_010_210
    assert counts.syn_queue_drops == counts.evicted == counts.cookies_refused == counts.resets == 0
    assert counts.completed == 210
    assert counts.cookies_sent > 1_000_000
    over(target)


POLICIES = {
    "drop": TcpConfig(syn_cookies="off", syn_backlog=BACKLOG),
    "oldest": TcpConfig(syn_cookies="off", syn_backlog=BACKLOG, syn_queue_policy="oldest"),
    "pressure": TcpConfig(syn_backlog=BACKLOG),
    "always": TcpConfig(syn_cookies="always", syn_backlog=BACKLOG),
}


@pytest.mark.parametrize("policy", list(POLICIES))
def test_two_minutes_of_flood_leave_no_entry_beyond_its_time_and_no_more_than_the_backlog(policy: str) -> None:
    target = Target(POLICIES[policy])
    kept = Kept()
    served = poured(target, Flood(20_000, gap=6_500_000), 100, RTT)  # 154 a second, for 130 s
    assert kept.grown() < 4 * BACKLOG + 1000
    counts = target.listener.counts
    assert target.listener.half_open <= (0 if policy == "always" else BACKLOG)
    lost = counts.syn_queue_drops
    if policy == "drop":
        assert (served < 10, lost > 15_000, counts.evicted, counts.cookies_sent) == (True, True, 0, 0)
        assert target.oldest > LIFE - SECOND
    elif policy == "oldest":  # 256 entries last for 1.6 s, and a round trip takes 20 ms
        assert (served, lost, counts.evicted > 15_000, counts.cookies_sent) == (100, 0, True, 0)
        assert target.oldest < 2 * SECOND
    else:
        assert (served, lost, counts.evicted, counts.cookies_sent > 15_000) == (100, 0, 0, True)
    over(target)


def test_a_flood_faster_than_the_queue_evicts_a_client_that_is_slow() -> None:
    target = Target(POLICIES["oldest"])
    assert poured(target, Flood(40_000, gap=50_000), 50, RTT) == 0  # 256 entries last for 13 ms
    assert target.listener.counts.evicted > 39_000
    over(target)


def test_hosts_that_answer_by_reset_clear_their_entries_themselves() -> None:
    target = Target(POLICIES["drop"])
    assert poured(target, Flood(5000, gap=500_000), 50, RTT, reset=True) == 50
    counts = target.listener.counts
    assert (counts.resets, counts.syn_queue_drops, counts.expired) == (5000, 0, 0)
    assert target.listener.half_open == 0
    over(target)


def test_a_slow_flood_fills_a_queue_too() -> None:
    """One SYN each 200 ms is 315 of them in the life of an entry."""
    target = Target(POLICIES["drop"])
    assert poured(target, Flood(700, gap=200_000_000), 35, RTT) < 35
    assert target.listener.counts.syn_queue_drops > 0
    over(target)


def test_after_a_flood_the_queue_serves_without_cookies_again() -> None:
    target = Target(POLICIES["pressure"])
    poured(target, Flood(2000, gap=500_000), 10, RTT)
    over(target)
    sent = target.listener.counts.cookies_sent
    target.ask(5000)
    target.answer()
    assert target.served() == 1
    assert target.listener.counts.cookies_sent == sent
