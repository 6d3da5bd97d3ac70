"""A segment on its way in (Segment) and on its way out (Outgoing), with the flag bits of RFC 9293 3.1.

Plain classes with slots, because two of them are made for each packet. Owns no logic but `length`.
"""

from typing import Final

FIN: Final = 0x001
SYN: Final = 0x002
RST: Final = 0x004
PSH: Final = 0x008
ACK: Final = 0x010
URG: Final = 0x020
ECE: Final = 0x040
CWR: Final = 0x080
AE: Final = 0x100  # RFC 9768's accurate ECN; formerly NS, RFC 3540

FLAG_NAMES: Final[tuple[tuple[int, str], ...]] = (
    (SYN, "SYN"),
    (FIN, "FIN"),
    (RST, "RST"),
    (PSH, "PSH"),
    (ACK, "ACK"),
    (URG, "URG"),
    (ECE, "ECE"),
    (CWR, "CWR"),
    (AE, "AE"),
)

Buffer = bytes | bytearray | memoryview


def flag_names(flags: int) -> str:
    """The flags by name, comma-separated as RFC 9293's figures have them: `SYN,ACK`; `none` for no flag."""
    return ",".join(name for bit, name in FLAG_NAMES if flags & bit) or "none"


class Segment:
    """A parsed segment, as SEGMENT ARRIVES sees it.

    `window` is the field as it stands on the wire (not yet scaled). `mss` and `wscale` are -1, `tsval` and `tsecr` 0
    with `has_timestamps` False where the option is absent. `sacks` holds (left, right) edges. `payload` is a view into
    the received buffer: who keeps it past the call copies it. `segments` is the number of wire segments merged into this
    one (1 without offload).
    """

    __slots__ = (
        "ack", "flags", "has_timestamps", "mss", "payload", "sack_permitted", "sacks", "segments", "seq",
        "tsecr", "tsval", "urgent", "window", "wscale",
    )  # fmt: skip

    def __init__(self, seq: int, ack: int, flags: int, window: int, payload: Buffer = b"") -> None:
        self.seq: int = seq
        self.ack: int = ack
        self.flags: int = flags
        self.window: int = window
        self.payload: Buffer = payload
        self.urgent: int = 0
        self.mss: int = -1
        self.wscale: int = -1
        self.sack_permitted: bool = False
        self.sacks: tuple[tuple[int, int], ...] = ()
        self.has_timestamps: bool = False
        self.tsval: int = 0
        self.tsecr: int = 0
        self.segments: int = 1

    @property
    def length(self) -> int:
        """SEG.LEN: payload bytes plus one each for SYN and FIN (3.4)."""
        return len(self.payload) + ((self.flags & SYN) >> 1) + (self.flags & FIN)

    def __repr__(self) -> str:
        return (
            f"<{flag_names(self.flags)} seq={self.seq} ack={self.ack} win={self.window} len={len(self.payload)}>"
        )


# Why a segment was sent: decided where it is built, read by traces, counters and narration.
SYN_OPEN: Final = 0  # the SYN of an active open
SYN_ACK: Final = 1  # the answer to a SYN
NEW_DATA: Final = 2
FIN_SENT: Final = 3  # our FIN, with or without data, for the first time
RETRANSMIT_TIMEOUT: Final = 4  # RTO (RFC 6298 5.4)
FAST_RETRANSMIT: Final = 5  # third duplicate ACK, or a partial ACK in recovery (RFC 5681 3.2, RFC 6582)
WINDOW_PROBE: Final = 6  # zero-window probe (3.8.6.1)
ACK_DELAYED: Final = 7  # the delayed-ACK timer, or an ACK that found no data to ride on
ACK_SECOND: Final = 8  # at least every second full-sized segment (3.8.6.3)
ACK_WINDOW_UPDATE: Final = 9  # the application read, the window opens
ACK_DUPLICATE: Final = 10  # an out-of-order or repeated segment: dup ACK (RFC 5681 4.2, 3.10.7.4 first check)
ACK_CHALLENGE: Final = 11  # RFC 5961
ACK_OF_SYN_ACK: Final = 12  # the third segment of the handshake
ACK_OF_FIN: Final = 13
ACK_TIME_WAIT: Final = 14  # TIME-WAIT answers a repeated FIN
RESET_NO_SOCKET: Final = 15  # 3.10.7.1: no such connection
RESET_BAD_ACK: Final = 16  # unacceptable ACK in LISTEN, SYN-SENT or SYN-RECEIVED (3.5.2)
RESET_ABORT: Final = 17  # ABORT call, or close with data unread (RFC 2525 2.17)
RESET_AFTER_CLOSE: Final = 18  # data arrived after close (3.6.1)
RETRANSMIT_HANDSHAKE: Final = 19  # a SYN or SYN,ACK again
RETRANSMIT_FIN: Final = 20  # a FIN again, nothing else outstanding
URGENT_NOTICE: Final = 21  # urgent data waits behind a closed window: tell the peer at once (3.8.5)
RETRANSMIT_OPENED: Final = 23  # what a closed window refused goes again, into the opened one
RESET_ACCEPT_QUEUE: Final = 22  # accept queue full and the listener was told to refuse
KEEPALIVE_PROBE: Final = 24  # does an idle peer still live? (3.8.4)
RESET_KEEPALIVE: Final = 25  # it does not answer
RETRANSMIT_SMALLER: Final = 26  # the path takes smaller packets only: what was in flight goes again (RFC 1191 6.5)
NOT_TCP: Final = 27  # stands beside a packet that holds no segment: ICMP
SYN_ACK_COOKIE: Final = 28  # the answer to a SYN of which nothing is kept (RFC 4987 3.6)

REASON_NAMES: Final[tuple[str, ...]] = (
    "SYN", "SYN-ACK", "new data", "FIN", "retransmission timeout", "fast retransmit", "window probe", "delayed ACK",
    "ACK of every second segment", "window update", "duplicate ACK", "challenge ACK", "ACK of SYN-ACK", "ACK of FIN",
    "ACK from TIME-WAIT", "RST: no connection", "RST: unacceptable ACK", "RST: abort", "RST: data after close",
    "handshake retransmission", "FIN retransmission", "urgent notification", "RST: accept queue full",
    "retransmission into the opened window", "keep-alive probe", "RST: keep-alive unanswered",
    "retransmission in smaller segments", "no segment", "SYN-ACK with a cookie",
)  # fmt: skip

RETRANSMISSIONS: Final = frozenset(
    (RETRANSMIT_TIMEOUT, FAST_RETRANSMIT, RETRANSMIT_HANDSHAKE, RETRANSMIT_FIN, RETRANSMIT_OPENED, RETRANSMIT_SMALLER)
)


class Outgoing:
    """A segment that the engine wants sent; the stack adds ports, addresses and checksums.

    `window` is the 16-bit field as it goes on the wire. Options are written when their field is not its default; the
    timestamp option when `has_timestamps`. A `gso_size` above 0 lets a device cut the payload into pieces of that size.
    `reason` is one of this module's reasons.
    """

    __slots__ = (
        "ack", "flags", "gso_size", "has_timestamps", "mss", "payload", "reason", "sack_permitted", "sacks", "seq",
        "tsecr", "tsval", "urgent", "window", "wscale",
    )  # fmt: skip

    def __init__(self, seq: int, ack: int, flags: int, window: int, reason: int, payload: Buffer = b"") -> None:
        self.seq: int = seq
        self.ack: int = ack
        self.flags: int = flags
        self.window: int = window
        self.reason: int = reason
        self.payload: Buffer = payload
        self.urgent: int = 0
        self.mss: int = -1
        self.wscale: int = -1
        self.sack_permitted: bool = False
        self.sacks: tuple[tuple[int, int], ...] = ()
        self.has_timestamps: bool = False
        self.tsval: int = 0
        self.tsecr: int = 0
        self.gso_size: int = 0

    def __repr__(self) -> str:
        return (
            f"<{flag_names(self.flags)} seq={self.seq} ack={self.ack} win={self.window}"
            f" len={len(self.payload)} ({REASON_NAMES[self.reason]})>"
        )


class OutgoingSyn(Outgoing):
    """A SYN or SYN,ACK: its options stand in the `order` of TcpConfig.syn_options, padded as TcpConfig.syn_padding says."""

    __slots__ = ("order", "padding")

    def __init__(self, seq: int, ack: int, flags: int, window: int, reason: int, order: str, padding: str) -> None:
        super().__init__(seq, ack, flags, window, reason)
        self.order: str = order
        self.padding: str = padding
