"""The simulator's link around a real device, in real time: two hosts in this process, joined by a socket pair."""

import asyncio
import random
import select
from typing import Any

import pytest

from synfin.aio.realtime import RealHost, run
from synfin.device.pair import device_pair
from synfin.engine.config import MILLISECOND, TcpConfig
from synfin.engine.errors import DropReason, UsageError
from synfin.engine.segment import SYN, Outgoing
from synfin.sim.impaired import ImpairedDevice
from synfin.wire.packet import build_packet, verify_checksums

DATA = random.Random(3).randbytes(100_000)
KEY = bytes.fromhex("0a000002 0a000001 0050 c000")  # to 10.0.0.2:80 from 10.0.0.1:49152
NOTHING = Outgoing(0, 0, 0, 0, 0)


def packet(number: int, *, checksum: bool = True) -> bytes:
    return build_packet(KEY, Outgoing(number, 0, SYN, 1000, 0), identification=number, checksum=checksum)


def arriving(device: Any) -> list[bytes]:
    """What has come to `device` by now."""
    found = []
    while (data := device.receive()) is not None:
        found.append(bytes(data))
    return found


@pytest.mark.parametrize(
    "faults",
    [
        {"loss": 0.05}, {"corrupt": 0.05}, {"duplicate": 0.2}, {"delay": 0.0005, "reorder": 0.2, "reorder_by": 0.002},
        {"delay": 0.001, "jitter": 0.001, "bandwidth": 50_000_000, "queue": 20, "loss": 0.02},
    ],
    ids="-".join,
)  # fmt: skip
def test_every_byte_arrives_over_a_bad_link_in_real_time(faults: dict[str, Any]) -> None:
    ends = device_pair()
    config = TcpConfig(rto_min=20 * MILLISECOND, delayed_ack=5 * MILLISECOND)
    with ImpairedDevice(ends[0], seed=1, **faults) as near, ImpairedDevice(ends[1]) as far:
        client = RealHost("client", ["10.0.0.1"], near, config=config, hosts={"server": ["10.0.0.2"]})
        server = RealHost("server", ["10.0.0.2"], far, config=config)

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(10_000):
                writer.write(data)
            writer.close()

        async def serve() -> asyncio.Server:
            return await asyncio.start_server(echo, "10.0.0.2", 80)

        async def program() -> bytes:
            async with asyncio.timeout(30):
                await server.run(serve())
                reader, writer = await asyncio.open_connection("server", 80)
                writer.write(DATA)
                writer.write_eof()
                return await reader.read()

        assert run(program(), client, server, linger=1) == DATA
        if "corrupt" in faults:
            drops = [host.stack.counters.drops.get(DropReason.TCP_CHECKSUM, 0) for host in (client, server)]
            assert min(drops) > 0  # damaged both ways, and found out at both ends


def test_a_seed_decides_which_packets_are_lost() -> None:
    def survivors(seed: int) -> list[bytes]:
        near, far = device_pair()
        with near, far:
            device = ImpairedDevice(near, seed=seed, loss=0.5)
            for number in range(100):
                device.send(packet(number), KEY, NOTHING)
            return arriving(far)

    assert survivors(1) == survivors(1)
    assert 30 < len(survivors(1)) < 70
    assert survivors(2) != survivors(1)


def test_a_delayed_packet_comes_when_the_device_is_told_the_time() -> None:
    near, far = device_pair()
    woken: list[int] = []
    with near, far:
        device = ImpairedDevice(near, delay=10)
        device.wake = lambda: woken.append(device.next_deadline())
        device.send(packet(1), KEY, NOTHING)
        device.send(packet(2), KEY, NOTHING)  # later than the first: nobody has to be woken for it
        assert arriving(far) == []
        assert woken == [device.next_deadline()]
        device.advance(woken[0])
        assert arriving(far) == [packet(1)]


def test_checksums_that_were_left_out_are_completed_before_the_link() -> None:
    near, far = device_pair()
    with near, far:
        far.send(packet(1, checksum=False), KEY, NOTHING)
        assert select.select([near], [], [], 5)[0]
        device = ImpairedDevice(near)
        assert arriving(device) == [packet(1)]
        assert verify_checksums(packet(1))


def test_parameters_are_a_links() -> None:
    near, far = device_pair()
    with near, far, pytest.raises(UsageError, match="loss is a rate between 0 and 1"):
        ImpairedDevice(near, loss=5)
