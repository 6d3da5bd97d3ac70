"""asyncio's own calls, unmodified, over the simulated network in virtual time."""

import asyncio
import errno
import socket
import ssl
import tempfile
from typing import Any

import pytest

from synfin import sim
from synfin.sim.world import World
from tests.aio.conftest import on_two_hosts

READ_LIMIT = 1 << 20


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()


def test_streams_carry_lines_both_ways() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        with server:
            await asyncio.start_server(echo, port=7)
        with client:
            reader, writer = await asyncio.open_connection("server", 7)
            lines = []
            for number in range(3):
                writer.write(b"line %d\n" % number)
                lines.append(await reader.readline())
            writer.write_eof()
            rest = await reader.read()
            writer.close()
            await writer.wait_closed()
            peer, own = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
            return lines, rest, peer, own[0], world.now

    # A handshake and three lines of 20 ms each, and 20 ms for the FIN and its answer.
    lines = [b"line 0\n", b"line 1\n", b"line 2\n"]
    assert on_two_hosts(program) == (lines, b"", ("10.0.0.1", 7), "10.0.0.2", 0.1)


class Recorder(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self, made: "asyncio.Queue[Recorder] | None" = None) -> None:
        self.made = made
        self.told: list[Any] = []
        self.received = bytearray()
        self.transport: asyncio.Transport
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.told.append("made")
        if self.made is not None:
            self.made.put_nowait(self)

    def data_received(self, data: bytes) -> None:
        self.received += data

    def eof_received(self) -> bool:
        self.told.append("eof")
        self.ended.set_result(None)
        return True

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(type(exc).__name__ if exc else "lost")
        self.lost.set_result(None)


async def connected(server: sim.Host, client: sim.Host) -> tuple[Recorder, Recorder]:
    """Protocols at both ends of a connection: the server's, the client's."""
    loop = asyncio.get_running_loop()
    made: asyncio.Queue[Recorder] = asyncio.Queue()
    with server:
        await loop.create_server(lambda: Recorder(made), "0.0.0.0", 9)
    with client:
        _, theirs = await loop.create_connection(Recorder, "server", 9)
    return await made.get(), theirs


def test_protocols_are_told_of_both_ends() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        ours, theirs = await connected(server, client)
        theirs.transport.write(b"one")
        theirs.transport.writelines([b" and ", bytearray(b"two")])
        theirs.transport.write_eof()
        await ours.ended
        ours.transport.write(b"still open this way")
        ours.transport.close()
        await asyncio.gather(ours.lost, theirs.ended)
        theirs.transport.close()
        await theirs.lost
        return bytes(ours.received), bytes(theirs.received), ours.told, theirs.told

    assert on_two_hosts(program) == (
        b"one and two", b"still open this way", ["made", "eof", "lost"], ["made", "eof", "lost"],
    )  # fmt: skip


def test_abort_drops_what_the_transport_holds_and_closes() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        ours, theirs = await connected(server, client)
        for _ in range(20):
            theirs.transport.write(bytes(200_000))
        theirs.transport.abort()
        await asyncio.gather(ours.ended, theirs.lost)
        return len(ours.received) < 4_000_000, ours.told, theirs.told

    assert on_two_hosts(program) == (True, ["made", "eof"], ["made", "pause", "lost"])


def test_abort_with_data_unread_resets_the_connection() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        ours, theirs = await connected(server, client)
        theirs.transport.pause_reading()
        ours.transport.write(b"never read")
        await asyncio.sleep(1)
        theirs.transport.abort()
        await asyncio.gather(ours.lost, theirs.lost)
        return ours.told, theirs.told

    assert on_two_hosts(program) == (["made", "ConnectionResetError"], ["made", "lost"])


def test_a_transport_pauses_its_writer_and_its_reader() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        ours, theirs = await connected(server, client)
        theirs.transport.set_write_buffer_limits(high=1000, low=10)
        ours.transport.pause_reading()
        theirs.transport.write(bytes(2_000_000))
        await asyncio.sleep(10)
        waiting, taken = theirs.transport.get_write_buffer_size(), len(ours.received)
        ours.transport.resume_reading()
        await asyncio.sleep(10)
        return waiting > 1_000_000, taken, len(ours.received), theirs.transport.get_write_buffer_size(), theirs.told

    assert on_two_hosts(program) == (True, 0, 2_000_000, 0, ["made", "pause", "resume"])


def test_a_reader_that_is_slow_closes_the_window_and_opens_it_again() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            total = 0
            while data := await reader.read(65_536):
                total += len(data)
                await asyncio.sleep(0.5)
            writer.write(b"%d" % total)
            writer.close()

        with server:
            await asyncio.start_server(slow, port=9, limit=4096)
        with client:
            reader, writer = await asyncio.open_connection("server", 9)
            for _ in range(30):
                writer.write(bytes(50_000))
                await writer.drain()
            writer.write_eof()
            return await reader.read()

    assert on_two_hosts(program) == b"1500000"


def test_a_refused_connection_raises_and_says_to_whom() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        with client:
            with pytest.raises(ConnectionRefusedError) as caught:
                await asyncio.open_connection("10.0.0.1", 81)
            with pytest.raises(socket.gaierror):
                await asyncio.open_connection("nobody", 81)
        return caught.value.errno, "10.0.0.1" in str(caught.value)

    assert on_two_hosts(program) == (errno.ECONNREFUSED, True)


def test_a_host_that_does_not_answer_is_given_up_after_its_time() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        server.silence()
        with client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.open_connection("10.0.0.1", 81), 5)
            waited = world.now
            with pytest.raises(TimeoutError) as caught:
                await asyncio.open_connection("10.0.0.1", 81)
        return waited, caught.value.errno, world.now

    assert on_two_hosts(program) == (5.0, errno.ETIMEDOUT, 185.0)


def test_happy_eyeballs_take_the_address_that_answers() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        with server:
            await asyncio.start_server(echo, "::", 7)  # IPv6 only
        with client:
            _, writer = await asyncio.open_connection("server", 7, happy_eyeballs_delay=0.25)
            return writer.get_extra_info("peername")

    assert on_two_hosts(program) == ("fd00::1", 7, 0, 0)


def test_tls_from_the_start_and_by_start_tls(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go on\n")
        await writer.start_tls(server_tls)
        await echo(reader, writer)

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"a secret\n")
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return answer

    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        with server:
            await asyncio.start_server(echo, port=443, ssl=server_tls)
            await asyncio.start_server(upgrade, port=25)
        with client:
            first = await say(*await asyncio.open_connection("server", 443, ssl=client_tls))
            reader, writer = await asyncio.open_connection("server", 25)
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"go on\n"
            await writer.start_tls(client_tls, server_hostname="server")
            return first, await say(reader, writer)

    assert on_two_hosts(program, loss=0.05) == (b"a secret\n", b"a secret\n")


def test_the_sock_calls_work_on_plain_sockets() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        loop = asyncio.get_running_loop()
        with server:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setblocking(False)
            listener.bind(("server", 9))
            listener.listen()

        async def serve() -> int:
            accepted, _ = await loop.sock_accept(listener)
            buffer = bytearray(4)
            count = await loop.sock_recv_into(accepted, buffer)
            await loop.sock_sendall(accepted, buffer[:count] * 100_000)
            accepted.close()
            return count

        served = server.create_task(serve())
        with client:
            sock = socket.socket()
            sock.setblocking(False)
            await loop.sock_connect(sock, ("server", 9))
            await loop.sock_sendall(sock, b"abcd")
            parts = []
            while part := await loop.sock_recv(sock, READ_LIMIT):
                parts.append(part)
            sock.close()
        return await served, b"".join(parts) == b"abcd" * 100_000, isinstance(sock, socket.socket)

    assert on_two_hosts(program) == (4, True, True)


def test_add_reader_and_add_writer_watch_levels() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        loop = asyncio.get_running_loop()
        ours, theirs = await connected(server, client)
        theirs.transport.abort()
        with client:
            sock = socket.socket()
            sock.setblocking(False)
            connecting = loop.create_future()
            sock.connect_ex(("server", 9))
            loop.add_writer(sock, connecting.set_result, None)
            await connecting
            assert loop.remove_writer(sock)
            called: list[float] = []
            loop.add_reader(sock.fileno(), lambda: called.append(world.now))
            await asyncio.sleep(1)
            idle = list(called)
            ours.transport.write(b"x")
            with server:
                listener = socket.socket()
                listener.setblocking(False)
                listener.bind(("server", 10))
                listener.listen()
                loop.add_reader(listener, lambda: called.append(-1.0))
            sock.send(b"x")
            other = socket.socket()
            other.setblocking(False)
            other.connect_ex(("server", 10))
            await asyncio.sleep(0.01)
            while len(called) < 3:  # a level is told of again and again until somebody deals with it
                await asyncio.sleep(0)
            removed = loop.remove_reader(listener), loop.remove_reader(listener), loop.remove_reader(sock)
        return idle, called, removed

    assert on_two_hosts(program) == ([], [-1.0, -1.0, -1.0], (True, False, True))


def test_sendfile_falls_back_to_reading_and_sending() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        loop = asyncio.get_running_loop()
        ours, theirs = await connected(server, client)
        with tempfile.TemporaryFile() as file:
            file.write(b"0123456789" * 20_000)
            file.seek(0)
            sent = await loop.sendfile(theirs.transport, file)
            with pytest.raises(asyncio.SendfileNotAvailableError):
                await loop.sendfile(theirs.transport, file, fallback=False)
        await asyncio.sleep(5)
        return sent, bytes(ours.received) == b"0123456789" * 20_000

    assert on_two_hosts(program) == (200_000, True)


def test_a_server_closes_and_its_port_is_free_again() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        with server:
            first = await asyncio.start_server(echo, "server", 7)
            with pytest.raises(OSError) as caught:
                await asyncio.start_server(echo, "10.0.0.1", 7)
            first.close()
            await first.wait_closed()
            second = await asyncio.start_server(echo, "server", 7)
        return caught.value.errno, [sock.getsockname() for sock in second.sockets]

    assert on_two_hosts(program)[0] == errno.EADDRINUSE


def test_executors_run_inline_and_names_resolve_at_once() -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        loop = asyncio.get_running_loop()
        with client:
            found = await loop.getaddrinfo("server", 80, type=socket.SOCK_STREAM)
            name = await loop.getnameinfo(("10.0.0.1", 80))
            threaded = await asyncio.to_thread(sum, [1, 2, 3])
            with pytest.raises(ZeroDivisionError):
                await loop.run_in_executor(None, lambda: 1 // 0)
        return [place[4][0] for place in found], name, threaded, world.now

    assert on_two_hosts(program) == (["10.0.0.1", "fd00::1"], ("server", "http"), 6, 0.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda loop: loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("10.0.0.1", 1)),
        lambda loop: asyncio.create_subprocess_exec("true"),
        lambda loop: asyncio.create_subprocess_shell("true"),
    ],
    ids=["datagrams", "exec", "shell"],
)
def test_what_a_simulation_does_not_have_is_refused_clearly(call: Any) -> None:
    async def main() -> None:
        await call(asyncio.get_running_loop())

    with pytest.raises(sim.UsageError):
        sim.run(main())


def test_debug_mode_finds_nothing_slow_in_virtual_time(caplog: pytest.LogCaptureFixture) -> None:
    async def program(world: World, server: sim.Host, client: sim.Host) -> Any:
        ours, theirs = await connected(server, client)
        theirs.transport.write(b"x")
        await asyncio.sleep(100)
        return bytes(ours.received)

    assert on_two_hosts(program, debug=True) == b"x"
    assert [record.getMessage() for record in caplog.records if "took" in record.getMessage()] == []
