"""When a flood has ended: its entries stay for a minute, and it is not called a flood again."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from synfin.control.rows import listeners
from synfin.engine.config import TcpConfig
from synfin.sim.host import SimHost
from synfin.sim.world import World
from synfin.watch.running import from_answer
from synfin.watch.sample import NOTHING, Counts, Sample
from synfin.watch.verdict import Level, Watcher, worst
from tests.watch.test_verdict_simulated import call, serve

BEGINS = 5
QUIET = 66  # seconds after its end: its last entry is given up after 63


def flooded(rate: float, seconds: int, limit: int, cookies: str) -> list[Sample]:
    """A server that five clients a second visit, and a flood from random addresses, as the server counts it."""
    config = TcpConfig().replace(syn_cookies=cookies, syn_backlog=limit, msl=0)
    taken: list[Sample] = []
    with World(1, config=config, trace=False) as world:
        server, client = world.host("server", "10.0.0.1"), world.host("client", "10.0.0.2")
        world.link(server, client, delay=0.02)
        server.spawn(serve(server), background=True)
        world.run(0.0)
        world.flood(server, rate=rate, duration=seconds, at=float(BEGINS), port=80)
        end = BEGINS + seconds + QUIET
        _visits(world, client, end)

        def look() -> None:
            taken.append(from_answer(listeners(server.stack, world.clock.now), world.clock.now, "-"))

        for second in range(1, end):
            world.call_at(float(second), look)
        world.run(float(end))
    return taken


def _visits(world: World, client: SimHost, end: float) -> None:
    draw, at = random.Random(2), 0.1
    while at < end:
        world.call_at(at, lambda: client.spawn(call(client), background=True))
        at += draw.expovariate(5)


def as_synfin(sample: Sample) -> Sample:
    return sample


def as_kernel(sample: Sample) -> Sample:
    """Counts of the namespace, none of SYNs; the listener has its limits."""
    [listener] = sample.listeners
    totals = replace(listener.counts, syns=None, evicted=None, expired=None)
    return replace(sample, source="kernel", totals=totals, listeners=(replace(listener, counts=NOTHING),))


def as_capture(sample: Sample) -> Sample:
    """What can be seen on the wire, and no limit."""
    [listener] = sample.listeners
    seen = {name: getattr(listener.counts, name) for name in ("syns", "syn_ack_repeats", "completed", "expired", "resets")}
    bare = replace(listener, counts=Counts(**seen), half_open_limit=None, accept_limit=None)
    return replace(sample, source="capture", totals=Counts(**seen), listeners=(bare,))


def as_table(sample: Sample) -> Sample:
    """Sockets alone."""
    [listener] = sample.listeners
    bare = replace(listener, counts=NOTHING, half_open_limit=None, accept_limit=None)
    return replace(sample, source="table", totals=NOTHING, listeners=(bare,))


VIEWS: dict[str, tuple[Callable[[Sample], Sample], int]] = {
    # and for how many seconds after its last SYN it may still be called one: the interval that is under way, and one round
    "synfin": (as_synfin, 3),
    "kernel": (as_kernel, 3),
    "capture": (as_capture, 3),
    "table": (as_table, 8),  # nothing but ages: the window has to pass
}


@pytest.mark.parametrize(
    ("rate", "seconds", "limit", "cookies"),
    [(500, 5, 4096, "pressure"), (50, 5, 4096, "off"), (20, 12, 512, "off"), (100, 8, 256, "pressure")],
)
def test_a_flood_is_called_one_while_it_lasts_and_not_again_in_the_minute_after(
    rate: float, seconds: int, limit: int, cookies: str
) -> None:
    taken = flooded(rate, seconds, limit, cookies)
    for name, (view, late) in VIEWS.items():
        watcher = Watcher()
        said = {round(sample.at / 1e9): worst(watcher.add(view(sample))) for sample in taken}
        called = [second for second, level in said.items() if level is Level.FLOOD]
        assert called, name
        assert BEGINS < called[0] <= BEGINS + 2, name
        assert called[-1] <= BEGINS + seconds + late, (name, called)
        assert said[max(said)] is Level.NONE, name
        assert {said[second] for second in range(1, BEGINS + 1)} == {Level.NONE}, name
