"""Local ports: bind(2)'s rules on conflicts, SO_REUSEADDR, and RFC 6056's choice of ephemeral ports."""

import itertools
import random

import pytest

from synfin.device.memory import MemoryDevice
from synfin.stack.addresses import local_port_of
from synfin.stack.errors import AddressInUse, AddressNotAvailable, InvalidAddress, NetworkUnreachable, StackError
from synfin.stack.ports import EPHEMERAL, Binding, Ports
from synfin.stack.stack import Stack
from tests.stack.harness import A4, A6, B4, B6, Net, make_stack

C4 = bytes((10, 0, 0, 3))
ANY4, ANY6 = bytes(4), bytes(16)


def stack(*addresses: bytes, ports: tuple[int, int] = EPHEMERAL, seed: int = 1) -> Stack:
    return make_stack(addresses or (A4, C4, A6), MemoryDevice(), isn=100, ephemeral_ports=ports, seed=seed)


# --- bind


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        (A4, A4, True), (A4, C4, False), (ANY4, A4, True), (A4, ANY4, True), (None, A4, True), (A6, None, True),
        (ANY4, ANY6, False), (ANY4, A6, False), (ANY6, A6, True), (ANY4, None, True), (None, None, True),
    ],
)  # fmt: skip
def test_two_bindings_conflict_when_they_share_an_address(first: bytes | None, second: bytes | None, conflict: bool) -> None:
    s = stack()
    held = s.bind((first, 80))
    assert (held.address, held.port) == (first, 80)
    if conflict:
        with pytest.raises(AddressInUse, match="port 80"):
            s.bind((second, 80))
        s.unbind(held)
    s.bind((second, 80))
    s.bind((second, 81))


@pytest.mark.parametrize(("a", "b", "conflict"), [(True, True, False), (True, False, True), (False, True, True)])
def test_bindings_that_both_allow_reuse_share_a_port_until_one_listens(a: bool, b: bool, conflict: bool) -> None:
    s = stack()
    first = s.bind((None, 80), reuse_address=a)
    if conflict:
        with pytest.raises(AddressInUse):
            s.bind((None, 80), reuse_address=b)
        return
    second = s.bind((None, 80), reuse_address=b)
    s.listen((None, 80), 8, 0, binding=first)
    with pytest.raises(AddressInUse, match="listens"):
        s.listen((None, 80), 8, 0, binding=second)
    with pytest.raises(AddressInUse):
        s.bind((None, 80), reuse_address=True)


def test_unbind_may_be_repeated_and_gives_the_port_back() -> None:
    s = stack()
    held = s.bind((None, 80))
    s.unbind(held)
    again = s.bind((None, 80))
    s.unbind(held)
    with pytest.raises(AddressInUse):
        s.bind((None, 80))
    s.unbind(again)


def test_a_closed_listener_gives_its_port_back() -> None:
    s = stack()
    listener = s.listen((None, 80), 8, 0)
    with pytest.raises(AddressInUse):
        s.listen((A4, 80), 8, 0, reuse_address=True)
    listener.close(0)
    s.attend(listener, 0)
    s.listen((A4, 80), 8, 0)


def test_port_0_binds_an_ephemeral_port_that_nobody_holds() -> None:
    s = stack(ports=(50_000, 50_003))
    ports = [s.bind((None, 0)).port for _ in range(3)]
    s.connect((A4, 0), (B4, 80), 0)
    assert len(set(ports)) == 3
    assert all(50_000 <= port <= 50_003 for port in ports)
    with pytest.raises(AddressInUse, match="ephemeral"):
        s.bind((None, 0))


@pytest.mark.parametrize(
    ("local", "error", "name"),
    [
        ((B4, 80), AddressNotAvailable, "EADDRNOTAVAIL"),
        ((b"\x7f\0\0", 80), InvalidAddress, "EINVAL"),
        ((A4, -1), InvalidAddress, "EINVAL"),
        ((A4, 65_536), InvalidAddress, "EINVAL"),
    ],
)
def test_bind_refuses_what_is_not_ours(local: tuple[bytes, int], error: type[StackError], name: str) -> None:
    with pytest.raises(error) as caught:
        stack().bind(local)
    assert caught.value.errno_name == name


def test_an_open_connection_holds_its_port_against_bind() -> None:
    net = Net()
    listener = net.listen()
    ours, theirs = net.open(listener, port=5000)
    for reuse in (False, True):
        with pytest.raises(AddressInUse):
            net.a.bind((None, 5000), reuse_address=reuse)
    net.a.bind((A6, 5000))
    listener.close(0)
    net.b.attend(listener, 0)
    with pytest.raises(AddressInUse):
        net.b.listen((None, 80), 8, 0)
    net.b.listen((None, 80), 8, 0, reuse_address=True)  # what a listener accepted is not in the way of its successor
    assert ours.key != theirs.key


def test_time_wait_holds_its_port_only_against_those_who_do_not_reuse() -> None:
    net = Net()
    listener = net.listen()
    ours, theirs = net.open(listener)
    listener.close(0)
    net.b.attend(listener, 0)
    net.close(net.b, theirs)
    net.run()
    net.close(net.a, ours)
    net.run()
    with pytest.raises(AddressInUse):
        net.b.bind((None, 80))
    net.b.bind((None, 80), reuse_address=True)


def test_port_0_does_not_fall_on_the_port_of_a_connection() -> None:
    s = stack(ports=(50_000, 50_001))
    used = local_port_of(s.connect((None, 0), (B4, 80), 0).key)
    assert s.bind((None, 0)).port == 100_001 - used


# --- connect


def test_connect_takes_a_binding_or_an_address_or_neither() -> None:
    s = stack()
    held = s.bind((C4, 0))
    assert s.connect((None, 0), (B4, 80), 0, binding=held).key[4:8] == C4
    assert s.connect((C4, 0), (B4, 80), 0).key[4:8] == C4
    assert s.connect((None, 0), (B4, 80), 0).key[4:8] == A4
    assert s.connect((ANY4, 0), (B4, 80), 0).key[4:8] == A4
    assert s.connect((None, 0), (B6, 80), 0).key[16:32] == A6
    assert local_port_of(s.connect((None, 7000), (B4, 80), 0).key) == 7000


@pytest.mark.parametrize(
    ("addresses", "local", "remote", "error"),
    [
        ((A4,), (None, 0), (B6, 80), NetworkUnreachable),
        ((A4,), (None, 0), (bytes((224, 0, 0, 1)), 80), NetworkUnreachable),
        ((A4,), (None, 0), (b"\xff" * 4, 80), NetworkUnreachable),
        ((A4,), (B4, 0), (B4, 80), AddressNotAvailable),
        ((A4,), (A6, 0), (B4, 80), InvalidAddress),
        ((A4,), (None, 0), (b"abc", 80), InvalidAddress),
        ((A4,), (None, 0), (B4, 0), AddressNotAvailable),
        ((A4,), (None, 65_536), (B4, 80), AddressNotAvailable),
    ],
)
def test_connect_refuses_what_cannot_be(
    addresses: tuple[bytes, ...], local: tuple[bytes | None, int], remote: tuple[bytes, int], error: type[StackError]
) -> None:
    s = stack(*addresses)
    with pytest.raises(error):
        s.connect(local, remote, 0)
    assert list(s.sockets()) == []


def test_the_same_connection_twice_is_refused_and_a_port_that_another_holds() -> None:
    s = stack()
    s.connect((None, 7000), (B4, 80), 0)
    with pytest.raises(AddressNotAvailable, match="exists"):
        s.connect((None, 7000), (B4, 80), 0)
    s.connect((None, 7000), (B4, 81), 0)
    s.bind((None, 7001))
    with pytest.raises(AddressInUse):
        s.connect((None, 7001), (B4, 80), 0)


def test_the_ephemeral_ports_run_out_for_one_destination_at_a_time() -> None:
    s = stack(ports=(50_000, 50_009))
    ports = {local_port_of(s.connect((None, 0), (B4, 80), 0).key) for _ in range(10)}
    assert ports == set(range(50_000, 50_010))
    with pytest.raises(AddressNotAvailable, match=r"10\.0\.0\.2 port 80"):
        s.connect((None, 0), (B4, 80), 0)
    s.connect((None, 0), (B4, 81), 0)
    s.connect((C4, 0), (B4, 80), 0)


def test_a_stack_has_only_addresses_that_a_host_can_have() -> None:
    for address in (bytes(4), b"\xff" * 4, b"abc", bytes(16)):
        with pytest.raises(InvalidAddress):
            stack(address)


# --- RFC 6056


def ports_of(seed: int, secret: bytes = b"secret of 16 byt") -> Ports:
    return Ports(secret, random.Random(seed))


def test_ephemeral_ports_are_those_of_rfc_6335_and_differ_by_secret_and_destination() -> None:
    everything = [ports_of(1).ephemeral(A4, B4, port, lambda p: True) for port in range(1, 200)]
    assert all(49_152 <= port <= 65_535 for port in everything)
    assert len(set(everything)) > 190
    assert ports_of(1).ephemeral(A4, B4, 80, lambda p: True) == ports_of(1).ephemeral(A4, B4, 80, lambda p: True)
    assert ports_of(1).ephemeral(A4, B4, 80, lambda p: True) != ports_of(2).ephemeral(A4, B4, 80, lambda p: True)
    assert ports_of(1).ephemeral(A4, B4, 80, lambda p: True) != ports_of(1, b"x" * 16).ephemeral(A4, B4, 80, lambda p: True)


def test_towards_one_destination_ports_follow_each_other_and_come_back_last() -> None:
    ports = ports_of(1)
    seen = [ports.ephemeral(A4, B4, 80, lambda p: True) for _ in range(16_384)]
    assert len(set(seen)) == 16_384
    assert all((b - a) % 16_384 == 1 for a, b in itertools.pairwise(seen))
    assert ports.ephemeral(A4, B4, 80, lambda p: True) == seen[0]


def test_the_ephemeral_range_can_be_set() -> None:
    with pytest.raises(InvalidAddress):
        Ports(b"x" * 16, random.Random(1), 2000, 1999)
    with pytest.raises(InvalidAddress):
        Ports(b"x" * 16, random.Random(1), 0, 10)


def test_a_binding_says_what_it_holds() -> None:
    binding = Binding(A4, 80, True)
    assert (binding.address, binding.port, binding.reuse_address, binding.listening) == (A4, 80, True, False)


# --- a stack with itself


@pytest.mark.parametrize("target", [A4, ANY4, A6, ANY6])
def test_a_stack_connects_to_itself(target: bytes) -> None:
    net = Net()
    listener = net.a.listen((None, 80), 8, 0)
    ours = net.a.connect((None, 0), (target, 80), 0)
    assert net.a.next_deadline() == 0
    assert net.run() == []  # nothing leaves
    theirs = listener.accept(0)
    assert theirs is not None
    net.send(net.a, ours, b"to myself")
    net.run()
    assert net.read(net.a, theirs) == b"to myself"
    net.close(net.a, ours)
    net.close(net.a, theirs)
    net.until_quiet()
    assert list(net.a.sockets()) == [listener]


def test_what_comes_from_outside_with_our_own_address_is_still_refused() -> None:
    net = Net()
    net.a.listen((None, 80), 8, 0)
    net.a.connect((None, 0), (A4, 80), 0)
    net.run()
    refused = net.a.connect((None, 0), (A4, 81), 0)
    net.run()
    assert refused.close_reason is not None
    assert net.a.counters.resets_out == 1


def test_a_loopback_port_never_meets_itself() -> None:
    s = stack(A4, ports=(50_000, 50_001))
    assert local_port_of(s.connect((None, 0), (A4, 50_000), 0).key) == 50_001
