"""Socket-shaped objects on a stack: where programs meet synfin. Owns no packets and no clock.

`socket` (also under the name `Socket`) and `patched` are imported when first asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synfin.sockets.face import Socket as Socket
    from synfin.sockets.face import Socket as socket
    from synfin.sockets.patching import patched as patched

__all__ = ["Socket", "patched", "socket"]

_HOMES = ("patched", "patching", "patched"), ("Socket", "face", "Socket"), ("socket", "face", "Socket")


def __getattr__(name: str) -> Any:
    for known, module, attribute in _HOMES:
        if name == known:
            from importlib import import_module  # noqa: PLC0415  modules below import this package on their way

            return getattr(import_module(f"synfin.sockets.{module}"), attribute)
    raise AttributeError(f"module 'synfin.sockets' has no attribute {name!r}")
