"""The class that stands for socket.socket while a run lasts.

Owns what makes it pass for the standard one: calls give whatever is chosen, isinstance and issubclass hold for synfin's sockets
and for the kernel's, and a program may subclass it. Who chooses what belongs to the run.
"""

from collections.abc import Callable
from typing import Any

from synfin.sockets.face import REAL


class StandInMeta(type):
    """Makes `socket.socket(...)` choose, and isinstance hold for whatever was chosen."""

    choose: Callable[..., Any]

    def __call__(cls, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None, **more: Any) -> Any:
        if cls.__bases__ != (REAL,):  # somebody's subclass of the stand-in
            return super().__call__(family, type, proto, fileno, **more)
        return cls.choose(family, type, proto, fileno)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, REAL) if cls.__bases__ == (REAL,) else super().__instancecheck__(instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, REAL) if cls.__bases__ == (REAL,) else super().__subclasscheck__(subclass)


def stand_in(choose: Callable[..., Any]) -> type:
    """A class to stand for socket.socket: `choose(family, type, proto, fileno)` makes the socket."""
    return StandInMeta("socket", (REAL,), {"__slots__": (), "choose": staticmethod(choose)})
