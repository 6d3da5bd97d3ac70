"""Handshakes among packets: what each segment does to a half-open entry, and that memory is bounded whatever comes."""

import pytest

from synfin.capture import handshakes as module
from synfin.capture.handshakes import Handshakes, Port
from synfin.capture.headers import Header, Tally, tcp_header
from synfin.capture.reader import Record
from synfin.engine.segment import ACK, FIN, PSH, RST, SYN
from tests.capture.files import CLIENT, CLIENT6, RAW, SERVER, SERVER6, tcp

SYN_ACK = SYN | ACK
X, Y = 1234567, 7654321  # initial sequence numbers: the client's, the server's
PORT = SERVER + (80).to_bytes(2, "big")


def header(packet: bytes) -> Header:
    found = tcp_header(Record(0, RAW, packet, len(packet)), Tally())
    assert found is not None
    return found


def client(flags: int, seq: int, ack: int = 0, *, port: int = 5000) -> Header:
    return header(tcp(flags, seq, ack, source_port=port))


def server(flags: int, seq: int, ack: int = 0, *, port: int = 5000) -> Header:
    return header(tcp(flags, seq, ack, source=SERVER, source_port=80, target=CLIENT, port=port))


def play(*steps: tuple[int, Header]) -> Handshakes:
    handshakes = Handshakes()
    for now, each in steps:
        handshakes.add(each, now)
    return handshakes


def state(port: Port) -> dict[str, int | bool]:
    """All of a port that is not zero."""
    names = ("answered", "syns", "repeats", "completed", "expired", "resets", "refused", "forgotten", "held", "waiting")
    return {name: getattr(port, name) for name in names if getattr(port, name)}


OPENING = ((0, client(SYN, X)), (10, server(SYN_ACK, Y, X + 1)))


def test_a_syn_waits_for_its_answer() -> None:
    handshakes = play(OPENING[0])
    assert state(handshakes.ports[PORT]) == {"syns": 1, "waiting": 1}
    assert (handshakes.ports[PORT].address, handshakes.ports[PORT].port) == (SERVER, 80)


def test_a_syn_ack_makes_an_entry_half_open() -> None:
    handshakes = play(*OPENING)
    port = handshakes.ports[PORT]
    assert state(port) == {"answered": True, "syns": 1, "held": 1}
    assert list(handshakes.entries()) == [(port, CLIENT, 5000, 0, 1)]


@pytest.mark.parametrize("flags", [ACK, ACK | PSH, ACK | FIN])
def test_the_final_ack_completes_a_handshake_with_data_or_fin_too(flags: int) -> None:
    handshakes = play(*OPENING, (20, client(flags, X + 1, Y + 1)))
    assert state(handshakes.ports[PORT]) == {"answered": True, "syns": 1, "completed": 1}
    assert list(handshakes.entries()) == []


def test_an_ack_of_something_else_completes_nothing() -> None:
    handshakes = play(*OPENING, (20, client(ACK, X + 1, Y + 2)))
    assert state(handshakes.ports[PORT]) == {"answered": True, "syns": 1, "held": 1}


def test_a_final_ack_that_was_not_captured_is_told_by_what_the_server_says_next() -> None:
    handshakes = play(*OPENING, (20, server(ACK | PSH, Y + 1, X + 1)))
    assert state(handshakes.ports[PORT]) == {"answered": True, "syns": 1, "completed": 1}


def test_sequence_numbers_wrap() -> None:
    handshakes = play(
        (0, client(SYN, 0xFFFFFFFF)), (1, server(SYN_ACK, 0xFFFFFFFF, 0)), (2, client(ACK, 0, 0))
    )  # fmt: skip
    assert state(handshakes.ports[PORT]) == {"answered": True, "syns": 1, "completed": 1}


def test_syn_acks_sent_again_are_counted() -> None:
    again = server(SYN_ACK, Y, X + 1)
    handshakes = play(*OPENING, (1010, again), (3010, again), (7010, again))
    assert state(handshakes.ports[PORT]) == {"answered": True, "syns": 1, "repeats": 3, "held": 1}
    assert [each.syn_acks for each in handshakes.entries()] == [4]


def test_a_packet_that_was_captured_twice_counts_once() -> None:
    handshakes = play(OPENING[0], (1, OPENING[0][1]), OPENING[1], (11, OPENING[1][1]), (199, OPENING[0][1]))
    assert state(handshakes.ports[PORT]) == {"answered": True, "syns": 1, "held": 1}


def test_a_syn_sent_again_is_another_syn_and_no_other_entry() -> None:
    handshakes = play((0, client(SYN, X)), (1000, client(SYN, X)), (3000, client(SYN, X)))
    assert state(handshakes.ports[PORT]) == {"syns": 3, "waiting": 1}


def test_a_syn_with_another_number_begins_anew() -> None:
    handshakes = play(*OPENING, (20, client(SYN, X + 77)))
    assert state(handshakes.ports[PORT]) == {"answered": True, "syns": 2, "waiting": 1}
    assert list(handshakes.entries()) == []


def test_a_syn_ack_of_another_syn_is_not_an_answer() -> None:
    handshakes = play((0, client(SYN, X)), (1, server(SYN_ACK, Y, X + 5)))
    assert state(handshakes.ports[PORT]) == {"syns": 1, "waiting": 1}


def test_an_rst_from_the_client_ends_an_entry() -> None:
    handshakes = play(*OPENING, (20, client(RST, X + 1)))
    assert state(handshakes.ports[PORT]) == {"answered": True, "syns": 1, "resets": 1}


def test_an_rst_from_the_server_after_its_syn_ack_ends_an_entry() -> None:
    handshakes = play(*OPENING, (20, server(RST, Y + 1)))
    assert state(handshakes.ports[PORT]) == {"answered": True, "syns": 1, "resets": 1}


def test_a_port_that_answers_with_rst_is_no_listener_and_is_let_go() -> None:
    handshakes = play((0, client(SYN, X)), (1, server(RST | ACK, 0, X + 1)))
    assert state(handshakes.ports[PORT]) == {"syns": 1, "refused": 1}
    assert not handshakes.ports[PORT].listens
    handshakes.expire(2)
    assert handshakes.ports == {}
    assert handshakes.totals() == {"syns": 1, "repeats": 0, "completed": 0, "expired": 0, "resets": 0}


def test_a_syn_ack_whose_syn_was_not_captured_is_a_half_open_entry() -> None:
    handshakes = play((5, OPENING[1][1]), (20, client(ACK, X + 1, Y + 1)))
    assert state(handshakes.ports[PORT]) == {"answered": True, "syns": 1, "completed": 1}


def test_a_syn_ack_again_after_the_final_ack_was_seen_is_a_repeat_and_no_new_entry() -> None:
    again = server(SYN_ACK, Y, X + 1)
    handshakes = play(*OPENING, (20, client(ACK, X + 1, Y + 1)), (30, again), (1010, again), (3010, again))
    assert state(handshakes.ports[PORT]) == {"answered": True, "syns": 1, "completed": 1, "repeats": 2}


def test_the_same_ends_may_connect_again() -> None:
    handshakes = play(*OPENING, (20, client(ACK, X + 1, Y + 1)), (30, client(SYN, X + 900)))
    assert state(handshakes.ports[PORT]) == {"answered": True, "syns": 2, "completed": 1, "waiting": 1}


def test_a_server_whose_answers_were_not_captured_has_its_syns_half_open() -> None:
    handshakes = play((0, client(SYN, X)), (1, client(SYN, X, port=5001)), (9, client(ACK, X + 1, 42, port=5001)))
    port = handshakes.ports[PORT]
    assert (port.listens, port.half_open, port.completed) == (True, 1, 1)
    assert list(handshakes.entries()) == [(port, CLIENT, 5000, 0, 0)]


def test_an_entry_lives_as_long_as_its_server_waits() -> None:
    handshakes = play(*OPENING)
    handshakes.expire(63_999)
    assert handshakes.ports[PORT].half_open == 1
    handshakes.expire(64_000)
    assert state(handshakes.ports[PORT]) == {"answered": True, "syns": 1, "expired": 1}
    assert list(handshakes.entries()) == []


def test_an_entry_that_began_anew_lives_on_from_then() -> None:
    handshakes = play((0, client(SYN, X)), (5000, client(SYN, X + 9)))
    handshakes.expire(64_000)
    assert state(handshakes.ports[PORT]) == {"syns": 2, "waiting": 1}
    handshakes.expire(69_000)
    assert handshakes.totals() == {"syns": 2, "repeats": 0, "completed": 0, "expired": 1, "resets": 0}


def test_ipv6_is_the_same() -> None:
    handshakes = play(
        (0, header(tcp(SYN, X, source=CLIENT6, target=SERVER6))),
        (1, header(tcp(SYN_ACK, Y, X + 1, source=SERVER6, source_port=80, target=CLIENT6, port=5000))),
    )
    port = handshakes.ports[SERVER6 + PORT[-2:]]
    assert list(handshakes.entries()) == [(port, CLIENT6, 5000, 0, 1)]


def flood(handshakes: Handshakes, count: int, *, rate: int, answered: bool = False) -> int:
    """So many SYNs, each from an address of its own, `rate` a millisecond; returns the time of the last."""
    now = 0
    for number in range(count):
        now = number // rate
        key = (number + 0x0B000000).to_bytes(4, "big") + SERVER + b"\x13\x88" + PORT[-2:]
        handshakes.add(Header(key, number, 0, SYN), now)
        if answered:
            handshakes.add(Header(SERVER + key[:4] + PORT[-2:] + b"\x13\x88", 7, number + 1, SYN_ACK), now)
    return now


def test_a_flood_is_bounded_and_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 1000)
    handshakes = Handshakes()
    flood(handshakes, 5000, rate=1)
    port = handshakes.ports[PORT]
    assert port.syns == 5000
    assert port.forgotten + port.waiting == 5000
    assert port.waiting <= 1000
    assert len(handshakes._entries) == port.waiting
    assert min(each.began for each in handshakes.entries()) == port.forgotten


def test_after_a_flood_nothing_is_left() -> None:
    handshakes = Handshakes()
    last = flood(handshakes, 20_000, rate=10, answered=True)
    assert handshakes.ports[PORT].half_open == 20_000
    handshakes.expire(last + 64_001)
    assert state(handshakes.ports[PORT]) == {"answered": True, "syns": 20_000, "expired": 20_000}
    assert (len(handshakes._entries), len(handshakes._batches)) == (0, 0)


def test_of_many_entries_a_sample_is_told_in_which_each_stays() -> None:
    handshakes = Handshakes()
    flood(handshakes, 40_000, rate=100)
    told = {each.remote for each in handshakes.entries()}
    assert 4096 <= len(told) <= 8192
    flood(handshakes, 41_000, rate=100)
    assert told <= {each.remote for each in handshakes.entries()}


def test_ports_beyond_those_kept_are_counted_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PORTS", 10)
    handshakes = play(*((0, header(tcp(SYN, X, port=port))) for port in range(1, 31)))
    assert (len(handshakes.ports), handshakes.unlisted) == (10, 20)


def test_what_was_completed_lately_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_DONE", 10)
    handshakes = Handshakes()
    for number in range(1, 100):
        handshakes.add(client(SYN, X, port=number), number)
        handshakes.add(server(SYN_ACK, Y, X + 1, port=number), number)
        handshakes.add(client(ACK, X + 1, Y + 1, port=number), number)
    assert handshakes.ports[PORT].completed == 99
    assert len(handshakes._done) + len(handshakes._done_before) <= 20


def told(packet: bytes, link: int = RAW) -> tuple[Header | None, dict[str, int]]:
    tally = Tally()
    found = tcp_header(Record(0, link, packet, len(packet)), tally)
    return found, {name: getattr(tally, name) for name in Tally.__slots__ if getattr(tally, name)}


@pytest.mark.parametrize("source", [CLIENT, CLIENT6])
@pytest.mark.parametrize("mss", [-1, 1460])
def test_a_packet_cut_behind_its_flags_still_has_its_header(source: bytes, mss: int) -> None:
    target = SERVER if len(source) == 4 else SERVER6
    packet = tcp(SYN, X, 0, source=source, target=target, payload=bytes(500), mss=mss)
    whole = header(packet)
    needed = (20 if len(source) == 4 else 40) + 14
    for length in range(needed, len(packet)):
        assert told(packet[:length]) == (whole, {"packets": 1, "tcp": 1})
    for length in range(1, needed):
        assert told(packet[:length]) == (None, {"packets": 1, "damaged": 1})


def test_what_is_no_tcp_is_so_when_it_is_cut_too() -> None:
    for packet in (tcp(SYN)[:9] + b"\x11" + tcp(SYN)[10:], b"\x60\0\0\0\0\x40\x3a\1" + bytes(40)):
        for length in range(20 if packet[0] == 0x45 else 40, len(packet)):
            assert told(packet[:length]) == (None, {"packets": 1, "no_tcp": 1})


def test_what_is_no_tcp_is_counted_by_what_it_is() -> None:
    udp = tcp(SYN)[:9] + b"\x11" + tcp(SYN)[10:]
    fragment = tcp(SYN)[:6] + b"\x20\x00" + tcp(SYN)[8:]
    short = tcp(SYN)[:32] + b"\x10" + tcp(SYN)[33:]  # a data offset of 4 bytes
    assert told(udp) == (None, {"packets": 1, "no_tcp": 1})
    assert told(fragment) == (None, {"packets": 1, "fragments": 1})
    assert told(short) == (None, {"packets": 1, "damaged": 1})
    assert told(bytes(14), link=1) == (None, {"packets": 1, "no_ip": 1})
    assert told(b"\x30" + bytes(60)) == (None, {"packets": 1, "damaged": 1})
