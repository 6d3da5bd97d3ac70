"""What a script needs and nobody here has, found before it is played: whatever it expects, it is SKIP(feature).

Owns no list: what there is, the tables of calls, options and symbols say.
"""

from collections.abc import Iterator
from typing import Final

from synfin.packetdrill import polling, sockopts
from synfin.packetdrill.arguments import PLAYED_FLAGS
from synfin.packetdrill.calls import TABLE
from synfin.packetdrill.counts import COUNTS
from synfin.packetdrill.files import Skip
from synfin.packetdrill.symbols import SYMBOLS, UnknownSymbol, value_of
from synfin.packetdrill.syntax import Applied, Beyond, Call, Expression, Items, Or, Script, Struct, Word
from synfin.sockets.options import GET, SET

OPTION_CALLS: Final = ("setsockopt", "getsockopt")


def look_over(script: Script) -> None:
    """Raises Skip for the first event that cannot be played."""
    for event in script.events:
        action = event.action
        if isinstance(action, Beyond):
            raise Skip(action.feature)
        if isinstance(action, Call):
            _look_at(action)


def _look_at(call: Call) -> None:
    if call.name not in TABLE:
        raise Skip(f"{call.name}()")
    for name in (*(word for each in call.arguments for word in words(each)), *words(call.result)):
        strange = name not in SYMBOLS
        strange |= name.startswith("MSG_") and name not in PLAYED_FLAGS
        strange |= name.startswith("EPOLL") and name not in polling.PLAYED and not name.startswith("EPOLL_C")
        if strange:
            raise Skip(name)
    if len(call.arguments) not in COUNTS[call.name]:
        raise Skip(f"{call.name}() with {len(call.arguments)} arguments")
    if call.name in OPTION_CALLS:
        _look_at_option(call)


def _look_at_option(call: Call) -> None:
    known = SET if call.name == "setsockopt" else GET
    try:
        option = (value_of(call.arguments[1]) or 0, value_of(call.arguments[2]) or 0)
    except UnknownSymbol as error:
        raise Skip(str(error)) from None
    if option not in known and option not in (sockopts.LINGER, sockopts.CONGESTION):
        name = call.arguments[2]
        raise Skip(name.name if isinstance(name, Word) else f"{call.name}() option {option}")


def words(expression: Expression) -> Iterator[str]:
    """Every symbol in an expression."""
    if isinstance(expression, Word):
        yield expression.name
    elif isinstance(expression, Or):
        for each in expression.parts:
            yield from words(each)
    elif isinstance(expression, Items):
        for each in expression.items:
            yield from words(each)
    elif isinstance(expression, Applied):
        for each in expression.arguments:
            yield from words(each)
    elif isinstance(expression, Struct):
        for each in (*expression.items, *(value for _, value in expression.fields)):
            yield from words(each)
