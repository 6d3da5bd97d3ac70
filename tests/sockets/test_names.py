"""Names and addresses: numbers resolve as glibc resolves them, names as the speaking host does."""

import socket
from typing import Any

import pytest

from synfin.sim.world import World
from synfin.sockets import names

NUMERIC = (
    (None, 80, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE),
    (None, 80, socket.AF_INET6, socket.SOCK_STREAM, 0, socket.AI_PASSIVE),
    (None, None, 0, 0, 0, 0),
    ("10.1.2.3", 80, 0, 0, 0, 0),
    ("10.1.2.3", "80", 0, socket.SOCK_STREAM, 0, 0),
    (b"10.1.2.3", b"80", 0, socket.SOCK_STREAM, 0, 0),
    ("10.1.2.3", None, 0, socket.SOCK_STREAM, 6, 0),
    ("10.1.2.3", 80, socket.AF_INET6, socket.SOCK_STREAM, 0, 0),
    ("10.1.2.3", 80, socket.AF_UNIX, socket.SOCK_STREAM, 0, 0),
    ("10.1.2.3", "80", socket.AF_INET, socket.SOCK_STREAM, 0, socket.AI_CANONNAME),
    ("10.1.2.3", "http", socket.AF_INET, socket.SOCK_STREAM, 0, socket.AI_NUMERICSERV),
    ("10.1.2.3", "no-such-service", socket.AF_INET, socket.SOCK_STREAM, 0, 0),
    ("fd00::9", 443, 0, socket.SOCK_STREAM, 0, 0),
    ("fd00::9", 443, socket.AF_INET, socket.SOCK_STREAM, 0, 0),
    ("fd00::9", 443, socket.AF_INET6, socket.SOCK_DGRAM, 0, socket.AI_NUMERICHOST),
    ("not-a-number", 80, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST),
    ("", 80, 0, socket.SOCK_STREAM, 0, 0),
)  # fmt: skip


def answer(call: Any, *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except socket.gaierror as error:
        return error.errno


@pytest.mark.parametrize("arguments", NUMERIC, ids=repr)
def test_numbers_resolve_as_glibc_resolves_them(arguments: tuple[Any, ...]) -> None:
    host = World().host("here")
    assert answer(names.getaddrinfo, host, *arguments) == answer(socket.getaddrinfo, *arguments)


def test_a_name_is_what_the_world_calls_its_hosts() -> None:
    world = World()
    here, there = world.host("here"), world.host("there")
    assert [entry[4] for entry in names.getaddrinfo(here, "there", 80, 0, socket.SOCK_STREAM)] == [
        ("10.0.0.2", 80),
        ("fd00::2", 80, 0, 0),
    ]
    assert names.getaddrinfo(here, b"there", "http", socket.AF_INET6, socket.SOCK_STREAM) == [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fd00::2", 80, 0, 0))
    ]
    assert names.getaddrinfo(there, "localhost", 1, socket.AF_INET, socket.SOCK_STREAM)[0][4] == ("127.0.0.1", 1)


@pytest.mark.parametrize("name", ["nobody", "nobody.example", b"nobody", "\ud800", "x" * 300])
def test_an_unknown_name_raises_gaierror(name: str | bytes) -> None:
    with pytest.raises(socket.gaierror) as caught:
        names.getaddrinfo(World().host("here"), name, 80)
    assert caught.value.errno == socket.EAI_NONAME


def test_a_host_without_the_family_asked_for_says_so() -> None:
    world = World()
    here, old = world.host("here"), world.host("old", "192.0.2.1")
    assert old.name == "old"
    with pytest.raises(socket.gaierror) as caught:
        names.getaddrinfo(here, "old", 80, socket.AF_INET6, socket.SOCK_STREAM)
    assert caught.value.errno == socket.EAI_ADDRFAMILY


def test_addresses_lead_back_to_names() -> None:
    world = World()
    here = world.host("here")
    assert names.getnameinfo(here, ("10.0.0.1", 80), 0) == ("here", "http")
    both = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    assert names.getnameinfo(here, ("fd00::1", 80, 0, 0), both) == ("fd00::1", "80")
    assert names.getnameinfo(here, ("192.0.2.7", 4711), 0) == ("192.0.2.7", "4711")
    with pytest.raises(socket.gaierror):
        names.getnameinfo(here, ("192.0.2.7", 80), socket.NI_NAMEREQD)


def test_a_name_of_another_family_cannot_be_bound() -> None:
    world = World()
    here, old = world.host("here"), world.host("old", "192.0.2.1")
    assert names.packed_address(here, ("old", 1), socket.AF_INET, "bind") == (old.addresses[0], 1)
    with pytest.raises(socket.gaierror):
        names.packed_address(here, ("old", 1), socket.AF_INET6, "bind")
    with pytest.raises(socket.gaierror):
        names.packed_address(here, ("fd00::1", 1), socket.AF_INET, "bind")
