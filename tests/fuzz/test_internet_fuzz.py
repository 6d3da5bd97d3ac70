"""Any ICMP message and any fragment into a stack: never an exception, bounded memory, no connection harmed by a stranger."""

import random

import pytest

from synfin.device.memory import MemoryDevice
from synfin.engine.connection import Connection
from synfin.engine.state import State
from synfin.stack.fragments import LIMIT
from synfin.wire.datagram import build_datagram
from synfin.wire.icmp import ICMP4, ICMP6, build_icmp
from tests.stack.harness import A4, A6, B4, B6, Net, make_stack

SEEDS = range(4)
INPUTS = 3000  # a seed


def mixed(rng: random.Random, ends: tuple[bytes, bytes], body: bytes) -> list[bytes]:
    """A message or a datagram, whole or in fragments, with a few bytes changed in every second."""
    source, destination = ends
    protocol = rng.choice([ICMP4, ICMP6, 6, 17, 200])
    kind = rng.choice([0, 1, 2, 3, 4, 8, 11, 12, 128, 129, rng.randrange(256)])
    payload: bytes = body
    if rng.random() < 0.7:
        protocol = ICMP4 if len(source) == 4 else ICMP6
        payload = build_icmp(source, destination, kind, rng.randrange(16), rng.choice([0, 1, 68, 1280, 1400, 1 << 31]), body)
    packets = build_datagram(
        source, destination, protocol, payload, mtu=rng.choice([68, 300, 1500]), identification=rng.randrange(4)
    )
    if rng.random() < 0.5:
        at = rng.randrange(len(packets))
        damaged = bytearray(packets[at])
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        packets[at] = bytes(damaged)
    if rng.random() < 0.3:
        rng.shuffle(packets)
    return [packet[: rng.randrange(len(packet) + 1)] if rng.random() < 0.02 else packet for packet in packets]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_message_and_no_fragment_does_harm(seed: int) -> None:
    rng = random.Random(seed)
    net = Net()
    ours, _ = net.open(net.listen())
    net.lose = lambda who, sent: True
    net.send(net.a, ours, bytes(4000))
    quoted = [sent.packet for sent in net.device_a.outbox] or [bytes(60)]
    net.run()
    for number in range(INPUTS):
        ends = rng.choice([(B4, A4), (B6, A6), (bytes((10, 0, 0, 7)), A4), (A4, A4), (bytes(16), A6)])
        body = rng.choice([rng.choice(quoted), rng.randbytes(rng.randrange(700)), b""])
        for packet in mixed(rng, ends, body):
            net.a.receive_packet(packet, net.now)
        net.a.transmit(net.now)
        net.device_a.outbox.clear()
        assert net.a.internet.fragments.held <= LIMIT
        assert isinstance(ours, Connection)
        ours.check_invariants()
        if number % 500 == 499:
            net.now += 61_000_000_000
            net.a.internet.handle_timers(net.now)
            assert len(net.a.internet.fragments) == 0
    assert ours.state is State.ESTABLISHED
    assert ours.mtu in (296, 1280, 1400, 1492, 1500)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_bytes_are_dropped_and_counted(seed: int) -> None:
    rng = random.Random(seed)
    stack = make_stack((B4, B6), MemoryDevice())
    for number in range(INPUTS):
        data = bytearray(rng.randbytes(rng.randrange(1, 120)))
        data[0] = rng.choice([0x45, 0x46, 0x60, data[0]])
        stack.receive_packet(bytes(data), number)
        stack.transmit(number)
    assert sum(stack.counters.drops.values()) == INPUTS
