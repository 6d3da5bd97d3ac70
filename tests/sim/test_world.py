"""Worlds of hosts: addresses, ways through the network, whole connections, and what may befall a host."""

from collections.abc import Awaitable, Callable

import pytest

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.errors import DropReason, UsageError
from synfin.engine.segment import ACK, RST, SYN
from synfin.engine.state import State
from synfin.sim.faults import SeenPacket
from synfin.sim.host import SimHost
from synfin.sim.program import Socket
from synfin.sim.world import World
from synfin.trace.events import Called, Fault, SegmentDelivered, SegmentLost, SegmentSent


def two(seed: int = 0, *, trace: bool = False, isn: object = None, config: TcpConfig | None = None, **link: object) -> World:
    """Two hosts, client and server, and a link."""
    world = World(seed, trace=trace, isn=isn, config=config)  # type: ignore[arg-type]
    world.host("client")
    world.host("server")
    world.link("client", "server", **link)
    return world


async def serve(host: SimHost, work: Callable[[Socket], Awaitable[None]], port: int = 80) -> None:
    listener = host.socket()
    listener.bind(port)
    listener.listen()
    await work(await listener.accept())
    listener.close()


async def echo(s: Socket) -> None:
    while data := await s.recv():
        await s.send(data)
    s.close()


async def ask(host: SimHost, question: bytes) -> bytes:
    s = host.socket()
    await s.connect(("server", 80))
    await s.send(question)
    s.shutdown()
    answer = await s.recv_all()
    s.close()
    return answer


def leftovers(world: World) -> dict[str, object]:
    """What is left of each host's stack."""
    return {name: ([str(e.state) for e in h.stack.sockets()], h.stack.next_deadline()) for name, h in world.hosts.items()}


# Making


def test_hosts_get_the_next_addresses_of_both_versions() -> None:
    world = World(trace=False)
    assert world.host("a").addresses == (bytes([10, 0, 0, 1]), bytes.fromhex("fd" + "00" * 14 + "01"))
    assert world.host("b", "192.0.2.7").addresses == (bytes([192, 0, 2, 7]),)
    assert world.host("c").addresses[0] == bytes([10, 0, 0, 3])


def test_an_address_that_somebody_took_is_skipped() -> None:
    world = World(trace=False)
    world.host("a", "10.0.0.2")
    assert world.host("b").addresses[0] == bytes([10, 0, 0, 3])


@pytest.mark.parametrize(
    ("name", "addresses", "rule"),
    [
        ("a", (), "there is a node 'a' already"),
        ("b", ("10.0.0.1",), "10.0.0.1 belongs to 'a'"),
        ("b", ("10.0.0.256",), "is not an IPv4 or IPv6 address"),
        ("", (), "a host has a name"),
    ],
)
def test_a_name_or_an_address_is_given_once(name: str, addresses: tuple[str, ...], rule: str) -> None:
    world = World(trace=False)
    world.host("a")
    with pytest.raises(UsageError, match=rule):
        world.host(name, *addresses)


def test_a_link_to_an_unknown_host_names_the_nearest() -> None:
    world = World(trace=False)
    world.host("client")
    with pytest.raises(UsageError, match="no host 'cleint'; nearest: 'client'"):
        world.link("cleint", "server")


def test_a_link_joins_two_different_hosts() -> None:
    world = World(trace=False)
    world.host("a")
    with pytest.raises(UsageError, match="two different nodes"):
        world.link("a", "a")


@pytest.mark.parametrize("isn", [-1, 1 << 32, (1, "2"), {"a": True}])
def test_an_initial_sequence_number_has_32_bits(isn: object) -> None:
    with pytest.raises(UsageError, match="an initial sequence number is between 0 and"):
        World(isn=isn)  # type: ignore[arg-type]


def test_names_are_resolved_to_all_addresses() -> None:
    world = two()
    client, server = world.hosts["client"], world.hosts["server"]
    assert client.resolve("server") == list(server.addresses)
    assert client.resolve("localhost") == [bytes((127, 0, 0, 1)), bytes(15) + b"\1"]
    assert client.resolve("192.0.2.1") == [bytes([192, 0, 2, 1])]
    assert client.resolve("nobody") == []


# Connections


@pytest.mark.parametrize("trace", [False, True])
def test_a_question_is_answered(trace: bool) -> None:
    world = two(trace=trace, delay=0.01)
    world.spawn(serve(world.hosts["server"], echo))
    task = world.spawn(ask(world.hosts["client"], b"1+1?"))
    world.run()
    assert task.result() == b"1+1?"


@pytest.mark.parametrize("version", [4, 6])
def test_both_versions_of_ip_carry_a_connection(version: int) -> None:
    world = two(delay=0.01)

    async def server(host: SimHost) -> bytes:
        listener = host.socket(version)
        listener.bind(80)
        listener.listen()
        return await (await listener.accept()).recv()

    async def client(host: SimHost) -> None:
        s = host.socket(version)
        await s.connect(("server", 80))
        await s.send(b"hello")

    task = world.spawn(server(world.hosts["server"]))
    world.spawn(client(world.hosts["client"]))
    world.run()
    assert task.result() == b"hello"


def test_the_handshake_takes_one_round_trip_and_a_connect_returns_then() -> None:
    world = two(delay=0.01)

    async def client(host: SimHost) -> tuple[float, State]:
        s = host.socket()
        await s.connect(("server", 80))
        return world.now, s.state

    world.spawn(serve(world.hosts["server"], echo), background=True)
    task = world.spawn(client(world.hosts["client"]))
    world.run()
    assert task.result() == (0.02, State.ESTABLISHED)


def test_a_refused_connect_raises_after_one_round_trip() -> None:
    world = two(delay=0.01)

    async def client(host: SimHost) -> float:
        s = host.socket()
        with pytest.raises(ConnectionRefusedError):
            await s.connect(("server", 81))
        return world.now

    task = world.spawn(client(world.hosts["client"]))
    world.run()
    assert task.result() == 0.02


def test_a_connect_to_an_unknown_name_raises_gaierror() -> None:
    world = two()
    world.spawn(world.hosts["client"].socket().connect(("nobody", 80)))
    with pytest.raises(OSError, match="'nobody' is no host"):
        world.run()


def test_when_all_is_idle_nothing_is_left_of_a_connection() -> None:
    world = two(delay=0.01)
    world.spawn(serve(world.hosts["server"], echo))
    world.spawn(ask(world.hosts["client"], bytes(100_000)))
    world.run_until_idle()
    assert leftovers(world) == {"client": ([], NEVER), "server": ([], NEVER)}
    assert world.now > 120  # 2MSL


def test_a_socket_shows_its_state_from_the_first_to_the_last() -> None:
    world = two(delay=0.01)
    seen: list[tuple[float, State]] = []

    async def client(host: SimHost) -> None:
        s = host.socket()
        world.call_at(0.01, lambda: seen.append((world.now, s.state)))
        await s.connect(("server", 80))
        seen.append((world.now, s.state))
        s.close()
        for moment in (0.03, 0.0405, 0.1, 130):
            world.call_at(moment, lambda: seen.append((world.now, s.state)))

    world.spawn(serve(world.hosts["server"], echo))
    world.spawn(client(world.hosts["client"]))
    world.run(200)
    assert seen == [
        (0.01, State.SYN_SENT), (0.02, State.ESTABLISHED), (0.03, State.FIN_WAIT_1), (0.0405, State.TIME_WAIT),
        (0.1, State.TIME_WAIT), (130.0, State.CLOSED),
    ]  # fmt: skip


def test_a_call_waits_no_longer_than_its_timeout() -> None:
    world = two(delay=0.01)

    async def client(host: SimHost) -> float:
        s = host.socket()
        await s.connect(("server", 80))
        s.settimeout(2.5)
        with pytest.raises(TimeoutError, match="timed out"):
            await s.recv()
        return world.now

    world.spawn(serve(world.hosts["server"], echo), background=True)
    task = world.spawn(client(world.hosts["client"]))
    world.run()
    assert task.result() == 2.52


def test_urgent_data_arrives_apart() -> None:
    world = two(delay=0.01)

    async def server(host: SimHost) -> tuple[bytes, bytes]:
        listener = host.socket()
        listener.bind(80)
        listener.listen()
        s = await listener.accept()
        return await s.recv_oob(), await s.recv()

    async def client(host: SimHost) -> None:
        s = host.socket()
        await s.connect(("server", 80))
        await s.send_oob(b"!")
        await s.send(b"rest")

    task = world.spawn(server(world.hosts["server"]))
    world.spawn(client(world.hosts["client"]))
    world.run()
    assert task.result() == (b"!", b"rest")


def test_an_abort_resets_the_peer() -> None:
    world = two(delay=0.01)

    async def client(host: SimHost) -> None:
        s = host.socket()
        await s.connect(("server", 80))
        await host.sleep(1)
        s.abort()

    async def reset(s: Socket) -> None:
        with pytest.raises(ConnectionResetError):
            await s.recv()

    world.spawn(serve(world.hosts["server"], reset))
    world.spawn(client(world.hosts["client"]))
    world.run()
    assert world.now == pytest.approx(1.03)


def test_a_condition_on_a_socket_can_be_awaited() -> None:
    world = two(delay=0.01)

    async def client(host: SimHost) -> float:
        s = host.socket()
        await s.connect(("server", 80))
        await s.until(lambda s: s.state is State.CLOSE_WAIT)
        return world.now

    async def hang_up(s: Socket) -> None:
        s.close()

    world.spawn(serve(world.hosts["server"], hang_up))
    task = world.spawn(client(world.hosts["client"]))
    world.run()
    assert task.result() == 0.04


def test_the_given_initial_sequence_numbers_are_used_client_first() -> None:
    world = two(trace=True, isn=(1234567, 7654321), delay=0.01)
    world.spawn(serve(world.hosts["server"], echo))
    world.spawn(ask(world.hosts["client"], b"?"))
    world.run()
    sent = [event for event in world.trace or () if isinstance(event, SegmentSent)]
    assert [(e.host, e.seq, e.ack) for e in sent[:3]] == [
        ("client", 1234567, 0), ("server", 7654321, 1234568), ("client", 1234568, 7654322),
    ]  # fmt: skip


def test_initial_sequence_numbers_may_be_given_for_a_host() -> None:
    world = two(trace=True, isn={"server": 99}, delay=0.01)
    world.spawn(serve(world.hosts["server"], echo))
    world.spawn(ask(world.hosts["client"], b"?"))
    world.run()
    sent = [event for event in world.trace or () if isinstance(event, SegmentSent)]
    assert sent[1].seq == 99


def test_loss_costs_time_and_no_bytes() -> None:
    world = two(delay=0.01, loss=0.2)
    data = bytes(range(256)) * 200
    world.spawn(serve(world.hosts["server"], echo))
    task = world.spawn(ask(world.hosts["client"], data))
    world.run()
    assert task.result() == data
    assert world.network.lost["loss"] > 5


def test_damaged_packets_are_dropped_by_their_checksum_even_where_checksums_are_left_out() -> None:
    world = two(delay=0.01, corrupt=0.2)
    data = bytes(range(256)) * 200
    world.spawn(serve(world.hosts["server"], echo))
    task = world.spawn(ask(world.hosts["client"], data))
    world.run()
    assert task.result() == data
    drops = world.hosts["server"].stack.counters.drops
    assert drops[DropReason.TCP_CHECKSUM] > 3


# Ways


def test_packets_go_through_switches() -> None:
    world = World(trace=True)
    world.host("client")
    world.host("server")
    world.switch("s1")
    world.switch("s2")
    for pair in (("client", "s1"), ("s1", "s2"), ("s2", "server")):
        world.link(*pair, delay=0.01)
    world.spawn(serve(world.hosts["server"], echo))
    task = world.spawn(ask(world.hosts["client"], b"far"))
    world.run()
    assert task.result() == b"far"
    delivered = [event for event in world.trace or () if isinstance(event, SegmentDelivered)]
    assert (delivered[0].host, delivered[0].peer, delivered[0].time) == ("server", "client", 30_000_000)


def test_packets_go_through_other_hosts_by_the_fewest_links() -> None:
    world = World(trace=False)
    for name in ("client", "r1", "r2", "server"):
        world.host(name)
    long = [world.link(*pair, delay=0.001) for pair in (("client", "r1"), ("r1", "r2"), ("r2", "server"))]
    short = [world.link(*pair, delay=0.1) for pair in (("r1", "server"),)]
    world.spawn(serve(world.hosts["server"], echo))
    task = world.spawn(ask(world.hosts["client"], b"?"))
    world.run()
    assert task.result() == b"?"
    assert long[1].forward.packets == 0
    assert short[0].forward.packets > 0


def test_a_packet_that_nothing_leads_to_is_lost() -> None:
    world = World(trace=True)
    world.host("client")
    world.host("island")

    async def client(host: SimHost) -> None:
        s = host.socket()
        s.settimeout(0.5)
        with pytest.raises(TimeoutError):
            await s.connect(("island", 80))

    world.spawn(client(world.hosts["client"]))
    world.run()
    lost = [event for event in world.trace or () if isinstance(event, SegmentLost)]
    assert [(e.host, e.peer, e.cause) for e in lost] == [("client", "island", "no route")]


def test_the_smallest_mtu_of_a_hosts_links_decides_its_segments() -> None:
    world = World(trace=True)
    for name in ("client", "server"):
        world.host(name)
    world.link("client", "server", mtu=576)
    world.spawn(serve(world.hosts["server"], echo))
    world.spawn(ask(world.hosts["client"], bytes(5000)))
    world.run()
    assert max(len(e.data) for e in world.trace or () if isinstance(e, SegmentSent)) == 576


# What may befall a host


def quiet_client(world: World) -> None:
    """Connects, then waits for whatever may come."""

    async def client(host: SimHost) -> None:
        s = host.socket()
        await s.connect(("server", 80))
        await s.recv()

    world.spawn(client(world.hosts["client"]), "client", background=True)


def test_a_crash_sends_nothing_and_what_arrives_is_lost() -> None:
    world = two(trace=True, delay=0.01)
    server = world.hosts["server"]
    server.spawn(serve(server, echo), "server")
    quiet_client(world)
    server.crash(at=1)
    server.restart(at=5)
    world.run(4)
    assert (server.state, server.down) == ("down", True)
    sent = [event for event in world.trace or () if isinstance(event, SegmentSent)]
    assert [e.flags for e in sent] == [SYN, SYN | ACK, ACK]
    world.hosts["client"].inject("server", source_port=1, destination_port=80, flags="SYN")
    world.run(4.5)
    assert world.network.lost == {"host down": 1}
    faults = [(e.time, e.what, e.subject) for e in world.trace or () if isinstance(e, Fault)]
    assert faults == [(1_000_000_000, "host crashed", "server")]


def test_after_a_restart_the_old_connection_meets_a_reset() -> None:
    world = two(trace=True, delay=0.01)
    client, server = world.hosts["client"], world.hosts["server"]

    async def program() -> float:
        s = client.socket()
        await s.connect(("server", 80))
        await client.sleep(10)
        await s.send(b"are you there?")
        with pytest.raises(ConnectionResetError):
            await s.recv()
        return world.now

    server.spawn(serve(server, echo), "server")
    task = world.spawn(program())
    server.crash(at=1)
    server.restart(at=2)
    world.run()
    assert task.result() == pytest.approx(10.04)
    last = [event for event in world.trace or () if isinstance(event, SegmentSent)][-1]
    assert (last.host, last.flags) == ("server", RST)


def test_a_crash_ends_the_hosts_programs_and_those_who_use_its_sockets() -> None:
    world = two(delay=0.01)
    server = world.hosts["server"]
    cleaned: list[str] = []

    async def own() -> None:
        try:
            await server.sleep(100)
        finally:
            cleaned.append("own")

    mine = server.spawn(own())
    guest = world.spawn(serve(server, echo))
    server.crash(at=1)
    world.run()
    assert (mine.done, guest.done, cleaned, world.now) == (True, True, ["own"], 1.0)


def test_a_restarted_host_starts_empty_and_old_sockets_are_dead() -> None:
    world = two(delay=0.01)
    server = world.hosts["server"]
    old = server.socket()
    old.bind(80)
    old.listen()
    server.crash()
    server.restart()
    assert list(server.stack.sockets()) == []
    assert old.state is State.CLOSED
    old.close()
    fresh = server.socket()
    fresh.bind(80)
    fresh.listen()
    assert fresh.state is State.LISTEN


def test_a_silent_host_is_not_told_and_goes_on_trying() -> None:
    world = two(trace=True, delay=0.01)
    client, server = world.hosts["client"], world.hosts["server"]

    async def program() -> tuple[float, bytes]:
        s = client.socket()
        await s.connect(("server", 80))
        await client.sleep(2)
        await s.send(b"?")
        return await s.recv(), world.now

    world.spawn(serve(server, echo), background=True)
    task = world.spawn(program())
    server.silence(at=1)
    server.speak(at=10)
    world.run()
    answer, when = task.result()
    assert answer == b"?"
    assert when > 10
    assert world.network.lost["silent"] >= 3
    faults = [(e.time, e.what) for e in world.trace or () if isinstance(e, Fault)]
    assert faults == [(10**9, "host silent"), (10**10, "host speaks")]


@pytest.mark.parametrize(
    ("first", "then", "rule"),
    [
        ("crash", "crash", "is down already"),
        ("speak", "", "is not silent"),
        ("restart", "", "is not down"),
        ("silence", "silence", "is silent already"),
    ],
)
def test_what_cannot_befall_a_host_is_refused(first: str, then: str, rule: str) -> None:
    host = World(trace=False).host("a")
    with pytest.raises(UsageError, match=rule):
        for act in (first, then):
            if act:
                getattr(host, act)()


# By hand


def test_a_peer_may_be_played_by_hand() -> None:
    world = two(delay=0.01, isn=(1000, 2000))
    client, peer = world.hosts["client"], world.hosts["server"]

    async def by_hand() -> list[tuple[int, int]]:
        raw = peer.raw()
        syn = SeenPacket(await raw.recv())
        peer.inject(
            "client", source_port=80, destination_port=syn.source_port, flags="SYN,ACK", seq=5000, ack=syn.seq + 2
        )
        answer = SeenPacket(await raw.recv())
        return [(syn.flags, syn.seq), (answer.flags, answer.seq)]

    async def connect() -> None:
        s = client.socket()
        s.settimeout(0.5)
        with pytest.raises(TimeoutError):
            await s.connect(("server", 80))

    task = world.spawn(by_hand())
    world.spawn(connect())
    world.run()
    assert task.result() == [(SYN, 1000), (RST, 1002)]


def test_any_bytes_may_be_put_on_the_network() -> None:
    world = two(trace=True)
    client, server = world.hosts["client"], world.hosts["server"]
    client.inject_packet(b"")
    client.inject_packet(bytes.fromhex("45000014000000004006000000000000") + server.addresses[0])
    world.run_until_idle()
    assert world.network.lost == {"no route": 1}
    assert server.stack.counters.drops == {DropReason.IP_CHECKSUM: 1}


def test_a_forged_source_gets_its_answer_nowhere() -> None:
    world = two(trace=True, delay=0.01)
    server = world.hosts["server"]
    world.spawn(serve(server, echo), background=True)
    world.hosts["client"].inject("server", source="203.0.113.9", source_port=7, destination_port=80, flags="SYN")
    world.run(0.5)
    assert world.network.lost == {"no route": 1}


@pytest.mark.parametrize("flags", ["SIN", "SYN+ACK"])
def test_a_flag_that_does_not_exist_is_refused(flags: str) -> None:
    world = two()
    with pytest.raises(UsageError, match="no flag"):
        world.hosts["client"].inject("server", source_port=1, destination_port=2, flags=flags)


def test_the_calls_of_a_program_are_told_with_their_connection_from_socket_to_abort() -> None:
    world = World(seed=1)
    client, server = world.host("client"), world.host("server")
    world.link(client, server, delay=0.01)

    async def serve() -> None:
        listener = server.socket()
        listener.bind(80)
        listener.listen()
        await (await listener.accept()).recv()

    async def call() -> None:
        s = client.socket()
        await s.connect(("server", 80), b"early")
        s.abort()

    world.spawn(serve())
    world.spawn(call())
    world.run()
    assert world.trace is not None
    name = world.trace.connections()[-1]
    told = [(e.call, e.arguments) for e in world.trace.of(name) if isinstance(e, Called) and e.host == "client"]
    assert told == [("socket", "AF_INET"), ("connect", "10.0.0.2:80, b'early'"), ("abort", "")]
