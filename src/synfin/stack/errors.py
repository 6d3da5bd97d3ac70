"""What a stack refuses to open, each with the name of the errno that Linux gives for it."""

from typing import ClassVar


class StackError(Exception):
    """An open that cannot be; `errno_name` is the name of a constant of the module `errno`."""

    errno_name: ClassVar[str] = "EINVAL"


class AddressInUse(StackError):
    """Another socket holds the port (bind, listen)."""

    errno_name = "EADDRINUSE"


class AddressNotAvailable(StackError):
    """The address is not this stack's, the connection exists already, or the ephemeral ports have run out."""

    errno_name = "EADDRNOTAVAIL"


class NetworkUnreachable(StackError):
    """No address of ours speaks the remote's family, or the remote is no host (multicast, broadcast)."""

    errno_name = "ENETUNREACH"


class InvalidAddress(StackError):
    """Not 4 or 16 bytes, or a port outside 0..65535."""

    errno_name = "EINVAL"
