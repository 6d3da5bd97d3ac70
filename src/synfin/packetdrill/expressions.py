"""Reads system calls: a name, arguments, the result that is expected.

Owns the grammar of expressions. Knows no call and no symbol.
"""

import re
from typing import Final

from synfin.packetdrill.source import STRING, WORD, Source
from synfin.packetdrill.syntax import Applied, Call, Ellipsis_, Expression, Items, Number, Or, Struct, Text, Word

DEEPEST: Final = 21  # brackets within brackets, those of the call among them
ERRNO: Final = re.compile(r"E[A-Z0-9]+\b|[A-Za-z_]\w*(?=\s*\()")
NUMBER: Final = re.compile(r"(?:0[xX][0-9a-fA-F]+|[0-9]+)[uUlL]{0,3}")
# The headers of other protocols that an argument may hold (a stack of MPLS labels, GRE's fields) are no expressions.
HEADER: Final = re.compile(r"\{\s*(?:(?P<mpls>\(\s*label\b)|(?P<gre>[Ff]lags\s*(?:\[|\d)))")
FIELD: Final = re.compile(r"[A-Za-z_]\w*\s*(?:\(\s*(?:\d+|\.\.\.)\s*\)\s*)?=")
FIELD_NAME: Final = re.compile(r"[A-Za-z_]\w*")
NOTE: Final = re.compile(r"\((?:[^()\n]|\([^()\n]*\))*\)")
ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
ESCAPED: Final = re.compile(r"\\x([0-9a-fA-F]{2})|\\(.)")


def read_call(source: Source, end: int | None) -> Call:
    """`name(arguments) = result [ERRNO] [(words)]`; `end` as in Call."""
    name = source.word("the name of a call")
    source.need("(")
    arguments = _list(source, ")", 1)
    source.need("=")
    result = _expression(source, 0)
    error = source.match(ERRNO) or ""
    source.match(NOTE)
    return Call(name, arguments, result, error, end)


def _list(source: Source, closing: str, depth: int) -> tuple[Expression, ...]:
    """Expressions with commas between, up to `closing`, which is stepped over."""
    if source.take(closing):
        return ()
    found = [_expression(source, depth)]
    while not source.take(closing):
        if not source.take(","):
            raise source.error(f"',' or '{closing}'")
        found.append(_expression(source, depth))
    return tuple(found)


def _expression(source: Source, depth: int) -> Expression:
    if depth > DEEPEST:
        raise source.wrong("brackets lie too deep in each other")
    first = _term(source, depth)
    if not source.sees("|"):
        return first
    parts = [first]
    while source.take("|"):
        parts.append(_term(source, depth))
    return Or(tuple(parts))


def _term(source: Source, depth: int) -> Expression:
    if source.take("..."):
        return Ellipsis_()
    if source.take("["):
        return Items(_list(source, "]", depth + 1))
    found = HEADER.match(source.text, source.at)
    if found is not None:
        return _header(source, str(found.lastgroup))
    if source.take("{"):
        return _struct(source, depth + 1)
    if source.take("("):
        inner = _expression(source, depth + 1)
        source.need(")")
        return inner
    if source.sees('"'):
        return _string(source)
    if source.peek(WORD) is not None:
        name = source.word()
        if source.take("("):
            return Applied(name, _list(source, ")", depth + 1))
        if source.sees("=") and depth:
            source.take("=")
            return Struct((), ((name, _expression(source, depth + 1)),))
        return Word(name)
    return _number(source)


def _header(source: Source, protocol: str) -> Word:
    """Step over a header; a word that stands for nothing takes its place."""
    end = source.text.find("}", source.at)
    if end < 0:
        raise source.wrong("the bracket is not closed")
    source.at = end + 1
    source.blank()
    return Word(protocol)


def _string(source: Source) -> Text:
    parts = []
    while source.sees('"'):
        found = STRING.match(source.text, source.at)
        if found is None:
            raise source.wrong("the string does not end")
        parts.append(ESCAPED.sub(_unescaped, found.group(1)))
        source.at = found.end()
        source.blank()
    return Text("".join(parts), source.take("..."))


def _unescaped(found: "re.Match[str]") -> str:
    if found.group(1):
        return chr(int(found.group(1), 16))
    return ESCAPES.get(found.group(2), found.group(2))


def _number(source: Source) -> Number:
    start = source.at
    inverted = source.take("~")
    sign = "-" if source.take("-") else ""
    text = source.match(NUMBER)
    if text is None:
        raise source.error("a value", start)
    digits = text.rstrip("uUlL")
    if len(digits) > 24:
        raise source.wrong("a number beyond 64 bits", start)
    value = int(digits, 16) if digits[:2] in ("0x", "0X") else int(digits)
    if value >= 1 << 64:
        raise source.wrong("a number beyond 64 bits", start)
    value = -value if sign else value
    return Number(~value, f"~{sign}{text}") if inverted else Number(value, sign + text)


def _struct(source: Source, depth: int) -> Struct:
    items: list[Expression] = []
    fields: list[tuple[str, Expression]] = []
    if source.take("}"):
        return Struct((), ())
    if depth > DEEPEST:
        raise source.wrong("brackets lie too deep in each other")
    while True:
        if source.peek(FIELD) is not None:
            fields.append((_field(source), _expression(source, depth)))
        else:
            items.append(_expression(source, depth))
        if source.take("}"):
            return Struct(tuple(items), tuple(fields))
        source.need(",")


def _field(source: Source) -> str:
    """`name=`, or `name(count)=`: the count follows from the value."""
    name = source.word()
    if source.take("("):
        if not source.take("..."):
            source.integer("a count", 1 << 16)
        source.need(")")
    source.need("=")
    return name
