"""The liveness check over what carries single messages: UDP of the kernel's, and in simulation a carrier with the same faults.

Both go through `Faults`, which loses, delays, repeats and reorders, or cuts one direction: the kernel's datagrams by a relay
between the two sides. Times are short over the kernel, and the real ones, 5 and 60 s, in simulation.
"""

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import pytest

from synfin.channels import livenessaio, livenessblocking
from synfin.channels.liveness import LAST, QUESTION, Message, Outcome, Resting
from synfin.channels.livenessaio import Checker, UdpPeer, UdpPeers
from tests.channels.grounds import Ground, KernelGround, SimGround


class Faults:
    """What happens to each message: after which delays it arrives, if ever. `cut` are the sides that are not heard."""

    def __init__(
        self, seed: int = 1, *, loss: float = 0.0, repeat: float = 0.0, delay: tuple[float, float] = (0.01, 0.01),
        cut: frozenset[int] = frozenset(),
    ) -> None:  # fmt: skip
        self.draw = random.Random(seed)
        self.loss = loss
        self.repeat = repeat
        self.delay = delay
        self.cut = cut

    def delays(self, side: int) -> list[float]:
        """The delays of the copies of a message that `side` sends."""
        copies = 2 if self.draw.random() < self.repeat else 1
        found = [self.draw.uniform(*self.delay) for _ in range(copies) if self.draw.random() >= self.loss]
        return [] if side in self.cut else found


class Carrier:
    """Two sides and what is between them. `patience` and `rest` are theirs, in seconds."""

    def __init__(self, ground: Ground, patience: float, rest: float) -> None:
        self.ground = ground
        self.patience = patience
        self.rest = rest
        self.faults = Faults()
        self.sides: list[Checker] = []
        self.sent: list[tuple[int, bytes]] = []
        self.arrived = [0, 0]  # at each side
        self.told: list[list[Outcome | None]] = [[], []]

    def run(self, program: Callable[[], Any], faults: Faults) -> Any:
        """Run `program()` between two sides."""
        self.faults = faults

        async def opened() -> Any:
            await self.open()
            try:
                return await program()
            finally:
                await self.close()

        return self.ground.run(opened)

    async def open(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    def pass_on(self, side: int, data: bytes, arrive: Callable[[int, bytes], None]) -> None:
        """`side` has sent `data`."""
        self.sent.append((side, data))
        for delay in self.faults.delays(side):
            asyncio.get_running_loop().call_later(delay, arrive, 1 - side, data)


class Simulated(Carrier):
    """Messages in virtual time."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__(SimGround(seed), livenessaio.PATIENCE, livenessaio.REST)

    async def open(self) -> None:
        for side in (0, 1):
            told = self.told[side]
            self.sides.append(
                Checker(lambda data, side=side: self.send(side, data), lambda one, told=told: told.append(one.outcome))  # type: ignore[misc]
            )

    def send(self, side: int, data: bytes) -> None:
        self.pass_on(side, data, self.arrive)

    def arrive(self, side: int, data: bytes) -> None:
        self.arrived[side] += 1
        self.sides[side].received(data)

    async def close(self) -> None:
        for each in self.sides:
            each.close()
        await asyncio.sleep(1000)  # what is on its way arrives


class Datagrams(Carrier):
    """UDP over the kernel's sockets; a relay with two sockets, one for each side, stands between them."""

    def __init__(self) -> None:
        super().__init__(KernelGround(), 0.3, 0.3)
        self.peers: list[UdpPeer] = []
        self.relays: list[Any] = []
        self.open_relays = True

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        for side in (0, 1):
            relay, _ = await loop.create_datagram_endpoint(lambda side=side: _Relay(self, side), local_addr=("127.0.0.1", 0))  # type: ignore[misc]
            told = self.told[side]
            peer = await livenessaio.connect_udp(
                *relay.get_extra_info("sockname"), lambda _, one, told=told: told.append(one.outcome), patience=self.patience,
                rest=self.rest,
            )  # fmt: skip
            peer.datagram_received = self.counting(side, peer.datagram_received)  # type: ignore[method-assign]
            self.relays.append(relay)
            self.peers.append(peer)
            self.sides.append(peer.peer())

    def counting(self, side: int, received: Callable[[bytes, Any], None]) -> Callable[[bytes, Any], None]:
        def counted(data: bytes, addr: Any) -> None:
            self.arrived[side] += 1
            received(data, addr)

        return counted

    def arrive(self, side: int, data: bytes) -> None:
        if self.open_relays:
            self.relays[side].sendto(data, self.peers[side].transport.get_extra_info("sockname"))

    async def close(self) -> None:
        self.open_relays = False
        for each in (*self.peers, *self.relays):
            each.close()
        await asyncio.sleep(self.faults.delay[1] + 0.01)  # what is on its way comes to nothing


class _Relay(asyncio.DatagramProtocol):
    def __init__(self, carrier: Datagrams, side: int) -> None:
        self.carrier = carrier
        self.side = side

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.carrier.pass_on(self.side, data, self.carrier.arrive)


@pytest.fixture(params=[Simulated, Datagrams])
def between(request: pytest.FixtureRequest) -> Carrier:
    made: Carrier = request.param()
    return made


async def settled(carrier: Carrier) -> None:
    """Until what is on its way has arrived and every patience is over."""
    await asyncio.sleep(carrier.patience * 2.5)


def test_either_side_may_ask_and_in_three_messages_both_know_both_directions(between: Carrier) -> None:
    async def program() -> list[Outcome | None]:
        found = []
        for side in (0, 1, 1, 0):
            found.append((await between.sides[side].check()).outcome)
            await asyncio.sleep(0.05)  # the third message arrives
        return found

    assert between.run(program, Faults()) == [Outcome.BOTH] * 4
    assert len(between.sent) == 12
    assert [told.count(Outcome.BOTH) for told in between.told] == [4, 4]
    assert [set(told) for told in between.told] == [{None, Outcome.BOTH}] * 2


def test_when_both_ask_at_once_both_checks_end_in_four_messages(between: Carrier) -> None:
    async def program() -> Any:
        both = await asyncio.gather(*(side.check() for side in between.sides))
        await settled(between)
        return [one.outcome for one in both]

    assert between.run(program, Faults()) == [Outcome.BOTH] * 2
    assert len(between.sent) == 4
    assert [told.count(Outcome.BOTH) for told in between.told] == [1, 1]


@pytest.mark.parametrize(
    ("cut", "asker", "answerer"),
    [
        ((), [Outcome.BOTH], [None, Outcome.BOTH]), ((0,), [Outcome.DOWN], []),
        ((1,), [Outcome.DOWN], [None, Outcome.UNCONFIRMED]), ((0, 1), [Outcome.DOWN], []),
    ],
)  # fmt: skip
def test_which_direction_is_cut_decides_who_knows_what(
    between: Carrier, cut: tuple[int, ...], asker: list[Outcome], answerer: list[Outcome | None]
) -> None:
    async def program() -> float:
        began = asyncio.get_running_loop().time()
        await between.sides[0].check()
        took = asyncio.get_running_loop().time() - began
        await settled(between)
        return took

    took = between.run(program, Faults(cut=frozenset(cut)))
    assert between.told == [asker, answerer]
    expected = between.patience if asker == [Outcome.DOWN] else 0.02
    assert took == pytest.approx(expected, abs=1e-6 if between.ground.virtual else 0.2)


def test_after_a_check_that_failed_a_side_rests_and_then_asks_again(between: Carrier) -> None:
    async def program() -> Any:
        await between.sides[0].check()
        with pytest.raises(Resting, match="resting for"):
            await between.sides[0].check()
        assert between.sides[0].ask() is False
        between.faults.cut = frozenset()
        await asyncio.sleep(between.rest + 0.01)
        return (await between.sides[0].check()).outcome

    assert between.run(program, Faults(cut=frozenset({1}))) is Outcome.BOTH


def test_the_answerer_rests_too_when_it_was_not_confirmed_and_still_answers(between: Carrier) -> None:
    async def program() -> Any:
        between.sides[0].ask()
        await asyncio.sleep(between.patience * 1.5)  # both are out of patience
        with pytest.raises(Resting):
            await between.sides[1].check()
        between.faults.cut = frozenset()
        await asyncio.sleep(between.rest)
        return (await between.sides[0].check()).outcome

    assert between.run(program, Faults(cut=frozenset({1}))) is Outcome.BOTH
    assert between.told[1][:2] == [None, Outcome.UNCONFIRMED]


@pytest.mark.parametrize("seed", range(20))
def test_over_a_carrier_with_faults_every_check_ends_in_time_and_claims_nothing_false(seed: int) -> None:
    """In virtual time, with delays up to 8 s."""
    _hold_to_its_word(Simulated(seed), seed, 3.0, 8.0, checks=20)


@pytest.mark.parametrize("seed", range(3))
def test_over_datagrams_with_faults_every_check_ends_in_time_and_claims_nothing_false(seed: int) -> None:
    carrier = Datagrams()
    carrier.patience, carrier.rest = 0.1, 0.05
    _hold_to_its_word(carrier, seed, 0.06, 0.15, checks=6)


def _hold_to_its_word(carrier: Carrier, seed: int, slow: float, slower: float, *, checks: int) -> None:
    draw = random.Random(seed)
    faults = Faults(seed, loss=draw.choice((0, 0.2, 0.6)), repeat=0.3, delay=(0.01, draw.choice((0.02, slow, slower))))

    async def program() -> list[tuple[Outcome | None, float]]:
        found, loop = [], asyncio.get_running_loop()
        for _ in range(checks):
            side = draw.randrange(2)
            began, arrived = loop.time(), carrier.arrived[side]
            try:
                learned = await carrier.sides[side].check()
            except Resting:
                await asyncio.sleep(carrier.rest)
                continue
            found.append((learned.outcome, loop.time() - began))
            assert learned.knowledge.hears <= (carrier.arrived[side] > arrived or not learned.asked)
            await asyncio.sleep(draw.uniform(0, carrier.rest / 3))
        await settled(carrier)
        return found

    found = carrier.run(program, faults)
    assert found
    bound = carrier.patience * 2 + (1e-6 if carrier.ground.virtual else 0.5)
    assert all(outcome is not None and took <= bound for outcome, took in found)


# What only UDP has: addresses


def test_strangers_change_nothing() -> None:
    async def program() -> Any:
        server = await livenessaio.listen_udp("127.0.0.1", 0)
        address = server.transport.get_extra_info("sockname")
        peer = await livenessaio.connect_udp(*address)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"garbage", address)
            stranger.sendto(Message(LAST, 5, None).pack(), peer.transport.get_extra_info("sockname"))
            found = await peer.check()
            while sum(checker.liveness.counts.confirmed for checker in server.peers.values()) < 1:
                await asyncio.sleep(0.01)
        counts = [checker.liveness.counts for checker in server.peers.values()]
        ours = peer.peer().liveness.counts
        peer.close()
        server.close()
        await asyncio.sleep(0.01)
        return found.outcome, [(one.garbage, one.confirmed) for one in counts], (ours.wrong, ours.late, ours.garbage)

    assert KernelGround().run(program) == (Outcome.BOTH, [(1, 0), (0, 1)], (0, 0, 0))


def test_that_nobody_listens_proves_nothing_and_patience_decides() -> None:
    async def program() -> Any:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
            nobody.bind(("127.0.0.1", 0))
            address = nobody.getsockname()
        peer = await livenessaio.connect_udp(*address, patience=0.1, rest=0.1)  # the kernel answers by ICMP: port unreachable
        learned = await peer.check()
        errors = peer.errors
        peer.close()
        await asyncio.sleep(0.01)
        return learned.outcome, errors

    assert KernelGround().run(program) == (Outcome.DOWN, 1)


def test_a_listener_keeps_no_more_than_its_number_of_peers() -> None:
    async def program() -> Any:
        server = await livenessaio.listen_udp("127.0.0.1", 0)
        for number in range(livenessaio.PEERS + 10):
            server.datagram_received(Message(QUESTION, None, number).pack(), ("127.0.0.1", 9))
            server.datagram_received(Message(QUESTION, None, number).pack(), ("127.0.0.1", 1024 + number))
        kept = len(server.peers), ("127.0.0.1", 9) in server.peers, server.forgotten
        server.close()
        await asyncio.sleep(0.01)
        return kept

    assert KernelGround().run(program) == (livenessaio.PEERS, True, 11)


def test_what_the_socket_has_no_room_for_is_dropped_and_not_kept() -> None:
    async def program() -> None:
        peers = UdpPeers()
        peers.connection_made(MagicMock(is_closing=lambda: False))
        peers.send(b"1", 9)
        peers.pause_writing()
        peers.send(b"2", 9)
        peers.resume_writing()
        peers.send(b"3", 9)
        assert [call.args for call in peers.transport.sendto.call_args_list] == [(b"1", 9), (b"3", 9)]  # type: ignore[attr-defined]
        assert peers.dropped == 1

    asyncio.run(program())


def test_a_thread_checks_over_udp_and_finds_a_silent_path_down() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        silent.bind(("127.0.0.1", 0))
        ours.connect(silent.getsockname())
        peer = livenessblocking.over_udp(ours, patience=0.05, rest=60)
        assert peer.check().outcome is Outcome.DOWN
        with pytest.raises(Resting):
            peer.check()


def test_a_thread_and_an_event_loop_check_each_other_over_udp() -> None:
    async def program() -> Any:
        heard: list[Outcome | None] = []
        server = await livenessaio.listen_udp("127.0.0.1", 0, lambda _, one: heard.append(one.outcome))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            ours.connect(server.transport.get_extra_info("sockname"))
            peer = livenessblocking.over_udp(ours)
            found = [(await asyncio.to_thread(peer.check)).outcome]
            asked = asyncio.ensure_future(server.peer(ours.getsockname()).check())
            found += await asyncio.to_thread(lambda: [one.outcome for one in peer.listen(0.3)])
            found.append((await asked).outcome)
        server.close()
        await asyncio.sleep(0.01)
        return found, heard

    both = Outcome.BOTH
    found, heard = asyncio.run(program())
    assert found == [both, None, both, both]
    assert heard == [None, both, both]


def test_a_thread_whose_datagrams_nobody_takes_is_out_of_patience_in_time() -> None:
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        nobody = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        nobody.bind(("127.0.0.1", 0))
        ours.connect(nobody.getsockname())
        nobody.close()
        assert livenessblocking.over_udp(ours, patience=0.1).check().outcome is Outcome.DOWN  # refused, and asked on
