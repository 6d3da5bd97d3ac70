"""What stacks choose where the RFCs leave it open: one TOML file a profile, read into a TcpConfig.

Owns the file's form. A profile holds what a user of a stack could set and nothing else: every name in `[tcp]` is a field of
TcpConfig, times are written with their unit. `[missing]` lists what the real stack chooses and TcpConfig cannot say yet.
"""

import re
import tomllib
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Final

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.errors import UsageError

NAMES: Final = ("rfc", "linux", "freebsd")
UNITS: Final = {"ns": 1, "us": 1000, "ms": 1_000_000, "s": 1_000_000_000}
KINDS: Final = {bool: "true or false", int: "a whole number or a time such as 200 ms", str: "a word", tuple: "a list"}
TIME: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s)")


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile: its `name`, the `system` whose name `#ifdef` finds, its `config`, `ttl` of what leaves, and what is
    `missing`: pairs of a choice and how the real stack makes it."""

    name: str
    system: str
    config: TcpConfig
    ttl: int = 64
    missing: tuple[tuple[str, str], ...] = ()


def load_profile(name: str) -> Profile:
    """A profile by its name, or by the path of a file. Raises UsageError, in one line, for what cannot be read."""
    try:
        if name in NAMES:
            text = resources.files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
        else:
            text = Path(name).read_text(encoding="utf-8")
    except (IsADirectoryError, PermissionError) as error:
        raise UsageError(f"profile {name}: {error.strerror}") from None
    except (OSError, UnicodeDecodeError, ValueError):
        raise UsageError(f"no profile {name!r}: it is {', '.join(NAMES)} or a file") from None
    try:
        return read_profile(text, Path(name).stem)
    except (tomllib.TOMLDecodeError, UsageError) as error:
        raise UsageError(f"profile {name}: {error}") from None


def read_profile(text: str, name: str) -> Profile:
    """The profile in `text`. Raises UsageError for a name or a value that TcpConfig has not, TOMLDecodeError."""
    content = tomllib.loads(text)
    strange = set(content) - {"system", "ttl", "tcp", "missing", "title"}
    if strange:
        raise UsageError(f"no entry {min(strange)!r}: there are system, title, ttl, [tcp] and [missing]")
    changes = content.get("tcp", {})
    if not all(isinstance(content.get(table, {}), dict) for table in ("tcp", "missing")):
        raise UsageError("[tcp] and [missing] are tables")
    known = {each.name: type(each.default) for each in fields(TcpConfig)}
    values = {key: _value(value) for key, value in changes.items()}
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"no setting {key!r} in TcpConfig")
        if type(value) is not known[key]:
            raise UsageError(f"{key} is {KINDS[known[key]]}, not {changes[key]!r}")
    config = TcpConfig().replace(**values)
    missing = tuple((str(key), str(value)) for key, value in content.get("missing", {}).items())
    ttl = content.get("ttl", 64)
    if not isinstance(ttl, int) or not 1 <= ttl <= 255:
        raise UsageError("ttl is between 1 and 255")
    return Profile(name, str(content.get("system", name)), config, ttl, missing)


def _value(value: Any) -> Any:
    """A time with its unit in ns, `never`, a list as a tuple; everything else as it is."""
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, str):
        return value
    if value == "never":
        return NEVER
    found = TIME.fullmatch(value)
    return round(float(found.group(1)) * UNITS[found.group(2)]) if found else value
