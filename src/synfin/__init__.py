"""synfin: a complete TCP in Python.

`synfin.run` runs an asyncio program on it over a TUN device, in real time (aio.offered.run); `synfin.sim` is the simulation.
Both are imported when first asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synfin.aio.offered import run as run
    from synfin.aio.realtime import RealHost as RealHost
    from synfin.device.tun import TunDevice as TunDevice
    from synfin.sockets.host import kernel_sockets as kernel_sockets


def __getattr__(name: str) -> Any:
    if name == "run":
        from synfin.aio import offered as home  # noqa: PLC0415  an import of synfin alone costs nothing
    elif name == "RealHost":
        from synfin.aio import realtime as home  # type: ignore[no-redef]  # noqa: PLC0415
    elif name == "TunDevice":
        from synfin.device import tun as home  # type: ignore[no-redef]  # noqa: PLC0415
    elif name == "kernel_sockets":
        from synfin.sockets import host as home  # type: ignore[no-redef]  # noqa: PLC0415
    else:
        raise AttributeError(f"module 'synfin' has no attribute {name!r}")
    return getattr(home, name)
