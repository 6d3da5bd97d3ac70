"""A server too slow to accept, in a capture: its clients ask again and again, which no flood from forged addresses does."""

import random
from io import BytesIO

import pytest

from synfin.capture.headers import Tally
from synfin.capture.reader import Capture
from synfin.engine.config import TcpConfig
from synfin.sim.host import SimHost
from synfin.sim.world import World
from synfin.trace.pcapng import write_pcapng
from synfin.watch.captured import samples
from synfin.watch.verdict import Level, Watcher, worst

SECOND = 1_000_000_000
END = 25.0


async def accept_slowly(host: SimHost, pause: float) -> None:
    listener = host.socket()
    listener.bind(80)
    listener.listen(16)
    await host.sleep(8.0)
    while True:
        (await listener.accept()).close()
        await host.sleep(pause)


async def call(host: SimHost) -> None:
    ours = host.socket()
    ours.settimeout(30)
    try:
        await ours.connect(("server", 80))
        await ours.recv(1)
    except OSError:
        pass
    ours.close()


def captured(rate: float, pause: float, flood: float) -> list[Level]:
    """What is said each second of a capture of it, with `flood` forged SYNs a second from second 12 on."""
    draw = random.Random(1)
    with World(1, config=TcpConfig(syn_cookies="off", syn_backlog=128).replace(msl=0)) as world:
        server = world.host("server", "10.0.0.1")
        clients = [world.host(f"client{number}", f"10.{number}.7.9") for number in (1, 2, 3)]
        for client in clients:
            world.link(server, client, delay=0.02)
        server.spawn(accept_slowly(server, pause), background=True)
        world.run(0.0)

        def begin() -> None:
            client = draw.choice(clients)
            client.spawn(call(client), background=True)

        at = 0.1
        while at < END:
            world.call_at(at, begin)
            at += draw.expovariate(rate)
        if flood:
            world.flood(server, rate=flood, duration=10, at=12.0, port=80)
        world.run(END)
        assert world.trace is not None
        target = BytesIO()
        write_pcapng(world.trace, target)
    watcher = Watcher()
    taken = samples(Capture(BytesIO(target.getvalue())), SECOND, Tally())
    return [worst(watcher.add(sample)) for sample in taken]


@pytest.mark.parametrize(("rate", "pause"), [(4, 0.4), (20, 0.4), (50, 0.1)])
def test_clients_who_ask_again_are_no_flood(rate: float, pause: float) -> None:
    assert Level.FLOOD not in captured(rate, pause, 0)


def test_among_them_a_flood_is_one_all_the_same() -> None:
    said = captured(10, 0.0, 200)
    assert Level.FLOOD not in said[:12]
    assert Level.FLOOD in said[12:15]
