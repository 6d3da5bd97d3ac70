"""Socket-shaped objects on a stack: where programs meet synfin. Owns no packets and no clock.

`patched` and `Socket` are imported when first asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synfin.sockets.patching import patched as patched
    from synfin.sockets.socket import Socket as Socket

_HOMES = ("patched", "synfin.sockets.patching"), ("Socket", "synfin.sockets.socket")


def __getattr__(name: str) -> Any:
    home = dict(_HOMES).get(name)
    if home is None:
        raise AttributeError(f"module 'synfin.sockets' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  modules below import this package on their way

    return getattr(import_module(home), name)
