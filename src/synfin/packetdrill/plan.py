"""How a script is to be played: what the person asked for, what the script's own options say, what the profile chooses.

Owns the options of the language. Knows nothing of how events are played.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from synfin.engine.config import TcpConfig
from synfin.engine.errors import UsageError
from synfin.packetdrill.arguments import Place
from synfin.packetdrill.compare import Rules
from synfin.packetdrill.files import Skip
from synfin.packetdrill.profiles import Profile
from synfin.packetdrill.syntax import Script, ScriptError

MICROSECOND: Final = 1000
IPV4: Final = "ipv4"
IPV6: Final = "ipv6"
MAPPED: Final = "ipv4-mapped-ipv6"
FAMILIES: Final = (IPV4, IPV6, MAPPED)
LOCAL4: Final = ipaddress.ip_address("192.168.0.1").packed
REMOTE4: Final = ipaddress.ip_address("192.0.2.1").packed
LOCAL6: Final = ipaddress.ip_address("fd3d:a0b:17d6::1").packed
REMOTE6: Final = ipaddress.ip_address("2001:db8::1").packed
MTU: Final = 1500
MTU6: Final = 1520  # so that one script fits both families: the MSS is the same
LARGEST4: Final = 65_535  # bytes of a packet
LARGEST6: Final = 65_575  # the header does not count (RFC 8200 3)
# What says how the tool itself runs, and means nothing in virtual time and without a kernel.
MEANINGLESS: Final = frozenset((
    "speed", "send_omit_free", "non_fatal", "gateway_ip", "netmask_ip", "verbose", "debug", "dry_run",
    "persistent_tun_dev", "tun_dev", "so_filename", "code_command", "code_format", "code_sockopt",
    "define", "is_anyip", "no_cleanup", "tcp_ts_ecr_scaled", "so_flags", "local_linklocal_ip", "gateway_linklocal_ip",
))  # fmt: skip
BEYOND: Final = ("wire_", "udp_encaps", "fuzz", "tcp_md5_secret")
PERCENT: Final = re.compile(r"\d{1,6}(?:\.\d{0,9})?|\.\d{1,9}", re.ASCII)


class _BadOption(ValueError):
    """An option whose value makes no sense; `name` is the option's."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(why)
        self.name = name


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person asks for.

    profile: what the stack chooses. family: of FAMILIES, or "" for the script's own. fast_path: the engine's. strict, loose:
    see compare.Rules. changes: fields of TcpConfig, over profile and script. defines: the words of -D. ladder: draw one for a
    failure. folder: the script's own, where files that it names are looked for; None: nowhere.
    """

    profile: Profile
    family: str = ""
    fast_path: bool = True
    strict: bool = False
    loose: frozenset[str] = frozenset()
    changes: Mapping[str, Any] = field(default_factory=dict)
    defines: Mapping[str, str] = field(default_factory=dict)
    ladder: bool = True
    folder: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a script is played with; tolerances in ns and in percent.

    `changes` are in `config` and outlast the script's sysctls. `init_scripts` are shell scripts that come first. `folder`: see
    Wish.
    """

    family: str
    place: Place
    config: TcpConfig
    mtu: int
    rules: Rules
    tolerance: int = 4000 * MICROSECOND
    percent: float = 12.5
    changes: Mapping[str, Any] = field(default_factory=dict)
    whole_segments: bool = False
    init_scripts: tuple[str, ...] = ()
    folder: Path | None = None


def make_plan(script: Script, wish: Wish) -> Plan:
    """The plan for `script`. Raises Skip for an option that nobody plays, ScriptError for one that makes no sense."""
    given: dict[str, str] = {}
    places = {}
    for place, name, value in script.options:
        known = name.replace("-", "_")
        if known.startswith(BEYOND):
            raise Skip(f"--{name}")
        if known not in READ and known not in MEANINGLESS:
            raise ScriptError(place, f"no option --{name}")
        given[known] = value
        places[known] = place
    try:
        return _plan(given, wish)
    except (ValueError, UsageError) as error:
        first = script.options[0][0] if script.options else script.events[0].place
        place = places.get(error.name, first) if isinstance(error, _BadOption) else first
        raise ScriptError(place, str(error)) from None


def _plan(given: Mapping[str, str], wish: Wish) -> Plan:
    own = given.get("ip_version", IPV4).replace("_", "-")
    family = wish.family or own
    if family not in FAMILIES:
        raise _BadOption("ip_version", f"no IP version {family!r}")
    six = family == IPV6
    local, remote = (LOCAL6, REMOTE6) if six else (LOCAL4, REMOTE4)
    if family == own:
        local = _address(given, "local_ip", local)
        remote = _address(given, "remote_ip", remote)
    config = wish.profile.config.replace(fast_path=wish.fast_path)
    _number(given, "mss", 0, 65_535)  # how the tool's device cuts what it hands over in one piece; here nothing is cut
    tolerance = _number(given, "tolerance_usecs", 4000, 1 << 40)
    rules = Rules(wish.strict, wish.loose, _number(given, "tcp_ts_tick_usecs", 0, 1 << 30), tolerance)
    return Plan(
        family=family,
        place=Place(
            local, remote, _number(given, "bind_port", 8080, 65_535), _number(given, "connect_port", 8080, 65_535),
            family == MAPPED,
        ),
        config=config.replace(**wish.changes),
        mtu=_number(given, "mtu", MTU6 if six else MTU, LARGEST6 if six else LARGEST4),
        rules=rules,
        tolerance=tolerance * MICROSECOND,
        percent=_percent(given, "tolerance_percent", 12.5),
        whole_segments="strict_segments" in given,
        changes=wish.changes,
        init_scripts=tuple(filter(None, given.get("init_scripts", "").split(","))),
        folder=wish.folder,
    )  # fmt: skip


def _number(given: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = given.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise _BadOption(name, f"--{name}={text} is no number up to {most}")
    return int(text)


def _percent(given: Mapping[str, str], name: str, default: float) -> float:
    text = given.get(name, "")
    if not text:
        return default
    if PERCENT.fullmatch(text) is None:
        raise _BadOption(name, f"--{name}={text} is no percentage")
    return float(text)


def _address(given: Mapping[str, str], name: str, default: bytes) -> bytes:
    text = given.get(name, "")
    if not text:
        return default
    try:
        packed = ipaddress.ip_address(text.partition("/")[0]).packed  # of the remote side's network one address will do
    except ValueError:
        raise _BadOption(name, f"--{name}={text} is no address") from None
    return packed if len(packed) == len(default) else default


READ: Final = frozenset((
    "ip_version", "tolerance_usecs", "tolerance_percent", "mtu", "mss", "local_ip", "remote_ip", "connect_port", "bind_port",
    "strict_segments", "tcp_ts_tick_usecs", "init_scripts",
))  # fmt: skip

__all__ = ["FAMILIES", "Plan", "Wish", "make_plan", "replace"]
