"""The virtio-net header and what is built behind one: the packets are wire.packet's, with TCP's checksum left partial."""

from struct import Struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synfin.engine.errors import UsageError
from synfin.engine.segment import Outgoing
from synfin.wire import vnet
from synfin.wire.packet import build_packet, parse_ip
from tests.wire.vectors import KEY4, KEY6, keys, outgoing, pseudo_header, segment, slow_sum, with_timestamps

HEADER = Struct("=BBHHHH")


def completed(packet: bytes) -> bytes:
    """`packet` as a device finishes it: the sum over the segment, its partial checksum in place, complemented."""
    start = parse_ip(packet).header_length
    value = 0xFFFF - slow_sum(packet[start:])
    return packet[: start + 16] + value.to_bytes(2, "big") + packet[start + 18 :]


@given(keys, outgoing(), st.integers(0, 0xFFFF), st.integers(0, 255))
def test_what_the_device_completes_is_the_packet_that_is_built_whole(
    key: bytes, out: Outgoing, identification: int, ttl: int
) -> None:
    headers = vnet.build_headers(key, out, identification=identification, ttl=ttl)
    whole = build_packet(key, out, identification=identification, ttl=ttl)
    assert completed(headers[vnet.LENGTH :] + bytes(out.payload)) == whole


@pytest.mark.parametrize("key", [KEY4, KEY6])
def test_the_partial_checksum_is_the_sum_of_the_pseudo_header(key: bytes) -> None:
    out = with_timestamps(segment(payload=b"abc"))
    packet = vnet.build_headers(key, out, identification=1)[vnet.LENGTH :] + b"abc"
    header = parse_ip(packet)
    at = header.header_length + 16
    expected = slow_sum(pseudo_header(header.source, header.destination, 35))
    assert int.from_bytes(packet[at : at + 2], "big") == expected


@pytest.mark.parametrize(("key", "start", "kind"), [(KEY4, 20, vnet.GSO_TCP4), (KEY6, 40, vnet.GSO_TCP6)])
def test_only_what_is_longer_than_a_piece_is_to_be_cut(key: bytes, start: int, kind: int) -> None:
    out = with_timestamps(segment(payload=bytes(3000)))
    out.gso_size = 1448
    prefix = vnet.build_headers(key, out, identification=1)[: vnet.LENGTH]
    assert HEADER.unpack(prefix) == (vnet.NEEDS_CHECKSUM, kind, start + 32, 1448, start, 16)
    out.gso_size = 3000
    prefix = vnet.build_headers(key, out, identification=1)[: vnet.LENGTH]
    assert HEADER.unpack(prefix) == (vnet.NEEDS_CHECKSUM, vnet.NO_GSO, 0, 0, start, 16)


def test_a_header_says_whether_to_look_at_the_checksum_and_what_was_merged() -> None:
    assert vnet.read_header(vnet.PLAIN) == (False, 0)
    assert vnet.read_header(HEADER.pack(vnet.NEEDS_CHECKSUM, vnet.NO_GSO, 0, 1448, 20, 16)) == (True, 0)
    assert vnet.read_header(HEADER.pack(vnet.DATA_VALID, vnet.NO_GSO, 0, 0, 0, 0)) == (True, 0)
    assert vnet.read_header(HEADER.pack(vnet.NEEDS_CHECKSUM, vnet.GSO_TCP6, 72, 1428, 40, 16) + b"packet") == (True, 1428)
    assert vnet.read_header(HEADER.pack(vnet.NEEDS_CHECKSUM, vnet.GSO_TCP4 | vnet.GSO_ECN, 52, 1448, 20, 16)) == (True, 1448)


@pytest.mark.parametrize("key", [KEY4, KEY6])
def test_what_fits_no_length_field_is_refused(key: bytes) -> None:
    with pytest.raises(UsageError, match="does not fit its field"):
        vnet.build_headers(key, segment(payload=bytes(65_536)), identification=1)
