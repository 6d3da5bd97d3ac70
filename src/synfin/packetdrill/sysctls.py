"""What the sysctls of Linux and FreeBSD mean for a TcpConfig.

Owns the table. One that asks for what synfin does anyway changes nothing; one that asks for what TcpConfig cannot say raises
Skip: it is never passed over in silence.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Final

from synfin.engine.config import MICROSECOND, MILLISECOND, SECOND, TcpConfig
from synfin.engine.handshake import linear_syns, window_scale_for
from synfin.packetdrill.files import Skip

Changes = dict[str, Any]
Rule = Callable[[str, TcpConfig], Changes]
FIELDS: Final = frozenset(each.name for each in fields(TcpConfig))


class NotSaid(Exception):
    """A value for which TcpConfig has no word."""


def _number(text: str) -> int:
    try:
        found = int(text, 0)
    except ValueError:
        raise NotSaid from None
    if not 0 <= found < 1 << 32:
        raise NotSaid
    return found


def _field(name: str, value: Any, absent: Any) -> Changes:
    """Set `name`; where TcpConfig has no such field, only the value that synfin stands for, `absent`, will do."""
    if name in FIELDS:
        return {name: value}
    if value == absent:
        return {}
    raise NotSaid


def flag(name: str, absent: bool = False) -> Rule:
    """A switch, 0 or 1."""

    def rule(text: str, config: TcpConfig) -> Changes:
        if text not in ("0", "1"):
            raise NotSaid
        return _field(name, text == "1", absent)

    return rule


def amount(name: str, unit: int = 1) -> Rule:
    """A number of `unit`."""

    def rule(text: str, config: TcpConfig) -> Changes:
        return _field(name, _number(text) * unit, None)

    return rule


def only(*values: str) -> Rule:
    """What synfin does anyway, said by one of `values`."""

    def rule(text: str, config: TcpConfig) -> Changes:
        if values and text not in values:
            raise NotSaid
        return {}

    return rule


def _rmem(text: str, config: TcpConfig) -> Changes:
    """least, default, most: half of the default is the window (tcp_adv_win_scale), the scale can say the most."""
    parts = text.split()
    found = {"receive_buffer": _number(parts[len(parts) // 2]) // 2}
    if len(parts) == 3:
        found["window_scale"] = window_scale_for(_number(parts[2]))
    return found


def _wmem(text: str, config: TcpConfig) -> Changes:
    parts = text.split()
    return {"send_buffer": _number(parts[len(parts) // 2])}


def _syn_retries(text: str, config: TcpConfig) -> Changes:
    """So many repeats, twice as long apart each time, after the linear ones."""
    return {"syn_timeout": (linear_syns(config) + (1 << min(_number(text), 20) + 1) - 1) * config.rto_initial}


def _linear_timeouts(text: str, config: TcpConfig) -> Changes:
    """tcp_syn_linear_timeouts: so many waits of one RTO before they double."""
    number = min(_number(text), 127)
    backoff = (1,) * number + tuple(1 << each for each in range(8)) if number else ()
    return {"syn_backoff": backoff, "syn_timeout": config.syn_timeout + (number - linear_syns(config)) * config.rto_initial}


def _drop_options(text: str, config: TcpConfig) -> Changes:
    return {"syn_bare_after": 3 if text != "0" else 0}


def _congestion(text: str, config: TcpConfig) -> Changes:
    if text in ("reno", "newreno"):
        return {"congestion": "newreno"}
    raise NotSaid


def _cookies(text: str, config: TcpConfig) -> Changes:
    names = {"0": "off", "1": "pressure", "2": "always"}
    if text not in names:
        raise NotSaid
    return _field("syn_cookies", names[text], "off")


def _rfc1323(text: str, config: TcpConfig) -> Changes:
    number = _number(text)
    if number > 3:
        raise NotSaid
    return {"timestamps": number in (1, 3), "window_scaling": number in (1, 2)}


def _overflow(text: str, config: TcpConfig) -> Changes:
    if text not in ("0", "1"):
        raise NotSaid
    return _field("accept_overflow", "reset" if text == "1" else "ignore", "ignore")


def _delayed(text: str, config: TcpConfig) -> Changes:
    return {} if _number(text) else {"delayed_ack": 0}


def _retries2(text: str, config: TcpConfig) -> Changes:
    """tcp_retries2: the time that so many retransmissions take, beginning at tcp_rto_min (tcp_model_timeout)."""
    total, rto = 0, config.rto_min
    for _ in range(min(_number(text), 255) + 1):
        total += min(rto, config.rto_max)
        rto *= 2
    return {"user_timeout": total}


def _burst(text: str, config: TcpConfig) -> Changes:
    """tcp_min_tso_segs: how many segments a burst has at least, where bursts are pushed; one of a single segment never is."""
    return {"push_burst": min(max(_number(text), 1), 64)} if config.push_burst else {}


def _counted(text: str, config: TcpConfig) -> Changes:
    """abc_l_var: segments by which an ACK lets cwnd grow; with 0 it would not grow."""
    if text == "0":
        raise NotSaid
    return {"slow_start_segments": _number(text)}


ANYTHING: Final = only()

LINUX: Final[Mapping[str, Rule]] = MappingProxyType({
    "tcp_timestamps": lambda text, config: {"timestamps": _number(text) != 0},
    "tcp_window_scaling": flag("window_scaling"),
    "tcp_sack": flag("sack"),
    "tcp_dsack": flag("dsack"),
    "tcp_syn_retries": _syn_retries,
    "tcp_syn_linear_timeouts": _linear_timeouts,
    "tcp_synack_retries": amount("syn_ack_retries"),
    "tcp_rmem": _rmem,
    "tcp_wmem": _wmem,
    "tcp_ecn": flag("ecn"),
    "tcp_fastopen": only("0"),
    "tcp_fastopen_key": ANYTHING,
    "tcp_syncookies": _cookies,
    "tcp_slow_start_after_idle": only("1"),
    "tcp_early_retrans": only("0"),
    "tcp_recovery": only("0"),
    "tcp_frto": only("0"),
    "tcp_congestion_control": _congestion,
    "tcp_allowed_congestion_control": ANYTHING,
    "tcp_min_tso_segs": _burst,
    "tcp_tso_win_divisor": ANYTHING,
    "tcp_no_metrics_save": ANYTHING,
    "tcp_no_ssthresh_metrics_save": ANYTHING,
    "tcp_moderate_rcvbuf": only("0"),
    "tcp_base_mss": ANYTHING,
    "tcp_mtu_probing": only("0"),
    "tcp_fin_timeout": amount("fin_wait_2_timeout", SECOND),
    "tcp_rto_min_us": amount("rto_min", MICROSECOND),
    "tcp_rto_max_ms": amount("rto_max", MILLISECOND),
    "tcp_keepalive_time": amount("keepalive_idle", SECOND),
    "tcp_keepalive_intvl": amount("keepalive_interval", SECOND),
    "tcp_keepalive_probes": amount("keepalive_count"),
    "tcp_retries1": ANYTHING,
    "tcp_retries2": _retries2,
    "tcp_abort_on_overflow": _overflow,
    "tcp_max_syn_backlog": amount("syn_backlog"),
    "tcp_autocorking": only("0"),
    "tcp_stdurg": only("0"),
    "tcp_rfc1337": flag("time_wait_ignores_reset"),
    "tcp_adv_win_scale": only("1"),
    "tcp_app_win": ANYTHING,
    "tcp_thin_linear_timeouts": only("0"),
    "tcp_shrink_window": only("0"),
    "tcp_tw_reuse": ANYTHING,
    "tcp_invalid_ratelimit": only("0"),
    "tcp_notsent_lowat": only("4294967295", "-1"),
    "tcp_pacing_ss_ratio": ANYTHING,
    "tcp_pacing_ca_ratio": ANYTHING,
    "tcp_limit_output_bytes": ANYTHING,
    "tcp_backlog_ack_defer": ANYTHING,
    "tcp_comp_sack_nr": ANYTHING,
    "tcp_comp_sack_delay_ns": ANYTHING,
    "tcp_comp_sack_slack_ns": ANYTHING,
    "somaxconn": ANYTHING,
    "default_qdisc": ANYTHING,
})  # fmt: skip

FREEBSD: Final[Mapping[str, Rule]] = MappingProxyType({
    "rfc1323": _rfc1323,
    "sack.enable": flag("sack"),
    "ecn.enable": lambda text, config: _field("ecn", text == "1", text != "0"),
    "ecn.maxretries": ANYTHING,
    "recvspace": amount("receive_buffer"),
    "sendspace": amount("send_buffer"),
    "recvbuf_auto": only("0"),
    "sendbuf_auto": only("0"),
    "blackhole": only("0"),
    "insecure_rst": only("0"),
    "insecure_syn": only("0"),
    "insecure_ack": only("0"),
    "drop_synfin": only("0"),
    "rexmit_initial": amount("rto_initial", MILLISECOND),
    "rexmit_min": amount("rto_min", MILLISECOND),
    "rexmit_slop": amount("rto_slop", MILLISECOND),
    "rexmit_drop_options": _drop_options,
    "keepinit": amount("syn_timeout", MILLISECOND),
    "keepidle": amount("keepalive_idle", MILLISECOND),
    "keepintvl": amount("keepalive_interval", MILLISECOND),
    "keepcnt": amount("keepalive_count"),
    "msl": amount("msl", MILLISECOND),
    "delacktime": amount("delayed_ack", MILLISECOND),
    "delayed_ack": _delayed,
    "finwait2_timeout": amount("fin_wait_2_timeout", MILLISECOND),
    "syncookies": _cookies,
    "syncookies_only": lambda text, config: _cookies("2" if text == "1" else "1", config) if text == "1" else {},
    "syncache.rexmtlimit": amount("syn_ack_retries"),
    "icmp_may_rst": flag("unreachable_ends_opening"),
    "hostcache.purgenow": ANYTHING,
    "hostcache.purge": ANYTHING,
    "hostcache.enable": ANYTHING,
    "initcwnd_segments": amount("initial_window_segments"),
    "path_mtu_discovery": only("1"),
    "cc.algorithm": _congestion,
    "rfc6675_pipe": only("0"),
    "rfc3042": only("0"),
    "functions_default": ANYTHING,
    "pmtud_blackhole_detection": only("0"),
    "tolerate_missing_ts": only("0"),
    "fastopen.server_enable": only("0"),
    "fastopen.client_enable": only("0"),
    "abc_l_var": _counted,
    "nolocaltimewait": ANYTHING,
    "tso": ANYTHING,
})  # fmt: skip

FAMILIES: Final = (
    ("net.ipv4.", LINUX), ("net.core.", LINUX), ("net.ipv6.", LINUX), ("net.inet.tcp.", FREEBSD),
)  # fmt: skip


def known_sysctl(name: str) -> bool:
    """Whether `name`, with dots or slashes, is one of the table."""
    name = name.replace("/", ".")
    return name == "kern.ipc.maxsockbuf" or any(
        name.startswith(prefix) and name.removeprefix(prefix) in table for prefix, table in FAMILIES
    )


def changes_for(name: str, value: str, config: TcpConfig) -> Changes:
    """The fields of TcpConfig that `name`=`value` sets. Raises Skip (unmapped)."""
    if name == "kern.ipc.maxsockbuf":
        return {}
    for prefix, table in FAMILIES:
        rule = table.get(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if rule is None:
            continue
        try:
            return rule(" ".join(value.split()), config)
        except (NotSaid, IndexError):
            break
    raise Skip(f"sysctl {name}={value}", unmapped=True)
