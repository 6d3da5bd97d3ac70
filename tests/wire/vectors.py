"""Packets that other hands made, a checksum by the letter of RFC 1071, and strategies for segments and keys."""

from hypothesis import strategies as st

from synfin.engine.segment import AE, Outgoing, Segment

# SYNs that Linux sent through a TUN device, 10.77.0.1:46018 > 10.77.0.2:80 and [fd77::1]:44096 > [fd77::2]:80.
LINUX_SYN4 = bytes.fromhex(
    "4500003c592240004006ccfd0a4d00010a4d0002"
    "b3c20050f41e9edf00000000a002faf0a2c10000"
    "020405b40402080a31f41ca9000000000103030a"
)
LINUX_SYN6 = bytes.fromhex(
    "6003cfee00280640fd770000000000000000000000000001fd770000000000000000000000000002"
    "ac400050df840c0100000000a002fd202ecc0000"
    "020405a00402080a068c828f000000000103030a"
)
# Linux's router solicitation on the same device: ICMPv6.
LINUX_SOLICITATION = bytes.fromhex(
    "6000000000083afffe80000000000000f041e3f574756d63ff0200000000000000000000000000028500c72600000000"
)

KEY4 = bytes.fromhex("0a000002 0a000001 0050 c000")  # remote 10.0.0.2:80, local 10.0.0.1:49152
KEY6 = bytes.fromhex("fd770000000000000000000000000002 fd770000000000000000000000000001 0050 c000")


def turned(key: bytes) -> bytes:
    """The same connection's key at the other end."""
    size = (len(key) - 4) // 2
    return key[size : 2 * size] + key[:size] + key[-2:] + key[-4:-2]


def slow_sum(data: bytes) -> int:
    """RFC 1071 as it is written: 16-bit words one after the other, the carry brought round."""
    total = 0
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
        if total > 0xFFFF:
            total -= 0xFFFF
    return total


def pseudo_header(source: bytes, destination: bytes, length: int) -> bytes:
    """RFC 9293 3.1 for IPv4, RFC 8200 8.1 for IPv6, as bytes."""
    if len(source) == 4:
        return source + destination + b"\0\6" + length.to_bytes(2, "big")
    return source + destination + length.to_bytes(4, "big") + b"\0\0\0\6"


def segment(
    flags: int = 0x10, payload: bytes = b"", *, seq: int = 0x01020304, ack: int = 0x05060708, window: int = 0x1000
) -> Outgoing:
    return Outgoing(seq, ack, flags, window, 2, payload)


def with_timestamps(out: Outgoing, tsval: int = 0x11121314, tsecr: int = 0x21222324) -> Outgoing:
    out.has_timestamps, out.tsval, out.tsecr = True, tsval, tsecr
    return out


FIELDS = (
    "seq", "ack", "flags", "window", "urgent", "mss", "wscale", "sack_permitted", "sacks", "has_timestamps", "tsval", "tsecr",
)  # fmt: skip


def facts(item: Segment | Outgoing) -> dict[str, object]:
    """All that a segment says, comparable."""
    return {"payload": bytes(item.payload)} | {name: getattr(item, name) for name in FIELDS}


u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
keys = st.binary(min_size=12, max_size=12) | st.binary(min_size=36, max_size=36)


@st.composite
def outgoing(draw: st.DrawFn) -> Outgoing:
    """Any segment that fits a header: usual ones and every mixture of options."""
    out = Outgoing(draw(u32), draw(u32), draw(st.integers(0, 2 * AE - 1)), draw(u16), 2, draw(st.binary(max_size=80)))
    out.urgent = draw(st.just(0) | u16)
    if draw(st.booleans()):
        with_timestamps(out, draw(u32), draw(u32))
    if draw(st.booleans()):
        out.mss = draw(st.just(-1) | u16)
        out.wscale = draw(st.just(-1) | st.integers(0, 255))
        out.sack_permitted = draw(st.booleans())
        out.sacks = tuple(draw(st.lists(st.tuples(u32, u32), max_size=2)))
    return out
