"""What can go wrong, by whose fault: UsageError for the caller, CloseReason for a connection, DropReason for a packet."""

from enum import Enum


class UsageError(Exception):
    """The caller broke a rule of the API; the message names the rule."""


class CloseReason(Enum):
    """Why a connection ended; the socket layer turns it into an errno."""

    FINISHED = "finished"  # both FINs exchanged and acknowledged
    RESET = "reset"  # RST from the peer: ECONNRESET
    REFUSED = "refused"  # RST in SYN-SENT: ECONNREFUSED
    TIMED_OUT = "timed out"  # user timeout or SYN retries: ETIMEDOUT
    ABORTED = "aborted"  # our own ABORT call or a close with data unread
    UNREACHABLE = "unreachable"  # a hard ICMP error while opening: EHOSTUNREACH
    ORPHANED = "orphaned"  # FIN-WAIT-2 without a process ran out

    def __str__(self) -> str:
        return self.value


class DropReason(Enum):
    """Why a packet or a part of it was not taken; every one is a counter of the stack."""

    TRUNCATED = "truncated"  # shorter than its headers or its length field say
    IP_VERSION = "IP version"
    IP_HEADER = "IP header"  # header length, total length or payload length wrong
    IP_CHECKSUM = "IP checksum"
    IP_FRAGMENT = "IP fragment"
    FRAGMENT_OVERLAP = "overlapping fragments"  # RFC 5722
    FRAGMENT_LIMIT = "too many fragments"  # the oldest datagrams had to go
    FRAGMENT_TIMEOUT = "fragments missing"  # a datagram was not whole in time
    NOT_TCP = "not TCP"
    ICMP_CHECKSUM = "ICMP checksum"
    ICMP_UNKNOWN = "ICMP unknown"  # a message that means nothing to us
    ICMP_UNPROVEN = "ICMP unproven"  # names no segment in flight, or says what cannot be (RFC 5927 4.1)
    SOURCE_ADDRESS = "source address"  # broadcast, multicast, unspecified or our own
    NOT_OURS = "not our address"
    TCP_HEADER = "TCP header"  # data offset wrong
    TCP_OPTION = "TCP option"  # an option's length leads past the header
    TCP_CHECKSUM = "TCP checksum"
    PORT_ZERO = "port 0"
    NO_SOCKET = "no socket"
    NO_FLAGS = "no ACK, SYN or RST"
    RST_OUT_OF_WINDOW = "RST outside the window"
    RST_NOT_EXACT = "RST not at RCV.NXT"  # challenge ACK, RFC 5961 3.2
    RST_IGNORED = "RST ignored"  # in LISTEN, CLOSED or without the ACK that SYN-SENT asks for
    SYN_IN_WINDOW = "SYN in a synchronized state"  # challenge ACK, RFC 5961 4.2
    PAWS = "PAWS"
    OUT_OF_WINDOW = "outside the window"
    DUPLICATE = "duplicate"
    ACK_TOO_NEW = "ACK of what was never sent"
    ACK_TOO_OLD = "ACK older than the window"  # RFC 5961 5.2
    ACK_MISSING = "no ACK flag"
    ACK_UNACCEPTABLE = "unacceptable ACK"
    DATA_ON_SYN = "data or FIN on a SYN"
    REASSEMBLY_FULL = "reassembly full"
    SYN_QUEUE_FULL = "SYN queue full"
    ACCEPT_QUEUE_FULL = "accept queue full"
    COOKIE_REFUSED = "SYN cookie refused"  # a wrong one, or one too old (RFC 4987 3.6)
    AFTER_CLOSE = "data after close"

    __hash__ = object.__hash__  # as State's

    def __str__(self) -> str:
        return self.value
