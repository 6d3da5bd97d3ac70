"""A bare loop on a TUN: what the device and Python allow, without a TCP.

It knows just enough to keep the kernel's TCP going: a handshake, an ACK a packet when it receives, the kernel's window when it
sends. It checks nothing, keeps nothing and sends nothing again.
"""

from __future__ import annotations

import os
import select
import struct
import time
from struct import Struct
from typing import Final

from benchmarks.wire import KERNEL, OURS, PORT
from synfin.device.tun import TunDevice
from synfin.engine.segment import ACK, NEW_DATA, PSH, SYN, Buffer, Outgoing
from synfin.engine.seq import MASK
from synfin.wire import vnet
from synfin.wire.packet import build_packet, parse_packet

WORD: Final = Struct("!I")
HALF: Final = Struct("!H")
WAIT: Final = 100  # ms
IP: Final = 20  # bytes of its header
SEQ, ACKED, OFFSET, WINDOW, SUM = IP + 4, IP + 8, IP + 12, IP + 14, IP + 16


class Bare:
    """One connection over IPv4."""

    def __init__(self, device: TunDevice) -> None:
        self.device = device
        self.skip = vnet.LENGTH if device.vnet else 0
        self.key = b""
        self.seq, self.ack, self.window, self.shift = 1000, 0, 0, 0
        self.poll = select.poll()
        self.poll.register(device.fileno(), select.POLLIN)

    def _next(self) -> Buffer:
        while True:
            packet = self.device.receive()
            if packet is None:
                self.poll.poll(WAIT)
            elif packet[0] == 0x45 and packet[9] == 6:
                return packet

    def _outgoing(self, flags: int, payload: Buffer = b"") -> Outgoing:
        out = Outgoing(self.seq, self.ack, flags, 0xFFFF, NEW_DATA, payload)
        if flags & SYN:
            out.mss, out.wscale = self.device.mtu - 40, 7
        return out

    def _send(self, out: Outgoing) -> None:
        if self.device.builds:
            self.device.transmit(self.key, out, 0)
        else:
            self.device.send(build_packet(self.key, out, identification=0), self.key, out)

    def _accept(self) -> None:
        while True:
            self.key, syn = parse_packet(self._next(), verify=False)
            if syn.flags == SYN:
                break
        self.ack = (syn.seq + 1) & MASK
        self._send(self._outgoing(SYN | ACK))
        self.seq += 1

    def _connect(self) -> None:
        kernel, ours = (bytes(map(int, address.split("."))) for address in (KERNEL, OURS))
        self.key = kernel + ours + struct.pack("!HH", PORT, 40_000 + time.monotonic_ns() % 20_000)
        self._send(self._outgoing(SYN))
        self.seq += 1
        answer = parse_packet(self._next(), verify=False)[1]
        self.ack, self.shift = (answer.seq + 1) & MASK, max(answer.wscale, 0)
        self.window = answer.window
        self._send(self._outgoing(ACK))

    def _template(self) -> tuple[bytearray, int]:
        """An ACK whose number is still to be put in, and the checksum that it has with the number 0."""
        self.ack = 0
        out = self._outgoing(ACK)
        whole = build_packet(self.key, out, identification=0)
        packet = vnet.build_headers(self.key, out, identification=0) if self.device.builds else vnet.PLAIN[: self.skip] + whole
        return bytearray(packet), HALF.unpack_from(whole, SUM)[0]

    def read(self, seconds: float) -> float:
        """Acknowledge what comes for so long; returns bytes a second."""
        self._accept()
        template, zero = self._template()
        skip, fd, whole = self.skip, self.device.fileno(), not self.device.builds
        number, put, half = WORD.unpack_from, WORD.pack_into, HALF.pack_into
        read, write, wait, clock = os.read, os.write, self.poll.poll, time.perf_counter
        total, began = 0, clock()
        until = began + seconds
        while clock() < until:
            try:
                data = read(fd, 65_545)
            except BlockingIOError:
                wait(WAIT)
                continue
            size = len(data) - skip - (data[skip + OFFSET] >> 4 << 2) - IP
            if size > 0 and data[skip + 9] == 6:
                ack = (number(data, skip + SEQ)[0] + size) & MASK
                put(template, skip + ACKED, ack)
                if whole:
                    half(template, skip + SUM, (zero - ack) % 0xFFFF)
                write(fd, template)
                total += size
        return total / (clock() - began)

    def write(self, seconds: float) -> float:
        """Send what the kernel's window takes for so long; returns bytes a second."""
        self._connect()
        device, fd, skip = self.device, self.device.fileno(), self.skip
        mss = device.mtu - 40
        size = 44 * mss if device.builds else mss
        wait, clock = self.poll.poll, time.perf_counter
        una, seq, window = self.seq, self.seq, self.window
        out = self._outgoing(ACK | PSH, bytes(size))
        out.gso_size = mss if device.builds else 0
        total, began = 0, clock()
        until = began + seconds
        while clock() < until:
            while (seq - una) & MASK <= window - size:
                out.seq = seq
                self._send(out)
                seq = (seq + size) & MASK
                total += size
            try:
                while True:
                    data = os.read(fd, 2000)
                    if data[skip + 9] == 6:
                        una = int.from_bytes(data[skip + ACKED : skip + ACKED + 4], "big")
                        window = int.from_bytes(data[skip + WINDOW : skip + WINDOW + 2], "big") << self.shift
            except BlockingIOError:
                if (seq - una) & MASK > window - size:
                    wait(WAIT)
        return (total - ((seq - una) & MASK)) / (clock() - began)
