"""Writes a trace as a pcapng file (draft-ietf-opsawg-pcapng), one interface a host, times in nanoseconds.

Owns the blocks and their options. Each packet stands on its sender's interface at the time of sending and on its
receiver's at the time of arrival, both with the same packet identifier; a lost one stands on the sender's alone, with a
comment that says how it was lost. To see one host's view: `frame.interface_name == "client"`. Checksums that the links
left out are completed; a packet that the network corrupted keeps the bits it was given.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from synfin.engine.segment import REASON_NAMES
from synfin.trace.events import (
    INJECTED,
    PacketEvent,
    SegmentCorrupted,
    SegmentDelivered,
    SegmentDuplicated,
    SegmentLost,
    SegmentSent,
)
from synfin.trace.recorder import Trace
from synfin.wire.packet import complete_checksums

LINKTYPE_RAW: Final = 101  # the packet begins with its IP header, version 4 or 6

# Block types and options, draft-ietf-opsawg-pcapng 4 and 3.5.
_SECTION_HEADER: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_NAME_RESOLUTION: Final = 4
_ENHANCED_PACKET: Final = 6
_BYTE_ORDER: Final = 0x1A2B3C4D
_END: Final = 0
_COMMENT: Final = 1
_USER_APPLICATION: Final = 4
_IF_NAME: Final = 2
_IF_TSRESOL: Final = 9
_EPB_FLAGS: Final = 2
_EPB_PACKETID: Final = 5
_INBOUND: Final = 1
_OUTBOUND: Final = 2


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _options(options: list[tuple[int, bytes]]) -> bytes:
    parts = [struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options]
    return b"".join(parts) + struct.pack("<HH", _END, 0)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _header() -> bytes:
    return _block(
        _SECTION_HEADER,
        struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1) + _options([(_USER_APPLICATION, b"synfin")]),
    )


def _interface(host: str) -> bytes:
    options = [(_IF_NAME, host.encode()), (_IF_TSRESOL, bytes((9,)))]
    return _block(_INTERFACE, struct.pack("<HHI", LINKTYPE_RAW, 0, 0) + _options(options))


def _names(trace: Trace) -> bytes:
    """The hosts' addresses with their names, so that a reader may show `client` for 10.0.0.1."""
    records = b""
    for host in trace.hosts:
        for address in trace.addresses[host]:
            value = address + host.encode() + b"\0"
            records += struct.pack("<HH", 1 if len(address) == 4 else 2, len(value)) + _padded(value)
    return _block(_NAME_RESOLUTION, records + struct.pack("<HH", 0, 0)) if records else b""


def _packet(interface: int, event: PacketEvent, data: bytes, direction: int, comments: list[str]) -> bytes:
    options = [(_COMMENT, comment.encode()) for comment in comments]
    options.append((_EPB_FLAGS, struct.pack("<I", direction)))
    options.append((_EPB_PACKETID, struct.pack("<Q", event.packet & (1 << 64) - 1)))
    head = struct.pack("<IIIII", interface, event.time >> 32, event.time & 0xFFFFFFFF, len(data), len(data))
    return _block(_ENHANCED_PACKET, head + _padded(data) + _options(options))


class _Fates:
    """What became of the packets, known only at the end: read before anything is written."""

    def __init__(self, trace: Trace) -> None:
        self.comments: dict[int, list[str]] = {}
        self.corrupted: set[int] = set()
        self.hosts: list[str] = trace.hosts
        for event in trace:
            if isinstance(event, PacketEvent):
                self._note(event)

    def _note(self, event: PacketEvent) -> None:
        if isinstance(event, SegmentLost):
            self._say(event.packet, f"lost: {event.cause}")
        elif isinstance(event, SegmentCorrupted):
            self.corrupted.add(event.packet)
            bits = ", ".join(str(bit) for bit in event.bits)
            self._say(event.packet, f"corrupted on the way: bit {bits}")
        elif isinstance(event, SegmentDuplicated):
            self._say(event.copy, f"a copy of packet {event.packet} that the network made")
        elif isinstance(event, SegmentSent):
            if event.reason == INJECTED:
                self._say(event.packet, "an old packet that turned up in the network")
            elif event.retransmission:
                self._say(event.packet, f"sent again: {REASON_NAMES[event.reason]}")
        for host in (event.host, event.peer):
            if host not in self.hosts:
                self.hosts.append(host)

    def _say(self, packet: int, comment: str) -> None:
        self.comments.setdefault(packet, []).append(comment)


def pcapng_blocks(trace: Trace) -> Iterator[bytes]:
    """The blocks of the file, in order."""
    fates = _Fates(trace)
    interfaces = {host: number for number, host in enumerate(fates.hosts)}
    yield _header()
    for host in fates.hosts:
        yield _interface(host)
    yield _names(trace)
    for event in trace:
        if isinstance(event, SegmentSent):
            comments = fates.comments.get(event.packet, [])
            yield _packet(interfaces[event.host], event, complete_checksums(event.data), _OUTBOUND, comments)
        elif isinstance(event, SegmentDelivered):
            # The sender's comments hold for the arrival too, but for the one of a loss, which had none.
            data = event.data if event.packet in fates.corrupted else complete_checksums(event.data)
            comments = fates.comments.get(event.packet, [])
            yield _packet(interfaces[event.host], event, data, _INBOUND, comments)


def capture_header(host: str) -> bytes:
    """How a file begins that is written while the packets of one interface, named `host`, pass."""
    return _header() + _interface(host)


def captured_packet(time: int, packet: bytes, *, outbound: bool) -> bytes:
    """One packet of such a file; `time` in nanoseconds since 1970. Its checksums are completed."""
    data = complete_checksums(packet)
    head = struct.pack("<IIIII", 0, time >> 32, time & 0xFFFFFFFF, len(data), len(data))
    options = _options([(_EPB_FLAGS, struct.pack("<I", _OUTBOUND if outbound else _INBOUND))])
    return _block(_ENHANCED_PACKET, head + _padded(data) + options)


def write_pcapng(trace: Trace, target: str | Path | BinaryIO) -> None:
    """Write `trace` to a file, or into an open binary one. Raises OSError when that fails."""
    if isinstance(target, str | Path):
        with open(target, "wb") as file:
            write_pcapng(trace, file)
        return
    for block in pcapng_blocks(trace):
        target.write(block)
