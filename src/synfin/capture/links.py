"""Where the IP packet begins in what a link carried, by the type of the link (tcpdump.org/linktypes.html).

Owns those link types that a capture of TCP usually has. Knows nothing of what IP carries.
"""

from typing import Final

from synfin.capture.reader import CaptureError

NULL: Final = 0
ETHERNET: Final = 1
RAW_OPENBSD: Final = 14
RAW_BSD: Final = 12
RAW: Final = 101
LOOP: Final = 108
LINUX_COOKED: Final = 113
IPV4: Final = 228
IPV6: Final = 229
LINUX_COOKED2: Final = 276
NAMES: Final = {
    NULL: "BSD loopback", ETHERNET: "Ethernet", RAW_BSD: "raw IP", RAW_OPENBSD: "raw IP", RAW: "raw IP",
    LOOP: "OpenBSD loopback", LINUX_COOKED: "Linux cooked", IPV4: "raw IPv4", IPV6: "raw IPv6",
    LINUX_COOKED2: "Linux cooked v2",
}  # fmt: skip
BARE: Final = (RAW, RAW_BSD, RAW_OPENBSD, IPV4, IPV6)

IP_TYPES: Final = (0x0800, 0x86DD)
TAGS: Final = (0x8100, 0x88A8, 0x9100)  # VLAN, provider VLAN, and what provider VLANs were before 802.1ad
FAMILIES: Final = (2, 10, 24, 28, 30)  # AF_INET, and AF_INET6 of Linux, NetBSD, FreeBSD, Darwin
NO_IP: Final = -1

# Where a type of 16 bits lies, and where its payload begins.
TYPED: Final = {ETHERNET: (12, 14), LINUX_COOKED: (14, 16), LINUX_COOKED2: (0, 20)}


def ip_at(link: int, data: bytes) -> int:
    """Where the IP header begins in `data`; NO_IP when it carries something else. Raises CaptureError for a link not read."""
    typed = TYPED.get(link)
    if typed is not None:
        return _typed(data, *typed)
    if link in BARE:
        return 0 if data else NO_IP
    if link in (NULL, LOOP):
        if len(data) < 4:
            return NO_IP
        order = "little" if link == NULL and data[0] else "big"
        return 4 if int.from_bytes(data[:4], order) in FAMILIES else NO_IP  # type: ignore[arg-type]
    read = ", ".join(f"{number} ({name})" for number, name in NAMES.items())
    raise CaptureError(f"packets of link type {link} are not read; those read are {read}")


def _typed(data: bytes, where: int, start: int) -> int:
    if len(data) < start:
        return NO_IP
    kind = data[where] << 8 | data[where + 1]
    while kind in TAGS:
        if len(data) < start + 4:
            return NO_IP
        kind = data[start + 2] << 8 | data[start + 3]
        start += 4
    return start if kind in IP_TYPES else NO_IP
