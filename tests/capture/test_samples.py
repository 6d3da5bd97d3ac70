"""A capture as samples: windows of time, what each tells, and a capture that tcpdump writes of what hping3 sends."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synfin.capture.headers import Tally
from synfin.capture.reader import Capture, CaptureError
from synfin.cli.main import run
from synfin.engine.segment import ACK, SYN
from synfin.watch.captured import samples
from synfin.watch.sample import Counts, HalfOpenEntry, ListenerSample, Sample
from tests.capture.files import CLIENT, SERVER, block, interface, pcap, section, tcp
from tests.interop.namespace import ip
from tests.watch.kernelside import ANSWER, LISTENERS, program

SECOND = 1_000_000_000
X, Y = 1234567, 7654321


def taken(data: bytes, window: float = 1.0) -> list[Sample]:
    return list(samples(Capture(io.BytesIO(data)), int(window * SECOND), Tally()))


def opening(time: float, port: int, *, final: bool = True) -> list[tuple[float, bytes]]:
    packets = [
        (time, tcp(SYN, X, source_port=port)),
        (time + 0.01, tcp(SYN | ACK, Y, X + 1, source=SERVER, source_port=80, target=CLIENT, port=port)),
    ]
    return packets + [(time + 0.02, tcp(ACK, X + 1, Y + 1, source_port=port))] * final


def test_there_is_a_sample_at_the_end_of_each_window() -> None:
    found = taken(pcap(*opening(100, 1), *opening(100.5, 2, final=False), *opening(102.25, 3)))
    assert [sample.at / SECOND for sample in found] == [100, 101, 102, 102.27]
    assert [sample.totals.syns for sample in found] == [0, 2, 2, 3]
    assert [sample.totals.completed for sample in found] == [0, 1, 1, 2]
    assert [sum(each.half_open for each in sample.listeners) for sample in found] == [0, 1, 1, 1]
    assert {sample.source for sample in found} == {"capture"}


def test_a_sample_tells_what_a_capture_can() -> None:
    last = taken(pcap(*opening(100, 1, final=False), *opening(100.5, 2)))[-1]
    counts = Counts(syns=2, syn_ack_repeats=0, completed=1, expired=0, resets=0)
    entry = HalfOpenEntry(SERVER, 80, CLIENT, 1, 520_000_000, 1, "-")
    assert last.listeners == (ListenerSample(address=SERVER, port=80, half_open=1, counts=counts, entries=(entry,)),)
    assert (last.totals, last.states) == (counts, {})


def test_a_capture_without_packets_has_no_samples() -> None:
    assert taken(pcap()) == []


def test_one_packet_is_a_sample_before_it_and_one_after() -> None:
    found = taken(pcap((100, tcp(SYN, X))))
    assert [(sample.at, sample.totals.syns) for sample in found] == [(100 * SECOND, 0), (100 * SECOND + 1, 1)]


def test_the_middle_of_a_long_pause_is_left_out() -> None:
    found = taken(pcap(*opening(100, 1, final=False), *opening(100_000.5, 2)))
    times = [sample.at // SECOND for sample in found]
    assert len(times) < 200
    assert times[-3:] == [281, 100_000, 100_000]
    assert [sample.totals.expired for sample in found if sample.at // SECOND in (163, 164, 165)] == [0, 1, 1]


def test_time_that_goes_back_counts_as_the_latest_before() -> None:
    found = taken(pcap(*opening(105, 1), *opening(100, 2)))
    assert [sample.at // SECOND for sample in found] == [105, 105]
    assert found[-1].totals.completed == 2


def test_packets_without_a_time_are_one_window() -> None:
    data = section() + interface()
    for number in (1, 2):
        packet = tcp(SYN, X, source_port=number)
        data += block(3, len(packet).to_bytes(4, "little") + packet)
    found = taken(data)
    assert [(sample.at, sample.totals.syns) for sample in found] == [(0, 0), (1, 2)]


def test_a_scan_of_closed_ports_shows_no_listener() -> None:
    packets = []
    for port in range(1, 200):
        packets.append((100 + port / 1000, tcp(SYN, X, port=port)))
        packets.append((100 + port / 1000, tcp(0x14, 0, X + 1, source=SERVER, source_port=port, target=CLIENT, port=5000)))
    last = taken(pcap(*packets))[-1]
    assert last.listeners == ()
    assert last.totals.syns == 199


def test_of_many_listeners_those_with_most_half_open_entries_are_told() -> None:
    packets = [(100.0, tcp(SYN, X, port=port)) for port in range(1, 1101)]
    packets += [(100.1, tcp(SYN, X, source_port=number, port=1100)) for number in range(10)]
    last = taken(pcap(*packets))[-1]
    assert len(last.listeners) == 1000
    assert (last.listeners[0].port, last.listeners[0].half_open) == (1100, 11)
    assert last.totals.syns == 1110


@contextmanager
def attacked() -> Iterator[tuple[list[str], list[str]]]:
    """What runs a program on the server, and what runs one on the attacker's host, two namespaces with a wire between."""
    server, attacker = (f"synfin-test-{os.getpid()}-{name}" for name in ("server", "attacker"))
    made = []
    try:
        for name in (server, attacker):
            ip("netns", "add", name)
            made.append(name)
        ip("link", "add", "wire", "netns", server, "type", "veth", "peer", "wire", "netns", attacker)
        for name, address in ((server, "10.78.0.1/24"), (attacker, "10.78.0.2/24")):
            ip("-n", name, "address", "add", address, "dev", "wire")
            ip("-n", name, "link", "set", "wire", "up")
        ip("-n", server, "route", "add", "default", "via", "10.78.0.2")
        yield ["ip", "netns", "exec", server], ["ip", "netns", "exec", attacker]
    finally:
        for name in made:
            ip("netns", "delete", name)


@contextmanager
def recorded(command: list[str], file: Path) -> Iterator[None]:
    """tcpdump meanwhile."""
    words = [*command, "tcpdump", "-i", "wire", "-U", "--immediate-mode", "-Z", "root", "-w", str(file), "tcp"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert "listening on" in process.stderr.readline()
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(ANSWER)


def counted(file: Path, which: str) -> int:
    words = ["tshark", "-r", str(file), "-Y", which, "-T", "fields", "-e", "frame.number"]
    return len(subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout.split())


@pytest.mark.needs("netns", "hping3", "tcpdump", "tshark")
def test_a_flood_that_tcpdump_records_is_counted_as_tshark_does(tmp_path: Path) -> None:
    file = tmp_path / "flood.pcap"
    with (
        attacked() as (server, attacker),
        program([*server, sys.executable, "-c", LISTENERS, "0.0.0.0,80,16"]),
        recorded(server, file),
    ):
        hping = [*attacker, "hping3", "-q", "-S", "-p", "80", "-i", "u2000", "-c", "200", "--rand-source", "10.78.0.1"]
        subprocess.run(hping, check=False, capture_output=True, timeout=ANSWER)
    tally = Tally()
    with file.open("rb") as opened:
        found = list(samples(Capture(opened), SECOND, tally))
    (listener,) = found[-1].listeners
    assert listener.name == (bytes((10, 78, 0, 1)), 80)
    assert listener.counts.syns == counted(file, "tcp.flags.syn==1 && tcp.flags.ack==0")
    assert listener.counts.syns > 150
    answers = counted(file, "tcp.flags.syn==1 && tcp.flags.ack==1")
    assert listener.counts.syn_ack_repeats == counted(file, "tcp.analysis.retransmission")
    assert listener.half_open == answers - listener.counts.syn_ack_repeats
    assert (listener.counts.completed, listener.counts.expired, listener.counts.resets) == (0, 0, 0)
    assert tally.tcp == tally.packets == counted(file, "tcp")


@pytest.mark.parametrize(("scenario", "syns"), [("three-way-handshake", 1), ("lost-syn", 2)])
def test_packets_on_both_ends_of_a_simulated_link_count_once(tmp_path: Path, scenario: str, syns: int) -> None:
    path = tmp_path / "demo.pcapng"
    assert run(["demo", scenario, "--pcap", str(path)]) == 0
    last = taken(path.read_bytes())[-1]
    assert last.totals == Counts(syns=syns, syn_ack_repeats=0, completed=1, expired=0, resets=0)


@given(st.integers(0, 2000), st.binary(min_size=1, max_size=30), st.sampled_from([101, 1, 113, 276, 0]))
def test_any_damage_to_a_capture_is_samples_or_that_error(at: int, put: bytes, link: int) -> None:
    before = {101: b"", 1: bytes(12) + b"\x08\x00", 113: bytes(14) + b"\x08\x00", 276: b"\x08\x00" + bytes(18), 0: b"\2\0\0\0"}
    whole = pcap(*((time, before[link] + data) for time, data in [*opening(100, 1), *opening(100.5, 2)]), link=link)
    with contextlib.suppress(CaptureError):
        for sample in taken(whole[:at] + put + whole[at + len(put) :]):
            assert all(each.half_open >= 0 for each in sample.listeners)
