"""A run that uses every fault, on the simulator's own API; prints its two hashes. Run by test_replay under many Pythons."""

import sys

from synfin.sim.host import SimHost
from synfin.sim.program import Socket
from synfin.sim.world import World


async def server(host: SimHost, version: int) -> None:
    listener = host.socket(version)
    listener.bind(80 + version)
    listener.listen()
    while True:
        host.spawn(echo(await listener.accept()), background=True)


async def echo(s: Socket) -> None:
    while data := await s.recv(1000):
        await s.send(data[::-1])
    s.close()


async def client(host: SimHost, version: int, number: int) -> bytes:
    await host.sleep(number / 10)
    s = host.socket(version)
    await s.connect(("server", 80 + version))
    for size in (1, 10, 3000, 20_000):
        await s.send(bytes(number + i & 255 for i in range(size)))
    s.shutdown()
    answer = await s.recv_all()
    s.close()
    return answer


def run(seed: int, *, trace: bool) -> World:
    world = World(seed, trace=trace, replay=True, checksums=trace)
    hosts = [world.host(name) for name in ("client", "router", "server")]
    link = world.link(
        "client", "router", delay=0.01, jitter=0.003, loss=0.05, duplicate=0.02, reorder=0.05, corrupt=0.02, burst=(0.01, 3)
    )
    world.link("router", "server", bandwidth=2_000_000, queue=20, delay=0.005, duplex="half", turnaround=0.001)
    link.drop(1, where=lambda packet: packet.syn)
    link.cut(at=1)
    link.heal(at=1.3)
    for version in (4, 6):
        hosts[2].spawn(server(hosts[2], version), background=True)
        for number in range(3):
            hosts[0].spawn(client(hosts[0], version, number))
    world.run()
    return world


if __name__ == "__main__":
    world = run(int(sys.argv[1]), trace=len(sys.argv) > 2)
    print(world.replay_hash, world.payload_hash)
