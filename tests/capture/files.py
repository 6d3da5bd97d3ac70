"""Capture files made by hand, field by field, so that a test says exactly which bytes are read."""

import struct

from synfin.engine.segment import Outgoing
from synfin.wire.packet import build_packet

CLIENT, SERVER = bytes((198, 51, 100, 7)), bytes((10, 0, 0, 1))
CLIENT6, SERVER6 = bytes.fromhex("20010db8000000000000000000000007"), bytes.fromhex("fd000000000000000000000000000001")
RAW = 101


def tcp(
    flags: int, seq: int = 0, ack: int = 0, *, source: bytes = CLIENT, source_port: int = 5000, target: bytes = SERVER,
    port: int = 80, payload: bytes = b"", mss: int = -1,
) -> bytes:  # fmt: skip
    """An IP packet from `source` to `target`."""
    out = Outgoing(seq, ack, flags, 1000, 0, payload)
    out.mss = mss
    key = target + source + port.to_bytes(2, "big") + source_port.to_bytes(2, "big")
    return build_packet(key, out, identification=1)


def pcap_header(order: str = "<", *, nano: bool = False, link: int = RAW, kept: int = 262_144) -> bytes:
    return struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, kept, link)


def pcap_record(seconds: int, fraction: int, data: bytes, order: str = "<", *, length: int | None = None) -> bytes:
    return struct.pack(order + "IIII", seconds, fraction, len(data), len(data) if length is None else length) + data


def pcap(*packets: tuple[float, bytes], link: int = RAW) -> bytes:
    """Microseconds, little-endian."""
    records = [pcap_record(int(time), round(time % 1 * 1_000_000), data) for time, data in packets]
    return pcap_header(link=link) + b"".join(records)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def interface(order: str = "<", *, link: int = RAW, kept: int = 0, options: bytes = b"") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, kept) + options, order)


def enhanced(
    time: int, data: bytes, order: str = "<", *, number: int = 0, length: int | None = None, options: bytes = b""
) -> bytes:
    sizes = (len(data), len(data) if length is None else length)
    head = struct.pack(order + "IIIII", number, time >> 32, time & 0xFFFFFFFF, *sizes)
    return block(6, head + data + bytes(-len(data) % 4) * bool(options) + options, order)
