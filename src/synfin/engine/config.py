"""Every limit and default of a TCP, each beside the clause it comes from. Times are integer nanoseconds."""

from dataclasses import dataclass, replace
from typing import Any, Final, Self

from synfin.engine.errors import UsageError

MICROSECOND: Final = 1_000
MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000
NEVER: Final = (1 << 63) - 1
SYN_OPTIONS: Final = ("mss", "sackOK", "TS", "wscale")


@dataclass(slots=True, frozen=True, kw_only=True)
class TcpConfig:
    """What the user of a stack may set. `TcpConfig()` is synfin's default, `rfc()` and `linux()` are profiles.

    Raises UsageError when a value contradicts its rule.
    """

    # Segments
    mss: int = 0  # largest segment we accept, bytes; 0: from the device's MTU (3.7.1)
    advertised_mss: int = 0  # what our SYN tells, bytes, whatever we send; 0: `mss` (Linux: ip route ... advmss N)
    timestamps: bool = True  # RFC 7323 3
    window_scaling: bool = True  # RFC 7323 2
    window_scale: int = -1  # the shift offered, 0 to 14; -1: the smallest with which the window can say the receive buffer
    # What SYN and SYN,ACK offer stands in this order: MSS (RFC 9293 3.7.1), SACK permitted (RFC 2018 2), timestamps and window
    # scale (RFC 7323); no RFC gives one. Linux's; FreeBSD's is "mss wscale sackOK TS" (tcp_addoptions).
    syn_options: str = "mss sackOK TS wscale"
    # "before": NOPs stand before each option, so that it ends on a word's border (Linux, RFC 7323 appendix A); "after": where
    # its numbers want a border only, and END fills the last word (FreeBSD, macOS).
    syn_padding: str = "before"
    # RFC 2018: SACK permitted is offered; where the peer has it too, our ACKs tell what is held out of order. What the peer's
    # tell is not used yet.
    sack: bool = False
    dsack: bool = True  # RFC 2883: with SACK, an ACK tells first which duplicate it answers
    gso_max: int = 65_535  # largest super-segment that a device with segmentation offload is given, bytes

    # Buffers, bytes
    receive_buffer: int = 262_144
    send_buffer: int = 262_144
    # How far the window opens, and when that is told in a segment of its own (3.8.6.2.2). "edge": by a segment or half the
    # buffer at least; "reader": Linux, __tcp_select_window: as far as the reader has come, alone when it is twice what was
    # offered; "quarter": FreeBSD, tcp_output: the same, alone when it is two segments and a quarter of the buffer.
    window_rule: str = "edge"
    syn_window_whole: bool = False  # a SYN's window is whole segments (Linux, tcp_select_initial_window); False: all the buffer
    initial_receive_window: int = 0  # segments that a SYN offers, more as they arrive (Linux: ip route ... initrwnd N); 0: all

    # Retransmission, RFC 6298
    rto_initial: int = 1 * SECOND  # 2.1
    rto_min: int = 200 * MILLISECOND  # 2.4 says 1 s (SHOULD); Linux's value, a declared deviation
    rto_max: int = 120 * SECOND  # 2.5: at least 60 s
    rto_slop: int = 0  # added to what was measured or backed off, beyond 2.4; FreeBSD: net.inet.tcp.rexmit_slop, 200 ms
    clock_granularity: int = 1 * MILLISECOND  # G
    user_timeout: int = 300 * SECOND  # 3.9.1.1: 5 minutes; NEVER for none
    syn_timeout: int = 180 * SECOND  # R2 for a SYN: at least 3 minutes (MUST-23)
    # How many times rto_initial an unanswered SYN waits, each time; the last number holds on. (): twice as long each time.
    syn_backoff: tuple[int, ...] = ()  # Linux since 6.5: tcp_syn_linear_timeouts; FreeBSD once: tcp_syn_backoff
    syn_bare_after: int = 0  # from which repeat on a SYN has no option but MSS (FreeBSD: rexmit_drop_options, 3); 0: never
    unreachable_ends_opening: bool = False  # 3.9.2.2, MUST-56: soft errors end nothing; Linux gives up a SYN for any of them
    syn_ack_retries: int = 5  # 1, 3, 7, 15, 31 s: an unanswered entry lives 63 s

    # Listening: what a SYN flood meets (RFC 4987)
    syn_backlog: int = 0  # half-open entries that a listener keeps; 0: as listen's backlog, at least 8
    syn_queue_policy: str = "drop"  # when they are too many and no cookie answers: "drop" the SYN, or the "oldest" entry goes
    syn_cookies: str = "pressure"  # 3.6: "off", "pressure" (3.7: when the queue is full, as Linux), "always"
    defer_accept: int = 0  # a connection is accepted when data comes, or after so many ns (Linux: TCP_DEFER_ACCEPT); 0: at once
    accept_overflow: str = "ignore"  # the final ACK while the accept queue is full: "ignore" it (as Linux) or "reset"

    # Keep-alive, RFC 9293 3.8.4; off unless asked for (MUST-25)
    keepalive: bool = False
    keepalive_idle: int = 7200 * SECOND  # before the first probe: at least two hours by default (MUST-28)
    keepalive_interval: int = 75 * SECOND  # between unanswered probes
    keepalive_count: int = 9  # unanswered probes that end the connection
    keepalive_limit: int = 0  # ns without a word that end it, instead of the number of probes; 0: the number decides

    # Acknowledgments
    delayed_ack: int = 40 * MILLISECOND  # below 0.5 s (3.8.6.3, MUST-40); 0 acknowledges at once
    ack_fin_at_once: bool = True  # False: the ACK of a FIN may wait as any other, so that our own FIN can join it (as Linux)
    ack_every: int = 2  # full-sized segments (SHLD-18)
    # "count": every `ack_every` segments, else after `delayed_ack`; "adaptive": Linux (rhythm.py): after `delayed_ack` at least
    # and `delayed_ack_max` at most, as the peer's rhythm is, or when the application reads; quick_acks come back.
    ack_rule: str = "count"
    delayed_ack_max: int = 200 * MILLISECOND  # of ack_rule "adaptive" (Linux: TCP_DELACK_MAX)
    quick_acks: int = 0  # ACKs at once before any is delayed, until we send data: Linux's quick ACKs (TCP_MAX_QUICKACKS: 16)
    challenge_acks: int = 10  # at most so many a connection in challenge_ack_period (RFC 5961 7)
    challenge_ack_period: int = 5 * SECOND

    # Sending
    nagle: bool = True  # 3.7.4
    initial_window_segments: int = 10  # RFC 6928 2; 0: RFC 5681 3.1
    # Segments by which an ACK lets cwnd grow at most in slow start, RFC 5681 3.1 (2), RFC 3465 2.2; 0: all that it
    # acknowledges (Linux, tcp_slow_start). FreeBSD: net.inet.tcp.abc_l_var, 2.
    slow_start_segments: int = 1
    # 3.9.1.2: PSH on the segment that empties the send buffer ("empty"; FreeBSD), that ends with the end of a write ("write";
    # Linux, tcp_mark_push), or on none ("never": against MUST-60, as some small stacks have it).
    push: str = "empty"
    push_half_window: bool = False  # "write" pushes after each half of the largest window too (Linux, forced_push)
    # Segments that a burst has at least, more when there is much to send in a round trip; its last one is pushed (Linux:
    # tcp_tso_autosize, net.ipv4.tcp_min_tso_segs = 2). 0: nothing is pushed for that.
    push_burst: int = 0
    half_window_segments: bool = False  # no segment is longer than half of the largest window (Linux, tcp_bound_to_half_wnd)
    sws_override: int = 200 * MILLISECOND  # 3.8.6.2.1: 0.1 to 1 s
    persist_max: int = 60 * SECOND  # largest interval of zero-window probes (3.8.6.1)
    congestion: str = "newreno"

    # Closing
    msl: int = 60 * SECOND  # TIME-WAIT lasts twice this (3.4.2 has 120 s; Linux's TIME-WAIT is 60 s in all)
    fin_wait_2_timeout: int = 60 * SECOND  # of an orphan, as in Linux; 0: for ever, as the RFC has it
    time_wait_reuse: bool = True  # RFC 6191
    time_wait_ignores_reset: bool = False  # RFC 1337 3 (fix 1); FreeBSD: tcp_twcheck, Linux: tcp_rfc1337
    reset_window: bool = False  # the RST,ACK that ends a connection tells its window, not 0 (FreeBSD, Linux: as any segment)

    # Limits
    reassembly_segments: int = 1024  # holes in what came out of order
    fast_path: bool = True

    def __post_init__(self) -> None:
        rules = (
            (self.mss == 0 or 28 <= self.mss <= 65_495, "mss is 0 or between 28 and 65,495 bytes"),
            (-1 <= self.window_scale <= 14, "window_scale is -1 or between 0 and 14 (RFC 7323 2.3)"),
            (self.advertised_mss == 0 or 28 <= self.advertised_mss <= 65_535, "advertised_mss is 0 or between 28 and 65,535"),
            (self.window_rule in ("edge", "reader", "quarter"), "window_rule is edge, reader or quarter"),
            (self.initial_receive_window >= 0, "initial_receive_window is not negative"),
            (self.receive_buffer >= 1, "receive_buffer is at least 1 byte"),
            (self.receive_buffer <= 1 << 30, "receive_buffer is at most 2^30 bytes (RFC 7323 2.3)"),
            (self.send_buffer >= 1, "send_buffer is at least 1 byte"),
            (self.send_buffer <= 1 << 30, "send_buffer is at most 2^30 bytes (RFC 7323 2.3)"),
            (0 < self.rto_min <= self.rto_max, "rto_min is above 0 and at most rto_max"),
            (0 < self.rto_initial <= self.rto_max, "rto_initial is above 0 and at most rto_max"),
            (0 <= self.delayed_ack < SECOND // 2, "delayed_ack is below 0.5 s (RFC 9293 MUST-40)"),
            (self.ack_rule in ("count", "adaptive"), "ack_rule is count or adaptive"),
            (self.delayed_ack <= self.delayed_ack_max < SECOND // 2, "delayed_ack_max is from delayed_ack to 0.5 s"),
            (self.ack_every >= 1, "ack_every is at least 1 segment"),
            (self.msl >= 0, "msl is not negative"),
            (0 <= self.syn_ack_retries <= 255, "syn_ack_retries is between 0 and 255"),
            (self.syn_backlog >= 0, "syn_backlog is not negative"),
            (self.syn_queue_policy in ("drop", "oldest"), "syn_queue_policy is drop or oldest"),
            (self.syn_cookies in ("off", "pressure", "always"), "syn_cookies is off, pressure or always"),
            (self.accept_overflow in ("ignore", "reset"), "accept_overflow is ignore or reset"),
            (self.user_timeout > 0, "user_timeout is above 0"),
            (self.keepalive_idle > 0 < self.keepalive_interval, "keepalive_idle and keepalive_interval are above 0"),
            (self.keepalive_count >= 1, "keepalive_count is at least 1 probe"),
            (self.syn_timeout > 0, "syn_timeout is above 0"),
            (sorted(self.syn_options.split()) == sorted(SYN_OPTIONS), "syn_options has mss, sackOK, TS and wscale once each"),
            (self.syn_padding in ("before", "after"), "syn_padding is before or after"),
            (0 <= self.rto_slop <= self.rto_max, "rto_slop is between 0 and rto_max"),
            (all(type(times) is int and times > 0 for times in self.syn_backoff), "syn_backoff has whole numbers above 0"),
            (self.syn_bare_after >= 0, "syn_bare_after is not negative"),
            (0 <= self.quick_acks <= 255, "quick_acks is between 0 and 255"),
            (self.defer_accept >= 0, "defer_accept is not negative"),
            (self.slow_start_segments >= 0, "slow_start_segments is not negative"),
            (0 <= self.push_burst <= 64, "push_burst is between 0 and 64 segments"),
            (self.push in ("empty", "write", "never"), "push is empty, write or never"),
        )
        for holds, rule in rules:
            if not holds:
                raise UsageError(rule)

    def replace(self, **changes: Any) -> Self:
        """A copy with `changes`; raises UsageError for a name that does not exist or a value that breaks its rule."""
        unknown = [name for name in changes if name not in self.__dataclass_fields__]
        if unknown:
            raise UsageError(f"no setting {unknown[0]!r} in TcpConfig")
        return replace(self, **changes)

    @classmethod
    def rfc(cls) -> Self:
        """What the RFCs ask for where the default deviates."""
        return cls(
            rto_min=SECOND,
            delayed_ack=200 * MILLISECOND,
            initial_window_segments=0,
            fin_wait_2_timeout=0,
            msl=120 * SECOND,
        )

    @classmethod
    def linux(cls) -> Self:
        """Linux's values where the default deviates."""
        return cls(
            syn_timeout=127 * SECOND, msl=30 * SECOND, user_timeout=924_600 * MILLISECOND, unreachable_ends_opening=True
        )
