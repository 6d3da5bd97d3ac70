"""Packed addresses and the keys made of them: which part is whose, and which addresses no segment may come from.

Owns the layout of a key (remote address, local address, remote port, local port, as in a received packet). Knows no socket.
"""

from typing import Final

ANY4: Final = bytes(4)
ANY6: Final = bytes(16)
IP4_KEY: Final = 12  # bytes
PORT_ZERO: Final = bytes(2)


def make_key(remote: bytes, remote_port: int, local: bytes, local_port: int) -> bytes:
    """The key of a connection; addresses of the same family."""
    return remote + local + remote_port.to_bytes(2, "big") + local_port.to_bytes(2, "big")


def listener_key(local: bytes, port: int) -> bytes:
    """The key of a listener: the remote part is zero."""
    return bytes(len(local)) + local + PORT_ZERO + port.to_bytes(2, "big")


def remote_of(key: bytes) -> bytes:
    """The remote address of a key."""
    return key[:4] if len(key) == IP4_KEY else key[:16]


def local_of(key: bytes) -> bytes:
    """The local address of a key."""
    return key[4:8] if len(key) == IP4_KEY else key[16:32]


def local_port_of(key: bytes) -> int:
    """The local port of a key."""
    return int.from_bytes(key[-2:], "big")


def remote_port_of(key: bytes) -> int:
    """The remote port of a key."""
    return int.from_bytes(key[-4:-2], "big")


def is_host(address: bytes) -> bool:
    """Whether `address` may be one end of a connection (RFC 1122 3.2.1.3, RFC 9293 3.9.2.3 MUST-57, RFC 4291 2.7).

    False for unspecified, broadcast and multicast, and for IPv4's reserved classes; an IPv4-mapped IPv6 address stands in
    no packet (RFC 4291 2.5.5.2).
    """
    if len(address) == 4:
        return 0 < address[0] < 224
    return address[0] != 0xFF and address != ANY6 and address[:12] != b"\0" * 10 + b"\xff\xff"


def text(address: bytes) -> str:
    """`address` as a person writes it."""
    import ipaddress  # noqa: PLC0415  only a message needs it

    return str(ipaddress.ip_address(address))
