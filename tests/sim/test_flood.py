"""The simulated SYN flood: how many SYNs, when, from whom, and what comes back to hosts that exist."""

import ipaddress

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.errors import UsageError
from synfin.engine.segment import RST, SYN
from synfin.sim.world import World
from synfin.trace.events import SegmentSent

NO_COOKIES = TcpConfig(syn_cookies="off")


def flooded(seed: int = 1, until: float = 3.0, backlog: int = 100_000, **parameters: object) -> tuple[World, list[SegmentSent]]:
    """A listening server under a flood; the world after `until` seconds, and what the flood has sent."""
    world = World(seed, config=NO_COOKIES.replace(syn_backlog=backlog))
    server, client = world.host("server"), world.host("client")
    world.link(server, client, delay=0.01)

    async def listen() -> None:
        listener = server.socket(parameters.get("version", 4))  # type: ignore[arg-type]
        listener.bind(80)
        listener.listen()
        await listener.accept()

    with world:
        world.spawn(listen(), background=True)
        world.flood("server", **{"rate": 100, "duration": 1.0, **parameters})  # type: ignore[arg-type]
        world.run(until)
    assert world.trace is not None
    return world, [event for event in world.trace if isinstance(event, SegmentSent) and event.host == "attacker"]


def test_a_flood_sends_so_many_syns_a_second_for_so_long_and_evenly() -> None:
    _, sent = flooded(rate=250, duration=2.0, at=0.5)
    assert len(sent) == 500
    assert all(event.flags == SYN for event in sent)
    assert [event.time for event in sent] == [500_000_000 + number * 4_000_000 for number in range(500)]


def test_random_sources_are_hosts_of_no_one_and_hardly_ever_the_same() -> None:
    world, sent = flooded(rate=1000)
    sources = [bytes(event.view.source) for event in sent]
    assert len(set(sources)) >= 999
    assert len({source[0] for source in sources}) > 200
    assert not set(sources) & set(world.network.addresses)
    assert all(0 < source[0] < 224 and source[0] != 127 for source in sources)


@pytest.mark.parametrize(("sources", "version"), [("198.51.0.0/16", 4), ("203.0.113.7", 4), ("2001:db8::/32", 6)])
def test_sources_come_from_the_prefix_that_was_asked_for(sources: str, version: int) -> None:
    _, sent = flooded(sources=sources, version=version)
    wanted = ipaddress.ip_network(sources)
    assert all(ipaddress.ip_address(bytes(event.view.source)) in wanted for event in sent)
    assert len({event.view.source_port for event in sent}) > 90


def test_nobody_answers_and_each_entry_stays_until_its_retries_are_used_up() -> None:
    world, _ = flooded(until=63.0)
    listener = next(iter(world.hosts["server"].stack.sockets()))
    assert listener.half_open == 100  # type: ignore[attr-defined]
    world.run(64.02)
    assert listener.half_open == 0  # type: ignore[attr-defined]
    assert world.hosts["server"].stack.counters.failed_attempts == 100


def test_hosts_that_exist_reset_what_they_never_asked_for() -> None:
    world, sent = flooded(answering=1.0)
    resets = [event for event in sent if event.flags & RST]
    assert len(resets) == 100
    listener = next(iter(world.hosts["server"].stack.sockets()))
    assert listener.half_open == 0  # type: ignore[attr-defined]
    assert world.hosts["server"].stack.counters.resets_in == 100


def test_a_share_of_the_hosts_exists() -> None:
    _, sent = flooded(answering=0.3, rate=1000)
    resets = sum(bool(event.flags & RST) for event in sent)
    assert 230 <= resets <= 370


def test_the_same_seed_gives_the_same_flood_and_another_seed_another() -> None:
    first, second, third = (flooded(seed)[0].replay_hash for seed in (7, 7, 8))
    assert first == second
    assert first != third


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"rate": 0}, "rate is above 0"),
        ({"duration": 0}, "duration is above 0"),
        ({"sources": "everywhere"}, "sources is"),
        ({"sources": "2001:db8::/32"}, "not of the target's IP version"),
        ({"answering": 2}, "answering"),
        ({"port": 0}, "no port 0"),
    ],
)
def test_a_flood_that_makes_no_sense_is_refused(parameters: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        flooded(**parameters)  # type: ignore[arg-type]
