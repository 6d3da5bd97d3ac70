"""What a running stack tells of its listeners and half-open entries: control/rows.py, and the request for it."""

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from synfin.aio.realtime import RealHost
from synfin.control.client import ask
from synfin.control.rows import listeners, rows
from synfin.control.server import Offer
from synfin.device.pair import device_pair
from synfin.engine.config import TcpConfig
from synfin.engine.counts import COUNTS
from synfin.engine.segment import ACK, SYN
from synfin.stack.addresses import text
from tests.stack.harness import A4, A6, B4, B6, SECOND, Net, packet

NONE = dict.fromkeys(COUNTS, 0)


def asked(net: Net, *sources: tuple[bytes, int], port: int = 80) -> None:
    """A SYN from each of `sources` (address, port) to B."""
    for source, source_port in sources:
        net.b.receive_packet(packet(source, source_port, B4 if len(source) == 4 else B6, port, SYN, 100), net.now)
    net.b.transmit(net.now)
    net.device_b.outbox.clear()


def test_a_listener_tells_its_queues_its_counts_and_each_half_open_entry() -> None:
    net = Net()
    net.listen(backlog=3)
    asked(net, (A4, 5000))
    net.now = SECOND
    net.b.handle_timers(net.now)
    asked(net, (A6, 6000))
    net.b.receive_packet(packet(A4, 5001, B4, 80, SYN, 7), net.now)
    net.b.receive_packet(packet(A4, 5001, B4, 80, ACK, 8, 301), net.now)
    net.now += 5
    told = listeners(net.b, net.now)
    assert told == {
        "at": SECOND + 5,
        "listeners": [
            {
                "local": ["0.0.0.0", 80],
                "half_open": 2,
                "half_open_limit": 8,
                "accept_queue": 1,
                "accept_limit": 3,
                "counts": NONE | {"syns": 3, "syn_ack_repeats": 1, "completed": 1},
                "entries": [
                    ["10.0.0.1", 5000, SECOND + 5, 2, "10.0.0.2", 80],
                    ["fd00::1", 6000, 5, 1, "fd00::2", 80],
                ],
            }
        ],
        "states": {"LISTEN": 1, "ESTABLISHED": 1, "SYN-RECEIVED": 2},
        "totals": NONE | {"syns": 3, "syn_ack_repeats": 1, "completed": 1},
    }
    assert json.loads(json.dumps(told)) == told


def test_totals_keep_what_closed_listeners_have_counted() -> None:
    net = Net()
    first = net.listen(port=80)
    net.listen(port=81)
    asked(net, (A4, 5000))
    asked(net, (A4, 5000), (A4, 5001), port=81)
    first.close(0)
    net.b.attend(first, 0)
    told = listeners(net.b, 0)
    assert [each["local"] for each in told["listeners"]] == [["0.0.0.0", 81]]
    assert (told["listeners"][0]["counts"]["syns"], told["totals"]["syns"]) == (2, 3)
    assert told["states"] == {"LISTEN": 1, "SYN-RECEIVED": 2}


def test_a_stack_without_listeners_tells_that() -> None:
    net = Net()
    assert listeners(net.b, 7) == {"at": 7, "listeners": [], "states": {}, "totals": NONE}


def test_a_half_open_row_tells_its_age_and_the_syn_acks_that_went() -> None:
    net = Net()
    net.listen()
    asked(net, (A4, 5000), (A6, 5000))
    net.now = SECOND
    net.b.handle_timers(net.now)
    net.now = 2 * SECOND
    found = rows(net.b, net.now + 9)
    half = {"state": "SYN-RECEIVED", "receive_queue": 0, "send_queue": 0, "age": 2 * SECOND + 9, "syn_acks": 2}
    assert found[1:] == [
        half | {"local": ["10.0.0.2", 80], "remote": ["10.0.0.1", 5000]},
        half | {"local": ["fd00::2", 80], "remote": ["fd00::1", 5000]},
    ]
    assert found[0] == {
        "state": "LISTEN", "receive_queue": 0, "send_queue": 8, "local": ["0.0.0.0", 80], "remote": ["0.0.0.0", 0]
    }  # fmt: skip


@pytest.mark.parametrize("number", [1, 0x0A00_0001, 0xFFFF_0000_0000])
def test_addresses_are_written_as_everywhere(number: int) -> None:
    net = Net()
    net.listen()
    source = b"\xfd" + number.to_bytes(15, "big")
    asked(net, (source, 5000))
    assert listeners(net.b, 0)["listeners"][0]["entries"][0][0] == text(source)


def test_the_control_socket_answers_what_its_listeners_are(tmp_path: Path) -> None:
    async def main(host: RealHost) -> tuple[dict[str, Any], dict[str, Any]]:
        host.stack.listen((None, 80), 5, host.now(), TcpConfig(syn_backlog=77))
        async with Offer(host, "flooded", {}, environ={"XDG_RUNTIME_DIR": str(tmp_path)}) as offer:
            loop = asyncio.get_running_loop()
            answer, _, line = await loop.run_in_executor(None, ask, offer.place, {"ask": "listeners"})
            line.close()
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as raw:
                raw.setblocking(False)
                await loop.sock_connect(raw, str(offer.place.path))
                await loop.sock_sendall(raw, b'{"ask": "nothing"}\n')
                refused = json.loads(await loop.sock_recv(raw, 4096))
        return answer, refused

    tmp_path.chmod(0o700)
    ends = device_pair()
    with ends[0], ends[1]:
        host = RealHost("server", ["10.0.0.2"], ends[0])
        answer, refused = asyncio.run(main(host))
    assert [(each["local"], each["half_open_limit"]) for each in answer["listeners"]] == [(["0.0.0.0", 80], 77)]
    assert answer["states"] == {"LISTEN": 1}
    assert refused == {"error": "no such request; there are: status, sockets, listeners"}
    assert os.listdir(tmp_path / "synfin") == []
