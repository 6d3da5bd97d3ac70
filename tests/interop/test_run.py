"""synfin.run: one loop, several stacks on several devices, the kernel's sockets beside them, and everything put back."""

import asyncio
import gc
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

import synfin
from synfin.engine.errors import UsageError
from synfin.sockets.face import Socket
from tests.interop.namespace import KERNEL, OURS, Namespace, namespace
from tests.interop.test_realtime import ECHO, PATIENCE, Peer

pytestmark = [pytest.mark.needs("netns"), pytest.mark.xdist_group("netns")]


async def say(address: str, port: int, what: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(what)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def within(program: Any) -> Any:
    async with asyncio.timeout(PATIENCE):
        return await program


def test_a_device_is_all_that_a_program_needs() -> None:
    with namespace() as wire, Peer(wire, KERNEL[0], ECHO) as peer:
        names = {"kernel": KERNEL}
        assert synfin.run(within(say("kernel", peer.port, b"hello")), device=wire.device, names=names) == b"hello"


def test_two_stacks_on_two_devices_in_one_loop_reach_two_kernels() -> None:
    with (
        namespace() as one, namespace(offload=False) as other,
        Peer(one, KERNEL[0], ECHO) as here, Peer(other, KERNEL[1], ECHO) as there,
    ):  # fmt: skip
        first = synfin.RealHost("first", OURS, one.device)
        second = synfin.RealHost("second", OURS, other.device)

        async def program() -> list[bytes]:
            told = second.create_task(say(KERNEL[1], there.port, b"there"))
            return [await say(KERNEL[0], here.port, b"here"), await told]

        assert synfin.run(within(program()), first, second) == [b"here", b"there"]
        assert first.stack.counters.segments_out > 3
        assert second.stack.counters.segments_out > 3


def test_the_kernels_sockets_and_synfins_share_a_loop() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.close()

    async def program(wire: Namespace, port: int) -> list[bytes]:
        with synfin.kernel_sockets():
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            loopback = asyncio.create_task(say("127.0.0.1", server.sockets[0].getsockname()[1], b"the kernel's"))
        assert not isinstance(server.sockets[0]._sock, Socket)  # type: ignore[attr-defined]
        ours = await say(KERNEL[0], port, b"synfin's")
        theirs = await loopback
        server.close()
        return [ours, theirs]

    with namespace() as wire, Peer(wire, KERNEL[0], ECHO) as peer:
        found = synfin.run(within(program(wire, peer.port)), device=wire.device)
    assert found == [b"synfin's", b"the kernel's"]


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
def test_nothing_is_left_behind_after_an_exception(error: type[BaseException]) -> None:
    async def program() -> None:
        await asyncio.start_server(lambda *_: None, OURS[0], 80)
        raise error("mine")

    before = (socket.socket, gc.get_threshold(), gc.get_freeze_count(), threading.active_count(), descriptors())
    with namespace() as wire:
        with pytest.raises(error, match="mine"):
            synfin.run(program(), device=wire.device, linger=0.1)
        interface = wire.device.name
    assert (socket.socket, gc.get_threshold(), gc.get_freeze_count(), threading.active_count(), descriptors()) == before
    assert not (Path("/sys/class/net") / interface).exists()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_without_a_host_or_a_device_there_is_nothing_to_run_on() -> None:
    async def program() -> None:
        raise AssertionError("must not run")

    with pytest.raises(UsageError, match="run needs hosts, or a device"):
        synfin.run(program())


def test_an_unknown_name_of_the_package_is_told() -> None:
    with pytest.raises(AttributeError, match="'synfin' has no attribute 'walk'"):
        synfin.walk  # noqa: B018
