"""The generated streams against the simulated network: 1,200 samples each, of what every innocent case and flood is made of.

Clients that complete over clean and over lossy lines, with entries and with cookies; SYNs that nobody answers for; SYNs whose
source answers by RST. Counts each second and half-open entries are compared by their means and quantiles.
"""

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from synfin.control.rows import listeners
from synfin.engine.config import TcpConfig
from synfin.sim.host import SimHost
from synfin.sim.world import World
from synfin.watch.running import from_answer
from synfin.watch.sample import Sample
from synfin.watch.verdict import Level, Watcher, worst
from tests.watch import streams

MINUTES = 20
LIMIT = 512
COUNTS = ("syns", "completed", "syn_ack_repeats", "resets", "expired", "cookies_sent", "cookies_accepted")


@dataclass(frozen=True, slots=True)
class Line:
    """SYNs a second, loss each way, round trip in seconds, who answers, the server's policy."""

    rate: float
    loss: float
    rtt: float
    answers: int = streams.CLIENT
    cookies: str = "off"


LINES = {
    "clients": Line(4, 0.0, 0.05),
    "clients far away": Line(4, 0.01, 0.6),
    "clients behind loss": Line(3, 0.2, 0.2),
    "clients by cookie": Line(3, 0.1, 0.1, cookies="always"),
    "nobody answers": Line(5, 0.0, 0.1, streams.SILENT),
    "answered by reset": Line(8, 0.1, 0.3, streams.RESETS),
}


async def serve(host: SimHost) -> None:
    listener = host.socket()
    listener.bind(80)
    listener.listen(LIMIT)
    while True:
        (await listener.accept()).close()


async def call(host: SimHost) -> None:
    """Opens a connection, and closes it when the peer has, or after a while."""
    ours = host.socket()
    ours.settimeout(30)
    try:
        await ours.connect(("server", 80))
        await ours.recv(1)
    except OSError:
        pass
    ours.close()


def simulated(line: Line, seconds: int) -> list[Sample]:
    """One sample a second of a simulated server."""
    config = TcpConfig().replace(syn_cookies=line.cookies, syn_backlog=LIMIT, msl=0)
    taken: list[Sample] = []
    with World(1, config=config, trace=False) as world:
        server, client = world.host("server", "10.0.0.1"), world.host("client", "10.0.0.2")
        world.link(server, client, delay=line.rtt / 2, loss=line.loss)
        server.spawn(serve(server), background=True)
        draw = random.Random(2)

        def look() -> None:
            answer: dict[str, Any] = listeners(server.stack, world.clock.now)
            taken.append(from_answer(answer, world.clock.now, "-"))

        def begin() -> None:
            if line.answers == streams.CLIENT:
                client.spawn(call(client), background=True)
                return
            source = draw.randbytes(2) if line.answers == streams.SILENT else None
            client.inject(
                server, source_port=draw.randrange(1024, 65536), destination_port=80, flags="SYN", seq=draw.getrandbits(32),
                source=None if source is None else b"\xc6\x12" + source,
            )  # fmt: skip

        at = 0.1
        while at < seconds:
            at += draw.expovariate(line.rate)
            world.call_at(at, begin)
        for second in range(1, seconds):
            world.call_at(float(second), look)
        world.run(float(seconds))
    return taken


def generated(line: Line, seconds: int) -> list[Sample]:
    """The same from the generator."""
    rng = np.random.default_rng(3)
    at = streams.poisson(rng, line.rate, 0, seconds)
    traffic = streams.Arrivals(at, streams.addresses(rng, len(at)), np.full(len(at), line.rtt), line.loss, line.answers)
    where = streams.Server(limit=LIMIT, cookies=line.cookies, accept_limit=LIMIT)
    scene = streams.Scene(servers=[(where, [traffic])], first=1.0, last=float(seconds - 1))
    return streams.samples(scene, 3)


def each_second(samples: list[Sample], name: str) -> np.ndarray:
    """How much a count grew in each second, or half-open entries at each; after the first, in which it settles."""
    if name == "half_open":
        return np.array([sample.listeners[0].half_open for sample in samples[70:]])
    counts = [getattr(sample.listeners[0].counts, name) for sample in samples[70:]]
    return np.diff(counts)


@pytest.mark.parametrize("name", LINES)
def test_generated_streams_are_distributed_as_simulated_ones(name: str) -> None:
    line = LINES[name]
    sim, gen = simulated(line, 60 * MINUTES), generated(line, 60 * MINUTES)
    assert len(sim) == len(gen)
    for count in (*COUNTS, "half_open"):
        ours, theirs = each_second(gen, count), each_second(sim, count)
        # Two Poisson counts of 1,130 seconds differ by this much in their means by chance alone, one time in 10,000.
        spread = 4 * np.sqrt((ours.var() + theirs.var()) / len(ours)) * (3 if count == "half_open" else 1)
        assert abs(ours.mean() - theirs.mean()) <= spread + 0.06 * theirs.mean() + 0.02, (count, ours.mean(), theirs.mean())
        assert distance(ours, theirs) <= apart(line, count), (count, distance(ours, theirs))


def apart(line: Line, count: str) -> float:
    """How far the distributions may be apart. Half-open entries of neighbouring seconds are the same ones: where they live for
    63 s, 1,130 samples are as good as 18."""
    if count != "half_open":
        return 0.12
    return 0.4 if line.answers == streams.SILENT else 0.2


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Kolmogorov's and Smirnov's: the largest difference between the shares of values up to any value."""
    values = np.union1d(ours, theirs)
    shares = [np.searchsorted(np.sort(each), values, side="right") / len(each) for each in (ours, theirs)]
    return float(np.abs(shares[0] - shares[1]).max())


def test_another_rate_is_told_apart() -> None:
    """The comparison can fail: a tenth more of everything is seen."""
    line = LINES["clients"]
    ours = each_second(generated(line, 60 * MINUTES), "syns")
    theirs = each_second(generated(Line(line.rate * 1.3, line.loss, line.rtt), 60 * MINUTES), "syns")
    assert abs(ours.mean() - theirs.mean()) > 4 * np.sqrt((ours.var() + theirs.var()) / len(ours)) + 0.06 * theirs.mean() + 0.02


@pytest.mark.parametrize("name", [name for name in LINES if "clients" in name])
def test_simulated_clients_are_no_flood(name: str) -> None:
    watcher = Watcher()
    assert max(worst(watcher.add(sample)) for sample in simulated(LINES[name], 180)) is Level.NONE


def test_a_simulated_flood_is_one() -> None:
    watcher = Watcher()
    said = [worst(watcher.add(sample)) for sample in simulated(Line(50, 0.0, 0.1, streams.SILENT), 12)]
    assert said[2:] == [Level.FLOOD] * len(said[2:])
