"""What the channels' messages are called, and what each of them says, so that a ladder can show it.

Owns those words. The protocols themselves are synfin.channels': half duplex, the long connection, questions and answers.
"""

from collections.abc import Mapping
from struct import Struct
from typing import Final

from synfin.channels import direction, exchange, life
from synfin.trace.events import Carried
from synfin.trace.messages import Naming
from synfin.words import Text

UNKNOWN: Final = Text("a message of no known kind", "种类不明的消息")

TURNS: Final[Mapping[int, Text]] = {
    direction.DATA: Text("turn {number} is its own, and it says {said}", "第 {number} 轮是它的，它说 {said}"),
    direction.GIVE: Text("over, turn {number} is the peer's", "说完了，第 {number} 轮归对方"),
    direction.FREE: Text("turn {number} is nobody's, whoever wants it asks", "第 {number} 轮不归任何一方，谁要谁提出"),
    direction.ASK: Text("turn {number} is not its own, and it wants the next", "第 {number} 轮不是它的，它要下一轮"),
    direction.TAKE: Text("it takes turn {number}, for the peer was silent", "对方沉默，它自己取得第 {number} 轮"),
}
LIFE: Final[Mapping[int, Text]] = {
    life.DATA: Text("message {number} says {said}", "第 {number} 条消息：{said}"),
    life.ACK: Text("its program has taken message {number}", "程序已取走第 {number} 条消息"),
    life.PING: Text("heartbeat {number} asks for a sign of life", "第 {number} 次心跳，请对方回应"),
    life.PONG: Text("it answers heartbeat {number}", "回应第 {number} 次心跳"),
    life.GOODBYE: Text("goodbye after {number} messages, none follows", "告别：共 {number} 条消息，之后不再有"),
}
CALLS: Final[Mapping[int, Text]] = {
    exchange.REQUEST: Text("question {number} is {said}", "第 {number} 问：{said}"),
    exchange.ANSWER: Text("the answer to question {number} is {said}", "第 {number} 问的回答：{said}"),
    exchange.FAILED: Text("question {number} has no answer, {said}", "第 {number} 问没有回答：{said}"),
}


def _naming(head: Struct, kinds: Mapping[int, str], means: Mapping[int, Text]) -> Naming:
    """Names for messages that begin with a kind and a number."""

    def name(message: bytes) -> Carried:
        if len(message) < head.size or message[0] not in kinds:
            return Carried("?", UNKNOWN)
        kind, number = head.unpack_from(message)
        facts = {"number": number, "said": message[head.size :].decode(errors="replace")}
        return Carried(f"{kinds[kind]} {number}", Text(*(words.format(**facts) for words in means[kind])))

    return name


name_turns: Final = _naming(direction.HEAD, direction.KINDS, TURNS)
name_life: Final = _naming(life.HEAD, life.KINDS, LIFE)
name_calls: Final = _naming(exchange.HEAD, exchange.KINDS, CALLS)
