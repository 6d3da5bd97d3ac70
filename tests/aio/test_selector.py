"""The selector over virtual and real descriptors keeps the promises of the module selectors."""

import os
import selectors
import socket
from collections.abc import Iterator

import pytest

from synfin.aio.selector import Ready, VirtualSelector
from synfin.engine.errors import UsageError
from synfin.sim.world import World
from synfin.sockets.descriptors import Descriptors
from synfin.sockets.face import Socket

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Waiting(VirtualSelector):
    """Notes how long it was asked to wait."""

    def __init__(self, descriptors: Descriptors) -> None:
        super().__init__(descriptors)
        self.waits: list[float | None] = []
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1

    def wait(self, timeout: float | None) -> Ready:
        self.waits.append(timeout)
        return []


class Desk:
    """A connected pair of simulated sockets and a selector."""

    def __init__(self, descriptors: Descriptors) -> None:
        self.world = World(1)
        hosts = self.world.host("client"), self.world.host("server")
        self.world.link(*hosts, delay=0.001)
        listener = Socket(host=hosts[1])
        self.client = Socket(host=hosts[0])
        for sock in (listener, self.client):
            sock.setblocking(False)
        listener.bind(("", 80))
        listener.listen()
        self.client.connect_ex(("server", 80))
        self.world.run_for(0.1)
        self.server = listener.accept()[0]
        self.descriptors = descriptors
        self.selector = Waiting(descriptors)


@pytest.fixture
def desk() -> Iterator[Desk]:
    descriptors = Descriptors()
    token = descriptors.use()
    made = Desk(descriptors)
    yield made
    made.selector.close()
    descriptors.leave(token)


def found(ready: Ready) -> list[tuple[object, int]]:
    return [(key.data, mask) for key, mask in ready]


def test_readiness_is_a_level(desk: Desk) -> None:
    desk.selector.register(desk.server, READ, "server")
    assert desk.selector.select(0) == []
    desk.client.send(b"hello")
    desk.world.run_for(0.1)
    assert desk.selector.woken == 1
    for _ in range(3):
        assert found(desk.selector.select(0)) == [("server", READ)]
    desk.server.recv(10)
    assert found(desk.selector.select(0)) == []
    assert desk.selector.waits == []


def test_only_what_was_asked_for_is_told(desk: Desk) -> None:
    desk.selector.register(desk.client, READ | WRITE, "both")
    assert found(desk.selector.select(0)) == [("both", WRITE)]
    desk.selector.modify(desk.client, READ, "read")
    assert found(desk.selector.select(0)) == []
    desk.server.close()
    desk.world.run_for(0.1)
    assert found(desk.selector.select(0)) == [("read", READ)]
    desk.selector.modify(desk.client.fileno(), READ | WRITE, "again")
    assert found(desk.selector.select(None)) == [("again", READ | WRITE)]


def test_nothing_ready_means_waiting(desk: Desk) -> None:
    desk.selector.register(desk.server, READ)
    assert desk.selector.select(-1) == []
    assert desk.selector.select(2.5) == []
    assert desk.selector.select() == []
    assert desk.selector.waits == [2.5, None]


def test_real_descriptors_are_watched_beside_virtual_ones(desk: Desk) -> None:
    reader, writer = os.pipe()
    desk.selector.register(desk.client, WRITE, "virtual")
    desk.selector.register(reader, READ, "real")
    assert found(desk.selector.select(0)) == [("virtual", WRITE)]
    os.write(writer, b"x")
    assert found(desk.selector.select(0)) == [("virtual", WRITE), ("real", READ)]
    assert desk.selector.has_real
    desk.selector.modify(reader, READ, "renamed")
    desk.selector.unregister(desk.client)
    assert found(desk.selector.select(5)) == [("renamed", READ)]
    assert desk.selector.unregister(reader).data == "renamed"
    assert not desk.selector.has_real
    os.close(reader)
    os.close(writer)


def test_a_socket_closed_without_a_word_is_silent(desk: Desk) -> None:
    desk.selector.register(desk.server, READ)
    desk.client.close()
    desk.world.run_for(0.1)
    assert len(desk.selector.select(0)) == 1
    desk.server.close()
    assert desk.selector.select(0) == []
    assert desk.selector.unregister(desk.server).fd >= 1 << 20


def test_misuse_raises_what_selectors_raise(desk: Desk) -> None:
    selector = desk.selector
    selector.register(desk.server, READ)
    with pytest.raises(KeyError):
        selector.register(desk.server.fileno(), READ)
    with pytest.raises(KeyError):
        selector.unregister(desk.client)
    with pytest.raises(KeyError):
        selector.modify(desk.client, READ)
    for events in (0, 4):
        with pytest.raises(ValueError, match="Invalid events"):
            selector.register(desk.client, events)
        with pytest.raises(ValueError, match="Invalid events"):
            selector.modify(desk.server, events)
    for wrong in (-1, "7", object()):
        with pytest.raises(ValueError, match="Invalid file"):
            selector.register(wrong, READ)
    with pytest.raises(OSError, match="Bad file descriptor"):
        selector.register(1 << 30, READ)
    with pytest.raises(UsageError, match="one selector"):
        Waiting(desk.descriptors).register(desk.server, READ)


def test_the_map_knows_file_objects_and_descriptors(desk: Desk) -> None:
    key = desk.selector.register(desk.server, READ, "data")
    registered = desk.selector.get_map()
    assert registered[desk.server] is registered[desk.server.fileno()] is desk.selector.get_key(desk.server) is key
    assert registered.get(desk.client) is None
    assert registered.get(desk.client.fileno(), 7) == 7
    assert list(registered) == [desk.server.fileno()] and len(registered) == 1
    assert desk.server in registered and desk.client not in registered
    with pytest.raises(KeyError):
        desk.selector.get_key(desk.client)
    assert isinstance(desk.server, socket.socket)
