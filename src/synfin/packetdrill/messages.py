"""struct msghdr in scripts: where its bytes go, and the control messages beside them.

Owns how a script writes both. The one control message that there is tells what is left to read (TCP_INQ).
"""

from synfin.packetdrill.arguments import told as told_value
from synfin.packetdrill.files import Skip
from synfin.packetdrill.symbols import SYMBOLS, value_of
from synfin.packetdrill.syntax import Expression, Items, Struct
from synfin.sockets.endpoint import Endpoint
from synfin.sockets.options import TCP_INQ


def control(message: Expression) -> tuple[Expression, ...]:
    """The control messages of a msghdr."""
    found = message.get("msg_control") if isinstance(message, Struct) else None
    if isinstance(found, Struct):
        return (found,)
    return found.items if isinstance(found, Items) else ()


def vector(message: Expression, *, told: bool) -> Expression:
    """The array of iovec of a msghdr. Raises Skip for what is none, and for control messages but those that are `told`, of
    what is left."""
    if not isinstance(message, Struct):
        raise Skip("a message that is no struct msghdr")
    if not all(told and _of_rest(each) for each in control(message)):
        raise Skip("control messages")
    return message.get("msg_iov") or Items(())


def _of_rest(message: Expression) -> bool:
    """Whether a control message is the one that TCP_INQ brings."""
    if not isinstance(message, Struct):
        return False
    level, kind = message.get("cmsg_level"), message.get("cmsg_type")
    return (level and value_of(level)) in (SYMBOLS["SOL_TCP"], None) and (kind and value_of(kind)) == TCP_INQ


def wrong_rest(endpoint: Endpoint, expected: tuple[Expression, ...]) -> str:
    """What is wrong with the control messages that a script expects of `endpoint`; "" for nothing."""
    if not endpoint.settings.tells_rest:
        return "no control message"
    data = expected[0].get("cmsg_data") if isinstance(expected[0], Struct) else None
    return "one control message" if len(expected) > 1 else "" if data is None else told_value(data, endpoint.rest())
