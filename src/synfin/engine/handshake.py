"""Opening: initial sequence numbers (RFC 6528) and what the options of SYN and SYN,ACK agree on (RFC 7323, RFC 9293 3.7.1)."""

import hashlib
from typing import Final

from synfin.engine.config import TcpConfig
from synfin.engine.segment import ACK, SYN, OutgoingSyn, Segment
from synfin.engine.seq import MASK

MAX_WINDOW: Final = 65_535
MAX_SHIFT: Final = 14  # RFC 7323 2.3
TIMESTAMP_SPACE: Final = 12  # 10 bytes and two NOPs
IP4_KEY: Final = 12  # bytes of a connection's key over IPv4
SCALING: Final = 1  # in Connection.agreed: both SYNs had window scale
SACK: Final = 2  # both had SACK permitted (RFC 2018 2)


def keyed_number(secret: bytes, purpose: bytes, key: bytes) -> int:
    """32 bits that nobody without `secret` can predict: F() of RFC 6528 3."""
    digest = hashlib.blake2b(purpose + key, digest_size=4, key=secret[:64]).digest()
    return int.from_bytes(digest, "big")


def initial_sequence_number(secret: bytes, key: bytes, now: int) -> int:
    """ISN = M + F(addresses, ports, secret), M a clock of 4 microseconds (RFC 6528 3, RFC 9293 3.4.1); `now` in ns."""
    return (now // 4000 + keyed_number(secret, b"isn", key)) & MASK


def timestamp_offset(secret: bytes, key: bytes) -> int:
    """What a connection adds to its millisecond clock, so that its timestamps tell nothing of others (RFC 7323 7.1)."""
    return keyed_number(secret, b"timestamp", key)


def window_scale_for(buffer: int) -> int:
    """The smallest shift with which the 16-bit window can say `buffer` bytes (RFC 7323 2)."""
    shift = 0
    while shift < MAX_SHIFT and MAX_WINDOW << shift < buffer:
        shift += 1
    return shift


def offered_scale(config: TcpConfig, buffer: int) -> int:
    """The shift that we offer for windows of up to `buffer` bytes: as configured, or the smallest that does."""
    return config.window_scale if config.window_scale >= 0 else window_scale_for(buffer)


def header_space(key: bytes) -> int:
    """Bytes of IP and TCP header without options."""
    return 40 if len(key) == IP4_KEY else 60


def receive_mss(config: TcpConfig, key: bytes, mtu: int) -> int:
    """The MSS option we send: from the MTU, not lowered by options (RFC 6691), or as configured."""
    told = config.advertised_mss or mtu - header_space(key)
    return min(config.mss, told) if config.mss else told


def first_window(config: TcpConfig, buffer: int, mss: int, timestamps: bool) -> int:
    """The window of our SYN or SYN,ACK, never scaled (RFC 7323 2.2), in bytes, for a `buffer` of so many, when our MSS option
    says `mss` and both sides have agreed on `timestamps`."""
    mss -= TIMESTAMP_SPACE if timestamps else 0
    window = buffer
    if config.syn_window_whole and window > mss:
        window -= window % mss
    if config.initial_receive_window:
        window = min(window, config.initial_receive_window * mss)
    return min(window, MAX_WINDOW)


def default_mss(key: bytes) -> int:
    """The MSS of a peer that sends no such option: 536 over IPv4, 1220 over IPv6 (3.7.1, MUST-15)."""
    return 536 if len(key) == IP4_KEY else 1220


class Agreement:
    """What both sides' options come to. `send_mss` is net of the options in every segment (Eff.snd.MSS, 3.7.1)."""

    __slots__ = ("agreed", "peer_mss", "receive_shift", "scaling", "send_mss", "send_shift", "timestamps")

    def __init__(self, config: TcpConfig, syn: Segment, key: bytes, mtu: int) -> None:
        """From our configuration and the peer's `syn` (a SYN or SYN,ACK)."""
        self.peer_mss: int = syn.mss if syn.mss > 0 else default_mss(key)
        if config.mss:  # what was set bounds both directions, as TCP_MAXSEG does on Linux (tcp_syn_options, tcp_parse_options)
            self.peer_mss = min(self.peer_mss, config.mss)
        self.timestamps: bool = config.timestamps and syn.has_timestamps
        self.scaling: bool = config.window_scaling and syn.wscale >= 0
        self.send_shift: int = min(syn.wscale, MAX_SHIFT) if self.scaling else 0
        self.receive_shift: int = offered_scale(config, config.receive_buffer) if self.scaling else 0
        self.agreed: int = (SCALING if self.scaling else 0) | (SACK if config.sack and syn.sack_permitted else 0)
        self.send_mss: int = effective_mss(self.peer_mss, mtu - header_space(key), self.timestamps)


class Offer:
    """What the SYN,ACKs of a listener tell of us, as long as its `config` stays the same."""

    __slots__ = ("config", "mss4", "mss6", "shift")

    def __init__(self, config: TcpConfig, mtu: int) -> None:
        self.config: TcpConfig = config
        self.mss4: int = receive_mss(config, bytes(IP4_KEY), mtu)
        self.mss6: int = receive_mss(config, b"", mtu)
        self.shift: int = offered_scale(config, config.receive_buffer)

    def window(self, key: bytes, stamped: bool) -> int:
        """What the SYN,ACK to the peer in `key` offers, in bytes; `stamped`: timestamps are agreed on."""
        mss = self.mss4 if len(key) == IP4_KEY else self.mss6
        return first_window(self.config, self.config.receive_buffer, mss, stamped)

    def syn_ack(
        self, key: bytes, iss: int, irs: int, scaling: bool, sack: bool, stamped: bool, reason: int
    ) -> OutgoingSyn:
        """<SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK>, with window scale and SACK permitted when the SYN had them (`scaling`, `sack`)
        and config has; the timestamps, when they are agreed on (`stamped`), are the caller's to fill in."""
        config = self.config
        out = OutgoingSyn(
            iss, (irs + 1) & MASK, SYN | ACK, self.window(key, stamped), reason, config.syn_options, config.syn_padding
        )
        out.sack_permitted = sack and config.sack
        out.mss = self.mss4 if len(key) == IP4_KEY else self.mss6
        if scaling:
            out.wscale = self.shift
        return out


def effective_mss(peer_mss: int, path: int, timestamps: bool) -> int:
    """Eff.snd.MSS: what the peer takes and the path carries, less the timestamp option; at least 8 bytes."""
    return max(min(peer_mss, path) - (TIMESTAMP_SPACE if timestamps else 0), 8)


def syn_wait(config: TcpConfig, rto: int, repeats: int) -> int:
    """How long our SYN waits for an answer when it has been repeated so often, in ns: as config.syn_backoff says, or `rto`."""
    backoff = config.syn_backoff
    if not backoff:
        return rto
    slop = config.rto_slop if repeats else 0
    return min(config.rto_initial * backoff[min(repeats, len(backoff) - 1)] + slop, config.rto_max)


def linear_syns(config: TcpConfig) -> int:
    """The repeats of a SYN that wait no longer than the first: Linux's tcp_syn_linear_timeouts, which its counts leave out."""
    return max(config.syn_backoff.count(1) - 1, 0)


def syn_lifetime(config: TcpConfig, retries: int) -> int:
    """How long a SYN lives that is repeated `retries` times besides the linear ones, in ns."""
    total = 0
    for repeats in range(retries + linear_syns(config) + 1):
        rto = (config.rto_initial << repeats) + (config.rto_slop if repeats else 0)
        total += syn_wait(config, min(rto, config.rto_max), repeats)
    return total
