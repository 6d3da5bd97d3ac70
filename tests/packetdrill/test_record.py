"""Scripts that were recorded: from traces, from their JSON, from captures. Each passes, and fails when the stack is another."""

import io
import json
import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from synfin.capture.reader import CaptureError
from synfin.cli import recording
from synfin.cli.main import run
from synfin.engine.config import TcpConfig
from synfin.engine.segment import ACK, FIN, NEW_DATA, RST, SYN, Outgoing
from synfin.engine.state import State
from synfin.packetdrill.parser import parse_script
from synfin.packetdrill.plan import Wish, make_plan
from synfin.packetdrill.record import Moved, RecordError, script_of
from synfin.packetdrill.record_capture import record_capture
from synfin.packetdrill.record_json import read_trace
from synfin.packetdrill.record_trace import record_trace
from synfin.packetdrill.run import FAIL, PASS, Outcome
from synfin.scenarios import SCENARIOS
from synfin.sim.world import World
from synfin.stack.addresses import make_key
from synfin.trace.events import Fault, SegmentDelivered, SegmentSent
from synfin.trace.pcapng import write_pcapng
from synfin.trace.recorder import Trace
from synfin.wire.packet import build_packet, complete_checksums, describe
from tests.packetdrill import gate
from tests.packetdrill.playing import play, told, wish
from tests.packetdrill.stack_mutations import STACK_MUTATIONS

SIDES = ("client", "server")

# What no script can tell, and why the recorder says so.
UNTOLD = {("data-on-third", "client"): "13 bytes were sent that no call wrote: a script's connect brings no data along"}
PLAYED_BY_HAND = ("why-three-in-four-segments", "server")  # no stack of ours was there
# What a capture does not tell: packets that a forger sent in the side's name, calls of a connect with data.
UNSEEN = {
    PLAYED_BY_HAND, ("wrong-ack-syn-ack", "server"), ("wrong-ack-third", "client"), ("old-duplicate-syn", "client"),
    ("data-on-third", "client"),
}  # fmt: skip
ALL = [(name, side) for name in SCENARIOS for side in SIDES if (name, side) != PLAYED_BY_HAND]


SEVERAL = ("short-connection",)  # connections, one after the other from ports of their own: each is a script


def numbers_of(name: str) -> tuple[int | None, ...]:
    return (1, 2) if name in SEVERAL else (None,)


def config_of(name: str, side: str) -> TcpConfig:
    scenario = SCENARIOS[name]
    return scenario.config.replace(**scenario.changes.get(side, {}))


def again(name: str, side: str, text: str) -> Outcome:
    """Play `text` on a stack that is set as that of `side` was, strict."""
    config = config_of(name, side)
    changes = {field: getattr(config, field) for field in TcpConfig.__dataclass_fields__ if field != "fast_path"}
    return play(text, changes=changes)


def captured(world: World) -> io.BytesIO:
    file = io.BytesIO()
    write_pcapng(world.trace, file)
    file.seek(0)
    return file


def passes(outcome: Outcome) -> None:
    assert told(outcome) == (PASS, "", ())


# --- scenarios


@pytest.mark.parametrize(("name", "side"), ALL, ids=lambda each: each)
def test_a_recorded_scenario_passes(name: str, side: str) -> None:
    world = SCENARIOS[name].play()
    if (name, side) in UNTOLD:
        with pytest.raises(RecordError) as error:
            record_trace(world.trace, side)
        assert str(error.value) == UNTOLD[name, side]
        return
    for number in numbers_of(name):
        passes(again(name, side, record_trace(world.trace, side, connection=number)))


SEEN = [each for each in ALL if each not in UNSEEN]


@pytest.mark.parametrize(("name", "side"), SEEN, ids=lambda each: each)
def test_a_captured_scenario_passes(name: str, side: str) -> None:
    file = captured(SCENARIOS[name].play())
    for number in numbers_of(name):
        file.seek(0)
        passes(again(name, side, record_capture(file, side, connection=number)))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["whole-life", "why-four", "half-close", "zero-window", "urgent", "close-server-first"])
def test_with_losses_it_passes_too(name: str, side: str) -> None:
    """Retransmissions, probes, reassembly; an odd delay, so that times are rounded."""
    for seed in range(1, 6):
        world = SCENARIOS[name].play(seed=seed, loss=0.2, delay=0.0123456789)
        config = config_of(name, side)
        passes(play(record_trace(world.trace, side, config=config)))
        passes(play(record_capture(captured(world), side, config=config)))


@pytest.mark.parametrize(
    ("name", "side", "mutation"),
    [
        ("whole-life", "client", "delayed ACK time doubled"),
        ("whole-life", "server", "window told one too small"),
        ("zero-window", "client", "no persist backoff"),
        ("zero-window", "server", "no word of a window that opens"),
        ("lost-syn", "client", "RTO x 1.5"),
        ("close-unread", "client", "unread data is no reason for an RST"),
        ("refused", "server", "no RST from a closed port"),
        ("simultaneous-open", "client", "no simultaneous open"),
        ("urgent", "server", "urgent data ignored"),
    ],
)
def test_it_fails_on_another_stack(name: str, side: str, mutation: str) -> None:
    script = parse_script(record_trace(SCENARIOS[name].play().trace, side, config=config_of(name, side)), "recorded.pkt")
    found = next(each for each in STACK_MUTATIONS if each.name == mutation)
    assert gate.caught(found, [(script, make_plan(script, wish()))]) == ["recorded.pkt"]
    with ExitStack() as stack:
        found.apply(stack)
    assert gate.played(script, make_plan(script, wish()))[0] == PASS


@pytest.mark.parametrize("name", ["whole-life", "zero-window", "refused"])
@pytest.mark.parametrize("side", SIDES)
def test_every_expectation_in_it_counts(name: str, side: str) -> None:
    text = record_trace(SCENARIOS[name].play().trace, side, config=config_of(name, side))
    script = parse_script(text, "recorded.pkt")
    total = gate.gate(script, make_plan(script, wish()), wish())
    assert (total.broken, total.survivors) == ([], [])
    assert total.wrong.total() > 20


# --- what a script says


def test_numbers_are_relative_and_times_rounded() -> None:
    world = SCENARIOS["whole-life"].play(delay=0.01000012345, isn=(4_294_967_290, 77))
    lines = record_trace(world.trace, "client").splitlines()
    assert lines[:10] == [
        "// Recorded of client: 10.0.0.1:60276 10.0.0.2:80",
        "0 `sysctl -q net.ipv4.tcp_sack=0`",
        '0 `sysctl -q net.ipv4.tcp_rmem="4096 131070 65535"`',
        "+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3",
        "+0...0.02 connect(3, ..., ...) = 0",
        "+0 > S 0:0(0) win 65535 <mss 1460,nop,nop,TS val 1000 ecr 0,nop,wscale 0>",
        "+0.02 < S. 0:0(0) ack 1 win 65535 <mss 1460,nop,nop,TS val 1000 ecr 1000,nop,wscale 0>",
        "+0 write(3, ..., 6) = 6",
        "+0 > . 1:1(0) ack 1 win 65535 <nop,nop,TS val 1020 ecr 1000>",
        "+0 > P. 1:7(6) ack 1 win 65535 <nop,nop,TS val 1020 ecr 1000>",
    ]
    fine = record_trace(world.trace, "client", digits=9).splitlines()
    assert fine[4] == "+0...0.020000246 connect(3, ..., ...) = 0"


def test_numbers_before_the_initial_one_are_told() -> None:
    """An old ACK, 1000 below: the stack answers with the RST that it gave."""
    text = record_trace(SCENARIOS["wrong-ack-third"].play().trace, "server")
    assert "< . 1:1(0) ack 4294966296 win" in text
    assert "> R 4294966296:4294966296(0) win 0" in text


def test_an_abort_is_a_close_that_does_not_linger() -> None:
    world = World(1)
    client, server = world.host("client"), world.host("server")
    world.link(client, server, delay=0.01)

    async def serve() -> None:
        listener = server.socket()
        listener.bind(80)
        listener.listen()
        (await listener.accept()).abort()

    async def call() -> None:
        s = client.socket()
        await s.connect(("server", 80))
        await s.until(lambda it: it.state is State.CLOSED)

    with world:
        world.spawn(serve(), "server", background=True)
        world.spawn(call(), "client", background=True)
        world.run(1.0)
    text = record_trace(world.trace, "server", config=TcpConfig())
    assert "setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0\n+0 close(4) = 0\n+0 > R." in text
    passes(play(text))
    passes(play(record_capture(captured(world), "server", config=TcpConfig())))


def test_of_a_host_that_crashed_the_script_has_what_its_new_stack_did() -> None:
    """RFC 9293 figures 9 and 10; in a capture the RST tells it, where the connection was open and nobody had ended it."""
    for name, side in (("half-open", "server"), ("half-open-syn", "client")):
        text = record_trace(SCENARIOS[name].play().trace, side)
        assert text.startswith(f"// Recorded of {side}, since its crash: ")
        passes(again(name, side, text))
    text = record_capture(captured(SCENARIOS["half-open"].play()), "server")
    assert text.splitlines()[0] == (
        "// Recorded of the server in a capture, since it forgot the connection: 10.0.0.1:60276 10.0.0.2:80"
    )
    assert [line.split(" ", 1)[1][:4] for line in text.splitlines()[1:]] == ["< P.", "> R "]


def test_of_a_host_that_crashed_for_good_the_script_has_what_was_before() -> None:
    world = SCENARIOS["whole-life"].play()
    whole = record_trace(world.trace, "server")
    last = max(event.time for event in world.trace)
    for restarts in ((), (last + 2,)):
        world.trace.events += [Fault(last + 1, "server", "", "host crashed", "server")]
        world.trace.events += [Fault(time, "server", "", "host restarted", "server") for time in restarts]
        text = record_trace(world.trace, "server")
        assert text.splitlines()[0] == "// Recorded of server, up to its crash: 10.0.0.1:60276 10.0.0.2:80"
        assert text.splitlines()[1:] == whole.splitlines()[1:]


def test_acks_that_went_at_once_are_told_by_an_option() -> None:
    """So that a script passes on a stack that would put them off, and the other way round."""
    eager, patient = (
        connection(TcpConfig(delayed_ack=delay, ack_fin_at_once=False, receive_buffer=60_000)) for delay in (0, 40_000_000)
    )
    told = "setsockopt(4, IPPROTO_TCP, TCP_QUICKACK, [{}], 4) = 0"
    for world, changes, value in ((eager, {"delayed_ack": 40_000_000}, 1), (patient, {"quick_acks": 16}, 0)):
        plain = record_capture(captured(world), "server", config=TcpConfig())
        text = record_capture(captured(world), "server", config=TcpConfig(), acks=True)
        changes |= {"ack_fin_at_once": False}
        assert play(plain, changes=changes).verdict == FAIL
        assert told.format(value) in text
        assert told.format(1 - value) not in text
        passes(play(text, changes=changes))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["whole-life", "close-server-first", "close-client-first", "half-close", "simultaneous-close"])
def test_a_socket_that_is_closed_is_told_nothing(name: str, side: str) -> None:
    """The peer's FIN is acknowledged at once when nobody has the socket any more."""
    text = record_capture(captured(SCENARIOS[name].play()), side, acks=True)
    assert "setsockopt" not in text.partition("close(")[2]
    passes(again(name, side, text))


def test_a_window_that_moves_on_by_all_that_came_tells_that_it_was_read() -> None:
    """Though by less than the scale can say."""
    world = World(1)
    client, server = world.host("client", config=TcpConfig(receive_buffer=1 << 20)), world.host("server")
    world.link(client, server, delay=0.01)

    async def serve() -> None:
        listener = server.socket()
        listener.bind(80)
        listener.listen()
        s = await listener.accept()
        for _ in range(3):
            await s.send(b"answer")
            await server.sleep(0.2)

    async def call() -> None:
        s = client.socket()
        await s.connect(("server", 80))
        for _ in range(3):
            await s.recv()

    with world:
        world.spawn(serve(), "server", background=True)
        world.spawn(call(), "client", background=True)
        world.run(1.0)
    lines = recorded(captured_at(world.trace, "client"), "client")
    assert [line.split(" ", 1)[1] for line in lines if "read(" in line] == ["read(3, ..., 6) = 6"] * 3


def connection(config: TcpConfig) -> World:
    """Of a server set like `config`, which hears small questions, the last of them answered after a while."""
    world = World(1)
    client, server = world.host("client"), world.host("server", config=config)
    world.link(client, server, delay=0.01)

    async def serve() -> None:
        listener = server.socket()
        listener.bind(80)
        listener.listen()
        s = await listener.accept()
        await s.recv_all()
        await server.sleep(0.2)
        await s.send(b"answer")
        s.close()

    async def call() -> None:
        s = client.socket()
        await s.connect(("server", 80))
        for _ in range(3):
            await s.send(b"question")
            await client.sleep(0.2)
        s.shutdown()
        await s.recv_all()
        s.close()

    with world:
        world.spawn(serve(), "server", background=True)
        world.spawn(call(), "client", background=True)
        world.run(10.0)
    return world


def test_ipv6_and_its_mtu_are_told() -> None:
    world = World(1)
    hosts = [world.host("client", "fd00::1"), world.host("server", "fd00::2")]
    world.link(*hosts, delay=0.01, mtu=1280)

    async def serve() -> None:
        listener = hosts[1].socket(version=6)
        listener.bind(80)
        listener.listen()
        s = await listener.accept()
        await s.recv()
        s.close()

    async def call() -> None:
        s = hosts[0].socket(version=6)
        await s.connect(("server", 80))
        await s.send(b"x" * 3000)
        await s.recv_all()
        s.close()

    with world:
        world.spawn(serve(), "server", background=True)
        world.spawn(call(), "client", background=True)
        world.run(300.0)
    for side in SIDES:
        text = record_trace(world.trace, side, config=TcpConfig())
        assert text.splitlines()[1:3] == ["--ip_version=ipv6", "--mtu=1280"]
        passes(play(text))
        passes(play(record_capture(captured(world), side, config=TcpConfig())))


def test_a_trace_as_json_gives_the_same_script() -> None:
    for name in ("whole-life", "urgent", "wrong-ack-syn-ack", "lost-syn", "peer-vanishes"):
        trace = SCENARIOS[name].play(seed=3, loss=0.1).trace
        lines = [json.dumps(each) for each in trace.to_json()]
        for side in SIDES:
            assert record_trace(read_trace(lines), side) == record_trace(trace, side)


# --- captures


def one_sided(trace: Trace, host: str) -> bytes:
    """What tcpdump at `host` would have written: pcap with microseconds, no direction, raw IP."""
    found = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101)
    for event in trace:
        if isinstance(event, SegmentSent | SegmentDelivered) and event.host == host:
            data = complete_checksums(event.data)
            time = event.time + 1_700_000_000_000_000_000
            found += struct.pack("<IIII", time // 10**9, time % 10**9 // 1000, len(data), len(data)) + data
    return found


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["whole-life", "half-close", "zero-window", "close-unread"])
def test_a_capture_of_one_point_is_taken_as_it_is(name: str, side: str) -> None:
    trace = SCENARIOS[name].play().trace
    passes(again(name, side, record_capture(io.BytesIO(one_sided(trace, side)), side, name="x.pcap")))


def two_connections() -> World:
    world = World(1)
    client, server = world.host("client"), world.host("server")
    world.link(client, server, delay=0.01)

    async def serve() -> None:
        listener = server.socket()
        listener.bind(80)
        listener.listen()
        for _ in range(2):
            (await listener.accept()).close()

    async def call() -> None:
        for _ in range(2):
            s = client.socket()
            await s.connect(("server", 80))
            await s.recv_all()
            s.close()

    with world:
        world.spawn(serve(), "server", background=True)
        world.spawn(call(), "client", background=True)
        world.run(1.0)
    return world


def test_of_several_connections_one_is_chosen() -> None:
    world = two_connections()
    first, second = world.trace.connections()
    message = f"there are 2 connections, choose one by its number (1: {first}; 2: {second})"
    for record in (lambda number: record_trace(world.trace, "client", connection=number),
                   lambda number: record_capture(captured(world), "client", connection=number)):
        with pytest.raises(RecordError) as error:
            record(None)
        assert str(error.value) == message
        with pytest.raises(RecordError, match=r"^there is no connection 3, there are 2$"):
            record(3)
        assert record(2).splitlines()[0].endswith(second)
    passes(play(record_trace(world.trace, "client", connection=2, config=TcpConfig())))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:24], "there is no TCP connection in it"),
        (lambda data: b"", "the file is empty"),
        (lambda data: data[:20] + struct.pack("<I", 147) + data[24:], "packets of link type 147 are not read"),
    ],
)
def test_a_capture_that_makes_no_script_is_told(change: object, message: str) -> None:
    data = one_sided(SCENARIOS["refused"].play().trace, "client")
    with pytest.raises((RecordError, CaptureError), match=message):
        record_capture(io.BytesIO(change(data)), "client")  # type: ignore[operator]


def test_packets_that_were_cut_short_are_told() -> None:
    data = one_sided(SCENARIOS["whole-life"].play().trace, "client")
    size = struct.unpack_from("<I", data, 24 + 8)[0]
    head = data[:24] + data[24:32] + struct.pack("<II", 30, size)
    with pytest.raises(RecordError, match=f"^the capture has 30 of the {size} bytes of a packet: record them whole$"):
        record_capture(io.BytesIO(head + data[40:70]), "client")


def test_a_connection_without_its_beginning_is_told() -> None:
    data = one_sided(SCENARIOS["whole-life"].play().trace, "client")
    rest = data[24 + 16 + struct.unpack_from("<I", data, 24 + 8)[0] :]
    with pytest.raises(RecordError, match=r"^the capture does not have the first SYN of 10\.0\.0\.1:60276 10\.0\.0\.2:80$"):
        record_capture(io.BytesIO(data[:24] + rest), "client")


def test_a_host_that_is_not_there_is_told() -> None:
    with pytest.raises(RecordError, match=r"^there is no host 'peer': there are server, client$|there are client, server$"):
        record_trace(SCENARIOS["refused"].play().trace, "peer")


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "{}", '{"event": "called"}', '{"event": "segment sent", "time": 0, "host": "a", "connection": ""}', '"x"'],
)
def test_a_line_that_is_no_event_is_told(line: str) -> None:
    with pytest.raises(RecordError, match=r"^line 2 is no event of a trace$"):
        read_trace(["", line])


def captured_at(trace: Trace, host: str) -> list[tuple[int, bytes]]:
    """The packets that `host` sent and got, with their times in ns, from one_sided's file."""
    return [
        (event.time, complete_checksums(event.data))
        for event in trace if isinstance(event, SegmentSent | SegmentDelivered) and event.host == host
    ]  # fmt: skip


def pcap(packets: list[tuple[int, bytes]], link: int = 101) -> io.BytesIO:
    """A file of nanoseconds."""
    found = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65_535, link)
    for time, data in packets:
        found += struct.pack("<IIII", time // 10**9, time % 10**9, len(data), len(data)) + data
    return io.BytesIO(found)


def recorded(packets: list[tuple[int, bytes]], side: str, link: int = 101, **wanted: object) -> list[str]:
    return record_capture(pcap(packets, link), side, **wanted).splitlines()  # type: ignore[arg-type]


@pytest.mark.parametrize(("link", "before", "after", "length"), [(113, 0, 14, 16), (276, 10, 9, 20)])
def test_of_a_packet_that_passes_two_interfaces_the_sides_own_is_taken(link: int, before: int, after: int, length: int) -> None:
    """What a capture of all interfaces has of a loopback: each packet as it left and as it came, cooked."""
    packets = captured_at(SCENARIOS["whole-life"].play().trace, "server")
    cooked = []
    for time, data in packets:
        for kind in (4, 0):
            head = bytearray(length)
            head[14 if link == 113 else 0 : 16 if link == 113 else 2] = (0x0800).to_bytes(2, "big")
            head[1 if link == 113 else 10] = kind
            cooked.append((time, bytes(head) + data))
    assert recorded(cooked, "server", link) == recorded(packets, "server")


def with_partial_checksum(data: bytes) -> bytes:
    """As a stack leaves it to its card: the sum of the pseudo-header alone."""
    total = sum(struct.unpack("!4H", data[12:20])) + 6 + len(data) - 20
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return data[:36] + total.to_bytes(2, "big") + data[38:]


def test_checksums_that_were_left_to_the_card_are_no_damage() -> None:
    """Though some packets have theirs: what a stack sends without a socket."""
    packets = captured_at(SCENARIOS["whole-life"].play().trace, "server")
    partial = [(time, with_partial_checksum(data) if len(data) > 52 else data) for time, data in packets]
    assert partial != packets
    assert recorded(partial, "server") == recorded(packets, "server")
    damaged = [(time, data[:-1] + bytes((data[-1] ^ 1,)) if len(data) == 58 else data) for time, data in packets]
    assert len(recorded(damaged, "server")) < len(recorded(packets, "server"))


@pytest.mark.parametrize(
    ("name", "side"), [("whole-life", "client"), ("half-close", "client"), ("urgent", "server"), ("duplex", "server")]
)
def test_what_was_not_taken_up_yet_stands_behind_what_does_not_know_of_it(name: str, side: str) -> None:
    """A stack at work sends a segment after something came that it has not looked at: its ACK and its echo tell so."""
    packets = captured_at(SCENARIOS[name].play().trace, side)
    exact = [line.split(" ", 1)[1] for line in recorded(packets, side)]
    own = bytes((10, 0, 0, SIDES.index(side) + 1))
    tried = 0
    for at in range(3, len(packets) - 1):
        (time, sent), (_, came) = packets[at : at + 2]
        view = describe(came)
        if sent[12:16] != own or came[12:16] == own or not (len(view.segment.payload) or view.segment.flags & FIN):
            continue
        swapped = [*packets[:at], (time, came), (time, sent), *packets[at + 2 :]]
        assert [line.split(" ", 1)[1] for line in recorded(swapped, side)] == exact
        tried += 1
    assert tried


def ticking(offset: int, late: int = 0) -> list[tuple[int, bytes]]:
    """A connection whose packets are captured `offset` ns behind the ticks of the timestamps' clock, our own `late` ns more."""
    world = World(1)
    client, server = world.host("client"), world.host("server")
    world.link(client, server, delay=0.01)

    async def serve() -> None:
        listener = server.socket()
        listener.bind(80)
        listener.listen()
        s = await listener.accept()
        await s.recv_all()
        s.close()

    async def call() -> None:
        s = client.socket()
        await s.connect(("server", 80))
        for wait in (0.0003, 0.0013, 0.0004):
            await client.sleep(wait)
            await s.send(b"x" * 10)
        s.close()

    with world:
        world.spawn(serve(), "server", background=True)
        world.spawn(call(), "client", background=True)
        world.run(10.0)
    own = bytes((10, 0, 0, 1))
    return [(time + offset + late * (data[12:16] == own), data) for time, data in captured_at(world.trace, "client")]


@pytest.mark.parametrize("late", [0, 60_000])
@pytest.mark.parametrize("offset", [0, 150_000, 399_999, 500_000, 777_000, 999_999])
def test_time_begins_where_the_timestamps_tick(offset: int, late: int) -> None:
    """A kernel's clock of milliseconds ends them at other times than the clock of the capture, and it takes its time."""
    text = "\n".join(recorded(ticking(offset, late), "client", digits=9, config=TcpConfig())) + "\n"
    passes(play(text))


CLIENT, SERVER = (bytes((10, 0, 0, 1)), 4000), (bytes((10, 0, 0, 2)), 80)


def by_hand(*segments: tuple[str, int, int, int, int], stamps: Sequence[tuple[int, int]] = ()) -> list[tuple[int, bytes]]:
    """Packets of a connection, one a millisecond: whose ("c", "s"), flags, SEG.SEQ, SEG.ACK, bytes of text; then timestamp and
    echo of each."""
    found = []
    for at, (side, flags, seq, ack, length) in enumerate(segments):
        (source, port), (destination, other) = (CLIENT, SERVER) if side == "c" else (SERVER, CLIENT)
        out = Outgoing(seq, ack, flags, 1000, NEW_DATA, bytes(length))
        out.mss = 1460 if flags & SYN else -1
        if stamps:
            out.has_timestamps, (out.tsval, out.tsecr) = True, stamps[at]
        found.append((at * 1_000_000, build_packet(make_key(destination, other, source, port), out, identification=at)))
    return found


@pytest.mark.parametrize(
    ("segments", "stamps", "wanted"),
    [
        # An ACK alone, and what leaves does not echo its timestamp: it was not looked at yet.
        ((("c", ACK, 100, 500, 0), ("s", ACK, 500, 100, 10)), ((12, 21), (23, 11)), "><"),
        ((("c", ACK, 100, 500, 0), ("s", ACK, 500, 100, 10)), ((12, 21), (23, 12)), "<>"),
        # What lies behind Last.ACK.sent is not echoed (RFC 7323 4.3), though it was looked at.
        ((("c", ACK, 100, 500, 10), ("c", ACK, 110, 500, 0), ("s", ACK, 500, 110, 0)), ((12, 21), (13, 21), (23, 12)), "<<>"),
        # An older timestamp is not taken; what contradicts everything stands as it was captured.
        ((("c", ACK, 100, 500, 0), ("s", ACK, 500, 100, 10)), ((10, 21), (23, 11)), "<>"),
        ((("c", ACK, 100, 500, 0), ("s", ACK, 500, 100, 10)), ((12, 21), (23, 99)), "<>"),
        # At the end of the capture.
        ((("c", ACK, 100, 500, 10), ("s", ACK, 500, 100, 10), ("c", ACK, 110, 510, 0)), ((12, 21), (23, 11), (14, 23)), "><<"),
    ],
)
def test_the_echo_tells_what_was_looked_at(
    segments: tuple[tuple[str, int, int, int, int], ...], stamps: tuple[tuple[int, int], ...], wanted: str
) -> None:
    opening = ((10, 0), (20, 10), (11, 20))
    lines = recorded(by_hand(*OPENING, *segments, stamps=opening + stamps), "server")
    shown = "".join(line.split()[1] for line in lines if line.split()[1] in "<>")
    assert shown == "<><" + wanted


OPENING = (("c", SYN, 99, 0, 0), ("s", SYN | ACK, 499, 100, 0), ("c", ACK, 100, 500, 0))
DATA, BARE = ("c", ACK, 100, 500, 10), ("s", RST, 500, 0, 0)


def text(seq: int, length: int) -> tuple[str, int, int, int, int]:
    return ("c", ACK, seq, 500, length)


def answer(ack: int, length: int = 0) -> tuple[str, int, int, int, int]:
    return ("s", ACK, 500, ack, length)


@pytest.mark.parametrize(
    ("segments", "told"),
    [
        ((text(100, 10), answer(110)), [1]),
        ((text(100, 10), answer(110), text(110, 10), answer(120)), [1]),  # it goes on
        ((text(100, 1460), text(1560, 1460), answer(3020)), [0]),  # the second is acknowledged anyway
        ((text(100, 1460), answer(1560)), [1]),
        ((text(100, 10), text(110, 10), answer(120)), [0, 1]),  # two small ones are not
        ((text(100, 10), text(110, 10), text(120, 10)), [0]),
        ((text(100, 10), answer(110, 10)), [0]),  # data took the ACK along
        ((text(100, 10), ("s", RST | ACK, 500, 110, 0), text(110, 10), ("s", RST, 500, 0, 0)), [0]),
        ((text(100, 10), answer(110), ("s", ACK, 500, 110, 10), text(110, 10), ("s", ACK, 510, 120, 0)), [1, 1]),
        ((text(100, 10), answer(110), ("s", RST | ACK, 500, 110, 0), text(110, 10), ("s", RST, 500, 0, 0)), [1]),
        ((text(110, 10), answer(100)), []),  # out of order: always at once
        ((text(100, 10), answer(110), ("s", FIN | ACK, 500, 110, 0), text(110, 10), ("s", ACK, 501, 120, 0)), [1]),  # closed
    ],
)
def test_it_tells_which_acks_went_at_once(segments: tuple[tuple[str, int, int, int, int], ...], told: list[int]) -> None:
    lines = recorded(by_hand(*OPENING, *segments), "server", acks=True)
    assert quick_acks(lines) == told


def quick_acks(lines: Sequence[str]) -> list[int]:
    return [int(line.partition("QUICKACK, [")[2][0]) for line in lines if "QUICKACK" in line]


@pytest.mark.parametrize(
    ("segments", "told"),
    [
        ((answer(110), text(110, 10)), [1, 0]),  # there is a socket once it has come
        ((text(110, 10), answer(120)), [1]),  # and none before, which could put its ACK off
    ],
)
def test_text_that_came_with_the_acknowledgment_of_our_syn_counts(
    segments: tuple[tuple[str, int, int, int, int], ...], told: list[int]
) -> None:
    lines = recorded(by_hand(*OPENING[:2], text(100, 10), *segments), "server", acks=True)
    assert quick_acks(lines) == told


def test_text_before_the_acknowledgment_of_our_syn_finds_no_socket_to_set() -> None:
    early = ("c", ACK, 100, 400, 10)
    lines = recorded(by_hand(*OPENING[:2], early, answer(110), OPENING[2], text(110, 10)), "server", acks=True)
    assert quick_acks(lines) == [0]


@pytest.mark.parametrize(
    ("segments", "side", "gone"),
    [
        ((DATA, BARE), "server", True),
        ((DATA, ("s", ACK, 500, 110, 0), ("c", ACK, 110, 500, 10), BARE), "server", True),
        ((("c", RST, 100, 0, 0), DATA, BARE), "server", False),  # the peer had ended it
        ((("s", FIN | ACK, 500, 100, 0), ("c", ACK, 100, 501, 10), ("s", RST, 501, 0, 0)), "server", False),
        ((("s", RST | ACK, 500, 100, 0), DATA, BARE), "server", False),
        ((DATA, ("s", RST, 400, 0, 0)), "server", False),  # no answer to that
        ((("s", SYN | ACK, 499, 100, 0), ("c", RST, 100, 0, 0)), "client", False),
    ],
)
def test_only_an_open_connection_that_nobody_ended_was_forgotten(
    segments: tuple[tuple[str, int, int, int, int], ...], side: str, gone: bool
) -> None:
    lines = recorded(by_hand(*OPENING, *segments), side)
    assert (", since it forgot the connection: " in lines[0]) == gone
    assert any("accept(" in line or "connect(" in line for line in lines) != gone


def test_what_was_before_a_connection_that_was_forgotten_is_gone_too() -> None:
    """Two connections between the same ports; the second meets a crash, a third begins anew."""
    first = (*OPENING, ("c", FIN | ACK, 100, 500, 0), ("s", FIN | ACK, 500, 101, 0), ("c", ACK, 101, 501, 0))
    later = [
        tuple((side, flags, seq + more, ack + more * bool(flags & ACK), length) for side, flags, seq, ack, length in segments)
        for more, segments in ((10_000, (*OPENING, DATA, BARE)), (20_000, OPENING))
    ]
    lines = recorded(by_hand(*first, *later[0], *later[1]), "server")
    assert lines[0] == "// Recorded of the server in a capture, since it forgot the connection: 10.0.0.1:4000 10.0.0.2:80"
    assert [line.split(" ", 1)[1].split("(")[0] for line in lines[1:] if "sysctl" not in line] == [
        "< . 1:11", "> R 10500:10500", "socket", "bind", "listen", "< S 10000:10000", "> S. 0:0", "< . 1:1", "accept",
    ]  # fmt: skip
    whole = recorded(by_hand(*first, *later[1]), "server")
    assert [line.split(" ", 1)[1] for line in whole if "accept" in line or "close" in line] == [
        "accept(3, ..., ...) = 4", "close(4) = 0", "accept(3, ..., ...) = 4",
    ]  # fmt: skip


def test_the_syn_and_the_first_window_tell_the_buffer() -> None:
    """Half of what tcp_rmem says is the window, and its most is what the scale can say."""
    large = recorded(ticking(0), "client")
    assert '0 `sysctl -q net.ipv4.tcp_rmem="4096 524288 524280"`' in large  # 262,144, scaled by 3
    small = captured(connection(TcpConfig(receive_buffer=40_000, window_scale=5)))
    text = record_capture(small, "server", config=TcpConfig())
    assert '0 `sysctl -q net.ipv4.tcp_rmem="4096 80000 2097120"`\n' in text
    assert "recvspace" not in text


def test_an_mss_beyond_what_a_script_can_say_is_told_as_far_as_it_goes() -> None:
    packets = captured_at(SCENARIOS["refused"].play().trace, "client")
    assert recorded(packets, "client")[1].startswith("0 `sysctl")
    large = [(time, data.replace(b"\x02\x04\x05\xb4", b"\x02\x04\xff\xf0")) for time, data in packets]
    assert recorded(large, "client")[1] == "--mtu=65535"


@pytest.mark.parametrize(("mss", "mtu"), [(65_476, 65_536), (65_515, 65_575), (65_535, 65_575)])
def test_in_ipv6_an_mtu_may_be_larger_by_the_header(mss: int, mtu: int) -> None:
    out = Outgoing(1, 0, SYN, 1000, NEW_DATA, b"")
    out.mss = mss
    packet = build_packet(make_key(bytes(15) + b"1", 80, bytes(15) + b"2", 4000), out, identification=0)
    lines = script_of([Moved(0, False, describe(packet))], origin="by hand").splitlines()
    assert lines[1:3] == ["--ip_version=ipv6", f"--mtu={mtu}"]


def joined(packets: list[tuple[int, bytes]], first: int) -> list[tuple[int, bytes]]:
    """The segments `first` and the next as one, as a capture has them before a card cuts them."""
    (time, one), (_, other) = packets[first : first + 2]
    data = one[:33] + other[33:34] + one[34:] + bytes(describe(other).segment.payload)
    return [*packets[:first], (time, data[:2] + len(data).to_bytes(2, "big") + data[4:]), *packets[first + 2 :]]


@pytest.mark.parametrize(("size", "told"), [(2960, True), (2896, False)])
def test_a_super_segment_with_a_small_end_tells_that_nagle_was_off(size: int, told: bool) -> None:
    world = World(1)
    client, server = world.host("client"), world.host("server")
    world.link(client, server, delay=0.01)

    async def serve() -> None:
        listener = server.socket()
        listener.bind(80)
        listener.listen()
        await (await listener.accept()).recv_all()

    async def call() -> None:
        s = client.socket()
        await s.connect(("server", 80))
        s.set_option("nodelay", 1)
        await s.send(b"x" * size)

    with world:
        world.spawn(serve(), "server", background=True)
        world.spawn(call(), "client", background=True)
        world.run(1.0)
    packets = captured_at(world.trace, "client")
    first = next(at for at, (_, data) in enumerate(packets) if len(data) == 1500)
    last = [at for at, (_, data) in enumerate(packets) if at >= first and data[12:16] == bytes((10, 0, 0, 1))][-1]
    for _ in range(last - first):
        packets = joined(packets, first)
    assert len(packets[first][1]) == 52 + size
    lines = recorded(packets, "client", config=TcpConfig())
    assert any("TCP_NODELAY" in line for line in lines) == told
    passes(play("\n".join(lines) + "\n"))


def test_a_crash_before_the_connection_is_no_matter() -> None:
    world = SCENARIOS["whole-life"].play()
    whole = record_trace(world.trace, "server")
    world.trace.events.insert(0, Fault(0, "server", "", "host crashed", "server"))
    assert record_trace(world.trace, "server") == whole


def test_a_single_byte_that_no_call_wrote_is_told() -> None:
    world = World(1)
    client, server = world.host("client"), world.host("server")
    world.link(client, server, delay=0.01)

    async def serve() -> None:
        listener = server.socket()
        listener.bind(80)
        listener.listen()
        await (await listener.accept()).recv()

    async def call() -> None:
        await client.socket().connect(("server", 80), b"x")

    with world:
        world.spawn(serve(), "server", background=True)
        world.spawn(call(), "client", background=True)
        world.run(1.0)
    with pytest.raises(RecordError, match=r"^1 bytes were sent that no call wrote: "):
        record_trace(world.trace, "client")


def test_what_calls_wrote_is_counted_for_each_connection_alone() -> None:
    """Ten bytes written to the first do not stand for the one that the second connect brought along."""
    world = World(1)
    client, server = world.host("client"), world.host("server")
    world.link(client, server, delay=0.01)

    async def serve() -> None:
        listener = server.socket()
        listener.bind(80)
        listener.listen()
        for _ in range(2):
            s = await listener.accept()
            await s.recv()
            s.close()

    async def call() -> None:
        for data in (b"", b"x"):
            s = client.socket()
            s.bind(4000)
            await s.connect(("server", 80), data)
            await s.send(bytes(10))
            await s.recv_all()
            s.close()
            await client.sleep(0.5)

    with world:
        world.spawn(serve(), "server", background=True)
        world.spawn(call(), "client", background=True)
        world.run(3.0)
    with pytest.raises(RecordError, match=r"^1 bytes were sent that no call wrote: "):
        record_trace(world.trace, "client")


def test_timestamps_by_another_clock_may_be_left_open() -> None:
    stretched = [(time * 3 // 2, data) for time, data in ticking(0)]
    lines = recorded(stretched, "client", left_open=("timestamps",))
    assert lines[1] == "// Left open: timestamps"
    assert sum("> " in line and "TS val ... ecr" in line for line in lines) == sum(" > " in line for line in lines) - 1
    assert "> S 0:0(0)" in next(line for line in lines if "TS val 1000 ecr 0" in line)


def test_windows_may_be_left_open() -> None:
    packets = captured_at(SCENARIOS["zero-window"].play().trace, "server")
    exact, lines = recorded(packets, "server"), recorded(packets, "server", left_open=("windows",))
    assert lines[1] == "// Left open: windows"
    assert [line for line in lines if " > " in line and " win " in line] == [line for line in exact if " > S" in line]
    assert [line for line in lines if " < " in line] == [line for line in exact if " < " in line]
    passes(again("zero-window", "server", "\n".join(lines) + "\n"))


def test_a_buffer_that_grew_is_as_large_as_its_windows_say() -> None:
    """What is not read yet lies in it too; the window of the SYN is another then."""
    packets = []
    for time, data in captured_at(SCENARIOS["zero-window"].play().trace, "server"):
        grows = data[12:16] == bytes((10, 0, 0, 2)) and not data[33] & 2
        packets.append((time, data[:34] + (20_000).to_bytes(2, "big") + data[36:] if grows else data))
    exact, lines = recorded(packets, "server"), recorded(packets, "server", left_open=("windows",))
    assert "0 `sysctl -q net.inet.tcp.recvspace=4380`" in exact
    read = [int(line.rpartition("= ")[2]) for line in lines if "read(" in line]
    assert sum(read) == 5841 - 1
    assert "0 `sysctl -q net.inet.tcp.recvspace=20000`" in lines
    assert not any(" > " in line and " win " in line for line in lines)


# --- the command


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `synfin packetdrill`: exit status, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        status = run(["packetdrill", *arguments])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "life.pcapng"
    write_pcapng(SCENARIOS["whole-life"].play().trace, path)
    return path


def test_the_command_writes_a_script_that_passes(capture: Path, tmp_path: Path, command: Command) -> None:
    target = tmp_path / "life.pkt"
    status, output, notice = command("--record", str(capture), "--side", "server", "-o", str(target))
    assert (status, output, notice) == (0, "", f"{target}: it passes\n")
    assert command(str(target), "--strict", "-q")[0] == 0
    assert target.read_text().startswith("// Recorded of the server in life.pcapng: 10.0.0.1:60276 10.0.0.2:80\n")


def test_without_a_file_the_script_goes_to_stdout(capture: Path, command: Command) -> None:
    status, output, notice = command("--record", str(capture), "--side", "server", "--lang", "zh")
    assert (status, notice) == (0, "播放通过\n")
    assert told(play(output))[0] == PASS
    assert command("--record", str(capture), "--side", "server", "-q")[2] == ""


def test_settings_are_written_out_where_the_profile_says_otherwise(capture: Path, command: Command) -> None:
    """synfin's own delayed ACK is another than the profile's."""
    status, output, _ = command("--record", str(capture))
    assert status == 0
    assert "net.inet.tcp.delacktime=40" in output
    assert told(play(output))[0] == PASS


def test_a_script_that_does_not_pass_is_written_and_told(tmp_path: Path, command: Command) -> None:
    path, target = tmp_path / "forged.pcapng", tmp_path / "forged.pkt"
    write_pcapng(SCENARIOS["wrong-ack-third"].play().trace, path)
    status, _, notice = command("--record", str(path), "-o", str(target))
    assert status == 1
    assert notice.startswith(
        f"{target}: it does not pass on a stack that is set like the profile rfc; --profile says how the recorded one was set\n"
        f"FAIL {target} [ipv4]\n"
    )
    assert target.exists()
    assert told(play(target.read_text()))[0] == FAIL


def test_acks_that_the_profile_would_put_off_are_told_by_the_command_too(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "eager.pcapng"
    write_pcapng(connection(TcpConfig(delayed_ack=0, receive_buffer=60_000)).trace, path)
    status, output, notice = command("--record", str(path), "--side", "server")
    assert (status, notice) == (0, "it passes\n")
    assert "TCP_QUICKACK, [1]" in output


@pytest.mark.parametrize(
    ("lang", "told"),
    [
        ("en", "it passes; left open: the windows that its packets tell, the values of its timestamps"),
        ("zh", "播放通过；未比较：本方报文通告的窗口、本方报文的时间戳值"),
    ],
)
def test_what_alone_differs_is_left_open_and_told(tmp_path: Path, lang: str, told: str, command: Command) -> None:
    """Windows that grow without anything read, and a clock of timestamps that runs fast."""
    changed = []
    for time, data in captured_at(SCENARIOS["whole-life"].play().trace, "server"):
        if data[12:16] == bytes((10, 0, 0, 2)) and not data[33] & 2 and len(data) > 51:
            stamp = int.from_bytes(data[44:48], "big") + time // 7_000_000
            window = 30_000 + time // 1_000_000
            data = data[:34] + window.to_bytes(2, "big") + data[36:44] + stamp.to_bytes(4, "big") + data[48:]
        changed.append((time, data))
    path = tmp_path / "odd.pcap"
    path.write_bytes(pcap(changed).getvalue())
    status, output, notice = command("--record", str(path), "--side", "server", "--lang", lang)
    assert (status, notice) == (0, f"{told}\n")
    assert output.splitlines()[1:3] == ["// Left open: windows", "// Left open: timestamps"]
    passes(play(output))


def failed(at: int, *why: str) -> Outcome:
    return Outcome(verdict=FAIL, file="a.pkt", at=at, why=why)


def test_of_scripts_that_fail_the_first_of_those_that_come_furthest_is_kept(
    capture: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach = [5, 9, 9, 3]
    attempts = [recording.Attempt(f"script {number}\n", failed(at), ()) for number, at in enumerate(reach)]
    monkeypatch.setattr(recording, "_attempts", lambda *_: iter(attempts))
    assert command("--record", str(capture))[:2] == (1, "script 1\n")
    passing = recording.Attempt("script 4\n", Outcome(verdict=PASS, file="a.pkt"), ())
    monkeypatch.setattr(recording, "_attempts", lambda *_: iter([*attempts, passing, attempts[1]]))
    assert command("--record", str(capture))[:2] == (0, "script 4\n")


@pytest.mark.parametrize(
    ("whys", "left_open"),
    [
        ([("window",), ("TS val",), ()], [(), ("windows",), ("windows", "timestamps")]),
        ([("TS val",), ("window",), ()], [(), ("timestamps",), ("windows", "timestamps")]),
        ([("TS val", "window"), ("ack",)], [(), ("windows", "timestamps")]),
        ([("window", "ack")], [()]),
        ([("window",), ("window",)], [(), ("windows",)]),
        ([("time",)], [()]),
    ],
)
def test_nothing_is_left_open_unless_all_that_differs_may_be(
    whys: list[tuple[str, ...]], left_open: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each way of writing is played as it is first: microseconds, then nanoseconds; the profile's settings, then synfin's own;
    no TCP_QUICKACK, then with it."""
    rest = iter(whys)

    def play_text(text: str, name: str, wish: Wish, lang: str) -> Outcome:
        return failed(1, *(next(rest) if text.startswith("6 None False") else ("ack",)))

    def make(way: recording.Way, opened: tuple[str, ...]) -> str:
        return " ".join([f"{way.digits} {way.config} {way.acks}", *opened])

    monkeypatch.setattr(recording, "play_text", play_text)
    found = list(recording._attempts(make, "a.pkt", wish(), "en"))
    config = TcpConfig()
    assert [each.text for each in found[:8]] == [
        f"{digits} {each} {acks}" for acks in (False, True) for each in (None, config) for digits in (6, 9)
    ]
    assert [(), *(each.left_open for each in found[8:])] == left_open


def test_a_trace_as_json_is_recorded_too(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "life.json"
    path.write_text("\n".join(map(json.dumps, SCENARIOS["whole-life"].play().trace.to_json())))
    status, output, _ = command("--record", str(path), "--side", "server")
    assert status == 0
    assert output.startswith("// Recorded of server: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing argument 'FILE...'."),
        (("--record", "life", "x.pkt"), "--record takes no scripts to play."),
        (("--record", "life", "--side", "left"), "--side is client or server for a capture, not 'left'"),
        (("--record", "life", "--connection", "2"), "there is no connection 2, there are 1"),
        (("--record", "nothing"), "cannot read nothing: No such file or directory"),
    ],
)
def test_a_mistake_is_told_in_one_line(capture: Path, arguments: tuple[str, ...], message: str, command: Command) -> None:
    status, output, notice = command(*(str(capture) if each == "life" else each for each in arguments))
    assert (status, output) == (2, "")
    assert notice.count("\n") == 1
    assert message in notice
