"""Socket options: what setsockopt and getsockopt know, and what they answer with, as Linux does.

Owns the table of options and the values set before there is a connection. An option that does not act is not there:
ENOPROTOOPT, never a silent success. So IP_TTL and IPV6_UNICAST_HOPS are not: a stack sends all its packets with one TTL.
"""

import errno
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from synfin.engine.config import MICROSECOND, MILLISECOND, SECOND, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.handshake import syn_lifetime
from synfin.engine.info import STATE_NUMBER
from synfin.engine.segment import Buffer
from synfin.engine.state import State
from synfin.engine.synqueue import deferral
from synfin.sockets.calls import failure

if TYPE_CHECKING:
    from synfin.sockets.endpoint import Endpoint

Value = int | Buffer

UNCONNECTED_MSS: Final = 536  # RFC 9293 3.7.1
IPV6_V6ONLY: Final = 26
TCP_USER_TIMEOUT: Final = 18
TCP_INFO: Final = 11
TCP_CONGESTION: Final = 13
TCP_CORK: Final = 3
TCP_SYNCNT: Final = 7
TCP_DEFER_ACCEPT: Final = 9
TCP_QUICKACK: Final = 12
TCP_NOTSENT_LOWAT: Final = 25
TCP_INQ: Final = 36  # also what the message is called that it brings (TCP_CM_INQ)
QUICK: Final = 16  # ACKs: TCP_MAX_QUICKACKS
MAX_SYN_COUNT: Final = 127  # MAX_TCP_SYNCNT
MAX_KEEPALIVE: Final = 32_767  # seconds: MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL
MAX_KEEPALIVE_COUNT: Final = 127  # MAX_TCP_KEEPCNT


class Settings:
    """What was set on a socket and outlives its connection; accepted sockets inherit it from the listener."""

    __slots__ = (
        "_changes", "cork", "linger_on", "linger_seconds", "oob_inline", "receive_low", "receive_timeout", "reuse_address",
        "send_timeout", "tells_rest", "unsent_low", "user_timeout", "v6only",
    )  # fmt: skip

    def __init__(self) -> None:
        self._changes: dict[str, Any] | None = None
        self.cork: bool = False
        self.linger_on: bool = False
        self.linger_seconds: int = 0
        self.oob_inline: bool = False
        self.receive_low: int = 1  # bytes: fewer are not worth a reader's waking (SO_RCVLOWAT)
        self.receive_timeout: int = -1  # ns that a call in blocking mode waits to read (SO_RCVTIMEO); -1: without end
        self.reuse_address: bool = False
        self.send_timeout: int = -1  # the same for a call that writes or connects (SO_SNDTIMEO)
        self.tells_rest: bool = False  # recvmsg tells what is left to read (TCP_INQ)
        self.unsent_low: int = 0  # bytes that may wait to be sent for the first time (TCP_NOTSENT_LOWAT); 0, -1: all that fit
        self.user_timeout: int = 0  # milliseconds, as it was set
        self.v6only: bool = False

    @property
    def linger_reset(self) -> bool:
        """Whether close resets the connection: SO_LINGER with 0 seconds."""
        return self.linger_on and not self.linger_seconds

    @linger_reset.setter
    def linger_reset(self, on: bool) -> None:
        self.linger_on, self.linger_seconds = on, 0

    def change(self, name: str, value: Any) -> None:
        """Set a field of the TcpConfig with which the next connection is opened."""
        if self._changes is None:
            self._changes = {}
        self._changes[name] = value

    def changed(self, name: str, default: Any) -> Any:
        """What `change` has set, or `default`."""
        return default if self._changes is None else self._changes.get(name, default)

    def config(self, base: TcpConfig) -> TcpConfig | None:
        """`base` with the changes; None where there are none."""
        return None if self._changes is None else base.replace(**self._changes)

    def inherited(self) -> "Settings":
        """A copy for an accepted socket."""
        copy = Settings()
        copy._changes = None if self._changes is None else dict(self._changes)
        copy.linger_on, copy.linger_seconds, copy.oob_inline = self.linger_on, self.linger_seconds, self.oob_inline
        copy.reuse_address, copy.user_timeout, copy.v6only = self.reuse_address, self.user_timeout, self.v6only
        copy.cork, copy.receive_low, copy.unsent_low = self.cork, self.receive_low, self.unsent_low
        copy.receive_timeout, copy.send_timeout, copy.tells_rest = self.receive_timeout, self.send_timeout, self.tells_rest
        return copy

    def options(self) -> Iterator[tuple[str, int]]:
        """The options of a connection (Connection.set_option) that no TcpConfig has: name, value."""
        if self.oob_inline:
            yield "oob_inline", 1
        if self.cork:
            yield "cork", 1


# struct tcp_info, linux/tcp.h: six bytes, the two window scales in one byte, flags; then words
INFO_BYTES: Final = (
    "tcpi_state", "tcpi_ca_state", "tcpi_retransmits", "tcpi_probes", "tcpi_backoff", "tcpi_options",
)  # fmt: skip
INFO_WORDS: Final = (
    "tcpi_rto", "tcpi_ato", "tcpi_snd_mss", "tcpi_rcv_mss", "tcpi_unacked", "tcpi_sacked", "tcpi_lost", "tcpi_retrans",
    "tcpi_fackets", "tcpi_last_data_sent", "tcpi_last_ack_sent", "tcpi_last_data_recv", "tcpi_last_ack_recv", "tcpi_pmtu",
    "tcpi_rcv_ssthresh", "tcpi_rtt", "tcpi_rttvar", "tcpi_snd_ssthresh", "tcpi_snd_cwnd", "tcpi_advmss", "tcpi_reordering",
    "tcpi_rcv_rtt", "tcpi_rcv_space", "tcpi_total_retrans",
)  # fmt: skip
# What newer kernels append, in groups of 64-bit and 32-bit numbers.
INFO_LATER: Final = (
    "tcpi_pacing_rate", "tcpi_max_pacing_rate", "tcpi_bytes_acked", "tcpi_bytes_received",
    "tcpi_segs_out", "tcpi_segs_in", "tcpi_notsent_bytes", "tcpi_min_rtt", "tcpi_data_segs_in", "tcpi_data_segs_out",
    "tcpi_delivery_rate", "tcpi_busy_time", "tcpi_rwnd_limited", "tcpi_sndbuf_limited",
    "tcpi_delivered", "tcpi_delivered_ce",
    "tcpi_bytes_sent", "tcpi_bytes_retrans",
    "tcpi_dsack_dups", "tcpi_reord_seen", "tcpi_rcv_ooopack", "tcpi_snd_wnd", "tcpi_rcv_wnd", "tcpi_rehash",
)  # fmt: skip
TIMEVAL: Final = struct.Struct("qq")
INFO: Final = struct.Struct("=8B24I 4Q6I 4Q2I 2Q6I")


Get = Callable[["Endpoint"], int | bytes]
Set = Callable[["Endpoint", int], None]


def _flag(name: str) -> tuple[Get, Set]:
    def get(endpoint: "Endpoint") -> int:
        return int(getattr(endpoint.settings, name))

    def set_(endpoint: "Endpoint", value: int) -> None:
        setattr(endpoint.settings, name, bool(value))

    return get, set_


def _config_of(endpoint: "Endpoint", name: str) -> int:
    return int(endpoint.settings.changed(name, getattr(endpoint.host.stack.config, name)))


def _change(endpoint: "Endpoint", name: str, value: int, option: str = "") -> None:
    """Set a field of TcpConfig, for the next connection, for those that a listener takes from now on, and as `option` (by
    default of the same name) for the connection that there is."""
    settings = endpoint.settings
    settings.change(name, value)
    if endpoint.listener is not None:
        endpoint.listener.config = endpoint.listener.config.replace(**{name: value})
    endpoint.apply(option or name, value)


def _get_keepalive(endpoint: "Endpoint") -> int:
    return int(_config_of(endpoint, "keepalive"))


def _set_keepalive(endpoint: "Endpoint", value: int) -> None:
    _change(endpoint, "keepalive", bool(value))


def _keepalive(name: str, unit: int, most: int) -> tuple[Get, Set]:
    """TCP_KEEPIDLE, TCP_KEEPINTVL (seconds), TCP_KEEPCNT: 1 to `most`, else EINVAL (do_tcp_setsockopt)."""

    def get(endpoint: "Endpoint") -> int:
        return _config_of(endpoint, name) // unit

    def set_(endpoint: "Endpoint", value: int) -> None:
        if not 1 <= value <= most:
            raise failure(errno.EINVAL)
        _change(endpoint, name, value * unit)

    return get, set_


IDLE: Final = _keepalive("keepalive_idle", SECOND, MAX_KEEPALIVE)
INTERVAL: Final = _keepalive("keepalive_interval", SECOND, MAX_KEEPALIVE)
COUNT: Final = _keepalive("keepalive_count", 1, MAX_KEEPALIVE_COUNT)


def _buffer(name: str) -> tuple[Get, Set]:
    """SO_RCVBUF, SO_SNDBUF: twice what was set is told back, as on Linux, which keeps half for itself (socket(7))."""

    def get(endpoint: "Endpoint") -> int:
        return 2 * _config_of(endpoint, name)

    def set_(endpoint: "Endpoint", value: int) -> None:
        value = min(max(value, 1152), 1 << 30)  # half of SOCK_MIN_RCVBUF
        endpoint.settings.change(name, value)
        endpoint.apply(name, value)
        listener = endpoint.listener
        # What half-open connections were offered, window and scale, follows from the listener's buffer: while there are any it
        # stays, and `buffers_of` is what changes the connections accepted meanwhile.
        if listener is not None and not listener.half_open:
            listener.config = listener.config.replace(**{name: value})

    return get, set_


def buffers_of(settings: Settings, connection: Connection) -> Iterator[tuple[str, int]]:
    """The buffers that an accepted `connection` inherits and does not have yet: name, bytes."""
    for name in ("receive_buffer", "send_buffer"):
        default = getattr(connection.config, name)
        value = settings.changed(name, default)
        if value != default:
            yield name, value


def _get_nodelay(endpoint: "Endpoint") -> int:
    return int(not endpoint.settings.changed("nagle", endpoint.host.stack.config.nagle))


def _set_nodelay(endpoint: "Endpoint", value: int) -> None:
    endpoint.settings.change("nagle", not value)
    endpoint.apply("nodelay", int(bool(value)))


def _get_user_timeout(endpoint: "Endpoint") -> int:
    return endpoint.settings.user_timeout


def _set_user_timeout(endpoint: "Endpoint", value: int) -> None:
    if value < 0:
        raise failure(errno.EINVAL)
    endpoint.settings.user_timeout = value
    config = endpoint.host.stack.config
    timeout = value * MILLISECOND
    endpoint.settings.change("syn_timeout", timeout or config.syn_timeout)
    _change(endpoint, "user_timeout", timeout or config.user_timeout)
    _change(endpoint, "keepalive_limit", timeout)


def _set_oob_inline(endpoint: "Endpoint", value: int) -> None:
    endpoint.settings.oob_inline = bool(value)
    endpoint.apply("oob_inline", int(bool(value)))


def _get_maxseg(endpoint: "Endpoint") -> int:
    if endpoint.connection is not None and endpoint.connection.established:
        return int(endpoint.connection.info(endpoint.host.now())["mss"])
    return _config_of(endpoint, "mss") or UNCONNECTED_MSS


def _set_maxseg(endpoint: "Endpoint", value: int) -> None:
    """0 takes back what was set. A connection that lives sends smaller segments from now on (tcp(7): "for outgoing TCP
    packets"); Linux takes the value there, and acts on it only in the next handshake."""
    if value and not 88 <= value <= 32_767:  # TCP_MIN_MSS, MAX_TCP_WINDOW
        raise failure(errno.EINVAL)
    endpoint.settings.change("mss", value)
    if endpoint.listener is not None:
        endpoint.listener.config = endpoint.listener.config.replace(mss=value)
    if value:
        endpoint.apply("mss", value)


def _set_cork(endpoint: "Endpoint", value: int) -> None:
    """Off, what waits goes (__tcp_sock_set_cork)."""
    endpoint.settings.cork = bool(value)
    endpoint.apply("cork", int(bool(value)))


def _get_quick(endpoint: "Endpoint") -> int:
    connection = endpoint.connection
    if connection is None:
        return int(bool(_config_of(endpoint, "quick_acks")))
    rhythm = connection.rhythm
    return int(connection.receiver.quick > 0 if rhythm is None else not rhythm.interactive)


def _set_quick(endpoint: "Endpoint", value: int) -> None:
    """On, the ACK that waits goes, and the next ones go at once until we send data; off, they wait (tcp_sock_set_quickack).
    What is told back is whether some will: unset, what TcpConfig.quick_acks says. With ack_rule "adaptive" it is whether
    no ACK waits for the answer of a conversation, as on Linux (inet_csk_in_pingpong_mode)."""
    count = QUICK if value else 0
    endpoint.settings.change("quick_acks", count)
    endpoint.apply("quick_acks", count)


def _get_syn_count(endpoint: "Endpoint") -> int:
    config = endpoint.settings.config(endpoint.host.stack.config) or endpoint.host.stack.config
    counts = range(1, MAX_SYN_COUNT)
    return next((count for count in counts if syn_lifetime(config, count) >= config.syn_timeout), MAX_SYN_COUNT)


def _set_syn_count(endpoint: "Endpoint", value: int) -> None:
    """Repeats of a SYN before connect gives up, besides those at the pace of the first (tcp_write_timeout)."""
    if not 1 <= value <= MAX_SYN_COUNT:
        raise failure(errno.EINVAL)
    endpoint.settings.change("syn_timeout", syn_lifetime(endpoint.host.stack.config, value))


def _get_defer(endpoint: "Endpoint") -> int:
    config = endpoint.settings.config(endpoint.host.stack.config) or endpoint.host.stack.config
    return deferral(config) // SECOND


def _set_defer(endpoint: "Endpoint", value: int) -> None:
    """Seconds that a connection may wait for data before accept returns it; they end with a timer of the SYN,ACK's."""
    _change_of_listener(endpoint, "defer_accept", max(value, 0) * SECOND)


def _change_of_listener(endpoint: "Endpoint", name: str, value: int) -> None:
    endpoint.settings.change(name, value)
    if endpoint.listener is not None:
        endpoint.listener.config = endpoint.listener.config.replace(**{name: value})


def _set_receive_low(endpoint: "Endpoint", value: int) -> None:
    """0 is 1, below 0 is all that fits. More than the buffer takes is cut; Linux would let the buffer grow."""
    most = max(_config_of(endpoint, "receive_buffer"), 1)
    endpoint.settings.receive_low = most if value < 0 else min(max(value, 1), most)
    endpoint.wake()


def _set_unsent_low(endpoint: "Endpoint", value: int) -> None:
    endpoint.settings.unsent_low = value
    endpoint.wake()


def _set_v6only(endpoint: "Endpoint", value: int) -> None:
    if endpoint.family != socket.AF_INET6:
        raise failure(errno.ENOPROTOOPT)
    if endpoint.bound:
        raise failure(errno.EINVAL)
    endpoint.settings.v6only = bool(value)


def _get_v6only(endpoint: "Endpoint") -> int:
    if endpoint.family != socket.AF_INET6:
        raise failure(errno.ENOPROTOOPT)
    return int(endpoint.settings.v6only)


def _set_tells_rest(endpoint: "Endpoint", value: int) -> None:
    if value not in (0, 1):
        raise failure(errno.EINVAL)
    endpoint.settings.tells_rest = bool(value)


def _get_timeout(name: str) -> Get:
    """A struct timeval; 0 where there is no end (sock_get_timeout)."""

    def get(endpoint: "Endpoint") -> bytes:
        return TIMEVAL.pack(*divmod(max(getattr(endpoint.settings, name), 0) // MICROSECOND, 1_000_000))

    return get


def _set_timeout(endpoint: "Endpoint", name: str, value: Value) -> None:
    """A struct timeval: 0 is without end, a negative one does not wait at all (sock_set_timeout)."""
    if isinstance(value, int) or len(value) < TIMEVAL.size:
        raise failure(errno.EINVAL)
    seconds, microseconds = TIMEVAL.unpack(bytes(value[: TIMEVAL.size]))
    if not 0 <= microseconds < 1_000_000:
        raise failure(errno.EDOM)
    total = seconds * SECOND + microseconds * MICROSECOND
    setattr(endpoint.settings, name, 0 if seconds < 0 else total or -1)


def _get_linger(endpoint: "Endpoint") -> bytes:
    return struct.pack("ii", int(endpoint.settings.linger_on), endpoint.settings.linger_seconds)


def _get_congestion(endpoint: "Endpoint") -> bytes:
    return endpoint.host.stack.config.congestion.encode().ljust(16, b"\0")


def _get_info(endpoint: "Endpoint") -> bytes:
    """struct tcp_info up to tcpi_rehash, 240 bytes; what synfin does not count is 0."""
    connection = endpoint.connection
    if connection is None:
        state = State.LISTEN if endpoint.listening else State.CLOSED
        return bytes([STATE_NUMBER[state]]).ljust(INFO.size, b"\0")
    info = connection.info(endpoint.host.now())
    head = (info[name] for name in INFO_BYTES)
    return INFO.pack(
        *(min(value, 255) for value in head), info["tcpi_snd_wscale"] | info["tcpi_rcv_wscale"] << 4, 0,
        *(info.get(name, 0) for name in INFO_WORDS), *(info.get(name, 0) for name in INFO_LATER),
    )  # fmt: skip


def _constant(value: int) -> Get:
    return lambda endpoint: value


S: Final = int(socket.SOL_SOCKET)
T: Final = int(socket.IPPROTO_TCP)

GET: Final[dict[tuple[int, int], Get]] = {
    (S, socket.SO_ERROR): lambda endpoint: endpoint.take_error(),
    (S, socket.SO_TYPE): _constant(int(socket.SOCK_STREAM)),
    (S, socket.SO_DOMAIN): lambda endpoint: endpoint.family,
    (S, socket.SO_PROTOCOL): _constant(int(socket.IPPROTO_TCP)),
    (S, socket.SO_ACCEPTCONN): lambda endpoint: int(endpoint.listening),
    (S, socket.SO_REUSEADDR): _flag("reuse_address")[0],
    (S, socket.SO_KEEPALIVE): _get_keepalive,
    (S, socket.SO_OOBINLINE): _flag("oob_inline")[0],
    (S, socket.SO_RCVBUF): _buffer("receive_buffer")[0],
    (S, socket.SO_SNDBUF): _buffer("send_buffer")[0],
    (S, socket.SO_RCVLOWAT): lambda endpoint: endpoint.settings.receive_low,
    (S, socket.SO_RCVTIMEO): _get_timeout("receive_timeout"),
    (S, socket.SO_SNDTIMEO): _get_timeout("send_timeout"),
    (S, socket.SO_LINGER): _get_linger,
    (T, socket.TCP_NODELAY): _get_nodelay,
    (T, socket.TCP_MAXSEG): _get_maxseg,
    (T, socket.TCP_KEEPIDLE): IDLE[0],
    (T, socket.TCP_KEEPINTVL): INTERVAL[0],
    (T, socket.TCP_KEEPCNT): COUNT[0],
    (T, TCP_USER_TIMEOUT): _get_user_timeout,
    (T, TCP_CORK): _flag("cork")[0],
    (T, TCP_QUICKACK): _get_quick,
    (T, TCP_SYNCNT): _get_syn_count,
    (T, TCP_DEFER_ACCEPT): _get_defer,
    (T, TCP_NOTSENT_LOWAT): lambda endpoint: endpoint.settings.unsent_low,
    (T, TCP_INQ): _flag("tells_rest")[0],
    (T, TCP_INFO): _get_info,
    (T, TCP_CONGESTION): _get_congestion,
    (socket.IPPROTO_IPV6, IPV6_V6ONLY): _get_v6only,
}

SET: Final[dict[tuple[int, int], Set]] = {
    (S, socket.SO_REUSEADDR): _flag("reuse_address")[1],
    (S, socket.SO_KEEPALIVE): _set_keepalive,
    (S, socket.SO_OOBINLINE): _set_oob_inline,
    (S, socket.SO_RCVBUF): _buffer("receive_buffer")[1],
    (S, socket.SO_SNDBUF): _buffer("send_buffer")[1],
    (T, socket.TCP_NODELAY): _set_nodelay,
    (T, socket.TCP_MAXSEG): _set_maxseg,
    (T, socket.TCP_KEEPIDLE): IDLE[1],
    (T, socket.TCP_KEEPINTVL): INTERVAL[1],
    (T, socket.TCP_KEEPCNT): COUNT[1],
    (T, TCP_USER_TIMEOUT): _set_user_timeout,
    (T, TCP_CORK): _set_cork,
    (T, TCP_QUICKACK): _set_quick,
    (T, TCP_SYNCNT): _set_syn_count,
    (T, TCP_DEFER_ACCEPT): _set_defer,
    (T, TCP_NOTSENT_LOWAT): _set_unsent_low,
    (T, TCP_INQ): _set_tells_rest,
    (S, socket.SO_RCVLOWAT): _set_receive_low,
    (socket.IPPROTO_IPV6, IPV6_V6ONLY): _set_v6only,
}


# Those whose value is a struct timeval.
TIMEOUTS: Final = {(S, int(socket.SO_RCVTIMEO)): "receive_timeout", (S, int(socket.SO_SNDTIMEO)): "send_timeout"}


def set_option(endpoint: "Endpoint", level: int, option: int, value: Value) -> None:
    """setsockopt(2); raises OSError (ENOPROTOOPT, EINVAL)."""
    act = SET.get((level, option))
    if act is None:
        if (level, option) in TIMEOUTS:
            _set_timeout(endpoint, TIMEOUTS[level, option], value)
            return
        if (level, option) != (S, socket.SO_LINGER):
            raise failure(errno.ENOPROTOOPT)
        _set_linger(endpoint, value)
        return
    if not isinstance(value, int):
        if len(value) < 4:
            raise failure(errno.EINVAL)
        value = int.from_bytes(bytes(value[:4]), sys.byteorder, signed=True)
    act(endpoint, value)


def _set_linger(endpoint: "Endpoint", value: Value) -> None:
    """Off, a close that resets (0 s), or one that waits until all was acknowledged, where something lets it wait."""
    if isinstance(value, int) or len(value) < 8:
        raise failure(errno.EINVAL)
    on, seconds = struct.unpack("ii", bytes(value[:8]))
    if on and seconds and endpoint.host.waits is None and endpoint.host.hold is None:
        raise failure(errno.ENOPROTOOPT)
    endpoint.settings.linger_on = bool(on)
    if on:
        endpoint.settings.linger_seconds = max(seconds, 0)


def get_option(endpoint: "Endpoint", level: int, option: int, size: int = 0) -> int | bytes:
    """getsockopt(2): an int, or at most `size` bytes when `size` is given; raises OSError (ENOPROTOOPT, EINVAL)."""
    act = GET.get((level, option))
    if act is None:
        raise failure(errno.ENOPROTOOPT)
    value = act(endpoint)
    if size:
        return (value.to_bytes(4, sys.byteorder, signed=True) if isinstance(value, int) else value)[:size]
    return value if isinstance(value, int) else int.from_bytes(value[:4], sys.byteorder)
