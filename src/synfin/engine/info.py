"""What can be told of a connection: with the RFC's names, and with those of Linux's struct tcp_info for what exists here.

Owns the names and units. Reads a Connection and changes nothing.
"""

from typing import TYPE_CHECKING, Any, Final

from synfin.engine.config import MICROSECOND, MILLISECOND
from synfin.engine.congestion.base import UNLIMITED
from synfin.engine.handshake import SACK, SCALING, TIMESTAMP_SPACE
from synfin.engine.seq import MASK
from synfin.engine.state import State

if TYPE_CHECKING:
    from synfin.engine.connection import Connection

# enum in Linux's net/tcp_states.h, as tcpi_state has it
STATE_NUMBER: Final[dict[State, int]] = {
    State.ESTABLISHED: 1,
    State.SYN_SENT: 2,
    State.SYN_RECEIVED: 3,
    State.FIN_WAIT_1: 4,
    State.FIN_WAIT_2: 5,
    State.TIME_WAIT: 6,
    State.CLOSED: 7,
    State.CLOSE_WAIT: 8,
    State.LAST_ACK: 9,
    State.LISTEN: 10,
    State.CLOSING: 11,
}

CA_OPEN: Final = 0  # enum tcp_ca_state
CA_DISORDER: Final = 1
CA_RECOVERY: Final = 3
CA_LOSS: Final = 4
OPTION_TIMESTAMPS: Final = 1  # TCPI_OPT_*
OPTION_SACK: Final = 2
OPTION_WINDOW_SCALE: Final = 4
NO_THRESHOLD: Final = 0x7FFFFFFF  # TCP_INFINITE_SSTHRESH


def told(c: "Connection", now: int) -> dict[str, Any]:
    """Sequence numbers as they are, sizes in bytes, times in ns; under `tcpi_...` what `linux` says."""
    sender, receiver = c.sender, c.receiver
    return {
        "state": c.state, "snd_una": sender.snd_una, "snd_nxt": sender.snd_nxt, "snd_wnd": sender.snd_wnd,
        "rcv_nxt": receiver.rcv_nxt, "rcv_wnd": receiver.rcv_wnd, "iss": sender.iss, "irs": receiver.irs,
        "mss": sender.mss, "cwnd": sender.congestion.cwnd, "ssthresh": sender.congestion.ssthresh,
        "srtt": sender.rtt.srtt, "rttvar": sender.rtt.rttvar, "rto": sender.rtt.rto,
        "backoff": sender.rtt.backoff, "unsent": c.unsent(), "unacked": c.unacked(),
        "readable": receiver.size, "timestamps": c.agreed_timestamps, **linux(c, now),
    }  # fmt: skip


def linux(c: "Connection", now: int) -> dict[str, int]:
    """The fields of struct tcp_info (linux/tcp.h) that exist here, in Linux's units: microseconds, milliseconds since the last
    packet of a kind, segments.

    Segments count as they are on the wire, a super-segment for all of its pieces. A listener's SYN,ACK is not the connection's,
    the SYN that it answered is, as on Linux. The byte of a window probe counts among those sent, and when it goes again among
    those retransmitted; Linux's probes carry none.
    """
    sender, receiver = c.sender, c.receiver
    rtt, mss = sender.rtt, sender.mss
    outstanding = -(-((sender.snd_nxt - sender.snd_una) & MASK) // mss)
    options = (OPTION_TIMESTAMPS if c.agreed_timestamps else 0) | (OPTION_SACK if c.agreed & SACK else 0)
    keepalive = c.keepalive
    synchronized = c.established
    # Linux's count of an active open begins with the SYN (tcp_snd_una_update); a FIN counts on both sides.
    acked = sender.buffer.base + sender.fin_acked + (not c.passive) if synchronized else 0
    return {
        "tcpi_state": STATE_NUMBER[c.state],
        "tcpi_ca_state": _ca_state(c),
        "tcpi_retransmits": sender.timeouts,
        "tcpi_probes": sender.probes if sender.probing or keepalive is None else keepalive.probes,
        "tcpi_backoff": rtt.backoff,
        "tcpi_options": options | (OPTION_WINDOW_SCALE if c.agreed & SCALING else 0),
        "tcpi_snd_wscale": sender.shift,
        "tcpi_rcv_wscale": receiver.shift if c.agreed & SCALING else 0,
        "tcpi_rto": rtt.rto // MICROSECOND,
        "tcpi_ato": (c.config.delayed_ack if c.rhythm is None else c.rhythm.wait) // MICROSECOND,
        "tcpi_snd_mss": mss,
        "tcpi_rcv_mss": _full_segment(c),
        "tcpi_unacked": outstanding,
        "tcpi_retrans": _retransmitted(c),
        "tcpi_last_data_sent": (now - sender.last_sent) // MILLISECOND if sender.last_sent >= 0 else 0,
        "tcpi_last_data_recv": (now - c.last_data_recv) // MILLISECOND if synchronized else 0,
        "tcpi_pmtu": c.mtu,
        "tcpi_rtt": max(rtt.srtt, 0) // MICROSECOND,
        "tcpi_rttvar": rtt.rttvar // MICROSECOND,
        "tcpi_snd_ssthresh": _threshold(sender.congestion.ssthresh, mss),
        "tcpi_snd_cwnd": sender.congestion.cwnd // mss,
        "tcpi_advmss": receiver.mss - (TIMESTAMP_SPACE if c.agreed_timestamps else 0),
        "tcpi_rcv_space": receiver.capacity,
        "tcpi_total_retrans": sender.segments_again,
        "tcpi_bytes_acked": acked,
        "tcpi_bytes_received": receiver.received if synchronized else 0,
        "tcpi_segs_out": c.data_segs_out + c.bare_segs_out,
        "tcpi_segs_in": c.data_segs_in + c.bare_segs_in,
        "tcpi_data_segs_in": c.data_segs_in,
        "tcpi_data_segs_out": c.data_segs_out,
        "tcpi_bytes_sent": (_bytes_sent(c) if synchronized else 0) + sender.bytes_again,
        "tcpi_bytes_retrans": sender.bytes_again,
        "tcpi_notsent_bytes": max(c.unsent(), 0),
        "tcpi_snd_wnd": sender.snd_wnd,
        "tcpi_rcv_wnd": receiver.rcv_wnd,
    }


def _full_segment(c: "Connection") -> int:
    """What the peer's full segments are taken to hold, in bytes."""
    if c.rhythm is not None and c.rhythm.full:
        return c.rhythm.full
    return c.receiver.mss - (TIMESTAMP_SPACE if c.agreed_timestamps else 0)


def _threshold(ssthresh: int, mss: int) -> int:
    """ssthresh in segments; before the first loss TCP_INFINITE_SSTHRESH."""
    return NO_THRESHOLD if ssthresh >= UNLIMITED else min(ssthresh // mss, NO_THRESHOLD)


def _ca_state(c: "Connection") -> int:
    sender = c.sender
    if sender.timed_out:
        return CA_LOSS
    if sender.recovering:
        return CA_RECOVERY
    return CA_DISORDER if sender.duplicate_acks else CA_OPEN


def _bytes_sent(c: "Connection") -> int:
    """Bytes that have gone, each counted once."""
    sender = c.sender
    outstanding = sender.outstanding
    return sender.buffer.base + outstanding - (1 if sender.fin_sent and outstanding else 0)


def _retransmitted(c: "Connection") -> int:
    """Segments in flight that have gone twice."""
    sender = c.sender
    if not sender.outstanding or sender.probing:
        return 0
    if sender.recovering:  # one at a time
        return 0 if sender.fast_due else 1
    end = sender.resend
    if end < 0:
        end = sender.no_sample_before if sender.karn else sender.snd_una
    return -(-((end - sender.snd_una) & MASK) // sender.mss)
