"""One direction whose window is closed does not hold up the other."""

import asyncio

import pytest

from synfin import sim
from synfin.sim.world import World


@pytest.mark.parametrize("waited", [0.3, 5.0, 200.0])
def test_who_probes_a_closed_window_still_acknowledges_what_comes_from_behind_it(waited: float) -> None:
    """RFC 9293 3.8.6.1, 3.10.7.4: 200,000 bytes against the stream of probes take what they take without it."""
    took = []

    async def main(world: World) -> None:
        one, other = world.host("one"), world.host("other")
        world.link(one, other, delay=0.01)
        done: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        async def sender(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.set_write_buffer_limits(high=1 << 30)
            writer.write(bytes(4_000_000))  # nobody reads them: the window closes
            await reader.readexactly(200_000)
            done.set_result(world.now)
            writer.transport.abort()

        with one:
            server = await asyncio.start_server(sender, None, 7000)
        with other:
            _, writer = await asyncio.open_connection("10.0.0.1", 7000)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(waited)
        began = world.now
        writer.write(bytes(200_000))
        took.append(round(await done - began, 3))
        writer.transport.abort()
        server.close()

    sim.run(main, seed=1)
    assert took == [0.11]
